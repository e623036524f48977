"""What is done with a hub's data, by the program: while a hub takes writes, and when it does not run."""

from __future__ import annotations

import fcntl
import json
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from threading import Event, Thread

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError
from twisted.internet.task import deferLater

from tests.support.program import PATIENCE, bare_environ, captured, run_program, started_hub
from tests.support.stores import rows_of, small_store
from txbridge.daemon.hub_data import backup, export
from txbridge.net.reactor import resolve_reactor


def hub_command(tmp_path, *words):
    return run_program("hub", *map(str, words), environ=bare_environ(tmp_path))


class Writer:
    """Counts upwards in a datastream, and knows what was acknowledged."""

    def __init__(self, hub):
        self.acknowledged = 0
        self._hub = hub
        self._stopped = Event()
        self._some = Event()
        self._thread = Thread(target=self._write, daemon=True)

    def _write(self):
        with closing(HTTPConnection("127.0.0.1", self._hub.port, timeout=PATIENCE)) as connection:
            while not self._stopped.is_set():
                body = f"count,{self.acknowledged + 1}"
                connection.request("PUT", "/v2/feeds/1.csv", body, {"X-ApiKey": self._hub.key})
                answer = connection.getresponse()
                answer.read()
                assert answer.status == 200
                self.acknowledged += 1
                if self.acknowledged == 50:
                    self._some.set()

    @contextmanager
    def writing(self):
        self._thread.start()
        assert self._some.wait(PATIENCE)
        yield self
        assert self._thread.is_alive()
        self._stopped.set()
        self._thread.join(PATIENCE)


def assert_is_one_moment(store, at_least, at_most):
    """All that was acknowledged before, nothing twice or without what came before it."""
    with closing(sqlite3.connect(store)) as copy:
        counts = [
            int(value) for (value,) in copy.execute("SELECT value FROM points WHERE stream = 1 ORDER BY at")
        ]
        (current,) = copy.execute("SELECT value FROM datastreams WHERE id = 'count'").fetchone()
    assert counts == list(range(1, len(counts) + 1))
    assert at_least <= len(counts) <= at_most
    assert current == str(len(counts))


@contextmanager
def busy_hub(tmp_path):
    with started_hub(tmp_path / "data") as hub:
        made = run_program("feeds", "create", "Busy", environ=hub.environ)
        assert made.out == "1\n"
        with Writer(hub).writing() as writer:
            yield writer


def test_a_backup_of_a_hub_that_takes_writes_has_all_that_it_had_acknowledged(tmp_path):
    with busy_hub(tmp_path) as writer:
        before = writer.acknowledged
        done = hub_command(tmp_path, "backup", "--data", tmp_path / "data", tmp_path / "copy.sqlite")
        after = writer.acknowledged + 1  # one may be stored and not acknowledged yet
    assert (done.status, done.err) == (0, "")
    assert "checked" in done.out
    assert_is_one_moment(tmp_path / "copy.sqlite", before, after)
    # It is what a hub can run on.
    (tmp_path / "restored").mkdir()
    (tmp_path / "copy.sqlite").rename(tmp_path / "restored" / "hub.sqlite")
    with started_hub(tmp_path / "restored", key="none") as hub:
        assert hub.url.startswith("http://")


def test_an_export_of_a_hub_that_takes_writes_has_all_that_it_had_acknowledged(tmp_path):
    with busy_hub(tmp_path) as writer:
        before = writer.acknowledged
        done = hub_command(tmp_path, "export", "--data", tmp_path / "data", tmp_path / "out", "--json")
        after = writer.acknowledged + 1
    assert (done.status, done.err) == (0, "")
    assert json.loads(done.out)["rows"]["feeds"] == 1
    taken = hub_command(tmp_path, "import", "--data", tmp_path / "new", tmp_path / "out", "--json")
    assert (taken.status, taken.err) == (0, "")
    assert json.loads(taken.out)["rows"] == json.loads(done.out)["rows"]
    assert_is_one_moment(tmp_path / "new" / "hub.sqlite", before, after)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


