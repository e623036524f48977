"""Phones, keyboards, and those who cannot see the page."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.conformance.page.hub import DRAWN, ask, enter, feed_with, put, waves
from tests.support.program import StartedHub

VIEWS = ("", "map", "keys", "triggers", "projects", "products", "accounts", "relay")

NAMELESS = """() => [...document.querySelectorAll("input, select, button, a, [role=img], summary")]
    .filter((one) => one.offsetParent !== null)
    .filter((one) => !(one.labels?.length || one.getAttribute("aria-label") || one.textContent.trim()))
    .map((one) => one.outerHTML)"""

# The contrast of each text with what is behind it, after WCAG; 4.5 is enough for small letters.
FAINT = """() => {
  const channel = (one) => (one /= 255) <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4;
  const read = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = read(getComputedStyle(one).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || element.offsetParent === null || element.closest(":disabled")) continue;
    const [one, two] = [light(read(getComputedStyle(element).color)), light(behind(element))];
    const contrast = (Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05);
    if (contrast < 4.5) found.push(`${contrast.toFixed(2)} ${element.outerHTML.slice(0, 90)}`);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def number(hub: StartedHub) -> str:
    streams = [{"id": "long_" * 30, "datapoints": waves(range(30))}, {"id": "mode", "current_value": "on"}]
    return feed_with(hub, "A" * 200, streams, tags=["one", "two"], location={"lat": 1, "lon": 2})


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_it_without_scrolling_sideways_and_everybody_can_read_it(
    browser: Browser, hub: StartedHub, number: str, scheme: Any
) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740}, color_scheme=scheme)
    trigger = {"environment_id": int(number), "stream_id": "mode", "trigger_type": "change"}
    ask(hub, "POST", "/triggers", {**trigger, "url": f"https://hook.example/{'x' * 200}"})
    page = context.new_page()
    enter(page, hub)
    expect(page.locator("#live")).to_have_text("live")
    for address in (*VIEWS, f"feeds/{number}"):
        page.goto(f"{hub.url}/#/{address}")
        expect(page.locator("main:not([aria-busy]) h1")).to_be_visible()
        for summary in page.locator("main summary").all():
            summary.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, address
        assert page.evaluate(NAMELESS) == [], address
        assert page.evaluate(FAINT) == [], address
    context.close()


def test_a_finger_that_moves_sideways_over_a_chart_zooms(
    browser: Browser, hub: StartedHub, number: str
) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    enter(page, hub)
    page.goto(f"{hub.url}/#/feeds/{number}")
    chart = page.locator(".chart").first
    chart.scroll_into_view_if_needed()
    expect(chart).to_have_attribute("data-points", "30")
    over = chart.locator(".u-over")
    over.scroll_into_view_if_needed()
    box = over.bounding_box()
    assert box is not None
    touches = context.new_cdp_session(page)
    for kind, part in (("touchStart", 0.5), ("touchMove", 0.7), ("touchMove", 0.9), ("touchEnd", None)):
        points = [] if part is None else [{"x": box["x"] + box["width"] * part, "y": box["y"] + 40}]
        touches.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    expect(page.get_by_role("button", name="Back to now")).to_be_enabled()
    assert "from=" in page.url
    context.close()


def test_the_keyboard_gets_to_the_content_and_through_a_question(
    page: Page, hub: StartedHub, number: str
) -> None:
    page.goto(f"{hub.url}/#/feeds/{number}")
    expect(page.locator("h1")).to_have_text("A" * 200)
    page.locator(".brand").focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    expect(page.locator("h1")).to_have_text("A" * 200)
    page.locator("summary", has_text="Settings of the feed").press("Enter")
    page.get_by_role("button", name="Delete feed").press("Enter")
    expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("button", name="Delete feed")).to_be_focused()


def test_nothing_moves_when_charts_and_values_come(page: Page, hub: StartedHub) -> None:
    number = feed_with(
        hub, "Still", [{"id": f"s{one}", "datapoints": waves(range(1, 50))} for one in range(4)]
    )
    page.add_init_script("""
        window.moved = 0;
        new PerformanceObserver((list) => list.getEntries().forEach((one) => (window.moved += one.value)))
            .observe({ type: "layout-shift", buffered: true });
    """)
    page.goto(f"{hub.url}/#/feeds/{number}")
    page.reload()
    expect(page.locator(".chart").last).to_have_attribute("data-points", "49")
    put(hub, number, "s1", "22.5")
    expect(page.locator('[data-stream="s1"]')).to_contain_text("22.5")
    assert page.evaluate("window.moved") < 0.02


def test_changing_from_light_to_dark_draws_the_charts_anew(page: Page, hub: StartedHub) -> None:
    number = feed_with(hub, "Evening", [{"id": "t", "datapoints": waves(range(1, 50))}])
    page.goto(f"{hub.url}/#/feeds/{number}")
    expect(page.locator(".chart")).to_have_attribute("data-points", "49")
    before = page.locator(".chart canvas").screenshot()
    page.emulate_media(color_scheme="dark")
    expect(page.locator("body")).to_have_css("background-color", "rgb(17, 23, 28)")
    page.wait_for_function(DRAWN, arg="35b3ad")
    assert page.locator(".chart canvas").screenshot() != before


def test_a_phone_shows_all_links_and_no_frame_around_what_a_key_opens(
    browser: Browser, hub: StartedHub
) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page = context.new_page()
    enter(page, hub)
    for name in ("Feeds", "Map", "Triggers", "Keys", "Projects", "Products", "Accounts", "Relay"):
        expect(page.locator("#nav").get_by_role("link", name=name)).to_be_in_viewport(ratio=1)
    page.locator("#nav").get_by_role("link", name="Relay").press("Enter")
    expect(page.locator("main")).to_be_focused()
    expect(page.locator("main")).to_have_css("outline-style", "none")
    context.close()
