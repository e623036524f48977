"""The Cosm REST rules: one function from a request to an answer, over a store.

What a client sees of the hub is decided here and in the pure modules beside this one; where
bytes come from is not.  The HTTP server and the PAWS socket both call `CosmServer.respond`.

A request goes one way: it is routed by a table, its key is found, its verb asks the store,
and what comes back becomes a document.  Whoever finds a reason to say no raises, and one
place turns that into an error body in the format the request speaks.  For a write, the
question "may this key do this" is asked inside the store's transaction, and live updates are
published in the order in which the store committed.

Keys and users are in `txbridge.cosm.account_verbs`, triggers in `txbridge.cosm.trigger_verbs`, products and
their devices in `txbridge.cosm.product_verbs`, and what version 1 does otherwise in
`txbridge.cosm.legacy_verbs`.

Source: Cosm API v2, "API resources", "HTTP status codes", "Data formats".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, tzinfo
from math import ceil
from urllib.parse import quote

from attrs import evolve, field, frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txbridge.codecs import cosm_csv, cosm_json, eeml
from txbridge.codecs.limits import DecodeLimits
from txbridge.cosm.account_verbs import AccountVerbs
from txbridge.cosm.addresses import Address, address_of
from txbridge.cosm.call import (
    ALL_FORMATS,
    CODECS,
    DONE,
    Call,
    Row,
    Verb,
    is_allowed,
    other_formats,
    resource_number,
    some_feed,
    wrapped,
)
from txbridge.cosm.documents import (
    LIVE_SECONDS,
    earliest,
    feed_document,
    feed_history,
    feed_values,
    push_document,
    with_waypoints_between,
)
from txbridge.cosm.graph_request import parse_graph, with_points
from txbridge.cosm.history import WindowLimits, parse_deletion, parse_history
from txbridge.cosm.legacy_verbs import LegacyVerbs
from txbridge.cosm.negotiation import (
    EXTENSIONS,
    Parameters,
    accepted_format,
    body_format,
    unknown_extension,
)
from txbridge.cosm.product_verbs import ACTIVATION, ProductVerbs
from txbridge.cosm.refusal import (
    Refusal,
    bad_request,
    error_body,
    forbidden,
    invalid,
    no_route,
    not_found,
    too_often,
    unauthorized,
    unavailable,
    undecodable,
    unwritable,
)
from txbridge.cosm.rules import (
    new_datastreams,
    writable_datapoint,
    writable_datapoints,
    writable_datastream,
    writable_feed,
)
from txbridge.cosm.search import parse_search
from txbridge.cosm.trigger_verbs import TriggerVerbs
from txbridge.cosm.visitors import VISITOR, Visitors
from txbridge.errors import Closed, Crowded, DecodeError, EncodeError, StoreError
from txbridge.hub.auth import Accounts, Credentials, Principal
from txbridge.hub.graphs import Graphs
from txbridge.hub.passwords import Passwords
from txbridge.hub.products import Products
from txbridge.hub.rates import RateLimiter
from txbridge.hub.store import (
    MAX_DATASTREAMS,
    AccountFull,
    FeedRecord,
    FeedSearch,
    Full,
    HistoryQuery,
    Missing,
    Store,
    Taken,
)
from txbridge.hub.telling import Telling
from txbridge.model.encoding import Structure
from txbridge.model.instants import shorten
from txbridge.model.structures import Datapoint, Datastream, Environment, EnvironmentList
from txbridge.net.deferred import deferred
from txbridge.net.http1 import Request, Response, loggable_path, reason_phrase
from txbridge.net.reactor import utc_now

__all__ = ["CosmOptions", "CosmServer", "Subscribed", "connection_refusal", "refusal_response"]

METHODS = "GET, POST, PUT, DELETE, OPTIONS"
ALLOWED_HEADERS = "X-ApiKey, X-PachubeApiKey, Content-Type, Accept, Authorization"

UNAVAILABLE = Refusal(
    503, "Service Unavailable", "The storage is not available at the moment, please try again later"
)

GRAPHS = ("feeds", "*", "datastreams", "*")
"""What the service drew as PNG graphs; where none are drawn, it does not exist as a picture."""

ACTIVATIONS_PER_MINUTE = 30.0
"""What one address may try without a key: a classroom, not a search."""

MAX_QUERY_POINTS = 1000
"""The most points of one history query, all datastreams together.  Source: "Usage limits"."""

_ARCHIVE_CHUNK = 5000  # points; about 20 ms of work between two turns of the reactor
_HOST = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")


@frozen
class CosmOptions:
    """How the server's rules are set up.

    Attributes:
        window_limits: Whether a history window wider than its interval allows is refused or narrowed.
        live_seconds: How long after its last write a feed is live.
        archive_points: The most points of one archive download.
        archive_bytes: Its most bytes.
        public_url: Scheme and host to show in addresses, for a hub behind a proxy; None takes
            them from each request.
        limits: What a document may cost to read.
        requests_per_minute: The requests of one key in a minute, averaged over three; None for any number.
        public_graphs: Whether graphs of public feeds are shown to who has no key.
    """

    window_limits: WindowLimits = "refuse"
    live_seconds: float = LIVE_SECONDS
    archive_points: int = 1_000_000
    archive_bytes: int = 64 << 20
    public_url: str | None = None
    limits: DecodeLimits = field(factory=DecodeLimits)
    requests_per_minute: float | None = None
    public_graphs: bool = False


@frozen
class Subscribed:
    """What a subscription may listen to.

    Attributes:
        feed_id: The feed.
        datastream_id: One datastream of it; None is the whole feed.
        allows: Whether the key may still see the feed, asked again when that becomes private or public.
    """

    feed_id: int
    datastream_id: str | None
    allows: Callable[[FeedRecord], bool]


class CosmServer:
    """Answers Cosm v2 requests.

    Args:
        store: Keeps the feeds.
        telling: Is told of every write.
        accounts: Finds whose key a request carries.
        clock: Tells the time.
        options: How the rules are set up.
        passwords: Hashes the passwords of accounts; None when the hub takes none.
        graphs: Draws pictures; without it there are none.
        products: Keeps products and their devices; without it there are none.

    Attributes:
        limiter: Counts the requests of each key; None when they may make any number.
    """

    _log = Logger()

    def __init__(
        self,
        store: Store,
        telling: Telling,
        accounts: Accounts,
        clock: IReactorTime,
        *,
        options: CosmOptions | None = None,
        passwords: Passwords | None = None,
        graphs: Graphs | None = None,
        products: Products | None = None,
    ) -> None:
        self._store = store
        self._graphs = graphs
        self._products = products
        self._telling = telling
        self._accounts = accounts
        self._clock = clock
        self._options = CosmOptions() if options is None else options
        self._store_fails = False
        self._passwords = passwords
        per_minute = self._options.requests_per_minute
        self.limiter = None if per_minute is None else RateLimiter(per_minute)
        self._visitors = Visitors() if self._options.public_graphs else None
        self._newcomers = Visitors(ACTIVATIONS_PER_MINUTE)
        self._routes = _by_route(self._rows())
        self._legacy_routes = _by_route(self._legacy_rows())

    def _rows(self) -> Sequence[Row]:
        drawn = ALL_FORMATS if self._graphs is None else (*ALL_FORMATS, "png")
        return (
            ("GET", "feeds", self._list_feeds, ALL_FORMATS),
            ("POST", "feeds", self._create_feed, ("json", "xml")),
            ("GET", "feeds/*", self._read_feed, ALL_FORMATS),
            ("PUT", "feeds/*", self._update_feed, ALL_FORMATS),
            ("DELETE", "feeds/*", self._delete_feed, ALL_FORMATS),
            ("GET", "feeds/*/datastreams", self._read_feed, ALL_FORMATS),
            ("POST", "feeds/*/datastreams", self._create_datastreams, ALL_FORMATS),
            ("GET", "feeds/*/datastreams/*", self._read_datastream, drawn),
            ("POST", "feeds/*/datastreams/*", self._create_datastream, ALL_FORMATS),
            ("PUT", "feeds/*/datastreams/*", self._update_datastream, ALL_FORMATS),
            ("DELETE", "feeds/*/datastreams/*", self._delete_datastream, ALL_FORMATS),
            ("GET", "feeds/*/datastreams/*/archive", self._read_archive, ("csv",)),
            ("POST", "feeds/*/datastreams/*/datapoints", self._create_datapoints, ALL_FORMATS),
            ("DELETE", "feeds/*/datastreams/*/datapoints", self._delete_datapoints, ALL_FORMATS),
            ("GET", "feeds/*/datastreams/*/datapoints/*", self._read_datapoint, ALL_FORMATS),
            ("PUT", "feeds/*/datastreams/*/datapoints/*", self._update_datapoint, ALL_FORMATS),
            ("DELETE", "feeds/*/datastreams/*/datapoints/*", self._delete_datapoint, ALL_FORMATS),
            *AccountVerbs(
                self._store, self._accounts, self._passwords, self._options.limits, self._telling
            ).rows(),
            *TriggerVerbs(self._store, self._options.limits).rows(),
            *self._product_rows(),
        )

    def _product_rows(self) -> Sequence[Row]:
        if self._products is None:
            return ()
        limits = self._options.limits
        return ProductVerbs(self._products, self._store, self._telling, self._accounts, limits).rows()

    def _legacy_rows(self) -> Sequence[Row]:
        drawn = ("csv",) if self._graphs is None else ("csv", "png")
        options = self._options
        return (
            ("DELETE", "feeds/*", self._delete_feed, ALL_FORMATS),
            ("DELETE", "feeds/*/datastreams/*", self._delete_datastream, ALL_FORMATS),
            ("GET", "feeds/*/datastreams/*/archive", self._read_archive, ("csv",)),
            ("GET", "feeds/*/datastreams/*/history", self._read_download, drawn),
            *LegacyVerbs(self._store, self._telling, options.limits, options.live_seconds).rows(),
        )

    # -------------------------------------------------------------------------------- the public edge

    def respond(self, request: Request) -> Deferred[Response]:
        """Answer a request.

        The Deferred fails with nothing but a cancellation: what goes wrong becomes an answer.
        """
        answer = self._respond(request)
        answer.addErrback(self._unexpected, request)
        return answer.addCallback(_for_browsers, request)

    @deferred
    async def authorise_subscription(self, request: Request) -> Subscribed | Response:
        """Ask whether a key may listen to a feed or to one datastream.

        Args:
            request: As for a GET of the resource.

        Returns:
            What to listen to, or the refusal.
        """
        try:
            return await self._subscription(request)
        except (Refusal, Missing, StoreError, Closed) as error:
            return self._refuse(request, error)

    def encode_push(self, record: FeedRecord, datastream_id: str | None, base_url: str) -> bytes | None:
        """The JSON a subscriber is sent after a write: compact, and a datastream has no version.

        Args:
            record: The feed right after the write.
            datastream_id: The datastream that is subscribed to; None is the whole feed.
            base_url: Scheme and host the subscriber knows us by: see `base_url`.

        Returns:
            The document, or None when the feed has no such datastream.
        """
        options = self._options
        document = push_document(
            record, datastream_id, base_url, now=self._now(), live_seconds=options.live_seconds
        )
        return None if document is None else cosm_json.encode(document)

    def base_url(self, request: Request) -> str:
        """Scheme and host a request knows us by, such as ``http://127.0.0.1:8080``."""
        if self._options.public_url is not None:
            return self._options.public_url.rstrip("/")
        host = request.headers.get("host", "")
        return f"{'https' if request.secure else 'http'}://{host if _HOST.fullmatch(host) else 'localhost'}"

    def read_record(self, feed_id: int) -> Deferred[FeedRecord]:
        """A feed as it is stored, for a push whose write took no snapshot.

        Raises:
            Missing: There is no such feed.
        """
        return self._store.read_feed(feed_id)

    # ---------------------------------------------------------------------------- from request to verb

    @deferred
    async def _respond(self, request: Request) -> Response:
        if request.method == "OPTIONS":
            return Response(200, (("Allow", METHODS),))
        try:
            verb, call = await self._admit(request)
            response = await verb(call)
        except (Refusal, Missing, Taken, Full, DecodeError, EncodeError, StoreError, Closed) as error:
            return self._refuse(request, error)
        if self._store_fails:
            self._store_fails = False
            self._log.info("the storage works again")
        return response

    async def _admit(self, request: Request) -> tuple[Verb, Call]:
        address = _address(request)
        segments, extension = address.segments, address.extension
        if unknown_extension(segments):
            raise other_formats(ALL_FORMATS, segments[-1].rpartition(".")[2])
        shape = tuple("*" if number % 2 else segment for number, segment in enumerate(segments))
        reads = request.method in ("GET", "HEAD")
        routes = self._routes if address.version == 2 else self._legacy_routes
        route = routes.get(("GET" if reads else request.method, shape))
        if route is None:
            raise no_route(request.method, request.path)
        verb, formats = route
        parameters = Parameters.parse(request.query)
        accept = request.headers.get("accept", "")
        output = extension or accepted_format(accept, formats)
        keyless = self._newcomers if shape == ACTIVATION else None
        if reads and output == "png" and output in formats:
            keyless = self._visitors
        try:
            principal = await self._principal(request, parameters, keyless)
        except Refusal as error:
            if address.version == 1 and error.retry_after is not None:
                raise unavailable(error.errors, error.retry_after) from None
            raise
        if output not in formats:
            if reads and output == "png" and shape[: len(GRAPHS)] == GRAPHS and len(shape) <= len(GRAPHS) + 1:
                raise no_route(request.method, request.path)
            if reads:
                raise other_formats(formats, output or shorten(accept))
            output = formats[0]
        names = segments[1::2]
        return verb, Call(
            request,
            names,
            extension,
            parameters,
            formats,
            output,
            principal,
            self._now(),
            self.base_url(request),
        )

    async def _principal(
        self, request: Request, parameters: Parameters, keyless: Visitors | None = None
    ) -> Principal:
        """Whose key a request has; ``keyless`` lets in who has none."""
        credentials = Credentials.of(request.headers, parameters.text("key"))
        if credentials is not None and credentials.login is not None and "callback" in parameters:
            raise unauthorized()  # any site may run the answer, and a browser adds a password by itself
        if credentials is None and keyless is not None:
            return keyless.admit(request.client, self._clock.seconds())
        principal = await self._accounts.authenticate(credentials)
        if principal is None:
            raise unauthorized()
        if self.limiter is not None:
            wait = self.limiter.take(principal.reference or principal.login, self._clock.seconds())
            if wait:
                raise too_often(wait)
        return principal

    async def _subscription(self, request: Request) -> Subscribed:
        segments = _address(request).segments
        if len(segments) not in (2, 4) or segments[::2] not in (("feeds",), ("feeds", "datastreams")):
            raise bad_request("Only a feed or a datastream can be subscribed to")
        principal = await self._principal(request, Parameters.parse(request.query))
        feed_id, datastream_id = resource_number(segments[1]), segments[3] if len(segments) == 4 else None
        # A key is judged by the feed alone: a feed may have thousands of datastreams.
        record = await self._store.read_feed(feed_id, [] if datastream_id is None else [datastream_id])

        def allows(record: FeedRecord) -> bool:
            return is_allowed(principal, request, "get", record, datastream_id)

        if not allows(record):
            raise forbidden()
        if datastream_id is not None and datastream_id not in record.environment.datastreams:
            raise not_found()
        return Subscribed(feed_id, datastream_id, allows)

    # ------------------------------------------------------------------------------------------- feeds

    async def _list_feeds(self, call: Call) -> Response:
        zone = call.zone
        search = parse_search(
            call.parameters, _visible(call), call.now, live_seconds=self._options.live_seconds
        )
        total, records = await self._store.list_feeds(search)
        feeds = [self._shown(call, record) for record in records]
        page = EnvironmentList(
            total_results=total, start_index=search.offset, items_per_page=search.limit, feeds=feeds
        )
        return call.document(_encode(call.output, page, zone))

    async def _create_feed(self, call: Call) -> Response:
        # A feed that does not exist yet is out of reach of every permission that names feeds.
        call.permit("post", some_feed(call.principal, None))
        document = writable_feed(call.decode(Environment, self._options.limits), creating=True)
        written = await self._telling.after(self._store.create_feed(call.principal.login, document, call.now))
        return call.created(f"/v2/feeds/{written.feed_id}")

    async def _read_feed(self, call: Call) -> Response:
        parameters, zone, at = call.parameters, call.zone, call.parameters.instant("time")
        query = self._history_query(call)
        named = parameters.text("datastreams")
        wanted = None if named is None else [name.strip() for name in named.split(",")]
        record = await self._store.read_feed(call.feed_id, wanted)
        call.permit("get", record, interval=None if query is None else query.interval)
        feed = self._shown(call, record)
        if at is not None:
            feed = feed_values(
                feed, await self._store.read_values_at(call.feed_id, list(feed.datastreams), at)
            )
        elif query is not None:
            feed = await self._with_history(call, feed, query)
        return call.document(_encode(call.output, feed, zone))

    async def _update_feed(self, call: Call) -> Response:
        document = writable_feed(call.decode(Environment, self._options.limits), creating=False)
        await self._telling.after(
            self._store.update_feed(call.feed_id, document, call.now, call.guard("put"))
        )
        return DONE

    async def _delete_feed(self, call: Call) -> Response:
        await self._telling.after(self._store.delete_feed(call.feed_id, call.guard("delete")))
        return DONE

    # ------------------------------------------------------------------------------------- datastreams

    async def _create_datastreams(self, call: Call) -> Response:
        limits = self._options.limits
        if call.written_in == "json" and b'"datastreams"' not in call.request.body:
            # Not wrapped in a feed: a datastream on its own.
            stream = call.decode(Datastream, limits)
            document = Environment(datastreams={stream.id or "": stream})
        else:
            document = call.decode(Environment, limits)
            call.expect("data", found=bool(document.datastreams))
        return await self._add_datastreams(call, new_datastreams(document))

    async def _create_datastream(self, call: Call) -> Response:
        stream = call.decode(Datastream, self._options.limits)
        stream.id = call.datastream_id
        return await self._add_datastreams(call, [writable_datastream(stream)])

    async def _add_datastreams(self, call: Call, streams: Sequence[Datastream]) -> Response:
        ids = [stream.id for stream in streams]
        guard = call.guard("post", ids)
        await self._telling.after(self._store.create_datastreams(call.feed_id, streams, call.now, guard))
        return call.created(f"/v2/feeds/{call.feed_id}/datastreams/{quote(ids[0] or '', safe='')}")

    async def _read_datastream(self, call: Call) -> Response:
        if call.output == "png":
            return await self._read_picture(call)
        zone, at, query = call.zone, call.parameters.instant("time"), self._history_query(call)
        name = call.datastream_id
        record = await self._store.read_feed(call.feed_id, [name])
        interval = None if query is None else query.interval
        call.permit("get", record, datastream_id=name, interval=interval)
        feed = self._shown(call, record)
        if name not in feed.datastreams:
            raise not_found()
        if at is not None:
            feed = feed_values(feed, await self._store.read_values_at(call.feed_id, [name], at))
        elif query is not None:
            feed = await self._with_history(call, feed, query)
        stream = feed.datastreams.get(name, Datastream(id=name))
        return call.document(_encode_datastream(call.output, feed, stream, zone))

    async def _read_picture(self, call: Call) -> Response:
        if call.principal is not VISITOR:
            return await self._draw(call)
        assert self._visitors is not None
        try:
            record = await self._store.read_feed(call.feed_id, [])
        except Missing:
            raise unauthorized() from None  # as of a private one: that there is one is told to nobody
        if not call.may("get", record):
            raise unauthorized()
        return await self._visitors.take_turn(lambda: self._draw(call))

    async def _draw(self, call: Call) -> Response:
        assert self._graphs is not None
        graph, query = parse_graph(call.parameters, call.now, call.zone)
        name = call.datastream_id
        record = await self._store.read_feed(call.feed_id, [name])
        call.permit("get", record, datastream_id=name, interval=query.interval)
        stream = record.environment.datastreams.get(name)
        if stream is None:
            raise not_found()
        (history,) = await self._store.read_history(call.feed_id, [name], query)
        graph = with_points(graph, call.parameters.text("scale"), stream, history.datapoints)
        return call.document(await self._graphs.draw(graph))

    async def _update_datastream(self, call: Call) -> Response:
        stream = call.decode(Datastream, self._options.limits)
        stream.id = None
        return await self._change_datastream(call, "put", writable_datastream(stream))

    async def _change_datastream(self, call: Call, method: str, stream: Datastream) -> Response:
        guard = call.guard(method, [call.datastream_id])
        await self._telling.after(
            self._store.update_datastream(call.feed_id, call.datastream_id, stream, call.now, guard)
        )
        return DONE

    async def _delete_datastream(self, call: Call) -> Response:
        guard = call.guard("delete", [call.datastream_id])
        await self._telling.after(self._store.delete_datastream(call.feed_id, call.datastream_id, guard))
        return DONE

    async def _read_download(self, call: Call) -> Response:
        """What the web site had: the history as a picture, or all of it."""
        return await (self._read_picture(call) if call.output == "png" else self._read_archive(call))

    async def _read_archive(self, call: Call) -> Response:
        zone, name = call.zone, call.datastream_id
        record = await self._store.read_feed(call.feed_id, [name])
        call.permit("get", record, datastream_id=name, interval=0)
        parts: list[bytes] = []
        count, size, after = 0, 0, None
        while True:
            points = await self._store.read_points(call.feed_id, name, after, _ARCHIVE_CHUNK)
            if not points:
                return call.document(b"".join(parts))
            parts.append(_encode("csv", Datastream(id=name, datapoints=list(points)), zone))
            count, size, after = count + len(points), size + len(parts[-1]), points[-1].at
            options = self._options
            for most, unit, has in (
                (options.archive_points, "points", count),
                (options.archive_bytes, "bytes", size),
            ):
                if has > most:
                    raise invalid([f"The archive has more than {most} {unit}: read it in windows"])

    # -------------------------------------------------------------------------------------- datapoints

    async def _create_datapoints(self, call: Call) -> Response:
        document = call.decode(Datastream, self._options.limits)
        call.expect("value", found=bool(document.datapoints) or document.current_value is not None)
        return await self._change_datastream(call, "post", writable_datapoints(document))

    async def _delete_datapoints(self, call: Call) -> Response:
        parameters = call.parameters
        if not any(name in parameters for name in ("start", "end", "duration")):
            # xively-js sends them as a form in the body, and calls it JSON.
            parameters = Parameters.parse(call.request.body.decode("utf-8", "replace").strip())
        start, end = parse_deletion(parameters)
        return await self._remove_datapoints(call, start, end)

    async def _delete_datapoint(self, call: Call) -> Response:
        return await self._remove_datapoints(call, call.at, call.at)

    async def _remove_datapoints(self, call: Call, start: datetime | None, end: datetime | None) -> Response:
        guard = call.guard("delete", [call.datastream_id])
        await self._telling.after(
            self._store.delete_datapoints(call.feed_id, call.datastream_id, start, end, call.now, guard)
        )
        return DONE

    async def _read_datapoint(self, call: Call) -> Response:
        zone, at = call.zone, call.at
        record = await self._store.read_feed(call.feed_id, [])
        call.permit("get", record, datastream_id=call.datastream_id)
        point = await self._store.read_datapoint(call.feed_id, call.datastream_id, at)
        return call.document(_encode(call.output, point, zone))

    async def _update_datapoint(self, call: Call) -> Response:
        value = writable_datapoint(call.decode(Datapoint, self._options.limits))
        guard = call.guard("put", [call.datastream_id])
        await self._telling.after(
            self._store.update_datapoint(call.feed_id, call.datastream_id, call.at, value, call.now, guard)
        )
        return DONE

    # ------------------------------------------------------------------------------- what verbs share

    def _now(self) -> datetime:
        return utc_now(self._clock)

    def _shown(self, call: Call, record: FeedRecord) -> Environment:
        return feed_document(
            record,
            self.base_url(call.request),
            now=call.now,
            format=call.output,
            show_user=call.parameters.flag("show_user"),
            live_seconds=self._options.live_seconds,
        )

    def _history_query(self, call: Call) -> HistoryQuery | None:
        return parse_history(call.parameters, call.now, window_limits=self._options.window_limits)

    async def _with_history(self, call: Call, feed: Environment, query: HistoryQuery) -> Environment:
        histories = await self._store.read_history(call.feed_id, list(feed.datastreams), query)
        feed = with_waypoints_between(feed, query.start, query.end)
        kept = earliest(histories, MAX_QUERY_POINTS)
        return feed_history(feed, kept, query.function, alone=call.output == "csv")

    # ------------------------------------------------------------------------------------ saying no

    def _refuse(self, request: Request, error: Exception) -> Response:
        if isinstance(error, StoreError | Closed):
            if not (self._store_fails or isinstance(error, Crowded)):
                self._store_fails = True
                self._log.error("the storage fails: {reason}", reason=str(error))
            content_type, body = error_body("xml", UNAVAILABLE.title, UNAVAILABLE.errors)
            return Response(503, (("Content-Type", content_type), ("Retry-After", "5")), body)
        return refusal_response(request, _as_refusal(error))

    def _unexpected(self, failure: Failure, request: Request) -> Response | Failure:
        if failure.check(CancelledError) is not None:
            return failure
        self._log.failure(
            "{method} {path} failed", failure, method=request.method, path=loggable_path(request.path)
        )
        return refusal_response(request, Refusal(500, "Internal Server Error", "Something went wrong here"))


