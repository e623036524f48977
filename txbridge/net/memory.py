"""A network in memory with its own clock: real clients against real servers, without sockets.

This ships with txbridge so that your tests can do what ours do.  Nothing is mocked: the client's
own code talks to the server's own code, and only TCP, the resolver and time are replaced::

    network = MemoryNetwork()
    network.listen("hub.test", 80, hub_factory)
    client = Client(KEY, url="http://hub.test/v2", reactor=network.reactor)
    environment = network.run(client.read_feed(feed_id=7))

Time stands still unless `MemoryNetwork.run` or ``network.clock.advance`` moves it, so a deadline of
an hour costs a test microseconds, and a test that would hang fails at once.

What a connection does is modelled after TCP as Twisted shows it:

- what one end writes waits in its send buffer until there is room in the other end's receive
  window (`WINDOW` bytes), and a protocol that paused its transport lets that window fill;
- a producer is paused when its transport's send buffer holds over `WINDOW` bytes and resumed when
  the buffer is empty, so back-pressure is real and can be tested;
- ``loseConnection`` delivers what was written first; ``abortConnection`` throws it away and the
  other end sees a reset;
- no callback happens inside the call that causes it: bytes and endings arrive in a later turn.

And it fails on request: `stall`, `cut`, `slow`.  There is no TLS here; over loopback sockets it is
fast enough to be tested for real.
"""

# ruff: noqa: N802, N803 - most of this is Twisted's own interfaces, arguments by name included

from __future__ import annotations

