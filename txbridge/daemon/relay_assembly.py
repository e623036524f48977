"""Makes the parts of a relay's routes from their configuration: the only place that knows their names.

Which losses a route has follows from what its ends say they can do, so it is known before anything is
connected; `plan_losses` needs no network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from random import random
from typing import Any

from attrs import define, evolve, frozen
from twisted.internet.defer import Deferred, DeferredList, fail, succeed

from txbridge.cosm.adapter import SINK_CAPABILITIES as COSM_TAKES
from txbridge.cosm.adapter import SOURCE_CAPABILITIES as COSM_GIVES
from txbridge.cosm.adapter import CosmSink, CosmSource
from txbridge.cosm.client import Client
from txbridge.cosm.paws import PAWSClient
from txbridge.daemon.config import ClientConfig
from txbridge.daemon.line_source import CAPABILITIES as LINES_GIVES
from txbridge.daemon.line_source import NUMBERS as NUMBERS_GIVES
from txbridge.daemon.line_source import LineSource
from txbridge.daemon.relay_config import (
    NOW,
    CosmFrom,
    CosmTo,
    DestinationConfig,
    End,
    From,
    HostFrom,
    IobeamFrom,
    IobeamTo,
    JouleFrom,
    JouleTo,
    LinesFrom,
    RouteConfig,
    To,
)
from txbridge.daemon.relay_state import LEDGER_FILE
from txbridge.daemon.relay_tokens import keep_token, kept_token
from txbridge.daemon.tables import Secret
from txbridge.errors import ConfigError, PlanRefused
from txbridge.host import HostSource
from txbridge.host.adapter import CAPABILITIES as HOST_GIVES
from txbridge.iobeam.adapter import NUMBERS as IOBEAM_NUMBERS
from txbridge.iobeam.adapter import SINK_CAPABILITIES as IOBEAM_TAKES
from txbridge.iobeam.adapter import SOURCE_CAPABILITIES as IOBEAM_GIVES
from txbridge.iobeam.adapter import IobeamSink, IobeamSource
from txbridge.iobeam.client import Client as IobeamClient
from txbridge.iobeam.errors import BadArgument
from txbridge.joule.adapter import SINK_CAPABILITIES as JOULE_TAKES
from txbridge.joule.adapter import SOURCE_CAPABILITIES as JOULE_GIVES
from txbridge.joule.adapter import JouleSink, JouleSource, Order
from txbridge.joule.client import Node
from txbridge.joule.nodes import create_tcp_node, get_node
from txbridge.model.instants import from_microseconds
from txbridge.model.samples import Batch, ValueType
from txbridge.net.deferred import deferred
from txbridge.relay.clock import ClockPolicy, ClockRule
from txbridge.relay.dead_letters import DeadLetterBox
from txbridge.relay.disk_outbox import DiskOutbox
from txbridge.relay.files import RealFiles
from txbridge.relay.ledger import SqliteLedger
from txbridge.relay.outbox import MemoryOutbox
from txbridge.relay.pace import Pace
from txbridge.relay.plan import Plan, RoutePolicy, plan_route
from txbridge.relay.requeue import Requeue
from txbridge.relay.roles import (
    Capabilities,
    Durability,
    Ledger,
    Outbox,
    Receipt,
    Selection,
    Sink,
    Source,
)
from txbridge.relay.route import Destination, RelayService
from txbridge.relay.sender import SendLimits, SendOrder
from txbridge.relay.worker import Worker

__all__ = [
    "OUTBOX_DIRECTORY",
    "BuiltRoute",
    "PlannedWay",
    "client_of_end",
    "make_outbox",
    "make_route",
    "open_ledger",
    "plan_ways",
    "routes_problems",
]

OUTBOX_DIRECTORY = "outbox"
MANY = 1 << 62  # points: no limit but that of bytes


@frozen
class PlannedWay:
    """What happens to the data on the way to one destination.

    Attributes:
        destination: Its name.
        plan: The conversions.
        refused: The losses that nothing accepts.
        unfit: What was asked for that the ends cannot do.
        needless: What is accepted and does not happen.
    """

    destination: str
    plan: Plan
    refused: tuple[str, ...]
    unfit: tuple[str, ...]
    needless: tuple[str, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """Why the route cannot be run, a sentence each."""
        losses = [f'it would lose "{loss}"; accept = ["{loss}"] says that it may' for loss in self.refused]
        return (*losses, *self.unfit)


def plan_ways(route: RouteConfig) -> tuple[PlannedWay, ...]:
    """What happens to the data of a route, destination by destination."""
    gives = _gives(route.source)
    for step in route.steps:
        gives = step.gives(gives)
    ways: list[PlannedWay] = []
    for one in route.destinations:
        takes = _takes(one.end)
        refused: tuple[str, ...] = ()
        try:
            plan = plan_route(gives, takes, RoutePolicy(one.accept))
        except PlanRefused as error:
            refused = tuple(error.losses)
            plan = plan_route(gives, takes, RoutePolicy(one.accept | set(refused)))
        needless = tuple(sorted(one.accept - set(plan.losses)))
        ways.append(PlannedWay(one.name, plan, refused, tuple(_unfit(one, gives, takes)), needless))
    return tuple(ways)


def _unfit(one: DestinationConfig, gives: Capabilities, takes: Capabilities) -> Iterable[str]:
    if one.order == SendOrder.LIVE_FIRST.value and not takes.any_order:
        yield 'order = "live_first" is for a destination that takes rows in any order; this one does not'
    if one.clock_policy == ClockPolicy.CORRECT.value and not gives.local_clock:
        yield (
            'clock_policy = "correct" is for a source whose instants come from the clock of this machine, '
            "which this one's do not"
        )


def routes_problems(routes: Mapping[str, RouteConfig]) -> list[str]:
    """The losses that no route accepts, with what to write to accept them, and what no end can do."""
    problems: list[str] = []
    for route in routes.values():
        for way in plan_ways(route):
            where = f"routes.{route.name}.to.{way.destination}"
            problems += [f"{where}: {words}" for words in way.problems]
    return problems


@define(eq=False)
class BuiltRoute:
    """A route and what belongs to it; it is started and stopped once.

    Attributes:
        service: The route.
        requeue: Gives dead letters back to its outbox.
        close: Lets go of what it was made of; the service has closed the outbox by then.
    """

    service: RelayService
    requeue: Requeue
    close: Callable[[], Deferred[Any]]

    def start(self) -> None:
        """Begin."""
        self.service.startService()
        self.requeue.start()

    @deferred
    async def stop(self) -> None:
        """Flush what can be flushed, then let go of everything."""
        await self.requeue.stop()
        await self.service.stopService()
        await self.close()


@deferred
async def make_route(
    reactor: Any,
    route: RouteConfig,
    *,
    directory: Path,
    secrets: Mapping[Secret, str],
    ledger: Ledger,
    worker: Worker,
    pace_of: Callable[[DestinationConfig], Pace],
    stop_deadline: float,
) -> BuiltRoute:
    """Make a route.

    Args:
        reactor: Where it runs.
        route: What was configured.
        directory: Of the route.
        secrets: What its secrets are.
        ledger: Told of each loss.
        worker: Does what waits for the disk of the dead letters.
        pace_of: The pace of a destination's account.
        stop_deadline: Seconds that stopping it may take.

    Raises:
        ConfigError: An end cannot be made of what was configured.
        OutboxError: The outbox cannot be opened.
    """
    closings: list[Callable[[], Deferred[Any]]] = []

    def close() -> Deferred[Any]:
        return DeferredList([one() for one in closings], consumeErrors=True)

    built: BuiltRoute | None = None
    try:
        source = _source(reactor, route.source, secrets, directory, closings)
        destinations = [
            _destination(reactor, one, secrets, pace_of(one), directory, closings)
            for one in route.destinations
        ]
        files = RealFiles()
        dead_letters = DeadLetterBox(directory, files, worker, ledger=ledger)
        outbox = await make_outbox(reactor, route, directory, ledger)
        closings.append(outbox.close)
        requeue = Requeue(directory, outbox, files, worker, clock=reactor, random=random)
        service = RelayService(
            route.name,
            source,
            destinations,
            outbox,
            clock=reactor,
            random=random,
            selection=Selection(route.streams),
            steps=route.steps,
            ledger=ledger,
            dead_letters=dead_letters,
            stop_deadline=stop_deadline,
        )
        built = BuiltRoute(service, requeue, close)
    finally:
        if built is None:
            await close()
    return built


@deferred
async def make_outbox(reactor: Any, route: RouteConfig, directory: Path, ledger: Ledger) -> Outbox:
    """Open the outbox of a route.

    Raises:
        OutboxError: It cannot be opened.
    """
    names = [one.name for one in route.destinations]
    box = route.outbox
    if box.durability is Durability.NONE:
        return MemoryOutbox(
            names,
            reactor,
            max_points=box.max_points or MANY,
            max_bytes=box.max_bytes,
            max_age=box.max_age,
            on_full=box.on_full,
            ledger=ledger,
        )
    return await DiskOutbox.open(
        directory / OUTBOX_DIRECTORY,
        names,
        reactor,
        max_points=box.max_points,
        max_bytes=box.max_bytes,
        max_age=box.max_age,
        on_full=box.on_full,
        durability=box.durability,
        ledger=ledger,
    )


@deferred
async def open_ledger(reactor: Any, directory: Path) -> SqliteLedger:
    """Open the ledger of a relay.

    Raises:
        OutboxError: It cannot be opened.
    """
    return await SqliteLedger.open(directory / LEDGER_FILE, reactor)


def client_of_end(
    reactor: Any, end: End, secrets: Mapping[Secret, str], directory: Path
) -> Client | Node | IobeamClient | None:
    """A client that can ask an end how it is; None for one that is on this machine.

    Args:
        reactor: Where it runs.
        end: What was configured.
        secrets: What its secrets are.
        directory: Of the route.

    Raises:
        ConfigError: There is no such node, or its address is not one that can be asked.
    """
    if isinstance(end, CosmTo | CosmFrom):
        return Client(secrets[end.key], url=end.url, reactor=reactor)
    if isinstance(end, JouleTo | JouleFrom):
        return _node(reactor, end, secrets)
    if isinstance(end, IobeamTo | IobeamFrom):
        return _iobeam(reactor, end, secrets, directory)
    return None


def _takes(end: To) -> Capabilities:
    if isinstance(end, CosmTo):
        return COSM_TAKES
    return IOBEAM_TAKES if isinstance(end, IobeamTo) else JOULE_TAKES


def _gives(source: From) -> Capabilities:
    if isinstance(source, HostFrom):
        return HOST_GIVES
    if isinstance(source, LinesFrom):
        return NUMBERS_GIVES if source.numbers else LINES_GIVES
    if isinstance(source, CosmFrom):
        return evolve(COSM_GIVES, value_types=frozenset({ValueType.FLOAT})) if source.numbers else COSM_GIVES
    if isinstance(source, IobeamFrom):
        return IOBEAM_NUMBERS if source.numbers else IOBEAM_GIVES
    return evolve(JOULE_GIVES, notes=source.notes)


def _source(
    reactor: Any,
    source: From,
    secrets: Mapping[Secret, str],
    directory: Path,
    closings: list[Callable[[], Deferred[Any]]],
) -> Source:
    if isinstance(source, HostFrom):
        return HostSource(source.every, reactor=reactor, disk=source.disk)
    if isinstance(source, LinesFrom):
        return LineSource(reactor, source.listen, numbers=source.numbers)
    since = source.since if isinstance(source.since, int) else None if source.since == NOW else 0
    if isinstance(source, CosmFrom):
        address = ClientConfig(source.url, secrets[source.key])
        socket = PAWSClient(address.api_key, url=address.socket_url, reactor=reactor)
        closings.append(socket.disconnect)
        begin = None if since is None else from_microseconds(since)
        return CosmSource(
            socket,
            feed_id=source.feed,
            since=begin,
            numbers=source.numbers,
            late=timedelta(seconds=source.late),
        )
    if isinstance(source, IobeamFrom):
        device = _iobeam(reactor, source, secrets, directory)
        closings.append(device.close)
        return IobeamSource(
            device,
            since=since,
            every=source.every,
            late=source.late,
            numbers=source.numbers,
            reactor=reactor,
        )
    node = _node(reactor, source, secrets)
    closings.append(node.close)
    unnamed = [path for path, name in source.streams if name is None]
    return JouleSource(
        node,
        unnamed or {path: str(name) for path, name in source.streams},
        since=since,
        order=Order(source.order),
        raw=source.raw,
        notes=source.notes,
        reactor=reactor,
    )


class _Keyless:
    """A sink whose key is not there: it takes nothing and says why."""

    skew = None

    def __init__(self, reason: str, capabilities: Capabilities) -> None:
        self.capabilities = capabilities
        self._reason = reason

    def deliver(self, batch: Batch) -> Deferred[Receipt]:
        """Refuse, until the route is made again with the key."""
        return fail(ConfigError([self._reason]))

    def close(self) -> Deferred[None]:
        """Nothing is open."""
        return succeed(None)


def _destination(
    reactor: Any,
    config: DestinationConfig,
    secrets: Mapping[Secret, str],
    pace: Pace,
    directory: Path,
    closings: list[Callable[[], Deferred[Any]]],
) -> Destination:
    sink: Sink
    end = config.end
    if end.key is not None and end.key not in secrets:
        reason = f"its key is not there: the {end.key.kind} {end.key.name!r} gives none"
        sink = _Keyless(reason, _takes(end))
    elif isinstance(end, CosmTo):
        client = Client(secrets[end.key], url=end.url, reactor=reactor)
        closings.append(client.close)
        sink = CosmSink(client, feed_id=end.feed)
    elif isinstance(end, IobeamTo):
        device = _iobeam(reactor, end, secrets, directory)
        closings.append(device.close)
        sink = IobeamSink(device)
    else:
        node = _node(reactor, end, secrets)
        closings.append(node.close)
        keep = -1 if end.keep is None else int(end.keep * 1_000_000)
        sink = JouleSink(node, end.folder, keep_us=keep, decimate=end.decimate)
    return Destination(
        name=config.name,
        sink=sink,
        policy=RoutePolicy(config.accept),
        limits=SendLimits(
            points=config.batch_points,
            nbytes=config.batch_bytes,
            delay=config.delay,
            deadline=config.deadline,
            order=SendOrder(config.order),
        ),
        pace=pace,
        clock_rule=ClockRule(policy=ClockPolicy(config.clock_policy)),
    )


def _iobeam(
    reactor: Any, end: IobeamFrom | IobeamTo, secrets: Mapping[Secret, str], directory: Path
) -> IobeamClient:
    told = secrets[end.key]
    try:
        return IobeamClient(
            end.project,
            kept_token(directory, told),
            backend=end.url,
            device_id=end.device,
            on_new_token=partial(keep_token, directory, told),
            reactor=reactor,
        )
    except BadArgument as error:
        raise ConfigError([f"the {end.key.kind} {end.key.name!r}: {error.reason}"]) from None


def _node(reactor: Any, end: JouleFrom | JouleTo, secrets: Mapping[Secret, str]) -> Node:
    if end.url is not None:
        assert end.key is not None
        return create_tcp_node(end.url, secrets[end.key], reactor=reactor)
    return get_node(end.node or "", reactor=reactor)
