"""One way to connect for every client shell."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.error import TCPTimedOutError
from twisted.internet.protocol import Factory, Protocol

from tests.support.proxies import ConnectProxy
from txbridge.errors import ConfigError
from txbridge.net.endpoint import client_endpoint
from txbridge.net.memory import MemoryNetwork
from txbridge.net.proxy import Proxy
from txbridge.net.tls import client_tls


@pytest.fixture
def network() -> MemoryNetwork:
    network = MemoryNetwork()
    network.listen("server.test", 7, Factory.forProtocol(Protocol))
    return network


def test_plain_tcp_connects_by_name_in_any_case(network: MemoryNetwork) -> None:
    endpoint = client_endpoint(network.reactor, "Server.TEST", 7)
    assert network.run(endpoint.connect(Factory.forProtocol(Protocol)))


def test_a_proxy_is_used_when_given(network: MemoryNetwork) -> None:
    proxy = ConnectProxy(network.reactor)
    network.listen("proxy.test", 3128, proxy)
    endpoint = client_endpoint(network.reactor, "server.test", 7, proxy=Proxy("proxy.test"))
    assert network.run(endpoint.connect(Factory.forProtocol(Protocol)))
    assert len(proxy.heads) == 1


def test_tls_speaks_first_when_asked(network: MemoryNetwork) -> None:
    seen: list[bytes] = []

    class Listening(Protocol):
        def dataReceived(self, data: bytes) -> None:
            seen.append(data)

    network.listen("secure.test", 443, Factory.forProtocol(Listening))
    endpoint = client_endpoint(network.reactor, "secure.test", 443, tls=client_tls())
    connecting: Any = endpoint.connect(Factory.forProtocol(Protocol))
    connecting.addErrback(lambda _: None)
    network.pump()
    assert seen[0][:2] == b"\x16\x03"  # a TLS handshake record
    assert b"secure.test" in seen[0]
    connecting.cancel()
    network.pump()
    assert network.connections == 0


def test_tcp_gives_up_after_its_timeout(network: MemoryNetwork) -> None:
    network.stall()
    with pytest.raises(TCPTimedOutError):
        network.run(client_endpoint(network.reactor, "server.test", 7, timeout=3).connect(Factory()))
    assert network.clock.seconds() == 3


@pytest.mark.parametrize("host", ["", "a b", "x" * 64])
def test_what_is_no_host_is_refused_at_once(network: MemoryNetwork, host: str) -> None:
    with pytest.raises(ConfigError, match="no host name"):
        client_endpoint(network.reactor, host, 7)
