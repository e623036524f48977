"""The REST rules, through the real store: each quirk of the protocol by its name."""

from __future__ import annotations

import base64
import json
import random
from datetime import datetime, timedelta
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError, Deferred, gatherResults

from tests.support.hub import (
    HOST,
    KEY,
    NOON,
    STRANGER,
    TestHub,
    document,
    header,
    running_hub,
    text,
)
from txbridge.cosm.server import CosmOptions, Subscribed, connection_refusal
from txbridge.errors import StoreError
from txbridge.hub.store import MAX_DATASTREAMS, Written
from txbridge.model.accounts import Permission, Resource
from txbridge.net.http1 import Request, Response


@pytest_twisted.async_yield_fixture
async def hub(tmp_path):
    async with running_hub(tmp_path) as running:
        yield running


@pytest_twisted.async_yield_fixture
async def narrowing_hub(tmp_path):
    async with running_hub(tmp_path, CosmOptions(window_limits="clamp")) as running:
        yield running


BOILER = """{"title":"Boiler room","website":"http://house.example/boiler","tags":["heating","boiler"],
"description":"Flow and return of the gas boiler","email":"keeper@house.example",
"location":{"name":"cellar","exposure":"indoor","domain":"physical","disposition":"fixed","ele":"23.0","lat":52.1,"lon":-0.2},
"datastreams":[{"id":"pump","current_value":"off","at":"2013-06-03T08:59:00Z"},{"id":"never_written"},
{"id":"flow_temp","current_value":"22.0","at":"2013-06-03T09:15:41.9Z","tags":"temperature",
"unit":{"type":"derivedSI","symbol":"C","label":"Celsius"},"max_value":"78.5","min_value":"11.0"}]}"""

ROUTES = [
    ("GET", "/v2/feeds"),
    ("POST", "/v2/feeds"),
    ("GET", "/v2/feeds/1"),
    ("PUT", "/v2/feeds/1"),
    ("DELETE", "/v2/feeds/1"),
    ("GET", "/v2/feeds/1/datastreams"),
    ("POST", "/v2/feeds/1/datastreams"),
    ("GET", "/v2/feeds/1/datastreams/a"),
    ("POST", "/v2/feeds/1/datastreams/a"),
    ("PUT", "/v2/feeds/1/datastreams/a"),
    ("DELETE", "/v2/feeds/1/datastreams/a"),
    ("GET", "/v2/feeds/1/datastreams/a/archive.csv"),
    ("POST", "/v2/feeds/1/datastreams/a/datapoints"),
    ("DELETE", "/v2/feeds/1/datastreams/a/datapoints"),
    ("GET", "/v2/feeds/1/datastreams/a/datapoints/2013-06-03T09:00:00Z"),
    ("PUT", "/v2/feeds/1/datastreams/a/datapoints/2013-06-03T09:00:00Z"),
    ("DELETE", "/v2/feeds/1/datastreams/a/datapoints/2013-06-03T09:00:00Z"),
    ("GET", "/v2/keys"),
    ("POST", "/v2/keys"),
    ("GET", "/v2/keys/ref-1"),
    ("PUT", "/v2/keys/ref-1"),
    ("DELETE", "/v2/keys/ref-1"),
    ("POST", "/v2/keys/ref-1/regenerate"),
    ("GET", "/v2/users"),
    ("POST", "/v2/users"),
    ("GET", "/v2/users/keeper"),
    ("PUT", "/v2/users/keeper"),
    ("DELETE", "/v2/users/keeper"),
    ("GET", "/v2/triggers"),
    ("POST", "/v2/triggers"),
    ("GET", "/v2/triggers/1"),
    ("PUT", "/v2/triggers/1"),
    ("DELETE", "/v2/triggers/1"),
]


def eeml(data: str, updated: str = "") -> str:
    return f"<eeml><environment updated='{updated}'>{data}</environment></eeml>"


async def put(hub: TestHub, feed: int, body: str, **options) -> None:
    response = await hub.ask("PUT", f"/v2/feeds/{feed}", body, **options)
    assert (response.status, response.body) == (200, b"")


async def stream(hub: TestHub, feed: int, name: str, query: str = "") -> Any:
    response = await hub.get(f"/v2/feeds/{feed}/datastreams/{name}{query}")
    assert response.status == 200, response
    return document(response)


def points(described: dict) -> list[tuple[str, str]]:
    return [(point["at"][11:19], point["value"]) for point in described.get("datapoints", [])]


# ----------------------------------------------------------------------------------- keys and rights


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_every_address_needs_a_key(hub, method, path):
    response = await hub.ask(method, path, key=None)
    assert (response.status, header(response, "www-authenticate")) == (401, 'Basic realm="Cosm"')
    if not path.endswith(".csv"):
        assert document(response) == {"title": "Unauthorized", "errors": "You must supply a valid API key"}


def basic(login: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{login}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("", {"x-apikey": KEY}),
        ("", {"x-pachubeapikey": KEY}),
        ("", {"x-apikey": "", "x-pachubeapikey": KEY}),
        (f"?key={KEY}", {}),
        ("", {"authorization": basic("keeper", KEY)}),
    ],
)
async def test_a_key_may_come_in_four_ways(hub, query, headers):
    assert (await hub.get(f"/v2/feeds{query}", key=None, headers=headers)).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"x-apikey": "wrong"},
        {"x-apikey": "wrong", "x-pachubeapikey": KEY},
        {"authorization": basic("keeper", "wrong")},
        {"authorization": basic("stranger", KEY)},
        {"authorization": "Basic ???"},
    ],
)
async def test_an_unknown_key_is_401(hub, headers):
    assert (await hub.get("/v2/feeds", key=None, headers=headers)).status == 401


async def test_an_expired_key_is_401(hub):
    everything = Permission(access_methods=["get"])
    await hub.replace_key("stranger", "late", everything, expires_at=NOON + timedelta(seconds=5))
    assert (await hub.get("/v2/feeds", key="late")).status == 200
    hub.clock.advance(6)
    assert (await hub.get("/v2/feeds", key="late")).status == 401


async def test_anybody_with_a_key_reads_a_public_feed_and_only_its_owner_writes(hub):
    feed = await hub.feed()
    assert (await hub.get(f"/v2/feeds/{feed}", key=STRANGER)).status == 200
    for method, body in (("PUT", '{"title":"Mine"}'), ("DELETE", "")):
        response = await hub.ask(method, f"/v2/feeds/{feed}", body, key=STRANGER)
        assert response.status == 403
        assert document(response) == {
            "title": "Forbidden",
            "errors": "You do not have the necessary permissions to access this resource",
        }
    assert document(await hub.get(f"/v2/feeds/{feed}"))["title"] == "Boiler room"


async def test_a_private_feed_is_403_for_everybody_else_and_not_listed(hub):
    feed = await hub.feed('{"title":"Secret","private":true}')
    assert (await hub.get(f"/v2/feeds/{feed}", key=STRANGER)).status == 403
    assert document(await hub.get("/v2/feeds", key=STRANGER))["totalResults"] == 0
    assert document(await hub.get("/v2/feeds"))["totalResults"] == 1


async def test_a_key_without_private_access_does_not_see_its_owners_private_feeds(hub):
    feed = await hub.feed('{"title":"Secret","private":true}')
    await hub.replace_key("keeper", "plain", Permission(access_methods=["get", "put"]))
    assert (await hub.get(f"/v2/feeds/{feed}", key="plain")).status == 403
    assert (await hub.ask("PUT", f"/v2/feeds/{feed}", "{}", key="plain")).status == 403
    assert document(await hub.get("/v2/feeds", key="plain"))["totalResults"] == 0


async def test_a_key_does_only_what_its_methods_say(hub):
    feed = await hub.feed()
    await hub.replace_key("keeper", "reader", Permission(access_methods=["get"]))
    assert (await hub.get(f"/v2/feeds/{feed}", key="reader")).status == 200
    assert (await hub.ask("PUT", f"/v2/feeds/{feed}", "{}", key="reader")).status == 403
    assert (await hub.ask("POST", "/v2/feeds", '{"title":"x"}', key="reader")).status == 403


async def test_a_key_for_one_feed_reaches_that_feed_and_what_is_in_it(hub):
    mine, other = await hub.feed(BOILER), await hub.feed()
    permission = Permission(access_methods=["get", "put", "post"], resources=[Resource(feed_id=mine)])
    await hub.replace_key("keeper", "one", permission)
    assert (await hub.get(f"/v2/feeds/{mine}", key="one")).status == 200
    assert (await hub.get(f"/v2/feeds/{mine}/datastreams/pump", key="one")).status == 200
    assert (await hub.get(f"/v2/feeds/{other}", key="one")).status == 403
    assert (await hub.ask("POST", "/v2/feeds", '{"title":"x"}', key="one")).status == 403
    assert [feed["id"] for feed in document(await hub.get("/v2/feeds", key="one"))["results"]] == [mine]


async def test_a_key_for_one_datastream_reaches_only_that(hub):
    feed = await hub.feed(BOILER)
    resource = Resource(feed_id=feed, datastream_id="pump")
    await hub.replace_key(
        "keeper", "pump", Permission(access_methods=["get", "put", "post"], resources=[resource])
    )
    base = f"/v2/feeds/{feed}"
    assert (await hub.get(f"{base}/datastreams/pump", key="pump")).status == 200
    assert (await hub.ask("PUT", f"{base}/datastreams/pump.csv", "on", key="pump")).status == 200
    for refused in (base, f"{base}/datastreams/flow_temp"):
        assert (await hub.get(refused, key="pump")).status == 403
    body = '{"datastreams":[{"id":"pump"},{"id":"new"}]}'
    assert (await hub.ask("POST", f"{base}/datastreams", body, key="pump")).status == 403
    assert (await hub.get("/v2/feeds", key="pump")).status == 403


