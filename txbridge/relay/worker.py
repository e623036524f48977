"""A thread for the disk: what it is given is done one after another, and the reactor never waits for it.

Giving up a Deferred gives up waiting, not the work: what was accepted is carried out.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

from txbridge.errors import Closed

__all__ = ["Worker", "WorkerThread"]

T = TypeVar("T")


class Worker(Protocol):
    """Does work in order; a test's does it at once."""

    def run(self, work: Callable[[], T]) -> Deferred[T]:
        """Do some work when all that was given before is done; fires with what it gives or raises.

        Raises:
            Closed: `close` was called.
        """

    def close(self) -> Deferred[None]:
        """Do what was accepted, then end; fires when it is done.  Never fails."""


class WorkerThread:
    """One thread.

    Args:
        reactor: Where results are delivered.
        name: What the thread is called, such as ``"ledger"``.
    """

    def __init__(self, reactor: IReactorFromThreads, name: str) -> None:
        self._reactor = reactor
        self._name = name
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._ended: Deferred[None] = Deferred()
        self._closing = False
        # A daemon: a program that forgets to close must still be able to end.
        Thread(target=self._work, name=f"txbridge-{name}", daemon=True).start()

    def run(self, work: Callable[[], T]) -> Deferred[T]:
        """Do some work when all that was given before is done."""
        if self._closing:
            return fail(Closed(f"the thread of the {self._name}"))
        done: Deferred[T] = Deferred()

        def job() -> None:
            try:
                result = work()
            except BaseException:  # whatever it is belongs to the one who asked
                self._reactor.callFromThread(done.errback, Failure())
            else:
                self._reactor.callFromThread(done.callback, result)

        self._jobs.put(job)
        return done

    def close(self) -> Deferred[None]:
        """Do what was accepted, then end."""
        if not self._closing:
            self._closing = True
            self._jobs.put(None)
        if self._ended.called:
            return succeed(None)
        done: Deferred[None] = Deferred()
        self._ended.addCallback(lambda _: None if done.called else done.callback(None))
        return done

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
        self._reactor.callFromThread(self._ended.callback, None)
