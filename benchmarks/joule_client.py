"""The client of ours that is measured: ``python -m benchmarks.joule_client URL KEY ROWS``.

It is told ``write ROWS BLOCK DECIMATE``, ``read ROWS`` or ``small COUNT`` in a line, and answers in a line of
JSON; it ends with its standard input.  `benchmarks.joule_peer` is the same with Joule's own client.
"""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from twisted.internet.defer import Deferred
from twisted.internet.stdio import StandardIO
from twisted.internet.task import react

from benchmarks.servers import Commands, say
from txbridge.joule import DataStream, Element, Node
from txbridge.joule.errors import EmptyPipeError, StreamNotFound

__all__ = ["main"]

START = 1_700_000_000_000_000
WIDTH = 8
FOLDER = "/txbridge"


class _Client:
    def __init__(self, node: Node, rows: int) -> None:
        self._node = node
        self._rows = np.empty(rows, [("timestamp", "<i8"), ("data", "<f4", (WIDTH,))])
        self._rows["timestamp"] = START + 1000 * np.arange(rows)
        self._rows["data"] = np.arange(rows)[:, None] % 1000 + np.arange(WIDTH)

    async def prepare(self) -> None:
        """Store what is read later."""
        await self.write(len(self._rows), 10_000, False, name="kept")

    async def write(self, rows: int, block: int, decimate: bool, name: str = "written") -> dict[str, Any]:
        """Write rows to a new stream."""
        with suppress(StreamNotFound):  # it may be the first
            await self._node.data_stream_delete(f"{FOLDER}/{name}")
        elements = [Element(f"e{index}") for index in range(WIDTH)]
        new = DataStream(name, datatype="float32", decimate=decimate, elements=elements)
        stream = await self._node.data_stream_create(new, FOLDER)
        begun = _begin()
        pipe = await self._node.data_write(stream)
        for first in range(0, rows, block):
            await pipe.write(self._rows[first : min(first + block, rows)])
        await pipe.close()
        return _end(begun, rows)

    async def read(self, rows: int) -> dict[str, Any]:
        """Read rows as they come."""
        begun = _begin()
        pipe = await self._node.data_read(f"{FOLDER}/kept", end=START + 1000 * rows)
        count = 0
        while True:
            try:
                found: NDArray[Any] = await pipe.read()
            except EmptyPipeError:
                break
            count += len(found)
            pipe.consume(len(found))
        await pipe.close()
        assert count == rows
        return _end(begun, count)

    async def small(self, count: int) -> dict[str, Any]:
        """Read ten rows, again and again."""
        begun = _begin()
        for _ in range(count):
            pipe = await self._node.data_read(f"{FOLDER}/kept", end=START + 10_000)
            found: NDArray[Any] = await pipe.read_all()
            await pipe.close()
            assert len(found) == 10
        return _end(begun, count)

    async def obey(self, verb: str, *numbers: int) -> None:
        """Do what a line says, and answer."""
        if verb == "write":
            say(await self.write(numbers[0], numbers[1], bool(numbers[2])))
        elif verb == "read":
            say(await self.read(numbers[0]))
        else:
            say(await self.small(numbers[0]))


def _begin() -> tuple[float, float]:
    return time.process_time(), time.perf_counter()


def _end(begun: tuple[float, float], units: int) -> dict[str, Any]:
    cpu, start = begun
    return {"units": units, "seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}


async def _serve(url: str, key: str, rows: int) -> None:
    ended: Deferred[None] = Deferred()
    node = Node(url, key)
    client = _Client(node, rows)
    await client.prepare()

    def obey(words: list[str]) -> None:
        work = client.obey(words[0], *map(int, words[1:]))
        Deferred.fromCoroutine(work).addErrback(ended.errback)

    StandardIO(Commands(obey, ended))
    say({"ready": True})
    await ended
    await node.close()


def main(arguments: list[str]) -> None:
    """Be measured until standard input ends."""
    url, key, rows = arguments
    react(lambda reactor: Deferred.fromCoroutine(_serve(url, key, int(rows))))


if __name__ == "__main__":
    main(sys.argv[1:])
