"""Deliveries begin small, grow while that is quick, and shrink when it was too much."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from txbridge.relay.size import MOST_PATIENCE, PATIENCE, BatchSize


def size_of(max_points=10_000, max_bytes=1 << 20, deadline=60.0):
    return BatchSize(max_points, max_bytes, deadline)


def fill(size, times=1, seconds=0.0):
    """So many deliveries that fill their size while more waits; gives their points."""
    points = []
    for _ in range(times):
        points.append(size.points)
        size.worked(size.points, size.nbytes, seconds, more=True)
    return points


def test_the_first_delivery_is_a_probe_and_each_quick_one_doubles_it():
    size = size_of()
    assert size.nbytes == (1 << 20) // 64
    assert fill(size, 8) == [156, 312, 625, 1250, 2500, 5000, 10_000, 10_000]
    assert size.nbytes == 1 << 20


def test_without_a_backlog_it_does_not_grow():
    size = size_of()
    for _ in range(50):
        size.worked(156, 16384, 0.0, more=False)
    assert size.points == 156


def test_small_caps_are_not_probed():
    assert (size_of(max_points=3).points, size_of(max_points=32).points) == (3, 32)
    assert size_of(max_points=500).points == 32
    assert (size_of(max_bytes=10).nbytes, size_of(max_points=1, max_bytes=1).points) == (10, 1)


def test_after_trouble_it_is_a_probe_again_and_grows_quickly():
    size = size_of()
    fill(size, 10)
    size.failed()
    assert fill(size, 8) == [156, 312, 625, 1250, 2500, 5000, 10_000, 10_000]


def test_half_of_what_was_too_much_is_reached_quickly_and_passed_slowly():
    size = size_of()
    fill(size, 10)
    size.overloaded(4000, 400_000)
    points = fill(size, 7)
    assert points == [156, 312, 625, 1250, 1562, 1953, 2441]


def test_even_a_probe_can_be_too_much():
    size = size_of()
    sizes = []
    while size.points > 1:
        size.overloaded(size.points, size.nbytes)
        sizes.append(size.points)
    assert sizes == [78, 39, 19, 9, 4, 2, 1]
    size.overloaded(1, 800)
    assert (size.points, size.nbytes) == (1, 1024)
    assert fill(size, 4) == [1, 2, 4, 8]


def test_a_slow_delivery_is_one_too_large_and_one_in_between_is_right():
    size = size_of()
    fill(size, 10)
    assert fill(size, 3, seconds=20.0) == [10_000] * 3
    size.worked(10_000, 1 << 20, 31.0, more=True)
    assert (size.points, size.nbytes) == (5000, 1 << 19)


def test_what_was_refused_for_its_size_is_a_ceiling_on_the_bytes():
    size = size_of()
    fill(size, 10)
    size.too_large(1 << 20)
    assert (size.points, size.nbytes) == (10_000, 1 << 19)
    size.too_large(1 << 19)
    assert size.nbytes == 1 << 18
    size.too_large(100)
    assert size.nbytes == 1024


def test_a_ceiling_is_lifted_after_a_while_and_ever_more_rarely_if_it_is_still_there():
    size = size_of()
    fill(size, 10)
    size.too_large(1 << 20)
    waits = []
    for _ in range(3):
        tried = 0
        while size.nbytes == 1 << 19:
            fill(size)
            tried += 1
        waits.append(tried)
        size.too_large(1 << 20)
    assert waits == [PATIENCE, 2 * PATIENCE, 4 * PATIENCE]
    fill(size, MOST_PATIENCE)
    assert size.nbytes == 1 << 20


def test_a_ceiling_that_is_not_there_any_more_is_forgotten():
    size = size_of()
    fill(size, 10)
    size.too_large(1 << 18)
    fill(size, 3 * PATIENCE + 1)
    assert size.nbytes == 1 << 20
    size.too_large(1 << 20)
    fill(size, PATIENCE)
    assert size.nbytes == 1 << 20


events = st.one_of(
    st.tuples(st.just("worked"), st.floats(0, 60)),
    st.tuples(st.sampled_from(["failed", "overloaded", "too_large"]), st.just(0.0)),
)


@given(st.integers(1, 20_000), st.integers(1, 1 << 21), st.lists(events, max_size=200))
def test_the_caps_hold_and_something_can_always_be_sent(max_points, max_bytes, happenings):
    size = size_of(max_points, max_bytes)
    for name, seconds in happenings:
        if name == "worked":
            size.worked(size.points, size.nbytes, seconds, more=True)
        elif name == "failed":
            size.failed()
        elif name == "overloaded":
            size.overloaded(size.points, size.nbytes)
        else:
            size.too_large(size.nbytes)
        assert 1 <= size.points <= max_points
        assert 1 <= size.nbytes <= max_bytes
    fill(size, 40_000 if max_points == 1 else 400)
    assert size.points == max_points
