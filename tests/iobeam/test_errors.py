"""Refusals are errors of ours and of iobeam's own client at once."""

from __future__ import annotations

import copy

import pytest

from txbridge import errors as ours
from txbridge.iobeam import codec
from txbridge.iobeam.errors import (
    BadArgument,
    DuplicateIdError,
    DuplicateNameError,
    Error,
    NoDeviceId,
    ServiceFailed,
    TokenRefused,
    TooManyRequests,
    UnauthorizedError,
    UnknownCodeError,
)
from txbridge.iobeam.operations import register_device
from txbridge.net.operation import Answer, rejection


def refusal(status, code=None, message="", details=""):
    first = {"code": code, "message": message, "detailed_message": details}
    body = codec.write_json({"errors": [first]})
    return rejection(register_device(7), Answer(status, body=body))


@pytest.mark.parametrize(
    ("status", "code", "seed", "of_the_tree"),
    [
        (422, 150, DuplicateIdError, ours.Conflict),
        (409, 150, DuplicateIdError, ours.Conflict),
        (422, 151, DuplicateNameError, ours.Conflict),
        (400, 1, UnknownCodeError, ours.RequestRejected),
        (401, None, TokenRefused, ours.AuthError),
        (403, 150, UnauthorizedError, ours.Forbidden),
        (404, 32, UnknownCodeError, ours.NotFound),
        (409, 33, UnknownCodeError, ours.Conflict),
        (413, None, UnknownCodeError, ours.TooLarge),
        (429, None, TooManyRequests, ours.RateLimited),
        (503, 150, ServiceFailed, ours.ServerFailed),
    ],
)
def test_a_status_and_a_code_give_the_class_of_both_trees(status, code, seed, of_the_tree):
    error = refusal(status, code)
    assert isinstance(error, seed)
    assert isinstance(error, of_the_tree)
    assert isinstance(error, Error) is (seed is not UnauthorizedError)
    assert (error.status, error.code) == (status, code)


def test_an_error_has_the_services_code_message_and_details():
    error = refusal(422, 150, "device id in use", "there is one: p-1")
    assert (error.code, error.message, error.details) == (150, "device id in use", "there is one: p-1")
    assert str(error) == "register_device: 422 device id in use: code 150: there is one: p-1"


def test_an_error_without_words_says_what_it_can():
    error = rejection(register_device(7), Answer(502, body=b"<html>Bad gateway"))
    assert (error.code, error.message, error.details) == (None, "", "")
    assert str(error) == "register_device: 502"


@pytest.mark.parametrize("error", [refusal(422, 150, "a", "b"), BadArgument("a", "b"), NoDeviceId()])
def test_errors_can_be_copied(error):
    same = copy.copy(error)
    assert (type(same), str(same)) == (type(error), str(error))


def test_a_bad_argument_is_a_value_error_as_in_iobeams_own_client():
    error = BadArgument("flow", "nan is not a number that can be sent")
    assert isinstance(error, ValueError)
    assert isinstance(error, ours.EncodeError)
    assert str(error) == "flow: nan is not a number that can be sent"
