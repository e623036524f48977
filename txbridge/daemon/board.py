"""What the demonstration shows: the last minute of each datastream, and how fast it came.

On a terminal it is one picture that changes; where nobody watches, a line for each value.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime
from math import isfinite
from statistics import median
from typing import Any

from attrs import define, field, frozen
from rich.table import Table
from rich.text import Text

from txbridge.daemon.render import clean, instant, quantity, sparkline
from txbridge.model.instants import format_instant
from txbridge.model.numbers import parse_number
from txbridge.model.structures import Datapoint

__all__ = ["Board", "Latency"]

SHOWN = 40  # values of a sparkline
REMEMBERED = 10_000  # delays, of which the median is taken
ROWS_AROUND = 14  # lines of the terminal that are not rows of the table


@frozen
class Latency:
    """How long values took from the sensor to the subscriber, in seconds.

    Attributes:
        median: Half of them took less.
        maximum: None took more.
    """

    median: float
    maximum: float

    def to_json(self) -> dict[str, float]:
        """The same in milliseconds, as members of a JSON object."""
        return {"median": round(self.median * 1000, 1), "maximum": round(self.maximum * 1000, 1)}


@define
class _Row:
    """One datastream."""

    value: str = ""
    count: int = 0
    delay: float = 0.0
    recent: deque[float] = field(factory=lambda: deque(maxlen=SHOWN))


class Board:
    """Gathers updates and draws them.

    Args:
        symbols: Datastream -> symbol of its unit; more may be put in later.

    Attributes:
        points: How many values came.
        updates: How many updates they came in.
    """

    def __init__(self, symbols: dict[str, str | None]) -> None:
        self.points = 0
        self.updates = 0
        self.symbols = symbols
        self._rows: dict[str, _Row] = {}
        self._delays: deque[float] = deque(maxlen=REMEMBERED)
        self._longest = 0.0

    def add(self, name: str, points: tuple[Datapoint, ...], now: datetime) -> None:
        """Take the new points of a datastream, which came just now."""
        row = self._rows.setdefault(name, _Row())
        self.updates += 1
        for point in points:
            self.points += 1
            row.count += 1
            row.value = point.value or ""
            number = parse_number(row.value)
            if number is not None and isfinite(drawn := float(number)):
                row.recent.append(drawn)
            if point.at is not None:
                row.delay = max(0.0, (now - point.at).total_seconds())
                self._delays.append(row.delay)
                self._longest = max(self._longest, row.delay)

    @property
    def latency(self) -> Latency | None:
        """How long values took; None before the first."""
        return Latency(median(self._delays), self._longest) if self._delays else None

    def lines(self, name: str, points: tuple[Datapoint, ...]) -> str:
        """Points as lines for people who read a log."""
        delay = f"{self._rows[name].delay * 1000:.0f} ms" if name in self._rows else ""
        return "".join(
            f"{instant(point.at)}  {clean(name):<24}  "
            f"{clean(quantity(point.value, self.symbols.get(name))):>14}  {delay:>8}\n"
            for point in points
        )

    def members(self, name: str, point: Datapoint) -> dict[str, Any]:
        """A point as the members of a JSON object."""
        row = self._rows.get(name)
        return {
            "event": "update",
            "datastream": name,
            "at": None if point.at is None else format_instant(point.at),
            "value": point.value,
            "unit": self.symbols.get(name),
            "latency_ms": None if row is None else round(row.delay * 1000, 1),
        }

    def picture(self, lines: int) -> Table:
        """Every datastream with its last values, as far as there is room.

        Args:
            lines: The terminal's height.
        """
        drawn = Table(box=None, pad_edge=False, header_style="bold", show_footer=True, footer_style="dim")
        drawn.add_column("datastream", no_wrap=True)
        drawn.add_column("now", justify="right", no_wrap=True)
        drawn.add_column(f"last {SHOWN}", no_wrap=True)
        drawn.add_column("latency", justify="right", no_wrap=True)
        names = sorted(self._rows, key=lambda name: (_is_detail(name), name))
        room = max(5, lines - ROWS_AROUND)
        for name in names[:room]:
            row = self._rows[name]
            drawn.add_row(
                Text(clean(name)),
                Text(clean(quantity(row.value, self.symbols.get(name)))),
                Text(sparkline(row.recent, SHOWN), style="cyan"),
                Text(f"{row.delay * 1000:.0f} ms"),
            )
        left = len(names) - room
        drawn.columns[0].footer = f"and {left} more" if left > 0 else ""
        drawn.columns[1].footer = f"{self.points} values"
        latency = self.latency
        drawn.columns[3].footer = "" if latency is None else f"{latency.median * 1000:.0f} ms"
        return drawn


def _is_detail(name: str) -> bool:
    """Whether a datastream is one of many alike, such as one processor of several."""
    return any(part.isdigit() for part in name.split(".")[:-1])
