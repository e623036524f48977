"""A relay's routes: on their own, changed by a new configuration and by nothing else."""

from __future__ import annotations

import json
import os
import socket
from contextlib import contextmanager

import pytest
from twisted.logger import formatEvent, globalLogPublisher

from tests.support.program import hub_here, turn
from tests.support.relay_daemon import LineClient, RelayHere, until
from txbridge.daemon.relay_control import ask_relay
from txbridge.errors import ConfigError
from txbridge.model.structures import Environment
from txbridge.relay.status import LinkState

ADMIN = 'admin.listen = "tcp:0:interface=127.0.0.1"\n'


def noting(messages):
    """A service manager: a socket whose messages can be read."""
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(messages)
    manager.setblocking(False)
    return manager


def told(manager):
    """What a service manager was told since the last time."""
    messages = []
    while True:
        try:
            messages.append(manager.recv(1000).decode())
        except BlockingIOError:
            return messages


async def made_feed(hub, title="Boiler"):
    return int(await hub.client.create_feed(data=Environment(title=title)))


async def values(hub, feed=1):
    found = await hub.client.read_feed(feed_id=feed)
    return {name: stream.current_value for name, stream in found.datastreams.items()}


async def test_what_is_accepted_arrives(tmp_path):
    async with hub_here(tmp_path / "hub") as hub:
        await made_feed(hub)
        here = RelayHere(tmp_path)
        async with here.running(here.route(hub)) as relay:
            await relay.send("temp,,21.50\npump,,on\n")
            await until(lambda: relay.delivered() == 2)
            assert await values(hub) == {"temp": "21.50", "pump": "on"}
            assert relay.daemon.report().reasons == ()


async def test_one_that_runs_tells_how_it_is_over_its_own_socket_and_over_http(tmp_path):
    async with hub_here(tmp_path / "hub") as hub:
        await made_feed(hub)
        here = RelayHere(tmp_path)
        async with here.running(ADMIN + here.route(hub)) as relay:
            await relay.send("temp,,1\n")
            await until(lambda: relay.delivered() == 1)
            report = await ask_relay(relay.reactor, str(tmp_path / "state"))
            assert report["pid"] == os.getpid()
            assert report["routes"][0]["status"]["destinations"][0]["delivered"] == 1
            assert oct((tmp_path / "state" / "control").stat().st_mode)[-3:] == "600"
            assert relay.daemon.addresses[0].startswith("http://127.0.0.1:")


async def test_a_cloud_that_is_down_at_the_start_is_waited_for(tmp_path):
    async with hub_here(tmp_path / "hub") as hub:
        feed = await made_feed(hub)
        here = RelayHere(tmp_path)
        nowhere = here.route(hub).replace(hub.config.url, "http://127.0.0.1:9/v2")
        async with here.running(nowhere) as relay:
            await relay.send("temp,,1\n")
            await until(lambda: relay.report().status.destinations[0].state is LinkState.AWAY)
            assert relay.report().status.destinations[0].pending_points == 1
            assert await relay.daemon.reload(lambda: relay.config(here.route(hub)))
            await until(lambda: relay.delivered() == 1)
        assert await values(hub, feed) == {"temp": "1"}


async def test_a_route_that_cannot_be_made_stops_no_other_and_is_tried_again(tmp_path, flushed_errors):
    async with hub_here(tmp_path / "hub") as hub:
        await made_feed(hub)
        here = RelayHere(tmp_path)
        url = hub.config.url.removesuffix("/v2")
        attic = f"""
            [routes.attic]
            from.cosm = {{ url = "{url}", feed = 1, key.file = "other.key" }}
            to.hub.cosm = {{ url = "{url}", feed = 1, key.file = "hub.key" }}
            accept = ["gaps dropped"]
        """
        async with here.running(here.route(hub) + attic) as relay:
            await relay.send("temp,,1\n")
            await until(lambda: relay.delivered() == 1)
            assert "other.key" in relay.report("attic").problem
            assert "route attic does not run" in relay.daemon.report().reasons[0]
            (tmp_path / "other.key").write_text(hub.config.api_key)
            assert await relay.daemon.reload(lambda: relay.config(here.route(hub) + attic))
            await until(lambda: relay.report("attic").problem is None)


async def test_a_destination_whose_key_is_not_there_keeps_no_other_waiting(
    tmp_path, monkeypatch, flushed_errors
):
    monkeypatch.setattr("txbridge.daemon.relay_daemon.SECRETS_EVERY", 0.1)
    monkeypatch.setattr("txbridge.daemon.relay_daemon.LOOK_EVERY", 0.05)
    async with hub_here(tmp_path / "hub") as hub:
        await made_feed(hub)
        other = await made_feed(hub, "Other")
        here = RelayHere(tmp_path)
        url = hub.config.url.removesuffix("/v2")
        more = f'to.other.cosm = {{ url = "{url}", feed = {other}, key.file = "other.key" }}\n'
        async with here.running(here.route(hub) + more) as relay:
            await relay.send("temp,,1\n")
            await until(lambda: relay.delivered() == 1)
            waiting = relay.report().status.destinations[1]
            assert (waiting.name, waiting.state) == ("other", LinkState.NEEDS_ATTENTION)
            assert "other.key" in waiting.last_error
            (tmp_path / "other.key").write_text(hub.config.api_key)
            await until(lambda: (now := relay.report().status) and now.destinations[1].delivered == 1)
        assert await values(hub) == await values(hub, other) == {"temp": "1"}


