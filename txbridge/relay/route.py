"""A source, steps, an outbox and senders as one lifecycle.

The source's side is one loop: open after the outbox's cursor, take a batch, send it through the
steps, append it, and only then tell the subscription that its cursor is settled.  If the source
breaks, the subscription is closed and another opened after the same cursor, with a back-off that
never gives up.  The source being away at the start is nothing special.

Stopping goes along the same way: the source first, then what waited for room in the outbox and what
the steps hold back, then as much of the outbox as the destinations take before the deadline.  What is
left stays in a durable outbox and is told as lost by the one in memory; the log has the figure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from attrs import field, frozen
from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txbridge.errors import BridgeError, Closed, ConfigError, EncodeError, PlanRefused, TimedOut
from txbridge.model.samples import Batch, Gap
from txbridge.net.backoff import Backoff
from txbridge.net.deadline import with_deadline
from txbridge.net.deferred import deferred
from txbridge.net.reactor import wall_clock
from txbridge.relay.clock import ClockPolicy, ClockRule
from txbridge.relay.link import Link
from txbridge.relay.loop import Loop, keep
from txbridge.relay.pace import Pace
from txbridge.relay.plan import Plan, RoutePolicy, plan_route
from txbridge.relay.roles import (
    DeadLetters,
    Ledger,
    Loss,
    LossKind,
    Outbox,
    Selection,
    Sink,
    Source,
    Stamp,
    Subscription,
)
from txbridge.relay.sender import Sender, SendLimits, SendOrder
from txbridge.relay.status import LinkState, RouteStatus, describe_error
from txbridge.relay.steps import Step, flush_steps, run_steps

__all__ = ["Destination", "RelayService"]

T = TypeVar("T")

UNSAVED = "not in the outbox when the relay stopped"
FLUSH_SHARE = 0.8  # of the stop deadline; the rest is for closing connections


@frozen(kw_only=True)
class Destination:
    """One destination of a route.

    Attributes:
        name: Its name in the outbox, the status and the log.
        sink: Where the data goes.
        policy: The losses that are accepted on the way there.
        limits: Sizes, times and order of its deliveries.
        pace: The pace of its account, shared with others; None is one of its own without limits.
        clock_rule: What is done about instants of a wrong clock.
    """

    name: str
    sink: Sink
    policy: RoutePolicy = field(factory=RoutePolicy)
    limits: SendLimits = field(factory=SendLimits)
    pace: Pace | None = None
    clock_rule: ClockRule = field(factory=ClockRule)


def _problems(
    name: str, source: Source, destinations: Sequence[Destination], outbox: Outbox
) -> Iterable[str]:
    names = sorted(destination.name for destination in destinations)
    if names != sorted(outbox.destinations):
        yield f"route {name!r} goes to {names}, but its outbox to {sorted(outbox.destinations)}"
    for one in destinations:
        if one.limits.order is SendOrder.LIVE_FIRST and not one.sink.capabilities.any_order:
            yield f"{one.name} takes the rows of a stream in order only, so what is live cannot go first"
        if one.clock_rule.policy is ClockPolicy.CORRECT and not source.capabilities.local_clock:
            yield (
                f"instants on their way to {one.name} cannot be corrected: "
                "this source does not have them from the clock of this machine"
            )


def _apart(batch: Batch) -> list[Batch]:
    """Everything that is in a batch by itself, the cursor last."""
    pieces = [
        Batch((), batch.gaps, batch.infos),
        *(Batch((block,)) for block in batch.blocks),
        *(Batch(notes=(note,)) for note in batch.notes),
    ]
    cursor = [] if batch.cursor is None else [Batch(cursor=batch.cursor)]
    return [piece for piece in pieces if not piece.empty] + cursor


class RelayService(Service):
    """A route from one source to its destinations.  It is started and stopped once.

    Args:
        name: The route's name.
        source: Where the data comes from.
        destinations: Where it goes.
        outbox: The queue between them; it has the destinations' names.
        clock: For deadlines and delays.
        random: Gives fresh random numbers, 0 <= random < 1.
        selection: The streams that are wanted.
        steps: What is done to every batch on its way into the outbox.
        ledger: Told of each loss, or None.
        dead_letters: Where what a destination refuses is kept, or None.
        stamp: The clocks of this machine; None is `machine_clock` of the clock.
        open_deadline: Seconds that opening the source may take, and closing it.
        stop_deadline: Seconds that stopping may take.
        backoff: Makes the back-off of the source and of each destination.

    Raises:
        ConfigError: The outbox does not have exactly these destinations, or one of them cannot do what
            is wanted of it; all problems at once.
        PlanRefused: A destination would lose something that its policy does not accept; every
            loss is listed with its destination.
    """

    _log = Logger()

    def __init__(
        self,
        name: str,
        source: Source,
        destinations: Sequence[Destination],
        outbox: Outbox,
        *,
        clock: IReactorTime,
        random: Callable[[], float],
        selection: Selection | None = None,
        steps: Sequence[Step] = (),
        ledger: Ledger | None = None,
        dead_letters: DeadLetters | None = None,
        stamp: Callable[[], Stamp] | None = None,
        open_deadline: float = 60.0,
        stop_deadline: float = 10.0,
        backoff: Callable[[], Backoff] = Backoff,
    ) -> None:
        self.name = name
        problems = list(_problems(name, source, destinations, outbox))
        if problems:
            raise ConfigError(problems)
        self._source = source
        self._sinks = {destination.name: destination.sink for destination in destinations}
        self._outbox = outbox
        self._clock = clock
        self._wall = wall_clock(clock)
        self._selection = selection if selection is not None else Selection()
        self._steps = tuple(steps)
        self._ledger = ledger
        self._open_deadline = open_deadline
        self._stop_deadline = stop_deadline
        self._received = 0
        self._last_received: float | None = None
        self._source_gaps = 0
        # What came from the source and is not the outbox's yet, and the steps to use after it.
        self._taken: tuple[Batch, tuple[Step, ...]] | None = None
        self._link = Link(f"the source of {name}", clock=clock, random=random, backoff=backoff())
        self._outbox_link = Link(f"the outbox of {name}", clock=clock, random=random, backoff=backoff())
        self._loop = Loop(
            f"the reading of {name}", self._read, clock=clock, random=random, crashed=self._link.crashed
        )
        self._senders = {
            destination.name: Sender(
                destination.name,
                destination.sink,
                outbox,
                plan=plan,
                clock=clock,
                random=random,
                limits=destination.limits,
                backoff=backoff(),
                ledger=ledger,
                dead_letters=dead_letters,
                pace=destination.pace,
                clock_rule=destination.clock_rule,
                stamp=stamp,
                name=f"{destination.name} of {name}",
            )
            for destination, plan in zip(destinations, self._plan(destinations), strict=True)
        }

    def _plan(self, destinations: Sequence[Destination]) -> list[Plan]:
        gives = self._source.capabilities
        for step in self._steps:
            gives = step.gives(gives)
        plans: list[Plan] = []
        refused: list[str] = []
        for destination in destinations:
            try:
                plans.append(plan_route(gives, destination.sink.capabilities, destination.policy))
            except PlanRefused as error:
                refused.extend(f"{loss} (to {destination.name})" for loss in error.losses)
        if refused:
            raise PlanRefused(refused)
        return plans

    def startService(self) -> None:
        """Called by the parent service: begin to read and to send."""
        super().startService()  # type: ignore[no-untyped-call]  # Twisted annotates no services
        for sender in self._senders.values():
            sender.start()
        self._loop.start()

    @deferred
    async def stopService(self) -> None:
        """Called by the parent service: flush what can be flushed, then let go of everything.

        Fires within the stop deadline, whatever the ends do.
        """
        super().stopService()  # type: ignore[no-untyped-call]  # Twisted annotates no services
        until = self._clock.seconds() + self._stop_deadline
        try:
            await self._by(until - (1 - FLUSH_SHARE) * self._stop_deadline, self._flush(), "flush")
        except BridgeError:  # the outbox fails or is closed, or the time is over
            self._log.warn("route {route} could not flush everything", route=self.name)
        await self._all(until, {name: sender.stop for name, sender in self._senders.items()})
        await self._all(until, {name: sink.close for name, sink in self._sinks.items()})
        left = {name: one.points for name, one in self._outbox.state().destinations.items()}
        await self._all(until, {"the outbox": self._outbox.close})
        self._outbox_link.state = LinkState.STOPPED
        self._link.state = LinkState.STOPPED
        self._log.info("route {route} has stopped; not delivered: {left}", route=self.name, left=left)

    def retry_now(self) -> None:
        """Try again at once whatever waits; called when somebody mended something."""
        self._loop.wake()
        for sender in self._senders.values():
            sender.retry_now()

    def status(self) -> RouteStatus:
        """How it goes."""
        kept = self._outbox.state()
        return RouteStatus(
            name=str(self.name),
            source=self._link.state,
            source_age=self._link.state_age,
            source_error=self._link.last_error,
            outbox=self._outbox_link.state,
            outbox_error=self._outbox_link.last_error,
            outbox_points=kept.points,
            outbox_bytes=kept.nbytes,
            outbox_max_bytes=kept.max_bytes,
            durability=kept.durability,
            received=self._received,
            last_received=self._last_received,
            source_gaps=self._source_gaps,
            blocked=kept.blocked,
            destinations=tuple(sender.status() for sender in self._senders.values()),
        )

    async def _read(self) -> None:
        while not self._loop.stopping:
            try:
                subscription = await self._by(
                    self._clock.seconds() + self._open_deadline,
                    maybeDeferred(self._source.open, self._selection, self._outbox.cursor),
                    "open",
                )
                self._link.works()
                try:
                    await self._follow(subscription)
                finally:
                    await self._close(subscription)
            except Closed:
                await self._end()
                return
            except BridgeError as error:
                await self._loop.wait(self._link.failed(error))

    async def _close(self, subscription: Subscription) -> None:
        try:
            await self._by(self._clock.seconds() + self._open_deadline, subscription.close(), "close")
        except TimedOut as error:
            self._log.warn("{link} did not close: {error}", link=self._link.name, error=describe_error(error))

    async def _follow(self, subscription: Subscription) -> None:
        while not self._loop.stopping:
            batch = await subscription.next_batch()
            if batch.points:
                self._received += batch.points
                self._last_received = self._wall()
            if batch.gaps:
                self._source_gaps += len(batch.gaps)
                await self._record(LossKind.SOURCE, batch.gaps)
            passed, following = self._taken = run_steps(self._steps, batch)
            await self._append(passed)
            self._taken, self._steps = None, following
            if batch.cursor is not None:
                subscription.settled(batch.cursor)

    async def _append(self, batch: Batch) -> None:
        """Append, however long it takes: the source has paused by then, and nothing is lost.

        What no outbox can write would be given again and again, so it goes, and the ledger is told.
        """
        try:
            await keep(self._loop, self._outbox_link, lambda: self._outbox.append(batch))
        except EncodeError as error:
            pieces = _apart(batch)
            if batch.empty:
                raise
            if len(pieces) == 1:
                await self._record(LossKind.SOURCE, batch.lost(describe_error(error)))
                return
            for piece in pieces:
                await self._append(piece)

    async def _record(self, kind: LossKind, gaps: Iterable[Gap]) -> None:
        ledger, losses = self._ledger, [Loss("", kind, gap) for gap in gaps]
        if losses and ledger is not None:
            await keep(self._loop, self._outbox_link, lambda: ledger.record(losses))

    async def _end(self) -> None:
        try:
            await self._append_rest()
        except Closed as error:  # by somebody else; what it did not take is in the ledger
            self._outbox_link.failed(error)
        if not self._loop.stopping:
            self._link.state = LinkState.ENDED
            self._log.info("{link} has ended", link=self._link.name)

    async def _append_rest(self) -> None:
        """Append what is ours when nothing more will come: what waited for room, and what the steps hold."""
        taken, following = self._taken or (Batch(), self._steps)
        held, self._steps = flush_steps(following)
        self._taken = None
        rest = Batch.merge([taken, held])
        if rest.empty:
            return
        accepted = False
        try:
            await self._append(rest)
            accepted = True
        finally:
            if not accepted:
                # What was taken and not settled is given again by a source with a history.
                lost = held if self._source.capabilities.history else rest
                await self._record(LossKind.STOPPED, lost.lost(UNSAVED))

    @deferred
    async def _flush(self) -> None:
        await self._loop.stop()
        await self._append_rest()
        await DeferredList([sender.drain() for sender in self._senders.values()], consumeErrors=True)

    def _by(self, at: float, one: Deferred[T], operation: str) -> Deferred[T]:
        return with_deadline(self._clock, one, at - self._clock.seconds(), operation=operation)

    async def _all(self, until: float, closings: dict[str, Callable[[], Deferred[None]]]) -> None:
        """Close several things at once, and log which did not close in time."""

        def report(failure: Failure, name: str) -> None:
            error = describe_error(failure.value)
            self._log.warn("{closing} did not close: {error}", closing=name, error=error)

        await DeferredList(
            [
                self._by(until, maybeDeferred(close), "close").addErrback(report, name)
                for name, close in closings.items()
            ]
        )
