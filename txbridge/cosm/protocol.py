"""PAWS without I/O: JSON messages over a socket, both ends.

PAWS carries the REST verbs over one connection, and pushes: who subscribes to a feed or a
datastream is told about every write.  A message is one JSON object.  Requests carry a *token*
that answers and pushes repeat.

Two framings exist.  On TCP the documents simply follow each other, with or without white space
between them; `txbridge.cosm.messages.JsonDocuments` finds their ends, and we end each of ours with
a newline.  On a WebSocket each message is one document (``framed=True``).

Both cores have the house handles: feed what arrives to ``receive_data``, which returns events;
send what ``data_to_send`` gives, *one message a call*, until it gives ``b""``; call
``handle_deadline`` at ``next_deadline``.  The shells that do so are `txbridge.net.lines` and
`txbridge.net.websocket`.  Time and tokens are arguments.

`PawsServerConnection` also holds what waits to be sent to a slow subscriber, in a queue that
never grows past its bound.  When it is full, only the newest push of each subscription stays,
and says in its member ``skipped`` how many updates were left out.

Source: Xively developer documentation, "Using Sockets"; txcosm ``PAWSClient.py``; recorded
messages of pachube-stream and node-pachube-stream.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import heappop, heappush
from typing import Any

import msgspec
from attrs import define, field, frozen

from txbridge.cosm.messages import (
    MAX_DEPTH,
    MAX_DOCUMENT,
    Broken,
    JsonDocuments,
    Malformed,
    PawsAnswer,
    PawsRequest,
    read_answer,
    read_request,
)
from txbridge.errors import BridgeError, ConnectionLost, RemoteProtocolError, TimedOut

__all__ = [
    "Answered",
    "Broken",
    "ClientEvent",
    "Failed",
    "Gone",
    "Late",
    "Malformed",
    "PawsConnection",
    "PawsLimits",
    "PawsRequest",
    "PawsServerConnection",
    "Pushed",
    "Rejected",
    "ServerEvent",
    "Silent",
    "Subscribed",
    "Subscription",
    "Unmatched",
    "Unsubscribed",
]

_encode = msgspec.json.encode


# ---------------------------------------------------------------------------------- the server


@frozen
class PawsLimits:
    """What one connection may cost a server.

    Attributes:
        max_document: Bytes of one request.
        max_depth: How deep a request may nest.
        max_requests: Requests whose answers are not sent yet; reading pauses at it.
        max_request_bytes: Bytes of requests that are not answered; reading pauses above it.
        max_answers: Bytes of answers that are not sent yet; reading pauses above it.
        max_subscriptions: Subscriptions.
        queue_messages: Pushes that wait to be sent.
        queue_bytes: Bytes of pushes that wait to be sent.
        message_seconds: How long a request may take, from its first byte to its last.
        stranger_seconds: How long a connection may be open without one request that succeeds.
    """

    max_document: int = MAX_DOCUMENT
    max_depth: int = MAX_DEPTH
    max_requests: int = 64
    max_request_bytes: int = 2 << 20
    max_answers: int = 4 << 20
    max_subscriptions: int = 1000
    queue_messages: int = 1000
    queue_bytes: int = 4 << 20
    message_seconds: float = 60.0
    stranger_seconds: float = 300.0


@frozen
class Late:
    """The client has not sent in time what it had to send; nothing more is read.

    Attributes:
        reason: What was waited for.
    """

    reason: str


ServerEvent = PawsRequest | Malformed | Broken | Late

_TELL_STEP = 16 * 1024  # bytes by which what is held must have changed before it is told


@define(eq=False)
class Subscription:
    """One subscription of one connection.

    Attributes:
        resource: As the client wrote it.
        echo: The same as JSON text.
        token: As JSON text, ``b""`` when there is none.
        interest: What the owner of the connection remembers about it.
    """

    resource: str
    echo: bytes
    token: bytes
    interest: Any = None
    _tail: bytes = field(init=False, repr=False)
    _newest: _Waiting | None = field(default=None, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        token = b',"token":' + self.token if self.token else b""
        self._tail = b',"resource":' + self.echo + token


@define(eq=False)
class _Waiting:
    """A message in the queue: an answer (``data`` is None until it is known), or a push."""

    serial: int
    data: bytes | None
    subscription: Subscription | None = None
    skipped: int = 0
    asked: int = 0  # bytes of the request that this will answer


class PawsServerConnection:
    """The server's end of one connection.

    Answers leave in the order of `begin`.  A push leaves after the answers of everything begun
    before it, so the answer to a write precedes the pushes it causes.

    Args:
        framed: Whether each ``receive_data`` is one whole message (WebSocket), and messages
            need no newline.
        limits: What this connection may cost.
        now: The clock's seconds.
        hold: Told how many bytes are held here for the client, received and to be sent, when they have
            changed by much.
    """

    def __init__(
        self,
        *,
        framed: bool = False,
        limits: PawsLimits = PawsLimits(),
        now: Callable[[], float],
        hold: Callable[[int], None] = lambda count: None,
    ) -> None:
        self.limits = limits
        self.framed = framed
        self._now = now
        self._hold = hold
        self._told = 0
        self._stranger_at: float | None = now() + limits.stranger_seconds
        self._message_at: float | None = None
        self._requests: deque[int] = deque()  # bytes of each that is not begun
        self._request_bytes = 0
        self._end = b"" if framed else b"\n"
        self._documents = JsonDocuments(max_size=limits.max_document, max_depth=limits.max_depth)
        self._broken = False
        self._subscriptions: dict[tuple[str, bytes], Subscription] = {}
        self._queue: OrderedDict[int, _Waiting] = OrderedDict()
        self._serial = 0
        self._answers = 0
        self._answer_bytes = 0
        self._pushes = 0
        self._push_bytes = 0
        self._full = False

    # -- requests

    def receive_data(self, data: bytes) -> list[ServerEvent]:
        """Take what arrived; `begin` and `answer` each event that comes out."""
        if self._broken:
            return []
        events = self._read(data)
        self._answers += len(events)
        if self._documents.problem is not None or not self._documents.inside:
            self._message_at = None
        elif self._message_at is None or events:
            self._message_at = self._now() + self.limits.message_seconds
        self._tell()
        return events

    def _read(self, data: bytes) -> list[ServerEvent]:
        if not self.framed:
            events = [self._request(document) for document in self._documents.feed(data)]
            if self._documents.problem is not None:
                events.append(Broken(self._documents.problem))
            for index, event in enumerate(events):
                if isinstance(event, Broken):
                    self._broken = True
                    return events[: index + 1]
            return events
        documents = JsonDocuments(max_size=self.limits.max_document, max_depth=self.limits.max_depth)
        found = documents.feed(data)
        problem = documents.problem
        if problem is None and (documents.inside or not found):
            problem = f"unexpected end at offset {len(data)}"
        if problem is not None:
            self._requests.append(0)
            return [Broken(problem)]
        return [self._request(document) for document in found]

    def _request(self, document: bytes) -> ServerEvent:
        self._requests.append(len(document))
        self._request_bytes += len(document)
        return read_request(document)

    def receive_eof(self, reason: str = "the peer closed it") -> list[ServerEvent]:
        """The client closed; it holds nothing any more."""
        self._told = 0
        self._hold(0)
        self._hold = lambda count: None
        return []

    def knows(self) -> None:
        """A request has succeeded: the client is no stranger and may be silent for as long as it likes."""
        self._stranger_at = None

    @property
    def held_bytes(self) -> int:
        """Bytes held for the client: of requests, whole or not, of answers and of pushes."""
        return self._documents.held_bytes + self._request_bytes + self._answer_bytes + self._push_bytes

    def _tell(self) -> None:
        held = self.held_bytes
        if abs(held - self._told) >= _TELL_STEP or (not held and self._told):
            self._told = held
            self._hold(held)

    # -- answers

    @property
    def pending(self) -> int:
        """Requests whose answers are not sent."""
        return self._answers

    @property
    def wants_data(self) -> bool:
        """Whether there is room for more requests."""
        limits = self.limits
        return (
            self._answers < limits.max_requests
            and self._answer_bytes <= limits.max_answers
            and self._request_bytes <= limits.max_request_bytes
        )

    def begin(self) -> int:
        """Keep the next place for an answer; returns what `answer` takes."""
        self._serial += 1
        asked = self._requests.popleft() if self._requests else 0
        self._queue[self._serial] = _Waiting(self._serial, None, asked=asked)
        return self._serial

    def answer(self, place: int, message: bytes) -> None:
        """Say what goes to the place that `begin` kept."""
        waiting = self._queue[place]
        waiting.data = message
        self._request_bytes -= waiting.asked
        self._answer_bytes += len(message)
        self._tell()

    # -- subscriptions

    @property
    def subscriptions(self) -> Iterable[Subscription]:
        """All of them."""
        return self._subscriptions.values()

    def subscribe(self, request: PawsRequest) -> Subscription | None:
        """Remember a subscription; the same resource and token again give the same one.

        Returns:
            The subscription; None when there are too many.
        """
        key = request.resource, request.token
        subscription = self._subscriptions.get(key)
        if subscription is None:
            if len(self._subscriptions) >= self.limits.max_subscriptions:
                return None
            subscription = Subscription(request.resource, request.echo, request.token)
            self._subscriptions[key] = subscription
        return subscription

    def unsubscribe(self, request: PawsRequest) -> list[Subscription]:
        """Forget the subscription with this resource and token; if there is none, all to the resource.

        The iOS sample unsubscribes with a fresh token, and xively-js with none.

        Returns:
            What was forgotten.
        """
        exact = self._subscriptions.pop((request.resource, request.token), None)
        if exact is not None:
            return [exact]
        found = [key for key in self._subscriptions if key[0] == request.resource]
        return [self._subscriptions.pop(key) for key in found]

    def drop(self, subscription: Subscription) -> None:
        """Forget this subscription, and none that was made with its resource and token since."""
        key = subscription.resource, subscription.token
        if self._subscriptions.get(key) is subscription:
            del self._subscriptions[key]

    # -- pushes

    def push(self, subscription: Subscription, body: bytes) -> bool:
        """Queue an update for a subscription.

        Args:
            subscription: Whose it is.
            body: JSON text in one line; all subscribers of a feed can share it.

        Returns:
            False when the pushes do not fit the bound even with one for each subscription: close.
        """
        newest = subscription._newest
        if self._full and newest is not None:
            assert newest.data is not None
            self._push_bytes += len(body) - len(newest.data)
            newest.data = body
            newest.skipped += 1
            self._queue.move_to_end(newest.serial)
        else:
            self._serial += 1
            waiting = subscription._newest = _Waiting(self._serial, body, subscription)
            self._queue[self._serial] = waiting
            self._pushes += 1
            self._push_bytes += len(body)
        self._tell()
        limits = self.limits
        if self._push_bytes <= limits.queue_bytes and self._pushes <= limits.queue_messages:
            return True
        if not self._full:
            self._full = True
            self._coalesce()
        return self._pushes <= 1 or (
            self._push_bytes <= limits.queue_bytes
            and self._pushes <= max(limits.queue_messages, len(self._subscriptions))
        )

    def notice(self, message: bytes) -> None:
        """Queue a message that is neither an answer nor counted: a subscription's last words."""
        self._serial += 1
        self._queue[self._serial] = _Waiting(self._serial, message)
        self._answers += 1
        self._answer_bytes += len(message)
        self._tell()

    def _coalesce(self) -> None:
        """Leave only the newest push of each subscription."""
        for serial, waiting in list(self._queue.items()):
            subscription = waiting.subscription
            if subscription is None:
                continue
            newest = subscription._newest
            assert waiting.data is not None
            assert newest is not None
            if waiting is not newest:
                newest.skipped += 1 + waiting.skipped
                self._push_bytes -= len(waiting.data)
                self._pushes -= 1
                del self._queue[serial]

    # -- sending

    def data_to_send(self) -> bytes:
        """The next message, or ``b""`` when there is none for now."""
        queue = self._queue
        if not queue:
            return b""
        serial = next(iter(queue))
        waiting = queue[serial]
        data = waiting.data
        if data is None:
            return b""
        del queue[serial]
        subscription = waiting.subscription
        if subscription is None:
            self._answers -= 1
            self._answer_bytes -= len(data)
            self._tell()
            return data + self._end
        if subscription._newest is waiting:
            subscription._newest = None
        self._pushes -= 1
        self._push_bytes -= len(data)
        if self._full and self._pushes == 0:
            self._full = False
        self._tell()
        skipped = b',"skipped":%d}' % waiting.skipped if waiting.skipped else b"}"
        return b'{"body":' + data + subscription._tail + skipped + self._end

    # -- time

    def next_deadline(self) -> float | None:
        """When `handle_deadline` wants to be called."""
        deadlines = (self._message_at, self._stranger_at)
        return min((at for at in deadlines if at is not None), default=None)

    def handle_deadline(self, now: float) -> list[ServerEvent]:
        """See whether the client sends in time; `Late` if not.  Whether it reads, the link sees."""
        limits = self.limits
        if self._message_at is not None and now >= self._message_at:
            if not self.wants_data:  # it is we who do not read
                self._message_at = now + limits.message_seconds
                return []
            return self._late(f"the message took longer than {limits.message_seconds:g} seconds")
        if self._stranger_at is not None and now >= self._stranger_at:
            if self._request_bytes:  # it is we who have not answered
                self._stranger_at = now + limits.stranger_seconds
                return []
            return self._late(f"no request has succeeded in {limits.stranger_seconds:g} seconds")
        return []

    def _late(self, reason: str) -> list[ServerEvent]:
        self._message_at = self._stranger_at = None
        self._broken = True
        return [Late(reason)]


