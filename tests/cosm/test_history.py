from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txbridge.cosm.history import INTERVALS, Duration, parse_deletion, parse_duration, parse_history
from txbridge.cosm.negotiation import Parameters
from txbridge.cosm.refusal import Refusal
from txbridge.hub.store import HistoryQuery

NOW = datetime(2013, 6, 3, 12, tzinfo=UTC)


def asked(query: str, **options) -> HistoryQuery:
    found = parse_history(Parameters.parse(query), NOW, **options)
    assert found is not None
    return found


def refused(query: str) -> tuple[int, str]:
    with pytest.raises(Refusal) as caught:
        parse_history(Parameters.parse(query), NOW)
    return caught.value.status, caught.value.errors


@pytest.mark.parametrize(
    "query", ["", "timezone=London&_=12", "page=2", "per_page=5", "start=", "function=max"]
)
def test_a_read_without_history_parameters_asks_for_none(query):
    assert parse_history(Parameters.parse(query), NOW) is None


@pytest.mark.parametrize("name", ["limit=5", "find_previous=true", "interval=0", "interval_type=discrete"])
def test_a_parameter_that_names_no_window_asks_for_the_last_six_hours(name):
    query = asked(name)
    assert (query.start, query.end) == (NOW - timedelta(hours=6), NOW)


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("1seconds", Duration(seconds=1)),
        ("90minutes", Duration(seconds=5400)),
        ("24hours", Duration(seconds=86400)),
        ("1day", Duration(seconds=86400)),
        ("2weeks", Duration(seconds=1209600)),
        ("3months", Duration(months=3)),
        ("1year", Duration(months=12)),
        ("1800", Duration(seconds=1800)),
        ("6 hours", Duration(seconds=21600)),
        ("6Hours", Duration(seconds=21600)),
    ],
)
def test_every_unit_of_a_duration_is_read_in_singular_and_plural(text, duration):
    assert parse_duration(text) == duration


@pytest.mark.parametrize("text", ["", "hours", "1.5hours", "-1day", "1fortnight", "5s", "1hourss", "٣days"])
def test_a_duration_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="is not a number of"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("at", "text", "after", "before"),
    [
        ("2012-01-31", "1month", "2012-02-29", "2011-12-31"),
        ("2013-03-31", "1month", "2013-04-30", "2013-02-28"),
        ("2012-02-29", "1year", "2013-02-28", "2011-02-28"),
        ("2013-01-15", "13months", "2014-02-15", "2011-12-15"),
        ("2013-01-15", "1week", "2013-01-22", "2013-01-08"),
    ],
)
def test_months_and_years_follow_the_calendar(at, text, after, before):
    instant, duration = datetime.fromisoformat(at).replace(tzinfo=UTC), parse_duration(text)
    assert f"{duration.after(instant):%Y-%m-%d}" == after
    assert f"{duration.before(instant):%Y-%m-%d}" == before


@pytest.mark.parametrize(
    ("query", "start", "end"),
    [
        ("start=2013-06-03T08:00:00Z&end=2013-06-03T09:00:00Z", "08:00", "09:00"),
        ("start=2013-06-03T08:00:00Z", "08:00", "12:00"),
        ("end=2013-06-03T09:00:00Z", "03:00", "09:00"),
        ("duration=30minutes", "11:30", "12:00"),
        ("start=2013-06-03T08:00:00Z&duration=2hours", "08:00", "10:00"),
        ("end=2013-06-03T09:00:00Z&duration=1800", "08:30", "09:00"),
        ("start=2013-06-03T13:00:00Z", "13:00", "13:00"),
    ],
)
def test_a_window_comes_from_any_two_of_its_bounds(query, start, end):
    found = asked(query)
    assert (f"{found.start:%H:%M}", f"{found.end:%H:%M}") == (start, end)


def test_three_bounds_contradict_each_other():
    status, errors = refused("start=2013-06-03T08:00:00Z&end=2013-06-03T09:00:00Z&duration=1hour")
    assert (status, errors) == (400, "Give two of start, end and duration, not all three")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("start=soon", "Start is malformed"),
        ("duration=soon", "Duration is malformed"),
        ("interval=x", "Interval is not a whole number"),
        ("limit=x", "Limit is not a whole number"),
        ("start=2013-06-03T09:00:00Z&end=2013-06-03T08:00:00Z", "Start must not be after end"),
        ("duration=999999999years", "beyond the calendar"),
        ("duration=999999999weeks", "beyond the calendar"),
        ("end=0001-01-01", "beyond the calendar"),
        ("interval=60&function=median", "Function must be one of"),
        ("interval=0&function=max", "Function needs an interval"),
    ],
)
def test_a_parameter_that_cannot_be_is_422_and_named(query, words):
    status, errors = refused(query)
    assert status == 422
    assert words in errors


@pytest.mark.parametrize(
    ("interval", "seconds"),
    [
        (0, 0),
        (-5, 0),
        (1, 30),
        (30, 30),
        (31, 60),
        (100, 300),
        (1799, 1800),
        (43201, 86400),
        (99999999, 86400),
    ],
)
def test_an_interval_is_rounded_up_to_the_table(interval, seconds):
    assert asked(f"interval={interval}").interval == seconds


