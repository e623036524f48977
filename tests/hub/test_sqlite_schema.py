"""Opening a store's file, whatever is in it, and what the tables are searched with."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing

import pytest

from txbridge.errors import StoreError
from txbridge.hub.sqlite_reads import find_key
from txbridge.hub.sqlite_schema import (
    APPLICATION_ID,
    VERSIONS,
    JournalCurb,
    connect_for_reading,
    connect_for_writing,
    fold,
    fold_list,
    kilometres_between,
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a hub's 100% ?#.sqlite"


def test_a_new_store_is_made_durable(path):
    connection = connect_for_writing(path)
    pragmas = {
        name: connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "foreign_keys", "user_version")
    }
    connection.close()
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "user_version": 4}


def test_a_store_that_exists_is_opened_as_it_is(path):
    connection = connect_for_writing(path)
    connection.execute("INSERT INTO accounts (login) VALUES ('ann')")
    connection.close()
    connection = connect_for_writing(path)
    assert connection.execute("SELECT login FROM accounts").fetchall() == [("ann",)]
    connection.close()


def test_the_keys_of_a_store_of_the_first_version_go_on_working(path):
    with closing(sqlite3.connect(path)) as old:
        old.executescript(
            f"""
            {VERSIONS[0]}
            INSERT INTO accounts VALUES ('ann'), ('bob');
            INSERT INTO keys VALUES (x'aa', 'ann', '{{"label":"a"}}'), (x'bb', 'bob', '{{"label":"b"}}');
            PRAGMA application_id = {APPLICATION_ID};
            PRAGMA user_version = 1;
            """
        )
    with closing(connect_for_writing(path)) as connection:
        found = [find_key(connection, digest) for digest in (b"\xaa", b"\xbb")]
    assert [(one.login, one.key.label) for one in found] == [("ann", "a"), ("bob", "b")]
    assert len({one.reference for one in found}) == 2
    assert all(re.fullmatch("ref-[0-9a-f]{24}", one.reference) for one in found)


def test_a_store_of_a_newer_version_is_refused_and_left_alone(path):
    connection = connect_for_writing(path)
    connection.execute("PRAGMA user_version = 7")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"newer txbridge \(schema 7; this one knows 4\)"):
        connect_for_writing(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "script",
    ["CREATE TABLE theirs (x)", "PRAGMA application_id = 7", "PRAGMA application_id = 7; CREATE TABLE x (y)"],
)
def test_a_database_of_another_program_is_refused_and_left_alone(path, script):
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="of another program"):
        connect_for_writing(path)
    assert path.read_bytes() == before


def test_an_empty_file_becomes_a_store(path):
    """That is what a process that was killed between making the file and its tables leaves."""
    path.touch()
    connection = connect_for_writing(path)
    assert connection.execute("SELECT count(*) FROM feeds").fetchone() == (0,)
    connection.close()


def test_a_reader_cannot_write(path):
    writer = connect_for_writing(path)
    reader = connect_for_reading(path)
    assert reader.execute("SELECT count(*) FROM feeds").fetchone() == (0,)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("INSERT INTO accounts (login) VALUES ('ann')")
    reader.close()
    writer.close()


def test_a_reader_does_not_make_a_store(path):
    with pytest.raises(StoreError, match="cannot read"):
        connect_for_reading(path)
    assert not path.exists()


def test_reading_a_history_backwards_needs_no_sorting(path):
    """The index answers in order; a plan with a temporary tree would walk the whole history."""
    connection = connect_for_writing(path)
    for statement, index in [
        ("SELECT at FROM points WHERE stream = 1 AND at <= 5 ORDER BY at DESC LIMIT 1", "PRIMARY KEY"),
        (
            "SELECT feed FROM feeds WHERE private = 0 ORDER BY updated DESC, feed DESC LIMIT 5",
            "feeds_by_updated",
        ),
        (
            "SELECT feed FROM feeds WHERE private = 0 ORDER BY created DESC, feed DESC LIMIT 5",
            "feeds_by_created",
        ),
        ("SELECT id FROM datastreams WHERE feed = 1 ORDER BY id", "autoindex"),
        ("SELECT feed FROM feeds WHERE lat BETWEEN 1 AND 2", "feeds_by_position"),
    ]:
        plan = " ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}"))
        assert index in plan, plan
        assert "TEMP B-TREE" not in plan
    connection.close()


def test_folding_makes_case_not_matter():
    assert fold("GRÖSSE") == fold("größe")
    assert fold(None) == ""


@pytest.mark.parametrize(
    ("texts", "wanted", "found"),
    [
        (["a", "B c"], "b C", True),
        (["a", "B c"], "A", True),
        (["ab"], "a", False),
        (["a", "b"], "ab", False),
        ([], "a", False),
        ([None, "", "a"], "a", True),
    ],
)
def test_an_element_is_found_in_a_folded_list(texts, wanted, found):
    assert (fold_list([wanted]) in fold_list(texts)) is found


@pytest.mark.parametrize(
    ("first", "second", "kilometres"),
    [
        ((51.5074, -0.1278), (48.8566, 2.3522), 343.6),  # London, Paris
        ((0, 0), (0, 180), 20015.1),
        ((90, 0), (-90, 0), 20015.1),
        ((-17, 179.9), (-17, -179.9), 21.3),
        ((5, 5), (5, 5), 0.0),
    ],
)
def test_distances_go_along_the_surface(first, second, kilometres):
    assert kilometres_between(*first, *second) == pytest.approx(kilometres, abs=0.1)
    assert kilometres_between(*second, *first) == pytest.approx(kilometres, abs=0.1)


@pytest.fixture
def busy_store(tmp_path):
    """A store's path, its writer, who does not wait for long, and a reader."""
    path = tmp_path / "hub.sqlite"
    with closing(connect_for_writing(path)) as writer, closing(connect_for_reading(path)) as reader:
        writer.execute("PRAGMA busy_timeout = 1")
        yield path, writer, reader


def grow(writer):
    """Let the journal grow by some pages."""
    writer.execute("INSERT INTO points SELECT 1, 1 + ifnull(max(at), 0), hex(zeroblob(50000)) FROM points")


def look(reader):
    """Begin to read what is there now."""
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM points").fetchone()


def test_a_journal_that_has_grown_begins_anew(busy_store):
    path, writer, _ = busy_store
    curb = JournalCurb(path, 50_000)
    journal = path.with_name("hub.sqlite-wal")
    grow(writer)
    assert journal.stat().st_size > 50_000
    curb(writer)
    assert journal.stat().st_size == 0
    JournalCurb(path, 1_000_000)(writer)
    grow(writer)
    assert journal.stat().st_size > 0


def test_a_read_that_does_not_end_is_waited_for_once_in_a_while(busy_store):
    path, writer, reader = busy_store
    curb = JournalCurb(path, 150_000)
    statements = []
    look(reader)
    writer.set_trace_callback(statements.append)
    for _ in range(6):  # 100 kB each
        grow(writer)
        curb(writer)
    assert sum("wal_checkpoint" in text for text in statements) in (2, 3)
    reader.execute("ROLLBACK")
    for _ in range(2):
        grow(writer)
        curb(writer)
    assert path.with_name("hub.sqlite-wal").stat().st_size < 150_000
