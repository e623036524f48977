from __future__ import annotations

import re

import pytest
import pytest_twisted
from twisted.internet.testing import StringTransport

from tests.support.hub import KEY, document, header, running_hub, text
from txbridge.hub.site import HubSite
from txbridge.net.http1 import Request, Response


@pytest_twisted.async_yield_fixture
async def site(tmp_path):
    async with running_hub(tmp_path) as hub:
        yield HubSite(hub.server)


class Taker:
    """Takes WebSockets over by remembering them."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []

    def upgrade(self, transport, request, data) -> None:
        self.taken.append(data)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_landing_page_says_where_the_api_is_and_loads_nothing(site, method):
    response = site.respond(Request(method, "/"))
    assert isinstance(response, Response)
    assert (response.status, header(response, "content-type")) == (200, "text/html; charset=utf-8")
    assert (header(response, "content-security-policy") or "").startswith("default-src 'none';")
    assert "/v2/feeds" in text(response)
    assert re.search(r"src=|href=|<script|<style|url\(", text(response)) is None


def test_a_sign_of_life(site):
    response = site.respond(Request("GET", "/healthz"))
    assert (response.status, response.body) == (200, b"ok\n")


async def test_the_api_is_below_v2(site):
    response = await site.respond(Request("GET", "/v2/feeds", "", {"x-apikey": KEY}))
    assert document(response)["totalResults"] == 0


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
    refused = site.refuse(400, "the head has no end")
    assert (refused.status, document(refused)) == (
        400,
        {"title": "Bad Request", "errors": "the head has no end"},
    )
