"""What a relay answers to those who look after it, over HTTP.

``/metrics``
    For Prometheus.
``/healthz``
    The process answers.
``/readyz``
    200, or 503 with the reasons: a route that does not run, an end that needs attention or is away for
    too long, a disk that takes nothing.
``/status``
    Everything, as JSON; ``txbridge relay status`` and ``top`` show it.

The same is answered at a socket in the state directory, which is there without any configuration and for
its owner alone.
"""

from __future__ import annotations

from collections.abc import Callable

from txbridge.daemon.relay_report import RelayReport
from txbridge.daemon.render import json_text
from txbridge.net.exposition import CONTENT_TYPE, render_metrics
from txbridge.net.http1 import Request, Response

__all__ = ["AdminSite"]

_TEXT = (("Content-Type", "text/plain; charset=utf-8"),)
_JSON = (("Content-Type", "application/json"),)


class AdminSite:
    """Answers from what a relay says about itself.

    Args:
        report: How the relay is now.
    """

    def __init__(self, report: Callable[[], RelayReport]) -> None:
        self._report = report
        self._pages: dict[str, Callable[[], Response]] = {
            "/": self._index,
            "/healthz": lambda: Response(200, _TEXT, b"ok\n"),
            "/metrics": self._metrics,
            "/readyz": self._ready,
            "/status": lambda: Response(200, _JSON, json_text(report().to_json()).encode()),
        }

    def respond(self, request: Request) -> Response:
        """Answer a request."""
        page = self._pages.get(request.path)
        if page is None:
            return Response(404, _TEXT, b"there is no such page\n")
        if request.method not in ("GET", "HEAD"):
            return Response(405, (*_TEXT, ("Allow", "GET, HEAD")), b"this is only read\n")
        return page()

    def _index(self) -> Response:
        return Response(200, _TEXT, "".join(f"{path}\n" for path in self._pages if path != "/").encode())

    def _metrics(self) -> Response:
        headers = (("Content-Type", CONTENT_TYPE),)
        return Response(200, headers, render_metrics(self._report().metrics()).encode())

    def _ready(self) -> Response:
        reasons = self._report().reasons
        if not reasons:
            return Response(200, _TEXT, b"ready\n")
        return Response(503, _TEXT, "".join(f"{reason}\n" for reason in reasons).encode())