# ------------------------------------------------------------------------------------------- functions


def refusal_response(request: Request, refusal: Refusal) -> Response:
    """An error in the format a request speaks.

    The extension wins, then ``Accept``, then what the request's own body is written in.
    """
    spoken = "xml" if refusal.status == 503 else _spoken(request)
    content_type, body = error_body(spoken, refusal.title, refusal.errors)
    headers: tuple[tuple[str, str], ...] = ()
    if spoken == "json" and request.method == "GET":
        content_type, headers, body = wrapped(request.query, content_type, body)
    if refusal.retry_after is not None:
        headers = (*headers, ("Retry-After", str(ceil(refusal.retry_after))))
    if refusal.status == 401:
        headers = (*headers, ("WWW-Authenticate", 'Basic realm="Cosm"'))
    return Response(refusal.status, (("Content-Type", content_type), *headers), body)


def connection_refusal(status: int, reason: str) -> Response:
    """An error about bytes that never became a request: 503 in XML, as the service did, else JSON.

    Args:
        status: The HTTP status.
        reason: A sentence.
    """
    spoken = "xml" if status == 503 else "json"
    content_type, body = error_body(spoken, reason_phrase(status), reason)
    return Response(status, (("Content-Type", content_type),), body)


def _spoken(request: Request) -> str:
    _, dot, suffix = request.path.rstrip("/").rpartition(".")
    if dot and suffix.lower() in EXTENSIONS:
        return suffix.lower()
    accept = request.headers.get("accept", "")
    address = address_of(request.path, request.headers.get("host", ""))
    written_in = "xml" if address is not None and address.version == 1 else "json"
    if request.body:
        written_in = body_format(None, request.headers.get("content-type", ""), accept, request.body)
    others = tuple(name for name in ALL_FORMATS if name != written_in)
    return accepted_format(accept, (written_in, *others)) or "json"


