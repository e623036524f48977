"""What is damaged is found out, and nothing beside it is lost."""

from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from tests.contract.outbox import batch_of
from tests.support.batches import batches
from txbridge.errors import DecodeError
from txbridge.model.samples import Batch, Cursor, Gap, StreamInfo
from txbridge.relay.records import decode_batch, encode_batch
from txbridge.relay.roles import Stamp
from txbridge.relay.segments import (
    SEGMENT_HEAD,
    Head,
    Index,
    PlaceOf,
    Places,
    Span,
    Summary,
    Total,
    decode_places,
    decode_summary,
    encode_places,
    encode_record,
    encode_rest,
    encode_summary,
    missing_of,
    most_bytes,
    read_head,
    record_size,
    scan,
    spans_of,
)

STAMP = Stamp(1_700_000_000_000_000_000, 12_345, "boot")


def head_of(batch, only=None, position=0):
    body = encode_batch(batch)
    head = Head(
        position, STAMP, only, batch.points, batch.nbytes, 0, spans_of(batch), bool(batch.infos),
        has_cursor=batch.cursor is not None,
    )  # fmt: skip
    return evolve(head, size=record_size(len(rest_of(head)), len(body))), body


def rest_of(head):
    return encode_rest(head.stamp.boot_id, head.only, head.spans)


def record_of(position, batch, only=None):
    head, body = head_of(batch, only, position)
    return b"".join(encode_record(head, rest_of(head), body))


def segment_of(*some):
    return SEGMENT_HEAD + b"".join(record_of(position, batch) for position, batch in enumerate(some, 1))


THREE = [batch_of(1, 2, cursor=2), batch_of(3, stream="a longer name"), batch_of(4, 5, 6)]


@given(batches(), st.sampled_from([None, frozenset(), frozenset({"a", "b"})]), st.integers(1, 1 << 60))
def test_a_record_is_read_as_it_was_written(batch, only, position):
    data = bytes(16) + record_of(position, batch, only)
    head = read_head(data, 16, base=100)
    expected, body = head_of(batch, only, position)
    assert len(data) == 16 + head.size
    assert head.size % 8 == 0
    assert evolve(head, body_at=0, body_size=0, body_crc=0) == expected
    start = head.body_at - 100
    assert decode_batch(data[start : start + head.body_size]) == decode_batch(body)


def test_spans_are_what_a_batch_has_of_each_stream():
    batch = Batch((*batch_of(5, 7).blocks, *batch_of(1, stream="t").blocks, *batch_of(9).blocks))
    assert spans_of(batch) == (Span("s", 5, 9, 3), Span("t", 1, 1, 1))
    assert Span("s", 5, 9, 3).gap("why") == Gap("s", 5, 9, "why", 3)


def test_a_scan_finds_every_record():
    found = list(scan(segment_of(*THREE) + bytes(500)))
    assert [one.head.position for one in found] == [1, 2, 3]
    assert [decode_batch(one.body) for one in found] == THREE


@pytest.mark.parametrize("size", range(len(segment_of(*THREE))))
def test_a_segment_that_is_cut_off_anywhere_gives_what_is_whole(size):
    data = segment_of(*THREE)
    ends = [len(segment_of(*THREE[:count])) for count in range(4)]
    whole = sum(end <= size for end in ends[1:])
    for rest in (b"", bytes(len(data) - size)):
        found = list(scan(data[:size] + rest))
        good = [one.head.position for one in found if one.head is not None and one.body is not None]
        # The last bytes of a record may be its padding, which nobody misses.
        assert good in ([*range(1, whole + 1)], [*range(1, whole + 2)])
        assert len(good) == whole or data[size : ends[whole + 1]].strip(b"\0") == b""


