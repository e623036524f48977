"""A core over WebSocket: in memory, and over a real socket with Autobahn's own client."""

from __future__ import annotations

import tracemalloc

import pytest
from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import LogLevel, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from tests.support.links import PlainCore, Recorder
from txbridge.errors import (
    ConfigError,
    ConnectError,
    ConnectionLost,
    Forbidden,
    RemoteProtocolError,
    ServerFailed,
    TimedOut,
    TooLarge,
)
from txbridge.net.budget import Budget
from txbridge.net.http1 import Request, Response
from txbridge.net.http_server import HttpServerFactory
from txbridge.net.memory import MemoryNetwork
from txbridge.net.websocket import (
    Turn,
    WebSocketLink,
    WebSocketOptions,
    close_error,
    connect_websocket,
    websocket_upgrade,
)

OPTIONS = WebSocketOptions(max_message=1000)
HANDSHAKE = (
    b"GET /any/path?x=1 HTTP/1.1\r\nHost: hub.test:8080\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nOrigin: https://elsewhere.test\r\n"
    b"Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
)


class Hub:
    """A WebSocket server in a network of its own."""

    def __init__(self, *, echo: bool = False, options: WebSocketOptions = OPTIONS) -> None:
        self.network = MemoryNetwork()
        self.owners: list[Recorder] = []
        self.echo = echo
        self.is_full = False
        self.factory = HttpServerFactory(
            lambda request: Response(404, body=b"not here"),
            upgrade=websocket_upgrade(self.accept, clock=self.network.clock, options=options),
            clock=self.network.clock,
        )
        self.network.listen("hub.test", 8080, self.factory)

    def accept(self, request: Request) -> tuple[PlainCore, Recorder] | None:
        if self.is_full:
            return None
        core = PlainCore()
        self.owners.append(Recorder(core, echo=self.echo))
        return core, self.owners[-1]

    def connect(self, url: str = "ws://hub.test:8080/", **more: object) -> Recorder:
        core = PlainCore()
        owner = Recorder(core)
        self.network.run(
            connect_websocket(
                self.network.endpoint("hub.test", 8080),
                url,
                core,
                owner,
                clock=self.network.clock,
                **more,
            )
        )
        self.settle()
        return owner

    def settle(self) -> None:
        for _ in range(50):
            self.network.pump()

    def pass_time(self, seconds: int) -> None:
        for _ in range(seconds):
            self.network.clock.advance(1)
            self.settle()


def test_messages_go_both_ways():
    hub = Hub(echo=True)
    client = hub.connect()
    client.core.unsent.extend([b"one", b"two \xc3\xa9", b"x" * 999])
    client.link.flush()
    hub.settle()
    assert hub.owners[0].events == [b"one", b"two \xc3\xa9", b"x" * 999]
    assert client.events == [b"one", b"two \xc3\xa9", b"x" * 999]
    assert client.link.peer.startswith("10.")
    assert not hub.owners[0].link.secure


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 200_000])
def test_messages_of_every_length_of_frame_arrive_whole(size):
    hub = Hub(echo=True, options=WebSocketOptions())
    client = hub.connect()
    client.core.unsent.append(b"x" * size or b" ")
    client.link.flush()
    hub.settle()
    assert client.events == [b"x" * size or b" "]


def test_what_the_core_has_before_the_handshake_is_sent_after_it():
    hub = Hub()
    core = PlainCore(b"early")
    hub.network.run(
        connect_websocket(
            hub.network.endpoint("hub.test", 8080),
            "ws://hub.test:8080",
            core,
            Recorder(core),
            clock=hub.network.clock,
        )
    )
    hub.settle()
    assert hub.owners[0].events == [b"early"]


class Upgraded:
    """A server link over a transport whose writes can be counted."""

    def __init__(self, **more: object) -> None:
        self.clock = Clock()
        self.core = PlainCore()
        self.owner = Recorder(self.core)
        self.transport = StringTransport()
        self.writes: list[bytes] = []
        self.transport.write = self.writes.append  # to see each write
        upgrade = websocket_upgrade(lambda request: (self.core, self.owner), clock=self.clock, **more)
        upgrade(self.transport, Request("GET", "/", "", {}, b""), HANDSHAKE)
        self.clock.advance(0)
        self.head = b"".join(self.writes)
        self.writes.clear()


