"""A service that answers over real HTTP what a test tells it to, and a token for it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from txbridge.net.http1 import Request, Response
from txbridge.net.http_server import HttpServerFactory
from txbridge.net.memory import MemoryNetwork

__all__ = ["FOREVER", "IobeamService", "error_answer", "json_answer", "make_token"]

FOREVER = 4_000_000_000
"""Seconds since 1970 that no test reaches."""


def make_token(expires: float | None = FOREVER, project_id: int = 7, mark: str = "a") -> str:
    """A project token; the mark makes two of them different."""
    payload = {"pid": project_id, "uid": 3, "pms": 7, "mark": mark}
    if expires is not None:
        payload["exp"] = int(expires)
    parts = [json.dumps(part).encode() for part in ({"typ": "JWT", "alg": "HS256", "kid": 10}, payload)]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in [*parts, b"s" * 32])


def json_answer(document: Any, status: int = 200) -> Response:
    """An answer with JSON."""
    return Response(status, (("Content-Type", "application/json"),), json.dumps(document).encode())


def error_answer(status: int, code: int = 0, message: str = "no") -> Response:
    """A refusal."""
    return json_answer({"errors": [{"code": code, "message": message, "details": message}]}, status)


class IobeamService:
    """Where requests arrive.

    Attributes:
        url: Its base.
        requests: What it was asked.
        answer: Gives the answer to a request.
    """

    def __init__(self, network: MemoryNetwork, host: str = "iobeam.test") -> None:
        self.url = f"http://{host}/v1/"
        self.requests: list[Request] = []
        self.answer: Callable[[Request], Response | Deferred[Response]] = lambda request: Response(200)
        network.listen(host, 80, HttpServerFactory(self._respond, clock=network.clock))

    def _respond(self, request: Request) -> Response | Deferred[Response]:
        self.requests.append(request)
        return self.answer(request)

    def asked(self) -> list[tuple[str, str]]:
        """Method and path of each request."""
        return [(request.method, request.path.removeprefix("/v1")) for request in self.requests]

    def tokens(self) -> list[str | None]:
        """The token of each request."""
        return [request.headers.get("authorization") for request in self.requests]

    def tables(self) -> list[dict[str, Any]]:
        """The sources of each import."""
        return [json.loads(one.body)["sources"] for one in self.requests if one.path == "/v1/imports"]
