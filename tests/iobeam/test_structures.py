"""Instants, stores and queries, and what they refuse."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from txbridge.iobeam.errors import BadArgument
from txbridge.iobeam.structures import (
    DataStore,
    QueryReq,
    Timestamp,
    TimeUnit,
    check_device_id,
    check_project_id,
    check_token,
)


class TestTimestamp:
    @pytest.mark.parametrize(
        ("unit", "microseconds"),
        [(TimeUnit.SECONDS, 5_000_000), (TimeUnit.MILLISECONDS, 5000), (TimeUnit.MICROSECONDS, 5)],
    )
    def test_it_counts_its_unit(self, unit, microseconds):
        assert Timestamp(5, unit=unit).asMicroseconds() == microseconds

    def test_milliseconds_are_meant_and_rounded_down(self):
        assert Timestamp(7).as_microseconds() == 7000
        assert Timestamp(1999, TimeUnit.MICROSECONDS).asMilliseconds() == 1
        assert Timestamp(-1, TimeUnit.MICROSECONDS).asMilliseconds() == -1

    def test_the_same_instant_in_two_units_is_equal_and_has_one_hash(self):
        one, other = Timestamp(1, TimeUnit.SECONDS), Timestamp(1000)
        assert one == other
        assert len({one, other}) == 1

    @pytest.mark.parametrize("value", [1.5, "1", None, True, 2**62])
    def test_what_is_no_instant_is_refused(self, value):
        with pytest.raises(ValueError, match="timestamp"):
            Timestamp(value, TimeUnit.SECONDS)

    def test_a_unit_is_a_time_unit(self):
        with pytest.raises(ValueError, match="unit"):
            Timestamp(1, "sec")


class TestNames:
    @pytest.mark.parametrize("name", ["", "a b", "a/b", "a\n", "é", None, 5])
    def test_a_device_id_is_matched_whole(self, name):
        with pytest.raises(ValueError, match="deviceId"):
            check_device_id(name)

    @pytest.mark.parametrize("number", [0, -1, True, "7", 7.0, None])
    def test_a_project_id_is_an_integer_above_0(self, number):
        with pytest.raises(ValueError, match="projectId"):
            check_project_id(number)

    def test_a_project_id_may_have_more_than_32_bits(self):
        assert check_project_id(14436643675940) == 14436643675940

    @pytest.mark.parametrize("token", ["", "  ", None, 5, "two words", "a\r\nb", "tök"])
    def test_a_token_is_text_of_one_word(self, token):
        with pytest.raises(ValueError, match="projectToken") as caught:
            check_token("projectToken", token)
        assert not token or str(token) not in str(caught.value)

    @pytest.mark.parametrize("name", ["time", "TIME", "time_offset", "All", "", None])
    def test_reserved_names_are_refused_in_any_case(self, name):
        with pytest.raises(ValueError, match=r"columns\[1\]"):
            DataStore(["flow", name])


class TestDataStore:
    def test_a_row_has_an_instant_and_a_value_for_some_columns(self):
        store = DataStore(["flow", "rpm"])
        store.add(Timestamp(1, TimeUnit.SECONDS), {"rpm": 900})
        store.add(2000, {"flow": 4.5, "rpm": None})
        assert store.rows() == [
            {"time": 1_000_000, "flow": None, "rpm": 900},
            {"time": 2_000_000, "flow": 4.5, "rpm": None},
        ]
        assert len(store) == 4
        assert store.columns() == ["flow", "rpm"]

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float64("nan"), np.float32("inf")])
    def test_what_is_no_number_is_refused_where_it_is_added_and_the_column_named(self, value):
        store = DataStore(["flow", "rpm"])
        with pytest.raises(ValueError, match=r"^rpm: .* is not a number that can be sent$"):
            store.add(1, {"flow": 1, "rpm": value})
        assert store.rows() == []

    @pytest.mark.parametrize("value", [b"x", [1], {}, 1j, np.complex64(1), "\ud800"])
    def test_what_json_has_no_form_for_is_refused_where_it_is_added(self, value):
        store = DataStore(["flow"])
        with pytest.raises(BadArgument) as caught:
            store.add(1, {"flow": value})
        assert caught.value.path == "flow"

    def test_numbers_of_numpy_are_numbers(self):
        store = DataStore(["n", "f"])
        store.add(np.int64(1), {"n": np.uint8(5), "f": np.float32(0.5)})
        (row,) = store.rows()
        assert row == {"time": 1000, "n": 5, "f": 0.5}
        assert (type(row["n"]), type(row["f"])) == (int, float)

    def test_the_same_column_twice_is_refused(self):
        with pytest.raises(ValueError, match=r"columns\[2\]: 'a' is there already"):
            DataStore(["a", "b", "a"])

    @pytest.mark.parametrize("columns", [[], "flow", None, {"flow"}])
    def test_columns_are_a_list_of_names(self, columns):
        with pytest.raises(ValueError, match="columns"):
            DataStore(columns)

    @pytest.mark.parametrize("values", [{}, None, [1], {"other": 1}, {"time": 1}])
    def test_a_row_has_at_least_one_of_the_stores_columns_and_no_other(self, values):
        with pytest.raises(ValueError, match=r"values|other|time"):
            DataStore(["flow"]).add(1, values)

    def test_the_order_of_columns_does_not_make_them_others(self):
        store = DataStore(["a", "b"])
        assert store.hasSameColumns(["b", "a"])
        assert not store.has_same_columns(["a"])
        assert not store.has_same_columns(["a", "a"])

    def test_clearing_drops_all_rows(self):
        store = DataStore(["a"])
        store.add(1, {"a": 1})
        store.clear()
        assert (len(store), store.rows()) == (0, [])

    def test_splitting_copies_the_rows_in_order(self):
        store = DataStore(["a"])
        for at in range(5):
            store.add(at, {"a": at})
        assert [[row["a"] for row in part.rows()] for part in store.split(2)] == [[0, 1], [2, 3], [4]]
        assert len(store) == 5
        with pytest.raises(ValueError, match="rows"):
            store.split(0)

    def test_what_has_arrived_is_taken_out_and_nothing_else(self):
        store = DataStore(["a", "b"])
        for at in range(3):
            store.add(at, {"a": at})
        numbers = list(store.waiting())
        store.arrived(numbers[1:2])
        store.arrived(numbers[:1], columns=1)
        store.add(9, {"a": 9})
        assert [row["a"] for row in store.rows()] == [0, 2, 9]
        assert [store.arrived_columns(number) for number in store.waiting()] == [1, 0, 0]
        store.arrived(numbers[:1], columns=2)
        assert [row["a"] for row in store.rows()] == [2, 9]


class TestQueryReq:
    def test_everything_is_meant_by_what_is_left_out(self):
        assert QueryReq(7).getUrl() == "exports/7/all/all"
        assert QueryReq(7, "", None).path == ("7", "all", "all")
        assert QueryReq(7, "p-1", "a/b").path == ("7", "p-1", "a/b")

    def test_bounds_travel_in_milliseconds_and_are_never_narrower_than_what_was_asked(self):
        query = QueryReq(7, timeUnit=TimeUnit.MICROSECONDS).fromTime(1_999).toTime(2_001)
        assert query.getParams() == {"from": "1", "to": "3", "timefmt": "usec"}
        assert QueryReq(7, timeUnit=TimeUnit.SECONDS).inTimeRange(1, 2).get_params() == {
            "from": "1000",
            "to": "2000",
            "timefmt": "sec",
        }

    def test_values_may_be_floats(self):
        query = QueryReq(7).inValueRange(-0.5, 10).equals(1.5).limit(5)
        assert query.get_params() == {
            "limit": "5",
            "equals": "1.5",
            "greater_than": "-0.5",
            "less_than": "10",
        }

    def test_aggregates_have_an_operator_and_a_span(self):
        assert QueryReq(7).aggregate("mean", "30s").get_params() == {"operator": "mean", "group_by": "30s"}

    def test_none_changes_nothing(self):
        query = (
            QueryReq(7).limit(None).fromTime(None).toTime(None).greaterThan(None).lessThan(None).equals(None)
        )
        assert query.get_params() == {}

    @pytest.mark.parametrize(
        "ask",
        [
            lambda query: query.limit(0),
            lambda query: query.limit("5"),
            lambda query: query.from_time(5).to_time(4),
            lambda query: query.in_time_range(5, 4),
            lambda query: query.in_value_range(5, 4),
            lambda query: query.greater_than(math.nan),
            lambda query: query.equals("x"),
            lambda query: query.equals(True),
            lambda query: query.from_time(1.5),
            lambda query: query.aggregate("median"),
            lambda query: query.aggregate("mean", "soon"),
        ],
    )
    def test_what_cannot_be_asked_is_refused_and_changes_nothing(self, ask):
        query = QueryReq(7)
        with pytest.raises(ValueError, match=": "):
            ask(query)
        assert set(query.get_params()) <= {"from"}

    @pytest.mark.parametrize("arguments", [(0,), (7, "a b"), (7, "d", "time"), (7, "d", "s", "sec")])
    def test_a_query_is_of_things_that_have_names(self, arguments):
        with pytest.raises(ValueError, match=": "):
            QueryReq(*arguments)

    @given(st.integers(-(10**15), 10**15), st.integers(0, 10**9))
    def test_a_window_in_milliseconds_holds_the_one_in_microseconds(self, start, width):
        query = QueryReq(7, timeUnit=TimeUnit.MICROSECONDS).in_time_range(start, start + width)
        params = query.get_params()
        assert start - 1000 < int(params["from"]) * 1000 <= start
        assert start + width <= int(params["to"]) * 1000 < start + width + 1000
