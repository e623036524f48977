"""The outbox on a disk keeps the contract, and what it accepted outlives it."""

from __future__ import annotations

import os
from itertools import count, pairwise
from pathlib import Path
from random import Random
from threading import enumerate as enumerate_threads

import pytest
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock

from tests.contract.outbox import PLENTY, ListLedger, OutboxContract, ats_of, batch_of
from tests.support.deferreds import fired, result_of, waits
from tests.support.files import FaultyFiles
from tests.support.workers import StepWorker
from txbridge.errors import Closed, EncodeError, OutboxError
from txbridge.model.samples import Batch, Cursor, Gap, StreamInfo
from txbridge.relay.disk_outbox import PLACES_ROOM, DiskOutbox
from txbridge.relay.roles import Durability, Loss, LossKind, OnFull

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
        if self.error is None:
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


def fill(bench, count=100, rows=1, **options):
    """Accept batches of one stream; about 25 one-row records come into a segment of the bench."""
    for number in range(count):
        bench.append(*range(number * rows, (number + 1) * rows), **options)


def lost_by(bench, destination="a"):
    """What the ledger has: (kind, stream, from, to, points)."""
    return [
        (loss.kind, loss.gap.stream, loss.gap.start_ns, loss.gap.end_ns, loss.gap.points)
        for loss in bench.ledger.losses
        if loss.destination == destination
    ]


# What is damaged.


def test_a_damaged_body_is_told_by_stream_and_the_rest_is_read():
    bench = Bench()
    fill(bench, 10)
    body = bench.files.content(bench.file("*.seg")).index(b"TXB", 1000)
    bench.files.flip(bench.file("*.seg"), 8 * body)
    bench.peek()
    ((kind, stream, start, end, points),) = lost_by(bench)
    assert (kind, stream, end, points) == (LossKind.CORRUPTION, "s", start, 1)
    pending = bench.peek()
    assert ats_of(pending.batch) == [at for at in range(10) if at != start]
    assert [(gap.start_ns, gap.points) for gap in pending.batch.gaps] == [(start, 1)]
    assert bench.outbox.state().destinations["a"].dropped == 1


@pytest.mark.parametrize("restart", [False, True])
def test_a_damaged_head_is_told_by_what_the_summary_has_and_no_record_has(restart):
    bench = Bench()
    fill(bench, 10)
    if restart:
        bench.reopen()
    head = bench.files.content(bench.file("*.seg")).index(b"TXR1", 1000)
    bench.files.flip(bench.file("*.seg"), 8 * (head + 20))
    assert len(bench.rest()) == 9
    assert lost_by(bench) == [(LossKind.CORRUPTION, "s", 0, 9, 1)]


def test_several_damaged_heads_are_told_together_once():
    bench = Bench(("a", "b"))
    fill(bench, 10)
    content = bench.files.content(bench.file("*.seg"))
    starts = [at for at in range(0, len(content), 8) if content[at : at + 4] == b"TXR1"]
    bench.settle("b", max_points=4)
    for row in (2, 6, 7):
        bench.files.flip(bench.file("*.seg"), 8 * (starts[row] + 20))
    assert len(bench.rest()) == 7
    assert len(bench.rest("b")) == 4
    assert lost_by(bench) == [(LossKind.CORRUPTION, "s", 0, 9, 3)]
    assert lost_by(bench, "b") == [(LossKind.CORRUPTION, "s", 0, 9, None)]


def test_a_segment_that_is_deleted_is_told_by_its_summary():
    bench = Bench(("a", "b"))
    fill(bench)
    bench.settle("b", max_points=5)
    bench.files.delete(bench.file("*.seg"))
    rest = bench.rest()
    assert rest == list(range(rest[0], 100))
    assert lost_by(bench) == [(LossKind.CORRUPTION, "s", 0, rest[0] - 1, rest[0])]
    assert bench.rest("b") == rest
    # Which of the points "b" had already nobody can tell, but from where to where, and that they are fewer.
    assert lost_by(bench, "b") == [(LossKind.CORRUPTION, "s", 0, rest[0] - 1, None)]


