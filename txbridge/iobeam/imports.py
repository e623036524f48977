"""What devices send: a body of ``POST imports`` -> datastreams with their points.

Three forms are read.  *Tables*, the form of every client since 2015, have rows of cells under ``sources``;
*series* are a list of named lists of points there; the last clients put a table into ``data``.  They are told
apart by what is in the body, not by the query.

A body is taken whole or not at all, and what is wrong with it is said with its place, such as
``sources.data[3][0]``.  Times become whole microseconds without ever being floats; a number keeps the text
that it was sent as.

Source: iobeam's Python, Java, Node and Go clients, and those for boards.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Context
from functools import partial
from typing import Any

import msgspec
from attrs import frozen

from txbridge.codecs.limits import DecodeLimits, check_json_depth, count_openings
from txbridge.errors import DecodeError
from txbridge.iobeam.refusal import bad_request, too_large
from txbridge.iobeam.series import LONGEST_ID, datastream_id, is_reserved
from txbridge.model.instants import from_microseconds, shorten
from txbridge.model.numbers import parse_number
from txbridge.model.structures import Datapoint, Datastream
from txbridge.model.texts import MAX_TEXT, is_text

__all__ = [
    "LIMITS",
    "MAX_POINTS",
    "UNITS",
    "Import",
    "read_import",
    "read_object",
    "take_device_id",
    "take_number",
    "take_text",
]

MAX_POINTS = 10_000
"""The most points of one import.  Clients send at most 1000, and cut what is refused with 413."""

LIMITS = DecodeLimits(depth=8)
"""Of a body; the deepest has 5 levels."""

UNITS: Mapping[str, int] = {"sec": 1_000_000, "msec": 1000, "usec": 1}
"""What a ``timefmt`` counts, in microseconds."""

_DEVICE_ID = re.compile(r"[A-Za-z0-9_:-]{1,255}")
_EXACT = Context(prec=1000)
_EXPONENT = frozenset("eE")
_BOM = b"\xef\xbb\xbf"


class _NumberText(str):
    """The text of a number that is not a plain integer."""


_DECODER = msgspec.json.Decoder(float_hook=_NumberText)

_point = partial(msgspec.StructMeta.__call__, Datapoint)
"""Makes a datapoint of what has the right types already, without the conversions that cost the most."""


@frozen
class Import:
    """What a device sent.

    Attributes:
        project_id: The project it says it is of.
        device_id: The device.
        datastreams: Its series that have points.
    """

    project_id: int
    device_id: str
    datastreams: Sequence[Datastream]


# ------------------------------------------------------------------------------------------ members


def read_object(data: bytes, limits: DecodeLimits = LIMITS) -> dict[str, Any]:
    """The object in a body.

    Raises:
        Refusal: 400, it is none; 413, it is too large.
    """
    try:
        limits.check("json", data, b",")
    except DecodeError as error:
        raise too_large(f"the body is too large: {error.reason}") from None
    try:
        if count_openings(data) > limits.depth:
            check_json_depth(data, limits.depth)
        document = _DECODER.decode(data.removeprefix(_BOM))
    except DecodeError as error:
        raise bad_request("the body", f"is {error.reason}") from None
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise bad_request("the body", f"is no JSON: {error}") from None
    if not isinstance(document, dict):
        raise bad_request("the body", f"must be an object, not {_kind(document)}")
    return document


def take_number(document: Mapping[str, Any], name: str) -> int:
    """A number of something, from 1 to what JavaScript can count.

    Raises:
        Refusal: 400, it is none.
    """
    value = document.get(name)
    # The Node client's users give the project's number as text.
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 16:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise bad_request(name, f"must be a whole number, not {_kind(value)}")
    if not 0 < value < 1 << 53:
        raise bad_request(name, "must be from 1 to 9007199254740991")
    return value


def take_text(document: Mapping[str, Any], name: str) -> str | None:
    """A text, or None when it is not there or null.

    Raises:
        Refusal: 400, it is something else, blank, too long, or has control characters.
    """
    value = document.get(name)
    if value is None:
        return None
    if type(value) is not str:
        raise bad_request(name, f"must be text, not {_kind(value)}")
    if not value.strip():
        raise bad_request(name, "is blank")
    if len(value) > MAX_TEXT:
        raise bad_request(name, f"is longer than {MAX_TEXT} characters")
    if not is_text(value):
        raise bad_request(name, "has control characters in it")
    return value


def take_device_id(document: Mapping[str, Any], where: str = "device_id") -> str | None:
    """The id of a device, or None when it is not there or null.

    Raises:
        Refusal: 400, it is none.
    """
    value = document.get("device_id")
    if value is None:
        return None
    if type(value) is not str or _DEVICE_ID.fullmatch(value) is None:
        raise bad_request(where, "must be 1 to 255 letters, digits, _, : and -")
    return value


def _kind(value: Any) -> str:
    kinds = {
        type(None): "null or absent",
        bool: "a boolean",
        dict: "an object",
        list: "an array",
        str: "text",
        _NumberText: "a decimal number",
    }
    return kinds.get(type(value), "a number")


# ------------------------------------------------------------------------------------------- imports


def read_import(document: Mapping[str, Any]) -> Import:
    """What is in the body of an import.

    Raises:
        Refusal: 400, something is wrong with it; 413, it has more than `MAX_POINTS`.
    """
    project_id = take_number(document, "project_id")
    unit = _unit(document)
    sources, data = document.get("sources"), document.get("data")
    if sources is None and isinstance(data, dict):
        device_id = _label(document)
        streams = _table(data, "values", "data", unit)
    else:
        device_id = take_device_id(document)
        if isinstance(sources, list):
            streams = _series(sources, unit)
        elif isinstance(sources, dict):
            streams = _table(sources, "data", "sources", unit)
        else:
            raise bad_request("sources", f"must be a table or a list of series, not {_kind(sources)}")
    if device_id is None:
        raise bad_request("device_id", "is missing")
    return Import(project_id, device_id, streams)


def _unit(document: Mapping[str, Any]) -> int:
    name = document.get("timefmt")
    unit = UNITS["msec"] if name is None else UNITS.get(str(name).lower())
    if unit is None:
        raise bad_request("timefmt", f"must be one of {', '.join(UNITS)}")
    return unit


def _label(document: Mapping[str, Any]) -> str | None:
    """The device of an import in the form of late 2016, which has no other place here."""
    namespace, labels = document.get("namespace"), document.get("labels")
    if namespace not in (None, "input"):
        raise bad_request("namespace", "must be input: others are not kept")
    if not isinstance(labels, dict):
        raise bad_request("labels", f"must be an object with device_id, not {_kind(labels)}")
    for name in labels:
        if name != "device_id":
            raise bad_request(f"labels.{shorten(name)}", "is not kept: only device_id is")
    return take_device_id(labels, "labels.device_id")


def _table(table: Mapping[str, Any], rows_name: str, where: str, unit: int) -> list[Datastream]:
    fields, rows = table.get("fields"), table.get(rows_name)
    if not isinstance(fields, list) or not fields or fields[0] != "time":
        raise bad_request(f"{where}.fields", "must be a list of names, the first of which is time")
    if not isinstance(rows, list):
        raise bad_request(f"{where}.{rows_name}", f"must be a list of rows, not {_kind(rows)}")
    _check_count(len(rows) * max(1, len(fields) - 1))
    columns: dict[str, list[Datapoint]] = {}
    for number, name in enumerate(fields[1:], 1):
        stream = _series_id(name, f"{where}.fields[{number}]")
        if stream in columns:
            raise bad_request(f"{where}.fields[{number}]", f"is there twice: {shorten(name)}")
        columns[stream] = []
    lists, width = list(columns.values()), len(fields)
    for number, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != width:
            raise bad_request(
                f"{where}.{rows_name}[{number}]", f"must be a row of {width} cells, as fields has"
            )
        at = _instant(row[0], unit, where, rows_name, number, 0)
        for column, points in enumerate(lists, 1):
            cell = row[column]
            if cell is not None:
                points.append(_point(at=at, value=_value(cell, where, rows_name, number, column)))
    return [Datastream(id=stream, datapoints=points) for stream, points in columns.items() if points]


def _series(sources: Sequence[Any], unit: int) -> list[Datastream]:
    columns: dict[str, list[Datapoint]] = {}
    count = 0
    for number, series in enumerate(sources):
        where = f"sources[{number}]"
        if not isinstance(series, dict):
            raise bad_request(where, f"must be an object with name and data, not {_kind(series)}")
        data = series.get("data")
        if not isinstance(data, list):
            raise bad_request(f"{where}.data", f"must be a list of points, not {_kind(data)}")
        count += len(data)
        _check_count(count)
        points = columns.setdefault(_series_id(series.get("name"), f"{where}.name"), [])
        for index, point in enumerate(data):
            if not isinstance(point, dict) or "time" not in point or "value" not in point:
                raise bad_request(f"{where}.data[{index}]", "must be an object with time and value")
            at = _instant(point["time"], unit, where, "data", index, "time")
            if point["value"] is not None:
                value = _value(point["value"], where, "data", index, "value")
                points.append(_point(at=at, value=value))
    return [Datastream(id=stream, datapoints=points) for stream, points in columns.items() if points]


def _check_count(count: int) -> None:
    if count > MAX_POINTS:
        raise too_large(f"the import has {count} points, and at most {MAX_POINTS} are taken at once")


def _series_id(name: Any, where: str) -> str:
    if type(name) is not str:
        raise bad_request(where, f"must be the name of a series, not {_kind(name)}")
    if not name:
        raise bad_request(where, "is empty")
    if is_reserved(name):
        raise bad_request(where, f"is a name that no series may have: {name}")
    # An id is no shorter than its name, and a name may be as long as the body.
    stream = datastream_id(name[: LONGEST_ID + 1])
    if len(stream) > LONGEST_ID:
        raise bad_request(where, f"is too long: {shorten(name)} takes more than {LONGEST_ID} characters")
    return stream


def _place(where: str, list_name: str, row: int, cell: int | str) -> str:
    return f"{where}.{list_name}[{row}]" + (f"[{cell}]" if isinstance(cell, int) else f".{cell}")


def _instant(value: Any, unit: int, where: str, list_name: str, row: int, cell: int | str) -> datetime:
    count = None
    if type(value) is int:
        count = value * unit
    elif type(value) is _NumberText:
        number = parse_number(value)
        exact = None if number is None else _EXACT.multiply(number, _EXACT.create_decimal(unit))
        if exact is not None and exact == exact.to_integral_value():
            count = int(exact)
    if count is None:
        kind = "" if isinstance(value, _NumberText) else f", not {_kind(value)}"
        problem = f"must be a time in whole microseconds{kind}"
        raise bad_request(_place(where, list_name, row, cell), problem)
    try:
        return from_microseconds(count)
    except OverflowError:
        raise bad_request(
            _place(where, list_name, row, cell), "is outside the years 1 to 9999: is timefmt what was meant?"
        ) from None


def _value(value: Any, where: str, list_name: str, row: int, cell: int | str) -> str:
    """A value as it is stored."""
    kind = type(value)
    if kind is int:
        text = str(value)
        if len(text) <= MAX_TEXT:
            return text
        problem = "is too long a number"
    elif kind is _NumberText:
        # Without an exponent none that is so short can be too large; with one, reading it tells.
        if len(value) <= MAX_TEXT and (_EXPONENT.isdisjoint(value) or parse_number(value) is not None):
            return str(value)
        problem = "is a number that is too long or too large"
    elif kind is str:
        if len(value) <= MAX_TEXT and is_text(value):
            return str(value)
        problem = f"must have at most {MAX_TEXT} characters, and no control characters"
    elif kind is bool:
        return "true" if value else "false"
    else:
        problem = f"must be a number, text, boolean or null, not {_kind(value)}"
    raise bad_request(_place(where, list_name, row, cell), problem)
