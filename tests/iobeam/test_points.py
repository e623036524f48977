"""Points one by one, and series of them."""

from __future__ import annotations

import math

import pytest

from txbridge.iobeam.points import DataPoint, DataSeries, makeUniformDataSeries
from txbridge.iobeam.structures import Timestamp, TimeUnit


def test_a_point_has_a_value_and_an_instant():
    point = DataPoint(21.5, Timestamp(3, TimeUnit.SECONDS))
    assert (point.value, point.timestamp.as_microseconds()) == (21.5, 3_000_000)
    assert DataPoint(1, 3000).timestamp == point.timestamp


def test_a_point_without_an_instant_has_the_one_when_it_was_made():
    assert DataPoint(1, clock=lambda: 12.3456).timestamp == Timestamp(12345)


def test_a_float_makes_no_point_that_cannot_be_put_into_a_set():
    assert len({DataPoint(1.5, 1), DataPoint(1.5, 1), DataPoint(2.5, 1)}) == 2


@pytest.mark.parametrize("value", [math.nan, math.inf, "1", None])
def test_a_value_is_a_number(value):
    with pytest.raises(ValueError, match="value"):
        DataPoint(value, 1)


def test_a_series_has_a_name_and_points():
    series = DataSeries("flow", [DataPoint(1, 1), DataPoint(2, 2)])
    assert (series.getName(), len(series)) == ("flow", 2)
    assert [point.value for point in series.getPoints()] == [1, 2]
    with pytest.raises(ValueError, match="name"):
        DataSeries(None, [])
    with pytest.raises(ValueError, match=r"points\[0\]"):
        DataSeries("flow", [5])


def test_uniform_points_begin_and_end_where_they_should():
    series = makeUniformDataSeries("flow", 0, 10, [1, 2, 3, 4])
    ats = [point.timestamp.as_microseconds() for point in series.get_points()]
    assert ats == [0, 3333, 6666, 10_000]
    assert len(makeUniformDataSeries("flow", 5, 5, [1])) == 1


@pytest.mark.parametrize(("start", "end", "values"), [(0, 10, []), (10, 0, [1, 2]), (1, 1, [1, 2])])
def test_uniform_points_need_values_and_a_span(start, end, values):
    with pytest.raises(ValueError, match=r"values|end"):
        makeUniformDataSeries("flow", start, end, values)
