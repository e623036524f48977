"""The tables of the SQLite store, and how a connection to them is made.

What is where:

* ``points`` is the history.  It is keyed by (stream, at) without a rowid, so a range of one
  stream is one walk along one tree, and "the last point at or before" is one seek.  It has no
  foreign key: that would look up the parent for every point.  What deletes a stream puts it into
  ``swept``, and its points go in small steps whenever nobody waits; stream numbers are never used
  again, so what is left of one is nobody's.
* ``datastreams`` carry their current value and extremes, so that reading a feed never touches
  its history.
* ``triggers`` know when their datastream was last written (``seen``) only if they watch for silence.
  A notice whose ``due`` is NULL is a line of the delivery log.
* ``devices`` are those of iobeam's projects, ``product_devices`` those of products.
* A device is a feed: what it is called and what it sends is there.  ``devices`` says under which id, name
  and type it was registered, so that a device that registers again is known again.  A project's number
  may be the owner's choice, so a later project may have the number of one that is gone.
* A token's ``parent`` is the one it was refreshed from.  It is no foreign key: SQLite follows those no deeper
  than a thousand rows, and a device may have refreshed its token more often.
* Columns whose name ends in ``_folded`` hold case-folded copies for the search.  Lists in them are
  written as ``␟a␟b␟`` with the unit separator, so that "has this element" is a substring test.

Instants are microseconds since 1970.  The schema's number is SQLite's ``user_version``.
"""

from __future__ import annotations

import fcntl
import math
import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from txbridge.errors import StoreError
from txbridge.net.private_file import make_private

__all__ = [
    "APPLICATION_ID",
    "VERSIONS",
    "JournalCurb",
    "connect_for_reading",
    "connect_for_writing",
    "copying_mark",
    "fold",
    "fold_list",
    "kilometres_between",
]

APPLICATION_ID = 0x74786272  # "txbr": so that `file` and we ourselves can tell whose it is
BUSY_SECONDS = 5.0  # somebody with the sqlite3 shell may hold the file for a moment
KEPT_JOURNAL_BYTES = 64 << 20  # a journal that grew during a long read is cut back
STATEMENTS = 256  # prepared ones that a connection keeps; we have fewer
EARTH_KILOMETRES = 6371.0088  # mean radius, IUGG

