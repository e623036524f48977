"""A device of iobeam, by the commands, at a hub in this process, over real connections."""

from __future__ import annotations

import json
import os
from contextlib import asynccontextmanager, contextmanager
from tempfile import TemporaryFile

import pytest
from attrs import frozen

from tests.support.program import Hub, captured, hub_here, turn
from txbridge.daemon.assembly import iobeam_account_of, iobeam_of
from txbridge.daemon.config import IobeamConfig
from txbridge.daemon.iobeam import (
    NewDevice,
    QueryRequest,
    explained,
    keep_token,
    query,
    register,
    send_lines,
    send_readings,
)
from txbridge.daemon.iobeam_readings import Reading
from txbridge.errors import ConfigError, ConnectError, DecodeError
from txbridge.iobeam import Client, ExportedPoint, ExportedSeries, QueryReq, TimeUnit, projects
from txbridge.iobeam.errors import DuplicateIdError, TokenRefused

T0 = 1_450_000_000_000_000
ISO = "2015-12-13T09:46:40.{:06}Z".format
SECOND = 1_000_000


@frozen
class Device:
    """A client of a project with the device ``pump-3``."""

    hub: Hub
    client: Client

    async def __call__(self, command, *words):
        terminal = captured()
        assert await command(self.client, terminal, *words) == 0
        return terminal.out.getvalue(), terminal.err.getvalue()

    async def show(self, form="json", device="pump-3", series=None, start=None, end=None):
        asked = QueryReq(self.client.project_id, device, series, TimeUnit.MICROSECONDS)
        out, _ = await self(query, QueryRequest(asked, start, end, form))
        return out

    async def data(self, series, device="pump-3"):
        (found,) = json.loads(await self.show(device=device, series=series))["series"]
        return [(point["at"], point["value"]) for point in found["data"]]


async def with_token(hub, token, project):
    return iobeam_of(hub.reactor, IobeamConfig(hub.config.iobeam_url, project, token))


@asynccontextmanager
async def device_here(folder):
    async with hub_here(folder / "data") as hub:
        account = iobeam_account_of(hub.reactor, hub.config)
        made = await account.run(projects.create_project("Pumps", 7))
        token = await account.run(projects.create_token(made.number, ("read", "write")))
        client = await with_token(hub, token.text, made.number)
        try:
            await client.registerDevice("pump-3")
            yield Device(hub, client)
        finally:
            await client.close()
            await account.close()


@contextmanager
def input_of(text):
    """A file to be read as standard input."""
    with TemporaryFile() as file:
        file.write(text.encode())
        file.seek(0)
        yield file.fileno()


async def send(device, text, unit=None, form="table", terminal=None):
    shown = captured() if terminal is None else terminal
    with input_of(text) as descriptor:
        sending = send_lines(device.hub.reactor, device.client, shown, "pump-3", descriptor, unit, form)
        assert await sending == 0
    return shown.out.getvalue()


# ------------------------------------------------------------------------------------------ register


async def test_a_new_devices_id_is_all_that_is_printed(tmp_path):
    async with device_here(tmp_path) as device:
        assert await device(register, NewDevice("pump-4"), "table") == ("pump-4\n", "")
        out, _ = await device(register, NewDevice(), "table")
        assert len(out.strip()) > 16
        out, _ = await device(register, NewDevice("pump-5", "The pump", "pump"), "json")
        assert json.loads(out) == {
            "project": 7,
            "device_id": "pump-5",
            "device_name": "The pump",
            "device_type": "pump",
        }


async def test_an_id_that_is_there_is_refused_or_taken_as_it_is(tmp_path):
    async with device_here(tmp_path) as device:
        with pytest.raises(DuplicateIdError):
            await device(register, NewDevice("pump-3"), "table")
        assert await device(register, NewDevice("pump-3", or_set=True), "table") == ("pump-3\n", "")


# ---------------------------------------------------------------------------------------------- send


async def test_values_of_one_moment_are_written_with_their_types(tmp_path):
    async with device_here(tmp_path) as device:
        values = {"flow": 4.5, "rpm": 900, "on": True, "state": "idle"}
        out, _ = await device(send_readings, "pump-3", [Reading(T0 + 1, values)], "table")
        assert out == "sent 4 points to device pump-3\n"
        for series, value in values.items():
            assert await device.data(series) == [(ISO(1), value)]
        out, _ = await device(send_readings, "pump-3", [Reading(None, {"flow": 0})], "json")
        assert json.loads(out) == {"device": "pump-3", "points": 1}
        assert [value for _, value in await device.data("flow")] == [4.5, 0]


