"""A device of a project as an end of a route, at a real hub in memory."""

from __future__ import annotations

import json
from contextlib import suppress
from urllib.parse import parse_qs

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError

from tests.support.iobeam_project import client_of, token_of_project
from tests.support.iobeam_service import IobeamService, error_answer, json_answer, make_token
from tests.support.relay import ScriptedDeadLetters, ScriptedLedger
from txbridge.errors import AuthError, Closed, ConfigError, RemoteProtocolError, ServerFailed, TooLarge
from txbridge.iobeam.adapter import (
    BEGINNING,
    SINK_CAPABILITIES,
    SOURCE_CAPABILITIES,
    IobeamSink,
    IobeamSource,
)
from txbridge.iobeam.client import Client
from txbridge.iobeam.errors import NoSuchThing, UnknownCodeError
from txbridge.iobeam.structures import QueryReq, Row, TimeUnit
from txbridge.model.samples import Batch, Cursor, SampleBlock, ValueType
from txbridge.net.http1 import Response
from txbridge.net.memory import MemoryNetwork
from txbridge.relay.outbox import MemoryOutbox
from txbridge.relay.plan import RoutePolicy, plan_route
from txbridge.relay.roles import Capabilities, Selection
from txbridge.relay.route import Destination, RelayService

PROJECT = 7
SECOND = 1_000_000
EVERYTHING = Selection()


@pytest.fixture
def client(hub):
    client = client_of(hub, PROJECT, token_of_project(hub, PROJECT))
    hub.run(client.registerDevice("pump-3"))
    yield client
    hub.run(client.close())


@pytest.fixture
def odd(network, service):
    client = Client(7, make_token(), backend=service.url, device_id="pump-3", reactor=network.reactor)
    yield client
    network.run(client.close())


def now_of(hub):
    return int(hub.network.clock.seconds() * SECOND)


def block(stream, values, start=0, step=SECOND):
    instants = (start + step * np.arange(len(values))) * 1000
    return SampleBlock.scalar(stream, instants, np.array(values))


def texts(stream, values):
    return SampleBlock.scalar(stream, np.arange(len(values)) * 1_000_000, np.array(values, object))


def exported(hub, client):
    query = QueryReq(PROJECT, "pump-3", timeUnit=TimeUnit.MICROSECONDS)
    found = hub.run(client.export(query))
    return {one.name: [(point.at, point.value) for point in one.points] for one in found}


