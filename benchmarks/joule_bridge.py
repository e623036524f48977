"""The relay that is measured: ``python -m benchmarks.joule_bridge URL KEY``.

It is told ``history PATH ROWS HUB KEY`` or ``live PATH ROWS HUB KEY`` in a line, says in a line of JSON when
it has begun, and in another when that many rows have been acknowledged; it ends with its standard input.
`benchmarks.joule_script` does the same without a relay.  For the one who measures it also does
``prepare PATH ROWS`` and ``count PATH START END``.
"""

from __future__ import annotations

import sys
import time
from random import random
from statistics import median
from typing import Any

import numpy as np
from twisted.internet.defer import Deferred
from twisted.internet.stdio import StandardIO
from twisted.internet.task import deferLater, react

from benchmarks.servers import Commands, say
from txbridge.cosm.adapter import CosmSink
from txbridge.cosm.client import Client
from txbridge.joule import DataStream, Element, Node
from txbridge.joule.adapter import BEGINNING, JouleSource, Rows
from txbridge.joule.errors import EmptyPipeError
from txbridge.model.samples import Batch
from txbridge.net.deferred import deferred
from txbridge.relay.ledger import MemoryLedger
from txbridge.relay.outbox import MemoryOutbox
from txbridge.relay.plan import RoutePolicy
from txbridge.relay.roles import Capabilities, Receipt
from txbridge.relay.route import Destination, RelayService

__all__ = ["START", "WIDTH", "main"]

START = 1_700_000_000_000_000
PERIOD = 1000
WIDTH = 8
ACCEPTED = frozenset({"not-a-number dropped", "breaks dropped", "gaps dropped"})
CAUGHT_UP = 1000  # rows of a live stream that are not measured: the first ones have waited for the start
STORED_SECONDS = 0.2  # between questions whether the node has stored what it gave


class _Counted:
    """A sink that tells how far it has come."""

    def __init__(self, sink: CosmSink) -> None:
        self.points = 0
        self.behind: list[float] = []
        self._sink = sink
        self._waiting: tuple[int, Deferred[None]] | None = None

    @property
    def capabilities(self) -> Capabilities:
        """Those of the sink."""
        return self._sink.capabilities

    @property
    def skew(self) -> float | None:
        """That of the sink."""
        return self._sink.skew

    @deferred
    async def deliver(self, batch: Batch) -> Receipt:
        """Deliver and count."""
        receipt = await self._sink.deliver(batch)
        assert not receipt.rejections
        self.points += batch.points
        if batch.blocks:
            self.behind.append(time.time() - max(int(block.at[-1]) for block in batch.blocks) / 1e9)
        if self._waiting is not None and self.points >= self._waiting[0]:
            (_, reached), self._waiting = self._waiting, None
            reached.callback(None)
        return receipt

    def close(self) -> Deferred[None]:
        """Close the sink."""
        return self._sink.close()

    def reached(self, points: int) -> Deferred[None]:
        """Fires when so many points have been acknowledged."""
        reached: Deferred[None] = Deferred()
        self._waiting = points, reached
        return reached


class _Bridge:
    def __init__(self, reactor: Any, node: Node) -> None:
        self._reactor = reactor
        self._node = node

    async def prepare(self, path: str, rows: int) -> dict[str, Any]:
        """Store what is relayed later: numbers with as many digits as a meter's have."""
        folder, _, name = path.rpartition("/")
        made = np.empty(rows, [("timestamp", "<i8"), ("data", "<f4", (WIDTH,))])
        made["timestamp"] = START + PERIOD * np.arange(rows)
        made["data"] = 230 + np.random.default_rng(1).standard_normal((rows, WIDTH))
        elements = [Element(f"e{index}") for index in range(WIDTH)]
        new = DataStream(name, datatype="float32", decimate=False, elements=elements)
        pipe = await self._node.data_write(await self._node.data_stream_create(new, folder))
        await pipe.write(made)
        await pipe.close()
        return {"start": START, "end": START + PERIOD * rows}

    async def count(self, path: str, start: int, end: int) -> dict[str, Any]:
        """How many rows the node has from one timestamp to before another, once it has stored them."""
        while ((await self._node.data_stream_info(path)).end or 0) < end - 1:
            await deferLater(self._reactor, STORED_SECONDS)
        pipe = await self._node.data_read(path, start, end)
        rows = 0
        while True:
            try:
                found = await pipe.read()
            except EmptyPipeError:
                break
            rows += len(found)
            pipe.consume(len(found))
        await pipe.close()
        return {"rows": rows}

    async def relay(self, verb: str, path: str, rows: int, hub: str, key: str) -> dict[str, Any]:
        """Relay so many rows to a new feed: a stream's history, or what is made once it has caught up."""
        ledger = MemoryLedger()
        if verb == "live":
            source = JouleSource(self._node, [path], rows=Rows.LIVE, notes=False, reactor=self._reactor)
        else:
            source = JouleSource(
                self._node,
                [path],
                since=BEGINNING,
                until=START + PERIOD * rows,
                notes=False,
                reactor=self._reactor,
            )
        client = Client(key, url=hub, reactor=self._reactor)
        feed = CosmSink(client, title=path)
        sink = _Counted(feed)
        losses = ledger.route("bench")
        outbox = MemoryOutbox(["hub"], self._reactor, ledger=losses)
        to_hub = Destination(name="hub", sink=sink, policy=RoutePolicy(ACCEPTED))
        route = RelayService(
            "bench", source, [to_hub], outbox, clock=self._reactor, random=random, ledger=losses
        )
        begun = None if verb == "live" else _begin()
        route.startService()
        if begun is None:
            await sink.reached(CAUGHT_UP * WIDTH)
            begun, before = _begin(), sink.points
            sink.behind.clear()
        else:
            before = 0
        await sink.reached(before + rows * WIDTH)
        ended = _end(begun, (sink.points - before) // WIDTH)
        behind = median(sink.behind)
        await route.stopService()
        await client.close()
        assert await ledger.read() == []
        return {**ended, "feed": feed.feed_id, "behind": behind}

    async def obey(self, verb: str, path: str, *more: str) -> None:
        """Do what a line says, and answer."""
        if verb == "prepare":
            say(await self.prepare(path, int(more[0])))
        elif verb == "count":
            say(await self.count(path, int(more[0]), int(more[1])))
        else:
            say(await self.relay(verb, path, int(more[0]), *more[1:]))


def _begin() -> tuple[float, float]:
    say({"begun": True})
    return time.process_time(), time.perf_counter()


def _end(begun: tuple[float, float], units: int) -> dict[str, Any]:
    cpu, start = begun
    return {"units": units, "seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}


async def _serve(reactor: Any, url: str, key: str) -> None:
    ended: Deferred[None] = Deferred()
    node = Node(url, key, reactor=reactor)
    bridge = _Bridge(reactor, node)

    def obey(words: list[str]) -> None:
        Deferred.fromCoroutine(bridge.obey(*words)).addErrback(ended.errback)

    StandardIO(Commands(obey, ended))
    await ended
    await node.close()


def main(arguments: list[str]) -> None:
    """Be measured until standard input ends."""
    url, key = arguments
    react(lambda reactor: Deferred.fromCoroutine(_serve(reactor, url, key)))


if __name__ == "__main__":
    main(sys.argv[1:])
