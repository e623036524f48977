"""How a command ends: its status, its line on stderr, and what signals do to it."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap

import pytest

from tests.support.program import PATIENCE, Program, bare_environ
from txbridge.daemon.running import explain, status_of
from txbridge.errors import (
    AuthError,
    ConfigError,
    ConnectError,
    ConnectionLost,
    Forbidden,
    NotFound,
    ServerFailed,
    StoreError,
    TimedOut,
)
from txbridge.iobeam.errors import (
    DuplicateIdError,
    NoSuchThing,
    ServiceFailed,
    TokenRefused,
    UnauthorizedError,
)
from txbridge.joule.errors import DataRefused, KeyRefused, NodeFailed, StreamNotFound

START = """
import sys
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from txbridge.daemon.running import run
from txbridge.daemon.terminal import Terminal
from txbridge.errors import ConnectError
from txbridge.net.deferred import deferred

terminal = Terminal(sys.stdout, sys.stderr)

@deferred
async def command():
{body}

sys.exit(run(reactor, command, terminal.say, terminal.out))
"""


@pytest.fixture
def script(tmp_path):
    """Runs a command with this body in a process of its own."""
    running = []

    def start(body):
        path = tmp_path / "script.py"
        path.write_text(START.format(body=textwrap.indent(textwrap.dedent(body), "    ")))
        program = Program(sys.executable, str(path), environ=bare_environ(tmp_path))
        running.append(program)
        return program

    yield start
    for program in running:
        program.close()


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConnectError("hub:80", "refused"), 69),
        (ConnectionLost("read_feed", "reset"), 69),
        (TimedOut("read_feed", "answer", 30), 69),
        (AuthError("read_feed", 401), 77),
        (Forbidden("read_feed", 403), 77),
        (NotFound("read_feed", 404), 1),
        (KeyRefused("version", 403), 77),
        (ConfigError(["what"]), 1),
        (StoreError("what"), 1),
        (BrokenPipeError(), 141),
        (ZeroDivisionError(), 1),
    ],
)
def test_each_error_has_its_exit_status(error, status):
    assert status_of(error) == status


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectError("hub:80", "refused"), "cannot connect to hub:80: refused; is a hub running there?"),
        (AuthError("read_feed", 401), "refuses the key; --api-key-file, TXBRIDGE_API_KEY"),
        (Forbidden("read_feed", 403, "Forbidden", "not yours"), "may not do this (not yours)"),
        (Forbidden("read_feed", 403), "may not do this (forbidden)"),
        (
            NotFound("read_feed", 404, "Not found", "no such feed"),
            "there is no such feed or datastream, or the key may not see it (no such feed); 'txbridge feeds'",
        ),
        (ServerFailed("read_feed", 503), "the hub says: 503"),
        (TimedOut("read_feed", "answer", 30), "read_feed: no answer within 30 s"),
        (KeyRefused("version", 403), "the node refuses the key; --node or TXBRIDGE_JOULE_URL"),
        (StreamNotFound("data_read", 404, "", "gone"), "the node says: gone; 'txbridge joule ls' lists"),
        (NodeFailed("data_read", 500, "", "a traceback"), "the node failed with 500; its own log says why"),
        (DataRefused("data_write", 400, "", "too late"), "too late [400]"),
        (
            TokenRefused("import_table", 401),
            "the service refuses the token; --token-file, TXBRIDGE_IOBEAM_TOKEN or",
        ),
        (UnauthorizedError("import_table", 403, "read only."), "the token may not do this (read only)"),
        (
            NoSuchThing("import_table", 404, "No device x.", "code 32: Register it."),
            "the service says: No device x, Register it",
        ),
        (DuplicateIdError("register_device", 422, "Taken", "code 150"), "the service says: Taken"),
        (ServiceFailed("import_table", 503), "import_table: 503"),
    ],
)
def test_errors_are_explained_to_the_person_at_the_terminal(error, words):
    assert words in explain(error)


def test_a_commands_result_is_the_exit_status(script):
    program = script("return 3")
    assert program.wait() == 3
    assert (program.out, program.err) == ("", "")


def test_an_expected_failure_is_one_line_without_a_traceback(script):
    program = script("raise ConnectError('hub:80', 'refused')")
    assert program.wait() == 69
    assert program.err.startswith("txbridge: cannot connect to hub:80: refused")
    assert program.err.count("\n") == 1


def test_an_unexpected_failure_says_so(script):
    program = script("1 / 0")
    assert program.wait() == 1
    assert "txbridge: this should not have happened: ZeroDivisionError" in program.err


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_command_quietly(script, number, status):
    program = script("""
        terminal.give("ready\\n")
        await Deferred()
    """)
    program.expect("ready")
    assert program.stop(number) == status
    assert program.err == ""


def test_a_command_may_put_things_in_order_when_it_is_stopped(script):
    program = script("""
        terminal.give("ready\\n")
        try:
            await Deferred()
        except CancelledError:
            await deferLater(reactor, 0.05)
            terminal.give("tidied\\n")
            return 0
    """)
    program.expect("ready")
    assert program.stop() == 0
    assert program.out == "ready\ntidied\n"


def test_a_second_signal_does_not_wait(script):
    program = script("""
        terminal.give("ready\\n")
        try:
            await Deferred()
        finally:
            terminal.give("tidying\\n")
            await Deferred()
    """)
    program.expect("ready")
    program.process.send_signal(signal.SIGINT)
    program.expect("tidying")
    assert program.stop(signal.SIGINT) == 130


def test_nobody_reading_the_output_is_no_failure_to_talk_about(script, tmp_path):
    program = script("""
        while True:
            terminal.give("line\\n" * 1000)
            await deferLater(reactor, 0)
    """)
    program.close()
    path = tmp_path / "script.py"
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} {path} | head -1; exit ${{PIPESTATUS[0]}}"],
        env=bare_environ(tmp_path),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (141, "line\n", "")
