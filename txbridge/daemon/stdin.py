"""Lines of standard input as they come, without blocking the reactor.

A thread of its own reads, because a file, a pipe and a terminal are all different to a reactor, and
because making a terminal non-blocking would make it so for the shell too.  The thread is never more
than two chunks ahead, so a fast file does not pile up in memory, and it is a daemon: a program that
has something better to do ends while the thread still waits for a line.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from threading import Semaphore, Thread
from typing import TextIO

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorFromThreads

from txbridge.errors import ConfigError

__all__ = ["StdinLines", "opened", "size_of"]

CHUNK = 65536  # bytes; what a pipe holds
AHEAD = 2  # chunks
LONGEST_LINE = 1 << 20  # bytes


class StdinLines:
    """Reads a file descriptor line by line; one reader.

    Args:
        reactor: Where Deferreds fire.
        descriptor: What to read.

    Attributes:
        bytes_read: How much was taken so far.
    """

    def __init__(self, reactor: IReactorFromThreads, descriptor: int) -> None:
        self.bytes_read = 0
        self._reactor = reactor
        self._descriptor = descriptor
        self._room = Semaphore(AHEAD)
        self._chunks: deque[bytes | OSError] = deque()
        self._rest = b""
        self._count = 0
        self._ended = False
        self._waiting: Deferred[list[str]] | None = None
        Thread(target=self._read, name="stdin", daemon=True).start()

    @property
    def is_ready(self) -> bool:
        """Whether the next lines, or the end, are there already."""
        return any(isinstance(chunk, OSError) or not chunk or b"\n" in chunk for chunk in self._chunks)

    def next_lines(self) -> Deferred[list[str]]:
        """The next lines, without their ends; an empty list at the end of the input.

        Raises:
            ConfigError: The input is no text, or cannot be read.
        """
        lines = self._take()
        if lines is not None:
            return lines
        self._waiting = Deferred(self._forget)
        return self._waiting

    def _forget(self, waiting: Deferred[list[str]]) -> None:
        self._waiting = None

    def _take(self) -> Deferred[list[str]] | None:
        """What the chunks that are there hold; None if that is no line yet."""
        if self._ended:
            return succeed([])
        lines: list[bytes] = []
        while self._chunks and not lines:
            chunk = self._chunks.popleft()
            self._room.release()
            if isinstance(chunk, OSError):
                self._ended = True
                return fail(ConfigError([f"standard input: {chunk.strerror}"]))
            self.bytes_read += len(chunk)
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            if not chunk:
                self._ended = True
                lines, self._rest = ([self._rest] if self._rest else []), b""
            if len(self._rest) > LONGEST_LINE:
                self._ended = True
                return fail(ConfigError([f"line {self._count + len(lines) + 1}: it is too long"]))
        if not lines and not self._ended:
            return None
        return self._decode(lines)

    def _decode(self, lines: list[bytes]) -> Deferred[list[str]]:
        texts: list[str] = []
        for line in lines:
            self._count += 1
            try:
                texts.append(line.removesuffix(b"\r").decode("utf-8-sig" if self._count == 1 else "utf-8"))
            except UnicodeDecodeError:
                self._ended = True
                return fail(ConfigError([f"line {self._count}: it is not UTF-8"]))
        return succeed(texts)

    def _came(self, chunk: bytes | OSError) -> None:
        self._chunks.append(chunk)
        if self._waiting is not None:
            lines = self._take()
            if lines is not None:
                waiting, self._waiting = self._waiting, None
                lines.chainDeferred(waiting)

    def _read(self) -> None:
        """In the thread."""
        while True:
            self._room.acquire()
            chunk: bytes | OSError
            try:
                chunk = os.read(self._descriptor, CHUNK)
            except OSError as error:
                chunk = error
            self._reactor.callFromThread(self._came, chunk)
            if not chunk or isinstance(chunk, OSError):
                return


def opened(stream: TextIO | None, name: str) -> TextIO:
    """A standard stream, which Python has no object for when the shell has closed it.

    Args:
        stream: The stream.
        name: What it is called.

    Raises:
        ConfigError: It is closed.
    """
    if stream is None:
        raise ConfigError([f"{name} is closed"])
    return stream


def size_of(descriptor: int) -> float | None:
    """How much there is to read, if it is a file."""
    status = os.fstat(descriptor)
    return float(status.st_size) if stat.S_ISREG(status.st_mode) else None
