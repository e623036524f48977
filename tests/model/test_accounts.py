"""Triggers, keys and users."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from txbridge.model.accounts import (
    Key,
    KeyList,
    Permission,
    Resource,
    Trigger,
    User,
    UserList,
    as_flag,
    as_integer,
)

SECRET = "k7Qsecret"


@pytest.mark.parametrize(
    ("value", "flag"),
    [
        ("true", True),
        ("True", True),
        (" FALSE ", False),
        ("1", True),
        (1, True),
        (0, False),
        (False, False),
        (None, None),
    ],
)
def test_a_flag_is_read_in_any_spelling(value, flag):
    assert as_flag(value) is flag


@pytest.mark.parametrize("value", ["", "yes", "2", 2, "truee", "x" * 5000])
def test_what_is_neither_true_nor_false_is_refused(value):
    with pytest.raises(ValueError, match="neither true nor false") as caught:
        as_flag(value)
    assert len(str(caught.value)) < 120


@pytest.mark.parametrize(("value", "number"), [(7, 7), ("7", 7), (" -7 ", -7), (0, 0), (None, None)])
def test_a_whole_number_is_read_from_its_text(value, number):
    assert as_integer(value) == number


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63)])
def test_a_whole_number_has_64_bits(number):
    assert as_integer(number) == as_integer(str(number)) == number
    beyond = number + (1 if number > 0 else -1)
    for value in (beyond, str(beyond)):
        with pytest.raises(ValueError, match="is not a whole number of 64 bits"):
            as_integer(value)


@pytest.mark.parametrize(
    "value", ["", "-", "1.0", "1e3", "0x1", "1_0", "٧", "--1", "9" * 1_000_000, True, 1.0]
)
def test_what_is_no_whole_number_is_refused(value):
    with pytest.raises(ValueError, match="is not a whole number") as caught:
        as_integer(value)
    assert len(str(caught.value)) < 120


def test_a_trigger_keeps_its_threshold_as_text():
    trigger = Trigger(id="31", environment_id="7301", stream_id=0, threshold_value=15.0)
    assert (trigger.id, trigger.environment_id, trigger.stream_id) == (31, 7301, "0")
    assert trigger.threshold_value == "15.0"


def test_a_trigger_that_never_fired_has_no_instant():
    assert Trigger().notified_at is None
    fired = Trigger(notified_at="2013-06-03T09:15:42Z").notified_at
    assert fired == datetime(2013, 6, 3, 9, 15, 42, tzinfo=UTC)


def test_a_resource_names_its_datastream_by_text():
    assert Resource(feed_id="7301", datastream_id=0) == Resource(feed_id=7301, datastream_id="0")


def test_nothing_said_about_permissions_is_not_no_permissions():
    assert Key().permissions is None
    assert Key(permissions=[]).permissions == []
    assert Permission().resources == []


@pytest.mark.parametrize(
    "structure",
    [
        Key(api_key=SECRET, label="panel"),
        KeyList(keys=[Key(api_key=SECRET, label="panel")]),
        User(login="panel", api_key=SECRET, password=SECRET),
        UserList(users=[User(login="panel", api_key=SECRET, password=SECRET)]),
    ],
)
def test_secrets_never_show(structure):
    for shown in (repr(structure), str(structure)):
        assert SECRET not in shown
        assert "panel" in shown
        assert "…" in shown


def test_a_secret_still_travels():
    assert SECRET in Key(api_key=SECRET).encode()


def test_a_flag_may_be_given_as_text():
    assert Key(private_access="false").private_access is False
    assert User(deliver_email="1").deliver_email is True
