"""Rows as people and scripts write them."""

from __future__ import annotations

import pytest

from txbridge.daemon.iobeam_readings import Reading, Table, read_argument, read_line, tables_of, value_of
from txbridge.errors import ConfigError
from txbridge.iobeam.structures import Row, TimeUnit

T0 = 1_450_000_000_000_000
ISO = "2015-12-13T09:46:40Z"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("21.5", 21.5),
        ("-0", 0),
        ("900", 900),
        ("1e3", 1000.0),
        ("12345678901234567890", 12345678901234567890),
        ("true", True),
        ("false", False),
        ("True", "True"),
        ("on", "on"),
        ("007", "007"),
        ("+1", "+1"),
        (" idle ", "idle"),
        ("=", "="),
    ],
)
def test_a_value_has_the_type_that_json_reads_in_it(text, value):
    read = value_of("flow", text)
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("flow", "'flow' is not SERIES=VALUE"),
        ("flow=", "'flow' has no value"),
        ("=1", "the series' name: must be text that is not empty"),
        ("Time=1", "the series' name: 'Time' is reserved"),
        ("flow=1e999", "flow: inf is not a number that can be sent"),
    ],
)
def test_an_argument_that_says_nothing_is_refused(text, problem):
    with pytest.raises(ConfigError) as caught:
        read_argument(text)
    assert caught.value.problems == (problem,)


def test_an_argument_is_a_series_and_a_value():
    assert read_argument("a name: µ=4=5") == ("a name: µ", "4=5")


@pytest.mark.parametrize(
    ("line", "reading"),
    [
        (f"flow,{ISO},4.5", Reading(T0, {"flow": 4.5})),
        ("flow,,on", Reading(None, {"flow": "on"})),
        (f'"a, b",{ISO},"x ""y"""', Reading(T0, {"a, b": 'x "y"'})),
        (
            f'{{"time": "{ISO}", "flow": 4.5, "on": true, "rpm": null}}',
            Reading(T0, {"flow": 4.5, "on": True}),
        ),
        ('{"flow": "5"}', Reading(None, {"flow": "5"})),
        (' {"time": null, "flow": 0}', Reading(None, {"flow": 0})),
        (f'{{"time": "{ISO}"}}', None),
        ("", None),
        (" , , ", None),
        ("series,time,value", None),
        ("datastream,at,value", None),
    ],
)
def test_a_line_is_csv_or_a_json_object(line, reading):
    assert read_line(line, 1) == reading


@pytest.mark.parametrize("line", ["flow,{},1", '{{"time": {}, "flow": 1}}', '{{"time": "{}", "flow": 1}}'])
@pytest.mark.parametrize(
    ("unit", "count"), [(TimeUnit.SECONDS, 10**6), (TimeUnit.MILLISECONDS, 1000), (TimeUnit.MICROSECONDS, 1)]
)
def test_a_timestamp_that_is_a_number_counts_what_is_said_to(line, unit, count):
    assert read_line(line.format(T0 // count), 1, unit) == Reading(T0, {"flow": 1})
    with pytest.raises(ConfigError, match="may count anything: --timefmt says what"):
        read_line(line.format(T0 // count), 1)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("flow,4.5", "'flow,4.5' is neither SERIES,TIMESTAMP,VALUE nor a JSON object"),
        ("flow,soon,4.5", "'soon' is not an ISO 8601 date and time"),
        ("flow,,", "'flow' has no value"),
        ("all,,1", "the series' name: 'all' is reserved"),
        ('flow,,"4', "unexpected end of data"),
        ("{flow: 1}", "it is no JSON: Expecting property name"),
        ('{"flow": [1]}', "flow: must be a number, text, true, false or None, not a list"),
        ('{"flow": NaN}', "flow: nan is not a number that can be sent"),
        ('{"time": 1.5, "flow": 1}', "'time' is no timestamp"),
        ('{"time": true, "flow": 1}', "'time' is no timestamp"),
        ('{"x":' * 9000, "it is no JSON: "),
        ("x" * 70_000, "it is longer than 65536 characters"),
    ],
)
def test_a_line_of_another_form_is_told_with_its_number(line, problem):
    with pytest.raises(ConfigError) as caught:
        read_line(line, 7, TimeUnit.SECONDS)
    assert caught.value.problems[0].startswith(f"line 7: {problem}")


def test_an_instant_too_far_for_any_service_is_told_with_its_line():
    with pytest.raises(ConfigError, match="line 7: timestamp: "):
        read_line("flow,9999999999999999999,1", 7, TimeUnit.SECONDS)


def test_rows_of_the_same_series_go_together_and_keep_their_order():
    readings = [
        Reading(2, {"b": 1, "a": 2}),
        Reading(None, {"c": 3}),
        Reading(1, {"a": 4, "b": 5}),
    ]
    assert tables_of(readings, now=9) == [
        Table(("a", "b"), (Row(2, (2, 1)), Row(1, (4, 5)))),
        Table(("c",), (Row(9, (3,)),)),
    ]


def test_of_two_values_of_one_series_and_instant_the_later_one_is_sent_last():
    readings = [
        Reading(1, {"a": 1}),
        Reading(1, {"a": 2, "b": 3}),
        Reading(2, {"a": 4}),
        Reading(1, {"a": 5}),
    ]
    sent = {}
    for table in tables_of(readings, now=9):
        for row in table.rows:
            for name, value in zip(table.columns, row.values, strict=True):
                sent[name, row.at] = value
    assert sent == {("a", 1): 5, ("b", 1): 3, ("a", 2): 4}


def test_no_table_has_more_points_than_a_service_takes_at_once():
    readings = [Reading(at, {"x": 0, "y": 0, "z": 0}) for at in range(667)]
    assert [len(table.rows) for table in tables_of(readings, 0)] == [333, 333, 1]
    wide = [Reading(at, {f"s{number}": 0 for number in range(1001)}) for at in range(2)]
    assert [len(table.rows) for table in tables_of(wide, 0)] == [1, 1]
