"""A copy of a store's file while a hub writes to it, and a hold on one moment of a store.

A copy is of one moment: it reads inside one read transaction, which holds no writer up, and without which
SQLite would begin anew with every write of the hub.  The price is the journal, which keeps what the hub
writes meanwhile; a mark beside the store tells the hub to let it grow (see `JournalCurb`).

Everything here blocks: it is called in a thread.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from attrs import frozen

from txbridge.errors import StoreError
from txbridge.hub.sqlite_schema import APPLICATION_ID, connect_for_reading, copying_mark
from txbridge.net.private_file import sync_folder

__all__ = ["BackedUp", "Stopped", "Told", "back_up", "give_to_owner", "held_moment"]

PAGES = 1024  # copied between two looks at whether to go on: 4 MB, some milliseconds


Told = Callable[[float, float], None]
"""Told how much is done, and of how much."""


class Stopped(Exception):
    """Nobody wants it any more."""


@frozen
class BackedUp:
    """What was copied.

    Attributes:
        bytes: How long the copy is.
        schema: The number of its schema.
    """

    bytes: int
    schema: int


def back_up(store: Path, target: Path, told: Told, is_stopped: Callable[[], bool]) -> BackedUp:
    """Copy a store to a file that appears complete or not at all.

    Args:
        store: The store's file; a hub may be writing to it.
        target: The copy; there must be none yet.
        told: In bytes.
        is_stopped: Asked now and then.

    Raises:
        Stopped: `is_stopped` said so; there is no copy.
        StoreError: The store cannot be read, or the copy not written, or it is not sound.
    """
    _refuse_to_replace(target)
    unready = target.with_name(target.name + ".partial")
    try:
        with held_moment(store) as source, _own_file(unready) as file:
            size = _copy(source, unready, told, is_stopped)
            os.fsync(file)
            schema = _verified(unready, is_stopped)
            _name_finally(unready, target)
            sync_folder(target.parent)
    except OSError as error:
        raise StoreError(f"cannot write {target}: {error.strerror}") from error
    except sqlite3.Error as error:
        raise StoreError(f"cannot copy {store} to {target}: {error}") from error
    return BackedUp(size, schema)


def _refuse_to_replace(target: Path) -> None:
    if os.path.lexists(target):
        raise StoreError(f"there is {target} already: give another name, or move it away")


def _name_finally(unready: Path, target: Path) -> None:
    """Give a file its name, unless another has got it meanwhile."""
    try:
        os.link(unready, target)  # a renamed file would replace the other
    except FileExistsError:
        _refuse_to_replace(target)
        raise
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP):
            raise
        _refuse_to_replace(target)  # where no file can have two names, such as on a memory stick
        unready.rename(target)


@contextmanager
def _own_file(unready: Path) -> Iterator[int]:
    """An empty file that nobody else writes to, and that is gone afterwards unless it has another name.

    Raises:
        StoreError: Another process writes to it.
    """
    descriptor = os.open(unready, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StoreError(f"another backup is writing to {unready}") from None
        try:
            os.truncate(descriptor, 0)  # of one that was killed
            yield descriptor
        finally:
            unready.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _copy(source: sqlite3.Connection, unready: Path, told: Told, is_stopped: Callable[[], bool]) -> int:
    """Copy all pages; gives how many bytes they are."""
    size: int = source.execute("PRAGMA page_size").fetchone()[0]

    def step(status: int, remaining: int, total: int) -> None:
        if is_stopped():
            raise Stopped
        told(float((total - remaining) * size), float(total * size))

    with closing(sqlite3.connect(unready, isolation_level=None)) as copy:
        # Nobody needs half a copy, so nothing has to be undone, and it is synced once.
        copy.execute("PRAGMA journal_mode = OFF")
        copy.execute("PRAGMA synchronous = OFF")
        source.backup(copy, pages=PAGES, progress=step)
    return unready.stat().st_size


def _verified(path: Path, is_stopped: Callable[[], bool]) -> int:
    """The number of a copy's schema, if it is sound."""
    with closing(
        sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True, isolation_level=None)
    ) as copy:
        copy.set_progress_handler(lambda: is_stopped(), 100_000)
        try:
            schema: int = copy.execute("PRAGMA user_version").fetchone()[0]
            found = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
        except sqlite3.DatabaseError as error:
            if is_stopped():
                raise Stopped from None
            found = str(error)
    if found != "ok":
        raise StoreError(f"the store is damaged, and so is its copy, which was not kept: {found}")
    return schema


@contextmanager
def held_moment(store: Path) -> Iterator[sqlite3.Connection]:
    """A connection that sees a store as it is now for as long as a block runs, whoever writes to it.

    Raises:
        StoreError: There is no such store, or it cannot be read.
    """
    if not os.path.isfile(store):  # Path.is_file raises for a name that is too long
        raise StoreError(f"there is no store in {store.parent}")
    with _marked(store), closing(connect_for_reading(store)) as connection:
        try:
            owner: int = connection.execute("PRAGMA application_id").fetchone()[0]
            connection.execute("BEGIN")
            connection.execute("SELECT COUNT(*) FROM sqlite_schema")  # the moment is that of the first look
        except sqlite3.Error as error:
            raise StoreError(f"cannot read the store {store}: {error}") from error
        if owner != APPLICATION_ID:
            raise StoreError(f"{store} is a database of another program")
        yield connection


@contextmanager
def _marked(store: Path) -> Iterator[None]:
    """Let the hub know that somebody reads for long."""
    mark = copying_mark(store)
    try:
        # There is nothing in it, and the hub, which may be another user, has to open it.
        descriptor = os.open(mark, os.O_CREAT | os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        raise StoreError(f"cannot write {mark}: {error.strerror}") from error
    try:
        give_to_owner(mark)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def give_to_owner(path: Path) -> None:
    """Let a file that root makes in a folder be that folder's owner's, as whom the hub runs."""
    if os.geteuid() == 0:
        folder = path.parent.stat()
        os.chown(path, folder.st_uid, folder.st_gid)
