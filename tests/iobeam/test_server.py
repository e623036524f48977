"""What iobeam's clients are answered, by the real rules over the real store."""

from __future__ import annotations

import csv
import io
import json

import pytest
import pytest_twisted
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import ensureDeferred, fail, gatherResults, succeed

from tests.support.hub import KEY, NOON, STRANGER, document, header, running_hub, text
from tests.support.hub_in_memory import HubInMemory
from tests.support.iobeam import PROJECT, Project, error_of
from txbridge.cosm.paws import PAWSClient
from txbridge.errors import StoreError
from txbridge.iobeam.imports import UNITS
from txbridge.iobeam.server import IobeamOptions, is_iobeam
from txbridge.net.http import HttpCarrier
from txbridge.net.operation import Operation

US = int(NOON.timestamp()) * 1_000_000


@pytest_twisted.async_yield_fixture
async def project(tmp_path):
    async with running_hub(tmp_path) as hub:
        project = Project(hub)
        await project.make()
        yield project


async def started(hub):
    project = Project(hub)
    await project.make()
    return project


# ----------------------------------------------------------------------------------------- addresses


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/devices", True),
        ("/v1/devices/", True),
        ("/v1/devices/a/b", True),
        ("/v1/imports/", True),
        ("/v1/exports/7/all/all", True),
        ("/v1/tokens/project", True),
        ("/v1/projects", True),
        ("/v1/users/me", True),
        ("/v1/users", False),
        ("/v1/feeds/1.json", False),
        ("/v2/devices", False),
        ("/v1", False),
        ("/", False),
    ],
)
def test_an_address_is_iobeams_or_somebody_elses(path, expected):
    assert is_iobeam(path) is expected


@pytest_twisted.ensureDeferred
async def test_an_address_that_is_none_and_a_method_that_is_not_there_are_refused(project):
    for target in (
        "devices/a/b",
        "imports/x",
        "exports",
        "exports/1/2/3/4",
        "tokens/a/b",
        "devices//x",
        "%ff",
    ):
        response = await project.get(target)
        assert (response.status, error_of(response)["code"]) == (404, 32)
    response = await project.ask("PUT", "devices/a")
    assert response.status == 405
    assert header(response, "allow") == "DELETE, GET, PATCH"


@pytest_twisted.ensureDeferred
async def test_a_slash_at_the_end_of_an_address_means_nothing(project):
    """The Java client posts to ``imports/?fmt=table``."""
    await project.device()
    body = {"project_id": PROJECT, "device_id": "pump-3", "sources": {"fields": ["time"], "data": []}}
    assert (await project.ask("POST", "imports/?fmt=table", body)).status == 200
    assert (await project.get("devices/")).status == 200


@pytest_twisted.ensureDeferred
async def test_every_answer_says_that_it_is_json(project):
    await project.device()
    answers = [
        await project.get("devices"),
        await project.get("nothing"),
        await project.get("devices", token="none"),
        await project.send(["a"], [[US, 1]]),
        await project.ask("DELETE", "devices/pump-3"),
        await project.ask("OPTIONS", "devices"),
    ]
    assert {header(response, "content-type") for response in answers} == {"application/json"}


@pytest_twisted.ensureDeferred
async def test_a_page_from_elsewhere_may_read_the_answers(project):
    asked = {"origin": "http://grafana.test"}
    response = await project.ask("OPTIONS", "devices", token="", headers=asked)
    assert header(response, "access-control-allow-headers") == "Authorization, Content-Type"
    response = await project.get("devices", headers=asked)
    assert header(response, "access-control-allow-origin") == "*"
    assert header(await project.get("devices"), "access-control-allow-origin") is None


# -------------------------------------------------------------------------------------------- tokens


@pytest_twisted.ensureDeferred
async def test_who_has_no_token_is_told_so(project):
    for target in ("devices", "devices/timestamp", f"exports/{PROJECT}", "devices/pump-3"):
        for token in (" ", KEY, project.token[:-1], "x" * 10_000):
            response = await project.get(target, token=token)
            assert response.status == 401
            assert header(response, "www-authenticate") == 'Bearer realm="iobeam"'
            assert token == " " or token not in text(response)


@pytest_twisted.ensureDeferred
async def test_a_token_that_has_expired_opens_nothing(project):
    token = await project.new_token(duration="1h", read="true")
    assert (await project.get("devices", token=token)).status == 200
    project.hub.clock.advance(3600)
    assert (await project.get("devices", token=token)).status == 401


