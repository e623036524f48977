"""The picture of a relay, and the table of how it is."""

from __future__ import annotations

import io

from attrs import evolve
from rich.console import Console
from twisted.internet.defer import Deferred

from tests.daemon.test_relay_report import BOILER, report, with_hub
from tests.support.program import captured, hub_here, turn
from tests.support.relay_daemon import RelayHere, until
from txbridge.daemon.relay_top import Top, relay_status, relay_top, status_text
from txbridge.daemon.running import DONE, UNREACHABLE
from txbridge.net.reactor import resolve_reactor
from txbridge.relay.status import LinkState


def taken(*reports, seconds=2.0):
    top = Top()
    for number, one in enumerate(reports):
        top.take(one.to_json(), number * seconds)
    return top


def test_a_route_and_its_destinations_are_rows():
    route, hub = taken(report(BOILER)).rows()
    assert route == ("boiler", "working", "", "███░░░ 50 %", "5", "", "", "")
    assert hub == ("  → hub", "working", "", "", "5", "12 s", "100", "3")


def test_the_picture_fits_a_terminal_of_eighty_columns():
    long = with_hub(state=LinkState.AWAY, last_error="word " * 50, oldest_age=90_000.0)
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(taken(report(long), report(long)).picture())
    lines = console.export_text().splitlines()
    (hub,) = [line for line in lines if "→ hub  " in line]
    assert hub.split() == ["→", "hub", "away", "0.0/s", "5", "1", "d", "1", "h", "100", "3"]
    assert "NOT READY" not in lines[0]
    assert any(line.startswith("boiler → hub: word word") for line in lines)


def test_rates_are_of_two_answers():
    later = evolve(BOILER, received=125, destinations=with_hub(delivered=400).destinations)
    route, hub = taken(report(BOILER), report(later)).rows()
    assert (route[2], hub[2]) == ("10.0/s", "150/s")


def test_a_relay_that_was_started_again_has_no_rate_yet():
    later = report(evolve(BOILER, received=1), pid=8)
    assert taken(report(BOILER), later).rows()[0][2] == ""


def test_what_is_wrong_is_told_below():
    def troubles(status):
        return taken(report(status)).troubles()

    assert troubles(BOILER) == ["boiler → hub: refused 1 points: None"]
    away = with_hub(state=LinkState.AWAY, last_error="ConnectError: refused")
    assert troubles(away) == ["boiler → hub: ConnectError: refused"]
    quiet = with_hub(rejected=0, last_error="an error that is over")
    assert troubles(quiet) == []
    assert troubles(evolve(quiet, blocked=True)) == ["boiler: the outbox is full, and the source waits"]
    gone = evolve(quiet, source=LinkState.AWAY, source_error="x", outbox=LinkState.AWAY, outbox_error="y")
    assert troubles(gone) == ["boiler, source: x", "boiler, outbox: y"]
    assert troubles(with_hub(rejected=0, storage=LinkState.AWAY, storage_error="z")) == ["boiler → hub: z"]
    assert troubles(None) == ["attic: OutboxError: no disk"]
    assert taken(report(None)).rows()[0][:2] == ("attic", "needs attention")


def test_the_status_of_a_relay_ends_with_what_is_to_be_done():
    quiet = with_hub(rejected=0)
    text = status_text(report(quiet, None, reload_problems=("relay.toml: x",)).to_json())
    lines = text.splitlines()
    assert lines[0].split() == ["ROUTE", "STATE", "OUTBOX", "WAITS", "OLDEST", "DELIVERED", "LOST"]
    assert lines[-3:] == [
        "NOT ready, up 1 min, process 7",
        "attic: OutboxError: no disk",
        "the last reload changed nothing: relay.toml: x",
    ]


def test_text_of_others_cannot_steer_the_terminal():
    away = with_hub(state=LinkState.AWAY, last_error="\x1b[2J")
    assert "\x1b" not in status_text(report(away).to_json()) + taken(report(away)).lines()


async def test_a_relay_that_does_not_run_is_told(tmp_path):
    terminal = captured()
    assert await relay_status(resolve_reactor(), terminal, str(tmp_path), False) == UNREACHABLE
    assert await relay_top(resolve_reactor(), terminal, str(tmp_path)) == UNREACHABLE
    assert terminal.err.getvalue().count("no relay runs with this state directory") == 2


async def test_top_draws_until_it_is_stopped_and_waits_for_a_relay_that_is_away(tmp_path, monkeypatch):
    monkeypatch.setattr("txbridge.daemon.relay_top.REDRAWN_EVERY", 0.02)
    async with hub_here(tmp_path / "hub") as hub:
        here = RelayHere(tmp_path)
        for watched in (True, False):
            terminal = captured(watched=watched)
            async with here.running(here.route(hub)) as relay:
                await until(lambda relay=relay: relay.report().status)
                top: Deferred[int] = relay_top(here.reactor, terminal, str(tmp_path / "state"))
                await until(lambda terminal=terminal: "boiler" in terminal.out.getvalue())
            await until(lambda terminal=terminal: "trying again" in terminal.err.getvalue())
            await turn(here.reactor, 0.1)
            assert terminal.err.getvalue().count("trying again") == 1
            top.cancel()
            assert await top == DONE
            assert ("\x1b[?1049h" in terminal.out.getvalue()) is watched
