"""Whatever happens to an outbox and its disk, what it accepted is delivered or in the ledger.

A story is told by Hypothesis: appends, peeks, settles, restarts, sudden ends, power cuts, full disks, failing
writes, bits that flip and files that go.  Beside the outbox runs a model: for each destination, what was
accepted and what has arrived.  At the end everything is mended, the outbox is opened and emptied, and each
point that was accepted must have arrived or be in a line of the ledger.

``TXBRIDGE_EXAMPLES`` tells so many stories instead of the few that a run of all tests has time for.
"""

from __future__ import annotations

import errno
import os
from random import Random

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from twisted.internet.defer import CancelledError

from tests.contract.outbox import PLENTY, ats_of
from tests.relay.test_disk_outbox import Bench
from tests.support.deferreds import result_of
from tests.support.workers import LateWorker, StepWorker
from txbridge.errors import Closed, OutboxError
from txbridge.model.samples import Batch, Cursor, SampleBlock, StreamInfo
from txbridge.relay.roles import OnFull

EXAMPLES = int(os.environ.get("TXBRIDGE_EXAMPLES", "60"))
NAMES = ("a", "b")
STREAMS = ("s", "t")

names = st.sampled_from(NAMES)


class OutboxStory(RuleBasedStateMachine):
    """One story."""

    @initialize(
        on_full=st.sampled_from(OnFull),
        max_points=st.sampled_from([None, 40]),
        max_age=st.sampled_from([None, 100.0]),
    )
    def begin(self, on_full, max_points, max_age):
        self.bench = Bench(
            NAMES,
            max_bytes=8 * 4096,
            on_full=on_full,
            max_points=max_points,
            max_age=max_age,
            **self.new_workers(),
        )
        self.next = 0
        self.accepted = {name: {} for name in NAMES}  # instant -> when
        self.arrived = {name: set() for name in NAMES}
        self.settled = {name: set() for name in NAMES}  # since the last time that places may be lost
        self.peeked = {}
        self.asked = {}
        self.appends = []
        self.damaged = False  # from outside: losses may be told with less than the whole truth
        self.ended = False  # suddenly: what was settled last may come again
        self.failed = False

    def new_workers(self):
        self.workers = {"writer": StepWorker(), "reader": LateWorker()}
        return self.workers

    def outbox(self):
        return self.bench.outbox

    def note_appends(self):
        self.note_peeks()
        left = []
        for done, batch, only, when in self.appends:
            if not done.called:
                left.append((done, batch, only, when))
                continue
            try:
                result_of(done)
            except (OutboxError, Closed, CancelledError):
                continue
            for name in NAMES if only is None else only:
                self.accepted[name].update((at, when) for at in all_ats(batch))
        self.appends = left

    @rule(
        rows=st.integers(1, 30),
        streams=st.integers(1, 2),
        only=st.sampled_from([None, None, None, ("a",), ("b",)]),
        info=st.booleans(),
    )
    def append(self, rows, streams, only, info):
        if len(self.appends) > 3:
            return
        blocks = []
        for stream in STREAMS[:streams]:
            ats = range(self.next, self.next + rows)
            self.next += rows
            blocks.append(SampleBlock.scalar(stream, ats, ats))
        infos = (StreamInfo("s"),) if info else ()
        batch = Batch(tuple(blocks), infos=infos, cursor=Cursor(self.next))
        self.appends.append((self.outbox().append(batch, only), batch, only, self.bench.clock.seconds()))
        self.note_appends()

    @rule()
    def append_cursor(self):
        done = self.outbox().append(Batch(cursor=Cursor(self.next)))
        self.appends.append((done, Batch(), None, 0))
        self.note_appends()

    @rule(name=names, max_points=st.integers(1, 50), newest=st.booleans())
    def peek(self, name, max_points, newest):
        if name in self.asked:
            return
        self.asked[name] = self.outbox().peek(name, max_points=max_points, max_bytes=1 << 20, newest=newest)
        self.note_appends()

    @precondition(lambda self: self.asked)
    @rule(name=names)
    def give_up(self, name):
        if name in self.asked:
            self.asked[name].cancel()
            self.note_appends()

    def note_peeks(self):
        for name, waiting in list(self.asked.items()):
            if not waiting.called:
                continue
            del self.asked[name]
            try:
                pending = result_of(waiting)
            except (CancelledError, Closed, OutboxError):
                continue
            self.peeked[name] = pending
            ats = all_ats(pending.batch)
            for stream in STREAMS:
                of_stream = ats_of(pending.batch, stream)
                assert of_stream == sorted(set(of_stream))
            assert not self.settled[name].intersection(ats)

    @precondition(lambda self: self.peeked)
    @rule(name=names)
    def settle(self, name):
        pending = self.peeked.pop(name, None)
        if pending is None:
            return
        result_of(self.outbox().settle(name, pending))
        ats = all_ats(pending.batch)
        self.arrived[name].update(ats)
        self.settled[name].update(ats)
        self.note_appends()

    @rule(seconds=st.sampled_from([1, 5, 60]))
    def wait(self, seconds):
        self.bench.clock.advance(seconds)
        self.note_appends()

    @rule(who=st.sampled_from(["writer", "reader"]))
    def hold(self, who):
        if not self.workers[who].waiting:
            self.workers[who].hold()

    @rule(who=st.sampled_from(["writer", "reader"]))
    def step(self, who):
        if self.workers[who].waiting:
            self.workers[who].step()
        self.note_appends()

    def release(self):
        for worker in self.workers.values():
            worker.release()
        self.note_appends()

    def end_suddenly(self):
        """What it is doing is not done any more."""
        self.bench.files.mend()
        self.bench.ledger.fails = False
        for worker in self.workers.values():
            worker.hold()
        self.bench.options.update(self.new_workers())

    def opened_again(self):
        self.peeked.clear()
        self.asked.clear()
        self.settled = {name: set() for name in NAMES}
        for done, *_ in self.appends:
            done.addErrback(lambda _: None)
        self.note_appends()
        self.appends.clear()

    @rule()
    def reopen(self):
        self.release()
        result_of(self.outbox().close())
        self.note_appends()
        self.mend()
        self.bench.options.update(self.new_workers())
        self.bench.open()
        self.opened_again()

    @rule()
    def kill(self):
        self.end_suddenly()
        self.bench.kill()
        self.opened_again()

    @rule(seed=st.integers(0, 1 << 16))
    def cut_power(self, seed):
        self.end_suddenly()
        self.bench.files.power_cut(Random(seed))
        self.bench.kill()
        self.opened_again()

    @rule()
    def mend(self):
        self.bench.files.mend()
        self.bench.ledger.fails = False
        self.release()

    @rule(room=st.integers(0, 6000))
    def fill_disk(self, room):
        self.bench.files.capacity = self.bench.files.used + room

    @rule(
        operation=st.sampled_from(["write", "sync", "create", "remove", "truncate", "rename", "read", "open"])
    )
    def fail_once(self, operation):
        self.bench.files.fail(operation, errno.EIO)

    @rule()
    def lose_the_ledger(self):
        self.bench.ledger.fails = True

    @rule(share=st.floats(0, 0.999), bit=st.integers(0, 1 << 20))
    def flip(self, share, bit):
        paths = [path for path in self.bench.files.paths() if self.bench.files.content(path)]
        if paths:
            path = paths[int(share * len(paths))]
            self.bench.files.flip(path, bit % (8 * len(self.bench.files.content(path))))
            self.damaged = True

    @rule(share=st.floats(0, 0.999), kind=st.sampled_from(["*.seg", "*.sum", "places-*"]))
    def delete(self, share, kind):
        paths = self.bench.files.paths(kind)
        if len(paths) > (kind == "places-*"):  # with both of them gone it is a new outbox
            self.bench.files.delete(paths[int(share * len(paths))])
            self.damaged = True

    @invariant()
    def keeps_its_cap(self):
        if hasattr(self, "bench"):
            assert self.outbox().state().nbytes <= 8 * 4096 + 4096

    def teardown(self):
        if not hasattr(self, "bench"):
            return
        self.mend()
        self.reopen()
        for name in NAMES:
            self.empty(name)
        result_of(self.outbox().close())
        for name in NAMES:
            missing = set(self.accepted[name]) - self.arrived[name]
            losses = [loss for loss in self.bench.ledger.losses if loss.destination in (name, "")]
            for at in missing:
                assert any(covers(loss, at, self.accepted[name][at]) for loss in losses), (name, at, losses)

    def empty(self, name):
        for _ in range(10_000):
            state = self.outbox().state().destinations[name]
            waiting = self.outbox().peek(name, **PLENTY)
            if not waiting.called:
                waiting.cancel()
                waiting.addErrback(lambda _: None)
                assert (state.points, state.nbytes) == (0, 0)
                return
            pending = result_of(waiting)
            self.arrived[name].update(all_ats(pending.batch))
            result_of(self.outbox().settle(name, pending))
        raise AssertionError("it never becomes empty")


def all_ats(batch):
    return [int(at) for block in batch.blocks for at in block.at]


def covers(loss, at, when):
    """Whether a line of the ledger speaks of a point; one without a stream of when it was accepted."""
    if loss.gap.stream == "*":
        return loss.gap.start_ns <= when * 1e9 <= loss.gap.end_ns
    return loss.gap.start_ns <= at <= loss.gap.end_ns


TestOutboxStory = OutboxStory.TestCase
TestOutboxStory.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=40,
    suppress_health_check=[HealthCheck.too_slow],
)
