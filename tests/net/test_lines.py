"""A core over a byte stream, in memory."""

from __future__ import annotations

import pytest
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, IPullProducer
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from tests.support.links import PlainCore, Recorder
from txbridge.errors import ConnectError, ConnectionLost, TimedOut
from txbridge.net.budget import Budget
from txbridge.net.lines import StreamLink, connect_stream
from txbridge.net.memory import WINDOW, MemoryNetwork


class Serving(Factory):
    """Builds server links and remembers their owners."""

    noisy = False

    def __init__(self, clock: Clock, *, echo: bool = False) -> None:
        self.clock = clock
        self.echo = echo
        self.owners: list[Recorder] = []

    def buildProtocol(self, addr: object) -> StreamLink:
        core = PlainCore()
        owner = Recorder(core, echo=self.echo)
        self.owners.append(owner)
        return StreamLink(core, owner, self.clock)


@pytest.fixture
def network() -> MemoryNetwork:
    return MemoryNetwork()


def connect(network: MemoryNetwork, *messages: bytes, echo: bool = False) -> tuple[Recorder, Recorder]:
    """Both owners: the client's and the server's."""
    serving = Serving(network.clock, echo=echo)
    network.listen("hub.test", 8081, serving)
    core = PlainCore(*messages)
    client = Recorder(core)
    link = network.run(
        connect_stream(network.endpoint("hub.test", 8081), core, client, clock=network.clock, peer="hub.test")
    )
    assert client.link is link
    return client, serving.owners[0]


def settle(network: MemoryNetwork, turns: int = 200) -> None:
    for _ in range(turns):
        network.pump()


def test_a_stream_link_is_a_pull_producer():
    assert verifyObject(IPullProducer, StreamLink(PlainCore(), Recorder(PlainCore()), Clock()))


def test_a_stream_link_is_told_when_its_peer_closes_its_half():
    assert verifyObject(IHalfCloseableProtocol, StreamLink(PlainCore(), Recorder(PlainCore()), Clock()))


def test_data_goes_both_ways(network):
    client, server = connect(network, b"hello", echo=True)
    settle(network)
    assert server.events == [b"hello"]
    assert client.events == [b"hello"]
    assert client.link is not None
    assert client.link.peer.startswith("10.")
    assert not client.link.secure


def test_each_message_arrives_by_itself(network):
    messages = [b"%d\n" % number for number in range(20)]
    _, server = connect(network, *messages)
    settle(network)
    assert server.events == messages


def test_the_next_message_is_written_only_when_the_last_is_sent():
    transport = StringTransport()
    core = PlainCore(b"one", b"two", b"three")
    link = StreamLink(core, Recorder(core), Clock())
    link.makeConnection(transport)
    assert transport.value() == b"one"
    link.flush()
    assert transport.value() == b"one"
    assert transport.streaming is False
    transport.producer.resumeProducing()
    assert transport.value() == b"onetwo"
    transport.producer.resumeProducing()
    transport.producer.resumeProducing()
    assert transport.value() == b"onetwothree"
    assert transport.producer is None


def test_what_a_peer_does_not_read_stays_in_the_core(network):
    client, server = connect(network)
    assert server.link is not None
    server.link.pause()
    client.core.unsent.extend([b"x" * 1000] * 500)
    client.link.flush()
    settle(network, 1000)
    assert len(client.core.unsent) >= 500 - WINDOW // 1000 * 2 - 2
    assert server.events == []
    server.link.resume()
    settle(network, 1000)
    assert len(server.data) == 500_000
    assert not client.core.unsent


def test_a_core_that_wants_no_data_makes_the_peer_wait(network):
    client, server = connect(network)
    server.core.wants_data = False
    client.core.unsent.append(b"one")
    client.link.flush()
    settle(network)
    client.core.unsent.append(b"two")
    client.link.flush()
    settle(network)
    assert server.events == [b"one"]
    server.core.wants_data = True
    server.link.flush()
    settle(network)
    assert server.events == [b"one", b"two"]


def test_closing_sends_what_is_left_first(network):
    client, server = connect(network)
    client.core.unsent.extend([b"a", b"b", b"c"])
    client.link.close("done")
    settle(network)
    assert server.events == [b"a", b"b", b"c", "eof: the peer closed it"]
    assert isinstance(server.error, ConnectionLost)
    assert client.events == ["eof: done"]
    assert str(client.error) == "connection: connection lost: done"
    assert network.clock.getDelayedCalls() == []


