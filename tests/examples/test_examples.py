"""Each example does what it says, as a process of its own, against a hub in another."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.own_program import run_python, running_python
from tests.support.program import PATIENCE, StartedHub, program, run_program, started_hub

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartedHub]:
    with started_hub(tmp_path_factory.mktemp("examples") / "data") as started:
        yield started


@pytest.fixture
def feed(hub: StartedHub) -> str:
    """A new feed, made by the example that makes one."""
    return run_python(EXAMPLES / "create_feed.py", environ=hub.environ).strip()


def test_a_feed_is_made_and_listed(hub: StartedHub) -> None:
    made = run_python(EXAMPLES / "create_feed.py", "Cellar", environ=hub.environ).strip()
    run_program("send", made, "damp=0", environ=hub.environ)
    assert f"{made}\tCellar\n" in run_python(EXAMPLES / "list_feeds.py", environ=hub.environ)


def test_an_eeml_document_updates_a_feed(hub: StartedHub, feed: str) -> None:
    run_python(EXAMPLES / "update_feed.py", feed, environ=hub.environ)
    everything = run_python(EXAMPLES / "read_feed.py", feed, environ=hub.environ)
    assert everything.startswith("bridge19\n")
    assert re.findall(r"^(\d)\t(-?\d+)\t", everything, re.MULTILINE) == [
        ("0", "11"),
        ("3", "-312"),
        ("4", "-3332"),
    ]
    some = run_python(EXAMPLES / "read_feed.py", feed, "4", environ=hub.environ)
    assert re.findall(r"^(\d)\t", some, re.MULTILINE) == ["4"]


def test_a_zero_is_shown_as_a_value(hub: StartedHub, feed: str) -> None:
    run_program("send", feed, "zero=0", environ=hub.environ)
    assert "zero\t0\t" in run_python(EXAMPLES / "read_feed.py", feed, environ=hub.environ)


def test_a_feed_is_deleted_once(hub: StartedHub, feed: str) -> None:
    run_python(EXAMPLES / "delete_feed.py", feed, environ=hub.environ)
    with pytest.raises(AssertionError, match=f"there is no feed {feed}"):
        run_python(EXAMPLES / "delete_feed.py", feed, environ=hub.environ)


@pytest.mark.parametrize("datastream", [None, "pump"])
def test_a_subscriber_is_told_about_each_change(hub: StartedHub, feed: str, datastream: str | None) -> None:
    assert run_program("send", feed, "pump=off", environ=hub.environ).status == 0
    words = [feed] if datastream is None else [feed, datastream]
    with running_python(EXAMPLES / "subscribe.py", *words, environ=hub.environ) as subscriber:
        subscriber.expect(r"^subscribed to ")
        for value in ("on", "off", "0"):
            run_program("send", feed, f"pump={value}", environ=hub.environ)
            subscriber.expect(rf"^pump\t{value}\t")


def test_a_meter_is_uploaded(hub: StartedHub, feed: str) -> None:
    with running_python(EXAMPLES / "current_cost.py", feed, environ=hub.environ) as monitor:
        monitor.expect(r"^sent 18\.7 °C, 2150 W$")
    stored = run_python(EXAMPLES / "read_feed.py", feed, environ=hub.environ)
    assert "temperature\t18.7\t" in stored
    assert "energy\t2150\t" in stored


def test_a_device_of_iobeam_sends_and_reads_back(hub: StartedHub) -> None:
    project = run_program("hub", "project", "create", "Pumps", environ=hub.environ).out.strip()
    token = run_program("hub", "token", "create", project, environ=hub.environ).out.strip()
    environ = {**hub.environ, "TXBRIDGE_IOBEAM_TOKEN": token}
    for _ in range(2):  # the second time the device is registered already
        told = run_python(EXAMPLES / "iobeam_send.py", project, "pump-3", environ=environ)
        values = [(name, value) for name, _, value in (line.split("\t") for line in told.splitlines())]
        assert values[:2] == [("flow", "5.5"), ("flow", "6.5")]
        assert values[-1] == ("rpm", "900")
    with pytest.raises(AssertionError, match="cannot send: "):
        run_python(EXAMPLES / "iobeam_send.py", "999", environ=environ)


@pytest.mark.parametrize("unreachable", [False, True])
def test_a_refusal_is_told_in_one_line(hub: StartedHub, unreachable: bool) -> None:
    wrong = {"TXBRIDGE_URL": "http://127.0.0.1:1"} if unreachable else {"TXBRIDGE_API_KEY": "wrong"}
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "list_feeds.py")],
        env={**hub.environ, **wrong},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("cannot list the feeds: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_wrong_arguments_are_answered_with_the_usage(example: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(example), *"one two three four".split()],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"usage: {example.name} ")
    assert "Traceback" not in done.stderr


def test_this_machine_is_relayed(hub: StartedHub, feed: str) -> None:
    with running_python(EXAMPLES / "relay_host.py", feed, environ=hub.environ) as relay:
        tail = ("tail", feed, "--since", "1hour")
        with program(*tail, environ=hub.environ) as watcher:
            watcher.expect(r"memory\.percent")
        assert relay.stop() == 0
    stored = run_python(EXAMPLES / "read_feed.py", feed, environ=hub.environ)
    assert "memory.percent\t" in stored


def test_a_sink_of_ones_own_gets_readings(hub: StartedHub, tmp_path: Path) -> None:
    path = tmp_path / "sensors.csv"
    with running_python(EXAMPLES / "relay_to_csv.py", str(path), environ=hub.environ) as relay:
        relay.expect(r"^writing to ")
        until = time.monotonic() + PATIENCE
        while not path.exists() and time.monotonic() < until:
            os.sched_yield()
        assert relay.stop() == 0
    assert re.search(r"^memory\.percent,\d{19},\d+", path.read_text(), re.MULTILINE)
