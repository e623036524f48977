"""A plan names what a route changes and loses, and does exactly that."""

from __future__ import annotations

import numpy as np
import pytest
from attrs import evolve

from txbridge.errors import PlanRefused
from txbridge.model.samples import (
    Batch,
    Cursor,
    Gap,
    Note,
    NoteKind,
    SampleBlock,
    StreamInfo,
    ValueType,
)
from txbridge.relay.plan import Plan, RoutePolicy, plan_route
from txbridge.relay.roles import Capabilities

ANYTHING = Capabilities(several_columns=True, breaks=True, gaps=True, infos=True)


def names_of(plan):
    return [conversion.name for conversion in plan.conversions]


def accept(*names):
    return RoutePolicy(frozenset(names))


def convert(sink, block, *losses, source=ANYTHING):
    """What one block becomes on the way to a sink that differs from ANYTHING in one thing."""
    return plan_route(source, sink, accept(*losses)).convert(Batch((block,))).blocks


def taking(*kinds):
    return Capabilities(
        several_columns=True, breaks=True, gaps=True, infos=True, value_types=frozenset(kinds)
    )


def test_ends_that_agree_need_nothing():
    plan = plan_route(ANYTHING, ANYTHING, RoutePolicy())
    assert plan == Plan()
    batch = Batch((SampleBlock.scalar("s", (1,), (1,)),), cursor=Cursor(1))
    assert plan.convert(batch) is batch


def test_every_loss_that_is_not_accepted_is_listed():
    sink = Capabilities(
        time_resolution_ns=1000,
        value_types=frozenset({ValueType.FLOAT}),
        not_numbers=False,
        history=False,
        acknowledges=False,
    )
    with pytest.raises(PlanRefused) as caught:
        plan_route(ANYTHING, sink, accept("time ns -> us", "breaks dropped"))
    assert caught.value.losses == (
        "integer -> float",
        "text dropped",
        "not-a-number dropped",
        "gaps dropped",
        "descriptions dropped",
        "latest value only",
        "no acknowledgement",
    )
    plan = plan_route(ANYTHING, sink, accept("time ns -> us", "breaks dropped", *caught.value.losses))
    assert [name for name in names_of(plan) if name not in plan.losses] == [
        "columns -> streams",
        "boolean -> float",
    ]


def test_accepting_a_loss_that_does_not_happen_changes_nothing():
    assert plan_route(ANYTHING, ANYTHING, accept("breaks dropped")) == Plan()


def test_time_is_cut_off_at_the_resolution_of_the_sink():
    sink = Capabilities(time_resolution_ns=1000, several_columns=True, breaks=True, gaps=True, infos=True)
    (block,) = convert(sink, SampleBlock.scalar("s", (-1, 999, 1000, 2999), (1, 2, 3, 4)), "time ns -> us")
    assert block.at.tolist() == [-1000, 0, 1000, 2000]
    odd = Capabilities(time_resolution_ns=7, several_columns=True, breaks=True, gaps=True, infos=True)
    assert names_of(plan_route(ANYTHING, odd, accept("time ns -> 7 ns"))) == ["time ns -> 7 ns"]
    assert plan_route(sink, ANYTHING, RoutePolicy()) == Plan()


def test_columns_become_streams_and_so_do_their_descriptions():
    sink = Capabilities(breaks=True, gaps=True, infos=True)
    wide = SampleBlock("s", (1, 2), {"x": (1.0, 2.0), "y": (3, 4)}, (1,))
    narrow = SampleBlock.scalar("t", (1,), (5,))
    x, y = StreamInfo("x", unit_symbol="V"), StreamInfo("y")
    described = StreamInfo("s", columns=(x, y), tags=("meter",))
    plan = plan_route(ANYTHING, sink, RoutePolicy())
    batch = plan.convert(
        Batch((wide, narrow), infos=(described, StreamInfo("t", unit_symbol="A")), cursor=Cursor(9))
    )
    assert batch == Batch(
        (
            SampleBlock.scalar("s.x", (1, 2), (1.0, 2.0), (1,)),
            SampleBlock.scalar("s.y", (1, 2), (3, 4), (1,)),
            narrow,
        ),
        infos=(
            StreamInfo("s.x", unit_symbol="V", tags=("meter",)),
            StreamInfo("s.y", tags=("meter",)),
            StreamInfo("t", unit_symbol="A"),
        ),
        cursor=Cursor(9),
    )
    assert plan.losses == ()