def test_a_segment_that_is_deleted_while_the_relay_was_off_is_told_by_its_summary():
    bench = Bench()
    fill(bench)
    fired(bench.outbox.close())
    bench.files.delete(bench.file("*.seg", 1))
    bench.open()
    rest = bench.rest()
    missing = sorted(set(range(100)) - set(rest))
    assert lost_by(bench) == [(LossKind.CORRUPTION, "s", missing[0], missing[-1], len(missing))]


def test_a_segment_that_is_deleted_with_its_summary_is_told_without_a_name():
    bench = Bench()
    fill(bench)
    before = bench.clock.seconds()
    bench.clock.advance(100)
    fired(bench.outbox.close())
    for kind in ("seg", "sum"):
        bench.files.delete(bench.file(f"*.{kind}", 1))
    bench.open()
    rest = bench.rest()
    assert rest[0] == 0
    assert rest[-1] == 99
    ((kind, stream, start, end, points),) = lost_by(bench)
    assert (kind, stream, points) == (LossKind.CORRUPTION, "*", None)
    assert start <= before * 1e9 <= end


def test_a_deleted_summary_is_made_again():
    bench = Bench()
    fill(bench)
    fired(bench.outbox.close())
    for path in bench.files.paths("*.sum"):
        bench.files.delete(path)
    bench.open()
    assert len(bench.files.paths("*.sum")) == len(bench.files.paths("*.seg"))
    assert bench.rest() == list(range(100))
    assert bench.ledger.losses == []


def test_with_places_that_cannot_be_read_everything_that_is_kept_is_sent_again():
    bench = Bench()
    fill(bench, 30)
    bench.settle(max_points=10)
    fired(bench.outbox.close())
    for path in bench.files.paths("places-*"):
        bench.files.flip(path, 100)
    outbox = bench.open()
    assert outbox.cursor is None
    assert bench.rest() == list(range(30))
    assert [(loss.destination, loss.gap.stream) for loss in bench.ledger.losses] == [("", "*")]


def test_one_damaged_slot_of_the_places_is_no_more_than_a_lost_settle():
    for index in (0, 1):
        bench = Bench()
        fill(bench, 30, cursor=1)
        bench.settle(max_points=10)
        fired(bench.outbox.close())
        bench.files.flip(bench.file("places-*", index), 100)
        assert bench.open().cursor == Cursor(1)
        assert bench.rest() in (list(range(30)), list(range(10, 30)))
        assert bench.ledger.losses == []


def test_an_unfinished_record_at_the_end_does_not_hide_the_others():
    bench = Bench()
    fill(bench, 5)
    path = bench.file("*.seg")
    content = bench.files.content(path)
    last = content.rindex(b"TXR1")
    bench.files.cut(path, last + 70)
    bench.kill()
    assert bench.rest() == [0, 1, 2, 3]
    assert [one[:2] for one in lost_by(bench)] == [(LossKind.CORRUPTION, "*")]
    bench.append(9)
    assert bench.rest() == [9]


def test_what_cannot_be_read_for_a_moment_is_not_lost():
    bench = Bench()
    fill(bench, 5)
    bench.files.fail("read", times=2)
    with pytest.raises(OutboxError, match="cannot be read"):
        bench.peek()
    assert bench.rest() == list(range(5))
    assert bench.ledger.losses == []


def test_what_cannot_be_read_for_good_is_lost_and_told():
    bench = Bench()
    fill(bench, 1)
    bench.files.fail("read", times=100)
    for _ in range(2):
        with pytest.raises(OutboxError, match="cannot be read"):
            bench.peek()
    pending = bench.peek()
    assert (pending.batch.points, len(pending.batch.gaps)) == (0, 1)
    assert lost_by(bench) == [(LossKind.CORRUPTION, "s", 0, 0, 1)]


def test_a_loss_that_the_ledger_cannot_be_told_is_found_again():
    bench = Bench()
    fill(bench, 3)
    bench.files.delete(bench.file("*.seg"))
    bench.ledger.fails = True
    with pytest.raises(OutboxError, match="ledger"):
        bench.peek()
    assert bench.outbox.state().destinations["a"].points == 3
    bench.ledger.fails = False
    assert bench.peek().batch.gaps == (Gap("s", 0, 2, "it could not be read back from the outbox", 3),)
    assert bench.outbox.state().destinations["a"].points == 0


