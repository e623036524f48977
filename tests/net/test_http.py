"""Operations over HTTP: the real carrier against the real server, in memory and over real TLS."""

from __future__ import annotations

import contextlib
import gzip
import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from treq.testing import RequestTraversalAgent
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import capturedLogs
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.web.iweb import IAgent, IAgentEndpointFactory, IBodyProducer
from twisted.web.resource import Resource
from zope.interface.verify import verifyObject

from tests.support.certificates import Authority
from tests.support.proxies import ConnectProxy
from txbridge.errors import (
    Advice,
    AuthError,
    BridgeError,
    Closed,
    ConfigError,
    ConnectError,
    ConnectionLost,
    DecodeError,
    EncodeError,
    Forbidden,
    NotFound,
    RateLimited,
    RemoteProtocolError,
    RequestRejected,
    ServerFailed,
    TimedOut,
    TooLarge,
)
from txbridge.net import http
from txbridge.net.http import HttpCarrier
from txbridge.net.http1 import Request, Response
from txbridge.net.http_server import HttpServerFactory
from txbridge.net.memory import MemoryNetwork
from txbridge.net.operation import Answer, Operation
from txbridge.net.proxy import Proxy
from txbridge.net.tls import client_tls

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def whole(answer: Answer) -> Answer:
    return answer


def explain(answer: Answer) -> tuple[str, str]:
    """What an API of ours says in a refusal."""
    document = json.loads(answer.body) if answer.body else {}
    return document.get("title", ""), document.get("errors", "")


def ask(method: str = "GET", *path: str, body: bytes | None = None, **more: Any) -> Operation[Answer]:
    return Operation("read_feed", method, path or ("feeds", "7"), whole, body=body, explain=explain, **more)


class Scripted(Protocol):
    """A server that says what its script says, whatever it is asked."""

    transport: Any
    factory: Any

    def __init__(self) -> None:
        self.received = b""

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        if b"\r\n\r\n" in self.received:
            self.factory.requests.append(self.received)
            self.received = b""
            script = self.factory.script
            step = script.pop(0) if len(script) > 1 else script[0]
            if callable(step):
                step(self.transport)
            else:
                self.transport.write(step)


class World:
    """A network with one API in it, and a carrier to it."""

    def __init__(self) -> None:
        self.network = MemoryNetwork()
        self.requests: list[Request] = []
        self.raw: Any = None
        self.carriers: list[HttpCarrier] = []

    def serve(self, respond: Callable[[Request], Any]) -> None:
        """Serve with the real server."""

        def recording(request: Request) -> Any:
            self.requests.append(request)
            return respond(request)

        self.network.listen("api.test", 80, HttpServerFactory(recording, clock=self.network.clock))

    def script(self, *steps: Any) -> list[bytes]:
        """Serve bytes, one step per request and the last one for ever; returns the requests."""
        factory: Any = Factory.forProtocol(Scripted)
        factory.script = list(steps)
        factory.requests = []
        self.network.listen("api.test", 80, factory)
        return factory.requests

    def carrier(self, base_url: str = "http://api.test/v2", **options: Any) -> HttpCarrier:
        carrier = HttpCarrier(base_url, reactor=self.network.reactor, **options)
        self.carriers.append(carrier)
        return carrier

    def run(self, operation: Operation[Any], **options: Any) -> Any:
        """Run one operation on a carrier of its own."""
        return self.network.run(self.carrier(**options).run(operation))

    def fail(self, operation: Operation[Any] | None = None, **options: Any) -> Any:
        """The error that it ends in."""
        with pytest.raises(BridgeError) as caught:
            self.run(ask() if operation is None else operation, **options)
        return caught.value


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    for carrier in world.carriers:
        world.network.run(carrier.close())
    world.network.pump()
    assert world.network.clock.getDelayedCalls() == [] or world.network.connections > 0


# ------------------------------------------------------------------------------------ the request


def test_a_request_carries_the_operation(world: World) -> None:
    world.serve(lambda request: Response(200, (("Content-Type", "text/plain"), ("X-Two", "2")), b"hello"))
    operation = ask("PUT", "feeds", "7", body=b'{"a": 0}', query=(("key", "v"),), headers={"X-Own": "1"})
    answer = world.run(operation, headers=[("X-ApiKey", "secret"), ("X-Own", "0")])
    [request] = world.requests
    assert (request.method, request.path, request.query) == ("PUT", "/v2/feeds/7", "key=v")
    assert request.body == b'{"a": 0}'
    assert (request.headers["x-apikey"], request.headers["x-own"]) == ("secret", "1")
    assert request.headers["host"] == "api.test"
    assert request.headers["user-agent"].startswith("txbridge/")
    assert (answer.status, answer.body) == (200, b"hello")
    assert (answer.headers["content-type"], answer.headers["x-two"]) == ("text/plain", "2")


