"""The verbs of the Cosm v2 API as values: what to ask, and how to read the answer.

One function per verb.  Nothing is sent here: a carrier runs what these functions return,
over HTTP or over the PAWS socket, so no verb is written twice.

Every path that is read or written ends in its format (``feeds/7.json``), because servers
decide by the extension before they look at any header.  The media types say the same again.
What is deleted has no format, and gets one only when its id would be taken for having one.

What goes out as ``data`` may be a structure, which is encoded in the format, or a document
that is already encoded, as bytes or text.

Everything a caller gives is checked before anything travels, and what is wrong with it is an
`EncodeError` that names the argument.

Source: Cosm API v2, "API resources"; names of txPachube and txcosm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from attrs import evolve

from txbridge.codecs import cosm_csv, cosm_json, eeml
from txbridge.codecs.limits import CLIENT_LIMITS
from txbridge.cosm.codec import read_refusal
from txbridge.errors import DecodeError, EncodeError, NotFound, RemoteProtocolError
from txbridge.model.accounts import Key, KeyList, Trigger, TriggerList, User, UserList
from txbridge.model.encoding import Codec, Structure
from txbridge.model.instants import as_instant, format_instant, shorten
from txbridge.model.structures import (
    Datapoint,
    Datastream,
    Environment,
    EnvironmentList,
    Value,
    as_text,
)
from txbridge.net.operation import Answer, Operation

__all__ = [
    "Data",
    "Id",
    "Parameter",
    "Parameters",
    "create_api_key",
    "create_datapoints",
    "create_datastream",
    "create_feed",
    "create_trigger",
    "create_user",
    "delete_api_key",
    "delete_datapoint",
    "delete_datapoints",
    "delete_datastream",
    "delete_feed",
    "delete_trigger",
    "delete_user",
    "list_api_keys",
    "list_feeds",
    "list_triggers",
    "list_users",
    "read_api_key",
    "read_datapoint",
    "read_datastream",
    "read_feed",
    "read_trigger",
    "read_user",
    "regenerate_api_key",
    "update_api_key",
    "update_datapoint",
    "update_datastream",
    "update_feed",
    "update_trigger",
    "update_user",
    "with_api_key",
]

Id = int | str | None
"""What names a resource; None, which no server can be asked for, is refused with the argument's name."""

Data = Structure | bytes | str | None
"""What a write sends: a structure, or a document already encoded in the format."""

Parameter = Value | datetime | Iterable[Value | datetime] | None
"""One query parameter: a flag becomes ``true`` or ``false``, an instant ISO 8601 in UTC, several are
joined with commas, and None leaves the parameter out."""

Parameters = Mapping[str, Parameter]
"""Query parameters by name."""

T = TypeVar("T")

_MEDIA_TYPES = {"json": "application/json", "xml": "application/xml", "csv": "text/csv", "png": "image/png"}
_DOCUMENTS = ("json", "xml")
_WITH_CSV = ("json", "xml", "csv")
_WITH_PNG = ("json", "xml", "csv", "png")
_EXTENSIONS = tuple(f".{name}" for name in _WITH_PNG)
_CODECS: Mapping[str, Codec] = {"json": cosm_json, "xml": eeml, "csv": cosm_csv}


