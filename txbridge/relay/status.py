"""What a route is doing now, as frozen values that carry no secrets.

Everything here may be shown on a page, logged or scraped.  The figure to raise an alarm on is
`DestinationStatus.oldest_age`: whatever goes wrong between two platforms, it grows.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from attrs import frozen

from txbridge.errors import BridgeError

__all__ = ["DestinationStatus", "LinkState", "RouteStatus", "describe_error", "one_line"]

MAX_ERROR_TEXT = 300


class LinkState(Enum):
    """How it goes with one end of a route."""

    STARTING = "starting"
    """Nothing has worked or failed yet."""
    WORKING = "working"
    AWAY = "away"
    """It failed and is tried again with growing delays; it will return by itself."""
    NEEDS_ATTENTION = "needs_attention"
    """A person has to change something, such as a key; it is tried again now and then."""
    ENDED = "ended"
    """A source that has come to its end."""
    STOPPED = "stopped"


def describe_error(error: BaseException | None) -> str:
    """One short line about an error.

    Our own errors carry no secrets by design; of others only the class is told.
    """
    name = type(error).__name__
    if not isinstance(error, BridgeError):
        return name
    return one_line(f"{name}: {error}")


def one_line(text: str) -> str:
    """What a log line or a status has room for of a text that somebody else wrote."""
    line = " ".join(text.split())
    return line if len(line) <= MAX_ERROR_TEXT else line[: MAX_ERROR_TEXT - 1] + "…"


@frozen(kw_only=True)
class DestinationStatus:
    """One destination of a route.

    Attributes:
        name: The destination's name.
        state: How it goes.
        delivered: Points it has taken since the start.
        rejected: Points it will never take; the ledger has each of them.
        dropped: Points dropped because the outbox was full; the ledger has them too.
        pending_points: Points that wait.
        pending_bytes: Their size in the outbox.
        oldest_age: Seconds that the oldest of them has waited, or None.
        last_error: What went wrong last, or None.
    """

    name: str
    state: LinkState
    delivered: int
    rejected: int
    dropped: int
    pending_points: int
    pending_bytes: int
    oldest_age: float | None
    last_error: str | None

    def to_json(self) -> dict[str, Any]:
        """The same as members of a JSON object."""
        return {
            "name": self.name,
            "state": self.state.value,
            "delivered": self.delivered,
            "rejected": self.rejected,
            "dropped": self.dropped,
            "pending_points": self.pending_points,
            "pending_bytes": self.pending_bytes,
            "oldest_age": self.oldest_age,
            "last_error": self.last_error,
        }


@frozen(kw_only=True)
class RouteStatus:
    """A route.

    Attributes:
        name: The route's name.
        source: How it goes with the source.
        source_error: What went wrong there last, or None.
        outbox: How it goes with the outbox.
        outbox_error: What went wrong there last, or None.
        received: Points that came from the source since the start, before the steps.
        blocked: Whether the source waits because the outbox is full.
        destinations: In the order in which they were configured.
    """

    name: str
    source: LinkState
    source_error: str | None
    outbox: LinkState
    outbox_error: str | None
    received: int
    blocked: bool
    destinations: tuple[DestinationStatus, ...]

    def to_json(self) -> dict[str, Any]:
        """The same as members of a JSON object."""
        return {
            "name": self.name,
            "source": self.source.value,
            "source_error": self.source_error,
            "outbox": self.outbox.value,
            "outbox_error": self.outbox_error,
            "received": self.received,
            "blocked": self.blocked,
            "destinations": [destination.to_json() for destination in self.destinations],
        }
