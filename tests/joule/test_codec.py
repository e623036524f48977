"""Joule's JSON: the shapes that nodes of several releases were seen to send, and everything else refused."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from txbridge.errors import DecodeError
from txbridge.joule import codec
from txbridge.joule.errors import InvalidArgument
from txbridge.joule.structures import (
    Annotation,
    DataStream,
    DataStreamInfo,
    Element,
    Event,
    EventStream,
    EventStreamInfo,
    Folder,
    ImportMessage,
    Master,
    ModuleStatistics,
    NodeVersion,
)
from txbridge.net.operation import Answer

ELEMENT: dict[str, Any] = {
    "id": 2,
    "index": 0,
    "name": "amps",
    "units": "A",
    "plottable": False,
    "display_type": "CONTINUOUS",
    "offset": 1.5,
    "scale_factor": 2.0,
    "default_max": None,
    "default_min": -10.0,
}
STREAM: dict[str, Any] = {
    "id": 1,
    "name": "locked",
    "description": None,
    "datatype": "float64",
    "layout": "float64_1",
    "keep_us": 604800000000,
    "is_configured": True,
    "is_source": False,
    "is_destination": False,
    "updated_at": "2026-11-21T00:51:30.929991+00:00",
    "locked": True,
    "active": False,
    "decimate": False,
    "elements": [ELEMENT],
}
EVENT_STREAM: dict[str, Any] = {
    "id": 3,
    "name": "events",
    "description": "",
    "event_fields": {"label": "string"},
    "chunk_duration_us": 0,
    "keep_us": -1,
    "updated_at": "2026-11-21T00:51:30.929991+00:00",
}


def folder(**more: Any) -> dict[str, Any]:
    return {
        "id": 1,
        "name": "root",
        "description": None,
        "locked": True,
        "updated_at": "2026-11-21T00:51:30+00:00",
        "children": [],
        "streams": [],
        "event_streams": [],
        **more,
    }


def encoded(document: Any) -> bytes:
    return json.dumps(document).encode()


# ------------------------------------------------------------------------------------------ reading


def test_a_folder_is_read_with_everything_in_it() -> None:
    child = folder(id=2, name="live", streams=[STREAM], event_streams=[EVENT_STREAM])
    found = codec.read_folder(encoded(folder(children=[child], active_data_streams=[1])))
    assert (found.id, found.name, found.locked, found.active_data_streams) == (1, "root", True, [1])
    (live,) = found.children
    (stream,) = live.data_streams
    assert stream.updated_at == datetime(2026, 11, 21, 0, 51, 30, 929991, UTC)
    assert (stream.keep_us, stream.is_configured, stream.locked, stream.decimate) == (
        604800000000,
        True,
        True,
        False,
    )
    assert stream.elements == [
        Element(
            "amps", "A", False, "CONTINUOUS", id=2, index=0, offset=1.5, scale_factor=2.0, default_min=-10.0
        )
    ]
    assert live.event_streams[0].event_fields == {"label": "string"}


def test_flags_that_an_older_node_sends_as_null_have_their_defaults() -> None:
    old = {
        **STREAM,
        "is_source": None,
        "is_destination": None,
        "active": None,
        "locked": None,
        "decimate": None,
    }
    old["elements"] = [{**ELEMENT, "plottable": None, "units": None}]
    stream = codec.read_data_stream(encoded(old))
    assert (stream.is_source, stream.is_destination, stream.active, stream.locked) == (
        False,
        False,
        False,
        False,
    )
    assert stream.decimate is True
    assert (stream.elements[0].plottable, stream.elements[0].units) == (True, None)


def test_an_event_stream_of_an_older_node_has_no_chunks_and_no_keep() -> None:
    old = {
        name: value for name, value in EVENT_STREAM.items() if name not in ("chunk_duration_us", "keep_us")
    }
    stream = codec.read_event_stream(encoded(old))
    assert (stream.chunk_duration_us, stream.keep_us, stream.data_info) == (0, -1, None)


def test_infos_are_read() -> None:
    info = {"start": 5, "end": 9, "rows": 3, "bytes": 100, "total_time": 4}
    stream = codec.read_data_stream(encoded({**STREAM, "data_info": info}))
    assert stream.data_info == DataStreamInfo(5, 9, 3, 4, 100)
    info = {"start": None, "end": None, "event_count": 0, "bytes": 0, "total_time": 0}
    events = codec.read_event_stream(encoded({**EVENT_STREAM, "data_info": info}))
    assert events.data_info == EventStreamInfo(None, None, 0)


def test_events_of_each_release_are_read() -> None:
    new = {"id": 4, "event_stream_id": 3, "start_time": 5, "end_time": 6, "content": {"a": [1, {"b": None}]}}
    old = {"id": 5, "start_time": 7, "end_time": None, "content": {}}
    page = codec.read_event_page(encoded({"count": 2, "events": [new, old], "type": "events"}), "uuid")
    assert [(event.id, event.event_stream_id, event.end_time) for event in page] == [
        (4, 3, 6),
        (5, None, None),
    ]
    assert page[0].content == {"a": [1, {"b": None}]}
    assert {event.node_uuid for event in page} == {"uuid"}


def test_a_histogram_is_no_list_of_events() -> None:
    with pytest.raises(DecodeError, match="histogram"):
        codec.read_event_page(encoded({"count": 9000, "events": [], "type": "histogram"}))


@pytest.mark.parametrize("read", [codec.read_event_page, codec.read_import_log, codec.read_folder])
def test_an_object_that_says_nothing_is_no_empty_answer(read: Callable[[bytes], Any]) -> None:
    with pytest.raises(DecodeError):
        read(b'{"id": 1, "name": "n"}')


def test_the_small_answers_are_read() -> None:
    assert codec.read_count(b'{"count": 3}') == 3
    assert codec.read_consolidated(b'{"num_consolidated": 0}') == 0
    assert codec.read_intervals(b"[[1, 2], [5, 9]]") == [[1, 2], [5, 9]]
    assert codec.read_logs(b'["[2026-11-25T13:53:54.060530]: hello"]') == [
        "[2026-11-25T13:53:54.060530]: hello"
    ]
    assert codec.read_version(b'{"version": "0.9.42", "name": "old"}') == NodeVersion("0.9.42", "old")
    storage = codec.read_storage(
        b'{"path": "--remote-database--", "other": -1, "reserved": -1, "free": -1, "size": -1}'
    )
    assert (storage.path, storage.size_free) == ("--remote-database--", -1)
    info = codec.read_connection_info(
        b'{"username": "u", "password": "p", "port": 5432, "database": "d", "host": "h", "nilmdb_url": "n"}'
    )
    assert info.nilmdb_url == "n"
    note = codec.read_annotations(
        b'[{"id": 1, "title": "t", "content": null, "start": 5, "end": null, "stream_id": 2}]'
    )
    assert note == [Annotation("t", 5, content=None)]
    assert (note[0].id, note[0].stream_id) == (1, 2)
    assert codec.read_annotation_info(b'{"start": null, "end": null, "count": 0}').count == 0


def test_modules_proxies_masters_and_followers_are_read() -> None:
    (module,) = codec.read_modules(
        b'[{"id": 0, "name": "Pulse", "description": null, "is_app": false, "inputs": {}, '
        b'"outputs": {"output": "/live/pulse"}, "statistics": {"pid": null, "create_time": null, '
        b'"cpu_percent": null, "memory_percent": null}}]'
    )
    assert module.statistics == ModuleStatistics(None, None, None, None)
    assert module.outputs == {"output": "/live/pulse"}
    (proxy,) = codec.read_proxies(b'[{"id": 0, "name": "site1", "url": "http://127.0.0.1:3000/"}]')
    assert proxy.target_url == "http://127.0.0.1:3000/"
    masters = codec.read_masters(
        b'[{"id": 1, "name": "a", "type": "USER", "grantor_id": null},'
        b' {"id": 2, "name": "b", "type": "LUMEN_NODE", "grantor_id": 1}]'
    )
    assert masters == [Master("user", "a", id=1), Master("lumen", "b", id=2, grantor_id=1)]
    assert codec.read_master_key(b'{"key": "k", "name": "node"}', "user") == "k"
    assert codec.read_master_key(b'{"name": "node"}', "joule") is None
    with pytest.raises(DecodeError, match="key"):
        codec.read_master_key(b'{"name": "node"}', "user")
    (follower,) = codec.read_followers(b'[{"id": 1, "name": "n", "location": "http://h:1", "key": "k"}]')
    assert (follower.location, follower.key) == ("http://h:1", "k")


def test_the_log_of_an_import_is_read() -> None:
    line = {"source_label": "raw", "destination": None, "message": "m", "target_type": "data_stream"}
    log = codec.read_import_log(encoded({"info": [], "warnings": [line], "errors": []}))
    assert log.warnings == [ImportMessage("m", "raw", None, "data_stream")]


@pytest.mark.parametrize(
    ("document", "path"),
    [
        (None, ""),
        ([], ""),
        (folder(name=5), "name"),
        (folder(children={}), "children"),
        (folder(children=None), "children"),
        (folder(streams=[{**STREAM, "elements": None}]), "streams[0].elements"),
        (folder(children=[folder(streams=[{**STREAM, "keep_us": "all"}])]), "children[0].streams[0].keep_us"),
        (
            folder(streams=[{**STREAM, "elements": [ELEMENT, {**ELEMENT, "name": None}]}]),
            "streams[0].elements[1].name",
        ),
        (folder(streams=[{**STREAM, "locked": 1}]), "streams[0].locked"),
        (folder(streams=[{**STREAM, "id": True}]), "streams[0].id"),
        (folder(streams=[{**STREAM, "id": 2**63}]), "streams[0].id"),
        (folder(streams=[{**STREAM, "updated_at": "yesterday"}]), "streams[0].updated_at"),
        (
            folder(streams=[{**STREAM, "elements": [{**ELEMENT, "offset": 10**400}]}]),
            "streams[0].elements[0].offset",
        ),
        (
            folder(event_streams=[{**EVENT_STREAM, "event_fields": {"a": 1}}]),
            "event_streams[0].event_fields.a",
        ),
        (folder(active_data_streams=["1"]), "active_data_streams"),
    ],
)
def test_what_breaks_the_form_is_named_by_its_place(document: Any, path: str) -> None:
    with pytest.raises(DecodeError) as caught:
        codec.read_folder(encoded(document))
    assert caught.value.path == path


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"ok",
        b"[[1]]",
        b"[[1, 2, 3]]",
        b"[[1.0, 2.0]]",
        b"{}",
        b"\xff",
        b"[[true, 2]]",
        "[[1, 2]]".encode("utf-16"),
        b"[[1, " + b"9" * 5000 + b"]]",
    ],
)
def test_what_is_no_list_of_intervals_is_refused(body: bytes) -> None:
    with pytest.raises(DecodeError):
        codec.read_intervals(body)


def test_folders_may_nest_only_so_deep() -> None:
    def nested(depth: int) -> dict[str, Any]:
        tree = folder()
        for _ in range(depth - 1):
            tree = folder(children=[tree])
        return tree

    assert codec.read_folder(encoded(nested(codec.MAX_FOLDER_DEPTH))).children
    with pytest.raises(DecodeError, match="folders nest deeper than 64"):
        codec.read_folder(encoded(nested(codec.MAX_FOLDER_DEPTH + 1)))
    with pytest.raises(DecodeError, match="nested deeper"):
        codec.read_folder(b'{"children":[' * 100_000)


def test_a_document_that_is_far_too_large_is_refused_unread() -> None:
    with pytest.raises(DecodeError, match="elements"):
        codec.read_intervals(b"[" + b"0," * 9_000_000 + b"0]")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(max_examples=40)
@given(document=JSON)
def test_whatever_a_node_answers_is_read_or_refused(document: Any) -> None:
    readers = [
        getattr(codec, name) for name in codec.__all__ if name.startswith("read_") and name != "read_refusal"
    ]
    for read in readers:
        for body in (encoded(document), encoded([document]), encoded({**folder(), "streams": document})):
            with contextlib.suppress(DecodeError):
                read(body)


# ----------------------------------------------------------------------------------------- refusals

TRACEBACK = b"""500 Internal Server Error

