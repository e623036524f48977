"""The one place that knows what ``reactor=None`` means.

Reactors and clocks are arguments everywhere, so that a test can give its own and so that importing
txbridge never chooses a reactor for the program.  Public constructors accept None for convenience
and resolve it here, at call time.
"""

from __future__ import annotations

from typing import Any

__all__ = ["resolve_reactor"]


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
