"""A request that found its route, and how it is answered.

Source: iobeam's clients; see `txbridge.iobeam.server`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from attrs import frozen
from twisted.internet.defer import Deferred

from txbridge.iobeam.imports import read_object, take_number
from txbridge.iobeam.refusal import bad_request, unauthorized
from txbridge.net.http1 import Request, Response

__all__ = ["DONE", "JSON", "Call", "Verb", "answer", "parse_parameters", "service_time"]

JSON = (("Content-Type", "application/json"),)

DONE = Response(204, JSON)
"""Something is gone, or is as it was."""

MAX_PARAMETERS = 100


@frozen
class Call:
    """A request that found its route.

    Attributes:
        request: As it came.
        names: The decoded segments of its path after the first.
        parameters: The query; of several with one name the last counts.
        now: When it came.
    """

    request: Request
    names: tuple[str, ...]
    parameters: Mapping[str, str]
    now: datetime

    @property
    def bearer(self) -> str:
        """The token that came with it.

        Raises:
            Refusal: 401, there is none.
        """
        scheme, _, text = self.request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not text.strip():
            raise unauthorized()
        return text.strip()

    def document(self) -> dict[str, Any]:
        """The object in the body.

        Raises:
            Refusal: 400, it is none; 413, it is too large.
        """
        return read_object(self.request.body)

    def number(self, name: str) -> int | None:
        """A parameter that is a number of something.

        Raises:
            Refusal: 400, it is something else.
        """
        text = self.parameters.get(name)
        return None if not text else take_number({name: text}, name)

    def flag(self, name: str) -> bool | None:
        """A parameter that is true or false, in any case: clients write both ``True`` and ``true``.

        Raises:
            Refusal: 400, it is something else.
        """
        text = self.parameters.get(name, "").strip().lower()
        if text in ("true", "1"):
            return True
        if text in ("false", "0"):
            return False
        if text:
            raise bad_request(name, "must be true or false")
        return None


Verb = Callable[[Call], Coroutine[Deferred[Any], Any, Response]]
"""Answers a request."""


def parse_parameters(query: str) -> dict[str, str]:
    """The parameters of a query.

    Raises:
        Refusal: 400, there are more than any request has.
    """
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_PARAMETERS, errors="replace")
    except ValueError:
        raise bad_request("the query", f"has more than {MAX_PARAMETERS} parameters") from None
    return dict(pairs)


def answer(document: Mapping[str, Any], status: int = 200) -> Response:
    """A document as an answer."""
    return Response(status, JSON, json.dumps(document, separators=(",", ":")).encode())


def service_time(at: datetime) -> str:
    """An instant as the service wrote it; the Go client reads nothing else."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} +0000"
