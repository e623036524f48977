"""The HTTP server's shell: transports, timers, the site's answers, and the way out."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import (
    IHalfCloseableDescriptor,
    IHalfCloseableProtocol,
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
    IPushProducer,
    ISSLTransport,
    ITCPTransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import Interface, alsoProvides, implementer
from zope.interface.verify import verifyObject

from txbridge.net.http1 import HttpLimits, Request, Response
from txbridge.net.http_server import LAST_SECONDS, HttpServerFactory, switch_protocol

GET = b"GET /v2/feeds/7021?key=k7Q HTTP/1.1\r\nHost: h\r\nX-ApiKey: k7Q\r\n\r\n"
GET_AND_CLOSE = b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"
WEBSOCKET = (
    b"GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@implementer(IHalfCloseableDescriptor)
class HalfCloseableTransport(StringTransport):
    """A transport in memory that can close its writing side, and counts what it is told."""

    half_closed = False
    protocol: Any = None
    producer: Any

    def __init__(self) -> None:
        StringTransport.__init__(self)
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        self.io.write(data)

    def loseWriteConnection(self) -> None:
        self.half_closed = True

    def readConnectionLost(self, reason: Failure) -> None:
        raise AssertionError("the transport is told, it does not tell")

    writeConnectionLost = readConnectionLost


class TcpTransport(HalfCloseableTransport):
    """One that also has TCP's options; provides `ITCPTransport` or `ISSLTransport` as the test says."""

    def __init__(self, *interfaces: type[Interface]) -> None:
        super().__init__()
        self.options: list[tuple[str, bool]] = []
        alsoProvides(self, *interfaces)

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.options.append(("no delay", enabled))

    def setTcpKeepAlive(self, enabled: bool) -> None:
        self.options.append(("keep alive", enabled))


class Stalling(HalfCloseableTransport):
    """One that is full after each write."""

    def write(self, data: bytes) -> None:
        super().write(data)
        self.producer.pauseProducing()


class Site:
    """A site whose answers the test gives when it likes."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answers: list[Deferred[Response]] = []
        self.cancelled = 0

    def respond(self, request: Request) -> Deferred[Response]:
        self.requests.append(request)
        answer: Deferred[Response] = Deferred(self.note_cancelled)
        self.answers.append(answer)
        return answer

    def note_cancelled(self, answer: Deferred[Response]) -> None:
        self.cancelled += 1

    def answer(self, body: bytes = b"") -> None:
        self.answers.pop(0).callback(Response(200, (), body))


@pytest.fixture
def clock():
    clock = Clock()
    clock.advance(1370251200)  # 2013-06-03 09:20 UTC
    return clock


@pytest.fixture
def serve(clock):
    """Make a factory; no timer may be left when the test is over."""

    def make(respond: Callable[[Request], object], **options) -> HttpServerFactory:
        return HttpServerFactory(respond, clock=clock, **options)  # type: ignore[arg-type]

    return make


def connect(factory: Any, transport: Any = None) -> tuple[Any, Any]:
    """Connect a client to a server's factory; returns the protocol and its transport."""
    protocol = factory.buildProtocol(None)
    transport = HalfCloseableTransport() if transport is None else transport
    protocol.makeConnection(transport)
    return protocol, transport


def lose(protocol: Any) -> None:
    protocol.connectionLost(Failure(connectionDone.value))


def statuses(transport: Any) -> list[int]:
    return [int(part[:3]) for part in transport.value().split(b"HTTP/1.1 ")[1:]]


def ok(request: Request) -> Response:
    return Response(200, (), request.path.encode())


# -------------------------------------------------------------------------------- asking the site


def test_an_answer_is_one_write(serve):
    protocol, transport = connect(serve(ok))
    protocol.dataReceived(GET)
    assert transport.writes == [
        b"HTTP/1.1 200 OK\r\nDate: Mon, 03 Jun 2013 09:20:00 GMT\r\nContent-Length: 14\r\n\r\n/v2/feeds/7021"
    ]
    assert not transport.disconnecting


