"""The verbs of a Joule node as values: what to ask, and how to read the answer.

One function per request.  Nothing is sent here: a carrier runs what these functions return.  The
binary data streams are not here, because no answer of them is ever whole: see
``txbridge.joule.pipes``.

A stream or a folder is named by its object, its path or its id; a path begins with ``/`` and has
neither empty parts nor a ``/`` at its end.  Timestamps are whole microseconds since 1970; spans
include their start and not their end, except those of annotations, which include both.

Everything a caller gives is checked before anything travels, and what is wrong with it is an
`InvalidArgument` that names the argument.

Source: Joule API reference; Joule 1.0.1, ``api`` and ``controllers``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from attrs import evolve

from txbridge.errors import RemoteProtocolError
from txbridge.joule import codec
from txbridge.joule.codec import check_timestamp, check_word, write_json
from txbridge.joule.errors import InvalidArgument, refine
from txbridge.joule.structures import (
    Annotation,
    AnnotationInfo,
    ConnectionInfo,
    DataStream,
    Event,
    EventStream,
    Folder,
    Follower,
    ImportLogger,
    Master,
    Module,
    NodeVersion,
    Proxy,
    StorageInfo,
)
from txbridge.model.instants import shorten
from txbridge.net.operation import Answer, Operation

__all__ = [
    "DataStreamLike",
    "EventStreamLike",
    "Filter",
    "FolderLike",
    "annotation_create",
    "annotation_delete",
    "annotation_get",
    "annotation_info",
    "annotation_update",
    "archive_upload",
    "data_consolidate",
    "data_decimate",
    "data_delete",
    "data_drop_decimations",
    "data_intervals",
    "data_stream_annotation_delete",
    "data_stream_create",
    "data_stream_delete",
    "data_stream_get",
    "data_stream_move",
    "data_stream_update",
    "db_connection_info",
    "event_stream_count",
    "event_stream_create",
    "event_stream_delete",
    "event_stream_get",
    "event_stream_move",
    "event_stream_page",
    "event_stream_remove",
    "event_stream_update",
    "event_stream_write",
    "folder_delete",
    "folder_get",
    "folder_map",
    "folder_move",
    "folder_root",
    "folder_update",
    "follower_delete",
    "follower_list",
    "master_add",
    "master_delete",
    "master_list",
    "master_type",
    "module_get",
    "module_list",
    "module_logs",
    "positive",
    "proxy_get",
    "proxy_list",
    "select_data_stream",
    "storage",
    "version",
]

FolderLike = Folder | str | int
"""A folder, its path or its id."""

DataStreamLike = DataStream | str | int
"""A data stream, its path or its id."""

EventStreamLike = EventStream | str | int
"""An event stream, its path or its id."""

Filter = Sequence[Sequence[Sequence[Any]]] | str | None
"""Which events are meant: a list (any of) of lists (all of) of ``[key, comparison, value]``, or its JSON.

``is``, ``not``, ``like`` and ``unlike`` compare text, the latter two with ``%`` and ``_`` as wild cards;
``gt``, ``gte``, ``lt``, ``lte``, ``eq`` and ``neq`` compare numbers.  An event without the key never
matches, whatever the comparison."""

T = TypeVar("T")

Query = tuple[tuple[str, str], ...]

MAX_ID = (1 << 31) - 1  # PostgreSQL's integer; a larger number is no id but an error of its own
MIN_KEY = 32  # characters of a user's key
MAX_ARCHIVE = 256 << 20
"""Bytes of an archive that are held in memory to be sent."""

PATIENCE = 10.0
"""Deadlines that a question for intervals may take: a busy node needs 60 ms for each break."""

# ------------------------------------------------------------------------------------------ the node


def version() -> Operation[NodeVersion]:
    """Read the node's name, version and uuid."""
    return _get("version", "version.json", codec.read_version)


def storage() -> Operation[StorageInfo]:
    """Read where the node's database is and how full its disk is."""
    return _get("storage", "dbinfo", codec.read_storage)


def db_connection_info() -> Operation[ConnectionInfo]:
    """Read how to reach the node's database."""
    return _get("db_connection_info", "db/connection.json", codec.read_connection_info)


