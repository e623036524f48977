"""Asking a relay over the socket in its state directory."""

from __future__ import annotations

import socket

import pytest
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory, Protocol

from txbridge.daemon.relay_control import ask_relay
from txbridge.errors import ConnectError, RemoteProtocolError, TimedOut
from txbridge.net.reactor import resolve_reactor


async def listening(tmp_path, answer):
    """Somebody who answers so, and is no relay."""

    class Other(Protocol):
        def dataReceived(self, data):
            if answer is not None:
                self.transport.write(answer)
                self.transport.loseConnection()

    factory = Factory.forProtocol(Other)
    factory.noisy = False
    return await serverFromString(resolve_reactor(), f"unix:{tmp_path}/control").listen(factory)


async def test_nobody_there_is_told_with_the_place(tmp_path):
    with pytest.raises(ConnectError, match="no relay runs with this state"):
        await ask_relay(resolve_reactor(), str(tmp_path))


async def test_a_state_directory_of_somebody_else_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConnectError, match="Not a directory"):
        await ask_relay(resolve_reactor(), str(tmp_path / "file"))


async def test_a_socket_that_a_killed_relay_left_is_nobody(tmp_path):
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "control"))
    with pytest.raises(ConnectError, match="no relay runs"):
        await ask_relay(resolve_reactor(), str(tmp_path))


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 500 x\r\n\r\n{}", b"HTTP/1.1 200 OK\r\n\r\nhello"])
async def test_an_answer_that_is_none_is_told(tmp_path, answer):
    port = await listening(tmp_path, answer)
    with pytest.raises(RemoteProtocolError, match="does not answer as a relay does"):
        await ask_relay(resolve_reactor(), str(tmp_path))
    await port.stopListening()


async def test_silence_has_an_end(tmp_path, monkeypatch):
    monkeypatch.setattr("txbridge.daemon.relay_control.ANSWER_SECONDS", 0.05)
    port = await listening(tmp_path, None)
    with pytest.raises(TimedOut):
        await ask_relay(resolve_reactor(), str(tmp_path))
    await port.stopListening()
