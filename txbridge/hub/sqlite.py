"""The store that needs no set-up: one SQLite file, in the process that serves it.

The file is in WAL mode with ``synchronous=FULL``: a commit is on the disk before anybody hears of
it, so the process may be killed and the power may fail at any instant without losing a write that
was acknowledged.  `txbridge.hub.sqlite_threads` says how one commit serves many writers, and
`txbridge.hub.sqlite_schema` what the tables hold.

One process has a store at a time.  SQLite itself would allow more, but the live updates and the
"who listens" question of the second one would silently miss what the first one writes.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from sqlite3 import Connection
from typing import Any, Self, TypeVar

from twisted.internet.defer import Deferred, fail

from txbridge.errors import Closed, StoreError
from txbridge.hub import sqlite_reads as reads
from txbridge.hub import sqlite_triggers as triggers
from txbridge.hub import sqlite_writes as writes
from txbridge.hub.sqlite_schema import JournalCurb, connect_for_reading, connect_for_writing
from txbridge.hub.sqlite_threads import Commits, CommitThread, ReadThreads
from txbridge.hub.store import (
    MAX_FEEDS,
    AccountRecord,
    DatastreamHistory,
    FeedRecord,
    FeedSearch,
    Guard,
    HistoryQuery,
    KeyRecord,
    Notice,
    NoticeRecord,
    TriggerRecord,
    Written,
)
from txbridge.model.accounts import Key, Trigger
from txbridge.model.structures import Datapoint, Datastream, Environment
from txbridge.net.deferred import deferred

__all__ = ["SqliteStore", "StoreLock"]

T = TypeVar("T")

READERS = 2  # one long search must not hold up every other read; more would only share the GIL


def _nobody(feed_id: int) -> bool:
    return False


class SqliteStore:
    """Accounts, feeds and history in one file; make one with `open`.

    It is a `txbridge.hub.store.Store`, whose methods say what they do.  Documents given to a write
    must not be changed before its Deferred fires: a thread reads them.

    Attributes:
        watched: Whether anybody listens to a feed; called in the writer's thread.
        max_feeds: The most feeds of an account.
    """

    def __init__(self, lock: StoreLock, writer: CommitThread, readers: ReadThreads) -> None:
        """Used by `open`."""
        self.watched: Callable[[int], bool] = _nobody
        self.max_feeds = MAX_FEEDS
        self._lock = lock
        self._writer = writer
        self._readers = readers
        self._closing = False

    @classmethod
    @deferred
    async def open(cls, path: Path, reactor: Any) -> Self:
        """Open a store, or make one.

        Args:
            path: The file; its folder must exist.  Beside it appear ``-wal``, ``-shm`` and ``.lock``.
            reactor: Where Deferreds fire; all that is asked of it is ``callFromThread``.

        Raises:
            StoreError: Another process has it, it is none of ours, it was written by a newer
                version, or it cannot be opened.
        """
        lock = StoreLock(path)
        writer = CommitThread(reactor, lambda: connect_for_writing(path), writes.sweep, JournalCurb(path))
        is_open = False
        try:
            await writer.opened
            is_open = True
        finally:
            if not is_open:
                await writer.close()
                lock.release()
        return cls(lock, writer, ReadThreads(reactor, lambda: connect_for_reading(path), READERS))

    @deferred
    async def close(self) -> None:
        """Finish what was accepted, then close."""
        self._closing = True
        # Readers first: the last connection to close takes the journal back into the file, and
        # only one that may write can do that.
        await self._readers.close()
        await self._writer.close()
        self._lock.release()

    @property
    def commits(self) -> Commits:
        """What the writer has done, for metrics."""
        return self._writer.commits

    @property
    def waiting(self) -> int:
        """How many writes have not begun."""
        return self._writer.waiting

    def write(self, work: Callable[[Connection], T], weight: int = 1) -> Deferred[T]:
        """Run work in a transaction that writes, for others who keep something in this file.

        Args:
            work: Called in the writer's thread; what it raises undoes what it did.
            weight: About how many rows it writes.
        """
        return fail(Closed("the store")) if self._closing else self._writer.submit(work, weight)

    def read(self, work: Callable[[Connection], T]) -> Deferred[T]:
        """Run work in a transaction that reads."""
        return fail(Closed("the store")) if self._closing else self._readers.submit(work)

    # -------------------------------------------------------------------------------- accounts

    def create_account(
        self, login: str, record: KeyRecord | None, account: AccountRecord | None = None
    ) -> Deferred[None]:
        """Make an account."""
        return self.write(lambda connection: writes.create_account(connection, login, record, account))

    def has_accounts(self) -> Deferred[bool]:
        """Whether this store was ever set up."""
        return self.read(reads.has_accounts)

    def read_account(self, login: str) -> Deferred[AccountRecord]:
        """An account."""
        return self.read(lambda connection: reads.read_account(connection, login))

    def list_accounts(self) -> Deferred[list[AccountRecord]]:
        """All accounts, by login."""
        return self.read(reads.list_accounts)

    def update_account(self, account: AccountRecord) -> Deferred[None]:
        """Merge into the account of this login."""
        return self.write(lambda connection: writes.update_account(connection, account))

    def delete_account(self, login: str) -> Deferred[list[Written]]:
        """Remove an account with its keys and its feeds."""
        return self.write(lambda connection: writes.delete_account(connection, login))

    # ------------------------------------------------------------------------------------ keys

    def find_key(self, digest: bytes) -> Deferred[KeyRecord | None]:
        """The key with this digest."""
        return self.read(lambda connection: reads.find_key(connection, digest))

    def find_key_by_reference(self, reference: str) -> Deferred[KeyRecord | None]:
        """The key with this reference."""
        return self.read(lambda connection: reads.find_key_by_reference(connection, reference))

    def list_keys(self, login: str, feed_id: int | None = None) -> Deferred[list[KeyRecord]]:
        """The keys of an account, oldest first."""
        return self.read(lambda connection: reads.list_keys(connection, login, feed_id))

    def create_key(self, record: KeyRecord) -> Deferred[None]:
        """Add a key to an account."""
        return self.write(lambda connection: writes.create_key(connection, record))

    def update_key(self, digest: bytes, key: Key, new_digest: bytes | None = None) -> Deferred[None]:
        """Put this in the place of what a key was."""
        return self.write(lambda connection: writes.update_key(connection, digest, key, new_digest))

    def delete_key(self, digest: bytes) -> Deferred[None]:
        """Remove a key."""
        return self.write(lambda connection: writes.delete_key(connection, digest))

    def replace_keys(self, login: str, record: KeyRecord) -> Deferred[None]:
        """Make this the only key of an account."""
        return self.write(lambda connection: writes.replace_keys(connection, login, record))

    # ----------------------------------------------------------------------------------- feeds

    def create_feed(self, owner: str, environment: Environment, now: datetime) -> Deferred[Written]:
        """Make a feed with the datastreams and values of this document."""
        return self.write(
            lambda connection: writes.create_feed(
                connection, owner, environment, now, self.watched, self.max_feeds
            ),
            _weight(environment.datastreams.values()),
        )

    def read_feed(self, feed_id: int, datastreams: Sequence[str] | None = None) -> Deferred[FeedRecord]:
        """A feed with all its datastreams, or only these."""
        return self.read(lambda connection: reads.read_feed(connection, feed_id, datastreams))

    def update_feed(
        self,
        feed_id: int,
        environment: Environment,
        now: datetime,
        guard: Guard,
        removing: Guard | None = None,
    ) -> Deferred[Written]:
        """Merge this document into a feed, or put its datastreams in the place of those there are."""
        return self.write(
            lambda connection: writes.update_feed(
                connection, feed_id, environment, now, guard, self.watched, removing
            ),
            _weight(environment.datastreams.values()),
        )

    def delete_feed(self, feed_id: int, guard: Guard) -> Deferred[Written]:
        """Remove a feed with all its history."""
        return self.write(lambda connection: writes.delete_feed(connection, feed_id, guard))

    def list_feeds(self, search: FeedSearch) -> Deferred[tuple[int, list[FeedRecord]]]:
        """How many feeds match, and those of the page."""
        return self.read(lambda connection: reads.list_feeds(connection, search))

    # ----------------------------------------------------------------------------- datastreams

    def create_datastreams(
        self, feed_id: int, datastreams: Sequence[Datastream], now: datetime, guard: Guard
    ) -> Deferred[Written]:
        """Add datastreams with their values."""
        return self.write(
            lambda connection: writes.create_datastreams(
                connection, feed_id, datastreams, now, guard, self.watched
            ),
            _weight(datastreams),
        )

    def update_datastream(
        self, feed_id: int, datastream_id: str, datastream: Datastream, now: datetime, guard: Guard
    ) -> Deferred[Written]:
        """Merge into one datastream, which must exist."""
        return self.write(
            lambda connection: writes.update_datastream(
                connection, feed_id, datastream_id, datastream, now, guard, self.watched
            ),
            _weight([datastream]),
        )

    def delete_datastream(self, feed_id: int, datastream_id: str, guard: Guard) -> Deferred[Written]:
        """Remove a datastream with its history."""
        return self.write(
            lambda connection: writes.delete_datastream(
                connection, feed_id, datastream_id, guard, self.watched
            )
        )

    # ---------------------------------------------------------------------------------- points

    def read_datapoint(self, feed_id: int, datastream_id: str, at: datetime) -> Deferred[Datapoint]:
        """The point at exactly this instant."""
        return self.read(lambda connection: reads.read_datapoint(connection, feed_id, datastream_id, at))

    def update_datapoint(
        self, feed_id: int, datastream_id: str, at: datetime, value: str, now: datetime, guard: Guard
    ) -> Deferred[Written]:
        """Change the value of a point that exists."""
        return self.write(
            lambda connection: writes.update_datapoint(
                connection, feed_id, datastream_id, at, value, now, guard, self.watched
            )
        )

    def delete_datapoints(
        self,
        feed_id: int,
        datastream_id: str,
        start: datetime | None,
        end: datetime | None,
        now: datetime,
        guard: Guard,
    ) -> Deferred[Written]:
        """Remove the points from ``start`` to ``end``, both inclusive; None is unbounded."""
        return self.write(
            lambda connection: writes.delete_datapoints(
                connection, feed_id, datastream_id, start, end, now, guard, self.watched
            )
        )

    def read_history(
        self, feed_id: int, datastreams: Sequence[str], query: HistoryQuery
    ) -> Deferred[list[DatastreamHistory]]:
        """Points of these datastreams, in their order; ids that do not exist are left out."""
        return self.read(lambda connection: reads.read_history(connection, feed_id, datastreams, query))

    def read_values_at(
        self, feed_id: int, datastreams: Sequence[str], at: datetime
    ) -> Deferred[dict[str, Datapoint]]:
        """The newest point at or before an instant of each datastream that has one."""
        return self.read(lambda connection: reads.read_values_at(connection, feed_id, datastreams, at))

    def read_points(
        self, feed_id: int, datastream_id: str, after: datetime | None, limit: int
    ) -> Deferred[list[Datapoint]]:
        """The next stored points after an instant, ascending."""
        return self.read(
            lambda connection: reads.read_points(connection, feed_id, datastream_id, after, limit)
        )

    def read_backwards(
        self, feed_id: int, datastream_id: str, first: int, last: int, limit: int
    ) -> Deferred[list[tuple[int, str]]]:
        """The newest points of a window, newest first."""
        return self.read(
            lambda connection: reads.read_backwards(connection, feed_id, datastream_id, first, last, limit)
        )

    # -------------------------------------------------------------------------------- triggers

    def create_trigger(self, owner: str, trigger: Trigger, now: datetime, guard: Guard) -> Deferred[int]:
        """Watch a datastream; gives the trigger's number."""
        return self.write(lambda connection: triggers.create_trigger(connection, owner, trigger, now, guard))

    def read_trigger(self, number: int) -> Deferred[TriggerRecord]:
        """A trigger."""
        return self.read(lambda connection: triggers.read_trigger(connection, number))

    def list_triggers(self, owner: str, feed_id: int | None = None) -> Deferred[list[TriggerRecord]]:
        """The triggers of an account, by number."""
        return self.read(lambda connection: triggers.list_triggers(connection, owner, feed_id))

    def update_trigger(self, number: int, trigger: Trigger, now: datetime) -> Deferred[None]:
        """Merge into a trigger."""
        return self.write(lambda connection: triggers.update_trigger(connection, number, trigger, now))

    def delete_trigger(self, number: int) -> Deferred[None]:
        """Remove a trigger with what it still has to say."""
        return self.write(lambda connection: triggers.delete_trigger(connection, number))

    def freeze(self, before: datetime, now: datetime) -> Deferred[int]:
        """Let the triggers fire that watch for silence."""
        return self.write(lambda connection: triggers.freeze(connection, before, now))

    def due_notices(self, now: datetime, limit: int) -> Deferred[list[Notice]]:
        """Notices that are to be delivered now."""
        return self.read(lambda connection: triggers.due_notices(connection, now, limit))

    def next_notice(self) -> Deferred[datetime | None]:
        """When the next notice is due."""
        return self.read(triggers.next_notice)

    def settle_notice(
        self, number: int, at: datetime, outcome: str, again: datetime | None
    ) -> Deferred[None]:
        """Write down a try to deliver a notice."""
        return self.write(lambda connection: triggers.settle_notice(connection, number, at, outcome, again))

    def list_notices(self, trigger: int) -> Deferred[list[NoticeRecord]]:
        """A trigger's delivery log, the newest first."""
        return self.read(lambda connection: triggers.list_notices(connection, trigger))


def _weight(datastreams: Iterable[Datastream]) -> int:
    """About how many rows these datastreams are."""
    return sum(1 + len(datastream.datapoints) for datastream in datastreams)


class StoreLock:
    """Holds a store for this process; the kernel lets go of it when the process dies.

    The lock is a file of its own, because SQLite locks parts of the database's file itself, and
    closing any descriptor of that would drop SQLite's locks.  It stays behind when released:
    removing it could remove the one that somebody else has just locked.

    Args:
        path: The store's file.

    Raises:
        StoreError: Somebody else holds it, or the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        name = path.with_name(path.name + ".lock")
        try:
            descriptor = os.open(name, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise StoreError(f"cannot open the store {path}: {error}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise StoreError(f"the store {path} is in use by another process ({name} is locked)") from error
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """Let go; a second time does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
