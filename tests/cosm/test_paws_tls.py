"""The subscription client over real sockets with TLS, both transports."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.testing import StringTransport
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from tests.support.certificates import Authority
from tests.support.hub import KEY, running_hub
from txbridge.cosm.paws import PAWSClient
from txbridge.cosm.paws_server import PawsOptions, PawsServer
from txbridge.hub.site import HubSite
from txbridge.net.http_server import HttpServerFactory
from txbridge.net.tls import client_tls


@pytest.mark.parametrize("scheme", ["wss", "tls"])
async def test_updates_come_over_tls_from_a_server_that_is_trusted(tmp_path, scheme):
    from twisted.internet import reactor

    authority = Authority()
    async with running_hub(tmp_path) as hub:
        feed_id = await hub.feed()
        paws = PawsServer(hub.server, hub.live, reactor)
        site = HubSite(hub.server, paws)
        http = HttpServerFactory(site.respond, upgrade=site.upgrade, refuse=site.refuse, clock=reactor)
        factory = TLSMemoryBIOFactory(
            authority.issue("localhost").server(), False, http if scheme == "wss" else paws.factory
        )
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        url = f"{scheme}://localhost:{port.getHost().port}"

        doubtful = PAWSClient(KEY, url=url, trust=client_tls([Authority().pem]))
        assert await doubtful.connect() is False
        await doubtful.disconnect()

        client = PAWSClient(KEY, url=url, trust=client_tls([authority.pem]))
        assert await client.connect() is True
        pushed: Deferred[object] = Deferred()
        await client.subscribe(f"/feeds/{feed_id}", pushed.callback)[1]
        await client.update_feed(feed_id=feed_id, data='{"datastreams":[{"id":"a","current_value":"1"}]}')
        update = await pushed
        assert update.datastreams["a"].current_value == "1"

        await client.disconnect()
        await port.stopListening()
        await paws.close()
        await http.drain()


class Knocking(Protocol):
    """Connects and says nothing; fires when it is let go."""

    def __init__(self) -> None:
        self.gone: Deferred[None] = Deferred()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.gone.callback(None)


async def test_a_surplus_client_of_a_secure_port_is_let_go_without_a_fuss(tmp_path):
    from twisted.internet import reactor

    async with running_hub(tmp_path) as hub:
        paws = PawsServer(hub.server, hub.live, reactor, PawsOptions(max_connections=0))
        factory = TLSMemoryBIOFactory(Authority().issue("localhost").server(), False, paws.factory)
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        knocking = await connectProtocol(
            TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port), Knocking()
        )
        await knocking.gone
        await port.stopListening()


class TcpTransport(StringTransport):
    """A transport in memory with the options of TCP."""

    def setTcpNoDelay(self, enabled: bool) -> None:
        assert enabled

    setTcpKeepAlive = setTcpNoDelay


async def test_a_tls_handshake_that_is_never_completed_is_cut_off(tmp_path):
    async with running_hub(tmp_path) as hub:
        paws = PawsServer(hub.server, hub.live, hub.clock)
        server = Authority().issue("localhost").server()
        factory = TLSMemoryBIOFactory(server, False, paws.factory, clock=hub.clock)
        secure, transport = factory.buildProtocol(None), TcpTransport()
        secure.makeConnection(transport)
        secure.dataReceived(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc")
        hub.clock.advance(299)
        assert not transport.disconnected
        hub.clock.advance(1)
        hub.clock.advance(10)
        assert transport.disconnected
        secure.connectionLost(Failure(ConnectionDone()))
        assert paws.connections == 0
