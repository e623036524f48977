"""How a relay is, as a table, and as a picture that changes.

Each destination is a row below the row of its route.  The age of the oldest item that was not delivered
is what to look at: whatever is wrong between two platforms, it grows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from attrs import define, field
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text
from twisted.internet.defer import CancelledError
from twisted.internet.task import deferLater

from txbridge.daemon.relay_control import ask_relay
from txbridge.daemon.render import clean, json_text, length_of_time
from txbridge.daemon.render import table as text_table
from txbridge.daemon.running import DONE, UNREACHABLE
from txbridge.daemon.terminal import Terminal
from txbridge.errors import BridgeError, ConnectError
from txbridge.net.deferred import deferred

__all__ = ["Top", "relay_status", "relay_top", "status_text"]

REDRAWN_EVERY = 1.0  # seconds
BAR = 6  # cells
_STYLES = {
    "working": "green",
    "starting": "dim",
    "away": "yellow",
    "needs_attention": "bold red",
    "ended": "dim",
    "stopped": "dim",
}
_TROUBLE = ("away", "needs_attention")
_HEADER = ("route", "state", "rate", "outbox", "waits", "oldest", "delivered", "lost")
_RIGHT = frozenset(("rate", "waits", "oldest", "delivered", "lost"))


@define
class Top:
    """Makes rows of what a relay says, and rates of two answers.

    Attributes:
        report: What it said last.
    """

    report: Mapping[str, Any] | None = None
    _at: float = 0.0
    _before: dict[tuple[str, str], int] = field(factory=dict)
    _rates: dict[tuple[str, str], float] = field(factory=dict)

    def take(self, report: Mapping[str, Any], now: float) -> None:
        """Take an answer that came now."""
        counts: dict[tuple[str, str], int] = {}
        for route in report["routes"]:
            status = route["status"]
            if status is not None:
                counts[route["name"], ""] = status["received"]
                counts |= {(route["name"], one["name"]): one["delivered"] for one in status["destinations"]}
        passed = now - self._at
        if self.report is not None and passed > 0:
            same = self.report["pid"] == report["pid"]
            self._rates = {
                # A route that was made again counts from the beginning.
                key: max(0, count - self._before[key]) / passed
                for key, count in counts.items()
                if same and key in self._before
            }
        self.report, self._at, self._before = report, now, counts

    def rows(self) -> list[tuple[str, ...]]:
        """The rows, as `_HEADER` has their columns."""
        rows: list[tuple[str, ...]] = []
        for route in self.report["routes"] if self.report is not None else ():
            rows += self._of_route(route)
        return rows

    def troubles(self) -> list[str]:
        """What is wrong now, a line each."""
        lines: list[str] = []
        for route in self.report["routes"] if self.report is not None else ():
            name, status = route["name"], route["status"]
            if status is None:
                lines += [f"{name}: {route['problem']}"] if route["problem"] else []
                continue
            for what in ("source", "outbox"):
                if status[what] in _TROUBLE:
                    lines.append(f"{name}, {what}: {status[f'{what}_error']}")
            if status["blocked"]:
                lines.append(f"{name}: the outbox is full, and the source waits")
            for one in status["destinations"]:
                for state, error in (("state", "last_error"), ("storage", "storage_error")):
                    if one[state] in _TROUBLE:
                        lines.append(f"{name} → {one['name']}: {one[error]}")
                if one["rejected"] and one["state"] not in _TROUBLE:
                    lines.append(
                        f"{name} → {one['name']}: refused {one['rejected']} points: {one['last_error']}"
                    )
        return lines

    def picture(self) -> Group:
        """The rows and what is wrong as a picture."""
        drawn = Table(box=None, pad_edge=False, header_style="bold")
        for name in _HEADER:
            drawn.add_column(name, justify="right" if name in _RIGHT else "left", no_wrap=True)
        for row in self.rows():
            cells = [Text(clean(cell)) for cell in row]
            cells[1].stylize(_STYLES.get(row[1].replace(" ", "_"), ""))
            cells[3].stylize("cyan")
            cells[7].stylize("red")
            drawn.add_row(*cells)
        report = self.report
        if report is None:
            return Group(drawn)
        title = Text(f"txbridge relay, process {report['pid']}, up {length_of_time(report['uptime'])}, ")
        title.append("ready" if report["ready"] else "NOT READY", "green" if report["ready"] else "bold red")
        troubles = [Text(clean(line), style="yellow") for line in self.troubles()]
        return Group(title, Text(), drawn, Text(), *troubles)

    def lines(self) -> str:
        """The rows and what is wrong as lines, for who reads a log."""
        rows = [" ".join(cell for cell in row if cell).strip() for row in self.rows()]
        return "".join(f"{clean(line)}\n" for line in [*rows, *self.troubles()])

    def _of_route(self, route: Mapping[str, Any]) -> list[tuple[str, ...]]:
        name, status = route["name"], route["status"]
        if status is None:
            return [(name, "needs attention" if route["problem"] else "starting", "", "", "", "", "", "")]
        lost: dict[str, int] = {}
        for one in route["losses"]:
            lost[one["destination"]] = lost.get(one["destination"], 0) + one["points"]
        rows: list[tuple[str, ...]] = [
            (
                name,
                status["source"].replace("_", " "),
                self._rate(name, ""),
                _bar(status["outbox_bytes"], status["outbox_max_bytes"]),
                str(status["outbox_points"]),
                "",
                "",
                str(lost.get("") or ""),
            )
        ]
        for one in status["destinations"]:
            oldest = one["oldest_age"]
            rows.append(
                (
                    f"  → {one['name']}",
                    one["state"].replace("_", " "),
                    self._rate(name, one["name"]),
                    "",
                    str(one["pending_points"]),
                    "" if oldest is None else length_of_time(oldest),
                    str(one["delivered"]),
                    str(lost.get(one["name"]) or ""),
                )
            )
        return rows

    def _rate(self, route: str, destination: str) -> str:
        rate = self._rates.get((route, destination))
        return "" if rate is None else f"{rate:.1f}/s" if rate < 100 else f"{rate:.0f}/s"


def status_text(report: Mapping[str, Any]) -> str:
    """What a relay says, as a table and what is to be said besides."""
    top = Top()
    top.take(report, 0.0)
    shown = [index for index, name in enumerate(_HEADER) if name != "rate"]
    header = [_HEADER[index] for index in shown]
    rows = [[row[index] for index in shown] for row in top.rows()]
    ready, up = ("ready" if report["ready"] else "NOT ready"), length_of_time(report["uptime"])
    said = [f"{ready}, up {up}, process {report['pid']}", *top.troubles()]
    said += [f"the last reload changed nothing: {problem}" for problem in report["reload_problems"]]
    to_right = [index for index, name in enumerate(header) if name in _RIGHT]
    return text_table(header, rows, right=to_right) + "\n" + "".join(f"{clean(line)}\n" for line in said)


@deferred
async def relay_status(reactor: Any, terminal: Terminal, state: str, as_json: bool) -> int:
    """Show how a relay is.

    Args:
        reactor: Asks it.
        terminal: Where to show it.
        state: Its state directory.
        as_json: As it says it, instead of a table.
    """
    try:
        report = await ask_relay(reactor, state)
    except ConnectError as error:
        terminal.say(str(error))
        return UNREACHABLE
    terminal.give(json_text(report) if as_json else status_text(report))
    return DONE


@deferred
async def relay_top(reactor: Any, terminal: Terminal, state: str) -> int:
    """Show a relay until it is stopped; a relay that is away is waited for.

    Args:
        reactor: Where.
        terminal: Where to show it: a picture for a person, else lines.
        state: The relay's state directory.
    """
    top = Top()
    try:
        top.take(await ask_relay(reactor, state), reactor.seconds())
    except ConnectError as error:
        terminal.say(str(error))
        return UNREACHABLE
    was_there = True
    try:
        with _screen(terminal) as show:
            while True:
                show(top)
                await deferLater(reactor, REDRAWN_EVERY)
                try:
                    top.take(await ask_relay(reactor, state), reactor.seconds())
                except BridgeError as error:
                    if was_there:
                        terminal.say(f"{error}; trying again")
                    was_there = False
                else:
                    was_there = True
    except CancelledError:
        return DONE


@contextmanager
def _screen(terminal: Terminal) -> Iterator[Any]:
    if not terminal.is_interactive:
        yield lambda top: terminal.give(top.lines())
        return
    console = Console(file=terminal.out)
    with Live(console=console, auto_refresh=False, screen=True) as live:
        yield lambda top: live.update(top.picture(), refresh=True)


def _bar(nbytes: int, most: int) -> str:
    part = min(1.0, nbytes / most) if most else 0.0
    cells = round(part * BAR)
    return f"{'█' * cells}{'░' * (BAR - cells)} {part * 100:.0f} %"
