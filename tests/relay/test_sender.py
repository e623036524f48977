"""A sender delivers everything in order, or says what it did not, whatever the sink answers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from tests.contract.outbox import batch_of
from tests.support.deferreds import fired, waits
from tests.support.relay import EVERYTHING, ScriptedDeadLetters, ScriptedLedger, ScriptedSink, hang
from txbridge.errors import (
    AuthError,
    ConnectError,
    ConnectionLost,
    OutboxError,
    RateLimited,
    RequestRejected,
    ServerFailed,
    TooLarge,
)
from txbridge.model.samples import Batch, Gap, Note, NoteKind, SampleBlock, StreamInfo
from txbridge.net.backoff import Backoff
from txbridge.relay.outbox import MemoryOutbox
from txbridge.relay.plan import RoutePolicy, plan_route
from txbridge.relay.roles import Capabilities, Loss, LossKind, Receipt, Rejection
from txbridge.relay.sender import Sender, SendLimits
from txbridge.relay.status import LinkState

AWAY = ConnectError("cloud.example", "refused")
BAD = RequestRejected("write", 422, "Invalid", "no such unit")
LARGE = TooLarge("write", 413)


class Bench:
    """An outbox, a sink and a sender between them on a fake clock."""

    def __init__(self, sink, *, start=True, policy=None, **options):
        self.clock = Clock()
        self.ledger = ScriptedLedger()
        self.dead_letters = ScriptedDeadLetters()
        self.sink = sink
        self.outbox = MemoryOutbox(("a",), self.clock)
        self.sender = Sender(
            "a",
            sink,
            self.outbox,
            plan=plan_route(EVERYTHING, sink.capabilities, policy or RoutePolicy()),
            clock=self.clock,
            random=lambda: 0.5,
            ledger=self.ledger,
            dead_letters=self.dead_letters,
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
    one.clock.advance(0.5)
    assert one.sink.ats() == [1]


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
        [AWAY, LARGE, BAD, hang, AuthError("write", 401), RateLimited("write", 429, retry_after=3)]
    ),
    st.builds(lambda index: Receipt((Rejection(index, "no"),)), st.just(0)),
)


@settings(max_examples=60)
@given(
    st.lists(st.lists(st.sampled_from("xyz"), min_size=1, max_size=4), min_size=1, max_size=6),
    st.lists(answers, max_size=12),
    st.integers(1, 5),
)
def test_every_point_is_delivered_once_more_or_recorded(batches, script, limit):
    """Whatever the sink answers, each stream arrives in order and nothing is silently missing."""
    one = Bench(ScriptedSink(*script), limits=SendLimits(points=limit, deadline=5), start=False)
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
        # A block that was recorded may have arrived when its receipt did not: never the other way.
        missing = [
            when
            for _, gap in one.lost
            if gap.stream == stream
            for when in ats
            if gap.start_ns <= when <= gap.end_ns
        ]
        assert sorted(set(arrived) | set(missing)) == ats
        assert arrived == sorted(arrived)
    assert one.status.delivered + one.status.rejected == at
    one.finish()
