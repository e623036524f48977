"""What everything that carries live updates promises: subclass `LiveContract` and say how to make one."""

from __future__ import annotations

from abc import ABC, abstractmethod

import pytest

from txbridge.hub.live import Live
from txbridge.hub.store import Written

__all__ = ["LiveContract"]


class LiveContract(ABC):
    """The contract that `txbridge.hub.live` states."""

    @abstractmethod
    def make(self) -> Live:
        """Something that carries live updates."""

    @pytest.fixture
    def live(self):
        return self.make()

    def test_a_listener_is_told_about_its_feed_and_no_other(self, live):
        told: list[Written] = []
        live.listen(1, told.append)
        mine, other = Written(1, changed=("t",)), Written(2)
        live.publish(other)
        live.publish(mine)
        assert told == [mine]

    def test_updates_come_in_the_order_in_which_they_were_published(self, live):
        told: list[Written] = []
        live.listen(1, told.append)
        updates = [Written(1, changed=(str(number),)) for number in range(10)]
        for update in updates:
            live.publish(update)
        assert told == updates

    def test_the_same_listener_twice_is_told_twice(self, live):
        told: list[Written] = []
        stop = live.listen(1, told.append)
        live.listen(1, told.append)
        live.publish(Written(1))
        stop()
        live.publish(Written(1))
        assert len(told) == 3

    def test_who_stopped_is_told_nothing_more_and_may_stop_again(self, live):
        told: list[Written] = []
        others: list[Written] = []
        stop = live.listen(1, told.append)
        live.listen(1, others.append)
        stop()
        stop()
        live.publish(Written(1))
        assert (told, len(others)) == ([], 1)

    def test_a_listener_may_stop_while_it_is_told(self, live):
        told: list[Written] = []

        def once(written: Written) -> None:
            told.append(written)
            stop()

        stop = live.listen(1, once)
        live.listen(1, told.append)
        live.publish(Written(1))
        live.publish(Written(1))
        assert len(told) == 3

    def test_a_listener_that_starts_while_others_are_told_hears_the_next(self, live):
        told: list[Written] = []
        live.listen(1, lambda written: live.listen(1, told.append) and None)
        live.publish(Written(1, changed=("first",)))
        assert told == []
        live.publish(Written(1, changed=("second",)))
        assert [written.changed for written in told] == [("second",)]

    def test_a_feed_is_watched_as_long_as_somebody_listens(self, live):
        assert live.watched(1) is False
        stops = [live.listen(1, lambda written: None) for _ in range(2)]
        assert (live.watched(1), live.watched(2)) == (True, False)
        stops[0]()
        assert live.watched(1) is True
        stops[1]()
        assert live.watched(1) is False
