"""A command as the parser knows it."""

from __future__ import annotations

import argparse

import pytest

from txbridge.daemon.subcommands import add_command


def test_a_command_has_a_name_a_help_and_what_it_starts(capsys):
    parser = argparse.ArgumentParser(prog="p")
    subparsers = parser.add_subparsers()

    def start(arguments):
        return lambda reactor, terminal: None

    added = add_command(subparsers, "do", "do something", start, "the end\n  of it")
    added.add_argument("--long-option")
    assert parser.parse_args(["do"]).command is start
    with pytest.raises(SystemExit):
        parser.parse_args(["do", "--help"])
    shown = capsys.readouterr().out
    assert "Do something." in shown
    assert "the end\n  of it" in shown
    with pytest.raises(SystemExit):
        parser.parse_args(["do", "--long", "x"])  # not abbreviated