def archive_upload(archive: bytes) -> Operation[ImportLogger]:
    """Import an archive, which is a zip file.

    Raises:
        InvalidArgument: It is larger than `MAX_ARCHIVE`.
    """
    if len(archive) > MAX_ARCHIVE:
        raise InvalidArgument("archive", f"{len(archive)} bytes are more than {MAX_ARCHIVE}")
    return _operation(
        "archive_upload",
        "POST",
        "archive.json",
        lambda answer: codec.read_import_log(answer.body),
        body=archive,
        content_type="application/octet-stream",
    )


# --------------------------------------------------------------------------------------------- folders


def folder_root() -> Operation[Folder]:
    """Read the whole tree."""
    return _get("folder_root", "folders.json", codec.read_folder)


def folder_get(folder: FolderLike) -> Operation[Folder]:
    """Read a folder with everything in it."""
    return _get("folder_get", "folder.json", codec.read_folder, _query(_folder("folder", folder)))


def folder_move(source: FolderLike, destination: FolderLike) -> Operation[None]:
    """Move a folder into another, which is made if it is named by a path."""
    name, moved = "folder_move", _folder("source", source)
    if moved == ("path", "/"):
        raise InvalidArgument("source", "the root folder cannot be moved")
    return _put(name, "folder/move.json", _journey(moved, destination), "destination")


def folder_update(folder: Folder) -> Operation[None]:
    """Write a folder's name and description, which are all that can be changed."""
    written = codec.write_folder(folder)
    document = {"id": _own_id("folder", folder.id), "folder": written}
    return _put("folder_update", "folder.json", document, "folder")


def folder_delete(folder: FolderLike, recursive: bool = False) -> Operation[None]:
    """Delete a folder with the streams in it, and with ``recursive`` the folders in it."""
    query = (*_query(_folder("folder", folder)), ("recursive", "1" if recursive else "0"))
    return _delete("folder_delete", "folder.json", query)


def folder_map(
    elements: Sequence[int | None], event_streams: Sequence[int | None]
) -> Operation[dict[str, Any]]:
    """Read where elements of data streams, and event streams, are in the tree; nodes before 1.0 cannot."""
    query = (
        ("data_stream_elements", _ids("data_stream_elements", elements)),
        ("event_streams", _ids("event_streams", event_streams)),
    )
    return _get("folder_map", "folder/map.json", codec.read_object, query)


# ---------------------------------------------------------------------------------------- data streams


def data_stream_get(stream: DataStreamLike, *, with_info: bool = False) -> Operation[DataStream]:
    """Read a data stream's definition; with ``with_info`` how much it holds too, which takes longer."""
    query = _query(select_data_stream(stream))
    if not with_info:
        query = (*query, ("no-info", ""))
    return _get("data_stream_get", "stream.json", codec.read_data_stream, query)


def data_stream_create(stream: DataStream, folder: FolderLike) -> Operation[DataStream]:
    """Create a data stream in a folder, which is made if it is named by a path."""
    written = codec.write_data_stream(stream, is_new=True)
    return _create("data_stream_create", "stream.json", written, folder, codec.read_data_stream)


def data_stream_update(stream: DataStream) -> Operation[None]:
    """Write a data stream's name, description, keep, decimation and elements."""
    written = codec.write_data_stream(stream, is_new=False)
    document = {"id": _own_id("stream", stream.id), "stream": written}
    return _put("data_stream_update", "stream.json", document, "stream")


def data_stream_move(stream: DataStreamLike, folder: FolderLike) -> Operation[None]:
    """Move a data stream into a folder, which is made if it is named by a path."""
    document = _journey(select_data_stream(stream), folder, "folder")
    return _put("data_stream_move", "stream/move.json", document, "folder")


def data_stream_delete(stream: DataStreamLike) -> Operation[None]:
    """Delete a data stream with its data."""
    return _delete("data_stream_delete", "stream.json", _query(select_data_stream(stream)))


def data_stream_annotation_delete(
    stream: DataStreamLike, start: int | None = None, end: int | None = None
) -> Operation[None]:
    """Delete a data stream's annotations, or those that start in a span, both ends included."""
    query = (*_query(select_data_stream(stream), "stream_"), *_span(start, end, inclusive=True))
    return _delete("data_stream_annotation_delete", "stream/annotations.json", query)


