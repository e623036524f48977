"""One HTTP exchange whose body does not end soon: a download read in pieces, an upload written in pieces.

`HttpCarrier.open_download` and `HttpCarrier.open_upload` make these.  Each has a connection of its own,
which is closed at the end.  Connecting and the head of the answer have a deadline; a body has none, but
a limit of silence.

A download holds at most `HIGH_MARK` bytes that nobody has read, and then reads nothing from the
connection.  What the server holds for us meanwhile is not ours to hold for ever: a limit says how long.

An upload takes what it is given at once, and a Deferred tells when there is room for more.  The pieces
of one turn of the reactor travel as one chunk, so that many small writes cost little.  The server may
refuse while the upload lasts: nothing more is sent then, and whoever writes next learns it.

Twisted's own client is not used, because it gives an answer out only after the whole request was sent.

Source: RFC 9112, "HTTP/1.1", sections 6 and 7.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, Protocol, TypeVar

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.interfaces import IAddress, IDelayedCall, IPushProducer
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from txbridge.errors import BridgeError, Closed, ConnectionLost, RemoteProtocolError, TimedOut
from txbridge.net.lines import prepare_transport
from txbridge.net.link import Alarm
from txbridge.net.operation import Answer, Operation

__all__ = [
    "HIGH_MARK",
    "MAX_CHUNK",
    "MAX_REFUSAL",
    "AnswerReader",
    "Download",
    "HttpConnection",
    "Malformed",
    "StreamCarrier",
    "Upload",
    "connection_factory",
    "keep_alive",
]

T = TypeVar("T")

HIGH_MARK = 4 << 20
"""Bytes that a download holds before it reads no more: two of a Joule node's largest blocks."""

MAX_CHUNK = 512 << 10
"""Bytes of one chunk of an upload: beyond some hundred kB nothing is gained."""

UPLOAD_MARK = 256 << 10
"""Bytes that an upload holds before those who write have to wait."""

MAX_HEAD = 64 << 10  # as much as Twisted's client and most servers allow
MAX_LINE = 4096  # a chunk's size with its extensions
MAX_REFUSAL = 1 << 20  # a refusal is some text, at most a page of a proxy's

KEEPALIVE = (60, 15, 4)  # seconds idle, seconds between probes, probes: a dead peer is noticed in 2 minutes


class StreamCarrier(Protocol):
    """Takes operations with an endless body to a platform; `HttpCarrier` is one."""

    def open_download(
        self, operation: Operation[Any], *, silence: float | None, hold: float | None
    ) -> Deferred[Download]:
        """See `HttpCarrier.open_download`."""

    def open_upload(self, operation: Operation[T], *, silence: float | None) -> Deferred[Upload[T]]:
        """See `HttpCarrier.open_upload`."""


# -------------------------------------------------------------------------------- reading an answer


class Malformed(Exception):
    """What came is no HTTP.  It does not leave this package."""


@frozen
class Head:
    """The head of an answer."""

    status: int
    headers: Mapping[str, str]