import ipaddress
import itertools
import math
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import (
    CannotListenError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    TCPTimedOutError,
    UserError,
)
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.internet.interfaces import (
    IAddress,
    IConnector,
    IConsumer,
    IDelayedCall,
    IHalfCloseableDescriptor,
    IHalfCloseableProtocol,
    IHostnameResolver,
    IHostResolution,
    IListeningPort,
    IPushProducer,
    IReactorPluggableNameResolver,
    IReactorTCP,
    IReactorThreads,
    IReactorTime,
    IResolutionReceiver,
    IStreamClientEndpoint,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

__all__ = ["WINDOW", "MemoryNetwork", "MemoryReactor", "MemoryTransport"]

T = TypeVar("T")

_log = Logger()

WINDOW = 65536  # Twisted's own buffer size and the most it reads from a socket at once
FIRST_FREE_PORT = 49152  # of the range for private use, RFC 6335


class MemoryTransport:
    """One end of a connection, as its protocol sees it.

    Attributes:
        protocol: Who is told; it may be replaced, as for a WebSocket upgrade.
        connected: False once ``connectionLost`` was called.
        disconnecting: True once this end was asked to close.
    """

    def __init__(self, reactor: MemoryReactor, here: IPv4Address, there: IPv4Address) -> None:
        self.protocol: Any = None
        self.connected = True
        self.disconnecting = False
        self._reactor = reactor
        self._here = here
        self._there = there
        self._other = self
        self._turn: IDelayedCall | None = None
        self._loss: Failure | None = None
        self._on_lost: Callable[[Failure], None] | None = None
        self._to_send = bytearray()
        self._send_not_before = 0.0
        self._stall_room: int | None = None
        self._write_is_closing = False
        self._received = bytearray()
        self._is_paused = False
        self._other_has_ended = False
        self._protocol_knows_end = False
        self._producer: Any = None
        self._is_streaming = False
        self._producer_is_paused = False
        self._no_delay = False
        self._keep_alive = False

    def __repr__(self) -> str:
        ends = f"{self._here.host}:{self._here.port} to {self._there.host}:{self._there.port}"
        return f"<MemoryTransport {ends}{'' if self.connected else ', closed'}>"

    # Called by the reactor and the network.

    def join(self, other: MemoryTransport) -> None:
        """Make the two the ends of one connection."""
        self._other = other
        other._other = self

    def start(self, protocol: Any, on_lost: Callable[[Failure], None] | None = None) -> None:
        """Give the connection to its protocol; None as the protocol closes it again."""
        self._on_lost = on_lost
        self.protocol = Protocol() if protocol is None else protocol
        self.protocol.makeConnection(self)
        if protocol is None:
            self.loseConnection()

    def stall(self) -> None:
        """What is sent from now on gets lost, once the system's own buffer is full nothing is taken."""
        if self._stall_room is None:
            self._stall_room = WINDOW

    def break_off(self) -> None:
        """The cable is cut."""
        self._lose(ConnectionLost("the network was cut"))

    # Turns: everything that calls a protocol or a producer happens in `_work`.

    def _schedule(self, delay: float = 0.0) -> None:
        if not self.connected:
            return
        if self._turn is None:
            self._turn = self._reactor.callLater(delay, self._work)
        elif self._turn.getTime() > self._reactor.seconds() + delay:
            self._turn.reset(delay)

    def _work(self) -> None:
        self._turn = None
        if self._loss is not None:
            self._finish(self._loss)
            return
        with _log.failuresHandled("in a protocol or a producer") as turn:
            self._send()
            self._deliver()
            self._feed_producer()
            self._close_if_sent()
        if turn.failed:  # as in a reactor: it is logged, and the connection goes
            self._lose(ConnectionLost("its protocol failed"))
        if not self._is_paused and (self._received or self._must_tell_end()):
            self._schedule()
        elif self._to_send and self._room() > 0:
            self._schedule(max(0.0, self._send_not_before - self._reactor.seconds()))

    def _room(self) -> int:
        """How many bytes would be taken from us now."""
        return WINDOW - len(self._other._received) if self._stall_room is None else self._stall_room

    def _send(self) -> None:
        step, every = self._reactor.pace
        count = min(len(self._to_send), self._room(), step)
        if count <= 0 or self._reactor.seconds() < self._send_not_before:
            return
        self._send_not_before = self._reactor.seconds() + every
        if self._stall_room is None:
            self._other._take(bytes(self._to_send[:count]))
        else:
            self._stall_room -= count
        del self._to_send[:count]

    def _take(self, data: bytes) -> None:
        if self.connected and self._loss is None:
            self._received += data
            self._schedule()
        else:
            self._other._lose(ConnectionLost("reset by the other end"))

    def _deliver(self) -> None:
        if self._received and not self._is_paused:
            step, _ = self._reactor.pace
            data = bytes(self._received[:step])
            del self._received[:step]
            self._other._schedule()  # there is room again
            self.protocol.dataReceived(data)
        if not self._received and not self._is_paused and self._must_tell_end():
            self._protocol_knows_end = True
            self.readConnectionLost(Failure(ConnectionDone()))

    def _must_tell_end(self) -> bool:
        return self._other_has_ended and not self._protocol_knows_end

    def _feed_producer(self) -> None:
        if self._producer is None or self._to_send:
            return
        if self._producer_is_paused or not self._is_streaming:
            self._producer_is_paused = False
            self._producer.resumeProducing()

    def _close_if_sent(self) -> None:
        if self._to_send or self._producer is not None:
            return
        if self.disconnecting:
            self._lose(ConnectionDone())
        elif self._write_is_closing:
            self._write_is_closing = False
            self._end()
            self.writeConnectionLost(Failure(ConnectionDone()))

    def _end(self) -> None:
        """Nothing more will come from us; the other end learns it after what we sent."""
        if self._stall_room is None:
            self._other._other_has_ended = True
            self._other._schedule()

    def _lose(self, error: Exception) -> None:
        if self._loss is None:
            self._loss = Failure(error)
            self._schedule()

    def _finish(self, reason: Failure) -> None:
        self.connected = False
        self.disconnecting = True
        self._to_send.clear()
        self._received.clear()
        self._end()
        self._reactor.forget(self)
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stopProducing()
        protocol, self.protocol = self.protocol, None
        protocol.connectionLost(reason)
        if self._on_lost is not None:
            self._on_lost(reason)

    # IHalfCloseableDescriptor, called in a turn.

    def readConnectionLost(self, reason: Failure) -> None:
        """The other end will send no more."""
        if IHalfCloseableProtocol.providedBy(self.protocol):
            self.protocol.readConnectionLost()
        else:
            self._lose(ConnectionDone())

    def writeConnectionLost(self, reason: Failure) -> None:
        """Our half is closed."""
        if IHalfCloseableProtocol.providedBy(self.protocol):
            self.protocol.writeConnectionLost()

    # ITCPTransport, called by the protocol.

    def write(self, data: bytes) -> None:
        """Send bytes, later."""
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"a transport takes bytes, not {type(data).__name__}")
        if not self.connected or (self.disconnecting and self._producer is None) or not data:
            return
        self._to_send += data
        if self._producer is not None and self._is_streaming and len(self._to_send) > WINDOW:
            self._producer_is_paused = True
            self._producer.pauseProducing()
        self._schedule()

    def writeSequence(self, data: Sequence[bytes]) -> None:
        """Send several pieces of bytes, later."""
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """Close after what was written is sent and the producer, if any, is done."""
        if self.connected and not self.disconnecting:
            self.disconnecting = True
            self._is_paused = True  # as Twisted's TCP: who closes does not read any more
            self._schedule()

    def loseWriteConnection(self) -> None:
        """Close our half after what was written is sent."""
        if self.connected:
            self._write_is_closing = True
            self._schedule()

    def abortConnection(self) -> None:
        """Close now; what was written and not yet sent is lost, and the other end sees a reset."""
        if not self.connected or self._loss is not None:
            return
        self.disconnecting = True
        self._to_send.clear()
        self._lose(ConnectionAborted())
        if self._stall_room is None:
            self._other._lose(ConnectionLost("reset by the other end"))

    def getHost(self) -> IPv4Address:
        """Our address."""
        return self._here

    def getPeer(self) -> IPv4Address:
        """The other end's address."""
        return self._there

    def getTcpNoDelay(self) -> bool:
        """What was set."""
        return self._no_delay

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Remembered; there is nothing to delay."""
        self._no_delay = bool(enabled)

    def getTcpKeepAlive(self) -> bool:
        """What was set."""
        return self._keep_alive

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Remembered; as in life, it comes hours too late to matter."""
        self._keep_alive = bool(enabled)

    # IConsumer, called by whoever produces what is written.

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Pause and resume this producer from now on."""
        if self._producer is not None:
            raise RuntimeError(f"{self!r} has a producer already: {self._producer!r}")
        if not self.connected:
            producer.stopProducing()
            return
        self._producer = producer
        self._is_streaming = bool(streaming)
        self._producer_is_paused = False
        if not streaming:
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        """The producer is done."""
        self._producer = None
        self._schedule()

    # IPushProducer, called by whoever consumes what is received.

    def pauseProducing(self) -> None:
        """Deliver nothing until resumed; the window fills and the other end's sending stops."""
        self._is_paused = True

    def resumeProducing(self) -> None:
        """Deliver again."""
        if self.connected and not self.disconnecting:
            self._is_paused = False
            self._schedule()

    def stopProducing(self) -> None:
        """The consumer wants no more."""
        self.loseConnection()


