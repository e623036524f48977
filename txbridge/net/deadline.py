"""Deadlines: a Deferred that fires in time, whatever the one behind it does.

``Deferred.addTimeout`` turns only a CancelledError into its timeout, and what Twisted's HTTP client
raises when it is cancelled is none.  It also waits for ever on a coroutine that swallows its
cancellation.  `with_deadline` puts a second Deferred in front instead: that one fires on time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from txbridge.errors import TimedOut

__all__ = ["with_deadline"]

T = TypeVar("T")


def with_deadline(
    clock: IReactorTime,
    deferred: Deferred[T],
    seconds: float,
    *,
    operation: str,
    phase: str | Callable[[], str] = "answer",
) -> Deferred[T]:
    """Cancel a Deferred that is late, and say so.

    Cancelling what this returns cancels ``deferred`` and fails with ``CancelledError``, whatever
    class of error the cancellation caused further down.  A result that ``deferred`` still gives
    while it is being cancelled is passed on: nothing that arrived is thrown away.

    Args:
        clock: Where the timer runs; none is left over once the Deferred has fired.
        deferred: What is waited for; it belongs to this function from now on.
        seconds: How long it may take from now.
        operation: What is being done, for the error.
        phase: What exactly is waited for: a word, or a callable that is asked when time is up.

    Raises:
        TimedOut: ``deferred`` had no result after ``seconds``.
    """
    given_up = False
    expired: TimedOut | None = None

    def give_up(_: Deferred[T]) -> None:
        nonlocal given_up
        given_up = True
        if timer.active():
            timer.cancel()
        deferred.cancel()

    answer: Deferred[T] = Deferred(give_up)

    def expire() -> None:
        nonlocal expired
        expired = TimedOut(operation, phase if isinstance(phase, str) else phase(), seconds)
        give_up(answer)
        if not answer.called:
            answer.errback(Failure(expired))

    def succeeded(value: T) -> None:
        if timer.active():
            timer.cancel()
        if not answer.called:
            answer.callback(value)

    def failed(failure: Failure) -> None:
        if timer.active():
            timer.cancel()
        if expired is not None:
            expired.__cause__ = failure.value
        elif not given_up:
            answer.errback(failure)

    timer = clock.callLater(max(0.0, seconds), expire)
    deferred.addCallbacks(succeeded, failed)
    return answer
