"""The older style of iobeam: points one by one, and series of them.

A point without an instant has the one when it was made, so this is not pure, unlike
``txbridge.iobeam.structures``.

Source: iobeam Python client 0.11.0.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from txbridge.iobeam.errors import BadArgument
from txbridge.iobeam.structures import (
    Timestamp,
    TimeUnit,
    as_microseconds,
    check_series_name,
    check_value,
)

__all__ = ["DataPoint", "DataSeries", "makeUniformDataSeries", "make_uniform_data_series"]


class DataPoint:
    """A number at an instant."""

    __slots__ = ("_timestamp", "_value")

    def __init__(
        self,
        value: float,
        timestamp: Timestamp | int | None = None,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """A point.

        Args:
            value: Its value.
            timestamp: When; an integer is milliseconds, None is now.
            clock: What time it is, in seconds.

        Raises:
            ValueError: The value is no number that can be sent, or the instant is none.
        """
        checked = check_value("value", value)
        if not isinstance(checked, int | float):
            raise BadArgument("value", f"must be a number, not a {type(value).__name__}")
        self._value = checked
        if timestamp is None:
            timestamp = int(clock() * 1000)
        self._timestamp = timestamp if isinstance(timestamp, Timestamp) else Timestamp(timestamp)

    def __repr__(self) -> str:
        return f"DataPoint({self._value!r}, {self._timestamp!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DataPoint):
            return NotImplemented
        return (self._timestamp, self._value) == (other._timestamp, other._value)

    def __hash__(self) -> int:
        return hash((self._timestamp, self._value))

    @property
    def value(self) -> int | float:
        """Its value."""
        return self._value

    @property
    def timestamp(self) -> Timestamp:
        """Its instant."""
        return self._timestamp


class DataSeries:
    """Points of one series."""

    def __init__(self, name: str, points: Iterable[DataPoint]) -> None:
        """A series.

        Raises:
            ValueError: The name is none, or one of the points is something else.
        """
        self._name = check_series_name(name, "name")
        self._points = list(points)
        for at, point in enumerate(self._points):
            if not isinstance(point, DataPoint):
                raise BadArgument(f"points[{at}]", f"must be a DataPoint, not a {type(point).__name__}")

    def __repr__(self) -> str:
        return f"<DataSeries {self._name!r}: {len(self._points)} points>"

    def __len__(self) -> int:
        return len(self._points)

    def __bool__(self) -> bool:
        return True  # a series is present even when it is empty

    def get_name(self) -> str:
        """Its name."""
        return self._name

    def get_points(self) -> list[DataPoint]:
        """Its points."""
        return list(self._points)

    getName = get_name
    getPoints = get_points


def make_uniform_data_series(
    name: str, start: Timestamp | int, end: Timestamp | int, values: Sequence[float]
) -> DataSeries:
    """Points of a series at even distances, the first at ``start`` and the last at ``end``.

    Args:
        name: Of the series.
        start: The first instant; an integer is milliseconds.
        end: The last instant.
        values: One value per point.

    Raises:
        ValueError: There is no value, or the end is not after the start.
    """
    first, last = as_microseconds(start), as_microseconds(end)
    if not values:
        raise BadArgument("values", "must have at least one value")
    if last < first or (last == first and len(values) > 1):
        raise BadArgument("end", "must be after start")
    steps = max(len(values) - 1, 1)
    points = [
        DataPoint(value, Timestamp(first + (last - first) * number // steps, TimeUnit.MICROSECONDS))
        for number, value in enumerate(values)
    ]
    return DataSeries(name, points)


makeUniformDataSeries = make_uniform_data_series