def test_keys_and_numbers_of_feeds_go_on_to_work_after_a_move(tmp_path):
    with started_hub(tmp_path / "data") as hub:
        key = hub.key
        run_program("send", "--title", "Boiler", "t=21.50", environ=hub.environ)
    hub_command(tmp_path, "export", "--data", tmp_path / "data", tmp_path / "out")
    hub_command(tmp_path, "import", "--data", tmp_path / "new", tmp_path / "out")
    with started_hub(tmp_path / "new", key=key) as hub:
        shown = run_program("history", "1", "t", "--csv", environ=hub.environ)
        assert shown.out.endswith(",21.50\n")


def test_an_archive_goes_from_one_program_to_the_other(tmp_path):
    (tmp_path / "data").mkdir()
    small_store(tmp_path / "data" / "hub.sqlite")
    command = f"{sys.executable} -m txbridge hub"
    done = subprocess.run(
        f"{command} export --data data - | gzip | {command} import --data new -",
        shell=True,  # as people write it
        cwd=tmp_path,
        env=bare_environ(tmp_path),
        capture_output=True,
        text=True,
        timeout=PATIENCE * 2,
        check=True,
    )
    assert "imported 1 account, 1 key, 1 feed, " in done.stdout
    assert "txbridge: exported 1 account, " in done.stderr
    assert rows_of(tmp_path / "new" / "hub.sqlite") == rows_of(tmp_path / "data" / "hub.sqlite")


def test_a_hub_that_runs_is_not_imported_into_and_the_message_says_what_to_do(tmp_path):
    (tmp_path / "old").mkdir()
    small_store(tmp_path / "old" / "hub.sqlite")
    hub_command(tmp_path, "export", "--data", tmp_path / "old", tmp_path / "out")
    with started_hub(tmp_path / "data"):
        done = hub_command(tmp_path, "import", "--data", tmp_path / "data", tmp_path / "out", "--merge")
    assert (done.status, done.out) == (1, "")
    assert done.err.endswith("an import needs it alone, so stop the hub\n")


@pytest.mark.parametrize("words", [("export", "nowhere/out"), ("import", "nowhere"), ("backup", "nowhere/c")])
def test_what_cannot_be_read_or_written_ends_with_a_line_and_1(tmp_path, words):
    (tmp_path / "data").mkdir()
    small_store(tmp_path / "data" / "hub.sqlite")
    done = hub_command(tmp_path, words[0], "--data", tmp_path / "data", tmp_path / words[1])
    assert (done.status, done.out) == (1, "")
    assert done.err.count("\n") == 1
    assert "nowhere" in done.err


def test_what_is_no_directory_takes_no_import(tmp_path):
    (tmp_path / "data").mkdir()
    small_store(tmp_path / "data" / "hub.sqlite")
    hub_command(tmp_path, "export", "--data", tmp_path / "data", tmp_path / "out")
    (tmp_path / "file").write_text("")
    done = hub_command(tmp_path, "import", "--data", tmp_path / "file", tmp_path / "out")
    assert (done.status, done.out) == (1, "")
    assert done.err == f"txbridge: cannot keep data in {tmp_path / 'file'}: it is no directory\n"


@pytest.mark.parametrize(("command", "name"), [(backup, "copy"), (export, "out")])
@pytest_twisted.inlineCallbacks
def test_what_is_stopped_says_so_and_leaves_nothing(tmp_path, command, name):
    small_store(tmp_path / "hub.sqlite")
    terminal = captured()
    with (tmp_path / "hub.sqlite.copying").open("w") as mark:
        fcntl.flock(mark, fcntl.LOCK_EX)  # so that it has not gone far
        running = command(resolve_reactor(), terminal, tmp_path / "hub.sqlite", tmp_path / name, False)
        running.cancel()
    with pytest.raises(CancelledError):
        yield running
    assert terminal.err.getvalue() == "txbridge: stopped; nothing is left of it\n"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(name)] == []


@pytest_twisted.inlineCallbacks
def test_what_cannot_be_stopped_any_more_is_done(tmp_path):
    small_store(tmp_path / "hub.sqlite")
    terminal = captured()
    running = backup(resolve_reactor(), terminal, tmp_path / "hub.sqlite", tmp_path / "copy", False)
    while not (tmp_path / "copy").exists() and not running.called:
        yield deferLater(resolve_reactor(), 0)
    running.cancel()
    assert (yield running) == 0
    assert "checked" in terminal.out.getvalue()
