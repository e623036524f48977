"""What can be said below ``txbridge hub project`` and ``txbridge hub token``: how iobeam's devices get in.

A running hub is asked over HTTP with its owner's key, as ``txbridge feeds`` does.  A token is shown once,
because the hub keeps none; it is never an argument, because everybody can see those.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TextIO, TypeVar

from twisted.internet.defer import Deferred

from txbridge.daemon import assembly
from txbridge.daemon.commands import Form
from txbridge.daemon.keys import key_text
from txbridge.daemon.render import instant, json_text, table
from txbridge.daemon.running import DONE
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
from txbridge.daemon.terminal import Terminal
from txbridge.errors import ConfigError
from txbridge.iobeam import projects
from txbridge.iobeam.codec import token_payload
from txbridge.iobeam.errors import BadArgument, NoSuchThing
from txbridge.iobeam.projects import PERMISSIONS, NewToken, Project, Token
from txbridge.model.instants import format_instant, shorten
from txbridge.net.deferred import deferred
from txbridge.net.http import HttpCarrier
from txbridge.net.operation import Operation

__all__ = [
    "add_project",
    "add_token",
    "adopt_token",
    "create_project",
    "create_token",
    "delete_project",
    "list_projects",
    "list_tokens",
    "revoke_token",
]

USUAL = "read,write"

T = TypeVar("T")


# -------------------------------------------------------------------------------------------- words


def add_project(actions: Any) -> None:
    """Add ``project`` to the actions of ``hub``."""
    added = add_command(
        actions,
        "project",
        "list projects of iobeam; make or delete one",
        _alone("project"),
        """\
examples:
  txbridge hub project create "Waterworks"
  txbridge hub project create "Waterworks" --number 1234
  txbridge hub project list
""",
    )
    several = added.add_subparsers(metavar="ACTION")
    create = add_command(
        several,
        "create",
        "make a project, and print its number",
        _project_create,
        "A device that has the number of its old project built in wants just that: --number.\n",
    )
    create.add_argument("name", metavar="NAME")
    create.add_argument(
        "--number", metavar="N", type=_number, help="the number it shall have (default: a free one)"
    )
    listing = add_command(several, "list", "list the projects", _project_list, "")
    delete = add_command(
        several,
        "delete",
        "delete a project with its tokens",
        _project_delete,
        "Its devices know it no more; the feeds that hold their data stay.\n",
    )
    delete.add_argument("project", metavar="PROJECT", type=_number)
    for one in (create, listing, delete):
        _add_common(one)


def add_token(actions: Any) -> None:
    """Add ``token`` to the actions of ``hub``."""
    added = add_command(
        actions,
        "token",
        "list tokens of a project of iobeam; make, adopt or revoke one",
        _alone("token"),
        """\
examples:
  txbridge hub token create 1234 --save pump-3.token
  txbridge hub token adopt --token-file old-device.token
  txbridge hub token list 1234
  txbridge hub token revoke 5
""",
    )
    several = added.add_subparsers(metavar="ACTION")
    create = add_command(
        several,
        "create",
        "make a token, and print it",
        _token_create,
        "It is shown this once: the hub knows it again when it sees it, and cannot tell it.\n",
    )
    create.add_argument("project", metavar="PROJECT", type=_number)
    _add_permissions(create)
    create.add_argument("--device", metavar="ID", help="for this registered device only (default: for all)")
    create.add_argument(
        "--duration",
        metavar="LENGTH",
        help="how long it holds, such as 5w, 30d or 12h (default: 90 days)",
    )
    create.add_argument(
        "--no-refresh", action="store_true", help="a device may not get its next token with this one"
    )
    create.add_argument(
        "--save", metavar="FILE", help="write it to this new file, which only you can read, and print nothing"
    )
    listing = add_command(several, "list", "list the tokens of a project", _token_list, "")
    listing.add_argument("project", metavar="PROJECT", type=_number)
    revoke = add_command(several, "revoke", "make a token open nothing any more", _token_revoke, "")
    revoke.add_argument("token", metavar="TOKEN", help="its reference, as list shows it")
    adopt = add_command(
        several,
        "adopt",
        "let a token that a device has already open a project",
        _token_adopt,
        """\
