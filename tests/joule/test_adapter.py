"""Both ends of a route at nodes in memory."""

from __future__ import annotations

import numpy as np
import pytest
from attrs import evolve
from twisted.internet.task import deferLater

from tests.support.hub_in_memory import HubInMemory
from tests.support.joule_node import T0, NodeInMemory
from txbridge.errors import Advice, ConfigError, RemoteProtocolError, ServerFailed, TooLarge
from txbridge.joule.adapter import SINK_CAPABILITIES, SOURCE_CAPABILITIES, JouleSink, JouleSource, Rows
from txbridge.joule.blocks import describe
from txbridge.joule.client import Node
from txbridge.joule.structures import DataStream, Element
from txbridge.model.samples import Batch, Cursor, Gap, Note, NoteKind, SampleBlock, StreamInfo, ValueType
from txbridge.net.http1 import Response
from txbridge.net.http_server import HttpServerFactory
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


def gap(stream, first, last, points=None):
    return Gap(stream, (T0 + first * SECOND) * 1000, (T0 + last * SECOND) * 1000, "lost", points)


def starts(server, path):
    held = server.streams[path]
    return sorted((at - T0) / SECOND for at in held.breaks if at in held.rows)


def opened(hub, node, paths, after):
    source = JouleSource(node, paths, reactor=hub.network.reactor)
    return hub.run(source.open(Selection(), after))


def first_cursor(hub, node, paths, after):
    """Of a flow "from now on" that is closed before anything comes."""
    flow = opened(hub, node, paths, after)
    cursor = hub.run(flow.next_batch()).cursor
    hub.run(flow.close())
    return cursor


def gathered(hub, node, paths, after):
    """What such a flow gives in some seconds."""
    flow = opened(hub, node, paths, after)
    hub.run(deferLater(hub.network.reactor, 5), 60)
    batch = hub.run(flow.next_batch())
    hub.run(flow.close())
    return batch


