"""Pipes: rows of a data stream, read from a node, written to it, or passed on within a program.

The methods are those of Joule's own pipes, whose coroutines are Deferreds here.  What is different:

- A reader gets views of what came over the network.  They are its own to change and to keep.
- A reader that falls behind makes the node wait for at most `HOLD_SECONDS`, because a node has few
  database connections and a read holds one of them.  Then the connection is dropped, and another one
  goes on from the last row when the reader comes back.
- A read of history goes on by itself after its connection was lost.  No row is given twice, none is left
  out, and an interval break is given exactly where there is one.  A subscription cannot go on: what it
  missed is history by then.
- A writer waits for a node that is slow.
- Nothing is cut off or lost without an error.

**Going on after a loss.**  The last row is asked for once more and dropped, because a node keeps a break
as a point in time just after the row before it, and tells only of those not before the first row that it
gives.  After a break that did arrive, what follows the last row is asked for.  A decimated read goes on at
its level, as ``max-rows`` might mean another one by then.

Source: Joule 1.0.1, ``models/pipes``, ``api/data_stream``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from twisted.internet.defer import CancelledError, Deferred, DeferredList, fail
from twisted.internet.task import deferLater

from txbridge.errors import (
    BridgeError,
    Closed,
    ConnectError,
    ConnectionLost,
    RemoteProtocolError,
    ServerFailed,
    TimedOut,
)
from txbridge.joule import codec
from txbridge.joule.codec import FIRST_TIMESTAMP, LAST_TIMESTAMP, check_timestamp
from txbridge.joule.errors import (
    DecimationError,
    EmptyPipeError,
    InvalidArgument,
    PipeError,
    Rejected,
    refine,
)
from txbridge.joule.operations import DataStreamLike, positive, select_data_stream
from txbridge.joule.protocol import (
    InvalidRows,
    RowReader,
    Rows,
    RowWriter,
    WentBack,
    as_rows,
    flattened,
    layout_dtype,
)
from txbridge.joule.structures import DataStream
from txbridge.net.deferred import deferred
from txbridge.net.http_stream import Download, StreamCarrier, Upload
from txbridge.net.operation import Answer, Operation

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

D = TypeVar("D")

__all__ = [
    "HOLD_SECONDS",
    "LIVE_HOLD_SECONDS",
    "Direction",
    "LocalPipe",
    "Pipe",
    "ReadPipe",
    "WritePipe",
    "open_read",
    "open_subscription",
    "open_write",
]

HOLD_SECONDS = 5.0
"""How long a reader of history may make a node wait: ten that do so for ever freeze it."""

LIVE_HOLD_SECONDS = 30.0
"""How long a subscriber may: a node keeps everything that a subscriber does not take in its memory."""

READ_SILENCE = 60.0
"""How long a node may be silent within a read of history."""

WRITE_SILENCE = 120.0
"""How long a node may take nothing of a write, or give no answer at its end: it decimates as it stores."""

RESUME_DELAYS = (0.0, 0.5, 1.0, 2.0, 4.0)
"""Seconds before each attempt to go on with a read, as long as none brings a new row."""

MAX_ROWS = 100_000
"""Rows that ``read_all`` gives unless it is told otherwise, as with Joule's own client."""

MAX_BREAKS = 1 << 20
"""Interval breaks that may follow each other without a row: whole intervals may be decimated away."""

NO_DATA = "this stream has no data"

_LOSSES = (ConnectError, ConnectionLost, ServerFailed, TimedOut)


class Direction(Enum):
    """Which way rows go through a pipe, seen from the program."""

    INPUT = 1
    OUTPUT = 2
    TWOWAY = 3


