"""The contract of live updates, and the one that works inside one process.

The hub publishes every write that changed something; whoever pushes to subscribers listens
to the feeds they asked for.  Updates of one feed reach a listener in the order in which they
were committed.  Nothing is kept: what a listener missed, it reads from the history.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from txbridge.hub.store import Written

__all__ = ["Listener", "Live", "LocalLive"]

Listener = Callable[[Written], None]


class Live(Protocol):
    """Who is told about writes."""

    def publish(self, written: Written) -> None:
        """Tell the listeners of a feed what was written."""

    def listen(self, feed_id: int, listener: Listener) -> Callable[[], None]:
        """Tell this listener about a feed from now on.

        Returns:
            What stops it; calling it again does nothing.
        """

    def watched(self, feed_id: int) -> bool:
        """Whether anybody listens to a feed; may be called from any thread."""


class LocalLive:
    """Live updates inside one process."""

    def __init__(self) -> None:
        self._listeners: dict[int, dict[int, Listener]] = {}
        self._next = 0

    def publish(self, written: Written) -> None:
        """Tell the listeners of a feed what was written."""
        for listener in list(self._listeners.get(written.feed_id, {}).values()):
            listener(written)

    def listen(self, feed_id: int, listener: Listener) -> Callable[[], None]:
        """Tell this listener about a feed from now on."""
        token = self._next
        self._next += 1
        self._listeners.setdefault(feed_id, {})[token] = listener

        def stop() -> None:
            listeners = self._listeners.get(feed_id, {})
            listeners.pop(token, None)
            if not listeners:
                self._listeners.pop(feed_id, None)

        return stop

    def watched(self, feed_id: int) -> bool:
        """Whether anybody listens to a feed."""
        return feed_id in self._listeners
