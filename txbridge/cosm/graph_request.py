"""What a request for a picture of a datastream asks for.

The short names are the documentation's, the long ones those of the code that websites embedded.

Source: Cosm API v2, "PNG graphs".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise
from math import ceil, nan

from attrs import evolve

from txbridge.cosm.history import INTERVALS, MAX_LIMIT, parse_duration
from txbridge.cosm.negotiation import Parameters
from txbridge.cosm.refusal import invalid
from txbridge.hub.graphs import Graph
from txbridge.hub.store import HistoryQuery
from txbridge.model.numbers import parse_number
from txbridge.model.structures import Datapoint, Datastream

__all__ = ["parse_graph", "with_points"]

DEFAULT_SPAN = timedelta(hours=24)
LEAST_PIXELS, MOST_PIXELS = 10, 2000
MOST_STROKE = 50
MOST_TEXT = 200
MOST_VALUE = 1e300  # matplotlib adds margins to it, and a double ends at 1.8e308
EARLIEST, LATEST = (
    datetime(1000, 1, 1, tzinfo=UTC),
    datetime(3000, 1, 1, tzinfo=UTC),
)  # it rounds up to 1000 years
PERIODS = (86400, 43200, 21600, 10800, 3600, 1800, 900, 600, 300, 120, 60, 30, 15, 10, 5, 2, 1)  # seconds
BROKEN_AFTER = 3.5  # usual distances of points without one

_COLOUR = re.compile(r"#?([0-9a-fA-F]{6}|[0-9a-fA-F]{3})")


def parse_graph(parameters: Parameters, now: datetime, zone: tzinfo | None) -> tuple[Graph, HistoryQuery]:
    """The picture without its points, and the history that it needs.

    Args:
        parameters: Of the request.
        now: The default right edge.
        zone: Of the labels; None is UTC.

    Raises:
        Refusal: 422, naming the parameter.
    """
    start, end = _window(parameters, now)
    width = _pixels(parameters, ("w", "width"), 545)
    if "end" not in parameters and end == now:
        end = _next_picture(end, (end - start) / width)
        start = start if "start" in parameters else start + (end - now)
    colour = _text(parameters, ("c", "colour", "color")) or "f15a24"
    match = _COLOUR.fullmatch(colour)
    if match is None:
        raise invalid(["Colour is not a hexadecimal number such as f15a24"])
    low = high = None
    if parameters.choice("scale", ("auto", "datastream", "manual"), "auto") == "manual":
        low, high = (_level(parameters, name) for name in ("min", "max"))
        if low is not None and high is not None and not low < high:
            raise invalid(["Min must be below max"])
    graph = Graph(
        (),
        start,
        end,
        width=width,
        height=_pixels(parameters, ("h", "height"), 145),
        colour=f"#{match[1]}",
        title=_text(parameters, ("t", "title")),
        legend=_text(parameters, ("l", "legend")),
        stroke=float(min(MOST_STROKE, _pixels(parameters, ("s", "stroke_size"), 4, least=1))),
        axis_labels=_flag(parameters, ("b", "show_axis_labels")),
        grid=_flag(parameters, ("g", "detailed_grid")),
        low=low,
        high=high,
        zone=UTC if zone is None else zone,
    )
    seconds = (end - start).total_seconds()
    room = min(width, MAX_LIMIT)
    fits = (one for one in INTERVALS if not one.seconds or seconds / one.seconds <= room)
    interval = next((one for one in fits if end - start <= one.widest), INTERVALS[-1])
    return graph, HistoryQuery(
        max(start, end - interval.widest), end, limit=MAX_LIMIT, interval=interval.seconds
    )


def with_points(graph: Graph, scale: str | None, stream: Datastream, points: Iterable[Datapoint]) -> Graph:
    """The picture with its points, and a line that is broken where some are missing.

    Args:
        graph: The picture.
        scale: The parameter of that name.
        stream: The datastream, for the scale of its own extremes.
        points: Of its history, ascending.
    """
    line: list[tuple[datetime, float]] = []
    for point in points:
        value = _drawable(point.value)
        if value is not None and point.at is not None:
            line.append((point.at, value))
    steps = sorted(after[0] - before[0] for before, after in pairwise(line))
    usual = steps[len(steps) // 2] if steps else timedelta(0)
    broken: list[tuple[datetime, float]] = line[:1]
    for before, after in pairwise(line):
        if usual and after[0] - before[0] > BROKEN_AFTER * usual:
            broken.append((before[0] + (after[0] - before[0]) / 2, nan))
        broken.append(after)
    if scale == "datastream":
        low, high = _drawable(stream.min_value), _drawable(stream.max_value)
        if low is not None and high is not None and low < high:
            graph = evolve(graph, low=low, high=high)
    return evolve(graph, points=tuple(broken))


def _window(parameters: Parameters, now: datetime) -> tuple[datetime, datetime]:
    start, end, text = parameters.instant("start"), parameters.instant("end"), parameters.text("duration")
    try:
        length = None if text is None else parse_duration(text)
    except ValueError as error:
        raise invalid([f"Duration is malformed: {error}"]) from None
    try:
        if start is None:
            end = end or now
            start = length.before(end) if length is not None else end - DEFAULT_SPAN
        elif end is None:
            end = length.after(start) if length is not None else max(now, start)
    except OverflowError:
        raise invalid(["The window reaches beyond the calendar"]) from None
    if not start < end:
        raise invalid(["Start must be before end"])
    if start < EARLIEST or end > LATEST:
        raise invalid([f"The window must be from the year {EARLIEST.year} to {LATEST.year}"])
    return start, end


def _next_picture(now: datetime, of_a_pixel: timedelta) -> datetime:
    """Now, or the end of the period around it, which is not longer than a pixel is wide.

    So whoever asks within that period is shown the same picture, which is drawn once.
    """
    seconds = next((one for one in PERIODS if timedelta(seconds=one) <= of_a_pixel), None)
    return now if seconds is None else datetime.fromtimestamp(ceil(now.timestamp() / seconds) * seconds, UTC)


def _text(parameters: Parameters, names: tuple[str, ...]) -> str | None:
    text = next((text for name in names if (text := parameters.text(name)) is not None), None)
    if text is not None and len(text) > MOST_TEXT:
        raise invalid([f"{names[-1].capitalize()} is too long (maximum is {MOST_TEXT} characters)"])
    return text


def _pixels(parameters: Parameters, names: tuple[str, ...], default: int, least: int = LEAST_PIXELS) -> int:
    numbers = (parameters.integer(name) for name in names)
    pixels = next((number for number in numbers if number is not None), default)
    if not least <= pixels <= MOST_PIXELS:
        raise invalid([f"{names[-1].capitalize()} must be from {least} to {MOST_PIXELS} pixels"])
    return pixels


def _level(parameters: Parameters, name: str) -> float | None:
    number = parameters.number(name)
    if number is not None and abs(number) > MOST_VALUE:
        raise invalid([f"{name.capitalize()} is larger than can be drawn"])
    return number


def _drawable(text: str | None) -> float | None:
    number = parse_number(text or "")
    return None if number is None or abs(number) > MOST_VALUE else float(number)


def _flag(parameters: Parameters, names: tuple[str, ...]) -> bool:
    return any(parameters.flag(name) for name in names)
