"""What is read from the SQLite store: functions of a connection, inside a transaction.

Sampled history costs a few index seeks for each interval that holds a point, however long the history is
and however long the stream was silent.  Nothing here walks more of a history than it gives back, but
`function` queries, which must see each point.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Context, Decimal
from functools import lru_cache
from itertools import islice
from typing import Any

import msgspec

from txbridge.hub.sqlite_schema import EARTH_KILOMETRES, fold, fold_list
from txbridge.hub.store import (
    AccountRecord,
    DatastreamHistory,
    FeedRecord,
    FeedSearch,
    HistoryQuery,
    KeyRecord,
    Missing,
)
from txbridge.model.accounts import Key, User
from txbridge.model.instants import from_microseconds, to_microseconds
from txbridge.model.numbers import number_text, parse_number
from txbridge.model.structures import Datapoint, Datastream, Environment, Location, Unit, Waypoint

__all__ = [
    "feed_record",
    "find_key",
    "find_key_by_reference",
    "find_stream",
    "has_accounts",
    "in_one_step",
    "list_accounts",
    "list_feeds",
    "list_keys",
    "load_feed",
    "point",
    "read_account",
    "read_backwards",
    "read_datapoint",
    "read_feed",
    "read_history",
    "read_points",
    "read_values_at",
]

MAX_WAYPOINTS = 1000  # the newest; as many as a history read gives points
MAX_INTEGER = 2**63 - 1  # SQLite's greatest: no feed has a greater number, no instant is later

FEED_COLUMNS = """
    feed, owner, created, updated, private, title, description, icon, website, email, auto_feed_url, tags,
    place, domain, exposure, disposition, lat, lon, ele, located, product_id, device_serial
"""
STREAM_COLUMNS = """
    stream, id, value, at, max_value, min_value, tags, unit_type, unit_symbol, unit_label
"""
_THESE = "(SELECT value FROM json_each(?))"
_STREAMS = f"SELECT {STREAM_COLUMNS} FROM datastreams WHERE feed = ? ORDER BY id"
_SOME_STREAMS = f"""
    SELECT {STREAM_COLUMNS} FROM datastreams WHERE feed = ? AND id IN {_THESE} ORDER BY id
"""
# A new feed is frozen until it is written, even when it is young.
_HAS_VALUE = "EXISTS (SELECT 1 FROM datastreams AS d WHERE d.feed = {feed} AND d.value IS NOT NULL)"
_WRITTEN = f"(updated != created OR {_HAS_VALUE.format(feed='feeds.feed')})"
_LOOK_FOR_VALUE = f"SELECT {_HAS_VALUE.format(feed='?')}"
_FEEDS = f"SELECT {FEED_COLUMNS}, {_WRITTEN} FROM feeds WHERE feed IN {_THESE}"
_STREAMS_OF_FEEDS = f"""
    SELECT feed, {STREAM_COLUMNS} FROM datastreams WHERE feed IN {_THESE} ORDER BY feed, id
"""
_MOVED = f"SELECT DISTINCT feed FROM waypoints WHERE feed IN {_THESE}"
_KEY_COLUMNS = "digest, login, document, reference"
_ACCOUNTS = """
    SELECT login, document, password,
        (SELECT COUNT(*) FROM feeds WHERE owner = login),
        (SELECT COUNT(*) FROM datastreams WHERE feed IN (SELECT feed FROM feeds WHERE owner = login))
    FROM accounts
"""
NEWEST_UNTIL = "SELECT at, value FROM points WHERE stream = ? AND at <= ? ORDER BY at DESC LIMIT 1"
NEWEST_WITHIN = (
    "SELECT at, value FROM points WHERE stream = ? AND at BETWEEN ? AND ? ORDER BY at DESC LIMIT 1"
)
_STORED = """
    SELECT at, value FROM points WHERE stream = :stream AND at BETWEEN :first AND :end
    ORDER BY at LIMIT :limit OFFSET :skip
