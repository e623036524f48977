"""The parts fit together: a hub, a client, a subscription and a relay over real connections."""

from __future__ import annotations

import json
import stat
from contextlib import suppress

import numpy as np
import pytest
from twisted.internet.defer import CancelledError, Deferred

from tests.support.program import hub_here, turn
from tests.support.relay import ScriptedSource
from txbridge.cosm.paws import PAWSClient
from txbridge.daemon import assembly
from txbridge.daemon.assembly import (
    client_of,
    host_source,
    hub_service,
    node_of,
    relay_to_hub,
    socket_of,
)
from txbridge.daemon.config import ClientConfig, HubConfig, NodeConfig, hub_config
from txbridge.errors import ConfigError, Forbidden, RateLimited, RequestRejected, StoreError
from txbridge.host import CAPABILITIES
from txbridge.joule.errors import UnknownNode
from txbridge.model.samples import Batch, SampleBlock
from txbridge.model.structures import Datastream, Environment
from txbridge.net.http import HttpCarrier
from txbridge.net.operation import Operation
from txbridge.net.reactor import resolve_reactor


async def test_a_hubs_directory_is_made_for_its_owner_alone(tmp_path):
    data = tmp_path / "a" / "data"
    async with hub_here(data) as hub:
        assert await hub.client.list_all_feeds() == []
    assert stat.S_IMODE(data.stat().st_mode) == 0o700


async def test_a_directory_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    service = hub_service(resolve_reactor(), HubConfig(str(tmp_path / "file" / "data")))
    with pytest.raises(ConfigError, match="cannot keep data in"):
        await service.start()
    service = hub_service(resolve_reactor(), HubConfig(str(tmp_path / "file")))
    with pytest.raises(ConfigError, match=r"cannot keep data in .*/file: it is no directory"):
        await service.start()


async def test_graphs_for_everybody_without_what_draws_them_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(assembly, "find_spec", lambda name: None)
    service = hub_service(resolve_reactor(), HubConfig(str(tmp_path), public_graphs=True))
    with pytest.raises(ConfigError, match="--public-graphs needs the package matplotlib"):
        await service.start()
    assert list(tmp_path.iterdir()) == []


async def test_a_hub_shows_graphs_and_bounds_feeds_as_it_is_told(tmp_path):
    config = HubConfig(str(tmp_path), listen=("tcp:0:interface=127.0.0.1",), public_graphs=True, max_feeds=1)
    service = hub_service(resolve_reactor(), config)
    await service.start()
    try:
        (address,) = service.addresses
        key = (tmp_path / "owner.key").read_text().strip()
        client = client_of(resolve_reactor(), ClientConfig(f"{address}/v2", key))
        feed = Environment(title="x", datastreams=[Datastream(id="t", current_value="1")])
        number = await client.create_feed(data=feed)
        with pytest.raises(RequestRejected, match="at most 1"):
            await client.create_feed(data=feed)
        await client.close()
        anybody = HttpCarrier(f"{address}/v2", reactor=resolve_reactor())
        path = ("feeds", str(number), "datastreams", "t.png")
        graph = await anybody.run(Operation("look", "GET", path, lambda answer: answer.body))
        assert graph.startswith(b"\x89PNG")
        await anybody.close()
    finally:
        await service.stop()


async def test_a_keys_requests_are_counted_together_wherever_it_asks(tmp_path):
    config = HubConfig(str(tmp_path), listen=("tcp:0:interface=127.0.0.1",), requests_per_minute=1)
    service = hub_service(resolve_reactor(), config)
    await service.start()
    try:
        (address,) = service.addresses
        key = {"x-apikey": (tmp_path / "owner.key").read_text().strip()}
        carrier = HttpCarrier(address, reactor=resolve_reactor())

        def ask(method: str, *path: str) -> Deferred[int]:
            return carrier.run(
                Operation("ask", method, path, lambda answer: answer.status, headers=key, body=b"{}")
            )

        for _ in range(3):
            await ask("POST", "grafana", "search")
        with pytest.raises(RateLimited):
            await ask("POST", "grafana", "search")
        with pytest.raises(Forbidden):
            await ask("GET", "v2", "feeds")
        await carrier.close()
    finally:
        await service.stop()


async def test_a_file_that_is_no_store_is_told(tmp_path):
    (tmp_path / "hub.sqlite").write_text("this is no database, and it is long enough to see that" * 100)
    service = hub_service(resolve_reactor(), HubConfig(str(tmp_path)))
    with pytest.raises(StoreError):
        await service.start()


async def test_a_store_is_closed_again_when_the_key_cannot_be_kept(tmp_path):
    (tmp_path / "owner.key").mkdir()
    config = HubConfig(str(tmp_path), listen=("tcp:0:interface=127.0.0.1",))
    with pytest.raises(ConfigError, match=r"owner\.key"):
        await hub_service(resolve_reactor(), config).start()
    (tmp_path / "owner.key").rmdir()
    service = hub_service(resolve_reactor(), config)
    await service.start()
    await service.stop()


