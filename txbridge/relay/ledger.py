"""The ledger: what will not arrive, from where to where, how much, and why.

One file holds the losses of all routes of a process; each route writes through a view of its own.  A loss
is a row, and a row is written and synced before the data is let go.  While one commit runs, what is
recorded meanwhile gathers and shares the next one.

*Bounded, and exact.*  A loss that follows another of the same route, destination, kind, stream and reason
within a minute continues its row.  Above a number of rows the older half is thinned: neighbouring rows of
one route, destination, kind and stream become one, which covers both and has the sum of their counts.  So
the sums stay exact whatever happens, and what is recent stays as fine as it was written.  Should streams be
so many that this does not help, the older half forgets their names: those rows say ``"*"``.

*A full disk* is when losses happen, so it must not keep them from being written down.  A file of no use
lies beside the ledger, its *ballast*; it is made smaller, step by step, when there is no room for a row,
and large again when there is.  When it is used up, recording fails, and whoever wanted to drop data keeps
it and waits.

*A damaged file* is set aside under another name, never wiped, and a new one begins with a row that says so.
So does one that follows a file that somebody removed.

A row has no secrets: names of streams, instants, and what the other side said.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Protocol, Self

from attrs import astuple, evolve, fields, frozen
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from txbridge.errors import Closed, OutboxError
from txbridge.model.samples import Gap
from txbridge.net.deferred import deferred
from txbridge.net.private_file import make_private
from txbridge.relay.roles import Ledger, Loss, LossKind
from txbridge.relay.worker import Worker, WorkerThread

__all__ = [
    "Disk",
    "LedgerFilter",
    "LedgerRow",
    "LedgerSum",
    "MemoryLedger",
    "SqliteLedger",
    "check_ledger",
    "read_ledger",
    "read_ledger_sums",
]

APPLICATION_ID = 0x7478626C  # "txbl"
VERSION = 1
MAX_ROWS = 100_000  # about 20 MB
BALLAST = 1 << 20
BALLAST_STEP = 1 << 16  # what is let go of at once; somebody else may take it before we do
BUSY_SECONDS = 5.0  # somebody with the sqlite3 shell may hold the file for a moment
JOIN_NS = 60 * 10**9  # how long a row is continued
MAX_JOINED = 10_000  # rows that may be continued
JOURNAL_PAGES = 64  # taken into the file when there are more: on a full disk a journal must not grow
MAX_REASON = 500
MAX_COUNT = 1 << 50  # of points in one row, so that no sum overflows
LIMIT = 1000

_SCHEMA = """
CREATE TABLE losses (
    id INTEGER PRIMARY KEY,
    recorded_ns INTEGER NOT NULL,
    route TEXT NOT NULL,
    destination TEXT NOT NULL,
    kind TEXT NOT NULL,
    stream TEXT NOT NULL,
    start_ns INTEGER NOT NULL,
    end_ns INTEGER NOT NULL,
    points INTEGER,
    reason TEXT NOT NULL,
    losses INTEGER NOT NULL
)
"""

# Two neighbours become one.  What was not counted is no part of a sum that was.
_PAIRED = f"""
CREATE TEMP TABLE thinned AS
SELECT max(id) AS id, max(recorded_ns) AS recorded_ns, route, destination, kind, stream,
    min(start_ns) AS start_ns, max(end_ns) AS end_ns, sum(points) AS points,
    CASE WHEN instr(max(reason), min(reason)) THEN max(reason)
         WHEN instr(min(reason), max(reason)) THEN min(reason)
         ELSE substr(min(reason) || '; ' || max(reason), 1, {MAX_REASON}) END AS reason,
    sum(losses) AS losses
FROM (
    SELECT *, (row_number() OVER
        (PARTITION BY route, destination, kind, stream, points IS NULL ORDER BY id) - 1) / 2 AS pair
    FROM losses WHERE id <= ?
)
GROUP BY route, destination, kind, stream, points IS NULL, pair
"""
_NAMELESS = """
CREATE TEMP TABLE thinned AS
SELECT max(id) AS id, max(recorded_ns) AS recorded_ns, route, destination, kind,
    CASE WHEN count(DISTINCT stream) = 1 THEN min(stream) ELSE '*' END AS stream,
    min(start_ns) AS start_ns, max(end_ns) AS end_ns, sum(points) AS points,
    max(reason) AS reason, sum(losses) AS losses
