"""Every exception txbridge raises on purpose, in one tree.

::

    BridgeError
    ├── ConfigError                     problems in what the operator wrote (all at once)
    ├── DecodeError                     a document that is not what its format says
    ├── EncodeError                     a structure that its format cannot carry
    ├── PlanRefused                     a route that would lose something nobody accepted
    ├── ConnectError                    no connection could be made
    ├── ConnectionLost                  the connection went while something was in flight
    ├── TimedOut                        the deadline of an operation passed
    ├── RemoteProtocolError             the peer broke its protocol
    ├── RequestRejected                 the peer answered, and the answer is no
    │   ├── AuthError                   401
    │   ├── Forbidden                   403; 402 and 407, which somebody has to settle too
    │   ├── NotFound                    404
    │   ├── Conflict                    409
    │   ├── TooLarge                    413
    │   ├── RateLimited                 429, or a 403 that speaks of a rate limit
    │   └── ServerFailed                5xx; 408 and 425, which speak of time and not of data
    ├── StoreError                      the hub's own storage failed
    │   └── Crowded                     or it did not, but too much waits for its turn
    ├── OutboxError                     the relay's own storage failed
    └── Closed                          the object was closed by its owner

`BridgeError.advice` says what someone who has to deliver something should do with it:
``RETRY`` the same thing later, ``BURY`` the item (it will never be accepted), or ``STOP``
until the operator changes something.  Foreign exceptions become these at the I/O seam in
``txbridge.net`` and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import ClassVar

__all__ = [
    "Advice",
    "AuthError",
    "BridgeError",
    "Closed",
    "ConfigError",
    "Conflict",
    "ConnectError",
    "ConnectionLost",
    "Crowded",
    "DecodeError",
    "EncodeError",
    "Forbidden",
    "NotFound",
    "OutboxError",
    "PlanRefused",
    "RateLimited",
    "RemoteProtocolError",
    "RequestRejected",
    "ServerFailed",
    "StoreError",
    "TimedOut",
    "TooLarge",
]


class Advice(Enum):
    """What a sender should do after an error."""

    RETRY = "retry"
    BURY = "bury"
    STOP = "stop"


class BridgeError(Exception):
    """The base of every error txbridge raises on purpose."""

    advice: ClassVar[Advice] = Advice.RETRY


class ConfigError(BridgeError):
    """What the operator wrote cannot be run; every problem is listed at once."""

    advice = Advice.STOP

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(tuple(problems))
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "; ".join(self.problems)


class DecodeError(BridgeError):
    """A document is not what its format says.

    Attributes:
        format: ``"json"``, ``"xml"``, ``"csv"`` or the name of another wire format.
        path: Where in the document, such as ``datastreams[3].current_value``; ``""`` for the whole.
        reason: What is wrong there, as a phrase.
        invalid: True when the document is well formed and its *content* breaks a rule of the
            data model (HTTP calls this 422), False when it cannot be read at all (400).
    """

    advice = Advice.BURY

    def __init__(self, format: str, path: str, reason: str, *, invalid: bool = False) -> None:
        super().__init__(format, path, reason)
        self.format = format
        self.path = path
        self.reason = reason
        self.invalid = invalid

    def __str__(self) -> str:
        where = f" at {self.path}" if self.path else ""
        return f"{self.format}{where}: {self.reason}"


class EncodeError(BridgeError):
    """A structure holds something its format cannot carry.

    Attributes:
        format: The wire format.
        path: Which member of the structure.
        reason: Why it cannot be written.
    """

    advice = Advice.BURY

    def __init__(self, format: str, path: str, reason: str) -> None:
        super().__init__(format, path, reason)
        self.format = format
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        where = f" at {self.path}" if self.path else ""
        return f"{self.format}{where}: {self.reason}"


class PlanRefused(BridgeError):
    """A route would lose something its policy does not accept.

    Attributes:
        losses: The names of the losses that were not accepted.
    """

    advice = Advice.STOP

    def __init__(self, losses: Sequence[str]) -> None:
        super().__init__(tuple(losses))
        self.losses = tuple(losses)

    def __str__(self) -> str:
        return "the route would lose, and nothing accepts it: " + "; ".join(self.losses)


class ConnectError(BridgeError):
    """No connection to a peer could be made.

    Attributes:
        peer: Whom we tried to reach, without credentials.
        reason: What the network, the resolver or TLS said.
    """

    def __init__(self, peer: str, reason: str) -> None:
        super().__init__(peer, reason)
        self.peer = peer
        self.reason = reason

    def __str__(self) -> str:
        return f"cannot connect to {self.peer}: {self.reason}"


class ConnectionLost(BridgeError):
    """The connection went away while something was in flight.

    Whether the peer acted on it is unknown.

    Attributes:
        operation: What was in flight.
        reason: What the transport said.
    """

    def __init__(self, operation: str, reason: str) -> None:
        super().__init__(operation, reason)
        self.operation = operation
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.operation}: connection lost: {self.reason}"


class TimedOut(BridgeError):
    """The deadline of an operation passed.

    Attributes:
        operation: What took too long.
        phase: What it was doing: ``"connect"``, ``"answer"``, ``"body"``.
        seconds: The deadline that passed.
    """

    def __init__(self, operation: str, phase: str, seconds: float) -> None:
        super().__init__(operation, phase, seconds)
        self.operation = operation
        self.phase = phase
        self.seconds = seconds

    def __str__(self) -> str:
        return f"{self.operation}: no {self.phase} within {self.seconds:g} s"


class RemoteProtocolError(BridgeError):
    """The peer sent something its protocol does not allow.

    Attributes:
        operation: What was being done, or ``""`` when nothing was asked.
        reason: What the peer did.
    """

    def __init__(self, operation: str, reason: str) -> None:
        super().__init__(operation, reason)
        self.operation = operation
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.operation}: {self.reason}" if self.operation else self.reason


class RequestRejected(BridgeError):
    """The peer answered, and the answer is no.

    Attributes:
        operation: The name of the operation, such as ``"read_feed"``.
        status: The HTTP status, or its equivalent on another wire.
        title: The peer's short name of the error, ``""`` when it gave none.
        detail: The peer's explanation; several sentences are joined with ``", "``.
    """

    advice = Advice.BURY

    def __init__(self, operation: str, status: int, title: str = "", detail: str = "") -> None:
        super().__init__(operation, status, title, detail)
        self.operation = operation
        self.status = status
        self.title = title
        self.detail = detail

    def __str__(self) -> str:
        words = ": ".join(word for word in (self.title, self.detail) if word)
        return f"{self.operation}: {self.status} {words}".rstrip()


class AuthError(RequestRejected):
    """401: the key is missing, unknown or expired."""

    advice = Advice.STOP


class Forbidden(RequestRejected):
    """403: the key may not do this; or 402 or 407."""

    advice = Advice.STOP


class NotFound(RequestRejected):
    """404: there is no such thing, or no such route."""


class Conflict(RequestRejected):
    """409: it is there already."""


class TooLarge(RequestRejected):
    """413: split it and try again."""


class RateLimited(RequestRejected):
    """429, or a 403 that speaks of a rate limit.

    Attributes:
        retry_after: Seconds the peer asked us to wait, or None.
    """

    advice = Advice.RETRY

    def __init__(
        self,
        operation: str,
        status: int,
        title: str = "",
        detail: str = "",
        *,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(operation, status, title, detail)
        self.retry_after = retry_after


class ServerFailed(RequestRejected):
    """5xx, 408 or 425: the peer failed; it may work later.

    Attributes:
        retry_after: Seconds the peer asked us to wait, or None.
    """

    advice = Advice.RETRY

    def __init__(
        self,
        operation: str,
        status: int,
        title: str = "",
        detail: str = "",
        *,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(operation, status, title, detail)
        self.retry_after = retry_after


class StoreError(BridgeError):
    """The hub's storage failed: the disk is full, the file is damaged, the database is away.

    Attributes:
        reason: What the storage said.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class Crowded(StoreError):
    """Too much of what costs the hub a lot, such as checking a password, waits for its turn."""


class OutboxError(BridgeError):
    """The relay's outbox could not take or give a batch.

    Attributes:
        reason: What happened.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class Closed(BridgeError):
    """The object was closed by its owner; nothing more will come from it.

    Attributes:
        what: The object that was closed.
    """

    advice = Advice.STOP

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"{self.what} is closed"
