"""A key is in no log, wherever it was in a request, and whatever fails."""

from __future__ import annotations

import base64
import json

import pytest
from twisted.logger import eventAsText, globalLogPublisher

from tests.support.hostile import hub_by_hand
from tests.support.hub_in_memory import HOST, HubInMemory
from tests.support.paws import Wire

SECRET = "c2VjcmV0LWtleS1vZi1hLXRlc3QtMDEyMzQ1Njc4OWFi"
BASIC = base64.b64encode(f"owner:{SECRET}".encode()).decode()
TOKEN = f"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJ1aWQiOjF9.{SECRET}"
CARRIED = [
    ("GET", "/v2/feeds", ("X-ApiKey", SECRET)),
    ("GET", "/v2/feeds", ("X-PachubeApiKey", SECRET)),
    ("GET", "/v2/feeds", ("Authorization", f"Basic {BASIC}")),
    ("GET", "/v1/devices?project_id=1", ("Authorization", f"Bearer {TOKEN}")),
    ("GET", f"/v2/feeds?key={SECRET}", ("Accept", "text/csv")),
    ("GET", f"/v2/feeds/1.xml?x=1&key={SECRET}", ("Accept", "text/csv")),
    ("GET", f"/v1/tokens/user?name=owner&password={SECRET}", ("Accept", "*/*")),
    ("DELETE", f"/v2/keys/{SECRET}", ("X-ApiKey", SECRET)),
    ("PUT", f"/v2/keys/{SECRET}.json", ("X-ApiKey", SECRET)),
    ("POST", "/grafana/query", ("X-ApiKey", SECRET)),
]


@pytest.fixture
def logged():
    """What was logged, as the program would write it when it writes most."""
    texts: list[str] = []

    def keep(event):
        texts.append(eventAsText(event, includeTraceback=True))

    globalLogPublisher.addObserver(keep)
    yield texts
    globalLogPublisher.removeObserver(keep)


class Broken:
    """A storage every part of which fails."""

    def __getattr__(self, name):
        def fail(*_args, **_more):
            raise ZeroDivisionError(f"{name} is broken")

        return fail


def is_told_without(logged, *secrets):
    said = "\n".join(logged)
    assert "is broken" in said  # the failure itself is there
    return not any(secret in said for secret in secrets)


@pytest.mark.parametrize(("method", "target", "header"), CARRIED)
async def test_no_log_tells_a_key_when_a_request_fails(
    tmp_path, logged, flushed_errors, method, target, header
):
    async with hub_by_hand(tmp_path) as client:
        client.site._server._accounts._store = Broken()  # they all ask the same accounts
        client.site._iobeam._projects = Broken()
        status, said = await client.ask(method, target, json.dumps({"key": SECRET}).encode(), (header,))
        assert status == 500
        assert SECRET.encode() not in said
    assert flushed_errors(ZeroDivisionError)
    assert is_told_without(logged, SECRET, BASIC)


@pytest.mark.parametrize("member", ["headers", "params", "resource"])
def test_no_log_tells_a_key_when_a_request_on_a_socket_fails(tmp_path, logged, flushed_errors, member):
    request = {
        "headers": {"method": "get", "resource": "/feeds/1", "headers": {"X-ApiKey": SECRET}},
        "params": {"method": "subscribe", "resource": "/feeds/1", "params": {"key": SECRET}},
        "resource": {"method": "get", "resource": f"/keys/{SECRET}?key={SECRET}"},
    }[member]
    with HubInMemory(tmp_path) as hub:
        hub.server._accounts._store = Broken()
        wire = Wire.connect(hub.network.endpoint(HOST, 8081), hub.settle)
        assert wire.ask(request)["status"] == 500
    assert flushed_errors(ZeroDivisionError)
    assert is_told_without(logged, SECRET)
