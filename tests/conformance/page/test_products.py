"""Products and their devices, as a manufacturer manages them."""

from __future__ import annotations

import hmac
import json
from contextlib import closing
from http.client import HTTPConnection

from playwright.sync_api import Page, expect

from tests.conformance.page.hub import ask
from tests.support.program import StartedHub


def test_a_device_of_a_product_is_added_and_seen_to_be_activated(page: Page, hub: StartedHub) -> None:
    page.click("nav >> text=Products")
    page.fill("#new-product input[name=name]", "Soil probe")
    page.fill("#new-product input[name=datastreams]", "moisture, battery")
    page.click("#new-product button")
    expect(page.locator("h1")).to_have_text("Soil probe")
    page.fill("#new-devices textarea", "PROBE-1\nPROBE-2\n")
    page.click("#new-devices button")
    row = page.locator("tr", has_text="PROBE-1")
    expect(row).to_contain_text("not yet")
    page.locator("summary", has_text="The secret").click()
    secret = bytes.fromhex(page.locator("code.secret").inner_text())
    code = hmac.digest(secret, b"PROBE-1", "sha1").hex()
    expect(row).to_contain_text(code)
    with closing(HTTPConnection("127.0.0.1", hub.port, timeout=20)) as connection:
        connection.request("GET", f"/v2/devices/{code}/activate")
        activated = json.loads(connection.getresponse().read())
    page.reload()
    feed = activated["feed_id"]
    body = {"datastreams": [{"id": "moisture", "current_value": "31"}]}
    ask(hub, "PUT", f"/feeds/{feed}", body, key=activated["apikey"])
    row.get_by_role("link", name=f"feed {feed}").click()
    expect(page.locator('[data-stream="moisture"]')).to_contain_text("31")
    page.go_back()
    row.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete device").click()
    expect(row).to_have_count(0)
    page.locator("summary", has_text="Settings").click()
    page.get_by_role("button", name="Delete product").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete product").click()
    expect(page.locator("h1")).to_have_text("Products")