def test_the_site_learns_who_asks(serve):
    site = Site()
    protocol, _ = connect(serve(site.respond))
    protocol.dataReceived(GET)
    assert (site.requests[0].client, site.requests[0].secure) == ("192.168.1.1", False)


def test_small_answers_are_not_delayed_and_dead_clients_are_noticed(serve):
    _, transport = connect(serve(ok), TcpTransport(ITCPTransport))
    assert sorted(transport.options) == [("keep alive", True), ("no delay", True)]


def test_the_protocol_keeps_twisteds_promises(serve):
    protocol, _ = connect(serve(ok))
    assert verifyObject(IPushProducer, protocol)
    assert verifyObject(IHalfCloseableProtocol, protocol)


HALF_A_BODY = b"PUT / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n" + b"x" * 600
HALF_A_CHUNK = b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n" + b"x" * 600


@pytest.mark.parametrize("half", [HALF_A_BODY, HALF_A_CHUNK])
def test_of_bodies_that_do_not_end_the_longest_is_refused_when_together_they_are_too_much(serve, half):
    factory = serve(ok, max_unfinished_bytes=1500)
    clients = [connect(factory) for _ in range(3)]
    for protocol, _ in clients:
        protocol.dataReceived(half)
    clients[1][0].dataReceived(b"x")
    assert [statuses(transport) for _, transport in clients] == [[503], [], []]
    small, transport = connect(factory)
    small.dataReceived(half[:100])
    assert [statuses(transport) for _, transport in clients] == [[503], [], []]
    small.dataReceived(half[100:])
    assert [statuses(transport) for _, transport in clients] == [[503], [503], []]
    assert statuses(transport) == []
    for protocol, _ in [*clients, (small, transport)]:
        lose(protocol)
    assert factory.unfinished.held == 0


def test_heads_that_do_not_end_are_counted_too(serve):
    factory = serve(ok, max_unfinished_bytes=1000)
    clients = [connect(factory) for _ in range(3)]
    for protocol, _ in clients:
        protocol.dataReceived(b"GET / HTTP/1.1\r\nX-Padding: " + b"x" * 400)
    assert [statuses(transport) for _, transport in clients] == [[503], [], []]
    for protocol, _ in clients:
        lose(protocol)
    assert factory.unfinished.held == 0


def test_who_sends_too_far_ahead_is_cut_off_when_all_together_hold_too_much(serve):
    site = Site()
    factory = serve(site.respond, max_unfinished_bytes=1000)
    modest, (greedy, transport) = connect(factory), connect(factory)
    modest[0].dataReceived(GET * 3)
    greedy.dataReceived(GET * 20)
    assert transport.disconnected
    assert not modest[1].disconnected
    lose(greedy)
    for _ in range(4):
        site.answer()
    assert statuses(modest[1]) == [200, 200, 200]
    assert factory.unfinished.held == 0
    lose(modest[0])


class NarrowTransport(HalfCloseableTransport):
    """A transport that is full after each write."""

    def write(self, data: bytes) -> None:
        super().write(data)
        self.producer.pauseProducing()


def test_of_those_who_do_not_read_the_one_with_most_is_cut_off(serve):
    def respond(request: Request) -> Response:
        return Response(200, (), b"x" * int(request.path[1:]))

    factory = serve(respond, max_unread_bytes=2500)
    clients = [connect(factory, NarrowTransport()) for _ in range(4)]
    for (protocol, _), size in zip(clients, (700, 900, 300, 10), strict=True):
        protocol.dataReceived(b"GET /%d HTTP/1.1\r\n\r\n" % size)
    assert not any(transport.disconnected for _, transport in clients)
    clients[2][0].resumeProducing()
    clients[2][0].dataReceived(b"GET /800 HTTP/1.1\r\n\r\n")
    assert [transport.disconnected for _, transport in clients] == [False, True, False, False]
    for protocol, _ in clients:
        lose(protocol)
    assert factory.unread.held == 0


