"""The demonstration, as somebody runs it who sees the program for the first time."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
from pathlib import Path

from tests.support.program import PATIENCE, bare_environ, program, run_program


def test_everything_that_was_sent_comes_back_and_is_counted(tmp_path):
    ended = run_program("demo", "--duration", "2.5", "--json", environ=bare_environ(tmp_path))
    assert (ended.status, ended.err) == (0, "")
    started, *updates, summary = map(json.loads, ended.out.splitlines())
    assert started["event"] == "started"
    assert started["urls"][0].startswith("http://127.0.0.1:")
    assert {update["event"] for update in updates} == {"update"}
    assert {"cpu.percent", "memory.used", "uptime"} <= {update["datastream"] for update in updates}
    assert summary["event"] == "summary"
    assert summary["sent"] == summary["received"] == len(updates)
    assert 0 <= summary["latency_ms"]["median"] <= summary["latency_ms"]["maximum"]
    assert not Path(started["key_file"]).exists()


def test_the_command_for_a_second_terminal_works_as_it_stands(tmp_path):
    environ = bare_environ(tmp_path)
    with program("demo", environ=environ) as running:
        command = running.expect(r"^  (TXBRIDGE_URL=.*)$")[1]
        running.expect("cpu.percent .*%.* ms$")
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            env=environ,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "feed 1: cpu.percent (%)" in done.stdout
        assert running.stop(signal.SIGINT) == 0
        assert "values sent" in running.out
        assert running.err == ""


def test_data_that_is_kept_goes_on_in_the_same_feed(tmp_path):
    arguments = ("demo", "--duration", "1", "--json", "--data", str(tmp_path / "data"))
    feeds = []
    for _ in range(2):
        ended = run_program(*arguments, environ=bare_environ(tmp_path))
        assert ended.status == 0
        feeds.append(json.loads(ended.out.splitlines()[0])["feed"])
    assert feeds == [1, 1]
    assert (tmp_path / "data" / "owner.key").exists()


def without_readings(tmp_path, text):
    """An environment in which psutil is something else."""
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake" / "psutil.py").write_text(text)
    environ = bare_environ(tmp_path)
    return {**environ, "PYTHONPATH": f"{tmp_path / 'fake'}:{environ['PYTHONPATH']}"}


def test_a_machine_that_cannot_be_read_is_a_failure_that_says_why(tmp_path):
    broken = "def __getattr__(name):\n    raise OSError(5, 'the sensors are broken')\n"
    environ = without_readings(tmp_path, broken)
    ended = run_program("demo", "--duration", "1", environ=environ)
    assert ended.status == 1
    assert "no update came through: " in ended.err
    assert "the sensors are broken" in ended.err
    assert "Traceback" not in ended.err


def test_what_is_not_installed_is_told_with_its_remedy(tmp_path):
    environ = without_readings(tmp_path, "raise ImportError('no psutil here')\n")
    ended = run_program("demo", "--duration", "1", environ=environ)
    assert ended.status == 1
    assert ended.err == "txbridge: reading this machine needs psutil: pip install 'txbridge[host]'\n"


def test_a_hub_that_this_program_cannot_reach_itself_is_refused(tmp_path):
    endpoint = f"unix:{shlex.quote(str(tmp_path / 'sock'))}"
    ended = run_program("demo", "--duration", "1", "--listen", endpoint, environ=bare_environ(tmp_path))
    assert ended.status == 1
    assert "at least one endpoint must be tcp:" in ended.err
