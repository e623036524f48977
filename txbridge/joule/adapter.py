"""Joule nodes as an end of a relay's route.

`JouleSource` gives data streams with their history, their annotations, and event streams.  After any
outage it goes on with exactly what is missing; see `txbridge.joule.following`.  A data stream of
several elements is a stream of several columns, which becomes several streams where the other end has no
columns.  `JouleSink` writes each stream of a route as a data stream of one folder.

A node holds microseconds, numbers and, in a way of its own, breaks, annotations and events; what else
another platform has is named by the plan of a route.  Between two nodes nothing is lost: with ``raw`` a
stream arrives as the same stream, of the same type and with the same elements.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from attrs import define, evolve
from numpy.typing import NDArray

from txbridge.errors import (
    Advice,
    ConfigError,
    DecodeError,
    EncodeError,
    NotFound,
    RemoteProtocolError,
    RequestRejected,
    TooLarge,
)
from txbridge.joule.blocks import MICROSECOND, Place, annotation_note, event_note, read_native
from txbridge.joule.client import Node
from txbridge.joule.errors import DataRefused, EmptyPipeError, InvalidArgument, StreamNotFound
from txbridge.joule.following import Flow, Order, Pace, Rows, no_stream
from txbridge.joule.operations import select_data_stream
from txbridge.joule.protocol import layout_dtype
from txbridge.joule.structures import KEEP_NONE, Annotation, DataStream, Element, Event, EventStream
from txbridge.model.samples import (
    VALUE,
    Batch,
    Column,
    Cursor,
    Note,
    NoteKind,
    SampleBlock,
    StreamInfo,
    ValueType,
    value_type_of,
)
from txbridge.net.deferred import deferred
from txbridge.net.reactor import resolve_reactor
from txbridge.relay.backfill import IntervalSet
from txbridge.relay.ends import last_of_each, unexplained
from txbridge.relay.roles import Capabilities, Receipt, Rejection, Selection, Subscription

__all__ = [
    "BEGINNING",
    "SINK_CAPABILITIES",
    "SOURCE_CAPABILITIES",
    "JouleSink",
    "JouleSource",
    "Order",
    "Pace",
    "Rows",
]

SOURCE_CAPABILITIES = Capabilities(
    time_resolution_ns=MICROSECOND,
    value_types=frozenset({ValueType.FLOAT, ValueType.INTEGER}),
    not_numbers=False,
    infinities=True,
    several_columns=True,
    breaks=True,
    gaps=True,
    infos=True,
    notes=True,
    acknowledges=False,
)

SINK_CAPABILITIES = Capabilities(
    time_resolution_ns=MICROSECOND,
    value_types=frozenset({ValueType.FLOAT, ValueType.INTEGER}),
    not_numbers=False,
    infinities=True,
    several_columns=True,
    breaks=True,
    gaps=True,
    infos=True,
    notes=True,
)

DATATYPES = ("float64", "float32", "int64", "int32", "int16")
"""Those that every version of a node takes."""

MOST_GAPS = 256
"""Gaps of one stream that a sink remembers."""

BEGINNING = 0
"""As ``since``: everything that a node has."""


class JouleSource:
    """Gives streams of one node, from where an earlier flow had come to.

    A cursor holds, for each data stream, the intervals that were taken.  Where a stream is wanted from now
    on, the first batch may be one with a cursor only, so that a relay that is stopped before there is a row
    still knows where it began.
    """

    def __init__(
        self,
        node: Node,
        streams: Mapping[str, str] | Iterable[str],
        *,
        since: int | None = None,
        until: int | None = None,
        rows: Rows = Rows.STORED,
        order: Order = Order.OLDEST_FIRST,
        raw: bool = False,
        notes: bool = True,
        pace: Pace | None = None,
        reactor: Any = None,
    ) -> None:
        """Prepare a source; nothing is asked before it is opened.

        Args:
            node: Where from; it stays its owner's to close.
            streams: The paths of data and event streams, or path -> name in the relay.  A path
                alone gives its name without the first slash and with dots for the others:
                ``/live/random`` is ``live.random``.
            since: The first timestamp that is wanted; `BEGINNING` is everything.  None is, for each
                stream, from when it was opened first: a cursor of that flow remembers it.
            until: The first timestamp that is not wanted any more: the flow ends when everything
                before it was read.  None goes on for ever.
            rows: Whether to wait until the node has stored what a module makes, so that a destination
                ends with exactly what the node has, or to give it at once.  Without a meaning for a
                range.
            order: What goes first after an outage.
            raw: Give numbers as they are stored, instead of as Lumen shows them: with the offset
                and the scale of their element.
            notes: Give annotations and events too.
            pace: How often the node is asked for what it does not tell by itself.
            reactor: For the times between questions; None is the global one.

        Raises:
            ConfigError: No stream, two of one name, or what is no path.
        """
        if isinstance(streams, str):
            streams = [streams]
        pairs = (
            dict(streams)
            if isinstance(streams, Mapping)
            else {path: path.lstrip("/").replace("/", ".") for path in streams}
        )
        if not pairs or len(set(pairs.values())) < len(pairs):
            raise ConfigError(
                [f"a Joule source needs streams with different names, not {list(pairs.values())}"]
            )
        problems = [problem for path in pairs for problem in _path_problems(path)]
        if problems:
            raise ConfigError(problems)
        self._node = node
        self._names = pairs
        self._since = since
        self._until = until
        self._rows = rows
        self._order = order
        self._raw = raw
        self._notes = notes
        self._pace = pace if pace is not None else Pace()
        self._clock = resolve_reactor(reactor)
        self._from_now: dict[str, int] = {}

    @property
    def capabilities(self) -> Capabilities:
        """What may come."""
        # A node refuses to store what is not a number; a module may give it all the same.
        is_live = self._rows is Rows.LIVE and self._until is None
        return evolve(SOURCE_CAPABILITIES, not_numbers=is_live, notes=self._notes)

    @deferred
    async def open(self, selection: Selection, after: Cursor | None) -> Subscription:
        """Find the streams, and begin to read what is missing.

        Raises:
            ConfigError: The cursor is not one of a Joule node; the node has no such stream; or it stores
                nothing of it, and only what is stored is wanted.
            BridgeError: The node cannot be asked.
        """
        place = Place.read(after)
        data: dict[str, tuple[str, DataStream, int]] = {}
        events: dict[str, tuple[str, EventStream, int]] = {}
        for path, name in self._names.items():
            if not selection.wants(name):
                continue
            try:
                await self._find(path, name, place, data, events)
            except StreamNotFound as error:
                raise no_stream(path) from error
        flow = Flow(
            self._node,
            rows=self._rows,
            order=self._order,
            pace=self._pace,
            raw=self._raw,
            clock=self._clock,
            until=self._until,
        )
        begins = dict(place.begins)
        if self._since is None:
            begins |= {path: since for path, (*_, since) in (*data.items(), *events.items())}
        flow.start(data, events, place, begins, notes=self._notes)
        return flow

    async def _find(
        self,
        path: str,
        name: str,
        place: Place,
        data: dict[str, tuple[str, DataStream, int]],
        events: dict[str, tuple[str, EventStream, int]],
    ) -> None:
        try:
            stream = await self._node.data_stream_get(path)
        except StreamNotFound:
            if not self._notes:
                raise
            record = await self._node.event_stream_get(path)
            events[path] = (name, record, await self._first_event(path, place))
            return
        if stream.keep_us == KEEP_NONE and self._rows is Rows.STORED and self._until is None:
            raise ConfigError([f"the node stores nothing of {path}, so its rows can only be had live"])
        data[path] = (name, stream, await self._first_row(path, place))

    async def _first_row(self, path: str, place: Place) -> int:
        if self._since is not None:
            return self._since
        if path in place.begins:
            return place.begins[path]
        taken = place.data.get(path)
        if taken:
            return taken.start
        if path not in self._from_now:
            # Kept, so that a flow that is opened again before its first batch begins at the same place.
            info = await self._node.data_stream_info(path)
            self._from_now[path] = BEGINNING if info.end is None else info.end + 1
        return self._from_now[path]

    async def _first_event(self, path: str, place: Place) -> int:
        if self._since is not None:
            return self._since
        if path in place.begins:
            return place.begins[path]
        if path in place.events:
            return BEGINNING  # those from before are known by their ids
        if path not in self._from_now:
            info = await self._node.event_stream_info(path)
            self._from_now[path] = BEGINNING if info.start is None or info.end is None else info.end + 1
        return self._from_now[path]


@define
class _Target:
    """A data stream that is written to.

    Attributes:
        path: Where it is.
        stream: What the node says of it.
        end: One more than the timestamp of its last row; 0 when it has none.
    """

    path: str
    stream: DataStream
    end: int


class JouleSink:
    """Writes streams as the data streams of one folder, which are made when they are missing.

    A receipt means that the node has answered that everything is stored.  A node refuses a timestamp
    that it has, so what was written before, by a delivery that got no answer, is looked up and left
    out.  Rows go into the interval before them unless a break or a gap lies between.

    A stream that is there keeps its type: floats are rounded to it, and a block with a number that it
    cannot hold is rejected.
    """

    def __init__(
        self, node: Node, folder: str = "/txbridge", *, keep_us: int = -1, decimate: bool = True
    ) -> None:
        """Prepare a sink; nothing is asked before the first batch.

        Args:
            node: Where to; it stays its owner's to close.
            folder: The path of the folder; a stream ``live.random`` is there under that name.
            keep_us: How long streams that are made keep their rows, in microseconds; -1 for ever.
            decimate: Whether streams that are made keep decimated copies for plots, which doubles
                the time of a write.

        Raises:
            ConfigError: The folder is no path.
        """
        if not folder.startswith("/"):
            raise ConfigError([f"a folder of a Joule node begins with a slash, unlike {folder!r}"])
        self._node = node
        self._folder = folder.rstrip("/")
        if any(_path_problems(f"{self._folder}/x")):
            raise ConfigError([f"a folder of a Joule node is a path such as /a/b, unlike {folder!r}"])
        self._keep_us = keep_us
        self._decimate = decimate
        self._targets: dict[str, _Target] = {}
        self._infos: dict[str, StreamInfo] = {}
        self._gaps: dict[str, IntervalSet] = {}  # in microseconds

    @property
    def capabilities(self) -> Capabilities:
        """What a node can hold."""
        return SINK_CAPABILITIES

    @property
    def skew(self) -> float | None:
        """How many seconds the node's clock is ahead of this machine's; None when that is not known."""
        return self._node.skew

    @deferred
    async def deliver(self, batch: Batch) -> Receipt:
        """Write a batch, stream by stream.

        Returns:
            A receipt; blocks that the node refuses for good are its rejections, with its words.

        Raises:
            ConfigError: A stream is deleted as soon as it is made.
            RemoteProtocolError: Something answered that is no node.
            BridgeError: Nothing is known about the batch.
        """
        if batch.empty:
            await self._node.info()
            return Receipt()
        self._infos.update((info.name, info) for info in batch.infos)
        for gap in batch.gaps:
            if gap.points != 0:  # it is of rows, and not of notes
                known = self._gaps.get(gap.stream, IntervalSet())
                added = known.add(gap.start_ns // MICROSECOND, gap.end_ns // MICROSECOND + 1)
                self._gaps[gap.stream] = added.without_holes(MOST_GAPS)
        rejections: list[Rejection] = []
        for index, block in enumerate(batch.blocks):
            try:
                with _of_a_node():
                    try:
                        await self._write(block)
                    except (NotFound, DataRefused):
                        # Somebody deleted the stream, or wrote to it: it is looked at, and made, again.
                        await self._write(block)
            except NotFound as error:
                raise ConfigError([f"{self._folder}/{block.stream} cannot be written: {error}"]) from error
            except TooLarge:
                raise
            except RequestRejected as error:
                if error.advice is not Advice.BURY:
                    raise
                rejections.append(Rejection(index, str(error)))
            except EncodeError as error:
                rejections.append(Rejection(index, str(error)))
        for note in batch.notes:
            with _of_a_node():
                await self._note(note)
        return Receipt(tuple(rejections))

    @deferred
    async def close(self) -> None:
        """Nothing is held: the node is its owner's."""

    async def _write(self, block: SampleBlock) -> None:
        block = last_of_each(block, MICROSECOND)
        if len(block) == 0:
            return
        # Not kept until all went well: afterwards nobody knows what the node has.
        target = self._targets.pop(block.stream, None) or await self._target(block)
        rows = _rows(block, target.stream)
        breaks = self._breaks(block, target.end, rows["timestamp"])
        if int(rows["timestamp"][0]) < target.end:
            keep = await self._missing(target, rows["timestamp"])
            # A break before a row that the node has is there too; it must not move to the next one.
            breaks = tuple(int(np.count_nonzero(keep[:row])) for row in breaks if keep[row])
            rows = rows[keep]
        if len(rows):
            await self._write_rows(target, rows, breaks)
            target.end = max(target.end, int(rows["timestamp"][-1]) + 1)
        self._targets[block.stream] = target

    def _breaks(self, block: SampleBlock, end: int, timestamps: NDArray[np.int64]) -> tuple[int, ...]:
        """The breaks of a block, and those where a gap lies between two rows."""
        edges = [edge for gap in self._gaps.get(block.stream, ()) for edge in gap]
        rows = np.searchsorted(timestamps, edges).tolist()
        # Before the first row only what lies between it and the last row that the node has counts.
        torn = {row for row, edge in zip(rows, edges, strict=True) if row or edge > end}
        return tuple(sorted({*block.breaks, *torn} - {len(timestamps)}))

    async def _write_rows(self, target: _Target, rows: NDArray[Any], breaks: tuple[int, ...]) -> None:
        first = int(rows["timestamp"][0])
        continues = 0 < target.end <= first and 0 not in breaks
        pipe = await self._node.data_write(
            target.stream, merge_gap=first - target.end + 1 if continues else 0
        )
        begin = 0
        for end in (*(row for row in breaks if row > 0), len(rows)):
            if begin:
                await pipe.close_interval()
            await pipe.write(rows[begin:end])
            begin = end
        await pipe.close()

    async def _target(self, block: SampleBlock) -> _Target:
        path = f"{self._folder}/{block.stream}"
        try:
            stream = await self._node.data_stream_get(path)
        except StreamNotFound:
            stream = await self._create(_stream_for(block, self._infos.get(block.stream)))
            return _Target(path, stream, 0)
        info = await self._node.data_stream_info(path)
        return _Target(path, stream, 0 if info.end is None else info.end + 1)

    async def _create(self, stream: DataStream) -> DataStream:
        stream.keep_us, stream.decimate = self._keep_us, self._decimate
        return await self._node.data_stream_create(stream, self._folder or "/")

    async def _missing(self, target: _Target, wanted: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of these timestamps the node does not have."""
        pipe = await self._node.data_read(target.stream, int(wanted[0]), int(wanted[-1]) + 1)
        missing = np.ones(len(wanted), bool)
        try:
            while True:
                try:
                    rows = await pipe.read()
                except EmptyPipeError:
                    break
                missing &= ~np.isin(wanted, rows["timestamp"])
                pipe.consume(len(rows))
        finally:
            await pipe.close()
        return missing

    async def _note(self, note: Note) -> None:
        start = note.start_ns // MICROSECOND
        end = None if note.end_ns is None else max(note.end_ns // MICROSECOND, start + 1)
        path = f"{self._folder}/{note.stream}"
        if note.kind is NoteKind.ANNOTATION:
            title, content = str(note.content.get("title", "")), note.content.get("content")
            annotation = Annotation(title, start, end, "" if content is None else str(content))
            try:
                there = await self._node.annotation_get(path, start=start, end=start)
            except StreamNotFound:
                info = self._infos.get(note.stream)
                if info is None:
                    raise
                await self._create(_stream_of(info))  # its rows come after it
                there = []
            if annotation_note("", annotation) not in [annotation_note("", one) for one in there]:
                await self._node.annotation_create(annotation, path)
            return
        event = Event(start, start + 1 if end is None else end, dict(note.content))
        try:
            found = await self._node.event_stream_read(
                path, start=start, end=start + 1, include_on_going_events=False
            )
        except StreamNotFound:
            await self._node.event_stream_create(EventStream(name=note.stream), self._folder or "/")
            found = []
        if event_note("", event) not in [event_note("", one) for one in found]:
            await self._node.event_stream_write(path, [event])


@contextmanager
def _of_a_node() -> Iterator[None]:
    """Where something else answers, such as a login page: that says nothing about the data."""
    try:
        yield
    except DecodeError as error:
        raise RemoteProtocolError("deliver", f"no node answers like this: {error}") from error
    except RequestRejected as error:
        unclear = unexplained(error)
        if unclear is None:
            raise
        raise unclear from error


def _path_problems(path: str) -> Iterator[str]:
    try:
        select_data_stream(path)
    except InvalidArgument as error:
        yield str(error)


def _stream_of(info: StreamInfo) -> DataStream:
    """The data stream to make for a stream that is described."""
    description, native = info.label or "", read_native(info)
    if native is not None and native[0] in DATATYPES:
        return DataStream(info.name, description, native[0], elements=native[1])
    columns = info.columns or (evolve(info, name=VALUE),)
    elements = [Element(name=column.name, units=column.unit_symbol or "") for column in columns]
    whole = all(column.value_type is ValueType.INTEGER for column in columns)
    return DataStream(info.name, description, "int64" if whole else "float64", elements=elements)


def _stream_for(block: SampleBlock, info: StreamInfo | None) -> DataStream:
    """The data stream to make for the rows of a block."""
    if info is not None and read_native(info) is not None:
        stream = _stream_of(info)
        if _holds(stream, block):
            return stream
    known: dict[str, StreamInfo] = {}
    if info is not None:
        known = {column.name: column for column in info.columns} or {VALUE: info}
    whole = all(value_type_of(column) is ValueType.INTEGER for column in block.columns.values())
    elements = [
        Element(name=name, units=(known[name].unit_symbol or "") if name in known else "")
        for name in block.columns
    ]
    description = (info.label or "") if info is not None else ""
    return DataStream(block.stream, description, "int64" if whole else "float64", elements=elements)


def _holds(stream: DataStream, block: SampleBlock) -> bool:
    """Whether a stream has room for exactly these numbers."""
    try:
        data = _rows(block, stream)["data"]
    except EncodeError:
        return False
    columns = enumerate(_by_element(block, stream).values())
    return all(np.array_equal(data[:, index], column) for index, column in columns)


def _by_element(block: SampleBlock, stream: DataStream) -> Mapping[str, Column]:
    """The columns in the order of the elements, which their names tell if they are the same ones."""
    names = [element.name for element in stream.elements]
    if set(names) == set(block.columns):
        return {name: block.columns[name] for name in names}
    return block.columns


def _rows(block: SampleBlock, stream: DataStream) -> NDArray[Any]:
    """The rows of a block in a data stream's own type.

    Raises:
        EncodeError: The stream has other elements, or a type that cannot hold these numbers.
    """
    if len(stream.elements) != len(block.columns):
        reason = f"the stream has {len(stream.elements)} elements, not {len(block.columns)}"
        raise EncodeError("joule", block.stream, reason)
    rows = np.zeros(len(block), layout_dtype(stream.layout))
    rows["timestamp"] = block.at // MICROSECOND
    kind = rows["data"].dtype
    for index, (name, column) in enumerate(_by_element(block, stream).items()):
        with np.errstate(invalid="ignore", over="ignore"):
            converted = column.astype(kind)
        # Rounding to the stream's floats is what its maker chose; another number is not.
        fits = np.isinf(converted) == np.isinf(column) if kind.kind == "f" else converted == column
        if not fits.all():
            raise EncodeError("joule", f"{block.stream}.{name}", f"not all values are {stream.datatype}")
        rows["data"][:, index] = converted
    return rows
