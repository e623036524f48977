"""The two ends of a route, and the queue between them: interfaces and the values they exchange.

A platform's ``adapter.py`` implements `Source` and `Sink`; nothing else of the relay is known to
it but the hand-over.  What an end can do is said by its `Capabilities`, which are data: the relay
compares them before anything flows (`txbridge.relay.plan`) and then gives a sink only what the
sink said it takes.

Responsibility moves at two moments and nowhere else: when `Outbox.append` fires, the outbox has
the batch and the source may be told so; when `Sink.deliver` fires with a `Receipt`, the other
platform has it and the outbox may forget it.  So delivery is at least once on the wire, and
effectively once in the history, because a point's identity is (stream, instant) and writing it
again changes nothing.

Whatever is not delivered is a `Loss`, and whoever causes one waits until the `Ledger` has it before
letting go of the data: nothing is lost that nobody wrote down.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import Enum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Protocol

from attrs import frozen

from txbridge.model.samples import Batch, Cursor, Gap, ValueType

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

__all__ = [
    "Capabilities",
    "DeadLetters",
    "Durability",
    "Ledger",
    "Loss",
    "LossKind",
    "OnFull",
    "Outbox",
    "OutboxState",
    "Pending",
    "PendingState",
    "Receipt",
    "Rejection",
    "Selection",
    "Sink",
    "Source",
    "Stamp",
    "Subscription",
]

ALL_VALUE_TYPES = frozenset(ValueType)


class LossKind(Enum):
    """Why something will not arrive as it came."""

    OVERFLOW = "overflow"
    """The outbox was full."""
    AGE = "age"
    """It waited longer than the outbox keeps anything."""
    REFUSED = "refused"
    """The destination refused it for good; the dead letters have it."""
    CONVERTED = "converted"
    """The destination has no form for it, and the route accepts that loss."""
    CORRUPTION = "corruption"
    """It could not be read back from the disk."""
    CLOCK = "clock"
    """Its instants were corrected, or refused, by the policy about clocks."""
    SOURCE = "source"
    """The source could not give it."""
    REMOVED = "removed"
    """The route has its destination no more."""
    STOPPED = "stopped"
    """The process ended, and what kept it does not outlive the process."""


@frozen
class Loss:
    """One line of the ledger.

    Attributes:
        destination: Who will not get it; ``""`` is every destination of the route.
        kind: Why.
        gap: What is lost, and the reason in words.  A stream ``"*"`` is one whose name is lost too.
    """

    destination: str
    kind: LossKind
    gap: Gap


class Ledger(Protocol):
    """Where every loss is written down."""

    def record(self, losses: Sequence[Loss]) -> Deferred[None]:
        """Write losses down; fires when they are as durable as the ledger makes them.

        Raises:
            OutboxError: They could not be written; the caller keeps the data and tries again.
        """


class DeadLetters(Protocol):
    """Where a destination's refused data is kept, so that it can be sent again."""

    def bury(self, destination: str, batch: Batch, reason: str) -> Deferred[None]:
        """Keep a batch with the destination's words; fires when it is durable.

        Raises:
            OutboxError: It could not be written; the caller keeps the data and tries again.
        """


