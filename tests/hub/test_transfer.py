"""The form of an export."""

from __future__ import annotations

import csv
import io
from contextlib import closing

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.strategies import instants, texts
from txbridge.hub.sqlite_schema import connect_for_writing
from txbridge.hub.transfer import (
    TABLES,
    FileEntry,
    Manifest,
    TransferError,
    from_line,
    history_lines,
    history_name,
    read_history_name,
    read_manifest,
    to_line,
)
from txbridge.model.instants import format_instant, to_microseconds

# The history, which has files of its own, and what is about to be removed.
NOT_TABLES = {"points", "swept", "sqlite_sequence"}


def columns_of(connection, table):
    return {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}


def test_every_table_and_column_of_the_store_is_exported(tmp_path):
    """What is made of other columns is not: what the search compares."""
    with closing(connect_for_writing(tmp_path / "hub.sqlite")) as connection:
        names = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        assert {table.name for table in TABLES} == names - NOT_TABLES
        for table in TABLES:
            made = {name for name in columns_of(connection, table.name) if name.endswith("_folded")}
            assert {column.name for column in table.columns} == columns_of(connection, table.name) - made


def test_a_row_comes_after_all_that_it_refers_to(tmp_path):
    names = [table.name for table in TABLES]
    with closing(connect_for_writing(tmp_path / "hub.sqlite")) as connection:
        for place, name in enumerate(names):
            referred = {row[2] for row in connection.execute(f"PRAGMA foreign_key_list({name})")}
            assert referred <= set(names[:place])


@given(points=st.lists(st.tuples(instants(), texts())), name=st.sampled_from(["t", 'a "b"']))
def test_a_history_is_what_a_reader_of_csv_reads(points, name):
    rows = [(to_microseconds(at), value) for at, value in points]
    text = history_lines(name, rows)
    read = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert read == [[name, format_instant(at), value] for at, value in points]


@pytest.mark.parametrize(("part", "name"), [(1, "history/7.csv"), (2, "history/7-2.csv")])
def test_the_parts_of_a_history_have_names(part, name):
    assert history_name(7, part) == name
    assert read_history_name(name) == (7, part)


@pytest.mark.parametrize("name", ["history/../7.csv", "history/07.csv", "history/7.csv\n", "7.csv"])
def test_other_names_are_no_history(name):
    assert read_history_name(name) is None


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"[]", "is no JSON object"),
        (b'{"feed":"7"}', "'feed' is no whole number"),
        (b'{"created":7}', "'created' is no instant"),
        (b'{"created":"2026-13-01T00:00:00Z"}', "is not an ISO 8601 date and time"),
        (b'{"private":0}', "'private' is no true or false"),
        (b'{"colour":"red"}', "nothing has 'colour' here"),
        (b'{"feed":7', "truncated"),
    ],
)
def test_a_line_that_is_none_is_refused(line, problem):
    (feeds,) = [table for table in TABLES if table.name == "feeds"]
    with pytest.raises(ValueError, match=problem):
        from_line(feeds, line)


def test_a_line_is_the_row_that_was_written():
    (keys,) = [table for table in TABLES if table.name == "keys"]
    line = to_line(keys, (3, b"\x00\xff", None, "owner", '{"label":"π"}'))
    assert line == '{"number":3,"digest":"00ff","login":"owner","document":{"label":"π"}}\n'.encode()
    assert from_line(keys, line) == {
        "number": 3,
        "digest": b"\x00\xff",
        "login": "owner",
        "document": '{"label":"π"}',
    }


def manifest(**changed):
    members = {
        "program": "1",
        "created": "x",
        "rows": {},
        "numbers": {},
        "files": [FileEntry("a", 1, 2, "3")],
    }
    return Manifest(**{**members, **changed})


@pytest.mark.parametrize(("member", "value"), [("version", 99), ("schema", 99)])
def test_an_export_of_a_newer_version_is_refused(member, value):
    with pytest.raises(TransferError, match="newer txbridge"):
        read_manifest(msgspec.json.encode(manifest(**{member: value})))


@pytest.mark.parametrize("text", [b"", b"{}", b'{"format": 3}'])
def test_what_is_no_manifest_is_refused(text):
    with pytest.raises(TransferError, match="is not the manifest of an export"):
        read_manifest(text)


def test_a_manifest_of_another_program_is_refused():
    with pytest.raises(TransferError, match="is not the manifest of an export"):
        read_manifest(msgspec.json.encode(manifest(format="other")))
