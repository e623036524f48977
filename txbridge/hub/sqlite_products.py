"""Products and their devices in the SQLite store: `SqliteProducts`, and functions of a connection.

They share the threads of the store, so that a device's feed, its key and its activation are one transaction.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from attrs import evolve
from twisted.internet.defer import Deferred

from txbridge.hub.products import (
    MAX_DEVICES,
    MAX_PRODUCTS,
    SECRET_BYTES,
    STATES,
    Activated,
    Activation,
    DeviceRecord,
    ProductRecord,
    activation_code,
    device_key,
)
from txbridge.hub.sqlite import SqliteStore
from txbridge.hub.sqlite_writes import create_feed, create_key
from txbridge.hub.store import Full, KeyRecord, Missing, Taken, Written
from txbridge.model.instants import from_microseconds, to_microseconds
from txbridge.model.structures import Environment

__all__ = ["SqliteProducts"]

ID_BYTES = 15  # 20 characters, as the service's product ids had

_PRODUCTS = """
    SELECT id, owner, name, secret, created, description, state, feed_defaults,
        (SELECT COUNT(*) FROM product_devices AS d WHERE d.product = products.product),
        (SELECT COUNT(*) FROM product_devices AS d
         WHERE d.product = products.product AND d.activated IS NOT NULL)
    FROM products
"""
_DEVICES = """
    SELECT p.id, p.owner, d.serial, d.code, d.created, d.activated, d.feed, k.reference
    FROM product_devices AS d JOIN products AS p USING (product) LEFT JOIN keys AS k ON k.number = d.key
