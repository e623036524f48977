"""Measure: ``python -m benchmarks [name ...] [--quick] [--json]``."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Sequence

from rich.console import Console

from benchmarks import codecs, fanout, history, joule, joule_relay, outbox, requests, scale
from benchmarks.harness import FULL, QUICK, Group, Size, drawn_on, show

__all__ = ["main", "measure"]

SUBJECTS = {
    "codecs": codecs, "requests": requests, "fanout": fanout, "history": history, "outbox": outbox,
    "scale": scale,
}  # fmt: skip
BY_NAME = {**SUBJECTS, "joule": joule, "joule-relay": joule_relay}
"""Those above, and what is only measured when asked for, because its peer has to be fetched first."""
WIDTH = 100  # columns, where the output is no terminal


def measure(names: Sequence[str], size: Size) -> list[Group]:
    """Measure subjects, with a progress bar on stderr.

    Args:
        names: Of `BY_NAME`.
        size: How much.
    """
    subjects = [BY_NAME[name] for name in names]
    with drawn_on(Console(stderr=True), sum(subject.turns(size) for subject in subjects)) as tick:
        return [group for subject in subjects for group in subject.run(size, tick)]


def main(arguments: Sequence[str]) -> int:
    """Measure what the command line asks for and print it."""
    parser = ArgumentParser(prog="python -m benchmarks", description="Paired runs beside peers, as ratios.")
    parser.add_argument(
        "names",
        nargs="*",
        metavar="name",
        help=f"{', '.join(BY_NAME)}; by default all that need no peer to be fetched",
    )
    parser.add_argument("--quick", action="store_true", help="under a minute, and less steady")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of tables")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in BY_NAME]
    if unknown:
        parser.error(f"there is no benchmark {unknown[0]!r}; there are {', '.join(BY_NAME)}")
    groups = measure(options.names or list(SUBJECTS), QUICK if options.quick else FULL)
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH)
    show(groups, console, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
