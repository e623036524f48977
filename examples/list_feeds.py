"""List the live feeds that a key can see, without their datastreams.

::

    export TXBRIDGE_URL=http://127.0.0.1:8080 TXBRIDGE_API_KEY=...
    python examples/list_feeds.py
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


async def main(reactor: Any) -> None:
    client = Client(API_KEY, url=URL, reactor=reactor)
    try:
        found = await client.list_feeds(parameters={"status": "live", "content": "summary"})
    except BridgeError as error:
        raise SystemExit(f"cannot list the feeds: {error}") from error
    finally:
        await client.close()
    for feed in found.feeds:
        print(f"{feed.id}\t{feed.title}")


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.parse_args()
    react(main)
