"""One commit for all who wait, and what happens when it fails."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError, Deferred, gatherResults

from txbridge.errors import Closed, StoreError
from txbridge.hub import sqlite_threads
from txbridge.hub.sqlite_threads import CommitThread, ReadThreads


class Refused(Exception):
    """What a job raises."""


def reactor() -> Any:
    from twisted.internet import reactor

    return reactor


class Journal:
    """A small database that remembers its transactions, and a writer for it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "small.sqlite"
        self.statements: list[str] = []
        self.to_sweep = 0
        self.tidied: list[bool] = []
        self.swept = Event()
        self.writer = CommitThread(reactor(), self.connect, self.sweep, self.tidy)

    def connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("CREATE TABLE IF NOT EXISTS parents (n INTEGER PRIMARY KEY)")
        connection.execute("CREATE TABLE IF NOT EXISTS lines (n INTEGER, parent INTEGER REFERENCES parents)")
        connection.set_trace_callback(self.statements.append)
        return connection

    def tidy(self, connection: sqlite3.Connection) -> None:
        self.tidied.append(connection.in_transaction)

    def sweep(self, connection: sqlite3.Connection) -> bool:
        if not self.to_sweep:
            self.swept.set()
            return False
        self.to_sweep -= 1
        return True

    def add(self, number: int, weight: int = 1) -> Deferred[int]:
        """Write a line."""

        def work(connection: sqlite3.Connection) -> int:
            connection.execute("INSERT INTO lines (n) VALUES (?)", (number,))
            return number

        return self.writer.submit(work, weight)

    def refuse(self, number: int) -> Deferred[Any]:
        """Write a line, and then fail."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT INTO lines (n) VALUES (?)", (number,))
            raise Refused

        return self.writer.submit(work)

    def spoil_commit(self) -> Deferred[Any]:
        """Write what only the commit finds wrong."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("PRAGMA defer_foreign_keys = ON")
            connection.execute("INSERT INTO lines VALUES (0, 99)")

        return self.writer.submit(work)

    def spoil_transaction(self) -> Deferred[Any]:
        """Do what a full disk does: lose the whole transaction inside one job."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("ROLLBACK")
            raise sqlite3.OperationalError("database or disk is full")

        return self.writer.submit(work)

    def hold(self) -> Callable[[], None]:
        """Keep the writer busy, so that what is submitted now gathers."""
        begun, go = Event(), Event()

        def work(connection: sqlite3.Connection) -> None:
            begun.set()
            assert go.wait(10)

        self.writer.submit(work)
        assert begun.wait(10)
        return go.set

    @property
    def commits(self) -> int:
        """How many transactions with jobs in them were committed."""
        transactions = "\n".join(self.statements).split("COMMIT")[:-1]
        return sum("SAVEPOINT job" in statements for statements in transactions)

    def lines(self) -> list[int]:
        connection = sqlite3.connect(self.path)
        try:
            return [n for (n,) in connection.execute("SELECT n FROM lines ORDER BY rowid")]
        finally:
            connection.close()


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path)
    pytest_twisted.blockon(journal.writer.opened)
    yield journal
    pytest_twisted.blockon(journal.writer.close())


async def test_a_result_comes_after_its_commit(journal):
    assert await journal.add(7) == 7
    assert journal.lines() == [7]


async def test_tidying_comes_after_each_commit_and_outside_of_it(journal):
    await journal.add(1)
    await journal.add(2)
    await journal.writer.close()
    assert journal.tidied == [False, False]


async def test_what_gathers_during_a_commit_shares_the_next_one(journal):
    release = journal.hold()
    before = journal.commits
    jobs = [journal.add(number) for number in range(50)]
    release()
    assert await gatherResults(jobs) == list(range(50))
    assert journal.commits - before == 2  # the one that was held, and one for all the others
    assert journal.lines() == list(range(50))


async def test_results_come_to_the_reactor_in_one_turn(journal):
    release = journal.hold()
    seen: list[int] = []
    jobs = [journal.add(number).addCallback(seen.append) for number in range(5)]
    sizes: list[int] = []
    jobs[0].addCallback(lambda _: reactor().callLater(0, lambda: sizes.append(len(seen))))
    release()
    await gatherResults(jobs)
    assert seen == [0, 1, 2, 3, 4]


async def test_a_transaction_takes_only_so_many_jobs(journal, monkeypatch):
    monkeypatch.setattr(sqlite_threads, "MAX_JOBS", 10)
    release = journal.hold()
    before = journal.commits
    jobs = [journal.add(number) for number in range(25)]
    release()
    await gatherResults(jobs)
    assert journal.commits - before == 4
    assert journal.lines() == list(range(25))


async def test_a_transaction_takes_only_so_many_points(journal, monkeypatch):
    monkeypatch.setattr(sqlite_threads, "MAX_WEIGHT", 100)
    release = journal.hold()
    before = journal.commits
    jobs = [journal.add(number, weight=60) for number in range(4)]
    jobs.append(journal.add(4, weight=1000))
    release()
    await gatherResults(jobs)
    assert journal.commits - before == 4  # the held one, two and two, and the heavy one


async def test_a_job_that_fails_undoes_only_itself(journal):
    release = journal.hold()
    jobs = [journal.add(1), journal.refuse(2), journal.add(3)]
    release()
    assert await jobs[0] == 1
    with pytest.raises(Refused):
        await jobs[1]
    assert await jobs[2] == 3
    assert journal.lines() == [1, 3]


async def test_a_statement_that_fails_is_a_store_error_of_its_own_job(journal):
    release = journal.hold()
    bad = journal.writer.submit(lambda connection: connection.execute("INSERT INTO nowhere VALUES (1)"))
    good = journal.add(1)
    release()
    with pytest.raises(StoreError, match="no such table: nowhere"):
        await bad
    assert await good == 1


@pytest.mark.parametrize("spoil", [Journal.spoil_commit, Journal.spoil_transaction])
async def test_a_commit_that_fails_fails_every_job_of_it_and_no_other(journal, spoil):
    release = journal.hold()
    jobs = [journal.add(1), journal.refuse(2), spoil(journal), journal.add(3)]
    release()
    for job in jobs:
        with pytest.raises(StoreError, match="the storage failed"):
            await job
    assert journal.lines() == []
    assert await journal.add(4) == 4
    assert journal.lines() == [4]


@pytest_twisted.ensureDeferred
async def test_commits_are_counted_with_those_that_failed_and_what_waits(journal):
    release = journal.hold()
    waiting = [journal.add(1), journal.add(2)]
    assert journal.writer.waiting == 2
    release()
    await gatherResults(waiting)
    with pytest.raises(StoreError):
        await journal.spoil_commit()
    await journal.add(3)
    commits = journal.writer.commits
    assert (journal.writer.waiting, commits.jobs, commits.failures) == (0, 5, 1)
    assert commits.took.samples()[-1] == ("_count", {}, 4)


async def test_giving_up_does_not_take_back_a_write(journal):
    release = journal.hold()
    given_up = journal.add(1)
    given_up.cancel()
    with pytest.raises(CancelledError):
        await given_up
    release()
    await journal.add(2)
    assert journal.lines() == [1, 2]


async def test_too_many_waiting_writes_are_refused_at_once(journal, monkeypatch):
    monkeypatch.setattr(sqlite_threads, "MAX_WAITING", 3)
    release = journal.hold()
    jobs = [journal.add(number) for number in range(3)]
    with pytest.raises(StoreError, match="cannot keep up"):
        await journal.add(3)
    release()
    await gatherResults(jobs)
    assert journal.lines() == [0, 1, 2]


async def test_closing_finishes_what_was_accepted(journal):
    release = journal.hold()
    jobs = [journal.add(number) for number in range(5)]
    closings = [journal.writer.close(), journal.writer.close()]
    with pytest.raises(Closed):
        await journal.add(5)
    release()
    await gatherResults(closings)
    assert all(job.called for job in jobs)
    assert journal.lines() == [0, 1, 2, 3, 4]
    await journal.writer.close()


async def test_a_connection_that_cannot_be_made_says_why(tmp_path):
    def connect() -> sqlite3.Connection:
        raise StoreError("the moon is in the way")

    writer = CommitThread(reactor(), connect, lambda connection: False, lambda connection: None)
    early = writer.submit(lambda connection: None)
    with pytest.raises(StoreError, match="moon"):
        await writer.opened
    with pytest.raises(Closed):
        await early
    with pytest.raises(Closed):
        await writer.submit(lambda connection: None)
    await writer.close()


async def test_sweeping_goes_on_while_there_is_something_to_sweep_and_nobody_waits(journal):
    release = journal.hold()
    jobs = [journal.add(number) for number in range(3)]
    journal.swept.clear()
    journal.to_sweep = 5
    release()
    await gatherResults(jobs)
    assert journal.swept.wait(10)
    assert journal.to_sweep == 0
    swept = "\n".join(journal.statements).split("SAVEPOINT job")[-1]
    assert swept.count("COMMIT") >= 6  # each step of it alone, so that a writer can come between


async def test_a_sweep_that_fails_stops_nobody(tmp_path):
    class Broken(Journal):
        def sweep(self, connection: sqlite3.Connection) -> bool:
            connection.execute("DELETE FROM nowhere")
            return True

    journal = Broken(tmp_path)
    await journal.writer.opened
    for number in range(3):
        assert await journal.add(number) == number
    await journal.writer.close()
    assert journal.lines() == [0, 1, 2]


class Readers:
    """Two readers of a small database."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.connections = 0
        self.broken = False
        self.threads = ReadThreads(reactor(), self.connect, 2)

    def connect(self) -> sqlite3.Connection:
        if self.broken:
            raise StoreError("away")
        self.connections += 1
        return sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)


