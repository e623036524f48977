"""The rows of a real Joule node: stored and live, ten million of them, and through its defects."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import psutil
import pytest
import pytest_twisted
from twisted.protocols.portforward import ProxyClient, ProxyClientFactory, ProxyFactory, ProxyServer

from tests.conformance.conftest import JoulePeer
from txbridge.errors import ConnectionLost, NotFound
from txbridge.joule import DataStream, Element, Node, utilities
from txbridge.joule.errors import (
    DataRefused,
    DecimationError,
    EmptyPipeError,
    NotProduced,
    Rejected,
    StreamBusy,
)
from txbridge.joule.pipes import HOLD_SECONDS, Pipe

T0 = 1_700_000_000_000_000
MANY = 10_000_000
BLOCK = 100_000
MEMORY = 128 << 20  # bytes; the rows are 100 MB on the wire, and 240 MB as the test makes them


@pytest_twisted.async_yield_fixture
async def folder(node: Node) -> AsyncIterator[str]:
    """A folder that is gone after the test."""
    yield "/rows"
    for _ in range(100):  # it is locked until the node has noticed that a writer went
        try:
            await node.folder_delete("/rows", True)
        except NotFound:
            break
        except Rejected:
            continue


@pytest_twisted.async_yield_fixture(scope="module")
async def many(joule_peer: JoulePeer) -> AsyncIterator[DataStream]:
    """A stream for ten million rows; it is not decimated, so that it is filled in time."""
    node = joule_peer.node()
    yield await make(node, "/many", "int16", 1, decimate=False)
    await node.folder_delete("/many", True)
    await node.close()


async def make(node: Node, path: str, datatype: str, width: int, *, decimate: bool = True) -> DataStream:
    elements = [Element(f"e{index}") for index in range(width)]
    stream = DataStream("s", datatype=datatype, elements=elements, decimate=decimate)
    return await node.data_stream_create(stream, path)


def some(stream: DataStream, start: int, count: int, step: int = 1000) -> np.ndarray:
    """Rows whose values tell them apart."""
    kind = {"float32": "<f4", "float64": "<f8", "int16": "<i2", "int32": "<i4", "int64": "<i8"}
    rows = np.empty(count, [("timestamp", "<i8"), ("data", kind[stream.datatype], (len(stream.elements),))])
    rows["timestamp"] = T0 + start + np.arange(count) * step
    rows["data"] = (
        ((np.arange(count) + start // step) % 30_000)[:, None] + np.arange(len(stream.elements)) + 1
    )
    return rows


async def write(node: Node, stream: DataStream, *runs: np.ndarray, **options: Any) -> None:
    pipe = await node.data_write(stream, **options)
    for run in runs:
        await pipe.write(run)
        await pipe.close_interval()
    await pipe.close()


async def read_runs(pipe: Pipe, at_most: int | None = None) -> list[np.ndarray]:
    """The runs of a pipe, which is closed then."""
    runs: list[list[np.ndarray]] = [[]]
    count = 0
    while at_most is None or count < at_most:
        try:
            rows = await pipe.read()
        except EmptyPipeError:
            break
        runs[-1].append(rows)
        count += len(rows)
        pipe.consume(len(rows))
        if pipe.end_of_interval:
            runs.append([])
    await pipe.close()
    return [np.concatenate(run) if run else np.empty(0, pipe.dtype) for run in runs]


def same(found: list[np.ndarray], *expected: np.ndarray) -> bool:
    return [run.tobytes() for run in found] == [run.tobytes() for run in expected]


# ------------------------------------------------------------------------------------------- stored rows


@pytest.mark.parametrize("datatype", ["int16", "int32", "int64", "float32", "float64"])
@pytest.mark.parametrize("width", [1, 3])
async def test_rows_and_breaks_of_every_type_come_back(
    node: Node, folder: str, datatype: str, width: int
) -> None:
    stream = await make(node, folder, datatype, width)
    assert same(await read_runs(await node.data_read(stream)), some(stream, 0, 0))
    runs = [some(stream, 0, 5), some(stream, 100_000, 1), some(stream, 200_000, 3)]
    await write(node, stream, *runs)
    assert same(await read_runs(await node.data_read(f"{folder}/s")), *runs)
    assert await node.data_intervals(stream) == [
        [T0 + start, T0 + end + 1] for start, end in ((0, 4000), (100_000, 100_000), (200_000, 202_000))
    ]
    assert len(await node.data_read_array(stream, T0 + 1000, T0 + 3000)) == 2
    with pytest.raises(EmptyPipeError):
        await node.data_read_array(stream, T0 + 5_000_000)


async def test_the_example_of_the_reference_reads_back_what_it_writes(node: Node, folder: str) -> None:
    await make(node, folder, "float32", 1)
    pipe_out = await node.data_write(f"{folder}/s")
    times = [utilities.time_now() + i for i in range(4)]
    for i, at in enumerate(times):
        await pipe_out.write(np.array([[at, i]]))
    await pipe_out.close()
    pipe_in = await node.data_read(f"{folder}/s")
    data = await pipe_in.read()
    assert data["timestamp"].tolist() == times
    assert data["data"].tolist() == [[0.0], [1.0], [2.0], [3.0]]
    pipe_in.consume(len(data))
    with pytest.raises(EmptyPipeError):
        await pipe_in.read()
    await pipe_in.close()


async def test_a_range_is_written_anew_and_gaps_are_merged(node: Node, folder: str) -> None:
    stream = await make(node, folder, "float32", 2)
    await write(node, stream, some(stream, 0, 10))
    middle = some(stream, 3500, 2)
    await write(node, stream, middle, start=T0 + 3000, end=T0 + 6000)
    assert sorted((await node.data_read_array(stream))["timestamp"] - T0) == [
        0, 1000, 2000, 3500, 4500, 6000, 7000, 8000, 9000,
    ]  # fmt: skip
    await write(node, stream, some(stream, 11_000, 2), merge_gap=5000)
    assert (await node.data_intervals(stream))[-1][1] == T0 + 12_001


async def test_decimated_rows_hold_mean_least_and_greatest(node: Node, folder: str) -> None:
    stream = await make(node, folder, "int32", 2)
    rows = np.array([[T0 + 1000 * index, index, 10 * index] for index in range(100)])
    pipe = await node.data_write(stream)
    await pipe.write(rows)
    await pipe.close()
    pipe = await node.data_read(stream, max_rows=30)
    assert (pipe.decimated, pipe.decimation_level, pipe.layout, pipe.width) == (True, 4, "float32_6", 6)
    (run,) = await read_runs(pipe)
    assert len(run) == 25
    assert run[0]["timestamp"] == T0 + 1500
    assert run[0]["data"].tolist() == [1.5, 15.0, 0.0, 0.0, 3.0, 30.0]
    assert not (await node.data_read(stream, max_rows=100)).decimated
    await node.data_drop_decimations(stream)
    pipe = await node.data_read(stream, max_rows=30)
    with pytest.raises(DecimationError):
        await pipe.read()
    await pipe.close()


async def test_a_refused_row_fails_the_pipe_and_what_came_before_is_known_to_be_stored(
    node: Node, folder: str
) -> None:
    stream = await make(node, folder, "float32", 1)
    await write(node, stream, some(stream, 50_000, 1))
    pipe = await node.data_write(stream)
    await pipe.write(some(stream, 0, 10))
    await pipe.flush()
    while await pipe.last_stored() != T0 + 9000:
        pass
    await pipe.write(some(stream, 50_000, 1))
    with pytest.raises(DataRefused):
        await pipe.close()
    await write(node, stream, some(stream, 60_000, 1))


async def test_a_stream_has_one_writer(node: Node, joule_peer: JoulePeer, folder: str) -> None:
    stream = await make(node, folder, "float32", 1)
    pipe = await node.data_write(stream)
    other = joule_peer.node()
    # The node says so when it is asked for the stream, or at the latest when it gets the rows.
    with pytest.raises(StreamBusy):
        await write(other, stream, some(stream, 0, 1))
    await pipe.close()
    await other.close()
    with pytest.raises(StreamBusy):
        await node.data_write("/live/random")


# ------------------------------------------------------------------------------------------- live rows


async def test_live_rows_come_with_their_breaks(node: Node) -> None:
    """The module counts its rows, and ends an interval after each hundred."""
    pipe = await node.data_subscribe("/live/pulse")
    numbers: list[int] = []
    breaks: list[int] = []
    while len(breaks) < 2:
        rows = await pipe.read()
        numbers += rows["data"][:, 0].tolist()
        pipe.consume(len(rows))
        if pipe.end_of_interval:
            breaks.append(numbers[-1])
    await pipe.close()
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert breaks[1] - breaks[0] == 100


async def test_only_what_a_module_makes_can_be_subscribed_to(node: Node, folder: str) -> None:
    stream = await make(node, folder, "float32", 1)
    with pytest.raises(NotProduced):
        await node.data_subscribe(stream)
    pipe = await node.data_write(stream)
    await pipe.write(some(stream, 0, 1))
    await pipe.flush()
    with pytest.raises(NotProduced):
        await node.data_subscribe(stream)
    await pipe.close()


async def test_a_slow_subscriber_is_dropped_and_the_rows_are_in_the_history(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("txbridge.net.http_stream.HIGH_MARK", 500)
    monkeypatch.setattr("txbridge.joule.pipes.LIVE_HOLD_SECONDS", 1.0)
    slow, clock = await node.data_subscribe("/live/random"), await node.data_subscribe("/live/random")
    first = None
    while True:  # the other subscription tells the time
        rows = await clock.read()
        clock.consume(len(rows))
        if len(rows):
            first = int(rows["timestamp"][0]) if first is None else first
            if int(rows["timestamp"][-1]) - first > 5_000_000:
                break
    rows = await slow.read()
    last = int(rows["timestamp"][-1])
    slow.consume(len(rows))
    with pytest.raises(ConnectionLost, match="nobody read"):
        await slow.read()
    await slow.close()
    await clock.close()
    while not len(stored := await node.data_intervals("/live/random", last, last + 1_000_000)):
        pass
    assert stored[0][0] == last


# ------------------------------------------------------------------------------------------- defects, losses


async def test_runs_at_which_a_node_starts_again_are_read_once(node: Node, folder: str) -> None:
    stream = await make(node, folder, "int16", 1, decimate=False)
    runs = [some(stream, start, 49_999) for start in (0, 100_000_000, 200_000_000)]
    await write(node, stream, *runs)
    assert same(await read_runs(await node.data_read(stream)), *runs)


class Cut(ProxyClient):
    """Passes on what the node says, until its connection is to be lost."""

    passed = 0

    def connectionMade(self) -> None:
        cuts = self.peer.factory.cuts
        self.limit = cuts.pop(0) if cuts else None
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        self.passed += len(data)
        if self.limit is not None and self.passed > self.limit:
            self.peer.transport.abortConnection()
            self.transport.abortConnection()
        else:
            super().dataReceived(data)


class CutFactory(ProxyClientFactory):
    protocol = Cut
    noisy = False


class CutServer(ProxyServer):
    clientProtocolFactory = CutFactory


class CutWay(ProxyFactory):
    """A way to a node on which connections are lost after so many bytes, one after another."""

    protocol = CutServer
    noisy = False

    def __init__(self, url: str, cuts: list[int]) -> None:
        where = urlsplit(url)
        super().__init__(where.hostname, where.port)
        self.cuts = cuts


async def test_a_read_whose_connection_is_lost_again_and_again_is_exact(
    node: Node, joule_peer: JoulePeer, folder: str
) -> None:
    from twisted.internet import reactor

    stream = await make(node, folder, "float32", 8, decimate=False)
    runs = [some(stream, 0, 120_000), some(stream, 200_000_000, 49_999), some(stream, 300_000_000, 60_000)]
    await write(node, stream, *runs)
    way = CutWay(node.url, [1_000_003, 3_000_000, 100_000, 150, 0, 2_500_000])
    port = reactor.listenTCP(0, way, interface="127.0.0.1")
    over = Node(f"http://127.0.0.1:{port.getHost().port}", joule_peer.key)
    try:
        assert same(await read_runs(await over.data_read(stream)), *runs)
        assert way.cuts == []
    finally:
        await over.close()
        await port.stopListening()


# ------------------------------------------------------------------------------------------- many rows


class Memory:
    """How much more this process holds than at first, at the most."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._first = self._process.memory_info().rss
        self.most = 0

    def look(self) -> None:
        self.most = max(self.most, self._process.memory_info().rss - self._first)


