"""Ten thousand feeds of ten datastreams, with ever more history: what questions take, and whether it grows.

Three hubs, each the program itself in a process of its own, are asked the same over HTTP.  They differ in how
much history they have (see `benchmarks.scale_store`): a ratio of 1 says that a hundred times the history
changes nothing.  ``ms`` is what one answer takes on one connection.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlencode

import psutil
from attrs import define, frozen

from benchmarks.harness import Contender, Group, Sample, Size, Tick
from benchmarks.load import drive, request_bytes
from benchmarks.scale_store import MONTH, STREAMS, Made, deepen, make
from benchmarks.servers import KEY
from txbridge.hub.auth import OWNER

__all__ = ["DEPTHS", "run", "turns"]

DEPTHS = (1, 10, 100)  # points of each datastream of the many feeds
PART = 0.2  # of the size's seconds for each question, because there are many
START_SECONDS = 60.0  # a hub that is silent for longer is broken
WRITERS = 16
LITTLE = 0.05  # seconds after which what is asked meanwhile looks whether it is still wanted


@frozen
class _Question:
    """A request.

    Attributes:
        title: What is asked.
        request: Its bytes.
        connections: How many ask it at once.
        beside: Another request that is made all the while and not counted.
        beside_connections: How many make that.
    """

    title: str
    request: bytes
    connections: int = 1
    beside: bytes = b""
    beside_connections: int = 1


def _get(path: str, **parameters: object) -> bytes:
    query = f"?{urlencode(parameters)}" if parameters else ""
    return request_bytes("GET", f"{path}{query}", {"X-ApiKey": KEY})


def _send(method: str, path: str, document: object) -> bytes:
    headers = {"X-ApiKey": KEY, "Content-Type": "application/json"}
    return request_bytes(method, path, headers, json.dumps(document).encode())


def _lists(made: Made) -> list[_Question]:
    listed = partial(_get, "/v2/feeds.json")
    last = made.feeds // 50
    return [
        _Question("List of feeds, the first 50", listed()),
        _Question("List of feeds, the last 50", listed(page=max(1, last))),
        _Question("List of feeds, the first 50 without datastreams", listed(content="summary")),
        _Question("Search for a text, in one feed of 250", listed(q="street 1")),
        _Question("Search for a text that is nowhere", listed(q="xyzzy")),
        _Question("Search for a datastream's id, in every feed", listed(q="sensor7")),
        _Question("Search for a tag", listed(tag="street1")),
        _Question("Search for a datastream's tag, in every feed", listed(tag="kind3")),
        _Question("Search for a user", listed(user=OWNER)),
        _Question("Search for a unit", listed(units="Celsius")),
        _Question("Search around a place", listed(lat=10, lon=20, distance=500)),
        _Question("Search for what is live", listed(status="live")),
    ]


def _reads(made: Made) -> list[_Question]:
    many, wide = f"/v2/feeds/{max(1, made.feeds // 2)}", f"/v2/feeds/{made.wide}"
    long, dense = (f"/v2/feeds/{feed}/datastreams/sensor0" for feed in (made.long, made.dense))
    start, end = (made.end - MONTH).isoformat(), made.end.isoformat()
    month = {"start": start, "end": end, "interval": 3600, "limit": 1000}
    averages = {**month, "function": "average"}
    ask = {
        "range": {"from": start, "to": end},
        "maxDataPoints": 1000,
        "targets": [{"target": f"{made.long}/sensor0"}],
    }
    questions = [
        _Question("Last values of a feed, JSON", _get(f"{many}.json")),
        _Question("Last values of a feed, CSV", _get(f"{many}.csv")),
        _Question("Last value of the longest datastream, JSON", _get(f"{long}.json")),
        _Question("Last value of the longest datastream, CSV", _get(f"{long}.csv")),
        _Question("A month at interval 3600, ten datastreams, JSON", _get(f"{wide}.json", **month)),
        _Question("A month at interval 3600, ten datastreams, CSV", _get(f"{wide}.csv", **month)),
        _Question("A month at interval 3600, the longest, JSON", _get(f"{long}.json", **month)),
        _Question("The same with find_previous", _get(f"{long}.json", **month, find_previous="true")),
        _Question("The same, discrete", _get(f"{long}.json", **month, interval_type="discrete")),
        _Question("The same, averages", _get(f"{long}.json", **averages)),
        _Question("A month at interval 3600, the densest, JSON", _get(f"{dense}.json", **month)),
        _Question("The same, averages, of ever more points", _get(f"{dense}.json", **averages)),
        _Question("A month of the longest for Grafana", _send("POST", "/grafana/query", ask)),
    ]
    if find_spec("matplotlib") is not None:
        picture = _get(f"{long}.png", start=start, end=end)
        questions.append(_Question("A picture of a month of the longest, drawn before", picture))
    return questions


def _writes(made: Made) -> list[_Question]:
    feed = f"/v2/feeds/{max(1, made.feeds // 3)}.json"
    one = _send("PUT", f"/v2/feeds/{made.long}/datastreams/sensor0.json", {"current_value": "21.5"})
    ten = [{"id": f"sensor{index}", "current_value": "21.5"} for index in range(STREAMS)]
    month = {"duration": "31days", "interval": 3600, "limit": 1000}
    reading = _get(f"/v2/feeds/{made.wide}.json", **month)
    walking = _get(f"/v2/feeds/{made.dense}/datastreams/sensor0.json", **month, function="average")
    return [
        _Question("PUT of a value into the longest", one),
        _Question("PUT of ten values into a feed", _send("PUT", feed, {"datastreams": ten})),
        _Question(f"PUT of a value, {WRITERS} at once", one, WRITERS),
        _Question("The same while a month of ten datastreams is read", one, WRITERS, reading),
        _Question("The same while averages of the densest are read", one, WRITERS, walking),
        _Question(f"A month of ten datastreams while {WRITERS} write", reading, 1, one, WRITERS),
    ]


@define(eq=False)
class _Hub:
    """The program, with a store that has so many points."""

    folder: Path
    name: str
    _process: subprocess.Popen[str] | None = None
    port: int = 0

    def start(self) -> float:
        """Start it; gives how many seconds passed until it listened."""
        command = [sys.executable, "-m", "txbridge", "hub", "--data", str(self.folder)]
        start = time.perf_counter()
        self._process = subprocess.Popen(
            [*command, "--listen", "tcp:0:interface=127.0.0.1", "--relay-state", str(self.folder / "none")],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        overdue = threading.Timer(START_SECONDS, self._process.kill)
        overdue.start()
        address = self._process.stdout.readline()
        overdue.cancel()
        if "listening on" not in address:
            raise RuntimeError(f"the hub ended with {self._process.wait()}")
        self.port = int(address.rpartition(":")[2].strip("/\n"))
        return time.perf_counter() - start

    def end(self, how: signal.Signals) -> None:
        """End it."""
        if self._process is None:
            return
        self._process.send_signal(how)
        self._process.wait(START_SECONDS)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None

    @property
    def seen(self) -> psutil.Process:
        """What the system says of it."""
        assert self._process is not None
        return psutil.Process(self._process.pid)

    def cpu(self) -> float:
        """The CPU seconds it has used, in all its threads."""
        times = self.seen.cpu_times()
        return times.user + times.system

    def answer(self, question: _Question, seconds: float) -> Sample:
        """A turn."""
        with _meanwhile(self.port, question.beside, question.beside_connections):
            before = self.cpu()
            count, taken = drive(self.port, question.request, question.connections, seconds)
            milliseconds = 1000 * taken * question.connections / count
            return Sample(count, taken, self.cpu() - before, {"ms": milliseconds})

    def restart(self) -> Sample:
        """A turn of being killed and started."""
        self.end(signal.SIGKILL)
        taken = self.start()
        return Sample(1, taken, self.cpu(), {"ms": 1000 * taken, "MiB": self.seen.memory_info().rss / 2**20})


@contextmanager
def _meanwhile(port: int, request: bytes, connections: int) -> Iterator[None]:
    """Make a request again and again, unless it is empty."""
    stopped = threading.Event()

    def ask() -> None:
        while request and not stopped.is_set():
            drive(port, request, connections, LITTLE)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield
    finally:
        stopped.set()
        asking.join()


def _questions(made: Made) -> list[_Question]:
    return [*_lists(made), *_reads(made), *_writes(made)]


def turns(size: Size) -> int:
    """How many turns `run` takes."""
    questions = len(_questions(Made(size.feeds, 1, 2, 3, datetime.now(UTC))))
    return len(DEPTHS) * (1 + (questions + 1) * (1 + size.rounds))


def run(size: Size, tick: Tick) -> list[Group]:
    """Make the stores, and ask everything of each."""
    with TemporaryDirectory(prefix="txbridge-bench-") as made_in, ExitStack() as running:
        folder = Path(made_in)
        (folder / "base").mkdir()
        made = make(folder / "base", size.feeds)
        hubs = []
        for depth in DEPTHS:
            tick(f"making {size.feeds * STREAMS * depth:,} datapoints and more")
            points = deepen(folder / "base", folder / f"{depth}", made, depth)
            hub = _Hub(folder / f"{depth}", f"txbridge hub, {points:,} datapoints")
            hub.start()
            running.callback(hub.end, signal.SIGTERM)
            hubs.append(hub)
        seconds = size.seconds * PART
        groups = []
        for question in _questions(made):
            contenders = [Contender(hub.name, partial(hub.answer, question, seconds)) for hub in hubs]
            groups.append(Group.measure(question.title, "answers", contenders, size.rounds, tick))
        starts = [Contender(hub.name, hub.restart) for hub in hubs]
        groups.append(Group.measure("Being killed, and listening again", "starts", starts, size.rounds, tick))
        return groups
