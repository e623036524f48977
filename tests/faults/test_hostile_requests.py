"""Requests that nobody sane would send, to every address there is: a refusal each, and nothing else.

A failure that is logged fails a test here as everywhere: see `tests.support.guard`.
"""

from __future__ import annotations

import base64
import gc
import json
import random
import tracemalloc
from itertools import count
from urllib.parse import quote

import pytest_twisted
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import LogLevel, eventAsText, globalLogPublisher

from tests.support.hostile import hub_by_hand, statuses_of

NOT_SPOKEN = {501, 505}  # a method or a version that HTTP has and we do not

ODD = [
    *(
        "",
        " ",
        "0",
        "-1",
        "1",
        "1e400",
        "NaN",
        "Infinity",
        "999999999999999999999",
        "9" * 5000,
        "true",
        "null",
    ),
    *(
        "x" * 300,
        "é",
        "\u2028",
        "\ud800",
        "\0",
        "a\nb",
        "<b>",
        "&amp;",
        "../..",
        "%",
        "{}",
        "[1]",
        "1,2",
        "ref-1",
    ),
    *(
        "2013-06-03T12:00:00Z",
        "0000-00-00",
        "9999-12-31T23:59:59.999999Z",
        "10000-01-01",
        "1seconds",
        "-1days",
    ),
    *("9" * 30 + "years", "temperature", "json", "utf-8", "gt", "http://127.0.0.1/", "0.0.0.0/0", "::/0"),
]
NAMES = [
    *("start", "end", "duration", "interval", "interval_type", "limit", "find_previous", "function", "page"),
    *(
        "per_page",
        "time",
        "timezone",
        "datastreams",
        "q",
        "tag",
        "lat",
        "lon",
        "distance",
        "status",
        "content",
    ),
    *("order", "user", "show_user", "callback", "key", "feed_id", "w", "h", "width", "height", "c", "t", "l"),
    *(
        "s",
        "b",
        "g",
        "scale",
        "min",
        "max",
        "title",
        "legend",
        "stroke_size",
        "colour",
        "from",
        "to",
        "project_id",
    ),
    *(
        "device_id",
        "series",
        "limit_by",
        "output",
        "where",
        "timefmt",
        "refresh",
        "name",
        "password",
        "route",
    ),
]
ADDRESSES = [
    *(
        "/",
        "/healthz",
        "/readyz",
        "/metrics",
        "/web/app.js",
        "/web/../owner.key",
        "/favicon.ico",
        "*",
        "//",
        "/v2",
    ),
    *(
        "/grafana",
        "/grafana/search",
        "/grafana/query",
        "/grafana/annotations",
        "/grafana/metrics",
        "/grafana/x",
    ),
    *(
        "/relay/status",
        "/relay/ledger",
        "/relay/",
        "/v2/products",
        "/v2/products/x/devices",
        "/v2/devices/x/activate",
    ),
    *(
        "/v1/devices",
        "/v1/devices/timestamp",
        "/v1/devices/x",
        "/v1/imports",
        "/v1/exports",
        "/v1/exports/1/x/y",
    ),
    *(
        "/v1/projects",
        "/v1/projects/1",
        "/v1/tokens",
        "/v1/tokens/user",
        "/v1/tokens/project",
        "/v1/tokens/1",
    ),
    *("/v1/feeds", "/v1/feeds/1", "/v1/feeds/1/datastreams/0", "/api/feeds.csv", "/v1.json", "/v1/imports/"),
]
PROJECTS = count(1)  # their numbers
DOCUMENTS = [
    {
        "title": "a",
        "private": "true",
        "tags": ["a"],
        "location": {"lat": 1, "lon": 2, "waypoints": [{"at": "x"}]},
    },
    {
        "datastreams": [
            {"id": "a", "current_value": "1", "datapoints": [{"at": "2013-06-03T12:00:00Z", "value": "1"}]}
        ]
    },
    {
        "id": "a",
        "current_value": "1",
        "unit": {"label": "C"},
        "min_value": "0",
        "max_value": "x",
        "tags": "a,b",
    },
    {
        "datapoints": [
            {"at": "2013-06-03T12:00:00Z", "value": "1"},
            {"at": "2013-06-03T12:00:01Z", "value": 2},
        ]
    },
    {"value": "1", "at": "2013-06-03T12:00:00Z"},
    {
        "environment_id": 1,
        "stream_id": "temperature",
        "trigger_type": "gt",
        "threshold_value": "1",
        "url": "http://a",
    },
    {"key": {"label": "k", "permissions": [{"access_methods": ["get"], "resources": [{"feed_id": 1}]}]}},
    {"user": {"login": "somebody", "password": "a password", "email": "x"}},
    {"range": {"from": "2013-01-01T00:00:00Z", "to": "2014-01-01T00:00:00Z"}, "targets": [{"target": "1/a"}]},
    {"project_id": 1, "sources": [{"name": "a", "device_id": "x", "data": [{"time": 1, "value": 2}]}]},
    {"device_id": "x", "project_id": 1, "device_name": "a", "created": "2013-01-01 00:00:00 +0000"},
    {"fields": ["time", "value"], "data": [[1, 2]], "include_rejected": True, "refresh_token": "a.b.c"},
    {"product": {"name": "a", "feed_defaults": {}}, "devices": [{"serial": "1"}]},
]
EEML = (
    '<eeml xmlns="http://www.eeml.org/xsd/0.5.1" version="0.5.1"><environment><title>{}</title>'
    '<data id="{}"><current_value at="{}">{}</current_value></data></environment></eeml>'
)

