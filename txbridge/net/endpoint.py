"""From a host and a port to an endpoint: TCP, through a proxy if there is one, with TLS if asked.

Every client shell (HTTP, WebSocket, lines) connects through here, so proxies and trust mean the same
for all of them.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint

from txbridge.net.proxy import Proxy, ProxyEndpoint
from txbridge.net.tls import ClientTls, ascii_host

__all__ = ["client_endpoint"]


def client_endpoint(
    reactor: Any,
    host: str,
    port: int,
    *,
    tls: ClientTls | None = None,
    proxy: Proxy | None = None,
    timeout: float = 30.0,
) -> IStreamClientEndpoint:
    """How to connect to a host and port.

    Its ``connect()`` fires when the connection is ready for use, after the proxy's tunnel and the
    TLS handshake, and fails with `ConnectError` if one of these two refused; what TCP and the
    resolver raise stays Twisted's.  It has no deadline of its own beyond TCP's: cancel it.

    Args:
        reactor: Real, or `txbridge.net.memory.MemoryNetwork.reactor`.
        host: Name or address; a proxy resolves it, if there is one.
        port: TCP port.
        tls: Speak TLS and verify ``host`` by this; None for plain TCP.
        proxy: Go through it.
        timeout: Seconds for each address TCP tries.

    Raises:
        ConfigError: ``host`` is no host name.
    """
    name = ascii_host(host)
    if proxy is None:
        endpoint: IStreamClientEndpoint = HostnameEndpoint(reactor, name, port, timeout)
    else:
        to_proxy = HostnameEndpoint(reactor, ascii_host(proxy.host), proxy.port, timeout)
        endpoint = ProxyEndpoint(proxy, name, port, to_proxy)
    return endpoint if tls is None else tls.wrap(endpoint, name, port, clock=reactor)
