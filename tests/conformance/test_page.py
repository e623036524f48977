"""The hub's page in a real browser: what somebody does there, and what they see."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.conformance.registries import absent
from tests.support.program import StartedHub, started_hub

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


class Receiver(ThreadingHTTPServer):
    """Takes what triggers post."""

    def __init__(self) -> None:
        self.forms: list[dict[str, list[str]]] = []
        self.came = threading.Event()
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server: Any = self.server
        server.forms.append(parse_qs(body.decode(), strict_parsing=True))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
        server.came.set()

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        absent(f"there is no browser: none of {', '.join(BROWSERS)}")
    # Its sandbox needs rights that root in a container has not.
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=path, args=options)
        yield running
        running.close()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartedHub]:
    with started_hub(tmp_path_factory.mktemp("hub") / "data", "--allow-webhooks", "127.0.0.1") as running:
        yield running


@pytest.fixture
def page(browser: Browser, hub: StartedHub) -> Iterator[Page]:
    """The page, signed in; it may neither break nor ask anybody else for anything."""
    context = browser.new_context(viewport={"width": 1200, "height": 900}, locale="en-GB")
    context.set_default_timeout(20_000)
    fresh = context.new_page()
    errors: list[str] = []
    asked: list[str] = []
    fresh.on("pageerror", lambda error: errors.append(str(error)))
    fresh.on("request", lambda request: asked.append(request.url))
    fresh.goto(hub.url)
    fresh.fill("input[name=key]", hub.key)
    fresh.click("#sign-in button")
    expect(fresh.locator("#new-feed")).to_be_attached()
    yield fresh
    context.close()
    assert errors == []
    assert {url for url in asked if not url.startswith(hub.url)} == set()
    assert [url for url in asked if hub.key in url] == []


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


def feed_with(hub: StartedHub, title: str, streams: list[dict[str, Any]], **members: Any) -> str:
    location = ask(hub, "POST", "/feeds", {"title": title, "datastreams": streams, **members})
    return str(location).rpartition("/")[2]


def waves(minutes: range) -> list[dict[str, str]]:
    """A point for each of these minutes ago."""
    now = datetime.now(UTC)
    return [
        {"at": (now - timedelta(minutes=one)).isoformat(), "value": f"{20 + 5 * math.sin(one / 20):.2f}"}
        for one in minutes
    ]


def test_a_key_that_nobody_has_is_refused_in_words(browser: Browser, hub: StartedHub) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(hub.url)
    page.fill("input[name=key]", "no key")
    page.click("#sign-in button")
    expect(page.locator(".toast")).to_contain_text("does not know this key")
    context.close()


def test_a_feed_is_made_and_a_value_arrives_without_a_reload(page: Page, hub: StartedHub) -> None:
    page.evaluate("window.never_reloaded = true")
    page.locator("details:has(#new-feed)").evaluate("details => { details.open = true }")
    page.fill("#new-feed input[name=title]", "Boiler <b>room</b>")
    page.click("#new-feed button")
    expect(page.locator("h1")).to_have_text("Boiler <b>room</b>")
    page.fill("#new-stream input[name=id]", "flow_temp")
    page.fill("#new-stream input[name=symbol]", "°C")
    page.click("#new-stream button")
    value = page.locator('[data-stream="flow_temp"]')
    expect(value).to_contain_text("–")
    expect(page.locator("#live")).to_have_text("live")
    number = page.url.rpartition("/")[2]
    ask(hub, "PUT", f"/feeds/{number}/datastreams/flow_temp", {"current_value": "42.5"})
    expect(value).to_contain_text("42.5 °C")
    ask(hub, "PUT", f"/feeds/{number}", {"datastreams": [{"id": "new_one", "current_value": "on"}]})
    expect(page.locator('[data-stream="new_one"]')).to_contain_text("on")
    assert page.evaluate("window.never_reloaded") is True


def test_a_chart_shows_gaps_as_gaps_and_zooms_into_the_history(page: Page, hub: StartedHub) -> None:
    points = [*waves(range(1, 100)), *waves(range(160, 300))]
    number = feed_with(hub, "With a gap", [{"id": "t", "datapoints": points}])
    page.goto(f"{hub.url}/#/feeds/{number}")
    chart = page.locator(".chart").first
    expect(chart).to_have_attribute("data-points", "239")
    expect(chart).to_have_attribute("data-gaps", "1")
    box = chart.locator(".u-over").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.80, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.95, box["y"] + 50, steps=5)
    page.mouse.up()
    expect(chart).not_to_have_attribute("data-points", "239")
    expect(chart).to_have_attribute("data-gaps", "0")
    assert 20 < int(chart.get_attribute("data-points") or 0) < 99
    page.get_by_role("button", name="Back to now").click()
    expect(chart).to_have_attribute("data-points", "239")


def test_a_long_time_is_asked_for_at_a_coarse_interval(page: Page, hub: StartedHub) -> None:
    number = feed_with(hub, "Long", [{"id": "t", "datapoints": waves(range(0, 20_000, 50))}])
    page.goto(f"{hub.url}/#/feeds/{number}")
    with page.expect_request(lambda request: "interval=3600" in request.url):
        page.get_by_role("button", name="30 days").click()
    expect(page.locator(".chart-note").first).to_contain_text("one each 3600 s")


def test_search_finds_and_says_when_it_does_not(page: Page, hub: StartedHub) -> None:
    feed_with(hub, "Greenhouse", [{"id": "humidity", "current_value": "61"}])
    page.fill("[role=search] input", "greenh")
    page.click("[role=search] button")
    expect(page.locator(".card-link")).to_have_count(1)
    expect(page.locator(".card-link")).to_contain_text("humidity")
    page.fill("[role=search] input", "nothing has this name")
    page.click("[role=search] button")
    expect(page.locator("#count")).to_contain_text("Nothing is found")


def test_feeds_with_a_place_are_on_the_map(page: Page, hub: StartedHub) -> None:
    feed_with(hub, "In Bedford", [], location={"lat": 52.13, "lon": -0.46})
    page.click("nav >> text=Map")
    dot = page.locator("svg.map circle")
    expect(dot).to_have_count(1)
    dot.click()
    expect(page.locator("h1")).to_have_text("In Bedford")


def test_a_key_is_made_shown_once_and_works(page: Page, hub: StartedHub) -> None:
    number = feed_with(hub, "For a display", [{"id": "t", "current_value": "1"}])
    page.click("nav >> text=Keys")
    page.fill("#new-key input[name=label]", "display panel")
    page.fill("#new-key input[name=feed]", number)
    page.click("#new-key button")
    secret = page.locator("code.secret")
    expect(secret).to_be_visible()
    key = secret.inner_text()
    expect(page.locator("table")).to_contain_text("display panel")
    assert ask(hub, "GET", f"/feeds/{number}.json", key=key)["title"] == "For a display"
    page.reload()
    expect(page.locator("table")).to_contain_text("display panel")
    assert key not in page.content()


def test_a_trigger_is_set_and_seen_to_fire(page: Page, hub: StartedHub, receiver: Receiver) -> None:
    number = feed_with(hub, "Watched", [{"id": "t", "current_value": "1"}])
    page.click("nav >> text=Triggers")
    page.fill("#new-trigger input[name=feed]", number)
    page.fill("#new-trigger input[name=stream]", "t")
    page.fill("#new-trigger input[name=threshold]", "20")
    page.fill("#new-trigger input[name=url]", f"http://127.0.0.1:{receiver.server_port}/hook")
    page.click("#new-trigger button")
    row = page.locator("tr[data-trigger]")
    expect(row).to_contain_text("never")
    ask(hub, "PUT", f"/feeds/{number}/datastreams/t", {"current_value": "21.5"})
    assert receiver.came.wait(20)
    (form,) = receiver.forms
    document = json.loads(form["body"][0])
    assert document["triggering_datastream"]["value"]["value"] == "21.5"
    assert document["environment"]["feed"] == f"{hub.url}/v2/feeds/{number}"
    expect(row).to_contain_text("ago")


LOSSES = """
import sys
from pathlib import Path
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import react
from txbridge.model.samples import Gap
from txbridge.relay.ledger import SqliteLedger
from txbridge.relay.roles import Loss, LossKind