@pytest.mark.parametrize(
    ("values", "kinds", "name", "expected"),
    [
        ((True, False), (ValueType.INTEGER, ValueType.FLOAT, ValueType.TEXT), "boolean -> integer", (1, 0)),
        ((True, False), (ValueType.FLOAT, ValueType.TEXT), "boolean -> float", (1.0, 0.0)),
        ((True, False), (ValueType.TEXT,), "boolean -> text", ("true", "false")),
        ((1, -2), (ValueType.FLOAT, ValueType.TEXT, ValueType.BOOLEAN), "integer -> float", (1.0, -2.0)),
        ((1, 2**62), (ValueType.TEXT, ValueType.BOOLEAN), "integer -> text", ("1", str(2**62))),
        ((0.1, 1e300), (ValueType.INTEGER, ValueType.TEXT), "float -> text", ("0.1", "1e+300")),
        ((0.5, 2.6), (ValueType.INTEGER, ValueType.BOOLEAN), "float -> integer", (0, 3)),
    ],
)
def test_a_type_the_sink_lacks_becomes_the_nearest_it_has(values, kinds, name, expected):
    source = Capabilities(value_types=frozenset({SampleBlock.scalar("s", (1, 2), values).layout[0][1]}))
    plan = plan_route(source, taking(*kinds), accept(name))
    assert names_of(plan) == [name]
    assert plan.convert(Batch((SampleBlock.scalar("s", (1, 2), values),))).blocks == (
        SampleBlock.scalar("s", (1, 2), expected),
    )


def test_descriptions_say_what_the_values_have_become():
    sink = taking(ValueType.FLOAT)
    infos = tuple(StreamInfo(kind.value, value_type=kind) for kind in ValueType)
    plan = plan_route(ANYTHING, sink, accept("integer -> float", "text dropped"))
    assert {info.name: info.value_type for info in plan.convert(Batch(infos=infos)).infos} == {
        "boolean": ValueType.FLOAT,
        "integer": ValueType.FLOAT,
        "float": ValueType.FLOAT,
        "text": None,
    }


def test_floats_that_no_integer_holds_are_dropped():
    block = SampleBlock.scalar("s", (1, 2, 3, 4), (np.nan, 1e19, -(2.0**63), np.inf))
    source = Capabilities(value_types=frozenset({ValueType.FLOAT}))
    assert convert(taking(ValueType.INTEGER), block, "float -> integer", source=source) == (
        SampleBlock.scalar("s", (3,), (-(2**63),)),
    )


def test_a_type_without_a_place_is_dropped_column_by_column():
    mixed = SampleBlock("s", (1,), {"x": (1.0,), "t": ("a",)})
    text = SampleBlock.scalar("t", (1,), ("a",))
    plan = plan_route(ANYTHING, taking(*set(ValueType) - {ValueType.TEXT}), accept("text dropped"))
    assert plan.convert(Batch((mixed, text))).blocks == (SampleBlock("s", (1,), {"x": (1.0,)}),)


def test_not_a_number_is_dropped_where_it_has_no_word():
    sink = Capabilities(not_numbers=False, several_columns=True, breaks=True, gaps=True, infos=True)
    block = SampleBlock.scalar("s", (1, 2, 3), (1.0, np.nan, 3.0), (1,))
    assert convert(sink, block, "not-a-number dropped") == (
        SampleBlock.scalar("s", (1, 3), (1.0, 3.0), (1,)),
    )
    assert convert(sink, SampleBlock.scalar("s", (1,), (np.inf,)), "not-a-number dropped") == ()


def test_infinities_pass_where_only_they_have_a_place():
    sink = evolve(ANYTHING, not_numbers=False, infinities=True)
    block = SampleBlock.scalar("s", (1, 2, 3), (np.inf, np.nan, -np.inf))
    assert convert(sink, block, "not-a-number dropped") == (
        SampleBlock.scalar("s", (1, 3), (np.inf, -np.inf)),
    )
    assert plan_route(sink, sink, RoutePolicy()) == Plan()
    numbers = evolve(ANYTHING, not_numbers=False)
    assert convert(numbers, block.slice(0, 1), "not-a-number dropped", source=sink) == ()


def test_breaks_are_dropped():
    sink = Capabilities(several_columns=True, gaps=True, infos=True)
    block = SampleBlock.scalar("s", (1, 2), (1, 2), (1,))
    assert convert(sink, block, "breaks dropped") == (SampleBlock.scalar("s", (1, 2), (1, 2)),)


