"""Joule's rows without I/O: bytes to arrays of rows, and back.

A row is packed and little-endian: a timestamp (int64, microseconds since 1970 in UTC), then the
values of the stream's elements, all of one type.  A *layout* such as ``float32_3`` says which and how
many.  A whole row of zero bytes is no row but an *interval token*: the run of continuous data so far
is over.  There is no other framing and no checksum.

Feed bytes to a `RowReader` as they come, in pieces of any size.  It copies them once, into a buffer of
their own, and gives arrays that are views of it.  A `RowWriter` makes the bytes of one upload, and
refuses what the node would refuse, fail at or misread.

Source: Joule 1.0.1, ``models/pipes`` and ``models/data_store``; the bytes were seen on the wire.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from txbridge.errors import RemoteProtocolError
from txbridge.joule.codec import FIRST_TIMESTAMP, LAST_TIMESTAMP
from txbridge.joule.errors import InvalidArgument, InvalidRows
from txbridge.model.instants import shorten

__all__ = [
    "Event",
    "InvalidRows",
    "RowReader",
    "RowWriter",
    "Rows",
    "WentBack",
    "as_rows",
    "flattened",
    "layout_dtype",
]

_LAYOUT = re.compile(r"(float64|float32|u?int64|u?int32|u?int16|u?int8)_([1-9][0-9]{0,4})")
_CODES = {"float64": "<f8", "float32": "<f4", "int64": "<i8", "int32": "<i4", "int16": "<i2", "int8": "<i1"}
_CODES |= {f"u{name}": code.replace("i", "u") for name, code in _CODES.items() if name.startswith("int")}


def layout_dtype(layout: str) -> np.dtype[Any]:
    """The type of a row: ``timestamp``, and ``data`` with as many values as the stream has elements.

    Raises:
        InvalidArgument: It is no layout.
    """
    match = _LAYOUT.fullmatch(layout)
    if match is None:
        raise InvalidArgument("layout", f"{shorten(layout)!r} is not a type and a number, as in float32_3")
    return np.dtype([("timestamp", "<i8"), ("data", _CODES[match[1]], (int(match[2]),))])


def flattened(rows: NDArray[Any]) -> NDArray[Any]:
    """Rows as a matrix whose first column is the timestamps: of floats, or of integers if all are."""
    return np.column_stack((rows["timestamp"], rows["data"]))


# ------------------------------------------------------------------------------------------- reading


@frozen(eq=False)
class Rows:
    """Rows of one run.

    Attributes:
        rows: Ascending in time; none, if only the end of a run came.
        interval_ended: Whether the run is over after these.
    """

    rows: NDArray[Any]
    interval_ended: bool


@frozen
class WentBack:
    """A timestamp is not later than the one before, although all should ascend.

    What follows is not read.  Nodes up to 1.0.1 send a stream from its beginning again, for ever, when
    a run that another follows has 49 999 rows or 50 000 × n more.

    Attributes:
        last: The timestamp of the last good row.
        found: The one that came after it.
    """

    last: int
    found: int


Event = Rows | WentBack


class RowReader:
    """Reads rows from pieces of bytes.

    Args:
        dtype: See `layout_dtype`.
        sorted: Whether all timestamps ascend, as in history: one that does not ends the reading with
            `WentBack`.  Otherwise, as in a subscription to a module that was started again, it begins
            a new run.
        after: The timestamp that rows must be later than.
    """

    def __init__(self, dtype: np.dtype[Any], *, sorted: bool = True, after: int | None = None) -> None:
        self._dtype = dtype
        self._sorted = sorted
        self._last = after
        self._rest: bytes | bytearray = b""
        self._is_over = False

    @property
    def last(self) -> int | None:
        """The timestamp of the last row that was read."""
        return self._last

    def receive_data(self, *pieces: bytes) -> list[Event]:
        """Read pieces of bytes that follow one another.

        The arrays belong to the caller: they are views of a buffer that is not used again.
        """
        if self._is_over:
            return []
        buffer = bytearray().join((self._rest, *pieces))
        size = self._dtype.itemsize
        count = len(buffer) // size
        self._rest = buffer[count * size :]
        if count == 0:
            return []
        return self._runs(np.frombuffer(buffer, self._dtype, count))

    def receive_eof(self) -> None:
        """The body ended regularly.

        Raises:
            RemoteProtocolError: In the middle of a row.
        """
        if self._rest and not self._is_over:
            missing = self._dtype.itemsize - len(self._rest)
            raise RemoteProtocolError("data_read", f"the data ends {missing} bytes before the end of a row")

    def _runs(self, rows: NDArray[Any]) -> list[Event]:
        times = rows["timestamp"]
        events: list[Event] = []
        start = 0
        for at in np.flatnonzero(times == 0):
            # A genuine row may have the timestamp 0, but then some value is not zero.
            if not rows[at : at + 1].view(np.uint8).any():
                if self._take(events, rows[start:at], interval_ended=True):
                    return events
                start = int(at) + 1
        if start < len(rows):
            self._take(events, rows[start:], interval_ended=False)
        return events

    def _take(self, events: list[Event], rows: NDArray[Any], *, interval_ended: bool) -> bool:
        """Check one run; returns whether the reading is over."""
        times = rows["timestamp"]
        if len(times):
            back = np.flatnonzero(times[1:] <= times[:-1]) + 1
            if self._last is not None and times[0] <= self._last:
                back = np.concatenate(([0], back))
            if len(back) and self._sorted:
                at = int(back[0])
                if at:
                    events.append(Rows(rows[:at], interval_ended=False))
                    self._last = int(times[at - 1])
                assert self._last is not None
                events.append(WentBack(self._last, int(times[at])))
                self._rest, self._is_over = b"", True
                return True
            start = 0
            for begins in back:
                events.append(Rows(rows[start:begins], interval_ended=True))
                start = int(begins)
            rows = rows[start:]
            self._last = int(times[-1])
        events.append(Rows(rows, interval_ended))
        if interval_ended and not self._sorted:
            self._last = None
        return False


# ------------------------------------------------------------------------------------------- writing


class RowWriter:
    """Makes the bytes of one upload.

    Args:
        dtype: See `layout_dtype`.
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype
        self._token = bytes(dtype.itemsize)
        self._first: int | None = None
        self._last: int | None = None
        self._run_is_open = False

    @property
    def first(self) -> int | None:
        """The timestamp of the first row that was written."""
        return self._first

    @property
    def last(self) -> int | None:
        """The timestamp of the last row that was written."""
        return self._last

    def write(self, rows: Any) -> bytes:
        """The bytes of rows.

        Args:
            rows: A matrix whose first column is the timestamps, or an array of exactly the stream's
                type; none are no bytes.

        Raises:
            InvalidRows: They are something else, or the node would not take them: not all later
                than the rows before, not a number, not in the years 1 to 9999.
        """
        typed = as_rows(rows, self._dtype)
        if not len(typed):
            return b""
        times = typed["timestamp"]
        self._check_times(times)
        data = typed["data"]
        # One pass finds that nothing is NaN; infinities may add up to one too.
        if data.dtype.kind == "f" and np.isnan(np.einsum("ij->", data)) and np.isnan(data).any():
            raise InvalidRows("rows", f"row {_row_of(np.isnan(data))} has a value that is not a number")
        for at in np.flatnonzero(times == 0) if times[0] <= 0 else ():
            if not typed[at : at + 1].view(np.uint8).any():
                raise InvalidRows("rows", f"row {at} is all zero, which means the end of an interval")
        if self._first is None:
            self._first = int(times[0])
        self._last = int(times[-1])
        self._run_is_open = True
        return typed.tobytes()

    def close_interval(self) -> bytes:
        """The bytes that end a run: none if it has no rows."""
        if not self._run_is_open:
            return b""
        self._run_is_open = False
        return self._token

    def _check_times(self, times: NDArray[np.int64]) -> None:
        if self._last is not None and times[0] <= self._last:
            raise InvalidRows("rows", f"the timestamp {times[0]} is not after the last one, {self._last}")
        back = np.flatnonzero(times[1:] <= times[:-1])
        if len(back):
            at = int(back[0]) + 1
            raise InvalidRows(
                "rows", f"the timestamp {times[at]} of row {at} is not after that of row {at - 1}"
            )
        for at in (0, -1):
            if not FIRST_TIMESTAMP <= times[at] <= LAST_TIMESTAMP:
                raise InvalidRows("rows", f"the timestamp {times[at]} is not in the years 1 to 9999")


