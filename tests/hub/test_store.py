"""The contract's own values: what they say, and what they hide."""

from __future__ import annotations

from txbridge.hub.store import KeyRecord, Missing, Taken
from txbridge.model.accounts import Key


def test_a_missing_thing_and_a_taken_id_say_which() -> None:
    assert Missing("datastream").what == "datastream"
    assert Taken("pump").id == "pump"


def test_the_digest_of_a_key_does_not_show() -> None:
    assert "sesame" not in repr(KeyRecord(digest=b"sesame", login="owner", key=Key(api_key="sesame")))
