"""The words below the command of the hub."""

from __future__ import annotations

import json

import pytest

from tests.support.program import Tty, bare_environ, run_program, started_hub
from tests.support.stores import rows_of, small_store
from txbridge.daemon.cli import parser
from txbridge.errors import ConfigError
from txbridge.hub.transfer_export import export_tar


def test_the_hub_runs_without_an_action_and_names_them_in_its_help(tmp_path):
    with started_hub(tmp_path / "data") as hub:
        assert hub.url.startswith("http://")
    shown = run_program("hub", "--help", environ=bare_environ(tmp_path))
    assert "Without an ACTION it runs a hub." in shown.out
    assert "backup" in shown.out


def test_the_data_may_be_said_before_the_action_or_after_it(tmp_path):
    with started_hub(tmp_path / "data") as hub:
        for words in (("--data", hub.data, "backup"), ("backup", "--data", hub.data)):
            target = tmp_path / f"{words[0]}.sqlite"
            done = run_program("hub", *map(str, words), str(target), "--json", environ=bare_environ(tmp_path))
            assert (done.status, done.err) == (0, "")
            assert json.loads(done.out)["bytes"] == target.stat().st_size


def test_a_data_directory_without_a_store_is_named(tmp_path):
    done = run_program(
        "hub", "backup", "--data", str(tmp_path), str(tmp_path / "copy"), environ=bare_environ(tmp_path)
    )
    assert (done.status, done.err) == (1, f"txbridge: there is no store in {tmp_path}\n")


def test_a_terminal_is_sent_no_archive(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdout", Tty())
    arguments = parser().parse_args(["hub", "export", "--data", str(tmp_path), "-"])
    with pytest.raises(ConfigError, match="a terminal takes no tar archive"):
        arguments.command(arguments)


def test_a_terminal_is_asked_for_no_archive(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", Tty())
    arguments = parser().parse_args(["hub", "import", "--data", str(tmp_path), "-"])
    with pytest.raises(ConfigError, match="a terminal gives no tar archive"):
        arguments.command(arguments)


@pytest.mark.parametrize(
    ("stream", "words", "said"),
    [
        ("stdout", ("hub", "export", "--data", ".", "-"), "standard output is closed"),
        ("stdin", ("hub", "import", "--data", ".", "-"), "standard input is closed"),
        ("stdin", ("hub", "token", "adopt"), "standard input is closed"),
        ("stdin", ("send", "5"), "standard input is closed"),
        ("stdin", ("iobeam", "send", "pump-3"), "standard input is closed"),
    ],
)
def test_a_stream_that_the_shell_has_closed_is_named(stream, words, said, monkeypatch):
    monkeypatch.setattr(f"sys.{stream}", None)
    arguments = parser().parse_args(words)
    with pytest.raises(ConfigError, match=said):
        arguments.command(arguments)


def test_an_archive_is_taken_from_its_file(tmp_path):
    (tmp_path / "data").mkdir()
    small_store(tmp_path / "data" / "hub.sqlite")
    with (tmp_path / "all.tar").open("wb") as file:
        export_tar(tmp_path / "data" / "hub.sqlite", file, lambda done, total: None, lambda: False)
    words = ("hub", "import", "--data", str(tmp_path / "new"), str(tmp_path / "all.tar"))
    done = run_program(*words, environ=bare_environ(tmp_path))
    assert done.status == 0
    assert done.err.startswith("txbridge: owner.key is no part of an export: copy it")
    assert rows_of(tmp_path / "new" / "hub.sqlite") == rows_of(tmp_path / "data" / "hub.sqlite")


def test_an_action_without_a_directory_of_data_says_how_to_name_one(tmp_path):
    arguments = parser().parse_args(["hub", "backup", "copy"])
    arguments.data = None
    with pytest.raises(ConfigError, match="--data"):
        arguments.command(arguments)