class Pipe(ABC):
    """What all pipes have.

    Attributes:
        name: What it is called: the stream's name.
        layout: The type and the number of the values of a row, such as ``float32_3``; of a decimated
            read it is not the stream's.
        dtype: The numpy type of a row: ``timestamp``, and ``data`` with ``width`` values.
        width: How many values a row has.
        decimation_level: How many rows of the stream a row stands for; 1 if it is not decimated.
        stream: The stream, if it is one's.
        direction: Which way rows go.
        closed: Whether `close` was called.
    """

    DIRECTION = Direction
    direction: Direction

    def __init__(
        self, layout: str, *, name: str = "pipe", stream: DataStream | None = None, decimation_level: int = 1
    ) -> None:
        self.name = name
        self.layout = layout
        self.dtype = layout_dtype(layout)
        self.width = int(self.dtype["data"].shape[0])
        self.decimation_level = decimation_level
        self.stream = stream
        self.closed = False

    def __repr__(self) -> str:
        closed = ", closed" if self.closed else ""
        return f"<{type(self).__name__} {self.name!r} {self.layout}{closed}>"

    @property
    def decimated(self) -> bool:
        """Whether a row stands for several of the stream."""
        return self.decimation_level > 1

    # What one end cannot do says so, as in Joule.  A `ReadPipe` reads, a `WritePipe` writes, a `LocalPipe`
    # does both.

    @property
    def end_of_interval(self) -> bool:
        """Whether an interval break follows the rows that were read last."""
        return False

    def read(self, flatten: bool = False) -> Deferred[NDArray[Any]]:
        """Wait for new rows."""
        return fail(PipeError("cannot read from an output pipe"))

    def read_all(
        self, flatten: bool = False, maxrows: int | None = MAX_ROWS, error_on_overflow: bool = True
    ) -> Deferred[NDArray[Any]]:
        """Read everything that is left."""
        return fail(PipeError("cannot read from an output pipe"))

    def consume(self, num_rows: int) -> None:
        """Drop the first rows of those that were read."""
        raise PipeError("cannot consume from an output pipe")

    def consume_all(self) -> None:
        """Drop all rows that were read."""
        raise PipeError("cannot consume from an output pipe")

    def reread_last(self) -> None:
        """Let the next `read` give what is not consumed of the last one."""
        raise PipeError("cannot read from an output pipe")

    def is_empty(self) -> Deferred[bool]:
        """Whether there is nothing left."""
        return fail(PipeError("cannot check output pipes for empty condition"))

    def not_empty(self) -> Deferred[bool]:
        """The opposite of `is_empty`."""
        return fail(PipeError("cannot check output pipes for empty condition"))

    def write(self, rows: NDArray[Any]) -> Deferred[None]:
        """Write rows."""
        return fail(PipeError("cannot write to an input pipe"))

    def close_interval(self) -> Deferred[None]:
        """End the run of continuous data."""
        return fail(PipeError("cannot write to an input pipe"))

    def enable_cache(self, lines: int) -> None:
        """Keep rows until there are this many, then write them at once."""
        raise PipeError("cannot control cache on input pipes")

    def flush_cache(self) -> Deferred[None]:
        """Write what `enable_cache` made the pipe keep."""
        return fail(PipeError("cannot control cache on input pipes"))

    def flush(self) -> Deferred[None]:
        """Write what is kept; fires when everything has left the pipe."""
        return fail(PipeError("cannot write to an input pipe"))

    def subscribe(self, pipe: Pipe) -> Callable[[], None]:
        """Copy what is written from now on to another pipe."""
        raise PipeError("cannot subscribe to an input pipe")

    @abstractmethod
    def close(self) -> Deferred[None]:
        """Let go of it; a second call is harmless."""


# ------------------------------------------------------------------------------------------- reading


