"""Joule's JSON <-> its structures, and what its refusals say.

What a node answers is checked member by member: type, range, and how deep folders nest.  What
breaks the form is a `DecodeError` with a path such as ``children[0].streams[2].elements[1].name``.
Members that an older node leaves out, and flags that it sends as null, have their defaults; unknown
members are skipped.

What goes out is checked too, because a node answers with a traceback, or misunderstands, where a
caller would want a reason.  The error is `InvalidArgument`.

Source: Joule 1.0.1 and 0.9.42, ``to_json`` and ``from_json`` of the models.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from math import isfinite
from operator import index
from typing import Any, TypeVar

from txbridge.codecs.json_answer import JsonObject, json_kind, json_object, json_objects, read_json
from txbridge.errors import DecodeError
from txbridge.joule.errors import InvalidArgument
from txbridge.joule.structures import (
    Annotation,
    AnnotationInfo,
    ConnectionInfo,
    DataStream,
    DataStreamInfo,
    Element,
    Event,
    EventStream,
    EventStreamInfo,
    Folder,
    Follower,
    ImportLogger,
    ImportMessage,
    Master,
    Module,
    ModuleStatistics,
    NodeVersion,
    Proxy,
    StorageInfo,
)
from txbridge.model.instants import shorten
from txbridge.net.operation import Answer

__all__ = [
    "check_timestamp",
    "check_word",
    "chunk_duration_us",
    "read_annotation",
    "read_annotation_info",
    "read_annotations",
    "read_connection_info",
    "read_consolidated",
    "read_count",
    "read_data_stream",
    "read_event_page",
    "read_event_stream",
    "read_folder",
    "read_followers",
    "read_import_log",
    "read_intervals",
    "read_logs",
    "read_master_key",
    "read_masters",
    "read_module",
    "read_modules",
    "read_object",
    "read_proxies",
    "read_proxy",
    "read_refusal",
    "read_storage",
    "read_version",
    "write_annotation",
    "write_data_stream",
    "write_event",
    "write_event_stream",
    "write_filter",
    "write_folder",
    "write_json",
]

T = TypeVar("T")

FORMAT = "json"

MAX_FOLDER_DEPTH = 64
"""How deep folders may nest in an answer.  A node has no limit; people stop before ten."""

MAX_JSON_DEPTH = 2 * MAX_FOLDER_DEPTH + 16  # a folder is an object in an array; below, a stream's elements

MAX_REQUEST = 1 << 20
"""Bytes of a JSON request that a node accepts: aiohttp's default."""

MAX_REFUSAL = 64 << 10
"""Bytes of an error's body that are looked at; a traceback has about 10 000."""

MAX_REASON = 1000
"""Characters of an error's reason that are kept."""

FIRST_TIMESTAMP = -62_135_596_800_000_000
"""The first microsecond of the year 1: before it a node fails."""

LAST_TIMESTAMP = 253_402_300_799_999_999
"""The last microsecond of the year 9999: after it a node fails."""

_DISPLAY_TYPES = ("continuous", "discrete", "event")
_DATATYPES = ("float64", "float32", "int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8")

# ------------------------------------------------------------------------------------------ reading


def _document(body: bytes) -> Any:
    return read_json(body, "a Joule node", MAX_JSON_DEPTH)


def _array(body: bytes) -> list[Any]:
    document = _document(body)
    if not isinstance(document, list):
        raise DecodeError(FORMAT, "", f"must be an array, not {json_kind(document)}")
    return document


def read_object(body: bytes) -> dict[str, Any]:
    """Read an object of which nothing matters, or which is only passed on."""
    return dict(json_object(_document(body)).members)


def read_folder(body: bytes) -> Folder:
    """Read a folder with everything in it.

    Raises:
        DecodeError: It is something else, or nests deeper than `MAX_FOLDER_DEPTH`.
    """
    return _folder(json_object(_document(body)), MAX_FOLDER_DEPTH)


