"""Downloads and uploads over the real carrier, in memory and over real TLS."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from treq.testing import RequestTraversalAgent
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from zope.interface.verify import verifyObject

from tests.support.certificates import Authority
from tests.support.deferreds import result_of, waits
from tests.support.proxies import ConnectProxy
from txbridge.errors import (
    BridgeError,
    Closed,
    ConfigError,
    ConnectError,
    ConnectionLost,
    DecodeError,
    EncodeError,
    NotFound,
    RemoteProtocolError,
    RequestRejected,
    TimedOut,
)
from txbridge.net.http import HttpCarrier
from txbridge.net.http_stream import (
    HIGH_MARK,
    MAX_CHUNK,
    MAX_REFUSAL,
    AnswerReader,
    Download,
    HttpConnection,
    Malformed,
    Upload,
)
from txbridge.net.memory import WINDOW, MemoryNetwork
from txbridge.net.operation import Answer, Operation
from txbridge.net.proxy import Proxy
from txbridge.net.tls import client_tls

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Layout: float32_3\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
REFUSAL = b"HTTP/1.1 400 no\r\nContent-Length: 6\r\n\r\nbecaus"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def operation(method: str = "GET", **more: Any) -> Operation[str]:
    return Operation(
        "data_read",
        method,
        ("data",),
        lambda answer: answer.body.decode(),
        query=(("id", "5"),),
        explain=lambda answer: ("", answer.body.decode()),
        **more,
    )


class Server(Protocol):
    """Records what it gets; says what it is told to."""

    transport: Any
    factory: Any

    def connectionMade(self) -> None:
        self.received = b""
        self.has_answered = False
        self.lost: Failure | None = None
        self.factory.servers.append(self)

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        if b"\r\n\r\n" in self.received and not self.has_answered and self.factory.answer is not None:
            self.has_answered = True
            self.transport.write(self.factory.answer)

    def connectionLost(self, reason: Failure = None) -> None:  # type: ignore[assignment]
        self.lost = reason

    def body(self) -> bytes:
        """The chunks that came, without their framing."""
        return b"".join(self.chunks())

    def chunks(self) -> list[bytes]:
        rest = self.received.partition(b"\r\n\r\n")[2]
        found = []
        while rest:
            size, _, rest = rest.partition(b"\r\n")
            length = int(size, 16)
            if len(rest) < length + 2:
                break
            found.append(rest[:length])
            assert rest[length : length + 2] == b"\r\n"
            rest = rest[length + 2 :]
        return found


class World:
    """A network with one server in it, and a carrier to it."""

    def __init__(self) -> None:
        self.network = MemoryNetwork()
        self.factory: Any = Factory.forProtocol(Server)
        self.factory.servers = []
        self.factory.answer = None
        self.network.listen("node.test", 80, self.factory)
        self.carriers: list[HttpCarrier] = []

    @property
    def server(self) -> Any:
        return self.factory.servers[-1]

    def carrier(self, url: str = "http://node.test/joule", **options: Any) -> HttpCarrier:
        options.setdefault("reactor", self.network.reactor)
        self.carriers.append(HttpCarrier(url, **options))
        return self.carriers[-1]

    def download(self, answer: bytes = HEAD, **limits: Any) -> Download:
        self.factory.answer = answer
        return self.network.run(self.carrier().open_download(operation(), **limits))

    def upload(self, **limits: Any) -> Upload[str]:
        upload = self.network.run(self.carrier().open_upload(operation("POST"), **limits))
        self.network.pump()
        return upload

    def say(self, *data: bytes) -> None:
        self.server.transport.writeSequence(data)
        self.settle()

    def settle(self) -> None:
        """Let everything happen that needs no time."""
        for _ in range(50):
            self.network.pump()

    def read(self, download: Download) -> bytes:
        return b"".join(self.network.run(download.next_pieces()))

    def error(self, work: Deferred[Any]) -> Any:
        with pytest.raises(BridgeError) as caught:
            self.network.run(work)
        return caught.value


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    for carrier in world.carriers:
        carrier.close()
    world.settle()
    assert world.network.clock.getDelayedCalls() == []
    assert world.network.connections == 0


# ------------------------------------------------------------------------------------ the request


def test_a_download_asks_as_an_operation_says_on_a_connection_of_its_own(world: World) -> None:
    world.factory.answer = HEAD
    carrier = world.carrier(headers=(("X-API-KEY", "secret"),))
    for count in (1, 2):
        world.network.run(carrier.open_download(operation(headers={"X-Own": "1"})))
        assert world.network.connections == count
    head = world.server.received.decode().split("\r\n")
    assert head[0] == "GET /joule/data?id=5 HTTP/1.1"
    assert head[1] == "host: node.test"
    assert {"x-api-key: secret", "x-own: 1", "connection: close"} <= set(head)
    assert not any(line.startswith(("content-length", "transfer-encoding")) for line in head)


def test_a_download_sends_a_body_that_the_operation_has(world: World) -> None:
    world.factory.answer = HEAD
    world.network.run(world.carrier().open_download(operation("POST", body=b"{}")))
    assert b"content-length: 2\r\n" in world.server.received
    assert world.server.received.endswith(b"\r\n\r\n{}")


def test_a_port_that_is_not_the_usual_one_is_in_the_host_header(world: World) -> None:
    world.network.listen("node.test", 8088, world.factory)
    world.factory.answer = HEAD
    world.network.run(world.carrier("http://node.test:8088").open_download(operation()))
    assert b"\r\nhost: node.test:8088\r\n" in world.server.received


def test_a_header_that_cannot_be_sent_is_refused(world: World) -> None:
    error = world.error(world.carrier().open_download(operation(headers={"X": "a\r\nb"})))
    assert isinstance(error, EncodeError)


def test_a_stream_keeps_the_connection_alive(world: World) -> None:
    world.download()
    (ours,) = [end for end in world.network.reactor.transports if end.getPeer().port == 80]
    assert ours.getTcpKeepAlive()
    assert ours.getTcpNoDelay()
    verifyObject(IPushProducer, HttpConnection("", b"", lambda error: error))


# ------------------------------------------------------------------------------------ downloads


def test_status_and_headers_come_first_and_the_body_in_pieces(world: World) -> None:
    download = world.download()
    assert (download.status, download.headers["x-layout"]) == (200, "float32_3")
    waiting = download.next_pieces()
    assert waits(waiting)
    world.say(chunk(b"one"))
    assert result_of(waiting) == [b"one"]
    world.say(chunk(b"two"), chunk(b"three"))
    assert world.read(download) == b"twothree"
    world.say(b"0\r\n\r\n")
    assert world.read(download) == b""
    assert world.read(download) == b""
    assert world.network.connections == 0


def test_what_came_before_the_end_is_read_before_the_end(world: World) -> None:
    download = world.download(HEAD + chunk(b"all") + b"0\r\n\r\n")
    world.settle()
    assert world.read(download) == b"all"
    assert world.read(download) == b""


@pytest.mark.parametrize("rest", [b"", b"3", b"3\r\nab", b"3\r\nabc", b"3\r\nabc\r\n", b"3\r\nabc\r\n0\r\n"])
def test_a_chunked_body_without_its_last_chunk_is_a_lost_connection_and_no_end(
    world: World, rest: bytes
) -> None:
    download = world.download(HEAD + chunk(b"good") + rest)
    world.server.transport.loseConnection()
    world.settle()
    assert world.read(download).startswith(b"good")
    error = world.error(download.next_pieces())
    assert type(error) is ConnectionLost
    assert error.operation == "data_read"
    assert type(world.error(download.next_pieces())) is ConnectionLost


def test_a_body_that_is_shorter_than_its_length_is_a_lost_connection(world: World) -> None:
    download = world.download(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfour")
    world.server.transport.loseConnection()
    world.settle()
    assert world.read(download) == b"four"
    assert type(world.error(download.next_pieces())) is ConnectionLost


def test_a_body_without_any_framing_ends_with_the_connection(world: World) -> None:
    download = world.download(b"HTTP/1.0 200 OK\r\n\r\nwhole")
    world.server.transport.loseConnection()
    world.settle()
    assert world.read(download) == b"whole"
    assert world.read(download) == b""


def test_a_cut_connection_fails_whoever_waits(world: World) -> None:
    download = world.download()
    waiting = download.next_pieces()
    world.network.cut()
    assert type(world.error(waiting)) is ConnectionLost


def test_nobody_reading_pauses_the_connection_and_reading_resumes_it(world: World) -> None:
    download = world.download()
    sent = 3 * HIGH_MARK
    world.server.transport.write(chunk(bytes(sent)))
    for _ in range(2000):
        world.network.pump()
    assert HIGH_MARK <= download._held <= HIGH_MARK + WINDOW
    got = 0
    while got < sent:
        got += len(world.read(download))
    assert got == sent
    assert download._held == 0


def test_a_server_that_waits_too_long_for_a_reader_is_let_go_and_nothing_that_came_is_lost(
    world: World,
) -> None:
    download = world.download(hold=5.0)
    world.server.transport.write(chunk(bytes(2 * HIGH_MARK)))
    for _ in range(2000):
        world.network.pump()
    world.network.clock.advance(4.9)
    assert world.network.connections == 1
    world.network.clock.advance(0.2)
    world.settle()
    assert world.network.connections == 0
    assert len(world.read(download)) >= HIGH_MARK
    error = world.error(download.next_pieces())
    assert type(error) is ConnectionLost
    assert error.reason == "nobody read for 5 s"


def test_silence_has_a_limit_that_counts_from_the_last_byte(world: World) -> None:
    download = world.download(silence=10.0)
    waiting = download.next_pieces()
    world.network.clock.advance(9)
    world.say(chunk(b"x"))
    assert result_of(waiting) == [b"x"]
    waiting = download.next_pieces()
    world.network.clock.advance(9)
    assert waits(waiting)
    world.network.clock.advance(1.5)
    error = world.error(waiting)
    assert type(error) is TimedOut
    assert (error.operation, error.phase, error.seconds) == ("data_read", "body", 10.0)


def test_without_a_limit_silence_may_last(world: World) -> None:
    download = world.download()
    waiting = download.next_pieces()
    world.network.clock.advance(1e6)
    world.say(chunk(b"at last"))
    assert result_of(waiting) == [b"at last"]


def test_waiting_can_be_cancelled_and_nothing_is_lost(world: World) -> None:
    download = world.download()
    waiting = download.next_pieces()
    waiting.cancel()
    with pytest.raises(CancelledError):
        result_of(waiting)
    world.say(chunk(b"kept"))
    assert world.read(download) == b"kept"


def test_closing_drops_the_connection_and_fails_whoever_waits(world: World) -> None:
    download = world.download()
    waiting = download.next_pieces()
    download.close()
    download.close()
    assert type(world.error(waiting)) is Closed
    world.settle()
    assert world.network.connections == 0
    assert world.server.lost is not None


def test_closing_the_carrier_closes_its_streams(world: World) -> None:
    download = world.download()
    upload = world.upload()
    for carrier in world.carriers:
        carrier.close()
    assert type(world.error(download.next_pieces())) is Closed
    assert type(world.error(upload.write(b"x"))) is Closed
    assert type(world.error(world.carriers[0].open_download(operation()))) is Closed


def test_a_refusal_is_the_error_that_its_status_and_body_say(world: World) -> None:
    world.factory.answer = (
        b"HTTP/1.1 404 x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"no") + b"0\r\n\r\n"
    )
    error = world.error(world.carrier().open_download(operation()))
    assert type(error) is NotFound
    assert error.detail == "no"


def test_a_refusal_without_end_is_refused(world: World) -> None:
    world.factory.answer = b"HTTP/1.1 400 x\r\n\r\n" + bytes(MAX_REFUSAL + 1)
    error = world.error(world.carrier().open_download(operation()))
    assert type(error) is RemoteProtocolError


def test_a_redirect_is_not_followed(world: World) -> None:
    world.factory.answer = b"HTTP/1.1 302 x\r\nLocation: http://other.test/?k\r\nContent-Length: 0\r\n\r\n"
    error = world.error(world.carrier().open_download(operation()))
    assert type(error) is RemoteProtocolError
    assert "other.test" in str(error)


@pytest.mark.parametrize(
    ("answer", "phase"), [(None, "answer"), (b"HTTP/1.1 200", "answer"), (b"HTTP/1.1 400 x\r\n\r\n", "body")]
)
def test_opening_has_a_deadline(world: World, answer: bytes | None, phase: str) -> None:
    world.factory.answer = answer
    error = world.error(world.carrier(deadline=7).open_download(operation()))
    assert type(error) is TimedOut
    assert (error.phase, error.seconds) == (phase, 7)
    world.settle()
    assert world.network.connections == 0


def test_connecting_has_the_deadline_too(world: World) -> None:
    world.network.stall()
    for opening in (
        world.carrier(deadline=7).open_download(operation()),
        world.carrier(deadline=7).open_upload(operation("POST")),
    ):
        error = world.error(opening)
        assert type(error) is TimedOut
        assert error.phase == "connect"


def test_a_peer_that_cannot_be_reached_is_a_connect_error(world: World) -> None:
    assert type(world.error(world.carrier("http://node.test:9").open_download(operation()))) is ConnectError
    assert type(world.error(world.carrier("http://gone.test").open_upload(operation()))) is ConnectError


def test_opening_can_be_cancelled(world: World) -> None:
    opening = world.carrier().open_download(operation())
    world.settle()
    opening.cancel()
    with pytest.raises(CancelledError):
        result_of(opening)
    world.settle()
    assert world.network.connections == 0


def test_closing_the_carrier_ends_what_is_being_opened(world: World) -> None:
    carrier = world.carrier()
    opening = carrier.open_download(operation())
    world.settle()
    carrier.close()
    assert type(world.error(opening)) is Closed


def test_a_carrier_with_an_agent_of_its_own_opens_no_streams() -> None:
    carrier = HttpCarrier("http://node.test", agent=RequestTraversalAgent(Resource()))
    for opening in (carrier.open_download(operation()), carrier.open_upload(operation())):
        with pytest.raises(ConfigError, match="agent"):
            result_of(opening)


def test_a_server_that_hangs_up_without_an_answer_is_a_lost_connection(world: World) -> None:
    opening = world.carrier().open_download(operation())
    world.settle()
    world.server.transport.loseConnection()
    assert type(world.error(opening)) is ConnectionLost


@pytest.mark.parametrize(
    "answer",
    [
        b"220 smtp.test ready\r\n",
        b"HTTP/1.1 200 OK\r\nno header\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
    ],
)
def test_what_is_no_http_is_refused(world: World, answer: bytes) -> None:
    world.factory.answer = answer
    error = world.error(world.carrier().open_download(operation()))
    assert type(error) is RemoteProtocolError


@pytest.mark.parametrize("framing", [b"x\r\n", b"-1\r\n", b"2\r\nabc\r\n", b"1" * 5000, b"f" * 16 + b"\r\n"])
def test_a_body_that_is_framed_wrongly_is_an_error(world: World, framing: bytes) -> None:
    download = world.download(HEAD + chunk(b"good"))
    assert world.read(download) == b"good"
    world.say(framing)
    assert type(world.error(download.next_pieces())) is RemoteProtocolError


# ------------------------------------------------------------------------------------ reading answers


def answers(body: list[bytes]) -> bytes:
    early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    chunks = b"".join(b"%X;ext=1\r\n%b\r\n" % (len(piece), piece) for piece in body if piece)
    return early + HEAD + chunks + b"0\r\nX-Trailer: 1\r\n\r\n"


@given(st.lists(st.binary(max_size=20), max_size=5), st.lists(st.integers(0, 300), max_size=6))
def test_an_answer_is_the_same_however_it_is_split(body: list[bytes], cuts: list[int]) -> None:
    data = answers(body)
    edges = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    reader, pieces = AnswerReader(), []
    for first, last in pairwise(edges):
        assert not reader.is_complete
        pieces += reader.receive_data(data[first:last])
    assert reader.is_complete
    assert reader.head is not None
    assert (reader.head.status, b"".join(pieces)) == (200, b"".join(body))
    assert reader.receive_eof() is None


@given(st.binary(max_size=60))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    reader = AnswerReader()
    try:
        reader.receive_data(data)
        reader.receive_data(HEAD)
    except Malformed:
        pass
    reader.receive_eof()


def test_a_transfer_encoding_is_meant_where_there_is_a_length_too() -> None:
    reader = AnswerReader()
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n"
    assert reader.receive_data(data) == [b"a"]
    assert reader.is_complete


@pytest.mark.parametrize("status", [204, 304])
def test_these_answers_have_no_body(status: int) -> None:
    reader = AnswerReader()
    reader.receive_data(b"HTTP/1.1 %d x\r\n\r\n" % status)
    assert reader.is_complete


# ------------------------------------------------------------------------------------ uploads


def test_an_upload_is_chunks_and_its_answer_is_read_by_the_operation(world: World) -> None:
    upload = world.upload()
    assert b"transfer-encoding: chunked\r\n" in world.server.received
    result_of(upload.write(b"one"))
    world.settle()
    result_of(upload.write(b"two"))
    finished = upload.finish()
    world.settle()
    assert world.server.received.endswith(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
    assert waits(finished)
    world.say(OK)
    assert result_of(finished) == "ok"
    assert result_of(upload.finish()) == "ok"
    assert upload.error is None
    world.settle()
    assert world.network.connections == 0


def test_an_empty_upload_is_an_empty_body(world: World) -> None:
    upload = world.upload()
    result_of(upload.write(b""))
    finished = upload.finish()
    world.settle()
    assert world.server.received.endswith(b"\r\n\r\n0\r\n\r\n")
    world.say(OK)
    assert result_of(finished) == "ok"


def test_small_writes_of_one_turn_travel_as_one_chunk(world: World) -> None:
    upload = world.upload()
    for number in range(1000):
        result_of(upload.write(b"%03d" % number))
    world.settle()
    assert world.server.chunks() == [b"".join(b"%03d" % number for number in range(1000))]
    upload.abort()


def test_a_large_write_is_cut_into_large_chunks(world: World) -> None:
    upload = world.upload()
    data = bytes(range(256)) * 16384
    written = upload.write(data)
    for _ in range(2000):
        world.network.pump()
    result_of(written)
    assert world.server.body() == data
    assert [len(piece) for piece in world.server.chunks()] == [MAX_CHUNK] * (len(data) // MAX_CHUNK)
    upload.abort()


def test_a_server_that_does_not_read_holds_the_writer(world: World) -> None:
    upload = world.upload()
    world.server.transport.pauseProducing()
    written = [upload.write(bytes(100_000)) for _ in range(30)]
    for _ in range(100):
        world.network.pump()
    assert not waits(written[0])
    assert waits(written[-1])
    drained = upload.drain()
    assert waits(drained)
    world.server.transport.resumeProducing()
    for _ in range(500):
        world.network.pump()
    assert not any(waits(one) for one in written)
    result_of(drained)
    assert len(world.server.body()) == 3_000_000
    upload.abort()


def test_draining_an_upload_waits_for_nothing_that_is_sent(world: World) -> None:
    upload = world.upload()
    result_of(upload.drain())
    upload.write(b"x")
    result_of(upload.drain())
    world.settle()
    assert world.server.body() == b"x"
    upload.abort()
    assert type(world.error(upload.drain())) is Closed


def test_a_refusal_during_the_upload_stops_it_and_fails_the_next_write(world: World) -> None:
    upload = world.upload()
    world.server.transport.pauseProducing()
    held = [upload.write(bytes(500_000)) for _ in range(3)]
    world.say(REFUSAL)
    assert waits(held[0]) is False
    for work in (held[-1], upload.write(b"x"), upload.finish(), upload.drain()):
        error = world.error(work)
        assert type(error) is RequestRejected
        assert (error.status, error.detail) == (400, "becaus")
    assert world.error(held[1]) is upload.error
    world.settle()
    assert world.network.connections == 0


def test_nothing_is_sent_once_an_answer_begins(world: World) -> None:
    upload = world.upload()
    world.say(REFUSAL[:-1])
    result_of(upload.write(b"late"))
    world.settle()
    assert world.server.chunks() == []
    world.say(REFUSAL[-1:])
    assert type(world.error(upload.finish())) is RequestRejected


def test_a_write_that_nobody_waited_for_fails_at_the_end(world: World) -> None:
    upload = world.upload()
    upload.write(b"x")
    world.settle()
    world.say(REFUSAL)
    assert type(world.error(upload.finish())) is RequestRejected


def test_an_answer_that_comes_too_early_and_is_no_refusal_is_an_error(world: World) -> None:
    upload = world.upload()
    world.say(OK)
    assert type(world.error(upload.write(b"x"))) is RemoteProtocolError
    assert type(world.error(upload.finish())) is RemoteProtocolError


def test_an_answer_that_cannot_be_read_fails_the_end(world: World) -> None:
    def read(answer: Answer) -> str:
        raise DecodeError("json", "", "it is none")

    opening = world.carrier().open_upload(Operation("data_write", "POST", ("data",), read))
    upload = world.network.run(opening)
    finished = upload.finish()
    world.settle()
    world.say(OK)
    assert type(world.error(finished)) is DecodeError


def test_an_answer_without_end_is_an_error(world: World) -> None:
    upload = world.upload()
    finished = upload.finish()
    world.settle()
    world.server.transport.write(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(MAX_REFUSAL + 1))
    assert type(world.error(finished)) is RemoteProtocolError


def test_a_lost_connection_fails_writes_and_the_end(world: World) -> None:
    upload = world.upload()
    world.network.cut()
    for work in (upload.write(b"x"), upload.finish()):
        error = world.error(work)
        assert type(error) is ConnectionLost
        assert error.operation == "data_read"


def test_a_connection_that_is_lost_after_the_body_leaves_the_outcome_unknown(world: World) -> None:
    upload = world.upload()
    finished = upload.finish()
    world.settle()
    world.server.transport.loseConnection()
    assert type(world.error(finished)) is ConnectionLost


def test_the_answer_has_a_limit(world: World) -> None:
    upload = world.upload(silence=20)
    result_of(upload.write(b"x"))
    world.settle()
    world.network.clock.advance(1000)  # a writer may have nothing to say
    finished = upload.finish()
    world.network.clock.advance(19)
    assert waits(finished)
    error = world.error(finished)
    assert type(error) is TimedOut
    assert (error.phase, error.seconds) == ("answer", 20)


def test_a_server_that_takes_nothing_has_the_limit_too(world: World) -> None:
    upload = world.upload(silence=20)
    world.server.transport.pauseProducing()
    written = upload.write(bytes(1_000_000))
    error = world.error(written)
    assert type(error) is TimedOut
    assert error.phase == "body"


def test_a_server_that_takes_little_by_little_is_waited_for(world: World) -> None:
    world.network.slow(WINDOW, every=5.0)
    upload = world.upload(silence=60)
    written = upload.write(bytes(2_000_000))
    world.network.run(written, 1e5)
    world.network.restore()
    upload.abort()


def test_nothing_can_be_written_after_the_end(world: World) -> None:
    upload = world.upload()
    finished = upload.finish()
    assert type(world.error(upload.write(b"x"))) is Closed
    world.settle()
    world.say(OK)
    assert result_of(finished) == "ok"
    assert type(world.error(upload.write(b"x"))) is Closed


def test_cancelling_the_end_drops_the_connection(world: World) -> None:
    upload = world.upload()
    finished = upload.finish()
    finished.cancel()
    with pytest.raises(CancelledError):
        world.network.run(finished)
    assert type(world.error(upload.write(b"x"))) is Closed
    world.settle()
    assert world.network.connections == 0


def test_a_cancelled_write_is_sent_and_disturbs_nobody(world: World) -> None:
    upload = world.upload()
    world.server.transport.pauseProducing()
    written = [upload.write(bytes(400_000)) for _ in range(3)]
    written[-1].cancel()
    with pytest.raises(CancelledError):
        result_of(written[-1])
    world.server.transport.resumeProducing()
    for _ in range(200):
        world.network.pump()
    assert len(world.server.body()) == 1_200_000
    upload.abort()


def test_garbage_collection_finds_no_lost_error(world: World) -> None:
    upload = world.upload()
    world.server.transport.pauseProducing()
    upload.write(bytes(1_000_000)).addErrback(lambda _: None)
    world.network.cut()
    del upload
    gc.collect()


# ------------------------------------------------------------------------------------ for real


class Echo(Protocol):
    """Answers a GET with a body, and an upload with how many bytes its body had, chunks and all."""

    transport: Any
    SIZE = 3_000_000

    def connectionMade(self) -> None:
        self.tail = b""
        self.count = 0

    def dataReceived(self, data: bytes) -> None:
        self.count += len(data)
        self.tail = (self.tail + data)[-5:]
        if data.startswith(b"GET"):
            body = bytes(range(250)) * (self.SIZE // 250)
            self.transport.write(HEAD + chunk(body) + b"0\r\n\r\n")
        elif self.tail == b"0\r\n\r\n":
            text = b"%d" % self.count
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text))


async def exchange(tls: bool, proxy: bool = False) -> tuple[bytes, int, int]:
    """A download and an upload over sockets: its body, and how many bytes were sent and arrived."""
    from twisted.internet import reactor

    authority = Authority()
    factory: Any = Factory.forProtocol(Echo)
    if tls:
        factory = TLSMemoryBIOFactory(authority.issue("127.0.0.1").server(), False, factory)
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    tunnel = reactor.listenTCP(0, ConnectProxy(reactor), interface="127.0.0.1") if proxy else None
    carrier = HttpCarrier(
        f"http{'s' if tls else ''}://127.0.0.1:{port.getHost().port}",
        trust=client_tls(authority.pem),
        proxy=None if tunnel is None else Proxy("127.0.0.1", tunnel.getHost().port),
        reactor=reactor,
    )
    try:
        download = await carrier.open_download(operation(), silence=10, hold=10)
        body = await download.read_all(10_000_000)
        upload = await carrier.open_upload(operation("POST"), silence=10)
        for _ in range(10):
            await upload.write(bytes(400_000))
        await upload.drain()
        return body, 4_000_000, int(await upload.finish())
    finally:
        await carrier.close()
        await port.stopListening()
        if tunnel is not None:
            await tunnel.stopListening()


@pytest.mark.parametrize(("tls", "proxy"), [(False, False), (True, False), (True, True)])
async def test_streams_travel_over_real_sockets(tls: bool, proxy: bool) -> None:
    body, sent, arrived = await exchange(tls, proxy)
    assert body == bytes(range(250)) * (Echo.SIZE // 250)
    assert sent < arrived < sent + 1000


async def test_an_untrusted_server_is_no_connection() -> None:
    from twisted.internet import reactor

    factory = TLSMemoryBIOFactory(Authority().issue("127.0.0.1").server(), False, Factory.forProtocol(Echo))
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    carrier = HttpCarrier(
        f"https://127.0.0.1:{port.getHost().port}",
        trust=client_tls(Authority("Another").pem),
        reactor=reactor,
    )
    try:
        with pytest.raises(ConnectError, match="not trusted"):
            await carrier.open_download(operation())
    finally:
        await carrier.close()
        await port.stopListening()
