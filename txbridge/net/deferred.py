"""The one decorator that turns a coroutine function into one that returns a Deferred."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from twisted.internet.defer import Deferred

__all__ = ["deferred"]

P = ParamSpec("P")
T = TypeVar("T")


def deferred(function: Callable[P, Coroutine[Deferred[Any], Any, T]]) -> Callable[P, Deferred[T]]:
    """Make an ``async def`` start at once and return its Deferred.

    A bare coroutine does nothing until somebody awaits it, and cannot be cancelled or given
    callbacks.  What this returns is running, and cancelling it cancels what it waits for.
    """

    @wraps(function)
    def start(*args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        return Deferred.fromCoroutine(function(*args, **kwargs))

    return start
