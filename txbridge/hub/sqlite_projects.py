"""Projects, devices and tokens in the SQLite store: `SqliteProjects`, and functions of a connection.

They share the threads of the store, so that a device and its feed are one transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred

from txbridge.hub.projects import (
    MAX_PROJECTS,
    MAX_REFRESHED,
    MAX_TOKENS,
    REFRESH_DAYS,
    DeviceRecord,
    NameTaken,
    ProjectRecord,
    TokenRecord,
)
from txbridge.hub.sqlite import SqliteStore
from txbridge.hub.sqlite_reads import MAX_INTEGER, in_one_step
from txbridge.hub.sqlite_writes import create_feed, delete_feed, update_feed
from txbridge.hub.store import FeedRecord, Full, Missing, Taken, Written
from txbridge.model.instants import from_microseconds, to_microseconds
from txbridge.model.structures import Environment

__all__ = ["SqliteProjects"]

_PROJECT = "project, owner, name, created"
_DEVICE = "project, id, name, type, feed, created"
_TOKEN = (
    "digest, project, created, expires, device, may_read, may_write, may_admin, refreshable, parent, token"
)

_FREE_NUMBER = """
    SELECT MIN(number) FROM (SELECT 1 AS number UNION ALL SELECT project + 1 FROM projects)
    WHERE number NOT IN (SELECT project FROM projects)
"""
_DESCENDANTS = """
    WITH RECURSIVE family (token) AS (
        VALUES (?) UNION SELECT tokens.token FROM tokens JOIN family ON tokens.parent = family.token
    )
    DELETE FROM tokens WHERE token IN family
"""
_EXPIRED = """
    DELETE FROM tokens WHERE project = ? AND expires < ?
    AND NOT EXISTS (SELECT 1 FROM tokens AS later WHERE later.parent = tokens.token)
"""
_SURPLUS = """
    DELETE FROM tokens WHERE token IN (
        SELECT token FROM tokens AS old WHERE parent = ?
        AND NOT EXISTS (SELECT 1 FROM tokens AS later WHERE later.parent = old.token)
        ORDER BY token DESC LIMIT -1 OFFSET ?
    )
