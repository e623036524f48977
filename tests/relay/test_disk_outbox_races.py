"""What happens to an outbox while it makes room: reads, settles, ledgers that refuse, a disk that is full."""

from __future__ import annotations

import errno

import pytest

from tests.contract.outbox import PLENTY, ats_of, batch_of
from tests.relay.test_disk_outbox import FOLDER, Bench
from tests.support.deferreds import fired, result_of, waits
from tests.support.workers import LateWorker, StepWorker
from txbridge.errors import Closed, EncodeError, OutboxError
from txbridge.model.samples import Batch, SampleBlock, StreamInfo
from txbridge.relay.roles import OnFull

POINTS = 96  # so that a segment has 3


class FullBench(Bench):
    """An outbox with as many points as it may have, 3 in each segment."""

    def __init__(self, on_full, rows=3, **options):
        self.writer = StepWorker()
        self.reader = LateWorker()
        super().__init__(
            **{
                "max_points": POINTS,
                "segment_bytes": 1 << 13,
                "max_bytes": 1 << 20,
                "on_full": on_full,
                "writer": self.writer,
                "reader": self.reader,
                **options,
            }
        )
        for first in range(0, POINTS, rows):
            self.append(*range(first, first + rows))

    def kill(self):
        self.options.update(writer=StepWorker(), reader=StepWorker())
        return super().kill()

    def begin_to_drop(self):
        """Make it drop a segment, and stop before the ledger knows; gives the append that it is for."""
        self.writer.hold()
        return self.outbox.append(batch_of(POINTS))

    def refuse_to_drop(self, append):
        """Let the ledger refuse."""
        self.ledger.error = OutboxError("the ledger is locked")
        self.writer.release()
        with pytest.raises(OutboxError):
            result_of(append)
        self.ledger.error = None


def test_what_was_to_be_dropped_between_parts_of_a_peek_is_not_settled_with_them():
    bench = FullBench(OnFull.DROP_OLDEST)
    bench.peek(max_points=3)
    append = bench.begin_to_drop()
    pending = bench.peek()
    fired(bench.outbox.settle("a", pending))
    bench.refuse_to_drop(append)
    assert sorted(ats_of(pending.batch) + bench.rest()) == list(range(POINTS))


def test_what_was_to_be_dropped_before_a_peek_is_not_settled_with_it():
    bench = FullBench(OnFull.DROP_OLDEST)
    append = bench.begin_to_drop()
    waiting = bench.outbox.peek("a", **PLENTY)
    assert waits(waiting)
    bench.refuse_to_drop(append)
    pending = result_of(waiting)
    assert ats_of(pending.batch) == list(range(POINTS))


def test_what_was_to_be_dropped_before_the_newest_is_not_settled_with_them():
    bench = FullBench(OnFull.DROP_OLDEST)
    append = bench.begin_to_drop()
    pending = bench.peek(newest=True)
    assert ats_of(pending.batch) == list(range(3, POINTS))
    fired(bench.outbox.settle("a", pending))
    bench.refuse_to_drop(append)
    assert bench.rest() == [0, 1, 2]


def test_a_peek_of_the_newest_waits_while_everything_is_to_be_dropped_and_fires_when_it_stays():
    bench = FullBench(OnFull.DROP_OLDEST)
    bench.writer.hold()
    append = bench.outbox.append(batch_of(*range(1000, 1000 + POINTS)))
    waiting = bench.outbox.peek("a", newest=True, **PLENTY)
    assert waits(waiting)
    bench.refuse_to_drop(append)
    assert ats_of(result_of(waiting).batch) == list(range(POINTS))


def test_what_began_to_be_dropped_during_a_read_is_not_settled_with_the_rest():
    bench = FullBench(OnFull.DROP_OLDEST)
    bench.peek(max_points=3)
    bench.reader.hold()
    waiting = bench.outbox.peek("a", **PLENTY)
    append = bench.begin_to_drop()
    bench.reader.release()
    pending = result_of(waiting)
    fired(bench.outbox.settle("a", pending))
    bench.refuse_to_drop(append)
    assert sorted(ats_of(pending.batch) + bench.rest()) == list(range(POINTS))


def test_what_was_read_before_it_was_thinned_is_read_again():
    """There are fewer records now, and each that was read would count as one of them."""
    bench = FullBench(OnFull.DECIMATE, rows=1)
    bench.reader.hold()
    waiting = bench.outbox.peek("a", max_points=1, max_bytes=1 << 20)
    bench.append(POINTS)
    bench.reader.release()
    pending = result_of(waiting)
    fired(bench.outbox.settle("a", pending))
    arrived = ats_of(pending.batch) + bench.rest()
    lost = sum(gap.points for _, gap in bench.ledger.lost)
    assert len(arrived) + lost == POINTS + 1


