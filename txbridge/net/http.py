"""Operations over HTTP: one deadline from connect to the last byte, and one error tree.

`HttpCarrier` runs an `Operation` with treq on Twisted's Agent.  What it adds is what field use asks
for and neither has:

- One deadline for the whole exchange.  treq's own ends at the headers, so a body that stalls hangs
  for ever.  `TimedOut.phase` says what was missing.
- As many connections as requests in flight.  Twisted keeps 2 per host and opens new ones above that
  for every request; here the pool is as large as the number of requests in flight, and what comes
  on top waits its turn, first come, first served.
- Every foreign exception is mapped to `txbridge.errors` in this file and nowhere else.
- An answer is bounded before *and* after it is inflated, and a gzip stream that ends early is an
  error, not a shorter document.
- Redirects are not followed: the key in a header must not travel to whoever a captive portal names.

**Nothing is sent twice by us.**  A pooled connection may turn out dead when it is used.  A GET,
HEAD or DELETE without a body that got no answer on such a connection is repeated, because doing it
twice is the same as once.  POST and PUT are not: they fail with `ConnectionLost`, and whoever holds
the data decides.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from http.cookiejar import DefaultCookiePolicy
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit
from weakref import WeakSet

import treq.client
from attrs import define, frozen
from hyperlink import EncodedURL
from treq.cookies import IndexableCookieJar
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore, fail, succeed
from twisted.internet.error import ConnectError as TwistedConnectError
from twisted.internet.error import (
    ConnectingCancelledError,
    ConnectionClosed,
    DNSLookupError,
)
from twisted.internet.interfaces import IAddress, IConsumer, IProtocol, IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web._newclient import HTTP11ClientProtocol
from twisted.web.client import (
    URI,
    Agent,
    HTTPConnectionPool,
    RequestGenerationFailed,
    RequestTransmissionFailed,
    ResponseDone,
    ResponseFailed,
    ResponseNeverReceived,
    _HTTP11ClientFactory,
)
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IAgentEndpointFactory, IBodyProducer, IResponse
from zope.interface import implementer

from txbridge._version import __version__
from txbridge.errors import (
    BridgeError,
    Closed,
    ConfigError,
    ConnectError,
    ConnectionLost,
    EncodeError,
    RemoteProtocolError,
    RequestRejected,
    TimedOut,
)
from txbridge.net.backoff import http_date, retry_after
from txbridge.net.deadline import with_deadline
from txbridge.net.deferred import deferred
from txbridge.net.endpoint import client_endpoint
from txbridge.net.http_stream import (
    MAX_REFUSAL,
    Download,
    HttpConnection,
    Upload,
    connection_factory,
    keep_alive,
)
from txbridge.net.operation import Answer, Operation, discreet, rejection
from txbridge.net.proxy import Proxy
from txbridge.net.reactor import resolve_reactor, steady_clock, wall_clock
from txbridge.net.skew import Skew
from txbridge.net.tls import ClientTls, ascii_host, client_tls, tls_reason

__all__ = ["DEADLINE", "MAX_BODY", "POOL_SIZE", "HttpCarrier", "base_url_problems"]

T = TypeVar("T")
S = TypeVar("S")

DEADLINE = 30.0  # seconds; Twisted's own for TCP alone, and more than any API here needs for an answer
POOL_SIZE = 16  # the measured gain flattens there for one server
MAX_BODY = 64 << 20  # a million datapoints in JSON
MAX_HEAD = 256 << 10  # with interim answers and what is read along with it of the body; browsers take as much

IDLE_SECONDS = 30  # below the 60 to 75 s after which servers and balancers hang up on idle clients
CLOSE_SECONDS = 5.0  # for polite goodbyes; a half-open TLS peer never answers them

_NO_RETRY_NEEDED = frozenset(("GET", "HEAD", "DELETE"))
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_URL_PATH = re.compile(r"(?:[\w\-.~!$&'()*+,;=:@/]|%[0-9A-Fa-f]{2})*", re.ASCII)
_PRINTABLE = re.compile(r"[\x20-\x7e\x80-\xff]*")
_SECRET = re.compile(r"auth|cookie|key|secret|token")  # in the name of a header


class HttpCarrier:
    """Runs operations against one API over HTTP.

    Args:
        base_url: Where the API is, such as ``https://api.example.com/v2``; a path is kept.
        headers: Sent with every request, as pairs; an operation's own override them.
        deadline: Seconds for one operation, from when it is run to the last byte of its answer;
            times its ``patience``.  Waiting for a free connection counts.
        pool_size: Requests in flight at once, and connections kept open between them.
        max_body: Bytes an answer's body may have, as sent and inflated.
        trust: Whom to trust; None for the system's roots.
        proxy: Go through it; see `txbridge.net.proxy.proxy_from_environment`.
        reactor: None for the global one.
        agent: An ``IAgent`` to send with instead of our own; ``trust`` and ``proxy`` are its
            business then, and so are connections left open.

    Raises:
        ConfigError: Something in these cannot be used; all problems at once.
    """

    def __init__(
        self,
        base_url: str,
        *,
        headers: Iterable[tuple[str, str]] = (),
        deadline: float = DEADLINE,
        pool_size: int = POOL_SIZE,
        max_body: int = MAX_BODY,
        trust: ClientTls | None = None,
        proxy: Proxy | None = None,
        reactor: Any = None,
        agent: IAgent | None = None,
    ) -> None:
        own_headers = tuple(headers)
        problems = [*_header_problems(own_headers)]
        if not deadline > 0:
            problems.append(f"deadline: {deadline} is not above 0 s")
        if pool_size < 1:
            problems.append(f"pool_size: {pool_size} is not at least 1")
        if max_body < 1:
            problems.append(f"max_body: {max_body} is not at least 1 byte")
        base = _read_base_url(base_url, problems)
        if problems or base is None:
            raise ConfigError(problems)
        self._base = base
        self._headers = {"user-agent": f"txbridge/{__version__}", **_by_name(own_headers)}
        self._deadline = float(deadline)
        self._max_body = max_body
        self._reactor = resolve_reactor(reactor)
        self._steady = steady_clock(self._reactor)
        self._skew = Skew(wall_clock(self._reactor), self._steady)
        self._slots = DeferredSemaphore(pool_size)
        self._pool = _Pool(self._reactor, pool_size)
        self._in_flight: set[Deferred[Any]] = set()
        self._streams: WeakSet[HttpConnection] = WeakSet()
        self._is_closed = False
        self._agent = agent
        if agent is None:
            tls = (client_tls() if trust is None else trust) if base.scheme == "https" else None
            # TCP's own limit is out of the way of the deadline, so that late is always `TimedOut`.
            self._endpoint: IStreamClientEndpoint | None = client_endpoint(
                self._reactor, base.host, base.port, tls=tls, proxy=proxy, timeout=2 * self._deadline
            )
        else:
            self._endpoint = None

    def __repr__(self) -> str:
        return f"<HttpCarrier {self._base.peer}>"

    @property
    def skew(self) -> float | None:
        """How many seconds the server's clock is ahead of this machine's, by the answers to `run`.

        None before the first answer that says what time it is.  See `txbridge.net.skew`.
        """
        return self._skew.value

    def run(self, operation: Operation[T]) -> Deferred[T]:
        """Run one operation under one deadline.

        Cancelling the Deferred aborts the exchange.

        Raises:
            Closed: The carrier was closed, before or meanwhile.
            ConnectError: No connection could be made; nothing was sent.
            ConnectionLost: It went while the operation was in flight.
            TimedOut: The deadline passed; its phase is ``connect``, ``answer`` or ``body``.
            RequestRejected: The platform refused; see `txbridge.net.operation.rejection`.
            RemoteProtocolError: The answer breaks HTTP, is too large, or is a redirect.
            EncodeError: The operation cannot be written as a request.
        """
        if self._is_closed:
            return fail(Closed(repr(self)))
        exchange = _Exchange(
            operation.name, self._base.peer, self._reactor, self._pool, self._endpoint, self._steady
        )
        work = Deferred.fromCoroutine(self._unless_closed(self._run(operation, exchange)))
        return self._watched(operation, work, lambda: exchange.phase)

    def open_download(
        self, operation: Operation[Any], *, silence: float | None = None, hold: float | None = None
    ) -> Deferred[Download]:
        """Ask for a body that is read in pieces, over a connection of its own.

        Connecting and the head of the answer have the carrier's deadline.  Close it when done.

        Args:
            operation: What to ask; its ``read`` is not used.
            silence: Seconds without a byte after which the download fails; None for no limit.
            hold: Seconds that the server may be made to wait while nobody reads.  Then the connection
                is dropped, and the download fails once what it holds was read; None for no limit.

        Raises:
            BridgeError: As of `run`.
        """

        async def begin(opening: _Opening) -> Download:
            connection = await self._connect(operation, chunked=False)
            download = Download(operation.name, connection, self._reactor, silence, hold)
            opening.phase = "answer"
            await download.begun
            if not 200 <= download.status < 300:
                opening.phase = "body"
                try:
                    body = await download.read_all(MAX_REFUSAL)
                finally:
                    download.close()
                self._judge(operation, Answer(download.status, download.headers, body))
            return download

        return self._open(operation, begin)

    def open_upload(self, operation: Operation[T], *, silence: float | None = None) -> Deferred[Upload[T]]:
        """Begin a request whose body is written in pieces, over a connection of its own.

        Connecting has the carrier's deadline.  Finish or abort it.

        Args:
            operation: What to ask; its ``body`` is not used.
            silence: Seconds for which the server may take nothing, or give no answer at the end; None
                for no limit.

        Raises:
            BridgeError: As of `run`, as far as connecting goes.
        """

        async def begin(opening: _Opening) -> Upload[T]:
            connection = await self._connect(operation, chunked=True)
            return Upload(operation, connection, self._reactor, silence, self._judge)

        return self._open(operation, begin)

    def _open(
        self, operation: Operation[Any], begin: Callable[[_Opening], Coroutine[Deferred[Any], Any, S]]
    ) -> Deferred[S]:
        if self._is_closed:
            return fail(Closed(repr(self)))
        opening = _Opening()
        work = Deferred.fromCoroutine(self._unless_closed(begin(opening)))
        return self._watched(operation, work, lambda: opening.phase)

    async def _connect(self, operation: Operation[Any], *, chunked: bool) -> HttpConnection:
        if self._endpoint is None:
            raise ConfigError(["agent: a carrier with an agent of its own opens no streams"])
        head = _request_head(self._base, self._headers, operation, chunked=chunked)
        explain = partial(_explain, operation.name, self._base.peer)
        connecting: Deferred[Any] = self._endpoint.connect(connection_factory(operation.name, head, explain))
        try:
            connection: HttpConnection = await connecting
        except _FOREIGN as error:
            raise explain(error) from error
        self._streams.add(connection)
        return connection

    @deferred
    async def close(self) -> None:
        """Fail what is in flight with `Closed`, and close the connections.  A second call is harmless."""
        self._is_closed = True
        for work in list(self._in_flight):
            work.cancel()
        for connection in list(self._streams):
            connection.abort(Closed(repr(self)))
        await self._pool.close()

    def _watched(self, operation: Operation[Any], work: Deferred[S], phase: Callable[[], str]) -> Deferred[S]:
        if not work.called:
            self._in_flight.add(work)
            work.addBoth(self._landed, work)
        seconds = self._deadline * operation.patience
        return with_deadline(self._reactor, work, seconds, operation=operation.name, phase=phase)

    async def _unless_closed(self, work: Coroutine[Deferred[Any], Any, S]) -> S:
        try:
            return await work
        except CancelledError:
            if self._is_closed:
                raise Closed(repr(self)) from None
            raise

    def _landed(self, result: Any, work: Deferred[Any]) -> Any:
        self._in_flight.discard(work)
        return result

    async def _run(self, operation: Operation[T], exchange: _Exchange) -> T:
        await self._slots.acquire()
        try:
            answer = await self._ask(operation, exchange)
        finally:
            self._slots.release()
        try:
            result = self._judge(operation, answer)
        except RequestRejected:
            self._measure(answer, exchange)
            raise
        self._measure(answer, exchange)
        return result

    def _measure(self, answer: Answer, exchange: _Exchange) -> None:
        """Called with an answer that is the server's own, and not of a portal that stands in between."""
        if "age" not in answer.headers:  # one out of a cache was given when nobody knows
            date = http_date(answer.headers.get("date"))
            self._skew.answered(date, exchange.sent_at, exchange.received_at)

    def _judge(self, operation: Operation[T], answer: Answer) -> T:
        """The result that an answer stands for, or the error."""
        if 200 <= answer.status < 300:
            return operation.read(answer)
        if 300 <= answer.status < 400:
            raise _redirect(operation, answer)
        if answer.status < 200:
            raise RemoteProtocolError(operation.name, f"the answer is not HTTP: status {answer.status}")
        now = http_date(answer.headers.get("date"))
        now = wall_clock(self._reactor)() if now is None else now
        wait = retry_after(answer.headers.get("retry-after"), now)
        raise rejection(discreet(operation, _secrets(operation, self._headers)), answer, retry_after=wait)

    async def _ask(self, operation: Operation[Any], exchange: _Exchange) -> Answer:
        url = self._base.url + _target(operation)
        headers = _request_headers(self._headers, operation)
        try:
            response = await self._request(operation, url, headers, exchange)
            exchange.phase = "body"
            body = await exchange.read_body(response, self._max_body)
        except _FOREIGN as error:
            raise exchange.explain(error) from error
        if exchange.is_gzip and body:
            body = _inflate(operation.name, body, self._max_body)
        return Answer(response.code, _answer_headers(response), body)

    async def _request(
        self, operation: Operation[Any], url: str, headers: Headers, exchange: _Exchange
    ) -> IResponse:
        agent = exchange.over(self._agent)
        # A jar that takes no cookie: a sensor's client is nobody's session.
        jar = IndexableCookieJar(policy=DefaultCookiePolicy(allowed_domains=[]))
        to_producer: Any = _WholeBody
        client = treq.client.HTTPClient(agent, jar, data_to_body_producer=to_producer)
        may_repeat = operation.method in _NO_RETRY_NEEDED and not operation.body
        while True:
            try:
                return await client.request(
                    operation.method,
                    _AsItIs.from_text(url),
                    headers=headers,
                    data=operation.body,
                    allow_redirects=False,
                    unbuffered=True,
                    reactor=self._reactor,
                )
            except ResponseNeverReceived as error:
                # Each turn takes one dead connection out of the pool, so this ends.
                if not (may_repeat and exchange.is_reused) or _is_cancelled(error):
                    raise


