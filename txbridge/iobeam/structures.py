"""The nouns of iobeam: instants with a unit, stores of rows, queries, devices, tokens.

Times are whole numbers, and whole microseconds inside: they never pass through floats.  Names that a
person may not use (``time``, ``all``) are refused where they are given, and so are values that the wire
cannot carry: a row that could never be sent would hold up those after it.

The older style, points and series of points, is in ``txbridge.iobeam.points``.

Source: iobeam Python client 0.11.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from math import isfinite
from numbers import Integral, Real
from operator import index
from typing import Any, TypeAlias

from attrs import field, frozen

from txbridge.iobeam.errors import BadArgument
from txbridge.model.instants import shorten

__all__ = [
    "MAX_POINTS",
    "DataStore",
    "DeviceInfo",
    "ExportedPoint",
    "ExportedSeries",
    "QueryReq",
    "Row",
    "TimeUnit",
    "Timestamp",
    "TokenGrant",
    "Value",
    "as_microseconds",
    "check_device_id",
    "check_project_id",
    "check_series_name",
    "check_token",
    "check_value",
]

MAX_POINTS = 1000
"""Points, which are rows times columns, of one request.  Source: the Python and Java clients."""

Value: TypeAlias = bool | int | float | str | None
"""What a cell holds; None is no value."""

_DEVICE_ID = re.compile(r"[A-Za-z0-9_:-]+")
_RESERVED = frozenset(("time", "time_offset", "all"))
_FURTHEST = 2**63


def check_project_id(project_id: Any) -> int:
    """A project's number: above zero.

    Raises:
        BadArgument: It is something else.
    """
    return _positive("projectId", project_id)


def _positive(argument: str, number: Any) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or number <= 0:
        raise BadArgument(argument, "must be an integer above 0")
    return number


def check_token(argument: str, token: Any) -> str:
    """A token as text; it is not repeated in the error.

    Raises:
        BadArgument: It is something else.
    """
    if not isinstance(token, str) or not token.strip():
        raise BadArgument(argument, "must be text that is not empty")
    if not token.isascii() or not token.strip().isprintable() or " " in token.strip():
        raise BadArgument(argument, "has characters that no token has")
    return token.strip()


def check_device_id(device_id: Any) -> str:
    """A device's id: letters, digits, ``_``, ``:`` and ``-``.

    Raises:
        BadArgument: It is something else.
    """
    if not isinstance(device_id, str) or not _DEVICE_ID.fullmatch(device_id):
        what = shorten(repr(device_id)) if isinstance(device_id, str) else f"a {type(device_id).__name__}"
        raise BadArgument("deviceId", f"must be letters, digits, '_', ':' and '-', not {what}")
    return device_id


def check_series_name(name: Any, argument: str = "seriesName") -> str:
    """A series' name: text, and none of ``time``, ``time_offset`` and ``all`` in any letter case.

    Raises:
        BadArgument: It is something else.
    """
    if not isinstance(name, str) or not name:
        raise BadArgument(argument, "must be text that is not empty")
    if name.lower() in _RESERVED:
        raise BadArgument(argument, f"{name!r} is reserved")
    _check_text(argument, name)
    return name


def _check_text(where: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadArgument(where, "has half of a surrogate pair") from None


def check_value(column: str, value: Any) -> Value:
    """A cell's value, as Python's own type.

    Raises:
        BadArgument: JSON has no form for it; the path is the column.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        _check_text(column, value)
        return str(value)
    if isinstance(value, Integral):  # numpy's too
        return int(value)
    if not isinstance(value, Real):
        kind = type(value).__name__
        raise BadArgument(column, f"must be a number, text, true, false or None, not a {kind}")
    if not isfinite(value):
        raise BadArgument(column, f"{value} is not a number that can be sent")
    return float(value)


class TimeUnit(Enum):
    """What a timestamp counts."""

    SECONDS = "sec"
    MILLISECONDS = "msec"
    MICROSECONDS = "usec"


_MICROSECONDS = {TimeUnit.SECONDS: 1_000_000, TimeUnit.MILLISECONDS: 1000, TimeUnit.MICROSECONDS: 1}


