"""The rules a document must keep before it is stored, and what of it a client may write.

Clients send back everything they once read, so read-only members are dropped, never
refused.  Every broken rule is told at once, in sentences like those the service used.  The
documents come fresh from a decoder and are changed in place: nobody else holds them.

Source: Cosm API v2, "API resource attributes"; xively-rb ``feed.rb``, ``datastream.rb``,
``helpers.rb`` for lengths, patterns and tags.
"""

from __future__ import annotations

from collections.abc import Iterable

from txbridge.cosm.refusal import invalid
from txbridge.model.instants import shorten
from txbridge.model.numbers import parse_number
from txbridge.model.structures import Datapoint, Datastream, Environment, Location, Unit
from txbridge.model.texts import MAX_TEXT, is_datastream_id, is_text

__all__ = [
    "MAX_DATAPOINTS",
    "new_datastreams",
    "writable_datapoint",
    "writable_datapoints",
    "writable_datastream",
    "writable_feed",
]

MAX_DATAPOINTS = 500
"""The most datapoints of one request, all its datastreams together.  Source: "Usage limits"."""

_STRIPPED_FROM_TAGS = str.maketrans("", "", "'\",")
_FEED_TEXTS = ("title", "icon", "website", "tags", "description", "auto_feed_url", "email")
_UNIT_TEXTS = ("symbol", "label")
_TOO_LONG = f"is too long (maximum is {MAX_TEXT} characters)"


def writable_feed(document: Environment, *, creating: bool) -> Environment:
    """What a client may write of a feed.

    Args:
        document: As it was decoded; ``updated`` stays, as the instant of values that have none.
        creating: Whether a title is needed; a blank one in an update is ignored.

    Raises:
        Refusal: 422 with every broken rule.
    """
    problems: list[str] = []
    document.id = None
    document.feed = document.status = document.creator = document.product_id = document.device_serial = None
    document.created = document.user = None
    if document.title is not None and not document.title.strip():
        document.title = None
    if creating and document.title is None:
        problems.append("Title can't be blank")
    document.tags = _tags(document.tags)
    problems += _text_problems(document, _FEED_TEXTS)
    if document.location is not None:
        document.location.waypoints = []
        problems += _location_problems(document.location)
    for stream in document.datastreams.values():
        found = [*_id_problems(stream), *_stream_problems(stream)]
        if found:
            name = shorten(stream.id or "", 40)
            problems += [f"Datastream {name}: {sentence[0].lower()}{sentence[1:]}" for sentence in found]
    problems += _count_problems(document.datastreams.values())
    _settle(problems)
    return document


def new_datastreams(document: Environment) -> list[Datastream]:
    """The datastreams of a document that creates some.

    Raises:
        Refusal: 422, there is none, or one breaks a rule.
    """
    writable_feed(document, creating=False)
    if not document.datastreams:
        raise invalid(["Datastreams can't be blank"])
    streams = list(document.datastreams.values())
    for stream in streams:
        if stream.current_value is not None and stream.at is None:
            stream.at = document.updated
    return streams


def writable_datastream(document: Datastream) -> Datastream:
    """What a client may write of one datastream.

    Args:
        document: As it was decoded; its id must keep the rules when it has one.

    Raises:
        Refusal: 422 with every broken rule.
    """
    problems = _id_problems(document) if document.id is not None else []
    problems += _stream_problems(document)
    problems += _count_problems([document])
    _settle(problems)
    return document


def writable_datapoints(document: Datastream) -> Datastream:
    """The datapoints of a document that records some, and nothing else of it.

    Raises:
        Refusal: 422, there is none, there are too many, or one breaks a rule.
    """
    points = list(document.datapoints)
    if document.current_value is not None:
        # A single row of CSV reads as a value with its instant, which is a datapoint here.
        points.append(Datapoint(at=document.at, value=document.current_value))
    if not points:
        raise invalid(["Datapoints can't be blank"])
    return writable_datastream(Datastream(datapoints=points))


def writable_datapoint(document: Datapoint) -> str:
    """The new value of a datapoint.

    Raises:
        Refusal: 422, there is none, or it breaks a rule.
    """
    problems = _value_problems(document.value)
    _settle(problems)
    return document.value or ""


