"""Delete a feed.  It REALLY deletes it, with all its history: name a test feed.

::

    python examples/delete_feed.py 7301
"""

from __future__ import annotations

import os
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any
from urllib.parse import urljoin

from twisted.internet.task import react

from txbridge import BridgeError, NotFound
from txbridge.client import Client

URL = urljoin(os.environ.get("TXBRIDGE_URL", "http://127.0.0.1:8080"), "/v2")
API_KEY = os.environ.get("TXBRIDGE_API_KEY")


async def main(reactor: Any, feed_id: int) -> None:
    client = Client(API_KEY, url=URL, reactor=reactor)
    try:
        await client.delete_feed(feed_id=feed_id)
    except NotFound:
        raise SystemExit(f"there is no feed {feed_id}") from None
    except BridgeError as error:
        raise SystemExit(f"cannot delete the feed: {error}") from error
    finally:
        await client.close()
    print(f"feed {feed_id} is deleted")


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("feed_id", metavar="FEED", type=int)
    arguments = parser.parse_args()
    react(main, [arguments.feed_id])
