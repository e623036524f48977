"""Takes everything that a hub knew into a store that no hub runs on: all of it or nothing.

A store that is not there yet is made beside its place, and put there when it is complete and on the disk.
One that is there is written to in one transaction.  Either way an import that was stopped, or killed, has
changed nothing, and is begun again.

Numbers of feeds and projects are kept, because devices have them burnt in.  Whoever imports into a store
that has something already (``merge``) keeps what is there: an account is known by its login, a feed by its
number, owner and birth, a point by its instant; what is known is not changed, but that a datastream takes
newer values and wider extremes.  So the same import twice is one import.  Other numbers (of keys,
triggers, …) may become others then.

Everything here blocks: it is called in a thread.
"""

from __future__ import annotations

import csv
import io
import json
import os
import sqlite3
import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from decimal import Decimal
from functools import partial
from hashlib import sha256
from itertools import islice
from lzma import LZMAError
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from attrs import define, field, frozen

from txbridge.errors import StoreError
from txbridge.hub.backup import Stopped, Told, give_to_owner
from txbridge.hub.sqlite import StoreLock
from txbridge.hub.sqlite_schema import connect_for_writing, fold, fold_list
from txbridge.hub.store import MAX_DATASTREAMS
from txbridge.hub.transfer import (
    HISTORY_HEADER,
    LONGEST_LINE,
    LONGEST_MANIFEST,
    MANIFEST,
    TABLES,
    FileEntry,
    Manifest,
    Table,
    TransferError,
    from_line,
    read_history_name,
    read_manifest,
)
from txbridge.model.instants import EPOCH, shorten
from txbridge.model.numbers import parse_number
from txbridge.model.texts import MAX_TEXT, are_values
from txbridge.net.private_file import sync_folder

__all__ = ["ArchiveSource", "FolderSource", "Imported", "Source", "import_into"]

CHUNK = 10_000  # points that are in memory
LONGEST_ROW = (
    4096  # characters of a line of a history; one that is longer is cut, and no part of it is a point
)
NAMED = 5  # numbers that are taken, of which an error names so many
CACHE_KIB = 64 << 10

_DAMAGED = (tarfile.TarError, EOFError, zlib.error, LZMAError)


@frozen
class Imported:
    """What became of an import.

    Attributes:
        rows: Table -> rows that are new; and ``points``.
        known: Table -> rows that were there already, of those that had some; and ``points``.
    """

    rows: Mapping[str, int]
    known: Mapping[str, int]


class Source(Protocol):
    """The files of an export, in their order, the manifest last."""

    @property
    def size(self) -> float | None:
        """How many bytes they are, if it is known."""

    @property
    def entries(self) -> Mapping[str, FileEntry]:
        """What the manifest says of each file, as far as it is known beforehand."""

    def files(self) -> Iterator[tuple[str, BinaryIO]]:
        """Names, and what is read from the beginning to the end before the next one.

        Raises:
            TransferError: It cannot be read, or is not complete; reading an archive also raises
                what its format does.
        """