# What fails.


def test_a_full_disk_fails_the_append_and_mends_by_itself():
    bench = Bench()
    fill(bench, 10)
    bench.files.capacity = bench.files.used
    accepted = 10
    while bench.outbox.append(batch_of(accepted)).addErrback(lambda failure: failure.value).result is None:
        accepted += 1
    with pytest.raises(OutboxError, match="No space"):
        bench.append(1000)
    assert accepted > 11  # what there was room for was accepted
    bench.files.mend()
    bench.append(2000, cursor=5)
    assert bench.kill().cursor == Cursor(5)
    assert bench.rest() == [*range(accepted), 2000]
    assert bench.ledger.losses == []


@pytest.mark.parametrize("on_full", [OnFull.DROP_OLDEST, OnFull.DECIMATE])
def test_a_full_disk_is_a_cap_for_whoever_may_drop(on_full):
    bench = Bench(on_full=on_full)
    fill(bench, 60)
    bench.files.capacity = bench.files.used
    for at in range(60, 500):
        bench.append(at)
    rest = bench.rest()
    assert rest == list(range(rest[0], 500))
    assert sum(points for *_, points in lost_by(bench)) == rest[0]


@pytest.mark.parametrize("operation", ["write", "sync"])
def test_a_failed_write_is_not_there_and_the_outbox_goes_on(operation):
    bench = Bench()
    fill(bench, 5)
    bench.files.fail(operation)
    with pytest.raises(OutboxError, match="cannot write"):
        bench.append(99)
    bench.append(5)
    assert bench.rest() == list(range(6))
    fill(bench, 5)
    bench.files.fail(operation)
    with pytest.raises(OutboxError):
        bench.append(99)
    bench.kill()
    assert set(bench.rest()) <= {*range(5), 99}  # what failed may be there, what did not is


def test_a_tail_that_cannot_be_cut_off_stops_new_segments_until_it_can():
    bench = Bench()
    fill(bench, 5)
    bench.files.fail("sync")
    bench.files.fail("truncate", times=2)
    for _ in range(2):
        with pytest.raises(OutboxError):
            bench.append(99)
    bench.append(5)
    assert bench.rest() == list(range(6))


def test_places_that_cannot_be_written_keep_what_is_settled():
    bench = Bench()
    fill(bench)
    files = len(bench.files.paths("*.seg"))
    bench.files.fail("write", times=1)
    pending = bench.peek(max_points=60)
    fired(bench.outbox.settle("a", pending))
    assert len(bench.files.paths("*.seg")) == files
    bench.clock.advance(5)
    bench.append(100)
    assert len(bench.files.paths("*.seg")) < files
    assert bench.rest() == list(range(60, 101))


def test_one_process_has_it(tmp_path):
    bench = Bench()
    with pytest.raises(OutboxError, match="process 1 uses it"):
        open_disk(FOLDER, ["a"], bench.clock, files=bench.files)
    one = open_disk(tmp_path, ["a"], bench.clock)
    with pytest.raises(OutboxError, match=f"process {os.getpid()} uses it"):
        open_disk(tmp_path, ["a"], bench.clock)
    fired(one.close())
    fired(open_disk(tmp_path, ["a"], bench.clock).close())


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"max_bytes": 4095}, "bytes"),
        ({"max_points": 0}, "points"),
        ({"max_age": 0.0}, "longer"),
        ({"durability": Durability.NONE}, "MemoryOutbox"),
    ],
)
def test_what_keeps_nothing_is_refused(options, word):
    with pytest.raises(ValueError, match=word):
        open_disk(FOLDER, ["a"], Clock(), files=FaultyFiles(), **options)


# What is settled, and by whom.


def test_a_settle_that_was_not_written_down_sends_again():
    bench = Bench()
    fill(bench, 10)
    bench.settle(max_points=5)
    bench.kill()
    assert bench.rest() == list(range(10))
    fill(bench, 10)
    bench.settle(max_points=5)
    bench.clock.advance(5)  # by now it is
    bench.kill()
    assert bench.rest() == list(range(5, 10))


