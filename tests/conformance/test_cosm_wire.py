"""Raw bytes as old devices send them, through the real HTTP layer, to the real rules and back.

Each request is what the named client was seen to send; each check is what it needs to see.
"""

from __future__ import annotations

import gzip
import hmac
import json
import re

import pytest
import pytest_twisted
from twisted.internet.error import ConnectionDone
from twisted.internet.task import deferLater
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from tests.support.hub import KEY, NOON, STRANGER, TestHub, running_hub
from txbridge.hub.site import HubSite
from txbridge.net.http_server import HttpServerFactory

TURNS, TURN_SECONDS = 1000, 0.005
"""How often and how long a test lets the store's threads work before it gives up on an answer."""

KEY_LINE = f"X-ApiKey: {KEY}\r\n"
HOST_LINE = "Host: 127.0.0.1:8080\r\n"


class Wire:
    """One connection to the hub, byte by byte."""

    def __init__(self, factory: HttpServerFactory) -> None:
        self.transport = StringTransport()
        self._protocol = factory.buildProtocol(None)
        assert self._protocol is not None
        self._protocol.makeConnection(self.transport)  # type: ignore[no-untyped-call]  # Twisted's is untyped

    def send(self, data: bytes | str) -> None:
        """Deliver bytes to the hub."""
        self._protocol.dataReceived(data if isinstance(data, bytes) else data.encode("latin-1"))

    async def answer(self, *, bodiless: bool = False) -> tuple[int, dict[str, str], bytes]:
        """The next answer: its status, its headers by lower-case name, and its body."""
        from twisted.internet import reactor

        for _ in range(TURNS):
            head, found, rest = self.transport.value().partition(b"\r\n\r\n")
            if found:
                status, headers = _checked(head)
                length = 0 if bodiless else int(headers["content-length"])
                assert len(rest) >= length  # an answer leaves in one write
                self.transport.clear()
                self.transport.write(rest[length:])
                return status, headers, rest[:length]
            await deferLater(reactor, TURN_SECONDS)
        raise AssertionError("no answer came")

    async def exchange(
        self, data: bytes | str, *, bodiless: bool = False
    ) -> tuple[int, dict[str, str], bytes]:
        """Send a request and wait for its answer."""
        self.send(data)
        return await self.answer(bodiless=bodiless)

    def hang_up(self) -> None:
        """The client goes away."""
        self._protocol.connectionLost(Failure(ConnectionDone()))


def _checked(head: bytes) -> tuple[int, dict[str, str]]:
    """What libxively and the Arduinos can read: a reason phrase, one blank, short values."""
    first, *lines = head.decode("latin-1").split("\r\n")
    match = re.fullmatch(r"HTTP/1\.1 (\d{3}) [A-Z][A-Za-z ]+", first)
    assert match is not None, first
    headers = {}
    for line in lines:
        pair = re.fullmatch(r"([A-Za-z-]{1,31}): (\S.{0,62})", line)
        assert pair is not None, line
        headers[pair[1].lower()] = pair[2]
    assert "transfer-encoding" not in headers
    return int(match[1]), headers


@pytest_twisted.async_yield_fixture
async def hub(tmp_path):
    async with running_hub(tmp_path) as running:
        yield running


@pytest.fixture
def wire(hub):
    factory = factory_of(hub)
    opened = Wire(factory)
    yield opened
    opened.hang_up()


def factory_of(hub: TestHub) -> HttpServerFactory:
    site = HubSite(hub.server)
    return HttpServerFactory(site.respond, clock=hub.clock, refuse=site.refuse)


def request(method: str, target: str, body: bytes = b"", *lines: str) -> bytes:
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    head = f"{method} {target} HTTP/1.1\r\n{HOST_LINE}{KEY_LINE}{length}" + "".join(
        f"{line}\r\n" for line in lines
    )
    return head.encode() + b"\r\n" + body


def listed(head: dict[str, str], *names: str) -> dict[str, str]:
    return {name: head[name] for name in names if name in head}


# ----------------------------------------------------------- the exchanges of the protocol's description


