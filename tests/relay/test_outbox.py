"""The outbox in memory keeps the contract, and tells what it takes with it."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from tests.contract.outbox import OutboxContract, batch_of
from tests.support.deferreds import fired, result_of
from txbridge.model.samples import Batch, Cursor
from txbridge.relay.outbox import MemoryOutbox


class TestMemoryOutbox(OutboxContract):
    """The contract, for the outbox in memory."""

    def make(self, destinations, clock, **options):
        return MemoryOutbox(destinations, clock, **options)

    def test_what_is_left_at_the_end_is_told_as_lost(self, open_outbox, lost):
        outbox = open_outbox("a", "b")
        fired(outbox.append(batch_of(1, 2)))
        pending = result_of(outbox.peek("a", max_points=10, max_bytes=1 << 20))
        fired(outbox.settle("a", pending))
        fired(outbox.close())
        assert [(where, gap.start_ns, gap.end_ns, gap.points) for where, gap in lost] == [("b", 1, 2, 2)]

    def test_the_settled_cursor_is_behind_what_any_destination_lacks(self, open_outbox):
        outbox = open_outbox("a", "b", cursor=Cursor(0))
        assert (outbox.cursor, outbox.settled_cursor) == (Cursor(0), Cursor(0))
        seen = []
        for number in (1, 2):
            fired(outbox.append(batch_of(number, cursor=number)))
        fired(outbox.append(Batch(cursor=Cursor(3))))
        for name in ("a", "b"):
            for _ in range(2):
                pending = result_of(outbox.peek(name, max_points=1, max_bytes=1 << 20))
                fired(outbox.settle(name, pending))
                seen.append(outbox.settled_cursor)
        assert seen == [Cursor(0), Cursor(0), Cursor(1), Cursor(3)]

    def test_cursors_that_nobody_asks_for_do_not_gather(self, open_outbox):
        outbox = open_outbox("a")
        fired(outbox.append(batch_of(0)))
        for number in range(100):
            fired(outbox.append(Batch(cursor=Cursor(number))))
        assert len(outbox._cursors) == 1
        for number in range(100):
            fired(outbox.append(batch_of(number, cursor=number)))
            fired(outbox.settle("a", result_of(outbox.peek("a", max_points=1000, max_bytes=1 << 20))))
        assert len(outbox._cursors) == 1


@pytest.mark.parametrize(
    ("destinations", "options"),
    [((), {}), (("a", "a"), {}), (("a",), {"max_points": 0}), (("a",), {"max_bytes": 0})],
)
def test_an_outbox_that_can_serve_nobody_or_keep_nothing_is_refused(destinations, options):
    with pytest.raises(ValueError, match="outbox"):
        MemoryOutbox(destinations, Clock(), **options)