async def test_routes_that_begin_at_once_share_one_ledger(tmp_path):
    async with hub_here(tmp_path / "hub") as hub:
        here = RelayHere(tmp_path)
        names = [f"r{number}" for number in range(5)]
        async with here.running("".join(here.route(hub, name) for name in names)) as relay:
            assert [relay.report(name).problem for name in names] == [None] * 5
            assert all(relay.report(name).status for name in names)


async def test_a_reload_touches_nothing_but_what_has_changed(tmp_path):
    async with hub_here(tmp_path / "hub") as hub:
        for title in ("one", "two"):
            await made_feed(hub, title)
        here = RelayHere(tmp_path)
        one, two, three = (here.route(hub, name) for name in ("same", "other", "gone"))
        async with here.running(one + two + three) as relay:
            for name in ("same", "other", "gone"):
                await relay.send("temp,,1\n", name)
                await until(lambda name=name: relay.delivered(name) == 1)
            new = one + here.route(hub, "other", feed=2) + here.route(hub, "new")
            assert await relay.daemon.reload(lambda: relay.config(new))
            assert relay.delivered("same") == 1
            assert relay.report("gone") is None
            await relay.send("temp,,2\n", "other")
            await relay.send("temp,,3\n", "new")
            await until(lambda: relay.delivered("other") == relay.delivered("new") == 1)
            assert await values(hub, 2) == {"temp": "2"}
            assert [one.name for one in relay.daemon.report().routes] == ["same", "other", "new"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda text: text.replace("feed = 1", "feeed = 1"), "did you mean feed"),
        (lambda text: text.replace("hub.key", "none.key"), "none.key"),
        (lambda text: f'admin.listen = "tcp:0:interface=192.0.2.1"\n{text}', "cannot listen"),
        (lambda text: f'log = "json"\n{text}', "by a new start"),
    ],
)
async def test_a_configuration_that_cannot_be_run_changes_nothing_and_is_told(
    tmp_path, change, problem, flushed_errors
):
    async with hub_here(tmp_path / "hub") as hub:
        await made_feed(hub)
        here = RelayHere(tmp_path)
        text = here.route(hub)
        async with here.running(text) as relay:
            await relay.send("temp,,1\n")
            await until(lambda: relay.delivered() == 1)
            assert not await relay.daemon.reload(lambda: relay.config(change(text)))
            assert problem in "\n".join(relay.daemon.report().reload_problems)
            await relay.send("temp,,2\n")
            await until(lambda: relay.delivered() == 2)
            assert await relay.daemon.reload(lambda: relay.config(text))
            assert relay.daemon.report().reload_problems == ()


async def test_a_key_that_is_replaced_is_found_without_being_told(tmp_path, monkeypatch, flushed_errors):
    monkeypatch.setattr("txbridge.daemon.relay_daemon.SECRETS_EVERY", 0.1)
    monkeypatch.setattr("txbridge.daemon.relay_daemon.LOOK_EVERY", 0.05)
    async with hub_here(tmp_path / "hub") as hub:
        await made_feed(hub)
        here = RelayHere(tmp_path)
        text = here.route(hub)
        (tmp_path / "hub.key").write_text("an old key")
        async with here.running(text) as relay:
            await relay.send("temp,,1\n")
            await until(lambda: relay.report().status.destinations[0].state is LinkState.NEEDS_ATTENTION)
            assert "needs attention" in relay.daemon.report().reasons[0]
            (tmp_path / "hub.key").write_text(hub.config.api_key)
            await until(lambda: relay.delivered() == 1)  # what waited for the key
        assert await values(hub) == {"temp": "1"}


async def test_the_service_manager_is_told_how_it_goes_and_that_it_is_alive(tmp_path, monkeypatch):
    monkeypatch.setattr("txbridge.daemon.relay_daemon.LOOK_EVERY", 0.05)
    path = str(tmp_path / "notify")
    with noting(path) as manager:
        async with hub_here(tmp_path / "hub") as hub:
            here = RelayHere(tmp_path, {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "100000"})
            async with here.running(here.route(hub)):
                messages = []

                def both():
                    messages.extend(told(manager))
                    return "WATCHDOG=1" in messages and any(
                        one.startswith("STATUS=1 route") for one in messages
                    )

                await until(both)