"""


class SqliteProducts:
    """Products in the file of a store.

    It is a `txbridge.hub.products.Products`, whose methods say what they do.

    Args:
        store: Has the threads that read and write.
    """

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    def create_product(
        self,
        owner: str,
        name: str,
        now: datetime,
        *,
        description: str | None = None,
        state: str | None = None,
        feed_defaults: Environment | None = None,
    ) -> Deferred[ProductRecord]:
        """Make a product, with a new secret."""
        record = ProductRecord(
            secrets.token_urlsafe(ID_BYTES),
            owner,
            name,
            secrets.token_bytes(SECRET_BYTES),
            now,
            description or None,
            STATES[0] if state is None else state,
            Environment() if feed_defaults is None else feed_defaults,
        )
        return self._store.write(lambda connection: _create_product(connection, record))

    def read_product(self, product_id: str) -> Deferred[ProductRecord]:
        """A product."""
        return self._store.read(lambda connection: _read_product(connection, product_id))

    def list_products(self, owner: str, offset: int, limit: int) -> Deferred[tuple[int, list[ProductRecord]]]:
        """How many products an account has, and those of the page."""
        return self._store.read(lambda connection: _list_products(connection, owner, offset, limit))

    def update_product(
        self,
        product_id: str,
        *,
        name: str | None = None,
        description: str | None = None,
        state: str | None = None,
        feed_defaults: Environment | None = None,
    ) -> Deferred[None]:
        """Change a product."""
        return self._store.write(
            lambda connection: _update_product(
                connection, product_id, name, description, state, feed_defaults
            )
        )

    def delete_product(self, product_id: str) -> Deferred[list[bytes]]:
        """Remove a product with its devices and their keys."""
        return self._store.write(lambda connection: _delete_product(connection, product_id))

    def create_devices(
        self, product_id: str, serials: Sequence[str], now: datetime
    ) -> Deferred[list[DeviceRecord]]:
        """Add devices, all or none."""
        return self._store.write(
            lambda connection: _create_devices(connection, product_id, serials, now), len(serials)
        )

    def read_device(self, product_id: str, serial: str) -> Deferred[DeviceRecord]:
        """A device."""
        return self._store.read(lambda connection: _read_device(connection, product_id, serial))

    def list_devices(
        self, product_id: str, offset: int, limit: int
    ) -> Deferred[tuple[int, list[DeviceRecord]]]:
        """How many devices a product has, and those of the page."""
        return self._store.read(lambda connection: _list_devices(connection, product_id, offset, limit))

    def rename_device(self, product_id: str, serial: str, new_serial: str) -> Deferred[DeviceRecord]:
        """Give a device another serial."""
        return self._store.write(
            lambda connection: _rename_device(connection, product_id, serial, new_serial)
        )

    def delete_device(self, product_id: str, serial: str) -> Deferred[bytes | None]:
        """Remove a device with its key."""
        return self._store.write(lambda connection: _delete_device(connection, product_id, serial))

    def find_device(self, code: str) -> Deferred[DeviceRecord | None]:
        """The device with this activation code."""
        return self._store.read(lambda connection: _find_device(connection, code))

    def activate(
        self, code: str, digest: bytes, now: datetime, *, again: bool = False
    ) -> Deferred[Activation]:
        """Give a device its feed and a key."""
        return self._store.write(
            lambda connection: _activate(connection, self._store, code, digest, now, again)
        )


# ------------------------------------------------------------------------------------ products


def _create_product(connection: sqlite3.Connection, record: ProductRecord) -> ProductRecord:
    if connection.execute("SELECT 1 FROM accounts WHERE login = ?", (record.owner,)).fetchone() is None:
        raise Missing("account")
    count = connection.execute("SELECT COUNT(*) FROM products WHERE owner = ?", (record.owner,)).fetchone()[0]
    if count >= MAX_PRODUCTS:
        raise Full
    connection.execute(
        "INSERT INTO products (id, owner, name, secret, created, description, state, feed_defaults)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            record.id,
            record.owner,
            record.name,
            record.secret,
            to_microseconds(record.created),
            record.description,
            record.state,
            _document(record.feed_defaults),
        ),
    )
    return record


def _read_product(connection: sqlite3.Connection, product_id: str) -> ProductRecord:
    row = connection.execute(f"{_PRODUCTS} WHERE id = ?", (product_id,)).fetchone()
    if row is None:
        raise Missing("product")
    return _product_record(row)


def _list_products(
    connection: sqlite3.Connection, owner: str, offset: int, limit: int
) -> tuple[int, list[ProductRecord]]:
    count = connection.execute("SELECT COUNT(*) FROM products WHERE owner = ?", (owner,)).fetchone()[0]
    page = f"{_PRODUCTS} WHERE owner = ? ORDER BY product LIMIT ? OFFSET ?"
    return count, [_product_record(row) for row in connection.execute(page, (owner, limit, offset))]


def _update_product(
    connection: sqlite3.Connection,
    product_id: str,
    name: str | None,
    description: str | None,
    state: str | None,
    feed_defaults: Environment | None,
) -> None:
    changed = connection.execute(
        """
        UPDATE products SET name = COALESCE(:name, name), state = COALESCE(:state, state),
            description = NULLIF(COALESCE(:description, description), ''),
            feed_defaults = COALESCE(:feed_defaults, feed_defaults)
        WHERE id = :id
        """,
        {
            "id": product_id,
            "name": name,
            "description": description,
            "state": state,
            "feed_defaults": None if feed_defaults is None else _document(feed_defaults),
        },
    )
    if not changed.rowcount:
        raise Missing("product")


def _delete_product(connection: sqlite3.Connection, product_id: str) -> list[bytes]:
    product = _product_number(connection, product_id)
    keys = "SELECT key FROM product_devices WHERE product = ?"
    removed = connection.execute(
        f"DELETE FROM keys WHERE number IN ({keys}) RETURNING digest", (product,)
    ).fetchall()
    connection.execute("DELETE FROM products WHERE product = ?", (product,))
    return [digest for (digest,) in removed]


def _product_number(connection: sqlite3.Connection, product_id: str) -> int:
    row = connection.execute("SELECT product FROM products WHERE id = ?", (product_id,)).fetchone()
    if row is None:
        raise Missing("product")
    number: int = row[0]
    return number


def _document(defaults: Environment) -> str:
    return msgspec.json.encode(defaults).decode()


def _product_record(row: Sequence[Any]) -> ProductRecord:
    product_id, owner, name, secret, created, description, state, defaults, devices, activated = row
    return ProductRecord(
        product_id,
        owner,
        name,
        secret,
        from_microseconds(created),
        description,
        state,
        msgspec.json.decode(defaults, type=Environment),
        devices,
        activated,
    )


# ------------------------------------------------------------------------------------- devices


def _create_devices(
    connection: sqlite3.Connection, product_id: str, serials: Sequence[str], now: datetime
) -> list[DeviceRecord]:
    product, record = _product_number(connection, product_id), _read_product(connection, product_id)
    if record.devices + len(serials) > MAX_DEVICES:
        raise Full
    created = []
    for serial in serials:
        code = activation_code(record.secret, serial)
        try:
            connection.execute(
                "INSERT INTO product_devices (product, serial, code, created) VALUES (?, ?, ?, ?)",
                (product, serial, code, to_microseconds(now)),
            )
        except sqlite3.IntegrityError:
            raise Taken(serial) from None
        created.append(DeviceRecord(product_id, record.owner, serial, code, now))
    return created


def _read_device(connection: sqlite3.Connection, product_id: str, serial: str) -> DeviceRecord:
    row = connection.execute(f"{_DEVICES} WHERE p.id = ? AND d.serial = ?", (product_id, serial)).fetchone()
    if row is None:
        raise Missing("device")
    return _device_record(row)


def _find_device(connection: sqlite3.Connection, code: str) -> DeviceRecord | None:
    row = connection.execute(f"{_DEVICES} WHERE d.code = ?", (code,)).fetchone()
    return None if row is None else _device_record(row)


def _list_devices(
    connection: sqlite3.Connection, product_id: str, offset: int, limit: int
) -> tuple[int, list[DeviceRecord]]:
    product = _product_number(connection, product_id)
    count = connection.execute(
        "SELECT COUNT(*) FROM product_devices WHERE product = ?", (product,)
    ).fetchone()[0]
    page = f"{_DEVICES} WHERE d.product = ? ORDER BY d.device LIMIT ? OFFSET ?"
    return count, [_device_record(row) for row in connection.execute(page, (product, limit, offset))]


def _rename_device(
    connection: sqlite3.Connection, product_id: str, serial: str, new_serial: str
) -> DeviceRecord:
    record = _read_device(connection, product_id, serial)
    if new_serial == serial:
        return record
    if record.activated is not None:
        raise Activated
    code = activation_code(_read_product(connection, product_id).secret, new_serial)
    try:
        connection.execute(
            "UPDATE product_devices SET serial = ?, code = ? WHERE code = ?", (new_serial, code, record.code)
        )
    except sqlite3.IntegrityError:
        raise Taken(new_serial) from None
    return evolve(record, serial=new_serial, code=code)


def _delete_device(connection: sqlite3.Connection, product_id: str, serial: str) -> bytes | None:
    record = _read_device(connection, product_id, serial)
    digest = _remove_key(connection, record.code)
    connection.execute("DELETE FROM product_devices WHERE code = ?", (record.code,))
    return digest


def _remove_key(connection: sqlite3.Connection, code: str) -> bytes | None:
    row = connection.execute(
        "DELETE FROM keys WHERE number = (SELECT key FROM product_devices WHERE code = ?) RETURNING digest",
        (code,),
    ).fetchone()
    return None if row is None else row[0]


def _activate(
    connection: sqlite3.Connection,
    store: SqliteStore,
    code: str,
    digest: bytes,
    now: datetime,
    again: bool,
) -> Activation:
    device = _find_device(connection, code)
    if device is None:
        raise Missing("device")
    if device.activated is not None and not again:
        raise Activated
    replaced = _remove_key(connection, code)
    feed_id, written = device.feed_id, None
    if feed_id is None:
        written = _create_feed(connection, store, device, now)
        feed_id = written.feed_id
    create_key(connection, KeyRecord(digest, device.owner, device_key(device.serial, feed_id)))
    connection.execute(
        """
        UPDATE product_devices SET activated = COALESCE(activated, ?), feed = ?,
            key = (SELECT number FROM keys WHERE digest = ?)
        WHERE code = ?
        """,
        (to_microseconds(now), feed_id, digest, code),
    )
    names = connection.execute("SELECT id FROM datastreams WHERE feed = ? ORDER BY id", (feed_id,)).fetchall()
    device = _read_device(connection, device.product_id, device.serial)
    return Activation(device, feed_id, tuple(name for (name,) in names), written, replaced)


def _create_feed(
    connection: sqlite3.Connection, store: SqliteStore, device: DeviceRecord, now: datetime
) -> Written:
    product = _read_product(connection, device.product_id)
    defaults = product.feed_defaults
    title = defaults.title or f"{product.name} {device.serial}"
    written = create_feed(
        connection, device.owner, evolve(defaults, title=title), now, store.watched, store.max_feeds
    )
    connection.execute(
        "UPDATE feeds SET product_id = ?, device_serial = ? WHERE feed = ?",
        (device.product_id, device.serial, written.feed_id),
    )
    return written


def _device_record(row: Sequence[Any]) -> DeviceRecord:
    product_id, owner, serial, code, created, activated, feed_id, reference = row
    return DeviceRecord(
        product_id,
        owner,
        serial,
        code,
        from_microseconds(created),
        None if activated is None else from_microseconds(activated),
        feed_id,
        reference,
    )
