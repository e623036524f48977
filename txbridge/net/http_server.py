"""The I/O shell of the HTTP server: Twisted transports around `txbridge.net.http1`.

A site is one function from `Request` to `Response`, or to a Deferred of one::

    factory = HttpServerFactory(site.respond, clock=reactor)
    reactor.listenTCP(8080, factory)
    ...
    await port.stopListening()
    await factory.drain()

Why not `twisted.web`: its channel splits lines at CR LF and so waits for ever for the heads of some
old devices, and it spends several times as much CPU on a request.  What a request costs here is
mostly reading its head; so there is one write per answer, one timer per connection that is moved
only when it fires, and the ``Date`` header is made once a second.

A request that was handed to the site runs to its end even if its client goes away: the client
cannot know whether its write was accepted, so the write must not be torn in the middle.  Only the
answer is dropped.

There is room for so many connections.  When they are all taken, a newcomer takes the place of the one
whose last answer is longest ago, unless the site works on a request of it: so who only sits there keeps
nobody out, also behind a proxy, where all clients have one address.

The way out has the same trouble at the other end: a client that keeps its connection may be sending
just when an idle connection is closed, and would see it end without a word.  So `HttpServerFactory.drain`
gives idle connections a moment more, in which each answer says ``Connection: close``.  Whoever writes
all the time hears that; what is left is a client that was silent for that long.
"""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHalfCloseableDescriptor,
    IHalfCloseableProtocol,
    IProtocol,
    IProtocolNegotiationFactory,
    IPushProducer,
    IReactorTime,
    ISSLTransport,
    ITCPTransport,
    ITransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from zope.interface import implementer

from txbridge.net.budget import Budget
from txbridge.net.http1 import (
    Close,
    Event,
    HttpLimits,
    HttpServerConnection,
    Request,
    RequestReceived,
    Response,
    UpgradeRequested,
    loggable_path,
    plain_refusal,
)
from txbridge.net.reactor import wall_clock

__all__ = ["HttpServerFactory", "HttpServerProtocol", "switch_protocol"]

MAX_CONNECTIONS = 4000  # about 10 kB each when idle; also mind the process's limit of open files

LAST_SECONDS = 1.0  # an idle connection may still bring a request for so long when the server drains

MAX_UNFINISHED_BYTES = 64 << 20  # 64 of the longest bodies at once; a stranger needs no key to send one

MAX_UNREAD_BYTES = 256 << 20  # six of the longest archives at once

_LEAVING = "the server is shutting down"


def switch_protocol(transport: ITransport, protocol: IProtocol, data: bytes) -> None:
    """Give a transport to another protocol, which then reads ``data`` first.

    This is what an ``upgrade`` callable ends with.  A TLS transport keeps its protocol under another
    name than a plain one.

    Args:
        transport: The transport that the ``upgrade`` callable got.
        protocol: An unconnected protocol, such as a WebSocket factory built.
        data: The bytes that the ``upgrade`` callable got.
    """
    if isinstance(transport, ProtocolWrapper):
        transport.wrappedProtocol = protocol
    else:
        transport.protocol = protocol  # type: ignore[attr-defined]  # every Twisted transport has one
    protocol.makeConnection(transport)
    protocol.dataReceived(data)


