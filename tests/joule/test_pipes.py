"""Pipes over the real client, against a node in memory that sends what a real one was seen to send."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.protocol import Factory, Protocol

from tests.support.deferreds import result_of, waits
from txbridge.errors import (
    BridgeError,
    Closed,
    ConfigError,
    ConnectError,
    ConnectionLost,
    RemoteProtocolError,
    TimedOut,
)
from txbridge.joule import pipes
from txbridge.joule.client import Node
from txbridge.joule.errors import (
    DataRefused,
    DecimationError,
    EmptyPipeError,
    InvalidArgument,
    NotProduced,
    PipeError,
    StreamBusy,
    StreamNotFound,
)
from txbridge.joule.pipes import Direction, LocalPipe, Pipe
from txbridge.joule.protocol import InvalidRows, layout_dtype
from txbridge.joule.structures import DataStream, Element
from txbridge.net.memory import MemoryNetwork

T0 = 1_700_000_000_000_000
LAYOUT = "int16_1"
DTYPE = layout_dtype(LAYOUT)
TOKEN = bytes(DTYPE.itemsize)


def rows_at(*times: int, dtype: np.dtype[Any] = DTYPE) -> np.ndarray:
    """Rows whose value is the last digits of the time."""
    rows = np.empty(len(times), dtype)
    rows["timestamp"] = times
    rows["data"] = np.array([at % 1000 + 1 for at in times]).reshape(-1, 1)
    return rows


class Session(Protocol):
    """A connection to the node in memory."""

    transport: Any
    factory: Any

    def connectionMade(self) -> None:
        self.received = b""
        self.torn = b""
        self.post: dict[str, str] | None = None
        self.refused = False

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        if self.post is None:
            if b"\r\n\r\n" not in self.received:
                return
            head, _, self.received = self.received.partition(b"\r\n\r\n")
            method, target, _ = head.decode().split("\r\n")[0].split()
            query = {name: values[0] for name, values in parse_qs(urlsplit(target).query).items()}
            self.factory.node.requests.append(f"{method} {target}")
            self.factory.node.ask(self, method, urlsplit(target).path, query)
        if self.post is not None:
            self.store()

    def answer(self, status: int, body: bytes, kind: str = "text/plain") -> None:
        head = f"HTTP/1.1 {status} x\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        self.transport.write(head.encode() + body)

    def store(self) -> None:
        node = self.factory.node
        while not self.refused and b"\r\n" in self.received:
            size, _, rest = self.received.partition(b"\r\n")
            length = int(size, 16)
            if len(rest) < length + 2:
                return
            self.received = rest[length + 2 :]
            if length == 0:
                node.is_written = False
                self.answer(200, b"ok")
                return
            node.chunks.append(length)
            data = self.torn + rest[:length]
            whole = len(data) // DTYPE.itemsize * DTYPE.itemsize
            self.torn = data[whole:]
            for row in np.frombuffer(data[:whole], DTYPE):
                at = int(row["timestamp"])
                if not row.tobytes().strip(b"\0"):
                    node.breaks.add(max(node.times) + 1)
                elif at in node.times:
                    self.refused = True
                    self.answer(400, b"400: duplicate key value violates unique constraint")
                    return
                else:
                    node.times.add(at)

    def connectionLost(self, reason: Any = None) -> None:
        if self.post is not None:
            self.factory.node.is_written = False


class MemoryNode:
    """A node with one stream, ``/t/s``.

    Attributes:
        times: The timestamps of its rows.
        breaks: Points in time; a break lies before each.
        block: Rows of one block of an answer.
        cuts: Bytes of a body after which the connection goes, for one read after another.
        has_defect: Whether a full block before a break makes it start again, as nodes do.
    """

    def __init__(self) -> None:
        self.network = MemoryNetwork()
        self.times: set[int] = set()
        self.breaks: set[int] = set()
        self.block = 50_000
        self.cuts: list[int] = []
        self.has_defect = False
        self.is_written = False
        self.hides_writer = False
        self.is_produced = False
        self.has_tables = True
        self.layout = LAYOUT
        self.level = 1
        self.refusals: list[tuple[int, bytes]] = []
        self.requests: list[str] = []
        self.chunks: list[int] = []
        self.sessions: list[Session] = []
        factory: Any = Factory.forProtocol(Session)
        factory.node = self
        self.port = self.network.listen("node.test", 80, factory)
        self.node = Node("http://node.test", "k" * 43, reactor=self.network.reactor)

    def run(self, work: Deferred[Any], seconds: float = 600.0) -> Any:
        return self.network.run(work, seconds)

    def settle(self) -> None:
        for _ in range(300):
            self.network.pump()

    def error(self, work: Deferred[Any]) -> Any:
        with pytest.raises(BridgeError) as caught:
            self.run(work)
        return caught.value

    def reads(self) -> list[str]:
        """The queries of all reads."""
        return [request.partition("?")[2] for request in self.requests if request.startswith("GET /data?")]

    def fill(self, *runs: list[int]) -> None:
        for run in runs:
            self.times |= set(run)
            self.breaks.add(run[-1] + 1)

    def model(self) -> bytes:
        busy = self.is_written and not self.hides_writer
        elements = [{"id": 1, "index": 0, "name": "x", "units": None, "plottable": True,
                     "display_type": "CONTINUOUS", "offset": 0, "scale_factor": 1,
                     "default_max": None, "default_min": None}]  # fmt: skip
        document = {"id": 5, "name": "s", "description": "", "datatype": "int16", "layout": LAYOUT,
                    "keep_us": -1, "is_configured": False, "is_source": False, "locked": busy,
                    "is_destination": busy, "active": busy, "decimate": True,
                    "updated_at": "2026-11-21T00:51:30.929991+00:00", "elements": elements}  # fmt: skip
        return json.dumps(document).encode()

    def ask(self, session: Session, method: str, path: str, query: dict[str, str]) -> None:
        if query.get("path", "/t/s") != "/t/s":
            session.answer(404, b"404: stream does not exist")
        elif path == "/stream.json":
            session.answer(200, self.model(), "application/json")
        elif path == "/data/intervals.json":
            start, end = int(query["start"]), int(query["end"])
            inside = sorted(at for at in self.times if start <= at < end)
            session.answer(200, json.dumps([[inside[0], inside[-1] + 1]] if inside else []).encode())
        elif method == "DELETE":
            start, end = int(query.get("start", 0)), int(query.get("end", 1 << 62))
            self.times = {at for at in self.times if not start <= at < end}
            session.answer(200, b"ok")
        elif method == "POST":
            if self.is_written:
                session.answer(400, b"400: DataStream [s] is already being produced")
            else:
                self.is_written = True
                session.post = query
                self.sessions.append(session)
        elif self.refusals:
            session.answer(*self.refusals.pop(0))
        elif "subscribe" in query:
            if not self.is_produced:
                session.answer(400, b"400: stream is not being produced")
                return
            self.begin(session)
        else:
            self.read(session, query)

    def begin(self, session: Session) -> None:
        self.sessions.append(session)
        session.transport.write(
            b"HTTP/1.1 200 OK\r\njoule-layout: %b\r\njoule-decimation: %d\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n" % (self.layout.encode(), self.level)
        )

    def body(self, query: dict[str, str]) -> tuple[list[bytes], bool]:
        """The blocks of an answer, and whether it ends."""
        start, end = int(query.get("start", -(1 << 62))), int(query.get("end", 1 << 62))
        start, end = max(start, min(self.times)), min(end, max(self.times) + 1)
        times = sorted(at for at in self.times if start <= at < end)
        points = sorted(point for point in self.breaks if start <= point < end)
        blocks: list[bytes] = []
        for point in [*points, None]:
            run = [at for at in times if point is None or at < point]
            times = times[len(run) :]
            pieces = [run[at : at + self.block] for at in range(0, len(run), self.block)] or [[]]
            blocks += [rows_at(*piece).tobytes() for piece in pieces]
            if point is not None:
                blocks[-1] += TOKEN
                if self.has_defect and len(pieces[-1]) == self.block - 1:
                    return blocks, False
        return blocks, True

    def read(self, session: Session, query: dict[str, str]) -> None:
        if not self.times:
            if self.has_tables:
                session.answer(400, b"this stream has no data", "application/json")
                return
            blocks, ends = [], True
        elif self.layout != LAYOUT:
            blocks, ends = [], True
        else:
            blocks, ends = self.body(query)
            if not any(blocks):
                session.answer(400, b"this stream has no data", "application/json")
                return
        self.begin(session)
        if not ends:
            blocks = blocks * 3  # for ever, as far as anybody reads
        data = b"".join(b"%x\r\n%b\r\n" % (len(block), block) for block in blocks if block)
        cut = self.cuts.pop(0) if self.cuts else None
        if cut is not None and cut < len(data):
            session.transport.write(data[:cut])
            session.transport.loseConnection()
        else:
            session.transport.write(data + (b"0\r\n\r\n" if ends else b""))


@pytest.fixture
def world() -> Iterator[MemoryNode]:
    world = MemoryNode()
    yield world
    finish(world)


def finish(world: MemoryNode) -> None:
    world.run(world.node.close())
    world.settle()
    assert world.network.clock.getDelayedCalls() == []
    assert world.network.connections == 0


def read_runs(world: MemoryNode, pipe: Pipe) -> list[list[int]]:
    """Everything, in runs."""
    runs: list[list[int]] = [[]]
    while True:
        try:
            rows = world.run(pipe.read())
        except EmptyPipeError:
            break
        assert rows["data"].ravel().tolist() == [int(at) % 1000 + 1 for at in rows["timestamp"]]
        runs[-1] += rows["timestamp"].tolist()
        pipe.consume(len(rows))
        if pipe.end_of_interval:
            runs.append([])
    world.run(pipe.close())
    return runs


def run_of(start: int, count: int) -> list[int]:
    return [T0 + start + 10 * index for index in range(count)]


# ------------------------------------------------------------------------------------------- reading


def test_history_is_read_with_its_breaks(world: MemoryNode) -> None:
    runs = [run_of(0, 5), run_of(1000, 3), run_of(2000, 1)]
    world.fill(*runs)
    pipe = world.run(world.node.data_read("/t/s"))
    assert (pipe.name, pipe.layout, pipe.dtype, pipe.width) == ("s", LAYOUT, DTYPE, 1)
    assert (pipe.decimated, pipe.decimation_level, pipe.closed) == (False, 1, False)
    assert pipe.stream.id == 5
    assert pipe.direction is Direction.INPUT is Pipe.DIRECTION.INPUT
    assert read_runs(world, pipe) == runs
    assert pipe.closed
    assert repr(pipe) == "<ReadPipe 's' int16_1, closed>"


def test_bounds_are_asked_for(world: MemoryNode) -> None:
    world.fill(run_of(0, 9))
    assert read_runs(world, world.run(world.node.data_read(5, T0 + 20, T0 + 40))) == [[T0 + 20, T0 + 30]]
    assert world.reads() == [f"id=5&start={T0 + 20}&end={T0 + 40}"]


def test_a_stream_that_is_given_as_an_object_is_not_asked_for_again(world: MemoryNode) -> None:
    world.fill(run_of(0, 1))
    stream = world.run(world.node.data_stream_get("/t/s"))
    world.requests.clear()
    pipe = world.run(world.node.data_read(stream))
    assert pipe.stream is stream
    assert world.requests == ["GET /data?id=5"]
    world.run(pipe.close())


@pytest.mark.parametrize("has_tables", [True, False])
def test_a_range_without_data_is_an_empty_pipe(world: MemoryNode, has_tables: bool) -> None:
    world.has_tables = has_tables
    pipe = world.run(world.node.data_read("/t/s"))
    assert pipe.dtype == DTYPE
    assert world.run(pipe.is_empty())
    assert type(world.error(pipe.read())) is EmptyPipeError
    assert str(world.error(pipe.read_all())) == "No data in pipe"
    world.run(pipe.close())
    assert type(world.error(world.node.data_read_array("/t/s"))) is EmptyPipeError


def test_errors_come_when_the_pipe_is_made(world: MemoryNode) -> None:
    assert type(world.error(world.node.data_read("/t/none"))) is StreamNotFound
    assert type(world.error(world.node.data_read_array("/t/none"))) is StreamNotFound
    for arguments in ((5, 5), (6, 5), ("x",), (None, None, 0)):
        assert type(world.error(world.node.data_read("/t/s", *arguments))) is InvalidArgument
    assert type(world.error(world.node.data_read("no/path"))) is InvalidArgument


def test_rows_that_are_not_consumed_come_again_before_the_new_ones(world: MemoryNode) -> None:
    world.fill(run_of(0, 3), run_of(1000, 2))
    pipe = world.run(world.node.data_read("/t/s"))
    first = world.run(pipe.read())
    assert (len(first), pipe.end_of_interval) == (3, True)
    pipe.consume(2)
    again = world.run(pipe.read())
    assert again["timestamp"].tolist() == [T0 + 20, T0 + 1000, T0 + 1010]
    assert not pipe.end_of_interval
    pipe.reread_last()
    assert world.run(pipe.read()) is again
    pipe.consume(1)
    assert len(world.run(pipe.read())) == 2  # at the end, once more
    assert type(world.error(pipe.read())) is EmptyPipeError
    pipe.consume_all()
    world.run(pipe.close())


def test_more_cannot_be_consumed_than_was_read(world: MemoryNode) -> None:
    world.fill(run_of(0, 3))
    pipe = world.run(world.node.data_read("/t/s"))
    world.run(pipe.read())
    pipe.consume(0)
    with pytest.raises(PipeError, match="consume called with negative offset: -1"):
        pipe.consume(-1)
    with pytest.raises(PipeError, match="cannot consume 99 rows: only 3 available"):
        pipe.consume(99)
    world.run(pipe.close())


def test_looking_whether_a_pipe_is_empty_loses_nothing(world: MemoryNode) -> None:
    world.fill(run_of(0, 3))
    pipe = world.run(world.node.data_read("/t/s"))
    assert world.run(pipe.not_empty())
    assert not world.run(pipe.is_empty())
    assert len(world.run(pipe.read())) == 3
    pipe.consume_all()
    assert world.run(pipe.is_empty())
    world.run(pipe.close())


def test_flattened_rows_are_a_matrix(world: MemoryNode) -> None:
    world.fill(run_of(0, 2))
    pipe = world.run(world.node.data_read("/t/s"))
    assert world.run(pipe.read(flatten=True)).tolist() == [[T0, 1], [T0 + 10, 11]]
    pipe.reread_last()
    assert world.run(pipe.read(True)).shape == (2, 2)
    world.run(pipe.close())


def test_reading_all_gives_all_or_an_error(world: MemoryNode) -> None:
    world.block = 3
    world.fill(run_of(0, 5), run_of(1000, 4))
    assert len(world.run(world.node.data_read_array("/t/s", max_rows=None))) == 9
    assert world.run(world.node.data_read_array("/t/s", flatten=True)).shape == (9, 2)
    pipe = world.run(world.node.data_read("/t/s"))
    error = world.error(pipe.read_all(maxrows=7))
    assert str(error) == "More than [7] rows, increase maxrows or disable error_on_overflow"
    world.run(pipe.close())
    pipe = world.run(world.node.data_read("/t/s"))
    assert len(world.run(pipe.read_all(maxrows=7, error_on_overflow=False))) == 7
    assert len(world.run(pipe.read_all())) == 2
    world.run(pipe.close())


def test_a_decimated_read_names_its_level_and_layout(world: MemoryNode) -> None:
    world.fill(run_of(0, 100))
    world.layout, world.level = "float32_3", 16
    pipe = world.run(world.node.data_read("/t/s", max_rows=10))
    assert world.reads() == ["path=%2Ft%2Fs&max-rows=10"]
    assert (pipe.decimated, pipe.decimation_level, pipe.layout, pipe.width) == (True, 16, "float32_3", 3)
    assert type(world.error(pipe.read())) is DecimationError
    world.run(pipe.close())


def test_two_reads_at_once_are_refused(world: MemoryNode) -> None:
    world.is_produced = True
    pipe = world.run(world.node.data_subscribe("/t/s"))
    waiting = pipe.read()
    assert "somebody is reading" in str(world.error(pipe.read()))
    waiting.cancel()
    with pytest.raises(CancelledError):
        result_of(waiting)
    world.run(pipe.close())


def test_closing_ends_a_read_that_waits(world: MemoryNode) -> None:
    world.is_produced = True
    pipe = world.run(world.node.data_subscribe("/t/s"))
    waiting = pipe.read()
    world.run(pipe.close())
    assert type(world.error(waiting)) is Closed
    assert type(world.error(pipe.read())) is EmptyPipeError


def test_an_input_pipe_cannot_be_written_to(world: MemoryNode) -> None:
    world.fill(run_of(0, 1))
    pipe = world.run(world.node.data_read("/t/s"))
    for work in (pipe.write(rows_at(T0)), pipe.close_interval(), pipe.flush_cache(), pipe.flush()):
        assert type(world.error(work)) is PipeError
    for call in (lambda: pipe.enable_cache(5), lambda: pipe.subscribe(LocalPipe(LAYOUT))):
        with pytest.raises(PipeError):
            call()
    world.run(pipe.close())


@pytest.mark.parametrize("level", [0, -4])
def test_a_level_of_decimation_is_1_at_least(world: MemoryNode, level: int) -> None:
    world.fill(run_of(0, 1))
    world.level = level
    assert type(world.error(world.node.data_read("/t/s"))) is RemoteProtocolError


@pytest.mark.parametrize("header", ["layout", "level"])
def test_an_answer_that_is_not_joules_is_an_error(world: MemoryNode, header: str) -> None:
    world.fill(run_of(0, 1))
    if header == "layout":
        world.layout = "text"
    else:
        world.level = b"many"  # type: ignore[assignment]
        world.begin = lambda session: session.transport.write(  # type: ignore[method-assign]
            b"HTTP/1.1 200 OK\r\njoule-layout: int16_1\r\njoule-decimation: many\r\n\r\n"
        )
    assert type(world.error(world.node.data_read("/t/s"))) is RemoteProtocolError


def test_rows_need_a_carrier_that_streams() -> None:
    class Other:
        def run(self, operation: Any) -> Deferred[Any]:
            return succeed(DataStream(id=5, name="s", elements=[Element(name="x")]))

    node = Node(carrier=Other())
    with pytest.raises(ConfigError, match="HttpCarrier"):
        result_of(node.data_read(5))


# ------------------------------------------------------------------------------------- going on after a loss


def test_a_lost_connection_is_not_noticed_by_the_reader(world: MemoryNode) -> None:
    world.block = 10
    runs = [run_of(0, 25), run_of(1000, 25)]
    world.fill(*runs)
    world.cuts = [137, 60, 0]
    pipe = world.run(world.node.data_read("/t/s", end=T0 + 5000))
    assert read_runs(world, pipe) == runs
    assert len(world.reads()) == 4
    assert all(f"end={T0 + 5000}" in query for query in world.reads())


@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=5),
    st.integers(1, 6),
    st.lists(st.integers(0, 150), max_size=5),
    st.booleans(),
)
def test_rows_and_breaks_are_the_same_wherever_connections_are_lost(
    lengths: list[int], block: int, cuts: list[int], has_defect: bool
) -> None:
    world = MemoryNode()
    world.block, world.cuts, world.has_defect = block, cuts, has_defect and block > 1
    runs = [run_of(1000 * index, length) for index, length in enumerate(lengths)]
    world.fill(*runs)
    assert read_runs(world, world.run(world.node.data_read("/t/s"))) == runs
    finish(world)


def test_a_node_that_starts_again_for_ever_is_asked_for_the_rest(world: MemoryNode) -> None:
    world.block, world.has_defect = 10, True
    runs = [run_of(0, 19), run_of(1000, 9), run_of(2000, 3)]
    world.fill(*runs)
    assert read_runs(world, world.run(world.node.data_read("/t/s"))) == runs
    assert world.reads() == [
        "path=%2Ft%2Fs",
        f"path=%2Ft%2Fs&start={T0 + 181}",
        f"path=%2Ft%2Fs&start={T0 + 1081}",
    ]


@pytest.mark.parametrize("at", [(1 << 63) - 1, -(1 << 63)])
def test_going_on_after_a_row_of_no_time_is_the_nodes_error(world: MemoryNode, at: int) -> None:
    def read(session: Session, query: dict[str, str]) -> None:
        world.begin(session)
        session.transport.write(b"%x\r\n%b\r\n" % (len(TOKEN), rows_at(at).tobytes()))
        session.transport.loseConnection()

    world.read = read  # type: ignore[method-assign]
    pipe = world.run(world.node.data_read("/t/s"))
    assert world.run(pipe.read())["timestamp"].tolist() == [at]
    error = world.error(pipe.read())
    assert type(error) is RemoteProtocolError
    assert str(at) in str(error)
    world.run(pipe.close())


@pytest.mark.parametrize("is_live", [False, True])
def test_breaks_without_end_and_without_rows_are_an_error(
    world: MemoryNode, monkeypatch: pytest.MonkeyPatch, is_live: bool
) -> None:
    monkeypatch.setattr(pipes, "MAX_BREAKS", 100)
    world.is_produced = True
    breaks = bytearray()

    def read(session: Session, query: dict[str, str]) -> None:
        world.begin(session)
        if breaks:
            say(breaks)

    world.read = read  # type: ignore[method-assign]
    opening = world.node.data_subscribe("/t/s") if is_live else world.node.data_read("/t/s")
    pipe = world.run(opening)

    def say(data: bytes) -> None:
        world.sessions[-1].transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        world.settle()

    for number in range(3):
        say(TOKEN * 100 + rows_at(T0 + number).tobytes())
        while not len(world.run(pipe.read())):
            pass
        pipe.consume_all()
    breaks += TOKEN * 120
    say(TOKEN * 60)
    assert len(world.run(pipe.read())) == 0
    reading = pipe.read()
    world.settle()
    assert waits(reading)
    say(TOKEN * 60)
    assert type(world.error(reading)) is RemoteProtocolError
    world.run(pipe.close())


def test_a_row_that_went_away_meanwhile_leaves_a_break(world: MemoryNode) -> None:
    world.fill(run_of(0, 6))
    world.cuts = [4 + 30 + 5]
    pipe = world.run(world.node.data_read("/t/s"))
    assert len(world.run(pipe.read())) == 3
    pipe.consume_all()
    world.times -= {T0 + 20}
    assert read_runs(world, pipe) == [[], [T0 + 30, T0 + 40, T0 + 50]]


def test_a_decimated_read_goes_on_at_its_level(world: MemoryNode) -> None:
    world.fill(run_of(0, 6))
    world.level = 4
    world.cuts = [4 + 30]
    pipe = world.run(world.node.data_read("/t/s", max_rows=10))
    assert read_runs(world, pipe) == [run_of(0, 6)]
    assert world.reads()[1] == f"path=%2Ft%2Fs&start={T0 + 20}&decimation-level=4"


def test_a_read_that_was_whole_but_for_its_end_asks_no_more_than_it_must(world: MemoryNode) -> None:
    world.fill([T0], [T0 + 10])
    world.cuts = [4 + 20]
    pipe = world.run(world.node.data_read("/t/s", end=T0 + 1))
    assert read_runs(world, pipe) == [[T0]]
    world.cuts = [4 + 20 + 2]
    pipe = world.run(world.node.data_read("/t/s", end=T0 + 2))
    assert read_runs(world, pipe) == [[T0], []]


def test_a_read_gives_up_in_the_end_and_another_read_tries_again(world: MemoryNode) -> None:
    world.fill(run_of(0, 5))
    world.cuts = [4 + 20]
    pipe = world.run(world.node.data_read("/t/s"))
    assert len(world.run(pipe.read())) == 2
    pipe.consume_all()
    world.port.stopListening()
    before = world.network.clock.seconds()
    assert type(world.error(pipe.read())) is ConnectError
    assert world.network.clock.seconds() - before >= sum(pipes.RESUME_DELAYS)
    world.port.startListening()
    assert read_runs(world, pipe) == [run_of(20, 3)]


def test_a_node_that_fails_for_a_while_is_asked_again(world: MemoryNode) -> None:
    world.fill(run_of(0, 5))
    world.cuts = [4 + 20]
    pipe = world.run(world.node.data_read("/t/s"))
    world.refusals = [(502, b""), (503, b"")]
    assert read_runs(world, pipe) == [run_of(0, 5)]


def test_a_refusal_while_going_on_is_told(world: MemoryNode) -> None:
    world.fill(run_of(0, 5))
    world.cuts = [4 + 20]
    pipe = world.run(world.node.data_read("/t/s"))
    world.run(pipe.read())
    world.refusals = [(404, b"404: stream does not exist")]
    assert type(world.error(pipe.read())) is StreamNotFound
    world.run(pipe.close())


def test_closing_while_going_on_leaves_nothing_behind(world: MemoryNode) -> None:
    world.fill(run_of(0, 5))
    world.cuts = [4 + 20, 0, 0, 0]
    pipe = world.run(world.node.data_read("/t/s"))
    world.run(pipe.read())
    pipe.consume_all()
    waiting = pipe.read()
    world.settle()
    world.run(pipe.close())
    assert type(world.error(waiting)) is Closed


def test_a_cancelled_read_goes_on_later(world: MemoryNode) -> None:
    world.fill(run_of(0, 5))
    world.cuts = [4 + 20, 0, 0, 0]
    pipe = world.run(world.node.data_read("/t/s"))
    world.run(pipe.read())
    pipe.consume_all()
    waiting = pipe.read()
    world.settle()
    waiting.cancel()
    with pytest.raises(CancelledError):
        result_of(waiting)
    assert read_runs(world, pipe) == [run_of(20, 3)]


def test_a_body_that_ends_within_a_row_is_asked_for_again_and_then_given_up(world: MemoryNode) -> None:
    world.fill(run_of(0, 2))
    whole = world.body

    def torn(query: dict[str, str]) -> tuple[list[bytes], bool]:
        blocks, ends = whole(query)
        return [block[:-3] for block in blocks], ends

    world.body = torn  # type: ignore[method-assign]
    pipe = world.run(world.node.data_read("/t/s"))
    assert len(world.run(pipe.read())) == 1
    pipe.consume_all()
    assert type(world.error(pipe.read())) is RemoteProtocolError
    world.body = whole  # type: ignore[method-assign]
    assert read_runs(world, pipe) == [[T0 + 10]]


def test_a_reader_that_stays_away_frees_the_node_and_misses_nothing(
    world: MemoryNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("txbridge.net.http_stream.HIGH_MARK", 200)
    world.block = 10
    world.fill(run_of(0, 20_000))
    pipe = world.run(world.node.data_read("/t/s"))
    world.settle()
    assert pipe._download._held < 70_000
    open_before = world.network.connections
    world.network.clock.advance(pipes.HOLD_SECONDS + 0.1)
    world.settle()
    assert world.network.connections == open_before - 1
    (run,) = read_runs(world, pipe)
    assert run == run_of(0, 20_000)
    assert len(world.reads()) == 2


def test_a_silent_node_is_asked_again(world: MemoryNode) -> None:
    world.fill(run_of(0, 5))
    read = world.read
    world.read = lambda session, query: world.begin(session)  # type: ignore[method-assign]
    pipe = world.run(world.node.data_read("/t/s"))
    world.read = read  # type: ignore[method-assign]
    assert read_runs(world, pipe) == [run_of(0, 5)]
    assert world.network.clock.seconds() >= pipes.READ_SILENCE


# ------------------------------------------------------------------------------------------- subscriptions


def live(world: MemoryNode) -> tuple[Pipe, Callable[[bytes], None]]:
    world.is_produced = True
    pipe = world.run(world.node.data_subscribe("/t/s"))

    def say(data: bytes) -> None:
        world.sessions[-1].transport.write(b"%x\r\n%b\r\n" % (len(data), data))
        world.settle()

    return pipe, say


def test_live_rows_come_as_they_are_made(world: MemoryNode) -> None:
    pipe, say = live(world)
    assert pipe.stream is not None
    waiting = pipe.read()
    say(rows_at(T0, T0 + 10).tobytes())
    assert len(result_of(waiting)) == 2
    pipe.consume_all()
    say(TOKEN)
    assert len(world.run(pipe.read())) == 0
    assert pipe.end_of_interval
    say(rows_at(7, 8, 3).tobytes())  # a module that starts again may begin anywhere
    assert len(world.run(pipe.read())) == 2
    assert pipe.end_of_interval
    pipe.consume_all()
    assert world.run(pipe.read())["timestamp"].tolist() == [3]
    world.run(pipe.close())


def test_an_idle_subscription_waits_for_ever(world: MemoryNode) -> None:
    pipe, say = live(world)
    waiting = pipe.read()
    world.network.clock.advance(1e6)
    assert waits(waiting)
    say(rows_at(T0).tobytes())
    assert len(result_of(waiting)) == 1
    world.run(pipe.close())


def test_a_lost_subscription_is_told_after_what_came(world: MemoryNode) -> None:
    pipe, say = live(world)
    say(rows_at(T0).tobytes())
    world.sessions[-1].transport.loseConnection()
    world.settle()
    assert len(world.run(pipe.read())) == 1
    assert type(world.error(pipe.read())) is ConnectionLost
    assert type(world.error(pipe.read())) is ConnectionLost
    world.run(pipe.close())


def test_a_slow_subscriber_is_dropped_before_the_node_fills_its_memory(
    world: MemoryNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("txbridge.net.http_stream.HIGH_MARK", 200)
    pipe, say = live(world)
    for second in range(40):
        say(rows_at(*run_of(second * 1000, 10)).tobytes())
        world.network.clock.advance(1)
    world.settle()
    assert len(world.run(pipe.read())) >= 20
    assert "nobody read for 30 s" in str(world.error(pipe.read()))
    world.run(pipe.close())


def test_what_nobody_produces_cannot_be_subscribed_to(world: MemoryNode) -> None:
    assert type(world.error(world.node.data_subscribe("/t/s"))) is NotProduced


# ------------------------------------------------------------------------------------------- writing


def test_rows_are_stored_when_the_pipe_is_closed(world: MemoryNode) -> None:
    pipe = world.run(world.node.data_write("/t/s", merge_gap=7))
    assert (pipe.direction, pipe.layout, pipe.name) == (Direction.OUTPUT, LAYOUT, "s")
    world.run(pipe.write(rows_at(T0, T0 + 10)))
    world.run(pipe.write(np.array([[T0 + 20, 21]])))
    assert pipe.last_written == T0 + 20
    world.run(pipe.close_interval())
    world.run(pipe.write(rows_at(T0 + 1000)))
    world.run(pipe.close())
    world.run(pipe.close())
    assert world.times == {*run_of(0, 3), T0 + 1000}
    assert world.breaks == {T0 + 21, T0 + 1001}
    assert world.requests[-1] == "POST /data?id=5&merge-gap=7"
    assert type(world.error(pipe.write(rows_at(T0)))) is PipeError
    assert not world.is_written
    assert read_runs(world, world.run(world.node.data_read(5))) == [run_of(0, 3), [T0 + 1000]]


def test_a_pipe_without_rows_stores_nothing(world: MemoryNode) -> None:
    pipe = world.run(world.node.data_write("/t/s"))
    world.run(pipe.write(np.empty((0, 2))))
    world.run(pipe.close())
    assert (world.times, world.breaks) == (set(), set())
    assert world.run(pipe.last_stored()) is None


def test_rows_flow_while_the_pipe_is_open(world: MemoryNode) -> None:
    pipe = world.run(world.node.data_write("/t/s"))
    world.run(pipe.write(rows_at(T0)))
    world.settle()
    assert world.times == {T0}
    assert world.run(pipe.last_stored()) == T0
    world.run(pipe.close())


def test_a_range_is_deleted_before_it_is_written(world: MemoryNode) -> None:
    world.fill(run_of(0, 10))
    pipe = world.run(world.node.data_write("/t/s", start=T0 + 20, end=T0 + 50))
    world.run(pipe.write(rows_at(T0 + 35)))
    world.run(pipe.close())
    assert world.times == {*run_of(0, 2), T0 + 35, *run_of(50, 5)}


def test_a_stream_has_one_writer_and_the_second_deletes_nothing(world: MemoryNode) -> None:
    world.fill(run_of(0, 3))
    first = world.run(world.node.data_write("/t/s"))
    assert type(world.error(world.node.data_write(5, start=T0))) is StreamBusy
    world.run(first.close())
    world.is_written = True  # by somebody else
    assert type(world.error(world.node.data_write(5, start=T0))) is StreamBusy
    world.is_written = False
    assert len(world.times) == 3
    pipe = world.run(world.node.data_write("/t/s"))
    pipe.abort()
    world.settle()
    world.run(world.run(world.node.data_write("/t/s")).close())


def test_a_writer_that_lost_a_race_learns_it(world: MemoryNode) -> None:
    pipe = world.run(world.node.data_write("/t/s"))
    world.settle()
    world.hides_writer = True
    other = Node("http://node.test", reactor=world.network.reactor)
    late = world.run(other.data_write("/t/s"))
    assert type(world.error(late.close())) is StreamBusy
    world.run(pipe.close())
    world.run(other.close())


def test_giving_up_the_end_of_a_write_is_a_cancelled_error(world: MemoryNode) -> None:
    pipe = world.run(world.node.data_write("/t/s"))
    world.sessions[-1].store = lambda: None  # type: ignore[method-assign]
    closing = pipe.close()
    world.settle()
    assert waits(closing)
    closing.cancel()
    with pytest.raises(CancelledError):
        world.run(closing)


def test_another_layout_is_refused(world: MemoryNode) -> None:
    stream = DataStream(id=5, name="s", datatype="float32", elements=[Element(name="x")])
    error = world.error(world.node.data_write(stream))
    assert "configured for [float32_1] but destination is [int16_1]" in str(error)


def test_rows_that_cannot_be_stored_are_refused_and_the_pipe_goes_on(world: MemoryNode) -> None:
    pipe = world.run(world.node.data_write("/t/s"))
    assert type(world.error(pipe.write([[1, 2]]))) is InvalidRows
    world.run(pipe.write(rows_at(T0 + 10)))
    assert type(world.error(pipe.write(rows_at(T0)))) is InvalidRows
    world.run(pipe.write(rows_at(T0 + 20)))
    world.run(pipe.close())
    assert world.times == {T0 + 10, T0 + 20}


def test_a_refusal_fails_the_next_write_and_the_end_and_tells_what_is_stored(world: MemoryNode) -> None:
    world.fill([T0 + 30])
    pipe = world.run(world.node.data_write("/t/s"))
    world.run(pipe.write(rows_at(T0, T0 + 10)))
    world.settle()
    world.run(pipe.write(rows_at(T0 + 30)))
    world.settle()
    assert type(world.error(pipe.write(rows_at(T0 + 40)))) is DataRefused
    assert type(world.error(pipe.close())) is DataRefused
    world.times.discard(T0 + 30)
    assert world.run(pipe.last_stored()) == T0 + 10
    world.run(pipe.close())


def test_a_write_that_nobody_waited_for_is_not_lost(world: MemoryNode) -> None:
    world.fill([T0])
    pipe = world.run(world.node.data_write("/t/s"))
    pipe.write(rows_at(T0))
    assert type(world.error(pipe.close())) is DataRefused


def test_a_lost_connection_fails_the_write(world: MemoryNode) -> None:
    pipe = world.run(world.node.data_write("/t/s"))
    world.run(pipe.write(rows_at(T0)))
    world.network.cut()
    assert type(world.error(pipe.write(rows_at(T0 + 10)))) is ConnectionLost
    assert type(world.error(pipe.close())) is ConnectionLost


def test_a_slow_node_holds_the_writer(world: MemoryNode) -> None:
    pipe = world.run(world.node.data_write("/t/s"))
    world.settle()
    world.sessions[-1].transport.pauseProducing()
    rows = [rows_at(*run_of(index * 1_000_000, 50_000)) for index in range(3)]
    written = [pipe.write(one) for one in rows]
    world.settle()
    assert waits(written[-1])
    flushed = pipe.flush()
    assert waits(flushed)
    world.sessions[-1].transport.resumeProducing()
    world.run(flushed)
    assert not waits(written[-1])
    pipe.abort()
    world.settle()


def test_a_node_that_takes_nothing_for_long_is_an_error(world: MemoryNode) -> None:
    pipe = world.run(world.node.data_write("/t/s"))
    world.settle()
    world.sessions[-1].transport.pauseProducing()
    assert type(world.error(pipe.write(rows_at(*run_of(0, 100_000))))) is TimedOut
    assert type(world.error(pipe.close())) is TimedOut


def test_small_writes_travel_together(world: MemoryNode) -> None:
    pipe = world.run(world.node.data_write("/t/s"))
    for at in run_of(0, 1000):
        result_of(pipe.write(rows_at(at)))
    world.run(pipe.close())
    assert len(world.times) == 1000
    assert len(world.chunks) <= 2


def test_a_cache_is_written_when_it_is_full_flushed_or_closed(world: MemoryNode) -> None:
    pipe = world.run(world.node.data_write("/t/s"))
    pipe.enable_cache(3)
    with pytest.raises(InvalidArgument):
        pipe.enable_cache(0)
    for index, at in enumerate(run_of(0, 7)):
        world.run(pipe.write(rows_at(at)))
        world.settle()
        assert len(world.times) == (index + 1) // 3 * 3
    world.run(pipe.flush_cache())
    world.settle()
    assert len(world.times) == 7
    world.run(pipe.write(rows_at(T0 + 1000)))
    world.run(pipe.close_interval())
    world.run(pipe.write(rows_at(T0 + 2000)))
    world.run(pipe.close())
    assert len(world.times) == 9
    assert world.breaks == {T0 + 1001, T0 + 2001}
    assert type(world.error(pipe.flush_cache())) is PipeError
    assert type(world.error(pipe.flush())) is PipeError
    assert type(world.error(pipe.close_interval())) is PipeError


def test_an_output_pipe_cannot_be_read(world: MemoryNode) -> None:
    pipe = world.run(world.node.data_write("/t/s"))
    for work in (pipe.read(), pipe.read_all(), pipe.is_empty(), pipe.not_empty()):
        assert type(world.error(work)) is PipeError
    for call in (lambda: pipe.consume(0), pipe.consume_all, pipe.reread_last):
        with pytest.raises(PipeError):
            call()
    assert not pipe.end_of_interval
    world.run(pipe.close())


def test_what_is_written_is_copied_to_who_subscribes(world: MemoryNode) -> None:
    pipe = world.run(world.node.data_write("/t/s"))
    copy, late = LocalPipe(LAYOUT), LocalPipe(LAYOUT)
    unsubscribe = pipe.subscribe(copy)
    world.run(pipe.write(rows_at(T0)))
    pipe.subscribe(late)
    world.run(pipe.close_interval())
    world.run(pipe.write(rows_at(T0 + 10)))
    unsubscribe()
    unsubscribe()
    world.run(pipe.write(rows_at(T0 + 20)))
    world.run(pipe.close())
    world.run(copy.close())
    assert late.closed
    assert read_runs(world, copy) == [[T0], [T0 + 10]]
    assert read_runs(world, late) == [[], [T0 + 10, T0 + 20]]


# ------------------------------------------------------------------------------------------- local pipes


def test_a_local_pipe_passes_rows_and_breaks_on() -> None:
    pipe = LocalPipe(LAYOUT, name="between")
    assert pipe.direction is Direction.TWOWAY
    waiting = pipe.read()
    assert waits(waiting)
    result_of(pipe.write(np.array([[T0, 1], [T0 + 10, 2]])))
    assert result_of(waiting)["timestamp"].tolist() == [T0, T0 + 10]
    pipe.consume(1)
    result_of(pipe.write(rows_at(T0 + 20)))
    result_of(pipe.close_interval())
    result_of(pipe.write(rows_at(T0 + 30)))
    assert len(result_of(pipe.read())) == 2
    assert pipe.end_of_interval
    pipe.consume_all()
    result_of(pipe.close())
    result_of(pipe.close())
    assert result_of(pipe.read(flatten=True)).tolist() == [[T0 + 30, 31]]
    pipe.consume_all()
    with pytest.raises(EmptyPipeError):
        result_of(pipe.read())
    with pytest.raises(PipeError, match="Cannot write to a closed pipe"):
        result_of(pipe.write(rows_at(T0 + 40)))


def test_a_local_pipe_keeps_what_was_written_even_if_the_array_changes() -> None:
    pipe = LocalPipe(LAYOUT)
    rows = rows_at(T0)
    pipe.write(rows)
    rows["timestamp"] = 5
    assert result_of(pipe.read())["timestamp"].tolist() == [T0]


def test_a_local_pipe_with_a_limit_holds_the_writer() -> None:
    pipe = LocalPipe(LAYOUT, write_limit=2)
    written = [pipe.write(rows_at(T0 + index)) for index in range(4)]
    assert [waits(one) for one in written] == [False, False, True, True]
    written[3].cancel()
    with pytest.raises(CancelledError):
        result_of(written[3])
    assert len(result_of(pipe.read())) == 4
    assert not waits(written[2])


def test_a_local_pipe_is_closed_for_a_reader_that_waits_and_tells_who_made_it() -> None:
    told: list[str] = []
    pipe = LocalPipe(LAYOUT, close_cb=lambda: told.append("closed"))  # type: ignore[func-returns-value]
    waiting = pipe.read()
    result_of(pipe.close())
    with pytest.raises(EmptyPipeError):
        result_of(waiting)
    assert told == ["closed"]


def test_cancelling_a_local_read_loses_nothing() -> None:
    pipe = LocalPipe(LAYOUT)
    waiting = pipe.read()
    waiting.cancel()
    with pytest.raises(CancelledError):
        result_of(waiting)
    pipe.write(rows_at(T0))
    assert len(result_of(pipe.read())) == 1
