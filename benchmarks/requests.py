"""Requests per second of the hub and of the client.

The hub does everything: it looks the key up, checks the document, commits it to the disk before it
answers.  Its peers only read the request and answer.  The clients ask a server that only answers.
"""

from __future__ import annotations

from contextlib import ExitStack
from importlib.util import find_spec

from attrs import define

from benchmarks.harness import Child, Contender, Group, Sample, Size, Tick, child
from benchmarks.load import allow_many_files, drive, request_bytes
from benchmarks.servers import KEY, STREAM

__all__ = ["run", "turns"]

BODY = b'{"current_value":"21.5"}'


def _peers(first: str, ours: str) -> list[str]:
    """The contenders that are installed; aiohttp comes with the extra ``bench``."""
    return [first, *(["aiohttp"] if find_spec("aiohttp") is not None else []), ours]


def turns(size: Size) -> int:
    """How many turns `run` takes."""
    return 3 * len(size.connections) * len(_peers("", "")) * (1 + size.rounds)


@define(eq=False)
class _Server:
    """One that is asked by `drive`."""

    running: Child
    port: int
    path: str

    def turn(self, method: str, connections: int, seconds: float) -> Sample:
        headers = {"X-ApiKey": KEY}
        if method == "PUT":
            headers["Content-Type"] = "application/json"
        request = request_bytes(method, self.path, headers, BODY if method == "PUT" else b"")
        before = self.running.cpu()
        count, taken = drive(self.port, request, connections, seconds)
        return Sample(count, taken, self.running.cpu() - before)


def _run_hub(size: Size, tick: Tick) -> list[Group]:
    """Measure servers."""
    allow_many_files()
    groups = []
    with ExitStack() as running:
        servers = {}
        for name in _peers("twisted.web", "hub"):
            started = running.enter_context(child("benchmarks.servers", name))
            said = started.ask()
            path = f"/v2/feeds/{said.get('feed', 1)}/datastreams/{STREAM}.json"
            servers[name] = _Server(started, said["port"], path)
        for method in ("PUT", "GET"):
            for connections in size.connections:

                def contender(name: str, method: str = method, connections: int = connections) -> Contender:
                    what = "txbridge hub, durable" if name == "hub" else f"{name}, only answers"
                    return Contender(what, lambda: servers[name].turn(method, connections, size.seconds))

                title = f"Server: {method} current value, {connections} connections"
                groups.append(
                    Group.measure(title, "requests", [contender(name) for name in servers], size.rounds, tick)
                )
    return groups


def _run_client(size: Size, tick: Tick) -> list[Group]:
    """Measure clients."""
    groups = []
    with ExitStack() as running:
        port = running.enter_context(child("benchmarks.servers", "answers")).ask()["port"]
        clients = {
            name: running.enter_context(child("benchmarks.clients", name, str(port)))
            for name in _peers("agent", "txbridge")
        }
        for connections in size.connections:

            def contender(name: str, connections: int = connections) -> Contender:
                what = {"agent": "twisted.web Agent, sized pool", "txbridge": "txbridge Client"}.get(
                    name, name
                )
                return Contender(
                    what, lambda: Sample(**clients[name].ask(f"{connections} {size.seconds / 2}"))
                )

            title = f"Client: PUT current value, {connections} connections"
            groups.append(
                Group.measure(title, "requests", [contender(name) for name in clients], size.rounds, tick)
            )
    return groups


def run(size: Size, tick: Tick) -> list[Group]:
    """Measure servers and clients."""
    return [*_run_hub(size, tick), *_run_client(size, tick)]