async def test_a_key_may_be_bound_to_an_address_and_a_referer(hub):
    bound = Permission(access_methods=["get"], source_ip="10.0.0.0/8", referer="www.house.example")
    await hub.replace_key("stranger", "bound", bound)
    good = {"client": "10.1.2.3", "headers": {"referer": "http://www.house.example/page"}, "key": "bound"}
    feed = await hub.feed()
    assert (await hub.get(f"/v2/feeds/{feed}", **good)).status == 200
    assert (await hub.get(f"/v2/feeds/{feed}", **{**good, "client": "11.1.2.3"})).status == 403
    elsewhere = {"referer": "http://house.example/"}
    assert (await hub.get(f"/v2/feeds/{feed}", **{**good, "headers": elsewhere})).status == 403


async def test_a_key_with_a_minimum_interval_reads_no_finer_history(hub):
    feed = await hub.feed(BOILER)
    await hub.replace_key("keeper", "coarse", Permission(access_methods=["get"], minimum_interval=300))
    base = f"/v2/feeds/{feed}/datastreams/flow_temp"
    assert (await hub.get(base, key="coarse")).status == 200
    assert (await hub.get(f"{base}?interval=300", key="coarse")).status == 200
    assert (await hub.get(f"{base}?interval=60", key="coarse")).status == 403
    assert (await hub.get(f"{base}?duration=1hour", key="coarse")).status == 403
    assert (await hub.get(f"{base}/archive.csv", key="coarse")).status == 403


# -------------------------------------------------------------------------------- addresses and formats


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v2/feeds/121601.csv"),
        ("PATCH", "/v2/feeds/1"),
        ("PUT", "/v2/feeds"),
        ("PUT", "/v2/triggers"),
        ("POST", "/v2/keys.json/regenerate"),
        ("GET", "/v2/products/p/secrets"),
        ("GET", "/v2"),
        ("GET", "/favicon.ico"),
        ("GET", "/v2/feeds/1/datastreams/a/b"),
        ("GET", "/v2/feeds%2F1"),
        ("GET", "/v2/feeds%2F*"),
        ("GET", "/v2/feeds/%ff"),
    ],
)
async def test_a_wrong_address_is_404_in_the_words_of_the_service(hub, method, path):
    response = await hub.ask(method, path)
    assert response.status == 404
    words = f'No route matches [{method}] "/api{path}"'
    if path.endswith(".csv"):
        assert text(response) == f"Not found: {words}\n"
    else:
        assert document(response) == {"title": "Not found", "errors": words}


@pytest.mark.parametrize(
    "path",
    [
        "/v2/feeds/99",
        "/v2/feeds/x",
        "/v2/feeds/-1",
        "/v2/feeds/1.5x/datastreams/a",
        "/v2/feeds/99999999999999999999",
        "/v2/feeds/1/datastreams/missing",
        "/v2/feeds/1/datastreams/missing?limit=1",
        "/v2/feeds/1/datastreams/pump/datapoints/2001-01-01T00:00:00Z",
        "/v2/feeds/1/datastreams/pump/datapoints/yesterday",
        "/v2/feeds/1/datastreams/missing/datapoints/2001-01-01T00:00:00Z",
        "/v2/feeds/99/datastreams/pump/archive",
    ],
)
async def test_what_does_not_exist_is_404(hub, path):
    assert await hub.feed(BOILER) == 1
    response = await hub.get(path)
    assert response.status == 404
    sentence = "I'm sorry we are unable to find the resource you are looking for."
    assert sentence in text(response)


@pytest.mark.parametrize(
    "path",
    [
        "/v2/feeds.png",
        "/v2/feeds.rss",
        "/v2/feeds/1.png",
        "/v2/feeds/1.atom",
        "/v2/feeds/1/datastreams.rss",
        "/v2/feeds/1/datastreams/pump/archive.json",
    ],
)
async def test_a_format_that_is_not_offered_is_406(hub, path):
    await hub.feed(BOILER)
    assert (await hub.get(path)).status == 406


async def test_a_hub_that_cannot_draw_has_no_graphs(hub):
    await hub.feed(BOILER)
    response = await hub.get("/v2/feeds/1/datastreams/pump.png")
    assert response.status == 404
    assert "No route matches [GET]" in text(response)


async def test_a_feed_cannot_be_created_in_csv(hub):
    assert (await hub.ask("POST", "/v2/feeds.csv", "x,1")).status == 406
    assert (await hub.ask("POST", "/v2/feeds", "x,1", headers={"content-type": "text/csv"})).status == 406


@pytest.mark.parametrize(
    ("path", "accept", "content_type"),
    [
        ("/v2/feeds/1", None, "application/json"),
        ("/v2/feeds/1", "*/*", "application/json"),
        ("/v2/feeds/1", "text/xml", "application/xml"),
        ("/v2/feeds/1", "application/csv", "text/csv"),
        ("/v2/feeds/1.json", "text/csv", "application/json"),
        ("/v2/feeds/1.XML", "application/json", "application/xml"),
        ("/v2/feeds/1/", None, "application/json"),
        ("/v2/feeds/1/datastreams/", "text/csv", "text/csv"),
    ],
)
async def test_the_extension_wins_over_accept(hub, path, accept, content_type):
    await hub.feed(BOILER)
    response = await hub.get(path, headers={} if accept is None else {"accept": accept})
    assert (response.status, header(response, "content-type")) == (200, f"{content_type}; charset=utf-8")


async def test_an_accept_without_a_known_type_is_406_for_reads_and_no_matter_for_writes(hub):
    feed = await hub.feed()
    headers = {"accept": "text/html"}
    response = await hub.get(f"/v2/feeds/{feed}", headers=headers)
    assert (response.status, document(response)["title"]) == (406, "Not Acceptable")
    await put(hub, feed, '{"title":"x"}', headers=headers)


@pytest.mark.parametrize(
    ("path", "headers", "content_type", "begin"),
    [
        ("/v2/feeds/9.json", {}, "application/json", '{"title":"Not found","errors":"'),
        ("/v2/feeds/9.xml", {}, "application/xml", "<?xml"),
        ("/v2/feeds/9.csv", {}, "text/plain", "Not found: I'm sorry"),
        ("/v2/feeds/9", {"accept": "application/xml"}, "application/xml", "<?xml"),
        ("/v2/feeds/9", {"accept": "text/csv"}, "text/plain", "Not found: "),
        ("/v2/feeds/9", {}, "application/json", "{"),
    ],
)
async def test_an_error_comes_in_the_format_of_the_request(hub, path, headers, content_type, begin):
    response = await hub.get(path, headers=headers)
    assert response.status == 404
    assert header(response, "content-type") == f"{content_type}; charset=utf-8"
    assert text(response).startswith(begin)


async def test_an_error_about_an_xml_body_comes_in_xml(hub):
    feed = await hub.feed()
    response = await hub.ask("PUT", f"/v2/feeds/{feed}", "<eeml><environment></eeml>")
    assert (response.status, header(response, "content-type")) == (400, "application/xml; charset=utf-8")
    assert "<title>XML Parser Error</title>" in text(response)


@pytest.mark.parametrize(
    ("body", "title"),
    [
        ("", "JSON Parser Error"),
        ("{", "JSON Parser Error"),
        ("[]", "JSON Parser Error"),
        ("5", "JSON Parser Error"),
        ('{"datastreams":{}}', "JSON Parser Error"),
        ("<a/>", "XML Parser Error"),
        ('<!DOCTYPE x [<!ENTITY e "e">]><eeml><environment/></eeml>', "XML Parser Error"),
    ],
)
async def test_a_document_that_cannot_be_read_is_400(hub, body, title):
    feed = await hub.feed()
    response = await hub.ask("PUT", f"/v2/feeds/{feed}", body, headers={"accept": "application/json"})
    assert (response.status, document(response)["title"]) == (400, title)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"datastreams":[{"id":"a"},{"id":"a"}]}', "a"),
        ('{"datastreams":[{"id":"a","current_value":1,"at":"soon"}]}', "datastreams[0].at"),
        ('{"private":"perhaps"}', "private"),
        ('{"datastreams":[{"id":"a b"}]}', "id is invalid"),
        ('{"datastreams":[{"id":"a","current_value":"x"}]}'.replace("x", "x" * 256), "too long"),
        ('{"location":{"lat":91}}', "Latitude must be between"),
    ],
)
async def test_a_document_that_breaks_a_rule_is_422_and_changes_nothing(hub, body, words):
    feed = await hub.feed()
    before = await hub.get(f"/v2/feeds/{feed}")
    hub.clock.advance(1)
    response = await hub.ask("PUT", f"/v2/feeds/{feed}", body)
    assert (response.status, document(response)["title"]) == (422, "Unprocessable Entity")
    assert words in document(response)["errors"]
    assert (await hub.get(f"/v2/feeds/{feed}")).body == before.body


async def test_a_successful_write_has_an_empty_body_and_no_type(hub):
    feed = await hub.feed()
    response = await hub.ask("PUT", f"/v2/feeds/{feed}.json", '{"title":"x"}')
    assert response == Response(200)


async def test_a_delete_may_carry_an_extension(hub):
    feed = await hub.feed()
    assert await hub.ask("DELETE", f"/v2/feeds/{feed}.json") == Response(200)
    assert (await hub.get(f"/v2/feeds/{feed}")).status == 404


