"""Triggers in the SQLite store: functions of a connection, inside a transaction.

`judge` is called by every write that changes a current value, so it costs one look-up where nothing
watches.  A comparison fires on its edge: when the value satisfies it and the one before did not.  Triggers
of other accounts do not fire while the feed is private.

Source: Cosm API v2, "Triggers".
"""

from __future__ import annotations

import operator
import sqlite3
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from attrs import evolve

from txbridge.hub.sqlite_reads import MAX_INTEGER, feed_record, find_stream, load_feed
from txbridge.hub.store import (
    KEPT_NOTICES,
    TRIGGER_SPACING,
    FeedRecord,
    Guard,
    Missing,
    Notice,
    NoticeRecord,
    TriggerRecord,
)
from txbridge.model.accounts import Trigger
from txbridge.model.instants import from_microseconds, to_microseconds
from txbridge.model.numbers import parse_number
from txbridge.model.structures import Datastream, Environment, Unit

__all__ = [
    "count_waiting",
    "create_trigger",
    "delete_trigger",
    "due_notices",
    "freeze",
    "judge",
    "list_notices",
    "list_triggers",
    "next_notice",
    "read_trigger",
    "settle_notice",
    "update_trigger",
]

_COMPARISONS: Mapping[str, Callable[[Decimal, Decimal], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "eq": operator.eq,
}
_MICROSECONDS = 1_000_000
_WATCHING = """
    SELECT t.trigger, stream, t.type, t.threshold, t.fired, t.frozen,
        t.owner = feeds.owner OR NOT feeds.private
    FROM triggers AS t JOIN datastreams USING (stream) JOIN feeds USING (feed)
"""
_TRIGGERS = """
    SELECT t.trigger, t.owner, t.url, t.type, t.threshold, t.notified, t.frozen, d.feed, d.id
    FROM triggers AS t JOIN datastreams AS d USING (stream)
"""


# ----------------------------------------------------------------------------------------- firing


def judge(
    connection: sqlite3.Connection,
    stream: int,
    previous: str | None,
    value: str,
    now: datetime,
) -> int:
    """Let the triggers of a datastream see that its current value was written.

    Args:
        connection: In the write's transaction.
        stream: The datastream's number, with its new value already stored.
        previous: The value it had, or None.
        value: The one it has.
        now: The time.

    Returns:
        How many fired.
    """
    rows = connection.execute(f"{_WATCHING} WHERE stream = ?", (stream,)).fetchall()
    at = to_microseconds(now)
    fired = 0
    for trigger, _, kind, threshold, last, frozen, may_know in rows:
        if kind in ("frozen", "live"):
            connection.execute("UPDATE triggers SET seen = ?, frozen = 0 WHERE trigger = ?", (at, trigger))
            fires = kind == "live" and bool(frozen)
        elif kind == "change":
            fires = previous is not None and value != previous
        else:
            fires = _holds(kind, threshold, value) and not _holds(kind, threshold, previous)
        # A clock that was set back is no reason to be silent.
        if fires and may_know and (last is None or not 0 <= at - last < TRIGGER_SPACING * _MICROSECONDS):
            _fire(connection, trigger, stream, at)
            fired += 1
    return fired


def freeze(connection: sqlite3.Connection, before: datetime, now: datetime) -> int:
    """Let the triggers fire that watch for silence."""
    rows = connection.execute(
        f"{_WATCHING} WHERE NOT t.frozen AND t.type IN ('frozen', 'live') AND t.seen < ?",
        (to_microseconds(before),),
    ).fetchall()
    fired = 0
    for trigger, stream, kind, *_, may_know in rows:
        connection.execute("UPDATE triggers SET frozen = 1 WHERE trigger = ?", (trigger,))
        if kind == "frozen" and may_know:
            _fire(connection, trigger, stream, to_microseconds(now))
            fired += 1
    return fired


def _holds(kind: str, threshold: str | None, value: str | None) -> bool:
    if threshold is None or value is None:
        return False
    number, limit = parse_number(value), parse_number(threshold)
    if number is None or limit is None:
        return kind == "eq" and value == threshold
    return _COMPARISONS[kind](number, limit)


def _fire(connection: sqlite3.Connection, trigger: int, stream: int, at: int) -> None:
    feed_id, name = connection.execute(
        "SELECT feed, id FROM datastreams WHERE stream = ?", (stream,)
    ).fetchone()
    environment = _with_stream(connection, feed_id, name)
    connection.execute(
        "INSERT INTO notices (trigger, environment, at, due) VALUES (?, ?, ?, ?)",
        (trigger, msgspec.json.encode(environment).decode(), at, at),
    )
    connection.execute("UPDATE triggers SET fired = ? WHERE trigger = ?", (at, trigger))
    connection.execute(
        """
        DELETE FROM notices WHERE trigger = ?1 AND notice <= (
            SELECT notice FROM notices WHERE trigger = ?1 ORDER BY notice DESC LIMIT 1 OFFSET ?2
        )
        """,
        (trigger, KEPT_NOTICES),
    )


def _with_stream(connection: sqlite3.Connection, feed_id: int, name: str) -> Environment:
    record: FeedRecord = feed_record(connection, load_feed(connection, feed_id), waypoints=False)
    row = connection.execute(
        """
        SELECT value, at, max_value, min_value, unit_type, unit_symbol, unit_label
        FROM datastreams WHERE feed = ? AND id = ?
        """,
        (feed_id, name),
    ).fetchone()
    value, at, highest, lowest, unit_type, symbol, label = row
    stream = Datastream(
        id=name,
        current_value=value,
        at=None if at is None else from_microseconds(at),
        max_value=highest,
        min_value=lowest,
    )
    if unit_type or symbol or label:
        stream.unit = Unit(type=unit_type, symbol=symbol, label=label)
    return evolve(record.environment, datastreams={name: stream})


# --------------------------------------------------------------------------------------- triggers


def create_trigger(
    connection: sqlite3.Connection, owner: str, trigger: Trigger, now: datetime, guard: Guard
) -> int:
    """Watch a datastream.

    Raises:
        Missing: There is no such feed or datastream.
    """
    feed_id = trigger.environment_id or 0
    guard(feed_record(connection, load_feed(connection, feed_id), waypoints=False))
    stream = find_stream(connection, feed_id, trigger.stream_id or "")
    cursor = connection.execute(
        "INSERT INTO triggers (owner, stream, url, type, threshold, seen) VALUES (?, ?, ?, ?, ?, ?)",
        (owner, stream, trigger.url, trigger.trigger_type, trigger.threshold_value, to_microseconds(now)),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def read_trigger(connection: sqlite3.Connection, number: int) -> TriggerRecord:
    """A trigger.

    Raises:
        Missing: There is no such trigger.
    """
    row = None
    if 0 < number <= MAX_INTEGER:
        row = connection.execute(f"{_TRIGGERS} WHERE t.trigger = ?", (number,)).fetchone()
    if row is None:
        raise Missing("trigger")
    return _record(row)


def list_triggers(
    connection: sqlite3.Connection, owner: str, feed_id: int | None = None
) -> list[TriggerRecord]:
    """The triggers of an account."""
    rows = connection.execute(
        f"{_TRIGGERS} WHERE t.owner = ?1 AND (?2 IS NULL OR d.feed = ?2) ORDER BY t.trigger", (owner, feed_id)
    )
    return [_record(row) for row in rows]


def update_trigger(connection: sqlite3.Connection, number: int, trigger: Trigger, now: datetime) -> None:
    """Merge into a trigger.

    Raises:
        Missing: There is no such trigger.
    """
    known = read_trigger(connection, number).trigger
    if trigger.trigger_type not in (None, known.trigger_type):
        connection.execute(
            "UPDATE triggers SET seen = ?, frozen = 0 WHERE trigger = ?", (to_microseconds(now), number)
        )
    connection.execute(
        """
        UPDATE triggers SET url = COALESCE(?, url), type = COALESCE(?, type),
            threshold = COALESCE(?, threshold) WHERE trigger = ?
        """,
        (trigger.url, trigger.trigger_type, trigger.threshold_value, number),
    )


def delete_trigger(connection: sqlite3.Connection, number: int) -> None:
    """Remove a trigger.

    Raises:
        Missing: There is no such trigger.
    """
    read_trigger(connection, number)
    connection.execute("DELETE FROM triggers WHERE trigger = ?", (number,))


def _record(row: tuple[Any, ...]) -> TriggerRecord:
    number, owner, url, kind, threshold, notified, frozen, feed_id, name = row
    trigger = Trigger(
        id=number,
        url=url,
        trigger_type=kind,
        threshold_value=threshold,
        environment_id=feed_id,
        stream_id=name,
        user=owner,
        notified_at=None if notified is None else from_microseconds(notified),
    )
    return TriggerRecord(trigger, bool(frozen))


# ---------------------------------------------------------------------------------------- notices


def due_notices(connection: sqlite3.Connection, now: datetime, limit: int) -> list[Notice]:
    """Notices that are to be delivered now."""
    rows = connection.execute(
        """
        SELECT MIN(notice), trigger, environment, at, tries FROM notices
        WHERE due <= ? GROUP BY trigger ORDER BY 1 LIMIT ?
        """,
        (to_microseconds(now), limit),
    ).fetchall()
    return [
        Notice(
            number,
            read_trigger(connection, trigger).trigger,
            msgspec.json.decode(environment, type=Environment),
            from_microseconds(at),
            tries,
        )
        for number, trigger, environment, at, tries in rows
    ]


def next_notice(connection: sqlite3.Connection) -> datetime | None:
    """When the next notice is due."""
    (due,) = connection.execute("SELECT MIN(due) FROM notices WHERE due IS NOT NULL").fetchone()
    return None if due is None else from_microseconds(due)


def count_waiting(connection: sqlite3.Connection) -> int:
    """How many notices are to be delivered, or to be tried again."""
    (count,) = connection.execute("SELECT COUNT(*) FROM notices WHERE due IS NOT NULL").fetchone()
    return int(count)


def settle_notice(
    connection: sqlite3.Connection, number: int, at: datetime, outcome: str, again: datetime | None
) -> None:
    """Write down a try to deliver a notice."""
    connection.execute(
        "UPDATE notices SET tries = tries + 1, outcome = ?, due = ? WHERE notice = ?",
        (outcome, None if again is None else to_microseconds(again), number),
    )
    connection.execute(
        "UPDATE triggers SET notified = ? WHERE trigger = (SELECT trigger FROM notices WHERE notice = ?)",
        (to_microseconds(at), number),
    )


def list_notices(connection: sqlite3.Connection, trigger: int) -> list[NoticeRecord]:
    """A trigger's delivery log."""
    rows = connection.execute(
        "SELECT at, environment, tries, outcome, due FROM notices WHERE trigger = ? ORDER BY notice DESC",
        (trigger,),
    )
    return [
        NoticeRecord(
            from_microseconds(at),
            _value_of(msgspec.json.decode(environment, type=Environment)),
            tries,
            outcome,
            None if due is None else from_microseconds(due),
        )
        for at, environment, tries, outcome, due in rows
    ]


def _value_of(environment: Environment) -> str | None:
    """The value of the one datastream of a feed as a notice has it."""
    (stream,) = environment.datastreams.values()
    return stream.current_value
