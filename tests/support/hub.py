"""A hub for tests: the real rules over the real store in a temporary folder, with a fake clock."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.task import Clock

from txbridge.cosm.server import CosmOptions, CosmServer
from txbridge.hub.auth import Accounts, digest_of
from txbridge.hub.graphs import Graphs
from txbridge.hub.live import LocalLive
from txbridge.hub.passwords import Passwords
from txbridge.hub.sqlite import SqliteStore
from txbridge.hub.sqlite_products import SqliteProducts
from txbridge.hub.sqlite_projects import SqliteProjects
from txbridge.hub.store import KeyRecord
from txbridge.hub.telling import Telling
from txbridge.iobeam.server import IobeamOptions, IobeamServer
from txbridge.model.accounts import Key, Permission
from txbridge.net.http1 import Request, Response

__all__ = [
    "HOST",
    "KEY",
    "NOON",
    "READ_ONLY",
    "STRANGER",
    "TestHub",
    "document",
    "header",
    "running_hub",
    "text",
]

NOON = datetime(2013, 6, 3, 12, tzinfo=UTC)
"""What the clock shows at first."""

HOST = "127.0.0.1:8080"
KEY = "the-keepers-own-key-0123456789"
STRANGER = "somebody-elses-key-0123456789"
READ_ONLY = "a-key-that-may-only-get-0123456789"

EVERYTHING = [Permission(access_methods=["get", "put", "post", "delete"])]


def header(response: Response, name: str) -> str | None:
    """The value of a header, or None."""
    return next((value for known, value in response.headers if known.lower() == name.lower()), None)


def document(response: Response) -> Any:
    """The JSON in a body."""
    return json.loads(response.body)


def text(response: Response) -> str:
    """A body as text."""
    return response.body.decode()


class TestHub:
    """A running hub with the accounts ``keeper`` and ``stranger``."""

    __test__ = False

    def __init__(
        self,
        store: SqliteStore,
        options: CosmOptions | None,
        *,
        graphs: bool = False,
        iobeam: IobeamOptions | None = None,
    ) -> None:
        self.store = store
        self.clock = Clock()
        self.clock.advance(NOON.timestamp())
        self.live = LocalLive()
        self.telling = Telling(store, self.live)
        passwords = Passwords(maybeDeferred)
        self.accounts = Accounts(store, self.clock, passwords)
        self.server = CosmServer(
            store,
            self.telling,
            self.accounts,
            self.clock,
            options=options,
            passwords=passwords,
            graphs=Graphs(maybeDeferred) if graphs else None,
            products=SqliteProducts(store),
        )
        self.projects = SqliteProjects(store)
        self.iobeam = IobeamServer(
            store, self.projects, self.telling, self.accounts, self.clock, options=iobeam
        )

    async def add_account(self, login: str, api_key: str, key: Key | None = None) -> None:
        """Make an account with one key."""
        described = key or Key(label=login, private_access=True, permissions=EVERYTHING)
        await self.store.create_account(login, KeyRecord(digest_of(api_key), login, described))

    async def replace_key(self, login: str, api_key: str, *permissions: Permission, **members: Any) -> None:
        """Give an account another key instead of all it has."""
        key = Key(label="limited", permissions=list(permissions), **members)
        await self.store.replace_keys(login, KeyRecord(digest_of(api_key), login, key))

    async def ask(
        self,
        method: str,
        target: str,
        body: bytes | str = b"",
        *,
        key: str | None = KEY,
        headers: dict[str, str] | None = None,
        client: str = "127.0.0.1",
    ) -> Response:
        """Send a request."""
        path, _, query = target.partition("?")
        sent = {"host": HOST, **({} if key is None else {"x-apikey": key}), **(headers or {})}
        raw = body if isinstance(body, bytes) else body.encode()
        return await self.server.respond(Request(method, path, query, sent, raw, client))

    async def get(self, target: str, **options: Any) -> Response:
        """Send a GET."""
        return await self.ask("GET", target, **options)

    async def feed(self, body: str = '{"title":"Boiler room"}', **options: Any) -> int:
        """Make a feed.

        Returns:
            Its number.
        """
        response = await self.ask("POST", "/v2/feeds.json", body, **options)
        assert response.status == 201, response
        return int((header(response, "location") or "").rpartition("/")[2])


@asynccontextmanager
async def running_hub(
    folder: Path,
    options: CosmOptions | None = None,
    *,
    graphs: bool = False,
    iobeam: IobeamOptions | None = None,
) -> AsyncIterator[TestHub]:
    """A hub whose store is in this folder."""
    from twisted.internet import reactor

    store = await SqliteStore.open(folder / "hub.sqlite", cast("IReactorFromThreads", reactor))
    try:
        hub = TestHub(store, options, graphs=graphs, iobeam=iobeam)
        await hub.add_account("keeper", KEY)
        await hub.add_account("stranger", STRANGER)
        yield hub
    finally:
        await store.close()
