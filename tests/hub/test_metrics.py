"""What is said to those who look after a hub, and to whom."""

from __future__ import annotations

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from tests.support.deferreds import result_of
from tests.support.hub import KEY, running_hub
from txbridge.errors import Closed, StoreError
from txbridge.hub.auth import OWNER
from txbridge.hub.metrics import Monitor, RequestMeter
from txbridge.net.exposition import Family, render_metrics
from txbridge.net.http1 import Request, Response


@pytest.fixture
def clock():
    return Clock()


def monitor_of(clock, ask, accounts=None, families=list):
    return Monitor(clock, accounts, ask, families)


def ready(monitor):
    return monitor.respond(Request("GET", "/readyz"))


def test_a_hub_whose_storage_answers_is_ready(clock):
    answer = result_of(ready(monitor_of(clock, lambda: succeed(0))))
    assert (answer.status, answer.body) == (200, b"ready\n")
    assert clock.getDelayedCalls() == []


def test_a_storage_that_does_not_answer_in_time_is_the_reason_why_a_hub_is_not_ready(clock):
    asked = ready(monitor_of(clock, Deferred))
    clock.advance(2.1)
    answer = result_of(asked)
    assert (answer.status, answer.body) == (503, b"the storage has not answered in 2 s\n")


@pytest.mark.parametrize(
    ("error", "said"),
    [(StoreError("the storage failed: disk I/O error"), b"disk I/O error"), (Closed("the store"), b"closed")],
)
def test_a_storage_that_fails_is_the_reason_why_a_hub_is_not_ready(clock, error, said):
    answer = result_of(ready(monitor_of(clock, lambda: fail(error))))
    assert answer.status == 503
    assert said in answer.body


def test_a_hub_that_leaves_is_not_ready(clock):
    monitor = monitor_of(clock, lambda: succeed(0))
    monitor.is_leaving = True
    answer = result_of(ready(monitor))
    assert (answer.status, answer.body) == (503, b"the hub is leaving\n")


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/readyz"), ("DELETE", "/metrics"), ("GET", "/v2/feeds")]
)
def test_everything_else_is_for_others_to_answer(clock, method, path):
    assert monitor_of(clock, lambda: succeed(0)).respond(Request(method, path)) is None


# ---------------------------------------------------------------------------------- who may look


@pytest_twisted.async_yield_fixture
async def hub(tmp_path):
    async with running_hub(tmp_path) as running:
        await running.add_account(OWNER, "owner-key")
        yield running


async def look(hub, *, client="192.0.2.7", **headers):
    monitor = monitor_of(hub.clock, lambda: succeed(3), hub.accounts)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await monitor.respond(Request("GET", "/metrics", "", named, client=client))


@pytest.mark.parametrize("client", ["127.0.0.1", "::1", "127.9.9.9"])
async def test_who_asks_from_the_hubs_machine_needs_no_key(hub, client):
    answer = await look(hub, client=client)
    assert answer.status == 200
    assert b"\ntxbridge_hub_notices_waiting 3\n" in answer.body


@pytest.mark.parametrize("header", ["x_forwarded_for", "forwarded", "via", "x_real_ip"])
async def test_a_proxy_on_the_hubs_machine_asks_for_anybody(hub, header):
    assert (await look(hub, client="127.0.0.1", **{header: "192.0.2.7"})).status == 401


@pytest.mark.parametrize("client", ["192.0.2.7", "", "fe80::1", "localhost"])
async def test_anybody_else_needs_a_key(hub, client):
    answer = await look(hub, client=client)
    assert answer.status == 401
    assert b"txbridge_hub" not in answer.body


async def test_the_owners_key_opens_them_from_anywhere(hub):
    assert (await look(hub, x_apikey="owner-key")).status == 200


@pytest.mark.parametrize(("key", "status"), [(KEY, 403), ("unknown", 401)])
async def test_the_keys_of_others_do_not(hub, key, status):
    assert (await look(hub, x_apikey=key)).status == status


async def test_metrics_come_also_when_the_storage_does_not_answer(hub):
    families = lambda: [Family("x", "gauge", "X.", [({}, 1)])]  # noqa: E731
    monitor = monitor_of(hub.clock, lambda: fail(StoreError("x")), hub.accounts, families)
    answer = await monitor.respond(Request("GET", "/metrics", "", client="127.0.0.1"))
    lines = answer.body.decode().splitlines()
    assert "txbridge_hub_ready 0" in lines
    assert "x 1" in lines
    assert not [line for line in lines if "notices_waiting" in line]


# ------------------------------------------------------------------------------------- requests


def test_requests_are_counted_by_method_and_status_and_by_how_long_they_took(clock):
    meter = RequestMeter(clock)
    late = Deferred()
    for method, answer in [("GET", Response(200)), ("BREW", Response(405)), ("PUT", late)]:
        meter.count(Request(method, "/"), lambda request, answer=answer: answer)
    clock.advance(0.2)
    late.callback(Response(429))
    meter.refused(400)
    lines = render_metrics(meter.families()).splitlines()
    for line in (
        'txbridge_hub_requests_total{method="GET",status="200"} 1',
        'txbridge_hub_requests_total{method="other",status="405"} 1',
        'txbridge_hub_requests_total{method="PUT",status="429"} 1',
        'txbridge_hub_requests_total{method="none",status="400"} 1',
        "txbridge_hub_rate_limited_total 1",
        'txbridge_hub_request_duration_seconds_bucket{kind="write",le="0.1"} 1',
        'txbridge_hub_request_duration_seconds_bucket{kind="write",le="0.25"} 2',
        'txbridge_hub_request_duration_seconds_count{kind="read"} 1',
    ):
        assert line in lines


def test_an_answer_that_failed_is_counted_and_passed_on(clock):
    meter = RequestMeter(clock)
    answer = meter.count(Request("GET", "/"), lambda request: fail(ValueError("x")))
    answer.addErrback(lambda failure: failure.trap(ValueError))
    assert 'txbridge_hub_requests_total{method="GET",status="500"} 1' in render_metrics(meter.families())
