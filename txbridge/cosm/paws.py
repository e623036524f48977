"""The subscription client: every verb over one socket, and updates as they happen.

`PAWSClient` is `Verbs` over a `PawsCarrier`.  The carrier keeps one connection, over a WebSocket
or TCP, both with TLS if wanted.  It never gives up: what fails is tried again with full jitter,
and the delay starts over once a link has been stable.  On each new link every subscription is made
again with the token it had, and its `Listening` fills what was missed from history.

A link that died without a word is noticed: a WebSocket by its pings, TCP by a request that
changes nothing.  What was in flight on a lost link fails with `ConnectionLost`, since nobody can
know whether it was done.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from random import random
from typing import Any, Protocol, TypeVar, cast
from urllib.parse import quote, unquote, urlsplit

from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore, fail, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from txbridge.cosm import operations
from txbridge.cosm.client import Verbs
from txbridge.cosm.codec import read_refusal
from txbridge.cosm.listening import Flow, Listening, Missed, News, Target
from txbridge.cosm.operations import Id
from txbridge.cosm.protocol import (
    Answered,
    Broken,
    ClientEvent,
    Failed,
    Gone,
    PawsConnection,
    Pushed,
    Rejected,
    Silent,
    Subscribed,
    Unmatched,
    Unsubscribed,
)
from txbridge.cosm.updates import Updates
from txbridge.errors import Advice, BridgeError, Closed, ConfigError, EncodeError, TimedOut
from txbridge.model.instants import as_instant, shorten
from txbridge.model.structures import Datastream, Environment
from txbridge.net.backoff import Backoff
from txbridge.net.deadline import with_deadline
from txbridge.net.deferred import deferred
from txbridge.net.endpoint import client_endpoint
from txbridge.net.lines import connect_stream
from txbridge.net.link import Link
from txbridge.net.operation import Answer, Operation, discreet, rejection
from txbridge.net.proxy import Proxy
from txbridge.net.reactor import resolve_reactor, utc_now
from txbridge.net.tls import ClientTls, client_tls
from txbridge.net.websocket import WebSocketOptions, connect_websocket

__all__ = ["DEFAULT_PAWS_URL", "Listener", "PAWSClient", "PawsCarrier", "Subscribing"]

DEFAULT_PAWS_URL = "ws://127.0.0.1:8080"
"""Where the embedded hub takes WebSockets unless it is told otherwise."""

PORTS = {"ws": 8080, "wss": 8090, "tcp": 8081, "tls": 8091}
"""The ports of the service, by scheme.  Source: Xively, "Using Sockets"; libxively ``xively.h``."""

MAX_IN_FLIGHT = 500
"""Requests without an answer; more wait their turn."""

MAX_MESSAGE = 16 << 20
"""Bytes of one message of the server: a feed of many datastreams with a page of history each."""

SUBSCRIBE_AGAIN_AFTER = 15.0
"""Seconds before a server that could not subscribe for now, on a new link, is asked again."""

_HEADERS = {"x-apikey": "X-ApiKey", "content-type": "Content-Type", "accept": "Accept"}
_RESOURCE = re.compile(
    r"/?(?:v2/)?feeds/(?P<feed>[0-9]+)(?:/datastreams/(?P<datastream>[^/?]+?))?(?P<format>\.(?i:json|xml|csv|png))?",
    re.ASCII,
)

_TICK = timedelta(microseconds=1)
_SECOND_INSTANT = datetime.min.replace(tzinfo=UTC) + _TICK  # there is none before the first

T = TypeVar("T")

Handler = Callable[[Any], object]
GapHandler = Callable[[Missed], object]


class Listener(Protocol):
    """A subscription, as the carrier sees it.

    Attributes:
        token: Its name on the wire.
        resource: What it is for.
        headers: What is sent with it: the key.
        is_established: Whether a server has confirmed it before.
    """

    token: str
    resource: str
    headers: Mapping[str, str]
    is_established: bool

    def confirmed(self) -> None:
        """The server has confirmed it on a new link."""

    def pushed(self, body: bytes, skipped: int) -> None:
        """An update came."""

    def refused(self, error: BridgeError) -> None:
        """The server will not have it, has ended it, or is not to be asked; it is forgotten."""

    def lost(self) -> None:
        """The link is gone."""

    def removed(self) -> None:
        """Nobody listens any more; it is forgotten."""


class PawsCarrier:
    """Runs operations over one PAWS connection that is made again whenever it is lost.

    Args:
        url: ``ws://``, ``wss://``, ``tcp://`` or ``tls://`` with host and port.
        deadline: Seconds an operation may take, waiting for a connection included.
        trust: Whom to trust over TLS; None for the system's roots.
        proxy: Go through it.
        reactor: Where it runs; None is the global one.
        random: Gives numbers from 0 to 1, for the jitter.
        backoff: How long to wait between attempts.
        ping_every: Seconds after which a silent link is asked whether it is alive.

    Raises:
        ConfigError: The URL is none of these.
    """

    _log = Logger()

    def __init__(
        self,
        url: str,
        *,
        deadline: float = 30.0,
        trust: ClientTls | None = None,
        proxy: Proxy | None = None,
        reactor: Any = None,
        random: Callable[[], float] = random,
        backoff: Backoff | None = None,
        ping_every: float = 20.0,
    ) -> None:
        self._scheme, self._host, self._port, self._path = _parse_url(url)
        self._deadline = deadline
        self._tls = (trust or client_tls()) if self._scheme in ("wss", "tls") else None
        self._proxy = proxy
        self._reactor = resolve_reactor(reactor)
        self._random = random
        self._backoff = Backoff(initial=0.25, maximum=16.0) if backoff is None else backoff
        self._ping_every = ping_every
        self._tokens = count(1)
        self._slots = DeferredSemaphore(MAX_IN_FLIGHT)
        self._answers: dict[str, Deferred[Answered]] = {}
        self._listeners: dict[str, Listener] = {}
        self._leaving: dict[str, Deferred[bool]] = {}
        self._again: dict[str, IDelayedCall] = {}
        self._wanted = False
        self._is_running = False
        self._is_ending = False
        self._running: Deferred[None] = succeed(None)
        self._core: PawsConnection | None = None
        self._link: Link | None = None
        self._lost_because: BridgeError | None = None
        self._loss: Deferred[None] | None = None
        self._first: list[Deferred[bool]] = []
        self._waiting: list[Deferred[None]] = []
        self._ending: list[Deferred[None]] = []
        self._is_known_down = False

    def __repr__(self) -> str:
        return f"PawsCarrier({self.peer!r})"

    @property
    def peer(self) -> str:
        """The server's address, for people."""
        return f"{self._scheme}://{self._host}:{self._port}"

    @property
    def clock(self) -> Any:
        """What everything here runs by."""
        return self._reactor

    @property
    def connected(self) -> bool:
        """Whether there is a link now."""
        return self._link is not None

    # -- the connection

    def connect(self) -> Deferred[bool]:
        """Connect, and stay connected until `disconnect`.

        Returns:
            True once there is a link; False when the first attempt failed, and then attempts go on.
        """
        if self._can_ask:
            return succeed(True)
        first: Deferred[bool] = Deferred(self._first.remove)
        self._first.append(first)
        self._wanted = True
        if not self._is_running:
            self._is_running = True
            self._running = self._stay_connected()
        return first

    @deferred
    async def disconnect(self) -> bool:
        """Close the link and stay away; what waits fails, subscriptions without an answer too.

        Those that a server has confirmed stay, and are made again after the next `connect`.

        Returns:
            True when it is closed.
        """
        self._wanted = False
        if not self._is_running:
            self._nobody_stays()
            return True
        ended: Deferred[None] = Deferred(self._ending.remove)
        self._ending.append(ended)
        self._is_ending = True
        if self._link is not None:
            self._link.close("the client was disconnected")
        else:
            self._running.cancel()
        await ended
        return True

    @property
    def _is_staying(self) -> bool:
        return self._wanted and not self._is_ending

    @property
    def _can_ask(self) -> bool:
        core = self._core
        return self._link is not None and core is not None and not core.is_closed and not self._is_ending

    def when_connected(self) -> Deferred[None]:
        """Fires when there is a link, at once if there is one.

        Raises:
            Closed: It is not connected and is not to be: see `connect`.
        """
        if self._can_ask:
            return succeed(None)
        if not self._wanted:
            return fail(Closed("the PAWS connection"))
        waiting: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)
        return waiting

    @deferred
    async def _stay_connected(self) -> None:
        try:
            while self._is_staying:
                try:
                    await self._connect()
                except BridgeError as error:
                    for first in _taken(self._first):
                        first.callback(False)
                    self._say_down(error)
                else:
                    await self._until_lost()
                if self._is_staying:
                    delay = self._backoff.next_delay(self._random(), self._reactor.seconds())
                    await deferLater(self._reactor, delay)
        except CancelledError:
            pass
        finally:
            self._is_running = False
            ending = _taken(self._ending)
            was_ending, self._is_ending = self._is_ending, False
            if self._wanted and was_ending:  # `connect` was called while it was being closed
                self._is_running = True
                self._running = self._stay_connected()
            else:
                self._nobody_stays()
            for ended in ending:
                ended.callback(None)

    def _nobody_stays(self) -> None:
        for waiting in _taken(self._waiting):
            waiting.errback(Closed("the PAWS connection"))
        for first in _taken(self._first):
            first.callback(False)
        for token, listener in list(self._listeners.items()):
            if not listener.is_established and self._listeners.pop(token, None) is not None:
                listener.refused(Closed("the PAWS connection"))

    async def _connect(self) -> None:
        endpoint = client_endpoint(self._reactor, self._host, self._port, tls=self._tls, proxy=self._proxy)
        framed = self._scheme in ("ws", "wss")
        self._core = PawsConnection(framed=framed, max_document=MAX_MESSAGE)
        if framed:
            link: Link = await connect_websocket(
                endpoint,
                f"{self.peer}{self._path}",
                self._core,
                self,
                clock=self._reactor,
                connect_within=self._deadline,
                options=WebSocketOptions(ping_every=self._ping_every, max_message=MAX_MESSAGE),
            )
        else:
            link = await connect_stream(
                endpoint, self._core, self, clock=self._reactor, peer=self.peer, connect_within=self._deadline
            )
            self._core.watch(self._ping_every, self._ping_every, self._reactor.seconds())
        if self._lost_because is not None:
            raise self._lost_because
        self._link = link
        link.flush()
        self._backoff.works(self._reactor.seconds())
        if self._is_known_down:
            self._log.info("connected to {peer} again", peer=self.peer)
            self._is_known_down = False
        for listener in list(self._listeners.values()):
            self._subscribe(listener)
        # Whoever is told may subscribe at once: by then the older subscriptions are made.
        for first in _taken(self._first):
            first.callback(True)
        for waiting in _taken(self._waiting):
            waiting.callback(None)

    async def _until_lost(self) -> None:
        if self._lost_because is None:
            self._loss = Deferred()
            await self._loss
        if self._lost_because is not None and self._is_staying:
            self._say_down(self._lost_because)

    def _say_down(self, error: BridgeError) -> None:
        if not self._is_known_down:
            self._is_known_down = True
            self._log.warn("{peer} is away: {error}", peer=self.peer, error=error)

    # -- called by the link

    def link_made(self, link: Link) -> None:
        """A link stands."""
        self._lost_because = None

    def input_ended(self, link: Link) -> None:
        """Nothing is answered any more."""
        link.close("the peer closed it")

    def link_lost(self, link: Link, error: BridgeError) -> None:
        """The link is gone; what was in flight has failed already."""
        self._link = None
        self._lost_because = error
        for token in list(self._again):
            self._again.pop(token).cancel()
        for listener in list(self._listeners.values()):
            listener.lost()
        loss, self._loss = self._loss, None
        if loss is not None:
            loss.callback(None)

    def events_received(self, link: Link, events: Sequence[ClientEvent]) -> None:
        """The core made these of what came."""
        for event in events:
            match event:
                case Answered(token=token):
                    if token in self._answers:
                        self._answers.pop(token).callback(event)
                case Pushed(token=token, body=body, skipped=skipped):
                    if token in self._listeners:
                        self._listeners[token].pushed(body, skipped)
                case Failed(token=token, error=error):
                    self._failed(token, error, link)
                case Subscribed(token=token):
                    if token in self._listeners:
                        self._listeners[token].confirmed()
                case Rejected(token=token, status=status, text=text):
                    self._refused(token, status, text)
                case Gone(token=token, status=status, text=text):
                    self._refused(token, status, text)
                case Unsubscribed(token=token):
                    if token in self._leaving:
                        self._leaving.pop(token).callback(True)
                case Silent():
                    link.abort()
                case Broken(reason=reason):
                    self._log.warn("{peer} sent what is no message: {reason}", peer=self.peer, reason=reason)
                    link.abort()
                case Unmatched(text=text):
                    self._log.debug("nobody waits for a message of {peer}: {text}", peer=self.peer, text=text)

    def _failed(self, token: str, error: BridgeError, link: Link) -> None:
        if token in self._answers:
            self._answers.pop(token).errback(error)
        elif token in self._leaving:
            self._leaving.pop(token).callback(True)  # the subscription ends with its link in any case
            if isinstance(error, TimedOut):
                link.abort()
        elif isinstance(error, TimedOut):
            link.abort()  # a server that does not answer a subscribe is subscribed to again on a new link

    def _refused(self, token: str, status: int, text: str) -> None:
        if token in self._leaving:
            self._leaving.pop(token).callback(False)
        listener = self._listeners.get(token)
        if listener is None or token in self._again:
            return
        operation = Operation("subscribe", "SUBSCRIBE", (), lambda answer: None, explain=read_refusal)
        operation = discreet(operation, _keys(listener.headers))
        error = rejection(operation, Answer(status, body=text.encode()))
        if error.advice is Advice.RETRY and listener.is_established:
            listener.lost()
            self._again[token] = self._reactor.callLater(
                SUBSCRIBE_AGAIN_AFTER, self._subscribe_again, token, listener
            )
            return
        del self._listeners[token]
        listener.refused(error)

    def _subscribe_again(self, token: str, listener: Listener) -> None:
        del self._again[token]
        self._subscribe(listener)

    # -- operations

    def run(self, operation: Operation[T]) -> Deferred[T]:
        """Run one operation; while there is no link, wait for one until its deadline.

        Raises:
            Closed: `connect` was not called, or `disconnect` was.
            ConnectionLost: The link went; whether the server acted on it is unknown.
            TimedOut: It took longer than the deadline.
            RequestRejected: The server refused.
        """
        phase = ["connect"]
        return with_deadline(
            self._reactor,
            self._exchange(operation, phase),
            self._deadline,
            operation=operation.name,
            phase=lambda: phase[-1],
        )

    @deferred
    async def _exchange(self, operation: Operation[T], phase: list[str]) -> T:
        await self._slots.acquire()
        try:
            await self.when_connected()
            phase.append("answer")
            answered = await self._ask(operation)
        finally:
            self._slots.release()
        answer = Answer(answered.status, answered.headers, answered.body)
        if 200 <= answer.status < 300:
            return operation.read(answer)
        raise rejection(discreet(operation, _keys(operation.headers)), answer)

    def _ask(self, operation: Operation[Any]) -> Deferred[Answered]:
        core, link = self._core, self._link
        assert core is not None
        assert link is not None
        token = self.new_token()

        def give_up(_: Deferred[Answered]) -> None:
            self._answers.pop(token, None)
            core.cancel(token)

        try:
            core.request(
                token,
                operation.method,
                "/" + "/".join(quote(segment, safe="") for segment in operation.path),
                headers={_HEADERS.get(name, name): value for name, value in operation.headers.items()},
                params=dict(operation.query),
                body=operation.body,
                name=operation.name,
            )
        except ValueError as error:
            return fail(EncodeError("paws", operation.name, str(error)))
        answer: Deferred[Answered] = Deferred(give_up)
        self._answers[token] = answer
        link.flush()
        return answer

    def new_token(self) -> str:
        """A token that this connection has not used."""
        return f"txbridge-{next(self._tokens)}"

    # -- subscriptions

    def add(self, listener: Listener) -> None:
        """Subscribe now if there is a link, and on every later one."""
        self._listeners[listener.token] = listener
        if self._can_ask:
            self._subscribe(listener)

    def remove(self, token: str) -> Deferred[bool]:
        """End a subscription.

        Returns:
            True when the server has forgotten it; False when there was none with this token.
        """
        listener = self._listeners.pop(token, None)
        if listener is None:
            return succeed(False)
        listener.removed()
        if token in self._again:
            self._again.pop(token).cancel()
            return succeed(True)
        if not self._can_ask:
            return succeed(True)  # it ends with the link, or was not made on any
        assert self._core is not None
        assert self._link is not None
        left: Deferred[bool] = Deferred()
        self._core.cancel(token)  # it may not be confirmed yet
        self._leaving[token] = left
        self._core.unsubscribe(
            token,
            listener.resource,
            headers=listener.headers,
            now=self._reactor.seconds(),
            timeout=self._deadline,
        )
        self._link.flush()
        return left

    def _subscribe(self, listener: Listener) -> None:
        assert self._core is not None
        assert self._link is not None
        self._core.subscribe(
            listener.token,
            listener.resource,
            headers=listener.headers,
            params={"datapoints": True},
            now=self._reactor.seconds(),
            timeout=self._deadline,
        )
        self._link.flush()


