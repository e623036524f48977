"""Drives a sans-IO core over WebSocket messages, as client and as server.

Autobahn does the handshake, the frames, and the checks of RFC 6455.  Its own timers are off: they
run on the global reactor whatever clock it is given, so handshakes, pings and closings have their
deadlines here.  Compression is never offered or accepted: it halves the rate and costs 100 kB a
connection.

A server that pushes to many writes once per subscriber and reactor turn: `flush` only marks the
link, and what its core has by the end of the turn leaves as one write.  As on a stream, nothing is
taken from the core while the transport is full.

Source: RFC 6455; close codes of the IANA registry.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import frozen
from autobahn.twisted.websocket import (
    WebSocketClientFactory,
    WebSocketClientProtocol,
    WebSocketServerFactory,
    WebSocketServerProtocol,
)
from autobahn.websocket.util import parse_url
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, IReactorTime, IStreamClientEndpoint, ITransport
from twisted.logger import Logger
from zope.interface import implementer

from txbridge.errors import (
    BridgeError,
    ConfigError,
    ConnectError,
    ConnectionLost,
    Forbidden,
    RemoteProtocolError,
    ServerFailed,
    TooLarge,
)
from txbridge.net.budget import Budget
from txbridge.net.deadline import with_deadline
from txbridge.net.deferred import deferred
from txbridge.net.http1 import Request
from txbridge.net.http_server import switch_protocol
from txbridge.net.lines import CLOSE_WITHIN, connected, prepare_transport
from txbridge.net.link import Alarm, Core, LinkOwner

__all__ = [
    "Turn",
    "WebSocketLink",
    "WebSocketOptions",
    "close_error",
    "connect_websocket",
    "websocket_upgrade",
]

FLUSH_BYTES = 65536  # in one write; what is beyond waits in the core until this is sent

TELL_BYTES = 16 * 1024  # by which a message must have grown before it is counted anew

MAX_PIECES = 1000  # of a message that is not complete: each takes fifty bytes besides its own

_NORMAL, _GOING_AWAY, _POLICY, _TOO_BIG, _FAILED, _RESTARTING, _TRY_LATER = (
    1000,
    1001,
    1008,
    1009,
    1011,
    1012,
    1013,
)
_PROTOCOL_CODES = frozenset((1002, 1003, 1007, 1010))


def close_error(code: int | None, reason: str) -> BridgeError:
    """The error that a closing of the other end means.

    Args:
        code: The close code; None or 1006 when the connection just went.
        reason: What came with it.
    """
    what = "connection"
    said = f"closed with {code}" + (f": {reason}" if reason else "")
    if code in _PROTOCOL_CODES:
        return RemoteProtocolError(what, said)
    if code == _POLICY:
        return Forbidden(what, 403, said)
    if code == _TOO_BIG:
        return TooLarge(what, 413, said)
    if code == _FAILED:
        return ServerFailed(what, 500, said)
    if code in (_RESTARTING, _TRY_LATER):
        return ServerFailed(what, 503, said)
    if code in (None, 1006):
        return ConnectionLost(what, reason or "the peer closed it")
    return ConnectionLost(what, said)


@frozen
class WebSocketOptions:
    """How a link over WebSocket behaves.

    Attributes:
        ping_every: Seconds between pings.
        pongs_missed: How many pings in a row may stay unanswered; then the link is cut.
        max_message: Bytes of one message of the peer.
        close_within: Seconds for the closing handshake.
        binary: Whether what is sent is binary, not text; both are received.
        message_within: Seconds that a message of the peer may take, from its first frame to its end; None for
            any time.
        send_within: Seconds for the peer to read what the transport is full of; None for any time.
        too_long: The message that a peer is sent before it is closed on for a message that is too long.
    """

    ping_every: float = 45.0
    pongs_missed: int = 2
    max_message: int = 1 << 20
    close_within: float = CLOSE_WITHIN
    binary: bool = False
    message_within: float | None = None
    send_within: float | None = None
    too_long: bytes = b""


class Turn:
    """Collects links that have something to send, and lets each write once, in the next turn."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waiting: dict[WebSocketLink, None] = {}

    def add(self, link: WebSocketLink) -> None:
        """Called by a link that is to be flushed."""
        if not self._waiting:
            self._clock.callLater(0, self._run)
        self._waiting[link] = None

    def _run(self) -> None:
        waiting, self._waiting = self._waiting, {}
        for link in waiting:
            link.write_out()


