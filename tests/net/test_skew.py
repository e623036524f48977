"""How far a server's clock is ahead follows from what it says and when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txbridge.net.skew import Skew


class World:
    """A machine's two clocks, and a server with one of its own."""

    def __init__(self, ahead: float = 0.0) -> None:
        self.steady = 100.0
        self.wrong = 0.0
        self.ahead = ahead
        self.skew = Skew(lambda: 1_000_000.0 + self.steady + self.wrong, lambda: self.steady)

    def ask(self, there: float = 0.0, back: float = 0.0) -> float | None:
        """One request that takes so long there and back."""
        sent = self.steady
        self.steady += there
        said = float(int(1_000_000.0 + self.steady + self.ahead))  # a date has no parts of a second
        self.steady += back
        self.skew.answered(said, sent, self.steady)
        self.steady += 0.37
        return self.skew.value


def test_nothing_is_known_before_the_first_answer_that_says_a_date() -> None:
    world = World()
    assert world.skew.value is None
    world.skew.answered(None, 100.0, 101.0)
    world.skew.answered(5.0, 101.0, 100.0)
    assert world.skew.value is None


@pytest.mark.parametrize("ahead", [0.0, 3.2, -86_400.0, 1e9])
def test_it_is_known_to_the_half_second(ahead: float) -> None:
    world = World(ahead)
    for _ in range(20):
        skew = world.ask(0.1, 0.1)
        assert skew == pytest.approx(ahead, abs=0.51)


def test_one_slow_answer_changes_nothing() -> None:
    world = World(10.0)
    for _ in range(5):
        world.ask(0.1, 0.1)
    assert world.ask(0.0, 25.0) == pytest.approx(10.0, abs=0.6)
    assert world.ask(25.0, 0.0) == pytest.approx(10.0, abs=0.6)


def test_when_our_clock_is_set_the_skew_is_right_at_once() -> None:
    world = World(0.0)
    world.wrong = -50 * 365 * 86_400.0
    for _ in range(5):
        world.ask(0.1, 0.1)
    assert world.skew.value == pytest.approx(50 * 365 * 86_400.0, abs=0.6)
    world.wrong = 0.0
    assert world.skew.value == pytest.approx(0.0, abs=0.6)


def test_after_an_hour_without_an_answer_nothing_is_known_any_more() -> None:
    world = World(10.0)
    world.ask()
    world.steady += 1800.0
    world.ask()
    world.steady += 3000.0
    assert world.skew.value == pytest.approx(10.0, abs=0.6)
    world.steady += 601.0
    assert world.skew.value is None
    assert world.ask() == pytest.approx(10.0, abs=0.6)


def test_a_server_whose_clock_was_set_is_believed_after_a_few_answers() -> None:
    world = World(100.0)
    for _ in range(5):
        world.ask()
    world.ahead = 0.0
    values = [world.ask() for _ in range(3)]
    assert values[-1] == pytest.approx(0.0, abs=0.6)


@given(
    st.floats(-1e6, 1e6),
    st.lists(st.tuples(st.floats(0, 3), st.floats(0, 3)), min_size=1, max_size=20),
)
def test_it_is_wrong_by_no_more_than_half_of_a_round_trip_and_half_a_second(
    ahead: float, trips: list[tuple[float, float]]
) -> None:
    world = World(ahead)
    for there, back in trips:
        skew = world.ask(there, back)
    longest = max(there + back for there, back in trips[-5:])
    assert skew is not None
    assert abs(skew - ahead) <= longest / 2 + 0.5 + 1e-3
