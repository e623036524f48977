"""Heavy work in a thread, one piece at a time, and only so many that wait.

What anybody may ask for, such as checking a password, must not take the machine or its memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredSemaphore

from txbridge.errors import StoreError

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

        Raises:
            StoreError: Too much waits.
        """
        if len(self._turn.waiting) >= MAX_WAITING:
            raise StoreError(f"too many {self._what}")
        done: Deferred[T] = self._turn.run(self._run, work)
        return done