class _AsItIs(EncodedURL):
    """A URL that is ASCII already: what treq would do makes a name of an IPv6 address, and fails."""

    def to_uri(self) -> EncodedURL:
        return self


@define
class _Opening:
    """How far a stream that is being opened has come."""

    phase: str = "connect"


class _Exchange:
    """One operation on its way: what treq talks to in place of a bare Agent.

    It exists because three things are only known down there: when a connection was had (the phase),
    which one it is (so that a body can be aborted), and whether the body is compressed (treq's own
    decoder would take a stream that ends early for a whole one, and knows no bound).
    """

    def __init__(
        self,
        operation: str,
        peer: str,
        reactor: Any,
        pool: _Pool,
        endpoint: IStreamClientEndpoint | None,
        steady: Callable[[], float],
    ) -> None:
        self.phase = "connect"
        self.sent_at = self.received_at = steady()
        self.is_reused = False
        self.is_gzip = False
        self._operation = operation
        self._peer = peer
        self._reactor = reactor
        self._pool = pool
        self._endpoint = endpoint
        self._steady = steady
        self._agent: Any = None
        self._connection: Any = None

    def over(self, agent: IAgent | None) -> Any:
        """Send with this agent, or with our own for None; returns itself as the IAgent it is."""
        own = agent is None
        self._agent = Agent.usingEndpointFactory(self._reactor, self, self._pool) if own else agent
        return self

    def endpointForURI(self, uri: URI) -> _Exchange:
        """Called by the Agent.  Every URI is below the one base."""
        return self

    def connect(self, protocolFactory: Any) -> Deferred[IProtocol]:
        """Called by the pool when it has no connection for us."""
        assert self._endpoint is not None
        self.is_reused = False
        return self._endpoint.connect(protocolFactory)

    def connected(self, connection: Any) -> None:
        """Called by the pool with the connection the request will run on."""
        self.phase = "answer"
        self.sent_at = self._steady()
        self._connection = connection
        connection.expect_head(self._operation)

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        """Called by treq."""
        self.is_reused = self._endpoint is not None  # until the pool asks us to connect
        self.phase = "connect" if self.is_reused else "answer"
        self.sent_at = self._steady()
        asking: Deferred[IResponse] = self._agent.request(method, uri, headers, bodyProducer)
        return asking.addCallback(self._take_encoding)

    def _take_encoding(self, response: IResponse) -> IResponse:
        self.received_at = self._steady()
        if self._connection is not None:
            self._connection.head_room = None
        names = response.headers.getRawHeaders(b"content-encoding", ())
        encodings = b",".join(names).decode("latin-1").lower().replace(",", " ").split()
        coded = [encoding for encoding in encodings if encoding != "identity"]
        if coded not in ([], ["gzip"], ["x-gzip"]):
            self.abort()
            raise RemoteProtocolError(self._operation, f"nobody asked for Content-Encoding {coded[0]:.40}")
        self.is_gzip = bool(coded)
        response.headers.removeHeader(b"content-encoding")
        return response

    @deferred
    async def read_body(self, response: IResponse, limit: int) -> bytes:
        """Read the whole body; cancelling it aborts the connection."""
        if isinstance(response.length, int) and response.length > limit:
            self.abort()
            raise RemoteProtocolError(self._operation, f"the answer's body is over {limit} bytes")
        body = _Body(self, limit)
        response.deliverBody(body)
        content = await body.finished
        if content is None:
            raise RemoteProtocolError(self._operation, f"the answer's body is over {limit} bytes")
        return bytes(content)

    def abort(self) -> None:
        """Drop the connection at once; called while the answer is unfinished."""
        connection, self._connection = self._connection, None
        if connection is not None and connection.transport is not None:
            connection.transport.abortConnection()

    def explain(self, error: Exception) -> Exception:
        """What a foreign error means."""
        return _explain(self._operation, self._peer, error)


