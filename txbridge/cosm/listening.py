"""One subscription that loses nothing: pushes while the link is up, history for what was missed.

A `Listening` is told by the connection's owner when the server has confirmed the subscription
(`confirmed`), what is pushed (`pushed`), and that the link is gone (`lost`).  It hands out one
ordered flow of structures.  What it remembers is how far each datastream was handed out.

After every confirmation but the first it *catches up*: it reads the feed, and of every datastream
whose current value is newer than what was handed out, the history in between, merged in order of
time.  Pushes that come meanwhile wait, and what the history had already brought is taken out of
them.  The same happens when a push says that the server skipped some before it, when a push
cannot be read, and when a reader who was too slow wants more again: then nothing is kept for it,
because the history keeps it.

What cannot be got is told as a `Missed`: the server refuses the history, or the feed is gone.
Errors that may pass are tried again.

One thing a server cannot be asked: which points were recorded, while nobody listened, *before* the newest
point that was handed out.  Whoever expects such says how late they may be; so much is then read again
each time, and what was handed out since this listener began is left out of it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from attrs import define, field, frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from txbridge.cosm.client import Verbs
from txbridge.errors import Advice, BridgeError, ConnectError, ConnectionLost, DecodeError, RequestRejected
from txbridge.model.instants import to_microseconds
from txbridge.model.structures import Datapoint, Datastream, Environment
from txbridge.net.deferred import deferred
from txbridge.net.reactor import utc_now

__all__ = ["Flow", "Listening", "Missed", "Target"]

RETRY_AFTER = 15.0
"""Seconds before history that could not be read for now is asked for again."""

MAX_HELD = 1000
MAX_HELD_BYTES = 16 << 20
"""Pushes that wait while history is read; with more than these, the history is read once more."""

MAX_REMEMBERED = 20_000
"""Points that were handed out last; a push that brings one of them again brings nothing new."""

_TICK = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

News = Mapping[str, list[Datapoint]]


@frozen
class Missed:
    """History that a listener did not get and will not get.

    Attributes:
        resource: What was subscribed to.
        start: The last instant up to which everything was handed out; None when nothing was.
        end: The instant from which on it is complete again.
        reason: Why, in the server's words where it had some.
    """

    resource: str
    start: datetime | None
    end: datetime
    reason: str


@frozen
class Target:
    """What is listened to.

    Attributes:
        resource: As it is subscribed to, such as ``/feeds/7/datastreams/pump``.
        feed_id: The feed.
        datastream_id: One datastream of it; None is the whole feed.
        api_key: The key to use instead of the client's.
    """

    resource: str
    feed_id: str
    datastream_id: str | None
    api_key: str | None = field(default=None, repr=False)


class Flow:
    """Who gets what a `Listening` hands out; to be overridden."""

    def deliver(self, structure: Environment | Datastream, news: News) -> None:
        """Called with each update, in order.

        Args:
            structure: As it was pushed; or, from history, one with only ``datapoints`` and the newest of
                them as current value.
            news: Datastream id -> points that are new, ascending.
        """

    def missed(self, gap: Missed) -> None:
        """Called in place of what cannot be got."""


@define(eq=False)
class _Merge:
    """Histories of several datastreams, walked side by side."""

    datastream_id: str
    next_datapoints: Callable[[], Deferred[list[Datapoint]]]
    ready: list[Datapoint] = field(factory=list)
    finished: bool = False


class Listening:
    """One subscription that loses nothing.

    Args:
        target: What is listened to.
        client: Reads history, over whatever it is connected by.
        flow: Gets what comes.
        clock: For the time, and for trying again.
        seen: Datastream id -> the instant up to which it is known already.
        since: The same for every other datastream; None starts with what comes after the first
            confirmation.
        late: How far before the newest point that was handed out there may be new ones.
    """

    _log = Logger()

    def __init__(
        self,
        target: Target,
        client: Verbs,
        flow: Flow,
        clock: IReactorTime,
        *,
        seen: Mapping[str, datetime] | None = None,
        since: datetime | None = None,
        late: timedelta = timedelta(0),
    ) -> None:
        self.target = target
        self._client = client
        self._flow = flow
        self._clock = clock
        self._seen: dict[str, datetime] = dict(seen or {})
        self._floor = since
        self._late = late
        self._started = since is not None or bool(self._seen)
        self._linked = False
        self._is_delivering = False
        self._catching_up: Deferred[None] | None = None
        self._again = False
        self._held: list[Environment | Datastream] = []
        self._held_bytes = 0
        self._remembered: OrderedDict[tuple[str, int, str], None] = OrderedDict()
        self._paused = False
        self._left_out = False
        self._go_on: Deferred[None] | None = None

    @property
    def seen(self) -> Mapping[str, datetime]:
        """Datastream id -> the newest instant that was handed out."""
        return self._seen

    # -- called by the owner of the connection

    def confirmed(self) -> None:
        """The server has confirmed the subscription on a new link."""
        self._linked = True
        self._catch_up()

    def pushed(self, body: bytes, skipped: int) -> None:
        """An update came; ``skipped`` says how many the server left out before it."""
        if self._paused:
            self._left_out = True
            return
        kind = Environment if self.target.datastream_id is None else Datastream
        try:
            structure: Environment | Datastream = kind.decode(body)
        except DecodeError as error:
            self._log.warn(
                "an update of {resource} cannot be read: {error}", resource=self.target.resource, error=error
            )
            self._catch_up()
            return
        if skipped:
            self._catch_up()
        if self._catching_up is None:
            self._deliver(structure, self._take_news(structure))
        elif len(self._held) < MAX_HELD and self._held_bytes + len(body) <= MAX_HELD_BYTES:
            self._held.append(structure)
            self._held_bytes += len(body)
        else:
            self._take_held()
            self._again = True

    def lost(self) -> None:
        """The link is gone, and `confirmed` follows on the next; or the subscription has ended."""
        self._linked = False
        self._take_held()
        self._stop()

    # -- called by the reader

    def pause(self) -> None:
        """Hand out nothing until `resume`; what comes meanwhile is read from history then."""
        self._paused = True

    def resume(self) -> None:
        """Hand out again."""
        self._paused = False
        go_on, self._go_on = self._go_on, None
        if go_on is not None:
            go_on.callback(None)
        if self._left_out:
            self._left_out = False
            self._catch_up()

    # -- catching up

    def _catch_up(self) -> None:
        if not self._linked:
            return
        if self._catching_up is not None:
            self._again = True
            return
        # The task may be through before it is assigned, so what it clears at its end is set first.
        self._catching_up = Deferred()
        task = self._run()
        if self._catching_up is not None:
            self._catching_up = task

    def _stop(self) -> None:
        task, self._catching_up = self._catching_up, None
        # Called by the flow itself, the task is not waiting: it ends when the flow has returned.
        if task is not None and not self._is_delivering:
            task.cancel()

    def _deliver(self, structure: Environment | Datastream, news: News) -> None:
        self._is_delivering = True
        try:
            self._flow.deliver(structure, news)
        finally:
            self._is_delivering = False

    @deferred
    async def _run(self) -> None:
        try:
            while True:
                self._again = False
                try:
                    await self._read_history()
                except (ConnectionLost, ConnectError):
                    return  # the next link brings another confirmation
                except BridgeError as error:
                    if error.advice is Advice.RETRY or not isinstance(error, RequestRejected | DecodeError):
                        await deferLater(self._clock, RETRY_AFTER)
                        continue
                    self._give_up(error)
                if not self._again:
                    break
        except CancelledError:
            return
        self._catching_up = None
        for structure in self._take_held():
            if not self._linked:
                return
            news = self._take_news(structure)
            if news or self._is_current(structure):
                self._deliver(_reduced(structure, news), news)

    def _take_held(self) -> list[Environment | Datastream]:
        held, self._held, self._held_bytes = self._held, [], 0
        return held

    def _give_up(self, error: BridgeError) -> None:
        """Tell what is missing; what was handed out stays as it is, so the next link asks once more."""
        start = max(self._seen.values(), default=self._floor)
        end = utc_now(self._clock)
        self._flow.missed(Missed(self.target.resource, start, end, str(error)))

    async def _read_history(self) -> None:
        target = self.target
        if target.datastream_id is None:
            feed = await self._client.read_feed(target.api_key, target.feed_id)
        else:
            stream = await self._client.read_datastream(target.api_key, target.feed_id, target.datastream_id)
            feed = Environment(datastreams={target.datastream_id: stream})
        if not self._started:
            self._begin_with(feed)
            return
        walks = []
        for name, stream in feed.datastreams.items():
            seen = self._seen.get(name, self._floor)
            if stream.at is not None and (seen is None or stream.at > seen or self._late):
                end = stream.at if seen is None else max(stream.at, seen)
                walk = self._client.walk_history(
                    name, self._start_after(seen), end, feed_id=target.feed_id, api_key=target.api_key
                )
                walks.append(_Merge(name, walk.next_datapoints))
        await self._merge(walks)

    def _start_after(self, seen: datetime | None) -> datetime:
        """The first instant to read of a datastream that was handed out up to this one."""
        if seen is None:
            return _EPOCH
        back = min(self._late, max(seen - _EPOCH, timedelta(0)))
        return max(seen - back, self._floor or (seen - back)) + _TICK

    def _begin_with(self, feed: Environment) -> None:
        """Nothing was handed out before: what is there now is known, and what comes is new."""
        self._started = True
        for name, stream in feed.datastreams.items():
            if stream.at is not None:
                self._seen[name] = max(stream.at, self._seen.get(name, stream.at))

    async def _merge(self, walks: list[_Merge]) -> None:
        """Hand out several histories as one, in order of time."""
        while walks:
            for walk in walks:
                if not walk.ready:
                    walk.ready = await walk.next_datapoints()
                    walk.finished = not walk.ready
            walks = [walk for walk in walks if not walk.finished]
            if not walks:
                return
            until = min(_at(walk.ready[-1]) for walk in walks)
            news = {}
            for walk in walks:
                count = bisect_right(walk.ready, until, key=_at)
                fresh = [point for point in walk.ready[:count] if self._is_news(walk.datastream_id, point)]
                walk.ready = walk.ready[count:]
                if fresh:
                    news[walk.datastream_id] = fresh
            await self._when_wanted()
            for name, points in news.items():
                self._remember(name, points)
            if news:
                self._deliver(self._as_history(news), news)
            if not self._linked:
                raise CancelledError

    async def _when_wanted(self) -> None:
        while self._paused:
            self._go_on = Deferred()
            await self._go_on

    def _as_history(self, news: News) -> Environment | Datastream:
        streams = {
            name: Datastream(id=name, current_value=points[-1].value, at=points[-1].at, datapoints=points)
            for name, points in news.items()
        }
        if self.target.datastream_id is not None:
            return streams[self.target.datastream_id]
        return Environment(id=self.target.feed_id, datastreams=streams)

    # -- what is new

    def _take_news(self, structure: Environment | Datastream) -> News:
        """The points of an update that were not handed out before; they are now."""
        values = _values(structure)
        if isinstance(structure, Datastream) and self.target.datastream_id is not None:
            values = dict.fromkeys([self.target.datastream_id], next(iter(values.values()), []))
        recorded = any(stream.datapoints for stream in _streams(structure))
        news = {}
        for name, points in values.items():
            seen = None if recorded else self._seen.get(name)
            fresh = [
                point
                for point in points
                if self._is_news(name, point) and (seen is None or _at(point) > to_microseconds(seen))
            ]
            if fresh:
                news[name] = fresh
                self._remember(name, fresh)
        return news

    def _is_current(self, structure: Environment | Datastream) -> bool:
        """Whether an update that recorded nothing says how things are, not how they were: a new title."""
        for stream in _streams(structure):
            seen = self._seen.get(self.target.datastream_id or stream.id or "")
            if stream.datapoints or (seen is not None and stream.at is not None and stream.at < seen):
                return False
        return True

    def _is_news(self, name: str, point: Datapoint) -> bool:
        return (name, _at(point), point.value or "") not in self._remembered

    def _remember(self, name: str, points: list[Datapoint]) -> None:
        for point in points:
            self._remembered[name, _at(point), point.value or ""] = None
            if point.at is not None:
                self._seen[name] = max(point.at, self._seen.get(name, point.at))
        while len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)


def _at(point: Datapoint) -> int:
    return 0 if point.at is None else to_microseconds(point.at)


def _streams(structure: Environment | Datastream) -> list[Datastream]:
    return [structure] if isinstance(structure, Datastream) else list(structure.datastreams.values())


def _values(structure: Environment | Datastream) -> dict[str, list[Datapoint]]:
    """What an update says was recorded: its datapoints, or its current values if it has none."""
    streams = _streams(structure)
    recorded = {
        stream.id or "": sorted(stream.datapoints, key=_at) for stream in streams if stream.datapoints
    }
    if recorded:
        return recorded
    return {
        stream.id or "": [Datapoint(at=stream.at, value=stream.current_value)]
        for stream in streams
        if stream.current_value is not None and stream.at is not None
    }


def _reduced(structure: Environment | Datastream, news: News) -> Environment | Datastream:
    """An update without the datapoints that are no news."""
    for stream in _streams(structure):
        if stream.datapoints:
            name = stream.id if isinstance(structure, Environment) else next(iter(news), None)
            stream.datapoints = list(news.get(name or "", []))
    return structure
