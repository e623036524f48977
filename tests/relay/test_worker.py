"""A thread does everything in order, once, and ends when it is told to."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError, gatherResults

from txbridge.errors import Closed
from txbridge.relay.worker import WorkerThread


class Mistake(Exception):
    """What some work raises."""


def reactor() -> Any:
    from twisted.internet import reactor

    return reactor


@pytest_twisted.ensureDeferred
async def test_work_is_done_in_order_in_one_thread_of_its_own():
    worker = WorkerThread(reactor(), "test")
    order: list[int] = []

    def work(number: int) -> str:
        order.append(number)
        return threading.current_thread().name

    names = await gatherResults([worker.run(lambda number=number: work(number)) for number in range(20)])
    assert order == list(range(20))
    assert set(names) == {"txbridge-test"}
    await worker.close()


@pytest_twisted.ensureDeferred
async def test_what_work_raises_is_what_its_deferred_fails_with():
    worker = WorkerThread(reactor(), "test")

    def work() -> None:
        raise Mistake

    with pytest.raises(Mistake):
        await worker.run(work)
    assert await worker.run(lambda: 1) == 1
    await worker.close()


@pytest_twisted.ensureDeferred
async def test_closing_does_what_was_accepted_and_takes_no_more():
    worker = WorkerThread(reactor(), "test")
    go = threading.Event()
    worker.run(go.wait)
    last = worker.run(lambda: "done")
    closings = [worker.close(), worker.close()]
    with pytest.raises(Closed):
        await worker.run(lambda: 1)
    go.set()
    await gatherResults(closings)
    assert last.called
    assert await last == "done"
    await worker.close()


@pytest_twisted.ensureDeferred
async def test_giving_up_a_deferred_gives_up_waiting_and_not_the_work():
    worker = WorkerThread(reactor(), "test")
    done: list[int] = []
    go = threading.Event()
    worker.run(go.wait)
    given_up = worker.run(lambda: done.append(1))
    given_up.cancel()
    go.set()
    with pytest.raises(CancelledError):
        await given_up
    given_up_close = worker.close()
    given_up_close.cancel()
    with pytest.raises(CancelledError):
        await given_up_close
    await worker.close()
    assert done == [1]