class AnswerReader:
    """Reads one HTTP/1.1 answer from pieces of bytes, without I/O.

    Attributes:
        head: The head, once it is there.
        is_complete: Whether the whole answer is there.
    """

    def __init__(self) -> None:
        self.head: Head | None = None
        self.is_complete = False
        self._line = b""
        self._lines: list[bytes] = []
        self._room = MAX_HEAD
        self._left = 0
        self._state: Callable[[bytes, int, list[bytes]], int] = self._read_head_line

    def receive_data(self, data: bytes) -> list[bytes]:
        """Read bytes; returns the pieces of the body that are among them.

        Raises:
            Malformed: They are no HTTP.
        """
        body: list[bytes] = []
        at = 0
        while at < len(data) and not self.is_complete:
            at = self._state(data, at, body)
        return body

    def receive_eof(self) -> str | None:
        """The connection was closed; returns what is missing, None if nothing is."""
        if self.is_complete:
            return None
        if self.head is None:
            return "it was closed before the answer's head was whole"
        if self._state == self._read_to_the_end:
            self.is_complete = True
            return None
        return "it was closed before the answer's body was whole"

    def _take_line(self, data: bytes, at: int, most: int) -> tuple[bytes | None, int]:
        end = data.find(b"\n", at)
        piece = data[at : end if end >= 0 else len(data)]
        self._line += piece
        if len(self._line) > most:
            raise Malformed(f"a line of its head or framing is over {most} bytes")
        if end < 0:
            return None, len(data)
        line, self._line = self._line.removesuffix(b"\r"), b""
        return line, end + 1

    def _read_head_line(self, data: bytes, at: int, body: list[bytes]) -> int:
        line, at = self._take_line(data, at, self._room)
        if line is None:
            return at
        self._room -= len(line) + 1
        if line or not self._lines:
            self._lines.append(line)
            if len(self._lines) == 1 and not line.startswith(b"HTTP/1."):
                raise Malformed("its first line is not one of HTTP/1.x")
            return at
        lines, self._lines, self._room = self._lines, [], MAX_HEAD
        head = _read_head(lines)
        if head.status >= 200:
            self.head = head
            self._begin_body(head)
        elif head.status == 101:
            raise Malformed("it switches to another protocol, which nobody asked for")
        return at

    def _begin_body(self, head: Head) -> None:
        transfer = head.headers.get("transfer-encoding")
        length = head.headers.get("content-length")
        if head.headers.get("content-encoding", "identity").lower() != "identity":
            raise Malformed("it has a Content-Encoding that nobody asked for")
        if head.status in (204, 304):
            self.is_complete = True
        elif transfer is not None:
            if transfer.lower() != "chunked":
                raise Malformed(f"its Transfer-Encoding is {transfer:.40}")
            self._state = self._read_size
        elif length is None:
            self._state = self._read_to_the_end
        else:
            if not (length.isascii() and length.isdigit() and len(length) < 19):
                raise Malformed(f"its Content-Length is {length:.40}")
            self._left = int(length)
            self._state = self._read_sized
            self.is_complete = self._left == 0

    def _read_to_the_end(self, data: bytes, at: int, body: list[bytes]) -> int:
        body.append(data[at:])
        return len(data)

    def _read_some(self, data: bytes, at: int, body: list[bytes]) -> int:
        end = min(len(data), at + self._left)
        self._left -= end - at
        # Of bytes, a slice that is all of them is no copy.
        body.append(data[at:end])
        return end

    def _read_sized(self, data: bytes, at: int, body: list[bytes]) -> int:
        at = self._read_some(data, at, body)
        self.is_complete = self._left == 0
        return at

    def _read_size(self, data: bytes, at: int, body: list[bytes]) -> int:
        line, at = self._take_line(data, at, MAX_LINE)
        if line is None:
            return at
        digits = line.partition(b";")[0].strip(b" \t")
        if not digits or len(digits) > 15 or digits.strip(b"0123456789abcdefABCDEF"):
            raise Malformed("the size of a chunk is no number")
        self._left = int(digits, 16)
        self._state = self._read_chunk if self._left else self._read_trailer
        return at

    def _read_chunk(self, data: bytes, at: int, body: list[bytes]) -> int:
        at = self._read_some(data, at, body)
        if self._left == 0:
            self._state = self._read_chunk_end
        return at

    def _read_chunk_end(self, data: bytes, at: int, body: list[bytes]) -> int:
        line, at = self._take_line(data, at, MAX_LINE)
        if line:
            raise Malformed("a chunk is longer than its size")
        if line is not None:
            self._state = self._read_size
        return at

    def _read_trailer(self, data: bytes, at: int, body: list[bytes]) -> int:
        line, at = self._take_line(data, at, self._room)
        if line is not None:
            self._room -= len(line) + 1
            self.is_complete = not line
        return at


