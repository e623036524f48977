"""A feed as one ordered stream: its history from some instant on, and then what happens.

`Updates` is an object with ``next_update()`` and ``close()``.  It holds a bounded number of
points; when the reader is slower than the feed, the rest stays in the server's history and is
read from there when there is room again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from attrs import frozen
from twisted.internet.defer import Deferred

from txbridge.cosm.listening import Flow, Listening, Missed, News
from txbridge.errors import BridgeError, Closed
from txbridge.model.structures import Datapoint, Datastream, Environment

__all__ = ["Missed", "Update", "Updates"]

HIGH = 10_000
"""Points that may wait for the reader."""

LOW = 5_000
"""With fewer than these waiting, more are taken again."""


@frozen
class Update:
    """New points of one datastream.

    Attributes:
        feed_id: The feed.
        datastream_id: The datastream.
        datapoints: Ascending.
    """

    feed_id: str
    datastream_id: str
    datapoints: tuple[Datapoint, ...]


class Updates(Flow):
    """History, then live, in one order and without repetition.  Made by ``PAWSClient.updates``.

    One reader at a time.
    """

    def __init__(self, feed_id: str) -> None:
        self._feed_id = feed_id
        self._listening: Listening | None = None
        self._stop: Callable[[], object] = lambda: None
        self._ready: deque[Update | Missed] = deque()
        self._points = 0
        self._paused = False
        self._waiting: Deferred[Update | Missed] | None = None
        self._error: BridgeError | None = None

    def attach(self, listening: Listening, stop: Callable[[], object]) -> None:
        """Called by the client: where this comes from, and what ends it."""
        self._listening = listening
        self._stop = stop

    def next_update(self) -> Deferred[Update | Missed]:
        """The next points, or what was missed; waits until there is something.

        Cancelling loses nothing: the next call gets it.

        Raises:
            Closed: `close` was called.
            RequestRejected: The server refuses the subscription.
            RuntimeError: Another call waits already.
        """
        if self._waiting is not None:
            raise RuntimeError("next_update() waits already: there is one reader at a time")
        waiting: Deferred[Update | Missed] = Deferred(self._nobody_waits)
        self._waiting = waiting
        self._hand_over()
        return waiting

    def ready(self) -> bool:
        """Whether `next_update` would fire at once."""
        return bool(self._ready)

    def close(self) -> None:
        """Stop; a call that waits fails with `Closed`."""
        self._stop()
        self._ready.clear()
        self.fail(Closed("the updates"))

    # -- called by the subscription

    def deliver(self, structure: Environment | Datastream, news: News) -> None:
        """Take an update."""
        for name, points in news.items():
            self._ready.append(Update(self._feed_id, name, tuple(points)))
            self._points += len(points)
        if self._points >= HIGH and not self._paused:
            self._paused = True
            if self._listening is not None:
                self._listening.pause()
        self._hand_over()

    def missed(self, gap: Missed) -> None:
        """Take what was missed."""
        self._ready.append(gap)
        self._hand_over()

    def fail(self, error: BridgeError) -> None:
        """The subscription has ended; what is ready is still handed out."""
        if self._error is None:
            self._error = error
            self._hand_over()

    # -- hand-over

    def _nobody_waits(self, _: object) -> None:
        self._waiting = None

    def _hand_over(self) -> None:
        waiting = self._waiting
        if waiting is None:
            return
        if self._ready:
            self._waiting = None
            update = self._ready.popleft()
            if isinstance(update, Update):
                self._points -= len(update.datapoints)
            if self._paused and self._points < LOW:
                self._paused = False
                if self._listening is not None:
                    self._listening.resume()
            waiting.callback(update)
        elif self._error is not None:
            self._waiting = None
            waiting.errback(self._error)
