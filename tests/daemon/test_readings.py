"""Values as arguments and as lines, and the writes they become."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from txbridge.daemon.readings import Reading, document_of, read_argument, read_line
from txbridge.errors import ConfigError

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
LATER = datetime(2026, 11, 21, 13, tzinfo=UTC)


def test_an_argument_is_split_at_its_first_equals_sign():
    assert read_argument("door=a=b", AT) == Reading("door", AT, "a=b")


def test_zero_is_a_value():
    assert read_argument("temp=0", None).value == "0"


@pytest.mark.parametrize("text", ["temp", "=1", "te mp=1", "temp=", "x" * 256 + "=1"])
def test_what_is_no_argument_is_refused(text):
    with pytest.raises(ConfigError):
        read_argument(text, None)


def test_a_value_that_is_missing_is_told_with_its_datastream():
    with pytest.raises(ConfigError, match="'temp' has no value"):
        read_argument("temp=", None)
    with pytest.raises(ConfigError, match="line 3: 'temp' has no value"):
        read_line("temp,,", 3)


def test_a_line_has_an_id_an_instant_and_a_value():
    assert read_line("temp,2026-11-21T12:00:00Z,21.50\n", 7) == Reading("temp", AT, "21.50")


def test_a_line_without_an_instant_leaves_it_to_the_hub():
    assert read_line("temp,,21", 1) == Reading("temp", None, "21")


def test_a_quoted_value_may_hold_a_comma():
    assert read_line('note,,"a, b"', 1) == Reading("note", None, "a, b")


@pytest.mark.parametrize("line", ["", "\n", "  \r\n", ",,", "datastream,at,value\n"])
def test_a_line_that_says_nothing_is_left_out(line):
    assert read_line(line, 1) is None


def test_column_names_are_left_out_in_the_first_line_only():
    with pytest.raises(ConfigError, match="line 2"):
        read_line("datastream,at,value", 2)


@pytest.mark.parametrize(
    "line", ["temp,21", "temp,yesterday,21", "te mp,,21", "temp,,", 'temp,,"21', "a,b,c,d", "x" * 70000]
)
def test_a_line_that_cannot_be_read_is_named_by_its_number(line):
    with pytest.raises(ConfigError, match="line 12: "):
        read_line(line, 12)


def test_a_single_value_goes_as_the_current_value():
    document = document_of([Reading("temp", None, "0"), Reading("hum", AT, "40")], LATER)
    assert document.datastreams["temp"].current_value == "0"
    assert document.datastreams["temp"].at is None
    assert document.datastreams["hum"].at == AT


def test_several_values_of_a_datastream_go_in_the_order_of_their_instants():
    document = document_of([Reading("t", LATER, "2"), Reading("t", AT, "1")], LATER)
    points = document.datastreams["t"].datapoints
    assert [(point.at, point.value) for point in points] == [(AT, "1"), (LATER, "2")]


def test_of_two_values_with_one_instant_the_later_counts():
    document = document_of([Reading("t", AT, "1"), Reading("t", AT, "2")], LATER)
    assert [point.value for point in document.datastreams["t"].datapoints] == ["2"]
