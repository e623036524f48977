"""A relay from a sensor that counts into a real hub, over a network and a server that fail, and its account.

Every point is a number, at an instant of its own, in a stream of its own; so it can be told of each
one whether it arrived, how often, and if not, whether the ledger has it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from attrs import define, field, frozen
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from tests.support.deferreds import result_of
from tests.support.files import FaultyFiles
from tests.support.hub_in_memory import HubInMemory
from tests.support.workers import StepWorker
from txbridge.cosm.adapter import CosmSink
from txbridge.cosm.client import Client
from txbridge.hub.site import HubSite
from txbridge.model.instants import to_nanoseconds
from txbridge.model.samples import Batch, Cursor, SampleBlock
from txbridge.model.structures import Environment
from txbridge.net.deferred import deferred
from txbridge.net.http1 import Request, Response
from txbridge.net.http_server import HttpServerFactory
from txbridge.relay.dead_letters import DeadLetterBox
from txbridge.relay.disk_outbox import DiskOutbox
from txbridge.relay.ledger import LedgerRow, MemoryLedger
from txbridge.relay.plan import RoutePolicy
from txbridge.relay.requeue import Requeue
from txbridge.relay.roles import Capabilities, Selection
from txbridge.relay.route import Destination, RelayService
from txbridge.relay.sender import SendLimits

__all__ = ["CLOUD", "Account", "Fault", "FaultyRoad", "Sensor", "account_of"]

CLOUD = "cloud.test"
ROUTE = Path("/route")
STREAMS = ("a", "b", "c")
ACCEPTED = frozenset(("time ns -> us", "not-a-number dropped"))
SECOND = 1_000_000_000

Fault = Callable[[Request], "Response | Deferred[Response] | None"]
"""Answers a request in the server's place; None lets the server answer."""

Point = tuple[str, int]
"""A stream and an instant in nanoseconds."""


@frozen
class Account:
    """What became of everything that was sent.

    Attributes:
        sent: How many points there were.
        received: How many of them arrived.
        duplicates: How often one arrived that had arrived already.
        lost: Those that did not.
        unaccounted: Those that did not, and of which the ledger does not know.
        ledger: How many points the ledger counts as lost.
    """

    sent: int
    received: int
    duplicates: int
    lost: frozenset[Point]
    unaccounted: frozenset[Point]
    ledger: int


def account_of(sent: Iterable[Point], received: Iterable[Point], ledger: Sequence[LedgerRow]) -> Account:
    """Compare what was sent with what arrived and what was written down."""
    wanted, times = frozenset(sent), Counter(received)
    lost = wanted - times.keys()
    unaccounted = frozenset(
        (stream, at)
        for stream, at in lost
        if not any(row.stream in (stream, "*") and row.start_ns <= at <= row.end_ns for row in ledger)
    )
    return Account(
        len(wanted),
        len(wanted & times.keys()),
        sum(times.values()) - len(times),
        lost,
        unaccounted,
        sum(row.points or 0 for row in ledger),
    )


class Sensor:
    """A source with a history: at each second, the next number of every stream.

    Args:
        clock: Its time.
        streams: Their names.

    Attributes:
        origin: The instant of the first point, in seconds.
        running: Whether there is anything new.
    """

    capabilities = Capabilities(several_columns=False, infos=False)

    def __init__(self, clock: IReactorTime, streams: Sequence[str] = STREAMS) -> None:
        self.clock = clock
        self.streams = tuple(streams)
        self.origin = int(clock.seconds())
        self.stopped_at: int | None = None

    def open(self, selection: Selection, after: Cursor | None) -> Deferred[_Flow]:
        return succeed(_Flow(self, 0 if after is None else int(after.value) + 1))

    def stop(self) -> None:
        """Measure nothing more."""
        self.stopped_at = int(self.clock.seconds())

    @property
    def made(self) -> int:
        """How many points each stream has."""
        until = int(self.clock.seconds()) if self.stopped_at is None else self.stopped_at
        return until - self.origin + 1

    def instant(self, number: int) -> int:
        return (self.origin + number) * SECOND

    def points(self) -> list[Point]:
        """Everything there was."""
        return [(name, self.instant(number)) for name in self.streams for number in range(self.made)]


class _Flow:
    def __init__(self, sensor: Sensor, number: int) -> None:
        self._sensor = sensor
        self._number = number

    @deferred
    async def next_batch(self) -> Batch:
        clock: Any = self._sensor.clock
        while self._number >= self._sensor.made:
            await deferLater(clock, 1.0)
        return self._take()

    def _take(self) -> Batch:
        last = min(self._sensor.made, self._number + 600)
        numbers = np.arange(self._number, last)
        at = (self._sensor.origin + numbers) * SECOND
        blocks = tuple(SampleBlock.scalar(name, at, numbers) for name in self._sensor.streams)
        self._number = last
        return Batch(blocks, cursor=Cursor(last - 1))

    def settled(self, cursor: Cursor) -> None:
        """Nothing is forgotten here."""

    def close(self) -> Deferred[None]:
        return succeed(None)


