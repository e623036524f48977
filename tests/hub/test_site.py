from __future__ import annotations

import pytest
import pytest_twisted
from twisted.internet.defer import succeed
from twisted.internet.testing import StringTransport

from tests.support.hub import KEY, document, running_hub
from tests.support.iobeam import error_of
from txbridge.hub.metrics import Monitor
from txbridge.hub.site import HubSite
from txbridge.net.http1 import Request


@pytest_twisted.async_yield_fixture
async def site(tmp_path):
    async with running_hub(tmp_path) as hub:
        yield HubSite(hub.server, iobeam=hub.iobeam)


class Taker:
    """Takes WebSockets over by remembering them."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []

    def upgrade(self, transport, request, data) -> None:
        self.taken.append(data)


def test_the_page_is_at_the_root_and_below_web(site):
    for path in ("/", "/web/app.js"):
        assert site.respond(Request("GET", path)).status == 200


@pytest.mark.parametrize(
    "path", ["/web/", "/web/README", "/web/../site.py", "/web/vendor/README", "/web/%2e%2e/site.py"]
)
async def test_nothing_else_can_be_had_from_the_page(site, path):
    assert (await site.respond(Request("GET", path))).status == 404


def test_a_sign_of_life(site):
    response = site.respond(Request("GET", "/healthz"))
    assert (response.status, response.body) == (200, b"ok\n")


async def test_the_api_is_below_v2(site):
    response = await site.respond(Request("GET", "/v2/feeds", "", {"x-apikey": KEY}))
    assert document(response)["totalResults"] == 0


async def test_the_addresses_of_iobeam_are_below_v1(site):
    response = await site.respond(Request("GET", "/v1/devices", "", {"x-apikey": KEY}))
    assert response.status == 401
    assert document(response)["errors"][0]["code"] == 401
    response = await site.respond(Request("GET", "/v1/users.json", "", {"x-apikey": KEY}))
    assert document(response)["title"] == "Not found"


async def test_without_iobeam_its_addresses_are_nobodys(site):
    response = await HubSite(site._server).respond(Request("GET", "/v1/devices", "", {"x-apikey": KEY}))
    assert response.status == 404


@pytest.mark.parametrize(("method", "path"), [("GET", "/favicon.ico"), ("POST", "/"), ("PUT", "/healthz")])
async def test_anything_else_is_404_in_the_words_of_the_api(site, method, path):
    response = await site.respond(Request(method, path))
    assert response.status == 404
    assert document(response) == {"title": "Not found", "errors": f'No route matches [{method}] "/api{path}"'}


def test_websockets_go_to_who_takes_them_if_anybody_does(site):
    assert site.upgrade is None
    taker = Taker()
    upgrade = HubSite(site._server, taker).upgrade
    assert upgrade is not None
    upgrade(StringTransport(), Request("GET", "/"), b"head")
    assert taker.taken == [b"head"]


def test_refusals_of_the_connection_have_a_body_of_the_api(site):
    for path in ("", "/v2/feeds/1", "/v1/feeds"):
        refused = site.refuse(400, "the head has no end", path)
        assert (refused.status, document(refused)) == (
            400,
            {"title": "Bad Request", "errors": "the head has no end"},
        )


def test_refusals_of_a_body_for_iobeam_are_in_iobeams_words(site):
    refused = site.refuse(413, "the body is larger than 1048576 bytes", "/v1/imports/")
    assert (refused.status, error_of(refused)["code"]) == (413, 413)
    assert error_of(refused)["message"] == "the body is larger than 1048576 bytes"


async def test_what_is_answered_is_counted_and_who_looks_after_the_hub_is_answered(tmp_path):
    async with running_hub(tmp_path) as hub:
        monitor = Monitor(hub.clock, hub.accounts, lambda: succeed(0), list)
        site = HubSite(hub.server, monitor=monitor)
        assert (await site.respond(Request("GET", "/readyz"))).body == b"ready\n"
        assert (await site.respond(Request("GET", "/v2/feeds"))).status == 401
        assert site.respond(Request("GET", "/healthz")).status == 200
        assert site.refuse(400, "that is no request", "").status == 400
        metrics = await site.respond(Request("GET", "/metrics", client="127.0.0.1"))
    for line in (
        'requests_total{method="GET",status="200"} 2',
        'requests_total{method="GET",status="401"} 1',
        'requests_total{method="none",status="400"} 1',
    ):
        assert f"txbridge_hub_{line}" in metrics.body.decode().splitlines()
