"""The error tree says what happened, what to do about it, and no secrets."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest

from txbridge import errors
from txbridge.errors import Advice, BridgeError

EXAMPLES = [
    (errors.ConfigError(["a is unknown", "b is missing"]), Advice.STOP, "a is unknown; b is missing"),
    (
        errors.DecodeError("json", "datastreams[3].at", "not an instant"),
        Advice.BURY,
        "json at datastreams[3].at: not an instant",
    ),
    (errors.DecodeError("csv", "", "empty"), Advice.BURY, "csv: empty"),
    (errors.EncodeError("xml", "title", "holds a NUL"), Advice.BURY, "xml at title: holds a NUL"),
    (
        errors.PlanRefused(["breaks dropped"]),
        Advice.STOP,
        "the route would lose, and nothing accepts it: breaks dropped",
    ),
    (errors.ConnectError("hub:80", "refused"), Advice.RETRY, "cannot connect to hub:80: refused"),
    (errors.ConnectionLost("read_feed", "reset"), Advice.RETRY, "read_feed: connection lost: reset"),
    (errors.TimedOut("read_feed", "body", 5.0), Advice.RETRY, "read_feed: no body within 5 s"),
    (errors.RemoteProtocolError("", "no token"), Advice.RETRY, "no token"),
    (
        errors.RequestRejected("x", 418, "Teapot", "short and stout"),
        Advice.BURY,
        "x: 418 Teapot: short and stout",
    ),
    (errors.AuthError("x", 401), Advice.STOP, "x: 401"),
    (errors.Forbidden("x", 403), Advice.STOP, "x: 403"),
    (errors.NotFound("x", 404), Advice.BURY, "x: 404"),
    (errors.Conflict("x", 409), Advice.BURY, "x: 409"),
    (errors.TooLarge("x", 413), Advice.BURY, "x: 413"),
    (errors.RateLimited("x", 429, retry_after=3.0), Advice.RETRY, "x: 429"),
    (errors.ServerFailed("x", 503), Advice.RETRY, "x: 503"),
    (errors.StoreError("the disk is full"), Advice.RETRY, "the disk is full"),
    (errors.Crowded("too many wait"), Advice.RETRY, "too many wait"),
    (errors.OutboxError("full"), Advice.RETRY, "full"),
    (errors.Closed("the client"), Advice.STOP, "the client is closed"),
]


@pytest.mark.parametrize(("error", "advice", "text"), EXAMPLES, ids=lambda value: type(value).__name__)
def test_each_error_has_its_advice_and_reads_as_a_sentence(
    error: BridgeError, advice: Advice, text: str
) -> None:
    assert error.advice is advice
    assert str(error) == text


@pytest.mark.parametrize("error", [error for error, _, _ in EXAMPLES], ids=lambda error: type(error).__name__)
def test_each_error_is_copied_and_pickled_whole(error: BridgeError) -> None:
    for same in (copy.copy(error), pickle.loads(pickle.dumps(error))):  # noqa: S301  # our own bytes
        assert type(same) is type(error)
        assert vars(same) == vars(error)
        assert str(same) == str(error)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    classes = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, BridgeError)
    }
    assert classes == set(errors.__all__) - {"Advice"}
    assert all(name in (errors.__doc__ or "") for name in classes)
    assert {type(error).__name__ for error, _, _ in EXAMPLES} == classes - {"BridgeError"}