def test_any_path_and_origin_will_do_and_nothing_optional_is_agreed_to():
    head = Upgraded().head
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"sec-websocket-extensions" not in head.lower()
    assert b"sec-websocket-protocol" not in head.lower()


def test_all_messages_of_a_turn_leave_in_one_write():
    server = Upgraded()
    server.core.unsent.extend([b"one", b"two"])
    server.owner.link.flush()
    server.core.unsent.append(b"three")
    server.owner.link.flush()
    assert server.writes == []
    server.clock.advance(0)
    assert server.writes == [b"\x81\x03one\x81\x03two\x81\x05three"]


def test_nothing_is_taken_from_the_core_while_the_transport_is_full():
    server = Upgraded()
    server.transport.producer.pauseProducing()
    server.core.unsent.extend([b"one", b"two"])
    server.owner.link.flush()
    server.clock.advance(0)
    assert server.writes == []
    assert len(server.core.unsent) == 2
    server.transport.producer.resumeProducing()
    server.clock.advance(0)
    assert server.writes == [b"\x81\x03one\x81\x03two"]


@pytest.mark.parametrize("size", [0, 2])
def test_a_message_in_small_fragments_takes_little_more_memory_than_its_bytes(size):
    server = Upgraded()
    fragment = bytes((0x80 | size, 0, 0, 0, 0)) + b"xy"[:size]
    receive = server.transport.protocol.dataReceived
    receive(b"\x01" + fragment)
    tracemalloc.start()
    try:
        for _ in range(32):
            receive((b"\x00" + fragment) * 250)
        assert tracemalloc.get_traced_memory()[0] < 2 * 8_000 * size + 20_000
    finally:
        tracemalloc.stop()
    receive(b"\x80" + fragment)
    assert server.owner.events == [b"xy"[:size] * 8_002]


def test_a_frame_in_small_pieces_takes_little_more_memory_than_its_bytes():
    server = Upgraded()
    receive = server.transport.protocol.dataReceived
    receive(b"\x81\xfe" + (16_000).to_bytes(2, "big") + bytes(4))
    tracemalloc.start()
    try:
        for _ in range(7_999):
            receive(b"xy")
        assert tracemalloc.get_traced_memory()[0] < 80_000
    finally:
        tracemalloc.stop()
    receive(b"xy")
    assert server.owner.events == [b"xy" * 8_000]


def test_a_long_reason_to_close_is_cut_between_characters():
    hub = Hub()
    client = hub.connect()
    hub.owners[0].link.close("a" + "\xe9" * 100)
    hub.settle()
    assert client.error.reason == "closed with 1000: a" + "\xe9" * 59


def test_a_flood_of_pings_makes_no_pile_of_pongs_while_the_transport_is_full():
    server = Upgraded()
    server.transport.producer.pauseProducing()
    for number in range(1000):
        server.transport.protocol.dataReceived(b"\x89\x84\x00\x00\x00\x00%04d" % number)
    assert server.writes == []
    server.transport.producer.resumeProducing()
    assert b"".join(server.writes) == b"\x8a\x040999"
    server.transport.protocol.dataReceived(b"\x89\x82\x00\x00\x00\x00hi")
    assert b"".join(server.writes) == b"\x8a\x040999\x8a\x02hi"


def test_a_link_is_a_push_producer():
    clock = Clock()
    core = PlainCore()
    link = WebSocketLink(core, Recorder(core), clock=clock, turn=Turn(clock), options=OPTIONS)
    assert verifyObject(IPushProducer, link)


def test_what_a_peer_does_not_read_stays_in_the_core():
    hub = Hub(options=WebSocketOptions())
    client = hub.connect()
    client.link.pause()
    server = hub.owners[0]
    server.core.unsent.extend([b"x" * 1000] * 2000)
    server.link.flush()
    hub.settle()
    assert len(server.core.unsent) > 1500
    client.link.resume()
    for _ in range(10):
        hub.settle()
    assert len(client.data) == 2_000_000


