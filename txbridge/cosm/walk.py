"""Reading what no single answer holds: every page of a list, and a whole history.

A server gives at most 1000 points at once, of at most 6 hours when every stored point is
wanted.  `HistoryWalk` continues past both.  Asking for each 6 hours of ten years would be
14,600 questions, most of them about nothing, so it first asks for one point per 6 hours: such
an answer covers 180 days and names every stretch that holds anything.  Only those are read.
That is why a stretch is exactly one step of that grid, and ends on it: 00:00, 06:00, 12:00
and 18:00 UTC.  The stretch in which the walk ends is read in any case, because points may
arrive there while the walk is under way.

Each request starts where the last one ended, or after what it brought.  So a walk always gets
on, even with a server that gives a boundary point twice, gives too much, or ignores what it
is asked.

One reader at a time: a second call waits for the first.  Cancelling a call loses nothing, the
next one reads the same again.

Not chosen: ``find_previous``, which looks back only; and pages by number, which shift when
points arrive in the middle.

Source: Cosm API v2, "Historical data" and "Usage limits".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from twisted.internet.defer import Deferred, DeferredLock

from txbridge.cosm.operations import Parameter, Parameters
from txbridge.errors import Closed, EncodeError
from txbridge.model.instants import as_instant, from_microseconds, to_microseconds
from txbridge.model.structures import Datapoint, Datastream, Environment, EnvironmentList
from txbridge.net.deferred import deferred

__all__ = ["FeedPages", "HistoryWalk"]

_SECOND = 1_000_000  # of microseconds, the resolution of Cosm's time
_HOUR = 3600 * _SECOND
_DAY = 24 * _HOUR

WIDEST: Mapping[int, int] = {
    0: 6 * _HOUR,
    30: 12 * _HOUR,
    60: 24 * _HOUR,
    300: 5 * _DAY,
    900: 14 * _DAY,
    1800: 31 * _DAY,
    3600: 31 * _DAY,
    10800: 90 * _DAY,
    21600: 180 * _DAY,
    43200: 365 * _DAY,
    86400: 365 * _DAY,
}
"""Seconds between points -> the widest window, in microseconds, that may be asked for at once."""

STRETCH = WIDEST[0]
PROBE = STRETCH // _SECOND
LIMIT = 1000  # the most points of one answer
ROUND = 100  # the default of ``limit``; a server that knows a lower cap will have chosen a round one
FIRST_INSTANT = to_microseconds(datetime.min.replace(tzinfo=UTC))
LAST_INSTANT = to_microseconds(datetime.max.replace(tzinfo=UTC))


class HistoryWalk:
    """Every stored point of one datastream between two instants, oldest first.

    Attributes:
        start: The first instant, inclusive.
        end: The last instant, inclusive.
    """

    def __init__(
        self,
        read: Callable[[Parameters], Deferred[Datastream]],
        start: datetime | str,
        end: datetime | str,
        interval: int = 0,
    ) -> None:
        """Prepare a walk; nothing is asked before the first `next_datapoints`.

        Args:
            read: Reads the datastream with these parameters.
            start: The first instant: an aware datetime, or ISO 8601 text.
            end: The last instant.
            interval: 0 for every stored point, or the seconds between sampled ones.

        Raises:
            EncodeError: An instant has no time zone, or there is no such interval.
        """
        if interval not in WIDEST:
            choices = ", ".join(map(str, WIDEST))
            raise EncodeError("url", "interval", f"is {interval!r}; servers know {choices}")
        self.start, self.end = _instant("start", start), _instant("end", end)
        self._read = read
        self._interval = interval
        self._cursor = self._first = to_microseconds(self.start)
        self._last = to_microseconds(self.end)
        self._stretches: deque[int] = deque()  # where those end that hold points, ascending
        self._probed = self._first - 1  # up to where `_stretches` is known
        self._lock = DeferredLock()
        self._is_closed = False

    def __repr__(self) -> str:
        return f"HistoryWalk({self.start.isoformat()} to {self.end.isoformat()}, {self.progress:.0%})"

    @property
    def progress(self) -> float:
        """Which part of the span was walked, 0.0 to 1.0; it moves during a call too."""
        if self._cursor > self._last:
            return 1.0
        return (self._cursor - self._first) / (self._last + 1 - self._first)

    def close(self) -> None:
        """Stop; a call that is under way still brings what it asked for."""
        self._is_closed = True

    @deferred
    async def next_datapoints(self) -> list[Datapoint]:
        """The next points, ascending and each instant once; an empty list is the end.

        Raises:
            Closed: `close` was called before.
            BridgeError: Reading failed; calling again tries the same stretch again.
        """
        await self._lock.acquire()
        try:
            if self._is_closed:
                raise Closed("the history walk")
            while self._cursor <= self._last and not self._is_closed:
                points = await self._read_on()
                if points:
                    return points
            return []
        finally:
            self._lock.release()

    async def _read_on(self) -> list[Datapoint]:
        """Read one window, or find out where the next one that holds anything is."""
        if self._interval > 0:
            step = self._interval * _SECOND
            # It ends on the grid: what lies behind the last grid instant is in no sample.
            return await self._read_until(_floor(self._asked_from(step) + WIDEST[self._interval], step))
        if self._last - self._cursor <= STRETCH and self._cursor > self._probed:
            return await self._read_until(self._last)
        if self._cursor > self._probed:
            await self._probe()
        while self._stretches and self._stretches[0] < self._cursor:
            self._stretches.popleft()
        if not self._stretches:
            self._cursor = self._probed + 1
            return []
        self._cursor = max(self._cursor, self._stretches[0] - STRETCH + 1)
        return await self._read_until(self._stretches[0])

    async def _probe(self) -> None:
        """Ask for one point per stretch, which tells the stretches that have any."""
        widest = _floor(self._asked_from(STRETCH) + WIDEST[PROBE], STRETCH)
        until = min(widest, _ceiling(self._last, STRETCH))
        found, was_cut = await self._page(until, PROBE)
        stretches = {_ceiling(at, STRETCH) for at in found}
        if was_cut and found:
            until = max(stretches)
        if until >= self._last:
            stretches.add(_ceiling(self._last, STRETCH))
        self._stretches = deque(sorted(stretches))
        self._probed = until

    async def _read_until(self, until: int) -> list[Datapoint]:
        until = min(until, self._last)
        found, was_cut = await self._page(until, self._interval)
        self._cursor = max(found) + 1 if was_cut and found else until + 1
        return [found[at] for at in sorted(found)]

    def _asked_from(self, interval: int) -> int:
        """Where a question starts.

        Of samples a tick earlier: a server begins with the first grid instant *after* the start, so it
        would leave out the point of an interval that ends exactly there.
        """
        return max(self._cursor - 1, FIRST_INSTANT) if interval > 0 else self._cursor

    async def _page(self, until: int, interval: int) -> tuple[dict[int, Datapoint], bool]:
        """The points from the cursor on, by instant, and whether a limit may have cut them off."""
        parameters: dict[str, Parameter] = {
            "start": from_microseconds(self._asked_from(interval)),
            "end": from_microseconds(min(until, LAST_INSTANT)),
            "interval": interval,
            "limit": LIMIT,
        }
        datastream = await self._read(parameters)
        found = {
            at: point
            for point in datastream.datapoints
            if point.at is not None and self._cursor <= (at := to_microseconds(point.at)) <= until
        }
        count = len(datastream.datapoints)
        return found, count > 0 and count % ROUND == 0


class FeedPages:
    """The feeds of a list or a search, page by page."""

    def __init__(
        self,
        list_page: Callable[[Parameters], Deferred[EnvironmentList]],
        parameters: Parameters | None = None,
    ) -> None:
        """Prepare to read pages; nothing is asked before the first `next_page`.

        Args:
            list_page: Lists feeds with these parameters.
            parameters: Of the search; ``per_page`` is 100 unless given.  Pages start with the first.
        """
        self._list_page = list_page
        self._parameters = {"per_page": ROUND, **(parameters or {})}
        self._page = 1
        self._seen: set[tuple[int | None, str | None, str | None]] = set()
        self._count = 0
        self._lock = DeferredLock()
        self._is_finished = False
        self._is_closed = False

    def close(self) -> None:
        """Stop; a call that is under way still brings its page."""
        self._is_closed = True

    @deferred
    async def next_page(self) -> EnvironmentList | None:
        """The next page, without feeds that an earlier one had; None after the last.

        A feed that is updated while pages are read may move between them and be missed.

        Raises:
            Closed: `close` was called before.
            BridgeError: Reading failed; calling again tries the same page again.
        """
        await self._lock.acquire()
        try:
            if self._is_closed:
                raise Closed("the list of feeds")
            if self._is_finished:
                return None
            page = await self._list_page({**self._parameters, "page": self._page})
            return self._taken(page)
        finally:
            self._lock.release()

    def _taken(self, page: EnvironmentList) -> EnvironmentList | None:
        self._page += 1
        given = len(page.feeds)
        self._count += given
        page.feeds = [feed for feed in page.feeds if self._is_new(feed)]
        if page.total_results is not None:
            self._is_finished = self._count >= page.total_results
        else:
            self._is_finished = page.items_per_page is not None and given < page.items_per_page
        if not page.feeds:  # after the last page, or a server that has only one
            self._is_finished = True
            return None
        return page

    def _is_new(self, feed: Environment) -> bool:
        identity = (feed.id, feed.feed, feed.title)
        if identity in self._seen:
            return False
        self._seen.add(identity)
        return True


def _instant(argument: str, value: datetime | str) -> datetime:
    try:
        at = as_instant(value)
    except (TypeError, ValueError) as error:
        raise EncodeError("url", argument, str(error)) from None
    if at is None:
        raise EncodeError("url", argument, "is missing")
    return at


def _floor(at: int, step: int) -> int:
    return at - at % step


def _ceiling(at: int, step: int) -> int:
    return at + -at % step
