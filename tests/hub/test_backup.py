"""A copy of a store while it is written to."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing

import pytest

from tests.support.hub import NOON
from txbridge.errors import StoreError
from txbridge.hub.backup import Stopped, back_up, held_moment
from txbridge.hub.sqlite_schema import JournalCurb, connect_for_writing
from txbridge.hub.sqlite_writes import create_account, create_feed, update_feed
from txbridge.model.structures import Datapoint, Datastream, Environment


def nobody(feed_id):
    return False


def ignored(done, total):
    pass


def never():
    return False


def value(number):
    return Environment(datastreams={"t": Datastream(id="t", current_value=str(number))})


@pytest.fixture
def store(tmp_path):
    path = tmp_path / "hub.sqlite"
    with closing(connect_for_writing(path)) as writer:
        create_account(writer, "owner", None)
        create_feed(writer, "owner", value(0), NOON, nobody)
        yield path, writer


def values(path):
    with closing(sqlite3.connect(path)) as copy:
        return [text for (text,) in copy.execute("SELECT value FROM datastreams")]


def test_a_copy_has_what_the_store_had_and_is_for_its_owner_alone(store, tmp_path):
    path, _ = store
    done = back_up(path, tmp_path / "copy.sqlite", ignored, never)
    assert values(tmp_path / "copy.sqlite") == ["0"]
    assert stat.S_IMODE((tmp_path / "copy.sqlite").stat().st_mode) == 0o600
    assert done.bytes == (tmp_path / "copy.sqlite").stat().st_size


def test_what_is_written_meanwhile_neither_waits_nor_gets_into_the_copy(store, tmp_path):
    path, writer = store
    for number in range(100):
        update_feed(
            writer,
            1,
            Environment(
                datastreams={
                    f"many{number}": Datastream(
                        id=f"many{number}", datapoints=[Datapoint(at=NOON, value="x" * 60_000)]
                    )
                }
            ),
            NOON,
            lambda record: None,
            nobody,
        )
    written = []

    def write(done, total):
        update_feed(writer, 1, value(len(written) + 1), NOON, lambda record: None, nobody)
        written.append(done / total)

    back_up(path, tmp_path / "copy.sqlite", write, never)
    assert len(written) >= 2
    assert written[-1] == 1.0
    with closing(sqlite3.connect(tmp_path / "copy.sqlite")) as copy:
        assert copy.execute("SELECT value FROM datastreams WHERE id = 't'").fetchall() == [("0",)]


def test_a_copy_that_is_stopped_leaves_nothing(store, tmp_path):
    path, _ = store
    with pytest.raises(Stopped):
        back_up(path, tmp_path / "copy.sqlite", ignored, lambda: True)
    assert [one.name for one in tmp_path.iterdir() if "copy.sqlite" in one.name] == []


def test_what_one_that_was_killed_left_is_written_over(store, tmp_path):
    path, _ = store
    (tmp_path / "copy.sqlite.partial").write_bytes(b"x" * 1_000_000)
    back_up(path, tmp_path / "copy.sqlite", ignored, never)
    assert values(tmp_path / "copy.sqlite") == ["0"]
    assert not (tmp_path / "copy.sqlite.partial").exists()


def test_two_backups_to_one_file_do_not_mix(store, tmp_path):
    path, _ = store
    refused = []

    def second(done, total):
        with pytest.raises(StoreError, match="another backup is writing") as error:
            back_up(path, tmp_path / "copy.sqlite", ignored, never)
        refused.append(error)

    back_up(path, tmp_path / "copy.sqlite", second, never)
    assert refused
    assert values(tmp_path / "copy.sqlite") == ["0"]


def test_what_is_there_already_is_not_written_over(store, tmp_path):
    path, _ = store
    (tmp_path / "copy.sqlite").write_text("precious")
    with pytest.raises(StoreError, match="already"):
        back_up(path, tmp_path / "copy.sqlite", ignored, never)
    assert (tmp_path / "copy.sqlite").read_text() == "precious"


def test_what_came_there_meanwhile_is_not_written_over(store, tmp_path):
    path, _ = store
    with pytest.raises(StoreError, match=r"there is .*copy\.sqlite already"):
        back_up(
            path,
            tmp_path / "copy.sqlite",
            lambda done, total: (tmp_path / "copy.sqlite").write_text("precious"),
            never,
        )
    assert (tmp_path / "copy.sqlite").read_text() == "precious"
    assert not (tmp_path / "copy.sqlite.partial").exists()


@pytest.mark.parametrize("name", ["x" * 300, "link"])
def test_a_name_that_cannot_be_used_is_refused(store, tmp_path, name):
    (tmp_path / "link").symlink_to("nowhere")
    path, _ = store
    with pytest.raises(StoreError, match=r"File name too long|link already"):
        back_up(path, tmp_path / name, ignored, never)


def test_a_damaged_store_gives_no_copy(store, tmp_path):
    path, writer = store
    writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    root = writer.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'datastreams'").fetchone()[0]
    size = writer.execute("PRAGMA page_size").fetchone()[0]
    with path.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xff" * 64)
    with pytest.raises(StoreError, match="damaged"):
        back_up(path, tmp_path / "copy.sqlite", ignored, never)
    assert [one.name for one in tmp_path.iterdir() if "copy.sqlite" in one.name] == []


def test_a_store_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(StoreError, match="there is no store in"):
        back_up(tmp_path / "hub.sqlite", tmp_path / "copy.sqlite", ignored, never)
    assert list(tmp_path.iterdir()) == []


def test_a_database_of_another_program_is_refused(tmp_path):
    with closing(sqlite3.connect(tmp_path / "hub.sqlite")) as other:
        other.execute("CREATE TABLE notes (text)")
    with pytest.raises(StoreError, match="another program"):
        back_up(tmp_path / "hub.sqlite", tmp_path / "copy.sqlite", ignored, never)


def test_a_store_whose_hub_was_killed_can_be_copied(tmp_path):
    path, killed = tmp_path / "hub.sqlite", tmp_path / "killed.sqlite"
    with closing(connect_for_writing(path)) as writer:
        create_account(writer, "owner", None)
        for ending in ("", "-wal"):  # as a kill leaves it: the journal is not in the file yet
            killed.with_name(killed.name + ending).write_bytes(
                path.with_name(path.name + ending).read_bytes()
            )
    back_up(killed, tmp_path / "copy.sqlite", ignored, never)
    with closing(sqlite3.connect(tmp_path / "copy.sqlite")) as copy:
        assert copy.execute("SELECT login FROM accounts").fetchall() == [("owner",)]


def test_the_hub_waits_for_nobody_who_copies_its_store(store):
    """It would wait seconds, each time that its journal has grown."""
    path, writer = store
    waits = []
    writer.set_trace_callback(lambda statement: waits.append("checkpoint" in statement))
    with held_moment(path) as reader:
        JournalCurb(path, 1)(writer)
        assert not any(waits)
        assert reader.execute("SELECT value FROM datastreams").fetchall() == [("0",)]
    JournalCurb(path, 1)(writer)
    assert any(waits)


def test_the_mark_is_the_hubs_own_also_when_root_copies(store):
    path, _ = store
    with held_moment(path):
        mark = path.with_name("hub.sqlite.copying").stat()
    assert mark.st_uid == path.parent.stat().st_uid
    assert mark.st_mode & 0o400
