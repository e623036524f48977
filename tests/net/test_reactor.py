"""None means the installed reactor; anything else is kept."""

from __future__ import annotations

from twisted.internet.task import Clock

from txbridge.net.reactor import resolve_reactor


def test_what_the_caller_passes_is_kept() -> None:
    clock = Clock()
    assert resolve_reactor(clock) is clock


def test_none_is_the_installed_reactor() -> None:
    from twisted.internet import reactor

    assert resolve_reactor() is reactor
    assert resolve_reactor(None) is reactor
