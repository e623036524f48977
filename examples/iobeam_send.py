"""Be a device of iobeam: register, send some rows, and read the newest of them back.

::

    export TXBRIDGE_IOBEAM_TOKEN="$(txbridge hub token create 1)"
    python examples/iobeam_send.py 1 pump-3
"""

from __future__ import annotations

import os
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from time import time
from typing import Any
from urllib.parse import urljoin

from twisted.internet.task import react

from txbridge import BridgeError, iobeam

URL = urljoin(os.environ.get("TXBRIDGE_URL", "http://127.0.0.1:8080"), "/v1/")
TOKEN = os.environ.get("TXBRIDGE_IOBEAM_TOKEN", "")


async def main(reactor: Any, project: int, device: str) -> None:
    try:
        builder = iobeam.ClientBuilder(project, TOKEN, reactor=reactor).setBackend(URL)
        client = await builder.registerOrSetId(device).build()
        try:
            pump = client.createDataStore(["flow", "rpm"])
            now = int(time() * 1000)
            for step in range(3):
                # A row need not have a value of each series.
                pump.add(iobeam.Timestamp(now + step), {"flow": 4.5 + step})
            pump.add(iobeam.Timestamp(now), {"rpm": 900})
            await client.send()
            for series in await client.export(iobeam.QueryReq(project, device).limit(2)):
                for point in series.points:
                    print(f"{series.name}\t{point.at}\t{point.value}")
        finally:
            await client.close()
    except BridgeError as error:
        raise SystemExit(f"cannot send: {error}") from error


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("project", metavar="PROJECT", type=int)
    parser.add_argument("device", metavar="DEVICE", nargs="?", default="pump-3")
    arguments = parser.parse_args()
    react(main, [arguments.project, arguments.device])
