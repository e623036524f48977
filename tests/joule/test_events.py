"""Events page by page, at a stand-in for a node's rules that can be checked against the whole list."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail, succeed

from tests.support.deferreds import result_of, waits
from txbridge.errors import ConnectionLost, RemoteProtocolError
from txbridge.joule.events import MAX_PAGE, EventWalk
from txbridge.joule.structures import Event


class Node:
    """Answers pages as a node does.

    Attributes:
        asked: Each question.
    """

    def __init__(self, events: list[Event]) -> None:
        self.events = sorted(events, key=lambda event: event.start_time)
        self.asked: list[tuple[int, int, bool]] = []

    def page(self, start: int, limit: int, with_ongoing: bool) -> Deferred[list[Event]]:
        self.asked.append((start, limit, with_ongoing))
        found = [one for one in self.events if self.has(one, start, with_ongoing)]
        return succeed(found[:limit])

    @staticmethod
    def has(event: Event, start: int, with_ongoing: bool) -> bool:
        return event.start_time >= start or (with_ongoing and (event.end_time or 0) >= start)


def walk(node: Node, start: int | None, with_ongoing: bool = False, page: int = 3) -> list[list[Event]]:
    walk = EventWalk(node.page, lambda: succeed(None if start is None else (start, page)), with_ongoing)
    pages = []
    while found := result_of(walk.next_events()):
        pages.append(found)
    assert result_of(walk.next_events()) == []
    return pages


class OldNode(Node):
    """Answers as nodes before 0.9.50 do."""

    @staticmethod
    def has(event: Event, start: int, with_ongoing: bool) -> bool:
        return event.end_time is not None and event.end_time >= start


# Of an even microsecond each: one microsecond may be an error of the node's.
spans = st.lists(st.tuples(st.integers(0, 12), st.integers(1, 8)), max_size=60)


@given(
    kind=st.sampled_from([Node, OldNode]),
    spans=spans,
    start=st.integers(-1, 14),
    with_ongoing=st.booleans(),
    page=st.integers(1, 20),
)
def test_each_event_is_read_once_and_in_order(
    kind: type[Node], spans: list[tuple[int, int]], start: int, with_ongoing: bool, page: int
) -> None:
    start *= 2
    events = [Event(2 * at, 2 * (at + length), id=number) for number, (at, length) in enumerate(spans)]
    node = kind(events)
    read = [event for found in walk(node, start, with_ongoing, page) for event in found]
    wanted = [event for event in node.events if Node.has(event, start, with_ongoing)]
    assert sorted(event.id or 0 for event in read) == sorted(event.id or 0 for event in wanted)
    assert [event.start_time for event in read] == [event.start_time for event in wanted]
    assert len(node.asked) <= 2 * len(events) + 20


def test_a_stream_without_events_is_asked_for_none() -> None:
    node = Node([])
    assert walk(node, None) == []
    assert node.asked == []


def test_a_page_of_one_instant_makes_the_next_one_larger() -> None:
    node = Node([Event(5, 6, id=number) for number in range(7)])
    assert [len(page) for page in walk(node, 0)] == [3, 3, 1]
    assert node.asked == [(0, 3, False), (5, 3, False), (5, 6, False), (5, 12, False)]


def test_a_node_that_shows_a_time_a_microsecond_early_is_understood() -> None:
    class Early(Node):
        def page(self, start: int, limit: int, with_ongoing: bool) -> Deferred[list[Event]]:
            self.asked.append((start, limit, with_ongoing))
            found = [one for one in self.events if one.start_time >= start][:limit]
            return succeed([Event(one.start_time - 1, one.end_time, id=one.id) for one in found])

    node = Early([Event(10 + number // 4, 99, id=number) for number in range(20)])
    read = [event.id for page in walk(node, 10, page=4) for event in page]
    assert read == list(range(20))


@pytest.mark.parametrize("page", [[Event(5, 6, id=1), Event(4, 6, id=2)]])
def test_events_out_of_order_are_no_answer(page: list[Event]) -> None:
    with pytest.raises(RemoteProtocolError, match="not in the order"):
        result_of(EventWalk(lambda *_: succeed(page), lambda: succeed((0, 9)), False).next_events())


def test_a_node_that_always_gives_the_same_does_not_hold_a_walk_for_ever() -> None:
    same = [Event(5, 6, id=1)]
    walk = EventWalk(
        lambda start, limit, _: succeed(same * limit), lambda: succeed((0, MAX_PAGE // 8)), False
    )
    assert len(result_of(walk.next_events())) == MAX_PAGE // 8
    with pytest.raises(RemoteProtocolError, match="start in one microsecond"):
        result_of(walk.next_events())


def test_a_call_that_failed_asks_the_same_again() -> None:
    node = Node([Event(number, 99, id=number) for number in range(5)])
    answers = [fail(ConnectionLost("event_stream_read", "gone")), None]

    def page(start: int, limit: int, with_ongoing: bool) -> Deferred[list[Event]]:
        return (answers.pop(0) if answers else None) or node.page(start, limit, with_ongoing)

    walk = EventWalk(page, lambda: succeed((0, 3)), False)
    with pytest.raises(ConnectionLost):
        result_of(walk.next_events())
    assert [event.id for event in result_of(walk.next_events())] == [0, 1, 2]
    assert [event.id for event in result_of(walk.next_events())] == [3, 4]


def test_a_second_call_waits_for_the_first_and_a_cancelled_one_loses_nothing() -> None:
    node = Node([Event(number, 99, id=number) for number in range(5)])
    held: list[Deferred[list[Event]]] = []

    def page(start: int, limit: int, with_ongoing: bool) -> Deferred[list[Event]]:
        held.append(Deferred())
        return held[-1]

    walk = EventWalk(page, lambda: succeed((0, 3)), False)
    first, second = walk.next_events(), walk.next_events()
    assert (waits(first), waits(second), len(held)) == (True, True, 1)
    first.addErrback(lambda _: None)
    first.cancel()
    assert len(held) == 2
    held[1].callback(node.events[:3])
    assert [event.id for event in result_of(second)] == [0, 1, 2]
