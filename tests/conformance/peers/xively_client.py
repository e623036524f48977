"""xively-python against a hub: ``xively_client.py URL KEY``."""

from __future__ import annotations

import collections
import collections.abc
import json
import sys
from datetime import datetime, timedelta

# The package is from 2013, when this name was here too.
collections.Sequence = collections.abc.Sequence

import xively  # noqa: E402
from requests import HTTPError  # noqa: E402

url, key = sys.argv[1:]
NINE = datetime(2013, 6, 3, 9)

api = xively.XivelyAPIClient(key)
api.feeds.base_url = f"{url}/v2/feeds"

made = api.feeds.create(title="Allotment", tags=["plants"], private=True)
made.datastreams.create(
    "soil", current_value=21.5, tags=["wet"], unit=xively.Unit("Celsius", "derivedSI", "C"), max_value=40
)
made.datastreams.create("history")

feed = api.feeds.get(made.id)
feed.description = "Rented"
feed.location = xively.Location(name="North", lat=51.5, lon=-0.5, disposition="mobile")
feed.update()
feed.location = xively.Location(lat=51.6, lon=-0.5)
feed.update()
# What was read is written back, read-only members and all.
again = api.feeds.get(made.id, show_user=False)
again.datastreams = [xively.Datastream("soil", current_value=22), xively.Datastream("new", current_value=0)]
again.update()
read = api.feeds.get(made.id)

stream = read.datastreams.get("history")
stream.datapoints = [
    xively.Datapoint(at=NINE + timedelta(minutes=number), value=number) for number in range(5)
]
stream.update(fields=["datapoints"])
stream.datapoints.create(5, NINE + timedelta(minutes=5, microseconds=250))
stream.datapoints.update(NINE, 7)
stream.datapoints.delete(at=NINE + timedelta(minutes=1))
stream.datapoints.delete(start=NINE + timedelta(minutes=2), end=NINE + timedelta(minutes=3))
window = {"start": NINE + timedelta(seconds=1), "end": NINE + timedelta(hours=1)}

told = {
    "location": [read.location.name, read.location.lat, read.location.disposition],
    "waypoints": [[waypoint.lat, waypoint.lon] for waypoint in read.location.waypoints],
    "description": read.description,
    "values": {one.id: one.current_value for one in read.datastreams},
    "unit": read.datastreams.get("soil").unit.symbol,
    "history": [
        [point.at.isoformat(), point.value]
        for point in stream.datapoints.history(find_previous=True, limit=10, **window)
    ],
    "point": stream.datapoints.get(NINE).value,
    "listed": [one.title for one in api.feeds.list(q="allotment", per_page=10)],
}
read.datastreams.delete("new")
read.delete()
try:
    api.feeds.get(made.id)
except HTTPError as error:
    told["absent"] = error.response.status_code
sys.stdout.write(json.dumps(told))
