"""Rows to and from a Joule node, beside Joule's own client: ``python -m benchmarks joule``.

The node is a real one, started for this and stopped after it, as the conformance tests do.  Both
clients run in processes of their own, Joule's in the node's environment, and take turns at the same
node, so that what is compared is the clients.  The node stores with 100 000 to 300 000 rows a second
and reads with half a million, whoever asks; where that is the limit, look at the CPU time.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

from benchmarks.harness import ROOT, Child, Contender, Group, Sample, Size, Tick, child

__all__ = ["INSTANCE", "measured_rows", "node", "run", "turns"]

RECIPE = ROOT / "tests" / "conformance" / "peers" / "joule"
START_SECONDS = 600  # the first start fetches the node
STOP_SECONDS = 60
INSTANCE = "b"
MANY = 1_000_000


@frozen
class _Subject:
    """One comparison.

    Attributes:
        title: What is compared.
        unit: What is counted.
        command: What the clients are told; ``{rows}`` is how many rows there are.
    """

    title: str
    unit: str
    command: str


_SUBJECTS = (
    _Subject("Joule: write float32_8, blocks of 10,000", "rows", "write {rows} 10000 1"),
    _Subject("Joule: write float32_8, blocks of 10,000, not decimated", "rows", "write {rows} 10000 0"),
    _Subject("Joule: write float32_8, blocks of 100", "rows", "write {few} 100 0"),
    _Subject("Joule: read float32_8", "rows", "read {rows}"),
    _Subject("Joule: read ten rows", "reads", "small {reads}"),
)


def measured_rows(size: Size) -> int:
    """How many rows one turn is about: a million, if a turn may take its time."""
    return max(1000, round(MANY * min(1.0, size.seconds)))


def turns(size: Size) -> int:
    """How many turns `run` takes."""
    return len(_SUBJECTS) * 2 * (size.rounds + 1)


def run(size: Size, tick: Tick) -> list[Group]:
    """Measure both clients.

    Raises:
        RuntimeError: There is no node; stderr has said why.
    """
    rows = measured_rows(size)
    counts = {"rows": rows, "few": max(100, rows // 200), "reads": max(2, rows // 50_000)}
    groups = []
    with node() as found:
        where = found["JOULE_URL"], found["JOULE_API_KEY"], str(rows)
        with (
            child("benchmarks.joule_peer", *where, python=found["JOULE_PYTHON"]) as theirs,
            child("benchmarks.joule_client", *where) as ours,
        ):
            theirs.answer()
            ours.answer()
            for subject in _SUBJECTS:
                command = subject.command.format_map(counts)
                contenders = [
                    _contender("Joule's own client", theirs, command),
                    _contender("txbridge", ours, command),
                ]
                groups.append(Group.measure(subject.title, subject.unit, contenders, size.rounds, tick))
    return groups


def _contender(name: str, client: Child, command: str) -> Contender:
    return Contender(name, lambda: Sample(**client.ask(command)))


@contextmanager
def node(modules: Mapping[str, str] | None = None) -> Iterator[dict[str, str]]:
    """A node of our own, with nothing else to do.

    Args:
        modules: What it shall run: the name of a file -> the module's configuration.

    Yields:
        What the node's recipe says of it, such as ``JOULE_URL``.
    """
    home = Path(tempfile.mkdtemp(prefix="txbridge-joule-"))
    home.chmod(0o755)  # the database runs as a user of its own
    configured = home / INSTANCE / "etc" / "module_configs"
    configured.mkdir(parents=True)
    for name, text in (modules or {}).items():
        (configured / name).write_text(text)
    ports = _free_ports(2)
    environ = {
        **os.environ,
        "JOULE_PEER_RUN": str(home),
        "JOULE_INSTANCE": INSTANCE,
        "JOULE_MODULES": "0",
        "JOULE_PORT": str(ports[0]),
        "PG_PORT": str(ports[1]),
    }
    try:
        started = subprocess.run(
            [RECIPE / "setup.sh"],
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
        )
        if started.returncode != 0:
            sys.stderr.write(started.stderr)
            raise RuntimeError("the Joule node did not start")
        yield dict(line.split("=", 1) for line in started.stdout.splitlines())
    finally:
        subprocess.run(
            [RECIPE / "stop.sh", "--purge"],
            env=environ,
            capture_output=True,
            timeout=STOP_SECONDS,
            check=False,
        )
        shutil.rmtree(home, ignore_errors=True)


def _free_ports(count: int) -> list[int]:
    listeners = [socket.socket() for _ in range(count)]
    try:
        for listener in listeners:
            listener.bind(("127.0.0.1", 0))
        return [listener.getsockname()[1] for listener in listeners]
    finally:
        for listener in listeners:
            listener.close()