def test_a_full_disk_leaves_the_places_that_would_have_to_grow():
    bench = FullBench(OnFull.DROP_NEWEST)
    pending = bench.peek(max_points=30)
    fired(bench.outbox.settle("a", pending))
    fired(bench.outbox.append(batch_of(*range(POINTS, POINTS + 30))))
    bench.clock.advance(5)
    bench.files.capacity = bench.files.used
    infos = tuple(StreamInfo(f"stream {number}") for number in range(2000))
    many = Batch(batch_of(*range(200, 210)).blocks, infos=infos)
    for _ in range(3):
        with pytest.raises(OutboxError):
            result_of(bench.outbox.append(many))
    assert len(bench.files.paths("places-?")) == 2
    bench.kill()
    assert bench.rest() == list(range(30, POINTS + 30))


def test_places_grow_when_there_is_room():
    bench = FullBench(OnFull.DROP_NEWEST)
    infos = tuple(StreamInfo(f"stream {number}") for number in range(2000))
    for _ in range(2):
        fired(bench.outbox.append(Batch(batch_of(*range(200, 210)).blocks, infos=infos)))
    bench.kill()
    assert not bench.files.paths("*.new")
    assert len(bench.peek().batch.infos) == 2000


def test_a_segment_that_is_gone_does_not_keep_others_from_being_thinned():
    bench = FullBench(OnFull.DECIMATE)
    bench.files.delete(bench.file("*.seg"))
    bench.append(POINTS)
    arrived = bench.rest()
    lost = sum(gap.points for _, gap in bench.ledger.lost)
    assert arrived[-1] == POINTS
    assert len(arrived) + lost == POINTS + 1


def test_what_cannot_be_thinned_because_the_disk_is_full_is_dropped():
    bench = FullBench(OnFull.DECIMATE)
    bench.files.capacity = bench.files.used
    bench.append(POINTS)
    arrived = bench.rest()
    lost = sum(gap.points for _, gap in bench.ledger.lost)
    assert arrived[-1] == POINTS
    assert len(arrived) + lost == POINTS + 1


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_an_append_that_fails_while_the_outbox_is_closed_fires(number):
    bench = FullBench(OnFull.DROP_OLDEST, max_points=None)
    bench.writer.hold()
    append = bench.outbox.append(batch_of(POINTS))
    bench.files.fail("write", number)
    closing = bench.outbox.close()
    bench.writer.release()
    fired(closing)
    with pytest.raises((OutboxError, Closed)):
        result_of(append)


def test_a_segment_that_could_not_be_removed_is_removed_later():
    bench = FullBench(OnFull.BLOCK)
    bench.files.fail("remove")
    assert bench.rest() == list(range(POINTS))
    bench.clock.advance(5)
    bench.clock.advance(5)
    assert len(bench.files.paths("*.seg")) == 1


def test_what_is_owed_to_the_ledger_is_told_before_new_places_are_written():
    bench = FullBench(OnFull.BLOCK)
    fired(bench.outbox.close())
    for path in bench.files.paths("places-?"):
        bench.files.flip(path, 40)
    bench.options.update(writer=StepWorker(), reader=StepWorker())
    bench.ledger.fails = True
    bench.open()
    fired(bench.outbox.close())
    bench.options.update(writer=StepWorker(), reader=StepWorker())
    bench.ledger.fails = False
    bench.open()
    assert [(name, gap.stream) for name, gap in bench.ledger.lost] == [("", "*")]


def test_a_head_that_could_not_be_read_back_is_not_written():
    with pytest.raises(EncodeError, match="streams"):
        result_of(Bench(max_bytes=1 << 30).outbox.append(batch_of(1, stream="s" * (1 << 24))))


def test_a_full_disk_keeps_nobody_from_dropping_more_streams_than_the_places_have_room_for():
    """The ledger has what was lost; the gaps to show at the destination may not outlive a sudden end then."""
    bench = Bench(max_bytes=1 << 24, segment_bytes=1 << 16, on_full=OnFull.DROP_OLDEST)

    def many(at):
        return Batch(tuple(SampleBlock.scalar(f"stream {number}", [at], [at]) for number in range(1500)))

    for at in range(4):
        fired(bench.outbox.append(many(at)))
    bench.files.capacity = bench.files.used
    fired(bench.outbox.append(many(4)))
    assert bench.files.paths("places-?") == [FOLDER / "places-0", FOLDER / "places-1"]
    lost = sum(gap.points for _, gap in bench.ledger.lost)
    assert lost % 1500 == 0
    gaps = bench.peek().batch.gaps
    assert len(gaps) == 1500
    bench.kill()
    pending = bench.peek()
    assert pending.batch.points + lost == 5 * 1500
