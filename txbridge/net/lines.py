"""Drives a sans-IO core over a byte stream: TCP, TLS, or a stream in memory.

What the core gives to send goes out one message a write, the next one only when the transport has
sent the last: old PAWS clients take what one ``recv`` gives for one message, and a slow reader's
backlog stays in the core, where it is bounded.

TCP keep-alive comes hours too late to notice a peer that is gone; a core that must notice has a
deadline of its own, such as `txbridge.cosm.protocol.PawsConnection.watch`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from twisted.internet.error import ConnectError as TwistedConnectError
from twisted.internet.error import ConnectionClosed, ConnectionDone, DNSLookupError
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableProtocol,
    IProtocol,
    IPullProducer,
    IReactorTime,
    ISSLTransport,
    IStreamClientEndpoint,
    ITCPTransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from txbridge.errors import BridgeError, ConnectError, ConnectionLost
from txbridge.net.budget import Budget
from txbridge.net.deadline import with_deadline
from txbridge.net.deferred import deferred
from txbridge.net.link import Alarm, Core, LinkOwner

__all__ = ["StreamLink", "connect_stream", "connected", "prepare_transport", "why_lost"]

CLOSE_WITHIN = 10.0  # seconds for a peer to read what is left

TELL_BYTES = 16 * 1024  # a message below is not worth counting


def prepare_transport(transport: object) -> tuple[str, str, bool]:
    """Set what every socket of ours has; give the peer's address, ours, and whether it is TLS."""
    if ITCPTransport.providedBy(transport):
        transport.setTcpNoDelay(True)
        transport.setTcpKeepAlive(True)
    stream = cast(ITCPTransport, transport)
    peer = getattr(stream.getPeer(), "host", None) or ""
    here = getattr(stream.getHost(), "host", None) or ""
    return peer, here, ISSLTransport.providedBy(transport)


def why_lost(reason: Failure) -> str:
    """What to say about a lost connection."""
    if reason.check(ConnectionDone) is not None:
        return "the peer closed it"
    return reason.getErrorMessage()


