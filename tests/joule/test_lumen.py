"""Links to Lumen."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txbridge.joule.errors import InvalidArgument
from txbridge.joule.lumen import (
    Axis,
    BasicSetting,
    DisplayedDataStreamElement,
    DisplayedEventStream,
    IRange,
    SettingType,
    SettingWithAxis,
    SettingWithSize,
    compress,
    link,
)
from txbridge.joule.structures import Element, EventStream

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-$"


def decompress(text: str) -> str:
    """What lz-string's other half does, written from its description."""
    bits = iter("".join(f"{ALPHABET.index(character):06b}" for character in text))

    def number(width: int) -> int:
        return sum(int(next(bits)) << place for place in range(width))

    words: list[str] = ["", "", ""]
    width, room = 2, 2
    said: list[str] = []
    while (word := number(width)) != 2:
        if word < 2:
            words.append(chr(number(16 if word else 8)))
            word = len(words) - 1
            room -= 1
            if not room:
                room, width = 1 << width, width + 1
        previous = said[-1] if said else None
        found = words[word] if word < len(words) else f"{previous}{previous[0] if previous else ''}"
        said.append(found)
        if previous is not None:
            words.append(previous + found[0])
        room -= 1
        if not room:
            room, width = 1 << width, width + 1
    return "".join(said)


@pytest.mark.parametrize(
    ("text", "compressed"),
    [
        ("", "Q"),
        ("a", "IZA"),
        ("Hello, world", "BIUwNmD2A0AEDukBOYAmQ"),
        ("aaaaaaaaaaaaaa", "IY1tA"),
        (
            '{"joule_objects": {"node_uuid": "0b0f"}, "elements": []}',
            "N4IgVg9grgNgpgfQgIzHAxgFwM4gFwAEoAdhACaJRQCWZ+BIADMowGYgC+ANA3PALZxiOegG0AuhyA",
        ),
    ],
)
def test_text_is_compressed_as_the_original_does_it(text: str, compressed: str) -> None:
    assert compress(text) == compressed
    assert decompress(compressed) == text


@given(
    text=st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"])) | st.text("ab", max_size=400)
)
def test_what_was_compressed_can_be_read(text: str) -> None:
    assert decompress(compress(text)) == text


def view(made: str, lumen_url: str = "https://lumen") -> Any:
    before, found, compressed = made.partition("/explorer?view=")
    assert (before, found) == (lumen_url, "/explorer?view=")
    return json.loads(decompress(compressed))


def test_a_link_says_what_is_to_be_seen() -> None:
    fixed, attribute = SettingType.FIXED, SettingType.ATTRIBUTE
    events = DisplayedEventStream(
        EventStream("e", id=6),
        "Doors",
        BasicSetting(fixed, "#f00"),
        SettingWithSize(fixed, 4, "circle"),
        SettingWithSize(attribute, 12, "name"),
        SettingWithAxis(attribute, "level", Axis.RIGHT),
        BasicSetting(attribute, "height"),
        [[["name", "is", "x"]]],
    )
    element = DisplayedDataStreamElement(Element("a", id=3, index=1), "Power", "#00f", Axis.LEFT)
    found = {"node_uuid": "u", "data_stream_element_map": {"3": 5}}
    made = link("https://lumen/", found, [element], [events], IRange(1000, 2500), None, IRange(-1, 1), None)
    assert view(made) == {
        "joule_objects": found,
        "elements": [{"stream_id": 5, "index": 1, "display_name": "Power", "color": "#00f", "axis": "left"}],
        "event_streams": [
            {
                "id": 6,
                "display_name": "Doors",
                "color": {"setting_type": "fixed", "value": "#f00"},
                "marker": {"setting_type": "fixed", "value": "circle", "size": 4},
                "label": {"setting_type": "attribute", "value": "name", "size": 12},
                "position": {"setting_type": "attribute", "value": "level", "axis": "right"},
                "height": {"setting_type": "attribute", "value": "height"},
                "filter": [[["name", "is", "x"]]],
            }
        ],
        "nav_time_bounds": {"min": 1.0, "max": 2.5},
        "main_time_bounds": None,
        "left_y_bounds": {"min": -1.0, "max": 1.0},
        "right_y_bounds": None,
    }


def test_what_is_not_said_is_empty() -> None:
    element = DisplayedDataStreamElement(Element("a", id=3, index=1))
    shown = view(link("https://lumen", {"data_stream_element_map": {"3": 5}}, [element], [], *[None] * 4))
    assert shown["elements"][0]["axis"] == ""
    assert shown["event_streams"] == []


@pytest.mark.parametrize(
    "found", [{}, {"data_stream_element_map": []}, {"data_stream_element_map": {"4": 5}}]
)
def test_an_element_that_the_node_does_not_know_is_named(found: dict[str, Any]) -> None:
    element = DisplayedDataStreamElement(Element("a", id=3, index=1))
    with pytest.raises(InvalidArgument) as caught:
        link("https://lumen", found, [element], [], *[None] * 4)
    assert caught.value.path == "data_stream_elements[0]"


def test_what_is_no_json_is_refused() -> None:
    events = DisplayedEventStream(EventStream("e", id=6), filter=[object()])
    with pytest.raises(InvalidArgument):
        link("https://lumen", {}, [], [events], *[None] * 4)
