"""A coroutine that must not end by accident.

A route runs one for its source and one for each destination.  If one ends with an error that
nobody foresaw, that is a bug; but the data of a device must not stop flowing for ever because of
it.  So the loop logs the failure with its traceback and starts over after a delay.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txbridge.errors import OutboxError
from txbridge.net.backoff import Backoff
from txbridge.net.deferred import deferred
from txbridge.relay.link import Link

__all__ = ["Loop", "keep"]


class Loop:
    """Runs one coroutine function from `start` to `stop`.

    Args:
        name: What it is, for the log.
        body: The coroutine function; it may return when its work is done.
        clock: For delays.
        random: Gives fresh random numbers, 0 <= random < 1.
        crashed: Told of each error that nobody foresaw, or None.
    """

    _log = Logger()

    def __init__(
        self,
        name: str,
        body: Callable[[], Coroutine[Deferred[Any], Any, None]],
        *,
        clock: IReactorTime,
        random: Callable[[], float],
        crashed: Callable[[BaseException], None] | None = None,
    ) -> None:
        self._name = name
        self._body = body
        self._clock = clock
        self._random = random
        self._crashed = crashed
        self._backoff = Backoff(initial=1.0)
        self._running: Deferred[None] | None = None
        self._restart: IDelayedCall | None = None
        self._alarm: Deferred[None] | None = None
        self.stopping = False

    def start(self) -> None:
        """Run the body."""
        self._restart = None
        self._backoff.works(self._clock.seconds())
        self._running = Deferred.fromCoroutine(self._body())
        self._running.addErrback(self._failed)

    @deferred
    async def stop(self) -> None:
        """Cancel the body and wait until it has ended; cancelling this cancels it once more."""
        self.stopping = True
        if self._restart is not None:
            self._restart.cancel()
            self._restart = None
        if self._running is not None:
            running, self._running = self._running, None
            running.cancel()
            await running

    def wait(self, seconds: float) -> Deferred[None]:
        """Called by the body: fires after so many seconds, or at the next `wake`.

        Raises:
            CancelledError: The loop was stopped.  If something that the body called stopped it,
                there was nothing to cancel at that moment, so it comes here.
        """
        if self.stopping:
            return fail(CancelledError())

        def forget(_: Deferred[None]) -> None:
            timer.cancel()
            self._alarm = None

        alarm: Deferred[None] = Deferred(forget)
        timer = self._clock.callLater(max(0.0, seconds), self.wake)
        # Fired by the timer or by somebody else, the timer is gone either way.
        alarm.addCallback(lambda _: timer.cancel() if timer.active() else None)
        self._alarm = alarm
        return alarm

    def wake(self) -> None:
        """End the `wait` that is going on, if there is one."""
        if self._alarm is not None:
            alarm, self._alarm = self._alarm, None
            alarm.callback(None)

    def _failed(self, failure: Failure) -> None:
        if self.stopping and failure.check(CancelledError):
            return
        self._log.failure("{loop} failed and starts over", failure, loop=self._name)
        if self._crashed is not None and failure.value is not None:
            self._crashed(failure.value)
        if not self.stopping:
            delay = self._backoff.next_delay(self._random(), self._clock.seconds())
            self._restart = self._clock.callLater(delay, self.start)


async def keep(loop: Loop, link: Link, write: Callable[[], Deferred[None]]) -> None:
    """Write something down here, however long it takes until that works: a disk may be full for days.

    Args:
        loop: Where the waiting is done.
        link: How it goes with what is written to.
        write: Does it.

    Raises:
        OutboxError: It did not work, and the loop is stopping.
        Closed: What is written to is closed.
    """
    while True:
        try:
            await write()
        except OutboxError as error:
            delay = link.failed(error)
            if loop.stopping:
                raise
            await loop.wait(delay)
        else:
            link.works()
            return
