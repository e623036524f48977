"""CSV: rows of datastream, instant and value.

A feed is ``stream,instant,value`` rows, a list of feeds has the feed's number in front, a
datastream is ``instant,value`` rows.  Version 1 has values alone: one row for a feed, where the
position is the datastream's id, and one field for a datastream.  There is no header; which of
these a document is follows from where it was sent, never from its looks.

What CSV cannot carry: everything that is not an id, an instant or a value (titles, tags, units,
locations, extremes); datastreams without a value; white space around a value, or an empty
value; an instant of a stream without a value; points of a history without an instant.  When any
stream has a history, the histories are written and nothing else, in the order of time over all
streams; history of one point reads as a current value.  Triggers, keys and users have no CSV form.

Source: Cosm API v2, "Data formats", "Historical data"; xively-rb ``parsers/csv``.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, tzinfo
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


def _at(at: datetime | None, zone: tzinfo | None) -> str | None:
    return None if at is None else instant_text(at, zone)


def _id(stream: Datastream, name: str) -> str:
    return name if stream.id is None else stream.id


def _write_feed(feed: Environment, zone: tzinfo | None) -> str:
    if any(stream.datapoints for stream in feed.datastreams.values()):
        return _write_history(feed, zone)
    rows = []
    for name, stream in feed.datastreams.items():
        if stream.current_value is not None:
            middle = () if stream.at is None else (_at(stream.at, zone),)
            rows.append(_row(_id(stream, name), *middle, stream.current_value))
    return "".join(rows)


def _write_history(feed: Environment, zone: tzinfo | None) -> str:
    points = [
        (point.at or _EARLIEST, point.at, _id(stream, name), point.value)
        for name, stream in feed.datastreams.items()
        for point in stream.datapoints
    ]
    points.sort(key=lambda point: point[0])
    texts = instant_texts([at for _, at, _, _ in points], zone)
    return "".join([_row(name, text, value) for (_, _, name, value), text in zip(points, texts, strict=True)])


def _write_feeds(page: EnvironmentList, zone: tzinfo | None) -> str:
    return "".join(
        _row(None if feed.id is None else str(feed.id), _id(stream, name), _at(stream.at, zone), value)
        for feed in page.feeds
        for name, stream in feed.datastreams.items()
        if (value := stream.current_value) is not None
    )


def _write_datastream(stream: Datastream, zone: tzinfo | None) -> str:
    if stream.datapoints:
        texts = instant_texts([point.at for point in stream.datapoints], zone)
        values = [point.value for point in stream.datapoints]
        if None not in texts and None not in values and not _NEEDS_QUOTES.search("".join(values)):  # type: ignore[arg-type]  # no None
            return "".join([f"{text},{value}\n" for text, value in zip(texts, values, strict=True)])
        return "".join([_row(text, value) for text, value in zip(texts, values, strict=True)])
    if stream.current_value is None:
        return ""
    return _write_datapoint(Datapoint(at=stream.at, value=stream.current_value), zone)


def _write_datapoint(point: Datapoint, zone: tzinfo | None) -> str:
    return _row(point.value) if point.at is None else _row(_at(point.at, zone), point.value)


def _write_legacy_feed(feed: Environment, zone: tzinfo | None) -> str:
    return _row(*[stream.current_value for stream in feed.datastreams.values()])


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

_Rows = Sequence[tuple[str, list[str]]]  # where a row is, and its trimmed fields


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


def _rows(data: bytes, limits: DecodeLimits) -> _Rows:
    limits.check(FORMAT, data, b",\n")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DecodeError(FORMAT, "", f"not UTF-8: byte {error.start}") from None
    rows = []
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    try:
        for number, fields in enumerate(reader, 1):
            trimmed = [field.strip(_BLANKS) for field in fields]
            if trimmed and trimmed != [""]:
                rows.append((f"row {number}", trimmed))
    except csv.Error as error:
        raise DecodeError(FORMAT, f"row {reader.line_num}", str(error)) from None
    return rows


def _require(rows: _Rows) -> None:
    if not rows:
        raise DecodeError(FORMAT, "", "the document is empty")


def _width(where: str, fields: list[str], least: int, most: int) -> None:
    if not least <= len(fields) <= most:
        expected = str(least) if least == most else f"{least} to {most}"
        raise DecodeError(FORMAT, where, f"expected {expected} fields, found {len(fields)}")


def _instant(where: str, text: str) -> datetime | None:
    if not text:
        return None
    try:
        return parse_instant(text)
    except ValueError as error:
        raise DecodeError(FORMAT, where, str(error), invalid=True) from None


def _fill(stream: Datastream, rows: Iterable[tuple[str, str | None, str]]) -> None:
    """Put rows of place, instant and value into a stream: one is its current value, more are history."""
    found = list(rows)
    if len(found) == 1:
        where, at, value = found[0]
        stream.current_value = value or None
        stream.at = None if at is None else _instant(where, at)
        return
    for where, at, _ in found:
        if not at:
            raise DecodeError(FORMAT, where, "several values of one datastream need a timestamp each")
    stream.datapoints = _points(found)


def _points(rows: Sequence[tuple[str, str | None, str]]) -> list[Datapoint]:
    values = [value or None for _, _, value in rows]
    try:
        return points_from_text(FORMAT, "", [at for _, at, _ in rows], values)
    except DecodeError:
        for where, at, _ in rows:  # the places of rows are not those of points
            _instant(where, at or "")
        raise


def _read_feed(rows: _Rows) -> Environment:
    _require(rows)
    streams: dict[str, list[tuple[str, str | None, str]]] = {}
    for where, fields in rows:
        _width(where, fields, 2, 3)
        at = fields[1] if len(fields) == 3 else None
        streams.setdefault(fields[0], []).append((where, at, fields[-1]))
    feed = Environment()
    for name, found in streams.items():
        _fill(feed.datastream(name), found)
    return feed


def _read_feeds(rows: _Rows) -> EnvironmentList:
    feeds: dict[str, list[tuple[str, list[str]]]] = {}
    for where, fields in rows:
        _width(where, fields, 4, 4)
        feeds.setdefault(fields[0], []).append((where, fields[1:]))
    page = EnvironmentList()
    for number, found in feeds.items():
        feed = _read_feed(found)
        try:
            feed.id = as_integer(number)
        except ValueError as error:
            raise DecodeError(FORMAT, found[0][0], str(error), invalid=True) from None
        page.feeds.append(feed)
    return page


def _read_datastream(rows: _Rows) -> Datastream:
    _require(rows)
    found: list[tuple[str, str | None, str]] = []
    for where, fields in rows:
        _width(where, fields, 1, 2)
        found.append((where, fields[0] if len(fields) == 2 else None, fields[-1]))
    stream = Datastream()
    _fill(stream, found)
    return stream


def _read_datapoint(rows: _Rows) -> Datapoint:
    _require(rows)
    if len(rows) > 1:
        raise DecodeError(FORMAT, rows[1][0], "expected one row")
    stream = _read_datastream(rows)
    return Datapoint(at=stream.at, value=stream.current_value)


def _read_legacy_feed(rows: _Rows) -> Environment:
    _require(rows)
    if len(rows) > 1:
        raise DecodeError(FORMAT, rows[1][0], "expected one row")
    streams = [
        Datastream(id=str(position), current_value=value)
        for position, value in enumerate(rows[0][1])
        if value
    ]
    return Environment(datastreams=streams)


def _read_legacy_datastream(rows: _Rows) -> Datastream:
    _require(rows)
    if len(rows) > 1:
        raise DecodeError(FORMAT, rows[1][0], "expected one row")
    where, fields = rows[0]
    _width(where, fields, 1, 1)
    return Datastream(current_value=fields[0])


_READERS: dict[type, Callable[[_Rows], Any]] = {
    Environment: _read_feed,
    EnvironmentList: _read_feeds,
    Datastream: _read_datastream,
    Datapoint: _read_datapoint,
}

_LEGACY_READERS: dict[type, Callable[[_Rows], Any]] = {
    Environment: _read_legacy_feed,
    Datastream: _read_legacy_datastream,
}
