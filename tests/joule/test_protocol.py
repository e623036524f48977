"""Rows without I/O: bytes to arrays at every split, and arrays to bytes that the node takes."""

from __future__ import annotations

import itertools
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from txbridge.errors import EncodeError, RemoteProtocolError
from txbridge.joule.errors import ApiError, InvalidArgument, PipeError
from txbridge.joule.protocol import (
    InvalidRows,
    RowReader,
    Rows,
    RowWriter,
    WentBack,
    as_rows,
    flattened,
    layout_dtype,
)

T0 = 1_700_000_000_000_000
AT = 1551730769556442

# Made by hand with struct, and seen on the wire: layout, values, bytes.
EXAMPLES = [
    ("float32_3", (1.0, -2.5, 0.1), "da734e794a830500 0000803f 000020c0 cdcccc3d"),
    ("float64_1", (0.1,), "da734e794a830500 9a9999999999b93f"),
    ("int16_2", (-2, 32767), "da734e794a830500 feff ff7f"),
    ("int16_1", (7,), "da734e794a830500 0700"),
    ("int32_2", (-1, 661400), "da734e794a830500 ffffffff 98170a00"),
    ("int64_1", (-(2**40),), "da734e794a830500 0000000000ffffff"),
    ("uint8_2", (1, 255), "da734e794a830500 01ff"),
]

# An answer of a node: three rows, a break, two rows of float32_2.
ANSWER = bytes.fromhex(
    "0040 1e18 240a 0600 0000 803f 0000 20c0"
    "e843 1e18 240a 0600 0000 0040 0000 003f"
    "d047 1e18 240a 0600 0000 4040 0024 7449"
    "0000 0000 0000 0000 0000 0000 0000 0000"
    "1067 1e18 240a 0600 0000 8040 0000 0000"
    "f86a 1e18 240a 0600 0000 a040 0000 803e"
)
ANSWERED = [
    [(T0, 1.0, -2.5), (T0 + 1000, 2.0, 0.5), (T0 + 2000, 3.0, 1e6)],
    [(T0 + 10_000, 4.0, 0.0), (T0 + 11_000, 5.0, 0.25)],
]


def reader(layout: str = "float32_2", **options: Any) -> RowReader:
    return RowReader(layout_dtype(layout), **options)


def rows_of(layout: str, *rows: tuple[Any, ...]) -> np.ndarray:
    return np.array([(row[0], row[1:]) for row in rows], layout_dtype(layout))


def packed(*rows: tuple[Any, ...]) -> bytes:
    """Rows of int16_1."""
    return b"".join(struct.pack("<qh", *row) for row in rows)


TOKEN = bytes(10)


def runs_of(events: list[Any]) -> list[list[tuple[Any, ...]]]:
    """Rows as tuples, in runs; the last one may be open."""
    runs: list[list[tuple[Any, ...]]] = [[]]
    for event in events:
        assert isinstance(event, Rows)
        runs[-1] += [(int(row["timestamp"]), *row["data"].tolist()) for row in event.rows]
        if event.interval_ended:
            runs.append([])
    return runs


# ------------------------------------------------------------------------------------------- layouts


@pytest.mark.parametrize(("layout", "values", "encoded"), EXAMPLES)
def test_a_row_is_these_bytes_and_these_bytes_are_the_row(layout: str, values: Any, encoded: str) -> None:
    data = bytes.fromhex(encoded)
    rows = rows_of(layout, (AT, *values))
    assert RowWriter(layout_dtype(layout)).write(rows) == data
    (event,) = reader(layout).receive_data(data)
    assert isinstance(event, Rows)
    assert event.rows.dtype == layout_dtype(layout)
    assert event.rows.tobytes() == rows.tobytes()
    assert event.rows["data"].shape == (1, len(values))


@pytest.mark.parametrize(
    "layout", ["", "float32", "float32_", "float32_0", "float16_1", "float32_1 ", "int_1"]
)
def test_what_is_no_layout_is_refused(layout: str) -> None:
    with pytest.raises(InvalidArgument, match="layout"):
        layout_dtype(layout)


# ------------------------------------------------------------------------------------------- reading


