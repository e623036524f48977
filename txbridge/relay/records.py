"""Batches as bytes: what an outbox and the dead letters keep on a disk.

A record has everything that a `Batch` has, exactly: instants, the bits of every float, half surrogate
pairs, the order of columns.  It begins with a mark that ends in the version of the format, and the length
of a head.  The head is JSON: the layout of the blocks, and all but the rows.  The rows follow as raw little
endian arrays, each padded to 8 bytes so that they can be looked at in place::

    "TXB\\x01"  length of the head (4 bytes)  head  padding  at, column, column, …, at, column, …

A text column is the number of characters of each text (4 bytes) and then all texts as one UTF-8 text.

There is no checksum: whoever writes a record to a disk adds one, over more than the record.  All the same
no bytes make `decode_batch` do anything but return or raise `DecodeError`, or take memory out of
proportion to their number.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from txbridge.errors import DecodeError, EncodeError
from txbridge.model.samples import (
    Batch,
    Column,
    Cursor,
    Gap,
    Note,
    NoteKind,
    SampleBlock,
    StreamInfo,
    ValueType,
    value_type_of,
)

__all__ = ["decode_batch", "encode_batch"]

FORMAT = "batch"
MARK = b"TXB"
VERSION = 1
_HEAD_AT = 8  # mark, version and length of the head come before it
_ALIGNED = 8

_INT64, _UINT32 = np.dtype("<i8"), np.dtype("<u4")
_DTYPES: dict[ValueType, np.dtype[Any]] = {
    ValueType.FLOAT: np.dtype("<f8"),
    ValueType.INTEGER: _INT64,
    ValueType.BOOLEAN: np.dtype("u1"),
}
_JSON = json.JSONEncoder(separators=(",", ":"))  # ASCII, so that half surrogate pairs pass


class _Column(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    name: str
    type: ValueType
    text_bytes: int = 0


class _Block(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    stream: str
    rows: int
    breaks: tuple[int, ...]
    columns: list[_Column]


class _Cursor(msgspec.Struct, forbid_unknown_fields=True):
    value: Any


class _Note(msgspec.Struct, forbid_unknown_fields=True):
    stream: str
    start_ns: int
    end_ns: int | None
    kind: NoteKind
    content: dict[str, Any]


class _Head(msgspec.Struct, forbid_unknown_fields=True):
    blocks: list[_Block] = []
    gaps: tuple[Gap, ...] = ()
    infos: tuple[StreamInfo, ...] = ()
    notes: tuple[_Note, ...] = ()
    cursor: _Cursor | None = None


class _Body:
    """The arrays after the head."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def add(self, data: bytes) -> None:
        self.parts.append(data)
        short = -len(data) % _ALIGNED
        if short:
            self.parts.append(bytes(short))


def encode_batch(batch: Batch) -> bytes:
    """Write a batch as a record.

    Raises:
        EncodeError: A note's content or the cursor is not what JSON can hold.
    """
    body = _Body()
    head: dict[str, Any] = {}
    if batch.blocks:
        head["blocks"] = [_encode_block(block, body) for block in batch.blocks]
    try:
        for name in ("gaps", "infos", "notes", "cursor"):
            value = getattr(batch, name)
            if value is not None and value != ():
                head[name] = msgspec.to_builtins(value)
        text = _JSON.encode(head).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise EncodeError(FORMAT, "", str(error)) from None
    mark = MARK + bytes((VERSION,)) + len(text).to_bytes(4, "little")
    return b"".join([mark, text, bytes(-len(text) % _ALIGNED), *body.parts])


def _encode_block(block: SampleBlock, body: _Body) -> list[Any]:
    body.add(block.at.astype(_INT64, copy=False).tobytes())
    columns = [_encode_column(name, column, body) for name, column in block.columns.items()]
    return [block.stream, len(block), block.breaks, columns]