class FolderSource:
    """A folder.

    Args:
        path: The folder.

    Raises:
        TransferError: It is no export, or not a complete one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with (path / MANIFEST).open("rb") as file:
                self._manifest = file.read(LONGEST_MANIFEST + 1)
        except FileNotFoundError:
            raise TransferError(
                "", f"{path} has no {MANIFEST}: it is no export, or not a whole one"
            ) from None
        except OSError as error:
            raise TransferError("", f"cannot read {path / MANIFEST}: {error.strerror}") from error
        self.entries = {entry.name: entry for entry in read_manifest(self._manifest).files}

    @property
    def size(self) -> float:
        """How many bytes they are."""
        return float(sum(entry.bytes for entry in self.entries.values()))

    def files(self) -> Iterator[tuple[str, BinaryIO]]:
        """The files that the manifest names."""
        for name in self.entries:
            if not _is_known(name):
                raise TransferError(MANIFEST, f"names {name!r}, which is no file of an export")
            try:
                with (self._path / name).open("rb") as file:
                    yield name, file
            except FileNotFoundError:
                raise TransferError(name, "is missing") from None
        yield MANIFEST, io.BytesIO(self._manifest)


class ArchiveSource:
    """A tar archive, which may be compressed.

    Args:
        file: The archive.
        size: How long it is, if it is known.
    """

    def __init__(self, file: BinaryIO, size: float | None) -> None:
        self.size = size
        self.entries: Mapping[str, FileEntry] = {}
        self._file = file

    def files(self) -> Iterator[tuple[str, BinaryIO]]:
        """The files in the archive."""
        with tarfile.open(fileobj=self._file, mode="r|*") as archive:
            for entry in archive:
                if (file := archive.extractfile(entry)) is not None:
                    # As 'tar -C everything .' writes them.
                    yield entry.name.removeprefix("./"), file  # type: ignore[misc]  # typeshed: a IO[bytes] is one


def import_into(
    store: Path, source: Source, *, merge: bool, told: Told, is_stopped: Callable[[], bool]
) -> Imported:
    """Take an export into a store.

    Args:
        store: The store's file; its folder must exist, and no hub may run on it.
        source: The export.
        merge: Whether the store may have something already.
        told: In bytes; the total is 0.0 when nobody knows it.
        is_stopped: Asked now and then.

    Raises:
        Stopped: `is_stopped` said so; nothing has changed.
        TransferError: The export is damaged, or does not fit to what is there; nothing has changed.
        StoreError: A hub has the store open, or it cannot be written; nothing has changed.
    """
    try:
        lock = StoreLock(store)
    except StoreError as error:
        raise StoreError(f"{error}: an import needs it alone, so stop the hub") from error
    try:
        give_to_owner(store.with_name(store.name + ".lock"))
        with _open(store, merge=merge) as connection:
            loader = _Loader(connection, is_stopped, lambda done: told(done, source.size or 0.0))
            loader.take(source)
            return Imported(loader.rows, {name: count for name, count in loader.known.items() if count})
    except _DAMAGED as error:
        # Not where an archive is opened: most of it is read by who takes its files.
        raise TransferError("", f"the archive is cut off, damaged, or none: {error}") from error
    except sqlite3.Error as error:
        raise StoreError(f"cannot write the store {store}: {error}") from error
    except OSError as error:
        raise TransferError("", f"cannot import: {error.strerror or error}") from error
    finally:
        lock.release()


@contextmanager
def _open(store: Path, *, merge: bool) -> Iterator[sqlite3.Connection]:
    """A transaction on a store, which has everything that was written in it at the end, or nothing."""
    if store.exists():
        with closing(connect_for_writing(store)) as connection:
            if not merge and connection.execute("SELECT 1 FROM accounts").fetchone() is not None:
                raise TransferError(
                    "",
                    f"there is a hub's data in {store.parent} already: --merge adds to it, or name another",
                )
            yield from _transaction(connection)
        return
    left = store.with_name(store.name + "-wal")
    if left.exists():  # SQLite would take it for the new store's own
        raise TransferError("", f"there is {left}, the journal of a store that is gone: move it away")
    unready = store.with_name(store.name + ".partial")
    _remove(unready)
    try:
        with closing(connect_for_writing(unready)) as connection:
            # Nobody needs half a store, so nothing has to be undone, and it is synced once.
            connection.execute("PRAGMA journal_mode = OFF")
            connection.execute("PRAGMA synchronous = OFF")
            yield from _transaction(connection)
        with unready.open("rb") as file:
            os.fsync(file.fileno())
        give_to_owner(unready)
        unready.rename(store)
        sync_folder(store.parent)
    finally:
        _remove(unready)


def _transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    connection.execute("BEGIN IMMEDIATE")
    # What is not committed is rolled back when the connection is closed.
    yield connection
    connection.execute("COMMIT")


def _remove(store: Path) -> None:
    for ending in ("", "-wal", "-shm", "-journal"):
        store.with_name(store.name + ending).unlink(missing_ok=True)


def _is_known(name: str) -> bool:
    return name in _BY_FILE or read_history_name(name) is not None


_BY_FILE = {table.file: table for table in TABLES}
_FILES = [table.file for table in TABLES]

# ------------------------------------------------------------------------------------- the loader


class _Checked(io.RawIOBase):
    """Reads a file, and notes how long it is and its checksum."""

    def __init__(self, file: BinaryIO, counted: Callable[[int], None]) -> None:
        self._file = file
        self._counted = counted
        self._digest = sha256()
        self.bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        self._digest.update(data)
        self.bytes += len(data)
        self._counted(len(data))
        return len(data)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


@define
class _Loader:
    """Writes what it reads to a store, in a transaction."""

    connection: sqlite3.Connection
    is_stopped: Callable[[], bool]
    told: Callable[[float], None]
    rows: dict[str, int] = field(factory=dict)
    known: dict[str, int] = field(factory=dict)
    _done: int = 0
    _files: dict[str, FileEntry] = field(factory=dict)
    _numbers: dict[str, dict[int, int]] = field(factory=dict)
    """Table -> number in the export -> number here."""

    _room: dict[int, int] = field(factory=dict)
    """Feed -> how many more datastreams it may have."""

    _keeping: set[str] = field(factory=set)
    """Tables whose numbers stay what they are."""

    def take(self, source: Source) -> None:
        """Read everything, and see that it is what was written.

        Raises:
            Stopped: Nobody wants it any more.
            TransferError: It is not.
        """
        manifest: Manifest | None = None
        for name, file in source.files():
            if manifest is not None:
                raise TransferError(
                    name, f"comes after {MANIFEST}: unpack the archive, and import the folder"
                )
            if name in self._files:
                raise TransferError(name, "is there twice")
            if name == MANIFEST:
                manifest = read_manifest(file.read(LONGEST_MANIFEST + 1))
            else:
                self._take_file(name, _Checked(file, self._count))
                self._check(self._files[name], source.entries.get(name))
        if manifest is None:
            raise TransferError("", f"the archive has no {MANIFEST} at its end: it is not complete")
        self._check_all(manifest)
        self._keep_numbers(manifest.numbers)

    def _count(self, size: int) -> None:
        if self.is_stopped():
            raise Stopped
        self._done += size
        self.told(float(self._done))

    def _take_file(self, name: str, file: _Checked) -> None:
        table = _BY_FILE.get(name)
        history = read_history_name(name)
        if table is not None:
            before = [other for other in self._files if other not in _FILES[: _FILES.index(name)]]
            if before:
                raise TransferError(
                    name, f"comes after {before[0]}: unpack the archive, and import the folder"
                )
            rows = self._take_table(table, io.BufferedReader(file, 1 << 18))
        elif history is not None:
            rows = self._take_history(name, history[0], io.BufferedReader(file, 1 << 18))
        else:
            raise TransferError(name, "is no file of an export")
        self._files[name] = FileEntry(name, rows, file.bytes, file.sha256)

    def _check(self, found: FileEntry, said: FileEntry | None) -> None:
        if said not in (None, found):
            raise TransferError(found.name, "is not what was exported: its length or checksum is another")

    def _check_all(self, manifest: Manifest) -> None:
        found = dict(self._files)
        for entry in manifest.files:
            if entry.name not in found:
                raise TransferError(entry.name, "is missing")
            self._check(found.pop(entry.name), entry)
        if found:
            raise TransferError(min(found), f"is not in {MANIFEST}")

    def _keep_numbers(self, numbers: Mapping[str, int]) -> None:
        """See that no number is given out again that belonged to something that is gone."""
        for name, number in numbers.items():
            if any(table.name == name and table.number is not None for table in TABLES):
                known = "SELECT seq FROM sqlite_sequence WHERE name = ?"
                if self.connection.execute(known, (name,)).fetchone() is None:
                    self.connection.execute("INSERT INTO sqlite_sequence VALUES (?, ?)", (name, number))
                self.connection.execute(
                    "UPDATE sqlite_sequence SET seq = MAX(seq, ?) WHERE name = ?", (number, name)
                )

    # -- tables

    def _take_table(self, table: Table, file: io.BufferedReader) -> int:
        is_new = self.connection.execute(f"SELECT 1 FROM {table.name} LIMIT 1").fetchone() is None
        if table.is_fixed or (is_new and not self._has_numbered(table)):
            self._keeping.add(table.name)
        taken: list[int | None] = []
        number = 0
        self.rows[table.name] = self.known[table.name] = 0
        numbers = self._numbers.setdefault(table.name, {})
        for number, line in enumerate(iter(partial(file.readline, LONGEST_LINE + 1), b""), 1):
            try:
                if len(line) > LONGEST_LINE:
                    raise ValueError(f"is longer than {LONGEST_LINE} bytes")
                row = self._mapped(table, from_line(table, line))
                given = row.get(table.number or "")
                here = None if is_new else self._known(table, row)
                if here is not None:
                    self.known[table.name] += 1
                elif table.is_fixed and not is_new and self._is_taken(table, given):
                    taken.append(given)
                else:
                    if table.name not in self._keeping and table.number is not None:
                        row[table.number] = None
                    here = self._insert(table, row)
                    self.rows[table.name] += 1
            except (ValueError, KeyError, sqlite3.IntegrityError) as error:
                raise TransferError(f"{table.file}, line {number}", _said(error)) from error
            if given is not None and here is not None:
                numbers[given] = here
        if taken:
            raise TransferError("", f"{_listed(table, taken)} taken here, by another: nothing was imported")
        return number

    def _has_numbered(self, table: Table) -> bool:
        """Whether it ever had a row that had a number."""
        found = self.connection.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table.name,))
        return any(seq for (seq,) in found)

    def _mapped(self, table: Table, row: dict[str, Any]) -> dict[str, Any]:
        """A row with the numbers that others have here."""
        for column, other in table.refers.items():
            number = row.get(column)
            if number is not None:
                gone = number if other in self._keeping else None  # what it refers to is gone
                row[column] = self._numbers.get(other, {}).get(number, gone)
        return row

    def _known(self, table: Table, row: dict[str, Any]) -> int | None:
        """The number, or 0 for none, of the row that is this one; None if there is none."""
        where = " AND ".join(f"{name} IS :{name}" for name in table.known_by)
        values = {name: row.get(name) for name in table.known_by}
        found = self.connection.execute(
            f"SELECT {table.number or '0'} FROM {table.name} WHERE {where}", values
        ).fetchone()
        if found is None:
            return None
        if table.name == "datastreams":
            self._extend(found[0], row)
        elif table.name == "feeds":
            self.connection.execute(
                "UPDATE feeds SET updated = MAX(updated, :updated) WHERE feed = :feed", row
            )
        return int(found[0])

    def _is_taken(self, table: Table, number: int | None) -> bool:
        found = self.connection.execute(
            f"SELECT 1 FROM {table.name} WHERE {table.number} = ?", (number,)
        ).fetchone()
        return found is not None

    def _insert(self, table: Table, row: dict[str, Any]) -> int:
        if table.name == "datastreams":
            self._take_room(row["feed"])
        row = {**row, **_folded(table, row)}
        names = ", ".join(row)
        marks = ", ".join(f":{name}" for name in row)
        cursor = self.connection.execute(f"INSERT INTO {table.name} ({names}) VALUES ({marks})", row)
        return cursor.lastrowid or 0

    def _take_room(self, feed_id: int) -> None:
        """Count a datastream that a feed is about to get."""
        if feed_id not in self._room:
            count = "SELECT COUNT(*) FROM datastreams WHERE feed = ?"
            self._room[feed_id] = MAX_DATASTREAMS - self.connection.execute(count, (feed_id,)).fetchone()[0]
        if self._room[feed_id] <= 0:
            raise ValueError(f"the feed has more than {MAX_DATASTREAMS} datastreams")
        self._room[feed_id] -= 1

    def _extend(self, stream: int, row: Mapping[str, Any]) -> None:
        """Let a datastream take a newer value, and wider extremes."""
        value, at, greatest, least = self.connection.execute(
            "SELECT value, at, max_value, min_value FROM datastreams WHERE stream = ?", (stream,)
        ).fetchone()
        if row.get("at") is not None and (at is None or row["at"] > at):
            value, at = row.get("value"), row["at"]
        self.connection.execute(
            "UPDATE datastreams SET value = ?, at = ?, max_value = ?, min_value = ? WHERE stream = ?",
            (
                value,
                at,
                _extreme(max, greatest, row.get("max_value")),
                _extreme(min, least, row.get("min_value")),
                stream,
            ),
        )

    # -- history

    def _take_history(self, name: str, feed_id: int, file: io.BufferedReader) -> int:
        streams = dict(
            self.connection.execute(
                "SELECT id, stream FROM datastreams WHERE feed = ?", (feed_id,)
            ).fetchall()
        )
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        reader = csv.reader(iter(partial(text.readline, LONGEST_ROW), ""), strict=True)
        rows = added = 0
        line = 2
        try:
            if text.readline(LONGEST_ROW) != HISTORY_HEADER:
                raise TransferError(f"{name}, line 1", f"is not {HISTORY_HEADER.strip()}")
            while batch := list(islice(reader, CHUNK)):
                points = _points(name, line, batch, streams)
                cursor = self.connection.executemany(
                    "INSERT OR IGNORE INTO points (stream, at, value) VALUES (?, ?, ?)", points
                )
                rows += len(points)
                added += cursor.rowcount
                line = reader.line_num + 2
        except UnicodeDecodeError as error:
            raise TransferError(f"{name}, after line {line - 1}", f"is not UTF-8: {error.reason}") from error
        except csv.Error as error:
            raise TransferError(f"{name}, line {reader.line_num + 1}", str(error)) from error
        self.rows["points"] = self.rows.get("points", 0) + added
        self.known["points"] = self.known.get("points", 0) + rows - added
        return rows


def _points(
    name: str, line: int, batch: Sequence[Sequence[str]], streams: Mapping[str, int]
) -> list[tuple[int, int, str]]:
    """The rows of a history as rows of the table.

    Args:
        name: The file.
        line: Where the rows begin.
        batch: The rows.
        streams: The feed's.

    Raises:
        TransferError: One of them is none.
    """
    read, epoch = datetime.fromisoformat, EPOCH
    try:
        deltas = [read(at) - epoch for _, at, _ in batch]
        if not are_values([value for _, _, value in batch]):
            raise ValueError
        return [
            (
                streams[stream],
                (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds,
                value,
            )
            for delta, (stream, _, value) in zip(deltas, batch, strict=True)
        ]
    except (ValueError, TypeError, KeyError) as error:
        if len(batch) == 1:
            raise TransferError(f"{name}, line {line}", _wrong(batch[0], streams)) from error
    for row in batch:
        _points(name, line, [row], streams)
        line += 1 + sum(text.count("\n") for text in row)
    raise AssertionError(f"{name}: a row that is wrong among others is right alone")


def _wrong(row: Sequence[str], streams: Mapping[str, int]) -> str:
    if len(row) != 3:
        return f"has {len(row)} fields, and not {HISTORY_HEADER.strip()}"
    if row[0] not in streams:
        return f"the feed has no datastream {shorten(row[0])!r}"
    if not are_values([row[2]]):
        return f"{shorten(row[2])!r} is no value of at most {MAX_TEXT} characters of text"
    return f"{shorten(row[1])!r} is no instant in UTC"


def _folded(table: Table, row: Mapping[str, Any]) -> dict[str, str]:
    """What the search compares, which is made of other columns; see `txbridge.hub.sqlite_schema`."""

    tags = fold_list(json.loads(row.get("tags", "[]")))
    if table.name == "feeds":
        return {
            "title_folded": fold(row.get("title")),
            "words_folded": fold_list([row.get("description"), row.get("place")]),
            "tags_folded": tags,
        }
    if table.name == "datastreams":
        return {
            "id_folded": fold(row.get("id")),
            "tags_folded": tags,
            "units_folded": fold_list([row.get("unit_symbol"), row.get("unit_label")]),
        }
    return {}


def _extreme(which: Callable[[Decimal, Decimal], Decimal], here: str | None, there: str | None) -> str | None:
    """The greater, or the lesser, of two extremes."""
    one, other = (None if text is None else parse_number(text) for text in (here, there))
    if one is None or other is None:
        return there if one is None and there is not None else here
    return here if which(one, other) == one else there


def _said(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"has no {error}"
    if "FOREIGN KEY" in str(error):
        return "refers to what is not there, such as its owner's account"
    return str(error)


def _listed(table: Table, numbers: Sequence[int | None]) -> str:
    named = ", ".join(map(str, numbers[:NAMED]))
    more = f" and {len(numbers) - NAMED} more" if len(numbers) > NAMED else ""
    return f"{table.number} {named} is" if len(numbers) == 1 else f"{table.name} {named}{more} are"