async def test_many_lines_arrive_all(tmp_path):
    async with device_here(tmp_path) as device:
        csv = [f"{'abc'[n % 3]},{T0 + n},{n}" for n in range(1500)]
        rows = [json.dumps({"time": T0 + n, "x": n, "y": -n, "z": "text"}) for n in range(700)]
        out = await send(device, "series,time,value\n" + "\n".join(csv + rows), TimeUnit.MICROSECONDS)
        assert out == f"sent {1500 + 3 * 700} points to device pump-3\n"
        assert [value for _, value in await device.data("b")] == list(range(1, 1500, 3))
        assert [value for _, value in await device.data("y")] == [-n for n in range(700)]


async def test_a_line_is_sent_before_the_next_one_comes(tmp_path):
    async with device_here(tmp_path) as device:
        reading, writing = os.pipe()
        sending = send_lines(device.hub.reactor, device.client, captured(), "pump-3", reading, None, "table")
        for count in (1, 2):
            os.write(writing, b"flow,,5\n")
            for _ in range(500):
                found = json.loads(await device.show(series="flow"))["series"]
                if found and len(found[0]["data"]) == count:
                    break
                await turn(device.hub.reactor)
            assert len(found[0]["data"]) == count
        os.close(writing)
        assert await sending == 0
        os.close(reading)


async def test_lines_of_one_moment_keep_all_their_values(tmp_path):
    async with device_here(tmp_path) as device:
        await send(device, "flow,,1\nflow,,2\n" + '{"flow": 3}\n')
        assert [value for _, value in await device.data("flow")] == [1, 2, 3]


async def test_what_had_been_sent_before_a_bad_line_is_told(tmp_path):
    async with device_here(tmp_path) as device:
        terminal = captured()
        text = "\n".join(f"flow,{T0 + n},{n}" for n in range(9000)) + "\nnonsense\n"
        with pytest.raises(ConfigError, match="line 9001: 'nonsense' is neither"):
            await send(device, text, TimeUnit.MICROSECONDS, terminal=terminal)
        sent = int(terminal.err.getvalue().split()[1])
        assert "points had been sent to device pump-3 before this went wrong:" in terminal.err.getvalue()
        assert len(await device.data("flow")) == sent > 1000


async def test_an_empty_input_is_a_mistake(tmp_path):
    async with device_here(tmp_path) as device:
        with pytest.raises(ConfigError, match="there was nothing to send"):
            await send(device, "series,time,value\n\n")


async def test_a_device_that_nobody_registered_is_told(tmp_path):
    async with device_here(tmp_path) as device:
        with pytest.raises(ConfigError, match="'txbridge iobeam register nobody' makes it"):
            await device(send_readings, "nobody", [Reading(T0, {"flow": 1})], "table")
        with pytest.raises(ConfigError, match="'txbridge iobeam register nobody' makes it"):
            await device.show(device="nobody")


# --------------------------------------------------------------------------------------------- query


@asynccontextmanager
async def measured(folder):
    """``flow`` each second, and one text."""
    async with device_here(folder) as device:
        rows = [Reading(T0 + n * SECOND, {"flow": n * 1.5}) for n in range(5)]
        await device(send_readings, "pump-3", [*rows, Reading(T0 + 1, {"state": "a \u202eb"})], "table")
        yield device


async def test_points_are_lines_for_people_and_cannot_steer_the_terminal(tmp_path):
    async with measured(tmp_path) as device:
        lines = (await device.show("table", device=None)).splitlines()
        assert lines[0] == "2015-12-13 09:46:40.000Z  pump-3  flow   0.0"
        assert lines[-1] == "2015-12-13 09:46:40.000Z  pump-3  state  a \\u202eb"


async def test_points_are_a_document_for_scripts(tmp_path):
    async with measured(tmp_path) as device:
        document = json.loads(await device.show("json", series="flow"))
        assert document["project"] == 7
        (series,) = document["series"]
        assert (series["device_id"], series["name"]) == ("pump-3", "flow")
        assert series["data"][1] == {"at": "2015-12-13T09:46:41.000000Z", "value": 1.5}


async def test_csv_goes_to_another_device_as_it_is(tmp_path):
    async with measured(tmp_path) as device:
        lines = await device.show("csv", series="flow")
        assert lines.splitlines()[1] == "flow,2015-12-13T09:46:41.000000Z,1.5"
        await device.client.registerDevice("pump-4")
        with input_of(lines) as descriptor:
            await send_lines(
                device.hub.reactor, device.client, captured(), "pump-4", descriptor, None, "table"
            )
        assert await device.data("flow", "pump-4") == await device.data("flow")


