"""What every outbox promises, as tests: subclass `OutboxContract` and say how to make one."""

from __future__ import annotations

from abc import ABC, abstractmethod

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, fail, succeed
from twisted.internet.task import Clock

from tests.support.deferreds import fired, result_of, waits
from txbridge.errors import Closed, OutboxError
from txbridge.model.samples import Batch, Cursor, Gap, Note, NoteKind, SampleBlock, StreamInfo
from txbridge.relay.roles import OnFull, PendingState, Stamp

PLENTY = {"max_points": 1_000_000, "max_bytes": 1 << 30}


def batch_of(*ats, stream="s", cursor=None):
    """A batch of one stream whose values are its instants."""
    return Batch((SampleBlock.scalar(stream, ats, ats),), cursor=None if cursor is None else Cursor(cursor))


def ats_of(batch, stream="s"):
    return [int(at) for block in batch.blocks if block.stream == stream for at in block.at]


ACTIONS = st.one_of(
    st.tuples(st.just("append"), st.integers(1, 4)),
    st.tuples(st.just("peek"), st.sampled_from("ab"), st.integers(1, 6)),
    st.tuples(st.just("settle"), st.sampled_from("ab")),
)


class ListLedger:
    """A ledger that is a list of (destination, gap)."""

    def __init__(self, lost):
        self.lost = lost
        self.error = None

    def record(self, losses):
        """Called by the outbox."""
        if self.error is not None:
            return fail(self.error)
        self.lost.extend((loss.destination, loss.gap) for loss in losses)
        return succeed(None)


