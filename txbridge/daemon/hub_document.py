"""A feed as its owner saved it from the old service, as an export that a hub can take.

It is a document, JSON or EEML, as ``/v2/feeds/504.json`` was, and files of history, CSV, as
``/v2/feeds/504/datastreams/temperature/archive.csv`` was: lines ``TIMESTAMP,VALUE`` of the datastream that
the file is named after, or lines ``DATASTREAM,TIMESTAMP,VALUE``.
"""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from itertools import groupby, islice, starmap
from pathlib import Path
from typing import Any, BinaryIO, cast

import msgspec
from attrs import define, evolve, field

from txbridge._version import __version__
from txbridge.codecs import cosm_json, eeml
from txbridge.codecs.limits import CLIENT_LIMITS
from txbridge.cosm.refusal import Refusal
from txbridge.cosm.rules import writable_feed
from txbridge.errors import DecodeError, StoreError
from txbridge.hub.sqlite_schema import connect_for_reading
from txbridge.hub.transfer import (
    HISTORY_HEADER,
    MANIFEST,
    TABLES,
    FileEntry,
    Manifest,
    TransferError,
    history_lines,
    history_name,
    to_line,
)
from txbridge.model.instants import format_instant, from_microseconds, parse_instant, shorten, to_microseconds
from txbridge.model.numbers import number_text, parse_number
from txbridge.model.structures import Datapoint, Datastream, Environment, Location, Unit
from txbridge.model.texts import MAX_TEXT, are_values, is_text

__all__ = ["DocumentSource"]

CHUNK = 5000  # points that are in memory
TITLES = ("datastream", "timestamp", "at")

_TABLES = {table.name: table for table in TABLES}


@define
class _Known:
    """What the points of a datastream say of it."""

    at: datetime | None = None
    value: str | None = None
    greatest: Decimal | None = None
    least: Decimal | None = None

    def add(self, at: datetime, value: str) -> None:
        if self.at is None or at >= self.at:
            self.at, self.value = at, value
        number = parse_number(value)
        if number is not None:
            self.widen(number)

    def widen(self, number: Decimal) -> None:
        self.greatest = number if self.greatest is None else max(number, self.greatest)
        self.least = number if self.least is None else min(number, self.least)


@define
class _Made:
    """A file that is made while it is read, of chunks and how many rows each has."""

    name: str
    _chunks: Iterator[tuple[int, bytes]]
    _rows: int = 0
    _bytes: int = 0
    _digest: Any = field(factory=sha256)
    _rest: bytes = b""

    def read(self, size: int) -> bytes:
        """The next bytes, no more than so many."""
        while not self._rest:
            rows, self._rest = next(self._chunks, (-1, b""))
            if rows < 0:
                return b""
            self._rows += rows
        data, self._rest = self._rest[:size], self._rest[size:]
        self._bytes += len(data)
        self._digest.update(data)
        return data

    @property
    def entry(self) -> FileEntry:
        """What it was, when it has been read."""
        return FileEntry(self.name, self._rows, self._bytes, self._digest.hexdigest())


