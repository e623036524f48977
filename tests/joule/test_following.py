"""A flow from a node in memory: history, what comes, what comes late, and nothing twice."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from tests.support.hub_in_memory import HubInMemory
from tests.support.joule_node import T0, NodeInMemory
from txbridge.errors import Closed, ConfigError, ConnectionLost, ServerFailed
from txbridge.joule.adapter import JouleSource
from txbridge.joule.blocks import Place
from txbridge.joule.following import Order, Pace, Rows
from txbridge.model.samples import Gap
from txbridge.net.http1 import Response
from txbridge.relay.roles import Selection

SECOND = 1_000_000


class Bench:
    """A node with one stream, and a source of it."""

    def __init__(self, hub):
        self.hub = hub
        self.server = NodeInMemory(hub.network)
        self.node = self.server.node()
        self.flows = []

    def open(self, *, after=None, **more):
        options = {"since": 0, "pace": Pace(poll=1.0, notes=1.0, rescan=20.0), **more}
        source = JouleSource(self.node, ["/a"], reactor=self.hub.network.reactor, **options)
        self.flows.append(self.hub.run(source.open(Selection(), after)))
        return self.flows[-1]

    def take(self, flow, seconds=5):
        """All batches of the next so many seconds."""
        batches = []

        async def read():
            while True:
                batches.append(await flow.next_batch())

        reading = Deferred.fromCoroutine(read())
        self.hub.run(deferLater(self.hub.network.reactor, seconds), seconds + 60)
        reading.cancel()
        reading.addErrback(lambda failure: None)
        return batches

    def write(self, *rows, begins=False):
        held = self.server.streams["/a"]
        if begins:
            held.breaks.add(T0 + rows[0][0] * SECOND)
        held.rows.update((T0 + row[0] * SECOND, row[1:]) for row in rows)

    def close(self):
        for flow in self.flows:
            self.hub.run(flow.close())
        self.hub.run(self.node.close())


@pytest.fixture
def bench(tmp_path):
    with HubInMemory(tmp_path) as hub:
        one = Bench(hub)
        yield one
        one.close()


def values_of(batches):
    return [value for batch in batches for block in batch.blocks for value in block.values.tolist()]


def breaks_of(batches):
    return [block.values.tolist()[row] for batch in batches for block in batch.blocks for row in block.breaks]


RUNS = ([(0, 0.0), (1, 1.0), (2, 2.0)], [(10, 3.0), (11, 4.0)])


def test_history_comes_first_and_then_what_is_written(bench):
    bench.server.add("/a", "float64_1", *RUNS)
    flow = bench.open()
    history = bench.take(flow)
    assert values_of(history) == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert breaks_of(history) == [3.0]
    bench.write((12, 5.0), (13, 6.0))
    bench.write((20, 7.0), begins=True)
    news = bench.take(flow)
    assert values_of(news) == [5.0, 6.0, 7.0]
    assert breaks_of(news) == [7.0]


def test_a_flow_goes_on_with_exactly_what_is_missing(bench):
    bench.server.add("/a", "float64_1", *RUNS)
    first = bench.take(bench.open())
    bench.write((12, 5.0))
    bench.write((-5, 8.0), (-4, 9.0), begins=True)
    bench.server.streams["/a"].breaks.add(T0)
    again = bench.take(bench.open(after=first[-1].cursor))
    assert sorted(values_of(again)) == [5.0, 8.0, 9.0]


def test_a_flow_from_now_on_begins_after_the_last_row_however_often_it_is_opened(bench):
    bench.server.add("/a", "float64_1", *RUNS)
    source = JouleSource(bench.node, ["/a"], reactor=bench.hub.network.reactor)
    bench.flows.append(bench.hub.run(source.open(Selection(), None)))
    assert values_of(bench.take(bench.flows[0])) == []
    bench.hub.run(bench.flows[0].close())
    bench.write((12, 5.0))
    bench.flows.append(bench.hub.run(source.open(Selection(), None)))
    assert values_of(bench.take(bench.flows[1])) == [5.0]


def test_a_flow_from_now_on_says_first_where_that_is(bench):
    bench.server.add("/a", "float64_1", *RUNS)
    flow = bench.open(since=None)
    first = bench.hub.run(flow.next_batch())
    assert (first.points, Place.read(first.cursor).begins) == (0, {"/a": T0 + 11 * SECOND + 1})
    bench.write((12, 5.0))
    again = bench.open(after=bench.take(flow)[-1].cursor, since=None)
    assert bench.take(again) == []  # it is said once


@pytest.mark.parametrize(
    "more",
    [{}, {"order": Order.LIVE_FIRST}, {"rows": Rows.LIVE}, {"rows": Rows.LIVE, "order": Order.LIVE_FIRST}],
)
def test_a_row_that_is_stored_while_nobody_is_there_is_found_though_it_is_the_first(bench, more):
    bench.server.add("/a", "float64_1", *RUNS)
    flow = bench.open(since=None, **more)
    cursor = bench.take(flow)[-1].cursor
    bench.hub.run(flow.close())
    bench.write((12, 5.0))
    assert values_of(bench.take(bench.open(after=cursor, since=None, **more))) == [5.0]


def test_what_is_late_is_found_after_an_outage_from_where_the_flow_began(bench):
    bench.server.add("/a", "float64_1", *RUNS)
    flow = bench.open(since=None)
    bench.hub.run(flow.next_batch())
    bench.write((20, 5.0), begins=True)
    cursor = bench.take(flow)[-1].cursor
    bench.hub.run(flow.close())
    bench.write((5, 6.0), begins=True)
    bench.write((15, 7.0), begins=True)
    assert values_of(bench.take(bench.open(after=cursor, since=None))) == [7.0]


def test_rows_that_were_dropped_before_the_first_was_read_are_a_gap(bench):
    held = bench.server.add("/a", "float64_1", *RUNS, keep_us=4 * SECOND)
    flow = bench.open(since=None)
    cursor = bench.take(flow)[-1].cursor
    bench.hub.run(flow.close())
    held.rows.clear()
    bench.write((100, 5.0), begins=True)
    batches = bench.take(bench.open(after=cursor, since=None))
    lost = ((T0 + 11 * SECOND + 1) * 1000, (T0 + 100 * SECOND) * 1000 - 1)
    assert [gap for batch in batches for gap in batch.gaps] == [
        Gap("a", *lost, "the node had dropped it already")
    ]


def test_rows_that_are_written_late_are_found(bench):
    bench.server.add("/a", "float64_1", *RUNS)
    flow = bench.open()
    bench.take(flow)
    bench.write((5, 8.0), begins=True)
    assert values_of(bench.take(flow, 25)) == [8.0]
    assert values_of(bench.take(flow, 45)) == []


def test_a_late_row_is_found_between_two_that_came_while_the_flow_went_on(bench):
    bench.server.add("/a", "float64_1", *RUNS)
    flow = bench.open()
    bench.take(flow)
    bench.write((20, 5.0), begins=True)
    bench.write((30, 6.0), begins=True)
    assert values_of(bench.take(flow)) == [5.0, 6.0]
    bench.write((25, 8.0), begins=True)
    assert values_of(bench.take(flow, 25)) == [8.0]


def test_a_stream_that_is_deleted_ends_the_flow_until_a_person_has_seen_to_it(bench):
    bench.server.add("/a", "float64_1", *RUNS)
    flow = bench.open()
    bench.take(flow)
    del bench.server.streams["/a"]
    with pytest.raises(ConfigError, match="the node has no stream /a; was it deleted"):
        bench.hub.run(flow.next_batch(), 60)


def test_a_read_that_ends_early_is_not_taken_for_all_there_is(bench):
    """As a node ends one when the stream's tables are dropped meanwhile."""
    bench.server.add("/a", "float64_1", *RUNS)
    bench.server.most_read = 2
    flow = bench.open(until=T0 + 1000 * SECOND)
    first = bench.hub.run(flow.next_batch())
    assert values_of([first]) == [0.0, 1.0]
    with pytest.raises(ConnectionLost, match="before its end"):
        bench.hub.run(flow.next_batch())
    bench.server.most_read = None
    assert values_of(bench.take(bench.open(after=first.cursor))) == [2.0, 3.0, 4.0]


