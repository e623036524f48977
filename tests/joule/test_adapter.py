"""Both ends of a route at nodes in memory."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.hub_in_memory import HubInMemory
from tests.support.joule_node import T0, NodeInMemory
from txbridge.errors import ConfigError, ServerFailed
from txbridge.joule.adapter import SINK_CAPABILITIES, SOURCE_CAPABILITIES, JouleSink, JouleSource
from txbridge.joule.errors import StreamNotFound
from txbridge.model.samples import Batch, SampleBlock, StreamInfo
from txbridge.net.http1 import Response
from txbridge.relay.plan import RoutePolicy, plan_route
from txbridge.relay.roles import Receipt, Selection

SECOND = 1_000_000


@pytest.fixture
def hub(tmp_path):
    with HubInMemory(tmp_path) as hub:
        yield hub


@pytest.fixture
def server(hub):
    return NodeInMemory(hub.network)


@pytest.fixture
def node(hub, server):
    client = server.node()
    yield client
    hub.run(client.close())


def block(stream, seconds, *columns, breaks=()):
    ats = (T0 + np.array(seconds) * SECOND) * 1000
    return SampleBlock(stream, ats, dict(zip("xyz", map(np.array, columns), strict=False)), tuple(breaks))


def starts(server, path):
    held = server.streams[path]
    return sorted((at - T0) / SECOND for at in held.breaks if at in held.rows)


class TestSink:
    def test_a_stream_is_made_with_the_units_that_are_known(self, hub, server, node):
        info = StreamInfo("a", "a meter", columns=(StreamInfo("x", unit_symbol="V"), StreamInfo("y")))
        sink = JouleSink(node, "/in", keep_us=7)
        receipt = hub.run(sink.deliver(Batch((block("a", [0, 1], [1.5, 2.5], [1, 2]),), infos=(info,))))
        assert receipt.rejections == ()
        document = server.streams["/in/a"].document
        assert (document["datatype"], document["description"], document["keep_us"]) == (
            "float64",
            "a meter",
            7,
        )
        assert [(one["name"], one["units"]) for one in document["elements"]] == [("x", "V"), ("y", "")]
        assert server.rows("/in/a") == [(0, 1.5, 1.0), (1, 2.5, 2.0)]

    def test_an_empty_batch_asks_for_the_node_and_its_clock_and_changes_nothing(self, hub, server, node):
        sink = JouleSink(node, "/in")
        assert sink.skew is None
        assert hub.run(sink.deliver(Batch())) == Receipt()
        assert sink.skew == pytest.approx(0.0, abs=0.6)
        assert server.streams == {}

    def test_batches_that_follow_each_other_are_one_interval_and_breaks_are_breaks(self, hub, server, node):
        sink = JouleSink(node, "/in")
        for part in (block("a", [0, 1], [1, 2]), block("a", [2, 3, 9], [3, 4, 5], breaks=[2])):
            hub.run(sink.deliver(Batch((part,))))
        hub.run(sink.deliver(Batch((block("a", [20], [6], breaks=[0]),))))
        assert server.rows("/in/a") == [(0, 1), (1, 2), (2, 3), (3, 4), (9, 5), (20, 6)]
        assert starts(server, "/in/a") == [0, 9, 20]
        assert server.streams["/in/a"].document["datatype"] == "int64"

    def test_what_is_there_already_is_left_out(self, hub, server, node):
        hub.run(JouleSink(node, "/in").deliver(Batch((block("a", [0, 2], [1, 3]),))))
        again = JouleSink(node, "/in")
        for _ in range(2):
            receipt = hub.run(again.deliver(Batch((block("a", [0, 1, 2, 3], [1, 2, 3, 4]),))))
            assert receipt.rejections == ()
        assert server.rows("/in/a") == [(0, 1), (1, 2), (2, 3), (3, 4)]

    def test_after_an_unknown_end_the_node_is_asked_what_it_has(self, hub, server, node):
        sink = JouleSink(node, "/in")
        hub.run(sink.deliver(Batch((block("a", [0], [1]),))))
        server.refusal = Response(503, (), b"later")
        with pytest.raises(ServerFailed):
            hub.run(sink.deliver(Batch((block("a", [1], [2]),))), 60)
        server.refusal = None
        server.streams["/in/a"].rows[T0 + SECOND] = (2,)  # it was stored all the same
        hub.run(sink.deliver(Batch((block("a", [1, 2], [2, 3]),))))
        assert server.rows("/in/a") == [(0, 1), (1, 2), (2, 3)]

    def test_what_a_stream_cannot_hold_is_rejected_and_takes_nothing_along(self, hub, server, node):
        server.add("/in/narrow", "int16_1")
        batch = Batch((block("narrow", [0], [70_000]), block("narrow", [0], [1], [2]), block("b", [0], [1])))
        receipt = hub.run(JouleSink(node, "/in").deliver(batch))
        assert [one.block for one in receipt.rejections] == [0, 1]
        assert "int16" in receipt.rejections[0].reason
        assert "1 elements, not 2" in receipt.rejections[1].reason
        assert server.rows("/in/b") == [(0, 1)]

    def test_a_stream_that_somebody_deleted_is_made_again(self, hub, server, node):
        sink = JouleSink(node, "/in")
        hub.run(sink.deliver(Batch((block("a", [0], [1]),))))
        del server.streams["/in/a"]
        hub.run(sink.deliver(Batch((block("a", [1], [2]),))))
        assert server.rows("/in/a") == [(1, 2)]

    def test_a_folder_begins_with_a_slash(self, node):
        with pytest.raises(ConfigError, match="begins with a slash"):
            JouleSink(node, "in")


class TestSource:
    def test_only_the_selected_streams_are_read(self, hub, server, node):
        server.add("/live/a", "float64_1", [(0, 1.0)])
        server.add("/live/b", "float64_1", [(0, 2.0)])
        source = JouleSource(
            node, ["/live/a", "/live/b"], since=0, until=T0 + 9 * SECOND, reactor=hub.network.reactor
        )
        flow = hub.run(source.open(Selection(("*.b",)), None))
        assert [one.stream for one in hub.run(flow.next_batch()).blocks] == ["live.b"]
        hub.run(flow.close())

    def test_a_stream_that_is_not_there_is_an_error(self, hub, node):
        source = JouleSource(node, {"/no": "a"}, reactor=hub.network.reactor)
        with pytest.raises(StreamNotFound):
            hub.run(source.open(Selection(), None))

    @pytest.mark.parametrize("streams", [[], {"/a": "x", "/b": "x"}, ["/a/b", "/a.b"]])
    def test_streams_need_different_names(self, hub, node, streams):
        with pytest.raises(ConfigError, match="different names"):
            JouleSource(node, streams, reactor=hub.network.reactor)

    def test_without_notes_none_are_promised(self, hub, node):
        source = JouleSource(node, "/a", notes=False, reactor=hub.network.reactor)
        assert not source.capabilities.notes
        assert JouleSource(node, "/a", reactor=hub.network.reactor).capabilities == SOURCE_CAPABILITIES


def test_what_is_lost_between_two_nodes_has_a_name():
    accepted = RoutePolicy(frozenset({"not-a-number dropped", "gaps dropped"}))
    assert plan_route(SOURCE_CAPABILITIES, SINK_CAPABILITIES, accepted).losses == (
        "not-a-number dropped",
        "gaps dropped",
    )
