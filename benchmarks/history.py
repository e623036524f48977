"""Datapoints into and out of the hub's SQLite store, beside sqlite3 with nothing around it.

The peer has the same table, the same durability (WAL, ``synchronous=FULL``) and the same folder.  It
writes what it is given in one transaction, or commits every point; it knows no feeds, no rules, no
threads, and reads tuples where the store makes datapoints.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredList

from benchmarks.harness import Contender, Group, Sample, Size, Tick, repeated
from benchmarks.threads import Turns
from txbridge.hub.auth import digest_of
from txbridge.hub.sqlite import SqliteStore
from txbridge.hub.store import FeedRecord, KeyRecord
from txbridge.model.accounts import Key
from txbridge.model.structures import Datapoint, Datastream, Environment

__all__ = ["run", "turns"]

T = TypeVar("T")

START = datetime(2013, 6, 3, 12, tzinfo=UTC)
STEP = timedelta(milliseconds=10)
STREAM = "temperature"
WRITERS = 64  # single points under way at once; they share commits
TABLE = """
CREATE TABLE points (
    stream INTEGER NOT NULL, at INTEGER NOT NULL, value TEXT NOT NULL, PRIMARY KEY (stream, at)
) WITHOUT ROWID
"""


def _allow(record: FeedRecord) -> None:
    """Every write may happen."""


def _points(number: int) -> Iterator[list[Datapoint]]:
    """Ever later points, so many at a time."""
    at = START
    while True:
        batch = []
        for index in range(number):
            at += STEP
            batch.append(Datapoint(at=at, value=f"{20 + index % 100 / 10:.1f}"))
        yield batch


class _Hub:
    """A store with one feed of one datastream."""

    def __init__(self, folder: Path, size: Size) -> None:
        self._turns = Turns()
        self._size = size
        self.store = self._turns.wait(SqliteStore.open(folder / "hub.sqlite", self._turns))
        owner = KeyRecord(digest_of("benchmark"), "keeper", Key(label="keeper"))
        self._turns.wait(self.store.create_account("keeper", owner))
        feed = Environment(title="History", datastreams=[Datastream(id=STREAM)])
        self.feed_id = self._turns.wait(self.store.create_feed("keeper", feed, START)).feed_id
        self._batches, self._singles = _points(size.points), _points(1)
        # Single points go to another instant than the batches: a point that is there already is cheaper.
        self._offset = timedelta(microseconds=1)

    def close(self) -> None:
        """Close the store."""
        self._turns.wait(self.store.close())

    def _write(self, points: list[Datapoint]) -> Deferred[Any]:
        now = points[-1].at or START
        return self.store.update_datastream(self.feed_id, STREAM, Datastream(datapoints=points), now, _allow)

    def write_batches(self) -> Sample:
        """Writes of many points, two under way at once, as a walk does that fetches ahead."""
        return self._timed([[next(self._batches) for _ in range(2)] for _ in range(self._turns_of(40))])

    def write_singles(self) -> Sample:
        """Writes of one point each, `WRITERS` under way at once."""
        rounds = []
        for _ in range(self._turns_of(20)):
            singles = [next(self._singles) for _ in range(WRITERS)]
            for (point,) in singles:
                assert point.at is not None
                point.at += self._offset
            rounds.append(singles)
        return self._timed(rounds)

    def _turns_of(self, most: int) -> int:
        return max(1, round(most * min(1.0, self._size.seconds)))

    def _timed(self, rounds: list[list[list[Datapoint]]]) -> Sample:
        cpu, start = time.process_time(), time.perf_counter()
        for batches in rounds:
            self._turns.wait(DeferredList([self._write(batch) for batch in batches], fireOnOneErrback=True))
        seconds = time.perf_counter() - start
        units = sum(len(batch) for batches in rounds for batch in batches)
        return Sample(units, seconds, time.process_time() - cpu)

    def read(self) -> int:
        """A page of history."""
        return len(self._turns.wait(self.store.read_points(self.feed_id, STREAM, None, 1000)))

    def read_one(self) -> int:
        """One point by its instant."""
        self._turns.wait(self.store.read_datapoint(self.feed_id, STREAM, START + STEP))
        return 1


class _Plain:
    """One table and one connection."""

    def __init__(self, folder: Path, size: Size) -> None:
        self._size = size
        self._connection = sqlite3.connect(folder / "plain.sqlite", isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute(TABLE)
        self._at = 0

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _rows(self, number: int) -> list[tuple[int, int, str]]:
        rows = []
        for index in range(number):
            self._at += 10_000
            rows.append((1, self._at, f"{20 + index % 100 / 10:.1f}"))
        return rows

    def write_batches(self) -> Sample:
        """One ``executemany`` in one transaction for each batch."""
        batches = [
            self._rows(self._size.points) for _ in range(max(1, round(80 * min(1.0, self._size.seconds))))
        ]
        cpu, start = time.process_time(), time.perf_counter()
        for batch in batches:
            self._insert(batch)
        return Sample(
            len(batches) * self._size.points, time.perf_counter() - start, time.process_time() - cpu
        )

    def write_singles(self) -> Sample:
        """A commit for each point."""
        rows = self._rows(max(1, round(600 * min(1.0, self._size.seconds))))
        cpu, start = time.process_time(), time.perf_counter()
        for row in rows:
            self._insert([row])
        return Sample(len(rows), time.perf_counter() - start, time.process_time() - cpu)

    def _insert(self, rows: list[tuple[int, int, str]]) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany("INSERT INTO points VALUES (?, ?, ?)", rows)
        self._connection.execute("COMMIT")

    def read(self) -> int:
        """The same page as tuples."""
        query = "SELECT at, value FROM points WHERE stream = 1 AND at > 0 ORDER BY at LIMIT 1000"
        return len(self._connection.execute(query).fetchall())

    def read_one(self) -> int:
        """The same point as a tuple."""
        self._connection.execute("SELECT value FROM points WHERE stream = 1 AND at = 10000").fetchall()
        return 1


def turns(size: Size) -> int:
    """How many turns `run` takes."""
    return 4 * 2 * (1 + size.rounds)


def run(size: Size, tick: Tick) -> list[Group]:
    """Measure the store."""
    with TemporaryDirectory(prefix="txbridge-bench-") as folder:
        hub, plain = _Hub(Path(folder), size), _Plain(Path(folder), size)
        try:

            def compared(
                title: str, peer: str, theirs: Callable[[], Sample], ours: Callable[[], Sample]
            ) -> Group:
                contenders = [Contender(peer, theirs), Contender("txbridge SqliteStore", ours)]
                return Group.measure(title, "datapoints", contenders, size.rounds, tick)

            seconds = size.seconds / 4
            return [
                compared(
                    f"History in, {size.points} datapoints a write", "sqlite3, executemany, a commit each",
                    plain.write_batches, hub.write_batches,
                ),
                compared(
                    f"History in, 1 datapoint a write, {WRITERS} writers", "sqlite3, a commit each",
                    plain.write_singles, hub.write_singles,
                ),
                compared(
                    "History out, up to 1000 datapoints a read", "sqlite3, fetchall of tuples",
                    repeated(plain.read, seconds), repeated(hub.read, seconds),
                ),
                compared(
                    "History out, 1 datapoint a read", "sqlite3, fetchall of a tuple",
                    repeated(plain.read_one, seconds), repeated(hub.read_one, seconds),
                ),
            ]  # fmt: skip
        finally:
            plain.close()
            hub.close()
