"""What Grafana's JSON data source asks, and gets."""

from __future__ import annotations

import base64
import json
from datetime import timedelta

import pytest
import pytest_twisted

from tests.support.hub import KEY, NOON, STRANGER, document, running_hub
from txbridge.hub.grafana import Grafana
from txbridge.hub.rates import RateLimiter
from txbridge.model.accounts import Permission, Resource
from txbridge.net.http1 import Request

HOUR = b'{"from":"2013-06-03T11:00:00Z","to":"2013-06-03T12:00:00Z"}'
NOON_MS = int(NOON.timestamp() * 1000)


class World:
    """A hub with Grafana's door."""

    def __init__(self, hub) -> None:
        self.hub = hub
        self.grafana = Grafana(hub.store, hub.accounts, hub.clock)

    async def ask(self, name, body=None, *, key=KEY, method="POST", headers=None, status=200):
        sent = {"x-apikey": key} if headers is None else headers
        raw = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
        response = await self.grafana.respond(Request(method, f"/grafana/{name}", "", sent, raw, "127.0.0.1"))
        assert response.status == status, response.body
        return document(response)

    async def query(self, *targets, hours=6, **more):
        start = NOON - timedelta(hours=hours)
        body = {
            "range": {"from": start.isoformat(), "to": NOON.isoformat()},
            "targets": [{"target": target, "type": "timeserie"} for target in targets],
            **more,
        }
        return await self.ask("query", body)


@pytest_twisted.async_yield_fixture
async def world(tmp_path):
    async with running_hub(tmp_path) as hub:
        points = [
            {"at": (NOON - timedelta(minutes=minutes)).isoformat(), "value": str(minutes)}
            for minutes in range(500)
        ]
        await hub.feed(
            json.dumps({"title": "x", "datastreams": [{"id": "t", "datapoints": points}, {"id": "pump"}]})
        )
        await hub.feed('{"title":"y","private":true,"datastreams":[{"id":"secret","current_value":"on"}]}')
        yield World(hub)


@pytest_twisted.ensureDeferred
async def test_the_door_says_that_it_is_there_to_who_has_a_key(world):
    assert await world.ask("", method="GET") == {"message": "txbridge hub"}
    basic = base64.b64encode(f"keeper:{KEY}".encode()).decode()
    assert await world.ask("", method="GET", headers={"authorization": f"Basic {basic}"}) is not None
    await world.ask("", method="GET", headers={}, status=401)
    await world.ask("search", key="nobody", status=401)


@pytest_twisted.ensureDeferred
async def test_a_search_gives_what_the_key_may_read(world):
    assert sorted(await world.ask("search", {"target": ""})) == ["1/pump", "1/t", "2/secret"]
    assert await world.ask("search", {"target": "PU"}) == ["1/pump"]
    assert sorted(await world.ask("search", key=STRANGER)) == ["1/pump", "1/t"]
    limited = Permission(access_methods=["get"], resources=[Resource(feed_id=1, datastream_id="t")])
    await world.hub.replace_key("keeper", "limited", limited)
    assert await world.ask("search", key="limited") == ["1/t"]


@pytest_twisted.ensureDeferred
async def test_a_short_time_is_given_point_by_point(world):
    (answer,) = await world.query("1/t", hours=1)
    assert answer["target"] == "1/t"
    assert len(answer["datapoints"]) == 61
    assert answer["datapoints"][-1] == [0.0, NOON_MS]
    assert answer["datapoints"][0] == [60.0, NOON_MS - 3_600_000]


@pytest.mark.parametrize("room", [10**400, -(10**400), 1e308, "100", None, True])
@pytest_twisted.ensureDeferred
async def test_a_panel_that_names_no_size_is_given_every_point(world, room):
    (answer,) = await world.query("1/t", maxDataPoints=room)
    assert len(answer["datapoints"]) == 361


@pytest.mark.parametrize(
    "body", [b"x", b"NaN", b"1e999", b'{"a":' * 5000, b"\xff", b'{"target":"\\ud800"}', b"9" * 5000]
)
@pytest_twisted.ensureDeferred
async def test_a_body_that_is_no_json_is_refused(world, body):
    answer = await world.ask("query", body, status=400)
    assert answer == {"message": "the body is no JSON"}