For a device whose firmware nobody can change any more.  The token is read from --token-file, or from standard
input.  The time at which it ended for the service does not count.
""",
    )
    adopt.add_argument(
        "project", metavar="PROJECT", type=_number, nargs="?", help="(default: the one that the token names)"
    )
    _add_permissions(adopt)
    adopt.add_argument("--token-file", metavar="FILE", help="read it here (default: from standard input)")
    for one in (create, listing, revoke, adopt):
        _add_common(one)


def _add_permissions(added: argparse.ArgumentParser) -> None:
    added.add_argument(
        "--may",
        metavar="WORDS",
        default=USUAL,
        help=f"some of {','.join(PERMISSIONS)} (default: %(default)s)",
    )


def _add_common(added: argparse.ArgumentParser) -> None:
    add_connection(added)
    add_json(added, "JSON instead of text")
    # What was said before the action's name holds unless it is said again.
    add_verbose(added, default=argparse.SUPPRESS)
    added.set_defaults(log_edges=False)


def _alone(name: str) -> Callable[[argparse.Namespace], Command]:
    def complain(arguments: argparse.Namespace) -> Command:
        raise ConfigError([f"say what to do; see 'txbridge hub {name} --help'"])

    return complain


def _project_create(arguments: argparse.Namespace) -> Command:
    return _asking(
        arguments,
        lambda hub, terminal: create_project(
            hub, terminal, arguments.name, arguments.number, _form(arguments)
        ),
    )


def _project_list(arguments: argparse.Namespace) -> Command:
    return _asking(arguments, lambda hub, terminal: list_projects(hub, terminal, _form(arguments)))


def _project_delete(arguments: argparse.Namespace) -> Command:
    return _asking(
        arguments, lambda hub, terminal: delete_project(hub, terminal, arguments.project, _form(arguments))
    )


def _token_create(arguments: argparse.Namespace) -> Command:
    try:
        asked = projects.create_token(
            arguments.project,
            _permissions(arguments),
            device=arguments.device,
            duration=arguments.duration,
            refreshable=not arguments.no_refresh,
        )
    except BadArgument as error:
        raise ConfigError([str(error)]) from error
    return _asking(
        arguments,
        lambda hub, terminal: create_token(hub, terminal, asked, arguments.save, _form(arguments)),
    )


def _token_list(arguments: argparse.Namespace) -> Command:
    return _asking(
        arguments, lambda hub, terminal: list_tokens(hub, terminal, arguments.project, _form(arguments))
    )


def _token_revoke(arguments: argparse.Namespace) -> Command:
    return _asking(
        arguments, lambda hub, terminal: revoke_token(hub, terminal, arguments.token, _form(arguments))
    )


def _token_adopt(arguments: argparse.Namespace) -> Command:
    permissions = _permissions(arguments)
    text = _token_text(arguments.token_file, sys.stdin, sys.stderr)
    project = _project_of(text) if arguments.project is None else arguments.project
    return _asking(
        arguments,
        lambda hub, terminal: adopt_token(hub, terminal, project, text, permissions, _form(arguments)),
    )


def _permissions(arguments: argparse.Namespace) -> tuple[str, ...]:
    words = {word.strip() for word in arguments.may.split(",")}
    if not words or words - set(PERMISSIONS):
        raise ConfigError([f"--may: {shorten(arguments.may)!r} is not some of {','.join(PERMISSIONS)}"])
    return tuple(word for word in PERMISSIONS if word in words)


def _token_text(path: str | None, stdin: TextIO | None, stderr: TextIO) -> str:
    text = key_text("--token-file", path)
    if text is None:
        given = opened(stdin, "standard input")
        if given.isatty():
            stderr.write("txbridge: paste the token, and end it with Enter\n")
        text = given.readline(_LONGEST + 1)
    token = text.strip()
    if not token or len(token) > _LONGEST or not token.isascii() or not token.isprintable():
        raise ConfigError(["a token is one line of text; there is none"])
    return token


def _project_of(token: str) -> int:
    try:
        project = token_payload(token).project_id
    except BadArgument as error:
        raise ConfigError([str(error)]) from error
    if project is None:
        raise ConfigError(["the token names no project: say which"])
    return project


_LONGEST = 4096  # characters of a token; those of the service had about 300


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 2**63):
        raise argparse.ArgumentTypeError(f"{shorten(text)!r} is not the number of a project")
    return int(text)


def _form(arguments: argparse.Namespace) -> Form:
    return "json" if arguments.json else "table"


def _asking(
    arguments: argparse.Namespace, command: Callable[[HttpCarrier, Terminal], Deferred[int]]
) -> Command:
    """A command with a way to the hub, which is closed at the end."""
    config = hub_of(arguments)

    @deferred
    async def run_and_close(reactor: Any, terminal: Terminal) -> int:
        carrier = assembly.iobeam_account_of(reactor, config)
        try:
            return await explained(config, terminal, lambda: command(carrier, terminal))
        finally:
            await carrier.close()

    return run_and_close


# ----------------------------------------------------------------------------------------- commands


@deferred
async def list_projects(hub: HttpCarrier, terminal: Terminal, form: Form) -> int:
    """Show the projects.

    Args:
        hub: Asked.
        terminal: Where to show them.
        form: ``"table"`` or ``"json"``.
    """
    found = await hub.run(projects.list_projects())
    if form == "json":
        terminal.give(json_text({"projects": [_project_members(one) for one in found]}))
    elif found:
        rows = [(str(one.number), one.name, instant(one.created)) for one in found]
        terminal.give(table(("project", "name", "created"), rows, right=(0,)))
    else:
        terminal.say("there are no projects; 'txbridge hub project create NAME' makes one")
    return DONE


@deferred
async def create_project(
    hub: HttpCarrier, terminal: Terminal, name: str, number: int | None, form: Form
) -> int:
    """Make a project and show its number."""
    made = await hub.run(projects.create_project(name, number))
    terminal.give(json_text(_project_members(made)) if form == "json" else f"{made.number}\n")
    return DONE


@deferred
async def delete_project(hub: HttpCarrier, terminal: Terminal, number: int, form: Form) -> int:
    """Delete a project with its tokens."""
    await hub.run(projects.delete_project(number))
    words = f"project {number} is deleted; the feeds of its devices are still there"
    return _done(terminal, form, {"project": number, "deleted": True}, words)


@deferred
async def list_tokens(hub: HttpCarrier, terminal: Terminal, project: int, form: Form) -> int:
    """Show what is known of a project's tokens; nobody knows their texts."""
    found = await _of_project(hub, project, projects.list_tokens(project))
    if form == "json":
        terminal.give(json_text({"tokens": [_token_members(one) for one in found]}))
    elif found:
        rows = [
            (
                one.reference,
                ", ".join(one.permissions),
                one.device or "all",
                "yes" if one.refreshable else "no",
                instant(one.created),
                instant(one.expires) or "never",
            )
            for one in found
        ]
        terminal.give(table(("token", "may", "device", "refreshable", "created", "expires"), rows))
    else:
        terminal.say(f"project {project} has no tokens; 'txbridge hub token create {project}' makes one")
    return DONE


