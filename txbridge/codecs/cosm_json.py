"""JSON 1.0.0, and 0.6-alpha: what is accepted of it, and feeds and datastreams as version 1 showed them.

A document is read in one of two ways with one result.  Documents that are written the way this
codec writes them go through msgspec straight into the structures.  Whatever msgspec refuses, or
would read differently, is read by the tolerant way: numbers are kept as the text they had
(``20.0`` stays ``"20.0"``, any length), text and numbers stand in for each other, nulls and
unknown members are skipped, and every complaint names its place.

What is taken on the way in, beyond the documented form: a byte order mark, white space around;
``tags`` as one comma-separated text; ``private`` as boolean, number or text; keys and users with
or without their wrapper, lists of them too; a datastream inside a feed that holds only it; the
datastreams of 0.6-alpha, whose value is in ``values``.

Nothing that the structures hold is lost, except that a feed's ``user`` is only its login, an
empty list of points, waypoints, resources, methods or roles is absent, and an
``Environment.version`` of 0.6-alpha becomes 1.0.0.

Source: Cosm API v2, "Data formats"; xively-rb ``templates/json`` for the order of the members.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, tzinfo
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from txbridge.codecs.limits import DEFAULT_LIMITS, DecodeLimits, check_json_depth, count_openings
from txbridge.codecs.points import instant_text, members_are_plain, points_to_json, whole_seconds_text
from txbridge.errors import DecodeError, EncodeError
from txbridge.model.accounts import (
    Key,
    KeyList,
    Permission,
    Resource,
    Trigger,
    TriggerList,
    User,
    UserList,
    as_flag,
    as_integer,
)
from txbridge.model.encoding import Structure
from txbridge.model.instants import parse_instant, shorten
from txbridge.model.structures import (
    Datapoint,
    Datastream,
    Environment,
    EnvironmentList,
    Location,
    Unit,
    Waypoint,
    as_degrees,
    split_tags,
)

__all__ = ["decode", "encode", "parse"]

FORMAT = "json"
VERSION = "1.0.0"
LEGACY_VERSION = "0.6-alpha"

S = TypeVar("S", bound=Structure)
T = TypeVar("T")

# ------------------------------------------------------------------------------------------ writing


def _exact(value: Any) -> str:
    """What msgspec, which looks at exact types, is given in place of a value it does not know."""
    if isinstance(value, str):
        return str.__str__(value)
    raise EncodeError(FORMAT, "", f"JSON has no form for a {type(value).__name__}")


_WRITE = msgspec.json.Encoder(enc_hook=_exact).encode


def encode(
    structure: Structure,
    *,
    zone: tzinfo | None = None,
    versioned: bool = False,
    notified_always: bool = False,
    legacy: bool = False,
) -> bytes:
    """Write a structure as compact JSON.

    What is None is left out; ``""`` and an empty list of tags are written.

    Args:
        structure: Any shared structure.
        zone: The offset to show instants in; None is UTC.
        versioned: End a datastream with its ``"version"``, as the service does where a datastream is
            the whole document.
        notified_always: Write ``"notified_at":""`` for a trigger that never fired.
        legacy: Write feeds and datastreams as 0.6-alpha does: values in ``values``, instants in
            whole seconds.

    Raises:
        EncodeError: A text holds half of a surrogate pair, or a member something that is no text,
            number or instant.
    """
    document = (_LegacyWriter if legacy else _Writer)(zone, notified_always).document(structure)
    if versioned and isinstance(structure, Datastream):
        document["version"] = LEGACY_VERSION if legacy else VERSION
    try:
        return _WRITE(document)
    except UnicodeEncodeError:
        raise EncodeError(FORMAT, _broken_text(document), "half of a surrogate pair") from None


def _broken_text(document: Any, path: str = "") -> str:
    """Where in a document the text is that UTF-8 cannot carry."""
    if isinstance(document, Mapping):
        inside: Iterable[tuple[str, Any]] = ((_join(path, name), one) for name, one in document.items())
    elif isinstance(document, list):
        inside = ((f"{path}[{index}]", one) for index, one in enumerate(document))
    else:
        inside = ()
    if isinstance(document, str) and not _is_encodable(document):
        return path
    return next((found for where, one in inside if (found := _broken_text(one, where))), "")


def _is_encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _present(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


class _Writer:
    """Turns structures into what msgspec writes, with the members in the service's order."""

    def __init__(self, zone: tzinfo | None, notified_always: bool) -> None:
        self._zone = zone
        self._notified_always = notified_always

    def document(self, structure: Structure) -> Any:
        write = _WRITERS.get(type(structure))
        if write is None:
            raise EncodeError(FORMAT, "", f"{type(structure).__name__} has no JSON form")
        return write(self, structure)

    def _instant(self, at: datetime | None) -> str | None:
        return None if at is None else instant_text(at, self._zone)

    def feed(self, feed: Environment, path: str = "") -> dict[str, Any]:
        streams = [
            self.datastream(stream, name, _join(path, f"datastreams[{index}]"))
            for index, (name, stream) in enumerate(feed.datastreams.items())
        ]
        return _present(
            id=feed.id,
            title=feed.title,
            private=None if feed.private is None else ("true" if feed.private else "false"),
            icon=feed.icon,
            website=feed.website,
            tags=feed.tags,
            description=feed.description,
            feed=feed.feed,
            auto_feed_url=feed.auto_feed_url,
            status=feed.status,
            updated=self._instant(feed.updated),
            created=self._instant(feed.created),
            email=feed.email,
            creator=feed.creator,
            user=None if feed.user is None else _present(login=feed.user.login),
            version=feed.version,
            datastreams=streams or None,
            location=None if feed.location is None else self.location(feed.location),
            product_id=feed.product_id,
            device_serial=feed.device_serial,
        )

    def feeds(self, page: EnvironmentList) -> dict[str, Any]:
        return _present(
            totalResults=page.total_results,
            startIndex=page.start_index,
            itemsPerPage=page.items_per_page,
            results=[self.feed(feed, f"results[{index}]") for index, feed in enumerate(page.feeds)],
        )

    def datastream(self, stream: Datastream, name: str | None = None, path: str = "") -> dict[str, Any]:
        return _present(
            id=stream.id if stream.id is not None else name,
            current_value=stream.current_value,
            at=self._instant(stream.at),
            max_value=stream.max_value,
            min_value=stream.min_value,
            tags=stream.tags,
            unit=None if stream.unit is None else self.unit(stream.unit),
            datapoints_function=stream.datapoints_function,
            datapoints=self._datapoints(stream.datapoints, path) if stream.datapoints else None,
        )

    def _datapoints(self, points: list[Datapoint], path: str) -> msgspec.Raw:
        try:
            return msgspec.Raw(points_to_json(points, self._zone))
        except UnicodeEncodeError:
            broken = _broken_text([{"value": point.value} for point in points], _join(path, "datapoints"))
            raise EncodeError(FORMAT, broken, "half of a surrogate pair") from None

    def datapoint(self, point: Datapoint) -> dict[str, Any]:
        return _present(at=self._instant(point.at), value=point.value)

    def unit(self, unit: Unit) -> dict[str, Any]:
        return _present(type=unit.type, symbol=unit.symbol, label=unit.label)

    def location(self, place: Location) -> dict[str, Any]:
        return _present(
            name=place.name,
            exposure=place.exposure,
            domain=place.domain,
            disposition=place.disposition,
            ele=place.ele,
            lat=place.lat,
            lon=place.lon,
            waypoints=[self.waypoint(waypoint) for waypoint in place.waypoints] or None,
        )

    def waypoint(self, waypoint: Waypoint) -> dict[str, Any]:
        return _present(at=self._instant(waypoint.at), lat=waypoint.lat, lon=waypoint.lon, ele=waypoint.ele)

    def trigger(self, trigger: Trigger) -> dict[str, Any]:
        never = "" if self._notified_always else None
        return _present(
            id=trigger.id,
            url=trigger.url,
            trigger_type=trigger.trigger_type,
            threshold_value=trigger.threshold_value,
            notified_at=never if trigger.notified_at is None else self._instant(trigger.notified_at),
            user=trigger.user,
            environment_id=trigger.environment_id,
            stream_id=trigger.stream_id,
        )

    def triggers(self, triggers: TriggerList) -> list[Any]:
        return [self.trigger(trigger) for trigger in triggers.triggers]

    def resource(self, resource: Resource) -> dict[str, Any]:
        return _present(
            feed_id=resource.feed_id,
            datastream_id=resource.datastream_id,
            datastream_trigger_id=resource.datastream_trigger_id,
        )

    def permission(self, permission: Permission) -> dict[str, Any]:
        return _present(
            label=permission.label,
            access_methods=permission.access_methods or None,
            source_ip=permission.source_ip,
            referer=permission.referer,
            minimum_interval=permission.minimum_interval,
            resources=[self.resource(resource) for resource in permission.resources] or None,
        )

    def bare_key(self, key: Key) -> dict[str, Any]:
        permissions = key.permissions
        return _present(
            api_key=key.api_key,
            label=key.label,
            expires_at=self._instant(key.expires_at),
            private_access=key.private_access,
            permissions=None if permissions is None else [self.permission(one) for one in permissions],
            user=key.user,
        )

    def key(self, key: Key) -> dict[str, Any]:
        return {"key": self.bare_key(key)}

    def keys(self, keys: KeyList) -> dict[str, Any]:
        return {"keys": [self.bare_key(key) for key in keys.keys]}

    def user(self, user: User) -> dict[str, Any]:
        members = {name: getattr(user, name) for name in _USER_MEMBERS}
        members["roles"] = user.roles or None
        members["creatable_roles"] = user.creatable_roles or None
        return {"user": _present(**members)}

    def users(self, users: UserList) -> list[Any]:
        return [self.user(user) for user in users.users]


