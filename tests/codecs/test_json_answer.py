"""The JSON of an answer, member by member."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from txbridge.codecs.json_answer import json_object, json_objects, read_json
from txbridge.errors import DecodeError


def test_members_are_taken_with_their_types():
    found = json_object(
        read_json(
            b'{"t":"x","i":-3,"n":1,"f":true,"at":"2013-06-03T12:00:00Z","o":{"a":"b"},"l":[{"i":1}]}',
            "us",
            4,
        )
    )
    assert (found.text("t"), found.integer("i"), found.number("n"), found.flag("f")) == ("x", -3, 1.0, True)
    assert found.instant("at") == datetime(2013, 6, 3, 12, tzinfo=UTC)
    assert found.texts("o") == {"a": "b"}
    assert [one.integer("i") for one in found.items("l")] == [1]


def test_what_is_null_or_absent_has_its_default():
    found = json_object({"t": None})
    assert (found.maybe_text("t"), found.maybe_integer("i"), found.maybe_number("n")) == (None, None, None)
    assert (found.maybe_member("o"), found.texts("o"), list(found.maybe_items("l"))) == (None, {}, [])
    assert found.instant("at") is None
    assert found.flag("f", True) is True


@pytest.mark.parametrize(
    ("members", "take", "words"),
    [
        ({"a": 1}, lambda found: found.text("a"), "x.a: must be text, not a number"),
        ({"a": True}, lambda found: found.integer("a"), "x.a: must be an integer, not true or false"),
        ({"a": 1 << 63}, lambda found: found.integer("a"), "x.a: has more than 64 bits"),
        ({"a": 10**400}, lambda found: found.number("a"), "x.a: is too large"),
        ({"a": "noon"}, lambda found: found.instant("a"), "x.a: 'noon' is not an ISO 8601 date and time"),
        ({"a": [1]}, lambda found: list(found.items("a")), "x.a[0]: must be an object, not a number"),
        ({"a": {}}, lambda found: list(found.items("a")), "x.a: must be an array, not an object"),
    ],
)
def test_another_type_is_told_with_its_place(members, take, words):
    with pytest.raises(DecodeError) as caught:
        take(json_object(members, "x"))
    assert str(caught.value) == f"json at {words}"


def test_what_is_no_json_or_too_deep_is_refused():
    with pytest.raises(DecodeError, match="is no answer of a node"):
        read_json(b"<html>", "a node", 4)
    with pytest.raises(DecodeError, match="nested deeper than 2 levels"):
        read_json(b"[[[]]]", "a node", 2)
    with pytest.raises(DecodeError, match="must be an object, not null or absent"):
        list(json_objects([None], ""))
