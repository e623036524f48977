"""The configuration of a relay: TOML into frozen values, with every problem at once.

What can be written stands in the tables of keys below and nowhere else: they are read by the reader,
shown by ``txbridge relay check --show``, and listed in the reference.  The text of the file and the
environment are arguments.  No secret is in any of these values: they say where each one is.

Relative paths are relative to the file.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from posixpath import dirname, join
from typing import Any
from urllib.parse import urlsplit

from attrs import evolve, field, frozen

from txbridge.daemon.config import DEFAULT_URL, KEY_FILE, api_base, data_dir, state_dir
from txbridge.daemon.tables import (
    BOOLEAN,
    DURATION,
    ENDPOINT,
    INSTANT,
    NAMES,
    NUMBER,
    RATE,
    REQUIRED,
    SECRET,
    SIZE,
    TABLE,
    TABLES,
    TEXT,
    TEXTS,
    TEXTS_OR_TABLE,
    WHOLE,
    Key,
    Kind,
    Rate,
    Secret,
    TableReader,
    hint,
    one_of,
)
from txbridge.errors import ConfigError
from txbridge.iobeam.errors import BadArgument
from txbridge.iobeam.structures import check_device_id
from txbridge.model.instants import from_microseconds, shorten, to_microseconds
from txbridge.relay.roles import Durability, OnFull
from txbridge.relay.steps import Change, Decimate, Rename, Scale, Select, Step

__all__ = [
    "SECTIONS",
    "AccountConfig",
    "AdminConfig",
    "CosmFrom",
    "CosmTo",
    "DestinationConfig",
    "End",
    "HostFrom",
    "IobeamFrom",
    "IobeamTo",
    "JouleFrom",
    "JouleTo",
    "LinesFrom",
    "OutboxConfig",
    "RelayConfig",
    "RouteConfig",
    "Section",
    "read_relay_config",
    "relay_state_dir",
    "usual_relay_state",
]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
LEAST_BYTES = 256 << 10  # of an outbox on a disk: a few of the smallest segments
LEAST_EVERY = 0.1  # seconds between readings of this machine
TAKEN = frozenset(("control", "copies", "lock"))  # other things that are in the state directory

NOW = "now"
BEGINNING = "beginning"


def _since(value: Any) -> str | int:
    if value in (NOW, BEGINNING):
        return str(value)
    return to_microseconds(INSTANT.read(value))


SINCE = Kind(
    f'"{NOW}", "{BEGINNING}" or an instant',
    _since,
    lambda value: f'"{value}"' if isinstance(value, str) else INSTANT.show(from_microseconds(value)),
)


@frozen
class Section:
    """A table that the file may have.

    Attributes:
        path: Where it stands; a name that its writer chooses is in capitals.
        text: What it is, in reStructuredText.
        keys: What it may have.
    """

    path: str
    text: str
    keys: tuple[Key, ...]


TOP = Section(
    "",
    "The file itself.",
    (
        Key(
            "state",
            TEXT,
            None,
            "The directory of the outboxes, the ledger and the dead letters.  Unless it is given, it is "
            "the one that systemd names, or else ``txbridge/relay`` where this user's programs keep "
            "their state.",
        ),
        Key("log", one_of("plain", "json"), "plain", "How log lines are written to stderr."),
        Key(
            "stop_deadline",
            DURATION,
            "10s",
            "How long stopping may take; what is not delivered by then stays in the outboxes on disk.",
        ),
        Key("admin", TABLE, {}, "See below."),
        Key("accounts", TABLE, {}, "See below."),
        Key("routes", TABLE, REQUIRED, "See below; there is at least one."),
    ),
)

ADMIN = Section(
    "admin",
    "How the relay is looked after over HTTP: ``/metrics``, ``/healthz``, ``/readyz`` and ``/status``.  "
    "``txbridge relay status`` and ``top`` do not need it.",
    (
        Key(
            "listen",
            ENDPOINT,
            None,
            "Where to listen, as Twisted reads it, such as ``tcp:9120:interface=127.0.0.1``.  Nowhere unless "
            "it is given.  There is no key: whoever can connect can read.",
        ),
        Key(
            "away",
            DURATION,
            "15min",
            "How long a source or a destination may be away before ``/readyz`` says that the relay is not "
            "ready.",
        ),
    ),
)

ACCOUNT = Section(
    "accounts.NAME",
    "What one account of a platform may be asked; destinations that name it share it.",
    (
        Key("requests", RATE, None, 'Deliveries, such as ``"60/min"``.'),
        Key("points", RATE, None, 'Points, such as ``"30/min"``.'),
    ),
)

ROUTE = Section(
    "routes.NAME",
    "From one source to any number of destinations.",
    (
        Key("from", TABLE, REQUIRED, "The source; see below."),
        Key("to", TABLE, REQUIRED, "Name of a destination = what it is; see below."),
        Key("accept", TEXTS, None, "The losses that are accepted on the way to every destination."),
        Key("streams", TEXTS, ["*"], "Shell patterns of the streams that are wanted."),
        Key("steps", TABLES, [], "What is done to the data, in this order; see below."),
        Key("outbox", TABLE, {}, "See below."),
    ),
)

OUTBOX = Section(
    "routes.NAME.outbox",
    "The queue between the source and the destinations.",
    (
        Key(
            "durability",
            one_of(*(one.value for one in Durability)),
            Durability.DISK.value,
            "What an accepted batch survives: ``disk`` a power cut, ``os`` the end of the process, ``none`` "
            "nothing.",
        ),
        Key("max_bytes", SIZE, "1GiB", "The most that is kept; in memory 64MiB unless it is given."),
        Key("max_points", WHOLE, None, "The most points that are kept."),
        Key("max_age", DURATION, None, "How long anything is kept.  For ever unless it is given."),
        Key(
            "on_full",
            one_of(*(one.value for one in OnFull)),
            None,
            "What happens when there is no room: ``block`` lets the source wait, ``drop_oldest`` and "
            "``drop_newest`` drop, and ``decimate`` keeps every second row of what is oldest.  Unless it is "
            "given, it is ``block`` for a source that can wait, and ``drop_oldest`` for ``host``, "
            "which cannot.",
        ),
    ),
)

DESTINATION = Section(
    "routes.NAME.to.NAME",
    "Where the data goes: one of ``cosm``, ``joule`` and ``iobeam``, and how it is sent there.",
    (
        Key("cosm", TABLE, None, "A feed; see below."),
        Key("joule", TABLE, None, "A folder of a Joule node; see below."),
        Key("iobeam", TABLE, None, "A device of an iobeam project; see below."),
        Key("accept", TEXTS, None, "The losses that are accepted on the way to this destination too."),
        Key("account", TEXT, None, "The name of one of ``accounts``, whose rates hold."),
        Key("deadline", DURATION, "60s", "How long one delivery may take."),
        Key("batch_points", WHOLE, 10_000, "The most points in one delivery."),
        Key("batch_bytes", SIZE, "1MiB", "About the most data in one delivery."),
        Key("delay", DURATION, "0s", "How long to gather more when little waits."),
        Key(
            "order",
            one_of("oldest_first", "live_first"),
            "oldest_first",
            "What is sent first when much waits.  ``live_first`` sends what comes now at once, and the "
            "backlog besides.",
        ),
        Key(
            "clock_policy",
            one_of("trust", "correct", "reject"),
            "trust",
            "What happens to instants of a time when this machine's clock was wrong: they are sent as they "
            "are, corrected, or not sent.  What is changed or not sent is in the ledger.",
        ),
    ),
)

_JOULE = (
    Key("node", TEXT, None, "A node of Joule's own files; the default one there unless it is given."),
    Key("url", TEXT, None, "Instead: where the node is."),
    Key("key", SECRET, None, "Its key, if there is a ``url``."),
)

_USUAL_KEY = (
    "Without a ``url`` it need not be given: then it is the key of the hub that this user runs on this "
    "machine with its usual settings."
)

_IOBEAM = (
    Key("url", TEXT, DEFAULT_URL, "Where the service is: a hub, or another that speaks iobeam."),
    Key("project", WHOLE, REQUIRED, "The number of the project."),
    Key("device", TEXT, REQUIRED, "The id of the device."),
)

HOST_FROM = Section(
    "routes.NAME.from.host",
    "The sensors of this machine: processor, memory, disks, network, temperatures.",
    (
        Key("every", DURATION, "10s", "How often they are read."),
        Key("disk", TEXT, "/", "A path on the file system whose usage is read."),
    ),
)

JOULE_FROM = Section(
    "routes.NAME.from.joule",
    "Streams of a Joule node, with their history: after any outage the relay goes on with what is missing.",
    (
        *_JOULE,
        Key(
            "streams",
            TEXTS_OR_TABLE,
            REQUIRED,
            "Paths of data and event streams, or a table path = name in the relay.",
        ),
        Key("since", SINCE, NOW, "Where a relay that was never run before begins."),
        Key(
            "order",
            one_of("oldest_first", "live_first"),
            "oldest_first",
            "What is read first after an outage.",
        ),
        Key(
            "raw",
            BOOLEAN,
            False,
            "Numbers as they are stored, without the offset and scale of their element.",
        ),
        Key("notes", BOOLEAN, True, "Annotations and events too."),
    ),
)

COSM_FROM = Section(
    "routes.NAME.from.cosm",
    "The updates of a feed, with what was missed from its history.",
    (
        Key("url", TEXT, DEFAULT_URL, "Where the hub is."),
        Key("feed", WHOLE, REQUIRED, "The feed."),
        Key("key", SECRET, REQUIRED, f"A key that may read it.  {_USUAL_KEY}"),
        Key("since", SINCE, NOW, "Where a relay that was never run before begins."),
        Key("numbers", BOOLEAN, False, "Values as numbers; what is none is left out, and in the ledger."),
        Key(
            "late",
            DURATION,
            "0s",
            "How much older than the newest points those may be that were recorded while the feed could not "
            "be read.",
        ),
    ),
)

IOBEAM_FROM = Section(
    "routes.NAME.from.iobeam",
    "The series of a device of an iobeam project, which is asked for what is new again and again.",
    (
        *_IOBEAM,
        Key("token", SECRET, REQUIRED, "A project token that may read."),
        Key("since", SINCE, NOW, "Where a relay that was never run before begins."),
        Key("every", DURATION, "10s", "How often it is asked."),
        Key(
            "late",
            DURATION,
            "1h",
            "How much older than the newest point of the device a point may be that arrives late.  It is "
            "found at once if that is a minute, and otherwise before a quarter of this has passed.",
        ),
        Key("numbers", BOOLEAN, False, "Values as numbers; what is none is left out, and in the ledger."),
    ),
)

LINES_FROM = Section(
    "routes.NAME.from.lines",
    "Lines of text that devices and scripts send over a socket: ``DATASTREAM,TIMESTAMP,VALUE``, and each is "
    "answered when it is in the outbox.",
    (
        Key(
            "listen",
            ENDPOINT,
            REQUIRED,
            "Where to listen, as Twisted reads it, such as ``tcp:9121:interface=127.0.0.1`` or "
            "``unix:/run/txbridge/lines``.",
        ),
        Key("numbers", BOOLEAN, False, "Values as numbers; a line whose value is none is refused."),
    ),
)

COSM_TO = Section(
    "routes.NAME.to.NAME.cosm",
    "A feed of a hub: each stream is one of its datastreams.",
    (
        Key("url", TEXT, DEFAULT_URL, "Where the hub is."),
        Key("feed", WHOLE, REQUIRED, "The feed.  ``txbridge feeds create`` makes one."),
        Key("key", SECRET, REQUIRED, f"A key that may write to it.  {_USUAL_KEY}"),
    ),
)

JOULE_TO = Section(
    "routes.NAME.to.NAME.joule",
    "A folder of a Joule node: each stream is a data stream there, and is made when it is new.",
    (
        *_JOULE,
        Key("folder", TEXT, "/txbridge", "The folder."),
        Key("keep", DURATION, None, "How long new streams keep their rows.  For ever unless it is given."),
        Key("decimate", BOOLEAN, True, "Whether new streams keep decimated copies, for plots."),
    ),
)

IOBEAM_TO = Section(
    "routes.NAME.to.NAME.iobeam",
    "A device of an iobeam project: each stream is one of its series.  It is registered if it is new.",
    (*_IOBEAM, Key("token", SECRET, REQUIRED, "A project token that may write.")),
)

SELECT = Section(
    "routes.NAME.steps[].select",
    "Let only some streams through.",
    (
        Key("include", TEXTS, ["*"], "Shell patterns, one of which a stream must match."),
        Key("exclude", TEXTS, None, "Shell patterns that it must not match."),
    ),
)

RENAME = Section(
    "routes.NAME.steps[].rename",
    "Give streams other names.",
    (
        Key("names", NAMES, {}, "Old name = new name."),
        Key("prefix", TEXT, None, "Put before every name."),
    ),
)

_FOR = Key("streams", TEXTS, ["*"], "Shell patterns of the streams it is for.")

SCALE = Section(
    "routes.NAME.steps[].scale",
    "Multiply and shift numbers: value × factor + offset.",
    (
        Key("factor", NUMBER, 1.0, "By what to multiply."),
        Key("offset", NUMBER, 0.0, "What to add afterwards."),
        Key("unit_symbol", TEXT, None, "The symbol of the result's unit."),
        Key("unit_label", TEXT, None, "The name of the result's unit."),
        _FOR,
    ),
)

CHANGE = Section(
    "routes.NAME.steps[].change",
    "Let a row through only if it says something new.",
    (
        Key("deadband", NUMBER, 0.0, "The difference that says nothing."),
        Key("at_least_every", DURATION, None, "After so long a row passes unchanged."),
        _FOR,
    ),
)

DECIMATE = Section(
    "routes.NAME.steps[].decimate",
    "Make one row of all rows in each span of time.",
    (
        Key("every", DURATION, REQUIRED, "The length of a span."),
        Key("method", one_of("last", "mean"), "last", "The last row of it, or the mean of its numbers."),
        _FOR,
    ),
)

SECTIONS = (
    TOP,
    ADMIN,
    ACCOUNT,
    ROUTE,
    HOST_FROM,
    LINES_FROM,
    COSM_FROM,
    JOULE_FROM,
    IOBEAM_FROM,
    DESTINATION,
    COSM_TO,
    JOULE_TO,
    IOBEAM_TO,
    OUTBOX,
    SELECT,
    RENAME,
    SCALE,
    CHANGE,
    DECIMATE,
)
"""Every table, in the order in which a person reads about them."""

_SOURCES = {
    "host": HOST_FROM,
    "lines": LINES_FROM,
    "cosm": COSM_FROM,
    "joule": JOULE_FROM,
    "iobeam": IOBEAM_FROM,
}
_SINKS = {"cosm": COSM_TO, "joule": JOULE_TO, "iobeam": IOBEAM_TO}
_STEPS = {"select": SELECT, "rename": RENAME, "scale": SCALE, "change": CHANGE, "decimate": DECIMATE}


# --------------------------------------------------------------------------------------- what is read


@frozen
class HostFrom:
    """This machine as a source; the keys of ``from.host``."""

    every: float
    disk: str


@frozen
class LinesFrom:
    """Lines that are sent to the relay; the keys of ``from.lines``."""

    listen: str
    numbers: bool


@frozen
class CosmFrom:
    """A feed as a source; the keys of ``from.cosm``.

    Attributes:
        since: ``"now"``, ``"beginning"`` or microseconds.
    """

    url: str
    feed: int
    key: Secret
    since: str | int
    numbers: bool
    late: float


@frozen
class JouleFrom:
    """A Joule node as a source; the keys of ``from.joule``.

    Attributes:
        streams: Paths, each with its name in the relay or None.
        since: ``"now"``, ``"beginning"`` or microseconds.
    """

    node: str | None
    url: str | None
    key: Secret | None
    streams: tuple[tuple[str, str | None], ...]
    since: str | int
    order: str
    raw: bool
    notes: bool


@frozen
class CosmTo:
    """A feed as a destination; the keys of ``cosm``."""

    url: str
    feed: int
    key: Secret


@frozen
class JouleTo:
    """A folder of a Joule node as a destination; the keys of ``joule``."""

    node: str | None
    url: str | None
    key: Secret | None
    folder: str
    keep: float | None
    decimate: bool


@frozen
class IobeamFrom:
    """A device of an iobeam project as a source; the keys of ``from.iobeam``.

    Attributes:
        key: Where the token is.
        since: ``"now"``, ``"beginning"`` or microseconds.
    """

    url: str
    project: int
    device: str
    key: Secret
    since: str | int
    every: float
    late: float
    numbers: bool


@frozen
class IobeamTo:
    """A device of an iobeam project as a destination; the keys of ``iobeam``.

    Attributes:
        key: Where the token is.
    """

    url: str
    project: int
    device: str
    key: Secret


From = HostFrom | LinesFrom | CosmFrom | JouleFrom | IobeamFrom
To = CosmTo | JouleTo | IobeamTo
End = From | To


@frozen(kw_only=True)
class DestinationConfig:
    """A destination of a route; its keys, and its name."""

    name: str
    end: To
    accept: frozenset[str]
    account: str | None
    deadline: float
    batch_points: int
    batch_bytes: int
    delay: float
    order: str
    clock_policy: str


@frozen
class OutboxConfig:
    """The outbox of a route; its keys."""

    durability: Durability
    max_bytes: int
    max_points: int | None
    max_age: float | None
    on_full: OnFull


@frozen(kw_only=True)
class RouteConfig:
    """A route; its keys, and its name."""

    name: str
    source: From
    destinations: tuple[DestinationConfig, ...]
    streams: tuple[str, ...]
    steps: tuple[Step, ...]
    outbox: OutboxConfig

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """Where its secrets are."""
        ends: tuple[Any, ...] = (self.source, *(one.end for one in self.destinations))
        return tuple(end.key for end in ends if getattr(end, "key", None) is not None)

    @property
    def source_secrets(self) -> tuple[Secret, ...]:
        """Those without which nothing can be read."""
        key: Secret | None = getattr(self.source, "key", None)
        return () if key is None else (key,)


@frozen
class AccountConfig:
    """The rates of an account; its keys."""

    requests: Rate | None
    points: Rate | None


@frozen
class AdminConfig:
    """How the relay is looked after; the keys of ``admin``."""

    listen: str | None
    away: float


@frozen(kw_only=True)
class RelayConfig:
    """A whole relay.

    Attributes:
        file: Where it was read from.
        state: The state directory.
        log: ``"plain"`` or ``"json"``.
        stop_deadline: Seconds.
        admin: How it is looked after.
        accounts: Name -> rates.
        routes: Name -> route.
        effective: Everything that holds, defaults too, as TOML.
    """

    file: str
    state: str
    log: str
    stop_deadline: float
    admin: AdminConfig
    accounts: Mapping[str, AccountConfig]
    routes: Mapping[str, RouteConfig]
    effective: str = field(eq=False, repr=False)


def relay_state_dir(environ: Mapping[str, str]) -> str | None:
    """Where a relay keeps its state unless something else is said; None if the environment names no home.

    A service of systemd has a directory of its own, anybody else the usual place for state.
    """
    given = environ.get("STATE_DIRECTORY", "").split(":")[0]
    return given if given else usual_relay_state(environ)


def usual_relay_state(environ: Mapping[str, str]) -> str | None:
    """Where this user's relay keeps its state unless something else is said; None without a home."""
    usual = state_dir(environ)
    return None if usual is None else join(usual, "relay")


