"""Compare the two ends of a route before anything flows.

`plan_route` lists what has to be done to the source's batches so that the sink can take them:
each is a `Conversion` with a short, stable name.  One that cannot be undone is a *loss*, and a
route with losses runs only if its policy accepts each by that name; otherwise nobody would find
out before the data is needed.  The names are:

``time ns -> us``
    Instants are cut off at the sink's resolution (any two of ns, us, ms, s; other resolutions are
    written as a number of nanoseconds).  Of rows that get one instant the last will be there.  A loss.
``columns -> streams``
    Each column of a stream becomes a stream of its own, ``stream.column``.
``boolean -> integer``, ``boolean -> float``, ``boolean -> text``
    False and true become 0 and 1, or ``false`` and ``true``.
``integer -> float``
    Beyond ±2⁵³ not every integer is there.  A loss.
``integer -> text``, ``float -> text``
    The shortest decimal text that reads back as the same number.
``float -> integer``
    Rounded to the nearest, ties to even; what no int64 can hold is dropped.  A loss.
``float dropped``, ``integer dropped``, ``boolean dropped``, ``text dropped``
    The sink has no place for such columns.  A loss.
``not-a-number dropped``
    Rows with NaN, or with an infinity if the sink takes none, are dropped, with a break that lies
    before the last of them if nothing follows in their block.  A loss.
``breaks dropped``, ``gaps dropped``, ``descriptions dropped``, ``annotations and events dropped``
    The sink has no words for them.  Losses.
``latest value only``
    The sink keeps no history, so a backlog replaces itself.  A loss.
``no acknowledgement``
    The sink cannot say what arrived, so what was in flight when a link broke may be missing.  A
    loss.

The conversions run on the way out of the outbox, per destination, and a sink is never given
anything that its capabilities do not name.  Rows and notes that are dropped are counted in the ledger:
that a loss was accepted does not mean that nobody wants to know how much it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from attrs import evolve, field, frozen
from numpy.typing import NDArray

from txbridge.errors import PlanRefused
from txbridge.model.samples import (
    VALUE,
    Batch,
    Column,
    Gap,
    Instants,
    SampleBlock,
    ValueType,
    value_type_of,
)
from txbridge.relay.roles import Capabilities

__all__ = ["Conversion", "Plan", "RoutePolicy", "plan_route"]

_UNITS = {1: "ns", 1_000: "us", 1_000_000: "ms", 1_000_000_000: "s"}
_INT64 = 2.0**63


@frozen
class RoutePolicy:
    """What the operator accepts to lose on one way through a route.

    Attributes:
        accept: The names of the losses, as this module's text lists them.
    """

    accept: frozenset[str] = frozenset()


@frozen
class Conversion:
    """One thing that happens to every batch of a route.

    Attributes:
        name: What, in the words of this module's text.
        loss: Whether it cannot be undone.
        apply: Does it to a batch.
    """

    name: str
    loss: bool
    apply: Callable[[Batch], Batch] = field(repr=False, eq=False)


@frozen
class Plan:
    """What a route does to its batches for one destination.

    Attributes:
        conversions: In the order in which they are done.
    """

    conversions: tuple[Conversion, ...] = ()

    @property
    def losses(self) -> tuple[str, ...]:
        """The names of the conversions that lose something."""
        return tuple(conversion.name for conversion in self.conversions if conversion.loss)

    def convert(self, batch: Batch) -> Batch:
        """The batch as the sink can take it."""
        return self.convert_and_tell(batch)[0]

    def convert_and_tell(self, batch: Batch) -> tuple[Batch, list[Gap]]:
        """The batch as the sink can take it, and what is not in it any more.

        Returns:
            The batch, and one gap for each stream and conversion that has dropped rows or notes of it, or
            given rows one instant, so that only the last of them will be there.
        """
        gaps: list[Gap] = []
        for conversion in self.conversions:
            converted = conversion.apply(batch)
            if conversion.loss:
                gaps += _dropped(batch, converted, conversion.name)
                gaps += _merged(batch, converted, conversion.name)
            batch = converted
        return batch, gaps


def _dropped(before: Batch, after: Batch, reason: str) -> Iterable[Gap]:
    if before.points > after.points:
        left = _instants(after)
        for stream, ats in _instants(before).items():
            kept = left.get(stream, ats[:0])
            if len(kept) < len(ats):
                gone = np.setdiff1d(ats, kept)
                # Of equal instants some may be left: then all that is known is the whole.
                span = gone if len(gone) else ats
                yield Gap(stream, int(span.min()), int(span.max()), reason, len(ats) - len(kept))
    if before.notes and not after.notes:
        gaps: dict[str, Gap] = {}
        for gap in Batch(notes=before.notes).lost(reason):
            gaps[gap.stream] = gaps[gap.stream].merge(gap) if gap.stream in gaps else gap
        yield from gaps.values()


def _merged(before: Batch, after: Batch, reason: str) -> Iterable[Gap]:
    if before.points != after.points or len(before.blocks) != len(after.blocks):
        return
    for old, new in zip(before.blocks, after.blocks, strict=True):
        same = new.at[1:] == new.at[:-1]
        points = int(np.count_nonzero(same)) - int(np.count_nonzero(old.at[1:] == old.at[:-1]))
        if points > 0:
            first, last = np.flatnonzero(same)[[0, -1]]
            yield Gap(new.stream, int(old.at[first]), int(old.at[last]), f"{reason}: one instant", points)


def _instants(batch: Batch) -> dict[str, Instants]:
    ats: dict[str, list[Instants]] = {}
    for block in batch.blocks:
        ats.setdefault(block.stream, []).append(block.at)
    return {stream: np.concatenate(parts) for stream, parts in ats.items()}


def plan_route(source: Capabilities, sink: Capabilities, policy: RoutePolicy) -> Plan:
    """Say what has to happen between two ends.

    Args:
        source: What may come.
        sink: What can be taken.
        policy: The losses that are accepted.

    Raises:
        PlanRefused: There are losses that the policy does not name; all of them are listed.
    """
    plan = Plan(tuple(_conversions(source, sink)))
    refused = [name for name in plan.losses if name not in policy.accept]
    if refused:
        raise PlanRefused(refused)
    return plan


def _conversions(source: Capabilities, sink: Capabilities) -> Iterable[Conversion]:
    if source.time_resolution_ns < sink.time_resolution_ns:
        name = f"time {_unit(source.time_resolution_ns)} -> {_unit(sink.time_resolution_ns)}"
        yield Conversion(name, True, _coarse_time(sink.time_resolution_ns))
    if source.several_columns and not sink.several_columns:
        yield Conversion("columns -> streams", False, _columns_to_streams)
    for kind in ValueType:
        if kind in source.value_types and kind not in sink.value_types:
            yield _type_conversion(kind, sink.value_types)
    takes_infinities = sink.not_numbers or sink.infinities
    if ValueType.FLOAT in source.value_types & sink.value_types and (
        (source.not_numbers and not sink.not_numbers) or (source.infinities and not takes_infinities)
    ):
        drop = _drop_rows(np.isnan) if takes_infinities else _drop_rows(lambda column: ~np.isfinite(column))
        yield Conversion("not-a-number dropped", True, _each_block(drop))
    if source.breaks and not sink.breaks:
        yield Conversion("breaks dropped", True, _each_block(lambda block: evolve(block, breaks=())))
    # An outbox makes gaps too, so they are taken out even when the source makes none.
    if not sink.gaps:
        yield Conversion("gaps dropped", source.gaps, lambda batch: evolve(batch, gaps=()))
    if not sink.infos:
        yield Conversion("descriptions dropped", source.infos, lambda batch: evolve(batch, infos=()))
    if source.notes and not sink.notes:
        yield Conversion("annotations and events dropped", True, lambda batch: evolve(batch, notes=()))
    if not sink.history:
        yield Conversion("latest value only", True, lambda batch: batch)
    if not sink.acknowledges:
        yield Conversion("no acknowledgement", True, lambda batch: batch)


def _unit(resolution_ns: int) -> str:
    return _UNITS.get(resolution_ns, f"{resolution_ns} ns")


def _each_block(change: Callable[[SampleBlock], SampleBlock]) -> Callable[[Batch], Batch]:
    def apply(batch: Batch) -> Batch:
        changed = (change(block) for block in batch.blocks)
        return evolve(batch, blocks=tuple(block for block in changed if len(block)))

    return apply


def _coarse_time(resolution_ns: int) -> Callable[[Batch], Batch]:
    return _each_block(lambda block: evolve(block, at=block.at - block.at % resolution_ns))


def _columns_to_streams(batch: Batch) -> Batch:
    blocks: list[SampleBlock] = []
    for block in batch.blocks:
        if tuple(block.columns) == (VALUE,):
            blocks.append(block)
        else:
            blocks.extend(
                SampleBlock(f"{block.stream}.{name}", block.at, {VALUE: column}, block.breaks)
                for name, column in block.columns.items()
            )
    infos = tuple(
        one
        for info in batch.infos
        for one in (
            [evolve(column, name=f"{info.name}.{column.name}", tags=info.tags) for column in info.columns]
            or [info]
        )
    )
    return evolve(batch, blocks=tuple(blocks), infos=infos)


def _as_text(column: Column) -> Column:
    if column.dtype.kind == "b":
        texts = ["true" if value else "false" for value in column.tolist()]
    else:
        texts = [repr(value) for value in column.tolist()]
    return np.array(texts, object)


def _as_integer(column: Column) -> Column:
    return np.rint(column).astype(np.int64)


# What each type may become, best first: the name of the other type, whether that loses something,
# and how it is done to a column.
_BECOMES: Mapping[ValueType, tuple[tuple[ValueType, bool, Callable[[Column], Column]], ...]] = {
    ValueType.BOOLEAN: (
        (ValueType.INTEGER, False, lambda column: column.astype(np.int64)),
        (ValueType.FLOAT, False, lambda column: column.astype(np.float64)),
        (ValueType.TEXT, False, _as_text),
    ),
    ValueType.INTEGER: (
        (ValueType.FLOAT, True, lambda column: column.astype(np.float64)),
        (ValueType.TEXT, False, _as_text),
    ),
    ValueType.FLOAT: (
        (ValueType.TEXT, False, _as_text),
        (ValueType.INTEGER, True, _as_integer),
    ),
    ValueType.TEXT: (),
}


def _type_conversion(kind: ValueType, taken: frozenset[ValueType]) -> Conversion:
    for other, loss, convert in _BECOMES[kind]:
        if other in taken:
            fits = _fits_integer if (kind, other) == (ValueType.FLOAT, ValueType.INTEGER) else None
            change = _change_columns(kind, convert, fits)
            apply = _described(kind, other, _each_block(change))
            return Conversion(f"{kind.value} -> {other.value}", loss, apply)
    return Conversion(f"{kind.value} dropped", True, _described(kind, None, _drop_columns(kind)))


def _described(
    kind: ValueType, other: ValueType | None, change: Callable[[Batch], Batch]
) -> Callable[[Batch], Batch]:
    """Let the descriptions of streams follow a change of their values' type."""

    def apply(batch: Batch) -> Batch:
        infos = (
            info.each_column(lambda one: evolve(one, value_type=other) if one.value_type is kind else one)
            for info in batch.infos
        )
        return evolve(change(batch), infos=tuple(infos))

    return apply


