"""Version 1 of the API: what it shows, and writes that say all there is."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
import pytest_twisted
from PIL import Image

from tests.support.hub import KEY, NOON, STRANGER, document, header, running_hub, text
from txbridge.cosm.server import CosmOptions
from txbridge.model.accounts import Permission, Resource

BOILER = (
    '{"title":"Boiler room","tags":["x"],"email":"k@house.example","location":{"name":"cellar","lat":52.1,'
    '"disposition":"mobile","domain":"physical"},"datastreams":[{"id":"0","current_value":"22.0",'
    '"tags":["temperature"],"unit":{"type":"derivedSI","symbol":"C","label":"Celsius"},"min_value":"11",'
    '"max_value":"78.5"},{"id":"1","current_value":"off"},{"id":"10","current_value":"7"},{"id":"2"}]}'
)


@pytest_twisted.async_yield_fixture
async def hub(tmp_path):
    async with running_hub(tmp_path, graphs=True) as running:
        await running.feed(BOILER)
        yield running


async def ids_of(hub):
    streams = document(await hub.get("/v2/feeds/1.json")).get("datastreams", [])
    return {stream["id"]: stream.get("current_value") for stream in streams}


@pytest.mark.parametrize(
    "target", ["/v1/feeds/1.xml", "/v1/feeds/1", "/api/1.xml", "/api/feeds/1.xml", "/api/1"]
)
@pytest_twisted.ensureDeferred
async def test_a_feed_is_eeml_005_unless_something_else_is_wanted(hub, target):
    response = await hub.get(target, headers={"accept": "*/*"})
    assert (response.status, header(response, "content-type")) == (200, "application/xml; charset=utf-8")
    assert text(response) == (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<eeml xmlns="http://www.eeml.org/xsd/005" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
        ' version="5" xsi:schemaLocation="http://www.eeml.org/xsd/005 http://www.eeml.org/xsd/005/005.xsd">'
        '<environment updated="2013-06-03T12:00:00Z" id="1" creator="http://www.haque.co.uk">'
        "<title>Boiler room</title><feed>http://127.0.0.1:8080/v1/feeds/1.xml</feed><status>live</status>"
        "<email>k@house.example</email>"
        '<location disposition="mobile" domain="physical"><name>cellar</name><lat>52.1</lat></location>'
        '<data id="0"><tag>temperature</tag><value minValue="11.0" maxValue="78.5">22.0</value>'
        '<unit type="derivedSI" symbol="C">Celsius</unit></data>'
        '<data id="1"><value>off</value></data><data id="2"></data>'
        '<data id="10"><value minValue="7.0" maxValue="7.0">7</value></data></environment></eeml>\n'
    )


@pytest_twisted.ensureDeferred
async def test_a_feed_is_to_be_had_as_json_of_0_6_alpha(hub):
    shown = document(await hub.get("/v1/feeds/1.json"))
    assert list(shown) == [
        "id", "title", "feed", "status", "updated", "email", "version", "datastreams", "location",
    ]  # fmt: skip
    assert (shown["version"], shown["feed"]) == ("0.6-alpha", "http://127.0.0.1:8080/v1/feeds/1.json")
    assert shown["datastreams"][1] == {
        "id": "1",
        "values": [{"recorded_at": "2013-06-03T12:00:00Z", "value": "off"}],
    }
    alone = document(await hub.get("/v1/feeds/1/datastreams/1.json"))
    assert alone == {**shown["datastreams"][1], "version": "0.6-alpha"}


@pytest.mark.parametrize(
    ("target", "row"),
    [
        ("/v1/feeds/1.csv", "22.0,off,,,,,,,,,7\n"),
        ("/api/1.csv", "22.0,off,,,,,,,,,7\n"),
        ("/v1/feeds/1/datastreams/1.csv", "off\n"),
        ("/v1/feeds/1/datastreams/2.csv", ""),
    ],
)
@pytest_twisted.ensureDeferred
async def test_csv_is_values_alone_and_their_positions_are_the_ids(hub, target, row):
    assert text(await hub.get(target)) == row


@pytest_twisted.ensureDeferred
async def test_where_ids_are_no_positions_the_row_has_the_values_there_are(hub):
    await hub.feed(
        '{"title":"x","datastreams":[{"id":"t","current_value":"1"},{"id":"3","current_value":"2"}]}'
    )
    assert text(await hub.get("/v1/feeds/2.csv")) == "2,1\n"
    await hub.feed('{"title":"x","datastreams":[{"id":"99999","current_value":"1"}]}')
    assert text(await hub.get("/v1/feeds/3.csv")) == "1\n"


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("/v1/feeds/1.csv", "9.2,44"),
        ("/api/1.csv", "9.2, 44\r\n"),
        (
            "/v1/feeds/1.xml",
            (
                '<eeml xmlns="http://www.eeml.org/xsd/005" version="5"><environment><data id="0">'
                '<value>9.2</value></data><data id="1"><value maxValue="50">44</value></data>'
                "</environment></eeml>"
            ),
        ),
        (
            "/v1/feeds/1.json",
            (
                '{"version":"0.6-alpha","datastreams":[{"id":"0","values":[{"value":"9.2"}]},'
                '{"id":"1","values":{"value":44}}]}'
            ),
        ),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_put_names_all_the_datastreams_there_are(hub, target, body):
    heard = []
    hub.live.listen(1, heard.append)
    hub.clock.advance(60)
    response = await hub.ask("PUT", target, body)
    assert (response.status, response.body) == (200, b"")
    assert await ids_of(hub) == {"0": "9.2", "1": "44"}
    (written,) = heard
    assert set(written.removed) == {"10", "2"}
    kept = document(await hub.get("/v2/feeds/1/datastreams/0.json?duration=1hour"))
    assert [point["value"] for point in kept["datapoints"]] == ["22.0", "9.2"]
    assert kept["tags"] == ["temperature"]
    shown = document(await hub.get("/v2/feeds/1.json"))
    assert (shown["title"], shown["tags"]) == ("Boiler room", ["x"])


@pytest_twisted.ensureDeferred
async def test_what_a_put_does_not_know_yet_is_made(hub):
    assert (await hub.ask("PUT", "/v1/feeds/1.csv", "1,,3,4")).status == 200
    assert await ids_of(hub) == {"0": "1", "1": "off", "2": "3", "3": "4"}


@pytest_twisted.ensureDeferred
async def test_a_put_that_names_no_datastream_deletes_none(hub):
    body = "<eeml><environment><title>Cellar</title></environment></eeml>"
    assert (await hub.ask("PUT", "/v1/feeds/1.xml", body)).status == 200
    assert len(await ids_of(hub)) == 4
    assert document(await hub.get("/v2/feeds/1.json"))["title"] == "Cellar"


@pytest.mark.parametrize(
    ("body", "status"),
    [("1," + "x" * 256, 422), ("", 400), ("1,2\n3,4", 400), ("1,\x01", 422)],
)
@pytest_twisted.ensureDeferred
async def test_a_put_that_is_refused_changes_nothing(hub, body, status):
    before = (await hub.get("/v2/feeds/1.json")).body
    response = await hub.ask("PUT", "/v1/feeds/1.csv", body)
    assert response.status == status
    assert header(response, "content-type") == "text/plain; charset=utf-8"
    assert (await hub.get("/v2/feeds/1.json")).body == before


@pytest_twisted.ensureDeferred
async def test_a_key_that_may_not_delete_replaces_only_what_stays(hub):
    await hub.replace_key("keeper", KEY, Permission(access_methods=["get", "put"]), private_access=True)
    hub.clock.advance(10)
    assert (await hub.ask("PUT", "/v1/feeds/1.csv", "1,2")).status == 403
    assert len(await ids_of(hub)) == 4
    assert (await hub.ask("PUT", "/v1/feeds/1.csv", "1,2,3,,,,,,,,4")).status == 200
    await hub.replace_key(
        "keeper", KEY, Permission(access_methods=["put"], resources=[Resource(feed_id=1, datastream_id="0")])
    )
    hub.clock.advance(10)
    assert (await hub.ask("PUT", "/v1/feeds/1/datastreams/0.csv", "5")).status == 200
    assert (await hub.ask("PUT", "/v1/feeds/1.csv", "1,2,3,,,,,,,,4")).status == 403


@pytest_twisted.ensureDeferred
async def test_one_datastream_is_read_and_written_by_itself(hub):
    xml = text(await hub.get("/v1/feeds/1/datastreams/0"))
    assert '<environment updated="2013-06-03T12:00:00Z" id="1" creator="http://www.haque.co.uk"><data' in xml
    assert (await hub.ask("PUT", "/v1/feeds/1/datastreams/0.csv", "23.5\n")).status == 200
    body = '<eeml><environment><data id="1"><value>on</value></data></environment></eeml>'
    assert (await hub.ask("PUT", "/v1/feeds/1/datastreams/1.xml", body)).status == 200
    assert (await hub.ask("PUT", "/v1/feeds/1/datastreams/none.csv", "1")).status == 404
    assert await ids_of(hub) == {"0": "23.5", "1": "on", "10": "7", "2": None}
    assert (await hub.ask("DELETE", "/v1/feeds/1/datastreams/10")).status == 200
    assert (await hub.get("/v1/feeds/1/datastreams/10.csv")).status == 404


@pytest.mark.parametrize(
    ("target", "location"),
    [
        ("/v1/feeds.xml", "http://127.0.0.1:8080/v1/feeds/2.xml"),
        ("/api.xml", "http://127.0.0.1:8080/api/2.xml"),
        ("/api/feeds.XML", "http://127.0.0.1:8080/api/feeds/2.xml"),
        ("/api", "http://127.0.0.1:8080/api/2.xml"),
        ("/v1/feeds/", "http://127.0.0.1:8080/v1/feeds/2.xml"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_new_feed_is_located_with_its_extension(hub, target, location):
    body = '<eeml version="5"><environment><title>Attic</title><data id="0"/></environment></eeml>'
    response = await hub.ask("POST", target, body)
    assert (response.status, header(response, "location"), response.body) == (201, location, b"")
    assert (
        text(await hub.get(location.removeprefix("http://127.0.0.1:8080"))).count("<title>Attic</title>") == 1
    )
    assert (await hub.ask("DELETE", location.removeprefix("http://127.0.0.1:8080"))).status == 200
    assert (await hub.get("/v2/feeds/2.json")).status == 404


@pytest_twisted.ensureDeferred
async def test_a_new_feed_in_json_is_located_as_json(hub):
    response = await hub.ask("POST", "/v1/feeds.json", '{"title":"Attic"}')
    assert (header(response, "location") or "").endswith("/v1/feeds/2.json")


@pytest_twisted.ensureDeferred
async def test_the_web_site_s_pictures_and_downloads_are_there(hub):
    target = "/feeds/1/datastreams/0/history"
    picture = await hub.get(f"{target}.png?w=300&h=100&c=33cc33&b=true&g=true")
    assert Image.open(io.BytesIO(picture.body)).size == (300, 100)
    for download in (
        f"{target}.csv",
        "/feeds/1/datastreams/0/archive.csv",
        "/v1/feeds/1/datastreams/0/archive.csv",
    ):
        assert text(await hub.get(download)) == f"{NOON:%Y-%m-%dT%H:%M:%S}.000000Z,22.0\n"


@pytest.mark.parametrize(
    ("method", "target", "status", "content_type"),
    [
        ("GET", "/v1/feeds/9.xml", 404, "application/xml"),
        ("GET", "/v1/feeds/9", 404, "application/xml"),
        ("GET", "/v1/feeds/9.json", 404, "application/json"),
        ("GET", "/v1/feeds/1.png", 406, "text/plain"),
        ("GET", "/v1/feeds/1.rss", 406, "application/xml"),
        ("GET", "/v1/feeds.xml", 404, "application/xml"),
        ("GET", "/v1/keys.xml", 404, "application/xml"),
        ("GET", "/v1/feeds/1/datastreams/0/datapoints/x", 404, "application/xml"),
        ("POST", "/v1/feeds.csv", 406, "text/plain"),
        ("POST", "/v1/feeds.xml", 400, "application/xml"),
        ("PUT", "/v1/feeds/x.csv", 404, "text/plain"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_errors_speak_xml_unless_the_address_says_otherwise(hub, method, target, status, content_type):
    response = await hub.ask(method, target, "<x/>" if method == "POST" else ("1" if method == "PUT" else ""))
    assert (response.status, header(response, "content-type")) == (status, f"{content_type}; charset=utf-8")


@pytest_twisted.ensureDeferred
async def test_keys_are_asked_for_as_in_version_2(hub):
    assert (await hub.get("/v1/feeds/1.csv", key=None)).status == 401
    assert (await hub.get("/v1/feeds/1.csv", key=STRANGER)).status == 200
    assert (await hub.ask("PUT", "/v1/feeds/1.csv", "1", key=STRANGER)).status == 403
    await hub.ask("PUT", "/v2/feeds/1.json", '{"private":true}')
    assert (await hub.get("/v1/feeds/1.csv", key=STRANGER)).status == 403


@pytest_twisted.ensureDeferred
async def test_who_asks_too_often_is_told_so_as_version_1_did(tmp_path):
    async with running_hub(tmp_path, CosmOptions(requests_per_minute=1)) as slow:
        for _ in range(3):
            await slow.get("/v2/feeds.json")
        refused = await slow.get("/v1/feeds/1.csv")
        assert (refused.status, header(refused, "retry-after")) == (503, "60")
        assert header(refused, "content-type") == "application/xml; charset=utf-8"
        assert "rate limit" in text(refused)
        assert (await slow.get("/v2/feeds.json")).status == 403
        slow.clock.advance(timedelta(minutes=1).total_seconds())
        assert (await slow.get("/v1/feeds/1.csv")).status == 404
