"""A device of an iobeam project as an end of a relay's route.

`IobeamSink` writes each stream of a route as a series of one device, up to 1000 points a request.
`IobeamSource` gives a device's series: what is new, by asking again and again, or a stretch of its history.

What the platform cannot hold is said by the capabilities, and named by the plan of a route: instants
finer than a microsecond, NaN and infinities, several columns of one stream, breaks, gaps, descriptions and
notes.  Numbers, texts and booleans travel as what they are.  The embedded hub keeps all values as texts:
there, a text that is a number is read back as that number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import groupby
from typing import Any

import numpy as np
from attrs import evolve
from twisted.internet.task import deferLater

from txbridge.errors import Advice, Closed, ConfigError, NotFound, RequestRejected, TooLarge
from txbridge.iobeam import operations
from txbridge.iobeam.client import Client
from txbridge.iobeam.errors import NOT_FOUND, DuplicateIdError, NoSuchThing
from txbridge.iobeam.structures import (
    MAX_POINTS,
    ExportedPoint,
    QueryReq,
    Row,
    Timestamp,
    TimeUnit,
    check_device_id,
)
from txbridge.model.samples import Batch, Cursor, Gap, SampleBlock, ValueType
from txbridge.net.deferred import deferred
from txbridge.net.reactor import resolve_reactor
from txbridge.relay.ends import last_of_each, read_instants, search_refused, unexplained
from txbridge.relay.roles import Capabilities, Receipt, Rejection, Selection, Subscription

__all__ = [
    "BEGINNING",
    "NUMBERS",
    "SINK_CAPABILITIES",
    "SOURCE_CAPABILITIES",
    "IobeamSink",
    "IobeamSource",
    "look_at",
]

MICROSECOND = 1000  # nanoseconds
MILLISECOND = 1000  # microseconds

BEGINNING = 0
"""As ``since``: everything that the platform has."""

LIMIT = 1000
"""The most points of a series in one answer: as many as a millisecond has microseconds, so that a window of
one millisecond, the smallest that can be asked for, is always whole."""

TOO_MUCH = (400, 413)  # statuses of a refusal to answer with so much
LAST = (2**63 - 1) // MICROSECOND // MILLISECOND  # the last millisecond whose nanoseconds have 64 bits
OFTEN = 60_000_000  # microseconds that each question looks back
SELDOM = 4  # times, while as long passes as points may be late, it looks back as far as that
EXACT = 1 << 53  # up to here each integer is a float too

SINK_CAPABILITIES = Capabilities(
    time_resolution_ns=MICROSECOND, not_numbers=False, any_order=True, max_batch_points=MAX_POINTS
)

SOURCE_CAPABILITIES = Capabilities(time_resolution_ns=MICROSECOND, not_numbers=False, acknowledges=False)

NUMBERS = evolve(SOURCE_CAPABILITIES, value_types=frozenset({ValueType.FLOAT}), gaps=True)
"""Those of a source that gives numbers alone."""


# ---------------------------------------------------------------------------------------------- sink


class IobeamSink:
    """Writes streams as the series of one device.

    A receipt means that the service has answered with success: a txbridge hub then has it on disk.
    Writing a point again changes nothing, so a batch may safely be delivered twice.
    """

    def __init__(self, client: Client, *, device_id: str | None = None, register: bool = True) -> None:
        """Prepare a sink; nothing is sent before the first batch.

        Args:
            client: How the project is reached; it stays its owner's to close.
            device_id: The device; None is the client's.
            register: Register the device when the service does not know it.

        Raises:
            ConfigError: There is no device id.
        """
        self._client = client
        self._device_id = _device_of(client, device_id)
        self._register = register

    @property
    def capabilities(self) -> Capabilities:
        """What a device can hold."""
        return SINK_CAPABILITIES

    @property
    def skew(self) -> float | None:
        """How many seconds the service's clock is ahead of this machine's; None when that is not known."""
        return self._client.skew

    @deferred
    async def deliver(self, batch: Batch) -> Receipt:
        """Write a batch, in as few requests as it fits into.

        Returns:
            A receipt; blocks that the service refuses for good are its rejections, with its words.

        Raises:
            ConfigError: The service does not know the device, and it is not to be registered.
            TooLarge: The request is too large for the service: give it less.
            RemoteProtocolError: Something answered that is no service of this API.
            BridgeError: Nothing is known about the batch.
        """
        if batch.empty:
            await self._client.device_timestamp()
            return Receipt()
        numbered = enumerate(batch.blocks)
        blocks = [(index, last_of_each(block, MICROSECOND)) for index, block in numbered if len(block)]
        rejections: list[Rejection] = []
        for table in _tables(blocks):
            reason = await self._refusal(table)
            if reason is not None:
                refused = await search_refused(table, self._refusal, reason)
                rejections += [Rejection(index, why) for (index, _), why in refused]
        return Receipt(tuple(rejections))

    @deferred
    async def close(self) -> None:
        """Nothing is held: the client is its owner's."""

    async def _refusal(self, table: Sequence[tuple[int, SampleBlock]]) -> str | None:
        """Write, and give the reason if the service will never take it."""
        blocks = [block for _, block in table]
        try:
            operation = operations.import_table(
                self._client.project_id, self._device_id, [block.stream for block in blocks], _rows(blocks)
            )
        except ValueError as error:
            return str(error)  # the API has no form for it
        try:
            try:
                await self._client.run(operation)
            except NoSuchThing as error:
                if not self._register or error.code != NOT_FOUND:
                    raise
                await self._register_device()
                await self._client.run(operation)
        except RequestRejected as error:
            unclear = unexplained(error)
            if unclear is not None:
                raise unclear from error
            if isinstance(error, NotFound):
                # Nothing is wrong with the data: it waits until somebody has made the device.
                raise ConfigError([f"there is no device {self._device_id} to write to: {error}"]) from error
            if error.advice is not Advice.BURY or isinstance(error, TooLarge):
                raise
            return str(error)
        return None

    async def _register_device(self) -> None:
        with suppress(DuplicateIdError):  # somebody else was quicker
            await self._client.run(operations.register_device(self._client.project_id, self._device_id))


