"""What is written to the SQLite store: functions of a connection, inside a transaction.

Each is all or nothing because the caller gives it a savepoint.  The order is the same everywhere:
the feed must exist, the guard must agree, then what the write names must exist.

*Current*: among points that come with an instant the newest is current; one at the very instant of
the current value replaces it.  A value without any instant is recorded at the server's now and
becomes current whatever is stored, so a device whose clock once ran ahead is not shown frozen.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from attrs import define, evolve, field, fields

from txbridge.hub.sqlite_reads import (
    FEED_COLUMNS,
    MAX_INTEGER,
    NEWEST_UNTIL,
    NEWEST_WITHIN,
    STREAM_COLUMNS,
    feed_record,
    in_one_step,
    load_feed,
    point,
    read_account,
    read_feed,
)
from txbridge.hub.sqlite_schema import fold, fold_list
from txbridge.hub.sqlite_triggers import judge
from txbridge.hub.store import (
    MAX_DATASTREAMS,
    MAX_FEEDS,
    AccountFull,
    AccountRecord,
    Full,
    Guard,
    KeyRecord,
    Missing,
    Taken,
    Written,
)
from txbridge.model.accounts import Key, User
from txbridge.model.instants import to_microseconds
from txbridge.model.numbers import number_text, parse_number
from txbridge.model.structures import Datapoint, Datastream, Environment, Location

__all__ = [
    "create_account",
    "create_datastreams",
    "create_feed",
    "create_key",
    "delete_account",
    "delete_datapoints",
    "delete_datastream",
    "delete_feed",
    "delete_key",
    "replace_keys",
    "sweep",
    "update_account",
    "update_datapoint",
    "update_datastream",
    "update_feed",
    "update_key",
]

SWEPT_POINTS = 2000  # at once; a writer that comes meanwhile waits no longer than for its own kind

PUT_POINT = """
    INSERT INTO points (stream, at, value) VALUES (?, ?, ?)
    ON CONFLICT (stream, at) DO UPDATE SET value = excluded.value
"""

_FEED_NAMES = tuple(name.strip() for name in FEED_COLUMNS.split(","))
_STREAM_NAMES = tuple(name.strip() for name in STREAM_COLUMNS.split(","))


def _updating(table: str, key: str, names: Sequence[str]) -> str:
    return f"UPDATE {table} SET {', '.join(f'{name} = :{name}' for name in names)} WHERE {key} = :{key}"


def _inserting(table: str, names: Sequence[str]) -> str:
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(f':{name}' for name in names)})"


_FEED_WRITTEN = (*_FEED_NAMES[1:], "title_folded", "words_folded", "tags_folded")
_UPDATE_FEED = _updating("feeds", "feed", _FEED_WRITTEN)
_INSERT_FEED = _inserting("feeds", _FEED_WRITTEN)
_STREAM_WRITTEN = (*_STREAM_NAMES[1:], "id_folded", "tags_folded", "units_folded")
_UPDATE_STREAM = _updating("datastreams", "stream", _STREAM_WRITTEN)
_INSERT_STREAM = _inserting("datastreams", ("feed", *_STREAM_WRITTEN))
_UPDATE_CURRENT = _updating("datastreams", "stream", ("value", "at", "max_value", "min_value"))

_ALL_OF_OWNER = """
    SELECT feeds.feed, id FROM feeds LEFT JOIN datastreams AS d ON d.feed = feeds.feed
    WHERE owner = ? ORDER BY feeds.feed, id
