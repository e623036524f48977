"""The subscription client at a real hub in memory, over a WebSocket and over TCP."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from twisted.internet.defer import CancelledError, DeferredList, gatherResults, succeed
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater

from tests.contract.verbs import VerbsContract
from tests.support.hub_in_memory import HubInMemory
from txbridge.cosm.paws import SUBSCRIBE_AGAIN_AFTER, PawsCarrier, PAWSClient
from txbridge.cosm.refusal import Refusal
from txbridge.errors import (
    AuthError,
    Closed,
    ConfigError,
    ConnectionLost,
    EncodeError,
    Forbidden,
    NotFound,
    RemoteProtocolError,
    ServerFailed,
    TimedOut,
)
from txbridge.model.structures import Datastream, Environment
from txbridge.net.backoff import Backoff
from txbridge.net.http1 import Response

AT = datetime(2013, 6, 3, 8, 44, 50, tzinfo=UTC)


@pytest.fixture
def hub(tmp_path):
    with HubInMemory(tmp_path) as hub:
        yield hub


@pytest.fixture(params=["ws", "tcp"])
def url(request, hub):
    host, port = hub.paws_tcp
    return {"ws": f"{hub.paws_url}:80", "tcp": f"tcp://{host}:{port}"}[request.param]


def make_client(hub, url, **options):
    options.setdefault("random", lambda: 0.5)
    return PAWSClient(hub.api_key, url=url, reactor=hub.network.reactor, **options)


@pytest.fixture
def client(hub, url):
    client = make_client(hub, url)
    assert hub.run(client.connect()) is True
    yield client
    hub.run(client.disconnect())


@pytest.fixture
def feed_id(hub):
    feed = Environment(title="Boiler room", datastreams=[Datastream(id="a")])
    return hub.run(hub.client().create_feed(data=feed))


def write(hub, feed_id, value, at, stream="a"):
    """Record a point from elsewhere."""
    update = Environment()
    update.add_datapoint(stream, at, value)
    hub.run(hub.client().update_feed(feed_id=feed_id, data=update))


def points_of(structure):
    """(stream, value) of every point of an update."""
    streams = [structure] if isinstance(structure, Datastream) else structure.datastreams.values()
    return [(stream.id, point.value) for stream in streams for point in stream.datapoints]


def sleep(hub, seconds):
    """Let the network's time pass."""
    return deferLater(hub.network.clock, seconds)


class TestVerbs(VerbsContract):
    """Every verb that works over HTTP works over the socket."""


