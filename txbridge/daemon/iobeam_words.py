"""The words of ``txbridge iobeam``, and what they start."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from twisted.internet.defer import Deferred

from txbridge.daemon import assembly, iobeam
from txbridge.daemon.commands import Form
from txbridge.daemon.config import IobeamConfig, instant_or_ago, iobeam_config
from txbridge.daemon.iobeam_readings import Reading, read_argument
from txbridge.daemon.keys import key_text
from txbridge.daemon.stdin import opened
from txbridge.daemon.subcommands import Command, add_command, add_json, add_verbose
from txbridge.daemon.terminal import Terminal
from txbridge.errors import ConfigError
from txbridge.iobeam import Client
from txbridge.iobeam.errors import BadArgument
from txbridge.iobeam.structures import QueryReq, Timestamp, TimeUnit, Value, check_device_id
from txbridge.model.instants import shorten, to_microseconds
from txbridge.net.deferred import deferred

__all__ = ["add_iobeam"]

ENVIRONMENT = """\
environment:
  TXBRIDGE_IOBEAM_URL         where the service is (the hub of TXBRIDGE_URL unless given)
  TXBRIDGE_IOBEAM_TOKEN       the token of a project; 'txbridge hub token create' makes one
  TXBRIDGE_IOBEAM_TOKEN_FILE  a file that holds it
  TXBRIDGE_IOBEAM_PROJECT     the project's number (the one that the token names unless given)
"""

OPERATORS = ("sum", "count", "min", "max", "mean")
FORMS: tuple[Form, ...] = ("json", "csv", "plot")


def add_iobeam(subparsers: Any) -> None:
    """Add ``iobeam`` to the commands."""
    added = add_command(
        subparsers,
        "iobeam",
        "be a device of an iobeam service, such as a hub: register, send, query",
        _alone,
        f"""\
examples:
  txbridge iobeam register pump-3
  txbridge iobeam send pump-3 flow=4.5 rpm=900
  txbridge iobeam query pump-3 flow --start 1day

{ENVIRONMENT}""",
    )
    actions = added.add_subparsers(metavar="ACTION", required=True)
    register = add_command(
        actions,
        "register",
        "register a device, and print its id",
        _register,
        f"""\
examples:
  txbridge iobeam register pump-3 --name "Pump in the cellar"
  txbridge iobeam register --or-set pump-3

{ENVIRONMENT}""",
    )
    register.add_argument("device", metavar="DEVICE", nargs="?", help="its id (default: one that is made up)")
    register.add_argument("--name", metavar="NAME", help="no other device of the project has it")
    register.add_argument("--type", metavar="TYPE", help="what kind of thing it is")
    register.add_argument("--or-set", action="store_true", help="it is well if the id is registered already")
    send = add_command(
        actions,
        "send",
        "write values of a device",
        _send,
        f"""\
Values are SERIES=VALUE; series that do not exist are made.  Without values, or with '-', lines are read from
standard input as they come, up to a thousand points in one request: SERIES,TIMESTAMP,VALUE, or JSON objects
{{"time": TIMESTAMP, SERIES: VALUE, …}}.  A timestamp is ISO 8601, or a number if --timefmt says of what;
without one it is the moment the line was read.

examples:
  txbridge iobeam send pump-3 flow=4.5 rpm=900 state=idle
  txbridge iobeam send pump-3 flow=4.5 --at 2026-11-21T06:00:00Z
  txbridge iobeam query pump-3 --csv | txbridge iobeam send pump-4

{ENVIRONMENT}""",
    )
    send.add_argument("device", metavar="DEVICE")
    send.add_argument("words", metavar="SERIES=VALUE", nargs="*")
    send.add_argument("--at", metavar="INSTANT", help="when the values were taken (default: now)")
    send.add_argument(
        "--timefmt",
        choices=[unit.value for unit in TimeUnit],
        help="what timestamps count that are numbers (default: they are refused)",
    )
    query = add_command(
        actions,
        "query",
        "show points of a project, of a device or of a series",
        _query,
        f"""\
