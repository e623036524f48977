"""What every outbox does, whatever it keeps its records in: places, caps, policies, and who waits.

A `SegmentQueue` gives each batch a position and puts it on a `Shelf`.  A shelf keeps **segments**: runs of
records that come and go together.  The newest one is being written; when it is full another is begun.
Everything that makes room works on whole segments, which are about a 32nd of a cap: so an outbox forgets,
drops and thins in steps that cost the same whatever it holds, and the ledger gets one line per stream and
step and not one per batch.

One coroutine, `SegmentQueue._work`, does everything that changes the shelf, one thing after another:
commit what has gathered, begin a segment, forget what is settled, drop what must go.  Reading is beside
it, one read per destination, with a copy of what it needs to know.  A segment that is about to go is
*doomed*: reads that come back with something of it leave that out.

The order of things when something is dropped: the ledger has it, then the places say so, then the
segment goes.  Whatever fails in between leaves the data where it is.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from attrs import define, evolve, field, frozen
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txbridge.errors import BridgeError, Closed, DecodeError, OutboxError
from txbridge.model.samples import Batch, Cursor, Gap, StreamInfo
from txbridge.net.deferred import deferred
from txbridge.relay.positions import Positions
from txbridge.relay.roles import (
    Durability,
    Ledger,
    Loss,
    LossKind,
    OnFull,
    OutboxState,
    Pending,
    PendingState,
    Stamp,
)
from txbridge.relay.segments import (
    Addressees,
    Head,
    Index,
    PlaceOf,
    Places,
    Span,
    Total,
    merge_spans,
    missing_of,
)
from txbridge.relay.thinning import Thinning
from txbridge.relay.worker import Worker

__all__ = [
    "Caps",
    "Content",
    "Item",
    "Reader",
    "Segment",
    "SegmentGone",
    "SegmentQueue",
    "Shelf",
    "ShelfFull",
]

FULL = "the outbox was full"
TOO_OLD = "it waited too long in the outbox"
THINNED = "the outbox was full: every second row"
UNREADABLE = "it could not be read back from the outbox"
REMOVED = "its destination was taken out of the route"

PARTS = 32  # of a cap in a segment, so that a drop takes no more than that
MAX_GROUP = 4 << 20  # bytes in one commit
MAX_ITEMS = 1000  # in one commit
TICK = 5.0  # seconds: how late a settle may reach the disk, or something too old be noticed
MAX_MERGED = 64 << 10  # bytes of records that become one when they are thinned
MOST_THINNED = 6  # times; one row in 64 is left then

Content = bytes | Batch
"""What a record has, as its shelf gives it."""

NEVER = Stamp(0, 0, "")
"""When something was accepted of which that is not known."""


class ShelfFull(OutboxError):
    """The disk has no room, though the caps would allow it."""


class SegmentGone(OutboxError):
    """A segment cannot be read at all, and never will be."""


@frozen
class Item:
    """A batch that is ready to be written.

    Attributes:
        head: Its head; whoever writes it gives it its position.
        batch: The batch.
        content: What the shelf made of both: the rest of the head and the body, or nothing.
    """

    head: Head
    batch: Batch
    content: tuple[bytes, bytes] = (b"", b"")


@define(eq=False)
class Segment:
    """A run of records that come and go together.

    Attributes:
        first: The first position that it can have.
        last: The last position that it has.
        generation: How often it was thinned.
        begun: When its first record was accepted.
        ended: When its last one was.
        used: The bytes of its records, and what comes before them.
        room: The bytes that there are for them.
        nbytes: What it takes of the cap.
        points: How many it has, whoever needs them.
        pending: What each destination has not settled of it.
        kept: How many of its points somebody needs.
        sealed: Whether nothing more will be written to it.
        doomed: Whether it is about to go.
        thinnest: Whether thinning it would not make it smaller.
    """

    first: int
    last: int
    room: int
    used: int = 0
    nbytes: int = 0
    generation: int = 0
    begun: Stamp = NEVER
    ended: Stamp = NEVER
    points: int = 0
    pending: dict[str, Total] = field(factory=dict)
    kept: int = 0
    sealed: bool = False
    doomed: bool = False
    thinnest: bool = False

    @property
    def needed(self) -> bool:
        """Whether a destination has not settled all of it."""
        return any(total.records for total in self.pending.values())


class Shelf(Protocol):
    """Where segments are.  What blocks is called in the queue's threads, and fails with `OutboxError`."""

    @property
    def durability(self) -> Durability:
        """What it survives."""

    def measure(self, batch: Batch, only: Addressees, stamp: Stamp) -> Item:
        """Make a batch ready; called in the reactor's thread."""

    def cost(self, item: Item, active: Segment | None) -> int:
        """How much of the cap the item takes; called in the reactor's thread.

        Args:
            item: What would be written.
            active: The segment that it would be written to, or None for one that must be begun.
        """

    def growth(self, active: Segment) -> int:
        """How much more of the cap the active segment takes, at most, once it is sealed."""

    def begin(self, first: int, item: Item) -> Segment:
        """Begin a segment that has at least the room for this item.

        Raises:
            ShelfFull: The disk has no room for it.
        """

    def write(self, segment: Segment, items: Sequence[Item], first: int) -> int:
        """Write records with the positions from ``first`` on, all of them or none.

        Returns:
            How much more of the cap that takes.

        Raises:
            OutboxError: Nothing was written, and nothing may be written to this segment any more.
        """

    def seal(self, segment: Segment) -> int:
        """Nothing more will be written to it; gives what it takes of the cap from now on."""

    def remove(self, segments: Sequence[Segment]) -> None:
        """Let go of segments."""

    def index(self, segment: Segment) -> Index:
        """Where the records of a segment are.

        Raises:
            SegmentGone: The segment cannot be read at all.
            OutboxError: It cannot be read now.
        """

    def records(self, segment: Segment, after: int = 0) -> Iterator[tuple[Head, Content]]:
        """The records of a segment beyond a position; damaged heads are among them.

        Raises:
            SegmentGone: The segment cannot be read at all.
            OutboxError: It cannot be read now.
        """

    def open(self, head: Head, content: Content) -> Batch:
        """The batch of a record.

        Raises:
            DecodeError: It is damaged.
        """

    def spans(self, segment: Segment) -> Mapping[str, Span]:
        """What a segment has of each stream, as far as that is known; for one that cannot be read."""

    def rewrite(self, segment: Segment, items: Sequence[tuple[int, Item]]) -> Segment:
        """Write a segment of the next generation with these positions and items, sealed, beside the old one.

        Raises:
            ShelfFull: The disk has no room for it.
        """

    def replace(self, old: Segment, new: Segment) -> None:
        """Put what was rewritten in the place of what it was."""

    def save(self, places: Places) -> None:
        """Write the places down."""

    def close(self) -> None:
        """Let go of everything."""


