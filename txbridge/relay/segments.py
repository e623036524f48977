"""How an outbox lies on a disk, as bytes: records, summaries of segments, and places.

A **segment** is a file with records one after another, in the order of their positions, each beginning at
a multiple of 8::

    "TXS1"  zeros up to 8 bytes  record  record  …

    record:  "TXR1"  CRC of the head  length of the head  length of the body  CRC of the body  …  head  body

The head has what must be known without the body: position, `Stamp`, addressees, and for each stream from
when to when and how many points.  So a body that cannot be read is still accounted for, and a head that
cannot be read is found out from the summary.  The body is a `Batch` as `txbridge.relay.records` writes it.

A **summary** is a file of its own beside a segment that is complete.  It has the segment's figures, its
streams, and an index of its records: so opening an outbox reads a few figures per segment, any record is
found at once, one that is damaged does not hide those after it, and a segment that is gone is accounted
for by stream.

The **places** are what each destination has settled, and what must come with its next peek.  They are
written in turn to two files of fixed room, each with a number and a CRC: a write that tears leaves the
other one, and needs nothing of a disk that is full.

All CRCs are zlib's CRC-32.
"""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from zlib import crc32

import msgspec
from attrs import define, field, frozen

from txbridge.errors import DecodeError
from txbridge.model.samples import Batch, Cursor, Gap
from txbridge.relay.positions import Positions
from txbridge.relay.records import decode_batch, encode_batch
from txbridge.relay.roles import Stamp

__all__ = [
    "MAX_REST",
    "SEGMENT_HEAD",
    "Addressees",
    "Found",
    "Head",
    "Index",
    "PlaceOf",
    "Places",
    "Span",
    "Summary",
    "Total",
    "decode_places",
    "decode_summary",
    "encode_places",
    "encode_record",
    "encode_rest",
    "encode_summary",
    "merge_spans",
    "missing_of",
    "most_bytes",
    "read_head",
    "record_size",
    "scan",
    "spans_of",
]

SEGMENT_HEAD = b"TXS1\0\0\0\0"
RECORD_MARK = b"TXR1"
SUMMARY_MARK = b"TXI1"
PLACES_MARK = b"TXP1"

_ALIGNED = 8
# mark, CRC of all from "length" to the end of the head, length of the head with this, length of the body,
# CRC of the body, extras, position, wall, boot, points, weight
_PREFIX = struct.Struct("<4sIIIIIQqqII")
MAX_REST = 1 << 24  # bytes of a head besides the prefix
_EXTRAS, _CURSOR = 1, 2

Addressees = frozenset[str] | None
"""Whom a record is for: None is every destination of the route."""


class Span(msgspec.Struct, frozen=True, array_like=True):
    """What a record or a segment has of one stream."""

    stream: str
    start_ns: int
    end_ns: int
    points: int

    def merge(self, other: Span) -> Span:
        """Both in one."""
        return Span(
            self.stream,
            min(self.start_ns, other.start_ns),
            max(self.end_ns, other.end_ns),
            self.points + other.points,
        )

    def gap(self, reason: str) -> Gap:
        """The gap that losing it makes."""
        return Gap(self.stream, self.start_ns, self.end_ns, reason, self.points)


def merge_spans(spans: Iterable[Span], into: dict[str, Span]) -> None:
    """Add spans to those of the same streams."""
    for span in spans:
        known = into.get(span.stream)
        into[span.stream] = span if known is None else known.merge(span)


def spans_of(batch: Batch) -> tuple[Span, ...]:
    """What a batch has of each stream; a note counts as no points."""
    spans: dict[str, Span] = {}
    for block in batch.blocks:
        if len(block):
            one = Span(block.stream, int(block.at[0]), int(block.at[-1]), len(block))
            known = spans.get(block.stream)
            spans[block.stream] = one if known is None else known.merge(one)
    return tuple(spans.values())


class _HeadRest(msgspec.Struct, array_like=True):
    boot_id: str
    only: tuple[str, ...] | None
    spans: tuple[Span, ...]


_encode = msgspec.msgpack.Encoder().encode
_decode_rest = msgspec.msgpack.Decoder(_HeadRest).decode


