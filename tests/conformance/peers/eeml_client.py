"""python-eeml against a hub: ``eeml_client.py HOST:PORT KEY FEED OLD_FEED ABSENT_FEED``."""

from __future__ import annotations

import json
import sys
from datetime import datetime

import eeml
import eeml.datastream
import eeml.unit

address, key, feed, old_feed, absent_feed = sys.argv[1:]


def put(feed_id: str, *data: object, version: int = 2) -> str | None:
    """Send values; what the client makes of a refusal, or None."""
    client = eeml.datastream.Cosm(f"/v{version}/feeds/{feed_id}.xml", key, use_https=False)
    client.host = address
    client.update(list(data))
    try:
        client.put()
    except eeml.datastream.CosmError as error:
        return str(error)
    return None


reading = eeml.Data(
    0,
    21.5,
    tags=["heating"],
    unit=eeml.unit.Celsius(),
    minValue=1.0,
    maxValue=30.0,
    at=datetime(2013, 6, 3, 9),
)
history = eeml.DataPoints(1, [(7, datetime(2013, 6, 3, 9)), (8, datetime(2013, 6, 3, 10))])
sys.stdout.write(
    json.dumps(
        {
            "reading": put(feed, reading),
            "history": put(feed, history),
            "too long": put(feed, eeml.Data(2, "x" * 256)),
            "absent": put(absent_feed, eeml.Data(0, 1)),
            "both": put(old_feed, reading, eeml.Data(1, 5), version=1),
            "one": put(old_feed, eeml.Data(1, 6), version=1),
            "absent from version 1": put(absent_feed, eeml.Data(0, 1), version=1),
        }
    )
)