@frozen(kw_only=True)
class Caps:
    """How much an outbox keeps.

    Attributes:
        max_bytes: The most bytes.
        max_points: The most points, or None.
        max_age: The most seconds since something was accepted, or None.
        on_full: What happens to a batch that there is no room for.
    """

    max_bytes: int
    max_points: int | None = None
    max_age: float | None = None
    on_full: OnFull = OnFull.BLOCK

    def __attrs_post_init__(self) -> None:
        if self.max_bytes < 1 or (self.max_points is not None and self.max_points < 1):
            raise ValueError(
                f"an outbox of {self.max_points} points and {self.max_bytes} bytes keeps nothing"
            )
        if self.max_age is not None and not self.max_age > 0:
            raise ValueError(f"an outbox that keeps nothing longer than {self.max_age} s keeps nothing")


@define(eq=False)
class _Append:
    """A batch that waits, or is being written; whoever gave up waiting for that is told nothing."""

    item: Item
    done: Deferred[None]

    def accept(self) -> None:
        if not self.done.called:
            self.done.callback(None)

    def fail(self, error: BridgeError) -> None:
        if not self.done.called:
            self.done.errback(error)


@define(eq=False)
class _Ask:
    """A peek that waits."""

    max_points: int
    max_bytes: int
    newest: bool
    done: Deferred[Pending]


@frozen(eq=False)
class _Peeked:
    """What the last peek of a lane gave, until it is settled."""

    newest: bool
    pending: Pending
    heads: Sequence[Head]
    told: Batch
    following: Stamp | None

    def gave(self, pending: Pending) -> bool:
        return self.pending.since <= pending.since and pending.position <= self.pending.position

    def touches(self, segment: Segment) -> bool:
        index = bisect_right(self.heads, segment.first - 1, key=lambda head: head.position)
        return index < len(self.heads) and self.heads[index].position <= segment.last


@define(eq=False)
class Reader:
    """A destination's place, and what comes with its next peek."""

    name: str
    settled: Positions = field(factory=Positions)
    records: int = 0
    points: int = 0
    nbytes: int = 0
    dropped: int = 0
    latest: int = 0  # the last position that was for it
    oldest: Stamp | None = None  # of what it has not settled, where that is known
    gaps: dict[str, Gap] = field(factory=dict)
    infos: dict[str, StreamInfo] = field(factory=dict)
    lanes: dict[bool, _Peeked] = field(factory=dict)
    ask: _Ask | None = None
    reading: bool = False

    def has(self, newest: bool) -> bool:
        """Whether a peek has something to give."""
        return bool(self.gaps or self.infos) or (self.live if newest else self.records > 0)

    @property
    def live(self) -> bool:
        return self.latest > self.settled.last

    def told(self) -> Batch:
        return Batch((), tuple(self.gaps.values()), tuple(self.infos.values()))

    def remember(self, gaps: Iterable[Gap], infos: Iterable[StreamInfo]) -> None:
        for gap in gaps:
            known = self.gaps.get(gap.stream)
            self.gaps[gap.stream] = gap if known is None else known.merge(gap)
        self.infos.update((info.name, info) for info in infos)

    def forget(self, told: Batch) -> None:
        for gap in told.gaps:
            if self.gaps.get(gap.stream) is gap:
                del self.gaps[gap.stream]
        for info in told.infos:
            if self.infos.get(info.name) is info:
                del self.infos[info.name]

    def count(self, records: int, points: int, nbytes: int) -> None:
        self.records += records
        self.points += points
        self.nbytes += nbytes

    def is_sending(self, segment: Segment) -> bool:
        return any(peeked.touches(segment) for peeked in self.lanes.values())


@define
class _Account:
    """What one destination loses when a segment, or a part of it, goes."""

    spans: dict[str, Span] = field(factory=dict)
    gaps: list[Gap] = field(factory=list)  # of notes, and of what has no name any more
    rest: list[Batch] = field(factory=list)  # gaps and descriptions, which are never lost

    def lost(self, reason: str) -> list[Gap]:
        return [*(span.gap(reason) for span in self.spans.values()), *self.gaps]


@define
class _Group:
    """Records that are written as one when a segment is thinned; whoever needs one of them needs all."""

    first: Head
    concerned: Sequence[str]
    position: int = 0
    size: int = 0
    batches: list[Batch] = field(factory=list)

    def takes(self, head: Head, concerned: Sequence[str]) -> bool:
        return (
            self.concerned == concerned
            and self.first.only == head.only
            and _same_clock(self.first.stamp, head.stamp)
            and self.size + head.size <= MAX_MERGED
        )

    def add(self, head: Head, batch: Batch) -> None:
        self.position = head.position
        self.size += head.size
        self.batches.append(batch)


@define
class _Found:
    """What a read came back with."""

    entries: list[tuple[Segment, Head, Batch]] = field(factory=list)
    damaged: list[tuple[Segment, Head]] = field(factory=list)
    gone: list[Segment] = field(factory=list)
    following: Stamp | None = None
    since: int = 0


def _same_clock(one: Stamp, other: Stamp) -> bool:
    difference = (one.wall_ns - one.boot_ns) - (other.wall_ns - other.boot_ns)
    return one.boot_id == other.boot_id and abs(difference) < 1_000_000_000


