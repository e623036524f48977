"""Projects of iobeam and their tokens, at a hub in this process, over real connections."""

from __future__ import annotations

import argparse
import io
import json
import os
import stat
from contextlib import asynccontextmanager

import pytest
from attrs import frozen

from tests.support.program import Tty, captured, hub_here, run_program, started_hub
from txbridge.daemon import hub_projects
from txbridge.daemon.assembly import iobeam_account_of
from txbridge.daemon.hub_projects import add_project, add_token
from txbridge.errors import AuthError, ConfigError
from txbridge.iobeam.errors import NoSuchThing, UnknownCodeError
from txbridge.iobeam.operations import register_device, with_token
from txbridge.iobeam.projects import create_token as new_token

OLD = "eyJraWQiOjEwfQ==.eyJwaWQiOjEyMzQsImV4cCI6MTQ1MDAwMDAwMH0=.c2lnbmF0dXJl"  # of project 1234, long ended


@frozen
class Asking:
    """Runs commands, and knows what they wrote."""

    hub: object

    async def __call__(self, command, *words, **more):
        terminal = captured()
        assert await command(self.hub, terminal, *words, **more) == 0
        return terminal.out.getvalue(), terminal.err.getvalue()


@asynccontextmanager
async def asking(folder):
    async with hub_here(folder / "data") as hub:
        carrier = iobeam_account_of(hub.reactor, hub.config)
        try:
            yield Asking(carrier)
        finally:
            await carrier.close()


async def test_a_new_projects_number_is_all_that_is_printed(tmp_path):
    async with asking(tmp_path) as ask:
        assert await ask(hub_projects.create_project, "Pumps", 1234, "table") == ("1234\n", "")
        out, _ = await ask(hub_projects.create_project, "Wells", None, "json")
        made = json.loads(out)
        assert (made["name"], made["project"] != 1234) == ("Wells", True)


async def test_projects_are_listed_for_people_and_for_scripts(tmp_path):
    async with asking(tmp_path) as ask:
        out, err = await ask(hub_projects.list_projects, "table")
        assert (out, err) == (
            "",
            "txbridge: there are no projects; 'txbridge hub project create NAME' makes one\n",
        )
        await ask(hub_projects.create_project, "Pumps", 7, "table")
        out, _ = await ask(hub_projects.list_projects, "table")
        header, row = out.splitlines()
        assert header.split() == ["PROJECT", "NAME", "CREATED"]
        assert row.split()[:2] == ["7", "Pumps"]
        out, _ = await ask(hub_projects.list_projects, "json")
        (listed,) = json.loads(out)["projects"]
        assert (listed["project"], listed["name"], listed["created"][-1]) == (7, "Pumps", "Z")


async def test_a_number_that_is_taken_is_told(tmp_path):
    async with asking(tmp_path) as ask:
        await ask(hub_projects.create_project, "Pumps", 7, "table")
        with pytest.raises(UnknownCodeError) as caught:
            await ask(hub_projects.create_project, "Wells", 7, "table")
        assert (caught.value.status, caught.value.code) == (422, 33)


async def test_a_project_is_deleted_once(tmp_path):
    async with asking(tmp_path) as ask:
        await ask(hub_projects.create_project, "Pumps", 7, "table")
        _, err = await ask(hub_projects.delete_project, 7, "table")
        assert err == "txbridge: project 7 is deleted; the feeds of its devices are still there\n"
        with pytest.raises(NoSuchThing):
            await ask(hub_projects.delete_project, 7, "table")
        await ask(hub_projects.create_project, "Pumps", 7, "table")
        out, _ = await ask(hub_projects.delete_project, 7, "json")
        assert json.loads(out) == {"project": 7, "deleted": True}


async def test_a_token_is_printed_once_and_nothing_else_is(tmp_path):
    async with asking(tmp_path) as ask:
        await ask(hub_projects.create_project, "Pumps", 7, "table")
        out, err = await ask(hub_projects.create_token, new_token(7, ("read", "write")))
        token = out.strip()
        assert (token.count("."), err) == (2, "")
        for form in ("table", "json"):
            out, _ = await ask(hub_projects.list_tokens, 7, form)
            assert token not in out
            assert token.rpartition(".")[2] not in out


