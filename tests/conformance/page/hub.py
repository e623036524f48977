"""A hub as the tests of its page fill it: over its API, as devices do."""

from __future__ import annotations

import json
import math
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from typing import Any

from playwright.sync_api import Page, expect

from tests.support.program import StartedHub

__all__ = ["DRAWN", "ask", "enter", "feed_with", "history", "put", "waves"]

# Whether a chart has a pixel of this colour.
DRAWN = """(colour) => {
    const canvas = document.querySelector(".chart canvas");
    const bytes = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    const wanted = [0, 2, 4].map((at) => parseInt(colour.slice(at, at + 2), 16));
    for (let at = 0; at < bytes.length; at += 4)
        if (wanted.every((one, index) => bytes[at + index] === one)) return true;
    return false;
}"""


def ask(hub: StartedHub, method: str, path: str, body: Any = None, *, key: str | None = None) -> Any:
    """The document of an answer, or where what was made is."""
    connection = HTTPConnection("127.0.0.1", hub.port, timeout=20)
    with closing(connection):
        data = None if body is None else json.dumps(body)
        connection.request(method, f"/v2{path}", data, {"X-ApiKey": hub.key if key is None else key})
        response = connection.getresponse()
        text = response.read()
        assert response.status < 300, text
        return json.loads(text) if text else response.getheader("Location")


def put(hub: StartedHub, feed: str, stream: str, value: str) -> None:
    """Write a value now."""
    ask(hub, "PUT", f"/feeds/{feed}/datastreams/{stream}", {"current_value": value})


def feed_with(hub: StartedHub, title: str, streams: list[dict[str, Any]], **members: Any) -> str:
    """Make a feed; gives its number."""
    location = ask(hub, "POST", "/feeds", {"title": title, "datastreams": streams, **members})
    return str(location).rpartition("/")[2]


def history(hub: StartedHub, feed: str, stream: str, points: list[dict[str, str]]) -> None:
    """Write any number of points."""
    for begin in range(0, len(points), 500):
        body = {"datapoints": points[begin : begin + 500]}
        ask(hub, "POST", f"/feeds/{feed}/datastreams/{stream}/datapoints", body)


def waves(minutes: range) -> list[dict[str, str]]:
    """A point for each of these minutes ago."""
    now = datetime.now(UTC)
    return [
        {"at": (now - timedelta(minutes=one)).isoformat(), "value": f"{20 + 5 * math.sin(one / 20):.2f}"}
        for one in minutes
    ]


def enter(page: Page, hub: StartedHub, key: str | None = None) -> None:
    """Sign in."""
    page.goto(hub.url)
    page.fill("input[name=key]", hub.key if key is None else key)
    page.click("#sign-in button")
    expect(page.locator("#nav")).to_be_visible()
