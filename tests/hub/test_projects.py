"""The contract's own values: what they hide."""

from __future__ import annotations

from datetime import UTC, datetime

from txbridge.hub.projects import TokenRecord


def test_the_digest_of_a_token_does_not_show():
    assert "sesame" not in repr(TokenRecord(b"sesame", 7, datetime(2016, 1, 1, tzinfo=UTC)))
