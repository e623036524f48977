"""What is shown: aligned, complete, and unable to steer the terminal."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from txbridge.daemon.render import (
    ago,
    byte_size,
    chart,
    clean,
    csv_row,
    feed_details,
    feed_rows,
    instant,
    json_text,
    length_of_time,
    nanoseconds,
    point_json,
    points_text,
    quantity,
    sparkline,
    table,
)
from txbridge.model.structures import Datapoint, Datastream, Environment, Location, Unit

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


@given(st.text())
def test_no_text_can_steer_a_terminal(text):
    shown = clean(text)
    assert all(ord(one) >= 32 and not 127 <= ord(one) < 160 for one in shown)
    shown.encode()


def test_control_characters_are_shown_as_escapes():
    assert clean("\x1b[31mred\x07\u202eabc") == "\\x1b[31mred\\x07\\u202eabc"


def test_a_table_aligns_what_is_wide():
    text = table(("name", "n"), [("日本", "1"), ("temperature", "10")], right=(1,))
    assert text.splitlines() == ["NAME          N", "日本          1", "temperature  10"]


def test_an_empty_cell_is_a_dash_and_a_long_one_is_cut():
    lines = table(("a", "b"), [("", "x" * 100)]).splitlines()
    assert lines[1].startswith("-  ")
    assert lines[1].endswith("…")
    assert cell_len(lines[1]) < 70


def test_a_table_without_rows_has_its_header():
    assert table(("id", "title"), []) == "ID  TITLE\n"


@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"])), min_size=1))
def test_a_row_of_csv_reads_back(cells):
    assert next(csv.reader(io.StringIO(csv_row(cells)))) == cells or cells == [""]


def test_json_is_one_line_of_ascii():
    text = json_text({"title": "Küche\n"})
    assert text.isascii()
    assert text.count("\n") == 1
    assert json.loads(text) == {"title": "Küche\n"}


def test_a_point_keeps_its_value_as_text_with_every_digit_of_its_instant():
    point = Datapoint(at="2026-11-21T12:00:00.000001Z", value="0.10")
    assert point_json(3, "t", point) == {
        "feed": 3,
        "datastream": "t",
        "at": "2026-11-21T12:00:00.000001Z",
        "value": "0.10",
    }


def test_an_instant_is_shown_in_utc_to_the_millisecond():
    assert instant(NOW + timedelta(microseconds=1999)) == "2026-11-21 12:00:00.001Z"
    assert instant(None) == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s ago"),
        (59, "59 s ago"),
        (60, "1 minute ago"),
        (7300, "2 hours ago"),
        (172800, "2 days ago"),
        (-5, "in the future"),
    ],
)
def test_how_long_ago_is_told_in_one_unit(seconds, text):
    assert ago(NOW - timedelta(seconds=seconds), NOW) == text


@pytest.mark.parametrize(
    ("value", "symbol", "text"),
    [
        ("21.50", "C", "21.50 C"),
        ("0", None, "0"),
        (None, "C", ""),
        ("open", None, "open"),
        ("1234567890", "B", "1.23 GB"),
        ("0", "B/s", "0 B/s"),
        ("12.3456789012", "%", "12.3457 %"),
    ],
)
def test_a_quantity_is_shown_for_people(value, symbol, text):
    assert quantity(value, symbol) == text


def test_a_sparkline_goes_from_the_least_to_the_greatest():
    assert sparkline([0, 7, 3.5], 10) == "▁█▅"
    assert sparkline([5, 5], 10) == "▁▁"
    assert sparkline([1, 2, 3], 2) == "▁█"
    assert sparkline([], 5) == ""


def test_a_chart_has_its_title_its_scale_and_its_times():
    points = [Datapoint(at=NOW + timedelta(minutes=minute), value=minute) for minute in range(60)]
    text = chart(points, title="temp", width=80, height=15)
    assert len(text.splitlines()) == 15
    assert max(map(cell_len, text.splitlines())) <= 80
    assert "temp" in text
    assert "12:00" in text
    assert "12:59" in text
    assert "\x1b" not in text


def test_a_single_point_is_a_chart_too():
    assert "temp" in chart([Datapoint(at=NOW, value="5")], title="temp", width=60, height=10)


def test_text_values_cannot_be_drawn_and_that_is_said():
    text = chart(
        [Datapoint(at=NOW, value="open"), Datapoint(at=NOW, value="1e350")], title="door", width=60, height=10
    )
    assert text == "door: there are no numbers to draw\n"


def test_a_feed_is_one_row():
    feed = Environment(id=3, title="Boiler", status="live", private=True, updated=NOW)
    feed.set_current_value("temp", 0)
    assert feed_rows([feed], NOW) == [("3", "Boiler", "live private", "0 s ago", "temp")]


def test_a_feeds_details_show_what_is_known_and_every_datastream():
    stream = Datastream(id="temp", current_value="0", at=NOW, min_value="-1.0", unit=Unit(symbol="C"))
    feed = Environment(
        id=3,
        title="Boi\x1bler",
        datastreams=[stream],
        location=Location(name="Cellar", lat=0, lon=1.5),
    )
    text = feed_details(feed, NOW)
    assert "Boi\\x1bler" in text
    assert "Cellar, 0, 1.5" in text
    assert "description" not in text
    assert text.splitlines()[-1].split() == ["temp", "0", "C", "0", "s", "ago", "-1.0", "C", "-"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0.0 s"),
        (0.25, "0.2 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3725, "1 h 2 min"),
        (86400 + 59, "1 d"),
        (3 * 86400 + 4 * 3600 + 300, "3 d 4 h"),
    ],
)
def test_a_length_of_time_has_up_to_two_units(seconds, text):
    assert length_of_time(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1023, "0.999 KiB"), (1 << 20, "1 MiB"), (1 << 50, "1.02e+03 TiB")],
)
def test_a_size_has_three_digits(count, text):
    assert byte_size(count) == text


@pytest.mark.parametrize(
    ("at_ns", "text"),
    [
        (0, "1970-01-01T00:00:00.000000000Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
        (1_370_249_090_123_456_789, "2013-06-03T08:44:50.123456789Z"),
        (10**30, "1000000000000000000000000000000 ns"),
    ],
)
def test_nanoseconds_are_shown_to_the_last(at_ns, text):
    assert nanoseconds(at_ns) == text


def test_one_point_is_no_points():
    assert [points_text(count) for count in (0, 1, 2)] == ["0 points", "1 point", "2 points"]
