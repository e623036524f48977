"""The one place that knows what ``reactor=None`` means, and which clocks there are.

Reactors and clocks are arguments everywhere, so that a test can give its own and so that importing
txbridge never chooses a reactor for the program.  Public constructors accept None for convenience
and resolve it here, at call time.

A reactor's ``seconds()`` is for durations.  Twisted's own counts by the machine's clock, which may be set
while a program runs; a program that is to run for years makes it steady, see `make_steady`.  So whoever wants
the time of day asks `wall_clock` or `utc_now`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from twisted.python.runtime import seconds as wall_seconds

__all__ = ["make_steady", "resolve_reactor", "steady_clock", "utc_now", "wall_clock"]

# Since the machine was started, sleep included, where there is such a clock.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def _steady_seconds() -> float:
    return time.clock_gettime(_STEADY)


def resolve_reactor(reactor: Any = None) -> Any:
    """Give back what the caller passed, or the global reactor for None.

    Args:
        reactor: What provides ``IReactorTime``, ``IReactorTCP`` and ``IReactorPluggableNameResolver``
            (the real reactor and `txbridge.net.memory.MemoryNetwork.reactor` do), or None.
    """
    if reactor is not None:
        return reactor
    from twisted.internet import reactor as installed

    return installed


def steady_clock(reactor: Any) -> Callable[[], float]:
    """A clock that counts seconds and that nobody sets, unlike the reactor's, which is the machine's own.

    Args:
        reactor: A fake one has a clock of its own, which nobody sets either: it is given back.
    """
    own: Callable[[], float] = reactor.seconds
    return _steady_seconds if own is wall_seconds else own


def make_steady(reactor: Any) -> Any:
    """Let a reactor's timers count by the clock that nobody sets; for a program to call before there are any.

    Otherwise no timer rings for an hour when the machine's clock is set back by one.

    Returns:
        The reactor; one that is fake, or has a clock of its own, as it was.
    """
    if reactor.seconds is wall_seconds:
        reactor.seconds = _steady_seconds
    return reactor


def wall_clock(reactor: Any) -> Callable[[], float]:
    """The clock on the wall: seconds since 1970, which may jump.

    Args:
        reactor: A fake one has a clock of its own: it is given back.
    """
    own: Callable[[], float] = reactor.seconds
    return wall_seconds if own is _steady_seconds else own


def utc_now(reactor: Any) -> datetime:
    """The time of day."""
    return datetime.fromtimestamp(wall_clock(reactor)(), UTC)