def test_a_core_that_wants_no_data_makes_the_peer_wait():
    hub = Hub()
    client = hub.connect()
    server = hub.owners[0]
    server.core.wants_data = False
    for message in (b"one", b"two"):
        client.core.unsent.append(message)
        client.link.flush()
        hub.settle()
    assert server.events == [b"one"]
    server.core.wants_data = True
    server.link.flush()
    hub.settle()
    assert server.events == [b"one", b"two"]


def test_closing_sends_what_is_left_and_shakes_hands():
    hub = Hub()
    client = hub.connect()
    client.core.unsent.extend([b"one", b"two"])
    client.link.close("done")
    hub.settle()
    server = hub.owners[0]
    assert server.events[:2] == [b"one", b"two"]
    assert isinstance(server.error, ConnectionLost)
    assert server.error.reason == "closed with 1000: done"
    assert isinstance(client.error, ConnectionLost)
    assert client.error.reason == "done"
    assert hub.network.clock.getDelayedCalls() == []


@pytest.mark.parametrize(
    "sent",
    [
        HANDSHAKE.replace(b"/any/path?x=1 HTTP", b"/any/path?key=s3cret-of-mineHTTP"),
        HANDSHAKE.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"s3cret-of-mine"),
        HANDSHAKE + b"\x81\x02hi",
    ],
)
def test_nothing_a_peer_sends_is_logged(sent):
    hub = Hub()
    events = []
    globalLogPublisher.addObserver(events.append)
    try:
        stranger = hub.network.run(
            hub.network.endpoint("hub.test", 8080).connect(Factory.forProtocol(Protocol))
        )
        stranger.transport.write(sent)
        hub.settle()
        hub.pass_time(1)
    finally:
        globalLogPublisher.removeObserver(events.append)
    assert hub.owners
    assert [event for event in events if event["log_level"] >= LogLevel.warn] == []


def test_closing_does_not_wait_for_ever():
    hub = Hub()
    client = hub.connect()
    hub.network.stall()
    client.link.close()
    hub.pass_time(11)
    assert isinstance(client.error, ConnectionLost)


def test_a_message_that_is_too_long_is_told_with_its_code():
    hub = Hub()
    client = hub.connect()
    client.core.unsent.append(b"x" * 1001)
    client.link.flush()
    hub.settle()
    assert hub.owners[0].data == b""
    assert isinstance(client.error, TooLarge)


def test_a_message_that_is_too_long_may_be_answered_before_the_end():
    hub = Hub(options=WebSocketOptions(max_message=1000, too_long=b"too long"))
    client = hub.connect()
    client.core.unsent.append(b"x" * 1001)
    client.link.flush()
    hub.settle()
    assert client.data == b"too long"
    assert isinstance(client.error, TooLarge)


@pytest.mark.parametrize("frame", [b"\x01\x80\x00\x00\x00\x00", b"\x81\x85\x00\x00\x00\x00ab"])
def test_a_message_that_does_not_end_is_closed_on(frame):
    server = Upgraded(options=WebSocketOptions(message_within=30))
    for _ in range(3):
        server.clock.advance(40)
        server.transport.protocol.dataReceived(b"\x81\x81\x00\x00\x00\x00a")
    assert server.owner.data == b"aaa"
    server.transport.protocol.dataReceived(frame)
    server.clock.advance(29)
    assert b"took too long" not in b"".join(server.writes)
    server.clock.advance(1)
    assert b"\x03\xf0the message took too long" in b"".join(server.writes)
    server.clock.advance(10)
    assert server.transport.disconnected


def test_a_peer_that_is_not_read_is_not_late_with_its_message():
    server = Upgraded(options=WebSocketOptions(message_within=30))
    server.transport.protocol.dataReceived(b"\x81\x85\x00\x00\x00\x00ab")
    server.owner.link.pause()
    server.clock.advance(30)
    server.owner.link.resume()
    server.clock.advance(29)
    assert b"took too long" not in b"".join(server.writes)
    server.clock.advance(1)
    assert b"took too long" in b"".join(server.writes)