@frozen(kw_only=True)
class Capabilities:
    """What one end of a route can do.  Of a source: what may come.  Of a sink: what it takes.

    Attributes:
        time_resolution_ns: The smallest difference of two instants: 1 for nanoseconds, 1000 for
            microseconds, …
        value_types: The types of values.
        not_numbers: Whether floats may be NaN or infinite.
        infinities: Whether floats may be infinite, even where they may not be NaN.
        several_columns: Whether a stream may have more than the one column ``"value"``.
        breaks: Whether interval breaks mean something.
        gaps: Whether `Gap` records do.
        infos: Whether `StreamInfo` descriptions do.
        notes: Whether annotations and events do.
        history: A source can be opened after a cursor of an earlier run and gives what happened
            since; a sink keeps every point, not only the latest of a stream.
        acknowledges: A source waits for `Subscription.settled`; a sink's receipt comes from the
            other platform and not from the local network stack.
        any_order: A sink may be given older rows of a stream after newer ones.
        local_clock: A source's instants come from the clock of this machine.
        max_batch_points: The most points in one batch, or None.
        max_batch_bytes: The most `Batch.nbytes` of one batch, or None.
    """

    time_resolution_ns: int = 1
    value_types: frozenset[ValueType] = ALL_VALUE_TYPES
    not_numbers: bool = True
    infinities: bool = False
    several_columns: bool = False
    breaks: bool = False
    gaps: bool = False
    infos: bool = False
    notes: bool = False
    history: bool = True
    acknowledges: bool = True
    any_order: bool = False
    local_clock: bool = False
    max_batch_points: int | None = None
    max_batch_bytes: int | None = None

    def __attrs_post_init__(self) -> None:
        for name in ("time_resolution_ns", "max_batch_points", "max_batch_bytes"):
            limit = getattr(self, name)
            if limit is not None and limit < 1:
                raise ValueError(f"{name} must be at least 1, not {limit}")


@frozen
class Selection:
    """Which streams of a source are wanted.

    Attributes:
        streams: Shell patterns of stream names (``*``, ``?``, ``[…]``); one must match.
    """

    streams: tuple[str, ...] = ("*",)

    def wants(self, stream: str) -> bool:
        """Whether a stream is wanted."""
        return any(fnmatchcase(stream, pattern) for pattern in self.streams)


class Subscription(Protocol):
    """An open flow from a source."""

    def next_batch(self) -> Deferred[Batch]:
        """The next batch, when there is one.  One reader at a time; cancelling loses nothing.

        Raises:
            Closed: The subscription was closed, or the source has come to its end: nothing more
                will come, and opening it again would give nothing.
            BridgeError: The flow broke.  The caller closes this subscription and opens another
                after the last settled cursor.
        """

    def settled(self, cursor: Cursor) -> None:
        """Everything up to this cursor is in the outbox; the source may forget or acknowledge it."""

    def close(self) -> Deferred[None]:
        """Stop the flow and let go of everything; fires when it is done.  Never fails."""


class Source(Protocol):
    """Where batches come from."""

    @property
    def capabilities(self) -> Capabilities:
        """What may come."""

    def open(self, selection: Selection, after: Cursor | None) -> Deferred[Subscription]:
        """Start a flow.

        Args:
            selection: The streams that are wanted.
            after: Where an earlier flow of this source had come to; None is "from now on", or
                from the start, whatever the source documents.

        Raises:
            BridgeError: It could not be opened; the advice says whether to try again.
        """


@frozen
class Rejection:
    """A block that a sink will never take.

    Attributes:
        block: The index of the block in the batch that was delivered.
        reason: The other platform's words.
    """

    block: int
    reason: str


@frozen
class Receipt:
    """The other platform has everything in the batch but the blocks that it rejected.

    Attributes:
        rejections: One per rejected block.
    """

    rejections: tuple[Rejection, ...] = ()


class Sink(Protocol):
    """Where batches go."""

    @property
    def capabilities(self) -> Capabilities:
        """What it takes.  It is never given anything else."""

    @property
    def skew(self) -> float | None:
        """How many seconds the platform's clock is ahead of this machine's; None when that is not known."""

    def deliver(self, batch: Batch) -> Deferred[Receipt]:
        """Write a batch.  The caller waits for the receipt before it delivers the next one.

        Blocks that the platform refuses for good are rejections in the receipt; an error speaks
        of the whole batch, and nothing is known about which part was written.  Descriptions in
        ``batch.infos`` come before the first points they are about, but not again after a
        restart: a sink takes points of a stream it was never told about.  An empty batch asks whether
        the platform is there: it changes nothing, and the skew may be known afterwards.

        Raises:
            TooLarge: The caller tries again with smaller batches.
            RateLimited: The caller waits at least ``retry_after``.
            BridgeError: Its advice says what the caller does.
        """

    def close(self) -> Deferred[None]:
        """Let go of connections; fires when it is done.  Never fails."""


