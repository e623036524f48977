"""The command that copies a range from one platform to another, and goes on where it was.

A copy is a route like any other, with a source that comes to an end and an outbox in memory.  What makes it
survive a kill at any moment is the outbox's *settled* cursor, of which the destination has everything: it is
written to a state file about once a second, synced and in one step, and the next run gives it to its outbox.
What was delivered after that is delivered once more, which changes nothing on either platform.  Of two
runs with the same file the second one ends at once: they would write over each other's place.

The range is resolved once and kept in the state too, so that a copy that was begun with ``1 hour ago`` goes
on with the same hour.

The conversions of the plan are done before the outbox, and not after it, only so that what they drop can be
counted.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from attrs import asdict, define, evolve, field, frozen
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import deferLater

from txbridge.cosm.client import Client
from txbridge.daemon import assembly
from txbridge.daemon.commands import Form
from txbridge.daemon.config import CopyEnd, CosmEnd, JouleEnd
from txbridge.daemon.joule import find, is_at, no_node
from txbridge.daemon.render import instant, json_text, points_text
from txbridge.daemon.running import DONE, FAILED, USAGE
from txbridge.daemon.terminal import Terminal
from txbridge.errors import ConfigError, ConnectError, PlanRefused
from txbridge.joule.client import Node
from txbridge.joule.structures import DataStream, EventStream, Folder
from txbridge.model.instants import format_instant, from_microseconds
from txbridge.model.samples import Batch, Cursor, Gap
from txbridge.model.structures import Environment
from txbridge.net.deferred import deferred
from txbridge.relay.backfill import IntervalSet
from txbridge.relay.outbox import MemoryOutbox
from txbridge.relay.plan import Plan, RoutePolicy, plan_route
from txbridge.relay.roles import Capabilities, Loss, Source
from txbridge.relay.route import RelayService
from txbridge.relay.status import LinkState
from txbridge.relay.steps import Rename, Step

__all__ = ["CopyRequest", "Reach", "copy"]

LOOK_EVERY = 0.1  # seconds between looks at how far it is
SAVE_EVERY = 1.0  # seconds between writings of the state; all that is delivered twice after a kill
RATE_SECONDS = 5.0  # over which the rate is taken
MOST_REASONS = 20  # that are told apart; a platform may put a timestamp into each
VERSION = 1

SPLIT = "columns -> streams"
"""The only conversion that makes more points; all others make as many or fewer."""


@frozen
class CopyRequest:
    """What to copy.

    Attributes:
        source: Where from.
        destination: Where to.
        words: The range as it was written; a copy that is run again is known by it.
        since: The first timestamp, in microseconds.
        until: The first one that is not wanted.
        accept: The names of the losses that are accepted.
        state: The file that says how far it has come; None for one in ``state_dir``.
        state_dir: A directory for such files.
        form: ``"table"`` or ``"json"``.
    """

    source: CopyEnd
    destination: CopyEnd
    words: tuple[str, str]
    since: int
    until: int
    accept: frozenset[str] = frozenset()
    state: str | None = None
    state_dir: str | None = None
    form: Form = "table"


@frozen
class Reach:
    """How a copy reaches its ends; it closes what it has opened.

    Attributes:
        node: Makes a client of the node of this name.
        client: Makes a client of the hub.
        hub: The hub's address.
    """

    node: Callable[[str], Node]
    client: Callable[[], Client]
    hub: str


@define
class _Progress:
    """How far a copy has come, as its state file holds it.

    Attributes:
        identity: Which copy it is.
        since: The first timestamp.
        until: The first one that is not wanted.
        feed: The feed that was made for it.
        cursor: Where the next run goes on.
        read: Points that were read.
        delivered: Points that the destination has.
        dropped: Points that a conversion left out.
        losses: Name of an accepted loss -> how many points, breaks, gaps, or notes it took.
        refused: Reason -> how many points the destination will never take.
        missing: Reason -> how many points the source could not give; None where nobody counted them.
    """

    identity: tuple[str, ...]
    since: int
    until: int
    feed: int | None = None
    cursor: Any = None
    read: int = 0
    delivered: int = 0
    dropped: int = 0
    losses: dict[str, int] = field(factory=dict)
    refused: dict[str, int] = field(factory=dict)
    missing: dict[str, int | None] = field(factory=dict)

    @property
    def accounted(self) -> int:
        """Of how many points it is known what became of them."""
        return self.delivered + self.dropped + sum(self.refused.values())

    @property
    def is_whole(self) -> bool:
        """Whether nothing was refused or lost."""
        return not self.refused and not self.missing and self.read == self.accounted

    def record(self, losses: Sequence[Loss]) -> Deferred[None]:
        """Called with losses: of a destination, or, without one, of the source."""
        for loss in losses:
            self._count(loss.destination, loss.gap)
        return succeed(None)

    def _count(self, destination: str, gap: Gap) -> None:
        if destination:
            reason = _room(self.refused, gap.reason.removeprefix("refused: "))
            self.refused[reason] = self.refused.get(reason, 0) + (gap.points or 0)
        else:
            reason = _room(self.missing, f"{gap.stream}: {gap.reason}")
            known = self.missing.get(reason, 0)
            self.missing[reason] = None if known is None or gap.points is None else known + gap.points


def _room(reasons: Mapping[str, Any], reason: str) -> str:
    return reason if reason in reasons or len(reasons) < MOST_REASONS else "other reasons"


@frozen
class _Origin:
    """A source that ends.

    Attributes:
        source: Gives everything.
        streams: What its streams are called when each column is one.
        done: The part that a cursor stands for, 0.0 to 1.0.
    """

    source: Source
    streams: tuple[str, ...]
    done: Callable[[Cursor | None], float]


@deferred
async def copy(reactor: Any, terminal: Terminal, request: CopyRequest, reach: Reach) -> int:
    """Copy until everything has arrived; see this module's text.

    Args:
        reactor: Where it runs.
        terminal: Where to say how it goes.
        request: What to copy.
        reach: How its ends are reached.
    """
    opened: list[Node | Client] = []
    state: _StateFile | None = None
    try:
        try:
            ends = [_open(end, reach, opened) for end in (request.source, request.destination)]
        except ConfigError as error:
            terminal.say(str(error))
            return USAGE
        identity = (*(_identity(end, client, reach) for end, client in ends), *request.words)
        try:
            state = _StateFile(_state_path(request, identity), identity)
            state.lock()
            found = state.read()
        except ConfigError as error:
            terminal.say(str(error))
            return USAGE
        progress = _Progress(identity, request.since, request.until) if found is None else found
        if found is not None:
            span = f"{_iso(found.since)} to {_iso(found.until)}"
            terminal.say(f"going on with the copy of {span} that {state.path} tells of")
        return await _copy(reactor, terminal, request, ends, state, progress)
    except ConnectError as error:
        if not any(isinstance(client, Node) and is_at(client, error.peer) for client in opened):
            raise
        return no_node(terminal, error)
    finally:
        if state is not None:
            state.unlock()
        for client in opened:
            await client.close()


def _open(end: CopyEnd, reach: Reach, opened: list[Node | Client]) -> tuple[CopyEnd, Node | Client]:
    client = reach.node(end.node) if isinstance(end, JouleEnd) else reach.client()
    opened.append(client)
    return end, client


def _identity(end: CopyEnd, client: Node | Client, reach: Reach) -> str:
    if isinstance(end, JouleEnd) and isinstance(client, Node):
        return f"joule {client.url} {end.path}"
    assert isinstance(end, CosmEnd)
    return f"cosm {reach.hub} {f'new {end.title}' if end.feed_id is None else end.feed_id}"


async def _copy(
    reactor: Any,
    terminal: Terminal,
    request: CopyRequest,
    ends: list[tuple[CopyEnd, Node | Client]],
    state: _StateFile,
    progress: _Progress,
) -> int:
    (source_end, source_client), (sink_end, sink_client) = ends
    origin = await _origin(
        reactor, source_end, source_client, progress, to_node=isinstance(sink_end, JouleEnd)
    )
    takes = assembly.copy_takes(sink_end)
    try:
        plan = plan_route(origin.source.capabilities, takes, RoutePolicy(request.accept))
    except PlanRefused as error:
        for loss in error.losses:
            terminal.say(f"this would be lost: {loss}")
        accepts = " ".join(f'--accept "{loss}"' for loss in error.losses)
        terminal.say(f"nothing was copied; to accept that, say {accepts}")
        return USAGE
    feed = await _reach_sink(sink_end, sink_client, progress, state)
    sink = assembly.copy_sink(sink_end, sink_client, feed)
    steps: list[Step] = [_Counted(plan, takes, progress)]
    if isinstance(sink_end, CosmEnd):
        steps.append(_safe_names(origin.streams))
    cursor = None if progress.cursor is None else Cursor(progress.cursor)
    route, outbox = assembly.copy_route(
        reactor, origin.source, sink, steps=steps, cursor=cursor, ledger=progress
    )
    run = _Run(reactor, terminal, route, outbox, origin, state, progress)
    try:
        await run.to_the_end()
    except CancelledError:
        terminal.say("stopped; the same command goes on from here")
        raise
    state.remove()
    _tell(terminal, request, sink_end, feed, progress)
    return DONE if progress.is_whole else FAILED


async def _origin(
    reactor: Any, end: CopyEnd, client: Node | Client, progress: _Progress, *, to_node: bool
) -> _Origin:
    """Find what there is to read."""
    since, until = progress.since, progress.until
    if isinstance(end, CosmEnd):
        assert isinstance(client, Client)
        assert end.feed_id is not None
        feed = await client.read_feed(feed_id=end.feed_id)
        names = tuple(feed.datastreams)
        feed_history = assembly.cosm_history(client, end.feed_id, since, until, numbers=to_node)
        return _Origin(feed_history, names, lambda cursor: _of_instants(cursor, names, since, until))
    assert isinstance(client, Node)
    found = await find(client, end.path)
    above = end.path.rstrip("/") if isinstance(found, Folder) else end.path.rpartition("/")[0]
    streams: dict[str, str] = {}
    scalars: list[str] = []
    spans: dict[str, tuple[int, int]] = {}
    for path, stream in _streams(found, end.path):
        streams[path] = name = path.removeprefix(above + "/").replace("/", ".")
        if isinstance(stream, DataStream):
            columns = [f"{name}.{element.name}" for element in stream.elements]
            scalars += columns if len(columns) > 1 else [name]
            info = await client.data_stream_info(path)
            if info.start is not None and info.end is not None:
                spans[path] = (max(info.start, since), min(info.end + 1, until))
    if not streams:
        raise ConfigError([f"there is no stream in {end.path}"])
    source = assembly.joule_history(reactor, client, streams, since, until, raw=to_node)
    return _Origin(source, tuple(scalars), lambda cursor: _of_intervals(cursor, spans))


def _streams(
    found: Folder | DataStream | EventStream, path: str
) -> list[tuple[str, DataStream | EventStream]]:
    """A stream, or all of a folder."""
    if not isinstance(found, Folder):
        return [(path, found)]
    here = path.rstrip("/")
    streams: list[tuple[str, DataStream | EventStream]] = []
    streams += [(f"{here}/{stream.name}", stream) for stream in found.data_streams]
    streams += [(f"{here}/{stream.name}", stream) for stream in found.event_streams]
    for child in found.children:
        streams += _streams(child, f"{here}/{child.name}")
    return streams


def _of_intervals(cursor: Cursor | None, spans: Mapping[str, tuple[int, int]]) -> float:
    """The part of these spans that a cursor of a Joule node has taken."""
    whole = sum(max(0, end - start) for start, end in spans.values())
    value: Any = {"data": {}} if cursor is None else cursor.value
    taken = sum(
        IntervalSet(tuple((first, last) for first, last in value["data"].get(path, ()))).within(*span).total
        for path, span in spans.items()
    )
    return taken / whole if whole else 1.0


def _of_instants(cursor: Cursor | None, names: tuple[str, ...], since: int, until: int) -> float:
    """The part of these datastreams that a cursor of a feed has passed; they are read one by one."""
    seen: Any = {} if cursor is None else cursor.value
    parts = [(seen[name] - since) / (until - since) for name in names if name in seen]
    return (len(parts) - 1 + parts[-1]) / len(names) if parts else 0.0


async def _reach_sink(end: CopyEnd, client: Node | Client, progress: _Progress, state: _StateFile) -> int:
    """See that the destination is there, before anything flows; gives the number of a feed."""
    if isinstance(client, Node):
        await client.info()
        return 0
    assert isinstance(end, CosmEnd)
    feed = progress.feed if end.feed_id is None else end.feed_id
    if feed is None:
        progress.feed = feed = int(await client.create_feed(data=Environment(title=end.title)))
        state.write(progress)
    else:
        await client.read_feed(feed_id=feed)
    return feed


def _safe_names(streams: tuple[str, ...]) -> Rename:
    """What to call streams where names are of letters, digits, ``_``, ``-`` and ``.``."""
    names = {name: re.sub(r"[^A-Za-z0-9_.-]", "_", name) for name in streams}
    try:
        return Rename(names)
    except ValueError as error:
        raise ConfigError([str(error)]) from error


def _points_of(batch: Batch) -> int:
    return batch.points


COUNTED: Mapping[str, Callable[[Batch], int]] = {
    "breaks dropped": lambda batch: sum(len(block.breaks) for block in batch.blocks),
    "gaps dropped": lambda batch: len(batch.gaps),
    "annotations and events dropped": lambda batch: len(batch.notes),
}
"""Name of a loss -> what is counted of it, when that is not points."""


class _Counted:
    """The conversions of a plan as a step, which counts what comes and what is dropped."""

    def __init__(self, plan: Plan, takes: Capabilities, progress: _Progress) -> None:
        self._plan = plan
        self._takes = takes
        self._progress = progress

    def apply(self, batch: Batch) -> tuple[Batch, Step]:
        """Convert a batch."""
        points = batch.points
        for conversion in self._plan.conversions:
            count = COUNTED.get(conversion.name, _points_of)
            before, batch = count(batch), conversion.apply(batch)
            if conversion.loss and before > count(batch):
                known = self._progress.losses.get(conversion.name, 0)
                self._progress.losses[conversion.name] = known + before - count(batch)
            if conversion.name != SPLIT:
                self._progress.dropped += points - batch.points
                self._progress.read += points - batch.points
            points = batch.points
        self._progress.read += points
        return batch, self

    def flush(self) -> tuple[Batch, Step]:
        """Nothing is held back."""
        return Batch(), self

    def gives(self, takes: Capabilities) -> Capabilities:
        """What the sink takes, and nothing else."""
        return evolve(self._takes, max_batch_points=None, max_batch_bytes=None)


class _Run:
    """Looks after a route until its source has ended and its outbox is empty."""

    def __init__(
        self,
        reactor: Any,
        terminal: Terminal,
        route: RelayService,
        outbox: MemoryOutbox,
        origin: _Origin,
        state: _StateFile,
        progress: _Progress,
    ) -> None:
        self._reactor = reactor
        self._terminal = terminal
        self._route = route
        self._outbox = outbox
        self._origin = origin
        self._state = state
        self._progress = progress
        self._delivered_before = progress.delivered
        self._away: dict[str, bool] = {}
        self._rates: deque[tuple[float, int]] = deque()

    async def to_the_end(self) -> None:
        """Copy.

        Raises:
            ConfigError: A person has to change something first.
        """
        self._state.write(self._progress)
        self._route.startService()
        saved = self._reactor.seconds()
        try:
            with self._terminal.progress("copying", 1.0) as report:
                while not self._look():
                    report(self._origin.done(self._outbox.settled_cursor), self._speed())
                    await deferLater(self._reactor, LOOK_EVERY)
                    if self._reactor.seconds() - saved >= SAVE_EVERY:
                        saved = self._reactor.seconds()
                        self._save()
        finally:
            await self._route.stopService()
            self._save()

    def _look(self) -> bool:
        """Whether it is done."""
        status = self._route.status()
        (destination,) = status.destinations
        for who, state, error in (
            ("source", status.source, status.source_error),
            ("destination", destination.state, destination.last_error),
        ):
            if state is LinkState.NEEDS_ATTENTION:
                raise ConfigError([f"the {who} needs attention: {error}"])
            is_away = state is LinkState.AWAY
            if is_away and not self._away.get(who):
                self._terminal.say(f"the {who} is away: {error}; trying again")
            elif self._away.get(who) and not is_away:
                self._terminal.say(f"the {who} is back")
            self._away[who] = is_away
        return status.source is LinkState.ENDED and destination.pending_bytes == 0

    def _speed(self) -> str:
        """How many points, and how fast they come, for a person."""
        now, points = self._reactor.seconds(), self._count()
        self._rates.append((now, points))
        while now - self._rates[0][0] > RATE_SECONDS:
            self._rates.popleft()
        since, before = self._rates[0]
        rate = (points - before) / (now - since) if now > since else 0.0
        return f"{points:,} points, {rate:,.0f}/s"

    def _count(self) -> int:
        (destination,) = self._route.status().destinations
        self._progress.delivered = self._delivered_before + destination.delivered
        return self._progress.delivered

    def _save(self) -> None:
        # Once a second, and in the reactor's own thread: nothing else runs in this process that would wait.
        self._count()
        cursor = self._outbox.settled_cursor
        self._progress.cursor = None if cursor is None else cursor.value
        self._state.write(self._progress)


# --------------------------------------------------------------------------------------- the state file


class _StateFile:
    """Keeps how far a copy has come: all of it or the one before, whatever happens to the process."""

    def __init__(self, path: Path, identity: tuple[str, ...]) -> None:
        self.path = path
        self._identity = identity
        self._lock_path = path.with_name(f".{path.name}.lock")
        self._lock: int | None = None

    def lock(self) -> None:
        """See that nobody else uses the file.

        Raises:
            ConfigError: Another process does, or its directory cannot be written to.
        """
        while self._lock is None:
            try:
                self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
                self._take_lock(os.open(self._lock_path, flags, 0o600))
            except OSError as error:
                raise ConfigError([f"--state: cannot write {self.path}: {error.strerror}"]) from error

    def _take_lock(self, descriptor: int) -> None:
        is_ours = False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = self._is_there(descriptor)
            if is_ours:
                os.truncate(descriptor, 0)
                os.write(descriptor, b"%d" % os.getpid())
                self._lock = descriptor
        except BlockingIOError:
            holder = os.read(descriptor, 20).decode("ascii", "replace") or "?"
            reason = f"--state: process {holder} is running this copy, and writes to {self.path}"
            raise ConfigError([reason]) from None
        finally:
            if not is_ours:
                os.close(descriptor)

    def _is_there(self, descriptor: int) -> bool:
        """Whether this is the lock still: who had it may have removed it after it was opened here."""
        try:
            return os.path.samestat(os.fstat(descriptor), self._lock_path.stat())
        except FileNotFoundError:
            return False

    def unlock(self) -> None:
        """Let others use the file; does nothing if it is not locked."""
        if self._lock is not None:
            self._lock_path.unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None

    def read(self) -> _Progress | None:
        """What an earlier run left.

        Raises:
            ConfigError: The file cannot be read, or tells of something else.
        """
        try:
            kept = json.loads(self.path.read_text(encoding="utf-8"))
            known = _Progress(**{**kept, "identity": tuple(kept["identity"])}) if _is_ours(kept) else None
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigError([f"--state: cannot read {self.path}: {error.strerror}"]) from error
        except (ValueError, TypeError, KeyError):
            known = None
        if known is None:
            raise ConfigError([f"--state: {self.path} does not hold the state of a copy"])
        if known.identity != self._identity:
            raise ConfigError([f"--state: {self.path} is of another copy: {' '.join(known.identity)}"])
        return known

    def write(self, progress: _Progress) -> None:
        """Replace the file, and see that it is on the disk.

        Raises:
            ConfigError: It cannot be written.
        """
        # What was read and is not accounted for yet is read again by the next run.
        kept = {"version": VERSION, **asdict(progress), "read": progress.accounted}
        new = self.path.with_name(f".{self.path.name}.new")
        try:
            with new.open("w", encoding="utf-8") as file:
                json.dump(kept, file)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self.path)
            directory = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)
        except OSError as error:
            raise ConfigError([f"--state: cannot write {self.path}: {error.strerror}"]) from error

    def remove(self) -> None:
        """The copy is done."""
        self.path.unlink(missing_ok=True)


def _is_ours(kept: Any) -> bool:
    return isinstance(kept, dict) and kept.pop("version", None) == VERSION


def _state_path(request: CopyRequest, identity: tuple[str, ...]) -> Path:
    if request.state is not None:
        return Path(request.state)
    if request.state_dir is None:
        raise ConfigError(["--state: say in which file to keep how far it has come"])
    named = re.sub(r"[^A-Za-z0-9]+", "-", " ".join(identity)).strip("-").lower()
    digest = sha256(json.dumps(identity).encode()).hexdigest()
    return Path(request.state_dir) / "copies" / f"{named[:80]}-{digest[:12]}.json"


# ------------------------------------------------------------------------------------------- the summary


def _tell(terminal: Terminal, request: CopyRequest, end: CopyEnd, feed: int, progress: _Progress) -> None:
    if request.form == "json":
        members: dict[str, Any] = {
            "start": _iso(progress.since),
            "end": _iso(progress.until),
            "read": progress.read,
            "delivered": progress.delivered,
            "dropped": progress.dropped,
            "losses": [{"name": name, "count": count} for name, count in progress.losses.items()],
            "refused": [{"reason": why, "points": count} for why, count in progress.refused.items()],
            "missing": [{"reason": why, "points": count} for why, count in progress.missing.items()],
        }
        terminal.give(json_text({**members, "feed": feed} if isinstance(end, CosmEnd) else members))
        return
    span = f"{instant(from_microseconds(progress.since))} to {instant(from_microseconds(progress.until))}"
    lines = [
        ("range", span),
        ("read", _points(progress.read)),
        ("delivered", _points(progress.delivered)),
        ("dropped", _points(progress.dropped)),
        *(("", f"{count} by {name!r}") for name, count in progress.losses.items()),
        ("refused", _points(sum(progress.refused.values()))),
        *(("", f"{_points(count)}: {why}") for why, count in progress.refused.items()),
        *(("missing", f"{_points(count)}: {why}") for why, count in progress.missing.items()),
    ]
    if isinstance(end, CosmEnd):
        lines.insert(0, ("feed", str(feed)))
    terminal.give("".join(f"{name:<10} {text}\n" for name, text in lines))


def _points(count: int | None) -> str:
    return "nobody knows how many points" if count is None else points_text(count)


def _iso(timestamp: int) -> str:
    return format_instant(from_microseconds(timestamp))