@define
class Head:
    """What is known of a record without its body.

    Attributes:
        position: Its place in the outbox.
        stamp: When it was accepted.
        only: Whom it is for.
        points: How many points it has.
        weight: The `Batch.nbytes` of its batch.
        size: What it takes in the segment.
        spans: What it has of each stream.
        extras: Whether there is more in it than samples and a cursor.
        has_cursor: Whether there is a cursor.
        body_at: Where its body begins in the segment.
        body_size: How long that is.
        body_crc: The checksum that it must have.
        damaged: Whether the head itself cannot be read: what else is here is from the summary.
        last: Of a damaged one, the last position that may have been there too, or 0.
    """

    position: int
    stamp: Stamp
    only: Addressees
    points: int
    weight: int
    size: int
    spans: tuple[Span, ...]
    extras: bool
    body_at: int = 0
    body_size: int = 0
    body_crc: int = 0
    has_cursor: bool = False
    damaged: bool = False
    last: int = 0

    def is_for(self, destination: str) -> bool:
        """Whether a destination is among its addressees."""
        return self.only is None or destination in self.only

    def is_in(self, settled: Positions) -> bool:
        """Whether it is settled, all of it."""
        return settled.has_all(self.position, max(self.position, self.last))


def encode_record(head: Head, rest: bytes, body: bytes) -> list[bytes]:
    """A record as pieces of bytes; its length is a multiple of 8.

    Args:
        head: Its head.
        rest: What `encode_rest` makes of the head.
        body: Its body.
    """
    size = _PREFIX.size + len(rest)
    flags = _EXTRAS * head.extras | _CURSOR * head.has_cursor
    fixed = _PREFIX.pack(
        RECORD_MARK, 0, size, len(body), crc32(body), flags, head.position,
        head.stamp.wall_ns, head.stamp.boot_ns, head.points, head.weight,
    )[8:]  # fmt: skip
    crc = crc32(rest, crc32(fixed))
    padding = bytes(-(size + len(body)) % _ALIGNED)
    return [b"".join((RECORD_MARK, crc.to_bytes(4, "little"), fixed, rest)), body, padding]


def encode_rest(boot_id: str, only: Addressees, spans: tuple[Span, ...]) -> bytes:
    """The part of a head whose length varies."""
    return _encode(_HeadRest(boot_id, None if only is None else tuple(sorted(only)), spans))


def record_size(rest: int, body: int) -> int:
    """How long a record is with a rest of the head and a body of these lengths."""
    size = _PREFIX.size + rest + body
    return size + -size % _ALIGNED


def read_head(data: bytes, at: int = 0, base: int = 0) -> Head:
    """Read the head of a record.

    Args:
        data: Some of a segment.
        at: Where the record begins in it.
        base: Where ``data`` begins in the segment.

    Raises:
        DecodeError: There is no head here, or not the whole of it; ``reason`` is ``"short"`` then.
    """
    if len(data) - at < _PREFIX.size:
        raise DecodeError("record", "", "short")
    mark, crc, size, body_size, body_crc, flags, position, wall, boot, points, weight = _PREFIX.unpack_from(
        data, at
    )
    if mark != RECORD_MARK or not _PREFIX.size <= size <= _PREFIX.size + MAX_REST:
        raise DecodeError("record", "", "no record begins here")
    if len(data) - at < size:
        raise DecodeError("record", "", "short")
    if crc32(data[at + 8 : at + size]) != crc:
        raise DecodeError("record", "", "the head's checksum is wrong")
    rest = _decode_rest(data[at + _PREFIX.size : at + size])
    only = None if rest.only is None else frozenset(rest.only)
    whole = size + body_size
    return Head(
        position, Stamp(wall, boot, rest.boot_id), only, points, weight, whole + -whole % _ALIGNED,
        rest.spans, bool(flags & _EXTRAS), base + at + size, body_size, body_crc, bool(flags & _CURSOR),
    )  # fmt: skip