@implementer(IPullProducer, IHalfCloseableProtocol)
class StreamLink(Protocol):
    """A byte stream that drives a core.

    It registers with its transport as a producer that is asked for more when everything is sent.

    Args:
        core: Knows the protocol.
        owner: Gets its events.
        clock: For the core's deadlines.
        close_within: Seconds that `close` waits for the peer to read what is left.
        send_within: Seconds for the peer to read one message; None for any time.
        held: Counts the bytes of the message that is being sent; who gives way is cut off.
    """

    def __init__(
        self,
        core: Core,
        owner: LinkOwner,
        clock: IReactorTime,
        *,
        close_within: float = CLOSE_WITHIN,
        send_within: float | None = None,
        held: Budget | None = None,
    ) -> None:
        self.peer = ""
        self.here = ""
        self.secure = False
        self._core = core
        self._owner = owner
        self._clock = clock
        self._close_within = close_within
        self._close_at: float | None = None
        self._send_within = send_within
        self._send_at: float | None = None
        self._held = held
        self._counted = 0
        self._alarm = Alarm(clock, self._ring)
        self._gone = False
        self._may_read = self._is_reading = True
        self._input_ended = False
        self._producing = False
        self._registering = False
        self._error: BridgeError | None = None

    # -- called by the owner

    def flush(self) -> None:
        """Send what the core has, as far as the peer takes it; the rest follows by itself."""
        if self._gone:
            return
        if not self._producing:
            data = self._core.data_to_send()
            if data:
                transport = self._transport()
                transport.write(data)
                self._sending(len(data))
                # Registering asks for data at once; the next message shall wait until this one is sent.
                self._producing = self._registering = True
                transport.registerProducer(self, False)
                self._registering = False
            elif self._close_at is not None:
                self._transport().loseConnection()
            self._set_reading()
        self._set_alarm()

    def pause(self) -> None:
        """Read nothing until `resume`."""
        self._may_read = False
        self._set_reading()

    def resume(self) -> None:
        """Read again."""
        self._may_read = True
        self._set_reading()

    def close(self, reason: str = "") -> None:
        """Close after everything the core has is sent, or some seconds later in any case."""
        if not self._gone and self._close_at is None:
            self._error = ConnectionLost("connection", reason or "we closed it")
            self._close_at = self._clock.seconds() + self._close_within
            self.flush()

    def abort(self) -> None:
        """Close now."""
        if not self._gone:
            self._transport().abortConnection()

    # -- called by the transport

    def connectionMade(self) -> None:
        """The stream is there."""
        self.peer, self.here, self.secure = prepare_transport(self.transport)
        self._owner.link_made(self)
        self.flush()

    def dataReceived(self, data: bytes) -> None:
        """Bytes came."""
        if self._close_at is None:
            self._hand_over(self._core.receive_data(data))

    def readConnectionLost(self) -> None:
        """The peer closed its half: ``nc -N`` does when it has sent a request."""
        self._input_ended = True
        self._owner.input_ended(self)

    def writeConnectionLost(self) -> None:
        """Our half is closed, which nothing here asks for."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The stream is gone."""
        self._gone = True
        self._sending(0)
        self._alarm.cancel()
        error = self._error if self._error is not None else ConnectionLost("connection", why_lost(reason))
        events = self._core.receive_eof(str(error).removeprefix("connection: connection lost: "))
        if events:
            self._owner.events_received(self, events)
        self._owner.link_lost(self, error)

    def resumeProducing(self) -> None:
        """Everything was sent."""
        if self._registering:
            return
        data = self._core.data_to_send()
        self._set_reading()
        self._sending(len(data))
        if data:
            self._transport().write(data)
            return
        self._producing = False
        self._transport().unregisterProducer()
        if self._close_at is not None:
            self._transport().loseConnection()

    def stopProducing(self) -> None:
        """The transport is closing; `connectionLost` follows."""

    # -- inside

    def _transport(self) -> Any:
        # Twisted says Optional[ITransport]; the transports of streams are producer and consumer too.
        return self.transport

    def _hand_over(self, events: Sequence[Any]) -> None:
        if events:
            self._owner.events_received(self, events)
        self.flush()
        self._set_reading()

    def _set_reading(self) -> None:
        wanted = self._may_read and self._core.wants_data
        if wanted is not self._is_reading and not (self._gone or self._input_ended):
            self._is_reading = wanted
            if wanted:
                self._transport().resumeProducing()
            else:
                self._transport().pauseProducing()

    def _sending(self, size: int) -> None:
        """A message of so many bytes is with the transport; 0 when it was sent."""
        if self._send_within is not None:
            self._send_at = self._clock.seconds() + self._send_within if size else None
            self._alarm.set(self._send_at)
        if self._held is not None and (size >= TELL_BYTES or self._counted):
            self._counted = size
            self._held.hold(self._give_way, size)

    def _give_way(self) -> None:
        self._counted = 0
        self.abort()

    def _set_alarm(self) -> None:
        self._alarm.set(self._core.next_deadline())
        self._alarm.set(self._send_at)
        self._alarm.set(self._close_at)

    def _ring(self) -> None:
        now = self._clock.seconds()
        if any(at is not None and now >= at for at in (self._close_at, self._send_at)):
            self.abort()
        else:
            self._hand_over(self._core.handle_deadline(now))


class _OneLink(Factory):
    """Builds the protocol it was given."""

    noisy = False

    def __init__(self, protocol: IProtocol) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Called by the endpoint."""
        return self._protocol


@deferred
async def connected(
    endpoint: IStreamClientEndpoint, protocol: IProtocol, *, clock: IReactorTime, peer: str, within: float
) -> None:
    """Connect a protocol, with every failure as one of ours.

    Raises:
        ConnectError: No connection could be made.
        TimedOut: Not within ``within`` seconds.
    """
    try:
        await with_deadline(
            clock,
            endpoint.connect(_OneLink(protocol)),
            within,
            operation=f"connect to {peer}",
            phase="connect",
        )
    except DNSLookupError as error:
        raise ConnectError(peer, "the name is not known") from error
    except (TwistedConnectError, ConnectionClosed, OSError) as error:
        raise ConnectError(peer, str(error)) from error


@deferred
async def connect_stream(
    endpoint: IStreamClientEndpoint,
    core: Core,
    owner: LinkOwner,
    *,
    clock: IReactorTime,
    peer: str,
    connect_within: float = 30.0,
) -> StreamLink:
    """Connect a core to a server over a byte stream.

    Args:
        endpoint: Plain TCP, TLS, through a proxy: see `txbridge.net.endpoint.client_endpoint`.
        core: Knows the protocol.
        owner: Gets its events; ``link_made`` is called before this fires.
        clock: For deadlines.
        peer: What errors call the server; no credentials.
        connect_within: Seconds to connect.

    Raises:
        ConnectError: No connection could be made.
        TimedOut: Not within ``connect_within`` seconds.
    """
    link = StreamLink(core, owner, clock)
    await connected(endpoint, link, clock=clock, peer=peer, within=connect_within)
    return link
