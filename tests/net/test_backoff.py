"""Full jitter, reset only after stability, and Retry-After in both its forms."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txbridge.net.backoff import MAX_RETRY_AFTER, Backoff, http_date, retry_after

ALMOST_ONE = 1 - 2**-53


def test_the_bound_doubles_up_to_the_maximum() -> None:
    backoff = Backoff(initial=0.5, maximum=60.0)
    bounds = [round(backoff.next_delay(ALMOST_ONE, now=0.0), 6) for _ in range(10)]
    assert bounds == [0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_the_whole_range_from_zero_is_used() -> None:
    assert Backoff().next_delay(0.0, now=0.0) == 0.0
    assert Backoff(initial=8.0).next_delay(0.25, now=0.0) == 2.0


def test_it_never_gives_up() -> None:
    backoff = Backoff()
    delays = [backoff.next_delay(ALMOST_ONE, now=0.0) for _ in range(5000)]
    assert delays[-1] == pytest.approx(60.0)


def test_it_starts_over_after_the_link_was_stable() -> None:
    backoff = Backoff(reset_after=30.0)
    for _ in range(5):
        backoff.next_delay(0.5, now=0.0)
    backoff.works(now=100.0)
    backoff.works(now=129.0)  # only the first one counts
    assert backoff.next_delay(ALMOST_ONE, now=130.0) == pytest.approx(0.5)


def test_a_link_that_flaps_does_not_count_as_repaired() -> None:
    backoff = Backoff(reset_after=30.0)
    for _ in range(5):
        backoff.next_delay(0.5, now=0.0)
    backoff.works(now=100.0)
    assert backoff.next_delay(ALMOST_ONE, now=129.0) == pytest.approx(16.0)


def test_a_clock_that_steps_back_resets_nothing() -> None:
    backoff = Backoff()
    backoff.next_delay(0.5, now=1000.0)
    backoff.works(now=1000.0)
    assert backoff.next_delay(ALMOST_ONE, now=0.0) == pytest.approx(1.0)


def test_what_the_peer_asks_for_is_the_least() -> None:
    backoff = Backoff()
    assert backoff.next_delay(0.5, now=0.0, at_least=7.0) == 7.0
    assert backoff.next_delay(ALMOST_ONE, now=0.0, at_least=0.0) == pytest.approx(1.0)


@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.floats(0, 1e9)), max_size=50))
def test_a_delay_is_never_negative_and_never_above_the_maximum(steps: list[tuple[float, float]]) -> None:
    backoff = Backoff(initial=0.1, maximum=5.0)
    for random, now in steps:
        assert 0.0 <= backoff.next_delay(random, now) <= 5.0


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 120 ", 120.0),
        ("86400", MAX_RETRY_AFTER),
        ("9" * 5000, MAX_RETRY_AFTER),
        ("000000000000005", 5.0),
        ("", None),
        ("-3", None),
        ("1.5", None),
        ("soon", None),
        ("\u0665", None),
        (None, None),
    ],
)
def test_retry_after_in_seconds(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, now=1e9) == seconds


def test_retry_after_as_a_date() -> None:
    at = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
    header = format_datetime(at, usegmt=True)
    assert retry_after(header, now=at.timestamp() - 90) == 90.0
    assert retry_after(header, now=at.timestamp() + 90) == 0.0
    assert retry_after(header, now=0.0) == MAX_RETRY_AFTER


def test_an_http_date_is_seconds_since_the_epoch() -> None:
    assert http_date("Sun, 06 Nov 1994 08:49:37 GMT") == 784111777.0
    assert http_date("Sunday, 06-Nov-94 08:49:37 GMT") == 784111777.0
    assert http_date("yesterday") is None
    assert http_date(None) is None


def test_an_http_date_is_in_utc_wherever_the_reader_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("TZ", "JST-9")
        time.tzset()
        # The first is how C's asctime() writes it, which RFC 9110 has readers accept.
        for text in ("Sun Nov  6 08:49:37 1994", "Sun, 06 Nov 1994 08:49:37 -0000"):
            assert http_date(text) == 784111777.0
    time.tzset()


@given(st.text(max_size=60))
def test_no_header_is_too_strange(value: str) -> None:
    seconds = retry_after(value, now=0.0)
    assert seconds is None or 0.0 <= seconds <= MAX_RETRY_AFTER
