"""Numbers in value texts: what is one, and how a computed one is written."""

from __future__ import annotations

import timeit
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txbridge.model.numbers import is_number_text, number_text, parse_number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", "0"),
        ("21.50", "21.5"),
        ("-3", "-3"),
        ("+.5", "0.5"),
        ("5.", "5"),
        (" 7\n", "7"),
        ("1e3", "1000"),
        ("1E-3", "0.001"),
        ("007", "7"),
        ("0e9999", "0"),
        ("9" * 255, "9" * 255),
    ],
)
def test_a_decimal_number_is_one(text, number):
    assert parse_number(text) == Decimal(number)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "on",
        "NaN",
        "Infinity",
        "-inf",
        "1_000",
        "0x10",
        "1,5",
        "1e",
        "e3",
        ".",
        "--1",
        "1 2",
        "٣",
        "½",
    ],
)
def test_everything_else_is_text(text):
    assert parse_number(text) is None


def test_text_that_begins_as_a_number_takes_no_longer_than_one():
    """A search that tries every way to part the digits takes hundreds of times as long."""

    def cost(text):
        return min(timeit.repeat(lambda: parse_number(text), number=20, repeat=5))

    assert cost("9" * 254 + "x") < 20 * cost("9" * 255)


@pytest.mark.parametrize("text", ["1e401", "1e-401", "1e9999", "1e99999", "9" * 256, "1" + "0" * 10**6])
def test_a_number_of_absurd_size_is_text(text):
    """Writing it out would take more room than anybody has."""
    assert parse_number(text) is None


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("658", "658.0"),
        ("658.00", "658.0"),
        ("21.50", "21.5"),
        ("-0", "0.0"),
        ("0.000", "0.0"),
        ("-3.25", "-3.25"),
        ("1e3", "1000.0"),
        ("0.000001", "0.000001"),
        ("0.00000012", "1.2e-7"),
        ("123456789012345678901", "123456789012345678901.0"),
        ("1234567890123456789012", "1.234567890123456789012e+21"),
        ("-1e300", "-1.0e+300"),
    ],
)
def test_a_computed_number_is_written_plainly(number, text):
    assert number_text(Decimal(number)) == text


@given(st.decimals(allow_nan=False, allow_infinity=False).map(str))
def test_what_is_written_is_the_number_that_was_read(text):
    number = parse_number(text)
    if number is not None:
        written = number_text(number)
        assert parse_number(written) == number
        assert "." in written
        assert number_text(Decimal(written)) == written


@pytest.mark.parametrize(
    "text", ["9" * 255, "-" + "9" * 254, "." + "0" * 253 + "1", "9" * 252 + "e99", "1e-400", "0"]
)
def test_what_is_written_of_the_longest_numbers_is_known_as_such(text):
    assert is_number_text(number_text(parse_number(text)))


@pytest.mark.parametrize("text", ["", "high", "NaN", "1\n", "9" * 263])
def test_what_is_never_written_of_a_number_is_known_as_such(text):
    assert not is_number_text(text)
