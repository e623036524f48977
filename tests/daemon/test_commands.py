"""The plain commands against a hub in this process, over real connections."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime

import pytest

from tests.support.program import captured, hub_here, turn
from txbridge.daemon.commands import (
    NewFeed,
    create_feed,
    delete_feed,
    list_feeds,
    send_lines,
    send_readings,
    show_feed,
)
from txbridge.daemon.readings import Reading
from txbridge.errors import ConfigError, NotFound
from txbridge.model.structures import Environment

AT = datetime(2026, 11, 21, 6, tzinfo=UTC)


async def history_of(hub, feed_id, name):
    walk = hub.client.walk_history(name, "2026-01-01", "2099-01-01", feed_id=feed_id)
    found = []
    while more := await walk.next_datapoints():
        found += more
    return found


class Input:
    """A pipe to be read as standard input."""

    def __init__(self):
        self.reading, self.writing = os.pipe()

    def write(self, text):
        os.write(self.writing, text.encode())

    def end(self):
        os.close(self.writing)
        return self


async def test_a_new_feeds_number_is_all_that_is_printed(tmp_path):
    async with hub_here(tmp_path / "data") as hub:
        terminal = captured()
        new = NewFeed("Boiler", "hot", ("heat",), private=True)
        assert await create_feed(hub.client, terminal, new, "table") == 0
        feed = await hub.client.read_feed(feed_id=int(terminal.out.getvalue()))
    assert (feed.title, feed.description, feed.tags, feed.private) == ("Boiler", "hot", ["heat"], True)
    assert terminal.err.getvalue() == ""


async def test_feeds_are_listed_for_people_and_for_scripts(tmp_path):
    async with hub_here(tmp_path / "data") as hub:
        for number in range(3):
            await hub.client.create_feed(data=Environment(title=f"feed number {number}"))
        people, scripts = captured(), captured()
        assert await list_feeds(hub.client, people, {}, "table") == 0
        assert await list_feeds(hub.client, scripts, {"q": "number 1", "per_page": 1}, "json") == 0
    assert len(people.out.getvalue().splitlines()) == 4
    document = json.loads(scripts.out.getvalue())
    assert document["totalResults"] == 1
    assert document["results"][0]["title"] == "feed number 1"


async def test_no_feeds_is_said_on_stderr_and_an_empty_document(tmp_path):
    async with hub_here(tmp_path / "data") as hub:
        people, scripts = captured(), captured()
        await list_feeds(hub.client, people, {}, "table")
        await list_feeds(hub.client, people, {"q": "x"}, "table")
        await list_feeds(hub.client, scripts, {}, "json")
    assert people.out.getvalue() == ""
    assert people.err.getvalue() == "txbridge: there are no feeds\ntxbridge: there are no such feeds\n"
    assert json.loads(scripts.out.getvalue()) == {"totalResults": 0, "results": []}


async def test_a_feed_is_shown_and_deleted(tmp_path):
    async with hub_here(tmp_path / "data") as hub:
        environment = Environment(title="Boiler")
        environment.set_current_value("temp", "0")
        feed_id = int(await hub.client.create_feed(data=environment))
        people, scripts = captured(), captured()
        await show_feed(hub.client, people, feed_id, "table")
        await show_feed(hub.client, scripts, feed_id, "json")
        assert await delete_feed(hub.client, people, feed_id, "table") == 0
        with pytest.raises(NotFound):
            await delete_feed(hub.client, scripts, feed_id, "json")
    assert "temp" in people.out.getvalue()
    assert f"feed {feed_id} is deleted" in people.err.getvalue()
    assert json.loads(scripts.out.getvalue())["datastreams"][0]["current_value"] == "0"


async def test_values_are_written_to_a_new_feed_with_their_instant(tmp_path):
    async with hub_here(tmp_path / "data") as hub:
        terminal = captured()
        readings = [Reading("temp", AT, "0"), Reading("pump", None, "on")]
        assert await send_readings(hub.client, terminal, NewFeed("Boiler"), readings, "json") == 0
        written = json.loads(terminal.out.getvalue())
        feed = await hub.client.read_feed(feed_id=written["feed"])
    assert written["points"] == 2
    assert (feed.datastreams["temp"].current_value, feed.datastreams["temp"].at) == ("0", AT)
    assert feed.datastreams["pump"].current_value == "on"


async def test_many_lines_arrive_all_in_batches_of_five_hundred(tmp_path):
    async with hub_here(tmp_path / "data") as hub:
        feed_id = int(await hub.client.create_feed(data=Environment(title="Boiler")))
        source = tmp_path / "lines.csv"
        lines = [
            f"{'abc'[n % 3]},2026-11-21T{n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}Z,{n}"
            for n in range(3001)
        ]
        source.write_text("datastream,at,value\n" + "\n".join(lines))
        terminal = captured()
        descriptor = os.open(source, os.O_RDONLY)
        assert await send_lines(hub.reactor, hub.client, terminal, feed_id, descriptor, "table") == 0
        os.close(descriptor)
        counts = [len(await history_of(hub, feed_id, name)) for name in "abc"]
    assert counts == [1001, 1000, 1000]
    assert terminal.out.getvalue() == f"sent 3001 points to feed {feed_id}\n"


async def test_a_line_is_sent_before_the_next_one_comes(tmp_path):
    async with hub_here(tmp_path / "data") as hub:
        feed_id = int(await hub.client.create_feed(data=Environment(title="Boiler")))
        source = Input()
        sending = send_lines(hub.reactor, hub.client, captured(), feed_id, source.reading, "table")
        for value in ("1", "2"):
            source.write(f"temp,,{value}\n")
            for _ in range(500):
                feed = await hub.client.read_feed(feed_id=feed_id)
                if "temp" in feed.datastreams and feed.datastreams["temp"].current_value == value:
                    break
                await turn(hub.reactor)
            assert feed.datastreams["temp"].current_value == value
        source.end()
        assert await sending == 0
        os.close(source.reading)


async def test_lines_of_one_moment_keep_all_their_values(tmp_path):
    async with hub_here(tmp_path / "data") as hub:
        feed_id = int(await hub.client.create_feed(data=Environment(title="Boiler")))
        source = Input()
        source.write("".join(f"temp,,{n}\n" for n in range(600)))
        source.end()
        await send_lines(hub.reactor, hub.client, captured(), feed_id, source.reading, "table")
        os.close(source.reading)
        values = [point.value for point in await history_of(hub, feed_id, "temp")]
    assert values == [str(n) for n in range(600)]


async def test_a_bad_line_is_named_and_what_was_sent_before_it_is_told(tmp_path):
    async with hub_here(tmp_path / "data") as hub:
        feed_id = int(await hub.client.create_feed(data=Environment(title="Boiler")))
        source = Input()
        terminal = captured()
        sending = send_lines(hub.reactor, hub.client, terminal, feed_id, source.reading, "table")
        source.write("temp,,1\n")
        while "temp" not in (await hub.client.read_feed(feed_id=feed_id)).datastreams:
            await turn(hub.reactor)
        source.write("nonsense\n")
        with pytest.raises(ConfigError, match="line 2: 'nonsense'"):
            await sending
        source.end()
        os.close(source.reading)
    assert "1 point had been sent to feed" in terminal.err.getvalue()


async def test_an_empty_input_makes_no_feed(tmp_path):
    async with hub_here(tmp_path / "data") as hub:
        source = Input().end()
        with pytest.raises(ConfigError, match="nothing to send"):
            await send_lines(hub.reactor, hub.client, captured(), NewFeed("Boiler"), source.reading, "table")
        os.close(source.reading)
        assert await hub.client.list_all_feeds() == []
