"""A relay of the program in this process, between lines that a test sends and a hub."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from tests.support.program import PATIENCE, Hub, turn
from txbridge.daemon.relay_config import RelayConfig, read_relay_config
from txbridge.daemon.relay_daemon import RelayDaemon
from txbridge.net.reactor import resolve_reactor

__all__ = ["LineClient", "RelayHere", "until"]


class LineClient(Protocol):
    """Somebody who sends lines."""

    def __init__(self) -> None:
        self.text = ""
        self.closed: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.text += data.decode()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.closed.callback(None)

    @classmethod
    async def connected(cls, endpoint: str) -> LineClient:
        """A client of this endpoint."""
        factory: Any = Factory.forProtocol(cls)
        factory.noisy = False
        client: LineClient = await clientFromString(resolve_reactor(), endpoint).connect(factory)
        return client


async def until(true: Callable[[], Any]) -> Any:
    """Let the reactor work until something is so."""
    reactor = resolve_reactor()
    late = reactor.seconds() + PATIENCE
    while not (found := true()):
        assert reactor.seconds() < late, "it did not come about"
        await turn(reactor)
    return found


class RelayHere:
    """A relay in this process.

    Args:
        folder: Where its file, its state and its sockets are.
        environ: What it finds in its environment.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.environ = {"HOME": str(folder), **(environ or {})}
        self.reactor = resolve_reactor()
        self.daemon: RelayDaemon

    def config(self, text: str) -> RelayConfig:
        """A configuration, whose paths are in the folder."""
        return read_relay_config(
            f'state = "state"\n{text}', file=str(self.folder / "relay.toml"), environ=self.environ
        )

    @asynccontextmanager
    async def running(self, text: str) -> AsyncIterator[RelayHere]:
        """Run it while a block runs."""
        self.daemon = RelayDaemon(self.reactor, self.config(text), self.environ)
        await self.daemon.start()
        try:
            yield self
        finally:
            await self.daemon.stop()

    def route(self, hub: Hub, name: str = "boiler", feed: int = 1, more: str = "") -> str:
        """The text of a route from lines to a feed of a hub."""
        (self.folder / "hub.key").write_text(f"{hub.config.api_key}\n")
        (self.folder / "hub.key").chmod(0o600)
        return (
            f'[routes.{name}]\nfrom.lines.listen = "{self.endpoint(name)}"\n'
            f'to.hub.cosm = {{ url = "{hub.config.url}", feed = {feed}, key.file = "hub.key" }}\n{more}\n'
        )

    def endpoint(self, name: str = "boiler") -> str:
        """Where a route takes lines."""
        return f"unix:{self.folder}/{name}.lines"

    def report(self, name: str = "boiler") -> Any:
        """What it says of a route; None if it has none of this name."""
        return next((one for one in self.daemon.report().routes if one.name == name), None)

    def delivered(self, name: str = "boiler") -> int:
        """How many points the destinations of a route have taken since it was made."""
        status = self.report(name).status
        return 0 if status is None else sum(one.delivered for one in status.destinations)

    async def send(self, lines: str, name: str = "boiler") -> None:
        """Send lines to a route, and wait until they are in its outbox."""
        await until(lambda: (self.folder / f"{name}.lines").exists())
        client = await LineClient.connected(self.endpoint(name))
        client.transport.write(lines.encode())  # type: ignore[union-attr]
        count = lines.count("\n")
        await until(lambda: f"ok {count}\n" in client.text)
        client.transport.loseConnection()  # type: ignore[union-attr]
        await client.closed
