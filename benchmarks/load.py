"""The other end of a measured server: raw sockets, so that the server and not the load sets the pace.

Requests are bytes made once, and answers are only looked at as far as their status and length.
Updates are counted by their bytes: all of one run are equally long, and every byte must arrive.
"""

from __future__ import annotations

import base64
import os
import resource
import select
import socket
import time
from types import TracebackType
from typing import Self

__all__ = ["Subscribers", "allow_many_files", "drive", "request_bytes"]

STILL = 20.0  # seconds without a byte after which a server is broken
CHUNK = 1 << 18


def allow_many_files() -> None:
    """Raise this process's limit of open files as far as it may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def request_bytes(method: str, path: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """A whole HTTP/1.1 request."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: 127.0.0.1",
        *(f"{name}: {headers[name]}" for name in headers),
    ]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def _answer_length(data: bytes) -> int | None:
    """How long the answer is that these bytes begin with; None while its head is not complete.

    Raises:
        RuntimeError: It is no success, or does not say how long it is.
    """
    head, ended, _ = data.partition(b"\r\n\r\n")
    if not ended:
        return None
    if not head.startswith(b"HTTP/1.1 2"):
        raise RuntimeError(f"the server refuses: {data[:500]!r}")
    _, found, rest = head.lower().partition(b"\r\ncontent-length:")
    if not found:
        raise RuntimeError(f"an answer without Content-Length: {head!r}")
    return len(head) + 4 + int(rest.partition(b"\r\n")[0])


def drive(port: int, request: bytes, connections: int, seconds: float) -> tuple[int, float]:
    """Send a request on each connection, and again as soon as it is answered.

    Returns:
        How many were answered, in how many seconds.

    Raises:
        RuntimeError: An answer was no success, or none came.
    """
    poll = select.epoll()
    sockets: dict[int, socket.socket] = {}
    partial: dict[int, bytes] = {}
    try:
        for _ in range(connections):
            connection = socket.create_connection(("127.0.0.1", port), timeout=STILL)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sockets[connection.fileno()] = connection
            poll.register(connection, select.EPOLLIN)
        count = 0
        start = time.perf_counter()
        for connection in sockets.values():
            connection.sendall(request)
        while True:
            ready = poll.poll(STILL)
            if not ready:
                raise RuntimeError(f"no answer within {STILL} s")
            for descriptor, _ in ready:
                connection = sockets[descriptor]
                read = connection.recv(CHUNK)
                if not read:
                    raise RuntimeError("the server hung up")
                data = partial.pop(descriptor, b"") + read
                length = _answer_length(data)
                if length is None or len(data) < length:
                    partial[descriptor] = data
                    continue
                count += 1
                connection.sendall(request)
            now = time.perf_counter()
            if now - start >= seconds and count >= connections:
                return count, now - start
    finally:
        poll.close()
        for connection in sockets.values():
            connection.close()


class Subscribers:
    """WebSockets that count what they are sent; a context manager that closes them.

    Args:
        port: Of the server.
        number: How many.
        hello: Sent as a text message by each, and answered with one message; ``b""`` sends none.
    """

    def __init__(self, port: int, number: int, hello: bytes = b"") -> None:
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._buffer = bytearray(CHUNK)
        for _ in range(number):
            connection = socket.create_connection(("127.0.0.1", port), timeout=STILL)
            self._sockets[connection.fileno()] = connection
            self._shake_hands(connection)
            if hello:
                mask = 0x80
                connection.sendall(
                    bytes([0x81, mask | 126]) + len(hello).to_bytes(2, "big") + bytes(4) + hello
                )
                self._read_message(connection)
            self._poll.register(connection, select.EPOLLIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._poll.close()
        for connection in self._sockets.values():
            connection.close()

    def _shake_hands(self, connection: socket.socket) -> None:
        headers = {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
        }
        connection.sendall(request_bytes("GET", "/", headers))
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self._read(connection, 1)
        if not head.startswith(b"HTTP/1.1 101"):
            raise RuntimeError(f"no WebSocket: {head!r}")

    def _read(self, connection: socket.socket, count: int) -> bytes:
        data = b""
        while len(data) < count:
            read = connection.recv(count - len(data))
            if not read:
                raise RuntimeError("the server hung up")
            data += read
        return data

    def _read_message(self, connection: socket.socket) -> bytes:
        """One text message of at least 126 and less than 65536 bytes, or a shorter one."""
        kind, short = self._read(connection, 2)
        if kind != 0x81 or short == 127:
            raise RuntimeError(f"not a short text message: {kind:#x} {short}")
        length = short if short < 126 else int.from_bytes(self._read(connection, 2), "big")
        return self._read(connection, length)

    def read_messages(self) -> set[bytes]:
        """Read one message from each, and give the different ones."""
        return {self._read_message(connection) for connection in self._sockets.values()}

    def receive(self, count: int) -> None:
        """Wait until each has received exactly so many bytes more.

        Raises:
            RuntimeError: One has received more, or less and then nothing for long.
        """
        missing = dict.fromkeys(self._sockets, count)
        waiting = len(missing)
        while waiting:
            ready = self._poll.poll(STILL)
            if not ready:
                raise RuntimeError(f"{waiting} subscribers still miss bytes after {STILL} s")
            for descriptor, _ in ready:
                read = self._sockets[descriptor].recv_into(self._buffer)
                left = missing[descriptor] = missing[descriptor] - read
                if left < 0 or not read:
                    raise RuntimeError(f"a subscriber was sent {count - left} bytes instead of {count}")
                if not left:
                    waiting -= 1
