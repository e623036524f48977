"""Make a feed, and print its number.

The key is given with the request here, instead of once to the client::

    python examples/create_feed.py "A temporary test feed"
"""

from __future__ import annotations

import os
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any
from urllib.parse import urljoin

from twisted.internet.task import react

from txbridge import BridgeError, Environment
from txbridge.client import Client

URL = urljoin(os.environ.get("TXBRIDGE_URL", "http://127.0.0.1:8080"), "/v2")
API_KEY = os.environ.get("TXBRIDGE_API_KEY")


async def main(reactor: Any, title: str) -> None:
    client = Client(url=URL, reactor=reactor)
    environment = Environment(title=title, version="1.0.0")
    try:
        feed_id = await client.create_feed(api_key=API_KEY, data=environment.encode())
    except BridgeError as error:
        raise SystemExit(f"cannot make the feed: {error}") from error
    finally:
        await client.close()
    print(feed_id)


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("title", metavar="TITLE", nargs="?", default="A temporary test feed")
    arguments = parser.parse_args()
    react(main, [arguments.title])