@implementer(IPushProducer)
class WebSocketLink:
    """A WebSocket that drives a core; `connect_websocket` and `websocket_upgrade` make it.

    It registers with its transport as a producer, to learn when the transport is full.
    """

    def __init__(
        self,
        core: Core,
        owner: LinkOwner,
        *,
        clock: IReactorTime,
        turn: Turn,
        options: WebSocketOptions,
        held: Budget | None = None,
    ) -> None:
        self.peer = ""
        self.here = ""
        self.secure = False
        self.handshake: Deferred[None] = Deferred(lambda _: self.abort())
        self._core = core
        self._owner = owner
        self._clock = clock
        self._turn = turn
        self._options = options
        self._held = held
        self._pieces = 0  # bytes of a message that is not complete
        self._told = 0
        self._message_at: float | None = None
        self._written = 0  # bytes of the last write
        self._unsent = 0  # the same while the transport is full of them
        self._send_at: float | None = None
        self._alarm = Alarm(clock, self._ring)
        self._protocol: Any = None
        self._is_open = False  # between the handshake and the loss
        self._is_full = False
        self._may_read = self._is_reading = True
        self._unanswered = 0
        self._pong_due: bytes | None = None
        self._ping_at = 0.0
        self._close_at: float | None = None
        self._farewell: bytes | None = None
        self._error: BridgeError | None = None

    # -- called by the owner

    def flush(self) -> None:
        """Send what the core has at the end of this turn, as far as the peer takes it."""
        if self._is_open:
            self._turn.add(self)

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
        if self._farewell is None:
            self._farewell = reason.encode()[:120].decode("utf-8", "ignore").encode()
            self._error = ConnectionLost("connection", reason or "we closed it")
            self._close_at = self._clock.seconds() + self._options.close_within
            if self._is_open:
                self.flush()
            else:
                self.abort()

    def abort(self) -> None:
        """Close now."""
        if self._protocol is not None and self._protocol.transport is not None:
            self._protocol.transport.abortConnection()

    # -- called by `Turn`

    def write_out(self) -> None:
        """Write what the core has, until the transport is full."""
        if not self._is_open:
            return
        core, protocol = self._core, self._protocol
        while not self._is_full and protocol.state == protocol.STATE_OPEN:
            messages = []
            size = 0
            while size < FLUSH_BYTES and (message := core.data_to_send()):
                messages.append(message)
                size += len(message)
            if messages:
                self._written = size
                protocol.send_all(messages, self._options.binary)
                continue
            if self._farewell is not None:
                protocol.sendCloseFrame(code=_NORMAL, reasonUtf8=self._farewell)
            break
        self._set_reading()
        self._set_alarm()

    # -- called by Autobahn, through the protocols below

    def made(self, protocol: Any) -> None:
        """The transport is there, the handshake begins."""
        self._protocol = protocol

    def opened(self) -> None:
        """The handshake is done."""
        transport = self._protocol.transport
        self.peer, self.here, self.secure = prepare_transport(transport)
        self._is_open = True
        self._ping_at = self._clock.seconds() + self._options.ping_every
        transport.registerProducer(self, True)
        self._owner.link_made(self)
        if not self.handshake.called:
            self.handshake.callback(None)
        self.flush()

    def message_began(self) -> None:
        """The first frame of a message began."""
        within = self._options.message_within
        if within is not None:
            self._message_at = self._clock.seconds() + within
            self._alarm.set(self._message_at)

    def piece_came(self, size: int) -> None:
        """So many bytes of a message came."""
        self._pieces += size
        self._tell()

    def message_is_too_long(self) -> None:
        """The peer is about to be closed on."""
        if self._options.too_long:
            self._protocol.send_all([self._options.too_long], self._options.binary)

    def message_came(self, payload: bytes) -> None:
        """A whole message came."""
        self._unanswered = 0
        self._message_at = None
        self._pieces = 0
        self._tell()
        if self._protocol.state == self._protocol.STATE_OPEN and self._farewell is None:
            self._hand_over(self._core.receive_data(payload))

    def ping_came(self, payload: bytes) -> None:
        """Answer it, or only the newest one while the transport is full: RFC 6455, 5.5.3."""
        if self._is_full:
            self._pong_due = payload
        elif self._protocol.state == self._protocol.STATE_OPEN:
            self._protocol.sendPong(payload)

    def pong_came(self) -> None:
        """The peer is there."""
        self._unanswered = 0

    def data_came(self) -> None:
        """Autobahn may have begun to close."""
        if self._is_open and self._protocol.state != self._protocol.STATE_OPEN:
            self._pieces = 0  # Autobahn keeps nothing more
            self._tell()
            self._set_alarm()

    def lost(self, code: int | None, reason: str) -> None:
        """The connection is gone."""
        self._pieces = 0
        self._tell()
        self._fill(0)
        was_open, self._is_open = self._is_open, False
        self._alarm.cancel()
        error = self._error if self._error is not None else close_error(code, reason)
        if was_open:
            events = self._core.receive_eof(str(error).removeprefix("connection: connection lost: "))
            if events:
                self._owner.events_received(self, events)
            self._owner.link_lost(self, error)
        elif not self.handshake.called:
            self.handshake.errback(error)

    # -- called by the transport

    def pauseProducing(self) -> None:
        """The transport is full."""
        self._is_full = True
        self._fill(self._written)

    def resumeProducing(self) -> None:
        """The transport has sent everything."""
        self._is_full = False
        self._fill(0)
        due, self._pong_due = self._pong_due, None
        if due is not None:
            self.ping_came(due)
        self.flush()

    def stopProducing(self) -> None:
        """The transport is closing; `lost` follows."""

    # -- inside

    def _hand_over(self, events: Sequence[Any]) -> None:
        if events:
            self._owner.events_received(self, events)
        self.flush()
        self._set_reading()

    def _tell(self) -> None:
        """Have what is held counted, once it is worth it."""
        if self._held is not None and (self._pieces - self._told >= TELL_BYTES or self._pieces < self._told):
            self._told = self._pieces
            self._held.hold(self._give_way, self._told)

    def _give_way(self) -> None:
        self._told = 0
        self.abort()

    def _fill(self, size: int) -> None:
        """The transport is full of so many bytes; 0 when it has sent them."""
        within = self._options.send_within
        self._send_at = None if within is None or not size else self._clock.seconds() + within
        if self._held is not None and size != self._unsent:
            self._held.hold(self._cut_off, size)
        self._unsent = size

    def _cut_off(self) -> None:
        self._unsent = 0
        self.abort()

    def _set_reading(self) -> None:
        wanted = self._may_read and self._core.wants_data
        if wanted is not self._is_reading and self._is_open:
            self._is_reading = wanted
            if wanted:
                self._protocol.transport.resumeProducing()
            else:
                self._protocol.transport.pauseProducing()

    def _set_alarm(self) -> None:
        if self._protocol.state != self._protocol.STATE_OPEN and self._close_at is None:
            self._close_at = self._clock.seconds() + self._options.close_within
        self._alarm.set(self._ping_at)
        self._alarm.set(self._core.next_deadline())
        self._alarm.set(self._message_at)
        self._alarm.set(self._send_at)
        self._alarm.set(self._close_at)

    def _ring(self) -> None:
        now = self._clock.seconds()
        if any(at is not None and now >= at for at in (self._close_at, self._send_at)):
            self.abort()
            return
        if self._message_at is not None and now >= self._message_at and not self._is_reading:
            self._message_at = now + (self._options.message_within or 0.0)
        elif self._message_at is not None and now >= self._message_at:
            self._message_at = None
            self._protocol.sendCloseFrame(code=_POLICY, reasonUtf8=b"the message took too long")
        if now >= self._ping_at and self._send_at is not None:
            self._ping_at = now + self._options.ping_every  # a ping would wait behind what is to be read
        elif now >= self._ping_at:
            if self._unanswered >= self._options.pongs_missed:
                self._error = ConnectionLost("connection", "the peer answers no pings")
                self.abort()
                return
            self._unanswered += 1
            self._ping_at = now + self._options.ping_every
            self._protocol.sendPing()
        deadline = self._core.next_deadline()
        if deadline is not None and deadline <= now:
            self._hand_over(self._core.handle_deadline(now))
        self._set_alarm()


