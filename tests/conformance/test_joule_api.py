"""The API of Joule at a real node: what its reference documents, and what the node cannot take."""

from __future__ import annotations

import contextlib
import json
import struct
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted

from tests.conformance.conftest import JoulePeer
from txbridge.errors import (
    Conflict,
    EncodeError,
    Forbidden,
    NotFound,
    RequestRejected,
    ServerFailed,
)
from txbridge.joule import (
    Annotation,
    DataStream,
    Element,
    Event,
    EventStream,
    Folder,
    Node,
    api,
    errors,
    get_node,
    get_nodes,
    lumen,
    operations,
    utilities,
)
from txbridge.net.operation import Answer, Operation

T0 = 1_551_759_387_204_004


@pytest_twisted.async_yield_fixture
async def parent(node: Node) -> AsyncIterator[str]:
    """A folder that is gone after the test."""
    await node.data_stream_create(a_stream("stream"), "/parent/my_folder")
    yield "/parent"
    for folder in ("/parent", "/parent1", "/parent2"):
        with contextlib.suppress(NotFound):
            await node.folder_delete(folder, True)


def a_stream(name: str, datatype: str = "int32") -> DataStream:
    return DataStream(name, datatype=datatype, elements=[Element("Element1")])


async def refusal(work: Awaitable[Any]) -> errors.ApiError:
    with pytest.raises(errors.ApiError) as caught:
        await work
    return caught.value


async def write(node: Node, stream: str, *runs: Sequence[int], merge_gap: int = 0) -> None:
    """Write rows of one int32, each run an interval of its own."""
    rows = b"".join(b"".join(struct.pack("<qi", at, 7) for at in run) + bytes(12) for run in runs)
    query = (("path", stream), ("merge-gap", str(merge_gap)))

    def read(answer: Answer) -> None:
        assert answer.body == b"ok"

    await node.run(Operation("write", "POST", ("data",), read, query, body=rows))


# ------------------------------------------------------------------------------------------------ node


async def test_a_node_says_who_it_is_and_how_full_its_disk_is(node: Node, joule_peer: JoulePeer) -> None:
    info = await node.info()
    assert (info.name, info.version) == (joule_peer.name, "1.0.1")
    assert info.uuid is not None
    assert info.path.endswith("/pg")
    assert min(info.size_db, info.size_free, info.size_other, info.size_reserved) > 0


