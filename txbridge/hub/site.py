"""What the hub's one HTTP port answers: the APIs, the page, and a sign of life.

Everything that is not named here goes to the rules of Cosm, which know how to say that there is no
such address in the words old clients expect.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ITransport

from txbridge.cosm.server import CosmServer, connection_refusal
from txbridge.hub.grafana import Grafana
from txbridge.hub.metrics import Monitor
from txbridge.hub.pages import Pages
from txbridge.iobeam.server import IobeamServer, is_iobeam
from txbridge.net.http1 import Request, Response

__all__ = ["Answers", "HubSite", "Upgrade", "Upgrades"]

Upgrade = Callable[[ITransport, Request, bytes], None]
"""Takes a connection over: its transport, the request, and the bytes read so far."""


Answers = Callable[[Request], "Deferred[Response]"]
"""Answers requests."""


class Upgrades(Protocol):
    """Who takes WebSockets over."""

    @property
    def upgrade(self) -> Upgrade:
        """Take a connection over."""


_ALIVE = Response(
    200, (("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store")), b"ok\n"
)


class HubSite:
    """Dispatches requests; its methods are what `txbridge.net.http_server.HttpServerFactory` takes.

    Args:
        server: The API's rules.
        paws: Takes WebSockets over; None when there are none.
        grafana: Answers Grafana; None when it is not to.
        relay: Answers what is asked about a relay, below ``/relay/``; None when there is none to ask.
        iobeam: The rules of iobeam; None when it is not spoken.
        monitor: Answers who looks after the hub, and counts what is answered; None when nobody does.
    """

    def __init__(
        self,
        server: CosmServer,
        paws: Upgrades | None = None,
        grafana: Grafana | None = None,
        relay: Answers | None = None,
        iobeam: IobeamServer | None = None,
        monitor: Monitor | None = None,
    ) -> None:
        self._server = server
        self._paws = paws
        self._grafana = grafana
        self._relay = relay
        self._iobeam = iobeam
        self._monitor = monitor
        self._pages = Pages()

    def respond(self, request: Request) -> Response | Deferred[Response]:
        """Answer a request."""
        return (
            self._answer(request)
            if self._monitor is None
            else self._monitor.requests.count(request, self._answer)
        )

    def _answer(self, request: Request) -> Response | Deferred[Response]:
        if request.path == "/healthz" and request.method in ("GET", "HEAD"):
            return _ALIVE
        if self._monitor is not None and (told := self._monitor.respond(request)) is not None:
            return told
        if self._grafana is not None and f"{request.path}/".startswith("/grafana/"):
            return self._grafana.respond(request)
        if self._relay is not None and request.path.startswith("/relay/"):
            return self._relay(request)
        if self._iobeam is not None and is_iobeam(request.path):
            return self._iobeam.respond(request)
        page = self._pages.respond(request)
        return self._server.respond(request) if page is None else page

    @property
    def upgrade(self) -> Upgrade | None:
        """What takes WebSockets over, or None."""
        return None if self._paws is None else self._paws.upgrade

    def refuse(self, status: int, reason: str, path: str) -> Response:
        """The answer to bytes that never became a request, in the words of whose path it is."""
        if self._monitor is not None:
            self._monitor.requests.refused(status)
        if self._iobeam is not None and is_iobeam(path):
            return self._iobeam.refuse(status, reason)
        return connection_refusal(status, reason)