class _Readable(Pipe):
    """The reading end."""

    direction = Direction.INPUT

    def __init__(self, layout: str, **more: Any) -> None:
        super().__init__(layout, **more)
        self._ready: deque[Rows] = deque()
        self._kept: NDArray[Any] = np.empty(0, self.dtype)
        self._end_of_interval = False
        self._is_at_end = False
        self._was_rest_given = False
        self._is_reading = False
        self._reread = False

    @abstractmethod
    def _more(self) -> Awaitable[Sequence[Rows]]:
        """What comes next; nothing at the end."""

    def _may_read(self) -> bool:
        return not self.closed

    @property
    def end_of_interval(self) -> bool:
        """Whether an interval break follows the rows that were read last."""
        return self._end_of_interval

    @deferred
    async def read(self, flatten: bool = False) -> NDArray[Any]:
        """Wait for new rows; gives them after those that were not consumed.

        They reach at most to the next interval break, which `end_of_interval` tells of; if nothing but
        the break came, there may be no rows.  At the end, what was not consumed is given once more.
        Cancelling it loses nothing.

        Args:
            flatten: Give a matrix whose first column is the timestamps, instead of a structured array.

        Raises:
            EmptyPipeError: There is nothing more, or the pipe was closed.
            PipeError: Another read is waiting.
            DecimationError: The stream has rows, but none that are decimated like this.
            BridgeError: The node cannot be reached, or a subscription was lost.  Of history another
                read tries again.
        """
        if self._reread:
            self._reread = False
            return self._shown(flatten)
        if not self._may_read():
            raise EmptyPipeError("the pipe is closed")
        if self._is_reading:
            raise PipeError("somebody is reading from this pipe already")
        self._is_reading = True
        try:
            if not self._ready and not self._is_at_end:
                more = await self._more()
                self._ready.extend(more)
                self._is_at_end = not more
        finally:
            self._is_reading = False
        if self._ready:
            self._take()
        elif len(self._kept) and not self._was_rest_given:
            self._was_rest_given = True
            self._end_of_interval = False
        else:
            raise EmptyPipeError("there is nothing left to read")
        return self._shown(flatten)

    def _take(self) -> None:
        """Take what is ready, up to a break."""
        parts = [self._kept] if len(self._kept) else []
        ended = False
        while self._ready and not ended:
            event = self._ready.popleft()
            ended = event.interval_ended
            if len(event.rows):
                parts.append(event.rows)
        self._end_of_interval = ended
        if len(parts) > 1:
            self._kept = np.concatenate(parts)
        elif parts:
            self._kept = parts[0]

    def _shown(self, flatten: bool) -> NDArray[Any]:
        return flattened(self._kept) if flatten else self._kept

    def consume(self, num_rows: int) -> None:
        """Drop the first rows of those that were read.

        Raises:
            PipeError: There are not as many.
        """
        if num_rows < 0:
            raise PipeError(f"consume called with negative offset: {num_rows}")
        if num_rows > len(self._kept):
            raise PipeError(f"cannot consume {num_rows} rows: only {len(self._kept)} available")
        self._kept = self._kept[num_rows:]

    def consume_all(self) -> None:
        """Drop all rows that were read."""
        self.consume(len(self._kept))

    def reread_last(self) -> None:
        """Let the next `read` give what is not consumed of the last one, without waiting."""
        self._reread = True

    @deferred
    async def is_empty(self) -> bool:
        """Whether there is nothing left; waits for rows, which the next `read` then gives."""
        try:
            await self.read()
        except EmptyPipeError:
            return True
        self.reread_last()
        return False

    @deferred
    async def not_empty(self) -> bool:
        """The opposite of `is_empty`."""
        return not await self.is_empty()

    @deferred
    async def read_all(
        self, flatten: bool = False, maxrows: int | None = MAX_ROWS, error_on_overflow: bool = True
    ) -> NDArray[Any]:
        """Read everything that is left, and consume it.  Interval breaks are not told of.

        Args:
            flatten: As of `read`.
            maxrows: How many rows it may be; None for any number.
            error_on_overflow: False gives the first ``maxrows`` if there are more.

        Raises:
            EmptyPipeError: There is nothing.
            PipeError: There are more than ``maxrows`` rows; none was consumed of those that were read
                last.
        """
        parts: list[NDArray[Any]] = []
        count = 0
        while True:
            try:
                rows = await self.read()
            except EmptyPipeError:
                break
            if maxrows is not None and count + len(rows) > maxrows:
                if error_on_overflow:
                    raise PipeError(
                        f"More than [{maxrows}] rows, increase maxrows or disable error_on_overflow"
                    )
                parts.append(rows[: maxrows - count])
                self.consume(maxrows - count)
                break
            self.consume(len(rows))
            count += len(rows)
            parts.append(rows)
        if not any(len(part) for part in parts):
            raise EmptyPipeError("No data in pipe")
        everything = np.concatenate(parts) if len(parts) > 1 else parts[0]
        return flattened(everything) if flatten else everything


