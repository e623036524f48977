"""A gate holds a connection back until it is ready, and says why it never was."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionDone, NoProtocol
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from txbridge.net.gate import Gate, GateFactory
from txbridge.net.memory import MemoryNetwork


class Password(Gate):
    """Opens at ``ok``, refuses at ``no``, and knows nothing else."""

    def waiting_data(self, data: bytes) -> None:
        word, rest = data[:2], data[2:]
        if word == b"ok":
            self.open()
            if rest:
                self.dataReceived(rest)
        else:
            self.refuse(PermissionError("no entry"))

    def explain(self, reason: Failure) -> Exception:
        return EOFError(type(reason.value).__name__)


@implementer(IHalfCloseableProtocol)
class Inner(Protocol):
    """Keeps what it sees."""

    transport: Any

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def connectionMade(self) -> None:
        self.seen.append("made")

    def dataReceived(self, data: bytes) -> None:
        self.seen.append(data)

    def readConnectionLost(self) -> None:
        self.seen.append("read lost")

    def writeConnectionLost(self) -> None:
        self.seen.append("write lost")

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.seen.append(type(reason.value))


class Speaker(Protocol):
    """The other end."""

    transport: Any

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.reason = reason.value


def connect(inner: Factory | None = None) -> tuple[MemoryNetwork, Any, Any]:
    network = MemoryNetwork()
    speakers: list[Speaker] = []

    class Speaking(Factory):
        def buildProtocol(self, addr: Any) -> Speaker:
            speakers.append(Speaker())
            return speakers[-1]

    network.listen("server.test", 1, Speaking())
    factory = GateFactory(Factory.forProtocol(Inner) if inner is None else inner, Password)
    gate = network.run(network.endpoint("server.test", 1).connect(factory))
    return network, gate, speakers[0]


def test_the_inner_protocol_sees_the_connection_when_the_gate_opens() -> None:
    network, gate, speaker = connect()
    network.pump()
    assert not gate.opened.called
    speaker.transport.write(b"okfirst")
    inner = network.run(gate.opened)
    speaker.transport.write(b"second")
    network.pump()
    assert inner.seen == ["made", b"first", b"second"]


def test_after_opening_everything_is_passed_on() -> None:
    network, gate, speaker = connect()
    speaker.transport.write(b"ok")
    inner = network.run(gate.opened)
    inner.transport.loseWriteConnection()
    network.pump()  # the speaker knows no half-closed connections, so it goes
    assert inner.seen == ["made", "write lost", "read lost"]
    inner.transport.loseConnection()
    network.pump()
    assert inner.seen[-1] is ConnectionDone


def test_a_refusal_fails_and_aborts() -> None:
    network, gate, speaker = connect()
    speaker.transport.write(b"no way")
    with pytest.raises(PermissionError, match="no entry"):
        network.run(gate.opened)
    network.pump()
    assert network.connections == 0


def test_what_comes_after_a_refusal_is_dropped() -> None:
    network, gate, _ = connect()
    gate.refuse(PermissionError("closed today"))
    gate.refuse(PermissionError("again"))
    gate.open()
    gate.dataReceived(b"ok")
    with pytest.raises(PermissionError, match="closed today"):
        network.run(gate.opened)


def test_a_connection_that_goes_before_is_explained() -> None:
    network, gate, speaker = connect(Factory.forProtocol(Protocol))
    speaker.transport.loseConnection()
    with pytest.raises(EOFError, match="ConnectionDone"):
        network.run(gate.opened)


def test_a_half_closed_connection_before_it_opens_is_given_up() -> None:
    network, gate, speaker = connect()
    speaker.transport.loseWriteConnection()
    with pytest.raises(EOFError, match="ConnectionAborted"):
        network.run(gate.opened)


def test_cancelling_aborts() -> None:
    network, gate, speaker = connect()
    gate.opened.cancel()
    with pytest.raises(CancelledError):
        network.run(gate.opened)
    network.pump()
    assert network.connections == 0
    assert speaker.reason is not None


def test_a_factory_that_builds_nothing_fails_to_connect() -> None:
    class Unwilling(Factory):
        def buildProtocol(self, addr: Any) -> None:
            return None

    with pytest.raises(NoProtocol):
        connect(Unwilling())
