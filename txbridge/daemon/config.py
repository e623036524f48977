"""What the program was told, as frozen values: from arguments and the environment, checked at once.

Everything that can be wrong without asking the network or the disk is found here, and all of it is
told together.  Text of files, the environment and the clock are arguments.

The environment of the client commands:

``TXBRIDGE_URL``
    Where the hub is; ``http://127.0.0.1:8080`` unless given.  ``/v2`` is added when there is no path.
``TXBRIDGE_API_KEY``
    The key.
``TXBRIDGE_API_KEY_FILE``
    A file that holds it; systemd credentials and container secrets come so.
``TXBRIDGE_JOULE_URL``
    Where the Joule node is, unless it is named; otherwise the default one of Joule's own files.
``TXBRIDGE_JOULE_API_KEY``
    Its key.
``TXBRIDGE_IOBEAM_URL``
    Where the iobeam service is; the hub of ``TXBRIDGE_URL`` unless given.  ``/v1`` is added when there is no
    path.
``TXBRIDGE_IOBEAM_TOKEN``
    The token of a project.
``TXBRIDGE_IOBEAM_TOKEN_FILE``
    A file that holds it.
``TXBRIDGE_IOBEAM_PROJECT``
    The project's number; the one that the token names unless given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network, ip_network
from math import inf
from posixpath import join
from urllib.parse import urlsplit, urlunsplit

from attrs import field, frozen

from txbridge.cosm.history import INTERVALS, Duration, parse_duration
from txbridge.daemon.tables import endpoint_problem
from txbridge.errors import ConfigError
from txbridge.hub.store import MAX_FEEDS
from txbridge.iobeam.codec import token_payload
from txbridge.iobeam.errors import BadArgument
from txbridge.iobeam.structures import check_token
from txbridge.model.instants import parse_instant, shorten

__all__ = [
    "DEFAULT_LISTEN",
    "DEFAULT_URL",
    "KEY_FILE",
    "ClientConfig",
    "CopyEnd",
    "CosmEnd",
    "DemoConfig",
    "HubConfig",
    "IobeamConfig",
    "JouleEnd",
    "NodeConfig",
    "Span",
    "api_base",
    "client_config",
    "copy_end",
    "data_dir",
    "demo_config",
    "hub_config",
    "instant_or_ago",
    "interval_for_chart",
    "interval_seconds",
    "iobeam_config",
    "local_url",
    "node_config",
    "node_path",
    "span_of",
    "state_dir",
]

Network = IPv4Network | IPv6Network

LARGEST_NUMBER = 2**63 - 1
DEFAULT_LISTEN = ("tcp:8080:interface=127.0.0.1",)
DEFAULT_URL = "http://127.0.0.1:8080"
DEFAULT_DURATION = "6hours"
KEY_FILE = "owner.key"  # in the data directory, written by the hub's first start
API_PATH = "/v2"
IOBEAM_PATH = "/v1"
TEMPORARY = "(temporary)"  # a directory that has no name yet

SHORT_CHART = 6 * 3600  # seconds of which every stored point is drawn
POINTS_OF_CHART = 1000  # more than any terminal has columns for
LONGEST_DEMO = 366 * 86400.0  # seconds; longer is a mistyped number


@frozen
class HubConfig:
    """How to run a hub.

    Attributes:
        data: The directory of its storage.
        listen: Endpoint strings, as Twisted reads them, of HTTP and WebSockets.
        paws_tcp: Endpoint strings of the socket API over plain TCP.
        api_key: The owner's key, or None to make one on the first start.
        drain_seconds: How long stopping waits for answers that are under way.
        public_url: Scheme and host that clients know the hub by, behind a proxy; None takes what each
            request says.
        webhooks: Networks that triggers may call although they are not of the public internet.
        requests_per_minute: The requests of one key in a minute, averaged over three; None for any number.
        relay: The state directory of a relay whose losses the page shows, or None.
        public_graphs: Whether graphs of public feeds are shown to who has no key.
        max_feeds: The most feeds of an account.
    """

    data: str
    listen: tuple[str, ...] = DEFAULT_LISTEN
    paws_tcp: tuple[str, ...] = ()
    api_key: str | None = field(default=None, repr=False)
    drain_seconds: float = 10.0
    public_url: str | None = None
    webhooks: tuple[Network, ...] = ()
    requests_per_minute: float | None = None
    relay: str | None = None
    public_graphs: bool = False
    max_feeds: int = MAX_FEEDS

    @property
    def key_file(self) -> str:
        """Where the first start puts the key it makes."""
        return join(self.data, KEY_FILE)


@frozen
class ClientConfig:
    """Where a client command goes.

    Attributes:
        url: The API's base, such as ``http://127.0.0.1:8080/v2``.
        api_key: The key, or None.
    """

    url: str
    api_key: str | None = field(default=None, repr=False)

    @property
    def iobeam_url(self) -> str:
        """The base of the same hub's iobeam API."""
        return self.url.removesuffix(API_PATH) + IOBEAM_PATH

    @property
    def socket_url(self) -> str:
        """The same hub's WebSocket."""
        parts = urlsplit(self.url)
        scheme, port = ("wss", 443) if parts.scheme == "https" else ("ws", 80)
        # Without a port a PAWS address means the service's own, not the ones of HTTP.
        netloc = parts.netloc if parts.port is not None else f"{parts.netloc.rstrip(':')}:{port}"
        return urlunsplit((scheme, netloc, "", "", ""))


