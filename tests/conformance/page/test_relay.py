"""The relay beside the hub, as its owner sees it."""

from __future__ import annotations

import subprocess
import sys

from playwright.sync_api import Page, expect

from tests.support.program import StartedHub

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
