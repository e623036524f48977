"""Blocks and batches keep their rows, breaks and order through every cut and join."""

from __future__ import annotations

import sys

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


def block(stream="t", at=(1, 2, 3), values=(1.0, 2.0, 3.0), breaks=()):
    return SampleBlock.scalar(stream, at, values, breaks)


def rows_of(batches, stream):
    """Every row of a stream, with whether a break lies before it."""
    rows = []
    for batch in batches:
        for one in batch.blocks:
            if one.stream == stream:
                rows.extend(
                    (int(at), value, row in one.breaks)
                    for row, (at, value) in enumerate(zip(one.at, one.values.tolist(), strict=True))
                )
    return rows


@st.composite
def blocks(draw, streams=("a", "b", "c"), first=0):
    count = draw(st.integers(0, 6))
    at = sorted(draw(st.lists(st.integers(first, first + 20), min_size=count, max_size=count)))
    values = draw(st.lists(st.integers(-5, 5), min_size=count, max_size=count))
    breaks = draw(st.sets(st.integers(0, count - 1))) if count else set()
    return SampleBlock.scalar(
        draw(st.sampled_from(streams)), np.array(at, np.int64), np.array(values, np.int64), sorted(breaks)
    )


def test_narrow_types_are_widened_and_text_becomes_objects():
    one = SampleBlock(
        "s",
        np.array([1, 2], np.int32),
        {
            "f": np.array([1, 2], np.float32),
            "i": np.array([1, 2], np.uint8),
            "b": np.array([True, False]),
            "t": np.array(["a", "bc"]),
        },
    )
    assert [column.dtype for column in one.columns.values()] == [np.float64, np.int64, np.bool_, object]
    assert one.at.dtype == np.int64
    assert one.layout == (
        ("f", ValueType.FLOAT),
        ("i", ValueType.INTEGER),
        ("b", ValueType.BOOLEAN),
        ("t", ValueType.TEXT),
    )


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: block(stream=""), "name of its stream"),
        (lambda: block(at=(1, 3, 2)), "'t': row 2 is earlier"),
        (lambda: block(at=(1, 2)), "'t': column 'value' has 3 values, not 2"),
        (lambda: block(at=(1.5, 2, 3)), "int64 nanoseconds"),
        (lambda: block(at=np.array([1, 2, 3], np.uint64)), "int64 nanoseconds"),
        (lambda: block(breaks=(3,)), "break 3"),
        (lambda: block(breaks=(1, 1)), "break 1"),
        (lambda: block(values=np.array([1, 2, 3], complex)), "'value' must be"),
        (lambda: block(values=np.array([1, 2, 3], np.uint64)), "'value' must be"),
        (lambda: block(values=np.array(["a", None, "c"], object)), "row 1: text expected, not NoneType"),
        (lambda: block(values=np.zeros((3, 2))), "one dimension"),
        (lambda: SampleBlock("t", (1,), {}), "at least one column"),
    ],
)
def test_parts_that_do_not_fit_are_refused_by_name(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_the_arrays_of_a_block_cannot_be_written():
    mine = np.array([1.0, 2.0, 3.0])
    one = block(values=mine)
    with pytest.raises(ValueError, match="read-only"):
        one.values[0] = 9
    mine[0] = 9
    assert mine.flags.writeable


def test_equality_looks_at_types_and_treats_nan_as_equal_to_itself():
    assert block(values=(1.0, np.nan, 3.0)) == block(values=(1.0, np.nan, 3.0))
    assert block(values=(1, 2, 3)) != block(values=(1.0, 2.0, 3.0))
    assert block(breaks=(1,)) != block()
    assert block(values=("a", "b", "c")) == block(values=("a", "b", "c"))
    assert block() != "block"


def test_a_slice_takes_its_breaks_along():
    one = block(breaks=(0, 2))
    assert one.slice(1, 3) == block(at=(2, 3), values=(2.0, 3.0), breaks=(1,))
    assert one.slice(3, 3).points == 0


def test_taking_rows_moves_a_break_to_the_next_row_that_stays():
    one = block(breaks=(1,))
    assert one.take(np.array([True, False, True])) == (
        block(at=(1, 3), values=(1.0, 3.0), breaks=(1,)),
        False,
    )
    assert one.take(np.array([True, False, False])) == (block(at=(1,), values=(1.0,)), True)


def test_only_rows_that_follow_are_put_together():
    joined = SampleBlock.concat([block(), block(at=(3, 4, 5), breaks=(0,))])
    assert joined == block(at=(1, 2, 3, 3, 4, 5), values=(1.0, 2.0, 3.0) * 2, breaks=(3,))
    for other in (
        block(at=(0, 4, 5)),
        block(stream="u", at=(4, 5, 6)),
        block(at=(4, 5, 6), values=(1, 2, 3)),
    ):
        with pytest.raises(ValueError, match="does not continue"):
            SampleBlock.concat([block(), other])
    with pytest.raises(ValueError, match="nothing"):
        SampleBlock.concat([])


@given(blocks(), st.integers(1, 7))
def test_splitting_and_joining_a_block_changes_nothing(one, size):
    parts = one.split(size)
    assert all(0 < len(part) <= size for part in parts)
    assert (SampleBlock.concat(parts) if parts else one) == one


def test_with_break_adds_at_most_one():
    assert block().with_break().with_break() == block(breaks=(0,))


def test_text_counts_by_its_length():
    assert block(values=("a" * 1000, "b", "c")).nbytes > 1000


def test_a_gap_names_what_was_lost():
    gap = Gap.of(block(), "full")
    assert gap == Gap("t", 1, 3, "full", 3)
    assert gap.merge(Gap("t", 7, 9, "full", 2)) == Gap("t", 1, 9, "full", 5)
    assert gap.merge(Gap("t", 7, 9, "away")) == Gap("t", 1, 9, "full; away")
    with pytest.raises(ValueError, match="ends"):
        Gap("t", 2, 1, "backwards")


def test_a_cursor_survives_being_text():
    cursor = Cursor({"b": [1, None], "a": "x"})
    assert Cursor.decode(cursor.encode()) == cursor
    assert cursor.encode() == '{"a":"x","b":[1,null]}'


def test_a_split_batch_says_first_what_it_describes_and_last_where_it_is():
    batch = Batch((block(),), (Gap("t", 0, 0, "x"),), (StreamInfo("t"),), Cursor(7))
    first, last = batch.split(2)
    assert (first.points, first.gaps, first.infos, first.cursor) == (2, batch.gaps, batch.infos, None)
    assert (last.points, last.gaps, last.infos, last.cursor) == (1, (), (), Cursor(7))


def test_an_empty_batch_may_have_a_cursor():
    assert Batch(cursor=Cursor(1)).empty
    assert not Batch(infos=(StreamInfo("t"),)).empty
    assert Batch(cursor=Cursor(1)).split(5) == [Batch(cursor=Cursor(1))]


@given(st.lists(st.lists(blocks(), max_size=4), min_size=1, max_size=4), st.integers(1, 7))
def test_cutting_and_merging_batches_keeps_every_row_of_a_stream_in_order(lists, size):
    batches = [Batch(tuple(one), cursor=Cursor(index)) for index, one in enumerate(lists)]
    parts = [part for batch in batches for part in batch.split(size)]
    assert all(part.points <= size for part in parts)
    merged = Batch.merge(parts)
    assert merged.cursor == batches[-1].cursor
    for stream in ("a", "b", "c"):
        assert rows_of([merged], stream) == rows_of(parts, stream) == rows_of(batches, stream)


def test_merging_keeps_the_last_description_of_a_stream():
    old, new, other = StreamInfo("t", label="old"), StreamInfo("t", label="new"), StreamInfo("u")
    merged = Batch.merge([Batch(infos=(old, other)), Batch(infos=(new,), gaps=(Gap("t", 1, 2, "x"),))])
    assert merged.infos == (new, other)
    assert merged.gaps == (Gap("t", 1, 2, "x"),)


NOTE = Note("t", 5, None, NoteKind.ANNOTATION, {"title": "swapped the probe"})


def test_a_note_that_ends_before_it_starts_is_refused():
    with pytest.raises(ValueError, match="'t': a note ends"):
        Note("t", 5, 4, NoteKind.EVENT)


def test_notes_come_after_the_points_and_stay_in_order():
    batch = Batch((block(),), notes=(NOTE,), cursor=Cursor(7))
    *before, last = batch.split(1)
    assert before
    assert all(part.notes == () for part in before)
    assert (last.notes, last.cursor) == ((NOTE,), Cursor(7))
    other = Note("t", 1, 2, NoteKind.EVENT)
    assert Batch.merge([batch, Batch(notes=(other,))]).notes == (NOTE, other)


def test_a_batch_of_a_note_alone_is_something_to_deliver():
    alone = Batch(notes=(NOTE,))
    assert not alone.empty
    assert alone.points == 0
    assert alone.nbytes > Batch(notes=(Note("t", 5, None, NoteKind.EVENT),)).nbytes


def test_losing_a_batch_makes_a_gap_of_each_block_and_note():
    batch = Batch((block(),), notes=(NOTE, Note("u", 1, 9, NoteKind.EVENT)))
    lost = batch.lost("full")
    assert lost[0] == Gap.of(block(), "full")
    assert lost[1:] == [Gap("t", 5, 5, "full: annotation", 0), Gap("u", 1, 9, "full: event", 0)]


def test_merging_joins_no_rows_over_an_empty_block_that_go_back_in_time():
    late, early = SampleBlock.scalar("t", [10], [1.0]), SampleBlock.scalar("t", [5], [2.0])
    merged = Batch.merge([Batch((late, late.slice(0, 0))), Batch((early,))])
    assert merged.blocks == (late, early)


def test_what_a_batch_describes_counts_as_memory():
    gap = Gap("s" * 1000, 0, 1, "r" * 1000)
    info = StreamInfo("n" * 1000, tags=("t" * 1000,), native="p" * 1000)
    assert Batch(gaps=(gap,)).nbytes > 2000
    assert Batch(infos=(info,)).nbytes > 3000


def test_short_texts_count_with_what_an_object_takes():
    texts = [f"{number:03}" for number in range(1000)]
    real = sum(map(sys.getsizeof, texts)) + 8 * len(texts)
    counted = SampleBlock.scalar("t", range(1000), texts).nbytes - 8 * len(texts)
    assert real <= counted < 1.2 * real