class _Quiet:
    """What Autobahn logs to: only its errors are kept.

    Its warnings are about peers, whom any stranger can be, and quote what they sent: a request line may
    hold a key.  Why a link ended is told to its owner.
    """

    _log = Logger(namespace="txbridge.net.websocket")

    def error(self, text: object, **members: object) -> None:
        """Something of ours failed; the text's members may quote a peer, and are left out."""
        self._log.error("Autobahn: {text}", text=text)

    def warn(self, *_: object, **__: object) -> None:
        """Say nothing."""

    info = debug = trace = warn


def _join_many(pieces: list[bytes]) -> None:
    if len(pieces) > MAX_PIECES:
        pieces[:] = [b"".join(pieces)]


class _Forwarding:
    """Passes on what Autobahn calls; in front of Autobahn's own class."""

    link: WebSocketLink
    log = _Quiet()
    frame_data: list[bytes]  # Autobahn's, the pieces of the frame that comes …
    message_data: list[bytes]  # … and of the frames before it

    def connectionMade(self) -> None:
        """Called by the transport."""
        self.link.made(self)
        super().connectionMade()  # type: ignore[misc]  # of Autobahn's class, which comes next

    def dataReceived(self, data: bytes) -> None:
        """Called by the transport."""
        super().dataReceived(data)  # type: ignore[misc]  # of Autobahn's class, which comes next
        self.link.data_came()

    def onOpen(self) -> None:
        """Called when the handshake is done."""
        self.link.opened()

    def onMessageBegin(self, isBinary: bool) -> None:  # noqa: N803 - Autobahn's name
        """Called when a message begins."""
        super().onMessageBegin(isBinary)  # type: ignore[misc]  # of Autobahn's class, which comes next
        self.link.message_began()

    def _max_message_size_exceeded(self, size: int, most: int, reason: str) -> None:
        """Called when a message is, or will be, too long."""
        self.link.message_is_too_long()
        super()._max_message_size_exceeded(size, most, reason)  # type: ignore[misc]  # of Autobahn's class

    def onMessageFrameData(self, payload: bytes) -> None:
        """Called with each piece of a frame."""
        super().onMessageFrameData(payload)  # type: ignore[misc]  # of Autobahn's class, which comes next
        self.link.piece_came(len(payload))
        _join_many(self.frame_data)

    def onMessageFrameEnd(self) -> None:
        """Called when a frame is whole."""
        super().onMessageFrameEnd()  # type: ignore[misc]  # of Autobahn's class, which comes next
        _join_many(self.message_data)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:  # noqa: N803 - Autobahn's name
        """Called with each whole message."""
        self.link.message_came(payload)

    def onPing(self, payload: bytes) -> None:
        """Called when a ping came."""
        self.link.ping_came(payload)

    def onPong(self, payload: bytes) -> None:
        """Called when a pong came."""
        self.link.pong_came()

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:  # noqa: N803
        """Called when the connection is gone."""
        self.link.lost(code, reason or "")


