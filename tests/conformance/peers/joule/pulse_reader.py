#!/usr/bin/env python3
"""Test module: a deterministic ramp with interval breaks.

Rows are [ts, n, n*n]; n counts up from 0 and is also the row index, so a
subscriber can tell whether a row was lost. Every `run_length` rows the
interval is closed and the clock jumps ahead by one extra period.
"""

from __future__ import annotations

import asyncio

import numpy as np
from joule.client import ReaderModule
from joule.utilities import time_now


class PulseReader(ReaderModule):
    def custom_args(self, parser):
        parser.add_argument("--rate", type=float, default=50.0)
        parser.add_argument("--run_length", type=int, default=100)
        parser.add_argument("--block", type=int, default=10)

    async def run(self, args, output):
        period = int(1e6 / args.rate)
        n = 0
        ts = time_now()
        while not self.stop_requested:
            idx = np.arange(n, n + args.block, dtype=np.int64)
            stamps = ts + period * np.arange(args.block, dtype=np.int64)
            await output.write(np.column_stack((stamps, idx, (idx * idx) % 2**31)))
            n += args.block
            ts += period * args.block
            if n % args.run_length == 0:
                await output.close_interval()
                ts += period
            print(f"block ends at {n}")  # noqa: T201  # what a module prints is its log
            await asyncio.sleep(args.block / args.rate)


if __name__ == "__main__":
    PulseReader().start()