def _as_refusal(error: Exception) -> Refusal:
    if isinstance(error, Refusal):
        return error
    if isinstance(error, Missing):
        return not_found()
    if isinstance(error, Taken):
        return invalid([f"Stream has already been taken: {shorten(error.id)}"])
    if isinstance(error, AccountFull):
        return invalid([f"Feeds: an account can have at most {error.most}"])
    if isinstance(error, Full):
        return invalid([f"Datastreams: a feed can have at most {MAX_DATASTREAMS}"])
    if isinstance(error, DecodeError):
        return undecodable(error)
    if isinstance(error, EncodeError):
        return unwritable(error)
    raise error


def _by_route(rows: Sequence[Row]) -> Mapping[tuple[str, tuple[str, ...]], tuple[Verb, tuple[str, ...]]]:
    return {(method, tuple(path.split("/"))): (verb, formats) for method, path, verb, formats in rows}


def _address(request: Request) -> Address:
    address = address_of(request.path, request.headers.get("host", ""))
    if address is None:
        raise no_route(request.method, request.path)
    return address


def _visible(call: Call) -> FeedSearch:
    """Which feeds a key may list: all it can reach, or those its permissions name."""
    principal = call.principal
    login, private_access = principal.login, principal.private_access
    if call.may("get", some_feed(principal, None)):
        return FeedSearch(login, private_access)
    named = {
        resource.feed_id
        for permission in principal.permissions
        for resource in permission.resources
        if resource.feed_id is not None and resource.datastream_id is None
    }
    feed_ids = tuple(sorted(number for number in named if call.may("get", some_feed(principal, number))))
    if not feed_ids:
        raise forbidden()
    return FeedSearch(login, private_access, feed_ids=feed_ids)


def _encode(output: str, structure: Structure, zone: tzinfo | None) -> bytes:
    return CODECS[output].encode(structure, zone=zone)


def _encode_datastream(output: str, feed: Environment, stream: Datastream, zone: tzinfo | None) -> bytes:
    if output == "json":
        return cosm_json.encode(stream, zone=zone, versioned=True)
    if output == "xml":
        return eeml.encode(stream, zone=zone, environment=feed)
    return cosm_csv.encode(stream, zone=zone)


def _for_browsers(response: Response, request: Request) -> Response:
    """Let scripts from elsewhere read the answer.

    Only when a browser says where it comes from: small devices have no room for more headers.
    """
    if "origin" not in request.headers:
        return response
    headers = [*response.headers, ("Access-Control-Allow-Origin", "*")]
    if request.method == "OPTIONS":
        headers += [
            ("Access-Control-Allow-Methods", METHODS),
            ("Access-Control-Allow-Headers", ALLOWED_HEADERS),
            ("Access-Control-Max-Age", "86400"),
        ]
    headers.append(("Access-Control-Expose-Headers", "Location"))
    return evolve(response, headers=tuple(headers))