class SegmentQueue:
    """An `Outbox` over a shelf.

    Args:
        shelf: Where the records go.
        destinations: The names of those who read it.
        clock: For what happens now and then.
        stamp: Tells when it is.
        caps: How much it keeps.
        ledger: Told of each loss, and waited for; or None.
        writer: Does what changes the shelf.
        reader: Reads.
        cursor: Where the source goes on, if nothing else says so.
    """

    _log = Logger()

    def __init__(
        self,
        shelf: Shelf,
        destinations: Sequence[str],
        clock: IReactorTime,
        *,
        stamp: Callable[[], Stamp],
        caps: Caps,
        ledger: Ledger | None,
        writer: Worker,
        reader: Worker,
        cursor: Cursor | None = None,
    ) -> None:
        if not destinations or len(set(destinations)) != len(destinations):
            raise ValueError(f"an outbox needs destinations with different names, not {list(destinations)}")
        self._shelf = shelf
        self._readers = {name: Reader(name) for name in destinations}
        self._removed: dict[str, Reader] = {}
        self._clock = clock
        self._stamp = stamp
        self._caps = caps
        self._ledger = ledger
        self._writing = writer
        self._reading = reader
        self._cursor = cursor
        self._segments: list[Segment] = []
        self._active: Segment | None = None
        self._last = 0
        self._points = 0
        self._nbytes = 0
        self._places_number = 0
        self._unsaved = False
        self._owed: list[Loss] = []  # what the ledger has yet to be told
        self._appends: deque[_Append] = deque()
        self._committing: list[_Append] = []
        self._working = False
        self._woken = False
        self._idle: list[Deferred[None]] = []
        self._closed = False
        self._closing: Deferred[None] | None = None
        self._due = False
        self._segment_points = None if caps.max_points is None else max(1, caps.max_points // PARTS)
        self._segment_age = None if caps.max_age is None else caps.max_age / PARTS
        self._tick: IDelayedCall | None = None
        if self._is_durable or caps.max_age is not None:
            self._tick = clock.callLater(TICK, self._on_tick)

    # What an outbox is.

    @property
    def destinations(self) -> tuple[str, ...]:
        """The names of those who read it."""
        return tuple(self._readers)

    @property
    def cursor(self) -> Cursor | None:
        """The last cursor that was accepted."""
        return self._cursor

    def append(self, batch: Batch, only: Collection[str] | None = None) -> Deferred[None]:
        """Accept a batch; waits for room with `OnFull.BLOCK`, and cancelling then appends nothing.

        Raises:
            Closed: The outbox was closed.
            OutboxError: It could not be written, or what would make room for it could not.
            EncodeError: It has something in it that cannot be written.
            KeyError: There is no such destination.
        """
        if self._closed:
            return fail(Closed("the outbox"))
        addressees = None if only is None else frozenset(only)
        for name in addressees or ():
            self._readers[name]
        stamp = self._stamp()
        if addressees is not None:
            stamp = evolve(stamp, boot_id="")  # it is from another time than now
        try:
            item = self._shelf.measure(batch, frozenset() if batch.empty else addressees, stamp)
        except BridgeError as error:
            return fail(error)
        done: Deferred[None] = Deferred(self._give_up_append)
        self._appends.append(_Append(item, done))
        self._wake()
        return done

    def peek(
        self, destination: str, *, max_points: int, max_bytes: int, newest: bool = False
    ) -> Deferred[Pending]:
        """The oldest things that are not settled for a destination, or the newest.

        Raises:
            Closed: The outbox was closed.
            OutboxError: Something could not be read, or the ledger could not be told of it; ask again.
            RuntimeError: The peek before this one has not fired.
            KeyError: There is no such destination.
        """
        reader = self._readers[destination]
        if self._closed:
            return fail(Closed("the outbox"))
        if reader.ask is not None:
            return fail(RuntimeError(f"{destination!r} is waiting for its peek already"))

        def give_up(_: Deferred[Pending]) -> None:
            reader.ask = None

        done: Deferred[Pending] = Deferred(give_up)
        reader.ask = _Ask(max_points, max_bytes, newest, done)
        self._serve(reader)
        return done

    def settle(self, destination: str, pending: Pending) -> Deferred[None]:
        """The destination has this; fires at once, and is written down before what it was is forgotten.

        Raises:
            ValueError: It is not what the last peek gave.
            KeyError: There is no such destination.
        """
        reader = self._readers[destination]
        peeked = next((one for one in reader.lanes.values() if one.gave(pending)), None)
        if peeked is None:
            if pending.position > pending.since and reader.settled.has_all(
                pending.since + 1, pending.position
            ):
                return succeed(None)
            return fail(ValueError(f"{destination!r} has not peeked what comes up to {pending.position}"))
        for head in peeked.heads:
            if pending.since < head.position <= pending.position:
                self._settle_one(reader, head)
        reader.settled.add(pending.since + 1, pending.position)
        if pending.position == peeked.pending.position:
            reader.forget(peeked.told)
            del reader.lanes[peeked.newest]
            if not peeked.newest:
                reader.oldest = peeked.following
        if reader.records == 0:
            reader.oldest = None
        self._unsaved = True
        self._wake()
        return succeed(None)

    def state(self) -> OutboxState:
        """What it holds now."""
        now = self._stamp()
        pending = {
            name: PendingState(
                reader.points, reader.nbytes, self._oldest_age(reader, now), reader.dropped, reader.live
            )
            for name, reader in self._readers.items()
        }
        blocked = self._caps.on_full is OnFull.BLOCK and bool(self._appends) and not self._could_begin()
        return OutboxState(
            self._points, self._nbytes, blocked, pending, self._caps.max_bytes, self._shelf.durability
        )

    def close(self) -> Deferred[None]:
        """Stop: finish what is being written, write the places down, and let go of everything."""
        if self._closing is None:
            self._closing = self._close()
            self._closing.addErrback(lambda failure: failure.trap(BridgeError) and None)
        done: Deferred[None] = Deferred()
        self._closing.addCallback(lambda _: None if done.called else done.callback(None))
        return done

    @deferred
    async def _close(self) -> None:
        self._closed = True
        if self._tick is not None:
            self._tick.cancel()
        self._turn_away()
        for reader in self._readers.values():
            ask, reader.ask = reader.ask, None
            if ask is not None:
                ask.done.errback(Closed("the outbox"))
        if self._working:
            idle: Deferred[None] = Deferred()
            self._idle.append(idle)
            await idle
            self._turn_away()  # a write that failed may have put something back
        try:
            await self._last_words()
        except BridgeError as error:
            self._log.warn("an outbox was not closed in order: {error}", error=str(error))
        await self._writing.run(self._shelf.close)
        await self._reading.close()
        await self._writing.close()

    def _turn_away(self) -> None:
        while self._appends:
            self._appends.popleft().fail(Closed("the outbox"))

    async def _last_words(self) -> None:
        if self._active is not None:
            await self._retire(self._active)
        await self._save()

    # Appending.

    def _give_up_append(self, done: Deferred[None]) -> None:
        self._appends = deque(one for one in self._appends if one.done is not done)
        self._wake()

    def _wake(self) -> None:
        """Go on working; called whenever there may be something to do."""
        self._woken = True
        if not self._working:
            self._working = True
            self._work().addErrback(self._broke)

    def _broke(self, failure: Failure) -> None:
        """Nobody foresaw this: whoever waits is told, and may ask again."""
        self._log.failure("an outbox broke", failure)
        group, self._committing = [*self._committing, *self._appends], []
        self._appends.clear()
        for append in group:
            append.fail(OutboxError(f"the outbox broke: {failure.getErrorMessage()}"))

    def _broke_reading(self, failure: Failure, reader: Reader) -> None:
        self._log.failure("an outbox broke", failure)
        ask, reader.ask = reader.ask, None
        if ask is not None:
            ask.done.errback(OutboxError(f"the outbox broke: {failure.getErrorMessage()}"))

    @deferred
    async def _work(self) -> None:
        try:
            while self._woken:
                self._woken = False  # whoever wakes while a step waits wants another one
                while await self._step():
                    pass
        finally:
            self._working = False
            waiting, self._idle = self._idle, []
            for idle in waiting:
                idle.callback(None)

    async def _step(self) -> bool:
        """Do one thing, and say whether there may be more to do."""
        if self._closed:
            return False
        if self._due:  # first, or a source that never pauses would put it off for ever
            self._due = False
            await self._tidy()
            return True
        if self._appends:
            group = self._gather()
            if group:
                await self._commit(group)
                return True
            append = self._appends[0]
            try:
                if await self._make_room(append):
                    return True
            except BridgeError as error:
                self._fail([append], error)
                return True
        if self._settled_segments():
            try:
                await self._forget()
            except BridgeError as error:
                self._log.debug("an outbox cannot forget: {error}", error=str(error))
            else:
                return True
        return False

    async def _tidy(self) -> None:
        """Let go of what is too old, and save the places; nobody waits for this."""
        try:
            await self._expire()
            if self._unsaved:
                await self._save()
        except BridgeError as error:  # it is tried again at the next tick, and the data stays until then
            self._log.debug("an outbox cannot tidy up: {error}", error=str(error))

    def _on_tick(self) -> None:
        self._tick = self._clock.callLater(TICK, self._on_tick)
        self._due = True
        self._wake()

    def _gather(self) -> list[_Append]:
        """Take what can be written to the active segment now."""
        group: list[_Append] = []
        size = points = 0
        active = self._active
        while self._appends and len(group) < MAX_ITEMS and size < MAX_GROUP:
            head = self._appends[0].item.head
            if self._has_no_record(self._appends[0].item):
                if group:
                    break
                return [self._appends.popleft()]
            if active is None or not self._fits(active, head, size, points):
                break
            if not self._has_room(self._appends[0].item, active, size, points):
                break
            size += head.size
            points += head.points
            group.append(self._appends.popleft())
        return group

    def _has_no_record(self, item: Item) -> bool:
        """Whether nothing has to be written for it: it is empty, or only a cursor that nothing outlives."""
        if not item.batch.empty:
            return False
        return item.batch.cursor is None or not self._is_durable

    def _fits(self, active: Segment, head: Head, size: int, points: int) -> bool:
        """Whether the active segment takes it, besides what was taken for it already."""
        if active.used + size + head.size > active.room:
            return False
        already = active.points + points
        if self._segment_points is not None and already and already + head.points > self._segment_points:
            return False
        if self._segment_age is not None and active.points + points:
            return self._age(active.begun, head.stamp) <= self._segment_age
        return True

    def _has_room(self, item: Item, active: Segment | None, size: int, points: int) -> bool:
        if not points and not size and self._keeps_nothing:
            return True
        most = self._caps.max_points
        if most is not None and item.head.points and self._points + points + item.head.points > most:
            return False
        cost = self._cost(item, active)
        reserve = self._reserve if active is None else 0
        return cost == 0 or self._nbytes + (size if active else 0) + cost + reserve <= self._caps.max_bytes

    def _cost(self, item: Item, active: Segment | None) -> int:
        """How much of the cap an item takes, with what it costs to seal the segment before it."""
        cost = self._shelf.cost(item, active)
        if active is None and self._active is not None:
            cost += self._shelf.growth(self._active)
        return cost

    @property
    def _is_durable(self) -> bool:
        return self._shelf.durability is not Durability.NONE

    @property
    def _reserve(self) -> int:
        """Bytes that thinning needs while a segment is there twice."""
        if self._caps.on_full is not OnFull.DECIMATE or not self._is_durable:
            return 0
        return max((segment.nbytes for segment in self._segments), default=0)

    @property
    def _keeps_nothing(self) -> bool:
        return all(reader.records == 0 for reader in self._readers.values())

    async def _commit(self, group: list[_Append]) -> None:
        items = [append.item for append in group]
        active = self._active
        if active is None or self._has_no_record(items[0]):  # then it is alone
            self._accept_cursor(items[0], self._last)
            group[0].accept()
            return
        first = self._last + 1
        self._committing = group
        try:
            cost = await self._writing.run(lambda: self._shelf.write(active, items, first))
        except BridgeError as error:
            await self._retire(active)
            if isinstance(error, ShelfFull) and self._caps.on_full in (OnFull.DROP_OLDEST, OnFull.DECIMATE):
                victim = next(self._droppable(), None)
                if victim is not None:
                    self._appends.extendleft(reversed(group))
                    self._committing = []
                    try:
                        await self._drop([victim], LossKind.OVERFLOW, FULL)
                        await self._forget()
                    except BridgeError as also:
                        self._fail(group, also)
                    return
            self._fail(group, error)
            return
        self._count_in(active, items)
        active.nbytes += cost
        self._nbytes += cost
        self._committing = []
        for append in group:
            append.accept()
        for reader in list(self._readers.values()):
            self._serve(reader)

    def _fail(self, group: Sequence[_Append], error: BridgeError) -> None:
        self._committing = []
        for append in group:
            if append in self._appends:
                self._appends.remove(append)
            append.fail(error if isinstance(error, OutboxError) else OutboxError(str(error)))

    def _accept_cursor(self, item: Item, position: int) -> None:
        """An item has this position, or comes after it without one."""
        if item.batch.cursor is not None:
            self._cursor = item.batch.cursor

    def _count_in(self, segment: Segment, items: Sequence[Item]) -> None:
        for item in items:
            head = item.head
            self._last += 1
            if segment.used == 0 or not segment.pending:
                segment.begun = head.stamp
            segment.ended = head.stamp
            segment.last = self._last
            segment.used += head.size
            segment.points += head.points
            self._accept_cursor(item, self._last)
            needed = False
            for reader in self._readers.values():
                total = segment.pending.setdefault(reader.name, Total())
                if not head.is_for(reader.name):
                    continue
                needed = True
                total.add(1, head.points, head.size)
                if reader.records == 0:
                    reader.oldest = head.stamp
                reader.count(1, head.points, head.size)
                reader.latest = self._last
                for newest, peeked in reader.lanes.items():
                    if peeked.following is None:
                        reader.lanes[newest] = evolve(peeked, following=head.stamp)
            if needed:
                segment.kept += head.points
                self._points += head.points

    def _target(self, item: Item) -> Segment | None:
        """The segment that an item would go to, or None for a new one."""
        active = self._active
        return active if active is not None and self._fits(active, item.head, 0, 0) else None

    def _could_begin(self) -> bool:
        """Whether there is room for what waits first."""
        item = self._appends[0].item
        return self._has_room(item, self._target(item), 0, 0)

    async def _make_room(self, append: _Append) -> bool:
        """Begin a segment for it, or make room for that; whether something has changed."""
        item = append.item
        active = self._target(item)
        if self._has_room(item, active, 0, 0):
            await self._begin(item)
            return True
        if self._settled_segments():
            await self._forget()
            return True
        if item.batch.empty:  # a cursor: the places have room for it
            await self._refuse([self._appends.popleft()])
            return True
        if self._caps.on_full is OnFull.BLOCK:
            return False
        if self._caps.on_full is OnFull.DECIMATE and await self._thin():
            return True
        if self._caps.on_full is not OnFull.DROP_NEWEST:
            victims = self._victims(item, active)
            if victims:
                await self._drop(victims, LossKind.OVERFLOW, FULL)
                await self._forget()
                return True
        await self._refuse(self._take_refused())
        return True

    async def _begin(self, item: Item) -> None:
        """Begin the segment that an item goes to."""
        if self._active is not None:
            await self._retire(self._active)
        if self._settled_segments():
            await self._forget()
        first = self._last + 1
        while True:
            try:
                segment = await self._writing.run(lambda: self._shelf.begin(first, item))
                break
            except ShelfFull:
                victim = next(self._droppable(), None)
                if victim is None or self._caps.on_full not in (OnFull.DROP_OLDEST, OnFull.DECIMATE):
                    raise
                await self._drop([victim], LossKind.OVERFLOW, FULL)
                await self._forget()
        self._segments.append(segment)
        self._nbytes += segment.nbytes
        self._active = segment
        if self._is_durable:
            # Should the segment be deleted before anything else says what is in it, this says that it was:
            # in both files of the places, so that one of them may be damaged too.
            await self._save()
            await self._save()

    async def _retire(self, segment: Segment) -> None:
        """Write no more to a segment."""
        if segment is self._active:
            self._active = None
        nbytes = await self._writing.run(lambda: self._shelf.seal(segment))
        self._nbytes += nbytes - segment.nbytes
        segment.nbytes = nbytes
        segment.sealed = True

    def _droppable(self) -> Iterator[Segment]:
        """Segments that may be dropped, the oldest first."""
        for segment in self._segments:
            if segment.needed and not any(one.is_sending(segment) for one in self._readers.values()):
                yield segment

    def _victims(self, item: Item, active: Segment | None) -> list[Segment]:
        """The oldest segments that nobody is being sent, if dropping them makes the item fit."""
        victims: list[Segment] = []
        most = self._caps.max_points
        points = 0 if most is None else self._points + item.head.points - most
        nbytes = self._nbytes + self._cost(item, active) - self._caps.max_bytes
        for segment in self._droppable():
            victims.append(segment)
            points -= segment.kept
            nbytes -= segment.nbytes
            if points <= 0 and nbytes <= 0:
                return victims
        # Not even all of them are enough, unless nothing else is kept: see the contract.
        return victims if len(victims) == sum(segment.needed for segment in self._segments) else []

    def _take_refused(self) -> list[_Append]:
        """What waits and has no room."""
        group: list[_Append] = []
        while self._appends and len(group) < MAX_ITEMS:
            item = self._appends[0].item
            if self._has_no_record(item) or (group and self._has_room(item, self._active, 0, 0)):
                break
            group.append(self._appends.popleft())
        return group

    async def _refuse(self, group: list[_Append]) -> None:
        """Do not keep what there is no room for; its cursor, gaps and descriptions are kept all the same."""
        self._committing = group
        losses: list[Loss] = []
        told: list[tuple[Reader, list[Gap], Batch]] = []
        for append in group:
            item = append.item
            gaps = item.batch.lost(FULL)
            for reader in self._readers.values():
                if item.head.is_for(reader.name):
                    losses.extend(Loss(reader.name, LossKind.OVERFLOW, gap) for gap in gaps)
                    told.append((reader, gaps, item.batch))
        try:
            await self._record(losses)
        except BridgeError as error:
            self._fail(group, error)
            return
        for reader, gaps, batch in told:
            reader.remember([*batch.gaps, *gaps], batch.infos)
            reader.dropped += batch.points
        before = self._cursor
        for append in group:
            self._accept_cursor(append.item, self._last)
        self._unsaved = True
        try:
            await self._save()
        except BridgeError as error:
            self._cursor = before
            self._fail(group, error)
            return
        self._committing = []
        for append in group:
            append.accept()
        for reader in list(self._readers.values()):
            self._serve(reader)

    # Letting go.

    async def _record(self, losses: Sequence[Loss]) -> None:
        if losses and self._ledger is not None:
            await self._ledger.record(losses)

    async def _drop(self, segments: Sequence[Segment], kind: LossKind, reason: str) -> None:
        """Drop what anybody still needs of segments.

        Raises:
            BridgeError: The ledger could not be told; nothing was dropped.
        """
        told = False
        for segment in segments:
            segment.doomed = True
        try:
            for segment in segments:
                if segment is self._active:
                    await self._retire(segment)
            needs = {name: reader.settled.copy() for name, reader in self._readers.items()}
            accounts = await self._writing.run(
                lambda: [self._account(segment, needs, reason) for segment in segments]
            )
            losses = [
                Loss(name, kind, gap)
                for account in accounts
                for name, one in account.items()
                for gap in one.lost(reason)
            ]
            await self._record(losses)
            told = True
        finally:
            for segment in segments:
                segment.doomed = told
            for reader in list(self._readers.values()):
                self._serve(reader)
        for segment, account in zip(segments, accounts, strict=True):
            for name, one in account.items():
                reader = self._readers[name]
                for batch in one.rest:
                    reader.remember(batch.gaps, batch.infos)
                reader.remember(one.lost(reason), ())
            self._let_go(segment)
        self._unsaved = True
        for reader in list(self._readers.values()):
            self._serve(reader)

    def _let_go(self, segment: Segment) -> None:
        """Nobody needs a segment any more; what somebody did is dropped."""
        for reader in self._readers.values():
            total = segment.pending.get(reader.name)
            if total is not None and total.records:
                reader.dropped += total.points
                reader.count(-total.records, -total.points, -total.nbytes)
                reader.oldest = None
            reader.settled.add(segment.first, segment.last)
        segment.pending = {}
        self._points -= segment.kept
        segment.kept = 0

    def _account(self, segment: Segment, needs: Mapping[str, Positions], reason: str) -> dict[str, _Account]:
        """Count what each destination needs of a segment.  Runs in a thread."""
        accounts = {name: _Account() for name in needs}
        damaged: list[Head] = []
        readable: list[Sequence[Span]] = []
        try:
            for head, content in self._shelf.records(segment):
                if head.damaged:
                    damaged.append(head)
                    continue
                readable.append(head.spans)
                concerned = [
                    name for name, settled in needs.items()
                    if head.is_for(name) and not head.is_in(settled)
                ]  # fmt: skip
                if not concerned:
                    continue
                try:
                    batch = self._shelf.open(head, content) if head.extras else None
                except DecodeError:
                    batch = None
                for name in concerned:
                    merge_spans(head.spans, accounts[name].spans)
                    if batch is not None:
                        _add_extras(accounts[name], batch, reason)
        except SegmentGone:
            accounts = {name: _Account() for name in needs}
            damaged, readable = [_whole(segment)], []
        for name, settled in needs.items():
            unread = [head for head in damaged if head.is_for(name) and not head.is_in(settled)]
            if unread:
                spans = missing_of(self._shelf.spans(segment), readable)
                _add_unread(accounts[name], segment, spans, _all_of(damaged, settled), reason)
        return accounts

    async def _forget(self) -> None:
        """Let go of the segments that everybody has settled.

        Raises:
            BridgeError: They stay.
        """
        done = self._settled_segments()
        if self._active in done:
            self._active = None
        if self._removed:
            await self._tell_removed(done)
        for segment in done:
            segment.doomed = True
            for reader in self._readers.values():
                reader.settled.add(segment.first, segment.last)
        if self._unsaved or self._is_durable:
            await self._save()
        await self._writing.run(lambda: self._shelf.remove(done))
        self._segments = [segment for segment in self._segments if segment not in done]
        self._nbytes -= sum(segment.nbytes for segment in done)

    def _settled_segments(self) -> list[Segment]:
        """Those that nobody needs and nothing is written to."""
        return [
            segment for segment in self._segments
            if not segment.needed and (segment.sealed or (segment.used and not self._is_durable))
        ]  # fmt: skip

    async def _tell_removed(self, segments: Sequence[Segment]) -> None:
        """Write down what destinations that the route has no more will not get of segments."""
        needs = {name: reader.settled for name, reader in self._removed.items()}
        for segment in segments:
            accounts = await self._writing.run(
                lambda segment=segment: self._account(segment, needs, REMOVED)  # type: ignore[misc]
            )
            await self._record(
                [
                    Loss(name, LossKind.REMOVED, gap)
                    for name, one in accounts.items()
                    for gap in one.lost(REMOVED)
                ]
            )
            for reader in self._removed.values():
                reader.settled.add(segment.first, segment.last)

    async def _expire(self) -> None:
        """Drop what has waited too long."""
        if self._caps.max_age is None:
            return
        now = self._stamp()
        old = [segment for segment in self._droppable() if self._age(segment.ended, now) > self._caps.max_age]
        if old:
            await self._drop(old, LossKind.AGE, TOO_OLD)
            await self._forget()

    async def _thin(self) -> bool:
        """Thin the oldest of the segments that were thinned least; whether there was one."""
        found = [one for one in self._droppable() if one.generation < MOST_THINNED and not one.thinnest]
        if not found:
            return False
        old = min(found, key=lambda segment: segment.generation)
        old.doomed = True
        try:
            if old is self._active:
                await self._retire(old)
            needs = {name: reader.settled.copy() for name, reader in self._readers.items()}
            try:
                new, accounts = await self._writing.run(lambda: self._rewrite(old, needs))
            except ShelfFull:  # for a moment it would be there twice
                return False
            if new is None:
                old.thinnest = True
            else:
                losses = [
                    Loss(name, LossKind.OVERFLOW, gap)
                    for name, one in accounts.items()
                    for gap in one.lost(THINNED)
                ]
                await self._record(losses)
                await self._writing.run(lambda: self._shelf.replace(old, new))
                self._take_in(new, old)
        finally:
            old.doomed = False
            for reader in list(self._readers.values()):
                self._serve(reader)
        return True

    def _take_in(self, new: Segment, old: Segment) -> None:
        """A segment was thinned."""
        self._segments[self._segments.index(old)] = new
        self._nbytes += new.nbytes - old.nbytes
        self._points += new.kept - old.kept
        for reader in self._readers.values():
            before, after = old.pending.get(reader.name, _NOTHING), new.pending.get(reader.name, _NOTHING)
            reader.count(
                after.records - before.records, after.points - before.points, after.nbytes - before.nbytes
            )
            reader.dropped += before.points - after.points

    def _rewrite(
        self, old: Segment, needs: Mapping[str, Positions]
    ) -> tuple[Segment | None, dict[str, _Account]]:
        """Write every second row of what is needed; None if that is no less.  Runs in a thread."""
        accounts = {name: _Account() for name in needs}
        thinning = Thinning()
        groups: list[_Group] = []
        lost = 0
        try:
            for head, content in self._shelf.records(old):
                concerned = [
                    name for name, settled in needs.items() if head.is_for(name) and not head.is_in(settled)
                ]
                if not concerned:
                    continue
                if head.damaged:
                    raise DecodeError("record", "", "its head is damaged")
                thinned, spans = thinning.thin(self._shelf.open(head, content))
                lost += head.points - thinned.points
                for name in concerned:
                    merge_spans(spans, accounts[name].spans)
                if thinned.empty:
                    continue
                if not groups or not groups[-1].takes(head, concerned):
                    groups.append(_Group(head, concerned))
                groups[-1].add(head, thinned)
        except (DecodeError, SegmentGone):
            return None, accounts  # it goes as a whole, or whoever reads it finds out
        if not lost:
            return None, accounts
        return self._write_again(old, groups, needs), accounts

    def _write_again(self, old: Segment, groups: Sequence[_Group], needs: Mapping[str, Positions]) -> Segment:
        """Write groups of records in the place of a segment.  Runs in a thread."""
        items: list[tuple[int, Item]] = []
        pending = {name: Total() for name in needs}
        for group in groups:
            item = self._shelf.measure(Batch.merge(group.batches), group.first.only, group.first.stamp)
            items.append((group.position, item))
            for name in group.concerned:
                pending[name].add(1, item.head.points, item.head.size)
        new = self._shelf.rewrite(old, items)
        new.pending, new.kept = pending, sum(item.head.points for _, item in items)
        return new

    def _places(self) -> Places:
        self._places_number += 1
        readers = {**self._removed, **self._readers}
        return Places(
            self._places_number,
            self._last if self._active is None else max(self._last, self._active.first),
            self._cursor,
            self._last,
            {
                name: PlaceOf(tuple(reader.settled), reader.told())
                for name, reader in readers.items()
            },
        )  # fmt: skip

    async def _save(self) -> None:
        # Of places that were lost the next ones say nothing.
        await self._record(self._owed)
        self._owed = []
        places = self._places()
        self._unsaved = False
        try:
            await self._writing.run(lambda: self._shelf.save(places))
        except BridgeError:
            self._unsaved = True
            raise

    # Reading.

    def _serve(self, reader: Reader) -> None:
        """Read for a peek that waits, if there is something for it."""
        if reader.ask is not None and not reader.reading and reader.has(reader.ask.newest):
            reader.reading = True
            self._read(reader).addErrback(self._broke_reading, reader)

    @deferred
    async def _read(self, reader: Reader) -> None:
        try:
            while (ask := reader.ask) is not None and reader.has(ask.newest):
                segments, is_cut = self._segments_for(reader, ask.newest)
                if not segments and not (reader.gaps or reader.infos):
                    return  # what comes next is doomed; whoever dooms it serves again
                settled, last = reader.settled.copy(), self._last
                try:
                    found = await self._reading.run(
                        lambda: self._collect(reader.name, segments, settled, last, ask)  # noqa: B023
                    )
                    if reader.ask is not ask:
                        continue
                    found.since = found.since or int(is_cut)
                    if found.damaged or found.gone:
                        await self._lose(found)
                        continue
                except BridgeError as error:
                    if reader.ask is ask:
                        reader.ask = None
                        ask.done.errback(error)
                    continue
                if not self._give(reader, ask, found) and not found.entries:
                    if ask.newest and is_cut:
                        return
                    if ask.newest:
                        reader.latest = reader.settled.last if self._last == last else reader.latest
                    else:
                        self._recount(reader, segments, last)
        finally:
            reader.reading = False

    def _segments_for(self, reader: Reader, newest: bool) -> tuple[list[Segment], bool]:
        """What a destination needs before the first doomed segment, or after the last; whether there is one.

        Settling takes all between what is settled and what was peeked, and a doomed segment may yet stay.
        """
        segments = [one for one in self._segments if one.pending.get(reader.name, _NOTHING).records]
        doomed = [index for index, segment in enumerate(segments) if segment.doomed]
        if not doomed:
            return segments, False
        return (segments[doomed[-1] + 1 :] if newest else segments[: doomed[0]]), True

    def _recount(self, reader: Reader, segments: Sequence[Segment], last: int) -> None:
        """All that there is was read, and nothing of it is for this destination: the count was wrong.

        That happens when a damaged summary was made again from a segment that is damaged itself.
        """
        if self._last > last:
            return
        for segment in segments:
            if reader.name in segment.pending and not segment.doomed:
                self._settle_rest(reader, segment)
        self._wake()

    def _give(self, reader: Reader, ask: _Ask, found: _Found) -> bool:
        """Fire a peek with what was found, without what is settled, or lies beyond what is doomed."""
        entries: list[tuple[Head, Batch]] = []
        for segment, head, batch in found.entries:
            if head.is_in(reader.settled):
                continue
            if segment.doomed or self._segment_of(head.position) is not segment:  # it was thinned
                if not ask.newest:
                    break
                entries.clear()
                found.since = 1
                continue
            entries.append((head, batch))
        told = reader.told()
        if not entries and told.empty:
            return False
        if entries:
            first, position, stamp = entries[0][0].position, entries[-1][0].position, entries[0][0].stamp
            since = reader.settled.last_below(first)
            if ask.newest and found.since:
                since = first - 1
        else:
            since = position = reader.settled.last
            stamp = self._stamp()
        batches = [batch for _, batch in entries]
        pending = Pending(
            since, position, Batch.merge([told, *batches] if not told.empty else batches), stamp
        )
        following = found.following if len(entries) == len(found.entries) else None
        reader.lanes[ask.newest] = _Peeked(
            ask.newest, pending, [head for head, _ in entries], told, following
        )
        reader.ask = None
        ask.done.callback(pending)
        return True

    def _collect(
        self, name: str, segments: Sequence[Segment], settled: Positions, last: int, ask: _Ask
    ) -> _Found:
        """Read what a peek gives.  Runs in a thread."""
        found = _Found()
        after = self._newest_after(name, segments, settled, ask, found) if ask.newest else 0
        points = weight = 0
        for segment in segments:
            if segment.last <= after:
                continue
            start = settled.next_missing(max(segment.first, after + 1)) - 1
            try:
                for head, content in self._shelf.records(segment, start):
                    if head.position > last:
                        break
                    if not head.is_for(name) or head.is_in(settled):
                        continue
                    if found.entries:
                        points += head.points
                        weight += head.weight
                        apart = not _same_clock(found.entries[0][1].stamp, head.stamp)
                        full = not ask.newest and (points > ask.max_points or weight > ask.max_bytes)
                        if apart and ask.newest:
                            found.entries.clear()
                            found.since = 1
                        elif apart or full:
                            found.following = head.stamp
                            return found
                    else:
                        points, weight = head.points, head.weight
                    try:
                        if head.damaged:
                            raise DecodeError("record", "", "its head is damaged")
                        found.entries.append((segment, head, self._shelf.open(head, content)))
                    except DecodeError:
                        found.damaged.append((segment, head))
            except SegmentGone:
                found.gone.append(segment)
            except OutboxError:
                if not found.entries and not found.gone and not found.damaged:
                    raise
                break  # the next peek comes to it again
        return found

    def _newest_after(
        self, name: str, segments: Sequence[Segment], settled: Positions, ask: _Ask, found: _Found
    ) -> int:
        """After which position the newest things begin that fit; ``found.since`` if not all of them do."""
        after = settled.last
        points = weight = rows = 0
        for segment in reversed(segments):
            if segment.last <= after:
                break
            try:
                index = self._shelf.index(segment)
            except SegmentGone:
                return segment.first - 1
            for row in range(len(index) - 1, -1, -1):
                position = index.positions[row]
                if position <= after:
                    return after
                only = index.only(row)
                if only is not None and name not in only:
                    continue
                points += index.points[row]
                weight += index.weights[row]
                if rows and (points > ask.max_points or weight > ask.max_bytes):
                    found.since = 1
                    return position
                rows += 1
        return after

    async def _lose(self, found: _Found) -> None:
        """Record what could not be read, and go on without it.

        Raises:
            BridgeError: The ledger could not be told, or it may be read yet.
        """
        gone = [segment for segment in found.gone if segment in self._segments and not segment.doomed]
        if gone:
            await self._drop(gone, LossKind.CORRUPTION, UNREADABLE)
        told: list[Segment] = []
        for segment, head in found.damaged:
            if segment not in self._segments or segment.doomed:
                continue
            if not head.damaged:
                await self._lose_body(segment, head)
            elif segment not in told:
                await self._lose_heads(segment)
                told.append(segment)
        self._wake()

    async def _lose_body(self, segment: Segment, head: Head) -> None:
        gaps = [span.gap(UNREADABLE) for span in head.spans]
        if head.extras or not gaps:
            gaps.append(_nameless(head.stamp, head.stamp, UNREADABLE))
        await self._lose_records(segment, [head], {reader.name: gaps for reader in self._needing(head)})

    async def _lose_heads(self, segment: Segment) -> None:
        """Lose all records of a segment whose heads cannot be read: only together are they accounted for."""

        def read() -> tuple[list[Head], list[Span]]:
            heads = [head for head, _ in self._shelf.records(segment)]
            readable = (head.spans for head in heads)
            return [head for head in heads if head.damaged], missing_of(self._shelf.spans(segment), readable)

        heads, spans = await self._reading.run(read)
        lost: dict[str, list[Gap]] = {}
        for reader in self._readers.values():
            unread = [head for head in heads if reader in self._needing(head)]
            if unread:
                account = _Account()
                _add_unread(account, segment, spans, _all_of(heads, reader.settled), UNREADABLE)
                lost[reader.name] = account.gaps
        await self._lose_records(segment, heads, lost)

    def _needing(self, head: Head) -> list[Reader]:
        return [
            reader for reader in self._readers.values()
            if head.is_for(reader.name) and not head.is_in(reader.settled)
        ]  # fmt: skip

    async def _lose_records(
        self, segment: Segment, heads: Sequence[Head], lost: Mapping[str, Sequence[Gap]]
    ) -> None:
        await self._record(
            [Loss(name, LossKind.CORRUPTION, gap) for name, gaps in lost.items() for gap in gaps]
        )
        for name, gaps in lost.items():
            self._readers[name].remember(gaps, ())
        if segment.doomed or segment not in self._segments:
            return
        for head in heads:
            for reader in self._needing(head):
                reader.dropped += head.points
                self._settle_one(reader, head)
                reader.settled.add(head.position, max(head.position, head.last))
                if reader.records == 0:
                    reader.oldest = None
        self._unsaved = True

    def _settle_one(self, reader: Reader, head: Head) -> None:
        """Count a record as done for a destination that had not settled it."""
        if head.is_in(reader.settled) or not head.is_for(reader.name):
            return
        segment = self._segment_of(head.position)
        total = segment.pending[reader.name]
        total.add(-1, -head.points, -head.size)
        reader.count(-1, -head.points, -head.size)
        if total.records <= 0:  # with a damaged summary there may have been more or fewer
            self._settle_rest(reader, segment)
        elif all(
            other is reader or not head.is_for(other.name) or head.is_in(other.settled)
            for other in self._readers.values()
        ):
            segment.kept -= head.points
            self._points -= head.points

    def _settle_rest(self, reader: Reader, segment: Segment) -> None:
        """A destination needs nothing of a segment any more."""
        total = segment.pending[reader.name]
        reader.count(-total.records, -total.points, -total.nbytes)
        segment.pending[reader.name] = Total()
        if not segment.needed:
            self._points -= segment.kept
            segment.kept = 0

    def _segment_of(self, position: int) -> Segment:
        index = bisect_right(self._segments, position, key=lambda segment: segment.first) - 1
        return self._segments[index] if index >= 0 else _GONE

    def _oldest_age(self, reader: Reader, now: Stamp) -> float | None:
        if reader.records == 0:
            return None
        if reader.oldest is not None:
            return self._age(reader.oldest, now)
        for segment in self._segments:
            if segment.pending.get(reader.name, _NOTHING).records:
                return self._age(segment.begun, now)
        return None

    @staticmethod
    def _age(stamp: Stamp, now: Stamp) -> float:
        """Seconds from one moment to another, by the clock that nobody sets where that is the same."""
        if stamp.boot_id == now.boot_id:
            return (now.boot_ns - stamp.boot_ns) / 1e9
        return max(0.0, (now.wall_ns - stamp.wall_ns) / 1e9)


_NOTHING = Total()
_GONE = Segment(0, 0, 0, doomed=True)


def _nameless(begun: Stamp, ended: Stamp, reason: str) -> Gap:
    """The gap of what nobody can name any more: when it was accepted is all that is known."""
    return Gap("*", min(begun.wall_ns, ended.wall_ns), max(begun.wall_ns, ended.wall_ns), reason)


def _whole(segment: Segment) -> Head:
    """A damaged record that stands for a whole segment."""
    return Head(segment.first, segment.begun, None, 0, 0, 0, (), extras=True, damaged=True, last=segment.last)


def _add_extras(account: _Account, batch: Batch, reason: str) -> None:
    account.gaps.extend(Batch(notes=batch.notes).lost(reason))
    if batch.gaps or batch.infos:
        account.rest.append(Batch((), batch.gaps, batch.infos))


def _all_of(damaged: Sequence[Head], settled: Positions) -> bool:
    """Whether nothing of damaged records is settled."""
    return all(settled.last_below(max(head.position, head.last) + 1) < head.position for head in damaged)


def _add_unread(
    account: _Account, segment: Segment, spans: Sequence[Span], all_of_it: bool, reason: str
) -> None:
    """Count what cannot be read: by stream if the summary tells."""
    if not spans:
        account.gaps.append(_nameless(segment.begun, segment.ended, reason))
    for span in spans:
        # How the points are spread over several damaged records is not known.
        points = span.points if all_of_it else None
        account.gaps.append(Gap(span.stream, span.start_ns, span.end_ns, reason, points))
