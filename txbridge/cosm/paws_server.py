"""The hub's socket API: REST requests and live updates over TCP and WebSocket.

A request on the socket becomes the same `txbridge.net.http1.Request` that HTTP would make, and
goes to the same `CosmServer.respond`; so there is one set of rules.  What is added here is what
only a socket has: the order of answers, subscriptions, and pushes.

*Order.*  Answers leave in the order of the requests.  Requests of one kind may overlap, so that a
device that sends a thousand updates at once shares commits; a read after a write waits for it.  A
push leaves after the answers of every request that was begun before it.

*Cost.*  An update is encoded once for all subscribers that know the hub by the same name; what is
theirs alone is a few bytes around it.  What a slow subscriber does not read waits in a bounded
queue: see `txbridge.cosm.protocol.PawsServerConnection`.

*Room.*  What is received and not finished, what waits to be answered and what is not read is bounded for
each connection and for all together; see `txbridge.net.budget`.  A connection is a *stranger* until a
request of it succeeds.  When all places are taken, a newcomer takes the place of the oldest stranger: who
has a key is not kept out by those who have none, also behind a proxy, where all clients have one address.

*Our extension.*  A subscribe request may carry ``"params":{"datapoints":true}``.  Then each pushed
datastream that recorded points has a member ``datapoints`` with every point of that write, oldest
first, and points older than the newest one are pushed too.  So a relay that listens loses no point
when several come in one write.  A push with ``"skipped":N`` says that N updates before it were left
out; what they held is in the history.

Source: Xively developer documentation, "Using Sockets"; recorded messages; see
`txbridge.cosm.protocol`.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec
from attrs import define, evolve, field, frozen
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from txbridge.cosm.codec import read_refusal
from txbridge.cosm.messages import MAX_DOCUMENT, write_answer, write_error
from txbridge.cosm.protocol import (
    Broken,
    Late,
    Malformed,
    PawsLimits,
    PawsRequest,
    PawsServerConnection,
    Subscription,
)
from txbridge.cosm.server import CosmServer
from txbridge.errors import BridgeError
from txbridge.net.budget import Budget
from txbridge.net.http1 import Request, Response
from txbridge.net.lines import StreamLink
from txbridge.net.link import Link
from txbridge.net.operation import Answer
from txbridge.net.websocket import WebSocketOptions, websocket_upgrade

if TYPE_CHECKING:
    from txbridge.hub.live import Live
    from txbridge.hub.store import FeedRecord, Written

__all__ = ["PawsOptions", "PawsServer"]

GONE = "I'm sorry we are unable to find the resource you are looking for."

# What a request may say about itself; the rest would describe a connection that is not HTTP's.
_HEADERS = frozenset(
    ("accept", "authorization", "content-type", "if-none-match", "referer", "x-apikey", "x-pachubeapikey")
)
_KEY_HEADERS = ("x-apikey", "x-pachubeapikey", "authorization")
_KINDS = {"get": "read", "put": "write", "post": "write", "delete": "write"}
_BELOW_V2 = re.compile(r"/v2(?:/|$)")
_ANSWER_HEADERS = ("Content-Type", "Location", "Date")
_SAFE_IN_PATH = "/%:@!$&'()*+,;=~"
SEND_WITHIN = 300.0  # seconds; a feed of 10,000 datastreams at 5 kB/s, as a mobile phone has it
_SUBSCRIPTION_BYTES = 2048  # the objects of one, besides what its request says

_encode = msgspec.json.encode


def _websocket_options() -> WebSocketOptions:
    too_long = f"a document is longer than {MAX_DOCUMENT} bytes"
    return WebSocketOptions(
        message_within=60.0,
        send_within=SEND_WITHIN,
        too_long=write_error(400, too_long, reason="Syntax Error"),
    )


@frozen
class PawsOptions:
    """How the socket API is set up.

    Attributes:
        limits: What one connection may cost.
        max_connections: On TCP and WebSocket together.
        max_held_bytes: Of all connections together: requests that are not finished or not answered, answers
            and pushes that are not sent.  Whoever holds most is cut off.
        max_subscription_bytes: What all subscriptions together may take; further ones are refused.
        host: Name, and port unless it is 80 or 443, by which TCP clients reach the hub over HTTP:
            addresses in answers carry it.  ``""`` takes the address they connected to.
        http_port: The hub's port for HTTP at the address TCP clients connected to, while ``host`` is ``""``.
        recheck_after: Seconds after which a push has a subscription's key looked up again.
        websocket: How WebSockets behave.
    """

    limits: PawsLimits = field(factory=PawsLimits)
    max_connections: int = 4000
    max_held_bytes: int = 256 << 20
    max_subscription_bytes: int = 256 << 20
    host: str = ""
    http_port: int = 80
    recheck_after: float = 60.0
    websocket: WebSocketOptions = field(factory=_websocket_options)


@define(eq=False)
class _Interest:
    """What one subscription listens to."""

    session: _Session
    subscription: Subscription
    request: Request
    feed_id: int
    datastream_id: str | None
    with_points: bool
    base_url: str
    allows: Any
    checked_at: float
    checking: bool = False
    allowed_private: bool | None = None  # what the feed was when the key might see it; nothing else counts
    cost: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        said = (*self.request.headers, *self.request.headers.values(), self.request.path, self.request.query)
        echoed = 3 * (len(self.subscription.echo) + len(self.subscription.token))
        self.cost = _SUBSCRIPTION_BYTES + echoed + sum(map(len, said))


@define(eq=False)
class _Watched:
    """A feed that somebody listens to."""

    stop: Any
    interests: dict[_Interest, None] = field(factory=dict)


class PawsServer:
    """Serves the socket API.

    Args:
        cosm: The rules.
        live: Tells of writes.
        clock: For deadlines.
        options: How it is set up.

    Attributes:
        factory: For a TCP port, plain or TLS.
        upgrade: For `txbridge.net.http_server.HttpServerFactory`: takes WebSockets over.
        held: Counts what is held for all connections.
    """

    log = Logger()

    def __init__(
        self, cosm: CosmServer, live: Live, clock: IReactorTime, options: PawsOptions = PawsOptions()
    ) -> None:
        self.cosm = cosm
        self.clock = clock
        self.options = options
        self.factory = _StreamFactory(self)
        self.held = Budget(options.max_held_bytes)
        self.upgrade = websocket_upgrade(self._accept, clock=clock, options=options.websocket, held=self.held)
        self._live = live
        self._feeds: dict[int, _Watched] = {}
        self._sessions: set[_Session] = set()
        self._strangers: dict[_Session, None] = {}  # the oldest first
        self._subscription_bytes = 0
        self._closing = False
        self._closed: list[Deferred[None]] = []

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._sessions)

    @property
    def watched_feeds(self) -> int:
        """How many feeds somebody listens to."""
        return len(self._feeds)

    @property
    def subscriptions(self) -> int:
        """How many there are, of all connections."""
        return sum(len(watched.interests) for watched in self._feeds.values())

    def close(self) -> Deferred[None]:
        """Close every connection after what it is owed; accept no more.  Fires when all are gone."""
        self._closing = True
        for session in list(self._sessions):
            session.close()
        if not self._sessions:
            return succeed(None)
        done: Deferred[None] = Deferred()
        self._closed.append(done)
        return done

    # -- called by sessions

    def may_enter(self) -> bool:
        """Whether there is room for another connection; perhaps a stranger makes it."""
        if self._closing:
            return False
        if len(self._sessions) < self.options.max_connections:
            return True
        stranger = next(iter(self._strangers), None)
        if stranger is None:
            return False
        stranger.give_way()
        self.leave(stranger)
        return True

    def enter(self, session: _Session) -> None:
        """A connection is made."""
        self._sessions.add(session)
        self._strangers[session] = None

    def knows(self, session: _Session) -> None:
        """A request of a connection has succeeded."""
        if session in self._strangers:
            del self._strangers[session]
            session.core.knows()

    def leave(self, session: _Session) -> None:
        """A connection is gone, and its subscriptions with it."""
        for subscription in session.core.subscriptions:
            self.forget(subscription)
        self._strangers.pop(session, None)
        self._sessions.discard(session)
        if not self._sessions:
            closed, self._closed = self._closed, []
            for done in closed:
                done.callback(None)

    def watch(self, interest: _Interest) -> bool:
        """Push to a subscription from now on; False when all together take too much."""
        if self._subscription_bytes + interest.cost > self.options.max_subscription_bytes:
            return False
        self._subscription_bytes += interest.cost
        interest.subscription.interest = interest
        watched = self._feeds.get(interest.feed_id)
        if watched is None:
            stop = self._live.listen(interest.feed_id, self._written)
            watched = self._feeds[interest.feed_id] = _Watched(stop)
        watched.interests[interest] = None
        return True

    def forget(self, subscription: Subscription) -> None:
        """Push to a subscription no more."""
        interest, subscription.interest = subscription.interest, None
        if interest is not None:
            self._subscription_bytes -= interest.cost
        watched = self._feeds.get(interest.feed_id) if interest is not None else None
        if watched is not None:
            watched.interests.pop(interest, None)
            if not watched.interests:
                del self._feeds[interest.feed_id]
                watched.stop()

    # -- updates

    def _written(self, written: Written) -> None:
        """Called after each write to a feed that somebody listens to.

        The write is done; what fails here must not become its answer.
        """
        try:
            self._tell(written)
        except Exception:  # nothing is awaited here
            self.log.failure("an update of feed {feed_id} was not pushed", feed_id=written.feed_id)

    def _tell(self, written: Written) -> None:
        watched = self._feeds.get(written.feed_id)
        if watched is None:
            return
        if written.deleted:
            for interest in list(watched.interests):
                self._end(interest)
        elif written.snapshot is not None:
            self._push(watched, written, written.snapshot)
        else:
            # The write began before anybody listened, so nobody asked it for a snapshot.
            reading = self.cosm.read_record(written.feed_id)
            reading.addCallback(lambda record: self._written(evolve(written, snapshot=record)))
            reading.addErrback(self._unread)

    def _unread(self, failure: Failure) -> None:
        # It was deleted meanwhile, or the storage fails, which the rules have logged.
        self.log.debug("no update for a fresh subscription: {reason}", reason=failure.getErrorMessage())

    def _push(self, watched: _Watched, written: Written, record: FeedRecord) -> None:
        now = self.clock.seconds()
        touched = {*written.changed, *written.created}
        is_old = bool(written.recorded) and not touched and not written.removed
        pointed: FeedRecord | None = None
        bodies: dict[tuple[str, str | None, bool], bytes | None] = {}
        for interest in list(watched.interests):
            datastream_id, with_points = interest.datastream_id, interest.with_points
            if datastream_id is None:
                wanted = with_points or not is_old
            elif datastream_id in written.removed:
                self._end(interest)
                continue
            else:
                wanted = datastream_id in touched or (with_points and datastream_id in written.recorded)
            if not wanted:
                continue
            if interest.allowed_private is not record.environment.private:
                if not interest.allows(record):
                    self._drop(interest)
                    continue
                interest.allowed_private = record.environment.private
            key = interest.base_url, datastream_id, with_points
            if key not in bodies:
                if with_points and pointed is None:
                    pointed = _with_points(record, written)
                shown = pointed if with_points and pointed is not None else record
                bodies[key] = self.cosm.encode_push(shown, datastream_id, interest.base_url)
            body = bodies[key]
            if body is not None:
                interest.session.push(interest.subscription, body)
                if now - interest.checked_at >= self.options.recheck_after:
                    self._recheck(interest, now)

    def _end(self, interest: _Interest) -> None:
        """What a subscription was to is gone: say so once."""
        subscription = interest.subscription
        self._drop(interest)
        interest.session.say(write_error(404, GONE, echo=subscription.echo, token=subscription.token))

    def _drop(self, interest: _Interest) -> None:
        self.forget(interest.subscription)
        interest.session.core.drop(interest.subscription)

    def _recheck(self, interest: _Interest, now: float) -> None:
        """Look the key up again: it may have expired, or be revoked."""
        if interest.checking:
            return
        interest.checking = True
        interest.checked_at = now

        def checked(outcome: Any) -> None:
            interest.checking = False
            if isinstance(outcome, Response):
                if outcome.status in (401, 403):
                    self._drop(interest)
            else:
                interest.allows, interest.allowed_private = outcome.allows, None

        checking = self.cosm.authorise_subscription(interest.request)
        checking.addCallback(checked)
        checking.addErrback(lambda failure: self.log.failure("a key could not be looked up", failure))

    # -- connections

    def _accept(self, request: Request) -> tuple[PawsServerConnection, _Session] | None:
        if not self.may_enter():
            return None
        session = _Session(self, request.headers.get("host", ""), framed=True)
        return session.core, session


class _Refusing(Protocol):
    """Closes at once.  A TLS port needs a protocol even for that."""

    def connectionMade(self) -> None:
        """Called by the transport."""
        transport: Any = self.transport
        transport.abortConnection()


class _StreamFactory(Factory):
    """Makes the protocols of a TCP port."""

    noisy = False

    def __init__(self, server: PawsServer) -> None:
        self._server = server

    def buildProtocol(self, addr: IAddress | None) -> StreamLink | _Refusing:
        """Called by the port."""
        server = self._server
        if not server.may_enter():
            return _Refusing()
        session = _Session(server, server.options.host)
        options = server.options
        return StreamLink(
            session.core, session, server.clock, send_within=options.websocket.send_within, held=server.held
        )


class _Session:
    """One connection: its requests in order, its subscriptions."""

    def __init__(self, server: PawsServer, host: str, *, framed: bool = False) -> None:
        self.core = PawsServerConnection(
            framed=framed, limits=server.options.limits, now=server.clock.seconds, hold=self._hold
        )
        self._server = server
        self._host = host
        self._link: Link | None = None
        self._backlog: deque[PawsRequest | Malformed | Broken] = deque()
        self._in_flight = 0
        self._kind = ""
        self._known_key: tuple[str | None, ...] | None = None
        self._closing = False
        self._advancing = False

    # -- called by the link

    def link_made(self, link: Link) -> None:
        """The connection is there."""
        self._link = link
        self._host = self._host or _authority(link.here, self._server.options.http_port)
        self._server.enter(self)

    def events_received(self, link: Link, events: Sequence[Any]) -> None:
        """The client asks something, or has taken too long to."""
        for event in events:
            if type(event) is Late:
                self.say(write_error(408, event.reason))
                self.close()
                return
            self._backlog.append(event)
        self._advance()

    def input_ended(self, link: Link) -> None:
        """The client asks nothing more.  What it asked is answered; a subscription ends with it.

        A client that is gone looks the same until something is sent to it, which may be never.
        """
        self.close()

    def link_lost(self, link: Link, error: BridgeError) -> None:
        """The connection is gone.  Writes that were begun run to their end."""
        self._link = None
        self._backlog.clear()
        self._server.leave(self)

    # -- called by the server

    def give_way(self) -> None:
        """Close now: others need the room."""
        if self._link is not None:
            self._link.abort()

    def _hold(self, count: int) -> None:
        self._server.held.hold(self.give_way, count)

    def push(self, subscription: Subscription, body: bytes) -> None:
        """Send an update."""
        link = self._link
        if link is None:
            return
        if self.core.push(subscription, body):
            link.flush()
        else:
            link.abort()

    def say(self, message: bytes) -> None:
        """Send a message that nobody asked for."""
        if self._link is not None:
            self.core.notice(message)
            self._link.flush()

    def close(self) -> None:
        """Close after what is owed."""
        self._closing = True
        self._close_if_done()

    # -- requests

    def _advance(self) -> None:
        """Begin what may begin; an answer that is there at once calls this again."""
        if self._advancing:
            return
        self._advancing = True
        try:
            self._begin_some()
        finally:
            self._advancing = False
        self._close_if_done()

    def _begin_some(self) -> None:
        while self._backlog:
            event = self._backlog[0]
            if isinstance(event, Broken):
                self._backlog.popleft()
                self._answer_now(write_error(400, event.reason, reason="Syntax Error"))
                self._closing = self._closing or not self.core.framed
                continue
            if isinstance(event, Malformed):
                self._backlog.popleft()
                self._answer_now(write_error(400, event.reason, echo=event.echo, token=event.token))
                continue
            kind = _KINDS.get(event.method, event.method)
            key = _key_of(event)
            # The first request with a key runs alone: while the key is looked up, the next would overtake.
            if self._in_flight and (kind != self._kind or key != self._known_key):
                return
            self._backlog.popleft()
            self._kind = kind
            self._in_flight += 1
            self._begin(event, self.core.begin(), key)

    def _answer_now(self, message: bytes) -> None:
        self.core.answer(self.core.begin(), message)

    def _begin(self, request: PawsRequest, place: int, key: tuple[str | None, ...]) -> None:
        if request.method == "unsubscribe":
            for subscription in self.core.unsubscribe(request):
                self._server.forget(subscription)
            answer: Deferred[bytes] = succeed(write_answer(200, echo=request.echo, token=request.token))
        elif request.method == "subscribe":
            asked = _http_request(request, self._link, self._host, "GET")
            answer = self._server.cosm.authorise_subscription(asked).addCallback(
                self._subscribed, request, asked
            )
        else:
            asked = _http_request(request, self._link, self._host, request.method.upper())
            if asked.path.lower().endswith(".png"):
                no_pictures = "There are no pictures on a socket"
                answer = succeed(write_error(406, no_pictures, echo=request.echo, token=request.token))
            else:
                answer = self._server.cosm.respond(asked).addCallback(self._responded, request)
        answer.addErrback(self._failed, request)
        answer.addCallback(self._answered, place, key)

    def _responded(self, response: Response, request: PawsRequest) -> bytes:
        if response.status < 400:
            self._server.knows(self)
        return _message(request, response)

    def _subscribed(self, outcome: Any, request: PawsRequest, asked: Request) -> bytes:
        """The key may, or may not, listen."""
        if isinstance(outcome, Response):
            return _message(request, outcome)
        if self._link is None:
            return b""
        server = self._server
        server.knows(self)
        subscription = self.core.subscribe(request)
        if subscription is None:
            return _too_many("on this connection", request)
        if subscription.interest is None:
            interest = _Interest(
                session=self,
                subscription=subscription,
                request=asked,
                feed_id=outcome.feed_id,
                datastream_id=outcome.datastream_id,
                with_points=_is_true(request.options.get("datapoints")),
                base_url=server.cosm.base_url(asked),
                allows=outcome.allows,
                checked_at=server.clock.seconds(),
            )
            if not server.watch(interest):
                self.core.drop(subscription)
                return _too_many("on all connections", request)
        return write_answer(200, echo=request.echo, token=request.token)

    def _failed(self, failure: Failure, request: PawsRequest) -> bytes:
        if failure.check(CancelledError) is None:
            PawsServer.log.failure("a request on the socket failed", failure)
        return write_error(500, "Something went wrong here", echo=request.echo, token=request.token)

    def _answered(self, message: bytes, place: int, key: tuple[str | None, ...]) -> None:
        self._in_flight -= 1
        self._known_key = key
        if self._link is not None:
            self.core.answer(place, message)
            self._link.flush()
            self._advance()

    def _close_if_done(self) -> None:
        if self._closing and not self._in_flight and not self._backlog and self._link is not None:
            self._link.close("the server closed it")


def _too_many(where: str, request: PawsRequest) -> bytes:
    text = f"There are too many subscriptions {where}"
    return write_error(403, text, echo=request.echo, token=request.token)


def _key_of(request: PawsRequest) -> tuple[str | None, ...]:
    """What says whose a request is."""
    return tuple(request.headers.get(name) for name in _KEY_HEADERS)


def _is_true(value: object) -> bool:
    return value is True or (isinstance(value, str) and value.lower() in ("true", "1")) or value == 1


def _with_points(record: FeedRecord, written: Written) -> FeedRecord:
    """A feed whose datastreams carry what this write recorded."""
    environment = record.environment
    streams = dict(environment.datastreams)
    for name, points in written.recorded.items():
        if name in streams:
            streams[name] = evolve(streams[name], datapoints=list(points))
    return evolve(record, environment=evolve(environment, datastreams=streams))


def _authority(address: str, port: int) -> str:
    """What stands after ``http://`` for the hub at this address; ``""`` when there is none."""
    if not address:
        return ""
    name = f"[{address}]" if ":" in address else address
    return name if port == 80 else f"{name}:{port}"


