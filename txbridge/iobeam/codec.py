"""iobeam's JSON <-> its structures, what its refusals say, and what is in a token.

What a service answers is checked member by member; what breaks the form is a `DecodeError` with a path
such as ``result[0].data[3].time``.  Unknown members are skipped.

A token is read without looking at its signature, for which only the service has a key, or at its header:
tokens in the field have numbers there where the standard wants text, letters of two alphabets, and
padding or not.

Source: iobeam Python client 0.11.0, and the Java, Node and Go clients.
"""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping, Sequence
from datetime import datetime
from math import isfinite
from typing import Any

from attrs import frozen

from txbridge.codecs.json_answer import JsonObject, json_kind, json_object, json_objects, read_json
from txbridge.errors import DecodeError, RemoteProtocolError
from txbridge.iobeam.errors import BadArgument, detail_text
from txbridge.iobeam.structures import (
    DeviceInfo,
    ExportedPoint,
    ExportedSeries,
    Row,
    Timestamp,
    TimeUnit,
    TokenGrant,
    Value,
)
from txbridge.model.instants import parse_instant, shorten
from txbridge.net.operation import Answer

__all__ = [
    "TokenPayload",
    "read_device",
    "read_devices",
    "read_export",
    "read_nothing",
    "read_query",
    "read_refusal",
    "read_timestamp",
    "read_token",
    "token_payload",
    "write_json",
    "write_table",
]

FORMAT = "json"
DEPTH = 16  # the deepest answer has 6
MAX_REFUSAL = 64 << 10
MAX_REASON = 1000
MAX_INSTANT = 64  # characters of a date and time, whichever way it is written
MAX_TOKEN = 8192  # characters; what a header can carry

_DATE_AND_TIME = re.compile(r"(.*[0-9]) (?=[+-])")


# ------------------------------------------------------------------------------------------- tokens


@frozen
class TokenPayload:
    """What is in a project token.

    Attributes:
        project_id: The project that it opens.
        user_id: Whose it is.
        expires: When it expires, in seconds since 1970; None is never.
        permissions: Bits: 7 is reading, writing and managing.
    """

    project_id: int | None
    user_id: int | None
    expires: int | None
    permissions: int | None


def token_payload(token: str) -> TokenPayload:
    """Read a project token; its signature is the service's business.

    Raises:
        BadArgument: It is no JSON Web Token.
    """
    parts = token.split(".")
    if len(parts) != 3 or len(token) > MAX_TOKEN:
        raise BadArgument("token", "is no project token: it has not three parts")
    text = parts[1].translate({ord("+"): "-", ord("/"): "_", ord("="): None})
    try:
        payload = json.loads(urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode())
    except (Base64Error, ValueError, RecursionError):
        raise BadArgument("token", "is no project token: its payload cannot be read") from None
    if not isinstance(payload, dict):
        raise BadArgument("token", "is no project token: its payload is no object")

    def whole(name: str) -> int | None:
        value = payload.get(name)
        return int(value) if isinstance(value, int | float) and abs(value) < 1 << 53 else None

    return TokenPayload(whole("pid"), whole("uid"), whole("exp"), whole("pms"))


# ------------------------------------------------------------------------------------------ requests


def write_json(document: Mapping[str, Any]) -> bytes:
    """A body; members that are None are left out."""
    present = {name: value for name, value in document.items() if value is not None}
    return json.dumps(present, allow_nan=False, separators=(",", ":")).encode()


def write_table(project_id: int, device_id: str, columns: Sequence[str], rows: Sequence[Row]) -> bytes:
    """The body of an import in the form of a table, with microseconds."""
    return write_json(
        {
            "project_id": project_id,
            "device_id": device_id,
            "timefmt": TimeUnit.MICROSECONDS.value,
            "sources": {"fields": ["time", *columns], "data": [[row.at, *row.values] for row in rows]},
        }
    )


# ------------------------------------------------------------------------------------------- answers


def read_nothing(operation: str, answer: Answer) -> None:
    """Read the answer to a write, in which nothing matters but that it is no page of HTML.

    A network that wants somebody to log in answers everything with 200 and a page.

    Raises:
        RemoteProtocolError: It is a page: nothing was written.
    """
    body = answer.body.strip()
    if body[:1] == b"<" or (body and "html" in answer.headers.get("content-type", "").lower()):
        raise RemoteProtocolError(operation, f"it answered {answer.status} with a page of HTML")