async def main(reactor):
    ledger = await SqliteLedger.open(Path(sys.argv[1]), reactor)
    gap = Gap("temp", 1_385_377_200_000_000_000, 1_385_380_800_000_000_000, "the outbox was full", 3600)
    await ledger.route("kitchen").record([Loss("hub", LossKind.OVERFLOW, gap)])
    await ledger.close()

react(lambda reactor: ensureDeferred(main(reactor)))
"""


def test_what_a_relay_lost_is_on_the_page(page: Page, hub: StartedHub) -> None:
    state = hub.data.parent / ".local" / "state" / "txbridge" / "relay"
    state.mkdir(parents=True)
    page.click("nav >> text=Relay")
    expect(page.locator("#nothing-lost")).to_be_visible()
    expect(page.locator("#routes")).to_contain_text("no relay runs")
    command = [sys.executable, "-c", LOSSES, str(state / "ledger.sqlite")]
    subprocess.run(command, env=hub.environ, check=True, timeout=60)
    page.reload()
    row = page.locator("#ledger tbody tr")
    expect(row).to_contain_text("the outbox was full")
    expect(row).to_contain_text("3600")
    page.select_option("select[name=kind]", "refused")
    page.click("#ledger-search button")
    expect(page.locator("#nothing-lost")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_it_without_scrolling_sideways(browser: Browser, hub: StartedHub, scheme: Any) -> None:
    number = feed_with(hub, "A" * 200, [{"id": "long_" * 30, "datapoints": waves(range(30))}])
    context = browser.new_context(viewport={"width": 360, "height": 740}, color_scheme=scheme)
    page = context.new_page()
    page.goto(hub.url)
    page.fill("input[name=key]", hub.key)
    page.click("#sign-in button")
    expect(page.locator("nav")).to_be_visible()
    for address in ("#/", f"#/feeds/{number}", "#/keys", "#/triggers", "#/relay", "#/map"):
        page.goto(f"{hub.url}/{address}")
        expect(page.locator("h1")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, address
    context.close()


def test_signing_out_forgets_the_key(page: Page, hub: StartedHub) -> None:
    page.click("#leave")
    expect(page.locator("#sign-in")).to_be_visible()
    assert page.evaluate("sessionStorage.length + localStorage.length") == 0
    page.goto(f"{hub.url}/#/keys")
    expect(page.locator("#sign-in")).to_be_visible()