Reopen = Callable[[int | None, int | None], Deferred[Download | None]]
"""Ask again, from a timestamp on and at a level of decimation; None if there is nothing."""


class ReadPipe(_Readable):
    """Rows from a node: of history, or those that a module makes now.

    Use `txbridge.joule.client.Node.data_read` or ``data_subscribe``, and close it.
    """

    def __init__(
        self,
        download: Download | None,
        layout: str,
        *,
        clock: IReactorTime,
        reopen: Reopen | None,
        start: int | None = None,
        end: int | None = None,
        **more: Any,
    ) -> None:
        super().__init__(layout, **more)
        self._download = download
        self._clock = clock
        self._reopen = reopen
        self._start = start
        self._end = end
        self._reader = RowReader(self.dtype, sorted=reopen is not None)
        self._last: int | None = None
        # What comes before any row ends nothing; but a subscriber may have rows from before.
        self._is_after_break = reopen is not None
        self._repeats: int | None = None  # the timestamp of the row that was asked for once more
        self._breaks = 0  # those since the last row
        self._wrong: RemoteProtocolError | None = None  # what the node did, so that it is asked again
        self._losses = 0
        self._sleep: Deferred[None] | None = None

    @deferred
    async def close(self) -> None:
        """Give the read up.  Whoever waits in `read` gets `Closed`."""
        self.closed = True
        if self._download is not None:
            self._download.close()
        if self._sleep is not None:
            self._sleep.cancel()

    async def _more(self) -> Sequence[Rows]:
        while self._download is not None:
            if self._wrong is not None:
                await self._go_on(self._wrong)
                continue
            try:
                pieces = await self._download.next_pieces()
            except _LOSSES as error:
                await self._go_on(error)
                continue
            if not pieces:
                try:
                    self._reader.receive_eof()
                except RemoteProtocolError as error:
                    await self._go_on(error)
                    continue
                break
            found = self._read(pieces)
            if found:
                self._losses = 0
                return found
        return self._at_end()

    def _at_end(self) -> Sequence[Rows]:
        if self._download is not None and self.decimated and self._last is None:
            raise DecimationError(f"the stream has rows, but none decimated by {self.decimation_level}")
        return []

    def _read(self, pieces: Sequence[bytes]) -> list[Rows]:
        found: list[Rows] = []
        for event in self._reader.receive_data(*pieces):
            if isinstance(event, WentBack):
                reason = f"the node went back from the timestamp {event.last} to {event.found}"
                self._wrong = RemoteProtocolError("data_read", reason)
                break
            rows = event.rows
            self._breaks = 0 if len(rows) else self._breaks + 1
            if self._breaks > MAX_BREAKS:
                reason = f"{self._breaks} interval breaks follow each other without a row"
                self._wrong = RemoteProtocolError("data_read", reason)
                break
            if self._repeats is not None and len(rows):
                if int(rows[0]["timestamp"]) == self._repeats:
                    rows = rows[1:]
                else:  # the row is gone, and so is what may have followed it
                    found.append(Rows(rows[:0], interval_ended=True))
                self._repeats = None
            if len(rows):
                self._last = int(rows[-1]["timestamp"])
                self._is_after_break = False
            if len(rows) or (event.interval_ended and not self._is_after_break):
                found.append(Rows(rows, event.interval_ended))
            self._is_after_break = self._is_after_break or event.interval_ended
        return found

    async def _go_on(self, error: BridgeError) -> None:
        """Ask for what has not come yet."""
        while True:
            if self._reopen is None or self.closed:
                raise error
            if self._losses == len(RESUME_DELAYS):
                self._losses = 0  # who reads again tries again
                raise error
            delay = RESUME_DELAYS[self._losses]
            self._losses += 1
            if delay:
                await self._wait(delay)
            try:
                await self._ask_again(self._reopen)
            except _LOSSES as loss:
                error = loss
            else:
                return

    async def _ask_again(self, reopen: Reopen) -> None:
        start, self._repeats = self._start, None
        if self._last is not None:
            start = self._last + 1 if self._is_after_break else self._last
            self._repeats = None if self._is_after_break else self._last
            if not FIRST_TIMESTAMP <= start <= LAST_TIMESTAMP:
                reason = f"a row has the timestamp {self._last}, after which nothing can be asked for"
                raise RemoteProtocolError("data_read", reason)
        level = self.decimation_level if self.decimated or self._last is not None else None
        download: Download | None = None
        if start is None or self._end is None or start < self._end:
            download = await reopen(start, level)
        if self.closed:
            if download is not None:
                download.close()
            raise Closed(repr(self))
        if self._download is not None:
            self._download.close()
        self._download = download
        self._wrong = None
        self._breaks = 0
        self._reader = RowReader(self.dtype, after=None if start is None else start - 1)
        if download is not None and download.headers.get("joule-layout", self.layout) != self.layout:
            download.close()
            raise RemoteProtocolError("data_read", "the node changed the layout within one read")

    async def _wait(self, seconds: float) -> None:
        self._sleep = deferLater(self._clock, seconds)
        try:
            await self._sleep
        except CancelledError:
            if self.closed:
                raise Closed(repr(self)) from None
            raise
        finally:
            self._sleep = None