@pytest_twisted.ensureDeferred
async def test_a_token_does_what_it_may_and_no_more(project):
    await project.device()
    tokens = {right: await project.new_token(**{right: "true"}) for right in ("read", "write", "admin")}
    table = {"project_id": PROJECT, "device_id": "pump-3", "sources": {"fields": ["time"], "data": []}}
    requests = [
        ("read", "GET", "devices", b""),
        ("read", "GET", "devices/pump-3", b""),
        ("read", "GET", f"exports/{PROJECT}", b""),
        ("write", "POST", "devices", {"project_id": PROJECT}),
        ("write", "POST", "imports", table),
        ("write", "PATCH", "devices/pump-3", {"device_name": "Pump"}),
        ("admin", "DELETE", "devices/pump-3", b""),
    ]
    for right, method, target, body in requests:
        for other in ("read", "write", "admin"):
            if other != right:
                assert (await project.ask(method, target, body, token=tokens[other])).status == 403
        assert (await project.ask(method, target, body, token=tokens[right])).status < 300
    assert (await project.get("devices/timestamp", token=tokens["admin"])).status == 200


@pytest_twisted.ensureDeferred
async def test_a_token_opens_its_own_project_only(project):
    await project.device()
    table = {"project_id": 7, "device_id": "pump-3", "sources": {"fields": ["time"], "data": []}}
    for response in (
        await project.ask("POST", "devices", {"project_id": 7}),
        await project.ask("POST", "imports", table),
        await project.get("exports/7/all/all"),
        await project.get("devices/timestamp?project_id=7"),
        await project.get("devices?project_id=7"),
        await project.get("devices/pump-3?project_id=7"),
        await project.ask("PATCH", "devices/pump-3", {"project_id": 7, "device_name": "x"}),
        await project.ask("DELETE", "devices/pump-3?project_id=7"),
    ):
        assert response.status == 403
        assert error_of(response)["message"] == "the token is for another project"


@pytest_twisted.ensureDeferred
async def test_a_token_of_a_device_opens_that_device_only(project):
    await project.device()
    await project.device("pump-4")
    await project.send(["a"], [[US, 1]])
    await project.send(["a"], [[US, 2]], "pump-4")
    project.token = await project.new_token(read="true", write="true", admin="true", device_id="pump-3")
    assert [one["device_id"] for one in document(await project.get("devices"))["devices"]] == ["pump-3"]
    assert await project.points() == {"a": [(US, 1)]}
    assert (await project.send(["a"], [[US, 3]])).status == 200
    table = {"project_id": PROJECT, "device_id": "pump-4", "sources": {"fields": ["time"], "data": []}}
    for response in (
        await project.ask("POST", "imports", table),
        await project.ask("POST", "devices", {"project_id": PROJECT}),
        await project.ask("POST", "devices", {"project_id": PROJECT, "device_id": "pump-5"}),
        await project.get("devices/pump-4"),
        await project.get(f"exports/{PROJECT}/pump-4"),
        await project.ask("DELETE", "devices/pump-4"),
    ):
        assert response.status == 403
    response = await project.ask("POST", "devices", {"project_id": PROJECT, "device_id": "pump-3"})
    assert (response.status, error_of(response)["code"]) == (422, 150)


@pytest_twisted.ensureDeferred
async def test_where_the_query_names_the_project_its_owners_key_is_as_good_as_a_token(project):
    await project.device()
    asked = f"project_id={PROJECT}"
    listed = document(await project.get(f"devices?{asked}", token=KEY))["devices"]
    assert [one["device_id"] for one in listed] == ["pump-3"]
    body = {"project_id": PROJECT, "device_id": "b"}
    assert (await project.ask("POST", f"devices?{asked}", body, token=KEY)).status == 201
    assert (await project.get(f"exports/{PROJECT}?{asked}", token=KEY)).status == 200
    assert (await project.get(f"exports/7?{asked}", token=KEY)).status == 403
    assert (await project.ask("DELETE", f"devices/b?{asked}", token=KEY)).status == 204
    assert (await project.get(f"devices?{asked}", token=STRANGER)).status == 404
    assert (await project.get(f"devices?{asked}", token="nobodys")).status == 401
    assert (await project.get("devices?project_id=7")).status == 403


@pytest_twisted.ensureDeferred
async def test_a_project_token_opens_nothing_of_cosm(project):
    await project.device()
    assert (await project.hub.get("/v2/feeds/1.json", key=project.token)).status == 401


