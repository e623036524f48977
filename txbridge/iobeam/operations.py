"""The verbs of an iobeam service as values: what to ask, and how to read the answer.

One function per request.  Nothing is sent here: a carrier runs what these functions return, below the
API's base, which ends with ``/v1``.  Whatever takes a project token takes it from `with_token`.

Everything a caller gives is checked before anything travels, and what is wrong with it is an
`BadArgument`.

Source: iobeam Python client 0.11.0; the managing of devices is of the Go client.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from attrs import evolve

from txbridge.iobeam import codec
from txbridge.iobeam.codec import write_json
from txbridge.iobeam.errors import BadArgument, refine
from txbridge.iobeam.structures import (
    DeviceInfo,
    ExportedSeries,
    QueryReq,
    Row,
    TokenGrant,
    check_device_id,
    check_project_id,
    check_series_name,
    check_token,
)
from txbridge.model.instants import shorten
from txbridge.net.operation import Answer, Operation, discreet

__all__ = [
    "delete_device",
    "device_timestamp",
    "export",
    "fetch_token",
    "import_table",
    "list_devices",
    "login",
    "query",
    "read_device",
    "refresh_token",
    "register_device",
    "update_device",
    "with_token",
]

T = TypeVar("T")

Query = tuple[tuple[str, str], ...]

_DURATION = re.compile(r"[0-9]{1,9}[wdhms]")
_FLAGS = frozenset(("read", "write", "admin", "refreshable", "include_user"))


def with_token(operation: Operation[T], token: str) -> Operation[T]:
    """The same operation with a token."""
    return evolve(operation, headers={**operation.headers, "authorization": f"Bearer {token}"})


# ------------------------------------------------------------------------------------------- devices


def register_device(
    project_id: int,
    device_id: str | None = None,
    device_name: str | None = None,
    device_type: str | None = None,
) -> Operation[DeviceInfo]:
    """Register a device; the service chooses what is not given."""
    body = {
        "project_id": check_project_id(project_id),
        "device_id": None if device_id is None else check_device_id(device_id),
        "device_name": _maybe_text("deviceName", device_name),
        "device_type": _maybe_text("deviceType", device_type),
    }
    return _operation(
        "register_device", "POST", ("devices",), lambda answer: codec.read_device(answer.body), body=body
    )


def list_devices(project_id: int) -> Operation[list[DeviceInfo]]:
    """List the devices of a project."""
    return _get("list_devices", ("devices",), _project(project_id), codec.read_devices)


def read_device(project_id: int, device_id: str) -> Operation[DeviceInfo]:
    """Read what a service says of a device."""
    return _get("read_device", _device(device_id), _project(project_id), codec.read_device)


def update_device(
    project_id: int, device_id: str, *, device_name: str | None = None, device_type: str | None = None
) -> Operation[None]:
    """Change a device's name or type."""
    body = {
        "project_id": check_project_id(project_id),
        "device_name": _maybe_text("deviceName", device_name),
        "device_type": _maybe_text("deviceType", device_type),
    }
    read = partial(codec.read_nothing, "update_device")
    return _operation("update_device", "PATCH", _device(device_id), read, _project(project_id), body=body)


def delete_device(project_id: int, device_id: str) -> Operation[None]:
    """Delete a device with its data."""
    read = partial(codec.read_nothing, "delete_device")
    return _operation("delete_device", "DELETE", _device(device_id), read, _project(project_id))


def device_timestamp() -> Operation[int]:
    """Read the service's clock: whole milliseconds since 1970."""
    return _get("device_timestamp", ("devices", "timestamp"), (), codec.read_timestamp)


# ---------------------------------------------------------------------------------------------- data


def import_table(
    project_id: int, device_id: str, columns: Sequence[str], rows: Sequence[Row]
) -> Operation[None]:
    """Write rows of some series of a device; see `MAX_POINTS` for how many at once."""
    names = [check_series_name(name, f"columns[{at}]") for at, name in enumerate(columns)]
    body = codec.write_table(check_project_id(project_id), check_device_id(device_id), names, rows)
    read = partial(codec.read_nothing, "import_table")
    return _operation("import_table", "POST", ("imports",), read, (("fmt", "table"),), body=body)


