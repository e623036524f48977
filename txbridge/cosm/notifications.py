"""What a trigger sends when it fires: a form with one field, a JSON document.

The document has the members of every generation of the service, so that receivers written for any of
them find theirs: ``value.value`` and ``value.current_value``, ``lon`` and ``lng``.

Source: Cosm API v2, "Triggers"; the receivers of notifo and xively-imp.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlencode

from txbridge.hub.store import Notice
from txbridge.model.instants import format_instant
from txbridge.model.numbers import parse_number
from txbridge.model.structures import Datastream, Location

__all__ = ["notification_body", "notification_document"]


def notification_body(notice: Notice, base_url: str) -> bytes:
    """The form that is posted.

    Args:
        notice: What fired.
        base_url: Scheme and host that receivers know the hub by.
    """
    document = json.dumps(notification_document(notice, base_url), ensure_ascii=False, separators=(",", ":"))
    return urlencode({"body": document}, quote_via=quote).encode("ascii")


def notification_document(notice: Notice, base_url: str) -> dict[str, Any]:
    """The document in the form."""
    trigger, feed = notice.trigger, notice.environment
    feed_url = f"{base_url}/v2/feeds/{feed.id}"
    stream = next(iter(feed.datastreams.values()))
    document: dict[str, Any] = {
        "id": trigger.id,
        "url": f"{base_url}/v2/triggers/{trigger.id}",
        "type": trigger.trigger_type,
        "threshold_value": trigger.threshold_value,
        "timestamp": format_instant(notice.at),
        "environment": {
            "id": feed.id,
            "title": feed.title,
            "description": feed.description or "",
            "feed": feed_url,
            "location": _location(feed.location),
        },
        "triggering_datastream": _stream(stream, feed_url),
    }
    if trigger.threshold_value is None:
        del document["threshold_value"]
    return document


def _location(place: Location | None) -> dict[str, Any]:
    if place is None:
        return {}
    members = {
        "name": place.name,
        "lat": None if place.lat is None else str(place.lat),
        "lon": None if place.lon is None else str(place.lon),
        "lng": None if place.lon is None else str(place.lon),
    }
    return {name: value for name, value in members.items() if value is not None}


def _stream(stream: Datastream, feed_url: str) -> dict[str, Any]:
    value: dict[str, Any] = {"value": stream.current_value, "current_value": stream.current_value}
    for name in ("max_value", "min_value"):
        number = parse_number(getattr(stream, name) or "")
        if number is not None:
            value[name] = int(number) if number == int(number) else float(number)
    members: dict[str, Any] = {
        "id": stream.id,
        "url": f"{feed_url}/datastreams/{quote(stream.id or '', safe='')}",
        "at": None if stream.at is None else format_instant(stream.at),
        "value": value,
    }
    if stream.unit is not None:
        units = {"type": stream.unit.type, "symbol": stream.unit.symbol, "label": stream.unit.label}
        members["units"] = {name: text for name, text in units.items() if text is not None}
    return {name: member for name, member in members.items() if member is not None}
