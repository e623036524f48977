"""A sender delivers everything in order, or says what it did not, whatever the sink answers."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from tests.contract.outbox import ats_of, batch_of
from tests.support.deferreds import fired, result_of, waits
from tests.support.files import FaultyFiles
from tests.support.relay import EVERYTHING, ScriptedDeadLetters, ScriptedLedger, ScriptedSink, hang
from tests.support.workers import StepWorker
from txbridge.errors import (
    AuthError,
    ConnectError,
    ConnectionLost,
    DecodeError,
    OutboxError,
    RateLimited,
    RequestRejected,
    ServerFailed,
    TooLarge,
)
from txbridge.model.samples import Batch, Gap, Note, NoteKind, SampleBlock, StreamInfo
from txbridge.net.backoff import Backoff
from txbridge.relay.clock import ClockPolicy, ClockRule
from txbridge.relay.disk_outbox import DiskOutbox
from txbridge.relay.outbox import MemoryOutbox
from txbridge.relay.pace import Pace, PaceLimits
from txbridge.relay.plan import RoutePolicy, plan_route
from txbridge.relay.roles import Capabilities, Loss, LossKind, Receipt, Rejection, Stamp
from txbridge.relay.sender import Sender, SendLimits, SendOrder
from txbridge.relay.status import LinkState

S = 1_000_000_000
NOW = 1_700_000_000 * S
AWAY = ConnectError("cloud.example", "refused")
BAD = RequestRejected("write", 422, "Invalid", "no such unit")
LARGE = TooLarge("write", 413)


class Bench:
    """An outbox, a sink and a sender between them on a fake clock."""

    def __init__(self, sink, *, start=True, policy=None, clock=None, stamp=None, **options):
        self.clock = clock or Clock()
        self.ledger = ScriptedLedger()
        self.dead_letters = ScriptedDeadLetters()
        self.sink = sink
        self.outbox = MemoryOutbox(("a",), self.clock, stamp=stamp)
        self.sender = Sender(
            "a",
            sink,
            self.outbox,
            plan=plan_route(EVERYTHING, sink.capabilities, policy or RoutePolicy()),
            clock=self.clock,
            random=lambda: 0.5,
            ledger=self.ledger,
            dead_letters=self.dead_letters,
            stamp=stamp,
            **options,
        )
        if start:
            self.sender.start()

    @property
    def lost(self):
        return self.ledger.lost

    @property
    def letters(self):
        return self.dead_letters.letters

    def put(self, *batches):
        for batch in batches:
            fired(self.outbox.append(batch))

    @property
    def status(self):
        return self.sender.status()

    def finish(self):
        """Stop, and check that no timer is left."""
        fired(self.sender.stop())
        assert self.clock.getDelayedCalls() == []
        assert self.status.state is LinkState.STOPPED


@pytest.fixture
def bench():
    benches = []

    def make(*answers, always=None, capabilities=EVERYTHING, **options):
        benches.append(Bench(ScriptedSink(*answers, always=always, capabilities=capabilities), **options))
        return benches[-1]

    yield make
    for one in benches:
        one.finish()


@pytest.fixture
def logged():
    """The texts of what was logged."""
    texts = []

    def observe(event):
        if event.get("log_namespace", "").startswith("txbridge.relay"):
            texts.append(event["log_format"].format(**{**event, "link": event.get("link")}))

    globalLogPublisher.addObserver(observe)
    yield texts
    globalLogPublisher.removeObserver(observe)


def poisoned(*ats):
    """A sink's answer: it refuses a whole batch with one of these instants in it."""

    def answer(batch):
        there = {int(at) for block in batch.blocks for at in block.at}
        return BAD if there & set(ats) else None

    return answer


def reject(stream, *ats):
    """A sink's answer: it rejects blocks of a stream with one of these instants."""

    def answer(batch):
        return Receipt(
            tuple(
                Rejection(index, "not a number")
                for index, block in enumerate(batch.blocks)
                if block.stream == stream and set(block.at.tolist()) & set(ats)
            )
        )

    return answer


def several(*streams):
    return Batch(tuple(SampleBlock.scalar(stream, (1, 2), (1, 2)) for stream in streams))


def test_what_comes_is_delivered_and_settled(bench):
    one = bench()
    one.put(batch_of(1, 2), batch_of(3))
    assert one.sink.ats() == [1, 2, 3]
    assert (one.status.delivered, one.status.pending_points, one.status.state) == (3, 0, LinkState.WORKING)


def test_a_backlog_is_delivered_in_batches_of_the_limit(bench):
    one = bench(start=False, limits=SendLimits(points=3))
    one.put(*[batch_of(at) for at in range(7)])
    one.sender.start()
    assert one.sink.sizes() == [3, 3, 1]
    assert one.sink.ats() == list(range(7))


def test_the_capabilities_of_the_sink_bound_a_delivery(bench):
    takes = Capabilities(several_columns=True, breaks=True, gaps=True, infos=True, max_batch_points=2)
    one = bench(capabilities=takes)
    one.put(batch_of(1, 2, 3, 4, 5))
    assert one.sink.sizes() == [2, 2, 1]