class TestConnecting:
    def test_a_client_that_is_not_to_be_connected_says_so(self, hub, url):
        client = make_client(hub, url)
        with pytest.raises(Closed):
            hub.run(client.list_feeds())
        assert client.connected is False

    def test_a_failed_first_attempt_is_false_and_attempts_go_on(self, hub):
        nowhere = make_client(hub, "tcp://nowhere.example:1")
        assert hub.run(nowhere.connect()) is False
        assert nowhere.connected is False
        waiting = nowhere.when_connected()
        hub.network.listen("nowhere.example", 1, hub.paws.factory)
        hub.run(waiting)
        assert nowhere.connected is True
        assert hub.run(nowhere.disconnect()) is True

    def test_what_waits_for_a_link_fails_at_its_deadline(self, hub):
        client = make_client(hub, "tcp://nowhere.example:1", deadline=5.0)
        hub.run(client.connect())
        with pytest.raises(TimedOut) as caught:
            hub.run(client.read_feed(feed_id=1))
        assert (caught.value.operation, caught.value.phase) == ("read_feed", "connect")
        hub.run(client.disconnect())

    def test_what_is_in_flight_fails_when_the_link_is_lost(self, hub, client, feed_id):
        hub.network.stall()
        reading = client.read_feed(feed_id=feed_id)
        hub.network.restore()
        hub.network.cut()
        with pytest.raises(ConnectionLost):
            hub.run(reading)

    def test_who_is_told_that_the_link_is_lost_may_go_on_at_once(self, hub, client, feed_id):
        updates = client.updates(feed_id)
        hub.run(sleep(hub, 1))
        hub.network.stall()
        subscribed = []

        def go_on(failure):
            failure.trap(ConnectionLost)
            updates.close()
            subscribed.append(client.subscribe(f"/feeds/{feed_id}", print)[1])
            return client.read_feed(feed_id=feed_id)

        reading = client.read_feed(feed_id=feed_id).addErrback(go_on)
        hub.network.restore()
        hub.network.cut()
        assert hub.run(reading).title == "Boiler room"
        assert hub.run(subscribed[0]) is True

    def test_a_half_open_link_is_noticed_and_made_again(self, hub, client, feed_id):
        hub.network.stall()
        hub.run(sleep(hub, 100), seconds=200)
        assert client.connected is False
        hub.network.restore()
        hub.run(client.when_connected(), seconds=200)
        assert hub.run(client.read_feed(feed_id=feed_id)).title == "Boiler room"

    def test_disconnecting_twice_is_harmless(self, hub, url):
        client = make_client(hub, url)
        hub.run(client.connect())
        assert hub.run(client.disconnect()) is True
        assert hub.run(client.disconnect()) is True
        assert client.connected is False

    def test_it_connects_again_after_being_disconnected(self, hub, url, feed_id):
        client = make_client(hub, url)
        hub.run(client.connect())
        hub.run(client.disconnect())
        assert hub.run(client.connect()) is True
        assert hub.run(client.read_feed(feed_id=feed_id)).id == int(feed_id)
        hub.run(client.disconnect())

    def test_a_cancelled_request_leaves_the_link_working(self, hub, client, feed_id):
        reading = client.read_feed(feed_id=feed_id)
        reading.cancel()
        with pytest.raises(CancelledError):
            hub.run(reading)
        assert hub.run(client.read_feed(feed_id=feed_id)).id == int(feed_id)

    def test_large_documents_may_all_be_sent_at_once(self, hub, client, feed_id):
        document = b'{"description":"' + b"x" * 900_000 + b'"}'
        hub.run(gatherResults([client.update_feed(feed_id=feed_id, data=document) for _ in range(20)]))

    def test_who_asks_again_when_the_server_spoke_nonsense_waits_for_the_next_link(self, hub, feed_id):
        class Nonsense(Protocol):
            def dataReceived(self, data):
                self.transport.write(b"nonsense")

        class FirstNonsense(Factory):
            protocols = iter([Nonsense()])

            def buildProtocol(self, addr):
                return next(self.protocols, None) or hub.paws.factory.buildProtocol(addr)

        hub.network.listen("odd.example", 1, FirstNonsense())
        client = make_client(hub, "tcp://odd.example:1")
        hub.run(client.connect())

        def again(failure):
            failure.trap(RemoteProtocolError)
            return client.read_feed(feed_id=feed_id)

        assert hub.run(client.read_feed(feed_id=feed_id).addErrback(again)).title == "Boiler room"
        hub.run(client.disconnect())

    @pytest.mark.parametrize(
        "bad", ["http://hub.example", "ws://", "tcp://hub.example:0", "ws://user:pw@hub.example", "hub:8081"]
    )
    def test_an_address_that_cannot_be_is_refused(self, bad):
        with pytest.raises(ConfigError):
            PawsCarrier(bad, reactor=object())

    def test_an_address_without_a_port_has_the_one_of_the_service(self):
        assert PawsCarrier("tcp://hub.example", reactor=object()).peer == "tcp://hub.example:8081"
        assert PawsCarrier("ws://hub.example", reactor=object()).peer == "ws://hub.example:8080"