def _encode_column(name: str, column: Column, body: _Body) -> list[Any]:
    kind = value_type_of(column)
    if kind is ValueType.TEXT:
        texts = column.tolist()
        body.add(np.fromiter(map(len, texts), _UINT32, len(texts)).tobytes())
        data = "".join(texts).encode("utf-8", "surrogatepass")
        body.add(data)
        return [name, kind.value, len(data)]
    if kind is ValueType.BOOLEAN:
        column = column.view(np.uint8) != 0  # a view of other bytes as bool can hold more than 0 and 1
    body.add(column.astype(_DTYPES[kind], copy=False).tobytes())
    return [name, kind.value]


class _Reader:
    """Takes arrays off a record, in the order in which `_Body` got them."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self._at = at

    def take(self, nbytes: int) -> int:
        """Where the next bytes begin.

        Raises:
            ValueError: There are fewer.
        """
        at = self._at
        end = at + nbytes
        self._at = end + -nbytes % _ALIGNED
        if not at <= end <= self._at <= len(self._data):
            raise ValueError(f"the record ends within the {nbytes} bytes at {at}")
        return at

    def array(self, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
        return np.frombuffer(self._data, dtype, count, self.take(count * dtype.itemsize))

    def text(self, nbytes: int) -> str:
        at = self.take(nbytes)
        return self._data[at : at + nbytes].decode("utf-8", "surrogatepass")

    def end(self) -> None:
        if self._at != len(self._data):
            raise ValueError(f"{len(self._data) - self._at} bytes are left over")


def decode_batch(data: bytes) -> Batch:
    """Read what `encode_batch` wrote; the arrays are views of ``data``.

    Raises:
        DecodeError: It is not a record, or one of a newer version of the format.
    """
    if data[:3] != MARK or len(data) < _HEAD_AT:
        raise DecodeError(FORMAT, "", "not a record of a batch")
    if data[3] != VERSION:
        raise DecodeError(FORMAT, "", f"version {data[3]} of the format is not known to this program")
    try:
        return _decode(data)
    except (ValueError, RecursionError) as error:  # of msgspec, JSON, UTF-8 and the model too
        raise DecodeError(FORMAT, "", str(error)) from None


def _decode(data: bytes) -> Batch:
    length = int.from_bytes(data[4:_HEAD_AT], "little")
    reader = _Reader(data, _HEAD_AT)
    at = reader.take(length)
    head = msgspec.convert(json.loads(data[at : at + length].decode("ascii")), _Head)
    blocks = tuple(_decode_block(block, reader) for block in head.blocks)
    reader.end()
    notes = tuple(
        Note(note.stream, note.start_ns, note.end_ns, note.kind, note.content) for note in head.notes
    )
    return Batch(
        blocks, head.gaps, head.infos, Cursor(head.cursor.value) if head.cursor is not None else None, notes
    )


def _decode_block(block: _Block, reader: _Reader) -> SampleBlock:
    if block.rows < 0:
        raise ValueError(f"stream {block.stream!r}: {block.rows} rows")
    at = reader.array(_INT64, block.rows)
    columns = {column.name: _decode_column(column, block.rows, reader) for column in block.columns}
    if len(columns) != len(block.columns):
        raise ValueError(f"stream {block.stream!r}: two columns of one name")
    return SampleBlock(block.stream, at, columns, block.breaks)


def _decode_column(column: _Column, rows: int, reader: _Reader) -> Column:
    if column.type is ValueType.TEXT:
        return _decode_texts(reader.array(_UINT32, rows), reader.text(column.text_bytes))
    array = reader.array(_DTYPES[column.type], rows)
    if column.type is ValueType.BOOLEAN:
        if bool((array > 1).any()):
            raise ValueError(f"column {column.name!r} holds more than true and false")
        return array.view(np.bool_)
    return array


def _decode_texts(lengths: NDArray[np.uint32], text: str) -> Column:
    ends: Sequence[int] = np.cumsum(lengths, dtype=np.int64).tolist()
    if (ends[-1] if ends else 0) != len(text):
        raise ValueError("the lengths of the texts are not that of their column")
    texts = np.empty(len(ends), object)
    texts[:] = [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    return texts
