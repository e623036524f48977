"""The command line: what can be said, and what it starts.  No command is written here.

The parser knows words; `txbridge.daemon.config` and `txbridge.daemon.readings` know what they may
mean; the other modules of this package do it.  Whatever is wrong with the words is found before the
reactor starts, and all of it is told at once.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any, NoReturn, TypeVar

from twisted.internet.defer import Deferred

from txbridge._version import __version__
from txbridge.cosm.client import Client
from txbridge.daemon import assembly, commands, joule
from txbridge.daemon.commands import Form
from txbridge.daemon.config import (
    DEFAULT_LISTEN,
    ClientConfig,
    CosmEnd,
    JouleEnd,
    NodeConfig,
    copy_end,
    data_dir,
    demo_config,
    hub_config,
    instant_or_ago,
    interval_for_chart,
    interval_seconds,
    node_config,
    node_path,
    span_of,
    state_dir,
)
from txbridge.daemon.demo import demo
from txbridge.daemon.history import HistoryRequest, history
from txbridge.daemon.hub_commands import add_hub_actions
from txbridge.daemon.iobeam_words import add_iobeam
from txbridge.daemon.joule_copy import CopyRequest, Reach, copy
from txbridge.daemon.keys import key_text
from txbridge.daemon.logs import log_observer, start_logging
from txbridge.daemon.outbox_words import add_ledger, add_outbox
from txbridge.daemon.readings import read_argument
from txbridge.daemon.relay_check import check
from txbridge.daemon.relay_config import relay_state_dir, usual_relay_state
from txbridge.daemon.relay_files import load_relay_config
from txbridge.daemon.relay_run import relay_run, runnable_config
from txbridge.daemon.relay_top import relay_status, relay_top
from txbridge.daemon.running import MISCONFIGURED, USAGE, run
from txbridge.daemon.stdin import opened
from txbridge.daemon.subcommands import (
    Command,
    add_command,
    add_connection,
    add_json,
    add_verbose,
    explained,
    hub_of,
)
from txbridge.daemon.tail import tail
from txbridge.daemon.terminal import Terminal
from txbridge.errors import ConfigError
from txbridge.hub.store import MAX_FEEDS
from txbridge.joule.client import Node
from txbridge.joule.errors import UnknownNode
from txbridge.joule.utilities import human_to_timestamp, time_now
from txbridge.model.instants import shorten
from txbridge.net.deferred import deferred
from txbridge.net.reactor import make_steady

__all__ = ["main", "parser"]

T = TypeVar("T")

ENVIRONMENT = """\
environment:
  TXBRIDGE_URL           where the hub is (http://127.0.0.1:8080 unless given)
  TXBRIDGE_API_KEY       the key
  TXBRIDGE_API_KEY_FILE  a file that holds the key
"""

JOULE_ENVIRONMENT = """\
environment:
  TXBRIDGE_JOULE_URL      where the node is; unless it is given, Joule's own files say which nodes
                          there are, and which is the default
  TXBRIDGE_JOULE_API_KEY  its key
"""

STATUSES = """\
exit status:
  0 done, 1 failed, 2 wrong arguments, 69 hub unreachable, 77 key or token refused,
  78 a relay's configuration cannot be run, 130 stopped with Ctrl-C
"""

ABOUT = """\
examples:
  txbridge demo                                    see data flow on this machine
  txbridge hub --data /var/lib/txbridge            run a hub
  txbridge feeds create "Boiler room"              make a feed; prints its number
  txbridge send 1 temperature=21.5 pump=on         write values
  txbridge tail 1                                  watch them arrive
  txbridge history 1 temperature --duration 1day --plot
"""

FORMS: tuple[Form, ...] = ("json", "csv", "plot")


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    top = _parser("txbridge", "Move device data between platforms, and serve the Cosm v2 and iobeam APIs.")
    top.epilog = f"{ABOUT}\n{ENVIRONMENT}\n{STATUSES}"
    top.add_argument("--version", action="version", version=f"txbridge {__version__}")
    subparsers = top.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)
    _add_hub(subparsers)
    _add_demo(subparsers)
    _add_feeds(subparsers)
    _add_send(subparsers)
    _add_tail(subparsers)
    _add_history(subparsers)
    _add_joule(subparsers)
    add_iobeam(subparsers)
    _add_relay(subparsers)
    add_outbox(subparsers)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program.

    Args:
        argv: The arguments after the program's name; None takes the process's own.

    Returns:
        The exit status; see `txbridge.daemon.running`.
    """
    # Python has no object for a stream that the shell has closed.
    out = sys.stdout if sys.stdout is not None else open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    terminal = Terminal(out, sys.stderr)
    arguments = parser().parse_args(argv)
    try:
        command: Command = arguments.command(arguments)
    except ConfigError as error:
        for problem in error.problems:
            terminal.say(problem)
        return getattr(arguments, "misconfigured", USAGE)
    start_logging(
        log_observer(
            sys.stderr,
            os.environ,
            verbose=arguments.verbose,
            edges=getattr(arguments, "log_edges", False),
            as_json=getattr(arguments, "log_json", False),
        )
    )
    from twisted.internet import reactor

    make_steady(reactor)
    return run(reactor, lambda: command(reactor, terminal), terminal.say, terminal.out)


class _Parser(argparse.ArgumentParser):
    """Tells mistakes in one line that begins with the program's name."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Name an option that there is not, before what follows it is taken for an action's name."""
        words = sys.argv[1:] if args is None else args
        actions = [name for action in self._get_positional_actions() for name in action.choices or ()]
        for word in takewhile(lambda word: word != "--" and word not in actions, words if actions else ()):
            if word.startswith("--") and word.partition("=")[0] not in self._option_string_actions:
                self.error(f"unrecognized arguments: {word}")
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"txbridge: {message}; see '{self.prog} --help'\n")