# ------------------------------------------------------------------------------------------- writing


class _Writable(Pipe):
    """The writing end."""

    direction = Direction.OUTPUT

    def __init__(self, layout: str, **more: Any) -> None:
        super().__init__(layout, **more)
        self._subscribers: list[Pipe] = []
        self._cache: list[Any] = []
        self._cached = 0
        self._cache_lines = 0

    @abstractmethod
    def _accept(self, rows: Any) -> Any:
        """Check rows, and make of them what `_put` takes."""

    @abstractmethod
    def _put(self, accepted: list[Any]) -> Deferred[None]:
        """Send what was accepted."""

    @abstractmethod
    def _put_break(self) -> Deferred[None]:
        """Send an interval break."""

    def write(self, rows: NDArray[Any]) -> Deferred[None]:
        """Write rows; fires when there is room for more.

        Rows that the stream cannot hold are refused before any of them goes anywhere.  What was
        accepted goes in order, whether or not anybody waits for the Deferred.

        Args:
            rows: A matrix whose first column is the timestamps, or an array of the type `dtype`.

        Raises:
            InvalidRows: They are something else, or not later than what was written before.
            PipeError: The pipe is closed.
            BridgeError: The node refused what was written before, or is gone.
        """
        if self.closed:
            return fail(PipeError("Cannot write to a closed pipe"))
        try:
            accepted = self._accept(rows)
        except InvalidRows as error:
            return fail(error)
        if not len(rows):
            return _nothing()
        if self._cache_lines:
            self._cache.append(accepted)
            self._cached += len(rows)
            putting = self._put_cache() if self._cached >= self._cache_lines else _nothing()
        else:
            putting = self._put([accepted])
        if not self._subscribers:
            return putting
        return _all([putting, *(other.write(rows) for other in self._subscribers)])

    def close_interval(self) -> Deferred[None]:
        """End the run of continuous data: an interval break follows the rows written so far."""
        if self.closed:
            return fail(PipeError("Cannot write to a closed pipe"))
        return _all(
            [self._put_cache(), self._put_break(), *(other.close_interval() for other in self._subscribers)]
        )

    def enable_cache(self, lines: int) -> None:
        """Keep rows until there are this many, then write them at once.

        Small writes are put together without this, too, as far as they happen at once.
        """
        self._cache_lines = positive("lines", lines)

    def flush_cache(self) -> Deferred[None]:
        """Write what `enable_cache` made the pipe keep."""
        if self.closed:
            return fail(PipeError("Cannot write to a closed pipe"))
        return self._put_cache()

    def subscribe(self, pipe: Pipe) -> Callable[[], None]:
        """Copy what is written from now on, breaks included, to another pipe, and close it with this one.

        A slow one makes the writer wait.

        Returns:
            What ends it.
        """
        self._subscribers.append(pipe)

        def unsubscribe() -> None:
            if pipe in self._subscribers:
                self._subscribers.remove(pipe)

        return unsubscribe

    def flush(self) -> Deferred[None]:
        """Write what is cached."""
        return self.flush_cache()

    def _put_cache(self) -> Deferred[None]:
        kept, self._cache, self._cached = self._cache, [], 0
        return self._put(kept) if kept else _nothing()