# Applied to the class, not above it: these interfaces declare no types, or overlap, and mypy-zope
# takes either for a contradiction.  `zope.interface.verify` checks them in the tests.
implementer(ITCPTransport, IHalfCloseableDescriptor, IConsumer, IPushProducer)(MemoryTransport)


class _Resolution:
    """An answer that is there at once."""

    def __init__(self, name: str) -> None:
        self.name = name

    def cancel(self) -> None:
        """Nothing is under way."""


implementer(IHostResolution)(_Resolution)


@implementer(IHostnameResolver)
class _Resolver:
    """Knows the names that somebody listened on."""

    def __init__(self) -> None:
        self._addresses = {"localhost": "127.0.0.1"}
        self._fresh = (str(address) for address in ipaddress.ip_network("10.0.0.0/8").hosts())

    def address_of(self, host: str) -> str:
        """The address of a name, which gets one if it has none."""
        if _is_address(host):
            return host
        return self._addresses.setdefault(host.lower(), next(self._fresh))

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """Called by endpoints: a name nobody listened on has no address."""
        resolution: IHostResolution = _Resolution(hostName)  # type: ignore[assignment]  # see there
        resolutionReceiver.resolutionBegan(resolution)
        address = hostName if _is_address(hostName) else self._addresses.get(hostName.lower())
        if address is not None:
            resolutionReceiver.addressResolved(IPv4Address("TCP", address, portNumber))
        resolutionReceiver.resolutionComplete()
        return resolution


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@implementer(IListeningPort)
class _Port:
    """A server that listens."""

    def __init__(self, reactor: MemoryReactor, address: IPv4Address, factory: Any) -> None:
        self._reactor = reactor
        self._address = address
        self.factory = factory

    def startListening(self) -> None:
        """Called by the reactor, or to listen again."""
        self._reactor.bind(self._address, self)
        self.factory.doStart()

    def stopListening(self) -> Deferred[None]:
        """Accept no more; what is connected stays so."""
        if self._reactor.unbind(self._address, self):
            self.factory.doStop()
        return succeed(None)

    def getHost(self) -> IPv4Address:
        """Where it listens."""
        return self._address