class _LegacyWriter(_Writer):
    """Writes datastreams as 0.6-alpha did; ``values`` always has one element.

    Source: xively-rb ``templates/json/datastream_defaults.rb``.
    """

    def document(self, structure: Structure) -> Any:
        return (
            self.datastream(structure) if isinstance(structure, Datastream) else super().document(structure)
        )

    def _instant(self, at: datetime | None) -> str | None:
        return None if at is None else whole_seconds_text(at, self._zone)

    def datastream(self, stream: Datastream, name: str | None = None, path: str = "") -> dict[str, Any]:
        value = _present(
            recorded_at=self._instant(stream.at),
            value=stream.current_value,
            max_value=stream.max_value,
            min_value=stream.min_value,
        )
        return _present(
            id=stream.id if stream.id is not None else name,
            values=[value],
            tags=stream.tags,
            unit=None if stream.unit is None else self.unit(stream.unit),
        )


_USER_TEXTS = ("login", "email", "full_name", "first_name", "last_name", "organisation", "about", "website")
_USER_FLAGS = (
    "deliver_email",
    "display_activity",
    "display_information",
    "display_stats",
    "receive_forum_notifications",
    "subscribed_to_mailings",
)
_USER_COUNTS = (
    "feeds_count",
    "datastreams_count",
    "datastreams_allowed",
    "daily_api_access_count",
    "total_api_access_count",
)
_USER_MEMBERS = (
    *_USER_TEXTS,
    "time_zone",
    "roles",
    "creatable_roles",
    *_USER_FLAGS,
    *_USER_COUNTS,
    "api_key",
    "password",
)