class Durability(Enum):
    """What an accepted batch survives."""

    DISK = "disk"
    """A power cut: it is synced to the disk before `Outbox.append` fires."""
    OS = "os"
    """The end of this process, however sudden, but not of the machine: it is with the kernel."""
    NONE = "none"
    """Nothing: it is in the memory of this process."""


class OnFull(Enum):
    """What an outbox does with a batch that there is no room for."""

    BLOCK = "block"
    """`Outbox.append` waits, so the source is slowed down.  The slowest destination decides."""
    DROP_OLDEST = "drop_oldest"
    """What has waited longest and is not being sent right now makes room."""
    DROP_NEWEST = "drop_newest"
    """The new batch is not kept."""
    DECIMATE = "decimate"
    """Every second row of what has waited longest makes room: old data stays, more coarsely."""


@frozen
class Stamp:
    """When a batch was accepted, by the clocks of this machine.

    A wall clock may be wrong and be set right later; the difference to the clock that counts since the
    machine was started tells whether that happened.

    Attributes:
        wall_ns: Nanoseconds since 1970 as the wall clock had it.
        boot_ns: Nanoseconds since the machine was started.
        boot_id: Which start of the machine that was.
    """

    wall_ns: int
    boot_ns: int
    boot_id: str


@frozen
class Pending:
    """The next things for a destination.

    Attributes:
        since: What is here was accepted after this position …
        position: … up to this one.
        batch: What to deliver.
        stamp: When the first of it was accepted.  What was accepted while the wall clock was set
            otherwise by more than a second comes in a `Pending` of its own.
    """

    since: int
    position: int
    batch: Batch
    stamp: Stamp


@frozen
class PendingState:
    """What waits for one destination.

    Attributes:
        points: How many points were accepted and not settled.
        nbytes: What they take in the outbox.
        oldest_age: Seconds since the oldest of it was accepted, or None when nothing waits.
        dropped: How many points were dropped for this destination since the outbox was opened: because
            it was full, too old, or unreadable.
        live: Whether something was accepted after everything that is settled, so that a peek for the
            newest has something to give.
    """

    points: int = 0
    nbytes: int = 0
    oldest_age: float | None = None
    dropped: int = 0
    live: bool = False


@frozen
class OutboxState:
    """What an outbox holds.

    Attributes:
        points: How many points it keeps for all destinations together, each counted once.
        nbytes: What they take: on the disk, or in memory.
        blocked: Whether an `Outbox.append` waits for room.
        destinations: Name -> what waits for it.
        max_bytes: The cap on ``nbytes``.
        durability: What an accepted batch survives.
    """

    points: int
    nbytes: int
    blocked: bool
    destinations: Mapping[str, PendingState]
    max_bytes: int
    durability: Durability


class Outbox(Protocol):
    """The queue between a source and its destinations; `txbridge.relay.outbox` has the contract."""

    @property
    def destinations(self) -> tuple[str, ...]:
        """The names of those who read it, each at its own pace."""

    @property
    def cursor(self) -> Cursor | None:
        """The last cursor that was accepted: where the source goes on."""

    def append(self, batch: Batch, only: Collection[str] | None = None) -> Deferred[None]:
        """Accept a batch, its cursor with it; fires when it is the outbox's to lose.

        Args:
            batch: What to keep.
            only: The destinations that it is for; None is all of them.
        """

    def peek(
        self, destination: str, *, max_points: int, max_bytes: int, newest: bool = False
    ) -> Deferred[Pending]:
        """The oldest things that are not settled for a destination; waits until there are some.

        Args:
            destination: Who asks.
            max_points: About the most points to give.
            max_bytes: About the most `Batch.nbytes`.
            newest: Give what came last instead: what was accepted after everything that is settled,
                and of that only the end, if there is more than fits.
        """

    def settle(self, destination: str, pending: Pending) -> Deferred[None]:
        """The destination has this; it is not peeked again."""

    def state(self) -> OutboxState:
        """What it holds now."""

    def close(self) -> Deferred[None]:
        """Stop; everything that waits fails with `Closed`."""
