"""Passwords: hashed, checked, remembered for as long as the process lives."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred, maybeDeferred

from tests.support.deferreds import result_of
from txbridge.errors import StoreError
from txbridge.hub.passwords import LONGEST_PASSWORD, Passwords, hash_password, is_password

HASHED = hash_password("open sesame", b"0123456789abcdef")


def test_a_hash_is_that_of_the_standard():
    # RFC 7914 has no vector for these parameters; this one is from `openssl kdf … SCRYPT`.
    assert HASHED.startswith("$scrypt$ln=14,r=8,p=1$MDEyMzQ1Njc4OWFiY2RlZg==$")
    assert "sesame" not in HASHED


@pytest.mark.parametrize(
    ("password", "hashed", "expected"),
    [
        ("open sesame", HASHED, True),
        ("open sesame ", HASHED, False),
        ("", HASHED, False),
        ("open sesame", "", False),
        ("open sesame", "$scrypt$ln=14,r=8,p=1$!!$!!", False),
        ("open sesame", "$argon2$whatever", False),
        ("\udcff", HASHED, False),
    ],
)
def test_only_the_password_is_right(password, hashed, expected):
    assert is_password(password, hashed) is expected


class Calls:
    """Runs at once, and counts."""

    def __init__(self) -> None:
        self.count = 0

    def run(self, work):
        self.count += 1
        return maybeDeferred(work)


def test_a_right_password_costs_once_and_a_wrong_one_every_time():
    calls = Calls()
    passwords = Passwords(calls.run)
    for _ in range(3):
        assert result_of(passwords.check("open sesame", HASHED)) is True
    assert calls.count == 1
    for _ in range(3):
        assert result_of(passwords.check("open barley", HASHED)) is False
    assert calls.count == 4


def test_an_account_that_does_not_exist_costs_as_much():
    calls = Calls()
    passwords = Passwords(calls.run)
    assert result_of(passwords.check("", None)) is False
    assert result_of(passwords.check("open sesame", None)) is False
    assert calls.count == 2


def test_a_password_that_is_too_long_is_not_even_tried():
    calls = Calls()
    assert result_of(Passwords(calls.run).check("x" * (LONGEST_PASSWORD + 1), HASHED)) is False
    assert calls.count == 0


def test_two_hashes_of_one_password_differ():
    passwords = Passwords(maybeDeferred)
    first, second = result_of(passwords.hash("open sesame")), result_of(passwords.hash("open sesame"))
    assert first != second
    assert is_password("open sesame", first)
    assert is_password("open sesame", second)


def test_they_are_checked_one_at_a_time_and_only_so_many_wait():
    passwords = Passwords(lambda work: Deferred())
    waiting = [passwords.check(f"guess {number}", HASHED) for number in range(51)]
    one_more = passwords.check("guess", HASHED)
    with pytest.raises(StoreError, match="too many"):
        result_of(one_more)
    for one in waiting:
        assert not one.called
        one.addErrback(lambda _: None)
        one.cancel()
