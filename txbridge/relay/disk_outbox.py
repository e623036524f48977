"""An outbox on a disk: what it accepted survives a killed process and a power cut.

In its folder there are, besides a lock:

``00000000000000000001-0.seg``
    A segment: its first position, and how often it was thinned.  While it is written to it has all its
    room already, so a full disk shows before a record is begun and not in the middle of one.
``00000000000000000001-0.sum``
    Its summary, once it is complete.
``places-0``, ``places-1``
    What each destination has settled, the newer of the two.

What happens to it and what comes of that:

A record was not finished, at the end (a power cut, a killed process)
    It was never accepted; the source has kept it.  But nothing tells it from one that was damaged
    there, so the ledger gets a line.
A damaged record, or a part of the disk that cannot be read
    Reading finds it by its checksums, or by reading in vain three times.  The ledger gets what was in
    it by stream: from its head, or else from the summary.  Everything after it is read as ever.
A segment, or its summary, was deleted
    The one is accounted for by the other, or written again from it.  If both are gone the hole in the
    positions shows that something was there.
The places cannot be read
    Everything that is kept is sent again, and the ledger gets a line without a number: whether a segment
    before it is missing nobody can tell.
The disk is full, or a write fails
    The append fails, and nothing of it remains; the route keeps the batch and tries again.  With
    `OnFull.DROP_OLDEST` and `OnFull.DECIMATE` a full disk is one more cap.

A destination that is new to the outbox begins with the oldest that is still kept.  One that the route has
no more holds nothing back; what it had not settled is told to the ledger when it goes, and if it
comes back before that it goes on from its place.
"""

from __future__ import annotations

import errno
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from threading import Lock as ThreadLock
from typing import Any
from zlib import crc32

from attrs import define, evolve, field
from twisted.logger import Logger

from txbridge.errors import DecodeError, EncodeError, OutboxError
from txbridge.model.samples import Batch, Cursor, Gap
from txbridge.net.deferred import deferred
from txbridge.relay.clock import machine_clock
from txbridge.relay.files import File, Files, Lock, RealFiles, put_file
from txbridge.relay.positions import Positions
from txbridge.relay.queue import (
    NEVER,
    PARTS,
    Caps,
    Content,
    Item,
    Reader,
    Segment,
    SegmentGone,
    SegmentQueue,
    ShelfFull,
)
from txbridge.relay.records import decode_batch, encode_batch
from txbridge.relay.roles import Durability, Ledger, Loss, LossKind, OnFull, Stamp
from txbridge.relay.segments import (
    MAX_REST,
    SEGMENT_HEAD,
    Addressees,
    Head,
    Index,
    Places,
    Span,
    Summary,
    Total,
    decode_places,
    decode_summary,
    encode_places,
    encode_record,
    encode_rest,
    encode_summary,
    most_bytes,
    read_head,
    record_size,
    scan,
    spans_of,
)
from txbridge.relay.worker import Worker, WorkerThread

__all__ = ["DiskOutbox"]

PLACES_LOST = "its places could not be read: what is kept is sent again, what came before is not known"
SMALLEST_SEGMENT = 64 << 10
LARGEST_SEGMENT = 16 << 20
LEAST_BYTES = 4 * SMALLEST_SEGMENT
PLACES_ROOM = 64 << 10  # of each of the two files; more than most ever need
WINDOW = 256 << 10  # bytes read at once
CACHED = 4  # summaries that are kept for the next read
READ_ATTEMPTS = 3  # of a part of the disk that does not answer, before it counts as lost
PIECE = 4096  # bytes that are lost together when a part of the disk does not answer
FIGURES = 4096  # bytes of a summary that have its figures, mostly
_FULL = (errno.ENOSPC, errno.EDQUOT)


def _name(first: int, generation: int) -> str:
    return f"{first:020}-{generation}"


def _failed(what: str, error: OSError) -> OutboxError:
    return (ShelfFull if error.errno in _FULL else OutboxError)(f"{what}: {error.strerror or error}")


