"""Updates as they arrive: complete across a restart of the hub, and errors told at the start."""

from __future__ import annotations

import json
import signal
from datetime import UTC, datetime, timedelta

import pytest

from tests.support.program import captured, hub_here, program, run_program, started_hub, turn
from txbridge.daemon.assembly import socket_of
from txbridge.daemon.tail import tail
from txbridge.errors import AuthError, ConfigError, NotFound
from txbridge.model.structures import Datapoint, Datastream, Environment, Unit

AT = datetime(2020, 1, 1, 6, tzinfo=UTC)


async def feed_with(hub, **values):
    environment = Environment(title="Boiler")
    for name, value in values.items():
        environment.set_current_value(name, value)
    if "temp" in values:
        environment.datastreams["temp"].unit = Unit(symbol="C")
    return int(await hub.client.create_feed(data=environment))


class Tailing:
    """A tail that runs, and what it has shown."""

    def __init__(self, hub, feed_id, datastream_id=None, *, since=None, form="csv"):
        self.hub = hub
        self.terminal = captured()
        self.done = tail(
            hub.reactor,
            hub.client,
            socket_of(hub.reactor, hub.config),
            self.terminal,
            feed_id=feed_id,
            datastream_id=datastream_id,
            since=since,
            form=form,
        )
        self.done.addErrback(lambda failure: failure)

    async def shown(self, count):
        """The lines, when there are as many."""
        for _ in range(1000):
            lines = self.terminal.out.getvalue().splitlines()
            if len(lines) >= count:
                return lines
            await turn(self.hub.reactor)
        raise AssertionError(f"only {lines} came, and {self.terminal.err.getvalue()!r}")

    async def stop(self):
        self.done.addErrback(lambda failure: None)
        self.done.cancel()
        await self.done


async def write(hub, feed_id, name, *values, at=AT):
    points = [Datapoint(at=at + timedelta(seconds=n), value=value) for n, value in enumerate(values)]
    document = Environment(datastreams=[Datastream(id=name, datapoints=points)])
    await hub.client.update_feed(feed_id=feed_id, data=document)


async def test_every_point_of_a_write_is_shown_and_nothing_from_before(tmp_path):
    async with hub_here(tmp_path / "data") as hub:
        feed_id = await feed_with(hub, temp="1")
        tailing = Tailing(hub, feed_id)
        now = datetime.now(UTC) + timedelta(seconds=1)
        while not tailing.terminal.out.getvalue():
            await write(hub, feed_id, "temp", "2", "3", at=now)
            await turn(hub.reactor)
        lines = await tailing.shown(2)
        await tailing.stop()
    assert [line.split(",")[2] for line in lines] == ["2", "3"]


async def test_history_since_an_instant_comes_first(tmp_path):
    async with hub_here(tmp_path / "data") as hub:
        feed_id = await feed_with(hub, temp="9")
        await write(hub, feed_id, "temp", "1", "2", "3")
        tailing = Tailing(hub, feed_id, "temp", since=AT + timedelta(seconds=1), form="json")
        points = [json.loads(line) for line in await tailing.shown(3)]
        await tailing.stop()
    assert [point["value"] for point in points] == ["2", "3", "9"]
    assert points[0] == {
        "feed": feed_id,
        "datastream": "temp",
        "at": "2020-01-01T06:00:01.000000Z",
        "value": "2",
    }


async def test_a_person_sees_units_and_aligned_names(tmp_path):
    async with hub_here(tmp_path / "data") as hub:
        feed_id = await feed_with(hub, temp="20.50", a="1")
        tailing = Tailing(hub, feed_id, since=AT - timedelta(days=1), form="table")
        lines = await tailing.shown(2)
        await tailing.stop()
    assert sorted(line.split("Z", 1)[1] for line in lines) == ["  a     1", "  temp  20.50 C"]


async def test_a_datastream_that_does_not_exist_is_told_at_once(tmp_path):
    async with hub_here(tmp_path / "data") as hub:
        feed_id = await feed_with(hub, temp="1")
        with pytest.raises(ConfigError, match="no datastream 'pump'"):
            await Tailing(hub, feed_id, "pump").done


async def test_a_wrong_feed_and_a_wrong_key_are_told_at_once(tmp_path):
    async with hub_here(tmp_path / "data") as hub:
        with pytest.raises(NotFound):
            await Tailing(hub, 999).done
        hub.client.api_key = "wrong"
        with pytest.raises(AuthError):
            await Tailing(hub, 999).done


def test_a_restart_of_the_hub_is_told_and_nothing_is_missed(tmp_path):
    data = tmp_path / "data"
    with started_hub(data) as hub:
        environ, port = hub.environ, hub.port
        feed = run_program("send", "--title", "Boiler", "temp=1", "--json", environ=environ)
        feed_id = str(json.loads(feed.out)["feed"])
        watching = program("tail", feed_id, "--since", "1hour", "--csv", environ=environ)
        with watching as tailing:
            tailing.expect(r"^temp,.*,1$")
            assert hub.program.stop() == 0
            tailing.expect("the hub is away", "err")
            with started_hub(data, "--listen", f"tcp:{port}:interface=127.0.0.1") as again:
                assert run_program("send", feed_id, "temp=2", environ=again.environ).status == 0
                tailing.expect(r"^temp,.*,2$")
                tailing.expect("the hub is back", "err")
                assert run_program("send", feed_id, "temp=3", environ=again.environ).status == 0
                tailing.expect(r"^temp,.*,3$")
                assert tailing.stop(signal.SIGINT) == 130
            assert "Traceback" not in tailing.err
            assert tailing.out.count("\n") == 3
