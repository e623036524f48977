"""The queue between a source and its destinations: the contract, and an outbox in memory.

**The contract** of every `Outbox`, which ``tests/contract/outbox.py`` checks:

*Accepting.*  When the Deferred of ``append`` fires, the batch is the outbox's to lose, and the
source is told so.  For a durable outbox that means: written and synced, so that neither a killed
process nor a power cut loses it.  The batch's cursor is accepted together with it, in one step,
and is what ``cursor`` gives from then on, after a restart too.  A batch with nothing in it but a
cursor takes no room.

*Reading.*  Every destination has a place of its own and reads at its own pace; one that is away
never keeps another from its data.  ``peek`` gives the oldest batches that are not settled, merged
into one of about the size that was asked for, but never less than the oldest one whole; it fires
when there is something.  It takes nothing away: peeking again gives the same things again, and
more if more has come.  Each stream's rows are given in the order in which they were accepted.
There is one outstanding ``peek`` per destination, and cancelling it loses nothing.

*Settling.*  ``settle`` with the position of a peeked batch moves that destination past it.  What
all destinations have settled is forgotten.

*When it is full.*  The caps are on points and bytes, of what is kept for any destination.  A batch
is always accepted by an outbox that keeps nothing, so the caps may be exceeded by one batch; what a
source may give at once is bounded on its own.  Otherwise `OnFull` decides: ``append`` waits; or the
oldest batch makes room *for the destinations that still need it*, except what is being sent right
now (peeked and not settled); or the new batch is not kept.  If everything is being sent,
``drop_oldest`` cannot drop anything else than the new batch either.

*Dropping is never silent.*  Each dropped block or note is one `Gap` record with its number of points, told
to the ledger for each destination that will not get it.  The same gap, merged per stream, comes to
that destination with its next peeked batch, so that the platform can show it.  Descriptions of
streams are never dropped: they too come with the next peeked batch.

*Closing.*  ``close`` makes every waiting ``append`` and ``peek`` fail with `Closed`, and so does
every later one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Collection, Iterable, Sequence

from attrs import define, field
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime

from txbridge.errors import Closed
from txbridge.model.samples import Batch, Cursor, Gap, StreamInfo
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

__all__ = ["MemoryOutbox"]

FULL = "the outbox was full"
STOPPED = "not delivered when the relay stopped"


@define
class _Entry:
    """A batch that was accepted."""

    position: int
    batch: Batch
    points: int
    nbytes: int
    accepted_at: float
    stamp: Stamp


@define
class _Reader:
    """A destination's place, and what was dropped ahead of it.

    Everything up to ``settled`` is done; what lies between that and ``peeked`` is being sent.
    ``gaps`` and ``infos`` come with the next peeked batch; ``told`` are those that came with the
    last one, whose position is ``told_with``.
    """

    settled: int = 0
    peeked: int = 0
    points: int = 0
    nbytes: int = 0
    dropped: int = 0
    gaps: dict[str, Gap] = field(factory=dict)
    infos: dict[str, StreamInfo] = field(factory=dict)
    told: Batch = field(factory=Batch)
    told_with: int = 0
    waiting: Deferred[Pending] | None = None
    max_points: int = 0
    max_bytes: int = 0

    def needs(self, entry: _Entry) -> bool:
        return self.settled < entry.position

    def is_sending(self, entry: _Entry) -> bool:
        return self.settled < entry.position <= self.peeked

    def remember(self, gaps: Iterable[Gap], infos: Iterable[StreamInfo]) -> None:
        for gap in gaps:
            known = self.gaps.get(gap.stream)
            self.gaps[gap.stream] = gap if known is None else known.merge(gap)
        self.infos.update((info.name, info) for info in infos)

    def forget_told(self) -> None:
        for gap in self.told.gaps:
            if self.gaps.get(gap.stream) is gap:
                del self.gaps[gap.stream]
        for info in self.told.infos:
            if self.infos.get(info.name) is info:
                del self.infos[info.name]
        self.told = Batch()


class MemoryOutbox:
    """An `Outbox` that lives as long as its process.

    What was not delivered when it is closed is lost, and the ledger is told.

    Args:
        destinations: The names of those who read it.
        clock: Tells how old things are.
        max_points: The most points to keep.
        max_bytes: The most `Batch.nbytes` to keep.
        on_full: What happens to a batch that there is no room for.
        ledger: Told of each loss, or None.
        cursor: Where the source goes on: the `settled_cursor` of an earlier run.

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
        on_full: OnFull = OnFull.BLOCK,
        ledger: Ledger | None = None,
        cursor: Cursor | None = None,
    ) -> None:
        if not destinations or len(set(destinations)) != len(destinations):
            raise ValueError(f"an outbox needs destinations with different names, not {list(destinations)}")
        if max_points < 1 or max_bytes < 1:
            raise ValueError(f"an outbox of {max_points} points and {max_bytes} bytes can keep nothing")
        self._readers = {name: _Reader() for name in destinations}
        self._clock = clock
        self._max_points = max_points
        self._max_bytes = max_bytes
        self._on_full = on_full
        self._ledger = ledger
        self._entries: dict[int, _Entry] = {}
        self._positions: list[int] = []  # the keys of _entries, ascending
        self._last_position = 0
        self._points = 0
        self._nbytes = 0
        self._cursor = self._settled_cursor = cursor
        self._blocked: deque[tuple[Batch, Deferred[None]]] = deque()
        self._closed = False

    @property
    def destinations(self) -> tuple[str, ...]:
        """The names of those who read it."""
        return tuple(self._readers)

    @property
    def cursor(self) -> Cursor | None:
        """The last cursor that was accepted."""
        return self._cursor

    @property
    def settled_cursor(self) -> Cursor | None:
        """The last cursor of which every destination has everything that came up to it.

        Whoever keeps it somewhere, and gives it to the next outbox, loses nothing with this one if the
        source keeps its history.
        """
        return self._settled_cursor if self._entries else self._cursor

    def append(self, batch: Batch, only: Collection[str] | None = None) -> Deferred[None]:
        """Accept a batch; waits for room with `OnFull.BLOCK`, and cancelling then appends nothing.

        Raises:
            Closed: The outbox was closed.
        """
        if self._closed:
            return fail(Closed("the outbox"))
        if self._on_full is OnFull.BLOCK and (self._blocked or not self._has_room(batch)):
            waiting: Deferred[None] = Deferred(self._give_up_append)
            self._blocked.append((batch, waiting))
            return waiting
        self._make_room(batch)
        if self._has_room(batch):
            self._keep(batch)
        else:
            self._refuse(batch)
        return succeed(None)

    def peek(
        self, destination: str, *, max_points: int, max_bytes: int, newest: bool = False
    ) -> Deferred[Pending]:
        """The oldest things that are not settled for a destination.

        Raises:
            Closed: The outbox was closed.
            RuntimeError: The peek before this one has not fired.
            KeyError: There is no such destination.
        """
        reader = self._readers[destination]
        if self._closed:
            return fail(Closed("the outbox"))
        if reader.waiting is not None:
            return fail(RuntimeError(f"{destination!r} is waiting for its peek already"))
        reader.max_points = max_points
        reader.max_bytes = max_bytes

        def forget(_: Deferred[Pending]) -> None:
            reader.waiting = None

        waiting: Deferred[Pending] = Deferred(forget)
        reader.waiting = waiting
        self._serve(reader)
        return waiting

    def settle(self, destination: str, pending: Pending) -> Deferred[None]:
        """The destination has everything up to this position.

        Raises:
            ValueError: The position is beyond what was peeked.
            KeyError: There is no such destination.
        """
        reader = self._readers[destination]
        position = pending.position
        if position > reader.peeked:
            return fail(ValueError(f"{destination!r} has peeked up to {reader.peeked}, not {position}"))
        for kept in self._positions[bisect_right(self._positions, reader.settled) :]:
            if kept > position:
                break
            reader.points -= self._entries[kept].points
            reader.nbytes -= self._entries[kept].nbytes
        reader.settled = max(reader.settled, position)
        if position >= reader.told_with:
            reader.forget_told()
        self._forget_up_to(min(one.settled for one in self._readers.values()))
        self._admit_blocked()
        return succeed(None)

    def state(self) -> OutboxState:
        """What it holds now."""
        now = self._clock.seconds()
        pending: dict[str, PendingState] = {}
        for name, reader in self._readers.items():
            first = bisect_right(self._positions, reader.settled)
            oldest = self._entries[self._positions[first]] if first < len(self._positions) else None
            age = None if oldest is None else now - oldest.accepted_at
            pending[name] = PendingState(reader.points, reader.nbytes, age, reader.dropped)
        return OutboxState(
            self._points, self._nbytes, bool(self._blocked), pending, self._max_bytes, Durability.NONE
        )

    def close(self) -> Deferred[None]:
        """Stop; what was not settled is lost, and the ledger is told."""
        if self._closed:
            return succeed(None)
        self._closed = True
        for name, reader in self._readers.items():
            for entry in self._entries.values():
                if reader.needs(entry):
                    self._report(name, entry.batch, LossKind.STOPPED, STOPPED)
        while self._blocked:
            self._blocked.popleft()[1].errback(Closed("the outbox"))
        for reader in self._readers.values():
            waiting, reader.waiting = reader.waiting, None
            if waiting is not None:
                waiting.errback(Closed("the outbox"))
        return succeed(None)

    def _has_room(self, batch: Batch) -> bool:
        if batch.empty or not self._entries:
            return True
        return (
            self._points + batch.points <= self._max_points and self._nbytes + batch.nbytes <= self._max_bytes
        )

    def _give_up_append(self, waiting: Deferred[None]) -> None:
        self._blocked = deque(pair for pair in self._blocked if pair[1] is not waiting)
        self._admit_blocked()

    def _admit_blocked(self) -> None:
        while self._blocked and not self._closed and self._has_room(self._blocked[0][0]):
            batch, waiting = self._blocked.popleft()
            self._keep(batch)
            waiting.callback(None)

    def _keep(self, batch: Batch) -> None:
        if batch.cursor is not None:
            self._cursor = batch.cursor
        if batch.empty:
            return
        self._last_position += 1
        now = int(self._clock.seconds() * 1e9)
        stamp = Stamp(now, now, "")
        entry = _Entry(self._last_position, batch, batch.points, batch.nbytes, self._clock.seconds(), stamp)
        self._entries[entry.position] = entry
        self._positions.append(entry.position)
        self._points += entry.points
        self._nbytes += entry.nbytes
        for reader in self._readers.values():
            reader.points += entry.points
            reader.nbytes += entry.nbytes
        for reader in list(self._readers.values()):
            self._serve(reader)

    def _refuse(self, batch: Batch) -> None:
        if batch.cursor is not None:
            self._cursor = batch.cursor
        for name, reader in self._readers.items():
            self._drop_for(name, reader, batch)
        for reader in list(self._readers.values()):
            self._serve(reader)

    def _make_room(self, batch: Batch) -> None:
        """Drop the oldest entries that nobody is sending, if that makes the batch fit."""
        if self._on_full is not OnFull.DROP_OLDEST or self._has_room(batch):
            return
        victims = self._victims(batch)
        for entry in victims:
            for name, reader in self._readers.items():
                if reader.needs(entry):
                    reader.points -= entry.points
                    reader.nbytes -= entry.nbytes
                    self._drop_for(name, reader, entry.batch)
            self._remove(entry)

    def _victims(self, batch: Batch) -> list[_Entry]:
        victims: list[_Entry] = []
        points = self._points + batch.points
        nbytes = self._nbytes + batch.nbytes
        index = 0
        while index < len(self._positions):
            entry = self._entries[self._positions[index]]
            sending = [reader.peeked for reader in self._readers.values() if reader.is_sending(entry)]
            if sending:
                index = bisect_right(self._positions, max(sending))
                continue
            victims.append(entry)
            points -= entry.points
            nbytes -= entry.nbytes
            index += 1
            if points <= self._max_points and nbytes <= self._max_bytes:
                return victims
        # Not even all of them are enough, unless nothing else is kept: see the contract.
        return victims if len(victims) == len(self._positions) else []

    def _drop_for(self, name: str, reader: _Reader, batch: Batch) -> None:
        reader.dropped += batch.points
        gaps = self._report(name, batch, LossKind.OVERFLOW, FULL)
        reader.remember([*batch.gaps, *gaps], batch.infos)

    def _report(self, name: str, batch: Batch, kind: LossKind, reason: str) -> list[Gap]:
        gaps = batch.lost(reason)
        if self._ledger is not None:
            self._ledger.record([Loss(name, kind, gap) for gap in gaps])
        return gaps

    def _remove(self, entry: _Entry) -> None:
        del self._entries[entry.position]
        del self._positions[bisect_right(self._positions, entry.position) - 1]
        self._points -= entry.points
        self._nbytes -= entry.nbytes

    def _forget_up_to(self, position: int) -> None:
        count = bisect_right(self._positions, position)
        for done in self._positions[:count]:
            entry = self._entries.pop(done)
            self._settled_cursor = entry.batch.cursor or self._settled_cursor
            self._points -= entry.points
            self._nbytes -= entry.nbytes
        del self._positions[:count]

    def _serve(self, reader: _Reader) -> None:
        """Fire the peek that waits, if there is something for it."""
        if reader.waiting is None:
            return
        first = bisect_right(self._positions, reader.settled)
        if first == len(self._positions) and not reader.gaps and not reader.infos:
            return
        reader.told = Batch((), tuple(reader.gaps.values()), tuple(reader.infos.values()))
        batches = [reader.told] if not reader.told.empty else []
        position = reader.settled
        points = nbytes = 0
        for index in range(first, len(self._positions)):
            entry = self._entries[self._positions[index]]
            points += entry.points
            nbytes += entry.nbytes
            if position > reader.settled and (points > reader.max_points or nbytes > reader.max_bytes):
                break
            batches.append(entry.batch)
            position = entry.position
        reader.told_with = position
        reader.peeked = max(reader.peeked, position)
        waiting, reader.waiting = reader.waiting, None
        stamp = (
            self._entries[self._positions[first]].stamp if first < len(self._positions) else Stamp(0, 0, "")
        )
        waiting.callback(Pending(reader.settled, position, Batch.merge(batches), stamp))