VERSIONS = (
    """
    CREATE TABLE accounts (
        login TEXT NOT NULL PRIMARY KEY
    ) WITHOUT ROWID;

    CREATE TABLE keys (
        digest BLOB NOT NULL PRIMARY KEY,
        login TEXT NOT NULL REFERENCES accounts ON DELETE CASCADE,
        document TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX keys_by_login ON keys (login);

    CREATE TABLE feeds (
        feed INTEGER PRIMARY KEY AUTOINCREMENT,
        owner TEXT NOT NULL REFERENCES accounts,
        created INTEGER NOT NULL,
        updated INTEGER NOT NULL,
        private INTEGER NOT NULL,
        title TEXT,
        description TEXT,
        icon TEXT,
        website TEXT,
        email TEXT,
        auto_feed_url TEXT,
        tags TEXT,
        place TEXT,
        domain TEXT,
        exposure TEXT,
        disposition TEXT,
        lat REAL,
        lon REAL,
        ele TEXT,
        located INTEGER,
        title_folded TEXT NOT NULL,
        words_folded TEXT NOT NULL,
        tags_folded TEXT NOT NULL
    );
    CREATE INDEX feeds_by_owner ON feeds (owner);
    CREATE INDEX feeds_by_created ON feeds (created);
    CREATE INDEX feeds_by_updated ON feeds (updated);
    CREATE INDEX feeds_by_position ON feeds (lat, lon) WHERE lat IS NOT NULL;

    CREATE TABLE waypoints (
        feed INTEGER NOT NULL REFERENCES feeds ON DELETE CASCADE,
        at INTEGER NOT NULL,
        lat REAL,
        lon REAL,
        ele TEXT,
        PRIMARY KEY (feed, at)
    ) WITHOUT ROWID;

    CREATE TABLE datastreams (
        stream INTEGER PRIMARY KEY AUTOINCREMENT,
        feed INTEGER NOT NULL REFERENCES feeds ON DELETE CASCADE,
        id TEXT NOT NULL,
        value TEXT,
        at INTEGER,
        max_value TEXT,
        min_value TEXT,
        tags TEXT,
        unit_type TEXT,
        unit_symbol TEXT,
        unit_label TEXT,
        id_folded TEXT NOT NULL,
        tags_folded TEXT NOT NULL,
        units_folded TEXT NOT NULL,
        UNIQUE (feed, id)
    );

    CREATE TABLE points (
        stream INTEGER NOT NULL,
        at INTEGER NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (stream, at)
    ) WITHOUT ROWID;

    CREATE TABLE swept (
        stream INTEGER PRIMARY KEY
    );
    """,
    """
    ALTER TABLE accounts ADD COLUMN document TEXT NOT NULL DEFAULT '{}';
    ALTER TABLE accounts ADD COLUMN password TEXT;

    CREATE TABLE numbered_keys (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        digest BLOB NOT NULL UNIQUE,
        reference TEXT NOT NULL UNIQUE DEFAULT ('ref-' || lower(hex(randomblob(12)))),
        login TEXT NOT NULL REFERENCES accounts ON DELETE CASCADE,
        document TEXT NOT NULL
    );
    INSERT INTO numbered_keys (digest, login, document) SELECT digest, login, document FROM keys;
    DROP TABLE keys;
    ALTER TABLE numbered_keys RENAME TO keys;
    CREATE INDEX keys_by_login ON keys (login);

    CREATE TABLE triggers (
        trigger INTEGER PRIMARY KEY AUTOINCREMENT,
        owner TEXT NOT NULL REFERENCES accounts ON DELETE CASCADE,
        stream INTEGER NOT NULL REFERENCES datastreams ON DELETE CASCADE,
        url TEXT NOT NULL,
        type TEXT NOT NULL,
        threshold TEXT,
        fired INTEGER,
        notified INTEGER,
        seen INTEGER NOT NULL,
        frozen INTEGER NOT NULL DEFAULT 0
    );
    CREATE INDEX triggers_by_stream ON triggers (stream);
    CREATE INDEX triggers_by_owner ON triggers (owner);
    CREATE INDEX triggers_that_wait ON triggers (seen) WHERE NOT frozen AND type IN ('frozen', 'live');

    CREATE TABLE notices (
        notice INTEGER PRIMARY KEY AUTOINCREMENT,
        trigger INTEGER NOT NULL REFERENCES triggers ON DELETE CASCADE,
        environment TEXT NOT NULL,
        at INTEGER NOT NULL,
        due INTEGER,
        tries INTEGER NOT NULL DEFAULT 0,
        outcome TEXT NOT NULL DEFAULT ''
    );
    CREATE INDEX notices_by_trigger ON notices (trigger);
    CREATE INDEX notices_by_due ON notices (due) WHERE due IS NOT NULL;
    """,
    """
    CREATE TABLE projects (
        project INTEGER PRIMARY KEY,
        owner TEXT NOT NULL REFERENCES accounts ON DELETE CASCADE,
        name TEXT NOT NULL,
        created INTEGER NOT NULL
    );
    CREATE INDEX projects_by_owner ON projects (owner);

    CREATE TABLE devices (
        project INTEGER NOT NULL REFERENCES projects ON DELETE CASCADE,
        id TEXT NOT NULL,
        name TEXT NOT NULL,
        type TEXT,
        feed INTEGER NOT NULL UNIQUE REFERENCES feeds ON DELETE CASCADE,
        created INTEGER NOT NULL,
        PRIMARY KEY (project, id),
        UNIQUE (project, name)
    ) WITHOUT ROWID;

    CREATE TABLE tokens (
        token INTEGER PRIMARY KEY AUTOINCREMENT,
        digest BLOB NOT NULL UNIQUE,
        project INTEGER NOT NULL REFERENCES projects ON DELETE CASCADE,
        device TEXT,
        may_read INTEGER NOT NULL,
        may_write INTEGER NOT NULL,
        may_admin INTEGER NOT NULL,
        refreshable INTEGER NOT NULL,
        created INTEGER NOT NULL,
        expires INTEGER,
        parent INTEGER,
        FOREIGN KEY (project, device) REFERENCES devices ON DELETE CASCADE
    );
    CREATE INDEX tokens_by_device ON tokens (project, device);
    CREATE INDEX tokens_by_expiry ON tokens (project, expires);
    CREATE INDEX tokens_by_parent ON tokens (parent);
    """,
    """
    ALTER TABLE feeds ADD COLUMN product_id TEXT;
    ALTER TABLE feeds ADD COLUMN device_serial TEXT;

    CREATE TABLE products (
        product INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        owner TEXT NOT NULL REFERENCES accounts ON DELETE CASCADE,
        name TEXT NOT NULL,
        secret BLOB NOT NULL,
        created INTEGER NOT NULL,
        description TEXT,
        state TEXT NOT NULL,
        feed_defaults TEXT NOT NULL
    );
    CREATE INDEX products_by_owner ON products (owner);

    CREATE TABLE product_devices (
        device INTEGER PRIMARY KEY AUTOINCREMENT,
        product INTEGER NOT NULL REFERENCES products ON DELETE CASCADE,
        serial TEXT NOT NULL,
        code TEXT NOT NULL UNIQUE,
        created INTEGER NOT NULL,
        activated INTEGER,
        feed INTEGER REFERENCES feeds ON DELETE SET NULL,
        key INTEGER REFERENCES keys ON DELETE SET NULL,
        UNIQUE (product, serial)
    );
    CREATE INDEX product_devices_by_feed ON product_devices (feed) WHERE feed IS NOT NULL;
    CREATE INDEX product_devices_by_key ON product_devices (key) WHERE key IS NOT NULL;
    """,
)


