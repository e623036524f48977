"""The commands that look at a Joule node: ``joule ls``, ``info``, ``intervals`` and ``read``.

Rows go out as they come in, so a stream of any length takes no more memory than a short one.  A chart
draws no more rows than a terminal has columns for: the node is asked for decimated ones, and where it keeps
none, only every so many rows are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from attrs import frozen
from numpy.typing import NDArray
from rich.cells import cell_len

from txbridge.daemon.commands import Form
from txbridge.daemon.history import CHART_HEIGHT
from txbridge.daemon.render import chart, clean, csv_row, instant, json_text, quantity, table
from txbridge.daemon.running import DONE, UNREACHABLE
from txbridge.daemon.terminal import Terminal
from txbridge.errors import BridgeError, ConfigError, ConnectError
from txbridge.joule import operations
from txbridge.joule.client import Node
from txbridge.joule.errors import (
    DecimationError,
    EmptyPipeError,
    InvalidArgument,
    ObjectNotFound,
    StreamNotFound,
)
from txbridge.joule.pipes import ReadPipe
from txbridge.joule.structures import DataStream, Element, EventStream, Folder
from txbridge.model.instants import format_instant, from_microseconds, shorten
from txbridge.model.structures import Datapoint
from txbridge.net.deferred import deferred

__all__ = [
    "ReadRequest",
    "explained",
    "find",
    "info",
    "intervals",
    "is_at",
    "list_folder",
    "no_node",
    "read",
]

ROOT = "/"
MOST_DRAWN = 1000  # rows of a chart; more than any terminal has columns for
LONGEST_NAME = 100  # of a tree, whose lines are all as wide as the longest name
SHADES = " ▁▂▃▄▅▆▇█"

Thing = Folder | DataStream | EventStream


@frozen
class ReadRequest:
    """Which rows, and how to show them.

    Attributes:
        path: Of a data stream.
        start: The first timestamp, in microseconds; None for the beginning.
        end: The first one that is not wanted; None for all there is.
        max_rows: About how many rows at most, by decimation; None for all.
        live: Show what a module makes from now on instead.
        form: ``"csv"``, ``"json"`` or ``"plot"``.
    """

    path: str
    start: int | None = None
    end: int | None = None
    max_rows: int | None = None
    live: bool = False
    form: Form = "csv"


async def find(node: Node, path: str) -> Thing:
    """What is at a path.

    Raises:
        ConfigError: Nothing is.
        BridgeError: The node cannot be asked.
    """
    if path == ROOT:
        return await node.folder_root()
    looks: Sequence[Callable[[str], Any]] = (node.data_stream_get, node.folder_get, node.event_stream_get)
    for look in looks:
        try:
            found: Thing = await look(path)
        except ObjectNotFound:
            continue
        return found
    raise ConfigError([f"the node has nothing at {shorten(path)!r}; 'txbridge joule ls' lists what it has"])


async def _without_rows(node: Node, path: str, error: BridgeError) -> BridgeError:
    """What is wrong with a path that is no data stream's."""
    try:
        found = await find(node, path)
    except ConfigError:
        return error
    if isinstance(found, Folder):
        words = f"is a folder, which has no rows; 'txbridge joule ls {shorten(path)}' shows what is in it"
    else:
        words = f"is an event stream, which has no rows; 'txbridge joule info {shorten(path)}' describes it"
    return ConfigError([f"{shorten(path)!r} {words}"])


@deferred
async def explained(terminal: Terminal, command: Callable[[], Any]) -> int:
    """Run a command that asks nothing but a node, and say so when there is none."""
    try:
        status: int = await command()
    except ConnectError as error:
        return no_node(terminal, error)
    return status


def no_node(terminal: Terminal, error: ConnectError) -> int:
    """Say that no node was found; gives the exit status."""
    terminal.say(f"{error}; is a node running there? --node or TXBRIDGE_JOULE_URL says which")
    return UNREACHABLE