def _folder(found: JsonObject, depth: int) -> Folder:
    if not depth:
        raise DecodeError(FORMAT, shorten(found.path), f"folders nest deeper than {MAX_FOLDER_DEPTH}")
    active = found.members.get("active_data_streams") or []
    if not isinstance(active, list) or any(type(one) is not int for one in active):
        raise DecodeError(FORMAT, found.at("active_data_streams"), "must be an array of integers")
    return Folder(
        found.text("name"),
        id=found.integer("id"),
        description=found.maybe_text("description"),
        locked=found.flag("locked"),
        children=[_folder(child, depth - 1) for child in found.items("children")],
        data_streams=[_data_stream(stream) for stream in found.items("streams")],
        event_streams=[_event_stream(stream) for stream in found.maybe_items("event_streams")],
        updated_at=found.instant("updated_at"),
        active_data_streams=active,
    )


def read_data_stream(body: bytes) -> DataStream:
    """Read a data stream."""
    return _data_stream(json_object(_document(body)))


def _data_stream(found: JsonObject) -> DataStream:
    info = found.maybe_member("data_info")
    return DataStream(
        found.text("name"),
        found.maybe_text("description"),
        found.text("datatype").lower(),
        found.integer("keep_us"),
        [_element(element) for element in found.items("elements")],
        id=found.integer("id"),
        is_configured=found.flag("is_configured"),
        is_source=found.flag("is_source"),
        is_destination=found.flag("is_destination"),
        locked=found.flag("locked"),
        active=found.flag("active"),
        decimate=found.flag("decimate", True),
        updated_at=found.instant("updated_at"),
        data_info=None if info is None else _data_info(info),
    )


def _element(found: JsonObject) -> Element:
    return Element(
        found.text("name"),
        found.maybe_text("units"),
        found.flag("plottable", True),
        found.text("display_type"),
        id=found.integer("id"),
        index=found.integer("index"),
        offset=found.number("offset"),
        scale_factor=found.number("scale_factor"),
        default_max=found.maybe_number("default_max"),
        default_min=found.maybe_number("default_min"),
    )


def _data_info(found: JsonObject) -> DataStreamInfo:
    return DataStreamInfo(
        found.maybe_integer("start"),
        found.maybe_integer("end"),
        found.integer("rows"),
        found.maybe_integer("total_time") or 0,
        found.maybe_integer("bytes") or 0,
    )


def read_event_stream(body: bytes) -> EventStream:
    """Read an event stream."""
    return _event_stream(json_object(_document(body)))


def _event_stream(found: JsonObject) -> EventStream:
    info = found.maybe_member("data_info")
    keep = found.maybe_integer("keep_us")
    return EventStream(
        found.text("name"),
        found.maybe_text("description"),
        chunk_duration_us=found.maybe_integer("chunk_duration_us") or 0,
        keep_us=-1 if keep is None else keep,
        event_fields=found.texts("event_fields"),
        id=found.integer("id"),
        updated_at=found.instant("updated_at"),
        data_info=None if info is None else _event_info(info),
    )


def _event_info(found: JsonObject) -> EventStreamInfo:
    return EventStreamInfo(
        found.maybe_integer("start"),
        found.maybe_integer("end"),
        found.integer("event_count"),
        found.maybe_integer("total_time") or 0,
        found.maybe_integer("bytes") or 0,
    )


def read_event_page(body: bytes, node_uuid: str | None = None) -> list[Event]:
    """Read events.

    Args:
        body: The answer.
        node_uuid: The node they come from.

    Raises:
        DecodeError: It is something else, a histogram above all.
    """
    page = json_object(_document(body))
    if page.members.get("type") == "histogram":
        raise DecodeError(FORMAT, "type", "is a histogram where events were asked for")
    return [
        Event(
            found.integer("start_time"),
            found.maybe_integer("end_time"),
            dict(found.member("content").members),
            found.integer("id"),
            found.maybe_integer("event_stream_id"),
            node_uuid,
        )
        for found in page.items("events")
    ]


def read_count(body: bytes) -> int:
    """Read how many events there are."""
    return json_object(_document(body)).integer("count")


def read_consolidated(body: bytes) -> int:
    """Read how many breaks were taken away."""
    return json_object(_document(body)).integer("num_consolidated")