@define
class Index:
    """Where the records of a segment are, in columns; a damaged one has its place too.

    Attributes:
        positions: Of each record.
        offsets: Where it begins in the segment.
        sizes: What it takes there.
        points: How many it has.
        weights: The `Batch.nbytes` of its batch.
        flags: `EXTRAS` and `DAMAGED`, and from bit 2 on the number of its addressees.
        addressees: The sets of addressees by that number.
    """

    EXTRAS = 1
    DAMAGED = 2
    ROW_BYTES = 8 + 5 * 4

    positions: array[int] = field(factory=lambda: array("Q"))
    offsets: array[int] = field(factory=lambda: array("I"))
    sizes: array[int] = field(factory=lambda: array("I"))
    points: array[int] = field(factory=lambda: array("I"))
    weights: array[int] = field(factory=lambda: array("I"))
    flags: array[int] = field(factory=lambda: array("I"))
    addressees: list[Addressees] = field(factory=list)

    def add(self, head: Head, offset: int, *, damaged: bool = False) -> None:
        """Put the next record in; the positions come last, so a reader in another thread sees whole rows."""
        if head.only not in self.addressees:
            self.addressees.append(head.only)
        flags = self.addressees.index(head.only) << 2
        self.offsets.append(offset)
        self.sizes.append(head.size)
        self.points.append(head.points)
        self.weights.append(head.weight)
        self.flags.append(flags | self.EXTRAS * head.extras | self.DAMAGED * damaged)
        self.positions.append(head.position)

    def __len__(self) -> int:
        return len(self.positions)

    def find(self, position: int) -> int:
        """The row of the first record from this position on."""
        return bisect_left(self.positions, position)

    def only(self, row: int) -> Addressees:
        """Whom a record is for."""
        return self.addressees[self.flags[row] >> 2]

    def _columns(self) -> tuple[array[int], ...]:
        return (self.positions, self.offsets, self.sizes, self.points, self.weights, self.flags)

    def encode(self) -> bytes:
        """The columns as bytes."""
        parts = []
        for column in self._columns():
            if sys.byteorder == "big":
                column = column[:]
                column.byteswap()
            parts.append(column.tobytes())
        return b"".join(parts)

    @classmethod
    def decode(cls, data: bytes, addressees: list[Addressees]) -> Index:
        """Read what `encode` wrote.

        Raises:
            DecodeError: It is not that.
        """
        index = cls(addressees=addressees)
        rows, rest = divmod(len(data), cls.ROW_BYTES)
        if rest:
            raise DecodeError("summary", "index", "its length is wrong")
        at = 0
        for column in index._columns():
            end = at + rows * column.itemsize
            column.frombytes(data[at:end])
            if sys.byteorder == "big":
                column.byteswap()
            at = end
        return index


class _Total(msgspec.Struct, array_like=True):
    only: tuple[str, ...] | None
    records: int
    points: int
    nbytes: int


class _Figures(msgspec.Struct, array_like=True):
    first: int
    last: int
    generation: int
    used: int
    begun: tuple[int, int, str]
    ended: tuple[int, int, str]
    totals: list[_Total]
    cursor: str | None
    cursor_at: int
    streams_size: int
    streams_crc: int
    index_size: int
    index_crc: int


@define
class Total:
    """A number of records, of points, and of bytes."""

    records: int = 0
    points: int = 0
    nbytes: int = 0

    def add(self, records: int, points: int, nbytes: int) -> None:
        """Count more."""
        self.records += records
        self.points += points
        self.nbytes += nbytes


@define
class Summary:
    """What is known of a segment without reading it.

    Attributes:
        first: The position of its first record, or of the first that it could have.
        last: The position of its last one.
        generation: How often it was thinned.
        used: How long it is.
        begun: When its first record was accepted.
        ended: When its last one was.
        totals: What it has for whom.
        cursor: The last cursor in it.
        cursor_at: The position of that cursor.
        streams: What it has of each stream.
        index: Where its records are.
    """

    first: int
    last: int
    generation: int
    used: int
    begun: Stamp
    ended: Stamp
    totals: dict[Addressees, Total] = field(factory=dict)
    cursor: Cursor | None = None
    cursor_at: int = 0
    streams: dict[str, Span] = field(factory=dict)
    index: Index = field(factory=Index)

    def add(self, head: Head, offset: int, *, damaged: bool = False) -> None:
        """Count the next record in."""
        if not len(self.index):
            self.begun = head.stamp
        self.ended = head.stamp
        self.last = head.position
        self.used = offset + head.size
        total = self.totals.setdefault(head.only, Total())
        total.add(1, head.points, head.size)
        merge_spans(head.spans, self.streams)
        self.index.add(head, offset, damaged=damaged)


