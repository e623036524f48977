"""Asking a relay that runs, over the socket in its state directory.

Nothing has to be configured for that, and only the relay's owner can ask.
"""

from __future__ import annotations

import json
import os
from errno import ECONNREFUSED, ENOENT
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.error import ConnectError as TwistedConnectError
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from txbridge.daemon.relay_state import control_socket
from txbridge.errors import ConnectError, RemoteProtocolError
from txbridge.net.deadline import with_deadline
from txbridge.net.deferred import deferred

__all__ = ["ask_relay"]

ANSWER_SECONDS = 5.0


@deferred
async def ask_relay(reactor: Any, state: str) -> dict[str, Any]:
    """Ask a relay how it is.

    Args:
        reactor: Where.
        state: Its state directory.

    Raises:
        ConnectError: None runs there, or this user may not ask it.
        BridgeError: It does not answer as it should.
    """
    factory: Any = Factory.forProtocol(_Ask)
    factory.noisy = False
    nobody = "no relay runs with this state directory"
    try:
        directory = os.open(state, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise ConnectError(state, nobody) from error
    except OSError as error:
        raise ConnectError(state, error.strerror or str(error)) from error
    try:
        ask = await UNIXClientEndpoint(reactor, control_socket(directory)).connect(factory)
    except ConnectingCancelledError:
        raise CancelledError from None
    except TwistedConnectError as error:
        number = error.osError
        is_nobody = not isinstance(number, int) or number in (ENOENT, ECONNREFUSED)
        raise ConnectError(state, nobody if is_nobody else os.strerror(number)) from error
    finally:
        os.close(directory)
    try:
        answer: bytes = await with_deadline(
            reactor, ask.answered, ANSWER_SECONDS, operation="ask the relay", phase="answer"
        )
    finally:
        ask.transport.abortConnection()
    head, _, body = answer.partition(b"\r\n\r\n")
    try:
        if not head.startswith(b"HTTP/1.1 200 "):
            raise ValueError("no answer")
        report: dict[str, Any] = json.loads(body)
    except ValueError:
        raise RemoteProtocolError("ask the relay", "it does not answer as a relay does") from None
    return report


class _Ask(Protocol):
    """One question over a socket of the file system; the answer ends with the connection."""

    def __init__(self) -> None:
        self.answered: Deferred[bytes] = Deferred()
        self._parts: list[bytes] = []

    def connectionMade(self) -> None:
        """Called by the transport."""
        assert self.transport is not None
        self.transport.write(b"GET /status HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n")

    def dataReceived(self, data: bytes) -> None:
        """Called by the transport."""
        self._parts.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Called by the transport."""
        if not self.answered.called:
            self.answered.callback(b"".join(self._parts))