def _taken(items: list[T]) -> list[T]:
    taken = items[:]
    items.clear()
    return taken


def _parse_url(url: str) -> tuple[str, str, int, str]:
    """Read ``(scheme, host, port, path)``."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = 0
    problems = []
    if parts.scheme not in PORTS:
        problems.append(
            f"the address of a PAWS server begins with {', '.join(f'{name}://' for name in PORTS)}"
        )
    if not parts.hostname or port == 0:
        problems.append("the address of a PAWS server names a host, and perhaps a port")
    if parts.username is not None or parts.password is not None:
        problems.append("the address of a PAWS server holds no credentials: give api_key")
    if problems:
        raise ConfigError(problems)
    assert parts.hostname is not None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return parts.scheme, host, port or PORTS[parts.scheme], parts.path or "/"


# ---------------------------------------------------------------------------------------- the client


class Subscribing(tuple[str, "Deferred[bool]"]):
    """What `PAWSClient.subscribe` gives: ``(token, Deferred)``, as txPachube had it.

    The Deferred fires with True.  For code written for txcosm, which had one Deferred that fires
    with ``(token, True)``, it also has ``addCallback`` and the others, and can be awaited.
    """

    __slots__ = ()

    @property
    def token(self) -> str:
        """The subscription's name."""
        return self[0]

    def _with_token(self) -> Deferred[tuple[str, bool]]:
        both: Deferred[tuple[str, bool]] = Deferred()

        def pass_on(result: bool) -> bool:
            both.callback((self[0], result))
            return result

        def fail_too(failure: Failure) -> None:
            both.errback(failure)

        self[1].addCallbacks(pass_on, fail_too)
        return both

    def addCallback(self, callback: Callable[..., Any], *args: Any, **kwargs: Any) -> Deferred[Any]:
        """As of a Deferred that fires with ``(token, True)``."""
        return self._with_token().addCallback(callback, *args, **kwargs)

    def addErrback(self, errback: Callable[..., Any], *args: Any, **kwargs: Any) -> Deferred[Any]:
        """As of a Deferred that fires with ``(token, True)``."""
        return self._with_token().addErrback(errback, *args, **kwargs)

    def addBoth(self, callback: Callable[..., Any], *args: Any, **kwargs: Any) -> Deferred[Any]:
        """As of a Deferred that fires with ``(token, True)``."""
        return self._with_token().addBoth(callback, *args, **kwargs)

    def addCallbacks(self, callback: Callable[..., Any], errback: Callable[..., Any]) -> Deferred[Any]:
        """As of a Deferred that fires with ``(token, True)``."""
        return self._with_token().addCallbacks(callback, errback)

    def __await__(self) -> Generator[Any, None, tuple[str, bool]]:
        """Wait for ``(token, True)``."""
        return cast("Generator[Any, None, tuple[str, bool]]", self._with_token().__await__())


