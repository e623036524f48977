"""What a trigger has to say gets to its receiver: at once, later, after a restart, or is given up."""

from __future__ import annotations

import json

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import deferLater

from tests.support.hub import NOON, STRANGER, running_hub
from txbridge.errors import (
    ConfigError,
    ConnectError,
    ConnectionLost,
    RemoteProtocolError,
    RequestRejected,
    ServerFailed,
    TimedOut,
)
from txbridge.hub.triggers import TriggerOptions, TriggerService

HOOK = "http://hook.example/in"


class World:
    """A hub with a feed, and a service whose deliveries are scripted."""

    def __init__(self, hub) -> None:
        self.hub = hub
        self.delivered = []
        self.answers = []
        self.service = self.make()

    def make(self, store=None):
        service = TriggerService(
            store or self.hub.store, self.deliver, self.hub.clock, TriggerOptions(delays=(5.0, 30.0))
        )
        self.hub.telling.fired = service.wake
        return service

    def deliver(self, notice):
        self.delivered.append(notice)
        return self.answers.pop(0) if self.answers else succeed("answered 200")

    async def settle(self):
        """Let the threads of the store finish what was begun."""
        from twisted.internet import reactor

        for _ in range(10):
            await self.hub.store.settle_notice(0, NOON, "", None)
            await self.hub.store.next_notice()
            await deferLater(reactor, 0, lambda: None)

    async def advance(self, seconds):
        self.hub.clock.advance(seconds)
        await self.settle()

    async def put(self, value):
        response = await self.hub.ask("PUT", "/v2/feeds/1/datastreams/t.csv", value)
        assert response.status == 200
        await self.settle()

    async def log(self, trigger=1):
        return [(line.tries, line.outcome, line.done) for line in await self.hub.store.list_notices(trigger)]


@pytest_twisted.async_yield_fixture
async def world(tmp_path):
    async with running_hub(tmp_path) as hub:
        await hub.feed('{"title":"Boiler","datastreams":[{"id":"t"},{"id":"u"}]}')
        world = World(hub)
        world.service.start()
        yield world
        await world.service.stop()


async def watch(world, kind="gt", threshold="20", stream="t"):
    members = {"environment_id": 1, "stream_id": stream, "url": HOOK, "trigger_type": kind}
    body = json.dumps({**members, "threshold_value": threshold})
    assert (await world.hub.ask("POST", "/v2/triggers.json", body)).status == 201


@pytest_twisted.ensureDeferred
async def test_a_trigger_that_fires_is_told_at_once(world):
    await watch(world)
    await world.put("19")
    assert world.delivered == []
    await world.put("21")
    (notice,) = world.delivered
    assert (notice.trigger.url, notice.environment.title) == (HOOK, "Boiler")
    assert notice.environment.datastreams["t"].current_value == "21"
    assert await world.log() == [(1, "answered 200", True)]
    (record,) = await world.hub.store.list_triggers("keeper")
    assert record.trigger.notified_at == NOON
    assert (world.service.delivered, world.service.failures, world.hub.telling.firings) == (1, 0, 1)


