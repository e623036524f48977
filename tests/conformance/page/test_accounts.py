"""Keys, accounts and triggers: what the owner of a hub manages."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

from playwright.sync_api import BrowserContext, Page, expect

from tests.conformance.page.conftest import Receiver
from tests.conformance.page.hub import ask, enter, feed_with, put
from tests.support.program import StartedHub


def test_a_key_is_made_shown_once_copied_and_works(
    page: Page, context: BrowserContext, hub: StartedHub
) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    number = feed_with(hub, "For a panel", [{"id": "t", "current_value": "1"}])
    page.click("nav >> text=Keys")
    page.fill("#new-key input[name=label]", "display panel")
    page.fill("#new-key input[name=feed]", number)
    page.click("#new-key button")
    secret = page.locator("code.secret")
    expect(secret).to_be_visible()
    key = secret.inner_text()
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == key
    expect(page.locator("table")).to_contain_text("display panel")
    assert ask(hub, "GET", f"/feeds/{number}.json", key=key)["title"] == "For a panel"
    page.reload()
    expect(page.locator("table")).to_contain_text("display panel")
    assert key not in page.content()


def test_a_key_is_changed_replaced_and_deleted(page: Page, hub: StartedHub) -> None:
    past = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    permission = {"access_methods": ["get"]}
    key = {"label": "old label", "expires_at": past, "permissions": [permission]}
    ask(hub, "POST", "/keys", {"key": key})
    page.goto(f"{hub.url}/#/keys")
    row = page.locator("tr", has_text="old label")
    expect(row).to_contain_text("expired 1 day ago")
    row.get_by_role("button", name="Change").click()
    page.get_by_role("dialog").locator("input[name=label]").fill("new label")
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    row = page.locator("tr", has_text="new label")
    row.get_by_role("button", name="Replace").click()
    page.get_by_role("dialog").get_by_role("button", name="Replace").click()
    expect(page.locator("code.secret")).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)
    row.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete key").click()
    expect(row).to_have_count(0)


def test_replacing_the_key_one_is_signed_in_with_shuts_nobody_out(
    context: BrowserContext, hub: StartedHub
) -> None:
    permission = {"access_methods": ["get", "put", "post", "delete"]}
    key = {"label": "second owner", "private_access": True, "permissions": [permission]}
    made = ask(hub, "POST", "/keys", {"key": key})
    page = context.new_page()
    enter(page, hub, made.rpartition("/")[2])
    page.click("nav >> text=Keys")
    page.locator("tr", has_text="second owner").get_by_role("button", name="Replace").click()
    page.get_by_role("dialog").get_by_role("button", name="Replace").click()
    expect(page.get_by_role("alert").first).to_contain_text("goes on with the new one")
    new = page.locator("code.secret").inner_text()
    page.click("nav >> text=Feeds")
    expect(page.locator("h1")).to_have_text("Feeds")
    assert ask(hub, "GET", "/feeds.json?per_page=1", key=new)["itemsPerPage"] == 1


def test_an_account_is_made_signs_in_changes_its_password_and_is_deleted(
    page: Page, context: BrowserContext, hub: StartedHub
) -> None:
    page.click("nav >> text=Accounts")
    page.fill("#new-account input[name=login]", "maria")
    page.fill("#new-account input[name=password]", "long enough")
    page.click("#new-account button")
    expect(page.locator('tr[data-login="maria"]')).to_be_visible()
    guest = context.new_page()
    guest.goto(hub.url)
    guest.locator("summary").click()
    guest.fill("#sign-in-account input[name=login]", "maria")
    guest.fill("#sign-in-account input[name=password]", "long enough")
    guest.click("#sign-in-account button")
    feed_with(hub, "The owner's", [{"id": "t", "current_value": "1"}])
    guest.goto(f"{hub.url}/#/?q=owner")
    guest.get_by_role("link", name="The owner's").click()
    expect(guest.locator("main")).to_contain_text("of owner")
    expect(guest.locator("summary", has_text="Settings")).to_have_count(0)
    guest.goto(f"{hub.url}/#/")
    guest.select_option("select[name=user]", label="mine")
    guest.click("[role=search] button")
    expect(guest.locator("#first-steps")).to_contain_text("-u 'maria'")
    expect(guest.locator("nav >> text=Relay")).to_be_hidden()
    guest.click("nav >> text=Accounts")
    expect(guest.locator("tr[data-login]")).to_have_count(1)
    guest.get_by_role("button", name="Change").click()
    guest.get_by_role("dialog").locator("input[name=password]").fill("another password")
    guest.get_by_role("dialog").get_by_role("button", name="Save").click()
    expect(guest.get_by_role("dialog")).to_have_count(0)
    guest.click("nav >> text=Feeds")
    expect(guest.locator("h1")).to_have_text("Feeds")
    page.locator('tr[data-login="maria"]').get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete account").click()
    expect(page.locator('tr[data-login="maria"]')).to_have_count(0)
    guest.click("nav >> text=Keys")
    expect(guest.get_by_role("alert").first).to_contain_text("does not know this key any more")


def test_a_trigger_is_set_seen_to_fire_and_its_log_tells_what_became_of_it(
    page: Page, hub: StartedHub, receiver: Receiver
) -> None:
    number = feed_with(hub, "Watched", [{"id": "t", "current_value": "1"}])
    page.goto(f"{hub.url}/#/feeds/{number}")
    page.locator(".stream summary").click()
    page.get_by_role("link", name="Set a trigger").click()
    expect(page.locator("#new-trigger input[name=stream]")).to_have_value("t")
    page.fill("#new-trigger input[name=threshold]", "20")
    page.fill("#new-trigger input[name=url]", f"http://127.0.0.1:{receiver.server_port}/hook")
    page.click("#new-trigger button")
    row = page.locator("tr[data-trigger]", has_text="Watched")
    expect(row).to_contain_text("never")
    page.locator("details[data-log] summary").last.click()
    expect(page.locator(".log").last).to_contain_text("It has not fired yet")
    put(hub, number, "t", "21.5")
    assert receiver.came.wait(20)
    (form,) = receiver.forms
    document = json.loads(form["body"][0])
    assert document["triggering_datastream"]["value"]["value"] == "21.5"
    assert document["environment"]["feed"] == f"{hub.url}/v2/feeds/{number}"
    expect(row).to_contain_text("ago")
    expect(page.locator(".log").last).to_contain_text("answered 200")
    expect(page.locator(".log").last).to_contain_text("21.5")
    page.locator(".log a").last.click()
    expect(page.locator("h1")).to_have_text("Watched")
    expect(page.get_by_role("button", name="Back to now")).to_be_enabled()
    expect(page.locator(".chart")).to_have_attribute("data-points", re.compile("^[12]$"))


def test_the_log_of_a_trigger_that_nobody_takes_says_when_it_is_tried_again(
    page: Page, hub: StartedHub
) -> None:
    number = feed_with(hub, "Unheard", [{"id": "t", "current_value": "1"}])
    trigger = {"environment_id": int(number), "stream_id": "t", "trigger_type": "change"}
    ask(hub, "POST", "/triggers", {**trigger, "url": "http://127.0.0.1:1/nobody"})
    put(hub, number, "t", "2")
    page.click("nav >> text=Triggers")
    row = page.locator("tr[data-trigger]", has_text="Unheard")
    expect(row).to_contain_text("changes")
    page.locator("details[data-log] summary").last.click()
    expect(page.locator(".log").last).to_contain_text("no connection")
    expect(page.locator(".log").last).to_contain_text("again")
    row.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete trigger").click()
    expect(row).to_have_count(0)