"""


class SqliteProjects:
    """Projects in the file of a store.

    It is a `txbridge.hub.projects.Projects`, whose methods say what they do.

    Args:
        store: Has the threads that read and write.
    """

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    def create_project(
        self, owner: str, name: str, now: datetime, project_id: int | None = None
    ) -> Deferred[ProjectRecord]:
        """Make a project."""
        return self._store.write(lambda connection: _create_project(connection, owner, name, now, project_id))

    def read_project(self, project_id: int) -> Deferred[ProjectRecord]:
        """A project."""
        return self._store.read(lambda connection: _read_project(connection, project_id))

    def list_projects(self, owner: str) -> Deferred[list[ProjectRecord]]:
        """The projects of an account, by number."""
        return self._store.read(lambda connection: _list_projects(connection, owner))

    def delete_project(self, project_id: int) -> Deferred[None]:
        """Remove a project with its devices and tokens."""
        return self._store.write(lambda connection: _delete_project(connection, project_id))

    def create_device(
        self, project_id: int, device_id: str, name: str, type: str | None, now: datetime
    ) -> Deferred[DeviceRecord]:
        """Register a device, and make its feed."""
        return self._store.write(
            lambda connection: _create_device(
                connection, project_id, device_id, name, type, now, self._store.max_feeds
            )
        )

    def read_device(self, project_id: int, device_id: str) -> Deferred[DeviceRecord]:
        """A device."""
        return self._store.read(lambda connection: _read_device(connection, project_id, device_id))

    def list_devices(self, project_id: int) -> Deferred[list[DeviceRecord]]:
        """The devices of a project, oldest first."""
        return self._store.read(lambda connection: _list_devices(connection, project_id))

    def update_device(
        self, project_id: int, device_id: str, name: str | None, type: str | None, now: datetime
    ) -> Deferred[Written | None]:
        """Change what a device is called."""
        return self._store.write(
            lambda connection: _update_device(
                connection, project_id, device_id, name, type, now, self._store.watched
            )
        )

    def delete_device(self, project_id: int, device_id: str) -> Deferred[Written]:
        """Remove a device with its feed."""
        return self._store.write(lambda connection: _delete_device(connection, project_id, device_id))

    def create_token(self, record: TokenRecord) -> Deferred[TokenRecord]:
        """Add a token; gives it back with its number."""
        return self._store.write(lambda connection: _create_token(connection, record))

    def find_token(self, digest: bytes) -> Deferred[TokenRecord | None]:
        """The token with this digest."""
        return self._store.read(lambda connection: _find_token(connection, "digest", digest))

    def read_token(self, token_id: int) -> Deferred[TokenRecord]:
        """The token with this number."""
        return self._store.read(lambda connection: _read_token(connection, token_id))

    def list_tokens(self, project_id: int) -> Deferred[list[TokenRecord]]:
        """The tokens of a project, oldest first."""
        return self._store.read(lambda connection: _list_tokens(connection, project_id))

    def delete_token(self, token_id: int) -> Deferred[None]:
        """Remove a token, and those that came of it by refreshing."""
        return self._store.write(lambda connection: _delete_token(connection, token_id))


# ------------------------------------------------------------------------------------ projects


def _create_project(
    connection: sqlite3.Connection, owner: str, name: str, now: datetime, project_id: int | None
) -> ProjectRecord:
    if connection.execute("SELECT 1 FROM accounts WHERE login = ?", (owner,)).fetchone() is None:
        raise Missing("account")
    count = connection.execute("SELECT COUNT(*) FROM projects WHERE owner = ?", (owner,)).fetchone()[0]
    if count >= MAX_PROJECTS:
        raise Full
    if project_id is None:
        # SQLite would count on from the highest, which may be the last that clients can count to.
        project_id = connection.execute(_FREE_NUMBER).fetchone()[0]
    try:
        connection.execute(
            f"INSERT INTO projects ({_PROJECT}) VALUES (?, ?, ?, ?)",
            (project_id, owner, name, to_microseconds(now)),
        )
    except sqlite3.IntegrityError:
        raise Taken(str(project_id)) from None
    return ProjectRecord(project_id, owner, name, now)


def _read_project(connection: sqlite3.Connection, project_id: int) -> ProjectRecord:
    row = None
    if 0 < project_id <= MAX_INTEGER:
        row = connection.execute(
            f"SELECT {_PROJECT} FROM projects WHERE project = ?", (project_id,)
        ).fetchone()
    if row is None:
        raise Missing("project")
    return _project_record(row)


def _list_projects(connection: sqlite3.Connection, owner: str) -> list[ProjectRecord]:
    rows = connection.execute(f"SELECT {_PROJECT} FROM projects WHERE owner = ? ORDER BY project", (owner,))
    return [_project_record(row) for row in rows]


def _delete_project(connection: sqlite3.Connection, project_id: int) -> None:
    _read_project(connection, project_id)
    connection.execute("DELETE FROM projects WHERE project = ?", (project_id,))


def _project_record(row: tuple[Any, ...]) -> ProjectRecord:
    project_id, owner, name, created = row
    return ProjectRecord(project_id, owner, name, from_microseconds(created))


# ------------------------------------------------------------------------------------- devices


def _nobody(feed_id: int) -> bool:
    return False


def _anybody(record: FeedRecord) -> None:
    """A guard: whoever may change a device may change its feed."""


def _create_device(
    connection: sqlite3.Connection,
    project_id: int,
    device_id: str,
    name: str,
    type: str | None,
    now: datetime,
    most: int,
) -> DeviceRecord:
    owner = _read_project(connection, project_id).owner
    taken = "SELECT 1 FROM devices WHERE project = ? AND id = ?"
    if connection.execute(taken, (project_id, device_id)).fetchone() is not None:
        raise Taken(device_id)
    _check_name(connection, project_id, device_id, name)
    # Nobody listens to a feed that is only being made.
    feed = create_feed(connection, owner, Environment(title=name, private=True), now, _nobody, most).feed_id
    connection.execute(
        f"INSERT INTO devices ({_DEVICE}) VALUES (?, ?, ?, ?, ?, ?)",
        (project_id, device_id, name, type, feed, to_microseconds(now)),
    )
    return DeviceRecord(project_id, device_id, name, type, feed, now)


def _read_device(connection: sqlite3.Connection, project_id: int, device_id: str) -> DeviceRecord:
    row = None
    if 0 < project_id <= MAX_INTEGER:
        row = connection.execute(
            f"SELECT {_DEVICE} FROM devices WHERE project = ? AND id = ?", (project_id, device_id)
        ).fetchone()
    if row is None:
        raise Missing("device")
    return _device_record(row)


def _list_devices(connection: sqlite3.Connection, project_id: int) -> list[DeviceRecord]:
    select = f"SELECT {_DEVICE} FROM devices WHERE project = ? ORDER BY created, id"
    return [_device_record(row) for row in in_one_step(connection, _DEVICE, select, (project_id,))]


def _update_device(
    connection: sqlite3.Connection,
    project_id: int,
    device_id: str,
    name: str | None,
    type: str | None,
    now: datetime,
    watched: Callable[[int], bool],
) -> Written | None:
    known = _read_device(connection, project_id, device_id)
    changed = evolve(
        known, name=known.name if name is None else name, type=known.type if type is None else type
    )
    if changed == known:
        return None
    _check_name(connection, project_id, device_id, changed.name)
    connection.execute(
        "UPDATE devices SET name = ?, type = ? WHERE project = ? AND id = ?",
        (changed.name, changed.type, project_id, device_id),
    )
    title = None if name is None else changed.name
    return update_feed(connection, known.feed_id, Environment(title=title), now, _anybody, watched)


def _delete_device(connection: sqlite3.Connection, project_id: int, device_id: str) -> Written:
    return delete_feed(connection, _read_device(connection, project_id, device_id).feed_id, _anybody)


def _check_name(connection: sqlite3.Connection, project_id: int, device_id: str, name: str) -> None:
    """Refuse a name that another device has."""
    taken = "SELECT 1 FROM devices WHERE project = ? AND name = ? AND id != ?"
    if connection.execute(taken, (project_id, name, device_id)).fetchone() is not None:
        raise NameTaken(name)


def _device_record(row: tuple[Any, ...]) -> DeviceRecord:
    project_id, device_id, name, kind, feed, created = row
    return DeviceRecord(project_id, device_id, name, kind, feed, from_microseconds(created))


# -------------------------------------------------------------------------------------- tokens


def _create_token(connection: sqlite3.Connection, record: TokenRecord) -> TokenRecord:
    project_id = _read_project(connection, record.project_id).id
    if record.device_id is not None:
        _read_device(connection, project_id, record.device_id)
    too_old = record.created - timedelta(days=REFRESH_DAYS)
    connection.execute(_EXPIRED, (project_id, to_microseconds(too_old)))
    connection.execute(_SURPLUS, (record.parent, MAX_REFRESHED - 1))
    count = connection.execute("SELECT COUNT(*) FROM tokens WHERE project = ?", (project_id,)).fetchone()[0]
    if count >= MAX_TOKENS:
        raise Full
    expires = None if record.expires is None else to_microseconds(record.expires)
    try:
        cursor = connection.execute(
            f"INSERT INTO tokens ({_TOKEN}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)",
            (
                record.digest,
                project_id,
                to_microseconds(record.created),
                expires,
                record.device_id,
                record.read,
                record.write,
                record.admin,
                record.refreshable,
                record.parent,
            ),
        )
    except sqlite3.IntegrityError:
        raise Taken("token") from None
    assert cursor.lastrowid is not None
    return evolve(record, id=cursor.lastrowid)


def _find_token(connection: sqlite3.Connection, column: str, value: bytes | int) -> TokenRecord | None:
    row = connection.execute(f"SELECT {_TOKEN} FROM tokens WHERE {column} = ?", (value,)).fetchone()
    return None if row is None else _token_record(row)


def _read_token(connection: sqlite3.Connection, token_id: int) -> TokenRecord:
    record = _find_token(connection, "token", token_id) if 0 < token_id <= MAX_INTEGER else None
    if record is None:
        raise Missing("token")
    return record


def _list_tokens(connection: sqlite3.Connection, project_id: int) -> list[TokenRecord]:
    select = f"SELECT {_TOKEN} FROM tokens WHERE project = ? ORDER BY token"
    columns = _TOKEN.replace("digest", "hex(digest)")  # JSON has no form for bytes
    rows = in_one_step(connection, columns, select, (project_id,))
    return [_token_record((bytes.fromhex(digest), *row)) for digest, *row in rows]


def _delete_token(connection: sqlite3.Connection, token_id: int) -> None:
    _read_token(connection, token_id)
    connection.execute(_DESCENDANTS, (token_id,))


def _token_record(row: tuple[Any, ...]) -> TokenRecord:
    digest, project_id, created, expires, device_id, read, write, admin, refreshable, parent, number = row
    return TokenRecord(
        digest,
        project_id,
        from_microseconds(created),
        None if expires is None else from_microseconds(expires),
        device_id,
        bool(read),
        bool(write),
        bool(admin),
        bool(refreshable),
        parent,
        number,
    )