async def test_a_person_is_told_that_the_token_is_shown_this_once(tmp_path):
    async with asking(tmp_path) as ask:
        await ask(hub_projects.create_project, "Pumps", 7, "table")
        terminal = captured(watched=True)
        await hub_projects.create_token(ask.hub, terminal, new_token(7, ("read", "write")))
        assert terminal.out.getvalue().count("\n") == 1
        assert (
            "token 1 is shown this once; it is for every device, may read and write"
            in terminal.err.getvalue()
        )


async def test_tokens_are_listed_with_what_they_may_do(tmp_path):
    async with asking(tmp_path) as ask:
        await ask(hub_projects.create_project, "Pumps", 7, "table")
        out, err = await ask(hub_projects.list_tokens, 7, "table")
        assert (out, "project 7 has no tokens" in err) == ("", True)
        out, _ = await ask(hub_projects.create_token, new_token(7, ("write",)), form="json")
        first = json.loads(out)
        await ask.hub.run(with_token(register_device(7, "pump-3"), first["token"]))
        await ask(hub_projects.revoke_token, first["token_id"], "table")
        out, _ = await ask(
            hub_projects.create_token,
            new_token(7, ("write",), device="pump-3", duration="12h", refreshable=False),
            form="json",
        )
        made = json.loads(out)
        out, _ = await ask(hub_projects.list_tokens, 7, "json")
        assert json.loads(out)["tokens"] == [{name: made[name] for name in made if name != "token"}]
        assert (made["may"], made["device"], made["refreshable"]) == (["write"], "pump-3", False)
        out, _ = await ask(hub_projects.list_tokens, 7, "table")
        assert out.splitlines()[1].split()[:4] == [made["token_id"], "write", "pump-3", "no"]


async def test_a_saved_token_is_in_a_file_of_its_owner_alone(tmp_path):
    async with asking(tmp_path) as ask:
        await ask(hub_projects.create_project, "Pumps", 7, "table")
        path = tmp_path / "pumps.token"
        out, err = await ask(hub_projects.create_token, new_token(7, ("read",)), save=str(path))
        assert (out, path.read_text().count(".")) == ("", 2)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert f"is in {path}; it is for every device, may read, and ends 2" in err
        out, _ = await ask(
            hub_projects.create_token, new_token(7, ("read",)), save=f"{path}.json", form="json"
        )
        assert "token" not in json.loads(out)
        assert json.loads(out)["file"] == f"{path}.json"


async def test_no_token_is_made_that_could_not_be_saved(tmp_path):
    async with asking(tmp_path) as ask:
        await ask(hub_projects.create_project, "Pumps", 7, "table")
        path = tmp_path / "there.already"
        path.write_text("something else")
        with pytest.raises(ConfigError, match=r"--save: cannot make .*there\.already: File exists"):
            await ask(hub_projects.create_token, new_token(7, ("read",)), save=str(path))
        assert path.read_text() == "something else"
        out, _ = await ask(hub_projects.list_tokens, 7, "json")
        assert json.loads(out)["tokens"] == []


async def test_a_refusal_leaves_no_empty_file(tmp_path):
    async with asking(tmp_path) as ask:
        with pytest.raises(NoSuchThing):
            await ask(hub_projects.create_token, new_token(99, ("read",)), save=str(tmp_path / "x.token"))
        assert not (tmp_path / "x.token").exists()


async def test_a_token_from_the_days_of_the_service_is_adopted_and_never_ends(tmp_path):
    async with asking(tmp_path) as ask:
        await ask(hub_projects.create_project, "Pumps", 1234, "table")
        _, err = await ask(hub_projects.adopt_token, 1234, OLD, ("read", "write"), "table")
        assert "opens project 1234 now; it is for every device, may read and write, and never ends" in err
        out, _ = await ask(hub_projects.list_tokens, 1234, "json")
        (listed,) = json.loads(out)["tokens"]
        assert (listed["expires"], listed["may"]) == (None, ["read", "write"])
        out, _ = await ask(hub_projects.list_tokens, 1234, "table")
        assert out.splitlines()[1].endswith("never")


async def test_a_project_that_is_not_made_yet_is_named_with_what_makes_it(tmp_path):
    async with asking(tmp_path) as ask:
        words = "no project 1234, .*'txbridge hub project create NAME --number 1234' makes it"
        with pytest.raises(ConfigError, match=words):
            await ask(hub_projects.adopt_token, 1234, OLD, ("read",), "table")
        with pytest.raises(ConfigError, match=words):
            await ask(hub_projects.list_tokens, 1234, "table")


