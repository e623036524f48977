"""Interval algebra against a plain model: sets of numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txbridge.relay.backfill import IntervalSet

NUMBERS = st.integers(-20, 20)
SETS = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=8).map(lambda pairs: IntervalSet(tuple(pairs)))
BOUNDS = st.none() | NUMBERS


def members(intervals: IntervalSet) -> set[int]:
    """The model; it also holds the set to its one form."""
    edges = [edge for interval in intervals for edge in interval]
    assert edges == sorted(set(edges)), "the intervals are empty, overlap, touch or are out of order"
    return {number for start, end in intervals for number in range(start, end)}


@given(SETS, SETS)
def test_union_and_minus_are_those_of_sets(one, other):
    assert members(one.union(other)) == members(one) | members(other)
    assert members(one.minus(other)) == members(one) - members(other)
    assert one.minus(other).union(one.minus(one.minus(other))) == one


@given(SETS, NUMBERS, NUMBERS)
def test_adding_an_interval_is_a_union(one, start, end):
    assert one.add(start, end) == one.union(IntervalSet.of((start, end)))


@given(SETS, BOUNDS, BOUNDS)
def test_bounds_cut_a_set(one, start, end):
    inside = {
        number
        for number in members(one)
        if (start is None or number >= start) and (end is None or number < end)
    }
    assert members(one.within(start, end)) == inside


@given(SETS, NUMBERS)
def test_a_number_is_in_a_set_or_not(one, number):
    assert (number in one) is (number in members(one))
    assert len(members(one)) == one.total


@given(SETS, st.integers(1, 5))
def test_the_earliest_holes_are_filled_when_there_are_too_many(one, most):
    filled = one.without_holes(most)
    assert len(filled) == min(len(one), most)
    assert members(filled) >= members(one)
    if one.intervals:
        assert (filled.start, filled.end) == (one.start, one.end)
        assert one.intervals[len(one) - len(filled) + 1 :] == filled.intervals[1:]


@given(SETS)
def test_a_set_has_one_form(one):
    assert IntervalSet(tuple(reversed(one.intervals))) == one
    assert IntervalSet(tuple((number, number + 1) for number in members(one))) == one


def test_what_is_no_number_is_in_no_set():
    assert "0" not in IntervalSet.of((0, 1))


def test_an_empty_set_has_no_bounds():
    for bound in ("start", "end"):
        with pytest.raises(ValueError, match="no bounds"):
            getattr(IntervalSet.of((1, 1)), bound)
