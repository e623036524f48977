"""The servers that are measured, each in a process of its own: ``python -m benchmarks.servers NAME``.

A server says in a line of JSON where it is, then obeys lines such as ``publish 20``, and ends with
its standard input.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
from attrs import evolve
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.stdio import StandardIO
from twisted.internet.task import deferLater, react
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import Site

from benchmarks.load import allow_many_files
from txbridge.cosm.paws_server import PawsServer
from txbridge.cosm.server import CosmServer
from txbridge.hub.auth import Accounts, digest_of
from txbridge.hub.live import LocalLive
from txbridge.hub.site import HubSite
from txbridge.hub.sqlite import SqliteStore
from txbridge.hub.store import FeedRecord, KeyRecord
from txbridge.hub.telling import Telling
from txbridge.model.accounts import Key, Permission
from txbridge.model.structures import Datastream, Environment, Unit
from txbridge.net.http_server import HttpServerFactory

__all__ = ["KEY", "STREAM", "Commands", "main", "say"]

KEY = "the-benchmarks-own-key-0123456789"
STREAM = "temperature"
PER_TURN = 4  # updates that one commit publishes in one turn of the reactor
ANSWER = json.dumps({"id": STREAM, "current_value": "21.5", "at": "2013-06-03T12:00:00.000000Z"}).encode()


def say(document: object) -> None:
    """Write a line of JSON for the parent."""
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


class Commands(LineOnlyReceiver):
    """Reads the parent's lines.

    Args:
        obey: Called with each line's words.
        ended: Fired when there are no more.
    """

    delimiter = b"\n"

    def __init__(self, obey: Callable[[list[str]], object], ended: Deferred[None]) -> None:
        self._obey = obey
        self._ended = ended

    def lineReceived(self, line: bytes) -> None:
        """A line came."""
        self._obey(line.decode().split())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The parent is done."""
        self._ended.callback(None)


async def _publish(reactor: Any, count: int, publish: Callable[[], None]) -> None:
    """Publish so many updates, `PER_TURN` in a turn of the reactor, and say when it is done."""
    for number in range(count):
        publish()
        if (number + 1) % PER_TURN == 0:
            await deferLater(reactor, 0)
    say({"published": count})


def _allow(record: FeedRecord) -> None:
    """Every write may happen."""


async def _hub(reactor: Any) -> None:
    """A hub as the program makes it: SQLite store, rules, HTTP and WebSocket."""
    with TemporaryDirectory(prefix="txbridge-bench-") as folder:
        store = await SqliteStore.open(Path(folder) / "hub.sqlite", reactor)
        try:
            await _serve_hub(reactor, store)
        finally:
            await store.close()


async def _serve_hub(reactor: Any, store: SqliteStore) -> None:
    now = datetime.now(UTC)
    everything = [Permission(access_methods=["get", "put", "post", "delete"])]
    key = Key(label="keeper", private_access=True, permissions=everything)
    await store.create_account("keeper", KeyRecord(digest_of(KEY), "keeper", key))
    stream = Datastream(id=STREAM, unit=Unit(symbol="C", label="Celsius"))
    feed = await store.create_feed("keeper", Environment(title="Boiler room", datastreams=[stream]), now)
    store.watched = lambda feed_id: True
    value = Datastream(current_value="21.5", at=now.replace(microsecond=250000))
    written = await store.update_datastream(feed.feed_id, STREAM, value, now, _allow)

    live = LocalLive()
    cosm = CosmServer(store, Telling(store, live), Accounts(store, reactor), reactor)
    paws = PawsServer(cosm, live, reactor)
    site = HubSite(cosm, paws)
    factory = HttpServerFactory(site.respond, upgrade=site.upgrade, clock=reactor, refuse=site.refuse)

    def obey(words: list[str]) -> None:
        Deferred.fromCoroutine(_publish(reactor, int(words[1]), lambda: live.publish(evolve(written))))

    port = reactor.listenTCP(0, factory, backlog=1024, interface="127.0.0.1")
    await _until_ended(port, obey, {"feed": feed.feed_id})
    await factory.drain(0.1)