def test_what_the_operation_reads_is_the_result(world: World) -> None:
    world.serve(lambda request: Response(201, (("Location", "http://api.test/v2/feeds/9"),)))
    operation = Operation(
        "create_feed", "POST", ("feeds",), lambda answer: int(answer.headers["location"].rpartition("/")[2])
    )
    assert world.run(operation) == 9
    assert world.requests[0].headers["content-length"] == "0"


def test_an_answer_that_cannot_be_read_fails_with_the_reader_s_error(world: World) -> None:
    world.serve(lambda request: Response(200, (), b"<html>captive portal</html>"))

    def read(answer: Answer) -> None:
        raise DecodeError("json", "", "it is HTML")

    error = world.fail(Operation("read_feed", "GET", ("feeds", "7"), read))
    assert isinstance(error, DecodeError)


@pytest.mark.parametrize("base", ["http://api.test", "http://api.test/", "http://API.test:80/"])
def test_a_base_without_a_path_has_none(world: World, base: str) -> None:
    world.serve(lambda request: Response(200))
    world.run(ask(), base_url=base)
    assert world.requests[0].path == "/feeds/7"


def test_every_character_arrives_as_it_was(world: World) -> None:
    world.serve(lambda request: Response(200))
    nasty = (
        "@",
        "%",
        "%41",
        " ",
        "+",
        "/",
        "?",
        "#",
        "&",
        ";",
        "=",
        ":",
        "é\u20ac",
        "a.b",
        "...",
        "~",
        "\\",
        '"',
        "\n",
    )
    pairs = tuple((f"n{one}", one) for one in nasty)
    world.run(ask("GET", "feeds", *nasty, query=pairs))
    [request] = world.requests
    assert [unquote(segment) for segment in request.path.split("/")[3:]] == list(nasty)
    assert parse_qsl(request.query, keep_blank_values=True) == list(pairs)
    assert "+" not in request.path + request.query


@settings(max_examples=40)
@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12), min_size=1, max_size=4
    )
)
def test_any_segment_and_any_value_survives(texts: list[str]) -> None:
    world = World()
    world.serve(lambda request: Response(200))
    pairs = tuple((text, text) for text in texts)
    carrier = world.carrier()
    if any(text in (".", "..") for text in texts):
        texts, pairs = ["x"], ()
    world.network.run(carrier.run(ask("GET", *texts, query=pairs)))
    [request] = world.requests
    assert [unquote(segment) for segment in request.path.split("/")[2:]] == texts
    assert parse_qsl(request.query, keep_blank_values=True) == list(pairs)


@pytest.mark.parametrize("segment", [".", ".."])
def test_a_segment_that_would_climb_is_refused(world: World, segment: str) -> None:
    world.serve(lambda request: Response(200))
    error = world.fail(ask("DELETE", "feeds", segment))
    assert isinstance(error, EncodeError)
    assert (error.path, world.requests) == ("path[1]", [])


@pytest.mark.parametrize(
    ("operation", "path"),
    [(ask("GET", "feeds", "\ud800"), "path[1]"), (ask(query=(("q", "\ud800"),)), "query[0]")],
)
def test_what_utf_8_cannot_carry_is_refused(world: World, operation: Operation[Answer], path: str) -> None:
    world.serve(lambda request: Response(200))
    error = world.fail(operation)
    assert isinstance(error, EncodeError)
    assert (error.path, world.requests) == (path, [])


@pytest.mark.parametrize(
    "headers", [{"X-Key": "a\r\nX-Evil: 1"}, {"X Key": "a"}, {"X-Key": "\u20ac"}, {"": "a"}]
)
def test_a_header_that_would_break_out_is_refused_without_its_value(
    world: World, headers: dict[str, str]
) -> None:
    world.serve(lambda request: Response(200))
    error = world.fail(ask(headers=headers))
    assert isinstance(error, EncodeError)
    assert "X-Evil" not in str(error)
    assert world.requests == []


def test_an_empty_body_is_no_body_and_latin_1_is_kept(world: World) -> None:
    world.serve(lambda request: Response(200))
    world.run(ask("PUT", body=b"", headers={"X-Place": "K\xf6ln"}))
    assert world.requests[0].headers["content-length"] == "0"
    assert world.requests[0].headers["x-place"] == "K\xf6ln"


# ------------------------------------------------------------------------------------- the answer


def refuse(status: int, *headers: tuple[str, str], title: str = "No", errors: str = "because") -> Any:
    body = json.dumps({"title": title, "errors": errors}).encode()
    return lambda request: Response(status, headers, body)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RequestRejected),
        (401, AuthError),
        (403, Forbidden),
        (404, NotFound),
        (413, TooLarge),
        (422, RequestRejected),
        (429, RateLimited),
        (500, ServerFailed),
        (503, ServerFailed),
    ],
)
def test_a_refusal_is_the_error_of_its_status(world: World, status: int, kind: type[RequestRejected]) -> None:
    world.serve(refuse(status))
    error = world.fail()
    assert type(error) is kind
    assert (error.operation, error.status, error.title, error.detail) == (
        "read_feed",
        status,
        "No",
        "because",
    )


