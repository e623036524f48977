"""The document that receivers of every generation can read."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from urllib.parse import parse_qs

from txbridge.cosm.notifications import notification_body
from txbridge.hub.store import Notice
from txbridge.model.accounts import Trigger
from txbridge.model.structures import Datastream, Environment, Location, Unit

AT = datetime(2013, 6, 3, 9, 15, 42, 250000, tzinfo=UTC)


def read(notice):
    form = parse_qs(notification_body(notice, "http://127.0.0.1:8080").decode("ascii"), strict_parsing=True)
    assert list(form) == ["body"]
    return json.loads(form["body"][0])


def notice(trigger, environment):
    return Notice(1, trigger, environment, AT, 0)


def test_a_notification_has_the_members_of_every_generation():
    trigger = Trigger(id=31, url="http://hook.example/", trigger_type="gt", threshold_value="21.5")
    environment = Environment(
        id=7301,
        title="Boiler & Söhne",
        location=Location(name="cellar", lat=52.1, lon=-0.2),
        datastreams={
            "flow temp": Datastream(
                id="flow temp",
                current_value="22.0",
                at="2013-06-03T09:15:41.9Z",
                max_value="30.5",
                min_value="11.0",
                unit=Unit(type="derivedSI", symbol="C", label="Celsius"),
            )
        },
    )
    feed = "http://127.0.0.1:8080/v2/feeds/7301"
    assert read(notice(trigger, environment)) == {
        "id": 31,
        "url": "http://127.0.0.1:8080/v2/triggers/31",
        "type": "gt",
        "threshold_value": "21.5",
        "timestamp": "2013-06-03T09:15:42.250000Z",
        "environment": {
            "id": 7301,
            "title": "Boiler & Söhne",
            "description": "",
            "feed": feed,
            "location": {"name": "cellar", "lat": "52.1", "lon": "-0.2", "lng": "-0.2"},
        },
        "triggering_datastream": {
            "id": "flow temp",
            "url": f"{feed}/datastreams/flow%20temp",
            "at": "2013-06-03T09:15:41.900000Z",
            "units": {"type": "derivedSI", "symbol": "C", "label": "Celsius"},
            "value": {"value": "22.0", "current_value": "22.0", "max_value": 30.5, "min_value": 11},
        },
    }


def test_what_is_not_known_is_left_out():
    trigger = Trigger(id=1, trigger_type="frozen")
    environment = Environment(id=1, title="x", datastreams={"a": Datastream(id="a")})
    document = read(notice(trigger, environment))
    assert "threshold_value" not in document
    assert document["environment"]["location"] == {}
    assert document["triggering_datastream"]["value"] == {"value": None, "current_value": None}