_WRITERS: dict[type, Callable[[_Writer, Any], Any]] = {
    Environment: _Writer.feed,
    EnvironmentList: _Writer.feeds,
    Datastream: _Writer.datastream,
    Datapoint: _Writer.datapoint,
    Unit: _Writer.unit,
    Location: _Writer.location,
    Waypoint: _Writer.waypoint,
    Trigger: _Writer.trigger,
    TriggerList: _Writer.triggers,
    Resource: _Writer.resource,
    Permission: _Writer.permission,
    Key: _Writer.key,
    KeyList: _Writer.keys,
    User: _Writer.user,
    UserList: _Writer.users,
}

# ------------------------------------------------------------------------------------------ reading

_BOM = b"\xef\xbb\xbf"


def decode(kind: type[S], data: bytes, *, limits: DecodeLimits = DEFAULT_LIMITS) -> S:
    """Read a JSON document as a structure of this kind.

    Args:
        kind: Any shared structure.
        data: UTF-8.
        limits: How large the document may be.

    Raises:
        DecodeError: Not JSON, not of this shape, or a value that its member cannot have; the
            last is ``invalid``.
    """
    limits.check(FORMAT, data, b",:")
    data = data.removeprefix(_BOM)
    fast = _FAST.get(kind)
    if fast is not None and (b"\\" not in data or b"\\u" not in data):
        found = fast(data, limits)
        if found is not None:
            return found  # type: ignore[no-any-return]  # each entry gives its own kind
    read = _READERS.get(kind)
    if read is None:
        raise DecodeError(FORMAT, "", f"{kind.__name__} has no JSON form")
    return read(_parse(data, limits), "")  # type: ignore[no-any-return]  # each entry gives its own kind