@pytest.mark.parametrize(
    ("name", "secret"),
    [("X-ApiKey", "k3y-s3cret"), ("x-api-key", "k3y-s3cret"), ("Authorization", "Bearer k3y-s3cret")],
)
@pytest.mark.parametrize("where", ["the carrier", "the operation"])
@pytest.mark.parametrize("said", ["no such key k3y-s3cret, sorry", "Bearer k3y-s3cret", "k3y\\u002ds3cret"])
def test_a_key_that_a_refusal_repeats_is_not_repeated(
    world: World, name: str, secret: str, where: str, said: str
) -> None:
    world.serve(lambda request: Response(403, (), f'{{"title": "Frobnicated", "errors": "{said}"}}'.encode()))
    if where == "the carrier":
        error = world.fail(headers=[(name, secret)])
    else:
        error = world.fail(ask(headers={name: secret}))
    assert "s3cret" not in f"{error} {error!r} {error.args} {error.detail}"
    assert error.title == "Frobnicated"


def test_headers_that_are_no_secrets_are_repeated(world: World) -> None:
    world.serve(lambda request: Response(406, (), b'{"title": "Not Acceptable", "errors": "text/csv"}'))
    assert world.fail(ask(headers={"Accept": "text/csv"}), headers=[("X-Key", "")]).detail == "text/csv"


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_in_seconds_and_as_a_date_by_the_server_s_clock(world: World, status: int) -> None:
    world.serve(refuse(status, ("Retry-After", "17")))
    assert world.fail().retry_after == 17.0
    world.network.clock.advance(1_000_000_000.0)  # the answer's own Date says the same
    later = "Sun, 09 Sep 2001 01:48:10 GMT"
    other = World()
    other.network.clock.advance(1_000_000_000.0)
    other.serve(refuse(status, ("Retry-After", later)))
    assert other.fail().retry_after == pytest.approx(90.0)


def test_a_retry_after_date_without_a_date_header_goes_by_our_clock(world: World) -> None:
    world.network.clock.advance(1_000_000_000.0)
    world.script(
        b"HTTP/1.1 503 Busy\r\nRetry-After: Sun, 09 Sep 2001 01:47:40 GMT\r\nContent-Length: 0\r\n\r\n"
    )
    assert world.fail().retry_after == pytest.approx(60.0)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_named_and_not_followed(world: World, status: int) -> None:
    """A captive portal answers like this, so it must be an error that is tried again."""
    world.serve(lambda request: Response(status, (("Location", "http://portal.test/login?key=s3cret"),)))
    error = world.fail(headers=[("X-ApiKey", "k")])
    assert isinstance(error, RemoteProtocolError)
    assert f"it answered {status}, a redirect to portal.test" in str(error)
    assert "s3cret" not in str(error)
    assert error.advice is Advice.RETRY
    assert len(world.requests) == 1


def test_a_redirect_to_nowhere_is_named_too(world: World) -> None:
    world.serve(lambda request: Response(302, (("Location", "http://[::1"),)))
    assert "a redirect; " in str(world.fail())


def test_no_cookie_is_kept(world: World) -> None:
    world.serve(lambda request: Response(200, (("Set-Cookie", "session=1; Path=/"),)))
    carrier = world.carrier()
    world.network.run(carrier.run(ask()))
    world.network.run(carrier.run(ask()))
    assert "cookie" not in world.requests[1].headers


def test_a_compressed_answer_is_inflated(world: World) -> None:
    world.serve(lambda request: Response(200, (("Content-Type", "text/csv"),), b"7.25,\n" * 5000))
    answer = world.run(ask())
    assert world.requests[0].headers["accept-encoding"] == "gzip"
    assert answer.body == b"7.25,\n" * 5000
    assert "content-encoding" not in answer.headers


def coded(body: bytes, encoding: bytes = b"gzip") -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\nContent-Length: %d\r\n\r\n"
    return head % (encoding, len(body)) + body


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (coded(gzip.compress(b"x" * 999, mtime=0)[:-9]), "gzip stream ends early"),
        (coded(gzip.compress(b"x", mtime=0) + b"more"), "followed by something else"),
        (coded(b"plain"), "not the gzip it claims to be"),
        (coded(b"x", b"br"), "nobody asked for Content-Encoding br"),
        (coded(b"x", b"b\xff\xfe"), "nobody asked for Content-Encoding b\xff\xfe"),
        (coded(b"x", b"gzip, gzip"), "nobody asked for Content-Encoding gzip"),
    ],
)
def test_a_compressed_answer_that_is_none_is_refused(world: World, answer: bytes, words: str) -> None:
    world.script(answer)
    error = world.fail()
    assert isinstance(error, RemoteProtocolError)
    assert words in str(error)


