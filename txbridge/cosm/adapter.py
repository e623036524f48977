"""Cosm feeds as an end of a relay's route.

`CosmSink` writes each stream of a route as a datastream of one feed, up to 500 points a request,
whatever streams they belong to.  `CosmSource` gives a feed's updates, with what was missed while
it was away from the feed's history.  `CosmHistorySource` gives a stretch of the history, and ends.

What a Cosm feed cannot hold is said by the capabilities, and named by the plan of a route: instants
finer than a microsecond, NaN and infinities, several columns of one stream, breaks and gaps.
Values are text there: a number is written as the shortest text that reads back as the same number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import numpy as np
from attrs import evolve
from twisted.logger import Logger

from txbridge.codecs.points import number_texts, points_from_text
from txbridge.cosm.client import Client, Verbs
from txbridge.cosm.operations import Id
from txbridge.cosm.paws import PAWSClient
from txbridge.cosm.updates import Missed, Update, Updates
from txbridge.cosm.walk import HistoryWalk
from txbridge.errors import (
    Advice,
    Closed,
    ConfigError,
    NotFound,
    RequestRejected,
    TooLarge,
)
from txbridge.model.instants import from_microseconds, to_microseconds, to_nanoseconds
from txbridge.model.samples import Batch, Cursor, Gap, SampleBlock, StreamInfo, ValueType, value_type_of
from txbridge.model.structures import Datapoint, Datastream, Environment, Unit
from txbridge.net.deferred import deferred
from txbridge.relay.ends import read_instants, search_refused, unexplained
from txbridge.relay.roles import Capabilities, Receipt, Rejection, Selection, Subscription

__all__ = ["SINK_CAPABILITIES", "SOURCE_CAPABILITIES", "CosmHistorySource", "CosmSink", "CosmSource"]

T = TypeVar("T")

MAX_POINTS = 500
"""The most points of one request.  Source: Cosm API v2, "Usage limits"."""

MAX_BATCH = 5000
"""The most points of one batch of a source."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FURTHEST = (2**63 - 1) // 1000  # microseconds from 1970 that are nanoseconds in 64 bits
_ABOUT_DATA = frozenset((422,))  # a refusal with one of these is believed without a reason

SINK_CAPABILITIES = Capabilities(
    time_resolution_ns=1000,
    value_types=frozenset({ValueType.FLOAT, ValueType.INTEGER, ValueType.TEXT}),
    not_numbers=False,
    infos=True,
    any_order=True,
    max_batch_points=MAX_POINTS,
)

SOURCE_CAPABILITIES = Capabilities(
    time_resolution_ns=1000,
    value_types=frozenset({ValueType.TEXT}),
    not_numbers=False,
    gaps=True,
    infos=True,
    acknowledges=False,
)

_NUMBERS = evolve(SOURCE_CAPABILITIES, value_types=frozenset({ValueType.FLOAT}))