@implementer(IConnector)
class _Connector:
    """One client's attempt to connect, and the connection that came of it."""

    def __init__(
        self, reactor: MemoryReactor, target: IPv4Address, factory: Any, timeout: float | None
    ) -> None:
        self._reactor = reactor
        self._target = target
        self._factory = factory
        self._timeout = timeout
        self._attempt: IDelayedCall | None = None
        self._transport: MemoryTransport | None = None

    def connect(self) -> None:
        """Called by the reactor, or to connect again."""
        self._factory.doStart()
        self._factory.startedConnecting(self)
        if not self._reactor.is_stalled:
            self._attempt = self._reactor.callLater(0, self._establish)
        elif self._timeout is not None:
            self._attempt = self._reactor.callLater(self._timeout, self._fail, TCPTimedOutError())

    def _establish(self) -> None:
        self._attempt = None
        port = self._reactor.port_at(self._target)
        if port is None:
            self._fail(Refused())
            return
        ours, theirs = self._reactor.link(self._target)
        self._transport = ours
        accepted = port.factory.buildProtocol(ours.getHost())
        protocol = self._factory.buildProtocol(self._target)
        theirs.start(accepted)
        ours.start(protocol, self._lost)

    def _fail(self, error: Exception) -> None:
        self._attempt = None
        self._factory.clientConnectionFailed(self, Failure(error))
        self._factory.doStop()

    def _lost(self, reason: Failure) -> None:
        self._transport = None
        self._factory.clientConnectionLost(self, reason)
        self._factory.doStop()

    def stopConnecting(self) -> None:
        """Give up the attempt."""
        if self._attempt is not None:
            self._attempt.cancel()
            self._fail(UserError())

    def disconnect(self) -> None:
        """Close what there is."""
        if self._transport is None:
            self.stopConnecting()
        else:
            self._transport.loseConnection()

    def getDestination(self) -> IPv4Address:
        """Whom it connects to."""
        return self._target


class _InlineThreads:
    """A thread pool without threads: each piece of work runs in a turn of its own.

    So work that a program keeps off its event loop happens in an order that does not change.
    """

    def __init__(self, reactor: MemoryReactor) -> None:
        self._reactor = reactor

    def callInThreadWithCallback(
        self, onResult: Callable[[bool, Any], object] | None, func: Callable[..., Any], *args: Any, **kw: Any
    ) -> None:
        """Called by ``deferToThreadPool``."""
        self._reactor.callLater(0, self._work, onResult, func, args, kw)

    def callInThread(self, func: Callable[..., Any], *args: Any, **kw: Any) -> None:
        """Run without telling anybody; a failure is logged."""
        self.callInThreadWithCallback(None, func, *args, **kw)

    def _work(
        self,
        told: Callable[[bool, Any], object] | None,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kw: dict[str, Any],
    ) -> None:
        try:
            result = func(*args, **kw)
        except Exception:
            failure = Failure()
            if told is None:
                _log.failure("in a thread", failure)
            else:
                told(False, failure)
        else:
            if told is not None:
                told(True, result)