class OutboxContract(ABC):
    """The contract that `txbridge.relay.outbox` states.

    Attributes:
        few_bytes: A cap on bytes that a few hundred points come up to.
        examples: How many stories are told of it.
    """

    examples = 60
    few_bytes = 1 << 16

    @abstractmethod
    def make(self, destinations, clock, **options):
        """An outbox with these destinations, clock, caps, ``on_full`` and ``ledger``."""

    def keeps_nothing(self, outbox):
        """Whether it has let go of everything that is settled."""
        return outbox.state().nbytes == 0

    @pytest.fixture
    def clock(self):
        return Clock()

    @pytest.fixture
    def lost(self):
        """What the ledger was told: (destination, gap)."""
        return []

    @pytest.fixture
    def open_outbox(self, clock, lost):
        def make(*destinations, **options):
            return self.make(destinations or ("a",), clock, ledger=ListLedger(lost), **options)

        return make

    def peek(self, outbox, destination="a", **limits):
        return result_of(outbox.peek(destination, **{**PLENTY, **limits}))

    def test_a_batch_that_was_accepted_is_peeked_until_it_is_settled(self, open_outbox):
        outbox = open_outbox()
        fired(outbox.append(batch_of(1, 2)))
        first = self.peek(outbox)
        assert ats_of(first.batch) == [1, 2]
        assert self.peek(outbox) == first
        fired(outbox.settle("a", first))
        waiting = outbox.peek("a", **PLENTY)
        assert waits(waiting)
        fired(outbox.append(batch_of(3)))
        assert ats_of(result_of(waiting).batch) == [3]

    def test_what_gathered_is_peeked_together_up_to_the_limits(self, open_outbox):
        outbox = open_outbox()
        for at in range(6):
            fired(outbox.append(batch_of(at)))
        size = batch_of(1).nbytes
        assert ats_of(self.peek(outbox, max_points=3).batch) == [0, 1, 2]
        assert ats_of(self.peek(outbox, max_bytes=4 * size).batch) == [0, 1, 2, 3]
        assert ats_of(self.peek(outbox).batch) == list(range(6))

    def test_the_oldest_batch_is_peeked_whole_even_if_it_is_larger_than_the_limits(self, open_outbox):
        outbox = open_outbox()
        fired(outbox.append(batch_of(1, 2, 3)))
        fired(outbox.append(batch_of(4)))
        assert ats_of(self.peek(outbox, max_points=1, max_bytes=1).batch) == [1, 2, 3]

    def test_settling_part_of_what_waits_keeps_the_rest(self, open_outbox):
        outbox = open_outbox()
        for at in range(4):
            fired(outbox.append(batch_of(at)))
        fired(outbox.settle("a", self.peek(outbox, max_points=2)))
        assert ats_of(self.peek(outbox).batch) == [2, 3]
        assert outbox.state().points == 2

    def test_destinations_do_not_wait_for_each_other(self, open_outbox):
        outbox = open_outbox("fast", "dead")
        for at in range(3):
            fired(outbox.append(batch_of(at)))
            fired(outbox.settle("fast", self.peek(outbox, "fast")))
        assert ats_of(self.peek(outbox, "dead").batch) == [0, 1, 2]
        state = outbox.state()
        assert (state.points, state.destinations["fast"].points, state.destinations["dead"].points) == (
            3,
            0,
            3,
        )

    def test_the_cursor_is_accepted_with_its_batch(self, open_outbox):
        outbox = open_outbox()
        assert outbox.cursor is None
        fired(outbox.append(batch_of(1, cursor=10)))
        fired(outbox.append(batch_of(2)))
        assert outbox.cursor == Cursor(10)
        fired(outbox.append(Batch(cursor=Cursor(20))))
        assert outbox.cursor == Cursor(20)
        assert ats_of(self.peek(outbox).batch) == [1, 2]

    def test_a_batch_with_only_a_cursor_wakes_nobody(self, open_outbox):
        outbox = open_outbox()
        waiting = outbox.peek("a", **PLENTY)
        fired(outbox.append(Batch(cursor=Cursor(1))))
        assert waits(waiting)
        waiting.cancel()
        waiting.addErrback(lambda failure: failure.trap(CancelledError))
        assert outbox.state().points == 0

    def test_gaps_descriptions_and_notes_travel_without_points(self, open_outbox):
        outbox = open_outbox()
        notes = (Note("s", 1, None, NoteKind.ANNOTATION, {"title": "moved"}),)
        batch = Batch(gaps=(Gap("s", 1, 2, "away"),), infos=(StreamInfo("s"),), notes=notes)
        fired(outbox.append(batch))
        assert self.peek(outbox).batch == batch

    def test_cancelling_a_peek_loses_nothing(self, open_outbox):
        outbox = open_outbox()
        waiting = outbox.peek("a", **PLENTY)
        waiting.cancel()
        with pytest.raises(CancelledError):
            result_of(waiting)
        fired(outbox.append(batch_of(1)))
        assert ats_of(self.peek(outbox).batch) == [1]

    def test_there_is_one_peek_at_a_time(self, open_outbox):
        outbox = open_outbox()
        waiting = outbox.peek("a", **PLENTY)
        with pytest.raises(RuntimeError, match="'a'"):
            result_of(outbox.peek("a", **PLENTY))
        fired(outbox.append(batch_of(1)))
        assert ats_of(result_of(waiting).batch) == [1]

    def test_only_what_was_peeked_can_be_settled(self, open_outbox):
        outbox = open_outbox()
        fired(outbox.append(batch_of(1)))
        pending = self.peek(outbox)
        with pytest.raises(ValueError, match="'a'"):
            result_of(outbox.settle("a", evolve(pending, position=pending.position + 1)))

    def test_nobody_else_may_read(self, open_outbox):
        with pytest.raises(KeyError):
            result_of(open_outbox().peek("b", **PLENTY))

    def test_the_age_of_the_oldest_is_told(self, open_outbox, clock):
        outbox = open_outbox()
        assert outbox.state().destinations["a"] == PendingState()
        fired(outbox.append(batch_of(1)))
        clock.advance(5)
        fired(outbox.append(batch_of(2)))
        clock.advance(2)
        assert outbox.state().destinations["a"].oldest_age == 7
        fired(outbox.settle("a", self.peek(outbox, max_points=1)))
        assert outbox.state().destinations["a"].oldest_age == 2

    def test_block_makes_the_source_wait_until_there_is_room(self, open_outbox, lost):
        outbox = open_outbox(max_points=2, on_full=OnFull.BLOCK)
        fired(outbox.append(batch_of(1)))
        fired(outbox.append(batch_of(2)))
        third, fourth = outbox.append(batch_of(3, cursor=3)), outbox.append(batch_of(4))
        assert waits(third)
        assert (outbox.state().blocked, outbox.cursor) == (True, None)
        fired(outbox.settle("a", self.peek(outbox, max_points=1)))
        fired(third)
        assert outbox.cursor == Cursor(3)
        assert waits(fourth)
        fired(outbox.settle("a", self.peek(outbox)))
        fired(fourth)
        assert ats_of(self.peek(outbox).batch) == [4]
        assert lost == []

    def test_an_append_that_is_cancelled_while_it_waits_appends_nothing(self, open_outbox):
        outbox = open_outbox(max_points=2, on_full=OnFull.BLOCK)
        fired(outbox.append(batch_of(1)))
        large, small = outbox.append(batch_of(2, 3)), outbox.append(batch_of(4))
        large.cancel()
        with pytest.raises(CancelledError):
            result_of(large)
        fired(small)
        assert ats_of(self.peek(outbox).batch) == [1, 4]

    @pytest.mark.parametrize("on_full", OnFull)
    def test_a_batch_larger_than_the_caps_is_accepted_by_an_empty_outbox(self, open_outbox, on_full):
        outbox = open_outbox(max_points=2, on_full=on_full)
        fired(outbox.append(batch_of(1, 2, 3)))
        assert ats_of(self.peek(outbox).batch) == [1, 2, 3]

    @pytest.mark.parametrize("on_full", [OnFull.DROP_OLDEST, OnFull.DROP_NEWEST, OnFull.DECIMATE])
    def test_bytes_are_a_cap_too(self, open_outbox, lost, on_full):
        outbox = open_outbox(max_bytes=self.few_bytes, on_full=on_full)
        count = 0
        while len(lost) < 5:
            fired(outbox.append(batch_of(*range(10 * count, 10 * count + 10))))
            count += 1
            assert outbox.state().nbytes <= self.few_bytes
        kept = ats_of(self.peek(outbox).batch)
        missing = set(range(10 * count)) - set(kept)
        assert sum(gap.points for _, gap in lost) == len(missing)
        assert all(any(gap.start_ns <= at <= gap.end_ns for _, gap in lost) for at in missing)
        assert len(kept) > 100
        assert (kept[0] == 0) == (on_full is not OnFull.DROP_OLDEST)

    def test_drop_oldest_drops_for_whoever_still_needs_it_and_tells(self, open_outbox, lost):
        outbox = open_outbox("fast", "dead", max_points=3, on_full=OnFull.DROP_OLDEST)
        for at in (1, 2, 3):
            fired(outbox.append(batch_of(at)))
        fired(outbox.settle("fast", self.peek(outbox, "fast", max_points=1)))
        fired(outbox.append(batch_of(4, 5)))
        assert [(where, gap.start_ns, gap.end_ns, gap.points) for where, gap in lost] == [
            ("dead", 1, 1, 1),
            ("fast", 2, 2, 1),
            ("dead", 2, 2, 1),
        ]
        dead = self.peek(outbox, "dead")
        assert ats_of(dead.batch) == [3, 4, 5]
        assert [(gap.start_ns, gap.end_ns, gap.points) for gap in dead.batch.gaps] == [(1, 2, 2)]
        fired(outbox.settle("dead", dead))
        fired(outbox.append(batch_of(6)))
        assert self.peek(outbox, "dead").batch.gaps == ()
        assert outbox.state().destinations["dead"].dropped == 2

    def test_drop_oldest_leaves_what_is_being_sent(self, open_outbox, lost):
        outbox = open_outbox(max_points=3, on_full=OnFull.DROP_OLDEST)
        for at in (1, 2, 3):
            fired(outbox.append(batch_of(at)))
        sending = self.peek(outbox, max_points=2)
        fired(outbox.append(batch_of(4)))
        assert [gap.start_ns for _, gap in lost] == [3]
        fired(outbox.append(batch_of(5, 6)))
        assert [gap.start_ns for _, gap in lost] == [3, 5]
        fired(outbox.settle("a", sending))
        assert ats_of(self.peek(outbox).batch) == [4]

    def test_drop_newest_keeps_what_is_there(self, open_outbox, lost):
        outbox = open_outbox(max_points=2, on_full=OnFull.DROP_NEWEST)
        fired(outbox.append(batch_of(1, 2)))
        fired(outbox.append(batch_of(3, 4, cursor=4)))
        assert [(where, gap.start_ns, gap.end_ns, gap.points) for where, gap in lost] == [("a", 3, 4, 2)]
        assert outbox.cursor == Cursor(4)
        assert ats_of(self.peek(outbox).batch) == [1, 2]

    def test_a_gap_reaches_a_destination_that_has_nothing_else_to_come(self, open_outbox):
        outbox = open_outbox(max_points=1, on_full=OnFull.DROP_NEWEST)
        fired(outbox.append(batch_of(1)))
        first = self.peek(outbox)
        fired(outbox.append(batch_of(2)))
        fired(outbox.settle("a", first))
        pending = self.peek(outbox)
        assert (pending.batch.points, pending.batch.gaps[0].start_ns) == (0, 2)
        fired(outbox.settle("a", pending))
        waiting = outbox.peek("a", **PLENTY)
        assert waits(waiting)
        waiting.cancel()
        waiting.addErrback(lambda failure: failure.trap(CancelledError))

    @pytest.mark.parametrize("on_full", [OnFull.DROP_OLDEST, OnFull.DROP_NEWEST])
    def test_descriptions_are_never_dropped(self, open_outbox, on_full):
        outbox = open_outbox(max_points=1, on_full=on_full)
        for name in ("s", "t"):
            fired(outbox.append(Batch((SampleBlock.scalar(name, (1,), (1,)),), infos=(StreamInfo(name),))))
        assert {info.name for info in self.peek(outbox).batch.infos} == {"s", "t"}

    def test_the_newest_comes_first_for_whoever_asks_for_it(self, open_outbox):
        outbox = open_outbox()
        for at in range(6):
            fired(outbox.append(batch_of(at)))
        assert outbox.state().destinations["a"].live
        newest = self.peek(outbox, max_points=2, newest=True)
        assert ats_of(newest.batch) == [4, 5]
        fired(outbox.settle("a", newest))
        assert not outbox.state().destinations["a"].live
        fired(outbox.settle("a", self.peek(outbox, max_points=3)))
        waiting = outbox.peek("a", **PLENTY, newest=True)
        assert waits(waiting)
        fired(outbox.append(batch_of(6)))
        assert ats_of(result_of(waiting).batch) == [6]
        assert ats_of(self.peek(outbox).batch) == [3, 6]
        assert outbox.state().destinations["a"].points == 2

    def test_what_was_settled_out_of_order_is_not_given_again(self, open_outbox):
        outbox = open_outbox()
        for at in range(6):
            fired(outbox.append(batch_of(at)))
        fired(outbox.settle("a", self.peek(outbox, max_points=2, newest=True)))
        fired(outbox.append(batch_of(6)))
        rest = self.peek(outbox)
        assert ats_of(rest.batch) == [0, 1, 2, 3, 6]
        fired(outbox.settle("a", rest))
        assert outbox.state().destinations["a"] == PendingState()
        assert self.keeps_nothing(outbox)

    def test_the_two_lanes_of_a_destination_are_settled_each_by_itself(self, open_outbox):
        outbox = open_outbox()
        for at in range(4):
            fired(outbox.append(batch_of(at)))
        oldest, newest = self.peek(outbox, max_points=1), self.peek(outbox, max_points=1, newest=True)
        fired(outbox.settle("a", newest))
        fired(outbox.settle("a", oldest))
        assert ats_of(self.peek(outbox).batch) == [1, 2]

    def test_settling_twice_changes_nothing(self, open_outbox):
        outbox = open_outbox()
        fired(outbox.append(batch_of(1)))
        pending = self.peek(outbox)
        fired(outbox.settle("a", pending))
        fired(outbox.settle("a", pending))
        assert outbox.state().destinations["a"] == PendingState()

    def test_a_batch_can_be_for_some_destinations_only(self, open_outbox):
        outbox = open_outbox("a", "b")
        fired(outbox.append(batch_of(1)))
        fired(outbox.append(batch_of(2), only=["b"]))
        fired(outbox.append(batch_of(3)))
        assert [outbox.state().destinations[name].points for name in "ab"] == [2, 3]
        a = self.peek(outbox, "a")
        assert ats_of(a.batch) == [1, 3]
        fired(outbox.settle("a", a))
        assert outbox.state().points == 3
        seen = []
        for _ in range(3):  # what is for some comes from another time, so by itself
            pending = self.peek(outbox, "b")
            seen.append((ats_of(pending.batch), pending.stamp.boot_id))
            fired(outbox.settle("b", pending))
        assert seen == [([1], "memory"), ([2], ""), ([3], "memory")]
        assert outbox.state().points == 0
        with pytest.raises(KeyError):
            result_of(outbox.append(batch_of(1), only=["c"]))

    def test_only_who_would_have_got_it_loses_it(self, open_outbox, lost):
        outbox = open_outbox("a", "b", max_points=1, on_full=OnFull.DROP_OLDEST)
        fired(outbox.append(batch_of(1), only=["b"]))
        fired(outbox.append(batch_of(2)))
        assert [(where, gap.start_ns) for where, gap in lost] == [("b", 1)]

    def test_what_waits_too_long_is_dropped_and_told(self, open_outbox, lost, clock):
        outbox = open_outbox(max_age=60.0)
        for at in (1, 2, 3):
            fired(outbox.append(batch_of(at)))
            clock.advance(25)
        assert [(gap.start_ns, gap.points) for _, gap in lost] == [(1, 1)]
        pending = self.peek(outbox)
        assert ats_of(pending.batch) == [2, 3]
        assert [gap.start_ns for gap in pending.batch.gaps] == [1]
        assert outbox.state().destinations["a"].dropped == 1

    def test_decimate_keeps_every_second_row_of_what_is_oldest(self, open_outbox, lost):
        outbox = open_outbox(max_points=64, on_full=OnFull.DECIMATE)
        for at in range(0, 64, 2):
            fired(outbox.append(batch_of(at, at + 1)))
        fired(outbox.append(batch_of(64, 65)))
        assert [(gap.stream, gap.start_ns, gap.end_ns, gap.points) for _, gap in lost] == [
            ("s", 1, 1, 1),
            ("s", 3, 3, 1),
        ]
        kept = self.peek(outbox)
        assert ats_of(kept.batch) == [0, 2, *range(4, 66)]
        assert kept.batch.gaps == ()
        assert outbox.state().destinations["a"].dropped == 2

    def test_nothing_is_dropped_that_the_ledger_cannot_be_told(self, clock, lost):
        ledger = ListLedger(lost)
        outbox = self.make(("a",), clock, max_points=2, on_full=OnFull.DROP_OLDEST, ledger=ledger)
        fired(outbox.append(batch_of(1)))
        fired(outbox.append(batch_of(2)))
        ledger.error = OutboxError("the ledger's disk is full")
        with pytest.raises(OutboxError, match="ledger"):
            result_of(outbox.append(batch_of(3, cursor=3)))
        assert outbox.cursor is None
        assert ats_of(self.peek(outbox, max_points=1).batch) == [1]
        ledger.error = None
        fired(outbox.append(batch_of(3)))
        assert [gap.start_ns for _, gap in lost] == [2]  # what is being sent stays

    def test_what_does_not_fit_is_not_let_go_before_the_ledger_has_it(self, clock, lost):
        ledger = ListLedger(lost)
        outbox = self.make(("a",), clock, max_points=1, on_full=OnFull.DROP_NEWEST, ledger=ledger)
        fired(outbox.append(batch_of(1)))
        ledger.error = OutboxError("the ledger's disk is full")
        with pytest.raises(OutboxError, match="ledger"):
            result_of(outbox.append(batch_of(2, cursor=2)))
        assert outbox.cursor is None
        ledger.error = None
        fired(outbox.append(batch_of(2, cursor=2)))
        assert outbox.cursor == Cursor(2)
        assert [gap.start_ns for _, gap in lost] == [2]

    def test_what_was_accepted_by_another_clock_comes_by_itself(self, clock):
        now = [Stamp(10**18, 0, "boot")]
        outbox = self.make(("a",), clock, stamp=lambda: now[0])
        fired(outbox.append(batch_of(1)))
        now[0] = Stamp(10**18 + 2 * 10**9, 10**9, "boot")  # set by exactly one second
        fired(outbox.append(batch_of(2)))
        now[0] = Stamp(10**18 + 3 * 10**9, 10**9, "another boot")
        fired(outbox.append(batch_of(3)))
        seen = []
        for _ in range(3):
            pending = self.peek(outbox)
            seen.append((ats_of(pending.batch), pending.stamp.boot_id, pending.stamp.boot_ns))
            fired(outbox.settle("a", pending))
        assert seen == [([1], "boot", 0), ([2], "boot", 10**9), ([3], "another boot", 10**9)]

    def test_what_the_newest_is_by_another_clock_comes_first_by_itself(self, clock):
        now = [Stamp(10**18, 0, "boot")]
        outbox = self.make(("a",), clock, stamp=lambda: now[0])
        fired(outbox.append(batch_of(1)))
        now[0] = Stamp(2 * 10**18, 0, "boot")
        fired(outbox.append(batch_of(2)))
        newest = self.peek(outbox, newest=True)
        assert (ats_of(newest.batch), newest.stamp) == ([2], now[0])
        fired(outbox.settle("a", newest))
        assert ats_of(self.peek(outbox).batch) == [1]

    def test_closing_ends_everything_that_waits(self, open_outbox):
        outbox = open_outbox(max_points=1, on_full=OnFull.BLOCK)
        waiting = outbox.peek("a", **PLENTY)
        fired(outbox.close())
        for deferred in (waiting, outbox.append(batch_of(1)), outbox.peek("a", **PLENTY)):
            with pytest.raises(Closed):
                result_of(deferred)
        fired(outbox.close())

    def test_closing_ends_an_append_that_waits(self, open_outbox):
        outbox = open_outbox(max_points=1, on_full=OnFull.BLOCK)
        fired(outbox.append(batch_of(1)))
        waiting = outbox.append(batch_of(2))
        fired(outbox.close())
        with pytest.raises(Closed):
            result_of(waiting)

    def test_every_point_arrives_in_order_or_is_in_the_ledger(self):
        # Made here: pytest-twisted takes a test of Hypothesis only once, and this one is inherited.
        @settings(max_examples=self.examples)
        @given(st.sampled_from(OnFull), st.lists(ACTIONS, max_size=40))
        def check(on_full, actions):
            self.check_every_point(on_full, actions)

        check()

    def check_every_point(self, on_full, actions):
        """Beside a plain model: what was appended, what arrived, what was told as lost."""
        lost = []
        outbox = self.make(
            ("a", "b"),
            Clock(),
            max_points=6,
            on_full=on_full,
            ledger=ListLedger(lost),
        )
        appended = 0
        appends = []
        peeked = {"a": None, "b": None}
        arrived = {"a": [], "b": []}

        def settle(name):
            pending, peeked[name] = peeked[name], None
            arrived[name].extend(ats_of(pending.batch))
            fired(outbox.settle(name, pending))

        for action, *arguments in actions:
            if action == "append":
                if on_full is OnFull.BLOCK and outbox.state().blocked:
                    continue
                (count,) = arguments
                appends.append(outbox.append(batch_of(*range(appended, appended + count))))
                appended += count
            elif action == "peek":
                name, limit = arguments
                waiting = outbox.peek(name, max_points=limit, max_bytes=1 << 30)
                if waiting.called:
                    peeked[name] = result_of(waiting)
                else:
                    waiting.cancel()
                    waiting.addErrback(lambda failure: failure.trap(CancelledError))
            elif peeked[arguments[0]] is not None:
                settle(arguments[0])
            assert outbox.state().points <= 6
        for _ in range(2):
            for name in ("a", "b"):
                while outbox.state().destinations[name].points:
                    peeked[name] = self.peek(outbox, name)
                    settle(name)
        for one in appends:
            fired(one)
        for name in ("a", "b"):
            gaps = [gap for where, gap in lost if where == name]
            missing = sorted(set(range(appended)) - set(arrived[name]))
            assert arrived[name] == sorted(set(arrived[name]))
            assert all(any(gap.start_ns <= at <= gap.end_ns for gap in gaps) for at in missing)
            assert sum(gap.points for gap in gaps) == len(missing)
            assert outbox.state().destinations[name].dropped == len(missing)
        assert outbox.state().points == 0
        assert self.keeps_nothing(outbox)
