"""The two streams of a command: what it gives goes to stdout, what it says about itself to stderr."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

from attrs import frozen
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from txbridge.daemon.render import clean

__all__ = ["Report", "Terminal"]


class Report(Protocol):
    """Told how much is done, in the unit of the total, and what else there is to say of it."""

    def __call__(self, done: float, note: str = "", /) -> None:
        """Called as often as one likes."""


@frozen
class Terminal:
    """Where a command writes.

    Attributes:
        out: For what was asked for.
        err: For everything else.
    """

    out: TextIO
    err: TextIO

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines; 80 and 24 where there is no terminal."""
        size = shutil.get_terminal_size()
        return size.columns, size.lines

    @property
    def is_interactive(self) -> bool:
        """Whether a person watches stdout."""
        return self.out.isatty()

    def give(self, text: str) -> None:
        """Write what was asked for, at once.

        Raises:
            BrokenPipeError: Nobody reads it any more.
        """
        self.out.write(text)
        self.out.flush()

    def say(self, line: str) -> None:
        """Write a line about the command itself."""
        self.err.write(f"txbridge: {clean(line)}\n")
        self.err.flush()

    @contextmanager
    def progress(self, what: str, total: float | None, *, gives: bool = False) -> Iterator[Report]:
        """Show a bar on stderr while a block runs; only a person sees one.

        Args:
            what: What is being done.
            total: When it is done, or None if nobody knows.
            gives: Whether the block writes to stdout; a bar on the same terminal would be in its way.
        """
        if not self.err.isatty() or (gives and self.is_interactive):
            yield _nobody_looks
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        console = Console(file=self.err)
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(clean(what), total=total, note="")
            yield lambda done, note="": bar.update(task, completed=done, note=clean(note))


def _nobody_looks(done: float, note: str = "") -> None:
    """There is no bar."""
