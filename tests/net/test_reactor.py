"""None means the installed reactor; anything else is kept."""

from __future__ import annotations

from twisted.internet.task import Clock

from txbridge.net.reactor import resolve_reactor, steady_clock


def test_what_the_caller_passes_is_kept() -> None:
    clock = Clock()
    assert resolve_reactor(clock) is clock


def test_none_is_the_installed_reactor() -> None:
    from twisted.internet import reactor

    assert resolve_reactor() is reactor
    assert resolve_reactor(None) is reactor


def test_a_fake_reactor_is_its_own_steady_clock() -> None:
    clock = Clock()
    steady = steady_clock(clock)
    clock.advance(3)
    assert steady() == 3


def test_the_steady_clock_of_a_real_reactor_counts_since_the_machine_was_started() -> None:
    from twisted.internet import reactor

    steady = steady_clock(reactor)
    before = steady()
    assert before <= steady() < before + 60
    with open("/proc/uptime") as file:
        assert abs(float(file.read().split()[0]) - steady()) < 60