def test_an_answer_is_read_at_every_split() -> None:
    for first in range(len(ANSWER) + 1):
        for second in (first, (first + len(ANSWER)) // 2, len(ANSWER)):
            one = reader()
            events: list[Any] = []
            for piece in (ANSWER[:first], ANSWER[first:second], ANSWER[second:]):
                events += one.receive_data(piece)
            one.receive_eof()
            assert runs_of(events) == ANSWERED
            assert one.last == T0 + 11_000


def test_an_answer_is_read_byte_by_byte_and_in_pieces_at_once() -> None:
    one = reader()
    events = [event for at in range(len(ANSWER)) for event in one.receive_data(ANSWER[at : at + 1])]
    assert runs_of(events) == ANSWERED
    assert (
        runs_of(reader().receive_data(*(ANSWER[at : at + 7] for at in range(0, len(ANSWER), 7)))) == ANSWERED
    )


def test_arrays_are_views_that_may_be_changed_and_kept() -> None:
    one = reader("int16_1")
    (first,) = one.receive_data(packed((1, 1), (2, 2)))
    (second,) = one.receive_data(packed((3, 3)))
    assert isinstance(first, Rows)
    assert isinstance(second, Rows)
    assert not first.rows.flags.owndata
    first.rows["data"] += 10
    assert first.rows["data"].ravel().tolist() == [11, 12]
    assert second.rows["data"].ravel().tolist() == [3]


def test_zero_bytes_across_two_rows_are_no_break() -> None:
    # int16_1: a value of zero, then a timestamp whose low bytes are zero: 10 zero bytes, not aligned.
    data = packed((1, 0), (1 << 56, 5))
    assert bytes(8) in data
    assert runs_of(reader("int16_1").receive_data(data)) == [[(1, 0), (1 << 56, 5)]]


@pytest.mark.parametrize("value", [1, -1])
def test_a_row_at_the_epoch_is_a_row_if_a_value_is_not_zero(value: int) -> None:
    assert runs_of(reader("int16_1").receive_data(packed((-5, 0), (0, value)))) == [[(-5, 0), (0, value)]]


def test_negative_zero_at_the_epoch_is_no_break() -> None:
    (event,) = reader("float64_1").receive_data(struct.pack("<qd", 0, -0.0))
    assert isinstance(event, Rows)
    assert len(event.rows) == 1
    assert not event.interval_ended


def test_breaks_may_lead_repeat_and_trail() -> None:
    data = TOKEN + packed((1, 1)) + TOKEN + TOKEN + packed((2, 2)) + TOKEN
    events = reader("int16_1").receive_data(data)
    assert [(len(event.rows), event.interval_ended) for event in events if isinstance(event, Rows)] == [
        (0, True), (1, True), (0, True), (1, True),
    ]  # fmt: skip


def test_a_body_that_ends_within_a_row_is_an_error() -> None:
    one = reader()
    one.receive_data(ANSWER[:-3])
    with pytest.raises(RemoteProtocolError, match="3 bytes before the end of a row"):
        one.receive_eof()


@pytest.mark.parametrize("split", [False, True])
def test_history_that_goes_back_after_a_break_is_read_no_further(split: bool) -> None:
    data = packed((1, 1), (2, 2)) + TOKEN + packed((1, 1), (2, 2)) + TOKEN
    one = reader("int16_1")
    pieces = [data[at : at + 10] for at in range(0, len(data), 10)] if split else [data]
    events = [event for piece in pieces for event in one.receive_data(piece)]
    assert runs_of(events[:-1]) == [[(1, 1), (2, 2)], []]
    assert events[-1] == WentBack(last=2, found=1)
    assert one.receive_data(data) == []
    one.receive_eof()


def test_history_that_goes_back_within_a_run_gives_the_good_rows_first() -> None:
    events = reader("int16_1").receive_data(packed((1, 1), (5, 5), (5, 6), (7, 7)))
    assert runs_of(events[:-1]) == [[(1, 1), (5, 5)]]
    assert events[-1] == WentBack(last=5, found=5)


def test_rows_must_be_later_than_what_is_known_already() -> None:
    assert reader("int16_1", after=5).receive_data(packed((5, 1))) == [WentBack(last=5, found=5)]
    assert runs_of(reader("int16_1", after=5).receive_data(packed((6, 1)))) == [[(6, 1)]]


def test_a_module_that_starts_again_may_go_back_after_a_break_and_within_a_run() -> None:
    one = reader("int16_1", sorted=False)
    events = one.receive_data(packed((10, 1)) + TOKEN + packed((3, 2), (4, 3), (2, 4), (1, 5)))
    assert runs_of(events) == [[(10, 1)], [(3, 2), (4, 3)], [(2, 4)], [(1, 5)]]
    assert runs_of(one.receive_data(packed((1, 6)))) == [[], [(1, 6)]]


@st.composite
def streams(draw: st.DrawFn) -> list[list[tuple[int, int]]]:
    """Runs of rows of int16_1 with ascending timestamps; none is a token."""
    count = draw(st.integers(0, 30))
    times = sorted(draw(st.sets(st.integers(-50, 50), min_size=count, max_size=count)))
    rows = [(at, draw(st.integers(-3, 3).filter(lambda value, at=at: (at, value) != (0, 0)))) for at in times]
    cuts = sorted(draw(st.sets(st.integers(0, count), max_size=4)))
    edges = [0, *cuts, count]
    return [rows[first:last] for first, last in itertools.pairwise(edges)]


@given(streams(), st.lists(st.integers(0, 400), max_size=8))
def test_rows_and_breaks_arrive_as_they_were_sent_however_they_are_split(
    runs: list[list[tuple[int, int]]], cuts: list[int]
) -> None:
    data = TOKEN.join(packed(*run) for run in runs)
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    one = reader("int16_1")
    events: list[Any] = []
    for first, last in itertools.pairwise(edges):
        events += one.receive_data(data[first:last])
    one.receive_eof()
    assert runs_of(events) == runs


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-1, 1)), max_size=20), st.integers(0, 200))
def test_what_is_read_of_history_ascends_whatever_comes(rows: list[tuple[int, int]], cut: int) -> None:
    """Against a plain model: rows one by one, until one is not later."""
    data = packed(*rows)
    expected: list[Any] = [[]]
    last: int | None = None
    went_back = False
    for at, value in rows:
        if (at, value) == (0, 0):
            expected.append([])
        elif last is not None and at <= last:
            went_back = True
            break
        else:
            expected[-1].append((at, value))
            last = at
    one = reader("int16_1")
    events = [*one.receive_data(data[:cut]), *one.receive_data(data[cut:])]
    assert (bool(events) and isinstance(events[-1], WentBack)) == went_back
    assert runs_of(events[:-1] if went_back else events) == expected


