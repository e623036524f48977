"""The words below ``txbridge hub``: what can be done with a hub beside running it."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from txbridge.daemon.assembly import STORE_FILE
from txbridge.daemon.hub_data import backup, export, take
from txbridge.daemon.hub_document import DocumentSource
from txbridge.daemon.hub_projects import add_project, add_token
from txbridge.daemon.stdin import opened, size_of
from txbridge.daemon.subcommands import Command, add_command
from txbridge.errors import ConfigError
from txbridge.hub.auth import OWNER
from txbridge.hub.transfer_import import ArchiveSource, FolderSource, Source

__all__ = ["add_hub_actions"]

STDIO = "-"

_DATA = """\
The data is that of --data, or where a hub has it whose --data is not given.
"""


def add_hub_actions(added: argparse.ArgumentParser) -> None:
    """Add what can be done with a hub beside running it.

    Args:
        added: The parser of ``txbridge hub``.
    """
    actions = added.add_subparsers(metavar="[ACTION]", title="actions")
    add_project(actions)
    add_token(actions)
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
    exporting = add_command(
        actions,
        "export",
        "write everything a hub knows, which may be running, to files that people can open",
        _export,
        f"""\
Accounts, feeds and all else are lines of JSON, the history is CSV: a file for each feed.  They are of the
moment at which the command began.  They have no keys in them, but digests of keys and of passwords, and the
secrets of products: they are for you alone.  With '-' a tar archive of the same is written to stdout.

The directory appears when it is complete; an export that is stopped leaves nothing.

{_DATA}
examples:
  txbridge hub export everything
  txbridge hub export - | gzip > everything.tar.gz
  txbridge hub export - | ssh other txbridge hub import -
""",
    )
    exporting.add_argument(
        "directory", metavar="DIRECTORY", help="where to; there must be none yet; '-' is stdout"
    )
    importing = add_command(
        actions,
        "import",
        "take what was exported, for a hub that does not run",
        _import,
        f"""\
All of it is taken, or, when anything is wrong with it, nothing; so an import that was stopped is just begun
again.  Feeds keep their numbers, and keys and passwords go on to work.  owner.key, by which commands on the
hub's machine know its owner's key, is no part of an export: copy it too.

With --merge what is there already stays as it is, and what is known by its login, number or instant is not
taken again.  A feed whose number another one has here is refused, and with it everything.

With --feed the feed of a document is added to those of the hub's owner, with the number that it has in the
document.  A history has lines DATASTREAM,TIMESTAMP,VALUE, or TIMESTAMP,VALUE when its file is named after the
datastream.

{_DATA}
examples:
  txbridge hub import everything
  txbridge hub import --data /var/lib/txbridge everything.tar.gz
  txbridge hub import --feed 504.json --history temperature.csv --history humidity.csv
""",
    )
    importing.add_argument(
        "source",
        metavar="DIRECTORY",
        nargs="?",
        help="an export, or a tar archive of one; '-' is an archive on stdin",
    )
    importing.add_argument(
        "--feed", metavar="FILE", help="a feed as the old service gave it, JSON or EEML, instead of an export"
    )
    importing.add_argument(
        "--history",
        metavar="FILE",
        action="append",
        default=[],
        help="with --feed: CSV of points; may be given again",
    )
    importing.add_argument("--merge", action="store_true", help="add to what is there already")
    for action in (backing, exporting, importing):
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


# --------------------------------------------------------------------------------------- export


def _export(arguments: argparse.Namespace) -> Command:
    store = _store(arguments)
    if arguments.directory != STDIO:
        target = Path(arguments.directory)
        return lambda reactor, terminal: export(reactor, terminal, store, target, arguments.json)
    if opened(sys.stdout, "standard output").isatty():
        raise ConfigError(["-: a terminal takes no tar archive; send it to a file, or to a program"])
    out = sys.stdout.buffer
    return lambda reactor, terminal: export(reactor, terminal, store, out, arguments.json)


# --------------------------------------------------------------------------------------- import


def _import(arguments: argparse.Namespace) -> Command:
    store = _store(arguments)

    if arguments.feed is not None or arguments.source is None:
        return _import_feed(arguments, store)

    def source() -> Source:
        path = Path(arguments.source)
        if arguments.source == STDIO:
            return ArchiveSource(sys.stdin.buffer, size_of(sys.stdin.fileno()))
        return FolderSource(path) if os.path.isdir(path) else _archive(path)

    if arguments.history:
        raise ConfigError(["--history is of a --feed"])
    if arguments.source == STDIO and opened(sys.stdin, "standard input").isatty():
        raise ConfigError(["-: a terminal gives no tar archive"])
    return lambda reactor, terminal: take(
        reactor, terminal, store, source, merge=arguments.merge, as_json=arguments.json
    )


def _import_feed(arguments: argparse.Namespace, store: Path) -> Command:
    if arguments.feed is None:
        raise ConfigError(["say which export to import, or which --feed"])
    if arguments.source is not None:
        raise ConfigError(["--feed: an export is imported without it"])
    feed, histories = Path(arguments.feed), [Path(one) for one in arguments.history]

    def source() -> Source:
        if not store.exists():
            # An account of an owner that nobody has a key of would keep the hub from making one.
            raise ConfigError([f"there is no hub's data in {store.parent}: let the hub run once"])
        return DocumentSource(feed, histories, OWNER, store)

    return lambda reactor, terminal: take(
        reactor, terminal, store, source, merge=True, as_json=arguments.json
    )


def _archive(path: Path) -> Source:
    try:
        file = path.open("rb")
    except OSError as error:
        raise ConfigError([f"cannot read {path}: {error.strerror}"]) from error
    return ArchiveSource(file, size_of(file.fileno()))
