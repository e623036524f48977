"""A refusal becomes the one error that names it."""

from __future__ import annotations

import pytest
from attrs import evolve

from txbridge import errors
from txbridge.net.operation import Answer, Operation, discreet, rejection

OPERATION = Operation(
    "read_feed", "GET", ("feeds", "7"), lambda answer: answer.body, explain=lambda answer: ("Title", "detail")
)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, errors.RequestRejected),
        (400, errors.RequestRejected),
        (401, errors.AuthError),
        (402, errors.Forbidden),
        (403, errors.Forbidden),
        (407, errors.Forbidden),
        (404, errors.NotFound),
        (408, errors.ServerFailed),
        (409, errors.Conflict),
        (413, errors.TooLarge),
        (422, errors.RequestRejected),
        (425, errors.ServerFailed),
        (429, errors.RateLimited),
        (500, errors.ServerFailed),
        (503, errors.ServerFailed),
    ],
)
def test_each_status_has_its_error(status: int, kind: type[errors.RequestRejected]) -> None:
    error = rejection(OPERATION, Answer(status))
    assert type(error) is kind
    assert (error.operation, error.status, error.title, error.detail) == (
        "read_feed",
        status,
        "Title",
        "detail",
    )


def test_a_403_that_speaks_of_a_rate_limit_can_be_retried() -> None:
    limited = Operation(
        "read_feed", "GET", ("feeds",), lambda answer: None, explain=lambda answer: ("", "Rate limit reached")
    )
    error = rejection(limited, Answer(403), retry_after=7.0)
    assert isinstance(error, errors.RateLimited)
    assert error.retry_after == 7.0
    assert error.advice is errors.Advice.RETRY


class Busy(errors.RequestRejected):
    """A platform's own class."""


class Away(errors.ServerFailed):
    """Another."""


def test_a_platform_may_choose_a_class_of_its_own_by_what_was_said() -> None:
    def refine(kind: type[errors.RequestRejected], detail: str) -> type[errors.RequestRejected]:
        return {"busy": Busy, "away": Away}.get(detail, kind)

    def refused(status: int, detail: str) -> errors.RequestRejected:
        operation = Operation(
            "x", "GET", ("a",), lambda answer: None, explain=lambda answer: ("", detail), refine=refine
        )
        return rejection(operation, Answer(status), retry_after=7.0)

    assert type(refused(400, "busy")) is Busy
    assert type(refused(404, "gone")) is errors.NotFound
    away = refused(503, "away")
    assert isinstance(away, Away)
    assert away.retry_after == 7.0


def test_the_body_and_headers_of_an_operation_do_not_show() -> None:
    operation = Operation(
        "x", "PUT", ("a",), lambda answer: None, headers={"X-ApiKey": "sesame"}, body=b"sesame"
    )
    assert "sesame" not in repr(operation)


def test_a_key_that_a_refusal_repeats_is_hidden() -> None:
    def explain(answer: Answer) -> tuple[str, str]:
        return "no such key", answer.body.decode()

    operation = discreet(evolve(OPERATION, explain=explain), ["sesame", "abc"])
    error = rejection(operation, Answer(401, body="sesame is none, says abc für sesame".encode()))
    assert error.detail == "*** is none, says abc für ***"


def test_neither_an_operation_nor_its_answer_shows_a_key() -> None:
    secret = "k7Qsecret"
    operation = Operation("read_key", "GET", ("keys", secret), lambda answer: None, query=(("key", secret),))
    answer = Answer(201, {"location": f"http://hub.test/v2/keys/{secret}"}, secret.encode())
    assert secret not in repr(operation) + repr(answer)