@pytest_twisted.ensureDeferred
async def test_each_token_makes_so_many_requests_a_minute(tmp_path):
    async with running_hub(tmp_path, iobeam=IobeamOptions(requests_per_minute=1)) as hub:
        project = await started(hub)
        for _ in range(3):
            assert (await project.get("devices")).status == 200
        response = await project.get("devices")
        assert (response.status, header(response, "retry-after")) == (429, "60")
        assert error_of(response)["code"] == 429
        hub.clock.advance(60)
        assert (await project.get("devices")).status == 200


# ------------------------------------------------------------------------------------------- devices


@pytest_twisted.ensureDeferred
async def test_a_device_that_registers_is_told_all_that_clients_read(project):
    body = {"project_id": PROJECT, "device_id": "pump-3", "device_name": "Pump", "device_type": "pump"}
    response = await project.ask("POST", "devices", body)
    assert response.status == 201
    assert document(response) == {**body, "created": "2013-06-03 12:00:00 +0000", "feed_id": 1}
    assert document(await project.get("devices/pump-3")) == document(response)


@pytest_twisted.ensureDeferred
async def test_what_a_device_does_not_say_is_chosen_for_it(project):
    found = document(await project.ask("POST", "devices", {"project_id": PROJECT, "device_id": "pump-3"}))
    assert (found["device_name"], found["device_type"]) == ("pump-3", None)
    first = document(await project.ask("POST", "devices", {"project_id": PROJECT}))
    second = document(await project.ask("POST", "devices", {"project_id": PROJECT, "device_id": None}))
    assert len({one[name] for one in (first, second) for name in ("device_id", "device_name")}) == 4
    assert len(first["device_id"]) > 16


@pytest_twisted.ensureDeferred
async def test_an_id_and_a_name_that_are_taken_have_their_codes(project):
    await project.device(device_name="Pump")
    body = {"project_id": PROJECT, "device_id": "pump-3"}
    response = await project.ask("POST", "devices", body)
    assert (response.status, error_of(response)["code"]) == (422, 150)
    response = await project.ask("POST", "devices", {**body, "device_id": "b", "device_name": "Pump"})
    assert (response.status, error_of(response)["code"]) == (422, 151)


@pytest.mark.parametrize(
    "members",
    [
        {"device_id": "a b"},
        {"device_id": ""},
        {"device_id": 7},
        {"device_id": "x" * 256},
        {"device_id": "pump\n"},
        {"device_id": "all"},
        {"device_id": "timestamp"},
        {"device_name": ""},
        {"device_name": "a\x00"},
        {"device_type": []},
        {"project_id": "x"},
        {"project_id": None},
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_device_that_cannot_be_is_refused_by_what_is_wrong(project, members):
    response = await project.ask("POST", "devices", {"project_id": PROJECT, **members})
    assert response.status == 400
    assert error_of(response)["message"].startswith(next(iter(members)))
    assert document(await project.get("devices")) == {"devices": []}


@pytest_twisted.ensureDeferred
async def test_an_account_that_is_full_takes_no_more_devices(project):
    project.hub.store.max_feeds = 1
    await project.device()
    response = await project.ask("POST", "devices", {"project_id": PROJECT})
    assert response.status == 422
    assert error_of(response)["message"] == "an account can have at most 1 devices and other feeds"


@pytest_twisted.ensureDeferred
async def test_devices_are_listed_and_found_by_name(project):
    await project.device(device_name="Pump")
    await project.device("b", device_name="Fan")
    listed = document(await project.get(f"devices?project_id={PROJECT}"))["devices"]
    assert [one["device_name"] for one in listed] == ["Fan", "Pump"]
    assert document(await project.get("devices?name=Fan"))["device_id"] == "b"
    response = await project.get("devices?name=Tap")
    assert (response.status, error_of(response)["code"]) == (404, 32)


@pytest_twisted.ensureDeferred
async def test_a_device_is_renamed_and_its_feed_with_it(project):
    feed_id = await project.device()
    await project.device("b")
    told = []
    project.hub.live.listen(feed_id, told.append)
    response = await project.ask("PATCH", "devices/pump-3", {"device_name": "Pump", "device_type": "pump"})
    assert response.status == 200
    assert document(response)["device_name"] == "Pump"
    assert [written.snapshot.environment.title for written in told] == ["Pump"]
    assert (await project.ask("PATCH", "devices/pump-3", {"device_name": "Pump"})).status == 204
    response = await project.ask("PATCH", "devices/pump-3", {"device_name": "b"})
    assert (response.status, error_of(response)["code"]) == (422, 151)


@pytest_twisted.ensureDeferred
async def test_a_device_that_is_deleted_takes_its_feed_along_and_who_listens_is_told(project):
    feed_id = await project.device()
    told = []
    project.hub.live.listen(feed_id, told.append)
    response = await project.ask("DELETE", "devices/pump-3")
    assert (response.status, response.body) == (204, b"")
    assert [(written.feed_id, written.deleted) for written in told] == [(feed_id, True)]
    assert (await project.hub.get(f"/v2/feeds/{feed_id}.json")).status == 404


@pytest_twisted.ensureDeferred
async def test_a_device_whose_feed_is_deleted_is_gone_and_may_register_again(project):
    feed_id = await project.device()
    assert (await project.hub.ask("DELETE", f"/v2/feeds/{feed_id}")).status == 200
    for response in (
        await project.get("devices/pump-3"),
        await project.send(["a"], [[US, 1]]),
        await project.ask("PATCH", "devices/pump-3", {"device_name": "x"}),
        await project.ask("DELETE", "devices/pump-3"),
        await project.get(f"exports/{PROJECT}/pump-3"),
    ):
        assert (response.status, error_of(response)["code"]) == (404, 32)
    assert await project.device() != feed_id


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", 1370260800000),
        ("?timefmt=sec", 1370260800),
        ("?timefmt=usec", US),
        ("?timefmt=TIMEVAL", {"sec": 1370260800, "usec": 0}),
    ],
)
@pytest_twisted.ensureDeferred
async def test_the_clock_is_told_in_the_unit_that_is_asked_for(project, query, expected):
    response = await project.get(f"devices/timestamp{query}")
    assert document(response) == {"server_timestamp": expected}
    assert (await project.get("devices/timestamp?timefmt=x")).status == 400