async def test_the_documented_exchange_of_creating_a_feed(hub, wire):
    status, headers, body = await wire.exchange(
        "POST /v2/feeds.json HTTP/1.1\r\n"
        f"{HOST_LINE}{KEY_LINE}"
        "Content-Type: application/json\r\nContent-Length: 35\r\n\r\n"
        '{"title":"Attic","version":"1.0.0"}'
    )
    assert (status, body) == (201, b"")
    assert listed(headers, "location", "content-type", "content-length") == {
        "location": "http://127.0.0.1:8080/v2/feeds/1",
        "content-type": "application/json; charset=utf-8",
        "content-length": "0",
    }


async def test_the_documented_exchange_of_csv_in_and_out(hub, wire):
    await hub.feed()
    hub.clock.advance(0.000123)
    status, headers, body = await wire.exchange(
        f"PUT /v2/feeds/1.csv HTTP/1.1\r\n{HOST_LINE}X-PachubeApiKey: {KEY}\r\nContent-Length: 14\r\n\r\n"
        "0,18.6\nhum, 44"
    )
    assert (status, headers["content-length"], body) == (200, "0", b"")
    assert "content-type" not in headers
    status, headers, body = await wire.exchange(
        f"GET /v2/feeds/1/datastreams/hum HTTP/1.1\r\n{HOST_LINE}{KEY_LINE}Accept: text/csv\r\n\r\n"
    )
    assert (status, body) == (200, b"2013-06-03T12:00:00.000123Z,44\n")
    assert listed(headers, "content-type", "content-length") == {
        "content-type": "text/csv; charset=utf-8",
        "content-length": "31",
    }


async def test_the_documented_refusal(hub, wire):
    await hub.feed()
    status, headers, body = await wire.exchange(
        f"PUT /v2/feeds/1 HTTP/1.1\r\n{HOST_LINE}X-ApiKey: {STRANGER}\r\nContent-Length: 2\r\n\r\n{{}}"
    )
    assert status == 403
    assert listed(headers, "content-type", "content-length") == {
        "content-type": "application/json; charset=utf-8",
        "content-length": "98",
    }
    assert body == (
        b'{"title":"Forbidden","errors":"You do not have the necessary permissions to access this resource"}'
    )


# ------------------------------------------------------------------------------------- what devices send


async def test_an_arduino_with_bare_line_feeds_and_a_surplus_byte(hub, wire):
    await hub.feed('{"title":"x","datastreams":[{"id":"0"}]}')
    status, headers, body = await wire.exchange(
        f"PUT /v2/feeds/1/datastreams/0.csv HTTP/1.1\nHost: api.pachube.com\nX-PachubeApiKey: {KEY}\r\n"
        "User-Agent: Arduino\nContent-Type: text/csv\nContent-Length: 2\nConnection: close\n\n42\n"
    )
    assert (status, body, headers["connection"]) == (200, b"", "close")
    assert wire.transport.disconnecting
    described = await hub.get("/v2/feeds/1/datastreams/0.csv")
    assert described.body == b"2013-06-03T12:00:00.000000Z,42\n"


async def test_an_arduino_reads_until_the_final_line_feed_and_the_close(hub, wire):
    await hub.feed('{"title":"x","datastreams":[{"id":"room","current_value":"JEBEL ALI"}]}')
    _, _, body = await wire.exchange(
        f"GET /v2/feeds/1.csv HTTP/1.1\r\nHost: api.xively.com\r\n{KEY_LINE}Connection: close\r\n\r\n"
    )
    assert body == b"room,2013-06-03T12:00:00.000000Z,JEBEL ALI\n"
    assert wire.transport.disconnecting


async def test_libxively_without_a_blank_before_the_version(hub, wire):
    await hub.feed()
    row = "temp,2013-06-03T09:00:00.000000Z,21.50\n"
    status, headers, _ = await wire.exchange(
        "POST /v2/feeds/1/datastreams.csvHTTP/1.1\r\nHost: api.xively.com\r\nUser-Agent: libxively\r\n"
        f"{KEY_LINE}Content-Type: text/csv\r\nContent-Length: {len(row)}\r\n\r\n{row}"
    )
    assert (status, headers["location"]) == (201, "http://api.xively.com/v2/feeds/1/datastreams/temp")


async def test_a_php_client_waits_for_permission_to_send_its_body(hub, wire):
    await hub.feed()
    body = '{"version":"1.0.0","datastreams":[{"id":"0","current_value":"1"}]}'
    wire.send(
        f"PUT /v2/feeds/1.json? HTTP/1.1\r\n{HOST_LINE}{KEY_LINE}Accept: */*\r\n"
        f"Content-Length: {len(body)}\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        "Expect: 100-continue\r\n\r\n"
    )
    assert wire.transport.value() == b"HTTP/1.1 100 Continue\r\n\r\n"
    wire.transport.clear()
    status, _, answer = await wire.exchange(body)
    assert (status, answer) == (200, b"")