class TestSink:
    def test_each_stream_is_a_series_with_its_exact_values(self, hub, client):
        sink = IobeamSink(client)
        blocks = (
            block("flow", [21.5, 0.0, -0.1]),
            block("n", [2**62, 0]),
            block("on", [True, False]),
            texts("who", ["ann", "ü"]),
        )
        assert hub.run(sink.deliver(Batch(blocks))).rejections == ()
        assert exported(hub, client) == {
            "flow": [(0, 21.5), (SECOND, 0.0), (2 * SECOND, -0.1)],
            "n": [(0, 2**62), (SECOND, 0)],
            "on": [(0, True), (SECOND, False)],
            "who": [(0, "ann"), (1000, "ü")],
        }

    def test_instants_are_whole_microseconds_and_the_last_of_one_wins(self, hub, client):
        sink = IobeamSink(client)
        rows = SampleBlock.scalar("a", [1_000, 1_999, 2_000], np.array([1, 2, 3]))
        hub.run(sink.deliver(Batch((rows,))))
        assert exported(hub, client) == {"a": [(1, 2), (2, 3)]}

    def test_a_batch_may_be_delivered_twice(self, hub, client):
        sink, batch = IobeamSink(client), Batch((block("a", [1, 2]),))
        for _ in range(2):
            assert hub.run(sink.deliver(batch)).rejections == ()
        assert exported(hub, client) == {"a": [(0, 1), (SECOND, 2)]}

    def test_streams_of_the_same_instants_go_in_one_request(self, network, service, odd):
        sink = IobeamSink(odd)
        blocks = tuple(block(f"s{number}", [1.0, 2.0]) for number in range(30))
        network.run(sink.deliver(Batch(blocks)))
        (table,) = service.tables()
        assert (len(table["fields"]), len(table["data"])) == (31, 2)

    def test_no_request_holds_more_than_1000_cells(self, network, service, odd):
        sink = IobeamSink(odd)
        blocks = tuple(block(f"s{at}", list(range(90)), start=at * 37 * SECOND) for at in range(11))
        assert sum(map(len, blocks)) <= SINK_CAPABILITIES.max_batch_points
        network.run(sink.deliver(Batch(blocks)))
        tables = service.tables()
        cells = [(len(one["fields"]) - 1) * len(one["data"]) for one in tables]
        assert max(cells) <= 1000
        sent = [
            (name, row[0], row[column])
            for one in tables
            for row in one["data"]
            for column, name in enumerate(one["fields"][1:], 1)
            if row[column] is not None
        ]
        assert len(sent) == 990

    def test_two_blocks_of_a_stream_go_in_their_order(self, network, service, odd):
        network.run(IobeamSink(odd).deliver(Batch((block("a", [1]), texts("a", ["x"])))))
        assert [one["data"] for one in service.tables()] == [[[0, 1]], [[0, "x"]]]

    def test_a_device_that_is_not_known_is_registered(self, hub, client):
        sink = IobeamSink(client, device_id="new")
        hub.run(sink.deliver(Batch((block("a", [1]),))))
        assert {one.device_id for one in hub.run(client.list_devices())} == {"pump-3", "new"}

    def test_a_device_that_is_not_to_be_registered_is_told(self, hub, client):
        sink = IobeamSink(client, device_id="new", register=False)
        with pytest.raises(ConfigError, match="there is no device new to write to"):
            hub.run(sink.deliver(Batch((block("a", [1]),))))

    def test_a_block_that_is_refused_is_found_and_the_others_are_written(self, hub, client):
        sink = IobeamSink(client)
        names = ("a", "time", "b", "x" * 400, "c")
        blocks = tuple(block(name, [number]) for number, name in enumerate(names))
        receipt = hub.run(sink.deliver(Batch(blocks)))
        assert [one.block for one in receipt.rejections] == [1, 3]
        assert "'time' is reserved" in receipt.rejections[0].reason
        assert "too long" in receipt.rejections[1].reason
        assert set(exported(hub, client)) == {"a", "b", "c"}

    @pytest.mark.parametrize(
        ("answer", "error"),
        [
            (error_answer(413), TooLarge),
            (error_answer(503), ServerFailed),
            (error_answer(401), AuthError),
            (Response(400, (), b"<html>login</html>"), RemoteProtocolError),
            (Response(404, (), b""), RemoteProtocolError),
            (Response(200, (("Content-Type", "text/html"),), b"<html>login</html>"), RemoteProtocolError),
            (error_answer(404, 1, "no such project"), ConfigError),
        ],
    )
    def test_what_says_nothing_about_the_data_is_an_error(self, network, service, odd, answer, error):
        service.answer = lambda request: answer
        with pytest.raises(error):
            network.run(IobeamSink(odd).deliver(Batch((block("a", [1]),))))

    def test_an_empty_batch_asks_whether_the_service_is_there(self, hub, client):
        sink = IobeamSink(client)
        assert hub.run(sink.deliver(Batch())).rejections == ()
        assert sink.skew is not None
        hub.run(sink.close())

    def test_a_sink_needs_a_device(self, network):
        client = Client(7, make_token(), reactor=network.reactor)
        for end in (IobeamSink, IobeamSource):
            with pytest.raises(ConfigError, match="device_id"):
                end(client)
        network.run(client.close())

    def test_a_plan_names_what_a_device_cannot_hold(self):
        gives = Capabilities(several_columns=True, breaks=True, gaps=True, infos=True, notes=True)
        losses = {
            "time ns -> us",
            "not-a-number dropped",
            "breaks dropped",
            "gaps dropped",
            "descriptions dropped",
            "annotations and events dropped",
        }
        plan = plan_route(gives, SINK_CAPABILITIES, RoutePolicy(frozenset(losses)))
        assert set(plan.losses) == losses