def test_a_segment_goes_when_everybody_has_settled_it_and_not_before():
    bench = Bench(("a", "b"))
    fill(bench)
    files = len(bench.files.paths("*.seg"))
    assert files > 3
    bench.rest("a")
    assert len(bench.files.paths("*.seg")) == files
    bench.rest("b")
    assert len(bench.files.paths("*.seg")) == 1
    assert bench.kill().state().points == 0
    assert bench.ledger.losses == []


def test_what_was_settled_out_of_order_stays_settled():
    bench = Bench()
    fill(bench, 50)
    bench.settle(max_points=5, newest=True)
    bench.settle(max_points=5)
    bench.reopen()
    assert bench.outbox.state().destinations["a"].points == 40
    assert not bench.outbox.state().destinations["a"].live
    assert bench.rest() == list(range(5, 45))


def test_gaps_and_descriptions_that_wait_outlive_a_restart():
    bench = Bench(max_points=32, on_full=OnFull.DROP_OLDEST)
    fired(bench.outbox.append(Batch(batch_of(0).blocks, infos=(StreamInfo("s", label="oven"),))))
    for at in range(1, 40):
        bench.append(at)
    bench.kill()
    pending = bench.peek()
    assert ats_of(pending.batch) == list(range(8, 40))
    assert [(gap.start_ns, gap.end_ns, gap.points) for gap in pending.batch.gaps] == [(0, 7, 8)]
    assert pending.batch.infos == (StreamInfo("s", label="oven"),)
    fired(bench.outbox.settle("a", pending))
    bench.reopen()
    assert waits_for_nothing(bench.outbox)


def test_a_refused_batch_leaves_its_cursor_and_its_gap():
    bench = Bench(max_points=1, on_full=OnFull.DROP_NEWEST)
    bench.append(1, cursor=1)
    bench.append(2, cursor=2)
    assert bench.kill().cursor == Cursor(2)
    pending = bench.peek()
    assert (ats_of(pending.batch), [gap.start_ns for gap in pending.batch.gaps]) == ([1], [2])


def test_the_cursor_outlives_the_segment_that_it_came_in():
    bench = Bench()
    bench.append(0, cursor=7)
    fill(bench)
    bench.rest()
    assert len(bench.files.paths("*.seg")) == 1
    assert bench.kill().cursor == Cursor(7)


def test_a_new_destination_begins_with_the_oldest_that_is_kept():
    bench = Bench()
    fill(bench, 60)
    bench.settle(max_points=30)
    bench.append(60)
    bench.reopen("a", "new")
    rest = bench.rest("new")
    assert rest == list(range(rest[0], 61))
    assert 0 < rest[0] <= 30
    assert bench.rest("a") == list(range(30, 61))


def test_a_destination_that_is_gone_holds_nothing_back_and_is_told():
    bench = Bench(("a", "gone"))
    fill(bench)
    bench.settle("gone", max_points=10)
    bench.reopen("a")
    bench.rest("a")
    assert len(bench.files.paths("*.seg")) <= 1
    lost = lost_by(bench, "gone")
    assert {one[:2] for one in lost} == {(LossKind.REMOVED, "s")}
    assert (lost[0][2], lost[-1][3], sum(one[4] for one in lost)) == (10, 99, 90)


def test_a_destination_that_comes_back_goes_on_from_its_place():
    bench = Bench(("a", "b"))
    fill(bench, 10)
    bench.settle("b", max_points=4)
    bench.reopen("a")
    bench.append(10)
    bench.reopen("a", "b")
    assert bench.rest("b") == list(range(4, 11))
    assert bench.ledger.losses == []


def test_the_ages_are_right_after_a_restart():
    bench = Bench()
    for at in range(3):
        bench.append(at)
        bench.clock.advance(3)
    bench.settle(max_points=1)
    assert bench.reopen().state().destinations["a"].oldest_age == 6


# How much.


