"""One loop per destination: peek, convert, deliver with a deadline, settle, back off.

What an error's advice makes the sender do:

``RETRY``
    The same again after a full-jitter delay, for ever.  If the platform named a time to wait, all
    senders to its account wait for so long (`txbridge.relay.pace`), and nobody can make them hurry.
    The next delivery is a small probe, and so is the very first one; from there the size grows with each
    delivery that is quick (`txbridge.relay.size`), so a backlog is never thrown at a server that has
    just come back.
``STOP``
    The same, with long delays, and the status says that a person has to change something.  Nothing
    has to be restarted after that; `Sender.retry_now` makes it notice at once.
``BURY``
    What was to be delivered is halved until what is refused is alone: a row, a description, a note.  That
    one goes to the dead letters with the platform's words, and into the ledger; the others are delivered.
    So it is with a block that a receipt rejects.  The search has bounds, beyond which a whole piece of a
    block becomes a letter: so many halvings for what is settled at once; a stream of which nothing was
    taken is not searched again; and where a platform wants a stream's rows in order, a block is not
    searched if a later one of its stream was taken.
`TooLarge`
    The part is halved, and deliveries stay that small for a while.

A `DecodeError` speaks of the answer and not of the data, so it is tried again.

A part is never overtaken: the next one waits until this one was delivered or buried, so each stream
keeps its order.  With `SendOrder.LIVE_FIRST` there are two lanes instead: what has come since the newest
delivered goes first, and the backlog in between, oldest first; a stream keeps its order in each of them.

What was peeked is settled when all its parts are done, and when everything that was lost of it is
written down: refused rows in the dead letters and the ledger, rows that a conversion dropped, instants
that were moved.  If that cannot be written, nothing is settled, the sender waits and tries again, and the
status says so.  If the process dies before that, everything is sent once more, which changes nothing in
a history; a refused row may then be a letter twice.

Retries are here and in the route's reading of its source, and nowhere else: not in the carriers,
not in the sinks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from enum import Enum
from functools import partial

from attrs import define, evolve, field, frozen
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txbridge.errors import (
    Advice,
    BridgeError,
    Closed,
    ConnectionLost,
    DecodeError,
    OutboxError,
    RateLimited,
    ServerFailed,
    TimedOut,
    TooLarge,
)
from txbridge.model.samples import Batch, Gap, SampleBlock
from txbridge.net.backoff import Backoff
from txbridge.net.deadline import with_deadline
from txbridge.net.deferred import deferred
from txbridge.net.reactor import wall_clock
from txbridge.relay.clock import ClockPolicy, ClockRule, Judged, judge, machine_clock
from txbridge.relay.link import Link
from txbridge.relay.loop import Loop, keep
from txbridge.relay.pace import Pace, PaceLimits
from txbridge.relay.plan import Plan
from txbridge.relay.roles import (
    DeadLetters,
    Ledger,
    Loss,
    LossKind,
    Outbox,
    Pending,
    Receipt,
    Sink,
    Stamp,
)
from txbridge.relay.size import BatchSize
from txbridge.relay.status import DestinationStatus, LinkState, describe_error, one_line

__all__ = ["SendLimits", "SendOrder", "Sender"]

SEARCHES = 64  # halvings of blocks to find refused rows, of all that is settled at once
PATIENCE = 2  # refusals for a rate limit, one after another, that do not make deliveries smaller
MOST_HOPELESS = 10_000  # streams of which nothing is taken that are remembered


class SendOrder(Enum):
    """What goes first when more waits than one delivery takes."""

    OLDEST_FIRST = "oldest_first"
    """Everything in the order in which it was accepted."""
    LIVE_FIRST = "live_first"
    """What comes now, and what waited in between; for a sink that takes rows in any order."""


@frozen(kw_only=True)
class SendLimits:
    """How much is sent at once, how long that may take, and in which order.

    Attributes:
        points: The most points in one delivery.
        nbytes: The most `Batch.nbytes` in one delivery.
        delay: Seconds to gather more when less waits than is sent at once; 0 sends at once.
        deadline: Seconds that one delivery may take.
        order: What goes first.
    """

    points: int = 10_000
    nbytes: int = 1 << 20
    delay: float = 0.0
    deadline: float = 60.0
    order: SendOrder = SendOrder.OLDEST_FIRST

    def __attrs_post_init__(self) -> None:
        if self.points < 1 or self.nbytes < 1 or self.delay < 0 or not self.deadline > 0:
            raise ValueError(f"nothing can be sent within {self}")


def _smaller(ours: int, theirs: int | None) -> int:
    return ours if theirs is None else min(ours, theirs)


@define
class _Account:
    """What became of the things that are to be settled together.

    Attributes:
        losses: What is to be written to the ledger.
        letters: Reason -> what is to be buried with it.
        searches: How often a block may still be halved.
        searched: Streams whose blocks were halved -> whether any of their rows was taken.
        touched: Whether anything was taken or buried, so that it must be settled.
        converted: Points that a conversion dropped.
        moved: Points whose instants were corrected.
        clock_refused: Points whose instants cannot be right.
    """

    losses: list[Loss] = field(factory=list)
    letters: dict[str, list[Batch]] = field(factory=dict)
    searches: int = SEARCHES
    searched: dict[str, bool] = field(factory=dict)
    touched: bool = False
    converted: int = 0
    moved: int = 0
    clock_refused: int = 0


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
        ledger: Told of what will not arrive, or None.
        dead_letters: Where what is refused is kept, or None.
        pace: The pace of the account, shared with others; None is one of its own without limits.
        clock_rule: What is done about instants of a wrong clock.
        stamp: The clocks of this machine; None is `machine_clock` of the clock.
        name: What the log calls it, such as ``"cloud of garden"``; None is the destination.
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
        dead_letters: DeadLetters | None = None,
        pace: Pace | None = None,
        clock_rule: ClockRule | None = None,
        stamp: Callable[[], Stamp] | None = None,
        name: str | None = None,
    ) -> None:
        name = destination if name is None else name
        self._destination = destination
        self._sink = sink
        self._outbox = outbox
        self._plan = plan
        self._clock = clock
        self._wall = wall_clock(clock)
        self._limits = limits if limits is not None else SendLimits()
        self._ledger = ledger
        self._dead_letters = dead_letters
        self._pace = pace if pace is not None else Pace(PaceLimits(), clock)
        self._clock_rule = clock_rule if clock_rule is not None else ClockRule()
        self._stamp = stamp if stamp is not None else machine_clock(clock)
        self._link = Link(name, clock=clock, random=random, backoff=backoff)
        self._storage = Link(f"what is kept for {name}", clock=clock, random=random)
        self._loop = Loop(
            f"the sender to {name}",
            self._run,
            clock=clock,
            random=random,
            crashed=self._link.crashed,
        )
        takes = sink.capabilities
        self._any_order = takes.any_order
        self._size = BatchSize(
            _smaller(self._limits.points, takes.max_batch_points),
            _smaller(self._limits.nbytes, takes.max_batch_bytes),
            self._limits.deadline,
        )
        self._delivered = 0
        self._rejected = 0
        self._converted = 0
        self._moved = 0
        self._clock_refused = 0
        self._retries = 0
        self._last_success: float | None = None
        self._step_at: float | None = None
        self._paced = False
        self._leave: int | None = None  # for how many points there is leave that was not used yet
        self._limited = 0
        self._tells_no_time = False
        self._refuses = False
        self._hopeless: set[str] = set()
        self._draining: list[Deferred[None]] | None = None

    def start(self) -> None:
        """Begin to send."""
        self._loop.start()

    def retry_now(self) -> None:
        """Try again at once if the sender waits; called when somebody mended something.

        A time that the platform named is waited for all the same.
        """
        self._loop.wake()

    def drain(self) -> Deferred[None]:
        """Stop gathering; fires when nothing is left that the destination takes now.

        It fires too when the destination is away, or goes away, or wants to be left alone for a while:
        waiting for it could take days.
        """
        if self._draining is None:
            self._draining = []
        if self._loop.stopping or self._is_empty() or not self._takes_now():
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
        self._storage.state = LinkState.STOPPED
        self._drained()

    def status(self) -> DestinationStatus:
        """How it goes."""
        pending = self._outbox.state().destinations[self._destination]
        return DestinationStatus(
            name=self._destination,
            state=self._link.state,
            state_age=self._link.state_age,
            storage=self._storage.state,
            storage_error=self._storage.last_error,
            delivered=self._delivered,
            rejected=self._rejected,
            converted=self._converted,
            clock_moved=self._moved,
            clock_refused=self._clock_refused,
            dropped=pending.dropped,
            pending_points=pending.points,
            pending_bytes=pending.nbytes,
            oldest_age=pending.oldest_age,
            stalled=self._stalled(pending.oldest_age),
            last_success=self._last_success,
            retries=self._retries,
            last_error=self._link.last_error,
            batch_points=self._most_points,
            batch_bytes=self._size.nbytes,
            paced=self._paced,
            held=self._pace.held,
            skew=self._sink.skew,
        )

    def _stalled(self, oldest_age: float | None) -> float | None:
        if oldest_age is None or self._step_at is None:
            return oldest_age
        return max(0.0, min(oldest_age, self._clock.seconds() - self._step_at))

    def _is_empty(self) -> bool:
        return self._outbox.state().destinations[self._destination].nbytes == 0

    def _takes_now(self) -> bool:
        return not (self._link.in_trouble or self._storage.in_trouble or self._pace.held)

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
            except Closed:
                return
            except BridgeError as error:
                self._drained()
                await self._loop.wait(self._storage.failed(error))
                continue
            account = _Account()
            if not await self._send(pending, account):
                continue
            try:
                await self._settle(pending, account)
            except (Closed, OutboxError):  # the latter only when stopping
                return
            self._step_at = self._clock.seconds()

    # -- peeking

    async def _peek(self) -> Pending:
        pending = await self._peek_now()
        if self._limits.delay > 0 and self._draining is None and self._could_gather(pending):
            await self._loop.wait(self._limits.delay)
            pending = await self._peek_now()
        if await self._take_turn(min(pending.batch.points, self._most_points)):
            pending = await self._peek_now()  # with what came meanwhile
        return pending

    def _peek_now(self) -> Deferred[Pending]:
        newest = False
        if self._limits.order is SendOrder.LIVE_FIRST:
            waits = self._outbox.state().destinations[self._destination]
            newest = waits.live or not waits.nbytes
        return self._outbox.peek(
            self._destination, max_points=self._most_points, max_bytes=self._size.nbytes, newest=newest
        )

    @property
    def _most_points(self) -> int:
        """The most points to deliver now."""
        return _smaller(self._size.points, self._pace.most_points)

    def _could_gather(self, pending: Pending) -> bool:
        points = self._outbox.state().destinations[self._destination].points
        return points <= pending.batch.points < self._most_points

    # -- delivering

    async def _take_turn(self, points: int) -> bool:
        """Get leave to deliver about so much; whether that took a while."""
        if self._leave is not None:
            return False
        taking = self._pace.take(points)
        waits = not taking.called
        self._paced = waits
        try:
            if self._pace.held:
                self._drained()
            await taking
        finally:
            self._paced = False
        self._leave = points
        return waits

    async def _send(self, pending: Pending, account: _Account) -> bool:
        """Deliver what was peeked; False if nothing came of it, and it should be peeked again.

        Peeking again is better than holding on to it: what waits for hours takes no memory, what is live
        is found anew, and by then it may be known how wrong a clock was.
        """
        if self._clock_rule.policy is not ClockPolicy.TRUST and not self._tells_no_time:
            try:
                if self._sink.skew is None:
                    await self._deliver(Batch())
            except BridgeError as error:
                if error.advice is not Advice.BURY or isinstance(error, DecodeError):
                    await self._failed(error, Batch())
                    return False
            self._tells_no_time = self._sink.skew is None
        parts = deque([self._prepare(pending, account)])
        while parts:
            part = parts.popleft()
            if part.empty:
                continue
            part, *rest = _cut(part, self._most_points, self._size.nbytes)
            parts.extendleft(rest)
            try:
                receipt, took = await self._deliver(part)
            except TooLarge as error:
                self._size.too_large(part.nbytes)
                halves = _halves(part) if part.points > 1 else self._search(part, account)
                self._lessen(part, halves, error, parts, account)
            except BridgeError as error:
                if error.advice is Advice.BURY and not isinstance(error, DecodeError):
                    self._lessen(part, self._search(part, account), error, parts, account)
                    continue
                await self._failed(error, part)
                if not account.touched:
                    return False
                parts.appendleft(part)
            else:
                waits = self._outbox.state().destinations[self._destination].points
                more = bool(parts) or waits > pending.batch.points
                self._size.worked(part.points, part.nbytes, took, more=more)
                parts.extendleft(reversed(self._accepted(part, receipt, account)))
        self._hopeless.update(stream for stream, taken in account.searched.items() if not taken)
        if len(self._hopeless) > MOST_HOPELESS:
            self._hopeless.clear()
        return True

    def _prepare(self, pending: Pending, account: _Account) -> Batch:
        """What is to be delivered of what was peeked; what is not is put to the account."""
        judged = Judged(pending.batch)
        if self._clock_rule.policy is not ClockPolicy.TRUST:
            judged = judge(pending.batch, pending.stamp, self._stamp(), self._sink.skew, self._clock_rule)
        batch, dropped = self._plan.convert_and_tell(judged.batch)
        account.converted = sum(gap.points or 0 for gap in dropped)
        account.moved = judged.moved
        account.clock_refused = sum(refused.points for refused, _ in judged.refused)
        account.losses += self._losses(LossKind.CLOCK, judged.gaps)
        account.losses += self._losses(LossKind.CONVERTED, dropped)
        for refused, reason in judged.refused:
            account.letters.setdefault(reason, []).append(refused)
        return batch

    async def _deliver(self, part: Batch) -> tuple[Receipt, float]:
        """The receipt, and how many seconds that took, without the waiting for the account's pace."""
        await self._take_turn(part.points)
        self._pace.charge(part.points - (self._leave or 0))
        self._leave = None
        if self._loop.stopping:  # the sink answered all the same when it was cancelled
            raise CancelledError
        started_at = self._clock.seconds()
        receipt = await with_deadline(
            self._clock,
            maybeDeferred(self._sink.deliver, part),
            self._limits.deadline,
            operation=f"deliver to {self._destination}",
            phase="receipt",
        )
        self._limited = 0
        self._link.works()
        return receipt, self._clock.seconds() - started_at

    async def _failed(self, error: BridgeError, part: Batch) -> None:
        """Wait before the next attempt."""
        self._retries += 1
        delay = self._link.failed(error)
        wished = error.retry_after if isinstance(error, RateLimited | ServerFailed) else None
        if wished is not None or isinstance(error, RateLimited):
            self._pace.hold(delay)
        self._limited = self._limited + 1 if isinstance(error, RateLimited) else 0
        # Fewer and larger deliveries are what helps against a rate limit, unless one alone is above it.
        if isinstance(error, TimedOut | ServerFailed | ConnectionLost) or self._limited > PATIENCE:
            self._size.overloaded(part.points, part.nbytes)
        elif not self._limited:
            self._size.failed()
        self._drained()
        await self._loop.wait(delay)

    def _accepted(self, part: Batch, receipt: Receipt, account: _Account) -> list[Batch]:
        """Count what was taken; returns the pieces of rejected blocks to deliver on their own."""
        account.touched = True
        self._last_success, self._step_at = self._wall(), self._clock.seconds()
        refused = {rejection.block: rejection.reason for rejection in receipt.rejections}
        later: list[Batch] = []
        for index, reason in sorted(refused.items()):
            block = part.blocks[index]
            if not len(block):
                continue
            alone = Batch((block,))
            overtaken = not self._any_order and any(
                block.stream == other.stream and after not in refused
                for after, other in enumerate(part.blocks[index + 1 :], index + 1)
            )
            pieces = [] if overtaken else self._search(alone, account)
            if pieces:
                later += pieces
            else:
                self._bury(alone, reason, account)
        taken = [block for index, block in enumerate(part.blocks) if index not in refused]
        self._delivered += sum(map(len, taken))
        for block in taken:
            self._hopeless.discard(block.stream)
            if block.stream in account.searched:
                account.searched[block.stream] = True
        if not refused:
            self._refuses = False
        return later

    # -- what is refused

    def _lessen(
        self, part: Batch, pieces: list[Batch], error: BridgeError, parts: deque[Batch], account: _Account
    ) -> None:
        """Go on with the pieces of a part that was refused as a whole; what has none is buried."""
        self._link.works()  # it answered, so it is there
        self._step_at = self._clock.seconds()
        if pieces:
            parts.extendleft(reversed(pieces))
        else:
            self._bury(part, describe_error(error), account)

    def _search(self, part: Batch, account: _Account) -> list[Batch]:
        """The pieces of a part to deliver one by one, to find what is refused; none if it is that."""
        kinds = [
            Batch(infos=part.infos),
            Batch(gaps=part.gaps),
            Batch(tuple(filter(len, part.blocks))),
            Batch(notes=part.notes),
        ]
        there = [one for one in kinds if not one.empty]
        if len(there) > 1:
            return there
        (alone,) = there
        for name in ("infos", "gaps", "blocks", "notes"):
            items = getattr(alone, name)
            if len(items) > 1:
                middle = len(items) // 2
                return [evolve(Batch(), **{name: half}) for half in (items[:middle], items[middle:])]
        if part.points < 2:
            return []
        stream = part.blocks[0].stream
        if stream in self._hopeless or not account.searches:
            return []
        account.searches -= 1
        account.searched.setdefault(stream, False)
        return _halves(part)

    def _bury(self, part: Batch, reason: str, account: _Account) -> None:
        account.touched = True
        reason = one_line(reason)
        self._link.last_error = reason
        if not self._refuses:
            self._log.warn("{link} refuses some data: {error}", link=self._link.name, error=reason)
        self._refuses = True
        self._rejected += part.points
        account.losses += self._losses(LossKind.REFUSED, part.lost(f"refused: {reason}"))
        account.letters.setdefault(reason, []).append(part)

    def _losses(self, kind: LossKind, gaps: Iterable[Gap]) -> list[Loss]:
        return [Loss(self._destination, kind, gap) for gap in gaps]

    # -- settling

    async def _settle(self, pending: Pending, account: _Account) -> None:
        """Write down what was lost, and let go of what was peeked."""
        if self._dead_letters is not None:
            for reason, batches in account.letters.items():
                letter = Batch.merge(batches)
                await self._keep(partial(self._dead_letters.bury, self._destination, letter, reason))
        if account.losses and self._ledger is not None:
            await self._keep(partial(self._ledger.record, account.losses))
        await self._keep(partial(self._outbox.settle, self._destination, pending))
        self._converted += account.converted
        self._moved += account.moved
        self._clock_refused += account.clock_refused

    async def _keep(self, write: Callable[[], Deferred[None]]) -> None:
        def no_use_waiting(failure: Failure) -> Failure:
            self._drained()
            return failure

        await keep(self._loop, self._storage, lambda: write().addErrback(no_use_waiting))


def _cut(batch: Batch, points: int, nbytes: int) -> list[Batch]:
    """A batch in one part of about a size and the rest, if it is larger."""
    if batch.nbytes > nbytes:
        points = min(points, max(1, batch.points * nbytes // batch.nbytes))
    return [batch] if batch.points <= points else _split(batch, points)


def _halves(batch: Batch) -> list[Batch]:
    return _split(batch, (batch.points + 1) // 2)


def _split(batch: Batch, points: int) -> list[Batch]:
    """The first so many points, and the rest.  No row is copied."""
    first: list[SampleBlock] = []
    rest: list[SampleBlock] = []
    for block in batch.blocks:
        room, points = points, max(0, points - len(block))
        if len(block) <= room:
            first.append(block)
        else:
            first += [block.slice(0, room)] if room else []
            rest.append(block.slice(room, len(block)))
    return [
        Batch(tuple(first), batch.gaps, batch.infos),
        Batch(tuple(rest), cursor=batch.cursor, notes=batch.notes),
    ]
