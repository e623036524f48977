"""Queries choose points, and what is chosen is written as clients read it."""

from __future__ import annotations

import csv
import io
import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txbridge.iobeam.exports import (
    CSV_HEADER,
    ExportQuery,
    Selection,
    csv_points,
    json_points,
    json_series,
    parse_export,
    write_time,
)
from txbridge.iobeam.refusal import Refusal

MINUTE = 60_000_000


def choose(rows, page=3, **parameters):
    """What an export gives of points in ascending order, shown page by page from the newest."""
    selection = Selection(parse_export({name: str(value) for name, value in parameters.items()}))
    chosen, backwards = [], rows[::-1]
    while backwards:
        shown, backwards = backwards[:page], backwards[page:]
        is_enough = selection.take(shown)
        chosen = selection.drain() + chosen
        if is_enough:
            break
    chosen = selection.finish() + chosen
    assert selection.count == len(chosen)
    return chosen


ROWS = [(number * MINUTE, str(number)) for number in range(10)]


def test_without_parameters_everything_is_asked_for_in_milliseconds():
    assert parse_export({}) == ExportQuery()
    assert choose(ROWS) == ROWS


def test_a_limit_keeps_the_newest_in_ascending_order():
    assert choose(ROWS, limit=2) == ROWS[-2:]
    assert choose(ROWS, limit=100) == ROWS


def test_bounds_are_whole_milliseconds():
    query = parse_export({"from": "-5", "to": "1450000000123"})
    assert (query.first, query.last) == (-5000, 1_450_000_000_123_999)


@pytest.mark.parametrize("bound", ["9223372036854775807", "-9223372036854775808", "9" * 30])
def test_bounds_out_of_range_stay_what_the_storage_can_compare(bound):
    query = parse_export({"from": bound, "to": bound})
    assert all(abs(instant) < 2**63 for instant in (query.first, query.last))


def test_values_are_filtered_before_they_are_counted():
    assert choose(ROWS, greater_than=2, less_than="7.5", limit=2) == [ROWS[6], ROWS[7]]
    assert choose(ROWS, greater_than=9) == []
    assert choose(ROWS, less_than=0) == []
    assert choose(ROWS, greater_than=-1, less_than=1) == ROWS[:1]


def test_a_number_is_equal_however_it_is_written_and_a_text_when_it_is_the_same():
    rows = [(1, "5"), (2, "5.0"), (3, "on"), (4, "5e0"), (5, "off")]
    assert choose(rows, equals="5.00") == [rows[0], rows[1], rows[3]]
    assert choose(rows, equals="on") == [rows[2]]


def test_what_is_no_number_is_neither_greater_nor_less():
    rows = [(1, "on"), (2, "true"), (3, "5")]
    assert choose(rows, greater_than=-1000) == [(3, "5")]
    assert choose(rows, less_than=1000) == [(3, "5")]


@pytest.mark.parametrize(
    ("operator", "expected"),
    [("sum", "6.6"), ("count", "4"), ("min", "1.10"), ("max", "3.3"), ("mean", "2.2")],
)
def test_an_operator_alone_makes_one_point_at_the_oldest_time(operator, expected):
    rows = [(5, "1.10"), (6, "on"), (7, "2.2"), (8, "3.3")]
    ((at, value),) = choose(rows, operator=operator)
    assert (at, Decimal(value)) == (5, Decimal(expected))
    if operator in ("min", "max"):
        assert value == expected


def test_groups_begin_at_multiples_of_their_length_and_the_newest_are_kept():
    rows = [(MINUTE * number + 7, str(number)) for number in range(10)]
    assert choose(rows, operator="sum", group_by="3m") == [
        (0, "3"),
        (3 * MINUTE, "12"),
        (6 * MINUTE, "21"),
        (9 * MINUTE, "9"),
    ]
    assert choose(rows, operator="max", group_by="3m", limit=2) == [(6 * MINUTE, "8"), (9 * MINUTE, "9")]
    assert choose([(-7, "1"), (7, "2")], operator="count", group_by="1s") == [(-1_000_000, "1"), (0, "1")]


def test_a_group_without_numbers_has_no_sum():
    rows = [(1, "on"), (2_000_000, "5")]
    assert choose(rows, operator="sum", group_by="1s") == [(2_000_000, "5")]
    assert choose(rows[:1], operator="mean") == []
    assert choose([], operator="count") == []


