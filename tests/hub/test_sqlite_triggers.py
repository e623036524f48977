"""Triggers as rows: when they fire, what they have to say, and what of it is due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from txbridge.hub import sqlite_triggers as triggers
from txbridge.hub import sqlite_writes as writes
from txbridge.hub.sqlite_schema import connect_for_writing
from txbridge.hub.store import KEPT_NOTICES, KeyRecord, Missing
from txbridge.model.accounts import Key, Trigger
from txbridge.model.structures import Datastream, Environment, Unit

NOW = datetime(2013, 6, 3, 12, tzinfo=UTC)


@pytest.fixture
def connection(tmp_path):
    connection = connect_for_writing(tmp_path / "hub.sqlite")
    writes.create_account(connection, "ann", KeyRecord(b"d", "ann", Key(label="k")))
    streams = {"t": Datastream(id="t", current_value="1", unit=Unit(symbol="C")), "u": Datastream(id="u")}
    writes.create_feed(connection, "ann", Environment(title="x", datastreams=streams), NOW, lambda _: False)
    yield connection
    connection.close()


def watch(connection, kind="gt", threshold="20", stream="t"):
    trigger = Trigger(
        environment_id=1, stream_id=stream, url="http://x/", trigger_type=kind, threshold_value=threshold
    )
    return triggers.create_trigger(connection, "ann", trigger, NOW, lambda record: None)


def put(connection, value, seconds=0, stream="t"):
    """Write a current value; gives how many triggers fired."""
    at = NOW + timedelta(seconds=seconds)
    document = Datastream(current_value=value)
    return writes.update_datastream(
        connection, 1, stream, document, at, lambda record: None, lambda _: False
    ).fired


def test_a_write_says_how_many_triggers_it_made_fire(connection):
    watch(connection)
    watch(connection, "change")
    watch(connection, stream="u")
    assert put(connection, "21") == 2
    assert put(connection, "22", 1) == 0
    assert put(connection, "21", 0, "u") == 1


def test_a_notice_has_the_feed_as_it_was_then(connection):
    watch(connection)
    put(connection, "21")
    put(connection, "3", 1)
    (notice,) = triggers.due_notices(connection, NOW + timedelta(seconds=2), 10)
    stream = notice.environment.datastreams["t"]
    assert (notice.environment.title, stream.current_value, stream.unit.symbol) == ("x", "21", "C")
    assert (notice.at, notice.tries, notice.trigger.url) == (NOW, 0, "http://x/")


def test_of_each_trigger_the_oldest_notice_is_due_first(connection):
    watch(connection, "change")
    watch(connection)
    for number in range(3):
        put(connection, str(21 + number), 10 * number)
    later = NOW + timedelta(minutes=1)
    first, second = triggers.due_notices(connection, later, 10)
    assert (first.trigger.id, second.trigger.id) == (1, 2)
    triggers.settle_notice(connection, first.id, later, "refused", later + timedelta(seconds=5))
    assert triggers.next_notice(connection) <= later
    triggers.settle_notice(connection, second.id, later, "answered 200", None)
    due = triggers.due_notices(connection, later, 10)
    assert [notice.trigger.id for notice in due] == [1]
    log = triggers.list_notices(connection, 2)
    assert [(line.tries, line.outcome, line.done) for line in log] == [(1, "answered 200", True)]
    assert triggers.read_trigger(connection, 2).trigger.notified_at == later


def test_silence_is_seen_once(connection):
    watch(connection, "frozen")
    watch(connection, "live")
    late = NOW + timedelta(minutes=20)
    assert triggers.freeze(connection, NOW - timedelta(seconds=1), NOW) == 0
    assert triggers.freeze(connection, NOW + timedelta(seconds=1), late) == 1
    assert triggers.freeze(connection, late, late) == 0
    assert triggers.read_trigger(connection, 1).frozen
    assert put(connection, "1", 3000) == 1
    assert not triggers.read_trigger(connection, 1).frozen


def test_only_so_many_lines_of_a_log_are_kept(connection):
    watch(connection, "change")
    for number in range(KEPT_NOTICES + 5):
        assert put(connection, str(number + 2), 10 * number) == 1
    log = triggers.list_notices(connection, 1)
    assert len(log) == KEPT_NOTICES
    assert log[0].at == NOW + timedelta(seconds=10 * (KEPT_NOTICES + 4))


def test_what_is_gone_is_missing_and_takes_its_notices_along(connection):
    watch(connection)
    put(connection, "21")
    writes.delete_datastream(connection, 1, "t", lambda record: None, lambda _: False)
    assert triggers.due_notices(connection, NOW, 10) == []
    for ask in (triggers.read_trigger, triggers.delete_trigger):
        with pytest.raises(Missing, match="trigger"):
            ask(connection, 1)
    with pytest.raises(Missing, match="datastream"):
        watch(connection)
    triggers.settle_notice(connection, 1, NOW, "too late", None)


def test_a_trigger_can_be_changed(connection):
    number = watch(connection)
    triggers.update_trigger(connection, number, Trigger(threshold_value="30", url="http://y/"), NOW)
    changed = triggers.read_trigger(connection, number).trigger
    assert (changed.threshold_value, changed.url, changed.trigger_type) == ("30", "http://y/", "gt")
    assert put(connection, "25") == 0
    assert [one.trigger.id for one in triggers.list_triggers(connection, "ann", 1)] == [number]
    assert triggers.list_triggers(connection, "ann", 2) == []