@define(slots=False)
class FaultyRoad:
    """A running relay, and the trouble on its way.

    Attributes:
        hub: The real one; its `network` is where everything happens.
        faults: Asked for each request in turn; the first that answers answers.
        files: The disk of the outbox.
        arrived: Every point that the hub stored, as often as it stored it.
    """

    folder: Path
    limits: SendLimits = field(factory=lambda: SendLimits(deadline=30.0))
    options: dict[str, Any] = field(factory=dict)
    faults: list[Fault] = field(factory=list)
    files: FaultyFiles = field(factory=FaultyFiles)
    arrived: list[Point] = field(factory=list)
    requests: list[Request] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.hub = HubInMemory(self.folder)
        self.network = self.hub.network
        self.site = HubSite(self.hub.server)
        self.random = Random(20131)
        client = self.hub.client()
        self.feed_id = int(self.hub.run(client.create_feed(data=Environment(title="far away"))))
        self.hub.live.listen(self.feed_id, self._stored)
        self.sensor = Sensor(self.network.clock)
        self.ledger = MemoryLedger(now_ns=lambda: int(self.network.clock.seconds() * SECOND))
        self.url = f"http://{CLOUD}/v2"
        self.door: Any = None
        self.service: RelayService | None = None

    def _stored(self, written: Any) -> None:
        for name, points in written.recorded.items():
            self.arrived += [(name, to_nanoseconds(point.at)) for point in points]

    def open_door(
        self, host: str = CLOUD, port: int = 80, wrap: Callable[[Any], Any] = lambda one: one
    ) -> None:
        """Let the cloud be there."""
        factory = HttpServerFactory(self._respond, clock=self.network.clock)
        self.door = self.network.listen(host, port, wrap(factory))

    def close_door(self) -> None:
        """Let it refuse connections."""
        self.door.stopListening()
        self.network.cut()

    def _respond(self, request: Request) -> Any:
        self.requests.append(request)
        for fault in list(self.faults):
            answer = fault(request)
            if answer is not None:
                return answer
        return self.site.respond(request)

    def start(self, client: Client | None = None) -> None:
        """Run the relay, with what an earlier run left on the disk."""
        reactor = self.network.reactor
        ledger = self.ledger.route("road")
        self.outbox = result_of(
            DiskOutbox.open(
                ROUTE / "outbox",
                ["cloud"],
                reactor,
                ledger=ledger,
                files=self.files,
                writer=StepWorker(),
                reader=StepWorker(),
                **{"segment_bytes": 64 << 10, "max_bytes": 8 << 20, **self.options},
            )
        )
        self.letters = DeadLetterBox(ROUTE, self.files, StepWorker(), ledger=ledger)
        sink = CosmSink(client or self.hub.client(url=self.url), feed_id=self.feed_id)
        self.service = RelayService(
            "road",
            self.sensor,
            [
                Destination(
                    name="cloud",
                    sink=sink,
                    policy=RoutePolicy(ACCEPTED),
                    limits=self.limits,
                )
            ],
            self.outbox,
            clock=reactor,
            random=self.random.random,
            ledger=ledger,
            dead_letters=self.letters,
        )
        self.requeue = Requeue(
            ROUTE, self.outbox, self.files, StepWorker(), clock=reactor, random=self.random.random
        )
        self.service.startService()
        self.requeue.start()

    def stop(self) -> None:
        """Stop the relay in order."""
        assert self.service is not None
        self.hub.run(self.requeue.stop())
        self.hub.run(self.service.stopService(), 60)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        clock: Any = self.network.clock
        self.hub.run(deferLater(clock, seconds, lambda: None), seconds + 1)

    def status(self) -> Any:
        """How it goes with the destination."""
        assert self.service is not None
        (destination,) = self.service.status().destinations
        return destination

    def drain(self, seconds: float = 3600.0) -> None:
        """Measure nothing more, and wait until nothing waits."""
        self.sensor.stop()
        for _ in range(int(seconds)):
            self.advance(1.0)
            cursor = self.outbox.cursor
            is_read = cursor is not None and int(cursor.value) >= self.sensor.made - 1
            if is_read and self.status().pending_points == 0:
                return
        raise AssertionError(f"{self.status()} after {seconds:g} s")

    def account(self) -> Account:
        """What became of everything."""
        rows = result_of(self.ledger.read(limit=100_000))
        return account_of(self.sensor.points(), self.arrived, rows)

    def close(self) -> None:
        """Let go of everything."""
        self.hub.close()


def values_in(request: Request) -> set[str]:
    """The values that a request carries."""
    streams = json.loads(request.body or b"{}").get("datastreams", ())
    points = [point for stream in streams for point in stream.get("datapoints", ())]
    return {str(one["value"]) for one in points} | {str(one.get("current_value")) for one in streams}
