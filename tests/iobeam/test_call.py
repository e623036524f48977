"""A request that found its route."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from txbridge.iobeam.call import Call, parse_parameters, service_time
from txbridge.iobeam.refusal import Refusal
from txbridge.net.http1 import Request

NOW = datetime(2016, 1, 2, 3, 4, 5, tzinfo=UTC)


def call(query="", **headers):
    return Call(Request("GET", "/v1/devices", query, headers), (), parse_parameters(query), NOW)


@pytest.mark.parametrize("value", ["Bearer abc", "bearer abc", "BEARER   abc "])
def test_a_token_comes_as_a_bearer(value):
    assert call(authorization=value).bearer == "abc"


@pytest.mark.parametrize("value", ["", "abc", "Bearer", "Bearer ", "Basic abc"])
def test_another_authorization_is_none(value):
    with pytest.raises(Refusal) as refusal:
        _ = call(authorization=value).bearer
    assert refusal.value.status == 401


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("True", True),
        ("true", True),
        ("1", True),
        ("False", False),
        ("false", False),
        ("0", False),
        ("", None),
    ],
)
def test_booleans_come_as_python_and_as_go_write_them(text, expected):
    assert call(f"read={text}").flag("read") is expected


def test_another_boolean_is_refused():
    with pytest.raises(Refusal, match="read must be true or false"):
        call("read=maybe").flag("read")


def test_a_parameter_that_is_a_number_is_read_or_refused():
    assert call("project_id=14436643675940").number("project_id") == 14436643675940
    assert call("").number("project_id") is None
    for text in ("x", "-1", "0", "1.5", "9" * 30):
        with pytest.raises(Refusal, match="project_id must be"):
            call(f"project_id={text}").number("project_id")


def test_a_flood_of_parameters_is_refused():
    with pytest.raises(Refusal, match="more than 100 parameters"):
        parse_parameters("a=1&" * 101)


def test_instants_are_written_as_the_go_client_reads_them():
    assert service_time(NOW) == "2016-01-02 03:04:05 +0000"
