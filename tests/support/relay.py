"""A source, a sink, a ledger and dead letters in memory that do what a test wrote down."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed

from txbridge.errors import BridgeError
from txbridge.model.samples import Batch, Cursor, Gap
from txbridge.relay.handover import HandOver
from txbridge.relay.roles import Capabilities, Loss, Receipt, Selection, Subscription

__all__ = [
    "EVERYTHING",
    "hang",
    "ScriptedDeadLetters",
    "ScriptedFlow",
    "ScriptedLedger",
    "ScriptedSink",
    "ScriptedSource",
]

EVERYTHING = Capabilities(several_columns=True, breaks=True, gaps=True, infos=True)


def hang(batch: Batch) -> Deferred[Receipt]:
    """An answer that never comes."""
    return Deferred()


class ScriptedSink:
    """A sink whose first answers are written down; afterwards it takes everything.

    Args:
        *answers: What the deliveries give, in order: a receipt, an error, or a function of the
            batch that returns or raises one of them, or returns a Deferred.
        always: Asked for every delivery that no answer was written for; None takes it.
        capabilities: What it says it takes.

    Attributes:
        tried: Every batch that was delivered, whatever the answer.
        taken: The batches that were taken, without the blocks that were rejected.
        closed: How often it was closed.
        skew: How far its clock is ahead.
    """

    def __init__(
        self,
        *answers: object,
        always: Callable[[Batch], object] | None = None,
        capabilities: Capabilities = EVERYTHING,
    ) -> None:
        self.answers = deque(answers)
        self.always = always
        self.capabilities = capabilities
        self.tried: list[Batch] = []
        self.taken: list[Batch] = []
        self.closed = 0
        self.skew: float | None = None

    def deliver(self, batch: Batch) -> Deferred[Receipt]:
        self.tried.append(batch)
        if self.answers:
            answer = self.answers.popleft()
        else:
            answer = self.always if self.always is not None else Receipt()
        given = maybeDeferred(answer, batch) if callable(answer) else succeed(answer)
        return given.addCallback(self._answer, batch)

    def _answer(self, answer: object, batch: Batch) -> Receipt:
        if isinstance(answer, BridgeError):
            raise answer
        receipt = answer if isinstance(answer, Receipt) else Receipt()
        rejected = {rejection.block for rejection in receipt.rejections}
        blocks = tuple(block for index, block in enumerate(batch.blocks) if index not in rejected)
        self.taken.append(Batch(blocks, batch.gaps, batch.infos, notes=batch.notes))
        return receipt

    def close(self) -> Deferred[None]:
        self.closed += 1
        return succeed(None)

    def ats(self, stream: str = "s") -> list[int]:
        """The instants of a stream in the order in which they were taken."""
        return [
            int(at)
            for batch in self.taken
            for block in batch.blocks
            if block.stream == stream
            for at in block.at
        ]

    def sizes(self) -> list[int]:
        """The points of every delivery that was tried."""
        return [batch.points for batch in self.tried]


class ScriptedLedger:
    """A ledger whose first answers are written down; afterwards it writes everything down.

    Args:
        *answers: What the recordings give, in order: None, an error, or a function that returns a
            Deferred.

    Attributes:
        losses: What it was told and has written down.
    """

    def __init__(self, *answers: object) -> None:
        self.answers = deque(answers)
        self.losses: list[Loss] = []

    def record(self, losses: Sequence[Loss]) -> Deferred[None]:
        answer = self.answers.popleft() if self.answers else None
        if isinstance(answer, BridgeError):
            return fail(answer)
        given = maybeDeferred(answer) if callable(answer) else succeed(None)
        return given.addCallback(lambda _: self.losses.extend(losses))

    @property
    def lost(self) -> list[tuple[str, Gap]]:
        """Of each loss for whom it is, and what."""
        return [(loss.destination, loss.gap) for loss in self.losses]


class ScriptedDeadLetters:
    """Dead letters whose first answers are written down; afterwards all are kept.

    Args:
        *answers: As of `ScriptedLedger`.

    Attributes:
        letters: Destination, batch and reason of each.
    """

    def __init__(self, *answers: object) -> None:
        self.answers = deque(answers)
        self.letters: list[tuple[str, Batch, str]] = []

    def bury(self, destination: str, batch: Batch, reason: str) -> Deferred[None]:
        answer = self.answers.popleft() if self.answers else None
        if isinstance(answer, BridgeError):
            return fail(answer)
        given = maybeDeferred(answer) if callable(answer) else succeed(None)
        return given.addCallback(lambda _: self.letters.append((destination, batch, reason)))


class ScriptedFlow:
    """A subscription that a test feeds through `handover`."""

    def __init__(self, after: Cursor | None) -> None:
        self.after = after
        self.handover = HandOver()
        self.settled_cursors: list[Cursor] = []
        self.closed = False

    def next_batch(self) -> Deferred[Batch]:
        return self.handover.next_batch()

    def settled(self, cursor: Cursor) -> None:
        self.settled_cursors.append(cursor)

    def close(self) -> Deferred[None]:
        self.closed = True
        return succeed(None)


class ScriptedSource:
    """A source that refuses to open as often as is written down, and is fed by the test then.

    Attributes:
        flows: Every subscription that was opened.
    """

    def __init__(self, *errors: BridgeError, capabilities: Capabilities = EVERYTHING) -> None:
        self.errors = deque(errors)
        self.capabilities = capabilities
        self.flows: list[ScriptedFlow] = []
        self.opened = 0
        self.selections: list[Selection] = []

    def open(self, selection: Selection, after: Cursor | None) -> Deferred[Subscription]:
        self.opened += 1
        self.selections.append(selection)
        if self.errors:
            return fail(self.errors.popleft())
        self.flows.append(ScriptedFlow(after))
        return succeed(self.flows[-1])

    @property
    def flow(self) -> ScriptedFlow:
        """The subscription that was opened last."""
        return self.flows[-1]

    def give(self, *batches: Batch) -> None:
        """Feed the subscription that was opened last."""
        for batch in batches:
            self.flow.handover.put(batch)
