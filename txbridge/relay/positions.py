"""Sets of positions in an outbox, kept as ranges: what a destination has settled."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

__all__ = ["Positions"]


class Positions:
    """A set of whole numbers that is mostly a few long ranges.

    Args:
        ranges: The first and the last number of each range.
    """

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in ranges:
            self.add(first, last)

    def add(self, first: int, last: int) -> None:
        """Put a range in, both ends included; an empty one changes nothing."""
        if last < first:
            return
        begin = bisect_left(self._lasts, first - 1)  # the first range that touches this one
        end = bisect_right(self._firsts, last + 1)  # after the last one that does
        if begin < end:
            first = min(first, self._firsts[begin])
            last = max(last, self._lasts[end - 1])
        self._firsts[begin:end] = [first]
        self._lasts[begin:end] = [last]

    def copy(self) -> Positions:
        """A set of its own with the same numbers."""
        other = Positions()
        other._firsts = self._firsts.copy()
        other._lasts = self._lasts.copy()
        return other

    def has_all(self, first: int, last: int) -> bool:
        """Whether every number of a range is here."""
        return self.next_missing(first) > last

    def next_missing(self, number: int) -> int:
        """The smallest number that is not here, from this one on."""
        index = bisect_right(self._firsts, number) - 1
        return self._lasts[index] + 1 if index >= 0 and self._lasts[index] >= number else number

    def last_below(self, number: int) -> int:
        """The largest number that is here and smaller than this one, or 0."""
        index = bisect_left(self._firsts, number) - 1
        return min(self._lasts[index], number - 1) if index >= 0 else 0

    @property
    def last(self) -> int:
        """The largest number, or 0."""
        return self._lasts[-1] if self._lasts else 0

    def __contains__(self, number: int) -> bool:
        return self.next_missing(number) != number

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """The first and the last number of each range, in order."""
        return iter(list(zip(self._firsts, self._lasts, strict=True)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Positions) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"Positions({list(self)})"