def test_identity_is_no_coding_and_nothing_needs_no_inflating(world: World) -> None:
    world.script(coded(b"plain", b"identity"))
    assert world.run(ask()).body == b"plain"
    other = World()
    other.script(coded(b""))
    assert other.run(ask()).body == b""


def test_a_body_over_the_limit_is_not_read(world: World) -> None:
    sent: list[int] = []

    def flood(transport: Any) -> None:
        transport.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(100):
            transport.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
            sent.append(4096)

    world.script(flood)
    error = world.fail(max_body=10_000)
    assert isinstance(error, RemoteProtocolError)
    assert "over 10000 bytes" in str(error)
    world.network.pump()
    assert world.network.connections == 0


def test_a_body_announced_over_the_limit_is_refused_at_once(world: World) -> None:
    world.script(b"HTTP/1.1 200 OK\r\nContent-Length: 10001\r\n\r\n")
    assert "over 10000 bytes" in str(world.fail(max_body=10_000))
    assert world.network.clock.seconds() == 0
    world.network.pump()
    assert world.network.connections == 0


def test_a_bomb_is_not_inflated(world: World) -> None:
    world.script(coded(gzip.compress(b"\0" * 10_000_000)))
    assert "over 20000 bytes when inflated" in str(world.fail(max_body=20_000))


def test_a_body_of_exactly_the_limit_is_read(world: World) -> None:
    world.script(coded(gzip.compress(b"x" * 1000)))
    assert world.run(ask(), max_body=1000).body == b"x" * 1000
    other = World()
    other.script(OK)
    assert other.run(ask(), max_body=2).body == b"ok"