async def test_node_pachube_sends_chunks_and_says_the_format_in_accept_only(hub, wire):
    await hub.feed()
    status, _, _ = await wire.exchange(
        f"PUT /v2/feeds/1 HTTP/1.1\r\n{HOST_LINE}X-PachubeApiKey: {KEY}\r\nAccept: application/csv\r\n"
        "Transfer-Encoding: chunked\r\n\r\n4\r\n0,29\r\n3\r\n\n1,\r\n2\r\n30\r\n0\r\n\r\n"
    )
    assert status == 200
    assert (await hub.get("/v2/feeds/1.csv")).body.count(b"\n") == 2


async def test_weewx_sends_json_under_a_form_content_type_and_fails_on_any_body(hub, wire):
    await hub.feed()
    points = '[{"at":"2013-06-03T11:00:00Z","value":"9"}]'
    body = f'{{"version":"1.0.0","datastreams":[{{"id":"outTemp","datapoints":{points}}}]}}'
    status, headers, answer = await wire.exchange(
        "PUT /v2/feeds/1 HTTP/1.1\r\nAccept-Encoding: identity\r\nHost: api.xively.com\r\n"
        f"Content-Length: {len(body)}\r\n"
        f"X-pachubeapikey: {KEY}\r\nContent-type: application/x-www-form-urlencoded\r\nConnection: close\r\n"
        f"User-agent: Python-urllib/2.7\r\n\r\n{body}"
    )
    assert (status, headers["content-length"], answer) == (200, "0", b"")


async def test_the_r_client_sends_an_offset_without_a_colon_and_gets_two_columns(hub, wire):
    await hub.feed('{"title":"x","datastreams":[{"id":"s","current_value":"1","at":"2013-06-03T11:00:00Z"}]}')
    target = (
        "/v2/feeds/1/datastreams/s?per_page=1000&start=2013-06-03T10:00:00+0000&end=2013-06-03T12:00:00+0000"
    )
    _, headers, body = await wire.exchange(request("GET", target, b"", "Accept: text/csv"))
    assert headers["content-type"] == "text/csv; charset=utf-8"
    assert body == b"2013-06-03T11:00:00.000000Z,1\n"


async def test_xively_js_asks_first_then_reads_then_deletes_with_a_body(hub, wire):
    await hub.feed('{"title":"x","datastreams":[{"id":"s","current_value":"1","at":"2013-06-03T11:00:00Z"}]}')
    origin = "Origin: http://page.example"
    status, headers, _ = await wire.exchange(
        f"OPTIONS /v2/feeds/1 HTTP/1.1\r\n{HOST_LINE}{origin}\r\nAccess-Control-Request-Method: GET\r\n"
        "Access-Control-Request-Headers: x-apikey\r\n\r\n"
    )
    assert (status, headers["access-control-allow-origin"]) == (200, "*")
    assert "X-ApiKey" in headers["access-control-allow-headers"]
    status, headers, body = await wire.exchange(request("GET", "/v2/feeds/1?_=1370260800000", b"", origin))
    assert (status, headers["access-control-allow-origin"], body[:8]) == (200, "*", b'{"id":1,')
    form = b"start=2013-06-03T10%3A00%3A00Z&end=2013-06-03T12%3A00%3A00Z"
    target = "/v2/feeds/1/datastreams/s/datapoints"
    status, _, _ = await wire.exchange(
        request("DELETE", target, form, origin, "Content-Type: application/json")
    )
    assert status == 200
    assert b"current_value" not in (await hub.get("/v2/feeds/1/datastreams/s")).body


# ------------------------------------------------------------------------- version 1, and its addresses

LWP_LINES = (
    "TE: deflate,gzip;q=0.3\r\nConnection: TE, close\r\nHost: www.pachube.com\r\n"
    f"User-Agent: libwww-perl/5.834\r\nX-PachubeApiKey: {KEY}\r\n"
)


