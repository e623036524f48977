"""A hub as it is assembled, whose connections a test makes by hand: bytes in, bytes out, no sockets.

What a client sends goes through the hub's own HTTP protocol and every room behind it, and the protocol's
transport is one in memory, so thousands of requests cost seconds.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableDescriptor
from twisted.internet.task import deferLater
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.support.program import PATIENCE
from txbridge.daemon.assembly import hub_service
from txbridge.daemon.config import hub_config
from txbridge.net.reactor import resolve_reactor

__all__ = ["HostileClient", "hub_by_hand"]

_STATUS = re.compile(rb"^HTTP/1\.1 ([0-9]{3}) [^\r\n]+\r$", re.MULTILINE)


@implementer(IHalfCloseableDescriptor)
class _Transport(StringTransport):
    """One that can close its writing side, and whose protocol may be replaced by a WebSocket's."""

    protocol: Any = None
    half_closed = False

    def loseWriteConnection(self) -> None:
        self.half_closed = True

    def readConnectionLost(self, reason: Failure) -> None:
        raise AssertionError("the transport is told, it does not tell")

    writeConnectionLost = readConnectionLost

    @property
    def is_over(self) -> bool:
        return bool(self.half_closed or self.disconnecting or self.disconnected)


class HostileClient:
    """Sends what it likes to a hub.

    Attributes:
        http: The hub's HTTP factory.
        site: What answers its requests.
        paws: The hub's socket API.
        key: The owner's key.
    """

    def __init__(self, reactor: Any, http: Any, paws: Any, key: str) -> None:
        self.http = http
        self.site = http.respond.__self__
        self.paws = paws
        self.key = key
        self._reactor = reactor

    async def send(self, *pieces: bytes) -> bytes:
        """Connect, send pieces, close the sending side; everything the hub says until it closes.

        Raises:
            AssertionError: It does not close.
        """
        transport = self.connect()
        for piece in pieces:
            transport.protocol.dataReceived(piece)
        if not transport.is_over:
            transport.protocol.readConnectionLost()
        until = self._reactor.seconds() + PATIENCE
        while not transport.is_over:
            assert self._reactor.seconds() < until, "the connection does not end"
            await deferLater(self._reactor, 0)
        self.lose(transport)
        return transport.value()

    def connect(self) -> Any:
        """The transport of a connection."""
        transport = _Transport()
        transport.protocol = self.http.buildProtocol(None)
        transport.protocol.makeConnection(transport)
        return transport

    def lose(self, transport: Any) -> None:
        """The connection is gone."""
        transport.protocol.connectionLost(Failure(ConnectionDone()))

    async def ask(
        self, method: str, target: str, body: bytes = b"", headers: tuple[tuple[str, str], ...] = ()
    ) -> tuple[int, bytes]:
        """Send one request; its status, and everything that was said."""
        lines = [f"{method} {target} HTTP/1.1", "Host: hub.test", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in headers]
        if body or method in ("PUT", "POST", "PATCH"):
            lines.append(f"Content-Length: {len(body)}")
        said = await self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        statuses = statuses_of(said)
        assert statuses, said
        return statuses[0], said

    async def make(self, path: str, document: object) -> str:
        """Make something, as the owner; the end of its address."""
        headers = (("X-ApiKey", self.key),)
        status, said = await self.ask("POST", f"/v2/{path}", json.dumps(document).encode(), headers)
        assert status == 201, said
        place = re.search(rb"^Location: (\S+)\r$", said, re.MULTILINE)
        assert place is not None
        return place[1].decode().rpartition("/")[2]


def statuses_of(said: bytes) -> list[int]:
    """The statuses of everything that was answered; an interim one is none."""
    return [int(status) for status in _STATUS.findall(said) if status != b"100"]


@asynccontextmanager
async def hub_by_hand(data: Path, **more: Any) -> AsyncIterator[HostileClient]:
    """Run a hub in this process."""
    reactor = resolve_reactor()
    listen, paws_tcp = "tcp:0:interface=127.0.0.1", "tcp:0:interface=127.0.0.1"
    service = hub_service(reactor, hub_config(data=str(data), listen=[listen], paws_tcp=[paws_tcp], **more))
    await service.start()
    assert service._parts is not None
    http, sockets = (door.factory for door in service._parts.doors)
    try:
        yield HostileClient(reactor, http, sockets._server, (data / "owner.key").read_text().strip())
    finally:
        await service.stop()