@pytest.mark.parametrize("half", [HALF_A_BODY, HALF_A_CHUNK])
@pytest.mark.parametrize("end", ["complete", "lost", "too slow"])
def test_a_body_that_ended_makes_room_for_others(serve, clock, half, end):
    factory = serve(ok, max_unfinished_bytes=1000)
    for _ in range(5):
        protocol, transport = connect(factory)
        protocol.dataReceived(half)
        assert statuses(transport) == []
        if end == "complete":
            protocol.dataReceived(b"x" * 400 + (b"\r\n0\r\n\r\n" if half is HALF_A_CHUNK else b""))
            assert statuses(transport) == [200]
        elif end == "too slow":
            clock.advance(61)
            assert statuses(transport) == [408]
        lose(protocol)


def test_the_date_is_that_of_the_clock(serve, clock):
    factory = serve(ok)
    assert factory.date() == "Mon, 03 Jun 2013 09:20:00 GMT"
    clock.advance(0.5)
    assert factory.date() == "Mon, 03 Jun 2013 09:20:00 GMT"
    clock.advance(0.5)
    assert factory.date() == "Mon, 03 Jun 2013 09:20:01 GMT"


def test_an_interim_answer_goes_out_before_the_body_comes(serve):
    protocol, transport = connect(serve(ok))
    protocol.dataReceived(b"PUT / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert transport.writes == [b"HTTP/1.1 100 Continue\r\n\r\n"]
    protocol.dataReceived(b"{}")
    assert len(transport.writes) == 2


def test_pipelined_requests_are_asked_one_after_the_other(serve):
    site = Site()
    protocol, transport = connect(serve(site.respond))
    protocol.dataReceived(GET + GET + GET)
    assert len(site.requests) == 1
    site.answer()
    assert len(site.requests) == 2
    site.answer()
    site.answer()
    assert statuses(transport) == [200, 200, 200]


@pytest.mark.parametrize("respond", [ok, lambda request: succeed(ok(request))])
def test_a_long_pipeline_does_not_deepen_the_stack(serve, respond):
    protocol, transport = connect(serve(respond, limits=HttpLimits(pipeline=1 << 20)))
    protocol.dataReceived(GET * 3000)
    assert len(statuses(transport)) == 3000


def test_a_long_pipeline_behind_a_late_answer_does_not_deepen_the_stack(serve):
    first: Deferred[Response] = Deferred()
    answers = [first]

    def respond(request: Request) -> Deferred[Response]:
        return answers.pop() if answers else succeed(ok(request))

    protocol, transport = connect(serve(respond))
    protocol.dataReceived(GET * 3000)
    assert statuses(transport) == []
    first.callback(Response(201))
    assert statuses(transport)[:2] == [201, 200]
    assert len(statuses(transport)) == 3000


def test_reading_pauses_while_the_pipeline_is_full(serve):
    site = Site()
    protocol, transport = connect(serve(site.respond, limits=HttpLimits(pipeline=len(GET))))
    protocol.dataReceived(GET + GET)
    assert transport.producerState == "producing"
    protocol.dataReceived(GET)
    assert transport.producerState == "paused"
    site.answer()
    assert transport.producerState == "producing"
    site.answer()
    site.answer()
    assert len(site.requests) == 3


# -------------------------------------------------------------------------------- a failing site


def fail_at_once(request: Request) -> Response:
    raise ValueError("it broke")


def fail_later(request: Request) -> Deferred[Response]:
    answer: Deferred[Response] = Deferred()
    answer.errback(ValueError("it broke"))
    return answer


def answer_unwritably(request: Request) -> Response:
    return Response(200, (("Location", "a\r\nb"),))


@pytest.mark.parametrize(
    ("respond", "error"),
    [
        (fail_at_once, ValueError),
        (fail_later, ValueError),
        (answer_unwritably, ValueError),
        (lambda request: None, TypeError),
        (lambda request: succeed("text"), TypeError),
    ],
)
def test_a_failing_site_is_a_500_logged_once(serve, flushed_errors, respond, error):
    protocol, transport = connect(serve(respond))
    protocol.dataReceived(GET + GET_AND_CLOSE)
    assert statuses(transport) == [500, 500]
    assert len(flushed_errors(error)) == 2


def test_a_failing_site_may_still_word_its_500(serve, flushed_errors):
    def refuse(status: int, reason: str, path: str) -> Response:
        return Response(status, (), b"<errors/>")

    protocol, transport = connect(serve(fail_at_once, refuse=refuse))
    protocol.dataReceived(GET)
    assert transport.value().endswith(b"<errors/>")
    assert len(flushed_errors(ValueError)) == 1


def test_a_failure_is_logged_without_the_clients_secrets(serve, flushed_errors):
    key = "k" * 43
    events: list[dict[str, object]] = []
    factory = serve(fail_at_once)
    protocol, _ = connect(factory)
    factory.log = type(factory.log)(observer=events.append)
    protocol.dataReceived(f"GET /v2/keys/{key}?key={key} HTTP/1.1\r\nX-ApiKey: {key}\r\n\r\n".encode())
    (event,) = events
    assert (event["method"], event["path"]) == ("GET", "/v2/keys/…")
    assert key not in repr(event)
    flushed_errors()


# ------------------------------------------------------------------------------- clients that leave


def test_an_accepted_request_completes_without_its_client(serve):
    site = Site()
    protocol, transport = connect(serve(site.respond))
    protocol.dataReceived(GET + GET)
    lose(protocol)
    assert site.cancelled == 0
    site.answer()
    assert transport.value() == b""
    assert len(site.requests) == 1


def test_a_failure_without_a_client_is_still_logged(serve, flushed_errors):
    site = Site()
    protocol, transport = connect(serve(site.respond))
    protocol.dataReceived(GET)
    lose(protocol)
    site.answers[0].errback(ValueError("it broke"))
    assert len(flushed_errors(ValueError)) == 1
    assert transport.value() == b""


def test_a_client_that_closes_its_writing_side_gets_its_answer(serve):
    site = Site()
    protocol, transport = connect(serve(site.respond))
    protocol.dataReceived(GET)
    protocol.readConnectionLost()
    assert not transport.disconnecting
    site.answer()
    assert statuses(transport) == [200]
    assert transport.disconnecting


def test_no_timer_outlives_its_connection(serve, clock):
    protocol, _ = connect(serve(ok))
    protocol.dataReceived(GET)
    assert len(clock.getDelayedCalls()) == 1
    lose(protocol)
    assert clock.getDelayedCalls() == []


# -------------------------------------------------------------------------------------- time limits


def test_an_idle_connection_is_closed_after_its_last_answer(serve, clock):
    protocol, transport = connect(serve(ok))
    for _ in range(5):
        clock.advance(60)
        protocol.dataReceived(GET)
    clock.advance(74)
    assert not transport.disconnecting
    clock.advance(1)
    assert transport.disconnecting
    assert statuses(transport) == [200] * 5


def test_slowloris_is_answered_408(serve, clock):
    protocol, transport = connect(serve(ok))
    clock.advance(70)
    for byte in GET[:20]:
        protocol.dataReceived(bytes([byte]))
        assert transport.value() == b""
        clock.advance(1)
    assert statuses(transport) == [408]
    assert transport.half_closed


def test_many_requests_move_no_timer(serve, clock):
    protocol, _ = connect(serve(ok))
    (timer,) = clock.getDelayedCalls()
    due = timer.getTime()
    for _ in range(10):
        clock.advance(1)
        protocol.dataReceived(GET)
    assert clock.getDelayedCalls() == [timer]
    assert timer.getTime() == due


def test_a_full_transport_does_not_hurry_a_request_that_is_out(serve, clock):
    site = Site()
    protocol, transport = connect(serve(site.respond))
    protocol.dataReceived(GET)
    protocol.pauseProducing()
    clock.advance(600)
    assert not transport.disconnected
    site.answer()
    protocol.resumeProducing()
    assert statuses(transport) == [200]


def test_a_stalled_answer_is_given_its_time_and_no_more(serve, clock):
    site = Site()
    protocol, transport = connect(serve(site.respond), Stalling())
    protocol.dataReceived(GET * 3)
    site.answer()
    assert len(site.requests) == 1
    clock.advance(59)
    protocol.resumeProducing()
    assert len(site.requests) == 2
    site.answer()
    clock.advance(59)
    assert not transport.disconnected
    clock.advance(1)
    assert transport.disconnected
    assert len(site.requests) == 2
    lose(protocol)
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize("request_", [GET, GET_AND_CLOSE])
def test_a_slow_reader_gets_a_long_answer_whole_before_the_connection_ends(serve, clock, request_):
    site = Site()
    factory = serve(site.respond)
    protocol, transport = connect(factory, Stalling())
    protocol.dataReceived(request_)
    body = bytes(range(256)) * 1024
    site.answer(body)
    for _ in range(4):
        clock.advance(59)
        assert not transport.disconnecting
        assert not transport.half_closed
        assert factory.unread.held
        protocol.resumeProducing()
    assert transport.value().endswith(b"\r\n\r\n" + body)
    assert transport.half_closed is (request_ is GET_AND_CLOSE)
    lose(protocol)
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize("request_", [GET, GET_AND_CLOSE])
def test_who_reads_a_part_of_a_long_answer_and_no_more_is_disconnected(serve, clock, request_):
    site = Site()
    factory = serve(site.respond)
    protocol, transport = connect(factory, Stalling())
    protocol.dataReceived(request_)
    site.answer(b"x" * 1_000_000)
    clock.advance(59)
    protocol.resumeProducing()
    clock.advance(59)
    assert not transport.disconnected
    clock.advance(1)
    assert transport.disconnected
    lose(protocol)
    assert factory.unread.held == 0
    assert clock.getDelayedCalls() == []


def test_a_client_that_ends_its_side_gets_the_rest_of_a_long_answer(serve, clock):
    site = Site()
    protocol, transport = connect(serve(site.respond), Stalling())
    protocol.dataReceived(GET_AND_CLOSE)
    site.answer(b"x" * 300_000)
    protocol.readConnectionLost()
    while not transport.disconnecting:
        clock.advance(30)
        protocol.resumeProducing()
    assert transport.value().endswith(b"x" * 300_000)
    lose(protocol)


def test_closing_half_closes_first_and_drops_what_still_comes(serve, clock):
    site = Site()
    protocol, transport = connect(serve(site.respond))
    protocol.dataReceived(GET_AND_CLOSE)
    site.answer()
    assert transport.half_closed
    assert not transport.disconnecting
    assert transport.producer is None  # a paused producer would keep the transport from closing
    protocol.dataReceived(GET)
    assert len(site.requests) == 1
    clock.advance(5)
    assert transport.disconnecting
    clock.advance(60)
    assert transport.disconnected


def test_a_secure_connection_is_closed_by_tls_itself(serve, clock):
    """Half closing would go past TLS's own buffers, to the socket below."""
    protocol, transport = connect(serve(ok), TcpTransport(ISSLTransport))
    protocol.dataReceived(GET_AND_CLOSE)
    assert transport.disconnecting
    assert not transport.half_closed
    clock.advance(5)
    clock.advance(60)
    assert transport.disconnected


def test_a_client_that_closes_after_its_answer_is_let_go_at_once(serve):
    protocol, transport = connect(serve(ok))
    protocol.dataReceived(GET_AND_CLOSE)
    protocol.writeConnectionLost()
    protocol.readConnectionLost()
    assert transport.disconnecting
    assert not transport.disconnected


# -------------------------------------------------------------------------------- too many, draining


def test_a_surplus_connection_is_refused_with_503_while_all_are_busy(serve, clock):
    site = Site()
    factory = serve(site.respond, max_connections=2)
    busy = [connect(factory) for _ in range(2)]
    for protocol, _ in busy:
        protocol.dataReceived(GET)
    surplus, transport = connect(factory)
    assert statuses(transport) == [503]
    assert transport.disconnecting
    surplus.dataReceived(GET)
    surplus.readConnectionLost()
    lose(surplus)
    assert statuses(transport) == [503]
    site.answer()
    _, transport = connect(factory)
    assert transport.value() == b""
    site.answer()
    assert [statuses(transport) for _, transport in busy] == [[200], [200]]


def test_a_newcomer_takes_the_place_of_who_was_answered_longest_ago(serve):
    factory = serve(ok, max_connections=3)
    clients = [connect(factory) for _ in range(3)]
    for number in (1, 0):
        clients[number][0].dataReceived(GET)
    newcomers = [connect(factory) for _ in range(2)]
    assert [transport.disconnected for _, transport in clients] == [False, True, True]
    for protocol, _ in clients:
        lose(protocol)
    for protocol, transport in newcomers:
        protocol.dataReceived(GET_AND_CLOSE)
        assert statuses(transport) == [200]
        lose(protocol)


@pytest.mark.parametrize("begun", [b"GET / HT", HALF_A_BODY], ids=["head", "body"])
def test_who_only_begins_requests_keeps_nobody_out(serve, begun):
    factory = serve(ok, max_connections=2)
    slow, idle = connect(factory), connect(factory)
    slow[0].dataReceived(begun)
    connect(factory)
    assert (slow[1].disconnected, idle[1].disconnected) == (False, True)
    third, _ = connect(factory)
    third.dataReceived(begun)
    fourth, transport = connect(factory)
    assert slow[1].disconnected
    fourth.dataReceived(GET)
    assert statuses(transport) == [200]


def test_who_reads_nothing_keeps_nobody_out(serve):
    factory = serve(ok, max_connections=1)
    deaf = connect(factory, NarrowTransport())
    deaf[0].dataReceived(GET)
    _, transport = connect(factory)
    assert deaf[1].disconnected
    assert transport.value() == b""


def test_a_surplus_secure_connection_costs_no_handshake(serve):
    _, transport = connect(serve(ok, max_connections=0), TcpTransport(ISSLTransport))
    assert transport.disconnected
    assert transport.value() == b""


def test_draining_closes_idle_connections_after_a_moment(serve, clock):
    factory = serve(ok)
    protocol, transport = connect(factory)
    protocol.dataReceived(GET)
    done = factory.drain()
    clock.advance(LAST_SECONDS / 2)
    assert not transport.disconnecting
    clock.advance(LAST_SECONDS / 2)
    assert transport.disconnecting
    assert not done.called
    lose(protocol)
    assert done.called
    assert clock.getDelayedCalls() == []


def test_a_request_that_was_on_its_way_when_draining_began_is_answered(serve, clock):
    factory = serve(ok)
    protocol, transport = connect(factory)
    protocol.dataReceived(GET)
    done = factory.drain()
    protocol.dataReceived(GET)
    assert statuses(transport) == [200, 200]
    assert transport.value().count(b"Connection: close\r\n") == 1
    assert transport.half_closed
    lose(protocol)
    assert done.called
    assert clock.getDelayedCalls() == []


def test_a_request_that_began_in_the_last_moment_is_answered(serve, clock):
    factory = serve(ok)
    protocol, transport = connect(factory)
    factory.drain()
    protocol.dataReceived(GET[:10])
    clock.advance(LAST_SECONDS)
    assert not transport.disconnecting
    protocol.dataReceived(GET[10:])
    assert statuses(transport) == [200]
    assert transport.half_closed


def test_a_websocket_that_is_asked_for_while_draining_is_refused(serve):
    factory = serve(ok, upgrade=lambda transport, request, data: transport.write(b"upgraded"))
    protocol, transport = connect(factory)
    factory.drain()
    protocol.dataReceived(WEBSOCKET)
    assert statuses(transport) == [503]
    assert transport.half_closed
    assert b"upgraded" not in transport.value()


def test_draining_lets_busy_connections_answer(serve, clock):
    site = Site()
    factory = serve(site.respond)
    protocol, transport = connect(factory)
    protocol.dataReceived(GET + GET)
    done = factory.drain()
    assert not transport.disconnecting
    site.answer()
    assert b"Connection: close\r\n" in transport.value()
    assert transport.half_closed
    assert len(site.requests) == 1
    lose(protocol)
    assert done.called


def test_draining_waits_for_the_request_of_a_client_that_went(serve):
    site = Site()
    factory = serve(site.respond)
    protocol, _ = connect(factory)
    protocol.dataReceived(GET)
    lose(protocol)
    done = factory.drain()
    assert not done.called
    site.answer()
    assert done.called


def test_draining_ends_in_time(serve, clock):
    site = Site()
    factory = serve(site.respond)
    protocol, transport = connect(factory)
    protocol.dataReceived(GET)
    done = factory.drain(7)
    clock.advance(6)
    assert not done.called
    clock.advance(1)
    assert done.called
    assert transport.disconnected
    site.answer()
    lose(protocol)
    assert clock.getDelayedCalls() == []


def test_draining_nothing_is_done_at_once_and_refuses_newcomers(serve):
    factory = serve(ok)
    assert factory.drain().called
    _, transport = connect(factory)
    assert statuses(transport) == [503]


def test_draining_may_be_asked_twice_and_given_up(serve, clock, flushed_errors):
    factory = serve(ok)
    protocol, _ = connect(factory)
    first, second, third = factory.drain(), factory.drain(), factory.drain()
    failures: list[Failure] = []
    second.addErrback(failures.append)
    second.cancel()
    assert failures[0].check(CancelledError)
    lose(protocol)
    assert first.called
    assert third.called
    assert clock.getDelayedCalls() == []


def test_a_site_may_drain_its_own_server(serve):
    done: list[Deferred[None]] = []

    def respond(request: Request) -> Response:
        done.append(factory.drain())
        return Response(200)

    factory = serve(respond)
    protocol, transport = connect(factory)
    protocol.dataReceived(GET)
    assert b"Connection: close\r\n" in transport.value()
    lose(protocol)
    assert done[0].called


# --------------------------------------------------------------------------------------- websockets


class Recorder(Protocol):
    """Keeps what it reads, and can be waited for."""

    transport: Any

    def __init__(self) -> None:
        self.received = b""
        self.closed: Deferred[bytes] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.closed.callback(self.received)


def test_a_websocket_gets_the_transport_and_every_byte(serve, clock):
    recorder = Recorder()
    asked: list[Request] = []

    def upgrade(transport, request, data):
        asked.append(request)
        switch_protocol(transport, recorder, data)

    factory = serve(ok, upgrade=upgrade)
    protocol, transport = connect(factory)
    protocol.dataReceived(GET)
    transport.clear()
    protocol.dataReceived(WEBSOCKET + b"\x81")
    assert asked[0].path == "/ws"
    assert transport.protocol is recorder
    assert recorder.received == WEBSOCKET + b"\x81"
    assert recorder.transport is transport
    assert transport.producer is None
    assert clock.getDelayedCalls() == []
    assert transport.value() == b""
    assert factory.drain().called


def test_without_websockets_an_upgrade_is_a_request(serve):
    protocol, transport = connect(serve(ok))
    protocol.dataReceived(WEBSOCKET)
    assert statuses(transport) == [200]


# ------------------------------------------------------------------------------ over real transports

ARDUINO = (
    b"PUT /v2/feeds/7021/datastreams/0.csv HTTP/1.1\nHost: api.pachube.com\nX-PachubeApiKey: k7Q\r\n"
    b"Content-Length: 4\nConnection: close\n\r\n21.5\0"
)


def real_reactor() -> Any:
    from twisted.internet import reactor

    return reactor


@implementer(IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator)
class TlsContext:
    """Makes the TLS connections of either side; a client that trusts everybody is enough here."""

    def __init__(self, context: SSL.Context) -> None:
        self._context = context

    def serverConnectionForTLS(self, protocol: object) -> SSL.Connection:  # noqa: N802 - Twisted's
        return SSL.Connection(self._context)

    clientConnectionForTLS = serverConnectionForTLS


async def fetch(port: Any, *pieces: bytes, wrap: Callable[[Any], Any] = lambda factory: factory) -> bytes:
    """Send what a device sends, and read until the server closes."""
    reactor = real_reactor()
    recorder = Recorder()
    endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
    await endpoint.connect(wrap(Factory.forProtocol(lambda: recorder)))
    for piece in pieces:
        recorder.transport.write(piece)
    return await recorder.closed


async def test_a_device_is_served_over_a_real_socket():
    reactor = real_reactor()
    body = b"x" * 3_000_000  # more than the socket takes at once

    def respond(request: Request) -> Response | Deferred[Response]:
        if request.path == "/large":
            return Response(200, (), body)
        return succeed(Response(200, (), request.body))

    factory = HttpServerFactory(respond, clock=reactor)
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    try:
        small = await fetch(port, ARDUINO)
        large = await fetch(port, b"GET /large HTTP/1.1\r\n\r\n", b"GET /large HTTP/1.0\r\n\r\n")
    finally:
        await port.stopListening()
        await factory.drain()
    assert small.startswith(b"HTTP/1.1 200 OK\r\n")
    assert small.endswith(b"\r\n\r\n21.5")
    assert large.count(b"HTTP/1.1 200 OK") == 2
    assert large.count(b"x") == 2 * len(body)


@pytest.fixture(scope="module")
def server_context():
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hub.example")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("hub.example")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_certificate(certificate)
    context.use_privatekey(key)
    return TlsContext(context)


async def test_a_secure_client_is_served_upgraded_and_let_go(server_context):
    reactor = real_reactor()
    seen: list[Request] = []

    def respond(request: Request) -> Response:
        seen.append(request)
        return Response(200, (), b"x" * 1_000_000)

    class Echo(Protocol):
        transport: Any

        def dataReceived(self, data: bytes) -> None:
            self.transport.write(b"upgraded " + data[-1:])
            self.transport.loseConnection()

    def upgrade(transport, request, data):
        switch_protocol(transport, Echo(), data)

    factory = HttpServerFactory(respond, upgrade=upgrade, clock=reactor)
    port = reactor.listenTCP(0, TLSMemoryBIOFactory(server_context, False, factory), interface="127.0.0.1")

    def wrap(inner):
        return TLSMemoryBIOFactory(TlsContext(SSL.Context(SSL.TLS_CLIENT_METHOD)), True, inner)

    try:
        answer = await fetch(port, b"GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.0\r\n\r\n", wrap=wrap)
        echoed = await fetch(port, WEBSOCKET + b"!", wrap=wrap)
    finally:
        await port.stopListening()
        await factory.drain()
    assert [(request.path, request.secure) for request in seen] == [("/a", True), ("/b", True)]
    assert answer.count(b"x") == 2_000_000
    assert echoed == b"upgraded !"


HALF_A_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"


@pytest.mark.parametrize("hello", [b"", HALF_A_HELLO])
def test_a_tls_handshake_that_is_never_completed_is_cut_off(serve, clock, server_context, hello):
    factory = serve(ok)
    secure, transport = connect(
        TLSMemoryBIOFactory(server_context, False, factory, clock=clock), TcpTransport(ITCPTransport)
    )
    if hello:
        secure.dataReceived(hello)
    clock.advance(74)
    assert not transport.disconnected
    clock.advance(1)
    assert transport.disconnected
    lose(secure)
    assert clock.getDelayedCalls() == []