def test_bytes_bound_a_delivery_too(bench):
    one = bench(limits=SendLimits(nbytes=batch_of(*range(1000)).nbytes // 4))
    one.put(batch_of(*range(1000)))
    assert 200 <= max(one.sink.sizes()) <= 250
    assert one.sink.ats() == list(range(1000))


def test_a_delay_gathers_what_comes_meanwhile(bench):
    one = bench(limits=SendLimits(points=3, delay=2))
    one.put(batch_of(1))
    one.clock.advance(1)
    one.put(batch_of(2))
    assert one.sink.tried == []
    one.clock.advance(1)
    assert one.sink.sizes() == [2]
    one.put(batch_of(3, 4, 5))
    assert one.sink.sizes() == [2, 3]


def test_the_plan_is_carried_out_before_the_sink_sees_anything(bench):
    takes = Capabilities(time_resolution_ns=1000)
    one = bench(capabilities=takes, policy=RoutePolicy(frozenset({"time ns -> us"} | LOSSES)))
    one.put(Batch((SampleBlock.scalar("s", (1001, 2002), (1, 2), (1,)),), (Gap("s", 1, 2, "x"),)))
    assert one.sink.taken == [Batch((SampleBlock.scalar("s", (1000, 2000), (1, 2)),))]


LOSSES = {"breaks dropped", "gaps dropped", "descriptions dropped"}


def test_nothing_is_sent_of_what_the_sink_has_no_words_for(bench):
    one = bench(capabilities=Capabilities(), policy=RoutePolicy(frozenset(LOSSES)))
    one.put(Batch(infos=(StreamInfo("s"),)))
    assert (one.sink.tried, one.status.pending_bytes) == ([], 0)


def test_a_destination_that_is_away_is_tried_for_ever_and_logged_twice(bench, logged):
    one = bench(*[AWAY] * 500)
    one.put(batch_of(1), batch_of(2))
    assert (one.status.state, one.status.last_error) == (
        LinkState.AWAY,
        "ConnectError: cannot connect to cloud.example: refused",
    )
    one.clock.pump([30.0] * 500)
    assert one.sink.ats() == [1, 2]
    assert (len(one.sink.tried), one.status.retries) == (501, 500)
    assert logged == ["a is away: ConnectError: cannot connect to cloud.example: refused", "a is back"]


def test_the_delays_grow_and_start_over_only_after_it_was_stable(bench):
    one = bench(AWAY, AWAY, AWAY, backoff=Backoff(initial=2, maximum=100, reset_after=30))
    one.put(batch_of(1))
    for delay in (1, 2, 4):
        assert one.clock.getDelayedCalls()[0].getTime() - one.clock.seconds() == delay
        one.clock.advance(delay)
    assert one.sink.ats() == [1]
    one.sink.answers.extend([AWAY])
    one.put(batch_of(2))
    assert one.clock.getDelayedCalls()[0].getTime() - one.clock.seconds() == 8
    one.clock.advance(8)
    one.clock.advance(30)
    one.sink.answers.extend([AWAY])
    one.put(batch_of(3))
    assert one.clock.getDelayedCalls()[0].getTime() - one.clock.seconds() == 1


@pytest.mark.parametrize(
    "error", [RateLimited("write", 429, retry_after=40), ServerFailed("write", 503, retry_after=40)]
)
def test_a_time_to_wait_that_the_platform_names_is_kept(bench, error):
    one = bench(error)
    one.put(batch_of(1))
    one.clock.advance(39)
    assert one.sink.ats() == []
    one.clock.advance(1)
    assert one.sink.ats() == [1]


def test_a_sink_that_never_answers_is_given_up_at_the_deadline(bench):
    one = bench(hang, limits=SendLimits(deadline=5))
    one.put(batch_of(1))
    one.clock.advance(4.9)
    assert one.status.last_error is None
    one.clock.advance(0.1)
    assert one.status.last_error == "TimedOut: deliver to a: no receipt within 5 s"
    one.clock.advance(1)
    assert one.sink.ats() == [1]


def test_what_a_slow_link_cannot_carry_in_time_is_cut_smaller(bench):
    one = bench(always=lambda batch: Deferred() if batch.points > 3 else None, limits=SendLimits(deadline=5))
    one.put(batch_of(*range(10)))
    one.clock.pump([5, 1] * 5)
    assert one.sink.ats() == list(range(10))
    assert one.sink.sizes()[:3] == [10, 5, 2]


def test_a_wrong_key_asks_for_a_person_and_goes_on_by_itself(bench, logged):
    one = bench(*[AuthError("write", 401, "Unauthorized")] * 3)
    one.put(batch_of(1))
    assert one.status.state is LinkState.NEEDS_ATTENTION
    one.clock.pump([15, 30, 60])
    assert one.sink.ats() == [1]
    assert one.status.state is LinkState.WORKING
    assert logged == ["a needs attention: AuthError: write: 401 Unauthorized", "a is back"]


def test_somebody_who_mended_it_need_not_wait(bench):
    one = bench(AuthError("write", 401), AWAY)
    one.put(batch_of(1))
    one.sender.retry_now()
    one.sender.retry_now()
    assert one.sink.ats() == [1]
    one.sender.retry_now()


def test_a_rejected_block_is_recorded_and_the_others_are_delivered(bench, logged):
    one = bench(always=reject("b", 2))
    one.put(several("a", "b", "c"))
    assert [block.stream for block in one.sink.taken[0].blocks] == ["a", "c"]
    assert (one.sink.ats("a"), one.sink.ats("b"), one.sink.ats("c")) == ([1, 2], [1], [1, 2])
    assert one.ledger.losses == [
        Loss("a", LossKind.REFUSED, Gap("b", 2, 2, "refused: not a number", 1)),
    ]
    assert one.letters == [("a", Batch((SampleBlock.scalar("b", (2,), (2,)),)), "not a number")]
    assert (one.status.delivered, one.status.rejected, one.status.last_error) == (5, 1, "not a number")
    assert logged == ["a refuses some data: not a number"]
    assert one.status.state is LinkState.WORKING


def test_a_block_that_poisons_its_batch_is_found_and_left(bench):
    def refuse(batch):
        return BAD if any(block.stream == "bad" for block in batch.blocks) else None

    one = bench(always=refuse)
    one.put(several("a", "b", "bad", "c", "d"), several("e"))
    assert [block.stream for batch in one.sink.taken for block in batch.blocks] == ["a", "b", "c", "d", "e"]
    assert [(gap.stream, gap.start_ns, gap.points) for _, gap in one.lost] == [("bad", 1, 1), ("bad", 2, 1)]
    words = "RequestRejected: write: 422 Invalid: no such unit"
    assert one.lost[0][1].reason == f"refused: {words}"
    assert one.letters == [("a", several("bad"), words)]
    assert one.status.rejected == 2


@pytest.mark.parametrize("answer", [poisoned, lambda at: reject("s", at)])
def test_of_a_thousand_rows_only_the_one_that_is_refused_is_buried(bench, answer):
    one = bench(always=answer(777))
    one.put(batch_of(*range(1000)))
    assert one.sink.ats() == [at for at in range(1000) if at != 777]
    assert [(where, ats_of(batch)) for where, batch, _ in one.letters] == [("a", [777])]
    assert [(loss.kind, loss.gap.start_ns, loss.gap.points) for loss in one.ledger.losses] == [
        (LossKind.REFUSED, 777, 1)
    ]
    assert (one.status.delivered, one.status.rejected, one.status.pending_points) == (999, 1, 0)
    assert len(one.sink.tried) < 30


def test_several_refused_rows_are_one_letter_and_a_line_of_the_ledger_each(bench):
    one = bench(always=poisoned(3, 500, 501))
    one.put(batch_of(*range(1000)))
    assert one.sink.ats() == [at for at in range(1000) if at not in (3, 500, 501)]
    assert [ats_of(batch) for _, batch, _ in one.letters] == [[3, 500, 501]]
    assert [gap.start_ns for _, gap in one.lost] == [3, 500, 501]


def test_a_stream_of_which_nothing_is_taken_is_not_searched_again_and_again(bench):
    is_bad = [True]
    one = bench(always=lambda batch: reject("s", *range(10_000))(batch) if is_bad[0] else None)
    one.put(batch_of(*range(1000)))
    searched = len(one.sink.tried)
    assert searched < 200
    one.put(batch_of(*range(1000, 1100)))
    assert len(one.sink.tried) == searched + 1
    assert sorted(at for _, batch, _ in one.letters for at in ats_of(batch)) == list(range(1100))
    is_bad[0] = False
    one.put(batch_of(2000))
    one.sink.always = poisoned(2002)
    one.put(batch_of(2001, 2002, 2003))
    assert one.sink.ats() == [2000, 2001, 2003]


def test_a_block_is_not_searched_after_a_later_one_of_its_stream_was_taken(bench):
    blocks = (SampleBlock.scalar("s", (1, 2), (1, 2)), SampleBlock.scalar("s", (3,), (3.5,)))
    one = bench(always=reject("s", 1))
    one.put(Batch(blocks))
    assert (one.sink.ats(), [ats_of(batch) for _, batch, _ in one.letters]) == ([3], [[1, 2]])
    other = bench(always=reject("s", 1), capabilities=evolve(EVERYTHING, any_order=True))
    other.put(Batch(blocks))
    assert (other.sink.ats(), [ats_of(batch) for _, batch, _ in other.letters]) == ([3, 2], [[1]])


def test_nothing_is_settled_before_its_letter_and_its_line_of_the_ledger_are_kept(bench):
    one = bench(start=False, always=poisoned(2))
    full = OutboxError("the disk is full")
    letter, line = Deferred(), Deferred()
    one.dead_letters.answers.extend([full, full, lambda: letter])
    one.ledger.answers.extend([full, lambda: line])
    one.sender.start()
    one.put(batch_of(1, 2, 3))
    assert one.sink.ats() == [1, 3]
    tried = len(one.sink.tried)
    assert (one.status.storage, one.status.state) == (LinkState.AWAY, LinkState.WORKING)
    one.clock.pump([1] * 5)
    assert (one.letters, one.lost, one.status.pending_points) == ([], [], 3)
    letter.callback(None)
    assert (len(one.letters), one.lost, one.status.pending_points) == (1, [], 3)
    one.clock.pump([1] * 5)
    assert (len(one.letters), one.lost, one.status.pending_points) == (1, [], 3)
    line.callback(None)
    assert (len(one.letters), len(one.lost), one.status.pending_points) == (1, 1, 0)
    assert (one.status.storage, len(one.sink.tried)) == (LinkState.WORKING, tried)


def test_stopping_while_nothing_can_be_kept_leaves_it_all_in_the_outbox(bench):
    one = bench(start=False, always=poisoned(2))
    one.dead_letters.answers.extend([OutboxError("the disk is full")] * 99)
    one.sender.start()
    one.put(batch_of(1, 2, 3))
    drained = one.sender.drain()
    fired(drained)
    one.finish()
    assert one.outbox.state().destinations["a"].points == 3


def test_rows_that_are_dropped_on_the_way_are_in_the_ledger(bench):
    takes = evolve(EVERYTHING, not_numbers=False)
    policy = RoutePolicy(frozenset({"not-a-number dropped"}))
    one = bench(capabilities=takes, policy=policy)
    one.put(Batch((SampleBlock.scalar("s", (1, 2, 3, 4), (1.0, math.nan, math.inf, 4.0)),)))
    assert one.sink.ats() == [1, 4]
    assert one.ledger.losses == [Loss("a", LossKind.CONVERTED, Gap("s", 2, 3, "not-a-number dropped", 2))]
    assert (one.status.delivered, one.status.converted, one.letters) == (2, 2, [])


def test_an_answer_that_cannot_be_read_says_nothing_about_the_data(bench):
    one = bench(DecodeError("json", "", "ends in the middle"))
    one.put(batch_of(1))
    assert (one.status.state, one.letters) == (LinkState.AWAY, [])
    one.clock.advance(1)
    assert (one.sink.ats(), one.lost) == ([1], [])


def test_a_backlog_is_not_thrown_at_a_server_that_has_just_come_back(bench):
    is_away = [True]
    one = bench(always=lambda batch: AWAY if is_away[0] else None)
    for start in range(0, 50_000, 50):
        one.put(batch_of(*range(start, start + 50)))
    one.clock.pump([60] * 20)
    assert max(one.sink.sizes()) <= 156
    is_away[0] = False
    before = len(one.sink.tried)
    one.clock.pump([60] * 2)
    assert one.sink.ats() == list(range(50_000))
    sizes = one.sink.sizes()[before:]
    assert [size // 50 for size in sizes[:9]] == [3, 6, 12, 25, 50, 100, 200, 200, 200]
    assert one.status.batch_points == 10_000


def test_a_backlog_of_single_rows_is_delivered_in_large_parts_too(bench):
    one = bench(start=False)
    for at in range(5000):
        one.put(batch_of(at))
    one.sender.start()
    assert one.sink.ats() == list(range(5000))
    assert one.sink.sizes()[0] < 30
    assert len(one.sink.tried) < 15


def test_what_waits_for_hours_is_peeked_anew_and_not_held(bench):
    """So what came meanwhile, and what made room for it, counts."""
    one = bench(*[AWAY] * 3)
    one.put(batch_of(1))
    one.put(batch_of(2))
    one.clock.pump([60] * 3)
    assert one.sink.sizes() == [1, 2, 2, 2]


def test_a_time_that_one_sender_is_told_to_wait_holds_for_the_whole_account():
    clock = Clock()
    pace = Pace(PaceLimits(), clock)
    first = Bench(ScriptedSink(RateLimited("write", 429, retry_after=40)), clock=clock, pace=pace)
    second = Bench(ScriptedSink(), clock=clock, pace=pace)
    other = Bench(ScriptedSink(), clock=clock)
    first.put(batch_of(1))
    for one in (second, other):
        one.put(batch_of(1))
    assert (second.sink.tried, second.status.paced, second.status.held) == ([], True, 40)
    assert other.sink.ats() == [1]
    second.sender.retry_now()
    first.sender.retry_now()
    clock.advance(39)
    assert (first.sink.ats(), second.sink.ats()) == ([], [])
    clock.advance(1)
    assert (first.sink.ats(), second.sink.ats()) == ([1], [1])
    assert (second.status.paced, second.status.held) == (False, 0)
    for one in (first, second, other):
        one.finish()


def test_too_many_requests_without_a_time_hold_the_account_for_the_delay_of_the_one_who_asked():
    clock = Clock()
    pace = Pace(PaceLimits(), clock)
    first = Bench(ScriptedSink(RateLimited("write", 429)), clock=clock, pace=pace)
    second = Bench(ScriptedSink(), clock=clock, pace=pace)
    first.put(batch_of(1))
    second.put(batch_of(1))
    assert second.status.held == 0.25
    clock.advance(0.25)
    assert (first.sink.ats(), second.sink.ats()) == ([1], [1])
    for one in (first, second):
        one.finish()


def test_an_account_s_pace_is_kept_and_what_comes_meanwhile_goes_along(bench):
    clock = Clock()
    one = Bench(ScriptedSink(), clock=clock, pace=Pace(PaceLimits(requests=0.1, burst=1), clock))
    for at in range(25):
        one.put(batch_of(at))
        clock.advance(1)
    assert one.sink.sizes() == [1, 9, 10]
    assert one.status.paced
    clock.advance(6)
    assert one.sink.ats() == list(range(25))
    one.finish()


def test_waiting_for_the_account_s_pace_is_not_taken_for_a_slow_delivery():
    clock = Clock()
    one = Bench(ScriptedSink(), clock=clock, pace=Pace(PaceLimits(requests=0.01, burst=1), clock))
    for start in range(0, 1000, 50):
        one.put(batch_of(*range(start, start + 50)))
    clock.pump([100] * 4)
    assert one.sink.sizes() == [50, 150, 300, 500]
    one.finish()


def test_no_delivery_has_more_points_than_the_account_may_send_at_once():
    clock = Clock()
    one = Bench(ScriptedSink(), clock=clock, pace=Pace(PaceLimits(points=0.5, burst=60), clock))
    one.put(batch_of(*range(100)))
    assert (one.sink.sizes(), one.status.batch_points) == ([30], 30)
    clock.pump([30] * 5)
    assert one.sink.sizes() == [30, 30, 30, 10]
    one.finish()


def test_a_rate_limit_makes_deliveries_smaller_only_if_each_alone_is_above_it(bench):
    limited = RateLimited("write", 429, retry_after=10)
    one = bench(limited, limited, limits=SendLimits(points=32))
    one.put(batch_of(*range(32)))
    one.clock.pump([10] * 2)
    assert one.sink.sizes() == [32, 32, 32]
    other = bench(always=lambda batch: limited if batch.points > 10 else None, limits=SendLimits(points=32))
    other.put(batch_of(*range(32)))
    other.clock.pump([10] * 30)
    assert other.sink.ats() == list(range(32))
    assert other.sink.sizes()[:6] == [32, 32, 32, 16, 8, 16]


def test_draining_does_not_wait_for_a_platform_that_wants_to_be_left_alone(bench):
    one = bench(RateLimited("write", 429, retry_after=3000))
    one.put(batch_of(1))
    fired(one.sender.drain())


def test_the_status_tells_how_long_nothing_moved_although_something_waits(bench):
    one = bench(hang, hang, limits=SendLimits(deadline=5))
    assert (one.status.stalled, one.status.last_success) == (None, None)
    one.put(batch_of(1))
    one.clock.advance(4)
    assert one.status.stalled == 4
    one.clock.pump([1, 1, 5, 1])
    assert one.sink.ats() == [1]
    assert (one.status.stalled, one.status.last_success, one.status.retries) == (None, 12.0, 2)
    one.sink.answers.append(AWAY)
    one.clock.advance(100)
    one.put(batch_of(2))
    one.clock.advance(0.2)
    assert one.status.stalled == pytest.approx(0.2)
    one.sink.skew = 3.5
    assert one.status.skew == 3.5


class TestLiveFirst:
    """What comes now goes first, and the backlog in between."""

    ANY = evolve(EVERYTHING, any_order=True)
    LIMITS = SendLimits(points=32, order=SendOrder.LIVE_FIRST)

    def test_after_an_outage_the_newest_is_delivered_first_and_then_the_backlog_in_order(self, bench):
        one = bench(AWAY, capabilities=self.ANY, limits=self.LIMITS)
        for start in range(0, 100, 10):
            one.put(batch_of(*range(start, start + 10)))
        one.clock.advance(1)
        assert one.sink.ats() == [*range(70, 100), *range(70)]
        assert one.status.pending_points == 0

    def test_what_comes_while_the_backlog_goes_is_not_kept_waiting(self, bench):
        answers = [Deferred() for _ in range(3)]
        one = bench(
            AWAY,
            None,
            *[lambda batch, answer=answer: answer for answer in answers],
            capabilities=self.ANY,
            limits=self.LIMITS,
        )
        for start in range(0, 100, 10):
            one.put(batch_of(*range(start, start + 10)))
        one.clock.advance(1)
        assert [ats_of(batch)[0] for batch in one.sink.tried[1:]] == [70, 0]
        one.put(batch_of(1000, 1001))
        answers[0].callback(None)
        assert ats_of(one.sink.tried[-1]) == [1000, 1001]
        one.put(batch_of(1002))
        answers[1].callback(None)
        assert ats_of(one.sink.tried[-1]) == [1002]
        answers[2].callback(None)
        assert one.sink.ats() == [*range(70, 100), *range(30), 1000, 1001, 1002, *range(30, 70)]

    def test_what_is_live_overtakes_a_backlog_that_fails(self, bench):
        one = bench(AWAY, None, AWAY, capabilities=self.ANY, limits=self.LIMITS)
        for start in range(0, 100, 10):
            one.put(batch_of(*range(start, start + 10)))
        one.clock.advance(0.25)
        one.put(batch_of(1000))
        one.clock.advance(1)
        assert one.sink.ats() == [*range(70, 100), 1000, *range(70)]

    def test_what_is_live_after_a_long_wait_is_what_came_last(self, bench):
        limited = RateLimited("write", 429, retry_after=600)
        one = bench(limited, capabilities=self.ANY, limits=self.LIMITS)
        for start in range(0, 600, 10):
            one.put(batch_of(*range(start, start + 10)))
            one.clock.advance(10)
        assert ats_of(one.sink.tried[1]) == list(range(570, 600))
        assert sorted(one.sink.ats()) == list(range(600))

    def test_nothing_waits_when_there_is_no_backlog(self, bench):
        one = bench(capabilities=self.ANY, limits=self.LIMITS)
        for at in range(5):
            one.put(batch_of(at))
        assert (one.sink.ats(), one.sink.sizes()) == ([0, 1, 2, 3, 4], [1] * 5)


class Machine:
    """The clocks of a machine; ``wrong`` is by how many seconds its wall clock is ahead."""

    def __init__(self, clock):
        self.clock = clock
        self.wrong = 0
        self.boot_id = "this"

    def __call__(self):
        seconds = round(self.clock.seconds() * S)
        return Stamp(NOW + seconds + self.wrong * S, seconds, self.boot_id)

    @property
    def shown(self):
        """What its wall clock shows."""
        return self().wall_ns


class TestClocks:
    """Instants of a wrong clock, on their way to a platform with a right one."""

    @pytest.fixture
    def clock(self):
        return Clock()

    @pytest.fixture
    def machine(self, clock):
        return Machine(clock)

    @pytest.fixture
    def make(self, bench, clock, machine):
        def make(policy, *answers, **options):
            rule = ClockRule(policy=policy)
            return bench(*answers, clock=clock, stamp=machine, clock_rule=rule, **options)

        return make

    def test_rows_of_an_outage_before_the_clock_was_set_arrive_with_their_true_instants(
        self, make, clock, machine
    ):
        one = make(ClockPolicy.CORRECT, *[AWAY] * 4)
        machine.wrong = -1000
        for _ in range(3):
            one.put(batch_of(machine.shown))
            clock.advance(1)
        machine.wrong, one.sink.skew = 0, 0.3
        one.put(batch_of(machine.shown))
        clock.advance(60)
        assert [at - NOW for at in one.sink.ats()] == pytest.approx([0, S, 2 * S, 3 * S], abs=0.4 * S)
        assert [(loss.kind, loss.gap.points, loss.gap.reason) for loss in one.ledger.losses] == [
            (LossKind.CLOCK, 3, "moved by +1000.3 s")
        ]
        assert one.ledger.losses[0].gap.start_ns == NOW - 1000 * S
        assert (one.status.clock_moved, one.status.delivered) == (3, 4)

    def test_a_platform_whose_clock_is_not_known_is_greeted_first(self, make, machine):
        def greeted(batch):
            assert batch == Batch()
            one.sink.skew = 5000.0

        machine.wrong = -5000
        one = make(ClockPolicy.CORRECT, AWAY, greeted)
        one.put(batch_of(machine.shown))
        assert one.sink.sizes() == [0]
        one.clock.advance(1)
        assert (one.sink.sizes(), one.sink.ats()) == ([0, 0, 1], [NOW])
        one.put(batch_of(machine.shown))
        assert one.sink.sizes() == [0, 0, 1, 1]

    def test_a_platform_that_has_not_said_the_time_for_long_is_greeted_again(self, make, machine):
        one = make(ClockPolicy.CORRECT, start=False)
        one.sink.skew = 0.0
        one.sender.start()
        one.put(batch_of(machine.shown))
        one.sink.skew = None
        one.put(batch_of(machine.shown))
        assert one.sink.sizes() == [1, 0, 1]

    def test_a_platform_that_cannot_be_greeted_gets_its_data_all_the_same(self, make, machine):
        one = make(ClockPolicy.CORRECT, RequestRejected("version", 404))
        one.put(batch_of(machine.shown))
        assert one.sink.sizes() == [0, 1]

    def test_a_platform_that_never_tells_the_time_is_greeted_once_and_that_is_in_the_ledger(
        self, make, machine
    ):
        one = make(ClockPolicy.CORRECT)
        for _ in range(2):
            one.put(batch_of(machine.shown))
        assert one.sink.sizes() == [0, 1, 1]
        assert [loss.kind for loss in one.ledger.losses] == [LossKind.CLOCK] * 2
        assert one.status.clock_moved == 0

    def test_after_a_restart_of_the_machine_rows_go_as_they_are_and_that_is_in_the_ledger(
        self, make, machine
    ):
        one = make(ClockPolicy.CORRECT, start=False)
        one.sink.skew = 0.0
        machine.wrong = -1000
        one.put(batch_of(machine.shown))
        machine.wrong, machine.boot_id = 0, "the next"
        one.sender.start()
        assert one.sink.ats() == [NOW - 1000 * S]
        assert "restarted" in one.lost[0][1].reason

    def test_instants_that_cannot_be_right_go_to_the_dead_letters(self, make, machine):
        one = make(ClockPolicy.REJECT, start=False)
        one.sink.skew = 0.0
        one.put(batch_of(0, NOW, NOW + 60 * S))
        one.sender.start()
        assert one.sink.ats() == [NOW]
        assert [(ats_of(batch), reason) for _, batch, reason in one.letters] == [
            ([0], "its instant is before 2001-01-01"),
            ([NOW + 60 * S], "its instant is ahead of the destination's clock"),
        ]
        assert [loss.kind for loss in one.ledger.losses] == [LossKind.CLOCK] * 2
        assert (one.status.clock_refused, one.status.rejected) == (2, 0)

    def test_trusted_instants_are_delivered_as_they_are_without_a_greeting(self, make):
        one = make(ClockPolicy.TRUST)
        one.put(batch_of(0, 2**62))
        assert (one.sink.ats(), one.sink.sizes(), one.lost) == ([0, 2**62], [2], [])


def test_a_description_that_is_refused_does_not_take_its_points_along(bench):
    one = bench(always=lambda batch: BAD if batch.infos else None)
    one.put(Batch((SampleBlock.scalar("s", (1, 2), (1, 2)),), infos=(StreamInfo("s"),)))
    assert one.sink.ats() == [1, 2]
    assert one.lost == []


def test_a_note_that_is_refused_is_told_to_the_ledger_and_takes_nothing_along(bench):
    one = bench(always=lambda batch: BAD if [note for note in batch.notes if note.end_ns == 9] else None)
    notes = tuple(Note("s", 7, end, NoteKind.EVENT) for end in (8, 9, None))
    one.put(Batch((SampleBlock.scalar("s", (1, 2), (1, 2)),), notes=notes))
    assert one.sink.ats() == [1, 2]
    assert [note.end_ns for batch in one.sink.taken for note in batch.notes] == [8, None]
    assert [(gap.stream, gap.start_ns, gap.end_ns, gap.points) for _, gap in one.lost] == [("s", 7, 9, 0)]


def test_a_batch_that_is_too_large_is_halved_and_stays_small(bench):
    one = bench(always=lambda batch: LARGE if batch.points > 300 else None)
    one.put(batch_of(*range(1000)))
    assert one.sink.ats() == list(range(1000))
    tried = len(one.sink.tried)
    one.put(batch_of(*range(1000, 2000)))
    assert one.sink.ats() == list(range(2000))
    assert all(batch.points <= 300 for batch in one.sink.tried[tried:])
    assert one.lost == []


def test_a_single_point_that_is_too_large_is_left(bench):
    one = bench(always=lambda batch: LARGE if 2 in [int(at) for b in batch.blocks for at in b.at] else None)
    one.put(batch_of(1, 2, 3))
    assert one.sink.ats() == [1, 3]
    assert [(gap.start_ns, gap.end_ns) for _, gap in one.lost] == [(2, 2)]


def test_draining_waits_for_what_is_being_sent_and_stops_gathering(bench):
    answer = Deferred()
    one = bench(lambda batch: answer, limits=SendLimits(delay=60))
    one.put(batch_of(1))
    drained = one.sender.drain()
    assert len(one.sink.tried) == 1
    assert waits(drained)
    answer.callback(None)
    fired(drained)
    fired(one.sender.drain())


def test_draining_does_not_wait_for_a_destination_that_is_away(bench):
    one = bench(AWAY)
    one.put(batch_of(1))
    fired(one.sender.drain())


def test_draining_ends_when_the_destination_goes_away(bench):
    answer = Deferred()
    one = bench(lambda batch: answer)
    one.put(batch_of(1))
    drained = one.sender.drain()
    assert waits(drained)
    answer.errback(ConnectionLost("write", "reset"))
    fired(drained)


def test_stopping_in_the_middle_leaves_the_batch_in_the_outbox(bench):
    one = bench(hang)
    one.put(batch_of(1))
    one.finish()
    assert one.outbox.state().destinations["a"].points == 1


def test_a_sink_that_answers_when_it_is_cancelled_gets_nothing_more(bench):
    def answer_late(batch):
        return Deferred(lambda one: one.callback(Receipt()))

    one = bench(always=answer_late, limits=SendLimits(points=1))
    one.put(batch_of(1, 2, 3))
    one.finish()
    assert len(one.sink.tried) == 1


def test_a_bug_in_a_sink_does_not_end_the_sending(bench, flushed_errors):
    def bug(batch):
        raise KeyError("secret")

    one = bench(bug)
    one.put(batch_of(1))
    assert [type(failure.value) for failure in flushed_errors(KeyError)] == [KeyError]
    assert (one.status.state, one.status.last_error) == (LinkState.NEEDS_ATTENTION, "KeyError")
    one.clock.advance(0.5)
    assert (one.sink.ats(), one.status.state) == ([1], LinkState.WORKING)


def test_a_failing_outbox_is_tried_again(bench):
    one = bench(start=False)
    real = one.outbox.settle
    answers = [fail(OutboxError("the disk is full"))]
    one.outbox.settle = lambda *arguments: answers.pop() if answers else real(*arguments)
    one.sender.start()
    one.put(batch_of(1))
    assert (one.status.storage, one.status.storage_error) == (
        LinkState.AWAY,
        "OutboxError: the disk is full",
    )
    one.clock.advance(1)
    assert one.sink.ats() == [1]
    assert (one.status.pending_points, one.status.storage) == (0, LinkState.WORKING)


def test_closing_the_outbox_ends_the_sender(bench):
    one = bench()
    fired(one.outbox.close())
    assert one.clock.getDelayedCalls() == []


def test_limits_that_allow_nothing_are_refused():
    for options in ({"points": 0}, {"nbytes": 0}, {"delay": -1}, {"deadline": 0}):
        with pytest.raises(ValueError, match="nothing can be sent"):
            SendLimits(**options)


answers = st.one_of(
    st.none(),
    st.sampled_from(
        [
            AWAY,
            LARGE,
            BAD,
            hang,
            AuthError("write", 401),
            RateLimited("write", 429, retry_after=3),
            ServerFailed("write", 503),
            DecodeError("json", "", "ends in the middle"),
        ]
    ),
    st.builds(lambda index: Receipt((Rejection(index, "no"),)), st.just(0)),
)


@given(
    st.lists(st.lists(st.sampled_from("xyz"), min_size=1, max_size=4), min_size=1, max_size=6),
    st.lists(answers, max_size=12),
    st.integers(1, 5),
    st.lists(st.sampled_from([None, OutboxError("the disk is full")]), max_size=6),
)
def test_every_point_is_delivered_once_more_or_recorded(batches, script, limit, disk):
    """Whatever the sink answers, each stream arrives in order and nothing is silently missing."""
    one = Bench(ScriptedSink(*script), limits=SendLimits(points=limit, deadline=5), start=False)
    one.ledger.answers.extend(disk)
    one.dead_letters.answers.extend(reversed(disk))
    at = 0
    sent = {"x": [], "y": [], "z": []}
    for streams in batches:
        blocks = []
        for stream in streams:
            blocks.append(SampleBlock.scalar(stream, (at, at + 1), (0, 0)))
            sent[stream].extend([at, at + 1])
            at += 2
        one.put(Batch(tuple(blocks)))
    one.sender.start()
    while one.status.pending_points:
        one.clock.advance(5)
    for stream, ats in sent.items():
        arrived = one.sink.ats(stream)
        missing = [
            when
            for _, gap in one.lost
            if gap.stream == stream
            for when in ats
            if gap.start_ns <= when <= gap.end_ns
        ]
        assert sorted(arrived + missing) == ats
        assert arrived == sorted(arrived)
        assert sorted(at for _, batch, _ in one.letters for at in ats_of(batch, stream)) == sorted(missing)
    assert one.status.delivered + one.status.rejected == at
    one.finish()


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(1, 9), st.sampled_from([0, 0, 1, 7])), min_size=1, max_size=20),
    st.lists(answers, max_size=12),
    st.integers(1, 12),
)
def test_live_first_delivers_every_point_once_in_two_lanes_that_keep_their_order(batches, script, limit):
    limits = SendLimits(points=limit, deadline=5, order=SendOrder.LIVE_FIRST)
    sink = ScriptedSink(*script, capabilities=evolve(EVERYTHING, any_order=True))
    one = Bench(sink, limits=limits)
    at = 0
    for points, pause in batches:
        one.put(batch_of(*range(at, at + points)))
        at += points
        one.clock.advance(pause)
    while one.status.pending_points:
        one.clock.advance(5)
    arrived = sink.ats()
    refused = [at for _, batch, _ in one.letters for at in ats_of(batch)]
    assert sorted(arrived + refused) == list(range(at))
    assert sum(gap.points for _, gap in one.lost) == len(refused)
    lanes = [-1, -1]
    for instant in arrived:
        lanes.sort(reverse=True)
        lane = 0 if instant > lanes[0] else 1
        assert instant > lanes[lane]
        lanes[lane] = instant
    one.finish()


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.integers(1, 9), st.sampled_from(["", "", "wait", "kill"])), min_size=1, max_size=20
    ),
    st.lists(answers, max_size=12),
    st.sampled_from(SendOrder),
)
def test_over_a_disk_and_through_kills_nothing_is_missing_that_is_not_in_the_ledger(batches, script, order):
    clock, files = Clock(), FaultyFiles()
    sink = ScriptedSink(*script, capabilities=evolve(EVERYTHING, any_order=True))
    ledger, dead_letters = ScriptedLedger(), ScriptedDeadLetters()

    def start():
        outbox = result_of(
            DiskOutbox.open(
                Path("/outbox"),
                ("a",),
                clock,
                files=files,
                ledger=ledger,
                segment_bytes=4096,
                writer=StepWorker(),
                reader=StepWorker(),
            )
        )
        sender = Sender(
            "a",
            sink,
            outbox,
            plan=plan_route(EVERYTHING, sink.capabilities, RoutePolicy()),
            clock=clock,
            random=lambda: 0.5,
            limits=SendLimits(points=7, deadline=5, order=order),
            ledger=ledger,
            dead_letters=dead_letters,
        )
        sender.start()
        return outbox, sender

    outbox, sender = start()
    at = 0
    for points, happening in batches:
        fired(outbox.append(batch_of(*range(at, at + points))))
        at += points
        if happening == "wait":
            clock.advance(3)
        elif happening == "kill":
            fired(sender.stop())
            files.kill()
            outbox, sender = start()
    for _ in range(2000):
        if not sender.status().pending_points:
            break
        clock.advance(5)
    assert sender.status().pending_points == 0
    buried = {instant for _, batch, _ in dead_letters.letters for instant in ats_of(batch)}
    assert set(sink.ats()) | buried == set(range(at))
    assert buried <= {instant for _, gap in ledger.lost for instant in range(gap.start_ns, gap.end_ns + 1)}
    fired(sender.stop())
    fired(outbox.close())


def test_a_rejected_block_without_rows_is_nothing_to_search_or_bury(bench):
    one = bench(Receipt((Rejection(0, "there is nothing in it"),)))
    one.put(Batch((SampleBlock.scalar("s", (), ()), *batch_of(1, stream="t").blocks)), batch_of(2))
    assert (one.sink.ats("t"), one.sink.ats("s")) == ([1], [2])
    assert (one.letters, one.lost) == ([], [])