@frozen
class IobeamConfig:
    """Which project of iobeam a command writes and reads.

    Attributes:
        url: The API's base, such as ``http://127.0.0.1:8080/v1``.
        project: The project's number.
        token: What opens it.
        token_file: Where the token is kept, and its successor is to be; None is nowhere.
    """

    url: str
    project: int
    token: str = field(repr=False)
    token_file: str | None = None


@frozen
class NodeConfig:
    """Which Joule node a command asks.

    Attributes:
        name: Its name in Joule's own files, or "" for the default one there.
        url: Where it is, if it need not be in any file.
        api_key: Its key then.
    """

    name: str = ""
    url: str | None = None
    api_key: str | None = field(default=None, repr=False)


@frozen
class JouleEnd:
    """A place on a Joule node, as one end of a copy.

    Attributes:
        node: The node's name, or "" for the one that is meant when none is named.
        path: Of a stream or a folder.
    """

    node: str
    path: str


@frozen
class CosmEnd:
    """A feed, as one end of a copy.

    Attributes:
        feed_id: The feed; None for a new one.
        title: The new one's title.
    """

    feed_id: int | None
    title: str | None = None


CopyEnd = JouleEnd | CosmEnd


@frozen
class DemoConfig:
    """How to run the demonstration.

    Attributes:
        hub: Its hub.
        keep: Whether its data is kept; else the hub's directory is still to be chosen.
        duration: Seconds, or None to run until it is stopped.
        interval: Seconds between readings of this machine.
    """

    hub: HubConfig
    keep: bool
    duration: float | None
    interval: float


@frozen
class Span:
    """A stretch of time.

    Attributes:
        start: The first instant.
        end: The last instant.
    """

    start: datetime
    end: datetime


def data_dir(environ: Mapping[str, str]) -> str | None:
    """Where data is kept unless something else is said; None when the environment names no home.

    A service of systemd has a directory of its own, anybody else the usual place for data.
    """
    state = environ.get("STATE_DIRECTORY", "").split(":")[0]
    if state:
        return state
    if environ.get("XDG_DATA_HOME"):
        return join(environ["XDG_DATA_HOME"], "txbridge")
    return join(environ["HOME"], ".local/share/txbridge") if environ.get("HOME") else None