# ---------------------------------------------------------------------------------- the client


@frozen
class Answered:
    """A request was answered, whatever the status.

    Attributes:
        token: Of the request.
        status: The HTTP status.
        headers: Lower-case name with ``-`` -> value.
        body: JSON text of an object or array, or the text of a string; ``b""`` when there is none.
    """

    token: str
    status: int
    headers: Mapping[str, str] = field(factory=dict)
    body: bytes = field(default=b"", repr=False)


@frozen
class Subscribed:
    """A subscription stands.

    Attributes:
        token: Its token.
        resource: To what.
    """

    token: str
    resource: str


@frozen
class Unsubscribed:
    """A subscription was ended, or was not there.

    Attributes:
        token: Its token.
        resource: To what.
    """

    token: str
    resource: str


@frozen
class Rejected:
    """A subscribe or unsubscribe was answered, and the answer is no.

    Attributes:
        token: Of the subscription.
        resource: To what.
        status: The HTTP status.
        text: The explanation, such as ``"Forbidden: You are not authorized"``.
    """

    token: str
    resource: str
    status: int
    text: str


@frozen
class Pushed:
    """An update of something subscribed to.

    Attributes:
        token: Of the subscription.
        resource: What it was made for.
        body: JSON text of a feed, or of a datastream.
        skipped: How many updates the server left out before this one.
    """

    token: str
    resource: str
    body: bytes = field(repr=False)
    skipped: int = 0


