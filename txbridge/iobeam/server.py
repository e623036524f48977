"""The iobeam REST rules: one function from a request to an answer, over the hub's storage.

A device of a project is a feed of the hub (see `txbridge.hub.projects`), so what it sends here is pushed
to whoever listens to the feed, fires its triggers, and can be read and drawn through the Cosm API.

A request is routed by a table, its token is found, its verb asks the store, and what comes back becomes
JSON.  Whoever finds a reason to say no raises, and one place turns that into the error that iobeam's clients
read.  An import is one write: it is stored as a whole, or not at all.

The verbs of owners are in `txbridge.iobeam.owner_verbs`; what bodies and queries may say in the pure modules
`txbridge.iobeam.imports` and `txbridge.iobeam.exports`.

Source: iobeam's clients for Python, Java, Node, Go and boards; the service itself is gone.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil
from secrets import token_hex
from typing import Any
from urllib.parse import unquote
from weakref import WeakValueDictionary

from attrs import define, evolve, frozen
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txbridge.errors import Closed, Crowded, StoreError
from txbridge.hub.auth import Accounts, digest_of
from txbridge.hub.projects import (
    MAX_PROJECTS,
    MAX_TOKENS,
    DeviceRecord,
    NameTaken,
    Projects,
    TokenRecord,
)
from txbridge.hub.rates import RateLimiter
from txbridge.hub.store import MAX_DATASTREAMS, AccountFull, FeedRecord, Full, Missing, Store, Taken
from txbridge.hub.telling import Telling
from txbridge.iobeam.call import DONE, JSON, Call, Verb, answer, parse_parameters, service_time
from txbridge.iobeam.exports import (
    CSV_HEADER,
    ExportQuery,
    Row,
    Selection,
    csv_points,
    json_points,
    json_series,
    parse_export,
    parse_timefmt,
    write_time,
)
from txbridge.iobeam.imports import read_import, take_device_id, take_number, take_text
from txbridge.iobeam.owner_verbs import OwnerVerbs
from txbridge.iobeam.refusal import (
    DEVICE_ID_TAKEN,
    DEVICE_NAME_TAKEN,
    Refusal,
    bad_request,
    error_body,
    forbidden,
    not_found,
    unauthorized,
    unavailable,
)
from txbridge.iobeam.series import datastream_id, series_name
from txbridge.model.instants import to_microseconds
from txbridge.model.structures import Environment
from txbridge.net.deferred import deferred
from txbridge.net.http1 import Request, Response
from txbridge.net.reactor import utc_now

__all__ = ["IobeamOptions", "IobeamServer", "is_iobeam"]

RESOURCES = frozenset(("devices", "imports", "exports", "tokens", "projects"))
EVERY = "all"
RESERVED_DEVICES = frozenset((EVERY, "timestamp"))  # what addresses have in the place of a device
METHODS = "GET, POST, PATCH, DELETE, OPTIONS"
ALLOWED_HEADERS = "Authorization, Content-Type"
MAX_SERIES = 10_000  # of one export; each costs a look into the storage
EXPORTS_AT_ONCE = 4  # each may hold ``export_bytes``, and twice as much at its end
EXPORTS_OF_PROJECT = 2  # at once; who asks and goes away holds up nobody else's
MAX_WAITING = 30  # exports of a project; a board of Grafana asks for as many as it has panels
PAGE = 1000  # points; at most some milliseconds of work between two turns of the reactor


@frozen
class IobeamOptions:
    """How the server's rules are set up.

    Attributes:
        requests_per_minute: The requests of one token in a minute, averaged over three; None for any number.
        export_points: The most points of one answer; what has more is refused.
        export_bytes: The most bytes of them, as they are in the answer.
        export_reads: The most points that one export may look at.
    """

    requests_per_minute: float | None = None
    export_points: int = 100_000
    export_bytes: int = 16 << 20  # six times what so many readings take; texts may take twenty times more
    export_reads: int = 1_000_000


@frozen
class _Series:
    """One series of an export."""

    device: DeviceRecord
    name: str
    datastream_id: str


@define
class _Looks:
    """Counts what one export has looked at and gives, and ends one that is too large."""

    options: IobeamOptions
    reads: int = 0
    points: int = 0
    bytes: int = 0

    def add(self, reads: int, points: int, bytes: int) -> None:
        self.reads += reads
        self.points += points
        self.bytes += bytes
        options = self.options
        for count, most, unit in (
            (self.points, options.export_points, "points"),
            (self.bytes, options.export_bytes, "bytes"),
        ):
            if count > most:
                raise Refusal(
                    400,
                    f"the answer has more than {most} {unit}:"
                    " ask for less with limit, from and to, or group_by",
                )
        if self.reads > options.export_reads:
            raise Refusal(
                400,
                f"more than {options.export_reads} points would be looked at: ask for less with from and to",
            )


def is_iobeam(path: str) -> bool:
    """Whether an address below ``/v1`` is iobeam's; Pachube's first version had others there."""
    version, _, rest = path.lstrip("/").partition("/")
    resource, _, below = rest.partition("/")
    return version == "v1" and (resource in RESOURCES or (resource == "users" and below.rstrip("/") == "me"))


class IobeamServer:
    """Answers iobeam requests.

    Args:
        store: Keeps the devices' feeds.
        projects: Keeps projects, devices and tokens.
        telling: Is told of every write.
        accounts: Finds whose key a user token is.
        clock: Tells the time.
        options: How the rules are set up.
    """

    _log = Logger()

    def __init__(
        self,
        store: Store,
        projects: Projects,
        telling: Telling,
        accounts: Accounts,
        clock: IReactorTime,
        *,
        options: IobeamOptions | None = None,
    ) -> None:
        self._store = store
        self._projects = projects
        self._telling = telling
        self._clock = clock
        self._options = IobeamOptions() if options is None else options
        per_minute = self._options.requests_per_minute
        self._limiter = None if per_minute is None else RateLimiter(per_minute)
        self._store_fails = False
        self._exporting = DeferredSemaphore(EXPORTS_AT_ONCE)
        self._exporting_of: WeakValueDictionary[int, DeferredSemaphore] = WeakValueDictionary()
        self._owners = OwnerVerbs(store, projects, accounts, self._count)
        rows: tuple[tuple[str, str, Verb], ...] = (
            ("GET", "devices", self._list_devices),
            ("POST", "devices", self._create_device),
            ("GET", "devices/timestamp", self._read_clock),
            ("GET", "devices/*", self._read_device),
            ("PATCH", "devices/*", self._update_device),
            ("DELETE", "devices/*", self._delete_device),
            ("POST", "imports", self._import),
            ("GET", "exports/*", self._export),
            ("GET", "exports/*/*", self._export),
            ("GET", "exports/*/*/*", self._export),
            *self._owners.rows(),
        )
        self._routes: dict[tuple[str, ...], dict[str, Verb]] = {}
        for method, path, verb in rows:
            self._routes.setdefault(tuple(path.split("/")), {})[method] = verb

    def respond(self, request: Request) -> Deferred[Response]:
        """Answer a request whose address `is_iobeam`.

        The Deferred fails with nothing but a cancellation: what goes wrong becomes an answer.
        """
        answered = self._respond(request)
        answered.addErrback(self._unexpected, request)
        return answered.addCallback(_for_browsers, request)

    def refuse(self, status: int, reason: str) -> Response:
        """The answer to a request whose address `is_iobeam`, and that did not come whole."""
        return _refused(Refusal(status, reason))

    # ---------------------------------------------------------------------------- from request to verb

    @deferred
    async def _respond(self, request: Request) -> Response:
        if request.method == "OPTIONS":
            return Response(200, (*JSON, ("Allow", METHODS)))
        try:
            verb, call = self._route(request)
            response = await verb(call)
        except Crowded as error:
            return _refused(unavailable(str(error)))
        except (StoreError, Closed) as error:
            if not self._store_fails:
                self._store_fails = True
                self._log.error("the storage fails: {reason}", reason=str(error))
            return _refused(unavailable("the storage is not available at the moment"))
        except (Refusal, Missing, Full) as error:
            return _refused(_as_refusal(error, request))
        if self._store_fails:
            self._store_fails = False
            self._log.info("the storage works again")
        return response

    def _route(self, request: Request) -> tuple[Verb, Call]:
        segments = _below_v1(request.path)
        verbs = self._routes.get(segments) or self._routes.get((segments[0], *("*" for _ in segments[1:])))
        if verbs is None:
            raise not_found("address")
        verb = verbs.get("GET" if request.method == "HEAD" else request.method)
        if verb is None:
            allowed = ", ".join(sorted(verbs))
            raise Refusal(405, f"there is {allowed} here", headers=(("Allow", allowed),))
        now = utc_now(self._clock)
        return verb, Call(request, segments[1:], parse_parameters(request.query), now)

    async def _token(self, call: Call) -> TokenRecord:
        """The project token that came with a request.

        Where the query names the project, an owner's user token is as good as one that may do everything.

        Raises:
            Refusal: 401, there is none, or not any more; 403, the query names another project; 429, too many
                requests came with it.
        """
        record = await self._projects.find_token(digest_of(call.bearer))
        number = call.number("project_id")
        if record is None:
            if number is None:
                raise unauthorized()
            project = await self._owners.own_project(call, number)
            return TokenRecord(b"", project.id, call.now, read=True, write=True, admin=True)
        if record.expires is not None and record.expires <= call.now:
            raise unauthorized()
        self._count(f"token {record.id}")
        _check_project(record, number)
        return record

    async def _permitted(self, call: Call, right: str) -> TokenRecord:
        """The token, if it has a right: ``read``, ``write`` or ``admin``."""
        record = await self._token(call)
        if not getattr(record, right):
            raise forbidden(f"the token has no permission to {_RIGHTS[right]}")
        return record

    def _count(self, who: str) -> None:
        wait = 0.0 if self._limiter is None else self._limiter.take(who, self._clock.seconds())
        if wait:
            after = ("Retry-After", str(ceil(wait)))
            raise Refusal(429, "more requests came with this token than may", headers=(after,))

    # ----------------------------------------------------------------------------------------- devices

    async def _list_devices(self, call: Call) -> Response:
        token = await self._permitted(call, "read")
        name = call.parameters.get("name")
        devices = [
            device for device in await self._projects.list_devices(token.project_id) if _opens(token, device)
        ]
        if name is None:
            return answer({"devices": [_described(device) for device in devices]})
        for device in devices:
            if device.name == name:
                return answer(_described(device))
        raise not_found("device")

    async def _create_device(self, call: Call) -> Response:
        token = await self._permitted(call, "write")
        document = call.document()
        _check_project(token, take_number(document, "project_id"))
        device_id, name = take_device_id(document), take_text(document, "device_name")
        if device_id in RESERVED_DEVICES:
            raise bad_request("device_id", f"is one that no device may have: {device_id}")
        if token.device_id is not None and device_id != token.device_id:
            raise forbidden("the token is for one device")
        if device_id is None:
            device_id = token_hex(16)
            name = token_hex(8) if name is None else name
        kind = take_text(document, "device_type")
        try:
            device = await self._projects.create_device(
                token.project_id, device_id, device_id if name is None else name, kind, call.now
            )
        except Taken:
            raise Refusal(422, "the device id is in use already", code=DEVICE_ID_TAKEN) from None
        except NameTaken:
            raise _name_taken() from None
        return answer(_described(device), 201)

    async def _read_clock(self, call: Call) -> Response:
        await self._token(call)
        now = write_time(to_microseconds(call.now), parse_timefmt(call.parameters))
        body = f'{{"server_timestamp":{now}}}'
        return Response(200, JSON, body.encode())

    async def _read_device(self, call: Call) -> Response:
        token = await self._permitted(call, "read")
        return answer(_described(await self._device(token, call.names[0])))

    async def _update_device(self, call: Call) -> Response:
        token = await self._permitted(call, "write")
        document = call.document()
        if document.get("project_id") is not None:
            _check_project(token, take_number(document, "project_id"))
        device = await self._device(token, call.names[0])
        name, kind = take_text(document, "device_name"), take_text(document, "device_type")
        try:
            written = await self._projects.update_device(device.project_id, device.id, name, kind, call.now)
        except NameTaken:
            raise _name_taken() from None
        if written is None:
            return DONE
        self._telling.tell(written)
        return answer(_described(await self._device(token, device.id)))

    async def _delete_device(self, call: Call) -> Response:
        token = await self._permitted(call, "admin")
        device = await self._device(token, call.names[0])
        await self._telling.after(self._projects.delete_device(device.project_id, device.id))
        return DONE

    async def _device(self, token: TokenRecord, device_id: str) -> DeviceRecord:
        if token.device_id not in (None, device_id):
            raise forbidden("the token is for another device")
        return await self._projects.read_device(token.project_id, device_id)

    # ----------------------------------------------------------------------------------------- imports

    async def _import(self, call: Call) -> Response:
        token = await self._permitted(call, "write")
        sent = read_import(call.document())
        _check_project(token, sent.project_id)
        device = await self._device(token, sent.device_id)
        if sent.datastreams:
            document = Environment(datastreams=sent.datastreams)
            await self._telling.after(
                self._store.update_feed(device.feed_id, document, call.now, _whoever_has_the_token)
            )
        return answer({})

    # ----------------------------------------------------------------------------------------- exports

    async def _export(self, call: Call) -> Response:
        token = await self._permitted(call, "read")
        project, device, series = (*call.names, EVERY, EVERY)[:3]
        _check_project(token, take_number({"project": project}, "project"))
        query = parse_export(call.parameters)
        of_project = self._exporting_of.setdefault(token.project_id, DeferredSemaphore(EXPORTS_OF_PROJECT))
        if len(of_project.waiting) >= MAX_WAITING:
            raise Crowded("too many exports of this project wait for their turn")
        async with of_project, self._exporting:
            return await self._gather(token, device, series, query)

    async def _gather(self, token: TokenRecord, device_id: str, name: str, query: ExportQuery) -> Response:
        parts: list[bytes] = []
        looks = _Looks(self._options)
        for one in await self._series(token, device_id, name):
            try:
                pieces = await self._walk(token.project_id, one, query, looks)
            except Missing:  # it was deleted a moment ago
                continue
            if query.output == "csv":
                parts += pieces
            else:
                parts.append(json_series(token.project_id, one.device.id, one.name, pieces))
        if query.output == "csv":
            plain = (("Content-Type", "text/plain; charset=utf-8"),)
            return Response(200, plain, b"".join((CSV_HEADER, *parts)))
        body = (b'{"result":[', b",".join(parts), b'],"timefmt":"', query.timefmt.encode(), b'"}')
        return Response(200, JSON, b"".join(body))

    async def _series(self, token: TokenRecord, device_id: str, name: str) -> list[_Series]:
        """What an export is about: a series that a device does not have is left out."""
        if device_id == EVERY:
            device_id = token.device_id or EVERY
        if device_id == EVERY:
            devices = await self._projects.list_devices(token.project_id)
        else:
            devices = [await self._device(token, device_id)]
        wanted = None if name == EVERY else [datastream_id(name), name]
        found: list[_Series] = []
        for device in devices:
            try:
                feed = (await self._store.read_feed(device.feed_id, wanted)).environment
            except Missing:
                if device_id != EVERY:
                    raise
                continue
            named = {stream: series_name(stream) for stream in feed.datastreams}
            found += [
                _Series(device, shown, stream)
                for stream, shown in named.items()
                if wanted is None or shown == name
            ]
            if len(found) > MAX_SERIES:
                raise Refusal(
                    400, f"the export has more than {MAX_SERIES} series: ask for one device or series"
                )
        return found

    async def _walk(self, project_id: int, series: _Series, query: ExportQuery, looks: _Looks) -> list[bytes]:
        """Show a selection the points of a series, from the newest back, until it has enough.

        Returns:
            Its points as they are in the answer, page by page, so that nothing takes long.
        """
        selection = Selection(query)
        pieces: list[bytes] = []
        last, is_done = query.last, False
        while not is_done:
            asked = PAGE if selection.missing is None else min(PAGE, selection.missing)
            rows: list[Row] = await self._store.read_backwards(
                series.device.feed_id, series.datastream_id, query.first, last, asked
            )
            is_done = selection.take(rows) or len(rows) < asked
            chosen = selection.finish() if is_done else selection.drain()
            piece = (
                csv_points(project_id, series.device.id, series.name, chosen, query.timefmt)
                if query.output == "csv"
                else json_points(chosen, query.timefmt)
            )
            looks.add(len(rows), len(chosen), len(piece))
            if piece:
                pieces.append(piece)
            if rows:
                last = rows[-1][0] - 1
        return pieces[::-1]

    # ------------------------------------------------------------------------------------- saying no

    def _unexpected(self, failure: Failure, request: Request) -> Response | Failure:
        if failure.check(CancelledError) is not None:
            return failure
        # The path is left out: people put tokens into addresses.
        self._log.failure("an iobeam request failed: {method}", failure, method=request.method)
        return _refused(Refusal(500, "something went wrong here"))


# ------------------------------------------------------------------------------------------- functions

_MOST = {
    "imports": f"a device can have at most {MAX_DATASTREAMS} series",
    "projects": f"an account can have at most {MAX_PROJECTS} projects",
    "tokens": f"a project can have at most {MAX_TOKENS} tokens",
}
_RIGHTS = {"read": "read", "write": "register devices and send data", "admin": "delete devices"}


def _whoever_has_the_token(record: FeedRecord) -> None:
    """A guard: a token that opens a device opens its feed."""


def _below_v1(path: str) -> tuple[str, ...]:
    pieces = path.strip("/").split("/")
    try:
        segments = tuple(unquote(piece, errors="strict") for piece in pieces)
    except UnicodeDecodeError:
        raise not_found("address") from None
    if len(segments) < 2 or segments[0] != "v1" or not all(segments):
        raise not_found("address")
    return segments[1:]


def _check_project(token: TokenRecord, project_id: int | None) -> None:
    if project_id not in (None, token.project_id):
        raise forbidden("the token is for another project")


def _opens(token: TokenRecord, device: DeviceRecord) -> bool:
    return token.device_id in (None, device.id)


def _described(device: DeviceRecord) -> dict[str, Any]:
    return {
        "project_id": device.project_id,
        "device_id": device.id,
        "device_name": device.name,
        "device_type": device.type,
        "created": service_time(device.created),
        "feed_id": device.feed_id,
    }


def _name_taken() -> Refusal:
    return Refusal(422, "the device name is in use already", code=DEVICE_NAME_TAKEN)


def _as_refusal(error: Exception, request: Request) -> Refusal:
    if isinstance(error, Refusal):
        return error
    if isinstance(error, Missing):
        # A feed that is gone was a device a moment ago.
        return not_found("device" if error.what in ("feed", "datastream") else error.what)
    if isinstance(error, AccountFull):
        return Refusal(422, f"an account can have at most {error.most} devices and other feeds")
    return Refusal(422, f"there is no room: {_MOST[_below_v1(request.path)[0]]}")


def _refused(refusal: Refusal) -> Response:
    return Response(refusal.status, (*JSON, *refusal.headers), error_body(refusal))


def _for_browsers(response: Response, request: Request) -> Response:
    """Let pages from elsewhere read the answer, when a browser says that it asks."""
    if "origin" not in request.headers:
        return response
    headers: Iterable[tuple[str, str]] = (("Access-Control-Allow-Origin", "*"),)
    if request.method == "OPTIONS":
        headers = (
            *headers,
            ("Access-Control-Allow-Methods", METHODS),
            ("Access-Control-Allow-Headers", ALLOWED_HEADERS),
            ("Access-Control-Max-Age", "86400"),
        )
    return evolve(response, headers=(*response.headers, *headers))