def read_intervals(body: bytes) -> list[list[int]]:
    """Read the spans of time that a stream has data for."""
    intervals = _array(body)
    for number, interval in enumerate(intervals):
        if not (
            isinstance(interval, list) and len(interval) == 2 and all(type(one) is int for one in interval)
        ):
            raise DecodeError(FORMAT, f"[{number}]", "must be an array of two integers")
    return intervals


def read_annotation(body: bytes) -> Annotation:
    """Read an annotation."""
    return _annotation(json_object(_document(body)))


def read_annotations(body: bytes) -> list[Annotation]:
    """Read annotations."""
    return [_annotation(found) for found in json_objects(_array(body), "")]


def _annotation(found: JsonObject) -> Annotation:
    return Annotation(
        found.text("title"),
        found.integer("start"),
        found.maybe_integer("end"),
        found.maybe_text("content"),
        id=found.integer("id"),
        stream_id=found.maybe_integer("stream_id"),
    )


def read_annotation_info(body: bytes) -> AnnotationInfo:
    """Read how many annotations there are."""
    found = json_object(_document(body))
    return AnnotationInfo(found.maybe_integer("start"), found.maybe_integer("end"), found.integer("count"))


def read_module(body: bytes) -> Module:
    """Read a module."""
    return _module(json_object(_document(body)))


def read_modules(body: bytes) -> list[Module]:
    """Read modules."""
    return [_module(found) for found in json_objects(_array(body), "")]


def _module(found: JsonObject) -> Module:
    cost = found.maybe_member("statistics")
    return Module(
        found.integer("id"),
        found.text("name"),
        found.maybe_text("description"),
        found.flag("is_app"),
        found.texts("inputs"),
        found.texts("outputs"),
        None
        if cost is None
        else ModuleStatistics(
            cost.maybe_integer("pid"),
            cost.maybe_number("create_time"),
            cost.maybe_number("cpu_percent"),
            cost.maybe_number("memory_percent"),
        ),
    )


def read_logs(body: bytes) -> list[str]:
    """Read what a module wrote."""
    lines = _array(body)
    for number, line in enumerate(lines):
        if not isinstance(line, str):
            raise DecodeError(FORMAT, f"[{number}]", f"must be text, not {json_kind(line)}")
    return lines


def read_proxy(body: bytes) -> Proxy:
    """Read a proxy."""
    return _proxy(json_object(_document(body)))


def read_proxies(body: bytes) -> list[Proxy]:
    """Read proxies."""
    return [_proxy(found) for found in json_objects(_array(body), "")]


def _proxy(found: JsonObject) -> Proxy:
    return Proxy(found.integer("id"), found.text("name"), found.text("url"))


def read_masters(body: bytes) -> list[Master]:
    """Read masters; their types are written as a caller writes them."""
    return [
        Master(
            found.text("type").lower().removesuffix("_node"),
            found.text("name"),
            id=found.maybe_integer("id"),
            grantor_id=found.maybe_integer("grantor_id"),
        )
        for found in json_objects(_array(body), "")
    ]


def read_master_key(body: bytes, kind: str = "user") -> str | None:
    """Read the key of a master that was just made; only a ``"user"`` gets one that can be told."""
    found = json_object(_document(body))
    return found.text("key") if kind == "user" else None


def read_followers(body: bytes) -> list[Follower]:
    """Read followers."""
    return [
        Follower(found.text("name"), found.text("location"), found.text("key"), id=found.maybe_integer("id"))
        for found in json_objects(_array(body), "")
    ]


def read_version(body: bytes) -> NodeVersion:
    """Read which node this is."""
    found = json_object(_document(body))
    return NodeVersion(found.text("version"), found.text("name"), found.maybe_text("uuid"))


def read_storage(body: bytes) -> StorageInfo:
    """Read where a node's database is."""
    found = json_object(_document(body))
    return StorageInfo(
        found.text("path"),
        found.integer("reserved"),
        found.integer("other"),
        found.integer("free"),
        found.integer("size"),
    )


