"""Bulk data: columns of samples, never one object per point.

A `SampleBlock` is a run of rows of one stream: an array of instants and one typed array per
column, plus the *breaks* between its intervals.  A break says "nobody watched between these two
rows": a platform with intervals must not draw a line there.  A `Gap` says more: what is missing
from where to where, and why.  A `Note` is what somebody said of a stretch of time.  A `Batch` is
what travels: blocks, gaps, the descriptions that changed, notes, and the place in the source that
it brings us to.

The arrays are made read-only, so that a block can be handed to several destinations.  A lossless
narrow type is widened (``float32`` to ``float64``, ``uint8`` to ``int64``) because four column
types are what every platform has a word for; anything else is refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, TypeAlias

import numpy as np
from attrs import evolve, field, frozen
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Batch",
    "Column",
    "Cursor",
    "Gap",
    "Instants",
    "Json",
    "Note",
    "NoteKind",
    "SampleBlock",
    "StreamInfo",
    "VALUE",
    "ValueType",
    "value_type_of",
]

Instants: TypeAlias = NDArray[np.int64]
Column: TypeAlias = NDArray[Any]
Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"

VALUE = "value"
"""The name of the only column of a scalar stream."""

_BLOCK_BYTES = 500  # what a block takes besides its rows, and …
_COLUMN_BYTES = 280  # … besides those of each column, as tracemalloc sees it on CPython 3.11
_TEXT_BYTES = 49  # what a text takes besides its characters
_MAX_REASON = 200
_DESCRIPTION_BYTES = 300  # what a gap or a description is counted as, besides its texts' characters


class ValueType(Enum):
    """What a column holds."""

    FLOAT = "float"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    TEXT = "text"


_BY_KIND = {"f": ValueType.FLOAT, "i": ValueType.INTEGER, "b": ValueType.BOOLEAN, "O": ValueType.TEXT}


def value_type_of(column: Column) -> ValueType:
    """The type of a column of a `SampleBlock`."""
    return _BY_KIND[column.dtype.kind]


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    view = array.view()
    view.flags.writeable = False
    return view


def _to_instants(values: ArrayLike) -> Instants:
    array = np.asarray(values)
    if array.size == 0 and array.ndim == 1:
        array = array.astype(np.int64)
    if (
        array.ndim != 1
        or array.dtype.kind not in "iu"
        or (array.dtype.kind == "u" and array.dtype.itemsize == 8)
    ):
        raise ValueError(f"instants must be a row of int64 nanoseconds, not {array.ndim} × {array.dtype}")
    return _read_only(array.astype(np.int64, copy=False))


def _to_column(name: str, values: ArrayLike) -> Column:
    array = np.asarray(values)
    kind, size = array.dtype.kind, array.dtype.itemsize
    if array.ndim != 1:
        raise ValueError(f"column {name!r} must have one dimension, not {array.ndim}")
    if kind == "b":
        return _read_only(array)
    if kind == "f" and size <= 8:
        return _read_only(array.astype(np.float64, copy=False))
    if kind == "i" or (kind == "u" and size < 8):
        return _read_only(array.astype(np.int64, copy=False))
    if kind == "U":
        return _read_only(array.astype(object))
    if kind == "O":
        for row, value in enumerate(array):
            if not isinstance(value, str):
                raise ValueError(f"column {name!r}, row {row}: text expected, not {type(value).__name__}")
        return _read_only(array)
    raise ValueError(f"column {name!r} must be float64, int64, bool or text, not {array.dtype}")


def _to_columns(columns: Mapping[str, ArrayLike]) -> Mapping[str, Column]:
    return {name: _to_column(name, values) for name, values in columns.items()}


@frozen(eq=False, repr=False)
class SampleBlock:
    """Rows of one stream, in ascending order of time.

    Attributes:
        stream: The stream's name; never empty.
        at: Nanoseconds since 1970 (UTC), ascending.  Equal neighbours are allowed: a point's
            identity is (stream, instant), so the later row wins, as a second write would.
        columns: Name -> values, one per row; ``float64``, ``int64``, ``bool``, or an object
            array of ``str``.  A scalar stream has the one column ``"value"``.
        breaks: Ascending row indexes before which an interval break lies; 0 means that it lies
            between the previous block and this one.

    Raises:
        ValueError: The parts do not fit together; the text names the stream and the part.
    """

    stream: str
    at: Instants = field(converter=_to_instants)
    columns: Mapping[str, Column] = field(converter=_to_columns)
    breaks: tuple[int, ...] = ()

    def __attrs_post_init__(self) -> None:
        rows = len(self.at)
        if not self.stream:
            raise ValueError("a block needs the name of its stream")
        if not self.columns:
            raise ValueError(f"stream {self.stream!r}: a block needs at least one column")
        for name, column in self.columns.items():
            if len(column) != rows:
                raise ValueError(
                    f"stream {self.stream!r}: column {name!r} has {len(column)} values, not {rows}"
                )
        if rows > 1 and bool((self.at[1:] < self.at[:-1]).any()):
            row = int(np.flatnonzero(self.at[1:] < self.at[:-1])[0]) + 1
            raise ValueError(f"stream {self.stream!r}: row {row} is earlier than the row before it")
        previous = -1
        for row in self.breaks:
            if not previous < row < rows:
                raise ValueError(f"stream {self.stream!r}: break {row} is out of order or beyond {rows} rows")
            previous = row

    @classmethod
    def scalar(cls, stream: str, at: ArrayLike, values: ArrayLike, breaks: Iterable[int] = ()) -> SampleBlock:
        """A block of a stream with the one column ``"value"``."""
        return cls(stream, at, {VALUE: values}, tuple(breaks))

    @classmethod
    def concat(cls, blocks: Sequence[SampleBlock]) -> SampleBlock:
        """One block with the rows of all of them.

        Raises:
            ValueError: No blocks, or one that does not continue the one before it (see
                `continues`).
        """
        if not blocks:
            raise ValueError("nothing to put together")
        breaks: list[int] = []
        rows = 0
        for before, block in zip([None, *blocks], blocks, strict=False):
            if before is not None and not block.continues(before):
                raise ValueError(f"stream {block.stream!r}: a block does not continue the one before it")
            breaks.extend(rows + row for row in block.breaks)
            rows += len(block)
        if len(blocks) == 1:
            return blocks[0]
        columns = {
            name: np.concatenate([block.columns[name] for block in blocks]) for name in blocks[0].columns
        }
        return cls(blocks[0].stream, np.concatenate([block.at for block in blocks]), columns, tuple(breaks))

    def continues(self, before: SampleBlock) -> bool:
        """Whether these rows could stand after the rows of ``before`` in one block."""
        return (
            self.stream == before.stream
            and self.layout == before.layout
            and (len(self) == 0 or len(before) == 0 or bool(before.at[-1] <= self.at[0]))
        )

    @property
    def layout(self) -> tuple[tuple[str, ValueType], ...]:
        """The names and types of the columns, in order."""
        return tuple((name, value_type_of(column)) for name, column in self.columns.items())

    @property
    def values(self) -> Column:
        """The only column of a scalar stream.

        Raises:
            ValueError: The block has several columns.
        """
        if len(self.columns) != 1:
            raise ValueError(f"stream {self.stream!r} has the columns {', '.join(self.columns)}")
        return next(iter(self.columns.values()))

    @property
    def points(self) -> int:
        """How many rows there are: an instant with its values is one point."""
        return len(self.at)

    @property
    def nbytes(self) -> int:
        """Roughly the memory that the block takes."""
        total = _BLOCK_BYTES + self.at.nbytes
        for column in self.columns.values():
            total += _COLUMN_BYTES + column.nbytes
            if column.dtype.kind == "O":
                total += _TEXT_BYTES * len(column) + sum(map(len, column))
        return total

    def __len__(self) -> int:
        return len(self.at)

    def __bool__(self) -> bool:
        return True  # a block is present even when it has no rows

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SampleBlock):
            return NotImplemented
        return (
            self.stream == other.stream
            and self.breaks == other.breaks
            and self.layout == other.layout
            and np.array_equal(self.at, other.at)
            and all(
                np.array_equal(column, other.columns[name], equal_nan=column.dtype.kind == "f")
                for name, column in self.columns.items()
            )
        )

    __hash__ = None  # type: ignore[assignment]  # arrays have no hash

    def __repr__(self) -> str:
        layout = ", ".join(f"{name}: {kind.value}" for name, kind in self.layout)
        return f"<SampleBlock {self.stream!r} {len(self)} rows ({layout}) breaks={self.breaks}>"

    def slice(self, start: int, stop: int) -> SampleBlock:
        """Rows ``start`` to ``stop`` (not included), as views, with the breaks among them."""
        start, stop, _ = slice(start, stop).indices(len(self))
        stop = max(start, stop)
        columns = {name: column[start:stop] for name, column in self.columns.items()}
        breaks = tuple(row - start for row in self.breaks if start <= row < stop)
        return SampleBlock(self.stream, self.at[start:stop], columns, breaks)

    def split(self, max_rows: int) -> list[SampleBlock]:
        """Cut into blocks of at most ``max_rows`` rows, in order."""
        if max_rows < 1:
            raise ValueError(f"cannot cut into blocks of {max_rows} rows")
        return [self.slice(start, start + max_rows) for start in range(0, len(self), max_rows)]

    def take(self, keep: NDArray[np.bool_]) -> tuple[SampleBlock, bool]:
        """Keep some rows; a break moves to the next row that is kept.

        Args:
            keep: One bool per row.

        Returns:
            The block, and whether a break is left over for the stream's next block because
            nothing after it was kept.
        """
        kept = np.flatnonzero(keep)
        moved = sorted({int(row) for row in np.searchsorted(kept, self.breaks)})
        left_over = bool(moved) and moved[-1] == len(kept)
        breaks = tuple(moved[:-1] if left_over else moved)
        columns = {name: column[kept] for name, column in self.columns.items()}
        return SampleBlock(self.stream, self.at[kept], columns, breaks), left_over

    def with_break(self) -> SampleBlock:
        """The same rows with a break before the first of them."""
        if len(self) == 0 or (self.breaks and self.breaks[0] == 0):
            return self
        return evolve(self, breaks=(0, *self.breaks))


@frozen
class StreamInfo:
    """What is known about a stream besides its points; None is "not known".

    Attributes:
        name: The stream's name.
        label: A name for people.
        unit_symbol: Such as ``"°C"``.
        unit_label: Such as ``"Celsius"``.
        unit_type: Such as ``"derivedSI"``.
        value_type: What its values are.
        columns: Of a stream with other columns than the one ``"value"``: what is known about each,
            under its name.  Units and types are theirs then.
        tags: Free words.
        native: What the platform that the stream comes from says of it, in words of its own that begin
            with its name.  Only an end of that platform reads them; whoever changes the values takes
            them out.
    """

    name: str
    label: str | None = None
    unit_symbol: str | None = None
    unit_label: str | None = None
    unit_type: str | None = None
    value_type: ValueType | None = None
    columns: tuple[StreamInfo, ...] = ()
    tags: tuple[str, ...] = ()
    native: str | None = None

    def each_column(self, change: Callable[[StreamInfo], StreamInfo]) -> StreamInfo:
        """Change what is said of each column, which for a scalar stream is said of the stream."""
        if not self.columns:
            return change(self)
        return evolve(self, columns=tuple(change(column) for column in self.columns))

    @property
    def nbytes(self) -> int:
        """Roughly the memory that the description takes."""
        texts = (self.name, self.label, self.unit_symbol, self.unit_label, self.unit_type, self.native)
        return (
            _DESCRIPTION_BYTES
            + sum(len(text) for text in (*texts, *self.tags) if text is not None)
            + sum(column.nbytes for column in self.columns)
        )


@frozen
class Gap:
    """Points of a stream that are missing, and why.

    Attributes:
        stream: The stream's name.
        start_ns: The first instant that is missing, in nanoseconds since 1970.
        end_ns: The last one, included.
        reason: Why, in a few words.
        points: How many points are missing, or None when nobody counted them.
    """

    stream: str
    start_ns: int
    end_ns: int
    reason: str
    points: int | None = None

    def __attrs_post_init__(self) -> None:
        if self.end_ns < self.start_ns:
            raise ValueError(
                f"stream {self.stream!r}: a gap ends ({self.end_ns}) before it starts ({self.start_ns})"
            )

    @property
    def nbytes(self) -> int:
        """Roughly the memory that the gap takes."""
        return _DESCRIPTION_BYTES + len(self.stream) + len(self.reason)

    @classmethod
    def of(cls, block: SampleBlock, reason: str) -> Gap:
        """The gap that losing a block makes; the block has at least one row."""
        return cls(block.stream, int(block.at[0]), int(block.at[-1]), reason, len(block))

    def merge(self, other: Gap) -> Gap:
        """One gap of the same stream that covers both; the reasons and counts are put together."""
        points = None if self.points is None or other.points is None else self.points + other.points
        reason = (
            self.reason if other.reason in self.reason else f"{self.reason}; {other.reason}"[:_MAX_REASON]
        )
        return Gap(
            self.stream, min(self.start_ns, other.start_ns), max(self.end_ns, other.end_ns), reason, points
        )


class NoteKind(Enum):
    """What a `Note` is."""

    ANNOTATION = "annotation"
    """Words of a person about a stream; its content has a ``title``, and maybe a ``content``."""
    EVENT = "event"
    """A record of a stream of such records, with whatever content."""


@frozen
class Note:
    """Something that was said of a stretch of time.

    Attributes:
        stream: The stream that it is about, or that it is a record of.
        start_ns: Where the stretch begins, in nanoseconds since 1970.
        end_ns: Where it ends, or None for a moment.
        kind: What it is.
        content: What was said.
    """

    stream: str
    start_ns: int
    end_ns: int | None
    kind: NoteKind
    content: Mapping[str, Json] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        if self.end_ns is not None and self.end_ns < self.start_ns:
            raise ValueError(
                f"stream {self.stream!r}: a note ends ({self.end_ns}) before it starts ({self.start_ns})"
            )

    @property
    def nbytes(self) -> int:
        """Roughly the memory that the note takes."""
        return _DESCRIPTION_BYTES + len(self.stream) + len(json.dumps(self.content))


@frozen
class Cursor:
    """A place in a source that reading can go on after.

    Only the source that made it understands it.  Everyone else keeps it as text.

    Attributes:
        value: Anything JSON can hold.
    """

    value: Json

    def encode(self) -> str:
        """The cursor as compact JSON text."""
        return json.dumps(self.value, separators=(",", ":"), sort_keys=True)

    @classmethod
    def decode(cls, text: str) -> Cursor:
        """Read what `encode` wrote.

        Raises:
            ValueError: The text is not JSON.
        """
        return cls(json.loads(text))


@frozen
class Batch:
    """What travels from a source to a sink at once.

    Attributes:
        blocks: Samples; several blocks of one stream are in order.
        gaps: What is known to be missing around them.
        infos: The descriptions that changed; they hold from this batch on.
        cursor: The place in the source after this batch, or None when it has no such places.
        notes: Annotations and events.
    """

    blocks: tuple[SampleBlock, ...] = ()
    gaps: tuple[Gap, ...] = ()
    infos: tuple[StreamInfo, ...] = ()
    cursor: Cursor | None = None
    notes: tuple[Note, ...] = ()

    @property
    def points(self) -> int:
        """How many rows the blocks have together."""
        return sum(len(block) for block in self.blocks)

    @property
    def nbytes(self) -> int:
        """Roughly the memory that the batch takes."""
        parts = (self.blocks, self.gaps, self.infos, self.notes)
        return sum(one.nbytes for part in parts for one in part)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to deliver; a cursor may still be there."""
        return not self.gaps and not self.infos and not self.notes and self.points == 0

    def lost(self, reason: str) -> list[Gap]:
        """The gaps that losing this batch makes: one of each block with rows, and of each note."""
        gaps = [Gap.of(block, reason) for block in self.blocks if len(block)]
        for note in self.notes:
            end = note.start_ns if note.end_ns is None else note.end_ns
            gaps.append(Gap(note.stream, note.start_ns, end, f"{reason}: {note.kind.value}", 0))
        return gaps

    def split(self, max_points: int) -> list[Batch]:
        """Cut into batches of at most ``max_points`` points, in order.

        The gaps and descriptions go with the first part, the notes and the cursor with the last.
        """
        if max_points < 1:
            raise ValueError(f"cannot cut into batches of {max_points} points")
        parts: list[list[SampleBlock]] = [[]]
        room = max_points
        for block in self.blocks:
            start = 0
            while start < len(block):
                if room == 0:
                    parts.append([])
                    room = max_points
                piece = block.slice(start, start + room)
                parts[-1].append(piece)
                start += len(piece)
                room -= len(piece)
        batches = [Batch(tuple(part)) for part in parts]
        batches[0] = evolve(batches[0], gaps=self.gaps, infos=self.infos)
        batches[-1] = evolve(batches[-1], cursor=self.cursor, notes=self.notes)
        return batches

    @classmethod
    def merge(cls, batches: Sequence[Batch]) -> Batch:
        """One batch in place of several that follow each other.

        The order of each stream's rows is kept; neighbouring blocks of a stream are joined where
        `SampleBlock.continues` allows it, and empty ones dropped.  The last description of a stream
        and the last cursor stand.
        """
        if len(batches) == 1:
            return batches[0]
        runs: dict[str, list[list[SampleBlock]]] = {}
        infos: dict[str, StreamInfo] = {}
        cursor: Cursor | None = None
        for batch in batches:
            for block in filter(len, batch.blocks):
                of_stream = runs.setdefault(block.stream, [])
                if of_stream and block.continues(of_stream[-1][-1]):
                    of_stream[-1].append(block)
                else:
                    of_stream.append([block])
            infos.update((info.name, info) for info in batch.infos)
            cursor = batch.cursor if batch.cursor is not None else cursor
        blocks = tuple(SampleBlock.concat(run) for of_stream in runs.values() for run in of_stream)
        gaps = tuple(gap for batch in batches for gap in batch.gaps)
        notes = tuple(note for batch in batches for note in batch.notes)
        return cls(blocks, gaps, tuple(infos.values()), cursor, notes)
