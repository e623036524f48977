"""What reading costs: an interval query must not depend on how long the history is."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from txbridge.hub.sqlite_reads import list_feeds, read_feed, read_history
from txbridge.hub.sqlite_schema import connect_for_writing, kilometres_between
from txbridge.hub.sqlite_writes import create_account, create_feed
from txbridge.hub.store import FeedSearch, HistoryQuery, KeyRecord
from txbridge.model.accounts import Key
from txbridge.model.instants import to_microseconds
from txbridge.model.structures import Datapoint, Datastream, Environment, Location, Unit

DAY = datetime(2013, 6, 3, tzinfo=UTC)
FINE, COARSE = 500_000, 60_000_000  # microseconds between points


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A store with the feed 1, whose stream ``dense`` has 120 times the points of ``sparse``."""
    connection = connect_for_writing(tmp_path / "hub.sqlite")
    connection.create_function("kilometres_between", 4, kilometres_between)
    connection.execute("BEGIN")
    create_account(connection, "ann", KeyRecord(b"d", "ann", Key(label="k")))
    streams = [Datastream(id="dense"), Datastream(id="sparse"), Datastream(id="gap")]
    create_feed(connection, "ann", Environment(title="x", datastreams=streams), DAY, lambda feed_id: False)
    first = to_microseconds(DAY)
    for name, step in [("dense", FINE), ("sparse", COARSE)]:
        connection.execute(
            """
            WITH RECURSIVE instants (instant) AS (
                SELECT :first UNION ALL SELECT instant + :step FROM instants WHERE instant < :last
            )
            INSERT INTO points SELECT stream, instant, 'v' FROM datastreams, instants WHERE id = :name
            """,
            {"name": name, "first": first, "step": step, "last": first + 3600 * 6 * 1_000_000},
        )
    connection.execute("INSERT INTO points SELECT stream, ?, 'v' FROM datastreams WHERE id = 'gap'", (first,))
    connection.execute(
        "INSERT INTO points SELECT stream, ?, 'w' FROM datastreams WHERE id = 'gap'",
        (to_microseconds(DAY + timedelta(days=3650)),),
    )
    yield connection
    connection.execute("ROLLBACK")
    connection.close()


def cost(connection: sqlite3.Connection, ask: Callable[[], Any]) -> int:
    """Thousands of instructions of SQLite's machine, nearly."""
    ticks = 0

    def tick() -> int:
        nonlocal ticks
        ticks += 1
        return 0

    connection.set_progress_handler(tick, 10)
    ask()
    connection.set_progress_handler(None, 10)
    return ticks


