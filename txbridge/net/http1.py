"""HTTP/1 without I/O, server side: the bytes of old devices in, requests out, and answers back.

Why not a library's parser: the devices this serves were never strict, and their firmware will not
change.  They end lines with a bare LF, leave out the blank in front of ``HTTP/1.1``, send a byte
more than they announced, and wait for an interim ``100``.  Each of these is accepted here, and only
where it cannot make two readers see two different requests: whatever decides where a request ends
(lengths, codings, chunk sizes, header names) is read strictly and refused when in doubt.

`HttpServerConnection` holds one connection.  The shell that drives it is
`txbridge.net.http_server`; by hand it goes like this::

    for event in connection.receive_data(data):        # at most one event
        connection.respond(answer(event.request))      # now, or later
        transport.write(connection.data_to_send())     # head and body leave together
        events = connection.advance()                  # a pipelined request, or the end

One request is out at a time; what a client sends meanwhile waits in a buffer, and `wants_data` says
when reading should pause.  Nothing a peer sends raises: it becomes a refusal (4xx or 5xx) and the
end of the connection.

Time comes in as two callables.  A connection has one deadline at any moment::

    no request has begun     idle_seconds     close, without a word
    inside a head            head_seconds     408, close
    inside a body            body_seconds     408, close
    a request is out         none: an accepted write must complete
    the transport is full    send_seconds     abort: the client does not read the next `PIECE`
    closing                  linger_seconds, then send_seconds, then abort

Closing has steps because a socket that is closed with unread bytes (the surplus byte, the rest of a
refused body) resets the connection, and a reset can overtake the answer.  So the writing side is
closed first, and what still comes is dropped until the client closes too.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable, Mapping
from enum import Enum
from functools import lru_cache
from typing import Protocol, TypeAlias
from urllib.parse import quote

from attrs import field, frozen

__all__ = [
    "Close",
    "CloseRequested",
    "Event",
    "HttpLimits",
    "HttpServerConnection",
    "Request",
    "RequestReceived",
    "Response",
    "UpgradeRequested",
    "loggable_path",
    "plain_refusal",
    "reason_phrase",
]

# ---------------------------------------------------------------------------------------- values


@frozen
class Request:
    """One whole request.

    Attributes:
        method: In upper case, such as ``"PUT"``.
        path: Raw, still percent-encoded, without the query; it always starts with ``/``.  A target
            in absolute form is reduced to its path, ``OPTIONS *`` to ``/``.
        query: The raw text after the first ``?``; ``""`` when there is none.
        headers: Name in lower case -> value as Latin-1 text without blanks around it.  Repeated
            ones are joined with ``", "``.  There is no ``content-encoding`` of a body that was
            inflated.  They are not in the repr: some are secrets.
        body: The whole body, de-chunked and inflated.
        client: The peer's IP address.
        secure: It came over TLS.
        version: ``"1.1"`` or ``"1.0"``.
    """

    method: str
    path: str = field(repr=False)
    query: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    client: str = ""
    secure: bool = False
    version: str = "1.1"


@frozen
class Response:
    """What to answer.

    Attributes:
        status: 200 to 599.
        headers: Name and value pairs, in order.  ``Content-Length``, ``Transfer-Encoding``, ``Date``
            and ``Connection`` are the connection's own and left out, except that a ``Connection``
            that says ``close`` closes it.
        body: The body.  It is not sent with 204 and 304 nor in answer to HEAD; for HEAD give the
            body that GET would have, so that its length is right.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@frozen
class HttpLimits:
    """What one connection may cost.

    Attributes:
        head: Bytes of request line and headers together (431).
        request_line: Bytes of the request line (414).
        headers: Header lines of one request (431).
        body: Bytes of a body, before and after it is inflated (413).
        pipeline: Bytes kept of what follows an unanswered request; reading pauses above it.
        compress_from: Bytes an answer's body must have to be compressed for who accepts it.
        head_seconds: How long a head may take, from its first byte.
        body_seconds: How long a body may take, from the end of its head.
        idle_seconds: How long a connection may be open with no request begun.
        send_seconds: How long a client may take for the next `PIECE` of an answer once the transport is full.
        linger_seconds: How long a closed connection still drops what the client sends.
    """

    head: int = 16 * 1024
    request_line: int = 8 * 1024
    headers: int = 100
    body: int = 1 << 20
    pipeline: int = 64 * 1024
    compress_from: int = 512
    head_seconds: float = 20.0
    body_seconds: float = 60.0
    idle_seconds: float = 75.0
    send_seconds: float = 60.0
    linger_seconds: float = 5.0