def test_a_body_that_ends_with_the_connection_is_read(world: World) -> None:
    def old_server(transport: Any) -> None:
        transport.write(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nold")
        transport.loseConnection()

    world.script(old_server)
    assert world.run(ask()).body == b"old"


@pytest.mark.parametrize("step", [1, 3, 10])
def test_an_answer_may_come_in_any_pieces(world: World, step: int) -> None:
    world.script(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n there\r\n0\r\n\r\n"
    )
    world.network.slow(step)
    assert world.run(ask()).body == b"hello there"


# --------------------------------------------------------------------------------------- deadlines


def phase_of(error: Any) -> tuple[str, str, float]:
    assert isinstance(error, TimedOut)
    return error.operation, error.phase, error.seconds


def test_a_connection_that_is_never_made_times_out(world: World) -> None:
    world.serve(lambda request: Response(200))
    world.network.stall()
    assert phase_of(world.fail(deadline=5)) == ("read_feed", "connect", 5)
    assert world.network.clock.seconds() == 5


def test_an_answer_that_never_comes_times_out(world: World) -> None:
    world.serve(lambda request: Deferred())
    assert phase_of(world.fail(deadline=5)) == ("read_feed", "answer", 5)
    world.network.pump()
    assert (world.network.clock.seconds(), world.network.connections) == (5, 0)


def test_a_half_open_link_times_out(world: World) -> None:
    world.serve(lambda request: Response(200))
    carrier = world.carrier(deadline=5)
    world.network.run(carrier.run(ask()))
    world.network.stall()
    with pytest.raises(TimedOut) as caught:
        world.network.run(carrier.run(ask()))
    assert caught.value.phase == "answer"


def test_a_stalled_body_times_out(world: World) -> None:
    """One deadline covers the whole exchange, body included."""
    world.script(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it")
    assert phase_of(world.fail(deadline=5)) == ("read_feed", "body", 5)
    world.network.pump()
    assert world.network.connections == 0


def test_a_trickle_does_not_push_the_deadline(world: World) -> None:
    world.script(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 100)
    world.network.slow(1, every=0.1)
    assert phase_of(world.fail(deadline=10)) == ("read_feed", "answer", 10)
    assert world.network.clock.seconds() == pytest.approx(10)


def test_waiting_for_a_free_connection_counts(world: World) -> None:
    world.serve(lambda request: Deferred())
    carrier = world.carrier(deadline=5, pool_size=1)
    first, second = carrier.run(ask()), carrier.run(ask())
    for waiting in (first, second):
        with pytest.raises(TimedOut):
            world.network.run(waiting)
    assert (len(world.requests), world.network.clock.seconds()) == (1, 5)


def test_an_operation_may_need_more_time_than_others(world: World) -> None:
    world.script(lambda transport: None)
    error = world.fail(ask(patience=4), deadline=5)
    assert (type(error), error.seconds, world.network.clock.seconds()) == (TimedOut, 20.0, 20.0)


def test_a_peer_that_is_gone_without_a_word_is_noticed_meanwhile(world: World) -> None:
    world.script(OK)
    world.run(ask())
    (ours,) = [end for end in world.network.reactor.transports if end.getPeer().port == 80]
    assert ours.getTcpKeepAlive()


def test_the_slot_of_a_late_one_is_free_again(world: World) -> None:
    answers = [Deferred(), Response(200)]
    world.serve(lambda request: answers.pop(0))
    carrier = world.carrier(deadline=5, pool_size=1)
    with pytest.raises(TimedOut):
        world.network.run(carrier.run(ask()))
    assert world.network.run(carrier.run(ask())).status == 200


# ------------------------------------------------------------------------------------ cancellation


@pytest.mark.parametrize(
    "script",
    [
        lambda transport: None,
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nContent-",
    ],
)
def test_cancelling_aborts_the_exchange(world: World, script: Any) -> None:
    world.script(script)
    carrier = world.carrier()
    waiting = carrier.run(ask())
    world.network.pump()
    assert world.network.connections == 1
    waiting.cancel()
    with pytest.raises(CancelledError):
        world.network.run(waiting)
    world.network.pump()
    assert world.network.connections == 0
    assert world.network.clock.getDelayedCalls() == []


def test_cancelling_while_connecting_and_while_queued(world: World) -> None:
    world.serve(lambda request: Response(200))
    carrier = world.carrier(pool_size=1)
    connecting, queued = carrier.run(ask()), carrier.run(ask())
    queued.cancel()
    connecting.cancel()
    for waiting in (connecting, queued):
        with pytest.raises(CancelledError):
            world.network.run(waiting)
    assert world.requests == []
    assert world.network.run(carrier.run(ask())).status == 200


# ---------------------------------------------------------------------------- connections that fail


def test_a_refused_connection_is_told(world: World) -> None:
    error = world.fail(base_url="http://127.0.0.1:9")
    assert isinstance(error, ConnectError)
    assert (error.peer, error.reason) == ("127.0.0.1:9", "Connection was refused by other side")


def test_a_name_that_does_not_resolve_is_told(world: World) -> None:
    error = world.fail(base_url="http://nowhere.test")
    assert isinstance(error, ConnectError)
    assert (error.peer, error.reason) == ("nowhere.test:80", "its name does not resolve")


def test_the_original_error_is_the_cause(world: World) -> None:
    assert type(world.fail(base_url="http://nowhere.test").__cause__).__name__ == "DNSLookupError"


def hang_up(transport: Any) -> None:
    transport.loseConnection()


def test_a_connection_that_goes_before_the_answer_is_lost(world: World) -> None:
    requests = world.script(hang_up)
    error = world.fail(ask("POST", body=b"x"))
    assert isinstance(error, ConnectionLost)
    assert (error.operation, len(requests)) == ("read_feed", 1)


def test_a_cut_in_the_middle_of_an_exchange_is_a_lost_connection(world: World) -> None:
    world.serve(lambda request: Deferred())
    waiting = world.carrier().run(ask())
    world.network.pump()
    world.network.cut()
    with pytest.raises(ConnectionLost):
        world.network.run(waiting)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhalf of it",
        b"HTTP/1.1 200 OK\r\nContent-Le",
    ],
)
def test_a_truncated_answer_is_a_lost_connection(world: World, answer: bytes) -> None:
    def half(transport: Any) -> None:
        transport.write(answer)
        transport.loseConnection()

    world.script(half)
    error = world.fail()
    assert isinstance(error, ConnectionLost)
    assert "lost" in error.reason or "closed" in error.reason


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 -7 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: rot13\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nx",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
    ],
)
def test_what_is_no_http_is_named(world: World, answer: bytes) -> None:
    world.script(answer)
    error = world.fail()
    assert isinstance(error, RemoteProtocolError)
    assert str(error).startswith("read_feed: the answer is not HTTP: ")
    assert "\n" not in str(error)


@given(st.binary(max_size=300), st.booleans(), st.integers(1, 50))
def test_no_answer_is_strange_enough_to_hang_or_to_leak_a_foreign_error(
    noise: bytes, as_body: bool, step: int
) -> None:
    world = World()
    world.script(b"HTTP/1.1 200 OK\r\n" + noise if as_body else noise)
    world.network.slow(step)
    with contextlib.suppress(BridgeError):
        world.run(ask(), deadline=5)
    world.network.pump()
    assert world.network.clock.seconds() <= 5


# ----------------------------------------------------------------------------- connections that stay


def test_a_connection_is_used_again(world: World) -> None:
    world.serve(lambda request: Response(200, (), b"x"))
    carrier = world.carrier()
    for _ in range(20):
        world.network.run(carrier.run(ask()))
    assert (len(world.requests), world.network.connections_made) == (20, 1)


