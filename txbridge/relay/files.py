"""The file system as the durable outbox sees it: a small seam, and what is really behind it.

Everything here blocks, so it is called in a thread, and fails with `OSError`.  A test puts a file system
in memory here that runs full, loses what was not synced, and flips bits.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from txbridge.net.private_file import sync_folder

__all__ = ["File", "Files", "Lock", "RealFiles", "put_file", "size_of"]

_PIECES = 512  # buffers in one call; Linux takes 1024


class File(Protocol):
    """An open file."""

    def size(self) -> int:
        """How long it is."""

    def read(self, offset: int, size: int) -> bytes:
        """So many bytes from a place on; fewer at the end."""

    def write(self, offset: int, pieces: Sequence[bytes]) -> None:
        """Write pieces one after the other from a place on, all of them or fail."""

    def sync(self) -> None:
        """Fires the file's content, and its length, through to the disk."""

    def truncate(self, size: int) -> None:
        """Cut it off."""

    def close(self) -> None:
        """Let go of it."""


class Lock(Protocol):
    """Keeps other processes out until it is released."""

    def release(self) -> None:
        """Let others in."""


class Files(Protocol):
    """What can be done with files by their names."""

    def make_folder(self, path: Path) -> None:
        """Make a folder, and those above it; one that is there already is fine."""

    def names(self, path: Path) -> list[str]:
        """The names in a folder."""

    def create(self, path: Path, size: int) -> File:
        """Make a file, or empty the one that is there, with room for so many bytes that are zero.

        The room is the file's: writing there needs no more of the disk.  If there is no such room there
        is no such file afterwards.
        """

    def open(self, path: Path, *, writing: bool = False) -> File:
        """Open a file that is there."""

    def rename(self, old: Path, new: Path) -> None:
        """Give a file another name, in one step."""

    def remove(self, path: Path) -> None:
        """Take a file away; one that is not there is fine."""

    def sync_folder(self, path: Path) -> None:
        """Make the names in a folder as durable as the disk is."""

    def free(self, path: Path) -> int:
        """How many bytes the disk has left for a folder."""

    def lock(self, path: Path) -> Lock:
        """Keep every other process out.

        Raises:
            BlockingIOError: Another process is in; its ``strerror`` says which.
        """


def size_of(files: Files, path: Path) -> int:
    """How long a file is; 0 when there is none."""
    try:
        file = files.open(path)
    except FileNotFoundError:
        return 0
    try:
        return file.size()
    finally:
        file.close()


def put_file(files: Files, path: Path, data: bytes, unready: Path, *, room: int, sync: bool = True) -> None:
    """Put a file in the place of what is there, in one step.

    Args:
        files: Where.
        path: Its name.
        data: What is in it.
        unready: What it is called until it is ready; taken away if the disk fails.
        room: How long it is; at least as long as the data.
        sync: Whether it is on the disk when this returns.
    """
    try:
        file = files.create(unready, room)
        try:
            file.write(0, [data])
            if sync:
                file.sync()
        finally:
            file.close()
        files.rename(unready, path)
    except OSError:
        files.remove(unready)
        raise
    if sync:
        files.sync_folder(path.parent)


class _RealFile:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def read(self, offset: int, size: int) -> bytes:
        parts: list[bytes] = []
        while size > 0:
            part = os.pread(self._descriptor, size, offset)
            if not part:
                break
            parts.append(part)
            offset += len(part)
            size -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def write(self, offset: int, pieces: Sequence[bytes]) -> None:
        for start in range(0, len(pieces), _PIECES):
            some = pieces[start : start + _PIECES]
            total = sum(map(len, some))
            written = os.pwritev(self._descriptor, some, offset)
            if written < total:  # a signal, or a disk that is full from here on: the next call says which
                rest = memoryview(b"".join(some))[written:]
                while rest:
                    count = os.pwrite(self._descriptor, rest, offset + total - len(rest))
                    rest = rest[count:]
            offset += total

    def sync(self) -> None:
        os.fdatasync(self._descriptor)

    def truncate(self, size: int) -> None:
        os.ftruncate(self._descriptor, size)

    def close(self) -> None:
        os.close(self._descriptor)


class _RealLock:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        os.close(self._descriptor)


class RealFiles:
    """The file system of this machine."""

    def make_folder(self, path: Path) -> None:
        """Make a folder, readable by its owner alone, and those above it."""
        missing = [one for one in (path, *path.parents) if not one.exists()]
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        for one in missing:
            self.sync_folder(one.parent)

    def names(self, path: Path) -> list[str]:
        """The names in a folder."""
        return os.listdir(path)

    def create(self, path: Path, size: int) -> File:
        """Make a file with room for so many bytes."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            if size:
                os.posix_fallocate(descriptor, 0, size)
        except OSError:
            # It took what was there before it failed, and would keep it.
            os.close(descriptor)
            path.unlink()
            raise
        return _RealFile(descriptor)

    def open(self, path: Path, *, writing: bool = False) -> File:
        """Open a file that is there."""
        return _RealFile(os.open(path, (os.O_RDWR if writing else os.O_RDONLY) | os.O_CLOEXEC))

    def rename(self, old: Path, new: Path) -> None:
        """Give a file another name."""
        old.rename(new)

    def remove(self, path: Path) -> None:
        """Take a file away."""
        path.unlink(missing_ok=True)

    def sync_folder(self, path: Path) -> None:
        """Make the names in a folder durable."""
        sync_folder(path)

    def free(self, path: Path) -> int:
        """How many bytes the disk has left."""
        found = os.statvfs(path)
        return found.f_bavail * found.f_frsize

    def lock(self, path: Path) -> Lock:
        """Keep every other process out, by ``flock``: a process that dies is out."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise BlockingIOError(error.errno, f"process {owner or '?'} uses it", str(path)) from None
        with suppress(OSError):  # of a full disk: who has it is only for people
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        return _RealLock(descriptor)