def fold(text: str | None) -> str:
    """The text as the search compares it."""
    return "" if text is None else text.casefold()


def fold_list(texts: Iterable[str | None]) -> str:
    """Several texts in one column, such that ``fold_list(["a"])`` is found in that of ``["b", "a"]``."""
    folded = [fold(text) for text in texts if text]
    return "\x1f".join(["", *folded, ""]) if folded else ""


def kilometres_between(lat1: float, lon1: float, lat2: float, lon2: float) -> float:
    """The distance of two positions, given in degrees, along the surface (haversine)."""
    phi1, phi2 = math.radians(lat1), math.radians(lat2)
    half_lat, half_lon = (phi2 - phi1) / 2, math.radians(lon2 - lon1) / 2
    chord = math.sin(half_lat) ** 2 + math.cos(phi1) * math.cos(phi2) * math.sin(half_lon) ** 2
    return 2 * EARTH_KILOMETRES * math.asin(min(1.0, math.sqrt(chord)))


def connect_for_writing(path: Path) -> sqlite3.Connection:
    """Open a store, make or bring up to date its tables.

    Raises:
        StoreError: It cannot be opened, is no store of ours, or was written by a newer version.
    """
    try:
        make_private(path)
        connection = sqlite3.connect(
            path,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=STATEMENTS,
        )
    except (OSError, sqlite3.Error) as error:
        raise StoreError(f"cannot open the store {path}: {error}") from error
    try:
        _bring_up_to_date(connection, path)
        journal = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if journal != "wal":
            raise StoreError(
                f"the store {path} is on a file system that cannot share memory (journal {journal})"
            )
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA journal_size_limit = {KEPT_JOURNAL_BYTES}")
    except sqlite3.Error as error:
        connection.close()
        raise StoreError(f"cannot open the store {path}: {error}") from error
    except StoreError:
        connection.close()
        raise
    return connection


def connect_for_reading(path: Path) -> sqlite3.Connection:
    """Open a store that a writer of this process has open, to read only.

    Raises:
        StoreError: It cannot be opened.
    """
    try:
        connection = sqlite3.connect(
            path.absolute().as_uri() + "?mode=ro",
            uri=True,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=STATEMENTS,
        )
        connection.create_function("kilometres_between", 4, kilometres_between, deterministic=True)
    except sqlite3.Error as error:
        raise StoreError(f"cannot read the store {path}: {error}") from error
    return connection


class JournalCurb:
    """Keeps the journal from growing for ever while reads overlap; called with the writer's connection.

    SQLite begins its journal anew when nobody reads from it.  While there is always somebody, it never
    does, although each read is short.  So a journal that has grown makes the writer wait once for the
    reads that are going on; new ones read from the file meanwhile.  If one of them is not done after
    `BUSY_SECONDS`, the journal grows by as much again before anybody waits for it.  For who copies the whole
    store, which takes as long as it takes and is marked (`copying_mark`), nobody waits at all.

    Args:
        path: The store's file.
        step: Bytes that the journal may grow by.
    """

    def __init__(self, path: Path, step: int = KEPT_JOURNAL_BYTES) -> None:
        self._journal = path.with_name(path.name + "-wal")
        self._mark = copying_mark(path)
        self._step = step
        self._most = step

    def __call__(self, connection: sqlite3.Connection) -> None:
        """Begin the journal anew if it has grown; outside a transaction."""
        try:
            size = self._journal.stat().st_size
            if size <= self._most:
                return
            busy = _is_locked(self._mark)
            if not busy:
                busy = bool(connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])
        except (OSError, sqlite3.Error):
            return  # whoever writes next learns of it
        self._most = size + self._step if busy else self._step


def copying_mark(path: Path) -> Path:
    """The file beside a store that is locked, for sharing, while somebody copies the store."""
    return path.with_name(path.name + ".copying")


def _is_locked(mark: Path) -> bool:
    try:
        descriptor = os.open(mark, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except (FileNotFoundError, PermissionError):  # of a mark that another user made nobody can tell
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _bring_up_to_date(connection: sqlite3.Connection, path: Path) -> None:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    owner: int = connection.execute("PRAGMA application_id").fetchone()[0]
    if owner != APPLICATION_ID and (owner or connection.execute("SELECT 1 FROM sqlite_schema").fetchone()):
        raise StoreError(f"{path} is a database of another program")
    if version > len(VERSIONS):
        raise StoreError(
            f"the store {path} was written by a newer txbridge"
            f" (schema {version}; this one knows {len(VERSIONS)}): update txbridge, or use another file"
        )
    for number, script in enumerate(VERSIONS[version:], version + 1):
        connection.executescript(
            f"BEGIN EXCLUSIVE; {script}; PRAGMA application_id = {APPLICATION_ID};"
            f" PRAGMA user_version = {number}; COMMIT;"
        )
