"""Times as people write them."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import pytest

from txbridge.errors import ConfigError
from txbridge.joule import utilities
from txbridge.joule.utilities import human_to_timestamp, time_now, timestamp_to_human, yesno

MARCH = 1_551_744_000_000_000  # 2019-03-05
MORNING = 1_551_773_787_000_000  # 08:16:27 of that day
MINUTE = 60_000_000


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_now_is_in_microseconds() -> None:
    assert abs(time_now() - time.time() * 1e6) < MINUTE
    assert type(time_now()) is int


@pytest.mark.parametrize(
    ("text", "timestamp"),
    [
        ("2019", 2019),
        (" 1551773787000000 ", MORNING),
        ("1_000", 1000),
        ("-5", -5),
        ("2019-03-05", MARCH),
        ("2019-03-05 08:16:27", MORNING),
        ("2019-03-05T08:16:27Z", MORNING),
        ("2019-03-05T08:16:27.123456+00:00", MORNING + 123_456),
        ("2019-03-05 08:16:27 EST", MORNING + 300 * MINUTE),
        ("Tue, 05 Mar 2019 08:16:27", MORNING),
        ("Tue, 05 Mar 2019 08:16:27 +0000", MORNING),
        ("March 5 2019", MARCH),
        ("5 Mar 2019 8:16pm", MARCH + (20 * 60 + 16) * MINUTE),
        ("3/5/2019", MARCH),
        ("13/5/2019", MARCH + 69 * 1440 * MINUTE),
        ("1551773787.5", MORNING),
    ],
)
def test_a_time_is_read(text: str, timestamp: int) -> None:
    assert human_to_timestamp(text) == timestamp


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("now", 0),
        ("1 minute ago", -1),
        ("one minute ago", -1),
        ("2 hours ago", -120),
        ("yesterday", -1440),
        ("a week ago", -7 * 1440),
        ("-5 minutes", -5),
        ("in 5 minutes", 5),
        ("today", 0),
        ("tomorrow", 1440),
        ("1h ago", -60),
    ],
)
def test_a_time_that_is_counted_from_now_is_read(text: str, minutes: int) -> None:
    assert abs(human_to_timestamp(text) - time_now() - minutes * MINUTE) < MINUTE / 2


@pytest.mark.parametrize("text", ["", "garbage words", "(minimum)", "1e6"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no time"):
        human_to_timestamp(text)


@pytest.mark.parametrize("text", ["0001-01-01", "0001-01-01T00:00+01:00", "9999-12-31T23:59-01:00"])
def test_a_time_beyond_the_years_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC-9")
    time.tzset()
    with pytest.raises(ValueError, match="not in the years 1 to 9999"):
        human_to_timestamp(text)


def test_without_the_package_numbers_and_iso_8601_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dateparser", None)
    assert human_to_timestamp("5") == 5
    assert human_to_timestamp("2019-03-05 08:16:27") == MORNING
    assert human_to_timestamp(" 2019-03-05T09:16:27+01:00 ") == MORNING
    with pytest.raises(ConfigError, match=r"txbridge\[joule\]"):
        human_to_timestamp("yesterday")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("now", 0),
        (" Now ", 0),
        ("1 hour ago", 3600),
        ("an hour  ago", 3600),
        ("a minute ago", 60),
        ("one week ago", 7 * 86_400),
        ("1.5 hours ago", 5400),
        ("90 Seconds ago", 90),
        ("10 days ago", 864_000),
        ("99999 weeks ago", 99_999 * 7 * 86_400),
    ],
)
def test_so_are_spans_that_end_now(text: str, seconds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dateparser", None)
    assert abs(human_to_timestamp(text) - time_now() + seconds * 1_000_000) < MINUTE / 2


def test_a_timestamp_is_shown_in_local_time(monkeypatch: pytest.MonkeyPatch) -> None:
    assert timestamp_to_human(MORNING) == "Tue, 05 Mar 2019 08:16:27 "
    monkeypatch.setenv("TZ", "EST5")
    time.tzset()
    assert timestamp_to_human(MORNING) == "Tue, 05 Mar 2019 03:16:27 "
    assert human_to_timestamp("2019-03-05 03:16:27") == MORNING


def test_the_ends_of_time_have_names() -> None:
    assert timestamp_to_human(-(2**63)) == "(minimum)"
    assert timestamp_to_human(2**63 - 1) == "(maximum)"
    with pytest.raises(ValueError, match="not in the years 1 to 9999"):
        timestamp_to_human(2**63 - 2)


@pytest.mark.parametrize(("text", "flag"), [("yes", True), (" YES\n", True), ("no", False), ("No ", False)])
def test_yes_and_no_are_flags(text: str, flag: bool) -> None:
    assert yesno(text) is flag


@pytest.mark.parametrize("text", ["", "y", "true", "1", None])
def test_nothing_else_is_yes_or_no(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be 'yes' or 'no'"):
        yesno(text)


def test_the_connection_info_is_where_the_reference_has_it() -> None:
    assert utilities.ConnectionInfo("u", "p", 1, "d", "h").to_dsn() == "postgresql://u:p@h:1/d"
