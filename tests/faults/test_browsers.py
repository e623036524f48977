"""What a browser adds by itself, once its user gave it a password, is nothing that other sites may use."""

from __future__ import annotations

import base64
import json

import pytest
import pytest_twisted

from tests.support.hostile import hub_by_hand

PASSWORD = "correct horse battery"
BASIC = ("Authorization", "Basic " + base64.b64encode(f"owner:{PASSWORD}".encode()).decode())
FORM = ("Content-Type", "text/plain")
BODY = json.dumps({"title": "made by a form"}).encode()
ELSEWHERE = [
    [("Origin", "http://elsewhere.test")],
    [("Origin", "null")],
    [("Origin", "http://hub.test:8080")],
    [("Sec-Fetch-Site", "cross-site"), ("Origin", "http://hub.test")],
    [("Sec-Fetch-Site", "same-site"), ("Origin", "http://hub.test:8080")],
]
HERE = [
    [],
    [("Origin", "http://hub.test")],
    [("Origin", "https://hub.test")],
    [("Sec-Fetch-Site", "same-origin"), ("Origin", "https://shown.by.a.proxy.test")],
    [("Sec-Fetch-Site", "none")],
]


@pytest_twisted.async_yield_fixture
async def client(tmp_path):
    async with hub_by_hand(tmp_path) as client:
        document = json.dumps({"user": {"password": PASSWORD}}).encode()
        status, said = await client.ask("PUT", "/v2/users/owner", document, (("X-ApiKey", client.key),))
        assert status == 200, said
        yield client


@pytest.mark.parametrize("headers", ELSEWHERE)
async def test_another_site_makes_nothing_with_a_password_that_the_browser_adds(client, headers):
    status, _ = await client.ask("POST", "/v2/feeds", BODY, (BASIC, FORM, *headers))
    assert status == 401
    assert b'"totalResults":0' in (await client.ask("GET", "/v2/feeds", b"", (("X-ApiKey", client.key),)))[1]


@pytest.mark.parametrize("headers", HERE)
async def test_who_gives_the_password_himself_is_let_in(client, headers):
    assert (await client.ask("POST", "/v2/feeds", BODY, (BASIC, FORM, *headers)))[0] == 201


async def test_a_script_of_another_site_reads_nothing_with_a_password_that_the_browser_adds(client):
    assert (await client.ask("GET", "/v2/feeds.json", b"", (BASIC,)))[0] == 200
    status, said = await client.ask("GET", "/v2/feeds.json?callback=mine", b"", (BASIC,))
    assert status == 401
    assert b"totalResults" not in said
    assert (await client.ask("GET", f"/v2/feeds.json?callback=mine&key={client.key}"))[0] == 200


@pytest.mark.parametrize("headers", ELSEWHERE)
async def test_pages_from_anywhere_may_use_a_key_that_they_have(client, headers):
    status, said = await client.ask("POST", "/v2/feeds", BODY, (("X-ApiKey", client.key), *headers))
    assert status == 201
    assert (b"Access-Control-Allow-Origin: *" in said) == any(name == "Origin" for name, _ in headers)
