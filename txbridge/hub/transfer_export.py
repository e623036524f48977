"""Writes everything that a hub knows while it runs: one moment of it, in the form of `txbridge.hub.transfer`.

A folder gets its name when all of it is on the disk, so there is a whole export or none.  A tar archive ends
with its manifest, without which nobody takes it.  In memory is never more than some thousand points.

Everything here blocks: it is called in a thread.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import tarfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, Protocol

import msgspec
from attrs import define, field

from txbridge._version import __version__
from txbridge.errors import StoreError
from txbridge.hub.backup import Stopped, Told, held_moment
from txbridge.hub.sqlite_schema import VERSIONS
from txbridge.hub.transfer import (
    HISTORY_HEADER,
    MANIFEST,
    ROWS,
    TABLES,
    FileEntry,
    Manifest,
    Table,
    TransferError,
    history_lines,
    history_name,
    to_line,
)
from txbridge.model.instants import format_instant
from txbridge.net.private_file import sync_folder

__all__ = ["export_folder", "export_tar"]

CHUNK = 5000  # points, or rows, that are in memory


def export_folder(store: Path, target: Path, told: Told, is_stopped: Callable[[], bool]) -> Manifest:
    """Write a folder that appears complete or not at all.

    Args:
        store: The store's file; a hub may be writing to it.
        target: The folder; there must be none yet.
        told: In points.
        is_stopped: Asked now and then.

    Raises:
        Stopped: `is_stopped` said so; there is no folder.
        StoreError: The store cannot be read.
        TransferError: The folder cannot be written.
    """
    if os.path.lexists(target):
        raise TransferError("", f"there is {target} already: give another name, or move it away")
    unready = target.with_name(target.name + ".partial")
    with held_moment(store) as connection:
        try:
            with _own_folder(unready) as folder:
                manifest = _write_all(connection, folder, told, is_stopped)
                sync_folder(unready / "history")
                sync_folder(unready)
                unready.rename(target)
            sync_folder(target.parent)
        except OSError as error:
            raise TransferError("", f"cannot write {target}: {error.strerror}") from error
        except sqlite3.Error as error:
            raise StoreError(f"cannot read the store {store}: {error}") from error
    return manifest


def export_tar(store: Path, out: BinaryIO, told: Told, is_stopped: Callable[[], bool]) -> Manifest:
    """Write a tar archive; one that is not complete has no manifest at its end.

    Args:
        store: The store's file; a hub may be writing to it.
        out: Where to.
        told: In points.
        is_stopped: Asked now and then.

    Raises:
        Stopped: `is_stopped` said so.
        StoreError: The store cannot be read.
        BrokenPipeError: Nobody reads it.
        TransferError: It cannot be written.
    """
    with held_moment(store) as connection:
        try:
            with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as archive:
                manifest = _write_all(connection, _Archive(archive), told, is_stopped)
            out.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise TransferError("", f"cannot write the archive: {error.strerror}") from error
        except sqlite3.Error as error:
            raise StoreError(f"cannot read the store {store}: {error}") from error
    return manifest


# --------------------------------------------------------------------------------------- where to


class _Place(Protocol):
    """Takes files one after the other."""

    def file(self, name: str) -> AbstractContextManager[BinaryIO]:
        """A file, open for writing while a block runs."""


@define
class _Folder:
    _path: Path

    @contextmanager
    def file(self, name: str) -> Iterator[BinaryIO]:
        descriptor = os.open(self._path / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(descriptor)


@define
class _Archive:
    _archive: tarfile.TarFile

    @contextmanager
    def file(self, name: str) -> Iterator[BinaryIO]:
        # Its length comes before it, so it has to be somewhere else first; without a name it is nobody's.
        with TemporaryFile() as file:
            yield file
            self._add(name, file)

    def _add(self, name: str, file: BinaryIO) -> None:
        entry = tarfile.TarInfo(name)
        entry.size = file.tell()
        entry.mode = 0o600
        file.seek(0)
        self._archive.addfile(entry, file)


@contextmanager
def _own_folder(unready: Path) -> Iterator[_Folder]:
    """A folder that nobody else writes to, and that is gone afterwards unless it has another name.

    Raises:
        TransferError: Another process writes to it, or it is none of ours.
    """
    unready.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(unready, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        foreign = sorted(set(os.listdir(unready)) - {"history", MANIFEST, *(table.file for table in TABLES)})
        if foreign:
            raise TransferError("", f"{unready} is in the way, and has {foreign[0]} in it: move it away")
        for name in os.listdir(unready):  # of one that was killed
            left = unready / name
            shutil.rmtree(left) if name == "history" else left.unlink()
        (unready / "history").mkdir(mode=0o700)
        try:
            yield _Folder(unready)
        finally:
            shutil.rmtree(unready, ignore_errors=True)
    except BlockingIOError:
        raise TransferError("", f"another export is writing to {unready}") from None
    finally:
        os.close(descriptor)


# ------------------------------------------------------------------------------------ what is written


@define
class _Writer:
    """Writes files to a place, and notes what is in them."""

    _place: _Place
    _is_stopped: Callable[[], bool]
    files: list[FileEntry] = field(factory=list)

    def write(self, name: str, chunks: Iterator[tuple[int, bytes]]) -> int:
        """Write a file of chunks, each with how many rows it has; gives how many there are."""
        rows = size = 0
        digest = sha256()
        with self._place.file(name) as file:
            for count, chunk in chunks:
                if self._is_stopped():
                    raise Stopped
                file.write(chunk)
                digest.update(chunk)
                rows += count
                size += len(chunk)
        self.files.append(FileEntry(name, rows, size, digest.hexdigest()))
        return rows


def _write_all(
    connection: sqlite3.Connection, place: _Place, told: Told, is_stopped: Callable[[], bool]
) -> Manifest:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version != len(VERSIONS):
        which = "a newer" if version > len(VERSIONS) else "an older"
        raise StoreError(
            f"the store was written by {which} txbridge (schema {version}; this one writes {len(VERSIONS)}): "
            + ("update txbridge" if version > len(VERSIONS) else "let the hub of this version run once")
        )
    created = format_instant(datetime.now(UTC))
    writer = _Writer(place, is_stopped)
    rows = {table.name: writer.write(table.file, _table_chunks(connection, table)) for table in TABLES}
    rows["points"] = _write_history(connection, writer, told)
    manifest = Manifest(
        program=__version__,
        created=created,
        rows=rows,
        numbers=dict(connection.execute("SELECT name, seq FROM sqlite_sequence ORDER BY name").fetchall()),
        files=writer.files,
    )
    with place.file(MANIFEST) as file:
        file.write(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
    return manifest


def _table_chunks(connection: sqlite3.Connection, table: Table) -> Iterator[tuple[int, bytes]]:
    names = ", ".join(column.name for column in table.columns)
    order = table.number or ", ".join(table.known_by)
    found = connection.execute(f"SELECT {names} FROM {table.name} ORDER BY {order}")
    while rows := found.fetchmany(CHUNK):
        yield len(rows), b"".join([to_line(table, row) for row in rows])


def _write_history(connection: sqlite3.Connection, writer: _Writer, told: Told) -> int:
    whole: int = connection.execute("SELECT COUNT(*) FROM points").fetchone()[0]
    written = 0
    for (feed_id,) in connection.execute("SELECT feed FROM feeds ORDER BY feed"):
        chunks = _Peeked(_told_of(_history_chunks(connection, feed_id), written, whole, told))
        part = 0
        while chunks.following is not None:
            part += 1
            written += writer.write(history_name(feed_id, part), _part(chunks))
    return written


class _Peeked:
    """Chunks of which the next one can be looked at before it is taken."""

    def __init__(self, chunks: Iterator[tuple[int, bytes]]) -> None:
        self._chunks = chunks
        self.following = next(chunks, None)

    def take(self) -> None:
        """Go on to the one after."""
        self.following = next(self._chunks, None)


def _part(chunks: _Peeked) -> Iterator[tuple[int, bytes]]:
    """The chunks of one file: as many as fit into it."""
    yield 0, HISTORY_HEADER.encode()
    rows = 0
    while chunks.following is not None and rows + chunks.following[0] <= ROWS:
        rows += chunks.following[0]
        yield chunks.following
        chunks.take()


def _told_of(
    chunks: Iterator[tuple[int, bytes]], written: int, whole: int, told: Told
) -> Iterator[tuple[int, bytes]]:
    for count, chunk in chunks:
        written += count
        told(written, whole)
        yield count, chunk


def _history_chunks(connection: sqlite3.Connection, feed_id: int) -> Iterator[tuple[int, bytes]]:
    streams = connection.execute("SELECT stream, id FROM datastreams WHERE feed = ? ORDER BY id", (feed_id,))
    for stream, name in streams:
        found = connection.execute("SELECT at, value FROM points WHERE stream = ? ORDER BY at", (stream,))
        while points := found.fetchmany(CHUNK):
            yield len(points), history_lines(name, points).encode()