def test_live_first_gives_the_newest_at_once_and_fills_what_is_missing(bench):
    bench.server.add("/a", "float64_1", *RUNS)
    flow = bench.open(order=Order.LIVE_FIRST)
    bench.hub.run(deferLater(bench.hub.network.reactor, 0.5))
    bench.write((12, 5.0))
    got = values_of(bench.take(flow))
    assert sorted(got) == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


def test_the_node_is_not_asked_again_about_all_that_was_taken(bench):
    bench.server.add("/a", "float64_1", *([(at, 1.0)] for at in range(0, 4000, 10)))
    flow = bench.open()
    cursor = bench.take(flow)[-1].cursor
    assert sum(bench.server.looked) >= 400
    assert max(bench.server.looked) <= 360
    bench.server.looked.clear()
    bench.write((-10, 2.0), begins=True)
    bench.write((4000, 3.0), begins=True)
    assert sorted(values_of(bench.take(bench.open(after=cursor)))) == [2.0, 3.0]
    assert max(bench.server.looked) <= 258
    assert values_of(bench.take(flow, 45)) == [3.0, 2.0]


@pytest.mark.parametrize("more", [{}, {"order": Order.LIVE_FIRST}, {"until": T0 + 10**6 * SECOND}])
def test_a_node_is_asked_for_the_breaks_of_a_long_time_little_by_little(bench, more):
    far = 40 * 86_400
    often = [[(at, float(at)), (at + 1, float(at))] for at in range(0, 14_400, 20)]
    quiet = [[(at, float(at)) for at in range(20_000, 60_000, 1000)], [(far, 1.0), (far + 1, 2.0)]]
    bench.server.add("/a", "float64_1", *often, *quiet)
    got = bench.take(bench.open(**more))
    runs = [run for run in (*often, *quiet) if "until" not in more or run[0][0] < 10**6]
    assert values_of(got) == [row[1] for run in runs for row in run]
    assert breaks_of(got) == [run[0][1] for run in runs[1:]]
    assert max(bench.server.looked) <= 256
    assert len(Place.read(got[-1].cursor).data["/a"]) == 256