async def _until_ended(port: Any, obey: Callable[[list[str]], object], more: dict[str, object]) -> None:
    """Say where the server is, and obey until the parent is done."""
    ended: Deferred[None] = Deferred()
    StandardIO(Commands(obey, ended))
    say({"port": port.getHost().port, **more})
    await ended
    await port.stopListening()


class _Bare(Resource):
    """The least that a twisted.web application is."""

    isLeaf = True

    def render_PUT(self, request: Any) -> bytes:
        """Read the document, answer with nothing."""
        msgspec.json.decode(request.content.read())
        return b""

    def render_GET(self, request: Any) -> bytes:
        """Answer with a document."""
        request.setHeader(b"content-type", b"application/json")
        return ANSWER


async def _twisted_web(reactor: Any) -> None:
    resource: Any = _Bare  # what it inherits has no annotations
    site = Site(resource())
    site.noisy = False
    port = reactor.listenTCP(0, site, backlog=1024, interface="127.0.0.1")
    await _until_ended(port, lambda words: None, {})


class _Answers(Protocol):
    """Answers every PUT at once; what a client is measured against."""

    def connectionMade(self) -> None:
        """A client came."""
        self._data = b""

    def dataReceived(self, data: bytes) -> None:
        """Answer each request whose body is there."""
        self._data += data
        while True:
            head, ended, rest = self._data.partition(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            if not ended or len(rest) < length:
                return
            self._data = rest[length:]
            assert self.transport is not None
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


async def _answers(reactor: Any) -> None:
    port = reactor.listenTCP(0, Factory.forProtocol(_Answers), backlog=1024, interface="127.0.0.1")
    await _until_ended(port, lambda words: None, {})


async def _autobahn(reactor: Any) -> None:
    """The usual broadcast: a loop over ``sendMessage``."""
    clients: set[Any] = set()  # what they inherit has no annotations
    payload = b"x" * int(sys.argv[2])

    class Subscriber(WebSocketServerProtocol):
        def onOpen(self) -> None:
            clients.add(self)

        def onClose(self, was_clean: bool, code: int | None, reason: str | None) -> None:
            clients.discard(self)

    def publish() -> None:
        for client in clients:
            client.sendMessage(payload, isBinary=False)

    def obey(words: list[str]) -> None:
        Deferred.fromCoroutine(_publish(reactor, int(words[1]), publish))

    make: Any = WebSocketServerFactory
    factory = make()
    factory.protocol = Subscriber
    port = reactor.listenTCP(0, factory, backlog=1024, interface="127.0.0.1")
    await _until_ended(port, obey, {})


def _aiohttp() -> None:
    """The same bare application as `_Bare`, in aiohttp."""
    asyncio, web = import_module("asyncio"), import_module("aiohttp.web")

    async def put(request: Any) -> Any:
        msgspec.json.decode(await request.read())
        return web.Response()

    async def get(request: Any) -> Any:
        return web.Response(body=ANSWER, content_type="application/json")

    async def serve() -> None:
        application = web.Application()
        application.router.add_put("/{path:.*}", put)
        application.router.add_get("/{path:.*}", get)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        say({"port": runner.addresses[0][1]})
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        await runner.cleanup()

    asyncio.run(serve())


_TWISTED: dict[str, Callable[[Any], Coroutine[Deferred[Any], Any, None]]] = {
    "answers": _answers,
    "autobahn": _autobahn,
    "hub": _hub,
    "twisted.web": _twisted_web,
}


def main() -> None:
    """Serve until standard input ends."""
    allow_many_files()
    name = sys.argv[1]
    if name == "aiohttp":
        _aiohttp()
    else:
        react(lambda reactor: Deferred.fromCoroutine(_TWISTED[name](reactor)))


if __name__ == "__main__":
    main()
