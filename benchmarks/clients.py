"""The clients that are measured, each in a process of its own: ``python -m benchmarks.clients NAME PORT``.

A client is told ``CONNECTIONS SECONDS`` in a line, keeps so many requests under way for so long, and
answers in a line of JSON; it ends with its standard input.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Awaitable, Callable
from importlib import import_module
from io import BytesIO
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.stdio import StandardIO
from twisted.internet.task import react
from twisted.web.client import Agent, FileBodyProducer, HTTPConnectionPool, readBody
from twisted.web.http_headers import Headers

from benchmarks.load import allow_many_files
from benchmarks.servers import KEY, STREAM, Commands, say
from txbridge.cosm.client import Client
from txbridge.model.structures import Datastream

__all__ = ["main"]

PATH = f"/v2/feeds/1/datastreams/{STREAM}.json"
DOCUMENT = {"current_value": "21.5"}

Put = Callable[[], Awaitable[object]]


class _Turn:
    """Counts requests until the time is up."""

    def __init__(self, seconds: float) -> None:
        self._cpu, self._start, self._count = time.process_time(), time.perf_counter(), 0
        self._end = self._start + seconds

    async def work(self, put: Put) -> None:
        """One request after the other; at least one."""
        while True:
            await put()
            self._count += 1
            if time.perf_counter() >= self._end:
                return

    def say(self) -> None:
        """Tell the parent."""
        seconds = time.perf_counter() - self._start
        say({"units": self._count, "seconds": seconds, "cpu": time.process_time() - self._cpu})


def _txbridge(reactor: Any, port: int, connections: int) -> Put:
    client = Client(KEY, 1, url=f"http://127.0.0.1:{port}/v2", pool_size=connections, reactor=reactor)

    async def put() -> None:
        data = Datastream(id=STREAM)
        data.set_current_value("21.5")
        await client.update_datastream(datastream_id=STREAM, data=data)

    return put


def _agent(reactor: Any, port: int, connections: int) -> Put:
    """Twisted's Agent with a pool that is large enough, and nothing around it."""
    pool = HTTPConnectionPool(reactor)
    pool.maxPersistentPerHost = connections
    agent = Agent(reactor, pool=pool)
    url = f"http://127.0.0.1:{port}{PATH}".encode()
    headers = Headers({"X-ApiKey": [KEY], "Content-Type": ["application/json"]})

    async def put() -> None:
        body = FileBodyProducer(BytesIO(msgspec.json.encode(DOCUMENT)), cooperator=_AtOnce())
        response: Any = await agent.request(b"PUT", url, headers, body)
        await readBody(response)

    return put


class _AtOnce:
    """Runs a small body's producer without waiting for the reactor, as a fast user of Agent would."""

    def cooperate(self, steps: Any) -> Any:
        """Run it."""
        for _ in steps:
            pass
        return self

    def whenDone(self) -> Deferred[object]:
        """It is done already."""
        done: Deferred[object] = Deferred()
        done.callback(None)
        return done


_TWISTED: dict[str, Callable[[Any, int, int], Put]] = {"agent": _agent, "txbridge": _txbridge}


async def _serve_twisted(reactor: Any, name: str, port: int) -> None:
    ended: Deferred[None] = Deferred()
    made: dict[int, Put] = {}

    async def turn(connections: int, seconds: float) -> None:
        if connections not in made:
            made[connections] = _TWISTED[name](reactor, port, connections)
        turn = _Turn(seconds)
        workers = (turn.work(made[connections]) for _ in range(connections))
        await gatherResults([Deferred.fromCoroutine(worker) for worker in workers])
        turn.say()

    def obey(words: list[str]) -> None:
        Deferred.fromCoroutine(turn(int(words[0]), float(words[1]))).addErrback(ended.errback)

    StandardIO(Commands(obey, ended))
    await ended


def _serve_aiohttp(port: int) -> None:
    asyncio, aiohttp = import_module("asyncio"), import_module("aiohttp")

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        url = f"http://127.0.0.1:{port}{PATH}"
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, headers={"X-ApiKey": KEY}) as session:

            async def put() -> None:
                body = msgspec.json.encode(DOCUMENT)
                async with session.put(
                    url, data=body, headers={"Content-Type": "application/json"}
                ) as response:
                    await response.read()

            while words := (await loop.run_in_executor(None, sys.stdin.readline)).split():
                turn = _Turn(float(words[1]))
                await asyncio.gather(*(turn.work(put) for _ in range(int(words[0]))))
                turn.say()

    asyncio.run(serve())


def main() -> None:
    """Take turns until standard input ends."""
    allow_many_files()
    name, port = sys.argv[1], int(sys.argv[2])
    if name == "aiohttp":
        _serve_aiohttp(port)
    else:
        react(lambda reactor: Deferred.fromCoroutine(_serve_twisted(reactor, name, port)))


if __name__ == "__main__":
    main()