@pytest_twisted.ensureDeferred
async def test_a_long_time_is_sampled_to_the_room_there_is(world):
    (answer,) = await world.query("1/t", hours=8, maxDataPoints=100)
    distances = {b[1] - a[1] for a, b in zip(answer["datapoints"], answer["datapoints"][1:], strict=False)}
    assert distances == {300_000}
    assert 90 <= len(answer["datapoints"]) <= 100


@pytest_twisted.ensureDeferred
async def test_a_table_has_rows(world):
    body = {
        "range": {"from": (NOON - timedelta(minutes=1)).isoformat(), "to": NOON.isoformat()},
        "targets": [{"target": "1/t", "type": "table"}, {"target": "1/t", "hide": True}],
    }
    (answer,) = await world.ask("query", body)
    assert [column["text"] for column in answer["columns"]] == ["Time", "1/t"]
    assert answer["rows"] == [[NOON_MS - 60_000, 1.0], [NOON_MS, 0.0]]


@pytest_twisted.ensureDeferred
async def test_what_is_no_number_or_not_there_is_no_point(world):
    assert [answer["datapoints"] for answer in await world.query("2/secret", "9/t", "1/none")] == [[], [], []]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[" * 100_000, 400),
        (b"[]", 400),
        (b"{}", 400),
        (b'{"range":{"from":"2013-06-03T12:00:00Z","to":"2013-06-03T11:00:00Z"},"targets":[]}', 400),
        (b'{"range":{"from":"x","to":"y"},"targets":[]}', 400),
        (b'{"range":7,"targets":[]}', 400),
        (b'{"range":{"from":"2013-06-03T11:00:00Z","to":"2013-06-03T12:00:00Z"},"targets":7}', 400),
        (
            b'{"range":{"from":"2013-06-03T11:00:00Z","to":"2013-06-03T12:00:00Z"},"targets":[{"target":"t"}]}',
            400,
        ),
        (b'{"range":{"from":"2013-06-03T11:00:00Z","to":"2013-06-03T12:00:00Z"},"targets":[7]}', 200),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_question_that_cannot_be_read_is_refused_in_words(world, body, status):
    answer = await world.ask("query", body, status=status)
    assert status == 200 or answer["message"]


@pytest_twisted.ensureDeferred
async def test_a_datastream_that_the_key_may_not_read_is_refused(world):
    body = {
        "range": {"from": NOON.isoformat(), "to": NOON.isoformat()},
        "targets": [{"target": "2/secret"}],
    }
    await world.ask("query", body, key=STRANGER, status=403)
    await world.ask("nothing", status=404)
    await world.ask("search", method="GET", status=404)


@pytest_twisted.ensureDeferred
async def test_annotations_are_what_triggers_fired(world):
    trigger = {
        "environment_id": 1,
        "stream_id": "t",
        "url": "http://hook.example/",
        "trigger_type": "gt",
        "threshold_value": "90",
    }
    assert (await world.hub.ask("POST", "/v2/triggers.json", json.dumps(trigger))).status == 201
    assert (await world.hub.ask("PUT", "/v2/feeds/1/datastreams/t.csv", "99")).status == 200
    span = {"range": {"from": (NOON - timedelta(hours=1)).isoformat(), "to": NOON.isoformat()}}
    (mark,) = await world.ask("annotations", span)
    assert (mark["time"], mark["title"], mark["tags"]) == (NOON_MS, "trigger 1: gt 90", ["1/t"])
    assert await world.ask("annotations", span, key=STRANGER) == []


@pytest_twisted.ensureDeferred
async def test_a_key_that_asks_too_often_is_told_when_to_come_back(world):
    limiter = RateLimiter(per_minute=1)
    world.grafana = Grafana(world.hub.store, world.hub.accounts, world.hub.clock, limiter)
    for _ in range(3):
        await world.ask("search")
    asked = Request("POST", "/grafana/search", "", {"x-apikey": KEY}, b"{}", "127.0.0.1")
    response = await world.grafana.respond(asked)
    assert (response.status, dict(response.headers)["Retry-After"]) == (429, "60")
    assert document(response) == {"message": "more requests came with this key than may"}