# ------------------------------------------------------------------------------------------- writing


def writer(layout: str = "int16_1") -> RowWriter:
    return RowWriter(layout_dtype(layout))


def test_a_matrix_is_written_as_its_rows() -> None:
    one = writer("float32_2")
    assert one.write(np.array([[T0, 1.0, -2.5], [T0 + 1000, 2.0, 0.5]])) == ANSWER[:32]
    assert one.write(rows_of("float32_2", (T0 + 2000, 3.0, 1e6))) == ANSWER[32:48]
    assert one.close_interval() == ANSWER[48:64]
    assert one.write(np.array([[T0 + 10_000, 4.0, 0.0], [T0 + 11_000, 5.0, 0.25]])) == ANSWER[64:]
    assert (one.first, one.last) == (T0, T0 + 11_000)


def test_a_matrix_of_integers_keeps_every_digit() -> None:
    value = (1 << 62) + 1
    data = writer("int64_1").write(np.array([[AT, value]]))
    assert data == struct.pack("<qq", AT, value)


def test_no_rows_are_no_bytes_and_no_run_has_no_end() -> None:
    one = writer()
    assert one.write(np.empty((0, 2))) == b""
    assert one.write(np.empty(0, layout_dtype("int16_1"))) == b""
    assert one.close_interval() == b""
    one.write(rows_of("int16_1", (1, 1)))
    assert one.close_interval() == TOKEN
    assert one.close_interval() == b""


