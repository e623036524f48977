"""Work that waits for its turn."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred

from tests.support.deferreds import result_of
from txbridge.errors import Crowded
from txbridge.hub.turns import MAX_WAITING, Turns


def test_one_piece_is_done_at_a_time_and_only_so_many_wait():
    begun = []

    def run(work):
        done = Deferred()
        begun.append((work, done))
        return done

    turns = Turns(run, "pieces wait")
    results = []
    for number in range(1 + MAX_WAITING):
        turns.take(lambda number=number: number).addCallback(results.append)
    with pytest.raises(Crowded, match="too many pieces wait"):
        turns.take(lambda: 0)
    for number in range(1 + MAX_WAITING):
        assert (len(begun), len(results)) == (number + 1, number)
        work, done = begun[-1]
        done.callback(work())
    assert results == list(range(1 + MAX_WAITING))


def test_who_goes_away_leaves_the_row_but_work_that_has_begun_keeps_its_turn():
    begun = []

    def run(work):
        begun.append(Deferred())
        return begun[-1].addCallback(lambda _: work())

    turns = Turns(run, "pieces wait")
    running, waiting, last = (turns.take(lambda number=number: number) for number in range(3))
    for gone in (waiting, running):
        gone.cancel()
        with pytest.raises(CancelledError):
            result_of(gone)
    assert len(begun) == 1
    begun[0].callback(None)
    assert len(begun) == 2
    begun[1].callback(None)
    assert result_of(last) == 2


def test_work_that_fails_gives_its_turn_away_too():
    turns = Turns(maybeDeferred, "pieces wait")
    with pytest.raises(ZeroDivisionError):
        result_of(turns.take(lambda: 1 // 0))
    assert result_of(turns.take(lambda: 1)) == 1
