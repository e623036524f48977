"""Work that waits for its turn."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred

from txbridge.errors import StoreError
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
    with pytest.raises(StoreError, match="too many pieces wait"):
        turns.take(lambda: 0)
    for number in range(1 + MAX_WAITING):
        assert (len(begun), len(results)) == (number + 1, number)
        work, done = begun[-1]
        done.callback(work())
    assert results == list(range(1 + MAX_WAITING))
