"""The host source ticks evenly, and puts a break wherever it did not look."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThreadPool

from tests.support.deferreds import fired, result_of, waits
from tests.support.relay import ScriptedSink
from txbridge.errors import Closed, ConfigError, ConnectionLost
from txbridge.host import CAPABILITIES, HostSource
from txbridge.host.machine import Snapshot
from txbridge.model.samples import Gap, ValueType
from txbridge.relay.outbox import MemoryOutbox
from txbridge.relay.roles import Selection
from txbridge.relay.route import Destination, RelayService

S = 1_000_000_000


class Machine:
    """A machine whose clock is the test's, and whose counters go up by ten a second."""

    def __init__(self, clock):
        self.clock = clock
        self.shift_ns = 0
        self.without = set()

    def __call__(self):
        now = self.clock.seconds()
        return Snapshot(
            int(now * S) + self.shift_ns + 1_000 * S,
            now,
            {name: now for name in ("load.1", "temperature.a.b") if name not in self.without},
            {"network.receive_rate": int(now * 10)},
        )


class Bench:
    """A host source on a fake clock; readings are done at once unless `gate` says otherwise."""

    def __init__(self, streams=("*",), interval=1.0):
        self.clock = Clock()
        self.machine = Machine(self.clock)
        self.gates = []
        self.source = HostSource(interval, clock=self.clock, machine=self.machine, in_thread=self._in_thread)
        self.flow = result_of(self.source.open(Selection(streams), None))

    def _in_thread(self, read):
        if not self.gates:
            return succeed(read())
        return self.gates.pop(0).addCallback(lambda _: read())

    def gate(self):
        """Make the next reading wait for what this returns."""
        self.gates.append(Deferred())
        return self.gates[-1]

    def rows(self, stream="load.1"):
        """Everything read so far of a stream: (seconds, whether a break lies before it)."""
        waiting = self.flow.next_batch()
        if not waiting.called:
            waiting.cancel()
            waiting.addErrback(lambda failure: failure.trap(CancelledError))
            return []
        batch = result_of(waiting)
        return [
            (int(at) / S - 1_000, row in block.breaks)
            for block in batch.blocks
            if block.stream == stream
            for row, at in enumerate(block.at)
        ]


@pytest.fixture
def bench():
    benches = []

    def make(**options):
        benches.append(Bench(**options))
        return benches[-1]

    yield make
    for one in benches:
        fired(one.flow.close())
        assert one.clock.getDelayedCalls() == []


def test_it_reads_at_once_and_then_at_every_tick(bench):
    one = bench()
    one.clock.pump([0, 1, 0.5, 0.5, 1])
    assert one.rows() == [(0, False), (1, False), (2, False), (3, False)]


def test_rates_begin_with_the_second_reading_and_descriptions_come_once(bench):
    one = bench()
    one.clock.advance(0)
    first = result_of(one.flow.next_batch())
    assert [block.stream for block in first.blocks] == ["load.1", "temperature.a.b"]
    assert [info.name for info in first.infos] == ["load.1", "temperature.a.b"]
    one.clock.advance(1)
    second = result_of(one.flow.next_batch())
    assert {block.stream: block.values.tolist() for block in second.blocks} == {
        "load.1": [1.0],
        "temperature.a.b": [1.0],
        "network.receive_rate": [10.0],
    }
    assert [info.name for info in second.infos] == ["network.receive_rate"]


def test_a_reader_may_wait_for_the_next_tick_and_give_up(bench):
    one = bench()
    one.clock.advance(0)
    one.rows()
    waiting = one.flow.next_batch()
    assert waits(waiting)
    waiting.cancel()
    waiting.addErrback(lambda failure: failure.trap(CancelledError))
    one.clock.advance(1)
    assert one.rows() == [(1, False)]


def test_a_reading_that_takes_too_long_leaves_a_break_and_keeps_the_grid(bench):
    one = bench()
    one.clock.advance(0)
    gate = one.gate()
    one.clock.pump([1, 1, 0.5])
    assert one.rows() == [(0, False)]
    gate.callback(None)
    one.clock.pump([0.5, 1])
    assert one.rows() == [(2.5, True), (3, False), (4, False)]


def test_there_is_no_rate_across_a_break(bench):
    one = bench()
    one.clock.pump([0, 1])
    one.rows()
    one.clock.advance(5)
    assert one.rows("network.receive_rate") == []
    one.clock.advance(1)
    assert one.rows("network.receive_rate") == [(7, True)]
    one.clock.advance(1)
    assert one.rows("network.receive_rate") == [(8, False)]


def test_a_wall_clock_that_jumps_leaves_a_break(bench):
    one = bench()
    one.clock.pump([0, 1])
    one.machine.shift_ns = 3600 * S
    one.clock.advance(1)
    one.machine.shift_ns = -5 * S
    one.clock.advance(1)
    one.clock.advance(1)
    assert one.rows() == [(0, False), (1, False), (3602, True), (-2, True), (-1, False)]