class Timestamp:
    """An instant: a whole number of units since 1970 in UTC."""

    __slots__ = ("_microseconds",)

    def __init__(self, value: int, unit: TimeUnit = TimeUnit.MILLISECONDS) -> None:
        """An instant.

        Raises:
            ValueError: It is no integer, or too far from 1970 for 64 bits.
        """
        if isinstance(value, bool) or not hasattr(value, "__index__"):
            raise BadArgument("timestamp", f"must be an integer, not a {type(value).__name__}")
        if not isinstance(unit, TimeUnit):
            raise BadArgument("unit", f"must be a TimeUnit, not a {type(unit).__name__}")
        self._microseconds = index(value) * _MICROSECONDS[unit]
        if not -_FURTHEST <= self._microseconds < _FURTHEST:
            raise BadArgument("timestamp", "is more than 64 bits of microseconds")

    def __repr__(self) -> str:
        return f"Timestamp({self._microseconds}, TimeUnit.MICROSECONDS)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Timestamp):
            return NotImplemented
        return self._microseconds == other._microseconds

    def __hash__(self) -> int:
        return hash(self._microseconds)

    def as_milliseconds(self) -> int:
        """Whole milliseconds, rounded down."""
        return self._microseconds // 1000

    def as_microseconds(self) -> int:
        """Microseconds."""
        return self._microseconds

    asMilliseconds = as_milliseconds
    asMicroseconds = as_microseconds


def as_microseconds(timestamp: Timestamp | int) -> int:
    """Microseconds of what a method is given as an instant; a bare integer is milliseconds.

    Raises:
        BadArgument: It is neither.
    """
    return (timestamp if isinstance(timestamp, Timestamp) else Timestamp(timestamp)).as_microseconds()


@frozen
class Row:
    """One row of a store.

    Attributes:
        at: Microseconds since 1970.
        values: One per column.
    """

    at: int
    values: tuple[Value, ...]


class DataStore:
    """Rows that wait to be sent: an instant, and a value for each of some columns or for fewer of them.

    What a client has sent is taken out, and nothing else; so what is left is what did not arrive.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        """An empty store.

        Args:
            columns: The names of its series.

        Raises:
            ValueError: There is none, one is no name, or two are the same.
        """
        given: Any = columns
        if isinstance(given, str) or not isinstance(given, Sequence) or not given:
            raise BadArgument("columns", "must be a list of at least one name")
        names = tuple(check_series_name(name, f"columns[{at}]") for at, name in enumerate(columns))
        for at, name in enumerate(names):
            if name in names[:at]:
                raise BadArgument(f"columns[{at}]", f"{shorten(repr(name))} is there already")
        self._columns = names
        # By numbers that are never used again, so that a row can be taken out while others are added.
        self._rows: dict[int, Row] = {}
        self._next = 0
        self._arrived: dict[int, int] = {}  # of a row that was sent in parts: how many columns of it

    def __repr__(self) -> str:
        return f"<DataStore {', '.join(self._columns):.60}: {len(self._rows)} rows>"

    def __len__(self) -> int:
        """How many points there are: rows times columns."""
        return len(self._rows) * len(self._columns)

    def __bool__(self) -> bool:
        return True  # a store is present even when it is empty

    def add(self, timestamp: Timestamp | int, values: Mapping[str, Value]) -> None:
        """Add a row.

        Args:
            timestamp: When; an integer is milliseconds.
            values: Column -> value; a column that is left out has none.

        Raises:
            ValueError: There is no value, one is of no column of the store, or one cannot be sent, such as
                NaN; it names the column.
        """
        at = as_microseconds(timestamp)
        given: Any = values
        if not isinstance(given, Mapping) or not given:
            raise BadArgument("values", "must be a dict of at least one column")
        for name in values:
            if name not in self._columns:
                raise BadArgument(shorten(str(name)), "is no column of the store")
        row = Row(at, tuple(check_value(name, values.get(name)) for name in self._columns))
        self._rows[self._next] = row
        self._next += 1

    def columns(self) -> list[str]:
        """The names of the columns."""
        return list(self._columns)

    def rows(self) -> list[dict[str, Value]]:
        """The rows, each a dict of its columns, and ``time`` in microseconds."""
        return [
            {"time": row.at, **dict(zip(self._columns, row.values, strict=True))}
            for row in self.waiting().values()
        ]

    def clear(self) -> None:
        """Drop all rows."""
        self._rows.clear()
        self._arrived.clear()

    def has_same_columns(self, columns: Sequence[str]) -> bool:
        """Whether these are the store's columns, in any order."""
        return len(columns) == len(self._columns) and set(columns) == set(self._columns)

    def split(self, rows: int) -> list[DataStore]:
        """Copies of the rows in stores of at most ``rows`` rows each."""
        if rows < 1:
            raise BadArgument("rows", "must be at least 1")
        stores: list[DataStore] = []
        for row in self._rows.values():
            if not stores or len(stores[-1]._rows) == rows:
                stores.append(DataStore(self._columns))
            stores[-1]._append(row)
        return stores

    def _append(self, row: Row) -> None:
        self._rows[self._next] = row
        self._next += 1

    hasSameColumns = has_same_columns

    # -- for who sends them

    def waiting(self) -> dict[int, Row]:
        """The rows that have not arrived, by their numbers."""
        return dict(self._rows)

    def row(self, number: int) -> Row | None:
        """The row with a number, if it still waits."""
        return self._rows.get(number)

    def arrived_columns(self, number: int) -> int:
        """How many columns of a row have arrived, from the first on."""
        return self._arrived.get(number, 0)

    def arrived(self, numbers: Iterable[int], columns: int | None = None) -> None:
        """Take out what has arrived.

        Args:
            numbers: Of the rows; those that are gone already do not matter.
            columns: How many of their columns, from the first on; None is all of them.
        """
        whole = columns is None or columns >= len(self._columns)
        for number in numbers:
            if whole:
                self._rows.pop(number, None)
                self._arrived.pop(number, None)
            elif number in self._rows and columns is not None:
                self._arrived[number] = columns


