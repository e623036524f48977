"""How much is delivered at once: as much as the destination takes quickly, and little at first.

The size begins with a probe, a small share of the caps.  Each delivery that was quick, and after which
more waits, doubles it, until it comes to half of what was too much last; from there it grows by a quarter.
After trouble the next delivery is a probe again, or less: a server that has just come back is asked with
a little before it gets the backlog, and has all of it some deliveries later.

What is too large for the platform is another matter, because it has nothing to do with time: that is a
ceiling on the bytes, half of what was refused.  It is lifted after some deliveries at the ceiling, and
ever more rarely if it is found to be still there: the largest may have been one odd point, or the server
may have been given more room.

Nothing here is impure: seconds are arguments.
"""

from __future__ import annotations

from attrs import define, field

__all__ = ["BatchSize"]

PROBE = 1 / 64  # of the caps
PROBE_POINTS = 32  # with caps below this much there is nothing to be careful about
SMALLEST_BYTES = 1024  # below it the size of a delivery is not what is too large
QUICK = 1 / 8  # of the deadline: there is room for twice as much, and for a slow moment
SLOW = 1 / 2
PATIENCE = 16  # deliveries at the ceiling before it is lifted
MOST_PATIENCE = 4096


@define
class BatchSize:
    """The size of one destination's deliveries.

    Attributes:
        max_points: The cap on points.
        max_bytes: The cap on `Batch.nbytes`.
        deadline: Seconds that a delivery may take.
    """

    max_points: int
    max_bytes: int
    deadline: float
    _points: float = field(init=False)
    _nbytes: float = field(init=False)
    _threshold: float = field(init=False)
    _ceiling: int = field(init=False)
    _patience: int = field(default=PATIENCE, init=False)
    _at_ceiling: int = field(default=0, init=False)
    _lifted: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._points, self._nbytes = self._probe
        self._threshold = self.max_points
        self._ceiling = self.max_bytes

    @property
    def points(self) -> int:
        """The most points to deliver now."""
        return int(self._points)

    @property
    def nbytes(self) -> int:
        """The most bytes to deliver now."""
        return min(self._ceiling, int(self._nbytes))

    def worked(self, points: int, nbytes: int, seconds: float, *, more: bool) -> None:
        """Called when a delivery of this much took so long; ``more`` is whether more waits."""
        if seconds > SLOW * self.deadline:
            self._less(points, nbytes)
        elif seconds <= QUICK * self.deadline and more:
            growth = 2.0 if 2 * self._points <= self._threshold else 1.25
            self._points = min(self.max_points, max(growth * self._points, self._points + 1))
            self._nbytes = min(self.max_bytes, growth * self._nbytes)
        if 2 * nbytes > self._ceiling:
            self._worked_at_ceiling()

    def failed(self) -> None:
        """Called when a delivery failed for a reason that is not its size: the next one is a probe."""
        points, nbytes = self._probe
        self._points = min(self._points, points)
        self._nbytes = min(self._nbytes, nbytes)

    def overloaded(self, points: int, nbytes: int) -> None:
        """Called when the platform could not do this much in time: the next one is a probe, or less."""
        self._less(points, nbytes)
        self.failed()

    def too_large(self, nbytes: int) -> None:
        """Called when so many bytes were refused for their size."""
        if self._lifted:
            self._patience = min(MOST_PATIENCE, 2 * self._patience)
        self._lifted = False
        self._at_ceiling = 0
        self._ceiling = min(self._ceiling, max(self._smallest, nbytes // 2))

    @property
    def _probe(self) -> tuple[float, float]:
        share = min(1.0, max(PROBE, PROBE_POINTS / self.max_points))
        return share * self.max_points, max(self._smallest, share * self.max_bytes)

    @property
    def _smallest(self) -> int:
        return min(SMALLEST_BYTES, self.max_bytes)

    def _less(self, points: int, nbytes: int) -> None:
        self._points = min(self._points, max(1.0, points / 2))
        if points > self._probe[0]:  # that so little was too much says nothing of the size
            self._threshold = points / 2
        self._nbytes = min(self._nbytes, max(self._smallest, nbytes / 2))

    def _worked_at_ceiling(self) -> None:
        if self._lifted:
            self._lifted = False
            self._patience = PATIENCE
        self._at_ceiling += 1
        if self._ceiling < self.max_bytes and self._at_ceiling >= self._patience:
            self._ceiling = min(self.max_bytes, 2 * self._ceiling)
            self._at_ceiling = 0
            self._lifted = True