class DocumentSource:
    """A feed with its history; a `txbridge.hub.transfer_import.Source`.

    Args:
        document: The file with the feed.
        histories: Files with points.
        owner: The login of the account that it shall belong to.
        store: Where it goes, which may have it from an earlier import.

    Raises:
        TransferError: One of them cannot be read.
        StoreError: The store cannot be read.
    """

    def __init__(self, document: Path, histories: Sequence[Path], owner: str, store: Path) -> None:
        self.size: float | None = None
        self.entries: Mapping[str, FileEntry] = {}
        feed = _read_document(document)
        if feed.id is None or feed.id <= 0:
            raise TransferError(str(document), "has no number of a feed, its 'id'")
        self._id, self._owner = feed.id, owner
        self._histories = tuple(histories)
        self._waypoints = [] if feed.location is None else list(feed.location.waypoints)
        for point in self._waypoints:
            _checked(document, Environment(location=Location(lat=point.lat, lon=point.lon, ele=point.ele)))
        self._feed = _checked(document, feed)
        born = feed.created or feed.updated or _birth(store, owner, self._id, self._feed.title)
        self._created = born or datetime.now(UTC)
        self._dated = feed.updated or self._created
        self._own = {name: list(self._points_of(stream)) for name, stream in feed.datastreams.items()}
        self._known: dict[str, _Known] = {name: _Known() for name in self._feed.datastreams}
        for name, points in self._own.items():
            for _, value in points:
                if not are_values([value]):
                    problem = f"{shorten(value)!r} is no value of at most {MAX_TEXT} characters of text"
                    raise TransferError(str(document), f"Datastream {name}: {problem}")
        for name, at, value in self._points():
            self._known.setdefault(name, _Known()).add(at, value)
        newest = max((known.at for known in self._known.values() if known.at is not None), default=None)
        self._updated = feed.updated or newest or self._created
        _checked(document, Environment(datastreams={name: Datastream(id=name) for name in self._known}))

    def files(self) -> Iterator[tuple[str, BinaryIO]]:
        """The same as an export has them."""
        streams = enumerate(sorted(self._known), 1)
        made = [
            _Made("feeds.jsonl", _lines("feeds", [self._feed_row()])),
            _Made("waypoints.jsonl", _lines("waypoints", self._waypoint_rows())),
            _Made("datastreams.jsonl", _lines("datastreams", starmap(self._stream_row, streams))),
            _Made(history_name(self._id, 1), self._history()),
        ]
        for file in made:
            yield file.name, cast(BinaryIO, file)
        files = [file.entry for file in made]
        created = format_instant(self._updated)
        manifest = Manifest(program=__version__, created=created, rows={}, numbers={}, files=files)
        yield MANIFEST, io.BytesIO(msgspec.json.encode(manifest))

    def _points_of(self, stream: Datastream) -> Iterator[tuple[datetime, str]]:
        """What the document itself has of a datastream's history."""
        current = Datapoint(at=stream.at, value=stream.current_value)
        for point in [*stream.datapoints, current]:
            if point.value is not None:
                yield point.at or self._dated, point.value

    def _points(self) -> Iterator[tuple[str, datetime, str]]:
        for path in self._histories:
            yield from _read_history(path)
        for name, points in self._own.items():  # last, since of what is equal the document's holds
            for at, value in points:
                yield name, at, value

    def _history(self) -> Iterator[tuple[int, bytes]]:
        yield 0, HISTORY_HEADER.encode()
        for name, points in groupby(self._points(), lambda point: point[0]):
            while some := [(to_microseconds(at), value) for _, at, value in islice(points, CHUNK)]:
                yield len(some), history_lines(name, some).encode()

    def _feed_row(self) -> dict[str, Any]:
        feed = self._feed
        place = Location() if feed.location is None else feed.location
        return {
            "feed": self._id,
            "owner": self._owner,
            "created": to_microseconds(self._created),
            "updated": to_microseconds(self._updated),
            "private": bool(feed.private),
            "title": feed.title,
            "description": feed.description or None,
            "icon": feed.icon or None,
            "website": feed.website or None,
            "email": feed.email or None,
            "auto_feed_url": feed.auto_feed_url or None,
            "tags": _tags(feed.tags),
            "place": place.name or None,
            "domain": place.domain,
            "exposure": place.exposure,
            "disposition": place.disposition,
            "lat": place.lat,
            "lon": place.lon,
            "ele": place.ele or None,
            "located": None if place.lat is None else to_microseconds(self._updated),
        }

    def _waypoint_rows(self) -> Iterator[dict[str, Any]]:
        for point in self._waypoints:
            if point.at is not None:
                at = to_microseconds(point.at)
                yield {"feed": self._id, "at": at, "lat": point.lat, "lon": point.lon, "ele": point.ele}

    def _stream_row(self, number: int, name: str) -> dict[str, Any]:
        stream, known = self._feed.datastreams.get(name, Datastream(id=name)), self._known[name]
        for text in (stream.max_value, stream.min_value):
            if text is not None and (extreme := parse_number(text)) is not None:
                known.widen(extreme)
        unit = stream.unit or Unit()
        return {
            "stream": number,
            "feed": self._id,
            "id": name,
            "value": known.value,
            "at": None if known.at is None else to_microseconds(known.at),
            "max_value": None if known.greatest is None else number_text(known.greatest),
            "min_value": None if known.least is None else number_text(known.least),
            "tags": _tags(stream.tags),
            "unit_type": unit.type or None,
            "unit_symbol": unit.symbol or None,
            "unit_label": unit.label or None,
        }


