"""What the page does when the hub, or its key, is gone."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from playwright.sync_api import BrowserContext, Page, Route, WebSocketRoute, expect

from tests.conformance.page.hub import ask, enter, feed_with, put
from tests.support.program import StartedHub, program, started_hub


@contextmanager
def started_again(hub: StartedHub, port: int) -> Iterator[StartedHub]:
    """The same hub once more, where it was."""
    more = ("--listen", f"tcp:{port}:interface=127.0.0.1", "--data", str(hub.data))
    with program("hub", *more, environ=hub.environ) as running:
        running.expect(r"^listening on ")
        yield StartedHub(running, hub.url, hub.data, hub.key)


def test_a_restart_of_the_hub_is_seen_and_what_came_meanwhile_is_shown(
    context: BrowserContext, tmp_path: Path
) -> None:
    page = context.new_page()
    page.clock.install(time=datetime.now(UTC))
    with started_hub(tmp_path / "data") as hub:
        port = hub.port
        number = feed_with(hub, "Interrupted", [{"id": "t", "current_value": "1"}])
        enter(page, hub)
        page.goto(f"{hub.url}/#/feeds/{number}")
        page.evaluate("window.never_reloaded = true")
        value = page.locator('[data-stream="t"]')
        expect(page.locator(".chart")).to_have_attribute("data-points", "1")
        expect(page.locator("#live")).to_have_text("live")
        hub.program.stop()
    expect(page.locator("#live")).to_have_text("reconnecting")
    expect(value).to_contain_text("1")
    with started_again(hub, port) as again:
        put(again, number, "t", "2")
        put(again, number, "t", "3")
        page.clock.fast_forward(15_000)  # it tries less and less often
        expect(page.locator("#live")).to_have_text("live")
        expect(value).to_contain_text("3")
        expect(page.locator(".chart")).to_have_attribute("data-points", "3")
        put(again, number, "t", "4")
        expect(page.locator(".chart")).to_have_attribute("data-points", "4")
        assert page.evaluate("window.never_reloaded") is True


def test_an_answer_that_is_late_draws_nothing_over_a_view_that_is_newer(page: Page, hub: StartedHub) -> None:
    number = feed_with(hub, "Newer", [{"id": "t", "current_value": "1"}])
    page.goto(f"{hub.url}/#/keys")
    expect(page.locator("h1")).to_have_text("Keys")
    held: list[Route] = []
    page.route("**/v2/feeds.json?*", lambda route: held.append(route))  # playwright marks what it is given
    with page.expect_request("**/v2/feeds.json?*"):
        page.goto(f"{hub.url}/#/")
    page.goto(f"{hub.url}/#/feeds/{number}")
    expect(page.locator("#view")).to_have_attribute("aria-busy", "true")
    answer = held[0].fetch()
    with page.expect_event("requestfinished", lambda request: request == held[0].request):
        held[0].fulfill(response=answer)
    expect(page.locator("#view")).not_to_have_attribute("aria-busy", "true")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    expect(page.locator("h1")).to_have_text("Newer")


def test_a_key_that_is_deleted_meanwhile_asks_for_another_and_goes_on_where_it_was(
    page: Page, context: BrowserContext, hub: StartedHub
) -> None:
    number = feed_with(hub, "Guarded", [{"id": "t", "current_value": "1"}])
    permission = {"access_methods": ["get"]}
    made = ask(hub, "POST", "/keys", {"key": {"label": "brief", "permissions": [permission]}})
    guest = context.new_page()
    enter(guest, hub, made.rpartition("/")[2])
    guest.goto(f"{hub.url}/#/feeds/{number}")
    expect(guest.locator("h1")).to_have_text("Guarded")
    (reference,) = [one["api_key"] for one in keys(hub) if one["label"] == "brief"]
    ask(hub, "DELETE", f"/keys/{reference}")
    guest.get_by_role("button", name="1 day").click()
    expect(guest.get_by_role("alert").first).to_contain_text("does not know this key any more")
    assert guest.evaluate("sessionStorage.length + localStorage.length") == 0
    guest.fill("input[name=key]", hub.key)
    guest.click("#sign-in button")
    expect(guest.locator("h1")).to_have_text("Guarded")


def keys(hub: StartedHub) -> list[dict[str, str]]:
    return [dict(one) for one in ask(hub, "GET", "/keys.json")["keys"]]


def test_a_key_that_may_only_read_sees_no_links_to_what_it_cannot_open(
    context: BrowserContext, hub: StartedHub
) -> None:
    number = feed_with(hub, "For a display", [{"id": "t", "current_value": "7"}])
    permission = {"access_methods": ["get"], "resources": [{"feed_id": int(number)}]}
    made = ask(hub, "POST", "/keys", {"key": {"label": "limited", "permissions": [permission]}})
    page = context.new_page()
    enter(page, hub, made.rpartition("/")[2])
    expect(page.get_by_role("link", name="Keys")).to_be_hidden()
    expect(page.get_by_role("link", name="Map")).to_be_visible()
    page.goto(f"{hub.url}/#/feeds/{number}")
    expect(page.locator('[data-stream="t"]')).to_contain_text("7")
    put(hub, number, "t", "8")
    expect(page.locator('[data-stream="t"]')).to_contain_text("8")
    page.goto(f"{hub.url}/#/keys")
    expect(page.locator("main")).to_contain_text("The key may not see this.")


def test_a_key_that_nobody_has_is_refused_in_words(context: BrowserContext, hub: StartedHub) -> None:
    page = context.new_page()
    page.goto(hub.url)
    page.fill("input[name=key]", "no key")
    page.click("#sign-in button")
    expect(page.locator(".toast")).to_contain_text("does not know this key")


def test_signing_out_forgets_the_key(page: Page, hub: StartedHub) -> None:
    page.click("#leave")
    expect(page.locator("#sign-in")).to_be_visible()
    assert page.evaluate("sessionStorage.length + localStorage.length") == 0
    expect(page.locator("#live")).to_have_text("")
    page.goto(f"{hub.url}/#/keys")
    expect(page.locator("#sign-in")).to_be_visible()


def test_a_feed_that_is_deleted_meanwhile_is_left(page: Page, hub: StartedHub) -> None:
    number = feed_with(hub, "Gone soon", [])
    page.goto(f"{hub.url}/#/feeds/{number}")
    expect(page.locator("h1")).to_have_text("Gone soon")
    ask(hub, "DELETE", f"/feeds/{number}")
    expect(page.locator(".toast")).to_contain_text("was deleted")
    expect(page).to_have_url(re.compile("#/$"))


def test_the_badge_and_the_ages_go_on_while_nothing_comes(page: Page, hub: StartedHub) -> None:
    page.clock.install(time=datetime.now(UTC))
    number = feed_with(hub, "Ageing", [{"id": "t", "current_value": "1"}])
    page.goto(f"{hub.url}/#/feeds/{number}")
    page.reload()
    head = page.locator("main")
    expect(head.locator(".badge").first).to_have_text("live")
    page.clock.fast_forward(timedelta(minutes=3).total_seconds() * 1000)
    expect(head.locator("time").first).to_have_text("3 minutes ago")
    page.clock.fast_forward(timedelta(minutes=13).total_seconds() * 1000)
    expect(head.locator(".badge").first).to_have_text("frozen")


def test_a_hub_that_has_enough_of_requests_is_not_taken_for_one_that_forbids(
    context: BrowserContext, tmp_path: Path
) -> None:
    with started_hub(tmp_path / "data", "--requests-per-minute", "3") as hub:
        page = context.new_page()
        enter(page, hub)
        for view in ("map", "keys", "triggers", "map", "keys", "triggers"):
            page.goto(f"{hub.url}/#/{view}")
            expect(page.locator("main:not([aria-busy]) h1")).to_be_visible()
        expect(page.locator("main")).to_contain_text("The hub asks for patience: try again in")
        expect(page.locator("#live")).to_have_text("live")


def test_listening_that_was_refused_is_asked_for_again(page: Page, hub: StartedHub) -> None:
    number = feed_with(hub, "Asked for too often", [{"id": "t", "current_value": "1"}])
    words = "Forbidden: You have exceeded the rate limit of your API key"
    refused: list[str] = []

    def between(route: WebSocketRoute) -> None:
        server = route.connect_to_server()

        def said(text: str | bytes) -> None:
            message = json.loads(text)
            if message["method"] == "subscribe" and not refused:
                refused.append(message["token"])
                route.send(json.dumps({"status": 403, "token": message["token"], "body": words}))
            else:
                server.send(text)

        route.on_message(said)

    page.clock.install(time=datetime.now(UTC))
    page.route_web_socket(re.compile("^ws"), between)
    page.goto(f"{hub.url}/#/feeds/{number}")
    page.reload()
    note = page.get_by_text("Values do not arrive by themselves here")
    expect(note).to_contain_text("rate limit")
    put(hub, number, "t", "2")
    page.clock.fast_forward(15_000)
    expect(note).to_be_hidden()
    expect(page.locator('[data-stream="t"]')).to_contain_text("2")
    put(hub, number, "t", "3")
    expect(page.locator('[data-stream="t"]')).to_contain_text("3")
