"""Values as a person or a script writes them, and how they are gathered into writes.

On the command line a value is ``DATASTREAM=VALUE``.  On standard input it is a line
``DATASTREAM,TIMESTAMP,VALUE`` of CSV, where an empty timestamp means "now" to the hub; the program's
own ``history --csv`` writes such lines.  Blank lines and a first line of column names are left out.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from datetime import datetime

from attrs import evolve, frozen

from txbridge.errors import ConfigError
from txbridge.model.instants import parse_instant, shorten
from txbridge.model.structures import Datastream, Environment

__all__ = ["BATCH", "Reading", "document_of", "read_argument", "read_line"]

BATCH = 500
"""The most points of one write.  Source: Cosm API v2, "Usage limits"."""

LONGEST_LINE = 65536  # characters
HEADER = ("datastream", "at")

_ID = re.compile(r"[\w\-+.]{1,255}")


@frozen
class Reading:
    """One value.

    Attributes:
        datastream: The datastream's id.
        at: When; None is "now" to the hub.
        value: The value's text.
    """

    datastream: str
    at: datetime | None
    value: str


def read_argument(text: str, at: datetime | None) -> Reading:
    """Read ``DATASTREAM=VALUE``.

    Raises:
        ConfigError: It is something else.
    """
    datastream, equals, value = text.partition("=")
    if not equals:
        raise ConfigError([f"{shorten(text)!r} is not DATASTREAM=VALUE"])
    return _reading(datastream, at, value)


def read_line(line: str, number: int) -> Reading | None:
    """Read a line of standard input; None for a line that says nothing.

    Args:
        line: The line, with or without its end.
        number: Which one it is, from 1.

    Raises:
        ConfigError: It is not ``DATASTREAM,TIMESTAMP,VALUE``; the line's number is told.
    """
    if len(line) > LONGEST_LINE:
        raise ConfigError([f"line {number}: it is longer than {LONGEST_LINE} characters"])
    try:
        fields = next(csv.reader([line], strict=True, skipinitialspace=True), [])
    except csv.Error as error:
        raise ConfigError([f"line {number}: {error}"]) from None
    if not any(fields) or (number == 1 and tuple(one.strip().lower() for one in fields[:2]) == HEADER):
        return None
    if len(fields) != 3:
        raise ConfigError([f"line {number}: {shorten(line.strip())!r} is not DATASTREAM,TIMESTAMP,VALUE"])
    try:
        at = parse_instant(fields[1]) if fields[1].strip() else None
        return _reading(fields[0], at, fields[2])
    except ConfigError as error:
        raise ConfigError([f"line {number}: {problem}" for problem in error.problems]) from None
    except ValueError as error:
        raise ConfigError([f"line {number}: {error}"]) from None


def document_of(readings: Iterable[Reading], now: datetime) -> Environment:
    """The document that records these values.

    A datastream with one value says it as its current value, and the hub puts its own time to one
    that has none.  Several values of a datastream go as datapoints, which need an instant each.
    Of two values with one instant the later one counts, as it does on the hub.

    Args:
        readings: The values.
        now: The instant of values that have none and are not alone.
    """
    gathered: dict[str, list[Reading]] = {}
    for reading in readings:
        gathered.setdefault(reading.datastream, []).append(reading)
    environment = Environment()
    for name, several in gathered.items():
        if len(several) == 1:
            environment.set_current_value(name, several[0].value, several[0].at)
            continue
        by_instant: dict[datetime, Reading] = {}
        for reading in several:
            at = now if reading.at is None else reading.at
            by_instant[at] = evolve(reading, at=at)
        stream = environment.datastreams[name] = Datastream(id=name)
        for at in sorted(by_instant):
            stream.add_datapoint(at, by_instant[at].value)
    return environment


def _datastream(text: str) -> str:
    name = text.strip()
    if not _ID.fullmatch(name):
        rule = "1 to 255 letters, digits, '_', '-', '+' and '.'"
        raise ConfigError([f"{shorten(name)!r} is not the id of a datastream: {rule}"])
    return name


def _reading(datastream: str, at: datetime | None, value: str) -> Reading:
    name = _datastream(datastream)
    if not value.strip():
        raise ConfigError([f"{shorten(name)!r} has no value"])
    return Reading(name, at, value.strip())