class TestSubscribing:
    def test_it_is_the_pair_that_txpachube_gave(self, hub, client, feed_id):
        token, confirmed = client.subscribe(f"/feeds/{feed_id}", lambda update: None)
        assert hub.run(confirmed) is True
        assert isinstance(token, str)
        assert hub.run(client.unsubscribe(f"/feeds/{feed_id}", token)) is True
        assert hub.run(client.unsubscribe(f"/feeds/{feed_id}", token)) is False

    def test_it_is_the_deferred_that_txcosm_gave(self, hub, client, feed_id):
        seen = []
        subscribing = client.subscribe(f"/feeds/{feed_id}", lambda update: None)
        subscribing.addCallback(seen.append)
        hub.settle()
        hub.run(sleep(hub, 1))
        assert seen == [(subscribing.token, True)]

    def test_a_feeds_updates_are_environments(self, hub, client, feed_id):
        seen = []
        hub.run(client.subscribe(f"/feeds/{feed_id}", seen.append)[1])
        write(hub, feed_id, "21.50", AT)
        hub.run(sleep(hub, 1))
        assert [type(update) for update in seen] == [Environment]
        assert seen[0].datastreams["a"].current_value == "21.50"
        assert points_of(seen[0]) == [("a", "21.50")]

    def test_a_datastreams_updates_are_datastreams(self, hub, client, feed_id):
        seen = []
        hub.run(client.subscribe(f"/feeds/{feed_id}/datastreams/a", seen.append)[1])
        write(hub, feed_id, "1", AT)
        write(hub, feed_id, "2", AT, stream="other")
        hub.run(sleep(hub, 1))
        assert [(type(update), update.current_value) for update in seen] == [(Datastream, "1")]

    def test_what_does_not_exist_is_refused(self, hub, client):
        with pytest.raises(NotFound):
            hub.run(client.subscribe("/feeds/999", lambda update: None)[1])

    def test_a_wrong_key_is_refused(self, hub, client, feed_id):
        with pytest.raises(AuthError):
            hub.run(client.subscribe(f"/feeds/{feed_id}", lambda update: None, api_key="wrong")[1])

    @pytest.mark.parametrize("resource", ["/triggers", "/feeds/x", "feeds", "/feeds/1/datastreams/a/b"])
    def test_only_feeds_and_datastreams_can_be_subscribed_to(self, client, resource):
        with pytest.raises(EncodeError):
            client.subscribe(resource, lambda update: None)

    def test_a_key_that_the_server_repeats_is_not_shown(self, hub, client, feed_id, monkeypatch):
        refusal = Refusal(401, "Unauthorized", "no such key: open sesame")
        monkeypatch.setattr("txbridge.cosm.server.unauthorized", lambda: refusal)
        with pytest.raises(AuthError, match="no such key") as raised:
            hub.run(client.subscribe(f"/feeds/{feed_id}", lambda update: None, api_key="open sesame")[1])
        assert "sesame" not in f"{raised.value} {raised.value!r}"

    def test_a_key_in_a_resource_is_not_shown(self, client):
        with pytest.raises(EncodeError) as caught:
            client.subscribe("/feeds/1?key=SECRET", lambda update: None)
        assert "SECRET" not in str(caught.value)

    def test_a_handler_that_raises_breaks_nothing(self, hub, client, feed_id, flushed_errors):
        seen = []

        def handler(update):
            seen.append(update)
            raise ZeroDivisionError

        hub.run(client.subscribe(f"/feeds/{feed_id}", handler)[1])
        write(hub, feed_id, "1", AT)
        write(hub, feed_id, "2", AT + timedelta(seconds=1))
        hub.run(sleep(hub, 1))
        assert len(seen) == 2
        assert len(flushed_errors(ZeroDivisionError)) == 2

    def test_nothing_comes_after_unsubscribing(self, hub, client, feed_id):
        seen = []
        token, confirmed = client.subscribe(f"/feeds/{feed_id}", seen.append)
        hub.run(confirmed)
        hub.run(client.unsubscribe(f"/feeds/{feed_id}", token))
        write(hub, feed_id, "1", AT)
        hub.run(sleep(hub, 1))
        assert seen == []

    def test_a_deleted_feed_is_told_as_a_gap(self, hub, url, feed_id):
        gaps = []
        client = make_client(hub, url, on_gap=gaps.append)
        hub.run(client.connect())
        hub.run(client.subscribe(f"/feeds/{feed_id}", lambda update: None)[1])
        hub.run(hub.client().delete_feed(feed_id=feed_id))
        hub.run(sleep(hub, 1))
        assert [gap.resource for gap in gaps] == [f"/feeds/{feed_id}"]
        assert "404" in gaps[0].reason
        hub.run(client.disconnect())


