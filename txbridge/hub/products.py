"""The contract of products: devices that get their feed and their key when they are first switched on.

A *product* is owned by an account and has a secret.  A *device* of it has a serial, and from both follows its
*activation code*, which a factory can compute by itself and burn in: so the secret is kept as it is, for a
digest of it could compute nothing.  Whoever has the code of a device that was not activated may activate it:
the account gets a feed, made from the product's defaults, and the device a key that reaches this feed alone.
From then on the code opens nothing.

The feed is the account's, like any other: it outlives its device and its product.  The key does not: removing
a device, or its product, removes the key.  Removing the feed leaves the device without one until somebody who
may do everything activates it again.

Each write is durable when its Deferred fires, and is all or nothing, as those of `txbridge.hub.store` are.

Source: Xively developer documentation, "Activate a device", "List all products"; an answer of a Xively
engineer for the code ("Device's activation code best practice").
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from attrs import field, frozen

from txbridge.hub.store import Written
from txbridge.model.accounts import Key, Permission, Resource
from txbridge.model.structures import Environment

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

__all__ = [
    "MAX_DEVICES",
    "MAX_PRODUCTS",
    "SECRET_BYTES",
    "STATES",
    "Activated",
    "Activation",
    "DeviceRecord",
    "ProductRecord",
    "Products",
    "activation_code",
    "device_key",
]

MAX_PRODUCTS = 1000
"""The most products of an account."""

MAX_DEVICES = 100_000
"""The most devices of a product."""

SECRET_BYTES = 20
"""The length of a product's secret; it is shown in hexadecimal."""

STATES = ("develop", "deploy")
"""What a product's ``state`` may be; it says something to people and changes nothing."""


def activation_code(secret: bytes, serial: str) -> str:
    """The code by which a device is activated: lower-case hexadecimal HMAC-SHA1 of its serial."""
    return hmac.new(secret, serial.encode(), hashlib.sha1).hexdigest()


def device_key(serial: str, feed_id: int) -> Key:
    """What the key of a device may do: everything, to its own feed."""
    permission = Permission(
        access_methods=["get", "put", "post", "delete"], resources=[Resource(feed_id=feed_id)]
    )
    label = f"Auto-generated {serial} device key for feed {feed_id}"
    return Key(label=label, private_access=True, permissions=[permission])


class Activated(Exception):
    """The device was activated already."""


@frozen
class ProductRecord:
    """A product.

    Attributes:
        id: A text that the store chooses.
        owner: Login of the account.
        name: What its owner calls it.
        secret: The key of its activation codes.
        created: When it was made.
        description: What it is, or None.
        state: One of `STATES`.
        feed_defaults: What the feed of a device is made from.
        devices: How many devices it has.
        activated: How many of them were activated.
    """

    id: str
    owner: str
    name: str
    secret: bytes = field(repr=False)
    created: datetime
    description: str | None = None
    state: str = STATES[0]
    feed_defaults: Environment = field(factory=Environment)
    devices: int = 0
    activated: int = 0


@frozen
class DeviceRecord:
    """A device.

    Attributes:
        product_id: Its product.
        owner: Login of the product's account.
        serial: Unique in the product.
        code: Its activation code.
        created: When it was added.
        activated: When it was first activated, or None.
        feed_id: Its feed, or None.
        key_reference: What names its key; None when it has none.
    """

    product_id: str
    owner: str
    serial: str
    code: str = field(repr=False)
    created: datetime
    activated: datetime | None = None
    feed_id: int | None = None
    key_reference: str | None = None


@frozen
class Activation:
    """What an activation did.

    Attributes:
        device: As it is now.
        feed_id: Its feed.
        datastreams: Of the feed, by id.
        written: What happened to the feed; None when it was there.
        replaced: The digest of the key that the new one replaced, or None.
    """

    device: DeviceRecord
    feed_id: int
    datastreams: tuple[str, ...]
    written: Written | None
    replaced: bytes | None = field(repr=False)


class Products(Protocol):
    """What a store of products can do.  Every method fails with `StoreError` when the storage fails."""

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
        """Make a product, with a new secret.

        Raises:
            Missing: There is no such account.
            Full: The account has `MAX_PRODUCTS`.
        """

    def read_product(self, product_id: str) -> Deferred[ProductRecord]:
        """A product.

        Raises:
            Missing: There is no such product.
        """

    def list_products(self, owner: str, offset: int, limit: int) -> Deferred[tuple[int, list[ProductRecord]]]:
        """How many products an account has, and those of the page, oldest first."""

    def update_product(
        self,
        product_id: str,
        *,
        name: str | None = None,
        description: str | None = None,
        state: str | None = None,
        feed_defaults: Environment | None = None,
    ) -> Deferred[None]:
        """Change a product; what is None stays as it is, the empty description clears it.

        Raises:
            Missing: There is no such product.
        """

    def delete_product(self, product_id: str) -> Deferred[list[bytes]]:
        """Remove a product with its devices and their keys; gives the keys' digests.

        Raises:
            Missing: There is no such product.
        """

    def create_devices(
        self, product_id: str, serials: Sequence[str], now: datetime
    ) -> Deferred[list[DeviceRecord]]:
        """Add devices, all or none.

        Raises:
            Missing: There is no such product.
            Taken: It has one of them, or one is named twice.
            Full: It would have more than `MAX_DEVICES`.
        """

    def read_device(self, product_id: str, serial: str) -> Deferred[DeviceRecord]:
        """A device.

        Raises:
            Missing: There is no such device.
        """

    def list_devices(
        self, product_id: str, offset: int, limit: int
    ) -> Deferred[tuple[int, list[DeviceRecord]]]:
        """How many devices a product has, and those of the page, oldest first."""

    def rename_device(self, product_id: str, serial: str, new_serial: str) -> Deferred[DeviceRecord]:
        """Give a device another serial, and so another code.

        Raises:
            Missing: There is no such device.
            Taken: There is one with the new serial.
            Activated: It was activated; its serial stands in its feed.
        """

    def delete_device(self, product_id: str, serial: str) -> Deferred[bytes | None]:
        """Remove a device with its key; gives the key's digest.

        Raises:
            Missing: There is no such device.
        """

    def find_device(self, code: str) -> Deferred[DeviceRecord | None]:
        """The device with this activation code."""

    def activate(
        self, code: str, digest: bytes, now: datetime, *, again: bool = False
    ) -> Deferred[Activation]:
        """Give a device its feed and a key.

        Args:
            code: Of the device.
            digest: Of the key.
            now: The time.
            again: Whether it may have been activated already: then its key is replaced, and its feed
                is made again if it is gone.

        Raises:
            Missing: There is no device with this code.
            Activated: It was activated already.
            AccountFull: The account has as many feeds as it can have.
        """
