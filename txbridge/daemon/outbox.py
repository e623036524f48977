"""What lies in a relay's state directory: what waits, what was refused, what was lost.

The commands here read files and move letters.  They ask nobody, so they work while the relay runs, and when
it does not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import asdict, define, field, frozen
from twisted.internet.task import deferLater

from txbridge.daemon.relay_assembly import OUTBOX_DIRECTORY
from txbridge.daemon.relay_state import LEDGER_FILE
from txbridge.daemon.render import ago, byte_size, csv_row, json_text, nanoseconds, table
from txbridge.daemon.running import DONE, FAILED
from txbridge.daemon.terminal import Terminal
from txbridge.errors import ConfigError, DecodeError, OutboxError
from txbridge.model.instants import from_nanoseconds
from txbridge.model.samples import Batch, SampleBlock
from txbridge.net.deferred import deferred
from txbridge.relay.dead_letters import LetterFiles, LetterHead
from txbridge.relay.files import RealFiles
from txbridge.relay.ledger import (
    LedgerFilter,
    LedgerRow,
    LedgerSum,
    check_ledger,
    read_ledger,
    read_ledger_sums,
)
from txbridge.relay.outbox_files import OutboxFiles, look_at_outbox

__all__ = [
    "Damage",
    "Reading",
    "RelayPlace",
    "age",
    "count",
    "export",
    "list_losses",
    "list_outboxes",
    "read_all",
    "requeue",
    "spell_sums",
    "verify",
]

BREATH = 64  # records between two looks at whether the command was stopped


@frozen
class RelayPlace:
    """Where a relay keeps its state.

    Attributes:
        state: The state directory.
    """

    state: Path

    @property
    def ledger(self) -> Path:
        """The file of the ledger."""
        return self.state / LEDGER_FILE

    def routes(self, wanted: str | None = None) -> list[str]:
        """The names of the routes that left something here, or of the one that is wanted.

        Raises:
            ConfigError: There is no such directory, or no such route.
        """
        try:
            names = sorted(
                path.name
                for path in self.state.iterdir()
                if any((path / part).is_dir() for part in (OUTBOX_DIRECTORY, "dead", "requeue"))
            )
        except OSError as error:
            raise ConfigError([f"cannot read {self.state}: {error.strerror}; --state names it"]) from error
        if wanted is None:
            return names
        if wanted not in names:
            known = ", ".join(names) or "none"
            raise ConfigError([f"there is no route {wanted!r} in {self.state}; there are: {known}"])
        return [wanted]

    def outbox(self, route: str) -> OutboxFiles | None:
        """The outbox of a route; None when it has none on a disk.

        Raises:
            OutboxError: It cannot be read.
        """
        folder = self.state / route / OUTBOX_DIRECTORY
        return look_at_outbox(folder, RealFiles()) if folder.is_dir() else None

    def letters(self, route: str) -> LetterFiles:
        """The dead letters of a route."""
        return LetterFiles(self.state / route, RealFiles())


def age(at_ns: int | None, now: datetime) -> str:
    """How long ago an instant in nanoseconds is; nothing for None."""
    if at_ns is None:
        return ""
    try:
        return ago(from_nanoseconds(at_ns), now)
    except (ValueError, OverflowError):
        return nanoseconds(at_ns)


def _now() -> datetime:
    return datetime.now(UTC)


@define
class _Breath:
    """Lets the reactor work now and then, so that a long command can be stopped."""

    _reactor: Any
    _taken: int = 0

    async def take(self) -> None:
        self._taken += 1
        if self._taken % BREATH == 0:
            await deferLater(self._reactor, 0)


# -------------------------------------------------------------------------------------------- ls


@frozen
class _Found:
    """A letter, and what it says of itself or why it cannot."""

    route: str
    path: Path
    head: LetterHead | None
    problem: str = ""


def _letters(place: RelayPlace, routes: Iterable[str], destination: str | None) -> Iterator[_Found]:
    for route in routes:
        letters = place.letters(route)
        for path in letters.paths():
            try:
                head = letters.head(path)
            except (DecodeError, OutboxError) as error:
                yield _Found(route, path, None, str(error))
            else:
                if destination in (None, head.destination):
                    yield _Found(route, path, head)


@deferred
async def list_outboxes(
    terminal: Terminal, place: RelayPlace, route: str | None, destination: str | None, as_json: bool
) -> int:
    """Show what waits, and which letters there are.

    Args:
        terminal: Where to show it.
        place: Whose.
        route: Only of this route.
        destination: Only of this destination.
        as_json: As JSON instead of tables.
    """
    routes = place.routes(route)
    waiting = [
        (name, one, held)
        for name in routes
        if (outbox := place.outbox(name)) is not None
        for one, held in outbox.waiting.items()
        if destination in (None, one)
    ]
    letters = list(_letters(place, routes, destination))
    if as_json:
        held_json = [
            {
                "route": name,
                "destination": one,
                "points": held.points,
                "bytes": held.nbytes,
                "oldest_ns": held.first_wall_ns,
            }
            for name, one, held in waiting
        ]
        terminal.give(json_text({"waiting": held_json, "letters": [_letter_json(one) for one in letters]}))
        return DONE
    now = _now()
    if waiting:
        rows = [
            (name, one, str(held.points), byte_size(held.nbytes), age(held.first_wall_ns, now))
            for name, one, held in waiting
        ]
        terminal.give(table(("route", "destination", "points", "size", "oldest"), rows, right=(2, 3)))
    else:
        terminal.say("there is no such outbox on this disk")
    if letters:
        header = ("route", "letter", "refused by", "when", "points", "streams", "its words")
        terminal.give("\n" + table(header, [_letter_row(one, now) for one in letters], right=(4,)))
    return DONE


def _letter_row(one: _Found, now: datetime) -> tuple[str, ...]:
    if one.head is None:
        return (one.route, one.path.stem, "", "", "", "", one.problem)
    head = one.head
    streams = ", ".join(dict.fromkeys(stream.stream for stream in head.streams))
    more = f" and {head.more_streams} more" if head.more_streams else ""
    return (
        one.route,
        one.path.stem,
        head.destination,
        age(head.buried_ns, now),
        str(head.points),
        streams + more,
        head.reason,
    )


def _letter_json(one: _Found) -> dict[str, Any]:
    members: dict[str, Any] = {"route": one.route, "letter": one.path.stem}
    return members | (asdict(one.head) if one.head is not None else {"problem": one.problem})


# ---------------------------------------------------------------------------------------- export


@deferred
async def export(
    reactor: Any,
    terminal: Terminal,
    place: RelayPlace,
    route: str,
    destination: str | None,
    *,
    letters: bool,
    as_csv: bool,
) -> int:
    """Write what waits, or what was refused, to stdout.

    Args:
        reactor: For being stopped meanwhile.
        terminal: Where to write it.
        place: Whose.
        route: Of which route.
        destination: What waits for this destination; None is everything that is kept.
        letters: The dead letters instead of the outbox.
        as_csv: Rows as CSV; otherwise everything as JSON, a line each.
    """
    place.routes(route)
    total, batches = _batches(place, route, destination, letters=letters)
    breath = _Breath(reactor)
    left_out = damaged = done = 0
    if as_csv:
        terminal.give(csv_row(("stream", "at", "column", "value")))
    with terminal.progress("exporting", float(total), gives=True) as report:
        for name, batch in batches:
            await breath.take()
            if isinstance(batch, DecodeError):
                damaged += 1
                terminal.say(f"{name} is damaged and left out: {batch}")
                continue
            for block in batch.blocks:
                terminal.give("".join(_csv_rows(block) if as_csv else _json_rows(block)))
            others = _others(batch)
            if as_csv:
                left_out += len(others)
            else:
                terminal.give("".join(json_text(one) for one in others))
            done += batch.points
            report(done)
    if left_out:
        terminal.say(f"{left_out} descriptions, gaps and notes are left out; --json has them")
    return FAILED if damaged else DONE


def _batches(
    place: RelayPlace, route: str, destination: str | None, *, letters: bool
) -> tuple[int, Iterator[tuple[str, Batch | DecodeError]]]:
    """How many points there are, and the batches with the names of where they lie.

    Raises:
        ConfigError: There is no such outbox.
    """
    if letters:
        found = list(_letters(place, [route], destination))
        return sum(one.head.points for one in found if one.head), _of_letters(place.letters(route), found)
    outbox = place.outbox(route)
    if outbox is None:
        raise ConfigError([f"route {route} keeps no outbox on a disk"])
    if destination is None:
        return outbox.points, _of_outbox(outbox, None)
    if destination not in outbox.waiting:
        known = ", ".join(sorted(outbox.waiting)) or "none"
        raise ConfigError([f"route {route} has no destination {destination!r}; there are: {known}"])
    return outbox.waiting[destination].points, _of_outbox(outbox, destination)


def _of_letters(letters: LetterFiles, found: Sequence[_Found]) -> Iterator[tuple[str, Batch | DecodeError]]:
    for one in found:
        name = f"letter {one.path.stem}"
        try:
            yield name, letters.letter(one.path).batch
        except DecodeError as error:
            yield name, error


def _of_outbox(outbox: OutboxFiles, destination: str | None) -> Iterator[tuple[str, Batch | DecodeError]]:
    for position, _, batch in outbox.records(destination):
        yield f"record {position}", batch


def _csv_rows(block: SampleBlock) -> Iterator[str]:
    columns = {name: column.tolist() for name, column in block.columns.items()}
    for row, at_ns in enumerate(block.at.tolist()):
        at = nanoseconds(at_ns)
        for name, values in columns.items():
            yield csv_row((_as_text(block.stream), at, _as_text(name), _as_text(values[row])))


def _json_rows(block: SampleBlock) -> Iterator[str]:
    columns = {name: column.tolist() for name, column in block.columns.items()}
    breaks = set(block.breaks)
    for row, at_ns in enumerate(block.at.tolist()):
        values = {name: _finite(column[row]) for name, column in columns.items()}
        line: dict[str, Any] = {"stream": block.stream, "at": nanoseconds(at_ns), "values": values}
        yield json_text(line | {"break": True} if row in breaks else line)


def _as_text(value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")  # no half surrogate pairs in UTF-8


def _finite(value: object) -> object:
    """A value that every reader of JSON takes."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _others(batch: Batch) -> list[dict[str, Any]]:
    """What a batch has besides rows."""
    return [
        *({"description": asdict(info, value_serializer=_plain)} for info in batch.infos),
        *({"gap": asdict(gap)} for gap in batch.gaps),
        *({"note": asdict(note, value_serializer=_plain)} for note in batch.notes),
    ]


