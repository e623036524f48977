"""Queries: the parameters of an export, the choice of points, and the documents they become.

A history is walked from its newest point backwards, page by page, because ``limit`` keeps the newest: the
guides' "last 5 results after a given start".  Whoever walks gives each page to `Selection.take`, and stops
when it says that it has enough.  What is chosen is given in ascending order.

Where the clients' sources leave open what the service did, it is decided here: bounds are inclusive, and
mean the whole millisecond that they name, because clients cut their microseconds off; ``greater_than`` and
``less_than`` are strict; groups begin at multiples of their length since 1970, and have the time of their
beginning; an operator without groups gives one point, at the time of the oldest that it saw.  Operators but
``count`` see the numbers alone.

Source: iobeam's Python client 0.10 with its guide, the Go client 0.8 and the Node client.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Context, Decimal

from attrs import define, field, frozen

from txbridge.iobeam.imports import UNITS
from txbridge.iobeam.refusal import bad_request
from txbridge.model.instants import shorten
from txbridge.model.numbers import parse_number

__all__ = [
    "CSV_HEADER",
    "ExportQuery",
    "Row",
    "Selection",
    "csv_points",
    "json_points",
    "json_series",
    "parse_export",
    "parse_timefmt",
    "write_time",
]

Row = tuple[int, str]
"""A stored point: microseconds since 1970, and the value's text."""

CSV_HEADER = b"project_id,device_id,name,time,value\r\n"
"""Source: the Go client's uploader reads the name of a series from the third column."""

OPERATORS = ("sum", "count", "min", "max", "mean")
_GROUP_UNITS = {
    "us": 1,
    "ms": 1000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
    "w": 604_800_000_000,
}
_GROUP = re.compile(r"([0-9]{1,12})(us|ms|s|m|h|d|w)")
_INTEGER = re.compile(r"[+-]?[0-9]{1,30}")
_JSON_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?")
_LAST = 2**62  # microseconds; far outside of what is stored, and no sum with it is too large for SQLite
_SUM = Context(prec=900)  # exact for every number there is
_MEAN = Context(prec=15)  # what a double holds for certain


@frozen
class ExportQuery:
    """What is asked for.

    Attributes:
        first: The first instant, in microseconds since 1970.
        last: The last one.
        limit: The most points of each series, the newest; None for all.
        timefmt: What times of the answer count: ``sec``, ``msec``, ``usec`` or ``timeval``.
        greater_than: What values must be above.
        less_than: What values must be below.
        equals: What values must be; the text of a number is any that means the same.
        operator: One of `OPERATORS`, or None for the points themselves.
        group: The length of a group in microseconds; None for a single one.
        output: ``json`` or ``csv``.
    """

    first: int = -_LAST
    last: int = _LAST
    limit: int | None = None
    timefmt: str = "msec"
    greater_than: Decimal | None = None
    less_than: Decimal | None = None
    equals: str | None = None
    operator: str | None = None
    group: int | None = None
    output: str = "json"


def parse_export(parameters: Mapping[str, str]) -> ExportQuery:
    """Read the parameters of an export; blank ones are absent, and others do not matter.

    Raises:
        Refusal: 400, one cannot be read, or two do not go together.
    """
    given = _given(parameters)
    start, end, limit = (_integer(given, name) for name in ("from", "to", "limit"))
    if limit is not None and limit < 1:
        raise bad_request("limit", "must be at least 1")
    operator = _choice(given, "operator", OPERATORS)
    group = None
    if "group_by" in given:
        found = _GROUP.fullmatch(given["group_by"])
        group = 0 if found is None else int(found[1]) * _GROUP_UNITS[found[2]]
        if not 0 < group < _LAST:
            raise bad_request("group_by", f"must be a number and one of {', '.join(_GROUP_UNITS)}")
        if operator is None:
            raise bad_request("group_by", f"needs an operator: {', '.join(OPERATORS)}")
    return ExportQuery(
        first=-_LAST if start is None else _clamp(start * 1000),
        last=_LAST if end is None else _clamp(end * 1000 + 999),
        limit=limit,
        timefmt=parse_timefmt(given),
        greater_than=_number(given, "greater_than"),
        less_than=_number(given, "less_than"),
        equals=given.get("equals"),
        operator=operator,
        group=group,
        output=_choice(given, "output", ("json", "csv")) or "json",
    )


def parse_timefmt(parameters: Mapping[str, str]) -> str:
    """What times of an answer count: ``sec``, ``msec``, which it is if nobody says, ``usec`` or ``timeval``.

    Raises:
        Refusal: 400, it is something else.
    """
    return _choice(_given(parameters), "timefmt", (*UNITS, "timeval")) or "msec"


def _given(parameters: Mapping[str, str]) -> dict[str, str]:
    return {name: text.strip() for name, text in parameters.items() if text.strip()}


def _integer(given: Mapping[str, str], name: str) -> int | None:
    text = given.get(name)
    if text is None:
        return None
    if _INTEGER.fullmatch(text) is None:
        raise bad_request(name, f"must be a whole number, not {shorten(text)}")
    return int(text)


def _number(given: Mapping[str, str], name: str) -> Decimal | None:
    text = given.get(name)
    number = None if text is None else parse_number(text)
    if text is not None and number is None:
        raise bad_request(name, f"must be a number, not {shorten(text)}")
    return number


def _choice(given: Mapping[str, str], name: str, choices: Sequence[str]) -> str | None:
    text = given.get(name)
    if text is not None and text.lower() not in choices:
        raise bad_request(name, f"must be one of {', '.join(choices)}, not {shorten(text)}")
    return None if text is None else text.lower()


