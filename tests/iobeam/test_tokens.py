"""The texts of project tokens, as clients look at them."""

from __future__ import annotations

import base64
import json
from datetime import timedelta

import pytest

from txbridge.iobeam.tokens import is_token_text, mint, parse_duration, project_of, user_number


def made(**members):
    return mint(
        **{
            "project_id": 14436643675940,
            "user": 5,
            "expires": 1_450_000_000,
            "read": True,
            "write": True,
            "admin": False,
            "signature": b"\xfb" * 32,
            **members,
        }
    )


def part(text, number):
    piece = text.split(".")[number]
    assert "=" not in piece
    return base64.urlsafe_b64decode(piece + "=" * (-len(piece) % 4))


def test_a_token_has_what_clients_read_and_no_key_number_that_newer_readers_refuse():
    text = made()
    assert json.loads(part(text, 0)) == {"alg": "HS256", "typ": "JWT"}
    assert json.loads(part(text, 1)) == {"uid": 5, "pid": 14436643675940, "exp": 1_450_000_000, "pms": 3}
    assert part(text, 2) == b"\xfb" * 32
    assert is_token_text(text)


def test_all_permissions_are_seven():
    assert json.loads(part(made(admin=True), 1))["pms"] == 7


def test_the_project_is_read_from_old_alphabets_and_paddings_too():
    assert project_of(made()) == 14436643675940
    payload = base64.b64encode(b'{"pid": 7, "x": "\xc3\xbf?\xc3\xbf?>"}').decode()
    assert {"+", "/"} & set(payload)
    assert payload.endswith("=")
    assert project_of(f"e30=.{payload}.c2ln") == 7


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a.b.c",
        "e30.e30.x",
        "e30.WzFd.x",
        "..",
        "e30.eyJwaWQiOiI3In0.x",
        "e30.eyJwaWQiOnRydWV9.x",
        "é.é.é",
    ],
)
def test_what_says_no_project_is_none(text):
    assert project_of(text) is None


@pytest.mark.parametrize("text", ["", "short.short.short", "x" * 4097, "a b" * 20, "é" * 40, "a\n" * 20])
def test_what_can_be_no_token_is_refused(text):
    assert not is_token_text(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1w", timedelta(weeks=1)),
        ("30d", timedelta(days=30)),
        ("2h", timedelta(hours=2)),
        ("5m", timedelta(minutes=5)),
        ("10s", timedelta(seconds=10)),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text, expected):
    assert parse_duration(text) == expected


@pytest.mark.parametrize("text", ["", "1", "d", "0d", "-1d", "1.5d", "1y", "1 d", "99999999999w", "1d1h"])
def test_another_duration_is_refused(text):
    with pytest.raises(ValueError, match="a number and one of"):
        parse_duration(text)


def test_an_account_has_a_number_that_stays():
    assert user_number("keeper") == user_number("keeper") != user_number("stranger")
    assert 0 < user_number("") < 2**31
