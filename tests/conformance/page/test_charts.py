"""Charts: what they show, and what they ask the hub for."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from playwright.sync_api import Locator, Page, expect

from tests.conformance.page.hub import DRAWN, ask, feed_with, history, put, waves
from tests.support.program import StartedHub


def drag(page: Page, chart: Locator, start: float, end: float) -> None:
    """Draw a window over a chart, in parts of its width."""
    box = chart.locator(".u-over").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * start, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * end, box["y"] + 50, steps=5)
    page.mouse.up()


def seconds_ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()


def test_a_chart_shows_gaps_as_gaps_and_zooms_into_the_history(page: Page, hub: StartedHub) -> None:
    points = [*waves(range(1, 100)), *waves(range(160, 300))]
    number = feed_with(hub, "With a gap", [{"id": "t", "datapoints": points}])
    page.goto(f"{hub.url}/#/feeds/{number}")
    chart = page.locator(".chart").first
    expect(chart).to_have_attribute("data-points", "239")
    expect(chart).to_have_attribute("data-gaps", "1")
    with page.expect_request(lambda request: "interval=0" in request.url and "start=" in request.url):
        drag(page, chart, 0.80, 0.95)
    expect(chart).not_to_have_attribute("data-points", "239")
    expect(chart).to_have_attribute("data-gaps", "0")
    assert 20 < int(chart.get_attribute("data-points") or 0) < 99
    assert "from=" in page.url
    zoomed = chart.get_attribute("data-points")
    page.reload()
    expect(chart).to_have_attribute("data-points", str(zoomed))
    page.get_by_role("button", name="Back to now").click()
    expect(chart).to_have_attribute("data-points", "239")
    page.go_back()
    expect(chart).to_have_attribute("data-points", str(zoomed))


def test_the_keyboard_moves_through_time_as_dragging_does(page: Page, hub: StartedHub) -> None:
    number = feed_with(hub, "By keys", [{"id": "t", "datapoints": waves(range(1, 400))}])
    page.goto(f"{hub.url}/#/feeds/{number}")
    chart = page.locator(".chart").first
    expect(chart).to_have_attribute("data-points", "359")
    page.get_by_role("button", name="Zoom in").press("Enter")
    expect(chart).to_have_attribute("data-points", re.compile(r"^1[78]\d$"))
    page.get_by_role("button", name="Earlier").press("Enter")
    expect(page.get_by_role("button", name="Later")).to_be_enabled()
    expect(page.get_by_role("button", name="Back to now")).to_be_enabled()
    page.get_by_role("button", name="Zoom out").press("Enter")
    expect(chart).to_have_attribute("data-points", re.compile(r"^3\d\d$"))


def test_a_long_time_is_asked_for_at_a_coarse_interval_with_its_extremes(page: Page, hub: StartedHub) -> None:
    number = feed_with(hub, "Long", [{"id": "t", "datapoints": waves(range(0, 20_000, 50))}])
    page.goto(f"{hub.url}/#/feeds/{number}")
    expect(page.locator(".chart").first).to_have_attribute("data-points", "8")
    with (
        page.expect_request(lambda request: "interval=3600" in request.url),
        page.expect_request(lambda request: "function=max" in request.url),
    ):
        page.get_by_role("button", name="30 days").click()
    expect(page.locator(".chart-note").first).to_contain_text("the last of each 1 h")


def test_more_points_than_one_answer_holds_are_thinned_out_and_none_of_the_window_is_left_out(
    page: Page, hub: StartedHub
) -> None:
    number = feed_with(hub, "Dense", [{"id": "t"}])
    points = [
        {"at": seconds_ago(5 * one), "value": str(one)} for one in range(1500, 0, -1)
    ]  # 1 is the newest
    history(hub, number, "t", points)
    page.goto(f"{hub.url}/#/feeds/{number}")
    expect(page.locator(".chart-note")).to_contain_text("the last of each 30 s")
    chart = page.locator(".chart")
    label = chart.get_attribute("aria-label") or ""
    least = float(label.rpartition(" from ")[2].split()[0])
    assert least == 1
    page.get_by_role("button", name="1 h", exact=True).click()
    expect(page.locator(".chart-note")).to_have_text(re.compile(r"^7[12]\d points"))


def test_what_is_written_while_somebody_looks_is_in_the_chart(page: Page, hub: StartedHub) -> None:
    number = feed_with(hub, "Live", [{"id": "t", "datapoints": waves(range(1, 11))}])
    page.goto(f"{hub.url}/#/feeds/{number}")
    chart = page.locator(".chart")
    expect(chart).to_have_attribute("data-points", "10")
    put(hub, number, "t", "23")
    expect(chart).to_have_attribute("data-points", "11")
    batch = {"datapoints": [{"at": seconds_ago(-1 - one), "value": str(one)} for one in range(5)]}
    ask(hub, "POST", f"/feeds/{number}/datastreams/t/datapoints", batch)
    expect(chart).to_have_attribute("data-points", "16")


def test_values_that_are_no_numbers_are_a_band_of_states(page: Page, hub: StartedHub) -> None:
    points = [
        {"at": seconds_ago(600 * (9 - one)), "value": ("idle", "heating", "heating")[one % 3]}
        for one in range(9)
    ]
    number = feed_with(hub, "States", [{"id": "mode", "datapoints": points}])
    page.goto(f"{hub.url}/#/feeds/{number}")
    expect(page.locator(".state")).to_have_text(["idle", "heating"] * 3)
    put(hub, number, "mode", "<i>off</i>")
    expect(page.locator(".state")).to_have_count(7)
    expect(page.locator(".state").last).to_have_text("<i>off</i>")


def test_a_state_that_began_before_the_window_lasts_into_it(page: Page, hub: StartedHub) -> None:
    points = [
        {"at": seconds_ago(3600 * hours), "value": value} for hours, value in ((5, "idle"), (3, "heating"))
    ]
    number = feed_with(hub, "Since before", [{"id": "mode", "datapoints": points}])
    now = datetime.now(UTC).timestamp()
    for begin, end, states in ((4, 2, ["idle", "heating"]), (2, 1, ["heating"])):
        page.goto(f"{hub.url}/#/feeds/{number}?from={now - 3600 * begin:.0f}&to={now - 3600 * end:.0f}")
        expect(page.locator(".state")).to_have_text(states)


def test_the_greatest_numbers_there_are_have_a_line(page: Page, hub: StartedHub) -> None:
    points = [{"at": seconds_ago(60 * one), "value": f"{'-' * (one % 2)}1.7e308"} for one in range(1, 9)]
    number = feed_with(hub, "Huge", [{"id": "t", "datapoints": points}])
    page.goto(f"{hub.url}/#/feeds/{number}")
    expect(page.locator(".chart")).to_have_attribute("data-points", "8")
    page.wait_for_function(DRAWN, arg="0b6e6e")
    page.goto(f"{hub.url}/#/?q=Huge")
    expect(page.locator(".spark path").first).to_have_attribute("d", re.compile(r"^M[^N]*$"))


def test_an_empty_window_leads_to_what_was_written_last(page: Page, hub: StartedHub) -> None:
    number = feed_with(hub, "Silent", [{"id": "t", "datapoints": waves(range(3000, 3010))}])
    page.goto(f"{hub.url}/#/feeds/{number}")
    expect(page.locator(".chart-note")).to_contain_text("no points in this time")
    expect(page.get_by_role("button", name="6 h")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Show the latest").click()
    expect(page.locator(".chart")).to_have_attribute("data-points", "10")


def test_pointing_at_a_chart_tells_the_value_there(page: Page, hub: StartedHub) -> None:
    number = feed_with(
        hub, "Pointed", [{"id": "t", "unit": {"symbol": "K"}, "datapoints": waves(range(1, 300))}]
    )
    page.goto(f"{hub.url}/#/feeds/{number}")
    chart = page.locator(".chart")
    expect(chart).to_have_attribute("data-points", "299")
    note = page.locator(".chart-note")
    height = note.bounding_box()
    chart.locator(".u-over").hover()
    expect(note.locator("b")).to_contain_text(" K")
    assert note.bounding_box() == height
    page.mouse.move(5, 5)
    expect(note).to_have_text("299 points")


def test_what_has_just_begun_is_shown_closely_and_numbers_are_readable(page: Page, hub: StartedHub) -> None:
    streams = [
        {"id": "free", "current_value": "80343707648", "unit": {"symbol": "B"}},
        {"id": "load", "current_value": "51.5789473681671", "unit": {"symbol": "%"}},
    ]
    number = feed_with(hub, "Young", streams)
    page.goto(f"{hub.url}/#/feeds/{number}")
    expect(page.get_by_role("button", name="10 min")).to_have_attribute("aria-pressed", "true")
    expect(page.locator('[data-stream="free"]')).to_have_text("80.34 GB")
    expect(page.locator('[data-stream="load"]')).to_have_text("51.57895 %")
    expect(page.locator('[data-stream="load"]')).to_have_attribute("title", "51.5789473681671")


def test_the_steps_of_an_axis_are_written_as_they_are(page: Page, hub: StartedHub) -> None:
    number = feed_with(
        hub, "One pump", [{"id": "flow", "datapoints": [{"at": seconds_ago(60), "value": "4.5"}]}]
    )
    page.add_init_script(
        """window.written = new Set();
        const write = CanvasRenderingContext2D.prototype.fillText;
        CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
          window.written.add(text);
          return write.call(this, text, ...rest);
        };"""
    )
    page.goto(f"{hub.url}/#/feeds/{number}")
    page.reload()
    expect(page.locator(".chart").first).to_have_attribute("data-points", "1")
    page.wait_for_function("window.written.has('2.5') && window.written.has('7.5')")