async def test_jsonp_wraps_json_and_strips_the_name(hub):
    feed = await hub.feed()
    plain = await hub.get(f"/v2/feeds/{feed}.json")
    response = await hub.get(f"/v2/feeds/{feed}.json?callback=jQuery1.x%28%29&_=1370000000000")
    assert header(response, "content-type") == "application/javascript; charset=utf-8"
    assert response.body == b"jQuery1x(" + plain.body + b")"
    missing = await hub.get("/v2/feeds/99?callback=cb")
    assert (missing.status, missing.body[:4]) == (404, b"cb({")
    xml = await hub.get(f"/v2/feeds/{feed}.xml?callback=cb")
    assert xml.body.startswith(b"<?xml")


async def test_a_preflight_needs_no_key(hub):
    response = await hub.ask("OPTIONS", "/v2/feeds/1", key=None, headers={"origin": "http://page.example"})
    assert (response.status, response.body) == (200, b"")
    assert header(response, "access-control-allow-origin") == "*"
    assert header(response, "access-control-allow-methods") == "GET, POST, PUT, DELETE, OPTIONS"
    allowed = header(response, "access-control-allow-headers")
    assert allowed == "X-ApiKey, X-PachubeApiKey, Content-Type, Accept, Authorization"


async def test_scripts_from_elsewhere_may_read_every_answer_but_devices_get_no_such_headers(hub):
    origin = {"origin": "http://page.example"}
    for response in (
        await hub.ask("POST", "/v2/feeds", '{"title":"x"}', headers=origin),
        await hub.get("/v2/feeds/99", headers=origin),
        await hub.get("/v2/feeds", key=None, headers=origin),
    ):
        assert header(response, "access-control-allow-origin") == "*"
        assert header(response, "access-control-expose-headers") == "Location"
    assert header(await hub.get("/v2/feeds"), "access-control-allow-origin") is None


async def test_an_unchanged_document_is_304(hub):
    feed = await hub.feed()
    first = await hub.get(f"/v2/feeds/{feed}")
    tag = header(first, "etag")
    assert tag is not None
    for known in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
        again = await hub.get(f"/v2/feeds/{feed}", headers={"if-none-match": known})
        assert (again.status, again.body, header(again, "etag")) == (304, b"", tag)
    await put(hub, feed, '{"title":"New"}')
    assert (await hub.get(f"/v2/feeds/{feed}", headers={"if-none-match": tag})).status == 200


async def test_head_is_answered_like_get(hub):
    feed = await hub.feed()
    assert await hub.ask("HEAD", f"/v2/feeds/{feed}") == await hub.get(f"/v2/feeds/{feed}")


async def test_unknown_parameters_and_empty_pieces_are_ignored(hub):
    feed = await hub.feed()
    plain = await hub.get(f"/v2/feeds/{feed}")
    assert await hub.get(f"/v2/feeds/{feed}?&_=1370000000000&foo&") == plain


@pytest.mark.parametrize(
    ("headers", "secure", "location"),
    [
        ({"host": "hub.example:8080"}, False, "http://hub.example:8080/v2/feeds/1"),
        ({"host": "hub.example"}, True, "https://hub.example/v2/feeds/1"),
        ({}, False, "http://localhost/v2/feeds/1"),
        ({"host": 'evil"><script>'}, False, "http://localhost/v2/feeds/1"),
        ({"host": "a" * 50}, False, "/v2/feeds/1"),
    ],
)
async def test_location_has_the_scheme_and_host_of_the_request_and_no_extension(
    hub, headers, secure, location
):
    body = b'{"title":"Attic"}'
    request = Request("POST", "/v2/feeds.json", "", {"x-apikey": KEY, **headers}, body, "::1", secure)
    response = await hub.server.respond(request)
    assert (response.status, response.body, header(response, "location")) == (201, b"", location)


async def test_behind_a_proxy_addresses_are_those_it_was_told(tmp_path):
    async with running_hub(tmp_path, CosmOptions(public_url="https://data.example/")) as hub:
        feed = await hub.feed()
        shown = document(await hub.get(f"/v2/feeds/{feed}"))
        assert shown["feed"] == f"https://data.example/v2/feeds/{feed}.json"


# --------------------------------------------------------------------------------------------- feeds


async def test_a_feed_reads_as_documented(hub):
    assert await hub.feed(BOILER) == 1
    response = await hub.get("/v2/feeds/1.json")
    assert text(response) == (
        '{"id":1,"title":"Boiler room","private":"false","website":"http://house.example/boiler",'
        '"tags":["boiler","heating"],"description":"Flow and return of the gas boiler",'
        f'"feed":"http://{HOST}/v2/feeds/1.json","status":"live",'
        '"updated":"2013-06-03T12:00:00.000000Z","created":"2013-06-03T12:00:00.000000Z",'
        f'"email":"keeper@house.example","creator":"http://{HOST}/users/keeper","version":"1.0.0",'
        '"datastreams":['
        '{"id":"flow_temp","current_value":"22.0","at":"2013-06-03T09:15:41.900000Z","max_value":"78.5",'
        '"min_value":"11.0","tags":["temperature"],'
        '"unit":{"type":"derivedSI","symbol":"C","label":"Celsius"}},'
        '{"id":"never_written"},'
        '{"id":"pump","current_value":"off","at":"2013-06-03T08:59:00.000000Z"}],'
        '"location":{"name":"cellar","exposure":"indoor","domain":"physical","disposition":"fixed",'
        '"ele":"23.0","lat":52.1,"lon":-0.2}}'
    )


ACCEPTED_BY_XIVELY_PYTHON = {
    "feed": {
        "title", "description", "website", "email", "tags", "location", "private", "datastreams", "id",
        "feed", "status", "creator", "created", "updated", "version", "auto_feed_url", "product_id",
        "device_serial",
    },
    "datastream": {
        "id", "tags", "unit", "min_value", "max_value", "current_value", "at", "datapoints", "version",
    },
    "location": {"name", "domain", "exposure", "disposition", "lat", "lon", "ele", "waypoints"},
    "unit": {"label", "type", "symbol"},
    "waypoint": {"at", "lat", "lon"},
}  # fmt: skip


async def test_xively_python_meets_no_member_it_does_not_know(hub):
    feed = await hub.feed(BOILER.replace('"disposition":"fixed"', '"disposition":"mobile"'))
    hub.clock.advance(60)
    await put(hub, feed, '{"location":{"lat":52.2,"lon":-0.3}}')
    described = document(await hub.get(f"/v2/feeds/{feed}?duration=6hours&show_user=false"))
    assert set(described) <= ACCEPTED_BY_XIVELY_PYTHON["feed"]
    assert "title" in described
    for one in described["datastreams"]:
        assert set(one) <= ACCEPTED_BY_XIVELY_PYTHON["datastream"]
        assert set(one.get("unit", {})) <= ACCEPTED_BY_XIVELY_PYTHON["unit"]
        assert all(set(point) == {"at", "value"} for point in one.get("datapoints", []))
    assert set(described["location"]) <= ACCEPTED_BY_XIVELY_PYTHON["location"]
    (waypoint,) = described["location"]["waypoints"]
    assert set(waypoint) <= ACCEPTED_BY_XIVELY_PYTHON["waypoint"] | {"ele"}
    stamps = [point["at"] for one in described["datastreams"] for point in one.get("datapoints", [])]
    assert stamps
    for stamp in [*stamps, waypoint["at"]]:
        assert datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%S.%fZ").year == 2013


async def test_xively_python_sends_back_what_it_read_and_nothing_breaks(hub):
    feed = await hub.feed(BOILER)
    read = document(await hub.get(f"/v2/feeds/{feed}"))
    read["id"], read["status"], read["creator"] = 999, "frozen", "http://x/users/y"
    read["product_id"], read["device_serial"] = "p", "s"
    hub.clock.advance(5)
    await put(hub, feed, json.dumps(read))
    after = document(await hub.get(f"/v2/feeds/{feed}"))
    assert after["id"] == feed
    assert (after["status"], after["creator"]) == ("live", f"http://{HOST}/users/keeper")
    assert "product_id" not in after
    assert after["datastreams"] == read["datastreams"]


async def test_xively_python_creates_with_an_empty_location_and_capital_booleans(hub):
    feed = await hub.feed('{"title":"x","location":{},"datastreams":[]}')
    described = document(await hub.get(f"/v2/feeds/{feed}/?show_user=True"))
    assert described["user"] == {"login": "keeper"}
    assert "location" not in described
    assert "datastreams" not in described or described["datastreams"] == []


async def test_xively_python_numbers_become_the_text_they_were_sent_as(hub):
    feed = await hub.feed()
    await put(
        hub,
        feed,
        '{"version":"1.0.0","datastreams":[{"id":"a","current_value":20.0},{"id":1,"current_value":77}]}',
    )
    assert (await stream(hub, feed, "a"))["current_value"] == "20.0"
    assert (await stream(hub, feed, "1"))["current_value"] == "77"


async def test_zero_and_false_are_values(hub):
    feed = await hub.feed()
    await put(hub, feed, '{"datastreams":[{"id":"a","current_value":0},{"id":"b","current_value":false}]}')
    assert (await stream(hub, feed, "a"))["current_value"] == "0"
    assert (await stream(hub, feed, "b"))["current_value"] == "false"


async def test_a_new_feed_needs_a_title(hub):
    for body in ("{}", '{"title":" "}', "<eeml><environment/></eeml>"):
        response = await hub.ask("POST", "/v2/feeds", body)
        assert response.status == 422
        assert "Title can't be blank" in text(response)


async def test_a_feed_can_be_created_in_xml(hub):
    body = "<eeml><environment><title>Greenhouse</title></environment></eeml>"
    response = await hub.ask("POST", "/v2/feeds.xml", body)
    assert (response.status, header(response, "location")) == (201, f"http://{HOST}/v2/feeds/1")
    assert document(await hub.get("/v2/feeds/1"))["title"] == "Greenhouse"