def _plain(owner: object, member: object, value: Any) -> Any:
    return getattr(value, "value", value)  # of an enumeration


# --------------------------------------------------------------------------------------- requeue


@deferred
async def requeue(
    terminal: Terminal,
    place: RelayPlace,
    route: str,
    destination: str | None,
    numbers: Sequence[int] | None,
    as_json: bool,
) -> int:
    """Send dead letters back to who refused them.

    Args:
        terminal: Where to say which.
        place: Whose.
        route: Of which route.
        destination: Only those that this destination refused.
        numbers: These letters; None is all of them.
        as_json: As JSON instead of text.

    Raises:
        ConfigError: There are no such letters.
    """
    place.routes(route)
    found = {int(one.path.stem): one for one in _letters(place, [route], destination) if one.head is not None}
    if numbers is not None:
        unknown = sorted(set(numbers) - set(found))
        if unknown:
            names = ", ".join(map(str, unknown))
            raise ConfigError([f"there is no sound letter {names}; 'txbridge outbox ls {route}' lists them"])
        found = {number: found[number] for number in sorted(set(numbers))}
    letters = place.letters(route)
    for one in found.values():
        letters.requeue(one.path)
    sent = [one.path.stem for one in found.values()]
    if as_json:
        terminal.give(json_text({"route": route, "requeued": sent}))
    elif sent:
        terminal.say(
            f"{count(len(sent), 'letter')} of route {route} will be sent again, within seconds "
            "if the relay runs, or else when it does"
        )
    else:
        terminal.say(f"route {route} has no dead letters")
    return DONE


