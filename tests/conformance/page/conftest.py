"""One browser and one hub for all tests of the page; and a page that may neither break nor ask around."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.conformance.registries import absent
from tests.support.program import StartedHub, started_hub

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 20_000  # milliseconds that anything may take to be seen
expect.set_options(timeout=PATIENCE)


class Receiver(ThreadingHTTPServer):
    """Takes what triggers post."""

    def __init__(self) -> None:
        self.forms: list[dict[str, list[str]]] = []
        self.came = threading.Event()
        super().__init__(("127.0.0.1", 0), _Receives)


class _Receives(BaseHTTPRequestHandler):
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


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartedHub]:
    with started_hub(tmp_path_factory.mktemp("hub") / "data", "--allow-webhooks", "127.0.0.1") as running:
        yield running


class Watched:
    """What a page did that it should not have done."""

    def __init__(self, page: Page) -> None:
        self.errors: list[str] = []
        self.asked: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda message: self._heard(message))
        page.on("request", lambda request: self.asked.append(request.url))

    def _heard(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def check(self, hub: StartedHub) -> None:
        assert self.errors == []
        ours = (hub.url, f"blob:{hub.url}")
        assert {url for url in self.asked if not url.startswith(ours)} == set()
        assert [url for url in self.asked if hub.key in url] == []


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A fresh browser, as one at a desk."""
    fresh = browser.new_context(
        viewport={"width": 1200, "height": 900}, locale="en-GB", timezone_id="Europe/London"
    )
    fresh.set_default_timeout(PATIENCE)
    yield fresh
    fresh.close()


@pytest.fixture
def page(context: BrowserContext, hub: StartedHub) -> Iterator[Page]:
    """The page, signed in; it may neither break nor ask anybody else for anything."""
    fresh = context.new_page()
    watched = Watched(fresh)
    credentials = json.dumps(json.dumps({"key": hub.key}))
    fresh.add_init_script(f"sessionStorage.setItem('txbridge-credentials', {credentials})")
    fresh.goto(f"{hub.url}/#/nowhere")
    expect(fresh.locator("#nav")).to_be_visible()
    yield fresh
    watched.check(hub)
