from __future__ import annotations

import re
from importlib.resources import files

import pytest
import pytest_twisted
from twisted.internet.testing import StringTransport

from tests.support.hub import KEY, document, header, running_hub
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
@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/web/app.js", "text/javascript; charset=utf-8"),
        ("/web/style.css", "text/css; charset=utf-8"),
        ("/web/icon.svg", "image/svg+xml"),
        ("/web/vendor/land-110m.json", "application/json"),
    ],
)
def test_the_page_may_load_nothing_but_itself(site, method, path, content_type):
    response = site.respond(Request(method, path))
    assert isinstance(response, Response)
    assert (response.status, header(response, "content-type")) == (200, content_type)
    policy = header(response, "content-security-policy") or ""
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert header(response, "x-content-type-options") == "nosniff"
    assert response.body


def test_no_file_of_the_page_names_another_host():
    folder = files("txbridge.hub").joinpath("web")
    for file in folder.iterdir():
        if file.is_file():
            words = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
            assert re.search(r"(https?:)?//[a-z0-9-]+\.[a-z]", words) is None, file.name


def test_an_unchanged_file_is_not_sent_again(site):
    tag = header(site.respond(Request("GET", "/web/app.js")), "etag")
    again = site.respond(Request("GET", "/web/app.js", "", {"if-none-match": tag}))
    assert (again.status, again.body) == (304, b"")


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