def _without_gaps(places: Places) -> Places:
    lean = {name: evolve(one, told=evolve(one.told, gaps=())) for name, one in places.destinations.items()}
    return evolve(places, destinations=lean)


@define
class _Recovered:
    """What was found in a folder."""

    segments: list[tuple[Segment, Summary]] = field(factory=list)
    places: Places = field(factory=Places)
    places_lost: bool = False
    unused: int = 0  # the first position of a segment that was begun and has nothing in it


class _DiskShelf:
    """Segments as files.  Only `open_folder` and what `Shelf` says are called from outside."""

    _log = Logger()

    def __init__(self, folder: Path, files: Files, durability: Durability, segment_bytes: int) -> None:
        self.durability = durability
        self._folder = folder
        self._files = files
        self._room = segment_bytes
        self._sync = durability is Durability.DISK
        self._active: File | None = None
        self._summary: Summary | None = None  # of the active segment
        self._uncut: list[tuple[Path, int]] = []  # tails of failed writes that are still there
        self._summaries: OrderedDict[tuple[int, int], Summary] = OrderedDict()
        self._cache = ThreadLock()  # the writer and the reader both use the summaries
        self._lock: Lock | None = None
        self._places_rooms = [0, 0]
        self._attempts: dict[tuple[int, int], int] = {}  # segment and row -> reads that failed

    # Opening.

    def open_folder(self) -> _Recovered:
        """Lock the folder and find out what is in it.

        Raises:
            OutboxError: Another process has it, or it cannot be read at all.
        """
        found = _Recovered()
        try:
            self._files.make_folder(self._folder)
            self._lock = self._files.lock(self._folder / "lock")
        except OSError as error:
            raise _failed(f"the outbox in {self._folder} cannot be opened", error) from error
        try:
            names = self._files.names(self._folder)
            self._recover_places(found)
            self._recover_segments(names, found)
        except OSError as error:
            raise _failed(f"the outbox in {self._folder} cannot be read", error) from error
        return found

    def _recover_places(self, found: _Recovered) -> None:
        readable = exist = 0
        for slot in (0, 1):
            try:
                data = self._read_file(self._folder / f"places-{slot}")
                exist += 1
                self._places_rooms[slot] = len(data)
                places = decode_places(data)
            except FileNotFoundError:
                continue
            except (OSError, DecodeError):
                continue
            readable += 1
            if places.number >= found.places.number:
                found.places = places
        found.places_lost = exist > 0 and not readable

    def _recover_segments(self, names: Sequence[str], found: _Recovered) -> None:
        files: dict[int, dict[int, set[str]]] = {}  # first position -> generation -> kinds of files
        for name in names:
            stem, _, kind = name.partition(".")
            first, dash, generation = stem.partition("-")
            if kind == "new":  # a rewriting that was not finished
                self._files.remove(self._folder / name)
            elif kind in ("seg", "sum") and dash and first.isdecimal() and generation.isdecimal():
                files.setdefault(int(first), {}).setdefault(int(generation), set()).add(kind)
        for number, limit in pairwise([*sorted(files), None]):
            assert number is not None
            there = files[number]
            # A summary is written before its segment gets its name.
            newest = max(there, key=lambda one: ("seg" in there[one], one))
            for other in there:
                if other != newest:
                    self._remove_files(number, other)
            recovered = self._recover_segment(number, newest, there[newest], limit)
            if recovered is not None:
                found.segments.append(recovered)
            elif "seg" in there[newest]:
                found.unused = number

    def _recover_segment(
        self, first: int, generation: int, there: set[str], limit: int | None
    ) -> tuple[Segment, Summary] | None:
        path = self._folder / _name(first, generation)
        summary = None
        if "sum" in there:
            try:
                summary = self._read_summary(path.with_suffix(".sum"), whole=False)
            except (OSError, DecodeError):
                summary = None
        if summary is None and "seg" in there:
            summary = self._scan(first, generation, limit)
            if len(summary.index):
                self._give_back_room(path, summary.used)
                self._write_summary(path, summary)
        if summary is None or not summary.totals:
            self._remove_files(first, generation)
            return None
        segment = Segment(first, summary.last, summary.used, summary.used)
        segment.generation, segment.begun, segment.ended = generation, summary.begun, summary.ended
        segment.points = sum(total.points for total in summary.totals.values())
        segment.sealed = True
        segment.nbytes = self._size_of(path)
        return segment, summary

    def _give_back_room(self, path: Path, used: int) -> None:
        try:
            file = self._files.open(path.with_suffix(".seg"), writing=True)
            try:
                file.truncate(used)
            finally:
                file.close()
        except OSError as error:
            self._log.debug("a segment keeps the room it does not need: {error}", error=str(error))

    def _size_of(self, path: Path) -> int:
        size = 0
        for kind in (".seg", ".sum"):
            try:
                file = self._files.open(path.with_suffix(kind))
            except OSError:
                continue
            try:
                size += file.size()
            finally:
                file.close()
        return size

    def _scan(self, first: int, generation: int, limit: int | None) -> Summary:
        """The summary of a segment that has none, from what can be read of it.

        Positions from the limit on are not its own: what has them is what a failed write left.
        """
        path = (self._folder / _name(first, generation)).with_suffix(".seg")
        summary = Summary(first, first - 1, generation, len(SEGMENT_HEAD), NEVER, NEVER)
        data = self._read_what_answers(path)
        unread = None
        for one in scan(data):
            head = one.head
            if head is not None and limit is not None and head.position >= limit:
                break
            if head is None or head.position <= summary.last:
                unread = one if unread is None else unread
                continue
            if head.position > summary.last + 1 and unread is not None:
                self._add_unread(summary, unread.offset, one.offset, head.position - 1)
            unread = None
            size = min(head.size, len(data) - one.offset)  # less when the file was cut off in the middle
            head.size = size
            self._add_to(summary, head, one.offset, one.body)
        if unread is not None and (limit is None or summary.last + 1 < limit):
            end = unread.offset + unread.size
            self._add_unread(summary, unread.offset, end, summary.last + 1)
        return summary

    def _add_to(self, summary: Summary, head: Head, offset: int, body: bytes | None) -> None:
        summary.add(head, offset)
        if body is not None and head.has_cursor:
            try:
                cursor = decode_batch(body).cursor
            except DecodeError:
                return
            if cursor is not None:
                summary.cursor, summary.cursor_at = cursor, head.position

    def _add_unread(self, summary: Summary, start: int, end: int, last: int) -> None:
        head = Head(summary.last + 1, NEVER, None, 0, 0, end - start, (), extras=True)
        summary.add(head, start, damaged=True)
        summary.last = last

    def _read_file(self, path: Path) -> bytes:
        file = self._files.open(path)
        try:
            return file.read(0, file.size())
        finally:
            file.close()

    def _read_what_answers(self, path: Path) -> bytes:
        """A file, with zeros for the pieces that cannot be read."""
        file = self._files.open(path)
        try:
            size = file.size()
            try:
                return file.read(0, size)
            except OSError:
                pieces = []
                for offset in range(0, size, PIECE):
                    try:
                        pieces.append(file.read(offset, min(PIECE, size - offset)))
                    except OSError:
                        pieces.append(bytes(min(PIECE, size - offset)))
                return b"".join(pieces)
        finally:
            file.close()

    def _read_summary(self, path: Path, *, whole: bool) -> Summary:
        if not whole:
            file = self._files.open(path)
            try:
                data = file.read(0, FIGURES)
            finally:
                file.close()
            try:
                return decode_summary(data, whole=False)
            except DecodeError as error:
                if error.reason != "short":
                    raise
        return decode_summary(self._read_file(path), whole=whole)

    # What a shelf is.

    def measure(self, batch: Batch, only: Addressees, stamp: Stamp) -> Item:
        body = encode_batch(batch)
        extras = bool(batch.gaps or batch.infos or batch.notes)
        spans = spans_of(batch)
        try:
            rest = encode_rest(stamp.boot_id, only, spans)
        except UnicodeEncodeError as error:
            raise EncodeError("record", "streams", f"a name is no text: {error.reason}") from None
        if len(rest) > MAX_REST:
            raise EncodeError("record", "streams", "there are too many of them")
        size = record_size(len(rest), len(body))
        head = Head(
            0,
            stamp,
            only,
            batch.points,
            batch.nbytes,
            size,
            spans,
            extras,
            has_cursor=batch.cursor is not None,
        )
        return Item(head, batch, (rest, body))

    def cost(self, item: Item, active: Segment | None) -> int:
        if active is not None and active.used + item.head.size <= active.room:
            return 0
        return self._room_for(item)

    def growth(self, active: Segment) -> int:
        summary = self._summary
        if summary is None:
            return 0
        return max(0, active.used + most_bytes(summary) - active.nbytes)

    def _room_for(self, item: Item) -> int:
        return max(self._room, len(SEGMENT_HEAD) + item.head.size)

    def begin(self, first: int, item: Item) -> Segment:
        room = self._room_for(item)
        path = (self._folder / _name(first, 0)).with_suffix(".seg")
        try:
            self._cut_tails()
            file = self._files.create(path, room)
            try:
                file.write(0, [SEGMENT_HEAD])
                if self._sync:
                    file.sync()
                    self._files.sync_folder(self._folder)
            except OSError:
                file.close()
                self._files.remove(path)
                raise
        except OSError as error:
            raise _failed("a segment of the outbox cannot be begun", error) from error
        self._active = file
        used = len(SEGMENT_HEAD)
        self._summary = Summary(first, first - 1, 0, used, NEVER, NEVER)
        return Segment(first, first - 1, room, used, room)

    def write(self, segment: Segment, items: Sequence[Item], first: int) -> int:
        pieces: list[bytes] = []
        offsets: list[int] = []
        offset = segment.used
        for position, item in enumerate(items, first):
            item.head.position = position
            pieces.extend(encode_record(item.head, *item.content))
            offsets.append(offset)
            offset += item.head.size
        file, summary = self._active, self._summary
        assert file is not None
        assert summary is not None
        try:
            file.write(segment.used, pieces)
            if self._sync:
                file.sync()
        except OSError as error:
            # After a failed sync nobody knows what is on the disk: what was synced before is, and what
            # comes goes to another segment.
            self._uncut.append(((self._folder / _name(segment.first, 0)).with_suffix(".seg"), segment.used))
            raise _failed("the outbox cannot write", error) from error
        for item, at in zip(items, offsets, strict=True):
            if item.batch.cursor is not None:
                summary.cursor, summary.cursor_at = item.batch.cursor, item.head.position
            summary.add(item.head, at)
        return 0

    def _cut_tails(self) -> None:
        """Take away what failed writes left; until that succeeds nothing else is written."""
        while self._uncut:
            path, size = self._uncut[-1]
            file = self._files.open(path, writing=True)
            try:
                file.truncate(size)
                if self._sync:
                    file.sync()
            finally:
                file.close()
            self._uncut.pop()

    def seal(self, segment: Segment) -> int:
        file, summary = self._active, self._summary
        path = self._folder / _name(segment.first, segment.generation)
        if file is not None:
            file.close()
            self._give_back_room(path, segment.used)
        if summary is not None and len(summary.index):
            self._remember(segment, summary)
            self._write_summary(path, summary)
        self._active = self._summary = None
        return self._size_of(path)

    def _write_summary(self, path: Path, summary: Summary) -> None:
        """Write it, or do without: then the segment is read in its place when that is needed."""
        data = encode_summary(summary)
        try:
            file = self._files.create(path.with_suffix(".sum"), len(data))
            try:
                file.write(0, [data])
                if self._sync:
                    file.sync()
            finally:
                file.close()
            if self._sync:
                self._files.sync_folder(self._folder)
        except OSError as error:
            self._log.debug("a summary cannot be written: {error}", error=str(error))

    def _remember(self, segment: Segment, summary: Summary) -> None:
        with self._cache:
            self._summaries[(segment.first, segment.generation)] = summary
            while len(self._summaries) > CACHED:
                self._summaries.popitem(last=False)

    def _summary_of(self, segment: Segment) -> Summary:
        summary = self._summary
        if summary is not None and summary.first == segment.first:
            return summary
        key = segment.first, segment.generation
        with self._cache:
            summary = self._summaries.get(key)
        if summary is None:
            path = (self._folder / _name(*key)).with_suffix(".sum")
            try:
                summary = self._read_summary(path, whole=True)
            except (OSError, DecodeError):
                try:
                    summary = self._scan(*key, segment.last + 1)
                except FileNotFoundError:
                    raise SegmentGone("a segment and its summary are gone") from None
                except OSError as error:
                    self._try_again(segment, -1, error)
                    raise SegmentGone("a segment and its summary cannot be read") from error
                if not len(summary.index):
                    raise SegmentGone("there is nothing in a segment") from None
            self._remember(segment, summary)
        return summary

    def _try_again(self, segment: Segment, row: int, error: OSError) -> None:
        """Fail for now, unless it has been tried often enough.

        Raises:
            OutboxError: It is to be tried again.
        """
        attempts = self._attempts[(segment.first, row)] = self._attempts.get((segment.first, row), 0) + 1
        if attempts < READ_ATTEMPTS:
            raise _failed("a segment of the outbox cannot be read", error) from error

    def remove(self, segments: Sequence[Segment]) -> None:
        try:
            for segment in segments:
                with self._cache:
                    self._summaries.pop((segment.first, segment.generation), None)
                self._uncut = [one for one in self._uncut if one[0].stem != _name(segment.first, 0)]
                self._remove_files(segment.first, segment.generation)
                self._attempts = {
                    key: tries for key, tries in self._attempts.items() if key[0] != segment.first
                }
            if segments and self._sync:
                self._files.sync_folder(self._folder)
        except OSError as error:
            raise _failed("a segment of the outbox cannot be removed", error) from error

    def _remove_files(self, first: int, generation: int) -> None:
        path = self._folder / _name(first, generation)
        for kind in (".seg", ".sum"):
            self._files.remove(path.with_suffix(kind))

    def index(self, segment: Segment) -> Index:
        return self._summary_of(segment).index

    def records(self, segment: Segment, after: int = 0) -> Iterator[tuple[Head, Content]]:
        index = self._summary_of(segment).index
        path = (self._folder / _name(segment.first, segment.generation)).with_suffix(".seg")
        row = index.find(after + 1)
        if row == len(index):
            return
        try:
            file = self._files.open(path)
        except FileNotFoundError:
            raise SegmentGone("a segment of the outbox is gone") from None
        except OSError as error:
            self._try_again(segment, -1, error)
            raise SegmentGone("a segment of the outbox cannot be opened") from error
        try:
            yield from self._read_rows(file, index, row, segment)
        finally:
            file.close()

    def _read_rows(
        self, file: File, index: Index, start: int, segment: Segment
    ) -> Iterator[tuple[Head, Content]]:
        window, base = b"", 0
        for row in range(start, len(index)):
            offset, size = index.offsets[row], index.sizes[row]
            if offset < base or offset + size > base + len(window):
                try:
                    window, base = file.read(offset, max(WINDOW, size)), offset
                except OSError:
                    try:
                        window, base = file.read(offset, size), offset
                    except OSError as error:
                        self._try_again(segment, row, error)
                        window, base = b"", offset
            yield self._row(index, row, window, offset - base, base, segment)

    def _row(
        self, index: Index, row: int, window: bytes, at: int, base: int, segment: Segment
    ) -> tuple[Head, Content]:
        if not index.flags[row] & Index.DAMAGED:
            try:
                head = read_head(window, at, base)
                if head.position == index.positions[row] and head.size == index.sizes[row]:
                    start = head.body_at - base
                    return head, window[start : start + head.body_size]
            except DecodeError:
                pass
        following = index.positions[row + 1] if row + 1 < len(index) else segment.last + 1
        head = Head(
            index.positions[row], segment.begun, index.only(row), index.points[row], index.weights[row],
            index.sizes[row], (), extras=True, damaged=True, last=following - 1,
        )  # fmt: skip
        return head, b""

    def open(self, head: Head, content: Content) -> Batch:
        assert isinstance(content, bytes)
        if len(content) != head.body_size or crc32(content) != head.body_crc:
            raise DecodeError("record", "", "the body's checksum is wrong")
        return decode_batch(content)

    def spans(self, segment: Segment) -> Mapping[str, Span]:
        try:
            return self._summary_of(segment).streams.copy()  # of the active one it may grow meanwhile
        except OutboxError:
            return {}

    def rewrite(self, segment: Segment, items: Sequence[tuple[int, Item]]) -> Segment:
        generation = segment.generation + 1
        summary = Summary(
            segment.first, segment.first - 1, generation, len(SEGMENT_HEAD), segment.begun, segment.ended
        )
        pieces = [SEGMENT_HEAD]
        offset = len(SEGMENT_HEAD)
        for position, item in items:
            item.head.position = position
            pieces.extend(encode_record(item.head, *item.content))
            if item.batch.cursor is not None:
                summary.cursor, summary.cursor_at = item.batch.cursor, position
            summary.add(item.head, offset)
            offset += item.head.size
        summary.last = segment.last
        path = self._folder / _name(segment.first, generation)
        try:
            file = self._files.create(path.with_suffix(".new"), offset)
            try:
                file.write(0, pieces)
                if self._sync:
                    file.sync()
            finally:
                file.close()
        except OSError as error:
            self._files.remove(path.with_suffix(".new"))
            raise _failed("a segment of the outbox cannot be thinned", error) from error
        self._write_summary(path, summary)
        new = evolve(segment, generation=generation, used=offset, room=offset, doomed=False)
        new.points = sum(item.head.points for _, item in items)
        self._remember(new, summary)
        return new

    def replace(self, old: Segment, new: Segment) -> None:
        path = self._folder / _name(new.first, new.generation)
        try:
            self._files.rename(path.with_suffix(".new"), path.with_suffix(".seg"))
            if self._sync:
                self._files.sync_folder(self._folder)
        except OSError as error:
            raise _failed("a segment of the outbox cannot be replaced", error) from error
        new.nbytes = self._size_of(path)
        self.remove([old])

    def save(self, places: Places) -> None:
        try:
            try:
                self._save_bytes(places.number % 2, encode_places(places))
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                # To make room they must be written; what the gaps tell the ledger has.
                self._save_bytes(places.number % 2, encode_places(_without_gaps(places)))
        except OSError as error:
            raise _failed("the places of the outbox cannot be written", error) from error

    def _save_bytes(self, slot: int, data: bytes) -> None:
        path = self._folder / f"places-{slot}"
        if len(data) > self._places_rooms[slot] or not self._write_places(path, data):
            self._begin_places(path, slot, data)

    def _write_places(self, path: Path, data: bytes) -> bool:
        """Write them where there is room for them already; whether the file is there."""
        try:
            file = self._files.open(path, writing=True)
        except FileNotFoundError:
            return False
        try:
            file.write(0, [data])
            if self._sync:
                file.sync()
        finally:
            file.close()
        return True

    def _begin_places(self, path: Path, slot: int, data: bytes) -> None:
        """Write them to a larger file; the one before it stays if the disk has no room for that."""
        room = max(PLACES_ROOM, 2 * len(data))
        put_file(self._files, path, data, path.with_suffix(".new"), room=room, sync=self._sync)
        self._places_rooms[slot] = room

    def close(self) -> None:
        if self._active is not None:
            self._active.close()
            self._active = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None