class CosmSink:
    """Writes streams as the datastreams of one feed.

    A receipt means that the server has answered 2xx: on a txbridge hub, that it is on disk.
    Writing a point again changes nothing, so a batch may safely be delivered twice.
    """

    _log = Logger()

    def __init__(self, client: Verbs, *, feed_id: Id = None, title: str | None = None) -> None:
        """Prepare a sink; nothing is sent before the first batch.

        Args:
            client: How the feed is reached; it stays its owner's to close.
            feed_id: The feed to write to.
            title: Without a feed id: make a feed with this title when the first batch comes.

        Raises:
            ConfigError: There is neither a feed id nor a title.
        """
        if feed_id is None and title is None:
            raise ConfigError(["a Cosm sink needs a feed_id, or a title for a new feed"])
        self._client = client
        self._feed_id = feed_id
        self._title = title

    @property
    def capabilities(self) -> Capabilities:
        """What a feed can hold."""
        return SINK_CAPABILITIES

    @property
    def skew(self) -> float | None:
        """How many seconds the server's clock is ahead of this machine's; None when that is not known."""
        return self._client.skew

    @property
    def feed_id(self) -> Id:
        """The feed; None until it was made."""
        return self._feed_id

    @deferred
    async def deliver(self, batch: Batch) -> Receipt:
        """Write a batch, in one request if the server takes all of it.

        Returns:
            A receipt; blocks that the server refuses for good are its rejections, with its words.
            A description that it refuses is logged, and takes no points with it.

        Raises:
            ConfigError: The server has no such feed.
            TooLarge: The request is too large for the server: give it less.
            RemoteProtocolError: Something answered that is no server of this API.
            BridgeError: Nothing is known about the batch.
        """
        if batch.empty:
            await self._greet()
            return Receipt()
        if self._feed_id is None:
            self._feed_id = await self._client.create_feed(data=Environment(title=self._title))
        reason = await self._refusal(batch.blocks, batch.infos)
        if reason is None:
            return Receipt()
        # One part was refused, and with it all: find out which.
        infos = await search_refused(
            batch.infos, lambda infos: self._refusal([], infos), None if batch.blocks else reason
        )
        for info, why in infos:
            self._log.warn("the description of {stream} is refused: {reason}", stream=info.name, reason=why)
        blocks = await search_refused(
            tuple(enumerate(batch.blocks)),
            lambda blocks: self._refusal([block for _, block in blocks], []),
            None if batch.infos else reason,
        )
        return Receipt(tuple(Rejection(index, why) for (index, _), why in blocks))

    @deferred
    async def close(self) -> None:
        """Nothing is held: the client is its owner's."""

    async def _greet(self) -> None:
        try:
            await self._client.list_feeds(parameters={"per_page": 1, "content": "summary"})
        except RequestRejected as error:
            if error.advice is Advice.RETRY:
                raise
            # A key for writing only may not ask this, but it was the server that said so.

    async def _refusal(self, blocks: Iterable[SampleBlock], infos: Iterable[StreamInfo]) -> str | None:
        """Write, and give the reason if the server will never take it."""
        try:
            document = _document(blocks, infos)
        except ValueError as error:
            return str(error)  # the API has no form for it
        try:
            await self._write(document)
        except NotFound as error:
            # Nothing is wrong with the data: it waits until somebody has made the feed.
            raise ConfigError([f"there is no feed {self._feed_id} to write to: {error}"]) from error
        except TooLarge:
            raise
        except RequestRejected as error:
            if error.advice is not Advice.BURY:
                raise
            return str(error)
        return None

    async def _write(self, document: Environment) -> None:
        if not document.datastreams:
            return
        try:
            await self._client.update_feed(feed_id=self._feed_id, data=document)
        except RequestRejected as error:
            unclear = unexplained(error, plain=_ABOUT_DATA)
            if unclear is not None:
                raise unclear from error
            raise