class Close(Enum):
    """How the transport is to be closed, after what `HttpServerConnection.data_to_send` gave."""

    HALF = "half"  #: Close the writing side; go on reading, and hand in what comes to be dropped.
    FULL = "full"  #: Close once everything is sent.
    ABORT = "abort"  #: Close now; what is unsent is lost.


@frozen
class RequestReceived:
    """A request came; answer it with `HttpServerConnection.respond`."""

    request: Request


@frozen
class UpgradeRequested:
    """A client asks for a WebSocket; the connection has nothing more to do with its transport.

    Attributes:
        request: The request, parsed.
        data: Its head as it came, and whatever came after it.
    """

    request: Request
    data: bytes = field(repr=False)


@frozen
class CloseRequested:
    """Send what there is to send, then close the transport in this way."""

    how: Close


Event: TypeAlias = RequestReceived | UpgradeRequested | CloseRequested

# ----------------------------------------------------------------------------------------- words

#: RFC 9110's phrases, with the older names where clients of the time may show or match them.
_PHRASES = {
    200: "OK",
    201: "Created",
    202: "Accepted",
    204: "No Content",
    206: "Partial Content",
    300: "Multiple Choices",
    301: "Moved Permanently",
    302: "Found",
    303: "See Other",
    304: "Not Modified",
    307: "Temporary Redirect",
    308: "Permanent Redirect",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    408: "Request Timeout",
    409: "Conflict",
    410: "Gone",
    411: "Length Required",
    412: "Precondition Failed",
    413: "Request Entity Too Large",
    414: "Request-URI Too Long",
    415: "Unsupported Media Type",
    416: "Range Not Satisfiable",
    417: "Expectation Failed",
    422: "Unprocessable Entity",
    426: "Upgrade Required",
    428: "Precondition Required",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
    507: "Insufficient Storage",
}
_STATUS_LINES = {status: f"HTTP/1.1 {status} {phrase}\r\nDate: " for status, phrase in _PHRASES.items()}