def data_delete(stream: DataStreamLike, start: int | None = None, end: int | None = None) -> Operation[None]:
    """Delete a data stream's data, or that of a span."""
    return _delete("data_delete", "data", (*_query(select_data_stream(stream)), *_span(start, end)))


def data_intervals(
    stream: DataStreamLike, start: int | None = None, end: int | None = None
) -> Operation[list[list[int]]]:
    """Read for which spans a data stream has data."""
    query = (*_query(select_data_stream(stream)), *_span(start, end))
    asked = _get("data_intervals", "data/intervals.json", codec.read_intervals, query)
    return evolve(asked, patience=PATIENCE)


def data_consolidate(
    stream: DataStreamLike, max_gap: int, start: int | None = None, end: int | None = None
) -> Operation[int]:
    """Join intervals that are at most ``max_gap`` microseconds apart; gives how many breaks went."""
    gap = check_timestamp("max_gap", max_gap)
    if gap <= 0:
        raise InvalidArgument("max_gap", f"{gap} is not above 0 microseconds")
    query = (*_query(select_data_stream(stream)), *_span(start, end), ("max_gap", str(gap)))
    return _operation(
        "data_consolidate",
        "POST",
        "data/consolidate.json",
        lambda answer: codec.read_consolidated(answer.body),
        query,
    )


def data_decimate(stream: DataStreamLike) -> Operation[None]:
    """Make a data stream's decimated copies anew; the answer comes when they are made."""
    name = "data_decimate"
    return _operation(name, "POST", "data/decimate.json", _done(name), _query(select_data_stream(stream)))


def data_drop_decimations(stream: DataStreamLike) -> Operation[None]:
    """Drop a data stream's decimated copies."""
    return _delete("data_drop_decimations", "data/decimate.json", _query(select_data_stream(stream)))


# ----------------------------------------------------------------------------------------- annotations


def annotation_create(annotation: Annotation, stream: DataStreamLike) -> Operation[Annotation]:
    """Put an annotation on a data stream."""
    key, value = select_data_stream(stream)
    document = {**codec.write_annotation(annotation, is_new=True), f"stream_{key}": value}
    body = write_json("annotation", document)
    return _send("annotation_create", "POST", "annotation.json", body, codec.read_annotation)


def annotation_update(annotation: Annotation) -> Operation[Annotation]:
    """Write an annotation's title and content; its times cannot be changed."""
    written = codec.write_annotation(annotation, is_new=False)
    body = write_json("annotation", {"id": _own_id("annotation", annotation.id), **written})
    return _send("annotation_update", "PUT", "annotation.json", body, codec.read_annotation)


def annotation_delete(annotation: Annotation | int) -> Operation[None]:
    """Delete an annotation."""
    address = _address("annotation", annotation, Annotation, "Annotation or ID")
    if address[0] != "id":
        raise _neither("annotation", annotation, "Annotation or ID")
    return _delete("annotation_delete", "annotation.json", _query(address))


def annotation_get(
    stream: DataStreamLike, start: int | None = None, end: int | None = None
) -> Operation[list[Annotation]]:
    """Read a data stream's annotations, or those that start in a span, both ends included."""
    query = (*_query(select_data_stream(stream), "stream_"), *_span(start, end, inclusive=True))
    return _get("annotation_get", "annotations.json", codec.read_annotations, query)


def annotation_info(stream: DataStreamLike) -> Operation[AnnotationInfo]:
    """Read how many annotations a data stream has."""
    query = _query(select_data_stream(stream), "stream_")
    return _get("annotation_info", "annotations/info.json", codec.read_annotation_info, query)


# --------------------------------------------------------------------------------------- event streams


def event_stream_get(stream: EventStreamLike) -> Operation[EventStream]:
    """Read an event stream's definition, and how much it holds."""
    return _get("event_stream_get", "event.json", codec.read_event_stream, _query(_event_stream(stream)))


def event_stream_create(stream: EventStream, folder: FolderLike) -> Operation[EventStream]:
    """Create an event stream in a folder, which is made if it is named by a path."""
    written = codec.write_event_stream(stream, is_new=True)
    return _create("event_stream_create", "event.json", written, folder, codec.read_event_stream)


def event_stream_update(stream: EventStream) -> Operation[None]:
    """Write an event stream's name, description, fields, chunks and keep."""
    written = codec.write_event_stream(stream, is_new=False)
    document = {"id": _own_id("stream", stream.id), "stream": written}
    return _put("event_stream_update", "event.json", document, "stream")