FROM losses WHERE id <= ?
GROUP BY route, destination, kind, points IS NULL
"""

_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


@frozen(kw_only=True)
class LedgerRow:
    """A loss, or several that were put together.

    Attributes:
        recorded_ns: When it was written down, in nanoseconds since 1970; of several, the last.
        route: The route; ``""`` is the whole process.
        destination: Who will not get it; ``""`` is every destination of the route.
        kind: The value of a `LossKind`.
        stream: The stream; ``"*"`` when its name is lost too.
        start_ns: The first instant that is missing.
        end_ns: The last one, included.
        points: How many points are missing, or None when nobody counted them.
        reason: Why, in words.
        losses: How many losses this is.
    """

    recorded_ns: int
    route: str
    destination: str
    kind: str
    stream: str
    start_ns: int
    end_ns: int
    points: int | None
    reason: str
    losses: int = 1


_COLUMNS = ", ".join(member.name for member in fields(LedgerRow))


@frozen(kw_only=True)
class LedgerSum:
    """All losses of a route, a destination and a kind.

    Attributes:
        route: The route; ``""`` is the whole process.
        destination: The destination; ``""`` is every one of the route.
        kind: The value of a `LossKind`.
        losses: How many there are.
        points: How many points are missing in those that were counted.
        uncounted: How many losses nobody counted the points of.
        first_ns: When the first of them was written down, as far as that is known still.
        last_ns: When the last was.
    """

    route: str
    destination: str
    kind: str
    losses: int
    points: int
    uncounted: int
    first_ns: int
    last_ns: int


@frozen(kw_only=True)
class LedgerFilter:
    """Which rows are meant; None is all.

    Attributes:
        route: Of this route.
        destination: Missing at this destination: at it alone, or at every one of its route.
        kind: The value of a `LossKind`.
        stream: A shell pattern of stream names.
        since_ns: Written down at this instant or later.
    """

    route: str | None = None
    destination: str | None = None
    kind: str | None = None
    stream: str | None = None
    since_ns: int | None = None

    def where(self) -> tuple[str, list[object]]:
        """The condition in SQL, and its values."""
        conditions = (
            ("route = ?", self.route),
            ("destination IN (?, '')", self.destination),
            ("kind = ?", self.kind),
            ("stream GLOB ?", None if self.stream is None else self.stream.replace("[!", "[^")),
            ("recorded_ns >= ?", self.since_ns),
        )
        held = [(text, value) for text, value in conditions if value is not None]
        return " AND ".join(text for text, _ in held) or "1", [value for _, value in held]


class Disk(Protocol):
    """What a ledger asks of the disk besides names; a test's can be full."""

    def connect(self, path: Path) -> sqlite3.Connection:
        """Open a database, in autocommit mode.

        Raises:
            sqlite3.Error: It cannot be opened.
        """

    def allocate(self, descriptor: int, nbytes: int) -> None:
        """Make a file so long, with room on the disk for all of it.

        Raises:
            OSError: There is no room.
        """


class _RealDisk:
    def connect(self, path: Path) -> sqlite3.Connection:
        return sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)

    def allocate(self, descriptor: int, nbytes: int) -> None:
        os.posix_fallocate(descriptor, 0, nbytes)


# ------------------------------------------------------------------------------------- the rows


