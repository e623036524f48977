"""A client of the socket API that speaks bytes, so that a test can be any old client."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

__all__ = ["Wire"]


class Wire(Protocol):
    """One TCP connection to a server in memory.

    Args:
        settle: Lets everything happen that is to happen.

    Attributes:
        messages: What each read gave and was not taken yet.
        is_closed: Whether the connection is gone.
    """

    def __init__(self, settle: Callable[[], None]) -> None:
        self.messages: list[bytes] = []
        self.is_closed = False
        self._settle = settle

    @classmethod
    def connect(cls, endpoint: IStreamClientEndpoint, settle: Callable[[], None]) -> Wire:
        """Connect to a server."""
        wire = cls(settle)
        factory = Factory()
        factory.noisy = False
        factory.buildProtocol = lambda addr: wire  # type: ignore[method-assign]  # there is one connection
        endpoint.connect(factory).addErrback(lambda failure: None)
        settle()
        return wire

    def dataReceived(self, data: bytes) -> None:
        """One read."""
        self.messages.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone."""
        self.is_closed = True

    def send(self, *documents: object) -> None:
        """Send documents without anything between them; bytes go as they are."""
        pieces = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in documents]
        self._ends().write(b"".join(pieces))
        self._settle()

    def take(self) -> bytes:
        """What the next read gave."""
        assert self.messages, "the server says nothing"
        return self.messages.pop(0)

    def take_message(self) -> Any:
        """The next message, decoded; each is one line and one read."""
        data = self.take()
        assert data.endswith(b"}\n")
        assert data.count(b"\n") == 1
        return json.loads(data)

    def take_all(self) -> list[Any]:
        """All messages there are, decoded."""
        data, self.messages = b"".join(self.messages), []
        return [json.loads(line) for line in data.splitlines()]

    def ask(self, document: object) -> Any:
        """Send a document and take the next message."""
        self.send(document)
        return self.take_message()

    def finish(self) -> None:
        """Send nothing more, and go on reading."""
        self._ends().loseWriteConnection()
        self._settle()

    def hold(self) -> None:
        """Read nothing from now on."""
        self._ends().pauseProducing()

    def release(self) -> None:
        """Read on."""
        self._ends().resumeProducing()
        self._settle()

    def leave(self) -> None:
        """Go away without a word."""
        self._ends().abortConnection()
        self._settle()

    def _ends(self) -> Any:
        assert self.transport is not None, "not connected"
        return self.transport
