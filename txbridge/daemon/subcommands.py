"""What commands of the program share: what one is to the parser, and words that several of them know."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from txbridge.daemon.config import ClientConfig, client_config, data_dir
from txbridge.daemon.keys import key_text, local_key_text
from txbridge.daemon.running import KEY_WORDS, REFUSED
from txbridge.daemon.terminal import Terminal
from txbridge.errors import AuthError
from txbridge.net.deferred import deferred

__all__ = ["Command", "add_command", "add_connection", "add_json", "add_verbose", "explained", "hub_of"]

Command = Callable[[Any, Terminal], Deferred[int]]
"""Starts a command in a reactor."""


def add_command(
    subparsers: Any, name: str, help: str, command: Callable[[argparse.Namespace], Command], epilog: str
) -> argparse.ArgumentParser:
    """Add a command to others.

    Args:
        subparsers: The others.
        name: What a person writes.
        help: What it does, in a few words that begin small.
        command: Makes it of what was written.
        epilog: Shown below its help.
    """
    added: argparse.ArgumentParser = subparsers.add_parser(
        name,
        help=help,
        description=help[0].upper() + help[1:] + ".",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    added.set_defaults(command=command)
    return added


def add_connection(added: argparse.ArgumentParser, **defaults: Any) -> None:
    """Let a command be told which hub to ask; `hub_of` reads it."""
    added.add_argument("--url", metavar="URL", help="instead of TXBRIDGE_URL", **defaults)
    added.add_argument("--api-key-file", metavar="FILE", help="instead of TXBRIDGE_API_KEY", **defaults)


def add_json(added: Any, help: str, **defaults: Any) -> None:
    """Let a command give what it gives as JSON."""
    added.add_argument("--json", action="store_true", help=help, **defaults)


def add_verbose(added: Any, **defaults: Any) -> None:
    """Let a command log more."""
    added.add_argument("--verbose", action="store_true", help="log more to stderr", **defaults)


def hub_of(arguments: argparse.Namespace) -> ClientConfig:
    """Which hub a command asks, and with which key.

    Raises:
        ConfigError: Every problem of the arguments and the environment.
    """
    environ = os.environ
    path = arguments.api_key_file
    option = "--api-key-file"
    if path is None and "TXBRIDGE_API_KEY" not in environ:
        path, option = environ.get("TXBRIDGE_API_KEY_FILE") or None, "TXBRIDGE_API_KEY_FILE"
    return client_config(
        environ,
        url=arguments.url,
        api_key_text=key_text(option, path),
        local_key_text=local_key_text(data_dir(environ)),
    )


@deferred
async def explained(config: ClientConfig, terminal: Terminal, command: Callable[[], Any]) -> int:
    """Run a command that asks a hub, and say so when it wants a key and has been given none."""
    try:
        status: int = await command()
    except AuthError:
        if config.api_key is not None:
            raise
        terminal.say(f"the hub wants a key, and none was given; {KEY_WORDS}")
        return REFUSED
    return status