def hub_config(
    *,
    data: str | None,
    listen: Sequence[str] = (),
    paws_tcp: Sequence[str] = (),
    api_key_text: str | None = None,
    public_url: str | None = None,
    allow_webhooks: Sequence[str] = (),
    requests_per_minute: float | None = None,
    relay: str | None = None,
    public_graphs: bool = False,
    max_feeds: int = MAX_FEEDS,
) -> HubConfig:
    """Check what a hub is told.

    Args:
        data: The data directory.
        listen: Endpoint strings; none means `DEFAULT_LISTEN`.
        paws_tcp: Endpoint strings.
        api_key_text: The text of the key's file, or None when there is none.
        public_url: Such as ``https://hub.house.example``.
        allow_webhooks: Addresses or networks.
        requests_per_minute: Of one key.
        relay: The state directory of a relay.
        public_graphs: Whether graphs of public feeds are shown to who has no key.
        max_feeds: Of an account.

    Raises:
        ConfigError: Every problem.
    """
    problems: list[str] = []
    if not data:
        problems.append("--data: say in which directory to keep the data")
    for option, endpoints in (("--listen", listen), ("--paws-tcp", paws_tcp)):
        problems += [f"{option}: {wrong}" for text in endpoints if (wrong := endpoint_problem(text))]
    seen: set[str] = set()
    for text in (*listen, *paws_tcp):
        if text in seen and not _picks_port(text):
            problems.append(f"{text!r} is given twice")
        seen.add(text)
    api_key = _key("--api-key-file", api_key_text, problems)
    origin = None if public_url is None else _origin("--public-url", public_url, problems)
    networks = tuple(_networks("--allow-webhooks", allow_webhooks, problems))
    if requests_per_minute is not None and not 1 <= requests_per_minute < inf:
        problems.append(f"--requests-per-minute: {requests_per_minute:g} is not at least 1")
    if not 1 <= max_feeds <= LARGEST_NUMBER:
        problems.append(f"--max-feeds: {max_feeds} is not from 1 to {LARGEST_NUMBER}")
    if problems:
        raise ConfigError(problems)
    return HubConfig(
        data or "",
        tuple(listen) or DEFAULT_LISTEN,
        tuple(paws_tcp),
        api_key,
        public_url=origin,
        webhooks=networks,
        requests_per_minute=requests_per_minute,
        relay=relay,
        public_graphs=public_graphs,
        max_feeds=max_feeds,
    )


def _origin(option: str, text: str, problems: list[str]) -> str:
    try:
        parts = urlsplit(text)
        is_origin = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        is_origin = is_origin and parts.username is None and parts.path in ("", "/")
    except ValueError:
        is_origin = False
    if not is_origin or parts.query or parts.fragment:
        problems.append(
            f"{option}: {shorten(text)!r} is no scheme and host such as https://hub.house.example"
        )
    return text.rstrip("/")


def _networks(option: str, texts: Sequence[str], problems: list[str]) -> Iterator[Network]:
    for text in texts:
        try:
            yield ip_network(text.strip())
        except ValueError as error:
            problems.append(f"{option}: {shorten(str(error))}")


def demo_config(
    *,
    data: str | None = None,
    listen: Sequence[str] = (),
    duration: float | None = None,
    interval: float = 1.0,
) -> DemoConfig:
    """Check what the demonstration is told.

    Args:
        data: The data directory, or None for one that is removed at the end.
        listen: Endpoint strings of its hub; none means any free port of this machine's own address.
        duration: Seconds; None or 0 runs until it is stopped.
        interval: Seconds between readings.

    Raises:
        ConfigError: Every problem.
    """
    problems: list[str] = []
    if duration is not None and not 0 <= duration <= LONGEST_DEMO:
        problems.append(f"--duration: {duration:g} is not a number of seconds to run")
    if not 0.1 <= interval <= 3600:
        problems.append(f"--interval: {interval:g} is not between 0.1 and 3600 seconds")
    hub: HubConfig | None = None
    try:
        hub = hub_config(data=data or TEMPORARY, listen=listen or ("tcp:0:interface=127.0.0.1",))
    except ConfigError as error:
        problems += error.problems
    if problems or hub is None:
        raise ConfigError(problems)
    return DemoConfig(hub, data is not None, duration if duration else None, interval)


