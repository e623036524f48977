"""Servers that say no, say it oddly, or say nothing: what arrives, and what the ledger says of the rest."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol

from tests.support.faults import FaultyRoad, values_in
from txbridge.net.http1 import Response
from txbridge.relay.status import LinkState


@pytest.fixture
def road(tmp_path):
    running = FaultyRoad(tmp_path)
    running.open_door()
    running.start()
    yield running
    running.stop()
    running.close()


def json_error(status, words, *headers):
    body = b'{"title":"no","errors":"%s"}' % words.encode()
    return Response(status, (("Content-Type", "application/json"), *headers), body)


def everything_arrived(road):
    """The account when nothing may be missing."""
    account = road.account()
    assert account.lost == frozenset()
    assert account.received == account.sent > 0
    assert account.ledger == 0
    return account


def test_nothing_special_happens_when_nothing_fails(road):
    road.advance(60)
    road.drain()
    assert everything_arrived(road).duplicates == 0


@pytest.mark.parametrize("kind", ["seconds", "date"])
def test_a_rate_limit_is_obeyed_in_both_ways_it_is_told(road, kind):
    road.advance(5)
    until = int(road.network.clock.seconds()) + 120
    asked = []

    def limit(request):
        asked.append(road.network.clock.seconds())
        if road.network.clock.seconds() < until:
            told = (
                formatdate(until, usegmt=True)
                if kind == "date"
                else str(int(until - road.network.clock.seconds()))
            )
            return json_error(429, "too often", ("Retry-After", told))
        return None

    road.faults.append(limit)
    road.advance(300)
    road.drain()
    everything_arrived(road)
    early = [at for at in asked if at < until - 1]
    assert len(early) == 1, "it asked again before it was told to"


def test_a_server_that_is_overloaded_is_left_alone_more_and_more(road):
    road.faults.append(lambda request: json_error(503, "overloaded"))
    road.advance(600)
    assert road.status().state is LinkState.AWAY
    assert len(road.requests) < 60
    road.faults.clear()
    road.advance(120)
    road.drain()
    everything_arrived(road)


def test_a_batch_that_is_too_large_is_cut_until_it_is_not(road):
    road.faults.append(lambda request: json_error(413, "too large") if len(request.body) > 2000 else None)
    road.advance(300)
    road.drain()
    everything_arrived(road)


def test_a_key_that_is_replaced_stops_nothing_for_good(road):
    road.advance(10)
    road.faults.append(lambda request: json_error(401, "You must supply a valid API key"))
    road.advance(1800)
    assert road.status().state is LinkState.NEEDS_ATTENTION
    assert road.status().pending_points > 3000
    road.faults.clear()
    road.service.retry_now()
    road.drain()
    everything_arrived(road)


def test_one_poisoned_point_goes_to_the_dead_letters_and_the_rest_arrives(road):
    def poison(request):
        return json_error(422, "value 30 is cursed") if "30" in values_in(request) else None

    road.faults.append(poison)
    road.advance(120)
    road.drain()
    account = road.account()
    assert account.lost == {(name, road.sensor.instant(30)) for name in road.sensor.streams}
    assert account.unaccounted == frozenset()
    assert account.ledger == 3
    held = road.files.paths("*.letter")
    assert held
    assert all(b"cursed" in road.files.content(path) for path in held)


def test_a_dead_letter_that_is_sent_back_arrives_when_the_server_has_changed_its_mind(road):
    road.faults.append(lambda request: json_error(422, "cursed") if "30" in values_in(request) else None)
    road.advance(60)
    road.sensor.stop()
    road.drain()
    assert len(road.account().lost) == 3
    road.faults.clear()
    for path in road.files.paths("*.letter"):
        road.files.make_folder(path.parents[2] / "requeue")
        road.files.rename(path, path.parents[2] / "requeue" / path.name)
    road.advance(30)
    assert road.account().lost == frozenset()


def test_a_captive_portal_gets_nothing_to_keep(road):
    page = Response(
        200, (("Content-Type", "text/html"),), b"<html>Welcome to our hotel, please sign in</html>"
    )
    road.advance(5)
    road.faults.append(lambda request: page)
    road.advance(600)
    assert road.status().state is not LinkState.WORKING
    road.faults.clear()
    road.advance(60)
    road.drain()
    everything_arrived(road)


def test_a_server_that_never_answers_costs_one_deadline_at_a_time(road):
    road.faults.append(lambda request: Deferred())
    road.advance(300)
    assert road.status().pending_points > 800
    road.faults.clear()
    road.advance(60)
    road.drain()
    everything_arrived(road)


class Broken(Protocol):
    """Begins an answer and does not end it."""

    def dataReceived(self, data):
        self.transport.write(self.factory.answer)
        if self.factory.hangs_up:
            self.transport.loseConnection()


@pytest.mark.parametrize("hangs_up", [True, False])
@pytest.mark.parametrize(
    "answer",
    [
        b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"tru',
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b'HTTP/1.1 400 Bad\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"tit',
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
        b"",
    ],
)
def test_an_answer_that_breaks_off_means_nothing(tmp_path, answer, hangs_up):
    road = FaultyRoad(tmp_path)
    factory = Factory.forProtocol(Broken)
    factory.answer, factory.hangs_up = answer, hangs_up
    broken = road.network.listen("cloud.test", 80, factory)
    road.start()
    road.advance(200)
    assert road.status().state is LinkState.AWAY
    broken.stopListening()
    road.network.cut()
    road.open_door()
    road.advance(90)
    road.drain()
    everything_arrived(road)
    road.stop()
    road.close()


def test_a_write_that_was_done_but_not_answered_is_sent_again_and_changes_nothing(road):
    answered = []

    def swallow(request):
        if request.method != "PUT" or len(answered) >= 5:
            return None
        answered.append(request)
        done = road.site.respond(request)
        lost = Deferred()
        done.addCallback(lambda _: road.network.cut())
        return lost

    road.faults.append(swallow)
    road.advance(120)
    road.drain()
    account = everything_arrived(road)
    assert account.duplicates > 0
    stored = result_of_history(road)
    assert stored == sorted(set(road.sensor.points()))


def result_of_history(road):
    """Every point that is in the hub's history."""
    points = []
    for name in road.sensor.streams:
        for point in road.hub.run(road.hub._store.read_points(road.feed_id, name, None, 10_000)):
            points.append((name, int(point.at.timestamp()) * 1_000_000_000))
    return sorted(points)


def test_the_order_of_each_stream_is_kept_through_every_failure(road):
    def sometimes(request):
        chance = road.random.random()
        if chance < 0.2:
            return json_error(503, "overloaded")
        if chance < 0.3:
            return json_error(429, "too often", ("Retry-After", "3"))
        if chance < 0.35 and len(request.body) > 1000:
            return json_error(413, "too large")
        return None

    road.faults.append(sometimes)
    road.advance(400)
    road.faults.clear()
    road.drain()
    everything_arrived(road)
    for name in road.sensor.streams:
        firsts = list(dict.fromkeys(at for stream, at in road.arrived if stream == name))
        assert firsts == sorted(firsts)