class DiskOutbox(SegmentQueue):
    """An `Outbox` in a folder; made by `DiskOutbox.open`."""

    async def _take_over(self, found: _Recovered) -> None:
        """Go on where the folder says; called once."""
        places = found.places
        self._places_number = places.number
        last = places.last - 1 if found.unused and places.last == found.unused else places.last
        self._last = max([last, *(segment.last for segment, _ in found.segments)])
        at = -1 if places.cursor is None else places.cursor_at
        self._cursor = places.cursor if places.cursor is not None else self._cursor
        for _, summary in found.segments:
            if summary.cursor is not None and summary.cursor_at > at:
                self._cursor, at = summary.cursor, summary.cursor_at
        for name, place in places.destinations.items():
            reader = self._readers.get(name)
            if reader is None:
                reader = self._removed[name] = Reader(name)
            reader.settled = Positions(place.settled)
            reader.remember(place.told.gaps, place.told.infos)
        first = found.segments[0][0].first if found.segments else self._last + 1
        for name, reader in self._readers.items():
            if name not in places.destinations:
                reader.settled.add(1, first - 1)
        self._fill_holes(found)
        await self._reading.run(lambda: self._count_up(found.segments))
        for segment, _ in found.segments:
            self._segments.append(segment)
            self._nbytes += segment.nbytes
            self._points += segment.kept
        if found.places_lost:
            gap = Gap("*", 0, max(0, self._stamp().wall_ns), PLACES_LOST)
            self._owed.append(Loss("", LossKind.CORRUPTION, gap))
        self._unsaved = self._due = True
        self._wake()

    def _fill_holes(self, found: _Recovered) -> None:
        """Put a segment that cannot be read where one is missing that somebody needs."""
        filled: list[tuple[Segment, Summary]] = []
        expected = 1
        for segment, summary in found.segments:
            self._fill_hole(filled, expected, segment.first - 1)
            filled.append((segment, summary))
            expected = segment.last + 1
        self._fill_hole(filled, expected, self._last)
        found.segments = filled
        # Of what cannot be read it is not known when it was accepted, but between what.
        at = NEVER
        for segment, _ in filled:
            segment.begun = at if segment.begun == NEVER else segment.begun
            at = segment.begun if segment.ended == NEVER else segment.ended
        at = self._stamp()
        for segment, _ in reversed(filled):
            segment.ended = at if segment.ended == NEVER else segment.ended
            at = segment.ended if segment.begun == NEVER else segment.begun

    def _fill_hole(self, filled: list[tuple[Segment, Summary]], first: int, last: int) -> None:
        first = min(reader.settled.next_missing(first) for reader in self._readers.values())
        if first <= last:
            lost = Segment(first, last, 0, sealed=True)
            filled.append((lost, Summary(first, last, 0, 0, NEVER, NEVER, {None: Total(1, 0, 0)})))

    def _count_up(self, segments: Sequence[tuple[Segment, Summary]]) -> None:
        """Find out what everybody needs.  Runs in a thread."""
        for segment, summary in segments:
            needy = {
                name: reader for name, reader in self._readers.items()
                if not reader.settled.has_all(segment.first, segment.last)
            }  # fmt: skip
            segment.pending = {name: Total() for name in self._readers}
            if any(reader.settled.last_below(segment.last + 1) >= segment.first for reader in needy.values()):
                self._count_rows(segment, summary, needy)
            else:
                self._count_all(segment, summary, needy)
        for name, reader in self._readers.items():
            waiting = [segment for segment, _ in segments if segment.pending[name].records]
            for segment in waiting:
                total = segment.pending[name]
                reader.count(total.records, total.points, total.nbytes)
            if waiting:
                reader.latest = waiting[-1].last
                reader.oldest = self._first_stamp(waiting[0], reader)

    def _count_all(self, segment: Segment, summary: Summary, needy: Mapping[str, Reader]) -> None:
        for only, total in summary.totals.items():
            concerned = [name for name in needy if only is None or name in only]
            for name in concerned:
                segment.pending[name].add(total.records, total.points, total.nbytes)
            segment.kept += total.points if concerned else 0

    def _count_rows(self, segment: Segment, summary: Summary, needy: Mapping[str, Reader]) -> None:
        """Count record by record what is needed of a segment that is partly settled."""
        try:
            index = self._shelf.index(segment)
        except OutboxError:  # whoever reads it finds that out; until then it is too many
            self._count_all(segment, summary, needy)
            return
        for row in range(len(index)):
            position, only = index.positions[row], index.only(row)
            concerned = [
                name for name, reader in needy.items()
                if (only is None or name in only) and position not in reader.settled
            ]  # fmt: skip
            for name in concerned:
                segment.pending[name].add(1, index.points[row], index.sizes[row])
            segment.kept += index.points[row] if concerned else 0

    def _first_stamp(self, segment: Segment, reader: Reader) -> Stamp:
        """When the first thing was accepted that a destination needs of a segment."""
        try:
            for head, _ in self._shelf.records(segment, reader.settled.next_missing(segment.first) - 1):
                if head.is_for(reader.name) and head.position not in reader.settled:
                    return head.stamp
        except OutboxError:
            pass
        return segment.begun

    @staticmethod
    @deferred
    async def open(
        path: Path | str,
        destinations: Sequence[str],
        reactor: Any,
        *,
        max_bytes: int = 1 << 30,
        max_points: int | None = None,
        max_age: float | None = None,
        on_full: OnFull = OnFull.BLOCK,
        durability: Durability = Durability.DISK,
        ledger: Ledger | None = None,
        cursor: Cursor | None = None,
        stamp: Callable[[], Stamp] | None = None,
        segment_bytes: int | None = None,
        files: Files | None = None,
        writer: Worker | None = None,
        reader: Worker | None = None,
    ) -> DiskOutbox:
        """Open an outbox, or make one.

        How long that takes does not depend on how much is in it: of each segment a few figures are
        read, and only one that was being written to is read as a whole.

        Args:
            path: Its folder.
            destinations: The names of those who read it.
            reactor: Where results are delivered, and the clock for what happens now and then.
            max_bytes: The most bytes of segments on the disk; their room counts from when they are begun.
            max_points: The most points to keep, or None.
            max_age: The most seconds to keep anything, or None.
            on_full: What happens to a batch that there is no room for.
            durability: What an accepted batch survives: ``DISK`` or ``OS``.
            ledger: Told of each loss, or None.
            cursor: Where the source goes on if the outbox does not know.
            stamp: Tells when it is; the clocks of this machine if None.
            segment_bytes: The room of a segment; a 32nd of ``max_bytes`` within bounds if None.
            files: The file system.
            writer: The thread for writing; one of its own if None.
            reader: The thread for reading; one of its own if None.

        Raises:
            OutboxError: It cannot be opened: another process has it, or the disk does not answer.
            ValueError: No destination, two of one name, or caps that keep nothing.
        """
        caps = Caps(max_bytes=max_bytes, max_points=max_points, max_age=max_age, on_full=on_full)
        if durability is Durability.NONE:
            raise ValueError("an outbox on a disk has durability, a MemoryOutbox has none")
        if segment_bytes is None:
            segment_bytes = min(max(max_bytes // PARTS, SMALLEST_SEGMENT), LARGEST_SEGMENT)
        if max_bytes < 2 * segment_bytes:
            raise ValueError(f"an outbox on a disk needs at least {LEAST_BYTES} bytes, not {max_bytes}")
        files = RealFiles() if files is None else files
        shelf = _DiskShelf(Path(path), files, durability, segment_bytes)
        writing = WorkerThread(reactor, "outbox-writer") if writer is None else writer
        reading = WorkerThread(reactor, "outbox-reader") if reader is None else reader
        opened = False
        try:
            found = await writing.run(shelf.open_folder)
            outbox = DiskOutbox(
                shelf,
                destinations,
                reactor,
                stamp=machine_clock(reactor) if stamp is None else stamp,
                caps=caps,
                ledger=ledger,
                writer=writing,
                reader=reading,
                cursor=cursor,
            )
            await outbox._take_over(found)
            opened = True
        finally:
            if not opened:
                await writing.run(shelf.close)
                await reading.close()
                await writing.close()
        return outbox