def _read_head(lines: list[bytes]) -> Head:
    _, _, rest = lines[0].partition(b" ")
    status = rest[:3]
    if not (len(status) == 3 and status.isdigit() and status[:1] in b"12345" and rest[3:4] in (b"", b" ")):
        raise Malformed("its first line has no status")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon or not name or name != name.strip():
            raise Malformed("a line of its head is no header")
        key, value = name.lower(), value.strip(" \t")
        if key == "content-length" and headers.get(key, value) != value:
            raise Malformed("it has two Content-Lengths")
        headers[key] = value if key == "content-length" or key not in headers else f"{headers[key]}, {value}"
    if "transfer-encoding" in headers:
        headers.pop("content-length", None)  # RFC 9112, 6.3: the former is meant
    return Head(int(status), headers)


# -------------------------------------------------------------------------------- the connection


class _Owner(Protocol):
    """Whose exchange it is."""

    def head_received(self, head: Head) -> None:
        """Called once, before any piece of the body."""

    def pieces_received(self, pieces: list[bytes]) -> None:
        """Called with pieces of the body."""

    def ended(self, error: BridgeError | None) -> None:
        """Called once: the answer is whole, or will not be."""

    def pauseProducing(self) -> None:
        """Write no more."""

    def resumeProducing(self) -> None:
        """Write again."""