def client_config(
    environ: Mapping[str, str],
    *,
    url: str | None = None,
    api_key_text: str | None = None,
    local_key_text: str | None = None,
) -> ClientConfig:
    """Check where a client command is told to go.

    Args:
        environ: The environment; see this module's text.
        url: Instead of ``TXBRIDGE_URL``.
        api_key_text: The text of the key's file, which goes before ``TXBRIDGE_API_KEY``.
        local_key_text: The key of a hub that this user runs here with its usual settings.  It is
            taken only when nothing else is said, so that it is never sent to another hub.

    Raises:
        ConfigError: Every problem; the key is not shown.
    """
    problems: list[str] = []
    given = url if url is not None else environ.get("TXBRIDGE_URL") or None
    base = api_base("--url" if url is not None else "TXBRIDGE_URL", given or DEFAULT_URL, problems)
    if api_key_text is not None:
        api_key = _key("the key's file", api_key_text, problems)
    elif environ.get("TXBRIDGE_API_KEY") is not None:
        api_key = _key("TXBRIDGE_API_KEY", environ["TXBRIDGE_API_KEY"], problems)
    elif given is None and local_key_text is not None:
        api_key = _key("the key's file", local_key_text, problems)
    else:
        api_key = None
    if problems:
        raise ConfigError(problems)
    return ClientConfig(base, api_key)


def iobeam_config(
    environ: Mapping[str, str],
    *,
    url: str | None = None,
    token_text: str | None = None,
    token_file: str | None = None,
    project: int | None = None,
) -> IobeamConfig:
    """Check where a command of iobeam is told to go.

    Args:
        environ: The environment; see this module's text.
        url: Instead of ``TXBRIDGE_IOBEAM_URL``.
        token_text: The text of the token's file, which goes before ``TXBRIDGE_IOBEAM_TOKEN``.
        token_file: The file.
        project: Instead of ``TXBRIDGE_IOBEAM_PROJECT``.

    Raises:
        ConfigError: Every problem; the token is not shown.
    """
    problems: list[str] = []
    given = url if url is not None else environ.get("TXBRIDGE_IOBEAM_URL") or None
    if given is not None:
        source = "--url" if url is not None else "TXBRIDGE_IOBEAM_URL"
        base = api_base(source, given, problems, IOBEAM_PATH)
    else:
        hub = api_base("TXBRIDGE_URL", environ.get("TXBRIDGE_URL") or DEFAULT_URL, problems)
        base = ClientConfig(hub).iobeam_url
    source = "the token's file" if token_text is not None else "TXBRIDGE_IOBEAM_TOKEN"
    text = environ.get("TXBRIDGE_IOBEAM_TOKEN") if token_text is None else token_text
    token = _key(source, text, problems)
    if text is None:
        problems.append(
            "TXBRIDGE_IOBEAM_TOKEN or TXBRIDGE_IOBEAM_TOKEN_FILE must give the project's token; "
            "'txbridge hub token create' makes one"
        )
    number = project if project is not None else _project(environ.get("TXBRIDGE_IOBEAM_PROJECT"), problems)
    if token and not problems:
        try:
            named = token_payload(check_token("token", token)).project_id
        except BadArgument as error:
            problems.append(f"{source}: {error}")
        else:
            number = named if number is None else number
            if number is None:
                problems.append("TXBRIDGE_IOBEAM_PROJECT: the token names no project, so this must")
    if problems or number is None or token is None:
        raise ConfigError(problems)
    return IobeamConfig(base, number, token, token_file)


