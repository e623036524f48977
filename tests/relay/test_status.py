"""A status is JSON without secrets."""

from __future__ import annotations

import json

from txbridge.errors import ConnectError
from txbridge.relay.roles import Durability
from txbridge.relay.status import (
    MAX_ERROR_TEXT,
    DestinationStatus,
    LinkState,
    RouteStatus,
    describe_error,
    one_line,
)


def test_an_error_of_ours_is_told_in_one_short_line():
    assert describe_error(ConnectError("host", "line one\nline two")) == (
        "ConnectError: cannot connect to host: line one line two"
    )
    assert len(describe_error(ConnectError("host", "x" * 1000))) == MAX_ERROR_TEXT


def test_a_text_that_somebody_else_wrote_becomes_one_short_line():
    assert one_line("a\r\n  b\tc") == "a b c"
    assert one_line("x" * 1000) == "x" * (MAX_ERROR_TEXT - 1) + "…"


def test_of_a_foreign_error_only_the_class_is_told():
    assert describe_error(KeyError("my-api-key")) == "KeyError"


def test_a_status_can_be_written_as_json():
    destination = DestinationStatus(
        name="cloud",
        state=LinkState.NEEDS_ATTENTION,
        state_age=1.5,
        storage=LinkState.AWAY,
        storage_error="OutboxError: the disk is full",
        delivered=1,
        rejected=2,
        converted=7,
        clock_moved=8,
        clock_refused=9,
        dropped=3,
        pending_points=4,
        pending_bytes=5,
        oldest_age=6.5,
        stalled=6.25,
        last_success=1000.0,
        retries=10,
        last_error="AuthError: write: 401",
        batch_points=500,
        batch_bytes=65536,
        paced=True,
        held=17.0,
        skew=None,
    )
    route = RouteStatus(
        name="garden",
        source=LinkState.WORKING,
        source_age=2.5,
        source_error=None,
        outbox=LinkState.AWAY,
        outbox_error="OutboxError: the disk is full",
        outbox_points=11,
        outbox_bytes=12,
        outbox_max_bytes=13,
        durability=Durability.DISK,
        received=7,
        last_received=1000.5,
        source_gaps=1,
        blocked=True,
        destinations=(destination,),
    )
    assert json.loads(json.dumps(route.to_json())) == {
        "name": "garden",
        "source": "working",
        "source_age": 2.5,
        "source_error": None,
        "outbox": "away",
        "outbox_error": "OutboxError: the disk is full",
        "outbox_points": 11,
        "outbox_bytes": 12,
        "outbox_max_bytes": 13,
        "durability": "disk",
        "received": 7,
        "last_received": 1000.5,
        "source_gaps": 1,
        "blocked": True,
        "destinations": [
            {
                "name": "cloud",
                "state": "needs_attention",
                "state_age": 1.5,
                "storage": "away",
                "storage_error": "OutboxError: the disk is full",
                "delivered": 1,
                "rejected": 2,
                "converted": 7,
                "clock_moved": 8,
                "clock_refused": 9,
                "dropped": 3,
                "pending_points": 4,
                "pending_bytes": 5,
                "oldest_age": 6.5,
                "stalled": 6.25,
                "last_success": 1000.0,
                "retries": 10,
                "last_error": "AuthError: write: 401",
                "batch_points": 500,
                "batch_bytes": 65536,
                "paced": True,
                "held": 17.0,
                "skew": None,
            }
        ],
    }
    assert list(destination.to_json()) == list(route.to_json()["destinations"][0])