class _Subscription:
    """A subscription of a client: what it is called, and what listens."""

    def __init__(
        self,
        token: str,
        listening: Listening,
        headers: Mapping[str, str],
        refused: Callable[[BridgeError], None],
    ) -> None:
        self.token = token
        self.resource = listening.target.resource
        self.headers = headers
        self.is_established = False
        self.confirmation: Deferred[bool] | None = Deferred(self._nobody_waits)
        self._listening = listening
        self._refused = refused

    def _nobody_waits(self, _: object) -> None:
        self.confirmation = None

    def confirmed(self) -> None:
        self.is_established = True
        self._listening.confirmed()
        confirmation, self.confirmation = self.confirmation, None
        if confirmation is not None:
            confirmation.callback(True)

    def pushed(self, body: bytes, skipped: int) -> None:
        self._listening.pushed(body, skipped)

    def lost(self) -> None:
        self._listening.lost()

    def removed(self) -> None:
        self._listening.lost()
        confirmation, self.confirmation = self.confirmation, None
        if confirmation is not None:
            confirmation.callback(False)

    def refused(self, error: BridgeError) -> None:
        self._listening.lost()
        confirmation, self.confirmation = self.confirmation, None
        if confirmation is not None:
            confirmation.errback(error)
        else:
            self._refused(error)