def as_rows(rows: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Rows as an array of the stream's type, which is itself if it has that type.

    Raises:
        InvalidRows: They are no rows of this type, or a value does not fit.
    """
    if not isinstance(rows, np.ndarray) or rows.ndim == 0:
        raise InvalidRows("rows", "invalid data type must be a structured array or 2D matrix")
    if rows.ndim == 1:
        if rows.dtype != dtype:
            raise InvalidRows(
                "rows", f"wrong dtype for 1D (structured) array[{rows.dtype}] != req type [{dtype}]"
            )
        return np.ascontiguousarray(rows)
    if rows.ndim != 2:
        raise InvalidRows("rows", "wrong number of dimensions in array")
    width = dtype["data"].shape[0]
    if rows.shape[1] != width + 1:
        raise InvalidRows(
            "rows", f"wrong number of fields for this data type: {rows.shape[1]}, not {width + 1}"
        )
    if rows.dtype.kind not in "iufb":
        raise InvalidRows("rows", f"a matrix of {rows.dtype} has no numbers")
    typed = np.empty(len(rows), dtype)
    typed["timestamp"] = _cast(rows[:, 0], np.dtype(np.int64), "timestamps", whole=False)
    typed["data"] = _cast(rows[:, 1:], dtype["data"].base, "values", whole=True)
    return typed


def _cast(values: NDArray[Any], to: np.dtype[Any], what: str, *, whole: bool) -> NDArray[Any]:
    """Change the type of numbers, but of none to something else than it says."""
    if to.kind == "f":
        try:
            with np.errstate(over="raise"):
                return values.astype(to)
        except FloatingPointError:
            raise InvalidRows("rows", f"some {what} are too large for {to}") from None
    if values.dtype.kind == "f":
        if not np.isfinite(values).all():
            raise InvalidRows("rows", f"some {what} are no finite numbers, as {to} must be")
        if whole and (values != np.trunc(values)).any():
            raise InvalidRows("rows", f"some {what} have a fraction, which {to} has not")
    limits = np.iinfo(to)
    # As Python's numbers: numpy would compare a float with the largest int64 as floats, which is one more.
    if values.size and (int(values.min()) < limits.min or int(values.max()) > limits.max):
        raise InvalidRows("rows", f"some {what} do not fit into {to}")
    return values.astype(to)


def _row_of(flags: NDArray[np.bool_]) -> int:
    return int(np.flatnonzero(flags.any(axis=1))[0])