def happen(server, seconds):
    """Let something happen in the event stream /doors, which is made if it is missing."""
    server.events["/doors"] = {"id": 9, "name": "doors", "description": "", "event_fields": {}, "keep_us": -1}
    events = server.happened.setdefault("/doors", [])
    start = T0 + seconds * SECOND
    events.append({"id": len(events) + 1, "start_time": start, "end_time": start + 1, "content": {}})


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

    def test_of_rows_in_one_microsecond_the_last_one_is_written(self, hub, server, node):
        at = T0 * 1000 + np.array([0, 1, 1000, 1001])
        one = SampleBlock("a", at, {"x": [1, 2, 3, 4]}, (2,))
        assert hub.run(JouleSink(node, "/in").deliver(Batch((one,)))).rejections == ()
        assert server.rows("/in/a") == [(0, 2), (1e-6, 4)]
        assert sorted(server.streams["/in/a"].breaks) == [T0, T0 + 1]

    def test_a_block_without_rows_is_nothing(self, hub, server, node):
        assert hub.run(JouleSink(node, "/in").deliver(Batch((block("a", [], []),)))).rejections == ()
        assert server.streams == {}

    def test_columns_go_to_the_elements_of_their_names(self, hub, server, node):
        server.add("/in/a", "float64_2", names=["y", "x"])
        server.add("/in/b", "float64_2", names=["p", "q"])
        batch = Batch((block("a", [0], [1.0], [2.0]), block("b", [0], [1.0], [2.0])))
        hub.run(JouleSink(node, "/in").deliver(batch))
        assert (server.rows("/in/a"), server.rows("/in/b")) == ([(0, 2.0, 1.0)], [(0, 1.0, 2.0)])

    @pytest.mark.parametrize("raw", [True, False])
    def test_an_annotation_that_comes_before_the_rows_makes_the_stream(self, hub, server, node, raw):
        stream = DataStream("a", datatype="int16", elements=[Element("x", offset=3.0), Element("y")])
        note = Note("a", T0 * 1000, None, NoteKind.ANNOTATION, {"title": "moved"})
        batch = Batch(infos=(describe("a", stream, raw=raw),), notes=(note,))
        hub.run(JouleSink(node, "/in").deliver(batch))
        assert server.streams["/in/a"].document["datatype"] == ("int16" if raw else "float64")
        assert [one["title"] for one in server.annotations] == ["moved"]

    @pytest.mark.parametrize(
        ("info", "layout"),
        [
            (StreamInfo("a", value_type=ValueType.INTEGER), "int64_1"),
            (StreamInfo("a", columns=(StreamInfo("x", unit_symbol="V"), StreamInfo("y"))), "float64_2"),
        ],
    )
    def test_so_does_one_of_a_stream_of_another_platform(self, hub, node, info, layout):
        note = Note("a", T0 * 1000, None, NoteKind.ANNOTATION, {"title": "moved"})
        hub.run(JouleSink(node, "/in").deliver(Batch(infos=(info,), notes=(note,))))
        assert hub.run(node.data_stream_get("/in/a")).layout == layout

    def test_what_somebody_else_wrote_meanwhile_is_left_out(self, hub, server, node):
        sink = JouleSink(node, "/in")
        hub.run(sink.deliver(Batch((block("a", [0], [1]),))))
        server.streams["/in/a"].rows[T0 + SECOND] = (2,)
        receipt = hub.run(sink.deliver(Batch((block("a", [1, 2], [2, 3]),))))
        assert receipt.rejections == ()
        assert server.rows("/in/a") == [(0, 1), (1, 2), (2, 3)]

    def test_what_a_stream_cannot_hold_is_rejected_and_takes_nothing_along(self, hub, server, node):
        server.add("/in/narrow", "int16_1")
        server.add("/in/single", "float32_1")
        batch = Batch(
            (
                block("narrow", [0], [70_000]),
                block("narrow", [0], [1], [2]),
                block("b", [0], [1]),
                block("single", [0], [1e300]),
                block("single", [1, 2], [0.1, float("inf")]),
            )
        )
        receipt = hub.run(JouleSink(node, "/in").deliver(batch))
        assert [one.block for one in receipt.rejections] == [0, 1, 3]
        assert "int16" in receipt.rejections[0].reason
        assert "1 elements, not 2" in receipt.rejections[1].reason
        assert "float32" in receipt.rejections[2].reason
        assert server.rows("/in/single") == [(1, float(np.float32(0.1))), (2, float("inf"))]
        assert server.rows("/in/b") == [(0, 1)]

    def test_a_stream_that_somebody_deleted_is_made_again(self, hub, server, node):
        sink = JouleSink(node, "/in")
        hub.run(sink.deliver(Batch((block("a", [0], [1]),))))
        del server.streams["/in/a"]
        hub.run(sink.deliver(Batch((block("a", [1], [2]),))))
        assert server.rows("/in/a") == [(1, 2)]

    def test_a_stream_of_another_node_is_made_as_it_is_there(self, hub, server, node):
        element = Element("x", "V", False, "discrete", offset=1.0, scale_factor=0.5, default_max=9.0)
        stream = DataStream("a", "a meter", "float32", elements=[element, Element("y")])
        info = describe("a", stream, raw=True)
        hub.run(
            JouleSink(node, "/in").deliver(Batch((block("a", [0, 1], [0.5, 2.5], [1.0, 2.0]),), (), (info,)))
        )
        made = hub.run(node.data_stream_get("/in/a"))
        assert (made.description, made.layout) == ("a meter", "float32_2")
        there = [
            evolve(one, id=None, index=None, display_type=one.display_type.lower()) for one in made.elements
        ]
        assert there == stream.elements

    def test_a_type_that_does_not_hold_the_numbers_is_not_taken_over(self, hub, server, node):
        info = describe("a", DataStream("a", datatype="float32", elements=[Element("x")]), raw=True)
        hub.run(JouleSink(node, "/in").deliver(Batch((block("a", [0], [0.1]),), infos=(info,))))
        assert server.streams["/in/a"].document["datatype"] == "float64"
        assert server.rows("/in/a") == [(0, 0.1)]

    def test_infinities_are_stored(self, hub, server, node):
        infinite = [float("inf"), float("-inf")]
        hub.run(JouleSink(node, "/in").deliver(Batch((block("a", [0, 1], infinite),))))
        assert server.rows("/in/a") == [(0, infinite[0]), (1, infinite[1])]

    def test_a_gap_is_a_break_wherever_the_rows_around_it_come(self, hub, server, node):
        sink = JouleSink(node, "/in")
        hub.run(sink.deliver(Batch((block("a", [0, 1, 5], [1, 2, 3]),), (gap("a", 2, 4),))))
        assert starts(server, "/in/a") == [0, 5]
        hub.run(sink.deliver(Batch((block("a", [6], [4]),), (gap("a", 7, 8, points=0), gap("a", 9, 11)))))
        hub.run(sink.deliver(Batch((block("a", [7, 8], [5, 6]),))))
        hub.run(sink.deliver(Batch((block("a", [12, 13], [7, 8]),))))
        hub.run(sink.deliver(Batch((block("a", [14], [9]),))))
        assert starts(server, "/in/a") == [0, 5, 12]

    @pytest.mark.parametrize("status", [200, 201, 400, 404, 405])
    @pytest.mark.parametrize("part", ["rows", "a note"])
    def test_what_stands_in_front_of_the_node_neither_takes_nor_refuses_data(self, hub, status, part):
        page = Response(
            status, (("Content-Type", "text/html"),), b"<!DOCTYPE html><title>Log in to the network</title>"
        )
        portal = HttpServerFactory(lambda request: page, clock=hub.network.clock)
        hub.network.listen("portal.test", 80, portal)
        node = Node("http://portal.test", reactor=hub.network.reactor)
        note = Note("a", T0 * 1000, None, NoteKind.ANNOTATION, {"title": "moved"})
        batch = Batch((block("a", [0], [1]),)) if part == "rows" else Batch(notes=(note,))
        with pytest.raises(RemoteProtocolError) as caught:
            hub.run(JouleSink(node, "/in").deliver(batch))
        assert caught.value.advice is Advice.RETRY
        hub.run(node.close())

    @pytest.mark.parametrize("answer", [Response(400), Response(200, (), b"<html>log in</html>")])
    def test_nor_does_it_when_it_comes_between_two_batches(self, hub, server, node, answer):
        sink = JouleSink(node, "/in")
        hub.run(sink.deliver(Batch((block("a", [0], [1]),))))
        server.refusal = answer
        with pytest.raises(RemoteProtocolError):
            hub.run(sink.deliver(Batch((block("a", [1], [2]),))))
        server.refusal = None
        assert hub.run(sink.deliver(Batch((block("a", [1], [2]),)))).rejections == ()
        assert server.rows("/in/a") == [(0, 1), (1, 2)]

    def test_too_large_needs_no_reason(self, hub, server, node):
        server.add("/in/a", "int64_1")
        server.refusal = Response(413, (("Content-Type", "text/html"),), b"<html>too large</html>")
        with pytest.raises(TooLarge):
            hub.run(JouleSink(node, "/in").deliver(Batch((block("a", [0], [1]),))))

    @pytest.mark.parametrize("folder", ["in", "/in//deep", "/in/\0"])
    def test_a_folder_is_a_path(self, node, folder):
        with pytest.raises(ConfigError, match="folder"):
            JouleSink(node, folder)


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
        with pytest.raises(ConfigError, match="the node has no stream /no; was it deleted"):
            hub.run(source.open(Selection(), None))

    def test_what_the_node_stores_nothing_of_can_only_be_had_live(self, hub, server, node):
        server.add("/a", "float64_1", keep_us=0)
        options = {"reactor": hub.network.reactor, "since": 0}
        with pytest.raises(ConfigError, match="the node stores nothing of /a"):
            hub.run(JouleSource(node, "/a", **options).open(Selection(), None))
        flow = hub.run(JouleSource(node, "/a", rows=Rows.LIVE, **options).open(Selection(), None))
        hub.run(flow.close())

    def test_what_is_not_a_number_comes_only_live(self, node):
        assert JouleSource(node, "/a", rows=Rows.LIVE).capabilities.not_numbers
        for more in ({}, {"rows": Rows.LIVE, "until": T0}):
            capabilities = JouleSource(node, "/a", **more).capabilities
            assert (capabilities.not_numbers, capabilities.infinities) == (False, True)

    @pytest.mark.parametrize("streams", [[], {"/a": "x", "/b": "x"}, ["/a/b", "/a.b"]])
    def test_streams_need_different_names(self, hub, node, streams):
        with pytest.raises(ConfigError, match="different names"):
            JouleSource(node, streams, reactor=hub.network.reactor)

    @pytest.mark.parametrize("path", ["x", "", "/x/", "/", "//x"])
    def test_a_stream_is_named_by_a_path(self, hub, node, path):
        with pytest.raises(ConfigError, match="stream: ") as caught:
            JouleSource(node, [path], reactor=hub.network.reactor)
        assert repr(path) in str(caught.value)

    def test_a_cursor_remembers_where_each_stream_began(self, hub, server, node):
        server.add("/a", "float64_1", [(0, 1.0)])
        server.add("/b", "float64_1", [(0, 1.0)])
        cursor = first_cursor(hub, node, ["/a"], None)
        server.streams["/a"].rows[T0 + SECOND] = (2.0,)
        server.streams["/b"].rows[T0 + SECOND] = (3.0,)
        cursor = first_cursor(hub, node, ["/b"], cursor)  # others were selected meanwhile
        server.streams["/b"].rows[T0 + 2 * SECOND] = (4.0,)
        found = gathered(hub, node, ["/a", "/b"], cursor)
        values = {one.stream: one.values.tolist() for one in found.blocks}
        assert values == {"a": [2.0], "b": [4.0]}

    def test_an_event_that_comes_while_nobody_is_there_is_found(self, hub, server, node):
        happen(server, 0)
        cursor = first_cursor(hub, node, ["/doors"], None)
        happen(server, 10)
        found = gathered(hub, node, ["/doors"], cursor)
        assert [note.start_ns for note in found.notes] == [(T0 + 10 * SECOND) * 1000]
        happen(server, 20)
        later = gathered(hub, node, ["/doors"], found.cursor)
        assert [note.start_ns for note in later.notes] == [(T0 + 20 * SECOND) * 1000]

    def test_a_cursor_without_beginnings_goes_on_after_what_it_has(self, hub, server, node):
        """As earlier versions wrote it."""
        server.add("/a", "float64_1", [(0, 1.0), (1, 2.0)])
        happen(server, 0)
        happen(server, 10)
        data = {"/a": [[T0, T0 + 1]]}
        cursor = Cursor({"data": data, "annotations": {}, "events": {"/doors": 1}})
        found = gathered(hub, node, ["/a", "/doors"], cursor)
        assert [one.values.tolist() for one in found.blocks] == [[2.0]]
        assert [note.start_ns for note in found.notes] == [(T0 + 10 * SECOND) * 1000]

    def test_without_notes_none_are_promised(self, hub, node):
        source = JouleSource(node, "/a", notes=False, reactor=hub.network.reactor)
        assert not source.capabilities.notes
        assert JouleSource(node, "/a", reactor=hub.network.reactor).capabilities == SOURCE_CAPABILITIES


def test_nothing_is_lost_between_two_nodes():
    assert plan_route(SOURCE_CAPABILITIES, SINK_CAPABILITIES, RoutePolicy()).losses == ()
