"""A real hub in a network of its own: real rules, real SQLite store, real HTTP and PAWS, no sockets.

::

    with HubInMemory(tmp_path) as hub:
        client = hub.client()
        feed_id = hub.run(client.create_feed(data=Environment(title="Attic")))
        hub.network.cut()

Everything but the store lives in a `MemoryNetwork`, where time stands still unless `HubInMemory.run`
moves it.  The store is the real one, and its threads are real: it runs in real time.  So the store
is given a reactor whose ``callFromThread`` only notes the call, and a store around it that counts what
has been asked and not been answered.  As long as that is not zero, `run` waits for the threads and
lets no time pass in the network; so no deadline is missed because a disk was slow, and the same
test does the same thing every time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Self, TypeVar

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.python.failure import Failure

from txbridge.cosm.client import Client
from txbridge.cosm.paws_server import PawsServer
from txbridge.cosm.server import CosmOptions, CosmServer
from txbridge.hub.auth import Accounts, digest_of
from txbridge.hub.live import LocalLive
from txbridge.hub.site import HubSite
from txbridge.hub.sqlite import SqliteStore
from txbridge.hub.sqlite_products import SqliteProducts
from txbridge.hub.sqlite_projects import SqliteProjects
from txbridge.hub.store import KeyRecord
from txbridge.hub.telling import Telling
from txbridge.iobeam.server import IobeamServer
from txbridge.model.accounts import Key, Permission
from txbridge.net.http_server import HttpServerFactory
from txbridge.net.memory import MemoryNetwork

__all__ = ["HubInMemory"]

T = TypeVar("T")

HOST = "hub.test"
NOON = datetime(2013, 6, 3, 12, tzinfo=UTC)
EVERYTHING = [Permission(access_methods=["get", "put", "post", "delete"])]
STORE_SECONDS = 20.0  # of real time for one commit; more than any disk needs


class _FromThreads:
    """The part of a reactor that the store's threads talk to."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], object]] = SimpleQueue()

    def callFromThread(self, function: Callable[..., object], *args: object, **kwargs: object) -> None:
        """Called in a thread of the store."""
        self._calls.put(partial(function, *args, **kwargs))

    def take(self) -> None:
        """Wait until a thread wants something done, and do it."""
        try:
            call = self._calls.get(timeout=STORE_SECONDS)
        except Empty:
            raise AssertionError("the store does not answer") from None
        call()


class _CountedStore:
    """A store that knows how many answers it owes."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.owed = 0
        self.watched: Callable[[int], bool] = store.watched

    def __setattr__(self, name: str, value: object) -> None:
        super().__setattr__(name, value)
        if name == "watched":
            self.store.watched = self.watched

    def __getattr__(self, name: str) -> Any:
        ask = getattr(self.store, name)
        if not callable(ask):
            return ask

        def asked(*args: Any, **kwargs: Any) -> Deferred[Any]:
            self.owed += 1
            answer: Deferred[Any] = ask(*args, **kwargs)
            return answer.addBoth(self._answered)

        return asked

    def _answered(self, result: Any) -> Any:
        self.owed -= 1
        return result


class HubInMemory:
    """A running hub with one account, ``keeper``; a context manager that closes it.

    Attributes:
        network: Where it is; `MemoryNetwork.cut` and the others make trouble.
        url: The API's base for HTTP.
        iobeam_url: That of iobeam's API, where the keeper's key is a user token.
        paws_url: The WebSocket's address.
        paws_tcp: Host and port of PAWS over TCP.
        api_key: The keeper's key, which may do everything.
        server: The API's rules.
        paws: The socket API.
        live: Who is told about writes.
    """

    def __init__(self, folder: Path, options: CosmOptions | None = None) -> None:
        """Start a hub whose store is in this folder; one that is there already goes on."""
        self.network = MemoryNetwork()
        self.network.clock.advance(NOON.timestamp())
        self.api_key = "the-keepers-own-key-0123456789"
        self.url = f"http://{HOST}/v2"
        self.iobeam_url = f"http://{HOST}/v1/"
        self.paws_url = f"ws://{HOST}"
        self.paws_tcp = (HOST, 8081)
        self._clients: list[Client] = []
        self._threads = _FromThreads()
        self._opened = self._wait(SqliteStore.open(folder / "hub.sqlite", self._threads))
        self._store: Any = _CountedStore(self._opened)
        self.live = LocalLive()
        telling = Telling(self._store, self.live)
        clock = self.network.clock
        accounts = Accounts(self._store, clock)
        products = SqliteProducts(self._store)
        self.server = CosmServer(self._store, telling, accounts, clock, options=options, products=products)
        self.paws = PawsServer(self.server, self.live, clock)
        iobeam = IobeamServer(self._store, SqliteProjects(self._store), telling, accounts, clock)
        site = HubSite(self.server, self.paws, iobeam=iobeam)
        factory = HttpServerFactory(site.respond, upgrade=site.upgrade, refuse=site.refuse, clock=clock)
        self._ports = [
            self.network.listen(HOST, 80, factory),
            self.network.listen(*self.paws_tcp, self.paws.factory),
        ]
        if not self._wait(self._opened.has_accounts()):
            key = Key(label="keeper", private_access=True, permissions=EVERYTHING)
            record = KeyRecord(digest_of(self.api_key), "keeper", key)
            self._wait(self._opened.create_account("keeper", record))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def client(self, api_key: str | None = None, **options: Any) -> Client:
        """A client with the keeper's key, or another; it is closed with the hub."""
        key = self.api_key if api_key is None else api_key
        client = Client(key, **{"url": self.url, "reactor": self.network.reactor, **options})
        self._clients.append(client)
        return client

    def run(self, work: Deferred[T] | Coroutine[Deferred[Any], Any, T], seconds: float = 60.0) -> T:
        """Let bytes flow, commits happen and time pass until a Deferred fires.

        Args:
            work: What is waited for.
            seconds: How far the network's clock may move.

        Returns:
            What the Deferred fired with.

        Raises:
            BaseException: What the Deferred failed with.
            TimeoutError: It has not fired after ``seconds``.
        """
        results: list[T] = []
        failures: list[Failure] = []
        limit = self.network.clock.seconds() + seconds
        ensureDeferred(work).addCallbacks(results.append, failures.append)
        while True:
            self.settle()
            if failures:
                failures[0].raiseException()
            if results:
                return results[0]
            due = min((call.getTime() for call in self.network.clock.getDelayedCalls()), default=math.inf)
            if due > limit:
                raise TimeoutError(f"the Deferred did not fire within {seconds:g} s of the network's time")
            # Set, not advanced by a difference: adding floats could miss the call by an ulp.
            self.network.reactor.rightNow = max(self.network.clock.seconds(), due)

    def settle(self) -> None:
        """Let everything happen that needs no time to pass in the network, commits included."""
        self.network.pump()
        while self._store.owed:
            self._threads.take()
            self.network.pump()

    def close(self) -> None:
        """Close the clients, stop serving and close the store."""
        while self._clients:
            self.run(self._clients.pop().close())
        for port in self._ports:
            port.stopListening()
        self.network.cut()
        self.settle()
        self._wait(self._opened.close())

    def _wait(self, work: Deferred[T] | Coroutine[Deferred[Any], Any, T]) -> T:
        """Wait for the store itself."""
        results: list[T] = []
        failures: list[Failure] = []
        ensureDeferred(work).addCallbacks(results.append, failures.append)
        while not results and not failures:
            self._threads.take()
        if failures:
            failures[0].raiseException()
        return results[0]
