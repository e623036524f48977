"""Relay a live Joule stream into a feed: ``python examples/joule_to_hub.py /live/random 7301``.

The node is the default one of Joule's own files, ``~/.joule``.
"""

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
from txbridge.joule import get_node
from txbridge.joule.adapter import JouleSource
from txbridge.relay.outbox import MemoryOutbox
from txbridge.relay.plan import RoutePolicy
from txbridge.relay.route import Destination, RelayService

URL = urljoin(os.environ.get("TXBRIDGE_URL", "http://127.0.0.1:8080"), "/v2")
ACCEPTED_LOSSES = frozenset({"not-a-number dropped", "breaks dropped", "gaps dropped"})


async def main(reactor: Any, path: str, feed_id: int) -> None:
    client = Client(os.environ.get("TXBRIDGE_API_KEY"), url=URL, reactor=reactor)
    sink = CosmSink(client, feed_id=feed_id)
    hub = Destination(name="hub", sink=sink, policy=RoutePolicy(ACCEPTED_LOSSES))
    source = JouleSource(get_node(reactor=reactor), [path], notes=False, reactor=reactor)
    outbox = MemoryOutbox(["hub"], reactor)
    relay = RelayService("joule", source, [hub], outbox, clock=reactor, random=random)
    relay.startService()
    reactor.addSystemEventTrigger("before", "shutdown", relay.stopService)
    await Deferred()


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("path", metavar="STREAM")
    parser.add_argument("feed_id", metavar="FEED", type=int)
    arguments = parser.parse_args()
    startLogging(sys.stderr, setStdout=False)  # the relay logs when an end goes away or refuses
    react(main, [arguments.path, arguments.feed_id])
