"""Look at a Deferred that must have fired, or must not have."""

from __future__ import annotations

from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

__all__ = ["fired", "result_of", "waits"]

T = TypeVar("T")


def result_of(deferred: Deferred[T]) -> T:
    """The result of a Deferred that has fired; raises its error."""
    results: list[T | Failure] = []
    deferred.addBoth(results.append)
    assert results, "the Deferred has not fired"
    (result,) = results
    if isinstance(result, Failure):
        result.raiseException()
    return result  # type: ignore[return-value]  # raiseException does not return


def fired(deferred: Deferred[None]) -> None:
    """Check that a Deferred without a result has fired without an error."""
    assert result_of(deferred) is None


def waits(deferred: Deferred[T]) -> bool:
    """Whether a Deferred has not fired."""
    return not deferred.called
