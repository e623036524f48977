"""The decorator starts a coroutine at once and gives back its Deferred."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, Deferred

from txbridge.net.deferred import deferred


def test_it_runs_without_anybody_waiting() -> None:
    seen = []

    @deferred
    async def work(value: int) -> int:
        seen.append(value)
        return value + 1

    results: list[int] = []
    work(1).addCallback(results.append)
    assert (seen, results) == ([1], [2])


async def test_an_error_fails_the_deferred() -> None:
    @deferred
    async def work() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await work()


async def test_cancelling_cancels_what_it_waits_for() -> None:
    cancelled = []
    inner: Deferred[None] = Deferred(cancelled.append)

    @deferred
    async def work() -> None:
        await inner

    running = work()
    running.cancel()
    with pytest.raises(CancelledError):
        await running
    assert cancelled == [inner]