def test_a_sensor_that_was_gone_has_a_break_when_it_returns(bench):
    one = bench()
    one.clock.pump([0, 1])
    one.machine.without = {"temperature.a.b"}
    one.clock.advance(1)
    one.machine.without = set()
    one.clock.pump([1, 1])
    flow = one.rows("temperature.a.b")
    assert flow == [(0, False), (1, False), (3, True), (4, False)]


def test_a_reader_that_does_not_keep_up_pauses_the_readings(bench):
    one = bench(streams=("load.1",))
    one.clock.advance(0)
    ticks = 0
    while one.clock.getDelayedCalls():
        one.clock.advance(1)
        ticks += 1
    one.clock.advance(9)
    rows = []
    while len(rows) <= ticks:
        rows.extend(one.rows())
    assert rows == [(tick, False) for tick in range(ticks + 1)]
    one.clock.advance(1)
    batch = result_of(one.flow.next_batch())
    assert batch.gaps == (
        Gap(
            "load.1",
            (1_000 + ticks) * S + 1,
            (1_000 + ticks + 10) * S - 1,
            "not read: the relay had no room",
            9,
        ),
    )
    assert (batch.points, batch.blocks[0].breaks) == (1, (0,))
    one.clock.advance(1)
    later = result_of(one.flow.next_batch())
    assert (later.gaps, later.blocks[0].breaks) == ((), ())


def test_only_the_streams_that_are_wanted_are_given(bench):
    one = bench(streams=("temperature.*", "network.*"))
    one.clock.pump([0, 1])
    batch = result_of(one.flow.next_batch())
    assert {block.stream for block in batch.blocks} == {"temperature.a.b", "network.receive_rate"}
    assert {info.name for info in batch.infos} == {"temperature.a.b", "network.receive_rate"}


def test_a_machine_that_cannot_be_read_ends_the_flow_with_the_reason(bench):
    one = bench()
    one.gate().errback(FileNotFoundError("no such disk"))
    one.clock.advance(0)
    with pytest.raises(ConnectionLost, match="FileNotFoundError: no such disk"):
        result_of(one.flow.next_batch())
    assert one.clock.getDelayedCalls() == []


def test_closing_ends_the_flow_even_while_a_reading_is_at_work(bench):
    one = bench()
    one.gate()
    one.clock.advance(0)
    waiting = one.flow.next_batch()
    fired(one.flow.close())
    with pytest.raises(Closed):
        result_of(waiting)


@pytest.mark.parametrize("interval", [0, -1, 0.01, float("nan"), float("inf")])
def test_an_interval_that_makes_no_sense_is_refused(interval):
    with pytest.raises(ConfigError, match="seconds"):
        HostSource(interval, clock=Clock(), machine=Machine(Clock()), in_thread=succeed)


async def test_this_machine_flows_through_a_route_to_a_sink():
    """Ticks on a fake clock, readings of the real machine in the reactor's threads."""
    from twisted.internet import reactor

    clock, sink = Clock(), ScriptedSink()
    read = []

    def in_thread(machine):
        read.append(deferToThreadPool(reactor, reactor.getThreadPool(), machine))
        done = Deferred()
        read[-1].addCallback(lambda snapshot: (done.callback(snapshot), snapshot)[1])
        return done

    route = RelayService(
        "host",
        HostSource(60.0, clock=clock, in_thread=in_thread),
        [Destination(name="sink", sink=sink)],
        MemoryOutbox(("sink",), clock),
        clock=clock,
        random=lambda: 0.5,
    )
    route.startService()
    for _ in range(2):
        clock.advance(0)
        await read[-1]
        clock.advance(60)
    await read[-1]
    stopping = route.stopService()
    fired(stopping)
    streams = {block.stream: block for batch in sink.taken for block in batch.blocks}
    assert {"memory.used", "load.1", "disk.percent"} <= set(streams)
    assert streams["memory.used"].layout[0][1] is ValueType.INTEGER
    assert len(sink.ats("memory.used")) == 3
    assert route.status().destinations[0].pending_points == 0


def test_it_reads_in_the_threads_of_its_reactor_by_default():
    from twisted.internet import reactor

    source = HostSource(reactor=reactor)
    assert source.capabilities is CAPABILITIES


async def test_a_real_reading_comes_through_the_reactor():
    from twisted.internet import reactor

    source = HostSource(reactor=reactor)
    flow = await source.open(Selection(("memory.*",)), None)
    batch = await flow.next_batch()
    await flow.close()
    assert {block.stream for block in batch.blocks} == {"memory.used", "memory.available", "memory.percent"}
