"""The words of ``txbridge outbox`` and ``txbridge relay ledger``, and what they start."""

from __future__ import annotations

import argparse
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from txbridge.daemon.config import instant_or_ago
from txbridge.daemon.doctor import doctor
from txbridge.daemon.outbox import RelayPlace, export, list_losses, list_outboxes, requeue, verify
from txbridge.daemon.relay_config import RelayConfig, relay_state_dir
from txbridge.daemon.relay_files import load_relay_config
from txbridge.daemon.subcommands import Command, add_command
from txbridge.errors import ConfigError
from txbridge.model.instants import to_nanoseconds
from txbridge.relay.ledger import LIMIT, LedgerFilter
from txbridge.relay.roles import LossKind

__all__ = ["add_ledger", "add_outbox"]

CONFIG_FILE = "relay.toml"

_STATE = """\
The state directory is the one that --state or the file names; without a file the one that a relay has
whose file names none.  Everything works while the relay runs, and when it does not.
"""


def add_outbox(subparsers: Any) -> None:
    """Add ``outbox`` to the commands."""
    added = add_command(
        subparsers,
        "outbox",
        "look at what a relay keeps: what waits, what was refused, whether it is sound",
        _alone,
        """\
examples:
  txbridge outbox ls
  txbridge outbox doctor
  txbridge outbox export kitchen --dead --json
  txbridge outbox requeue kitchen 3 4
""",
    )
    actions = added.add_subparsers(metavar="ACTION", required=True)
    listing = add_command(actions, "ls", "list what waits for whom, and the dead letters", _ls, _STATE)
    _add_route(listing, optional=True)
    _add_destination(listing)
    exporting = add_command(
        actions,
        "export",
        "write what a route keeps to stdout",
        _export,
        f"""\
JSON has everything, a line for each row, gap, description and note; CSV has the rows, with their stream,
instant, column and value.  Damaged parts are told on stderr, and make the exit status 1.

{_STATE}""",
    )
    _add_route(exporting)
    _add_destination(exporting)
    exporting.add_argument("--dead", action="store_true", help="the dead letters instead of what waits")
    exporting.add_argument("--csv", action="store_true", help="rows as CSV (default: JSON, a line each)")
    sending = add_command(
        actions,
        "requeue",
        "send dead letters again to who refused them",
        _requeue,
        f"""\
A running relay does so within seconds, and one that is stopped when it is started.  What is refused again
becomes a dead letter again.

{_STATE}""",
    )
    _add_route(sending)
    sending.add_argument("letters", metavar="LETTER", nargs="*", type=int, help="its number, as ls has it")
    sending.add_argument("--all", action="store_true", help="every letter of the route")
    _add_destination(sending)
    verifying = add_command(
        actions,
        "verify",
        "read everything, and tell what is damaged",
        _verify,
        f"The exit status is 1 if anything is.\n\n{_STATE}",
    )
    _add_route(verifying, optional=True)
    examining = add_command(
        actions,
        "doctor",
        "tell whether all is well, how long the outboxes last, and what to do",
        _doctor,
        f"The exit status is 1 if there is something to do.\n\n{_STATE}",
    )
    examining.add_argument(
        "--quick", action="store_true", help="do not read what waits to see if it is sound"
    )
    for action in (listing, exporting, sending, verifying, examining):
        _add_common(action)


def add_ledger(actions: Any) -> None:
    """Add ``ledger`` to the actions of ``relay``."""
    added = add_command(
        actions,
        "ledger",
        "show what a relay lost, when, and why",
        _ledger,
        f"""\
Every loss is here: what an outbox had no room for, what was too old, what a destination refused, what
could not be read, what a conversion left out, what a source could not give.

examples:
  txbridge relay ledger --since 1day
  txbridge relay ledger --sums
  txbridge relay ledger --route kitchen --stream 'temp*' --json

{_STATE}""",
    )
    added.add_argument("--route", metavar="NAME", help="only of this route")
    _add_destination(added)
    added.add_argument("--kind", choices=[kind.value for kind in LossKind], help="only of this kind")
    added.add_argument("--stream", metavar="PATTERN", help="only of streams like this, such as 'temp*'")
    added.add_argument("--since", metavar="INSTANT", help="only what was lost since then, or for so long")
    added.add_argument("--limit", metavar="N", type=_positive, default=LIMIT, help="at most (%(default)s)")
    added.add_argument("--oldest-first", action="store_true", help="begin with the oldest")
    added.add_argument("--sums", action="store_true", help="sums per route, destination and kind")
    _add_common(added)


