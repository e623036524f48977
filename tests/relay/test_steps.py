"""Steps change what they say they change, and remember only what they hand back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from txbridge.relay.roles import Capabilities
from txbridge.relay.steps import Change, Decimate, Rename, Scale, Select, flush_steps, run_steps

S = 1_000_000_000


def scalar(at, values, breaks=(), stream="s"):
    return SampleBlock.scalar(stream, np.array(at, np.int64), values, breaks)


def through(step, *blocks):
    """What comes out for each block, and the last step."""
    out = []
    for block in blocks:
        batch, step = step.apply(Batch((block,)))
        out.append(list(batch.blocks))
    return out, step


def test_renaming_reaches_everything_and_keeps_the_cursor():
    batch = Batch(
        (scalar((1,), (1,)), scalar((1,), (1,), stream="u")),
        (Gap("s", 1, 2, "x"),),
        (StreamInfo("s"),),
        Cursor(3),
        (Note("s", 1, 2, NoteKind.EVENT),),
    )
    out, _ = Rename({"s": "t"}, prefix="p.").apply(batch)
    assert [block.stream for block in out.blocks] == ["p.t", "p.u"]
    assert (out.gaps[0].stream, out.infos[0].name, out.notes[0].stream) == ("p.t", "p.t", "p.t")
    assert out.cursor == Cursor(3)


def test_two_streams_cannot_get_one_name():
    with pytest.raises(ValueError, match="'a' and 'b' would both be 'c'"):
        Rename({"a": "c", "b": "c"})
    with pytest.raises(ValueError, match="not empty"):
        Rename({"a": ""})


def test_scaling_makes_floats_and_changes_the_unit():
    step = Scale(0.001, 1, ("s",), unit_symbol="kW")
    batch = Batch(
        (
            SampleBlock("s", (1,), {"i": (2000,), "t": ("x",), "b": (True,)}),
            scalar((1,), (2000,), stream="other"),
        ),
        infos=(
            StreamInfo("s", unit_symbol="W", unit_label="Watt", value_type=ValueType.INTEGER),
            StreamInfo("other"),
        ),
    )
    out, _ = step.apply(batch)
    assert out.blocks == (
        SampleBlock("s", (1,), {"i": (3.0,), "t": ("x",), "b": (True,)}),
        scalar((1,), (2000,), stream="other"),
    )
    assert out.infos == (
        StreamInfo("s", unit_symbol="kW", unit_label="Watt", value_type=ValueType.FLOAT),
        StreamInfo("other"),
    )


def test_scaling_a_stream_of_columns_changes_the_unit_of_each():
    columns = tuple(StreamInfo(name, unit_symbol="W", value_type=ValueType.INTEGER) for name in "xy")
    batch = Batch(infos=(StreamInfo("s", columns=columns),))
    (info,) = Scale(0.001, unit_symbol="kW").apply(batch)[0].infos
    assert [(column.name, column.unit_symbol) for column in info.columns] == [("x", "kW"), ("y", "kW")]
    assert {column.value_type for column in info.columns} == {ValueType.FLOAT}
    assert info.unit_symbol is None


def test_a_step_says_what_it_may_add():
    integers = Capabilities(value_types=frozenset({ValueType.INTEGER}))
    texts = Capabilities(value_types=frozenset({ValueType.TEXT}))
    both = frozenset({ValueType.INTEGER, ValueType.FLOAT})
    assert Scale(2).gives(integers).value_types == both
    assert Decimate(1, "mean").gives(integers).value_types == both
    assert Scale(2).gives(texts) == texts
    for step in (Decimate(1), Rename(), Select(), Change()):
        assert step.gives(integers) == integers
    infinities = Capabilities(not_numbers=False, infinities=True)
    assert Scale(0).gives(infinities).not_numbers
    assert not Change().gives(infinities).not_numbers


@pytest.mark.parametrize("step", [Scale(2), Decimate(1, "mean")])
def test_what_the_platform_says_of_a_stream_is_not_true_of_other_values(step):
    info = StreamInfo("s", native="joule int16")
    assert step.apply(Batch(infos=(info,)))[0].infos[0].native is None
    assert Change().apply(Batch(infos=(info,)))[0].infos == (info,)


def test_selecting_drops_everything_of_other_streams():
    batch = Batch(
        tuple(scalar((1,), (1,), stream=name) for name in ("cpu.0", "cpu.1", "mem")),
        tuple(Gap(name, 1, 2, "x") for name in ("cpu.1", "mem")),
        tuple(StreamInfo(name) for name in ("cpu.0", "cpu.1")),
        notes=tuple(Note(name, 1, 2, NoteKind.EVENT) for name in ("cpu.0", "mem")),
    )
    out, _ = Select(("cpu.*",), ("*.1",)).apply(batch)
    assert ([block.stream for block in out.blocks], out.gaps, out.infos) == (
        ["cpu.0"],
        (),
        (StreamInfo("cpu.0"),),
    )
    assert [note.stream for note in out.notes] == ["cpu.0"]


def test_a_row_passes_when_it_differs_by_more_than_the_deadband():
    out, step = through(
        Change(deadband=1), scalar((1, 2, 3, 4), (0.0, 1.0, 1.5, 2.5)), scalar((5, 6), (2.6, 0.0))
    )
    assert out == [[scalar((1, 3), (0.0, 1.5))], [scalar((5, 6), (2.6, 0.0))]]
    assert through(step, scalar((7,), (0.5,)))[0] == [[]]


def test_zero_is_a_value_and_so_are_text_and_false():
    assert through(Change(), scalar((1, 2, 3), (1, 0, 0)))[0] == [[scalar((1, 2), (1, 0))]]
    assert through(Change(), scalar((1, 2, 3), ("a", "", "")))[0] == [[scalar((1, 2), ("a", ""))]]
    assert through(Change(9), scalar((1, 2, 3), (True, False, False)))[0] == [[scalar((1, 2), (True, False))]]


def test_not_a_number_is_a_change_once():
    out, _ = through(Change(1), scalar((1, 2, 3, 4), (1.0, np.nan, np.nan, 1.0)))
    assert out == [[scalar((1, 2, 4), (1.0, np.nan, 1.0))]]


def test_an_unchanged_row_passes_after_the_longest_silence_and_after_a_break():
    out, _ = through(
        Change(at_least_every=2),
        scalar((0, S, 2 * S, 3 * S), (1, 1, 1, 1), (3,)),
        scalar((3 * S + 1,), (1,), (0,)),
    )
    assert out == [
        [scalar((0, 2 * S, 3 * S), (1, 1, 1), (2,))],
        [scalar((3 * S + 1,), (1,), (0,))],
    ]


def test_streams_that_are_not_named_pass_unchanged():
    block = scalar((1, 2), (1, 1))
    assert through(Change(streams=("other",)), block)[0] == [[block]]
    assert through(Decimate(5, streams=("other",)), block)[0] == [[block]]


def test_the_last_row_of_each_span_stays():
    out, step = through(
        Decimate(10), scalar((0, S, 12 * S), (1, 2, 3)), scalar((13 * S,), (4,)), scalar((50 * S,), (5,))
    )
    assert out == [[scalar((S,), (2,))], [], [scalar((13 * S,), (4,))]]
    held, emptied = step.flush()
    assert held == Batch((scalar((50 * S,), (5,)),))
    assert emptied.flush()[0] == Batch()


def test_a_mean_counts_every_row_once_however_it_arrives():
    whole = SampleBlock("s", (0, 1, 2, S), {"x": (1, 2, 6, 9), "t": ("a", "b", "c", "d")})
    expected = SampleBlock("s", (2,), {"x": (3.0,), "t": ("c",)})
    assert through(Decimate(1, "mean"), whole)[0] == [[expected]]
    pieces = whole.split(1)
    assert through(Decimate(1, "mean"), *pieces)[0] == [[], [], [], [expected]]


def test_a_break_ends_a_span():
    out, step = through(Decimate(10, "mean"), scalar((1, 2, 3), (1.0, 2.0, 6.0), (1,)))
    assert out == [[scalar((1,), (1.0,))]]
    assert step.flush()[0].blocks == (scalar((3,), (4.0,), (0,)),)


def test_a_row_older_than_the_open_span_does_not_disturb_it():
    out, _ = through(Decimate(1), scalar((5 * S,), (1,)), scalar((2 * S,), (2,)), scalar((6 * S,), (3,)))
    assert out == [[], [scalar((5 * S,), (1,))], [scalar((2 * S,), (2,))]]


def test_a_mean_of_integers_is_described_as_a_float():
    info = StreamInfo("s", value_type=ValueType.INTEGER)
    assert Decimate(1, "mean").apply(Batch(infos=(info,)))[0].infos[0].value_type is ValueType.FLOAT
    assert Decimate(1).apply(Batch(infos=(info,)))[0].infos == (info,)


@pytest.mark.parametrize("every", [0, -1, float("nan")])
def test_a_span_has_a_length(every):
    with pytest.raises(ValueError, match="every"):
        Decimate(every)


def test_there_are_two_methods():
    with pytest.raises(ValueError, match="'median'"):
        Decimate(1, "median")


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(-3, 3), st.booleans()), min_size=1, max_size=12),
    st.lists(st.integers(1, 4), max_size=12),
    st.sampled_from([Decimate(10e-9), Decimate(10e-9, "mean"), Change(1), Change(at_least_every=5e-9)]),
)
def test_how_rows_are_cut_into_batches_makes_no_difference(rows, cuts, step):
    rows = sorted(rows, key=lambda row: row[0])
    whole = scalar(
        [at for at, _, _ in rows],
        [value for _, value, _ in rows],
        [i for i, (_, _, b) in enumerate(rows) if b],
    )
    pieces, start = [], 0
    for cut in [*cuts, len(rows)]:
        piece = whole.slice(start, start + cut)
        start += cut
        if len(piece):
            pieces.append(piece)

    def everything(*blocks):
        out, after = through(step, *blocks)
        flushed = after.flush()[0].blocks
        return SampleBlock.concat([one for group in out for one in group] + list(flushed))

    cut_up, at_once = everything(*pieces), everything(whole)
    assert (cut_up.at.tolist(), cut_up.breaks) == (at_once.at.tolist(), at_once.breaks)
    assert np.allclose(cut_up.values.astype(float), at_once.values.astype(float))


def test_steps_that_were_not_kept_forget_what_they_saw():
    step = Decimate(1, "mean")
    first = Batch((scalar((0, 1), (1.0, 2.0)),))
    step.apply(first)
    _, kept = step.apply(first)
    assert kept.flush()[0].blocks == (scalar((1,), (1.5,)),)


def test_steps_run_in_order_and_flush_through_each_other():
    steps = (Scale(2), Decimate(10, "mean"), Rename({"s": "t"}))
    out, steps = run_steps(steps, Batch((scalar((0, 1, 12 * S), (1.0, 3.0, 5.0)),), cursor=Cursor(1)))
    assert out == Batch((scalar((1,), (4.0,), stream="t"),), cursor=Cursor(1))
    out, steps = flush_steps(steps)
    assert out == Batch((scalar((12 * S,), (10.0,), stream="t"),))
    assert flush_steps(steps)[0] == Batch()
