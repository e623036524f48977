"""What the engine of every outbox does besides its contract: which caps make sense, who waits for whom."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from tests.contract.outbox import PLENTY, ats_of, batch_of
from tests.support.deferreds import fired, result_of, waits
from txbridge.relay.outbox import MemoryOutbox
from txbridge.relay.queue import Caps
from txbridge.relay.roles import OnFull


class SlowLedger:
    """A ledger that answers when the test lets it."""

    def __init__(self):
        self.asked = []

    def record(self, losses):
        done = Deferred()
        self.asked.append(([loss.gap.start_ns for loss in losses], done))
        return done


@pytest.fixture
def ledger():
    return SlowLedger()


def full_outbox(ledger, **options):
    outbox = MemoryOutbox(["a"], Clock(), **{"max_points": 2, "ledger": ledger, **options})
    for at in (1, 2):
        fired(outbox.append(batch_of(at)))
    return outbox


@pytest.mark.parametrize(
    "options",
    [{"max_bytes": 0}, {"max_bytes": 1, "max_points": 0}, {"max_bytes": 1, "max_age": 0.0}],
)
def test_caps_that_keep_nothing_are_refused(options):
    with pytest.raises(ValueError, match="keeps nothing"):
        Caps(**options)


def test_what_is_dropped_is_kept_until_the_ledger_has_it(ledger):
    outbox = full_outbox(ledger, on_full=OnFull.DROP_OLDEST)
    appended = outbox.append(batch_of(3))
    assert waits(appended)
    assert outbox.state().points == 2
    ((lost, told),) = ledger.asked
    assert lost == [1]
    told.callback(None)
    fired(appended)
    assert ats_of(result_of(outbox.peek("a", **PLENTY)).batch) == [2, 3]


def test_what_is_about_to_be_dropped_is_not_sent_any_more(ledger):
    outbox = MemoryOutbox(["a"], Clock(), max_points=1, on_full=OnFull.DROP_OLDEST, ledger=ledger)
    fired(outbox.append(batch_of(1)))
    outbox.append(batch_of(2))
    ((lost, told),) = ledger.asked
    assert lost == [1]
    waiting = outbox.peek("a", **PLENTY)
    assert waits(waiting)
    told.callback(None)
    pending = result_of(waiting)
    assert (ats_of(pending.batch), [gap.start_ns for gap in pending.batch.gaps]) == ([], [1])
    assert ats_of(result_of(outbox.peek("a", **PLENTY)).batch) == [2]


def test_appends_keep_their_order_while_room_is_made(ledger):
    outbox = full_outbox(ledger, on_full=OnFull.DROP_OLDEST)
    appends = [outbox.append(batch_of(at)) for at in (3, 4)]
    while any(map(waits, appends)):
        ledger.asked.pop()[1].callback(None)
    assert ats_of(result_of(outbox.peek("a", **PLENTY)).batch) == [3, 4]


def test_closing_waits_for_the_ledger_to_be_told(ledger):
    outbox = full_outbox(ledger)
    closing = outbox.close()
    assert waits(closing)
    ((lost, told),) = ledger.asked
    assert lost == [1, 2]
    told.callback(None)
    fired(closing)


def test_an_outbox_that_is_not_full_waits_for_nobody(ledger):
    outbox = MemoryOutbox(["a"], Clock(), ledger=ledger)
    fired(outbox.append(batch_of(1)))
    assert not outbox.state().blocked
    assert ledger.asked == []