@pytest.mark.parametrize(("value", "status"), [("1", "live"), (None, "frozen")])
async def test_a_feed_has_one_status_however_much_of_it_is_shown(hub, value, status):
    streams = [{"id": "t", "current_value": value}, {"id": "u"}]
    feed = await hub.feed(json.dumps({"title": "new", "datastreams": streams}))
    for query in ("content=full", "content=summary"):
        assert document(await hub.get(f"/v2/feeds.json?{query}"))["results"][0]["status"] == status
    for query in ("", "?datastreams=u", "?datastreams=none"):
        assert document(await hub.get(f"/v2/feeds/{feed}.json{query}"))["status"] == status


async def test_a_new_feed_is_frozen_until_it_is_written(hub):
    feed = await hub.feed()
    assert document(await hub.get(f"/v2/feeds/{feed}"))["status"] == "frozen"
    hub.clock.advance(1)
    await put(hub, feed, '{"datastreams":[{"id":"a","current_value":1}]}')
    assert document(await hub.get(f"/v2/feeds/{feed}"))["status"] == "live"
    hub.clock.advance(900)
    assert document(await hub.get(f"/v2/feeds/{feed}"))["status"] == "frozen"


async def test_an_update_merges_and_creates_datastreams_on_the_fly(hub):
    feed = await hub.feed(BOILER)
    await put(
        hub, feed, '{"description":"","datastreams":[{"id":"new","current_value":"1"}],"location":{"lat":50}}'
    )
    described = document(await hub.get(f"/v2/feeds/{feed}"))
    assert [one["id"] for one in described["datastreams"]] == ["flow_temp", "never_written", "new", "pump"]
    assert described["title"] == "Boiler room"
    assert "description" not in described
    assert (described["location"]["lat"], described["location"]["lon"]) == (50, -0.2)


@pytest.mark.parametrize(
    ("body", "at"),
    [
        ('{"datastreams":[{"id":"a","current_value":"1","at":"2013-06-03T10:00:00+01:00"}]}', "09:00:00"),
        ('{"updated":"2013-06-03T08:00:00Z","datastreams":[{"id":"a","current_value":"1"}]}', "08:00:00"),
        ('{"datastreams":[{"id":"a","current_value":"1"}]}', "12:00:00"),
        (eeml("<data id='a'><current_value>1</current_value></data>", "2013-06-03T08:00:00"), "08:00:00"),
        (eeml("<data id='a'><current_value at='2013-06-03T07:00Z'>1</current_value></data>"), "07:00:00"),
    ],
)
async def test_the_instant_of_a_value_comes_from_the_nearest_place_that_says_one(hub, body, at):
    feed = await hub.feed()
    await put(hub, feed, body)
    assert (await stream(hub, feed, "a"))["at"] == f"2013-06-03T{at}.000000Z"


async def test_five_hundred_points_are_taken_and_one_more_stores_nothing(hub):
    feed = await hub.feed()

    def body(count: int) -> str:
        many = [
            {"at": (NOON - timedelta(seconds=number)).isoformat(), "value": number} for number in range(count)
        ]
        return json.dumps(
            {"datastreams": [{"id": "a", "datapoints": many[:250]}, {"id": "b", "datapoints": many[250:]}]}
        )

    response = await hub.ask("PUT", f"/v2/feeds/{feed}", body(501))
    assert response.status == 422
    assert "501 are too many" in document(response)["errors"]
    assert document(await hub.get(f"/v2/feeds/{feed}")).get("datastreams", []) == []
    await put(hub, feed, body(500))
    assert len(points(await stream(hub, feed, "b", "?duration=1hour&limit=1000"))) == 250


async def test_a_datastream_filter_skips_what_is_not_there(hub):
    feed = await hub.feed(BOILER)
    described = document(await hub.get(f"/v2/feeds/{feed}?datastreams=pump,%20missing,flow_temp"))
    assert [one["id"] for one in described["datastreams"]] == ["flow_temp", "pump"]


async def test_datastreams_are_listed_by_reading_the_feed(hub):
    feed = await hub.feed(BOILER)
    assert (await hub.get(f"/v2/feeds/{feed}/datastreams.json")).body == (
        await hub.get(f"/v2/feeds/{feed}.json")
    ).body


async def test_a_mobile_feed_leaves_a_trail(hub):
    feed = await hub.feed(
        '{"title":"Van","location":{"disposition":"mobile","lat":"51.21","lon":"4.41","ele":"9"}}'
    )
    hub.clock.advance(60)
    await put(hub, feed, '{"location":{"lat":51.3,"lon":4.5}}')
    location = document(await hub.get(f"/v2/feeds/{feed}"))["location"]
    assert (location["lat"], location["lon"]) == (51.3, 4.5)
    (waypoint,) = location["waypoints"]
    assert (waypoint["lat"], waypoint["lon"]) == (51.21, 4.41)


# --------------------------------------------------------------------------------------------- search


async def test_an_empty_list_still_has_its_envelope(hub):
    response = await hub.get("/v2/feeds.json")
    assert text(response) == '{"totalResults":0,"startIndex":0,"itemsPerPage":50,"results":[]}'


async def test_a_list_has_pages_with_integers(hub):
    for number in range(3):
        hub.clock.advance(1)
        await hub.feed(json.dumps({"title": f"f{number}"}))
    page = document(await hub.get("/v2/feeds/?page=2&per_page=2&order=created_at"))
    assert (page["totalResults"], page["startIndex"], page["itemsPerPage"]) == (3, 2, 2)
    assert [feed["title"] for feed in page["results"]] == ["f0"]


@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ("q=CELLAR", ["Boiler room"]),
        ("q=flow_t", ["Boiler room"]),
        ("tag=temperature", ["Boiler room"]),
        ("tag=nothing", []),
        ("user=stranger", ["Rain gauge"]),
        ("units=celsius", ["Boiler room"]),
        ("status=live", ["Boiler room"]),
        ("status=frozen", ["Rain gauge"]),
        ("lat=52&lon=0&distance=30", ["Boiler room"]),
        ("lat=52&lon=0&distance=5&distance_units=miles", []),
        ("order=created_at", ["Boiler room", "Rain gauge"]),
        ("q=r&order=created_at", ["Boiler room", "Rain gauge"]),
    ],
)
async def test_every_search_parameter_narrows_the_list(hub, query, titles):
    await hub.feed('{"title":"Rain gauge"}', key=STRANGER)
    hub.clock.advance(1000)
    await hub.feed(BOILER)
    assert [feed["title"] for feed in document(await hub.get(f"/v2/feeds?{query}"))["results"]] == titles


async def test_a_search_by_status_finds_what_the_feeds_themselves_say(hub):
    await hub.feed('{"title":"made"}')
    await hub.feed('{"title":"made with a value","datastreams":[{"id":"a","current_value":"0"}]}')
    for status, title in (("live", "made with a value"), ("frozen", "made")):
        (feed,) = document(await hub.get(f"/v2/feeds?status={status}"))["results"]
        assert (feed["title"], feed["status"]) == (title, status)


async def test_a_summary_has_no_datastreams_and_an_owner_is_shown_when_asked_for(hub):
    await hub.feed(BOILER)
    (summary,) = document(await hub.get("/v2/feeds?content=summary&show_user=true"))["results"]
    assert "datastreams" not in summary or summary["datastreams"] == []
    assert summary["user"] == {"login": "keeper"}
    (full,) = document(await hub.get("/v2/feeds"))["results"]
    assert len(full["datastreams"]) == 3


async def test_a_list_in_csv_has_four_columns(hub):
    feed = await hub.feed(BOILER)
    assert text(await hub.get("/v2/feeds.csv")) == (
        f"{feed},flow_temp,2013-06-03T09:15:41.900000Z,22.0\n{feed},pump,2013-06-03T08:59:00.000000Z,off\n"
    )


async def test_a_list_in_xml_declares_its_counts(hub):
    await hub.feed(BOILER)
    shown = text(await hub.get("/v2/feeds.xml"))
    assert 'xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/"' in shown
    assert "<opensearch:totalResults>1</opensearch:totalResults>" in shown
    assert f"<feed>http://{HOST}/v2/feeds/1.xml</feed>" in shown


# ---------------------------------------------------------------------------------------- datastreams


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("datastreams", '{"version":"1.0.0","datastreams":[{"id":"hum","current_value":"44"},{"id":"b"}]}'),
        ("datastreams", '{"id":"hum","current_value":44}'),
        ("datastreams.xml", eeml("<data id='hum'><current_value>44</current_value></data>")),
        ("datastreams.csv", "hum,44\n"),
        ("datastreams.csv", "hum,2013-06-03T12:00:00.000000Z,44\n"),
        ("datastreams/hum", '{"current_value":"44"}'),
        ("datastreams/hum", '{"id":"other","current_value":"44"}'),
        ("datastreams/hum.csv", "44"),
    ],
)
async def test_a_datastream_can_be_created_in_every_form(hub, path, body):
    feed = await hub.feed()
    response = await hub.ask("POST", f"/v2/feeds/{feed}/{path}", body)
    assert (response.status, response.body) == (201, b"")
    assert header(response, "location") == f"http://{HOST}/v2/feeds/{feed}/datastreams/hum"
    described = await stream(hub, feed, "hum")
    assert (described["current_value"], described["at"]) == ("44", "2013-06-03T12:00:00.000000Z")


