"""The command that shows history, in the forms it has.

Lines, JSON and CSV go out as they come in, so a history of any length takes no more memory than a
short one.  Only a chart needs all its points at once; the caller asks for no more than it can show.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from attrs import frozen

from txbridge.cosm.client import Client
from txbridge.daemon.commands import Form
from txbridge.daemon.config import Span
from txbridge.daemon.render import chart, csv_point, json_text, point_line, point_members, symbol_of
from txbridge.daemon.running import DONE
from txbridge.daemon.terminal import Terminal
from txbridge.model.instants import format_instant
from txbridge.model.structures import Datapoint, Datastream
from txbridge.net.deferred import deferred

__all__ = ["HistoryRequest", "history"]

CHART_HEIGHT = 16  # lines of a chart, unless it has the terminal for itself


@frozen
class HistoryRequest:
    """Which history, and how to show it.

    Attributes:
        feed_id: The feed.
        datastream_id: One datastream of it; None is all of them.
        span: From when to when.
        interval: Seconds between sampled points; 0 for every stored point.
        limit: The most points of each datastream, the earliest; None for all.
        form: How to show it.
    """

    feed_id: int
    datastream_id: str | None
    span: Span
    interval: int = 0
    limit: int | None = None
    form: Form = "table"


@deferred
async def history(client: Client, terminal: Terminal, request: HistoryRequest) -> int:
    """Show stored points, however many: all but a chart goes out as it comes in."""
    if request.datastream_id is not None:
        streams = [await client.read_datastream(feed_id=request.feed_id, datastream_id=request.datastream_id)]
        streams[0].id = request.datastream_id
    else:
        streams = list((await client.read_feed(feed_id=request.feed_id)).datastreams.values())
    span = request.span
    # A sample stands at the end of its interval; the last one may end after what was asked for.
    until = span.end + timedelta(seconds=request.interval)
    shown = _SHOWN[request.form](terminal, request, streams)
    shown.begin()
    gives = request.form != "plot"
    with terminal.progress("reading history", float(len(streams)), gives=gives) as report:
        for position, stream in enumerate(streams):
            shown.begin_stream(stream)
            left = request.limit
            walk = client.walk_history(
                stream.id, span.start, until, interval=request.interval, feed_id=request.feed_id
            )
            while (left is None or left > 0) and (found := await walk.next_datapoints()):
                points = [point for point in found if point.at is None or point.at <= span.end][:left]
                left = None if left is None else left - len(points)
                if points:
                    shown.show(points)
                report(position + walk.progress)
            shown.end_stream()
    shown.end()
    return DONE


class _Shown:
    """How history is shown; the base shows nothing."""

    def __init__(self, terminal: Terminal, request: HistoryRequest, streams: Sequence[Datastream]) -> None:
        self.terminal = terminal
        self.request = request
        self.stream = Datastream()
        self.width = max((len(stream.id or "") for stream in streams), default=0)
        self.count = 0

    def begin(self) -> None:
        """Called first."""

    def begin_stream(self, stream: Datastream) -> None:
        """Called before the points of a datastream."""
        self.stream = stream

    def show(self, points: Sequence[Datapoint]) -> None:
        """Called with points of the datastream, ascending."""
        self.count += len(points)

    def end_stream(self) -> None:
        """Called after the points of a datastream."""

    def end(self) -> None:
        """Called last."""


class _Lines(_Shown):
    """A line for each point, for people."""

    def show(self, points: Sequence[Datapoint]) -> None:
        super().show(points)
        name, symbol = self.stream.id or "", symbol_of(self.stream)
        self.terminal.give("".join(point_line(name, self.width, point, symbol) for point in points))

    def end(self) -> None:
        if not self.count:
            self.terminal.say(_nothing(self.request))


class _CsvLines(_Shown):
    """A line of CSV for each point, as ``send`` reads them."""

    def show(self, points: Sequence[Datapoint]) -> None:
        super().show(points)
        self.terminal.give("".join(csv_point(self.stream.id or "", point) for point in points))


class _JsonDocument(_Shown):
    """One document, shaped like the feed's own."""

    _first = True

    def begin(self) -> None:
        self.terminal.give(f'{{"id":{self.request.feed_id},"datastreams":[')

    def begin_stream(self, stream: Datastream) -> None:
        comma = "" if self._first else ","
        self._first = False
        self.terminal.give(f'{comma}{{"id":{json_text(stream.id).strip()},"datapoints":[')
        self.count = 0

    def show(self, points: Sequence[Datapoint]) -> None:
        texts = [json_text(point_members(point)).strip() for point in points]
        self.terminal.give(("," if self.count else "") + ",".join(texts))
        super().show(points)

    def end_stream(self) -> None:
        self.terminal.give("]}")

    def end(self) -> None:
        self.terminal.give("]}\n")


class _Charts(_Shown):
    """A chart for each datastream."""

    def __init__(self, terminal: Terminal, request: HistoryRequest, streams: Sequence[Datastream]) -> None:
        super().__init__(terminal, request, streams)
        self.points: list[Datapoint] = []
        self.charts: list[str] = []
        width, height = terminal.size
        self.height = max(height - 2, CHART_HEIGHT) if len(streams) == 1 else CHART_HEIGHT
        self.columns = width

    def show(self, points: Sequence[Datapoint]) -> None:
        super().show(points)
        self.points += points

    def end_stream(self) -> None:
        points, self.points = self.points, []
        symbol = symbol_of(self.stream)
        title = f"feed {self.request.feed_id}: {self.stream.id}" + (f" ({symbol})" if symbol else "")
        if points:
            self.charts.append(chart(points, title=title, width=self.columns, height=self.height))

    def end(self) -> None:
        self.terminal.give("\n".join(self.charts))
        if not self.count:
            self.terminal.say(_nothing(self.request))


_SHOWN: dict[Form, type[_Shown]] = {
    "table": _Lines,
    "json": _JsonDocument,
    "csv": _CsvLines,
    "plot": _Charts,
}


def _nothing(request: HistoryRequest) -> str:
    span = request.span
    return f"there is nothing from {format_instant(span.start)} to {format_instant(span.end)}"
