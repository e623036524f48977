"""The threads that talk to SQLite, so that the reactor never waits for a disk.

Writes go through **one** thread, because SQLite has one writer anyway.  It takes what gathered
while the last commit ran, runs it in one transaction and commits once: *group commit*.  It never
lingers for more; a lone write is committed at once, and under load the groups grow by themselves.
Each job runs in a savepoint, so one that fails undoes only itself.  What a commit made durable is
handed to the reactor in one call, in commit order.

Reads go to a few threads with connections of their own, which see the last commit and never wait
for the writer.  Each job is one read transaction: it sees one state of the store.

Jobs are functions of a ``sqlite3.Connection``.  Giving up a Deferred gives up waiting, not the
write: what was accepted is carried out.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from threading import Condition, Thread
from time import monotonic
from typing import Any, TypeVar

from attrs import define
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorFromThreads

from txbridge.errors import Closed, StoreError
from txbridge.net.exposition import DURATIONS, Histogram

__all__ = ["CommitThread", "Commits", "ReadThreads"]

T = TypeVar("T")

MAX_JOBS = 1000  # in one transaction; the reactor gets their results in one turn
MAX_WEIGHT = 10_000  # points in one transaction, about a quarter of a second's work
MAX_WAITING = 20_000  # accepted and not yet begun; beyond, somebody writes faster than the disk


@define(eq=False)
class _Job:
    work: Callable[[sqlite3.Connection], Any]
    done: Deferred[Any]
    weight: int
    result: Any = None
    error: Exception | None = None


class Commits:
    """What the writer counts, for metrics; read without a lock, for which nobody minds the last one.

    Attributes:
        took: How long commits took, in seconds: the jobs, and the disk.
        jobs: Writes that were committed, or that failed by themselves.
        failures: Commits that failed, each with all its jobs.
    """

    def __init__(self) -> None:
        self.took = Histogram(DURATIONS)
        self.jobs = 0
        self.failures = 0

    def add(self, seconds: float, jobs: int, *, failed: bool) -> None:
        """Count a commit; called by the writer."""
        self.took.observe(seconds)
        self.jobs += jobs
        self.failures += failed


def _deliver(jobs: Sequence[_Job]) -> None:
    for job in jobs:
        if job.error is None:
            job.done.callback(job.result)
        else:
            job.done.errback(job.error)


class CommitThread:
    """The one writer.

    Args:
        reactor: Where results are delivered.
        connect: Opens the connection, in autocommit mode; called in the thread.
        sweep: Does a little of the work that nobody waits for, and says whether any was done;
            called in a transaction of its own whenever no job waits.
        tidy: Called after each commit, outside a transaction, when its results are on their way.

    Attributes:
        opened: Fires when the connection is open, or with the error of `connect`.
        commits: What it has done.
    """

    def __init__(
        self,
        reactor: IReactorFromThreads,
        connect: Callable[[], sqlite3.Connection],
        sweep: Callable[[sqlite3.Connection], bool],
        tidy: Callable[[sqlite3.Connection], None],
    ) -> None:
        self.opened: Deferred[None] = Deferred()
        self.commits = Commits()
        self._reactor = reactor
        self._connect = connect
        self._sweep = sweep
        self._tidy = tidy
        self._waiting: deque[_Job] = deque()
        self._closing = False
        self._changed = Condition()
        self._closed = False
        self._when_closed: list[Deferred[None]] = []
        # A daemon: a program that forgets to close must still be able to end, and losing what was
        # not acknowledged is what the file is safe against.
        Thread(target=self._run, name="txbridge-store-writer", daemon=True).start()

    @property
    def waiting(self) -> int:
        """How many jobs have not begun."""
        return len(self._waiting)

    def submit(self, work: Callable[[sqlite3.Connection], T], weight: int = 1) -> Deferred[T]:
        """Run a job in some transaction; fires with its result once that is durable.

        Args:
            work: What to do; what it raises undoes it and is what the Deferred fails with.
            weight: About how many points it writes.

        Raises:
            StoreError: The storage failed, or too many jobs wait.
            Closed: `close` was called.
        """
        done: Deferred[T] = Deferred()
        with self._changed:
            if self._closing:
                return fail(Closed("the store"))
            if len(self._waiting) >= MAX_WAITING:
                return fail(StoreError(f"the storage cannot keep up: {MAX_WAITING} writes are waiting"))
            self._waiting.append(_Job(work, done, weight))
            self._changed.notify()
        return done

    def close(self) -> Deferred[None]:
        """Finish every accepted job, close the connection, end the thread."""
        done: Deferred[None] = Deferred()
        if self._closed:
            done.callback(None)
            return done
        self._when_closed.append(done)
        with self._changed:
            self._closing = True
            self._changed.notify()
        return done

    def _run(self) -> None:
        try:
            connection = self._connect()
        except Exception as error:  # whoever waits for `opened` must learn of any
            self._closing = True
            self._reactor.callFromThread(self.opened.errback, error)
        else:
            self._reactor.callFromThread(self.opened.callback, None)
            self._work(connection)
            connection.close()
        self._reactor.callFromThread(self._report_closed)

    def _work(self, connection: sqlite3.Connection) -> None:
        unswept = True
        while True:
            jobs = self._take(wait=not unswept)
            if jobs:
                began = monotonic()
                committed = _commit(connection, jobs)
                self.commits.add(monotonic() - began, len(jobs), failed=not committed)
                self._reactor.callFromThread(_deliver, jobs)
                self._tidy(connection)
                unswept = True
            elif self._closing:
                return
            else:
                unswept = _transaction(connection, self._sweep)

    def _take(self, wait: bool) -> list[_Job]:
        """What gathered, up to a transaction's limits; nothing at the end, or when not to wait."""
        with self._changed:
            while wait and not self._waiting and not self._closing:
                self._changed.wait()
            jobs: list[_Job] = []
            weight = 0
            while self._waiting and len(jobs) < MAX_JOBS and weight < MAX_WEIGHT:
                job = self._waiting.popleft()
                jobs.append(job)
                weight += job.weight
            return jobs

    def _report_closed(self) -> None:
        self._closed = True
        while self._waiting:  # only if it was never open
            self._waiting.popleft().done.errback(Closed("the store"))
        waiting, self._when_closed = self._when_closed, []
        for done in waiting:
            done.callback(None)


