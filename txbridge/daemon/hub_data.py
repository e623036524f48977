"""What is done with a hub's data on this machine: copied, exported, imported.

The work blocks, so it is done in a thread.  A signal stops it between two steps, and it leaves nothing
behind.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any, BinaryIO, TypeVar

from attrs import asdict, define, field
from twisted.internet.defer import CancelledError

from txbridge.daemon.assembly import make_data_dir
from txbridge.daemon.render import json_text
from txbridge.daemon.running import DONE
from txbridge.daemon.terminal import Report, Terminal
from txbridge.hub.auth import KEY_FILE
from txbridge.hub.backup import Told, back_up
from txbridge.hub.transfer_export import export_folder, export_tar
from txbridge.hub.transfer_import import Imported, Source, import_into
from txbridge.net.deferred import deferred
from txbridge.relay.worker import WorkerThread

__all__ = ["backup", "export", "take"]

T = TypeVar("T")


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


@deferred
async def export(
    reactor: Any, terminal: Terminal, store: Path, target: Path | BinaryIO, as_json: bool
) -> int:
    """Write everything that a store knows.

    Args:
        reactor: For being stopped meanwhile.
        terminal: Where to say how it goes; when stdout takes the archive, all of it goes to stderr.
        store: The store's file.
        target: A folder, or a file that takes an archive.
        as_json: JSON instead of text.
    """

    def work(told: Told, is_stopped: Callable[[], bool]) -> Mapping[str, int]:
        if isinstance(target, Path):
            return export_folder(store, target, told, is_stopped).rows
        return export_tar(store, target, told, is_stopped).rows

    rows = await _work(reactor, terminal, "exporting", "points", work)
    if not isinstance(target, Path):
        terminal.say(f"exported {_listed(rows)}")
    elif as_json:
        terminal.give(json_text({"directory": str(target), "rows": rows}))
    else:
        terminal.give(f"exported {_listed(rows)} to {target}\n")
    return DONE


@deferred
async def take(
    reactor: Any,
    terminal: Terminal,
    store: Path,
    source: Callable[[], Source],
    *,
    merge: bool,
    as_json: bool,
) -> int:
    """Take an export into a store.

    Args:
        reactor: For being stopped meanwhile.
        terminal: Where to say how it goes.
        store: The store's file; its folder is made if there is none.
        source: Opens the export; called in a thread.
        merge: Whether the store may have something already.
        as_json: JSON instead of text.
    """

    def work(told: Told, is_stopped: Callable[[], bool]) -> tuple[Imported, bool]:
        opened = source()
        make_data_dir(store.parent)
        done = import_into(store, opened, merge=merge, told=told, is_stopped=is_stopped)
        return done, (store.parent / KEY_FILE).exists()

    done, has_key = await _work(reactor, terminal, "importing", "bytes", work)
    if as_json:
        terminal.give(json_text({"data": str(store.parent), "rows": done.rows, "known": done.known}))
        return DONE
    terminal.give(f"imported {_listed(done.rows)} into {store.parent}\n")
    if done.known:
        terminal.give(f"already there: {_listed(done.known)}\n")
    if not has_key:
        terminal.say(f"{KEY_FILE} is no part of an export: copy it to {store.parent} from where the hub was")
    return DONE


# ------------------------------------------------------------------------------ what all of them do


async def _work(
    reactor: Any,
    terminal: Terminal,
    what: str,
    unit: str,
    work: Callable[[Told, Callable[[], bool]], T],
) -> T:
    """Do something in a thread until it is done, or nobody wants it any more and it has stopped."""
    stopped = Event()
    finished: list[T] = []
    thread = WorkerThread(reactor, "transfer")
    try:
        with terminal.progress(what, 1.0) as report:
            rate = _Rate(report, unit)
            await thread.run(lambda: finished.append(work(rate, stopped.is_set)))
    except CancelledError:
        stopped.set()
        await thread.close()
        if not finished:  # else it was too late to stop it
            terminal.say("stopped; nothing is left of it")
            raise
    finally:
        await thread.close()
    return finished[0]


@define
class _Rate:
    """Shows how much is done and how fast; called in the thread that does it."""

    _report: Report
    _unit: str
    _since: float = field(factory=monotonic)

    def __call__(self, done: float, total: float) -> None:
        seconds = monotonic() - self._since
        rate = _amount(done / seconds, self._unit) if seconds else ""
        # Of what nobody knows the length of, the bar shows how much it is, and no part.
        self._report(done / total if total else 0.0, f"{_amount(done, self._unit)}, {rate}/s")


def _amount(count: float, unit: str) -> str:
    """A number for people."""
    if unit != "bytes":
        return f"{count:,.0f} {unit}"
    return f"{count / 1e6:,.1f} MB" if count >= 1e6 else f"{count / 1e3:,.1f} kB"


def _listed(rows: Mapping[str, int]) -> str:
    """How much of what there is, for people."""
    named = {name: name.replace("_", " ") for name in rows}
    found = [
        f"{count:,} {named[name].removesuffix('s') if count == 1 else named[name]}"
        for name, count in rows.items()
        if count
    ]
    return ", ".join(found) if found else "nothing"