odd = st.sampled_from(ODD) | st.text(max_size=20)
oddly_typed = (
    odd | st.sampled_from([None, True, 0, -1, 1e308, 10**30, [], {}, [[]], {"a": {}}]) | st.integers()
)


@st.composite
def documents(draw):
    """A document of some kind with some members that are not as they should be."""

    def spoilt(value):
        kind = draw(st.integers(0, 5))
        if kind == 0:
            return draw(oddly_typed)
        if isinstance(value, dict):
            changed = {name: spoilt(one) for name, one in value.items() if draw(st.integers(0, 9))}
            return changed if kind != 1 else {**changed, draw(odd): draw(oddly_typed)}
        if isinstance(value, list):
            return [spoilt(one) for one in value] * draw(st.sampled_from([1, 1, 1, 2, 0]))
        return value

    return json.dumps(spoilt(draw(st.sampled_from(DOCUMENTS)))).encode()


def _text(value):
    return value.encode("utf-8", "surrogatepass")


bodies = (
    documents()
    | st.builds(lambda *texts: _text(EEML.format(*texts)), odd, odd, odd, odd)
    | st.lists(st.lists(odd, max_size=4).map(",".join), max_size=4).map("\r\n".join).map(_text)
    | st.binary(max_size=40)
    | st.sampled_from(
        [b"", b"[" * 5000, b'{"a":' * 5000, b"<a>" * 5000, b"\xff\xfe", b"\x1f\x8b\x08", b"{}", b"[]"]
    )
)
header_values = st.sampled_from(
    [
        *(
            "application/json",
            "text/xml",
            "text/csv",
            "image/png",
            "*/*",
            "text/html;q=0.9",
            "a" * 2000,
            ",;=",
            "0",
        ),
        *(
            "gzip",
            "deflate",
            "Basic",
            "Basic !!!",
            "Basic Og==",
            "Basic eDp5",
            "Bearer x",
            "Bearer a.b.c",
            'W/"x", *',
        ),
        *("http://[", "//", "http://h/", "\xff\xfe", "identity", "x, y"),
    ]
)
headers = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *(
                    "Accept",
                    "Content-Type",
                    "Authorization",
                    "Referer",
                    "If-None-Match",
                    "Origin",
                    "Accept-Encoding",
                ),
                *("X-PachubeApiKey", "User-Agent", "X-Forwarded-For", "Accept-Language", "Content-Encoding"),
            ]
        ),
        header_values,
    ),
    max_size=3,
    unique_by=lambda pair: pair[0],
)
queries = st.lists(st.tuples(st.sampled_from(NAMES), odd), max_size=3)
methods = st.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH"])
extensions = st.sampled_from(["", "", "", "", "", "", ".json", ".xml", ".csv", ".png", ".JSON", ".exe", "/"])


