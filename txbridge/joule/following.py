"""A flow from a Joule node: what it has stored, and what its modules make now, as one.

What is missing is found by interval algebra: the node is asked which intervals it has, and what was
taken before is subtracted.  So nothing is read twice, and nothing is forgotten, whoever was away.

What a module makes now is stored by the node some seconds later, and a node that is killed before that
has lost it.  Which rows are given is therefore a choice, `Rows`.  With those that are *stored* the node is
polled, and a destination ends with what the node has, row for row, whatever was killed.  With those that
are *live* the stream is subscribed to: rows come at once, and what a killed node lost is at the
destination alone, because nobody can take a row back.  (The design not chosen, to subscribe and to hold
each row until the node has stored it, reads everything twice or trusts that what was stored is what was
said.)

A subscription says nothing of the rows from before it.  Where the two meet, the first live row is held
until the node has stored it too: then it has stored all before it, and they are read.  A stream that
somebody writes over HTTP cannot be subscribed to, though the node does not say so before it is asked; it
is polled, and its rows are stored ones.

Older rows may still be written to a node later, so it is asked again from time to time.  What lies between
the last `MOST_HOLES` intervals that were read is looked at again; what lies inside of one is not.

Any error ends the flow.  The route opens another one, which begins where this one had come to.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define, evolve
from twisted.internet.defer import CancelledError, Deferred, DeferredList, DeferredSemaphore
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from txbridge.errors import BridgeError, Closed, ConfigError, ConnectionLost
from txbridge.joule.blocks import Place, annotation_note, describe, event_note, to_block, windows
from txbridge.joule.errors import EmptyPipeError, StreamNotFound, SubscriptionError
from txbridge.joule.structures import DataStream, EventStream
from txbridge.model.samples import Batch, Cursor, Gap, Note, StreamInfo
from txbridge.net.deferred import deferred
from txbridge.relay.backfill import IntervalSet
from txbridge.relay.handover import HandOver

if TYPE_CHECKING:
    from txbridge.joule.client import Node
    from txbridge.joule.pipes import Pipe

__all__ = ["Flow", "Order", "Pace", "Rows", "no_stream"]

S = TypeVar("S")

MOST_READS = 2
"""Reads of what is old at once.  Each holds one of a node's ten database connections as long as it takes."""

MOST_HOLES = 256
"""Intervals of one stream that are remembered as taken; a cursor goes with every batch."""

STRETCH = 3_600_000_000, 7 * 86_400_000_000
"""Microseconds, at first and at most, of one question for intervals where nothing is known of them."""

FEW_INTERVALS = 100
"""A stretch with fewer is followed by one of twice its length: a node needs up to 60 ms for each."""

JOIN_SECONDS = 60.0
"""How long the node may take to store a live row: its insert period is 5 s unless configured, and half."""

SUBSCRIBE_AGAIN = 10.0
"""Seconds of polling after which a subscription is tried again: a module may have been started."""

LATE_EVENTS = 3_600_000_000
"""Microseconds that an event may lie before the newest one and still be found while the flow goes on."""


def no_stream(path: str) -> ConfigError:
    """A stream is not there: a person has to say whether it will be, or is not wanted any more."""
    return ConfigError([f"the node has no stream {path}; was it deleted, moved or renamed?"])


class Rows(Enum):
    """Which rows are given of a stream that a module makes now."""

    STORED = "stored"
    """Those that the node has stored, as soon as it has: within its insert period of 5 s, and half."""
    LIVE = "live"
    """All, at once, also those that the node never comes to store."""


class Order(Enum):
    """What goes first after an outage."""

    OLDEST_FIRST = "oldest_first"
    """What is missing, then what happens; every stream is in order."""
    LIVE_FIRST = "live_first"
    """What is new, without waiting for anything else; what is missing comes between, oldest first."""


