"""Joule's rows and models as what a relay carries."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from txbridge.errors import ConfigError
from txbridge.joule.blocks import (
    Place,
    annotation_note,
    describe,
    event_note,
    read_native,
    to_block,
    windows,
)
from txbridge.joule.structures import Annotation, DataStream, Element, Event
from txbridge.model.samples import Cursor, Note, NoteKind, SampleBlock, StreamInfo, ValueType
from txbridge.relay.backfill import IntervalSet

SHOWN = Element("volts", "V", offset=1.0, scale_factor=2.0)
PLAIN = Element("count", "")


def rows_of(datatype, *rows):
    width = len(rows[0]) - 1
    data = ("data", datatype, width) if width > 1 else ("data", datatype)
    made = np.zeros(len(rows), np.dtype([("timestamp", "<i8"), data]))
    for index, (at, *values) in enumerate(rows):
        made[index] = (at, values if width > 1 else values[0])
    return made


def test_several_elements_are_columns_with_the_numbers_that_people_see():
    stream = DataStream("s", datatype="int32", elements=[SHOWN, PLAIN])
    rows = rows_of("<i4", (5, 3, 30), (6, 4, 40))
    shown = to_block("live.s", stream, rows, raw=False, after_break=True)
    assert shown == SampleBlock("live.s", (5000, 6000), {"volts": (4.0, 6.0), "count": (30, 40)}, (0,))
    raw = to_block("live.s", stream, rows, raw=True, after_break=False)
    assert raw == SampleBlock("live.s", (5000, 6000), {"volts": (3, 4), "count": (30, 40)})


def test_one_element_is_a_scalar_stream():
    stream = DataStream("s", datatype="float32", elements=[PLAIN])
    block = to_block("s", stream, rows_of("<f4", (1, 0.5)), raw=False, after_break=False)
    assert block == SampleBlock.scalar("s", (1000,), (0.5,))


def test_a_block_does_not_keep_the_buffer_that_it_was_read_from():
    rows = rows_of("<f8", (1, 1.0, 2.0), (2, 3.0, 4.0))
    stream = DataStream("s", datatype="float64", elements=[Element("a"), Element("b")])
    block = to_block("s", stream, rows, raw=False, after_break=False)
    rows["data"] = 0
    rows["timestamp"] = 0
    assert block.columns["a"].tolist() == [1.0, 3.0]
    assert block.at.tolist() == [1000, 2000]


@pytest.mark.parametrize(
    ("raw", "kinds"),
    [(False, [ValueType.FLOAT, ValueType.INTEGER]), (True, [ValueType.INTEGER, ValueType.INTEGER])],
)
def test_each_column_is_described(raw, kinds):
    stream = DataStream("s", "a meter", datatype="int64", elements=[SHOWN, PLAIN])
    assert evolve(describe("live.s", stream, raw=raw), native=None) == StreamInfo(
        "live.s",
        "a meter",
        columns=(
            StreamInfo("volts", unit_symbol="V", value_type=kinds[0]),
            StreamInfo("count", value_type=kinds[1]),
        ),
    )


def test_a_scalar_stream_is_described_by_its_element():
    stream = DataStream("s", datatype="float32", elements=[SHOWN])
    known = evolve(describe("s", stream, raw=False), native=None)
    assert known == StreamInfo("s", unit_symbol="V", value_type=ValueType.FLOAT)


def test_another_node_is_told_of_the_type_and_the_elements():
    elements = [
        evolve(
            SHOWN, plottable=False, display_type="EVENT", default_max=5.0, default_min=-5.0, id=7, index=0
        ),
        evolve(PLAIN, id=8, index=1),
    ]
    stream = DataStream("s", datatype="int16", elements=elements)
    made = [evolve(element, id=None, index=None) for element in elements]
    assert read_native(describe("live.s", stream, raw=True)) == ("int16", made)
    shown = evolve(made[0], offset=0.0, scale_factor=1.0)
    assert read_native(describe("live.s", stream, raw=False)) == ("float64", [shown, made[1]])
    unscaled = DataStream("s", datatype="int16", elements=[PLAIN])
    assert read_native(describe("s", unscaled, raw=False)) == ("int16", [PLAIN])


@pytest.mark.parametrize("info", [None, StreamInfo("s"), StreamInfo("s", native="elsewhere float32")])
def test_what_other_platforms_say_is_not_read(info):
    assert read_native(info) is None


def test_annotations_and_events_are_notes():
    assert annotation_note("s", Annotation("moved", 5, None, "to the cellar")) == Note(
        "s", 5000, None, NoteKind.ANNOTATION, {"title": "moved", "content": "to the cellar"}
    )
    assert annotation_note("s", Annotation("moved", 5, 4, None)) == Note(
        "s", 5000, 5000, NoteKind.ANNOTATION, {"title": "moved"}
    )
    assert event_note("e", Event(5, 6, {"kind": "on"})) == Note(
        "e", 5000, 6000, NoteKind.EVENT, {"kind": "on"}
    )


NUMBERS = st.integers(0, 40)
SETS = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=8).map(lambda pairs: IntervalSet(tuple(pairs)))


@given(SETS, SETS)
def test_the_windows_hold_all_that_is_missing_and_nothing_that_was_taken(has, taken):
    missing = has.minus(taken)
    spans = [span for span, _ in windows(has, taken)]
    assert spans == sorted(spans)
    wanted = IntervalSet(tuple(spans))
    assert missing.minus(wanted) == IntervalSet()
    assert wanted.minus(taken) == wanted


@given(SETS, SETS)
def test_what_lies_between_two_settled_places_is_read_at_once(has, taken):
    spans = [span for span, _ in windows(has, taken)]
    for (_, end), (start, _) in pairwise(spans):
        assert taken.within(end, start) != IntervalSet()


def test_a_window_knows_whether_an_interval_begins_with_it():
    has = IntervalSet.of((0, 10), (20, 30))
    assert list(windows(has, IntervalSet.of((0, 5)))) == [((5, 30), False)]
    assert list(windows(has, IntervalSet.of((0, 12)))) == [((20, 30), True)]


def test_a_cursor_is_read_back():
    place = Place({"/a": IntervalSet.of((1, 2), (4, 9))}, {"/a": 7}, {"/e": 3}, {"/a": 1, "/b": 5})
    assert Place.read(Cursor.decode(place.cursor().encode())) == place
    assert Place.read(None) == Place()


def test_a_cursor_without_beginnings_is_read():
    value = {"data": {"/a": [[1, 2]]}, "annotations": {"/a": 7}, "events": {"/e": 3}}
    assert Place.read(Cursor(value)) == Place({"/a": IntervalSet.of((1, 2))}, {"/a": 7}, {"/e": 3})


NOTHING = {"data": {}, "annotations": {}, "events": {}}


@pytest.mark.parametrize(
    "value",
    [
        None,
        3,
        {},
        {**NOTHING, "data": {"/a": [[1]]}},
        *({**NOTHING, "begins": one} for one in (None, {"/a": None})),
    ],
)
def test_the_cursor_of_something_else_is_refused(value):
    with pytest.raises(ConfigError, match="not one of a Joule node"):
        Place.read(Cursor(value))
