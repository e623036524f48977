"""A machine whose clock is set back while a program runs: a file says by how much."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

__all__ = ["JumpingClock"]

# Loaded by Python before anything else, so that Twisted takes these for the machine's own.
SHIM = """
import time

def jumping(real, unit):
    def now():
        try:
            with open({file!r}) as file:
                return real() - unit * int(file.read())
        except (OSError, ValueError):
            return real()
    return now

time.time, time.time_ns = jumping(time.time, 1), jumping(time.time_ns, 1_000_000_000)
"""


@frozen
class JumpingClock:
    """The clock of programs that run in an environment of it.

    Attributes:
        folder: Where it is kept.
    """

    folder: Path

    def environ(self, environ: Mapping[str, str]) -> dict[str, str]:
        """An environment in which programs have this clock."""
        self.folder.mkdir()
        (self.folder / "sitecustomize.py").write_text(SHIM.format(file=str(self._file)))
        return {**environ, "PYTHONPATH": f"{self.folder}:{environ['PYTHONPATH']}"}

    def set_back(self, seconds: int) -> None:
        """Let it be earlier than it was."""
        self._file.write_text(str(seconds))

    @property
    def _file(self) -> Path:
        return self.folder / "seconds"
