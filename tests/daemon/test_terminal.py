"""What was asked for and what is said about it go different ways."""

from __future__ import annotations

import io

from tests.support.program import Tty
from txbridge.daemon.terminal import Terminal


def test_what_was_asked_for_goes_to_stdout_and_the_rest_to_stderr():
    terminal = Terminal(io.StringIO(), io.StringIO())
    terminal.give("1\n")
    terminal.say("done")
    assert terminal.out.getvalue() == "1\n"
    assert terminal.err.getvalue() == "txbridge: done\n"


def test_what_is_said_cannot_steer_the_terminal():
    terminal = Terminal(io.StringIO(), io.StringIO())
    terminal.say("the hub says: \x1b[2J")
    assert "\x1b" not in terminal.err.getvalue()


def test_progress_is_for_people_only():
    terminal = Terminal(io.StringIO(), io.StringIO())
    with terminal.progress("reading", 10) as report:
        report(5)
    assert terminal.err.getvalue() == ""
    assert not terminal.is_interactive


def test_a_person_sees_a_bar_on_stderr_and_nothing_on_stdout():
    terminal = Terminal(Tty(), Tty())
    with terminal.progress("reading history", 10) as report:
        report(10)
    assert "reading history" in terminal.err.getvalue()
    assert terminal.out.getvalue() == ""
    assert terminal.is_interactive


def test_a_bar_says_what_else_there_is_to_say():
    terminal = Terminal(Tty(), Tty())
    with terminal.progress("copying", 1.0) as report:
        report(0.5, "7 points")
    assert "7 points" in terminal.err.getvalue()


def test_a_bar_is_not_drawn_between_lines_on_the_same_terminal():
    terminal = Terminal(Tty(), Tty())
    with terminal.progress("reading history", 10, gives=True) as report:
        report(10)
    assert terminal.err.getvalue() == ""


def test_a_bar_is_drawn_while_the_lines_go_elsewhere():
    terminal = Terminal(io.StringIO(), Tty())
    with terminal.progress("reading history", 10, gives=True) as report:
        report(10)
    assert "reading history" in terminal.err.getvalue()


def test_a_terminal_has_a_size():
    columns, lines = Terminal(io.StringIO(), io.StringIO()).size
    assert columns > 0
    assert lines > 0