async def test_creating_a_datastream_twice_is_422_and_changes_nothing(hub):
    feed = await hub.feed(BOILER)
    body = '{"datastreams":[{"id":"new"},{"id":"pump","current_value":"on"}]}'
    response = await hub.ask("POST", f"/v2/feeds/{feed}/datastreams", body)
    assert response.status == 422
    assert "Stream has already been taken" in document(response)["errors"]
    assert (await stream(hub, feed, "pump"))["current_value"] == "off"
    assert (await hub.get(f"/v2/feeds/{feed}/datastreams/new")).status == 404


async def test_a_feed_with_too_many_datastreams_is_422_and_says_how_many_it_can_have(hub):
    feed = await hub.feed()
    many = ",".join(f'{{"id":"{number}"}}' for number in range(MAX_DATASTREAMS + 1))
    response = await hub.ask("PUT", f"/v2/feeds/{feed}", f'{{"datastreams":[{many}]}}')
    assert response.status == 422
    assert document(response)["errors"] == "Datastreams: a feed can have at most 10000"
    assert "datastreams" not in document(await hub.get(f"/v2/feeds/{feed}"))


async def test_a_datastream_reads_with_its_version_last(hub):
    feed = await hub.feed(BOILER)
    response = await hub.get(f"/v2/feeds/{feed}/datastreams/flow_temp.json")
    assert text(response) == (
        '{"id":"flow_temp","current_value":"22.0","at":"2013-06-03T09:15:41.900000Z","max_value":"78.5",'
        '"min_value":"11.0","tags":["temperature"],"unit":{"type":"derivedSI","symbol":"C","label":"Celsius"},'
        '"version":"1.0.0"}'
    )
    empty = await hub.get(f"/v2/feeds/{feed}/datastreams/never_written")
    assert text(empty) == '{"id":"never_written","version":"1.0.0"}'


async def test_a_datastream_in_xml_stands_in_its_feed(hub):
    feed = await hub.feed(BOILER)
    shown = text(await hub.get(f"/v2/feeds/{feed}/datastreams/pump.xml"))
    assert f'id="{feed}"' in shown
    assert 'updated="2013-06-03T12:00:00.000000Z"' in shown
    assert f'creator="http://{HOST}/users/keeper"' in shown
    assert '<current_value at="2013-06-03T08:59:00.000000Z">off</current_value>' in shown
    assert "flow_temp" not in shown


async def test_a_datastream_in_csv_has_two_columns(hub):
    feed = await hub.feed(BOILER)
    assert (
        text(await hub.get(f"/v2/feeds/{feed}/datastreams/pump.csv")) == "2013-06-03T08:59:00.000000Z,off\n"
    )
    assert text(await hub.get(f"/v2/feeds/{feed}/datastreams/never_written.csv")) == ""


@pytest.mark.parametrize(
    ("extension", "body", "value", "at"),
    [
        ("", '{"current_value":"on"}', "on", "12:00:00"),
        ("", '{"id":"ignored","current_value":"on","at":"2013-06-03T09:20:00Z"}', "on", "09:20:00"),
        ("", '{"datastreams":[{"id":"pump","current_value":"on"}]}', "on", "12:00:00"),
        (".xml", eeml("<data id='pump'><current_value>on</current_value></data>"), "on", "12:00:00"),
        (".csv", "on", "on", "12:00:00"),
        (".csv", "2013-06-03T09:00:00Z,18.6\r\n", "18.6", "09:00:00"),
        (".csv", "2013-06-03T09:00:00Z,1\n2013-06-03T09:01:00Z,2\n", "2", "09:01:00"),
    ],
)
async def test_a_datastream_can_be_updated_in_every_form(hub, extension, body, value, at):
    feed = await hub.feed(BOILER)
    response = await hub.ask("PUT", f"/v2/feeds/{feed}/datastreams/pump{extension}", body)
    assert response == Response(200)
    described = await stream(hub, feed, "pump")
    assert (described["current_value"], described["at"]) == (value, f"2013-06-03T{at}.000000Z")


async def test_updating_a_datastream_that_is_not_there_is_404(hub):
    feed = await hub.feed()
    assert (await hub.ask("PUT", f"/v2/feeds/{feed}/datastreams/a", '{"current_value":1}')).status == 404


async def test_two_fields_that_begin_with_no_timestamp_are_422(hub):
    feed = await hub.feed(BOILER)
    assert (await hub.ask("PUT", f"/v2/feeds/{feed}/datastreams/pump.csv", "soon,1")).status == 422


async def test_an_older_value_becomes_history_and_the_current_one_stays(hub):
    feed = await hub.feed(BOILER)
    body = '{"current_value":"5","at":"2013-06-03T09:00:00Z"}'
    assert (await hub.ask("PUT", f"/v2/feeds/{feed}/datastreams/flow_temp", body)).status == 200
    described = await stream(hub, feed, "flow_temp", "?duration=6hours")
    assert (described["current_value"], described["min_value"]) == ("22.0", "5.0")
    assert points(described) == [("09:00:00", "5"), ("09:15:41", "22.0")]


async def test_a_deleted_datastream_is_gone(hub):
    feed = await hub.feed(BOILER)
    assert await hub.ask("DELETE", f"/v2/feeds/{feed}/datastreams/pump") == Response(200)
    assert (await hub.get(f"/v2/feeds/{feed}/datastreams/pump")).status == 404


async def test_ids_with_dots_and_other_letters_are_addressable(hub):
    feed = await hub.feed(
        '{"title":"x","datastreams":[{"id":"room.1","current_value":1},{"id":"größe","current_value":2}]}'
    )
    assert (await stream(hub, feed, "room.1"))["id"] == "room.1"
    assert (await stream(hub, feed, "room.1.json"))["id"] == "room.1"
    assert (await stream(hub, feed, "gr%C3%B6%C3%9Fe"))["current_value"] == "2"
    response = await hub.ask("POST", f"/v2/feeds/{feed}/datastreams", '{"id":"größe2"}')
    assert header(response, "location") == f"http://{HOST}/v2/feeds/{feed}/datastreams/gr%C3%B6%C3%9Fe2"


# ----------------------------------------------------------------------------------------- datapoints

HISTORY = ["08:44:50", "08:59:58", "09:10:00", "09:29:59", "09:31:00"]


async def recorded(hub: TestHub) -> int:
    feed = await hub.feed('{"title":"x","datastreams":[{"id":"s"}]}')
    body = "".join(f"2013-06-03T{at}Z,{value}\n" for value, at in enumerate(HISTORY, 1))
    response = await hub.ask("POST", f"/v2/feeds/{feed}/datastreams/s/datapoints.csv", body)
    assert response == Response(200)
    return feed


@pytest.mark.parametrize(
    ("extension", "body"),
    [
        (
            "",
            '{"datapoints":[{"at":"2013-06-03T09:00:00+00:00","value":"294"},{"at":"2013-06-03T09:01","value":295}]}',
        ),
        (
            ".xml",
            eeml(
                "<data><datapoints><value at='2013-06-03T09:00:00Z'>294</value>"
                "<value at='2013-06-03T09:01:00Z'>295</value></datapoints></data>"
            ),
        ),
        (".csv", "2013-06-03T09:00:00Z,294\n2013-06-03T09:01:00Z,295\n"),
    ],
)
async def test_datapoints_can_be_created_in_every_form_and_that_is_200(hub, extension, body):
    feed = await hub.feed('{"title":"x","datastreams":[{"id":"s"}]}')
    response = await hub.ask("POST", f"/v2/feeds/{feed}/datastreams/s/datapoints{extension}", body)
    assert response == Response(200)
    described = await stream(hub, feed, "s", "?duration=6hours")
    assert points(described) == [("09:00:00", "294"), ("09:01:00", "295")]
    assert (described["current_value"], described["max_value"], described["min_value"]) == (
        "295",
        "295.0",
        "294.0",
    )


async def test_one_row_is_a_datapoint_and_not_a_current_value(hub):
    feed = await recorded(hub)
    path = f"/v2/feeds/{feed}/datastreams/s/datapoints.csv"
    assert (await hub.ask("POST", path, "2013-06-03T09:20:00Z,9")).status == 200
    assert (await stream(hub, feed, "s"))["current_value"] == "5"
    assert (await hub.ask("POST", path, "7")).status == 200
    assert (await stream(hub, feed, "s"))["at"] == "2013-06-03T12:00:00.000000Z"


@pytest.mark.parametrize("body", ["{}", '{"datapoints":[]}'])
async def test_creating_no_datapoints_is_422(hub, body):
    feed = await recorded(hub)
    assert (await hub.ask("POST", f"/v2/feeds/{feed}/datastreams/s/datapoints", body)).status == 422


@pytest.mark.parametrize(
    ("path", "body", "missing"),
    [
        ("datastreams", eeml(""), "data"),
        ("datastreams/s", eeml(""), "data"),
        ("datastreams/s/datapoints", eeml("<data/>"), "value"),
        ("datastreams/s/datapoints", eeml("<data><datapoints/></data>"), "value"),
    ],
)
async def test_xml_without_the_element_that_its_address_is_about_is_400(hub, path, body, missing):
    feed = await recorded(hub)
    response = await hub.ask("POST", f"/v2/feeds/{feed}/{path}.xml", body)
    assert response.status == 400
    assert "<title>XML Parser Error</title>" in text(response)
    assert f"'{missing}'" in text(response)


@pytest.mark.parametrize(
    "stamp",
    [
        "2013-06-03T09:10:00Z",
        "2013-06-03T09:10:00.000000Z",
        "2013-06-03T10:10:00+01:00",
        "2013-06-03T10%3A10%3A00%2B01%3A00",
        "2013-06-03T09:10:00.000000Z.json",
    ],
)
async def test_a_datapoint_is_addressed_by_its_instant_in_any_spelling(hub, stamp):
    feed = await recorded(hub)
    response = await hub.get(f"/v2/feeds/{feed}/datastreams/s/datapoints/{stamp}")
    assert text(response) == '{"at":"2013-06-03T09:10:00.000000Z","value":"3"}'


