"""iobeam projects, their devices and tokens, as their owner manages them."""

from __future__ import annotations

import base64
import json
from contextlib import closing
from http.client import HTTPConnection
from typing import Any

from playwright.sync_api import BrowserContext, Page, expect

from tests.conformance.page.hub import ask
from tests.support.program import StartedHub


def send(hub: StartedHub, token: str, project: int, device: str, value: float) -> int:
    """What a device does with its token: register, and send a value.  Gives the status of the last answer."""
    series = [{"name": "temperature", "data": [{"time": 1_764_000_000_000, "value": value}]}]
    imported = {"project_id": project, "device_id": device, "sources": series}
    with closing(HTTPConnection("127.0.0.1", hub.port, timeout=20)) as connection:
        for path, body in (
            ("/v1/devices", {"project_id": project, "device_id": device, "device_name": f"The {device}"}),
            ("/v1/imports", imported),
        ):
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            connection.request("POST", path, json.dumps(body), headers)
            response = connection.getresponse()
            response.read()
    return response.status


def burnt_in(project: int) -> str:
    """A token as an old device has it: of another secret, and long expired."""

    def part(members: dict[str, Any] | bytes) -> str:
        data = members if isinstance(members, bytes) else json.dumps(members).encode()
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    claims = {"uid": 5, "pid": project, "exp": 1_400_000_000, "pms": 3}
    return ".".join((part({"alg": "HS256", "typ": "JWT"}), part(claims), part(bytes(range(32)))))


def test_a_project_gets_a_token_with_which_a_device_comes_in_until_it_is_revoked(
    page: Page, hub: StartedHub
) -> None:
    page.click("nav >> text=Projects")
    page.fill("#new-project input[name=name]", "Cold rooms")
    page.fill("#new-project input[name=number]", "77")
    page.click("#new-project button")
    expect(page.locator("h1")).to_have_text("Cold rooms")
    page.click("#new-token button")
    secret = page.locator("code.secret")
    expect(secret).to_be_visible()
    token = secret.inner_text()
    assert send(hub, token, 77, "freezer", -18.5) == 200
    page.reload()
    assert token not in page.content()
    expect(page.locator("tr[data-token]")).to_have_count(1)
    page.get_by_role("link", name="The freezer").click()
    expect(page.locator('[data-stream="temperature"]')).to_contain_text("-18.5")
    page.go_back()
    page.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(page.locator("tr[data-token]")).to_have_count(0)
    assert send(hub, token, 77, "freezer", -18.5) == 401
    page.get_by_role("button", name="Delete project").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete project").click()
    expect(page.locator("h1")).to_have_text("Projects")
    assert ask(hub, "GET", "/feeds.json?q=freezer")["totalResults"] == 1


def test_a_device_with_its_token_burnt_in_is_let_in(page: Page, hub: StartedHub) -> None:
    token = burnt_in(4321)
    assert send(hub, token, 4321, "kettle", 60.0) == 401
    page.click("nav >> text=Projects")
    page.locator("summary", has_text="burnt in").click()
    page.fill("#adopt textarea", token)
    page.click("#adopt button")
    expect(page.locator("h1")).to_have_text("Project 4321")
    expect(page.locator("tr[data-token]")).to_contain_text("never (adopted)")
    assert send(hub, token, 4321, "kettle", 60.0) == 200
    page.reload()
    row = page.locator("tr", has_text="The kettle")
    row.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete device").click()
    expect(row).to_have_count(0)
    assert ask(hub, "GET", "/feeds.json?q=kettle")["totalResults"] == 0
    assert [
        url for url in page.evaluate("performance.getEntries().map((one) => one.name)") if token in url
    ] == []


def test_whoever_signed_in_with_a_password_manages_projects_too(
    context: BrowserContext, hub: StartedHub
) -> None:
    ask(hub, "POST", "/users", {"user": {"login": "nora", "password": "long enough"}})
    page = context.new_page()
    page.goto(hub.url)
    page.locator("summary").click()
    page.fill("#sign-in-account input[name=login]", "nora")
    page.fill("#sign-in-account input[name=password]", "long enough")
    page.click("#sign-in-account button")
    page.click("nav >> text=Projects")
    page.fill("#new-project input[name=name]", "Nora's")
    page.click("#new-project button")
    expect(page.locator("h1")).to_have_text("Nora's")