class _Secret(str):
    """A path segment that is a key: it shows as dots wherever an operation is shown."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'…'"


def with_api_key(operation: Operation[T], api_key: str | None) -> Operation[T]:
    """The same operation, asked with a key; None leaves it without one.

    Args:
        operation: Any verb.
        api_key: The key; white space around it, which files end with, is taken off.

    Raises:
        EncodeError: The key has characters that no header can carry.  The key is not shown.

    Source: Cosm API v2, "API keys".
    """
    if api_key is None:
        return operation
    key = api_key.strip()
    if not (key.isascii() and key.isprintable()):
        raise EncodeError("headers", "api_key", "must be printable ASCII text")
    return evolve(operation, headers={**operation.headers, "x-apikey": key})


# ---------------------------------------------------------------------------------------- feeds


def list_feeds(*, format: str = "json", parameters: Parameters | None = None) -> Operation[Any]:
    """List or search feeds, one page at a time.

    Args:
        format: ``"json"`` and ``"xml"`` give an `EnvironmentList`, ``"csv"`` the text.
        parameters: ``page``, ``per_page`` (1 to 1000), ``content`` (``full`` or ``summary``),
            ``q``, ``tag``, ``user``, ``units``, ``status``, ``order``, ``show_user``, ``lat``,
            ``lon``, ``distance``, ``distance_units``, ``timezone``.

    Raises:
        EncodeError: An argument cannot be sent.

    Source: Cosm API v2, "Search feeds".
    """
    return _read(EnvironmentList, "list_feeds", ("feeds",), format, _WITH_CSV, parameters)


def create_feed(*, data: Data, format: str = "json") -> Operation[str]:
    """Make a feed; gives its id.

    Args:
        data: An `Environment` with a title, or a document of one.
        format: ``"json"`` or ``"xml"``.

    Raises:
        EncodeError: An argument cannot be sent.

    Source: Cosm API v2, "Create a feed".
    """
    return _create(Environment, "create_feed", ("feeds",), format, _DOCUMENTS, data)


def read_feed(feed_id: Id, *, format: str = "json", parameters: Parameters | None = None) -> Operation[Any]:
    """Read a feed with its current values, or with history.

    Args:
        feed_id: The feed's number.
        format: ``"json"`` and ``"xml"`` give an `Environment`, ``"csv"`` the text.
        parameters: ``datastreams`` (several ids; its old name ``datastream`` is accepted),
            ``show_user``, ``timezone``, ``time``, and those of history: ``start``, ``end``,
            ``duration``, ``limit``, ``interval``, ``interval_type``, ``find_previous``.

    Raises:
        EncodeError: An argument cannot be sent.

    Source: Cosm API v2, "Read a feed", "Historical data".
    """
    asked = dict(parameters or {})
    if "datastream" in asked:
        if "datastreams" in asked:
            raise EncodeError("url", "parameters", "has datastreams and datastream, its old name: give one")
        asked["datastreams"] = asked.pop("datastream")
    return _read(Environment, "read_feed", _feed(feed_id), format, _WITH_CSV, asked)


def update_feed(feed_id: Id, *, data: Data, format: str = "json") -> Operation[bool]:
    """Merge a document into a feed; datastreams it names and the feed lacks are created.

    Args:
        feed_id: The feed's number.
        data: An `Environment`, or a document of one; at most 500 datapoints.
        format: ``"json"``, ``"xml"`` or ``"csv"``.

    Raises:
        EncodeError: An argument cannot be sent.

    Source: Cosm API v2, "Update a feed".
    """
    return _update(Environment, "update_feed", _feed(feed_id), format, _WITH_CSV, data)


def delete_feed(feed_id: Id) -> Operation[bool]:
    """Delete a feed with all its datastreams and their history.

    Raises:
        EncodeError: The id cannot be sent.

    Source: Cosm API v2, "Delete a feed".
    """
    return _delete("delete_feed", _feed(feed_id))


# ---------------------------------------------------------------------------------- datastreams


def create_datastream(feed_id: Id, *, data: Data, format: str = "json") -> Operation[str]:
    """Add a datastream to a feed; gives its id.

    Args:
        feed_id: The feed's number.
        data: A `Datastream`, an `Environment` of new datastreams, or a document of the latter:
            the wire wraps new datastreams in a feed.
        format: ``"json"``, ``"xml"`` or ``"csv"``.

    Raises:
        EncodeError: An argument cannot be sent.

    Source: Cosm API v2, "Create a datastream".
    """
    if isinstance(data, Datastream):
        if data.id is None:
            raise EncodeError(format, "data.id", "a new datastream needs an id")
        data = Environment(datastreams=[data])
    path = (*_feed(feed_id), "datastreams")
    return _create(Environment, "create_datastream", path, format, _WITH_CSV, data)


def read_datastream(
    feed_id: Id, datastream_id: Id, *, format: str = "json", parameters: Parameters | None = None
) -> Operation[Any]:
    """Read a datastream with its current value, with history, or as a graph.

    Args:
        feed_id: The feed's number.
        datastream_id: The datastream.
        format: ``"json"`` and ``"xml"`` give a `Datastream`, ``"csv"`` the text, ``"png"`` the
            bytes of a picture.
        parameters: Those of history, see `read_feed`; of a picture: ``width``, ``height``,
            ``colour``, ``title``, ``legend``, ``stroke_size``, ``show_axis_labels``,
            ``detailed_grid``, ``scale``, ``min``, ``max``.

    Raises:
        EncodeError: An argument cannot be sent.

    Source: Cosm API v2, "Read a datastream", "Historical data".
    """
    path = _datastream(feed_id, datastream_id)
    return _read(Datastream, "read_datastream", path, format, _WITH_PNG, parameters)


def update_datastream(feed_id: Id, datastream_id: Id, *, data: Data, format: str = "json") -> Operation[bool]:
    """Merge a document into a datastream that exists.

    Args:
        feed_id: The feed's number.
        datastream_id: The datastream.
        data: A `Datastream`, or a document of one; at most 500 datapoints.
        format: ``"json"``, ``"xml"`` or ``"csv"``.

    Raises:
        EncodeError: An argument cannot be sent.

    Source: Cosm API v2, "Update a datastream".
    """
    path = _datastream(feed_id, datastream_id)
    return _update(Datastream, "update_datastream", path, format, _WITH_CSV, data)


def delete_datastream(feed_id: Id, datastream_id: Id) -> Operation[bool]:
    """Delete a datastream with its history.

    Raises:
        EncodeError: An id cannot be sent.

    Source: Cosm API v2, "Delete a datastream".
    """
    return _delete("delete_datastream", _datastream(feed_id, datastream_id))


# ----------------------------------------------------------------------------------- datapoints


def create_datapoints(
    feed_id: Id, datastream_id: Id, *, data: Data | Sequence[Datapoint], format: str = "json"
) -> Operation[bool]:
    """Record datapoints; one at an instant that has one replaces it.

    Args:
        feed_id: The feed's number.
        datastream_id: The datastream.
        data: `Datapoint` values, one alone, a `Datastream` that holds them, or a document; at
            most 500, and the server keeps all or none.
        format: ``"json"``, ``"xml"`` or ``"csv"``.

    Raises:
        EncodeError: An argument cannot be sent.

    Source: Cosm API v2, "Create datapoints".
    """
    if isinstance(data, Datastream):
        data = data.datapoints
    elif isinstance(data, Datapoint):
        data = [data]
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        if not data:
            raise EncodeError(format, "data", "has no datapoints")
        data = Datastream(datapoints=list(data))
    path = (*_datastream(feed_id, datastream_id), "datapoints")
    return _update(Datastream, "create_datapoints", path, format, _WITH_CSV, data, "POST")


def read_datapoint(
    feed_id: Id,
    datastream_id: Id,
    timestamp: datetime | str | None,
    *,
    format: str = "json",
    parameters: Parameters | None = None,
) -> Operation[Any]:
    """Read the datapoint at exactly one instant.

    Early servers answered 200 with an error document when there was none; that is `NotFound`
    like any other.

    Args:
        feed_id: The feed's number.
        datastream_id: The datastream.
        timestamp: An aware datetime, or ISO 8601 text; microseconds count.
        format: ``"json"`` and ``"xml"`` give a `Datapoint`, ``"csv"`` the text.
        parameters: ``timezone``.

    Raises:
        EncodeError: An argument cannot be sent.

    Source: Cosm API v2, "Read a datapoint"; txcosm ``HTTPClient.py`` for the 200.
    """
    name = "read_datapoint"
    operation = _read(
        Datapoint, name, _datapoint(feed_id, datastream_id, timestamp), format, _WITH_CSV, parameters
    )

    def read(answer: Answer) -> Datapoint | str:
        says_no = b"Not found" in answer.body
        try:
            found: Datapoint | str = operation.read(answer)
        except DecodeError:
            if says_no:
                raise NotFound(name, 404, *read_refusal(answer)) from None
            raise
        missing = found.startswith("Not found") if isinstance(found, str) else found.value is None
        if says_no and missing:
            raise NotFound(name, 404, *read_refusal(answer))
        return found

    return evolve(operation, read=read)


def update_datapoint(
    feed_id: Id, datastream_id: Id, timestamp: datetime | str | None, *, data: Data, format: str = "json"
) -> Operation[bool]:
    """Change the value of a datapoint that exists.

    Args:
        feed_id: The feed's number.
        datastream_id: The datastream.
        timestamp: An aware datetime, or ISO 8601 text; microseconds count.
        data: A `Datapoint`, whose instant is not sent, or a document of one.
        format: ``"json"``, ``"xml"`` or ``"csv"``.

    Raises:
        EncodeError: An argument cannot be sent.

    Source: Cosm API v2, "Update a datapoint".
    """
    if isinstance(data, Datapoint):
        data = Datapoint(value=data.value)
    path = _datapoint(feed_id, datastream_id, timestamp)
    return _update(Datapoint, "update_datapoint", path, format, _WITH_CSV, data)


def delete_datapoint(feed_id: Id, datastream_id: Id, timestamp: datetime | str | None) -> Operation[bool]:
    """Delete the datapoint at exactly one instant.

    Raises:
        EncodeError: An argument cannot be sent.

    Source: Cosm API v2, "Delete a datapoint".
    """
    return _delete("delete_datapoint", _datapoint(feed_id, datastream_id, timestamp))


def delete_datapoints(
    feed_id: Id, datastream_id: Id, *, parameters: Parameters | None = None
) -> Operation[bool]:
    """Delete the datapoints of a span of time, both ends included.

    Args:
        feed_id: The feed's number.
        datastream_id: The datastream.
        parameters: ``start``, ``end`` and ``duration``, one or two of them.

    Raises:
        EncodeError: An argument cannot be sent; or no bound is given, which could wipe the
            whole history.

    Source: Cosm API v2, "Delete multiple datapoints".
    """
    asked = parameters or {}
    if all(asked.get(name) is None for name in ("start", "end", "duration")):
        raise EncodeError("url", "parameters", "needs start, end or duration: what shall be deleted?")
    return _delete("delete_datapoints", (*_datastream(feed_id, datastream_id), "datapoints"), asked)


# ------------------------------------------------------------------------------------- triggers


def list_triggers(*, format: str = "json", parameters: Parameters | None = None) -> Operation[TriggerList]:
    """List the triggers that a key may see.

    Args:
        format: ``"json"`` or ``"xml"``.
        parameters: ``feed_id``, to see those of one feed.

    Raises:
        EncodeError: An argument cannot be sent.

    Source: Cosm API v2, "List all triggers".
    """
    return _read(TriggerList, "list_triggers", ("triggers",), format, _DOCUMENTS, parameters)


def create_trigger(*, data: Data, format: str = "json") -> Operation[str]:
    """Make a trigger; gives its id.

    Args:
        data: A `Trigger`, or a document of one.
        format: ``"json"`` or ``"xml"``.

    Raises:
        EncodeError: An argument cannot be sent.

    Source: Cosm API v2, "Create a trigger".
    """
    return _create(Trigger, "create_trigger", ("triggers",), format, _DOCUMENTS, data)


def read_trigger(trigger_id: Id, *, format: str = "json") -> Operation[Trigger]:
    """Read a trigger.

    Raises:
        EncodeError: An argument cannot be sent.

    Source: Cosm API v2, "Read a trigger".
    """
    path = ("triggers", _segment("trigger_id", trigger_id))
    return _read(Trigger, "read_trigger", path, format, _DOCUMENTS)


def update_trigger(trigger_id: Id, *, data: Data, format: str = "json") -> Operation[bool]:
    """Merge a document into a trigger.

    Args:
        trigger_id: The trigger's number.
        data: A `Trigger`, or a document of one.
        format: ``"json"`` or ``"xml"``.

    Raises:
        EncodeError: An argument cannot be sent.

    Source: Cosm API v2, "Update a trigger".
    """
    path = ("triggers", _segment("trigger_id", trigger_id))
    return _update(Trigger, "update_trigger", path, format, _DOCUMENTS, data)


def delete_trigger(trigger_id: Id) -> Operation[bool]:
    """Delete a trigger.

    Raises:
        EncodeError: The id cannot be sent.

    Source: Cosm API v2, "Delete a trigger".
    """
    return _delete("delete_trigger", ("triggers", _segment("trigger_id", trigger_id)))


# ---------------------------------------------------------------------------------------- users


def list_users(*, format: str = "json") -> Operation[UserList]:
    """List the users that a key may see.

    Raises:
        EncodeError: The format does not exist here.

    Source: Cosm API v2, "List all users".
    """
    return _read(UserList, "list_users", ("users",), format, _DOCUMENTS)


def create_user(*, data: Data, format: str = "json") -> Operation[str]:
    """Make a user; gives the login.

    Args:
        data: A `User`, or a document of one.
        format: ``"json"`` or ``"xml"``.

    Raises:
        EncodeError: An argument cannot be sent.

    Source: Cosm API v2, "Create a user".
    """
    return _create(User, "create_user", ("users",), format, _DOCUMENTS, data)


def read_user(user_id: Id, *, format: str = "json") -> Operation[User]:
    """Read a user by login.

    Raises:
        EncodeError: An argument cannot be sent.

    Source: Cosm API v2, "Read a user".
    """
    return _read(User, "read_user", ("users", _segment("user_id", user_id)), format, _DOCUMENTS)


def update_user(user_id: Id, *, data: Data, format: str = "json") -> Operation[bool]:
    """Merge a document into a user.

    Args:
        user_id: The login.
        data: A `User`, or a document of one.
        format: ``"json"`` or ``"xml"``.

    Raises:
        EncodeError: An argument cannot be sent.

    Source: Cosm API v2, "Update a user".
    """
    path = ("users", _segment("user_id", user_id))
    return _update(User, "update_user", path, format, _DOCUMENTS, data)


def delete_user(user_id: Id) -> Operation[bool]:
    """Delete a user.

    Raises:
        EncodeError: The login cannot be sent.

    Source: Cosm API v2, "Delete a user".
    """
    return _delete("delete_user", ("users", _segment("user_id", user_id)))


# ----------------------------------------------------------------------------------------- keys


def list_api_keys(*, format: str = "json", parameters: Parameters | None = None) -> Operation[KeyList]:
    """List the keys of an account.

    Args:
        format: ``"json"`` or ``"xml"``.
        parameters: ``feed_id``, to see those limited to one feed.

    Raises:
        EncodeError: An argument cannot be sent.

    Source: Cosm API v2, "List all keys".
    """
    return _read(KeyList, "list_api_keys", ("keys",), format, _DOCUMENTS, parameters)


def create_api_key(*, data: Data, format: str = "json") -> Operation[str]:
    """Make a key; gives the key itself.

    Args:
        data: A `Key` with a label and permissions, or a document of one.
        format: ``"json"`` or ``"xml"``.

    Raises:
        EncodeError: An argument cannot be sent.

    Source: Cosm API v2, "Create a key".
    """
    return _create(Key, "create_api_key", ("keys",), format, _DOCUMENTS, data)


def read_api_key(key_id: Id, *, format: str = "json") -> Operation[Key]:
    """Read what a key may do.

    Raises:
        EncodeError: An argument cannot be sent.

    Source: Cosm API v2, "Read a key".
    """
    return _read(Key, "read_api_key", _key(key_id), format, _DOCUMENTS)


def update_api_key(key_id: Id, *, data: Data, format: str = "json") -> Operation[bool]:
    """Change what a key may do.

    Args:
        key_id: The key.
        data: A `Key`, or a document of one.
        format: ``"json"`` or ``"xml"``.

    Raises:
        EncodeError: An argument cannot be sent.

    Source: Cosm API v2, "Update a key".
    """
    return _update(Key, "update_api_key", _key(key_id), format, _DOCUMENTS, data)


def delete_api_key(key_id: Id) -> Operation[bool]:
    """Delete a key; whoever uses it is refused from then on.

    Raises:
        EncodeError: The key cannot be sent.

    Source: Cosm API v2, "Delete a key".
    """
    return _delete("delete_api_key", _key(key_id))


def regenerate_api_key(key_id: Id) -> Operation[str]:
    """Replace a key by a new one with the same permissions; gives the new key.

    Raises:
        EncodeError: The key cannot be sent.

    Source: Cosm API v2, "Regenerate a key".
    """
    name = "regenerate_api_key"
    return Operation(
        name=name,
        method="POST",
        path=(*_key(key_id), "regenerate"),
        read=lambda answer: _created_id(name, answer),
        headers={"accept": _MEDIA_TYPES["json"]},
        explain=read_refusal,
    )


# --------------------------------------------------------------------------- how verbs are made


def _read(
    kind: type[Structure],
    name: str,
    path: tuple[str, ...],
    format: str,
    formats: Sequence[str],
    parameters: Parameters | None = None,
) -> Operation[Any]:
    located = _located(path, format, formats)

    def read(answer: Answer) -> Structure | str | bytes:
        if format == "json":
            return cosm_json.decode(kind, answer.body, limits=CLIENT_LIMITS)
        if format == "xml":
            return eeml.decode(kind, answer.body, limits=CLIENT_LIMITS)
        return answer.body if format == "png" else _text(answer.body)

    return Operation(
        name=name,
        method="GET",
        path=located,
        read=read,
        query=_query(parameters),
        headers={"accept": _MEDIA_TYPES[format]},
        explain=read_refusal,
    )


def _create(
    kind: type[Structure],
    name: str,
    path: tuple[str, ...],
    format: str,
    formats: Sequence[str],
    data: Data,
) -> Operation[str]:
    return _send(kind, name, "POST", path, format, formats, data, lambda answer: _created_id(name, answer))


def _update(
    kind: type[Structure],
    name: str,
    path: tuple[str, ...],
    format: str,
    formats: Sequence[str],
    data: Data,
    method: str = "PUT",
) -> Operation[bool]:
    return _send(kind, name, method, path, format, formats, data, lambda answer: _done(name, answer))


def _send(
    kind: type[Structure],
    name: str,
    method: str,
    path: tuple[str, ...],
    format: str,
    formats: Sequence[str],
    data: Data,
    read: Callable[[Answer], T],
) -> Operation[T]:
    located = _located(path, format, formats)
    media_type = _MEDIA_TYPES[format]
    return Operation(
        name=name,
        method=method,
        path=located,
        read=read,
        headers={"content-type": media_type, "accept": media_type},
        body=_body(kind, format, data),
        explain=read_refusal,
    )


def _delete(name: str, path: tuple[str, ...], parameters: Parameters | None = None) -> Operation[bool]:
    return Operation(
        name=name,
        method="DELETE",
        # A server takes the end of room.csv for a format, and would delete room.
        path=_located(path, "json", _DOCUMENTS) if path[-1].lower().endswith(_EXTENSIONS) else path,
        read=lambda answer: _done(name, answer),
        query=_query(parameters),
        headers={"accept": _MEDIA_TYPES["json"]},
        explain=read_refusal,
    )


def _feed(feed_id: Id) -> tuple[str, ...]:
    return "feeds", _segment("feed_id", feed_id)


def _datastream(feed_id: Id, datastream_id: Id) -> tuple[str, ...]:
    return (*_feed(feed_id), "datastreams", _segment("datastream_id", datastream_id))


def _datapoint(feed_id: Id, datastream_id: Id, timestamp: datetime | str | None) -> tuple[str, ...]:
    path = _datastream(feed_id, datastream_id)
    try:
        at = as_instant(timestamp)
    except (TypeError, ValueError) as error:
        raise EncodeError("url", "timestamp", str(error)) from None
    if at is None:
        raise EncodeError("url", "timestamp", "is missing")
    return (*path, "datapoints", format_instant(at))


def _key(key_id: Id) -> tuple[str, ...]:
    return "keys", _Secret(_segment("key_id", key_id))


def _segment(argument: str, value: Id) -> str:
    """One id as a path segment; dots alone would make it the address of something else."""
    if value is None:
        raise EncodeError("url", argument, "is missing")
    text = str(value)
    if not text.strip():
        raise EncodeError("url", argument, "is empty")
    if "\0" in text or not _is_unicode(text):
        raise EncodeError("url", argument, "has characters that no URL can carry")
    if text in (".", ".."):
        raise EncodeError("url", argument, "cannot be only dots, which lead to another address")
    return text


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _located(path: tuple[str, ...], format: str, formats: Sequence[str]) -> tuple[str, ...]:
    if format not in formats:
        raise EncodeError("url", "format", f"is {shorten(str(format))!r}; there are {', '.join(formats)}")
    *front, last = path
    # A subclass of text stays one, so that a key stays hidden.
    return (*front, type(last)(f"{last}.{format}"))


def _query(parameters: Parameters | None) -> tuple[tuple[str, str], ...]:
    pairs = []
    for name, value in (parameters or {}).items():
        if value is None:
            continue
        several = (value,) if isinstance(value, str | int | float | Decimal | datetime) else value
        try:
            text = ",".join(map(_parameter, several))
        except (TypeError, ValueError) as error:
            raise EncodeError("url", f"parameters[{name!r}]", str(error)) from None
        pairs.append((name, text))
    return tuple(pairs)


def _parameter(value: Value | datetime) -> str:
    if isinstance(value, datetime):
        at = as_instant(value)
        assert at is not None
        return format_instant(at)
    text = as_text(value)
    if text is None or not _is_unicode(text):
        raise ValueError("None and half a surrogate pair are not values")
    return text


def _body(kind: type[Structure], format: str, data: Data) -> bytes:
    if isinstance(data, bytes):
        return data
    if isinstance(data, str):
        if not _is_unicode(data):
            raise EncodeError(format, "data", "has half a surrogate pair, which UTF-8 cannot carry")
        return data.encode("utf-8")
    if isinstance(data, kind):
        return _CODECS[format].encode(data)
    given = "is missing" if data is None else f"is a {type(data).__name__}"
    raise EncodeError(
        format, "data", f"{given}: give a {kind.__name__}, or a document of one as bytes or text"
    )


def _done(name: str, answer: Answer) -> bool:
    """A write has nothing to read, except that a page is not from a server of this API.

    A network that wants somebody to log in answers everything with 200 and a page.  Rails calls a blank
    body a page too.
    """
    body = answer.body.strip()
    is_html = "html" in answer.headers.get("content-type", "").lower()
    if body and (is_html or body[:14].lower().startswith((b"<html", b"<!doctype html"))):
        raise RemoteProtocolError(name, f"it answered {answer.status} with a page of HTML")
    return True


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DecodeError("csv", "", f"is not UTF-8: byte {error.start} is not part of a character") from None


def _created_id(name: str, answer: Answer) -> str:
    """The last segment of ``Location``; v1 servers put a format behind a feed's number."""
    path = urlsplit(answer.headers.get("location", "")).path.rstrip("/")
    created = unquote(path.rpartition("/")[2])
    if not created:
        raise RemoteProtocolError(name, "it was created, but the answer's Location does not say its id")
    number, dot, suffix = created.rpartition(".")
    return number if dot and number.isdecimal() and suffix.lower() in _WITH_CSV else created
