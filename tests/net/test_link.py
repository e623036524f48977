"""The timer that links share."""

from __future__ import annotations

from twisted.internet.task import Clock

from txbridge.net.link import Alarm


def make() -> tuple[Clock, Alarm, list[float]]:
    clock = Clock()
    rung: list[float] = []
    return clock, Alarm(clock, lambda: rung.append(clock.seconds())), rung


def test_an_alarm_rings_when_it_was_set_to():
    clock, alarm, rung = make()
    alarm.set(5)
    clock.advance(4)
    assert rung == []
    clock.advance(1)
    assert rung == [5]
    assert clock.getDelayedCalls() == []


def test_an_alarm_is_moved_earlier_and_never_later():
    clock, alarm, rung = make()
    alarm.set(5)
    alarm.set(9)
    alarm.set(None)
    alarm.set(3)
    assert len(clock.getDelayedCalls()) == 1
    clock.advance(3)
    assert rung == [3]


def test_an_alarm_for_the_past_rings_at_once():
    clock, alarm, rung = make()
    clock.advance(10)
    alarm.set(5)
    clock.advance(0)
    assert rung == [10]


def test_a_cancelled_alarm_does_not_ring_and_can_be_set_again():
    clock, alarm, rung = make()
    alarm.set(5)
    alarm.cancel()
    alarm.cancel()
    assert clock.getDelayedCalls() == []
    alarm.set(7)
    clock.advance(7)
    assert rung == [7]
