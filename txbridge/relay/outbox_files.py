"""An outbox in a folder, looked at from outside: by another process, while a relay writes it or afterwards.

Nothing is changed and nothing locked.  What is seen is what was on the disk at some moment: a destination may
have settled a little more than it says, and an unfinished record at the very end is one that is being
written just now, or was never accepted.  Everything here waits for the disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

from attrs import define, field, frozen

from txbridge.errors import DecodeError, OutboxError
from txbridge.model.samples import Batch
from txbridge.relay.files import Files, size_of
from txbridge.relay.positions import Positions
from txbridge.relay.records import decode_batch
from txbridge.relay.roles import Stamp
from txbridge.relay.segments import (
    SEGMENT_HEAD,
    Found,
    Head,
    Places,
    Summary,
    decode_places,
    decode_summary,
    scan,
)

__all__ = ["OutboxFiles", "SegmentFile", "Waiting", "look_at_outbox"]

_NEVER = Stamp(0, 0, "")


@frozen
class SegmentFile:
    """A segment.

    Attributes:
        path: Where it is, without the ending.
        nbytes: What it takes on the disk, with its summary.
        summary: What is known of it.
        is_there: Whether there is more than its summary.
    """

    path: Path
    nbytes: int
    summary: Summary
    is_there: bool = True

    @property
    def points(self) -> int:
        """How many points there are in it."""
        return sum(total.points for total in self.summary.totals.values())

    @property
    def begun(self) -> Stamp:
        """When its first record was accepted."""
        return self.summary.begun

    @property
    def ended(self) -> Stamp:
        """When its last one was."""
        return self.summary.ended


@frozen
class Waiting:
    """What waits for a destination.

    Attributes:
        points: How many points.
        nbytes: What they take on the disk.
        first_wall_ns: When the oldest of it was accepted, in nanoseconds since 1970; None when nothing waits.
    """

    points: int = 0
    nbytes: int = 0
    first_wall_ns: int | None = None


@define(slots=False)
class OutboxFiles:
    """What lies in an outbox's folder.

    Attributes:
        segments: In their order.
        places: What the destinations have settled.
    """

    segments: tuple[SegmentFile, ...]
    places: Places
    _files: Files = field(repr=False)

    @property
    def nbytes(self) -> int:
        """What the segments take on the disk."""
        return sum(segment.nbytes for segment in self.segments)

    @property
    def points(self) -> int:
        """How many points they have, each counted once."""
        return sum(segment.points for segment in self.segments)

    @cached_property
    def waiting(self) -> Mapping[str, Waiting]:
        """Destination -> what it has not settled, by name.

        Raises:
            OutboxError: A segment cannot be read.
        """
        return {name: self._waiting(name) for name in sorted(self.places.destinations)}

    def records(self, destination: str | None = None) -> Iterator[tuple[int, Stamp, Batch | DecodeError]]:
        """Everything that waits for a destination, or everything that is kept, in order.

        Args:
            destination: Who; None is everything.

        Yields:
            The position, when it was accepted, and the batch, or why it cannot be read.

        Raises:
            OutboxError: A segment cannot be read at all.
        """
        settled = self._settled(destination)
        for segment in self.segments:
            if settled.has_all(segment.summary.first, segment.summary.last):
                continue
            for found in self._found(segment):
                head = found.head
                if head is None:
                    text = f"{found.size} bytes at {found.offset} of {segment.path.name} cannot be read"
                    yield segment.summary.first, segment.begun, DecodeError("record", "", text)
                elif destination is None or (head.is_for(destination) and head.position not in settled):
                    yield head.position, head.stamp, _batch_of(head, found.body)

    def _settled(self, destination: str | None) -> Positions:
        place = None if destination is None else self.places.destinations.get(destination)
        return Positions() if place is None else Positions(place.settled)

    def _waiting(self, destination: str) -> Waiting:
        settled = self._settled(destination)
        points = nbytes = 0
        first_wall_ns: int | None = None
        for segment in self.segments:
            summary = segment.summary
            if settled.has_all(summary.first, summary.last):
                continue
            if settled.last_below(summary.last + 1) < summary.first:  # nothing of it
                totals = [
                    total for only, total in summary.totals.items() if only is None or destination in only
                ]
                more = sum(total.records for total in totals)
                points += sum(total.points for total in totals)
                nbytes += sum(total.nbytes for total in totals)
                begun = segment.begun.wall_ns
            else:
                heads = [
                    head
                    for found in self._found(segment)
                    if (head := found.head) is not None
                    and head.is_for(destination)
                    and head.position not in settled
                ]
                more = len(heads)
                points += sum(head.points for head in heads)
                nbytes += sum(head.size for head in heads)
                begun = heads[0].stamp.wall_ns if heads else 0
            if more and first_wall_ns is None:
                first_wall_ns = begun
        return Waiting(points, nbytes, first_wall_ns)

    def _found(self, segment: SegmentFile) -> Iterator[Found]:
        if not segment.is_there:
            yield Found(0, segment.summary.used, None, None)
            return
        try:
            data = _read(self._files, segment.path.with_suffix(".seg"))
        except FileNotFoundError:
            return  # settled and removed, or thinned, since the folder was looked at
        except OSError as error:
            raise OutboxError(f"{segment.path.name} cannot be read: {error}") from error
        yield from _finished(data, segment is self.segments[-1])


def look_at_outbox(folder: Path, files: Files) -> OutboxFiles:
    """Look at an outbox.

    Args:
        folder: Where it is.
        files: The file system.

    Raises:
        OutboxError: The folder cannot be read.
    """
    try:
        kinds: dict[tuple[int, int], set[str]] = {}
        for name in files.names(folder):
            stem, _, kind = name.partition(".")
            first, dash, generation = stem.partition("-")
            if kind in ("seg", "sum") and dash and first.isdigit() and generation.isdigit():
                kinds.setdefault((int(first), int(generation)), set()).add(kind)
        # Of a segment that is just being thinned, the new one holds when it has more than its summary.
        chosen = {
            first: (first, generation)
            for first, generation in sorted(kinds, key=lambda key: ("seg" in kinds[key], key[1]))
        }
        order = [chosen[first] for first in sorted(chosen)]
        segments = [
            _segment(folder / f"{key[0]:020}-{key[1]}", key, kinds[key], files, is_last=key == order[-1])
            for key in order
        ]
        places = _places(folder, files)
    except OSError as error:
        raise OutboxError(f"the outbox in {folder} cannot be read: {error}") from error
    return OutboxFiles(tuple(one for one in segments if one is not None), places, files)


def _read(files: Files, path: Path) -> bytes:
    file = files.open(path)
    try:
        return file.read(0, file.size())
    finally:
        file.close()


def _places(folder: Path, files: Files) -> Places:
    best = Places()
    for slot in (0, 1):
        try:
            places = decode_places(_read(files, folder / f"places-{slot}"))
        except (FileNotFoundError, DecodeError):
            continue
        if places.number >= best.number:
            best = places
    return best


def _segment(
    path: Path, key: tuple[int, int], kinds: set[str], files: Files, *, is_last: bool
) -> SegmentFile | None:
    summary: Summary | None = None
    if "sum" in kinds:
        try:
            summary = decode_summary(_read(files, path.with_suffix(".sum")), whole=False)
        except (FileNotFoundError, DecodeError):
            summary = None
    if summary is None and "seg" in kinds:
        try:
            data = _read(files, path.with_suffix(".seg"))
        except FileNotFoundError:
            return None
        summary = Summary(key[0], key[0] - 1, key[1], len(SEGMENT_HEAD), _NEVER, _NEVER)
        for found in _finished(data, is_last):
            if found.head is not None:
                summary.add(found.head, found.offset)
    if summary is None or not summary.totals:
        return None
    nbytes = sum(size_of(files, path.with_suffix(kind)) for kind in (".seg", ".sum"))
    return SegmentFile(path, nbytes, summary, "seg" in kinds)


def _finished(data: bytes, is_last: bool) -> Iterator[Found]:
    """The records of a segment but for one at the very end that is being written."""
    waiting: Found | None = None
    for found in scan(data):
        if waiting is not None:
            yield waiting
        waiting = found
    if waiting is not None and not (is_last and waiting.body is None):
        yield waiting


def _batch_of(head: Head, body: bytes | None) -> Batch | DecodeError:
    if body is None:
        lost = ", ".join(f"{span.points} points of {span.stream}" for span in head.spans)
        return DecodeError("record", "", f"its checksum is wrong; it had {lost or 'no points'}")
    try:
        return decode_batch(body)
    except DecodeError as error:
        return error
