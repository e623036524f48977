"""Joule's own client, measured: ``python -m benchmarks.joule_peer URL KEY ROWS`` in its environment.

It does the same as `benchmarks.joule_client`, as Joule's documentation shows it.  Nothing but numpy and
joule is installed where it runs.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from contextlib import suppress
from importlib import import_module
from typing import Any

import numpy as np

__all__ = ["main"]

START = 1_700_000_000_000_000
WIDTH = 8
FOLDER = "/joule"


class _Client:
    def __init__(self, node: Any, rows: int) -> None:
        self._api, self._errors = import_module("joule.api"), import_module("joule.errors")
        self._node = node
        self._rows = np.empty(rows, [("timestamp", "<i8"), ("data", "<f4", (WIDTH,))])
        self._rows["timestamp"] = START + 1000 * np.arange(rows)
        self._rows["data"] = np.arange(rows)[:, None] % 1000 + np.arange(WIDTH)

    async def prepare(self) -> None:
        """Store what is read later."""
        await self.write(len(self._rows), 10_000, False, name="kept")

    async def write(self, rows: int, block: int, decimate: bool, name: str = "written") -> dict[str, Any]:
        """Write rows to a new stream."""
        with suppress(self._errors.ApiError):  # it may be the first
            await self._node.data_stream_delete(f"{FOLDER}/{name}")
        elements = [self._api.Element(name=f"e{index}") for index in range(WIDTH)]
        new = self._api.DataStream(name=name, datatype="float32", elements=elements)
        new.decimate = decimate
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
                found = await pipe.read()
            except self._errors.EmptyPipeError:
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
            found = await pipe.read_all()
            await pipe.close()
            assert len(found) == 10
        return _end(begun, count)

    async def obey(self, verb: str, *numbers: int) -> dict[str, Any]:
        """Do what a line says."""
        if verb == "write":
            return await self.write(numbers[0], numbers[1], bool(numbers[2]))
        return await (self.read if verb == "read" else self.small)(numbers[0])


def _begin() -> tuple[float, float]:
    return time.process_time(), time.perf_counter()


def _end(begun: tuple[float, float], units: int) -> dict[str, Any]:
    cpu, start = begun
    return {"units": units, "seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}


def _say(document: object) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


async def _serve(url: str, key: str, rows: int) -> None:
    node = import_module("joule.api").create_tcp_node(url, key)
    client = _Client(node, rows)
    await client.prepare()
    _say({"ready": True})
    loop = asyncio.get_running_loop()
    while words := (await loop.run_in_executor(None, sys.stdin.readline)).split():
        _say(await client.obey(words[0], *map(int, words[1:])))
    await node.close()


def main(arguments: list[str]) -> None:
    """Be measured until standard input ends."""
    url, key, rows = arguments
    with tempfile.TemporaryDirectory() as folder:
        # Joule looks for certificates in a folder of its own, which has to exist.
        os.environ["JOULE_USER_CONFIG_DIR"] = folder
        asyncio.run(_serve(url, key, int(rows)))


if __name__ == "__main__":
    main(sys.argv[1:])