class _ServerProtocol(_Forwarding, WebSocketServerProtocol):  # type: ignore[misc]  # Autobahn has no types
    def send_all(self, messages: Sequence[bytes], binary: bool) -> None:
        """Send several messages in one write.  A server's frames are not masked."""
        kind = 0x82 if binary else 0x81
        pieces = []
        for message in messages:
            size = len(message)
            if size < 126:
                pieces.append(bytes((kind, size)))
            elif size < 65536:
                pieces.append(_SHORT_HEAD(kind, 126, size))
            else:
                pieces.append(_LONG_HEAD(kind, 127, size))
            pieces.append(message)
        data = b"".join(pieces)
        if self.send_queue:
            self.sendData(data)  # what is ahead of it there must stay ahead
        else:
            # What sendData would do, without a debug event that costs more than the write itself.
            transport: Any = self.transport
            transport.write(data)


class _ClientProtocol(_Forwarding, WebSocketClientProtocol):  # type: ignore[misc]  # Autobahn has no types
    def send_all(self, messages: Sequence[bytes], binary: bool) -> None:
        """Send several messages; Autobahn masks them."""
        send: Any = self.sendMessage  # Autobahn has no types
        for message in messages:
            send(message, binary)


_make_server_factory: Any = WebSocketServerFactory  # Autobahn has no types
_make_client_factory: Any = WebSocketClientFactory
_SHORT_HEAD = struct.Struct("!BBH").pack
_LONG_HEAD = struct.Struct("!BBQ").pack


