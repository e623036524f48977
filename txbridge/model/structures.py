"""The shared structures: environments (feeds), their datastreams and datapoints.

They are documents that people build up, so they are mutable.  ``None`` means *absent*
everywhere; ``0``, ``""`` and ``False`` are values.  What a sensor reported is kept as the
text it came as: ``"21.50"`` stays ``"21.50"``, and a number becomes the text Python shows for
it.  Instants are aware UTC datetimes; ISO 8601 text is accepted for them.

The structures are attrs classes, but for `Datapoint`, which a history holds by the thousand: it is
a msgspec Struct, because msgspec reads and writes those several times faster.  It behaves as the
others do, but for the functions of attrs, which do not know it.

Source: Cosm API v2, "API resource attributes"; names of txPachube and txcosm.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from attrs import define, field

from txbridge.model.accounts import User, as_flag, as_integer
from txbridge.model.encoding import Structure
from txbridge.model.instants import as_instant, shorten

__all__ = [
    "Datapoint",
    "Datastream",
    "Environment",
    "EnvironmentList",
    "Location",
    "Unit",
    "Value",
    "Waypoint",
    "as_text",
    "split_tags",
]

Value = str | int | float | Decimal
"""What a sensor value may be given as; it is kept as text."""


def as_text(value: Value | None) -> str | None:
    """The text a value is kept as.

    Raises:
        ValueError: NaN or infinity, which no platform's number format has.
        TypeError: Not a value at all.
    """
    if value is None:
        return None
    if isinstance(value, str):
        return str.__str__(value)  # exactly a str: codecs look at the type
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float | Decimal):
        if not (value.is_finite() if isinstance(value, Decimal) else math.isfinite(value)):
            raise ValueError(f"{value!r} cannot be sent: leave the point out, or send a text")
        return repr(float(value)) if isinstance(value, float) else str(value)
    if isinstance(value, int):
        return str(int(value))
    raise TypeError(f"{value!r} is not a value: give text or a number")


def as_degrees(value: Value | None) -> float | None:
    """A latitude or longitude as a number; text is accepted, blank text is absent.

    Raises:
        ValueError: Not a finite number.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        number = float(value)
    except (OverflowError, ValueError):
        number = math.nan
    if not math.isfinite(number) or (isinstance(value, str) and "_" in value):
        raise ValueError(f"{shorten(str(value))!r} is not a number of degrees")
    return number


def split_tags(text: str) -> list[str]:
    """Split a comma-separated text into tags.

    A tag that holds a comma stands in double quotes, where ``\\"`` is a quote.  Blanks around
    a tag are dropped, and so are empty tags.

    Source: xively-rb ``helpers.rb``.
    """
    tags: list[str] = []
    current: list[str] = []
    quoted = False
    characters = iter(text)
    for character in characters:
        if character == "\\" and quoted:
            current.append(next(characters, "\\"))
        elif character == '"':
            quoted = not quoted
        elif character == "," and not quoted:
            tags.append("".join(current))
            current = []
        else:
            current.append(character)
    tags.append("".join(current))
    return [stripped for tag in tags if (stripped := tag.strip())]


def as_tags(value: Iterable[str] | str | None) -> list[str] | None:
    """Tags as a list; one text is taken as comma-separated."""
    if value is None:
        return None
    return split_tags(value) if isinstance(value, str) else list(value)


@define(kw_only=True, repr=False)
class Unit(Structure):
    """What a datastream's values are measured in.

    Attributes:
        type: One of `Valid_Unit_Types`; others exist in old data and are kept.
        symbol: Such as ``"C"``.
        label: Such as ``"Celsius"``.
    """

    Basic_Si: ClassVar[str] = "basicSI"
    Derived_Si: ClassVar[str] = "derivedSI"
    Conversion_Based_Units: ClassVar[str] = "conversionBasedUnits"
    Derived_Units: ClassVar[str] = "derivedUnits"
    Context_Dependent_Units: ClassVar[str] = "contextDependentUnits"
    Valid_Unit_Types: ClassVar[tuple[str, ...]] = (
        "basicSI",
        "derivedSI",
        "conversionBasedUnits",
        "derivedUnits",
        "contextDependentUnits",
    )

    type: str | None = None
    symbol: str | None = None
    label: str | None = None


@define(kw_only=True, repr=False)
class Waypoint(Structure):
    """Where a mobile feed was.

    Attributes:
        at: When.
        lat: Latitude in degrees, −90 to 90.
        lon: Longitude in degrees, −180 to 180.
        ele: Elevation in metres, as text.
    """

    at: datetime | None = field(default=None, converter=as_instant)
    lat: float | None = field(default=None, converter=as_degrees)
    lon: float | None = field(default=None, converter=as_degrees)
    ele: str | None = field(default=None, converter=as_text)