def read_relay_config(text: str, *, file: str, environ: Mapping[str, str]) -> RelayConfig:
    """Read the configuration of a relay.

    Args:
        text: The file's text.
        file: Its path, for problems and for the paths in it.
        environ: The environment, which may say where state is kept.

    Raises:
        ConfigError: Every problem, each with the file and the key that it is about.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{file}: this is not TOML: {error}"]) from None
    reader = _Reader(file, environ)
    config = reader.relay(document)
    if reader.tables.problems or config is None:
        raise ConfigError(reader.tables.problems)
    return config


class _Reader:
    """Reads the tables of one file."""

    def __init__(self, file: str, environ: Mapping[str, str]) -> None:
        self.tables = TableReader(file)
        self._file = file
        self._environ = environ
        self._accounts: set[str] = set()
        self._listening: dict[str, str] = {}

    def relay(self, document: dict[str, Any]) -> RelayConfig | None:
        top = self.tables.table("", document, TOP.keys, state=relay_state_dir(self._environ))
        # A problem in one table hides no problem in another.
        admin = self._admin(_part(document, "admin"))
        accounts = {
            name: read
            for name, table in self._named("accounts", _part(document, "accounts"))
            if (read := self._account(f"accounts.{name}", table)) is not None
        }
        self._accounts = set(_part(document, "accounts"))
        if document.get("routes") == {}:
            self.tables.problem("routes", "there is none")
        routes = {
            name: route
            for name, table in self._named("routes", _part(document, "routes"), TAKEN)
            if (route := self._route(name, table)) is not None
        }
        if top is None or admin is None:
            return None
        if top["state"] is None:
            self.tables.problem("state", "missing; the environment names no directory to keep it in")
            return None
        state = self._path(top["state"])
        self.tables.effective[""]["state"] = TEXT.show(state)
        return RelayConfig(
            file=self._file,
            state=state,
            log=top["log"],
            stop_deadline=top["stop_deadline"],
            admin=admin,
            accounts=accounts,
            routes=routes,
            effective=self.tables.text(),
        )

    def _admin(self, table: dict[str, Any]) -> AdminConfig | None:
        values = self.tables.table("admin", table, ADMIN.keys)
        if values is not None and values["listen"] is not None:
            self._listens("admin.listen", values["listen"])
        return None if values is None else AdminConfig(**values)

    def _account(self, path: str, table: dict[str, Any]) -> AccountConfig | None:
        values = self.tables.table(path, table, ACCOUNT.keys)
        if values is not None and values["requests"] is None and values["points"] is None:
            self.tables.problem(path, "it says no rate; say requests, points, or both")
            return None
        return None if values is None else AccountConfig(**values)

    def _route(self, name: str, table: dict[str, Any]) -> RouteConfig | None:
        path = f"routes.{name}"
        values = self.tables.table(path, table, ROUTE.keys)
        source = self._source(f"{path}.from", table["from"]) if isinstance(table.get("from"), dict) else None
        accept = frozenset(values["accept"] or ()) if values is not None else frozenset()
        to = _part(table, "to")
        if table.get("to") == {}:
            self.tables.problem(f"{path}.to", "there is no destination")
        destinations = tuple(
            evolve(read, accept=read.accept | accept)
            for one, written in self._named(f"{path}.to", to)
            if (read := self._destination(f"{path}.to.{one}", one, written)) is not None
        )
        outbox = self._outbox(f"{path}.outbox", _part(table, "outbox"), source)
        steps = self._steps(f"{path}.steps", table.get("steps"))
        if values is None or source is None or outbox is None or len(destinations) != len(to):
            return None
        return RouteConfig(
            name=name,
            source=source,
            destinations=destinations,
            streams=values["streams"],
            steps=steps,
            outbox=outbox,
        )

    def _source(self, path: str, table: dict[str, Any]) -> Any:
        found = self._one_kind(path, table, _SOURCES)
        if found is None:
            return None
        kind, path, values = found
        if kind == "host":
            if values["every"] < LEAST_EVERY:
                self.tables.problem(f"{path}.every", f"it is at least {DURATION.show(LEAST_EVERY)}")
            return HostFrom(**values)
        if kind == "lines":
            self._listens(f"{path}.listen", values["listen"])
            return LinesFrom(**values)
        if kind == "cosm":
            return self._cosm(path, values, CosmFrom)
        if kind == "iobeam":
            return self._iobeam(path, values, IobeamFrom)
        return self._joule(path, values, JouleFrom)

    def _destination(self, path: str, name: str, table: dict[str, Any]) -> DestinationConfig | None:
        values = self.tables.table(path, table, DESTINATION.keys)
        ends = {kind: table[kind] for kind in _SINKS if kind in table}
        found = self._one_kind(path, ends, _SINKS)
        account = table.get("account")
        if isinstance(account, str) and account not in self._accounts:
            wanted = hint(account, sorted(self._accounts))
            self.tables.problem(f"{path}.account", f"{shorten(account)!r} is not in accounts; {wanted}")
            return None
        if values is not None and values["deadline"] == 0:
            self.tables.problem(f"{path}.deadline", "it is above 0s")
        if values is None or found is None:
            return None
        kind, where, of_end = found
        end: To | None
        if kind == "cosm":
            end = self._cosm(where, of_end, CosmTo)
        elif kind == "iobeam":
            end = self._iobeam(where, of_end, IobeamTo)
        else:
            end = self._joule(where, of_end, JouleTo)
        if end is None:
            return None
        values = {key: value for key, value in values.items() if key not in _SINKS}
        return DestinationConfig(
            name=name, end=end, **{**values, "accept": frozenset(values["accept"] or ())}
        )

    def _outbox(self, path: str, table: dict[str, Any], source: Any) -> OutboxConfig | None:
        usual = OnFull.DROP_OLDEST if isinstance(source, HostFrom) else OnFull.BLOCK
        most = "64MiB" if table.get("durability") == Durability.NONE.value else "1GiB"
        values = self.tables.table(path, table, OUTBOX.keys, on_full=usual.value, max_bytes=most)
        if values is None:
            return None
        values["durability"] = Durability(values["durability"])
        if values["durability"] is not Durability.NONE and values["max_bytes"] < LEAST_BYTES:
            self.tables.problem(
                f"{path}.max_bytes", f"an outbox on a disk needs {SIZE.show(LEAST_BYTES)} at least"
            )
        if values["max_age"] == 0:
            self.tables.problem(f"{path}.max_age", "it is above 0s")
        values["on_full"] = OnFull(values["on_full"])
        return OutboxConfig(**values)

    def _steps(self, path: str, tables: Any) -> tuple[Step, ...]:
        steps: list[Step] = []
        for number, table in enumerate(tables if isinstance(tables, list) else ()):
            here = f"{path}[{number}]"
            found = self._one_kind(here, table, _STEPS) if isinstance(table, dict) else None
            if found is None:
                continue
            kind, where, values = found
            try:
                steps.append(_step(kind, values))
            except ValueError as error:
                self.tables.problem(where, str(error))
        return tuple(steps)

    def _one_kind(
        self, path: str, table: dict[str, Any], kinds: Mapping[str, Section]
    ) -> tuple[str, str, dict[str, Any]] | None:
        """The one of several kinds that a table is, and what is in it."""
        known = ", ".join(kinds)
        unknown = [name for name in table if name not in kinds]
        for name in unknown:
            self.tables.problem(f"{path}.{shorten(name)}", f"unknown; {hint(name, tuple(kinds))}")
        there = [name for name in table if name in kinds]
        if len(there) != 1:
            if there or not unknown:
                self.tables.problem(path, f"it is exactly one of these: {known}")
            return None
        (kind,) = there
        if not isinstance(table[kind], dict):
            self.tables.problem(f"{path}.{kind}", f"it is a table, such as {kind} = {{}}")
            return None
        section = kinds[kind]
        values = self.tables.table(
            f"{path}.{kind}", table[kind], section.keys, **self._usual_key(section, table[kind])
        )
        return None if values is None else (kind, f"{path}.{kind}", values)

    def _usual_key(self, section: Section, table: Mapping[str, Any]) -> dict[str, Any]:
        """The key of the hub that this user runs here; no other hub is ever given that."""
        usual = data_dir({name: text for name, text in self._environ.items() if name != "STATE_DIRECTORY"})
        if section not in (COSM_FROM, COSM_TO) or "url" in table or usual is None:
            return {}
        return {"key": {"file": join(usual, KEY_FILE)}}

    def _cosm(self, path: str, values: dict[str, Any], make: Callable[..., Any]) -> Any:
        problems: list[str] = []
        values["url"] = api_base("url", values["url"], problems)
        for problem in problems:
            self.tables.problem(f"{path}.url", problem.removeprefix("url: "))
        values["key"] = self._secret(values["key"])
        return None if problems else make(**values)

    def _iobeam(self, path: str, values: dict[str, Any], make: Callable[..., Any]) -> Any:
        before = len(self.tables.problems)
        problems: list[str] = []
        api_base("url", values["url"], problems)  # the client adds the API's path
        for problem in problems:
            self.tables.problem(f"{path}.url", problem.removeprefix("url: "))
        try:
            check_device_id(values["device"])
        except BadArgument as error:
            self.tables.problem(f"{path}.device", f"it {error.reason}")
        if values.get("every") == 0:
            self.tables.problem(f"{path}.every", "it is above 0s")
        values["key"] = self._secret(values.pop("token"))
        return make(**values) if len(self.tables.problems) == before else None

    def _joule(self, path: str, values: dict[str, Any], make: Callable[..., Any]) -> Any:
        before = len(self.tables.problems)
        url = values["url"]
        if url is not None and values["node"] is not None:
            self.tables.problem(path, "say node or url, and not both")
        if (url is None) != (values["key"] is None):
            missing, given = ("key", "url") if url is not None else ("url", "key")
            self.tables.problem(f"{path}.{missing}", f"missing; there is a {given}")
        if url is not None and not _is_http(url):
            self.tables.problem(f"{path}.url", "it is no address such as http://127.0.0.1:8088")
        if "folder" in values and not values["folder"].startswith("/"):
            self.tables.problem(f"{path}.folder", "a path on a Joule node begins with a slash")
        for stream, _ in values.get("streams", ()):
            if not stream.startswith("/"):
                self.tables.problem(
                    f"{path}.streams", f"{shorten(stream)!r} is no path: it begins with no slash"
                )
        if values["key"] is not None:
            values["key"] = self._secret(values["key"])
        return make(**values) if len(self.tables.problems) == before else None

    def _named(
        self, path: str, tables: dict[str, Any], taken: frozenset[str] = frozenset()
    ) -> list[tuple[str, dict[str, Any]]]:
        """The tables in a table, with their names."""
        found: list[tuple[str, dict[str, Any]]] = []
        for name, table in tables.items():
            if not isinstance(table, dict):
                self.tables.problem(f"{path}.{shorten(name)}", "it is a table")
                continue
            if not _NAME.fullmatch(name):
                rule = "letters, digits, '_' and '-', at most 64"
                self.tables.problem(path, f"{shorten(name)!r} is no name: {rule}")
            elif name in taken:
                self.tables.problem(path, f"{name!r} is the name of something else; choose another")
            found.append((name, table))  # a bad name hides nothing else that is wrong
        return found

    def _listens(self, path: str, endpoint: str) -> None:
        if endpoint in self._listening and endpoint.split(":")[:2] != ["tcp", "0"]:
            self.tables.problem(path, f"{endpoint!r} is taken by {self._listening[endpoint]}")
        self._listening.setdefault(endpoint, path)

    def _secret(self, secret: Secret) -> Secret:
        return evolve(secret, name=self._path(secret.name)) if secret.kind == "file" else secret

    def _path(self, text: str) -> str:
        return join(dirname(self._file), text)


def _part(table: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A table in a table; an empty one if it is none, which is told elsewhere."""
    found = table.get(name)
    return found if isinstance(found, dict) else {}


def _step(kind: str, values: dict[str, Any]) -> Step:
    if kind == "select":
        return Select(include=values["include"], exclude=values["exclude"] or ())
    if kind == "rename":
        return Rename(values["names"], values["prefix"] or "")
    if kind == "scale":
        return Scale(**values)
    if kind == "change":
        return Change(**values)
    return Decimate(**values)


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None
    except ValueError:
        return False