class TestReconnecting:
    def test_more_subscriptions_than_the_server_takes_do_not_end_the_client(self, hub, url, feed_id):
        client = make_client(hub, url)
        resource = f"/feeds/{feed_id}"
        asked = [client.subscribe(resource, lambda update: None)[1] for _ in range(1001)]
        answers = DeferredList(asked, consumeErrors=True)
        hub.run(client.connect())
        refused = [failure for is_confirmed, failure in hub.run(answers) if not is_confirmed]
        assert [failure.check(Forbidden) for failure in refused] == [Forbidden]
        assert hub.run(client.read_feed(feed_id=feed_id)).title == "Boiler room"
        hub.run(client.disconnect())

    def test_what_was_missed_comes_from_history_in_order_and_once(self, hub, client, feed_id):
        seen = []
        hub.run(client.subscribe(f"/feeds/{feed_id}", lambda update: seen.extend(points_of(update)))[1])
        write(hub, feed_id, "0", AT)
        hub.run(sleep(hub, 1))
        hub.network.cut()
        for number in range(1, 4):
            write(hub, feed_id, str(number), AT + timedelta(seconds=number))
        hub.run(client.when_connected())
        hub.run(sleep(hub, 2))
        write(hub, feed_id, "4", AT + timedelta(seconds=4))
        hub.run(sleep(hub, 1))
        assert seen == [("a", str(number)) for number in range(5)]

    def test_several_streams_are_filled_in_order_of_time(self, hub, client, feed_id):
        seen = []
        hub.run(client.subscribe(f"/feeds/{feed_id}", lambda update: seen.extend(points_of(update)))[1])
        write(hub, feed_id, "0", AT)
        write(hub, feed_id, "0", AT, stream="b")
        hub.run(sleep(hub, 1))
        hub.network.cut()
        write(hub, feed_id, "1", AT + timedelta(seconds=1), stream="b")
        write(hub, feed_id, "2", AT + timedelta(seconds=2))
        write(hub, feed_id, "3", AT + timedelta(seconds=3), stream="b")
        hub.run(client.when_connected())
        hub.run(sleep(hub, 2))
        assert sorted(seen[2:]) == [("a", "2"), ("b", "1"), ("b", "3")]

    def test_it_never_gives_up_and_its_delay_is_bounded(self, hub, url):
        delays = []

        class Recording(Backoff):
            def next_delay(self, random, now, *, at_least=None):
                delay = super().next_delay(random, now, at_least=at_least)
                delays.append(delay)
                return delay

        client = make_client(hub, "tcp://nowhere.example:1", backoff=Recording(initial=1.0, maximum=16.0))
        hub.run(client.connect())
        hub.run(sleep(hub, 600), seconds=700)
        assert len(delays) > 30
        assert max(delays) == 8.0
        hub.run(client.disconnect())