@implementer(IPushProducer, IHalfCloseableProtocol)
class HttpServerProtocol(Protocol):
    """One client's connection; made by `HttpServerFactory`.

    It is registered as its transport's producer, only to learn when the transport holds more than it
    can send.
    """

    factory: HttpServerFactory
    transport: Any  # ITransport, IConsumer and IPushProducer; of a TCP port also ITCPTransport
    _core: HttpServerConnection
    _timer: IDelayedCall | None = None
    _timer_at = 0.0
    _reading = True
    _producing = False  # registered as the transport's producer
    _held_bytes = 0  # of what is not finished, as the factory has counted them
    _unread_bytes = 0  # of answers, the same; more than nothing only while the transport is full
    _written_bytes = 0  # since the transport was empty
    _closing: Close | None = None  # as soon as all is written
    _is_full = False  # the transport holds as much as it likes to
    _gone = False  # the transport is closed, or somebody else's
    _asking = False  # inside the site's function: its Deferred may fire at once
    _answer: Response | None = None

    # -- called by the transport

    def connectionMade(self) -> None:
        """Begin; called by the transport."""
        transport, factory = self.transport, self.factory
        if ITCPTransport.providedBy(transport):
            transport.setTcpNoDelay(True)
            transport.setTcpKeepAlive(True)
        secure = ISSLTransport.providedBy(transport)
        self._core = HttpServerConnection(
            now=factory.clock.seconds,
            date=factory.date,
            limits=factory.limits,
            refuse=factory.refuse,
            client=getattr(transport.getPeer(), "host", None) or "",
            secure=secure,
            upgrades=factory.upgrade is not None,
        )
        refusal = factory.admit(self)
        if refusal is None:
            self._producing = True
            transport.registerProducer(self, True)
            self._set_timer()
            return
        self._gone = True
        if secure:  # no answer can be sent before a handshake, and that is too much for a surplus client
            transport.abortConnection()
            return
        self._core.refuse(503, refusal)
        transport.write(self._core.data_to_send())
        transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        """Read bytes; called by the transport."""
        if not self._gone:
            self._run(self._core.receive_data(data))

    def readConnectionLost(self) -> None:
        """The client closed its writing side; called by the transport."""
        if not self._gone:
            self._run(self._core.receive_eof())

    def writeConnectionLost(self) -> None:
        """Our own writing side is closed, as was asked; called by the transport."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is no more; called by the transport."""
        self._leave()

    def pauseProducing(self) -> None:
        """The transport holds as much as it likes to; called by the transport."""
        self._is_full = True
        self._core.sending_stalled()

    def resumeProducing(self) -> None:
        """The transport has sent everything; called by the transport."""
        self._is_full = False
        self._written_bytes = 0
        self._count_unread(0)
        if not self._gone:
            self._core.sending_resumed()
            self._flush()
            if not self._asking:
                self._run(self._core.advance())

    def stopProducing(self) -> None:
        """The transport is closing; called by the transport, `connectionLost` follows."""

    # -- called by the factory

    def drain(self) -> None:
        """Close: now if idle, else after the answer that is due."""
        self._core.close_after_response()
        if not self._asking:
            self._run(self._core.advance())

    def abort(self) -> None:
        """Close now, whatever is unsent."""
        self.transport.abortConnection()

    def give_place(self, *, idle: bool) -> bool:
        """Make room for a newcomer; False while a request is out, or has begun and only idle ones shall."""
        if self._core.is_answering or (idle and not self._core.is_idle):
            return False
        self._leave()
        self.abort()
        return True

    # -- requests and answers

    def _run(self, events: list[Event]) -> None:
        """Do what the core says, until it has nothing more to say for now."""
        core = self._core
        self._flush()
        while events:
            event = events[0]
            if isinstance(event, RequestReceived):
                response = self._ask(event.request)
                if response is None or self._gone:
                    break
                self._respond(response, event.request)
                self._flush()
            elif isinstance(event, UpgradeRequested):
                if not self.factory.is_draining:
                    self._hand_over(event)
                    return
                core.refuse(503, _LEAVING)
                self._flush()
            else:
                self._close(event.how)
            events = core.advance()
        if not self._gone:
            self._set_reading()
            self._set_timer()
            self._count_held()

    def _count_held(self) -> None:
        """Tell the factory how much of what is not finished is here."""
        held = 0 if self._gone else self._core.held_bytes
        if held != self._held_bytes:
            self._held_bytes = held
            self.factory.unfinished.hold(self._refuse_more, held)

    def _count_unread(self, count: int) -> None:
        if count != self._unread_bytes:
            self._unread_bytes = count
            self.factory.unread.hold(self.abort, count)

    def _refuse_more(self) -> None:
        """All connections together hold too much, and this one most."""
        self._held_bytes = 0
        if self._core.is_waiting:  # what it sent ahead is the trouble, and there is no answer to that
            self._leave()
            self.abort()
            return
        self._core.refuse(503, "too much is being received at the moment")
        self._run(self._core.advance())

    def _flush(self) -> None:
        core = self._core
        while not (self._gone or self._is_full) and (data := core.data_to_send()):
            self._written_bytes += len(data)
            self.transport.write(data)
        if self._gone:
            return
        if self._is_full:
            core.sending_stalled()  # an answer may be late enough to find it so
            self._count_unread(self._written_bytes + core.unsent_bytes)
        else:
            self._written_bytes = 0
        if self._closing is not None and not core.unsent_bytes:
            self._close(self._closing)

    def _ask(self, request: Request) -> Response | None:
        """Call the site; None means that the answer comes later, to `_answered`."""
        self._asking = True
        try:
            answer: object = self.factory.respond(request)
            if isinstance(answer, Response):
                return answer
            if not isinstance(answer, Deferred):
                raise TypeError(f"a site answers with a Response, not with {type(answer).__name__}")
            self._answer = None
            self.factory.begin()
            answer.addBoth(self._answered, request)
            return self._answer
        except Exception:
            return self._failed(Failure(), request)
        finally:
            self._asking = False

    def _answered(self, result: object, request: Request) -> None:
        """The site's Deferred fired, perhaps at once."""
        if isinstance(result, Failure):
            response = self._failed(result, request)
        elif isinstance(result, Response):
            response = result
        else:
            problem = TypeError(f"a site answers with a Response, not with {type(result).__name__}")
            response = self._failed(Failure(problem), request)
        if self._asking:
            self._answer = response
        elif not self._gone:
            self._respond(response, request)
            self._flush()
            self._run(self._core.advance())
        self.factory.end()

    def _respond(self, response: Response, request: Request) -> None:
        if self.factory.is_draining:
            self._core.close_after_response()
        self.factory.answered(self)
        try:
            self._core.respond(response)
        except ValueError:
            self._core.respond(self._failed(Failure(), request))

    def _failed(self, failure: Failure, request: Request) -> Response:
        factory = self.factory
        factory.log.failure(
            "the site failed on {method} {path}",
            failure,
            method=request.method,
            path=loggable_path(request.path),
        )
        return factory.refuse(500, "the server failed on this request", request.path)

    # -- the transport

    def _hand_over(self, event: UpgradeRequested) -> None:
        upgrade = self.factory.upgrade
        assert upgrade is not None
        self._stop_producing()
        self._leave()
        upgrade(self.transport, event.request, event.data)

    def _close(self, how: Close) -> None:
        """Close, at once or when all is written."""
        if how is not Close.ABORT and self._core.unsent_bytes:
            self._closing = how
            return
        self._closing = None
        transport = self.transport
        self._stop_producing()  # a transport does not close under a producer that it has paused
        if how is Close.ABORT:
            transport.abortConnection()
        elif how is Close.HALF and _can_half_close(transport):
            transport.loseWriteConnection()
        else:
            self._reading = True  # and it may not be told otherwise any more
            transport.loseConnection()

    def _stop_producing(self) -> None:
        if self._producing:
            self._producing = False
            self.transport.unregisterProducer()

    def _set_reading(self) -> None:
        wanted = self._core.wants_data
        if wanted is not self._reading:
            self._reading = wanted
            if wanted:
                self.transport.resumeProducing()
            else:
                self.transport.pauseProducing()

    def _set_timer(self) -> None:
        """See that the timer fires no later than the deadline; too early is harmless."""
        deadline = self._core.next_deadline()
        if deadline is None or (self._timer is not None and self._timer_at <= deadline):
            return
        clock = self.factory.clock
        delay = max(0.0, deadline - clock.seconds())
        self._timer_at = deadline
        if self._timer is None:
            self._timer = clock.callLater(delay, self._tick)
        else:
            self._timer.reset(delay)

    def _tick(self) -> None:
        self._timer = None
        self._run(self._core.handle_deadline(self.factory.clock.seconds()))

    def _leave(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._gone:
            self._gone = True
            self.factory.leave(self)
        self._count_held()
        self._count_unread(0)


def _can_half_close(transport: ITransport) -> bool:
    # A TLS transport passes unknown methods on to the TCP transport below, past its own buffers.
    return IHalfCloseableDescriptor.providedBy(transport) and not ISSLTransport.providedBy(transport)


@implementer(IProtocolNegotiationFactory)
class HttpServerFactory(Factory):
    """Serves one site over HTTP/1.

    Args:
        respond: The site: called with each request, one at a time per connection.  What it raises is
            logged and answered with 500.
        upgrade: Called with the transport, the request and its raw bytes when a client wants a
            WebSocket; from then on the connection belongs to the callee, is not counted and is not
            drained.  See `switch_protocol`.  None: ``Upgrade`` is ignored.
        limits: What each connection may cost; None for the defaults.
        clock: The reactor, for timers and the ``Date`` header.
        max_connections: Open connections.  A further one takes the place of one that no request is out of;
            without such it is answered 503 and closed.
        max_unfinished_bytes: Of all requests that are not complete, or wait for their turn; see
            `txbridge.net.budget`.  Who gives way is answered 503, or closed.
        max_unread_bytes: Of all answers that are not read; who gives way is closed.
        refuse: Makes the answers to requests that never reach the site, and the 500s, as
            `txbridge.net.http1.HttpServerConnection` says.

    Attributes:
        is_draining: `drain` was called.
        unfinished: Counts what is received.
        unread: Counts what is not read.
    """

    noisy = False
    log = Logger()

    def __init__(
        self,
        respond: Callable[[Request], Response | Deferred[Response]],
        *,
        upgrade: Callable[[ITransport, Request, bytes], None] | None = None,
        limits: HttpLimits | None = None,
        clock: IReactorTime,
        max_connections: int = MAX_CONNECTIONS,
        max_unfinished_bytes: int = MAX_UNFINISHED_BYTES,
        max_unread_bytes: int = MAX_UNREAD_BYTES,
        refuse: Callable[[int, str, str], Response] = plain_refusal,
    ) -> None:
        self.respond = respond
        self.upgrade = upgrade
        self.limits = HttpLimits() if limits is None else limits
        self.clock = clock
        self._wall = wall_clock(clock)
        self.max_connections = max_connections
        self.unfinished = Budget(max_unfinished_bytes)
        self.unread = Budget(max_unread_bytes)
        self.refuse = refuse
        self._connections: dict[HttpServerProtocol, None] = {}  # who was answered last is last
        self._in_flight = 0
        self.is_draining = False
        self._ending: IDelayedCall | None = None
        self._drained: list[Deferred[None]] = []
        self._date = ""
        self._date_second = -1

    @property
    def connections(self) -> int:
        """How many are open, those that became WebSockets not counted."""
        return len(self._connections)

    def acceptableProtocols(self) -> list[bytes]:  # noqa: N802 - Twisted
        """Called by a TLS endpoint: without a name in common it refuses a client that offers any."""
        return [b"http/1.1", b"http/1.0"]

    # Subscripting Factory would please the checker, and older Twisteds cannot.
    def buildProtocol(self, addr: IAddress | None) -> HttpServerProtocol:  # type: ignore[override]
        """Make the protocol of a new connection; called by the port."""
        protocol = HttpServerProtocol()
        protocol.factory = self
        return protocol

    def drain(self, seconds: float = 10.0) -> Deferred[None]:
        """Stop serving without breaking an answer.

        Each connection closes after its next answer, and one that is idle after a second; new ones are
        refused, so stop listening first.  Upgraded connections are their new owners' to close.

        Args:
            seconds: How long to wait; what is open after that is aborted.

        Returns:
            A Deferred that fires when every connection is gone and no request is in flight, or when
            the time is over.
        """
        self.is_draining = True
        if self._is_drained():
            return succeed(None)
        if self._ending is None:
            self._ending = self.clock.callLater(min(seconds, LAST_SECONDS), self._end_idle)
        done: Deferred[None] = Deferred()
        self._drained.append(done)
        timer = self.clock.callLater(seconds, self._give_up, done)

        def settled(result: Failure | None) -> Failure | None:
            if timer.active():
                timer.cancel()
            if done in self._drained:
                self._drained.remove(done)
            return result

        return done.addBoth(settled)

    def date(self) -> str:
        """The ``Date`` header's value for now."""
        second = int(self._wall())
        if second != self._date_second:
            self._date_second = second
            self._date = formatdate(second, usegmt=True)
        return self._date

    def admit(self, protocol: HttpServerProtocol) -> str | None:
        """Count a new connection, or say why it is refused; called by the protocol."""
        if self.is_draining:
            return _LEAVING
        if len(self._connections) >= self.max_connections and not self._make_room():
            return "there are too many connections"
        self._connections[protocol] = None
        return None

    def _make_room(self) -> bool:
        return any(
            protocol.give_place(idle=idle) for idle in (True, False) for protocol in list(self._connections)
        )

    def answered(self, protocol: HttpServerProtocol) -> None:
        """Let others give their place before this one; called by the protocol."""
        if protocol in self._connections:
            del self._connections[protocol]
            self._connections[protocol] = None

    def leave(self, protocol: HttpServerProtocol) -> None:
        """Forget a connection; called by the protocol when it is closed or handed over."""
        self._connections.pop(protocol, None)
        self._check_drained()

    def begin(self) -> None:
        """The site works on a request; called by the protocol."""
        self._in_flight += 1

    def end(self) -> None:
        """The site is done with a request; called by the protocol."""
        self._in_flight -= 1
        self._check_drained()

    def _is_drained(self) -> bool:
        return not self._connections and not self._in_flight

    def _check_drained(self) -> None:
        if self.is_draining and self._is_drained():
            if self._ending is not None and self._ending.active():
                self._ending.cancel()
            for done in list(self._drained):
                done.callback(None)

    def _end_idle(self) -> None:
        for protocol in list(self._connections):
            protocol.drain()

    def _give_up(self, done: Deferred[None]) -> None:
        for protocol in list(self._connections):
            protocol.abort()
        if not done.called:
            done.callback(None)