@pytest.mark.parametrize(
    ("head", "kept"), [("", 0), ("Connection: close\r\n", 0), ("Connection: keep-alive\r\n", 1)]
)
@pytest.mark.parametrize("status", ["200 OK", "204 None"])
def test_an_http_1_0_answer_ends_its_connection_unless_it_says_otherwise(
    world: World, status: str, head: str, kept: int
) -> None:
    world.script(f"HTTP/1.0 {status}\r\n{head}Content-Length: 0\r\n\r\n".encode())
    carrier = world.carrier()
    world.network.run(carrier.run(ask()))
    assert world.network.connections == kept
    world.network.run(carrier.run(ask("POST", body=b"x")))
    assert world.network.connections_made == 2 - kept


def test_connections_are_not_logged(world: World) -> None:
    world.serve(lambda request: Response(200))
    with capturedLogs() as logged:
        world.run(ask())
    assert logged == []


def test_there_are_never_more_in_flight_than_the_pool_and_the_first_comes_first(world: World) -> None:
    open_answers: list[Deferred[Response]] = []

    def respond(request: Request) -> Deferred[Response]:
        open_answers.append(Deferred())
        return open_answers[-1]

    world.serve(respond)
    carrier = world.carrier(pool_size=3)
    done: list[int] = []
    for number in range(10):
        carrier.run(ask("GET", "feeds", str(number))).addCallback(
            lambda _, number=number: done.append(number)
        )
    for _ in range(4):
        world.network.pump()
        assert len(open_answers) <= 3
        while open_answers:
            open_answers.pop(0).callback(Response(200))
    world.network.pump()
    assert done == list(range(10))
    assert [request.path for request in world.requests] == [f"/v2/feeds/{number}" for number in range(10)]
    assert world.network.connections_made == 3


def test_an_idle_connection_is_closed_after_a_while(world: World) -> None:
    world.serve(lambda request: Response(200))
    world.run(ask())
    assert world.network.connections == 1
    world.network.clock.advance(http.IDLE_SECONDS)
    world.network.pump()
    assert world.network.connections == 0


def test_reading_is_repeated_when_a_kept_connection_turns_out_dead(world: World) -> None:
    requests = world.script(OK, hang_up, OK)
    carrier = world.carrier()
    for _ in range(2):
        assert world.network.run(carrier.run(ask())).body == b"ok"
    assert (len(requests), world.network.connections_made) == (3, 2)


def test_reading_is_not_repeated_on_a_fresh_connection(world: World) -> None:
    requests = world.script(hang_up)
    assert isinstance(world.fail(), ConnectionLost)
    assert len(requests) == 1


@pytest.mark.parametrize(
    ("method", "body"), [("POST", b"x"), ("PUT", b"x"), ("POST", None), ("DELETE", b"x")]
)
def test_writing_is_never_sent_twice(world: World, method: str, body: bytes | None) -> None:
    requests = world.script(OK, hang_up, OK)
    carrier = world.carrier()
    world.network.run(carrier.run(ask()))
    with pytest.raises(ConnectionLost):
        world.network.run(carrier.run(ask(method, body=body)))
    assert len(requests) == 2


def test_repeating_ends_and_stays_within_the_one_deadline(world: World) -> None:
    requests = world.script(OK, OK, OK, hang_up)
    carrier = world.carrier(pool_size=3)
    waiting = [carrier.run(ask()) for _ in range(3)]
    for one in waiting:
        world.network.run(one)
    with pytest.raises(ConnectionLost):
        world.network.run(carrier.run(ask()))
    assert len(requests) == 3 + 3 + 1  # three kept connections and a fresh one


# ---------------------------------------------------------------------------------------- closing


def test_closing_fails_what_is_in_flight_and_what_comes_later(world: World) -> None:
    world.serve(lambda request: Deferred())
    carrier = world.carrier(pool_size=1)
    in_flight, queued = carrier.run(ask()), carrier.run(ask())
    world.network.pump()
    world.network.run(carrier.close())
    for waiting in (in_flight, queued, carrier.run(ask())):
        with pytest.raises(Closed):
            world.network.run(waiting)
    world.network.pump()
    assert world.network.connections == 0
    assert world.network.clock.getDelayedCalls() == []


def test_closing_closes_the_kept_connections_and_may_be_repeated(world: World) -> None:
    world.serve(lambda request: Response(200))
    carrier = world.carrier()
    world.network.run(carrier.run(ask()))
    world.network.run(carrier.close())
    world.network.run(carrier.close())
    world.network.pump()
    assert world.network.connections == 0


def test_closing_does_not_wait_for_who_never_says_goodbye(world: World) -> None:
    """A paused peer takes no goodbye: here its window is full, in life it may be a dead TLS peer."""
    world.script(OK)
    carrier = world.carrier()
    world.network.run(carrier.run(ask()))
    [ours] = [one for one in world.network.reactor.transports if one.getPeer().port == 80]
    ours.registerProducer(Endless(), True)
    world.network.run(carrier.close())
    assert world.network.clock.seconds() == http.CLOSE_SECONDS
    world.network.pump()
    assert world.network.connections == 0


class Endless:
    """A producer that is never done, so that a polite close waits for it."""

    def pauseProducing(self) -> None: ...

    def resumeProducing(self) -> None: ...

    def stopProducing(self) -> None: ...