class QueryReq:
    """What to ask for: of which device and series, from when to when, with which values.

    Each method returns the query, so that they can be chained; None changes nothing.
    """

    def __init__(
        self,
        projectId: int,
        deviceId: str | None = None,
        seriesName: str | None = None,
        timeUnit: TimeUnit = TimeUnit.MILLISECONDS,
    ) -> None:
        """A query.

        Args:
            projectId: The project.
            deviceId: The device; None is every device.
            seriesName: The series; None is every series.
            timeUnit: What the times of the answer count, and times given as integers.

        Raises:
            ValueError: One of them cannot be asked for.
        """
        self.project_id = check_project_id(projectId)
        self.device_id = None if deviceId in (None, "", "all") else check_device_id(deviceId)
        self.series_name = None if seriesName in (None, "", "all") else check_series_name(seriesName)
        if not isinstance(timeUnit, TimeUnit):
            raise BadArgument("timeUnit", f"must be a TimeUnit, not a {type(timeUnit).__name__}")
        self.time_unit = timeUnit
        self._params: dict[str, str] = {}
        self._bounds: dict[str, float] = {}  # instants in microseconds

    def __repr__(self) -> str:
        return f"<QueryReq {self.get_url()} {self.get_params()}>"

    def limit(self, limit: int | None) -> QueryReq:
        """At most so many points of each series."""
        if limit is not None:
            self._params["limit"] = str(_positive("limit", limit))
        return self

    def from_time(self, start: Timestamp | int | None) -> QueryReq:
        """From this instant on.  What travels is whole milliseconds, never less than was asked for."""
        return self.in_time_range(start, None)

    def to_time(self, end: Timestamp | int | None) -> QueryReq:
        """Up to this instant.  What travels is whole milliseconds, never less than was asked for."""
        return self.in_time_range(None, end)

    def in_time_range(self, start: Timestamp | int | None, end: Timestamp | int | None) -> QueryReq:
        """Between two instants, both included."""
        self._bound("from", "to", *(None if at is None else self._microseconds(at) for at in (start, end)))
        return self

    def _microseconds(self, at: Timestamp | int) -> int:
        return (at if isinstance(at, Timestamp) else Timestamp(at, self.time_unit)).as_microseconds()

    def greater_than(self, value: float | None) -> QueryReq:
        """Values above this one."""
        return self.in_value_range(value, None)

    def less_than(self, value: float | None) -> QueryReq:
        """Values below this one."""
        return self.in_value_range(None, value)

    def in_value_range(self, least: float | None, most: float | None) -> QueryReq:
        """Values between two, neither of them included."""
        names = ("greater_than", "less_than")
        values = [
            None if value is None else _number(name, value)
            for name, value in zip(names, (least, most), strict=True)
        ]
        self._bound(*names, *values)
        return self

    def _bound(self, first: str, last: str, least: float | None, most: float | None) -> None:
        given = {first: least, last: most}
        bounds = {**self._bounds, **{name: value for name, value in given.items() if value is not None}}
        if first in bounds and last in bounds and bounds[last] < bounds[first]:
            raise BadArgument(last, f"is below {first}")
        self._bounds = bounds

    def equals(self, value: float | None) -> QueryReq:
        """Exactly this value."""
        if value is not None:
            self._params["equals"] = repr(_number("equals", value))
        return self

    def aggregate(self, operator: str, group_by: str | None = None) -> QueryReq:
        """One value instead of many.

        Args:
            operator: ``sum``, ``count``, ``min``, ``max`` or ``mean``.
            group_by: One value for each span of time, such as ``"30s"``; units are ``ms``, ``s``, ``m`` and
                ``h``.
        """
        if operator not in ("sum", "count", "min", "max", "mean"):
            raise BadArgument("operator", "must be sum, count, min, max or mean")
        if group_by is not None and not re.fullmatch(r"[0-9]{1,9}(?:ms|[smhd])", group_by):
            raise BadArgument("group_by", f"{shorten(group_by)!r} is no span such as 30s")
        self._params["operator"] = operator
        if group_by is not None:
            self._params["group_by"] = group_by
        return self

    def get_url(self) -> str:
        """The path below the API's base, not escaped."""
        return "/".join(("exports", *self.path))

    @property
    def path(self) -> tuple[str, str, str]:
        """What the query is about, as segments of a path, not escaped."""
        return str(self.project_id), self.device_id or "all", self.series_name or "all"

    def get_params(self) -> dict[str, str]:
        """The parameters."""
        params = {**self._params, **{name: repr(value) for name, value in self._bounds.items()}}
        for name, up in (("from", 0), ("to", 999)):
            if name in self._bounds:
                params[name] = str((int(self._bounds[name]) + up) // 1000)
        if self.time_unit is not TimeUnit.MILLISECONDS:
            params["timefmt"] = self.time_unit.value
        return params

    fromTime = from_time
    toTime = to_time
    inTimeRange = in_time_range
    greaterThan = greater_than
    lessThan = less_than
    inValueRange = in_value_range
    getUrl = get_url
    getParams = get_params


def _number(argument: str, value: Any) -> int | float:
    checked = check_value(argument, value)
    if isinstance(checked, bool) or not isinstance(checked, int | float):
        raise BadArgument(argument, "must be a number")
    return checked


@frozen
class DeviceInfo:
    """What a service says of a device.

    Attributes:
        project_id: Its project.
        device_id: Its id.
        device_name: Its name, which no other device of the project has.
        device_type: What its owner says it is.
        created: When it was registered.
    """

    device_id: str
    device_name: str | None = None
    project_id: int | None = None
    device_type: str | None = None
    created: datetime | None = None


@frozen
class TokenGrant:
    """A token with what a service says of it.

    Attributes:
        token: The token; not in the repr.
        project_id: The project that it opens; None of a user's token.
        expires: When it expires; None is never, or not said.
        created: When it was made.
        read: Whether it may read.
        write: Whether it may write.
        admin: Whether it may manage the project.
        token_id: By which it can be named without its text, where the service has that.
    """

    token: str = field(repr=False)
    project_id: int | None = None
    expires: datetime | None = None
    created: datetime | None = None
    read: bool = False
    write: bool = False
    admin: bool = False
    token_id: str | None = None


@frozen
class ExportedPoint:
    """A point of an answer.

    Attributes:
        at: Microseconds since 1970.
        value: Its value; text, such as ``"inf"``, for a number that no float holds.
    """

    at: int
    value: Value


@frozen
class ExportedSeries:
    """A series of an answer.

    Attributes:
        device_id: Its device.
        name: Its name.
        points: Its points, in ascending order of time.
    """

    device_id: str
    name: str
    points: tuple[ExportedPoint, ...]