async def test_net_pachube_makes_reads_updates_and_deletes_a_feed(hub):
    """Its requests as LWP sends them; it looks for ``/(\\d+)\\.xml$`` in the Location."""
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<eeml xmlns="http://www.eeml.org/xsd/005"\n'
        ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"\n'
        ' xsi:schemaLocation="http://www.eeml.org/xsd/005 http://www.eeml.org/xsd/005/005.xsd" version="5">\n'
        "<environment>\n  <description>Outside</description>\n"
        '  <location domain="physical" exposure="outdoor" disposition="fixed">\n    <lat>51.0</lat>\n'
        "    <lon>-1.3</lon>\n    <name>Winchester, UK</name>\n  </location>\n"
        "  <title>Temperature</title>\n</environment>\n</eeml>\n"
    )

    async def ask(head: str, body: str = "") -> tuple[int, dict[str, str], bytes]:
        opened = Wire(factory_of(hub))
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        answer = await opened.exchange(f"{head} HTTP/1.1\r\n{LWP_LINES}{length}\r\n{body}")
        assert opened.transport.disconnecting
        return answer

    status, headers, body = await ask("POST /api.xml", xml)
    assert (status, headers["location"], body) == (201, "http://www.pachube.com/api/1.xml", b"")
    assert (await ask("PUT /api/1.csv", "9.2,44"))[::2] == (200, b"")
    status, headers, body = await ask("GET /api/1.xml")
    assert (status, headers["content-type"]) == (200, "application/xml; charset=utf-8")
    assert b"<title>Temperature</title><feed>http://www.pachube.com/v1/feeds/1.xml</feed>" in body
    assert b'<data id="1"><value minValue="44.0" maxValue="44.0">44</value></data>' in body
    assert (await ask("PUT /api/1.csv", "44"))[::2] == (200, b"")
    assert (await hub.get("/v2/feeds/1.csv")).body == b"0,2013-06-03T12:00:00.000000Z,44\n"
    assert (await ask("DELETE /api/1"))[::2] == (200, b"")
    assert (await hub.get("/v2/feeds/1")).status == 404


async def test_a_sketch_from_before_the_api_s_own_host(hub, wire):
    """Bare line feeds, as sketches of 2009 print them."""
    await hub.feed('{"title":"x","datastreams":[{"id":"0"},{"id":"1"}]}')
    status, headers, body = await wire.exchange(
        f"PUT /api/1.csv HTTP/1.1\nHost: pachube.com\nX-PachubeApiKey: {KEY}\n"
        "User-Agent: Arduino\nContent-Type: text/csv\nContent-Length: 6\nConnection: close\n\n512,17\n"
    )
    assert (status, headers["content-length"], body) == (200, "0", b"")
    assert (await hub.get("/v1/feeds/1.csv")).body == b"512,17\n"


@pytest.mark.parametrize(
    "line",
    [
        "PUT http://api.pachube.com/v2/feeds/1.csv HTTP/1.0",
        "PUT http://api.cosm.com/feeds/1.csv HTTP/1.0",
        "PUT http://api.xively.com/v2/feeds/1.csv HTTP/1.1",
    ],
)
async def test_a_request_line_may_be_a_whole_address_of_version_2(hub, wire, line):
    """EtherCard's example for Pachube asks like this, with the rows of version 2."""
    await hub.feed()
    status, _, _ = await wire.exchange(f"{line}\r\nX-PachubeApiKey: {KEY}\r\nContent-Length: 4\r\n\r\n0,29")
    assert status == 200
    assert (await hub.get("/v2/feeds/1.csv")).body == b"0,2013-06-03T12:00:00.000000Z,29\n"


@pytest.mark.parametrize(
    "line",
    [
        "PUT http://api.pachube.com/v1/feeds/1.csv HTTP/1.1",
        "PUT http://www.pachube.com/api/1.csv HTTP/1.0",
        "PUT http://www.pachube.com/api/feeds/1.csv HTTP/1.1",
    ],
)
async def test_a_request_line_may_be_a_whole_address_of_version_1(hub, wire, line):
    """The same row means two datastreams here."""
    await hub.feed()
    status, _, _ = await wire.exchange(f"{line}\r\nX-PachubeApiKey: {KEY}\r\nContent-Length: 4\r\n\r\n0,29")
    assert status == 200
    assert (await hub.get("/v1/feeds/1.csv")).body == b"0,29\n"


