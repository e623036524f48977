"""Hypothesis strategies for batches with everything in them that a `Batch` can have."""

from __future__ import annotations

import numpy as np
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

__all__ = ["batches", "blocks", "gaps", "infos", "json", "notes", "texts"]

INT64 = st.integers(-(2**63), 2**63 - 1)
MAYBE = st.none() | st.integers(0, 2**40)


def texts(min_size: int = 0) -> st.SearchStrategy[str]:
    """Any text that Python can hold, half surrogate pairs too."""
    return st.text(st.characters(), min_size=min_size, max_size=6)


def json() -> st.SearchStrategy[object]:
    """Anything that JSON can hold, numbers beyond 64 bits and NaN too."""
    leaves = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats() | texts()
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts(), inner, max_size=3),
        max_leaves=6,
    )


@st.composite
def blocks(draw, streams: st.SearchStrategy[str] | None = None) -> SampleBlock:
    """Rows of a stream with one to three columns of any type, and breaks."""
    rows = draw(st.integers(0, 5))
    at = sorted(draw(st.lists(INT64, min_size=rows, max_size=rows)))
    values = {
        ValueType.FLOAT: (st.integers(0, 2**64 - 1), np.uint64),
        ValueType.INTEGER: (INT64, np.int64),
        ValueType.BOOLEAN: (st.booleans(), np.bool_),
        ValueType.TEXT: (texts(), object),
    }
    columns = {}
    for name in draw(st.lists(texts(), min_size=1, max_size=3, unique=True)):
        kind = draw(st.sampled_from(list(values)))
        value, dtype = values[kind]
        column = np.array(draw(st.lists(value, min_size=rows, max_size=rows)), dtype)
        columns[name] = column.view(np.float64) if kind is ValueType.FLOAT else column
    breaks = sorted(draw(st.sets(st.integers(0, rows - 1)))) if rows else []
    name = draw(streams if streams is not None else texts(1))
    return SampleBlock(name, np.array(at, np.int64), columns, tuple(breaks))


def gaps() -> st.SearchStrategy[Gap]:
    """Gaps, of instants beyond 64 bits too."""
    instants = st.integers(-(10**30), 10**30)
    return st.builds(
        lambda stream, bounds, reason, points: Gap(stream, min(bounds), max(bounds), reason, points),
        texts(),
        st.tuples(instants, instants),
        texts(),
        MAYBE,
    )


def infos(levels: int = 2) -> st.SearchStrategy[StreamInfo]:
    """Descriptions, with columns."""
    words = st.none() | texts()
    return st.builds(
        StreamInfo,
        texts(),
        label=words,
        unit_symbol=words,
        unit_label=words,
        unit_type=words,
        value_type=st.none() | st.sampled_from(ValueType),
        columns=st.lists(infos(levels - 1), max_size=2).map(tuple) if levels else st.just(()),
        tags=st.lists(texts(), max_size=2).map(tuple),
    )


def notes() -> st.SearchStrategy[Note]:
    """Annotations and events, with any content."""
    return st.builds(
        lambda stream, start, length, kind, content: Note(
            stream, start, None if length is None else start + length, kind, content
        ),
        texts(),
        INT64,
        MAYBE,
        st.sampled_from(NoteKind),
        st.dictionaries(texts(), json(), max_size=3),
    )


def batches() -> st.SearchStrategy[Batch]:
    """Batches of all of it."""
    return st.builds(
        Batch,
        blocks=st.lists(blocks(), max_size=3).map(tuple),
        gaps=st.lists(gaps(), max_size=2).map(tuple),
        infos=st.lists(infos(), max_size=2).map(tuple),
        cursor=st.none() | json().map(Cursor),
        notes=st.lists(notes(), max_size=2).map(tuple),
    )
