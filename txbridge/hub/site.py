"""What the hub's one HTTP port answers: the API, a page that says so, and a sign of life.

Everything that is not named here goes to the API's rules, which know how to say that there is no
such address in the words old clients expect.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ITransport

from txbridge.cosm.server import CosmServer, connection_refusal
from txbridge.net.http1 import Request, Response

__all__ = ["HubSite", "Upgrade", "Upgrades"]

Upgrade = Callable[[ITransport, Request, bytes], None]
"""Takes a connection over: its transport, the request, and the bytes read so far."""


class Upgrades(Protocol):
    """Who takes WebSockets over."""

    @property
    def upgrade(self) -> Upgrade:
        """Take a connection over."""


_LANDING = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>txbridge hub</title>
</head>
<body>
<h1>txbridge hub</h1>
<p>This is a hub for device data. It speaks the Cosm v2 API (Pachube, Cosm, Xively), stores the
history of every datastream, and pushes live updates.</p>
<ul>
<li>REST: <code>/v2/feeds</code>, with an API key in the header <code>X-ApiKey</code></li>
<li>Live updates: a WebSocket to any path here, one JSON request per message</li>
<li>Sign of life: <code>/healthz</code></li>
</ul>
</body>
</html>
"""

_PAGES = {
    "/": Response(
        200,
        (
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Security-Policy", "default-src 'none'; form-action 'none'; frame-ancestors 'none'"),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cache-Control", "no-cache"),
        ),
        _LANDING.encode(),
    ),
    "/healthz": Response(
        200, (("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store")), b"ok\n"
    ),
}


class HubSite:
    """Dispatches requests; its methods are what `txbridge.net.http_server.HttpServerFactory` takes.

    Args:
        server: The API's rules.
        paws: Takes WebSockets over; None when there are none.
    """

    def __init__(self, server: CosmServer, paws: Upgrades | None = None) -> None:
        self._server = server
        self._paws = paws

    def respond(self, request: Request) -> Response | Deferred[Response]:
        """Answer a request."""
        page = _PAGES.get(request.path)
        if page is not None and request.method in ("GET", "HEAD"):
            return page
        return self._server.respond(request)

    @property
    def upgrade(self) -> Upgrade | None:
        """What takes WebSockets over, or None."""
        return None if self._paws is None else self._paws.upgrade

    def refuse(self, status: int, reason: str) -> Response:
        """The answer to bytes that never became a request."""
        return connection_refusal(status, reason)
