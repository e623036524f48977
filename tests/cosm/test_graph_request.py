"""Pictures of datastreams: what a request asks for, and what is drawn."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from math import isnan

import numpy as np
import pytest
import pytest_twisted
from PIL import Image

from tests.support.hub import NOON, STRANGER, document, header, running_hub
from txbridge.cosm.graph_request import parse_graph, with_points
from txbridge.cosm.negotiation import Parameters
from txbridge.cosm.refusal import Refusal
from txbridge.model.structures import Datapoint, Datastream


def parsed(query):
    return parse_graph(Parameters.parse(query), NOON, None)


def picture(data):
    """The size and the colours of a picture."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    return image.size, np.asarray(image).reshape(-1, 3)


def test_a_graph_without_a_wish_is_of_the_last_day():
    graph, query = parsed("")
    assert (graph.width, graph.height, graph.colour, graph.stroke) == (545, 145, "#f15a24", 4.0)
    assert (graph.start, graph.end) == (NOON - timedelta(hours=24), NOON)
    assert (query.start, query.end, query.interval) == (graph.start, graph.end, 300)


@pytest.mark.parametrize("style", ["short", "long"])
def test_every_wish_has_a_short_and_a_long_name(style):
    short = "w=300&h=200&c=%23ff0000&t=Boiler&l=flow&s=2&b=true&g=true"
    long = (
        "width=300&height=200&colour=ff0000&title=Boiler&legend=flow&stroke_size=2"
        "&show_axis_labels=true&detailed_grid=true"
    )
    graph, _ = parsed(short if style == "short" else long)
    assert (graph.width, graph.height, graph.colour) == (300, 200, "#ff0000")
    assert (graph.title, graph.legend, graph.stroke) == ("Boiler", "flow", 2.0)
    assert graph.axis_labels
    assert graph.grid


@pytest.mark.parametrize(
    ("query", "seconds"), [("", 120), ("w=100&duration=7days", 3600), ("w=2000&duration=30minutes", 0)]
)
def test_whoever_asks_while_a_pixel_of_time_passes_is_shown_the_same_picture(query, seconds):
    def at(after):
        return parse_graph(Parameters.parse(query), NOON + timedelta(seconds=after), None)

    assert at(0.25)[0].end == NOON + timedelta(seconds=seconds or 0.25)
    assert (at(0.25) == at(0.75)) == bool(seconds)
    graph, history = at(0.25)
    assert history.end == graph.end
    assert graph.end - graph.start == parsed(query)[0].end - parsed(query)[0].start
    assert at(seconds + 1)[0].end > graph.end


def test_an_end_that_was_asked_for_is_the_end():
    assert parsed("end=2013-06-03T11:59:59.5Z")[0].end == NOON - timedelta(seconds=0.5)
    assert parsed("start=2013-06-03T00:00:01Z")[0].start == NOON - timedelta(hours=12, seconds=-1)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("w=5", "Width must be from 10"),
        ("h=99999", "Height must be from 10"),
        ("w=x", "whole number"),
        ("c=red", "Colour is not"),
        ("duration=soon", "Duration is malformed"),
        ("start=2013-06-03T12:00:00Z&end=2013-06-03T11:00:00Z", "Start must be before end"),
        ("scale=manual&min=5&max=1", "Min must be below max"),
        ("t=" + "x" * 201, "Title is too long"),
        ("duration=99999years", "beyond the calendar"),
        ("start=0001-01-02T00:00:00Z&duration=1day", "from the year 1000"),
        ("end=9999-12-31T23:59:59Z&duration=10years", "to 3000"),
        ("scale=manual&min=1e308", "Min is larger"),
        ("scale=manual&min=0&max=1.7e308", "Max is larger"),
    ],
)
def test_a_wish_that_cannot_be_granted_is_refused_in_words(query, words):
    with pytest.raises(Refusal) as raised:
        parsed(query)
    assert raised.value.status == 422
    assert words in raised.value.errors


def test_the_line_is_broken_where_points_are_missing_and_text_is_left_out():
    graph, _ = parsed("")
    minutes = [0, 1, 2, 3, 30, 31]
    points = [Datapoint(at=NOON + timedelta(minutes=one), value=str(one)) for one in minutes]
    drawn = with_points(
        graph, None, Datastream(), [*points, Datapoint(at=NOON + timedelta(hours=1), value="on")]
    )
    values = [value for _, value in drawn.points]
    assert [value for value in values if not isnan(value)] == minutes
    assert isnan(values[4])


def test_what_is_larger_than_can_be_drawn_is_left_out():
    graph, _ = parsed("scale=datastream")
    stream = Datastream(min_value="-1e308", max_value="1e999")
    drawn = with_points(
        graph, "datastream", stream, [Datapoint(at=NOON, value=text) for text in ("1e308", "-1e999")]
    )
    assert (drawn.points, drawn.low, drawn.high) == ((), None, None)


def test_the_scale_may_be_the_datastreams_own():
    graph, _ = parsed("")
    drawn = with_points(graph, "datastream", Datastream(min_value="-5", max_value="50"), [])
    assert (drawn.low, drawn.high) == (-5.0, 50.0)
    manual, _ = parsed("scale=manual&min=1.5&max=3")
    assert (manual.low, manual.high) == (1.5, 3.0)


@pytest_twisted.async_yield_fixture
async def hub(tmp_path):
    async with running_hub(tmp_path, graphs=True) as running:
        points = [{"at": (NOON - timedelta(hours=one)).isoformat(), "value": str(one)} for one in range(30)]
        streams = [{"id": "t", "datapoints": points}, {"id": "pump", "current_value": "on"}]
        await running.feed(json.dumps({"title": "x", "private": True, "datastreams": streams}))
        yield running


@pytest.mark.parametrize("target", ["t.png", "t.png?w=200&h=100&duration=2days", "pump.png", "t"])
@pytest_twisted.ensureDeferred
async def test_a_datastream_is_to_be_had_as_a_picture(hub, target):
    accept = {} if ".png" in target else {"accept": "image/png"}
    response = await hub.get(f"/v2/feeds/1/datastreams/{target}", headers=accept)
    assert (response.status, header(response, "content-type")) == (200, "image/png")
    size, _ = picture(response.body)
    assert size == ((200, 100) if "w=200" in target else (545, 145))
    again = await hub.get(
        f"/v2/feeds/1/datastreams/{target}", headers={**accept, "if-none-match": header(response, "etag")}
    )
    assert again.status == 304


@pytest.mark.parametrize(
    ("target", "key", "status"),
    [
        ("feeds/1/datastreams/t.png", STRANGER, 403),
        ("feeds/1/datastreams/none.png", None, 401),
        ("feeds/9/datastreams/t.png", STRANGER, 404),
        ("feeds/1/datastreams/t.png?w=1", STRANGER, 422),
        ("feeds/1.png", STRANGER, 406),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_picture_is_refused_as_everything_is(hub, target, key, status):
    response = await hub.get(f"/v2/{target}", key=key)
    assert response.status == status
    assert header(response, "content-type") == "text/plain; charset=utf-8"


@pytest_twisted.ensureDeferred
async def test_json_is_still_what_is_given_unless_something_else_is_wanted(hub):
    response = await hub.get("/v2/feeds/1/datastreams/t", headers={"accept": "*/*"})
    assert document(response)["id"] == "t"
