"""A route carries every batch from its source to its destinations, through every kind of trouble."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from tests.contract.outbox import ats_of, batch_of
from tests.relay.test_disk_outbox import open_disk
from tests.support.deferreds import fired, waits
from tests.support.files import FaultyFiles
from tests.support.relay import (
    EVERYTHING,
    ScriptedDeadLetters,
    ScriptedLedger,
    ScriptedSink,
    ScriptedSource,
    hang,
)
from txbridge.errors import (
    AuthError,
    Closed,
    ConfigError,
    ConnectError,
    ConnectionLost,
    OutboxError,
    PlanRefused,
    RequestRejected,
)
from txbridge.model.samples import Batch, Cursor, Gap, SampleBlock, ValueType
from txbridge.relay.clock import ClockPolicy, ClockRule
from txbridge.relay.outbox import MemoryOutbox
from txbridge.relay.pace import Pace, PaceLimits
from txbridge.relay.plan import RoutePolicy
from txbridge.relay.roles import Capabilities, Durability, Loss, LossKind, OnFull, Selection
from txbridge.relay.route import Destination, RelayService
from txbridge.relay.sender import SendLimits, SendOrder
from txbridge.relay.status import LinkState
from txbridge.relay.steps import Decimate, Scale

AWAY = ConnectError("cloud.example", "refused")
INTEGERS = Capabilities(value_types=frozenset({ValueType.INTEGER}))
S = 1_000_000_000


class Bench:
    """A route on a fake clock."""

    def __init__(
        self,
        source,
        sinks,
        *,
        outbox_options=None,
        destination_options=None,
        clock=None,
        ledger=None,
        outbox=None,
        **options,
    ):
        self.clock = clock or Clock()
        self.ledger = ledger or ScriptedLedger()
        self.dead_letters = ScriptedDeadLetters()
        self.source = source
        self.sinks = sinks
        self.outbox = outbox or MemoryOutbox(
            tuple(sinks), self.clock, ledger=self.ledger, **(outbox_options or {})
        )
        self.route = RelayService(
            "garden",
            source,
            [
                Destination(name=name, sink=sink, **(destination_options or {}))
                for name, sink in sinks.items()
            ],
            self.outbox,
            clock=self.clock,
            random=lambda: 0.5,
            ledger=self.ledger,
            dead_letters=self.dead_letters,
            **options,
        )

    @property
    def lost(self):
        return self.ledger.lost

    @property
    def status(self):
        return self.route.status()

    def stop(self):
        """Stop at once, and check that nothing is left running."""
        if self.route.running:
            stopped = self.route.stopService()
            self.clock.pump([1] * 10)
            fired(stopped)
        assert self.clock.getDelayedCalls() == []


@pytest.fixture
def bench():
    benches = []

    def make(source=None, start=True, **options):
        sinks = options.pop("sinks", None) or {"a": ScriptedSink()}
        benches.append(Bench(source or ScriptedSource(), sinks, **options))
        if start:
            benches[-1].route.startService()
        return benches[-1]

    yield make
    for one in benches:
        one.stop()


def test_a_batch_reaches_every_destination_and_is_settled_at_the_source(bench):
    one = bench(sinks={"a": ScriptedSink(), "b": ScriptedSink()})
    one.source.give(batch_of(1, 2, cursor=7))
    assert [sink.ats() for sink in one.sinks.values()] == [[1, 2], [1, 2]]
    assert one.source.flow.settled_cursors == [Cursor(7)]
    assert (one.status.source, one.status.received) == (LinkState.WORKING, 2)
    assert [(d.name, d.delivered) for d in one.status.destinations] == [("a", 2), ("b", 2)]


def test_the_source_is_asked_for_the_selection_and_for_what_follows_the_cursor(bench):
    one = bench(selection=Selection(("cpu.*",)))
    assert one.source.selections == [Selection(("cpu.*",))]
    assert one.source.flow.after is None


def test_a_source_that_breaks_is_opened_again_after_its_last_settled_cursor(bench):
    one = bench()
    one.source.give(batch_of(1, cursor=1))
    first = one.source.flow
    first.handover.finish(ConnectionLost("subscribe", "reset"))
    assert (first.closed, one.status.source) == (True, LinkState.AWAY)
    one.clock.advance(1)
    assert one.source.flow is not first
    assert one.source.flow.after == Cursor(1)
    one.source.give(batch_of(2, cursor=2))
    assert one.sinks["a"].ats() == [1, 2]
    assert one.status.source is LinkState.WORKING


def test_a_source_that_is_away_at_the_start_is_waited_for(bench):
    one = bench(source=ScriptedSource(*[AWAY] * 50))
    assert one.status.source is LinkState.AWAY
    one.clock.pump([60] * 50)
    one.source.give(batch_of(1))
    assert one.sinks["a"].ats() == [1]


def test_a_source_that_never_opens_is_given_up_at_the_deadline(bench):
    source = ScriptedSource()
    really_open = source.open
    opens = [lambda *_: Deferred(), really_open]
    source.open = lambda *arguments: opens.pop(0)(*arguments)
    one = bench(source=source, open_deadline=5)
    one.clock.advance(5)
    assert one.status.source_error == "TimedOut: open: no answer within 5 s"
    one.clock.advance(1)
    assert one.status.source is LinkState.WORKING


def test_a_flow_that_never_closes_does_not_keep_the_next_from_being_opened(bench):
    one = bench(open_deadline=5)
    one.source.flow.close = Deferred
    one.source.flow.handover.finish(ConnectionLost("subscribe", "reset"))
    one.clock.advance(5)
    one.clock.advance(1)
    one.source.give(batch_of(1))
    assert (one.source.opened, one.sinks["a"].ats()) == (2, [1])


def test_a_source_with_a_wrong_key_needs_attention_until_somebody_says_it_is_mended(bench):
    one = bench(source=ScriptedSource(AuthError("subscribe", 401)))
    assert one.status.source is LinkState.NEEDS_ATTENTION
    one.route.retry_now()
    assert one.status.source is LinkState.WORKING


def test_a_source_that_ends_is_not_opened_again_and_its_data_still_goes(bench):
    one = bench(steps=(Decimate(1),))
    one.source.give(batch_of(1, 2))
    one.source.flow.handover.finish(Closed("the archive"))
    one.clock.advance(1000)
    assert (one.status.source, one.source.opened) == (LinkState.ENDED, 1)
    assert one.sinks["a"].ats() == [2]


def test_a_destination_that_is_away_keeps_nobody_waiting(bench):
    one = bench(sinks={"dead": ScriptedSink(*[AWAY] * 3), "fine": ScriptedSink()})
    one.source.give(batch_of(1), batch_of(2))
    assert one.sinks["fine"].ats() == [1, 2]
    assert one.sinks["dead"].ats() == []
    dead, _ = one.status.destinations
    assert (dead.state, dead.pending_points) == (LinkState.AWAY, 2)
    one.clock.advance(0.25)
    assert one.status.destinations[0].oldest_age == 0.25
    one.clock.pump([60] * 3)
    assert one.sinks["dead"].ats() == [1, 2]


def test_a_full_outbox_that_blocks_slows_the_source_down(bench):
    one = bench(sinks={"a": ScriptedSink(AWAY)}, outbox_options={"max_points": 2, "on_full": OnFull.BLOCK})
    one.source.give(batch_of(1, 2, cursor=1))
    one.source.give(batch_of(3, cursor=2))
    one.source.give(batch_of(4, cursor=3))
    assert one.status.blocked
    assert one.source.flow.settled_cursors == [Cursor(1)]
    assert one.source.flow.handover.points == 1
    one.clock.advance(1)
    assert one.sinks["a"].ats() == [1, 2, 3, 4]
    assert one.source.flow.settled_cursors == [Cursor(1), Cursor(2), Cursor(3)]


def test_steps_are_done_before_the_outbox_and_change_what_may_come(bench):
    takes = Capabilities(value_types=frozenset({ValueType.INTEGER, ValueType.FLOAT}))
    one = bench(
        source=ScriptedSource(capabilities=INTEGERS),
        sinks={"a": ScriptedSink(capabilities=takes)},
        steps=(Scale(0.5),),
    )
    one.source.give(batch_of(1, 2))
    assert one.sinks["a"].taken[0].blocks == (SampleBlock.scalar("s", (1, 2), (0.5, 1.0)),)
    with pytest.raises(PlanRefused, match=r"float -> integer \(to a\)"):
        bench(
            source=ScriptedSource(capabilities=INTEGERS),
            sinks={"a": ScriptedSink(capabilities=INTEGERS)},
            steps=(Scale(0.5),),
        )


def test_rows_that_come_again_after_a_break_meet_the_memory_they_met_before(bench):
    one = bench(steps=(Decimate(1, "mean"),))
    one.source.give(batch_of(0, 2, cursor=1))
    real, answers = one.outbox.append, [fail(ConnectionLost("append", "reset"))]
    one.outbox.append = lambda batch: answers.pop() if answers else real(batch)
    one.source.give(batch_of(10, cursor=2))
    one.clock.advance(1)
    assert one.source.flow.after == Cursor(1)
    one.source.give(batch_of(10, S, cursor=2))
    assert one.sinks["a"].taken[0].blocks == (SampleBlock.scalar("s", (10,), (4.0,)),)


def test_an_outbox_that_fails_is_waited_for_and_nothing_is_lost(bench):
    one = bench()
    real, answers = one.outbox.append, [fail(OutboxError("the disk is full")) for _ in range(3)]
    one.outbox.append = lambda batch: answers.pop() if answers else real(batch)
    one.source.give(batch_of(1, cursor=1))
    assert (one.status.outbox, one.status.outbox_error) == (LinkState.AWAY, "OutboxError: the disk is full")
    assert one.source.flow.settled_cursors == []
    one.clock.pump([10] * 3)
    assert (one.status.outbox, one.sinks["a"].ats()) == (LinkState.WORKING, [1])
    assert one.source.opened == 1


def test_gaps_of_the_source_are_in_the_ledger_and_go_on(bench):
    one = bench()
    gap = Gap("s", 1, 2, "the cloud forgot")
    one.source.give(Batch(gaps=(gap,)))
    assert one.lost == [("", gap)]
    assert one.sinks["a"].taken == [Batch(gaps=(gap,))]


def test_stopping_flushes_what_the_steps_hold_and_what_waits(bench):
    answer = Deferred()
    one = bench(sinks={"a": ScriptedSink(lambda batch: answer)}, steps=(Decimate(1),))
    one.source.give(batch_of(1, S))
    stopped = one.route.stopService()
    assert waits(stopped)
    assert one.source.flow.closed
    answer.callback(None)
    fired(stopped)
    assert one.sinks["a"].ats() == [1, S]
    assert (one.sinks["a"].closed, one.lost) == (1, [])
    status = one.status
    assert (status.source, status.outbox, status.destinations[0].state) == (LinkState.STOPPED,) * 3


def test_stopping_does_not_wait_for_a_destination_that_is_away(bench):
    one = bench(sinks={"a": ScriptedSink(AWAY)})
    one.source.give(batch_of(1))
    fired(one.route.stopService())
    assert [(where, gap.start_ns, gap.reason) for where, gap in one.lost] == [
        ("a", 1, "not delivered when the relay stopped")
    ]


def test_stopping_ends_within_its_deadline_whatever_hangs(bench):
    sink = ScriptedSink(hang)
    sink.close = Deferred
    one = bench(sinks={"a": sink}, stop_deadline=10)
    one.source.flow.close = Deferred
    one.source.give(batch_of(1))
    stopped = one.route.stopService()
    one.clock.pump([1] * 9)
    assert waits(stopped)
    one.clock.advance(1)
    fired(stopped)
    assert [gap.points for _, gap in one.lost] == [1]


def test_what_the_steps_hold_is_told_as_lost_when_the_outbox_stays_full(bench):
    one = bench(
        sinks={"a": ScriptedSink(always=hang)},
        outbox_options={"max_points": 1, "on_full": OnFull.BLOCK},
        steps=(Decimate(1),),
    )
    one.source.give(batch_of(1, S))
    stopped = one.route.stopService()
    one.clock.pump([1] * 10)
    fired(stopped)
    assert ("", Gap("s", S, S, "not in the outbox when the relay stopped", 1)) in one.lost


def test_an_outbox_that_fails_while_stopping_keeps_nothing_open(bench):
    sink = ScriptedSink()
    one = bench(sinks={"a": sink}, steps=[Decimate(10)])
    one.source.give(batch_of(S))
    one.outbox.append = lambda batch: fail(OutboxError("the disk is full"))
    stopped = one.route.stopService()
    one.clock.pump([1] * 10)
    fired(stopped)
    assert ("", Gap("s", S, S, "not in the outbox when the relay stopped", 1)) in one.lost
    assert sink.closed == 1
    assert one.status.destinations[0].state is LinkState.STOPPED


def test_what_waits_for_room_when_the_route_stops_is_delivered(bench):
    answers = [Deferred(), Deferred()]
    one = bench(
        sinks={"a": ScriptedSink(lambda batch: answers[0])},
        outbox_options={"max_points": 1, "on_full": OnFull.BLOCK},
    )
    one.source.give(batch_of(1))
    one.source.give(batch_of(2))
    assert one.status.blocked
    stopped = one.route.stopService()
    answers[0].callback(None)
    fired(stopped)
    assert one.sinks["a"].ats() == [1, 2]
    assert one.lost == []


@pytest.mark.parametrize("history", [False, True])
def test_what_waits_for_room_until_the_end_is_told_as_lost_if_the_source_cannot_give_it_again(bench, history):
    one = bench(
        source=ScriptedSource(capabilities=Capabilities(history=history)),
        sinks={"a": ScriptedSink(always=hang)},
        outbox_options={"max_points": 1, "on_full": OnFull.BLOCK},
    )
    one.source.give(batch_of(1))
    one.source.give(batch_of(2))
    stopped = one.route.stopService()
    one.clock.pump([1] * 10)
    fired(stopped)
    waited = ("", Gap("s", 2, 2, "not in the outbox when the relay stopped", 1))
    assert (waited in one.lost) is not history


def test_a_route_can_be_stopped_before_its_source_ever_opened(bench):
    one = bench(source=ScriptedSource(*[AWAY] * 5))
    fired(one.route.stopService())
    assert one.status.source is LinkState.STOPPED


def test_a_bug_in_a_source_does_not_end_the_route(bench, flushed_errors):
    one = bench()
    one.source.flow.handover.finish(KeyError("a bug"))
    assert len(flushed_errors(KeyError)) == 1
    one.clock.advance(1)
    one.source.give(batch_of(1))
    assert one.sinks["a"].ats() == [1]


def test_losses_that_nobody_accepted_are_refused_with_their_destinations(bench):
    takes = Capabilities(time_resolution_ns=1000, infos=True, gaps=True, several_columns=True)
    sinks = {
        "a": ScriptedSink(capabilities=takes),
        "b": ScriptedSink(),
        "c": ScriptedSink(capabilities=takes),
    }
    with pytest.raises(PlanRefused) as caught:
        bench(sinks=sinks)
    assert caught.value.losses == (
        "time ns -> us (to a)",
        "breaks dropped (to a)",
        "time ns -> us (to c)",
        "breaks dropped (to c)",
    )
    policy = RoutePolicy(frozenset({"time ns -> us", "breaks dropped"}))
    one = bench(sinks=sinks, destination_options={"policy": policy})
    one.source.give(batch_of(1001))
    assert [sink.ats() for sink in sinks.values()] == [[1000], [1001], [1000]]


def test_an_outbox_for_others_is_refused():
    clock = Clock()
    with pytest.raises(ConfigError, match=r"route 'garden' goes to \['a'\], but its outbox to \['b'\]"):
        RelayService(
            "garden",
            ScriptedSource(),
            [Destination(name="a", sink=ScriptedSink())],
            MemoryOutbox(("b",), clock),
            clock=clock,
            random=lambda: 0.5,
        )


def test_closing_the_outbox_underneath_does_no_harm(bench):
    one = bench()
    fired(one.outbox.close())
    one.source.give(batch_of(1))
    assert one.clock.getDelayedCalls() == []


def test_a_gap_of_the_source_is_in_the_ledger_before_it_is_let_go(bench):
    one = bench(ledger=ScriptedLedger(*[OutboxError("the disk is full")] * 3))
    gap = Gap("s", 1, 2, "the cloud forgot")
    one.source.give(evolve(batch_of(3, cursor=1), gaps=(gap,)))
    assert (one.status.outbox, one.status.source_gaps) == (LinkState.AWAY, 1)
    assert (one.source.flow.settled_cursors, one.sinks["a"].taken) == ([], [])
    one.clock.pump([10] * 3)
    assert one.ledger.losses == [Loss("", LossKind.SOURCE, gap)]
    assert (one.source.flow.settled_cursors, one.sinks["a"].ats()) == ([Cursor(1)], [3])
    assert one.source.opened == 1


def test_what_a_destination_refuses_is_in_its_dead_letters(bench):
    refuse = lambda batch: RequestRejected("write", 422) if batch.points else None  # noqa: E731
    one = bench(sinks={"a": ScriptedSink(always=refuse), "b": ScriptedSink()})
    one.source.give(batch_of(1))
    assert [(where, ats_of(batch)) for where, batch, _ in one.dead_letters.letters] == [("a", [1])]
    assert [(loss.destination, loss.kind) for loss in one.ledger.losses] == [("a", LossKind.REFUSED)]
    assert one.sinks["b"].ats() == [1]


def test_what_an_end_cannot_do_is_refused_with_all_that_is_wrong():
    clock = Clock()
    with pytest.raises(ConfigError) as caught:
        RelayService(
            "garden",
            ScriptedSource(),
            [
                Destination(
                    name="a",
                    sink=ScriptedSink(),
                    limits=SendLimits(order=SendOrder.LIVE_FIRST),
                    clock_rule=ClockRule(policy=ClockPolicy.CORRECT),
                )
            ],
            MemoryOutbox(("a",), clock),
            clock=clock,
            random=lambda: 0.5,
        )
    assert caught.value.problems == (
        "a takes the rows of a stream in order only, so what is live cannot go first",
        (
            "instants on their way to a cannot be corrected: "
            "this source does not have them from the clock of this machine"
        ),
    )


def test_a_destination_may_have_its_order_its_pace_and_its_policy_about_clocks(bench):
    source = ScriptedSource(capabilities=evolve(EVERYTHING, local_clock=True))
    sink = ScriptedSink(AWAY, capabilities=evolve(EVERYTHING, any_order=True))
    sink.skew = 0.0
    clock = Clock()
    clock.advance(100)
    options = {
        "limits": SendLimits(points=1, order=SendOrder.LIVE_FIRST),
        "pace": Pace(PaceLimits(requests=1, burst=1), clock),
        "clock_rule": ClockRule(policy=ClockPolicy.CORRECT),
    }
    one = bench(source=source, sinks={"a": sink}, destination_options=options, clock=clock)
    for at in (1, 2, 3):
        one.source.give(batch_of(at))
    one.clock.pump([1] * 4)
    assert sink.ats() == [3, 1, 2]
    sink.skew = 60.0
    one.source.give(batch_of(100 * S))
    one.clock.advance(1)
    assert sink.ats()[3:] == [160 * S]


def test_the_status_has_the_figures_of_the_outbox_and_of_time(bench):
    one = bench(sinks={"a": ScriptedSink(AWAY)}, outbox_options={"max_bytes": 12345})
    one.clock.advance(5)
    one.source.give(batch_of(1, 2))
    one.clock.advance(0.125)
    status = one.status
    assert (status.outbox_points, status.outbox_max_bytes, status.durability) == (2, 12345, Durability.NONE)
    assert 0 < status.outbox_bytes < 12345
    assert (status.source_age, status.last_received, status.destinations[0].state_age) == (5.125, 5.0, 0.125)
    assert status.destinations[0].stalled == 0.125


def test_the_log_names_a_destination_with_its_route(bench):
    texts = []

    def observe(event):
        if event.get("log_namespace", "").startswith("txbridge.relay"):
            texts.append(event["log_format"].format(**event))

    globalLogPublisher.addObserver(observe)
    try:
        one = bench(sinks={"a": ScriptedSink(AWAY, always=lambda batch: RequestRejected("write", 422, "No"))})
        one.source.give(batch_of(1))
        one.clock.advance(1)
    finally:
        globalLogPublisher.removeObserver(observe)
    assert texts == [
        "a of garden is away: ConnectError: cannot connect to cloud.example: refused",
        "a of garden is back",
        "a of garden refuses some data: RequestRejected: write: 422 No",
    ]


def test_what_the_outbox_cannot_write_is_lost_alone_and_told(bench):
    """The source would give it again for ever, or it would be gone and nobody would know."""
    clock = Clock()
    outbox = open_disk(Path("/outbox"), ["a"], clock, files=FaultyFiles())
    one = bench(outbox=outbox, clock=clock)
    blocks = (*batch_of(1).blocks, *batch_of(2, 3, stream="\ud800").blocks)
    one.source.give(Batch(blocks, cursor=Cursor(1)), batch_of(4, cursor=2))
    assert one.sinks["a"].ats() == [1, 4]
    assert one.source.flow.settled_cursors == [Cursor(1), Cursor(2)]
    assert [(loss.destination, loss.kind, loss.gap.points) for loss in one.ledger.losses] == [
        ("", LossKind.SOURCE, 2)
    ]
    assert outbox.cursor == Cursor(2)


def test_a_cursor_that_the_outbox_cannot_write_makes_the_source_be_opened_again(bench):
    clock = Clock()
    one = bench(outbox=open_disk(Path("/outbox"), ["a"], clock, files=FaultyFiles()), clock=clock)
    one.source.give(Batch(cursor=Cursor(object())))
    assert one.status.source is LinkState.AWAY
    clock.advance(60)
    assert (one.source.opened, one.source.flow.after) == (2, None)
