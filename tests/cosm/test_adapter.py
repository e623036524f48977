"""A Cosm feed as an end of a route, at a real hub in memory."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace

import numpy as np
import pytest
from attrs import evolve
from twisted.internet.task import deferLater

from tests.support.hub_in_memory import HubInMemory
from tests.support.relay import ScriptedDeadLetters, ScriptedLedger, ScriptedSource
from txbridge.cosm.adapter import (
    SINK_CAPABILITIES,
    SOURCE_CAPABILITIES,
    CosmHistorySource,
    CosmSink,
    CosmSource,
)
from txbridge.cosm.paws import PAWSClient
from txbridge.errors import Advice, Closed, ConfigError, RemoteProtocolError, ServerFailed
from txbridge.hub.site import HubSite
from txbridge.model.instants import to_nanoseconds
from txbridge.model.samples import Batch, Cursor, SampleBlock, StreamInfo, ValueType
from txbridge.model.structures import Datastream, Environment, Unit
from txbridge.net.http1 import Response
from txbridge.net.http_server import HttpServerFactory
from txbridge.relay.clock import ClockPolicy, ClockRule
from txbridge.relay.outbox import MemoryOutbox
from txbridge.relay.pace import Pace, PaceLimits
from txbridge.relay.plan import RoutePolicy, plan_route
from txbridge.relay.roles import Capabilities, LossKind, Receipt, Selection
from txbridge.relay.route import Destination, RelayService
from txbridge.relay.status import LinkState

AT = to_nanoseconds(datetime(2013, 6, 3, 8, 44, 50, tzinfo=UTC))
SECOND = 10**9
EVERYTHING = Selection()
PLAIN = Capabilities(
    time_resolution_ns=1000, value_types=frozenset({ValueType.FLOAT}), not_numbers=False, infos=True
)


@pytest.fixture
def hub(tmp_path):
    with HubInMemory(tmp_path) as hub:
        yield hub


@pytest.fixture
def paws(hub):
    client = PAWSClient(
        hub.api_key, url=f"{hub.paws_url}:80", reactor=hub.network.reactor, random=lambda: 0.5
    )
    yield client
    hub.run(client.disconnect())


@pytest.fixture
def feed_id(hub):
    return hub.run(hub.client().create_feed(data=Environment(title="Boiler room")))


def block(stream, values, start=0):
    instants = AT + (start + np.arange(len(values))) * SECOND
    return SampleBlock.scalar(stream, instants, np.array(values))


def history(hub, feed_id, stream):
    window = {"start": "2013-06-03T08:00:00Z", "end": "2013-06-03T10:00:00Z", "limit": 1000}
    read = hub.run(hub.client().read_datastream(feed_id=feed_id, datastream_id=stream, parameters=window))
    return [(to_nanoseconds(point.at) - AT, point.value) for point in read.datapoints]


class TestSink:
    def test_each_stream_is_a_datastream_with_its_exact_values(self, hub, feed_id):
        sink = CosmSink(hub.client(), feed_id=feed_id)
        blocks = (
            block("t", [21.5, 0.0, -0.1]),
            block("n", [2**62, 0]),
            SampleBlock.scalar("s", [AT], np.array(["off"], object)),
        )
        receipt = hub.run(sink.deliver(Batch(blocks)))
        assert receipt.rejections == ()
        assert history(hub, feed_id, "t") == [(0, "21.5"), (SECOND, "0.0"), (2 * SECOND, "-0.1")]
        assert history(hub, feed_id, "n") == [(0, str(2**62)), (SECOND, "0")]
        assert history(hub, feed_id, "s") == [(0, "off")]

    def test_instants_are_exact_to_the_microsecond_on_both_sides_of_1970(self, hub, feed_id):
        sink = CosmSink(hub.client(), feed_id=feed_id)
        instants = np.array([-1_000, 0, 1_999, 1_000_000])
        hub.run(sink.deliver(Batch((SampleBlock.scalar("t", instants, np.arange(4)),))))
        window = {"start": "1969-12-31T23:00:00Z", "end": "1970-01-01T01:00:00Z", "limit": 1000}
        read = hub.run(hub.client().read_datastream(feed_id=feed_id, datastream_id="t", parameters=window))
        found = [(to_nanoseconds(point.at), point.value) for point in read.datapoints]
        assert found == [(-1_000, "0"), (0, "1"), (1_000, "2"), (1_000_000, "3")]

    def test_texts_of_another_class_are_written_as_texts(self, hub, feed_id):
        sink = CosmSink(hub.client(), feed_id=feed_id)
        values = np.empty(1, object)
        values[0] = np.str_("on")
        hub.run(sink.deliver(Batch((SampleBlock.scalar("t", [AT], values),))))
        assert history(hub, feed_id, "t") == [(0, "on")]

    def test_units_and_tags_are_written(self, hub, feed_id):
        info = StreamInfo(
            "t", unit_symbol="°C", unit_label="Celsius", unit_type="derivedSI", tags=("cellar",)
        )
        sink = CosmSink(hub.client(), feed_id=feed_id)
        hub.run(sink.deliver(Batch((block("t", [1.0]),), infos=(info,))))
        stream = hub.run(hub.client().read_datastream(feed_id=feed_id, datastream_id="t"))
        assert stream.unit == Unit(symbol="°C", label="Celsius", type="derivedSI")
        assert stream.tags == ["cellar"]

    def test_a_feed_is_made_once_when_only_a_title_is_given(self, hub):
        sink = CosmSink(hub.client(), title="New")
        hub.run(sink.deliver(Batch((block("t", [1.0]),))))
        hub.run(sink.deliver(Batch((block("t", [2.0], 1),))))
        found = hub.run(hub.client().list_feeds())
        assert [feed.title for feed in found.feeds] == ["New"]
        assert history(hub, sink.feed_id, "t") == [(0, "1.0"), (SECOND, "2.0")]

    def test_a_refused_block_does_not_take_the_others_with_it(self, hub, feed_id):
        sink = CosmSink(hub.client(), feed_id=feed_id)
        bad = SampleBlock.scalar("bad", [AT], np.array(["x" * 300], object))
        receipt = hub.run(sink.deliver(Batch((block("a", [1.0]), bad, block("b", [2.0])))))
        assert [rejection.block for rejection in receipt.rejections] == [1]
        assert "422" in receipt.rejections[0].reason
        assert (history(hub, feed_id, "a"), history(hub, feed_id, "b")) == ([(0, "1.0")], [(0, "2.0")])

    def test_what_the_api_has_no_form_for_is_refused_and_stops_nothing(self, hub, feed_id):
        sink = CosmSink(hub.client(), feed_id=feed_id)
        receipt = hub.run(sink.deliver(Batch((block("a", [1.0]), block("bad", [np.inf])))))
        assert [rejection.block for rejection in receipt.rejections] == [1]
        assert "inf cannot be sent" in receipt.rejections[0].reason
        assert history(hub, feed_id, "a") == [(0, "1.0")]

    def test_of_many_blocks_the_refused_ones_are_found_by_halves(self, hub, feed_id):
        good = [block(f"s{number}", [1.0]) for number in range(128)]
        bad = SampleBlock.scalar("bad", [AT], np.array(["x" * 300], object))
        blocks = (*good[:50], bad, *good[50:])
        asked = []
        client = hub.client()
        update, client.update_feed = (
            client.update_feed,
            lambda **wanted: (asked.append(1), update(**wanted))[1],
        )
        receipt = hub.run(CosmSink(client, feed_id=feed_id).deliver(Batch(blocks)))
        assert [rejection.block for rejection in receipt.rejections] == [50]
        assert len(asked) <= 2 * 8
        assert all(history(hub, feed_id, one.stream) == [(0, "1.0")] for one in good[::10])

    def test_an_empty_batch_asks_for_the_server_and_its_clock_and_changes_nothing(self, hub):
        sink = CosmSink(hub.client(), title="New")
        assert sink.skew is None
        assert hub.run(sink.deliver(Batch())) == Receipt()
        assert sink.skew == pytest.approx(0.0, abs=0.6)
        assert hub.run(hub.client().list_feeds()).feeds == []

    def test_a_key_that_may_not_ask_gets_the_clock_all_the_same(self, hub):
        sink = CosmSink(hub.client("no-such-key"), feed_id=7)
        assert hub.run(sink.deliver(Batch())) == Receipt()
        assert sink.skew is not None

    def test_a_greeting_that_the_server_cannot_answer_is_an_error(self, hub):
        broken = HttpServerFactory(lambda request: Response(503), clock=hub.network.clock)
        hub.network.listen("broken.test", 80, broken)
        with pytest.raises(ServerFailed):
            hub.run(CosmSink(hub.client(url="http://broken.test/v2"), feed_id=7).deliver(Batch()))

    def test_over_a_socket_the_clock_of_the_server_is_not_known(self, hub, paws):
        assert CosmSink(paws, feed_id=7).skew is None

    def test_a_block_that_is_alone_is_asked_for_once(self, hub, feed_id):
        asked = []
        client = hub.client()
        update, client.update_feed = (
            client.update_feed,
            lambda **wanted: (asked.append(1), update(**wanted))[1],
        )
        bad = SampleBlock.scalar("bad", [AT], np.array(["x" * 300], object))
        receipt = hub.run(CosmSink(client, feed_id=feed_id).deliver(Batch((bad,))))
        assert ([rejection.block for rejection in receipt.rejections], len(asked)) == ([0], 1)

    def test_a_refused_description_does_not_take_its_points_with_it(self, hub, feed_id):
        infos = (StreamInfo("t", unit_type="metric"), StreamInfo("u", unit_symbol="V"))
        sink = CosmSink(hub.client(), feed_id=feed_id)
        receipt = hub.run(sink.deliver(Batch((block("t", [1.0]),), infos=infos)))
        assert receipt.rejections == ()
        assert history(hub, feed_id, "t") == [(0, "1.0")]
        stream = hub.run(hub.client().read_datastream(feed_id=feed_id, datastream_id="u"))
        assert stream.unit == Unit(symbol="V")

    def test_delivering_twice_changes_nothing(self, hub, feed_id):
        sink = CosmSink(hub.client(), feed_id=feed_id)
        batch = Batch((block("t", [1.0, 2.0]),))
        hub.run(sink.deliver(batch))
        hub.run(sink.deliver(batch))
        assert history(hub, feed_id, "t") == [(0, "1.0"), (SECOND, "2.0")]

    def test_a_feed_that_is_not_there_is_an_error_and_no_rejection(self, hub):
        with pytest.raises(ConfigError, match="there is no feed"):
            hub.run(CosmSink(hub.client(), feed_id=999).deliver(Batch((block("t", [1.0]),))))

    @pytest.mark.parametrize("status", [200, 201, 400, 404, 405])
    def test_what_stands_in_front_of_the_server_neither_takes_nor_refuses_data(self, hub, status):
        page = Response(status, (("Content-Type", "text/html"),), b"<html>Log in to the network</html>")
        portal = HttpServerFactory(lambda request: page, clock=hub.network.clock)
        hub.network.listen("portal.test", 80, portal)
        sink = CosmSink(hub.client(url="http://portal.test/v2"), feed_id=7)
        with pytest.raises(RemoteProtocolError) as caught:
            hub.run(sink.deliver(Batch((block("a", [1.0]), block("b", [2.0])))))
        assert caught.value.advice is Advice.RETRY

    def test_a_sink_without_a_feed_is_refused(self, hub):
        with pytest.raises(ConfigError):
            CosmSink(hub.client())


class TestSource:
    def test_history_after_the_cursor_and_then_what_happens(self, hub, paws, feed_id):
        sink = CosmSink(hub.client(), feed_id=feed_id)
        hub.run(sink.deliver(Batch((block("t", [1.0, 2.0, 3.0]),))))
        cursor = Cursor({"t": AT // 1000})
        flow = hub.run(CosmSource(paws, feed_id=feed_id).open(EVERYTHING, cursor))
        batch = hub.run(flow.next_batch())
        assert [(one.stream, one.values.tolist()) for one in batch.blocks] == [("t", ["2.0", "3.0"])]
        assert batch.cursor == Cursor({"t": AT // 1000 + 2_000_000})
        hub.run(sink.deliver(Batch((block("t", [4.0], 3),))))
        assert hub.run(flow.next_batch()).blocks[0].values.tolist() == ["4.0"]
        hub.run(flow.close())

    def test_numbers_are_given_when_wanted_and_the_rest_is_a_gap(self, hub, paws, feed_id):
        document = Environment()
        for second, value in enumerate(["1", "off", "2.5"]):
            document.add_datapoint("t", f"2013-06-03T08:44:5{second}Z", value)
        hub.run(hub.client().update_feed(feed_id=feed_id, data=document))
        source = CosmSource(paws, feed_id=feed_id, since="2013-06-03T08:00:00Z", numbers=True)
        flow = hub.run(source.open(EVERYTHING, None))
        batch = hub.run(flow.next_batch())
        assert batch.blocks[0].values.tolist() == [1.0, 2.5]
        assert [(gap.stream, gap.points) for gap in batch.gaps] == [("t", 1)]
        assert source.capabilities.value_types == {ValueType.FLOAT}
        hub.run(flow.close())

    def test_an_instant_that_nanoseconds_cannot_hold_is_a_gap(self, hub, paws, feed_id):
        flow = hub.run(CosmSource(paws, feed_id=feed_id).open(EVERYTHING, None))
        hub.run(deferLater(hub.network.clock, 1))
        document = Environment()
        for at in ("1066-10-14T09:00:00Z", "2013-06-03T08:44:50Z", "9999-12-31T23:59:59Z"):
            document.add_datapoint("t", at, "1")
        hub.run(hub.client().update_feed(feed_id=feed_id, data=document))
        batch = hub.run(flow.next_batch())
        assert [one.at.tolist() for one in batch.blocks] == [[AT]]
        assert [(gap.stream, gap.points, gap.start_ns > AT) for gap in batch.gaps] == [
            ("t", 1, False),
            ("t", 1, True),
        ]
        hub.run(flow.close())

    def test_only_selected_streams_come_with_their_units(self, hub, paws, feed_id):
        feed = Environment(datastreams=[Datastream(id="t.in", unit=Unit(symbol="C")), Datastream(id="rh")])
        hub.run(hub.client().update_feed(feed_id=feed_id, data=feed))
        flow = hub.run(CosmSource(paws, feed_id=feed_id).open(Selection(("t.*",)), None))
        hub.run(deferLater(hub.network.clock, 1))
        sink = CosmSink(hub.client(), feed_id=feed_id)
        hub.run(sink.deliver(Batch((block("rh", [1.0]), block("t.in", [2.0])))))
        batch = hub.run(flow.next_batch())
        assert [one.stream for one in batch.blocks] == ["t.in"]
        assert [(info.name, info.unit_symbol) for info in batch.infos] == [("t.in", "C")]
        hub.run(flow.close())

    def test_a_flow_that_is_opened_again_before_its_first_point_loses_none(self, hub, paws, feed_id):
        source = CosmSource(paws, feed_id=feed_id)
        hub.run(hub.run(source.open(EVERYTHING, None)).close())
        document = Environment()
        document.set_current_value("t", "1")
        hub.run(deferLater(hub.network.clock, 1))
        hub.run(hub.client().update_feed(feed_id=feed_id, data=document))
        flow = hub.run(source.open(EVERYTHING, None))
        assert hub.run(flow.next_batch()).blocks[0].values.tolist() == ["1"]
        hub.run(flow.close())

    def test_a_relay_that_is_restarted_before_its_first_point_loses_none(self, hub, paws, feed_id):
        flow = hub.run(CosmSource(paws, feed_id=feed_id).open(EVERYTHING, None))
        first = hub.run(flow.next_batch())
        assert first.empty
        hub.run(flow.close())
        sink = CosmSink(hub.client(), feed_id=feed_id)
        hub.run(sink.deliver(Batch((block("t", [1.0, 2.0]),))))
        flow = hub.run(CosmSource(paws, feed_id=feed_id).open(EVERYTHING, first.cursor))
        assert hub.run(flow.next_batch()).blocks[0].values.tolist() == ["1.0", "2.0"]
        hub.run(flow.close())

    def test_what_was_recorded_late_while_it_was_away_comes_if_one_expects_it(self, hub, paws, feed_id):
        sink = CosmSink(hub.client(), feed_id=feed_id)
        hub.run(sink.deliver(Batch((block("t", [1.0], 0), block("u", [9.0], 0)))))
        cursor = Cursor({"t": AT // 1000 + 60_000_000, "u": AT // 1000})
        hub.run(sink.deliver(Batch((block("t", [2.0], 30), block("t", [3.0], 60)))))
        source = CosmSource(paws, feed_id=feed_id, late=timedelta(seconds=45))
        flow = hub.run(source.open(EVERYTHING, cursor))
        came = {}
        while len(came) < 2:
            for one in hub.run(flow.next_batch()).blocks:
                came.setdefault(one.stream, []).extend(one.values.tolist())
        assert came == {"t": ["2.0", "3.0"], "u": ["9.0"]}
        hub.run(flow.close())

    def test_a_stream_without_new_points_stays_as_it_was_for_a_flow_that_goes_on(self, hub, paws, feed_id):
        sink = CosmSink(hub.client(), feed_id=feed_id)
        hub.run(sink.deliver(Batch((block("quiet", [1.0, 2.0]),))))
        flow = hub.run(CosmSource(paws, feed_id=feed_id).open(EVERYTHING, None))
        hub.run(deferLater(hub.network.clock, 1))
        hub.run(sink.deliver(Batch((block("t", [4.0]),))))
        cursor = hub.run(flow.next_batch()).cursor
        hub.run(flow.close())
        hub.run(sink.deliver(Batch((block("t", [5.0], 1), block("new", [6.0])))))
        flow = hub.run(CosmSource(paws, feed_id=feed_id).open(EVERYTHING, cursor))
        came = hub.run(flow.next_batch()).blocks
        while len(came) < 2:
            came += hub.run(flow.next_batch()).blocks
        assert sorted((one.stream, one.values.tolist()) for one in came) == [("new", ["6.0"]), ("t", ["5.0"])]
        hub.run(flow.close())

    def test_a_stream_with_an_instant_in_the_future_still_catches_up(self, hub, paws, feed_id):
        sink = CosmSink(hub.client(), feed_id=feed_id)
        hub.run(sink.deliver(Batch((block("t", [1.0], 10**9),))))
        source = CosmSource(paws, feed_id=feed_id)
        hub.run(hub.run(source.open(EVERYTHING, None)).close())
        hub.run(deferLater(hub.network.clock, 1))
        document = Environment()
        document.set_current_value("t", "2")
        hub.run(hub.client().update_feed(feed_id=feed_id, data=document))
        flow = hub.run(source.open(EVERYTHING, None))
        assert hub.run(flow.next_batch()).blocks[0].values.tolist() == ["2"]
        hub.run(flow.close())

    def test_a_foreign_cursor_is_refused(self, hub, paws, feed_id):
        with pytest.raises(ConfigError):
            hub.run(CosmSource(paws, feed_id=feed_id).open(EVERYTHING, Cursor([1])))

    def test_a_source_without_a_feed_is_refused(self, paws):
        with pytest.raises(ConfigError):
            CosmSource(paws)


def test_a_route_from_feed_to_feed_loses_only_what_its_plan_names():
    plan = plan_route(
        SOURCE_CAPABILITIES, SINK_CAPABILITIES, RoutePolicy(frozenset({"gaps dropped", "no acknowledgement"}))
    )
    assert set(plan.losses) <= {"gaps dropped", "no acknowledgement"}


class TestHistorySource:
    START = datetime(2013, 6, 3, 8, tzinfo=UTC)
    END = datetime(2013, 6, 3, 10, tzinfo=UTC)

    def everything(self, hub, source, after=None):
        """What comes until the end, by datastream, and the last cursor."""
        found, gaps, cursor = {}, [], after
        flow = hub.run(source.open(EVERYTHING, after))
        while True:
            try:
                batch = hub.run(flow.next_batch())
            except Closed:
                return found, gaps, cursor
            for one in batch.blocks:
                found.setdefault(one.stream, []).extend(one.values.tolist())
            gaps += batch.gaps
            cursor = batch.cursor

    def source(self, hub, feed_id, **more):
        return CosmHistorySource(hub.client(), feed_id=feed_id, start=self.START, end=self.END, **more)

    def test_everything_in_the_span_comes_and_then_the_end(self, hub, feed_id):
        sink = CosmSink(hub.client(), feed_id=feed_id)
        for start in range(0, 1200, 400):
            hub.run(sink.deliver(Batch((block("a", [float(n) for n in range(400)], start),))))
        hub.run(sink.deliver(Batch((block("b", ["on"]), block("late", ["x"], 8000)))))
        found, _, cursor = self.everything(hub, self.source(hub, feed_id))
        assert (len(found["a"]), found["b"], "late" in found) == (1200, ["on"], False)
        assert self.everything(hub, self.source(hub, feed_id), cursor)[0] == {}

    def test_it_goes_on_after_its_cursor(self, hub, feed_id):
        sink = CosmSink(hub.client(), feed_id=feed_id)
        hub.run(sink.deliver(Batch((block("a", [1.0, 2.0, 3.0]), block("b", [4.0])))))
        cursor = Cursor({"a": AT // 1000 + 1_000_000})
        found, _, after = self.everything(hub, self.source(hub, feed_id), cursor)
        assert found == {"a": ["3.0"], "b": ["4.0"]}
        assert after == Cursor({"a": AT // 1000 + 2_000_000, "b": AT // 1000})

    def test_what_is_no_number_is_a_gap_where_numbers_are_wanted(self, hub, feed_id):
        texts = SampleBlock.scalar("t", AT + np.arange(3) * SECOND, np.array(["1", "off", "2"], object))
        hub.run(CosmSink(hub.client(), feed_id=feed_id).deliver(Batch((texts,))))
        source = self.source(hub, feed_id, numbers=True)
        found, gaps, _ = self.everything(hub, source)
        assert (found, [gap.points for gap in gaps]) == ({"t": [1.0, 2.0]}, [1])
        assert source.capabilities.gaps
        assert not self.source(hub, feed_id).capabilities.gaps

    def test_a_flow_that_was_closed_gives_nothing_more(self, hub, feed_id):
        hub.run(CosmSink(hub.client(), feed_id=feed_id).deliver(Batch((block("a", [1.0]),))))
        flow = hub.run(self.source(hub, feed_id).open(EVERYTHING, None))
        hub.run(flow.close())
        with pytest.raises(Closed):
            hub.run(flow.next_batch())


class Front:
    """What stands before the hub: it answers as a test wrote down, and then hands on to the hub.

    Attributes:
        script: What to answer next: a response, or None to hand on.
        rule: A response to a request whatever the script says, or None.
        ahead: By how many seconds the clock is ahead that its answers tell.
        asked: When each request came, in seconds, and how long it was.
    """

    def __init__(self, hub):
        self.site = HubSite(hub.server, hub.paws)
        self.clock = hub.network.clock
        self.script = []
        self.rule = lambda request: None
        self.ahead = 0
        self.asked = []
        clock = SimpleNamespace(
            seconds=lambda: self.clock.seconds() + self.ahead, callLater=self.clock.callLater
        )
        hub.network.listen("front.test", 80, HttpServerFactory(self.respond, clock=clock))

    def respond(self, request):
        self.asked.append((self.clock.seconds(), len(request.body)))
        scripted = self.script.pop(0) if self.script else None
        return scripted or self.rule(request) or self.site.respond(request)


class TestUnderTrouble:
    """A route to a feed, through what servers and those in front of them answer."""

    @pytest.fixture
    def front(self, hub):
        return Front(hub)

    @pytest.fixture
    def make(self, hub, feed_id):
        routes = []

        def make(key=None, capabilities=PLAIN, **options):
            clock = hub.network.clock
            made = SimpleNamespace(
                source=ScriptedSource(capabilities=capabilities),
                ledger=ScriptedLedger(),
                dead_letters=ScriptedDeadLetters(),
                sink=CosmSink(hub.client(key, url="http://front.test/v2"), feed_id=feed_id),
            )
            made.route = RelayService(
                "garden",
                made.source,
                [Destination(name="hub", sink=made.sink, **options)],
                MemoryOutbox(["hub"], clock),
                clock=hub.network.reactor,
                random=lambda: 0.5,
                ledger=made.ledger,
                dead_letters=made.dead_letters,
            )
            made.route.startService()
            routes.append(made.route)
            return made

        yield make
        for route in routes:
            hub.run(route.stopService())

    def wait(self, hub, seconds):
        hub.run(deferLater(hub.network.reactor, seconds), seconds + 1)

    def there(self, hub, feed_id, stream="t"):
        return [at // SECOND for at, _ in history(hub, feed_id, stream)]

    def test_of_five_hundred_rows_only_the_poisoned_one_is_missing_and_it_is_a_dead_letter(
        self, hub, front, feed_id, make
    ):
        one = make(capabilities=evolve(PLAIN, value_types=frozenset({ValueType.TEXT})))
        texts = np.array(["x" * 300 if row == 321 else str(row) for row in range(500)], object)
        one.source.give(Batch((block("t", texts), block("u", texts[:5]))))
        self.wait(hub, 30)
        assert self.there(hub, feed_id) == [row for row in range(500) if row != 321]
        assert self.there(hub, feed_id, "u") == [0, 1, 2, 3, 4]
        ((where, letter, reason),) = one.dead_letters.letters
        assert (where, [len(text) for text in letter.blocks[0].values]) == ("hub", [300])
        assert "422" in reason
        assert [(loss.kind, loss.gap.points) for loss in one.ledger.losses] == [(LossKind.REFUSED, 1)]
        assert one.route.status().destinations[0].delivered == 504

    def test_a_date_to_come_back_at_is_kept_by_all_that_use_the_account(self, hub, front, feed_id, make):
        now = hub.network.clock.seconds()
        date = format_datetime(datetime.fromtimestamp(now + 90, UTC), usegmt=True)
        front.script = [Response(429, (("Retry-After", date),)), None]
        pace = Pace(PaceLimits(), hub.network.clock)
        first, second = make(pace=pace), make(pace=pace)
        first.source.give(Batch((block("t", [1.0]),)))
        self.wait(hub, 1)
        second.source.give(Batch((block("u", [1.0]),)))
        self.wait(hub, 80)
        assert len(front.asked) == 1
        assert second.route.status().destinations[0].held == pytest.approx(9, abs=1)
        self.wait(hub, 20)
        assert (self.there(hub, feed_id), self.there(hub, feed_id, "u")) == ([0], [0])
        assert min(at for at, _ in front.asked[1:]) >= now + 89

    def test_a_backlog_comes_in_small_parts_at_first_and_no_larger_than_a_proxy_lets_through(
        self, hub, front, feed_id, make
    ):
        front.script = [Response(503)] * 4
        front.rule = lambda request: Response(413) if len(request.body) > 9000 else None
        one = make()
        for start in range(0, 900, 10):
            one.source.give(Batch((block("t", np.arange(10.0), start),)))
        self.wait(hub, 120)
        assert self.there(hub, feed_id) == list(range(900))
        sizes = [size for _, size in front.asked]
        assert sizes[4] < 3000
        assert 5000 < max(sizes) < 40_000
        assert (one.ledger.losses, one.dead_letters.letters) == ([], [])

    def test_a_key_that_is_mended_lets_everything_go_on(self, hub, front, feed_id, make):
        one = make("a-wrong-key")
        one.source.give(Batch((block("t", [1.0, 2.0]),)))
        self.wait(hub, 100)
        assert one.route.status().destinations[0].state is LinkState.NEEDS_ATTENTION
        one.sink._client.api_key = hub.api_key
        one.route.retry_now()
        self.wait(hub, 1)
        assert self.there(hub, feed_id) == [0, 1]
        assert one.ledger.losses == []

    def test_rows_of_a_clock_that_is_behind_arrive_with_their_true_instants(self, hub, front, feed_id, make):
        front.ahead = 1000
        source = evolve(PLAIN, local_clock=True)
        one = make(capabilities=source, clock_rule=ClockRule(policy=ClockPolicy.CORRECT))
        one.source.give(Batch((block("t", [1.0, 2.0]),)))
        self.wait(hub, 5)
        (first, _), (second, _) = history(hub, feed_id, "t")
        assert first / SECOND == pytest.approx(1000, abs=0.6)
        assert second - first == SECOND
        ((loss),) = one.ledger.losses
        assert (loss.kind, loss.gap.points) == (LossKind.CLOCK, 2)
        assert re.fullmatch(r"moved by \+(999|1000)\.\d s", loss.gap.reason)
        status = one.route.status().destinations[0]
        assert (status.clock_moved, status.skew) == (2, pytest.approx(1000, abs=0.6))
