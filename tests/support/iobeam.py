"""A project on a hub for tests, and a device's way to it."""

from __future__ import annotations

import json
from typing import Any

from tests.support.hub import HOST, KEY, TestHub, document
from txbridge.net.http1 import Request, Response

__all__ = ["PROJECT", "Project", "error_of"]

PROJECT = 14436643675940
"""A number as the service gave them; it takes more than 32 bits."""


def error_of(response: Response) -> dict[str, Any]:
    """The error that clients read."""
    (error,) = document(response)["errors"]
    assert error["detailed_message"] == error["details"]
    found: dict[str, Any] = error
    return found


class Project:
    """A project of the keeper, and the token that requests carry.

    Attributes:
        hub: Where it is.
        token: The token's text; it may do everything.
    """

    def __init__(self, hub: TestHub) -> None:
        self.hub = hub
        self.token = ""

    async def make(self) -> None:
        """Make the project and its token."""
        body = {"project_name": "Greenhouse", "project_id": PROJECT}
        response = await self.ask("POST", "projects", body, token=KEY)
        assert response.status == 201, response
        self.token = await self.new_token(read="true", write="true", admin="true")

    async def new_token(self, **parameters: str) -> str:
        """Another token of the project."""
        query = "&".join(f"{name}={value}" for name, value in parameters.items())
        response = await self.ask("GET", f"tokens/project?project_id={PROJECT}&{query}", token=KEY)
        assert response.status == 200, response
        text: str = document(response)["token"]
        return text

    async def ask(
        self,
        method: str,
        target: str,
        body: Any = b"",
        *,
        token: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Response:
        """Send a request below ``/v1/``; a body that is no bytes is sent as JSON."""
        path, _, query = target.partition("?")
        carried = self.token if token is None else token
        sent = {
            "host": HOST,
            **({"authorization": f"Bearer {carried}"} if carried else {}),
            **(headers or {}),
        }
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.hub.iobeam.respond(Request(method, f"/v1/{path}", query, sent, raw, "127.0.0.1"))

    async def get(self, target: str, **options: Any) -> Response:
        """Send a GET."""
        return await self.ask("GET", target, **options)

    async def device(self, device_id: str = "pump-3", **members: Any) -> int:
        """Register a device.

        Returns:
            The number of its feed.
        """
        response = await self.ask(
            "POST", "devices", {"project_id": PROJECT, "device_id": device_id, **members}
        )
        assert response.status == 201, response
        feed_id: int = document(response)["feed_id"]
        return feed_id

    async def send(
        self, fields: list[str], rows: list[list[Any]], device_id: str = "pump-3", **members: Any
    ) -> Response:
        """Send a table."""
        body = {
            "project_id": PROJECT,
            "device_id": device_id,
            "timefmt": "usec",
            "sources": {"fields": ["time", *fields], "data": rows},
            **members,
        }
        return await self.ask("POST", "imports?fmt=table", body)

    async def points(self, series: str = "all", query: str = "timefmt=usec", device_id: str = "all") -> Any:
        """What an export gives: series -> pairs of time and value."""
        response = await self.get(f"exports/{PROJECT}/{device_id}/{series}?{query}")
        assert response.status == 200, response
        return {
            one["name"]: [(point["time"], point["value"]) for point in one["data"]]
            for one in document(response)["result"]
        }