def _commit(connection: sqlite3.Connection, jobs: Sequence[_Job]) -> bool:
    """Run jobs in one transaction and note in each what became of it; says whether it was committed."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        for job in jobs:
            _attempt(connection, job)
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        _roll_back(connection)
        for job in jobs:
            # Not its own error either: that may rest on what another job of this transaction wrote.
            job.result = None
            job.error = StoreError(f"the storage failed: {error}")
        return False
    return True


def _attempt(connection: sqlite3.Connection, job: _Job) -> None:
    """Run one job in a savepoint.

    Raises:
        sqlite3.Error: The whole transaction is lost.
    """
    connection.execute("SAVEPOINT job")
    try:
        job.result = job.work(connection)
    except Exception as error:  # in a thread: whatever it is belongs to the one who asked
        if not connection.in_transaction:  # a full disk makes SQLite roll back everything
            raise sqlite3.OperationalError(str(error)) from error
        connection.execute("ROLLBACK TO job")
        job.error = _as_ours(error)
    connection.execute("RELEASE job")


def _as_ours(error: Exception) -> Exception:
    if not isinstance(error, sqlite3.Error):
        return error
    ours = StoreError(f"the storage failed: {error}")
    ours.__cause__ = error
    return ours


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        try:
            connection.execute("ROLLBACK")
        except sqlite3.Error:
            # SQLite has rolled back by itself; if not, the next BEGIN says so to those who wait.
            return


def _transaction(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], bool]) -> bool:
    """Run work that nobody waits for; a failure means that there is nothing to do now."""
    try:
        connection.execute("BEGIN IMMEDIATE")
        done = work(connection)
        connection.execute("COMMIT")
    except sqlite3.Error:
        _roll_back(connection)
        return False
    return done


class ReadThreads:
    """A few readers.

    Args:
        reactor: Where results are delivered.
        connect: Opens a connection, in autocommit mode; called once in each thread.
        count: How many threads.
    """

    def __init__(
        self, reactor: IReactorFromThreads, connect: Callable[[], sqlite3.Connection], count: int
    ) -> None:
        self._reactor = reactor
        self._connect = connect
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._closing = False
        self._running = count
        self._when_closed: list[Deferred[None]] = []
        for number in range(count):
            Thread(target=self._run, name=f"txbridge-store-reader-{number}", daemon=True).start()

    def submit(self, work: Callable[[sqlite3.Connection], T]) -> Deferred[T]:
        """Run a job in a read transaction.

        Raises:
            StoreError: The storage failed, or too many jobs wait.
            Closed: `close` was called.
        """
        if self._closing:
            return fail(Closed("the store"))
        if self._jobs.qsize() >= MAX_WAITING:
            return fail(StoreError(f"the storage cannot keep up: {MAX_WAITING} reads are waiting"))
        done: Deferred[T] = Deferred()
        self._jobs.put(_Job(work, done, 1))
        return done

    def close(self) -> Deferred[None]:
        """Finish every accepted job, close the connections, end the threads."""
        done: Deferred[None] = Deferred()
        if not self._running:
            done.callback(None)
            return done
        self._when_closed.append(done)
        if not self._closing:
            self._closing = True
            for _ in range(self._running):
                self._jobs.put(None)
        return done

    def _run(self) -> None:
        connection: sqlite3.Connection | None = None
        while (job := self._jobs.get()) is not None:
            if job.done.called:  # given up: nobody wants the answer
                continue
            try:
                if connection is None:
                    connection = self._connect()
                connection.execute("BEGIN")
                try:
                    job.result = job.work(connection)
                finally:
                    connection.execute("ROLLBACK")
            except Exception as error:  # whatever it is belongs to the one who asked
                job.error = _as_ours(error)
            self._reactor.callFromThread(_deliver, [job])
        if connection is not None:
            connection.close()
        self._reactor.callFromThread(self._report_ended)

    def _report_ended(self) -> None:
        self._running -= 1
        if not self._running:
            waiting, self._when_closed = self._when_closed, []
            for done in waiting:
                done.callback(None)
