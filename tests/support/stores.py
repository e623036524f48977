"""Stores to export and import: any that writes can make, and all that a store says."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

from attrs import evolve
from hypothesis import strategies as st

from tests.support.hub import NOON
from tests.support.strategies import instants, users
from txbridge.cosm.rules import writable_feed
from txbridge.hub import sqlite_reads as reads
from txbridge.hub import sqlite_triggers as triggers
from txbridge.hub import sqlite_writes as writes
from txbridge.hub.sqlite_schema import connect_for_reading, connect_for_writing
from txbridge.hub.store import AccountRecord, FeedRecord, FeedSearch, KeyRecord
from txbridge.model.accounts import Key, Permission, Resource, Trigger
from txbridge.model.structures import Datapoint, Datastream, Environment, Location, Unit

__all__ = ["everything", "make_store", "rows_of", "small_store", "stores"]

LATER = NOON + timedelta(hours=1)


def _allow(record: FeedRecord) -> None:
    """Refuse nothing."""


def _nobody(feed_id: int) -> bool:
    return False


def _texts() -> st.SearchStrategy[str]:
    """Texts that the API takes."""
    taken = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")
    odd = ["\t\r\n", '"' * 255, "\x7f\x85\u2028\ufeff", "\U0010ffff" * 255, "x" * 255, "=1+1"]
    return st.sampled_from(odd) | st.text(taken, max_size=12)


def _values() -> st.SearchStrategy[str]:
    """Values that one of the APIs takes: iobeam's may be blank."""
    numbers = ["9" * 255, "-" + "9" * 254, "." + "0" * 253 + "1", "1e400", "1e-400", "-0.0", "007", "", " "]
    return st.sampled_from(numbers) | _texts()


def _degrees(most: float) -> st.SearchStrategy[float | None]:
    return st.none() | st.sampled_from([most, -most, 5e-324, -0.0]) | st.floats(-most, most)


def _feeds() -> st.SearchStrategy[Any]:
    ids = st.from_regex(r"[A-Za-z0-9_.+-]{1,8}", fullmatch=True) | st.sampled_from(["ü" * 255, "a\U00010400"])
    text = st.none() | _texts()
    at = st.none() | instants()
    extremes = st.sampled_from([None, "9" * 255, "-1.50", "1e-400"])
    units = st.builds(Unit, type=st.sampled_from([None, "", *Unit.Valid_Unit_Types]), symbol=text, label=text)
    streams = st.dictionaries(
        ids,
        st.builds(
            Datastream,
            datapoints=st.lists(st.builds(Datapoint, at=at, value=_values()), max_size=4),
            current_value=st.none() | _values(),
            max_value=extremes,
            min_value=extremes,
            tags=st.none() | st.sampled_from([["x" * 255], ["a", "b"]]),
            unit=st.none() | units,
        ),
        max_size=3,
    )
    locations = st.builds(
        Location,
        name=text,
        domain=st.sampled_from([None, "", *Location.Valid_Domain_Kinds]),
        exposure=st.sampled_from([None, "", *Location.Valid_Exposure_Kinds]),
        disposition=st.sampled_from([None, "", *Location.Valid_Disposition_Kinds]),
        lat=_degrees(90),
        lon=_degrees(180),
        ele=text,
    )
    feeds = st.builds(
        Environment,
        title=text,
        description=text,
        website=text,
        tags=st.none() | st.lists(_texts(), max_size=3),
        private=st.none() | st.booleans(),
        location=st.none() | locations,
    )
    return st.tuples(feeds.map(lambda feed: writable_feed(feed, creating=False)), streams)


def stores() -> st.SearchStrategy[list[Any]]:
    """What is written to a store: for each account what it says of itself, and its feeds."""
    return st.lists(st.tuples(users(xml=True), st.lists(_feeds(), max_size=3)), max_size=3)


def make_store(path: Path, drawn: list[Any]) -> None:
    """Make a store of what was drawn, with keys, triggers that fired, and things that were deleted."""
    with closing(connect_for_writing(path)) as connection:
        connection.execute("BEGIN")
        for number, (user, feeds) in enumerate(drawn):
            login = f"user{number}"
            key = Key(label="π", permissions=[Permission(access_methods=["get"], resources=[Resource()])])
            record = KeyRecord(bytes([number]) * 32, login, key)
            account = AccountRecord(evolve(user, login=login), "scrypt$hash")
            writes.create_account(connection, login, record, account)
            for feed, streams in feeds:
                _make_feed(connection, login, feed, streams)
            if feeds:  # so that the greatest number is not that of a feed which is there
                gone = writes.create_feed(connection, login, Environment(title="gone"), NOON, _nobody)
                writes.delete_feed(connection, gone.feed_id, _allow)
        connection.execute("COMMIT")
        while writes.sweep(connection):
            pass