class WritePipe(_Writable):
    """Rows to a node.

    Use `txbridge.joule.client.Node.data_write`, and close it: only then are all rows stored.
    """

    def __init__(
        self,
        upload: Upload[None],
        layout: str,
        *,
        find_last: Callable[[int, int], Deferred[int | None]],
        released: Callable[[], None],
        **more: Any,
    ) -> None:
        super().__init__(layout, **more)
        self._upload = upload
        self._writer = RowWriter(self.dtype)
        self._find_last = find_last
        self._released = released

    @property
    def last_written(self) -> int | None:
        """The timestamp of the last row that was accepted by `write`."""
        return self._writer.last

    @deferred
    async def last_stored(self) -> int | None:
        """Ask the node for the last timestamp that it has stored of what was written.

        After an error the rows up to it need not be written again.  None if it has none.
        """
        if self._writer.first is None or self._writer.last is None:
            return None
        return await self._find_last(self._writer.first, self._writer.last)

    def flush(self) -> Deferred[None]:
        """Write what is cached; fires when everything has left this program, which is not: is stored."""
        if self.closed:
            return fail(PipeError("Cannot write to a closed pipe"))
        return _all([self._put_cache(), self._upload.drain()])

    @deferred
    async def close(self) -> None:
        """End the interval, and wait until the node has stored everything.

        Raises:
            DataRefused: The node refused some rows; those before them are stored.
            BridgeError: Any other error of a write, also if nobody waited for that.
        """
        if self.closed:
            return
        self.closed = True
        for put in (self._put_cache(), self._put_break()):
            put.addErrback(lambda _: None)  # `finish` fails with the same
        try:
            await _all([self._upload.finish(), *(other.close() for other in self._subscribers)])
        finally:
            self._released()

    def abort(self) -> None:
        """Give up, without the end of the interval; what the node has stored so far stays."""
        self.closed = True
        self._upload.abort()
        self._released()

    def _accept(self, rows: Any) -> bytes:
        return self._writer.write(rows)

    def _put(self, accepted: list[bytes]) -> Deferred[None]:
        return self._upload.write(accepted[0] if len(accepted) == 1 else b"".join(accepted))

    def _put_break(self) -> Deferred[None]:
        return self._upload.write(self._writer.close_interval())


