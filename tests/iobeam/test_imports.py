"""Bodies of imports become points, or are refused with the place that is wrong."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txbridge.iobeam.imports import MAX_POINTS, UNITS, read_import, read_object, take_number, take_text
from txbridge.iobeam.refusal import Refusal
from txbridge.iobeam.series import series_name
from txbridge.model.instants import to_microseconds

US = 1_450_000_000_123_456


def table(fields, rows, **members):
    return {
        "project_id": 7,
        "device_id": "pump-3",
        "timefmt": "usec",
        "sources": {"fields": fields, "data": rows},
        **members,
    }


def series(*sources, **members):
    return {"project_id": 7, "device_id": "pump-3", "sources": list(sources), **members}


def read(document):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return read_import(read_object(body))


def points(document):
    """Series -> pairs of microseconds and value."""
    return {
        series_name(stream.id): [(to_microseconds(point.at), point.value) for point in stream.datapoints]
        for stream in read(document).datastreams
    }


def refusal_of(document):
    with pytest.raises(Refusal) as refusal:
        read(document)
    return refusal.value


def test_a_table_is_read_column_by_column():
    document = table(["time", "flow", "rpm"], [[US, 4.5, 900], [US + 1, None, 910]])
    assert points(document) == {"flow": [(US, "4.5")], "rpm": [(US, "900"), (US + 1, "910")]}
    assert (read(document).project_id, read(document).device_id) == (7, "pump-3")


def test_series_are_read_one_by_one():
    document = series(
        {"name": "flow", "data": [{"time": 1000, "value": 1}, {"time": 2000, "value": None}]},
        {"name": "rpm", "data": []},
        {"name": "flow", "data": [{"time": 3000, "value": "x"}]},
    )
    assert points(document) == {"flow": [(1_000_000, "1"), (3_000_000, "x")]}


def test_the_form_of_late_2016_is_read():
    document = {
        "project_id": 7,
        "namespace": "input",
        "labels": {"device_id": "pump-3"},
        "data": {"fields": ["time", "flow"], "values": [[1000, 1]]},
    }
    assert points(document) == {"flow": [(1_000_000, "1")]}
    assert read(document).device_id == "pump-3"


def test_what_the_hub_does_not_keep_of_that_form_is_refused():
    document = {"project_id": 7, "data": {"fields": ["time"], "values": []}}
    assert refusal_of(document | {"labels": {"device_id": "a", "room": "b"}}).message.startswith(
        "labels.room"
    )
    assert refusal_of(document | {"namespace": "other"}).message.startswith("namespace")
    assert refusal_of(document).message.startswith("labels must be an object")
    assert refusal_of(document | {"labels": {"device_id": "?"}}).message.startswith("labels.device_id")


@pytest.mark.parametrize(("name", "unit"), [*UNITS.items(), ("MSEC", 1000), (None, 1000)])
def test_times_count_what_timefmt_says_and_milliseconds_without_it(name, unit):
    members = {} if name is None else {"timefmt": name}
    document = series({"name": "a", "data": [{"time": 1_450_000_000, "value": 1}]}, **members)
    assert points(document) == {"a": [(1_450_000_000 * unit, "1")]}


def test_a_decimal_time_is_taken_when_it_is_whole_microseconds():
    body = json.dumps(table(["time", "a"], [["T", 1]], timefmt="sec")).encode()
    assert points(body.replace(b'"T"', b"1450000000.123456")) == {"a": [(US, "1")]}
    assert points(body.replace(b'"T"', b"1.45e9")) == {"a": [(1_450_000_000_000_000, "1")]}
    refusal = refusal_of(body.replace(b'"T"', b"1450000000.1234567"))
    assert refusal.message == "sources.data[0][0] must be a time in whole microseconds"


@pytest.mark.parametrize("text", ["1.50", "-0.0", "1E5", "12345678901234567890123", "1e-300", "0.1000"])
def test_a_number_keeps_its_text(text):
    body = json.dumps(table(["time", "a"], [[US, "V"]])).encode().replace(b'"V"', text.encode())
    assert points(body) == {"a": [(US, text)]}


def test_booleans_and_texts_are_kept_as_text():
    document = table(["time", "a", "b", "c", "d"], [[US, True, False, "on", ""]])
    assert points(document) == {"a": [(US, "true")], "b": [(US, "false")], "c": [(US, "on")], "d": [(US, "")]}


def test_columns_and_rows_come_in_any_order():
    document = table(["time", "z", "a"], [[US, 1, 2], [5, 3, 4]])
    assert points(document) == {"z": [(US, "1"), (5, "3")], "a": [(US, "2"), (5, "4")]}


def test_an_import_without_points_is_one():
    assert points(table(["time"], [])) == {}
    assert points(table(["time", "a"], [[US, None]])) == {}
    assert points(series()) == {}


@pytest.mark.parametrize(
    ("document", "where"),
    [
        (table(["time", "a"], [[US, 1], [US]]), "sources.data[1] must be a row of 2 cells"),
        (table(["time", "a"], [[US, 1, 2]]), "sources.data[0] must be a row of 2 cells"),
        (table(["time", "a"], [{"time": US}]), "sources.data[0] must be a row of 2 cells"),
        (table(["time", "a"], [["x", 1]]), "sources.data[0][0] must be a time"),
        (table(["time", "a"], [[None, 1]]), "sources.data[0][0] must be a time"),
        (table(["time", "a"], [[True, 1]]), "sources.data[0][0] must be a time"),
        (table(["time", "a"], [[US, 1], [10**30, 1]]), "sources.data[1][0] is outside the years"),
        (table(["time", "a"], [[-(10**18), 1]]), "sources.data[0][0] is outside the years"),
        (
            table(["time", "a"], [[US, [1]]]),
            "sources.data[0][1] must be a number, text, boolean or null, not an array",
        ),
        (table(["time", "a"], [[US, "x" * 256]]), "sources.data[0][1] must have at most 255"),
        (table(["time", "a"], [[US, "\x00"]]), "sources.data[0][1] must have at most 255"),
        (table(["time", "a"], [[US, 10**300]]), "sources.data[0][1] is too long a number"),
        (table(["a", "time"], []), "sources.fields must be a list"),
        (table([], []), "sources.fields must be a list"),
        (table("time", []), "sources.fields must be a list"),
        (table(["time", "a", "a"], []), "sources.fields[2] is there twice: a"),
        (table(["time", "ALL"], []), "sources.fields[1] is a name that no series may have"),
        (table(["time", "time"], []), "sources.fields[1] is a name that no series may have"),
        (table(["time", ""], []), "sources.fields[1] is empty"),
        (table(["time", 3], []), "sources.fields[1] must be the name of a series, not a number"),
        (table(["time", "ü" * 43], []), "sources.fields[1] is too long"),
        (table(["time"], {}), "sources.data must be a list of rows"),
        (series("x"), "sources[0] must be an object"),
        (series({"data": []}), "sources[0].name must be the name of a series"),
        (series({"name": "a"}), "sources[0].data must be a list of points"),
        (series({"name": "a", "data": [7]}), "sources[0].data[0] must be an object with time and value"),
        (
            series({"name": "a", "data": [{"time": 1}]}),
            "sources[0].data[0] must be an object with time and value",
        ),
        (
            series({"name": "a", "data": [{"time": "1", "value": 1}]}),
            "sources[0].data[0].time must be a time",
        ),
        (
            series({"name": "a", "data": [{"time": 1, "value": {}}]}),
            "sources[0].data[0].value must be a number",
        ),
        (
            {"project_id": 7, "device_id": "a"},
            "sources must be a table or a list of series, not null or absent",
        ),
        ({"project_id": 7, "device_id": "a", "sources": "x"}, "sources must be a table or a list"),
        (table(["time"], [], timefmt="nsec"), "timefmt must be one of"),
        (table(["time"], [], timefmt={}), "timefmt must be one of"),
        (table(["time"], [], device_id="a b"), "device_id must be 1 to 255"),
        (table(["time"], [], device_id="pump-3\n"), "device_id must be 1 to 255"),
        (table(["time"], [], device_id=7), "device_id must be 1 to 255"),
        (table(["time"], [], device_id=None), "device_id is missing"),
        (table(["time"], [], project_id=0), "project_id must be from 1"),
        (table(["time"], [], project_id=2**53), "project_id must be from 1"),
        (table(["time"], [], project_id=True), "project_id must be a whole number, not a boolean"),
        (table(["time"], [], project_id=1.5), "project_id must be a whole number, not a decimal number"),
        (table(["time"], [], project_id=None), "project_id must be a whole number, not null or absent"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(document, where):
    refusal = refusal_of(document)
    assert refusal.status == 400
    assert refusal.message.startswith(where)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"7",
        b"{",
        b"\xff",
        b'{"project_id":"\xff"}',
        b'{"project_id":NaN}',
        b'{"project_id":Infinity}',
        b'{"project_id":' + b"9" * 5000 + b"}",
        b'{"a":"\\ud800"}',
        b'{"a":' * 1000 + b"}" * 1000,
        b"[" * 100_000,
    ],
)
def test_what_is_no_object_is_refused(body):
    with pytest.raises(Refusal) as refusal:
        read_object(body)
    assert refusal.value.status == 400
    assert refusal.value.message.startswith("the body ")


@pytest.mark.parametrize("text", ["NaN", "-Infinity", "1e999", "1e-999", "0." + "1" * 300])
def test_a_number_that_is_none_or_out_of_range_is_refused(text):
    body = json.dumps(table(["time", "a"], [[US, "V"]])).encode().replace(b'"V"', text.encode())
    assert refusal_of(body).status == 400


def test_a_byte_order_mark_is_skipped():
    assert read_object(b"\xef\xbb\xbf{}") == {}


def test_what_is_too_large_may_be_sent_in_parts():
    rows = [[US + number, 1] for number in range(MAX_POINTS)]
    assert len(points(table(["time", "a"], rows))["a"]) == MAX_POINTS
    refusal = refusal_of(table(["time", "a"], [*rows, [1, 1]]))
    assert refusal.status == 413
    assert str(MAX_POINTS) in refusal.message
    assert refusal_of(table(["time"], [[US]] * (MAX_POINTS + 1))).status == 413
    data = [{"time": 1, "value": 1}] * (MAX_POINTS // 2 + 1)
    assert refusal_of(series({"name": "a", "data": data}, {"name": "b", "data": data})).status == 413
    assert refusal_of(b" " * ((1 << 20) + 1)).status == 413


def test_a_number_of_a_project_may_come_as_text():
    assert take_number({"id": "42"}, "id") == 42
    for text in ("", "x", "-1", "4" * 17, "٣"):
        with pytest.raises(Refusal):
            take_number({"id": text}, "id")


@pytest.mark.parametrize("value", [7, "", "  ", "x" * 256, "a\x07", ["a"], False])
def test_a_text_is_one_that_can_be_shown(value):
    with pytest.raises(Refusal, match=r"^name ") as refusal:
        take_text({"name": value}, "name")
    assert refusal.value.status == 400


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inside: st.lists(inside) | st.dictionaries(st.text(), inside),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "project_id": JSON | st.just(7),
            "device_id": JSON | st.just("a"),
            "timefmt": JSON | st.just("usec"),
            "sources": JSON
            | st.fixed_dictionaries(
                {"fields": JSON | st.just(["time", "a"]), "data": JSON | st.lists(st.lists(JSON))}
            )
            | st.lists(st.fixed_dictionaries({"name": JSON | st.just("a"), "data": JSON | st.lists(JSON)})),
            "data": JSON | st.fixed_dictionaries({"fields": JSON, "values": JSON}),
            "labels": JSON,
        },
    )
)
def test_whatever_is_sent_is_read_or_refused(document):
    with suppress(Refusal):
        read(document)


@given(st.binary(max_size=200))
def test_whatever_bytes_come_are_read_or_refused(body):
    with suppress(Refusal):
        assert isinstance(read_object(body), dict)


VALUES = (
    st.integers(-(10**200), 10**200)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.booleans()
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=255).filter(
        lambda text: "\ufffe" not in text and "\uffff" not in text
    )
)


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=20).filter(
            lambda name: name.lower() not in ("time", "time_offset", "all")
        ),
        st.dictionaries(st.integers(-(10**15), 10**15), VALUES, min_size=1, max_size=5),
        max_size=4,
    )
)
def test_a_table_holds_what_was_put_into_it(columns):
    names = list(columns)
    instants = sorted({at for values in columns.values() for at in values})
    rows = [[at, *(columns[name].get(at) for name in names)] for at in instants]
    expected = {
        name: [
            (at, value if isinstance(value, str) else json.dumps(value))
            for at, value in sorted(values.items())
        ]
        for name, values in columns.items()
    }
    assert points(table(["time", *names], rows)) == expected
