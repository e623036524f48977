"""Bytes of many connections, and who gives way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from txbridge.net.budget import Budget


class Holder:
    """Somebody who has bytes, and lets go of them when it is told to."""

    def __init__(self, budget):
        self.budget = budget
        self.bytes = 0
        self.gave_way = 0

    def hold(self, count):
        self.bytes = count
        self.budget.hold(self.give_way, count)

    def give_way(self):
        self.gave_way += 1
        self.hold(0)


def test_who_holds_most_gives_way_and_not_who_comes_last():
    budget = Budget(100)
    large, small, last = (Holder(budget) for _ in range(3))
    large.hold(60)
    small.hold(40)
    last.hold(10)
    assert [large.gave_way, small.gave_way, last.gave_way] == [1, 0, 0]
    assert budget.held == 50


def test_who_alone_holds_too_much_gives_way():
    budget = Budget(100)
    holder = Holder(budget)
    holder.hold(100)
    assert not holder.gave_way
    holder.hold(101)
    assert (holder.gave_way, budget.held) == (1, 0)


def test_what_was_let_go_makes_room():
    budget = Budget(100)
    for _ in range(10):
        holder = Holder(budget)
        holder.hold(100)
        holder.hold(0)
        assert not holder.gave_way
    assert budget.held == 0


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 60))))
def test_what_all_hold_is_never_more_than_the_bound(steps):
    budget = Budget(100)
    holders = [Holder(budget) for _ in range(5)]
    for index, count in steps:
        holders[index].hold(count)
        assert budget.held == sum(holder.bytes for holder in holders) <= 100
