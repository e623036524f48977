"""What the tables hold after a write, where the contract does not show it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from txbridge.hub import sqlite_writes as writes
from txbridge.hub.sqlite_schema import connect_for_writing
from txbridge.hub.store import FeedRecord, KeyRecord
from txbridge.model.accounts import Key
from txbridge.model.numbers import number_text, parse_number
from txbridge.model.structures import Datapoint, Datastream, Environment, Location

NOON = datetime(2013, 6, 3, 12, tzinfo=UTC)


def allow(record: FeedRecord) -> None:
    """A guard that refuses nothing."""


def unwatched(feed_id: int) -> bool:
    """Nobody listens."""
    return False


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """An open transaction in a store with one account."""
    connection = connect_for_writing(tmp_path / "hub.sqlite")
    connection.execute("BEGIN")
    writes.create_account(connection, "ann", KeyRecord(b"d", "ann", Key(label="k")))
    yield connection
    connection.execute("ROLLBACK")
    connection.close()


def make(connection: sqlite3.Connection, *streams: Datastream, **members: Any) -> int:
    """A feed's number."""
    document = Environment(**{"title": "x", "datastreams": list(streams), **members})
    return writes.create_feed(connection, "ann", document, NOON, unwatched).feed_id


def number_of(connection: sqlite3.Connection, table: str) -> int:
    """How many rows there are."""
    number: int = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    return number


def test_deleting_a_feed_leaves_nothing_of_it_once_swept(connection):
    points = [Datapoint(at=NOON + timedelta(seconds=n), value=n) for n in range(10)]
    location = Location(disposition="mobile", lat=1, lon=1)
    feed_id = make(connection, Datastream(id="t", datapoints=points), Datastream(id="u"), location=location)
    moved = Environment(location=Location(lat=2))
    writes.update_feed(connection, feed_id, moved, NOON, allow, unwatched)
    assert number_of(connection, "waypoints") == 1
    writes.delete_feed(connection, feed_id, allow)
    while writes.sweep(connection):
        assert number_of(connection, "swept") <= 2
    for table in ("feeds", "datastreams", "waypoints", "points", "swept"):
        assert number_of(connection, table) == 0, table


def test_sweeping_takes_small_steps(connection):
    points = [Datapoint(at=NOON + timedelta(seconds=n), value=n) for n in range(2 * writes.SWEPT_POINTS + 1)]
    feed_id = make(connection, Datastream(id="t", datapoints=points))
    writes.delete_datastream(connection, feed_id, "t", allow, unwatched)
    left = [number_of(connection, "points")]
    while writes.sweep(connection):
        left.append(number_of(connection, "points"))
    assert left == [2 * writes.SWEPT_POINTS + 1, writes.SWEPT_POINTS + 1, 1, 0]


def test_the_number_of_a_swept_stream_is_not_given_to_another(connection):
    """Its points may still be there."""
    feed_id = make(connection, Datastream(id="t", current_value="old"))
    writes.delete_datastream(connection, feed_id, "t", allow, unwatched)
    writes.create_datastreams(
        connection, feed_id, [Datastream(id="t", current_value="new")], NOON, allow, unwatched
    )
    while writes.sweep(connection):
        pass
    assert connection.execute("SELECT value FROM points").fetchall() == [("new",)]


def test_a_guard_is_not_made_to_wait_for_waypoints(connection):
    feed_id = make(connection, location=Location(disposition="mobile", lat=0, lon=0))
    for step in range(3):
        moved = Environment(location=Location(lat=step + 1))
        writes.update_feed(connection, feed_id, moved, NOON + timedelta(seconds=step + 1), allow, unwatched)
    shown: list[FeedRecord] = []
    written = writes.update_feed(connection, feed_id, Environment(), NOON, shown.append, lambda feed_id: True)
    (record,) = shown
    assert record.environment.location is not None
    assert record.environment.location.waypoints == []
    assert written.snapshot is not None
    assert written.snapshot.environment.location is not None
    assert len(written.snapshot.environment.location.waypoints) == 3


def test_tags_are_kept_once_in_the_order_of_the_service(connection):
    feed_id = make(connection, tags=["b", "A", "a", "B", "", "b"])
    (tags,) = connection.execute("SELECT tags FROM feeds WHERE feed = ?", (feed_id,)).fetchone()
    assert tags == '["A", "a", "B", "b"]'


def test_an_extreme_that_is_no_number_gives_way_to_one(connection):
    feed_id = make(connection, Datastream(id="t", max_value="much", min_value="7"))
    sent = Datastream(current_value="9")
    writes.update_datastream(connection, feed_id, "t", sent, NOON, allow, unwatched)
    assert connection.execute("SELECT max_value, min_value FROM datastreams").fetchall() == [("9.0", "7.0")]


def test_a_datastream_without_an_id_cannot_be_made(connection):
    feed_id = make(connection)
    with pytest.raises(ValueError, match="id"):
        writes.create_datastreams(connection, feed_id, [Datastream()], NOON, allow, unwatched)


@pytest.mark.parametrize(
    "values",
    [
        ["3", "1", "2"],
        ["0.1", "0.10000000000000000001", "0.09999999999999999999"],
        ["5", "on"],
        ["on", "off"],
        ["nan", "5", "4"],
        ["inf", "5", "-inf"],
        ["1e999", "5", "-1e999"],
        ["1e5000", "5"],
        ["1e-5000", "5"],
        ["1_000", "5", "-1_000"],
        ["1e00009", "5"],
        ["٩", "5"],
        ["0" * 255 + "9", "5"],
        [" 7 ", "5"],
        ["-0.0", "0"],
    ],
)
def test_the_extremes_are_those_of_what_is_plainly_a_number(connection, values):
    points = [Datapoint(at=NOON + timedelta(seconds=n), value=value) for n, value in enumerate(values)]
    make(connection, Datastream(id="t", datapoints=points))
    numbers = [number for value in values if (number := parse_number(value)) is not None]
    expected = (number_text(max(numbers)), number_text(min(numbers))) if numbers else (None, None)
    assert connection.execute("SELECT max_value, min_value FROM datastreams").fetchall() == [expected]


def test_an_accounts_feeds_go_with_all_that_is_theirs_and_nobody_elses(connection):
    writes.create_account(connection, "bob", None)
    theirs = Datastream(id="t", current_value=1)
    kept = writes.create_feed(
        connection, "bob", Environment(title="b", datastreams=[theirs]), NOON, unwatched
    )
    bare = make(connection)
    full = make(connection, Datastream(id="u"), theirs)
    removed = writes.delete_account(connection, "ann")
    assert [(written.feed_id, written.removed, written.deleted) for written in removed] == [
        (bare, (), True),
        (full, ("t", "u"), True),
    ]
    assert connection.execute("SELECT feed FROM feeds").fetchall() == [(kept.feed_id,)]
    assert number_of(connection, "datastreams") == 1
    assert number_of(connection, "swept") == 2
    while writes.sweep(connection):
        pass
    assert number_of(connection, "points") == 1
