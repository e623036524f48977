"""A worker without a thread, so that a test is one story."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed

from txbridge.errors import Closed

__all__ = ["LateWorker", "StepWorker"]

T = TypeVar("T")


class StepWorker:
    """Does work at once, or when `hold` is over."""

    def __init__(self) -> None:
        self.closed = False
        self._held: deque[Callable[[], None]] | None = None

    def run(self, work: Callable[[], T]) -> Deferred[T]:
        if self.closed:
            return fail(Closed("the thread of a test"))
        if self._held is None:
            return maybeDeferred(work)
        done: Deferred[T] = Deferred()
        self._held.append(lambda: maybeDeferred(work).chainDeferred(done))
        return done

    def close(self) -> Deferred[None]:
        self.release()
        self.closed = True
        return succeed(None)

    def hold(self) -> None:
        """From now on, work waits."""
        self._held = deque()

    def step(self) -> None:
        """Do the oldest piece of work that waits."""
        assert self._held
        self._held.popleft()()

    @property
    def waiting(self) -> int:
        """How many pieces of work wait."""
        return len(self._held or ())

    def release(self) -> None:
        """Do what waits, and from now on everything at once."""
        while self._held:
            self.step()
        self._held = None


class LateWorker(StepWorker):
    """Does work at once; while it is held, nobody learns of it."""

    def run(self, work: Callable[[], T]) -> Deferred[T]:
        if self._held is None:
            return super().run(work)
        result = maybeDeferred(work)
        done: Deferred[T] = Deferred()
        self._held.append(lambda: result.chainDeferred(done))
        return done
