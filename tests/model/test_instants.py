"""Instants: text, datetimes and the numbers of other platforms."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone, tzinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txbridge.model.instants import (
    as_instant,
    format_instant,
    from_microseconds,
    from_nanoseconds,
    parse_instant,
    shorten,
    to_microseconds,
    to_nanoseconds,
)

MORNING = datetime(2013, 6, 3, 9, 15, 42, 250_000, tzinfo=UTC)
INSTANTS = st.datetimes(timezones=st.just(UTC))


@pytest.mark.parametrize(
    "text",
    [
        "2013-06-03T09:15:42.250000Z",
        "2013-06-03T09:15:42.25Z",
        "2013-06-03T09:15:42.250000999Z",
        "2013-06-03t09:15:42.25Z",
        "2013-06-03 09:15:42.25",
        "2013-06-03T10:15:42.25+01:00",
        "2013-06-03T05:45:42.25-0330",
        "2013-06-03T11:15:42.25+02",
        "  2013-06-03T09:15:42.25Z\r\n",
    ],
)
def test_the_forms_that_clients_send_are_one_instant(text):
    assert parse_instant(text) == MORNING
    assert parse_instant(text).tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "hour", "minute"), [("2013-06-03", 0, 0), ("2013-06-03T09", 9, 0), ("2013-06-03T09:15", 9, 15)]
)
def test_what_is_left_out_of_a_time_is_zero(text, hour, minute):
    assert parse_instant(text) == datetime(2013, 6, 3, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "1370250942",
        "20130603T091542Z",
        "2013-W23-1",
        "2013-154",
        "2013-06-31",
        "2013-06-03x09:15:42Z",
        "2013-06-03T09:15:60Z",
        "2013-06-03T09:15:42ZZ",
        "9999-12-31T23:59:59-01:00",
        "0001-01-01T00:00:00+01:00",
        "Mon, 03 Jun 2013 09:15:42 GMT",
    ],
)
def test_anything_else_is_refused_with_its_text(text):
    with pytest.raises(ValueError, match="is not an ISO 8601 date and time") as caught:
        parse_instant(text)
    assert repr(text) in str(caught.value)


def test_a_long_text_is_cut_in_the_error():
    with pytest.raises(ValueError, match="…") as caught:
        parse_instant("2013" * 10_000)
    assert len(str(caught.value)) < 120


@given(st.text(max_size=30))
def test_no_text_raises_anything_but_a_value_error(text):
    try:
        at = parse_instant(text)
    except ValueError:
        return
    assert at.tzinfo is UTC


@given(INSTANTS)
def test_what_is_formatted_is_parsed_back(at):
    text = format_instant(at)
    assert parse_instant(text) == at
    assert len(text) == len("2013-06-03T09:15:42.250000Z")


def test_a_zone_changes_how_an_instant_is_shown():
    assert format_instant(MORNING) == "2013-06-03T09:15:42.250000Z"
    assert format_instant(MORNING, timezone(timedelta(hours=1))) == "2013-06-03T10:15:42.250000+01:00"


def test_an_instant_in_another_zone_becomes_utc():
    at = as_instant(MORNING.astimezone(timezone(timedelta(hours=-3, minutes=-30))))
    assert at is not None
    assert (at, at.tzinfo) == (MORNING, UTC)


def test_none_stays_absent_and_text_is_parsed():
    assert as_instant(None) is None
    assert as_instant("2013-06-03T09:15:42.25Z") == MORNING


class Nowhere(tzinfo):
    """A zone that does not know its offset, which makes a datetime naive too."""

    def utcoffset(self, at):
        return None

    dst = tzname = utcoffset


@pytest.mark.parametrize("zone", [None, Nowhere()])
def test_a_naive_datetime_is_refused(zone):
    with pytest.raises(ValueError, match="no time zone"):
        as_instant(datetime(2013, 6, 3, tzinfo=zone))


def test_an_instant_before_year_1_in_utc_is_refused():
    with pytest.raises(ValueError, match="outside the years"):
        as_instant(datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))))


def test_a_subclass_of_datetime_becomes_a_plain_one():
    class Stamp(datetime):
        """As pandas has one."""

    at = as_instant(Stamp(2013, 6, 3, 9, 15, 42, 250_000, tzinfo=UTC))
    assert at == MORNING
    assert type(at) is datetime


@pytest.mark.parametrize("value", [0, 1370250942, 1370250942.25, True])
def test_a_bare_number_is_refused_because_its_unit_is_a_guess(value):
    with pytest.raises(TypeError, match="not an instant"):
        as_instant(value)


@given(INSTANTS)
def test_microseconds_and_nanoseconds_are_exact(at):
    assert from_microseconds(to_microseconds(at)) == at
    assert from_nanoseconds(to_nanoseconds(at)) == at
    assert to_nanoseconds(at) == to_microseconds(at) * 1000


def test_the_epoch_is_zero_and_what_came_before_is_negative():
    assert to_microseconds(datetime(1970, 1, 1, tzinfo=UTC)) == 0
    assert to_microseconds(datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == -1


def test_nanoseconds_below_a_microsecond_are_cut_off():
    assert from_nanoseconds(1999) == from_microseconds(1)
    assert from_nanoseconds(-1) == from_microseconds(-1)


@pytest.mark.parametrize("count", [10**18, -(10**18)])
def test_an_instant_outside_the_calendar_is_refused(count):
    with pytest.raises(OverflowError):
        from_microseconds(count)


def test_text_is_cut_only_when_it_is_long():
    assert shorten("x" * 60) == "x" * 60
    assert shorten("x" * 61) == "x" * 59 + "…"