async def test_a_revoked_token_is_gone(tmp_path):
    async with asking(tmp_path) as ask:
        await ask(hub_projects.create_project, "Pumps", 7, "table")
        for form in ("table", "json"):
            out, _ = await ask(hub_projects.create_token, new_token(7, ("read",)), form="json")
            reference = json.loads(out)["token_id"]
            out, err = await ask(hub_projects.revoke_token, reference, form)
            assert (out + err).startswith(
                f"txbridge: token {reference} opens nothing" if form == "table" else '{"token_id":'
            )
        out, _ = await ask(hub_projects.list_tokens, 7, "json")
        assert json.loads(out)["tokens"] == []


async def test_a_key_that_the_hub_does_not_know_is_refused(tmp_path):
    async with hub_here(tmp_path / "data") as hub:
        config = type(hub.config)(hub.config.url, "wrong")
        carrier = iobeam_account_of(hub.reactor, config)
        with pytest.raises(AuthError):
            await hub_projects.list_projects(carrier, captured(), "table")
        await carrier.close()


# -------------------------------------------------------------------------------------------- words


@pytest.fixture
def parser():
    made = argparse.ArgumentParser()
    actions = made.add_subparsers()
    add_project(actions)
    add_token(actions)
    return made


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["project"], "say what to do; see 'txbridge hub project --help'"),
        (["token"], "say what to do; see 'txbridge hub token --help'"),
        (
            ["token", "create", "7", "--may", "read,delete"],
            "--may: 'read,delete' is not some of read,write,admin",
        ),
        (["token", "create", "7", "--may", ""], "--may: '' is not some of read,write,admin"),
        (["token", "create", "7", "--device", "a b"], "deviceId: must be letters, digits, "),
        (["token", "create", "7", "--duration", "3y"], "duration: must be a number and one of "),
        (["token", "adopt", "7", "--token-file", "/nowhere"], "--token-file: cannot read /nowhere: "),
    ],
)
def test_words_that_make_no_sense_are_told(parser, words, problem):
    arguments = parser.parse_args(words)
    with pytest.raises(ConfigError) as caught:
        arguments.command(arguments)
    assert caught.value.problems[0].startswith(problem)


@pytest.mark.parametrize("number", ["0", "-1", "seven", "9" * 30])
def test_what_is_no_number_of_a_project_is_refused(parser, number, capsys):
    with pytest.raises(SystemExit):
        parser.parse_args(["project", "delete", "--", number])
    assert "is not the number of a project" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "a token is one line of text; there is none"),
        ("t" * 5000, "a token is one line of text"),
        ("tök.en.x", "a token is one line of text"),
        ("a key", "token: is no project token"),
        ("e30.e30.e30", "the token names no project: say which"),
    ],
)
def test_what_cannot_be_a_token_is_not_sent(parser, text, problem, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    arguments = parser.parse_args(["token", "adopt"])
    with pytest.raises(ConfigError) as caught:
        arguments.command(arguments)
    assert caught.value.problems[0].startswith(problem)


def test_a_person_is_asked_for_the_token(parser, monkeypatch, capsys):
    tty = Tty(f"{OLD}\n")
    monkeypatch.setattr("sys.stdin", tty)
    arguments = parser.parse_args(["token", "adopt"])
    assert callable(arguments.command(arguments))
    assert capsys.readouterr().err == "txbridge: paste the token, and end it with Enter\n"


def test_the_program_makes_a_project_a_token_and_adopts_an_old_one(tmp_path):
    with started_hub(tmp_path / "data") as hub:

        def run(*words, input="", status=0):
            ended = run_program("hub", *words, environ=hub.environ, input=input)
            assert ended.status == status, ended.err
            return ended

        assert run("project", "create", "Pumps", "--number", "1234").out == "1234\n"
        run("token", "create", "1234", "--save", str(tmp_path / "t"))
        assert os.path.getsize(tmp_path / "t") > 100
        assert "token 2 opens project 1234 now" in run("token", "adopt", input=f"{OLD}\n").err
        assert len(run("token", "list", "1234").out.splitlines()) == 3
        run("token", "revoke", "2")
        missing = run("token", "list", "7", status=1)
        assert missing.err.startswith("txbridge: there is no project 7")
        wrong = run_program("hub", "project", "list", environ={**hub.environ, "TXBRIDGE_API_KEY": "wrong"})
        assert (wrong.status, "the hub refuses the key" in wrong.err) == (77, True)