def test_no_bit_that_flips_goes_unnoticed_or_spoils_another_record():
    data = segment_of(*THREE)
    starts = [len(segment_of(*THREE[:count])) for count in range(4)]
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        hit = next((row for row in range(3) if starts[row] <= bit // 8 < starts[row + 1]), None)
        found = {one.head.position: one for one in scan(bytes(damaged)) if one.head is not None}
        for row, batch in enumerate(THREE):
            one = found.get(row + 1)
            if one is not None and one.body is not None:
                assert decode_batch(one.body) == batch
            else:
                assert hit == row


def test_a_damaged_body_leaves_its_head():
    data = bytearray(segment_of(*THREE))
    second = list(scan(bytes(data)))[1]
    data[second.head.body_at] ^= 1
    found = list(scan(bytes(data)))
    assert [one.body is None for one in found] == [False, True, False]
    assert found[1].head.spans == (Span("a longer name", 3, 3, 1),)


def test_a_damaged_head_is_a_stretch_up_to_the_next_record():
    data = bytearray(segment_of(*THREE))
    _, second, third = scan(bytes(data))
    data[second.offset + 9] ^= 1
    found = list(scan(bytes(data)))
    assert [one.head is None for one in found] == [False, True, False]
    assert (found[1].offset, found[1].size) == (second.offset, third.offset - second.offset)


def summary_of(*some, only=None):
    summary = Summary(1, 0, 2, 8, Stamp(0, 0, ""), Stamp(0, 0, ""))
    offset = 8
    for position, batch in enumerate(some, 1):
        head, _ = head_of(batch, only if position % 2 else None, position)
        summary.add(head, offset, damaged=position == 2)
        offset += head.size
    summary.cursor, summary.cursor_at = Cursor(["x", 1]), 1
    return summary


@pytest.mark.parametrize("only", [None, frozenset({"b", "a"}), frozenset()])
def test_a_summary_is_read_as_it_was_written(only):
    summary = summary_of(*THREE, only=only)
    data = encode_summary(summary)
    assert decode_summary(data, whole=True) == summary
    figures = decode_summary(data[:300], whole=False)
    assert (figures.first, figures.last, figures.cursor, figures.ended) == (1, 3, Cursor(["x", 1]), STAMP)
    assert sum(total.points for total in figures.totals.values()) == 6
    assert figures.totals == summary.totals
    index = decode_summary(data, whole=True).index
    assert [index.only(row) for row in range(3)] == [only, None, only]
    assert [bool(index.flags[row] & Index.DAMAGED) for row in range(3)] == [False, True, False]
    assert [index.find(position) for position in (0, 1, 2, 3, 4)] == [0, 0, 1, 2, 3]


@pytest.mark.parametrize("only", [None, frozenset({"b" * 60, "a"}), frozenset()])
def test_how_long_a_summary_may_become_is_known_beforehand(only):
    many = [batch_of(at, stream=f"µ-{at}" * 20) for at in range(50)]
    for some in ([], THREE, many):
        summary = summary_of(*some, only=only)
        assert 0 <= most_bytes(summary) - len(encode_summary(summary)) < 1000 + 400 * len(some)


def test_a_summary_that_is_damaged_anywhere_is_refused():
    data = encode_summary(summary_of(*THREE))
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DecodeError):
            decode_summary(bytes(damaged), whole=True)
    for size in range(len(data)):
        with pytest.raises(DecodeError):
            decode_summary(data[:size], whole=True)


def test_what_is_missing_is_what_a_segment_has_besides_what_can_be_read():
    streams = {"s": Span("s", 1, 9, 5), "t": Span("t", 2, 3, 1)}
    assert missing_of(streams, [(Span("s", 1, 2, 2), Span("t", 2, 3, 1)), ()]) == [Span("s", 1, 9, 3)]


def places():
    told = Batch((), (Gap("s", 1, 2, "full", 3),), (StreamInfo("s"),))
    return Places(
        7, 99, Cursor({"at": 1}), 98, {"a": PlaceOf(((1, 5), (7, 9)), told), "b": PlaceOf()}
    )  # fmt: skip


def test_places_are_read_as_they_were_written():
    assert decode_places(encode_places(places()) + bytes(100)) == places()
    assert decode_places(encode_places(Places())) == Places()


def test_places_that_are_damaged_anywhere_are_refused():
    data = encode_places(places())
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(DecodeError):
            decode_places(bytes(damaged))
    for size in range(len(data)):
        with pytest.raises(DecodeError):
            decode_places(data[:size])


@given(st.binary(max_size=400))
def test_no_bytes_do_anything_but_be_refused(data):
    for one in (data, b"TXR1" + data, b"TXI1" + data, b"TXP1" + data):
        list(scan(SEGMENT_HEAD + one))
        for decode in (read_head, decode_places, lambda one: decode_summary(one, whole=True)):
            with pytest.raises(DecodeError):
                decode(one)


def test_totals_add_up():
    total = Total()
    total.add(1, 2, 3)
    total.add(1, 1, 1)
    assert total == Total(2, 3, 4)