Instants are ISO 8601, or how long ago: 6hours, 1day, 2months.

examples:
  txbridge iobeam query
  txbridge iobeam query pump-3 flow --start 1day --plot
  txbridge iobeam query pump-3 flow --limit 10 --json
  txbridge iobeam query pump-3 flow --operator mean --group-by 1h

{ENVIRONMENT}""",
    )
    query.add_argument("device", metavar="DEVICE", nargs="?")
    query.add_argument("series", metavar="SERIES", nargs="?")
    query.add_argument("--start", metavar="INSTANT", help="the first instant (default: the beginning)")
    query.add_argument("--end", metavar="INSTANT", help="the last instant (default: the end)")
    query.add_argument("--limit", metavar="N", type=int, help="only the newest so many of each series")
    for option in ("greater-than", "less-than", "equals"):
        query.add_argument(
            f"--{option}", metavar="VALUE", type=_float, help="only numbers of which this holds"
        )
    query.add_argument("--operator", choices=OPERATORS, help="one value instead of many")
    query.add_argument("--group-by", metavar="LENGTH", help="one for each such span, as 30s, 5m or 1h")
    forms = query.add_mutually_exclusive_group()
    add_json(forms, "one JSON document")
    forms.add_argument(
        "--csv", action="store_true", help="lines SERIES,TIMESTAMP,VALUE of a device, for 'send'"
    )
    forms.add_argument("--plot", action="store_true", help="a chart in the terminal for each series")
    for action in (register, send):
        add_json(action, "JSON instead of text")
    for action in (register, send, query):
        action.add_argument("--url", metavar="URL", help="instead of TXBRIDGE_IOBEAM_URL")
        action.add_argument("--token-file", metavar="FILE", help="instead of TXBRIDGE_IOBEAM_TOKEN")
        action.add_argument(
            "--project", metavar="N", type=_project, help="instead of TXBRIDGE_IOBEAM_PROJECT"
        )
        add_verbose(action)


def _alone(arguments: argparse.Namespace) -> Command:
    raise ConfigError(["say what to do; see 'txbridge iobeam --help'"])


def _register(arguments: argparse.Namespace) -> Command:
    problems: list[str] = []
    if arguments.device is not None:
        _device(arguments.device, problems)
    elif arguments.or_set:
        problems.append("--or-set: say which id it shall have")
    for option, text in (("--name", arguments.name), ("--type", arguments.type)):
        if text == "":
            problems.append(f"{option}: it is blank")
    new = iobeam.NewDevice(arguments.device, arguments.name, arguments.type, arguments.or_set)
    return _asking(
        arguments,
        problems,
        lambda reactor, client, terminal: iobeam.register(client, terminal, new, _form(arguments)),
    )


def _send(arguments: argparse.Namespace) -> Command:
    problems: list[str] = []
    _device(arguments.device, problems)
    at = _microseconds("--at", arguments.at, problems)
    from_stdin = arguments.words in ([], ["-"])
    values: dict[str, Value] = {}
    for word in [] if from_stdin else arguments.words:
        try:
            series, value = read_argument(word)
        except ConfigError as error:
            problems += error.problems
            continue
        if series in values:
            problems.append(f"{shorten(series)!r} is given twice")
        values[series] = value
    if from_stdin and arguments.at is not None:
        problems.append("--at: lines of standard input have timestamps of their own")
    if not from_stdin and arguments.timefmt is not None:
        problems.append("--timefmt: it is for lines of standard input")
    try:
        if from_stdin and opened(sys.stdin, "standard input").isatty() and arguments.words == []:
            problems.append("there is nothing to send: give values, or '-' to read lines from the terminal")
    except ConfigError as error:
        problems += error.problems
    if not from_stdin:
        readings = [Reading(at, values)]
        return _asking(
            arguments,
            problems,
            lambda reactor, client, terminal: iobeam.send_readings(
                client, terminal, arguments.device, readings, _form(arguments)
            ),
        )
    unit = None if arguments.timefmt is None else TimeUnit(arguments.timefmt)
    return _asking(
        arguments,
        problems,
        lambda reactor, client, terminal: iobeam.send_lines(
            reactor, client, terminal, arguments.device, sys.stdin.fileno(), unit, _form(arguments)
        ),
    )


def _query(arguments: argparse.Namespace) -> Command:
    problems: list[str] = []
    start = _microseconds("--start", arguments.start, problems)
    end = _microseconds("--end", arguments.end, problems)
    if start is not None and end is not None and end < start:
        problems.append(f"--end: {shorten(arguments.end)!r} is before {shorten(arguments.start)!r}")
        start = end = None
    if arguments.csv and arguments.device is None:
        problems.append("--csv: say of which device, for its lines name none")
    if arguments.group_by is not None and arguments.operator is None:
        problems.append("--group-by: --operator says what to make of a group")
    config = _config(arguments, problems)
    asked: QueryReq | None = None
    if config is not None:
        try:
            asked = QueryReq(config.project, arguments.device, arguments.series, TimeUnit.MICROSECONDS)
            asked.limit(arguments.limit).in_time_range(_timestamp(start), _timestamp(end))
            asked.in_value_range(arguments.greater_than, arguments.less_than).equals(arguments.equals)
            if arguments.operator is not None:
                asked.aggregate(arguments.operator, arguments.group_by)
        except BadArgument as error:
            problems.append(str(error))
    if problems or asked is None or config is None:
        raise ConfigError(problems)
    request = iobeam.QueryRequest(asked, start, end, _form(arguments))
    return _with_client(config, lambda reactor, client, terminal: iobeam.query(client, terminal, request))


def _form(arguments: argparse.Namespace) -> Form:
    return next((form for form in FORMS if getattr(arguments, form, False)), "table")


def _device(text: str, problems: list[str]) -> None:
    try:
        check_device_id(text)
    except BadArgument as error:
        problems.append(f"the device's id {error.reason}")


def _microseconds(option: str, text: str | None, problems: list[str]) -> int | None:
    try:
        return None if text is None else to_microseconds(instant_or_ago(option, text, datetime.now(UTC)))
    except ConfigError as error:
        problems += error.problems
        return None


def _timestamp(microseconds: int | None) -> Timestamp | None:
    return None if microseconds is None else Timestamp(microseconds, TimeUnit.MICROSECONDS)


def _float(text: str) -> float:
    try:
        return int(text) if text.lstrip("-").isdecimal() else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{shorten(text)!r} is no number") from None


def _project(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 2**63):
        raise argparse.ArgumentTypeError(f"{shorten(text)!r} is not the number of a project")
    return int(text)


def _config(arguments: argparse.Namespace, problems: list[str]) -> IobeamConfig | None:
    environ = os.environ
    path, option = arguments.token_file, "--token-file"
    if path is None and "TXBRIDGE_IOBEAM_TOKEN" not in environ:
        path, option = environ.get("TXBRIDGE_IOBEAM_TOKEN_FILE") or None, "TXBRIDGE_IOBEAM_TOKEN_FILE"
    try:
        return iobeam_config(
            environ,
            url=arguments.url,
            token_text=key_text(option, path),
            token_file=path,
            project=arguments.project,
        )
    except ConfigError as error:
        problems += error.problems
        return None


def _asking(
    arguments: argparse.Namespace,
    problems: list[str],
    command: Callable[[Any, Client, Terminal], Deferred[int]],
) -> Command:
    config = _config(arguments, problems)
    if problems or config is None:
        raise ConfigError(problems)
    return _with_client(config, command)


def _with_client(config: IobeamConfig, command: Callable[[Any, Client, Terminal], Deferred[int]]) -> Command:
    """A command with a client, which is closed at the end."""

    @deferred
    async def run_and_close(reactor: Any, terminal: Terminal) -> int:
        client = assembly.iobeam_of(reactor, config, lambda token: iobeam.keep_token(terminal, config, token))
        try:
            return await iobeam.explained(terminal, lambda: command(reactor, client, terminal))
        finally:
            await client.close()

    return run_and_close
