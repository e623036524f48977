"""Kills a writer of an outbox at random points of its work with the disk, again and again.

Run as a program: ``killed_outbox.py FOLDER KILLS SEED``.  Everything is imported once; each writer is
a fork that works on the same folder and sends itself SIGKILL before, after, or in the middle of the
so-and-so-many-th call of the file system.  What it was told to be accepted, and what it settled, it
has written to a pipe before.  After each death the next writer opens what is left.  At the end the
account is printed as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import sys
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.task import Clock

from tests.support.deferreds import fired, result_of
from tests.support.workers import StepWorker
from txbridge.model.samples import Batch, Cursor, SampleBlock
from txbridge.relay.disk_outbox import DiskOutbox
from txbridge.relay.files import RealFiles
from txbridge.relay.ledger import LedgerFilter, MemoryLedger
from txbridge.relay.roles import Durability

ACCEPTED, SETTLED, BEGUN = b"a", b"s", b"b"
WORDS = struct.Struct("<cq")


class _DeadlyFile:
    def __init__(self, files: DeadlyFiles, file: Any) -> None:
        self._files = files
        self._file = file

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._file, name)
        if name not in ("write", "sync", "truncate"):
            return method

        def call(*arguments: Any) -> Any:
            if self._files.dies_now():
                how = self._files.random.random()
                if name == "write" and how < 0.5:  # in the middle
                    offset, pieces = arguments
                    data = b"".join(pieces)
                    method(offset, [data[: int(len(data) * how * 2)]])
                elif how < 0.75:
                    method(*arguments)
                os.kill(os.getpid(), signal.SIGKILL)
            return method(*arguments)

        return call


class DeadlyFiles:
    """The real file system, until it is time to die."""

    def __init__(self, random: Random, calls: int) -> None:
        self.random = random
        self._real = RealFiles()
        self._left = calls

    def dies_now(self) -> bool:
        self._left -= 1
        return self._left == 0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._real, name)

        def call(*arguments: Any, **named: Any) -> Any:
            if name in ("create", "rename", "remove", "sync_folder") and self.dies_now():
                if self.random.random() < 0.5:
                    method(*arguments, **named)
                os.kill(os.getpid(), signal.SIGKILL)
            result = method(*arguments, **named)
            return _DeadlyFile(self, result) if name in ("create", "open") else result

        return call


def open_outbox(folder: Path, files: Any, ledger: MemoryLedger, clock: Clock) -> DiskOutbox:
    return result_of(
        DiskOutbox.open(
            folder,
            ["cloud"],
            clock,
            files=files,
            ledger=ledger.route("r"),
            segment_bytes=4096,
            max_bytes=1 << 20,
            durability=Durability.OS,
            writer=StepWorker(),
            reader=StepWorker(),
        )
    )


def work(folder: Path, first: int, random: Random, calls: int, pipe: int) -> None:
    """Append and settle until death comes."""
    clock = Clock()
    clock.advance(1_000_000 + first)
    outbox = open_outbox(folder, DeadlyFiles(random, calls), MemoryLedger(), clock)
    number = first
    while True:
        rows = list(range(number, number + random.randint(1, 20)))
        os.write(pipe, WORDS.pack(BEGUN, rows[-1]))
        fired(outbox.append(Batch((SampleBlock.scalar("s", rows, rows),), cursor=Cursor(rows[-1]))))
        os.write(pipe, WORDS.pack(ACCEPTED, rows[-1]))
        number = rows[-1] + 1
        if random.random() < 0.5:
            pending = result_of(outbox.peek("cloud", max_points=random.randint(1, 80), max_bytes=1 << 20))
            last = int(pending.batch.blocks[-1].at[-1])
            os.write(pipe, WORDS.pack(SETTLED, last))
            fired(outbox.settle("cloud", pending))
        clock.advance(random.random())


def main(folder: Path, kills: int, seed: int) -> dict[str, Any]:
    random = Random(seed)
    accepted = settled = -1
    died = duplicates = 0
    missing: list[int] = []
    for _ in range(kills):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.close(reader)
                work(folder, accepted + 1, random, random.randint(1, 60), writer)
            finally:
                os._exit(1)
        os.close(writer)
        with open(reader, "rb") as told:
            data = told.read()
        _, status = os.waitpid(child, 0)
        died += os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        begun = accepted
        for kind, number in WORDS.iter_unpack(data):
            if kind == ACCEPTED:
                accepted = number
            elif kind == BEGUN:
                begun = number
            else:
                settled = max(settled, number)
        # Who writes next sees the same as a relay that starts again: everything accepted and not settled.
        ledger = MemoryLedger()
        clock = Clock()
        clock.advance(1_000_000 + accepted)
        outbox = open_outbox(folder, RealFiles(), ledger, clock)
        found: list[int] = []
        if outbox.state().destinations["cloud"].points:
            pending = result_of(outbox.peek("cloud", max_points=1 << 30, max_bytes=1 << 40))
            found = [int(at) for block in pending.batch.blocks for at in block.at]
        cursor = -1 if outbox.cursor is None else int(outbox.cursor.value)
        fired(outbox.close())
        written_down = {
            at
            for row in result_of(ledger.read(LedgerFilter(), limit=10_000))
            for at in range(row.start_ns, row.end_ns + 1)
        }
        missing += [
            at for at in range(settled + 1, accepted + 1) if at not in found and at not in written_down
        ]
        duplicates += sum(at <= settled for at in found)
        if found != sorted(set(found)) or not accepted <= cursor <= begun:
            raise AssertionError(f"found {found}, accepted {accepted}, begun {begun}, cursor {cursor}")
        # What was written and not told to be accepted is the outbox's all the same.
        accepted = max(accepted, cursor)
    return {"kills": died, "accepted": accepted + 1, "missing": missing, "sent_again": duplicates}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))))  # noqa: T201 - a program
