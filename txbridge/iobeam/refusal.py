"""What the server says when it says no, in the form that iobeam's clients read.

They read the first error's ``code`` and ``message``, and a longer text under one of two names.  Where the
service had a code of its own it is given; else it is the status.

Source: the error classes of iobeam's Python, Java and Go clients.
"""

from __future__ import annotations

import json

from txbridge.model.instants import shorten

__all__ = [
    "DEVICE_ID_TAKEN",
    "DEVICE_NAME_TAKEN",
    "NOT_FOUND",
    "TAKEN",
    "Refusal",
    "bad_request",
    "error_body",
    "forbidden",
    "not_found",
    "too_large",
    "unauthorized",
    "unavailable",
]

NOT_FOUND = 32
TAKEN = 33
DEVICE_ID_TAKEN = 150
DEVICE_NAME_TAKEN = 151

_LONGEST = 500  # characters of a sentence: a name that was sent comes back in it


class Refusal(Exception):
    """A request that is answered with an error.

    Attributes:
        status: The HTTP status.
        message: A sentence.
        code: The service's number of what is wrong.
        headers: What the answer has besides.
    """

    def __init__(
        self, status: int, message: str, *, code: int | None = None, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = status if code is None else code
        self.headers = headers


def bad_request(where: str, reason: str) -> Refusal:
    """400: what stands there cannot be used."""
    return Refusal(400, f"{where} {reason}")


def unauthorized(scheme: str = "Bearer") -> Refusal:
    """401: no token, or one that is unknown, expired or revoked."""
    challenge = ("WWW-Authenticate", f'{scheme} realm="iobeam"')
    return Refusal(401, "a valid token is needed, and there is none", headers=(challenge,))


def forbidden(reason: str) -> Refusal:
    """403: the token is good, and not for this."""
    return Refusal(403, reason)


def not_found(what: str) -> Refusal:
    """404: there is no such thing."""
    return Refusal(404, f"there is no such {what}", code=NOT_FOUND)


def too_large(reason: str) -> Refusal:
    """413: less at once would do."""
    return Refusal(413, reason)


def unavailable(reason: str) -> Refusal:
    """503: the same a little later may do."""
    return Refusal(503, f"{reason}, please try again later", headers=(("Retry-After", "5"),))


def error_body(refusal: Refusal) -> bytes:
    """The JSON of a refusal."""
    message = shorten(refusal.message, _LONGEST)
    error = {"code": refusal.code, "message": message, "detailed_message": message, "details": message}
    return json.dumps({"errors": [error]}, separators=(",", ":")).encode()
