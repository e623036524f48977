"""Puts the parts together: the only place that knows every name.

Everything else gets what it needs as arguments.  What is chosen here, once, is which storage, which
rules and which wires a hub has, and how a client command reaches one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from random import random
from typing import Any

from twisted.internet.defer import Deferred, DeferredList

from txbridge.cosm.adapter import CosmSink
from txbridge.cosm.client import Client
from txbridge.cosm.paws import PAWSClient
from txbridge.cosm.paws_server import PawsOptions, PawsServer
from txbridge.cosm.server import CosmServer
from txbridge.daemon.config import ClientConfig, HubConfig, NodeConfig
from txbridge.daemon.service import Door, HubService, Parts
from txbridge.errors import ConfigError, StoreError
from txbridge.host import HostSource
from txbridge.hub.auth import Accounts, OwnerSetUp, set_up_owner
from txbridge.hub.live import LocalLive
from txbridge.hub.site import HubSite
from txbridge.hub.sqlite import SqliteStore
from txbridge.joule.client import Node
from txbridge.joule.nodes import create_tcp_node, get_node
from txbridge.net.deferred import deferred
from txbridge.net.http_server import HttpServerFactory
from txbridge.relay.outbox import MemoryOutbox
from txbridge.relay.plan import RoutePolicy
from txbridge.relay.roles import Source
from txbridge.relay.route import Destination, RelayService

__all__ = ["client_of", "host_source", "hub_service", "node_of", "relay_to_hub", "socket_of"]

STORE_FILE = "hub.sqlite"
HUB = "hub"

ACCEPTED = frozenset(("time ns -> us", "breaks dropped"))
"""What the way of a sensor's values to a hub may lose."""


def hub_service(reactor: Any, config: HubConfig, *, give_up: Callable[[], None] | None = None) -> HubService:
    """A hub that is not started yet.

    Args:
        reactor: Where it runs.
        config: How.
        give_up: See `HubService`.
    """
    return HubService(
        reactor,
        (*config.listen, *config.paws_tcp),
        lambda: _build_hub(reactor, config),
        drain_seconds=config.drain_seconds,
        give_up=give_up,
    )


def client_of(reactor: Any, config: ClientConfig) -> Client:
    """A REST client for a command.

    Raises:
        ConfigError: The address is not one that can be asked.
    """
    return Client(config.api_key, url=config.url, reactor=reactor)


def node_of(reactor: Any, config: NodeConfig) -> Node:
    """A client of a Joule node for a command.

    Raises:
        ConfigError: There is no such node, or its address is not one that can be asked.
    """
    if config.url is not None:
        return create_tcp_node(config.url, config.api_key or "", reactor=reactor)
    return get_node(config.name, reactor=reactor)


def socket_of(reactor: Any, config: ClientConfig) -> PAWSClient:
    """A subscription client for a command.

    Raises:
        ConfigError: The address is not one that can be asked.
    """
    return PAWSClient(config.api_key, url=config.socket_url, reactor=reactor)


def host_source(reactor: Any, interval: float) -> HostSource:
    """This machine as a source.

    Raises:
        ConfigError: What is needed to read it is not installed.
    """
    return HostSource(interval, reactor=reactor)


def relay_to_hub(reactor: Any, source: Source, client: Client, feed_id: int) -> RelayService:
    """A relay from a source to one feed of a hub.

    Args:
        reactor: Where it runs.
        source: Where the data comes from.
        client: Writes to the hub; it stays the caller's to close.
        feed_id: The feed.
    """
    return RelayService(
        "demo",
        source,
        [Destination(name=HUB, sink=CosmSink(client, feed_id=feed_id), policy=RoutePolicy(ACCEPTED))],
        MemoryOutbox([HUB], clock=reactor),
        clock=reactor,
        random=random,
    )


@deferred
async def _build_hub(reactor: Any, config: HubConfig) -> Parts:
    directory = Path(config.data)
    _make(directory)
    store = await SqliteStore.open(directory / STORE_FILE, reactor)
    try:
        owner = await set_up_owner(store, directory, config.api_key)
    except (ConfigError, StoreError):
        await store.close()
        raise
    live = LocalLive()
    cosm = CosmServer(store, live, Accounts(store, reactor), reactor)
    paws = PawsServer(cosm, live, reactor, PawsOptions(http_port=_http_port(config.listen)))
    site = HubSite(cosm, paws)
    http = HttpServerFactory(site.respond, upgrade=site.upgrade, clock=reactor, refuse=site.refuse)

    def drain(seconds: float) -> Deferred[Any]:
        return DeferredList([http.drain(seconds), paws.close()], consumeErrors=True)

    doors = [
        *(Door(text, http, "http", "https") for text in config.listen),
        *(Door(text, paws.factory, "paws tcp", "paws tls") for text in config.paws_tcp),
    ]
    return Parts(doors, drain, store.close, _notes(owner))


def _http_port(endpoints: Sequence[str]) -> int:
    """The first fixed port for plain HTTP, for the addresses that TCP clients are told; else HTTP's own."""
    for text in endpoints:
        kind, _, rest = text.partition(":")
        port = rest.partition(":")[0].removeprefix("port=")
        if kind in ("tcp", "tcp4", "tcp6") and port.isdecimal() and int(port):
            return int(port)
    return 80


def _make(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError([f"cannot keep data in {directory}: {error.strerror}"]) from error


def _notes(owner: OwnerSetUp) -> tuple[str, ...]:
    if owner.created and owner.key_file is not None:
        return (f"made the account {owner.login!r}; its key is in {owner.key_file}",)
    if owner.created:
        return (f"made the account {owner.login!r} with the given key",)
    if owner.replaced:
        return (f"the account {owner.login!r} has a new key now: the given one",)
    return ()