@pytest_twisted.ensureDeferred
async def test_a_board_finds_seconds_before_microseconds(project):
    """The Arduino client looks for the one and then for the other in the text."""
    project.hub.clock.advance(0.25)
    body = text(await project.get("devices/timestamp?timefmt=TIMEVAL"))
    assert body.index('"sec":1370260800') < body.index('"usec":250000')


# ------------------------------------------------------------------------------------------- imports


@pytest_twisted.ensureDeferred
async def test_a_device_registers_sends_and_is_read(project):
    await project.device()
    response = await project.send(["flow", "rpm"], [[US, 4.5, 900], [US + 1, None, 910]])
    assert (response.status, response.body) == (200, b"{}")
    assert await project.points() == {"flow": [(US, 4.5)], "rpm": [(US, 900), (US + 1, 910)]}


@pytest_twisted.ensureDeferred
async def test_what_a_device_sends_is_read_through_cosm(project):
    feed_id = await project.device()
    await project.send(["flow (l/min)", "on"], [[US, 4.5, True], [US + 1_000_000, 4.75, False]])
    feed = document(await project.hub.get(f"/v2/feeds/{feed_id}.json"))
    assert feed["title"] == "pump-3"
    assert feed["private"] == "true"
    values = {stream["id"]: stream["current_value"] for stream in feed["datastreams"]}
    assert values == {"flow.20.28l.2fmin.29": "4.75", "on": "false"}
    assert (await project.hub.get(f"/v2/feeds/{feed_id}.json", key="nobodys")).status == 401


@pytest_twisted.ensureDeferred
async def test_what_cosm_clients_write_is_read_by_iobeams(project):
    feed_id = await project.device()
    body = '{"datastreams":[{"id":"t","current_value":"21.50","at":"2013-06-03T12:00:00.000001Z"}]}'
    assert (await project.hub.ask("PUT", f"/v2/feeds/{feed_id}.json", body)).status == 200
    response = await project.get(f"exports/{PROJECT}/pump-3/t?timefmt=usec")
    assert f'{{"time":{US + 1},"value":21.50}}' in text(response)


@pytest_twisted.ensureDeferred
async def test_who_listens_hears_what_a_device_sends(project):
    feed_id = await project.device()
    told = []
    project.hub.live.listen(feed_id, told.append)
    await project.send(["a", "b"], [[US, 1, 2], [US + 1, 3, None]])
    (written,) = told
    assert sorted(written.changed) == ["a", "b"]
    assert written.snapshot.environment.datastreams["a"].current_value == "3"