async def test_a_datapoint_reads_in_csv_and_xml(hub):
    feed = await recorded(hub)
    base = f"/v2/feeds/{feed}/datastreams/s/datapoints/2013-06-03T09:10:00Z"
    assert text(await hub.get(f"{base}.csv")) == "2013-06-03T09:10:00.000000Z,3\n"
    assert '<value at="2013-06-03T09:10:00.000000Z">3</value>' in text(await hub.get(f"{base}.xml"))


@pytest.mark.parametrize(
    ("extension", "body"),
    [("", '{"value":"9"}'), ("", '{"at":"2001-01-01","value":9}'), (".csv", "9")],
)
async def test_a_datapoint_can_be_changed_and_must_exist(hub, extension, body):
    feed = await recorded(hub)
    base = f"/v2/feeds/{feed}/datastreams/s/datapoints"
    assert await hub.ask("PUT", f"{base}/2013-06-03T09:10:00Z{extension}", body) == Response(200)
    assert document(await hub.get(f"{base}/2013-06-03T09:10:00Z"))["value"] == "9"
    assert (await hub.ask("PUT", f"{base}/2013-06-03T09:10:01Z{extension}", body)).status == 404


async def test_deleting_the_newest_point_falls_back_to_the_one_before(hub):
    feed = await recorded(hub)
    base = f"/v2/feeds/{feed}/datastreams/s/datapoints"
    assert await hub.ask("DELETE", f"{base}/2013-06-03T09:31:00Z") == Response(200)
    assert (await stream(hub, feed, "s"))["current_value"] == "4"
    assert (await hub.ask("DELETE", f"{base}/2013-06-03T09:31:00Z")).status == 404


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("start=2013-06-03T09:10:00Z", ["1", "2"]),
        ("end=2013-06-03T09:10:00Z", ["4", "5"]),
        ("start=2013-06-03T08:59:58Z&end=2013-06-03T09:10:00Z", ["1", "4", "5"]),
        ("start=2013-06-03T09:10:00Z&duration=20minutes", ["1", "2", "5"]),
        ("end=2013-06-03T09:10:00Z&duration=11minutes", ["1", "4", "5"]),
    ],
)
async def test_a_range_is_deleted_with_both_its_bounds(hub, query, left):
    feed = await recorded(hub)
    assert await hub.ask("DELETE", f"/v2/feeds/{feed}/datastreams/s/datapoints?{query}") == Response(200)
    described = await stream(hub, feed, "s", "?duration=6hours")
    assert [value for _, value in points(described)] == left


async def test_xively_js_sends_the_range_to_delete_in_a_form_body(hub):
    feed = await recorded(hub)
    body = "start=2013-06-03T09%3A10%3A00Z&end=2013-06-03T09%3A31%3A00Z"
    headers = {"content-type": "application/json"}
    path = f"/v2/feeds/{feed}/datastreams/s/datapoints"
    assert await hub.ask("DELETE", path, body, headers=headers) == Response(200)
    assert (await stream(hub, feed, "s"))["current_value"] == "2"


@pytest.mark.parametrize("query", ["", "?duration=1day", "?foo=1"])
async def test_a_range_without_a_bound_deletes_nothing(hub, query):
    feed = await recorded(hub)
    response = await hub.ask("DELETE", f"/v2/feeds/{feed}/datastreams/s/datapoints{query}")
    assert response.status == 400
    assert len(points(await stream(hub, feed, "s", "?duration=6hours"))) == 5


# -------------------------------------------------------------------------------------------- history

WINDOW = "start=2013-06-03T08:45:00Z&end=2013-06-03T09:45:00Z"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (f"{WINDOW}&interval=0", "08:59:58→2 09:10:00→3 09:29:59→4 09:31:00→5"),
        (f"{WINDOW}&interval=0&find_previous=true", "08:44:50→1 08:59:58→2 09:10:00→3 09:29:59→4 09:31:00→5"),
        (f"{WINDOW}&interval=900", "08:59:58→2 09:10:00→3 09:29:59→4 09:31:00→5"),
        (f"{WINDOW}&interval=900&interval_type=discrete",
         "08:45:00→1 09:00:00→2 09:15:00→3 09:30:00→4 09:45:00→5"),
        (f"{WINDOW}&interval=900&limit=2", "08:59:58→2 09:10:00→3"),
        ("duration=30minutes&end=2013-06-03T09:40:00Z&interval=0", "09:10:00→3 09:29:59→4 09:31:00→5"),
        (f"{WINDOW}&interval=3600", "08:59:58→2"),
        (f"{WINDOW}&per_page=2&page=2", "09:29:59→4 09:31:00→5"),
        (f"{WINDOW}&interval=900&function=max", "09:00:00→2.0 09:15:00→3.0 09:30:00→4.0 09:45:00→5.0"),
    ],
)  # fmt: skip
async def test_the_history_arithmetic(hub, query, expected):
    feed = await recorded(hub)
    described = await stream(hub, feed, "s", f"?{query}")
    if "function" in query:
        assert described["datapoints_function"] == "max"
        assert [(at, float(value)) for at, value in points(described)] == [
            (at, float(value)) for at, value in (one.split("→") for one in expected.split())
        ]
    else:
        assert "datapoints_function" not in described
        assert " ".join(f"{at}→{value}" for at, value in points(described)) == expected


async def test_an_interval_between_two_of_the_table_is_the_greater_one(hub):
    feed = await recorded(hub)
    hundred = await stream(hub, feed, "s", f"?{WINDOW}&interval=100")
    assert hundred == await stream(hub, feed, "s", f"?{WINDOW}&interval=300")


async def test_history_leaves_what_is_current_alone_and_a_stream_without_points_stays(hub):
    feed = await recorded(hub)
    await put(hub, feed, '{"datastreams":[{"id":"empty"}]}')
    empty, s = document(await hub.get(f"/v2/feeds/{feed}?{WINDOW}&limit=1"))["datastreams"]
    assert (s["current_value"], s["max_value"], points(s)) == ("5", "5.0", [("08:59:58", "2")])
    assert empty == {"id": "empty"}


async def test_a_window_that_is_too_wide_is_422_and_names_the_limit(hub):
    feed = await recorded(hub)
    response = await hub.get(f"/v2/feeds/{feed}?duration=7hours")
    assert response.status == 422
    assert "6 hours" in document(response)["errors"]


async def test_a_hub_can_be_set_up_to_narrow_windows_instead(narrowing_hub):
    feed = await recorded(narrowing_hub)
    described = await stream(narrowing_hub, feed, "s", "?start=2013-06-03T04:00:00Z&end=2013-06-03T12:00:00Z")
    assert [value for _, value in points(described)] == ["1", "2", "3", "4", "5"]
    described = await stream(narrowing_hub, feed, "s", "?start=2013-06-03T03:00:00Z&end=2013-06-03T12:00:00Z")
    assert [value for _, value in points(described)] == ["1", "2"]


async def test_feed_history_in_csv_is_one_line_of_time(hub):
    feed = await recorded(hub)
    await put(
        hub,
        feed,
        "other,2013-06-03T09:10:30Z,x\nother,2013-06-03T09:30:00Z,y\n",
        headers={"content-type": "text/csv"},
    )
    response = await hub.get(f"/v2/feeds/{feed}.csv?{WINDOW}")
    assert text(response) == (
        "s,2013-06-03T08:59:58.000000Z,2\n"
        "s,2013-06-03T09:10:00.000000Z,3\n"
        "other,2013-06-03T09:10:30.000000Z,x\n"
        "s,2013-06-03T09:29:59.000000Z,4\n"
        "other,2013-06-03T09:30:00.000000Z,y\n"
        "s,2013-06-03T09:31:00.000000Z,5\n"
    )


async def test_csv_history_without_points_has_no_rows(hub):
    feed = await recorded(hub)
    before = "end=2013-06-03T08:00:00Z"
    assert text(await hub.get(f"/v2/feeds/{feed}.csv?{before}")) == ""
    assert text(await hub.get(f"/v2/feeds/{feed}/datastreams/s.csv?{before}")) == ""
    assert text(await hub.get(f"/v2/feeds/{feed}/datastreams/s.csv?{WINDOW}&limit=1")) == (
        "2013-06-03T08:59:58.000000Z,2\n"
    )


async def test_the_r_client_sends_offsets_without_a_colon_and_an_unescaped_plus(hub):
    feed = await recorded(hub)
    query = "start=2013-06-03T08:45:00+0000&end=2013-06-03T09:45:00+0000&per_page=1000"
    response = await hub.get(f"/v2/feeds/{feed}/datastreams/s?{query}", headers={"accept": "text/csv"})
    assert text(response).splitlines()[0] == "2013-06-03T08:59:58.000000Z,2"


@pytest.mark.parametrize(
    ("zone", "at"),
    [
        ("London", "2013-06-03T10:31:00.000000+01:00"),
        ("-3.5", "2013-06-03T06:01:00.000000-03:30"),
        ("+1", "2013-06-03T10:31:00.000000+01:00"),
        ("5.75", "2013-06-03T15:16:00.000000+05:45"),
    ],
)
async def test_timestamps_are_shown_in_the_zone_that_was_asked_for(hub, zone, at):
    feed = await recorded(hub)
    assert (await stream(hub, feed, "s", f"?timezone={zone}"))["at"] == at


