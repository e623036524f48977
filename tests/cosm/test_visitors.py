"""Graphs for who has no key: of what, how often, and how many at once."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError, Deferred

from tests.support.deferreds import result_of
from tests.support.hub import NOON, STRANGER, header, running_hub, text
from txbridge.cosm.refusal import Refusal
from txbridge.cosm.server import CosmOptions
from txbridge.cosm.visitors import MAX_WAITING, PICTURES_PER_MINUTE, UNDER_WAY, Visitors

BURST = int(3 * PICTURES_PER_MINUTE)


@pytest_twisted.async_yield_fixture
async def hub(tmp_path):
    async with running_hub(tmp_path, CosmOptions(public_graphs=True), graphs=True) as running:
        points = [{"at": (NOON - timedelta(hours=one)).isoformat(), "value": str(one)} for one in range(9)]
        for private in (False, True):
            streams = [{"id": "t", "datapoints": points}]
            await running.feed(json.dumps({"title": "x", "private": private, "datastreams": streams}))
        yield running


@pytest.mark.parametrize(
    ("method", "target", "accept", "status"),
    [
        ("GET", "feeds/1/datastreams/t.png", "", 200),
        ("GET", "feeds/1/datastreams/t.png?w=100&h=50", "", 200),
        ("HEAD", "feeds/1/datastreams/t.png", "", 200),
        ("GET", "feeds/1/datastreams/t", "image/png,image/*;q=0.8", 200),
        ("GET", "feeds/1/datastreams/t.png?w=1", "", 422),
        ("GET", "feeds/1/datastreams/none.png", "", 404),
        ("GET", "feeds/2/datastreams/t.png", "", 401),
        ("GET", "feeds/9/datastreams/t.png", "", 401),
        ("GET", "feeds/1/datastreams/t.json", "", 401),
        ("GET", "feeds/1/datastreams/t", "", 401),
        ("GET", "feeds/1.png", "", 401),
        ("PUT", "feeds/1/datastreams/t.png", "", 401),
        ("DELETE", "feeds/1/datastreams/t.png", "", 401),
        ("GET", "feeds/1/datastreams/t.png?key=nobodys", "", 401),
    ],
)
@pytest_twisted.ensureDeferred
async def test_who_has_no_key_sees_graphs_of_public_feeds_and_nothing_else(
    hub, method, target, accept, status
):
    response = await hub.ask(method, f"/v2/{target}", key=None, headers={"accept": accept})
    assert response.status == status
    assert (header(response, "content-type") == "image/png") is (status == 200)


@pytest_twisted.ensureDeferred
async def test_who_has_a_key_is_judged_by_it(hub):
    statuses = [(await hub.get("/v2/feeds/2/datastreams/t.png", key=key)).status for key in (STRANGER, None)]
    assert statuses == [403, 401]
    assert (await hub.get("/v2/feeds/2/datastreams/t.png")).status == 200


@pytest_twisted.ensureDeferred
async def test_a_hub_shows_nothing_to_who_has_no_key_unless_it_is_told_to(tmp_path):
    async with running_hub(tmp_path, graphs=True) as closed:
        await closed.feed('{"title": "x", "datastreams": [{"id": "t", "current_value": "1"}]}')
        assert (await closed.get("/v2/feeds/1/datastreams/t.png", key=None)).status == 401


@pytest_twisted.ensureDeferred
async def test_a_graph_is_drawn_once_for_everybody(hub):
    first, again = [
        await hub.get("/v2/feeds/1/datastreams/t.png", key=None, client=client)
        for client in ("198.51.100.1", "198.51.100.2")
        if hub.clock.advance(5) is None
    ]
    assert first.body is again.body
    tag = {"if-none-match": header(first, "etag")}
    assert (await hub.get("/v2/feeds/1/datastreams/t.png", key=None, headers=tag)).status == 304


@pytest_twisted.ensureDeferred
async def test_an_address_may_ask_so_often_and_is_told_when_again(hub):
    target = "/v2/feeds/1/datastreams/none.png"
    statuses = {(await hub.get(target, key=None, client="2001:db8::1")).status for _ in range(BURST)}
    assert statuses == {404}
    refused = await hub.get(target, key=None, client="2001:db8::ffff:1")
    assert (refused.status, header(refused, "retry-after")) == (403, "1")
    assert "rate limit of your address" in text(refused)
    for client in ("2001:db8:0:1::1", "192.0.2.1", ""):
        assert (await hub.get(target, key=None, client=client)).status == 404
    assert (await hub.get(target)).status == 404
    hub.clock.advance(1)
    assert (await hub.get(target, key=None, client="2001:db8::1")).status == 404


@pytest.mark.parametrize("client", ["::ffff:192.0.2.7", "192.0.2.7"])
def test_an_address_of_ipv4_counts_by_itself(client):
    visitors = Visitors(per_minute=1)
    for _ in range(3):
        visitors.admit(client, 0)
    with pytest.raises(Refusal):
        visitors.admit("192.0.2.7", 0)
    visitors.admit("::ffff:192.0.2.8", 0)


def test_a_few_are_under_way_and_only_so_many_wait():
    visitors, begun = Visitors(), []

    async def work():
        begun.append(Deferred())
        return await begun[-1]

    taken = [visitors.take_turn(work) for _ in range(UNDER_WAY + MAX_WAITING)]
    assert len(begun) == UNDER_WAY
    with pytest.raises(Refusal) as raised:
        visitors.take_turn(work)
    assert (raised.value.status, raised.value.retry_after) == (503, 5)
    begun[0].callback("drawn")
    assert result_of(taken[0]) == "drawn"
    assert len(begun) == UNDER_WAY + 1
    taken[-1].cancel()
    with pytest.raises(CancelledError):
        result_of(taken[-1])
    again = visitors.take_turn(work)
    for one in begun:
        if not one.called:
            one.callback("drawn")
    assert result_of(again) == "drawn"
