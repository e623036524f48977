"""History in every form, against a hub in this process."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.program import captured, hub_here
from txbridge.daemon.config import Span
from txbridge.daemon.history import HistoryRequest, history
from txbridge.errors import NotFound
from txbridge.model.structures import Datapoint, Datastream, Environment, Unit

START = datetime(2026, 11, 21, tzinfo=UTC)
DAY = Span(START, START + timedelta(days=1))


async def shown(hub, feed_id, datastream_id=None, **more):
    """What is shown of a day, as text, and what is said."""
    terminal = captured()
    request = HistoryRequest(feed_id, datastream_id, **{"span": DAY, **more})
    assert await history(hub.client, terminal, request) == 0
    return terminal.out.getvalue(), terminal.err.getvalue()


async def filled(hub, count=1200):
    """A feed with a point each minute, and another datastream with two."""
    feed_id = int(await hub.client.create_feed(data=Environment(title="Boiler")))
    for first in range(0, count, 400):
        points = [
            Datapoint(at=START + timedelta(minutes=n), value=n) for n in range(first, min(first + 400, count))
        ]
        stream = Datastream(id="temp", unit=Unit(symbol="C"), datapoints=points)
        await hub.client.update_feed(feed_id=feed_id, data=Environment(datastreams=[stream]))
    door = Datastream(
        id="door", datapoints=[Datapoint(at=START, value="open"), Datapoint(at=DAY.end, value="a,b")]
    )
    await hub.client.update_feed(feed_id=feed_id, data=Environment(datastreams=[door]))
    return feed_id


async def test_all_points_are_shown_past_what_one_answer_holds(tmp_path):
    async with hub_here(tmp_path / "data") as hub:
        feed_id = await filled(hub)
        text, said = await shown(hub, feed_id, "temp")
    lines = text.splitlines()
    assert len(lines) == 1200
    assert lines[0] == "2026-11-21 00:00:00.000Z  temp  0 C"
    assert lines[-1] == "2026-11-21 19:59:00.000Z  temp  1199 C"
    assert said == ""


async def test_csv_is_what_send_reads(tmp_path):
    async with hub_here(tmp_path / "data") as hub:
        feed_id = await filled(hub, count=1)
        text, _ = await shown(hub, feed_id, form="csv")
    assert text.splitlines() == [
        "door,2026-11-21T00:00:00.000000Z,open",
        'door,2026-11-22T00:00:00.000000Z,"a,b"',
        "temp,2026-11-21T00:00:00.000000Z,0",
    ]


async def test_json_is_one_document_in_the_shape_of_the_feed(tmp_path):
    async with hub_here(tmp_path / "data") as hub:
        feed_id = await filled(hub, count=1100)
        text, _ = await shown(hub, feed_id, form="json")
    document = json.loads(text)
    counts = {stream["id"]: len(stream["datapoints"]) for stream in document["datastreams"]}
    assert (document["id"], counts) == (feed_id, {"door": 2, "temp": 1100})
    assert Environment.decode(text).datastreams["temp"].datapoints[-1].value == "1099"


async def test_a_limit_keeps_the_earliest_of_each_datastream(tmp_path):
    async with hub_here(tmp_path / "data") as hub:
        feed_id = await filled(hub, count=5)
        text, _ = await shown(hub, feed_id, form="csv", limit=2)
    assert [line.rsplit(",", 1)[-1] for line in text.splitlines()][-2:] == ["0", "1"]
    assert len(text.splitlines()) == 4


async def test_samples_include_the_newest_point_and_none_from_after_the_end(tmp_path):
    async with hub_here(tmp_path / "data") as hub:
        feed_id = await filled(hub, count=100)
        span = Span(START, START + timedelta(minutes=70, seconds=30))
        text, _ = await shown(hub, feed_id, "temp", form="csv", interval=3600, span=span)
        complete, _ = await shown(hub, feed_id, "temp", form="csv", interval=3600)
    assert [line.rsplit(",", 1)[-1] for line in complete.splitlines()] == ["0", "60", "99"]
    assert [line.rsplit(",", 1)[-1] for line in text.splitlines()] == ["0", "60"]


async def test_a_sample_from_after_the_end_leaves_the_document_whole(tmp_path):
    async with hub_here(tmp_path / "data") as hub:
        feed_id = await filled(hub, count=100)
        span = Span(START - timedelta(hours=1), START - timedelta(minutes=1))
        text, _ = await shown(hub, feed_id, "temp", form="json", interval=3600, span=span)
    assert json.loads(text) == {"id": feed_id, "datastreams": [{"id": "temp", "datapoints": []}]}


async def test_a_chart_is_drawn_for_each_datastream_that_has_points(tmp_path):
    async with hub_here(tmp_path / "data") as hub:
        feed_id = await filled(hub, count=100)
        text, _ = await shown(hub, feed_id, form="plot")
    assert f"feed {feed_id}: temp (C)" in text
    assert f"feed {feed_id}: door: there are no numbers to draw" in text
    assert "00:00" in text


@pytest.mark.parametrize("form", ["table", "plot"])
async def test_an_empty_stretch_is_said(tmp_path, form):
    async with hub_here(tmp_path / "data") as hub:
        feed_id = await filled(hub, count=1)
        span = Span(START - timedelta(days=2), START - timedelta(days=1))
        text, said = await shown(hub, feed_id, form=form, span=span)
    assert text == ""
    assert "there is nothing from 2026-11-19T00:00:00.000000Z to 2026-11-20" in said


async def test_an_empty_stretch_is_an_empty_document_for_scripts(tmp_path):
    async with hub_here(tmp_path / "data") as hub:
        feed_id = int(await hub.client.create_feed(data=Environment(title="Boiler")))
        text, said = await shown(hub, feed_id, form="json")
        nothing, _ = await shown(hub, feed_id, form="csv")
    assert json.loads(text) == {"id": feed_id, "datastreams": []}
    assert (said, nothing) == ("", "")


async def test_a_datastream_that_does_not_exist_is_an_error(tmp_path):
    async with hub_here(tmp_path / "data") as hub:
        feed_id = await filled(hub, count=1)
        with pytest.raises(NotFound):
            await shown(hub, feed_id, "pump")