# Not decorators: IAgent and its friends declare no types, which mypy-zope takes for a contradiction.
implementer(IAgent, IAgentEndpointFactory, IStreamClientEndpoint)(_Exchange)


class _Connection(HTTP11ClientProtocol):
    """Bounds what comes before an answer's body: Twisted bounds each line, and not how many there are.

    Attributes:
        head_room: Bytes that may still come before it; None while a body comes.
    """

    head_room: int | None = None
    _operation = ""

    def connectionMade(self) -> None:
        """Called by Twisted."""
        keep_alive(self.transport)

    def expect_head(self, operation: str) -> None:
        """A request is about to be sent; called by its exchange."""
        self.head_room = MAX_HEAD
        self._operation = operation

    def dataReceived(self, data: bytes) -> None:
        """Called by the transport."""
        if self.head_room is not None:
            self.head_room -= len(data)
            if self.head_room < 0:
                reason = Failure(
                    RemoteProtocolError(self._operation, f"the answer's head is over {MAX_HEAD} bytes")
                )
                self._giveUp(reason)  # type: ignore[no-untyped-call]  # Twisted's own
                return
        super().dataReceived(data)  # type: ignore[no-untyped-call]  # Twisted's own

    def _finishResponse(self, rest: bytes) -> None:  # noqa: N802 - Twisted
        """Called by the parser when an answer is whole, before the pool may get the connection back."""
        parser, request = self._parser, self._currentRequest
        if parser is not None and request is not None and parser.response.version[1:] < (1, 1):
            # Twisted takes it for one that stays open, unless it says that it does not.
            said = b",".join(parser.connHeaders.getRawHeaders(b"connection", ())).lower()
            request.persistent = request.persistent and b"keep-alive" in said
        super()._finishResponse(rest)


