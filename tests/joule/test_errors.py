"""Each refusal is Joule's class and ours at once."""

from __future__ import annotations

import copy
import re
from importlib import import_module
from pkgutil import iter_modules

import pytest

from txbridge import errors as ours
from txbridge import joule
from txbridge.errors import Advice
from txbridge.joule import errors
from txbridge.joule.errors import refine
from txbridge.net.operation import Answer, Operation, rejection


def refused(status: int, detail: str) -> ours.RequestRejected:
    operation = Operation(
        "data_read", "GET", ("data",), lambda answer: None, explain=lambda answer: ("", detail), refine=refine
    )
    return rejection(operation, Answer(status), retry_after=7.0)


@pytest.mark.parametrize(
    ("status", "detail", "kind", "also", "advice"),
    [
        (400, "specify an id or a path", errors.Rejected, ours.RequestRejected, Advice.BURY),
        (400, "stream is not being produced", errors.NotProduced, errors.SubscriptionError, Advice.RETRY),
        (400, "DataStream [x] is already being produced", errors.StreamBusy, ours.Conflict, Advice.RETRY),
        (400, "Non-monotonic timestamps in new data", errors.DataRefused, errors.DataError, Advice.BURY),
        (400, "Invalid values (NaN) in new data", errors.DataRefused, errors.DataError, Advice.BURY),
        (
            400,
            'duplicate key value violates unique constraint "x"',
            errors.DataRefused,
            errors.DataError,
            Advice.BURY,
        ),
        (401, "", errors.KeyMissing, ours.AuthError, Advice.STOP),
        (403, "Forbidden", errors.KeyRefused, ours.Forbidden, Advice.STOP),
        (404, "folder does not exist", errors.ObjectNotFound, ours.NotFound, Advice.BURY),
        (404, "stream does not exist", errors.StreamNotFound, ours.NotFound, Advice.BURY),
        (405, "Method Not Allowed", errors.Rejected, ours.RequestRejected, Advice.BURY),
        (409, "", errors.NameTaken, ours.Conflict, Advice.BURY),
        (
            413,
            "Maximum request body size 1048576 exceeded.",
            errors.RequestTooLarge,
            ours.TooLarge,
            Advice.BURY,
        ),
        (429, "", errors.TooManyRequests, ours.RateLimited, Advice.RETRY),
        (500, "KeyError: 'x'", errors.NodeFailed, ours.ServerFailed, Advice.RETRY),
        (503, "", errors.NodeFailed, ours.ServerFailed, Advice.RETRY),
    ],
)
def test_a_refusal_is_of_both_trees(
    status: int, detail: str, kind: type[errors.ApiError], also: type[Exception], advice: Advice
) -> None:
    error = refused(status, detail)
    assert type(error) is kind
    assert isinstance(error, errors.ApiError)
    assert isinstance(error, also)
    assert (error.operation, error.status, error.detail, error.advice) == (
        "data_read",
        status,
        detail,
        advice,
    )


def test_a_refusal_shows_as_joules_own_client_shows_it() -> None:
    assert str(refused(404, "stream does not exist")) == "stream does not exist [404]"
    assert str(refused(502, "")) == "data_read [502]"


def test_what_says_when_to_come_back_keeps_it() -> None:
    for status in (429, 503):
        error = refused(status, "")
        assert isinstance(error, (ours.RateLimited, ours.ServerFailed))
        assert error.retry_after == 7.0


def test_every_class_of_a_status_has_one_of_joules() -> None:
    statuses = (ours.RequestRejected, *ours.RequestRejected.__subclasses__())
    for kind in (one for one in statuses if one.__module__ == ours.__name__):
        refined = refine(kind, "")
        assert issubclass(refined, kind)
        assert issubclass(refined, errors.ApiError)


def test_joules_own_tree_is_there() -> None:
    assert issubclass(errors.StreamNotFound, errors.ApiError)
    assert issubclass(errors.EmptyPipeError, errors.ApiError)
    assert issubclass(errors.EmptyPipeError, errors.PipeError)
    assert issubclass(errors.DecimationError, errors.DataError)
    assert errors.ConfigurationError is ours.ConfigError
    assert issubclass(errors.UnknownNode, ours.ConfigError)
    assert all(
        issubclass(getattr(errors, name), ours.BridgeError) for name in errors.__all__ if name[0].isupper()
    )


def test_an_invalid_argument_names_it_and_survives_copying() -> None:
    error = errors.InvalidArgument("stream.name", "must not be empty")
    for one in (error, copy.copy(error)):
        assert (str(one), one.path, one.reason) == (
            "stream.name: must not be empty",
            "stream.name",
            "must not be empty",
        )
    assert isinstance(error, ours.EncodeError)
    assert error.advice is Advice.BURY


def test_the_tree_that_is_drawn_has_every_class():
    """Wherever in the platform a class is, and whatever it is drawn below."""
    drawn = set(re.findall(r"^[ │├└─]{4,12}(\w+)", errors.__doc__ or "", re.MULTILINE))
    tree = [
        value
        for module in (
            errors,
            *(import_module(f"txbridge.joule.{one.name}") for one in iter_modules(joule.__path__)),
        )
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, ours.BridgeError)
    ]
    public = {kind.__name__ for kind in tree if kind.__module__.startswith("txbridge.joule")}
    assert {name for name in public if not name.startswith("_")} == drawn
