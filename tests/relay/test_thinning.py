"""Every second row goes, and no interval loses its beginning."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from txbridge.model.samples import Batch, Cursor, SampleBlock, StreamInfo
from txbridge.relay.segments import Span
from txbridge.relay.thinning import Thinning


def block(ats, breaks=(), stream="s"):
    return SampleBlock.scalar(stream, ats, ats, breaks)


def thin(*batches):
    thinning = Thinning()
    results = [thinning.thin(batch) for batch in batches]
    return [[int(at) for one in batch.blocks for at in one.at] for batch, _ in results], [
        spans for _, spans in results
    ]


def test_every_second_row_goes():
    kept, lost = thin(Batch((block(range(5)),)))
    assert kept == [[0, 2, 4]]
    assert lost == [[Span("s", 1, 3, 2)]]


def test_counting_goes_on_from_batch_to_batch():
    kept, lost = thin(*(Batch((block([at]),)) for at in range(4)))
    assert kept == [[0], [], [2], []]
    assert lost == [[], [Span("s", 1, 1, 1)], [], [Span("s", 3, 3, 1)]]


def test_each_stream_is_counted_by_itself():
    kept, _ = thin(Batch((block([1, 2]), block([3, 4], stream="t"), block([5, 6]))))
    assert kept == [[1, 3, 5]]


def test_a_row_after_a_break_is_kept_and_so_is_the_break():
    thinned, _ = Thinning().thin(Batch((block(range(6), (3,)),)))
    assert [int(at) for at in thinned.blocks[0].at] == [0, 2, 3, 5]
    assert thinned.blocks[0].breaks == (2,)


def test_what_is_no_row_stays():
    batch = Batch((block([1]),), infos=(StreamInfo("s"),), cursor=Cursor(1))
    thinning = Thinning()
    thinning.thin(batch)
    assert thinning.thin(batch)[0] == Batch((), infos=(StreamInfo("s"),), cursor=Cursor(1))


@given(st.lists(st.tuples(st.sampled_from("st"), st.integers(0, 9)), max_size=8), st.data())
def test_about_half_goes_and_all_of_it_is_told(parts, data):
    thinning = Thinning()
    at = kept = lost = total = 0
    for stream, rows in parts:
        breaks = sorted(data.draw(st.sets(st.integers(0, rows - 1)))) if rows else []
        before = block(range(at, at + rows), breaks, stream)
        at += rows
        thinned, spans = thinning.thin(Batch((before,)))
        ats = {int(one) for one in (thinned.blocks[0].at if thinned.blocks else ())}
        assert ats.issuperset(int(before.at[row]) for row in breaks)
        gone = sorted(set(map(int, before.at)) - ats)
        assert spans == ([Span(stream, gone[0], gone[-1], len(gone))] if gone else [])
        kept, lost, total = kept + len(ats), lost + len(gone), total + rows
    assert kept + lost == total
    assert lost <= kept