def test_what_is_not_complete_is_counted_and_cut_off_when_it_is_too_much():
    budget = Budget(100_000)
    servers = [Upgraded(held=budget) for _ in range(2)]
    piece = b"\x01\xff" + (70_000).to_bytes(8, "big") + bytes(4) + b"x" * 60_000
    for server in servers:
        server.transport.protocol.dataReceived(piece)
    assert [server.transport.disconnected for server in servers] == [True, False]
    assert budget.held == 60_000
    servers[1].transport.protocol.dataReceived(b"x" * 10_000 + b"\x80\x80\x00\x00\x00\x00")
    assert budget.held == 0
    servers[1].transport.protocol.dataReceived(piece)
    assert budget.held == 60_000
    servers[1].transport.protocol.connectionLost(Failure(ConnectionDone()))
    assert budget.held == 0


def test_what_the_transport_is_full_of_is_counted_and_cut_off_after_its_time():
    budget = Budget(1_000_000)
    server = Upgraded(options=WebSocketOptions(send_within=30, ping_every=1000), held=budget)
    write = server.transport.write

    def fill(data):
        write(data)
        server.owner.link.pauseProducing()

    server.transport.write = fill
    server.core.unsent.append(b"x" * 100_000)
    server.owner.link.flush()
    server.clock.advance(0)
    assert budget.held == 100_000
    server.clock.advance(29)
    server.owner.link.resumeProducing()
    assert budget.held == 0
    server.core.unsent.append(b"x" * 50_000)
    server.clock.advance(0)
    server.owner.link.flush()
    server.clock.advance(0)
    server.clock.advance(29)
    assert not server.transport.disconnected
    server.clock.advance(1)
    assert server.transport.disconnected
    server.transport.protocol.connectionLost(Failure(ConnectionDone()))
    assert budget.held == 0


def test_a_peer_that_takes_minutes_to_read_what_is_before_a_ping_is_not_cut_off():
    server = Upgraded(options=WebSocketOptions(send_within=300))
    server.core.unsent.append(b"x" * 100_000)
    server.owner.link.flush()
    server.clock.advance(0)
    server.owner.link.pauseProducing()
    server.clock.pump([45] * 6)
    assert not server.transport.disconnected
    server.owner.link.resumeProducing()
    server.clock.pump([45] * 3)
    assert server.transport.disconnected


def test_what_comes_after_a_peer_has_broken_the_rules_is_not_counted():
    budget = Budget(1_000_000)
    server = Upgraded(held=budget)
    server.transport.protocol.dataReceived(
        b"\x01\xff" + (70_000).to_bytes(8, "big") + bytes(4) + b"x" * 60_000
    )
    assert budget.held == 60_000
    server.transport.protocol.dataReceived(b"\xff" * 20_000)
    assert budget.held == 0


def test_text_that_is_not_utf_8_is_told_with_its_code():
    hub = Hub()
    client = hub.connect()
    client.core.unsent.append(b"\xff\xfe")
    client.link.flush()
    hub.settle()
    assert isinstance(client.error, RemoteProtocolError)


def test_a_peer_that_answers_pings_stays():
    hub = Hub()
    client = hub.connect()
    hub.pass_time(200)
    assert client.error is None
    assert hub.owners[0].error is None


def test_a_peer_that_sends_but_answers_no_pings_stays():
    server = Upgraded()
    for _ in range(10):
        server.clock.advance(40)
        server.transport.protocol.dataReceived(b"\x81\x81\x00\x00\x00\x00a")
    assert server.writes.count(b"\x89\x00") > 3
    assert not server.transport.disconnected
    assert server.owner.data == b"a" * 10


def test_a_half_open_link_is_noticed_at_both_ends():
    hub = Hub()
    client = hub.connect(options=WebSocketOptions(ping_every=20, pongs_missed=1))
    hub.network.stall()
    hub.pass_time(39)
    assert client.error is None
    hub.pass_time(2)
    assert isinstance(client.error, ConnectionLost)
    assert client.error.reason == "the peer answers no pings"
    hub.pass_time(60)
    assert hub.owners[0].error is None
    hub.pass_time(40)
    assert isinstance(hub.owners[0].error, ConnectionLost)
    assert hub.network.clock.getDelayedCalls() == []


