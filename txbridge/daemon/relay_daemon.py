"""The relay as one thing that runs: its routes, and what they share.

Each route is on its own.  One that cannot be made (a secret that is missing, a disk that cannot be read)
is tried again with a back-off that never ends, and stops no other.  A new configuration changes what it
changes: a route that is the same goes on untouched, with its outbox; one that is other is stopped and
made again, one that is gone is stopped, and its outbox stays on the disk.  A configuration that cannot be
run changes nothing.

A key that is refused is read again from where it is now and then.  So whoever replaces it need not tell
anybody.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import random
from time import time
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred, DeferredList, DeferredLock, maybeDeferred
from twisted.internet.endpoints import UNIXServerEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from txbridge._version import __version__
from txbridge.daemon.notify import WATCHDOG as WATCHDOG_MESSAGE
from txbridge.daemon.notify import notify, status, watchdog_seconds
from txbridge.daemon.process import read_process
from txbridge.daemon.relay_admin import AdminSite
from txbridge.daemon.relay_assembly import BuiltRoute, make_route, open_ledger
from txbridge.daemon.relay_config import AccountConfig, DestinationConfig, RelayConfig, RouteConfig
from txbridge.daemon.relay_files import present_secrets, read_secrets
from txbridge.daemon.relay_report import Lost, RelayReport, RouteReport
from txbridge.daemon.relay_state import StateDirectory
from txbridge.daemon.service import Door, address_of, read_endpoint
from txbridge.daemon.tables import Secret
from txbridge.errors import BridgeError, ConfigError, TimedOut
from txbridge.net.deadline import with_deadline
from txbridge.net.deferred import deferred
from txbridge.net.http_server import HttpServerFactory
from txbridge.relay.ledger import SqliteLedger
from txbridge.relay.link import Link
from txbridge.relay.loop import Loop
from txbridge.relay.pace import Pace, PaceLimits
from txbridge.relay.roles import Ledger, Loss, LossKind
from txbridge.relay.status import LinkState
from txbridge.relay.worker import Worker, WorkerThread

__all__ = ["RelayDaemon"]

TRY_SECONDS = 10.0  # that starting waits for the first attempts of the routes
QUIET = 600.0  # seconds without a loss of a kind, after which the next one is news
LASTS = 5  # looks in a row that find the source waiting
LOOK_EVERY = 1.0  # seconds between looks at what has changed
SECRETS_EVERY = 30.0  # seconds between looks at secrets that are refused
DRAIN_SECONDS = 1.0  # for answers to those who look after the relay


class _CountingLedger:
    """Passes losses on to a ledger, and counts those that it has."""

    def __init__(self, ledger: Ledger) -> None:
        self.counts: dict[tuple[str, LossKind], Lost] = {}
        self.ledger = ledger

    def record(self, losses: Sequence[Loss]) -> Deferred[None]:
        """Write losses down."""

        def count(_: None) -> None:
            for loss in losses:
                key = (loss.destination, loss.kind)
                known = self.counts.get(key, Lost())
                self.counts[key] = Lost(known.points + (loss.gap.points or 0), known.intervals + 1)

        return self.ledger.record(losses).addCallback(count)


@frozen
class _Wanted:
    """What a route is made of; another one means that it is made again."""

    route: RouteConfig
    accounts: tuple[tuple[str, AccountConfig], ...]


class _Route:
    """One route: made, made again when that fails, and stopped.

    Attributes:
        wanted: What it is made of.
        tried: Fires when it runs, or has failed once.
    """

    _log = Logger(namespace="txbridge.relay")

    def __init__(self, owner: RelayDaemon, wanted: _Wanted) -> None:
        self.wanted = wanted
        self.name = wanted.route.name
        self.secrets: Mapping[Secret, str] = {}
        self.losses: Mapping[tuple[str, LossKind], Lost] = {}
        self._owner = owner
        self._built: BuiltRoute | None = None
        self._began: set[str] = set()
        self._lost: dict[tuple[str, LossKind], tuple[int, float]] = {}  # how many, and when there were more
        self._blocked = 0
        self._waits = False
        self.tried: Deferred[None] = Deferred()
        clock = owner.reactor
        self._link = Link(f"route {self.name}", clock=clock, random=random)
        self._loop = Loop(f"the making of route {self.name}", self._make, clock=clock, random=random)

    def start(self) -> None:
        """Begin to try."""
        self._loop.start()

    @deferred
    async def stop(self) -> None:
        """Stop; fires when it has let go of everything, within the stop deadline."""
        await self._loop.stop()
        built, self._built = self._built, None
        if built is not None:
            await built.stop()

    def retry_now(self) -> None:
        """Try at once whatever waits."""
        self._loop.wake()
        if self._built is not None:
            self._built.service.retry_now()

    def report(self) -> RouteReport:
        """How it goes."""
        built = self._built
        now = None if built is None else built.service.status()
        return RouteReport(self.name, None if now is not None else self._link.last_error, now, self.losses)

    def look(self) -> None:
        """Say once what has begun: a destination takes something, data is lost, the source has to wait."""
        now = self.report().status
        if now is None:
            return
        for one in now.destinations:
            if one.delivered and one.name not in self._began:
                self._began.add(one.name)
                self._log.info(
                    "route {route}: {destination} takes the data", route=self.name, destination=one.name
                )
        self._look_at_losses()
        # Room comes and goes with each batch; what lasts is worth a line.
        self._blocked = min(LASTS, self._blocked + 1) if now.blocked else max(0, self._blocked - 1)
        if self._blocked in (0, LASTS) and self._waits is not (self._blocked == LASTS):
            self._waits = not self._waits
            said = "the outbox is full, and the source waits" if self._waits else "the source goes on"
            self._log.warn("route {route}: {said}", route=self.name, said=said)

    def _look_at_losses(self) -> None:
        now = self._owner.reactor.seconds()
        for key, lost in self.losses.items():
            destination, kind = key
            known, at = self._lost.get(key, (0, -QUIET))
            if lost.intervals == known or kind is LossKind.CONVERTED:  # that one is accepted by its name
                continue
            if now - at >= QUIET:
                self._log.warn(
                    "route {route}: data for {destination} is lost ({kind}); see 'txbridge relay ledger'",
                    route=self.name,
                    destination=destination or "every destination",
                    kind=kind.value,
                )
            self._lost[key] = (lost.intervals, now)

    def is_refused(self) -> bool:
        """Whether an end says no to what it was given, such as a key."""
        now = self.report().status
        if now is None:
            return False
        states = (now.source, *(one.state for one in now.destinations))
        return LinkState.NEEDS_ATTENTION in states

    async def _make(self) -> None:
        while not self._loop.stopping:
            try:
                self._built = await self._try()
            except BridgeError as error:
                delay = self._link.failed(error)
                self._has_tried()
                await self._loop.wait(delay)
            else:
                self._link.works()
                self._built.start()
                self._has_tried()
                return

    def _has_tried(self) -> None:
        if not self.tried.called:
            self.tried.callback(None)

    async def _try(self) -> BuiltRoute:
        owner = self._owner
        read_secrets(self.wanted.route.source_secrets, owner.environ)
        # A destination whose key is not there needs attention, and keeps nobody else waiting.
        self.secrets = present_secrets(self.wanted.route.secrets, owner.environ)
        ledger = _CountingLedger(await owner.ledger_of(self.name))
        built = await make_route(
            owner.reactor,
            self.wanted.route,
            directory=owner.directory_of(self.name),
            secrets=self.secrets,
            ledger=ledger,
            worker=owner.worker,
            pace_of=owner.pace_of,
            stop_deadline=owner.config.stop_deadline,
        )
        self.losses = ledger.counts
        return built


class RelayDaemon:
    """Runs a relay; it is started and stopped once.

    Args:
        reactor: Where it runs.
        config: What it is.
        environ: Where secrets may be, and how to tell the service manager.

    Attributes:
        config: What it is now.
        addresses: Where it listens for those who look after it.
        worker: Does what waits for the disk of the dead letters.
    """

    _log = Logger(namespace="txbridge.relay")

    def __init__(self, reactor: Any, config: RelayConfig, environ: Mapping[str, str]) -> None:
        self.reactor = reactor
        self.config = config
        self.environ = environ
        self.addresses: tuple[str, ...] = ()
        self.worker: Worker = WorkerThread(reactor, "letters")
        self._state: StateDirectory | None = None
        self._routes: dict[str, _Route] = {}
        self._ledger: SqliteLedger | None = None
        self._opening_ledger = DeferredLock()
        self._paces: dict[tuple[object, ...], Pace] = {}
        self._factory = HttpServerFactory(AdminSite(self.report).respond, clock=reactor, max_connections=50)
        self._control: IListeningPort | None = None
        self._admin: IListeningPort | None = None
        self._lock = DeferredLock()
        self._started_at = time()
        self._began = reactor.seconds()
        self._reload_problems: tuple[str, ...] = ()
        self._said = ""
        self._looked_at_secrets = 0.0
        self._calls: list[LoopingCall] = []

    @deferred
    async def start(self) -> None:
        """Start; fires when every route runs or has failed once, whether the ends are there or not.

        Raises:
            ConfigError: The state directory cannot be used, or the endpoint of ``admin`` cannot be
                listened at.
        """
        await self._lock.acquire()
        try:
            await self._start()
        finally:
            self._lock.release()

    async def _start(self) -> None:
        self._state = StateDirectory(self.config.state)
        started = False
        try:
            await self._open_control()
            await self._open_admin(self.config.admin.listen)
            for name in self.config.routes:
                self._begin(self._wanted(self.config, name))
            await self._all_tried()
            self._call(self._look, LOOK_EVERY)
            watchdog = watchdog_seconds(self.environ, os.getpid())
            if watchdog is not None:
                self._call(self._feed_watchdog, watchdog / 2)
            started = True
        finally:
            if not started:
                await self._stop()

    @deferred
    async def stop(self) -> None:
        """Stop: every route flushes what it can within its deadline, all at once."""
        await self._lock.acquire()
        try:
            await self._stop()
        finally:
            self._lock.release()

    async def _stop(self) -> None:
        try:
            for call in self._calls:
                call.stop()
            self._calls = []
            routes, self._routes = list(self._routes.values()), {}
            await DeferredList([route.stop() for route in routes], consumeErrors=True)
            ports = [port for port in (self._control, self._admin) if port is not None]
            self._control = self._admin = None
            await DeferredList([maybeDeferred(port.stopListening) for port in ports], consumeErrors=True)
            await self._factory.drain(DRAIN_SECONDS)
            ledger, self._ledger = self._ledger, None
            if ledger is not None:
                await ledger.close()
            await self.worker.close()
        finally:
            state, self._state = self._state, None
            if state is not None:
                state.release()

    @deferred
    async def reload(self, read: Callable[[], RelayConfig]) -> bool:
        """Become what a new configuration says; one that cannot be run changes nothing.

        Args:
            read: Gives the configuration, or raises a ConfigError.

        Returns:
            Whether it was taken.
        """
        await self._lock.acquire()
        try:
            if self._state is None:
                return False
            try:
                config = read()
                secrets = self._check_new(config)
                if config.admin.listen != self.config.admin.listen:
                    await self._open_admin(config.admin.listen)
            except ConfigError as error:
                self._reload_problems = error.problems
                for problem in error.problems:
                    self._log.error("the configuration was not taken: {problem}", problem=problem)
                return False
            self._reload_problems = ()
            await self._become(config, secrets)
            return True
        finally:
            self._lock.release()

    def report(self) -> RelayReport:
        """How it is."""
        return RelayReport(
            version=__version__,
            pid=os.getpid(),
            config=self.config.file,
            started_at=self._started_at,
            uptime=self.reactor.seconds() - self._began,
            reload_problems=self._reload_problems,
            away=self.config.admin.away,
            routes=tuple(self._routes[name].report() for name in self.config.routes if name in self._routes),
            process=read_process(),
        )

    # -- called by the routes

    def directory_of(self, route: str) -> Path:
        """The directory of a route."""
        assert self._state is not None
        return self._state.of_route(route)

    def pace_of(self, destination: DestinationConfig) -> Pace:
        """The pace of an account: the one that is named, or else whoever has the same key."""
        end = destination.end
        key: tuple[object, ...] = (end.url, getattr(end, "node", None), end.key)
        limits = PaceLimits()
        if destination.account is not None:
            rates = self.config.accounts[destination.account]
            key = (destination.account, rates)
            limits = PaceLimits(
                requests=None if rates.requests is None else rates.requests.per_second,
                points=None if rates.points is None else rates.points.per_second,
            )
        return self._paces.setdefault(key, Pace(limits, self.reactor))

    @deferred
    async def ledger_of(self, route: str) -> Ledger:
        """Where the losses of a route go; the ledger is opened for the first one that asks.

        Raises:
            OutboxError: It cannot be opened.
        """
        await self._opening_ledger.acquire()
        try:
            if self._ledger is None:
                assert self._state is not None
                self._ledger = await open_ledger(self.reactor, self._state.path)
            return self._ledger.route(route)
        finally:
            self._opening_ledger.release()

    # -- routes

    def _wanted(self, config: RelayConfig, name: str) -> _Wanted:
        route = config.routes[name]
        used = {one.account for one in route.destinations if one.account is not None}
        return _Wanted(route, tuple((account, config.accounts[account]) for account in sorted(used)))

    def _begin(self, wanted: _Wanted) -> None:
        route = self._routes[wanted.route.name] = _Route(self, wanted)
        route.start()

    async def _all_tried(self) -> None:
        waiting: Deferred[None] = Deferred()

        def done(_: object) -> None:
            if not waiting.called:
                waiting.callback(None)

        # Giving up the waiting is not giving up the attempts.
        DeferredList([route.tried for route in self._routes.values()]).addCallback(done)
        try:
            await with_deadline(self.reactor, waiting, TRY_SECONDS, operation="start")
        except TimedOut:  # a disk that does not answer is no reason for others to wait longer
            self._log.warn("some routes take long to begin")

    def _check_new(self, config: RelayConfig) -> Mapping[Secret, str]:
        """See that a configuration can be run in place of this one; gives its secrets."""
        problems: list[str] = []
        for key in ("state", "log"):
            if getattr(config, key) != getattr(self.config, key):
                problems.append(f"{config.file}: {key}: it is changed by a new start, not by a reload")
        secrets: Mapping[Secret, str] = {}
        try:
            secrets = read_secrets(
                [secret for route in config.routes.values() for secret in route.secrets], self.environ
            )
        except ConfigError as error:
            problems += error.problems
        if problems:
            raise ConfigError(problems)
        return secrets

    async def _become(self, config: RelayConfig, secrets: Mapping[Secret, str]) -> None:
        same: list[str] = []
        for name in config.routes:
            running = self._routes.get(name)
            if (
                running is not None
                and running.wanted == self._wanted(config, name)
                and all(running.secrets.get(one) == secrets[one] for one in running.wanted.route.secrets)
            ):
                same.append(name)
        gone = [route for name, route in self._routes.items() if name not in same]
        names = {name: "stopped" if name not in config.routes else "changed" for name in self._routes}
        await DeferredList([route.stop() for route in gone], consumeErrors=True)
        known, self._routes = self._routes, {}
        self.config = config
        for name in config.routes:
            if name in same:
                self._routes[name] = known[name]
                self._routes[name].retry_now()
                continue
            self._begin(self._wanted(config, name))
            self._log.info("route {route}: {what}", route=name, what=names.get(name, "new"))
        await self._all_tried()
        for name, what in names.items():
            if what == "stopped":
                self._log.info("route {route}: stopped; its outbox stays where it is", route=name)
        self._log.info("the configuration was taken; {same} routes are as they were", same=len(same))

    @deferred
    async def _again(self, name: str) -> None:
        """Make a route again whose secret is another one now."""
        await self._lock.acquire()
        try:
            route = self._routes.get(name)
            if route is not None:
                self._log.info("route {route}: it has another key now", route=name)
                await route.stop()
                self._begin(route.wanted)
        finally:
            self._lock.release()

    # -- those who look after it

    async def _open_control(self) -> None:
        assert self._state is not None
        endpoint = UNIXServerEndpoint(self.reactor, self._state.control_socket, mode=0o600)
        try:
            self._control = await self._listen(endpoint, "state")
        except ConfigError as error:  # a file system without sockets; everything else works there
            self._log.warn("'txbridge relay status' cannot ask: {error}", error=str(error))

    async def _open_admin(self, endpoint: str | None) -> None:
        port = (
            None
            if endpoint is None
            else await self._listen(read_endpoint(self.reactor, endpoint), f"admin.listen: {endpoint}")
        )
        before, self._admin = self._admin, port
        if before is not None:
            await maybeDeferred(before.stopListening)
        if port is not None:
            self.addresses = (address_of(port, Door(str(endpoint), self._factory, "http", "https")),)
            self._log.info("listening on {address}", address=self.addresses[0])

    async def _listen(self, endpoint: IStreamServerEndpoint, named: str) -> IListeningPort:
        try:
            return await endpoint.listen(self._factory)
        except CannotListenError as error:
            reason = getattr(error.socketError, "strerror", None) or str(error.socketError)
            raise ConfigError([f"{named}: cannot listen there: {reason}"]) from error
        except OSError as error:
            raise ConfigError([f"{named}: cannot listen there: {error.strerror or error}"]) from error

    def _call(self, what: Callable[[], object], every: float) -> None:
        call = LoopingCall(what)
        call.clock = self.reactor
        call.start(every, now=False).addErrback(
            lambda failure: self._log.failure("looking after the relay failed", failure)
        )
        self._calls.append(call)

    def _look(self) -> None:
        for route in self._routes.values():
            route.look()
        said = self.report().summary()
        if said != self._said:
            self._said = said
            notify(self.environ, status(said))
        now = self.reactor.seconds()
        if now - self._looked_at_secrets >= SECRETS_EVERY:
            self._looked_at_secrets = now
            for name, route in self._routes.items():
                if route.is_refused() and self._has_other_secrets(route):
                    self._again(name).addErrback(
                        lambda failure: self._log.failure("a route could not be made again", failure)
                    )

    def _has_other_secrets(self, route: _Route) -> bool:
        return present_secrets(route.wanted.route.secrets, self.environ) != route.secrets

    def _feed_watchdog(self) -> None:
        """Called in the reactor, so that works; it is fed if the threads do, too."""
        self.reactor.callInThread(self.reactor.callFromThread, notify, self.environ, WATCHDOG_MESSAGE)