def _project(text: str | None, problems: list[str]) -> int | None:
    if not text:
        return None
    if text.isascii() and text.isdigit() and 0 < int(text) < 2**63:
        return int(text)
    problems.append(f"TXBRIDGE_IOBEAM_PROJECT: {shorten(text)!r} is not the number of a project")
    return None


def node_config(environ: Mapping[str, str], name: str | None = None) -> NodeConfig:
    """Check which Joule node a command is told to ask.

    Args:
        environ: The environment; see this module's text.
        name: A node of Joule's own files, which goes before the environment.

    Raises:
        ConfigError: The environment has an address without a key, or a key without an address.
    """
    if name:
        return NodeConfig(name)
    url = environ.get("TXBRIDGE_JOULE_URL") or None
    problems: list[str] = []
    key = _key("TXBRIDGE_JOULE_API_KEY", environ.get("TXBRIDGE_JOULE_API_KEY"), problems)
    if url is None and key is not None:
        problems.append("TXBRIDGE_JOULE_API_KEY: TXBRIDGE_JOULE_URL does not say of which node it is")
    if url is not None and not url.lower().startswith(("http://", "https://")):
        problems.append("TXBRIDGE_JOULE_URL: it must begin with http:// or https://")
    if url is not None and key is None:
        problems.append("TXBRIDGE_JOULE_URL: TXBRIDGE_JOULE_API_KEY does not give the node's key")
    if problems:
        raise ConfigError(problems)
    return NodeConfig("", url, key)


def node_path(text: str) -> str:
    """A path on a Joule node as it has them: with a slash in front, and none behind."""
    return "/" + text.strip("/")


def copy_end(text: str) -> CopyEnd:
    """One end of a copy, as ``joule:/path``, ``joule:NODE:/path``, ``cosm:7`` or ``cosm:new:TITLE``.

    Raises:
        ConfigError: It is none of them.
    """
    kind, _, rest = text.partition(":")
    if kind == "joule":
        node, _, path = ("", "", rest) if rest.startswith("/") else rest.partition(":")
        if path.startswith("/") and (node or path is rest):
            return JouleEnd(node, node_path(path))
    elif kind == "cosm":
        if rest.startswith("new:") and rest != "new:":
            return CosmEnd(None, rest.removeprefix("new:"))
        if rest.isascii() and rest.isdigit() and 0 < int(rest) < 10**18:
            return CosmEnd(int(rest))
    known = "joule:/path, joule:NODE:/path, cosm:FEED nor cosm:new:TITLE"
    raise ConfigError([f"{shorten(text)!r} is neither {known}"])


def state_dir(environ: Mapping[str, str]) -> str | None:
    """Where it is kept how far a copy has come; None when the environment names no home."""
    if environ.get("XDG_STATE_HOME"):
        return join(environ["XDG_STATE_HOME"], "txbridge")
    return join(environ["HOME"], ".local/state/txbridge") if environ.get("HOME") else None


def local_url(addresses: Sequence[str]) -> str:
    """The API's base of a hub in this process, given the addresses it listens at.

    Raises:
        ConfigError: None of them is plain HTTP over TCP.
    """
    for address in addresses:
        parts = urlsplit(address)
        if parts.scheme == "http":
            host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(parts.hostname or "")
            netloc = parts.netloc if host is None else f"{host}:{parts.port}"
            return f"http://{netloc}{API_PATH}"
    raise ConfigError(["--listen: at least one endpoint must be tcp:, for this program itself"])


def instant_or_ago(option: str, text: str, now: datetime) -> datetime:
    """An instant a person wrote: ISO 8601, ``now``, or how long ago, such as ``6hours``.

    Raises:
        ConfigError: It is none of them.
    """
    if text.strip().lower() == "now":
        return now
    try:
        return parse_instant(text)
    except ValueError:
        pass
    try:
        return _duration(text).before(now)
    except (ValueError, OverflowError):
        pass
    known = "an instant such as 2026-11-21T06:00:00Z nor a time ago such as 6hours"
    raise ConfigError([f"{option}: {shorten(text)!r} is neither {known}"])