@frozen
class Gone:
    """The server ended a subscription: what it was to is no more.

    Attributes:
        token: Of the subscription.
        resource: What it was made for.
        status: The HTTP status, 404 when it was deleted.
        text: The explanation.
    """

    token: str
    resource: str
    status: int
    text: str


@frozen
class Failed:
    """A request, subscribe or unsubscribe will not be answered.

    Attributes:
        token: Which.
        error: `TimedOut`, `ConnectionLost` or `RemoteProtocolError`.
    """

    token: str
    error: BridgeError


@frozen
class Unmatched:
    """A message that nobody waits for: a late answer, or a complaint without a token.

    Attributes:
        resource: Its resource, or None.
        token: Its token, or None.
        status: Its status, or None.
        text: Its body, shortened.
    """

    resource: str | None = field(repr=False)
    token: str | None
    status: int | None
    text: str


@frozen
class Silent:
    """The peer did not answer the probe of `PawsConnection.watch`: close, and connect again."""


ClientEvent = (
    Answered | Subscribed | Unsubscribed | Rejected | Pushed | Gone | Failed | Unmatched | Broken | Silent
)

_PROBE_TOKEN = "txbridge-probe"
_PROBE_RESOURCE = "/feeds/0"


@define
class _Pending:
    method: str
    resource: str
    name: str
    timeout: float | None


