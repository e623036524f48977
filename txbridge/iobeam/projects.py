"""What the hub adds to iobeam: an account's projects, and the tokens that open them.

The service had a web page for them and no API.  Every verb wants a user's token, which is a key of the hub's
account: they are for whoever runs the hub, and for no device.

Source: our own; ``docs/reference/iobeam-api.rst``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from attrs import field, frozen

from txbridge.codecs.json_answer import JsonObject, json_object, read_json
from txbridge.errors import AuthError, DecodeError, Forbidden, RequestRejected
from txbridge.iobeam.codec import read_nothing, read_refusal, write_json
from txbridge.iobeam.errors import BadArgument, refine
from txbridge.iobeam.operations import fetch_token
from txbridge.iobeam.structures import check_project_id, check_token
from txbridge.model.instants import parse_instant, shorten
from txbridge.net.operation import Answer, Operation, discreet

__all__ = [
    "PERMISSIONS",
    "NewToken",
    "Project",
    "Token",
    "adopt_token",
    "create_project",
    "create_token",
    "delete_project",
    "list_projects",
    "list_tokens",
    "revoke_token",
]

T = TypeVar("T")

PERMISSIONS = ("read", "write", "admin")
"""What a token can be made for."""

DEPTH = 8  # an answer is an object with an array of objects


@frozen
class Project:
    """A project of an account.

    Attributes:
        number: By which devices know it.
        name: What people call it.
        created: When it was made.
    """

    number: int
    name: str
    created: datetime | None = None


@frozen
class Token:
    """A token of a project, without its text: the hub does not have that either.

    Attributes:
        reference: What the hub calls it; it opens nothing.
        project: The project's number.
        permissions: Those of `PERMISSIONS` that it has.
        refreshable: Whether its device may get the next one with it.
        device: The one device that it is for; None for all of the project.
        created: When it was made.
        expires: When it ends; None if it does not, as one that was adopted.
    """

    reference: str
    project: int
    permissions: tuple[str, ...]
    refreshable: bool = False
    device: str | None = None
    created: datetime | None = None
    expires: datetime | None = None


@frozen
class NewToken:
    """A token that was made just now.

    Attributes:
        text: It; this is the only time that it is told.
        token: What is known of it.
    """

    text: str = field(repr=False)
    token: Token


# ------------------------------------------------------------------------------------------ projects


def list_projects() -> Operation[list[Project]]:
    """List the projects of the account."""
    return _operation(
        "list_projects",
        "GET",
        ("projects",),
        lambda answer: [_project(one) for one in _decoded(answer).items("projects")],
    )


def create_project(name: str, number: int | None = None) -> Operation[Project]:
    """Make a project.

    Args:
        name: What to call it.
        number: By which its devices know it already; None for any that is free.
    """
    body = {"project_name": name, "project_id": None if number is None else check_project_id(number)}
    return _operation(
        "create_project", "POST", ("projects",), lambda answer: _project(_decoded(answer)), body
    )


def delete_project(number: int) -> Operation[None]:
    """Delete a project with its tokens; the feeds of its devices stay."""
    path = ("projects", str(check_project_id(number)))
    return _operation("delete_project", "DELETE", path, partial(read_nothing, "delete_project"))


# -------------------------------------------------------------------------------------------- tokens


def list_tokens(project: int) -> Operation[list[Token]]:
    """List the tokens of a project."""
    return _operation(
        "list_tokens",
        "GET",
        ("tokens",),
        lambda answer: [_token(one) for one in _decoded(answer).items("tokens")],
        query=(("project_id", str(check_project_id(project))),),
    )


def create_token(
    project: int,
    permissions: Collection[str],
    *,
    refreshable: bool = True,
    device: str | None = None,
    duration: str | None = None,
) -> Operation[NewToken]:
    """Make a token.

    Args:
        project: The project's number.
        permissions: Some of `PERMISSIONS`.
        refreshable: Whether its device may get the next one with it.
        device: The one device that it is for; None for all of the project.
        duration: How long it holds, such as ``5w``, ``30d``, ``12h``; None for as long as the hub thinks fit.
    """
    options: dict[str, Any] = {**_flags(permissions), "refreshable": refreshable}
    if device is not None:
        options["device_id"] = device
    asked = fetch_token(project, duration, options)
    return _operation("create_token", asked.method, asked.path, _new_token, query=asked.query)


def adopt_token(project: int, text: str, permissions: Collection[str]) -> Operation[Token]:
    """Let a token that a device has had since the days of the service open a project.

    Args:
        project: The project's number.
        text: The token.
        permissions: Some of `PERMISSIONS`.
    """
    token = check_token("token", text)
    body = {"project_id": check_project_id(project), "token": token, **_flags(permissions)}
    operation = _operation(
        "adopt_token", "POST", ("tokens", "project"), lambda answer: _token(_decoded(answer)), body
    )
    return discreet(operation, [token])


def revoke_token(reference: str) -> Operation[None]:
    """Make a token open nothing any more."""
    return _operation("revoke_token", "DELETE", ("tokens", reference), partial(read_nothing, "revoke_token"))


# --------------------------------------------------------------------------------------------- parts


def _operation(
    name: str,
    method: str,
    path: tuple[str, ...],
    read: Callable[[Answer], T],
    body: Mapping[str, Any] | None = None,
    query: tuple[tuple[str, str], ...] = (),
) -> Operation[T]:
    return Operation(
        name,
        method,
        path,
        read,
        query=query,
        headers={} if body is None else {"content-type": "application/json"},
        body=None if body is None else write_json(body),
        explain=read_refusal,
        refine=_refine,
    )


def _refine(kind: type[RequestRejected], detail: str) -> type[RequestRejected]:
    # What is refused here is the key of an account, and no token of iobeam's.
    return kind if issubclass(kind, AuthError | Forbidden) else refine(kind, detail)


def _flags(permissions: Collection[str]) -> dict[str, bool]:
    for word in permissions:
        if word not in PERMISSIONS:
            raise BadArgument("permissions", f"{shorten(repr(word))} is none of {', '.join(PERMISSIONS)}")
    return {word: word in permissions for word in PERMISSIONS}


def _decoded(answer: Answer) -> JsonObject:
    return json_object(read_json(answer.body, "a hub", DEPTH))


def _project(found: JsonObject) -> Project:
    return Project(found.integer("project_id"), found.text("project_name"), found.instant("created"))


def _token(found: JsonObject) -> Token:
    return Token(
        str(found.members.get("token_id")),
        found.integer("project_id"),
        tuple(word for word in PERMISSIONS if found.flag(word)),
        found.flag("refreshable"),
        found.maybe_text("device_id"),
        _instant(found, "created"),
        _instant(found, "expires"),
    )


def _instant(found: JsonObject, name: str) -> datetime | None:
    text = found.maybe_text(name)
    try:
        # Answers that the service gave too are written as it wrote them: "2016-01-01 00:00:00 +0000".
        return None if text is None else parse_instant(text.replace(" +", "+"))
    except ValueError as error:
        raise DecodeError("json", found.at(name), str(error)) from None


def _new_token(answer: Answer) -> NewToken:
    found = _decoded(answer)
    return NewToken(found.text("token"), _token(found))