async def test_an_unknown_zone_is_400(hub):
    feed = await recorded(hub)
    response = await hub.get(f"/v2/feeds/{feed}?timezone=Atlantis")
    assert (response.status, document(response)["errors"]) == (400, "Timezone is unknown: 'Atlantis'")


async def test_values_as_of_an_instant(hub):
    feed = await recorded(hub)
    await put(hub, feed, '{"datastreams":[{"id":"later","current_value":"1"}]}')
    query = "?time=2013-06-03T09:20:00Z"
    described = document(await hub.get(f"/v2/feeds/{feed}{query}"))
    assert [(one["id"], one["current_value"], one["at"][11:19]) for one in described["datastreams"]] == [
        ("s", "3", "09:10:00")
    ]
    assert await stream(hub, feed, "later", query) == {"id": "later", "version": "1.0.0"}
    assert (await hub.get(f"/v2/feeds/{feed}?time=then")).status == 422


async def test_a_query_gives_no_more_than_a_thousand_points_the_earliest_of_all(hub):
    feed = await hub.feed()
    for hour in range(4):
        rows = [
            f"{name},{(NOON - timedelta(hours=4 - hour, seconds=-number)).isoformat()},{hour}"
            for number in range(250)
            for name in ("a", "b")
        ]
        await put(hub, feed, "\n".join(rows), headers={"content-type": "text/csv"})
    described = document(await hub.get(f"/v2/feeds/{feed}?duration=5hours&limit=1000"))
    counts = {one["id"]: len(one["datapoints"]) for one in described["datastreams"]}
    assert counts == {"a": 500, "b": 500}
    assert described["datastreams"][0]["datapoints"][-1]["value"] == "1"


async def test_an_archive_is_the_whole_history_in_two_columns(hub):
    feed = await recorded(hub)
    response = await hub.get(f"/v2/feeds/{feed}/datastreams/s/archive.csv")
    assert header(response, "content-type") == "text/csv; charset=utf-8"
    assert text(response) == "".join(
        f"2013-06-03T{at}.000000Z,{value}\n" for value, at in enumerate(HISTORY, 1)
    )


@pytest.mark.parametrize(
    ("most", "words"), [({"archive_points": 3}, "3 points"), ({"archive_bytes": 99}, "99 bytes")]
)
async def test_an_archive_has_a_bound(tmp_path, most, words):
    async with running_hub(tmp_path, CosmOptions(**most)) as hub:
        feed = await recorded(hub)
        response = await hub.get(f"/v2/feeds/{feed}/datastreams/s/archive.csv")
    assert response.status == 422
    assert f"more than {words}" in text(response)


# -------------------------------------------------------------------------------- what each client needs


async def test_weewx_updates_without_extension_under_a_form_content_type(hub):
    feed = await hub.feed()
    point = '{"at":"2013-06-03T11:59:00Z","value":"1.5"}'
    body = '{"version":"1.0.0","datastreams":[{"id":"out","datapoints":[%s]}]}'.replace("%s", point)
    headers = {"content-type": "application/x-www-form-urlencoded", "x-pachubeapikey": KEY}
    response = await hub.ask("PUT", f"/v2/feeds/{feed}", body, key=None, headers=headers)
    assert response == Response(200)
    assert (await stream(hub, feed, "out"))["current_value"] == "1.5"


async def test_node_pachube_says_the_format_of_its_body_in_accept_only(hub):
    feed = await hub.feed()
    assert (
        await hub.ask("PUT", f"/v2/feeds/{feed}", "0,29", headers={"accept": "application/csv"})
    ).status == 200
    assert (await stream(hub, feed, "0"))["current_value"] == "29"


async def test_libxively_creates_a_datastream_from_one_csv_row(hub):
    feed = await hub.feed()
    path = f"/v2/feeds/{feed}/datastreams.csv"
    assert (await hub.ask("POST", path, "t,2013-06-03T09:00:00.000000Z,21.50\n")).status == 201
    response = await hub.get(f"/v2/feeds/{feed}.csv?datastreams=t,u")
    assert text(response) == "t,2013-06-03T09:00:00.000000Z,21.50\n"


async def test_python_eeml_writes_extremes_as_attributes_and_naive_timestamps(hub):
    feed = await hub.feed()
    body = (
        '<eeml xmlns="http://www.eeml.org/xsd/0.5.1" version="0.5.1"><environment><data id="1">'
        '<current_value at="2013-06-03T09:00:00" minValue="0.0" maxValue="45.5">12.5</current_value>'
        "</data></environment></eeml>"
    )
    await put(hub, feed, body)
    described = await stream(hub, feed, "1")
    assert (described["max_value"], described["min_value"], described["at"][11:19]) == (
        "45.5",
        "0.0",
        "09:00:00",
    )


async def test_a_five_year_old_eeml_document_is_taken(hub):
    feed = await hub.feed()
    body = (
        '<eeml xmlns="http://www.eeml.org/xsd/005" version="5"><environment><data id="0">'
        '<value minValue="11.0" maxValue="78.5">22.0</value></data></environment></eeml>'
    )
    await put(hub, feed, body)
    assert (await stream(hub, feed, "0"))["current_value"] == "22.0"


async def test_xively_rb_sends_empty_attributes_and_empty_location_children(hub):
    feed = await hub.feed(BOILER)
    body = (
        '<eeml><environment updated="" id="" creator=""><title>New</title><location disposition="">'
        '<name/><lat/><lon/><ele/></location><data id="pump"><current_value at="">on</current_value></data>'
        "</environment></eeml>"
    )
    await put(hub, feed, body)
    described = document(await hub.get(f"/v2/feeds/{feed}"))
    assert (described["title"], described["location"]["lat"]) == ("New", 52.1)
    assert (await stream(hub, feed, "pump"))["current_value"] == "on"


async def test_the_php_client_leaves_an_ampersand_at_the_end(hub):
    feed = await hub.feed(BOILER)
    assert (
        await hub.get(f"/v2/feeds/{feed}.csv?start=2013-06-03T08:00:00Z&end=2013-06-03T09:00:00Z&")
    ).status == 200


async def test_old_json_is_taken_everywhere(hub):
    feed = await hub.feed()
    values = '[{"value":"22.0","max_value":"78.5","min_value":"11.0"}]'
    body = '{"version":"0.6-alpha","datastreams":[{"id":"0","values":%s}]}'.replace("%s", values)
    await put(hub, feed, body)
    described = await stream(hub, feed, "0")
    assert (described["current_value"], described["max_value"]) == ("22.0", "78.5")


async def test_a_python_list_as_text_is_taken_as_comma_separated_tags(hub):
    feed = await hub.feed("""{"title":"x","tags":"['a', 'b']"}""")
    assert document(await hub.get(f"/v2/feeds/{feed}"))["tags"] == ["[a", "b]"]


async def test_tags_come_back_sorted_whatever_the_case(hub):
    feed = await hub.feed('{"title":"x","tags":["b","A","c","device:type=x"]}')
    assert document(await hub.get(f"/v2/feeds/{feed}"))["tags"] == ["A", "b", "c", "device:type=x"]


async def test_nulls_and_unknown_members_are_ignored(hub):
    feed = await hub.feed(BOILER)
    await put(
        hub,
        feed,
        '{"title":null,"colour":"red","datastreams":[{"id":"pump","unit":null,"x":1}],"location":null}',
    )
    assert document(await hub.get(f"/v2/feeds/{feed}"))["title"] == "Boiler room"


# ----------------------------------------------------------------------------------- live updates, PAWS


async def test_updates_are_published_in_the_order_of_their_commits(hub):
    feed = await hub.feed('{"title":"x","datastreams":[{"id":"s"}]}')
    seen: list[Written] = []
    stop = hub.live.listen(feed, seen.append)
    asked = [hub.ask("PUT", f"/v2/feeds/{feed}/datastreams/s.csv", str(number)) for number in range(50)]
    await gatherResults([Deferred.fromCoroutine(one) for one in asked])
    stop()
    values = [
        written.snapshot.environment.datastreams["s"].current_value for written in seen if written.snapshot
    ]
    assert values == [str(number) for number in range(50)]


async def test_a_refused_write_is_not_published(hub):
    feed = await hub.feed()
    seen: list[Written] = []
    stop = hub.live.listen(feed, seen.append)
    await hub.ask("PUT", f"/v2/feeds/{feed}", "{}", key=STRANGER)
    await hub.ask("PUT", f"/v2/feeds/{feed}/datastreams/none", '{"current_value":1}')
    stop()
    assert seen == []


async def test_a_listener_that_fails_does_not_fail_the_write(hub, flushed_errors):
    feed = await hub.feed()

    def fail(written: Written) -> None:
        raise ZeroDivisionError

    stop = hub.live.listen(feed, fail)
    await put(hub, feed, '{"title":"New"}')
    stop()
    assert len(flushed_errors(ZeroDivisionError)) == 1
    assert document(await hub.get(f"/v2/feeds/{feed}"))["title"] == "New"


def subscribe(path: str, key: str | None = KEY) -> Request:
    return Request("GET", path, "", {"host": HOST, **({} if key is None else {"x-apikey": key})})


async def test_a_subscription_to_a_feed_or_a_datastream_is_authorised_as_a_get(hub):
    feed = await hub.feed(BOILER)
    whole = await hub.server.authorise_subscription(subscribe(f"/v2/feeds/{feed}.json"))
    one = await hub.server.authorise_subscription(subscribe(f"/v2/feeds/{feed}/datastreams/pump"))
    assert isinstance(whole, Subscribed)
    assert isinstance(one, Subscribed)
    assert (whole.feed_id, whole.datastream_id) == (feed, None)
    assert (one.feed_id, one.datastream_id) == (feed, "pump")


