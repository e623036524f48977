"""One loop per destination: peek, convert, deliver with a deadline, settle, back off.

What an error's advice makes the sender do:

``RETRY``
    The same part again after a full-jitter delay, for ever.  If the platform named a time to wait,
    no earlier than that.  A part that ran into its deadline is halved first: over a slow link the
    whole of it might never arrive in time.
``STOP``
    The same, with long delays, and the status says that a person has to change something.  Nothing
    has to be restarted after that; `Sender.retry_now` makes it notice at once.
``BURY``
    The part is halved until the block that is refused is alone.  That one is recorded in the
    ledger and left; the others are delivered.
`TooLarge`
    The part is halved, and parts stay that small from then on.

A receipt's rejections are recorded in the ledger too.  A part is never overtaken: the next one
waits until this one was delivered or buried, so each stream keeps its order.  A batch is settled
when all its parts are done; if the process dies before that they are sent once more, which changes
nothing in a history.

Retries are here and in the route's reading of its source, and nowhere else: not in the carriers,
not in the sinks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from txbridge.errors import Advice, BridgeError, Closed, TimedOut, TooLarge
from txbridge.model.samples import Batch
from txbridge.net.backoff import Backoff
from txbridge.net.deadline import with_deadline
from txbridge.net.deferred import deferred
from txbridge.relay.link import Link
from txbridge.relay.loop import Loop
from txbridge.relay.plan import Plan
from txbridge.relay.roles import Ledger, Loss, LossKind, Outbox, Pending, Receipt, Sink
from txbridge.relay.status import DestinationStatus, LinkState, describe_error, one_line

__all__ = ["SendLimits", "Sender"]

SMALLEST_PART = 1024  # bytes; below it the size of a part is not what is too large


@frozen(kw_only=True)
class SendLimits:
    """How much is sent at once, and how long that may take.

    Attributes:
        points: The most points in one delivery.
        nbytes: The most `Batch.nbytes` in one delivery.
        delay: Seconds to gather more when less than ``points`` wait; 0 sends at once.
        deadline: Seconds that one delivery may take.
    """

    points: int = 10_000
    nbytes: int = 1 << 20
    delay: float = 0.0
    deadline: float = 60.0

    def __attrs_post_init__(self) -> None:
        if self.points < 1 or self.nbytes < 1 or self.delay < 0 or not self.deadline > 0:
            raise ValueError(f"nothing can be sent within {self}")


def _smaller(ours: int, theirs: int | None) -> int:
    return ours if theirs is None else min(ours, theirs)


class Sender:
    """Empties an outbox into one sink.

    Args:
        destination: The name under which it reads the outbox.
        sink: Where to.
        outbox: Where from.
        plan: What is done to every batch first.
        clock: For deadlines and delays.
        random: Gives fresh random numbers, 0 <= random < 1.
        limits: Sizes and times.
        backoff: The delays after an error that passes by itself.
        ledger: Told of what the destination refused for good, or None.
    """

    _log = Logger()

    def __init__(
        self,
        destination: str,
        sink: Sink,
        outbox: Outbox,
        *,
        plan: Plan,
        clock: IReactorTime,
        random: Callable[[], float],
        limits: SendLimits | None = None,
        backoff: Backoff | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        self._destination = destination
        self._sink = sink
        self._outbox = outbox
        self._plan = plan
        self._clock = clock
        self._limits = limits if limits is not None else SendLimits()
        self._ledger = ledger
        self._link = Link(destination, clock=clock, random=random, backoff=backoff)
        self._loop = Loop(f"the sender to {destination}", self._run, clock=clock, random=random)
        takes = sink.capabilities
        self._max_points = _smaller(self._limits.points, takes.max_batch_points)
        self._max_bytes = _smaller(self._limits.nbytes, takes.max_batch_bytes)
        self._delivered = 0
        self._rejected = 0
        self._refuses = False
        self._draining: list[Deferred[None]] | None = None

    def start(self) -> None:
        """Begin to send."""
        self._loop.start()

    def retry_now(self) -> None:
        """Try again at once if the sender waits; called when somebody mended something."""
        self._loop.wake()

    def drain(self) -> Deferred[None]:
        """Stop gathering; fires when nothing is left that the destination takes now.

        It fires too when the destination is away, or goes away: waiting for it could take days.
        """
        if self._draining is None:
            self._draining = []
        if self._link.in_trouble or self._loop.stopping or self._is_empty():
            return succeed(None)
        waiting: Deferred[None] = Deferred(lambda one: self._forget_drain(one))
        self._draining.append(waiting)
        self._loop.wake()
        return waiting

    @deferred
    async def stop(self) -> None:
        """Stop sending, in the middle of a delivery if need be."""
        await self._loop.stop()
        self._link.state = LinkState.STOPPED
        self._drained()

    def status(self) -> DestinationStatus:
        """How it goes."""
        pending = self._outbox.state().destinations[self._destination]
        return DestinationStatus(
            name=self._destination,
            state=self._link.state,
            delivered=self._delivered,
            rejected=self._rejected,
            dropped=pending.dropped,
            pending_points=pending.points,
            pending_bytes=pending.nbytes,
            oldest_age=pending.oldest_age,
            last_error=self._link.last_error,
        )

    def _is_empty(self) -> bool:
        return self._outbox.state().destinations[self._destination].nbytes == 0

    def _forget_drain(self, waiting: Deferred[None]) -> None:
        if self._draining is not None:
            self._draining = [one for one in self._draining if one is not waiting]

    def _drained(self) -> None:
        if self._draining is not None:
            waiting, self._draining = self._draining, []
            for one in waiting:
                one.callback(None)

    async def _run(self) -> None:
        while True:
            if self._is_empty():
                self._drained()
            if self._loop.stopping:  # perhaps just now, by whoever waited for the drain
                return
            try:
                pending = await self._peek()
                await self._send(pending.batch)
                await self._outbox.settle(self._destination, pending)
            except Closed:
                return
            except BridgeError as error:
                # `_send` keeps the sink's errors to itself, so it is the outbox that failed.
                await self._loop.wait(self._link.failed(error))

    async def _peek(self) -> Pending:
        pending = await self._peek_now()
        if self._limits.delay > 0 and self._draining is None and self._could_gather(pending):
            await self._loop.wait(self._limits.delay)
            pending = await self._peek_now()
        return pending

    def _peek_now(self) -> Deferred[Pending]:
        return self._outbox.peek(self._destination, max_points=self._max_points, max_bytes=self._max_bytes)

    def _could_gather(self, pending: Pending) -> bool:
        points = self._outbox.state().destinations[self._destination].points
        return points <= pending.batch.points < self._max_points

    async def _send(self, batch: Batch) -> None:
        parts = deque(self._parts(self._plan.convert(batch)))
        while parts:
            if self._loop.stopping:  # the sink answered all the same when it was cancelled
                raise CancelledError
            part = parts[0]
            try:
                receipt = await with_deadline(
                    self._clock,
                    maybeDeferred(self._sink.deliver, part),
                    self._limits.deadline,
                    operation=f"deliver to {self._destination}",
                    phase="receipt",
                )
            except TooLarge as error:
                self._max_bytes = max(SMALLEST_PART, part.nbytes // 2)
                smaller = (
                    part.split((part.points + 1) // 2)
                    if part.points > 1
                    else await self._isolate(part, error)
                )
                rest = [piece for one in list(parts)[1:] for piece in self._parts(one)]
                parts = deque([*smaller, *rest])
            except BridgeError as error:
                if error.advice is Advice.BURY:
                    parts.popleft()
                    parts.extendleft(reversed(await self._isolate(part, error)))
                else:
                    delay = self._link.failed(error)
                    if isinstance(error, TimedOut) and part.points > 1:
                        parts.popleft()
                        parts.extendleft(reversed(part.split((part.points + 1) // 2)))
                    self._drained()
                    await self._loop.wait(delay)
            else:
                parts.popleft()
                await self._accepted(part, receipt)

    def _parts(self, batch: Batch) -> list[Batch]:
        """Cut a batch to the sizes that the sink takes; nothing is sent of an empty one."""
        if batch.empty:
            return []
        points = self._max_points
        if batch.nbytes > self._max_bytes:
            points = min(points, max(1, batch.points * self._max_bytes // batch.nbytes))
        return batch.split(points)

    async def _isolate(self, part: Batch, error: BridgeError) -> list[Batch]:
        """The halves of a part that was refused as a whole; a single block is buried."""
        kinds = (Batch((), part.gaps, part.infos), Batch(part.blocks), Batch(notes=part.notes))
        there = [one for one in kinds if not one.empty]
        if len(there) > 1:
            return there
        if len(part.blocks) > 1:
            middle = len(part.blocks) // 2
            return [Batch(part.blocks[:middle]), Batch(part.blocks[middle:])]
        if len(part.notes) > 1:
            return [Batch(notes=(note,)) for note in part.notes]
        self._link.works()  # it answered, so it is there
        await self._reject(part, describe_error(error))
        return []

    async def _accepted(self, part: Batch, receipt: Receipt) -> None:
        self._link.works()
        refused = {rejection.block: rejection.reason for rejection in receipt.rejections}
        for index, reason in refused.items():
            await self._reject(Batch((part.blocks[index],)), reason)
        if not refused:
            self._refuses = False
        self._delivered += part.points - sum(len(part.blocks[index]) for index in refused)

    async def _reject(self, part: Batch, reason: str) -> None:
        reason = one_line(reason)
        self._link.last_error = reason
        if not self._refuses:
            self._log.warn("{link} refuses some data: {error}", link=self._destination, error=reason)
        self._refuses = True
        self._rejected += part.points
        if self._ledger is not None:
            losses = [
                Loss(self._destination, LossKind.REFUSED, gap) for gap in part.lost(f"refused: {reason}")
            ]
            if losses:
                await self._ledger.record(losses)