def count(number: int, noun: str) -> str:
    """So many of something, in words."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


# ---------------------------------------------------------------------------------------- verify


@frozen
class Damage:
    """Something that cannot be read.

    Attributes:
        route: Of which route; ``""`` is all of them.
        what: What it is.
        problem: What is wrong with it.
    """

    route: str
    what: str
    problem: str


@define
class Reading:
    """What was read.

    Attributes:
        records: How many records of outboxes were sound.
        letters: How many dead letters were.
        points: The points in them.
        damage: What was not.
    """

    records: int = 0
    letters: int = 0
    points: int = 0
    damage: list[Damage] = field(factory=list)


@deferred
async def read_all(reactor: Any, terminal: Terminal, place: RelayPlace, route: str) -> Reading:
    """Read everything that a route keeps on the disk.

    Args:
        reactor: For being stopped meanwhile.
        terminal: Shows how far it is.
        place: Whose.
        route: The route.
    """
    found = Reading()
    breath = _Breath(reactor)
    for of_letters in (False, True):
        try:
            total, batches = _batches(place, route, None, letters=of_letters)
        except ConfigError:
            continue  # an outbox in memory
        except OutboxError as error:
            found.damage.append(Damage(route, "outbox", str(error)))
            continue
        with terminal.progress(f"reading {route}", float(total)) as report:
            before = found.points
            for what, batch in batches:
                await breath.take()
                if isinstance(batch, DecodeError):
                    found.damage.append(Damage(route, what, str(batch)))
                    continue
                found.letters += of_letters
                found.records += not of_letters
                found.points += batch.points
                report(found.points - before)
    return found


@deferred
async def verify(
    reactor: Any, terminal: Terminal, place: RelayPlace, route: str | None, as_json: bool
) -> int:
    """Read everything and say what is damaged; the exit status is 1 if anything is.

    Args:
        reactor: For being stopped meanwhile.
        terminal: Where to say it.
        place: Whose.
        route: Only of this route.
        as_json: As JSON instead of text.
    """
    found = Reading()
    for name in place.routes(route):
        one = await read_all(reactor, terminal, place, name)
        found = Reading(
            found.records + one.records,
            found.letters + one.letters,
            found.points + one.points,
            found.damage + one.damage,
        )
    try:
        if place.ledger.exists():
            check_ledger(place.ledger)
    except OutboxError as error:
        found.damage.append(Damage("", "ledger", str(error)))
    if as_json:
        terminal.give(json_text(asdict(found)))
    else:
        if found.damage:
            rows = [(one.route, one.what, one.problem) for one in found.damage]
            terminal.give(table(("route", "what", "problem"), rows))
        sound = f"{count(found.records, 'record')} and {count(found.letters, 'letter')}"
        terminal.say(
            f"{sound} with {count(found.points, 'point')} are sound, {len(found.damage)} are damaged"
        )
    return FAILED if found.damage else DONE


# ---------------------------------------------------------------------------------------- ledger


@deferred
async def list_losses(
    terminal: Terminal,
    place: RelayPlace,
    wanted: LedgerFilter,
    *,
    limit: int,
    oldest_first: bool,
    sums: bool,
    as_json: bool,
) -> int:
    """Show what was lost.

    Args:
        terminal: Where to show it.
        place: Whose.
        wanted: Which losses.
        limit: The most rows.
        oldest_first: The oldest instead of the newest.
        sums: Sums instead of single losses.
        as_json: JSON instead of a table: a line for each row.
    """
    if not place.ledger.exists():
        raise ConfigError([f"there is no ledger in {place.state}; --state names a relay's state directory"])
    now = _now()
    if sums:
        found = read_ledger_sums(place.ledger, wanted)
        if as_json:
            terminal.give("".join(json_text(asdict(one)) for one in found))
        elif found:
            terminal.give(spell_sums(found, now))
        else:
            terminal.say("nothing like that was lost")
        return DONE
    rows = read_ledger(place.ledger, wanted, limit=limit, newest_first=not oldest_first)
    if as_json:
        terminal.give("".join(json_text(asdict(row)) for row in rows))
    elif rows:
        header = ("when", "route", "destination", "kind", "stream", "from", "to", "points", "reason")
        terminal.give(table(header, [_loss_row(row, now) for row in rows], right=(7,)))
        if len(rows) == limit:
            terminal.say(f"these are {limit}; there may be more: --limit")
    else:
        terminal.say("nothing like that was lost")
    return DONE


def _loss_row(row: LedgerRow, now: datetime) -> tuple[str, ...]:
    return (
        age(row.recorded_ns, now),
        row.route or "(all)",
        row.destination or "(all)",
        row.kind,
        row.stream,
        nanoseconds(row.start_ns),
        nanoseconds(row.end_ns),
        "?" if row.points is None else str(row.points),
        row.reason,
    )


def spell_sums(sums: Iterable[LedgerSum], now: datetime) -> str:
    """What was lost in all, as a table."""
    rows = [
        (
            one.route or "(all)",
            one.destination or "(all)",
            one.kind,
            str(one.points),
            str(one.losses),
            str(one.uncounted) if one.uncounted else "",
            age(one.last_ns, now),
        )
        for one in sums
    ]
    header = ("route", "destination", "kind", "points", "losses", "uncounted", "last")
    return table(header, rows, right=(3, 4, 5))
