"""A store with two accounts, and what is kept beside it: what the contracts of such things have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import ensureDeferred

from tests.contract.store import key_of

__all__ = ["BesideAStore"]


class BesideAStore(ABC):
    """A contract of something that is kept beside a store."""

    @abstractmethod
    async def open(self, folder: Path) -> tuple[Any, Any]:
        """Open the store of a folder, and what is kept beside it."""

    @pytest.fixture
    def stores(self, tmp_path: Path) -> Iterator[tuple[Any, Any]]:
        """An open store with the accounts ``ann`` and ``bob``, and what is kept beside it."""

        async def start() -> tuple[Any, Any]:
            store, beside = await self.open(tmp_path)
            await store.create_account("ann", key_of("ann", b"a" * 32))
            await store.create_account("bob", key_of("bob", b"b" * 32))
            return store, beside

        store, beside = pytest_twisted.blockon(ensureDeferred(start()))
        yield store, beside
        pytest_twisted.blockon(store.close())

    @pytest.fixture
    def store(self, stores: tuple[Any, Any]) -> Any:
        """The store."""
        return stores[0]