class _ConnectionFactory(_HTTP11ClientFactory):
    """Makes them for the pool."""

    noisy = False

    def buildProtocol(self, addr: IAddress | None) -> _Connection:
        """Called when there is a transport."""
        return _Connection(self._quiescentCallback)  # type: ignore[no-untyped-call]  # Twisted's own


class _Pool(HTTPConnectionPool):
    """Tells each exchange which connection it got, and can close for good."""

    # What Twisted repeats on a dead connection it hides behind a wrapper that cannot be aborted; the
    # carrier repeats it itself, by the same rules.
    _factory = _ConnectionFactory
    retryAutomatically = False
    cachedConnectionTimeout = IDLE_SECONDS

    def __init__(self, reactor: Any, size: int) -> None:
        super().__init__(reactor)  # type: ignore[no-untyped-call]  # Twisted's own
        self.maxPersistentPerHost = size
        self._every: WeakSet[Any] = WeakSet()

    def getConnection(self, key: Any, endpoint: Any) -> Deferred[Any]:
        """Called by the Agent, with the exchange as the endpoint."""
        connecting: Deferred[Any] = super().getConnection(key, endpoint)
        return connecting.addCallback(self._hand_over, endpoint)

    def _hand_over(self, connection: Any, exchange: _Exchange) -> Any:
        self._every.add(connection)
        exchange.connected(connection)
        return connection

    @deferred
    async def close(self) -> None:
        """Close the idle connections politely, and abort what is left after a while."""
        try:
            await with_deadline(self._reactor, self._close_politely(), CLOSE_SECONDS, operation="close")
        except TimedOut:
            for connection in list(self._every):
                if connection.transport is not None:
                    connection.transport.abortConnection()

    def _close_politely(self) -> Deferred[None]:
        # Cancelling what Twisted returns would lose an error for each connection; this can be cancelled.
        closed: Deferred[None] = Deferred()
        closing = self.closeCachedConnections()  # type: ignore[no-untyped-call]  # Twisted's own
        closing.addCallback(lambda _: None if closed.called else closed.callback(None))
        return closed