def span_of(*, start: str | None, end: str | None, duration: str | None, now: datetime) -> Span:
    """The stretch of time that up to two of start, end and duration name; the last six hours if none.

    Raises:
        ConfigError: They name none.
    """
    problems: list[str] = []
    if None not in (start, end, duration):
        problems.append("give two of --start, --end and --duration: they say everything")
    first = _instant("--start", start, now, problems)
    last = _instant("--end", end, now, problems)
    length: Duration | None = None
    try:
        length = _duration(DEFAULT_DURATION if duration is None else duration)
    except ValueError as error:
        problems.append(f"--duration: {error}")
    if problems or length is None:
        raise ConfigError(problems)
    try:
        if first is not None:
            following = length.after(first) if duration is not None else now
            last = following if last is None else last
        else:
            last = now if last is None else last
            first = length.before(last)
    except OverflowError:
        raise ConfigError([f"--duration: {shorten(duration or '')!r} leads out of the calendar"]) from None
    if last < first:
        raise ConfigError([f"the end {last.isoformat()} is before the start {first.isoformat()}"])
    return Span(first, last)


def interval_seconds(text: str) -> int:
    """A distance of sampled points a person wrote: seconds, or such as ``5minutes``; 0 is every point.

    Raises:
        ConfigError: Servers know no such interval.
    """
    known = [interval.seconds for interval in INTERVALS]
    try:
        length = _duration(text)
    except ValueError:
        length = None
    if length is None or length.months or length.seconds not in known:
        raise ConfigError(
            [f"--interval: {shorten(text)!r} is not one of {', '.join(map(str, known))} seconds"]
        )
    return length.seconds


def interval_for_chart(span: Span) -> int:
    """The distance of points that a chart of this stretch of time needs: no more than a thousand."""
    seconds = (span.end - span.start).total_seconds()
    if seconds <= SHORT_CHART:
        return 0
    known = [interval.seconds for interval in INTERVALS if interval.seconds > 0]
    return next((one for one in known if seconds / one <= POINTS_OF_CHART), known[-1])


def _duration(text: str) -> Duration:
    short = {"s": "seconds", "m": "minutes", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}
    stripped = text.strip().lower()
    count = stripped.rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = stripped[len(count) :]
    return parse_duration(count + short.get(unit, unit))


def _instant(option: str, text: str | None, now: datetime, problems: list[str]) -> datetime | None:
    if text is None:
        return None
    try:
        return instant_or_ago(option, text, now)
    except ConfigError as error:
        problems += error.problems
        return None


def _picks_port(text: str) -> bool:
    return text.split(":")[:2] == ["tcp", "0"]


def _key(source: str, text: str | None, problems: list[str]) -> str | None:
    if text is None:
        return None
    key = text.strip()
    if not key:
        problems.append(f"{source}: there is no key in it")
    elif not key.isprintable():
        problems.append(f"{source}: a key is one line of printable text")
    return key


def api_base(source: str, text: str, problems: list[str], api_path: str = API_PATH) -> str:
    """The base of an API at an address that a person wrote; what is wrong with it joins the problems.

    Args:
        source: What gave the address.
        text: The address.
        problems: The others.
        api_path: Where the API is unless the address says so; Cosm's otherwise.
    """
    try:
        parts = urlsplit(text.strip())
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_is_fine = urlsplit(""), False
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_fine:
        problems.append(f"{source}: it is no address of a hub, such as {DEFAULT_URL}")
        return text
    if parts.username is not None or parts.password is not None:
        problems.append(f"{source}: put no credentials into the address; a key has its own place")
        return text
    if parts.query or parts.fragment:
        problems.append(f"{source}: an address of a hub has no '?' and no '#'")
        return text
    path = parts.path.rstrip("/") or api_path
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))