def _parser(prog: str, description: str) -> _Parser:
    return _Parser(
        prog=prog,
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


# ------------------------------------------------------------------------------------------ hub


def _add_hub(subparsers: Any) -> None:
    added = add_command(
        subparsers,
        "hub",
        "serve the Cosm v2 API, and keep the history",
        _hub,
        """\
Without an ACTION it runs a hub.
The first start makes the owner's account and a key, and says in which file the key is.
SIGTERM and Ctrl-C stop the hub after it has answered what it accepted.

examples:
  txbridge hub
  txbridge hub --data /var/lib/txbridge --listen tcp:8080 --paws-tcp tcp:8081
  txbridge hub --listen ssl:8443:privateKey=key.pem:certKey=cert.pem
  txbridge hub --listen unix:/run/txbridge/hub.sock
  txbridge hub --listen systemd:domain=INET:index=0
""",
    )
    added.set_defaults(log_edges=True)
    _add_hub_arguments(added)
    add_verbose(added)
    add_hub_actions(added)


def _add_hub_arguments(added: argparse.ArgumentParser) -> None:
    added.add_argument(
        "--listen",
        metavar="ENDPOINT",
        action="append",
        default=[],
        help=f"where to serve HTTP and WebSockets; may be given again (default: {DEFAULT_LISTEN[0]})",
    )
    added.add_argument(
        "--paws-tcp",
        metavar="ENDPOINT",
        action="append",
        default=[],
        help="where to serve the socket API over TCP; may be given again (default: nowhere)",
    )
    added.add_argument(
        "--data",
        metavar="DIR",
        default=data_dir(os.environ),
        help="where to keep the data (default: %(default)s)",
    )
    added.add_argument(
        "--api-key-file",
        metavar="FILE",
        help="use the key in this file as the owner's, instead of one made at the first start",
    )
    added.add_argument(
        "--public-url",
        metavar="URL",
        help="scheme and host that clients know the hub by, if it is behind a proxy",
    )
    added.add_argument(
        "--requests-per-minute",
        metavar="N",
        type=float,
        help="refuse a key that makes more requests, averaged over three minutes (default: any number)",
    )
    added.add_argument(
        "--public-graphs",
        action="store_true",
        help="show graphs of feeds that are not private to who has no key (default: to nobody)",
    )
    added.add_argument(
        "--max-feeds",
        metavar="N",
        type=int,
        default=MAX_FEEDS,
        help="the most feeds of an account, devices included (default: %(default)s)",
    )
    added.add_argument(
        "--relay-state",
        metavar="DIR",
        default=usual_relay_state(os.environ),
        help="show the owner the relay with this state directory on the page (default: %(default)s)",
    )
    added.add_argument(
        "--allow-webhooks",
        metavar="NETWORK",
        action="append",
        default=[],
        help="let triggers call this address or network of your own, such as 192.168.1.0/24; may be given "
        "again (default: the public internet only)",
    )


def _hub(arguments: argparse.Namespace) -> Command:
    config = hub_config(
        data=arguments.data,
        listen=arguments.listen,
        paws_tcp=arguments.paws_tcp,
        api_key_text=key_text("--api-key-file", arguments.api_key_file),
        public_url=arguments.public_url,
        allow_webhooks=arguments.allow_webhooks,
        requests_per_minute=arguments.requests_per_minute,
        relay=arguments.relay_state,
        public_graphs=arguments.public_graphs,
        max_feeds=arguments.max_feeds,
    )

    def command(reactor: Any, terminal: Terminal) -> Deferred[int]:
        return commands.hub(assembly.hub_service(reactor, config), terminal, os.environ)

    return command


# ----------------------------------------------------------------------------------------- demo


def _add_demo(subparsers: Any) -> None:
    added = add_command(
        subparsers,
        "demo",
        "run a hub, and relay this machine's sensors to it",
        _demo,
        """\
Everything runs in this one process: a hub with its data in a temporary directory, a relay that
reads this machine and writes to the hub over HTTP, and a subscriber that shows each update.

examples:
  txbridge demo
  txbridge demo --duration 20 --listen tcp:8080:interface=127.0.0.1
""",
    )
    added.add_argument(
        "--duration", metavar="SECONDS", type=float, help="stop after this long (default: run until stopped)"
    )
    added.add_argument(
        "--interval",
        metavar="SECONDS",
        type=float,
        default=1.0,
        help="read the machine this often (default: 1)",
    )
    added.add_argument(
        "--listen",
        metavar="ENDPOINT",
        action="append",
        default=[],
        help="where the hub listens (default: a free port)",
    )
    added.add_argument("--data", metavar="DIR", help="keep the data here (default: nowhere)")
    add_json(added, "a JSON object for each update, and one at the end")
    add_verbose(added)


def _demo(arguments: argparse.Namespace) -> Command:
    config = demo_config(
        data=arguments.data,
        listen=arguments.listen,
        duration=arguments.duration,
        interval=arguments.interval,
    )
    return lambda reactor, terminal: demo(reactor, terminal, config, arguments.json)


# ---------------------------------------------------------------------------------------- feeds


def _add_feeds(subparsers: Any) -> None:
    added = add_command(
        subparsers,
        "feeds",
        "list feeds; make, show or delete one",
        _feeds,
        f"""\
examples:
  txbridge feeds --search boiler
  txbridge feeds create "Boiler room" --tag heating
  txbridge feeds show 1
  txbridge feeds delete 1

{ENVIRONMENT}""",
    )
    add_connection(added)
    add_json(added, "JSON instead of a table")
    add_verbose(added)
    added.add_argument("--search", metavar="TEXT", help="only feeds that mention it")
    added.add_argument("--tag", metavar="TAG", help="only feeds with this tag")
    added.add_argument("--user", metavar="LOGIN", help="only feeds of this account")
    added.add_argument("--status", choices=("live", "frozen"), help="only feeds that are live, or not")
    actions = added.add_subparsers(metavar="ACTION", parser_class=_Parser)
    create = add_command(actions, "create", "make a feed, and print its number", _feeds_create, "")
    create.add_argument("title", metavar="TITLE")
    create.add_argument("--description", metavar="TEXT")
    create.add_argument("--tag", metavar="TAG", action="append", default=[], help="may be given again")
    create.add_argument("--private", action="store_true", help="only its owner may see it")
    show = add_command(actions, "show", "show a feed with its current values", _feeds_show, "")
    show.add_argument("feed", metavar="FEED", type=_feed_id)
    delete = add_command(actions, "delete", "delete a feed with all its history", _feeds_delete, "")
    delete.add_argument("feed", metavar="FEED", type=_feed_id)
    for action in (create, show, delete):
        # What was said before the action's name holds unless it is said again.
        add_connection(action, default=argparse.SUPPRESS)
        add_json(action, "JSON instead of text", default=argparse.SUPPRESS)
        add_verbose(action, default=argparse.SUPPRESS)


def _feeds(arguments: argparse.Namespace) -> Command:
    wanted = {
        "q": arguments.search,
        "tag": arguments.tag,
        "user": arguments.user,
        "status": arguments.status,
    }
    parameters = {name: value for name, value in wanted.items() if value is not None}
    return _asking(
        arguments,
        lambda client, terminal: commands.list_feeds(client, terminal, parameters, _form(arguments)),
    )


def _feeds_create(arguments: argparse.Namespace) -> Command:
    new = commands.NewFeed(arguments.title, arguments.description, tuple(arguments.tag), arguments.private)
    return _asking(
        arguments, lambda client, terminal: commands.create_feed(client, terminal, new, _form(arguments))
    )


def _feeds_show(arguments: argparse.Namespace) -> Command:
    return _asking(
        arguments,
        lambda client, terminal: commands.show_feed(client, terminal, arguments.feed, _form(arguments)),
    )


def _feeds_delete(arguments: argparse.Namespace) -> Command:
    return _asking(
        arguments,
        lambda client, terminal: commands.delete_feed(client, terminal, arguments.feed, _form(arguments)),
    )


# ----------------------------------------------------------------------------------------- send


def _add_send(subparsers: Any) -> None:
    added = add_command(
        subparsers,
        "send",
        "write values to a feed",
        _send,
        f"""\
Values are DATASTREAM=VALUE; datastreams that do not exist are made.  Without values, or with '-',
lines DATASTREAM,TIMESTAMP,VALUE are read from standard input as they come, up to 500 in one
request; an empty timestamp is the moment the line was read.

examples:
  txbridge send 1 temperature=21.5 pump=on
  txbridge send 1 temperature=20.9 --at 2026-11-21T06:00:00Z
  txbridge send --title "Boiler room" temperature=21.5
  txbridge history 1 --csv | txbridge send 2

{ENVIRONMENT}""",
    )
    added.add_argument("words", metavar="FEED DATASTREAM=VALUE", nargs="*")
    added.add_argument("--title", metavar="TITLE", help="make a feed with this title, and write to that")
    added.add_argument("--at", metavar="INSTANT", help="when the values were taken (default: now)")
    add_connection(added)
    add_json(added, "JSON instead of text")
    add_verbose(added)


def _send(arguments: argparse.Namespace) -> Command:
    problems: list[str] = []
    words = list(arguments.words)
    feed: int | commands.NewFeed | None = None
    if arguments.title is not None:
        feed = commands.NewFeed(arguments.title)
    elif words:
        try:
            feed = _feed_id(words.pop(0))
        except argparse.ArgumentTypeError as error:
            problems.append(str(error))
    else:
        problems.append("say to which feed to send, or give the --title of a new one")
    at = None
    try:
        at = _instant("--at", arguments.at)
    except ConfigError as error:
        problems += error.problems
    from_stdin = words in ([], ["-"])
    readings = []
    for word in [] if from_stdin else words:
        try:
            readings.append(read_argument(word, at))
        except ConfigError as error:
            problems += error.problems
    if from_stdin and at is not None:
        problems.append("--at: lines of standard input have timestamps of their own")
    try:
        if from_stdin and opened(sys.stdin, "standard input").isatty() and words == []:
            problems.append("there is nothing to send: give values, or '-' to read lines from the terminal")
    except ConfigError as error:
        problems += error.problems
    if problems or feed is None:
        raise ConfigError(problems)
    if not from_stdin:
        return _asking(
            arguments,
            lambda client, terminal: commands.send_readings(
                client, terminal, feed, readings, _form(arguments)
            ),
        )
    descriptor = sys.stdin.fileno()
    return _asking_in(
        arguments,
        lambda reactor, client, terminal: commands.send_lines(
            reactor, client, terminal, feed, descriptor, _form(arguments)
        ),
    )


# ----------------------------------------------------------------------------------------- tail


def _add_tail(subparsers: Any) -> None:
    added = add_command(
        subparsers,
        "tail",
        "show updates of a feed as they arrive",
        _tail,
        f"""\
Runs until it is stopped.  When the hub goes away it is looked for again, and what was missed
meanwhile is shown first.

examples:
  txbridge tail 1
  txbridge tail 1 temperature --since 1hour --json

{ENVIRONMENT}""",
    )
    added.add_argument("feed", metavar="FEED", type=_feed_id)
    added.add_argument("datastream", metavar="DATASTREAM", nargs="?")
    added.add_argument(
        "--since", metavar="INSTANT", help="show the history from here on first; or how long ago, as 1hour"
    )
    add_connection(added)
    add_verbose(added)
    forms = added.add_mutually_exclusive_group()
    add_json(forms, "a JSON object for each point")
    _add_csv(forms)


def _tail(arguments: argparse.Namespace) -> Command:
    config = hub_of(arguments)
    since = _instant("--since", arguments.since)

    def command(reactor: Any, client: Any, terminal: Terminal) -> Deferred[int]:
        return tail(
            reactor,
            client,
            assembly.socket_of(reactor, config),
            terminal,
            feed_id=arguments.feed,
            datastream_id=arguments.datastream,
            since=since,
            form=_form(arguments),
        )

    return _asking_in(arguments, command)


# -------------------------------------------------------------------------------------- history


def _add_history(subparsers: Any) -> None:
    added = add_command(
        subparsers,
        "history",
        "show what a feed recorded",
        _history,
        f"""\
Instants are ISO 8601, or how long ago: 6hours, 1day, 2months.  Without any, the last 6 hours.

examples:
  txbridge history 1 temperature
  txbridge history 1 temperature --duration 1week --interval 1hour --plot
  txbridge history 1 --start 2026-11-01 --end 2026-11-02 --csv > november-1.csv

{ENVIRONMENT}""",
    )
    added.add_argument("feed", metavar="FEED", type=_feed_id)
    added.add_argument("datastream", metavar="DATASTREAM", nargs="?")
    added.add_argument("--start", metavar="INSTANT", help="the first instant")
    added.add_argument("--end", metavar="INSTANT", help="the last instant (default: now)")
    added.add_argument("--duration", metavar="LENGTH", help="how long, with --start or --end or until now")
    added.add_argument(
        "--interval",
        metavar="LENGTH",
        help="the distance of points: 30, 60, 5minutes, 1hour, … (default: every point; for"
        " --plot of more than 6 hours, what a chart can show)",
    )
    added.add_argument("--limit", metavar="N", type=_count, help="no more points of a datastream")
    add_connection(added)
    add_verbose(added)
    forms = added.add_mutually_exclusive_group()
    add_json(forms, "one JSON document")
    _add_csv(forms)
    forms.add_argument("--plot", action="store_true", help="a chart in the terminal")


def _history(arguments: argparse.Namespace) -> Command:
    problems: list[str] = []
    span = None
    interval = 0
    try:
        span = span_of(
            start=arguments.start, end=arguments.end, duration=arguments.duration, now=datetime.now(UTC)
        )
    except ConfigError as error:
        problems += error.problems
    try:
        if arguments.interval is not None:
            interval = interval_seconds(arguments.interval)
        elif arguments.plot and span is not None:
            interval = interval_for_chart(span)
    except ConfigError as error:
        problems += error.problems
    if problems or span is None:
        raise ConfigError(problems)
    request = HistoryRequest(
        arguments.feed, arguments.datastream, span, interval, arguments.limit, _form(arguments)
    )
    return _asking(arguments, lambda client, terminal: history(client, terminal, request))


# ---------------------------------------------------------------------------------------- joule


def _add_joule(subparsers: Any) -> None:
    added = subparsers.add_parser(
        "joule",
        help="look at a Joule node, and copy from and to it",
        description="Look at a Joule node, and copy from and to it.",
        epilog=f"""\
examples:
  txbridge joule ls
  txbridge joule info /live/random
  txbridge joule read /live/random --start "1 hour ago" > random.csv
  txbridge joule copy joule:/live/random cosm:7 --start "1 hour ago"

{JOULE_ENVIRONMENT}""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    actions = added.add_subparsers(metavar="ACTION", required=True, parser_class=_Parser)
    ls = add_command(actions, "ls", "show the tree of folders and streams", _joule_ls, _LS)
    ls.add_argument("path", metavar="PATH", nargs="?", type=node_path, default="/")
    add_json(ls, "JSON instead of a tree")
    info = add_command(
        actions, "info", "show what is known of the node, a folder or a stream", _joule_info, _INFO
    )
    info.add_argument("path", metavar="PATH", nargs="?", type=node_path, default="/")
    add_json(info, "JSON instead of text")
    read = add_command(actions, "read", "show the rows of a data stream", _joule_read, _READ)
    read.add_argument("path", metavar="PATH", type=node_path)
    _add_range(read)
    read.add_argument(
        "--max-rows",
        metavar="N",
        type=_count,
        help="decimate to about so many rows at most: means, then least and greatest values",
    )
    read.add_argument("--live", action="store_true", help="show what a module makes, from now on")
    forms = read.add_mutually_exclusive_group()
    add_json(forms, "a JSON object for each row, and one for each break")
    forms.add_argument("--csv", action="store_true", help="CSV, with a blank line for each break (default)")
    forms.add_argument("--plot", action="store_true", help="a chart in the terminal for each element")
    spans = add_command(
        actions, "intervals", "show for which spans a stream has rows", _joule_intervals, _INTERVALS
    )
    spans.add_argument("path", metavar="PATH", type=node_path)
    _add_range(spans)
    add_json(spans, "JSON instead of a table")
    copying = add_command(actions, "copy", "copy a range from one platform to another", _joule_copy, _COPY)
    copying.add_argument("source", metavar="SOURCE", help="such as joule:/live/random or cosm:7")
    copying.add_argument("destination", metavar="DESTINATION", help="such as cosm:7 or joule:/backup")
    copying.add_argument("--start", metavar="TIME", help="the first time (default: everything from 1970 on)")
    copying.add_argument("--end", metavar="TIME", help="up to before this time (default: now)")
    copying.add_argument(
        "--accept",
        metavar="LOSS",
        action="append",
        default=[],
        help="something that may be lost, by its name; may be given again",
    )
    copying.add_argument(
        "--state", metavar="FILE", help="where to keep how far it has come (default: below XDG_STATE_HOME)"
    )
    add_connection(copying)
    add_json(copying, "the summary as JSON")
    for action in (ls, info, read, spans, copying):
        action.add_argument("--node", metavar="NAME", help="a node of Joule's own files")
        add_verbose(action)


_LS = f"""\
A data stream has its layout beside it, and says whether it is live, which is written by somebody
now, and locked, which can be neither changed, moved nor deleted.

examples:
  txbridge joule ls
  txbridge joule ls /live --json

{JOULE_ENVIRONMENT}"""

_INFO = f"""\
examples:
  txbridge joule info
  txbridge joule info /live/random

{JOULE_ENVIRONMENT}"""

_TIMES = """\
Times are as in "2026-11-21 06:00", "2026-11-21T06:00:00Z", "1 hour ago" or "now", in this machine's
time zone unless they name one; a whole number is microseconds since 1970.
"""

_READ = f"""\
Numbers are as they are stored: without the offset and the scale of their element.
{_TIMES}
examples:
  txbridge joule read /live/random --start "10 minutes ago" > random.csv
  txbridge joule read /live/random --start "1 day ago" --plot
  txbridge joule read /live/random --live --json

{JOULE_ENVIRONMENT}"""

_INTERVALS = f"""\
{_TIMES}
examples:
  txbridge joule intervals /live/random --start "1 day ago"

{JOULE_ENVIRONMENT}"""


_COPY = f"""\
An end is joule:/path, joule:NODE:/path, cosm:FEED or cosm:new:TITLE.  A source may be a stream, a folder
with all that is in it, or a feed; a destination is a folder, or a feed.

What the destination has no place for is named before anything flows, and has to be accepted by that
name.  The copy may be stopped or killed at any moment: the same command goes on where it was.  It ends
with 1 if anything was refused or lost.

{_TIMES}
examples:
  txbridge joule copy joule:/live/random joule:backup:/copies --start "1 day ago"
  txbridge joule copy joule:/live/random "cosm:new:Random numbers" --accept "not-a-number dropped" \\
      --accept "breaks dropped" --accept "gaps dropped" --accept "annotations and events dropped"
  txbridge joule copy cosm:7 joule:/boiler --start 2026-11-01 --end 2026-12-01

{JOULE_ENVIRONMENT}
{ENVIRONMENT.removeprefix("environment:" + chr(10))}"""


def _add_range(added: argparse.ArgumentParser) -> None:
    added.add_argument("--start", metavar="TIME", help="the first row's time (default: the beginning)")
    added.add_argument("--end", metavar="TIME", help="up to before this time (default: the end)")


def _joule_ls(arguments: argparse.Namespace) -> Command:
    return _asking_node(
        arguments,
        lambda node, terminal: joule.list_folder(node, terminal, arguments.path, _form(arguments)),
    )


def _joule_info(arguments: argparse.Namespace) -> Command:
    return _asking_node(
        arguments, lambda node, terminal: joule.info(node, terminal, arguments.path, _form(arguments))
    )


def _joule_read(arguments: argparse.Namespace) -> Command:
    form: Form = "csv" if _form(arguments) == "table" else _form(arguments)
    given = (("--start", arguments.start), ("--end", arguments.end), ("--max-rows", arguments.max_rows))
    if arguments.live:
        not_with = [option for option, value in (*given, ("--plot", arguments.plot or None)) if value]
        if not_with:
            raise ConfigError([f"--live: what happens from now on has no {' and no '.join(not_with)}"])
    start, end = _range(arguments)
    request = joule.ReadRequest(arguments.path, start, end, arguments.max_rows, arguments.live, form)
    return _asking_node(arguments, lambda node, terminal: joule.read(node, terminal, request))


def _joule_intervals(arguments: argparse.Namespace) -> Command:
    start, end = _range(arguments)
    return _asking_node(
        arguments,
        lambda node, terminal: joule.intervals(node, terminal, arguments.path, start, end, _form(arguments)),
    )


def _joule_copy(arguments: argparse.Namespace) -> Command:
    problems: list[str] = []
    source = _checked(problems, lambda: copy_end(arguments.source))
    destination = _checked(problems, lambda: copy_end(arguments.destination))
    if isinstance(source, CosmEnd) and source.feed_id is None:
        problems.append(f"{shorten(arguments.source)!r} is a new feed, which has nothing to copy")
    span = _checked(problems, lambda: _range(arguments))
    # Only what is used must be right: a copy between two nodes needs no hub.
    nameless = any(isinstance(end, JouleEnd) and not end.node for end in (source, destination))
    node = _checked(problems, lambda: node_config(os.environ, arguments.node)) if nameless else None
    with_hub = any(isinstance(end, CosmEnd) for end in (source, destination))
    hub = _checked(problems, lambda: hub_of(arguments)) if with_hub else None
    if problems or source is None or destination is None or span is None:
        raise ConfigError(problems)
    start, end = span
    request = CopyRequest(
        source,
        destination,
        words=(arguments.start or "", arguments.end or ""),
        since=0 if start is None else start,
        until=time_now() if end is None else end,
        accept=frozenset(arguments.accept),
        state=arguments.state,
        state_dir=state_dir(os.environ),
        form=_form(arguments),
    )

    def command(reactor: Any, terminal: Terminal) -> Deferred[int]:
        default = NodeConfig() if node is None else node
        config = ClientConfig("") if hub is None else hub
        reach = Reach(
            lambda name: assembly.node_of(reactor, NodeConfig(name) if name else default),
            lambda: assembly.client_of(reactor, config),
            config.url,
        )
        return copy(reactor, terminal, request, reach)

    return command


def _asking_node(
    arguments: argparse.Namespace, command: Callable[[Node, Terminal], Deferred[int]]
) -> Command:
    """A command with a node, which is closed at the end."""
    config = node_config(os.environ, arguments.node)

    @deferred
    async def run_and_close(reactor: Any, terminal: Terminal) -> int:
        try:
            node = assembly.node_of(reactor, config)
        except UnknownNode as error:
            terminal.say(str(error))
            return USAGE
        try:
            return await joule.explained(terminal, lambda: command(node, terminal))
        finally:
            await node.close()

    return run_and_close


def _checked(problems: list[str], check: Callable[[], T]) -> T | None:
    """What a check gives; its problems join the others."""
    try:
        return check()
    except ConfigError as error:
        problems += error.problems
        return None


def _range(arguments: argparse.Namespace) -> tuple[int | None, int | None]:
    """Two timestamps in microseconds; all that is wrong with them is told at once."""
    problems: list[str] = []
    start = _timestamp("--start", arguments.start, problems)
    end = _timestamp("--end", arguments.end, problems)
    if start is not None and end is not None and start >= end:
        problems.append(f"--end: {shorten(arguments.end)!r} is not after {shorten(arguments.start)!r}")
    if problems:
        raise ConfigError(problems)
    return start, end


def _timestamp(option: str, text: str | None, problems: list[str]) -> int | None:
    try:
        return None if text is None else human_to_timestamp(text)
    except ValueError as error:
        problems.append(f"{option}: {error}")
    except ConfigError as error:
        problems += error.problems
    return None


# ---------------------------------------------------------------------------------------- relay


def _add_relay(subparsers: Any) -> None:
    added = add_command(
        subparsers,
        "relay",
        "carry data from sources to destinations without losing a point",
        _relay_alone,
        """\
examples:
  txbridge relay check --config relay.toml
  txbridge relay run --config relay.toml
  txbridge relay top
""",
    )
    actions = added.add_subparsers(metavar="ACTION", required=True, parser_class=_Parser)
    run = add_command(
        actions,
        "run",
        "run a relay until it is stopped",
        _relay_run,
        """\
What was accepted and not delivered is kept in the state directory, and goes on with the next start.
SIGHUP reads the file again: routes that are the same go on untouched, and a file that cannot be run
changes nothing.  SIGTERM and Ctrl-C stop the relay after it has sent what it can in stop_deadline.

exit status:
  0 stopped, 1 failed, 78 the configuration cannot be run
""",
    )
    _add_config(run)
    run.add_argument("--log-json", action="store_true", help='as log = "json" in the file')
    run.set_defaults(log_edges=True, misconfigured=MISCONFIGURED)
    look = add_command(
        actions,
        "check",
        "tell everything that is wrong with a configuration, and what it does",
        _relay_check,
        """\
All problems of the file are told at once; then what each route does to the data on the way, with what is
lost; and whether this machine and the network are fit for it.

exit status:
  0 it can be run, 78 it cannot
""",
    )
    _add_config(look)
    look.add_argument("--no-network", action="store_true", help="ask no source and no destination")
    look.add_argument("--show", action="store_true", help="show every key that holds, defaults too, as TOML")
    add_json(look, "JSON instead of text")
    look.set_defaults(misconfigured=MISCONFIGURED)
    status = add_command(
        actions, "status", "show how the relay is that runs on this machine", _relay_status, _RELAY_STATE
    )
    add_json(status, "JSON instead of a table")
    top = add_command(actions, "top", "show a relay live, until it is stopped", _relay_top, _RELAY_STATE)
    for action in (status, top):
        _add_config(action)
        action.add_argument("--state", metavar="DIR", help="the relay's state directory, instead of --config")
    for action in (run, look, status, top):
        add_verbose(action)
    add_ledger(actions)


_RELAY_STATE = """\
The relay is found by its state directory: the one that --state or the file names; without a file the one
that a relay has whose file names none.
"""

CONFIG_FILE = "relay.toml"


def _add_config(added: Any) -> None:
    added.add_argument("--config", metavar="FILE", help=f"the configuration (default: {CONFIG_FILE})")


def _relay_alone(arguments: argparse.Namespace) -> Command:
    raise ConfigError(["say what to do with a relay; see 'txbridge relay --help'"])


def _relay_run(arguments: argparse.Namespace) -> Command:
    config = runnable_config(arguments.config or CONFIG_FILE, os.environ)
    arguments.log_json = arguments.log_json or config.log == "json"
    return lambda reactor, terminal: relay_run(reactor, config, os.environ)


def _relay_check(arguments: argparse.Namespace) -> Command:
    return lambda reactor, terminal: check(
        reactor,
        terminal,
        arguments.config or CONFIG_FILE,
        os.environ,
        network=not arguments.no_network,
        show=arguments.show,
        as_json=arguments.json,
    )


def _relay_status(arguments: argparse.Namespace) -> Command:
    state = _relay_state(arguments)
    return lambda reactor, terminal: relay_status(reactor, terminal, state, arguments.json)


def _relay_top(arguments: argparse.Namespace) -> Command:
    state = _relay_state(arguments)
    return lambda reactor, terminal: relay_top(reactor, terminal, state)


def _relay_state(arguments: argparse.Namespace) -> str:
    if arguments.state is not None:
        return str(arguments.state)
    if arguments.config is not None or os.path.exists(CONFIG_FILE):
        return load_relay_config(arguments.config or CONFIG_FILE, os.environ).state
    state = relay_state_dir(os.environ)
    if state is None:
        raise ConfigError(["--state: say which is the relay's state directory"])
    return state


# ------------------------------------------------------------------------- what commands share


def _asking(arguments: argparse.Namespace, command: Callable[[Client, Terminal], Deferred[int]]) -> Command:
    return _asking_in(arguments, lambda reactor, client, terminal: command(client, terminal))


def _asking_in(
    arguments: argparse.Namespace, command: Callable[[Any, Client, Terminal], Deferred[int]]
) -> Command:
    """A command with a client, which is closed at the end."""
    config = hub_of(arguments)

    @deferred
    async def run_and_close(reactor: Any, terminal: Terminal) -> int:
        client = assembly.client_of(reactor, config)
        try:
            return await explained(config, terminal, lambda: command(reactor, client, terminal))
        finally:
            await client.close()

    return run_and_close


def _add_csv(added: Any) -> None:
    added.add_argument("--csv", action="store_true", help="lines DATASTREAM,TIMESTAMP,VALUE, for 'send'")


def _form(arguments: argparse.Namespace) -> Form:
    for form in FORMS:
        if getattr(arguments, form, False):
            return form
    return "table"


def _instant(option: str, text: str | None) -> datetime | None:
    return None if text is None else instant_or_ago(option, text, datetime.now(UTC))


def _feed_id(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 10**18):
        raise argparse.ArgumentTypeError(f"{shorten(text)!r} is not the number of a feed")
    return int(text)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 10**18):
        raise argparse.ArgumentTypeError(f"{shorten(text)!r} is not a number of points")
    return int(text)
