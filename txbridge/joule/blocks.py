"""Joule's rows and models as what a relay carries, and back.

A row is a timestamp in microseconds and one number per element.  A stream of one element becomes a
scalar stream; several elements become columns, under their names.  The numbers are those that people
see, ``(x - offset) * scale_factor``, unless they are wanted raw.

A stream's type and all that its elements have besides units goes along with its description, so that
another node can have the same stream.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from attrs import asdict, evolve, field, frozen
from numpy.typing import NDArray

from txbridge.errors import ConfigError
from txbridge.joule.structures import Annotation, DataStream, Element, Event
from txbridge.model.samples import (
    VALUE,
    Cursor,
    Json,
    Note,
    NoteKind,
    SampleBlock,
    StreamInfo,
    ValueType,
)
from txbridge.relay.backfill import Interval, IntervalSet

__all__ = ["Place", "annotation_note", "describe", "event_note", "read_native", "to_block", "windows"]

MICROSECOND = 1000
"""Nanoseconds."""

_NATIVE = "joule "

_INTEGERS = ("int16", "int32", "int64", "int8", "uint8", "uint16", "uint32", "uint64")


def describe(name: str, stream: DataStream, *, raw: bool) -> StreamInfo:
    """What is known about a stream, under the name it has in a relay."""
    infos = tuple(
        StreamInfo(
            element.name,
            unit_symbol=element.units or None,
            value_type=ValueType.INTEGER if _stays_integer(stream, element, raw) else ValueType.FLOAT,
        )
        for element in stream.elements
    )
    label, native = stream.description or None, _native(stream, raw)
    if len(infos) == 1:
        unit, value_type = infos[0].unit_symbol, infos[0].value_type
        return StreamInfo(name, label, unit_symbol=unit, value_type=value_type, native=native)
    return StreamInfo(name, label, columns=infos, native=native)


def _native(stream: DataStream, raw: bool) -> str:
    """A stream's type and elements, as those of a stream that holds the numbers which are given."""
    elements = [evolve(element, id=None, index=None) for element in stream.elements]
    datatype = stream.datatype
    if not raw and any(_is_scaled(element) for element in elements):
        datatype = "float64"
        elements = [evolve(element, offset=0.0, scale_factor=1.0) for element in elements]
    return _NATIVE + json.dumps([datatype, [asdict(element) for element in elements]])


def read_native(info: StreamInfo | None) -> tuple[str, list[Element]] | None:
    """The type and the elements of the stream that a description is of, if it comes from a node."""
    if info is None or info.native is None or not info.native.startswith(_NATIVE):
        return None
    datatype, elements = json.loads(info.native.removeprefix(_NATIVE))
    return datatype, [Element(**element) for element in elements]


def to_block(
    name: str, stream: DataStream, rows: NDArray[Any], *, raw: bool, after_break: bool
) -> SampleBlock:
    """Rows as a block.

    Args:
        name: The stream's name in a relay.
        stream: Where they come from.
        rows: With the fields ``timestamp`` and ``data``, ascending; at least one.
        raw: Leave the numbers as they are stored.
        after_break: Whether an interval break lies before the first row.
    """
    data = rows["data"].reshape(len(rows), len(stream.elements))
    columns = {
        element.name: _shown(data[:, index], stream, element, raw)
        for index, element in enumerate(stream.elements)
    }
    if len(columns) == 1:
        columns = {VALUE: next(iter(columns.values()))}
    return SampleBlock(name, rows["timestamp"] * MICROSECOND, columns, (0,) if after_break else ())


def _stays_integer(stream: DataStream, element: Element, raw: bool) -> bool:
    return stream.datatype in _INTEGERS and (raw or not _is_scaled(element))


def _is_scaled(element: Element) -> bool:
    return element.offset != 0 or element.scale_factor != 1


def _shown(column: NDArray[Any], stream: DataStream, element: Element, raw: bool) -> NDArray[Any]:
    if _stays_integer(stream, element, raw):
        # A view would keep all elements' rows in memory for as long as any of them is.
        return column.astype(np.int64)
    floats = column.astype(np.float64)
    if not raw and _is_scaled(element):
        floats -= element.offset
        floats *= element.scale_factor
    return floats


def annotation_note(name: str, annotation: Annotation) -> Note:
    """An annotation of a data stream, under the stream's name in a relay."""
    content: dict[str, Json] = {"title": annotation.title}
    if annotation.content:
        content["content"] = annotation.content
    return _note(name, NoteKind.ANNOTATION, annotation.start, annotation.end, content)


def event_note(name: str, event: Event) -> Note:
    """An event of an event stream, under the stream's name in a relay."""
    return _note(name, NoteKind.EVENT, event.start_time, event.end_time, event.content)


def _note(name: str, kind: NoteKind, start: int, end: int | None, content: Mapping[str, Json]) -> Note:
    end_ns = None if end is None else max(start, end) * MICROSECOND
    return Note(name, start * MICROSECOND, end_ns, kind, content)


def windows(has: IntervalSet, settled: IntervalSet) -> Iterator[tuple[Interval, bool]]:
    """What to read next, oldest first: as few spans as hold all that is missing.

    A stream may have as many intervals as it has minutes, so what lies between two settled places is read
    at once, breaks and all.

    Yields:
        A span in which nothing is settled, and whether an interval begins with it.
    """
    begins = {start for start, _ in has}
    pending: list[Interval] = []
    for interval in has.minus(settled):
        if pending and settled.within(pending[-1][1], interval[0]).intervals:
            yield (pending[0][0], pending[-1][1]), pending[0][0] in begins
            pending = []
        pending.append(interval)
    if pending:
        yield (pending[0][0], pending[-1][1]), pending[0][0] in begins


@frozen
class Place:
    """How far a flow has come: what a cursor of a Joule node holds.

    Attributes:
        data: Path of a data stream -> the intervals in microseconds that were taken.
        annotations: Path of a data stream -> the highest id of its annotations that were taken.
        events: Path of an event stream -> the highest id of its events that were taken.
        begins: Path of either -> the first timestamp that is wanted, where "from now on" was.
    """

    data: Mapping[str, IntervalSet] = field(factory=dict)
    annotations: Mapping[str, int] = field(factory=dict)
    events: Mapping[str, int] = field(factory=dict)
    begins: Mapping[str, int] = field(factory=dict)

    def cursor(self) -> Cursor:
        """This place as a cursor."""
        data = {path: [list(interval) for interval in taken] for path, taken in self.data.items()}
        ids: dict[str, Json] = {"annotations": dict(self.annotations), "events": dict(self.events)}
        return Cursor({"data": data, **ids, "begins": dict(self.begins)})

    @classmethod
    def read(cls, cursor: Cursor | None) -> Place:
        """Read what `cursor` wrote; no cursor is the beginning.

        Raises:
            ConfigError: It is the cursor of something else.
        """
        if cursor is None:
            return cls()
        value: Any = cursor.value
        try:
            return cls(
                {
                    str(path): IntervalSet(tuple((int(start), int(end)) for start, end in taken))
                    for path, taken in value["data"].items()
                },
                _numbers(value["annotations"]),
                _numbers(value["events"]),
                _numbers(value.get("begins", {})),  # cursors had none once
            )
        except (AttributeError, KeyError, TypeError, ValueError):
            raise ConfigError(["the cursor is not one of a Joule node"]) from None


def _numbers(value: Any) -> dict[str, int]:
    pairs: Iterable[tuple[Any, Any]] = value.items()
    return {str(path): int(number) for path, number in pairs}