class MemoryReactor(Clock):
    """Time, TCP, names and threads in memory; pass it wherever txbridge takes a ``reactor``.

    Work for threads that goes through `getThreadPool` runs in turns of its own.  A real thread is not
    waited for, as it knows nothing of this clock: `callFromThread` refuses one.

    Attributes:
        nameResolver: Knows ``localhost`` and each name that somebody listened on.
        pace: Bytes that move in one turn, and seconds between turns; see `MemoryNetwork.slow`.
        is_stalled: New connections get no answer.
        transports: Both ends of every connection there is.
        connections_made: How many connections there were so far.
    """

    def __init__(self) -> None:
        super().__init__()
        self.nameResolver: Any = _Resolver()
        self.pace = (WINDOW, 0.0)
        self.is_stalled = False
        self.transports: list[MemoryTransport] = []
        self.connections_made = 0
        self._ports: dict[tuple[str, int], _Port] = {}
        self._free_ports = itertools.count(FIRST_FREE_PORT)
        self._threads = _InlineThreads(self)
        self._thread = threading.get_ident()

    def getThreadPool(self) -> Any:
        """Where ``deferToThreadPool`` sends its work."""
        return self._threads

    def callInThread(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Run in a later turn."""
        self._threads.callInThread(callable, *args, **kwargs)

    def callFromThread(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Run in a later turn.

        Raises:
            RuntimeError: A real thread called.
        """
        if threading.get_ident() != self._thread:
            raise RuntimeError("a network in memory has no threads: send the work through getThreadPool()")
        self.callLater(0, callable, *args, **kwargs)

    def suggestThreadPoolSize(self, size: int) -> None:
        """There is nothing to size."""

    def installNameResolver(self, resolver: IHostnameResolver) -> IHostnameResolver:
        """Resolve names differently; returns what did it before."""
        previous: IHostnameResolver = self.nameResolver
        self.nameResolver = resolver
        return previous

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> IListeningPort:
        """Serve at a port; 0 chooses one, ``interface`` may be an address or empty for all."""
        number = next(self._free_ports) if port == 0 else port
        listening = _Port(self, IPv4Address("TCP", interface or "0.0.0.0", number), factory)
        listening.startListening()
        return listening

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: Any,
        timeout: float | None = 30.0,
        bindAddress: Any = None,
    ) -> IConnector:
        """Connect to an address."""
        connector = _Connector(self, IPv4Address("TCP", host, port), factory, timeout)
        connector.connect()
        return connector

    # Called by the parts of this module.

    def bind(self, address: IPv4Address, port: _Port) -> None:
        """A port listens."""
        key = (address.host, address.port)
        if key in self._ports:
            raise CannotListenError(address.host, address.port, OSError("the address is in use"))
        self._ports[key] = port

    def unbind(self, address: IPv4Address, port: _Port) -> bool:
        """A port stops; False if it did not listen."""
        key = (address.host, address.port)
        return self._ports.get(key) is port and self._ports.pop(key) is port

    def port_at(self, address: IPv4Address) -> _Port | None:
        """Who listens at an address."""
        for host in (address.host, "0.0.0.0"):
            if (host, address.port) in self._ports:
                return self._ports[host, address.port]
        return None

    def link(self, target: IPv4Address) -> tuple[MemoryTransport, MemoryTransport]:
        """A new connection: the client's end and the server's."""
        source = IPv4Address("TCP", "127.0.0.1", next(self._free_ports))
        ours = MemoryTransport(self, source, target)
        theirs = MemoryTransport(self, target, source)
        ours.join(theirs)
        self.transports += [ours, theirs]
        self.connections_made += 1
        return ours, theirs

    def forget(self, transport: MemoryTransport) -> None:
        """One end is gone."""
        self.transports.remove(transport)


