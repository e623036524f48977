"""The outbox on a disk keeps the contract, and what it accepted outlives it."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from tests.contract.outbox import ListLedger, OutboxContract, ats_of, batch_of
from tests.support.deferreds import fired, result_of
from tests.support.workers import StepWorker
from txbridge.model.samples import Batch, Cursor
from txbridge.relay.disk_outbox import DiskOutbox

MIB = 1 << 20


def open_disk(path, destinations, clock, **options):
    """Open an outbox without threads."""
    options = {"segment_bytes": 4096, "writer": StepWorker(), "reader": StepWorker(), **options}
    return result_of(DiskOutbox.open(path, destinations, clock, **options))


class TestDiskOutbox(OutboxContract):
    """The contract, in a real folder."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path_factory):
        self.folder = tmp_path_factory

    def keeps_nothing(self, outbox):
        return outbox.state().nbytes <= 4096  # the segment that is written to

    def make(self, destinations, clock, **options):
        return open_disk(self.folder.mktemp("outbox"), destinations, clock, **options)