def event_stream_move(stream: EventStreamLike, folder: FolderLike) -> Operation[None]:
    """Move an event stream into a folder, which is made if it is named by a path."""
    return _put(
        "event_stream_move", "event/move.json", _journey(_event_stream(stream), folder, "folder"), "folder"
    )


def event_stream_delete(stream: EventStreamLike) -> Operation[None]:
    """Delete an event stream with its events."""
    return _delete("event_stream_delete", "event.json", _query(_event_stream(stream)))


def event_stream_page(
    stream: EventStreamLike,
    start: int | None,
    end: int | None,
    limit: int,
    json_filter: Filter = None,
    *,
    with_ongoing: bool = False,
    node_uuid: str | None = None,
) -> Operation[list[Event]]:
    """Read the first events of a span, in the order in which they start.

    Args:
        stream: The event stream.
        start: The span's start.  **Without it a node gives the last events before ``end``.**
        end: The span's end; None for no end.
        limit: How many events at most.
        json_filter: Which events.
        with_ongoing: Also those that began before ``start`` and had not ended then.
        node_uuid: What to remember as the node they come from.
    """
    query = [*_query(_event_stream(stream)), *_span(start, end), *_filter(json_filter)]
    query += [("limit", str(positive("limit", limit))), ("return-subset", "1")]
    if with_ongoing:
        query.append(("include-ongoing-events", "1"))
    return _get(
        "event_stream_read",
        "event/data.json",
        lambda body: codec.read_event_page(body, node_uuid),
        tuple(query),
    )


def event_stream_count(
    stream: EventStreamLike,
    start: int | None = None,
    end: int | None = None,
    json_filter: Filter = None,
    include_on_going_events: bool = True,
) -> Operation[int]:
    """Count events."""
    query = [*_query(_event_stream(stream)), *_span(start, end), *_filter(json_filter)]
    if include_on_going_events:
        query.append(("include-ongoing-events", "1"))
    return _get("event_stream_count", "event/data/count.json", codec.read_count, tuple(query))


def event_stream_write(
    stream: EventStreamLike, events: Sequence[bytes], node_uuid: str | None = None
) -> Operation[list[Event]]:
    """Write events that `codec.write_event` has encoded; gives them with their ids."""
    key, value = _event_stream(stream)
    body = b'%s,"events":[%s]}' % (write_json("stream", {key: value})[:-1], b",".join(events))
    name = "event_stream_write"

    def read(body: bytes) -> list[Event]:
        written = codec.read_event_page(body, node_uuid)
        if len(written) != len(events):
            raise RemoteProtocolError(name, f"{len(events)} events were written, {len(written)} came back")
        return written

    return _send(name, "POST", "event/data.json", body, read)


def event_stream_remove(
    stream: EventStreamLike,
    start: int | None = None,
    end: int | None = None,
    json_filter: Filter = None,
) -> Operation[None]:
    """Delete events: those of a span, ongoing ones included, those that match, or all."""
    query = (*_query(_event_stream(stream)), *_span(start, end), *_filter(json_filter))
    return _delete("event_stream_remove", "event/data.json", query)


# ------------------------------------------------------------------------------------ modules, proxies


def module_list(statistics: bool = False) -> Operation[list[Module]]:
    """Read the modules; statistics take half a second for each."""
    query = (("statistics", "1" if statistics else "0"),)
    return _get("module_list", "modules.json", codec.read_modules, query)


def module_get(module: Module | str | int, statistics: bool = False) -> Operation[Module]:
    """Read a module; nodes give its statistics whether asked for or not."""
    query = (*_by_name("module", module, Module), ("statistics", "1" if statistics else "0"))
    return _get("module_get", "module.json", codec.read_module, query)


def module_logs(module: Module | str | int) -> Operation[list[str]]:
    """Read the last lines that a module wrote."""
    return _get("module_logs", "module/logs.json", codec.read_logs, _by_name("module", module, Module))


def proxy_list() -> Operation[list[Proxy]]:
    """Read the proxies."""
    return _get("proxy_list", "proxies.json", codec.read_proxies)


def proxy_get(proxy: Proxy | str | int) -> Operation[Proxy]:
    """Read a proxy."""
    return _get("proxy_get", "proxy.json", codec.read_proxy, _by_name("proxy", proxy, Proxy))


