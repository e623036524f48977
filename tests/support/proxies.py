"""A real, small HTTP proxy that knows CONNECT."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

__all__ = ["ConnectProxy"]


class _Outward(Protocol):
    """The proxy's connection to the target."""

    transport: Any
    inward: _Inward

    def dataReceived(self, data: bytes) -> None:
        self.inward.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.inward.transport.loseConnection()


class _Inward(Protocol):
    """A client's connection to the proxy."""

    transport: Any
    factory: ConnectProxy

    def __init__(self) -> None:
        self._head = b""
        self._outward: _Outward | None = None

    def dataReceived(self, data: bytes) -> None:
        if self._outward is not None:
            self._outward.transport.write(data)
            return
        self._head += data
        head, blank, rest = self._head.partition(b"\r\n\r\n")
        assert not rest, "a client must wait for the tunnel"
        if blank:
            self._answer(head.decode("ascii"))

    def _answer(self, head: str) -> None:
        proxy = self.factory
        proxy.heads.append(head)
        target = head.split()[1]
        host, _, port = target.rpartition(":")
        if proxy.secret is not None and f"Proxy-Authorization: Basic {proxy.secret}" not in head:
            self.transport.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        name = host.strip("[]")
        endpoint = HostnameEndpoint(proxy.reactor, proxy.names.get(name, name), int(port))
        endpoint.connect(Factory.forProtocol(_Outward)).addCallbacks(self._connected, self._failed)

    def _connected(self, outward: Any) -> None:
        self._outward = outward
        outward.inward = self
        self.transport.write(b"HTTP/1.1 200 Connection established\r\n\r\n")

    def _failed(self, _: Failure) -> None:
        self.transport.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._outward is not None:
            self._outward.transport.loseConnection()


class ConnectProxy(Factory):
    """Builds tunnels.

    Args:
        reactor: Where it connects onward.
        require: ``"user:password"`` it insists on, or None.
        names: Host names that it resolves in its own way.
    """

    noisy = False

    def __init__(
        self, reactor: Any, require: str | None = None, names: Mapping[str, str] | None = None
    ) -> None:
        self.reactor = reactor
        self.secret = None if require is None else base64.b64encode(require.encode()).decode("ascii")
        self.names: Mapping[str, str] = {} if names is None else names
        self.heads: list[str] = []

    def buildProtocol(self, addr: IAddress | None) -> _Inward:
        inward = _Inward()
        inward.factory = self
        return inward