def test_annotations_and_events_are_dropped_where_they_have_no_place():
    source = evolve(ANYTHING, notes=True)
    plan = plan_route(source, ANYTHING, accept("annotations and events dropped"))
    assert plan.losses == ("annotations and events dropped",)
    notes = (Note("s", 1, None, NoteKind.ANNOTATION),)
    assert plan.convert(Batch(notes=notes)).empty
    assert plan_route(source, source, RoutePolicy()).convert(Batch(notes=notes)).notes == notes


def test_the_gaps_of_an_outbox_never_reach_a_sink_without_gaps():
    source = Capabilities()
    plan = plan_route(source, Capabilities(), RoutePolicy())
    assert plan.losses == ()
    assert plan.convert(Batch(gaps=(Gap("s", 1, 2, "full"),))).empty


def test_the_description_of_a_column_follows_its_type():
    columns = (StreamInfo("x", value_type=ValueType.FLOAT), StreamInfo("y", value_type=ValueType.INTEGER))
    plan = plan_route(ANYTHING, taking(ValueType.FLOAT), accept("integer -> float", "text dropped"))
    (info,) = plan.convert(Batch(infos=(StreamInfo("s", columns=columns),))).infos
    assert [column.value_type for column in info.columns] == [ValueType.FLOAT, ValueType.FLOAT]


def test_rows_that_a_conversion_drops_are_told_with_their_number():
    sink = Capabilities(
        value_types=frozenset({ValueType.FLOAT, ValueType.INTEGER}),
        not_numbers=False,
        several_columns=True,
        breaks=True,
        gaps=True,
        infos=True,
    )
    plan = plan_route(ANYTHING, sink, accept("text dropped", "not-a-number dropped"))
    blocks = (
        SampleBlock.scalar("t", (1, 2), np.array(["on", "off"], object)),
        SampleBlock.scalar("f", (1, 2, 3, 4), (1.0, np.nan, 3.0, np.inf)),
        SampleBlock.scalar("f", (5, 6), (np.nan, 6.0)),
        SampleBlock.scalar("i", (1,), (1,)),
    )
    batch, gaps = plan.convert_and_tell(Batch(blocks))
    assert batch.points == 4
    assert gaps == [
        Gap("t", 1, 2, "text dropped", 2),
        Gap("f", 2, 5, "not-a-number dropped", 3),
    ]


def test_of_equal_instants_the_rows_that_are_gone_are_counted_all_the_same():
    sink = evolve(ANYTHING, not_numbers=False)
    block = SampleBlock.scalar("f", (1, 7, 7), (1.0, np.nan, 2.0))
    plan = plan_route(ANYTHING, sink, accept("not-a-number dropped", "annotations and events dropped"))
    assert plan.convert_and_tell(Batch((block,)))[1] == [Gap("f", 1, 7, "not-a-number dropped", 1)]


def test_notes_that_a_sink_has_no_words_for_are_told_once_per_stream():
    source = evolve(ANYTHING, notes=True)
    plan = plan_route(source, ANYTHING, accept("annotations and events dropped"))
    notes = tuple(Note(stream, at, None, NoteKind.EVENT) for stream, at in (("a", 1), ("a", 5), ("b", 3)))
    assert plan.convert_and_tell(Batch(notes=notes)) == (
        Batch(),
        [
            Gap("a", 1, 5, "annotations and events dropped: event", 0),
            Gap("b", 3, 3, "annotations and events dropped: event", 0),
        ],
    )


def test_what_is_only_said_otherwise_is_no_loss_to_be_told():
    sink = Capabilities(time_resolution_ns=1000, value_types=frozenset({ValueType.TEXT}), gaps=True)
    names = ("time ns -> us", "breaks dropped", "descriptions dropped")
    plan = plan_route(ANYTHING, sink, accept(*names))
    block = SampleBlock("s", (1000, 2500), {"a": (1, 2), "b": (True, False)}, (1,))
    batch, gaps = plan.convert_and_tell(Batch((block,), infos=(StreamInfo("s"),)))
    assert (batch.points, gaps) == (4, [])


def test_rows_that_get_one_instant_are_counted_because_only_the_last_will_be_there():
    sink = evolve(ANYTHING, time_resolution_ns=1000)
    plan = plan_route(ANYTHING, sink, accept("time ns -> us"))
    blocks = (
        SampleBlock.scalar("s", (1, 500, 1000, 2000, 2000, 2999), (1, 2, 3, 4, 5, 6)),
        SampleBlock.scalar("t", (1000, 1000, 2000), (1, 2, 3)),
    )
    batch, gaps = plan.convert_and_tell(Batch(blocks))
    assert batch.points == 9
    assert gaps == [Gap("s", 1, 2000, "time ns -> us: one instant", 2)]