def _http_request(request: PawsRequest, link: Link | None, host: str, method: str) -> Request:
    """The request HTTP would have made."""
    path, _, query = request.resource.partition("?")
    if not path.startswith("/"):
        path = "/" + path
    if _BELOW_V2.match(path) is None:
        path = "/v2" + path
    # Of several parameters with one name the last counts.
    pieces = [query, *(f"{quote(name, safe='')}={quote(text, safe='')}" for name, text in request.parameters)]
    headers = {name: text for name, text in request.headers.items() if name in _HEADERS}
    headers["host"] = host
    return Request(
        method=method,
        path=quote(path, safe=_SAFE_IN_PATH),
        query="&".join(piece for piece in pieces if piece),
        headers=headers,
        body=request.body or b"",
        client=link.peer if link is not None else "",
        secure=link.secure if link is not None else False,
    )


def _message(request: PawsRequest, response: Response) -> bytes:
    """An answer of HTTP as a message."""
    status = response.status
    fields = {name.lower(): text for name, text in response.headers}
    if status >= 400:
        title, detail = read_refusal(Answer(status, fields, response.body))
        return write_error(status, detail or title, echo=request.echo, token=request.token)
    body = response.body
    if body and not fields.get("content-type", "").startswith("application/json"):
        body = _encode(body.decode("utf-8", "replace"))
    headers = {
        name.upper().replace("-", "_"): fields[name.lower()]
        for name in _ANSWER_HEADERS
        if name.lower() in fields and (body or name != "Content-Type")
    }
    return write_answer(status, body=body, headers=headers, echo=request.echo, token=request.token)
