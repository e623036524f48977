"""A command as the parser knows it."""

from __future__ import annotations

import argparse

import pytest

from txbridge.daemon.config import ClientConfig
from txbridge.daemon.subcommands import add_command, add_connection, add_json, add_verbose, hub_of


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


def test_which_hub_is_asked_stands_in_the_arguments_or_the_environment(monkeypatch, tmp_path):
    parser = argparse.ArgumentParser()
    add_connection(parser)
    add_json(parser, "JSON")
    add_verbose(parser)
    (tmp_path / "key").write_text("secret\n")
    monkeypatch.setenv("TXBRIDGE_URL", "http://elsewhere.test:81")
    monkeypatch.setenv("TXBRIDGE_API_KEY", "of the environment")
    arguments = parser.parse_args(["--json", "--verbose"])
    assert (arguments.json, arguments.verbose) == (True, True)
    assert hub_of(arguments) == ClientConfig("http://elsewhere.test:81/v2", "of the environment")
    words = ["--url", "https://hub.test", "--api-key-file", str(tmp_path / "key")]
    assert hub_of(parser.parse_args(words)) == ClientConfig("https://hub.test/v2", "secret")
