"""Any name of a series becomes the id of a datastream, and comes back."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txbridge.iobeam.series import datastream_id, is_reserved, series_name


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cpu.load", "cpu.load"),
        ("flow (l/min)", "flow.20.28l.2fmin.29"),
        ("v.2e", "v.2e2e"),
        (".", "."),
        (".aé", ".a.c3.a9"),
        ("a+b", "a.2bb"),
        ("\n", ".0a"),
    ],
)
def test_a_name_is_escaped_where_an_id_may_not_have_it(name, expected):
    assert datastream_id(name) == expected
    assert series_name(expected) == name


@given(st.text(min_size=1))
def test_every_name_comes_back(name):
    escaped = datastream_id(name)
    assert re.fullmatch(r"[A-Za-z0-9_.-]+", escaped)
    assert series_name(escaped) == name


@given(st.text("abcdef0123456789.", min_size=1))
def test_names_that_look_like_escapes_come_back(name):
    assert series_name(datastream_id(name)) == name


@given(st.from_regex(r"[A-Za-z0-9_.+-]{1,30}", fullmatch=True))
def test_a_datastream_that_no_series_made_has_a_name_too(id):
    name = series_name(id)
    assert name == id or datastream_id(name) == id


@pytest.mark.parametrize("id", ["x.61", "x.ff", "a+b", "x.c3.28"])
def test_an_id_that_is_no_escaped_name_is_shown_as_it_is(id):
    assert series_name(id) == id


def test_the_names_that_mean_something_are_reserved_in_any_case():
    assert all(map(is_reserved, ("time", "TIME", "Time_Offset", "all", "ALL")))
    assert not is_reserved("timer")
