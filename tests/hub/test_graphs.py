"""What is drawn, how often, and how many may wait for it."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from math import nan

import numpy as np
import pytest
from PIL import Image
from twisted.internet.defer import Deferred, maybeDeferred

from tests.support.deferreds import result_of
from txbridge.errors import StoreError
from txbridge.hub.graphs import Graph, Graphs, draw

NOON = datetime(2013, 6, 3, 12, tzinfo=UTC)


def reds(data):
    """The size of a picture, and how much of it is red."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    return image.size, int((np.asarray(image).reshape(-1, 3) == (255, 0, 0)).all(axis=1).sum())


def graph_of(*values, **members):
    points = tuple((NOON - timedelta(hours=len(values) - one), value) for one, value in enumerate(values))
    start = NOON - timedelta(hours=len(values))
    return Graph(points, start, NOON, width=300, height=120, colour="#ff0000", **members)


def test_a_picture_has_the_size_and_the_colour_that_were_asked_for():
    size, red = reds(draw(graph_of(*[1.0, 4.0, 2.0] * 8, stroke=6.0)))
    assert size == (300, 120)
    assert red > 500
    assert reds(draw(Graph((), NOON - timedelta(hours=1), NOON, width=300, height=120))) == ((300, 120), 0)


def test_a_line_is_broken_where_there_is_no_number():
    assert (
        reds(draw(graph_of(1.0, 2.0, nan, nan, 3.0, 4.0)))[1] < reds(draw(graph_of(*map(float, range(6)))))[1]
    )


def test_a_title_is_not_a_formula_and_everything_can_be_shown_at_once():
    size, red = reds(
        draw(
            graph_of(
                1.0, 2.0, title=r"$\frac{1}{$", legend="$x^", axis_labels=True, grid=True, low=0.0, high=5.0
            )
        )
    )
    assert size == (300, 120)
    assert red > 0


def test_the_same_picture_is_drawn_once_and_only_so_many_wait():
    drawn = []

    def run(work):
        drawn.append(work)
        return maybeDeferred(work)

    graphs = Graphs(run)
    graph = Graph((), NOON - timedelta(hours=1), NOON)
    first = result_of(graphs.draw(graph))
    assert result_of(graphs.draw(Graph((), NOON - timedelta(hours=1), NOON))) == first
    assert len(drawn) == 1
    busy = Graphs(lambda work: Deferred())
    for minutes in range(51):
        busy.draw(Graph((), NOON - timedelta(minutes=minutes + 1), NOON))
    with pytest.raises(StoreError, match="too many graphs"):
        busy.draw(Graph((), datetime(2000, 1, 1, tzinfo=UTC), NOON))
