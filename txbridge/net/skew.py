"""How far a server's clock is ahead of ours, from the ``Date`` of its answers.

A date has no parts of a second, so what it says lies half a second later on average; and it was said
some time between the request and the answer, so it is held against the middle.  One answer may have been
slow in one direction, so it is the median of the last few that counts, without those that took much
longer than the others.

What is remembered of an answer is the server's time by a clock that nobody sets.  When this machine's
own clock is set right, the skew is right at once, and not after some more answers: that is the very
moment at which somebody wants to know it.  But no two clocks go alike for ever, so after an hour an answer
says nothing any more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from statistics import median

from attrs import frozen

__all__ = ["Skew"]

ANSWERS = 5
MAX_AGE = 3600.0  # seconds; cheap quartzes drift apart by less than half of one in this time
HALF_A_SECOND = 0.5
MUCH_LONGER = 1.0  # seconds more than twice the shortest round trip


@frozen
class _Answer:
    """When it came, how long that took, and how far the server's clock was ahead of the steady one."""

    received: float
    took: float
    ahead: float


class Skew:
    """Measures the skew of one server.

    Args:
        wall: This machine's clock, in seconds since 1970.
        steady: A clock that is never set; see `txbridge.net.reactor.steady_clock`.
    """

    def __init__(self, wall: Callable[[], float], steady: Callable[[], float]) -> None:
        self._wall = wall
        self._steady = steady
        self._answers: deque[_Answer] = deque(maxlen=ANSWERS)

    @property
    def value(self) -> float | None:
        """How many seconds the server's clock is ahead; None if no answer of the last hour had a date."""
        now = self._steady()
        while self._answers and now - self._answers[0].received > MAX_AGE:
            self._answers.popleft()
        if not self._answers:
            return None
        longest = 2 * min(answer.took for answer in self._answers) + MUCH_LONGER
        return median(one.ahead for one in self._answers if one.took <= longest) + now - self._wall()

    def answered(self, date: float | None, sent: float, received: float) -> None:
        """Called with each answer.

        Args:
            date: What the server says the time is, in seconds since 1970; None when it says nothing.
            sent: When the request went out, by the steady clock.
            received: When the answer began to come, by the same.
        """
        if date is not None and received >= sent:
            ahead = date + HALF_A_SECOND - (sent + received) / 2
            self._answers.append(_Answer(received, received - sent, ahead))
