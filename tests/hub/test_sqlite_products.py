"""Products in the SQLite store keep the contract, and share the store's transactions."""

from __future__ import annotations

from typing import cast

import pytest
from twisted.internet.interfaces import IReactorFromThreads

from tests.contract.products import MORNING, ProductsContract
from txbridge.hub import sqlite_products
from txbridge.hub.sqlite import SqliteStore
from txbridge.hub.sqlite_products import SqliteProducts


class TestSqliteProducts(ProductsContract):
    """The contract, in a file."""

    async def open(self, folder):
        from twisted.internet import reactor

        store = await SqliteStore.open(folder / "hub.sqlite", cast("IReactorFromThreads", reactor))
        return store, SqliteProducts(store)

    async def test_an_activation_whose_key_cannot_be_written_leaves_no_feed_behind(
        self, store, products, monkeypatch
    ):
        device = await self.device(products)
        monkeypatch.setattr(sqlite_products, "device_key", lambda serial, feed_id: None)
        with pytest.raises(AttributeError):
            await products.activate(device.code, b"d" * 32, MORNING)
        assert (await store.read_account("ann")).user.feeds_count == 0
        assert (await products.read_device(device.product_id, "A1")).activated is None