@contextmanager
def logged():
    """What the relay's own log says while a block runs."""
    events = []
    globalLogPublisher.addObserver(events.append)
    try:
        yield lambda: [
            formatEvent(one)
            for one in events
            if one.get("log_namespace") == "txbridge.daemon.relay_daemon._Route"
        ]
    finally:
        globalLogPublisher.removeObserver(events.append)


async def test_losses_are_news_once(tmp_path, monkeypatch):
    monkeypatch.setattr("txbridge.daemon.relay_daemon.LOOK_EVERY", 0.02)
    async with hub_here(tmp_path / "hub") as hub:
        here = RelayHere(tmp_path)
        box = 'outbox = { durability = "none", max_points = 3, on_full = "drop_newest" }'
        text = here.route(hub, more=box).replace(hub.config.url, "http://127.0.0.1:9/v2")
        with logged() as said:
            async with here.running(text) as relay:
                await relay.send("temp,,1\n" * 3)
                await relay.send("temp,,2\n")
                await until(lambda: any("lost" in one for one in said()))
                await relay.send("temp,,2\n")
                await turn(relay.reactor, 0.1)
                await relay.send("temp,,3\n")
                await turn(relay.reactor, 0.1)
                lines = [one for one in said() if "lost" in one]
        assert lines == ["route boiler: data for hub is lost (overflow); see 'txbridge relay ledger'"]


async def test_a_source_that_has_to_wait_is_news_when_it_lasts(tmp_path, monkeypatch):
    monkeypatch.setattr("txbridge.daemon.relay_daemon.LOOK_EVERY", 0.02)
    async with hub_here(tmp_path / "hub") as hub:
        feed = await made_feed(hub)
        here = RelayHere(tmp_path)
        box = 'outbox = { durability = "none", max_points = 3, on_full = "block" }'
        text = here.route(hub, more=box).replace(f"feed = {feed}", f"feed = {feed + 1}")
        with logged() as said:
            async with here.running(text) as relay:
                await relay.send("temp,,1\n" * 3)
                client = await LineClient.connected(here.endpoint())
                client.transport.write(b"temp,,2\n")
                await until(lambda: "route boiler: the outbox is full, and the source waits" in said())
                await made_feed(hub, "now it is there")
                assert await relay.daemon.reload(lambda: relay.config(text))
                await until(lambda: "route boiler: the source goes on" in said())
                client.transport.loseConnection()
                await client.closed


async def test_two_relays_do_not_share_a_state(tmp_path):
    async with hub_here(tmp_path / "hub") as hub:
        here, other = RelayHere(tmp_path), RelayHere(tmp_path)
        async with here.running(here.route(hub)):
            with pytest.raises(ConfigError, match="is in use by process"):
                async with other.running(here.route(hub)):
                    raise AssertionError("both run")
            assert json.dumps((await ask_relay(here.reactor, str(tmp_path / "state")))["pid"])


async def test_an_endpoint_that_is_taken_is_told_and_nothing_stays_behind(tmp_path):
    async with hub_here(tmp_path / "hub") as hub:
        here = RelayHere(tmp_path)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            admin = f'admin.listen = "tcp:{taken.getsockname()[1]}:interface=127.0.0.1"\n'
            with pytest.raises(ConfigError, match="Address already in use"):
                async with here.running(admin + here.route(hub)):
                    raise AssertionError("it runs")
        assert not (tmp_path / "state" / "control").exists()
        async with here.running(here.route(hub)) as relay:
            await until(lambda: relay.report().status)


async def test_a_state_directory_whose_name_is_too_long_for_a_socket_has_one_all_the_same(tmp_path):
    deep = tmp_path / ("a" * 60) / ("b" * 60)
    deep.mkdir(parents=True)
    async with hub_here(tmp_path / "hub") as hub:
        await made_feed(hub)
        here = RelayHere(deep)
        text = here.route(hub).replace(here.endpoint(), "tcp:0:interface=127.0.0.1")
        async with here.running(text) as relay:
            await until(lambda: relay.report().status.source is LinkState.WORKING)
            assert (await ask_relay(relay.reactor, str(deep / "state")))["ready"]
        assert not (deep / "state" / "control").exists()


async def test_an_outbox_that_cannot_be_opened_keeps_its_route_waiting_and_no_other(tmp_path, flushed_errors):
    async with hub_here(tmp_path / "hub") as hub:
        await made_feed(hub)
        here = RelayHere(tmp_path)
        (tmp_path / "state" / "attic").mkdir(parents=True)
        (tmp_path / "state" / "attic" / "outbox").write_text("this is a file")
        async with here.running(here.route(hub) + here.route(hub, "attic")) as relay:
            await relay.send("temp,,1\n")
            await until(lambda: relay.delivered() == 1)
            assert "outbox" in relay.report("attic").problem
            (tmp_path / "state" / "attic" / "outbox").unlink()
            await relay.send("temp,,2\n", "attic")
            await until(lambda: relay.delivered("attic") == 1)