@pytest_twisted.ensureDeferred
async def test_what_a_device_sends_fires_triggers(project):
    feed_id = await project.device()
    await project.send(["t"], [[US, 1]])
    woken = []
    project.hub.telling.fired = lambda: woken.append(True)
    trigger = json.dumps(
        {
            "environment_id": feed_id,
            "stream_id": "t",
            "url": "http://example.test/hook",
            "trigger_type": "gt",
            "threshold_value": "20",
        }
    )
    assert (await project.hub.ask("POST", "/v2/triggers.json", trigger)).status == 201
    await project.send(["t"], [[US + 1, 19]])
    assert woken == []
    await project.send(["t"], [[US + 2, 21]])
    assert woken == [True]


@pytest_twisted.ensureDeferred
async def test_a_point_that_is_sent_again_is_one_point(project):
    await project.device()
    for _ in range(2):
        await project.send(["a"], [[US, 1], [US + 1, 2]])
    assert await project.points() == {"a": [(US, 1), (US + 1, 2)]}


@pytest_twisted.ensureDeferred
async def test_of_an_import_with_a_mistake_nothing_is_stored(project):
    await project.device()
    response = await project.send(["a", "b"], [[US, 1, 2], [US + 1, 3, [4]]])
    assert response.status == 400
    assert error_of(response)["message"].startswith("sources.data[1][2] must be")
    assert await project.points() == {}


@pytest_twisted.ensureDeferred
async def test_an_import_of_nothing_makes_no_series(project):
    await project.device()
    assert (await project.send(["a"], [])).status == 200
    assert (await project.send(["a"], [[US, None]])).status == 200
    assert await project.points() == {}


@pytest_twisted.ensureDeferred
async def test_a_device_that_is_not_registered_cannot_send(project):
    response = await project.send(["a"], [[US, 1]])
    assert (response.status, error_of(response)["code"]) == (404, 32)


@pytest_twisted.ensureDeferred
async def test_a_feed_that_is_full_takes_no_more_series(project, monkeypatch):
    from txbridge.hub import sqlite_writes

    await project.device()
    monkeypatch.setattr(sqlite_writes, "MAX_DATASTREAMS", 2)
    assert (await project.send(["a", "b"], [[US, 1, 2]])).status == 200
    response = await project.send(["a", "c"], [[US + 1, 1, 2]])
    assert response.status == 422
    assert error_of(response)["message"].startswith("there is no room: a device can have at most")
    assert await project.points() == {"a": [(US, 1)], "b": [(US, 2)]}


@pytest_twisted.ensureDeferred
async def test_what_is_too_much_at_once_is_told_so(project):
    await project.device()
    response = await project.send(["a"], [[US + number, number] for number in range(10_001)])
    assert (response.status, error_of(response)["code"]) == (413, 413)


# ------------------------------------------------------------------------------------------- exports