"""
_AT_ONCE = 4 * 86_400_000_000  # microseconds of a history whose points are in memory together
_ROWS = msgspec.json.Decoder(list[tuple[Any, ...]])
_TEXTS = msgspec.json.Decoder(list[str])


def _end_of_interval(at: str) -> str:
    """The grid instant at or after an expression; the grid starts at midnight UTC, as 1970 does."""
    return f"({at} / :step + ({at} % :step > 0)) * :step"


# The ends of the intervals that hold points: the end of the first point's, then of the first after that.
_GRID = f"""
    WITH RECURSIVE
    found (at) AS (
        SELECT min(at) FROM points WHERE stream = :stream AND at BETWEEN :first AND :end
        UNION ALL
        SELECT (
            SELECT min(at) FROM points
            WHERE stream = :stream AND at BETWEEN {_end_of_interval("found.at")} + 1 AND :end
        ) FROM found WHERE at IS NOT NULL
    ),
    grid (at) AS (
        SELECT {_end_of_interval("at")} FROM found WHERE at IS NOT NULL AND {_end_of_interval("at")} <= :end
    )
"""
# The last stored point of each interval, with its own instant.
_SAMPLED = f"""
    {_GRID}
    SELECT p.at, p.value FROM grid CROSS JOIN points AS p
    WHERE p.stream = :stream AND p.at = (SELECT max(at) FROM points WHERE stream = :stream AND at <= grid.at)
    LIMIT :limit OFFSET :skip
"""
# The value that held at each grid instant.
_DISCRETE = f"""
    WITH RECURSIVE
    oldest (at) AS (SELECT max(:start, at) FROM points WHERE stream = :stream ORDER BY points.at LIMIT 1),
    grid (at) AS (
        SELECT {_end_of_interval("at")} + :skip * :step FROM oldest
        UNION ALL
        SELECT at + :step FROM grid WHERE at + :step <= :end
    )
    SELECT grid.at,
        (SELECT p.value FROM points AS p WHERE p.stream = :stream AND p.at <= grid.at
         ORDER BY p.at DESC LIMIT 1) AS value
    FROM grid WHERE grid.at <= :end LIMIT :limit
"""
# All values of each interval, as a text.
_VALUES = f"""
    {_GRID}
    SELECT grid.at, (
        SELECT json_group_array(value) || '' FROM points
        WHERE stream = :stream AND at BETWEEN max(:first, grid.at - :step + 1) AND grid.at
    ) AS value
    FROM grid LIMIT :intervals
"""

_BACKWARDS = """
    SELECT at, value FROM points WHERE stream = :stream AND at BETWEEN :first AND :end
    ORDER BY at DESC LIMIT :limit