class _Body(Protocol):
    """Collects a body up to a limit.

    Attributes:
        finished: Fires with the body, or None when it is over the limit.
    """

    def __init__(self, exchange: _Exchange, limit: int) -> None:
        self.finished: Deferred[bytearray | None] = Deferred(lambda _: exchange.abort())
        self._exchange = exchange
        self._room = limit
        self._content = bytearray()  # and not a list: a chunk of two bytes would take fifty

    def dataReceived(self, data: bytes) -> None:
        """Called by the response."""
        self._room -= len(data)
        if self._room >= 0:
            self._content += data
        elif not self.finished.called:
            self._content.clear()
            self.finished.callback(None)
            self._exchange.abort()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Called by the response at its end, whichever it is."""
        if self.finished.called:
            return
        # PotentialDataLoss: neither a length nor chunks, so the end of the connection is the end of
        # the body.  HTTP/1.0 servers answer like that.
        if reason.check(ResponseDone, PotentialDataLoss):
            self.finished.callback(self._content)
        else:
            self.finished.errback(reason)


class _WholeBody:
    """A request's body, written at once: it is in memory already."""

    def __init__(self, body: bytes) -> None:
        self.length = len(body)
        self._body = body

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """Called by Twisted when the connection is ready."""
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:
        """Everything was written before this could be called."""

    def resumeProducing(self) -> None:
        """Nothing is left to write."""

    def stopProducing(self) -> None:
        """Nothing is left to stop."""


