"""One remote verb as a value, and what runs it.

A platform's ``operations.py`` turns each verb into an `Operation`: what to ask and how to
read the answer.  A *carrier* takes operations somewhere: over HTTP, or over the PAWS
socket.  So no verb is written twice, and a client method is a sentence: build the operation,
run it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from attrs import evolve, field, frozen

from txbridge.errors import (
    AuthError,
    Conflict,
    Forbidden,
    NotFound,
    RateLimited,
    RequestRejected,
    ServerFailed,
    TooLarge,
)

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

__all__ = ["Answer", "Carrier", "Operation", "discreet", "rejection"]

LEAST_SECRET = 4  # characters; what is shorter hides nothing, and is part of too many words

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@frozen
class Answer:
    """What came back.

    Attributes:
        status: The HTTP status, or its equivalent.
        headers: Header name in lower case -> value.  Neither they nor the body are in the repr: the
            answer to who makes a key holds it.
        body: The whole body; ``b""`` when there was none.
    """

    status: int
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


@frozen
class Operation(Generic[T_co]):
    """What to ask a platform, and how to read its answer.

    Attributes:
        name: The verb, such as ``"read_feed"``; errors and logs carry it.
        method: ``"GET"``, ``"POST"``, ``"PUT"`` or ``"DELETE"``.
        path: Segments below the API's base, not yet percent-encoded.  Not in the repr: a key is read
            by itself.
        read: Turns an answer with a 2xx status into the result; raises `DecodeError` or
            `RemoteProtocolError`.  Any other status never reaches it: see `rejection`.
        query: Name and value pairs, not yet percent-encoded, in order.
        headers: Extra headers of the request.
        body: The body, or None for a request that has none.
        explain: Reads ``(title, detail)`` from the body of a refusal.
        refine: Chooses a platform's own class for a refusal, from the class that `rejection` has found
            and the detail; it must be a subclass of the former.
        patience: How many times the carrier's deadline it may take.
    """

    name: str
    method: str
    path: tuple[str, ...] = field(repr=False)
    read: Callable[[Answer], T_co] = field(repr=False)
    query: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    headers: Mapping[str, str] = field(factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    explain: Callable[[Answer], tuple[str, str]] = field(default=lambda answer: ("", ""), repr=False)
    refine: Callable[[type[RequestRejected], str], type[RequestRejected]] = field(
        default=lambda kind, detail: kind, repr=False
    )
    patience: float = 1.0


class Carrier(Protocol):
    """Takes operations to a platform and brings their results back."""

    def run(self, operation: Operation[T]) -> Deferred[T]:
        """Run one operation under one deadline.

        Raises:
            ConnectError: No connection could be made.
            ConnectionLost: It went while the operation was in flight.
            TimedOut: The whole exchange took longer than the carrier's deadline.
            RequestRejected: The platform refused; see `rejection` for the subclasses.
            RemoteProtocolError: The answer cannot be understood.
        """


def discreet(operation: Operation[T], secrets: Iterable[str]) -> Operation[T]:
    """The same operation; what it reads of a refusal does not repeat a key that was sent."""
    hidden = [secret for secret in secrets if len(secret) >= LEAST_SECRET]

    def hide(text: str) -> str:
        for secret in hidden:
            text = text.replace(secret, "***")
        return text

    def explain(answer: Answer) -> tuple[str, str]:
        # Before its words are cut short, and after they are unescaped.
        body = hide(answer.body.decode("latin-1")).encode("latin-1")
        title, detail = operation.explain(evolve(answer, body=body))
        return hide(title), hide(detail)

    return evolve(operation, explain=explain)


_BY_STATUS: Mapping[int, type[RequestRejected]] = {
    401: AuthError,
    402: Forbidden,
    403: Forbidden,
    404: NotFound,
    407: Forbidden,
    408: ServerFailed,
    409: Conflict,
    413: TooLarge,
    425: ServerFailed,
}


def rejection(
    operation: Operation[Any], answer: Answer, *, retry_after: float | None = None
) -> RequestRejected:
    """Turn an answer whose status is not 2xx into the one error that names it.

    Args:
        operation: What was asked.
        answer: The refusal.
        retry_after: The seconds of its ``Retry-After`` header, already read by the carrier
            (the header's date form needs a clock).
    """
    title, detail = operation.explain(answer)
    status = answer.status
    kind: type[RequestRejected]
    if status == 429 or (status == 403 and "rate limit" in detail.lower()):
        kind = RateLimited
    elif status >= 500:
        kind = ServerFailed
    else:
        kind = _BY_STATUS.get(status, RequestRejected)
    kind = operation.refine(kind, detail)
    if issubclass(kind, (RateLimited, ServerFailed)):
        return kind(operation.name, status, title, detail, retry_after=retry_after)
    return kind(operation.name, status, title, detail)
