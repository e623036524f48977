"""Relay this machine's sensors into a feed: ``python examples/relay_host.py 7301``."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from random import random
from typing import Any
from urllib.parse import urljoin

from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.python.log import startLogging

from txbridge.client import Client
from txbridge.cosm.adapter import CosmSink
from txbridge.host import HostSource
from txbridge.relay.outbox import MemoryOutbox
from txbridge.relay.plan import RoutePolicy
from txbridge.relay.route import Destination, RelayService

URL = urljoin(os.environ.get("TXBRIDGE_URL", "http://127.0.0.1:8080"), "/v2")
ACCEPTED_LOSSES = frozenset({"time ns -> us", "breaks dropped"})


async def main(reactor: Any, feed_id: int) -> None:
    client = Client(os.environ.get("TXBRIDGE_API_KEY"), url=URL, reactor=reactor)
    hub = Destination(name="hub", sink=CosmSink(client, feed_id=feed_id), policy=RoutePolicy(ACCEPTED_LOSSES))
    source, outbox = HostSource(5.0, reactor=reactor), MemoryOutbox(["hub"], reactor)
    relay = RelayService("host", source, [hub], outbox, clock=reactor, random=random)
    relay.startService()
    reactor.addSystemEventTrigger("before", "shutdown", relay.stopService)
    await Deferred()


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("feed_id", metavar="FEED", type=int)
    arguments = parser.parse_args()
    startLogging(sys.stderr, setStdout=False)  # the relay logs when a destination goes away or refuses
    react(main, [arguments.feed_id])