@define(kw_only=True, repr=False)
class Location(Structure):
    """Where a feed is.

    Attributes:
        name: A place name.
        domain: ``"physical"`` or ``"virtual"``.
        exposure: ``"indoor"`` or ``"outdoor"``.
        disposition: ``"fixed"`` or ``"mobile"``.
        lat: Latitude in degrees, −90 to 90.
        lon: Longitude in degrees, −180 to 180.
        ele: Elevation in metres, as text.
        waypoints: Where a mobile feed was, oldest first; read-only on a server.
    """

    Indoor: ClassVar[str] = "indoor"
    Outdoor: ClassVar[str] = "outdoor"
    Valid_Exposure_Kinds: ClassVar[tuple[str, ...]] = ("indoor", "outdoor")
    Physical: ClassVar[str] = "physical"
    Virtual: ClassVar[str] = "virtual"
    Valid_Domain_Kinds: ClassVar[tuple[str, ...]] = ("physical", "virtual")
    Fixed: ClassVar[str] = "fixed"
    Mobile: ClassVar[str] = "mobile"
    Valid_Disposition_Kinds: ClassVar[tuple[str, ...]] = ("fixed", "mobile")

    name: str | None = None
    domain: str | None = None
    exposure: str | None = None
    disposition: str | None = None
    lat: float | None = field(default=None, converter=as_degrees)
    lon: float | None = field(default=None, converter=as_degrees)
    ele: str | None = field(default=None, converter=as_text)
    waypoints: list[Waypoint] = field(factory=list)


class _Converting(msgspec.StructMeta):
    """Converts what `Datapoint` is called with; msgspec itself, when it decodes, does not call the class."""

    def __call__(self, *, at: datetime | str | None = None, value: Value | None = None, **more: Any) -> Any:
        return super().__call__(at=as_instant(at), value=as_text(value), **more)


class Datapoint(msgspec.Struct, Structure, metaclass=_Converting, kw_only=True, omit_defaults=True, gc=False):
    """One value at one instant.

    Attributes:
        at: When; on a write, absent means "now" to the server.
        value: The value's text.
    """

    at: datetime | None = None
    value: str | None = None

    __repr__ = Structure.__repr__

    if TYPE_CHECKING:

        def __init__(self, *, at: datetime | str | None = None, value: Value | None = None) -> None: ...

    else:

        def __setattr__(self, name: str, value: Any) -> None:
            if name == "at":
                value = as_instant(value)
            elif name == "value":
                value = as_text(value)
            super().__setattr__(name, value)


@define(kw_only=True, repr=False)
class Datastream(Structure):
    """One series of values of a feed.

    Attributes:
        id: 1 to 255 letters, digits, ``_``, ``-``, ``+`` and ``.``; unique in its feed.
        current_value: The newest value's text.
        at: When the current value was taken.
        max_value: The greatest value so far, as text.
        min_value: The least value so far, as text.
        tags: Tags, or None when nothing is said about them.
        unit: The unit of the values.
        datapoints: History, oldest first; empty when none was asked for or is sent.
        datapoints_function: How history was aggregated, when it was.
    """

    id: str | None = field(default=None, converter=as_text)
    current_value: str | None = field(default=None, converter=as_text)
    at: datetime | None = field(default=None, converter=as_instant)
    max_value: str | None = field(default=None, converter=as_text)
    min_value: str | None = field(default=None, converter=as_text)
    tags: list[str] | None = field(default=None, converter=as_tags)
    unit: Unit | None = None
    datapoints: list[Datapoint] = field(factory=list)
    datapoints_function: str | None = None

    def set_current_value(self, value: Value, at: datetime | str | None = None) -> None:
        """Set the current value, and when it was taken (absent: the server's now).

        Raises:
            ValueError: The value is NaN or infinite, or ``at`` has no time zone.
        """
        text, instant = as_text(value), as_instant(at)
        self.current_value, self.at = text, instant

    def add_datapoint(self, at: datetime | str | None, value: Value) -> None:
        """Append one point of history.

        Raises:
            ValueError: The value is NaN or infinite, or ``at`` has no time zone.
        """
        self.datapoints.append(Datapoint(at=at, value=value))

    def clear(self) -> None:
        """Drop the current value and the datapoints; keep what describes the stream."""
        self.current_value = None
        self.at = None
        self.datapoints = []

    setCurrentValue = set_current_value
    addDatapoint = add_datapoint