def _clamp(instant: int) -> int:
    return max(-_LAST, min(_LAST, instant))


# ----------------------------------------------------------------------------------------- selection


@define
class _Group:
    """What is known of the points of a group."""

    start: int
    count: int = 0
    total: Decimal = field(factory=Decimal)
    numbers: int = 0
    least: tuple[Decimal, str] | None = None
    greatest: tuple[Decimal, str] | None = None

    def add(self, text: str, number: Decimal | None) -> None:
        self.count += 1
        if number is None:
            return
        self.numbers += 1
        self.total = _SUM.add(self.total, number)
        if self.least is None or number <= self.least[0]:
            self.least = (number, text.strip())
        if self.greatest is None or number >= self.greatest[0]:
            self.greatest = (number, text.strip())

    def result(self, operator: str) -> str | None:
        if operator == "count":
            return str(self.count)
        if self.least is None or self.greatest is None:
            return None
        if operator == "sum":
            return str(self.total)
        if operator == "mean":
            return str(_MEAN.divide(self.total, Decimal(self.numbers)))
        return (self.least if operator == "min" else self.greatest)[1]


class Selection:
    """The points of one series that an export gives.

    Args:
        query: What is asked for.

    Attributes:
        count: How many points are chosen so far.
    """

    def __init__(self, query: ExportQuery) -> None:
        self.count = 0
        self._query = query
        self._equal = None if query.equals is None else parse_number(query.equals)
        self._filtered = any(
            bound is not None for bound in (query.greater_than, query.less_than, query.equals)
        )
        self._chosen: list[Row] = []
        self._group: _Group | None = None

    @property
    def missing(self) -> int | None:
        """How many more stored points are of use at most; None is any number."""
        if self._query.operator is not None or self._filtered:
            return None
        return self._room

    @property
    def _room(self) -> int | None:
        limit = self._query.limit
        return None if limit is None else limit - self.count

    def take(self, rows: Sequence[Row]) -> bool:
        """Look at the next points, from newer to older.

        Returns:
            Whether there are enough.
        """
        if self._query.operator is None:
            self._choose([row for row in rows if self._agrees(row[1])] if self._filtered else rows)
        else:
            for row in rows:
                if self._agrees(row[1]):
                    self._gather(*row)
        return self._room == 0

    def drain(self) -> list[Row]:
        """What was chosen since this was called last, in ascending order; older than what it gave before."""
        chosen, self._chosen = self._chosen, []
        return chosen[::-1]

    def finish(self) -> list[Row]:
        """The rest; called once there are no more points, or enough."""
        self._close_group()
        return self.drain()

    def _choose(self, rows: Sequence[Row]) -> None:
        rows = rows[: self._room]
        self.count += len(rows)
        self._chosen += rows

    def _agrees(self, text: str) -> bool:
        query = self._query
        if not self._filtered:
            return True
        number = parse_number(text)
        if query.equals is not None:
            is_equal = text == query.equals if self._equal is None else number == self._equal
            if not is_equal:
                return False
        if query.greater_than is not None and (number is None or not number > query.greater_than):
            return False
        return query.less_than is None or (number is not None and number < query.less_than)

    def _gather(self, at: int, text: str) -> None:
        length = self._query.group
        start = at if length is None else at // length * length
        group = self._group
        if group is None or (length is not None and group.start != start):
            self._close_group()
            group = self._group = _Group(start)
        group.start = start
        group.add(text, parse_number(text))

    def _close_group(self) -> None:
        if self._group is None:
            return
        result = self._group.result(self._query.operator or "")
        if result is not None:
            self._choose([(self._group.start, result)])
        self._group = None


# ----------------------------------------------------------------------------------------- documents


def write_time(at: int, timefmt: str) -> str:
    """An instant as the answer has it; what is finer than its unit is cut off."""
    if timefmt == "timeval":
        return f'{{"sec":{at // 1_000_000},"usec":{at % 1_000_000}}}'
    return str(at // UNITS[timefmt])


def json_points(rows: Iterable[Row], timefmt: str) -> bytes:
    """Points in the answer, with commas between them."""
    points = [f'{{"time":{write_time(at, timefmt)},"value":{_json_value(text)}}}' for at, text in rows]
    return ",".join(points).encode()


def json_series(project_id: int, device_id: str, name: str, pieces: Iterable[bytes]) -> bytes:
    """The entry of a series in the answer.

    Args:
        project_id: The project.
        device_id: The device.
        name: The series.
        pieces: What `json_points` made of its points, none of them empty.
    """
    head = json.dumps({"project_id": project_id, "device_id": device_id, "name": name}, separators=(",", ":"))
    return b"".join((head[:-1].encode(), b',"data":[', b",".join(pieces), b"]}"))


def _json_value(text: str) -> str:
    """A value as JSON has it: what is the text of a number or a boolean is one."""
    if text in ("true", "false") or _JSON_NUMBER.fullmatch(text) is not None:
        return text
    return json.dumps(text)


def csv_points(project_id: int, device_id: str, name: str, rows: Iterable[Row], timefmt: str) -> bytes:
    """The lines of a series; with ``timeval`` a time is seconds with six digits after the point."""
    head = f"{project_id},{_csv_cell(device_id)},{_csv_cell(name)}"
    lines = [f"{head},{_csv_time(at, timefmt)},{_csv_cell(text)}\r\n" for at, text in rows]
    return "".join(lines).encode("utf-8", "surrogatepass")


def _csv_time(at: int, timefmt: str) -> str:
    if timefmt == "timeval":
        return f"{at // 1_000_000}.{at % 1_000_000:06d}"
    return write_time(at, timefmt)


def _csv_cell(text: str) -> str:
    if any(special in text for special in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text
