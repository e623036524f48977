"""The one place that knows what ``reactor=None`` means, and which clocks there are.

Reactors and clocks are arguments everywhere, so that a test can give its own and so that importing
txbridge never chooses a reactor for the program.  Public constructors accept None for convenience
and resolve it here, at call time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from twisted.python.runtime import seconds as wall_seconds

__all__ = ["resolve_reactor", "steady_clock"]

# Since the machine was started, sleep included, where there is such a clock.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


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
    return (lambda: time.clock_gettime(_STEADY)) if own is wall_seconds else own
