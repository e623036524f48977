"""Rows of an iobeam device as a person or a script writes them, and how they are gathered into tables.

On the command line a value is ``SERIES=VALUE``.  On standard input a line is either CSV,
``SERIES,TIMESTAMP,VALUE`` as ``txbridge history --csv`` writes it, or a JSON object of one instant,
``{"time": TIMESTAMP, SERIES: VALUE, …}``.  What has no timestamp is of the moment at which it is read.

iobeam has types: what JSON reads as a number is one, ``true`` and ``false`` are booleans, all else is text.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from attrs import frozen

from txbridge.errors import ConfigError
from txbridge.iobeam.errors import BadArgument
from txbridge.iobeam.structures import (
    MAX_POINTS,
    Row,
    Timestamp,
    TimeUnit,
    Value,
    check_series_name,
    check_value,
)
from txbridge.model.instants import parse_instant, shorten, to_microseconds

__all__ = ["Reading", "Table", "read_argument", "read_line", "tables_of", "value_of"]

LONGEST_LINE = 65536  # characters
HEADERS = (("series", "time"), ("series", "at"), ("datastream", "at"))
TIME = "time"

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")


@frozen
class Reading:
    """What a device had to say of one instant.

    Attributes:
        at: Microseconds since 1970; None is the moment at which it was read.
        values: Series -> value.
    """

    at: int | None
    values: Mapping[str, Value]


@frozen
class Table:
    """What goes in one request.

    Attributes:
        columns: The series.
        rows: Their values.
    """

    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def value_of(series: str, text: str) -> Value:
    """A value that a person wrote.

    Raises:
        ConfigError: No request can carry it.
    """
    stripped = text.strip()
    if not stripped:
        raise ConfigError([f"{shorten(series)!r} has no value"])
    value: Value = stripped
    if _NUMBER.fullmatch(stripped):
        value = _loaded(stripped)
    elif stripped in ("true", "false"):
        value = stripped == "true"
    return _checked(series, value)


def read_argument(text: str) -> tuple[str, Value]:
    """Read ``SERIES=VALUE``.

    Raises:
        ConfigError: It is something else.
    """
    series, equals, value = text.partition("=")
    if not equals:
        raise ConfigError([f"{shorten(text)!r} is not SERIES=VALUE"])
    return _series(series), value_of(series, value)


def read_line(line: str, number: int, unit: TimeUnit | None = None) -> Reading | None:
    """Read a line of standard input; None for a line that says nothing.

    Args:
        line: The line, with or without its end.
        number: Which one it is, from 1.
        unit: What timestamps count that are bare numbers; None refuses them.

    Raises:
        ConfigError: It is no such line; its number is told.
    """
    try:
        if len(line) > LONGEST_LINE:
            raise ConfigError([f"it is longer than {LONGEST_LINE} characters"])
        if line.lstrip().startswith("{"):
            return _object(line, unit)
        return _cells(line, number == 1, unit)
    except ConfigError as error:
        raise ConfigError([f"line {number}: {problem}" for problem in error.problems]) from None


def tables_of(readings: Iterable[Reading], now: int) -> list[Table]:
    """The requests that send these readings, each of as many points as a service takes at once.

    Args:
        readings: They keep their order among those of the same series.
        now: The instant of those that have none, in microseconds.
    """
    tables: list[Table] = []
    gathered: dict[tuple[str, ...], list[Row]] = {}
    cells: dict[tuple[str, int], tuple[str, ...]] = {}
    for reading in readings:
        names = tuple(sorted(reading.values))
        at = now if reading.at is None else reading.at
        if any(cells.setdefault((name, at), names) != names for name in names):
            # One of the values replaces another that is in a request of other series.
            tables += _cut(gathered)
            gathered.clear()
            cells = dict.fromkeys(((name, at) for name in names), names)
        gathered.setdefault(names, []).append(Row(at, tuple(reading.values[name] for name in names)))
    return tables + _cut(gathered)


def _cut(gathered: Mapping[tuple[str, ...], list[Row]]) -> list[Table]:
    tables: list[Table] = []
    for columns, rows in gathered.items():
        step = max(1, MAX_POINTS // len(columns))
        tables += [Table(columns, tuple(rows[begin : begin + step])) for begin in range(0, len(rows), step)]
    return tables


def _object(line: str, unit: TimeUnit | None) -> Reading | None:
    members = _loaded(line)
    at = members.pop(TIME, None)
    if isinstance(at, str):
        instant = _instant(at, unit)
    elif at is None:
        instant = None
    elif isinstance(at, int) and not isinstance(at, bool):
        instant = _counted(at, unit)
    else:
        raise ConfigError([f"{TIME!r} is no timestamp"])
    values = {_series(name): _checked(name, value) for name, value in members.items() if value is not None}
    return Reading(instant, values) if values else None


def _cells(line: str, is_first: bool, unit: TimeUnit | None) -> Reading | None:
    try:
        fields = next(csv.reader([line], strict=True, skipinitialspace=True), [])
    except csv.Error as error:
        raise ConfigError([str(error)]) from None
    if not any(fields) or (is_first and tuple(one.strip().lower() for one in fields[:2]) in HEADERS):
        return None
    if len(fields) != 3:
        raise ConfigError([f"{shorten(line.strip())!r} is neither SERIES,TIMESTAMP,VALUE nor a JSON object"])
    series, at, value = fields
    return Reading(_instant(at, unit), {_series(series): value_of(series, value)})


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError([f"it is no JSON: {shorten(str(error))}"]) from None


def _instant(text: str, unit: TimeUnit | None) -> int | None:
    stripped = text.strip()
    if not stripped:
        return None
    if re.fullmatch(r"-?[0-9]{1,19}", stripped):
        return _counted(int(stripped), unit)
    try:
        return to_microseconds(parse_instant(stripped))
    except ValueError as error:
        raise ConfigError([str(error)]) from None


def _counted(count: int, unit: TimeUnit | None) -> int:
    if unit is None:
        raise ConfigError([f"{count} may count anything: --timefmt says what"])
    try:
        return Timestamp(count, unit).as_microseconds()
    except BadArgument as error:
        raise ConfigError([str(error)]) from None


def _series(text: str) -> str:
    try:
        return check_series_name(text.strip(), "the series' name")
    except BadArgument as error:
        raise ConfigError([str(error)]) from None


def _checked(series: str, value: Any) -> Value:
    try:
        return check_value(shorten(series), value)
    except BadArgument as error:
        raise ConfigError([str(error)]) from None
