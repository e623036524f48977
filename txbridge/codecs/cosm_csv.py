"""CSV: rows of datastream, instant and value.

A feed is ``stream,instant,value`` rows, a list of feeds has the feed's number in front, a
datastream is ``instant,value`` rows.  Version 1 has values alone: one row for a feed, where the
position is the datastream's id and an empty field is one without a value, and one field for a
datastream.  There is no header; which of these a document is follows from where it was sent, never
from its looks.

What CSV cannot carry: everything that is not an id, an instant or a value (titles, tags, units,
locations, extremes); datastreams without a value; white space around a value, or an empty
value; a byte order mark as the first character; an instant of a stream without a value; points
of a history without an instant; in a list, a feed without its number.  When any stream of a
feed has a history, its histories are written and nothing else, in the order of time over all its
streams; history of one point reads as a current value.  Triggers, keys and users have no CSV form.

Source: Cosm API v2, "Data formats", "Historical data"; xively-rb ``parsers/csv``.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, tzinfo
from operator import itemgetter
from typing import Any, TypeVar

from txbridge.codecs.limits import DEFAULT_LIMITS, DecodeLimits
from txbridge.codecs.points import instant_text, instant_texts, points_from_text
from txbridge.errors import DecodeError, EncodeError
from txbridge.model.accounts import as_integer
from txbridge.model.encoding import Structure
from txbridge.model.instants import parse_instant
from txbridge.model.structures import Datapoint, Datastream, Environment, EnvironmentList

__all__ = ["decode", "encode"]

FORMAT = "csv"

S = TypeVar("S", bound=Structure)

_BLANKS = " \t\r\n"

# ------------------------------------------------------------------------------------------ writing

_NEEDS_QUOTES = re.compile(r'[",\r\n]')
_EARLIEST = datetime.min.replace(tzinfo=UTC)


def encode(structure: Structure, *, zone: tzinfo | None = None, legacy: bool = False) -> bytes:
    """Write a structure as CSV; every row ends with a newline.

    Args:
        structure: An environment, a list of them, a datastream or a datapoint.
        zone: The offset to show instants in; None is UTC.
        legacy: Write an environment or a datastream as version 1 does: values alone.

    Raises:
        EncodeError: The structure has no CSV form, or a text holds half of a surrogate pair.
    """
    write = (_LEGACY_WRITERS if legacy else _WRITERS).get(type(structure))
    if write is None:
        raise EncodeError(FORMAT, "", f"{type(structure).__name__} has no CSV form")
    text = write(structure, zone)
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        raise EncodeError(FORMAT, _broken_row(text), "half of a surrogate pair") from None


def _broken_row(text: str) -> str:
    for number, row in enumerate(text.split("\n"), 1):
        try:
            row.encode("utf-8")
        except UnicodeEncodeError:
            return f"row {number}"
    return ""


def _field(text: str | None) -> str:
    if text is None:
        return ""
    return '"' + text.replace('"', '""') + '"' if _NEEDS_QUOTES.search(text) else text


def _row(*fields: str | None) -> str:
    return ",".join(map(_field, fields)) + "\n"


def _column(texts: Sequence[str | None]) -> Iterable[str]:
    """Texts as fields; a column in which nothing needs quotes, which is usual, is left as it is."""
    try:
        if _NEEDS_QUOTES.search("".join(texts)) is None:  # type: ignore[arg-type]  # None is found faster by failing than by looking
            return texts  # type: ignore[return-value]  # no None in it
    except TypeError:
        pass
    return map(_field, texts)


_Columns = tuple[Sequence[str], Sequence[str | None], Sequence[str | None]]  # streams, instants, values


def _rows_of(*columns: Sequence[str | None]) -> str:
    """Rows, given column by column."""
    return "\n".join(map(",".join, zip(*map(_column, columns), strict=True))) + "\n"


def _at(at: datetime | None, zone: tzinfo | None) -> str | None:
    return None if at is None else instant_text(at, zone)


def _id(stream: Datastream, name: str) -> str:
    return name if stream.id is None else stream.id


def _write_feed(feed: Environment, zone: tzinfo | None) -> str:
    if _has_history(feed):
        return _rows_of(*_history(feed, zone))
    rows = []
    for name, stream in feed.datastreams.items():
        if stream.current_value is not None:
            middle = () if stream.at is None else (_at(stream.at, zone),)
            rows.append(_row(_id(stream, name), *middle, stream.current_value))
    return "".join(rows)


def _has_history(feed: Environment) -> bool:
    return any(stream.datapoints for stream in feed.datastreams.values())


def _history(feed: Environment, zone: tzinfo | None) -> _Columns:
    points = [
        (point.at or _EARLIEST, point, name)
        for name, stream in feed.datastreams.items()
        for point in stream.datapoints
    ]
    points.sort(key=itemgetter(0))
    names = [_id(feed.datastreams[name], name) for _, _, name in points]
    texts = instant_texts([point.at for _, point, _ in points], zone)
    return names, texts, [point.value for _, point, _ in points]


def _write_feeds(page: EnvironmentList, zone: tzinfo | None) -> str:
    rows = []
    for index, feed in enumerate(page.feeds):
        if feed.id is None:
            raise EncodeError(
                FORMAT, f"feeds[{index}].id", "each row of a list begins with the feed's number"
            )
        if _has_history(feed):
            names, texts, values = _history(feed, zone)
            rows.append(_rows_of([str(feed.id)] * len(names), names, texts, values))
            continue
        for name, stream in feed.datastreams.items():
            if stream.current_value is not None:
                at = _at(stream.at, zone)
                rows.append(_row(str(feed.id), _id(stream, name), at, stream.current_value))
    return "".join(rows)


def _write_datastream(stream: Datastream, zone: tzinfo | None) -> str:
    if stream.datapoints:
        texts = instant_texts([point.at for point in stream.datapoints], zone)
        return _rows_of(texts, [point.value for point in stream.datapoints])
    if stream.current_value is None:
        return ""
    return _write_datapoint(Datapoint(at=stream.at, value=stream.current_value), zone)


def _write_datapoint(point: Datapoint, zone: tzinfo | None) -> str:
    return _row(point.value) if point.at is None else _row(_at(point.at, zone), point.value)


def _write_legacy_feed(feed: Environment, zone: tzinfo | None) -> str:
    values = [stream.current_value for stream in feed.datastreams.values()]
    return _row(*values) if values else ""


def _write_legacy_datastream(stream: Datastream, zone: tzinfo | None) -> str:
    return "" if stream.current_value is None else _row(stream.current_value)


_WRITERS: dict[type, Callable[[Any, tzinfo | None], str]] = {
    Environment: _write_feed,
    EnvironmentList: _write_feeds,
    Datastream: _write_datastream,
    Datapoint: _write_datapoint,
}

_LEGACY_WRITERS: dict[type, Callable[[Any, tzinfo | None], str]] = {
    Environment: _write_legacy_feed,
    Datastream: _write_legacy_datastream,
}

# ------------------------------------------------------------------------------------------ reading

_Row = tuple[int, list[str]]  # its number, from 1, and its trimmed fields
_Timed = tuple[int, str | None, str]  # the number of a row, its timestamp if it has that field, its value


def decode(kind: type[S], data: bytes, *, limits: DecodeLimits = DEFAULT_LIMITS, legacy: bool = False) -> S:
    """Read CSV as a structure of this kind.

    LF and CR LF end a row; fields are trimmed; blank rows are skipped.

    Args:
        kind: An environment, a list of them, a datastream or a datapoint.
        data: UTF-8.
        limits: How large the document may be.
        legacy: Read an environment or a datastream as version 1 does: values alone.

    Raises:
        DecodeError: Empty, a row of the wrong width, several rows of one stream that are not
            all timed, or a timestamp that is none; the last is ``invalid``.
    """
    read = (_LEGACY_READERS if legacy else _READERS).get(kind)
    if read is None:
        raise DecodeError(FORMAT, "", f"{kind.__name__} has no CSV form")
    return read(_rows(data, limits))  # type: ignore[no-any-return]  # each entry gives its own kind


def _rows(data: bytes, limits: DecodeLimits) -> list[_Row]:
    limits.check(FORMAT, data, b",\n")
    try:
        # Not "utf-8-sig": Python reads that codec from a file, at its first use, and there may be none left.
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise DecodeError(FORMAT, "", f"not UTF-8: byte {error.start}") from None
    rows = _split(text)
    if " " in text or "\t" in text or '"' in text:
        rows = [[field.strip(_BLANKS) for field in fields] for fields in rows]
    found = [(number, fields) for number, fields in enumerate(rows, 1) if fields and fields != [""]]
    if not found:
        raise DecodeError(FORMAT, "", "the document is empty")
    return found


def _split(text: str) -> list[list[str]]:
    if '"' not in text:  # without quotes, lines are rows
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        return [line.split(",") for line in lines]
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    try:
        return list(reader)
    except csv.Error as error:
        raise DecodeError(FORMAT, f"line {reader.line_num}", str(error)) from None


def _only(rows: list[_Row]) -> _Row:
    if len(rows) > 1:
        raise DecodeError(FORMAT, f"row {rows[1][0]}", "expected one row")
    return rows[0]


def _check_widths(rows: list[_Row], least: int, most: int) -> None:
    for number, fields in rows:
        if not least <= len(fields) <= most:
            expected = str(least) if least == most else f"{least} to {most}"
            raise DecodeError(FORMAT, f"row {number}", f"expected {expected} fields, found {len(fields)}")


def _instant(number: int, text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        return parse_instant(text)
    except ValueError as error:
        raise DecodeError(FORMAT, f"row {number}", str(error), invalid=True) from None


def _fill(stream: Datastream, rows: Sequence[_Timed]) -> None:
    """Put rows into a stream: one is its current value, more are its history."""
    if len(rows) == 1:
        number, at, value = rows[0]
        stream.current_value = value or None
        stream.at = _instant(number, at)
        return
    for number, at, _ in rows:
        if not at:
            raise DecodeError(
                FORMAT, f"row {number}", "several values of one datastream need a timestamp each"
            )
    numbers, ats, values = zip(*rows, strict=True)
    try:
        stream.datapoints = points_from_text(FORMAT, "", ats, [value or None for value in values])
    except DecodeError:
        for number, at in zip(numbers, ats, strict=True):  # say which row it is, not which point
            _instant(number, at)
        raise


def _read_feed(rows: list[_Row]) -> Environment:
    _check_widths(rows, 2, 3)
    streams: dict[str, list[_Timed]] = {}
    for number, fields in rows:
        at = fields[1] if len(fields) == 3 else None
        streams.setdefault(fields[0], []).append((number, at, fields[-1]))
    feed = Environment()
    for name, found in streams.items():
        _fill(feed.datastream(name), found)
    return feed


def _read_feeds(rows: list[_Row]) -> EnvironmentList:
    _check_widths(rows, 4, 4)
    feeds: dict[int | None, list[_Row]] = {}
    for number, fields in rows:
        try:
            feeds.setdefault(as_integer(fields[0]), []).append((number, fields[1:]))
        except ValueError as error:
            raise DecodeError(FORMAT, f"row {number}", str(error), invalid=True) from None
    page = EnvironmentList()
    for feed_id, found in feeds.items():
        feed = _read_feed(found)
        feed.id = feed_id
        page.feeds.append(feed)
    return page


def _read_datastream(rows: list[_Row]) -> Datastream:
    _check_widths(rows, 1, 2)
    stream = Datastream()
    _fill(stream, [(number, fields[0] if len(fields) == 2 else None, fields[-1]) for number, fields in rows])
    return stream


def _read_datapoint(rows: list[_Row]) -> Datapoint:
    stream = _read_datastream([_only(rows)])
    return Datapoint(at=stream.at, value=stream.current_value)


def _read_legacy_feed(rows: list[_Row]) -> Environment:
    _, fields = _only(rows)
    streams = [
        Datastream(id=str(position), current_value=value or None) for position, value in enumerate(fields)
    ]
    return Environment(datastreams=streams)


def _read_legacy_datastream(rows: list[_Row]) -> Datastream:
    row = _only(rows)
    _check_widths([row], 1, 1)
    return Datastream(current_value=row[1][0])


_READERS: dict[type, Callable[[list[_Row]], Any]] = {
    Environment: _read_feed,
    EnvironmentList: _read_feeds,
    Datastream: _read_datastream,
    Datapoint: _read_datapoint,
}

_LEGACY_READERS: dict[type, Callable[[list[_Row]], Any]] = {
    Environment: _read_legacy_feed,
    Datastream: _read_legacy_datastream,
}