@pytest.fixture
def readers(journal: Journal) -> Iterator[Readers]:
    readers = Readers(journal.path)
    yield readers
    pytest_twisted.blockon(readers.threads.close())


def count(connection: sqlite3.Connection) -> int:
    """How many lines there are."""
    number: int = connection.execute("SELECT count(*) FROM lines").fetchone()[0]
    return number


async def test_a_read_sees_every_write_that_was_acknowledged(journal, readers):
    for number in range(20):
        await journal.add(number)
        assert await readers.threads.submit(count) == number + 1


async def test_a_read_sees_one_state_however_often_it_looks(journal, readers):
    looked, go = Event(), Event()

    def work(connection: sqlite3.Connection) -> tuple[int, int]:
        first = count(connection)
        looked.set()
        assert go.wait(10)
        return first, count(connection)

    reading = readers.threads.submit(work)
    assert looked.wait(10)
    await journal.add(1)
    go.set()
    assert await reading == (0, 0)
    assert await readers.threads.submit(count) == 1


async def test_a_slow_read_holds_up_neither_writes_nor_another_read(journal, readers):
    go = Event()
    slow = readers.threads.submit(lambda connection: go.wait(10))
    await journal.add(1)
    assert await readers.threads.submit(count) == 1
    go.set()
    assert await slow is True


