"""Live updates inside one process keep the contract."""

from __future__ import annotations

from tests.contract.live import LiveContract
from txbridge.hub.live import LocalLive


class TestLocalLive(LiveContract):
    """The contract, inside one process."""

    def make(self):
        return LocalLive()

    def test_who_is_gone_leaves_nothing_behind(self):
        live = LocalLive()
        for feed_id in range(3):
            live.listen(feed_id, lambda written: None)()
        assert live._listeners == {}