@deferred
async def create_token(
    hub: HttpCarrier,
    terminal: Terminal,
    asked: Operation[NewToken],
    save: str | None = None,
    form: Form = "table",
) -> int:
    """Make a token, and show it: this is the only time that it is told.

    Args:
        hub: Asked.
        terminal: Where to show it.
        asked: The token that is wanted.
        save: Write it to this new file instead.
        form: ``"table"`` or ``"json"``.
    """
    if save is None:
        made = await hub.run(asked)
        document = {"token": made.text, **_token_members(made.token)}
        terminal.give(json_text(document) if form == "json" else f"{made.text}\n")
        if terminal.is_interactive:
            terminal.say(f"token {made.token.reference} is shown this once; {_words(made.token)}")
        return DONE
    # Before anything is made: a token that could not be written would be lost.
    with _new_secret(save) as file:
        made = await hub.run(asked)
        file.write(f"{made.text}\n")
    words = f"token {made.token.reference} is in {save}; {_words(made.token)}"
    return _done(terminal, form, {"file": save, **_token_members(made.token)}, words)


@deferred
async def adopt_token(
    hub: HttpCarrier, terminal: Terminal, project: int, text: str, permissions: tuple[str, ...], form: Form
) -> int:
    """Let a token that a device has open a project."""
    token = await _of_project(hub, project, projects.adopt_token(project, text, permissions))
    words = f"token {token.reference} opens project {token.project} now; {_words(token)}"
    return _done(terminal, form, _token_members(token), words)


@deferred
async def revoke_token(hub: HttpCarrier, terminal: Terminal, reference: str, form: Form) -> int:
    """Make a token open nothing any more."""
    await hub.run(projects.revoke_token(reference))
    words = f"token {reference} opens nothing any more"
    return _done(terminal, form, {"token_id": reference, "revoked": True}, words)


def _done(terminal: Terminal, form: Form, members: dict[str, Any], words: str) -> int:
    """Say what was done, to a program or to a person."""
    if form == "json":
        terminal.give(json_text(members))
    else:
        terminal.say(words)
    return DONE


async def _of_project(hub: HttpCarrier, project: int, asked: Operation[T]) -> T:
    """Ask for what can fail to be there only because the project is not."""
    try:
        return await hub.run(asked)
    except NoSuchThing as error:
        known = f"there is no project {project}, or it is somebody else's"
        raise ConfigError(
            [f"{known}; 'txbridge hub project create NAME --number {project}' makes it"]
        ) from error


@contextmanager
def _new_secret(path: str) -> Iterator[TextIO]:
    """A new file that only this user can read; it is gone again if the block fails."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError([f"--save: cannot make {path}: {error.strerror}"]) from error
    is_whole = False
    try:
        with open(descriptor, "w", encoding="ascii") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
            is_whole = True
    finally:
        if not is_whole:
            os.unlink(path)


def _words(token: Token) -> str:
    for_whom = "every device" if token.device is None else f"device {token.device}"
    until = "never ends" if token.expires is None else f"ends {instant(token.expires)}"
    return f"it is for {for_whom}, may {' and '.join(token.permissions)}, and {until}"


def _project_members(project: Project) -> dict[str, Any]:
    return {"project": project.number, "name": project.name, "created": _iso(project.created)}


def _token_members(token: Token) -> dict[str, Any]:
    return {
        "token_id": token.reference,
        "project": token.project,
        "may": list(token.permissions),
        "device": token.device,
        "refreshable": token.refreshable,
        "created": _iso(token.created),
        "expires": _iso(token.expires),
    }


def _iso(at: datetime | None) -> str | None:
    return None if at is None else format_instant(at)
