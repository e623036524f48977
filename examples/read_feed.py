"""Read a feed's current values, or only those of some of its datastreams.

::

    python examples/read_feed.py 7301
    python examples/read_feed.py 7301 temperature,humidity
"""

from __future__ import annotations

import os
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any
from urllib.parse import urljoin

from twisted.internet.task import react

from txbridge import BridgeError
from txbridge.client import Client

URL = urljoin(os.environ.get("TXBRIDGE_URL", "http://127.0.0.1:8080"), "/v2")
API_KEY = os.environ.get("TXBRIDGE_API_KEY")


async def main(reactor: Any, feed_id: int, datastreams: str | None = None) -> None:
    client = Client(API_KEY, feed_id, url=URL, reactor=reactor)
    parameters = {} if datastreams is None else {"datastreams": datastreams}
    try:
        feed = await client.read_feed(parameters=parameters)
    except BridgeError as error:
        raise SystemExit(f"cannot read the feed: {error}") from error
    finally:
        await client.close()
    print(feed.title)
    for name, datastream in feed.datastreams.items():
        # None is "nothing yet"; zero and the empty text are values.
        value = "nothing yet" if datastream.current_value is None else datastream.current_value
        print(f"{name}\t{value}\t{datastream.at}")


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("feed_id", metavar="FEED", type=int)
    parser.add_argument("datastreams", metavar="DATASTREAM,DATASTREAM", nargs="?")
    arguments = parser.parse_args()
    react(main, [arguments.feed_id, arguments.datastreams])
