"""The hand-over is bounded, keeps order, and loses nothing to a cancelled reader."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError

from tests.support.deferreds import result_of, waits
from txbridge.errors import Closed, ConnectionLost, OutboxError
from txbridge.model.samples import Batch, Cursor, SampleBlock
from txbridge.relay.handover import HandOver, Mark

SPACIOUS = 1 << 30


class Producer:
    """Remembers what it was told."""

    def __init__(self):
        self.told = []

    def pauseProducing(self):
        self.told.append("pause")

    def resumeProducing(self):
        self.told.append("resume")


def batch_of(*ats, cursor=None):
    return Batch((SampleBlock.scalar("s", ats, ats),), cursor=cursor)


def ats_of(batch):
    return [int(at) for block in batch.blocks for at in block.at]


@pytest.fixture
def producer():
    return Producer()


@pytest.fixture
def handover(producer):
    return HandOver(producer, high=Mark(8, SPACIOUS), low=Mark(3, SPACIOUS))


def test_a_waiting_reader_gets_the_next_batch(handover):
    waiting = handover.next_batch()
    assert waits(waiting)
    handover.put(batch_of(1))
    assert ats_of(result_of(waiting)) == [1]


def test_what_gathered_is_taken_together_with_its_last_cursor(handover):
    handover.put(batch_of(1, cursor=Cursor(1)))
    handover.put(batch_of(2, cursor=Cursor(2)))
    taken = result_of(handover.next_batch())
    assert (ats_of(taken), taken.cursor, len(taken.blocks)) == ([1, 2], Cursor(2), 1)
    assert (handover.points, handover.nbytes) == (0, 0)


def test_the_producer_is_paused_at_the_high_mark_and_resumed_at_the_low_one(handover, producer):
    for at in range(7):
        handover.put(batch_of(at))
    assert producer.told == []
    handover.put(batch_of(7))
    handover.put(batch_of(8))
    assert (producer.told, handover.paused) == (["pause"], True)
    assert ats_of(result_of(handover.next_batch())) == [0, 1, 2]
    assert producer.told == ["pause"]
    result_of(handover.next_batch())
    assert producer.told == ["pause"]
    result_of(handover.next_batch())
    assert (producer.told, handover.paused) == (["pause", "resume"], False)


def test_bytes_reach_the_mark_too(producer):
    handover = HandOver(producer, high=Mark(1000, batch_of(1).nbytes * 2))
    handover.put(batch_of(1))
    assert producer.told == []
    handover.put(batch_of(2))
    assert producer.told == ["pause"]


def test_cursors_without_points_take_room_too(producer):
    handover = HandOver(producer, high=Mark(1000, 1000))
    for _ in range(5):
        handover.put(Batch(cursor=Cursor(1)))
    assert producer.told == ["pause"]


def test_a_producer_that_does_not_pause_is_refused(handover):
    for at in range(32):
        handover.put(batch_of(at))
    with pytest.raises(OutboxError, match="32 points"):
        handover.put(batch_of(32))
    taken = []
    while handover.points:
        taken.extend(ats_of(result_of(handover.next_batch())))
    assert taken == list(range(32))


def test_one_batch_larger_than_every_mark_passes(handover, producer):
    handover.put(batch_of(*range(100)))
    assert result_of(handover.next_batch()).points == 100
    assert producer.told == ["pause", "resume"]


def test_there_is_one_reader(handover):
    waiting = handover.next_batch()
    with pytest.raises(RuntimeError, match="one reader"):
        result_of(handover.next_batch())
    handover.put(batch_of(1))
    assert ats_of(result_of(waiting)) == [1]


def test_the_end_comes_after_everything_that_waits(handover):
    handover.put(batch_of(1))
    handover.finish(ConnectionLost("subscribe", "reset"))
    handover.finish(Closed("the flow"))
    handover.put(batch_of(2))
    assert ats_of(result_of(handover.next_batch())) == [1]
    for _ in range(2):
        with pytest.raises(ConnectionLost):
            result_of(handover.next_batch())


def test_the_end_reaches_a_waiting_reader(handover):
    waiting = handover.next_batch()
    handover.finish(Closed("the flow"))
    with pytest.raises(Closed):
        result_of(waiting)


def test_a_hand_over_works_without_a_producer():
    handover = HandOver(high=Mark(1, SPACIOUS))
    handover.put(batch_of(1))
    assert handover.paused
    assert ats_of(result_of(handover.next_batch())) == [1]
    assert not handover.paused


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.integers(1, 5)), st.tuples(st.sampled_from(["read", "cancel"]))
        ),
        max_size=50,
    )
)
def test_everything_put_is_taken_once_in_order(actions):
    """Beside a plain model: a producer that obeys, and one list."""
    producer = Producer()
    handover = HandOver(producer, high=Mark(8, SPACIOUS), low=Mark(3, SPACIOUS))
    put, taken, waiting = 0, [], None

    def collect():
        nonlocal waiting
        if waiting is not None and waiting.called:
            taken.extend(ats_of(result_of(waiting)))
            waiting = None

    for action, *arguments in actions:
        if action == "put" and not handover.paused:
            handover.put(batch_of(*range(put, put + arguments[0])))
            put += arguments[0]
        elif action == "read" and waiting is None:
            waiting = handover.next_batch()
        elif action == "cancel" and waiting is not None:
            waiting.cancel()
            waiting.addErrback(lambda failure: failure.trap(CancelledError))
            waiting = None
        collect()
        assert handover.points == put - len(taken)
        assert handover.points < 8 + 5
        assert producer.told == ["pause", "resume"] * (len(producer.told) // 2) + ["pause"] * handover.paused
    if waiting is not None:
        waiting.cancel()
        waiting.addErrback(lambda failure: failure.trap(CancelledError))
    while handover.points:
        waiting = handover.next_batch()
        collect()
    assert taken == list(range(put))
