"""The node people hold: every verb of Joule's API, over HTTP.

A method is a sentence: build the operation, run it.  Names, arguments and their order are those of
Joule's own client, whose coroutines are Deferreds here.  The older names of verbs that were renamed
are aliases.  What is different on purpose is listed in the documentation, "Coming from Joule's own
client".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from importlib import import_module
from ipaddress import ip_address
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from attrs import evolve
from numpy.typing import NDArray
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool

from txbridge.errors import ConfigError
from txbridge.joule import codec, operations
from txbridge.joule.codec import MAX_REQUEST
from txbridge.joule.errors import InvalidArgument, NodeFailed, StreamBusy, StreamNotFound
from txbridge.joule.events import EventWalk
from txbridge.joule.lumen import DisplayedDataStreamElement, DisplayedEventStream, IRange, link
from txbridge.joule.operations import DataStreamLike, EventStreamLike, Filter, FolderLike
from txbridge.joule.pipes import ReadPipe, WritePipe, open_read, open_subscription, open_write
from txbridge.joule.structures import (
    Annotation,
    AnnotationInfo,
    ConnectionInfo,
    DataStream,
    DataStreamInfo,
    Event,
    EventStream,
    EventStreamInfo,
    Folder,
    ImportLogger,
    Master,
    Module,
    NodeInfo,
    NodeVersion,
    Proxy,
)
from txbridge.net.deferred import deferred
from txbridge.net.http import HttpCarrier
from txbridge.net.http_stream import StreamCarrier
from txbridge.net.operation import Carrier, Operation
from txbridge.net.reactor import resolve_reactor
from txbridge.net.tls import ClientTls

__all__ = ["DEFAULT_URL", "Node"]

DEFAULT_URL = "http://localhost:8088"
"""Where a node serves unless it is told otherwise."""

EVENTS_PER_READ = 1000
EVENTS_PER_WRITE = 500
_ROOM = MAX_REQUEST - 32_768  # for what is around the events: the stream's path

T = TypeVar("T")


class Node:
    """A Joule node.

    Each method returns a Deferred that is already under way; cancelling it gives the exchange up.
    Streams and folders are named by object, path or id.  Timestamps are whole microseconds since
    1970 in UTC; a span includes its start and not its end, except that of annotations, which includes
    both.

    Every method may fail with:

    - `InvalidArgument`: an argument is missing or cannot be sent; nothing was sent.
    - `Rejected`, with the node's reason: it is locked, the name is taken, …
    - `KeyRefused`, `ObjectNotFound`, `StreamNotFound`, `NodeFailed`, or another
      `txbridge.joule.errors.ApiError`, which all of these are.
    - `ConnectError`, `ConnectionLost`, `TimedOut`: there was no answer.
    - `DecodeError`, `RemoteProtocolError`: the answer cannot be understood.

    One node may be shared by a whole program: requests run side by side over a pool of connections
    that stay open.  Close it at the end.

    Source: Joule API reference, and ``api`` of Joule 1.0.1.

    Attributes:
        name: What it is called here.
        url: Where it is.
        api_key: Its key.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        api_key: str | None = None,
        *,
        name: str = "node",
        trust: ClientTls | None = None,
        deadline: float = 30.0,
        pool_size: int = 16,
        reactor: Any = None,
        carrier: Carrier | None = None,
    ) -> None:
        """Prepare a node; nothing is connected before the first request.

        Args:
            url: Where it is, such as ``http://localhost:8088`` or ``https://example.com/joule``.
            api_key: The key; white space around it, which files end with, is taken off.
            name: What to call it.
            trust: Whom to trust over TLS; None for the system's roots.  The node's certificate is
                always verified.
            deadline: Seconds that a whole exchange may take, from connecting to the last byte.
            pool_size: How many requests may be under way at once; more wait their turn.
            reactor: Where it runs; None is the global one.
            carrier: What runs the operations instead of HTTP to ``url``.  It stays yours to close.

        Raises:
            ConfigError: The URL is not one that can be asked, or the key none that can be sent.
        """
        self.name = name
        self.url = url.rstrip("/")
        self.api_key = None if api_key is None else api_key.strip()
        headers = () if self.api_key is None else (("x-api-key", self.api_key),)
        self._settings: dict[str, Any] = {
            "trust": trust,
            "deadline": deadline,
            "pool_size": pool_size,
            "reactor": reactor,
        }
        self._own: HttpCarrier | None = None
        if carrier is None:
            carrier = self._own = HttpCarrier(url, headers=headers, **self._settings)
        self._carrier: Carrier = carrier
        self._version: NodeVersion | None = None
        self._written: set[int | None] = set()

    def __repr__(self) -> str:
        return f"<joule.api.Node name={self.name!r} url={self.url!r}>"

    @property
    def skew(self) -> float | None:
        """How many seconds the node's clock is ahead of this machine's; None before its first answer."""
        return self._carrier.skew if isinstance(self._carrier, HttpCarrier) else None

    @deferred
    async def close(self) -> None:
        """Close the pooled connections."""
        if self._own is not None:
            await self._own.close()

    @deferred
    async def run(self, operation: Operation[T]) -> T:
        """Run any operation with this node's key.

        Args:
            operation: Of `txbridge.joule.operations`, or your own.
        """
        return await self._carrier.run(operation)

    @deferred
    async def info(self) -> NodeInfo:
        """Read the node's version and name, and how full its disk is."""
        version = await self._carrier.run(operations.version())
        storage = await self._carrier.run(operations.storage())
        return NodeInfo(
            storage.path,
            storage.size_reserved,
            storage.size_other,
            storage.size_free,
            storage.size_db,
            version=version.version,
            name=version.name,
            uuid=version.uuid,
        )

    # -- folders

    def folder_root(self) -> Deferred[Folder]:
        """Read the whole tree."""
        return self.run(operations.folder_root())

    @deferred
    async def folder_get(self, folder: FolderLike) -> Folder:
        """Read a folder with everything in it."""
        return await self.run(operations.folder_get(folder))

    @deferred
    async def folder_move(self, source: FolderLike, destination: FolderLike) -> None:
        """Move a folder into another, which is made if it is named by a path that leads nowhere."""
        await self._run_into(operations.folder_move(source, destination), destination)

    @deferred
    async def folder_update(self, folder: Folder) -> None:
        """Write a folder's name and description, which are all that can be changed."""
        await self.run(operations.folder_update(folder))

    @deferred
    async def folder_delete(self, folder: FolderLike, recursive: bool = False) -> None:
        """Delete a folder with its streams, and with ``recursive`` the folders in it."""
        await self.run(operations.folder_delete(folder, recursive))

    # -- data streams

    @deferred
    async def data_stream_get(self, stream: DataStreamLike) -> DataStream:
        """Read a data stream's definition."""
        return await self.run(operations.data_stream_get(stream))

    @deferred
    async def data_stream_info(self, stream: DataStreamLike) -> DataStreamInfo:
        """Read how much a data stream holds."""
        found = await self.run(operations.data_stream_get(stream, with_info=True))
        return DataStreamInfo(None, None, 0) if found.data_info is None else found.data_info

    @deferred
    async def data_stream_create(self, stream: DataStream, folder: FolderLike) -> DataStream:
        """Create a data stream in a folder, which is made if it is named by a path that leads nowhere.

        Returns:
            The stream as the node made it, with its ids.
        """
        return await self._run_into(operations.data_stream_create(stream, folder), folder)

    @deferred
    async def data_stream_update(self, stream: DataStream) -> None:
        """Write a data stream's name, description, keep, decimation and elements."""
        await self.run(operations.data_stream_update(stream))

    @deferred
    async def data_stream_move(self, stream: DataStreamLike, folder: FolderLike) -> None:
        """Move a data stream into a folder, which is made if it is named by a path that leads nowhere."""
        await self._run_into(operations.data_stream_move(stream, folder), folder)

    @deferred
    async def data_stream_delete(self, stream: DataStreamLike) -> None:
        """Delete a data stream with its data."""
        await self.run(operations.data_stream_delete(stream))

    @deferred
    async def data_stream_annotation_delete(
        self, stream: DataStreamLike, start: int | None = None, end: int | None = None
    ) -> None:
        """Delete a data stream's annotations, or those that start in a span, both ends included."""
        await self.run(operations.data_stream_annotation_delete(stream, start, end))

    # -- data

    @deferred
    async def data_delete(
        self, stream: DataStreamLike, start: int | None = None, end: int | None = None
    ) -> None:
        """Delete a data stream's data, or that of a span; a hole in the middle breaks the interval."""
        await self.run(operations.data_delete(stream, start, end))

    @deferred
    async def data_intervals(
        self, stream: DataStreamLike, start: int | None = None, end: int | None = None
    ) -> list[list[int]]:
        """Read for which spans a data stream has data: ``[[start, end], …]``, each without its end.

        A node looks each break up by itself, so it may take ten times the ``deadline``.  Where there are
        thousands of breaks, ask for less at once.
        """
        return await self.run(operations.data_intervals(stream, start, end))

    @deferred
    async def data_consolidate(
        self, stream: DataStreamLike, max_gap: int, start: int | None = None, end: int | None = None
    ) -> int:
        """Join intervals at most ``max_gap`` microseconds apart; fires with how many breaks went.

        Decimated copies stay as they are: see `data_decimate`.
        """
        return await self.run(operations.data_consolidate(stream, max_gap, start, end))

    @deferred
    async def data_decimate(self, stream: DataStreamLike) -> None:
        """Make a data stream's decimated copies anew, which may take longer than ``deadline``."""
        await self.run(operations.data_decimate(stream))

    @deferred
    async def data_drop_decimations(self, stream: DataStreamLike) -> None:
        """Drop a data stream's decimated copies."""
        await self.run(operations.data_drop_decimations(stream))

    # -- annotations

    @deferred
    async def annotation_create(self, annotation: Annotation, stream: DataStreamLike) -> Annotation:
        """Put an annotation on a data stream; fires with the annotation as the node keeps it."""
        return await self.run(operations.annotation_create(annotation, stream))

    @deferred
    async def annotation_update(self, annotation: Annotation) -> Annotation:
        """Write an annotation's title and content; its times cannot be changed."""
        return await self.run(operations.annotation_update(annotation))

    @deferred
    async def annotation_delete(self, annotation: Annotation | int) -> None:
        """Delete an annotation."""
        await self.run(operations.annotation_delete(annotation))

    @deferred
    async def annotation_get(
        self, stream: DataStreamLike, start: int | None = None, end: int | None = None
    ) -> list[Annotation]:
        """Read a data stream's annotations, or those that start in a span, both ends included."""
        return await self.run(operations.annotation_get(stream, start, end))

    @deferred
    async def annotation_info(self, stream: DataStreamLike) -> AnnotationInfo:
        """Read how many annotations a data stream has."""
        return await self.run(operations.annotation_info(stream))

    # -- event streams

    @deferred
    async def event_stream_get(
        self,
        stream: EventStreamLike,
        create: bool = False,
        description: str = "",
        chunk_duration: str | int = "",
        chunk_duration_us: int | None = None,
        event_fields: Mapping[str, str] | None = None,
    ) -> EventStream:
        """Read an event stream's definition, or make it.

        Args:
            stream: The stream.
            create: Make it if it is not there and is named by a path.
            description: Of a stream that is made, as the arguments that follow; see `EventStream`.
            chunk_duration: How long its chunks are.
            chunk_duration_us: The same in microseconds.
            event_fields: What its events hold.
        """
        try:
            return await self.run(operations.event_stream_get(stream))
        except StreamNotFound:
            if not create or not isinstance(stream, str):
                raise
        folder, _, name = stream.rpartition("/")
        new = EventStream(name, description, chunk_duration, chunk_duration_us, event_fields=event_fields)
        return await self.event_stream_create(new, folder or "/")

    @deferred
    async def event_stream_info(self, stream: EventStreamLike) -> EventStreamInfo:
        """Read how much an event stream holds."""
        found = await self.run(operations.event_stream_get(stream))
        return EventStreamInfo(None, None, 0) if found.data_info is None else found.data_info

    @deferred
    async def event_stream_create(self, stream: EventStream, folder: FolderLike) -> EventStream:
        """Create an event stream in a folder, which is made if it is named by a path that leads nowhere."""
        return await self._run_into(operations.event_stream_create(stream, folder), folder)

    @deferred
    async def event_stream_update(self, stream: EventStream) -> None:
        """Write an event stream's name, description, fields, chunks and keep."""
        await self.run(operations.event_stream_update(stream))

    @deferred
    async def event_stream_move(self, stream: EventStreamLike, folder: FolderLike) -> None:
        """Move an event stream into a folder, which is made if it is named by a path that leads nowhere."""
        await self._run_into(operations.event_stream_move(stream, folder), folder)

    @deferred
    async def event_stream_delete(self, stream: EventStreamLike) -> None:
        """Delete an event stream with its events."""
        await self.run(operations.event_stream_delete(stream))

    @deferred
    async def event_stream_write(self, stream: EventStreamLike, events: Iterable[Event]) -> list[Event]:
        """Write events, in requests of at most 500.

        The events then know their ids, their stream and their node.  Those that were read from this
        stream, or written to it before, are changed in place; all others are added.  Should a
        request fail, the events of those before it are written and know it, so that writing all
        again changes these and doubles none.

        Returns:
            The events.
        """
        written = list(events)
        identity = await self._identity()
        # What is no Event is refused when it is encoded.
        is_any_known = any(getattr(event, "id", None) is not None for event in written)
        target = await self._event_stream_id(stream) if is_any_known else None
        encoded = [
            codec.write_event(event, f"events[{at}]", node_uuid=identity, stream_id=target)
            for at, event in enumerate(written)
        ]
        requests = [
            (chunk, operations.event_stream_write(stream, [encoded[at] for at in chunk], identity))
            for chunk in _chunks(encoded)
        ]
        for chunk, request in requests:
            answered = await self._with_stream_id(await self.run(request), stream)
            for at, kept in zip(chunk, answered, strict=True):
                event = written[at]
                event.id, event.event_stream_id, event.node_uuid = kept.id, kept.event_stream_id, identity
        return written

    def event_stream_walk(
        self,
        stream: EventStreamLike,
        start: int | None = None,
        end: int | None = None,
        json_filter: Filter = None,
        include_on_going_events: bool = True,
        block_size: int = EVENTS_PER_READ,
    ) -> EventWalk:
        """Read events page by page, so that any number of them can be read.

        Args:
            stream: The event stream.
            start: Those that begin at or after it; None for the first.
            end: Those that begin before it; None for the last.
            json_filter: Which ones, by content: see `txbridge.joule.operations.Filter`.
            include_on_going_events: Also those that began before ``start`` and last until then.
            block_size: How many to ask for at once; nodes before 0.11 give all at once if there is no
                ``start``, and no event without an end if there is one.

        Returns:
            A walk whose ``next_events()`` gives the next events, and none at the end.

        Raises:
            InvalidArgument: An argument cannot be sent.
        """
        # Also for its checks: what cannot be asked fails here and not at the first page.
        operations.event_stream_page(stream, start, end, block_size, json_filter)

        @deferred
        async def begin() -> tuple[int, int] | None:
            if start is not None:
                return codec.check_timestamp("start", start), block_size
            info = await self.event_stream_info(stream)
            if info.start is None or (end is not None and info.start >= end):
                return None
            return info.start, info.event_count + block_size if await self._is_old() else block_size

        @deferred
        async def read_page(first: int, limit: int, with_ongoing: bool) -> list[Event]:
            # An old node gives all at once where no start is given; with one it would leave out the
            # events that have no end.
            bound = None if start is None and await self._is_old() else first
            identity = await self._identity()
            operation = operations.event_stream_page(
                stream, bound, end, limit, json_filter, with_ongoing=with_ongoing, node_uuid=identity
            )
            return await self._with_stream_id(await self.run(operation), stream)

        return EventWalk(read_page, begin, include_on_going_events and start is not None)

    @deferred
    async def event_stream_read(
        self,
        stream: EventStreamLike,
        start: int | None = None,
        end: int | None = None,
        limit: int | None = None,
        json_filter: Filter = None,
        include_on_going_events: bool = True,
    ) -> list[Event]:
        """Read events into a list; see `event_stream_walk` for the arguments.

        Args:
            stream: The event stream.
            start: Those that begin at or after it.
            end: Those that begin before it.
            limit: The first so many; None for all, however many there are.
            json_filter: Which ones, by content.
            include_on_going_events: Also those that began before ``start`` and last until then.
        """
        page = EVENTS_PER_READ
        if limit is not None:
            page = min(page, operations.positive("limit", limit))
        walk = self.event_stream_walk(stream, start, end, json_filter, include_on_going_events, page)
        events: list[Event] = []
        while (limit is None or len(events) < limit) and (found := await walk.next_events()):
            events += found
        return events[:limit]

    @deferred
    async def event_stream_read_list(
        self,
        stream: EventStreamLike,
        start: int | None = None,
        end: int | None = None,
        json_filter: Filter = None,
        include_on_going_events: bool = True,
        limit: int = 10_000,
    ) -> list[Event]:
        """`event_stream_read` with the arguments in the order of Joule 1.0, and a limit."""
        return await self.event_stream_read(stream, start, end, limit, json_filter, include_on_going_events)

    @deferred
    async def event_stream_count(
        self,
        stream: EventStreamLike,
        start: int | None = None,
        end: int | None = None,
        json_filter: Filter = None,
        include_on_going_events: bool = True,
    ) -> int:
        """Count events; nodes before 0.9.50 cannot."""
        operation = operations.event_stream_count(stream, start, end, json_filter, include_on_going_events)
        return await self.run(operation)

    @deferred
    async def event_stream_remove(
        self,
        stream: EventStreamLike,
        start: int | None = None,
        end: int | None = None,
        json_filter: Filter = None,
    ) -> None:
        """Delete events: those of a span, ongoing ones included, those that match, or, with neither, all."""
        await self.run(operations.event_stream_remove(stream, start, end, json_filter))

    # -- modules and proxies

    @deferred
    async def module_list(self, statistics: bool = False) -> list[Module]:
        """Read the modules; statistics take half a second for each."""
        return await self.run(operations.module_list(statistics))

    @deferred
    async def module_get(self, module: Module | str | int, statistics: bool = False) -> Module:
        """Read a module; nodes give its statistics whether asked for or not."""
        return await self.run(operations.module_get(module, statistics))

    @deferred
    async def module_logs(self, module: Module | str | int) -> list[str]:
        """Read the last lines that a module wrote."""
        return await self.run(operations.module_logs(module))

    @deferred
    async def proxy_list(self) -> list[Proxy]:
        """Read the web pages that the node passes on."""
        return [self._located(proxy) for proxy in await self.run(operations.proxy_list())]

    @deferred
    async def proxy_get(self, proxy: Proxy | str | int) -> Proxy:
        """Read one of the web pages that the node passes on."""
        return self._located(await self.run(operations.proxy_get(proxy)))

    # -- masters and followers

    @deferred
    async def master_add(
        self,
        master_type: str,
        identifier: str,
        lumen_parameters: Mapping[str, Any] | None = None,
        api_key: str | None = None,
    ) -> Master:
        """Let somebody control the node.

        Args:
            master_type: ``"user"``, ``"joule_node"`` or ``"lumen_node"``.
            identifier: A user's name, or the URL or host of a node, which is asked there and then.
            lumen_parameters: What Lumen asks for.
            api_key: The key that a user is to have, of at least 32 characters; None for a new one.

        Returns:
            The master; a user's has its key, which the node does not tell again.
        """
        return await self.run(operations.master_add(master_type, identifier, lumen_parameters, api_key))

    @deferred
    async def master_list(self) -> list[Master]:
        """Read who may control the node."""
        return await self.run(operations.master_list())

    @deferred
    async def master_delete(self, master_type: str, name: str) -> None:
        """Let somebody control the node no longer."""
        await self.run(operations.master_delete(master_type, name))

    @deferred
    async def master_remove(self, master: Master | str) -> None:
        """`master_delete` by its older name: a master, or the name of the only one called so."""
        if not isinstance(master, Master):
            named = [one for one in await self.master_list() if one.name == master]
            if len(named) != 1:
                raise InvalidArgument("master", f"{len(named)} masters have this name; give the Master")
            (master,) = named
        await self.master_delete(master.master_type, master.name)

    master_removet = master_remove  # as the API reference spells it

    @deferred
    async def follower_list(self) -> list[Node]:
        """Read which nodes this node may control, as nodes with the keys they take.

        Each is to be closed when it was used.
        """
        return [
            Node(found.location, found.key, name=found.name, **self._settings)
            for found in await self.run(operations.follower_list())
        ]

    @deferred
    async def follower_delete(self, follower: Node | str, *, and_all_others: bool = False) -> None:
        """Forget a node that this node may control.

        Nodes up to 1.0.1 forget *every* node when asked to forget one, so this is refused while
        there are others.

        Args:
            follower: The node, or its name.
            and_all_others: Do it although there are others.

        Raises:
            InvalidArgument: There is no follower of this name, or there are others.
        """
        name = follower.name if isinstance(follower, Node) else follower
        names = [found.name for found in await self.run(operations.follower_list())]
        if name not in names:
            raise InvalidArgument("follower", f"the node has no follower {name!r:.60}")
        others = [other for other in names if other != name]
        if others and not and_all_others:
            raise InvalidArgument(
                "follower", f"the node would forget its {len(others)} other followers too: say and_all_others"
            )
        await self.run(operations.follower_delete(name))

    follower_remove = follower_delete

    # -- the database, archives

    @deferred
    async def db_connection_info(self) -> ConnectionInfo:
        """Read how to reach the node's database, for reading."""
        info = await self.run(operations.db_connection_info())
        host = urlsplit(self.url).hostname
        return evolve(info, host=host) if host and _is_here(info.host) else info

    @deferred
    async def db_connect(self) -> Any:
        """Make an SQLAlchemy engine for the node's database; nothing is connected before it is used.

        Its queries block, so run them in threads.

        Raises:
            ConfigError: SQLAlchemy or a PostgreSQL driver is not installed.
        """
        try:
            create_engine = import_module("sqlalchemy").create_engine
            return create_engine((await self.db_connection_info()).to_dsn())
        except ImportError as error:
            raise ConfigError(
                [f"db_connect needs SQLAlchemy, and the driver for PostgreSQL that it takes: {error}"]
            ) from error

    @deferred
    async def archive_upload(self, path: str | PathLike[str]) -> ImportLogger:
        """Import an archive of data, as nodes since 1.0 can.

        Args:
            path: A zip file that ``joule archive`` made, of at most 256 MiB.

        Returns:
            What was done and what was not.

        Raises:
            InvalidArgument: The file cannot be read, or is too large.
        """
        reactor = self._reactor()
        try:
            archive = await deferToThreadPool(reactor, reactor.getThreadPool(), _read_archive, Path(path))
        except (OSError, ValueError) as error:  # or it is no path: a NUL is in it
            raise InvalidArgument("path", f"cannot be read: {error}") from error
        return await self.run(operations.archive_upload(archive))

    @deferred
    async def create_lumen_link(
        self,
        lumen_url: str,
        data_stream_elements: Sequence[DisplayedDataStreamElement] | None = None,
        event_streams: Sequence[DisplayedEventStream] | None = None,
        nav_time_bounds: IRange | None = None,
        main_time_bounds: IRange | None = None,
        left_y_bounds: IRange | None = None,
        right_y_bounds: IRange | None = None,
    ) -> str:
        """Make a link that opens Lumen at chosen streams; see `txbridge.joule.lumen` for the arguments.

        Args:
            lumen_url: Where Lumen is.
            data_stream_elements: Elements to plot, as the node gave them.
            event_streams: Event streams to plot.
            nav_time_bounds: Of the small plot below, in microseconds.
            main_time_bounds: Of the plot.
            left_y_bounds: Of the plot's left axis.
            right_y_bounds: Of its right one.
        """
        elements, events = data_stream_elements or (), event_streams or ()
        if not elements and not events:
            raise InvalidArgument("data_stream_elements", "must be given, or event_streams: what to display")
        found = await self.run(
            operations.folder_map(
                [one.data_stream_element.id for one in elements], [one.event_stream.id for one in events]
            )
        )
        bounds = (nav_time_bounds, main_time_bounds, left_y_bounds, right_y_bounds)
        return link(lumen_url, found, elements, events, *bounds)

    # -- rows, see `txbridge.joule.pipes`

    @deferred
    async def data_read(
        self,
        stream: DataStreamLike,
        start: int | None = None,
        end: int | None = None,
        max_rows: int | None = None,
    ) -> ReadPipe:
        """Read a data stream's history.

        A read holds one of a node's ten database connections while it lasts, so read few at once.

        Args:
            stream: The data stream.
            start: The first timestamp; None for the beginning.
            end: The first timestamp that is not wanted; None for all there is.
            max_rows: Decimate so that there are about this many rows at most: each then stands for 4, 16,
                64, … rows, with the mean, the least and the greatest of every element, in this order.

        Returns:
            A pipe to read from and to close.  It goes on by itself after a lost connection.
        """
        describe = partial(self.data_stream_get, stream)
        return await open_read(self._streams(), stream, describe, start, end, max_rows, self._reactor())

    @deferred
    async def data_read_array(
        self,
        stream: DataStreamLike,
        start: int | None = None,
        end: int | None = None,
        max_rows: int | None = 10_000,
        flatten: bool = False,
    ) -> NDArray[Any]:
        """Read a data stream's history into one array, without its interval breaks.

        Args:
            stream: The data stream.
            start: The first timestamp; None for the beginning.
            end: The first timestamp that is not wanted; None for all there is.
            max_rows: As of `data_read`; None for every row, however many there are.
            flatten: Give a matrix whose first column is the timestamps, instead of a structured array.

        Raises:
            EmptyPipeError: There are no rows.
        """
        pipe = await open_read(self._streams(), stream, None, start, end, max_rows, self._reactor())
        try:
            return await pipe.read_all(flatten, maxrows=None)
        finally:
            await pipe.close()

    @deferred
    async def data_subscribe(self, stream: DataStreamLike) -> ReadPipe:
        """Read what a module produces from now on.

        Returns:
            A pipe to read from and to close.  If the connection is lost, reading from it fails: what was
            missed is history, and to be read with `data_read`.

        Raises:
            NotProduced: No module produces it; somebody may be writing to it all the same.
        """
        describe = partial(self.data_stream_get, stream)
        return await open_subscription(self._streams(), stream, describe, self._reactor())

    @deferred
    async def data_write(
        self,
        stream: DataStreamLike,
        start: int | None = None,
        end: int | None = None,
        merge_gap: int = 0,
    ) -> WritePipe:
        """Write rows to a data stream, which nobody else can do at the same time.

        Args:
            stream: The data stream.
            start: Delete its data from this timestamp on before; None with ``end``: from the beginning.
            end: Delete its data up to before this timestamp; None with ``start``: to the end.
            merge_gap: Begin no new interval if the last row before is at most so many microseconds
                away.

        Returns:
            A pipe to write to, and to close: only then are all rows stored.

        Raises:
            StreamBusy: Somebody else is writing to it.  Nothing was deleted.
            InvalidArgument: The stream that was given has another layout than the node's.
        """
        found = await self.data_stream_get(stream)
        if isinstance(stream, DataStream) and stream.layout != found.layout:
            layouts = f"[{stream.layout}] but destination is [{found.layout}]"
            raise InvalidArgument("stream", f"DataStream [{found.name}] configured for {layouts}")
        if found.is_destination or found.id in self._written:
            detail = f"DataStream [{found.name}] is already being produced"
            raise StreamBusy("data_write", 400, "", detail)

        @deferred
        async def find_last(first: int, last: int) -> int | None:
            intervals = await self.data_intervals(found, first, last + 1)
            return intervals[-1][1] - 1 if intervals else None

        self._written.add(found.id)
        release = partial(self._written.discard, found.id)
        try:
            if start is not None or end is not None:
                await self.data_delete(found, start, end)
            return await open_write(self._streams(), found, merge_gap, find_last, release)
        except BaseException:
            release()
            raise

    # -- how it is done

    def _streams(self) -> StreamCarrier:
        if not isinstance(self._carrier, HttpCarrier):
            raise ConfigError(["carrier: rows travel over HTTP, and this carrier is no HttpCarrier"])
        return self._carrier

    def _reactor(self) -> Any:
        return resolve_reactor(self._settings["reactor"])

    async def _run_into(self, operation: Operation[T], folder: FolderLike) -> T:
        try:
            return await self.run(operation)
        except NodeFailed:
            # A node fails at the id of a folder that is not there; say that instead.
            if not isinstance(folder, str):
                await self.folder_get(folder)
            raise

    async def _identity(self) -> str:
        """What tells this node from others, for the ids of events."""
        return (await self._read_version()).uuid or self.url

    async def _is_old(self) -> bool:
        """Whether it is of a release before 0.11."""
        return (await self._read_version()).uuid is None

    async def _read_version(self) -> NodeVersion:
        if self._version is None:
            self._version = await self.run(operations.version())
        return self._version

    async def _event_stream_id(self, stream: EventStreamLike) -> int | None:
        if isinstance(stream, EventStream):
            return stream.id
        if isinstance(stream, int):
            return stream
        return (await self.run(operations.event_stream_get(stream))).id

    async def _with_stream_id(self, events: list[Event], stream: EventStreamLike) -> list[Event]:
        """Fill in what nodes before 0.11 leave out."""
        if any(event.event_stream_id is None for event in events):
            target = await self._event_stream_id(stream)
            for event in events:
                event.event_stream_id = target
        return events

    def _located(self, proxy: Proxy) -> Proxy:
        return evolve(proxy, proxied_url=f"{self.url}/interface/p{proxy.id}")


def _chunks(encoded: list[bytes]) -> list[range]:
    """Cut events into as many as one request may hold."""
    chunks: list[range] = []
    first = size = 0
    for at, event in enumerate(encoded):
        if at > first and (at - first == EVENTS_PER_WRITE or size + len(event) >= _ROOM):
            chunks.append(range(first, at))
            first, size = at, 0
        size += len(event) + 1
    if len(encoded) > first:
        chunks.append(range(first, len(encoded)))
    return chunks


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _read_archive(path: Path) -> bytes:
    """Runs in a thread."""
    with path.open("rb") as file:
        return file.read(operations.MAX_ARCHIVE + 1)
