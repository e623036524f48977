"""Makes the hub's files that `benchmarks.scale` measures: always the same feeds, with more and more history.

Feeds, datastreams and the account are made by the store's own functions.  The history is not written as
devices would, one commit after the other, but by one statement of SQLite for each kind of datastream, in
the order of the table; what the writer would have kept beside it (current value, extremes) follows.
"""

from __future__ import annotations

import shutil
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

from attrs import frozen

from benchmarks.servers import KEY
from txbridge.hub.auth import EVERYTHING, OWNER, digest_of
from txbridge.hub.sqlite_schema import connect_for_writing
from txbridge.hub.sqlite_writes import create_account, create_feed
from txbridge.hub.store import KeyRecord
from txbridge.model.accounts import Key
from txbridge.model.structures import Datastream, Environment, Location, Unit

__all__ = ["FILE", "MONTH", "STREAMS", "Made", "deepen", "make"]

FILE = "hub.sqlite"
STREAMS = 10  # of each feed
MONTH = timedelta(days=31)
UNITS = (
    Unit(symbol="C", label="Celsius"),
    Unit(symbol="hPa", label="Hectopascal"),
    Unit(symbol="W", label="Watt"),
)
LIVE = 100  # every so many feeds one was written a moment ago
MADE_BEFORE = timedelta(days=60)

_HISTORY = """
    WITH RECURSIVE ticks (back) AS (SELECT :count - 1 UNION ALL SELECT back - 1 FROM ticks WHERE back > 0)
    INSERT INTO points (stream, at, value)
    SELECT stream, :end - back * :step, printf('%.1f', 15 + (stream * 7 + back * 13) % 100 / 10.0)
    FROM datastreams, ticks WHERE stream BETWEEN :first AND :last ORDER BY stream, back DESC
"""
_CURRENT = """
    UPDATE datastreams SET
        at = :end, max_value = '24.9', min_value = '15.0',
        value = (SELECT value FROM points AS p WHERE p.stream = datastreams.stream AND p.at = :end)
"""


@frozen
class Made:
    """What is in the files.

    Attributes:
        feeds: How many feeds have a short history in each datastream; their numbers begin with 1.
        wide: The feed whose ten datastreams reach far back.
        long: The feed whose first datastream reaches far back, with the most points.
        dense: The feed whose first datastream has its whole history in one month.
        end: The instant of every newest point.
    """

    feeds: int
    wide: int
    long: int
    dense: int
    end: datetime


def make(folder: Path, feeds: int) -> Made:
    """Make a store with so many feeds and three special ones, all of them without any history."""
    now = datetime.now(UTC).replace(microsecond=0)
    connection = connect_for_writing(folder / FILE)
    connection.execute("BEGIN")
    key = Key(label=OWNER, private_access=True, permissions=list(EVERYTHING))
    create_account(connection, OWNER, KeyRecord(digest_of(KEY), OWNER, key))
    for number in range(1, feeds + 4):
        at = now - MADE_BEFORE + timedelta(seconds=number)
        create_feed(connection, OWNER, _feed(number), at, lambda feed_id: False, most=feeds + 3)
    connection.execute(
        "UPDATE feeds SET updated = updated + :later WHERE feed % :live = 0",
        {"later": int(MADE_BEFORE.total_seconds() * 1_000_000) - feeds * 1_000_000, "live": LIVE},
    )
    connection.execute("COMMIT")
    connection.close()
    return Made(feeds, feeds + 1, feeds + 2, feeds + 3, now)


def _feed(number: int) -> Environment:
    """One of many, of which a search for a place, a tag or a unit finds some."""
    street = number // 40
    return Environment(
        title=f"House {number}",
        description=f"Meters and sensors of house {number} in street {street}",
        tags=["house", f"street{street}"],
        location=Location(
            name=f"Street {street}", lat=-60 + number * 7 % 1200 / 10, lon=-180 + number * 11 % 3600 / 10
        ),
        datastreams=[
            Datastream(id=f"sensor{index}", tags=[f"kind{index}"], unit=UNITS[(number + index) % len(UNITS)])
            for index in range(STREAMS)
        ],
    )


def deepen(source: Path, folder: Path, made: Made, depth: int) -> int:
    """Copy a store that `make` made and give it history.

    Args:
        source: Where it is.
        folder: Where the copy is to be.
        made: What `make` gave.
        depth: How many points each datastream of the many feeds gets.  That of `Made.long` gets as many
            as there are feeds for each of these, those of `Made.wide` have them together, and that of
            `Made.dense` gets two and a half times as many.

    Returns:
        How many points there are now.
    """
    folder.mkdir()
    shutil.copyfile(source / FILE, folder / FILE)
    connection = connect_for_writing(folder / FILE)
    connection.execute("PRAGMA synchronous = OFF")
    tenth = max(1, made.feeds // STREAMS)
    dense = 1_000_000 / (made.feeds * depth)  # seconds; with 10,000 feeds and a depth of 100 it is one
    connection.execute("BEGIN")
    for feeds, streams, count, step in (
        ((1, made.feeds), STREAMS, depth, MONTH / 100),
        ((made.wide, made.wide), STREAMS, depth * tenth, MONTH / tenth),
        ((made.long, made.long), 1, depth * made.feeds, MONTH / made.feeds),
        ((made.dense, made.dense), 1, int(MONTH.total_seconds() / dense), timedelta(seconds=dense)),
    ):
        _fill(connection, feeds, streams, count, step, made.end)
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    points: int = connection.execute("SELECT count(*) FROM points").fetchone()[0]
    connection.close()
    return points


def _fill(
    connection: sqlite3.Connection,
    feeds: tuple[int, int],
    streams: int,
    count: int,
    step: timedelta,
    end: datetime,
) -> None:
    first = (feeds[0] - 1) * STREAMS + 1  # feeds and datastreams are numbered as they were made
    values = {
        "count": count,
        "step": step // timedelta(microseconds=1),
        "end": int(end.timestamp()) * 1_000_000,
        "first": first,
        "last": (feeds[1] - 1) * STREAMS + streams,
    }
    connection.execute(_HISTORY, values)
    connection.execute(f"{_CURRENT} WHERE stream BETWEEN :first AND :last", values)