@pytest.mark.parametrize(
    ("layout", "rows", "reason"),
    [
        ("int16_1", [[1, 2]], "must be a structured array or 2D matrix"),
        ("int16_1", np.array(5), "must be a structured array or 2D matrix"),
        ("int16_1", np.array([[1, 2, 3]]), "wrong number of fields for this data type: 3, not 2"),
        ("int16_1", np.zeros((1, 2, 2)), "wrong number of dimensions"),
        ("int16_1", np.array([1, 2]), "wrong dtype for 1D"),
        ("int16_1", rows_of("int32_1", (1, 2)), "wrong dtype for 1D"),
        ("int16_1", np.array([["a", "b"]]), "has no numbers"),
        ("int16_1", np.array([[1, 2j]]), "has no numbers"),
        ("int16_1", np.array([[1, 40_000]]), "some values do not fit into int16"),
        ("int16_1", np.array([[1, 1.5]]), "some values have a fraction"),
        ("int16_1", np.array([[1, np.inf]]), "some values are no finite numbers"),
        ("uint8_1", np.array([[1, -1]]), "some values do not fit into uint8"),
        ("int64_1", np.array([[1.0, 2.0**63]]), "some values do not fit into int64"),
        ("float32_1", np.array([[1, 1e39]]), "too large for float32"),
        ("float32_1", np.array([[1, np.nan]]), "row 0 has a value that is not a number"),
        ("float64_2", np.array([[1, 0, 0], [2, 0, np.nan]]), "row 1 has a value that is not a number"),
        ("float32_1", np.array([[np.nan, 1]]), "some timestamps are no finite numbers"),
        ("float32_1", np.array([[1e30, 1]]), "some timestamps do not fit into int64"),
        ("float32_1", np.array([[260_000_000_000_000_000, 1]]), "not in the years 1 to 9999"),
        ("float32_1", np.array([[-(1 << 62), 1], [1, 1]]), "not in the years 1 to 9999"),
        ("float32_1", np.array([[5, 1], [5, 2]]), "5 of row 1 is not after that of row 0"),
        ("float32_1", np.array([[-1, 0], [0, 0]]), "row 1 is all zero, which means the end of an interval"),
    ],
)
def test_rows_that_the_stream_cannot_hold_are_refused(layout: str, rows: Any, reason: str) -> None:
    one = writer(layout)
    with pytest.raises(InvalidRows, match=reason) as caught:
        one.write(rows)
    assert all(isinstance(caught.value, kind) for kind in (ApiError, EncodeError, PipeError))
    assert one.last is None
    assert one.close_interval() == b""


def test_infinity_is_a_value_of_a_float() -> None:
    rows = np.array([[1, np.inf], [2, -np.inf]])
    assert writer("float32_1").write(rows) == struct.pack("<qfqf", 1, float("inf"), 2, float("-inf"))


def test_a_row_must_be_later_than_what_was_written_before_and_a_refusal_forgets_nothing() -> None:
    one = writer()
    one.write(rows_of("int16_1", (5, 1)))
    one.close_interval()
    with pytest.raises(InvalidRows, match="5 is not after the last one, 5"):
        one.write(rows_of("int16_1", (5, 2)))
    assert one.write(rows_of("int16_1", (6, 2))) == packed((6, 2))


def test_timestamps_of_a_float_matrix_lose_their_fraction() -> None:
    assert writer().write(np.array([[1.9, 1.0], [2.1, 2.0]])) == packed((1, 1), (2, 2))


def test_rows_that_are_not_contiguous_are_written_all_the_same() -> None:
    rows = rows_of("int16_1", (1, 1), (2, 2), (3, 3))
    assert writer().write(rows[::2]) == packed((1, 1), (3, 3))


@given(streams())
def test_what_is_written_is_what_is_read(runs: list[list[tuple[int, int]]]) -> None:
    one, data = writer(), b""
    for run in runs[:-1]:
        data += one.write(rows_of("int16_1", *run)) + one.close_interval()
    data += one.write(rows_of("int16_1", *runs[-1]))
    expected = [run for run in runs[:-1] if run] + [runs[-1]]
    assert runs_of(reader("int16_1").receive_data(data)) == expected


# ------------------------------------------------------------------------------------------- matrices


def test_flattened_rows_are_integers_only_if_all_are() -> None:
    whole = flattened(rows_of("int16_2", (AT, 1, -2)))
    assert (whole.dtype, whole.tolist()) == (np.int64, [[AT, 1, -2]])
    floats = flattened(rows_of("float32_2", (AT, 0.5, 1)))
    assert (floats.dtype, floats.tolist()) == (np.float64, [[AT, 0.5, 1.0]])


@given(streams())
def test_a_matrix_and_its_rows_are_the_same(runs: list[list[tuple[int, int]]]) -> None:
    rows = rows_of("int16_1", *(row for run in runs for row in run))
    assert as_rows(flattened(rows), rows.dtype).tobytes() == rows.tobytes()
    assert as_rows(rows, rows.dtype) is rows