@pytest_twisted.ensureDeferred
async def test_an_export_has_the_form_that_the_guide_shows(project):
    await project.device()
    await project.send(["flow"], [[US + 123_999, 4.5]])
    response = await project.get(f"exports/{PROJECT}/pump-3/flow")
    assert document(response) == {
        "result": [
            {
                "project_id": PROJECT,
                "device_id": "pump-3",
                "name": "flow",
                "data": [{"time": US // 1000 + 123, "value": 4.5}],
            }
        ],
        "timefmt": "msec",
    }


@pytest_twisted.ensureDeferred
async def test_all_devices_and_all_series_are_asked_for_by_all_or_by_nothing(project):
    await project.device()
    await project.device("b")
    await project.send(["flow", "rpm"], [[US, 1, 2]])
    await project.send(["flow"], [[US, 3]], "b")
    for target in (f"exports/{PROJECT}", f"exports/{PROJECT}/all", f"exports/{PROJECT}/all/all"):
        found = document(await project.get(target))["result"]
        assert sorted((one["device_id"], one["name"]) for one in found) == [
            ("b", "flow"),
            ("pump-3", "flow"),
            ("pump-3", "rpm"),
        ]
    found = document(await project.get(f"exports/{PROJECT}/all/rpm"))["result"]
    assert [one["device_id"] for one in found] == ["pump-3"]
    assert document(await project.get(f"exports/{PROJECT}/b/rpm"))["result"] == []


@pytest_twisted.ensureDeferred
async def test_a_window_holds_both_its_ends(project):
    await project.device()
    await project.send(["a"], [[US + number * 1000, number] for number in range(5)])
    start = US // 1000
    found = await project.points(query=f"from={start + 1}&to={start + 3}&timefmt=msec")
    assert found == {"a": [(start + 1, 1), (start + 2, 2), (start + 3, 3)]}
    found = await project.points(query=f"from={start + 1}&limit=2&timefmt=msec")
    assert found == {"a": [(start + 3, 3), (start + 4, 4)]}
    assert await project.points(query=f"from={start + 9}") == {"a": []}


@pytest_twisted.ensureDeferred
async def test_a_history_of_many_pages_is_given_whole(project):
    await project.device()
    for first in range(0, 5000, 2500):
        await project.send(["a"], [[US + number, number % 7] for number in range(first, first + 2500)])
    found = (await project.points())["a"]
    assert found == [(US + number, number % 7) for number in range(5000)]
    assert (await project.points(query="timefmt=usec&equals=3&limit=1"))["a"] == [(US + 4994, 3)]
    assert (await project.points(query="timefmt=usec&operator=count"))["a"] == [(US, 5000)]


@pytest_twisted.ensureDeferred
async def test_numbers_are_summed_up_in_groups(project):
    await project.device()
    await project.send(["a"], [[US + number * 1_000_000, number] for number in range(120)])
    found = await project.points(query="operator=mean&group_by=1m&timefmt=sec")
    assert found == {"a": [(US // 1_000_000, 29.5), (US // 1_000_000 + 60, 89.5)]}


@pytest_twisted.ensureDeferred
async def test_an_export_as_csv_is_plain_text(project):
    await project.device()
    await project.send(["a,b"], [[US, 1], [US + 1000, "x"]])
    response = await project.get(f"exports/{PROJECT}?output=csv")
    assert header(response, "content-type") == "text/plain; charset=utf-8"
    lines = list(csv.reader(io.StringIO(text(response))))
    assert lines == [
        ["project_id", "device_id", "name", "time", "value"],
        [str(PROJECT), "pump-3", "a,b", str(US // 1000), "1"],
        [str(PROJECT), "pump-3", "a,b", str(US // 1000 + 1), "x"],
    ]


@pytest_twisted.ensureDeferred
async def test_an_export_of_too_much_is_refused_and_never_cut(tmp_path):
    async with running_hub(tmp_path, iobeam=IobeamOptions(export_points=10, export_reads=25)) as hub:
        project = await started(hub)
        await project.device()
        await project.send(["a", "b"], [[US + number, number, number] for number in range(6)])
        assert (await project.get(f"exports/{PROJECT}/pump-3/a")).status == 200
        response = await project.get(f"exports/{PROJECT}")
        assert response.status == 400
        assert "more than 10 points" in error_of(response)["message"]
        assert (await project.get(f"exports/{PROJECT}?limit=5")).status == 200
        await project.send(["c"], [[US + number, number] for number in range(30)])
        response = await project.get(f"exports/{PROJECT}/pump-3/c?operator=sum")
        assert "more than 25 points would be looked at" in error_of(response)["message"]


@pytest.mark.parametrize("output", ["json", "csv"])
@pytest_twisted.ensureDeferred
async def test_an_export_of_long_texts_is_refused_before_it_takes_the_memory(tmp_path, output):
    async with running_hub(tmp_path, iobeam=IobeamOptions(export_bytes=100_000)) as hub:
        project = await started(hub)
        await project.device()
        await project.send(["a"], [[US + number, "x" * 255] for number in range(1000)])
        target = f"exports/{PROJECT}?output={output}"
        response = await project.get(target)
        assert response.status == 400
        assert "more than 100000 bytes" in error_of(response)["message"]
        assert (await project.get(f"{target}&limit=300")).status == 200


@pytest.mark.parametrize("moment", ["list_devices", "read_feed"])
@pytest_twisted.ensureDeferred
async def test_a_device_that_is_deleted_while_all_are_exported_is_left_out(project, monkeypatch, moment):
    await project.device()
    await project.send(["a"], [[US, 1]])
    await project.device("b")
    await project.send(["b"], [[US, 2]], "b")
    keeper = project.hub.projects if moment == "list_devices" else project.hub.store
    ask, first = getattr(keeper, moment), True

    async def deleting(*asked):
        nonlocal first
        found = await ask(*asked)
        if first:
            first = False
            await project.ask("DELETE", "devices/b")
        return found

    monkeypatch.setattr(keeper, moment, deleting)
    assert await project.points() == {"a": [(US, 1)]}


@pytest_twisted.ensureDeferred
async def test_many_exports_at_once_take_turns_and_all_are_answered(project):
    await project.device()
    await project.send(["a"], [[US + number, number] for number in range(3000)])
    asked = [
        *[ensureDeferred(project.get(f"exports/{PROJECT}/pump-3/a")) for _ in range(10)],
        ensureDeferred(project.get(f"exports/{PROJECT}/nobody")),
    ]
    answers = await gatherResults(asked)
    assert [response.status for response in answers] == [200] * 10 + [404]
    assert len({response.body for response in answers[:10]}) == 1


@pytest_twisted.ensureDeferred
async def test_exports_that_nobody_waits_for_hold_up_their_own_project_alone(project):
    """Who goes away has asked all the same."""
    await project.ask("POST", "projects", {"project_name": "Barn", "project_id": 7}, token=KEY)
    await project.device()
    await project.send(["a"], [[US + number, number] for number in range(3000)])
    asked = [ensureDeferred(project.get(f"exports/{PROJECT}/pump-3/a")) for _ in range(40)]
    assert (await project.get("exports/7?project_id=7", token=KEY)).status == 200
    assert not all(answer.called for answer in asked)
    answers = await gatherResults(asked)
    statuses = [response.status for response in answers]
    assert (statuses.count(200), statuses.count(503)) == (32, 8)
    assert header(answers[-1], "retry-after") == "5"
    assert (await project.get(f"exports/{PROJECT}/pump-3/a")).status == 200


@pytest_twisted.ensureDeferred
async def test_an_export_that_cannot_be_understood_is_refused_by_what_is_wrong(project):
    for target, start in [
        (f"exports/{PROJECT}?limit=0", "limit"),
        (f"exports/{PROJECT}?group_by=1m", "group_by"),
        ("exports/x", "project"),
        (f"exports/{PROJECT}?" + "a=1&" * 101, "the query"),
    ]:
        response = await project.get(target)
        assert response.status == 400
        assert error_of(response)["message"].startswith(start)


@pytest_twisted.ensureDeferred
async def test_names_that_are_no_ids_are_asked_for_percent_encoded(project):
    await project.device()
    await project.send(["flow (l/min)", "v.2e", "é"], [[US, 1, 2, 3]])
    assert set(await project.points()) == {"flow (l/min)", "v.2e", "é"}
    assert await project.points("flow%20%28l%2Fmin%29") == {"flow (l/min)": [(US, 1)]}
    assert await project.points("v.2e") == {"v.2e": [(US, 2)]}
    assert await project.points("%C3%A9") == {"é": [(US, 3)]}


@pytest_twisted.ensureDeferred
async def test_a_datastream_whose_id_looks_escaped_can_be_asked_for(project):
    feed_id = await project.device()
    body = '{"datastreams":[{"id":"x.61","current_value":"5"}]}'
    await project.hub.ask("PUT", f"/v2/feeds/{feed_id}.json", body)
    assert [value for _, value in (await project.points("x.61"))["x.61"]] == [5]


ROWS = st.dictionaries(
    st.integers(0, 4_000_000_000),
    st.tuples(
        st.none() | st.integers(-(10**15), 10**15) | st.booleans(),
        st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(["on", "", 'é,"x']),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, timefmt=st.sampled_from(["sec", "msec", "usec"]))
async def test_what_is_sent_comes_back_in_every_unit(project, rows, timefmt):
    """Each example is a device of its own in the same project."""
    device = document(await project.ask("POST", "devices", {"project_id": PROJECT}))["device_id"]
    table = [[at, *cells] for at, cells in rows.items()]
    assert (await project.send(["a", "b c"], table, device, timefmt=timefmt)).status == 200
    sent = {
        name: [(at, cells[column]) for at, cells in sorted(rows.items()) if cells[column] is not None]
        for column, name in enumerate(["a", "b c"])
    }
    sent = {name: points for name, points in sent.items() if points}
    assert await project.points(query=f"timefmt={timefmt}", device_id=device) == sent
    fine = {name: [(at * UNITS[timefmt], value) for at, value in points] for name, points in sent.items()}
    assert await project.points(device_id=device) == fine


# ---------------------------------------------------------------------------------- what strangers send

WORDS = st.sampled_from(
    "devices imports exports tokens projects users me all timestamp project user pump-3 a 14436643675940 1 0"
    " -1 %00 %ff %2F .. %ED%A0%80 9999999999999999999999999".split(),
)
NAMES = st.sampled_from(
    "project_id device_id name password read duration limit from to timefmt greater_than less_than equals"
    " operator group_by output refreshable".split(),
)
VALUES = st.sampled_from(
    "14436643675940 1 0 -1 1.5 1e5 true sec TIMEVAL sum mean 1m csv %00 %ff x NaN 1e400"
    " 99999999999999999999999 ٣ %ED%A0%80".split(),
)
BODIES = st.sampled_from(
    [
        b"",
        b"{}",
        b"[" * 9999,
        b"\xff",
        b'{"refresh_token":1}',
        b'{"token":"x","project_id":1}',
        b'{"project_id":14436643675940,"device_id":"a","device_name":"\\u0000"}',
        b'{"project_id":14436643675940,"device_id":"a","sources":{"fields":["time","a"],"data":[[1,1e400]]}}',
    ]
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "BREW"]),
    words=st.lists(WORDS, min_size=1, max_size=5),
    pairs=st.lists(st.tuples(NAMES, VALUES), max_size=4),
    body=BODIES,
    key=st.sampled_from(["token", "key", "none"]),
)
async def test_whatever_is_asked_is_answered_or_refused_in_the_one_form(
    project, method, words, pairs, body, key
):
    token = {"token": project.token, "key": KEY, "none": "x"}[key]
    query = "&".join(f"{name}={value}" for name, value in pairs)
    response = await project.ask(method, f"{'/'.join(words)}?{query}", body, token=token)
    assert response.status < 500
    if response.status >= 400:
        assert error_of(response)["message"]


# ------------------------------------------------------------------------------------ through the wires


def test_what_a_device_sends_over_http_is_pushed_over_the_socket(tmp_path):
    with HubInMemory(tmp_path) as hub:
        carrier = HttpCarrier(hub.iobeam_url, reactor=hub.network.reactor)

        def ask(method, *path, token, query=(), body=None):
            raw = None if body is None else json.dumps(body).encode()
            headers = {"authorization": f"Bearer {token}"}
            operation = Operation("ask", method, path, lambda answer: answer, query, headers, raw)
            return json.loads(hub.run(carrier.run(operation)).body)

        number = ask("POST", "projects", token=hub.api_key, body={"project_name": "Barn"})["project_id"]
        asked = (("project_id", str(number)),)
        token = ask("GET", "tokens", "project", token=hub.api_key, query=asked)["token"]
        body = {"project_id": number, "device_id": "pump-3"}
        feed_id = ask("POST", "devices", token=token, body=body)["feed_id"]

        told = []
        socket = PAWSClient(hub.api_key, url=f"{hub.paws_url}:80", reactor=hub.network.reactor)
        hub.run(socket.connect())
        hub.run(socket.subscribe(f"/feeds/{feed_id}", told.append)[1])
        sources = {"fields": ["time", "flow"], "data": [[US // 1000, 4.5]]}
        assert ask("POST", "imports", token=token, body={**body, "sources": sources}) == {}
        hub.settle()
        assert [one.datastreams["flow"].current_value for one in told] == ["4.5"]
        found = ask("GET", "exports", str(number), "pump-3", "flow", token=token)
        assert found["result"][0]["data"] == [{"time": US // 1000, "value": 4.5}]
        hub.run(socket.disconnect())
        hub.run(carrier.close())


# ------------------------------------------------------------------------------------------ failures


@pytest_twisted.ensureDeferred
async def test_when_the_storage_fails_clients_are_asked_to_come_back(project, monkeypatch):
    await project.device()
    monkeypatch.setattr(project.hub.store, "write", lambda *ignored: fail(StoreError("the disk is full")))
    response = await project.send(["a"], [[US, 1]])
    assert (response.status, header(response, "retry-after")) == (503, "5")
    assert error_of(response)["code"] == 503
    monkeypatch.undo()
    assert (await project.send(["a"], [[US, 1]])).status == 200


@pytest_twisted.ensureDeferred
async def test_what_nobody_thought_of_is_logged_without_the_token(project, monkeypatch, flushed_errors):
    monkeypatch.setattr(project.hub.projects, "list_devices", lambda *ignored: succeed(None))
    response = await project.get("devices")
    assert response.status == 500
    assert error_of(response)["message"] == "something went wrong here"
    (failure,) = flushed_errors(TypeError)
    assert project.token not in failure.getTraceback()
