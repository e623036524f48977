"""The bounded hand-over from a producer that pushes to one reader that pulls.

A subscription whose platform pushes (a socket, a timer) puts batches here as they come, and the
route takes them with `HandOver.next_batch`.  What has gathered while the reader was busy is taken
together, so a slow outbox makes the batches larger instead of the queue longer.

Rows and bytes are counted.  At the high mark the producer is told to pause, and at the low mark to
resume; for a TCP transport that is what makes the peer wait.  A producer that goes on pushing all
the same is refused at four times the high mark, because memory is not a buffer without a size: its
owner then ends the flow and reads again from the last settled cursor.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from attrs import frozen
from twisted.internet.defer import Deferred, fail, succeed

from txbridge.errors import BridgeError, OutboxError
from txbridge.model.samples import Batch

__all__ = ["HandOver", "Mark", "Pausable"]

_BATCH_BYTES = 200  # what a batch is counted as besides its `nbytes`; a cursor alone takes room too
CEILING = 4  # times the high mark: what was already on its way when the producer was paused


class Pausable(Protocol):
    """A producer that can be told to wait; Twisted's transports are such producers."""

    def pauseProducing(self) -> None:
        """Give nothing more for now."""

    def resumeProducing(self) -> None:
        """Go on."""


@frozen
class Mark:
    """An amount of data; it is reached when either number is.

    Attributes:
        points: Rows.
        nbytes: `Batch.nbytes`.
    """

    points: int
    nbytes: int

    def reached(self, points: int, nbytes: int) -> bool:
        """Whether this much is at or above the mark."""
        return points >= self.points or nbytes >= self.nbytes


HIGH = Mark(20_000, 8 << 20)


class HandOver:
    """A queue between one pushing producer and one pulling reader.

    Args:
        producer: Who is paused and resumed; None for one that cannot be.
        high: Where the producer is paused.
        low: Where it is resumed; None is a quarter of the high mark.
    """

    def __init__(
        self, producer: Pausable | None = None, *, high: Mark = HIGH, low: Mark | None = None
    ) -> None:
        self._producer = producer
        self._high = high
        self._low = low if low is not None else Mark(high.points // 4, high.nbytes // 4)
        self._ceiling = Mark(high.points * CEILING, high.nbytes * CEILING)
        self._waiting: deque[Batch] = deque()
        self._points = 0
        self._nbytes = 0
        self._paused = False
        self._reader: Deferred[Batch] | None = None
        self._end: BridgeError | None = None

    @property
    def points(self) -> int:
        """How many rows wait to be taken."""
        return self._points

    @property
    def nbytes(self) -> int:
        """Roughly the memory that everything takes that waits."""
        return self._nbytes

    @property
    def paused(self) -> bool:
        """Whether the producer was told to pause."""
        return self._paused

    def put(self, batch: Batch) -> None:
        """Called by the producer's side with what came.  After `finish` it is ignored.

        Raises:
            OutboxError: The producer did not pause, and there is no more room.
        """
        if self._end is not None:
            return
        if self._waiting and self._ceiling.reached(self._points, self._nbytes):
            raise OutboxError(f"{self._points} points wait already, and their producer does not pause")
        self._waiting.append(batch)
        self._points += batch.points
        self._nbytes += batch.nbytes + _BATCH_BYTES
        if self._reader is not None:
            reader, self._reader = self._reader, None
            reader.callback(self._take())
        elif not self._paused and self._high.reached(self._points, self._nbytes):
            self._paused = True
            if self._producer is not None:
                self._producer.pauseProducing()

    def finish(self, reason: BridgeError) -> None:
        """Called when nothing more will come; only the first reason counts.

        Args:
            reason: What the reader gets after it took all that waits: `Closed` for an orderly
                end, otherwise what broke.
        """
        if self._end is not None:
            return
        self._end = reason
        if self._reader is not None:
            reader, self._reader = self._reader, None
            reader.errback(reason)

    def next_batch(self) -> Deferred[Batch]:
        """Take what waits, or wait for it.  Cancelling loses nothing.

        Several batches that wait are taken as one, up to about the low mark.

        Raises:
            BridgeError: The reason given to `finish`, once everything was taken.
            RuntimeError: The call before this one has not fired: there is one reader.
        """
        if self._reader is not None:
            return fail(RuntimeError("a hand-over has one reader, and it is waiting already"))
        if self._waiting:
            return succeed(self._take())
        if self._end is not None:
            return fail(self._end)
        self._reader = Deferred(self._forget_reader)
        return self._reader

    def _forget_reader(self, _: Deferred[Batch]) -> None:
        self._reader = None

    def _take(self) -> Batch:
        taken: list[Batch] = []
        points = nbytes = 0
        while self._waiting and not (taken and self._low.reached(points, nbytes)):
            batch = self._waiting.popleft()
            taken.append(batch)
            points += batch.points
            nbytes += batch.nbytes + _BATCH_BYTES
        self._points -= points
        self._nbytes -= nbytes
        if self._paused and (not self._waiting or not self._low.reached(self._points, self._nbytes)):
            self._paused = False
            if self._producer is not None:
                self._producer.resumeProducing()
        return Batch.merge(taken)