def _add_route(added: argparse.ArgumentParser, *, optional: bool = False) -> None:
    if optional:
        added.add_argument("route", metavar="ROUTE", nargs="?", help="only this route")
    else:
        added.add_argument("route", metavar="ROUTE")


def _add_destination(added: argparse.ArgumentParser) -> None:
    added.add_argument("--destination", metavar="NAME", help="only of this destination")


def _add_common(added: argparse.ArgumentParser) -> None:
    added.add_argument("--config", metavar="FILE", help=f"the relay's configuration (default: {CONFIG_FILE})")
    added.add_argument("--state", metavar="DIR", help="the relay's state directory, instead of --config")
    added.add_argument("--json", action="store_true", help="JSON instead of text")
    added.add_argument("-v", "--verbose", action="store_true", help="say on stderr what happens")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


# ------------------------------------------------------------------------------------ what is meant


def _alone(arguments: argparse.Namespace) -> Command:
    raise ConfigError(["say what to do with the outbox; see 'txbridge outbox --help'"])


def _place(arguments: argparse.Namespace) -> tuple[RelayPlace, RelayConfig | None]:
    config = None
    if arguments.config is not None or (arguments.state is None and os.path.exists(CONFIG_FILE)):
        config = load_relay_config(arguments.config or CONFIG_FILE, os.environ)
    state = arguments.state or (config.state if config is not None else relay_state_dir(os.environ))
    if state is None:
        raise ConfigError(["--state: say which is the relay's state directory"])
    return RelayPlace(Path(state)), config


def _ls(arguments: argparse.Namespace) -> Command:
    place, _ = _place(arguments)
    return lambda reactor, terminal: list_outboxes(
        terminal, place, arguments.route, arguments.destination, arguments.json
    )


def _export(arguments: argparse.Namespace) -> Command:
    place, _ = _place(arguments)
    if arguments.csv and arguments.json:
        raise ConfigError(["--csv and --json: one of them"])
    return lambda reactor, terminal: export(
        reactor,
        terminal,
        place,
        arguments.route,
        arguments.destination,
        letters=arguments.dead,
        as_csv=arguments.csv,
    )


def _requeue(arguments: argparse.Namespace) -> Command:
    place, _ = _place(arguments)
    if bool(arguments.letters) is arguments.all:
        raise ConfigError(["say the numbers of the letters, or --all"])
    numbers = None if arguments.all else arguments.letters
    return lambda reactor, terminal: requeue(
        terminal, place, arguments.route, arguments.destination, numbers, arguments.json
    )


def _verify(arguments: argparse.Namespace) -> Command:
    place, _ = _place(arguments)
    return lambda reactor, terminal: verify(reactor, terminal, place, arguments.route, arguments.json)


def _doctor(arguments: argparse.Namespace) -> Command:
    place, config = _place(arguments)
    return lambda reactor, terminal: doctor(
        reactor, terminal, place, config, quick=arguments.quick, as_json=arguments.json
    )


def _ledger(arguments: argparse.Namespace) -> Command:
    place, _ = _place(arguments)
    since = None
    if arguments.since is not None:
        since = to_nanoseconds(instant_or_ago("--since", arguments.since, datetime.now(UTC)))
    wanted = LedgerFilter(
        route=arguments.route,
        destination=arguments.destination,
        kind=arguments.kind,
        stream=arguments.stream,
        since_ns=since,
    )
    return lambda reactor, terminal: list_losses(
        terminal,
        place,
        wanted,
        limit=arguments.limit,
        oldest_first=arguments.oldest_first,
        sums=arguments.sums,
        as_json=arguments.json,
    )