def test_live_first_makes_no_break_where_it_begins(bench):
    bench.server.add("/a", "float64_1", *RUNS)
    cursor = bench.take(bench.open(until=T0 + 3 * SECOND))[-1].cursor
    flow = bench.open(after=cursor, order=Order.LIVE_FIRST)
    bench.hub.run(deferLater(bench.hub.network.reactor, 0.5))
    bench.write((12, 5.0), (13, 6.0))
    got = bench.take(flow)
    assert sorted(values_of(got)) == [3.0, 4.0, 5.0, 6.0]
    assert breaks_of(got) == [3.0]


def test_a_range_ends_when_it_was_read(bench):
    bench.server.add("/a", "float64_1", *RUNS)
    flow = bench.open(until=T0 + 11 * SECOND)
    assert values_of([bench.hub.run(flow.next_batch())]) == [0.0, 1.0, 2.0, 3.0]
    rest = bench.take(flow)
    assert values_of(rest) == []
    with pytest.raises(Closed):
        bench.hub.run(flow.next_batch())


def test_what_the_node_dropped_before_it_was_read_is_a_gap(bench):
    held = bench.server.add("/a", "float64_1", *RUNS, keep_us=4 * SECOND)
    cursor = bench.take(bench.open(until=T0 + 3 * SECOND))[-1].cursor
    for at in list(held.rows):
        del held.rows[at]
    bench.write((100, 5.0), (101, 6.0), begins=True)
    batches = bench.take(bench.open(after=cursor))
    gaps = [gap for batch in batches for gap in batch.gaps]
    lost = ((T0 + 2 * SECOND + 1) * 1000, (T0 + 100 * SECOND) * 1000 - 1)
    assert gaps == [Gap("a", *lost, "the node had dropped it already")]
    assert values_of(batches) == [5.0, 6.0]


def test_each_annotation_comes_once(bench):
    bench.server.add("/a", "float64_1", *RUNS)
    note = {"id": 1, "title": "moved", "content": "", "start": T0, "end": None, "stream_id": 1}
    bench.server.annotations = [note]
    flow = bench.open()
    first = bench.take(flow)
    bench.server.annotations = [note, {**note, "id": 2, "title": "back"}]
    second = bench.take(flow)
    assert [[one.content["title"] for batch in part for one in batch.notes] for part in (first, second)] == [
        ["moved"],
        ["back"],
    ]
    assert bench.take(bench.open(after=second[-1].cursor)) == []


def test_a_node_that_fails_ends_the_flow_and_the_next_one_goes_on(bench):
    bench.server.add("/a", "float64_1", *RUNS)
    flow = bench.open()
    cursor = bench.take(flow)[-1].cursor
    bench.write((12, 5.0))
    bench.server.refusal = Response(503, (), b"the database is away")
    with pytest.raises(ServerFailed):
        bench.hub.run(flow.next_batch(), 60)
    bench.server.refusal = None
    assert values_of(bench.take(bench.open(after=cursor))) == [5.0]


def test_nothing_is_read_ahead_of_a_reader_that_does_not_come(bench):
    rows = [(at, float(at)) for at in range(60_000)]
    bench.server.add("/a", "float64_1", *(rows[start : start + 100] for start in range(0, 60_000, 100)))
    flow = bench.open()
    bench.hub.run(deferLater(bench.hub.network.reactor, 3), 60)
    waiting = flow._handover.points
    assert 0 < waiting <= 60_000
    batches = bench.take(flow, 10)
    assert values_of(batches) == [float(at) for at in range(60_000)]
    assert [gap for batch in batches for gap in batch.gaps] == []
    assert len(batches[-1].cursor.encode()) < 20_000
