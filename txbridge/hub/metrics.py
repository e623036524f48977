"""What a hub says to those who look after it: ``/metrics`` for Prometheus, and ``/readyz``.

``/healthz``
    The process answers; the site says it by itself.
``/readyz``
    200, or 503 with the reason: the storage does not answer in time, or the hub is leaving.
``/metrics``
    Numbers about the hub, and nothing about its feeds or accounts: no names, no values, no keys.

Who may read the metrics is decided by `may_look`: who asks from the hub's own machine, but not through a
proxy there, which asks for anybody; and the owner, with a key, from anywhere.

A request costs two look-ups of a clock and a few additions.  What is asked of the storage, how many notices
wait, is asked when somebody reads the metrics.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from ipaddress import ip_address

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from txbridge.errors import Closed, StoreError, TimedOut
from txbridge.hub.auth import OWNER, Accounts, Credentials, may_manage
from txbridge.net.deadline import with_deadline
from txbridge.net.deferred import deferred
from txbridge.net.exposition import CONTENT_TYPE, DURATIONS, Family, Histogram, render_metrics
from txbridge.net.http1 import Request, Response

__all__ = ["Monitor", "RequestMeter", "may_look"]

READY_SECONDS = (
    2.0  # below the time-out of those who ask, which is 10 s in Prometheus and 1 s to 5 s elsewhere
)

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
READING = frozenset(("GET", "HEAD", "OPTIONS"))

# What a proxy says of whom it asks for.
_FORWARDED = ("x-forwarded-for", "forwarded", "x-real-ip", "via")

_TEXT = (("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store"))


class RequestMeter:
    """Counts requests by method and status, and how long they took.

    Args:
        clock: Tells the time.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._counts: Counter[tuple[str, int]] = Counter()
        self._took = {"read": Histogram(DURATIONS), "write": Histogram(DURATIONS)}

    def count(
        self, request: Request, respond: Callable[[Request], Response | Deferred[Response]]
    ) -> Response | Deferred[Response]:
        """Let a request be answered."""
        began = self._clock.seconds()
        answer = respond(request)
        if isinstance(answer, Response):
            self._add(request.method, answer.status, began)
        else:
            answer.addBoth(self._answered, request.method, began)
        return answer

    def refused(self, status: int) -> None:
        """Count bytes that never became a request."""
        self._counts["none", status] += 1

    def _answered(self, result: Response | Failure, method: str, began: float) -> Response | Failure:
        self._add(method, result.status if isinstance(result, Response) else 500, began)
        return result

    def _add(self, method: str, status: int, began: float) -> None:
        self._counts[method if method in METHODS else "other", status] += 1
        self._took["read" if method in READING else "write"].observe(max(0.0, self._clock.seconds() - began))

    def families(self) -> Iterable[Family]:
        """What was counted."""
        counts = sorted(self._counts.items())
        yield Family(
            "txbridge_hub_requests_total",
            "counter",
            "HTTP requests answered, by method and status; of method none is what was no request.",
            [({"method": method, "status": str(status)}, count) for (method, status), count in counts],
        )
        yield Family(
            "txbridge_hub_rate_limited_total",
            "counter",
            "HTTP requests refused because there were too many of one key or client.",
            [({}, sum(count for (_, status), count in counts if status == 429))],
        )
        yield Family(
            "txbridge_hub_request_duration_seconds",
            "histogram",
            "From a request's last byte to its answer, by what it does.",
            [sample for kind, took in self._took.items() for sample in took.samples({"kind": kind})],
        )


class Monitor:
    """Answers ``/metrics`` and ``/readyz``.

    Args:
        clock: For deadlines.
        accounts: Finds whose key a request carries.
        ask: Asks the storage to write, which changes nothing, and to read how many notices wait.
        families: Gives everything else there is to tell.

    Attributes:
        requests: Counts what the site answers.
        is_leaving: Whether the hub is being stopped.
    """

    def __init__(
        self,
        clock: IReactorTime,
        accounts: Accounts,
        ask: Callable[[], Deferred[int]],
        families: Callable[[], Iterable[Family]],
    ) -> None:
        self.requests = RequestMeter(clock)
        self.is_leaving = False
        self._clock = clock
        self._accounts = accounts
        self._ask = ask
        self._families = families

    def respond(self, request: Request) -> Deferred[Response] | None:
        """Answer a request, or None if it asks for something else."""
        if request.method not in ("GET", "HEAD"):
            return None
        if request.path == "/readyz":
            return self._ready()
        return self._metrics(request) if request.path == "/metrics" else None

    @deferred
    async def _ready(self) -> Response:
        reason = "the hub is leaving" if self.is_leaving else (await self._asked())[1]
        return Response(503 if reason else 200, _TEXT, f"{reason or 'ready'}\n".encode())

    async def _asked(self) -> tuple[int | None, str]:
        """How many notices wait, and why the storage does not work."""
        try:
            waiting = await with_deadline(
                self._clock, self._ask(), READY_SECONDS, operation="ask the storage", phase="answer"
            )
        except TimedOut:
            return None, f"the storage has not answered in {READY_SECONDS:g} s"
        except (StoreError, Closed) as error:
            return None, str(error)
        return waiting, ""

    @deferred
    async def _metrics(self, request: Request) -> Response:
        refusal = await may_look(request, self._accounts)
        if refusal is not None:
            return refusal
        waiting, reason = await self._asked()
        text = render_metrics(
            [
                Family(
                    "txbridge_hub_ready",
                    "gauge",
                    "Whether the storage answers, and the hub is not leaving.",
                    [({}, float(not reason and not self.is_leaving))],
                ),
                *self.requests.families(),
                Family(
                    "txbridge_hub_notices_waiting",
                    "gauge",
                    "Notices of triggers that are to be delivered, or to be tried again.",
                    [] if waiting is None else [({}, waiting)],
                ),
                *self._families(),
            ]
        )
        return Response(200, (("Content-Type", CONTENT_TYPE), ("Cache-Control", "no-store")), text.encode())


async def may_look(request: Request, accounts: Accounts) -> Response | None:
    """None for who may read the metrics, or how to refuse."""
    if _is_here(request):
        return None
    try:
        principal = await accounts.authenticate(Credentials.of(request.headers, None))
    except StoreError:
        return Response(503, _TEXT, b"the storage is not available at the moment\n")
    if principal is None:
        return Response(
            401,
            (*_TEXT, ("WWW-Authenticate", 'Basic realm="txbridge"')),
            b"from another machine, or through a proxy, the owner's API key is needed\n",
        )
    if principal.login != OWNER or not may_manage(principal):
        return Response(403, _TEXT, b"only the owner of the hub may read its metrics\n")
    return None


def _is_here(request: Request) -> bool:
    """Whether somebody asks from this machine, for himself."""
    if any(name in request.headers for name in _FORWARDED):
        return False
    try:
        return ip_address(request.client).is_loopback
    except ValueError:  # of a UNIX socket there is none: its file's rights say who may connect, often a proxy
        return False
