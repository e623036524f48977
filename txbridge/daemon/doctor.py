"""Is a relay's state well, how long would its outboxes last, and what should be done.

`examine` looks at the files, and asks the relay if one runs; `Finding` are what a person should know.  Those
with ``needs_help`` make the exit status 1.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import asdict, evolve, field, frozen

from txbridge.daemon.outbox import RelayPlace, count, read_all, spell_sums
from txbridge.daemon.relay_config import RelayConfig
from txbridge.daemon.relay_control import ask_relay
from txbridge.daemon.render import byte_size, clean, json_text, length_of_time
from txbridge.daemon.running import DONE, FAILED
from txbridge.daemon.terminal import Terminal
from txbridge.errors import BridgeError, DecodeError, OutboxError
from txbridge.net.deferred import deferred
from txbridge.relay.ledger import LedgerFilter, LedgerSum, read_ledger_sums
from txbridge.relay.outbox_files import SegmentFile
from txbridge.relay.roles import LossKind

__all__ = ["Caps", "Finding", "Rate", "RouteLook", "WaitingLook", "advise", "doctor", "rate_of"]

FULL = 0.8  # of its cap; an outbox that is so full needs somebody
LONG = 3600.0  # seconds that something may wait before somebody should look
RECENT = 86400.0  # seconds in which a loss is news
LEAST_SPAN = 10.0  # seconds of data from which a rate can be told
# What a configuration accepts, and what is told as dead letters.
EXPECTED = frozenset((LossKind.CONVERTED.value, LossKind.CLOCK.value, LossKind.REFUSED.value))


@frozen
class Finding:
    """Something to know.

    Attributes:
        text: What, and what to do about it.
        needs_help: Whether somebody should do something.
    """

    text: str
    needs_help: bool = True


@frozen
class Rate:
    """How fast data comes.

    Attributes:
        nbytes: Bytes in the outbox, each second.
        points: Points, each second.
    """

    nbytes: float
    points: float


@frozen
class Caps:
    """What an outbox may keep; None is without end, or not known.

    Attributes:
        nbytes: Bytes.
        points: Points.
        age: Seconds.
    """

    nbytes: int
    points: int | None = None
    age: float | None = None


@frozen(kw_only=True)
class WaitingLook:
    """What waits for one destination.

    Attributes:
        name: The destination.
        points: How many points.
        nbytes: Their size in the outbox.
        oldest_age: Seconds since the oldest of it was accepted, or None.
    """

    name: str
    points: int
    nbytes: int
    oldest_age: float | None


@frozen(kw_only=True)
class RouteLook:
    """What was found of a route.

    Attributes:
        name: Its name.
        nbytes: What its outbox takes; None when it has none on a disk.
        points: The points in it.
        caps: What it may keep, when that is known.
        disk_free: Bytes that the disk has left.
        rate: How fast data came, when that can be told.
        waiting: For whom what waits.
        letters: Destination -> how many dead letters it has.
        letters_bytes: What they take.
        sent_back: How many letters wait in ``requeue``.
        damaged: What is damaged, a line each.
        losses: The sums of the ledger.
        problem: Why the outbox cannot be read, or None.
    """

    name: str
    nbytes: int | None = None
    points: int = 0
    caps: Caps | None = None
    disk_free: int | None = None
    rate: Rate | None = None
    waiting: Sequence[WaitingLook] = ()
    letters: Mapping[str, int] = field(factory=dict)
    letters_bytes: int = 0
    sent_back: int = 0
    damaged: Sequence[str] = ()
    losses: Sequence[LedgerSum] = ()
    problem: str | None = None

    @property
    def holds(self) -> float | None:
        """How many seconds of data the outbox holds at the rate that it has, when that is known."""
        if self.caps is None or self.rate is None:
            return None
        limits = [self.caps.nbytes / self.rate.nbytes]
        if self.caps.points is not None:
            limits.append(self.caps.points / self.rate.points)
        if self.caps.age is not None:
            limits.append(self.caps.age)
        return min(limits)

    @property
    def share(self) -> float | None:
        """How full it is, of 1, when that is known."""
        if self.caps is None or self.nbytes is None:
            return None
        of_points = self.points / self.caps.points if self.caps.points is not None else 0.0
        return max(self.nbytes / self.caps.nbytes, of_points)

    @property
    def full_in(self) -> float | None:
        """In how many seconds it is full if nothing is delivered, when that is known."""
        if self.caps is None or self.rate is None or self.nbytes is None:
            return None
        limits = [(self.caps.nbytes - self.nbytes) / self.rate.nbytes]
        if self.caps.points is not None:
            limits.append((self.caps.points - self.points) / self.rate.points)
        return max(0.0, min(limits))


def rate_of(segments: Sequence[SegmentFile]) -> Rate | None:
    """How fast that came which is kept; None when it is too little to tell."""
    kept = [one for one in segments if one.points]
    if not kept:
        return None
    span = (kept[-1].ended.wall_ns - kept[0].begun.wall_ns) / 1e9
    if span < LEAST_SPAN:
        return None
    # Not what a segment takes: the one that is written to has all its room already.
    nbytes = sum(one.summary.used for one in kept)
    return Rate(nbytes / span, sum(one.points for one in kept) / span)


# ---------------------------------------------------------------------------------------- advice


def advise(look: RouteLook, now: datetime, *, runs: bool) -> Iterator[Finding]:
    """What somebody should know of a route.

    Args:
        look: What was found.
        now: The time.
        runs: Whether the relay runs.
    """
    if look.problem is not None:
        yield Finding(f"its outbox cannot be read: {look.problem}")
    if look.damaged:
        yield Finding(
            f"{count(len(look.damaged), 'part')} cannot be read, the first: {look.damaged[0]}; the relay "
            "skips them and tells the ledger; look at the disk"
        )
    yield from _about_room(look)
    for one in look.waiting:
        if one.oldest_age is not None and one.oldest_age >= LONG:
            why = "'txbridge relay status' says why" if runs else "the relay does not run"
            waits = length_of_time(one.oldest_age)
            yield Finding(f"{one.name} has not got what has waited for {waits}; {why}")
    if look.letters:
        total = sum(look.letters.values())
        yield Finding(
            f"{count(total, 'dead letter')} ({byte_size(look.letters_bytes)}): 'txbridge outbox ls "
            f"{look.name}' shows why they were refused, 'txbridge outbox requeue {look.name} --all' sends "
            "them again"
        )
    if look.sent_back:
        yield Finding(
            f"{count(look.sent_back, 'letter')} will be sent again"
            + ("" if runs else " when the relay runs"),
            needs_help=False,
        )
    recent = [
        one
        for one in look.losses
        if one.kind not in EXPECTED and now.timestamp() - one.last_ns / 1e9 < RECENT
    ]
    if recent:
        kinds = ", ".join(sorted({one.kind for one in recent}))
        yield Finding(
            f"something was lost within a day ({kinds}): 'txbridge relay ledger --route {look.name}' "
            "says what"
        )


def _about_room(look: RouteLook) -> Iterator[Finding]:
    if look.share is None or look.nbytes is None or look.caps is None:
        return
    if look.share >= FULL:
        left = f" and will be full in {length_of_time(look.full_in)}" if look.full_in is not None else ""
        yield Finding(f"its outbox is {look.share:.0%} full{left}: mend the destination, or raise its caps")
    more = look.caps.nbytes - look.nbytes
    if look.disk_free is not None and look.disk_free < more:
        yield Finding(
            f"the disk has only {byte_size(look.disk_free)} left, less than the outbox may still take "
            f"({byte_size(more)}): make room, or lower max_bytes"
        )


def _about_relay(status: Mapping[str, Any] | None) -> Iterator[Finding]:
    if status is None:
        return
    for reason in status["reasons"]:
        yield Finding(reason)
    for problem in status["reload_problems"]:
        yield Finding(f"the last reload changed nothing: {problem}")


def _about_ledger(place: RelayPlace, found: str | None, losses: Sequence[LedgerSum]) -> Iterator[Finding]:
    if found is not None:
        yield Finding(f"the ledger cannot be read: {found}")
    aside = sorted(path.name for path in place.state.glob(f"{place.ledger.name}.damaged-*[0-9]"))
    if aside:
        yield Finding(
            f"a damaged ledger was set aside as {aside[-1]}: 'sqlite3 {aside[-1]} .recover' may read it; "
            "take it away when you are done"
        )
    everywhere = [one for one in losses if not one.route]
    if everywhere:
        yield Finding("the ledger itself has lost rows: 'txbridge relay ledger --sums' says when")


# ---------------------------------------------------------------------------------------- looking


@deferred
async def doctor(
    reactor: Any,
    terminal: Terminal,
    place: RelayPlace,
    config: RelayConfig | None,
    *,
    quick: bool,
    as_json: bool,
) -> int:
    """Look at everything, and say what should be done; the exit status is 1 if anything should.

    Args:
        reactor: For asking the relay, and for being stopped meanwhile.
        terminal: Where to say it.
        place: Whose.
        config: The relay's, which has the caps; without one the relay is asked, if it runs.
        quick: Do not read what lies there.
        as_json: As JSON instead of text.
    """
    status = await _ask(reactor, place)
    caps = _caps(config, status)
    now = datetime.now(UTC)
    losses: list[LedgerSum] = []
    unreadable: str | None = None
    try:
        if place.ledger.exists():
            losses = read_ledger_sums(place.ledger, LedgerFilter())
    except OutboxError as error:
        unreadable = str(error)
    looks = []
    for name in place.routes():
        look = await _look(reactor, terminal, place, name, caps.get(name), quick=quick, now=now)
        looks.append(evolve(look, losses=[one for one in losses if one.route == name]))
    general = [*_about_relay(status), *_about_ledger(place, unreadable, losses)]
    advice = {look.name: list(advise(look, now, runs=status is not None)) for look in looks}
    if as_json:
        terminal.give(json_text(_members(place, status is not None, looks, advice, general)))
    else:
        terminal.give(_text(place, status is not None, looks, advice, general, now))
    found = [*general, *(one for each in advice.values() for one in each)]
    return FAILED if any(one.needs_help for one in found) else DONE


async def _ask(reactor: Any, place: RelayPlace) -> Mapping[str, Any] | None:
    try:
        answer: Mapping[str, Any] = await ask_relay(reactor, str(place.state))
    except BridgeError:
        return None
    return answer


def _caps(config: RelayConfig | None, status: Mapping[str, Any] | None) -> dict[str, Caps]:
    caps: dict[str, Caps] = {}
    for route in (status or {}).get("routes", ()):
        if route.get("status") is not None and "outbox_max_bytes" in route["status"]:
            caps[route["name"]] = Caps(route["status"]["outbox_max_bytes"])
    if config is not None:
        for name, route in config.routes.items():
            caps[name] = Caps(route.outbox.max_bytes, route.outbox.max_points, route.outbox.max_age)
    return caps


async def _look(
    reactor: Any,
    terminal: Terminal,
    place: RelayPlace,
    name: str,
    caps: Caps | None,
    *,
    quick: bool,
    now: datetime,
) -> RouteLook:
    problem: str | None = None
    outbox = None
    try:
        outbox = place.outbox(name)
    except OutboxError as error:
        problem = str(error)
    damaged: list[str] = []
    if not quick:
        reading = await read_all(reactor, terminal, place, name)
        damaged = [f"{one.what}: {one.problem}" for one in reading.damage]
    letters = place.letters(name)
    counts: dict[str, int] = {}
    nbytes = 0
    for path in letters.paths():
        try:
            destination = letters.head(path).destination
        except (DecodeError, OutboxError):
            destination = "?"
        counts[destination] = counts.get(destination, 0) + 1
        nbytes += letters.size(path)
    waiting = [
        WaitingLook(
            name=one,
            points=held.points,
            nbytes=held.nbytes,
            oldest_age=None
            if held.first_wall_ns is None
            else max(0.0, now.timestamp() - held.first_wall_ns / 1e9),
        )
        for one, held in (outbox.waiting.items() if outbox is not None else ())
    ]
    return RouteLook(
        name=name,
        nbytes=None if outbox is None else outbox.nbytes,
        points=0 if outbox is None else outbox.points,
        caps=caps,
        disk_free=_free(place.state / name),
        rate=None if outbox is None else rate_of(outbox.segments),
        waiting=waiting,
        letters=counts,
        letters_bytes=nbytes,
        sent_back=len(letters.requeued()),
        damaged=damaged,
        problem=problem,
    )


def _free(folder: Path) -> int | None:
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


# ---------------------------------------------------------------------------------------- showing


def _text(
    place: RelayPlace,
    runs: bool,
    looks: Sequence[RouteLook],
    advice: Mapping[str, Sequence[Finding]],
    general: Sequence[Finding],
    now: datetime,
) -> str:
    lines = [f"{place.state}: {'a relay runs' if runs else 'no relay runs'}", *_spell_findings(general)]
    if not looks:
        lines.append("  no route has left anything here")
    for look in looks:
        lines += ["", f"route {look.name}", *_about(look)]
        lines += [f"  {line}" for line in (spell_sums(look.losses, now).splitlines() if look.losses else ())]
        lines += _spell_findings(advice[look.name])
    needs = sum(one.needs_help for found in (general, *advice.values()) for one in found)
    lines += ["", "all is well" if not needs else f"{count(needs, 'thing')} to look at, marked with !"]
    return "".join(clean(line) + "\n" for line in lines)


def _spell_findings(findings: Iterable[Finding]) -> list[str]:
    return [f"  {'!' if one.needs_help else '-'} {one.text}" for one in findings]


def _about(look: RouteLook) -> Iterator[str]:
    if look.nbytes is None:
        yield "  no outbox on this disk"
    else:
        cap = f" of {byte_size(look.caps.nbytes)}" if look.caps is not None else ""
        yield f"  outbox: {byte_size(look.nbytes)}{cap}, {count(look.points, 'point')}"
        if look.holds is not None and look.rate is not None:
            rate = f"{byte_size(look.rate.nbytes)}/s, {look.rate.points:.3g} points/s"
            yield f"  at the current rate ({rate}) this holds {length_of_time(look.holds)}"
        elif look.caps is None:
            yield "  how long it lasts can be told when the relay runs, or with --config"
        else:
            yield "  how long it lasts can be told when some seconds of data have come"
    for one in look.waiting:
        since = f", the oldest for {length_of_time(one.oldest_age)}" if one.oldest_age is not None else ""
        yield f"  {one.name}: {count(one.points, 'point')} wait ({byte_size(one.nbytes)}){since}"
    if look.letters:
        for destination, letters in sorted(look.letters.items()):
            yield f"  {destination} refused {count(letters, 'part')} of it for good"
    if look.losses:
        yield "  lost since the ledger began:"


def _members(
    place: RelayPlace,
    runs: bool,
    looks: Sequence[RouteLook],
    advice: Mapping[str, Sequence[Finding]],
    general: Sequence[Finding],
) -> dict[str, Any]:
    routes = [
        asdict(look)
        | {
            "holds": look.holds,
            "full_in": look.full_in,
            "findings": [asdict(one) for one in advice[look.name]],
        }
        for look in looks
    ]
    return {
        "state": str(place.state),
        "runs": runs,
        "routes": routes,
        "findings": [asdict(one) for one in general],
    }