@pytest_twisted.async_yield_fixture
async def client(tmp_path):
    async with hub_by_hand(tmp_path) as client:
        yield client


async def populated(client):
    """What addresses may name, made anew: the requests before may have deleted it."""
    feed = await client.make(
        "feeds", {"title": "a", "datastreams": [{"id": "temperature", "current_value": "1"}]}
    )
    trigger = await client.make(
        "triggers",
        {
            "environment_id": feed,
            "stream_id": "temperature",
            "trigger_type": "gt",
            "threshold_value": "1e9",
            "url": "http://192.0.2.1/",
        },
    )
    everything = {"access_methods": ["get", "put", "post", "delete"]}
    key = await client.make("keys", {"key": {"label": "a", "permissions": [everything]}})
    project = f"{next(PROJECTS)}"
    bearer = (("Authorization", f"Bearer {client.key}"),)
    for path, document in (
        ("projects", {"project_id": int(project), "project_name": f"p{project}"}),
        (f"devices?project_id={project}", {"project_id": int(project), "device_id": f"pump{project}"}),
    ):
        status, said = await client.ask("POST", f"/v1/{path}", json.dumps(document).encode(), bearer)
        assert status == 201, said
    return {
        "<exports>>": "temperature",
        "<exports>": f"pump{project}",
        "exports": project,
        "feeds": feed,
        "datastreams": "temperature",
        "triggers": trigger,
        "keys": key,
        "devices": f"pump{project}",
        "projects": project,
        "tokens": "1",
    }


def routes(client):
    """Every row of the APIs' tables, with stars for what is named."""
    rows = [(method, "/v2/" + "/".join(shape)) for method, shape in client.site._server._routes]
    for shape, verbs in client.site._iobeam._routes.items():
        rows += [(method, "/v1/" + "/".join(shape)) for method in verbs]
    return sorted(rows)


@st.composite
def targets(draw, rows):
    """A method and an address: of the table, of the others, or none."""
    if draw(st.integers(0, 2)):
        method, address = draw(st.sampled_from(rows))
    else:
        method, address = draw(methods), draw(st.sampled_from(ADDRESSES))
    if not draw(st.integers(0, 5)):
        method = draw(methods)
    segments = address.split("/")
    for index, segment in enumerate(segments):
        if segment == "*":
            good = f"<{segments[index - 1]}>"
            name = draw(odd) if not draw(st.integers(0, 5)) else good
            segments[index] = good if name == good else quote(_text(name), safe="")
    query = "&".join(f"{name}={quote(_text(value), safe='')}" for name, value in draw(st.just([]) | queries))
    return method, "/".join(segments) + draw(extensions) + (f"?{query}" if query else "")


@settings(suppress_health_check=list(HealthCheck))
@given(data=st.data())
async def test_whatever_is_asked_at_any_address_is_answered_and_is_no_failure(client, data):
    asked = data.draw(
        st.lists(
            st.tuples(targets(routes(client)), headers, bodies, st.integers(0, 3)),
            min_size=1,
            max_size=4,
        )
    )

    async def ask():
        known = await populated(client)
        for (method, target), more, body, has_key in asked:
            for name, good in known.items():
                target = target.replace(f"<{name}>", good)
            body = body.replace(b'"project_id": 1', b'"project_id": ' + known["projects"].encode())
            body = body.replace(b'"device_id": "x"', f'"device_id": "{known["devices"]}"'.encode())
            if method == "DELETE" and "owner" in target:
                continue  # the account that makes all this
            told = [*more, *([("X-ApiKey", client.key)] if has_key else [])]
            if has_key and target.startswith("/v1/"):
                told = [
                    *(pair for pair in more if pair[0] != "Authorization"),
                    ("Authorization", f"Bearer {client.key}"),
                ]
                target += f"{'&' if '?' in target else '?'}project_id={known['projects']}"
            status, said = await client.ask(method, target.replace("<users>", "somebody"), body, tuple(told))
            assert status < 500 or status in NOT_SPOKEN, (status, said)

    await ask()
    assert (client.http.unfinished.held, client.http.unread.held) == (0, 0)