implementer(IBodyProducer)(_WholeBody)


_FOREIGN = (
    TwistedConnectError,
    ConnectionClosed,
    ConnectingCancelledError,
    DNSLookupError,
    RequestGenerationFailed,
    RequestTransmissionFailed,
    ResponseFailed,
)


def _explain(operation: str, peer: str, error: Exception) -> Exception:
    """The one place where foreign errors become ours."""
    reasons = list(_reasons(error))
    for reason in reasons:
        if isinstance(reason, (BridgeError, CancelledError)):
            return reason
        if isinstance(reason, ConnectingCancelledError):
            return CancelledError()
    if isinstance(error, DNSLookupError):
        return ConnectError(peer, "its name does not resolve")
    if isinstance(error, TwistedConnectError):
        return ConnectError(peer, _words(error))
    for reason in reasons:
        words = tls_reason(reason)
        if words is not None:
            return ConnectionLost(operation, words)
        if isinstance(reason, ConnectionClosed):
            return ConnectionLost(operation, _words(reason))
    return RemoteProtocolError(operation, f"the answer is not HTTP: {_words(reasons[0])}")


def _reasons(error: BaseException) -> Iterable[BaseException]:
    """What is behind an error of Twisted's HTTP client, innermost causes first."""
    inner = [failure.value for failure in getattr(error, "reasons", ()) if failure.value is not None]
    for reason in inner:
        yield from _reasons(reason)
    if not inner:
        yield error


