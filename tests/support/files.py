"""A file system in memory that runs full, fails, loses what was not synced, and is damaged.

It keeps apart what a program sees and what is on the disk: `File.sync` moves a file's content there, and
`sync_folder` the names.  `power_cut` gives back what was on the disk, and of all that was not synced
whatever chance leaves, down to single sectors.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from random import Random

from txbridge.relay.files import File, Lock

__all__ = ["FaultyFiles"]

SECTOR = 512


class _Node:
    """A file, whatever its name is."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.synced = b""
        self.unsynced: list[tuple[int, bytes] | int] = []  # writes, and lengths that it was cut to

    def resize(self, size: int) -> None:
        if size < len(self.data):
            del self.data[size:]
        else:
            self.data.extend(bytes(size - len(self.data)))
        self.unsynced.append(size)

    def sync(self) -> None:
        self.synced = bytes(self.data)
        self.unsynced.clear()

    def cut_power(self, random: Random) -> None:
        data = bytearray(self.synced)
        for change in self.unsynced:
            if random.random() < 0.3:
                continue
            if isinstance(change, int):
                del data[change:]
                data.extend(bytes(change - len(data)))
                continue
            offset, written = change
            whole = random.random() < 0.3
            for start in range(offset - offset % SECTOR, offset + len(written), SECTOR):
                if whole or random.random() < 0.5:
                    first, last = max(start, offset), min(start + SECTOR, offset + len(written))
                    data.extend(bytes(max(0, last - len(data))))
                    data[first:last] = written[first - offset : last - offset]
        self.data = data
        self.sync()


class _File:
    def __init__(self, files: FaultyFiles, node: _Node) -> None:
        self._files = files
        self._node = node

    def size(self) -> int:
        return len(self._node.data)

    def read(self, offset: int, size: int) -> bytes:
        self._files.may_fail("read")
        self._files.bytes_read += min(size, len(self._node.data) - offset)
        return bytes(self._node.data[offset : offset + size])

    def write(self, offset, pieces) -> None:
        data = b"".join(pieces)
        grown = offset + len(data) - len(self._node.data)
        room = self._files.room
        if grown > room:  # what fits is written, as a real disk does it
            data = data[: max(0, len(data) - (grown - max(room, 0)))]
        short = self._files.failing("write")
        if short:
            data = data[: len(data) // 2]
        end = offset + len(data)
        self._node.data.extend(bytes(max(0, end - len(self._node.data))))
        self._node.data[offset:end] = data
        self._node.unsynced.append((offset, data))
        if grown > room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._files.may_fail("write")

    def sync(self) -> None:
        self._files.may_fail("sync")
        self._files.syncs += 1
        self._node.sync()

    def truncate(self, size: int) -> None:
        self._files.may_fail("truncate")
        self._node.resize(size)

    def close(self) -> None:
        pass


class _Lock:
    def __init__(self, files: FaultyFiles, path: Path) -> None:
        self._files = files
        self._path = path

    def release(self) -> None:
        self._files.locked.discard(self._path)


class FaultyFiles:
    """A disk.

    Attributes:
        capacity: How many bytes it has, or None for as many as are wanted.
        locked: The locks that are held.
        syncs: How often a file was synced.
        bytes_read: How many bytes were read.
    """

    def __init__(self, capacity: int | None = None) -> None:
        self.capacity = capacity
        self.locked: set[Path] = set()
        self.syncs = 0
        self.bytes_read = 0
        self._folders: set[Path] = set()
        self._names: dict[Path, _Node] = {}
        self._synced_names: dict[Path, _Node] = {}
        self._unsynced_names: list[tuple[Path, _Node | None]] = []
        self._faults: dict[str, list[int]] = {}

    # What a test does to it.

    def fail(self, operation: str, error: int = errno.EIO, times: int = 1) -> None:
        """Make the next calls of an operation fail."""
        self._faults.setdefault(operation, []).extend([error] * times)

    def mend(self) -> None:
        """Let everything work again."""
        self._faults.clear()
        self.capacity = None

    def power_cut(self, random: Random) -> None:
        """Go back to what is on the disk; of what was not synced, chance decides."""
        names = dict(self._synced_names)
        for path, node in self._unsynced_names:
            if random.random() < 0.5:
                if node is None:
                    names.pop(path, None)
                else:
                    names[path] = node
        self._names = names
        self._synced_names = dict(names)
        self._unsynced_names.clear()
        for node in set(names.values()):
            node.cut_power(random)
        self.kill()

    def kill(self) -> None:
        """The process that used it is gone; what it wrote is there."""
        self.locked.clear()

    def paths(self, pattern: str = "*") -> list[Path]:
        """The files whose names match, in order."""
        return sorted(path for path in self._names if path.match(pattern))

    def content(self, path: Path) -> bytes:
        """What is in a file."""
        return bytes(self._names[path].data)

    def flip(self, path: Path, bit: int) -> None:
        """Turn a bit over."""
        node = self._names[path]
        node.data[bit // 8] ^= 1 << bit % 8
        node.sync()

    def cut(self, path: Path, size: int) -> None:
        """Cut a file off."""
        node = self._names[path]
        node.resize(size)
        node.sync()

    def put(self, path: Path, data: bytes) -> None:
        """Make a file that is on the disk."""
        node = self._names[path] = self._synced_names[path] = _Node()
        node.data = bytearray(data)
        node.sync()

    def delete(self, path: Path) -> None:
        """Take a file away, for good."""
        self._names.pop(path)
        self._synced_names.pop(path, None)
        self._unsynced_names = [one for one in self._unsynced_names if one[0] != path]

    # What it is asked.

    def failing(self, operation: str) -> bool:
        """Whether the next call of an operation will fail."""
        return bool(self._faults.get(operation))

    def may_fail(self, operation: str) -> None:
        """Called by each operation."""
        if self._faults.get(operation):
            number = self._faults[operation].pop(0)
            raise OSError(number, os.strerror(number))

    @property
    def used(self) -> int:
        """How many bytes the files take."""
        return sum(len(node.data) for node in set(self._names.values()))

    @property
    def room(self) -> int:
        """How many bytes are left."""
        return 1 << 40 if self.capacity is None else self.capacity - self.used

    def make_folder(self, path: Path) -> None:
        self._folders.add(path)

    def names(self, path: Path) -> list[str]:
        self.may_fail("names")
        return [one.name for one in self._names if one.parent == path]

    def create(self, path: Path, size: int) -> File:
        self.may_fail("create")
        node = self._names.get(path)
        if node is None:
            node = self._names[path] = _Node()
            self._unsynced_names.append((path, node))
        node.resize(0)
        if size > self.room:
            self.remove(path)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        node.resize(size)
        return _File(self, node)

    def open(self, path: Path, *, writing: bool = False) -> File:
        self.may_fail("open")
        if path not in self._names:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return _File(self, self._names[path])

    def rename(self, old: Path, new: Path) -> None:
        self.may_fail("rename")
        node = self._names.pop(old)
        self._names[new] = node
        self._unsynced_names += [(new, node), (old, None)]

    def remove(self, path: Path) -> None:
        self.may_fail("remove")
        if self._names.pop(path, None) is not None:
            self._unsynced_names.append((path, None))

    def sync_folder(self, path: Path) -> None:
        self.may_fail("sync")
        self._synced_names = dict(self._names)
        self._unsynced_names.clear()

    def free(self, path: Path) -> int:
        return self.room

    def lock(self, path: Path) -> Lock:
        if path in self.locked:
            raise BlockingIOError(errno.EAGAIN, "process 1 uses it", str(path))
        self.locked.add(path)
        return _Lock(self, path)