def is_at(node: Node, peer: str) -> bool:
    """Whether it is this node that is at ``host:port``."""
    parts = urlsplit(node.url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return peer.replace("[", "").replace("]", "") == f"{parts.hostname}:{port}"


# ------------------------------------------------------------------------------------------- ls


@deferred
async def list_folder(node: Node, terminal: Terminal, path: str, form: Form) -> int:
    """Show what is in a folder, at any depth.

    Args:
        node: Asked.
        terminal: Where to show it.
        path: Of a folder, or of one stream.
        form: ``"table"`` or ``"json"``.
    """
    found = await find(node, path)
    if form == "json":
        terminal.give(json_text(_members(found, path)))
        return DONE
    lines = [(clean(path), _words(found)), *_tree(found, "")]
    width = max(cell_len(drawn) for drawn, _ in lines)
    for drawn, words in lines:
        terminal.give(f"{drawn}{' ' * (width - cell_len(drawn))}  {words}".rstrip() + "\n")
    return DONE


def _children(folder: Folder) -> list[Thing]:
    things: list[Thing] = [*folder.children, *folder.data_streams, *folder.event_streams]
    return sorted(things, key=lambda one: one.name)


def _tree(found: Thing, indent: str) -> Iterator[tuple[str, str]]:
    if not isinstance(found, Folder):
        return
    children = _children(found)
    for child in children:
        is_last = child is children[-1]
        yield (
            f"{indent}{'└── ' if is_last else '├── '}{clean(shorten(child.name, LONGEST_NAME))}",
            _words(child),
        )
        yield from _tree(child, indent + ("    " if is_last else "│   "))


def _words(found: Thing) -> str:
    if isinstance(found, Folder):
        return ""
    if isinstance(found, EventStream):
        return "events"
    return " ".join((found.layout, *_state(found)))


def _state(stream: DataStream) -> list[str]:
    """``live``: somebody writes it now; ``locked``: it can be neither changed, moved nor deleted."""
    return [word for word, holds in (("live", stream.is_destination), ("locked", stream.locked)) if holds]


def _members(found: Thing, path: str) -> dict[str, Any]:
    members: dict[str, Any] = {"name": found.name, "path": path, "id": found.id}
    if isinstance(found, Folder):
        children = [(child, f"{path.rstrip('/')}/{child.name}") for child in _children(found)]
        members["locked"] = found.locked
        for name, kind in (
            ("folders", Folder),
            ("data_streams", DataStream),
            ("event_streams", EventStream),
        ):
            members[name] = [_members(child, where) for child, where in children if isinstance(child, kind)]
    elif isinstance(found, DataStream):
        members |= {"layout": found.layout, "live": found.is_destination, "locked": found.locked}
    return members


# ----------------------------------------------------------------------------------------- info


@deferred
async def info(node: Node, terminal: Terminal, path: str, form: Form) -> int:
    """Show what is known of the node, of a folder or of a stream.

    Args:
        node: Asked.
        terminal: Where to show it.
        path: ``/`` for the node.
        form: ``"table"`` or ``"json"``.
    """
    if path == ROOT:
        members, text = await _of_node(node)
    else:
        found = await find(node, path)
        if isinstance(found, Folder):
            members, text = _of_folder(found, path)
        elif isinstance(found, DataStream):
            found = await node.run(operations.data_stream_get(path, with_info=True))
            members, text = _of_data_stream(found, path)
        else:
            members, text = _of_event_stream(found, path)
    terminal.give(json_text(members) if form == "json" else text)
    return DONE


async def _of_node(node: Node) -> tuple[dict[str, Any], str]:
    known = await node.info()
    members = {"name": known.name, "version": known.version, "uuid": known.uuid, "url": node.url}
    sizes = {"database": known.size_db, "other": known.size_other, "free": known.size_free}
    facts = {"version": known.version, "address": node.url, "uuid": known.uuid or ""}
    shown = {name: quantity(str(size), "B") for name, size in sizes.items() if size >= 0}
    return {**members, "path": known.path, "bytes": sizes}, _facts(
        f"node {known.name}", {**facts, "data in": known.path, **shown}
    )


def _of_folder(folder: Folder, path: str) -> tuple[dict[str, Any], str]:
    counts = {
        "folders": len(folder.children),
        "data_streams": len(folder.data_streams),
        "event_streams": len(folder.event_streams),
    }
    updated = folder.updated_at
    members = {
        "name": folder.name,
        "path": path,
        "id": folder.id,
        "description": folder.description,
        "locked": folder.locked,
        "updated": None if updated is None else format_instant(updated),
        **counts,
    }
    facts = {
        "description": folder.description or "",
        "state": "locked" if folder.locked else "",
        "updated": instant(updated),
        **{name.replace("_", " "): str(count) for name, count in counts.items()},
    }
    return members, _facts(f"folder {path}", facts)


def _of_data_stream(stream: DataStream, path: str) -> tuple[dict[str, Any], str]:
    held = stream.data_info
    start, end = (None, None) if held is None else (held.start, held.end)
    rows, size = (0, 0) if held is None else (held.rows, held.bytes)
    members = {
        **_members(stream, path),
        "description": stream.description,
        "rows": rows,
        "first": _iso(start),
        "last": _iso(end),
        "bytes": size,
        "keep_us": stream.keep_us,
        "decimate": stream.decimate,
        "elements": [_element_members(element) for element in stream.elements],
    }
    facts = {
        "description": stream.description or "",
        "layout": stream.layout,
        "state": " ".join(_state(stream)),
        "rows": f"about {rows}" if rows else "none",
        "first row": _when(start),
        "last row": _when(end),
        "size": quantity(str(size), "B") if size else "",
        "kept": _kept(stream.keep_us),
        "decimated": "yes" if stream.decimate else "no",
    }
    header = ("element", "units", "display", "offset", "scale", "min", "max")
    elements = [
        (
            element.name,
            element.units or "",
            str(element.display_type).lower(),
            f"{element.offset:g}",
            f"{element.scale_factor:g}",
            *("" if limit is None else f"{limit:g}" for limit in (element.default_min, element.default_max)),
        )
        for element in stream.elements
    ]
    return members, _facts(f"data stream {path}", facts) + "\n" + table(header, elements, right=(3, 4, 5, 6))


def _of_event_stream(stream: EventStream, path: str) -> tuple[dict[str, Any], str]:
    held = stream.data_info
    start, end, count = (None, None, 0) if held is None else (held.start, held.end, held.event_count)
    members = {
        **_members(stream, path),
        "description": stream.description,
        "events": count,
        "first": _iso(start),
        "last": _iso(end),
        "keep_us": stream.keep_us,
        "fields": dict(stream.event_fields),
    }
    facts = {
        "description": stream.description or "",
        "events": str(count) if count else "none",
        "first": _when(start),
        "last": _when(end),
        "kept": _kept(stream.keep_us),
    }
    text = _facts(f"event stream {path}", facts)
    if stream.event_fields:
        text += "\n" + table(("field", "kind"), list(stream.event_fields.items()))
    return members, text


def _element_members(element: Element) -> dict[str, Any]:
    return {
        "name": element.name,
        "units": element.units,
        "display_type": element.display_type,
        "plottable": element.plottable,
        "offset": element.offset,
        "scale_factor": element.scale_factor,
        "default_min": element.default_min,
        "default_max": element.default_max,
    }


def _facts(title: str, facts: Mapping[str, str]) -> str:
    lines = [f"  {name:<13} {clean(text)}" for name, text in facts.items() if text]
    return "\n".join((clean(title), *lines)) + "\n"


def _kept(keep_us: int) -> str:
    if keep_us < 0:
        return "for ever"
    return length(keep_us) if keep_us else "not at all"


def length(microseconds: int) -> str:
    """A length of time for people, to two units."""
    parts: list[str] = []
    left = microseconds
    for size, name in ((86_400_000_000, "day"), (3_600_000_000, "hour"), (60_000_000, "minute")):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {name}{'s' if count > 1 else ''}")
    if len(parts) < 2 and (left or not parts):
        parts.append(f"{left / 1e6:g} s")
    return " ".join(parts[:2])


def _iso(timestamp: int | None) -> str | None:
    return None if timestamp is None else format_instant(from_microseconds(timestamp))


def _when(timestamp: int | None) -> str:
    return "" if timestamp is None else instant(from_microseconds(timestamp))


# ------------------------------------------------------------------------------------ intervals


@deferred
async def intervals(
    node: Node, terminal: Terminal, path: str, start: int | None, end: int | None, form: Form
) -> int:
    """Show for which spans a data stream has rows.

    Args:
        node: Asked.
        terminal: Where to show it; a person sees a bar too.
        path: Of the stream.
        start: From here on, in microseconds.
        end: Up to before it.
        form: ``"table"`` or ``"json"``.
    """
    try:
        found = await node.data_intervals(path, start, end)
    except (StreamNotFound, InvalidArgument) as error:
        raise await _without_rows(node, path, error) from error
    if form == "json":
        terminal.give(json_text([{"start": _iso(first), "end": _iso(last)} for first, last in found]))
    elif not found:
        terminal.say(f"{shorten(path)!r} has no rows there")
    else:
        # A node's interval ends a microsecond after its last row.
        rows = [(_when(first), _when(last - 1), length(last - 1 - first)) for first, last in found]
        terminal.give(table(("first row", "last row", "length"), rows))
        if terminal.is_interactive:
            first = found[0][0] if start is None else start
            last = found[-1][1] if end is None else end
            width = terminal.size[0] - 2
            terminal.give(f"\n▕{coverage(found, first, last, width)}▏\n {_when(first)} … {_when(last)}\n")
    return DONE


def coverage(found: Iterable[Sequence[int]], start: int, end: int, width: int) -> str:
    """A bar that is the higher the more of its stretch of time has rows.

    Args:
        found: Spans, ascending.
        start: Where the bar begins.
        end: Where it ends; after the start.
        width: How many cells it has.
    """
    covered = np.zeros(width)
    for first, last in found:
        left, right = ((at - start) / (end - start) * width for at in (max(first, start), min(last, end)))
        cells = np.arange(int(left), min(int(right) + 1, width))
        covered[cells] += np.clip(np.minimum(right, cells + 1) - np.maximum(left, cells), 0, 1)
    # What has any row at all is not shown as empty.
    steps = np.ceil(np.minimum(covered, 1) * (len(SHADES) - 1) - 1e-9).astype(int)
    return "".join(SHADES[step] for step in steps)


# ----------------------------------------------------------------------------------------- read


@deferred
async def read(node: Node, terminal: Terminal, request: ReadRequest) -> int:
    """Show rows, as many as there are; what a module makes now until it is stopped."""
    try:
        stream = await node.run(operations.data_stream_get(request.path, with_info=True))
    except (StreamNotFound, InvalidArgument) as error:
        raise await _without_rows(node, request.path, error) from error
    if request.live:
        pipe = await node.data_subscribe(stream)
        await _show(pipe, _shown(request, stream, terminal), _nobody_counts)
        return DONE
    most = MOST_DRAWN if request.form == "plot" and request.max_rows is None else request.max_rows
    shown = _shown(request, stream, terminal)
    first, last = _bounds(stream, request)
    with terminal.progress("reading", float(last - first), gives=request.form != "plot") as report:
        pipe = await node.data_read(stream, request.start, request.end, most)
        try:
            await _show(pipe, shown, lambda at: report(float(at - first)))
        except DecimationError as error:
            if request.max_rows is not None:
                raise DecimationError(f"{error}; a larger --max-rows, or none, may do") from error
            pipe = await node.data_read(stream, request.start, request.end)
            await _show(pipe, shown, lambda at: report(float(at - first)))
    shown.end()
    if not shown.count:
        terminal.say(f"{shorten(request.path)!r} has no rows there")
    return DONE


def _bounds(stream: DataStream, request: ReadRequest) -> tuple[int, int]:
    """Which timestamps to expect."""
    held = stream.data_info
    if held is None or held.start is None or held.end is None:
        return 0, 1
    first = held.start if request.start is None else max(held.start, request.start)
    last = held.end if request.end is None else min(held.end, request.end)
    return first, max(last, first + 1)


async def _show(pipe: ReadPipe, shown: _Shown, report: Callable[[float], None]) -> None:
    shown.begin(pipe)
    is_after_break = False
    try:
        while True:
            try:
                rows = await pipe.read()
            except EmptyPipeError:
                return
            if len(rows):
                if is_after_break:
                    shown.show_break()
                shown.show(rows)
                pipe.consume(len(rows))
                report(float(rows["timestamp"][-1]))
                is_after_break = False
            is_after_break = is_after_break or pipe.end_of_interval
    finally:
        await pipe.close()


def _nobody_counts(at: float) -> None:
    """What is live has no end to compare with."""


class _Shown:
    """How rows are shown."""

    def __init__(self, request: ReadRequest, stream: DataStream, terminal: Terminal) -> None:
        self.terminal = terminal
        self.path = request.path
        self.stream = stream
        self.names = [element.name for element in stream.elements]
        self.count = 0

    def begin(self, pipe: ReadPipe) -> None:
        """Called when a pipe was opened."""
        if pipe.decimated:
            names = [element.name for element in self.stream.elements]
            self.names = [*names, *(f"{name} {which}" for which in ("min", "max") for name in names)]

    def show(self, rows: NDArray[Any]) -> None:
        """Called with rows, ascending."""
        self.count += len(rows)

    def show_break(self) -> None:
        """Called between two rows that an interval break lies between."""

    def end(self) -> None:
        """Called last."""


class _CsvLines(_Shown):
    """A line of CSV for each row, after one with the names; a blank line for a break."""

    def begin(self, pipe: ReadPipe) -> None:
        super().begin(pipe)
        self.terminal.give(csv_row(("timestamp", *self.names)))

    def show(self, rows: NDArray[Any]) -> None:
        super().show(rows)
        lines = (f"{at},{','.join(values)}\n" for at, values in _texts(rows))
        self.terminal.give("".join(lines))

    def show_break(self) -> None:
        self.terminal.give("\n")


class _JsonLines(_Shown):
    """An object for each row; infinities, which JSON has no word for, are null."""

    def show(self, rows: NDArray[Any]) -> None:
        super().show(rows)
        keys = [json_text(name).strip() for name in self.names]
        for at, values in _texts(rows):
            pairs = (
                f"{key}:{text if text[-1].isdigit() else 'null'}"
                for key, text in zip(keys, values, strict=True)
            )
            self.terminal.out.write(f'{{"at":"{at}","values":{{{",".join(pairs)}}}}}\n')
        self.terminal.out.flush()

    def show_break(self) -> None:
        self.terminal.give('{"break":true}\n')


class _Charts(_Shown):
    """A chart for each element."""

    def __init__(self, request: ReadRequest, stream: DataStream, terminal: Terminal) -> None:
        super().__init__(request, stream, terminal)
        self._rows: list[NDArray[Any]] = []
        self._kept = 0
        self._every = 1  # of so many rows the first is kept

    def show(self, rows: NDArray[Any]) -> None:
        kept = rows[-self.count % self._every :: self._every].copy()
        super().show(rows)
        self._rows.append(kept)
        self._kept += len(kept)
        while self._kept > 2 * MOST_DRAWN:
            self._every *= 2
            self._rows = [np.concatenate(self._rows)[::2]]
            self._kept = len(self._rows[0])

    def end(self) -> None:
        if not self._rows:
            return
        rows = np.concatenate(self._rows)
        at = [from_microseconds(timestamp) for timestamp in rows["timestamp"].tolist()]
        columns, lines = self.terminal.size
        height = max(lines - 2, CHART_HEIGHT) if len(self.stream.elements) == 1 else CHART_HEIGHT
        charts: list[str] = []
        for index, element in enumerate(self.stream.elements):
            values = rows["data"][:, index].tolist()
            points = [Datapoint(at=when, value=str(value)) for when, value in zip(at, values, strict=True)]
            title = f"{self.path}: {element.name}" + (f" ({element.units})" if element.units else "")
            charts.append(chart(points, title=title, width=columns, height=height))
        self.terminal.give("\n".join(charts))


def _texts(rows: NDArray[Any]) -> Iterator[tuple[str, list[str]]]:
    """Each row as ISO 8601 and the shortest texts that read back as the same numbers."""
    times = np.datetime_as_string(rows["timestamp"].astype("datetime64[us]"), timezone="UTC")
    return zip(times.tolist(), rows["data"].astype(str).tolist(), strict=True)


def _shown(request: ReadRequest, stream: DataStream, terminal: Terminal) -> _Shown:
    kinds: dict[Form, type[_Shown]] = {"json": _JsonLines, "plot": _Charts}
    return kinds.get(request.form, _CsvLines)(request, stream, terminal)
