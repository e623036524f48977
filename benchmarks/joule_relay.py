"""Rows of a Joule node that a relay brings to a hub: ``python -m benchmarks joule-relay``.

All of it is real: the node and its database, the relay, and the hub with its file, each in processes of
its own, over loopback.  Beside it, at the same node and with a hub of its own, the script that somebody
would write with Joule's own client.  Every turn begins with an empty hub, and does not count unless the
hub has exactly the node's rows afterwards.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from attrs import frozen

from benchmarks.harness import ROOT, Child, Contender, Group, Sample, Size, Tick, child
from benchmarks.joule import measured_rows, node
from benchmarks.servers import KEY

__all__ = ["WIDTH", "run", "stored", "turns"]

HISTORY = "/bench/kept"
LIVE = "/bench/live"
WIDTH = 8
RATE = 250  # rows of eight numbers that the module makes in a second
STOP_SECONDS = 60.0

_MODULE = """\
[Main]
name = Steady
exec_cmd = env PYTHONPATH={root} {python} -m benchmarks.joule_module
[Arguments]
rate = {rate}
[Outputs]
output = {path}:float32[{elements}]
"""

_COUNT = """
    SELECT COUNT(*), MIN(points.at), MAX(points.at)
    FROM points JOIN datastreams USING (stream) WHERE datastreams.feed = ? GROUP BY stream
"""


def turns(size: Size) -> int:
    """How many turns `run` takes."""
    return 2 * 2 * (size.rounds + 1)


def run(size: Size, tick: Tick) -> list[Group]:
    """Measure the history of a stream, and a stream that a module makes.

    Raises:
        RuntimeError: There is no node, or the hub has not got what the node has.
    """
    rows = max(1000, measured_rows(size) // 10)
    seconds = max(2, round(10 * size.seconds))
    with _ends() as ends:
        ends.relay.ask(f"prepare {HISTORY} {rows}")
        history = _group(
            f"Joule -> hub: history of float32_8, {rows:,} rows",
            f"history {HISTORY} {rows}",
            ends,
            size,
            tick,
        )
    elements = ", ".join(f"e{index}" for index in range(WIDTH))
    python = os.environ.get("JOULE_VENV", str(ROOT / ".venv-peers" / "joule")) + "/bin/python"
    module = _MODULE.format(
        root=shlex.quote(str(ROOT)), python=shlex.quote(python), rate=RATE, path=LIVE, elements=elements
    )
    with _ends({"steady.conf": module}) as ends:
        live = _group(
            f"Joule -> hub: live float32_8, {RATE:,} rows a second",
            f"live {LIVE} {seconds * RATE}",
            ends,
            size,
            tick,
        )
    return [history, live]


@frozen
class _Ends:
    """A node, and those who relay from it.

    Attributes:
        node: The node's process.
        database: The database's.
        relay: `benchmarks.joule_bridge`.
        script: `benchmarks.joule_script`.
    """

    node: psutil.Process
    database: psutil.Process
    relay: Child
    script: Child


@contextmanager
def _ends(modules: Mapping[str, str] | None = None) -> Iterator[_Ends]:
    with ExitStack() as running:
        found = running.enter_context(node(modules))
        database = Path(found["JOULE_USER_CONFIG_DIR"]).parent / "pg" / "postmaster.pid"
        where = found["JOULE_URL"], found["JOULE_API_KEY"]
        yield _Ends(
            psutil.Process(int(found["JOULE_PID"])),
            psutil.Process(int(database.read_text().split()[0])),
            running.enter_context(child("benchmarks.joule_bridge", *where)),
            running.enter_context(child("benchmarks.joule_script", *where, python=found["JOULE_PYTHON"])),
        )


def _group(title: str, command: str, ends: _Ends, size: Size, tick: Tick) -> Group:
    contenders = [
        Contender("Joule's client, PUT in a loop", lambda: _turn(ends, ends.script, command)),
        Contender("txbridge relay", lambda: _turn(ends, ends.relay, command)),
    ]
    return Group.measure(title, "rows", contenders, size.rounds, tick)


def _turn(ends: _Ends, contender: Child, command: str) -> Sample:
    with TemporaryDirectory(prefix="txbridge-bench-") as folder, _hub(Path(folder)) as (hub, url):
        sides = {"node": ends.node, "database": ends.database, "hub": hub}
        contender.ask(f"{command} {url}/v2 {KEY}")
        before = {name: _cpu(side) for name, side in sides.items()}
        done = contender.answer()
        used = {name: _cpu(side) - before[name] for name, side in sides.items()}
        count, first, last = stored(Path(folder) / "hub.sqlite", int(done["feed"]))
    path = command.split()[1]
    there = ends.relay.ask(f"count {path} {first} {last + 1}")["rows"]
    if count != there or count < done["units"]:
        raise RuntimeError(f"{done['units']} rows were relayed, and the hub has {count} of {there}")
    more = {f"{name} µs": 1e6 * seconds / done["units"] for name, seconds in used.items()}
    if "live" in command:
        more["behind ms"] = 1000 * done["behind"]
    return Sample(done["units"], done["seconds"], done["cpu"], more)


def stored(file: Path, feed: int) -> tuple[int, int, int]:
    """What a hub has of a feed of `WIDTH` datastreams: points of each, and their first and last instant.

    Raises:
        RuntimeError: The datastreams do not all have the same.
    """
    connection = sqlite3.connect(file.as_uri() + "?mode=ro", uri=True)
    found: list[tuple[int, int, int]] = connection.execute(_COUNT, (feed,)).fetchall()
    connection.close()
    if len(found) != WIDTH or len(set(found)) != 1:
        raise RuntimeError(f"the hub has {found}")
    return found[0]


def _cpu(process: psutil.Process) -> float:
    """The CPU seconds of a process with those that it started."""
    total = 0.0
    for one in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # it has just ended, and is in its parent's times
            times = one.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


@contextmanager
def _hub(folder: Path) -> Iterator[tuple[psutil.Process, str]]:
    """A hub as people run it, and where it is."""
    key = folder / "key"
    key.write_text(KEY)
    arguments = ["hub", "--data", str(folder), "--api-key-file", str(key)]
    process = subprocess.Popen(
        [sys.executable, "-m", "txbridge", *arguments, "--listen", "tcp:0:interface=127.0.0.1"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        said = re.search(r"http://\S+", process.stdout.readline())
        if said is None:
            raise RuntimeError("the hub did not start")
        yield psutil.Process(process.pid), said[0]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_SECONDS)
        process.stdout.close()