def _document(blocks: Iterable[SampleBlock], infos: Iterable[StreamInfo]) -> Environment:
    document = Environment()
    for info in infos:
        describe(document.datastream(info.name), info)
    for block in blocks:
        # As texts, which become datapoints all at once: one by one they take four times as long.
        ats = np.datetime_as_string((block.at // 1000).view("M8[us]"), timezone="UTC").tolist()
        is_text = value_type_of(block.values) is ValueType.TEXT
        values = list(map(str.__str__, block.values.tolist())) if is_text else number_texts(block.values)
        document.datastream(block.stream).datapoints += points_from_text("json", "", ats, values)
    return document


def describe(stream: Datastream, info: StreamInfo) -> None:
    """Say in a datastream what is known about a stream."""
    unit = (info.unit_type, info.unit_symbol, info.unit_label)
    if any(part is not None for part in unit):
        stream.unit = Unit(type=unit[0], symbol=unit[1], label=unit[2])
    if info.tags:
        stream.tags = list(info.tags)


class CosmSource:
    """Gives the updates of one feed, from where an earlier flow had come to.

    A cursor is the newest instant of each datastream.  The first one comes before any point, so that a
    relay that is stopped before there is one still knows where it began.
    """

    def __init__(
        self,
        client: PAWSClient,
        *,
        feed_id: Id = None,
        since: datetime | str | None = None,
        late: timedelta = timedelta(0),
        numbers: bool = False,
    ) -> None:
        """Prepare a source; the client is connected when the source is opened.

        Args:
            client: How the feed is reached; it stays its owner's to disconnect.
            feed_id: The feed; the client's own unless given.
            since: Where the first flow, the one without a cursor, begins; None is "from now on".
            late: How much older than the newest points the points may be that somebody records while
                this source is away, such as another relay that sends its backlog.  So much history is
                read again after each outage; what was given before is given again, which changes nothing
                in a history.
            numbers: Give values as float64; what is not a number is left out and told as a gap.
                Otherwise they are the text that the feed has.

        Raises:
            ConfigError: There is no feed id.
        """
        self._feed_id = client.feed_id if feed_id is None else feed_id
        if self._feed_id is None:
            raise ConfigError(["a Cosm source needs a feed_id"])
        self._client = client
        self._since = since
        self._late = late
        self._now: tuple[datetime, dict[str, int]] | None = None
        self._numbers = numbers

    @property
    def capabilities(self) -> Capabilities:
        """What may come."""
        return _NUMBERS if self._numbers else SOURCE_CAPABILITIES

    @deferred
    async def open(self, selection: Selection, after: Cursor | None) -> Subscription:
        """Subscribe, and read what was recorded after the cursor.

        Raises:
            ConfigError: The cursor is not one of this source.
            BridgeError: The feed cannot be read.
        """
        seen = read_instants(after, "a Cosm feed")
        self._client.connect()
        feed = await self._client.read_feed(feed_id=self._feed_id)
        since: datetime | str | None = self._since
        if since is None and after is None:
            # From now on, also for a flow that is opened again before the first point has come.
            self._now = self._now or _known(feed)
            since, seen = self._now
        elif since is None and not seen:
            since = _EPOCH  # it began when the feed held nothing
        infos = tuple(
            _info(stream, self._numbers) for name, stream in feed.datastreams.items() if selection.wants(name)
        )
        updates = self._client.updates(
            self._feed_id,
            since=since,
            after={name: from_microseconds(at) for name, at in seen.items()},
            late=self._late,
        )
        return _CosmSubscription(updates, selection, seen, infos, self._numbers, begins=after is None)


class _CosmSubscription:
    """Puts updates together to batches."""

    def __init__(
        self,
        updates: Updates,
        selection: Selection,
        seen: Mapping[str, int],
        infos: tuple[StreamInfo, ...],
        numbers: bool,
        *,
        begins: bool,
    ) -> None:
        self._updates = updates
        self._selection = selection
        self._seen = dict(seen)
        self._infos = infos
        self._numbers = numbers
        self._begins = begins

    @deferred
    async def next_batch(self) -> Batch:
        """The updates that are there, or the next one; at the beginning of it all, where that is."""
        blocks: list[SampleBlock] = []
        gaps: list[Gap] = []
        points = 0
        begins, self._begins = self._begins, False
        if begins and not self._updates.ready():
            return self._batch(blocks, gaps)
        update = await self._updates.next_update()
        while True:
            if isinstance(update, Missed):
                gaps += self._gaps(update)
            else:
                points += len(update.datapoints)
                self._take(update, blocks, gaps)
            if points >= MAX_BATCH or not self._updates.ready():
                break
            update = await self._updates.next_update()  # fires at once: cancelling cannot come between
        return self._batch(blocks, gaps)

    def _batch(self, blocks: list[SampleBlock], gaps: list[Gap]) -> Batch:
        infos, self._infos = self._infos, ()
        return Batch(tuple(blocks), gaps=tuple(gaps), infos=infos, cursor=Cursor(dict(self._seen)))

    def settled(self, cursor: Cursor) -> None:
        """A feed keeps its history, so there is nothing to tell it."""

    @deferred
    async def close(self) -> None:
        """Unsubscribe."""
        self._updates.close()

    def _take(self, update: Update, blocks: list[SampleBlock], gaps: list[Gap]) -> None:
        name = update.datastream_id
        ats = [to_microseconds(point.at) for point in update.datapoints if point.at is not None]
        if not ats:
            return
        self._seen[name] = max(ats[-1], self._seen.get(name, ats[-1]))
        if self._selection.wants(name):
            _convert(name, update.datapoints, self._numbers, blocks, gaps)

    def _gaps(self, missed: Missed) -> list[Gap]:
        """A gap of every datastream that is known: nobody can say which of them had points."""
        end = to_nanoseconds(missed.end)
        return [
            Gap(name, min(max(at, -_FURTHEST) * 1000, end), end, missed.reason)
            for name, at in self._seen.items()
            if self._selection.wants(name)
        ]


class CosmHistorySource:
    """Gives what one feed recorded between two instants, datastream by datastream, and ends.

    A cursor is the newest instant of each datastream.
    """

    def __init__(
        self,
        client: Client,
        *,
        feed_id: Id,
        start: datetime,
        end: datetime,
        numbers: bool = False,
    ) -> None:
        """Prepare a source; nothing is asked before it is opened.

        Args:
            client: How the feed is reached; it stays its owner's to close.
            feed_id: The feed.
            start: The first instant.
            end: The last instant.
            numbers: As of `CosmSource`.
        """
        self._client = client
        self._feed_id = feed_id
        self._start = start
        self._end = end
        self._numbers = numbers

    @property
    def capabilities(self) -> Capabilities:
        """What may come."""
        return _NUMBERS if self._numbers else evolve(SOURCE_CAPABILITIES, gaps=False)

    @deferred
    async def open(self, selection: Selection, after: Cursor | None) -> Subscription:
        """Find the datastreams, and begin after the cursor.

        Raises:
            ConfigError: The cursor is not one of this source.
            BridgeError: The feed cannot be read.
        """
        seen = read_instants(after, "a Cosm feed")
        feed = await self._client.read_feed(feed_id=self._feed_id)
        walks: dict[str, HistoryWalk] = {}
        infos: list[StreamInfo] = []
        for name, stream in feed.datastreams.items():
            if selection.wants(name):
                start = max(self._start, from_microseconds(seen[name] + 1)) if name in seen else self._start
                walks[name] = self._client.walk_history(name, start, self._end, feed_id=self._feed_id)
                infos.append(_info(stream, self._numbers))
        return _CosmHistory(walks, seen, tuple(infos), self._numbers)


class _CosmHistory:
    """Walks from one datastream to the next."""

    def __init__(
        self,
        walks: dict[str, HistoryWalk],
        seen: dict[str, int],
        infos: tuple[StreamInfo, ...],
        numbers: bool,
    ) -> None:
        self._walks = walks
        self._seen = seen
        self._infos = infos
        self._numbers = numbers

    @deferred
    async def next_batch(self) -> Batch:
        """The next points of a datastream.

        Raises:
            Closed: It was closed, or everything was read.
            BridgeError: Reading failed.
        """
        while self._walks:
            name, walk = next(iter(self._walks.items()))
            points = [point for point in await walk.next_datapoints() if point.at is not None]
            if not points:
                self._walks.pop(name, None)
                continue
            blocks: list[SampleBlock] = []
            gaps: list[Gap] = []
            _convert(name, points, self._numbers, blocks, gaps)
            self._seen[name] = max(to_microseconds(point.at) for point in points if point.at is not None)
            infos, self._infos = self._infos, ()
            return Batch(tuple(blocks), gaps=tuple(gaps), infos=infos, cursor=Cursor(dict(self._seen)))
        raise Closed("the history of the feed")

    def settled(self, cursor: Cursor) -> None:
        """A feed keeps its history, so there is nothing to tell it."""

    @deferred
    async def close(self) -> None:
        """Read no more."""
        self._walks = {}


def _convert(
    name: str, points: Iterable[Datapoint], numbers: bool, blocks: list[SampleBlock], gaps: list[Gap]
) -> None:
    """Points of a datastream as a block, and gaps of those that a block cannot hold."""
    there = [(to_microseconds(point.at), point.value or "") for point in points if point.at is not None]
    for at, _ in there:
        if abs(at) > _FURTHEST:
            outside = _FURTHEST * 1000 * (1 if at > 0 else -1)
            gaps.append(Gap(name, outside, outside, "the instant is not within 292 years of 1970", 1))
    there = [(at, text) for at, text in there if abs(at) <= _FURTHEST]
    if not there:
        return
    instants = np.array([at for at, _ in there], np.int64) * 1000
    texts = [text for _, text in there]
    if not numbers:
        blocks.append(SampleBlock.scalar(name, instants, np.array(texts, object)))
        return
    values = np.array([_as_float(text) for text in texts])
    good = np.isfinite(values)
    for at in instants[~good].tolist():
        gaps.append(Gap(name, at, at, "the value is not a number", 1))
    if good.any():
        blocks.append(SampleBlock.scalar(name, instants[good], values[good]))


def _known(feed: Environment) -> tuple[datetime, dict[str, int]]:
    """Where a flow begins that wants nothing of what a feed holds: new datastreams, and those there are.

    They stand in the flow's first cursor, so that one without new points is not new to a later flow.
    """
    ats = {name: stream.at for name, stream in feed.datastreams.items() if stream.at is not None}
    updated = feed.updated
    if updated is None:  # nobody has written to it yet, or its server does not say when
        return _EPOCH, {name: to_microseconds(at) for name, at in ats.items()}
    # An instant after the last write is one of a wrong clock: what comes may well lie before it.
    known = {name: to_microseconds(min(at, updated)) for name, at in ats.items()}
    return updated + timedelta(microseconds=1), known


def _info(stream: Datastream, numbers: bool) -> StreamInfo:
    unit = stream.unit or Unit()
    return StreamInfo(
        stream.id or "",
        unit_symbol=unit.symbol,
        unit_label=unit.label,
        unit_type=unit.type,
        value_type=ValueType.FLOAT if numbers else ValueType.TEXT,
        tags=tuple(stream.tags or ()),
    )


def _as_float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
