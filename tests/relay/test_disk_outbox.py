"""The outbox on a disk keeps the contract, and what it accepted outlives it."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from random import Random

import pytest
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock

from tests.contract.outbox import PLENTY, ListLedger, OutboxContract, ats_of, batch_of
from tests.support.deferreds import fired, result_of, waits
from tests.support.files import FaultyFiles
from tests.support.workers import StepWorker
from txbridge.errors import OutboxError
from txbridge.model.samples import Batch, Cursor
from txbridge.relay.disk_outbox import DiskOutbox
from txbridge.relay.roles import Durability, Loss

FOLDER = Path("/outbox")
SEGMENT = 4096


def open_disk(path, destinations, clock, **options):
    """Open an outbox without threads."""
    options = {"segment_bytes": SEGMENT, "writer": StepWorker(), "reader": StepWorker(), **options}
    return result_of(DiskOutbox.open(path, destinations, clock, **options))


class TestDiskOutbox(OutboxContract):
    """The contract, on a disk in memory."""

    folders = count()

    def keeps_nothing(self, outbox):
        return outbox.state().nbytes <= SEGMENT  # the segment that is written to

    def make(self, destinations, clock, **options):
        return open_disk(FOLDER, destinations, clock, files=FaultyFiles(), **options)


class TestDiskOutboxInAFolder(TestDiskOutbox):
    """The contract, in a real folder; what is synced there is not the point."""

    examples = 10

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        self.folder = tmp_path

    def make(self, destinations, clock, **options):
        folder = self.folder / str(next(self.folders))
        return open_disk(folder, destinations, clock, durability=Durability.OS, **options)


class Ledger(ListLedger):
    """A ledger that can fail."""

    def __init__(self):
        super().__init__([])
        self.losses: list[Loss] = []
        self.fails = False

    def record(self, losses):
        if self.fails:
            raise OutboxError("the ledger cannot be written")
        self.losses.extend(losses)
        return super().record(losses)


class Bench:
    """A disk, and an outbox on it that can be opened again."""

    def __init__(self, destinations=("a",), **options):
        self.files = FaultyFiles()
        self.clock = Clock()
        self.clock.advance(1_000_000)
        self.ledger = Ledger()
        self.destinations = destinations
        self.options = options
        self.outbox = self.open()

    def open(self, *destinations, **options):
        self.destinations = destinations or self.destinations
        self.outbox = open_disk(
            FOLDER,
            self.destinations,
            self.clock,
            files=self.files,
            ledger=self.ledger,
            **{**self.options, **options},
        )
        return self.outbox

    def reopen(self, *destinations, **options):
        fired(self.outbox.close())
        return self.open(*destinations, **options)

    def kill(self, *destinations, **options):
        self.files.kill()
        return self.open(*destinations, **options)

    def append(self, *ats, **options):
        fired(self.outbox.append(batch_of(*ats, **options)))

    def peek(self, destination="a", **limits):
        return result_of(self.outbox.peek(destination, **{**PLENTY, **limits}))

    def settle(self, destination="a", **limits):
        fired(self.outbox.settle(destination, self.peek(destination, **limits)))

    def rest(self, destination="a"):
        """Take everything that is left."""
        ats = []
        while self.outbox.state().destinations[destination].points:
            pending = self.peek(destination)
            ats += ats_of(pending.batch)
            fired(self.outbox.settle(destination, pending))
        return ats

    def file(self, pattern, index=0):
        return self.files.paths(pattern)[index]


def test_what_was_accepted_is_there_after_a_restart():
    bench = Bench()
    for at in range(100):
        bench.append(at, cursor=at)
    bench.settle(max_points=30)
    outbox = bench.reopen()
    assert outbox.cursor == Cursor(99)
    assert outbox.state().destinations["a"].points == 70
    assert bench.rest() == list(range(30, 100))


@pytest.mark.parametrize("cut", [False, True])
def test_what_was_accepted_is_there_after_a_sudden_end(cut):
    for seed in range(30):
        bench = Bench()
        for at in range(seed * 3):
            bench.append(at, cursor=at)
        if cut:
            bench.files.power_cut(Random(seed))
        outbox = bench.kill()
        assert outbox.cursor == (Cursor(seed * 3 - 1) if seed else None)
        assert bench.rest() == list(range(seed * 3))
        assert bench.ledger.losses == []


def test_a_cursor_alone_is_kept():
    bench = Bench()
    fired(bench.outbox.append(Batch(cursor=Cursor(7))))
    bench.files.power_cut(Random(1))
    assert bench.kill().cursor == Cursor(7)
    assert waits_for_nothing(bench.outbox)


def waits_for_nothing(outbox):
    waiting = outbox.peek("a", **PLENTY)
    waits_now = waits(waiting)
    waiting.cancel()
    waiting.addErrback(lambda failure: failure.trap(CancelledError))
    return waits_now


def test_what_comes_while_the_places_are_written_is_not_forgotten():
    writer = StepWorker()
    bench = Bench(writer=writer)
    bench.append(1)
    bench.settle()
    writer.hold()
    bench.clock.advance(5)
    assert writer.waiting == 1
    appended = bench.outbox.append(batch_of(2))
    writer.release()
    fired(appended)


async def test_threads_answer_at_once(tmp_path):
    from twisted.internet import reactor, task

    outbox = await DiskOutbox.open(tmp_path, ["a"], reactor)
    started = reactor.seconds()
    for at in range(5):
        peeked = outbox.peek("a", **PLENTY)
        await outbox.append(batch_of(at))
        pending = await peeked
        assert ats_of(pending.batch) == [at]
        await outbox.settle("a", pending)
        await task.deferLater(reactor, 0)
    await outbox.close()
    assert reactor.seconds() - started < 4  # far less than the time after which it looks anyway
