"""Buckets that fill at a steady rate."""

from __future__ import annotations

import pytest

from txbridge.hub.rates import MOST_BUCKETS, RateLimiter


def test_three_minutes_worth_of_requests_may_come_at_once():
    limiter = RateLimiter(10)
    assert [limiter.take("k", 0.0) for _ in range(30)] == [0.0] * 30
    assert limiter.take("k", 0.0) == pytest.approx(6.0)
    assert limiter.take("k", 5.0) == pytest.approx(1.0)
    assert limiter.take("k", 6.0) == 0.0


def test_keys_do_not_share_a_bucket():
    limiter = RateLimiter(1 / 3)
    assert limiter.take("a", 0.0) == 0.0
    assert limiter.take("a", 0.0) > 0
    assert limiter.take("b", 0.0) == 0.0


def test_a_clock_that_is_set_back_gives_nothing_and_takes_nothing():
    limiter = RateLimiter(1)
    assert [limiter.take("k", 100.0) for _ in range(3)] == [0.0] * 3
    assert limiter.take("k", 40.0) == pytest.approx(60.0)
    assert limiter.take("k", 100.0) == 0.0


def test_a_bucket_never_overflows_and_there_are_only_so_many():
    limiter = RateLimiter(1)
    limiter.take("first", 0.0)
    assert [limiter.take("first", 1e9) for _ in range(3)] == [0.0] * 3
    assert limiter.take("first", 1e9) > 0
    for number in range(MOST_BUCKETS):
        limiter.take(str(number), 1e9)
    assert limiter.take("first", 1e9) == 0.0


def test_a_limit_is_above_nothing():
    with pytest.raises(ValueError, match="are none"):
        RateLimiter(0)
