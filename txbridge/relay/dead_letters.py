"""Dead letters: what a destination refused for good, with its words, until somebody decides.

Each refused part is a file of its own, so that people can look at it, keep it and move it with the tools
that they know.  It lies in ``dead/<destination>/<number>.letter`` in the folder of its route, and is begun
again by giving it another name: what lies in ``requeue/`` goes back to that destination
(`txbridge.relay.requeue`), also while the relay runs.

A letter is written beside its place, synced, and then renamed, so there is never half of one.  It begins
with a mark and the length of a head; the head is JSON, and says what is in it; the record of a batch
(`txbridge.relay.records`) follows, and a digest of everything before it.

There are caps on how many there are and what they take.  The oldest goes when there is no room, and the
ledger is told first.  That row counts no points: they are in the ledger since they were refused.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from urllib.parse import quote

import msgspec
from attrs import evolve, frozen
from twisted.internet.defer import DeferredLock

from txbridge.errors import DecodeError, OutboxError
from txbridge.model.samples import Batch, Gap
from txbridge.net.deferred import deferred
from txbridge.relay.files import Files, put_file, size_of
from txbridge.relay.records import decode_batch, encode_batch
from txbridge.relay.roles import Ledger, Loss, LossKind
from txbridge.relay.worker import Worker

__all__ = [
    "DeadLetterBox",
    "Letter",
    "LetterFiles",
    "LetterHead",
    "LetterStream",
    "decode_letter",
    "encode_letter",
]

FORMAT = "letter"
MARK = b"TXL\x01"  # the last byte is the version
SUFFIX = ".letter"
DAMAGED = ".damaged"
MAX_LETTERS = 10_000
MAX_BYTES = 100 << 20
MAX_REASON = 10_000
MAX_STREAMS = 100  # that a head names
MAX_NAME = 200  # characters of a name in a head
_HEAD_AT = 8
_DIGEST = 16
_MAX_HEAD = 1 << 20


@frozen
class LetterStream:
    """What a letter has of a stream.

    Attributes:
        stream: Its name.
        start_ns: The first instant.
        end_ns: The last one, included.
        points: How many points; 0 for an annotation or an event.
    """

    stream: str
    start_ns: int
    end_ns: int
    points: int


@frozen(kw_only=True)
class LetterHead:
    """What a letter says of itself.

    Attributes:
        destination: Who refused it.
        buried_ns: When, in nanoseconds since 1970.
        reason: Its words.
        points: How many points there are.
        streams: The first hundred streams.
        more_streams: How many there are besides.
    """

    destination: str
    buried_ns: int
    reason: str
    points: int
    streams: tuple[LetterStream, ...] = ()
    more_streams: int = 0


@frozen
class Letter:
    """A letter that was read.

    Attributes:
        head: What it says of itself.
        batch: What was refused.
    """

    head: LetterHead
    batch: Batch


# ------------------------------------------------------------------------------------ the format


def encode_letter(destination: str, batch: Batch, reason: str, buried_ns: int) -> bytes:
    """Write a letter.

    Raises:
        EncodeError: The batch cannot be written.
    """
    streams = [
        LetterStream(gap.stream[:MAX_NAME], gap.start_ns, gap.end_ns, gap.points or 0)
        for gap in batch.lost(reason)
    ]
    head = LetterHead(
        destination=destination,
        buried_ns=buried_ns,
        reason=reason[:MAX_REASON],
        points=batch.points,
        streams=tuple(streams[:MAX_STREAMS]),
        more_streams=max(0, len(streams) - MAX_STREAMS),
    )
    # A cursor says where a source goes on: one that comes back must not move it.
    record = encode_batch(evolve(batch, cursor=None))
    text = json.dumps(msgspec.to_builtins(head)).encode("ascii")
    data = MARK + len(text).to_bytes(4, "little") + text + record
    return data + blake2b(data, digest_size=_DIGEST).digest()


def decode_letter(data: bytes) -> Letter:
    """Read what `encode_letter` wrote.

    Raises:
        DecodeError: It is not a letter, or not as it was written.
    """
    body = data[:-_DIGEST]
    head = _decode_head(body)
    if blake2b(body, digest_size=_DIGEST).digest() != data[-_DIGEST:]:
        raise DecodeError(FORMAT, "", "it is damaged: its digest is not the one that was written")
    return Letter(head, decode_batch(body[_HEAD_AT + _head_length(body) :]))


def _head_length(start: bytes) -> int:
    if len(start) < _HEAD_AT or start[:3] != MARK[:3]:
        raise DecodeError(FORMAT, "", "not a dead letter")
    if start[3] != MARK[3]:
        raise DecodeError(FORMAT, "", f"version {start[3]} of the format is not known to this program")
    return int.from_bytes(start[4:_HEAD_AT], "little")


def _decode_head(data: bytes) -> LetterHead:
    end = _HEAD_AT + _head_length(data)
    if not end <= len(data):
        raise DecodeError(FORMAT, "", "it ends within its head")
    try:
        return msgspec.convert(json.loads(data[_HEAD_AT:end].decode("ascii")), LetterHead)
    except (ValueError, RecursionError) as error:
        raise DecodeError(FORMAT, "head", str(error)) from None


# ------------------------------------------------------------------------------------- the files


@contextmanager
def _telling(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutboxError(f"{what}: {error}") from error


def _folder_name(destination: str) -> str:
    return quote(destination, safe="").replace(".", "%2E")


def _number(path: Path) -> int:
    digits = path.name.removesuffix(SUFFIX).rpartition("-")[2]
    return int(digits) if digits.isascii() and digits.isdigit() else 0


class LetterFiles:
    """The letters of a route.  Everything here waits for the disk, and fails with `OutboxError`.

    Args:
        folder: The route's.
        files: The file system.
    """

    def __init__(self, folder: Path, files: Files) -> None:
        self.dead = folder / "dead"
        self.requeue_folder = folder / "requeue"
        self._files = files

    def paths(self) -> list[Path]:
        """The letters, the oldest first; what somebody keeps beside them under another name is none."""
        with _telling("the dead letters cannot be listed"):
            folders = [self.dead / name for name in self._names(self.dead)]
            found = [folder / name for folder in folders for name in self._names(folder)]
        return sorted((path for path in found if path.suffix == SUFFIX and path.stem.isdigit()), key=_number)

    def requeued(self) -> list[Path]:
        """The letters that go back, the oldest first."""
        with _telling("the letters that go back cannot be listed"):
            names = self._names(self.requeue_folder)
        paths = [self.requeue_folder / name for name in names if name.endswith(SUFFIX)]
        return sorted(paths, key=_number)

    def size(self, path: Path) -> int:
        """How many bytes a letter takes; 0 if somebody took it away."""
        with _telling(f"the letter {path.name} cannot be looked at"):
            return size_of(self._files, path)

    def head(self, path: Path) -> LetterHead:
        """What a letter says of itself; that it is whole is not checked.

        Raises:
            DecodeError: It is not a letter.
        """
        start = self._read(path, _HEAD_AT)
        return _decode_head(self._read(path, _HEAD_AT + min(_head_length(start), _MAX_HEAD)))

    def letter(self, path: Path) -> Letter:
        """A whole letter.

        Raises:
            DecodeError: It is damaged.
        """
        return decode_letter(self._read(path, None))

    def next_number(self) -> int:
        """A number that no letter has."""
        return 1 + max(map(_number, (*self.paths(), *self.requeued())), default=0)

    def write(self, destination: str, number: int, data: bytes) -> Path:
        """Keep a letter durably."""
        folder = self.dead / _folder_name(destination)
        path = folder / f"{number:08}{SUFFIX}"
        unready = folder / f"{number:08}.tmp"
        with _telling("a dead letter cannot be written"):
            self._files.make_folder(folder)
            put_file(self._files, path, data, unready, room=len(data))
        return path

    def make_requeue_folder(self) -> None:
        """Make the folder for letters that go back, if it is not there."""
        with _telling("the folder for letters that go back cannot be made"):
            self._files.make_folder(self.requeue_folder)

    def requeue(self, path: Path) -> Path:
        """Send a letter back to its destination; gives where it waits for that."""
        there = self.requeue_folder / f"{path.parent.name}-{path.name}"
        self.make_requeue_folder()
        with _telling(f"the letter {path.name} cannot be sent back"):
            self._files.rename(path, there)
            self._files.sync_folder(self.requeue_folder)
            self._files.sync_folder(path.parent)
        return there

    def remove(self, path: Path) -> None:
        """Take a letter away."""
        with _telling(f"the letter {path.name} cannot be removed"):
            self._files.remove(path)
            self._files.sync_folder(path.parent)

    def set_aside(self, path: Path) -> None:
        """Give a damaged letter another name, so that nobody takes it for a letter again."""
        with _telling(f"the damaged letter {path.name} cannot be renamed"):
            self._files.rename(path, path.with_name(path.name + DAMAGED))
            self._files.sync_folder(path.parent)

    def _names(self, folder: Path) -> list[str]:
        try:
            return self._files.names(folder)
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _read(self, path: Path, most: int | None) -> bytes:
        with _telling(f"the letter {path.name} cannot be read"):
            file = self._files.open(path)
            try:
                return file.read(0, file.size() if most is None else most)
            finally:
                file.close()


class DeadLetterBox:
    """The dead letters of a route, while it runs: a `txbridge.relay.roles.DeadLetters`.

    Args:
        folder: The route's folder.
        files: The file system.
        worker: Does what waits for the disk.
        ledger: The route's; told before a letter goes.
        now_ns: The wall clock, in nanoseconds since 1970.
        max_letters: How many letters are kept.
        max_bytes: How many bytes they may take; one letter is always kept.
    """

    def __init__(
        self,
        folder: Path,
        files: Files,
        worker: Worker,
        *,
        ledger: Ledger,
        now_ns: Callable[[], int] = time.time_ns,
        max_letters: int = MAX_LETTERS,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        if max_letters < 1 or max_bytes < 1:
            raise ValueError(f"no letter fits into {max_letters} letters and {max_bytes} bytes")
        self._letters = LetterFiles(folder, files)
        self._worker = worker
        self._ledger = ledger
        self._now_ns = now_ns
        self._max_letters = max_letters
        self._max_bytes = max_bytes
        self._sizes: dict[Path, int] | None = None  # what there was when anybody looked last
        self._next = 0  # the next letter's number, once it is known
        self._one_at_a_time = DeferredLock()

    @deferred
    async def bury(self, destination: str, batch: Batch, reason: str) -> None:
        """Keep a batch with the destination's words; fires when it is durable."""
        data = encode_letter(destination, batch, reason, self._now_ns())
        await self._one_at_a_time.acquire()
        try:
            surplus = await self._worker.run(lambda: self._surplus(len(data)))
            if surplus:
                await self._ledger.record([loss for _, loss in surplus])
                await self._worker.run(lambda: self._let_go([path for path, _ in surplus]))
            await self._worker.run(lambda: self._write(destination, data))
        finally:
            self._one_at_a_time.release()

    def _write(self, destination: str, data: bytes) -> None:
        path = self._letters.write(destination, self._next, data)
        self._next += 1
        if self._sizes is not None:
            self._sizes[path] = len(data)

    def _surplus(self, more: int) -> list[tuple[Path, Loss]]:
        """The letters that must go before so many bytes can come, and what to say of them."""
        if not self._next:
            self._next = self._letters.next_number()
        if self._sizes is None or self._over(self._sizes, more):
            # Somebody may have taken letters away meanwhile, and that is no reason to let others go.
            self._sizes = {path: self._letters.size(path) for path in self._letters.paths()}
        left = dict(self._sizes)
        surplus: list[tuple[Path, Loss]] = []
        while left and self._over(left, more):
            path = next(iter(left))
            del left[path]
            surplus.append((path, self._loss(path)))
        return surplus

    def _over(self, sizes: dict[Path, int], more: int) -> bool:
        return len(sizes) >= self._max_letters or sum(sizes.values()) + more > self._max_bytes

    def _loss(self, path: Path) -> Loss:
        try:
            head = self._letters.head(path)
        except (DecodeError, OutboxError) as error:
            now_ns = self._now_ns()
            reason = f"the dead letter {path.name} was let go, and could not be read: {error}"
            return Loss("", LossKind.REFUSED, Gap("*", now_ns, now_ns, reason, 0))
        names = {stream.stream for stream in head.streams}
        gap = Gap(
            names.pop() if len(names) == 1 else "*",
            min((stream.start_ns for stream in head.streams), default=head.buried_ns),
            max((stream.end_ns for stream in head.streams), default=head.buried_ns),
            f"the dead letter {path.name} of {head.points} points was let go: there were too many",
            0,
        )
        return Loss(head.destination, LossKind.REFUSED, gap)

    def _let_go(self, paths: list[Path]) -> None:
        for path in paths:
            self._letters.remove(path)
            if self._sizes is not None:
                self._sizes.pop(path, None)