# ---------------------------------------------------------------------------------- masters, followers

_MASTER_TYPES = {
    "user": "user",
    "joule": "joule",
    "joule_node": "joule",
    "lumen": "lumen",
    "lumen_node": "lumen",
}


def master_type(given: Any) -> str:
    """The type of a master as a node takes it: ``"user"``, ``"joule"`` or ``"lumen"``.

    Raises:
        InvalidArgument: It is none of them.
    """
    known = _MASTER_TYPES.get(given.lower()) if isinstance(given, str) else None
    if known is None:
        raise InvalidArgument("master_type", f"{shorten(repr(given))} is none of {', '.join(_MASTER_TYPES)}")
    return known


def master_add(
    type: str,
    identifier: str,
    lumen_parameters: Mapping[str, Any] | None = None,
    api_key: str | None = None,
) -> Operation[Master]:
    """Let somebody control the node.

    Args:
        type: Of the master, see `master_type`.
        identifier: A user's name, or the URL or host of a node.
        lumen_parameters: What Lumen asks for.
        api_key: The key that a user is to have, of at least 32 characters; None for a new one.
    """
    kind = master_type(type)
    if api_key is not None and len(check_word("api_key", api_key)) < MIN_KEY:
        raise InvalidArgument("api_key", f"must have at least {MIN_KEY} characters")
    document = {
        "master_type": kind,
        "identifier": check_word("identifier", identifier),
        "lumen_params": lumen_parameters,
        "api_key": api_key,
    }
    return _send(
        "master_add",
        "POST",
        "master.json",
        write_json("lumen_parameters", document),
        lambda body: Master(kind, identifier, codec.read_master_key(body, kind)),
    )


def master_list() -> Operation[list[Master]]:
    """Read who may control the node."""
    return _get("master_list", "masters.json", codec.read_masters)


def master_delete(type: str, name: str) -> Operation[None]:
    """Let somebody control the node no longer."""
    query = (("name", check_word("name", name)), ("master_type", master_type(type)))
    return _delete("master_delete", "master.json", query)


def follower_list() -> Operation[list[Follower]]:
    """Read which nodes this node may control."""
    return _get("follower_list", "followers.json", codec.read_followers)


def follower_delete(name: str) -> Operation[None]:
    """Forget a node.

    **Nodes up to 1.0.1 forget every node they have**, and those before 1.0 even when the name is
    unknown: see `txbridge.joule.client.Node.follower_delete`.
    """
    return _delete("follower_delete", "follower.json", (("name", check_word("name", name)),))


# ----------------------------------------------------------------------------------- how verbs are made


def select_data_stream(stream: DataStreamLike) -> tuple[str, str | int]:
    """How a request names a data stream: ``("id", 5)`` or ``("path", "/folder/stream")``.

    Raises:
        InvalidArgument: It is none, or a path that a node would misunderstand.
    """
    return _address("stream", stream, DataStream, "DataStream, Path, or ID")


def _event_stream(stream: EventStreamLike) -> tuple[str, str | int]:
    return _address("stream", stream, EventStream, "EventStream, Path, or ID")


def _folder(argument: str, folder: FolderLike) -> tuple[str, str | int]:
    if folder == "/":
        return "path", "/"
    return _address(argument, folder, Folder, "Folder, Path, or ID")


def _address(argument: str, given: Any, kind: type, kinds: str) -> tuple[str, str | int]:
    if isinstance(given, kind):
        local: Any = given
        return "id", _own_id(argument, local.id)
    if isinstance(given, str):
        return "path", _path(argument, given)
    if isinstance(given, int) and not isinstance(given, bool):
        return "id", _id(argument, given)
    raise _neither(argument, given, kinds)


def _neither(argument: str, given: Any, kinds: str) -> InvalidArgument:
    return InvalidArgument(argument, f"invalid datatype {type(given).__name__}. Must be {kinds}")


def _own_id(argument: str, given: int | None) -> int:
    if given is None:
        raise InvalidArgument(argument, "this is a local model with no ID: read it from the node first")
    return _id(argument, given)


def _id(argument: str, given: int) -> int:
    if not 0 <= given <= MAX_ID:
        raise InvalidArgument(argument, f"must be an id, which is 0 to {MAX_ID}")
    return int(given)


