"""What the owner sees of a relay through the hub."""

from __future__ import annotations

import pytest
import pytest_twisted
from twisted.internet.defer import maybeDeferred

from tests.support.hub import KEY, document, running_hub
from tests.support.relay_daemon import RelayHere
from txbridge.daemon.relay_window import RelayWindow
from txbridge.model.accounts import Permission, Resource
from txbridge.model.samples import Gap
from txbridge.net.http1 import Request
from txbridge.net.reactor import resolve_reactor
from txbridge.relay.ledger import SqliteLedger
from txbridge.relay.roles import Loss, LossKind

OWNER_KEY = "the-owners-own-key-0123456789"
LIMITED = "a-limited-key-of-the-owner-0123456789"


class World:
    """A hub, and a window to the relay whose state is in a folder."""

    def __init__(self, hub, state) -> None:
        self.hub = hub
        self.state = state
        self.window = RelayWindow(resolve_reactor(), str(state), hub.accounts, maybeDeferred)

    async def ask(self, target, *, key=OWNER_KEY, status=200):
        path, _, query = target.partition("?")
        headers = {} if key is None else {"x-apikey": key}
        response = await self.window.respond(Request("GET", path, query, headers))
        assert response.status == status, response.body
        return document(response)


@pytest_twisted.async_yield_fixture
async def world(tmp_path):
    (tmp_path / "state").mkdir()
    async with running_hub(tmp_path) as hub:
        await hub.add_account("owner", OWNER_KEY)
        yield World(hub, tmp_path / "state")


@pytest.mark.parametrize(("key", "status"), [(None, 401), ("nobody", 401), (KEY, 403), (LIMITED, 403)])
@pytest_twisted.ensureDeferred
async def test_only_the_owner_may_look(world, key, status):
    limited = Permission(access_methods=["get"], resources=[Resource(feed_id=1)])
    if key == LIMITED:
        await world.hub.replace_key("owner", LIMITED, limited)
    for path in ("/relay/status", "/relay/ledger"):
        assert (await world.ask(path, key=key, status=status))["errors"]


@pytest_twisted.ensureDeferred
async def test_where_no_relay_ever_ran_there_is_nothing_to_see(world):
    assert await world.ask("/relay/ledger") == {"rows": [], "sums": []}
    status = await world.ask("/relay/status")
    assert status["routes"] == []
    assert "no relay runs" in status["reasons"][0]
    await world.ask("/relay/else", status=404)


@pytest_twisted.ensureDeferred
async def test_what_was_lost_is_told_with_its_sums(world):
    ledger = await SqliteLedger.open(world.state / "ledger.sqlite", resolve_reactor())
    view = ledger.route("kitchen")
    await view.record(
        [
            Loss("hub", LossKind.OVERFLOW, Gap("t", 10, 20, "the outbox was full", 7)),
            Loss("", LossKind.SOURCE, Gap("u", 30, 30, "not measured", None)),
        ]
    )
    seen = await world.ask("/relay/ledger")
    assert [(row["route"], row["stream"], row["points"]) for row in seen["rows"]] == [
        ("kitchen", "u", None),
        ("kitchen", "t", 7),
    ]
    assert {(one["kind"], one["points"]) for one in seen["sums"]} == {("overflow", 7), ("source", 0)}
    (only,) = (await world.ask("/relay/ledger?kind=overflow&stream=t"))["rows"]
    assert only["reason"] == "the outbox was full"
    await ledger.close()


@pytest_twisted.ensureDeferred
async def test_a_relay_that_runs_is_shown_with_its_routes(world):
    here = RelayHere(world.state.parent)
    route = "unix:" + str(world.state.parent / "lines")
    config = f"""
        [routes.bench]
        from.lines.listen = "{route}"
        to.hub.cosm = {{ url = "http://127.0.0.1:9", feed = 1, key.env = "K" }}
    """
    here.environ["K"] = "k"
    async with here.running(config):
        status = await world.ask("/relay/status")
    (one,) = status["routes"]
    assert one["status"]["destinations"][0]["name"] == "hub"