def read_connection_info(body: bytes) -> ConnectionInfo:
    """Read how to reach a node's database."""
    found = json_object(_document(body))
    return ConnectionInfo(
        found.text("username"),
        found.text("password"),
        found.integer("port"),
        found.text("database"),
        found.text("host"),
        found.maybe_text("nilmdb_url"),
    )


def read_import_log(body: bytes) -> ImportLogger:
    """Read what the import of an archive said."""
    found = json_object(_document(body))

    def lines(name: str) -> list[ImportMessage]:
        return [
            ImportMessage(
                line.text("message"),
                line.maybe_text("source_label"),
                line.maybe_text("destination"),
                line.maybe_text("target_type"),
            )
            for line in found.items(name)
        ]

    return ImportLogger(lines("info"), lines("warnings"), lines("errors"))


# ----------------------------------------------------------------------------------------- refusals

_STATUS = re.compile(r"\d{3}: ")
_PAGE = re.compile(r"<(!doctype|html|\?xml)\b", re.IGNORECASE)


def read_refusal(answer: Answer) -> tuple[str, str]:
    """The explanation of a refusal; Joule gives no titles.  Never fails.

    Nodes since 0.11 repeat the status before the message, older ones do not; either reads the same.
    Of a traceback only what was raised is kept, and of an HTML page, which is some proxy's, nothing.
    """
    if len(answer.body) > MAX_REFUSAL or "html" in answer.headers.get("content-type", "").lower():
        return "", ""
    text = answer.body.decode("utf-8", "replace").strip()
    if _PAGE.match(text):
        return "", ""
    if text[:1] == "{":
        text = _error_member(text)
    _, traceback, frames = text.rpartition("Traceback (most recent call last):")
    if traceback:
        raised = [line for line in frames.splitlines() if line.strip() and not line[0].isspace()]
        text = raised[0] if raised else ""
    text = _STATUS.sub("", text, count=1) if _STATUS.match(text) else text
    printable = "".join(character if character.isprintable() else " " for character in text)
    return "", shorten(" ".join(printable.split()), MAX_REASON)


def _error_member(text: str) -> str:
    try:
        said = json.loads(text).get("error")
    except (ValueError, RecursionError):
        return ""
    return said if isinstance(said, str) else ""


# ------------------------------------------------------------------------------------------ writing


_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def write_json(path: str, document: Any) -> bytes:
    """Write a request's body.

    Args:
        path: The argument that it comes from, for errors.
        document: What to write.

    Raises:
        InvalidArgument: JSON cannot carry it, or it is larger than a node accepts.
    """
    try:
        text = json.dumps(document, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        body = text.encode("utf-8")
    except UnicodeEncodeError:
        raise InvalidArgument(path, "has half of a surrogate pair in it") from None
    except (TypeError, ValueError, RecursionError) as error:
        # an infinite number, an object inside itself, or one that JSON has no form for
        raise InvalidArgument(path, f"cannot be written as JSON: {shorten(str(error))}") from None
    if _NUL.search(text):
        raise InvalidArgument(path, "has a NUL character, which the node's database cannot store")
    if len(body) > MAX_REQUEST:
        raise InvalidArgument(path, f"is {len(body)} bytes as JSON; a node accepts {MAX_REQUEST}")
    return body


def check_timestamp(name: str, value: Any) -> int:
    """Read a timestamp that a caller gives: whole microseconds, in the years that a node knows.

    A float is accepted when it is a whole number: ``time_now() - 1e6`` is one.

    Raises:
        InvalidArgument: It is something else.
    """
    whole = _whole(name, value, "microseconds since 1970")
    if not FIRST_TIMESTAMP <= whole <= LAST_TIMESTAMP:
        raise InvalidArgument(name, f"{whole} is not in the years 1 to 9999, in microseconds since 1970")
    return whole


def _whole(name: str, value: Any, unit: str) -> int:
    if isinstance(value, bool):
        raise InvalidArgument(name, f"must be whole {unit}, not {value}")
    if isinstance(value, float) and not value.is_integer():
        raise InvalidArgument(name, f"must be whole {unit}, not {value}")
    try:
        whole = int(value) if isinstance(value, float) else index(value)
    except TypeError:
        raise InvalidArgument(name, f"must be whole {unit}, not a {type(value).__name__}") from None
    if not -(1 << 63) <= whole < 1 << 63:
        raise InvalidArgument(name, f"must be whole {unit}, in 64 bits")
    return whole


def _integer(name: str, value: Any, lowest: int) -> int:
    whole = _whole(name, value, "microseconds")
    if whole < lowest:
        raise InvalidArgument(name, f"{whole} is not {lowest} or more")
    return whole


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidArgument(name, f"must be text, not a {type(value).__name__}")
    if "\0" in value or not _is_unicode(value):
        raise InvalidArgument(name, "has a character that the node's database cannot store")
    return value


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _maybe_text(name: str, value: Any) -> str | None:
    return None if value is None else _text(name, value)


def check_word(name: str, value: Any) -> str:
    """Read text that a caller gives where a node takes no empty one.

    Raises:
        InvalidArgument: It is empty, something else, or has a character that a node cannot store.
    """
    text = _text(name, value)
    if not text:
        raise InvalidArgument(name, "must not be empty")
    return text


def _name(name: str, value: Any) -> str:
    text = check_word(name, value)
    if "/" in text:
        raise InvalidArgument(name, f"{shorten(text)!r} has a slash in it")
    return text


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool):
        raise InvalidArgument(name, f"must be a number, not {value}")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise InvalidArgument(name, f"must be a number, not {shorten(repr(value))}") from None
    if not isfinite(number):
        raise InvalidArgument(name, f"must be a number, not {number}")
    return number


