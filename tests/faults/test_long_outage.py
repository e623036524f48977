"""A night without a network: what is left is exactly the newest that the outbox had room for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from twisted.internet.task import Clock

from tests.support.deferreds import fired, result_of
from tests.support.files import FaultyFiles
from tests.support.workers import StepWorker
from txbridge.model.samples import Batch, Cursor, SampleBlock
from txbridge.relay.disk_outbox import DiskOutbox
from txbridge.relay.ledger import MemoryLedger
from txbridge.relay.records import encode_batch
from txbridge.relay.roles import LossKind, OnFull

STREAMS = [f"sensor{number:02}" for number in range(50)]
RATE = 10  # points a second of each stream
OUTAGE_HOURS, ROOM_HOURS = 13, 9
MINUTE = 60
ROWS = RATE * MINUTE  # of each stream in a batch
STEP_NS = 1_000_000_000 // RATE
CAP = 1 << 28


def minute(number: int) -> Batch:
    """What all sensors gave in a minute."""
    rows = np.arange(number * ROWS, (number + 1) * ROWS)
    at = rows * STEP_NS
    return Batch(tuple(SampleBlock.scalar(name, at, rows) for name in STREAMS), cursor=Cursor(number))


@pytest.mark.parametrize("on_full", [OnFull.DROP_OLDEST])
def test_thirteen_hours_of_outage_with_room_for_nine(on_full):
    clock = Clock()
    ledger = MemoryLedger(now_ns=lambda: int(clock.seconds() * 1e9))
    room = ROOM_HOURS * 60 * len(encode_batch(minute(0)))
    outbox = result_of(
        DiskOutbox.open(
            Path("/outbox"),
            ["cloud"],
            clock,
            max_bytes=room,
            on_full=on_full,
            ledger=ledger.route("night"),
            files=FaultyFiles(),
            writer=StepWorker(),
            reader=StepWorker(),
        )
    )
    minutes = OUTAGE_HOURS * 60
    for number in range(minutes):
        fired(outbox.append(minute(number)))
        clock.advance(MINUTE)
        assert outbox.state().nbytes <= room

    survivors = {name: [] for name in STREAMS}
    most_seen = 0
    while outbox.state().destinations["cloud"].points:
        pending = result_of(outbox.peek("cloud", max_points=100_000, max_bytes=4 << 20))
        most_seen = max(most_seen, pending.batch.nbytes)
        for block in pending.batch.blocks:
            survivors[block.stream].append(block.at)
        fired(outbox.settle("cloud", pending))
    fired(outbox.close())
    assert most_seen < 16 << 20

    rows = result_of(ledger.read(limit=1_000_000))
    assert {row.kind for row in rows} == {LossKind.OVERFLOW.value}
    every = np.arange(minutes * ROWS) * STEP_NS
    kept_hours = set()
    for name in STREAMS:
        kept = np.concatenate(survivors[name])
        lost = sorted((row.start_ns, row.end_ns, row.points) for row in rows if row.stream == name)
        counted = sum(points for _, _, points in lost)
        assert counted + len(kept) == len(every)
        # Exactly the newest, each once; and the ledger names exactly the rest.
        np.testing.assert_array_equal(kept, every[counted:])
        missing = np.zeros(len(every), bool)
        for start, end, _ in lost:
            missing[np.searchsorted(every, start) : np.searchsorted(every, end, "right")] = True
        assert missing.sum() == counted
        assert missing[:counted].all()
        kept_hours.add(len(kept) / RATE / 3600)
    (hours,) = kept_hours
    assert ROOM_HOURS * 0.9 < hours <= ROOM_HOURS
