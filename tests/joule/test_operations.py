"""What each verb asks of a node, and what it refuses to ask."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from txbridge.errors import DecodeError, RemoteProtocolError
from txbridge.joule import operations
from txbridge.joule.codec import write_event
from txbridge.joule.errors import InvalidArgument, refine
from txbridge.joule.structures import (
    Annotation,
    DataStream,
    Element,
    Event,
    EventStream,
    Folder,
    Module,
    Proxy,
)
from txbridge.net.operation import Answer, Operation

DATA = DataStream("d", elements=[Element("a")], id=5)
EVENTS = EventStream("e", id=6)
FOLDER = Folder("f", id=7)
NOTE = Annotation("t", 10, 20, id=8)
NEW = DataStream("n", elements=[Element("a")])


def asked(operation: Operation[Any]) -> str:
    """An operation as one line: its method, its target and its body."""
    query = "&".join(f"{name}={value}" for name, value in operation.query)
    target = "/".join(operation.path) + (f"?{query}" if query else "")
    return f"{operation.method} {target}"


QUESTIONS: list[tuple[Operation[Any], str]] = [
    (operations.version(), "GET version.json"),
    (operations.storage(), "GET dbinfo"),
    (operations.db_connection_info(), "GET db/connection.json"),
    (operations.archive_upload(b"zip"), "POST archive.json"),
    (operations.folder_root(), "GET folders.json"),
    (operations.folder_get("/a b/ü"), "GET folder.json?path=/a b/ü"),
    (operations.folder_get("/"), "GET folder.json?path=/"),
    (operations.folder_get(FOLDER), "GET folder.json?id=7"),
    (operations.folder_map([1, 2], []), "GET folder/map.json?data_stream_elements=[1, 2]&event_streams=[]"),
    (operations.folder_move(1, "/x"), "PUT folder/move.json"),
    (operations.folder_update(FOLDER), "PUT folder.json"),
    (operations.folder_delete("/x"), "DELETE folder.json?path=/x&recursive=0"),
    (operations.folder_delete(1, True), "DELETE folder.json?id=1&recursive=1"),
    (operations.data_stream_get("/a/b"), "GET stream.json?path=/a/b&no-info="),
    (operations.data_stream_get(DATA, with_info=True), "GET stream.json?id=5"),
    (operations.data_stream_create(NEW, "/x"), "POST stream.json"),
    (operations.data_stream_update(DATA), "PUT stream.json"),
    (operations.data_stream_move(DATA, FOLDER), "PUT stream/move.json"),
    (operations.data_stream_delete(5), "DELETE stream.json?id=5"),
    (
        operations.data_stream_annotation_delete("/a", 5, 5),
        "DELETE stream/annotations.json?stream_path=/a&start=5&end=5",
    ),
    (operations.data_delete(DATA, 1), "DELETE data?id=5&start=1"),
    (operations.data_delete("/a", end=-1), "DELETE data?path=/a&end=-1"),
    (operations.data_intervals(DATA, 1, 2), "GET data/intervals.json?id=5&start=1&end=2"),
    (operations.data_consolidate(DATA, 9, 1), "POST data/consolidate.json?id=5&start=1&max_gap=9"),
    (operations.data_decimate(DATA), "POST data/decimate.json?id=5"),
    (operations.data_drop_decimations(DATA), "DELETE data/decimate.json?id=5"),
    (operations.annotation_create(NOTE, DATA), "POST annotation.json"),
    (operations.annotation_update(NOTE), "PUT annotation.json"),
    (operations.annotation_delete(NOTE), "DELETE annotation.json?id=8"),
    (operations.annotation_delete(9), "DELETE annotation.json?id=9"),
    (operations.annotation_get(DATA, 1), "GET annotations.json?stream_id=5&start=1"),
    (operations.annotation_info("/a"), "GET annotations/info.json?stream_path=/a"),
    (operations.event_stream_get(EVENTS), "GET event.json?id=6"),
    (operations.event_stream_create(EventStream("e"), 1), "POST event.json"),
    (operations.event_stream_update(EVENTS), "PUT event.json"),
    (operations.event_stream_move("/a", "/"), "PUT event/move.json"),
    (operations.event_stream_delete("/a"), "DELETE event.json?path=/a"),
    (
        operations.event_stream_page(EVENTS, 1, None, 100),
        "GET event/data.json?id=6&start=1&limit=100&return-subset=1",
    ),
    (
        operations.event_stream_page("/a", 1, 2, 5, [[["x", "is", "y"]]], with_ongoing=True),
        (
            'GET event/data.json?path=/a&start=1&end=2&filter=[[["x","is","y"]]]'
            "&limit=5&return-subset=1&include-ongoing-events=1"
        ),
    ),
    (operations.event_stream_count(6), "GET event/data/count.json?id=6&include-ongoing-events=1"),
    (operations.event_stream_count(6, 1, None, None, False), "GET event/data/count.json?id=6&start=1"),
    (operations.event_stream_write(EVENTS, [b"{}"]), "POST event/data.json"),
    (operations.event_stream_remove(EVENTS), "DELETE event/data.json?id=6"),
    (operations.module_list(), "GET modules.json?statistics=0"),
    (operations.module_list(True), "GET modules.json?statistics=1"),
    (operations.module_get("my module"), "GET module.json?name=my module&statistics=0"),
    (operations.module_get(Module(3, "m", "", False, {}, {}), True), "GET module.json?id=3&statistics=1"),
    (operations.module_logs(3), "GET module/logs.json?id=3"),
    (operations.proxy_list(), "GET proxies.json"),
    (operations.proxy_get(Proxy(1, "p", "u")), "GET proxy.json?id=1"),
    (operations.proxy_get("p"), "GET proxy.json?name=p"),
    (operations.master_list(), "GET masters.json"),
    (operations.master_add("user", "u"), "POST master.json"),
    (operations.master_delete("LUMEN_NODE", "n"), "DELETE master.json?name=n&master_type=lumen"),
    (operations.follower_list(), "GET followers.json"),
    (operations.follower_delete("n"), "DELETE follower.json?name=n"),
]


@pytest.mark.parametrize(("operation", "line"), QUESTIONS, ids=[line for _, line in QUESTIONS])
def test_a_verb_asks_this(operation: Operation[Any], line: str) -> None:
    assert asked(operation) == line
    assert operation.refine is refine
    if (
        operation.method in ("PUT", "POST")
        and operation.body is not None
        and operation.name != "archive_upload"
    ):
        assert operation.headers["content-type"] == "application/json"
        assert isinstance(json.loads(operation.body), dict)


def test_where_there_are_many_breaks_a_node_needs_time_for_each() -> None:
    assert operations.data_intervals("/a").patience >= 10
    assert operations.data_stream_get("/a").patience == 1


def test_every_verb_is_among_them() -> None:
    named = {operation.name for operation, _ in QUESTIONS} | {"event_stream_page"}
    verbs = {name for name in operations.__all__ if name.islower()}
    assert verbs - named == {"master_type", "positive", "select_data_stream"}


BODIES: list[tuple[Operation[Any], dict[str, Any]]] = [
    (operations.folder_move(1, "/x"), {"src_id": 1, "dest_path": "/x"}),
    (operations.folder_move("/a", FOLDER), {"src_path": "/a", "dest_id": 7}),
    (operations.folder_update(FOLDER), {"id": 7, "folder": {"name": "f", "description": None}}),
    (operations.data_stream_move("/a/b", "/"), {"src_path": "/a/b", "dest_path": "/"}),
    (operations.event_stream_move(EVENTS, "/x"), {"src_id": 6, "dest_path": "/x"}),
    (
        operations.annotation_create(NOTE, "/a"),
        {"title": "t", "content": "", "start": 10, "end": 20, "stream_path": "/a"},
    ),
    (operations.annotation_update(NOTE), {"id": 8, "title": "t", "content": ""}),
    (
        operations.master_add("lumen_node", "host", {"a": 1}),
        {"master_type": "lumen", "identifier": "host", "lumen_params": {"a": 1}, "api_key": None},
    ),
    (
        operations.event_stream_write("/a", [b'{"id":1}', b'{"id":2}']),
        {"path": "/a", "events": [{"id": 1}, {"id": 2}]},
    ),
]


@pytest.mark.parametrize(("operation", "body"), BODIES)
def test_a_body_says_this(operation: Operation[Any], body: dict[str, Any]) -> None:
    assert operation.body is not None
    assert json.loads(operation.body) == body


def test_a_stream_is_created_from_all_of_it_and_updated_from_what_can_change() -> None:
    created = json.loads(operations.data_stream_create(NEW, "/x").body or b"")
    assert created["dest_path"] == "/x"
    assert (created["stream"]["id"], created["stream"]["datatype"]) == (None, "float32")
    updated = json.loads(operations.data_stream_update(DATA).body or b"")
    assert updated["id"] == 5
    assert "datatype" not in updated["stream"]


REFUSED: dict[str, Callable[[], Operation[Any]]] = {
    "folder": lambda: operations.folder_get(5.0),  # type: ignore[arg-type]
    "folder (flag)": lambda: operations.folder_get(True),
    "folder (relative)": lambda: operations.folder_get("a/b"),
    "folder (nothing)": lambda: operations.folder_get(""),
    "folder (end)": lambda: operations.folder_get("/a/"),
    "folder (middle)": lambda: operations.folder_get("/a//b"),
    "folder (NUL)": lambda: operations.folder_get("/a\0"),
    "folder (surrogate)": lambda: operations.folder_get("/\ud800"),
    "folder (local)": lambda: operations.folder_get(Folder("x")),
    "folder (stream)": lambda: operations.folder_get(DATA),  # type: ignore[arg-type]
    "event_streams[0]": lambda: operations.folder_map([], [None]),
    "source": lambda: operations.folder_move("/", "/x"),
    "destination": lambda: operations.folder_move("/x", "y"),
    "stream": lambda: operations.data_stream_get("/"),
    "stream (negative)": lambda: operations.data_stream_get(-1),
    "stream (large)": lambda: operations.data_stream_get(2**31),
    "stream (huge)": lambda: operations.data_stream_get(10**5000),
    "stream (local)": lambda: operations.data_stream_update(NEW),
    "stream (kind)": lambda: operations.data_stream_get(EVENTS),  # type: ignore[arg-type]
    "start": lambda: operations.data_intervals(5, 9, 9),
    "start (float)": lambda: operations.data_delete(5, 1.5),  # type: ignore[arg-type]
    "start (flag)": lambda: operations.data_delete(5, True),
    "start (text)": lambda: operations.data_delete(5, "now"),  # type: ignore[arg-type]
    "start (early)": lambda: operations.data_delete(5, -(2**63)),
    "start (huge)": lambda: operations.data_delete(5, 10**5000),
    "end": lambda: operations.data_delete(5, end=2**63 - 1),
    "start (inclusive)": lambda: operations.annotation_get(5, 9, 8),
    "max_gap": lambda: operations.data_consolidate(5, 0),
    "annotation": lambda: operations.annotation_delete("t"),  # type: ignore[arg-type]
    "annotation (path)": lambda: operations.annotation_delete("/t"),  # type: ignore[arg-type]
    "annotation (local)": lambda: operations.annotation_update(Annotation("t", 5)),
    "limit": lambda: operations.event_stream_page(6, 1, 2, 0),
    "limit (huge)": lambda: operations.event_stream_page(6, 1, 2, 10**5000),
    "json_filter[0]": lambda: operations.event_stream_remove(6, json_filter=[[]]),
    "module": lambda: operations.module_get(None),  # type: ignore[arg-type]
    "module (empty)": lambda: operations.module_get(""),
    "master_type": lambda: operations.master_delete("king", "n"),
    "name": lambda: operations.master_delete("user", ""),
    "identifier": lambda: operations.master_add("user", ""),
    "api_key": lambda: operations.master_add("user", "u", api_key="short"),
    "follower": lambda: operations.follower_delete(5),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_node_understands_is_refused_by_name(name: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        REFUSED[name]()
    assert caught.value.path in (name.partition(" ")[0], "name")


def test_a_large_archive_is_refused() -> None:
    class Large(bytes):
        def __len__(self) -> int:
            return operations.MAX_ARCHIVE + 1

    with pytest.raises(InvalidArgument, match="archive"):
        operations.archive_upload(Large())


def test_a_whole_float_is_a_timestamp() -> None:
    assert asked(operations.data_delete(5, 1e6)) == "DELETE data?id=5&start=1000000"  # type: ignore[arg-type]


@pytest.mark.parametrize("body", [b"ok", b"OK", b" ok\n"])
def test_ok_is_all_that_a_node_says_when_something_was_done(body: bytes) -> None:
    operations.data_delete(5).read(Answer(200, {}, body))


@pytest.mark.parametrize("body", [b"", b"<html>", b"{}"])
def test_anything_else_is_no_answer_of_a_node(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="data_delete"):
        operations.data_delete(5).read(Answer(200, {}, body))


def test_a_page_in_place_of_what_was_changed_is_no_answer_of_a_node() -> None:
    with pytest.raises(DecodeError):
        operations.folder_move("/a", "/b").read(Answer(200, {}, b"<html>log in</html>"))


def test_each_event_comes_back_or_the_answer_is_wrong() -> None:
    events = [write_event(Event(5, 6), "events[0]", node_uuid="uuid", stream_id=6)] * 2
    operation = operations.event_stream_write(EVENTS, events, "uuid")
    one = {"id": 1, "event_stream_id": 6, "start_time": 5, "end_time": 6, "content": {}}
    both = operation.read(Answer(200, {}, json.dumps({"count": 2, "events": [one, one]}).encode()))
    assert [event.node_uuid for event in both] == ["uuid", "uuid"]
    with pytest.raises(RemoteProtocolError, match="2 events were written, 1 came back"):
        operation.read(Answer(200, {}, json.dumps({"count": 1, "events": [one]}).encode()))


def test_no_key_shows() -> None:
    assert "sesame" not in repr(operations.master_add("user", "u", api_key="sesame" * 9))
    assert "sesame" not in repr(
        operations.master_add("user", "u").read(Answer(200, {}, b'{"key": "sesame", "name": "n"}'))
    )
