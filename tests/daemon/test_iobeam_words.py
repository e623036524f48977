"""The words of ``txbridge iobeam``."""

from __future__ import annotations

import argparse
import json

import pytest

from tests.support.program import Tty, bare_environ, run_program, started_hub
from txbridge.daemon.iobeam_words import add_iobeam
from txbridge.errors import ConfigError

TOKEN = "e30.eyJwaWQiOjd9.e30"  # of project 7


@pytest.fixture
def parser(monkeypatch):
    for name in ("URL", "TOKEN_FILE", "PROJECT"):
        monkeypatch.delenv(f"TXBRIDGE_IOBEAM_{name}", raising=False)
    monkeypatch.setenv("TXBRIDGE_IOBEAM_TOKEN", TOKEN)
    made = argparse.ArgumentParser()
    add_iobeam(made.add_subparsers())
    return made


def problems(parser, *words):
    arguments = parser.parse_args(["iobeam", *words])
    with pytest.raises(ConfigError) as caught:
        arguments.command(arguments)
    return caught.value.problems


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("register", "a b"), "the device's id must be letters, digits, '_', ':' and '-', not 'a b'"),
        (("register", "--or-set"), "--or-set: say which id it shall have"),
        (("register", "d", "--name", ""), "--name: it is blank"),
        (("register", "--type", ""), "--type: it is blank"),
        (("send", "ä", "x=1"), "the device's id must be letters, digits, '_', ':' and '-', not 'ä'"),
        (("send", "d", "x=1", "x=2"), "'x' is given twice"),
        (("send", "d", "x=1", "--at", "soon"), "--at: 'soon' is "),
        (("send", "d", "x=1", "--timefmt", "sec"), "--timefmt: it is for lines of standard input"),
        (
            ("send", "d", "-", "--at", "2026-01-01"),
            "--at: lines of standard input have timestamps of their own",
        ),
        (("send", "d"), "there is nothing to send: give values, or '-' to read lines from the terminal"),
        (("query", "--csv"), "--csv: say of which device, for its lines name none"),
        (("query", "--group-by", "1h"), "--group-by: --operator says what to make of a group"),
        (("query", "--operator", "sum", "--group-by", "x"), "group_by: 'x' is no span such as 30s"),
        (("query", "--limit", "0"), "limit: must be an integer above 0"),
        (("query", "d", "Time"), "seriesName: 'Time' is reserved"),
        (
            ("query", "--start", "2026-01-02", "--end", "2026-01-01"),
            "--end: '2026-01-01' is before '2026-01-02'",
        ),
        (("query", "--greater-than", "2", "--less-than", "1"), "less_than: is below greater_than"),
        (("query", "--equals", "inf"), "equals: inf is not a number that can be sent"),
        (("query", "--token-file", "/nowhere"), "--token-file: cannot read /nowhere: "),
    ],
)
def test_words_that_make_no_sense_are_told(parser, words, problem, monkeypatch):
    monkeypatch.setattr("sys.stdin", Tty())
    (told,) = problems(parser, *words)
    assert told.startswith(problem)


def test_all_that_is_wrong_is_told_at_once(parser, monkeypatch):
    monkeypatch.delenv("TXBRIDGE_IOBEAM_TOKEN")
    told = problems(parser, "send", "a b", "x", "y=", "--at", "soon")
    assert [one[:12] for one in told] == [
        "the device's",
        "--at: 'soon'",
        "'x' is not S",
        "'y' has no v",
        "TXBRIDGE_IOB",
    ]


@pytest.mark.parametrize("words", [("query", "--project", "0"), ("query", "--less-than", "few")])
def test_what_is_no_number_is_refused(parser, words, capsys):
    with pytest.raises(SystemExit):
        parser.parse_args(["iobeam", *words])
    assert "is no" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ("register",),
        ("register", "d", "--name", "n", "--type", "t", "--or-set"),
        ("send", "d", "x=1", "--at", "1hour"),
        ("query",),
        ("query", "d", "s", "--start", "1day", "--limit", "5", "--equals", "-1.5"),
        ("query", "d", "s", "--operator", "mean", "--group-by", "30s", "--plot"),
        ("query", "d", "--csv", "--project", "8", "--url", "http://elsewhere.test"),
    ],
)
def test_words_that_make_sense_start_something(parser, words):
    arguments = parser.parse_args(["iobeam", *words])
    assert callable(arguments.command(arguments))


def test_iobeam_by_itself_does_nothing(parser, capsys):
    with pytest.raises(SystemExit):
        parser.parse_args(["iobeam"])
    assert "ACTION" in capsys.readouterr().err


def test_the_program_is_a_device(tmp_path):
    with started_hub(tmp_path / "data") as hub:
        file = str(tmp_path / "token")
        run_program("hub", "project", "create", "Pumps", "--number", "7", environ=hub.environ)
        run_program("hub", "token", "create", "7", "--save", file, environ=hub.environ)
        # The hub is that of TXBRIDGE_URL; no key of it is needed.
        environ = bare_environ(tmp_path, TXBRIDGE_URL=hub.url, TXBRIDGE_IOBEAM_TOKEN_FILE=file)

        def run(*words, input="", status=0):
            ended = run_program("iobeam", *words, environ=environ, input=input)
            assert ended.status == status, ended.err
            return ended

        assert run("register", "pump-3").out == "pump-3\n"
        assert run("register", "pump-3", status=1).err.startswith("txbridge: the service says: ")
        assert run("send", "pump-3", "flow=4.5", "on=true").out == "sent 2 points to device pump-3\n"
        lines = 'flow,2026-11-21T06:00:00Z,0\n{"time": "2026-11-21T06:00:01Z", "flow": 1}\n'
        assert run("send", "pump-3", input=lines).out == "sent 2 points to device pump-3\n"
        shown = json.loads(run("query", "pump-3", "flow", "--json").out)
        assert sorted(point["value"] for point in shown["series"][0]["data"]) == [0, 1, 4.5]
        assert run("query", "pump-3", "on").out.endswith("Z  pump-3  on  true\n")
        assert "'txbridge iobeam register nobody' makes it" in run("send", "nobody", "x=1", status=1).err
        listed = run_program("feeds", environ=hub.environ).out
        assert "pump-3" in listed
        refused = run_program("iobeam", "query", environ={**environ, "TXBRIDGE_IOBEAM_TOKEN": TOKEN})
        assert (refused.status, "the service refuses the token" in refused.err) == (77, True)
        nobody = run_program("iobeam", "query", "--url", "http://127.0.0.1:1", environ=environ)
        assert (nobody.status, "TXBRIDGE_IOBEAM_URL" in nobody.err) == (69, True)
