"""What a route is doing now, as frozen values that carry no secrets.

Everything here may be shown on a page, logged or scraped.  The figure to raise an alarm on is
`DestinationStatus.oldest_age`: whatever goes wrong between two platforms, it grows.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from attrs import fields, frozen, has

from txbridge.errors import BridgeError
from txbridge.relay.roles import Durability

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
        state: How it goes with the platform.
        state_age: For how many seconds it has gone like that.
        storage: How it goes with what is kept here for it: the outbox, the ledger, the dead letters.
            Nothing is let go of while one of them cannot be written.
        storage_error: What went wrong there last, or None.
        delivered: Points it has taken since the start.
        rejected: Points it will never take; the ledger and the dead letters have them.
        converted: Points that it has no form for, and whose loss the route accepts.
        clock_moved: Points whose instants were corrected.
        clock_refused: Points whose instants cannot be right; the dead letters have them.
        dropped: Points dropped because the outbox was full, or they were too old or unreadable.
        pending_points: Points that wait.
        pending_bytes: Their size in the outbox.
        oldest_age: Seconds that the oldest of them has waited, or None.
        stalled: Seconds without a step forward although something waits, or None when nothing does.
        last_success: When it took something last, in seconds since 1970, or None.
        retries: How often a delivery was tried again.
        last_error: What went wrong last, or None.
        batch_points: The most points that are delivered at once now.
        batch_bytes: The most bytes.
        paced: Whether a delivery waits for its turn at the account's pace.
        held: For how many seconds more the platform wants nothing; 0 when it said no such thing.
        skew: How many seconds its clock is ahead of this machine's, or None when that is not known.
    """

    name: str
    state: LinkState
    state_age: float
    storage: LinkState
    storage_error: str | None
    delivered: int
    rejected: int
    converted: int
    clock_moved: int
    clock_refused: int
    dropped: int
    pending_points: int
    pending_bytes: int
    oldest_age: float | None
    stalled: float | None
    last_success: float | None
    retries: int
    last_error: str | None
    batch_points: int
    batch_bytes: int
    paced: bool
    held: float
    skew: float | None

    def to_json(self) -> dict[str, Any]:
        """The same as members of a JSON object."""
        members: dict[str, Any] = _to_json(self)
        return members


@frozen(kw_only=True)
class RouteStatus:
    """A route.

    Attributes:
        name: The route's name.
        source: How it goes with the source.
        source_age: For how many seconds it has gone like that.
        source_error: What went wrong there last, or None.
        outbox: How it goes with the outbox, and with the ledger as far as the source's gaps go.
        outbox_error: What went wrong there last, or None.
        outbox_points: Points that the outbox keeps, each counted once.
        outbox_bytes: What they take.
        outbox_max_bytes: The cap on that.
        durability: What an accepted batch survives.
        received: Points that came from the source since the start, before the steps.
        last_received: When the last of them came, in seconds since 1970, or None.
        source_gaps: Gaps that the source has told of since the start.
        blocked: Whether the source waits because the outbox is full.
        destinations: In the order in which they were configured.
    """

    name: str
    source: LinkState
    source_age: float
    source_error: str | None
    outbox: LinkState
    outbox_error: str | None
    outbox_points: int
    outbox_bytes: int
    outbox_max_bytes: int
    durability: Durability
    received: int
    last_received: float | None
    source_gaps: int
    blocked: bool
    destinations: tuple[DestinationStatus, ...]

    def to_json(self) -> dict[str, Any]:
        """The same as members of a JSON object."""
        members: dict[str, Any] = _to_json(self)
        return members


def _to_json(status: Any) -> Any:
    if isinstance(status, Enum):
        return status.value
    if isinstance(status, tuple):
        return [_to_json(one) for one in status]
    if has(type(status)):
        return {one.name: _to_json(getattr(status, one.name)) for one in fields(type(status))}
    return status
