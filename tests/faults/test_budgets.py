"""What all connections may hold together is given back by each, however its life goes and ends."""

from __future__ import annotations

import json
import random
import struct

import pytest

from tests.support.hub_in_memory import HubInMemory
from tests.support.paws import Wire
from txbridge.cosm.paws_server import PawsOptions, PawsServer
from txbridge.cosm.protocol import PawsLimits
from txbridge.net.http1 import HttpLimits
from txbridge.net.http_server import HttpServerFactory

NAME = "small.test"
FEED = "/v2/feeds/1"
HANDSHAKE = (
    b"GET /any HTTP/1.1\r\nHost: hub.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class SmallHub:
    """A hub where little may be held, and those who connect to it."""

    def __init__(self, hub, chance):
        self.hub = hub
        self.chance = chance
        clock = hub.network.clock
        self.paws = PawsServer(
            hub.server,
            hub.live,
            clock,
            PawsOptions(
                PawsLimits(queue_messages=4, max_requests=4),
                max_connections=6,
                max_held_bytes=80_000,
                max_subscription_bytes=30_000,
            ),
        )
        self.http = HttpServerFactory(
            hub.server.respond,
            upgrade=self.paws.upgrade,
            limits=HttpLimits(pipeline=8192),
            clock=clock,
            max_connections=6,
            max_unfinished_bytes=60_000,
            max_unread_bytes=70_000,
        )
        hub.network.listen(NAME, 80, self.http)
        hub.network.listen(NAME, 8081, self.paws.factory)
        self.wires = []
        self.gave_way = 0
        self.budgets = (self.paws.held, self.http.unfinished, self.http.unread)
        for budget in self.budgets:
            self.count_who_gives_way(budget)
        self.actions = {
            "http": [self.ask, self.ask_much, self.post, self.begin_body, self.begin_head, self.end_body],
            "tcp": [self.say, self.say, self.subscribe, self.write, self.begin_document, self.read_much],
            "websocket": [self.say, self.say, self.subscribe, self.write, self.begin_frame, self.read_much],
        }

    def count_who_gives_way(self, budget):
        hold = budget.hold

        def counting(give_way, count):
            before = len(budget._holders)
            hold(give_way, count)
            self.gave_way += count > 0 and len(budget._holders) < before

        budget.hold = counting

    # -- what connections do

    def connect(self):
        kind = self.chance.choice(list(self.actions))
        endpoint = self.hub.network.endpoint(NAME, 8081 if kind == "tcp" else 80)
        wire = Wire.connect(endpoint, self.hub.settle)
        self.wires.append((kind, wire))
        if kind == "websocket" and not wire.is_closed:
            wire.send(HANDSHAKE)

    def ask(self, wire, kind):
        self.request(wire, "GET", FEED)

    def ask_much(self, wire, kind):
        wire.send(b"".join(self.head("GET", FEED) + b"\r\n" for _ in range(self.chance.randrange(60))))

    def post(self, wire, kind):
        body = json.dumps({"datastreams": [{"id": "a", "current_value": str(self.chance.random())}]}).encode()
        self.request(wire, "PUT", FEED, b"Content-Length: %d\r\n" % len(body), body)

    def begin_body(self, wire, kind):
        self.request(wire, "PUT", FEED, b"Content-Length: 200000\r\n", b" " * self.chance.randrange(60_000))

    def begin_head(self, wire, kind):
        wire.send(b"GET / HTTP/1.1\r\nA: " + b"x" * self.chance.randrange(8000))

    def end_body(self, wire, kind):
        wire.send(b" " * 200_000)

    def request(self, wire, method, path, more=b"", body=b""):
        wire.send(self.head(method, path) + more + b"\r\n" + body)

    def head(self, method, path):
        key = self.hub.api_key
        return f"{method} {path} HTTP/1.1\r\nHost: {NAME}\r\nX-ApiKey: {key}\r\n".encode()

    def say(self, wire, kind, method="get", key=None, **more):
        said = {"method": method, "resource": "/feeds/1", "headers": {"X-ApiKey": key or self.hub.api_key}}
        text = json.dumps({**said, **more}).encode()
        wire.send(self.framed(text) if kind == "websocket" else text)

    def subscribe(self, wire, kind):
        method = self.chance.choice(["subscribe", "subscribe", "unsubscribe"])
        key = self.chance.choice([None, None, "no key"])
        token = "x" * self.chance.choice([1, 2, 500])
        self.say(wire, kind, method, key, token=token, params={"datapoints": True})

    def write(self, wire, kind):
        values = [{"id": f"s{n}", "current_value": "y" * 250} for n in range(self.chance.randrange(40))]
        self.say(wire, kind, "put", body={"datastreams": values})

    def read_much(self, wire, kind):
        for _ in range(self.chance.randrange(8)):
            if not wire.is_closed:
                self.say(wire, kind)

    def begin_document(self, wire, kind):
        wire.send(b'{"a":"' + b"x" * self.chance.randrange(60_000))

    def begin_frame(self, wire, kind):
        wire.send(b"\x01\xff" + struct.pack("!Q", 80_000) + bytes(4) + b"x" * self.chance.randrange(60_000))

    @staticmethod
    def framed(payload):
        return b"\x81\xfe" + struct.pack("!H", len(payload)) + bytes(4) + payload

    # -- how lives go and end

    def step(self):
        self.wires = [(kind, wire) for kind, wire in self.wires if not wire.is_closed]
        if not self.wires or self.chance.random() < 0.15:
            self.connect()
            return
        kind, wire = self.chance.choice(self.wires)
        lot = self.chance.random()
        if lot < 0.08:
            wire.hold()
        elif lot < 0.14:
            wire.release()
        elif lot < 0.18:
            wire.finish()
        elif lot < 0.22:
            wire.leave()
        elif lot < 0.25:
            self.pass_time(self.chance.choice([1, 20, 70]))
        else:
            self.chance.choice(self.actions[kind])(wire, kind)

    def pass_time(self, seconds):
        self.hub.network.clock.advance(seconds)
        self.hub.settle()

    def check(self):
        for budget in self.budgets:
            assert 0 <= budget.held == sum(budget._holders.values()) <= budget.most
        assert 0 <= self.paws._subscription_bytes <= 30_000

    def end(self):
        for _, wire in self.wires:
            if not wire.is_closed and self.chance.random() < 0.5:
                wire.leave()
        for _ in range(60):  # the others are silent
            self.pass_time(20)
        for _, wire in self.wires:
            if not wire.is_closed:
                wire.leave()
        assert (self.paws.connections, self.http.connections) == (0, 0)
        assert [budget._holders for budget in self.budgets] == [{}, {}, {}]
        assert [budget.held for budget in self.budgets] == [0, 0, 0]
        assert self.paws._subscription_bytes == 0
        assert self.paws.watched_feeds == 0
        assert self.hub.network.clock.getDelayedCalls() == []


@pytest.mark.parametrize("seed", range(4))
def test_whatever_connections_do_nothing_is_held_for_them_when_they_are_gone(tmp_path, seed):
    chance = random.Random(seed)
    with HubInMemory(tmp_path) as hub:
        hub.run(hub.client().create_feed(data='{"title":"a","datastreams":[{"id":"temperature"}]}'))
        hub.network.clock.advance(600)
        small = SmallHub(hub, chance)
        for _ in range(6):
            for _ in range(80):
                small.step()
                small.check()
            small.end()
        assert small.gave_way >= 3
