"""Links that open Lumen, Joule's plots in a browser, at chosen streams and times.

The view is described as JSON, which lz-string compresses into the link.

Source: Joule 1.0.1, ``api/lumen_link.py``; lz-string 1.5, ``compressToEncodedURIComponent``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from attrs import asdict, frozen
from attrs.filters import exclude

from txbridge.joule.errors import InvalidArgument
from txbridge.joule.structures import Element, EventStream

__all__ = [
    "Axis",
    "BasicSetting",
    "DisplayedDataStreamElement",
    "DisplayedEventStream",
    "IRange",
    "SettingType",
    "SettingWithAxis",
    "SettingWithSize",
    "compress",
    "link",
]

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-$"
_BITS = 6  # of a character of the link


class SettingType(StrEnum):
    """Where a setting's value comes from: it is one, or an event's field has it."""

    FIXED = "fixed"
    ATTRIBUTE = "attribute"


class Axis(StrEnum):
    """Which axis a plot has."""

    LEFT = "left"
    RIGHT = "right"


@frozen
class BasicSetting:
    """A colour or a height."""

    setting_type: SettingType
    value: str


@frozen
class SettingWithSize:
    """A marker or a label."""

    setting_type: SettingType
    size: int
    value: str


@frozen
class SettingWithAxis:
    """A position."""

    setting_type: SettingType
    value: str | float
    axis: Axis


@frozen
class DisplayedEventStream:
    """An event stream in a plot; ``filter`` is what ``json_filter`` is elsewhere."""

    event_stream: EventStream
    display_name: str = ""
    color: BasicSetting | None = None
    marker: SettingWithSize | None = None
    label: SettingWithSize | None = None
    position: SettingWithAxis | None = None
    height: BasicSetting | None = None
    filter: Sequence[Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """As Lumen reads it."""
        shown = asdict(self, filter=exclude("event_stream"))
        return {"id": self.event_stream.id, **shown}


@frozen
class DisplayedDataStreamElement:
    """An element of a data stream in a plot."""

    data_stream_element: Element
    display_name: str = ""
    color: str = ""
    axis: Axis | None = None

    def to_json(self, stream_id: int) -> dict[str, Any]:
        """As Lumen reads it."""
        return {
            "stream_id": stream_id,
            "index": self.data_stream_element.index,
            "display_name": self.display_name,
            "color": self.color,
            "axis": "" if self.axis is None else str(self.axis),
        }


@frozen
class IRange:
    """From where to where: microseconds for times, numbers for an axis."""

    min: float
    max: float

    def to_json(self, unit: float = 1) -> dict[str, float]:
        """As Lumen reads it, in another unit."""
        return {"min": self.min / unit, "max": self.max / unit}


def link(
    lumen_url: str,
    joule_objects: Mapping[str, Any],
    elements: Sequence[DisplayedDataStreamElement],
    event_streams: Sequence[DisplayedEventStream],
    nav_time_bounds: IRange | None,
    main_time_bounds: IRange | None,
    left_y_bounds: IRange | None,
    right_y_bounds: IRange | None,
) -> str:
    """Make the link.

    Args:
        lumen_url: Where Lumen is.
        joule_objects: What the node says of the streams.
        elements: What to plot.
        event_streams: What to plot.
        nav_time_bounds: Of the small plot below.
        main_time_bounds: Of the plot.
        left_y_bounds: Of the plot's left axis.
        right_y_bounds: Of its right one.

    Raises:
        InvalidArgument: The node does not know an element, or the view is no JSON.
    """
    streams = joule_objects.get("data_stream_element_map")
    if not isinstance(streams, Mapping):
        streams = {}
    shown = []
    for number, element in enumerate(elements):
        stream_id = streams.get(str(element.data_stream_element.id))
        if stream_id is None:
            raise InvalidArgument(f"data_stream_elements[{number}]", "the node knows no such element")
        shown.append(element.to_json(stream_id))
    view = {
        "joule_objects": joule_objects,
        "elements": shown,
        "event_streams": [stream.to_json() for stream in event_streams],
        # Lumen counts milliseconds
        "nav_time_bounds": None if nav_time_bounds is None else nav_time_bounds.to_json(1e3),
        "main_time_bounds": None if main_time_bounds is None else main_time_bounds.to_json(1e3),
        "left_y_bounds": None if left_y_bounds is None else left_y_bounds.to_json(),
        "right_y_bounds": None if right_y_bounds is None else right_y_bounds.to_json(),
    }
    try:
        text = json.dumps(view, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidArgument("event_streams", f"cannot be written as JSON: {error}") from None
    return f"{lumen_url.rstrip('/')}/explorer?view={compress(text)}"


class _Bits:
    """Numbers, lowest bit first, packed into characters, highest bit first."""

    def __init__(self) -> None:
        self.bits: list[int] = []

    def add(self, value: int, width: int) -> None:
        self.bits += [value >> place & 1 for place in range(width)]

    def text(self) -> str:
        # One bit more than a multiple, even if it is one already: that is how the original pads.
        padded = [*self.bits, *[0] * (_BITS - len(self.bits) % _BITS)]
        return "".join(
            _ALPHABET[int("".join(map(str, padded[at : at + _BITS])), 2)]
            for at in range(0, len(padded), _BITS)
        )


def compress(text: str) -> str:
    """Compress text as lz-string does for links; it may hold what UTF-16 has in one unit."""
    # LZW whose words are as wide as their number needs.  A character that is new is spelled out after
    # a 0 (8 bits) or a 1 (16 bits), and takes two places: one to be spelled, one in the dictionary.
    out = _Bits()
    numbers: dict[str, int] = {}
    unspelled: set[str] = set()
    width, room = 2, 2
    word = ""

    def used_one() -> None:
        nonlocal room, width
        room -= 1
        if not room:
            room = 1 << width
            width += 1

    def say(said: str) -> None:
        if said in unspelled:
            unspelled.remove(said)
            is_wide = ord(said) > 0xFF
            out.add(int(is_wide), width)
            out.add(ord(said), 16 if is_wide else 8)
            used_one()
        else:
            out.add(numbers[said], width)
        used_one()

    for character in text:
        if character not in numbers:
            numbers[character] = len(numbers) + 3
            unspelled.add(character)
        if word + character in numbers:
            word += character
        else:
            say(word)
            numbers[word + character] = len(numbers) + 3
            word = character
    if word:
        say(word)
    out.add(2, width)
    return out.text()
