"""Tables are read with all that is wrong, and shown again as they were read."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txbridge.daemon import tables
from txbridge.daemon.tables import REQUIRED, Key, Rate, Secret, TableReader, endpoint_problem, hint, one_of


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30.0),
        ("500ms", 0.5),
        ("1.5h", 5400.0),
        ("2 minutes", 120.0),
        ("5m", 300.0),
        ("14d", 14 * 86400.0),
        ("1 week", 7 * 86400.0),
        ("0s", 0.0),
    ],
)
def test_a_duration_has_a_unit(text, seconds):
    assert tables.DURATION.read(text) == seconds


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [
        ("1B", 1),
        ("10kB", 10_000),
        ("1KiB", 1024),
        ("1 GiB", 1 << 30),
        ("1.5mib", 3 << 19),
        ("2TB", 2 * 10**12),
    ],
)
def test_a_size_has_a_unit(text, nbytes):
    assert tables.SIZE.read(text) == nbytes


@pytest.mark.parametrize("kind", [tables.DURATION, tables.SIZE])
@pytest.mark.parametrize("number", [30, 1.5, 0])
def test_a_bare_number_is_refused_and_its_units_are_offered(kind, number):
    with pytest.raises(ValueError, match=rf'^{number} of what\? say "{number}'):
        kind.read(number)


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        (tables.DURATION, "10 fortnights", "'fortnights' is no unit of time"),
        (tables.DURATION, "1mn", "did you mean min"),
        (tables.DURATION, "soon", "an amount such as"),
        (tables.DURATION, True, "not true"),
        (tables.SIZE, "10 apples", "'apples' is no unit of size"),
        (tables.SIZE, "0B", "at least 1B"),
        (tables.RATE, "60/fortnight", "no unit of time"),
        (tables.RATE, "0/s", 'such as "60/min"'),
        (tables.RATE, 60, 'such as "60/min"'),
        (tables.TEXT, 7, "in quotes"),
        (tables.TEXT, " ", "printable"),
        (tables.TEXT, "a\nb", "printable"),
        (tables.TEXTS, "a", "a list of texts"),
        (tables.TEXTS, [], "a list of texts"),
        (tables.TEXTS, [1], "in quotes"),
        (tables.WHOLE, 0, "above 0"),
        (tables.WHOLE, True, "not true"),
        (tables.WHOLE, 1.5, "not 1.5"),
        (tables.NUMBER, float("nan"), "a number"),
        (tables.NUMBER, "1", "a number"),
        (tables.BOOLEAN, 1, "true or false"),
        (tables.ENDPOINT, "8080", "say tcp:8080"),
        (tables.ENDPOINT, "nonsense", "is no endpoint"),
        (tables.INSTANT, datetime(2026, 1, 1), "no time zone"),
        (tables.INSTANT, 5, "an instant such as"),
        (tables.INSTANT, "yesterday", "yesterday"),
        (tables.TABLE, [], "a table, and not a list"),
        (tables.TEXTS, [], "and there is none in it"),
        (tables.TABLES, {}, "not a table"),
        (tables.SECRET, {}, "in one of these ways"),
        (tables.SECRET, {"fiel": "x"}, "did you mean file"),
        (tables.SECRET, {"file": 1}, "in quotes"),
        (tables.SECRET, {"credential": "../x"}, "not the name of a credential"),
        (one_of("disk", "none"), "dsik", "did you mean disk"),
        (one_of("disk", "none"), ["disk"], "in quotes"),
    ],
)
def test_a_value_of_another_kind_is_refused_with_what_it_should_be(kind, value, words):
    with pytest.raises(ValueError, match=r".") as caught:
        kind.read(value)
    assert words in str(caught.value)


def test_a_secret_in_the_file_is_refused_without_being_shown():
    with pytest.raises(ValueError, match="does not stand in this file") as caught:
        tables.SECRET.read("opensesame")
    assert "opensesame" not in str(caught.value)


def test_a_secret_says_where_it_is():
    assert tables.SECRET.read({"env": "HUB_KEY"}) == Secret("env", "HUB_KEY")


def test_a_rate_is_per_second():
    assert tables.RATE.read("60/min") == Rate(60, 60)
    assert tables.RATE.read("90 / minute").per_second == 1.5


def test_instants_are_of_toml_or_text():
    noon = datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert tables.INSTANT.read(noon) == tables.INSTANT.read("2026-11-21T12:00:00Z") == noon


@given(st.floats(0, 1e9).map(lambda one: round(one, 3)) | st.sampled_from([60.0, 3600.0, 86400.0, 0.5]))
def test_a_duration_that_is_shown_reads_as_the_same(seconds):
    shown = tables.DURATION.show(seconds).strip('"')
    assert tables.DURATION.read(shown) == pytest.approx(seconds, rel=1e-12)


@given(st.integers(1, 1 << 50))
def test_a_size_that_is_shown_reads_as_the_same(nbytes):
    assert tables.SIZE.read(tables.SIZE.show(nbytes).strip('"')) == nbytes


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        (tables.TEXT, 'a "quoted" \\ text'),
        (tables.TEXTS, ["a", "b*"]),
        (tables.TEXTS_OR_TABLE, ["/a", "/b"]),
        (tables.TEXTS_OR_TABLE, {"/a": "one", "/b": "two"}),
        (tables.NAMES, {"a b": "one"}),
        (tables.NAMES, {}),
        (tables.RATE, "60/min"),
        (tables.SECRET, {"file": "hub key"}),
        (tables.BOOLEAN, True),
        (tables.WHOLE, 7),
        (tables.NUMBER, 0.25),
        (tables.INSTANT, "2026-11-21T12:00:00.000000Z"),
    ],
)
def test_what_is_shown_is_toml_of_the_same_value(kind, written):
    value = kind.read(written)
    assert kind.read(tomllib.loads(f"key = {kind.show(value)}")["key"]) == value


KEYS = (
    Key("every", tables.DURATION, "10s", "."),
    Key("feed", tables.WHOLE, REQUIRED, "."),
    Key("title", tables.TEXT, None, "."),
)


def test_a_table_has_its_defaults():
    reader = TableReader("f")
    assert reader.table("a.b", {"feed": 3}, KEYS) == {"every": 10.0, "feed": 3, "title": None}
    assert reader.text() == '[a.b]\nevery = "10s"\nfeed = 3\n'


def test_every_problem_names_the_file_and_the_key():
    reader = TableReader("relay.toml")
    assert reader.table("a", {"every": 3, "titel": "x", "b c": 1}, KEYS) is None
    assert reader.problems == [
        "relay.toml: a.titel: unknown; did you mean title?",
        'relay.toml: a."b c": unknown; known here: every, feed, title',
        'relay.toml: a.every: 3 of what? say "3s", "3min", "3h", …',
        "relay.toml: a.feed: missing; it is a whole number above 0",
    ]


def test_a_key_that_was_only_mistyped_is_told_once():
    reader = TableReader("f")
    reader.table("", {"feeed": 1}, KEYS)
    assert reader.problems == ["f: feeed: unknown; did you mean feed?"]


def test_nothing_near_tells_all_that_is_known():
    assert hint("zzz", ("one", "two")) == "known here: one, two"


@pytest.mark.parametrize("text", ["tcp:0", "unix:/run/x", "systemd:domain=INET:index=0"])
def test_what_looks_like_an_endpoint_is_none_of_our_problems(text):
    assert endpoint_problem(text) is None
