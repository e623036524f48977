"""What can be said below ``txbridge hub``, and what it does to a hub's data on this machine.

The work blocks, so it is done in a thread.  A signal stops it between two steps, and it leaves nothing
behind.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any, TypeVar

from attrs import asdict, define, field
from twisted.internet.defer import CancelledError

from txbridge.daemon.assembly import STORE_FILE
from txbridge.daemon.render import json_text
from txbridge.daemon.running import DONE
from txbridge.daemon.subcommands import Command, add_command
from txbridge.daemon.terminal import Report, Terminal
from txbridge.errors import ConfigError
from txbridge.hub.backup import Told, back_up
from txbridge.net.deferred import deferred
from txbridge.relay.worker import WorkerThread

__all__ = ["add_hub_actions", "backup"]

T = TypeVar("T")

_DATA = """\
The data is that of --data, or where a hub has it whose --data is not given.
"""


def add_hub_actions(added: argparse.ArgumentParser) -> None:
    """Add what can be done with a hub beside running it.

    Args:
        added: The parser of ``txbridge hub``.
    """
    actions = added.add_subparsers(metavar="[ACTION]", title="actions")
    backing = add_command(
        actions,
        "backup",
        "copy the data of a hub, which may be running, to one file",
        _backup,
        f"""\
The copy is of the moment at which the command began, and has everything that the hub had acknowledged by
then.  It is checked before it gets its name.  To go back to it, stop the hub, and put it in the place of
hub.sqlite.

{_DATA}
examples:
  txbridge hub backup /backups/hub-monday.sqlite
  txbridge hub backup --data /var/lib/txbridge /backups/hub-monday.sqlite
""",
    )
    backing.add_argument("file", metavar="FILE", help="the copy; there must be none yet")
    for action in (backing,):
        _add_common(action)


def _add_common(action: argparse.ArgumentParser) -> None:
    # What was said before the action's name holds unless it is said again.
    action.add_argument(
        "--data", metavar="DIR", default=argparse.SUPPRESS, help="where the hub keeps its data"
    )
    action.add_argument("--json", action="store_true", help="the summary as JSON")
    action.add_argument(
        "--verbose", action="store_true", default=argparse.SUPPRESS, help="log more to stderr"
    )
    action.set_defaults(log_edges=False)


def _store(arguments: argparse.Namespace) -> Path:
    if arguments.data is None:
        raise ConfigError(["--data: say where the hub keeps its data"])
    return Path(arguments.data) / STORE_FILE


# --------------------------------------------------------------------------------------- backup


def _backup(arguments: argparse.Namespace) -> Command:
    store, target = _store(arguments), Path(arguments.file)
    return lambda reactor, terminal: backup(reactor, terminal, store, target, arguments.json)


@deferred
async def backup(reactor: Any, terminal: Terminal, store: Path, target: Path, as_json: bool) -> int:
    """Copy a store to a file.

    Args:
        reactor: For being stopped meanwhile.
        terminal: Where to say how it goes.
        store: The store's file.
        target: The copy.
        as_json: JSON instead of text.
    """
    done = await _work(
        reactor,
        terminal,
        "copying",
        "bytes",
        lambda told, is_stopped: back_up(store, target, told, is_stopped),
    )
    if as_json:
        terminal.give(json_text({"file": str(target), **asdict(done)}))
    else:
        terminal.give(f"copied {store} to {target}: {_amount(done.bytes, 'bytes')}, checked\n")
    return DONE


# ------------------------------------------------------------------------------ what all of them do


async def _work(
    reactor: Any,
    terminal: Terminal,
    what: str,
    unit: str,
    work: Callable[[Told, Callable[[], bool]], T],
    *,
    gives: bool = False,
) -> T:
    """Do something in a thread until it is done, or nobody wants it any more and it has stopped."""
    stopped = Event()
    thread = WorkerThread(reactor, "transfer")
    try:
        with terminal.progress(what, 1.0, gives=gives) as report:
            rate = _Rate(report, unit)
            return await thread.run(lambda: work(rate, stopped.is_set))
    except CancelledError:
        stopped.set()
        raise
    finally:
        await thread.close()


@define
class _Rate:
    """Shows how much is done and how fast; called in the thread that does it."""

    _report: Report
    _unit: str
    _since: float = field(factory=monotonic)

    def __call__(self, done: float, total: float) -> None:
        seconds = monotonic() - self._since
        rate = _amount(done / seconds, self._unit) if seconds else ""
        self._report(done / total if total else 1.0, f"{_amount(done, self._unit)}, {rate}/s")


def _amount(count: float, unit: str) -> str:
    """A number for people."""
    if unit != "bytes":
        return f"{count:,.0f} {unit}"
    return f"{count / 1e6:,.1f} MB" if count >= 1e6 else f"{count / 1e3:,.1f} kB"
