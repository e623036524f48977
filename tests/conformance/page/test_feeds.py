"""The list of feeds, one feed, and the map."""

from __future__ import annotations

import subprocess
from pathlib import Path

from playwright.sync_api import BrowserContext, Page, expect

from tests.conformance.page.conftest import Watched
from tests.conformance.page.hub import ask, enter, feed_with, history, put, waves
from tests.support.program import StartedHub, started_hub


def open_details(page: Page, words: str) -> None:
    page.locator("summary", has_text=words).first.click()


def test_a_feed_is_made_and_a_value_arrives_without_a_reload(page: Page, hub: StartedHub) -> None:
    page.goto(f"{hub.url}/#/?q=nothing")
    page.evaluate("window.never_reloaded = true")
    open_details(page, "New feed")
    page.fill("#new-feed input[name=title]", "Boiler <b>room</b>")
    page.click("#new-feed button")
    expect(page.locator("h1")).to_have_text("Boiler <b>room</b>")
    expect(page).to_have_title("Boiler <b>room</b> · txbridge hub")
    page.fill("#new-stream input[name=id]", "flow_temp")
    page.fill("#new-stream input[name=symbol]", "°C")
    page.click("#new-stream button")
    value = page.locator('[data-stream="flow_temp"]')
    expect(value).to_contain_text("–")
    expect(page.locator("#live")).to_have_text("live")
    number = page.url.rpartition("/")[2]
    put(hub, number, "flow_temp", "42.5")
    expect(value).to_contain_text("42.5 °C")
    ask(hub, "PUT", f"/feeds/{number}", {"datastreams": [{"id": "another", "current_value": "on"}]})
    expect(page.locator('[data-stream="another"]')).to_contain_text("on")
    expect(page.locator(".stream h2")).to_have_text(["another", "flow_temp"])
    assert page.evaluate("window.never_reloaded") is True


def test_the_first_value_of_an_empty_hub_comes_from_the_line_it_shows(
    context: BrowserContext, tmp_path: Path
) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    with started_hub(tmp_path / "data") as hub:
        page = context.new_page()
        watched = Watched(page)
        enter(page, hub)
        steps = page.locator("#first-steps")
        expect(steps).to_contain_text("curl -X POST")
        assert hub.key not in page.content()
        steps.get_by_role("button", name="Copy with the key").click()
        expect(steps.get_by_role("button", name="Copied")).to_be_visible()
        line = page.evaluate("navigator.clipboard.readText()")
        subprocess.run(["/bin/sh", "-c", line], check=True, capture_output=True, timeout=60)
        card = page.locator("article[data-feed]")
        expect(card).to_contain_text("My first feed")
        expect(card).to_contain_text("21.5")
        expect(steps).to_have_count(0)
        watched.check(hub)


def test_search_finds_and_says_when_it_does_not(page: Page, hub: StartedHub) -> None:
    feed_with(hub, "Greenhouse", [{"id": "humidity", "current_value": "61"}], tags=["glass"])
    page.goto(f"{hub.url}/#/?q=x")
    page.fill("[role=search] input", "greenh")
    page.click("[role=search] button")
    expect(page.locator(".card")).to_have_count(1)
    expect(page.locator(".card")).to_contain_text("humidity")
    page.fill("[role=search] input", "nothing has this name")
    page.click("[role=search] button")
    expect(page.locator("#count")).to_contain_text("Nothing is found")
    page.go_back()
    page.locator(".card").get_by_role("link", name="glass").click()
    expect(page.locator(".card")).to_have_count(1)
    page.get_by_role("link", name="All tags").click()
    expect(page.get_by_role("link", name="All tags")).to_have_count(0)
    expect(page.locator("#count")).not_to_have_text("1 feed")


def test_the_list_shows_values_as_they_come_and_new_feeds(page: Page, hub: StartedHub) -> None:
    number = feed_with(hub, "Listed", [{"id": "t", "current_value": "1", "unit": {"symbol": "W"}}])
    page.goto(f"{hub.url}/#/?q=listed")
    card = page.locator(f'article[data-feed="{number}"]')
    expect(card).to_contain_text("1 W")
    expect(card.locator("path")).to_have_attribute("data-points", "1")
    expect(page.locator("#live")).to_have_text("live")
    put(hub, number, "t", "1234567.25")
    expect(card).to_contain_text("1\u202f234\u202f567.25 W")
    card.get_by_role("link", name="Listed").click()
    expect(page.locator("h1")).to_have_text("Listed")


def test_many_feeds_come_in_pages(page: Page, hub: StartedHub) -> None:
    for number in range(31):
        feed_with(hub, f"Paged {number}", [])
    page.goto(f"{hub.url}/#/?q=paged")
    expect(page.locator(".card")).to_have_count(30)
    page.get_by_role("link", name="Older").click()
    expect(page.locator(".card")).to_have_count(1)
    expect(page.get_by_label("Pages")).to_contain_text("page 2 of 2")