def _make_feed(
    connection: sqlite3.Connection, login: str, feed: Environment, streams: dict[str, Datastream]
) -> None:
    made = writes.create_feed(connection, login, feed, NOON, _nobody).feed_id
    named = {name: evolve(stream, id=name) for name, stream in streams.items()}
    writes.update_feed(connection, made, Environment(datastreams=named), NOON, _allow, _nobody)
    moved = Environment(location=Location(lat=1.5, lon=2, disposition="mobile"))
    writes.update_feed(connection, made, moved, LATER, _allow, _nobody)
    for name in named:
        watched = Trigger(
            environment_id=made, stream_id=name, url="http://a.test/?q=1", trigger_type="change"
        )
        number = triggers.create_trigger(connection, login, watched, NOON, _allow)
        for value in ("1", "2,5\n"):
            update = Datastream(current_value=value)
            writes.update_datastream(connection, made, name, update, LATER, _allow, _nobody)
        assert triggers.list_notices(connection, number)


def small_store(path: Path, *, feeds: int = 1, login: str = "owner") -> None:
    """A store with some feeds of two points each."""
    with closing(connect_for_writing(path)) as connection:
        writes.create_account(
            connection, login, KeyRecord(login.encode().ljust(32), login, Key(label="first"))
        )
        for number in range(feeds):
            points = [Datapoint(at=NOON, value="1.50"), Datapoint(at=LATER, value='say "a, b"')]
            stream = Datastream(id="temperature", datapoints=points)
            feed = Environment(title=f"Feed {number}", datastreams={"temperature": stream})
            writes.create_feed(connection, login, feed, NOON, _nobody)
        connection.execute("INSERT INTO projects VALUES (77, ?, 'Boiler', 1)", (login,))
        connection.execute(
            "INSERT INTO devices SELECT 77, 'device' || feed, 'Device ' || feed, NULL, feed, 2 FROM feeds"
        )
        connection.execute(
            "INSERT INTO tokens"
            " (digest, project, may_read, may_write, may_admin, refreshable, created, parent)"
            " VALUES (?, 77, 1, 0, 1, 1, 3, 12)",
            (login.encode().ljust(32, b"t"),),
        )
        connection.execute(
            "INSERT INTO products (id, owner, name, secret, created, state, feed_defaults)"
            " VALUES (?, ?, 'Lamp', ?, 4, 'live', '{\"title\":\"Lamp\"}')",
            (f"product-of-{login}", login, b"\0secret"),
        )
        connection.execute(
            "INSERT INTO product_devices (product, serial, code, created, feed, key)"
            " SELECT product, 'A-1', ?, 5, 1, (SELECT MAX(number) FROM keys) FROM products",
            (f"code-of-{login}",),
        )


def everything(path: Path) -> list[Any]:
    """All that a store answers."""
    with closing(connect_for_reading(path)) as connection:
        said: list[Any] = []
        for account in reads.list_accounts(connection):
            login = account.user.login or ""
            search = FeedSearch(login=login, private_access=True, user=login, order="created_at")
            feeds = reads.list_feeds(connection, search)
            said += [account, reads.list_keys(connection, login), feeds]
            for feed in feeds[1]:
                for name in feed.environment.datastreams:
                    points = reads.read_points(connection, feed.environment.id or 0, name, None, 1000)
                    said.append((name, points))
            for record in triggers.list_triggers(connection, login):
                said += [record, triggers.list_notices(connection, record.trigger.id or 0)]
        said.append(triggers.due_notices(connection, LATER + timedelta(days=1), 100))
        return said


def rows_of(path: Path) -> dict[str, list[Any]]:
    """All rows of all tables; what is JSON compares as that."""
    with closing(connect_for_reading(path)) as connection:
        tables = [
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
            if name != "swept"
        ]
        return {
            name: sorted(
                ([_plain(value) for value in row] for row in connection.execute(f"SELECT * FROM {name}")),
                key=repr,
            )
            for name in sorted(tables)
        }


def _plain(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value