async def test_a_read_that_fails_spoils_no_other(readers):
    def refuse(connection: sqlite3.Connection) -> None:
        raise Refused

    with pytest.raises(Refused):
        await readers.threads.submit(refuse)
    with pytest.raises(StoreError, match="no such table"):
        await readers.threads.submit(lambda connection: connection.execute("SELECT * FROM nowhere"))
    assert await gatherResults([readers.threads.submit(count) for _ in range(4)]) == [0] * 4


async def test_a_reader_that_could_not_connect_tries_again(readers):
    readers.broken = True
    for _ in range(3):
        with pytest.raises(StoreError, match="away"):
            await readers.threads.submit(count)
    readers.broken = False
    assert await readers.threads.submit(count) == 0


async def test_a_read_that_was_given_up_is_not_begun(readers):
    go = Event()
    busy = [readers.threads.submit(lambda connection: go.wait(10)) for _ in range(2)]
    begun: list[int] = []
    given_up = readers.threads.submit(lambda connection: begun.append(1))
    given_up.cancel()
    with pytest.raises(CancelledError):
        await given_up
    go.set()
    await gatherResults(busy)
    await readers.threads.close()
    assert begun == []


async def test_too_many_waiting_reads_are_refused_at_once(readers, monkeypatch):
    monkeypatch.setattr(sqlite_threads, "MAX_WAITING", 3)
    go, begun = Event(), [Event(), Event()]

    def wait(event: Event) -> bool:
        event.set()
        return go.wait(10)

    busy = [readers.threads.submit(lambda connection, event=event: wait(event)) for event in begun]
    assert all(event.wait(10) for event in begun)
    waiting = [readers.threads.submit(count) for _ in range(3)]
    with pytest.raises(StoreError, match="cannot keep up"):
        await readers.threads.submit(count)
    go.set()
    assert await gatherResults(waiting) == [0, 0, 0]
    await gatherResults(busy)


async def test_closing_readers_finishes_what_was_accepted(readers):
    jobs = [readers.threads.submit(count) for _ in range(10)]
    closings = [readers.threads.close(), readers.threads.close()]
    with pytest.raises(Closed):
        await readers.threads.submit(count)
    await gatherResults(closings)
    assert all(job.called for job in jobs)
    assert readers.connections <= 2
