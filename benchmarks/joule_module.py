"""A module of a Joule node that makes ``float32_8`` at an even pace: ``python -m benchmarks.joule_module``.

The node starts it, in its own environment, and gives it the rest of the command line.  A row's
timestamp is the instant at which it is there, so that whoever gets it can tell how old it is.
"""

from __future__ import annotations

import asyncio
import time
from importlib import import_module
from typing import Any

import numpy as np

__all__ = ["main"]

WIDTH = 8
BLOCK_SECONDS = 0.1


async def _run(module: Any, arguments: Any, output: Any) -> None:
    period, block = round(1e6 / arguments.rate), round(arguments.rate * BLOCK_SECONDS)
    rows = np.empty(block, [("timestamp", "<i8"), ("data", "<f4", (WIDTH,))])
    newest = round(time.time() * 1e6)
    generator = np.random.default_rng(1)
    while not module.stop_requested:
        rows["timestamp"] = newest + period * np.arange(1, block + 1)
        rows["data"] = 230 + generator.standard_normal((block, WIDTH))
        newest = int(rows["timestamp"][-1])
        await asyncio.sleep(max(0.0, newest / 1e6 - time.time()))
        await output.write(rows)


def main() -> None:
    """Run until the node stops it."""
    members = {
        "custom_args": lambda module, parser: parser.add_argument("--rate", type=float, required=True),
        "run": _run,
    }
    # Made here, because nothing of Joule is installed where types are checked.
    type("Steady", (import_module("joule.client").ReaderModule,), members)().start()


if __name__ == "__main__":
    main()
