"""Which feeds a list request asks for.

Source: Cosm API v2, "Search feeds"; txcosm ``HTTPClient.py`` for the distance parameters.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from attrs import evolve

from txbridge.cosm.documents import LIVE_SECONDS
from txbridge.cosm.negotiation import Parameters
from txbridge.cosm.refusal import invalid
from txbridge.hub.store import FeedSearch

__all__ = ["page_of", "parse_search"]

DEFAULT_PER_PAGE = 50
MAX_PER_PAGE = 1000
MAX_PAGE = 1_000_000

KILOMETRES_PER_MILE = 1.609344


def parse_search(
    parameters: Parameters, visible: FeedSearch, now: datetime, *, live_seconds: float = LIVE_SECONDS
) -> FeedSearch:
    """Narrow what a key may see to what a request asks for.

    Args:
        parameters: Of the request.
        visible: Who asks, and which feeds the key may see.
        now: Decides which feeds are live.
        live_seconds: How long after its last write a feed is live.

    Raises:
        Refusal: 422, naming the parameter.
    """
    offset, limit = page_of(parameters)
    text = parameters.text("q")
    status = parameters.choice("status", ("live", "frozen", "all"), "all")
    since = now - timedelta(seconds=live_seconds)
    return evolve(
        visible,
        text=text,
        tag=parameters.text("tag"),
        user=parameters.text("user"),
        units=parameters.text("units"),
        live_since=since if status == "live" else None,
        frozen_since=since if status == "frozen" else None,
        near=_near(parameters),
        order=parameters.choice(
            "order",
            ("created_at", "retrieved_at", "relevance"),
            "retrieved_at" if text is None else "relevance",
        ),
        full=parameters.choice("content", ("full", "summary"), "full") == "full",
        offset=offset,
        limit=limit,
    )


def page_of(parameters: Parameters) -> tuple[int, int]:
    """How many things to skip, and how many to give.

    Raises:
        Refusal: 422, naming the parameter.
    """
    per_page = parameters.integer("per_page")
    per_page = DEFAULT_PER_PAGE if per_page is None else min(max(per_page, 1), MAX_PER_PAGE)
    page = parameters.integer("page")
    page = 1 if page is None else min(max(page, 1), MAX_PAGE)
    return (page - 1) * per_page, per_page


def _near(parameters: Parameters) -> tuple[float, float, float] | None:
    units = parameters.choice("distance_units", ("kms", "miles"), "kms")
    latitude, longitude, distance = (parameters.number(name) for name in ("lat", "lon", "distance"))
    if latitude is None and longitude is None and distance is None:
        return None
    if latitude is None or longitude is None or distance is None:
        raise invalid(["Lat, lon and distance must be given together"])
    if not -90 <= latitude <= 90:
        raise invalid(["Lat must be between -90 and 90"])
    if not -180 <= longitude <= 180:
        raise invalid(["Lon must be between -180 and 180"])
    if distance < 0:
        raise invalid(["Distance must not be negative"])
    return latitude, longitude, distance * (KILOMETRES_PER_MILE if units == "miles" else 1.0)