class TestLeaving:
    def test_leaving_before_the_server_has_confirmed_is_told_as_false(self, hub, client, feed_id):
        token, subscribed = client.subscribe(f"/feeds/{feed_id}", lambda update: None)
        left = client.unsubscribe(f"/feeds/{feed_id}", token)
        assert hub.run(subscribed) is False
        hub.run(left)

    def test_nothing_comes_after_leaving_while_history_is_read(self, hub, client, feed_id):
        write(hub, feed_id, 1, AT)
        updates = client.updates(feed_id, since=AT)
        updates.close()
        hub.run(sleep(hub, 1))
        assert updates.ready() is False
        with pytest.raises(Closed):
            hub.run(updates.next_update())

    def test_a_client_may_connect_again_before_it_is_disconnected(self, hub, client):
        gone, there = client.disconnect(), client.connect()
        assert hub.run(gone) is True
        assert hub.run(there) is True
        assert client.connected is True

    def test_a_client_may_connect_again_when_it_has_stopped_waiting_for_the_end(self, hub, client):
        gone = client.disconnect()
        gone.addErrback(lambda failure: failure.trap(CancelledError))
        gone.cancel()
        assert hub.run(client.connect()) is True
        hub.run(sleep(hub, 1))
        assert client.connected is True

    def test_a_subscription_that_nobody_has_confirmed_ends_with_the_client(self, hub, client, feed_id):
        _, subscribed = client.subscribe(f"/feeds/{feed_id}", lambda update: None)
        waiting = client.updates(feed_id).next_update()
        hub.run(client.disconnect())
        for unanswered in (subscribed, waiting):
            with pytest.raises(Closed):
                hub.run(unanswered)

    def test_a_subscription_of_a_client_that_was_never_connected_ends_with_it(self, hub, url, feed_id):
        client = make_client(hub, url)
        _, subscribed = client.subscribe(f"/feeds/{feed_id}", lambda update: None)
        hub.run(client.disconnect())
        with pytest.raises(Closed):
            hub.run(subscribed)

    def test_a_confirmed_subscription_is_made_again_by_the_next_connecting(self, hub, client, feed_id):
        seen = []
        hub.run(client.subscribe(f"/feeds/{feed_id}", lambda update: seen.extend(points_of(update)))[1])
        write(hub, feed_id, "1", AT)
        hub.run(client.disconnect())
        write(hub, feed_id, "2", AT + timedelta(seconds=1))
        hub.run(client.connect())
        hub.run(sleep(hub, 1))
        assert seen == [("a", "1"), ("a", "2")]

    def test_who_is_told_that_the_first_attempt_failed_may_disconnect_at_once(self, hub):
        nowhere = make_client(hub, "tcp://nowhere.example:1")
        assert hub.run(nowhere.connect().addCallback(lambda _: nowhere.disconnect())) is True
        assert nowhere.connected is False

    def test_who_is_told_that_there_is_a_link_may_disconnect_at_once(self, hub, url):
        client = make_client(hub, url)
        assert hub.run(client.connect().addCallback(lambda _: client.disconnect())) is True
        assert client.connected is False


class TestAServerThatCannotSubscribeForNow:
    def fail_subscribing(self, hub, monkeypatch):
        refusal = Response(503, (), b"")
        monkeypatch.setattr(hub.server, "authorise_subscription", lambda asked: succeed(refusal))

    def test_a_new_subscription_is_refused(self, hub, client, feed_id, monkeypatch):
        self.fail_subscribing(hub, monkeypatch)
        with pytest.raises(ServerFailed):
            hub.run(client.subscribe(f"/feeds/{feed_id}", lambda update: None)[1])

    def test_an_older_one_is_made_again_later_and_misses_nothing(self, hub, client, feed_id, monkeypatch):
        seen, gaps = [], []
        subscribed = client.subscribe(
            f"/feeds/{feed_id}", lambda update: seen.extend(points_of(update)), on_gap=gaps.append
        )
        hub.run(subscribed[1])
        write(hub, feed_id, 1, AT)
        self.fail_subscribing(hub, monkeypatch)
        hub.network.cut()
        hub.run(sleep(hub, 5))
        assert client.connected is True
        write(hub, feed_id, 2, AT + timedelta(seconds=1))
        monkeypatch.undo()
        hub.run(sleep(hub, SUBSCRIBE_AGAIN_AFTER))
        assert seen == [("a", "1"), ("a", "2")]
        assert gaps == []

    def test_it_is_not_made_again_when_it_was_left(self, hub, client, feed_id, monkeypatch):
        resource, seen = f"/feeds/{feed_id}", []
        token, subscribed = client.subscribe(resource, seen.append)
        hub.run(subscribed)
        self.fail_subscribing(hub, monkeypatch)
        hub.network.cut()
        hub.run(sleep(hub, 5))
        monkeypatch.undo()
        assert hub.run(client.unsubscribe(resource, token)) is True
        hub.run(sleep(hub, SUBSCRIBE_AGAIN_AFTER))
        write(hub, feed_id, 1, AT)
        hub.run(sleep(hub, 1))
        assert seen == []
