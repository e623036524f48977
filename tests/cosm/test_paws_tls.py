"""The subscription client over real sockets with TLS, both transports."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred
from twisted.protocols.tls import TLSMemoryBIOFactory

from tests.support.certificates import Authority
from tests.support.hub import KEY, running_hub
from txbridge.cosm.paws import PAWSClient
from txbridge.cosm.paws_server import PawsServer
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