# See MemoryTransport for why this is not a decorator.
implementer(IReactorTime, IReactorTCP, IReactorThreads, IReactorPluggableNameResolver)(MemoryReactor)


class MemoryNetwork:
    """A network of its own with a clock of its own.

    Attributes:
        reactor: Goes wherever txbridge takes a ``reactor`` or a ``clock``.
        clock: The same object, by the name that says what it is used for.
    """

    def __init__(self) -> None:
        self.reactor = MemoryReactor()
        self.clock: Clock = self.reactor

    def listen(self, host: str, port: int, factory: Any) -> IListeningPort:
        """Serve at a host, whose name is known to the network's resolver from then on.

        Args:
            host: A name or an IPv4 address.
            port: TCP port; 0 chooses one, ``getHost().port`` of the result tells.
            factory: A Twisted protocol factory.
        """
        resolver: _Resolver = self.reactor.nameResolver
        return self.reactor.listenTCP(port, factory, interface=resolver.address_of(host))

    def endpoint(self, host: str, port: int) -> IStreamClientEndpoint:
        """How to connect to a host in this network."""
        return HostnameEndpoint(self.reactor, host, port)

    @property
    def connections_made(self) -> int:
        """How many connections there were so far."""
        return self.reactor.connections_made

    @property
    def connections(self) -> int:
        """How many connections are open now; one that only one end has left counts still."""
        return len({frozenset((id(one), id(one._other))) for one in self.reactor.transports})

    def pump(self) -> None:
        """Let everything happen that needs no time to pass."""
        self.clock.advance(0)

    def run(self, work: Deferred[T] | Coroutine[Deferred[Any], Any, T], seconds: float = 60.0) -> T:
        """Let bytes flow and time pass until a Deferred fires.

        Time jumps from one due call to the next and stops where the Deferred fired.

        Args:
            work: What is waited for.
            seconds: How far the clock may move.

        Returns:
            What the Deferred fired with.

        Raises:
            BaseException: What the Deferred failed with.
            TimeoutError: It has not fired after ``seconds``; it can be run on.
        """
        waiting = True
        results: list[T] = []
        failures: list[Failure] = []

        def keep(value: T) -> T | None:
            if waiting:
                results.append(value)
                return None
            return value

        def keep_failure(failure: Failure) -> Failure | None:
            if waiting:
                failures.append(failure)
                return None
            return failure

        limit = self.clock.seconds() + seconds
        ensureDeferred(work).addCallbacks(keep, keep_failure)
        self.pump()
        while not results and not failures:
            due = min((call.getTime() for call in self.clock.getDelayedCalls()), default=math.inf)
            # Set, not advanced by a difference: adding floats could miss the call by an ulp.
            self.clock.rightNow = max(self.clock.seconds(), min(due, limit))
            if due > limit:
                waiting = False
                raise TimeoutError(f"the Deferred did not fire within {seconds:g} s of the network's time")
            self.pump()
        if failures:
            failures[0].raiseException()
        return results[0]

    def stall(self) -> None:
        """Lose every byte from now on without closing anything: a half-open link.

        New connections get no answer.  `restore` lets new ones through; those that were stalled stay
        dead, as after a router forgot them.
        """
        self.reactor.is_stalled = True
        for transport in self.reactor.transports:
            transport.stall()

    def restore(self) -> None:
        """End `stall` and `slow` for what connects, or is sent, from now on."""
        self.reactor.is_stalled = False
        self.reactor.pace = (WINDOW, 0.0)

    def cut(self) -> None:
        """Break every connection; both ends see ``ConnectionLost``."""
        for transport in list(self.reactor.transports):
            transport.break_off()
        self.pump()

    def slow(self, count: int, every: float = 0.0) -> None:
        """Let at most ``count`` bytes pass at once in each direction of a connection.

        Args:
            count: Bytes; 1 shows a protocol every possible split of its input.
            every: Seconds between two such portions.
        """
        self.reactor.pace = (count, every)
