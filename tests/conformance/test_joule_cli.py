"""The commands for Joule, and the relay of the examples, at a real node and a real hub."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import pytest_twisted
from attrs import evolve

from tests.conformance.conftest import JoulePeer
from tests.support.own_program import running_python
from tests.support.program import (
    PATIENCE,
    Ended,
    StartedHub,
    bare_environ,
    program,
    run_program,
    started_hub,
)
from txbridge.joule import Annotation, DataStream, Element, Node

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
T0 = 1_700_000_000_000_000
ROWS = 60_000
LOSSES = ("not-a-number dropped", "gaps dropped", "breaks dropped", "annotations and events dropped")
ACCEPTED = [word for loss in LOSSES for word in ("--accept", loss)]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartedHub]:
    with started_hub(tmp_path_factory.mktemp("hub") / "data") as started:
        yield started


@pytest.fixture
def environ(hub: StartedHub, joule_peer: JoulePeer, tmp_path: Path) -> dict[str, str]:
    """The hub's, and the files of the node."""
    config = str(joule_peer.config)
    return {**hub.environ, "JOULE_USER_CONFIG_DIR": config, "XDG_STATE_HOME": str(tmp_path)}


@pytest_twisted.async_yield_fixture
async def stream(node: Node) -> AsyncIterator[str]:
    """Three runs of rows in a folder that is gone after the test."""
    elements = [Element("x", "V"), Element("n")]
    made = await node.data_stream_create(DataStream("source", datatype="float64", elements=elements), "/cli")
    pipe = await node.data_write(made)
    at = T0 + np.arange(ROWS) * 1000 + np.repeat(np.arange(3), ROWS // 3) * 60_000_000
    rows = np.column_stack((at, np.sin(np.arange(ROWS)), np.arange(ROWS)))
    for begin in range(0, ROWS, ROWS // 3):
        await pipe.write(rows[begin : begin + ROWS // 3])
        await pipe.close_interval()
    await pipe.close()
    yield "/cli/source"
    await node.folder_delete("/cli", True)


def run(*arguments: str, environ: dict[str, str], status: int = 0) -> Ended:
    ended = run_program("joule", *arguments, environ=environ)
    assert ended.status == status, ended.err
    return ended


def test_a_node_is_looked_at(environ: dict[str, str], stream: str, joule_peer: JoulePeer) -> None:
    tree = run("ls", environ=environ).out
    assert "    ├── pulse   int32_2 live locked\n" in tree
    assert "source  float64_2\n" in tree
    assert run("info", environ=environ).out.startswith(f"node {joule_peer.name}\n  version       1.0.1\n")
    about = json.loads(run("info", stream, "--json", environ=environ).out)
    assert (about["first"], about["layout"]) == ("2023-11-14T22:13:20.000000Z", "float64_2")
    assert [element["units"] for element in about["elements"]] == ["V", ""]
    assert len(json.loads(run("intervals", stream, "--json", environ=environ).out)) == 3
    assert len(run("intervals", stream, "--end", str(T0 + 1_000_000), environ=environ).out.splitlines()) == 2
    elsewhere = {**bare_environ(Path("/nowhere")), "TXBRIDGE_JOULE_URL": joule_peer.url}
    with_key = {**elsewhere, "TXBRIDGE_JOULE_API_KEY": joule_peer.key}
    assert json.loads(run("ls", "/cli", "--json", environ=with_key).out)["path"] == "/cli"
    refused = run("ls", environ={**elsewhere, "TXBRIDGE_JOULE_API_KEY": "wrong"}, status=77)
    assert refused.err.startswith("txbridge: the node refuses the key")


def test_every_row_is_read_as_it_was_written(environ: dict[str, str], stream: str) -> None:
    lines = run("read", stream, environ=environ).out.splitlines()
    assert (lines[0], len(lines), lines.count("")) == ("timestamp,x,n", ROWS + 1 + 2, 2)
    values = [tuple(map(float, line.split(",")[1:])) for line in lines[1:] if line]
    assert values == list(zip(np.sin(np.arange(ROWS)).tolist(), range(ROWS), strict=True))
    objects = run("read", stream, "--json", "--end", str(T0 + 2000), environ=environ).out.splitlines()
    assert json.loads(objects[1])["values"] == {"x": np.sin(1), "n": 1.0}
    few = run("read", stream, "--max-rows", "100", environ=environ).out.splitlines()
    assert few[0] == "timestamp,x,n,x min,n min,x max,n max"
    assert len(few) < 120
    assert f"{stream}: x (V)" in run("read", stream, "--plot", environ=environ).out


def test_what_a_module_makes_is_shown_as_it_comes(environ: dict[str, str]) -> None:
    with program("joule", "read", "/live/pulse", "--live", environ=environ) as running:
        running.expect(r"\n\n.*Z,\d+,\d+\n")  # a row after a break
        assert running.stop(signal.SIGINT) == 130
    refused = run("read", "/configured/locked", "--live", environ=environ, status=1)
    assert "stream is not being produced" in refused.err


def test_a_copy_that_is_killed_again_and_again_brings_every_row_once(
    environ: dict[str, str], stream: str
) -> None:
    command = ("joule", "copy", f"joule:{stream}", "joule:/cli/kept", "--json")
    for kills in range(20):
        with program(*command, environ=environ) as running:
            try:
                running.process.wait(2.0 + kills)
            except subprocess.TimeoutExpired:
                running.process.kill()
                continue
            assert running.wait() == 0
            break
    assert kills > 0
    summary = json.loads(running.out)
    assert (summary["refused"], summary["missing"], summary["dropped"]) == ([], [], 0)
    assert run("read", "/cli/kept/source", environ=environ).out == run("read", stream, environ=environ).out


def test_a_copy_that_is_stopped_goes_on_in_the_same_feed_and_back_again(
    environ: dict[str, str], stream: str, tmp_path: Path
) -> None:
    command = ("joule", "copy", f"joule:{stream}", "cosm:new:Copy", *ACCEPTED, "--json")
    with program(*command, environ=environ) as running:
        until = time.monotonic() + PATIENCE
        while not _delivered(tmp_path) and time.monotonic() < until:
            with suppress(subprocess.TimeoutExpired):
                running.process.wait(0.1)
        assert running.stop(signal.SIGINT) == 130
        assert "the same command goes on from here" in running.err
    before = _delivered(tmp_path)
    assert before > 0
    ended = run_program(*command, environ=environ)
    assert ended.status == 0, ended.err
    summary = json.loads(ended.out)
    assert summary["delivered"] >= 2 * ROWS
    assert before <= summary["delivered"]  # a stop still delivers what waits, and that may be all
    back = ("copy", f"cosm:{summary['feed']}", "joule:/cli/back", "--start", str(T0), "--json")
    run(*back, environ=environ)
    lines = run("read", "/cli/back/source.n", environ=environ).out.splitlines()[1:]
    assert [float(line.split(",")[1]) for line in lines if line] == list(range(ROWS))


@pytest_twisted.ensureDeferred
async def test_a_copy_is_the_same_stream(environ: dict[str, str], node: Node) -> None:
    """Of each type, with all that the elements have and with numbers at its edges."""
    elements = [
        Element("volts", "V", False, "discrete", offset=1.5, scale_factor=0.1, default_max=9.0),
        Element("n"),
    ]
    limits = {name: np.iinfo(name) for name in ("int16", "int32", "int64")}
    columns = {name: [limit.min, limit.max, 0] for name, limit in limits.items()}
    columns |= {name: [-np.inf, np.finfo(name).tiny, np.inf] for name in ("float32", "float64")}
    try:
        for datatype, column in columns.items():
            made = await node.data_stream_create(
                DataStream(datatype, "a meter", datatype, elements=elements), "/same/here"
            )
            rows = np.zeros(3, [("timestamp", "<i8"), ("data", datatype, (2,))])
            rows["timestamp"] = T0 + np.arange(3)
            rows["data"] = np.array([column, column], datatype).T
            pipe = await node.data_write(made)
            await pipe.write(rows)
            await pipe.close()
            await node.annotation_create(Annotation("moved", T0 + 1, T0 + 2, "to the cellar"), made)
        run("copy", "joule:/same/here", "joule:/same/there", environ=environ)
        for datatype in columns:
            here, there = [
                await node.data_stream_get(f"/same/{side}/{datatype}") for side in ("here", "there")
            ]
            assert (there.layout, there.description) == (here.layout, here.description)
            assert [evolve(one, id=None) for one in there.elements] == [
                evolve(one, id=None) for one in here.elements
            ]
            copied, original = [await node.data_read_array(one, max_rows=None) for one in (there, here)]
            assert copied.tobytes() == original.tobytes()
            (note,) = await node.annotation_get(there)
            assert (note.title, note.content, note.start, note.end) == (
                "moved",
                "to the cellar",
                T0 + 1,
                T0 + 2,
            )
    finally:
        await node.folder_delete("/same", True)


def test_the_example_relays_what_a_module_makes(environ: dict[str, str]) -> None:
    feed = run_program("feeds", "create", "Pulse", environ=environ).out.strip()
    with running_python(EXAMPLES / "joule_to_hub.py", "/live/pulse", feed, environ=environ) as relay:
        with program("tail", feed, "--csv", environ=environ) as watcher:
            watcher.expect(r"^live\.pulse\.nsq,.*,\d+$")
        assert relay.stop() == 0


def _delivered(folder: Path) -> int:
    """What the state file of the only copy says."""
    return sum(json.loads(path.read_text())["delivered"] for path in folder.rglob("copies/*.json"))
