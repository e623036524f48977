from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from txbridge.cosm.negotiation import Parameters
from txbridge.cosm.refusal import Refusal
from txbridge.cosm.search import parse_search
from txbridge.hub.store import FeedSearch

NOW = datetime(2013, 6, 3, 12, tzinfo=UTC)
VISIBLE = FeedSearch("keeper", False, feed_ids=(1, 2))


def asked(query: str) -> FeedSearch:
    return parse_search(Parameters.parse(query), VISIBLE, NOW)


def test_nothing_asked_is_the_first_fifty_with_datastreams_newest_first():
    assert asked("") == FeedSearch(
        "keeper", False, feed_ids=(1, 2), order="retrieved_at", full=True, limit=50
    )


def test_every_filter_reaches_the_search():
    found = asked("q=boiler&tag=heat&user=jo&units=Celsius&content=summary&order=created_at")
    assert (found.text, found.tag, found.user, found.units) == ("boiler", "heat", "jo", "Celsius")
    assert (found.full, found.order) == (False, "created_at")


def test_a_text_search_is_ordered_by_relevance_unless_told_otherwise():
    assert asked("q=x").order == "relevance"
    assert asked("q=x&order=retrieved_at").order == "retrieved_at"


@pytest.mark.parametrize(
    ("query", "offset", "limit"),
    [
        ("page=3&per_page=10", 20, 10),
        ("page=0", 0, 50),
        ("per_page=0", 0, 1),
        ("per_page=1001", 0, 1000),
        ("page=2", 50, 50),
    ],
)
def test_pages_are_clamped(query, offset, limit):
    assert (asked(query).offset, asked(query).limit) == (offset, limit)


def test_live_and_frozen_part_at_fifteen_minutes():
    since = NOW - timedelta(minutes=15)
    assert (asked("status=live").live_since, asked("status=live").frozen_since) == (since, None)
    assert (asked("status=frozen").live_since, asked("status=frozen").frozen_since) == (None, since)
    assert (asked("status=all").live_since, asked("status=all").frozen_since) == (None, None)


def test_a_distance_is_in_kilometres_unless_in_miles():
    assert asked("lat=52&lon=-0.2&distance=10").near == (52.0, -0.2, 10.0)
    near = asked("lat=52&lon=-0.2&distance=10&distance_units=miles").near
    assert near is not None
    assert near[2] == pytest.approx(16.09344)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("lat=52", "Lat, lon and distance must be given together"),
        ("lat=91&lon=0&distance=1", "Lat must be between"),
        ("lat=0&lon=181&distance=1", "Lon must be between"),
        ("lat=0&lon=0&distance=-1", "Distance must not be negative"),
        ("lat=x&lon=0&distance=1", "Lat is not a number"),
        ("distance_units=furlongs", "Distance_units must be one of kms, miles"),
        ("status=dead", "Status must be one of"),
        ("content=all", "Content must be one of"),
        ("order=title", "Order must be one of"),
        ("page=x", "Page is not a whole number"),
        ("per_page=1.5", "Per_page is not a whole number"),
    ],
)
def test_a_bad_value_is_422_and_named(query, words):
    with pytest.raises(Refusal, match=words) as refused:
        asked(query)
    assert refused.value.status == 422
