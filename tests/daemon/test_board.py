"""What the demonstration shows of the updates it gets."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta

from rich.console import Console

from txbridge.daemon.board import Board, Latency
from txbridge.model.structures import Datapoint

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def points(*values, ago=0.004):
    return tuple(Datapoint(at=NOW - timedelta(seconds=ago), value=value) for value in values)


def drawn(board, lines=40):
    console = Console(file=io.StringIO(), width=100, color_system=None)
    console.print(board.picture(lines))
    return console.file.getvalue()


def test_a_board_counts_values_and_updates():
    board = Board({})
    board.add("cpu.percent", points("1", "2"), NOW)
    board.add("uptime", points("3"), NOW)
    assert (board.points, board.updates) == (3, 2)


def test_a_number_that_no_float_can_hold_is_shown_and_not_drawn():
    board = Board({})
    board.add("flow", points("1", "1e400", "-1e400", "2"), NOW)
    assert "▁█" in drawn(board)


def test_latency_is_the_way_from_the_sensor_to_here():
    board = Board({})
    assert board.latency is None
    for ago in (0.002, 0.004, 0.1):
        board.add("uptime", points("1", ago=ago), NOW)
    assert board.latency == Latency(0.004, 0.1)
    assert board.latency.to_json() == {"median": 4.0, "maximum": 100.0}


def test_a_clock_that_was_set_back_makes_no_latency_below_zero():
    board = Board({})
    board.add("uptime", points("1", ago=-5), NOW)
    assert board.latency == Latency(0.0, 0.0)


def test_the_picture_has_each_datastream_with_its_last_values():
    board = Board({"memory.used": "B"})
    board.add("memory.used", points("1000000", "2000000"), NOW)
    board.add("door", points("open\x1b[2J"), NOW)
    text = drawn(board)
    assert "2.00 MB" in text
    assert "▁█" in text
    assert "open\\x1b[2J" in text
    assert "4 ms" in text
    assert "3 values" in text


def test_what_has_no_room_is_counted_and_alike_ones_go_last():
    board = Board({})
    for name in (
        "cpu.0.percent",
        "cpu.1.percent",
        "cpu.percent",
        "load.1",
        "memory.used",
        "uptime",
        "swap.used",
    ):
        board.add(name, points("1"), NOW)
    text = drawn(board, lines=10)
    assert "and 2 more" in text
    assert "cpu.0.percent" not in text
    assert "load.1" in text


def test_a_line_tells_when_what_and_how_late():
    board = Board({"cpu.percent": "%"})
    update = points("12.5")
    board.add("cpu.percent", update, NOW)
    assert board.lines("cpu.percent", update).split() == [
        "2026-11-21",
        "11:59:59.996Z",
        "cpu.percent",
        "12.5",
        "%",
        "4",
        "ms",
    ]


def test_a_point_for_a_script_has_every_part():
    board = Board({"cpu.percent": "%"})
    update = points("12.5")
    board.add("cpu.percent", update, NOW)
    assert board.members("cpu.percent", update[0]) == {
        "event": "update",
        "datastream": "cpu.percent",
        "at": "2026-11-21T11:59:59.996000Z",
        "value": "12.5",
        "unit": "%",
        "latency_ms": 4.0,
    }
