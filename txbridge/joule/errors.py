"""What a Joule node says when it says no, as classes of ours and of Joule's own client at once.

::

    ApiError                        the node said no, or would: everything below with a star
    ├── InvalidArgument *           also EncodeError: it was not even sent
    │   └── InvalidRows             also PipeError: rows that the stream cannot hold
    ├── UnknownNode *               also ConfigError: the client's own files name no such node
    ├── Rejected *                  also RequestRejected: 400
    │   ├── StreamBusy              also Conflict: somebody else is writing to the stream
    │   ├── NotProduced             also SubscriptionError: no module produces the stream
    │   └── DataRefused             also DataError: the storage takes no such rows
    ├── KeyMissing *                also AuthError: 401, which a proxy in front of a node may say
    ├── KeyRefused *                also Forbidden: 403
    ├── ObjectNotFound *            also NotFound: 404
    │   └── StreamNotFound          of a data or an event stream
    ├── NameTaken *                 also Conflict: 409
    ├── RequestTooLarge *           also TooLarge: 413
    ├── TooManyRequests *           also RateLimited: 429
    ├── NodeFailed *                also ServerFailed: 5xx
    ├── SubscriptionError           there is nothing to subscribe to
    └── EmptyPipeError              also PipeError: there is nothing left to read
    PipeError                       a pipe was used in a way it cannot be; two are above
    DataError                       the node's storage failed; one is above
    └── DecimationError             the data asked for is not decimated enough

What goes wrong on the way (`ConnectError`, `ConnectionLost`, `TimedOut`, `DecodeError`, …) is no
answer of a node: those are the plain classes of `txbridge.errors`.  ``ConfigurationError`` is Joule's
name of `ConfigError`.

A refusal shows as Joule's own client shows it, ``stream does not exist [404]``; its attribute
``operation`` says what was asked.
"""

from __future__ import annotations

from txbridge.errors import (
    Advice,
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
    "ApiError",
    "ConfigurationError",
    "DataError",
    "DataRefused",
    "DecimationError",
    "EmptyPipeError",
    "InvalidArgument",
    "InvalidRows",
    "KeyMissing",
    "KeyRefused",
    "NameTaken",
    "NodeFailed",
    "NotProduced",
    "ObjectNotFound",
    "PipeError",
    "Rejected",
    "RequestTooLarge",
    "StreamBusy",
    "StreamNotFound",
    "SubscriptionError",
    "TooManyRequests",
    "UnknownNode",
    "refine",
]

ConfigurationError = ConfigError
"""Something was set up wrongly; Joule's name of it."""


class ApiError(BridgeError):
    """Whatever a call of the API was refused for, here or by the node."""


class PipeError(BridgeError):
    """A pipe was used in a way it cannot be."""


class EmptyPipeError(PipeError, ApiError):
    """There is nothing left to read from a pipe."""


class SubscriptionError(ApiError):
    """There is nothing to subscribe to."""


class DataError(BridgeError):
    """The node's storage failed, or takes no such data."""


class DecimationError(DataError):
    """The data asked for is not decimated enough."""


class InvalidArgument(EncodeError, ApiError):
    """An argument that the node would refuse, fail at or misunderstand; nothing was sent.

    Attributes:
        path: The argument, such as ``stream.elements[0].name``.
        reason: What is wrong with it.
    """

    def __init__(self, path: str, reason: str) -> None:
        # The format is fixed, and an exception is copied from its `args`.
        super().__init__("joule", path, reason)
        self.args = (path, reason)

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class InvalidRows(InvalidArgument, PipeError):
    """Rows that the stream cannot hold; none of them was sent."""


class UnknownNode(ConfigError, ApiError):
    """The client's own files name no such node, or none at all."""


class _Refusal(ApiError):
    """Shows a refusal as Joule's own client does."""

    operation: str
    status: int
    detail: str

    def __str__(self) -> str:
        return f"{self.detail or self.operation} [{self.status}]"


class Rejected(_Refusal, RequestRejected):
    """400, and any other status that has no class of its own."""


class StreamBusy(Rejected, Conflict):
    """Somebody else is writing to the stream; it is free again when they are done."""

    advice = Advice.RETRY


class NotProduced(Rejected, SubscriptionError):
    """No module produces the stream now, so it cannot be subscribed to."""

    advice = Advice.RETRY


class DataRefused(Rejected, DataError):
    """The storage takes no such rows: out of order, not a number, or there already."""


class KeyMissing(_Refusal, AuthError):
    """401: no node says this, a proxy in front of one may."""


class KeyRefused(_Refusal, Forbidden):
    """403: the key is missing, or the node does not know it."""


class ObjectNotFound(_Refusal, NotFound):
    """404: there is no such folder, module, proxy, annotation or route."""


class StreamNotFound(ObjectNotFound):
    """404: there is no such stream."""


class NameTaken(_Refusal, Conflict):
    """409."""


class RequestTooLarge(_Refusal, TooLarge):
    """413: a JSON request over 1 MiB."""


class TooManyRequests(_Refusal, RateLimited):
    """429: no node says this, a proxy in front of one may."""


class NodeFailed(_Refusal, ServerFailed):
    """5xx: the node failed, or what is in front of it."""


_REFINED: dict[type[RequestRejected], type[RequestRejected]] = {
    AuthError: KeyMissing,
    Forbidden: KeyRefused,
    NotFound: ObjectNotFound,
    Conflict: NameTaken,
    TooLarge: RequestTooLarge,
    RateLimited: TooManyRequests,
    ServerFailed: NodeFailed,
    RequestRejected: Rejected,
}


def refine(kind: type[RequestRejected], detail: str) -> type[RequestRejected]:
    """Choose the class of this platform for a refusal.

    Args:
        kind: What its status says.
        detail: What the node said.

    Source: Joule 1.0.1, ``constants.py`` and the controllers.
    """
    if kind is NotFound and detail == "stream does not exist":
        return StreamNotFound
    if kind is RequestRejected:
        if detail.endswith("is already being produced"):
            return StreamBusy
        if detail == "stream is not being produced":
            return NotProduced
        if detail.startswith(("duplicate key value", "Non-monotonic timestamps", "Invalid values (NaN)")):
            return DataRefused
    return _REFINED[kind]