class _HandlerFlow(Flow):
    """Calls the handlers of one subscription, whatever they do."""

    _log = Logger()

    def __init__(self, handler: Handler, on_gap: GapHandler | None) -> None:
        self._handler = handler
        self._on_gap = on_gap

    def deliver(self, structure: Environment | Datastream, news: News) -> None:
        self._call(self._handler, structure)

    def missed(self, gap: Missed) -> None:
        self._log.warn(
            "updates of {resource} are missing: {reason}", resource=gap.resource, reason=gap.reason
        )
        if self._on_gap is not None:
            self._call(self._on_gap, gap)

    def _call(self, handler: Callable[[Any], object], argument: object) -> None:
        try:
            handler(argument)
        except Exception:  # whatever the user's code does; nothing is awaited here
            self._log.failure("a handler of updates failed")


class PAWSClient(Verbs):
    """Every verb of `Client` over one socket, and updates as they happen.

    Call `connect` first and `disconnect` at the end.  While the link is down, verbs wait for it
    until their deadline.

    Attributes:
        api_key: The default key.
        feed_id: The default feed.
        timezone: See `Verbs`.
    """

    def __init__(
        self,
        api_key: str | None = None,
        feed_id: Id = None,
        *,
        url: str = DEFAULT_PAWS_URL,
        timezone: str | float | None = None,
        deadline: float = 30.0,
        trust: ClientTls | None = None,
        proxy: Proxy | None = None,
        reactor: Any = None,
        random: Callable[[], float] = random,
        backoff: Backoff | None = None,
        ping_every: float = 20.0,
        on_gap: GapHandler | None = None,
    ) -> None:
        """Prepare a client; nothing is connected before `connect`.

        Args:
            api_key: The default key.
            feed_id: The default feed.
            url: ``ws://host:port``, ``wss://…`` (WebSocket), ``tcp://…`` or ``tls://…`` (plain
                socket); the ports of the service when it names none.
            timezone: See `Verbs`.
            deadline: Seconds that an exchange may take, waiting for the link included.
            trust: Whom to trust over TLS; None for the system's roots.
            proxy: Go through it.
            reactor: Where it runs; None is the global one.
            random: Gives numbers from 0 to 1, for the jitter of reconnecting.
            backoff: How long to wait between attempts; from 0.25 to 16 seconds unless given.
            ping_every: Seconds after which a silent link is asked whether it is alive.
            on_gap: Called with a `Missed` for each gap of any subscription that could not be filled.

        Raises:
            ConfigError: The URL is not one of these.
        """
        self._paws = PawsCarrier(
            url,
            deadline=deadline,
            trust=trust,
            proxy=proxy,
            reactor=reactor,
            random=random,
            backoff=backoff,
            ping_every=ping_every,
        )
        self._on_gap = on_gap
        super().__init__(self._paws, api_key, feed_id, timezone=timezone)

    @property
    def connected(self) -> bool:
        """Whether there is a link now."""
        return self._paws.connected

    def connect(self) -> Deferred[bool]:
        """Connect, and stay connected until `disconnect`.

        Returns:
            True once there is a link; False when the first attempt failed, and then attempts go on.
        """
        return self._paws.connect()

    def disconnect(self) -> Deferred[bool]:
        """Close the link and stay away; what waits fails, subscriptions without an answer too.

        Those that the server has confirmed stay, and are made again after the next `connect`.

        Returns:
            True when it is closed.
        """
        return self._paws.disconnect()

    def when_connected(self) -> Deferred[None]:
        """Fires when there is a link, at once if there is one."""
        return self._paws.when_connected()

    def subscribe(
        self,
        resource: str,
        handler: Handler,
        *,
        api_key: str | None = None,
        on_gap: GapHandler | None = None,
    ) -> Subscribing:
        """Be told about every update of a feed or a datastream.

        After a lost link the subscription is made again, and what was missed is read from history:
        it comes to the handler before later updates, as structures whose ``datapoints`` are what
        was missed.

        Args:
            resource: ``/feeds/7301`` or ``/feeds/7301/datastreams/pump``.
            handler: Called with a `Datastream` if the resource names one, else with an
                `Environment`.  What it raises is logged.
            api_key: The key to use instead.
            on_gap: Called with a `Missed` for what could not be filled, instead of the client's.

        Returns:
            The tuple ``(token, Deferred)``; the Deferred fires with True when the server has
            confirmed, with False when `unsubscribe` came first, and fails with a
            `RequestRejected` if it refuses, or with `Closed` when `disconnect` came first.
            Before `connect` it waits.

        Raises:
            EncodeError: The resource is none of the two.

        Source: Xively, "Using Sockets"; txPachube ``PAWSClient.subscribe``.
        """
        gap_handler = self._on_gap if on_gap is None else on_gap
        flow = _HandlerFlow(handler, gap_handler)
        listening = self._listening(_target(resource, api_key), flow)

        def refused(error: BridgeError) -> None:
            at = utc_now(self._paws.clock)
            flow.missed(Missed(resource, max(listening.seen.values(), default=None), at, str(error)))

        subscription = self._add(listening, refused)
        assert subscription.confirmation is not None
        return Subscribing((subscription.token, subscription.confirmation))

    def unsubscribe(self, resource: str, token: str) -> Deferred[bool]:
        """End a subscription.

        Args:
            resource: What was subscribed to.
            token: What `subscribe` gave.

        Returns:
            True when it has ended; False when there was none with this token.
        """
        return self._paws.remove(token)

    def updates(
        self,
        feed_id: Id = None,
        datastream_id: str | None = None,
        *,
        since: datetime | str | None = None,
        after: Mapping[str, datetime] | None = None,
        late: timedelta = timedelta(0),
        api_key: str | None = None,
    ) -> Updates:
        """A feed, or one datastream of it, as one ordered stream: history, and then what happens.

        Args:
            feed_id: The feed; the client's own unless given.
            datastream_id: Only this datastream.
            since: Where history begins, inclusive; None begins with what comes now.
            after: Datastream id -> the last instant that is known already, for a reader that goes on.
            late: How much older than the newest point that was handed out the points may be that are
                recorded while the link is down.  So much history is read again each time, and what
                was handed out before is left out, as far as this object remembers it.
            api_key: The key to use instead.

        Returns:
            An object with ``next_update()`` and ``close()``.

        Raises:
            EncodeError: There is no feed id, or ``since`` has no time zone.
        """
        feed = self.feed_id if feed_id is None else feed_id
        if feed is None:
            raise EncodeError("paws", "feed_id", "is missing")
        resource = f"/feeds/{feed}"
        if datastream_id is not None:
            resource += f"/datastreams/{quote(datastream_id, safe='')}"
            if (named := _RESOURCE.fullmatch(resource)) is not None and named["format"] is not None:
                resource += ".json"  # or the end of the id would be taken for the format
        try:
            start = as_instant(since)
        except (TypeError, ValueError) as error:
            raise EncodeError("paws", "since", str(error)) from None
        updates = Updates(str(feed))
        floor = None if start is None else max(start, _SECOND_INSTANT) - _TICK
        listening = self._listening(_target(resource, api_key), updates, seen=after, since=floor, late=late)
        subscription = self._add(listening, updates.fail)
        assert subscription.confirmation is not None
        subscription.confirmation.addErrback(_fail, updates)
        updates.attach(listening, lambda: self._paws.remove(subscription.token))
        return updates

    def _listening(
        self,
        target: Target,
        flow: Flow,
        *,
        seen: Mapping[str, datetime] | None = None,
        since: datetime | None = None,
        late: timedelta = timedelta(0),
    ) -> Listening:
        return Listening(target, self, flow, self._paws.clock, seen=seen, since=since, late=late)

    def _add(self, listening: Listening, refused: Callable[[BridgeError], None]) -> _Subscription:
        target = listening.target
        key = self.api_key if target.api_key is None else target.api_key
        asked = operations.with_api_key(operations.read_feed(target.feed_id), key)
        headers = {_HEADERS.get(name, name): value for name, value in asked.headers.items()}
        subscription = _Subscription(self._paws.new_token(), listening, headers, refused)
        self._paws.add(subscription)
        return subscription


def _fail(failure: Failure, updates: Updates) -> None:
    failure.trap(BridgeError)
    updates.fail(cast(BridgeError, failure.value))


def _keys(headers: Mapping[str, str]) -> list[str]:
    return [value for name, value in headers.items() if "key" in name.lower()]


def _target(resource: str, api_key: str | None) -> Target:
    match = _RESOURCE.fullmatch(resource)
    if match is None:
        shown = shorten(resource.partition("?")[0])  # a query may hold a key
        raise EncodeError("paws", "resource", f"{shown!r} is neither a feed nor a datastream")
    datastream_id = match["datastream"]
    return Target(resource, match["feed"], None if datastream_id is None else unquote(datastream_id), api_key)
