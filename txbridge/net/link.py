"""What a sans-IO core, the shell that drives it and the owner of both say to each other.

A *core* knows a protocol and no I/O: bytes in, events out, messages to send, deadlines.  A *link*
is a connection that drives one: `txbridge.net.lines` over a byte stream, `txbridge.net.websocket`
over WebSocket messages.  The *owner* gets the core's events, calls its verbs, and then
`Link.flush`.

A link takes the next message from its core only when the transport has room, so what a slow peer
does not read waits in the core, which knows how to bound it, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from txbridge.errors import BridgeError

__all__ = ["Alarm", "Core", "Link", "LinkOwner"]


class Core(Protocol):
    """A protocol without I/O."""

    @property
    def wants_data(self) -> bool:
        """Whether more may be read; False makes the peer wait."""

    def receive_data(self, data: bytes) -> Sequence[Any]:
        """Take bytes of a stream, or one whole message; give the events they make."""

    def receive_eof(self, reason: str = ...) -> Sequence[Any]:
        """The connection is gone; give the last events."""

    def data_to_send(self) -> bytes:
        """The next message, ``b""`` when there is none for now."""

    def next_deadline(self) -> float | None:
        """When `handle_deadline` wants to be called, in the clock's seconds; None for never."""

    def handle_deadline(self, now: float) -> Sequence[Any]:
        """A deadline may have come; give the events of those that have."""


class Link(Protocol):
    """A connection that drives a core."""

    @property
    def peer(self) -> str:
        """The other end's address, ``""`` when it has none."""

    @property
    def here(self) -> str:
        """Our own address, ``""`` when we have none."""

    @property
    def secure(self) -> bool:
        """Whether it is TLS."""

    def flush(self) -> None:
        """Send what the core has, as far as the peer takes it; the rest follows by itself."""

    def pause(self) -> None:
        """Read nothing until `resume`."""

    def resume(self) -> None:
        """Read again."""

    def close(self, reason: str = "") -> None:
        """Close after everything the core has is sent, or some seconds later in any case."""

    def abort(self) -> None:
        """Close now."""


class LinkOwner(Protocol):
    """Who gets the events of a link's core."""

    def link_made(self, link: Link) -> None:
        """Called once, before any event."""

    def events_received(self, link: Link, events: Sequence[Any]) -> None:
        """Called with what the core made of bytes or of time; the link flushes afterwards."""

    def input_ended(self, link: Link) -> None:
        """Called when the peer sends nothing more but may still read; the owner closes the link."""

    def link_lost(self, link: Link, error: BridgeError) -> None:
        """Called once, after the core's last events; ``error`` says why."""


class Alarm:
    """One timer that is moved only when it would ring too late.

    It may ring too early: whoever is called looks at the time.  So a deadline that moves with
    every message costs no timer a message.
    """

    def __init__(self, clock: IReactorTime, ring: Callable[[], None]) -> None:
        self._clock = clock
        self._ring = ring
        self._call: IDelayedCall | None = None
        self._at = 0.0

    def set(self, when: float | None) -> None:
        """Ring no later than this, in the clock's seconds; None changes nothing."""
        if when is None or (self._call is not None and self._at <= when):
            return
        self._at = when
        delay = max(0.0, when - self._clock.seconds())
        if self._call is None:
            self._call = self._clock.callLater(delay, self._rung)
        else:
            self._call.reset(delay)

    def cancel(self) -> None:
        """Do not ring."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _rung(self) -> None:
        self._call = None
        self._ring()