def test_the_disk_is_never_used_beyond_the_cap():
    bench = Bench(max_bytes=8 * SEGMENT, on_full=OnFull.DROP_OLDEST)
    for number in range(300):
        bench.append(*range(10 * number, 10 * number + 10))
        segments = sum(len(bench.files.content(path)) for path in bench.files.paths("0*"))
        assert segments <= bench.outbox.state().nbytes <= 8 * SEGMENT
    rest = bench.rest()
    assert rest == list(range(rest[0], 3000))
    assert sum(points for *_, points in lost_by(bench)) == rest[0]
    assert all(kind is LossKind.OVERFLOW for kind, *_ in lost_by(bench))


def test_a_batch_larger_than_the_cap_is_accepted_by_an_empty_outbox_alone():
    bench = Bench(max_bytes=2 * SEGMENT)
    bench.append(1)
    bench.rest()
    bench.append(*range(2000))
    assert bench.outbox.state().nbytes > 4 * SEGMENT
    waiting = bench.outbox.append(batch_of(3))
    while not waiting.called:
        bench.settle()
    fired(waiting)
    assert bench.kill().state().points == 1


def test_thinning_again_and_again_keeps_the_cap_and_the_account():
    bench = Bench(max_bytes=8 * SEGMENT, on_full=OnFull.DECIMATE)
    for number in range(600):
        bench.append(*range(10 * number, 10 * number + 10))
        assert bench.outbox.state().nbytes <= 8 * SEGMENT
    points = bench.outbox.state().points
    bench.kill()
    assert bench.outbox.state().points == points
    rest = bench.rest()
    assert rest == sorted(set(rest))
    assert len(rest) + sum(one[4] for one in lost_by(bench)) == 6000
    assert rest[0] < 1000  # the old is there, coarsely
    assert rest[-1] == 5999
    assert len(rest) > 600
    steps = [after - before for before, after in pairwise(rest)]
    assert max(steps) <= 2 * steps[0]  # and all of it about as coarsely


def test_opening_reads_a_little_of_each_segment_and_the_rest_of_none():
    bench = Bench(max_bytes=1 << 24, segment_bytes=1 << 16)
    fill(bench, 1500, rows=50)
    fired(bench.outbox.close())
    bench.files.bytes_read = 0
    bench.open()
    assert bench.outbox.state().points == 1500 * 50
    segments = len(bench.files.paths("*.seg"))
    assert segments > 20
    assert bench.files.bytes_read < 2 * PLACES_ROOM + segments * 5000 + (1 << 16)  # and one first record


def test_appends_that_gather_share_one_sync():
    writer = StepWorker()
    bench = Bench(writer=writer)
    bench.append(0)
    writer.hold()
    first = bench.outbox.append(batch_of(1))
    rest = [bench.outbox.append(batch_of(at)) for at in range(2, 12)]
    syncs = bench.files.syncs
    writer.step()
    fired(first)
    assert bench.files.syncs == syncs + 1
    writer.step()
    for one in rest:
        fired(one)
    assert bench.files.syncs == syncs + 2
    writer.release()


def test_what_is_only_the_kernels_is_not_synced():
    bench = Bench(durability=Durability.OS)
    fill(bench, 10)
    assert bench.files.syncs == 0
    assert bench.outbox.state().durability is Durability.OS
    bench.kill()
    assert bench.rest() == list(range(10))


def test_a_segment_that_goes_while_it_is_read_is_left_out_of_the_answer():
    reader = StepWorker()
    bench = Bench(reader=reader, max_points=3, on_full=OnFull.DROP_OLDEST)
    for at in (1, 2, 3):
        bench.append(at)
    reader.hold()
    waiting = bench.outbox.peek("a", **PLENTY)
    reading, reader._held = reader._held, type(reader._held)()
    bench.append(4)
    reader._held = reading
    reader.release()
    pending = result_of(waiting)
    assert ats_of(pending.batch) == [2, 3, 4]
    assert [gap.start_ns for gap in pending.batch.gaps] == [1]


def test_closing_finishes_what_is_being_written():
    writer = StepWorker()
    bench = Bench(writer=writer)
    bench.append(0)
    writer.hold()
    writing, waiting = bench.outbox.append(batch_of(1)), bench.outbox.append(batch_of(2))
    closing = bench.outbox.close()
    with pytest.raises(Closed):
        result_of(waiting)
    assert waits(closing)
    writer.release()
    fired(writing)
    fired(closing)
    bench.open(writer=StepWorker())
    assert bench.rest() == [0, 1]