def test_a_peer_that_closes_its_half_is_told_what_is_left(network):
    client, server = connect(network)
    server.core.unsent.extend([b"a", b"b", b"c"])
    client.link.transport.loseWriteConnection()
    settle(network)
    assert client.events == [b"a", b"b", b"c", "eof: the peer closed it"]
    assert server.events == ["eof: the peer closed it"]
    assert network.clock.getDelayedCalls() == []


def test_who_reads_again_after_the_peer_has_closed_its_half_is_told_once(network):
    client, server = connect(network)
    server.link.pause()
    client.core.unsent.append(b"last")
    client.link.flush()
    client.link.transport.loseWriteConnection()
    settle(network)
    assert server.events == []
    server.link.resume()
    settle(network)
    assert server.events == [b"last", "eof: the peer closed it"]


def test_closing_does_not_wait_for_ever_for_a_peer_that_reads_nothing(network):
    client, server = connect(network)
    server.link.pause()
    client.core.unsent.extend([b"x" * 1000] * 500)
    client.link.close()
    settle(network)
    assert client.error is None
    network.clock.advance(10)
    settle(network)
    assert client.error is not None


def test_after_closing_nothing_is_read(network):
    client, server = connect(network)
    server.link.close()
    client.core.unsent.append(b"late")
    client.link.flush()
    settle(network)
    assert server.data == b""


def test_aborting_is_told_to_both_ends(network):
    client, server = connect(network)
    client.link.abort()
    settle(network)
    assert isinstance(client.error, ConnectionLost)
    assert isinstance(server.error, ConnectionLost)
    client.link.flush()
    client.link.close()
    client.link.pause()
    client.link.abort()


def test_a_cut_line_is_told_with_its_reason(network):
    client, _ = connect(network)
    network.cut()
    settle(network)
    assert isinstance(client.error, ConnectionLost)
    assert client.events[-1] == f"eof: {client.error.reason}"


def test_deadlines_of_the_core_are_kept(network):
    client, _ = connect(network)
    client.core.deadline = network.clock.seconds() + 5
    client.link.flush()
    network.clock.advance(4)
    assert client.events == []
    network.clock.advance(1)
    assert client.events == ["rung"]
    client.core.deadline = network.clock.seconds() + 5
    client.link.flush()
    client.link.abort()
    settle(network)
    assert network.clock.getDelayedCalls() == []


def test_a_message_that_is_not_read_is_counted_and_cut_off_after_its_time():
    clock, budget = Clock(), Budget(1 << 20)
    core, transport = PlainCore(), StringTransport()
    link = StreamLink(core, Recorder(core), clock, send_within=60, held=budget)
    link.makeConnection(transport)
    core.unsent.append(b"x" * 100_000)
    link.flush()
    assert budget.held == 100_000
    clock.advance(59)
    core.unsent.append(b"y" * 50_000)
    link.resumeProducing()
    assert budget.held == 50_000
    clock.advance(59)
    assert not transport.disconnected
    link.resumeProducing()
    assert budget.held == 0
    clock.advance(600)
    assert not transport.disconnected
    core.unsent.append(b"z" * 20_000)
    link.flush()
    clock.advance(60)
    assert transport.disconnected
    link.connectionLost(Failure(ConnectionDone()))
    assert budget.held == 0


def test_of_messages_that_are_not_read_the_longest_is_cut_off_when_it_is_too_much():
    budget = Budget(150_000)
    transports = []
    for size in (100_000, 40_000, 30_000):
        core = PlainCore()
        link = StreamLink(core, Recorder(core), Clock(), held=budget)
        transports.append(StringTransport())
        link.makeConnection(transports[-1])
        core.unsent.append(b"x" * size)
        link.flush()
    assert [transport.disconnected for transport in transports] == [True, False, False]


def test_a_server_that_is_not_there_is_a_connect_error(network):
    network.listen("hub.test", 80, Serving(network.clock))
    core = PlainCore()
    owner = Recorder(core)
    for host in ("hub.test", "nowhere.test"):
        with pytest.raises(ConnectError) as caught:
            network.run(
                connect_stream(network.endpoint(host, 8081), core, owner, clock=network.clock, peer=host)
            )
        assert caught.value.peer == host
    assert owner.link is None


def test_a_server_that_does_not_answer_is_a_time_out(network):
    network.listen("hub.test", 8081, Serving(network.clock))
    network.stall()
    core = PlainCore()
    with pytest.raises(TimedOut) as caught:
        network.run(
            connect_stream(
                network.endpoint("hub.test", 8081),
                core,
                Recorder(core),
                clock=network.clock,
                peer="hub.test",
                connect_within=5,
            )
        )
    assert (caught.value.phase, caught.value.seconds) == ("connect", 5)
