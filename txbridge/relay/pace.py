"""What an account may do per second, shared by everything that uses the account.

A platform counts the requests and points of an account, not of a route.  So all senders to one account
share one `Pace`: each asks it for leave before a delivery and gets it in the order of asking.  Two
buckets decide, one of requests and one of points; each fills at its rate and holds a few seconds'
worth.  Whoever asks should not ask for more points than the bucket can ever hold (`Pace.most_points`): the
platform would refuse them too.  If they cannot be cut that small they wait until it is full, and leave a
debt that the next one waits for.

When the platform names a time to wait (``Retry-After``), `Pace.hold` keeps all of them back, because
the one that asks a second later would be refused too, and would make the wait longer.  What a
platform may ask is bounded by `txbridge.net.backoff.MAX_RETRY_AFTER`: an hour.
"""

from __future__ import annotations

from collections import deque

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from txbridge.net.backoff import MAX_RETRY_AFTER

__all__ = ["Pace", "PaceLimits"]

_EPSILON = 1e-6  # of a token: a timer that fires on time must find the bucket full enough


@frozen(kw_only=True)
class PaceLimits:
    """What an account may do.

    Attributes:
        requests: Deliveries per second, or None for no limit.
        points: Points per second, or None for no limit.
        burst: Seconds' worth that may be saved up and then used at once; of requests always one.

    Raises:
        ValueError: A limit allows nothing.
    """

    requests: float | None = None
    points: float | None = None
    burst: float = 10.0

    def __attrs_post_init__(self) -> None:
        for name in ("requests", "points", "burst"):
            limit = getattr(self, name)
            if limit is not None and not limit > 0:
                raise ValueError(f"{name} must be above 0, not {limit}")


@define
class _Bucket:
    """Tokens that come at a rate, up to a level; the level may be below 0."""

    rate: float
    room: float
    level: float = field(init=False)
    at: float

    def __attrs_post_init__(self) -> None:
        self.level = self.room

    def wait_for(self, tokens: float, now: float) -> float:
        """Seconds until so many may be taken."""
        self.level = min(self.room, self.level + max(0.0, now - self.at) * self.rate)
        self.at = now
        missing = min(tokens, self.room) - self.level
        return 0.0 if missing <= _EPSILON else missing / self.rate


@frozen(eq=False)
class _Turn:
    """Somebody who waits for leave."""

    points: int
    leave: Deferred[None]


class Pace:
    """Gives leave to send, in turn.

    Args:
        limits: What the account may do.
        clock: For the waiting.
    """

    def __init__(self, limits: PaceLimits, clock: IReactorTime) -> None:
        self._clock = clock
        now = clock.seconds()
        self._requests = self._points = None
        if limits.requests is not None:
            room = max(1.0, limits.requests * limits.burst)
            self._requests = _Bucket(limits.requests, room, at=now)
        if limits.points is not None:
            self._points = _Bucket(limits.points, max(1.0, limits.points * limits.burst), at=now)
        self._held_until = now
        self._turns: deque[_Turn] = deque()
        self._timer: IDelayedCall | None = None

    @property
    def held(self) -> float:
        """For how many seconds more the platform wants nothing; 0 when it said no such thing."""
        return min(max(0.0, self._held_until - self._clock.seconds()), MAX_RETRY_AFTER)

    @property
    def most_points(self) -> int | None:
        """The most points that one delivery should have; None for no limit."""
        return None if self._points is None else max(1, int(self._points.room))

    @property
    def waiting(self) -> int:
        """How many wait for leave."""
        return len(self._turns)

    def take(self, points: int) -> Deferred[None]:
        """Wait for leave to deliver so many points.  Cancelling it gives the turn to the next one."""
        turn = _Turn(points, Deferred(self._give_up))
        self._turns.append(turn)
        if len(self._turns) == 1:
            self._serve()
        return turn.leave

    def charge(self, points: int) -> None:
        """Called by somebody who has leave and uses it for so many points more than were asked for."""
        if self._points is not None:
            self._points.level -= max(0, points)

    def hold(self, seconds: float) -> None:
        """The platform wants nothing for so long; an earlier wish that lasts longer stands."""
        until = self._clock.seconds() + min(max(0.0, seconds), MAX_RETRY_AFTER)
        if until > self._held_until:
            self._held_until = until
            self._serve()

    def _give_up(self, leave: Deferred[None]) -> None:
        self._turns = deque(turn for turn in self._turns if turn.leave is not leave)
        self._serve()

    def _serve(self) -> None:
        """Give leave to whoever may go, and come back when the next one may."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        # Whoever gets leave may ask again, give up or hold at once, and so set the timer in here.
        while self._turns and self._timer is None:
            wait = self._wait_of(self._turns[0])
            if wait > 0:
                self._timer = self._clock.callLater(wait, self._serve)
                return
            turn = self._turns.popleft()
            if self._requests is not None:
                self._requests.level -= 1.0
            if self._points is not None:
                self._points.level -= turn.points
            turn.leave.callback(None)

    def _wait_of(self, turn: _Turn) -> float:
        now = self._clock.seconds()
        # Further away than it can be: the clock was set back.
        self._held_until = min(self._held_until, now + MAX_RETRY_AFTER)
        wait = self._held_until - now
        if self._requests is not None:
            wait = max(wait, self._requests.wait_for(1.0, now))
        if self._points is not None:
            wait = max(wait, self._points.wait_for(turn.points, now))
        return wait
