"""What the adapters of several platforms do in the same way."""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from txbridge.errors import Advice, ConfigError, RemoteProtocolError, RequestRejected, TooLarge
from txbridge.model.samples import Cursor, SampleBlock

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

__all__ = ["last_of_each", "read_instants", "search_refused", "unexplained"]

T = TypeVar("T")


def read_instants(cursor: Cursor | None, whose: str) -> dict[str, int]:
    """A cursor that is a number for each of some names; nothing for no cursor.

    Args:
        cursor: What the outbox has.
        whose: Whose cursors are such, such as ``"a Cosm feed"``.

    Raises:
        ConfigError: It is a cursor of something else.
    """
    value: Any = {} if cursor is None else cursor.value
    if not isinstance(value, Mapping) or not all(isinstance(at, int) for at in value.values()):
        raise ConfigError([f"the cursor is not one of {whose}"])
    return {name: at for name, at in value.items() if isinstance(at, int)}


def last_of_each(block: SampleBlock, resolution_ns: int) -> SampleBlock:
    """Only the last of the rows that a platform takes for one instant: the later one wins."""
    at = block.at // resolution_ns
    is_last = np.append(at[1:] != at[:-1], True)[: len(at)]
    return block if is_last.all() else block.take(is_last)[0]


def unexplained(error: RequestRejected, *, plain: Collection[int] = ()) -> RemoteProtocolError | None:
    """What a refusal is if it says nothing about the data: platforms say why, what is in between does not.

    Args:
        error: The refusal.
        plain: Statuses that are believed without a reason.

    Returns:
        None if it is about the data, or about when to try again.
    """
    if error.advice is not Advice.BURY or isinstance(error, TooLarge) or error.status in plain:
        return None
    if error.title or error.detail:
        return None
    return RemoteProtocolError(error.operation, f"it answered {error.status} without a reason")


async def search_refused(
    items: Sequence[T],
    refusal: Callable[[Sequence[T]], Coroutine[Deferred[Any], Any, str | None]],
    reason: str | None,
) -> list[tuple[T, str]]:
    """Those of some items that are refused, by halves, each with the reason.

    Args:
        items: What was to be written.
        refusal: Writes some of it, and gives the reason if it is refused.
        reason: Why all of it was, if that was tried.
    """
    if not items:
        return []
    if reason is None:
        reason = await refusal(items)
    if reason is None:
        return []
    if len(items) == 1:
        return [(items[0], reason)]
    middle = len(items) // 2
    first = await search_refused(items[:middle], refusal, None)
    return first + await search_refused(items[middle:], refusal, None)