# The way of documents written as we write them.  Each function gives None for "not this way".


class _Login(msgspec.Struct, forbid_unknown_fields=True):
    login: str | None = None


# Those that `as_integer` takes.
_Integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class _Feed(msgspec.Struct):
    id: _Integer | None = None
    title: str | None = None
    private: bool | Literal["true", "false"] | None = None
    icon: str | None = None
    website: str | None = None
    tags: list[str] | None = None
    description: str | None = None
    feed: str | None = None
    auto_feed_url: str | None = None
    status: str | None = None
    updated: str | None = None
    created: str | None = None
    email: str | None = None
    creator: str | None = None
    user: _Login | None = None
    version: Literal["1.0.0"] | None = None
    datastreams: list[Datastream] = []
    location: Location | None = None
    product_id: str | None = None
    device_serial: str | None = None


class _Feeds(msgspec.Struct):
    totalResults: _Integer | None = None
    startIndex: _Integer | None = None
    itemsPerPage: _Integer | None = None
    results: list[_Feed] = []


_READ_FEED = msgspec.json.Decoder(_Feed).decode
_READ_FEEDS = msgspec.json.Decoder(_Feeds).decode
_READ_DATASTREAM = msgspec.json.Decoder(Datastream).decode
_REFUSALS = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)
_LEVELS_ACCOUNTED = 6  # the deepest known member: results[] datastreams[] datapoints[]


def _is_sound(data: bytes, streams: list[Datastream], limits: DecodeLimits) -> bool:
    """Whether what msgspec read is what the tolerant way would have read.

    Raises:
        DecodeError: The document is nested too deep, in members that nobody knows.
    """
    shallow = 0
    values_seen: bool | None = None
    for stream in streams:
        points = stream.datapoints
        shallow += 1 + len(points) + bool(points) + (stream.tags is not None) + (stream.unit is not None)
        if stream.current_value is None and not points:
            if values_seen is None:
                values_seen = b'"values"' in data
            if values_seen:
                return False
    if count_openings(data) - shallow > limits.depth - _LEVELS_ACCOUNTED:
        check_json_depth(data, limits.depth)
    if not data.isascii():
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:
            return False
    return members_are_plain(data)