@implementer(IPushProducer)
class HttpConnection(TwistedProtocol):
    """A connection for one exchange.

    Args:
        operation: The exchange, for errors.
        request: The head of the request, and its body if that is not written in pieces.
        explain: Makes one of our errors of one of Twisted's.
    """

    transport: Any

    def __init__(self, operation: str, request: bytes, explain: Callable[[Exception], Exception]) -> None:
        self._operation = operation
        self._request = request
        self._explain = explain
        self._reader = AnswerReader()
        self._owner: _Owner | None = None
        self._has_ended = False

    def serve(self, owner: _Owner) -> None:
        """Send the request; the owner is told of the answer."""
        self._owner = owner
        keep_alive(self.transport)
        self.transport.registerProducer(self, True)
        self.transport.write(self._request)

    def write(self, pieces: Iterable[bytes]) -> None:
        """Send pieces of the request's body."""
        self.transport.writeSequence(pieces)

    def pause(self) -> None:
        """Read nothing until `resume`."""
        self.transport.pauseProducing()

    def resume(self) -> None:
        """Read again."""
        if not self._has_ended:
            self.transport.resumeProducing()

    def abort(self, error: BridgeError) -> None:
        """Drop the connection, and tell the owner this."""
        self._end(error)

    def _end(self, error: BridgeError | None) -> None:
        if self._has_ended:
            return
        self._has_ended = True
        self.transport.unregisterProducer()
        # There is nothing left to say, and a server that reads on would only make us wait.
        self.transport.abortConnection()
        if self._owner is not None:
            self._owner.ended(error)

    def pauseProducing(self) -> None:
        """Called by the transport while it has enough to send."""
        if self._owner is not None:
            self._owner.pauseProducing()

    def resumeProducing(self) -> None:
        """Called by the transport when it has sent what it had."""
        if self._owner is not None and not self._has_ended:
            self._owner.resumeProducing()

    def stopProducing(self) -> None:
        """Called by the transport when the connection is gone; `connectionLost` follows."""

    def dataReceived(self, data: bytes) -> None:
        """Called by the transport."""
        if self._has_ended or self._owner is None:
            return
        is_new = self._reader.head is None
        try:
            pieces = self._reader.receive_data(data)
        except Malformed as error:
            self._end(RemoteProtocolError(self._operation, f"the answer is not HTTP: {error}"))
            return
        if is_new and self._reader.head is not None:
            self._owner.head_received(self._reader.head)
        if pieces and not self._has_ended:
            self._owner.pieces_received(pieces)
        if self._reader.is_complete:
            self._end(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Called by the transport."""
        if self._has_ended:
            return
        missing = self._reader.receive_eof()
        if missing is None:
            self._end(None)
            return
        cause = reason.value
        explained = self._explain(cause) if isinstance(cause, Exception) else None
        if explained is None or type(explained) is not ConnectionLost:
            explained = ConnectionLost(self._operation, missing)
        explained.__cause__ = cause
        self._end(explained)


def connection_factory(operation: str, request: bytes, explain: Callable[[Exception], Exception]) -> Factory:
    """Builds an `HttpConnection`."""
    return _Factory(operation, request, explain)


class _Factory(Factory):
    noisy = False

    def __init__(self, operation: str, request: bytes, explain: Callable[[Exception], Exception]) -> None:
        self._arguments = (operation, request, explain)

    def buildProtocol(self, addr: IAddress | None) -> HttpConnection:
        return HttpConnection(*self._arguments)


def keep_alive(transport: Any) -> None:
    """Notice a peer that is gone without a word, sooner than after the system's two hours."""
    prepare_transport(transport)
    below_tls = getattr(transport, "transport", transport)
    handle = below_tls.getHandle() if hasattr(below_tls, "getHandle") else None
    if isinstance(handle, socket.socket) and hasattr(socket, "TCP_KEEPIDLE"):
        for option, value in zip(
            (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT), KEEPALIVE, strict=True
        ):
            handle.setsockopt(socket.IPPROTO_TCP, option, value)


# -------------------------------------------------------------------------------- downloads


class Download:
    """A body that is read in pieces.

    Attributes:
        status: The answer's status.
        headers: Header name in lower case -> value.
    """

    def __init__(
        self,
        operation: str,
        connection: HttpConnection,
        clock: Any,
        silence: float | None,
        hold: float | None,
    ) -> None:
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.begun: Deferred[None] = Deferred(lambda _: self.close())
        self._operation = operation
        self._connection = connection
        self._clock = clock
        self._silence = silence
        self._hold = hold
        self._alarm = Alarm(clock, self._look)
        self._pieces: list[bytes] = []
        self._held = 0
        self._waiting: Deferred[list[bytes]] | None = None
        self._has_ended = False
        self._error: BridgeError | None = None
        self._is_paused = False
        self._since = clock.seconds()  # when something last came, or when we paused
        connection.serve(self)

    def next_pieces(self) -> Deferred[list[bytes]]:
        """Everything that came since the last call, or what comes next; nothing at the end.

        Cancelling it loses nothing.

        Raises:
            ConnectionLost: The connection went before the body was whole, or was dropped because
                nobody read for ``hold`` seconds.
            TimedOut: Nothing came for ``silence`` seconds.
            RemoteProtocolError: The body is framed wrongly.
            Closed: It was closed here.
        """
        assert self._waiting is None, "somebody is waiting already"
        if self._pieces:
            pieces, self._pieces, self._held = self._pieces, [], 0
            if self._is_paused:
                self._is_paused = False
                self._heard()
                self._connection.resume()
            return succeed(pieces)
        if self._error is not None:
            return fail(self._error)
        if self._has_ended:
            return succeed([])
        self._waiting = Deferred(self._forget)
        return self._waiting

    async def read_all(self, limit: int) -> bytes:
        """The whole body.

        Raises:
            RemoteProtocolError: It is larger.
            BridgeError: As of `next_pieces`.
        """
        whole: list[bytes] = []
        while pieces := await self.next_pieces():
            whole += pieces
            if sum(map(len, whole)) > limit:
                raise RemoteProtocolError(self._operation, f"the answer's body is over {limit} bytes")
        return b"".join(whole)

    def close(self) -> None:
        """Drop the connection.  A second call is harmless."""
        self._pieces, self._held = [], 0
        self._connection.abort(Closed("the download"))

    def _forget(self, _: Deferred[list[bytes]]) -> None:
        self._waiting = None

    def _heard(self) -> None:
        self._since = self._clock.seconds()
        limit = self._hold if self._is_paused else self._silence
        if limit is not None and not self._has_ended:
            self._alarm.set(self._since + limit)

    def _look(self) -> None:
        limit = self._hold if self._is_paused else self._silence
        if limit is None or self._has_ended:
            return
        if self._clock.seconds() < self._since + limit:
            self._alarm.set(self._since + limit)
        elif self._is_paused:
            self._connection.abort(ConnectionLost(self._operation, f"nobody read for {limit:g} s"))
        else:
            self._connection.abort(TimedOut(self._operation, "body", limit))

    # Called by the connection.

    def head_received(self, head: Head) -> None:
        """The head is there."""
        self.status, self.headers = head.status, head.headers
        self._heard()
        self.begun.callback(None)

    def pieces_received(self, pieces: list[bytes]) -> None:
        """Pieces came."""
        self._heard()
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            waiting.callback(pieces)
            return
        self._pieces += pieces
        self._held += sum(map(len, pieces))
        if self._held >= HIGH_MARK and not self._is_paused:
            self._is_paused = True
            self._heard()
            self._connection.pause()

    def ended(self, error: BridgeError | None) -> None:
        """The body is whole, or will not be."""
        self._has_ended, self._error = True, error
        self._alarm.cancel()
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            if error is None:
                waiting.callback([])
            else:
                waiting.errback(Failure(error))
        if not self.begun.called:
            assert error is not None
            self.begun.errback(Failure(CancelledError() if isinstance(error, Closed) else error))

    def pauseProducing(self) -> None:
        """The request was written at once."""

    def resumeProducing(self) -> None:
        """The request was written at once."""


# -------------------------------------------------------------------------------- uploads


class Upload(Generic[T]):
    """A body that is written in pieces."""

    def __init__(
        self,
        operation: Operation[T],
        connection: HttpConnection,
        clock: Any,
        silence: float | None,
        judge: Callable[[Operation[T], Answer], T],
    ) -> None:
        self._operation = operation
        self._connection = connection
        self._clock = clock
        self._silence = silence
        self._judge = judge
        self._alarm = Alarm(clock, self._look)
        self._since = clock.seconds()  # when the connection last took something
        self._queue: deque[memoryview] = deque()
        self._held = 0
        self._turn: IDelayedCall | None = None
        self._is_paused = False
        self._writers: list[Deferred[None]] = []
        self._drains: list[Deferred[None]] = []
        self._answered: Deferred[T] | None = None
        self._is_all_sent = False
        self._head: Head | None = None
        self._answer: list[bytes] = []
        self._error: BridgeError | None = None
        self._result: tuple[T] | None = None
        connection.serve(self)

    @property
    def error(self) -> BridgeError | None:
        """Why it failed, if it did."""
        return self._error

    def write(self, data: bytes) -> Deferred[None]:
        """Send bytes; fires when there is room for more.

        What was given is sent whether or not anybody waits for the Deferred, in order.  Cancelling it
        does not take the bytes back.

        Raises:
            RequestRejected: The server has refused already; nothing more is sent.
            ConnectionLost: The connection is gone.
            TimedOut: The server took nothing for ``silence`` seconds.
            RemoteProtocolError: The server answered before everything was sent.
            Closed: It was finished or aborted here.
        """
        if self._error is not None:
            return fail(self._error)
        if self._answered is not None:
            return fail(Closed("the upload"))
        if data:
            self._queue.append(memoryview(data))
            self._held += len(data)
            if self._held >= UPLOAD_MARK:
                self._send()
            elif self._turn is None:
                self._turn = self._clock.callLater(0, self._send)
        return succeed(None) if self._held < UPLOAD_MARK else self._wait_in(self._writers)

    def drain(self) -> Deferred[None]:
        """Fires when the system has taken everything that was written; fails as `write` does."""
        if self._error is None and self._answered is None:
            self._send()
            if self._held or self._is_paused:
                return self._wait_in(self._drains)
        return self.write(b"")

    def finish(self) -> Deferred[T]:
        """End the body and wait for the answer.  Cancelling it aborts.

        Raises:
            BridgeError: As of `write`, also if nobody waited for that.
            TimedOut: There was no answer for ``silence`` seconds.
        """
        if self._error is not None:
            return fail(self._error)
        if self._result is not None:
            return succeed(self._result[0])
        if self._answered is None:
            self._answered = Deferred(self._give_up)
            self._send()
        return self._answered

    def abort(self) -> None:
        """Drop the connection; what was not sent yet is lost.  A second call is harmless."""
        self._connection.abort(Closed("the upload"))

    def _give_up(self, answered: Deferred[T]) -> None:
        answered.errback(Failure(CancelledError()))  # and not with that it was aborted here
        self.abort()

    def _wait_in(self, waiting: list[Deferred[None]]) -> Deferred[None]:
        one: Deferred[None] = Deferred(waiting.remove)
        waiting.append(one)
        return one

    def _send(self) -> None:
        """Send what there is, as far as the transport takes it."""
        if self._turn is not None:
            if self._turn.active():
                self._turn.cancel()
            self._turn = None
        while self._queue and not self._is_paused and self._head is None:
            chunk = self._next_chunk()
            self._held -= len(chunk)
            self._touched()
            self._connection.write((b"%x\r\n" % len(chunk), chunk, b"\r\n"))
        if self._answered is not None and not (self._queue or self._is_all_sent or self._head):
            self._is_all_sent = True
            self._touched()
            self._connection.write((b"0\r\n\r\n",))
        if self._held < UPLOAD_MARK:
            for one in _taken(self._writers):
                one.callback(None)
        if not self._held and not self._is_paused:
            for one in _taken(self._drains):
                one.callback(None)

    def _next_chunk(self) -> bytes:
        pieces = []
        room = MAX_CHUNK
        while self._queue and room:
            piece = self._queue.popleft()
            if len(piece) > room:
                self._queue.appendleft(piece[room:])
                piece = piece[:room]
            pieces.append(piece)
            room -= len(piece)
        return b"".join(pieces)

    def _touched(self) -> None:
        self._since = self._clock.seconds()
        if self._silence is not None:
            self._alarm.set(self._since + self._silence)

    def _look(self) -> None:
        limit = self._silence
        if limit is None or not (self._is_paused or self._is_all_sent):
            return
        if self._clock.seconds() < self._since + limit:
            self._alarm.set(self._since + limit)
            return
        phase = "answer" if self._is_all_sent and not self._is_paused else "body"
        self._connection.abort(TimedOut(self._operation.name, phase, limit))

    # Called by the connection.

    def head_received(self, head: Head) -> None:
        """An answer begins; nothing more is sent."""
        self._head = head

    def pieces_received(self, pieces: list[bytes]) -> None:
        """Pieces of the answer came."""
        self._answer += pieces
        if sum(map(len, self._answer)) > MAX_REFUSAL:
            reason = f"the answer's body is over {MAX_REFUSAL} bytes"
            self._connection.abort(RemoteProtocolError(self._operation.name, reason))

    def ended(self, error: BridgeError | None) -> None:
        """The answer is whole, or will not be."""
        self._alarm.cancel()
        if self._turn is not None and self._turn.active():
            self._turn.cancel()
        self._error = error
        if error is None:
            assert self._head is not None
            answer = Answer(self._head.status, self._head.headers, b"".join(self._answer))
            try:
                self._result = (self._judge(self._operation, answer),)
                if not self._is_all_sent:
                    raise RemoteProtocolError(self._operation.name, "it answered before everything was sent")
            except BridgeError as refusal:
                self._error = refusal
        self._queue.clear()
        self._held = 0
        if self._error is not None:
            for one in (*_taken(self._writers), *_taken(self._drains)):
                one.errback(Failure(self._error))
            if self._answered is not None and not self._answered.called:
                self._answered.errback(Failure(self._error))
        elif self._answered is not None and self._result is not None:
            self._answered.callback(self._result[0])

    def pauseProducing(self) -> None:
        """The transport has enough to send."""
        self._is_paused = True
        self._touched()

    def resumeProducing(self) -> None:
        """The transport has sent what it had."""
        self._is_paused = False
        self._touched()
        self._send()


def _taken(waiting: list[Deferred[None]]) -> list[Deferred[None]]:
    """What was in a list that is empty from now on."""
    taken = waiting[:]
    waiting.clear()
    return taken
