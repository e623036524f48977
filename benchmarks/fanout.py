"""Deliveries per second of one datastream's updates to many WebSocket subscribers.

Both servers are told to publish by this process, which is also all of the subscribers, and are told
again when everything has arrived.  The peer sends a text that is there already; the hub looks at
each subscription and encodes every update.  Storing is not part of it: that is in the requests.
"""

from __future__ import annotations

import json
import time
from contextlib import ExitStack

from benchmarks.harness import Child, Contender, Group, Sample, Size, Tick, child
from benchmarks.load import Subscribers, allow_many_files
from benchmarks.servers import KEY, STREAM

__all__ = ["run", "turns"]

MOST_UPDATES = 256  # at once; a subscriber's queue in the hub holds 1000
MOST_DELIVERIES = 20_000  # at once


def turns(size: Size) -> int:
    """How many turns `run` takes."""
    return 2 * len(size.subscribers) * (1 + size.rounds)


def _frame_length(payload: bytes) -> int:
    return len(payload) + (2 if len(payload) < 126 else 4)


def _publish_one(server: Child, subscribers: Subscribers) -> bytes:
    """Publish one update, and give it as it arrived at everybody.

    Raises:
        RuntimeError: It did not arrive the same everywhere.
    """
    server.ask("publish 1")
    messages = subscribers.read_messages()
    if len(messages) != 1:
        raise RuntimeError(f"subscribers were sent {len(messages)} different updates")
    return messages.pop()


def _contender(name: str, server: Child, subscribers: Subscribers, number: int, seconds: float) -> Contender:
    length = _frame_length(_publish_one(server, subscribers))
    burst = max(1, min(MOST_UPDATES, MOST_DELIVERIES // number))

    def turn() -> Sample:
        updates = 0
        cpu, start = server.cpu(), time.perf_counter()
        while True:
            server.tell(f"publish {burst}")
            subscribers.receive(burst * length)
            server.answer()
            updates += burst
            now = time.perf_counter()
            if now - start >= seconds:
                return Sample(updates * number, now - start, server.cpu() - cpu)

    return Contender(name, turn)


def run(size: Size, tick: Tick) -> list[Group]:
    """Measure both servers with each number of subscribers."""
    allow_many_files()
    groups = []
    with ExitStack() as running:
        hub = running.enter_context(child("benchmarks.servers", "hub"))
        said = hub.ask()
        hello = json.dumps(
            {
                "method": "subscribe",
                "resource": f"/feeds/{said['feed']}/datastreams/{STREAM}",
                "headers": {"X-ApiKey": KEY},
                "token": "one",
            }
        ).encode()
        with Subscribers(said["port"], 1, hello) as one:
            payload = len(_publish_one(hub, one))
        peer = running.enter_context(child("benchmarks.servers", "autobahn", str(payload)))
        peer_port = peer.ask()["port"]
        for number in size.subscribers:
            with (
                Subscribers(peer_port, number) as theirs,
                Subscribers(said["port"], number, hello) as ours,
            ):
                contenders = [
                    _contender("autobahn, sendMessage in a loop", peer, theirs, number, size.seconds),
                    _contender("txbridge hub", hub, ours, number, size.seconds),
                ]
                title = f"Fan-out of {payload} bytes to {number} subscribers"
                groups.append(Group.measure(title, "deliveries", contenders, size.rounds, tick))
    return groups