class Reader:
    """Reads a source, and has all that came."""

    def __init__(self, hub, source, selection=EVERYTHING, after=None):
        self.hub = hub
        self.flow = hub.run(source.open(selection, after))
        self.cursor = None
        self.points = []
        self.gaps = []

    def read(self, seconds=60.0):
        batch = self.hub.run(self.flow.next_batch(), seconds)
        for one in batch.blocks:
            self.points += [
                (one.stream, at // 1000, value)
                for at, value in zip(one.at.tolist(), one.values.tolist(), strict=True)
            ]
        self.gaps += batch.gaps
        self.cursor = batch.cursor
        return batch

    def read_all(self):
        try:
            while True:
                self.read()
        except Closed:
            return self.points


def put(hub, client, *cells):
    for name, at, value in cells:
        hub.run(client.import_table([name], [Row(at, (value,))]))


class TestSource:
    def test_a_flow_from_now_on_begins_with_where_it_begins(self, hub, client):
        now = now_of(hub)
        put(hub, client, ("old", now - SECOND, 1))
        reader = Reader(hub, IobeamSource(client, reactor=hub.network.reactor))
        assert reader.read().empty
        assert reader.cursor == Cursor({"begin": now, "at": now})
        put(hub, client, ("a", now + 5, 1.5), ("b", now + 7, "x"))
        reader.read()
        assert reader.points == [("a", now + 5, 1.5), ("b", now + 7, "x")]

    def test_what_is_new_is_given_once(self, hub, client):
        now = now_of(hub)
        reader = Reader(hub, IobeamSource(client, every=10, reactor=hub.network.reactor))
        reader.read()
        for number in range(5):
            put(hub, client, ("a", now + number * SECOND, number))
            reader.read()
        assert reader.points == [("a", now + number * SECOND, number) for number in range(5)]

    def test_nothing_is_given_while_there_is_nothing_and_giving_up_loses_nothing(self, hub, client):
        now = now_of(hub)
        reader = Reader(hub, IobeamSource(client, every=10, reactor=hub.network.reactor))
        reader.read()
        waiting = reader.flow.next_batch()
        hub.settle()
        waiting.cancel()
        with pytest.raises(CancelledError):
            hub.run(waiting)
        put(hub, client, ("a", now, 1))
        reader.read()
        assert reader.points == [("a", now, 1)]

    def test_a_point_that_is_late_is_found_and_one_that_is_too_late_is_not(self, hub, client):
        now = now_of(hub)
        source = IobeamSource(client, since=now - 100 * SECOND, late=30, reactor=hub.network.reactor)
        reader = Reader(hub, source)
        reader.read()
        put(hub, client, ("a", now, 1))
        reader.read()
        put(hub, client, ("b", now - 40 * SECOND, 2), ("b", now - 30 * SECOND, 3), ("a", now + 1, 4))
        reader.read()
        assert reader.points == [("a", now, 1), ("a", now + 1, 4), ("b", now - 30 * SECOND, 3)]

    def test_a_value_that_changes_is_given_again(self, hub, client):
        now = now_of(hub)
        reader = Reader(hub, IobeamSource(client, reactor=hub.network.reactor))
        reader.read()
        put(hub, client, ("a", now, 1))
        reader.read()
        put(hub, client, ("a", now, 2))
        reader.read()
        assert reader.points == [("a", now, 1), ("a", now, 2)]

    def test_a_flow_goes_on_from_its_cursor_after_a_restart(self, hub, client):
        now = now_of(hub)
        make = lambda: IobeamSource(client, late=30, reactor=hub.network.reactor)  # noqa: E731
        first = Reader(hub, make())
        first.read()
        put(hub, client, ("before", now - 1, 0), ("a", now, 1), ("a", now + 60 * SECOND, 2))
        hub.network.clock.advance(60)
        first.read()
        hub.run(first.flow.close())
        put(hub, client, ("late", now + 31 * SECOND, 3), ("a", now + 61 * SECOND, 4))
        second = Reader(hub, make(), after=Cursor(json.loads(json.dumps(first.cursor.value))))
        second.read()
        assert {("late", now + 31 * SECOND, 3), ("a", now + 61 * SECOND, 4)} <= set(second.points)
        assert {at for _, at, _ in second.points} <= set(range(now + 30 * SECOND, now + 62 * SECOND))

    def test_a_point_of_a_clock_that_is_ahead_hides_none_that_come_after_it(self, hub, client):
        now = now_of(hub)
        reader = Reader(hub, IobeamSource(client, late=0, reactor=hub.network.reactor))
        reader.read()
        put(hub, client, ("wrong", now + 10**6 * SECOND, 1))
        reader.read()
        put(hub, client, ("a", now + SECOND, 2))
        reader.read()
        assert reader.points == [("wrong", now + 10**6 * SECOND, 1), ("a", now + SECOND, 2)]

    def test_only_selected_series_are_given(self, hub, client):
        now = now_of(hub)
        reader = Reader(hub, IobeamSource(client, reactor=hub.network.reactor), Selection(("a*",)))
        reader.read()
        put(hub, client, ("b", now, 1), ("ab", now, 2))
        reader.read()
        assert reader.points == [("ab", now, 2)]

    def test_a_series_of_integers_and_floats_is_one_of_floats(self, hub, client):
        now = now_of(hub)
        reader = Reader(hub, IobeamSource(client, reactor=hub.network.reactor))
        reader.read()
        put(hub, client, ("a", now, 1), ("a", now + 1, 1.5), ("n", now, 2**60), ("big", now, 2**70))
        batch = reader.read()
        kinds = {one.stream: one.values.dtype.kind for one in batch.blocks}
        assert kinds == {"a": "f", "n": "i", "big": "O"}
        put(hub, client, ("a", now + 2, 2))
        assert [one.values.dtype.kind for one in reader.read().blocks] == ["f"]

    def test_values_of_several_types_are_given_in_their_order(self, hub, client):
        values = [True, 1, "x", "y", 2, False]
        put(hub, client, *(("a", at, value) for at, value in enumerate(values)))
        source = IobeamSource(client, since=BEGINNING, until=10, reactor=hub.network.reactor)
        reader = Reader(hub, source)
        assert reader.read_all() == [("a", at, value) for at, value in enumerate(values)]

    def test_numbers_alone_can_be_wanted_and_the_others_are_gaps(self, hub, client):
        put(hub, client, ("a", 1, 5), ("a", 2, "off"), ("a", 3, True), ("a", 4, 1.5))
        source = IobeamSource(client, since=0, until=10, numbers=True, reactor=hub.network.reactor)
        assert source.capabilities.value_types == {ValueType.FLOAT}
        assert source.capabilities.gaps
        reader = Reader(hub, source)
        assert reader.read_all() == [("a", 1, 5.0), ("a", 3, 1.0), ("a", 4, 1.5)]
        assert [(gap.stream, gap.start_ns, gap.points) for gap in reader.gaps] == [("a", 2000, 1)]

    def test_a_stretch_of_history_ends_and_holds_its_start_and_not_its_end(self, hub, client):
        put(hub, client, *(("a", at, at) for at in (4_999, 5_000, 5_001, 7_999, 8_000)))
        source = IobeamSource(client, since=5_000, until=8_000, reactor=hub.network.reactor)
        reader = Reader(hub, source)
        assert reader.read_all() == [("a", at, at) for at in (5_000, 5_001, 7_999)]
        again = Reader(hub, source, after=reader.cursor)
        assert again.read_all() == [("a", 7_999, 7_999)]

    def test_a_long_history_is_read_whole_in_windows(self, hub, client):
        rows = [Row(at * 977, (at,)) for at in range(7_500)]
        for start in range(0, len(rows), 1000):
            hub.run(client.import_table(["a"], rows[start : start + 1000]))
        burst = [Row(10**12 + at, (at,)) for at in range(1000)]
        hub.run(client.import_table(["b"], burst))
        source = IobeamSource(client, since=BEGINNING, until=10**13, reactor=hub.network.reactor)
        found = Reader(hub, source).read_all()
        assert [at for name, at, _ in found if name == "a"] == [row.at for row in rows]
        assert [at for name, at, _ in found if name == "b"] == [row.at for row in burst]

    def test_what_no_float_holds_is_text_and_of_two_points_of_an_instant_the_last_counts(
        self, network, service, odd
    ):
        data = b'{"time":5,"value":NaN},{"time":6,"value":1e999},{"time":6,"value":2},{"time":7,"value":1.5}'
        rounds = [b"", b"", b',{"time":8,"value":3}']

        def answer(request):
            if request.path.endswith("timestamp"):
                return json_answer({"server_timestamp": 9})
            points = data + (rounds.pop(0) if rounds else b"")
            return Response(200, (), b'{"result":[{"device_id":"p","name":"a","data":[' + points + b"]}]}")

        service.answer = answer
        source = IobeamSource(odd, since=BEGINNING, reactor=network.reactor)
        flow = network.run(source.open(EVERYTHING, None))
        network.run(flow.next_batch())
        given = [network.run(flow.next_batch()) for _ in range(2)]
        values = [[one.values.tolist() for one in batch.blocks] for batch in given]
        assert values == [[["nan"], [2.0, 1.5]], [[3.0]]]

    def test_a_cursor_of_something_else_is_refused(self, hub, client):
        source = IobeamSource(client, reactor=hub.network.reactor)
        for value in (5, {"a": 1}, {"begin": 0, "at": "x"}):
            with pytest.raises(ConfigError, match="the cursor is not one of a device of iobeam"):
                hub.run(source.open(EVERYTHING, Cursor(value)))

    @pytest.mark.parametrize("after", [None, Cursor({"begin": 0, "at": 5})])
    def test_a_device_that_cannot_be_read_is_told_when_it_is_opened(self, hub, client, after):
        source = IobeamSource(client, device_id="none", since=BEGINNING, reactor=hub.network.reactor)
        with pytest.raises(NoSuchThing, match="there is no such device"):
            hub.run(source.open(EVERYTHING, after))

    @pytest.mark.parametrize("times", [{"every": 0}, {"late": -1}])
    def test_times_that_are_none_are_refused(self, hub, client, times):
        with pytest.raises(ConfigError):
            IobeamSource(client, reactor=hub.network.reactor, **times)

    def test_a_flow_that_was_closed_gives_nothing_more(self, hub, client):
        reader = Reader(hub, IobeamSource(client, reactor=hub.network.reactor))
        reader.read()
        hub.run(reader.flow.close())
        with pytest.raises(Closed):
            reader.read()

    def test_a_service_that_fails_is_asked_for_the_same_again(self, network, service, odd):
        there = json_answer({"result": []})
        answers = [there, json_answer({"server_timestamp": 5}), error_answer(503)]
        data = {"result": [{"device_id": "pump-3", "name": "a", "data": [{"time": 5000, "value": 1}]}]}
        service.answer = lambda request: answers.pop(0) if answers else json_answer(data)
        source = IobeamSource(odd, since=BEGINNING, reactor=network.reactor)
        flow = network.run(source.open(EVERYTHING, None))
        network.run(flow.next_batch())
        with pytest.raises(ServerFailed):
            network.run(flow.next_batch())
        assert network.run(flow.next_batch()).points == 1
        assert service.requests[-1].query == service.requests[-2].query

    def test_capabilities_say_what_may_come(self):
        assert SOURCE_CAPABILITIES.value_types == frozenset(ValueType)
        assert not SOURCE_CAPABILITIES.not_numbers
        assert SOURCE_CAPABILITIES.time_resolution_ns == 1000


class TestWindows:
    """Against a service that holds what it is told and gives the newest of each series."""

    @given(
        st.lists(
            st.tuples(st.integers(0, 40_000), st.sampled_from([1, 7, 1000]), st.integers(1, 2500)), max_size=4
        ),
        st.integers(0, 40_000),
    )
    def test_everything_is_found_however_it_is_spread(self, runs, since):
        network = MemoryNetwork()
        service = IobeamService(network)
        ats = {start + step * number for start, step, many in runs for number in range(many)}
        stored = sorted(ats)

        def answer(request):
            if request.path.endswith("timestamp"):
                return json_answer({"server_timestamp": 50})
            query = parse_qs(request.query)
            first, last = int(query["from"][0]) * 1000, int(query["to"][0]) * 1000 + 999
            there = [at for at in stored if first <= at <= last][-int(query["limit"][0]) :]
            data = [{"time": at, "value": at} for at in there]
            return json_answer({"result": [{"device_id": "p", "name": "a", "data": data}], "timefmt": "usec"})

        service.answer = answer
        client = Client(7, make_token(), backend=service.url, device_id="p", reactor=network.reactor)
        source = IobeamSource(client, since=since, until=3_000_000, reactor=network.reactor)
        flow = network.run(source.open(EVERYTHING, None))
        found = []
        with suppress(Closed):
            while True:
                batch = network.run(flow.next_batch())
                found += [at // 1000 for one in batch.blocks for at in one.at.tolist()]
        network.run(client.close())
        assert found == [at for at in stored if at >= since]
        assert len(service.requests) < 400

    def test_a_window_that_a_service_finds_too_large_is_asked_for_in_parts(self, network, service, odd):
        stored = {name: list(range(0, 40_000_000, 100_000)) for name in ("a", "b", "c")}

        def answer(request):
            if request.path.endswith("timestamp"):
                return json_answer({"server_timestamp": 20_000})
            query = parse_qs(request.query)
            first, last = int(query["from"][0]) * 1000, int(query["to"][0]) * 1000 + 999
            there = {name: [at for at in ats if first <= at <= last] for name, ats in stored.items()}
            if sum(map(len, there.values())) > 500:
                return error_answer(400, 1, "the answer has more than 500 points")
            result = [
                {"device_id": "p", "name": name, "data": [{"time": at, "value": 1} for at in ats]}
                for name, ats in there.items()
            ]
            return json_answer({"result": result, "timefmt": "usec"})

        service.answer = answer
        source = IobeamSource(odd, since=BEGINNING, until=10**9, reactor=network.reactor)
        flow = network.run(source.open(EVERYTHING, None))
        found = {name: [] for name in stored}
        with suppress(Closed):
            while True:
                for one in network.run(flow.next_batch()).blocks:
                    found[one.stream] += (one.at // 1000).tolist()
        assert found == stored

    def test_all_that_may_be_late_is_looked_at_now_and_then_and_the_last_minute_each_time(
        self, network, service, odd
    ):
        minute = 60_000
        now = 10**9
        data = [{"time": now * 1000, "value": 1}]
        looks = []

        def answer(request):
            if request.path.endswith("timestamp"):
                return json_answer({"server_timestamp": now})
            first = int(parse_qs(request.query)["from"][0])
            looks.append((network.clock.seconds(), (now - first) / minute))
            there = (
                [{"time": (now - 30 * minute) * 1000, "value": 2}] if network.clock.seconds() > 100 else []
            )
            found = [point for point in there + data if point["time"] >= first * 1000]
            result = [{"device_id": "p", "name": "a", "data": found}]
            return json_answer({"result": result, "timefmt": "usec"})

        service.answer = answer
        source = IobeamSource(odd, since=BEGINNING, every=60, late=3600, reactor=network.reactor)
        flow = network.run(source.open(EVERYTHING, None))
        network.run(flow.next_batch())
        assert network.run(flow.next_batch()).points == 1
        looks.clear()
        assert network.run(flow.next_batch(), 1000).blocks[0].values.tolist() == [2]
        assert looks[-1] == (900, 75)
        assert {back for _, back in looks[:-1]} == {1}

    def test_a_service_that_refuses_every_window_is_told(self, network, service, odd):
        well = json_answer({"server_timestamp": 20_000, "result": []})
        service.answer = lambda request: error_answer(400, 1, "no") if "limit=1000" in request.query else well
        source = IobeamSource(odd, since=BEGINNING, reactor=network.reactor)
        flow = network.run(source.open(EVERYTHING, None))
        network.run(flow.next_batch())
        with pytest.raises(UnknownCodeError, match="export: 400 no"):
            network.run(flow.next_batch())
        assert len(service.requests) < 60


def test_a_route_from_one_device_to_another_delivers_all_and_survives_the_hubs_absence(hub, client):
    now = now_of(hub)
    clock = hub.network.clock
    token = client.project_token
    other = client_of(hub, PROJECT, token, device_id="copy")
    source = IobeamSource(client, since=BEGINNING, every=5, reactor=hub.network.reactor)
    destination = Destination(name="copy", sink=IobeamSink(other))
    outbox = MemoryOutbox(["copy"], clock)
    relay = RelayService(
        "copying",
        source,
        [destination],
        outbox,
        clock=hub.network.reactor,
        random=lambda: 0.5,
        ledger=ScriptedLedger(),
        dead_letters=ScriptedDeadLetters(),
    )
    put(hub, client, ("a", now - SECOND, 1))
    relay.startService()

    def copied():
        query = QueryReq(PROJECT, "copy", "a", timeUnit=TimeUnit.MICROSECONDS)
        found = hub.run(other.export(query))
        return [point.value for one in found for point in one.points]

    def wait_for(values):
        for _ in range(200):
            hub.settle()
            clock.advance(1)
            hub.settle()
            if {one.device_id for one in hub.run(client.list_devices())} >= {"copy"} and copied() == values:
                return
        raise AssertionError(copied())

    wait_for([1])
    hub.network.cut()
    put(hub, client, ("a", now, 2), ("a", now + 1, 3))
    wait_for([1, 2, 3])
    hub.run(relay.stopService())
    hub.run(other.close())