def _configure(factory: Any, options: WebSocketOptions) -> None:
    factory.setProtocolOptions(
        openHandshakeTimeout=0,
        closeHandshakeTimeout=0,
        autoPingInterval=0,
        autoPingTimeout=0,
        failByDrop=False,  # the peer shall learn why
        maxFramePayloadSize=options.max_message,
        maxMessagePayloadSize=options.max_message,
        tcpNoDelay=True,
    )


def websocket_upgrade(
    accept: Callable[[Request], tuple[Core, LinkOwner] | None],
    *,
    clock: IReactorTime,
    options: WebSocketOptions = WebSocketOptions(),
    held: Budget | None = None,
) -> Callable[[ITransport, Request, bytes], None]:
    """What a `txbridge.net.http_server.HttpServerFactory` takes as its ``upgrade``.

    Any path, sub-protocol and origin is fine.

    Args:
        accept: Called with the request of each client; gives the core of its link and who owns it,
            or None when there is no room: the client is then answered 503.
        clock: For deadlines.
        options: Of every link.
        held: Counts the bytes of messages that are not complete; who gives way is cut off.
    """
    factory = _make_server_factory(reactor=clock)
    _configure(factory, options)
    factory.setProtocolOptions(webStatus=False, versions=[13])
    turn = Turn(clock)

    def upgrade(transport: Any, request: Request, data: bytes) -> None:
        made = accept(request)
        if made is None:
            transport.write(
                b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )
            transport.loseConnection()
            return
        core, owner = made
        protocol = _ServerProtocol()
        protocol.factory = factory
        protocol.link = WebSocketLink(core, owner, clock=clock, turn=turn, options=options, held=held)
        protocol.link.handshake.addErrback(lambda failure: failure.trap(BridgeError) and None)
        switch_protocol(transport, protocol, data)

    return upgrade


@deferred
async def connect_websocket(
    endpoint: IStreamClientEndpoint,
    url: str,
    core: Core,
    owner: LinkOwner,
    *,
    clock: IReactorTime,
    headers: Mapping[str, str] | None = None,
    protocols: Sequence[str] = (),
    connect_within: float = 30.0,
    options: WebSocketOptions = WebSocketOptions(ping_every=20.0, max_message=16 << 20),
) -> WebSocketLink:
    """Connect a core to a server over a WebSocket.

    Args:
        endpoint: Plain TCP, TLS, through a proxy: see `txbridge.net.endpoint.client_endpoint`.
        url: ``ws://host:port/path`` or ``wss://…``: what the handshake names.  The endpoint decides
            where the connection goes and whether it is TLS.
        core: Knows the protocol.
        owner: Gets its events; ``link_made`` is called before this fires.
        clock: For deadlines.
        headers: More headers of the handshake.
        protocols: Sub-protocols to offer.
        connect_within: Seconds to connect and shake hands.
        options: Of the link.

    Raises:
        ConfigError: ``url`` is no WebSocket URL.
        ConnectError: No connection could be made, or the server refused the handshake.
        TimedOut: Not within ``connect_within`` seconds.
    """
    try:
        _, host, port, *_ = parse_url(url)
        factory = _make_client_factory(
            url, protocols=list(protocols), headers=dict(headers or {}), useragent=None, reactor=clock
        )
    except Exception as error:  # Autobahn raises nothing narrower, and nothing is awaited here
        raise ConfigError([f"not a WebSocket URL: {error}"]) from error
    _configure(factory, options)
    factory.setProtocolOptions(serverConnectionDropTimeout=0)
    peer = f"{host}:{port}"
    protocol = _ClientProtocol()
    protocol.factory = factory
    link = protocol.link = WebSocketLink(core, owner, clock=clock, turn=Turn(clock), options=options)
    started = clock.seconds()
    await connected(endpoint, protocol, clock=clock, peer=peer, within=connect_within)
    rest = connect_within - (clock.seconds() - started)
    try:
        await with_deadline(clock, link.handshake, rest, operation=f"connect to {peer}", phase="connect")
    except ConnectionLost as error:
        raise ConnectError(peer, error.reason) from error
    return link
