"""This machine as a `Source`.

A subscription reads the machine at every tick of an even grid, in a thread, because a disk or a
sensor may take its time.  One reading is at work at once: if it takes longer than the interval,
the ticks meanwhile are missed.  The same happens when the reader pauses us because the outbox is
full.  A reading that does not follow its predecessor in time has an interval break before it and
no rates: there is no figure for a moment when nobody looked.  What was not read because of a pause is
told as a gap too: the relay had no room for it, as if its outbox had dropped it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from txbridge.errors import Closed, ConfigError, ConnectionLost
from txbridge.host.machine import Machine, Snapshot, describe_stream, measure, this_machine
from txbridge.model.samples import Batch, Cursor, Gap, SampleBlock, ValueType
from txbridge.net.reactor import resolve_reactor
from txbridge.relay.handover import HandOver
from txbridge.relay.roles import Capabilities, Selection, Subscription

__all__ = ["CAPABILITIES", "HostSource"]

InThread: TypeAlias = "Callable[[Machine], Deferred[Snapshot]]"

CAPABILITIES = Capabilities(
    value_types=frozenset({ValueType.FLOAT, ValueType.INTEGER}),
    not_numbers=False,
    breaks=True,
    infos=True,
    history=False,
    acknowledges=False,
    local_clock=True,
)

SHORTEST_INTERVAL = 0.1  # the kernel counts processor time in hundredths of a second
NEIGHBOURS = 1.5  # intervals; readings further apart have a break between them
NO_ROOM = "not read: the relay had no room"


class HostSource:
    """Reads this machine once per interval.

    Args:
        interval: Seconds between readings.
        reactor: For the ticks and the threads; None is the global one.
        clock: For the ticks, if not the reactor.
        machine: What is read, if not this machine.
        disk: A path on the file system whose usage is read.
        in_thread: Runs the reading somewhere where it may block, if not in the reactor's threads.

    Raises:
        ConfigError: The interval is too short, or psutil is not installed.
    """

    def __init__(
        self,
        interval: float = 1.0,
        *,
        reactor: Any = None,
        clock: IReactorTime | None = None,
        machine: Machine | None = None,
        disk: str = "/",
        in_thread: InThread | None = None,
    ) -> None:
        if not SHORTEST_INTERVAL <= interval < math.inf:
            raise ConfigError(
                [f"the machine is read every {SHORTEST_INTERVAL} seconds at most, not every {interval}"]
            )
        self._interval = interval
        self._machine = machine if machine is not None else this_machine(disk)
        if clock is None or in_thread is None:
            reactor = resolve_reactor(reactor)
        self._clock: IReactorTime = clock if clock is not None else reactor
        self._in_thread: InThread = (
            in_thread
            if in_thread is not None
            else lambda read: deferToThreadPool(reactor, reactor.getThreadPool(), read)
        )

    @property
    def capabilities(self) -> Capabilities:
        """Numbers with breaks; no history."""
        return CAPABILITIES

    def open(self, selection: Selection, after: Cursor | None) -> Deferred[Subscription]:
        """Begin to read; the first reading is taken at once.

        Args:
            selection: The streams that are wanted.
            after: Not used: what was not read is gone.
        """
        subscription = _HostSubscription(
            selection, self._interval, self._clock, lambda: self._in_thread(self._machine)
        )
        subscription.resumeProducing()
        return succeed(subscription)


class _HostSubscription:
    """Ticks, reads, and puts what was read into a hand-over that may pause it."""

    def __init__(
        self,
        selection: Selection,
        interval: float,
        clock: IReactorTime,
        read: Callable[[], Deferred[Snapshot]],
    ) -> None:
        self._selection = selection
        self._interval = interval
        self._clock = clock
        self._read = read
        self._handover = HandOver(self)
        self._started_at = clock.seconds()
        self._tick: IDelayedCall | None = None
        self._reading: Deferred[Snapshot] | None = None
        self._paused = False
        self._missed = 0  # ticks of a pause
        self._paused_at = 0
        self._closed = False
        self._last: Snapshot | None = None
        self._known: set[str] = set()
        self._just_read: set[str] = set()

    def next_batch(self) -> Deferred[Batch]:
        """The readings since the last call, or the next one."""
        return self._handover.next_batch()

    def settled(self, cursor: Cursor) -> None:
        """There are no cursors, so nobody calls this; a machine forgets by itself."""

    def close(self) -> Deferred[None]:
        """Stop reading; the result of a reading that is at work is thrown away."""
        self._closed = True
        if self._tick is not None:
            self._tick.cancel()
            self._tick = None
        if self._reading is not None:
            self._reading.cancel()
        self._handover.finish(Closed("the reading of this machine"))
        return succeed(None)

    def pauseProducing(self) -> None:
        """Called by the hand-over at its high mark: leave out ticks."""
        self._paused = True
        self._paused_at = self._ticks()

    def resumeProducing(self) -> None:
        """Called by the hand-over at its low mark, and to begin with."""
        if self._paused:
            self._missed += self._ticks() - self._paused_at
        self._paused = False
        if self._tick is None and self._reading is None and not self._closed:
            self._tick = self._clock.callLater(self._until_next_tick(), self._start_reading)

    def _until_next_tick(self) -> float:
        if self._last is None:
            return 0.0
        since_start = self._clock.seconds() - self._started_at
        return max(0.0, (self._ticks() + 1) * self._interval - since_start)

    def _ticks(self) -> int:
        """How many there have been after the first."""
        since_start = self._clock.seconds() - self._started_at
        return math.floor(since_start / self._interval + 1e-6)

    def _start_reading(self) -> None:
        self._tick = None
        self._reading = reading = maybeDeferred(self._read)
        reading.addCallback(self._took).addErrback(self._broke)

    def _took(self, snapshot: Snapshot) -> None:
        self._reading = None
        self._handover.put(self._batch(snapshot))
        if not self._paused:
            self.resumeProducing()

    def _broke(self, failure: Failure) -> None:
        self._reading = None
        if not self._closed:
            reason = f"{type(failure.value).__name__}: {failure.getErrorMessage()}"
            self._handover.finish(ConnectionLost("read this machine", reason))

    def _batch(self, snapshot: Snapshot) -> Batch:
        previous, self._last = self._last, snapshot
        missed, self._missed = self._missed, 0
        gaps: list[Gap] = []
        if missed and previous is not None and snapshot.at_ns - previous.at_ns > 1:
            span = previous.at_ns + 1, snapshot.at_ns - 1
            gaps = [Gap(stream, *span, NO_ROOM, missed) for stream in sorted(self._just_read)]
        if previous is not None:
            apart = snapshot.at_ns - previous.at_ns
            if not 0 < apart <= self._interval * NEIGHBOURS * 1e9:
                previous = None
                self._just_read = set()
        values = {
            stream: value
            for stream, value in measure(previous, snapshot).items()
            if self._selection.wants(stream)
        }
        at = np.array([snapshot.at_ns], np.int64)
        blocks: list[SampleBlock] = []
        for stream, value in values.items():
            missed = stream in self._known and stream not in self._just_read
            blocks.append(SampleBlock.scalar(stream, at, np.array([value]), (0,) if missed else ()))
        infos = [
            describe_stream(stream, value) for stream, value in values.items() if stream not in self._known
        ]
        self._known.update(values)
        self._just_read = set(values)
        return Batch(tuple(blocks), tuple(gaps), tuple(infos))