def _text(text: str) -> str:
    """Text that SQLite can keep: half of a surrogate pair becomes its escape."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _integer(number: int) -> int:
    """A number that SQLite can keep; an instant beyond is as good as the furthest."""
    return max(-(2**63), min(number, 2**63 - 1))


def _row_of(recorded_ns: int, route: str, loss: Loss) -> LedgerRow:
    gap = loss.gap
    return LedgerRow(
        recorded_ns=recorded_ns,
        route=_text(route),
        destination=_text(loss.destination),
        kind=loss.kind.value,
        stream=_text(gap.stream),
        start_ns=_integer(gap.start_ns),
        end_ns=_integer(gap.end_ns),
        points=None if gap.points is None else min(gap.points, MAX_COUNT),
        reason=_text(gap.reason)[:MAX_REASON],
    )


def _select(
    connection: sqlite3.Connection, filter: LedgerFilter, limit: int, newest_first: bool
) -> list[LedgerRow]:
    where, values = filter.where()
    order = "DESC" if newest_first else "ASC"
    cursor = connection.execute(
        f"SELECT {_COLUMNS} FROM losses WHERE {where} ORDER BY id {order} LIMIT ?", (*values, limit)
    )
    names = [column[0] for column in cursor.description]
    return [LedgerRow(**dict(zip(names, row, strict=True))) for row in cursor]


def _sum(connection: sqlite3.Connection, filter: LedgerFilter) -> list[LedgerSum]:
    where, values = filter.where()
    cursor = connection.execute(
        "SELECT route, destination, kind, sum(losses) AS losses, coalesce(sum(points), 0) AS points,"
        " coalesce(sum(losses) FILTER (WHERE points IS NULL), 0) AS uncounted,"
        " min(recorded_ns) AS first_ns, max(recorded_ns) AS last_ns"
        f" FROM losses WHERE {where} GROUP BY route, destination, kind ORDER BY route, destination, kind",
        values,
    )
    names = [column[0] for column in cursor.description]
    return [LedgerSum(**dict(zip(names, row, strict=True))) for row in cursor]


def _bring_up(connection: sqlite3.Connection) -> None:
    """Make the table, or see that it is ours and whole.

    Raises:
        OutboxError: It is none of ours, or of a newer program.
        sqlite3.Error: It cannot be read.
    """
    (ours,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if not tables:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(_SCHEMA)
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    elif ours != APPLICATION_ID:
        raise OutboxError("the file of the ledger is a database of somebody else")
    elif version > VERSION:
        raise OutboxError(f"the ledger was written by a newer program (version {version} of its form)")
    _check(connection)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {JOURNAL_PAGES}")
    connection.execute("PRAGMA temp_store = MEMORY")


def _check(connection: sqlite3.Connection) -> None:
    """Read every page.

    Raises:
        sqlite3.Error: One is damaged.
    """
    (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if said != "ok":
        error = sqlite3.DatabaseError(str(said))
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error


@frozen
class _Last:
    """The last row of a kind, which may be continued."""

    id: int
    began_ns: int
    end_ns: int


class _Book:
    """The rows, in an open database.  Used by one thread at a time."""

    def __init__(self, connection: sqlite3.Connection, max_rows: int) -> None:
        _bring_up(connection)
        self.connection = connection
        self._max_rows = max_rows
        self._last: dict[tuple[Any, ...], _Last] = {}
        self._rows = self._count()

    def write(self, rows: Iterable[LedgerRow]) -> None:
        """Add rows durably.

        Raises:
            sqlite3.Error: None of them was added.
        """
        added = 0
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            for row in rows:
                added += self._add(row)
            self.connection.execute("COMMIT")
        except sqlite3.Error:
            self._last.clear()
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise
        self._rows += added

    def _add(self, row: LedgerRow) -> int:
        """How many rows there are more."""
        key = (row.route, row.destination, row.kind, row.stream, row.reason, row.points is None)
        last = self._last.get(key)
        if last is not None and _continues(row, last):
            self.connection.execute(
                "UPDATE losses SET recorded_ns = ?, start_ns = min(start_ns, ?), end_ns = max(end_ns, ?),"
                " points = points + ?, losses = losses + ? WHERE id = ?",
                (row.recorded_ns, row.start_ns, row.end_ns, row.points, row.losses, last.id),
            )
            self._last[key] = evolve(last, end_ns=max(last.end_ns, row.end_ns))
            return 0
        cursor = self.connection.execute(
            f"INSERT INTO losses ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", astuple(row)
        )
        if len(self._last) >= MAX_JOINED:
            self._last.clear()
        assert cursor.lastrowid is not None
        self._last[key] = _Last(cursor.lastrowid, row.recorded_ns, row.end_ns)
        return 1

    def _count(self) -> int:
        (rows,) = self.connection.execute("SELECT count(*) FROM losses").fetchone()
        return int(rows)

    def thin(self) -> None:
        """Put old rows together if there are too many.

        Raises:
            sqlite3.Error: They are as they were.
        """
        if self._rows > self._max_rows:
            self._replace(_PAIRED)
            if self._rows > self._max_rows * 9 // 10:
                self._replace(_NAMELESS)

    def _replace(self, thinned: str) -> None:
        (upto,) = self.connection.execute(
            "SELECT id FROM losses ORDER BY id LIMIT 1 OFFSET ?", (self._rows // 2,)
        ).fetchone()
        self._last.clear()
        self.connection.execute("DROP TABLE IF EXISTS temp.thinned")
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            self.connection.execute(thinned, (upto,))
            self.connection.execute("DELETE FROM losses WHERE id <= ?", (upto,))
            self.connection.execute(
                f"INSERT INTO losses (id, {_COLUMNS}) SELECT id, {_COLUMNS} FROM temp.thinned"
            )
            self.connection.execute("DROP TABLE temp.thinned")
            self.connection.execute("COMMIT")
        finally:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
        self._rows = self._count()


def _continues(row: LedgerRow, last: _Last) -> bool:
    if row.kind == LossKind.REFUSED.value:  # each has a letter of its own
        return False
    # A conversion or a correction goes on and on; of what is dropped a row must say from where to where.
    goes_on = row.kind in (LossKind.CONVERTED.value, LossKind.CLOCK.value)
    return 0 <= row.recorded_ns - last.began_ns < JOIN_NS and (goes_on or row.start_ns >= last.end_ns)


# ------------------------------------------------------------------------------------- the file


class _Ballast:
    """A file whose only use is the room that it takes."""

    def __init__(self, path: Path, disk: Disk, nbytes: int) -> None:
        self._path = path
        self._disk = disk
        self._nbytes = nbytes
        self._held: int | None = None  # how much there is, when that is known

    def release(self) -> bool:
        """Let go of some room; False when there is none left."""
        try:
            with self._path.open("r+b") as file:
                size = file.seek(0, os.SEEK_END)
                self._held = max(0, size - BALLAST_STEP)
                file.truncate(self._held)
        except OSError:
            return False
        return size > 0

    def keep(self) -> None:
        """Take the room again, if there is some."""
        if self._held == self._nbytes:
            return
        try:
            descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError:
            return
        try:
            size = os.fstat(descriptor).st_size
            try:
                self._disk.allocate(descriptor, self._nbytes)
            except OSError:
                # What was written of it on the way is what somebody may need now.
                os.ftruncate(descriptor, min(size, self._nbytes))
                return
            os.ftruncate(descriptor, self._nbytes)  # it may have been larger
            self._held = self._nbytes
        finally:
            os.close(descriptor)


class _LedgerFile:
    """A ledger on a disk, mended as far as that can be done.  Used by one thread at a time."""

    _log = Logger()

    def __init__(
        self, path: Path, *, disk: Disk, now_ns: Callable[[], int], max_rows: int, ballast: int
    ) -> None:
        self._path = path
        self._disk = disk
        self._now_ns = now_ns
        self._max_rows = max_rows
        self._ballast = _Ballast(path.with_name(path.name + ".ballast"), disk, ballast)
        self._book: _Book | None = None
        self._number = 0  # of the file that is open
        self._owed: list[LedgerRow] = []

    def open(self) -> None:
        """Open the file, or make it.

        Raises:
            OutboxError: It cannot be done.
        """
        self._persist(lambda book: None)
        self._ballast.keep()

    def write(self, rows: Sequence[LedgerRow]) -> None:
        """Add rows durably.

        Raises:
            OutboxError: None of them was added.
        """
        self._persist(lambda book: book.write(rows))
        try:
            self._persist(lambda book: book.thin())
        except OutboxError as error:
            self._log.warn("the ledger has more rows than it should: {error}", error=str(error))
        self._ballast.keep()

    def read(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        """Ask the open database.

        Raises:
            OutboxError: It cannot be read.
        """
        found: list[Any] = []
        self._persist(lambda book: found.append(work(book.connection)))
        return found[-1]

    def close(self) -> None:
        """Close the database; nothing is lost if that fails."""
        book, self._book = self._book, None
        if book is not None:
            book.connection.close()

    def _persist(self, work: Callable[[_Book], None]) -> None:
        """Do some work; make room and set damage aside while that helps."""
        damaged = False
        while True:
            try:
                book = self._open_book()
                if self._owed:
                    book.write(self._owed)
                    self._owed = []
                work(book)
                return
            except (sqlite3.Error, OSError) as error:
                self.close()  # what failed once is begun afresh
                code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest says more precisely what
                if code in _DAMAGED and not damaged:
                    damaged = True
                    self._set_aside(error)
                elif not (self._is_full(error, code) and self._ballast.release()):
                    raise OutboxError(f"the ledger {self._path.name} failed: {error}") from error

    @staticmethod
    def _is_full(error: Exception, code: int) -> bool:
        if isinstance(error, OSError):
            return error.errno in (errno.ENOSPC, errno.EDQUOT)
        # Without room for its journal SQLite cannot open the file, or speaks of input and output.
        return code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)

    def _open_book(self) -> _Book:
        if self._book is not None and not self._is_still_there():
            self.close()
            self._owe("somebody removed the ledger until now")
        if self._book is None:
            make_private(self._path)
            connection = self._disk.connect(self._path)
            try:
                self._book = _Book(connection, self._max_rows)
            finally:
                if self._book is None:
                    connection.close()
            self._number = self._path.stat().st_ino
        return self._book

    def _is_still_there(self) -> bool:
        """Whether what we write to is what others find under its name."""
        try:
            return self._path.stat().st_ino == self._number
        except OSError:
            return False

    def _owe(self, reason: str) -> None:
        """Note what is to be said in the next file of the one before it."""
        now_ns = self._now_ns()
        gap = Gap("*", now_ns, now_ns, reason)
        self._owed.append(_row_of(now_ns, "", Loss("", LossKind.CORRUPTION, gap)))

    def _set_aside(self, error: Exception) -> None:
        """Give a damaged file another name; the new one begins with a row that says so.

        Raises:
            OutboxError: It cannot be done.
        """
        number = 1
        while (aside := self._path.with_name(f"{self._path.name}.damaged-{number}")).exists():
            number += 1
        self._log.error(
            "the ledger is damaged ({error}); it is kept as {name}", error=str(error), name=aside.name
        )
        try:
            # The journal goes first: the damaged file may still need it, and the new one must not see it.
            for end in ("-wal", "-shm", ""):
                name = self._path.with_name(self._path.name + end)
                if name.exists():
                    name.rename(aside.with_name(aside.name + end))
        except OSError as second:
            raise OutboxError(
                f"the damaged ledger {self._path.name} cannot be set aside: {second}"
            ) from second
        self._owe(f"the ledger until now is damaged ({error}) and kept as {aside.name}")


# ----------------------------------------------------------------------------------- the ledgers


@frozen
class _View:
    """What one route writes through."""

    _route: str
    _record: Callable[[str, Sequence[Loss]], Deferred[None]]

    def record(self, losses: Sequence[Loss]) -> Deferred[None]:
        """Write losses down."""
        return self._record(self._route, losses)


class SqliteLedger:
    """The ledger of a process, in a file; make one with `open`."""

    def __init__(self, file: _LedgerFile, worker: Worker, now_ns: Callable[[], int]) -> None:
        """Used by `open`."""
        self._file = file
        self._worker = worker
        self._now_ns = now_ns
        self._rows: list[LedgerRow] = []
        self._waiting: list[Deferred[None]] = []
        self._writing = False
        self._closed = False

    @classmethod
    @deferred
    async def open(
        cls,
        path: Path,
        reactor: Any,
        *,
        worker: Worker | None = None,
        disk: Disk | None = None,
        now_ns: Callable[[], int] = time.time_ns,
        max_rows: int = MAX_ROWS,
        ballast: int = BALLAST,
    ) -> Self:
        """Open a ledger, or make one.

        Args:
            path: The file; its folder must exist.  Beside it appear ``-wal``, ``-shm``, ``.ballast``.
            reactor: Where Deferreds fire; all that is asked of it is ``callFromThread``.
            worker: Does what waits for the disk; None is a thread of its own.
            disk: What the files lie on.
            now_ns: The wall clock, in nanoseconds since 1970.
            max_rows: With more rows the older ones are put together.
            ballast: How many bytes are kept for a time when the disk is full.

        Raises:
            OutboxError: It cannot be opened, is none of ours, or of a newer program.
        """
        file = _LedgerFile(
            path,
            disk=disk if disk is not None else _RealDisk(),
            now_ns=now_ns,
            max_rows=max_rows,
            ballast=ballast,
        )
        worker = worker if worker is not None else WorkerThread(reactor, "ledger")
        is_open = False
        try:
            await worker.run(file.open)
            is_open = True
        finally:
            if not is_open:
                await worker.close()
        return cls(file, worker, now_ns)

    def route(self, name: str) -> Ledger:
        """What a route writes through."""
        return _View(name, self._record)

    def read(
        self, filter: LedgerFilter | None = None, *, limit: int = LIMIT, newest_first: bool = True
    ) -> Deferred[list[LedgerRow]]:
        """Rows, in the order in which they were written or the other way round.

        Raises:
            OutboxError: They cannot be read.
        """
        wanted = filter if filter is not None else LedgerFilter()
        return self._read(lambda connection: _select(connection, wanted, limit, newest_first))

    def sums(self, filter: LedgerFilter | None = None) -> Deferred[list[LedgerSum]]:
        """What was lost in all, per route, destination and kind.

        Raises:
            OutboxError: They cannot be read.
        """
        wanted = filter if filter is not None else LedgerFilter()
        return self._read(lambda connection: _sum(connection, wanted))

    @deferred
    async def close(self) -> None:
        """Write what was accepted, then close; a second time does nothing."""
        if self._closed:
            return
        self._closed = True
        if self._writing:
            last: Deferred[None] = Deferred()
            self._waiting.append(last)
            with suppress(OutboxError):  # those who recorded something learn of it
                await last
        await self._worker.run(self._file.close)
        await self._worker.close()

    def _read(self, work: Callable[[sqlite3.Connection], Any]) -> Deferred[Any]:
        if self._closed:
            return fail(Closed("the ledger"))
        return self._worker.run(lambda: self._file.read(work))

    def _record(self, route: str, losses: Sequence[Loss]) -> Deferred[None]:
        if self._closed:
            return fail(Closed("the ledger"))
        if not losses:
            return succeed(None)
        done: Deferred[None] = Deferred()
        now_ns = self._now_ns()
        self._rows += [_row_of(now_ns, route, loss) for loss in losses]
        self._waiting.append(done)
        self._write()
        return done

    def _write(self) -> None:
        """Write what has gathered, if nothing is being written."""
        if self._writing or not self._waiting:
            return
        self._writing = True
        rows, self._rows = self._rows, []
        waiting, self._waiting = self._waiting, []
        self._worker.run(lambda: self._file.write(rows)).addBoth(self._written, waiting)

    def _written(self, result: Failure | None, waiting: Iterable[Deferred[None]]) -> None:
        self._writing = False
        self._write()
        for done in waiting:
            done.callback(result)  # a Failure makes it fail


class MemoryLedger:
    """A ledger that ends with the process.

    Args:
        now_ns: The wall clock, in nanoseconds since 1970.
        max_rows: With more rows the older ones are put together.
    """

    def __init__(self, now_ns: Callable[[], int] = time.time_ns, max_rows: int = MAX_ROWS) -> None:
        self._now_ns = now_ns
        self._book = _Book(sqlite3.connect(":memory:", isolation_level=None), max_rows)

    def route(self, name: str) -> Ledger:
        """What a route writes through."""
        return _View(name, self._record)

    def read(
        self, filter: LedgerFilter | None = None, *, limit: int = LIMIT, newest_first: bool = True
    ) -> Deferred[list[LedgerRow]]:
        """Rows, in the order in which they were written or the other way round."""
        wanted = filter if filter is not None else LedgerFilter()
        return succeed(_select(self._book.connection, wanted, limit, newest_first))

    def sums(self, filter: LedgerFilter | None = None) -> Deferred[list[LedgerSum]]:
        """What was lost in all, per route, destination and kind."""
        return succeed(_sum(self._book.connection, filter if filter is not None else LedgerFilter()))

    def close(self) -> Deferred[None]:
        """Forget everything."""
        self._book.connection.close()
        return succeed(None)

    def _record(self, route: str, losses: Sequence[Loss]) -> Deferred[None]:
        now_ns = self._now_ns()
        self._book.write([_row_of(now_ns, route, loss) for loss in losses])
        self._book.thin()
        return succeed(None)


# ------------------------------------------------------------------------------ another process


def read_ledger(
    path: Path, filter: LedgerFilter, *, limit: int = LIMIT, newest_first: bool = True
) -> list[LedgerRow]:
    """Rows of a ledger that maybe somebody else has open.  Waits for the disk.

    Raises:
        OutboxError: It cannot be read.
    """
    return _look(path, lambda connection: _select(connection, filter, limit, newest_first))


def read_ledger_sums(path: Path, filter: LedgerFilter) -> list[LedgerSum]:
    """Sums of a ledger that maybe somebody else has open.  Waits for the disk.

    Raises:
        OutboxError: It cannot be read.
    """
    return _look(path, lambda connection: _sum(connection, filter))


def check_ledger(path: Path) -> None:
    """Read every page of a ledger that maybe somebody else has open.  Waits for the disk.

    Raises:
        OutboxError: It is damaged, or cannot be read.
    """

    def check(connection: sqlite3.Connection) -> list[LedgerRow]:
        _check(connection)
        return _select(connection, LedgerFilter(), 1, True)

    _look(path, check)


def _look(path: Path, work: Callable[[sqlite3.Connection], list[Any]]) -> list[Any]:
    try:
        with closing(
            sqlite3.connect(path.absolute().as_uri() + "?mode=ro", uri=True, timeout=BUSY_SECONDS)
        ) as connection:
            return work(connection)
    except sqlite3.Error as error:
        raise OutboxError(f"cannot read the ledger {path}: {error}") from error
