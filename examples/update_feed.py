"""Update a feed with a document of your own, here EEML; its new datastreams are made.

::

    python examples/update_feed.py 7301
"""

from __future__ import annotations

import os
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any
from urllib.parse import urljoin

from twisted.internet.task import react

from txbridge import BridgeError, DataFormats
from txbridge.client import Client

URL = urljoin(os.environ.get("TXBRIDGE_URL", "http://127.0.0.1:8080"), "/v2")
API_KEY = os.environ.get("TXBRIDGE_API_KEY")

DOCUMENT = """\
<?xml version="1.0" encoding="UTF-8"?>
<eeml xmlns="http://www.eeml.org/xsd/0.5.1" version="0.5.1">
  <environment>
    <title>bridge19</title>
    <description>bridge environment 19</description>
    <tag>Tag1</tag>
    <tag>Tag2</tag>
    <data id="3">
      <current_value>-312</current_value>
      <max_value>999.0</max_value>
      <min_value>7.0</min_value>
    </data>
    <data id="0">
      <current_value>11</current_value>
    </data>
    <data id="4">
      <current_value>-3332</current_value>
    </data>
  </environment>
</eeml>
"""


async def main(reactor: Any, feed_id: int) -> None:
    client = Client(API_KEY, feed_id, url=URL, reactor=reactor)
    try:
        await client.update_feed(format=DataFormats.XML, data=DOCUMENT)
    except BridgeError as error:
        raise SystemExit(f"cannot update the feed: {error}") from error
    finally:
        await client.close()
    print(f"feed {feed_id} is updated")


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("feed_id", metavar="FEED", type=int)
    arguments = parser.parse_args()
    react(main, [arguments.feed_id])