def _environment(wire: _Feed) -> Environment | None:
    """The environment, or None when one of its datastreams has no id of its own."""
    streams = {stream.id: stream for stream in wire.datastreams if stream.id is not None}
    if len(streams) != len(wire.datastreams):
        return None
    try:
        updated = None if wire.updated is None else parse_instant(wire.updated)
        created = None if wire.created is None else parse_instant(wire.created)
    except ValueError:
        return None
    return Environment(
        id=wire.id,
        title=wire.title,
        private=wire.private,
        icon=wire.icon,
        website=wire.website,
        tags=wire.tags,
        description=wire.description,
        feed=wire.feed,
        auto_feed_url=wire.auto_feed_url,
        status=wire.status,
        updated=updated,
        created=created,
        email=wire.email,
        creator=wire.creator,
        user=None if wire.user is None else User(login=wire.user.login),
        version=wire.version,
        datastreams=streams,
        location=wire.location,
        product_id=wire.product_id,
        device_serial=wire.device_serial,
    )


def _fast_environment(data: bytes, limits: DecodeLimits) -> Environment | None:
    try:
        wire = _READ_FEED(data)
    except _REFUSALS:
        return None
    return _environment(wire) if _is_sound(data, wire.datastreams, limits) else None


def _fast_environments(data: bytes, limits: DecodeLimits) -> EnvironmentList | None:
    try:
        wire = _READ_FEEDS(data)
    except _REFUSALS:
        return None
    if not _is_sound(data, [stream for feed in wire.results for stream in feed.datastreams], limits):
        return None
    feeds = [feed for one in wire.results if (feed := _environment(one)) is not None]
    if len(feeds) != len(wire.results):
        return None
    return EnvironmentList(
        total_results=wire.totalResults,
        start_index=wire.startIndex,
        items_per_page=wire.itemsPerPage,
        feeds=feeds,
    )


def _fast_datastream(data: bytes, limits: DecodeLimits) -> Datastream | None:
    if b'"datastreams"' in data:
        return None
    try:
        stream = _READ_DATASTREAM(data)
    except _REFUSALS:
        return None
    return stream if _is_sound(data, [stream], limits) else None


def parse(data: bytes, *, limits: DecodeLimits = DEFAULT_LIMITS) -> Any:
    """Read a JSON document that is no shared structure; numbers are the texts they have there.

    Args:
        data: UTF-8.
        limits: How large the document may be.

    Raises:
        DecodeError: Not JSON, or too large.
    """
    limits.check(FORMAT, data, b",:")
    return _parse(data.removeprefix(_BOM), limits)


_FAST: dict[type, Callable[[bytes, DecodeLimits], Any]] = {
    Environment: _fast_environment,
    EnvironmentList: _fast_environments,
    Datastream: _fast_datastream,
}

# The tolerant way.


class _Number(str):
    """A number, as the text it has in the document."""

    __slots__ = ()


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_PARSER = json.JSONDecoder(parse_int=_Number, parse_float=_Number, parse_constant=_refuse_constant)


def _parse(data: bytes, limits: DecodeLimits) -> Any:
    check_json_depth(data, limits.depth)
    try:
        return _PARSER.decode(data.decode("utf-8"))
    except json.JSONDecodeError as error:
        reason = f"{error.msg}: line {error.lineno} column {error.colno}"
    except UnicodeDecodeError as error:
        reason = f"not UTF-8: byte {error.start}"
    except ValueError as error:  # from _refuse_constant
        reason = str(error)
    raise DecodeError(FORMAT, "", reason)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _invalid(path: str, reason: str) -> DecodeError:
    return DecodeError(FORMAT, path, reason, invalid=True)