def export(query: QueryReq) -> Operation[list[ExportedSeries]]:
    """Read series."""
    return _get("export", *_asked(query), lambda body: codec.read_export(body, query.time_unit))


def query(query: QueryReq) -> Operation[dict[str, Any]]:
    """Read series, as the service writes them: an object with ``result``."""
    return _get("query", *_asked(query), codec.read_query)


def _asked(query: QueryReq) -> tuple[tuple[str, ...], Query]:
    return ("exports", *query.path), tuple(query.get_params().items())


# -------------------------------------------------------------------------------------------- tokens


def refresh_token(token: str) -> Operation[TokenGrant]:
    """Ask for a new token in the place of one; needs no other token."""
    operation = _operation(
        "refresh_token",
        "POST",
        ("tokens", "project"),
        lambda answer: codec.read_token(answer.body),
        body={"refresh_token": check_token("token", token)},
    )
    return discreet(operation, [token])


def fetch_token(
    project_id: int, duration: str | None = None, options: Mapping[str, Any] | None = None
) -> Operation[TokenGrant]:
    """Ask for a project token; needs the token of a user.

    Args:
        project_id: The project that it opens.
        duration: How long it holds: a number and one of ``w``, ``d``, ``h``, ``m`` and ``s``.
        options: ``read``, ``write``, ``admin``, ``refreshable`` and ``include_user``, each true or false, and
            ``device_id``.
    """
    asked = [("project_id", str(check_project_id(project_id)))]
    if duration is not None:
        if not _DURATION.fullmatch(duration):
            raise BadArgument(
                "duration", f"must be a number and one of w, d, h, m and s, not {shorten(repr(duration))}"
            )
        asked.append(("duration", duration))
    if options is not None and not isinstance(options, Mapping):
        raise BadArgument("options", f"must be a dict, not a {type(options).__name__}")
    for name, value in (options or {}).items():
        if name == "device_id":
            asked.append((name, check_device_id(value)))
        elif name in _FLAGS and isinstance(value, bool):
            asked.append((name, "true" if value else "false"))
        elif name in _FLAGS:
            raise BadArgument(f"options[{name}]", "must be True or False")
        else:
            raise BadArgument(f"options[{shorten(str(name))}]", "is no option of a token")
    return _get("fetch_token", ("tokens", "project"), tuple(asked), codec.read_token)


def login(name: str, password: str) -> Operation[TokenGrant]:
    """Ask for the token of a user."""
    if ":" in name:
        raise BadArgument("name", "must have no colon in it")
    secret = b64encode(f"{name}:{password}".encode()).decode()
    operation = _get("login", ("tokens", "user"), (), codec.read_token)
    return discreet(evolve(operation, headers={"authorization": f"Basic {secret}"}), [password])


# --------------------------------------------------------------------------------------------- parts


def _project(project_id: int) -> Query:
    return (("project_id", str(check_project_id(project_id))),)


def _device(device_id: str) -> tuple[str, ...]:
    return "devices", check_device_id(device_id)


def _maybe_text(argument: str, text: Any) -> str | None:
    if text is not None and (not isinstance(text, str) or not text):
        raise BadArgument(argument, "must be text that is not empty")
    return text


def _operation(
    name: str,
    method: str,
    path: tuple[str, ...],
    read: Callable[[Answer], T],
    query: Query = (),
    *,
    body: Mapping[str, Any] | bytes | None = None,
) -> Operation[T]:
    return Operation(
        name=name,
        method=method,
        path=path,
        read=read,
        query=query,
        headers={} if body is None else {"content-type": "application/json"},
        body=write_json(body) if isinstance(body, Mapping) else body,
        explain=codec.read_refusal,
        refine=refine,
    )


def _get(name: str, path: tuple[str, ...], query: Query, read: Callable[[bytes], T]) -> Operation[T]:
    return _operation(name, "GET", path, lambda answer: read(answer.body), query)