async def test_a_host_that_is_the_api_s_needs_no_version(hub, wire):
    await hub.feed()
    for host, expected in (("api.cosm.com", 200), ("127.0.0.1", 404)):
        status, _, _ = await wire.exchange(f"GET /feeds/1.json HTTP/1.1\r\nHost: {host}\r\n{KEY_LINE}\r\n")
        assert status == expected


async def test_version_1_over_http_1_0_without_a_host(hub, wire):
    await hub.feed('{"title":"x","datastreams":[{"id":"0","current_value":"7"}]}')
    status, headers, body = await wire.exchange(f"GET /v1/feeds/1.csv?key={KEY} HTTP/1.0\r\n\r\n")
    assert (status, headers["connection"], body) == (200, "close", b"7\n")
    opened = Wire(factory_of(hub))
    status, headers, _ = await opened.exchange(
        f"POST /v1/feeds.xml HTTP/1.0\r\nX-PachubeApiKey: {KEY}\r\nContent-Length: 61\r\n\r\n"
        "<eeml><environment><title>x</title></environment></eeml>     "
    )
    assert (status, headers["location"]) == (201, "http://localhost/v1/feeds/2.xml")


# ------------------------------------------------------------------------------- products and devices


async def switched_on(hub, request_line, *lines):
    """Make a product with a device, and send the device's first request; gives the answer and its code."""
    defaults = {"title": "Thermostat", "datastreams": [{"id": "temperature"}]}
    made = await hub.ask("POST", "/v2/products", json.dumps({"name": "x", "feed_defaults": defaults}))
    product = dict(made.headers)["Location"].rpartition("/")[2]
    await hub.ask("POST", f"/v2/products/{product}/devices", '{"devices":[{"serial":"MPZRCCYHPWNA"}]}')
    secret = json.loads((await hub.get(f"/v2/products/{product}")).body)["product"]["secret"]
    code = hmac.new(bytes.fromhex(secret), b"MPZRCCYHPWNA", "sha1").hexdigest()
    head = "".join(f"{line}\r\n" for line in (request_line.format(code=code), *lines))
    opened = Wire(factory_of(hub))
    return *await opened.exchange(f"{head}\r\n"), code


@pytest.mark.parametrize(
    ("request_line", "lines"),
    [
        # node's request, which sends a content type without a body
        (
            "GET /v2/devices/{code}/activate HTTP/1.1",
            (
                "User-Agent: request",
                "Content-Type: application/json",
                "host: api.xively.com",
                "content-length: 0",
                "Connection: close",
            ),
        ),
        # Net::HTTP of Ruby given a whole address, and the WMSDK's client in C
        (
            "GET http://api.xively.com/v2/devices/{code}/activate HTTP/1.1",
            ("Accept: */*", "Host: api.xively.com"),
        ),
        ("GET /v2/devices/{code}/activate.json HTTP/1.0", ()),
    ],
)
async def test_a_device_computes_its_code_and_gets_its_feed_and_key(hub, request_line, lines):
    status, headers, body, code = await switched_on(hub, request_line, *lines)
    assert (status, headers["content-type"]) == (200, "application/json; charset=utf-8")
    learned = json.loads(body)
    assert (learned["feed_id"], learned["datastreams"]) == (1, ["temperature"])
    assert re.fullmatch(r"[A-Za-z0-9_-]{48}", learned["apikey"])
    put = (
        f"PUT /v2/feeds/1.json HTTP/1.1\r\nUser-Agent: request\r\nX-ApiKey: {learned['apikey']}\r\n"
        "Content-Type: application/json\r\nhost: api.xively.com\r\ncontent-length: 79\r\n\r\n"
        '{"version":"1.0.0","datastreams" : [ {"id" : "temperature","current_value":7}]}'
    )
    assert (await Wire(factory_of(hub)).exchange(put))[::2] == (200, b"")
    status, _, body = await Wire(factory_of(hub)).exchange(
        f"GET /v2/devices/{code}/activate HTTP/1.1\r\nUser-Agent: request\r\nhost: api.xively.com\r\n\r\n"
    )
    assert (status, json.loads(body)["title"]) == (403, "Forbidden")


async def test_a_device_in_c_reads_its_activation_as_a_row(hub):
    """Which libxively's users split at commas; it needs a length and short headers."""
    line = "GET /v2/devices/{code}/activate.csv HTTP/1.1"
    status, headers, body, _ = await switched_on(hub, line, "Host: api.xively.com", "Accept: */*")
    assert (status, int(headers["content-length"])) == (200, len(body))
    assert re.fullmatch(rb"[A-Za-z0-9_-]{48},1,1,temperature\n", body)


