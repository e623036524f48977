"""The messages of PAWS: finding them in a stream, reading them, writing them.

A message is one JSON object.  What must come back to the byte (a token, a resource) is never
decoded and encoded again: the JSON text itself is kept and repeated.

Source: Xively developer documentation, "Using Sockets"; recorded messages of pachube-stream and
node-pachube-stream.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
from attrs import field, frozen

__all__ = [
    "MAX_DEPTH",
    "MAX_DOCUMENT",
    "MAX_HEAD",
    "Broken",
    "JsonDocuments",
    "Malformed",
    "PawsAnswer",
    "PawsRequest",
    "read_answer",
    "read_request",
    "write_answer",
    "write_error",
]

MAX_DOCUMENT = 1 << 20  # as the REST bodies; a feed of 500 datapoints has about 40 kB
MAX_DEPTH = 64  # a feed is 6 deep; decoders recurse
MAX_HEAD = 16 * 1024  # bytes of a request without its body, as over HTTP; a subscription keeps them

METHODS = frozenset(("get", "put", "post", "delete", "subscribe", "unsubscribe"))
ALIASES = {"unsubsribe": "unsubscribe"}  # pachube-stream's spelling

REASONS: Mapping[int, str] = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not found",
    406: "Not Acceptable",
    408: "Request Timeout",
    413: "Request Entity Too Large",
    422: "Unprocessable Entity",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}
"""The first words of an error's body; only ``Forbidden`` is recorded, the others are HTTP's."""

_BLANK = re.compile(rb"[ \t\r\n]*+")
# Everything up to the next brace, bracket, or quote of a string that does not end in what is here.
_OUTSIDE = re.compile(rb'(?:[^"{}\[\]]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)
# Everything up to the quote that ends a string, or a backslash whose next byte is not here yet.
_INSIDE = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_OPEN_BRACE, _CLOSE_BRACE, _OPEN_BRACKET, _QUOTE = b'{}["'

_encode = msgspec.json.encode
_RAW = msgspec.Raw()


class JsonDocuments:
    """Cuts a stream of bytes into JSON objects.

    It looks at strings and braces only; whether a document is JSON is for its reader to find
    out.  Each byte is looked at a bounded number of times, however the stream is cut up.

    Args:
        max_size: Bytes of one document.
        max_depth: How deep objects and arrays may nest.

    Attributes:
        problem: Why nothing more will come out, or None.
    """

    def __init__(self, *, max_size: int = MAX_DOCUMENT, max_depth: int = MAX_DEPTH) -> None:
        self.problem: str | None = None
        self._max_size = max_size
        self._max_depth = max_depth
        self._buffer = bytearray()
        self._position = 0  # in the buffer: what is before it was looked at
        self._depth = 0
        self._in_string = False
        self._consumed = 0  # bytes of the stream before the buffer

    @property
    def inside(self) -> bool:
        """Whether a document has begun and not ended."""
        return self._depth > 0

    @property
    def held_bytes(self) -> int:
        """Bytes kept of a document that has not ended."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes and return the documents that end in them.

        What comes before a problem is still returned; look at `problem` afterwards.
        """
        documents: list[bytes] = []
        if self.problem is not None:
            return documents
        buffer = self._buffer
        buffer += data
        size, position, start = len(buffer), self._position, 0
        while position < size:
            if self._depth == 0:
                position = start = _end(_BLANK, buffer, position)
                if position == size:
                    break
                if buffer[position] != _OPEN_BRACE:
                    self.problem = f"unexpected character at offset {self._consumed + position}"
                    break
                self._depth = 1
                position += 1
            elif self._in_string:
                position = _end(_INSIDE, buffer, position)
                if position == size or buffer[position] != _QUOTE:
                    break
                self._in_string = False
                position += 1
            else:
                position = _end(_OUTSIDE, buffer, position)
                if position == size:
                    break
                byte = buffer[position]
                position += 1
                if byte == _QUOTE:
                    self._in_string = True
                elif byte in (_OPEN_BRACE, _OPEN_BRACKET):
                    self._depth += 1
                    if self._depth > self._max_depth:
                        self.problem = f"nested deeper than {self._max_depth} at offset " + str(
                            self._consumed + position - 1
                        )
                        break
                else:
                    self._depth -= 1
                    if self._depth == 0:
                        if position - start > self._max_size:
                            break
                        documents.append(bytes(buffer[start:position]))
                        start = position
        if self.problem is None and size - start > self._max_size and position - start > self._max_size:
            self.problem = f"a document is longer than {self._max_size} bytes"
        if self.problem is not None:
            buffer.clear()
        else:
            del buffer[:start]
            self._position = position - start
            self._consumed += start
        return documents


def _end(pattern: re.Pattern[bytes], buffer: bytearray, position: int) -> int:
    match = pattern.match(buffer, position)
    assert match is not None, "these patterns match the empty string"
    return match.end()


class _Message(msgspec.Struct, gc=False):
    """The members of requests and answers, each still JSON text; others are ignored."""

    method: msgspec.Raw = _RAW
    resource: msgspec.Raw = _RAW
    headers: msgspec.Raw = _RAW
    params: msgspec.Raw = _RAW
    parameters: msgspec.Raw = _RAW
    body: msgspec.Raw = _RAW
    token: msgspec.Raw = _RAW
    status: msgspec.Raw = _RAW
    skipped: msgspec.Raw = _RAW


_decode_message = msgspec.json.Decoder(_Message).decode
_decode_any = msgspec.json.Decoder().decode


def _read_message(document: bytes) -> _Message:
    """Read the members.

    Raises:
        ValueError: Not a JSON object; the text says why.
    """
    if not document.isascii():
        document.decode()
    try:
        return _decode_message(document)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(str(error).removeprefix("JSON is malformed: ")) from error


def _value(raw: msgspec.Raw) -> Any:
    """Decode one member; absent is None.

    Raises:
        ValueError: It holds what JSON allows and we do not, such as half of a surrogate pair.
    """
    if not raw:
        return None
    try:
        return _decode_any(raw)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(str(error)) from error


def _shown(value: object) -> str | None:
    """A scalar as the text it has in a URL; None when it is not a scalar."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else None


