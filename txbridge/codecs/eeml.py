"""EEML 0.5.1, and the plain XML of triggers, keys and users; EEML 005 is read, and written for version 1.

Documents are written from templates, because building a tree costs ten times as much; tests hold
the templates to what lxml writes for the same tree.  They are read by local name whatever the
namespace and its prefix, since some clients give none and some a wrong one.  Hyphens and underscores
in the names of triggers, keys and users stand for each other.

What EEML cannot carry: white space at the edges of a text; control characters and half
surrogates, which are refused with an `EncodeError`; the difference between an empty and an absent
value, attribute, location member or unit; an empty list of tags, an empty or blank tag, and a
location or unit of which nothing is known; ``version``, which is read as 1.0.0; and of a feed's
``user`` all but its login.  Units, locations, waypoints, permissions and resources are parts of
documents, never documents.

Source: Cosm API v2, "Data formats"; xively-rb ``templates/xml`` and ``parsers/xml``; python-eeml,
which puts ``minValue`` and ``maxValue`` on ``current_value``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, tzinfo
from typing import Any, TypeAlias, TypeVar
from xml.etree.ElementTree import Element

from txbridge.codecs.eeml_runs import MARK, Columns, take_runs
from txbridge.codecs.fields import EEML_005_NAMESPACE, EEML_NAMESPACE, OPENSEARCH_NAMESPACE, XSI_NAMESPACE
from txbridge.codecs.limits import DEFAULT_LIMITS, DecodeLimits, parse_xml
from txbridge.codecs.points import instant_text, instant_texts, points_from_text, whole_seconds_text
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
from txbridge.model.instants import parse_instant
from txbridge.model.structures import (
    Datapoint,
    Datastream,
    Environment,
    EnvironmentList,
    Location,
    Unit,
    Waypoint,
    as_degrees,
)

__all__ = ["decode", "encode"]

FORMAT = "xml"

S = TypeVar("S", bound=Structure)
T = TypeVar("T")

_Runs: TypeAlias = Sequence[Columns]  # what `take_runs` took out of the document

_BLANKS = " \t\r\n"

_FEED_TEXTS = (
    "title",
    "feed",
    "auto_feed_url",
    "status",
    "description",
    "icon",
    "website",
    "email",
    "product_id",
    "device_serial",
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

# ------------------------------------------------------------------------------------------ writing

# One search settles the usual case, that there is nothing to do: neither markup nor a character
# that XML 1.0 has no place for.
_NOT_PLAIN = re.compile("[^\t\n\x20-\x25\x27-\x3b\x3d\x3f-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _escaped(text: str, path: str) -> str:
    if _NOT_PLAIN.search(text) is None:
        return text
    wrong = _NOT_XML.search(text)
    if wrong is not None:
        raise EncodeError(FORMAT, path, f"XML has no place for the character U+{ord(wrong[0]):04X}")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\r", "&#13;")


def _attribute(name: str, value: str | None, path: str) -> str:
    if value is None:
        return ""
    text = _escaped(value, f"{path}.{name}" if path else name)
    text = text.replace('"', "&quot;").replace("\n", "&#10;").replace("\t", "&#9;")
    return f' {name}="{text}"'


def encode(
    structure: Structure,
    *,
    zone: tzinfo | None = None,
    environment: Environment | None = None,
    notified_always: bool = False,
    legacy: bool = False,
) -> bytes:
    """Write a structure as XML, without indentation.

    Args:
        structure: An environment, datastream, datapoint, trigger, key or user, or a list of them
            where there is one.
        zone: The offset to show instants in; None is UTC.
        environment: The feed of a datastream: its number, creator and last write stand around it.
        notified_always: Write an empty ``notified-at`` for a trigger that never fired.
        legacy: Write feeds and datastreams as EEML 005 does: a ``value`` with its extremes, instants
            in whole seconds, no history.

    Raises:
        EncodeError: The structure is no document of its own, or holds a character that XML has
            no place for.
    """
    write = _WRITERS.get(type(structure))
    if write is None:
        raise EncodeError(FORMAT, "", f"{type(structure).__name__} has no XML document of its own")
    writer = (_LegacyWriter if legacy else _Writer)(zone, environment, notified_always)
    write(writer, structure)
    return ('<?xml version="1.0" encoding="UTF-8"?>\n' + "".join(writer.parts) + "\n").encode("utf-8")


class _Writer:
    """Gathers the parts of one document."""

    namespace, version = EEML_NAMESPACE, "0.5.1"
    schema = "0.5.1.xsd"

    def __init__(self, zone: tzinfo | None, environment: Environment | None, notified_always: bool) -> None:
        self.parts: list[str] = []
        self._zone = zone
        self._environment = environment
        self._notified_always = notified_always

    def _instant(self, at: datetime | None) -> str | None:
        return None if at is None else instant_text(at, self._zone)

    def _element(self, name: str, text: str | None, path: str, attributes: str = "") -> None:
        if text is not None:
            member = name.replace("-", "_")
            where = f"{path}.{member}" if path else member
            self.parts.append(f"<{name}{attributes}>{_escaped(text, where)}</{name}>")

    def _open_eeml(self, opensearch: bool = False) -> None:
        extra = f' xmlns:opensearch="{OPENSEARCH_NAMESPACE}"' if opensearch else ""
        self.parts.append(
            f'<eeml xmlns="{self.namespace}" xmlns:xsi="{XSI_NAMESPACE}"{extra} version="{self.version}"'
            f' xsi:schemaLocation="{self.namespace} {self.namespace}/{self.schema}">'
        )

    def feed_document(self, feed: Environment) -> None:
        self._open_eeml()
        self._feed(feed, "")
        self.parts.append("</eeml>")

    def feeds_document(self, page: EnvironmentList) -> None:
        self._open_eeml(opensearch=True)
        for name, count in (
            ("totalResults", page.total_results),
            ("startIndex", page.start_index),
            ("itemsPerPage", page.items_per_page),
        ):
            if count is not None:
                self.parts.append(f"<opensearch:{name}>{count}</opensearch:{name}>")
        for index, feed in enumerate(page.feeds):
            self._feed(feed, f"feeds[{index}].")
        self.parts.append("</eeml>")

    def datastream_document(self, stream: Datastream) -> None:
        feed = self._environment
        self._open_eeml()
        attributes = ""
        if feed is not None:
            attributes = (
                _attribute("updated", self._instant(feed.updated), "environment")
                + _attribute("id", None if feed.id is None else str(feed.id), "environment")
                + _attribute("creator", feed.creator, "environment")
            )
        self.parts.append(f"<environment{attributes}>")
        self._stream(stream, None, "")
        self.parts.append("</environment></eeml>")

    def datapoint_document(self, point: Datapoint) -> None:
        self._open_eeml()
        self.parts.append("<environment><data><datapoints>")
        self._points([point], "")
        self.parts.append("</datapoints></data></environment></eeml>")

    def _feed(self, feed: Environment, path: str) -> None:
        inside = path.removesuffix(".")
        self.parts.append(
            "<environment"
            + _attribute("updated", self._instant(feed.updated), inside)
            + _attribute("created", self._instant(feed.created), inside)
            + _attribute("id", None if feed.id is None else str(feed.id), inside)
            + _attribute("creator", feed.creator, inside)
            + ">"
        )
        for name in _FEED_TEXTS:
            self._element(name, getattr(feed, name), inside)
        if feed.private is not None:
            self._element("private", "true" if feed.private else "false", inside)
        for index, tag in enumerate(feed.tags or ()):
            self.parts.append(f"<tag>{_escaped(tag, f'{path}tags[{index}]')}</tag>")
        if feed.location is not None:
            self._location(feed.location, f"{path}location")
        if feed.user is not None and feed.user.login is not None:
            self.parts.append("<user>")
            self._element("login", feed.user.login, f"{path}user")
            self.parts.append("</user>")
        for index, (name, stream) in enumerate(feed.datastreams.items()):
            self._stream(stream, name, f"{path}datastreams[{index}]")
        self.parts.append("</environment>")

    def _location(self, place: Location, path: str) -> None:
        if place == Location():
            return
        self.parts.append(
            "<location"
            + _attribute("disposition", place.disposition, path)
            + _attribute("exposure", place.exposure, path)
            + _attribute("domain", place.domain, path)
            + ">"
        )
        self._element("name", place.name, path)
        self._position(place, path)
        if place.waypoints:
            self.parts.append("<waypoints>")
            for index, waypoint in enumerate(place.waypoints):
                self.parts.append(f"<waypoint{_attribute('at', self._instant(waypoint.at), path)}>")
                self._position(waypoint, f"{path}.waypoints[{index}]")
                self.parts.append("</waypoint>")
            self.parts.append("</waypoints>")
        self.parts.append("</location>")

    def _position(self, place: Location | Waypoint, path: str) -> None:
        self._element("lat", None if place.lat is None else repr(place.lat), path)
        self._element("lon", None if place.lon is None else repr(place.lon), path)
        self._element("ele", place.ele, path)

    def _stream(self, stream: Datastream, name: str | None, path: str) -> None:
        prefix = f"{path}." if path else ""
        self.parts.append(f"<data{_attribute('id', stream.id if stream.id is not None else name, path)}>")
        for index, tag in enumerate(stream.tags or ()):
            self.parts.append(f"<tag>{_escaped(tag, f'{prefix}tags[{index}]')}</tag>")
        self._value(stream, path)
        unit = stream.unit
        if unit is not None and unit != Unit():
            where = f"{prefix}unit"
            attributes = _attribute("type", unit.type, where) + _attribute("symbol", unit.symbol, where)
            label = _escaped(unit.label or "", f"{where}.label")
            self.parts.append(f"<unit{attributes}>{label}</unit>")
        self._history(stream, prefix)
        self.parts.append("</data>")

    def _value(self, stream: Datastream, path: str) -> None:
        if stream.current_value is not None or stream.at is not None:
            at = _attribute("at", self._instant(stream.at), path)
            self._element("current_value", stream.current_value or "", path, at)
        self._element("max_value", stream.max_value, path)
        self._element("min_value", stream.min_value, path)

    def _history(self, stream: Datastream, prefix: str) -> None:
        if stream.datapoints or stream.datapoints_function is not None:
            function = _attribute("function", stream.datapoints_function, f"{prefix}datapoints")
            self.parts.append(f"<datapoints{function}>")
            self._points(stream.datapoints, f"{prefix}datapoints")
            self.parts.append("</datapoints>")

    def _points(self, points: Sequence[Datapoint], path: str) -> None:
        stamps = instant_texts([point.at for point in points], self._zone)
        values = ["" if point.value is None else point.value for point in points]
        if None not in stamps and _NOT_PLAIN.search("".join(values)) is None:
            self.parts += [
                f'<value at="{at}">{value}</value>' for at, value in zip(stamps, values, strict=True)
            ]
            return
        for index, (at, value) in enumerate(zip(stamps, values, strict=True)):
            attribute = "" if at is None else f' at="{at}"'
            text = _escaped(value, f"{path}[{index}].value" if path else "value")
            self.parts.append(f"<value{attribute}>{text}</value>")

    def trigger_document(self, trigger: Trigger) -> None:
        self._trigger(trigger, "")

    def triggers_document(self, triggers: TriggerList) -> None:
        self.parts.append('<datastream-triggers type="array">')
        for index, trigger in enumerate(triggers.triggers):
            self._trigger(trigger, f"triggers[{index}]")
        self.parts.append("</datastream-triggers>")

    def _trigger(self, trigger: Trigger, path: str) -> None:
        self.parts.append("<datastream-trigger>")
        self._count("id", trigger.id, ' type="integer"')
        self._element("url", trigger.url, path)
        self._element("trigger-type", trigger.trigger_type, path)
        self._element("threshold-value", trigger.threshold_value, path, ' type="float"')
        if trigger.notified_at is not None:
            self._element("notified-at", self._instant(trigger.notified_at), path, ' type="datetime"')
        elif self._notified_always:
            self.parts.append('<notified-at type="datetime" nil="true"></notified-at>')
        self._element("user", trigger.user, path)
        self._count("environment-id", trigger.environment_id, ' type="integer"')
        self._element("stream-id", trigger.stream_id, path)
        self.parts.append("</datastream-trigger>")

    def _count(self, name: str, number: int | None, attributes: str = "") -> None:
        self._element(name, None if number is None else str(number), "", attributes)

    def _flag(self, name: str, flag: bool | None) -> None:
        self._element(name, None if flag is None else ("true" if flag else "false"), "")

    def key_document(self, key: Key) -> None:
        self._key(key, "")

    def keys_document(self, keys: KeyList) -> None:
        self.parts.append('<keys type="array">')
        for index, key in enumerate(keys.keys):
            self._key(key, f"keys[{index}]")
        self.parts.append("</keys>")

    def _key(self, key: Key, path: str) -> None:
        self.parts.append("<key>")
        self._element("api-key", key.api_key, path)
        self._element("label", key.label, path)
        self._element("expires-at", self._instant(key.expires_at), path)
        self._flag("private-access", key.private_access)
        if key.permissions is not None:
            self.parts.append("<permissions>")
            for index, permission in enumerate(key.permissions):
                self._permission(permission, f"{path}.permissions[{index}]".lstrip("."))
            self.parts.append("</permissions>")
        self._element("user", key.user, path)
        self.parts.append("</key>")

    def _permission(self, permission: Permission, path: str) -> None:
        self.parts.append("<permission>")
        self._element("label", permission.label, path)
        self._element("source-ip", permission.source_ip, path)
        self._element("referer", permission.referer, path)
        self._count("minimum-interval", permission.minimum_interval)
        self._texts("access-methods", "access-method", permission.access_methods, path)
        if permission.resources:
            self.parts.append("<resources>")
            for index, resource in enumerate(permission.resources):
                self.parts.append("<resource>")
                self._count("feed-id", resource.feed_id)
                self._element("datastream-id", resource.datastream_id, f"{path}.resources[{index}]")
                self._count("datastream-trigger-id", resource.datastream_trigger_id)
                self.parts.append("</resource>")
            self.parts.append("</resources>")
        self.parts.append("</permission>")

    def _texts(self, name: str, item_name: str, texts: list[str], path: str) -> None:
        if texts:
            self.parts.append(f"<{name}>")
            member = f"{path}.{name}".lstrip(".").replace("-", "_")
            for index, text in enumerate(texts):
                self.parts.append(f"<{item_name}>{_escaped(text, f'{member}[{index}]')}</{item_name}>")
            self.parts.append(f"</{name}>")

    def user_document(self, user: User) -> None:
        self._user(user, "")

    def users_document(self, users: UserList) -> None:
        self.parts.append('<users type="array">')
        for index, user in enumerate(users.users):
            self._user(user, f"users[{index}]")
        self.parts.append("</users>")

    def _user(self, user: User, path: str) -> None:
        self.parts.append("<user>")
        for name in (*_USER_TEXTS, "time_zone"):
            self._element(name, getattr(user, name), path)
        self._texts("roles", "role", user.roles, path)
        self._texts("creatable_roles", "creatable_role", user.creatable_roles, path)
        for name in _USER_FLAGS:
            self._flag(name, getattr(user, name))
        for name in _USER_COUNTS:
            self._count(name, getattr(user, name))
        self._element("api_key", user.api_key, path)
        self._element("password", user.password, path)
        self.parts.append("</user>")


class _LegacyWriter(_Writer):
    """Writes feeds as EEML 005.  Source: xively-rb ``templates/xml/feed_defaults.rb``."""

    namespace, version = EEML_005_NAMESPACE, "5"
    schema = "005.xsd"

    def _instant(self, at: datetime | None) -> str | None:
        return None if at is None else whole_seconds_text(at, self._zone)

    def _value(self, stream: Datastream, path: str) -> None:
        extremes = _attribute("minValue", stream.min_value, path)
        extremes += _attribute("maxValue", stream.max_value, path)
        if stream.current_value is not None or extremes:
            self._element("value", stream.current_value or "", path, extremes)

    def _history(self, stream: Datastream, prefix: str) -> None:
        """There is none."""


_WRITERS: dict[type, Callable[[_Writer, Any], None]] = {
    Environment: _Writer.feed_document,
    EnvironmentList: _Writer.feeds_document,
    Datastream: _Writer.datastream_document,
    Datapoint: _Writer.datapoint_document,
    Trigger: _Writer.trigger_document,
    TriggerList: _Writer.triggers_document,
    Key: _Writer.key_document,
    KeyList: _Writer.keys_document,
    User: _Writer.user_document,
    UserList: _Writer.users_document,
}

# ------------------------------------------------------------------------------------------ reading


def decode(kind: type[S], data: bytes, *, limits: DecodeLimits = DEFAULT_LIMITS) -> S:
    """Read an XML document as a structure of this kind.

    Args:
        kind: An environment, datastream, datapoint, trigger, key or user, or a list of them.
        data: The document, in UTF-8 unless it says otherwise.
        limits: How large the document may be.

    Raises:
        DecodeError: Not well-formed, not of this shape, or a value that its element cannot have;
            the last is ``invalid``.
    """
    history = _HISTORY_READERS.get(kind)
    if history is not None:
        return _decode_history(history, data, limits)  # type: ignore[no-any-return]  # each entry gives its own kind
    read = _READERS.get(kind)
    if read is None:
        raise DecodeError(FORMAT, "", f"{kind.__name__} has no XML document of its own")
    return read(parse_xml(data, limits))  # type: ignore[no-any-return]  # the same


def _decode_history(read: Callable[[Element, _Runs], T], data: bytes, limits: DecodeLimits) -> T:
    limits.check(FORMAT, data, b"<")
    short, runs = take_runs(data)
    if runs:
        try:
            return read(parse_xml(short, limits), runs)
        except DecodeError:
            pass  # its line and column are those of the whole document
    return read(parse_xml(data, limits), ())


def _local(element: Element) -> str:
    return element.tag.rpartition(":")[2]


def _name(element: Element) -> str:
    return _local(element).replace("-", "_")


def _children(parent: Element, name: str) -> Iterator[Element]:
    return (child for child in parent if _local(child) == name)


def _expect_root(root: Element, name: str) -> None:
    if _name(root) != name:
        raise DecodeError(FORMAT, "", f"the root is {_local(root)!r}, expected {name.replace('_', '-')!r}")


def _only(parent: Element, name: str, path: str) -> Element:
    found = list(_children(parent, name))
    if len(found) != 1:
        raise DecodeError(FORMAT, path, f"expected one {name!r} element, found {len(found)}")
    return found[0]


def _text(element: Element) -> str:
    return (element.text or "").strip(_BLANKS)


def _given(text: str | None) -> str | None:
    """A text, or None when nothing is in it."""
    return None if text is None else (text.strip(_BLANKS) or None)


def _converted(convert: Callable[[str], T], text: str | None, path: str) -> T | None:
    text = _given(text)
    if text is None:
        return None
    try:
        return convert(text)
    except ValueError as error:
        raise DecodeError(FORMAT, path, str(error), invalid=True) from None


def _read_environment(root: Element, runs: _Runs) -> Environment:
    _expect_root(root, "eeml")
    return _environment(_only(root, "environment", ""), "", runs)


def _read_environments(root: Element, runs: _Runs) -> EnvironmentList:
    _expect_root(root, "eeml")
    counts: dict[str, int | None] = {}
    for name in ("totalResults", "startIndex", "itemsPerPage"):
        element = next(_children(root, name), None)
        counts[name] = None if element is None else _converted(as_integer, element.text, name)
    return EnvironmentList(
        total_results=counts["totalResults"],
        start_index=counts["startIndex"],
        items_per_page=counts["itemsPerPage"],
        feeds=[
            _environment(element, f"environment[{index}].", runs)
            for index, element in enumerate(_children(root, "environment"))
        ],
    )


def _read_datastream(root: Element, runs: _Runs) -> Datastream:
    _expect_root(root, "eeml")
    return _stream(_only(_only(root, "environment", ""), "data", "environment"), "data", runs)


def _read_datapoint(root: Element) -> Datapoint:
    _expect_root(root, "eeml")
    data = _only(_only(root, "environment", ""), "data", "environment")
    value = _only(_only(data, "datapoints", "data"), "value", "data.datapoints")
    at = _converted(parse_instant, value.get("at"), "data.datapoints.value.at")
    return Datapoint(at=at, value=_given(value.text))


def _environment(element: Element, path: str, runs: _Runs) -> Environment:
    feed = Environment(
        updated=_converted(parse_instant, element.get("updated"), f"{path}updated"),
        created=_converted(parse_instant, element.get("created"), f"{path}created"),
        id=_converted(as_integer, element.get("id"), f"{path}id"),
        creator=_given(element.get("creator")),
    )
    tags = []
    index = 0
    for child in element:
        name = _local(child)
        if name == "data":
            _add_stream(feed, child, f"{path}data[{index}]", runs)
            index += 1
        elif name == "tag":
            tags.append(_text(child))
        elif name in _FEED_TEXTS:
            setattr(feed, name, _text(child))
        elif name == "private":
            feed.private = _converted(as_flag, child.text, f"{path}private")
        elif name == "location":
            feed.location = _location(child, f"{path}location")
        elif name == "user":
            login = next(_children(child, "login"), None)
            feed.user = None if login is None else User(login=_text(login))
    feed.tags = [tag for tag in tags if tag] or None
    return feed


def _add_stream(feed: Environment, element: Element, path: str, runs: _Runs) -> None:
    stream = _stream(element, path, runs)
    if stream.id is None:
        raise DecodeError(FORMAT, f"{path}.id", "a datastream needs an id", invalid=True)
    if stream.id in feed.datastreams:
        raise DecodeError(FORMAT, f"{path}.id", f"a second datastream {stream.id!r}", invalid=True)
    feed.datastreams[stream.id] = stream


def _location(element: Element, path: str) -> Location | None:
    texts = {_local(child): child.text for child in element}
    place = Location(
        disposition=_given(element.get("disposition")),
        exposure=_given(element.get("exposure")),
        domain=_given(element.get("domain")),
        name=_given(texts.get("name")),
        lat=_converted(as_degrees, texts.get("lat"), f"{path}.lat"),
        lon=_converted(as_degrees, texts.get("lon"), f"{path}.lon"),
        ele=_given(texts.get("ele")),
    )
    for parent in _children(element, "waypoints"):
        for index, waypoint in enumerate(_children(parent, "waypoint")):
            place.waypoints.append(_waypoint(waypoint, f"{path}.waypoints[{index}]"))
    return None if place == Location() else place


def _waypoint(element: Element, path: str) -> Waypoint:
    texts = {_local(child): child.text for child in element}
    return Waypoint(
        at=_converted(parse_instant, element.get("at"), f"{path}.at"),
        lat=_converted(as_degrees, texts.get("lat"), f"{path}.lat"),
        lon=_converted(as_degrees, texts.get("lon"), f"{path}.lon"),
        ele=_given(texts.get("ele")),
    )


def _stream(element: Element, path: str, runs: _Runs) -> Datastream:
    stream = Datastream(id=_given(element.get("id")))
    tags = []
    for child in element:
        name = _local(child)
        if name in ("current_value", "value"):  # the latter is how 005 calls it
            stream.current_value = _given(child.text)
            stream.at = _converted(parse_instant, child.get("at"), f"{path}.{name}.at")
            stream.max_value = _given(child.get("maxValue")) or stream.max_value
            stream.min_value = _given(child.get("minValue")) or stream.min_value
        elif name == "max_value":
            stream.max_value = _given(child.text) or stream.max_value
        elif name == "min_value":
            stream.min_value = _given(child.text) or stream.min_value
        elif name == "tag":
            tags.append(_text(child))
        elif name == "unit":
            unit = Unit(
                type=_given(child.get("type")), symbol=_given(child.get("symbol")), label=_given(child.text)
            )
            stream.unit = None if unit == Unit() else unit
        elif name == "datapoints":
            stream.datapoints_function = _given(child.get("function"))
            stream.datapoints += _points(child, f"{path}.datapoints", runs)
    stream.tags = [tag for tag in tags if tag] or None
    return stream


def _points(element: Element, path: str, runs: _Runs) -> list[Datapoint]:
    taken = element.get(MARK) if runs else None
    ats, texts = _columns(element) if taken is None else runs[int(taken)]
    return points_from_text(FORMAT, path, ats, _all_given(texts))


def _all_given(texts: Sequence[str | None]) -> Sequence[str | None]:
    """Each text as `_given` gives it; looking for white space in all at once is faster."""
    if None not in texts and "" not in texts:
        joined = "".join(texts)  # type: ignore[arg-type]  # no None in it
        if not any(blank in joined for blank in _BLANKS):
            return texts
    return [_given(text) for text in texts]


def _columns(element: Element) -> Columns:
    values = list(_children(element, "value"))
    return [value.get("at") for value in values], [value.text for value in values]


class _Members:
    """The children of an element of a trigger, key or user, by name with underscores."""

    def __init__(self, element: Element, path: str) -> None:
        self._path = path
        self._elements = {_name(child): child for child in element}

    def element(self, name: str) -> Element | None:
        found = self._elements.get(name)
        return None if found is None or found.get("nil") == "true" else found

    def text(self, name: str) -> str | None:
        found = self.element(name)
        return None if found is None else _text(found)

    def instant(self, name: str) -> datetime | None:
        return _converted(_rails_instant, self.text(name), self.path(name))

    def integer(self, name: str) -> int | None:
        return _converted(as_integer, self.text(name), self.path(name))

    def flag(self, name: str) -> bool | None:
        return _converted(as_flag, self.text(name), self.path(name))

    def texts(self, name: str) -> list[str]:
        found = self.element(name)
        return [] if found is None else [_text(child) for child in found]

    def members(self, name: str) -> list[_Members] | None:
        found = self.element(name)
        if found is None:
            return None
        return [_Members(child, f"{self.path(name)}[{index}]") for index, child in enumerate(found)]

    def path(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name


def _rails_instant(text: str) -> datetime:
    """An instant, also as Ruby on Rails shows it to people: ``2013-03-27 01:23:45 UTC``."""
    return parse_instant(text.removesuffix(" UTC"))


def _items(root: Element, name: str) -> list[_Members]:
    _expect_root(root, name)
    return [_Members(child, f"{name}[{index}]") for index, child in enumerate(root)]


def _alone(root: Element, name: str) -> _Members:
    _expect_root(root, name)
    return _Members(root, "")


def _trigger(members: _Members) -> Trigger:
    return Trigger(
        id=members.integer("id"),
        url=members.text("url"),
        trigger_type=members.text("trigger_type"),
        threshold_value=members.text("threshold_value"),
        environment_id=members.integer("environment_id"),
        stream_id=members.text("stream_id"),
        user=members.text("user"),
        notified_at=members.instant("notified_at"),
    )


def _key(members: _Members) -> Key:
    permissions = members.members("permissions")
    return Key(
        api_key=members.text("api_key"),
        label=members.text("label"),
        expires_at=members.instant("expires_at"),
        private_access=members.flag("private_access"),
        permissions=None if permissions is None else [_permission(one) for one in permissions],
        user=members.text("user"),
    )


def _permission(members: _Members) -> Permission:
    return Permission(
        access_methods=[method.lower() for method in members.texts("access_methods")],
        label=members.text("label"),
        referer=members.text("referer"),
        source_ip=members.text("source_ip"),
        minimum_interval=members.integer("minimum_interval"),
        resources=[
            Resource(
                feed_id=resource.integer("feed_id"),
                datastream_id=resource.text("datastream_id"),
                datastream_trigger_id=resource.integer("datastream_trigger_id"),
            )
            for resource in members.members("resources") or ()
        ],
    )


def _user(members: _Members) -> User:
    read: dict[str, Any] = {name: members.text(name) for name in (*_USER_TEXTS, "api_key", "password")}
    read.update({name: members.flag(name) for name in _USER_FLAGS})
    read.update({name: members.integer(name) for name in _USER_COUNTS})
    return User(
        time_zone=members.text("time_zone"),
        roles=members.texts("roles"),
        creatable_roles=members.texts("creatable_roles"),
        **read,
    )


_HISTORY_READERS: dict[type, Callable[[Element, _Runs], Any]] = {
    Environment: _read_environment,
    EnvironmentList: _read_environments,
    Datastream: _read_datastream,
}
_READERS: dict[type, Callable[[Element], Any]] = {
    Datapoint: _read_datapoint,
    Trigger: lambda root: _trigger(_alone(root, "datastream_trigger")),
    TriggerList: lambda root: TriggerList(
        triggers=[_trigger(one) for one in _items(root, "datastream_triggers")]
    ),
    Key: lambda root: _key(_alone(root, "key")),
    KeyList: lambda root: KeyList(keys=[_key(one) for one in _items(root, "keys")]),
    User: lambda root: _user(_alone(root, "user")),
    UserList: lambda root: UserList(users=[_user(one) for one in _items(root, "users")]),
}
