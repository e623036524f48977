"""Records hold batches exactly, and any bytes are a record or a DecodeError."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest
from attrs import evolve, fields
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.support.batches import batches
from txbridge.errors import DecodeError, EncodeError
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
from txbridge.relay.records import decode_batch, encode_batch

NOTE = Note("door", 5, 9, NoteKind.EVENT, {"open": [True, 1.5, None, {"by": "é\ud800"}]})
INFO = StreamInfo(
    "door",
    label="Door",
    unit_symbol="°C",
    unit_label="Celsius",
    unit_type="derivedSI",
    value_type=ValueType.FLOAT,
    columns=(StreamInfo("x", unit_symbol="m"),),
    tags=("hall", "\udfff"),
    native="float32_1",
)
FULL = Batch(
    blocks=(
        SampleBlock(
            "door",
            np.array([1, 2, 2], np.int64),
            {
                "t": np.array(["", "é", "𝄞\ud800"], object),
                "f": np.array([0.1, -0.0, np.inf]),
                "i": np.array([-(2**63), 0, 2**63 - 1]),
                "b": np.array([True, False, True]),
            },
            (0, 2),
        ),
    ),
    gaps=(Gap("door", -(10**30), 10**30, "full", 7),),
    infos=(INFO,),
    cursor=Cursor({"at": 1e-9, "of": [None, 10**30]}),
    notes=(NOTE,),
)


def exactly(batch: Batch):
    """Everything of a batch in a form in which NaN equals itself and −0 is not 0."""
    rest = evolve(batch, blocks=())
    blocks = [
        (
            block.stream,
            block.breaks,
            block.layout,
            block.at.tolist(),
            [
                column.tolist() if column.dtype.kind == "O" else column.tobytes()
                for column in block.columns.values()
            ],
        )
        for block in batch.blocks
    ]
    return blocks, repr(rest)


@given(batches())
@example(FULL)
@example(Batch())
@example(Batch(cursor=Cursor(None)))
def test_a_batch_comes_back_as_it_was(batch):
    assert exactly(decode_batch(encode_batch(batch))) == exactly(batch)


def test_every_bit_of_a_float_is_kept():
    bits = np.array([0x7FF8_0000_0000_1234, 0xFFF0_0000_0000_0001, 1], np.uint64)
    one = decode_batch(encode_batch(Batch((SampleBlock.scalar("s", [1, 2, 3], bits.view(np.float64)),))))
    assert one.blocks[0].values.view(np.uint64).tolist() == bits.tolist()


@pytest.mark.parametrize(
    ("full", "plain"),
    [
        (FULL, Batch()),
        (FULL.gaps[0], Gap("", 0, 0, "")),
        (INFO, StreamInfo("")),
        (NOTE, Note("", 0, None, NoteKind.ANNOTATION)),
        (FULL.blocks[0], SampleBlock.scalar("s", [0], [0])),
    ],
    ids=lambda one: type(one).__name__,
)
def test_no_member_of_the_model_is_left_out(full, plain):
    """Whoever adds a member sees here that the example, and so the test that it comes back, lacks it."""
    for member in fields(type(full)):
        ours, theirs = getattr(full, member.name), getattr(plain, member.name)
        assert repr(ours) != repr(theirs), f"FULL says nothing of {member.name}"
    assert [one.name for one in fields(Cursor)] == ["value"]


def test_rows_are_not_copied_when_they_are_read():
    data = encode_batch(FULL)
    block = decode_batch(data).blocks[0]
    for array in (block.at, block.columns["f"], block.columns["i"], block.columns["b"]):
        assert not array.flags.owndata
        assert not array.flags.writeable
        assert array.flags.aligned


def test_bytes_looked_at_as_bool_become_true_and_false():
    odd = np.array([0, 1, 2], np.uint8).view(np.bool_)
    one = decode_batch(encode_batch(Batch((SampleBlock.scalar("s", [1, 2, 3], odd),))))
    assert one.blocks[0].values.tolist() == [False, True, True]


@pytest.mark.parametrize("value", [object(), {1, 2}.union, 1j])
def test_what_json_cannot_hold_is_refused(value):
    with pytest.raises(EncodeError):
        encode_batch(Batch(cursor=Cursor(value)))


def deep(levels: int):
    value = []
    for _ in range(levels):
        value = [value]
    return value


def test_a_cursor_of_bottomless_depth_is_refused():
    with pytest.raises(EncodeError):
        encode_batch(Batch(cursor=Cursor(deep(100_000))))


def record(head, body=b""):
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    return b"TXB\x01" + len(text).to_bytes(4, "little") + text + bytes(-len(text) % 8) + body


ONE = bytes(16)  # an instant and a value


def test_the_format_is_the_one_that_was_written_before():
    """A file from an earlier run must be readable: whoever changes the format makes a new version of it."""
    batch = Batch((SampleBlock.scalar("s", [1], [2.5]),), cursor=Cursor(7))
    head = b'{"blocks":[["s",1,[],[["value","float"]]]],"cursor":{"value":7}}'
    body = (1).to_bytes(8, "little") + np.array([2.5], "<f8").tobytes()
    assert encode_batch(batch) == record(head, body)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not a record"),
        (b"TXB\x01", "not a record"),
        (b"PK\x03\x04" + bytes(20), "not a record"),
        (b"TXB\x02" + bytes(20), "version 2"),
        (b"TXB\x01\xff\xff\xff\xff{}", "ends within the 4294967295 bytes"),
        (record(b"{}")[:-1], "ends within"),
        (record({}, bytes(8)), "8 bytes are left over"),
        (record(b"[" * 100_000), "recursion"),
        (record(b"9" * 10_000), "limit"),
        (record("é".encode()), "ascii"),
        (record({"new": 1}), "unknown field"),
        (record({"blocks": [["s", 1, [], []]]}, bytes(8)), "at least one column"),
        (record({"blocks": [["s", 2, [], [["v", "float"]]]]}, ONE), "ends within"),
        (record({"blocks": [["s", 2**62, [], [["v", "float"]]]]}, ONE), "ends within"),
        (record({"blocks": [["s", 10**40, [], [["v", "float"]]]]}, ONE), "ends within"),
        (record({"blocks": [["s", -1, [], [["v", "float"]]]]}, ONE), "-1 rows"),
        (record({"blocks": [["s", 1.0, [], [["v", "float"]]]]}, ONE), "float"),
        (record({"blocks": [["s", 1, [3], [["v", "float"]]]]}, ONE), "break 3"),
        (record({"blocks": [["s", 1, [], [["v", "float"], ["v", "float"]]]]}, ONE + bytes(8)), "one name"),
        (record({"blocks": [["s", 1, [], [["v", "complex"]]]]}, ONE), "complex"),
        (record({"blocks": [["s", 1, [], [["v", "boolean"]]]]}, bytes(8) + b"\2" + bytes(7)), "more than"),
        (record({"blocks": [["s", 1, [], [["v", "text", -8]]]]}, ONE), "ends within"),
        (record({"blocks": [["s", 1, [], [["v", "text", 1]]]]}, ONE + b"a" + bytes(7)), "lengths"),
        (record({"blocks": [["s", 2, [], [["v", "integer"]]]]}, b"\1" + bytes(31)), "earlier"),
        (record({"gaps": [{"stream": "s", "start_ns": 2, "end_ns": 1, "reason": ""}]}), "before it starts"),
        (record({"notes": [{"stream": "s"}]}), "start_ns"),
    ],
)
def test_what_is_no_record_is_refused_in_words(data, words):
    with pytest.raises(DecodeError, match=words) as caught:
        decode_batch(data)
    assert caught.value.format == "batch"


@settings(max_examples=300)
@given(batches(), st.data())
def test_damaged_bytes_are_a_batch_or_a_decode_error(batch, data):
    record = bytearray(encode_batch(batch))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(record) - 1))
        record[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(record)))
    for damaged in (bytes(record), bytes(record[:cut]), bytes(record) + bytes(cut)):
        try:
            decode_batch(damaged)
        except DecodeError:
            continue


@given(st.binary(max_size=200))
def test_any_head_is_a_batch_or_a_decode_error(head):
    for data in (head, record(head)):
        try:
            decode_batch(data)
        except DecodeError:
            continue


def test_a_record_that_claims_much_takes_no_memory_for_it():
    claims = [["s", 2**31, [], [[f"c{n}", "text", 2**31] for n in range(50)]]]
    data = record({"blocks": claims}, ONE)
    tracemalloc.start()
    try:
        with pytest.raises(DecodeError):
            decode_batch(data)
        assert tracemalloc.get_traced_memory()[1] < 200 * len(data)
    finally:
        tracemalloc.stop()