def _object(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DecodeError(FORMAT, path, "must be an object", invalid=bool(path))
    return value


def _items(value: Any, path: str) -> Iterator[tuple[Any, str]]:
    """The items of an array that are not null, each with its path."""
    if value is None:
        return
    if not isinstance(value, list):
        raise _invalid(path, "must be an array")
    for index, item in enumerate(value):
        if item is not None:
            yield item, f"{path}[{index}]"


def _as_text(value: Any, path: str) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        raise _invalid(path, "must be text or a number")
    if not value.isascii() and not _is_encodable(value):
        raise _invalid(path, "half of a surrogate pair")
    return str(value)


def _text(members: dict[str, Any], name: str, path: str) -> str | None:
    return _as_text(members.get(name), _join(path, name))


def _converted(
    convert: Callable[[str], T], members: dict[str, Any], name: str, path: str, *, blank: bool = True
) -> T | None:
    """A member read by a converter of the model; text without content is absent, if it may be blank."""
    where = _join(path, name)
    text = _as_text(members.get(name), where)
    if text is None or (blank and not text.strip()):
        return None
    try:
        return convert(text)
    except ValueError as error:
        raise _invalid(where, str(error)) from None


def _instant(members: dict[str, Any], name: str, path: str) -> datetime | None:
    return _converted(parse_instant, members, name, path)


def _integer(members: dict[str, Any], name: str, path: str) -> int | None:
    return _converted(as_integer, members, name, path)


def _flag(members: dict[str, Any], name: str, path: str) -> bool | None:
    return _converted(as_flag, members, name, path)


def _degrees(members: dict[str, Any], name: str, path: str) -> float | None:
    return _converted(as_degrees, members, name, path)


def _texts(value: Any, path: str) -> list[str]:
    if isinstance(value, str):
        return split_tags(_as_text(value, path) or "")
    return [text for item, where in _items(value, path) if (text := _as_text(item, where)) is not None]


def _tags(members: dict[str, Any], path: str) -> list[str] | None:
    value = members.get("tags")
    return None if value is None else _texts(value, _join(path, "tags"))


def _read_unit(value: Any, path: str) -> Unit:
    members = _object(value, path)
    return Unit(
        type=_text(members, "type", path),
        symbol=_text(members, "symbol", path),
        label=_text(members, "label", path),
    )


def _read_waypoint(value: Any, path: str) -> Waypoint:
    members = _object(value, path)
    return Waypoint(
        at=_instant(members, "at", path),
        lat=_degrees(members, "lat", path),
        lon=_degrees(members, "lon", path),
        ele=_text(members, "ele", path),
    )


def _read_location(value: Any, path: str) -> Location:
    members = _object(value, path)
    return Location(
        name=_text(members, "name", path),
        domain=_text(members, "domain", path),
        exposure=_text(members, "exposure", path),
        disposition=_text(members, "disposition", path),
        lat=_degrees(members, "lat", path),
        lon=_degrees(members, "lon", path),
        ele=_text(members, "ele", path),
        waypoints=[
            _read_waypoint(item, where)
            for item, where in _items(members.get("waypoints"), _join(path, "waypoints"))
        ],
    )


def _read_datapoint(value: Any, path: str) -> Datapoint:
    members = _object(value, path)
    return Datapoint(at=_instant(members, "at", path), value=_text(members, "value", path))


def _read_member(members: dict[str, Any], name: str, path: str, read: Callable[[Any, str], T]) -> T | None:
    value = members.get(name)
    return None if value is None else read(value, _join(path, name))


def _stream_members(members: dict[str, Any], path: str) -> Datastream:
    stream = Datastream(
        id=_text(members, "id", path),
        current_value=_text(members, "current_value", path),
        at=_instant(members, "at", path),
        max_value=_text(members, "max_value", path),
        min_value=_text(members, "min_value", path),
        tags=_tags(members, path),
        unit=_read_member(members, "unit", path, _read_unit),
        datapoints=[
            _read_datapoint(item, where)
            for item, where in _items(members.get("datapoints"), _join(path, "datapoints"))
        ],
        datapoints_function=_text(members, "datapoints_function", path),
    )
    values = members.get("values")
    if values is not None and stream.current_value is None and not stream.datapoints:
        _read_alpha_values(stream, values, _join(path, "values"))
    return stream


def _read_alpha_values(stream: Datastream, values: Any, path: str) -> None:
    """Take the current value of 0.6-alpha: the first of an array, or the object itself."""
    if isinstance(values, list):
        if not values:
            return
        values, path = values[0], f"{path}[0]"
    members = _object(values, path)
    stream.current_value = _text(members, "value", path)
    stream.at = _instant(members, "recorded_at", path) or stream.at
    stream.max_value = _text(members, "max_value", path) or stream.max_value
    stream.min_value = _text(members, "min_value", path) or stream.min_value


def _read_datastream(value: Any, path: str) -> Datastream:
    members = _object(value, path)
    if members.get("datastreams") is None:
        return _stream_members(members, path)
    streams = list(_items(_datastream_array(members, path), _join(path, "datastreams")))
    if len(streams) != 1:
        raise _invalid(_join(path, "datastreams"), f"must hold exactly one datastream, not {len(streams)}")
    item, where = streams[0]
    return _stream_members(_object(item, where), where)


def _datastream_array(members: dict[str, Any], path: str) -> Any:
    value = members.get("datastreams")
    if value is not None and not isinstance(value, list):
        raise DecodeError(FORMAT, _join(path, "datastreams"), "datastreams must be an array")
    return value


def _read_environment(value: Any, path: str) -> Environment:
    members = _object(value, path)
    streams: dict[str, Datastream] = {}
    for item, where in _items(_datastream_array(members, path), _join(path, "datastreams")):
        stream = _stream_members(_object(item, where), where)
        if stream.id is None:
            raise _invalid(_join(where, "id"), "a datastream needs an id")
        if stream.id in streams:
            raise _invalid(_join(where, "id"), f"a second datastream {shorten(stream.id)!r}")
        streams[stream.id] = stream
    return Environment(
        id=_integer(members, "id", path),
        title=_text(members, "title", path),
        private=_flag(members, "private", path),
        icon=_text(members, "icon", path),
        website=_text(members, "website", path),
        tags=_tags(members, path),
        description=_text(members, "description", path),
        feed=_text(members, "feed", path),
        auto_feed_url=_text(members, "auto_feed_url", path),
        status=_text(members, "status", path),
        updated=_instant(members, "updated", path),
        created=_instant(members, "created", path),
        email=_text(members, "email", path),
        creator=_text(members, "creator", path),
        user=_read_member(members, "user", path, _read_login),
        version=_version(members),
        datastreams=streams,
        location=_read_member(members, "location", path, _read_location),
        product_id=_text(members, "product_id", path),
        device_serial=_text(members, "device_serial", path),
    )


def _read_login(value: Any, path: str) -> User:
    if isinstance(value, str):
        return User(login=_as_text(value, path))
    return User(login=_text(_object(value, path), "login", path))


def _version(members: dict[str, Any]) -> str | None:
    """The data format; txcosm sends ``[0,1,0]``, which is its own version and means nothing here."""
    version = members.get("version")
    if version is None:
        return None
    if type(version) is str and version not in ("0.6-alpha", "0.6") and _is_encodable(version):
        return version
    return VERSION


def _read_environments(value: Any, path: str) -> EnvironmentList:
    members = _object(value, path)
    return EnvironmentList(
        total_results=_integer(members, "totalResults", path),
        start_index=_integer(members, "startIndex", path),
        items_per_page=_integer(members, "itemsPerPage", path),
        feeds=[
            _read_environment(item, where)
            for item, where in _items(members.get("results"), _join(path, "results"))
        ],
    )


def _read_trigger(value: Any, path: str) -> Trigger:
    members = _object(value, path)
    return Trigger(
        id=_integer(members, "id", path),
        url=_text(members, "url", path),
        trigger_type=_text(members, "trigger_type", path),
        threshold_value=_text(members, "threshold_value", path),
        environment_id=_integer(members, "environment_id", path),
        stream_id=_text(members, "stream_id", path),
        user=_text(members, "user", path),
        notified_at=_instant(members, "notified_at", path),
    )


def _list_items(value: Any, path: str, name: str) -> Iterator[tuple[Any, str]]:
    """The items of a list that is a bare array, or inside an object under this name."""
    if isinstance(value, dict):
        return _items(value.get(name), _join(path, name))
    if not isinstance(value, list):
        raise DecodeError(FORMAT, path, "must be an array")
    return _items(value, path)


def _unwrapped(value: Any, path: str, name: str) -> tuple[dict[str, Any], str]:
    """The object inside a wrapper of this name, or the object itself where there is none."""
    members = _object(value, path)
    inner = members.get(name)
    return (inner, _join(path, name)) if isinstance(inner, dict) else (members, path)


def _read_triggers(value: Any, path: str) -> TriggerList:
    items = _list_items(value, path, "triggers")
    return TriggerList(triggers=[_read_trigger(item, where) for item, where in items])


def _read_resource(value: Any, path: str) -> Resource:
    members = _object(value, path)
    return Resource(
        feed_id=_integer(members, "feed_id", path),
        datastream_id=_text(members, "datastream_id", path),
        datastream_trigger_id=_integer(members, "datastream_trigger_id", path),
    )


def _read_permission(value: Any, path: str) -> Permission:
    members = _object(value, path)
    methods = _texts(members.get("access_methods"), _join(path, "access_methods"))
    return Permission(
        access_methods=[method.lower() for method in methods],
        label=_text(members, "label", path),
        referer=_text(members, "referer", path),
        source_ip=_text(members, "source_ip", path),
        minimum_interval=_integer(members, "minimum_interval", path),
        resources=[
            _read_resource(item, where)
            for item, where in _items(members.get("resources"), _join(path, "resources"))
        ],
    )


def _read_permissions(value: Any, path: str) -> list[Permission]:
    return [_read_permission(item, where) for item, where in _items(value, path)]


def _read_key(value: Any, path: str) -> Key:
    members, path = _unwrapped(value, path, "key")
    return Key(
        api_key=_text(members, "api_key", path),
        label=_text(members, "label", path),
        expires_at=_instant(members, "expires_at", path),
        private_access=_flag(members, "private_access", path),
        permissions=_read_member(members, "permissions", path, _read_permissions),
        user=_text(members, "user", path),
    )


def _read_keys(value: Any, path: str) -> KeyList:
    items = _list_items(value, path, "keys")
    return KeyList(keys=[_read_key(item, where) for item, where in items])


def _read_user(value: Any, path: str) -> User:
    members, path = _unwrapped(value, path, "user")
    read: dict[str, Any] = {
        name: _text(members, name, path) for name in (*_USER_TEXTS, "api_key", "password")
    }
    read.update({name: _flag(members, name, path) for name in _USER_FLAGS})
    read.update({name: _integer(members, name, path) for name in _USER_COUNTS})
    # txPachube and txcosm, and so their users' own documents, leave out the underscore.
    zone = "time_zone" if members.get("time_zone") is not None else "timezone"
    return User(
        time_zone=_text(members, zone, path),
        roles=_texts(members.get("roles"), _join(path, "roles")),
        creatable_roles=_texts(members.get("creatable_roles"), _join(path, "creatable_roles")),
        **read,
    )


def _read_users(value: Any, path: str) -> UserList:
    items = _list_items(value, path, "users")
    return UserList(users=[_read_user(item, where) for item, where in items])


_READERS: dict[type, Callable[[Any, str], Any]] = {
    Environment: _read_environment,
    EnvironmentList: _read_environments,
    Datastream: _read_datastream,
    Datapoint: _read_datapoint,
    Unit: _read_unit,
    Location: _read_location,
    Waypoint: _read_waypoint,
    Trigger: _read_trigger,
    TriggerList: _read_triggers,
    Resource: _read_resource,
    Permission: _read_permission,
    Key: _read_key,
    KeyList: _read_keys,
    User: _read_user,
    UserList: _read_users,
}
