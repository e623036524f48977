"""Triggers over REST."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
import pytest_twisted

from tests.support.hub import HOST, KEY, NOON, STRANGER, document, header, running_hub, text
from txbridge.model.accounts import Permission, Resource, Trigger, TriggerList
from txbridge.model.instants import format_instant

TRIGGER = {
    "environment_id": 1,
    "stream_id": "t",
    "url": "http://hook.example/in",
    "trigger_type": "gt",
    "threshold_value": "15.0",
}


@pytest_twisted.async_yield_fixture
async def hub(tmp_path):
    async with running_hub(tmp_path) as running:
        await running.feed('{"title":"x","datastreams":[{"id":"t"}]}')
        yield running


async def make(hub, key=KEY, **changes):
    members = {name: value for name, value in {**TRIGGER, **changes}.items() if value is not None}
    return await hub.ask("POST", "/v2/triggers.json", json.dumps(members), key=key)


@pytest.mark.parametrize("extension", ["json", "xml"])
@pytest_twisted.ensureDeferred
async def test_a_trigger_reads_back_as_it_was_made(hub, extension):
    wanted = Trigger(**TRIGGER)
    response = await hub.ask("POST", f"/v2/triggers.{extension}", wanted.encode(extension))
    assert (response.status, response.body) == (201, b"")
    assert header(response, "location") == f"http://{HOST}/v2/triggers/1"
    wanted.id, wanted.user = 1, "keeper"
    one = await hub.get(f"/v2/triggers/1.{extension}")
    assert Trigger.decode(one.body, extension) == wanted
    listed = await hub.get(f"/v2/triggers.{extension}")
    assert TriggerList.decode(listed.body, extension).triggers == [wanted]


@pytest_twisted.ensureDeferred
async def test_json_has_a_bare_array_and_a_blank_for_never_notified(hub):
    await make(hub)
    (listed,) = document(await hub.get("/v2/triggers.json"))
    assert listed["notified_at"] == ""
    assert document(await hub.get("/v2/triggers/1.json")) == listed


@pytest_twisted.ensureDeferred
async def test_the_triggers_of_one_feed_are_listed(hub):
    await hub.feed('{"title":"y","datastreams":[{"id":"t"}]}')
    await make(hub)
    await make(hub, environment_id=2)

    async def ids(query):
        return [one["id"] for one in document(await hub.get(f"/v2/triggers.json?feed_id={query}"))]

    assert [await ids("1"), await ids("2"), await ids("3"), await ids("x")] == [[1], [2], [], []]
    assert document(await hub.get("/v2/triggers.json", key=STRANGER)) == []


@pytest_twisted.ensureDeferred
async def test_a_trigger_is_changed_in_part_but_watches_what_it_watched(hub):
    await make(hub)
    change = '{"threshold_value":16,"environment_id":"1","stream_id":"t"}'
    assert (await hub.ask("PUT", "/v2/triggers/1.json", change)).status == 200
    assert document(await hub.get("/v2/triggers/1.json"))["threshold_value"] == "16"
    for other in ('{"stream_id":"u"}', '{"environment_id":2}'):
        response = await hub.ask("PUT", "/v2/triggers/1.json", other)
        assert response.status == 422
        assert "can't be changed" in document(response)["errors"]


@pytest_twisted.ensureDeferred
async def test_a_trigger_goes_with_its_datastream_or_when_it_is_told_to(hub):
    await make(hub)
    await make(hub)
    assert (await hub.ask("DELETE", "/v2/triggers/1")).status == 200
    assert (await hub.get("/v2/triggers/1.json")).status == 404
    assert (await hub.ask("DELETE", "/v2/feeds/1/datastreams/t")).status == 200
    assert document(await hub.get("/v2/triggers.json")) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"url": None}, "Url can't be blank"),
        ({"url": "ftp://x/"}, "Url is not an http or https URL"),
        ({"url": "http://x/" + "a" * 2000}, "Url is too long"),
        ({"environment_id": None}, "Environment id can't be blank"),
        ({"stream_id": None}, "Stream id can't be blank"),
        ({"trigger_type": None}, "Trigger type can't be blank"),
        ({"trigger_type": "above"}, "Trigger type must be among"),
        ({"threshold_value": None}, "Threshold value can't be blank"),
        ({"threshold_value": "warm"}, "Threshold value is not a number"),
        ({"environment_id": 9}, "Environment does not exist"),
        ({"stream_id": "none"}, "Stream does not exist"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_trigger_that_breaks_a_rule_is_refused_in_words(hub, changes, words):
    response = await make(hub, **changes)
    assert response.status == 422
    assert words in document(response)["errors"]


@pytest.mark.parametrize("kind", ["change", "frozen", "live"])
@pytest_twisted.ensureDeferred
async def test_what_watches_needs_no_threshold(hub, kind):
    assert (await make(hub, trigger_type=kind, threshold_value=None)).status == 201


@pytest.mark.parametrize(
    ("permission", "read", "changed", "listed"),
    [
        (Permission(access_methods=["get", "put"]), 200, 200, 200),
        (Permission(access_methods=["get"]), 200, 403, 200),
        (Permission(access_methods=["get"], resources=[Resource(datastream_trigger_id=1)]), 200, 403, 403),
        (Permission(access_methods=["get"], resources=[Resource(datastream_trigger_id=2)]), 403, 403, 403),
        (Permission(access_methods=["get"], resources=[Resource(feed_id=1)]), 403, 403, 403),
        (Permission(access_methods=["get"], source_ip="192.0.2.1"), 403, 403, 403),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_key_reaches_the_triggers_it_names(hub, permission, read, changed, listed):
    await make(hub)
    await hub.replace_key("keeper", "limited", permission)
    assert (await hub.get("/v2/triggers/1.json", key="limited")).status == read
    assert (
        await hub.ask("PUT", "/v2/triggers/1", '{"threshold_value":"1"}', key="limited")
    ).status == changed
    assert (await hub.get("/v2/triggers.json", key="limited")).status == listed


@pytest.mark.parametrize(
    ("methods", "private_access", "status"),
    [(["get", "put"], True, 200), (["put"], True, 403), (["get", "put"], False, 403)],
)
@pytest_twisted.ensureDeferred
async def test_values_are_sent_elsewhere_by_who_may_read_them(hub, methods, private_access, status):
    await make(hub)
    await hub.ask("PUT", "/v2/feeds/1.json", '{"private":true}')
    permission = Permission(access_methods=methods)
    await hub.replace_key("keeper", "limited", permission, private_access=private_access)
    assert (await hub.ask("PUT", "/v2/triggers/1", '{"threshold_value":"1"}', key="limited")).status == 200
    elsewhere = '{"url":"http://elsewhere.example/"}'
    assert (await hub.ask("PUT", "/v2/triggers/1", elsewhere, key="limited")).status == status


@pytest_twisted.ensureDeferred
async def test_somebody_elses_trigger_is_not_to_be_found(hub):
    await make(hub)
    for method in ("GET", "PUT", "DELETE"):
        assert (await hub.ask(method, "/v2/triggers/1.json", "{}", key=STRANGER)).status == 404
    for name in ("0", "x", "9" * 30):
        assert (await hub.get(f"/v2/triggers/{name}.json")).status == 404


@pytest_twisted.ensureDeferred
async def test_a_datastream_that_may_not_be_read_cannot_be_watched(hub):
    private = await hub.feed('{"title":"y","private":true,"datastreams":[{"id":"t"}]}')
    assert (await make(hub, key=STRANGER, environment_id=private)).status == 403
    assert (await make(hub, key=STRANGER)).status == 201
    assert text(await hub.get("/v2/triggers.json")) == "[]"


@pytest_twisted.ensureDeferred
async def test_whoever_fails_to_hear_of_a_trigger_does_not_undo_the_write(hub, flushed_errors):
    def deaf():
        raise RuntimeError("cannot be woken")

    hub.telling.fired = deaf
    assert (await make(hub)).status == 201
    assert (await hub.ask("PUT", "/v2/feeds/1/datastreams/t.csv", "21")).status == 200
    assert len(flushed_errors(RuntimeError)) == 1


@pytest_twisted.ensureDeferred
async def test_the_log_says_what_fired_and_what_became_of_it(hub):
    await make(hub)
    assert document(await hub.get("/v2/triggers/1/log")) == {"log": []}
    for value in ("20", "10", "21.5"):
        await hub.ask("PUT", "/v2/feeds/1/datastreams/t.csv", value)
        hub.clock.advance(6)
    (first,) = await hub.store.due_notices(NOON + timedelta(minutes=1), 1)
    await hub.store.settle_notice(first.id, NOON, "answered 500", NOON + timedelta(seconds=5))
    last, before = document(await hub.get("/v2/triggers/1/log.json"))["log"]
    assert (last["value"], last["tries"], last["outcome"]) == ("21.5", 0, "")
    assert before["value"] == "20"
    assert (before["tries"], before["outcome"]) == (1, "answered 500")
    assert (before["at"], before["retry_at"]) == (
        format_instant(NOON),
        format_instant(NOON + timedelta(seconds=5)),
    )
    await hub.store.settle_notice(first.id, NOON, "answered 200", None)
    assert document(await hub.get("/v2/triggers/1/log"))["log"][1]["retry_at"] is None


@pytest_twisted.ensureDeferred
async def test_the_log_is_for_who_may_read_the_trigger_and_the_value(hub):
    await make(hub, key=STRANGER)
    assert (await hub.get("/v2/triggers/1/log")).status == 404
    assert (await hub.get("/v2/triggers/1/log.xml", key=STRANGER)).status == 406
    assert (await hub.get("/v2/triggers/1/log", key=STRANGER)).status == 200
    await hub.ask("PUT", "/v2/feeds/1", '{"private":"true"}')
    assert (await hub.get("/v2/triggers/1/log", key=STRANGER)).status == 403
