"""A program that writes to a store until somebody kills it; the test of durability runs it.

For each number on standard input it forks a child and says ``pid <number>``.  The child opens the
store and has eight writers record one point after the other; each point whose Deferred fired is
reported as ``ack <writer> <number>``.  When the child is dead the parent says ``gone``.

It forks because importing takes longer than the writing that is of interest.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from txbridge.hub.sqlite import SqliteStore
from txbridge.model.instants import from_microseconds
from txbridge.model.structures import Datastream

WRITERS = 8
FEED = 1


def say(text: str) -> None:
    """Write a line at once, whole."""
    os.write(1, f"{text}\n".encode())


def write_until_killed(path: Path, first: int) -> None:
    """Record points from this number on."""
    from twisted.internet import defer, reactor, task

    running: Any = reactor

    async def write(store: SqliteStore, writer: int) -> None:
        number = first
        while True:
            now = from_microseconds(number)
            stream = Datastream(current_value=str(number), at=now)
            await store.update_datastream(FEED, f"w{writer}", stream, now, lambda record: None)
            say(f"ack {writer} {number}")
            number += 1

    async def main() -> None:
        store = await SqliteStore.open(path, running)
        writers = [defer.Deferred.fromCoroutine(write(store, writer)) for writer in range(WRITERS)]
        await defer.gatherResults(writers)

    task.react(lambda _: defer.Deferred.fromCoroutine(main()))


if __name__ == "__main__":
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            write_until_killed(Path(sys.argv[1]), int(line))
            os._exit(0)
        say(f"pid {child}")
        os.waitpid(child, 0)
        say("gone")
