"""Instants of clocks that were wrong: trust them, correct them, or refuse them.

A machine without a clock of its own wakes up in 1970 or at yesterday's noon, and measures happily until
somebody tells it the time.  What is done with such instants is a policy for each destination; what is
never done is to change one in silence.

``trust``
    Instants are delivered as they came.
``correct``
    For a source whose instants come from this machine's clock.  The outbox stamps what it accepts with
    two clocks: the wall clock, and the one that counts since the machine was started and that nobody
    sets.  At the delivery the same two are read again, and the destination's clock is known from its
    answers.  From these three follows how wrong the wall clock was back then; if that is more than the
    tolerance, the rows and notes are moved by it.  After a restart of the machine it cannot be known, so
    what was accepted before is delivered as it came.  Either is written to the ledger, "moved by +3.2 s"
    with the span before the move.  Gaps are not moved: what they tell of may have had another clock.
``reject``
    Rows and notes that lie ahead of the destination's clock by more than the tolerance, or before a
    floor, go to the dead letters, and to the ledger.  While the destination's clock is not known, only
    the floor counts.

`judge` is pure: clocks are arguments.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from enum import Enum
from secrets import token_hex
from typing import Any

import numpy as np
from attrs import evolve, field, frozen
from numpy.typing import NDArray

from txbridge.model.instants import to_nanoseconds
from txbridge.model.samples import Batch, Gap, Note, SampleBlock
from txbridge.net.reactor import resolve_reactor, steady_clock, wall_clock
from txbridge.relay.roles import Stamp

__all__ = ["ClockPolicy", "ClockRule", "Judged", "judge", "machine_clock"]

SECOND = 1_000_000_000
MAX_INSTANT = 2**63 - 1
FLOOR = to_nanoseconds(datetime(2001, 1, 1, tzinfo=UTC))  # clocks without a battery wake up in 1970 or 2000
RESTARTED = "the machine was restarted since, so it is not known whether its clock was right"
UNKNOWN = "the destination's clock is not known, so it is not known whether this machine's was right"
AHEAD = "ahead of the destination's clock"
BOOT_ID = "/proc/sys/kernel/random/boot_id"


class ClockPolicy(Enum):
    """What is done about clocks that were wrong."""

    TRUST = "trust"
    CORRECT = "correct"
    REJECT = "reject"


@frozen(kw_only=True)
class ClockRule:
    """The policy of one destination.

    Attributes:
        policy: What is done.
        tolerance: Seconds that a clock may be wrong.
        floor_ns: The first instant that can be right, for ``reject``.

    Raises:
        ValueError: The tolerance is below the second that a server's date is told in.
    """

    policy: ClockPolicy = ClockPolicy.TRUST
    tolerance: float = 5.0
    floor_ns: int = FLOOR

    def __attrs_post_init__(self) -> None:
        if not self.tolerance >= 1:
            raise ValueError(f"a server's clock is known to the second, not to {self.tolerance} seconds")


@frozen
class Judged:
    """What a policy makes of a batch.

    Attributes:
        batch: What to deliver.
        refused: What goes to the dead letters, with the reason.
        gaps: What to write to the ledger, as the spans that the instants said.
        moved: How many points were moved.
    """

    batch: Batch
    refused: tuple[tuple[Batch, str], ...] = ()
    gaps: tuple[Gap, ...] = field(default=())
    moved: int = 0


def judge(batch: Batch, stamp: Stamp, now: Stamp, skew: float | None, rule: ClockRule) -> Judged:
    """Apply a policy.

    Args:
        batch: What is about to be delivered.
        stamp: When it was accepted.
        now: The same clocks now.
        skew: How many seconds the destination's clock is ahead of the wall clock now; None if unknown.
        rule: The policy.
    """
    if rule.policy is ClockPolicy.CORRECT:
        return _correct(batch, stamp, now, skew, rule)
    if rule.policy is ClockPolicy.REJECT:
        return _reject(batch, now, skew, rule)
    return Judged(batch)


def _correct(batch: Batch, stamp: Stamp, now: Stamp, skew: float | None, rule: ClockRule) -> Judged:
    if not stamp.boot_id:  # of letters that were sent again: whoever did that has looked at them
        return Judged(batch)
    if skew is None or stamp.boot_id != now.boot_id:
        return Judged(batch, gaps=tuple(batch.lost(UNKNOWN if skew is None else RESTARTED)))
    was_ahead = stamp.wall_ns - stamp.boot_ns
    is_ahead = now.wall_ns + round(skew * SECOND) - now.boot_ns
    by = is_ahead - was_ahead
    if abs(by) <= rule.tolerance * SECOND:
        return Judged(batch)
    blocks = [block for block in batch.blocks if len(block)]
    instants = [int(at) for block in blocks for at in (block.at[0], block.at[-1])]
    instants += [at for note in batch.notes for at in (note.start_ns, note.end_ns) if at is not None]
    if not all(-MAX_INSTANT <= at + by <= MAX_INSTANT for at in instants):
        return Judged(batch, gaps=tuple(batch.lost(f"not moved by {by / SECOND:+.1f} s: out of range")))
    moved = evolve(
        batch,
        blocks=tuple(evolve(block, at=block.at + by) for block in blocks),
        notes=tuple(_move(note, by) for note in batch.notes),
    )
    gaps = tuple(batch.lost(f"moved by {by / SECOND:+.1f} s"))
    return Judged(moved, gaps=gaps, moved=batch.points)


def _move(note: Note, by: int) -> Note:
    end = None if note.end_ns is None else note.end_ns + by
    return evolve(note, start_ns=note.start_ns + by, end_ns=end)


def _reject(batch: Batch, now: Stamp, skew: float | None, rule: ClockRule) -> Judged:
    limit = MAX_INSTANT
    if skew is not None:
        limit = min(limit, now.wall_ns + round((skew + rule.tolerance) * SECOND))
    early = f"before {datetime.fromtimestamp(rule.floor_ns // SECOND, UTC):%Y-%m-%d}"
    refused = []
    for reason, wrong in (
        (f"its instant is {early}", lambda at: at < rule.floor_ns),
        (f"its instant is {AHEAD}", lambda at: at > limit),
    ):
        batch, taken = _part(batch, wrong)
        if not taken.empty:
            refused.append((taken, reason))
    gaps = tuple(gap for taken, reason in refused for gap in taken.lost(reason))
    return Judged(batch, tuple(refused), gaps)


def _part(batch: Batch, wrong: Callable[[Any], Any]) -> tuple[Batch, Batch]:
    """What is left of a batch, and what has a wrong instant."""
    kept: list[SampleBlock] = []
    taken: list[SampleBlock] = []
    breaks: set[str] = set()  # streams whose break lay before rows that are gone
    for block in batch.blocks:
        is_wrong: NDArray[np.bool_] = wrong(block.at)
        if is_wrong.any():
            taken.append(block.take(is_wrong)[0])
            rest, left_over = block.take(~is_wrong)
        else:
            rest, left_over = block, False
        if len(rest) and block.stream in breaks:
            breaks.discard(block.stream)
            rest = rest.with_break()
        if left_over:
            breaks.add(block.stream)
        if len(rest):
            kept.append(rest)
    notes = _split(batch.notes, lambda note: bool(wrong(note.start_ns)))
    return evolve(batch, blocks=tuple(kept), notes=notes[1]), Batch(tuple(taken), notes=notes[0])


def _split(notes: Iterable[Note], wrong: Callable[[Note], bool]) -> tuple[tuple[Note, ...], tuple[Note, ...]]:
    notes = tuple(notes)
    return tuple(note for note in notes if wrong(note)), tuple(note for note in notes if not wrong(note))


def machine_clock(reactor: Any = None) -> Callable[[], Stamp]:
    """What stamps are made with.

    Args:
        reactor: For its clock; a fake one is both clocks.  None is the global one.
    """
    reactor = resolve_reactor(reactor)
    wall, steady = wall_clock(reactor), steady_clock(reactor)
    if steady == wall:
        return lambda: Stamp(round(wall() * SECOND), round(wall() * SECOND), "memory")
    boot_id = _boot_id()
    return lambda: Stamp(time.time_ns(), round(steady() * SECOND), boot_id)


def _boot_id() -> str:
    try:
        with open(BOOT_ID, encoding="ascii") as file:
            return file.read().strip()
    except OSError:  # not Linux: it is not known whether the next process runs after a restart
        return token_hex(16)
