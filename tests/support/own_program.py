"""Python programs of our users, such as the examples, run as they are run: each in its own process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.program import PATIENCE, Program

__all__ = ["run_python", "running_python"]


def run_python(script: Path, *arguments: str, environ: Mapping[str, str]) -> str:
    """Run a program to its good end; what it printed."""
    done = subprocess.run(
        [sys.executable, str(script), *arguments],
        env=dict(environ),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, f"{script.name} ended with {done.returncode}: {done.stderr}"
    return done.stdout


@contextmanager
def running_python(script: Path, *arguments: str, environ: Mapping[str, str]) -> Iterator[Program]:
    """Run a program while a block runs."""
    running = Program(sys.executable, str(script), *arguments, environ=environ)
    try:
        yield running
    finally:
        running.close()