def _maybe_number(name: str, value: Any) -> float | None:
    return None if value is None else _number(name, value)


def write_folder(folder: Folder) -> dict[str, Any]:
    """Write what can be changed of a folder.

    Raises:
        InvalidArgument: The node would not take it.
    """
    if not isinstance(folder, Folder):
        raise InvalidArgument("folder", f"must be a Folder, not a {type(folder).__name__}")
    return {
        "name": _name("folder.name", folder.name),
        "description": _maybe_text("folder.description", folder.description),
    }


def write_data_stream(stream: DataStream, *, is_new: bool) -> dict[str, Any]:
    """Write a data stream for a request.

    Args:
        stream: What to write.
        is_new: It is to be created; otherwise only what can be changed is written.

    Raises:
        InvalidArgument: The node would not take it.
    """
    if not isinstance(stream, DataStream):
        raise InvalidArgument("stream", f"must be a DataStream, not a {type(stream).__name__}")
    if not stream.elements:
        raise InvalidArgument("stream.elements", "must have at least one element")
    elements = [
        _write_element(element, f"stream.elements[{at}]") for at, element in enumerate(stream.elements)
    ]
    names = [element["name"] for element in elements]
    if len(set(names)) != len(names):
        raise InvalidArgument("stream.elements", "must not have two elements of one name")
    written: dict[str, Any] = {
        "name": _name("stream.name", stream.name),
        "description": _maybe_text("stream.description", stream.description),
        "keep_us": _integer("stream.keep_us", stream.keep_us, -1),
        "decimate": bool(stream.decimate),
        "elements": elements,
    }
    if is_new:
        datatype = _text("stream.datatype", stream.datatype).lower()
        if datatype not in _DATATYPES:
            raise InvalidArgument(
                "stream.datatype", f"{shorten(datatype)!r} is none of {', '.join(_DATATYPES)}"
            )
        # every member is asked for, although these are set by the node
        written |= {"id": None, "datatype": datatype, "is_configured": False}
        written |= {"is_source": False, "is_destination": False}
    return written


def _write_element(element: Element, path: str) -> dict[str, Any]:
    if not isinstance(element, Element):
        raise InvalidArgument(path, f"must be an Element, not a {type(element).__name__}")
    display_type = _text(f"{path}.display_type", element.display_type)
    if display_type.lower() not in _DISPLAY_TYPES:
        raise InvalidArgument(
            f"{path}.display_type", f"{shorten(display_type)!r} is none of {', '.join(_DISPLAY_TYPES)}"
        )
    return {
        "id": None,
        "index": None,
        "name": check_word(f"{path}.name", element.name),
        "units": _maybe_text(f"{path}.units", element.units),
        "plottable": bool(element.plottable),
        "display_type": display_type,
        "offset": _number(f"{path}.offset", element.offset),
        "scale_factor": _number(f"{path}.scale_factor", element.scale_factor),
        "default_max": _maybe_number(f"{path}.default_max", element.default_max),
        "default_min": _maybe_number(f"{path}.default_min", element.default_min),
    }