# ------------------------------------------------------------------------------------ construction


@pytest.mark.parametrize(
    ("base_url", "words"),
    [
        ("http://me:s3cret@api.test/v2", "credentials do not belong"),
        ("http://s3cret@api.test/v2", "credentials do not belong"),
        ("ftp://api.test/v2", "begin with http:// or https://"),
        ("api.test/v2", "begin with http:// or https://"),
        ("127.0.0.1:8088", "begin with http:// or https://"),
        ("localhost:8088", "begin with http:// or https://"),
        ("", "begin with http:// or https://"),
        ("http://", "names no host"),
        ("http://api.test/v2?key=s3cret", "query or fragment"),
        ("http://api.test/v2#s3cret", "query or fragment"),
        ("http://api.test:99999/", "cannot be read"),
        ("http://[::1/", "cannot be read"),
        ("http://api.test/a b", "percent-encoded"),
        ("http://api.test/50%", "percent-encoded"),
        ("http://api.test/\u20ac", "percent-encoded"),
    ],
)
def test_a_base_that_cannot_be_used_is_refused_without_repeating_it(base_url: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        HttpCarrier(base_url, reactor=MemoryNetwork().reactor)
    assert "s3cret" not in str(caught.value)


def test_every_problem_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        HttpCarrier(
            "ftp://api.test",
            headers=[("X-Key", "s3cret\n"), ("bad name", "x")],
            deadline=0,
            pool_size=0,
            max_body=0,
            reactor=MemoryNetwork().reactor,
        )
    assert len(caught.value.problems) == 6
    assert "s3cret" not in str(caught.value)


def test_the_repr_shows_the_host_only() -> None:
    carrier = HttpCarrier(
        "https://api.test/v2/s3cret", headers=[("X-ApiKey", "k")], reactor=MemoryNetwork().reactor
    )
    assert repr(carrier) == "<HttpCarrier api.test:443>"
    assert repr(HttpCarrier("http://[::1]:81", reactor=MemoryNetwork().reactor)) == "<HttpCarrier [::1]:81>"


def test_an_api_may_be_at_an_ipv6_address() -> None:
    network = MemoryNetwork()
    asked: list[Request] = []

    def respond(request: Request) -> Response:
        asked.append(request)
        return Response(200)

    network.listen("2001:db8::7", 81, HttpServerFactory(respond, clock=network.clock))
    carrier = HttpCarrier("http://[2001:db8::7]:81/v2", reactor=network.reactor)
    assert network.run(carrier.run(ask())).status == 200
    network.run(carrier.close())
    assert (asked[0].path, asked[0].headers["host"]) == ("/v2/feeds/7", "[2001:db8::7]:81")


def test_the_parts_are_what_twisted_looks_for() -> None:
    network = MemoryNetwork()
    exchange = http._Exchange("x", "h:80", network.reactor, http._Pool(network.reactor, 1), None, float)
    assert verifyObject(IAgent, exchange)
    assert verifyObject(IAgentEndpointFactory, exchange)
    assert verifyObject(IStreamClientEndpoint, exchange)
    assert verifyObject(IBodyProducer, http._WholeBody(b"x"))


def test_another_agent_can_carry_it() -> None:
    """treq's own test agent, which runs a twisted.web site in memory."""

    class Site(Resource):
        isLeaf = True

        def render_GET(self, request: Any) -> bytes:
            return b"from " + request.path

    network = MemoryNetwork()
    agent = RequestTraversalAgent(Site())
    carrier = HttpCarrier("http://api.test/v2", agent=agent, reactor=network.reactor)
    waiting = carrier.run(ask())
    agent.flush()
    assert network.run(waiting).body == b"from /v2/feeds/7"
    network.run(carrier.close())


# ------------------------------------------------------------------------- proxies and real sockets


def test_http_goes_through_a_proxy_too(world: World) -> None:
    world.serve(lambda request: Response(200, (), b"tunnelled"))
    proxy = ConnectProxy(world.network.reactor)
    world.network.listen("proxy.test", 3128, proxy)
    assert world.run(ask(), proxy=Proxy("proxy.test")).body == b"tunnelled"
    assert proxy.heads == ["CONNECT api.test:80 HTTP/1.1\r\nHost: api.test:80"]
    assert world.requests[0].path == "/v2/feeds/7"


def test_a_proxy_that_refuses_is_named(world: World) -> None:
    world.network.listen("proxy.test", 3128, ConnectProxy(world.network.reactor, require="a:b"))
    error = world.fail(proxy=Proxy("proxy.test", 3128, "a", "wr0ng"))
    assert str(error) == (
        "cannot connect to api.test:80: proxy proxy.test:3128: it answered 407 Proxy Authentication Required"
    )


def test_a_silent_proxy_times_out_while_connecting(world: World) -> None:
    world.network.listen("proxy.test", 3128, Factory.forProtocol(Protocol))
    assert phase_of(world.fail(proxy=Proxy("proxy.test"), deadline=5)) == ("read_feed", "connect", 5)
    world.network.pump()
    assert world.network.connections == 0


async def over_tls(names: tuple[str, ...], root: Authority | None = None, **options: Any) -> Answer:
    """One exchange over loopback TLS with a certificate for these names."""
    from twisted.internet import reactor

    authority = Authority()
    trusted = authority if root is None else root
    site = HttpServerFactory(lambda request: Response(200, (), b"%d" % request.secure), clock=reactor)
    factory = TLSMemoryBIOFactory(authority.issue(*names).server(), False, site)
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    url = f"https://127.0.0.1:{port.getHost().port}/v2"
    carrier = HttpCarrier(url, trust=client_tls(trusted.pem), reactor=reactor, **options)
    try:
        return await carrier.run(ask())
    finally:
        await carrier.close()
        await port.stopListening()
        await site.drain()


async def test_https_is_carried_over_real_sockets() -> None:
    assert (await over_tls(("127.0.0.1",))).body == b"1"


@pytest.mark.parametrize(("names", "words"), [(("other.test",), "for another host"), ((), "names no host")])
async def test_a_certificate_that_does_not_fit_is_no_connection(names: tuple[str, ...], words: str) -> None:
    with pytest.raises(ConnectError, match=words) as caught:
        await over_tls(names)
    assert caught.value.peer.startswith("127.0.0.1:")


async def test_an_untrusted_root_is_no_connection() -> None:
    with pytest.raises(ConnectError, match="not trusted"):
        await over_tls(("127.0.0.1",), Authority("Another"))


@pytest.mark.parametrize(
    "piece", [b"X-More: " + b"y" * 4000 + b"\r\n", b"\r\nHTTP/1.1 100 Continue\r\nX: y\r\n"]
)
def test_a_head_without_end_is_refused_long_before_the_deadline(world, piece):
    def flood(transport):
        transport.write(b"HTTP/1.1 100 Continue\r\nX: y\r\n")
        transport.write(piece * (400_000 // len(piece)))

    world.script(flood)
    error = world.fail()
    assert isinstance(error, RemoteProtocolError)
    assert str(error) == "read_feed: the answer's head is over 262144 bytes"
    assert world.network.clock.seconds() == 0


def test_a_body_and_a_second_answer_do_not_count_as_heads(world):
    world.script(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000)
    carrier = world.carrier()
    for _ in range(3):
        assert len(world.network.run(carrier.run(ask())).body) == 200_000


# ---------------------------------------------------------------------------- the server's clock


def dated(when: str, *more: bytes, status: bytes = b"200 OK", body: bytes = b"ok") -> bytes:
    lines = [b"HTTP/1.1 " + status, b"Date: " + when.encode(), b"Content-Length: %d" % len(body), *more]
    return b"\r\n".join([*lines, b"", body])


TEN_PAST = "Thu, 01 Jan 1970 00:10:00 GMT"


def test_each_answer_tells_how_far_the_server_s_clock_is_ahead(world: World) -> None:
    world.script(dated(TEN_PAST))
    carrier = world.carrier()
    assert carrier.skew is None
    world.network.run(carrier.run(ask()))
    assert carrier.skew == pytest.approx(600.5)
    for _ in range(3):
        world.network.clock.advance(100.0)
        world.network.run(carrier.run(ask()))
    assert carrier.skew == pytest.approx(600.5 - 150.0)


def test_a_refusal_tells_it_too(world: World) -> None:
    world.script(dated(TEN_PAST, status=b"401 Unauthorized", body=b""))
    carrier = world.carrier()
    with pytest.raises(AuthError):
        world.network.run(carrier.run(ask()))
    assert carrier.skew == pytest.approx(600.5)


@pytest.mark.parametrize(
    "answer",
    [
        OK,
        dated("yesterday"),
        dated(TEN_PAST, b"Age: 30"),
    ],
)
def test_an_answer_without_a_date_of_its_own_tells_nothing(world: World, answer: bytes) -> None:
    world.script(answer)
    carrier = world.carrier()
    world.network.run(carrier.run(ask()))
    assert carrier.skew is None


def test_the_clock_of_a_portal_in_between_is_not_the_server_s(world: World) -> None:
    def read(answer: Answer) -> None:
        raise RemoteProtocolError("read_feed", "it answered 200 with a page of HTML")

    world.script(
        dated(TEN_PAST), dated(TEN_PAST, b"Location: http://portal.test/", status=b"302 Found", body=b"")
    )
    carrier = world.carrier()
    for operation in (Operation("read_feed", "GET", ("feeds", "7"), read), ask()):
        with pytest.raises(RemoteProtocolError):
            world.network.run(carrier.run(operation))
    assert carrier.skew is None
