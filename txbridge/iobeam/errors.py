"""What an iobeam service says when it says no, as classes of ours and of iobeam's own client at once.

::

    Error                           the service said no: everything below with a star
    ├── DuplicateIdError *          also Conflict: another device has the id; code 150
    └── UnknownCodeError *          also RequestRejected: any other refusal
        ├── DuplicateNameError *    also Conflict: another device has the name; code 151
        ├── TokenRefused *          also AuthError: 401
        ├── NoSuchThing *           also NotFound: 404
        ├── Taken *                 also Conflict: 409
        ├── RequestTooLarge *       also TooLarge: 413
        ├── TooManyRequests *       also RateLimited: 429
        └── ServiceFailed *         also ServerFailed: 5xx
    UnauthorizedError               403, also Forbidden; no Error, as in iobeam's own client
    BadArgument                     also EncodeError and ValueError: it was not even sent
    NoDeviceId                      also ConfigError: there is no device to send for

A refusal has what the service's first error has: ``code``, ``message`` and ``details``; and
``status`` and ``operation``.  What goes wrong on the way (`ConnectError`, `ConnectionLost`, `TimedOut`,
`DecodeError`, …) is no answer of a service: those are the plain classes of `txbridge.errors`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from txbridge.errors import (
    AuthError,
    BridgeError,
    ConfigError,
    Conflict,
    EncodeError,
    Forbidden,
    NotFound,
    RateLimited,
    RequestRejected,
    ServerFailed,
    TooLarge,
)

__all__ = [
    "DuplicateIdError",
    "Error",
    "BadArgument",
    "DuplicateNameError",
    "NoDeviceId",
    "NoSuchThing",
    "RequestTooLarge",
    "ServiceFailed",
    "Taken",
    "TokenRefused",
    "TooManyRequests",
    "UnauthorizedError",
    "UnknownCodeError",
    "detail_text",
    "refine",
]

NOT_FOUND = 32
DUPLICATE_ID = 150
DUPLICATE_NAME = 151

_DETAIL = re.compile(r"code (-?[0-9]{1,9})(?:: (.*))?", re.DOTALL)


def detail_text(code: int | None, details: str) -> str:
    """A refusal's code and details in one text, as `RequestRejected.detail` has it."""
    if code is None:
        return details
    return f"code {code}: {details}" if details else f"code {code}"


def _code_of(detail: str) -> int | None:
    found = _DETAIL.fullmatch(detail)
    return None if found is None else int(found[1])


class _Refusal(BridgeError):
    """Takes the service's first error apart."""

    title: str
    detail: str

    @property
    def code(self) -> int | None:
        """The service's number of what is wrong; None when it gave none."""
        return _code_of(self.detail)

    @property
    def message(self) -> str:
        """What the service said."""
        return self.title

    @property
    def details(self) -> str:
        """The longer text."""
        found = _DETAIL.fullmatch(self.detail)
        return self.detail if found is None else found[2] or ""


class Error(_Refusal):
    """The service said no; iobeam's own name of it."""


class DuplicateIdError(Error, Conflict):
    """Another device of the project has the id."""


class UnknownCodeError(Error, RequestRejected):
    """Any other status than the one that was wanted."""


class DuplicateNameError(UnknownCodeError, Conflict):
    """Another device of the project has the name."""


class TokenRefused(UnknownCodeError, AuthError):
    """401: the token is not known, or has expired."""


class NoSuchThing(UnknownCodeError, NotFound):
    """404: there is no such device or project."""


class Taken(UnknownCodeError, Conflict):
    """409."""


class RequestTooLarge(UnknownCodeError, TooLarge):
    """413."""


class TooManyRequests(UnknownCodeError, RateLimited):
    """429."""


class ServiceFailed(UnknownCodeError, ServerFailed):
    """5xx: the service failed, or what is in front of it."""


class UnauthorizedError(_Refusal, Forbidden):
    """403: the token may not do this."""


class BadArgument(EncodeError, ValueError):
    """An argument that cannot be sent; nothing was.

    Attributes:
        path: The argument, or the column.
        reason: What is wrong with it.
    """

    def __init__(self, path: str, reason: str) -> None:
        # The format is fixed, and an exception is copied from its `args`.
        super().__init__("iobeam", path, reason)
        self.args = (path, reason)

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class NoDeviceId(ConfigError):
    """There is no device to send for: register it, or set its id."""

    def __init__(self) -> None:
        super().__init__(["there is no device id: register the device, or set the id that it has"])
        self.args = ()


_REFINED: Mapping[type[RequestRejected], type[RequestRejected]] = {
    AuthError: TokenRefused,
    Forbidden: UnauthorizedError,
    NotFound: NoSuchThing,
    Conflict: Taken,
    TooLarge: RequestTooLarge,
    RateLimited: TooManyRequests,
    ServerFailed: ServiceFailed,
    RequestRejected: UnknownCodeError,
}


def refine(kind: type[RequestRejected], detail: str) -> type[RequestRejected]:
    """Choose the class of this platform for a refusal.

    Args:
        kind: What its status says.
        detail: As `detail_text` has it.
    """
    if kind in (RequestRejected, Conflict):
        code = _code_of(detail)
        if code == DUPLICATE_ID:
            return DuplicateIdError
        if code == DUPLICATE_NAME:
            return DuplicateNameError
    return _REFINED[kind]