@given(
    st.lists(st.tuples(st.integers(-(10**12), 10**12), st.integers(-1000, 1000).map(str)), max_size=40),
    st.integers(1, 7),
    st.integers(1, 50),
    st.integers(1, 10),
)
def test_pages_make_no_difference(points, seconds, limit, page):
    rows = sorted(dict(points).items())
    groups: dict[int, list[int]] = {}
    for at, value in rows:
        groups.setdefault(at // (seconds * 1_000_000) * seconds * 1_000_000, []).append(int(value))
    expected = [(at, str(sum(values))) for at, values in sorted(groups.items())][-limit:]
    assert choose(rows, page, operator="sum", group_by=f"{seconds}s", limit=limit) == expected
    assert choose(rows, page, limit=limit) == rows[-limit:]


def test_no_more_points_are_asked_for_than_a_limit_needs():
    selection = Selection(ExportQuery(limit=5))
    assert selection.missing == 5
    assert not selection.take(ROWS[:2])
    assert (selection.missing, selection.count) == (3, 2)
    for query in (ExportQuery(), ExportQuery(limit=5, equals="x"), ExportQuery(limit=5, operator="sum")):
        assert Selection(query).missing is None


@pytest.mark.parametrize(
    "parameters",
    [
        {"limit": "0"},
        {"limit": "-1"},
        {"limit": "1.5"},
        {"from": "yesterday"},
        {"to": "1e3"},
        {"greater_than": "NaN"},
        {"less_than": "x"},
        {"timefmt": "nsec"},
        {"output": "xml"},
        {"operator": "median"},
        {"group_by": "1m"},
        {"group_by": "m", "operator": "sum"},
        {"group_by": "0s", "operator": "sum"},
        {"group_by": "1y", "operator": "sum"},
        {"group_by": "999999999999w", "operator": "sum"},
    ],
)
def test_a_parameter_that_cannot_be_read_is_refused_by_name(parameters):
    with pytest.raises(Refusal) as refusal:
        parse_export(parameters)
    assert refusal.value.status == 400
    assert refusal.value.message.startswith(next(iter(parameters)))


def test_blank_parameters_are_absent_and_unknown_ones_do_not_matter():
    assert parse_export({"limit": " ", "from": "", "colour": "red"}) == ExportQuery()


def test_choices_may_be_in_any_case():
    query = parse_export({"timefmt": "USEC", "operator": "Mean", "output": "CSV"})
    assert (query.timefmt, query.operator, query.output) == ("usec", "mean", "csv")


@pytest.mark.parametrize(
    ("timefmt", "expected"),
    [
        ("sec", "1450000000"),
        ("msec", "1450000000123"),
        ("usec", "1450000000123456"),
        ("timeval", '{"sec":1450000000,"usec":123456}'),
    ],
)
def test_times_are_whole_numbers_of_their_unit(timefmt, expected):
    assert write_time(1_450_000_000_123_456, timefmt) == expected


def test_before_1970_times_go_down_too():
    assert write_time(-1, "sec") == "-1"
    assert write_time(-1, "timeval") == '{"sec":-1,"usec":999999}'


def test_values_are_numbers_booleans_or_texts():
    texts = ["5", "-0.50", "1E5", "true", "false", "on", "+5", "05", "1.", "NaN", 'a"b', "", "٣"]
    rows = list(enumerate(texts))
    pieces = [json_points(rows[:5], "usec"), json_points(rows[5:], "usec")]
    body = json_series(7, "pump-3", "flow", pieces)
    assert b'"value":-0.50}' in body
    entry = json.loads(body)
    assert (entry["project_id"], entry["device_id"], entry["name"]) == (7, "pump-3", "flow")
    assert [point["value"] for point in entry["data"]] == [
        *(5, -0.5, 1e5, True, False, "on", "+5", "05", "1.", "NaN", 'a"b', "", "٣"),
    ]


@given(st.text(min_size=1), st.lists(st.tuples(st.integers(), st.text())))
def test_csv_reads_back_with_the_series_in_the_third_column(name, rows):
    written = CSV_HEADER + csv_points(7, "pump-3", name, rows, "usec")
    header, *lines = csv.reader(io.StringIO(written.decode("utf-8", "surrogatepass"), newline=""))
    assert header[0] == "project_id"
    assert lines == [["7", "pump-3", name, str(at), text] for at, text in rows]


def test_csv_has_timevals_as_decimals():
    assert (
        csv_points(7, "a", "b", [(1_450_000_000_000_007, "5")], "timeval") == b"7,a,b,1450000000.000007,5\r\n"
    )
