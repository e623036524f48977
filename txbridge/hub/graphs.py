"""Pictures of a datastream's history, drawn with matplotlib in a thread and kept for who asks again.

Equal data with an equal look is drawn once: websites show the same picture to everybody.

Source: Cosm API v2, "PNG graphs".
"""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred, succeed

from txbridge.errors import ConfigError
from txbridge.hub.turns import Turns

__all__ = ["Graph", "Graphs", "draw"]

DPI = 100
KEPT = 64  # pictures
LABEL_POINTS = 7.0


@frozen
class Graph:
    """What to draw, and how.

    Attributes:
        points: Instants and values; NaN breaks the line.
        start: The left edge.
        end: The right edge.
        width: In pixels.
        height: In pixels.
        colour: Of the line, such as ``"#f15a24"``.
        title: Above it, or None.
        legend: What the line is, or None.
        stroke: The line's width in pixels.
        axis_labels: Whether axes have labels.
        grid: Whether there is a detailed grid.
        low: The lower edge, or None for whatever the points need.
        high: The upper edge, or None.
        zone: Of the labels of time.
    """

    points: tuple[tuple[datetime, float], ...]
    start: datetime
    end: datetime
    width: int = 545
    height: int = 145
    colour: str = "#f15a24"
    title: str | None = None
    legend: str | None = None
    stroke: float = 4.0
    axis_labels: bool = False
    grid: bool = False
    low: float | None = None
    high: float | None = None
    zone: tzinfo = UTC


def draw(graph: Graph) -> bytes:
    """Draw a PNG; takes some tens of milliseconds.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigError(["graphs need the package matplotlib: pip install 'txbridge[graphs]'"]) from None
    figure = Figure(figsize=(graph.width / DPI, graph.height / DPI), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    times: Any = [at for at, _ in graph.points]  # as dates, which matplotlib converts
    width = graph.stroke * 72 / DPI
    values = [value for _, value in graph.points]
    axes.plot(times, values, color=graph.colour, linewidth=width, solid_capstyle="round", label=graph.legend)
    axes.set_xlim(graph.start, graph.end)  # type: ignore[arg-type]  # dates are converted
    axes.set_ylim(graph.low, graph.high)
    axes.tick_params(
        labelsize=LABEL_POINTS, labelbottom=graph.axis_labels, labelleft=graph.axis_labels, length=0
    )
    locator = AutoDateLocator(tz=graph.zone, maxticks=8)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    formatter = ConciseDateFormatter(locator, tz=graph.zone)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(formatter)
    axes.grid(True, color="#dddddd", linewidth=0.6)
    if graph.grid:
        axes.minorticks_on()
        axes.grid(True, which="minor", color="#eeeeee", linewidth=0.4)
    for text in (
        axes.set_title(graph.title, fontsize=9) if graph.title else None,
        *(axes.legend(fontsize=LABEL_POINTS, loc="upper left").get_texts() if graph.legend else ()),
    ):
        if text is not None:
            text.set_parse_math(False)  # a title is not a formula
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=DPI)
    return picture.getvalue()


class Graphs:
    """Draws one at a time.

    Args:
        run: Runs a function in a thread.
    """

    def __init__(self, run: Callable[[Callable[[], Any]], Deferred[Any]]) -> None:
        self._turns = Turns(run, "graphs wait to be drawn")
        self._kept: OrderedDict[Graph, bytes] = OrderedDict()

    def draw(self, graph: Graph) -> Deferred[bytes]:
        """Draw a PNG, or give the one that was drawn before.

        Raises:
            ConfigError: matplotlib is not installed.
            StoreError: Too many wait.
        """
        known = self._kept.get(graph)
        if known is not None:
            self._kept.move_to_end(graph)
            return succeed(known)
        return self._turns.take(lambda: draw(graph)).addCallback(self._keep, graph)

    def _keep(self, picture: bytes, graph: Graph) -> bytes:
        self._kept[graph] = picture
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return picture