@define(frozen=True, kw_only=True)
class Pace:
    """How often a node is asked.

    Attributes:
        poll: Seconds between questions for new rows that are stored.
        notes: Seconds between questions for annotations and events.
        rescan: Seconds between questions for older rows that were written late.
    """

    poll: float = 1.0
    notes: float = 10.0
    rescan: float = 60.0


@define(kw_only=True)
class _Data:
    """A data stream that is followed.

    Every row before ``since`` is not wanted; ``live_from`` is where what happens begins.  Everything below
    ``examined`` was compared with what the node has.  Up to ``reached`` earlier flows had come; None
    means that there was none.  It ``is_filled`` once everything was looked at that earlier flows had left.
    """

    path: str
    name: str
    stream: DataStream
    taken: IntervalSet
    since: int
    annotation: int
    reached: int | None
    live_from: int | None = None
    examined: int = 0
    is_filled: bool = False
    is_described: bool = False


@define(kw_only=True)
class _Events:
    """An event stream that is followed."""

    path: str
    name: str
    highest: int
    since: int


class Flow:
    """An open subscription of a `JouleSource`.

    Args:
        node: Where from.
        rows: Which are given.
        order: What goes first.
        pace: How often the node is asked.
        raw: Give numbers as they are stored.
        clock: For the times between questions.
        until: A range is read up to this timestamp, and then the flow ends; None goes on for ever.
    """

    _log = Logger()

    def __init__(
        self,
        node: Node,
        *,
        rows: Rows,
        order: Order,
        pace: Pace,
        raw: bool,
        clock: IReactorTime,
        until: int | None,
    ) -> None:
        self._node = node
        self._rows = rows
        self._order = order
        self._pace = pace
        self._raw = raw
        self._clock = clock
        self._until = until
        self._handover = HandOver(self)
        self._data: list[_Data] = []
        self._events: list[_Events] = []
        self._untouched = Place()
        self._old = DeferredSemaphore(MOST_READS)
        self._new = DeferredSemaphore(1)  # of its own, so that what is new does not wait for what is old
        self._tasks: set[Deferred[None]] = set()
        self._to_end = 0
        self._paused: list[Deferred[None]] | None = None
        self._closed = False

    def start(
        self,
        data: Mapping[str, tuple[str, DataStream, int]],
        events: Mapping[str, tuple[str, EventStream, int]],
        place: Place,
        begins: Mapping[str, int],
        *,
        notes: bool,
    ) -> None:
        """Begin to follow.

        Args:
            data: Path -> the stream's name in the relay, the stream, and the first timestamp that
                is wanted.
            events: The same of event streams.
            place: Where an earlier flow had come to; what it has of other streams is kept.
            begins: `Place.begins` from now on.
            notes: Whether annotations are wanted.
        """
        self._untouched = evolve(place, begins=begins)
        for path, (name, stream, since) in data.items():
            taken = place.data.get(path, IntervalSet())
            self._data.append(
                _Data(
                    path=path,
                    name=name,
                    stream=stream,
                    taken=taken,
                    since=since,
                    annotation=place.annotations.get(path, 0),
                    reached=taken.end if taken else place.begins.get(path),
                )
            )
        for path, (name, _, since) in events.items():
            self._events.append(_Events(path=path, name=name, highest=place.events.get(path, 0), since=since))
        if begins != place.begins:
            self._handover.put(Batch(cursor=self._place().cursor()))
        work = [(one.path, self._follow(one)) for one in self._data]
        if notes:
            work += [(one.path, self._repeat(self._take_annotations, one)) for one in self._data]
        work += [(each.path, self._repeat(self._take_events, each)) for each in self._events]
        self._to_end = len(work)
        for path, coroutine in work:
            self._run(path, coroutine)

    # ------------------------------------------------------------------ the relay's side

    def next_batch(self) -> Deferred[Batch]:
        """What was read since the last call, or the next of it.

        Raises:
            Closed: It was closed, or the range was read to its end.
            BridgeError: Why nothing more comes.
        """
        return self._handover.next_batch()

    def settled(self, cursor: Cursor) -> None:
        """A node keeps its history, so there is nothing to tell it."""

    @deferred
    async def close(self) -> None:
        """Let go of all connections."""
        self._end(Closed("the flow from the node"))
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await DeferredList(tasks)

    def pauseProducing(self) -> None:
        """Called by the hand-over at its high mark."""
        self._paused = []

    def resumeProducing(self) -> None:
        """Called by the hand-over at its low mark."""
        waiting, self._paused = self._paused or [], None
        for one in waiting:
            if not one.called:  # cancelled
                one.callback(None)

    def _run(self, path: str, work: Coroutine[Deferred[Any], Any, None]) -> None:
        async def run() -> None:
            try:
                await work
            except StreamNotFound as error:
                raise no_stream(path) from error

        task = Deferred.fromCoroutine(run())
        self._tasks.add(task)
        task.addErrback(self._broke)
        task.addBoth(self._finished, task)

    def _broke(self, failure: Failure) -> None:
        if self._closed and failure.check(CancelledError):
            return
        if failure.check(BridgeError):
            self._end(failure.value)  # type: ignore[arg-type]  # it was just checked
            return
        self._log.failure("following a Joule node failed", failure)
        self._end(ConnectionLost("follow a Joule node", type(failure.value).__name__))

    def _finished(self, _: None, task: Deferred[None]) -> None:
        self._tasks.discard(task)
        self._to_end -= 1
        if self._to_end == 0:
            self._end(Closed("the range that was asked for"))

    def _end(self, reason: BridgeError) -> None:
        self._closed = True
        self._handover.finish(reason)
        for task in list(self._tasks):
            if not task.called:
                task.cancel()

    async def _sleep(self, seconds: float) -> None:
        await deferLater(self._clock, seconds)

    async def _repeat(self, take: Callable[[S], Awaitable[None]], one: S) -> None:
        await take(one)
        while self._until is None:
            await self._sleep(self._pace.notes)
            await take(one)

    async def _put(self, batch: Batch) -> None:
        """Hand something over with where it brings us to, once there is room."""
        while self._paused is not None:
            waiting: Deferred[None] = Deferred()
            self._paused.append(waiting)
            await waiting
        self._handover.put(Batch(batch.blocks, batch.gaps, batch.infos, self._place().cursor(), batch.notes))

    def _place(self) -> Place:
        before = self._untouched
        return Place(
            {**before.data, **{one.path: one.taken for one in self._data}},
            {**before.annotations, **{one.path: one.annotation for one in self._data if one.annotation}},
            {**before.events, **{one.path: one.highest for one in self._events if one.highest}},
            before.begins,
        )

    # ------------------------------------------------------------------ rows

    async def _follow(self, one: _Data) -> None:
        await self._tell_what_expired(one)
        if self._until is not None:
            await self._fill(one, one.since, self._until)
            return
        if self._order is Order.OLDEST_FIRST:
            await self._fill(one, one.since, None)
        self._to_end += 1
        self._run(one.path, self._rescan(one))
        while True:
            if self._rows is Rows.STORED:
                await self._poll(one)
                continue
            try:
                pipe = await self._node.data_subscribe(one.stream)
            except SubscriptionError:
                await self._poll(one)
            else:
                try:
                    await self._live(one, pipe)
                finally:
                    await pipe.close()

    async def _rescan(self, one: _Data) -> None:
        while True:
            if one.live_from is None:
                await self._sleep(self._pace.poll)
            else:
                # What comes after this is left to whoever follows what happens: nothing is read twice.
                behind = max(one.live_from, one.taken.end if one.taken else 0)
                await self._fill(one, one.since, behind)
                await self._sleep(self._pace.rescan)

    async def _poll(self, one: _Data) -> None:
        if one.live_from is None:
            one.live_from = one.since
            if self._order is Order.LIVE_FIRST:
                info = await self._node.data_stream_info(one.stream)
                one.live_from = one.since if info.end is None else max(one.since, info.end + 1)
            elif one.taken:
                one.live_from = max(one.since, one.taken.end)
        until = self._clock.seconds() + SUBSCRIBE_AGAIN
        while self._clock.seconds() < until:
            edge = max(one.live_from, one.taken.end if one.taken else 0)
            await self._fill_stretch(one, *self._edge(one, edge), None, self._new)
            await self._sleep(self._pace.poll)

    async def _live(self, one: _Data, pipe: Pipe) -> None:
        after_break = False
        newest: int | None = None
        while True:
            try:
                rows = await pipe.read()
            except EmptyPipeError:
                raise ConnectionLost("data_subscribe", "the node ended the subscription") from None
            if len(rows):
                first, end = int(rows["timestamp"][0]), int(rows["timestamp"][-1]) + 1
                if newest is None:
                    if self._order is Order.OLDEST_FIRST:
                        after_break = await self._join(one, first)
                        newest = one.taken.end if one.taken else first
                    one.live_from = first if one.live_from is None else one.live_from
                await self._take(one, rows, after_break, min(first, newest or first))
                newest = end
                pipe.consume(len(rows))
                after_break = False
            after_break = after_break or pipe.end_of_interval

    async def _join(self, one: _Data, first: int) -> bool:
        """Read everything before the first live row; returns whether a break lies before it."""
        until = self._clock.seconds() + JOIN_SECONDS
        while True:
            edge = max(one.since, one.taken.end - 1) if one.taken else one.since
            near = await self._intervals(one, edge, first + 1)
            is_stored = first in near
            if is_stored or one.stream.keep_us == 0 or self._clock.seconds() >= until:
                break
            await self._sleep(self._pace.poll)
        await self._fill(one, edge, first)
        if not is_stored:
            return False
        follows = bool(one.taken) and (first in near and one.taken.end - 1 >= near.intervals[-1][0])
        one.taken = one.taken.add(one.taken.end if one.taken else first, first)
        return bool(one.taken) and not follows

    async def _fill(self, one: _Data, start: int, end: int | None) -> None:
        """Read what is missing between two timestamps."""
        if one.taken:
            # A node looks each break up by itself: what was taken from the first row on is not asked about.
            first, behind = one.taken.intervals[0]
            if start < first and (end is None or first < end):
                await self._fill_span(one, start, first)
                start = behind
            elif first <= start < behind:
                start = behind
        await self._fill_span(one, start, end)
        one.is_filled = True

    async def _fill_span(self, one: _Data, start: int, end: int | None) -> None:
        before, start = self._edge(one, start)
        if not one.is_filled:
            # There may be so many breaks that a node has no answer about all of them in time.
            info = await self._node.data_stream_info(one.stream)
            if info.start is not None and info.end is not None:
                length, longest = STRETCH
                until = max(before, info.start) + length
                while until <= info.end and (end is None or until < end):
                    has = await self._fill_stretch(one, before, start, until, self._old)
                    if has:
                        before, start = has.end - 1, has.end
                    if len(has) < FEW_INTERVALS:
                        length = min(2 * length, longest)
                    until += length
        await self._fill_stretch(one, before, start, end, self._old)

    @staticmethod
    def _edge(one: _Data, start: int) -> tuple[int, int]:
        # A node cuts intervals at the start: only with the row before it can a break be told from none.
        return start if start == one.since else start - 1, start

    async def _fill_stretch(
        self, one: _Data, before: int, start: int, end: int | None, turns: DeferredSemaphore
    ) -> IntervalSet:
        """Read what is missing; gives what the node has from ``before`` on, the last row before it all."""
        has = await self._intervals(one, before, end)
        for (first, last), begins in windows(has, one.taken.add(before, start)):
            await turns.acquire()
            try:
                await self._read(one, first, last, begins and bool(one.taken))
            finally:
                turns.release()
        return has

    async def _intervals(self, one: _Data, start: int, end: int | None) -> IntervalSet:
        if end is not None and end <= start:
            return IntervalSet()
        found = await self._node.data_intervals(one.stream, start, end)
        return IntervalSet(tuple((first, last) for first, last in found))

    async def _read(self, one: _Data, start: int, end: int, after_break: bool) -> None:
        pipe = await self._node.data_read(one.stream, start, end)
        between = False
        try:
            while True:
                try:
                    rows = await pipe.read()
                except EmptyPipeError:
                    break
                if len(rows):
                    # What lies between two intervals is not taken: rows may be written there later.
                    since = int(rows["timestamp"][0]) if between else start
                    one.examined = max(one.examined, since)
                    await self._take(one, rows, after_break or between, since)
                    start = int(rows["timestamp"][-1]) + 1
                    pipe.consume(len(rows))
                    after_break = between = False
                between = between or pipe.end_of_interval
        finally:
            await pipe.close()
        if start < end:
            # Between two blocks of a read a stream may be deleted, and the node ends as if that were all.
            if await self._intervals(one, start, end):
                raise ConnectionLost("data_read", "the node ended a read before its end")
            if not between:
                await self._took(one, start, end, Batch())

    async def _take(self, one: _Data, rows: Any, after_break: bool, since: int) -> None:
        """Hand rows over; with them everything from ``since`` on is taken."""
        block = to_block(one.name, one.stream, rows, raw=self._raw, after_break=after_break)
        await self._took(one, since, int(rows["timestamp"][-1]) + 1, Batch((block,), infos=self._news(one)))

    async def _took(self, one: _Data, start: int, end: int, batch: Batch) -> None:
        taken = one.taken.add(start, end)
        one.taken = taken.without_holes(MOST_HOLES)
        closed = tuple(
            Gap(one.name, first * 1000, last * 1000 - 1, "too many outages to remember")
            for first, last in one.taken.minus(taken).within(one.examined, None)
        )
        await self._put(Batch(batch.blocks, closed, batch.infos))

    def _news(self, one: _Data) -> tuple[StreamInfo, ...]:
        if one.is_described:
            return ()
        one.is_described = True
        return (describe(one.name, one.stream, raw=self._raw),)

    async def _tell_what_expired(self, one: _Data) -> None:
        """A stream that is kept for a time may have lost rows while we were away."""
        if one.stream.keep_us < 0 or not one.reached:  # a stream without a row yet begins at 0
            return
        info = await self._node.data_stream_info(one.stream)
        if info.start is None or info.end is None or info.start <= one.reached:
            return
        if one.reached < info.end - one.stream.keep_us:
            lost = (one.reached * 1000, info.start * 1000 - 1)
            await self._put(Batch(gaps=(Gap(one.name, *lost, "the node had dropped it already"),)))

    # ------------------------------------------------------------------ annotations and events

    async def _take_annotations(self, one: _Data) -> None:
        found = await self._node.annotation_get(one.stream, start=one.since, end=self._until)
        new = [
            (each.id, annotation_note(one.name, each)) for each in found if (each.id or 0) > one.annotation
        ]
        if new:
            one.annotation = max(each or 0 for each, _ in new)
            # The stream may have to be made for them before its first row comes.
            await self._put(Batch(infos=self._news(one), notes=_in_order(note for _, note in new)))

    async def _take_events(self, one: _Events) -> None:
        found = await self._node.event_stream_read(one.path, start=one.since, end=self._until)
        new = [each for each in found if (each.id or 0) > one.highest]
        if found:
            one.since = max(one.since, max(each.start_time for each in found) - LATE_EVENTS)
        if new:
            one.highest = max(each.id or 0 for each in new)
            await self._put(Batch(notes=_in_order(event_note(one.name, each) for each in new)))


def _in_order(notes: Any) -> tuple[Note, ...]:
    return tuple(sorted(notes, key=lambda note: note.start_ns))
