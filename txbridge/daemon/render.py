"""What the program shows, as text: tables, CSV, JSON, charts.  Nothing here writes anything.

Titles and values come from other people's devices.  So that none of them can steer the terminal,
every control character is shown as an escape before it gets into a table or a chart; JSON and CSV
carry the text as it is, which is what a script wants.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.cells import cell_len, set_cell_size

from txbridge.model.instants import format_instant
from txbridge.model.numbers import parse_number
from txbridge.model.structures import Datapoint, Datastream, Environment

__all__ = [
    "ago",
    "byte_size",
    "chart",
    "clean",
    "csv_point",
    "csv_row",
    "feed_details",
    "feed_rows",
    "instant",
    "json_text",
    "length_of_time",
    "nanoseconds",
    "point_json",
    "point_line",
    "point_members",
    "points_text",
    "quantity",
    "sparkline",
    "symbol_of",
    "table",
]

WIDEST_CELL = 60
EMPTY = "-"

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_BARS = "▁▂▃▄▅▆▇█"
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_SCALES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def clean(text: str) -> str:
    """Text that cannot steer a terminal: control characters become escapes."""
    return _CONTROL.sub(
        lambda match: match[0].encode("unicode_escape").decode("ascii"), text.replace("\t", " ")
    )


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[int] = ()) -> str:
    """Rows in columns.

    Args:
        header: The columns' names; a row has as many cells.
        rows: Cells; one that is empty is shown as a dash, a long one is cut.
        right: Columns to align at the right.
    """
    cells = [[_cell(text) for text in row] for row in rows]
    to_right = set(right)
    widths = [
        max(cell_len(name), *(cell_len(row[column]) for row in cells)) if cells else cell_len(name)
        for column, name in enumerate(header)
    ]
    lines = [
        "  ".join(
            " " * (width - cell_len(text)) + text if column in to_right else set_cell_size(text, width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in ([name.upper() for name in header], *cells)
    ]
    return "\n".join(lines) + "\n"


def csv_row(cells: Sequence[str]) -> str:
    """One line of CSV, with its end."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def json_text(document: Any) -> str:
    """A JSON document on one line, with its end; nothing but ASCII, so any terminal can show it."""
    return json.dumps(document, separators=(",", ":")) + "\n"


def point_json(feed_id: int, datastream_id: str, point: Datapoint) -> dict[str, Any]:
    """A point as the members of a JSON object."""
    return {"feed": feed_id, "datastream": datastream_id, **point_members(point)}


def point_members(point: Datapoint) -> dict[str, Any]:
    """A point on its own as the members of a JSON object."""
    return {"at": format_instant(point.at) if point.at is not None else None, "value": point.value}


def point_line(name: str, width: int, point: Datapoint, symbol: str | None) -> str:
    """A point as a line for people.

    Args:
        name: The datastream.
        width: Columns that names take.
        point: The point.
        symbol: Of its unit.
    """
    padded = set_cell_size(clean(name), max(width, cell_len(clean(name))))
    return f"{instant(point.at)}  {padded}  {clean(quantity(point.value, symbol))}\n"


def csv_point(name: str, point: Datapoint) -> str:
    """A point as a line of CSV, as ``send`` reads it."""
    at = format_instant(point.at) if point.at is not None else ""
    return csv_row((name, at, point.value or ""))


def symbol_of(stream: Datastream) -> str | None:
    """What stands behind a datastream's values."""
    return None if stream.unit is None else stream.unit.symbol or stream.unit.label


def instant(at: datetime | None) -> str:
    """An instant for people: UTC, to the millisecond."""
    if at is None:
        return ""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(" ", timespec="milliseconds") + "Z"


def ago(at: datetime | None, now: datetime) -> str:
    """How long ago an instant is, to one unit."""
    if at is None:
        return ""
    seconds = int((now - at).total_seconds())
    if seconds < 0:
        return "in the future"
    for length, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= length:
            count = seconds // length
            return f"{count} {name}{'s' if count > 1 else ''} ago"
    return f"{seconds} s ago"


def length_of_time(seconds: float) -> str:
    """A length of time to two units, such as ``3 d 4 h``."""
    count = int(seconds)
    if count < 1:
        return f"{max(0.0, seconds):.1f} s"
    words: list[str] = []
    for length, unit in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        if count >= length:
            words.append(f"{count // length} {unit}")
            count %= length
        elif words:
            break
    return " ".join(words[:2])


