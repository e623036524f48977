"""A core and an owner for tests of the shells that drive them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from txbridge.errors import BridgeError
from txbridge.net.link import Link

__all__ = ["PlainCore", "Recorder"]


class PlainCore:
    """Gives what it is told to give; each piece it receives is an event."""

    def __init__(self, *messages: bytes) -> None:
        self.unsent = deque(messages)
        self.wants_data = True
        self.deadline: float | None = None
        self.rung: list[float] = []

    def receive_data(self, data: bytes) -> list[bytes | str]:
        """The event is the data."""
        return [data]

    def receive_eof(self, reason: str = "") -> list[bytes | str]:
        """The event says why."""
        return [f"eof: {reason}"]

    def data_to_send(self) -> bytes:
        """One message a call."""
        return self.unsent.popleft() if self.unsent else b""

    def next_deadline(self) -> float | None:
        """What the test set."""
        return self.deadline

    def handle_deadline(self, now: float) -> list[bytes | str]:
        """Once."""
        if self.deadline is None or now < self.deadline:
            return []
        self.deadline = None
        self.rung.append(now)
        return ["rung"]


class Recorder:
    """Remembers what its link told it; answers each piece of data with itself when it echoes."""

    def __init__(self, core: PlainCore, *, echo: bool = False) -> None:
        self.core = core
        self.echo = echo
        self.link: Any = None
        self.events: list[Any] = []
        self.error: BridgeError | None = None

    @property
    def data(self) -> bytes:
        """All the bytes that came."""
        return b"".join(event for event in self.events if isinstance(event, bytes))

    def link_made(self, link: Link) -> None:
        """Remember it."""
        assert self.link is None
        self.link = link

    def events_received(self, link: Link, events: Sequence[Any]) -> None:
        """Remember them."""
        assert link is self.link
        assert self.error is None
        self.events += events
        if self.echo:
            self.core.unsent.extend(event for event in events if isinstance(event, bytes))

    def input_ended(self, link: Link) -> None:
        """Close."""
        assert link is self.link
        self.link.close("the peer closed it")

    def link_lost(self, link: Link, error: BridgeError) -> None:
        """Remember why."""
        assert link is self.link
        assert self.error is None
        self.error = error