@frozen
class PawsRequest:
    """What a client asks.

    Attributes:
        method: ``get put post delete subscribe unsubscribe``, lower case.
        resource: Path and query as the client wrote them, with or without ``/v2`` in front.
        headers: Lower-case name -> value, stripped.
        parameters: From ``params`` and ``parameters``, as text, not percent-encoded.
        options: The same before it became text.
        body: The text of the body: the JSON of an object or array, or what a string says; or None.
        echo: The resource as JSON text, exactly as it came.
        token: The token as JSON text, exactly as it came; ``b""`` when there is none.
    """

    method: str
    resource: str = field(repr=False)
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    parameters: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    options: Mapping[str, object] = field(factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    echo: bytes = field(default=b"", repr=False)
    token: bytes = b""


@frozen
class Malformed:
    """A JSON object that is not a request; the connection can go on.

    Attributes:
        reason: What is wrong with it.
        echo: Its resource as JSON text, ``b""`` if it has none that can be repeated.
        token: Its token, the same.
    """

    reason: str
    echo: bytes = field(default=b"", repr=False)
    token: bytes = b""


@frozen
class Broken:
    """What came is not JSON.  A stream cannot be read on after this.

    Attributes:
        reason: What was found where.
    """

    reason: str


def read_request(document: bytes) -> PawsRequest | Malformed | Broken:
    """Read one document that a client sent.

    ``params`` and ``parameters`` are merged; the body of a ``get``, ``subscribe`` or
    ``unsubscribe`` is ignored; unknown members are too.
    """
    try:
        message = _read_message(document)
    except ValueError as error:
        return Broken(str(error))
    if len(document) - len(bytes(message.body)) > MAX_HEAD:
        return Malformed(f"all but the body is longer than {MAX_HEAD} bytes")
    echo = token = b""
    try:
        raw_token = bytes(message.token)
        if isinstance(_value(message.token), dict | list):
            return Malformed("token must be a string, a number, true, false or null")
        token = raw_token
        resource = _value(message.resource)
        if isinstance(resource, str):
            echo = bytes(message.resource)
        if not isinstance(resource, str) or not resource:
            return Malformed("resource must be a path such as /feeds/1", b"", token)
        method = _value(message.method)
        if not isinstance(method, str):
            return Malformed("method must be a string", echo, token)
        method = ALIASES.get(method.lower(), method.lower())
        if method not in METHODS:
            return Malformed(f"unknown method {method[:32]!r}", echo, token)
        headers = _value(message.headers)
        if headers is not None and not isinstance(headers, dict):
            return Malformed("headers must be an object", echo, token)
        options: dict[str, object] = {}
        for name, raw in (("parameters", message.parameters), ("params", message.params)):
            given = _value(raw)
            if given is not None and not isinstance(given, dict):
                return Malformed(f"{name} must be an object", echo, token)
            options.update(given or {})
        body: bytes | None = None
        if method in ("put", "post", "delete") and message.body:
            given = _value(message.body)
            if isinstance(given, dict | list):
                body = bytes(message.body)
            elif isinstance(given, str):
                body = given.encode() or None
            elif given is not None:
                return Malformed("body must be an object, an array or a string", echo, token)
    except ValueError as error:
        return Malformed(str(error), echo, token)
    parameters = []
    for name, value in options.items():
        if value is not None:
            text = _shown(value)
            if text is None:
                return Malformed(
                    f"parameter {name[:64]!r} must be a string, a number or a boolean", echo, token
                )
            parameters.append((name, text))
    named = {name.lower(): _shown(value) for name, value in (headers or {}).items()}
    return PawsRequest(
        method=method,
        resource=resource,
        headers={name: text.strip() for name, text in named.items() if text is not None},
        parameters=tuple(parameters),
        options=options,
        body=body,
        echo=echo,
        token=token,
    )


def write_answer(
    status: int | None,
    *,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    echo: bytes = b"",
    token: bytes = b"",
) -> bytes:
    """Write a message of the server, compact and in one line.

    Args:
        status: None for a push.
        body: JSON text; ``b""`` leaves the member out.
        headers: Upper-case names with ``_``; None leaves the member out.
        echo: The resource as JSON text.
        token: The token as JSON text.
    """
    members = []
    if body:
        members.append(b'"body":' + (msgspec.json.format(body, indent=-1) if b"\n" in body else body))
    if headers is not None:
        members.append(b'"headers":' + _encode(headers))
    if echo:
        members.append(b'"resource":' + echo)
    if token:
        members.append(b'"token":' + token)
    if status is not None:
        members.append(b'"status":%d' % status)
    return b"{" + b",".join(members) + b"}"


def write_error(
    status: int, text: str, *, echo: bytes = b"", token: bytes = b"", reason: str | None = None
) -> bytes:
    """Write an error: its body is the string ``"<Reason>: <text>"``.

    Args:
        status: 400 and above.
        text: The explanation.
        echo: The resource as JSON text.
        token: The token as JSON text.
        reason: Instead of the status's usual words.
    """
    words = reason if reason is not None else REASONS.get(status, "Error")
    return write_answer(status, body=_encode(f"{words}: {text}"), echo=echo, token=token)


@frozen
class PawsAnswer:
    """What a server says: an answer, or a push when it has no status.

    Attributes:
        status: The HTTP status, or None.
        resource: Its resource, or None.
        token: Its token, or None; ours are texts, any other is none of ours.
        headers: Lower-case name with ``-`` -> value.
        body: JSON text of an object or array, or the text of a string; ``b""`` when there is none.
        skipped: How many updates were left out before this one.
    """

    status: int | None
    resource: str | None
    token: str | None
    headers: Mapping[str, str]
    body: bytes
    skipped: int

    @property
    def text(self) -> str:
        """The body for people, shortened."""
        return self.body[:1000].decode(errors="replace")


def read_answer(document: bytes) -> PawsAnswer:
    """Read one document that a server sent.

    Raises:
        ValueError: It is not a message; the text says why.
    """
    message = _read_message(document)
    skipped = _value(message.skipped)
    return PawsAnswer(
        status=_read_status(message.status),
        resource=_read_text(message.resource),
        token=_read_text(message.token),
        headers=_read_headers(message.headers),
        body=_read_body(message.body),
        skipped=skipped if isinstance(skipped, int) else 0,
    )


def _read_status(raw: msgspec.Raw) -> int | None:
    """A number; some servers may write it as text."""
    status = _value(raw)
    if status is None:
        return None
    text = str(status)
    if len(text) != 3 or not text.isdecimal():
        raise ValueError(f"status is {text[:16]!r}, not a number of three digits")
    return int(text)


def _read_text(raw: msgspec.Raw) -> str | None:
    value = _value(raw)
    return value if isinstance(value, str) else None


def _read_body(raw: msgspec.Raw) -> bytes:
    text = bytes(raw)
    if text.startswith(b'"'):
        return str(_value(raw)).encode()
    return b"" if text == b"null" else text


def _read_headers(raw: msgspec.Raw) -> dict[str, str]:
    headers = _value(raw)
    if not isinstance(headers, dict):
        return {}
    named = {name.lower().replace("_", "-"): _shown(value) for name, value in headers.items()}
    return {name: text for name, text in named.items() if text is not None}