def _is_cancelled(error: BaseException) -> bool:
    return any(isinstance(reason, CancelledError) for reason in _reasons(error))


def _words(error: BaseException) -> str:
    """An error in a few words of one line."""
    text = " ".join(str(error).split())
    return (text or type(error).__name__)[:200].rstrip(".")


@frozen
class _Base:
    """A base URL, taken apart."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def peer(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def authority(self) -> str:
        """What a Host header says: the port only where it is not the usual one."""
        usual = 443 if self.scheme == "https" else 80
        return self.peer.removesuffix(f":{self.port}") if self.port == usual else self.peer

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.peer}{self.path}"


def base_url_problems(text: str) -> list[str]:
    """Why a carrier cannot go to a base URL; nothing when it can."""
    problems: list[str] = []
    _read_base_url(text, problems)
    return problems


def _read_base_url(text: str, problems: list[str]) -> _Base | None:
    """Take a base URL apart.  No problem repeats it: it may hold a password or a key."""
    try:
        parts = urlsplit(text)
        if parts.scheme not in ("http", "https"):
            problems.append("base_url: it must begin with http:// or https://")
            return None
        port = parts.port
        host = ascii_host(parts.hostname or "")
    except ValueError:
        problems.append("base_url: it cannot be read as a URL")
        return None
    except ConfigError:
        problems.append("base_url: it names no host that can be looked up")
        return None
    found = len(problems)
    if parts.username is not None or parts.password is not None:
        problems.append("base_url: credentials do not belong in a URL; use a header")
    if parts.query or parts.fragment:
        problems.append("base_url: a query or fragment cannot be part of it")
    if not _URL_PATH.fullmatch(parts.path):
        problems.append("base_url: its path must be percent-encoded ASCII")
    if len(problems) > found:
        return None
    default_port = 443 if parts.scheme == "https" else 80
    return _Base(parts.scheme, host, default_port if port is None else port, parts.path.rstrip("/"))


def _header_problems(headers: Iterable[tuple[str, str]]) -> Iterable[str]:
    for name, value in headers:
        if not _TOKEN.fullmatch(name):
            yield f"headers: {name!r:.60} is no header name"
        elif not _PRINTABLE.fullmatch(value):
            yield f"headers: the value of {name} has characters that a header cannot carry"


def _by_name(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers}


def _target(operation: Operation[Any]) -> str:
    """Path and query of a request; every character with a meaning in URLs is percent-encoded."""
    for index, segment in enumerate(operation.path):
        if segment in (".", ".."):
            # Encoding does not help: servers decode dots before they resolve them.
            raise EncodeError("url", f"path[{index}]", f"{segment!r} would name another resource")
    path = "".join(f"/{_quoted(text, f'path[{index}]')}" for index, text in enumerate(operation.path))
    query = "&".join(
        "=".join(_quoted(text, f"query[{index}]") for text in pair)
        for index, pair in enumerate(operation.query)
    )
    return f"{path}?{query}" if query else path


def _quoted(text: str, where: str) -> str:
    try:
        return quote(text, safe="")
    except UnicodeEncodeError:
        raise EncodeError("url", where, "half of a surrogate pair") from None


def _request_headers(defaults: dict[str, str], operation: Operation[Any]) -> Headers:
    headers = Headers()
    for name, value in _merged(defaults, operation):
        headers.addRawHeader(name.encode("ascii"), value.encode("latin-1"))
    return headers


def _merged(defaults: dict[str, str], operation: Operation[Any]) -> Iterable[tuple[str, str]]:
    own = tuple(operation.headers.items())
    for problem in _header_problems(own):
        raise EncodeError("http", "", problem)
    return {**defaults, **_by_name(own)}.items()


def _secrets(operation: Operation[Any], defaults: dict[str, str]) -> list[str]:
    """The values of the headers that hold keys, without the scheme of an Authorization too."""
    values = [value for name, value in _merged(defaults, operation) if _SECRET.search(name)]
    return [secret for value in values for secret in (value, value.rpartition(" ")[2])]


def _request_head(
    base: _Base, defaults: dict[str, str], operation: Operation[Any], *, chunked: bool
) -> bytes:
    """A request of its own connection; its body too, unless that follows in chunks."""
    lines = [f"{operation.method} {base.path}{_target(operation)} HTTP/1.1", f"host: {base.authority}"]
    lines += [f"{name}: {value}" for name, value in _merged(defaults, operation)]
    lines.append("connection: close")
    body = b"" if chunked or operation.body is None else operation.body
    if chunked:
        lines.append("transfer-encoding: chunked")
    elif operation.body is not None:
        lines.append(f"content-length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def _answer_headers(response: IResponse) -> dict[str, str]:
    return {
        name.decode("latin-1").lower(): b", ".join(values).decode("latin-1")
        for name, values in response.headers.getAllRawHeaders()
        if name != b"Content-Encoding"  # undone by now; treq leaves an empty one behind
    }


def _redirect(operation: Operation[Any], answer: Answer) -> RemoteProtocolError:
    """Name where a redirect leads, by its host only: the rest may hold a key."""
    try:
        host = urlsplit(answer.headers.get("location", "")).hostname
    except ValueError:
        host = None
    where = f" to {host:.100}" if host else ""
    return RemoteProtocolError(
        operation.name, f"it answered {answer.status}, a redirect{where}; redirects are not followed"
    )


def _inflate(operation: str, body: bytes, limit: int) -> bytes:
    """Undo gzip, up to a limit."""
    stream = zlib.decompressobj(16 + zlib.MAX_WBITS)
    try:
        inflated = stream.decompress(body, limit + 1)
    except zlib.error as error:
        raise RemoteProtocolError(operation, "the answer's body is not the gzip it claims to be") from error
    if len(inflated) > limit:
        raise RemoteProtocolError(operation, f"the answer's body is over {limit} bytes when inflated")
    if not stream.eof:
        raise RemoteProtocolError(operation, "the answer's gzip stream ends early")
    if stream.unused_data:
        raise RemoteProtocolError(operation, "the answer's gzip stream is followed by something else")
    return inflated
