"""Puts the parts together: the only place that knows every name.

Everything else gets what it needs as arguments.  What is chosen here, once, is which storage, which
rules and which wires a hub has, and how a client command reaches one.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from random import random
from typing import Any
from urllib.parse import urlsplit

from attrs import evolve
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.threads import deferToThreadPool

from txbridge.cosm.adapter import SINK_CAPABILITIES as COSM_TAKES
from txbridge.cosm.adapter import CosmHistorySource, CosmSink
from txbridge.cosm.client import Client
from txbridge.cosm.notifications import notification_body
from txbridge.cosm.paws import PAWSClient
from txbridge.cosm.paws_server import PawsOptions, PawsServer
from txbridge.cosm.server import CosmOptions, CosmServer
from txbridge.daemon.config import ClientConfig, CopyEnd, HubConfig, IobeamConfig, JouleEnd, NodeConfig
from txbridge.daemon.hub_report import HubReport
from txbridge.daemon.relay_window import RelayWindow
from txbridge.daemon.service import Door, HubService, Parts
from txbridge.errors import ConfigError
from txbridge.host import HostSource
from txbridge.hub.auth import Accounts, OwnerSetUp, set_up_owner
from txbridge.hub.grafana import Grafana
from txbridge.hub.graphs import Graphs
from txbridge.hub.live import LocalLive
from txbridge.hub.metrics import Monitor
from txbridge.hub.passwords import Passwords
from txbridge.hub.site import HubSite
from txbridge.hub.sqlite import SqliteStore
from txbridge.hub.sqlite_products import SqliteProducts
from txbridge.hub.sqlite_projects import SqliteProjects
from txbridge.hub.store import Notice
from txbridge.hub.telling import Telling
from txbridge.hub.triggers import TriggerService
from txbridge.iobeam import Client as IobeamClient
from txbridge.iobeam.server import IobeamOptions, IobeamServer
from txbridge.joule.adapter import SINK_CAPABILITIES as JOULE_TAKES
from txbridge.joule.adapter import JouleSink, JouleSource
from txbridge.joule.client import Node
from txbridge.joule.nodes import create_tcp_node, get_node
from txbridge.model.instants import from_microseconds
from txbridge.model.samples import Cursor
from txbridge.net.deferred import deferred
from txbridge.net.http import HttpCarrier
from txbridge.net.http_server import MAX_CONNECTIONS, HttpServerFactory
from txbridge.net.webhook import WebhookCarrier
from txbridge.relay.outbox import MemoryOutbox
from txbridge.relay.plan import RoutePolicy
from txbridge.relay.roles import Capabilities, Ledger, Sink, Source
from txbridge.relay.route import Destination, RelayService
from txbridge.relay.steps import Step

__all__ = [
    "client_of",
    "copy_route",
    "copy_sink",
    "copy_takes",
    "cosm_history",
    "host_source",
    "hub_service",
    "iobeam_account_of",
    "iobeam_of",
    "joule_history",
    "make_data_dir",
    "node_of",
    "relay_to_hub",
    "socket_of",
]

STORE_FILE = "hub.sqlite"
HUB = "hub"
# Of the process's limit: about 20 for the storage, the doors and what Python opens, and 50 for each of four
# doors: so many may be let in at once, before those have gone whose places they take.
KEPT_FILES = 256

COPY = "copy"
COPY_POINTS = 100_000  # in memory at most, between the two ends of a copy
COPY_STOP_SECONDS = 5.0  # what was not delivered until then is delivered by the next run

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


def iobeam_account_of(reactor: Any, config: ClientConfig) -> HttpCarrier:
    """What carries operations on the iobeam projects of a hub's account, for a command.

    Raises:
        ConfigError: The address is not one that can be asked.
    """
    key = () if config.api_key is None else (("authorization", f"Bearer {config.api_key}"),)
    return HttpCarrier(config.iobeam_url, headers=key, reactor=reactor)


def iobeam_of(
    reactor: Any, config: IobeamConfig, on_new_token: Callable[[str], object] | None = None
) -> IobeamClient:
    """A client of a project of iobeam for a command.

    Args:
        reactor: Where it runs.
        config: Which project.
        on_new_token: Called with each token that comes in the place of another.

    Raises:
        ConfigError: The address is not one that can be asked.
    """
    return IobeamClient(
        config.project, config.token, backend=config.url, on_new_token=on_new_token, reactor=reactor
    )


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


def joule_history(
    reactor: Any, node: Node, streams: Mapping[str, str], since: int, until: int, *, raw: bool
) -> JouleSource:
    """A range of streams of a Joule node as a source.

    Args:
        reactor: Where it runs.
        node: Asked; it stays the caller's to close.
        streams: Path -> name.
        since: The first timestamp.
        until: The first one that is not wanted.
        raw: Whether numbers are wanted as they are stored.
    """
    return JouleSource(node, streams, since=since, until=until, raw=raw, reactor=reactor)


def cosm_history(client: Client, feed_id: int, since: int, until: int, *, numbers: bool) -> CosmHistorySource:
    """A range of a feed as a source.

    Args:
        client: Asks the hub; it stays the caller's to close.
        feed_id: The feed.
        since: The first timestamp, in microseconds.
        until: The first one that is not wanted.
        numbers: Whether values are wanted as numbers.
    """
    start, end = from_microseconds(since), from_microseconds(until - 1)
    return CosmHistorySource(client, feed_id=feed_id, start=start, end=end, numbers=numbers)


def copy_takes(end: CopyEnd) -> Capabilities:
    """What a destination of a copy takes."""
    return JOULE_TAKES if isinstance(end, JouleEnd) else COSM_TAKES


def copy_sink(end: CopyEnd, client: Node | Client, feed_id: int) -> Sink:
    """The destination of a copy.

    Args:
        end: What was said of it.
        client: Writes to it; it stays the caller's to close.
        feed_id: The feed, if it is one.
    """
    if isinstance(client, Node):
        assert isinstance(end, JouleEnd)
        return JouleSink(client, end.path)
    return CosmSink(client, feed_id=feed_id)


def copy_route(
    reactor: Any, source: Source, sink: Sink, *, steps: Sequence[Step], cursor: Cursor | None, ledger: Ledger
) -> tuple[RelayService, MemoryOutbox]:
    """A route from a source that ends to one sink, and its outbox.

    Args:
        reactor: Where it runs.
        source: Where from.
        sink: Where to.
        steps: What is done on the way; they leave nothing that the sink does not take.
        cursor: Where an earlier run had come to.
        ledger: Told of each loss.
    """
    outbox = MemoryOutbox([COPY], reactor, max_points=COPY_POINTS, cursor=cursor)
    route = RelayService(
        COPY,
        source,
        [Destination(name=COPY, sink=sink)],
        outbox,
        clock=reactor,
        random=random,
        steps=steps,
        ledger=ledger,
        stop_deadline=COPY_STOP_SECONDS,
    )
    return route, outbox


@deferred
async def _build_hub(reactor: Any, config: HubConfig) -> Parts:
    draws = find_spec("matplotlib") is not None
    if config.public_graphs and not draws:
        raise ConfigError(["--public-graphs needs the package matplotlib: pip install 'txbridge[graphs]'"])
    directory = Path(config.data)
    make_data_dir(directory)
    store = await SqliteStore.open(directory / STORE_FILE, reactor)
    owner: OwnerSetUp | None = None
    try:
        owner = await set_up_owner(store, directory, config.api_key)
    finally:
        if owner is None:
            await store.close()
    store.max_feeds = config.max_feeds
    live = LocalLive()
    telling = Telling(store, live)

    def in_thread(work: Callable[[], Any]) -> Deferred[Any]:
        return deferToThreadPool(reactor, reactor.getThreadPool(), work)

    passwords = Passwords(in_thread)
    accounts = Accounts(store, reactor, passwords)
    cosm = CosmServer(
        store,
        telling,
        accounts,
        reactor,
        options=CosmOptions(
            public_url=config.public_url,
            requests_per_minute=config.requests_per_minute,
            public_graphs=config.public_graphs,
        ),
        passwords=passwords,
        graphs=Graphs(in_thread) if draws else None,
        products=SqliteProducts(store),
    )
    triggers = _Triggers(reactor, store, config)
    telling.fired = triggers.service.wake
    room = min(MAX_CONNECTIONS, _room_for_connections())
    paws = PawsServer(cosm, live, reactor, PawsOptions(max_connections=room))
    window = None if config.relay is None else RelayWindow(reactor, config.relay, accounts, in_thread).respond
    iobeam = IobeamServer(
        store,
        SqliteProjects(store),
        telling,
        accounts,
        reactor,
        options=IobeamOptions(requests_per_minute=config.requests_per_minute),
    )
    report = HubReport(directory / STORE_FILE, store, telling, triggers.service, paws)
    monitor = Monitor(reactor, accounts, report.ask, report.families)
    site = HubSite(cosm, paws, Grafana(store, accounts, reactor, cosm.limiter), window, iobeam, monitor)
    http = HttpServerFactory(
        site.respond, upgrade=site.upgrade, clock=reactor, max_connections=room, refuse=site.refuse
    )
    report.http = http

    def drain(seconds: float) -> Deferred[Any]:
        monitor.is_leaving = True
        return DeferredList([http.drain(seconds), paws.close()], consumeErrors=True)

    def opened(addresses: Sequence[str]) -> None:
        # Only now: the system may have picked the port, or systemd have opened it.
        paws.options = evolve(paws.options, http_port=_http_port(addresses))
        triggers.start(addresses)

    @deferred
    async def close() -> None:
        await triggers.service.stop()
        await store.close()

    doors = [
        *(Door(text, http, "http", "https") for text in config.listen),
        *(Door(text, paws.factory, "paws tcp", "paws tls") for text in config.paws_tcp),
    ]
    notes = list(_notes(owner))
    if room < MAX_CONNECTIONS:
        notes.append(f"takes {room} connections and {room} sockets at once: so few files may be open")
    return Parts(doors, drain, close, notes, opened)


class _Triggers:
    """What tells receivers that triggers have fired, and by which address they know the hub."""

    def __init__(self, reactor: Any, store: SqliteStore, config: HubConfig) -> None:
        self._base_url = config.public_url
        self._carrier = WebhookCarrier(reactor, allowed=config.webhooks)
        self.service = TriggerService(store, self._deliver, reactor)

    def start(self, addresses: Sequence[str]) -> None:
        if self._base_url is None:
            plain = (address for address in addresses if urlsplit(address).scheme in ("http", "https"))
            self._base_url = next(plain, "http://localhost")
        self.service.start()

    @deferred
    async def _deliver(self, notice: Notice) -> str:
        body = notification_body(notice, self._base_url or "")
        return f"answered {await self._carrier.post_form(notice.trigger.url or '', body)}"


def _room_for_connections() -> int:
    """How many connections of each kind may be open, so that files are left for all the rest.

    Beyond the process's limit a client gets no answer at all, and nothing can be opened any more.
    """
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(1, (limit - min(KEPT_FILES, max(64, limit // 2))) // 2)


def _http_port(addresses: Sequence[str]) -> int:
    """The first port for plain HTTP, as the addresses that TCP clients are told have it; else HTTP's own."""
    ports = (parts.port for parts in map(urlsplit, addresses) if parts.scheme == "http")
    return next((port for port in ports if port is not None), 80)


def make_data_dir(directory: Path) -> None:
    """Make the directory of a hub's data, for its owner alone, if there is none.

    Raises:
        ConfigError: It cannot be made.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError as error:
        raise ConfigError([f"cannot keep data in {directory}: it is no directory"]) from error
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
