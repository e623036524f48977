"""The queue between a source and its destinations: the contract, and an outbox in memory.

**The contract** of every `Outbox`, which ``tests/contract/outbox.py`` checks:

*Accepting.*  When the Deferred of ``append`` fires, the batch is the outbox's to lose, and the
source is told so.  What it survives from then on the outbox says: see `Durability`.  The batch's cursor is
accepted together with it, in one step, and is what ``cursor`` gives from then on, after a restart too.  A
batch with nothing in it but a cursor takes no room.  A batch may be for some destinations only.

*Reading.*  Every destination has a place of its own and reads at its own pace; one that is away
never keeps another from its data.  ``peek`` gives the oldest batches that are not settled, merged
into one of about the size that was asked for, but never less than the oldest one whole; it fires
when there is something.  It takes nothing away: peeking again gives the same things again, and
more if more has come.  Each stream's rows are given in the order in which they were accepted.  What was
accepted while the wall clock was set otherwise by a second or more comes by itself, with its own `Stamp`.
There is one outstanding ``peek`` per destination, and cancelling it loses nothing.

*Two lanes.*  With ``newest`` a peek gives the end of what was accepted after everything that is settled, so
that what happens now need not wait for a backlog.  What is settled that way is not given again.

*Settling.*  ``settle`` takes what the last peek of its lane gave, or the beginning of it, and that is not
given again.  Settling it once more changes nothing.  What all destinations have settled is forgotten.  After
a sudden end some of what was settled in the last seconds may come again; a history does not mind.

*When it is full.*  The caps are on bytes, on points and on age, of what is kept for any destination.  A batch
is always accepted by an outbox that keeps nothing, so the caps may be exceeded by one batch; what a
source may give at once is bounded on its own.  Otherwise `OnFull` decides: ``append`` waits; or the
oldest makes room *for the destinations that still need it*, except what is being sent right now (peeked
and not settled); or every second row of the oldest does; or the new batch is not kept.  If everything is
being sent, nothing can be dropped but the new batch.  What makes room goes by segments, which are at
most a 32nd of a cap, or one batch if that is larger: so after a drop more than 31/32 of the cap is
still there.  What is older than the most age goes when all of its segment is, so at most a 32nd of that age
and a few seconds late.

*Thinning.*  With `OnFull.DECIMATE` the segment that was thinned least, the oldest of those, loses every
second row of each stream; the first row and the row after a break stay.  A segment that was thinned six times
is dropped like any other.

*Dropping is never silent, and never before the ledger has it.*  For each destination that will not get it
each stream of a segment that goes is one `Loss` with its number of points, and each note is one.  If the
ledger cannot be told nothing is dropped: the ``append`` or ``peek`` that would fails with `OutboxError`,
and whoever asked asks again.  The same gap, merged per stream, comes to that destination with its next
peeked batch, so that the platform can show it; rows that were thinned out are no gap.  Descriptions of
streams are never dropped: they too come with the next peeked batch.

*Closing.*  ``close`` makes every waiting ``append`` and ``peek`` fail with `Closed`, and so does
every later one; what is being written is finished.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from attrs import evolve
from twisted.internet.defer import Deferred, execute, succeed
from twisted.internet.interfaces import IReactorTime

from txbridge.model.samples import Batch, Cursor
from txbridge.relay.clock import machine_clock
from txbridge.relay.queue import PARTS, Caps, Content, Item, Segment, SegmentQueue
from txbridge.relay.roles import Durability, Ledger, Loss, LossKind, OnFull, Stamp
from txbridge.relay.segments import Addressees, Head, Index, Places, Span, spans_of

__all__ = ["MemoryOutbox"]

T = TypeVar("T")

STOPPED = "not delivered when the relay stopped"


class _AtOnce:
    """A worker for what does not block."""

    def run(self, work: Callable[[], T]) -> Deferred[T]:
        return execute(work)

    def close(self) -> Deferred[None]:
        return succeed(None)


class _MemoryShelf:
    """Segments as lists."""

    durability = Durability.NONE

    def __init__(self, max_bytes: int) -> None:
        self._room = max(1, max_bytes // PARTS)
        self._records: dict[tuple[int, int], list[tuple[Head, Batch]]] = {}

    def measure(self, batch: Batch, only: Addressees, stamp: Stamp) -> Item:
        extras = bool(batch.gaps or batch.infos or batch.notes)
        nbytes = batch.nbytes
        head = Head(0, stamp, only, batch.points, nbytes, nbytes, spans_of(batch), extras)
        return Item(head, batch)

    def cost(self, item: Item, active: Segment | None) -> int:
        return item.head.size

    def growth(self, active: Segment) -> int:
        return 0

    def begin(self, first: int, item: Item) -> Segment:
        self._records[(first, 0)] = []
        return Segment(first, first - 1, max(self._room, item.head.size))

    def write(self, segment: Segment, items: Sequence[Item], first: int) -> int:
        records = self._records[(segment.first, segment.generation)]
        for position, item in enumerate(items, first):
            item.head.position = position
            records.append((item.head, item.batch))
        return sum(item.head.size for item in items)

    def seal(self, segment: Segment) -> int:
        return segment.used

    def remove(self, segments: Sequence[Segment]) -> None:
        for segment in segments:
            del self._records[(segment.first, segment.generation)]

    def index(self, segment: Segment) -> Index:
        index = Index()
        for head, _ in self.records(segment):
            index.add(head, 0)
        return index

    def records(self, segment: Segment, after: int = 0) -> Iterator[tuple[Head, Content]]:
        for head, batch in self._records[(segment.first, segment.generation)]:
            if head.position > after:
                yield head, batch

    def open(self, head: Head, content: Content) -> Batch:
        assert isinstance(content, Batch)
        return content

    def spans(self, segment: Segment) -> Mapping[str, Span]:
        return {}

    def rewrite(self, segment: Segment, items: Sequence[tuple[int, Item]]) -> Segment:
        for position, item in items:
            item.head.position = position
        records = [(item.head, item.batch) for _, item in items]
        nbytes = sum(head.size for head, _ in records)
        new = evolve(segment, generation=segment.generation + 1, used=nbytes, nbytes=nbytes, doomed=False)
        self._records[(new.first, new.generation)] = records
        return new

    def replace(self, old: Segment, new: Segment) -> None:
        self.remove([old])

    def save(self, places: Places) -> None:
        pass

    def close(self) -> None:
        self._records.clear()


class MemoryOutbox(SegmentQueue):
    """An `Outbox` that lives as long as its process.

    What was not delivered when it is closed is lost, and the ledger is told.

    Args:
        destinations: The names of those who read it.
        clock: Tells how old things are.
        max_points: The most points to keep.
        max_bytes: The most `Batch.nbytes` to keep.
        max_age: The most seconds to keep anything, or None.
        on_full: What happens to a batch that there is no room for.
        ledger: Told of each loss, or None.
        cursor: Where the source goes on: the `settled_cursor` of an earlier run.
        stamp: Tells when it is; the clocks of this machine if None.

    Raises:
        ValueError: No destination, two of one name, or a cap below 1.
    """

    def __init__(
        self,
        destinations: Sequence[str],
        clock: IReactorTime,
        *,
        max_points: int = 1_000_000,
        max_bytes: int = 64 << 20,
        max_age: float | None = None,
        on_full: OnFull = OnFull.BLOCK,
        ledger: Ledger | None = None,
        cursor: Cursor | None = None,
        stamp: Callable[[], Stamp] | None = None,
    ) -> None:
        at_once = _AtOnce()
        self._cursors: deque[tuple[int, Cursor]] = deque()
        self._settled_cursor = cursor
        super().__init__(
            _MemoryShelf(max_bytes),
            destinations,
            clock,
            stamp=machine_clock(clock) if stamp is None else stamp,
            caps=Caps(max_bytes=max_bytes, max_points=max_points, max_age=max_age, on_full=on_full),
            ledger=ledger,
            writer=at_once,
            reader=at_once,
            cursor=cursor,
        )

    @property
    def settled_cursor(self) -> Cursor | None:
        """The last cursor of which every destination has everything that came up to it.

        Whoever keeps it somewhere, and gives it to the next outbox, loses nothing with this one if the
        source keeps its history.
        """
        if self._keeps_nothing:
            return self._cursor
        self._settle_cursors()
        return self._settled_cursor

    def _settle_cursors(self) -> None:
        done = min(reader.settled.next_missing(1) for reader in self._readers.values())
        while self._cursors and self._cursors[0][0] < done:
            self._settled_cursor = self._cursors.popleft()[1]

    def _accept_cursor(self, item: Item, position: int) -> None:
        super()._accept_cursor(item, position)
        if item.batch.cursor is not None:
            self._settle_cursors()
            if self._cursors and self._cursors[-1][0] == position:
                self._cursors.pop()
            self._cursors.append((position, item.batch.cursor))

    async def _last_words(self) -> None:
        needs = {name: reader.settled for name, reader in self._readers.items()}
        losses = [
            Loss(name, LossKind.STOPPED, gap)
            for segment in self._segments
            for name, account in self._account(segment, needs, STOPPED).items()
            for gap in account.lost(STOPPED)
        ]
        await self._record(losses)
