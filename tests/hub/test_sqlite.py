"""The SQLite store keeps the contract, and what it promises about its file."""

from __future__ import annotations

from tests.contract.store import StoreContract
from txbridge.hub.sqlite import SqliteStore


class TestSqliteStore(StoreContract):
    """The contract, for one SQLite file."""

    async def open(self, folder):
        from twisted.internet import reactor

        return await SqliteStore.open(folder / "hub.sqlite", reactor)
