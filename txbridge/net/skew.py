"""How far a server's clock is ahead of ours, from the ``Date`` of its answers.

A date has no parts of a second, so what it says lies half a second later on average; and it was said
some time between the request and the answer, so it is held against the middle.  One answer may have been
slow in one direction, so it is the median of the last few that counts, without those that took much
longer than the others.

What is remembered of an answer is the server's time by a clock that nobody sets.  When this machine's
own clock is set right, the skew is right at once, and not after some more answers: that is the very
moment at which somebody wants to know it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from statistics import median

__all__ = ["Skew"]

ANSWERS = 5
HALF_A_SECOND = 0.5
MUCH_LONGER = 1.0  # seconds more than twice the shortest round trip


class Skew:
    """Measures the skew of one server.

    Args:
        wall: This machine's clock, in seconds since 1970.
        steady: A clock that is never set; see `txbridge.net.reactor.steady_clock`.
    """

    def __init__(self, wall: Callable[[], float], steady: Callable[[], float]) -> None:
        self._wall = wall
        self._steady = steady
        self._answers: deque[tuple[float, float]] = deque(maxlen=ANSWERS)

    @property
    def value(self) -> float | None:
        """How many seconds the server's clock is ahead; None before the first answer with a date."""
        if not self._answers:
            return None
        shortest = min(round_trip for round_trip, _ in self._answers)
        usable = [ahead for took, ahead in self._answers if took <= 2 * shortest + MUCH_LONGER]
        return median(usable) + self._steady() - self._wall()

    def answered(self, date: float | None, sent: float, received: float) -> None:
        """Called with each answer.

        Args:
            date: What the server says the time is, in seconds since 1970; None when it says nothing.
            sent: When the request went out, by the steady clock.
            received: When the answer began to come, by the same.
        """
        if date is not None and received >= sent:
            self._answers.append((received - sent, date + HALF_A_SECOND - (sent + received) / 2))