class PawsConnection:
    """The client's end of one connection.

    An answer finds its request by its token, else, when a server repeats none, by its resource:
    the oldest request for that resource.  A message without a status is an update of the
    subscription with that token, else of those to that resource.

    What is asked and not answered is held here, and bounded by who asks.

    Args:
        framed: Whether each ``receive_data`` is one whole message (WebSocket), and messages
            need no newline.
        max_document: Bytes of one message of the server.
    """

    def __init__(self, *, framed: bool = False, max_document: int = 16 * MAX_DOCUMENT) -> None:
        self.framed = framed
        self._end = b"" if framed else b"\n"
        self._documents = JsonDocuments(max_size=max_document)
        self._pending: dict[str, _Pending] = {}
        self._subscriptions: dict[str, str] = {}
        self._unsent: OrderedDict[int, bytes] = OrderedDict()
        self._serial = 0
        self._deadlines: list[tuple[float, int, str]] = []
        self._serials: dict[str, int] = {}  # of the request that a deadline belongs to
        self._closed = False
        self._silence: float | None = None
        self._patience = 0.0
        self._check_at: float | None = None
        self._heard = False
        self._probing = False

    # -- verbs

    @property
    def is_closed(self) -> bool:
        """Whether nothing can be asked any more: the connection is gone, or cannot be read on."""
        return self._closed

    @property
    def wants_data(self) -> bool:
        """Always: what comes was asked for."""
        return True

    @property
    def subscriptions(self) -> Mapping[str, str]:
        """Token -> resource of what the server confirmed."""
        return self._subscriptions

    def request(
        self,
        token: str,
        method: str,
        resource: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, object] | None = None,
        body: bytes | str | None = None,
        now: float = 0.0,
        timeout: float | None = None,
        name: str = "",
    ) -> None:
        """Ask something; `Answered` or `Failed` with this token follows.

        Args:
            token: Unlike any other in flight and any subscription's.
            method: ``get put post delete``, in any case.
            resource: Path below the API's base, percent-encoded, such as ``/feeds/1.json``.
            headers: Such as ``X-ApiKey`` (every request carries its key) and ``Content-Type``.
            params: Query parameters: text, numbers, booleans.
            body: The encoded document; it travels as text.
            now: The clock's seconds.
            timeout: Seconds until it fails with `TimedOut`.
            name: What errors call it; the method if nothing is given (a resource may hold a key).

        Raises:
            ValueError: The token is in flight, it `is_closed`, or the body is not UTF-8.
        """
        message: dict[str, object] = {
            "method": method.lower(),
            "resource": resource,
            "headers": headers or {},
        }
        if params:
            message["params"] = params
        if body is not None:
            message["body"] = body.decode() if isinstance(body, bytes) else body
        self._ask(token, message, method.lower(), resource, name, now, timeout)

    def subscribe(
        self,
        token: str,
        resource: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, object] | None = None,
        now: float = 0.0,
        timeout: float | None = None,
    ) -> None:
        """Ask for updates; `Subscribed`, `Rejected` or `Failed` follows, then `Pushed` and `Gone`.

        Args:
            token: The subscription's name.
            resource: A feed or a datastream, such as ``/feeds/1``.
            headers: Such as ``X-ApiKey``.
            params: ``{"datapoints": True}`` asks a txbridge hub for every recorded point.
            now: The clock's seconds.
            timeout: Seconds until it fails with `TimedOut`.

        Raises:
            ValueError: The token is in flight, or it `is_closed`.
        """
        message: dict[str, object] = {"method": "subscribe", "resource": resource, "headers": headers or {}}
        if params:
            message["params"] = params
        self._ask(token, message, "subscribe", resource, "", now, timeout)

    def unsubscribe(
        self,
        token: str,
        resource: str,
        *,
        headers: Mapping[str, str] | None = None,
        now: float = 0.0,
        timeout: float | None = None,
    ) -> None:
        """End a subscription; `Unsubscribed`, `Rejected` or `Failed` follows, and no more `Pushed`.

        Args:
            token: The subscription's.
            resource: What it was made for.
            headers: Such as ``X-ApiKey``.
            now: The clock's seconds.
            timeout: Seconds until it fails with `TimedOut`.

        Raises:
            ValueError: The token is in flight, or it `is_closed`.
        """
        message: dict[str, object] = {"method": "unsubscribe", "resource": resource, "headers": headers or {}}
        self._ask(token, message, "unsubscribe", resource, "", now, timeout)

    def cancel(self, token: str) -> None:
        """Nobody waits for this answer any more; what is not sent yet will not be."""
        if self._pending.pop(token, None) is not None:
            self._unsent.pop(self._serials.pop(token), None)

    def watch(self, silence: float, patience: float, now: float) -> None:
        """Notice a peer that is gone without a word.

        After ``silence`` seconds in which nothing came, a request that changes nothing is sent;
        if ``patience`` seconds later still nothing came, `Silent` is the event.  A WebSocket has
        its own pings instead.
        """
        self._silence = silence
        self._patience = patience
        self._heard = False
        self._check_at = now + silence

    def _ask(
        self,
        token: str,
        message: dict[str, object],
        method: str,
        resource: str,
        name: str,
        now: float,
        timeout: float | None,
    ) -> None:
        if token in self._pending:
            raise ValueError("this token is in flight")
        if self._closed:
            raise ValueError("the connection is closed")
        self._pending[token] = _Pending(method, resource, name or method, timeout)
        self._send(token, message)
        if timeout is not None:
            heappush(self._deadlines, (now + timeout, self._serial, token))

    def _send(self, token: str, message: dict[str, object]) -> None:
        message["token"] = token
        self._serial += 1
        self._serials[token] = self._serial
        self._unsent[self._serial] = _encode(message) + self._end

    # -- what comes

    def receive_data(self, data: bytes) -> list[ClientEvent]:
        """Take what arrived."""
        self._heard = True
        if self._closed:
            return []
        events: list[ClientEvent] = []
        documents = [data] if self.framed else self._documents.feed(data)
        for document in documents:
            try:
                events += self._read(read_answer(document))
            except ValueError as error:
                return [*events, *self._break(str(error))]
        if self._documents.problem is not None:
            events += self._break(self._documents.problem)
        return events

    def receive_eof(self, reason: str = "the peer closed it") -> list[ClientEvent]:
        """The connection is gone: everything in flight fails, every subscription ends."""
        return self._fail_all(lambda name: ConnectionLost(name, reason))

    def _break(self, reason: str) -> list[ClientEvent]:
        if self.framed:
            return [Broken(reason)]
        return [Broken(reason), *self._fail_all(lambda name: RemoteProtocolError(name, reason))]

    def _fail_all(self, error: Callable[[str], BridgeError]) -> list[ClientEvent]:
        self._closed = True
        failed: list[ClientEvent] = [
            Failed(token, error(pending.name)) for token, pending in self._pending.items()
        ]
        self._pending.clear()
        self._subscriptions.clear()
        self._unsent.clear()
        self._deadlines.clear()
        self._serials.clear()
        self._check_at = None
        return failed

    def _read(self, answer: PawsAnswer) -> list[ClientEvent]:
        token, status = answer.token, answer.status
        if token == _PROBE_TOKEN:
            return []
        if token is None:
            return self._read_without_token(answer)
        pending = self._pending.get(token)
        subscribed = token in self._subscriptions
        if pending is not None and not (subscribed and status is None):
            return self._complete(token, pending, answer)
        if pending is not None and pending.method == "unsubscribe":
            return []
        if subscribed and status is None:
            return self._push([token], answer)
        if subscribed and status is not None and status >= 400:
            return [Gone(token, self._subscriptions.pop(token), status, answer.text)]
        return [Unmatched(answer.resource, token, status, answer.text)]

    def _read_without_token(self, answer: PawsAnswer) -> list[ClientEvent]:
        resource = answer.resource
        if answer.status is None:
            tokens = [token for token, what in self._subscriptions.items() if what == resource]
            if tokens:
                return self._push(tokens, answer)
        else:
            for token, pending in self._pending.items():
                if pending.resource == resource or (resource is None and len(self._pending) == 1):
                    return self._complete(token, pending, answer)
        return [Unmatched(resource, None, answer.status, answer.text)]

    def _push(self, tokens: Sequence[str], answer: PawsAnswer) -> list[ClientEvent]:
        return [Pushed(token, self._subscriptions[token], answer.body, answer.skipped) for token in tokens]

    def _complete(self, token: str, pending: _Pending, answer: PawsAnswer) -> list[ClientEvent]:
        del self._pending[token]
        self._serials.pop(token, None)
        status = 200 if answer.status is None else answer.status
        resource = pending.resource
        if pending.method not in ("subscribe", "unsubscribe"):
            return [Answered(token, status, answer.headers, answer.body)]
        if status != 200:
            return [Rejected(token, resource, status, answer.text)]
        if pending.method == "unsubscribe":
            self._subscriptions.pop(token, None)
            return [Unsubscribed(token, resource)]
        self._subscriptions[token] = resource
        subscribed: list[ClientEvent] = [Subscribed(token, resource)]
        # Some server may give the present state along with its yes.
        return subscribed + (self._push([token], answer) if answer.body.startswith(b"{") else [])

    # -- what goes

    def data_to_send(self) -> bytes:
        """The next message, or ``b""`` when there is none."""
        return self._unsent.popitem(last=False)[1] if self._unsent else b""

    # -- time

    def next_deadline(self) -> float | None:
        """When `handle_deadline` wants to be called."""
        deadlines = self._deadlines
        while deadlines and self._serials.get(deadlines[0][2]) != deadlines[0][1]:
            heappop(deadlines)
        if not deadlines:
            return self._check_at
        return deadlines[0][0] if self._check_at is None else min(deadlines[0][0], self._check_at)

    def handle_deadline(self, now: float) -> list[ClientEvent]:
        """Fail what took too long, and see whether the peer is alive."""
        events: list[ClientEvent] = []
        while (deadline := self.next_deadline()) is not None and deadline <= now:
            if deadline == self._check_at:
                events += self._check(now)
                continue
            token = heappop(self._deadlines)[2]
            pending = self._pending.get(token)
            if pending is not None and pending.timeout is not None:
                self.cancel(token)
                events.append(Failed(token, TimedOut(pending.name, "answer", pending.timeout)))
        return events

    def _check(self, now: float) -> list[ClientEvent]:
        assert self._silence is not None
        if self._heard:
            self._heard = self._probing = False
            self._check_at = now + self._silence
        elif not self._probing:
            # Unsubscribing from what is not subscribed to is always answered, and changes nothing.
            self._probing = True
            self._check_at = now + self._patience
            self._send(_PROBE_TOKEN, {"method": "unsubscribe", "resource": _PROBE_RESOURCE})
        else:
            self._check_at = None
            return [Silent()]
        return []