def checked(rows: np.ndarray, first: int) -> int:
    """Add up rows, the first of which has this number."""
    assert int(rows["timestamp"][0]) == T0 + 10 * first
    assert int(rows["timestamp"][-1]) == T0 + 10 * (first + len(rows) - 1)
    return int(rows["data"].sum(dtype=np.int64)) + int((rows["timestamp"] - T0).sum())


async def test_ten_million_rows_go_there_and_back_in_flat_memory(node: Node, many: DataStream) -> None:
    memory = Memory()
    written = 0
    pipe = await node.data_write(many)
    for first in range(0, MANY, BLOCK):
        rows = some(many, 10 * first, BLOCK, step=10)
        written += checked(rows, first)
        await pipe.write(rows)
        memory.look()
    await pipe.close()
    count = read = 0
    source = await node.data_read(many)
    with contextlib.suppress(EmptyPipeError):
        while True:
            rows = await source.read()
            assert not source.end_of_interval
            read += checked(rows, count)
            count += len(rows)
            source.consume(len(rows))
            memory.look()
    await source.close()
    assert (count, read) == (MANY, written)
    assert memory.most < MEMORY


async def test_readers_that_stop_reading_do_not_freeze_the_node_and_go_on_later(
    node: Node, many: DataStream
) -> None:
    """A node has ten database connections, and each read holds one until it is over."""
    stalled = [await node.data_read(many) for _ in range(10)]
    start = time.monotonic()
    assert (await node.info()).name
    await node.data_intervals(many)
    assert time.monotonic() - start < 4 * HOLD_SECONDS
    for pipe in stalled[2:]:
        await pipe.close()
    for pipe in stalled[:2]:
        (run,) = await read_runs(pipe, at_most=2_000_000)
        checked(run, 0)
        assert len(run) >= 2_000_000
        assert (np.diff(run["timestamp"]) == 10).all()