def byte_size(count: float) -> str:
    """So many bytes, for people, such as ``1.5 MiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1000:  # 1023 would need a fourth digit
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.3g} TiB"


def points_text(count: int) -> str:
    """How many points, in words."""
    return "1 point" if count == 1 else f"{count} points"


def nanoseconds(at_ns: int) -> str:
    """An instant in nanoseconds since 1970 as ISO 8601, with all of its nine digits."""
    seconds, fraction = divmod(at_ns, 10**9)
    try:
        at = datetime.fromtimestamp(0, UTC) + timedelta(seconds=seconds)
    except OverflowError:  # no calendar goes so far
        return f"{at_ns} ns"
    return f"{at.replace(tzinfo=None).isoformat()}.{fraction:09}Z"


def quantity(value: str | None, symbol: str | None) -> str:
    """A value with its unit for people: bytes get a prefix, other long fractions lose digits.

    Text that is no number stays as it is.
    """
    if value is None:
        return ""
    number = parse_number(value)
    unit = f" {symbol}" if symbol else ""
    if number is None:
        return f"{value}{unit}"
    if symbol in ("B", "B/s"):
        for scale, prefix in _SCALES:
            if abs(number) >= scale:
                return f"{float(number) / scale:.2f} {prefix}{symbol}"
        return f"{float(number):.0f} {symbol}"
    if len(value) > 9 and "." in value:
        return f"{float(number):.6g}{unit}"
    return f"{value}{unit}"


def feed_rows(feeds: Iterable[Environment], now: datetime) -> list[tuple[str, ...]]:
    """Feeds as rows: id, title, status, when updated, datastreams."""
    return [
        (
            str(feed.id),
            feed.title or "",
            " ".join(word for word in (feed.status or "", "private" if feed.private else "") if word),
            ago(feed.updated, now),
            ", ".join(feed.datastreams),
        )
        for feed in feeds
    ]


def feed_details(feed: Environment, now: datetime) -> str:
    """A feed for people: what it is, then its datastreams with their current values."""
    facts = (
        ("title", feed.title),
        ("description", feed.description),
        ("status", feed.status),
        ("private", "yes" if feed.private else "no"),
        ("tags", ", ".join(feed.tags) if feed.tags else None),
        ("website", feed.website),
        ("location", _place(feed)),
        ("created", instant(feed.created)),
        ("updated", instant(feed.updated)),
        ("address", feed.feed),
    )
    lines = [f"feed {feed.id}"]
    lines += [f"  {name:<12} {clean(text)}" for name, text in facts if text]
    rows = [_stream_row(stream, now) for stream in feed.datastreams.values()]
    text = "\n".join(lines) + "\n"
    if rows:
        text += "\n" + table(("datastream", "value", "at", "min", "max"), rows, right=(1, 3, 4))
    return text


def sparkline(values: Sequence[float], width: int) -> str:
    """The last values as a row of bars between their least and their greatest."""
    shown = list(values)[-width:]
    if not shown:
        return ""
    least, greatest = min(shown), max(shown)
    steps = len(_BARS) - 1
    if greatest == least:
        return _BARS[0] * len(shown)
    return "".join(_BARS[round((value - least) / (greatest - least) * steps)] for value in shown)


def chart(datapoints: Sequence[Datapoint], *, title: str, width: int, height: int) -> str:
    """A chart for a terminal, time to the right, without colours.

    Several datastreams get a chart each: they seldom share a unit.

    Args:
        datapoints: Ascending; those whose value is no number are left out.
        title: What stands above.
        width: Columns.
        height: Lines.
    """
    at, values = _numbers(datapoints)
    if not at:
        return f"{clean(title)}: there are no numbers to draw\n"
    import plotext  # a sixth of the program's start, and only charts need it

    figure = plotext.figure
    figure.clear()
    plotext.terminal.limit(False, False)
    figure.theme("colorless")
    figure.plot_size(max(width, 30), max(height, 8))
    figure.title(clean(title))
    signal = figure.signal(at, values, marker="braille")
    signal.lines(len(at) > 1)
    figure.draw(signal)
    positions = _ticks(at[0], at[-1], max(2, width // 22))
    figure.ruler("x").ticks(positions, _tick_labels(positions))
    lines = _ANSI.sub("", str(figure.build())).splitlines()
    return "\n".join(line.rstrip() for line in lines).strip("\n") + "\n"


def _cell(text: str) -> str:
    shown = clean(text) or EMPTY
    return shown if cell_len(shown) <= WIDEST_CELL else set_cell_size(shown, WIDEST_CELL - 1) + "…"


def _stream_row(stream: Datastream, now: datetime) -> tuple[str, ...]:
    symbol = symbol_of(stream)
    return (
        stream.id or "",
        quantity(stream.current_value, symbol),
        ago(stream.at, now),
        quantity(stream.min_value, symbol),
        quantity(stream.max_value, symbol),
    )


def _place(feed: Environment) -> str | None:
    place = feed.location
    if place is None:
        return None
    where = f"{place.lat:g}, {place.lon:g}" if place.lat is not None and place.lon is not None else ""
    return ", ".join(word for word in (place.name or "", where, place.exposure or "") if word) or None


def _numbers(points: Sequence[Datapoint]) -> tuple[list[float], list[float]]:
    at: list[float] = []
    values: list[float] = []
    for point in points:
        number = parse_number(point.value) if point.value is not None else None
        if number is not None and point.at is not None and math.isfinite(value := float(number)):
            at.append(point.at.timestamp())
            values.append(value)
    return at, values


def _ticks(first: float, last: float, count: int) -> list[float]:
    if last <= first:
        return [first]
    return [first + (last - first) * step / (count - 1) for step in range(count)]


def _tick_labels(positions: Sequence[float]) -> list[str]:
    instants = [datetime.fromtimestamp(position, UTC) for position in positions]
    span = instants[-1] - instants[0]
    if span >= timedelta(days=2):
        form = "%Y-%m-%d"
    elif span >= timedelta(hours=20):
        form = "%d %b %H:%M"
    elif span >= timedelta(minutes=4):
        form = "%H:%M"
    else:
        form = "%H:%M:%S"
    return [at.strftime(form) for at in instants]