def test_giving_up_does_not_take_back_what_is_being_written():
    writer = StepWorker()
    bench = Bench(writer=writer)
    bench.append(0)
    writer.hold()
    given_up = bench.outbox.append(batch_of(1))
    given_up.cancel()
    with pytest.raises(CancelledError):
        result_of(given_up)
    writer.release()
    bench.append(2)
    assert bench.rest() == [0, 1, 2]


def test_what_nobody_foresaw_fails_who_waits_and_leaves_the_outbox_working(flushed_errors):
    bench = Bench(max_points=1, on_full=OnFull.DROP_OLDEST)
    bench.append(0)
    bench.ledger.error = KeyError("what nobody foresaw")
    with pytest.raises(OutboxError, match="broke"):
        result_of(bench.outbox.append(batch_of(1)))
    bench.files.delete(bench.file("*.seg"))
    with pytest.raises(OutboxError, match="broke"):
        bench.peek()
    assert len(flushed_errors(KeyError)) == 2
    bench.ledger.error = None
    bench.append(2)
    assert bench.rest() == [2]
    assert [one[:3] for one in lost_by(bench)] == [(LossKind.OVERFLOW, "s", 0)]


def test_a_thinning_that_was_not_finished_leaves_the_segment_as_it_was():
    bench = Bench(max_points=64, on_full=OnFull.DECIMATE, segment_bytes=1 << 16, max_bytes=1 << 20)
    fill(bench, 32, rows=2)
    bench.files.fail("rename")
    with pytest.raises(OutboxError, match="replaced"):
        bench.append(64)
    assert bench.files.paths("*.new")
    bench.kill()
    assert not bench.files.paths("*.new")
    assert not bench.files.paths("*-1.*")
    assert bench.rest() == list(range(64))


def test_a_stream_that_no_text_names_is_refused():
    with pytest.raises(EncodeError, match="streams"):
        result_of(Bench().outbox.append(batch_of(1, stream="\ud800")))


def test_an_outbox_that_nobody_could_read_is_not_locked():
    files = FaultyFiles()
    with pytest.raises(ValueError, match="different names"):
        open_disk(FOLDER, ["a", "a"], Clock(), files=files)
    fired(open_disk(FOLDER, ["a"], Clock(), files=files).close())


async def test_threads_of_an_outbox_that_another_has_end(tmp_path):
    from twisted.internet import reactor

    outbox = await DiskOutbox.open(tmp_path, ["a"], reactor)
    with pytest.raises(OutboxError, match="uses it"):
        await DiskOutbox.open(tmp_path, ["a"], reactor)
    await outbox.close()
    threads = [thread for thread in enumerate_threads() if thread.name.startswith("txbridge-outbox")]
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)


def test_a_folder_that_cannot_be_read_is_an_error_and_not_locked():
    bench = Bench()
    bench.append(1)
    fired(bench.outbox.close())
    bench.files.fail("names")
    with pytest.raises(OutboxError, match="cannot be read"):
        bench.open()
    bench.open()
    assert bench.rest() == [1]


def test_cursors_alone_take_no_room_of_a_full_outbox():
    bench = Bench(max_bytes=2 * SEGMENT)
    bench.append(1)
    for number in range(200):
        fired(bench.outbox.append(Batch(cursor=Cursor(number))))
        assert bench.outbox.state().nbytes <= 2 * SEGMENT
    assert not bench.outbox.state().blocked
    assert bench.kill().cursor == Cursor(199)
    assert bench.rest() == [1]


def test_a_source_that_never_pauses_does_not_put_off_what_has_to_be_done_now_and_then():
    worker = StepWorker()
    bench = Bench(max_age=60.0, writer=worker)
    bench.append(1)
    worker.hold()
    first = bench.outbox.append(batch_of(2))
    following = bench.outbox.append(batch_of(3))
    bench.clock.advance(120)
    worker.step()
    fired(first)
    while waits(following):
        worker.step()
    assert [loss.gap.start_ns for loss in bench.ledger.losses] == [1]
