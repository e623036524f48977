"""Bytes, frames and messages on the hub's sockets that nobody sane would send.

A failure that is logged fails a test here as everywhere: see `tests.support.guard`.
"""

from __future__ import annotations

import gc
import json
import random
import struct
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.hub_in_memory import HOST, HubInMemory
from tests.support.paws import Wire

HANDSHAKE = (
    b"GET /any HTTP/1.1\r\nHost: hub.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
MASK = b"\x01\x02\x03\x04"
KEY = "the-keepers-own-key-0123456789"
TOKENS = ["t", "t", "", 1, None, True, 1.5, {}, [], "x" * 2000, "\u2028", "\x00"]
RESOURCES = [
    *(
        "/feeds/1",
        "/feeds/1.json",
        "/feeds/1.png",
        "/feeds/1/datastreams/temperature",
        "/v2/feeds/1.csv",
        "feeds",
    ),
    *(
        "/feeds/1/datastreams/temperature/datapoints",
        "/triggers",
        "/keys",
        "/users",
        "/feeds/999",
        "/",
        "",
        "//",
        "?",
    ),
    *(
        "/feeds/1?start=x&end=",
        "/feeds/1/datastreams/%00",
        "/feeds/\u2603",
        "/v2",
        "\n",
        "x" * 3000,
        1,
        None,
        {},
        [],
    ),
]
METHODS = [*"get PUT post subscribe unsubscribe unsubsribe SUBSCRIBE patch".split(" "), "", 1, None]
HEADERS = [
    *(
        {"X-ApiKey": KEY},
        {"X-ApiKey": KEY},
        {"x-apikey": KEY, "Accept": "text/xml"},
        {"X-ApiKey": "guess"},
        {},
    ),
    *(
        {"Authorization": "Basic !"},
        {"X-ApiKey": KEY, "Content-Type": "text/csv"},
        {"a": []},
        {"a": "\n"},
        [],
        None,
    ),
]
BODIES = [
    *(
        None,
        "",
        "x",
        "\ud800",
        1,
        True,
        [],
        {},
        {"title": None},
        {"datastreams": [{"id": "temperature"}]},
        "1,2\n3,4",
    ),
    *(
        {"current_value": "2"},
        {"datapoints": [{"at": "x", "value": 1}]},
        "<eeml/>",
        {"datastreams": {}},
        [[[]]],
    ),
]

requests = st.fixed_dictionaries(
    {"method": st.sampled_from(METHODS), "resource": st.sampled_from(RESOURCES)},
    optional={
        "token": st.sampled_from(TOKENS),
        "headers": st.sampled_from(HEADERS),
        "body": st.sampled_from(BODIES),
        "params": st.sampled_from(
            [{}, {"start": 1}, {"datapoints": True}, {"a": []}, {"key": KEY}, [], None, "x"]
        ),
        "parameters": st.sampled_from([{}, {"limit": "x"}, None, 1]),
        "more": st.integers(),
    },
).map(lambda request: json.dumps(request).encode())
spoilt = st.sampled_from(
    [
        *(
            b"",
            b" \r\n",
            b"}",
            b"]",
            b"{",
            b'{"',
            b'{"a":"\\',
            b"\x00",
            b"\xff\xfe",
            b"null",
            b"[]",
            b'"x"',
            b"{}{}",
        ),
        *(
            b"[" * 100,
            b'{"a":' * 100,
            b'{"a":1e999}',
            b'{"token":1,"token":2}',
            b'{"method":"\xff"}',
            b"GET / HTTP/1.1",
        ),
        b'{"method":"delete","resource":"/feeds/999","headers":{"X-ApiKey":"%s"}}' % KEY.encode(),
        *(
            b'{"method":"get","resource":"/feeds/1","token":"\\ud800"}',
            b'{"a":"' + b"x" * 70_000 + b'"}',
            b"\x81\x05",
        ),
    ]
)
messages = requests | requests | spoilt | st.binary(max_size=20)


def frame(fin, reserved, opcode, masked, size_of, payload):
    """A WebSocket frame, right or wrong."""
    size = len(payload)
    kind = (0x80 if fin else 0) | reserved << 4 | opcode
    bit = 0x80 if masked else 0
    if size_of == 8 or size > 65535:
        head = struct.pack("!BBQ", kind, bit | 127, size)
    elif size_of == 2 or size > 125:
        head = struct.pack("!BBH", kind, bit | 126, size)
    else:
        head = struct.pack("!BB", kind, bit | size)
    if not masked:
        return head + payload
    return head + MASK + bytes(byte ^ MASK[index % 4] for index, byte in enumerate(payload))


good_frames = st.builds(frame, st.just(1), st.just(0), st.just(1), st.just(1), st.just(0), messages)
odd_frames = st.builds(
    frame,
    st.integers(0, 1),
    st.sampled_from([0, 0, 0, 1, 4, 7]),
    st.sampled_from([0, 0, 1, 1, 2, 3, 8, 9, 10, 15]),
    st.sampled_from([1, 1, 1, 0]),
    st.sampled_from([0, 0, 2, 8]),
    messages | st.sampled_from([b"\x03\xe8", b"\x03", b"\x00\x00bad", b"\x03\xe8\xff"]),
)


@pytest.fixture
def hub(tmp_path):
    with HubInMemory(tmp_path) as hub:
        hub.run(hub.client().create_feed(data='{"title":"a","datastreams":[{"id":"temperature"}]}'))
        yield hub


def talk(hub, port, pieces, *, polite):
    """Connect, send, go away; what was said."""
    wire = Wire.connect(hub.network.endpoint(HOST, port), hub.settle)
    for piece in pieces:
        if not wire.is_closed:
            wire.send(piece)
    if not wire.is_closed:
        wire.finish() if polite else wire.leave()
    for _ in range(20):
        if hub.paws.connections == 0:
            break
        hub.network.clock.advance(1)
        hub.settle()
    said = b"".join(wire.messages)
    assert hub.paws.connections == 0
    assert hub.paws.watched_feeds == 0
    assert hub.paws._subscription_bytes == 0
    assert hub.paws.held.held == 0
    return said


def no_failure(said):
    assert b'"status":5' not in said, said


@settings(suppress_health_check=list(HealthCheck))
@given(
    sent=st.lists(messages, max_size=8), cuts=st.lists(st.integers(0, 500), max_size=3), polite=st.booleans()
)
def test_whatever_comes_over_tcp_is_answered_or_the_end(hub, sent, cuts, polite):
    data = b"".join(sent)
    at = sorted({min(cut, len(data)) for cut in cuts})
    pieces = [data[start:end] for start, end in zip([0, *at], [*at, len(data)], strict=True)]
    no_failure(talk(hub, 8081, pieces, polite=polite))


@settings(suppress_health_check=list(HealthCheck))
@given(frames=st.lists(good_frames | odd_frames, max_size=8), cut=st.integers(0, 300), polite=st.booleans())
def test_whatever_frames_come_over_a_websocket_are_answered_or_the_end(hub, frames, cut, polite):
    data = HANDSHAKE + b"".join(frames)
    no_failure(talk(hub, 80, [data[:cut], data[cut:]], polite=polite))


def test_thousands_of_hostile_messages_leave_nothing_in_memory(hub):
    chance = random.Random(7)

    def ask(count):
        for _ in range(count):
            sent = [
                json.dumps(
                    {
                        "method": chance.choice(
                            ["get", "get", "subscribe", "subscribe", "unsubscribe", "put"]
                        ),
                        "resource": chance.choice(RESOURCES[1:6]),
                        "headers": chance.choice(
                            [{"X-ApiKey": KEY}, {"X-ApiKey": f"guess-{chance.random()}"}]
                        ),
                        "token": f"{chance.random()}",
                        "body": {"current_value": f"{chance.random()}"},
                    }
                ).encode()
                for _ in range(5)
            ]
            end = chance.choice([b"", b"{", b"]", b'{"a":"xyz'])
            if chance.random() < 0.5:
                talk(hub, 8081, [*sent, end], polite=chance.random() < 0.5)
            else:
                frames = [frame(1, 0, 1, 1, 0, one) for one in [*sent, end]]
                talk(hub, 80, [HANDSHAKE, *frames, b"\x01"], polite=chance.random() < 0.5)

    ask(100)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        ask(300)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 400_000, grown
