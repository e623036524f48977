"""Instants of a wrong clock are trusted, corrected or refused, and never changed in silence."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock

from tests.contract.outbox import ats_of, batch_of
from txbridge.model.instants import to_nanoseconds
from txbridge.model.samples import Batch, Gap, Note, NoteKind, SampleBlock
from txbridge.relay.clock import ClockPolicy, ClockRule, judge, machine_clock
from txbridge.relay.roles import Stamp

S = 1_000_000_000
NOW = to_nanoseconds(datetime(2026, 3, 1, tzinfo=UTC))
BOOT = 1000 * S  # since the machine was started, now
CORRECT = ClockRule(policy=ClockPolicy.CORRECT)
REJECT = ClockRule(policy=ClockPolicy.REJECT)


def now(wall=NOW, boot=BOOT, boot_id="this"):
    return Stamp(wall, boot, boot_id)


def accepted(seconds_ago, wrong_by=0.0, boot_id="this"):
    """A stamp of a while ago, by a wall clock that was ahead by so much then."""
    ago = round(seconds_ago * S)
    return Stamp(NOW - ago + round(wrong_by * S), BOOT - ago, boot_id)


class TestTrust:
    def test_nothing_is_touched(self):
        batch = batch_of(-5, 0, 2**62)
        judged = judge(batch, accepted(5, -1e6), now(), 99.0, ClockRule())
        assert judged.batch is batch
        assert (judged.refused, judged.gaps, judged.moved) == ((), (), 0)


class TestCorrect:
    def test_rows_of_a_clock_that_was_set_right_since_are_moved_to_when_they_were_measured(self):
        """The machine woke up in 1970, measured for a minute, and was told the time."""
        batch = batch_of(40 * S, 50 * S)
        judged = judge(batch, Stamp(60 * S, BOOT - 30 * S, "this"), now(), 0.0, CORRECT)
        assert ats_of(judged.batch) == [NOW - 50 * S, NOW - 40 * S]
        by = (NOW - 30 * S - 60 * S) / S
        assert judged.gaps == (Gap("s", 40 * S, 50 * S, f"moved by {by:+.1f} s", 2),)
        assert (judged.moved, judged.refused) == (2, ())

    def test_a_clock_that_is_still_wrong_is_corrected_by_the_destination_s(self):
        at = NOW - 10 * S
        judged = judge(batch_of(at), accepted(10), now(), 3600.0, CORRECT)
        assert ats_of(judged.batch) == [at + 3600 * S]
        assert judged.gaps[0].reason == "moved by +3600.0 s"
        assert judge(batch_of(at), accepted(10), now(), -7.2, CORRECT).gaps[0].reason == "moved by -7.2 s"

    def test_what_is_within_the_tolerance_is_left_alone(self):
        batch = batch_of(NOW)
        for wrong_by, skew in ((4.9, 0.0), (0.0, -4.9), (100.0, 95.1)):
            judged = judge(batch, accepted(10, wrong_by), now(), skew, CORRECT)
            # Of the last one the clock is as wrong now as it was then.
            assert (judged.batch is batch) is (abs(skew - wrong_by) <= 5)
            assert bool(judged.gaps) is not (judged.batch is batch)
        rule = evolve(CORRECT, tolerance=60.0)
        assert judge(batch, accepted(10, 59), now(), 0.0, rule).batch is batch

    def test_after_a_restart_of_the_machine_it_is_not_known_and_that_is_said(self):
        batch = batch_of(40 * S)
        judged = judge(batch, accepted(10, -1e6, boot_id="another"), now(), 0.0, CORRECT)
        assert (judged.batch, judged.moved) == (batch, 0)
        assert [gap.reason for gap in judged.gaps] == [
            "the machine was restarted since, so it is not known whether its clock was right"
        ]

    def test_without_the_destination_s_clock_it_is_not_known_either(self):
        judged = judge(batch_of(40 * S), accepted(10, -1e6), now(), None, CORRECT)
        assert ats_of(judged.batch) == [40 * S]
        assert judged.gaps[0].reason.startswith("the destination's clock is not known")

    def test_what_somebody_has_sent_again_is_left_alone(self):
        batch = batch_of(40 * S)
        judged = judge(batch, accepted(10, -1e6, boot_id=""), now(), 0.0, CORRECT)
        assert (judged.batch, judged.gaps) == (batch, ())

    def test_notes_are_moved_and_gaps_and_breaks_stay(self):
        note = Note("n", 10 * S, 20 * S, NoteKind.EVENT)
        moment = Note("n", 10 * S, None, NoteKind.EVENT)
        gap = Gap("s", 1, 2, "full")
        block = SampleBlock.scalar("s", (10 * S, 11 * S), (1, 2), (1,))
        judged = judge(Batch((block,), (gap,), notes=(note, moment)), accepted(0, -100), now(), 0.0, CORRECT)
        moved = judged.batch
        assert [(one.start_ns, one.end_ns) for one in moved.notes] == [(110 * S, 120 * S), (110 * S, None)]
        assert (moved.gaps, moved.blocks[0].breaks) == ((gap,), (1,))
        assert [(one.stream, one.points) for one in judged.gaps] == [("s", 2), ("n", 0), ("n", 0)]

    def test_an_instant_that_cannot_be_moved_stays_and_that_is_said(self):
        batch = batch_of(2**63 - 1)
        judged = judge(batch, accepted(0, -100), now(), 0.0, CORRECT)
        assert judged.batch == batch
        assert judged.gaps[0].reason == "not moved by +100.0 s: out of range"

    @given(
        st.lists(st.integers(0, 10**6), min_size=1, max_size=20).map(sorted),
        st.floats(-1e9, 1e9),
        st.floats(-1e9, 1e9),
        st.integers(0, 900),
    )
    def test_rows_get_the_instants_that_a_right_clock_would_have_given_them(
        self, seconds_ago, wrong_then, wrong_now, delay
    ):
        """Whatever the clock showed at the measuring and shows now, the true instants come out."""
        true = sorted(NOW - ago * S for ago in seconds_ago)
        measured = np.array(true) + round(wrong_then * S)
        stamp = accepted(delay, wrong_then)
        judged = judge(
            Batch((SampleBlock.scalar("s", measured, measured),)),
            stamp,
            now(wall=NOW + round(wrong_now * S)),
            -wrong_now,
            CORRECT,
        )
        off = np.abs(judged.batch.blocks[0].at - np.array(true)).max()
        assert off <= (1000 if judged.moved else 5 * S)
        assert bool(judged.gaps) is bool(judged.moved)


class TestReject:
    def test_rows_ahead_of_the_destination_and_before_the_floor_go_to_the_dead_letters(self):
        ats = (0, 5 * S, NOW - S, NOW + 4 * S, NOW + 6 * S)
        judged = judge(batch_of(*ats), accepted(0), now(), 0.0, REJECT)
        assert ats_of(judged.batch) == [NOW - S, NOW + 4 * S]
        assert [(ats_of(batch), reason) for batch, reason in judged.refused] == [
            ([0, 5 * S], "its instant is before 2001-01-01"),
            ([NOW + 6 * S], "its instant is ahead of the destination's clock"),
        ]
        assert [(gap.start_ns, gap.end_ns, gap.points, gap.reason) for gap in judged.gaps] == [
            (0, 5 * S, 2, "its instant is before 2001-01-01"),
            (NOW + 6 * S, NOW + 6 * S, 1, "its instant is ahead of the destination's clock"),
        ]

    def test_it_is_the_destination_s_clock_that_counts(self):
        """This machine thinks that it is 1970, and a device with a good clock sends through it."""
        judged = judge(batch_of(NOW), accepted(0), now(wall=0), NOW / S, REJECT)
        assert ats_of(judged.batch) == [NOW]

    def test_without_the_destination_s_clock_only_the_floor_counts(self):
        judged = judge(batch_of(0, 2**62), accepted(0), now(wall=0), None, REJECT)
        assert ats_of(judged.batch) == [2**62]

    def test_a_break_before_rows_that_are_refused_is_kept(self):
        blocks = (
            SampleBlock.scalar("s", (NOW, NOW + S, NOW + 100 * S), (1, 2, 3), (2,)),
            SampleBlock.scalar("t", (NOW,), (1,)),
            SampleBlock.scalar("s", (NOW + 2 * S,), (4.0,)),
        )
        judged = judge(Batch(blocks), accepted(0), now(), 0.0, REJECT)
        assert [(block.stream, block.breaks) for block in judged.batch.blocks] == [
            ("s", ()),
            ("t", ()),
            ("s", (0,)),
        ]

    def test_notes_are_judged_by_their_beginning(self):
        notes = tuple(Note("n", at, None, NoteKind.EVENT) for at in (0, NOW, NOW + 100 * S))
        judged = judge(Batch(notes=notes), accepted(0), now(), 0.0, REJECT)
        assert judged.batch.notes == (notes[1],)
        assert [batch.notes for batch, _ in judged.refused] == [(notes[0],), (notes[2],)]

    @given(
        st.lists(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=6).map(sorted), max_size=4),
        st.one_of(st.none(), st.floats(-1e9, 1e9)),
        st.integers(0, 2**62),
    )
    def test_every_row_is_delivered_or_refused_and_told(self, blocks, skew, wall):
        batch = Batch(tuple(SampleBlock.scalar("s", ats, ats) for ats in blocks))
        judged = judge(batch, accepted(0), now(wall=wall), skew, REJECT)
        refused = [at for part, _ in judged.refused for at in ats_of(part)]
        kept = ats_of(judged.batch)
        assert sorted(kept + refused) == sorted(ats_of(batch))
        assert sum(gap.points for gap in judged.gaps) == len(refused)
        limit = None if skew is None else wall + (skew + 5) * S
        assert all(at >= REJECT.floor_ns for at in kept)
        if limit is not None:
            assert all(at <= limit + 1000 for at in kept)
            assert all(at < REJECT.floor_ns or at >= limit - 1000 for at in refused)


def test_a_tolerance_below_what_a_date_can_tell_is_refused():
    with pytest.raises(ValueError, match="known to the second"):
        ClockRule(tolerance=0.5)


def test_a_fake_clock_is_both_clocks():
    clock = Clock()
    stamp = machine_clock(clock)
    clock.advance(1.5)
    assert stamp() == Stamp(1_500_000_000, 1_500_000_000, "memory")


def test_the_clocks_of_this_machine():
    from twisted.internet import reactor

    stamp = machine_clock(reactor)
    first, second = stamp(), stamp()
    assert first.boot_id == second.boot_id == machine_clock(reactor)().boot_id
    with open("/proc/sys/kernel/random/boot_id") as file:
        assert first.boot_id == file.read().strip()
    assert first.boot_ns <= second.boot_ns
    assert abs(first.wall_ns - reactor.seconds() * S) < 60 * S
