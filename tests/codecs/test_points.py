"""Many points at once: the fast way and the plain way have the same results."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import strategies
from txbridge.codecs.points import (
    are_plain,
    instant_text,
    instant_texts,
    members_are_plain,
    number_texts,
    points_from_text,
    points_to_json,
)
from txbridge.errors import DecodeError
from txbridge.model.instants import format_instant, parse_instant
from txbridge.model.structures import Datapoint, as_text

NOON = datetime(2013, 6, 3, 12, tzinfo=UTC)
HALF_PAST = timezone(timedelta(hours=5, minutes=30))

TIMESTAMPS = [
    "2013-06-03T09:15:42.250000Z",
    "2013-06-03T09:15:42Z",
    "2013-06-03T09:15:42.250Z",
    "2013-06-03T09:15:42.1234567Z",
    "2013-06-03T09:15:42.9999999Z",
    "2013-06-03T09:15:42+01:00",
    "2013-06-03T09:15:42.25-0330",
    "2013-06-03T09:15:42.2+01",
    "2013-06-03T09:15:42",
    "2013-06-03T09:15:42.2",
    "2013-06-03 09:15:42Z",
    "2013-06-03t09:15:42Z",
    "2013-06-03T09:15Z",
    "2013-06-03T09:15:60Z",
    "2013-02-30T09:15:42Z",
    "2013-06-03",
    "yesterday",
    "Z",
]


def one_by_one(ats: list[str | None], values: list[str | None]) -> list[Datapoint] | int:
    """What `points_from_text` must give, or the index of the timestamp it must complain of."""
    points = []
    for index, (at, value) in enumerate(zip(ats, values, strict=True)):
        try:
            instant = None if at is None or not at.strip() else parse_instant(at)
        except ValueError:
            return index
        points.append(Datapoint(at=instant, value=value))
    return points


@given(
    st.lists(
        st.sampled_from(TIMESTAMPS) | st.none() | st.just(" ") | strategies.instants().map(format_instant)
    )
)
def test_points_are_read_as_if_one_by_one(ats):
    values = [None if index % 5 == 4 else str(index) for index in range(len(ats))]
    expected = one_by_one(ats, values)
    if isinstance(expected, int):
        with pytest.raises(DecodeError) as caught:
            points_from_text("csv", "datapoints", ats, values)
        assert (caught.value.path, caught.value.invalid) == (f"datapoints[{expected}].at", True)
    else:
        assert points_from_text("csv", "datapoints", ats, values) == expected


@pytest.mark.parametrize("text", TIMESTAMPS)
def test_a_timestamp_by_itself_is_read_the_same_in_bulk(text):
    expected = one_by_one([text], ["1"])
    if isinstance(expected, int):
        with pytest.raises(DecodeError):
            points_from_text("xml", "", [text], ["1"])
    else:
        assert points_from_text("xml", "", [text], ["1"]) == expected


@given(st.lists(st.none() | strategies.instants(), max_size=6), st.sampled_from([None, UTC, HALF_PAST]))
def test_instants_are_written_as_if_one_by_one(ats, zone):
    assert instant_texts(ats, zone) == [None if at is None else instant_text(at, zone) for at in ats]


@given(st.lists(strategies.datapoints(), max_size=6), st.sampled_from([None, UTC, HALF_PAST]))
def test_json_points_hold_what_the_points_hold(points, zone):
    expected = []
    for point in points:
        members = {"at": None if point.at is None else instant_text(point.at, zone), "value": point.value}
        expected.append({name: text for name, text in members.items() if text is not None})
    assert json.loads(points_to_json(points, zone)) == expected


@pytest.mark.parametrize("value", ["Z", "12:00:00Z", '12:00:00Z","value":"'])
def test_a_value_that_looks_like_the_end_of_a_timestamp_stays_as_it_is(value):
    points = [Datapoint(at=NOON, value="1"), Datapoint(at=NOON, value=value)]
    written = json.loads(points_to_json(points, None))
    assert [point["value"] for point in written] == ["1", value]
    assert {point["at"] for point in written} == {"2013-06-03T12:00:00.000000Z"}


def test_utc_is_written_as_z_whether_asked_for_or_not():
    assert instant_text(NOON, UTC) == instant_text(NOON, None) == "2013-06-03T12:00:00.000000Z"
    assert instant_text(NOON, HALF_PAST) == "2013-06-03T17:30:00.000000+05:30"


def test_an_instant_its_zone_has_no_date_for_is_shown_in_utc():
    last = datetime.max.replace(tzinfo=UTC)
    assert instant_texts([last], HALF_PAST) == ["9999-12-31T23:59:59.999999Z"]


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("2013-06-03T09:15:42.250000Z", True),
        ("2013-06-03T09:15:42Z", True),
        ("2013-06-03T09:15:42.1234567Z", False),
        ("2013-06-03T09:15:42+01:00", False),
        ("2013-06-03T09:15:42", False),
        (None, False),
    ],
)
def test_plain_timestamps_are_utc_to_the_microsecond(text, plain):
    assert are_plain([text]) is plain


PADDING = ',"padding":"' + "x" * 5000 + '"'
SIZES = pytest.mark.parametrize("padding", ["", PADDING], ids=["small", "large"])


@SIZES
@pytest.mark.parametrize("colon", [":", ": "])
@pytest.mark.parametrize("text", TIMESTAMPS)
def test_members_are_plain_only_where_msgspec_and_the_model_agree(text, colon, padding):
    data = f'{{"value":"1","at"{colon}"{text}"{padding}}}'.encode()
    if members_are_plain(data):
        assert are_plain([text])


@SIZES
@pytest.mark.parametrize("colon", [":", ": "])
@pytest.mark.parametrize("text", TIMESTAMPS[:3])
def test_members_in_the_usual_forms_are_plain(text, colon, padding):
    data = f'{{"value":"1","at"{colon}"{text}"{padding}}}'.encode()
    assert members_are_plain(data)


@SIZES
@pytest.mark.parametrize(
    "members",
    [
        '"at":"2013-06-03T09:15:42","xyz":"Z"',  # a Z where a longer timestamp would have it
        '"at":"2013-06-03T09:15:42.2","xxZ":"1"',
        '"at":null',
        '"at":20130603',
        '"at" : "2013-06-03T09:15:42Z"',
        '"at":"2013-06-03T09:15:42Z","more":{"at":"2013-06-03T09:15:42+01:00"}',
    ],
)
def test_members_in_other_forms_are_not_taken_for_plain(members, padding):
    assert not members_are_plain(f"{{{members}{padding}}}".encode())


@SIZES
def test_a_document_that_ends_with_a_timestamp_is_searched_to_its_end(padding):
    assert members_are_plain(f'{{"id":"a"{padding},"at":"2013-06-03T09:15:42Z"}}'.encode())
    assert not members_are_plain(f'{{"id":"a"{padding},"at"'.encode())


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.floats(1e-4, 1e16)))
def test_floats_become_the_texts_that_each_of_them_becomes(numbers):
    assert number_texts(np.array(numbers, np.float64)) == [as_text(number) for number in numbers]


PLAIN_FLOATS = (
    st.floats(1e-4, 1e16, exclude_max=True)
    | st.floats(2**-13, 2**53, width=32)
    | st.integers(-(2**53), 0).map(float)
)


@given(st.lists(PLAIN_FLOATS))
def test_floats_without_an_exponent_become_the_texts_that_each_of_them_becomes(numbers):
    assert number_texts(np.array(numbers, np.float64)) == [as_text(number) for number in numbers]


@given(st.lists(st.integers(-(2**63), 2**63 - 1)))
def test_integers_become_the_texts_that_each_of_them_becomes(numbers):
    assert number_texts(np.array(numbers, np.int64)) == [as_text(number) for number in numbers]


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_no_format_has_a_number_for_is_refused(number):
    with pytest.raises(ValueError, match="cannot be sent"):
        number_texts(np.array([1.0, number]))
