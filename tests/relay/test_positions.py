"""Ranges of positions behave like the set of their numbers."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from txbridge.relay.positions import Positions

ranges = st.lists(st.tuples(st.integers(1, 40), st.integers(0, 8)).map(lambda one: (one[0], one[0] + one[1])))


@given(ranges, st.integers(1, 50), st.integers(0, 5))
def test_positions_are_the_set_of_their_numbers(given_ranges, number, more):
    positions = Positions(given_ranges)
    numbers = {one for first, last in given_ranges for one in range(first, last + 1)}
    assert [one in positions for one in range(1, 60)] == [one in numbers for one in range(1, 60)]
    assert positions.has_all(number, number + more) == numbers.issuperset(range(number, number + more + 1))
    assert positions.next_missing(number) == next(one for one in range(number, 99) if one not in numbers)
    assert positions.last_below(number) == max((one for one in numbers if one < number), default=0)
    assert positions.last == max(numbers, default=0)


@given(ranges)
def test_ranges_are_as_few_as_can_be(given_ranges):
    kept = list(Positions(given_ranges))
    assert all(first <= last for first, last in kept)
    assert all(before[1] + 1 < after[0] for before, after in pairwise(kept))


def test_an_empty_range_changes_nothing():
    assert list(Positions([(3, 2)])) == []


def test_a_copy_is_a_set_of_its_own():
    one = Positions([(1, 2)])
    other = one.copy()
    assert one == other
    other.add(3, 3)
    assert (list(one), list(other)) == ([(1, 2)], [(1, 3)])
    assert repr(other) == "Positions([(1, 3)])"