Traceback (most recent call last):
  File "aiohttp/web_protocol.py", line 577, in _handle_request
    resp = await request_handler(request)
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
KeyError: 'first'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "joule/models/folder.py", line 125, in find
    raise ConfigurationError("invalid path [%s]" % path)
joule.errors.ConfigurationError: invalid path [parent]
(Background on this error at: https://sqlalche.me/e/20/f405)
"""


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"404: stream does not exist", "stream does not exist"),
        (b"stream does not exist", "stream does not exist"),
        (b"404: 123: x", "123: x"),
        (b'{"error": "Cannot contact node at [http://x]"}', "Cannot contact node at [http://x]"),
        (b'{"error": 5}', ""),
        (b"{", ""),
        (b"", ""),
        (TRACEBACK, "joule.errors.ConfigurationError: invalid path [parent]"),
        (b"Traceback (most recent call last):\n  File", ""),
        (b"500: \x1b[31mred\nline", "[31mred line"),
        (b"\xff", "\ufffd"),
        (b"x" * 2000, "x" * 999 + "…"),
        (b"x" * 100_000, ""),
    ],
)
def test_a_refusal_says_why_in_one_line(body: bytes, detail: str) -> None:
    assert codec.read_refusal(Answer(500, {"content-type": "text/plain"}, body)) == ("", detail)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/html", b"<p>Bad Gateway</p>"),
        ("text/plain", b"<html>Bad Gateway</html>"),
        ("", b"\r\n<!DOCTYPE html><title>Log in</title>"),
        ("", b"<?xml version='1.0'?><html/>"),
    ],
)
def test_a_proxys_page_is_no_reason(kind: str, body: bytes) -> None:
    assert codec.read_refusal(Answer(400, {"content-type": kind}, body)) == ("", "")


@given(
    body=st.binary(max_size=300)
    | st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass"))
)
def test_no_refusal_is_too_odd_to_be_read(body: bytes) -> None:
    _, detail = codec.read_refusal(Answer(400, {}, body))
    assert detail.isprintable()


# ------------------------------------------------------------------------------------------ writing


def test_a_new_stream_is_written_with_every_member_that_is_asked_for() -> None:
    stream = DataStream("n", "d", "FLOAT32", 5, [Element("a", "V"), Element("b", display_type="EVENT")])
    written = codec.write_data_stream(stream, is_new=True)
    assert set(written) == {
        *("id", "name", "description", "datatype", "keep_us", "decimate", "elements"),
        *("is_configured", "is_source", "is_destination"),
    }
    assert written["datatype"] == "float32"
    assert set(written["elements"][0]) == set(ELEMENT)
    assert "datatype" not in codec.write_data_stream(stream, is_new=False)


def one(**members: Any) -> DataStream:
    return DataStream("n", elements=[Element(**{"name": "a", **members})])


@pytest.mark.parametrize(
    ("stream", "path"),
    [
        ("stream", "stream"),
        (DataStream("n"), "stream.elements"),
        (DataStream("n", elements=[Element("a"), Element("a")]), "stream.elements"),
        (DataStream("n", elements=["a"]), "stream.elements[0]"),  # type: ignore[list-item]
        (DataStream("", elements=[Element("a")]), "stream.name"),
        (DataStream("a/b", elements=[Element("a")]), "stream.name"),
        (DataStream("a\0", elements=[Element("a")]), "stream.name"),
        (DataStream("\ud800", elements=[Element("a")]), "stream.name"),
        (DataStream(5, elements=[Element("a")]), "stream.name"),  # type: ignore[arg-type]
        (DataStream("n", 5, elements=[Element("a")]), "stream.description"),  # type: ignore[arg-type]
        (DataStream("n", datatype="double", elements=[Element("a")]), "stream.datatype"),
        (DataStream("n", keep_us=-2, elements=[Element("a")]), "stream.keep_us"),
        (DataStream("n", keep_us=True, elements=[Element("a")]), "stream.keep_us"),
        (one(name=""), "stream.elements[0].name"),
        (one(units=5), "stream.elements[0].units"),
        (one(display_type="line"), "stream.elements[0].display_type"),
        (one(offset=float("nan")), "stream.elements[0].offset"),
        (one(scale_factor="two"), "stream.elements[0].scale_factor"),
        (one(scale_factor=True), "stream.elements[0].scale_factor"),
        (one(default_max=float("inf")), "stream.elements[0].default_max"),
        (one(default_min=10**400), "stream.elements[0].default_min"),
    ],
)
def test_a_stream_that_no_node_takes_is_refused(stream: Any, path: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        codec.write_data_stream(stream, is_new=True)
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("duration", "microseconds"),
    [
        ("", 0),
        ("5", 5),
        (5, 5),
        ("2h", 7_200_000_000),
        ("1d", 86_400_000_000),
        ("1w", 604_800_000_000),
        ("1m", 28 * 86_400_000_000),
        ("1y", 365 * 86_400_000_000),
    ],
)
def test_a_length_of_chunks_is_read(duration: str | int, microseconds: int) -> None:
    assert codec.chunk_duration_us(EventStream("n", chunk_duration=duration)) == microseconds


def test_a_length_of_chunks_may_be_in_microseconds() -> None:
    assert codec.chunk_duration_us(EventStream("n", chunk_duration_us=7)) == 7


def event_stream(**members: Any) -> EventStream:
    return EventStream(**{"name": "n", **members})


@pytest.mark.parametrize(
    ("stream", "path"),
    [
        (5, "stream"),
        (event_stream(name=""), "stream.name"),
        (event_stream(chunk_duration="0h"), "stream.chunk_duration"),
        (event_stream(chunk_duration="1s"), "stream.chunk_duration"),
        (event_stream(chunk_duration="-5"), "stream.chunk_duration"),
        (event_stream(chunk_duration="9" * 19), "stream.chunk_duration"),
        (event_stream(chunk_duration="1d", chunk_duration_us=5), "stream.chunk_duration"),
        (event_stream(chunk_duration_us=-1), "stream.chunk_duration_us"),
        (event_stream(keep_us=-2), "stream.keep_us"),
        (event_stream(event_fields={"a": "text"}), "stream.event_fields['a']"),
        (event_stream(event_fields={"a": 5}), "stream.event_fields['a']"),
        (event_stream(event_fields={"a": "category"}), "stream.event_fields['a']"),
        (event_stream(event_fields={"a": "category:[]"}), "stream.event_fields['a']"),
        (event_stream(event_fields={"a": 'category:["x:y"]'}), "stream.event_fields['a']"),
        (event_stream(event_fields={"a": "category:[1]"}), "stream.event_fields['a']"),
        (event_stream(event_fields={"a": "category:" + "[" * 100_000}), "stream.event_fields['a']"),
    ],
)
def test_an_event_stream_that_no_node_takes_is_refused(stream: Any, path: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        codec.write_event_stream(stream, is_new=True)
    assert caught.value.path == path


def test_event_fields_of_each_kind_are_written() -> None:
    fields = {"a": "string", "b": "numeric", "c": 'category:["on","off"]'}
    assert (
        codec.write_event_stream(EventStream("n", event_fields=fields), is_new=False)["event_fields"]
        == fields
    )


def test_the_id_of_an_event_goes_only_where_it_means_something() -> None:
    event = Event(5, 6, {"ü": 1}, id=7, event_stream_id=8, node_uuid="home")
    known = json.loads(codec.write_event(event, "events[0]", node_uuid="home", stream_id=8))
    assert known == {"id": 7, "event_stream_id": 8, "start_time": 5, "end_time": 6, "content": {"ü": 1}}
    for node_uuid, stream_id in (("home", 9), ("away", 8)):
        new = json.loads(codec.write_event(event, "events[0]", node_uuid=node_uuid, stream_id=stream_id))
        assert (new["id"], new["event_stream_id"]) == (None, None)


@pytest.mark.parametrize(
    ("event", "path"),
    [
        ({}, "events[3]"),
        (None, "events[3]"),
        (Event(5), "events[3].end_time"),
        (Event(5, 5), "events[3].end_time"),
        (Event(6, 5), "events[3].end_time"),
        (Event(5.5, 6), "events[3].start_time"),  # type: ignore[arg-type]
        (Event("5", 6), "events[3].start_time"),  # type: ignore[arg-type]
        (Event(float("nan"), 6), "events[3].start_time"),  # type: ignore[arg-type]
        (Event(-(2**63), 6), "events[3].start_time"),
        (Event(5, 2**63 - 1), "events[3].end_time"),
        (Event(5, 6, [1]), "events[3].content"),  # type: ignore[arg-type]
        (Event(5, 6, {"a": float("nan")}), "events[3].content"),
        (Event(5, 6, {"a": b"bytes"}), "events[3].content"),
        (Event(5, 6, {"a": "\0"}), "events[3].content"),
        (Event(5, 6, {"\\\0": 1}), "events[3].content"),
        (Event(5, 6, {"a": "\ud800"}), "events[3].content"),
        (Event(5, 6, {"a": "x" * codec.MAX_REQUEST}), "events[3].content"),
    ],
)
def test_an_event_that_a_node_fails_at_is_refused(event: Any, path: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        codec.write_event(event, "events[3]", node_uuid="home", stream_id=8)
    assert caught.value.path == path


def test_a_content_that_holds_itself_is_refused() -> None:
    content: dict[str, Any] = {}
    content["self"] = content
    with pytest.raises(InvalidArgument, match="cannot be written as JSON"):
        codec.write_event(Event(5, 6, content), "events[0]", node_uuid="home", stream_id=8)


@given(text=st.text(alphabet=st.sampled_from('\0\\u0"ü')))
def test_only_a_text_with_nul_is_refused_for_it(text: str) -> None:
    if "\0" in text:
        with pytest.raises(InvalidArgument, match="NUL"):
            codec.write_json("x", {"a": text})
    else:
        assert json.loads(codec.write_json("x", {"a": text})) == {"a": text}


@pytest.mark.parametrize(
    ("annotation", "is_new", "path"),
    [
        (5, True, "annotation"),
        (Annotation("", 5), False, "annotation.title"),
        (Annotation("t", 5, 5), True, "annotation.end"),
        (Annotation("t", 5.5), True, "annotation.start"),  # type: ignore[arg-type]
        (Annotation("t", 5, content=5), True, "annotation.content"),  # type: ignore[arg-type]
    ],
)
def test_an_annotation_that_no_node_takes_is_refused(annotation: Any, is_new: bool, path: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        codec.write_annotation(annotation, is_new=is_new)
    assert caught.value.path == path


def test_an_annotations_times_are_written_only_once() -> None:
    note = Annotation("t", 5, 9, "c")
    assert codec.write_annotation(note, is_new=True) == {"title": "t", "content": "c", "start": 5, "end": 9}
    assert codec.write_annotation(note, is_new=False) == {"title": "t", "content": "c"}


def test_of_a_folder_the_name_and_the_description_are_written() -> None:
    tree = Folder("n", description="d", children=[Folder("x")])
    assert codec.write_folder(tree) == {"name": "n", "description": "d"}
    for wrong in (5, Folder(""), Folder("a/b"), Folder("n", description=5)):  # type: ignore[arg-type]
        with pytest.raises(InvalidArgument):
            codec.write_folder(wrong)  # type: ignore[arg-type]


FILTER = [[["name", "like", "sample"]], [["value", "gt", 0], ["value", "lt", "10"]]]


def test_a_filter_is_a_list_or_the_text_of_one() -> None:
    written = codec.write_filter(FILTER)
    assert written is not None
    assert json.loads(written) == FILTER
    assert codec.write_filter(json.dumps(FILTER)) == written
    assert codec.write_filter(((("name", "is", "x"),),)) == '[[["name","is","x"]]]'


@pytest.mark.parametrize("nothing", [None, "", "  ", [], "[]"])
def test_nothing_is_no_filter(nothing: Any) -> None:
    assert codec.write_filter(nothing) is None


@pytest.mark.parametrize(
    ("json_filter", "path"),
    [
        ("nonsense", "json_filter"),
        ("{}", "json_filter"),
        (5, "json_filter"),
        ("[" * 100_000, "json_filter"),
        ([[]], "json_filter[0]"),
        ([["name", "is", "x"]], "json_filter[0][0]"),
        ([[["name", "is"]]], "json_filter[0][0]"),
        ([[[5, "is", "x"]]], "json_filter[0][0][0]"),
        ([[["name", "==", "x"]]], "json_filter[0][0][1]"),
        ([[["name", [], "x"]]], "json_filter[0][0][1]"),
        ([[["name", "is", 5]]], "json_filter[0][0][2]"),
        ([[["a", "gt", 5], ["value", "gt", "five"]]], "json_filter[0][1][2]"),
        ([[["value", "gt", True]]], "json_filter[0][0][2]"),
        ([[["value", "gt", None]]], "json_filter[0][0][2]"),
        ([[["value", "gt", float("nan")]]], "json_filter[0][0][2]"),
        ([[["name", "is", "\0"]]], "json_filter"),
    ],
)
def test_a_filter_that_a_node_fails_at_is_refused(json_filter: Any, path: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        codec.write_filter(json_filter)
    assert caught.value.path == path