def _answer(body: bytes) -> JsonObject:
    return json_object(read_json(body, "an iobeam service", DEPTH))


def _instant(found: JsonObject, name: str) -> datetime | None:
    """When something was; services write it in several ways, and nothing depends on it."""
    text = found.members.get(name)
    if not isinstance(text, str) or len(text) > MAX_INSTANT:
        return None
    try:
        return parse_instant(_DATE_AND_TIME.sub(r"\1", text))
    except ValueError:
        return None


def read_device(body: bytes) -> DeviceInfo:
    """Read a device."""
    return _device(_answer(body))


def _device(found: JsonObject) -> DeviceInfo:
    return DeviceInfo(
        found.text("device_id"),
        found.maybe_text("device_name"),
        found.maybe_integer("project_id"),
        found.maybe_text("device_type"),
        _instant(found, "created"),
    )


def read_devices(body: bytes) -> list[DeviceInfo]:
    """Read a list of devices, which some services put into an object."""
    document = read_json(body, "an iobeam service", DEPTH)
    if isinstance(document, list):
        return [_device(one) for one in json_objects(document, "")]
    return [_device(one) for one in json_object(document).items("devices")]


def read_timestamp(body: bytes) -> int:
    """Read a service's clock, in milliseconds."""
    return _answer(body).integer("server_timestamp")


def read_token(body: bytes) -> TokenGrant:
    """Read a token with what is said of it."""
    found = _answer(body)
    return TokenGrant(
        found.text("token"),
        found.maybe_integer("project_id"),
        _instant(found, "expires"),
        _instant(found, "created"),
        found.flag("read"),
        found.flag("write"),
        found.flag("admin"),
        str(found.members["token_id"]) if found.members.get("token_id") is not None else None,
    )


def read_query(body: bytes) -> dict[str, Any]:
    """Read the answer to a query as it is: an object with ``result``."""
    found = _answer(body)
    if not isinstance(found.members.get("result"), list):
        raise DecodeError(FORMAT, "result", f"must be an array, not {json_kind(found.members.get('result'))}")
    return dict(found.members)


def read_export(body: bytes, unit: TimeUnit = TimeUnit.MILLISECONDS) -> list[ExportedSeries]:
    """Read the answer to a query.

    Args:
        body: The answer.
        unit: What its times count, unless it says so itself.

    Raises:
        DecodeError: It is something else.
    """
    found = _answer(body)
    said = found.maybe_text("timefmt")
    if said is not None:
        try:
            unit = TimeUnit(said)
        except ValueError:
            raise DecodeError(FORMAT, "timefmt", f"{shorten(repr(said))} is no unit") from None
    return [
        ExportedSeries(
            one.text("device_id"),
            one.text("name"),
            tuple(sorted((_point(point, unit) for point in one.items("data")), key=lambda point: point.at)),
        )
        for one in found.items("result")
    ]


def _point(found: JsonObject, unit: TimeUnit) -> ExportedPoint:
    try:
        at = Timestamp(found.integer("time"), unit).as_microseconds()
    except BadArgument as error:
        raise DecodeError(FORMAT, found.at("time"), error.reason) from None
    value: Value = found.members.get("value")
    if not isinstance(value, bool | int | float | str) and value is not None:
        raise DecodeError(FORMAT, found.at("value"), f"must be a value, not {json_kind(value)}")
    if isinstance(value, float) and not isfinite(value):
        value = str(value)  # NaN is no number, and 1e999 is none that a float holds
    return ExportedPoint(at, value)


def read_refusal(answer: Answer) -> tuple[str, str]:
    """The words of a refusal: its message, and its code and details.

    What has no words, such as a page of a proxy, gives two empty texts.
    """
    try:
        document = json.loads(answer.body[:MAX_REFUSAL].decode())
    except (ValueError, RecursionError):
        return "", ""
    errors = document.get("errors") if isinstance(document, dict) else None
    first = errors[0] if isinstance(errors, list) and errors else document
    if not isinstance(first, dict):
        return "", ""
    message = _line(first.get("message"))
    details = _line(first.get("detailed_message")) or _line(first.get("details"))
    code = first.get("code")
    known = code if isinstance(code, int) and not isinstance(code, bool) and abs(code) < 10**9 else None
    return message, detail_text(known, "" if details == message else details)


def _line(text: Any) -> str:
    return shorten(" ".join(text.split()), MAX_REASON) if isinstance(text, str) else ""
