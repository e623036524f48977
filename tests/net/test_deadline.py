"""A Deferred behind a deadline fires in time, and leaves no timer."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from txbridge.errors import TimedOut
from txbridge.net.deadline import with_deadline
from txbridge.net.deferred import deferred


def outcome(waiting: Deferred[Any]) -> list[Any]:
    """What a Deferred fires with, value or exception, in a list that fills."""
    seen: list[Any] = []
    waiting.addCallbacks(seen.append, lambda failure: seen.append(failure.value))
    return seen


def test_a_result_in_time_is_passed_on_and_no_timer_is_left() -> None:
    clock, inner = Clock(), Deferred[int]()
    seen = outcome(with_deadline(clock, inner, 5, operation="read_feed"))
    inner.callback(0)
    assert (seen, clock.getDelayedCalls()) == ([0], [])


def test_a_result_that_is_there_already_leaves_no_timer() -> None:
    clock = Clock()
    assert outcome(with_deadline(clock, succeed("x"), 5, operation="read_feed")) == ["x"]
    assert clock.getDelayedCalls() == []


def test_an_error_in_time_is_passed_on_and_no_timer_is_left() -> None:
    clock, inner = Clock(), Deferred[int]()
    seen = outcome(with_deadline(clock, inner, 5, operation="read_feed"))
    inner.errback(Failure(ValueError("no")))
    assert isinstance(seen[0], ValueError)
    assert clock.getDelayedCalls() == []


def test_a_late_one_is_cancelled_and_named() -> None:
    cancelled: list[Any] = []
    clock, inner = Clock(), Deferred[int](cancelled.append)
    seen = outcome(with_deadline(clock, inner, 5, operation="read_feed", phase="body"))
    clock.advance(4.9)
    assert seen == []
    clock.advance(0.1)
    [error] = seen
    assert isinstance(error, TimedOut)
    assert (error.operation, error.phase, error.seconds) == ("read_feed", "body", 5)
    assert cancelled == [inner]
    assert clock.getDelayedCalls() == []


def test_the_phase_is_asked_when_time_is_up() -> None:
    clock, inner, phase = Clock(), Deferred[int](), ["connect"]
    seen = outcome(with_deadline(clock, inner, 5, operation="x", phase=lambda: phase[0]))
    phase[0] = "answer"
    clock.advance(5)
    assert seen[0].phase == "answer"


def test_a_late_one_that_fails_with_its_own_error_is_still_late() -> None:
    """Twisted's HTTP client answers a cancellation with ResponseNeverReceived."""
    clock = Clock()
    inner: Deferred[int] = Deferred(lambda it: it.errback(Failure(RuntimeError("never received"))))
    seen = outcome(with_deadline(clock, inner, 5, operation="x"))
    clock.advance(5)
    assert isinstance(seen[0], TimedOut)
    assert isinstance(seen[0].__cause__, RuntimeError)


def test_a_cancellation_by_the_caller_looks_like_one() -> None:
    clock = Clock()
    inner: Deferred[int] = Deferred(lambda it: it.errback(Failure(RuntimeError("never received"))))
    waiting = with_deadline(clock, inner, 5, operation="x")
    seen = outcome(waiting)
    waiting.cancel()
    assert isinstance(seen[0], CancelledError)
    assert clock.getDelayedCalls() == []


def test_a_value_given_while_cancelled_is_not_thrown_away() -> None:
    clock = Clock()
    inner: Deferred[str] = Deferred(lambda it: it.callback("kept"))
    seen = outcome(with_deadline(clock, inner, 5, operation="x"))
    clock.advance(5)
    assert seen == ["kept"]


@pytest.mark.parametrize("by_caller", [True, False])
def test_work_that_swallows_its_cancellation_does_not_hold_anybody_up(by_caller: bool) -> None:
    clock, more = Clock(), Deferred[None]()

    @deferred
    async def stubborn() -> str:
        try:
            await Deferred()
        except CancelledError:
            await more
        return "too late"

    waiting = with_deadline(clock, stubborn(), 5, operation="x")
    seen = outcome(waiting)
    if by_caller:
        waiting.cancel()
    else:
        clock.advance(5)
    assert isinstance(seen[0], CancelledError if by_caller else TimedOut)
    more.callback(None)
    assert len(seen) == 1
