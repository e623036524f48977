"""How a store of rows is sent: in pieces, each of which is taken out of the store when it has arrived.

A request holds at most 1000 points, empty cells included.  So many whole rows go together as fit; a row
that alone has more columns goes in parts.  A piece that the service finds too large is halved: by rows,
and a single row by columns; after such a row the pieces are as large as before.

A piece that the service refuses for good is halved too, to find the rows that are the reason.  They stay
in the store, and what comes after them is sent all the same: one bad row does not hold up the others.
Anything else that goes wrong ends the sending at once, for nothing would go better with the next piece.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeAlias

from twisted.internet.defer import Deferred

from txbridge.errors import Advice, NotFound, RequestRejected, TooLarge
from txbridge.iobeam.structures import MAX_POINTS, DataStore, Row

__all__ = ["MOST_REFUSALS", "send_store"]

MOST_REFUSALS = 32
"""Refusals in one sending after which no piece is halved any more: a service that takes nothing is not asked
about each row."""

Send: TypeAlias = Callable[[Sequence[str], Sequence[Row]], Deferred[None]]


async def send_store(store: DataStore, send: Send) -> RequestRejected | None:
    """Send the rows that are in a store now; those that are added meanwhile wait.

    Args:
        store: Where the rows are; each is taken out when it has arrived.
        send: Sends rows of some columns; fires when they have arrived.

    Returns:
        The first refusal, if the service refused some of the rows; they are in the store.

    Raises:
        BridgeError: The sending ended; what did not arrive is in the store.
    """
    columns = store.columns()
    usual = max(1, MAX_POINTS // len(columns)), min(len(columns), MAX_POINTS)
    most_rows, most_columns = usual
    refusals: list[RequestRejected] = []
    pieces = deque([list(store.waiting())])
    while pieces:
        numbers = pieces.popleft()
        if len(numbers) > most_rows:
            starts = range(0, len(numbers), most_rows)
            pieces.extendleft(numbers[start : start + most_rows] for start in reversed(starts))
            continue
        partial = next((at for at, number in enumerate(numbers) if store.arrived_columns(number)), None)
        if partial is not None and len(numbers) > 1:
            # A row of which a part has arrived goes alone.
            cut = partial or 1
            pieces.extendleft([numbers[cut:], numbers[:cut]])
            continue
        rows = [row for number in numbers if (row := store.row(number)) is not None]
        if not rows:
            continue
        start = store.arrived_columns(numbers[0])
        end = min(start + most_columns, len(columns))
        if end - start < len(columns):
            rows = [Row(rows[0].at, rows[0].values[start:end])]
        halves = [numbers[len(numbers) // 2 :], numbers[: len(numbers) // 2]]
        try:
            if end - start == len(columns) or any(value is not None for value in rows[0].values):
                await send(columns[start:end], rows)
        except TooLarge as error:
            if len(numbers) > 1:
                most_rows = len(numbers) // 2
                pieces.extendleft(halves)
            elif end - start > 1:
                most_rows, most_columns = 1, (end - start) // 2
                pieces.appendleft(numbers)
            else:
                refusals.append(error)
                most_rows, most_columns = usual  # it was this row, and says nothing about the others
        except RequestRejected as error:
            if error.advice is not Advice.BURY or isinstance(error, NotFound):
                raise
            refusals.append(error)
            if len(numbers) > 1 and len(refusals) < MOST_REFUSALS:
                pieces.extendleft(halves)
        else:
            store.arrived(numbers, end)
            if end < len(columns):
                pieces.appendleft(numbers)
            elif start > 0:
                most_rows, most_columns = usual
    return refusals[0] if refusals else None
