"""What every command of the program is to the parser: a name, a line of help, and what it starts."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from txbridge.daemon.terminal import Terminal

__all__ = ["Command", "add_command"]

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
