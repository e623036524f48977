"""An account's pace is kept by all who use it together, and nobody is overtaken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock

from tests.support.deferreds import fired, result_of, waits
from txbridge.net.backoff import MAX_RETRY_AFTER
from txbridge.relay.pace import Pace, PaceLimits


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def make(clock):
    return lambda **limits: Pace(PaceLimits(**limits), clock)


def times(pace, clock, points, until=100):
    """When each of several who ask at once gets leave."""
    given_at = []
    for some in points:
        pace.take(some).addCallback(lambda _: given_at.append(clock.seconds()))
    while len(given_at) < len(points) and clock.seconds() < until:
        clock.advance(0.5)
    return given_at


def test_without_limits_leave_is_given_at_once(make, clock):
    pace = make()
    for _ in range(100):
        fired(pace.take(1_000_000))
    assert (pace.waiting, pace.held, clock.getDelayedCalls()) == (0, 0, [])


def test_a_burst_is_saved_up_and_then_the_rate_decides(make, clock):
    assert times(make(requests=0.5, burst=4), clock, [1] * 5) == [0, 0, 2, 4, 6]
    assert clock.getDelayedCalls() == []


def test_a_burst_is_one_request_at_least(make, clock):
    assert times(make(requests=0.1, burst=1), clock, [1] * 3) == [0, 10, 20]


def test_points_are_counted_too(make, clock):
    assert times(make(points=100, burst=1), clock, [60, 60, 60]) == [0, 0.5, 1.0]


def test_more_points_than_can_be_saved_up_leave_a_debt_and_are_not_kept_for_ever(make, clock):
    assert times(make(points=100, burst=1), clock, [1000, 1, 100]) == [0, 9.5, 10.5]


def test_what_is_sent_beyond_what_was_asked_for_is_waited_for_afterwards(make, clock):
    pace = make(points=10, burst=1)
    fired(pace.take(1))
    pace.charge(29)
    pace.charge(-5)
    assert times(pace, clock, [1]) == [2.5]
    make(requests=1).charge(5)


def test_nobody_needs_to_ask_for_more_than_can_be_saved_up(make):
    assert (make(points=0.5, burst=60).most_points, make(points=0.1, burst=1).most_points) == (30, 1)
    assert make(requests=1).most_points is None


def test_both_limits_hold(make, clock):
    assert times(make(requests=1, points=10, burst=1), clock, [1, 30, 1]) == [0, 1, 3.5]


def test_what_was_not_used_is_saved_up_to_the_burst_and_no_further(make, clock):
    pace = make(requests=1, burst=3)
    clock.advance(1000)
    assert times(pace, clock, [1] * 5, until=2000) == [1000, 1000, 1000, 1001, 1002]


def test_when_the_platform_wants_nothing_nobody_sends(make, clock):
    pace = make()
    pace.hold(10)
    assert pace.held == 10
    first, second = pace.take(1), pace.take(1)
    assert pace.waiting == 2
    clock.advance(4)
    pace.hold(3)  # shorter than what was said before
    assert pace.held == 6
    clock.advance(5.5)
    assert waits(first)
    clock.advance(0.5)
    fired(first)
    fired(second)
    assert (pace.held, clock.getDelayedCalls()) == (0, [])


def test_a_longer_wish_of_the_platform_counts_for_those_who_wait_already(make, clock):
    pace = make()
    pace.hold(10)
    waiting = pace.take(1)
    pace.hold(20)
    clock.advance(19.5)
    assert waits(waiting)
    clock.advance(0.5)
    fired(waiting)


def test_a_platform_may_ask_for_an_hour_and_not_for_more(make, clock):
    pace = make()
    pace.hold(10 * MAX_RETRY_AFTER)
    assert pace.held == MAX_RETRY_AFTER == 3600


def test_a_clock_that_was_set_back_does_not_make_the_wait_longer(make, clock):
    clock.advance(1e9)
    pace = make(requests=1, burst=1)
    pace.hold(10)
    clock.rightNow = 0.0
    assert pace.held == MAX_RETRY_AFTER
    waiting = pace.take(1)
    clock.advance(MAX_RETRY_AFTER)
    fired(waiting)


def test_who_gives_up_gives_the_turn_to_the_next(make, clock):
    pace = make(points=1, burst=10)
    fired(pace.take(10))
    large, small = pace.take(10), pace.take(1)
    clock.advance(1)
    assert waits(small)
    large.cancel()
    fired(small)
    with pytest.raises(CancelledError):
        result_of(large)
    assert (pace.waiting, clock.getDelayedCalls()) == (0, [])


def test_who_gets_leave_may_ask_again_and_stands_behind_the_others(make, clock):
    pace = make(requests=1, burst=1)
    order = []

    def ask(name):
        pace.take(1).addCallback(lambda _: (order.append(name), ask(name)))

    ask("a")
    ask("b")
    clock.pump([1] * 5)
    assert order == ["a", "a", "b", "a", "b", "a"]


@pytest.mark.parametrize("limits", [{"requests": 0}, {"points": -1}, {"burst": 0}])
def test_limits_that_allow_nothing_are_refused(limits):
    with pytest.raises(ValueError, match=f"{next(iter(limits))} must be above 0"):
        PaceLimits(**limits)


@given(
    st.floats(0.1, 10),
    st.floats(1, 100),
    st.lists(st.tuples(st.integers(0, 500), st.floats(0, 5)), min_size=1, max_size=30),
)
def test_in_no_stretch_of_time_is_more_sent_than_the_rate_and_the_burst_allow(requests, points, asked):
    clock = Clock()
    pace = Pace(PaceLimits(requests=requests, points=points, burst=2), clock)
    sent = []
    for some, pause in asked:
        pace.take(some).addCallback(lambda _, some=some: sent.append((clock.seconds(), some)))
        clock.advance(pause)
    while pace.waiting:
        clock.advance(1)
    assert [some for _, some in sent] == [some for some, _ in asked]
    for first, (start, _) in enumerate(sent):
        for last, (end, _) in enumerate(sent[first:], first):
            room = 1.01  # a second in which the clock stands still, and a little
            assert last - first + 1 <= max(1, 2 * requests) + (end - start + room) * requests + 1e-3
            # The last of them may leave a debt.
            before = sum(some for _, some in sent[first:last])
            assert before <= 2 * points + (end - start + room) * points + 1e-3
