"""The in-memory network behaves as Twisted's TCP does, and fails when told to."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.error import (
    CannotListenError,
    ConnectBindError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    DNSLookupError,
    TCPTimedOutError,
)
from twisted.internet.error import ConnectionRefusedError as Refused
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableDescriptor,
    IHalfCloseableProtocol,
    IHostnameResolver,
    IListeningPort,
    IPushProducer,
    IReactorPluggableNameResolver,
    IReactorTCP,
    IReactorThreads,
    IReactorTime,
    ITCPTransport,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txbridge.net.memory import WINDOW, MemoryNetwork, MemoryTransport


class Recorder(Protocol):
    """Keeps what happens to it."""

    transport: Any

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.lost: list[Any] = []

    @property
    def data(self) -> bytes:
        return b"".join(self.chunks)

    def dataReceived(self, data: bytes) -> None:
        self.chunks.append(data)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.lost.append(reason.value)


@implementer(IHalfCloseableProtocol)
class HalfRecorder(Recorder):
    """One that knows of half-closed connections."""

    def readConnectionLost(self) -> None:
        self.lost.append("read")

    def writeConnectionLost(self) -> None:
        self.lost.append("write")


class Pushing:
    """A streaming producer that writes a chunk whenever it is told to go on."""

    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self.calls: list[str] = []

    def pauseProducing(self) -> None:
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        self.calls.append("resume")

    def stopProducing(self) -> None:
        self.calls.append("stop")


class Pulling:
    """A pull producer of a number of chunks."""

    def __init__(self, transport: Any, chunks: int) -> None:
        self.transport = transport
        self.left = chunks

    def resumeProducing(self) -> None:
        self.left -= 1
        if self.left < 0:
            self.transport.unregisterProducer()
        else:
            self.transport.write(b"x" * 1000)

    def stopProducing(self) -> None:
        self.left = 0


def connect(
    network: MemoryNetwork, client: type[Recorder] = Recorder, server: type[Recorder] = Recorder
) -> tuple[Any, Any]:
    """A connected pair of protocols."""
    accepted: list[Recorder] = []

    class Accepting(Factory):
        def buildProtocol(self, addr: Any) -> Any:
            accepted.append(server())
            return accepted[-1]

    port = network.listen("server.test", 0, Accepting())
    ours = network.run(
        network.endpoint("server.test", port.getHost().port).connect(Factory.forProtocol(client))
    )
    port.stopListening()
    return ours, accepted[0]


@pytest.fixture
def network() -> MemoryNetwork:
    return MemoryNetwork()


def test_the_parts_are_what_twisted_looks_for(network: MemoryNetwork) -> None:
    ours, _ = connect(network)
    for interface in (ITCPTransport, IHalfCloseableDescriptor, IConsumer, IPushProducer):
        assert verifyObject(interface, ours.transport)
    for interface in (IReactorTime, IReactorTCP, IReactorThreads, IReactorPluggableNameResolver):
        assert verifyObject(interface, network.reactor)
    assert verifyObject(IHostnameResolver, network.reactor.nameResolver)
    assert verifyObject(IListeningPort, network.listen("a.test", 1, Factory()))


def test_bytes_arrive_later_and_in_order(network: MemoryNetwork) -> None:
    ours, theirs = connect(network)
    ours.transport.write(b"one ")
    ours.transport.writeSequence([b"two ", b"three"])
    assert theirs.data == b""
    network.pump()
    assert theirs.data == b"one two three"
    theirs.transport.write(b"back")
    network.pump()
    assert ours.data == b"back"


def test_addresses_name_both_ends(network: MemoryNetwork) -> None:
    ours, theirs = connect(network)
    assert ours.transport.getPeer() == theirs.transport.getHost()
    assert theirs.transport.getPeer() == ours.transport.getHost()
    assert "MemoryTransport 127.0.0.1:" in repr(ours.transport)


def test_socket_options_are_remembered(network: MemoryNetwork) -> None:
    transport: MemoryTransport = connect(network)[0].transport
    transport.setTcpNoDelay(True)
    transport.setTcpKeepAlive(True)
    assert (transport.getTcpNoDelay(), transport.getTcpKeepAlive()) == (True, True)


def test_text_is_refused(network: MemoryNetwork) -> None:
    ours, _ = connect(network)
    with pytest.raises(TypeError, match="bytes, not str"):
        ours.transport.write("text")


def test_closing_delivers_what_was_written_first(network: MemoryNetwork) -> None:
    ours, theirs = connect(network)
    ours.transport.write(b"x" * (3 * WINDOW))
    ours.transport.loseConnection()
    ours.transport.write(b"too late")
    assert (ours.lost, network.connections) == ([], 1)
    network.pump()
    assert theirs.data == b"x" * (3 * WINDOW)
    assert [type(one) for one in ours.lost + theirs.lost] == [ConnectionDone, ConnectionDone]
    assert network.connections == 0


def test_aborting_throws_away_and_resets(network: MemoryNetwork) -> None:
    ours, theirs = connect(network)
    ours.transport.write(b"never seen")
    ours.transport.abortConnection()
    assert ours.lost == []
    network.pump()
    assert theirs.data == b""
    assert [type(one) for one in ours.lost + theirs.lost] == [ConnectionAborted, ConnectionLost]


def test_writing_to_who_has_gone_is_harmless(network: MemoryNetwork) -> None:
    ours, theirs = connect(network)
    transport = ours.transport
    theirs.transport.loseConnection()
    network.pump()
    transport.write(b"x")
    transport.loseConnection()
    transport.abortConnection()
    transport.resumeProducing()
    network.pump()
    assert len(ours.lost) == 1


def test_a_half_closed_connection_still_carries_the_answer(network: MemoryNetwork) -> None:
    ours, theirs = connect(network, HalfRecorder, HalfRecorder)
    ours.transport.write(b"question")
    ours.transport.loseWriteConnection()
    network.pump()
    assert (ours.lost, theirs.lost, theirs.data) == (["write"], ["read"], b"question")
    theirs.transport.write(b"answer")
    theirs.transport.loseConnection()
    network.pump()
    assert ours.data == b"answer"
    assert isinstance(theirs.lost[-1], ConnectionDone)


def test_who_knows_no_half_closing_loses_the_connection(network: MemoryNetwork) -> None:
    ours, theirs = connect(network)
    ours.transport.loseWriteConnection()
    network.pump()
    assert isinstance(theirs.lost[0], ConnectionDone)
    assert isinstance(ours.lost[0], ConnectionDone)


def test_a_paused_reader_gets_nothing_and_holds_the_writer_up(network: MemoryNetwork) -> None:
    ours, theirs = connect(network)
    producer = Pushing(ours.transport)
    ours.transport.registerProducer(producer, True)
    theirs.transport.pauseProducing()
    ours.transport.write(b"x" * WINDOW)
    network.pump()
    assert (theirs.data, producer.calls) == (b"", [])  # it is in the reader's window
    ours.transport.write(b"y" * (WINDOW + 1))
    network.pump()
    assert producer.calls == ["pause"]
    theirs.transport.resumeProducing()
    network.pump()
    assert producer.calls == ["pause", "resume"]
    assert len(theirs.data) == 2 * WINDOW + 1


def test_a_paused_reader_learns_of_the_end_after_the_data(network: MemoryNetwork) -> None:
    ours, theirs = connect(network)
    theirs.transport.pauseProducing()
    ours.transport.write(b"last words")
    ours.transport.loseConnection()
    network.pump()
    assert theirs.lost == []
    theirs.transport.resumeProducing()
    network.pump()
    assert theirs.data == b"last words"
    assert isinstance(theirs.lost[0], ConnectionDone)


def test_a_pull_producer_is_asked_until_it_is_done(network: MemoryNetwork) -> None:
    ours, theirs = connect(network)
    ours.transport.registerProducer(Pulling(ours.transport, 50), False)
    ours.transport.loseConnection()
    network.pump()
    assert len(theirs.data) == 50_000
    assert isinstance(theirs.lost[0], ConnectionDone)


def test_a_second_producer_is_refused_and_the_first_is_stopped_at_the_end(network: MemoryNetwork) -> None:
    ours, theirs = connect(network)
    producer = Pushing(ours.transport)
    ours.transport.registerProducer(producer, True)
    with pytest.raises(RuntimeError, match="has a producer already"):
        ours.transport.registerProducer(producer, True)
    transport = ours.transport
    theirs.transport.abortConnection()
    network.pump()
    late = Pushing(transport)
    transport.registerProducer(late, True)
    assert (producer.calls, late.calls) == (["stop"], ["stop"])


def test_a_protocol_that_raises_loses_its_connection(network: MemoryNetwork, flushed_errors: Any) -> None:
    class Failing(Recorder):
        def dataReceived(self, data: bytes) -> None:
            raise ValueError("cannot read this")

    ours, theirs = connect(network, server=Failing)
    ours.transport.write(b"x")
    network.pump()
    assert len(flushed_errors(ValueError)) == 1
    assert isinstance(theirs.lost[0], ConnectionLost)
    assert isinstance(ours.lost[0], ConnectionDone)


def test_a_transport_can_change_its_protocol(network: MemoryNetwork) -> None:
    ours, theirs = connect(network)
    upgraded = Recorder()
    theirs.transport.protocol = upgraded
    ours.transport.write(b"after the upgrade")
    network.pump()
    assert (theirs.data, upgraded.data) == (b"", b"after the upgrade")


def test_nobody_there_refuses(network: MemoryNetwork) -> None:
    with pytest.raises(Refused):
        network.run(network.endpoint("127.0.0.1", 9).connect(Factory.forProtocol(Recorder)))
    network.listen("server.test", 80, Factory()).stopListening()
    with pytest.raises(Refused):
        network.run(network.endpoint("server.test", 80).connect(Factory.forProtocol(Recorder)))


def test_names_are_the_same_in_any_case(network: MemoryNetwork) -> None:
    network.listen("Server.Test", 80, Factory.forProtocol(Recorder))
    for name in ("Server.Test", "server.test"):
        assert network.run(network.endpoint(name, 80).connect(Factory.forProtocol(Recorder)))


def test_a_name_nobody_listened_on_does_not_resolve(network: MemoryNetwork) -> None:
    with pytest.raises(DNSLookupError, match="nowhere"):
        network.run(network.endpoint("nowhere.test", 80).connect(Factory.forProtocol(Recorder)))


def test_a_resolver_can_be_put_in(network: MemoryNetwork) -> None:
    before = network.reactor.nameResolver
    other = MemoryNetwork().reactor.nameResolver
    assert network.reactor.installNameResolver(other) is before
    assert network.reactor.nameResolver is other


def test_a_server_that_wants_no_connection_closes_it(network: MemoryNetwork) -> None:
    class Unwilling(Factory):
        def buildProtocol(self, addr: Any) -> None:
            return None

    network.listen("server.test", 80, Unwilling())
    ours = network.run(network.endpoint("server.test", 80).connect(Factory.forProtocol(Recorder)))
    network.pump()
    assert isinstance(ours.lost[0], ConnectionDone)
    assert network.connections == 0


def test_a_port_is_taken_once(network: MemoryNetwork) -> None:
    port = network.listen("server.test", 80, Factory())
    with pytest.raises(CannotListenError):
        network.listen("server.test", 80, Factory())
    port.stopListening()
    port.stopListening()
    assert network.listen("server.test", 80, Factory()).getHost().port == 80


def test_twisted_endpoints_work_on_the_reactor(network: MemoryNetwork) -> None:
    served = Factory.forProtocol(Recorder)
    port = network.run(TCP4ServerEndpoint(network.reactor, 0).listen(served))
    number = port.getHost().port
    for endpoint in (
        TCP4ClientEndpoint(network.reactor, "127.0.0.1", number),
        HostnameEndpoint(network.reactor, "localhost", number),
    ):
        assert network.run(endpoint.connect(Factory.forProtocol(Recorder))).transport.connected
    assert (network.connections, network.connections_made) == (2, 2)


def test_an_attempt_can_be_cancelled(network: MemoryNetwork) -> None:
    network.listen("server.test", 80, Factory.forProtocol(Recorder))
    connecting = network.endpoint("server.test", 80).connect(Factory.forProtocol(Recorder))
    failures: list[Failure] = []
    connecting.addErrback(failures.append)
    connecting.cancel()
    network.pump()
    assert (len(failures), network.connections_made) == (1, 0)


def test_a_connector_disconnects_and_connects_again(network: MemoryNetwork) -> None:
    events: list[str] = []

    class Client(Factory):
        protocol = Recorder

        def startedConnecting(self, connector: Any) -> None:
            events.append("started")

        def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
            events.append("lost")

        def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
            events.append("failed")

    network.listen("127.0.0.1", 80, Factory.forProtocol(Recorder))
    connector = network.reactor.connectTCP("127.0.0.1", 80, Client())
    network.pump()
    connector.disconnect()
    network.pump()
    connector.connect()
    connector.disconnect()
    assert events == ["started", "lost", "started", "failed"]
    assert connector.getDestination().port == 80


def test_a_stalled_link_loses_bytes_and_closes_nothing(network: MemoryNetwork) -> None:
    ours, theirs = connect(network)
    network.stall()
    ours.transport.write(b"lost")
    theirs.transport.write(b"lost")
    network.clock.advance(3600)
    assert (ours.data, theirs.data, ours.lost, theirs.lost) == (b"", b"", [], [])
    network.restore()
    ours.transport.write(b"still lost")
    network.pump()
    assert theirs.data == b""
    ours.transport.loseConnection()
    network.pump()
    assert isinstance(ours.lost[0], ConnectionDone)
    assert theirs.lost == []


def test_a_stalled_link_takes_one_buffer_and_then_no_more(network: MemoryNetwork) -> None:
    ours, theirs = connect(network)
    network.stall()
    producer = Pushing(ours.transport)
    ours.transport.registerProducer(producer, True)
    ours.transport.write(b"x" * WINDOW)
    network.pump()
    assert producer.calls == []
    ours.transport.write(b"x" * (WINDOW + 1))
    network.pump()
    assert producer.calls == ["pause"]
    ours.transport.abortConnection()
    network.pump()
    assert isinstance(ours.lost[0], ConnectionAborted)
    assert theirs.lost == []


def test_connecting_over_a_stalled_link_times_out(network: MemoryNetwork) -> None:
    network.listen("server.test", 80, Factory.forProtocol(Recorder))
    network.stall()
    with pytest.raises(TCPTimedOutError):
        network.run(network.endpoint("server.test", 80).connect(Factory.forProtocol(Recorder)))
    assert network.clock.seconds() == 30.0
    network.restore()
    assert network.run(network.endpoint("server.test", 80).connect(Factory.forProtocol(Recorder)))


def test_a_cut_is_seen_at_both_ends(network: MemoryNetwork) -> None:
    ours, theirs = connect(network)
    ours.transport.write(b"lost")
    network.cut()
    assert [type(one) for one in ours.lost + theirs.lost] == [ConnectionLost, ConnectionLost]
    assert theirs.data == b""


def test_a_slow_link_splits_what_it_carries(network: MemoryNetwork) -> None:
    ours, theirs = connect(network)
    network.slow(2)
    ours.transport.write(b"abcde")
    network.pump()
    assert theirs.chunks == [b"ab", b"cd", b"e"]


def test_a_slow_link_takes_its_time(network: MemoryNetwork) -> None:
    ours, theirs = connect(network)
    network.slow(10, every=0.5)
    ours.transport.write(b"x" * 30)
    ours.transport.loseConnection()
    network.pump()
    assert len(theirs.data) == 10
    theirs.transport.write(b"hurry")  # what comes back does not speed it up
    network.pump()
    assert len(theirs.data) == 10
    network.clock.advance(0.5)
    assert len(theirs.data) == 20
    network.clock.advance(0.5)
    assert len(theirs.data) == 30
    assert isinstance(theirs.lost[0], ConnectionDone)


def test_running_jumps_to_what_is_due(network: MemoryNetwork) -> None:
    assert network.run(deferLater(network.reactor, 3599.9, lambda: "done"), seconds=3600) == "done"
    assert network.clock.seconds() == 3599.9


def test_running_a_coroutine_returns_or_raises_its_outcome(network: MemoryNetwork) -> None:
    async def work() -> int:
        return await deferLater(network.reactor, 1, lambda: 7)

    async def failing() -> int:
        raise ConnectBindError

    assert network.run(work()) == 7
    with pytest.raises(ConnectBindError):
        network.run(failing())


def test_what_never_fires_is_told_and_can_be_run_on(network: MemoryNetwork) -> None:
    waiting: Deferred[str] = Deferred()
    with pytest.raises(TimeoutError, match="within 5 s"):
        network.run(waiting, seconds=5)
    assert network.clock.seconds() == 5
    network.clock.callLater(1, waiting.callback, "at last")
    assert network.run(waiting) == "at last"
    failing: Deferred[str] = Deferred()
    with pytest.raises(TimeoutError):
        network.run(failing, seconds=1)
    network.clock.callLater(1, failing.errback, Failure(ValueError("no")))
    with pytest.raises(ValueError, match="no"):
        network.run(failing)


def test_work_for_threads_runs_in_turns(network: MemoryNetwork, flushed_errors: Any) -> None:
    reactor = network.reactor
    seen: list[int] = []
    waiting = deferToThreadPool(reactor, reactor.getThreadPool(), lambda: seen.append(1) or "done")
    assert seen == []
    assert network.run(waiting) == "done"
    assert seen == [1]
    with pytest.raises(ZeroDivisionError):
        network.run(deferToThreadPool(reactor, reactor.getThreadPool(), lambda: 1 // 0))
    reactor.suggestThreadPoolSize(3)
    reactor.callInThread(seen.append, 2)
    reactor.callInThread(lambda: 1 // 0)
    network.pump()
    assert seen == [1, 2]
    assert len(flushed_errors(ZeroDivisionError)) == 1


def test_a_real_thread_is_told_that_it_does_not_belong(network: MemoryNetwork) -> None:
    errors: list[Exception] = []

    def call() -> None:
        try:
            network.reactor.callFromThread(errors.clear)
        except RuntimeError as error:
            errors.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    network.pump()
    assert "getThreadPool" in str(errors[0])


@settings(max_examples=30)
@given(
    st.lists(st.binary(max_size=200), max_size=20),
    st.lists(st.binary(max_size=200), max_size=20),
    st.integers(1, 300),
)
def test_no_byte_is_lost_or_reordered(there: list[bytes], back: list[bytes], step: int) -> None:
    network = MemoryNetwork()
    ours, theirs = connect(network)
    network.slow(step)
    for one in there:
        ours.transport.write(one)
    for one in back:
        theirs.transport.write(one)
    network.pump()
    assert (theirs.data, ours.data) == (b"".join(there), b"".join(back))