@pytest_twisted.ensureDeferred
async def test_a_delivery_that_fails_is_tried_again_and_then_given_up(world):
    await watch(world)
    world.answers = [fail(ConnectError("hook.example", "refused")) for _ in range(3)]
    await world.put("21")
    assert [(tries, done) for tries, _, done in await world.log()] == [(1, False)]
    await world.advance(4.9)
    assert len(world.delivered) == 1
    await world.advance(0.2)
    assert len(world.delivered) == 2
    await world.advance(30)
    assert len(world.delivered) == 3
    ((tries, outcome, done),) = await world.log()
    assert (tries, done) == (3, True)
    assert "refused" in outcome
    await world.advance(100_000)
    assert len(world.delivered) == 3
    service = world.service
    assert (service.delivered, service.failures, service.given_up, service.silences) == (0, 3, 1, 0)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ServerFailed("notify", 500), "the receiver answered 500"),
        (RequestRejected("notify", 410, "Gone", "for good"), "the receiver answered 410 Gone: for good"),
        (ConnectError("hook.example", "connection refused"), "no connection: connection refused"),
        (ConnectionLost("notify", "reset"), "the connection was lost: reset"),
        (TimedOut("notify", "answer", 10.0), "no answer within 10 s"),
        (RemoteProtocolError("notify", "a redirect"), "the receiver's answer is of no use: a redirect"),
        (ConfigError(["the URL is none"]), "the URL is none"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_the_delivery_log_says_in_words_why_a_delivery_failed(world, error, said):
    await watch(world)
    world.answers = [fail(error)]
    await world.put("21")
    assert await world.log() == [(1, said, False)]


@pytest_twisted.ensureDeferred
async def test_a_restart_forgets_nothing(world):
    await watch(world)
    world.answers = [Deferred()]
    await world.put("21")
    assert len(world.delivered) == 1
    await world.service.stop()
    world.service = world.make()
    await world.advance(3600)
    assert len(world.delivered) == 1
    world.service.start()
    await world.settle()
    assert [notice.id for notice in world.delivered] == [1, 1]
    assert await world.log() == [(1, "answered 200", True)]


class LateStore:
    """A store whose next answer about due notices arrives when it is let go."""

    def __init__(self, store) -> None:
        self.store = store
        self.let_go = Deferred()

    def __getattr__(self, name):
        return getattr(self.store, name)

    async def due_notices(self, *arguments):
        due = await self.store.due_notices(*arguments)
        await self.let_go
        return due


@pytest_twisted.ensureDeferred
async def test_a_notice_that_was_delivered_while_others_were_looked_for_is_not_delivered_again(world):
    await watch(world)
    await world.service.stop()
    store = LateStore(world.hub.store)
    slow = Deferred()
    world.answers = [slow]
    world.service = world.make(store)
    world.service.start()
    await world.settle()
    store.let_go.callback(None)
    await world.put("21")
    store.let_go = Deferred()
    world.service.wake()
    await world.settle()
    slow.callback("answered 200")
    await world.settle()
    store.let_go.callback(None)
    await world.settle()
    assert len(world.delivered) == 1
    assert await world.log() == [(1, "answered 200", True)]


@pytest_twisted.ensureDeferred
async def test_a_delivery_that_fails_as_nobody_thought_of_is_tried_again_with_the_same_patience(
    world, flushed_errors
):
    await watch(world)
    world.answers = [fail(RuntimeError("never seen before")) for _ in range(3)]
    await world.put("21")
    assert await world.log() == [(1, "RuntimeError: never seen before", False)]
    await world.advance(5.1)
    await world.advance(30)
    assert [(tries, done) for tries, _, done in await world.log()] == [(3, True)]
    assert len(flushed_errors(RuntimeError)) == 3


@pytest_twisted.ensureDeferred
async def test_one_trigger_waits_for_its_own_delivery_and_not_for_others(world):
    await watch(world)
    await watch(world, stream="u")
    slow = Deferred()
    world.answers = [slow]
    await world.put("21")
    await world.advance(10)
    await world.put("1")
    await world.put("22")
    assert [notice.trigger.id for notice in world.delivered] == [1]
    await world.hub.ask("PUT", "/v2/feeds/1/datastreams/u.csv", "21")
    await world.settle()
    assert [notice.trigger.id for notice in world.delivered] == [1, 2]
    slow.callback("answered 200")
    await world.settle()
    assert [notice.trigger.id for notice in world.delivered] == [1, 2, 1]


@pytest_twisted.ensureDeferred
async def test_silence_fires_once_and_so_does_its_end(world):
    await watch(world, "frozen")
    await watch(world, "live")
    await world.put("1")
    await world.advance(890)
    assert world.delivered == []
    await world.advance(30)
    await world.advance(1000)
    assert [notice.trigger.trigger_type for notice in world.delivered] == ["frozen"]
    await world.put("1")
    await world.put("1")
    assert [notice.trigger.trigger_type for notice in world.delivered] == ["frozen", "live"]


@pytest.mark.parametrize(
    ("kind", "threshold", "values", "fires"),
    [
        ("gt", "20", ["19", "20", "21", "22", "20", "20.5"], ["21", "20.5"]),
        ("gte", "20", ["19", "20", "21"], ["20"]),
        ("lt", "20", ["21", "20", "19.9", "-5"], ["19.9"]),
        ("lte", "20", ["21", "20", "19"], ["20"]),
        ("eq", "20", ["20.0", "20", "19", "20"], ["20.0", "20"]),
        ("eq", "on", ["off", "on", "on", "off", "on"], ["on", "on"]),
        ("gt", "20", ["warm", "21", "warm", "21"], ["21", "21"]),
        ("change", "", ["1", "1", "1.0", "2", "2"], ["1.0", "2"]),
        ("gt", "1e2", ["99", "101"], ["101"]),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_comparison_fires_on_its_edge(world, kind, threshold, values, fires):
    await watch(world, kind, threshold)
    for value in values:
        await world.put(value)
        await world.advance(10)
    assert [notice.environment.datastreams["t"].current_value for notice in world.delivered] == fires


@pytest_twisted.ensureDeferred
async def test_two_notices_of_a_trigger_are_five_seconds_apart(world):
    await watch(world, "change")
    for value in "123456789":
        await world.put(value)
        world.hub.clock.advance(1)
    assert [notice.environment.datastreams["t"].current_value for notice in world.delivered] == ["2", "7"]


@pytest_twisted.ensureDeferred
async def test_a_clock_that_was_set_back_does_not_silence_a_trigger(world):
    await watch(world)
    await world.put("21")
    await world.put("1")
    world.hub.clock.rightNow -= 3600
    await world.put("22")
    assert [notice.environment.datastreams["t"].current_value for notice in world.delivered] == ["21", "22"]


@pytest_twisted.ensureDeferred
async def test_a_feed_that_became_private_tells_its_values_to_its_owner_alone(world):
    await watch(world)
    await world.hub.ask(
        "POST",
        "/v2/triggers.json",
        json.dumps(
            {"environment_id": 1, "stream_id": "t", "url": "http://other.example/", "trigger_type": "change"}
        ),
        key=STRANGER,
    )
    await world.hub.ask(
        "POST",
        "/v2/triggers.json",
        json.dumps(
            {"environment_id": 1, "stream_id": "t", "url": "http://other.example/", "trigger_type": "frozen"}
        ),
        key=STRANGER,
    )
    await world.put("1")
    await world.put("2")
    assert [notice.trigger.id for notice in world.delivered] == [2]
    await world.hub.ask("PUT", "/v2/feeds/1.json", '{"private":true}')
    await world.put("21")
    await world.advance(1000)
    await world.advance(1000)
    assert [notice.trigger.id for notice in world.delivered] == [2, 1]


@pytest_twisted.ensureDeferred
async def test_history_that_is_filled_in_fires_nothing(world):
    await watch(world)
    await world.put("1")
    body = '{"datapoints":[{"at":"2013-06-01T00:00:00Z","value":"99"}]}'
    assert (await world.hub.ask("POST", "/v2/feeds/1/datastreams/t/datapoints.json", body)).status == 200
    await world.settle()
    assert world.delivered == []


@pytest_twisted.ensureDeferred
async def test_the_delivery_log_is_bounded(world):
    await watch(world, "change")
    for number in range(105):
        await world.hub.ask("PUT", "/v2/feeds/1/datastreams/t.csv", str(number))
        world.hub.clock.advance(6)
    await world.settle()
    assert len(await world.log()) == 100
