"""Relay this machine's sensors into a CSV file: ``python examples/relay_to_csv.py sensors.csv``.

It shows how to write a sink.
"""

from __future__ import annotations

import csv
import os
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from random import random
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import react
from twisted.python.log import startLogging

from txbridge import Batch
from txbridge.host import HostSource
from txbridge.model.samples import VALUE
from txbridge.relay.outbox import MemoryOutbox
from txbridge.relay.plan import RoutePolicy
from txbridge.relay.roles import Capabilities, Receipt
from txbridge.relay.route import Destination, RelayService


class CsvSink:
    """Appends lines: stream, nanoseconds since 1970, value."""

    capabilities = Capabilities(infos=False, breaks=False)
    skew = None  # a file has no clock

    def __init__(self, path: str) -> None:
        self._path = path

    def deliver(self, batch: Batch) -> Deferred[Receipt]:
        """Write a batch; the receipt says that it is on the disk."""
        with open(self._path, "a", encoding="utf-8", newline="") as file:
            for block in batch.blocks:
                rows = zip(block.at.tolist(), block.columns[VALUE].tolist(), strict=True)
                csv.writer(file).writerows((block.stream, at, value) for at, value in rows)
            file.flush()
            os.fsync(file.fileno())
        return succeed(Receipt())

    def close(self) -> Deferred[None]:
        """Nothing is kept open."""
        return succeed(None)


async def main(reactor: Any, path: str) -> None:
    policy = RoutePolicy(frozenset({"breaks dropped", "descriptions dropped"}))
    file = Destination(name="file", sink=CsvSink(path), policy=policy)
    source, outbox = HostSource(1.0, reactor=reactor), MemoryOutbox(["file"], reactor)
    relay = RelayService("host", source, [file], outbox, clock=reactor, random=random)
    relay.startService()
    reactor.addSystemEventTrigger("before", "shutdown", relay.stopService)
    print(f"writing to {path}", flush=True)
    await Deferred()


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("path", metavar="FILE")
    arguments = parser.parse_args()
    startLogging(sys.stderr, setStdout=False)  # the relay logs when a destination goes away or refuses
    react(main, [arguments.path])