async def test_the_files_that_the_node_wrote_name_it(
    joule_peer: JoulePeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOULE_USER_CONFIG_DIR", str(joule_peer.config))
    mine, named, (only,) = api.get_node(), get_node(joule_peer.name), get_nodes()
    assert mine.name == named.name == only.name == joule_peer.name
    assert (await mine.info()).name == joule_peer.name
    for one in (mine, named, only):
        await one.close()


@pytest.mark.parametrize("key", [None, "no-key-of-this-node"])
async def test_without_a_key_that_the_node_knows_everything_is_forbidden(
    joule_peer: JoulePeer, key: str | None
) -> None:
    stranger = Node(joule_peer.url, key)
    error = await refusal(stranger.folder_root())
    assert isinstance(error, Forbidden)
    assert str(error) == "Forbidden [403]"
    assert "no-key" not in f"{error!r}{stranger!r}{error.__dict__}"
    await stranger.close()


async def test_a_path_too_long_for_the_node_spoils_no_other_request(node: Node) -> None:
    """The node answers it in HTTP/1.0, and closes the connection."""
    assert type(await refusal(node.folder_get("/" + "x" * 9000))) is errors.Rejected
    assert type(await refusal(node.data_decimate("/x"))) is errors.StreamNotFound


async def test_a_path_before_the_api_is_kept(joule_peer: JoulePeer) -> None:
    behind = Node(joule_peer.url + "/joule/", joule_peer.key)
    error = await refusal(behind.info())
    assert (type(error), str(error)) == (errors.ObjectNotFound, "Not Found [404]")
    await behind.close()


# --------------------------------------------------------------------------------------------- folders


async def test_the_root_folder_holds_everything(node: Node, parent: str) -> None:
    root = await node.folder_root()
    assert repr(root) == f"<joule.api.Folder id={root.id} name='root' description=None locked=True>"
    assert {"configured", "live", "parent"} <= {child.name for child in root.children}
    (live,) = [child for child in root.children if child.name == "live"]
    assert {stream.name for stream in live.data_streams} == {"random", "mean", "pulse"}
    assert {stream.id for stream in live.data_streams} == set(root.active_data_streams)
    (locked,) = [child for child in root.children if child.name == "configured"]
    (stream,) = locked.data_streams
    assert (stream.is_configured, stream.locked, stream.keep_us) == (True, True, 7 * 86400 * 10**6)
    volts, amps = stream.elements
    assert (volts.units, volts.display_type, volts.default_min, volts.default_max) == (
        "V",
        "DISCRETE",
        -10,
        10,
    )
    assert (amps.plottable, amps.offset, amps.scale_factor) == (False, 1.5, 2.0)


async def test_a_folder_is_found_by_path_id_and_object(node: Node, parent: str) -> None:
    by_path = await node.folder_get("/parent/my_folder")
    assert by_path.name == "my_folder"
    assert by_path.id is not None
    assert await node.folder_get(by_path.id) == by_path == await node.folder_get(by_path)
    assert (await node.folder_get("/")).name == "root"
    assert str(await refusal(node.folder_get("/does/not/exist"))) == "folder does not exist [404]"
    assert str(await refusal(node.folder_get(2**31 - 1))) == "folder does not exist [404]"


async def test_a_folder_moves_and_its_destination_is_made(node: Node, parent: str) -> None:
    await node.data_stream_create(a_stream("x"), "/parent1/my_folder")
    await node.folder_move("/parent1/my_folder", "/parent2")
    parent2 = await node.folder_get("/parent2")
    assert [child.name for child in parent2.children] == ["my_folder"]
    error = await refusal(node.folder_move("/parent1/missing_folder", "/parent2"))
    assert str(error) == "folder does not exist [404]"
    error = await refusal(node.folder_move("/parent/my_folder", "/parent2"))
    assert str(error) == "a folder with this name is in the destination folder [400]"
    error = await refusal(node.folder_move("/parent2", "/parent2/my_folder"))
    assert str(error) == "cannot place a parent in a child folder [400]"
    assert str(await refusal(node.folder_move("/live", parent2))) == "folder is locked [400]"


async def test_a_folder_is_renamed(node: Node, parent: str) -> None:
    folder = await node.folder_get("/parent/my_folder")
    folder.name = "new name"
    folder.description = "Straße & ☃"
    await node.folder_update(folder)
    (child,) = (await node.folder_get("/parent")).children
    assert (child.id, child.name, child.description) == (folder.id, "new name", "Straße & ☃")
    error = await refusal(node.folder_update(await node.folder_get("/live")))
    assert str(error) == "folder is locked [400]"


async def test_a_folder_with_folders_is_deleted_only_with_them(node: Node, parent: str) -> None:
    folder = await node.folder_get("/parent")
    error = await refusal(node.folder_delete(folder, False))
    assert str(error) == "specify [recursive] or remove child folders first [400]"
    await node.folder_delete(folder, True)
    assert isinstance(await refusal(node.folder_get("/parent")), NotFound)
    assert str(await refusal(node.folder_delete("/"))) == "folder is locked [400]"


# ---------------------------------------------------------------------------------------- data streams


async def test_a_data_stream_is_found_by_path_id_and_object(node: Node, parent: str) -> None:
    stream = await node.data_stream_get("/parent/my_folder/stream")
    assert stream.id is not None
    assert repr(stream) == (
        f"<joule.api.DataStream id={stream.id} name='stream' description='' datatype='int32' "
        "is_configured=False is_source=False is_destination=False locked=False decimate=True>"
    )
    assert await node.data_stream_get(stream.id) == stream == await node.data_stream_get(stream)
    error = await refusal(node.data_stream_get("/does/not/exist"))
    assert type(error) is errors.StreamNotFound
    assert isinstance(error, NotFound)
    assert str(error) == "stream does not exist [404]"


async def test_a_data_stream_moves(node: Node, parent: str) -> None:
    await node.data_stream_create(a_stream("stream"), "/parent1/my_folder")
    await node.data_stream_move("/parent1/my_folder/stream", "/parent2")
    assert [stream.name for stream in (await node.folder_get("/parent2")).data_streams] == ["stream"]
    error = await refusal(node.data_stream_move("/does/not/exist", "/parent2"))
    assert str(error) == "stream does not exist [404]"
    error = await refusal(node.data_stream_move("/parent/my_folder/stream", "/parent2"))
    assert str(error) == "stream with the same name exists in the destination folder [400]"


async def test_a_data_stream_and_its_elements_are_renamed(node: Node, parent: str) -> None:
    stream = await node.data_stream_get("/parent/my_folder/stream")
    assert repr(stream.elements) == (
        f"[<joule.api.Element id={stream.elements[0].id} index=0, name='Element1' units='' "
        "plottable=True display_type='CONTINUOUS'>]"
    )
    stream.elements[0].name = "New Name"
    stream.elements[0].default_max = 12.5
    stream.elements[0].display_type = "event"
    stream.description = "of a boiler"
    stream.keep_us = 10**9
    await node.data_stream_update(stream)
    updated = await node.data_stream_get(stream)
    assert (updated.description, updated.keep_us) == ("of a boiler", 10**9)
    (element,) = updated.elements
    assert (element.name, element.default_max, element.display_type) == ("New Name", 12.5, "EVENT")
    stream.elements.append(Element("one more"))
    error = await refusal(node.data_stream_update(stream))
    assert str(error) == "Invalid stream specification: incorrect number of elements [400]"


async def test_a_data_stream_is_deleted_unless_it_is_locked(node: Node, parent: str) -> None:
    await node.data_stream_delete("/parent/my_folder/stream")
    assert (await node.folder_get("/parent/my_folder")).data_streams == []
    error = await refusal(node.data_stream_delete("/configured/locked"))
    assert (error.status, str(error)) == (400, "stream is locked [400]")  # type: ignore[attr-defined]


@pytest.mark.parametrize("datatype", ["float64", "float32", "int64", "int32", "int16"])
async def test_a_data_stream_of_each_type_is_created(node: Node, parent: str, datatype: str) -> None:
    new_stream = api.DataStream(name="New Stream", datatype=datatype)
    new_stream.elements = [api.Element(name="Element1"), api.Element("b", "V", False, "discrete")]
    made = await node.data_stream_create(new_stream, "/parent/new_folder")
    assert made.id is not None
    assert (made.name, made.layout, made.keep_us) == ("New Stream", f"{datatype}_2", -1)
    assert [element.index for element in made.elements] == [0, 1]
    assert (await node.data_stream_get("/parent/new_folder/New Stream")) == made


async def test_a_data_stream_that_is_there_or_cannot_be_is_refused(node: Node, parent: str) -> None:
    error = await refusal(node.data_stream_create(a_stream("stream"), "/parent/my_folder"))
    said = "Invalid stream specification: stream with the same name exists in the folder [400]"
    assert str(error) == said
    error = await refusal(node.data_stream_create(a_stream("x", "uint8"), "/parent"))
    assert "invalid datatype [UINT8], choose from" in str(error)


@pytest.mark.parametrize(
    "call",
    [
        lambda node, nowhere: node.data_stream_create(a_stream("x"), nowhere),
        lambda node, nowhere: node.data_stream_move("/parent/my_folder/stream", nowhere),
        lambda node, nowhere: node.folder_move("/parent/my_folder", nowhere),
        lambda node, nowhere: node.event_stream_create(EventStream("x"), nowhere),
    ],
)
async def test_a_destination_that_is_not_there_is_said_to_be_missing(
    node: Node, parent: str, call: Callable[[Node, int], Awaitable[Any]]
) -> None:
    error = await refusal(call(node, 2**31 - 1))
    assert (type(error), str(error)) == (errors.ObjectNotFound, "folder does not exist [404]")


async def test_the_info_of_a_stream_says_what_it_holds(node: Node, parent: str) -> None:
    empty = await node.data_stream_info("/parent/my_folder/stream")
    assert repr(empty) == "<joule.api.DataStreamInfo start=None end=None rows=0, total_time=0>"
    await write(node, "/parent/my_folder/stream", [T0, T0 + 10, T0 + 30])
    info = await node.data_stream_info("/parent/my_folder/stream")
    assert repr(info) == f"<joule.api.DataStreamInfo start={T0} end={T0 + 30} rows=3, total_time=30>"
    assert info.bytes >= 0


async def test_a_stream_that_a_module_writes_is_active(node: Node) -> None:
    stream = await node.data_stream_get("/live/pulse")
    assert (stream.active, stream.is_destination, stream.locked, stream.layout) == (
        True,
        True,
        True,
        "int32_2",
    )
    assert (await node.data_stream_info(stream)).rows > 0


# ------------------------------------------------------------------------------------------------ data


async def test_deleting_in_the_middle_breaks_an_interval(node: Node, parent: str) -> None:
    path = "/parent/my_folder/stream"
    assert await node.data_intervals(path) == []
    step = 36_000_000_000
    await write(node, path, [T0 + step * n for n in range(4)])
    assert await node.data_intervals(path) == [[T0, T0 + 3 * step + 1]]
    await node.data_delete(path, start=T0 + step, end=T0 + 2 * step)
    assert await node.data_intervals(path) == [[T0, T0 + 1], [T0 + 2 * step, T0 + 3 * step + 1]]
    assert await node.data_intervals(path, T0 + 1, T0 + 2 * step + 1) == [[T0 + 2 * step, T0 + 2 * step + 1]]
    await node.data_delete(path)
    assert await node.data_intervals(path) == []


async def test_close_intervals_are_joined(node: Node, parent: str) -> None:
    path = "/parent/my_folder/stream"
    await write(node, path, [T0, T0 + 10], [T0 + 30, T0 + 40], [T0 + 10_000, T0 + 10_010])
    assert len(await node.data_intervals(path)) == 3
    assert await node.data_consolidate(path, 1000) == 1
    assert await node.data_intervals(path) == [[T0, T0 + 41], [T0 + 10_000, T0 + 10_011]]
    assert await node.data_consolidate(path, max_gap=1000) == 0


async def test_decimated_copies_are_dropped_and_made_anew(node: Node, parent: str) -> None:
    path = "/parent/my_folder/stream"
    await write(node, path, [T0 + n for n in range(100)])

    async def decimated() -> int:
        query = (("path", path), ("decimation-level", "4"))
        body = await node.run(Operation("read", "GET", ("data.json",), lambda answer: answer.body, query))
        return sum(map(len, json.loads(body)["data"]))

    assert await decimated() == 25
    await node.data_drop_decimations(path)
    assert await decimated() == 0
    await node.data_decimate(path)
    assert await decimated() == 25


async def test_rows_that_the_storage_refuses_are_told_apart(node: Node, parent: str) -> None:
    path = "/parent/my_folder/stream"

    def posted(rows: bytes, stream: str = path) -> Operation[None]:
        write = operations.data_decimate(stream)
        return Operation(
            "write",
            "POST",
            ("data",),
            lambda answer: None,
            write.query,
            {},
            rows,
            write.explain,
            write.refine,
        )

    await node.run(posted(struct.pack("<qiqi", T0, 1, T0 + 1, 2)))
    error = await refusal(node.run(posted(struct.pack("<qi", T0, 1))))
    assert isinstance(error, errors.DataError)
    assert "already exists" in str(error)
    error = await refusal(node.run(posted(struct.pack("<qiqi", T0 + 20, 1, T0 + 10, 2))))
    assert (type(error), str(error)) == (
        errors.DataRefused,
        "Non-monotonic timestamps in new data [400]",
    )
    error = await refusal(node.run(posted(bytes(16), "/live/pulse")))
    assert (type(error), str(error)) == (
        errors.StreamBusy,
        "DataStream [pulse] is already being produced [400]",
    )
    assert isinstance(error, Conflict)
    assert error.advice is error.advice.RETRY


# ----------------------------------------------------------------------------------------- annotations


async def test_annotations_live(node: Node, parent: str) -> None:
    path = "/parent/my_folder/stream"
    now = utilities.time_now()
    event_note = Annotation(title="Event Annotation", start=now)
    noted = await node.annotation_create(event_note, path)
    assert noted == event_note
    assert noted.id is not None
    range_note = Annotation(title="Range Annotation", start=now - 60_000_000, end=now, content="of a minute")
    stream = await node.data_stream_get(path)
    ranged = await node.annotation_create(range_note, stream)
    assert ranged.stream_id == stream.id
    assert await node.annotation_get(path) == [noted, ranged] or await node.annotation_get(path) == [
        ranged,
        noted,
    ]
    assert await node.annotation_get(stream, now, now) == [noted]
    assert await node.annotation_get(stream, end=now - 1) == [ranged]
    info = await node.annotation_info(path)
    assert (info.start, info.end, info.count) == (now - 60_000_000, now, 2)
    ranged.title, ranged.content = "Renamed", None
    updated = await node.annotation_update(ranged)
    assert (updated.title, updated.start, updated.end) == ("Renamed", now - 60_000_000, now)
    await node.annotation_delete(noted)
    assert [one.name for one in await node.annotation_get(path, None, None)] == ["Renamed"]
    assert ranged.id is not None
    await node.annotation_delete(ranged.id)
    assert isinstance(await refusal(node.annotation_delete(ranged.id)), NotFound)
    error = await refusal(node.annotation_update(ranged))
    assert str(error) == "annotation does not exist [404]"
    empty = await node.annotation_info(path)
    assert (empty.start, empty.end, empty.count) == (None, None, 0)


async def test_annotations_of_a_span_are_deleted(node: Node, parent: str) -> None:
    path = "/parent/my_folder/stream"
    for at in (T0, T0 + 10, T0 + 20):
        await node.annotation_create(Annotation("n", at), path)
    await node.data_stream_annotation_delete(path, T0 + 10, T0 + 10)
    assert [one.start for one in await node.annotation_get(path)] == [T0, T0 + 20]
    await node.data_stream_annotation_delete(path)
    assert await node.annotation_get(path) == []
    assert str(await refusal(node.annotation_get("/no/such"))) == "stream does not exist [404]"


# --------------------------------------------------------------------------------------- event streams


async def test_an_event_stream_lives(node: Node, parent: str) -> None:
    new_stream = api.EventStream(name="New Stream")
    made = await node.event_stream_create(new_stream, "/parent/new_folder")
    assert repr(made) == f"<joule.api.EventStream id={made.id} name='New Stream' description=''>"
    assert str(await refusal(node.event_stream_get("/does/not/exist"))) == "stream does not exist [404]"
    made.name, made.description = "events", "example"
    made.event_fields = {"label": "string", "power": "numeric", "kind": 'category:["on","off"]'}
    await node.event_stream_update(made)
    await node.event_stream_move("/parent/new_folder/events", "/parent2")
    (moved,) = (await node.folder_get("/parent2")).event_streams
    assert (moved.id, moved.name, moved.description) == (made.id, "events", "example")
    assert moved.event_fields == made.event_fields
    error = await refusal(node.event_stream_move("/does/not/exist", "/parent2"))
    assert str(error) == "stream does not exist [404]"
    await node.event_stream_delete(moved)
    assert (await node.folder_get("/parent2")).event_streams == []


async def test_an_event_stream_is_made_where_it_is_missing(node: Node, parent: str) -> None:
    made = await node.event_stream_get(
        "/parent/made", create=True, description="d", chunk_duration="1d", event_fields={"a": "string"}
    )
    assert (made.name, made.description, made.chunk_duration_us) == ("made", "d", 86400 * 10**6)
    again = await node.event_stream_get("/parent/made", create=True, description="another")
    assert (again.id, again.description) == (made.id, "d")


async def test_events_are_written_read_counted_and_removed(node: Node, parent: str) -> None:
    await node.event_stream_create(EventStream("events"), "/parent")
    now = utilities.time_now()
    e1 = Event(start_time=now - 1e6, end_time=now, content={"name": "event1"})  # type: ignore[arg-type]
    e2 = Event(start_time=now + 1e6, end_time=now + 2_000_000, content={"name": "event2"})  # type: ignore[arg-type]
    assert await node.event_stream_write("/parent/events", [e1, e2]) == [e1, e2]
    info = await node.event_stream_info("/parent/events")
    assert repr(info) == (
        f"<joule.api.EventStreamInfo start={now - 10**6} end={now + 2 * 10**6} events=2, total_time=3000000>"
    )
    assert await node.event_stream_read("/parent/events") == [e1, e2]
    assert await node.event_stream_read("/parent/events", limit=1) == [e1]
    assert await node.event_stream_read("/parent/events", now + 10**6) == [e2]
    assert await node.event_stream_read("/parent/events", end=now + 10**6) == [e1]
    assert await node.event_stream_count("/parent/events") == 2
    await node.event_stream_remove("/parent/events", start=now + 10**6)
    assert await node.event_stream_read("/parent/events") == [e1]
    await node.event_stream_remove("/parent/events")
    assert await node.event_stream_read_list("/parent/events") == []


async def test_writing_the_same_events_twice_changes_them_in_place(node: Node, parent: str) -> None:
    stream = await node.event_stream_create(EventStream("events"), "/parent")
    other = await node.event_stream_create(EventStream("other"), "/parent")
    events = [Event(T0 + n, T0 + n + 5, {"n": n}) for n in range(1201)]
    await node.event_stream_write(stream, events)
    assert len({event.id for event in events}) == 1201
    for event in events:
        event.content["n"] += 1
    await node.event_stream_write("/parent/events", events)
    read = await node.event_stream_read(stream)
    assert read == events
    assert [event.id for event in read] == [event.id for event in events]
    await node.event_stream_write(other, read)  # into another stream they are new
    assert await node.event_stream_count(other) == 1201
    assert await node.event_stream_count(stream) == 1201


async def test_events_that_start_together_are_not_lost_between_pages(node: Node, parent: str) -> None:
    stream = await node.event_stream_create(EventStream("events"), "/parent")
    events = [Event(T0 + n // 40, T0 + 10**6, {"n": n}) for n in range(200)]
    await node.event_stream_write(stream, events)
    for page in (7, 40, 41, 200):
        walk = node.event_stream_walk(stream, block_size=page)
        read = []
        while found := await walk.next_events():
            read += found
        assert sorted(event.content["n"] for event in read) == list(range(200))
    # with an end and no start the node itself would give the last ones
    first = await node.event_stream_read(stream, end=T0 + 3, limit=90)
    assert {event.start_time for event in first} == {T0, T0 + 1, T0 + 2}
    assert len(first) == 90


async def test_events_that_are_under_way_at_the_start_come_first(node: Node, parent: str) -> None:
    stream = await node.event_stream_create(EventStream("events"), "/parent")
    over = [Event(T0 + 2 * n, T0 + 2 * n + 1, {"over": n}) for n in range(5)]
    ongoing = [Event(T0 + 2 * n + 1, T0 + 1000, {"ongoing": n}) for n in range(5)]
    later = [Event(T0 + 100 + n, T0 + 1000, {"later": n}) for n in range(5)]
    await node.event_stream_write(stream, [*over, *ongoing, *later])
    for page in (1, 2, 3, 5, 7, 100):
        walk = node.event_stream_walk(stream, T0 + 50, block_size=page)
        read = []
        while found := await walk.next_events():
            read += found
        assert read == [*ongoing, *later]
    assert await node.event_stream_read(stream, T0 + 50, include_on_going_events=False) == later
    assert await node.event_stream_count(stream, T0 + 50) == 10
    assert await node.event_stream_count(stream, T0 + 50, include_on_going_events=False) == 5


async def test_a_filter_selects_events_by_content(node: Node, parent: str) -> None:
    stream = await node.event_stream_create(EventStream("events"), "/parent")
    contents = [{"name": "a sample"}, {"value": 5}, {"value": 50}, {"name": "other", "value": -1}]
    await node.event_stream_write(stream, [Event(T0 + n, T0 + n + 1, c) for n, c in enumerate(contents)])
    either = [[["name", "like", "%sample%"]], [["value", "gt", 0], ["value", "lt", 10]]]
    for json_filter in (either, json.dumps(either)):
        read = await node.event_stream_read(stream, limit=100, json_filter=json_filter)
        assert [event.content for event in read] == contents[:2]
        assert await node.event_stream_count(stream, json_filter=json_filter) == 2
    assert len(await node.event_stream_read(stream, json_filter="[]")) == 4
    for comparison, count in {"is": 1, "not": 1, "like": 1, "unlike": 1}.items():
        assert await node.event_stream_count(stream, json_filter=[[["name", comparison, "other"]]]) == count
    for comparison, count in {"gt": 1, "gte": 2, "lt": 1, "lte": 2, "eq": 1, "neq": 2}.items():
        assert await node.event_stream_count(stream, json_filter=[[["value", comparison, 5]]]) == count
    await node.event_stream_remove(stream, json_filter=[[["value", "lt", "10"]]])
    assert [event.content for event in await node.event_stream_read(stream)] == [contents[0], contents[2]]


# ------------------------------------------------------------------------------------ modules, proxies


async def test_modules_are_listed_and_shown(node: Node) -> None:
    modules = await node.module_list()
    assert {module.name for module in modules} == {"Random Reader", "Mean Filter", "Pulse"}
    assert all(module.statistics is None for module in modules)
    pulse = await node.module_get("Pulse")
    assert repr(pulse) == (
        f"<joule.api.Module id={pulse.id} name='Pulse' "
        "description='integer ramp with interval breaks' is_app=False>"
    )
    assert pulse.outputs == {"output": "/live/pulse"}
    assert (await node.module_get(pulse, statistics=True)).id == pulse.id
    statistics = (await node.module_get(pulse.id)).statistics
    assert statistics is not None
    assert statistics.pid is not None
    assert repr(statistics).startswith(f"<joule.api.ModuleStatistics pid={statistics.pid} create_time=")
    listed = await node.module_list(statistics=True)
    assert all(module.statistics is not None for module in listed)
    assert str(await refusal(node.module_get("no such"))) == "module does not exist [404]"


async def test_a_module_has_logs(node: Node) -> None:
    logs = await node.module_logs("Pulse")
    assert any("block ends at" in line for line in logs)
    assert await node.module_logs(await node.module_get("Pulse"))
    assert isinstance(await refusal(node.module_logs("no such")), NotFound)


async def test_proxies_are_listed_and_shown(node: Node, joule_peer: JoulePeer) -> None:
    site, other = await node.proxy_list()
    assert repr(site) == (
        f"<joule.api.Proxy id=0 name='site1' proxied_url='{joule_peer.url}/interface/p0' "
        "target_url='http://127.0.0.1:3000/'>"
    )
    assert (
        await node.proxy_get("other site") == other == await node.proxy_get(other) == await node.proxy_get(1)
    )
    assert str(await refusal(node.proxy_get("no such"))) == "proxy does not exist [404]"


# ---------------------------------------------------------------------------------- masters, followers


async def test_a_user_is_let_in_and_out_again(node: Node, joule_peer: JoulePeer) -> None:
    master = await node.master_add("user", "guest")
    assert (master.master_type, master.name) == ("user", "guest")
    assert master.key is not None
    assert master.key not in repr(master)
    guest = Node(joule_peer.url, master.key)
    assert (await guest.info()).name == joule_peer.name
    assert str(await refusal(node.master_add("user", "guest"))) == "User already exists [400]"
    (listed,) = [one for one in await node.master_list() if one.name == "guest"]
    assert (listed.master_type, listed.key) == ("user", None)
    assert str(await refusal(guest.master_delete("user", "guest"))).startswith("cannot delete yourself")
    await node.master_remove("guest")
    assert isinstance(await refusal(guest.info()), Forbidden)
    await guest.close()
    own = await node.master_add("user", "guest", api_key="k" * 32)
    assert own.key == "k" * 32
    await node.master_remove(own)
    error = await refusal(node.master_delete("user", "guest"))
    assert str(error) == f"user [guest] is not a master of node [{joule_peer.name}] [404]"


async def test_a_node_that_cannot_be_reached_becomes_no_master(node: Node) -> None:
    error = await refusal(node.master_add("joule_node", "http://127.0.0.1:1"))
    assert str(error).startswith("Cannot contact node at [")
    assert isinstance(error, RequestRejected)
    for left in await node.master_list():  # the node keeps it all the same
        if left.master_type == "joule":
            await node.master_remove(left)


async def test_followers_are_nodes_and_none_is_forgotten_by_mistake(
    node: Node, joule_peer: JoulePeer
) -> None:
    port = int(joule_peer.url.rpartition(":")[2])
    follow = {"key": joule_peer.key, "port": port, "scheme": "http", "base_uri": "", "name": "x"}
    made = operations.annotation_create(Annotation("t", 0), 1)  # its shape of a request will do
    await node.run(
        Operation(
            "follow",
            "POST",
            ("follower.json",),
            lambda answer: None,
            headers=made.headers,
            body=json.dumps(follow).encode(),
        )
    )
    (follower,) = await node.follower_list()
    assert isinstance(follower, api.BaseNode)
    assert (follower.name, follower.url) == (joule_peer.name, joule_peer.url)
    assert joule_peer.key not in repr(follower)
    assert (await follower.info()).name == joule_peer.name
    await follower.close()
    with pytest.raises(errors.InvalidArgument, match="no follower 'unknown'"):
        await node.follower_delete("unknown")
    assert len(await node.follower_list()) == 1
    await node.follower_remove(follower)
    assert await node.follower_list() == []


# ----------------------------------------------------------------------------------- database, archives


async def test_the_database_can_be_reached(node: Node, joule_peer: JoulePeer) -> None:
    info = await node.db_connection_info()
    assert (info.username, info.database, info.host) == ("joule_module", "joule", "127.0.0.1")
    assert info.password not in repr(info)
    assert info.to_dsn() == f"postgresql://joule_module:{info.password}@127.0.0.1:{info.port}/joule"
    assert info.to_json()["port"] == info.port
    assert joule_peer.database_user(info.to_dsn()) == "joule_module"


async def test_an_archive_that_nobody_imports_is_said_so(joule_peer: JoulePeer, tmp_path: Path) -> None:
    importer = Node(joule_peer.url, joule_peer.importer_key)
    metadata = {
        "magic": "joule-data-archive-bundle",
        "name": "unknown",
        "node": "elsewhere",
        "created_at": T0,
        "version": "1.0.0",
        "data_streams": [],
        "event_streams": [],
    }
    path = tmp_path / "archive.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps(metadata))
        for folder in ("data/", "events/", "modules/"):
            archive.writestr(folder, "")
    log = await importer.archive_upload(path)
    (said,) = log.errors
    assert said.message == "No importer defined for archive [unknown] from node [elsewhere]"
    path.write_bytes(b"no zip")
    assert str(await refusal(importer.archive_upload(str(path)))) == "invalid joule archive [400]"
    assert isinstance(await refusal(importer.folder_root()), Forbidden)
    await importer.close()


async def test_a_link_to_lumen_names_the_nodes_streams(node: Node, parent: str) -> None:
    stream = await node.data_stream_get("/parent/my_folder/stream")
    events = await node.event_stream_create(EventStream("events"), "/parent")
    found = await node.run(operations.folder_map([stream.elements[0].id], [events.id]))
    assert (found["data_stream_ids"], found["event_stream_ids"]) == ([stream.id], [events.id])
    element = lumen.DisplayedDataStreamElement(stream.elements[0])
    made = await node.create_lumen_link("https://lumen", [element], [lumen.DisplayedEventStream(events)])
    assert made.startswith("https://lumen/explorer?view=N4Ig")
    with pytest.raises(errors.InvalidArgument, match="no such element"):
        await node.create_lumen_link(
            "https://lumen", [lumen.DisplayedDataStreamElement(Element(id=2**31 - 1))]
        )


# ------------------------------------------------------------------------------- what the node fails at


@pytest.mark.parametrize(
    ("query", "resource"),
    [
        ((("path", "parent"),), "folder.json"),
        ((("path", "/parent/"),), "folder.json"),
        ((("path", "/a//b"),), "folder.json"),
        ((("id", "one"),), "stream.json"),
        ((("path", "/live/pulse"), ("start", str(-(2**63)))), "data/intervals.json"),
        ((("id", str(2**40)),), "stream.json"),
    ],
)
async def test_the_node_fails_at_what_is_refused_before_it_is_sent(
    node: Node, query: tuple[tuple[str, str], ...], resource: str
) -> None:
    shape = operations.version()
    asked = Operation(
        "ask",
        "GET",
        tuple(resource.split("/")),
        lambda answer: answer,
        query,
        {},
        None,
        shape.explain,
        shape.refine,
    )
    error = await refusal(node.run(asked))
    assert isinstance(error, ServerFailed)
    assert "Traceback" not in str(error)
    assert len(str(error)) < 1100


async def test_an_event_stream_of_the_configuration_that_has_no_table_disturbs_nothing_else(
    node: Node,
) -> None:
    """A node makes no table for it, and fails at whatever it is asked about it, its definition included."""
    (found,) = (await node.folder_get("/configured")).event_streams
    assert (found.name, found.event_fields["kind"]) == ("events", 'category:["on","off"]')
    for work in (
        node.event_stream_get("/configured/events"),
        node.event_stream_get("/configured/events", create=True),
        node.event_stream_read(found),
        node.event_stream_write(found, [Event(5, 6)]),
    ):
        error = await refusal(work)
        assert isinstance(error, ServerFailed)
        assert "does not exist" in str(error)
    assert "configured" in [child.name for child in (await node.folder_root()).children]


async def test_what_the_node_would_fail_at_is_an_invalid_argument(node: Node, parent: str) -> None:
    stream = await node.event_stream_create(EventStream("events"), "/parent")
    for work in (
        node.folder_get("parent"),
        node.folder_get("/parent/"),
        node.data_stream_get("/a//b"),
        node.data_intervals("/live/pulse", -(2**63)),
        node.data_intervals("/live/pulse", 5, 5),
        node.event_stream_write(stream, [Event(5, 5)]),
        node.event_stream_write(stream, [Event(5)]),
        node.event_stream_write(stream, [Event(5, 6, {"x": float("nan")})]),
        node.event_stream_write(stream, [Event(5, 6, {"x": "a\0b"})]),
        node.event_stream_read(stream, json_filter=[[]]),
        node.event_stream_read(stream, limit=0),
        node.annotation_create(Annotation("t", 6, 5), "/live/pulse"),
        node.data_stream_get(Folder("x")),  # type: ignore[arg-type]
        node.data_stream_get(DataStream("local")),
    ):
        error = await refusal(work)
        assert isinstance(error, (errors.InvalidArgument, EncodeError))
    assert await node.event_stream_count(stream) == 0