_METHODS = {name.encode(): name for name in ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")}
_BODY_METHODS = frozenset({"PATCH", "POST", "PUT"})
_VERSIONS = {b"HTTP/1.1": "1.1", b"HTTP/1.0": "1.0"}

#: RFC 9110, section 5.6.2.
_TOKEN_CHARACTERS = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_TOKEN = re.compile(rf"[{re.escape(_TOKEN_CHARACTERS)}]+")
_TOKEN_BYTES = frozenset(_TOKEN_CHARACTERS.encode())
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_VISIBLE = "".join(map(chr, range(0x21, 0x7F)))  # what a target may hold unquoted
_HEX = re.compile(rb"[0-9A-Fa-f]{1,16}")
_DIGITS = re.compile(r"[0-9]+")
_VERSION = re.compile(rb"HTTP/([0-9])(?:\.[0-9])?")

_COMMON_HEADERS = (
    "Accept",
    "Accept-Charset",
    "Accept-Encoding",
    "Accept-Language",
    "Access-Control-Allow-Origin",
    "Access-Control-Expose-Headers",
    "Authorization",
    "Cache-Control",
    "Connection",
    "Content-Encoding",
    "Content-Length",
    "Content-Type",
    "Cookie",
    "ETag",
    "Expect",
    "Host",
    "If-None-Match",
    "Location",
    "Origin",
    "Referer",
    "Transfer-Encoding",
    "Upgrade",
    "User-Agent",
    "Vary",
    "X-ApiKey",
    "X-Forwarded-For",
    "X-PachubeApiKey",
    "X-Request-Id",
)
#: Spelling -> name in lower case, for those that need neither a check nor lower().
_NAMES = {
    spelling: name.lower() for name in _COMMON_HEADERS for spelling in (name, name.lower(), name.title())
}

_MAX_CHUNK_LINE = 1024  # bytes of one size line or trailer; sizes take 16, and no client sends extensions
_MAX_GZIP_MEMBERS = 64  # a logger may append members to one file; each costs a copy of what follows
PIECE = (
    1 << 16
)  # bytes of an answer that are sent at once; what the transport likes to hold, so few are copied
_GZIP_LEVEL = 5  # within 1 % of level 6's size on JSON history, for four fifths of its time

_CODINGS = frozenset({"", "deflate", "gzip", "identity", "x-gzip"})
_OWN_HEADERS = frozenset({"connection", "content-length", "date", "keep-alive", "transfer-encoding"})
_NO_BODY = frozenset({204, 304})

#: So that a browser takes nothing that somebody wrote for a page.  Small devices have no room for it.
_AS_IT_SAYS = ("X-Content-Type-Options", "nosniff")

_LONGEST_SHOWN = 15  # characters of a path's segment in the log; the shortest key ever seen has 43


def reason_phrase(status: int) -> str:
    """The words that follow a status on the status line; never empty, since C clients read them."""
    return _PHRASES.get(status, "Unknown")


def loggable_path(path: str) -> str:
    """A path without its long segments: in ``/v2/keys/…`` the segment is the secret itself."""
    segments = path.split("/")
    return "/".join(segment if len(segment) <= _LONGEST_SHOWN else "…" for segment in segments)


def plain_refusal(status: int, reason: str, path: str = "") -> Response:
    """The refusal of a server that has no body format of its own: one line of text."""
    text = f"{reason_phrase(status)}: {reason}\n"
    return Response(status, (("Content-Type", "text/plain; charset=utf-8"),), text.encode())


class _Refused(Exception):
    """The bytes are not an acceptable request; becomes an answer."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason


# ---------------------------------------------------------------------------------------- bodies


class _Body(Protocol):
    content: bytearray  # and not a list of what came: a piece of two bytes would take fifty

    def take(self, data: bytes) -> bytes | None:
        """Take what belongs to the body; returns what follows it, or None while it is incomplete."""


class _SizedBody:
    """A body of so many bytes."""

    def __init__(self, size: int) -> None:
        self.content = bytearray()
        self._size = size

    def take(self, data: bytes) -> bytes | None:
        missing = self._size - len(self.content)
        self.content += data[:missing]
        return None if len(data) < missing else data[missing:]


class _Chunk(Enum):
    SIZE = "size"
    DATA = "data"
    END = "end"
    TRAILER = "trailer"


class _ChunkedBody:
    """A body in chunks; extensions and trailers are dropped, lines may end with a bare LF.

    Args:
        limit: Bytes the body may have.
        framing_limit: Bytes that may frame it: chunks of one byte, and trailers, are bounded too.
    """

    def __init__(self, limit: int, framing_limit: int) -> None:
        self.content = bytearray()
        self._limit = limit
        self._framing_limit = framing_limit
        self._size = 0
        self._framing = 0
        self._missing = 0
        self._expected = _Chunk.SIZE
        self._rest = b""

    def take(self, data: bytes) -> bytes | None:
        if self._rest:
            data = self._rest + data
        at, end = 0, len(data)
        while at < end:
            if self._expected is _Chunk.DATA:
                piece = data[at : at + self._missing]
                self.content += piece
                at += len(piece)
                self._missing -= len(piece)
                if not self._missing:
                    self._expected = _Chunk.END
                continue
            newline = data.find(b"\n", at, at + _MAX_CHUNK_LINE)
            if newline < 0:
                if end - at >= _MAX_CHUNK_LINE:
                    raise _Refused(400, f"a line between chunks is longer than {_MAX_CHUNK_LINE} bytes")
                if self._expected is _Chunk.END and data[at:end] != b"\r":
                    raise _Refused(400, "a chunk is longer than its size says")
                break
            line = data[at:newline].removesuffix(b"\r")
            self._framing += newline + 1 - at
            at = newline + 1
            if self._framing > self._framing_limit:
                raise _Refused(413, f"more than {self._framing_limit} bytes frame the chunks of the body")
            if self._expected is _Chunk.END:
                if line:
                    raise _Refused(400, "a chunk is longer than its size says")
                self._expected = _Chunk.SIZE
            elif self._expected is _Chunk.SIZE:
                self._begin_chunk(line)
            elif not line:
                return data[at:]
        self._rest = data[at:]
        return None

    def _begin_chunk(self, line: bytes) -> None:
        text = line.partition(b";")[0].strip(b" \t")
        if _HEX.fullmatch(text) is None:
            raise _Refused(400, "the size of a chunk is not a hexadecimal number")
        self._missing = int(text, 16)
        self._size += self._missing
        if self._size > self._limit:
            raise _Refused(413, f"the body is larger than {self._limit} bytes")
        self._expected = _Chunk.DATA if self._missing else _Chunk.TRAILER


def _inflate(data: bytes, encoding: str, limit: int) -> bytes:
    """Undo a content coding, and stop as soon as the result is larger than allowed."""
    if encoding == "deflate":
        # RFC 9110 means zlib's format; several clients send the bare stream inside it.
        has_header = len(data) > 1 and data[0] & 0x0F == 8 and (data[0] << 8 | data[1]) % 31 == 0
        bits = zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS
    else:
        bits = zlib.MAX_WBITS | 16
    parts: list[bytes] = []
    size = 0
    for _ in range(_MAX_GZIP_MEMBERS):
        member = zlib.decompressobj(bits)
        try:
            part = member.decompress(data, limit - size + 1)
        except zlib.error:
            raise _Refused(400, f"the body is not in the {encoding} format") from None
        parts.append(part)
        size += len(part)
        if size > limit:
            raise _Refused(413, f"the inflated body is larger than {limit} bytes")
        if not member.eof:
            raise _Refused(400, f"the {encoding} data of the body end too early")
        data = member.unused_data
        if not data.strip(b"\0"):
            return b"".join(parts)
    raise _Refused(400, f"the body has more than {_MAX_GZIP_MEMBERS} {encoding} members")


# ----------------------------------------------------------------------------------------- heads


def _tokens(value: str) -> list[str]:
    return [token.strip(" \t").lower() for token in value.split(",")]


def _refused_method(method: bytes) -> _Refused:
    name = method.decode("latin-1")
    if _TOKEN.fullmatch(name) is None:
        return _Refused(400, "the request line does not start with a method")
    return _Refused(501, f"there is no method {name[:20]} here")


def _read_version(version: bytes) -> str:
    match = _VERSION.fullmatch(version)
    if match is None:
        raise _Refused(400, "the request line does not end with HTTP and a version")
    if match[1] != b"1":
        raise _Refused(505, "only HTTP/1.1 and HTTP/1.0 are spoken here")
    return "1.1"


def _read_request_line(line: bytes) -> tuple[str, bytes, str]:
    """Read ``(method, target, version)``."""
    parts = line.split()
    if len(parts) == 2:
        # libxively: "POST /v2/feeds/7301/datastreams.csvHTTP/1.1"
        cut = parts[1].rfind(b"HTTP/1.")
        if cut > 0:
            parts = [parts[0], parts[1][:cut], parts[1][cut:]]
    if len(parts) != 3:
        raise _Refused(400, "the request line is not a method, a target and a version")
    method = _METHODS.get(parts[0]) or _METHODS.get(parts[0].upper())
    if method is None:
        raise _refused_method(parts[0])
    return method, parts[1], _VERSIONS.get(parts[2]) or _read_version(parts[2])


def _read_target(method: str, target: bytes) -> tuple[str, str, str | None]:
    """Read ``(path, query, authority)``; the authority is None unless the target names one."""
    text = target.decode("latin-1")
    if not text.isascii():
        text = quote(target, safe=_VISIBLE)
    if not text.isprintable():
        raise _Refused(400, "the target of the request has a control character")
    authority = None
    if text[0] != "/":
        scheme, separator, rest = text.partition("://")
        if text == "*" and method == "OPTIONS":
            text = "/"
        elif separator and scheme.lower() in ("http", "https"):
            start = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
            authority, text = rest[:start].rpartition("@")[2], rest[start:]
            if not authority:
                raise _Refused(400, "the target of the request names no host")
            if not text.startswith("/"):
                text = "/" + text
        else:
            raise _Refused(400, "the target of the request does not start with a slash")
    path, _, query = text.partition("?")
    return path, query, authority


def _read_headers(block: bytes, most: int) -> dict[str, str]:
    headers: dict[str, str] = {}
    lines = block.decode("latin-1").split("\n")
    if len(lines) > most:
        raise _Refused(431, f"there are more than {most} header lines")
    last = ""
    for line in lines:
        name, colon, value = line.partition(":")
        key = _NAMES.get(name)
        if key is None:
            if line[:1] in (" ", "\t"):
                if not last:
                    raise _Refused(400, "the first header line starts with a blank")
                value, key = line, ""
            elif not colon:
                raise _Refused(400, "a header line has no colon")
            elif _TOKEN.fullmatch(name) is None:
                raise _Refused(400, "the name of a header is not a token")
            else:
                key = name.lower()
        value = value.strip(" \t\r")
        if not value.isprintable() and _CONTROL.search(value) is not None:
            raise _Refused(400, f"header {key or last} has a control character")
        if not key:  # an obsolete folded line continues the one before
            headers[last] = f"{headers[last]} {value}".strip(" ")
        elif key in headers:
            if key == "host":
                raise _Refused(400, "there is more than one Host header")
            headers[key] = f"{headers[key]}, {value}"
            last = key
        else:
            headers[key] = value
            last = key
    return headers


def _read_length(text: str, limit: int) -> int:
    """Read a Content-Length; the same length said twice is one length."""
    if "," in text:
        lengths = set(_tokens(text))
        if len(lengths) > 1:
            raise _Refused(400, "there are two different Content-Lengths")
        text = lengths.pop()
    if _DIGITS.fullmatch(text) is None:
        raise _Refused(400, "the Content-Length is not a number")
    digits = text.lstrip("0") or "0"
    if len(digits) > 18 or int(digits) > limit:
        raise _Refused(413, f"the body is larger than {limit} bytes")
    return int(digits)


@lru_cache(maxsize=256)
def _accepts_gzip(value: str) -> bool:
    """Whether an Accept-Encoding asks for gzip; a weight of zero is a no."""
    accepted = {}
    for item in value.lower().split(","):
        coding, _, parameter = item.partition(";")
        name, _, weight = parameter.partition("=")
        try:
            zero = name.strip() == "q" and float(weight) == 0
        except ValueError:
            zero = True
        accepted[coding.strip()] = not zero
    return accepted.get("gzip", accepted.get("x-gzip", False))


# --------------------------------------------------------------------------------------- answers


def _has(headers: list[tuple[str, str]], name: str) -> bool:
    return any(known.lower() == name.lower() for known, _ in headers)


def _compressed(headers: list[tuple[str, str]], body: bytes) -> bytes | None:
    """Compress a body and say so in its headers; None, and nothing changed, if it is not to be."""
    vary = None
    for index, (name, value) in enumerate(headers):
        key = name.lower()
        if key in ("content-encoding", "content-range"):
            return None
        if key == "content-type" and value.lower().startswith("image/"):
            return None
        if key == "vary":
            vary = index
    small = gzip.compress(body, _GZIP_LEVEL, mtime=0)
    if len(small) >= len(body):
        return None
    if vary is None:
        headers.append(("Vary", "Accept-Encoding"))
    elif not {"*", "accept-encoding"} & set(_tokens(headers[vary][1])):
        headers[vary] = (headers[vary][0], f"{headers[vary][1]}, Accept-Encoding")
    headers.append(("Content-Encoding", "gzip"))
    return small


class _State(Enum):
    HEAD = "head"
    BODY = "body"
    ANSWERING = "answering"
    UPGRADED = "upgraded"
    CLOSING = "closing"
    CLOSED = "closed"


class HttpServerConnection:
    """One connection of a client; see the module's docstring for how to drive it.

    Args:
        now: Seconds, as `handle_deadline` gets them.
        date: The present ``Date`` header's value.
        limits: What the connection may cost.
        refuse: Makes the answer to a request that cannot be handed out, from a status, a sentence
            that holds nothing secret, and the path, which is empty when it was not read.
        client: The peer's IP address, for `Request.client`.
        secure: The transport is TLS, for `Request.secure`.
        upgrades: Hand out WebSocket requests as `UpgradeRequested`; otherwise ``Upgrade`` is ignored,
            as RFC 9110 allows.

    Source: RFC 9110 and RFC 9112, with the exceptions the module's docstring names.
    """

    def __init__(
        self,
        *,
        now: Callable[[], float],
        date: Callable[[], str],
        limits: HttpLimits = HttpLimits(),
        refuse: Callable[[int, str, str], Response] = plain_refusal,
        client: str = "",
        secure: bool = False,
        upgrades: bool = False,
    ) -> None:
        self._now = now
        self._date = date
        self._limits = limits
        self._refuse_with = refuse
        self._client = client
        self._secure = secure
        self._upgrades = upgrades
        self._state = _State.HEAD
        self._deadline: float | None = now() + limits.idle_seconds
        self._send_deadline: float | None = None
        self._buffer = b""
        self._searched = 0  # so many bytes of the buffer hold no end of a head
        self._begun = False  # a byte of a head has come
        self._output = b""
        self._sent = 0  # so many bytes of the output were taken
        self._body: _Body | None = None
        self._close: Close | None = None  # decided, and not yet given out as an event
        self._closing: Close | None = None  # what was given out last
        self._at_eof = False
        self._last = False  # no further request is wanted
        self._short_head = min(limits.head, limits.request_line)  # one comparison for most requests
        # Of the request that is being read or answered:
        self._method = ""
        self._version = "1.1"
        self._path = ""
        self._query = ""
        self._headers: dict[str, str] = {}
        self._keep_alive = False

    # -- what the shell asks

    @property
    def wants_data(self) -> bool:
        """False while more input would only grow the buffer: pause reading."""
        return len(self._buffer) <= self._limits.pipeline or not self.is_waiting

    @property
    def is_idle(self) -> bool:
        """True while no request has begun and no answer is due."""
        return self._state is _State.HEAD and not self._begun and not self._buffer

    @property
    def is_waiting(self) -> bool:
        """True while a request is out, or the client does not read: nothing else can be said to it."""
        return self._state is _State.ANSWERING or self._send_deadline is not None

    @property
    def is_answering(self) -> bool:
        """True while a request is out."""
        return self._state is _State.ANSWERING

    @property
    def held_bytes(self) -> int:
        """Bytes kept of a request that is not complete, and of those that wait for their turn."""
        return len(self._buffer) + (0 if self._body is None else len(self._body.content))

    @property
    def unsent_bytes(self) -> int:
        """Bytes of answers that `data_to_send` has not given yet."""
        return len(self._output) - self._sent

    def data_to_send(self) -> bytes:
        """Take what is to be sent now: all of a short answer, of a long one a piece after another."""
        start, end = self._sent, self._sent + PIECE
        if end < len(self._output):
            self._sent = end
            return self._output[start:end]
        data, self._output, self._sent = self._output, b"", 0
        return data[start:] if start else data

    def next_deadline(self) -> float | None:
        """When to call `handle_deadline`, on the scale of ``now``; None for no deadline."""
        if self._send_deadline is not None:
            return self._send_deadline
        return self._deadline

    # -- what the shell tells

    def receive_data(self, data: bytes) -> list[Event]:
        """Read bytes.  Never raises on account of what they are."""
        if self._state is _State.CLOSING or self._state is _State.CLOSED:
            return []
        self._buffer = self._buffer + data if self._buffer else data
        return self.advance()

    def receive_eof(self) -> list[Event]:
        """The client will send no more; it may still read the answer to what it has sent."""
        self._at_eof = True
        if self._state is _State.CLOSING and self._closing is Close.HALF:
            self._begin_closing(Close.FULL)
        return self.advance()

    def handle_deadline(self, now: float) -> list[Event]:
        """Do what is due; harmless when nothing is."""
        deadline = self.next_deadline()
        if deadline is None or now < deadline:
            return []
        if self._send_deadline is not None or self._closing is Close.FULL:
            self._begin_closing(Close.ABORT)
        elif self._closing is Close.HALF:
            self._begin_closing(Close.FULL)
        elif self._state is _State.BODY:
            self.refuse(408, f"the body took longer than {self._limits.body_seconds:g} seconds")
        elif self._begun:
            self.refuse(408, f"the head took longer than {self._limits.head_seconds:g} seconds")
        else:
            self._begin_closing(Close.FULL)
        return self.advance()

    def sending_stalled(self) -> None:
        """The transport holds unsent bytes and wants no more: hand out no further request."""
        if self._state in (_State.HEAD, _State.CLOSING) and self._send_deadline is None:
            self._send_deadline = self._now() + self._limits.send_seconds

    def sending_resumed(self) -> None:
        """The transport has sent what it held; then send, then `advance`."""
        self._send_deadline = None
        if self._state is _State.CLOSING:
            self._set_closing_deadline()
        elif self.is_idle:
            self._deadline = self._now() + self._limits.idle_seconds

    def close_after_response(self) -> None:
        """Want no further request: close at once if idle, else after the answer; then `advance`."""
        self._last = True
        if self.is_idle:
            self._begin_closing(Close.FULL)

    def refuse(self, status: int, reason: str) -> None:
        """Refuse what the client asks, or may be about to ask, and close; then `advance`."""
        if self._state is _State.CLOSING or self._state is _State.CLOSED:
            return
        response = self._refuse_with(status, reason, self._path)
        self._headers = {}
        self._write(response, keep_alive=False)

    def respond(self, response: Response) -> None:
        """Answer the request that is out; then send, then `advance`.

        Raises:
            ValueError: The response cannot be written: its status is no final one, or a header is not
                Latin-1 text on one line.  The request is still out, and can be answered otherwise.
            RuntimeError: No request is out.
        """
        if self._state is not _State.ANSWERING:
            raise RuntimeError("there is no request to respond to")
        self._write(response, self._keep_alive and not self._last)

    def advance(self) -> list[Event]:
        """Go on with what was received already; returns at most one event."""
        if self._close is not None:
            self._closing, self._close = self._close, None
            return [CloseRequested(self._closing)]
        if self._send_deadline is not None:
            return []
        state = self._state
        try:
            if state is _State.HEAD:
                if self._buffer:
                    event = self._read_head()
                    if event is not None:
                        return [event]
            elif state is _State.BODY:
                event = self._read_body()
                if event is not None:
                    return [event]
            else:
                return []
        except _Refused as refusal:
            self.refuse(refusal.status, refusal.reason)
            return self.advance()
        if self._at_eof:
            return self._end_early()
        return []

    # -- reading

    def _end_early(self) -> list[Event]:
        if self._state is _State.BODY or self._begun:
            self.refuse(400, "the request ends too early")
        else:
            self._begin_closing(Close.FULL)
        return self.advance()

    def _read_head(self) -> Event | None:
        """Read a head, and its body if that is here too."""
        buffer = self._buffer
        if buffer[0] not in _TOKEN_BYTES:
            buffer = self._buffer = buffer.lstrip(b"\r\n")  # RFC 9112, section 2.2; and surplus bytes
            self._searched = 0
            if not buffer:
                return None
            if buffer[0] not in _TOKEN_BYTES:
                raise _Refused(400, "the request line does not start with a method")
        # A head ends at the first line that is empty; lines end with LF, and may have a CR before it.
        start = self._searched
        end = buffer.find(b"\n\r\n", start)
        bare = buffer.find(b"\n\n", start, end + 1 if end >= 0 else None)
        if bare >= 0:
            end, after = bare, bare + 2
        else:
            after = end + 3
        limits = self._limits
        if end < 0 or after > self._short_head:
            newline = buffer.find(b"\n")
            if (newline if newline >= 0 else len(buffer)) > limits.request_line:
                raise _Refused(414, f"the request line is longer than {limits.request_line} bytes")
            if (after if end >= 0 else len(buffer)) > limits.head:
                raise _Refused(431, f"the head is longer than {limits.head} bytes")
        if end < 0:
            self._searched = max(0, len(buffer) - 2)
            if not self._begun:
                self._begun = True
                self._deadline = self._now() + limits.head_seconds
            return None
        return self._begin_request(buffer[:end], buffer[:after], buffer[after:])

    def _begin_request(self, head: bytes, raw: bytes, rest: bytes) -> Event | None:
        self._method = ""
        line, _, block = head.partition(b"\n")
        self._method, target, self._version = _read_request_line(line)
        self._path, self._query, authority = _read_target(self._method, target)
        headers = self._headers = _read_headers(block, self._limits.headers) if block else {}
        if authority is not None:
            headers["host"] = authority
        connection = headers.get("connection")
        if connection is None:
            options = []
            self._keep_alive = self._version == "1.1"
        else:
            options = _tokens(connection)
            wanted = "keep-alive" in options or self._version == "1.1"
            self._keep_alive = wanted and "close" not in options
        self._body = self._announced_body(headers)
        self._buffer = rest
        if self._body is not None:
            self._deadline = None
            self._state = _State.BODY
            if "expect" in headers and self._version == "1.1":
                if headers["expect"].lower() != "100-continue":
                    raise _Refused(417, "the only expectation met here is 100-continue")
                self._output += b"HTTP/1.1 100 Continue\r\n\r\n"
            return self._read_body()
        if "upgrade" in headers and self._wants_websocket(options):
            self._state = _State.UPGRADED
            self._deadline = None
            self._buffer = b""
            return UpgradeRequested(self._make_request(b""), raw + rest)
        return self._hand_out(b"")

    def _announced_body(self, headers: Mapping[str, str]) -> _Body | None:
        """What kind of body follows the head; RFC 9112, section 6.3, without its benefit of doubt."""
        limits = self._limits
        length = headers.get("content-length")
        transfer = headers.get("transfer-encoding")
        body: _Body | None = None
        if transfer is not None:
            if length is not None:
                raise _Refused(400, "there is both a Content-Length and a Transfer-Encoding")
            if transfer.lower() != "chunked":
                raise _Refused(400, "the only Transfer-Encoding read here is chunked")
            if self._version == "1.0":
                raise _Refused(400, "HTTP/1.0 has no Transfer-Encoding")
            body = _ChunkedBody(limits.body, limits.body + limits.head)
        elif length is not None:
            size = _read_length(length, limits.body)
            body = _SizedBody(size) if size else None
        elif self._method in _BODY_METHODS and (self._version == "1.0" or "content-type" in headers):
            raise _Refused(411, "a body needs a Content-Length")
        if body is not None and headers.get("content-encoding", "").lower() not in _CODINGS:
            raise _Refused(415, "the Content-Encodings read here are gzip and deflate")
        return body

    def _wants_websocket(self, options: list[str]) -> bool:
        return (
            self._upgrades
            and not self._last
            and self._method == "GET"
            and self._version == "1.1"
            and "upgrade" in options
            and "websocket" in _tokens(self._headers["upgrade"])
        )

    def _read_body(self) -> Event | None:
        body = self._body
        assert body is not None
        rest = body.take(self._buffer)
        if rest is None:
            self._buffer = b""
            if self._deadline is None:
                self._deadline = self._now() + self._limits.body_seconds
            return None
        self._buffer = rest
        self._body = None
        data = bytes(body.content)
        if "content-encoding" in self._headers:
            coding = self._headers.pop("content-encoding").lower()
            if data and coding not in ("", "identity"):
                data = _inflate(data, coding, self._limits.body)
        return self._hand_out(data)

    def _make_request(self, body: bytes) -> Request:
        return Request(
            self._method,
            self._path,
            self._query,
            self._headers,
            body,
            self._client,
            self._secure,
            self._version,
        )

    def _hand_out(self, body: bytes) -> Event:
        self._state = _State.ANSWERING
        self._deadline = None
        return RequestReceived(self._make_request(body))

    # -- writing

    def _write(self, response: Response, keep_alive: bool) -> None:
        status = response.status
        line = _STATUS_LINES.get(status)
        if line is None:
            if not 200 <= status <= 599:
                raise ValueError(f"{status} is no final status")
            line = f"HTTP/1.1 {status} {reason_phrase(status)}\r\nDate: "
        body = response.body
        headers: list[tuple[str, str]] = []
        for header in response.headers:
            key = header[0].lower()
            if key not in _OWN_HEADERS:
                headers.append(header)
            elif key == "connection" and "close" in _tokens(header[1]):
                keep_alive = False
        if "Mozilla/" in self._headers.get("user-agent", "") and not _has(headers, _AS_IT_SAYS[0]):
            headers.append(_AS_IT_SAYS)
        if status in _NO_BODY:
            body = b""
        elif len(body) >= self._limits.compress_from:
            accepted = self._headers.get("accept-encoding")
            if accepted is not None and _accepts_gzip(accepted):
                body = _compressed(headers, body) or body
        text = line + self._date() + "\r\n"
        for name, value in headers:
            good_name = name in _NAMES or _TOKEN.fullmatch(name) is not None
            if not good_name or not (value.isprintable() or _CONTROL.search(value) is None):
                raise ValueError(f"the response's header {name!r} is not text on one line")
            text += f"{name}: {value}\r\n"
        if status not in _NO_BODY:
            text += f"Content-Length: {len(body)}\r\n"
        if not keep_alive:
            text += "Connection: close\r\n\r\n"
        elif self._version == "1.0":
            text += "Connection: keep-alive\r\n\r\n"
        else:
            text += "\r\n"
        data = text.encode("latin-1")
        self._output += data if self._method == "HEAD" else data + body
        if keep_alive:
            self._state = _State.HEAD
            self._begun = False
            self._searched = 0
            self._method = self._path = ""
            self._deadline = self._now() + self._limits.idle_seconds
        else:
            self._begin_closing(Close.FULL if self._at_eof else Close.HALF)

    def _begin_closing(self, how: Close) -> None:
        self._close = how
        self._buffer = b""
        self._body = None
        if how is Close.ABORT:
            self._state = _State.CLOSED
            self._deadline = self._send_deadline = None
        else:
            self._state = _State.CLOSING
            self._set_closing_deadline()

    def _set_closing_deadline(self) -> None:
        limits = self._limits
        is_half = (self._close or self._closing) is Close.HALF
        self._deadline = self._now() + (limits.linger_seconds if is_half else limits.send_seconds)