async def test_http_1_0_is_answered_and_closed(hub, wire):
    await hub.feed()
    status, headers, body = await wire.exchange(f"GET /v2/feeds/1.json?key={KEY} HTTP/1.0\r\n\r\n")
    assert (status, body[:8]) == (200, b'{"id":1,')
    assert headers["connection"] == "close"
    assert wire.transport.disconnecting


async def test_bodies_are_inflated_and_deflated(hub, wire):
    await hub.feed()
    many = ",".join(f'{{"id":"s{number}","current_value":"{number}"}}' for number in range(50))
    packed = gzip.compress(f'{{"datastreams":[{many}]}}'.encode())
    status, _, _ = await wire.exchange(request("PUT", "/v2/feeds/1.json", packed, "Content-Encoding: gzip"))
    assert status == 200
    _, headers, body = await wire.exchange(request("GET", "/v2/feeds/1.json", b"", "Accept-Encoding: gzip"))
    assert headers["content-encoding"] == "gzip"
    assert gzip.decompress(body) == (await hub.get("/v2/feeds/1.json")).body


async def test_head_has_the_length_of_the_body_it_leaves_out(hub, wire):
    await hub.feed()
    status, headers, body = await wire.exchange(request("HEAD", "/v2/feeds/1.json"), bodiless=True)
    expected = len((await hub.get("/v2/feeds/1.json")).body)
    assert (status, headers["content-length"], body) == (200, str(expected), b"")


async def test_an_unchanged_feed_is_304_without_a_body(hub, wire):
    await hub.feed()
    _, headers, _ = await wire.exchange(request("GET", "/v2/feeds/1.json"))
    again = request("GET", "/v2/feeds/1.json", b"", f"If-None-Match: {headers['etag']}")
    status, _, body = await wire.exchange(again, bodiless=True)
    assert (status, body) == (304, b"")


async def test_requests_in_a_row_on_one_connection_are_answered_in_order(hub, wire):
    await hub.feed('{"title":"x","datastreams":[{"id":"s"}]}')
    first = request("PUT", "/v2/feeds/1/datastreams/s.csv", b"1")
    status, _, _ = await wire.exchange(first + request("GET", "/v2/feeds/1/datastreams/s.csv"))
    assert status == 200
    status, _, body = await wire.answer()
    assert (status, body) == (200, b"2013-06-03T12:00:00.000000Z,1\n")


@pytest.mark.parametrize(
    ("method", "target", "body", "status"),
    [
        ("GET", "/v2/feeds", b"", 200),
        ("GET", "/v2/feeds.csv", b"", 200),
        ("GET", "/v2/feeds.xml", b"", 200),
        ("POST", "/v2/feeds", b"{}", 422),
        ("POST", "/v2/feeds", b"{", 400),
        ("GET", "/v2/feeds/9", b"", 404),
        ("GET", "/v2/feeds/9.xml", b"", 404),
        ("GET", "/v2/feeds/9.csv", b"", 404),
        ("GET", "/v2/feeds.png", b"", 406),
        ("POST", "/v2/feeds/" + "x" * 3000, b"", 404),
        ("GET", "/nowhere", b"", 404),
        ("GET", "/v2/keys", b"", 200),
        ("POST", "/v2/keys", b'{"key":{"label":"x","permissions":[{"access_methods":["get"]}]}}', 201),
        ("GET", "/v2/users", b"", 200),
        ("GET", "/v2/triggers", b"", 200),
        ("POST", "/v2/triggers", b"{}", 422),
        ("GET", "/healthz", b"", 200),
    ],
)
async def test_every_answer_has_a_length_a_reason_and_short_headers(hub, wire, method, target, body, status):
    answered, headers, _ = await wire.exchange(request(method, target, body))
    assert answered == status
    assert headers["content-length"].isdigit()


async def test_bytes_that_are_no_request_get_an_error_body_too(hub, wire):
    status, headers, body = await wire.exchange("GET /v2/feeds HTTP/1.1\r\nno colon here\r\n\r\n")
    assert (status, headers["content-type"]) == (400, "application/json; charset=utf-8")
    assert body.startswith(b'{"title":"Bad Request","errors":"')
    assert hub.clock.seconds() == NOON.timestamp()
