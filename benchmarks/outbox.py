"""Batches into and out of the relay's outbox, beside a table of SQLite and NATS JetStream if it is installed.

All of them are given the same batches, encoded by the same function, `UNDER_WAY` at once, and answer when
they have them: the table when one commit for all of those is on the disk (WAL, ``synchronous=FULL``),
JetStream when its server has acknowledged (which syncs every two minutes), the outbox as its
durability says.  Out of the table and the outbox goes all that is in it, up to a thousand points at
once, decoded, and gone when that is confirmed.
"""

from __future__ import annotations

import json
import shutil
import socket
import sqlite3
import subprocess
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO, Protocol, TypeVar

from twisted.internet.defer import DeferredList

from benchmarks.harness import Contender, Group, Sample, Size, Tick
from benchmarks.threads import Turns
from txbridge.model.samples import Batch, SampleBlock
from txbridge.relay.disk_outbox import DiskOutbox
from txbridge.relay.outbox import MemoryOutbox
from txbridge.relay.queue import SegmentQueue
from txbridge.relay.records import decode_batch, encode_batch
from txbridge.relay.roles import Durability, OnFull

__all__ = ["run", "turns"]

T = TypeVar("T")

UNDER_WAY = 64
BATCHES = (1, 10, 100, 1000)  # points
AT_ONCE = 1000  # points in one read
NATS = "nats-server"
PLENTY: dict[str, Any] = {
    "max_bytes": 1 << 33,
    "max_points": 1 << 33,
}  # an outbox that blocks would wait for ever here
FULL_BYTES = 8 << 20  # of the outbox that is full
OPENED = (4 << 20, 256 << 20)  # bytes of the outboxes that are opened


class _Queue(Protocol):
    """What is measured."""

    def put(self, batches: list[Batch]) -> None:
        """Have them all accepted."""

    def take(self) -> int:
        """Take the next and confirm it; gives how many points that were, 0 at the end."""

    def close(self) -> None:
        """Let go of it."""


class _Ours:
    """An outbox."""

    def __init__(self, turns: Turns, outbox: SegmentQueue) -> None:
        self._turns = turns
        self.outbox = outbox

    def put(self, batches: list[Batch]) -> None:
        appends = [self.outbox.append(batch) for batch in batches]
        self._turns.wait(DeferredList(appends, fireOnOneErrback=True))

    def take(self) -> int:
        if not self.outbox.state().destinations["there"].points:
            return 0
        pending = self._turns.wait(self.outbox.peek("there", max_points=AT_ONCE, max_bytes=1 << 24))
        self._turns.wait(self.outbox.settle("there", pending))
        return pending.batch.points

    def close(self) -> None:
        self._turns.wait(self.outbox.close())


def _disk(folder: Path, turns: Turns, durability: Durability, **options: Any) -> _Ours:
    opening = DiskOutbox.open(folder, ["there"], turns, durability=durability, **options)
    return _Ours(turns, turns.wait(opening))


