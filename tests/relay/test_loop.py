"""A loop runs until it is stopped, whatever its body does."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock

from tests.support.deferreds import fired, result_of, waits
from txbridge.errors import Closed, OutboxError
from txbridge.relay.link import Link
from txbridge.relay.loop import Loop, keep
from txbridge.relay.status import LinkState


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


FULL = OutboxError("the disk is full")


@pytest.fixture
def link(clock):
    return Link("the disk", clock=clock, random=lambda: 0.5)


def test_something_is_written_down_however_long_that_takes(make, clock, link):
    answers = [fail(FULL) for _ in range(50)] + [succeed(None)]
    loop = make(lambda: keep(loop, link, lambda: answers.pop(0)))
    loop.start()
    assert (link.state, link.last_error) == (LinkState.AWAY, "OutboxError: the disk is full")
    clock.pump([60] * 50)
    assert (answers, link.state) == ([], LinkState.WORKING)
    fired(loop.stop())


def test_it_is_given_up_when_the_loop_stops(make, clock, link):
    loop = make(lambda: keep(loop, link, lambda: fail(FULL)))
    loop.start()
    fired(loop.stop())
    assert clock.getDelayedCalls() == []
    with pytest.raises(OutboxError):
        result_of(Deferred.fromCoroutine(keep(loop, link, lambda: fail(FULL))))


def test_what_is_closed_is_not_tried_again(make, link):
    loop = make(lambda: Deferred())
    with pytest.raises(Closed):
        result_of(Deferred.fromCoroutine(keep(loop, link, lambda: fail(Closed("the outbox")))))
    assert link.state is LinkState.STARTING
