"""What trial checks after each test and pytest does not: nothing is left behind.

pytest with pytest-twisted passes a test that lost a Deferred's error, left a timer running or left
a socket open.  The `guard` fixture, which `tests/conftest.py` puts around every test, fails it.

A Deferred reports an error that nobody handled when it is collected, so the guard collects garbage.
A full collection walks every object of every library we import and every report of the tests before,
which costs more than most tests; the guard therefore freezes what is there when a test begins, and a
collection then walks only what the test itself made.

A leftover gets a few turns of the reactor to finish first, as trial gives it: a closed connection's
other end learns of it one turn later.
"""

from __future__ import annotations

import gc
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.error import ConnectionDone
from twisted.internet.task import deferLater
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

__all__ = [
    "LoggedErrors",
    "flushed_errors",
    "guard",
    "pytest_collection_modifyitems",
]

GRACE_TURNS = 10  # a loopback close takes two; a WebSocket's or TLS's farewell takes a few more


@implementer(ILogObserver)
class LoggedErrors:
    """A log observer that keeps what was logged as an error."""

    def __init__(self) -> None:
        self._events: list[LogEvent] = []

    def __call__(self, event: LogEvent) -> None:
        """Called by the log publisher with every event."""
        if event.get("log_failure") is not None:
            self._events.append(event)

    def flush(self, *types: type[BaseException]) -> list[Failure]:
        """Claim the logged failures of these types, or all of them, so that they are no surprise.

        Returns:
            The failures, in the order in which they were logged.
        """
        gc.collect()
        claimed: list[Failure] = []
        kept: list[LogEvent] = []
        for event in self._events:
            failure = event.get("log_failure")
            if failure is not None and (not types or failure.check(*types)):
                claimed.append(failure)
            else:
                kept.append(event)
        self._events = kept
        return claimed

    def describe(self) -> list[str]:
        """Each error that nobody claimed, as text with its traceback."""
        gc.collect()
        texts = []
        for event in self._events:
            failure = event.get("log_failure")
            trace = "" if failure is None else "\n" + failure.getTraceback()
            texts.append(f"logged error: {formatEvent(event)}{trace}")
        return texts


class Leftovers:
    """The timers and sockets that the reactor has now and did not have when this was made."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        # Objects, not ids: an id is used again once its object is gone.
        self._known = [*self._timers(), *self._selectables()]

    def _timers(self) -> list[Any]:
        return list(self._reactor.getDelayedCalls())

    def _selectables(self) -> list[Any]:
        internal = self._reactor._internalReaders
        found = [*self._reactor.getReaders(), *self._reactor.getWriters()]
        return [one for one in dict.fromkeys(found) if one not in internal]

    def _is_new(self, one: Any) -> bool:
        return not any(one is known for known in self._known)

    def timers(self) -> list[Any]:
        """The delayed calls that were left."""
        return [one for one in self._timers() if self._is_new(one)]

    def selectables(self) -> list[Any]:
        """The listening ports, connections and pipes that were left."""
        return [one for one in self._selectables() if self._is_new(one)]

    def wait(self) -> None:
        """Give what is about to finish the turns it needs.

        There is always one: until then the reactor is still inside the call that ran the test, and
        that call holds on to the test's arguments and their Deferreds.
        """
        for _ in range(GRACE_TURNS):
            pytest_twisted.blockon(deferLater(self._reactor, 0))
            if not self.timers() and not self.selectables():
                return

    def remove(self) -> list[str]:
        """Take away what is left, so that it fails one test and not the next, and say what it was."""
        texts = []
        for selectable in self.selectables():
            texts.append(f"left open: {selectable!r}")
            self._reactor.removeReader(selectable)
            self._reactor.removeWriter(selectable)
            selectable.connectionLost(Failure(ConnectionDone("the test is over")))
        for timer in self.timers():
            texts.append(f"left running: {timer}")
            timer.cancel()
        return texts


@pytest.fixture(autouse=True)
def guard(request: pytest.FixtureRequest) -> Iterator[LoggedErrors]:
    """Fail the test that leaves an unhandled error, a timer or a socket behind."""
    from twisted.internet import reactor

    gc.freeze()
    leftovers = Leftovers(reactor)
    errors = LoggedErrors()
    globalLogPublisher.addObserver(errors)
    try:
        yield errors
        # What the other fixtures returned would keep its Deferreds alive past this check.
        request.node.funcargs.clear()
        leftovers.wait()
        problems = [*leftovers.remove(), *errors.describe()]
    finally:
        globalLogPublisher.removeObserver(errors)
    if problems:
        pytest.fail("the test left something behind\n" + "\n".join(problems), pytrace=False)


@pytest.fixture
def flushed_errors(guard: LoggedErrors) -> Callable[..., list[Failure]]:
    """Claim expected logged errors: ``assert len(flushed_errors(ValueError)) == 1``."""
    return guard.flush


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run every ``async def`` test; unmarked, pytest-twisted would pass it without awaiting it."""
    for item in items:
        test = getattr(item, "obj", None)
        inner = getattr(getattr(test, "hypothesis", None), "inner_test", test)
        if inner is not None and inspect.iscoroutinefunction(inner):
            pytest_twisted.ensureDeferred(getattr(inner, "__func__", inner))  # a method takes no marks
