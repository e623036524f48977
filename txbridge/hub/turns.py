"""Heavy work in a thread, one piece at a time, and only so many that wait.

What anybody may ask for, such as checking a password, must not take the machine or its memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredSemaphore, maybeDeferred
from twisted.python.failure import Failure

from txbridge.errors import Crowded

__all__ = ["Turns"]

T = TypeVar("T")

MAX_WAITING = 50  # a few seconds of work


class Turns:
    """Gives work its turn.

    Args:
        run: Runs a function in a thread.
        what: The work in words, for whoever is turned away.
    """

    def __init__(self, run: Callable[[Callable[[], Any]], Deferred[Any]], what: str) -> None:
        self._run = run
        self._what = what
        self._turn = DeferredSemaphore(1)

    def take(self, work: Callable[[], T]) -> Deferred[T]:
        """Do some work when it is its turn.

        Cancelling takes work that waits out of the row.  Work that has begun cannot be stopped, and keeps its
        turn until it is done, whoever has gone meanwhile.

        Raises:
            Crowded: Too much waits.
        """
        if len(self._turn.waiting) >= MAX_WAITING:
            raise Crowded(f"too many {self._what}")
        turn: Deferred[DeferredSemaphore] = self._turn.acquire()
        result: Deferred[T] = Deferred(lambda _: turn.cancel())

        def begin(_: DeferredSemaphore) -> None:
            maybeDeferred(self._run, work).addBoth(end)

        def end(outcome: T | Failure) -> None:
            self._turn.release()
            if not result.called:
                result.callback(outcome)

        turn.addCallbacks(begin, result.errback)
        return result
