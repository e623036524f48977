"""A loop runs until it is stopped, whatever its body does."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from tests.support.deferreds import fired, result_of, waits
from txbridge.relay.loop import Loop


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def make(clock):
    return lambda body: Loop("the test", body, clock=clock, random=lambda: 0.5)


def test_a_body_may_come_to_its_end(make, clock):
    runs = []

    async def body():
        runs.append(1)

    loop = make(body)
    loop.start()
    fired(loop.stop())
    assert (runs, clock.getDelayedCalls()) == ([1], [])


def test_a_body_that_fails_is_logged_and_starts_over_with_growing_delays(make, clock, flushed_errors):
    runs = []

    async def body():
        runs.append(clock.seconds())
        raise ValueError("a bug")

    loop = make(body)
    loop.start()
    clock.pump([0.5, 1, 2])
    assert runs == [0, 0.5, 1.5, 3.5]
    assert len(flushed_errors(ValueError)) == 4
    fired(loop.stop())
    assert clock.getDelayedCalls() == []


def test_stopping_cancels_the_body_and_waits_for_its_end(make):
    ending = Deferred()

    async def body():
        try:
            await Deferred()
        finally:
            await ending

    loop = make(body)
    loop.start()
    stopped = loop.stop()
    assert loop.stopping
    assert waits(stopped)
    ending.callback(None)
    fired(stopped)


def test_cancelling_the_stop_cancels_the_end_of_the_body_too(make):
    async def body():
        try:
            await Deferred()
        finally:
            await Deferred()

    loop = make(body)
    loop.start()
    stopped = loop.stop()
    assert waits(stopped)
    stopped.cancel()
    fired(stopped)


def test_a_cancellation_that_nobody_asked_for_is_a_failure(make, clock, flushed_errors):
    inner = Deferred()

    async def body():
        await inner

    loop = make(body)
    loop.start()
    inner.cancel()
    assert len(flushed_errors(CancelledError)) == 1
    assert len(clock.getDelayedCalls()) == 1
    fired(loop.stop())


def test_a_body_that_stops_itself_does_not_wait_any_more(make, clock):
    stops = []

    async def body():
        await gate
        stops.append(loop.stop())
        await loop.wait(60)

    gate = Deferred()
    loop = make(body)
    loop.start()
    gate.callback(None)
    fired(stops[0])
    assert clock.getDelayedCalls() == []


def test_a_wait_ends_with_time_or_with_a_wake(make, clock):
    loop = make(None)
    loop.wake()
    first = loop.wait(5)
    clock.advance(5)
    fired(first)
    second = loop.wait(5)
    loop.wake()
    fired(second)
    third = loop.wait(5)
    third.cancel()
    with pytest.raises(CancelledError):
        result_of(third)
    assert clock.getDelayedCalls() == []
