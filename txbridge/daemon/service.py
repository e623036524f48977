"""The hub as one thing that starts and stops.

Starting goes from the inside out: first the storage, then the rules, and only when everything works
are the ports opened; so whoever can connect is answered.  Stopping goes the other way: no new
connections, then every request that was accepted is answered, then the storage finishes what it was
given.  A start that fails leaves nothing open.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import frozen
from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IListeningPort,
    IProtocolFactory,
    IReactorTime,
    IStreamServerEndpoint,
)
from twisted.logger import Logger
from twisted.python.failure import Failure

from txbridge.errors import BridgeError, ConfigError, TimedOut
from txbridge.net.deadline import with_deadline
from txbridge.net.deferred import deferred

__all__ = ["Door", "HubService", "Parts", "address_of", "read_endpoint"]


@frozen
class Door:
    """One way in.

    Attributes:
        endpoint: Where to listen, as Twisted reads it.
        factory: What serves who comes.
        scheme: What addresses of it begin with: ``"http"``, or ``"paws tcp"``; an endpoint with TLS
            has the second of ``secure_scheme`` instead.
        secure_scheme: The same for an endpoint with TLS.
    """

    endpoint: str
    factory: IProtocolFactory
    scheme: str
    secure_scheme: str


@frozen
class Parts:
    """A hub that works but does not listen yet.

    Attributes:
        doors: Where it will listen.
        drain: Answers what was accepted and closes every connection, within the given seconds.
        close: Finishes what the storage was given.
        notes: What the start did that its owner should know, line by line.
        opened: Is told the addresses, in the order of the doors, when every one is open.
    """

    doors: Sequence[Door]
    drain: Callable[[float], Deferred[Any]]
    close: Callable[[], Deferred[None]]
    notes: Sequence[str] = ()
    opened: Callable[[Sequence[str]], None] = lambda addresses: None


class HubService(Service):
    """Runs a hub; it is started and stopped once.

    Args:
        reactor: Where it runs.
        endpoints: Every endpoint string it will be told to listen at; they are read before anything
            is opened.
        build: Opens the storage and makes everything that serves it.
        drain_seconds: How long stopping waits for answers.
        give_up: Ends the program when a start as part of an application fails; None stops the reactor.

    Attributes:
        addresses: Where it listens, such as ``http://127.0.0.1:8080``, in the order of the doors.
        notes: What the start did that its owner should know.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        endpoints: Sequence[str],
        build: Callable[[], Deferred[Parts]],
        *,
        drain_seconds: float = 10.0,
        give_up: Callable[[], None] | None = None,
    ) -> None:
        self.addresses: tuple[str, ...] = ()
        self.notes: tuple[str, ...] = ()
        self._reactor = reactor
        self._endpoints = tuple(endpoints)
        self._build = build
        self._drain_seconds = drain_seconds
        self._give_up: Callable[[], None] = reactor.stop if give_up is None else give_up
        self._parts: Parts | None = None
        self._ports: list[IListeningPort] = []
        self._starting: Deferred[None] | None = None

    @deferred
    async def start(self) -> None:
        """Start; fires when every port is open.

        Raises:
            ConfigError: An endpoint cannot be read or listened at, or the owner's key is unusable.
            StoreError: The storage cannot be opened.
        """
        self._check_endpoints()
        self._parts = await self._build()
        self.notes = tuple(self._parts.notes)
        listening = False
        try:
            for door in self._parts.doors:
                port = await self._listen(door)
                self._ports.append(port)
                self.addresses += (address_of(port, door),)
            self._parts.opened(self.addresses)
            listening = True
        finally:
            if not listening:
                await self.stop()

    @deferred
    async def stop(self) -> None:
        """Stop; fires when everything that was accepted is answered and stored."""
        parts, self._parts = self._parts, None
        ports, self._ports = self._ports, []
        if parts is None:
            return
        await DeferredList([maybeDeferred(port.stopListening) for port in ports], consumeErrors=True)
        try:
            # The parts keep to the time themselves; this is for one that does not.
            limit = self._drain_seconds + 5.0
            await with_deadline(
                self._reactor, parts.drain(self._drain_seconds), limit, operation="stop", phase="drain"
            )
        except TimedOut:
            self._log.warn("some connections did not close in {seconds} s", seconds=limit)
        finally:
            await parts.close()

    # -- as a part of a Twisted application

    def startService(self) -> None:
        """Called by the parent service.  A start that fails ends the program."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted annotates no services
        self._starting = self.start()
        self._starting.addCallbacks(self._started, self._not_started)

    @deferred
    async def stopService(self) -> None:
        """Called by the parent service."""
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted annotates no services
        starting, self._starting = self._starting, None
        if starting is not None:
            await starting
        await self.stop()

    def _started(self, nothing: None) -> None:
        for note in self.notes:
            self._log.info("{note}", note=note)
        for address in self.addresses:
            self._log.info("listening on {address}", address=address)

    def _not_started(self, failure: Failure) -> None:
        if failure.check(BridgeError):
            self._log.critical("the hub did not start: {reason}", reason=str(failure.value))
        else:
            self._log.failure("the hub did not start", failure)
        self._reactor.callWhenRunning(self._give_up)

    # -- listening

    def _check_endpoints(self) -> None:
        problems: list[str] = []
        for text in self._endpoints:
            try:
                read_endpoint(self._reactor, text)
            except ConfigError as error:
                problems += error.problems
        if problems:
            raise ConfigError(problems)

    async def _listen(self, door: Door) -> IListeningPort:
        try:
            return await read_endpoint(self._reactor, door.endpoint).listen(door.factory)
        except CannotListenError as error:
            reason = getattr(error.socketError, "strerror", None) or str(error.socketError)
            raise _cannot_listen(door, reason) from error
        except OSError as error:
            raise _cannot_listen(door, error.strerror or str(error)) from error


def _cannot_listen(door: Door, reason: str) -> ConfigError:
    option = "--paws-tcp" if door.scheme.startswith("paws") else "--listen"
    return ConfigError([f"cannot listen at {door.endpoint}: {reason}; {option} chooses another"])


def read_endpoint(reactor: IReactorTime, text: str) -> IStreamServerEndpoint:
    """Read an endpoint string.

    Raises:
        ConfigError: It is none.
    """
    try:
        endpoint: IStreamServerEndpoint = serverFromString(reactor, text)
    except (ValueError, TypeError, KeyError, IndexError, OSError) as error:
        raise ConfigError([f"{text!r} is no endpoint that can be listened at: {error}"]) from error
    ports = [part.removeprefix("port=") for part in text.split(":")[1:]]
    if any(port.isdecimal() and int(port) >= 1 << 16 for port in ports):
        # Twisted finds that out when it listens, with an OverflowError.
        raise ConfigError([f"{text!r} is no endpoint that can be listened at: ports are below 65536"])
    return endpoint


def address_of(port: IListeningPort, door: Door) -> str:
    """How clients reach an open port."""
    kind = door.endpoint.partition(":")[0].lower()
    scheme = door.secure_scheme if kind in ("ssl", "tls") else door.scheme
    here = port.getHost()
    if isinstance(here, IPv4Address):
        return f"{scheme}://{here.host}:{here.port}"
    if isinstance(here, IPv6Address):
        return f"{scheme}://[{here.host}]:{here.port}"
    if isinstance(here, UNIXAddress) and here.name is not None:
        return f"{scheme}+unix:{here.name.decode('utf-8', 'replace')}"
    return f"{scheme} at {door.endpoint}"