"""

# Of an account's document: what has a column or a table of its own, and what is never kept.
_NOT_STORED = ("login", "api_key", "password", "feeds_count", "datastreams_count")

_Row = dict[str, Any]
_Watched = Callable[[int], bool]


# ------------------------------------------------------------------------------------ accounts


def create_account(
    connection: sqlite3.Connection,
    login: str,
    record: KeyRecord | None,
    account: AccountRecord | None = None,
) -> None:
    """Make an account, and its first key if there is one.

    Raises:
        Taken: There is such an account.
    """
    if connection.execute("SELECT 1 FROM accounts WHERE login = ?", (login,)).fetchone() is not None:
        raise Taken(login)
    connection.execute("INSERT INTO accounts (login) VALUES (?)", (login,))
    if account is not None:
        update_account(connection, evolve(account, user=evolve(account.user, login=login)))
    if record is not None:
        create_key(connection, record)


def update_account(connection: sqlite3.Connection, account: AccountRecord) -> None:
    """Merge into an account: members that are None stay as they are.

    Raises:
        Missing: There is no such account.
    """
    login = account.user.login
    if login is None:
        raise Missing("account")
    user = read_account(connection, login).user
    for member in fields(User):
        said = getattr(account.user, member.name)
        if member.name in _NOT_STORED:
            setattr(user, member.name, None)
        elif said is not None and said != []:
            setattr(user, member.name, said)
    connection.execute(
        "UPDATE accounts SET document = ?, password = COALESCE(?, password) WHERE login = ?",
        (msgspec.json.encode(user).decode(), account.password, login),
    )


def delete_account(connection: sqlite3.Connection, login: str) -> list[Written]:
    """Remove an account with its keys and feeds.

    Raises:
        Missing: There is no such account.
    """
    read_account(connection, login)
    removed: dict[int, list[str]] = {}
    for feed, name in in_one_step(connection, "feed, id", _ALL_OF_OWNER, (login,)):
        names = removed.setdefault(feed, [])
        if name is not None:
            names.append(name)
    # In statements for all of them: others wait for this.
    owned = "SELECT feed FROM feeds WHERE owner = ?"
    connection.execute(f"INSERT INTO swept SELECT stream FROM datastreams WHERE feed IN ({owned})", (login,))
    connection.execute("DELETE FROM feeds WHERE owner = ?", (login,))
    connection.execute("DELETE FROM accounts WHERE login = ?", (login,))
    return [Written(feed, removed=tuple(names), deleted=True) for feed, names in removed.items()]


def create_key(connection: sqlite3.Connection, record: KeyRecord) -> None:
    """Add a key to an account.

    Raises:
        Missing: There is no such account.
    """
    if connection.execute("SELECT 1 FROM accounts WHERE login = ?", (record.login,)).fetchone() is None:
        raise Missing("account")
    connection.execute(
        "INSERT INTO keys (digest, login, document) VALUES (?, ?, ?)",
        (record.digest, record.login, _key_document(record.key)),
    )


def update_key(
    connection: sqlite3.Connection, digest: bytes, key: Key, new_digest: bytes | None = None
) -> None:
    """Put this in the place of what a key was.

    Raises:
        Missing: There is no such key.
    """
    changed = connection.execute(
        "UPDATE keys SET document = ?, digest = ? WHERE digest = ?",
        (_key_document(key), digest if new_digest is None else new_digest, digest),
    )
    if not changed.rowcount:
        raise Missing("key")


def delete_key(connection: sqlite3.Connection, digest: bytes) -> None:
    """Remove a key.

    Raises:
        Missing: There is no such key.
    """
    if not connection.execute("DELETE FROM keys WHERE digest = ?", (digest,)).rowcount:
        raise Missing("key")


def replace_keys(connection: sqlite3.Connection, login: str, record: KeyRecord) -> None:
    """Make this the only key of an account.

    Raises:
        Missing: There is no such account.
    """
    connection.execute("DELETE FROM keys WHERE login = ?", (login,))
    create_key(connection, evolve(record, login=login))


def _key_document(key: Key) -> str:
    if key.api_key is not None:
        raise ValueError("the text of a key is not stored: leave api_key out")
    return msgspec.json.encode(key).decode()


# ----------------------------------------------------------------------- what a write has done


@define
class _Changes:
    """Collects what one write did to one feed."""

    connection: sqlite3.Connection
    feed_id: int
    changed: list[str] = field(factory=list)
    created: list[str] = field(factory=list)
    removed: list[str] = field(factory=list)
    recorded: dict[str, list[Datapoint]] = field(factory=dict)
    fired: int = 0
    room: int | None = None  # for more datastreams; counted when the first is created

    def create(self, datastream_id: str) -> None:
        """Take room for a datastream that is about to be created.

        Raises:
            Full: There is none.
        """
        if self.room is None:
            count = "SELECT COUNT(*) FROM datastreams WHERE feed = ?"
            self.room = MAX_DATASTREAMS - self.connection.execute(count, (self.feed_id,)).fetchone()[0]
        if self.room <= 0:
            raise Full
        self.room -= 1
        self.created.append(datastream_id)

    def written(self, watched: _Watched) -> Written:
        return Written(
            feed_id=self.feed_id,
            changed=tuple(self.changed),
            created=tuple(self.created),
            removed=tuple(self.removed),
            recorded=self.recorded,
            snapshot=read_feed(self.connection, self.feed_id) if watched(self.feed_id) else None,
            fired=self.fired,
        )


def _begin(connection: sqlite3.Connection, feed_id: int, guard: Guard) -> tuple[_Changes, tuple[Any, ...]]:
    row = load_feed(connection, feed_id)
    guard(feed_record(connection, row, waypoints=False))
    return _Changes(connection, feed_id), row


def _touch(connection: sqlite3.Connection, feed_id: int, now: datetime) -> None:
    connection.execute("UPDATE feeds SET updated = ? WHERE feed = ?", (to_microseconds(now), feed_id))


# --------------------------------------------------------------------------------------- feeds


def create_feed(
    connection: sqlite3.Connection,
    owner: str,
    environment: Environment,
    now: datetime,
    watched: _Watched,
    most: int = MAX_FEEDS,
) -> Written:
    """Make a feed with the datastreams and values of this document.

    Raises:
        Missing: There is no such account.
        AccountFull: It has so many feeds already.
        Full: There are too many datastreams.
    """
    if connection.execute("SELECT 1 FROM accounts WHERE login = ?", (owner,)).fetchone() is None:
        raise Missing("account")
    if connection.execute("SELECT COUNT(*) FROM feeds WHERE owner = ?", (owner,)).fetchone()[0] >= most:
        raise AccountFull(most)
    row: _Row = dict.fromkeys(_FEED_WRITTEN)
    row.update(owner=owner, created=to_microseconds(now), private=0)
    _merge_feed(row, environment, now)
    cursor = connection.execute(_INSERT_FEED, row)
    assert cursor.lastrowid is not None
    changes = _Changes(connection, cursor.lastrowid)
    _write_datastreams(changes, environment.datastreams, environment.updated, now)
    return changes.written(watched)


def update_feed(
    connection: sqlite3.Connection,
    feed_id: int,
    environment: Environment,
    now: datetime,
    guard: Guard,
    watched: _Watched,
    removing: Guard | None = None,
) -> Written:
    """Merge a document into a feed; with ``removing`` its datastreams become all there are.

    Raises:
        Missing: There is no such feed.
        Full: There would be too many datastreams.
    """
    changes, old = _begin(connection, feed_id, guard)
    if removing is not None:
        _remove_others(changes, old, environment.datastreams, removing)
    if _describes_feed(environment):
        row: _Row = dict(zip(_FEED_NAMES, old, strict=True))
        waypoint = _merge_feed(row, environment, now)
        connection.execute(_UPDATE_FEED, row)
        if waypoint is not None:
            connection.execute(
                "INSERT OR REPLACE INTO waypoints (feed, at, lat, lon, ele) VALUES (?, ?, ?, ?, ?)",
                (feed_id, *waypoint),
            )
    else:
        _touch(connection, feed_id, now)
    _write_datastreams(changes, environment.datastreams, environment.updated, now)
    return changes.written(watched)


def _remove_others(
    changes: _Changes, feed: tuple[Any, ...], kept: Mapping[str, Datastream], guard: Guard
) -> None:
    connection = changes.connection
    known = connection.execute(
        "SELECT id, stream FROM datastreams WHERE feed = ? ORDER BY id", (changes.feed_id,)
    ).fetchall()
    gone = [(name, stream) for name, stream in known if name not in kept]
    if not gone:
        return
    guard(feed_record(connection, feed, waypoints=False))
    for name, stream in gone:
        _remove_datastream(changes, name, stream)


def delete_feed(connection: sqlite3.Connection, feed_id: int, guard: Guard) -> Written:
    """Remove a feed with all its history.

    Raises:
        Missing: There is no such feed.
    """
    _begin(connection, feed_id, guard)
    names = connection.execute("SELECT id FROM datastreams WHERE feed = ? ORDER BY id", (feed_id,)).fetchall()
    connection.execute("INSERT INTO swept SELECT stream FROM datastreams WHERE feed = ?", (feed_id,))
    connection.execute("DELETE FROM feeds WHERE feed = ?", (feed_id,))
    return Written(feed_id, removed=tuple(name for (name,) in names), deleted=True)


def _describes_feed(document: Environment) -> bool:
    members = (
        document.private,
        document.title,
        document.description,
        document.icon,
        document.website,
        document.email,
        document.auto_feed_url,
        document.tags,
        document.location,
    )
    return any(member is not None for member in members)


def _merge_feed(row: _Row, document: Environment, now: datetime) -> tuple[Any, ...] | None:
    """Take the members that are there into a row.

    Returns:
        The waypoint that a mobile feed leaves behind: instant, latitude, longitude, elevation.
    """
    row["updated"] = to_microseconds(now)
    if document.private is not None:
        row["private"] = int(document.private)
    _merge_texts(
        row,
        title=document.title,
        description=document.description,
        icon=document.icon,
        website=document.website,
        email=document.email,
        auto_feed_url=document.auto_feed_url,
    )
    tags = _merge_tags(row, document.tags)
    waypoint = None
    if document.location is not None:
        waypoint = _merge_location(row, document.location, document.updated or now)
    row["title_folded"] = fold(row["title"])
    row["words_folded"] = fold_list([row["description"], row["place"]])
    row["tags_folded"] = fold_list(tags)
    return waypoint


def _merge_texts(row: _Row, **members: str | None) -> None:
    """Take texts into a row; the empty text clears."""
    for name, text in members.items():
        if text is not None:
            row[name] = text or None


def _merge_tags(row: _Row, tags: Sequence[str] | None) -> list[str]:
    """Take tags into a row, sorted as the service did.

    Returns:
        The tags that hold now.
    """
    if tags is None:
        known: list[str] = [] if row["tags"] is None else json.loads(row["tags"])
        return known
    ordered = sorted({tag for tag in tags if tag}, key=lambda tag: (tag.casefold(), tag))
    row["tags"] = json.dumps(ordered, ensure_ascii=False) if ordered else None
    return ordered


def _merge_location(row: _Row, location: Location, at: datetime) -> tuple[Any, ...] | None:
    _merge_texts(
        row,
        place=location.name,
        domain=location.domain,
        exposure=location.exposure,
        disposition=location.disposition,
    )
    was = (row["lat"], row["lon"], row["ele"])
    if location.lat is not None:
        row["lat"] = location.lat
    if location.lon is not None:
        row["lon"] = location.lon
    _merge_texts(row, ele=location.ele)
    if (row["lat"], row["lon"], row["ele"]) == was:
        return None
    since, row["located"] = row["located"], to_microseconds(at)
    if row["disposition"] != Location.Mobile or since is None:
        return None
    return (since, *was)


# --------------------------------------------------------------------------------- datastreams


def create_datastreams(
    connection: sqlite3.Connection,
    feed_id: int,
    datastreams: Sequence[Datastream],
    now: datetime,
    guard: Guard,
    watched: _Watched,
) -> Written:
    """Add datastreams with their values.

    Raises:
        Missing: There is no such feed.
        Taken: One of them exists, or comes twice.
        Full: There would be too many.
    """
    changes, _ = _begin(connection, feed_id, guard)
    _touch(connection, feed_id, now)
    for datastream in datastreams:
        if datastream.id is None:
            raise ValueError("a datastream needs an id to be created")
        if _stream_row(connection, feed_id, datastream.id) is not None:
            raise Taken(datastream.id)
        _write_datastream(changes, datastream.id, datastream, None, now)
    return changes.written(watched)


def update_datastream(
    connection: sqlite3.Connection,
    feed_id: int,
    datastream_id: str,
    datastream: Datastream,
    now: datetime,
    guard: Guard,
    watched: _Watched,
) -> Written:
    """Merge into one datastream, which must exist.

    Raises:
        Missing: There is no such feed or datastream.
    """
    changes, _ = _begin(connection, feed_id, guard)
    row = _existing(connection, feed_id, datastream_id)
    _touch(connection, feed_id, now)
    _merge_datastream(changes, row, datastream, None, now)
    return changes.written(watched)


def delete_datastream(
    connection: sqlite3.Connection, feed_id: int, datastream_id: str, guard: Guard, watched: _Watched
) -> Written:
    """Remove a datastream with its history.

    Raises:
        Missing: There is no such feed or datastream.
    """
    changes, _ = _begin(connection, feed_id, guard)
    row = _existing(connection, feed_id, datastream_id)
    _remove_datastream(changes, datastream_id, row["stream"])
    return changes.written(watched)


def _remove_datastream(changes: _Changes, name: str, stream: int) -> None:
    changes.connection.execute("INSERT INTO swept (stream) VALUES (?)", (stream,))
    changes.connection.execute("DELETE FROM datastreams WHERE stream = ?", (stream,))
    changes.removed.append(name)


def sweep(connection: sqlite3.Connection) -> bool:
    """Remove some points of datastreams that are gone.

    Returns:
        Whether there was anything to remove.
    """
    gone = connection.execute("SELECT stream FROM swept LIMIT 1").fetchone()
    if gone is None:
        return False
    (stream,) = gone
    boundary = connection.execute(
        "SELECT at FROM points WHERE stream = ? ORDER BY at LIMIT 1 OFFSET ?", (stream, SWEPT_POINTS)
    ).fetchone()
    if boundary is None:
        connection.execute("DELETE FROM points WHERE stream = ?", (stream,))
        connection.execute("DELETE FROM swept WHERE stream = ?", (stream,))
    else:
        connection.execute("DELETE FROM points WHERE stream = ? AND at < ?", (stream, boundary[0]))
    return True


def _stream_row(connection: sqlite3.Connection, feed_id: int, datastream_id: str) -> _Row | None:
    values = connection.execute(
        f"SELECT {STREAM_COLUMNS} FROM datastreams WHERE feed = ? AND id = ?", (feed_id, datastream_id)
    ).fetchone()
    return None if values is None else dict(zip(_STREAM_NAMES, values, strict=True))


def _existing(connection: sqlite3.Connection, feed_id: int, datastream_id: str) -> _Row:
    row = _stream_row(connection, feed_id, datastream_id)
    if row is None:
        raise Missing("datastream")
    return row


def _write_datastreams(
    changes: _Changes, datastreams: Mapping[str, Datastream], timed: datetime | None, now: datetime
) -> None:
    for name, datastream in datastreams.items():
        row = _stream_row(changes.connection, changes.feed_id, name)
        if row is None:
            _write_datastream(changes, name, datastream, timed, now)
        else:
            _merge_datastream(changes, row, datastream, timed, now)


def _write_datastream(
    changes: _Changes, id: str, datastream: Datastream, timed: datetime | None, now: datetime
) -> None:
    """Make a datastream that does not exist."""
    changes.create(id)
    row: _Row = dict.fromkeys(_STREAM_WRITTEN)
    row.update(feed=changes.feed_id, id=id)
    _describe(row, datastream)
    row["stream"] = changes.connection.execute(_INSERT_STREAM, row).lastrowid
    _record(changes, row, *_points(datastream, timed, now), now)


def _merge_datastream(
    changes: _Changes, row: _Row, datastream: Datastream, timed: datetime | None, now: datetime
) -> None:
    """Merge into a datastream that exists."""
    members = (datastream.max_value, datastream.min_value, datastream.tags, datastream.unit)
    if any(member is not None for member in members):
        _describe(row, datastream)
        changes.connection.execute(_UPDATE_STREAM, row)
    _record(changes, row, *_points(datastream, timed, now), now)


def _describe(row: _Row, datastream: Datastream) -> None:
    """Take what describes a datastream into its row."""
    _merge_texts(row, max_value=_extreme(datastream.max_value), min_value=_extreme(datastream.min_value))
    tags = _merge_tags(row, datastream.tags)
    unit = datastream.unit
    if unit is not None:
        row["unit_type"] = unit.type or None
        row["unit_symbol"] = unit.symbol or None
        row["unit_label"] = unit.label or None
    row["id_folded"] = fold(row["id"])
    row["tags_folded"] = fold_list(tags)
    row["units_folded"] = fold_list([row["unit_symbol"], row["unit_label"]])


def _extreme(text: str | None) -> str | None:
    number = None if text is None else parse_number(text)
    return text if number is None else number_text(number)


# -------------------------------------------------------------------------------------- points


def _points(
    datastream: Datastream, timed: datetime | None, now: datetime
) -> tuple[dict[int, Datapoint], int | None]:
    """Everything that a document records; of two points at one instant the last holds.

    Returns:
        The points, which may be the document's own, under their instants in microseconds, and now if
        nobody said when one of them was.
    """
    points: dict[int, Datapoint] = {}
    untimed = None
    given = datastream.datapoints
    if datastream.current_value is not None:
        given = [*given, Datapoint(at=datastream.at, value=datastream.current_value)]
    for one in given:
        if one.value is None:
            continue
        at = one.at
        if at is None:
            at = now if timed is None else timed
            untimed = to_microseconds(now) if timed is None else untimed
            one = Datapoint(at=at, value=one.value)
        points[to_microseconds(at)] = one
    return points, untimed


def _record(
    changes: _Changes, row: _Row, points: Mapping[int, Datapoint], current: int | None, now: datetime
) -> None:
    """Record points, and let the current value and the extremes of their datastream follow.

    Args:
        changes: Of the write.
        row: The datastream's.
        points: Under their instants.
        current: The instant of the one that becomes current whatever is stored; None is the newest if
            nothing newer is stored.
        now: The time.
    """
    if not points:
        return
    stream, name = row["stream"], row["id"]
    instants = sorted(points)
    rows = [(stream, at, points[at].value) for at in instants]
    changes.connection.executemany(PUT_POINT, rows)
    changes.recorded[name] = [points[at] for at in instants]
    becomes_current = row["at"] is None or current is not None or instants[-1] >= row["at"]
    previous = row["value"]
    if becomes_current:
        row["at"] = instants[-1] if current is None else current
        row["value"] = points[row["at"]].value
        changes.changed.append(name)
    if _extend(row, [value for _, _, value in rows if value is not None]) or becomes_current:
        changes.connection.execute(_UPDATE_CURRENT, row)
    if becomes_current:
        changes.fired += judge(changes.connection, stream, previous, row["value"], now)


def _extend(row: _Row, values: Sequence[str]) -> bool:
    """Let the extremes cover these values.

    Returns:
        Whether that changed them.
    """
    numbers = _extremes(values)
    if not numbers:
        return False
    greatest, least = _known(row["max_value"]), _known(row["min_value"])
    grows, sinks = greatest is None or max(numbers) > greatest, least is None or min(numbers) < least
    if grows:
        row["max_value"] = number_text(max(numbers))
    if sinks:
        row["min_value"] = number_text(min(numbers))
    return grows or sinks


def _extremes(values: Sequence[str]) -> list[Decimal]:
    """The numbers among these values; some that are neither the greatest nor the least may be missing."""
    found: list[Decimal | None] = []
    try:
        # Reading floats is much faster, and keeps the order but for what they cannot tell apart.
        floats = list(map(float, values))
        if math.isfinite(sum(floats)):
            ends = {max(floats), min(floats)}
            found = [parse_number(text) for text, rough in zip(values, floats, strict=True) if rough in ends]
    except ValueError:  # there are texts
        pass
    if not found or None in found:  # or what only a float takes for a number
        found = [parse_number(text) for text in values]
    return [number for number in found if number is not None]


def _known(text: str | None) -> Decimal | None:
    return None if text is None else parse_number(text)


def update_datapoint(
    connection: sqlite3.Connection,
    feed_id: int,
    datastream_id: str,
    at: datetime,
    value: str,
    now: datetime,
    guard: Guard,
    watched: _Watched,
) -> Written:
    """Change the value of a point that exists.

    Raises:
        Missing: There is no such feed, datastream or point.
    """
    changes, _ = _begin(connection, feed_id, guard)
    row = _existing(connection, feed_id, datastream_id)
    instant = to_microseconds(at)
    if connection.execute(NEWEST_WITHIN, (row["stream"], instant, instant)).fetchone() is None:
        raise Missing("datapoint")
    _touch(connection, feed_id, now)
    if row["at"] == instant:
        _record(changes, row, {instant: point((instant, value))}, None, now)
    else:
        _rewrite(changes, row, instant, value)
    return changes.written(watched)


def _rewrite(changes: _Changes, row: _Row, at: int, value: str) -> None:
    """Change a point of the history; which one is current stays as it is.

    It may be newer than the current value: an untimed value was written after it.
    """
    changes.connection.execute(PUT_POINT, (row["stream"], at, value))
    changes.recorded[row["id"]] = [point((at, value))]
    if _extend(row, [value]):
        changes.connection.execute(_UPDATE_CURRENT, row)


def delete_datapoints(
    connection: sqlite3.Connection,
    feed_id: int,
    datastream_id: str,
    start: datetime | None,
    end: datetime | None,
    now: datetime,
    guard: Guard,
    watched: _Watched,
) -> Written:
    """Remove the points from ``start`` to ``end``, both inclusive.

    However many they are, it is one transaction, because a write is all or nothing; others wait for it,
    a few tenths of a second for each million points.

    Raises:
        Missing: There is no such feed or datastream, or ``start == end`` and no point is there.
    """
    changes, _ = _begin(connection, feed_id, guard)
    row = _existing(connection, feed_id, datastream_id)
    first = -MAX_INTEGER if start is None else to_microseconds(start)
    last = MAX_INTEGER if end is None else to_microseconds(end)
    removed = connection.execute(
        "DELETE FROM points WHERE stream = ? AND at BETWEEN ? AND ?", (row["stream"], first, last)
    ).rowcount
    if not removed and start is not None and first == last:
        raise Missing("datapoint")
    _touch(connection, feed_id, now)
    if row["at"] is not None and first <= row["at"] <= last:
        newest = connection.execute(NEWEST_UNTIL, (row["stream"], MAX_INTEGER)).fetchone()
        row["at"], row["value"] = (None, None) if newest is None else newest
        connection.execute(_UPDATE_CURRENT, row)
        changes.changed.append(datastream_id)
    return changes.written(watched)