def fetched(connection: sqlite3.Connection, ask: Callable[[], Any]) -> int:
    """How many rows came out of SQLite, each of which a thread may have to wait for."""
    rows = 0

    def count(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> tuple[Any, ...]:
        nonlocal rows
        rows += 1
        return row

    connection.row_factory = count
    ask()
    connection.row_factory = None
    return rows


@pytest.mark.parametrize("discrete", [False, True])
def test_an_interval_query_costs_the_same_in_a_long_history(connection, discrete):
    query = HistoryQuery(DAY, DAY + timedelta(hours=6), limit=1000, interval=300, discrete=discrete)

    def ask(name: str) -> Any:
        (history,) = read_history(connection, 1, [name], query)
        return history.datapoints

    assert len(ask("dense")) == len(ask("sparse")) in (72, 73)
    assert cost(connection, lambda: ask("dense")) <= 1.2 * cost(connection, lambda: ask("sparse"))


@pytest.mark.parametrize(
    "query",
    [
        HistoryQuery(DAY, DAY + timedelta(hours=6), limit=1000),
        HistoryQuery(DAY, DAY + timedelta(hours=6), limit=1000, interval=60, find_previous=True),
        HistoryQuery(DAY, DAY + timedelta(hours=6), limit=1000, interval=60, discrete=True),
        HistoryQuery(DAY, DAY + timedelta(hours=6), limit=1000, interval=60, function="max"),
    ],
)
def test_a_history_is_fetched_in_a_few_rows(connection, query):
    assert fetched(connection, lambda: read_history(connection, 1, ["dense", "sparse"], query)) <= 6


def test_a_list_of_feeds_is_fetched_in_a_row_for_each_feed(connection):
    for number in range(20):
        streams = [Datastream(id=f"s{index}", current_value=index) for index in range(10)]
        create_feed(
            connection, "ann", Environment(title=f"{number}", datastreams=streams), DAY, lambda _: False
        )
    search = FeedSearch("ann", True)
    _, records = list_feeds(connection, search)
    assert [len(record.environment.datastreams) for record in records] == [10] * 20 + [3]
    assert fetched(connection, lambda: list_feeds(connection, search)) <= 21 + 2


def test_texts_come_back_as_they_were_stored(connection):
    texts = ["", '"', "\\", "a\x00b", "\x1f", "\x7f", "é€😀", "\u2028", "NaN", "1e5", "21.50", "[1]", "null"]
    points = [Datapoint(at=DAY + timedelta(seconds=n), value=text) for n, text in enumerate(texts, 1)]
    stream = Datastream(id="t", datapoints=points, unit=Unit(label=texts[2], symbol=texts[6]))
    feed_id = create_feed(
        connection, "ann", Environment(title="t", datastreams=[stream]), DAY, lambda feed_id: False
    ).feed_id
    whole = HistoryQuery(DAY, DAY + timedelta(seconds=len(texts)))
    for query in (whole, evolve(whole, interval=1), evolve(whole, interval=1, discrete=True)):
        (history,) = read_history(connection, feed_id, ["t"], query)
        assert [point.value for point in history.datapoints] == texts
    (read,) = read_feed(connection, feed_id).environment.datastreams.values()
    assert read.unit == stream.unit


def test_intervals_before_1970_end_on_the_same_grid(connection):
    start = datetime(1969, 12, 31, 20, tzinfo=UTC)
    points = [
        Datapoint(at=start + timedelta(minutes=minutes), value=minutes) for minutes in (0, 5, 60, 61, 250)
    ]
    stream = Datastream(id="old", datapoints=points)
    feed_id = create_feed(
        connection, "ann", Environment(title="old", datastreams=[stream]), DAY, lambda feed_id: False
    ).feed_id

    def ask(**more: Any) -> list[tuple[float, str | None]]:
        query = HistoryQuery(start - timedelta(hours=1), start + timedelta(hours=6), interval=3600, **more)
        (history,) = read_history(connection, feed_id, ["old"], query)
        return [((point.at - start) / timedelta(minutes=1), point.value) for point in history.datapoints]

    assert ask() == [(0, "0"), (60, "60"), (61, "61"), (250, "250")]
    assert ask(function="sum") == [(0, "0.0"), (60, "65.0"), (120, "61.0"), (300, "250.0")]
    assert ask(discrete=True) == [
        (0, "0"),
        (60, "60"),
        (120, "61"),
        (180, "61"),
        (240, "61"),
        (300, "250"),
        (360, "250"),
    ]


def test_a_function_sees_more_than_is_in_memory_together(connection):
    stream = Datastream(
        id="many", datapoints=[Datapoint(at=DAY + timedelta(hours=hour), value=1) for hour in range(1, 1001)]
    )
    feed_id = create_feed(
        connection, "ann", Environment(title="many", datastreams=[stream]), DAY, lambda feed_id: False
    ).feed_id
    query = HistoryQuery(DAY, DAY + timedelta(hours=1000), interval=7200, limit=1000, function="sum")
    (history,) = read_history(connection, feed_id, ["many"], query)
    assert [point.value for point in history.datapoints] == ["2.0"] * 500


def test_a_limit_ends_the_work_early(connection):
    def ask(limit: int) -> Any:
        query = HistoryQuery(DAY, DAY + timedelta(hours=6), limit=limit, interval=60)
        return read_history(connection, 1, ["dense"], query)

    assert cost(connection, lambda: ask(5)) < cost(connection, lambda: ask(300)) / 10


def test_silence_costs_nothing(connection):
    """Ten years at half a minute are ten million instants, and two of them hold a point."""
    query = HistoryQuery(DAY - timedelta(1), DAY + timedelta(days=3651), limit=1000, interval=30)
    (history,) = read_history(connection, 1, ["gap"], query)
    assert [point.value for point in history.datapoints] == ["v", "w"]
    assert cost(connection, lambda: read_history(connection, 1, ["gap"], query)) < 100


@pytest.mark.parametrize(
    "query",
    [
        HistoryQuery(
            DAY - timedelta(days=3650), DAY + timedelta(days=3650), limit=3, interval=30, discrete=True
        ),
        HistoryQuery(DAY, DAY + timedelta(days=3650), limit=3, interval=30, discrete=True, skip=9_000_000),
    ],
)
def test_discrete_instants_are_counted_and_not_walked_to(connection, query):
    (history,) = read_history(connection, 1, ["gap"], query)
    assert [point.value for point in history.datapoints] == ["v"] * 3
    assert cost(connection, lambda: read_history(connection, 1, ["gap"], query)) < 100


def test_a_function_jumps_over_silence_too(connection):
    query = HistoryQuery(DAY, DAY + timedelta(days=3651), interval=30, function="sum")
    assert cost(connection, lambda: read_history(connection, 1, ["gap"], query)) < 100


def test_a_feed_that_moves_a_lot_shows_its_newest_waypoints(connection):
    located = Environment(title="bus", location=Location(disposition="mobile", lat=1, lon=1))
    feed_id = create_feed(connection, "ann", located, DAY, lambda feed_id: False).feed_id
    connection.executemany(
        "INSERT INTO waypoints (feed, at, lat, lon) VALUES (?, ?, ?, 0)",
        [(feed_id, number, number / 100) for number in range(1500)],
    )
    location = read_feed(connection, feed_id).environment.location
    assert location is not None
    assert [waypoint.lat for waypoint in location.waypoints] == [number / 100 for number in range(500, 1500)]


def test_a_search_nearby_does_not_measure_the_whole_world(connection):
    """The rectangle is asked first, and the distance only of what is in it."""
    measured: list[tuple[float, ...]] = []

    def measure(*degrees: float) -> float:
        measured.append(degrees)
        return 0.0

    connection.create_function("kilometres_between", 4, measure)
    for lat in range(-80, 81, 10):
        for lon in range(-180, 180, 20):
            document = Environment(title="x", location=Location(lat=lat, lon=lon))
            create_feed(connection, "ann", document, DAY, lambda feed_id: False)
    total, _ = list_feeds(connection, FeedSearch("ann", True, near=(50.0, 20.0, 100.0), limit=0))
    assert total == 1
    assert set(measured) == {(50.0, 20.0, 50.0, 20.0)}