def test_deadlines_of_the_core_are_kept():
    hub = Hub()
    client = hub.connect()
    client.core.deadline = hub.network.clock.seconds() + 5
    client.link.flush()
    hub.pass_time(6)
    assert client.events == ["rung"]
    client.link.abort()
    hub.settle()
    assert hub.network.clock.getDelayedCalls() == []


def test_a_server_without_room_is_a_connect_error():
    hub = Hub()
    hub.is_full = True
    with pytest.raises(ConnectError, match="503"):
        hub.connect()
    assert hub.network.clock.getDelayedCalls() == []


def test_a_server_that_speaks_no_websocket_is_a_connect_error():
    hub = Hub()
    hub.factory.upgrade = None
    with pytest.raises(ConnectError, match="404"):
        hub.connect()


def test_a_server_that_is_not_there_is_a_connect_error():
    network = MemoryNetwork()
    core = PlainCore()
    with pytest.raises(ConnectError) as caught:
        network.run(
            connect_websocket(
                network.endpoint("hub.test", 8080),
                "ws://hub.test:8080",
                core,
                Recorder(core),
                clock=network.clock,
            )
        )
    assert caught.value.peer == "hub.test:8080"


def test_a_handshake_that_is_never_answered_is_a_time_out():
    network = MemoryNetwork()
    network.listen("hub.test", 8080, Factory.forProtocol(Protocol))
    core = PlainCore()
    with pytest.raises(TimedOut) as caught:
        network.run(
            connect_websocket(
                network.endpoint("hub.test", 8080),
                "ws://hub.test:8080",
                core,
                Recorder(core),
                clock=network.clock,
                connect_within=7,
            )
        )
    assert caught.value.phase == "connect"
    for _ in range(50):
        network.pump()
    assert network.connections == 0
    assert network.clock.getDelayedCalls() == []


@pytest.mark.parametrize("url", ["http://hub.test", "hub.test", "ws://", ""])
def test_what_is_no_websocket_url_is_said_at_once(url):
    network = MemoryNetwork()
    core = PlainCore()
    with pytest.raises(ConfigError):
        network.run(
            connect_websocket(
                network.endpoint("hub.test", 8080), url, core, Recorder(core), clock=network.clock
            )
        )


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (None, ConnectionLost),
        (1000, ConnectionLost),
        (1001, ConnectionLost),
        (1006, ConnectionLost),
        (1002, RemoteProtocolError),
        (1003, RemoteProtocolError),
        (1007, RemoteProtocolError),
        (1008, Forbidden),
        (1009, TooLarge),
        (1011, ServerFailed),
        (1012, ServerFailed),
        (1013, ServerFailed),
        (4000, ConnectionLost),
    ],
)
def test_every_close_code_has_its_error(code, kind):
    error = close_error(code, "because")
    assert type(error) is kind
    assert "because" in str(error)


class Peer(WebSocketClientProtocol):
    """Autobahn's own client, which sends in fragments."""

    def onOpen(self) -> None:
        self.sendMessage('{"é":1}'.encode(), fragmentSize=3)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:  # noqa: N803
        self.factory.heard.callback(payload)
        self.sendClose(1000, "bye")

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:  # noqa: N803
        self.factory.closed.callback(wasClean)


async def test_autobahns_own_client_talks_to_us_over_a_real_socket():
    from twisted.internet import reactor

    core = PlainCore()
    owner = Recorder(core, echo=True)
    http = HttpServerFactory(
        lambda request: Response(404),
        upgrade=websocket_upgrade(lambda request: (core, owner), clock=reactor),
        clock=reactor,
    )
    port = reactor.listenTCP(0, http, interface="127.0.0.1")
    factory = WebSocketClientFactory(f"ws://127.0.0.1:{port.getHost().port}/any", reactor=reactor)
    factory.protocol = Peer
    factory.heard, factory.closed = Deferred(), Deferred()
    factory.noisy = False
    reactor.connectTCP("127.0.0.1", port.getHost().port, factory)
    assert await factory.heard == '{"é":1}'.encode()
    assert await factory.closed is True
    await port.stopListening()
    assert isinstance(owner.error, ConnectionLost)
    assert owner.error.reason == "closed with 1000: bye"