@settings(suppress_health_check=list(HealthCheck))
@given(
    lines=st.lists(
        st.sampled_from(
            [
                *(
                    b"GET / HTTP/1.1",
                    b"POST /v2/feeds HTTP/1.1",
                    b"PUT /v2/feeds/1.json HTTP/1.0",
                    b"TRACE / HTTP/1.1",
                ),
                *(
                    b"GET /v2/feeds HTTP/3.0",
                    b"GET /",
                    b"Host: h",
                    b"Content-Length: 4",
                    b"Content-Length: -1",
                    b"",
                ),
                *(
                    b"Transfer-Encoding: chunked",
                    b"Expect: 100-continue",
                    b"Connection: close",
                    b"4",
                    b"abcd",
                    b"0",
                    b"",
                ),
                *(
                    b"Upgrade: websocket",
                    b"Connection: Upgrade",
                    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                    b"",
                ),
                *(
                    b"Sec-WebSocket-Version: 13",
                    b" folded",
                    b":",
                    b"X: \0",
                    b"Content-Encoding: gzip",
                    b"\x1f\x8b\x08",
                ),
                *(b"\x16\x03\x01\x02\x00\x01\x00", b"PRI * HTTP/2.0", b"X" * 9000, b"X: " + b"y" * 9000),
            ]
        )
        | st.binary(max_size=12),
        max_size=20,
    ),
    ends=st.lists(st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r"]), min_size=20, max_size=20),
    cuts=st.lists(st.integers(0, 300), max_size=4),
)
async def test_whatever_bytes_come_the_connection_ends_in_a_defined_way(client, lines, ends, cuts):
    data = b"".join(line + end for line, end in zip(lines, ends, strict=False))
    at = sorted({min(cut, len(data)) for cut in cuts})
    pieces = [data[start:end] for start, end in zip([0, *at], [*at, len(data)], strict=True)]
    said = await client.send(*pieces)
    assert {status for status in statuses_of(said) if status >= 500} <= NOT_SPOKEN
    assert (client.http.unfinished.held, client.http.unread.held) == (0, 0)
    assert client.http._connections == {}


async def test_any_number_of_guessed_passwords_leaves_no_line_in_the_log(client):
    logged: list[str] = []

    def keep(event):
        if event["log_level"] >= LogLevel.info and event["log_namespace"].startswith("txbridge"):
            logged.append(eventAsText(event))

    async def guess(number):
        basic = base64.b64encode(f"owner:guess number {number}".encode()).decode()
        return (await client.ask("GET", "/v2/feeds", b"", (("Authorization", f"Basic {basic}"),)))[0]

    globalLogPublisher.addObserver(keep)
    try:
        guesses = [Deferred.fromCoroutine(guess(number)) for number in range(80)]
        statuses = await gatherResults(guesses)
    finally:
        globalLogPublisher.removeObserver(keep)
    assert {status: statuses.count(status) for status in set(statuses)} == {401: 51, 503: 29}
    assert logged == []


async def test_thousands_of_hostile_requests_leave_nothing_in_memory(client):
    addresses, chance = [*(address for _, address in routes(client)), *ADDRESSES], random.Random(7)

    async def ask(count):
        for _ in range(count):
            target = chance.choice(addresses).replace(
                "*", quote(chance.choice(ODD).encode("utf-8", "replace"))
            )
            query = f"{chance.choice(NAMES)}={quote(str(chance.random()))}"
            method = chance.choice(["GET", "PUT", "POST", "OPTIONS"])
            told = (("X-ApiKey", client.key if chance.random() < 0.5 else f"guess-{chance.random()}"),)
            body = json.dumps({str(chance.random()): chance.choice(DOCUMENTS)}).encode()
            if "users" not in target:  # a password costs what it shall
                await client.ask(method, f"{target}?{query}", body, told)

    await ask(1500)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        await ask(1500)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 400_000, grown
    assert (client.http.unfinished.held, client.http.unread.held) == (0, 0)
    assert client.http._connections == {}