async def test_a_store_is_closed_again_when_an_old_key_cannot_be_removed(tmp_path):
    (tmp_path / "owner.key").mkdir()
    config = HubConfig(str(tmp_path), listen=("tcp:0:interface=127.0.0.1",), api_key="sesame")
    with pytest.raises(ConfigError, match=r"owner\.key"):
        await hub_service(resolve_reactor(), config).start()
    (tmp_path / "owner.key").rmdir()
    service = hub_service(resolve_reactor(), config)
    await service.start()
    await service.stop()


@pytest.mark.parametrize("turns", range(8))
async def test_a_start_that_is_given_up_leaves_nothing_open(tmp_path, turns):
    reactor = resolve_reactor()
    config = HubConfig(str(tmp_path), listen=("tcp:0:interface=127.0.0.1",))
    given_up = hub_service(reactor, config)
    starting = given_up.start()
    for _ in range(turns):
        await turn(reactor, 0.002)
    starting.cancel()
    with suppress(CancelledError):
        await starting
    await given_up.stop()
    service = hub_service(reactor, config)
    await service.start()
    await service.stop()


async def test_a_write_over_http_reaches_a_subscriber_over_the_websocket(tmp_path):
    async with hub_here(tmp_path / "data") as hub:
        feed_id = await hub.client.create_feed(data=Environment(title="Boiler"))
        socket = socket_of(hub.reactor, hub.config)
        assert await socket.connect()
        updates = socket.updates(feed_id, since="2020-01-01")
        environment = Environment()
        environment.set_current_value("temp", "21.50")
        await hub.client.update_feed(feed_id=feed_id, data=environment)
        update = await updates.next_update()
        updates.close()
        await socket.disconnect()
    assert (update.datastream_id, update.datapoints[0].value) == ("temp", "21.50")


async def test_a_hub_speaks_iobeam_to_the_owners_key(tmp_path):
    async with hub_here(tmp_path / "data") as hub:
        key = {"authorization": f"Bearer {hub.config.api_key}"}
        carrier = HttpCarrier(f"{hub.config.url.removesuffix('/v2')}/v1/", reactor=hub.reactor)
        body = b'{"project_name":"Greenhouse","project_id":7}'
        await carrier.run(Operation("make", "POST", ("projects",), bool, headers=key, body=body))
        listed = await carrier.run(
            Operation("list", "GET", ("projects",), lambda answer: answer, headers=key)
        )
        await carrier.close()
    assert [project["project_id"] for project in json.loads(listed.body)["projects"]] == [7]


async def test_the_socket_api_over_tcp_tells_the_port_for_http_that_the_system_picked(tmp_path):
    any_port = "tcp:0:interface=127.0.0.1"
    service = hub_service(
        resolve_reactor(), hub_config(data=str(tmp_path), listen=[any_port], paws_tcp=[any_port])
    )
    await service.start()
    http, paws = service.addresses
    client = PAWSClient(
        (tmp_path / "owner.key").read_text().strip(),
        url=paws.removeprefix("paws "),
        reactor=resolve_reactor(),
    )
    assert await client.connect()
    feed_id = await client.create_feed(data=Environment(title="Attic"))
    described = await client.read_feed(feed_id=feed_id)
    await client.disconnect()
    await service.stop()
    assert described.feed == f"{http}/v2/feeds/{feed_id}.json"


async def test_a_relay_writes_what_its_source_gives_to_a_feed(tmp_path):
    at = np.array([1_600_000_000_123_456_789], np.int64)
    batch = Batch((SampleBlock.scalar("temp", at, np.array([21.5])),))
    async with hub_here(tmp_path / "data") as hub:
        feed_id = int(await hub.client.create_feed(data=Environment(title="Boiler")))
        source = ScriptedSource(capabilities=CAPABILITIES)
        relay = relay_to_hub(hub.reactor, source, hub.client, feed_id)
        relay.startService()
        source.give(batch)
        while not relay.status().destinations[0].delivered:
            await turn(hub.reactor)
        await relay.stopService()
        feed = await hub.client.read_feed(feed_id=feed_id)
    assert feed.datastreams["temp"].current_value == "21.5"
    assert feed.datastreams["temp"].at.microsecond == 123456


async def test_a_client_tells_where_it_goes_and_not_its_key():
    client = client_of(resolve_reactor(), ClientConfig("http://127.0.0.1:1/v2", "secret"))
    assert "127.0.0.1:1" in repr(client)
    assert "secret" not in repr(client)
    await client.close()


def test_this_machine_can_be_read_only_as_often_as_makes_sense():
    with pytest.raises(ConfigError, match=r"every 0\.1 seconds at most"):
        host_source(resolve_reactor(), 0.001)


async def test_a_node_is_one_of_joules_own_files_or_of_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("JOULE_USER_CONFIG_DIR", str(tmp_path))
    known = {"name": "basement", "url": "http://basement:8088", "key": "secret"}
    (tmp_path / "nodes.json").write_text(json.dumps([known]))
    reactor = resolve_reactor()
    nodes = [
        node_of(reactor, NodeConfig()),
        node_of(reactor, NodeConfig("basement")),
        node_of(reactor, NodeConfig("", "http://attic:8088", "other")),
    ]
    assert [node.url for node in nodes] == ["http://basement:8088"] * 2 + ["http://attic:8088"]
    for node in nodes:
        await node.close()
    with pytest.raises(UnknownNode):
        node_of(reactor, NodeConfig("attic"))