def _ids(argument: str, given: Sequence[int | None]) -> str:
    return str([_own_id(f"{argument}[{number}]", one) for number, one in enumerate(given)])


def _path(argument: str, path: str) -> str:
    # Of a stream's path a node drops the first character whatever it is; at a folder's it fails.
    parts = path.split("/")
    if parts[0] != "" or len(parts) < 2:
        raise InvalidArgument(argument, f"{shorten(path)!r} does not begin with /")
    if not all(parts[1:]):
        raise InvalidArgument(argument, f"{shorten(path)!r} has an empty part, or a / at its end")
    return check_word(argument, path)


def _by_name(argument: str, given: Any, kind: type) -> Query:
    if isinstance(given, str):
        return (("name", check_word(argument, given)),)
    if isinstance(given, kind):
        local: Any = given
        return (("id", str(_own_id(argument, local.id))),)
    if isinstance(given, int) and not isinstance(given, bool):
        return (("id", str(_id(argument, given))),)
    raise _neither(argument, given, f"{kind.__name__}, Name, or ID")


def positive(argument: str, given: Any) -> int:
    if not isinstance(given, int) or isinstance(given, bool) or not 0 < given <= MAX_ID:
        raise InvalidArgument(argument, f"must be an integer from 1 to {MAX_ID}")
    return int(given)


def _query(address: tuple[str, str | int], prefix: str = "") -> Query:
    key, value = address
    return ((prefix + key, str(value)),)


def _journey(
    moved: tuple[str, str | int], destination: FolderLike, argument: str = "destination"
) -> dict[str, str | int]:
    key, value = moved
    return {f"src_{key}": value, **_destination(argument, destination)}


def _destination(argument: str, folder: FolderLike) -> dict[str, str | int]:
    key, value = _folder(argument, folder)
    return {f"dest_{key}": value}


def _span(start: int | None, end: int | None, *, inclusive: bool = False) -> Query:
    """The bounds of a request."""
    first = None if start is None else check_timestamp("start", start)
    last = None if end is None else check_timestamp("end", end)
    if first is not None and last is not None and (first > last if inclusive else first >= last):
        raise InvalidArgument("start", "[start] must be before [end]")
    return tuple((name, str(at)) for name, at in (("start", first), ("end", last)) if at is not None)


def _filter(json_filter: Filter) -> Query:
    written = codec.write_filter(json_filter)
    return () if written is None else (("filter", written),)


def _operation(
    name: str,
    method: str,
    resource: str,
    read: Callable[[Answer], T],
    query: Query = (),
    *,
    body: bytes | None = None,
    content_type: str = "application/json",
) -> Operation[T]:
    return Operation(
        name=name,
        method=method,
        path=tuple(resource.split("/")),
        read=read,
        query=query,
        headers={} if body is None else {"content-type": content_type},
        body=body,
        explain=codec.read_refusal,
        refine=refine,
    )


def _get(name: str, resource: str, read: Callable[[bytes], T], query: Query = ()) -> Operation[T]:
    return _operation(name, "GET", resource, lambda answer: read(answer.body), query)


def _send(name: str, method: str, resource: str, body: bytes, read: Callable[[bytes], T]) -> Operation[T]:
    return _operation(name, method, resource, lambda answer: read(answer.body), body=body)


def _create(
    name: str,
    resource: str,
    written: Mapping[str, Any],
    folder: FolderLike,
    read: Callable[[bytes], T],
) -> Operation[T]:
    body = write_json("stream", {"stream": written, **_destination("folder", folder)})
    return _send(name, "POST", resource, body, read)


def _put(name: str, resource: str, document: Mapping[str, Any], argument: str) -> Operation[None]:
    # What comes back is what was sent, under a key that is not always the right one.
    body = write_json(argument, document)
    return _operation(name, "PUT", resource, _changed, body=body)


def _changed(answer: Answer) -> None:
    codec.read_object(answer.body)


def _delete(name: str, resource: str, query: Query) -> Operation[None]:
    return _operation(name, "DELETE", resource, _done(name), query)


def _done(name: str) -> Callable[[Answer], None]:
    def read(answer: Answer) -> None:
        if answer.body.strip().lower() != b"ok":
            raise RemoteProtocolError(name, "the answer is not the ok that was due")

    return read
