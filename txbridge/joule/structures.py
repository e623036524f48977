"""What a Joule node holds: folders of data streams and event streams, and what runs beside them.

The names, the arguments and the way they show themselves are those of Joule's own client.  What a
person makes takes the documented arguments; what only a node sets (ids, flags, infos) is None or
False until a node has answered.

Timestamps are whole microseconds since 1970 in UTC, as everywhere on this platform.

Source: Joule API reference, "Models".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from attrs import define, field

__all__ = [
    "Annotation",
    "AnnotationInfo",
    "ConnectionInfo",
    "DataStream",
    "DataStreamInfo",
    "Element",
    "Event",
    "EventStream",
    "EventStreamInfo",
    "Folder",
    "Follower",
    "ImportLogger",
    "ImportMessage",
    "Master",
    "Module",
    "ModuleStatistics",
    "NodeInfo",
    "NodeVersion",
    "Proxy",
    "StorageInfo",
]

KEEP_ALL = -1
"""A ``keep_us`` that keeps everything."""

KEEP_NONE = 0
"""A ``keep_us`` that keeps nothing."""


def _elements(given: Iterable[Element] | None) -> list[Element]:
    return [] if given is None else list(given)


def _fields(given: Mapping[str, str] | None) -> dict[str, str]:
    return {} if given is None else dict(given)


def _whole(given: Any) -> Any:
    """``time_now() - 1e6`` is a float; one that is no whole number is refused when it is sent."""
    return int(given) if isinstance(given, float) and given.is_integer() else given


def _content(given: Any) -> Any:
    return {} if given is None else given


@define(repr=False)
class Element:
    """One column of a data stream.

    Attributes:
        name: Unique in the stream.
        units: Of measurement, any text.
        plottable: Whether Lumen offers to plot it.
        display_type: ``"continuous"``, ``"discrete"`` or ``"event"``; a node answers in upper case.
        id: Given by the node.
        index: Which column, from 0; when a stream is created its place in the list decides.
        offset: Lumen shows ``(x - offset) * scale_factor``; data is never changed by it.
        scale_factor: See ``offset``.
        default_max: Upper end of a plot's scale; None for automatic.
        default_min: Lower end.
    """

    name: str = ""
    units: str | None = ""
    plottable: bool = True
    display_type: str = "continuous"
    id: int | None = field(default=None, kw_only=True)
    index: int | None = field(default=None, kw_only=True)
    offset: float = field(default=0.0, kw_only=True)
    scale_factor: float = field(default=1.0, kw_only=True)
    default_max: float | None = field(default=None, kw_only=True)
    default_min: float | None = field(default=None, kw_only=True)

    def __repr__(self) -> str:
        return (
            f"<joule.api.Element id={self.id!r} index={self.index!r}, name={self.name!r} "
            f"units={self.units!r} plottable={self.plottable!r} display_type={self.display_type!r}>"
        )


@define(repr=False)
class DataStreamInfo:
    """How much a data stream holds.

    Attributes:
        start: When its first row is; None when it has none.
        end: When its last row is.
        rows: About how many rows there are: exact only for short streams and undecimated ones.
        total_time: ``end - start``.
        bytes: About how much room its decimated copies take.
    """

    start: int | None
    end: int | None
    rows: int
    total_time: int = 0
    bytes: int = 0

    def __repr__(self) -> str:
        return (
            f"<joule.api.DataStreamInfo start={self.start!r} end={self.end!r} "
            f"rows={self.rows!r}, total_time={self.total_time!r}>"
        )


@define(repr=False)
class DataStream:
    """Rows of numbers of one type.

    Attributes:
        name: Unique in its folder, event streams included.
        description: Any text; None in streams that a module made.
        datatype: ``"float64"``, ``"float32"``, ``"int64"``, ``"int32"`` or ``"int16"``.
        keep_us: How long data is kept: microseconds, -1 for ever, 0 not at all.
        elements: The columns.
        id: Given by the node.
        is_configured: A file of the node's configuration defines it.
        is_source: A module reads it.
        is_destination: A module, or somebody's open write, writes it.
        locked: Any of the three: it can be neither changed, moved nor deleted.
        active: It is source or destination.
        decimate: Decimated copies are kept for plots.
        updated_at: When its definition last changed.
        data_info: How much it holds, where that was asked for.
    """

    name: str = ""
    description: str | None = ""
    datatype: str = "float32"
    keep_us: int = KEEP_ALL
    elements: list[Element] = field(factory=list, converter=_elements)
    id: int | None = field(default=None, kw_only=True)
    is_configured: bool = field(default=False, kw_only=True)
    is_source: bool = field(default=False, kw_only=True)
    is_destination: bool = field(default=False, kw_only=True)
    locked: bool = field(default=False, kw_only=True)
    active: bool = field(default=False, kw_only=True)
    decimate: bool = field(default=True, kw_only=True)
    updated_at: datetime | None = field(default=None, kw_only=True)
    data_info: DataStreamInfo | None = field(default=None, kw_only=True)

    @property
    def layout(self) -> str:
        """The data type and the number of columns, such as ``"float32_8"``."""
        return f"{self.datatype.lower()}_{len(self.elements)}"

    def __repr__(self) -> str:
        return (
            f"<joule.api.DataStream id={self.id!r} name={self.name!r} description={self.description!r} "
            f"datatype={self.datatype!r} is_configured={self.is_configured!r} is_source={self.is_source!r} "
            f"is_destination={self.is_destination!r} locked={self.locked!r} decimate={self.decimate!r}>"
        )


@define(repr=False)
class EventStreamInfo:
    """How much an event stream holds.

    Attributes:
        start: When its first event begins; None when it has none.
        end: When the last one ends.
        event_count: How many events there are.
        total_time: ``end - start``.
        bytes: Always 0 today.
    """

    start: int | None
    end: int | None
    event_count: int
    total_time: int = 0
    bytes: int = 0

    @property
    def events(self) -> int:
        """``event_count``, by its older name."""
        return self.event_count

    def __repr__(self) -> str:
        return (
            f"<joule.api.EventStreamInfo start={self.start!r} end={self.end!r} "
            f"events={self.event_count!r}, total_time={self.total_time!r}>"
        )


@define(repr=False)
class EventStream:
    """A stream of events: spans of time with a content of any shape.

    Attributes:
        name: Unique in its folder, data streams included.
        description: Any text.
        chunk_duration: How long the chunks of its table are, as ``"2h"``, ``"1d"``, ``"1w"``, ``"1m"``
            (28 days) or ``"1y"``; read when the stream is sent, and empty in what a node answers.
        chunk_duration_us: The same in microseconds; None for what ``chunk_duration`` says.
        keep_us: How long events are kept: microseconds, or -1 for ever.
        event_fields: Field of the content -> ``"string"``, ``"numeric"`` or
            ``'category:["a","b"]'``; what plots use, not enforced.
        id: Given by the node.
        updated_at: When its definition last changed.
        data_info: How much it holds, where that was asked for.
    """

    name: str = ""
    description: str | None = ""
    chunk_duration: str | int = ""
    chunk_duration_us: int | None = None
    keep_us: int = KEEP_ALL
    event_fields: dict[str, str] = field(factory=dict, converter=_fields)
    id: int | None = field(default=None, kw_only=True)
    updated_at: datetime | None = field(default=None, kw_only=True)
    data_info: EventStreamInfo | None = field(default=None, kw_only=True)

    def __repr__(self) -> str:
        return f"<joule.api.EventStream id={self.id!r} name={self.name!r} description={self.description!r}>"


@define(repr=False)
class Event:
    """One event.  Two are equal when they span the same time and say the same.

    Attributes:
        start_time: When it begins.
        end_time: When it ends, which is later; only nodes before 1.0 know events without an end.
        content: What it says, as JSON can carry it.
        id: Given by the node, unique in its stream.
        event_stream_id: The stream it was read from or written to.
        node_uuid: The node it was read from or written to.  Its id means something only there, and
            is sent nowhere else.
    """

    start_time: int = field(converter=_whole)
    end_time: int | None = field(default=None, converter=_whole)
    content: dict[str, Any] = field(factory=dict, converter=_content)
    id: int | None = field(default=None, eq=False)
    event_stream_id: int | None = field(default=None, eq=False)
    node_uuid: str | None = field(default=None, eq=False)

    def __repr__(self) -> str:
        content = json.dumps(self.content, default=repr)
        if len(content) > 20:
            content = content[:20] + " ...}"
        return (
            f"<joule.api.Event id: {self.id!r} start_time: {self.start_time!r}, "
            f"end_time: {self.end_time!r}, content: {content}>"
        )


@define(repr=False)
class Folder:
    """A folder.

    Attributes:
        name: Unique in its parent.
        description: Any text.
        id: Given by the node.
        locked: It is the root, or holds a locked stream at any depth.
        children: The folders in it.
        data_streams: The data streams in it.
        event_streams: The event streams in it.
        updated_at: When anything in it last changed.
        active_data_streams: Of the root: the ids of all streams that are read or written now.
    """

    name: str = ""
    description: str | None = field(default=None, kw_only=True)
    id: int | None = field(default=None, kw_only=True)
    locked: bool = field(default=False, kw_only=True)
    children: list[Folder] = field(factory=list, kw_only=True)
    data_streams: list[DataStream] = field(factory=list, kw_only=True)
    event_streams: list[EventStream] = field(factory=list, kw_only=True)
    updated_at: datetime | None = field(default=None, kw_only=True)
    active_data_streams: list[int] = field(factory=list, kw_only=True)

    def __repr__(self) -> str:
        return (
            f"<joule.api.Folder id={self.id!r} name={self.name!r} description={self.description!r} "
            f"locked={self.locked!r}>"
        )


@define
class Annotation:
    """A note on a data stream, at an instant or over a span.

    Attributes:
        title: A few words; not empty.
        start: When.
        end: The end of a span; None for an instant.
        content: More words.
        id: Given by the node.
        stream_id: The stream it is on.
    """

    title: str
    start: int = field(converter=_whole)
    end: int | None = field(default=None, converter=_whole)
    content: str | None = ""
    id: int | None = field(default=None, kw_only=True, eq=False)
    stream_id: int | None = field(default=None, kw_only=True, eq=False)

    @property
    def name(self) -> str:
        """The title, as an example of the API reference calls it."""
        return self.title


@define
class AnnotationInfo:
    """How many annotations a stream has.

    Attributes:
        start: The start of the first one; None when there is none.
        end: The *start* of the last one.
        count: How many.
    """

    start: int | None
    end: int | None
    count: int


@define(repr=False)
class ModuleStatistics:
    """What a module costs; all None while it is not running.

    Attributes:
        pid: Its process.
        create_time: When that began, in seconds since 1970.
        cpu_percent: Of one processor, about.
        memory_percent: Of the machine's, about.
    """

    pid: int | None
    create_time: float | None
    cpu_percent: float | None
    memory_percent: float | None

    def __repr__(self) -> str:
        return (
            f"<joule.api.ModuleStatistics pid={self.pid!r} create_time={self.create_time!r} "
            f"cpu_percent={_hundredths(self.cpu_percent)} memory_percent={_hundredths(self.memory_percent)}>"
        )


def _hundredths(value: float | None) -> str:
    return "None" if value is None else f"{value:.2f}"


@define(repr=False)
class Module:
    """A program that the node runs.

    Attributes:
        id: Its place in the node's list, which may be another after a restart.
        name: Unique.
        description: Any text.
        is_app: Whether it has a web page.
        inputs: Pipe -> path of the stream; a stream of another node is ``[node] /path``.  Empty while
            the module is down.
        outputs: Pipe -> path of the stream.
        statistics: Where they were asked for.
    """

    id: int
    name: str
    description: str | None
    is_app: bool
    inputs: dict[str, str]
    outputs: dict[str, str]
    statistics: ModuleStatistics | None = None

    def __repr__(self) -> str:
        return (
            f"<joule.api.Module id={self.id!r} name={self.name!r} description={self.description!r} "
            f"is_app={self.is_app!r}>"
        )


@define(repr=False)
class Proxy:
    """A web page that the node passes on.

    Attributes:
        id: Its place in the node's list.
        name: In lower case.
        target_url: What is passed on.
        proxied_url: Where a browser finds it, by the API reference; the web server in front of a newer node
            has it at ``app/p`` and the id instead.
    """

    id: int
    name: str
    target_url: str
    proxied_url: str = ""

    def __repr__(self) -> str:
        return (
            f"<joule.api.Proxy id={self.id!r} name={self.name!r} proxied_url={self.proxied_url!r} "
            f"target_url={self.target_url!r}>"
        )


@define
class Master:
    """Who may control the node.

    Attributes:
        master_type: ``"user"``, ``"joule"`` or ``"lumen"``, in lower case.
        name: A user, or a node.
        key: The key of a user that was just made; None otherwise: a node does not give it again.
        id: Given by the node.
        grantor_id: The master who let this one in.
    """

    master_type: str
    name: str
    key: str | None = field(default=None, repr=False)
    id: int | None = field(default=None, kw_only=True)
    grantor_id: int | None = field(default=None, kw_only=True)


@define
class Follower:
    """A node that the node may control.

    Attributes:
        name: Its name.
        location: Its URL.
        key: The key it takes.
        id: Given by the node.
    """

    name: str
    location: str
    key: str = field(repr=False)
    id: int | None = field(default=None, kw_only=True)


@define
class NodeVersion:
    """Which node this is.

    Attributes:
        version: Of its software.
        name: Of the node.
        uuid: Of the node; None before 0.11.
    """

    version: str
    name: str
    uuid: str | None = None


@define
class StorageInfo:
    """Where the node's database is, and the bytes of its disk; each is -1 for a remote database.

    Attributes:
        path: Its directory.
        size_reserved: Reserved by the system.
        size_other: Taken by others.
        size_free: Free.
        size_db: Taken by the database.
    """

    path: str
    size_reserved: int
    size_other: int
    size_free: int
    size_db: int


@define
class NodeInfo(StorageInfo):
    """`StorageInfo` and `NodeVersion` in one.

    Attributes:
        version: Of its software.
        name: Of the node.
        uuid: Of the node; None before 0.11.
    """

    version: str = field(kw_only=True)
    name: str = field(kw_only=True)
    uuid: str | None = field(default=None, kw_only=True)


@define
class ConnectionInfo:
    """How to reach the node's database, for reading.

    Attributes:
        username: Of the database.
        password: New at every start of the node.
        port: Of the database.
        database: Its name.
        host: Where it is.
        nilmdb_url: Of the older storage, which nodes since 0.11 do not have.
    """

    username: str
    password: str = field(repr=False)
    port: int
    database: str
    host: str
    nilmdb_url: str | None = None

    def to_dsn(self) -> str:
        """The connection as SQLAlchemy and others take it; it has the password in it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        login = f"{quote(self.username, safe='')}:{quote(self.password, safe='')}"
        return f"postgresql://{login}@{host}:{self.port}/{quote(self.database, safe='')}"

    def to_json(self) -> dict[str, Any]:
        """The connection as an object of JSON; it has the password in it."""
        members: dict[str, Any] = {
            "username": self.username,
            "password": self.password,
            "port": self.port,
            "database": self.database,
            "host": self.host,
        }
        if self.nilmdb_url is not None:
            members["nilmdb_url"] = self.nilmdb_url
        return members


@define
class ImportMessage:
    """One line of what an archive's import said.

    Attributes:
        message: What happened.
        source_label: The name in the archive.
        destination: Where it was to go.
        target_type: ``"data_stream"``, ``"event_stream"``, ``"module"`` or None.
    """

    message: str
    source_label: str | None = None
    destination: str | None = None
    target_type: str | None = None


@define
class ImportLogger:
    """What the import of an archive said.

    Attributes:
        info: What was done.
        warnings: What was odd.
        errors: What was not done.
    """

    info: list[ImportMessage] = field(factory=list)
    warnings: list[ImportMessage] = field(factory=list)
    errors: list[ImportMessage] = field(factory=list)
