"""How stored feeds look from outside: the members that depend on who asks, when, and by which name.

A store keeps what was written.  The feed's own address, its owner's, whether it is live, and
which members are empty and so left out, are decided here, without touching the record: the
same record may be shown to many subscribers.

Source: Cosm API v2, "API resource attributes"; xively-rb ``hash_extensions.rb`` for what is
left out.  No member outside those tables is ever made: xively-python fails on any other.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote

from attrs import evolve

from txbridge.model.accounts import User
from txbridge.model.structures import Datapoint, Datastream, Environment, Location, Unit

if TYPE_CHECKING:
    from txbridge.hub.store import DatastreamHistory, FeedRecord

__all__ = [
    "LIVE_SECONDS",
    "by_position",
    "datastream_document",
    "earliest",
    "feed_document",
    "feed_history",
    "feed_values",
    "legacy_feed_document",
    "push_document",
    "with_waypoints_between",
]

LIVE_SECONDS = 900.0
"""How long after its last write a feed is ``live``."""

LEGACY_CREATOR = "http://www.haque.co.uk"
"""What version 1 named as the creator of every feed."""

_POSITION = re.compile(r"0|[1-9][0-9]{0,3}")

MAX_WAYPOINTS = 1000
"""The most waypoints of one answer; the newest are kept.  As many as points of a query."""


def feed_document(
    record: FeedRecord,
    base_url: str,
    *,
    now: datetime,
    format: str = "json",
    show_user: bool = False,
    live_seconds: float = LIVE_SECONDS,
) -> Environment:
    """A feed as it is shown.

    Args:
        record: The stored feed; it is not changed.
        base_url: Scheme and host the reader knows us by, such as ``http://127.0.0.1:8080``.
        now: Decides whether the feed is live.
        format: The format it will be written in; it stands in the feed's own address.
        show_user: Whether the owner's login is wanted.
        live_seconds: How long after its last write a feed is live.
    """
    stored = record.environment
    fresh = stored.updated is not None and now - stored.updated < timedelta(seconds=live_seconds)
    extension = "xml" if format == "xml" else "json"
    return evolve(
        stored,
        tags=stored.tags or None,
        feed=f"{base_url}/v2/feeds/{stored.id}.{extension}",
        creator=f"{base_url}/users/{quote(record.owner, safe='')}",
        status="live" if record.written and fresh else "frozen",
        user=User(login=record.owner) if show_user else None,
        version="1.0.0",
        location=_shown_location(stored.location),
        datastreams={
            name: datastream_document(stream) for name, stream in sorted(stored.datastreams.items())
        },
    )


def legacy_feed_document(
    record: FeedRecord, base_url: str, *, now: datetime, format: str, live_seconds: float = LIVE_SECONDS
) -> Environment:
    """A feed as version 1 showed it; its datastreams in the order of their numbers.

    Args:
        record: The stored feed; it is not changed.
        base_url: Scheme and host the reader knows us by.
        now: Decides whether the feed is live.
        format: The format it will be written in.
        live_seconds: How long after its last write a feed is live.

    Source: xively-rb ``templates/xml/feed_defaults.rb``, ``templates/json/feed_defaults.rb``.
    """
    shown = feed_document(record, base_url, now=now, format=format, live_seconds=live_seconds)
    return evolve(
        shown,
        feed=f"{base_url}/v1/feeds/{shown.id}.{'xml' if format == 'xml' else 'json'}",
        creator=LEGACY_CREATOR if format == "xml" else None,
        private=None,
        tags=None,
        created=None,
        auto_feed_url=None,
        product_id=None,
        device_serial=None,
        version="0.6-alpha",
        location=None if shown.location is None else evolve(shown.location, waypoints=[]),
        datastreams=dict(sorted(shown.datastreams.items(), key=_by_number)),
    )


def by_position(feed: Environment) -> Environment:
    """A feed whose datastreams are as many as positions that their ids name, if all ids are positions."""
    positions = [_position(name) for name in feed.datastreams]
    if not positions or None in positions:
        return feed
    last = max(position for position in positions if position is not None)
    names = map(str, range(last + 1))
    return evolve(feed, datastreams={name: feed.datastreams.get(name, Datastream(id=name)) for name in names})


def _position(name: str) -> int | None:
    return int(name) if _POSITION.fullmatch(name) else None


def _by_number(item: tuple[str, Datastream]) -> tuple[bool, int, str]:
    name = item[0]
    position = _position(name)
    return position is None, position or 0, name


def datastream_document(stream: Datastream) -> Datastream:
    """A datastream as it is shown: without the members that are empty."""
    tags, unit = stream.tags or None, stream.unit
    if unit is not None and not (unit.type or unit.symbol or unit.label):
        unit = None
    if unit is not None and "" in (unit.type, unit.symbol, unit.label):
        unit = Unit(type=unit.type or None, symbol=unit.symbol or None, label=unit.label or None)
    if tags is stream.tags and unit is stream.unit:
        return stream
    return evolve(stream, tags=tags, unit=unit)


def push_document(
    record: FeedRecord,
    datastream_id: str | None,
    base_url: str,
    *,
    now: datetime,
    live_seconds: float = LIVE_SECONDS,
) -> Environment | Datastream | None:
    """What a subscriber is told after a write.

    Args:
        record: The feed right after the write.
        datastream_id: The datastream that is subscribed to; None is the whole feed.
        base_url: Scheme and host the subscriber knows us by.
        now: Decides whether the feed is live.
        live_seconds: How long after its last write a feed is live.

    Returns:
        The document, or None when the feed has no such datastream.
    """
    if datastream_id is None:
        return feed_document(record, base_url, now=now, live_seconds=live_seconds)
    stream = record.environment.datastreams.get(datastream_id)
    return None if stream is None else datastream_document(stream)


def feed_history(
    feed: Environment, histories: Sequence[DatastreamHistory], function: str | None, *, alone: bool
) -> Environment:
    """A feed with points of its history.

    Args:
        feed: As it is shown.
        histories: Points of its datastreams.
        function: What they were aggregated with, if they were.
        alone: Leave the current values out, as CSV does: its rows are either now or then.
    """
    points = {history.id: history.datapoints for history in histories}
    streams = {}
    for name, stream in feed.datastreams.items():
        shown = Datastream(id=name) if alone else stream
        streams[name] = evolve(shown, datapoints=list(points.get(name, ())), datapoints_function=function)
    return evolve(feed, datastreams=streams)


def feed_values(feed: Environment, values: dict[str, Datapoint]) -> Environment:
    """A feed with the values it had at an instant; datastreams that had none are left out."""
    streams = {
        name: evolve(stream, current_value=values[name].value, at=values[name].at)
        for name, stream in feed.datastreams.items()
        if name in values
    }
    return evolve(feed, datastreams=streams)


def earliest(histories: Sequence[DatastreamHistory], count: int) -> list[DatastreamHistory]:
    """The earliest points of several datastreams together, at most this many."""
    if sum(len(history.datapoints) for history in histories) <= count:
        return list(histories)
    order = sorted(
        (point.at, number)
        for number, history in enumerate(histories)
        for point in history.datapoints
        if point.at is not None
    )
    kept = [0] * len(histories)
    for _, number in order[:count]:
        kept[number] += 1
    return [
        evolve(history, datapoints=history.datapoints[:keep])
        for history, keep in zip(histories, kept, strict=True)
    ]


def with_waypoints_between(feed: Environment, start: datetime, end: datetime) -> Environment:
    """A feed with the waypoints of a window only."""
    location = feed.location
    if location is None or not location.waypoints:
        return feed
    inside = [point for point in location.waypoints if point.at is not None and start <= point.at <= end]
    return evolve(feed, location=evolve(location, waypoints=inside))


def _shown_location(location: Location | None) -> Location | None:
    if location is None:
        return None
    shown = evolve(
        location,
        name=location.name or None,
        domain=location.domain or None,
        exposure=location.exposure or None,
        disposition=location.disposition or None,
        ele=location.ele or None,
        waypoints=location.waypoints[-MAX_WAYPOINTS:] if location.disposition == Location.Mobile else [],
    )
    return None if shown == Location() else shown