def _read_document(path: Path) -> Environment:
    try:
        data = path.read_bytes()
        if data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
            return eeml.decode(Environment, data, limits=CLIENT_LIMITS)
        return cosm_json.decode(Environment, data, limits=CLIENT_LIMITS)
    except OSError as error:
        raise TransferError(str(path), f"cannot be read: {error.strerror}") from error
    except DecodeError as error:
        raise TransferError(str(path), f"is no feed: {error}") from error


def _checked(path: Path, feed: Environment) -> Environment:
    """A feed without its points, if the hub's rules allow what it says."""
    streams = {
        name: evolve(stream, id=name, datapoints=[], current_value=None)
        for name, stream in feed.datastreams.items()
    }
    try:
        return writable_feed(evolve(feed, datastreams=streams), creating=False)
    except Refusal as refusal:
        raise TransferError(str(path), refusal.errors) from refusal


def _birth(store: Path, owner: str, number: int, title: str | None) -> datetime | None:
    """When an account's feed of this number and title was made, if there is one.

    A feed is known by its birth, so one whose document does not tell it would be another each time.
    """
    find = "SELECT created FROM feeds WHERE feed = ? AND owner = ? AND title IS ?"
    try:
        with closing(connect_for_reading(store)) as reader:
            found = reader.execute(find, (number, owner, title)).fetchone()
    except sqlite3.Error as error:
        raise StoreError(f"cannot read the store {store}: {error}") from error
    return None if found is None else from_microseconds(found[0])


def _read_history(path: Path) -> Iterator[tuple[str, datetime, str]]:
    """The points of a file.

    Raises:
        TransferError: It cannot be read, or a line is none.
    """
    name = path.stem
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            for row in reader:
                if row and not (reader.line_num == 1 and row[0].strip().lower() in TITLES):
                    yield _point(name, row)
    except (ValueError, csv.Error) as error:
        raise TransferError(f"{path}, line {reader.line_num}", str(error)) from error
    except OSError as error:
        raise TransferError(str(path), f"cannot be read: {error.strerror}") from error


def _point(name: str, row: Sequence[str]) -> tuple[str, datetime, str]:
    if len(row) == 2:
        row = (name, *row)
    if len(row) != 3:
        raise ValueError(f"has {len(row)} fields, and not TIMESTAMP,VALUE or DATASTREAM,TIMESTAMP,VALUE")
    value = row[2].strip()
    if not (0 < len(value) <= MAX_TEXT and is_text(value)):
        raise ValueError(f"{shorten(row[2])!r} is no value of 1 to {MAX_TEXT} characters of text")
    return row[0].strip(), parse_instant(row[1]), value


def _tags(tags: Sequence[str] | None) -> str | None:
    """Tags as the storage has them."""
    ordered = sorted({tag for tag in tags or () if tag}, key=lambda tag: (tag.casefold(), tag))
    return json.dumps(ordered) if ordered else None


def _lines(name: str, rows: Iterable[Mapping[str, Any]]) -> Iterator[tuple[int, bytes]]:
    table = _TABLES[name]
    for row in rows:
        yield 1, to_line(table, [row.get(column.name) for column in table.columns])
