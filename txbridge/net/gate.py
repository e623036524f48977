"""A protocol that stands in front of another one until the connection is ready for it.

A TLS handshake and an HTTP proxy's CONNECT have the same shape: something must be settled on the
fresh connection before the real protocol may see it, and if it is not settled, *connecting* is what
failed.  Twisted's `wrapClientTLS` calls a connection made before the handshake, so that a refused
certificate looks like a lost answer; behind a gate, ``connect()`` fires when the way is free.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import NoProtocol
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableProtocol,
    IProtocol,
    IProtocolFactory,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import directlyProvides, providedBy

__all__ = ["Gate", "GateFactory"]


class Gate(Protocol, ABC):
    """Holds a connection back; `open` lets the inner protocol in, `refuse` turns it away.

    Attributes:
        opened: Fires with the inner protocol, or fails with why the gate stayed shut.  Cancelling
            it aborts the connection.
    """

    def __init__(self, inner: IProtocol) -> None:
        self._inner = inner
        self._is_open = False
        self.opened: Deferred[IProtocol] = Deferred(lambda _: self._abort())
        if IHalfCloseableProtocol.providedBy(inner):
            directlyProvides(self, providedBy(self), IHalfCloseableProtocol)

    def open(self) -> None:
        """Called by a subclass once the connection is ready for the inner protocol."""
        if self.opened.called:
            return
        assert self.transport is not None
        self._is_open = True
        self._inner.makeConnection(self.transport)
        self.opened.callback(self._inner)

    def refuse(self, error: Exception) -> None:
        """Called by a subclass when the connection will never be ready."""
        if not self.opened.called:
            self.opened.errback(Failure(error))
            self._abort()

    @abstractmethod
    def explain(self, reason: Failure) -> Exception:
        """Asked when the connection went before the gate opened: the error to fail with."""

    @abstractmethod
    def waiting_data(self, data: bytes) -> None:
        """Called with what arrives before the gate opens."""

    def _abort(self) -> None:
        transport: Any = self.transport  # every stream transport can abort; ITransport does not say so
        if transport is not None:
            transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        """Called by the transport."""
        if self._is_open:
            self._inner.dataReceived(data)
        elif not self.opened.called:
            self.waiting_data(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Called by the transport."""
        if self._is_open:
            self._inner.connectionLost(reason)
        elif not self.opened.called:
            self.opened.errback(Failure(self.explain(reason)))

    def readConnectionLost(self) -> None:
        """Called by the transport when the peer closed its half."""
        if self._is_open:
            IHalfCloseableProtocol(self._inner).readConnectionLost()
        else:
            self._abort()

    def writeConnectionLost(self) -> None:
        """Called by the transport when our half was closed."""
        if self._is_open:
            IHalfCloseableProtocol(self._inner).writeConnectionLost()


class GateFactory(Factory):
    """Builds the inner protocol and a gate in front of it."""

    noisy = False

    def __init__(self, inner: IProtocolFactory, build_gate: Callable[[IProtocol], Gate]) -> None:
        self._inner = inner
        self._build_gate = build_gate

    def doStart(self) -> None:
        """Called when a connection attempt starts."""
        self._inner.doStart()

    def doStop(self) -> None:
        """Called when it is over."""
        self._inner.doStop()

    def buildProtocol(self, addr: IAddress) -> Gate:  # type: ignore[override]  # ours are always connected
        """Called once the transport is connected."""
        inner = self._inner.buildProtocol(addr)
        if inner is None:
            raise NoProtocol
        return self._build_gate(inner)
