"""Delivers what triggers have to say, and notices when datastreams fall silent.

What fired is in the store before anybody is told (`txbridge.hub.store`), so a restart forgets nothing:
a notice is tried again, with growing delays, until its receiver takes it or it was tried often enough.
Notices of one trigger go out one after the other, those of different triggers side by side.

Source: Cosm API v2, "Triggers": the deadline and the 15 minutes of silence.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from txbridge.errors import (
    BridgeError,
    Closed,
    ConnectError,
    ConnectionLost,
    RemoteProtocolError,
    RequestRejected,
    StoreError,
    TimedOut,
)
from txbridge.hub.store import Notice, Store
from txbridge.net.deferred import deferred
from txbridge.net.reactor import utc_now

__all__ = ["Deliver", "TriggerOptions", "TriggerService"]

Deliver = Callable[[Notice], "Deferred[str]"]
"""Takes a notice to its receiver; fires with a few words about the success."""

AT_ONCE = 20  # notices under way
LONGEST_WORDS = 200


@frozen(kw_only=True)
class TriggerOptions:
    """How patient a hub is.

    Attributes:
        frozen_seconds: Without a write for so long, a datastream is silent.
        look_seconds: How often silent datastreams are looked for.
        delays: Seconds before the second, third, … try of a delivery; after the last it is given up.
    """

    frozen_seconds: float = 900.0
    look_seconds: float = 15.0
    delays: tuple[float, ...] = (5.0, 30.0, 120.0, 600.0, 3600.0)


class TriggerService:
    """Runs beside a hub's server.

    Args:
        store: Has the triggers and the notices.
        deliver: Takes one notice to its receiver.
        clock: Tells the time.
        options: Limits and delays.

    Attributes:
        silences: How often triggers fired because of silence, since the start.
        delivered: Notices that were delivered.
        failures: Tries to deliver one that failed.
        given_up: Notices that will not be tried again.
    """

    _log = Logger()

    def __init__(
        self, store: Store, deliver: Deliver, clock: IReactorTime, options: TriggerOptions | None = None
    ) -> None:
        self._store = store
        self._deliver = deliver
        self._clock = clock
        self._options = TriggerOptions() if options is None else options
        self.silences = self.delivered = self.failures = self.given_up = 0
        self._running = False
        self._looking: IDelayedCall | None = None
        self._alarm: IDelayedCall | None = None
        self._busy: dict[int, Deferred[None]] = {}
        self._asking: Deferred[None] | None = None
        self._asked_again = False
        self._store_fails = False

    def start(self) -> None:
        """Begin, with what an earlier run left."""
        self._running = True
        self._look()
        self.wake()

    @deferred
    async def stop(self) -> None:
        """Stop; a delivery that is under way is tried again at the next start."""
        self._running = False
        for call in (self._looking, self._alarm):
            if call is not None and call.active():
                call.cancel()
        under_way = [*self._busy.values(), *([] if self._asking is None else [self._asking])]
        for one in under_way:
            one.cancel()
        await DeferredList(under_way, consumeErrors=True)

    def wake(self) -> None:
        """Something has fired."""
        if not self._running:
            return
        if self._asking is not None:
            self._asked_again = True
            return
        self._asking = self._ask()
        self._asking.addBoth(self._asked)

    def _asked(self, result: object) -> None:
        self._asking = None
        if self._asked_again:
            self._asked_again = False
            self.wake()

    def _now(self) -> datetime:
        return utc_now(self._clock)

    def _look(self) -> None:
        now = self._now()
        silent = self._store.freeze(now - timedelta(seconds=self._options.frozen_seconds), now)
        silent.addCallbacks(self._silent, self._failed)
        self._looking = self._clock.callLater(self._options.look_seconds, self._look)

    def _silent(self, fired: int) -> None:
        self.silences += fired
        if fired:
            self.wake()

    @deferred
    async def _ask(self) -> None:
        """Begin what is due, and come again when more is."""
        busy = set(self._busy)  # at first: of what ends meanwhile, the answer may not know yet
        try:
            due = await self._store.due_notices(self._now(), AT_ONCE)
            following = await self._store.next_notice()
        except (StoreError, Closed) as error:
            self._failed(error)
            self._come_again(self._options.look_seconds)
            return
        if self._store_fails:
            self._store_fails = False
            self._log.info("triggers can be read again")
        for notice in due:
            trigger = notice.trigger.id or 0
            if trigger not in busy and len(self._busy) < AT_ONCE:
                self._busy[trigger] = self._try(notice)
                self._busy[trigger].addBoth(self._tried, trigger)
        if following is not None:
            # What is due already waits for one that is under way.
            wait = (following - self._now()).total_seconds()
            # Not later than anyway: the clock may be set meanwhile.
            wait = min(wait, self._options.look_seconds)
            self._come_again(max(wait, 1.0 if self._busy else 0.01))

    def _tried(self, result: object, trigger: int) -> None:
        self._busy.pop(trigger, None)
        self.wake()

    def _come_again(self, seconds: float) -> None:
        if self._alarm is not None and self._alarm.active():
            self._alarm.cancel()
        if self._running:
            self._alarm = self._clock.callLater(seconds, self.wake)

    @deferred
    async def _try(self, notice: Notice) -> None:
        again: datetime | None = None
        try:
            outcome = await self._deliver(notice)
            self.delivered += 1
        except CancelledError:
            raise
        except Exception as error:  # or a notice that nobody can deliver would be tried without a pause
            if not isinstance(error, BridgeError):
                self._log.failure("delivering for trigger {trigger} failed", trigger=notice.trigger.id)
            self.failures += 1
            delays = self._options.delays
            outcome = " ".join(_words(error).split())[:LONGEST_WORDS]
            if notice.tries < len(delays):
                again = self._now() + timedelta(seconds=delays[notice.tries])
            else:
                self.given_up += 1
                self._log.warn(
                    "trigger {trigger} gives up a notice: {outcome}",
                    trigger=notice.trigger.id,
                    outcome=outcome,
                )
        try:
            await self._store.settle_notice(notice.id, self._now(), outcome, again)
        except (StoreError, Closed) as error:
            self._failed(error)
            await self._pause()

    def _pause(self) -> Deferred[None]:
        """Do not run in circles while the storage cannot be written."""
        done: Deferred[None] = Deferred(lambda _: timer.cancel())
        timer = self._clock.callLater(self._options.look_seconds, done.callback, None)
        return done

    def _failed(self, reason: object) -> None:
        if self._running and not self._store_fails:
            self._store_fails = True
            self._log.error("the storage of triggers fails: {reason}", reason=str(reason))


def _words(error: Exception) -> str:
    """Why a delivery failed, for the person who waits for it."""
    if isinstance(error, RequestRejected):
        said = ": ".join(word for word in (error.title, error.detail) if word)
        return f"the receiver answered {error.status} {said}".rstrip()
    if isinstance(error, ConnectError):
        return f"no connection: {error.reason}"
    if isinstance(error, ConnectionLost):
        return f"the connection was lost: {error.reason}"
    if isinstance(error, TimedOut):
        return f"no {error.phase} within {error.seconds:g} s"
    if isinstance(error, RemoteProtocolError):
        return f"the receiver's answer is of no use: {error.reason}"
    return str(error) if isinstance(error, BridgeError) else f"{type(error).__name__}: {error}"
