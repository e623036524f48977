"""The ``timezone`` parameter."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from txbridge.codecs import timezones
from txbridge.codecs.timezones import zone_of

SUMMER = datetime(2013, 7, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("-3.5", -3.5),
        ("+1", 1),
        (" 1", 1),
        ("8", 8),
        ("5.75", 5.75),
        ("0", 0),
        ("-0", 0),
        ("23.99", 23.9833333),
    ],
)
def test_a_number_is_hours_from_utc_to_the_minute(text, hours):
    offset = SUMMER.astimezone(zone_of(text)).utcoffset()
    assert offset == timedelta(minutes=round(hours * 60))


@pytest.mark.parametrize(
    ("place", "offset"),
    [
        ("UTC", "+00:00"),
        ("London", "+01:00"),
        ("Berlin", "+02:00"),
        ("Newfoundland", "-02:30"),
        ("Adelaide", "+09:30"),
        ("Kathmandu", "+05:45"),
        ("Pacific Time (US & Canada)", "-07:00"),
        ("Nuku'alofa", "+13:00"),
    ],
)
def test_a_place_has_its_offset_of_the_day(place, offset):
    assert SUMMER.astimezone(zone_of(place)).isoformat().endswith(offset)


def test_nothing_and_utc_are_the_same_zone():
    assert zone_of("0") is zone_of("UTC") is UTC


@pytest.mark.parametrize(
    "text", ["", "london", "24", "-24", "25", "1e1", "Europe/London", "../UTC", "1.", "nan"]
)
def test_what_is_neither_hours_nor_a_place_is_refused_by_name(text):
    with pytest.raises(ValueError, match="neither hours from UTC nor the name of a time zone") as caught:
        zone_of(text)
    assert repr(text) in str(caught.value)


def test_a_long_name_is_cut_in_the_error():
    with pytest.raises(ValueError, match="…"):
        zone_of("x" * 10_000)


@pytest.mark.parametrize("zone", sorted(timezones._PLACES))
def test_each_place_stands_for_a_zone_that_exists(zone):
    for place in timezones._PLACES[zone]:
        assert zone_of(place) == ZoneInfo(zone)


def test_every_documented_place_is_known():
    assert len(timezones._ZONES) >= 141