def _settle(problems: list[str]) -> None:
    if problems:
        raise invalid(problems)


def _id_problems(stream: Datastream) -> list[str]:
    if stream.id is None or not stream.id.strip():
        return ["Id can't be blank"]
    if len(stream.id) > MAX_TEXT:
        return [f"Id {_TOO_LONG}"]
    if not is_datastream_id(stream.id):
        return ["Id is invalid: use letters, digits, _, -, + and ."]
    return []


def _stream_problems(stream: Datastream) -> list[str]:
    problems: list[str] = []
    stream.datapoints_function = None
    if stream.current_value is not None and not stream.current_value.strip():
        # An empty element or CSV field says that there is no value; it is not a reading.
        stream.current_value = stream.at = None
    if stream.current_value is not None:
        problems += _value_problems(stream.current_value, "Current value")
    for name in ("max_value", "min_value"):
        text = getattr(stream, name)
        if text is not None and not text.strip():
            setattr(stream, name, None)
        elif text is not None and parse_number(text) is None:
            problems.append(f"{name.replace('_', ' ').capitalize()} is not a number")
    stream.tags = _tags(stream.tags)
    if stream.tags is not None and len(",".join(stream.tags)) > MAX_TEXT:
        problems.append(f"Tags {_TOO_LONG}")
    if stream.unit is not None and stream.unit.type and stream.unit.type not in Unit.Valid_Unit_Types:
        problems.append(f"Unit type is not one of {', '.join(Unit.Valid_Unit_Types)}")
    problems += _text_problems(stream, ("tags",))
    if stream.unit is not None:
        problems += _text_problems(stream.unit, _UNIT_TEXTS)
    problems += _point_problems(stream.datapoints)
    return problems


def _point_problems(points: Iterable[Datapoint]) -> list[str]:
    problems: list[str] = []
    untimed = 0
    for number, point in enumerate(points):
        if point.at is None:
            untimed += 1
        problems += [f"Datapoint {number}: {sentence}" for sentence in _value_problems(point.value)]
    if untimed > 1:
        problems.append("Datapoints: at most one may be without a timestamp")
    return problems


def _count_problems(streams: Iterable[Datastream]) -> list[str]:
    count = sum(len(stream.datapoints) for stream in streams)
    if count <= MAX_DATAPOINTS:
        return []
    return [f"Datapoints: {count} are too many, at most {MAX_DATAPOINTS} can be recorded at once"]


def _value_problems(value: str | None, name: str = "Value") -> list[str]:
    if value is None or not value.strip():
        return [f"{name} can't be blank"]
    if len(value) > MAX_TEXT:
        return [f"{name} {_TOO_LONG}"]
    return [] if is_text(value) else [f"{name} is not valid text"]


def _location_problems(location: Location) -> list[str]:
    problems = _text_problems(location, ("name", "ele"))
    for name, degrees, limit in (("Latitude", location.lat, 90), ("Longitude", location.lon, 180)):
        if degrees is not None and not -limit <= degrees <= limit:
            problems.append(f"{name} must be between -{limit} and {limit}")
    for name, kinds in (
        ("domain", Location.Valid_Domain_Kinds),
        ("exposure", Location.Valid_Exposure_Kinds),
        ("disposition", Location.Valid_Disposition_Kinds),
    ):
        kind = getattr(location, name)
        if kind and kind not in kinds:
            problems.append(f"{name.capitalize()} must be {' or '.join(kinds)}")
    return problems


def _tags(tags: Iterable[str] | None) -> list[str] | None:
    """Tags without quotes and commas, each once."""
    if tags is None:
        return None
    stripped = (tag.translate(_STRIPPED_FROM_TAGS).strip() for tag in tags)
    return list(dict.fromkeys(tag for tag in stripped if tag))


def _text_problems(
    structure: Environment | Datastream | Location | Unit, names: tuple[str, ...]
) -> list[str]:
    """Which of a structure's own texts hold characters that not every format has."""
    return [
        f"{name.replace('_', ' ').capitalize()} is not valid text"
        for name in names
        if (text := getattr(structure, name)) is not None
        and not (is_text(text) if isinstance(text, str) else all(map(is_text, text)))
    ]
