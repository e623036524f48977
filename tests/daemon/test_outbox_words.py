"""The words of the commands for a relay's state mean what they say."""

from __future__ import annotations

import argparse
import json

import pytest

from tests.daemon.test_outbox import State, letters_of, loss, rows
from tests.support.deferreds import fired
from tests.support.program import captured
from txbridge.daemon.outbox_words import add_ledger, add_outbox
from txbridge.errors import ConfigError
from txbridge.net.reactor import resolve_reactor
from txbridge.relay.roles import LossKind


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    folder = tmp_path / "state"
    folder.mkdir()
    made = State(folder)
    fired(made.route().append(rows()))
    made.clock.advance(10)
    made.bury(rows("refused"))
    made.lose(loss("t"))
    yield made
    made.close()


def parsed(words):
    parser = argparse.ArgumentParser(prog="txbridge", allow_abbrev=False)
    subparsers = parser.add_subparsers(required=True)
    add_outbox(subparsers)
    add_ledger(subparsers.add_parser("relay").add_subparsers(required=True))
    return parser.parse_args(words.split())


async def said(words):
    """What a command wrote to stdout, and its status."""
    arguments = parsed(words)
    terminal = captured()
    status = await arguments.command(arguments)(resolve_reactor(), terminal)
    return status, terminal.out.getvalue()


async def test_what_waits_is_listed(state):
    status, out = await said("outbox ls kitchen --destination hub --json --state state")
    assert status == 0
    assert [one["points"] for one in json.loads(out)["waiting"]] == [3]


async def test_what_is_kept_is_exported(state):
    _, out = await said("outbox export kitchen --state state")
    assert [json.loads(line)["stream"] for line in out.splitlines()] == ["t"] * 3
    _, out = await said("outbox export kitchen --dead --csv --destination hub --state state")
    assert out.splitlines()[1].startswith("refused,")


async def test_letters_are_sent_back(state):
    status, _ = await said("outbox requeue kitchen 1 --state state")
    assert status == 0
    assert letters_of(state, "requeue") == ["hub-00000001.letter"]
    state.bury(rows("again"))
    await said("outbox requeue kitchen --all --destination hub --state state")
    assert len(letters_of(state, "requeue")) == 2


async def test_everything_is_verified_and_examined(state):
    assert (await said("outbox verify --state state"))[0] == 0
    status, out = await said("outbox doctor --quick --json --state state")
    assert status == 1  # there is a letter
    assert json.loads(out)["routes"][0]["letters"] == {"hub": 1}


async def test_losses_are_shown(state):
    _, out = await said("relay ledger --route kitchen --destination hub --kind overflow --json --state state")
    assert json.loads(out)["points"] == 3
    _, out = await said("relay ledger --sums --json --stream t* --oldest-first --limit 5 --state state")
    assert json.loads(out)["losses"] == 1
    _, out = await said("relay ledger --since 2013-06-04T00:00:00Z --json --state state")
    assert out == ""
    _, out = await said("relay ledger --since 2013-06-03T00:00:00Z --json --state state")
    assert json.loads(out)["stream"] == "t"


async def test_the_state_is_found_by_a_configuration(state, tmp_path):
    text = """
state = "state"
[routes.kitchen]
from.host.every = "10s"
to.hub.cosm = { feed = 1, key.env = "KEY" }
outbox.max_bytes = "100MB"
"""
    (tmp_path / "other.toml").write_text(text)
    _, out = await said("outbox doctor --quick --json --config other.toml")
    assert json.loads(out)["routes"][0]["caps"]["nbytes"] == 100_000_000
    (tmp_path / "other.toml").rename(tmp_path / "relay.toml")
    _, out = await said("relay ledger --json")
    assert json.loads(out)["stream"] == "t"


async def test_without_a_configuration_it_is_the_usual_one(state, tmp_path, monkeypatch):
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    _, out = await said("relay ledger --json")
    assert json.loads(out)["stream"] == "t"
    monkeypatch.delenv("STATE_DIRECTORY")
    monkeypatch.delenv("HOME")
    with pytest.raises(ConfigError, match="--state: say which"):
        await said("relay ledger")


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("outbox export kitchen --csv --json", "one of them"),
        ("outbox requeue kitchen", "the numbers of the letters, or --all"),
        ("outbox requeue kitchen 1 --all", "the numbers of the letters, or --all"),
        ("relay ledger --since yesterday", "--since"),
    ],
)
async def test_words_that_make_no_sense_are_told_before_anything_is_done(state, words, problem):
    with pytest.raises(ConfigError, match=problem):
        await said(f"{words} --state state")
    assert letters_of(state, "requeue") == []


@pytest.mark.parametrize("words", ["relay ledger --limit 0", "relay ledger --kind lost", "outbox"])
def test_words_that_are_not_known_are_refused(words, capsys):
    with pytest.raises(SystemExit) as ended:
        parsed(words)
    assert ended.value.code == 2


def test_every_kind_of_loss_can_be_asked_for():
    for kind in LossKind:
        assert parsed(f"relay ledger --kind {kind.value}").kind == kind.value
