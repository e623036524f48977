"""What follows a write: whoever listens to the feed is told, and whoever delivers notices is woken.

Every set of rules that writes feeds shares one `Telling`, so that updates of a feed go out in the order of
its commits, whichever wire they came by.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from txbridge.hub.live import Live
from txbridge.hub.store import Store, Written

__all__ = ["Telling"]


class Telling:
    """Tells who wants to know of writes.

    Args:
        store: Its ``watched`` is made to ask ``live``.
        live: Is told of every write.

    Attributes:
        fired: Called when a write has made triggers fire.
        writes: How many were told of, since the start.
        points: How many points they recorded.
        firings: How often they made triggers fire.
    """

    _log = Logger()

    def __init__(self, store: Store, live: Live) -> None:
        self.fired: Callable[[], None] = lambda: None
        self.writes = self.points = self.firings = 0
        self._live = live
        store.watched = live.watched

    async def after(self, write: Deferred[Written]) -> Written:
        """Wait for a write and tell of it, before anything else can run.

        So updates go out in the order of the commits, which is the order the Deferreds fire in.
        """
        written = await write
        self.tell(written)
        return written

    def tell(self, written: Written) -> None:
        """Tell of a write that is durable."""
        self.writes += 1
        self.points += sum(map(len, written.recorded.values()))
        self.firings += written.fired
        try:
            if written.fired:
                self.fired()
            self._live.publish(written)
        except Exception:  # nothing is awaited; whatever a listener raises, the write is durable
            self._log.failure("telling of a write to feed {feed} failed", feed=written.feed_id)