class _Table:
    """A queue as it is mostly built: a table, a commit for what is put, a commit for what is deleted."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("CREATE TABLE queue (n INTEGER PRIMARY KEY, points INTEGER, body BLOB)")

    def put(self, batches: list[Batch]) -> None:
        rows = [(batch.points, encode_batch(batch)) for batch in batches]
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany("INSERT INTO queue (points, body) VALUES (?, ?)", rows)
        self._connection.execute("COMMIT")

    def take(self) -> int:
        query = "SELECT n, points, body FROM queue ORDER BY n LIMIT ?"
        (each,) = self._connection.execute("SELECT points FROM queue ORDER BY n LIMIT 1").fetchone() or (0,)
        if not each:
            return 0
        rows = self._connection.execute(query, (max(1, AT_ONCE // each),)).fetchall()
        batch = Batch.merge([decode_batch(body) for _, _, body in rows])
        self._connection.execute("DELETE FROM queue WHERE n <= ?", (rows[-1][0],))
        return batch.points

    def close(self) -> None:
        self._connection.close()


class _JetStream:
    """A server of NATS with one stream of its file store, and just enough of a client for it."""

    def __init__(self, folder: Path) -> None:
        ports = folder / "ports"
        ports.mkdir(parents=True)
        command = [NATS, "-js", "-sd", str(folder / "store"), "-a", "127.0.0.1", "-p", "-1"]
        self._server = subprocess.Popen(
            [*command, "--ports_file_dir", str(ports)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._socket = socket.create_connection(("127.0.0.1", self._port(ports)))
        self._input: BinaryIO = self._socket.makefile("rb")
        self._input.readline()
        self._send(b'CONNECT {"verbose":false,"headers":false}\r\nSUB in.* 1\r\n')
        stream = {"name": "q", "subjects": ["q"], "storage": "file"}
        self._ask("$JS.API.STREAM.CREATE.q", stream)
        self._left = 0

    def _port(self, folder: Path) -> int:
        for _ in range(600):
            for path in folder.glob("*.ports"):
                text = path.read_text()
                if text:
                    return int(json.loads(text)["nats"][0].rsplit(":", 1)[1])
            time.sleep(0.05)
        raise RuntimeError(f"{NATS} does not start")

    def _send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def _message(self) -> bytes:
        """The body of the next message."""
        while True:
            line = self._input.readline()
            if line.startswith(b"PING"):
                self._send(b"PONG\r\n")
            elif line.startswith(b"MSG"):
                return self._input.read(int(line.split()[-1]) + 2)[:-2]
            elif not line or line.startswith(b"-ERR"):
                raise RuntimeError(f"{NATS}: {line!r}")

    def _ask(self, subject: str, body: Any) -> None:
        text = json.dumps(body).encode()
        self._send(f"PUB {subject} in.x {len(text)}\r\n".encode() + text + b"\r\n")
        answer = json.loads(self._message())
        if "error" in answer:
            raise RuntimeError(f"{NATS}: {answer['error']}")

    def put(self, batches: list[Batch]) -> None:
        bodies = [encode_batch(batch) for batch in batches]
        self._send(b"".join(b"PUB q in.x %d\r\n%b\r\n" % (len(body), body) for body in bodies))
        for _ in bodies:
            answer = json.loads(self._message())
            if "error" in answer:
                raise RuntimeError(f"{NATS}: {answer['error']}")
        self._left += sum(batch.points for batch in batches)

    def take(self) -> int:
        """All of it at once and unread: only what is put is measured here."""
        if not self._left:
            return 0
        self._ask("$JS.API.STREAM.PURGE.q", {})
        taken, self._left = self._left, 0
        return taken

    def close(self) -> None:
        self._socket.close()
        self._server.terminate()
        self._server.wait()


def _batch(points: int) -> Batch:
    return Batch((SampleBlock.scalar("temperature", range(points), [20.5] * points),))


def _put(queue: _Queue, points: int, size: Size, drain: bool) -> Sample:
    """A turn: fill for some time, then empty; one of both is timed."""
    group = [_batch(points)] * UNDER_WAY
    put = 0
    cpu, start = time.process_time(), time.perf_counter()
    while True:
        queue.put(group)
        put += points * UNDER_WAY
        if time.perf_counter() - start > size.seconds / 4:
            break
    filling = Sample(put, time.perf_counter() - start, time.process_time() - cpu)
    taken = 0
    cpu, start = time.process_time(), time.perf_counter()
    while count := queue.take():
        taken += count
    if taken != put:
        raise RuntimeError(f"{put} points went in and {taken} came out")
    emptying = Sample(taken, time.perf_counter() - start, time.process_time() - cpu)
    return emptying if drain else filling


def _put_full(queue: _Ours, size: Size) -> Sample:
    group = [_batch(100)] * UNDER_WAY
    put = 0
    cpu, start = time.process_time(), time.perf_counter()
    while True:
        queue.put(group)
        put += 100 * UNDER_WAY
        if time.perf_counter() - start > size.seconds / 4:
            return Sample(put, time.perf_counter() - start, time.process_time() - cpu)


def _open(folder: Path, turns: Turns, size: Size) -> Sample:
    units = 0
    cpu, start = time.process_time(), time.perf_counter()
    while True:
        _disk(folder, turns, Durability.OS).close()
        units += 1
        if time.perf_counter() - start > size.seconds / 4:
            return Sample(units, time.perf_counter() - start, time.process_time() - cpu)


def turns(size: Size) -> int:
    """How many turns `run` takes."""
    put = 5 if shutil.which(NATS) else 4
    return (len(BATCHES) * (put + 4) + 2 + 2) * (1 + size.rounds)


def run(size: Size, tick: Tick) -> list[Group]:
    """Measure the outbox."""
    with TemporaryDirectory(prefix="txbridge-bench-", dir=Path.cwd()) as name:
        folder, turns = Path(name), Turns()
        return [*_beside_others(folder, turns, size, tick), _when_full(folder, turns, size, tick),
                _opening(folder, turns, size, tick)]  # fmt: skip


def _beside_others(folder: Path, turns: Turns, size: Size, tick: Tick) -> list[Group]:
    queues: dict[str, _Queue] = {
        "a table of SQLite": _Table(folder / "queue.sqlite"),
        "txbridge DiskOutbox, disk": _disk(folder / "disk", turns, Durability.DISK, **PLENTY),
        "txbridge DiskOutbox, os": _disk(folder / "os", turns, Durability.OS, **PLENTY),
        "txbridge MemoryOutbox": _Ours(turns, MemoryOutbox(["there"], turns, **PLENTY)),
    }
    if shutil.which(NATS):
        queues["NATS JetStream"] = _JetStream(folder / "nats")
    try:
        return [
            Group.measure(
                f"{'Out of' if drain else 'Into'} the queue, {points} points a batch",
                "points",
                [
                    Contender(name, partial(_put, queue, points, size, drain))
                    for name, queue in queues.items()
                    if not (drain and isinstance(queue, _JetStream))
                ],
                size.rounds,
                tick,
            )
            for points in BATCHES
            for drain in (False, True)
        ]
    finally:
        for queue in queues.values():
            queue.close()


def _when_full(folder: Path, turns: Turns, size: Size, tick: Tick) -> Group:
    """Nobody takes anything out: one has room, the other drops what is oldest all the time."""
    roomy = _disk(folder / "roomy", turns, Durability.DISK, max_bytes=1 << 33)
    full = _disk(folder / "full", turns, Durability.DISK, max_bytes=FULL_BYTES, on_full=OnFull.DROP_OLDEST)
    while not full.outbox.state().destinations["there"].dropped:
        full.put([_batch(1000)] * UNDER_WAY)
    try:
        contenders = [
            Contender("txbridge DiskOutbox, with room", partial(_put_full, roomy, size)),
            Contender("txbridge DiskOutbox, full", partial(_put_full, full, size)),
        ]
        return Group.measure("Into the queue, nobody reads", "points", contenders, size.rounds, tick)
    finally:
        roomy.close()
        full.close()


def _opening(folder: Path, turns: Turns, size: Size, tick: Tick) -> Group:
    contenders = []
    for nbytes in OPENED:
        path = folder / f"opened-{nbytes}"
        queue = _disk(path, turns, Durability.OS, segment_bytes=1 << 20)
        while queue.outbox.state().nbytes < nbytes * min(1.0, size.seconds):
            queue.put([_batch(1000)] * UNDER_WAY)
        queue.close()
        contenders.append(
            Contender(f"txbridge DiskOutbox of {nbytes >> 20} MiB", partial(_open, path, turns, size))
        )
    return Group.measure("Opening and closing", "times", contenders, size.rounds, tick)