def _change_columns(
    kind: ValueType, convert: Callable[[Column], Column], fits: Callable[[Column], NDArray[np.bool_]] | None
) -> Callable[[SampleBlock], SampleBlock]:
    def change(block: SampleBlock) -> SampleBlock:
        chosen = [name for name, column in block.columns.items() if value_type_of(column) is kind]
        if chosen and fits is not None:
            block, _ = block.take(np.all([fits(block.columns[name]) for name in chosen], axis=0))
        columns = {name: convert(one) if name in chosen else one for name, one in block.columns.items()}
        return evolve(block, columns=columns) if chosen else block

    return change


def _drop_columns(kind: ValueType) -> Callable[[Batch], Batch]:
    def apply(batch: Batch) -> Batch:
        blocks: list[SampleBlock] = []
        for block in batch.blocks:
            columns = {name: one for name, one in block.columns.items() if value_type_of(one) is not kind}
            if len(columns) == len(block.columns):
                blocks.append(block)
            elif columns:
                blocks.append(evolve(block, columns=columns))
        return evolve(batch, blocks=tuple(blocks))

    return apply


def _fits_integer(column: Column) -> NDArray[np.bool_]:
    rounded = np.rint(column)
    fits: NDArray[np.bool_] = (rounded >= -_INT64) & (rounded < _INT64)
    return fits


def _drop_rows(unwanted: Callable[[Column], NDArray[np.bool_]]) -> Callable[[SampleBlock], SampleBlock]:
    def drop(block: SampleBlock) -> SampleBlock:
        floats = [unwanted(column) for column in block.columns.values() if column.dtype.kind == "f"]
        if not floats:
            return block
        dropped = np.any(floats, axis=0)
        return block.take(~dropped)[0] if dropped.any() else block

    return drop