_DURATION = re.compile(r"(\d{1,6})([hdwmy])")
_HOUR = 3_600_000_000
_DURATIONS = {"h": _HOUR, "d": 24 * _HOUR, "w": 168 * _HOUR, "m": 28 * 24 * _HOUR, "y": 365 * 24 * _HOUR}


def chunk_duration_us(stream: EventStream) -> int:
    """What an event stream says about the length of its chunks, in microseconds; 0 for no chunks.

    Raises:
        InvalidArgument: It says it twice, or not in one of the known ways.
    """
    said: Any = stream.chunk_duration
    if stream.chunk_duration_us is not None:
        if said != "":
            raise InvalidArgument(
                "stream.chunk_duration", "is given twice: specify chunk_duration or chunk_duration_us"
            )
        return _integer("stream.chunk_duration_us", stream.chunk_duration_us, 0)
    if isinstance(said, str):
        found = _DURATION.fullmatch(said)
        if found is not None and int(found[1]) > 0:
            return int(found[1]) * _DURATIONS[found[2]]
        if not said:
            return 0
        if not (said.isascii() and said.isdigit() and len(said) < 20):
            raise InvalidArgument(
                "stream.chunk_duration", f"{shorten(said)!r} is not like 1w (h, d, w, m, y)"
            )
        said = int(said)
    return _integer("stream.chunk_duration", said, 0)


def write_event_stream(stream: EventStream, *, is_new: bool) -> dict[str, Any]:
    """Write an event stream for a request.

    Args:
        stream: What to write.
        is_new: It is to be created.

    Raises:
        InvalidArgument: The node would not take it.
    """
    if not isinstance(stream, EventStream):
        raise InvalidArgument("stream", f"must be an EventStream, not a {type(stream).__name__}")
    written: dict[str, Any] = {
        "name": _name("stream.name", stream.name),
        "description": _maybe_text("stream.description", stream.description),
        "event_fields": _write_event_fields(stream.event_fields),
        "chunk_duration_us": chunk_duration_us(stream),
        "keep_us": _integer("stream.keep_us", stream.keep_us, -1),
    }
    return {"id": None, **written} if is_new else written


def _write_event_fields(fields: Any) -> dict[str, str]:
    if not isinstance(fields, dict):
        raise InvalidArgument("stream.event_fields", f"must be a dict, not a {type(fields).__name__}")
    for name, kind in fields.items():
        path = f"stream.event_fields[{shorten(repr(name))}]"
        _text(path, name)
        if _text(path, kind) not in ("string", "numeric") and not _are_categories(kind):
            raise InvalidArgument(path, f'{shorten(kind)!r} is not string, numeric or category:["a","b"]')
    return dict(fields)


def _are_categories(kind: str) -> bool:
    # The node splits at every colon, so a category with one in it would be cut.
    word, _, listed = kind.partition(":")
    if word != "category" or ":" in listed:
        return False
    try:
        categories = json.loads(listed)
    except (ValueError, RecursionError):
        return False
    return (
        isinstance(categories, list) and bool(categories) and all(isinstance(one, str) for one in categories)
    )