_decode_figures = msgspec.msgpack.Decoder(_Figures).decode
_decode_streams = msgspec.msgpack.Decoder(list[Span]).decode
_SPAN_BYTES = 40  # of a stream in a summary, besides its name
_FIGURES_BYTES = 400  # of everything else
_LENGTH = struct.Struct("<4sII")  # mark, CRC of the figures, length of the figures


def encode_summary(summary: Summary) -> bytes:
    """A summary as the bytes of a file."""
    streams = _encode(list(summary.streams.values()))
    index = summary.index.encode()
    begun, ended = summary.begun, summary.ended
    # The index refers to addressees by number: the totals keep that order.
    totals = []
    for only in summary.index.addressees:
        total = summary.totals[only]
        named = None if only is None else tuple(sorted(only))
        totals.append(_Total(named, total.records, total.points, total.nbytes))
    figures = _encode(
        _Figures(
            summary.first, summary.last, summary.generation, summary.used,
            (begun.wall_ns, begun.boot_ns, begun.boot_id), (ended.wall_ns, ended.boot_ns, ended.boot_id),
            totals,
            None if summary.cursor is None else summary.cursor.encode(), summary.cursor_at,
            len(streams), crc32(streams), len(index), crc32(index),
        )
    )  # fmt: skip
    return _LENGTH.pack(SUMMARY_MARK, crc32(figures), len(figures)) + figures + streams + index


def most_bytes(summary: Summary) -> int:
    """How long `encode_summary` makes it at most; may be asked while another thread adds to it."""
    names = sum(4 * len(name) + _SPAN_BYTES for name in list(summary.streams))
    addressees = sum(sum(4 * len(name) + 5 for name in only or ()) for only in list(summary.totals))
    cursor = 0 if summary.cursor is None else 4 * len(summary.cursor.encode())
    return len(summary.index) * Index.ROW_BYTES + names + addressees + cursor + _FIGURES_BYTES


def decode_summary(data: bytes, *, whole: bool) -> Summary:
    """Read a summary.

    Args:
        data: The file, or its first bytes.
        whole: Whether to read the streams and the index too.

    Raises:
        DecodeError: It is damaged; ``reason`` is ``"short"`` when more bytes might help.
    """
    if len(data) < _LENGTH.size:
        raise DecodeError("summary", "", "short")
    mark, crc, size = _LENGTH.unpack_from(data)
    if mark != SUMMARY_MARK:
        raise DecodeError("summary", "", "it does not begin as one")
    at = _LENGTH.size + size
    if len(data) < at:
        raise DecodeError("summary", "", "short")
    if crc32(data[_LENGTH.size : at]) != crc:
        raise DecodeError("summary", "", "its checksum is wrong")
    figures = _decode_figures(data[_LENGTH.size : at])
    only = [None if one.only is None else frozenset(one.only) for one in figures.totals]
    totals: dict[Addressees, Total] = {
        name: Total(one.records, one.points, one.nbytes)
        for name, one in zip(only, figures.totals, strict=True)
    }
    cursor = None if figures.cursor is None else Cursor.decode(figures.cursor)
    summary = Summary(
        figures.first, figures.last, figures.generation, figures.used,
        Stamp(*figures.begun), Stamp(*figures.ended), totals, cursor, figures.cursor_at,
    )  # fmt: skip
    if whole:
        streams = data[at : at + figures.streams_size]
        index = data[at + figures.streams_size : at + figures.streams_size + figures.index_size]
        if len(streams) + len(index) < figures.streams_size + figures.index_size:
            raise DecodeError("summary", "", "short")
        if crc32(streams) != figures.streams_crc or crc32(index) != figures.index_crc:
            raise DecodeError("summary", "index", "its checksum is wrong")
        summary.streams = {span.stream: span for span in _decode_streams(streams)}
        summary.index = Index.decode(index, list(totals))
    return summary