def _as_datastreams(value: Mapping[str, Datastream] | Iterable[Datastream] | None) -> dict[str, Datastream]:
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return dict(value)
    streams: dict[str, Datastream] = {}
    for stream in value:
        if stream.id is None:
            raise ValueError("a datastream of an environment needs an id")
        if stream.id in streams:
            raise ValueError(f"two datastreams have the id {stream.id!r}")
        streams[stream.id] = stream
    return streams


@define(kw_only=True, repr=False)
class Environment(Structure):
    """A feed: what a device measures, and what is known about it.

    Attributes:
        id: The feed's number, given by the server.
        title: Required to create one.
        private: Whether only the owner may see it.
        icon: URL of a picture.
        website: URL.
        tags: Tags, or None when nothing is said about them.
        description: Text.
        feed: The feed's own URL; read-only.
        auto_feed_url: Where an automatic feed's data is.
        status: ``"live"`` or ``"frozen"``; read-only.
        updated: The last write; on an old client's write, when the values were taken.
        created: Read-only.
        email: Public contact.
        creator: URL of the owner's profile; read-only.
        user: The owner's login, when the reader asked for it.
        version: Of the data format.
        datastreams: Datastream id -> `Datastream`, in document order; a list is accepted.
        location: Where it is.
        product_id: Of a device made as a product's; read-only.
        device_serial: The same.
    """

    id: int | None = field(default=None, converter=as_integer)
    title: str | None = None
    private: bool | None = field(default=None, converter=as_flag)
    icon: str | None = None
    website: str | None = None
    tags: list[str] | None = field(default=None, converter=as_tags)
    description: str | None = None
    feed: str | None = None
    auto_feed_url: str | None = None
    status: str | None = None
    updated: datetime | None = field(default=None, converter=as_instant)
    created: datetime | None = field(default=None, converter=as_instant)
    email: str | None = None
    creator: str | None = None
    user: User | None = None
    version: str | None = "1.0.0"
    datastreams: dict[str, Datastream] = field(factory=dict, converter=_as_datastreams)
    location: Location | None = None
    product_id: str | None = None
    device_serial: str | None = None

    def datastream(self, datastream_id: str) -> Datastream:
        """The datastream with this id, made if there is none."""
        stream = self.datastreams.get(datastream_id)
        if stream is None:
            stream = self.datastreams[datastream_id] = Datastream(id=datastream_id)
        return stream

    def set_current_value(self, datastream_id: str, value: Value, at: datetime | str | None = None) -> None:
        """Set a datastream's current value; the datastream is made if there is none.

        Raises:
            ValueError: The value is NaN or infinite, or ``at`` has no time zone.
        """
        self.datastream(datastream_id).set_current_value(value, at)

    def add_datapoint(self, datastream_id: str, at: datetime | str | None, value: Value) -> None:
        """Append one point of history; the datastream is made if there is none.

        Raises:
            ValueError: The value is NaN or infinite, or ``at`` has no time zone.
        """
        self.datastream(datastream_id).add_datapoint(at, value)

    def set_location(
        self,
        name: str | None = None,
        exposure: str | None = None,
        domain: str | None = None,
        disposition: str | None = None,
        latitude: Value | None = None,
        longitude: Value | None = None,
        elevation: Value | None = None,
    ) -> None:
        """Say where the feed is; replaces what was known.

        Args:
            name: A place name.
            exposure: ``"indoor"`` or ``"outdoor"``.
            domain: ``"physical"`` or ``"virtual"``.
            disposition: ``"fixed"`` or ``"mobile"``.
            latitude: Degrees, −90 to 90.
            longitude: Degrees, −180 to 180.
            elevation: Metres.
        """
        self.location = Location(
            name=name,
            exposure=exposure,
            domain=domain,
            disposition=disposition,
            lat=latitude,
            lon=longitude,
            ele=elevation,
        )

    def clear(self) -> None:
        """Drop every datastream's current value and datapoints; keep what describes them."""
        for stream in self.datastreams.values():
            stream.clear()

    setCurrentValue = set_current_value
    addDatapoint = add_datapoint
    setLocation = set_location


@define(kw_only=True, repr=False)
class EnvironmentList(Structure):
    """One page of feeds.

    Attributes:
        total_results: How many feeds match on all pages.
        start_index: How many come before this page.
        items_per_page: The page's size.
        feeds: The feeds of this page.
    """

    total_results: int | None = field(default=None, converter=as_integer)
    start_index: int | None = field(default=None, converter=as_integer)
    items_per_page: int | None = field(default=None, converter=as_integer)
    feeds: list[Environment] = field(factory=list)