async def test_an_instant_is_meant_to_the_microsecond(tmp_path):
    """What travels is milliseconds."""
    async with device_here(tmp_path) as device:
        rows = [Reading(T0 + n, {"flow": n}) for n in range(10)]
        await device(send_readings, "pump-3", rows, "table")
        out = await device.show("csv", start=T0 + 3, end=T0 + 5)
        assert [line.rpartition(",")[2] for line in out.splitlines()] == ["3", "4", "5"]


async def test_a_chart_is_drawn_for_each_series_of_numbers(tmp_path):
    async with measured(tmp_path) as device:
        out = await device.show("plot")
        assert "pump-3: flow" in out
        assert "pump-3: state: there are no numbers to draw" in out


async def test_that_there_is_nothing_is_said_to_people_alone(tmp_path):
    async with device_here(tmp_path) as device:
        asked = QueryReq(7, "pump-3", None, TimeUnit.MICROSECONDS)
        assert await device(query, QueryRequest(asked)) == ("", "txbridge: there is nothing\n")
        out, err = await device(query, QueryRequest(asked, form="json"))
        assert (json.loads(out), err) == ({"project": 7, "series": []}, "")


async def test_an_instant_of_no_calendar_is_told(tmp_path):
    class Far:
        project_id = 7

        async def run(self, operation):
            return [ExportedSeries("pump-3", "flow", (ExportedPoint(2**62, 1),))]

    asked = QueryReq(7, "pump-3", None, TimeUnit.MICROSECONDS)
    with pytest.raises(DecodeError, match="is in no calendar"):
        await query(Far(), captured(), QueryRequest(asked))


# --------------------------------------------------------------------------------------------- token


async def test_a_token_that_is_about_to_end_is_followed_by_its_successor_in_its_file(tmp_path):
    async with device_here(tmp_path) as device:
        hub = device.hub
        account = iobeam_account_of(hub.reactor, hub.config)
        short = (await account.run(projects.create_token(7, ("read", "write"), duration="12h"))).text
        await account.close()
        path = tmp_path / "short.token"
        path.write_text(short)
        config = IobeamConfig(hub.config.iobeam_url, 7, short, str(path))
        terminal = captured()
        client = iobeam_of(hub.reactor, config, lambda token: keep_token(terminal, config, token))
        await send_readings(client, captured(), "pump-3", [Reading(T0, {"flow": 1})], "table")
        await client.close()
        said = terminal.err.getvalue()
        assert said == f"txbridge: the token in {path} was about to end; the next one is there now\n"
        assert path.read_text().strip() == client.project_token != short
        assert path.stat().st_mode & 0o777 == 0o600


async def test_an_adopted_token_that_ended_long_ago_stays_in_its_file(tmp_path):
    async with device_here(tmp_path) as device:
        hub = device.hub
        old = "e30.eyJwaWQiOjcsImV4cCI6MTQ1MDAwMDAwMH0.e30"  # of project 7
        account = iobeam_account_of(hub.reactor, hub.config)
        await account.run(projects.adopt_token(7, old, ("read", "write")))
        path = tmp_path / "old.token"
        path.write_text(old)
        config = IobeamConfig(hub.config.iobeam_url, 7, old, str(path))
        client = iobeam_of(hub.reactor, config, lambda token: keep_token(captured(), config, token))
        await send_readings(client, captured(), "pump-3", [Reading(T0, {"flow": 1})], "table")
        await client.close()
        assert path.read_text() == old
        assert len(await account.run(projects.list_tokens(7))) == 2
        await account.close()


def test_a_successor_that_cannot_be_kept_is_told_and_not_shown(tmp_path):
    nowhere = captured()
    keep_token(nowhere, IobeamConfig("u", 7, "old", None), "secret")
    assert "'txbridge hub token create' makes another" in nowhere.err.getvalue()
    refused = captured()
    (tmp_path / "file").write_text("")
    keep_token(refused, IobeamConfig("u", 7, "old", str(tmp_path / "file" / "token")), "secret")
    assert "cannot write the next: " in refused.err.getvalue()
    assert "secret" not in nowhere.err.getvalue() + refused.err.getvalue()


async def test_a_token_that_nobody_made_is_refused(tmp_path):
    async with device_here(tmp_path) as device:
        client = await with_token(device.hub, "e30.e30.e30", 7)
        with pytest.raises(TokenRefused):
            await query(client, captured(), QueryRequest(QueryReq(7)))
        await client.close()


async def test_that_no_service_is_there_is_told_with_what_says_where_it_is():
    terminal = captured()

    async def command():
        raise ConnectError("hub:80", "refused")

    assert await explained(terminal, command) == 69
    assert "TXBRIDGE_IOBEAM_URL says where it is" in terminal.err.getvalue()
