"""What a route may do to its batches: rename, scale, select, thin out.

A step is a frozen value.  `Step.apply` returns the batch it makes *and the step to use next*:
one that remembers something returns itself with the new memory.  So the route decides when the
memory counts.  It keeps the new steps only after the outbox accepted the batch; if the source
breaks before that and is opened again after its last settled cursor, the rows that come again
meet the memory they met the first time, and no row is counted twice.  (The design not chosen, a
step with a mutable memory, would need a copy at the same moments.)

Steps are composed by `run_steps`, in order.  No step drops a row that an interval break lies
before, so no break is lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Literal, Protocol, Self

import numpy as np
from attrs import evolve, field, frozen
from numpy.typing import NDArray

from txbridge.model.samples import Batch, Column, SampleBlock, StreamInfo, ValueType
from txbridge.relay.roles import Capabilities

__all__ = ["Change", "Decimate", "Rename", "Scale", "Select", "Step", "flush_steps", "run_steps"]

EVERYTHING = ("*",)
_SECOND = 1_000_000_000


class Step(Protocol):
    """One thing done to every batch of a route."""

    def apply(self, batch: Batch) -> tuple[Batch, Step]:
        """Do it; returns the new batch, its cursor kept, and the step for the next batch."""

    def flush(self) -> tuple[Batch, Step]:
        """Give what is held back, because nothing more will come."""

    def gives(self, takes: Capabilities) -> Capabilities:
        """What may come out, when this is what may go in."""


class _Plain:
    """A step that holds nothing back and lets out what may come in."""

    __slots__ = ()

    def flush(self) -> tuple[Batch, Self]:
        """Nothing is held back."""
        return Batch(), self

    def gives(self, takes: Capabilities) -> Capabilities:
        """The same as comes in."""
        return takes


def run_steps(steps: Sequence[Step], batch: Batch) -> tuple[Batch, tuple[Step, ...]]:
    """Send a batch through all steps; returns what comes out, and the steps for the next batch."""
    following: list[Step] = []
    for step in steps:
        batch, after = step.apply(batch)
        following.append(after)
    return batch, tuple(following)


def flush_steps(steps: Sequence[Step]) -> tuple[Batch, tuple[Step, ...]]:
    """Everything that the steps hold back, each part sent through the steps after its own."""
    batch = Batch()
    following: list[Step] = []
    for step in steps:
        passed, after = step.apply(batch)
        held, after = after.flush()
        batch = Batch.merge([passed, held])
        following.append(after)
    return batch, tuple(following)


def _matches(stream: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(stream, pattern) for pattern in patterns)


@frozen
class Rename(_Plain):
    """Give streams other names.

    Attributes:
        names: Old name -> new name; streams that are not named keep theirs.
        prefix: Put before every name, a new one too.

    Raises:
        ValueError: Two streams would get one name.
    """

    names: Mapping[str, str] = field(factory=dict)
    prefix: str = ""

    def __attrs_post_init__(self) -> None:
        seen: dict[str, str] = {}
        for old, new in self.names.items():
            if not new:
                raise ValueError(f"stream {old!r} needs a new name that is not empty")
            if new in seen:
                raise ValueError(f"streams {seen[new]!r} and {old!r} would both be {new!r}")
            seen[new] = old

    def apply(self, batch: Batch) -> tuple[Batch, Rename]:
        """Rename in everything."""
        blocks = tuple(evolve(block, stream=self._rename(block.stream)) for block in batch.blocks)
        gaps = tuple(evolve(gap, stream=self._rename(gap.stream)) for gap in batch.gaps)
        infos = tuple(evolve(info, name=self._rename(info.name)) for info in batch.infos)
        notes = tuple(evolve(note, stream=self._rename(note.stream)) for note in batch.notes)
        return Batch(blocks, gaps, infos, batch.cursor, notes), self

    def _rename(self, stream: str) -> str:
        return self.prefix + self.names.get(stream, stream)


@frozen
class Scale(_Plain):
    """Multiply and shift the numbers of some streams: ``value * factor + offset``, as floats.

    Texts and booleans are left as they are.

    Attributes:
        factor: By what to multiply.
        offset: What to add afterwards.
        streams: Shell patterns of the streams it is for.
        unit_symbol: The unit symbol of the result, or None to keep the one there is.
        unit_label: The same for the unit's name.
    """

    factor: float = 1.0
    offset: float = 0.0
    streams: tuple[str, ...] = EVERYTHING
    unit_symbol: str | None = None
    unit_label: str | None = None

    def apply(self, batch: Batch) -> tuple[Batch, Scale]:
        """Scale the matching blocks, and change their units."""
        blocks = tuple(self._scale(block) for block in batch.blocks)
        infos = tuple(self._describe(info) for info in batch.infos)
        return evolve(batch, blocks=blocks, infos=infos), self

    def gives(self, takes: Capabilities) -> Capabilities:
        """Floats where there were integers."""
        return _with_floats(takes)

    def _scale(self, block: SampleBlock) -> SampleBlock:
        if not _matches(block.stream, self.streams):
            return block
        columns = {
            name: column * self.factor + self.offset if column.dtype.kind in "fi" else column
            for name, column in block.columns.items()
        }
        return evolve(block, columns=columns)

    def _describe(self, info: StreamInfo) -> StreamInfo:
        if not _matches(info.name, self.streams):
            return info
        return evolve(info, native=None).each_column(
            lambda one: evolve(
                one,
                unit_symbol=one.unit_symbol if self.unit_symbol is None else self.unit_symbol,
                unit_label=one.unit_label if self.unit_label is None else self.unit_label,
                value_type=_float_type(one.value_type),
            ),
        )


@frozen
class Select(_Plain):
    """Let only some streams through.

    Attributes:
        include: Shell patterns; one must match.
        exclude: Shell patterns; none may match.
    """

    include: tuple[str, ...] = EVERYTHING
    exclude: tuple[str, ...] = ()

    def apply(self, batch: Batch) -> tuple[Batch, Select]:
        """Drop everything of other streams."""
        blocks = tuple(block for block in batch.blocks if self._wants(block.stream))
        gaps = tuple(gap for gap in batch.gaps if self._wants(gap.stream))
        infos = tuple(info for info in batch.infos if self._wants(info.name))
        notes = tuple(note for note in batch.notes if self._wants(note.stream))
        return Batch(blocks, gaps, infos, batch.cursor, notes), self

    def _wants(self, stream: str) -> bool:
        return _matches(stream, self.include) and not _matches(stream, self.exclude)


@frozen
class _Kept:
    """The last row of a stream that `Change` let through."""

    at: int
    row: tuple[float | str, ...]


@frozen
class Change(_Plain):
    """Let a row through only if it says something new.

    The first row of a stream passes, and so does the first after a break.  Of the others one
    passes when a number differs by more than ``deadband`` from the row that passed last, when a
    text or a boolean differs at all, or when ``at_least_every`` seconds have gone by.

    Attributes:
        deadband: The difference that says nothing; 0 lets every change through.
        at_least_every: Seconds after which a row passes unchanged, or None.
        streams: Shell patterns of the streams it is for.
        memory: Stream -> the last row that passed.
    """

    deadband: float = 0.0
    at_least_every: float | None = None
    streams: tuple[str, ...] = EVERYTHING
    memory: Mapping[str, _Kept] = field(factory=dict, repr=False)

    def apply(self, batch: Batch) -> tuple[Batch, Change]:
        """Drop the rows that say nothing new."""
        memory = dict(self.memory)
        blocks = tuple(self._thin(block, memory) for block in batch.blocks)
        batch = evolve(batch, blocks=tuple(block for block in blocks if len(block)))
        return batch, evolve(self, memory=memory)

    def _thin(self, block: SampleBlock, memory: dict[str, _Kept]) -> SampleBlock:
        if len(block) == 0 or not _matches(block.stream, self.streams):
            return block
        last = memory.get(block.stream)
        breaks = set(block.breaks)
        every = None if self.at_least_every is None else int(self.at_least_every * _SECOND)
        keep = np.zeros(len(block), np.bool_)
        rows = zip(*(column.tolist() for column in block.columns.values()), strict=True)
        for index, (at, row) in enumerate(zip(block.at.tolist(), rows, strict=True)):
            if (
                last is None
                or index in breaks
                or (every is not None and at - last.at >= every)
                or self._differs(last.row, row)
            ):
                keep[index] = True
                last = memory[block.stream] = _Kept(at, row)
        return block.take(keep)[0]

    def _differs(self, last: tuple[float | str, ...], row: tuple[float | str, ...]) -> bool:
        if len(last) != len(row):
            return True
        for old, new in zip(last, row, strict=True):
            if isinstance(old, str | bool) or isinstance(new, str | bool):
                if old != new:
                    return True
            elif (old != old) != (new != new) or abs(new - old) > self.deadband:
                return True
        return False


@frozen
class _Open:
    """The span of a stream that is not over: what its rows come to so far, as one row."""

    row: SampleBlock
    weight: int


@frozen
class Decimate:
    """Make one row of all rows in each span of ``every`` seconds.

    Spans are counted from 1970, so the spans of all streams coincide.  The row carries the
    instant of the last row that went into it.  A span ends with the first row after it; a break
    ends it too, because a mean across a break would be made up.  The span that is not over is
    held in memory: an orderly stop gives it (`flush`), a crash loses it.

    Attributes:
        every: Seconds.
        method: ``"last"`` keeps the last row; ``"mean"`` takes the mean of each number column,
            as floats, and the last of the others.
        streams: Shell patterns of the streams it is for.
        memory: Stream -> its open span.

    Raises:
        ValueError: ``every`` is not above 0, or there is no such method.
    """

    every: float
    method: Literal["last", "mean"] = "last"
    streams: tuple[str, ...] = EVERYTHING
    memory: Mapping[str, _Open] = field(factory=dict, repr=False)

    def __attrs_post_init__(self) -> None:
        if not self.every * _SECOND >= 1:
            raise ValueError(f"cannot make one row of every {self.every} seconds")
        if self.method not in ("last", "mean"):
            raise ValueError(f"there is no method {self.method!r}: last, mean")

    def apply(self, batch: Batch) -> tuple[Batch, Decimate]:
        """Give the rows of the spans that are over."""
        memory = dict(self.memory)
        blocks: list[SampleBlock] = []
        for block in batch.blocks:
            if len(block) and _matches(block.stream, self.streams):
                blocks.extend(self._reduce(block, memory))
            else:
                blocks.append(block)
        infos = tuple(self._describe(info) for info in batch.infos)
        return evolve(batch, blocks=tuple(blocks), infos=infos), evolve(self, memory=memory)

    def flush(self) -> tuple[Batch, Decimate]:
        """Give the open spans as they are."""
        return Batch(tuple(one.row for one in self.memory.values())), evolve(self, memory={})

    def gives(self, takes: Capabilities) -> Capabilities:
        """A mean of integers is a float."""
        return _with_floats(takes) if self.method == "mean" else takes

    def _reduce(self, block: SampleBlock, memory: dict[str, _Open]) -> list[SampleBlock]:
        if self.method == "mean":
            block = evolve(block, columns={name: _float(column) for name, column in block.columns.items()})
        weights = np.ones(len(block), np.int64)
        done: list[SampleBlock] = []
        held = memory.get(block.stream)
        if held is not None:
            if block.continues(held.row):
                block = SampleBlock.concat([held.row, block])
                weights = np.concatenate([[held.weight], weights])
            else:  # older than what is held, or of other columns: that span cannot go on
                done.append(held.row)
        spans = block.at // int(self.every * _SECOND)
        starts_here = np.ones(len(block), np.bool_)
        starts_here[1:] = spans[1:] != spans[:-1]
        starts_here[list(block.breaks)] = True
        starts = np.flatnonzero(starts_here)
        reduced = self._rows(block, weights, starts)
        over = len(starts) - 1
        memory[block.stream] = _Open(reduced.slice(over, over + 1), int(weights[starts[-1] :].sum()))
        if over:
            done.append(reduced.slice(0, over))
        return done

    def _describe(self, info: StreamInfo) -> StreamInfo:
        means = self.method == "mean" and _matches(info.name, self.streams)
        if not means:
            return info
        return evolve(info, native=None).each_column(
            lambda one: evolve(one, value_type=_float_type(one.value_type))
        )

    def _rows(self, block: SampleBlock, weights: NDArray[np.int64], starts: NDArray[np.intp]) -> SampleBlock:
        lasts = np.append(starts[1:], len(block)) - 1
        columns: dict[str, Column] = {}
        for name, column in block.columns.items():
            if self.method == "mean" and column.dtype.kind == "f":
                columns[name] = np.add.reduceat(column * weights, starts) / np.add.reduceat(weights, starts)
            else:
                columns[name] = column[lasts]
        # Every break starts a span, so it lies before the span's row.
        breaks = tuple(int(row) for row in np.searchsorted(starts, block.breaks))
        return SampleBlock(block.stream, block.at[lasts], columns, breaks)


def _with_floats(takes: Capabilities) -> Capabilities:
    # What is computed from infinities may be no number.
    takes = evolve(takes, not_numbers=takes.not_numbers or takes.infinities)
    if ValueType.INTEGER not in takes.value_types:
        return takes
    return evolve(takes, value_types=takes.value_types | {ValueType.FLOAT})


def _float_type(kind: ValueType | None) -> ValueType | None:
    return ValueType.FLOAT if kind is ValueType.INTEGER else kind


def _float(column: Column) -> Column:
    return column.astype(np.float64) if column.dtype.kind == "i" else column