class LocalPipe(_Readable, _Writable):
    """Rows from one part of a program to another.

    Args:
        layout: The type and the number of the values of a row, such as ``float32_3``.
        name: What to call it.
        close_cb: Called by `close`; may return a Deferred.
        stream: What its ``stream`` is to be.
        write_limit: How many writes may wait to be read before the next one has to wait for that; 0
            for any number.
    """

    direction = Direction.TWOWAY

    def __init__(
        self,
        layout: str,
        name: str = "pipe",
        close_cb: Callable[[], Deferred[None] | None] | None = None,
        stream: DataStream | None = None,
        write_limit: int = 0,
    ) -> None:
        super().__init__(layout, name=name, stream=stream)
        self._close_cb = close_cb
        self._write_limit = write_limit
        self._written: deque[Rows] = deque()
        self._reader: Deferred[None] | None = None
        self._writers: deque[Deferred[None]] = deque()

    @deferred
    async def close(self) -> None:
        """Write no more; what was written can still be read."""
        if self.closed:
            return
        await _all([self._put_cache(), *(other.close() for other in self._subscribers)])
        self.closed = True
        self._wake()
        if self._close_cb is not None and (closing := self._close_cb()) is not None:
            await closing

    def _may_read(self) -> bool:
        return True

    async def _more(self) -> Sequence[Rows]:
        while not self._written:
            if self.closed:
                return []
            self._reader = Deferred(self._forget)
            await self._reader
        more = list(self._written)
        self._written.clear()
        while self._writers:
            self._writers.popleft().callback(None)
        return more

    def _accept(self, rows: Any) -> NDArray[Any]:
        typed = as_rows(rows, self.dtype)
        return typed.copy() if typed is rows else typed

    def _put(self, accepted: list[NDArray[Any]]) -> Deferred[None]:
        self._written.extend(Rows(rows, interval_ended=False) for rows in accepted)
        return self._placed()

    def _put_break(self) -> Deferred[None]:
        self._written.append(Rows(np.empty(0, self.dtype), interval_ended=True))
        return self._placed()

    def _placed(self) -> Deferred[None]:
        self._wake()
        if not self._write_limit or len(self._written) <= self._write_limit:
            return _nothing()
        room: Deferred[None] = Deferred(self._writers.remove)
        self._writers.append(room)
        return room

    def _wake(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.callback(None)

    def _forget(self, _: Deferred[None]) -> None:
        self._reader = None


def _nothing() -> Deferred[None]:
    done: Deferred[None] = Deferred()
    done.callback(None)
    return done


@deferred
async def _all(works: Sequence[Deferred[None]]) -> None:
    """Wait for all; raises the first error in their order."""
    results: Any = await DeferredList(works, consumeErrors=True)
    for succeeded, result in results:
        if not succeeded:
            raise result.value


# ------------------------------------------------------------------------------------- how they are opened


@deferred
async def open_read(
    carrier: StreamCarrier,
    stream: DataStreamLike,
    describe: Callable[[], Deferred[DataStream]] | None,
    start: int | None,
    end: int | None,
    max_rows: int | None,
    clock: IReactorTime,
) -> ReadPipe:
    """Open a read of history; see `txbridge.joule.client.Node.data_read`.

    Args:
        carrier: Where to ask.
        stream: Which stream.
        describe: Asks for the stream's definition, at the same time; None to do without.
        start: The first timestamp.
        end: The first one that is not wanted.
        max_rows: About how many rows it may be.
        clock: For the delays between attempts.

    Raises:
        EmptyPipeError: There are no rows, and without a definition no layout either.
    """

    @deferred
    async def ask(first: int | None, level: int | None) -> Download | None:
        if max_rows is None or level is None:
            operation = _read_operation(stream, first, end, max_rows, None)
        else:
            operation = _read_operation(stream, first, end, None, level)
        try:
            return await carrier.open_download(operation, silence=READ_SILENCE, hold=HOLD_SECONDS)
        except Rejected as refusal:
            if refusal.detail != NO_DATA:
                raise
            return None

    download, described = await _with_definition(ask(start, None), stream, describe)
    if download is None and described is None:
        raise EmptyPipeError("No data in pipe")
    layout = described.layout if download is None and described else _header(download, "joule-layout")
    more = _naming(stream, described)
    try:
        level = positive("joule-decimation", int(_header(download, "joule-decimation", "1")))
        return ReadPipe(
            download, layout, clock=clock, reopen=ask, start=start, end=end, decimation_level=level, **more
        )
    except (InvalidArgument, ValueError) as error:
        raise _not_joule(download, "data_read") from error


@deferred
async def open_subscription(
    carrier: StreamCarrier,
    stream: DataStreamLike,
    describe: Callable[[], Deferred[DataStream]],
    clock: IReactorTime,
) -> ReadPipe:
    """Open a subscription; see `txbridge.joule.client.Node.data_subscribe`."""
    operation = _operation("data_subscribe", "GET", stream, (("subscribe", "1"),))
    opening = carrier.open_download(operation, silence=None, hold=LIVE_HOLD_SECONDS)
    download, described = await _with_definition(opening, stream, describe)
    layout = _header(download, "joule-layout")
    try:
        return ReadPipe(download, layout, clock=clock, reopen=None, **_naming(stream, described))
    except InvalidArgument as error:
        raise _not_joule(download, "data_subscribe") from error


@deferred
async def open_write(
    carrier: StreamCarrier,
    stream: DataStream,
    merge_gap: int,
    find_last: Callable[[int, int], Deferred[int | None]],
    released: Callable[[], None],
) -> WritePipe:
    """Open a write; see `txbridge.joule.client.Node.data_write`.

    Args:
        carrier: Where to send it.
        stream: Which stream, as the node has it now.
        merge_gap: Microseconds.
        find_last: Asks for the last timestamp that is stored between two.
        released: Called when the pipe is closed.
    """
    gap = 0 if merge_gap == 0 else positive("merge_gap", merge_gap)
    layout_dtype(stream.layout)
    operation = _operation("data_write", "POST", stream, (("merge-gap", str(gap)),))
    upload = await carrier.open_upload(operation, silence=WRITE_SILENCE)
    more = _naming(stream, stream)
    return WritePipe(upload, stream.layout, find_last=find_last, released=released, **more)


async def _with_definition(
    opening: Deferred[D], stream: DataStreamLike, describe: Callable[[], Deferred[DataStream]] | None
) -> tuple[D, DataStream | None]:
    """Open something, and read the stream's definition meanwhile unless it is there."""
    if isinstance(stream, DataStream) or describe is None:
        return await opening, stream if isinstance(stream, DataStream) else None
    describing = describe()
    opened: Any = None
    is_whole = False
    try:
        opened = await opening
        described = await describing
        is_whole = True
        return opened, described
    finally:
        if not is_whole:
            describing.addErrback(lambda _: None)
            describing.cancel()
            if isinstance(opened, Download):
                opened.close()


def _naming(stream: DataStreamLike, described: DataStream | None) -> dict[str, Any]:
    return {"name": str(stream) if described is None else described.name, "stream": described}


def _header(download: Download | None, name: str, default: str = "") -> str:
    return default if download is None else download.headers.get(name, default)


def _not_joule(download: Download | None, operation: str) -> RemoteProtocolError:
    if download is not None:
        download.close()
    return RemoteProtocolError(operation, "the answer's headers name no layout or decimation of Joule's")


def _read_operation(
    stream: DataStreamLike, start: int | None, end: int | None, max_rows: int | None, level: int | None
) -> Operation[None]:
    first = None if start is None else check_timestamp("start", start)
    last = None if end is None else check_timestamp("end", end)
    if first is not None and last is not None and first >= last:
        raise InvalidArgument("start", "[start] must be before [end]")
    bounds = (("start", first), ("end", last))
    query = [(name, str(at)) for name, at in bounds if at is not None]
    if max_rows is not None:
        query.append(("max-rows", str(positive("max_rows", max_rows))))
    if level is not None:
        query.append(("decimation-level", str(level)))
    return _operation("data_read", "GET", stream, tuple(query))


def _operation(
    name: str, method: str, stream: DataStreamLike, query: tuple[tuple[str, str], ...]
) -> Operation[None]:
    key, value = select_data_stream(stream)

    def read(answer: Answer) -> None:
        if answer.body.strip().lower() != b"ok":
            raise RemoteProtocolError(name, "the answer is not the ok that was due")

    return Operation(
        name=name,
        method=method,
        path=("data",),
        read=read,
        query=((key, str(value)), *query),
        headers={"content-type": "application/octet-stream"} if method == "POST" else {},
        explain=codec.read_refusal,
        refine=refine,
    )