"""

_number = lru_cache(10_000)(parse_number)
_MEAN = Context(prec=15)  # what a double holds for certain: 0.1 stays 0.1
_SUM = Context(prec=900)  # exact for every number there is

_ORDERS = {
    "created_at": "created DESC, feed DESC",
    "retrieved_at": "updated DESC, feed DESC",
    "relevance": """
        CASE WHEN instr(title_folded, :text) THEN 2 WHEN instr(tags_folded, :text) THEN 1 ELSE 0 END DESC,
        updated DESC, feed DESC
    """,
}


# ------------------------------------------------------------------------------------ accounts


def has_accounts(connection: sqlite3.Connection) -> bool:
    """Whether there is any account."""
    return connection.execute("SELECT 1 FROM accounts LIMIT 1").fetchone() is not None


def find_key(connection: sqlite3.Connection, digest: bytes) -> KeyRecord | None:
    """The key with this digest."""
    return _one_key(connection, "digest", digest)


def find_key_by_reference(connection: sqlite3.Connection, reference: str) -> KeyRecord | None:
    """The key with this reference."""
    return _one_key(connection, "reference", reference)


def list_keys(connection: sqlite3.Connection, login: str, feed_id: int | None = None) -> list[KeyRecord]:
    """The keys of an account, oldest first."""
    rows = connection.execute(f"SELECT {_KEY_COLUMNS} FROM keys WHERE login = ? ORDER BY number", (login,))
    records = [_key_record(row) for row in rows]
    return records if feed_id is None else [record for record in records if _names_feed(record.key, feed_id)]


def _one_key(connection: sqlite3.Connection, column: str, value: bytes | str) -> KeyRecord | None:
    row = connection.execute(f"SELECT {_KEY_COLUMNS} FROM keys WHERE {column} = ?", (value,)).fetchone()
    return None if row is None else _key_record(row)


def _key_record(row: tuple[Any, ...]) -> KeyRecord:
    digest, login, document, reference = row
    return KeyRecord(digest, login, msgspec.json.decode(document, type=Key), reference)


def _names_feed(key: Key, feed_id: int) -> bool:
    return any(
        resource.feed_id == feed_id
        for permission in key.permissions or ()
        for resource in permission.resources
    )


def read_account(connection: sqlite3.Connection, login: str) -> AccountRecord:
    """An account.

    Raises:
        Missing: There is no such account.
    """
    row = connection.execute(f"{_ACCOUNTS} WHERE login = ?", (login,)).fetchone()
    if row is None:
        raise Missing("account")
    return _account_record(row)


def list_accounts(connection: sqlite3.Connection) -> list[AccountRecord]:
    """All accounts, by login."""
    return [_account_record(row) for row in connection.execute(f"{_ACCOUNTS} ORDER BY login")]


def _account_record(row: tuple[Any, ...]) -> AccountRecord:
    login, document, password, feeds, datastreams = row
    user = msgspec.json.decode(document, type=User)
    user.login, user.feeds_count, user.datastreams_count = login, feeds, datastreams
    return AccountRecord(user, password)


# --------------------------------------------------------------------------------------- feeds


def load_feed(connection: sqlite3.Connection, feed_id: int) -> tuple[Any, ...]:
    """The row of a feed, in the order of `FEED_COLUMNS`.

    Raises:
        Missing: There is no such feed.
    """
    row: tuple[Any, ...] | None = None
    if 0 < feed_id <= MAX_INTEGER:
        row = connection.execute(f"SELECT {FEED_COLUMNS} FROM feeds WHERE feed = ?", (feed_id,)).fetchone()
    if row is None:
        raise Missing("feed")
    return row


def find_stream(connection: sqlite3.Connection, feed_id: int, datastream_id: str) -> int:
    """The number of a stream's points.

    Raises:
        Missing: There is no such feed or datastream.
    """
    load_feed(connection, feed_id)
    for _, stream in _stream_numbers(connection, feed_id, [datastream_id]):
        return stream
    raise Missing("datastream")


def feed_record(
    connection: sqlite3.Connection, row: Sequence[Any], *, waypoints: bool = True, written: bool | None = None
) -> FeedRecord:
    """A feed's metadata from its row, without datastreams.

    Args:
        connection: To read the waypoints.
        row: What `load_feed` gives.
        waypoints: Whether they are wanted: what moves a lot has many.
        written: Whether it was, if that is known.
    """
    feed_id, owner, created, updated, private, title, description, icon, website, email, auto_feed_url = row[
        :11
    ]
    if written is None:
        written = updated != created or bool(connection.execute(_LOOK_FOR_VALUE, (feed_id,)).fetchone()[0])
    return FeedRecord(
        owner,
        Environment(
            id=feed_id,
            title=title,
            private=bool(private),
            icon=icon,
            website=website,
            tags=_tags(row[11]),
            description=description,
            auto_feed_url=auto_feed_url,
            updated=from_microseconds(updated),
            created=from_microseconds(created),
            email=email,
            location=_location(connection, feed_id, row[12:19], MAX_WAYPOINTS if waypoints else 0),
            product_id=row[20],
            device_serial=row[21],
        ),
        written,
    )


def read_feed(
    connection: sqlite3.Connection, feed_id: int, datastreams: Sequence[str] | None = None
) -> FeedRecord:
    """A feed with all its datastreams, or only these.

    Raises:
        Missing: There is no such feed.
    """
    record = feed_record(connection, load_feed(connection, feed_id))
    record.environment.datastreams = _datastreams(connection, feed_id, datastreams)
    return record


def _datastreams(
    connection: sqlite3.Connection, feed_id: int, wanted: Sequence[str] | None
) -> dict[str, Datastream]:
    return {row[1]: _datastream(row) for row in _stream_rows(connection, feed_id, wanted)}


def _stream_rows(
    connection: sqlite3.Connection, feed_id: int, wanted: Sequence[str] | None
) -> Iterable[tuple[Any, ...]]:
    if wanted is None:
        return in_one_step(connection, STREAM_COLUMNS, _STREAMS, (feed_id,))
    these = (feed_id, json.dumps(list(wanted)))
    return in_one_step(connection, STREAM_COLUMNS, _SOME_STREAMS, these)


def _datastream(row: Sequence[Any]) -> Datastream:
    _, name, value, at, max_value, min_value, tags, unit_type, unit_symbol, unit_label = row
    described = not (unit_type is unit_symbol is unit_label is None)
    return Datastream(
        id=name,
        current_value=value,
        at=None if at is None else from_microseconds(at),
        max_value=max_value,
        min_value=min_value,
        tags=_tags(tags),
        unit=Unit(type=unit_type, symbol=unit_symbol, label=unit_label) if described else None,
    )


def _tags(text: str | None) -> list[str] | None:
    return None if text is None else _TEXTS.decode(text)


def _location(
    connection: sqlite3.Connection, feed_id: int, row: Sequence[Any], waypoints: int
) -> Location | None:
    place, domain, exposure, disposition, lat, lon, ele = row
    if all(member is None for member in row):
        return None
    rows = connection.execute(
        "SELECT at, lat, lon, ele FROM waypoints WHERE feed = ? ORDER BY at DESC LIMIT ?",
        (feed_id, waypoints),
    ).fetchall()
    return Location(
        name=place,
        domain=domain,
        exposure=exposure,
        disposition=disposition,
        lat=lat,
        lon=lon,
        ele=ele,
        waypoints=[
            Waypoint(at=from_microseconds(at), lat=was_lat, lon=was_lon, ele=was_ele)
            for at, was_lat, was_lon, was_ele in reversed(rows)
        ],
    )


def in_one_step(
    connection: sqlite3.Connection, columns: str, select: str, parameters: Any
) -> list[tuple[Any, ...]]:
    """The rows of a statement whose columns are integers and texts, fetched as one row of JSON.

    A thread gives the interpreter's lock away for each row that it fetches, and a busy reactor may keep
    it for milliseconds: row by row, a history takes seconds that is read in some hundredths of one.
    """
    collected = f"SELECT json_group_array(json_array({columns})) FROM ({select})"
    return _ROWS.decode(connection.execute(collected, parameters).fetchone()[0])


# -------------------------------------------------------------------------------------- search


def list_feeds(connection: sqlite3.Connection, search: FeedSearch) -> tuple[int, list[FeedRecord]]:
    """How many feeds match, and those of the page.

    Raises:
        ValueError: There is no such order.
    """
    if search.order not in _ORDERS:
        raise ValueError(f"{search.order!r} is not an order of feeds; there are {', '.join(_ORDERS)}")
    where, values = _conditions(search)
    order = "retrieved_at" if search.order == "relevance" and not search.text else search.order
    # Searched once, for the page as for how many there are.
    ordered = f"SELECT feed FROM feeds WHERE {where} ORDER BY {_ORDERS[order]} LIMIT -1"
    collected = connection.execute(f"SELECT json_group_array(feed) FROM ({ordered})", values).fetchone()[0]
    found = msgspec.json.decode(collected, type=list[int])
    first = max(0, search.offset)
    return len(found), _feed_records(connection, found[first : first + max(0, search.limit)], search.full)


def _feed_records(connection: sqlite3.Connection, feeds: Sequence[int], full: bool) -> list[FeedRecord]:
    """These feeds, in this order, all of which exist.

    Args:
        connection: To read with.
        feeds: Their numbers.
        full: Whether datastreams are wanted.
    """
    these = (json.dumps(feeds),)
    moved = {feed for (feed,) in connection.execute(_MOVED, these)}
    rows = {row[0]: row for row in connection.execute(_FEEDS, these)}
    records = {
        feed: feed_record(connection, rows[feed], waypoints=feed in moved, written=bool(rows[feed][-1]))
        for feed in feeds
    }
    if full:
        for feed, *row in in_one_step(connection, f"feed, {STREAM_COLUMNS}", _STREAMS_OF_FEEDS, these):
            records[feed].environment.datastreams[row[1]] = _datastream(row)
    return list(records.values())


def _conditions(search: FeedSearch) -> tuple[str, dict[str, Any]]:
    # What is asked of datastreams is asked of all of them in one walk: a look-up for each feed costs more.
    conditions = ["(private = 0 OR (owner = :login AND :private_access))"]
    values: dict[str, Any] = {"login": search.login, "private_access": search.private_access}

    def require(condition: str, **named: Any) -> None:
        conditions.append(f"({condition})")
        values.update(named)

    if search.feed_ids is not None:
        require("feed IN (SELECT value FROM json_each(:feed_ids))", feed_ids=json.dumps(search.feed_ids))
    if search.text:
        require(
            """
            instr(title_folded, :text) OR instr(words_folded, :text) OR instr(tags_folded, :text)
            OR feed IN (
                SELECT d.feed FROM datastreams AS d
                WHERE instr(d.id_folded, :text) OR instr(d.tags_folded, :text)
            )
            """,
            text=fold(search.text),
        )
    if search.tag:
        require(
            """
            instr(tags_folded, :tag)
            OR feed IN (SELECT d.feed FROM datastreams AS d WHERE instr(d.tags_folded, :tag))
            """,
            tag=fold_list([search.tag]),
        )
    if search.user is not None:
        require("owner = :user", user=search.user)
    if search.units:
        require(
            "feed IN (SELECT d.feed FROM datastreams AS d WHERE instr(d.units_folded, :units))",
            units=fold_list([search.units]),
        )
    if search.live_since is not None:
        require(f"updated >= :live_since AND {_WRITTEN}", live_since=to_microseconds(search.live_since))
    if search.frozen_since is not None:
        require(
            f"updated < :frozen_since OR NOT {_WRITTEN}", frozen_since=to_microseconds(search.frozen_since)
        )
    if search.near is not None:
        lat, lon, kilometres = search.near
        condition, box = _box(lat, lon, kilometres)
        require(condition, **box)
        require(
            "lon IS NOT NULL AND kilometres_between(:lat, :lon, lat, lon) <= :kilometres",
            lat=lat,
            lon=lon,
            kilometres=kilometres,
        )
    return " AND ".join(conditions), values


def _box(lat: float, lon: float, kilometres: float) -> tuple[str, dict[str, float]]:
    """A rectangle of the map around a circle on the earth: what an index can answer."""
    angle = math.degrees(kilometres / EARTH_KILOMETRES) * (1 + 1e-9)
    condition, values = "lat BETWEEN :south AND :north", {"south": lat - angle, "north": lat + angle}
    if abs(lat) + angle < 90:  # else a pole is inside, and with it every meridian
        reach = math.sin(math.radians(angle)) / math.cos(math.radians(lat))
        half = math.degrees(math.asin(min(1.0, reach))) * (1 + 1e-9)
        # Past the antimeridian the rectangle goes on at the other end.
        condition += """
            AND (lon BETWEEN :west AND :east OR lon BETWEEN :west + 360 AND :east + 360
                 OR lon BETWEEN :west - 360 AND :east - 360)
        """
        values.update(west=lon - half, east=lon + half)
    return condition, values


# ------------------------------------------------------------------------------------- history


def read_datapoint(
    connection: sqlite3.Connection, feed_id: int, datastream_id: str, at: datetime
) -> Datapoint:
    """The point at exactly this instant.

    Raises:
        Missing: There is no such feed, datastream or point.
    """
    stream = find_stream(connection, feed_id, datastream_id)
    instant = to_microseconds(at)
    row = connection.execute(NEWEST_WITHIN, (stream, instant, instant)).fetchone()
    if row is None:
        raise Missing("datapoint")
    return point(row)


def read_values_at(
    connection: sqlite3.Connection, feed_id: int, datastreams: Sequence[str], at: datetime
) -> dict[str, Datapoint]:
    """The newest point at or before an instant of each datastream that has one.

    Raises:
        Missing: There is no such feed.
    """
    load_feed(connection, feed_id)
    instant = to_microseconds(at)
    values = {}
    for name, stream in _stream_numbers(connection, feed_id, datastreams):
        row = connection.execute(NEWEST_UNTIL, (stream, instant)).fetchone()
        if row is not None:
            values[name] = point(row)
    return values


def read_points(
    connection: sqlite3.Connection, feed_id: int, datastream_id: str, after: datetime | None, limit: int
) -> list[Datapoint]:
    """The next stored points after an instant, ascending.

    Raises:
        Missing: There is no such feed or datastream.
    """
    stream = find_stream(connection, feed_id, datastream_id)
    first = -MAX_INTEGER if after is None else to_microseconds(after) + 1
    rows = _rows(
        connection, _STORED, stream=stream, first=first, end=MAX_INTEGER, limit=max(0, limit), skip=0
    )
    return list(map(point, rows))


def read_backwards(
    connection: sqlite3.Connection, feed_id: int, datastream_id: str, first: int, last: int, limit: int
) -> list[tuple[int, str]]:
    """The newest points of a window, newest first.

    Raises:
        Missing: There is no such feed or datastream.
    """
    stream = find_stream(connection, feed_id, datastream_id)
    return _rows(connection, _BACKWARDS, stream=stream, first=first, end=last, limit=max(0, limit))


def read_history(
    connection: sqlite3.Connection, feed_id: int, datastreams: Sequence[str], query: HistoryQuery
) -> list[DatastreamHistory]:
    """Points of these datastreams, in their order; ids that do not exist are left out.

    Raises:
        Missing: There is no such feed.
        ValueError: There is no such function.
    """
    load_feed(connection, feed_id)
    if query.interval > 0 and query.function is not None and query.function not in _FUNCTIONS:
        raise ValueError(f"{query.function!r} is not a function; there are {', '.join(_FUNCTIONS)}")
    return [
        DatastreamHistory(name, list(map(point, _history(connection, stream, query))))
        for name, stream in _stream_numbers(connection, feed_id, datastreams)
    ]


def point(row: tuple[int, str]) -> Datapoint:
    """A point from its row."""
    return Datapoint(at=from_microseconds(row[0]), value=row[1])


def _stream_numbers(
    connection: sqlite3.Connection, feed_id: int, datastreams: Sequence[str]
) -> list[tuple[str, int]]:
    numbers = {row[1]: row[0] for row in _stream_rows(connection, feed_id, datastreams)}
    return [(name, numbers[name]) for name in datastreams if name in numbers]


_Rows = list[tuple[Any, ...]]


def _rows(connection: sqlite3.Connection, select: str, **named: int) -> _Rows:
    return in_one_step(connection, "at, value", select, named)


def _history(connection: sqlite3.Connection, stream: int, query: HistoryQuery) -> _Rows:
    start, end, step = to_microseconds(query.start), to_microseconds(query.end), query.interval * 1_000_000
    skip, limit = max(0, query.skip), max(0, query.limit)
    if step > 0 and query.function is not None:
        results = _aggregated(connection, stream, start, end, step, query.function)
        return list(islice(results, skip, skip + limit))
    if step > 0 and query.discrete:
        return _rows(
            connection, _DISCRETE, stream=stream, start=start, end=end, step=step, limit=limit, skip=skip
        )
    previous: _Rows = []
    if query.find_previous:
        previous = connection.execute(NEWEST_UNTIL, (stream, start - 1)).fetchall()
    skipped = max(0, skip - len(previous))  # SQLite skips faster than we do
    first = _first_inside(start, step) if step > 0 else start
    rows_of = _SAMPLED if step > 0 else _STORED
    rows = _rows(
        connection, rows_of, stream=stream, first=first, end=end, step=step, limit=limit, skip=skipped
    )
    return [*previous, *rows][skip - skipped : skip - skipped + limit]


def _first_inside(start: int, step: int) -> int:
    """The first instant of a window that belongs to an interval ending after ``start``.

    An interval holds its end and not its beginning, so a window that starts on the grid leaves
    that instant to the interval before.
    """
    return start if start % step else start + 1


def _aggregated(
    connection: sqlite3.Connection, stream: int, start: int, end: int, step: int, function: str
) -> Iterator[tuple[int, str]]:
    """One number for each interval that holds numbers, at the grid instant that ends it.

    A sensor says the same few things again and again, so each text is counted, and read once.
    """
    compute = _FUNCTIONS[function]
    first, most = _first_inside(start, step), max(1, _AT_ONCE // step)
    while True:
        intervals = _rows(connection, _VALUES, stream=stream, first=first, end=end, step=step, intervals=most)
        for grid, values in intervals:
            numbers = [
                (number, count)
                for text, count in Counter(_TEXTS.decode(values)).items()
                if (number := _number(text)) is not None
            ]
            if numbers:
                yield grid, number_text(compute(numbers))
        if len(intervals) < most:
            return
        first = intervals[-1][0] + 1


_Numbers = Sequence[tuple[Decimal, int]]
"""Numbers, and how often each comes."""


def _sum(numbers: _Numbers) -> Decimal:
    total = Decimal()
    for number, count in numbers:
        total = _SUM.fma(number, count, total)
    return total


def _average(numbers: _Numbers) -> Decimal:
    return _MEAN.divide(_sum(numbers), Decimal(sum(count for _, count in numbers)))


def _least(numbers: _Numbers) -> Decimal:
    return min(numbers)[0]


def _greatest(numbers: _Numbers) -> Decimal:
    return max(numbers)[0]


_FUNCTIONS = {"average": _average, "min": _least, "max": _greatest, "sum": _sum}
