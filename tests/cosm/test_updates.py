"""A feed as one ordered stream: history, then live, whatever happens to the link or the reader."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError
from twisted.internet.task import deferLater

from tests.support.hub_in_memory import HubInMemory
from txbridge.cosm import updates as updates_module
from txbridge.cosm.paws import PAWSClient
from txbridge.cosm.updates import Missed, Update
from txbridge.errors import Closed, EncodeError, NotFound
from txbridge.model.structures import Datastream, Environment

AT = datetime(2013, 6, 3, 8, 44, 50, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture
def hub(tmp_path):
    with HubInMemory(tmp_path) as hub:
        yield hub


@pytest.fixture
def client(hub):
    client = connected(hub)
    yield client
    hub.run(client.disconnect())


def connected(hub):
    client = PAWSClient(
        hub.api_key, url=f"{hub.paws_url}:80", reactor=hub.network.reactor, random=lambda: 0.5
    )
    assert hub.run(client.connect()) is True
    return client


@pytest.fixture
def feed_id(hub):
    return make_feed(hub)


def make_feed(hub):
    feed = Environment(title="Boiler room", datastreams=[Datastream(id="a")])
    return hub.run(hub.client().create_feed(data=feed))


def write(hub, feed_id, *points):
    """Record (stream, seconds after AT) points, whose value is that number, in one request."""
    document = Environment()
    for stream, seconds in points:
        document.add_datapoint(stream, AT + seconds * SECOND, seconds)
    hub.run(hub.client().update_feed(feed_id=feed_id, data=document))


def pass_time(hub, seconds):
    hub.run(deferLater(hub.network.clock, seconds), seconds=seconds + 60)


def take(hub, updates, count):
    """The next points, as (stream, seconds after AT)."""
    taken = []
    while len(taken) < count:
        update = hub.run(updates.next_update())
        assert isinstance(update, Update)
        taken += [(update.datastream_id, int(point.value)) for point in update.datapoints]
    return taken


def test_history_comes_first_and_then_what_happens(hub, client, feed_id):
    write(hub, feed_id, ("a", 1), ("a", 2))
    write(hub, feed_id, ("a", 3))
    updates = client.updates(feed_id, since=AT)
    assert take(hub, updates, 3) == [("a", 1), ("a", 2), ("a", 3)]
    write(hub, feed_id, ("a", 4))
    assert take(hub, updates, 1) == [("a", 4)]
    updates.close()


def test_history_begins_at_the_instant_that_was_named(hub, client, feed_id):
    write(hub, feed_id, ("a", 1), ("a", 2), ("a", 3))
    updates = client.updates(feed_id, "a", since=AT + 2 * SECOND)
    assert take(hub, updates, 2) == [("a", 2), ("a", 3)]
    updates.close()


def test_history_may_begin_with_the_first_instant_there_is(hub, client, feed_id):
    updates = client.updates(feed_id, since="0001-01-01T00:00:00Z")
    pass_time(hub, 1)
    write(hub, feed_id, ("b", 1))
    assert take(hub, updates, 1) == [("b", 1)]
    updates.close()


def test_a_reader_that_goes_on_names_what_it_knows(hub, client, feed_id):
    write(hub, feed_id, ("a", 1), ("a", 2), ("b", 1), ("b", 2))
    updates = client.updates(feed_id, after={"a": AT + SECOND, "b": AT + 2 * SECOND})
    assert take(hub, updates, 1) == [("a", 2)]
    updates.close()


def test_without_an_instant_it_begins_with_what_comes(hub, client, feed_id):
    write(hub, feed_id, ("a", 1))
    updates = client.updates(feed_id)
    pass_time(hub, 1)
    write(hub, feed_id, ("a", 2))
    assert take(hub, updates, 1) == [("a", 2)]
    updates.close()


def test_several_points_of_one_write_all_come(hub, client, feed_id):
    updates = client.updates(feed_id)
    pass_time(hub, 1)
    write(hub, feed_id, *[("a", number) for number in range(1, 100)])
    assert take(hub, updates, 99) == [("a", number) for number in range(1, 100)]
    updates.close()


def test_a_late_point_comes_when_it_is_recorded(hub, client, feed_id):
    updates = client.updates(feed_id)
    pass_time(hub, 1)
    write(hub, feed_id, ("a", 50))
    write(hub, feed_id, ("a", 10))
    assert take(hub, updates, 2) == [("a", 50), ("a", 10)]
    updates.close()


def test_more_history_than_one_answer_holds(hub, client, feed_id):
    for start in range(0, 2500, 500):
        write(hub, feed_id, *[("a", start + number) for number in range(1, 501)])
    updates = client.updates(feed_id, since=AT)
    assert take(hub, updates, 2500) == [("a", number) for number in range(1, 2501)]
    updates.close()


def test_a_datastream_named_like_a_format_is_not_taken_for_another(hub, client, feed_id):
    write(hub, feed_id, ("room", 1), ("room.csv", 2))
    updates = client.updates(feed_id, "room.csv", since=AT)
    pass_time(hub, 1)
    write(hub, feed_id, ("room", 3), ("room.csv", 4))
    assert take(hub, updates, 2) == [("room.csv", 2), ("room.csv", 4)]
    updates.close()


def test_a_slow_reader_gets_everything_although_little_is_held(hub, client, feed_id, monkeypatch):
    monkeypatch.setattr(updates_module, "HIGH", 10)
    monkeypatch.setattr(updates_module, "LOW", 5)
    updates = client.updates(feed_id)
    pass_time(hub, 1)
    for number in range(1, 101):
        write(hub, feed_id, ("a", number))
    pass_time(hub, 1)
    assert len(updates._ready) <= 11
    assert take(hub, updates, 100) == [("a", number) for number in range(1, 101)]
    updates.close()


def test_cancelling_loses_nothing(hub, client, feed_id):
    updates = client.updates(feed_id)
    pass_time(hub, 1)
    waiting = updates.next_update()
    waiting.cancel()
    with pytest.raises(CancelledError):
        hub.run(waiting)
    write(hub, feed_id, ("a", 1))
    assert take(hub, updates, 1) == [("a", 1)]
    updates.close()


def test_there_is_one_reader_at_a_time(hub, client, feed_id):
    updates = client.updates(feed_id)
    waiting = updates.next_update()
    with pytest.raises(RuntimeError):
        updates.next_update()
    updates.close()
    with pytest.raises(Closed):
        hub.run(waiting)


def test_a_feed_that_is_not_there_is_an_error(hub, client):
    with pytest.raises(NotFound):
        hub.run(client.updates(999).next_update())


def test_what_cannot_be_meant_is_refused(client):
    with pytest.raises(EncodeError):
        client.updates()
    with pytest.raises(EncodeError):
        client.updates(1, since=datetime(2013, 1, 1))


def test_history_that_is_refused_is_a_gap(hub, client, feed_id):
    write(hub, feed_id, ("a", 1))
    updates = client.updates(feed_id, since=AT)
    take(hub, updates, 1)
    hub.network.cut()
    hub.run(hub.client().delete_feed(feed_id=feed_id))
    with pytest.raises(NotFound):
        hub.run(updates.next_update())


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.sampled_from("ab"), st.integers(1, 3)),
        st.just(("cut",)),
        st.tuples(st.just("wait"), st.sampled_from([0.01, 0.3, 3.0])),
        st.tuples(st.just("read"), st.integers(1, 4)),
    ),
    max_size=25,
)


@settings(max_examples=25)
@given(steps=STEPS)
def test_what_was_written_is_what_is_received(tmp_path_factory, steps):
    """Whatever is cut and however slowly it is read: all points, once, each stream in order."""
    with HubInMemory(tmp_path_factory.mktemp("hub")) as hub:
        client = connected(hub)
        feed_id = make_feed(hub)
        updates = client.updates(feed_id, since=AT)
        written, received, now = [], [], 0
        for step in steps:
            if step[0] == "write":
                points = [(step[1], now + number) for number in range(1, step[2] + 1)]
                now += step[2]
                write(hub, feed_id, *points)
                written += points
            elif step[0] == "cut":
                hub.network.cut()
            elif step[0] == "wait":
                pass_time(hub, step[1])
            else:
                for _ in range(step[1]):
                    if updates.ready():
                        update = hub.run(updates.next_update())
                        received += [(update.datastream_id, int(point.value)) for point in update.datapoints]
        received += take(hub, updates, len(written) - len(received))
        pass_time(hub, 30)
        assert not updates.ready()
        for stream in "ab":
            assert [point for point in received if point[0] == stream] == [
                point for point in written if point[0] == stream
            ]
        updates.close()
        hub.run(client.disconnect())


def test_a_gap_says_from_when_to_when():
    gap = Missed("/feeds/1", None, AT, "404 Not found")
    assert (gap.start, gap.end, gap.reason) == (None, AT, "404 Not found")
