"""Who is told of a write, and in which order."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred, ensureDeferred

from tests.support.deferreds import result_of
from txbridge.errors import StoreError
from txbridge.hub.live import LocalLive
from txbridge.hub.store import Written
from txbridge.hub.telling import Telling
from txbridge.model.structures import Datapoint


class _Store:
    """As much of a store as is asked here."""


@pytest.fixture
def live():
    return LocalLive()


@pytest.fixture
def store():
    return _Store()


@pytest.fixture
def telling(store, live):
    return Telling(store, live)


def test_the_store_learns_who_listens(telling, store, live):
    live.listen(1, lambda written: None)
    assert store.watched(1)
    assert not store.watched(2)


def test_a_listener_hears_of_a_write_when_it_is_durable_and_before_its_writer(telling, live):
    heard = []
    live.listen(1, heard.append)
    write = Deferred()
    ensureDeferred(telling.after(write)).addCallback(lambda written: heard.append("the writer"))
    assert heard == []
    written = Written(1)
    write.callback(written)
    assert heard == [written, "the writer"]


def test_a_write_that_failed_is_not_told(telling, live):
    heard = []
    live.listen(1, heard.append)
    write = Deferred()
    told = ensureDeferred(telling.after(write))
    write.errback(StoreError("the disk is full"))
    with pytest.raises(StoreError):
        result_of(told)
    assert heard == []


def test_who_delivers_notices_is_woken_only_by_a_write_that_made_triggers_fire(telling):
    woken = []
    telling.fired = lambda: woken.append(True)
    telling.tell(Written(1))
    assert woken == []
    telling.tell(Written(1, fired=2))
    assert woken == [True]


def test_a_listener_that_fails_does_not_undo_the_write(telling, live, flushed_errors):
    def deaf(written):
        raise RuntimeError("cannot hear")

    live.listen(1, deaf)
    told = []
    write = Deferred()
    ensureDeferred(telling.after(write)).addCallback(told.append)
    written = Written(1)
    write.callback(written)
    assert told == [written]
    assert len(flushed_errors(RuntimeError)) == 1


def test_what_was_written_is_counted(telling):
    telling.tell(Written(1, recorded={"a": [Datapoint(), Datapoint()], "b": [Datapoint()]}, fired=2))
    telling.tell(Written(1))
    assert (telling.writes, telling.points, telling.firings) == (2, 3, 2)