@frozen
class Found:
    """A record that a scan came upon.

    Attributes:
        offset: Where it begins.
        size: How many bytes were looked at for it; more than the record itself if it is damaged.
        head: Its head, or None if that cannot be read.
        body: Its body, or None if that cannot be read.
    """

    offset: int
    size: int
    head: Head | None
    body: bytes | None


def scan(data: bytes) -> Iterator[Found]:
    """Every record of a segment, and every stretch that should be one and is not.

    Zeros at the end are room that was not used; anything else there is a record that is damaged, or
    that was never finished.
    """
    at = len(SEGMENT_HEAD)
    end = len(data.rstrip(b"\0"))
    while at < end:
        try:
            head = read_head(data, at)
        except DecodeError:
            following = _next_record(data, at + _ALIGNED, end)
            yield Found(at, following - at, None, None)
            at = following
            continue
        body = data[head.body_at : head.body_at + head.body_size]
        if len(body) == head.body_size and crc32(body) == head.body_crc:
            yield Found(at, head.size, head, body)
        else:
            yield Found(at, head.size, head, None)
        at += head.size


def _next_record(data: bytes, at: int, end: int) -> int:
    """Where the next head that can be read begins, or the end of everything."""
    while (at := data.find(RECORD_MARK, at, end)) >= 0:
        if at % _ALIGNED == 0:
            try:
                read_head(data, at)
            except DecodeError:
                pass
            else:
                return at
        at += 1
    return end + -end % _ALIGNED


@frozen
class PlaceOf:
    """Where a destination is.

    Attributes:
        settled: The ranges of positions that it has settled.
        told: Gaps and descriptions that come with its next peek.
    """

    settled: tuple[tuple[int, int], ...] = ()
    told: Batch = field(factory=Batch)


@frozen
class Places:
    """Where all destinations are.

    Attributes:
        number: Grows with each time they are written.
        last: The last position that was given to a record by then, or the first of a segment that was begun.
        cursor: The last cursor that was accepted by then.
        cursor_at: The position up to which that holds.
        destinations: Name -> where it is.
    """

    number: int = 0
    last: int = 0
    cursor: Cursor | None = None
    cursor_at: int = 0
    destinations: Mapping[str, PlaceOf] = field(factory=dict)


class _PlacesBody(msgspec.Struct, array_like=True):
    number: int
    last: int
    cursor: str | None
    cursor_at: int
    destinations: dict[str, tuple[list[tuple[int, int]], bytes]]


_decode_places = msgspec.msgpack.Decoder(_PlacesBody).decode


def encode_places(places: Places) -> bytes:
    """Places as the bytes of a file."""
    cursor = None if places.cursor is None else places.cursor.encode()
    destinations = {
        name: (list(one.settled), b"" if one.told.empty else encode_batch(one.told))
        for name, one in places.destinations.items()
    }
    body = _encode(_PlacesBody(places.number, places.last, cursor, places.cursor_at, destinations))
    return _LENGTH.pack(PLACES_MARK, crc32(body), len(body)) + body


def decode_places(data: bytes) -> Places:
    """Read what `encode_places` wrote; bytes after it do not matter.

    Raises:
        DecodeError: It is damaged.
    """
    if len(data) < _LENGTH.size:
        raise DecodeError("places", "", "short")
    mark, crc, size = _LENGTH.unpack_from(data)
    body = data[_LENGTH.size : _LENGTH.size + size]
    if mark != PLACES_MARK or len(body) != size or crc32(body) != crc:
        raise DecodeError("places", "", "its checksum is wrong")
    read = _decode_places(body)
    destinations = {
        name: PlaceOf(tuple(settled), decode_batch(told) if told else Batch())
        for name, (settled, told) in read.destinations.items()
    }
    cursor = None if read.cursor is None else Cursor.decode(read.cursor)
    return Places(read.number, read.last, cursor, read.cursor_at, destinations)


def missing_of(streams: Mapping[str, Span], readable: Iterable[Sequence[Span]]) -> list[Span]:
    """What a segment has besides what can be read of it."""
    left = {name: span.points for name, span in streams.items()}
    for spans in readable:
        for span in spans:
            left[span.stream] = left.get(span.stream, 0) - span.points
    return [
        Span(name, streams[name].start_ns, streams[name].end_ns, points)
        for name, points in left.items()
        if points > 0 and name in streams
    ]
