"""Interval algebra: what a source has minus what has been settled is what is missing.

Intervals are half open, ``[start, end)``, of integers; whoever uses them says of what unit.  An
`IntervalSet` is a value: every operation gives a new one, in the one form that each set has.

A source that keeps history remembers with its cursor, stream by stream, which intervals were taken.
After any outage, its own, the network's or the relay's, it asks the platform what there is and
subtracts; so nothing is read twice and nothing is forgotten, also when newer data went ahead.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

from attrs import field, frozen

__all__ = ["Interval", "IntervalSet"]

Interval = tuple[int, int]
"""``(start, end)``; the end is not included."""


def _joined(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    joined: list[Interval] = []
    for start, end in sorted((start, end) for start, end in intervals if start < end):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return tuple(joined)


@frozen
class IntervalSet:
    """A set of integers as ascending intervals that neither overlap nor touch.

    Attributes:
        intervals: In any order, overlapping or empty when given; in the one form afterwards.
    """

    intervals: tuple[Interval, ...] = field(default=(), converter=_joined)

    @classmethod
    def of(cls, *intervals: Interval) -> IntervalSet:
        """The set of what any of these intervals has."""
        return cls(intervals)

    def __iter__(self) -> Iterator[Interval]:
        return iter(self.intervals)

    def __len__(self) -> int:
        """How many intervals there are."""
        return len(self.intervals)

    def __contains__(self, number: object) -> bool:
        if not isinstance(number, int):
            return False
        at = bisect_right(self.intervals, number, key=lambda interval: interval[0]) - 1
        return at >= 0 and number < self.intervals[at][1]

    @property
    def start(self) -> int:
        """The smallest number.

        Raises:
            ValueError: The set is empty.
        """
        return self._edge(0, 0)

    @property
    def end(self) -> int:
        """One more than the largest number.

        Raises:
            ValueError: The set is empty.
        """
        return self._edge(-1, 1)

    def _edge(self, which: int, side: int) -> int:
        if not self.intervals:
            raise ValueError("an empty set has no bounds")
        return self.intervals[which][side]

    @property
    def total(self) -> int:
        """How many numbers there are."""
        return sum(end - start for start, end in self.intervals)

    def union(self, other: IntervalSet) -> IntervalSet:
        """What either has."""
        return IntervalSet(self.intervals + other.intervals)

    def add(self, start: int, end: int) -> IntervalSet:
        """This set with one more interval."""
        return IntervalSet((*self.intervals, (start, end)))

    def minus(self, other: IntervalSet) -> IntervalSet:
        """What this one has and the other has not."""
        left: list[Interval] = []
        for start, end in self.intervals:
            for cut_start, cut_end in other._overlapping(start, end):
                if start < cut_start:
                    left.append((start, cut_start))
                start = cut_end
            if start < end:
                left.append((start, end))
        return IntervalSet(tuple(left))

    def within(self, start: int | None, end: int | None) -> IntervalSet:
        """What lies in ``[start, end)``; None is no bound."""
        return IntervalSet(
            tuple(
                (low, high)
                for low, high in (
                    (one if start is None else max(one, start), two if end is None else min(two, end))
                    for one, two in self.intervals
                )
                if low < high
            )
        )

    def without_holes(self, most: int) -> IntervalSet:
        """At most so many intervals: the earliest holes are filled until there are no more.

        Args:
            most: At least 1.
        """
        spare = len(self.intervals) - most
        if spare <= 0:
            return self
        return IntervalSet(((self.intervals[0][0], self.intervals[spare][1]), *self.intervals[spare + 1 :]))

    def _overlapping(self, start: int, end: int) -> Iterator[Interval]:
        first = bisect_right(self.intervals, start, key=lambda interval: interval[1])
        last = bisect_left(self.intervals, end, key=lambda interval: interval[0])
        return iter(self.intervals[first:last])
