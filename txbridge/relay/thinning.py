"""Every second row: how an outbox that is full keeps old data, more coarsely."""

from __future__ import annotations

import numpy as np
from attrs import evolve

from txbridge.model.samples import Batch, SampleBlock
from txbridge.relay.segments import Span, merge_spans

__all__ = ["Thinning"]


class Thinning:
    """Leaves out every second row of each stream, over batches that follow each other.

    The first row of a stream is kept, and every row before which there is a break, so that no interval
    loses its beginning; counting starts again there.
    """

    def __init__(self) -> None:
        self._odd: dict[str, bool] = {}  # whether the next row of a stream is one to leave out

    def thin(self, batch: Batch) -> tuple[Batch, list[Span]]:
        """The batch without those rows, and what they were."""
        blocks: list[SampleBlock] = []
        lost: dict[str, Span] = {}
        for block in batch.blocks:
            if not len(block):
                continue
            keep = self._keep(block)
            thinned, _ = block.take(keep)
            if len(thinned):
                blocks.append(thinned)
            left_out = block.at[~keep]
            if len(left_out):
                span = Span(block.stream, int(left_out[0]), int(left_out[-1]), len(left_out))
                merge_spans([span], lost)
        return evolve(batch, blocks=tuple(blocks)), list(lost.values())

    def _keep(self, block: SampleBlock) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        starts = np.zeros(len(block), np.int64)
        if block.breaks:
            starts[list(block.breaks)] = list(block.breaks)
            starts = np.maximum.accumulate(starts)
        count = np.arange(len(block)) - starts
        if self._odd.get(block.stream, False):
            first = block.breaks[0] if block.breaks else len(block)
            count[:first] += 1
        keep: np.ndarray[tuple[int], np.dtype[np.bool_]] = count % 2 == 0
        self._odd[block.stream] = bool(keep[-1])
        return keep
