"""Be told whenever a feed, or one datastream of it, changes.

It goes on until Ctrl-C.  When the hub goes away it connects again, and what was missed comes first::

    python examples/subscribe.py 7301
    python examples/subscribe.py 7301 temperature
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any
from urllib.parse import urljoin

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from txbridge import BridgeError, Datastream, Environment
from txbridge.client import PAWSClient

URL = urljoin(os.environ.get("TXBRIDGE_URL", "http://127.0.0.1:8080"), "/").replace("http", "ws", 1)
API_KEY = os.environ.get("TXBRIDGE_API_KEY")


def updated(structure: Environment | Datastream) -> None:
    """Called with a Datastream if the resource names one, else with an Environment."""
    datastreams = [structure] if isinstance(structure, Datastream) else structure.datastreams.values()
    for datastream in datastreams:
        print(f"{datastream.id}\t{datastream.current_value}\t{datastream.at}", flush=True)


async def main(reactor: Any, feed_id: int, datastream_id: str | None = None) -> None:
    resource = f"/feeds/{feed_id}"
    if datastream_id is not None:
        resource += f"/datastreams/{datastream_id}"
    client = PAWSClient(API_KEY, url=URL, reactor=reactor)
    if not await client.connect():
        print(f"{URL} does not answer yet; trying on", file=sys.stderr)
    token, confirmed = client.subscribe(resource, updated)
    try:
        await confirmed
    except BridgeError as error:
        raise SystemExit(f"cannot subscribe to {resource}: {error}") from error
    print(f"subscribed to {resource} as {token}", flush=True)
    await Deferred()


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("feed_id", metavar="FEED", type=int)
    parser.add_argument("datastream_id", metavar="DATASTREAM", nargs="?")
    arguments = parser.parse_args()
    react(main, [arguments.feed_id, arguments.datastream_id])
