"""Reading events page by page, however many there are.

A node gives at most as many events at once as it is asked for, in the order in which they start, and
has no cursor: the next page is asked for by time.  Events that start in the same microsecond may be
cut apart by the end of a page, so the next one begins where the last event began, and what was seen
already is left out by its id.  When a whole page starts in one microsecond, a larger page is asked for.

The first page also brings the events that are under way at the start, if they are wanted.  Should
the page end among those, the next one is asked for by when they began, and brings events that were
over by then; these are left out here.

Nodes before 0.9.50 give the events that are under way whether wanted or not, in every page, and leave out
events without an end wherever a start is asked for.

Each page begins later than the last one or is larger, so a walk ends whatever a node answers.

Not chosen: the next microsecond after a page's last event, as Joule's own client asks, which loses
events; and paging without a start, for which a node gives its *last* events.

Source: Joule 1.0.1, ``controllers/event_controller.py`` and ``models/data_store/event_store.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from twisted.internet.defer import Deferred, DeferredLock

from txbridge.errors import RemoteProtocolError
from txbridge.joule.structures import Event
from txbridge.net.deferred import deferred

__all__ = ["Begin", "EventWalk", "ReadPage"]

Begin = Callable[[], Deferred[tuple[int, int] | None]]
"""Finds out where to begin, and how many events to ask for at once; None if there is nothing to read."""

ReadPage = Callable[[int, int, bool], Deferred[list[Event]]]
"""Reads one page: its start, how many events at most, and whether those under way are wanted too."""

EARLY = 1
"""Microseconds that a node may show a time too early: it computes in seconds, as floats."""

MAX_PAGE = 1 << 20
"""Events of one page that may start in the same microsecond."""


class EventWalk:
    """The events of a span, in the order in which they start.

    One reader at a time: a second call waits for the first.  A call that fails or is cancelled loses
    nothing: the next one asks the same again.
    """

    def __init__(self, read_page: ReadPage, begin: Begin, with_ongoing: bool) -> None:
        """Prepare a walk; nothing is asked before the first `next_events`.

        Args:
            read_page: Reads one page.
            begin: Finds out where to begin.
            with_ongoing: Begin with the events that are under way at the start.
        """
        self._read_page = read_page
        self._begin = begin
        self._with_ongoing = self._asks_ongoing = with_ongoing
        self._start: int | None = None
        self._from = self._page = self._limit = 0
        self._seen: dict[int | None, tuple[int, int | None]] = {}  # id -> start and end
        self._is_over = False
        self._lock = DeferredLock()

    @deferred
    async def next_events(self) -> list[Event]:
        """Read the next events; none is the end.

        Raises:
            RemoteProtocolError: The node does not answer by the rules.
        """
        await self._lock.acquire()
        try:
            fresh: list[Event] = []
            while not fresh and not self._is_over:
                fresh = await self._turn()
            return fresh
        finally:
            self._lock.release()

    async def _turn(self) -> list[Event]:
        if self._start is None:
            found = await self._begin()
            if found is None:
                self._is_over = True
                return []
            self._start, self._page = self._from, self._limit = found
        page = await self._read_page(self._from, self._limit, self._asks_ongoing)
        if any(later.start_time < earlier.start_time for earlier, later in pairwise(page)):
            raise RemoteProtocolError("event_stream_read", "the events are not in the order they start in")
        fresh = [event for event in page if event.id not in self._seen and self._is_wanted(event)]
        if len(page) < self._limit:
            self._is_over = True
            return fresh
        last = page[-1].start_time
        self._seen |= {event.id: (event.start_time, event.end_time) for event in page}
        if last > self._from or (self._asks_ongoing and last < self._from):
            self._seen = {one: span for one, span in self._seen.items() if _may_come_again(*span, last)}
            self._limit = self._page
            self._asks_ongoing = False
            self._from = last
        elif self._limit > MAX_PAGE:
            raise RemoteProtocolError(
                "event_stream_read", f"more than {MAX_PAGE} events start in one microsecond"
            )
        else:
            self._limit *= 2
        return fresh

    def _is_wanted(self, event: Event) -> bool:
        assert self._start is not None
        if event.start_time >= self._start - EARLY:
            return True
        return self._with_ongoing and event.end_time is not None and event.end_time >= self._start


def _may_come_again(start: int, end: int | None, asked: int) -> bool:
    return start >= asked - EARLY or (end is not None and end >= asked)
