"""None means the installed reactor; anything else is kept."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from twisted.internet.base import ReactorBase
from twisted.internet.task import Clock

from txbridge.net.reactor import make_steady, resolve_reactor, steady_clock, utc_now, wall_clock


class TimersAlone(ReactorBase):
    """A reactor of Twisted's own without anything but timers."""

    def installWaker(self) -> None:  # noqa: N802 - Twisted
        """There is nobody to wake."""


@pytest.fixture
def reactor() -> ReactorBase:
    return TimersAlone()


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


def test_a_reactors_own_timers_heed_the_clock_on_the_wall(reactor) -> None:
    call = reactor.callLater(10, int)
    assert abs(call.getTime() - 10 - time.time()) < 5


def test_the_timers_of_a_reactor_that_was_made_steady_do_not_heed_the_clock_on_the_wall(reactor) -> None:
    assert make_steady(reactor) is reactor
    steady = steady_clock(reactor)
    call = reactor.callLater(10, int)
    assert abs(call.getTime() - 10 - steady()) < 5
    assert abs(call.getTime() - time.time()) > 1_000_000
    assert 5 < (reactor.timeout() or 0) <= 10
    call.reset(20)
    assert abs(call.getTime() - 20 - steady()) < 5
    make_steady(reactor)
    assert steady_clock(reactor)() - steady() < 5


@pytest.mark.parametrize("is_steady", [False, True])
def test_the_time_of_day_can_be_asked_of_every_reactor(reactor, is_steady) -> None:
    if is_steady:
        make_steady(reactor)
    assert abs(wall_clock(reactor)() - time.time()) < 5
    assert abs(utc_now(reactor) - datetime.now(UTC)) < timedelta(seconds=5)


def test_a_fake_reactor_is_its_own_clock_on_the_wall() -> None:
    clock = make_steady(Clock())
    clock.advance(3)
    assert wall_clock(clock)() == clock.seconds() == 3
    assert utc_now(clock) == datetime(1970, 1, 1, 0, 0, 3, tzinfo=UTC)