@pytest.mark.parametrize(
    ("interval", "duration"),
    [
        (0, "6hours"),
        (30, "12hours"),
        (60, "24hours"),
        (300, "5days"),
        (900, "14days"),
        (1800, "31days"),
        (3600, "31days"),
        (10800, "90days"),
        (21600, "180days"),
        (43200, "1year"),
        (86400, "1year"),
    ],
)
def test_each_interval_takes_its_widest_window_and_no_wider(interval, duration):
    end = datetime(2012, 12, 31, tzinfo=UTC)  # the year before is a leap year
    at = end.isoformat().replace("+00:00", "Z")
    found = asked(f"interval={interval}&duration={duration}&end={at}")
    widest = INTERVALS[[one.seconds for one in INTERVALS].index(interval)].widest
    assert found.start == parse_duration(duration).before(end)
    assert found.end - found.start <= widest
    status, errors = refused(f"interval={interval}&duration={int(widest.total_seconds()) + 1}&end={at}")
    assert status == 422
    assert f"with an interval of {interval}" in errors


def test_a_window_that_is_too_wide_names_its_limit():
    assert refused("duration=7hours")[1] == "The window must not be longer than 6 hours with an interval of 0"


@pytest.mark.parametrize(
    ("query", "start", "end"),
    [
        ("start=2013-06-01", "2013-06-01T00", "2013-06-01T06"),
        ("start=2013-06-01&end=2013-06-03", "2013-06-01T00", "2013-06-01T06"),
        ("duration=2days", "2013-06-03T06", "2013-06-03T12"),
        ("duration=2days&end=2013-06-03", "2013-06-02T18", "2013-06-03T00"),
    ],
)
def test_a_server_that_narrows_windows_keeps_the_bound_that_was_given(query, start, end):
    found = asked(query, window_limits="clamp")
    assert (f"{found.start:%Y-%m-%dT%H}", f"{found.end:%Y-%m-%dT%H}") == (start, end)


@pytest.mark.parametrize(
    ("query", "limit", "skip"),
    [
        ("limit=5", 5, 0),
        ("interval=0", 100, 0),
        ("limit=0", 1, 0),
        ("limit=-3", 1, 0),
        ("limit=5000", 1000, 0),
        ("interval=0&per_page=7", 7, 0),
        ("interval=0&per_page=7&page=3", 7, 14),
        ("interval=0&page=0", 100, 0),
        ("limit=9&per_page=7", 9, 0),
    ],
)
def test_both_spellings_of_a_limit_are_clamped(query, limit, skip):
    found = asked(query)
    assert (found.limit, found.skip) == (limit, skip)


def test_discrete_points_need_an_interval_and_have_no_previous_one():
    assert asked("interval=60&interval_type=discrete&find_previous=true") == HistoryQuery(
        start=NOW - timedelta(hours=24), end=NOW, interval=60, discrete=True
    )
    assert not asked("interval_type=discrete").discrete
    assert not asked("interval=60&interval_type=whatever").discrete


def test_a_function_takes_the_place_of_sampling():
    found = asked("interval=60&function=average&interval_type=discrete&find_previous=1")
    assert (found.function, found.discrete, found.find_previous) == ("average", False, True)


@pytest.mark.parametrize(
    ("text", "wanted"), [("true", True), ("True", True), ("yes", True), ("false", False), ("0", False)]
)
def test_find_previous_is_anything_but_false(text, wanted):
    assert asked(f"find_previous={text}").find_previous is wanted


DAY = "2013-06-03T"


@pytest.mark.parametrize(
    ("query", "start", "end"),
    [
        (f"start={DAY}08:00:00Z", "08:00", None),
        (f"end={DAY}09:00:00Z", None, "09:00"),
        (f"start={DAY}08:00:00Z&end={DAY}09:00:00Z", "08:00", "09:00"),
        (f"start={DAY}08:00:00Z&duration=2hours", "08:00", "10:00"),
        (f"end={DAY}09:00:00Z&duration=2hours", "07:00", "09:00"),
    ],
)
def test_a_range_to_delete_has_one_or_two_bounds(query, start, end):
    found = [None if at is None else f"{at:%H:%M}" for at in parse_deletion(Parameters.parse(query))]
    assert found == [start, end]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400),
        ("duration=1day", 400),
        (f"start={DAY}08:00:00Z&end={DAY}09:00:00Z&duration=1hour", 400),
        ("start=soon", 422),
        (f"start={DAY}09:00:00Z&end={DAY}08:00:00Z", 422),
        (f"start={DAY}09:00:00Z&duration=999999999years", 422),
    ],
)
def test_nothing_is_deleted_by_accident(query, status):
    with pytest.raises(Refusal) as caught:
        parse_deletion(Parameters.parse(query))
    assert caught.value.status == status


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "start",
                "end",
                "duration",
                "limit",
                "page",
                "per_page",
                "interval",
                "interval_type",
                "function",
                "find_previous",
            ]
        ),
        st.text(max_size=12)
        | st.sampled_from(["2013-01-01", "9999-12-31", "1day", "86400", "-1", "discrete", "max"]),
    )
)
def test_no_parameters_lead_to_anything_but_a_sound_query_or_a_refusal(values):
    query, status = None, 200
    try:
        query = parse_history(Parameters(values), NOW, window_limits="clamp")
    except Refusal as refusal:
        status = refusal.status
    assert status in (200, 400, 422)
    if query is not None:
        assert query.start <= query.end
        assert query.end - query.start <= timedelta(days=366)
        assert 1 <= query.limit <= 1000
        assert query.skip >= 0
