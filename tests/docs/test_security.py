"""The limits that the page about security tells: each is the one there is, and has the test it names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from txbridge.cosm.messages import MAX_HEAD
from txbridge.cosm.paws_server import PawsOptions
from txbridge.cosm.protocol import PawsLimits
from txbridge.net.http1 import PIECE, HttpLimits
from txbridge.net.http_server import MAX_CONNECTIONS, MAX_UNFINISHED_BYTES, MAX_UNREAD_BYTES

TESTS = Path(__file__).parent.parent
TEXT = (TESTS.parent / "docs" / "security.rst").read_text()
ROWS = re.findall(r"   \* - (.+)\n     - (.+)\n     - (.+)\n     - (.+)\n", TEXT)[1:]
LIMITS = {what: limit for what, limit, _, _ in ROWS}

HTTP, PAWS, OPTIONS = HttpLimits(), PawsLimits(), PawsOptions()


def size(count):
    return f"{count >> 20} MiB" if count >= 1 << 20 else f"{count >> 10} KiB"


@pytest.mark.parametrize(
    ("what", "limit"),
    [
        ("idle, or a TLS handshake", f"{HTTP.idle_seconds:g} s"),
        ("request line; head; header lines", f"{size(HTTP.request_line)}; {size(HTTP.head)}; {HTTP.headers}"),
        (
            "body, before and after it is inflated; its framing",
            f"{size(HTTP.body)}; 1 MiB and {size(HTTP.head)}",
        ),
        ("time for a head; for a body", f"{HTTP.head_seconds:g} s; {HTTP.body_seconds:g} s"),
        ("sent ahead of an answer", size(HTTP.pipeline)),
        ("not finished or sent ahead, together", size(MAX_UNFINISHED_BYTES)),
        ("an answer that is not read", f"{HTTP.send_seconds:g} s for each {size(PIECE)}"),
        ("answers that are not read, together", size(MAX_UNREAD_BYTES)),
        ("after the last answer", f"{HTTP.linger_seconds:g} s, then {HTTP.send_seconds:g} s"),
        (
            "time until a first request succeeds, TLS handshake included",
            f"{PAWS.stranger_seconds / 60:g} min",
        ),
        ("a request; its depth", f"{size(PAWS.max_document)}; {PAWS.max_depth}"),
        ("all of a request but its body", size(MAX_HEAD)),
        ("time for a request, from its first byte", f"{PAWS.message_seconds:g} s"),
        ("requests without an answer", f"{PAWS.max_requests}, or {size(PAWS.max_request_bytes)}"),
        ("answers that are not read", size(PAWS.max_answers)),
        ("what is being sent, unread", f"{(OPTIONS.websocket.send_within or 0) / 60:g} min"),
        ("pushes that are not read", f"{PAWS.queue_messages}, or {size(PAWS.queue_bytes)}"),
        ("all of these, together", size(OPTIONS.max_held_bytes)),
        (
            "subscriptions; together",
            f"{PAWS.max_subscriptions}; {size(OPTIONS.max_subscription_bytes)}, about 100,000",
        ),
        (
            "WebSocket pings without an answer",
            f"{OPTIONS.websocket.pongs_missed}, {OPTIONS.websocket.ping_every:g} s apart",
        ),
        ("WebSocket farewell", f"{OPTIONS.websocket.close_within:g} s"),
    ],
)
def test_a_limit_is_as_the_page_tells_it(what, limit):
    assert LIMITS[what] == limit


def test_connections_and_messages_are_bounded_as_the_page_tells_it():
    assert LIMITS["connections"].startswith(f"{MAX_CONNECTIONS},")
    assert OPTIONS.websocket.max_message == PAWS.max_document
    assert OPTIONS.websocket.message_within == PAWS.message_seconds


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_each_limit_has_the_tests_that_the_page_names(row):
    named = re.findall(r"``([^`]+\.py)``: ([^;]+)", row[3])
    assert named
    for file, names in named:
        source = (TESTS / file).read_text()
        for name in names.split(", "):
            start = re.sub(r"[^a-z0-9]+", "_", name.lower().removesuffix("…").strip())
            assert re.search(rf"^(?:async )?def test_{start}", source, re.MULTILINE), (file, name)
