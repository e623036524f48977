"""What people write without a relay: Joule's own client, and a loop that puts what it reads to a hub.

``python -m benchmarks.joule_script URL KEY`` runs in Joule's environment, where aiohttp comes with it.  It
does what `benchmarks.joule_bridge` does, with requests of as many datapoints.  What fails ends it: it
knows no outbox, no second attempt, and no place to go on from.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib import import_module
from statistics import median
from typing import Any

__all__ = ["main"]

ROWS = 500 // 8  # of eight datapoints, in one request
CAUGHT_UP = 1000  # rows of a live stream that are not measured, as in `benchmarks.joule_bridge`


class _Script:
    def __init__(self, node: Any, session: Any, hub: str, path: str) -> None:
        self._errors = import_module("joule.errors")
        self._node, self._session, self._hub, self._path = node, session, hub, path
        self._name = path.lstrip("/").replace("/", ".")
        self._behind: list[float] = []
        self._feed = ""

    async def make_feed(self) -> None:
        async with self._session.post(f"{self._hub}/feeds.json", json={"title": self._path}) as answer:
            answer.raise_for_status()
            self._feed = answer.headers["Location"].rpartition("/")[2]

    async def put(self, rows: Any) -> None:
        """Write rows, and wait for the answer."""
        instants = [datetime.fromtimestamp(at / 1e6, UTC) for at in rows["timestamp"].tolist()]
        ats = [at.isoformat().replace("+00:00", "Z") for at in instants]
        streams = [
            {
                "id": f"{self._name}.e{index}",
                "datapoints": [
                    {"at": at, "value": str(value)} for at, value in zip(ats, column.tolist(), strict=True)
                ],
            }
            for index, column in enumerate(rows["data"].T)
        ]
        body = json.dumps({"version": "1.0.0", "datastreams": streams})
        headers = {"Content-Type": "application/json"}
        async with self._session.put(
            f"{self._hub}/feeds/{self._feed}.json", data=body, headers=headers
        ) as answer:
            answer.raise_for_status()
            await answer.read()
        self._behind.append(time.time() - int(rows["timestamp"][-1]) / 1e6)

    async def history(self, rows: int) -> dict[str, Any]:
        """Write everything that a stream has."""
        begun = _begin()
        await self.make_feed()
        pipe = await self._node.data_read(self._path)
        count = 0
        while True:
            try:
                found = await pipe.read()
            except self._errors.EmptyPipeError:
                break
            for first in range(0, len(found), ROWS):
                await self.put(found[first : first + ROWS])
            count += len(found)
            pipe.consume(len(found))
        await pipe.close()
        assert count == rows
        return {**_end(begun, count), "feed": self._feed}

    async def live(self, rows: int) -> dict[str, Any]:
        """Write what a module makes, until it is so many rows after the script had caught up."""
        await self.make_feed()
        pipe = await self._node.data_subscribe(self._path)
        begun, count = None, -CAUGHT_UP
        while begun is None or count < rows:
            found = await pipe.read()
            for first in range(0, len(found), ROWS):
                await self.put(found[first : first + ROWS])
            pipe.consume(len(found))
            count += len(found)
            if begun is None and count >= 0:
                begun, count = _begin(), 0
                self._behind.clear()
        ended = _end(begun, count)
        await pipe.close()
        return {**ended, "feed": self._feed, "behind": median(self._behind)}


def _begin() -> tuple[float, float]:
    _say({"begun": True})
    return time.process_time(), time.perf_counter()


def _end(begun: tuple[float, float], units: int) -> dict[str, Any]:
    cpu, start = begun
    return {"units": units, "seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}


def _say(document: object) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


async def _serve(url: str, key: str) -> None:
    node = import_module("joule.api").create_tcp_node(url, key)
    loop = asyncio.get_running_loop()
    while words := (await loop.run_in_executor(None, sys.stdin.readline)).split():
        verb, path, rows, hub, hub_key = words
        async with import_module("aiohttp").ClientSession(headers={"X-ApiKey": hub_key}) as session:
            script = _Script(node, session, hub, path)
            _say(await (script.live if verb == "live" else script.history)(int(rows)))
    await node.close()


def main(arguments: list[str]) -> None:
    """Be measured until standard input ends."""
    url, key = arguments
    with tempfile.TemporaryDirectory() as folder:
        # Joule looks for certificates in a folder of its own, which has to exist.
        os.environ["JOULE_USER_CONFIG_DIR"] = folder
        asyncio.run(_serve(url, key))


if __name__ == "__main__":
    main(sys.argv[1:])