def write_event(event: Event, path: str, *, node_uuid: str, stream_id: int | None) -> bytes:
    """Encode an event for a request.

    Args:
        event: What to write; its id only if it comes from where it goes to.  Elsewhere it is another's.
        path: The argument, for errors.
        node_uuid: The node that it goes to.
        stream_id: The stream that it goes to; None if no event has an id.

    Raises:
        InvalidArgument: The node would fail at it.
    """
    if not isinstance(event, Event):
        raise InvalidArgument(path, f"must be an Event, not a {type(event).__name__}")
    start = check_timestamp(f"{path}.start_time", event.start_time)
    if event.end_time is None:
        raise InvalidArgument(f"{path}.end_time", "must be given: a node takes no event without an end")
    end = check_timestamp(f"{path}.end_time", event.end_time)
    if end <= start:
        raise InvalidArgument(f"{path}.end_time", f"{end} is not after start_time {start}")
    if not isinstance(event.content, dict):
        raise InvalidArgument(f"{path}.content", f"must be a dict, not a {type(event.content).__name__}")
    is_known = event.id is not None and (event.node_uuid, event.event_stream_id) == (node_uuid, stream_id)
    document = {
        "id": event.id if is_known else None,
        "event_stream_id": stream_id if is_known else None,
        "start_time": start,
        "end_time": end,
        "content": event.content,
    }
    return write_json(f"{path}.content", document)


def write_annotation(annotation: Annotation, *, is_new: bool) -> dict[str, Any]:
    """Write an annotation for a request.

    Args:
        annotation: What to write.
        is_new: It is to be created; otherwise only its words are written, which can be changed.

    Raises:
        InvalidArgument: The node would not take it.
    """
    if not isinstance(annotation, Annotation):
        raise InvalidArgument("annotation", f"must be an Annotation, not a {type(annotation).__name__}")
    written: dict[str, Any] = {
        "title": check_word("annotation.title", annotation.title),
        "content": _maybe_text("annotation.content", annotation.content),
    }
    if is_new:
        written["start"] = start = check_timestamp("annotation.start", annotation.start)
        written["end"] = None
        if annotation.end is not None:
            written["end"] = end = check_timestamp("annotation.end", annotation.end)
            if end <= start:
                raise InvalidArgument("annotation.end", f"{end} is not after start {start}")
    return written


def _is_numeric(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return False
    try:
        return isfinite(float(value))
    except (ValueError, OverflowError):
        return False


_COMPARISONS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(("is", "not", "like", "unlike"), (lambda value: isinstance(value, str), "text")),
    **dict.fromkeys(("gt", "gte", "lt", "lte", "eq", "neq"), (_is_numeric, "a number")),
}


def write_filter(json_filter: Any) -> str | None:
    """Write a filter of events.

    Args:
        json_filter: A list (any of) of lists (all of) of ``[key, comparison, value]``, or the JSON text
            of one.  Nothing, an empty list or an empty text is no filter.

    Returns:
        Its JSON; None for no filter.

    Raises:
        InvalidArgument: It is something else; the path says where.
    """
    name = "json_filter"
    if isinstance(json_filter, str) and json_filter.strip():
        try:
            json_filter = json.loads(json_filter)
        except (ValueError, RecursionError) as error:
            raise InvalidArgument(name, f"is not JSON: {shorten(str(error))}") from None
    elif json_filter is None or json_filter == "" or isinstance(json_filter, str):
        return None
    if not isinstance(json_filter, (list, tuple)):
        raise InvalidArgument(name, "must be a list of lists of [key, comparison, value]")
    if not json_filter:
        return None
    for outer, group in enumerate(json_filter):
        if not isinstance(group, (list, tuple)) or not group:
            raise InvalidArgument(
                f"{name}[{outer}]", "must be a list of at least one [key, comparison, value]"
            )
        for inner, clause in enumerate(group):
            _check_clause(clause, f"{name}[{outer}][{inner}]")
    return write_json(name, json_filter).decode("ascii")


def _check_clause(clause: Any, path: str) -> None:
    if not isinstance(clause, (list, tuple)) or len(clause) != 3:
        raise InvalidArgument(path, "must be [key, comparison, value]")
    key, comparison, value = clause
    _text(f"{path}[0]", key)
    known = _COMPARISONS.get(comparison) if isinstance(comparison, str) else None
    if known is None:
        raise InvalidArgument(
            f"{path}[1]", f"{shorten(repr(comparison))} is none of {', '.join(_COMPARISONS)}"
        )
    fits, what = known
    if not fits(value):
        raise InvalidArgument(f"{path}[2]", f"must be {what} for {comparison}, not {shorten(repr(value))}")