def test_a_feed_of_fifty_datastreams_asks_for_the_charts_that_are_seen(page: Page, hub: StartedHub) -> None:
    streams = [{"id": f"sensor_{number:02}", "current_value": str(number)} for number in range(50)]
    number = feed_with(hub, "Fifty", streams)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "interval=" in request.url else None)
    page.goto(f"{hub.url}/#/feeds/{number}")
    expect(page.locator(".stream")).to_have_count(50)
    expect(page.locator(".chart").first).to_have_attribute("data-points", "1")
    assert 0 < len(asked) < 20
    last = page.locator(".chart").last
    assert last.get_attribute("data-points") is None
    last.scroll_into_view_if_needed()
    expect(last).to_have_attribute("data-points", "1")
    page.fill("input[name=filter]", "_17")
    expect(page.locator(".stream:visible")).to_have_count(1)


def test_what_is_known_of_a_feed_can_be_changed(page: Page, hub: StartedHub) -> None:
    number = feed_with(hub, "Before", [{"id": "t", "current_value": "5"}], description="old words")
    page.goto(f"{hub.url}/#/feeds/{number}")
    open_details(page, "Settings of the feed")
    for name, text in (("title", "After"), ("description", ""), ("tags", "a, b"), ("lat", "52.1")):
        page.fill(f"#feed-settings input[name={name}]", text)
    page.fill("#feed-settings input[name=lon]", "-0.4")
    page.select_option("#feed-settings select[name=exposure]", "outdoor")
    page.check("#feed-settings input[name=private]")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("h1")).to_have_text("After")
    feed = ask(hub, "GET", f"/feeds/{number}.json")
    assert (feed["title"], feed["private"], feed["tags"]) == ("After", "true", ["a", "b"])
    assert feed.get("description", "") == ""
    assert (feed["location"]["lat"], feed["location"]["exposure"]) == (52.1, "outdoor")


def test_a_datastream_gets_a_unit_and_a_value_and_is_deleted(page: Page, hub: StartedHub) -> None:
    number = feed_with(hub, "Edited", [{"id": "t", "current_value": "5"}, {"id": "u"}])
    page.goto(f"{hub.url}/#/feeds/{number}")
    panel = page.get_by_label("t", exact=True).first
    panel.locator("summary").click()
    panel.locator("[data-form=datastream] input[name=symbol]").fill("m³")
    panel.locator("[data-form=datastream] input[name=tags]").fill("water")
    panel.locator("[data-form=datastream] button").click()
    expect(panel.locator(".value")).to_have_text("5 m³")
    panel.locator("[data-form=send] input[name=value]").fill("6.5")
    panel.locator("[data-form=send] button").click()
    expect(panel.locator(".value")).to_have_text("6.5 m³")
    assert ask(hub, "GET", f"/feeds/{number}/datastreams/t.json")["tags"] == ["water"]
    panel.get_by_role("button", name="Delete datastream").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    assert len(ask(hub, "GET", f"/feeds/{number}.json")["datastreams"]) == 2
    panel.get_by_role("button", name="Delete datastream").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete datastream").click()
    expect(page.locator(".stream")).to_have_count(1)
    assert [one["id"] for one in ask(hub, "GET", f"/feeds/{number}.json")["datastreams"]] == ["u"]


def test_a_feed_is_deleted_after_a_question(page: Page, hub: StartedHub) -> None:
    number = feed_with(hub, "Doomed", [])
    page.goto(f"{hub.url}/#/feeds/{number}")
    open_details(page, "Settings of the feed")
    page.get_by_role("button", name="Delete feed").click()
    expect(page.get_by_role("dialog")).to_contain_text("Delete “Doomed”?")
    page.get_by_role("dialog").get_by_role("button", name="Delete feed").click()
    expect(page.locator("h1")).to_have_text("Feeds")
    assert ask(hub, "GET", "/feeds.json?q=doomed")["totalResults"] == 0


def test_the_whole_history_is_downloaded_as_csv(page: Page, hub: StartedHub) -> None:
    number = feed_with(hub, "Archive", [{"id": "t"}])
    history(hub, number, "t", waves(range(600)))
    page.goto(f"{hub.url}/#/feeds/{number}")
    page.locator(".stream summary").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download all as CSV").click()
    assert download.value.suggested_filename == f"feed-{number}-t.csv"
    assert len(Path(download.value.path()).read_text().splitlines()) == 600


def test_feeds_with_a_place_are_on_the_map(page: Page, hub: StartedHub) -> None:
    feed_with(hub, "In Bedford", [], location={"lat": 52.13, "lon": -0.46, "name": "the lab"})
    feed_with(hub, "Far in the east", [], location={"lat": -33.9, "lon": 179.9})
    page.click("nav >> text=Map")
    dot = page.get_by_role("link", name="In Bedford").first
    expect(dot).to_be_visible()
    picture = page.locator("svg.map")
    wide = picture.get_attribute("viewBox")
    page.get_by_role("button", name="Zoom in").click()
    expect(picture).not_to_have_attribute("viewBox", str(wide))
    page.get_by_role("button", name="All").click()
    expect(picture).to_have_attribute("viewBox", str(wide))
    expect(page.locator("table")).to_contain_text("the lab · 52.13, -0.46")
    dot.focus()
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("In Bedford")


def test_a_feed_that_is_not_there_is_said_to_be_none(context: BrowserContext, hub: StartedHub) -> None:
    page = context.new_page()
    enter(page, hub)
    page.goto(f"{hub.url}/#/feeds/999999")
    expect(page.locator("main")).to_contain_text("There is no such thing")
    assert page.url.endswith("999999")