async def test_a_subscription_to_a_feed_reads_none_of_its_datastreams(hub, monkeypatch):
    feed = await hub.feed(BOILER)
    asked = []
    read_feed = hub.store.read_feed
    monkeypatch.setattr(
        hub.store, "read_feed", lambda number, names=None: asked.append(names) or read_feed(number, names)
    )
    await hub.server.authorise_subscription(subscribe(f"/v2/feeds/{feed}"))
    assert asked == [[]]


async def test_a_subscription_ends_when_the_feed_becomes_private(hub):
    feed = await hub.feed()
    subscribed = await hub.server.authorise_subscription(subscribe(f"/v2/feeds/{feed}", STRANGER))
    assert isinstance(subscribed, Subscribed)
    assert subscribed.allows(await hub.store.read_feed(feed))
    await put(hub, feed, '{"private":true}')
    assert not subscribed.allows(await hub.store.read_feed(feed))


@pytest.mark.parametrize(
    ("path", "key", "status"),
    [
        ("/v2/feeds/1", None, 401),
        ("/v2/feeds/1", STRANGER, 403),
        ("/v2/feeds/9", KEY, 404),
        ("/v2/feeds/x", KEY, 404),
        ("/v2/feeds/1/datastreams/none", KEY, 404),
        ("/v2/feeds", KEY, 400),
        ("/v2/feeds/1/datastreams", KEY, 400),
        ("/v2/feeds/1/datastreams/pump/datapoints/2013-06-03T09:00:00Z", KEY, 400),
        ("/v2/triggers/1", KEY, 400),
    ],
)
async def test_a_subscription_can_be_refused(hub, path, key, status):
    await hub.feed('{"title":"x","private":true}')
    refused = await hub.server.authorise_subscription(subscribe(path, key))
    assert isinstance(refused, Response)
    assert refused.status == status


async def test_a_push_is_the_feed_as_it_reads_or_a_datastream_without_a_version(hub):
    feed = await hub.feed(BOILER)
    stored = await hub.store.read_feed(feed)
    base = hub.server.base_url(subscribe("/v2/feeds"))
    assert hub.server.encode_push(stored, None, base) == (await hub.get(f"/v2/feeds/{feed}.json")).body
    pushed = hub.server.encode_push(stored, "pump", base)
    assert pushed == b'{"id":"pump","current_value":"off","at":"2013-06-03T08:59:00.000000Z"}'
    assert hub.server.encode_push(stored, "gone", base) is None


# --------------------------------------------------------------------------------- when something fails


async def test_a_failing_store_is_503_in_xml_whatever_was_asked_for(hub, monkeypatch):
    def fail(*arguments, **named):
        result: Deferred = Deferred()
        result.errback(StoreError("the disk is full"))
        return result

    with monkeypatch.context() as patched:
        patched.setattr(hub.store, "list_feeds", fail)
        response = await hub.get("/v2/feeds.json")
    assert (response.status, header(response, "content-type")) == (503, "application/xml; charset=utf-8")
    assert header(response, "retry-after") == "5"
    assert "disk" not in text(response)
    assert (await hub.get("/v2/feeds.json")).status == 200


async def test_an_unexpected_failure_is_500_in_the_requests_format_and_logged_once(
    hub, monkeypatch, flushed_errors
):
    def fail(*arguments, **named):
        raise ZeroDivisionError

    monkeypatch.setattr(hub.store, "list_feeds", fail)
    response = await hub.get("/v2/feeds.xml")
    assert (response.status, header(response, "content-type")) == (500, "application/xml; charset=utf-8")
    assert "<title>Internal Server Error</title>" in text(response)
    assert len(flushed_errors(ZeroDivisionError)) == 1


PIECES = {
    "names": "s 0 feeds datastreams datapoints archive %ff a%2Fb é x.y.csv * .. %00 " + "9" * 30,
    "values": "0 -1 1 x true 900 86400 999999999999999 1day 99999years discrete max nan %00 London 5.75 "
    "2013-06-03T09:10:00+0000 2013-06-03T11:00:00Z 0001-01-01 9999-12-31T23:59:59Z",
    "parameters": "start end duration limit page per_page interval interval_type time function timezone q "
    "tag find_previous callback lat lon distance order status content datastreams units user show_user",
}
BODIES = [
    b"",
    b"{}",
    b"null",
    b"0,1",
    b"s,2013-06-03T09:10:00Z,1\ns,2",
    b"\xff",
    b"<eeml/>",
    b"<eeml><environment><title>t</title><data id='s'><value>1</value></data></environment></eeml>",
    b'{"title":"x","datastreams":[{"id":"s","current_value":1}]}',
    b'{"title":"x","datastreams":[{"id":"s","at":"9999-12-31T23:59:59-01:00","current_value":"1"}]}',
    b'{"datapoints":[{"value":"\\ud800"}]}',
    b'{"title":"\\u0000"}',
    b'{"title":"x","location":{"lat":1e999,"lon":"1"}}',
    b"start=2013-06-03",
    '{"key":{"label":"x","permissions":[{"access_methods":["get"],"resources":[{"feed_id":1}]}]}}',
    '{"key":{"permissions":[{"access_methods":7,"source_ip":{}}],"expires_at":"never"}}',
    '{"environment_id":1,"stream_id":"s","url":"http://x/","trigger_type":"gt","threshold_value":1}',
    '{"environment_id":"1e9","stream_id":[],"url":7,"trigger_type":null,"threshold_value":{}}',
    '{"user":{"login":"ann","password":"12345678"}}',
    "<datastream-trigger><url>x</url></datastream-trigger>",
    "<key><permissions><permission/></permissions></key>",
]


async def test_no_request_whatever_makes_the_server_fail(hub):
    """Real requests with wrong pieces in them; the guard fails the test on any logged error."""
    await recorded(hub)
    choose = random.Random(7).choice
    names, values, parameters = (words.split() for words in PIECES.values())
    seen = set()
    for _ in range(3000):
        method, path = choose(ROUTES)
        path = path.replace("/a", f"/{choose(names)}") if choose([True, False]) else path.replace("/a", "/s")
        path += choose(["", "", f"/{choose(names)}", ".json", ".xml", ".csv", ".png", "/"])
        query = "&".join(f"{choose(parameters)}={choose(values)}" for _ in range(choose(range(4))))
        headers = {"accept": choose(["", "*/*", "text/csv", "text/xml", "text/html"])}
        if path.startswith("/v2/feeds/1") and method == "DELETE" and path.count("/") < 6:
            method = "HEAD"  # or nothing would be left to ask about
        response = await hub.ask(method, f"{path}?{query}", choose(BODIES), headers=headers)
        seen.add(response.status)
    assert seen == {200, 201, 400, 403, 404, 406, 422}


async def test_a_cancelled_request_stays_cancelled(hub, monkeypatch):
    monkeypatch.setattr(hub.store, "list_feeds", lambda search: Deferred())
    asked = hub.server.respond(Request("GET", "/v2/feeds", "", {"x-apikey": KEY}))
    for _ in range(3):
        await hub.get("/v2/feeds/1")
    asked.cancel()
    with pytest.raises(CancelledError):
        await asked


async def test_nothing_that_was_asked_shows_a_key(hub):
    response = await hub.get(f"/v2/nothing?key={KEY}")
    assert KEY not in text(response)


def test_bytes_that_never_became_a_request_are_refused_in_json_or_xml():
    refused = connection_refusal(400, "the head has no end")
    assert document(refused) == {"title": "Bad Request", "errors": "the head has no end"}
    assert text(connection_refusal(503, "too many connections")).startswith("<?xml")


async def test_every_header_value_fits_into_a_small_device(hub):
    feed = await hub.feed(BOILER)
    origin = {"origin": "http://page.example"}
    for response in [
        await hub.ask("OPTIONS", "/v2/feeds", headers=origin),
        await hub.get(f"/v2/feeds/{feed}", headers=origin),
        await hub.get("/v2/feeds/99", headers=origin),
        await hub.get("/v2/feeds", key=None),
        await hub.get(f"/v2/feeds/{feed}?callback=cb"),
        await hub.ask("POST", f"/v2/feeds/{feed}/datastreams", '{"id":"new"}', headers={"host": "h" * 60}),
    ]:
        for name, value in response.headers:
            assert len(name) <= 31
            assert len(value) <= 63


# ------------------------------------------------------------------------------------------ too often


async def test_a_key_that_asks_too_often_is_told_when_to_come_back(tmp_path):
    async with running_hub(tmp_path, CosmOptions(requests_per_minute=1)) as hub:
        for _ in range(3):
            assert (await hub.get("/v2/feeds.json")).status == 200
        refused = await hub.get("/v2/feeds.json")
        assert (refused.status, header(refused, "retry-after")) == (403, "60")
        assert document(refused)["errors"] == "You have exceeded the rate limit of your API key"
        assert (await hub.get("/v2/feeds.json", key=STRANGER)).status == 200
        hub.clock.advance(60)
        assert (await hub.get("/v2/feeds.json")).status == 200


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/v2/feeds.json", '{"title":"x"}'),
        ("/v1/feeds.xml", "<eeml><environment><title>x</title></environment></eeml>"),
    ],
)
async def test_an_account_can_have_only_so_many_feeds(hub, target, body):
    hub.store.max_feeds = 1
    await hub.feed()
    response = await hub.ask("POST", target, body)
    assert response.status == 422
    assert "Feeds: an account can have at most 1" in text(response)
    assert (await hub.ask("POST", target, body, key=STRANGER)).status == 201
    await hub.ask("DELETE", "/v2/feeds/1")
    assert (await hub.ask("POST", target, body)).status == 201