def _device_of(client: Client, device_id: str | None) -> str:
    if device_id is None:
        device_id = client.getDeviceId()
    if device_id is None:
        raise ConfigError(["an end of iobeam needs a device_id"])
    return check_device_id(device_id)


def _tables(blocks: Iterable[tuple[int, SampleBlock]]) -> list[list[tuple[int, SampleBlock]]]:
    """Blocks that go together in one request: of different streams, and with few enough cells."""
    tables: list[list[tuple[int, SampleBlock]]] = []
    names: set[str] = set()
    instants: set[int] = set()
    for index, block in blocks:
        together = instants.union((block.at // MICROSECOND).tolist())
        fits = len(together) * (len(names) + 1) <= MAX_POINTS and block.stream not in names
        if tables and fits:
            tables[-1].append((index, block))
            names.add(block.stream)
            instants = together
        else:
            tables.append([(index, block)])
            names, instants = {block.stream}, set((block.at // MICROSECOND).tolist())
    return tables


def _rows(blocks: Sequence[SampleBlock]) -> list[Row]:
    cells: dict[int, list[Any]] = {}
    for column, block in enumerate(blocks):
        ats = (block.at // MICROSECOND).tolist()
        for at, value in zip(ats, block.values.tolist(), strict=True):
            cells.setdefault(at, [None] * len(blocks))[column] = value
    return [Row(at, tuple(cells[at])) for at in sorted(cells)]


# -------------------------------------------------------------------------------------------- source


class IobeamSource:
    """Gives the series of one device, from where an earlier flow had come to.

    The platform tells nobody what is new, so it is asked again every few seconds, each time for a little
    more than that: a point that arrives late is found as long as it is not older, by more than ``late``, than
    the newest point of the device at that time; at once if that is a minute, and otherwise before a quarter
    of ``late`` has passed.  A device that was away for long and then sends what it has
    kept, oldest first, loses nothing: while it is away there is no newer point.

    A cursor is that newest instant, and where it all began.  What was given before is given again after a
    restart, as far as ``late`` goes, which changes nothing in a history.
    """

    def __init__(
        self,
        client: Client,
        *,
        device_id: str | None = None,
        since: int | None = None,
        until: int | None = None,
        every: float = 10.0,
        late: float = 3600.0,
        numbers: bool = False,
        reactor: Any = None,
    ) -> None:
        """Prepare a source; nothing is asked before it is opened.

        Args:
            client: How the project is reached; it stays its owner's to close.
            device_id: The device; None is the client's.
            since: The first instant that is wanted, in microseconds; `BEGINNING` is everything.  None is from
                when it was opened first: a cursor of that flow remembers it.
            until: The first instant that is not wanted any more: the flow ends when everything before it was
                read.  None goes on for ever.
            every: Seconds between questions for what is new.
            late: Seconds that a point may be older than the newest, and is still found.  The last minute of
                them is looked at with each question, and all of them four times while they pass; so much is
                held in memory.
            numbers: Give values as float64; what is not a number is left out and told as a gap.
                Otherwise they are of the type that the platform has.
            reactor: For the times between questions; None is the global one.

        Raises:
            ConfigError: There is no device id, or a time is none.
        """
        if not every > 0 or late < 0:
            raise ConfigError([f"an iobeam source asks every {every} seconds and looks {late} seconds back"])
        self._client = client
        self._device_id = _device_of(client, device_id)
        self._since = since
        self._until = until
        self._every = every
        self._late = round(late * 1_000_000) if until is None else 0
        self._numbers = numbers
        self._clock = resolve_reactor(reactor)
        self._now: int | None = None

    @property
    def capabilities(self) -> Capabilities:
        """What may come."""
        return NUMBERS if self._numbers else SOURCE_CAPABILITIES

    @deferred
    async def open(self, selection: Selection, after: Cursor | None) -> Subscription:
        """Begin after the cursor.

        Raises:
            ConfigError: The cursor is not one of this source.
            NotFound: There is no such device yet.
            BridgeError: The service cannot be asked.
        """
        place = read_instants(after, "a device of iobeam")
        if after is not None and set(place) != {"begin", "at"}:
            raise ConfigError(["the cursor is not one of a device of iobeam"])
        # Whoever opens it takes the device for well then, and says so.
        await look_at(self._client, self._device_id)
        if after is None:
            begin = self._since
            if begin is None:
                if self._now is None:
                    # Kept, so that a flow that is opened again before its first batch begins here too.
                    self._now = await self._client.device_timestamp() * MILLISECOND
                begin = self._now
            place = {"begin": begin, "at": begin}
        return _IobeamFlow(
            self._client,
            self._device_id,
            selection,
            place["begin"],
            place["at"],
            until=self._until,
            every=self._every,
            late=self._late,
            numbers=self._numbers,
            clock=self._clock,
            is_new=after is None,
        )


@deferred
async def look_at(client: Client, device_id: str) -> None:
    """Find out whether a device can be read, with as little as can be asked for.

    Raises:
        NotFound: There is no such device yet.
        BridgeError: The service cannot be asked.
    """
    await client.export(QueryReq(client.project_id, device_id).in_time_range(0, 0).limit(1))


class _IobeamFlow:
    """Reads windows of time, one after the other, and then waits and reads again.

    An answer holds the newest points of each series, up to a limit.  A window in which a series has reached
    the limit is not whole: it is asked for again, smaller.  All times in here are in microseconds but those
    of windows, which are in milliseconds, as questions are.
    """

    def __init__(
        self,
        client: Client,
        device_id: str,
        selection: Selection,
        begin: int,
        at: int,
        *,
        until: int | None,
        every: float,
        late: int,
        numbers: bool,
        clock: Any,
        is_new: bool,
    ) -> None:
        self._client = client
        self._device_id = device_id
        self._selection = selection
        self._begin = begin
        self._at = at
        self._until = until
        self._every = every
        self._late = late
        self._numbers = numbers
        self._clock = clock
        self._is_new = is_new
        self._position: int | None = None  # where the next window begins; None between two rounds
        self._end = LAST if until is None else min((until - 1) // MILLISECOND, LAST)
        self._width = LAST  # of the next window
        self._now = 0  # the service's, when the round began
        self._rounds = 0
        self._looks_back_at = 0.0
        self._given: dict[str, dict[int, Any]] = {}
        self._fractions: set[str] = set()  # series that are known to have floats
        self._is_closed = False

    @deferred
    async def next_batch(self) -> Batch:
        """The points that are new, when there are some; at the beginning of it all, where that is.

        Raises:
            Closed: It was closed, or everything was read.
            BridgeError: The service cannot be asked.
        """
        if self._is_new:
            self._is_new = False
            return Batch(cursor=self._cursor())
        while not self._is_closed:
            if self._position is None:
                if self._until is not None and self._rounds:
                    raise Closed("the history of the device")
                if self._rounds:
                    await deferLater(self._clock, self._every)
                self._now = await self._client.device_timestamp() * MILLISECOND
                self._position = max(self._begin, self._at - self._reach()) // MILLISECOND
            batch = await self._next_window(self._position)
            if batch is not None and not batch.empty:
                return batch
        raise Closed("the flow of the device")

    def settled(self, cursor: Cursor) -> None:
        """The platform keeps its history, so there is nothing to tell it."""

    @deferred
    async def close(self) -> None:
        """Ask no more."""
        self._is_closed = True

    @property
    def _furthest(self) -> int:
        """How far it has to look back now and then, so that none is too late only by the time between."""
        return self._late + self._late // SELDOM

    def _reach(self) -> int:
        """How far the next round looks back."""
        now: float = self._clock.seconds()
        if self._rounds and now < self._looks_back_at:
            return min(self._late, OFTEN)
        self._looks_back_at = now + self._late / SELDOM / 1_000_000
        return self._furthest

    def _cursor(self) -> Cursor:
        return Cursor({"begin": self._begin, "at": self._at})

    async def _next_window(self, start: int) -> Batch | None:
        """Read one window; None if it was not whole."""
        if start > self._end:
            self._finish()
            return None
        end = min(start + self._width, self._end)
        query = QueryReq(self._client.project_id, self._device_id, timeUnit=TimeUnit.MICROSECONDS)
        query.in_time_range(Timestamp(start), Timestamp(end)).limit(LIMIT)
        try:
            found = await self._client.export(query)
        except RequestRejected as error:
            if error.status not in TOO_MUCH or end == start:
                raise
            self._narrow(start, end)  # of many series there may be too many points in one answer
            return None
        # Until here nothing has changed, so that a question that is given up is asked again.
        most = max((len(one.points) for one in found), default=0)
        if most >= LIMIT and end > start:
            self._narrow(start, end)
            return None
        new = {
            one.name: points
            for one in found
            if self._selection.wants(one.name) and (points := self._news(one.name, one.points))
        }
        for points in new.values():
            self._at = max(self._at, min(points[-1].at, self._now))
        if end >= self._end:
            self._finish()
        else:
            self._position = max(end, start + 1)
        if most < LIMIT // 4:
            self._width = min(max(self._width, 1) * 4, LAST)
        self._forget()
        return self._batch(new)

    def _narrow(self, start: int, end: int) -> None:
        now = self._now // MILLISECOND
        self._width = now - start if start < now < end else (end - start) // 2

    def _finish(self) -> None:
        self._position = None
        self._rounds += 1

    def _news(self, name: str, points: Iterable[ExportedPoint]) -> list[ExportedPoint]:
        """Those that were not given yet, or not with this value; of several of an instant the last."""
        given = self._given.setdefault(name, {})
        last = LAST * MILLISECOND if self._until is None else self._until - 1
        news: list[ExportedPoint] = []
        for point in {point.at: point for point in points}.values():
            if point.value is None or not self._begin <= point.at <= last:
                continue
            if point.at not in given or given[point.at] != point.value:
                news.append(point)
                given[point.at] = point.value
        return news

    def _forget(self) -> None:
        """What will not be asked for again."""
        again = self._at - self._furthest
        if self._position is not None:
            again = min(again, self._position * MILLISECOND)
        for name, given in self._given.items():
            if any(at < again for at in given):
                self._given[name] = {at: value for at, value in given.items() if at >= again}

    def _batch(self, new: dict[str, list[ExportedPoint]]) -> Batch:
        blocks: list[SampleBlock] = []
        gaps: list[Gap] = []
        for name, points in new.items():
            if self._numbers:
                _as_numbers(name, points, blocks, gaps)
            else:
                if any(isinstance(point.value, float) for point in points):
                    self._fractions.add(name)
                blocks += _as_they_are(name, points, name in self._fractions)
        return Batch(tuple(blocks), gaps=tuple(gaps), cursor=self._cursor())


def _as_numbers(
    name: str, points: Iterable[ExportedPoint], blocks: list[SampleBlock], gaps: list[Gap]
) -> None:
    numbers: list[tuple[int, float]] = []
    for point in points:
        at = point.at * MICROSECOND
        try:
            if isinstance(point.value, str):
                raise ValueError
            numbers.append((at, float(point.value or 0)))
        except (ValueError, OverflowError):
            gaps.append(Gap(name, at, at, "the value is not a number", 1))
    if numbers:
        ats, values = zip(*numbers, strict=True)
        blocks.append(SampleBlock.scalar(name, np.array(ats, np.int64), np.array(values)))


def _as_they_are(name: str, points: Iterable[ExportedPoint], is_fraction: bool) -> Iterable[SampleBlock]:
    """A block for each run of values of one type; integers of a series with floats are floats."""

    def typed(point: ExportedPoint) -> tuple[ValueType, Any]:
        value = point.value
        if isinstance(value, bool):
            return ValueType.BOOLEAN, value
        if isinstance(value, float):
            return ValueType.FLOAT, value
        if isinstance(value, int):
            if is_fraction and abs(value) <= EXACT:
                return ValueType.FLOAT, float(value)
            if -(1 << 63) <= value < 1 << 63:
                return ValueType.INTEGER, value
        return ValueType.TEXT, str(value)

    cells = ((point.at * MICROSECOND, *typed(point)) for point in points)
    kinds = {ValueType.FLOAT: np.float64, ValueType.INTEGER: np.int64, ValueType.BOOLEAN: np.bool_}
    for kind, run in groupby(cells, key=lambda cell: cell[1]):
        ats, _, values = zip(*run, strict=True)
        yield SampleBlock.scalar(name, np.array(ats, np.int64), np.array(values, kinds.get(kind, object)))
