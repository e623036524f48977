from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta

import pytest

from txbridge.cosm.documents import (
    MAX_WAYPOINTS,
    datastream_document,
    earliest,
    feed_document,
    feed_history,
    feed_values,
    push_document,
    with_waypoints_between,
)
from txbridge.hub.store import DatastreamHistory, FeedRecord
from txbridge.model.structures import Datapoint, Datastream, Environment, Location, Unit, Waypoint

BASE = "http://127.0.0.1:8080"
NOW = datetime(2013, 6, 3, 12, tzinfo=UTC)


def record(**members) -> FeedRecord:
    members.setdefault("created", NOW - timedelta(days=1))
    members.setdefault("updated", NOW)
    written = members.pop("written", True)
    return FeedRecord("keeper", Environment(id=7, title="Boiler", private=False, **members), written=written)


def shown(of: FeedRecord, **options) -> Environment:
    return feed_document(of, BASE, now=NOW, **options)


def test_a_feed_shows_its_own_address_and_its_owners():
    feed = shown(record())
    assert feed.feed == "http://127.0.0.1:8080/v2/feeds/7.json"
    assert feed.creator == "http://127.0.0.1:8080/users/keeper"
    assert feed.version == "1.0.0"
    assert feed.user is None


def test_the_address_ends_in_the_format_that_was_asked_for():
    assert shown(record(), format="xml").feed == f"{BASE}/v2/feeds/7.xml"
    assert shown(record(), format="csv").feed == f"{BASE}/v2/feeds/7.json"


def test_the_owner_is_shown_when_asked_for():
    user = shown(record(), show_user=True).user
    assert user is not None
    assert user.login == "keeper"


@pytest.mark.parametrize(
    ("minutes", "status"), [(0, "live"), (14.9, "live"), (15, "frozen"), (9999, "frozen")]
)
def test_a_feed_is_live_for_fifteen_minutes(minutes, status):
    assert shown(record(updated=NOW - timedelta(minutes=minutes))).status == status


def test_a_new_feed_is_frozen_until_it_is_written():
    assert shown(record(created=NOW, written=False)).status == "frozen"
    assert shown(record(created=NOW)).status == "live"


def test_empty_members_are_left_out_and_the_record_is_not_changed():
    stored = record(
        tags=[],
        location=Location(name="", waypoints=[]),
        datastreams=[Datastream(id="a", tags=[], unit=Unit(symbol="", label=""))],
    )
    before = copy.deepcopy(stored)
    feed = shown(stored)
    assert (feed.tags, feed.location) == (None, None)
    assert feed.datastreams["a"] == Datastream(id="a")
    assert stored == before


def test_part_of_a_unit_stays_and_its_empty_members_go():
    stream = datastream_document(Datastream(id="a", unit=Unit(type="", symbol="C", label="")))
    assert stream.unit == Unit(symbol="C")


def test_falsy_values_are_shown():
    stream = Datastream(id="a", current_value="0", tags=["0"], unit=Unit(label="0"))
    assert datastream_document(stream) == stream


def test_datastreams_come_in_the_order_of_their_ids():
    feed = shown(record(datastreams=[Datastream(id=name) for name in ("b", "a10", "ä", "a2", "B")]))
    assert list(feed.datastreams) == ["B", "a10", "a2", "b", "ä"]


def track(count: int) -> list[Waypoint]:
    return [Waypoint(at=NOW + timedelta(minutes=number), lat=1, lon=number % 180) for number in range(count)]


def test_only_a_mobile_feed_has_waypoints_and_the_newest_are_kept():
    fixed = shown(record(location=Location(disposition="fixed", lat=1, waypoints=track(2)))).location
    assert fixed == Location(disposition="fixed", lat=1)
    points = track(MAX_WAYPOINTS + 5)
    mobile = shown(record(location=Location(disposition="mobile", lat=1, waypoints=points))).location
    assert mobile is not None
    assert mobile.waypoints == points[5:]


def test_waypoints_follow_a_window():
    feed = shown(record(location=Location(disposition="mobile", waypoints=track(5))))
    found = with_waypoints_between(feed, NOW + timedelta(minutes=1), NOW + timedelta(minutes=3)).location
    assert found is not None
    assert [point.lon for point in found.waypoints] == [1, 2, 3]


def points(*minutes: int) -> list[Datapoint]:
    return [Datapoint(at=NOW + timedelta(minutes=minute), value=minute) for minute in minutes]


def test_history_stands_beside_what_is_current_except_in_csv():
    feed = shown(
        record(datastreams=[Datastream(id="a", current_value=9), Datastream(id="b", current_value=8)])
    )
    beside = feed_history(feed, [DatastreamHistory("a", points(1, 2))], "max", alone=False)
    assert beside.datastreams["a"].current_value == "9"
    assert beside.datastreams["a"].datapoints == points(1, 2)
    assert beside.datastreams["a"].datapoints_function == "max"
    assert beside.datastreams["b"].datapoints == []
    alone = feed_history(feed, [DatastreamHistory("a", points(1, 2))], None, alone=True)
    assert alone.datastreams["a"] == Datastream(id="a", datapoints=points(1, 2))
    assert alone.datastreams["b"] == Datastream(id="b")


def test_values_at_an_instant_take_the_place_of_the_current_ones():
    feed = shown(record(datastreams=[Datastream(id="a", current_value=9, max_value=10), Datastream(id="b")]))
    then = feed_values(feed, {"a": points(3)[0]})
    assert list(then.datastreams) == ["a"]
    assert then.datastreams["a"] == Datastream(id="a", current_value="3", at=points(3)[0].at, max_value="10")


def test_of_too_many_points_the_earliest_of_all_datastreams_are_kept():
    histories = [DatastreamHistory("a", points(1, 3, 5)), DatastreamHistory("b", points(2, 4, 6))]
    kept = earliest(histories, 3)
    assert [[point.value for point in one.datapoints] for one in kept] == [["1", "3"], ["2"]]
    assert earliest(histories, 6) == histories


def test_a_push_is_the_feed_or_the_one_datastream():
    stored = record(datastreams=[Datastream(id="a", current_value=1, tags=[])])
    feed = push_document(stored, None, BASE, now=NOW)
    assert feed == shown(stored)
    assert push_document(stored, "a", BASE, now=NOW) == Datastream(id="a", current_value=1)
    assert push_document(stored, "gone", BASE, now=NOW) is None
