"""A reactor for what has threads of its own and is waited for, one call after the other."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

__all__ = ["Turns"]

T = TypeVar("T")


class Turns(Clock):
    """The part of a reactor that a store or an outbox needs; calls from threads run while somebody waits."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: SimpleQueue[Callable[[], object]] = SimpleQueue()

    def callFromThread(self, function: Callable[..., object], *args: object, **kwargs: object) -> None:
        """Called in a thread."""
        self._calls.put(partial(function, *args, **kwargs))

    def wait(self, work: Deferred[T]) -> T:
        """Run calls until a Deferred fires."""
        results: list[T] = []
        failures: list[Failure] = []
        work.addCallbacks(results.append, failures.append)
        while not results and not failures:
            self._calls.get()()
        if failures:
            failures[0].raiseException()
        return results[0]
