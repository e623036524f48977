"""An export is taken as a whole or not at all, and makes the store that it was made of."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import sqlite3
import stat
import tarfile
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings

from tests.support.hub import NOON
from tests.support.stores import everything, make_store, rows_of, small_store, stores
from txbridge.errors import StoreError
from txbridge.hub.backup import Stopped
from txbridge.hub.sqlite import StoreLock
from txbridge.hub.sqlite_schema import connect_for_writing
from txbridge.hub.sqlite_writes import create_account, create_feed, update_datastream
from txbridge.hub.store import MAX_DATASTREAMS
from txbridge.hub.transfer import LONGEST_LINE, TransferError
from txbridge.hub.transfer_export import export_folder, export_tar
from txbridge.hub.transfer_import import ArchiveSource, FolderSource, import_into
from txbridge.model.structures import Datastream, Environment


def ignored(done, total):
    pass


def never():
    return False


def take(store, folder, *, merge=False, is_stopped=never):
    return import_into(store, FolderSource(folder), merge=merge, told=ignored, is_stopped=is_stopped)


@settings(max_examples=15, deadline=None)
@given(drawn=stores())
def test_an_export_that_is_imported_is_the_same_store(drawn):
    with TemporaryDirectory() as name:
        folder = Path(name)
        make_store(folder / "old.sqlite", drawn)
        export_folder(folder / "old.sqlite", folder / "out", ignored, never)
        take(folder / "new.sqlite", folder / "out")
        assert everything(folder / "new.sqlite") == everything(folder / "old.sqlite")
        assert rows_of(folder / "new.sqlite") == rows_of(folder / "old.sqlite")
        again = take(folder / "new.sqlite", folder / "out", merge=True)
        assert sum(again.rows.values()) == 0
        assert rows_of(folder / "new.sqlite") == rows_of(folder / "old.sqlite")


@pytest.fixture
def old(tmp_path):
    """An export of a small store."""
    small_store(tmp_path / "old.sqlite", feeds=2)
    export_folder(tmp_path / "old.sqlite", tmp_path / "out", ignored, never)
    return tmp_path / "out"


def test_projects_products_and_what_belongs_to_them_come_too(old, tmp_path):
    done = take(tmp_path / "new.sqlite", old)
    assert rows_of(tmp_path / "new.sqlite") == rows_of(tmp_path / "old.sqlite")
    assert {name: done.rows[name] for name in ("devices", "tokens", "product_devices", "points")} == {
        "devices": 2,
        "tokens": 1,
        "product_devices": 1,
        "points": 4,
    }


def test_the_new_store_is_for_its_owner_alone_and_leaves_nothing_beside_it(old, tmp_path):
    (tmp_path / "data").mkdir()
    take(tmp_path / "data" / "hub.sqlite", old)
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["hub.sqlite", "hub.sqlite.lock"]
    assert stat.S_IMODE((tmp_path / "data" / "hub.sqlite").stat().st_mode) == 0o600


def test_what_is_made_belongs_to_whom_the_folder_belongs_also_when_root_makes_it(old, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    if os.geteuid() == 0:
        os.chown(data, 4321, 4321)
    take(data / "hub.sqlite", old)
    assert {path.stat().st_uid for path in data.iterdir()} == {data.stat().st_uid}


def test_the_journal_of_a_store_that_is_gone_is_not_taken_for_the_new_ones(old, tmp_path):
    (tmp_path / "new.sqlite-wal").write_bytes(b"x")
    with pytest.raises(TransferError, match="the journal of a store that is gone"):
        take(tmp_path / "new.sqlite", old)


def archive_of(store):
    out = io.BytesIO()
    export_tar(store, out, ignored, never)
    return out.getvalue()


def take_archive(store, data):
    return import_into(
        store, ArchiveSource(io.BytesIO(data), None), merge=False, told=ignored, is_stopped=never
    )


def test_an_archive_is_taken_as_a_folder_is(tmp_path):
    small_store(tmp_path / "old.sqlite")
    take_archive(tmp_path / "new.sqlite", archive_of(tmp_path / "old.sqlite"))
    assert rows_of(tmp_path / "new.sqlite") == rows_of(tmp_path / "old.sqlite")


@pytest.mark.parametrize("compress", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_an_archive_that_is_cut_off_anywhere_is_not_taken(tmp_path, compress):
    small_store(tmp_path / "old.sqlite")
    data = compress(archive_of(tmp_path / "old.sqlite").rstrip(b"\0"))
    for end in range(0, len(data), len(data) // 20):
        with pytest.raises(TransferError):
            take_archive(tmp_path / "new.sqlite", data[:end])
        assert not (tmp_path / "new.sqlite").exists()


def test_an_archive_that_has_a_file_twice_is_not_taken(tmp_path, old):
    """The checksum is that of one of them."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        manifest = json.loads((old / "manifest.json").read_text())
        names = [entry["name"] for entry in manifest["files"]]
        for name in [*names, "history/1.csv", "manifest.json"]:
            archive.add(old / name, name)
    with pytest.raises(TransferError, match=r"history/1\.csv: is there twice"):
        take_archive(tmp_path / "new.sqlite", out.getvalue())


def test_an_archive_that_was_packed_again_from_a_folder_is_taken(tmp_path, old):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.add(old, ".", recursive=False)
        names = [entry["name"] for entry in json.loads((old / "manifest.json").read_text())["files"]]
        for name in [*names, "manifest.json"]:
            archive.add(old / name, f"./{name}")
    take_archive(tmp_path / "new.sqlite", out.getvalue())
    assert (tmp_path / "new.sqlite").exists()


def test_an_archive_with_its_manifest_first_is_to_be_unpacked(tmp_path, old):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in ("manifest.json", "accounts.jsonl"):
            archive.add(old / name, name)
    with pytest.raises(TransferError, match="unpack the archive, and import the folder"):
        take_archive(tmp_path / "new.sqlite", out.getvalue())


def test_an_archive_without_its_manifest_is_not_taken(tmp_path, old):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        archive.add(old / "accounts.jsonl", "accounts.jsonl")
    with pytest.raises(TransferError, match="it is not complete"):
        take_archive(tmp_path / "new.sqlite", out.getvalue())


def test_an_archive_in_another_order_is_not_taken(tmp_path, old):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in ("feeds.jsonl", "accounts.jsonl"):
            archive.add(old / name, name)
    with pytest.raises(TransferError):
        take_archive(tmp_path / "new.sqlite", out.getvalue())


def test_a_folder_without_its_manifest_is_no_whole_export(old, tmp_path):
    (old / "manifest.json").unlink()
    with pytest.raises(TransferError, match=r"has no manifest\.json"):
        take(tmp_path / "new.sqlite", old)


def change(old, name, data, *, honest=False):
    """Change a file of an export, and, if it is to go unnoticed, the manifest."""
    (old / name).write_bytes(data)
    if honest:
        manifest = json.loads((old / "manifest.json").read_text())
        for entry in manifest["files"]:
            if entry["name"] == name:
                rows = data.count(b"\n") - name.startswith("history")
                entry.update(bytes=len(data), sha256=sha256(data).hexdigest(), rows=rows)
        (old / "manifest.json").write_text(json.dumps(manifest))


CHANGED = b"datastream,at,value\ntemperature,2013-06-03T12:00:00.000000Z,1.51\n"


@pytest.mark.parametrize("name", ["history/2.csv", "keys.jsonl"])
def test_a_file_that_is_not_what_was_exported_is_named(old, tmp_path, name):
    data = CHANGED if name.endswith("csv") else b""
    change(old, name, data)
    with pytest.raises(TransferError, match=f"{name}: is not what was exported"):
        take(tmp_path / "new.sqlite", old)
    assert not (tmp_path / "new.sqlite").exists()


def test_a_file_that_is_missing_is_named(old, tmp_path):
    (old / "history" / "2.csv").unlink()
    with pytest.raises(TransferError, match=r"history/2\.csv: is missing"):
        take(tmp_path / "new.sqlite", old)


@pytest.mark.parametrize(
    "text",
    [
        b'{"program":"\xff"}',
        b'{"else":' + b"[" * 10_000,
        b'{"program":"","created":"","rows":{},"files":[],"numbers":{"feeds":9223372036854775808}}',
    ],
)
def test_a_manifest_that_is_damaged_is_none(old, tmp_path, text):
    (old / "manifest.json").write_bytes(text)
    with pytest.raises(TransferError, match="is not the manifest of an export"):
        take(tmp_path / "new.sqlite", old)


def test_a_manifest_names_no_file_twice(old, tmp_path):
    manifest = json.loads((old / "manifest.json").read_text())
    manifest["files"].append(manifest["files"][-1])
    (old / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(TransferError, match=r"manifest\.json: names 'history/2\.csv' twice"):
        take(tmp_path / "new.sqlite", old)


def test_a_manifest_that_is_too_long_is_not_read_into_memory(old, tmp_path):
    with (old / "manifest.json").open("r+b") as file:
        file.truncate(1 << 40)  # takes no room on the disk
    with pytest.raises(TransferError, match=r"manifest\.json: is longer than"):
        take(tmp_path / "new.sqlite", old)


def test_names_in_a_manifest_do_not_lead_out_of_the_folder(old, tmp_path):
    text = (old / "manifest.json").read_text().replace("history/2.csv", "../secret")
    (old / "manifest.json").write_text(text)
    with pytest.raises(TransferError, match=r"names '\.\./secret', which is no file"):
        take(tmp_path / "new.sqlite", old)


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("feeds.jsonl", b'{"feed":1}\n', "feeds.jsonl, line 1: NOT NULL constraint failed: feeds.owner"),
        (
            "accounts.jsonl",
            b'{"login":"owner","document":{}}\n{"x":1}\n',
            "accounts.jsonl, line 2: nothing has",
        ),
        ("keys.jsonl", b'{"digest":"0g"}\n', "keys.jsonl, line 1: 'digest' non-hexadecimal"),
        ("accounts.jsonl", b'{"login":"x","document":{}}\n', "keys.jsonl, line 1: refers to what is not"),
        ("accounts.jsonl", b"[" * 10_000 + b"\n", "accounts.jsonl, line 1: is nested too deeply"),
        ("accounts.jsonl", b'{"document":7}\n', "accounts.jsonl, line 1: 'document' is no JSON object"),
        ("feeds.jsonl", b'{"feed":9223372036854775808}\n', "line 1: 'feed' is no whole number of 64"),
        ("feeds.jsonl", b'{"feed":1,"lat":1' + b"0" * 400 + b"}\n", "line 1: 'lat' int too large"),
        ("feeds.jsonl", b'{"feed":1,"tags":5}\n', "feeds.jsonl, line 1: 'tags' is no list of texts"),
        ("feeds.jsonl", b'{"feed":1,"tags":[5]}\n', "feeds.jsonl, line 1: 'tags' is no list of texts"),
        ("history/1.csv", b"at,value\n", "history/1.csv, line 1: is not datastream,at,value"),
        (
            "history/1.csv",
            CHANGED + b"temperature,yesterday,3\n",
            "history/1.csv, line 3: 'yesterday' is no inst",
        ),
        (
            "history/1.csv",
            CHANGED + b'temperature,2013-06-03T12:00:01Z,"a\nb"\nwind,2013-06-03T12:00:01Z,3\n',
            "history/1.csv, line 5: the feed has no datastream 'wind'",
        ),
        (
            "history/1.csv",
            CHANGED + b"temperature,2013-06-03T12:00:01,3\n",
            "line 3: '2013-06-03T12:00:01' is no",
        ),
        ("history/1.csv", CHANGED + b"temperature,3\n", "history/1.csv, line 3: has 2 fields"),
        (
            "history/1.csv",
            CHANGED + b'temperature,2013-06-03T12:00:01Z,"3\n',
            "history/1.csv, line 3: unexpected",
        ),
        ("history/1.csv", CHANGED + b"temperature,2013-06-03T12:00:01Z,\xff\n", "history/1.csv, after line"),
        (
            "history/1.csv",
            CHANGED + b"temperature,2013-06-03T12:00:01Z,\x01\n",
            "line 3: '\\x01' is no value",
        ),
        (
            "history/1.csv",
            CHANGED + b"temperature,2013-06-03T12:00:01Z,%b\n" % (b"5" * 256),
            "5…' is no value of at most 255 characters",
        ),
        ("history/1.csv", CHANGED + b"5" * 200_000, "history/1.csv, line 3: has 1 fields"),
        ("history/1.csv", CHANGED + b'"' + b"5" * 200_000, "history/1.csv, line"),
        ("accounts.jsonl", b'{"login":"o\\u0000","document":{}}\n', "line 1: 'login' is no login"),
        ("accounts.jsonl", b'{"login":"o\\n","document":{}}\n', "line 1: 'login' is no login"),
        (
            "accounts.jsonl",
            b'{"login":"owner","document":{"about":["\\u0000"]}}\n',
            "line 1: 'document' has characters in it that no format can give back",
        ),
        (
            "accounts.jsonl",
            b'{"login":"owner","document":{"about":"' + b"x" * LONGEST_LINE + b'"}}\n',
            "accounts.jsonl, line 1: is longer than",
        ),
        ("feeds.jsonl", b'{"title":"\\u0001"}\n', "line 1: 'title' has characters in it"),
        ("feeds.jsonl", b'{"tags":["\\u0001"]}\n', "line 1: 'tags' has characters in it"),
        ("feeds.jsonl", b'{"lat":1000}\n', "line 1: 'lat' is not between -90 and 90"),
        ("feeds.jsonl", b'{"lon":-180.5}\n', "line 1: 'lon' is not between -180 and 180"),
        ("feeds.jsonl", b'{"domain":"nowhere"}\n', "line 1: 'domain' is not physical or virtual"),
        ("waypoints.jsonl", b'{"lat":-91}\n', "waypoints.jsonl, line 1: 'lat' is not between"),
        ("datastreams.jsonl", b'{"id":"a b/\xc3\xbc"}\n', "line 1: 'id' is no id of a datastream"),
        (
            "datastreams.jsonl",
            b'{"value":"' + b"5" * 5000 + b'"}\n',
            "line 1: 'value' is no value of at most",
        ),
        ("datastreams.jsonl", b'{"max_value":"high"}\n', "line 1: 'max_value' is no number"),
        ("datastreams.jsonl", b'{"min_value":""}\n', "line 1: 'min_value' is no number"),
        ("datastreams.jsonl", b'{"unit_type":"x"}\n', "line 1: 'unit_type' is not basicSI or"),
        ("datastreams.jsonl", b'{"tags":["' + b"x" * 256 + b'"]}\n', "line 1: 'tags' are longer than 255"),
        (
            "datastreams.jsonl",
            b"".join(b'{"stream":%d,"feed":1,"id":"%d"}\n' % (i, i) for i in range(1, MAX_DATASTREAMS + 2)),
            f"datastreams.jsonl, line {MAX_DATASTREAMS + 1}: the feed has more than {MAX_DATASTREAMS} ",
        ),
        ("triggers.jsonl", b'{"type":"x"}\n', "line 1: 'type' is not gt or"),
    ],
)
def test_a_line_that_is_wrong_is_named_with_its_file_and_nothing_is_imported(old, tmp_path, name, data, said):
    change(old, name, data, honest=True)
    with pytest.raises(TransferError) as error:
        take(tmp_path / "new.sqlite", old)
    assert said in str(error.value)
    assert [path.name for path in tmp_path.glob("new.sqlite*")] == ["new.sqlite.lock"]


@pytest.mark.parametrize("looks", [0, 5, 12])
def test_an_import_that_is_stopped_has_changed_nothing(old, tmp_path, looks):
    answers = iter([False] * looks)
    with pytest.raises(Stopped):
        take(tmp_path / "new.sqlite", old, is_stopped=lambda: next(answers, True))
    assert not (tmp_path / "new.sqlite").exists()
    with closing(connect_for_writing(tmp_path / "new.sqlite")) as writer:
        create_account(writer, "other", None)
    before = rows_of(tmp_path / "new.sqlite")
    answers = iter([False] * looks)
    with pytest.raises(Stopped):
        take(tmp_path / "new.sqlite", old, merge=True, is_stopped=lambda: next(answers, True))
    assert rows_of(tmp_path / "new.sqlite") == before


def test_what_an_import_that_was_killed_left_is_in_nobodys_way(old, tmp_path):
    (tmp_path / "new.sqlite.partial").write_text("half")
    (tmp_path / "new.sqlite.partial-wal").write_text("half")
    take(tmp_path / "new.sqlite", old)
    assert rows_of(tmp_path / "new.sqlite") == rows_of(tmp_path / "old.sqlite")


def test_a_hub_that_runs_is_not_imported_into(old, tmp_path):
    lock = StoreLock(tmp_path / "new.sqlite")
    with pytest.raises(StoreError, match="in use by another process"):
        take(tmp_path / "new.sqlite", old)
    lock.release()


def test_a_store_that_has_something_is_not_added_to_unless_that_is_said(old, tmp_path):
    with pytest.raises(TransferError, match="--merge adds to it"):
        take(tmp_path / "old.sqlite", old)


def test_a_store_that_has_nothing_yet_is_like_none(old, tmp_path):
    connect_for_writing(tmp_path / "new.sqlite").close()
    take(tmp_path / "new.sqlite", old)
    assert rows_of(tmp_path / "new.sqlite") == rows_of(tmp_path / "old.sqlite")


# --------------------------------------------------------------------------------------- merging


def nobody(feed_id):
    return False


def allow(record):
    pass


def test_a_feed_gets_no_more_datastreams_than_it_may_have_from_two_hubs(old, tmp_path):
    with closing(connect_for_writing(tmp_path / "old.sqlite")) as writer:
        many = ((1, f"s{number}") for number in range(MAX_DATASTREAMS - 1))
        writer.execute("DELETE FROM datastreams WHERE id = 'temperature' AND feed = 1")
        writer.executemany(
            "INSERT INTO datastreams (feed, id, id_folded, tags_folded, units_folded)"
            " VALUES (?, ?, '', '', '')",
            [*many, (1, "last")],
        )
    before = rows_of(tmp_path / "old.sqlite")
    with pytest.raises(TransferError, match=r"datastreams\.jsonl, line 1: the feed has more than"):
        take(tmp_path / "old.sqlite", old, merge=True)
    assert rows_of(tmp_path / "old.sqlite") == before


def test_feeds_keep_their_numbers_and_what_is_taken_by_others_is_refused(old, tmp_path):
    with closing(connect_for_writing(tmp_path / "new.sqlite")) as writer:
        create_account(writer, "owner", None)
        create_feed(writer, "owner", Environment(title="another"), NOON.replace(year=2020), nobody)
    before = rows_of(tmp_path / "new.sqlite")
    with pytest.raises(TransferError, match="feed 1 is taken here, by another"):
        take(tmp_path / "new.sqlite", old, merge=True)
    assert rows_of(tmp_path / "new.sqlite") == before


def test_another_hub_is_added_and_its_keys_tokens_and_products_find_what_they_refer_to(tmp_path):
    small_store(tmp_path / "old.sqlite", login="second")
    with closing(connect_for_writing(tmp_path / "old.sqlite")) as writer:
        writer.execute("PRAGMA foreign_keys = OFF")
        for table in ("feeds", "waypoints", "datastreams", "devices", "product_devices"):
            writer.execute(f"UPDATE {table} SET feed = 9")
        for table in ("projects", "devices", "tokens"):
            writer.execute(f"UPDATE {table} SET project = 78")
    export_folder(tmp_path / "old.sqlite", tmp_path / "out", ignored, never)
    small_store(tmp_path / "new.sqlite", login="first")
    take(tmp_path / "new.sqlite", tmp_path / "out", merge=True)
    with closing(sqlite3.connect(tmp_path / "new.sqlite")) as store:
        assert store.execute("SELECT feed, owner FROM feeds").fetchall() == [(1, "first"), (9, "second")]
        assert store.execute(
            "SELECT p.owner, k.login, d.feed FROM product_devices AS d JOIN products AS p USING (product)"
            " JOIN keys AS k ON d.key = k.number"
        ).fetchall() == [("first", "first", 1), ("second", "second", 9)]
        assert store.execute("SELECT COUNT(*) FROM points").fetchone() == (4,)
        # What it was refreshed from is not in the export, and may be no other token here.
        assert store.execute("SELECT project, parent FROM tokens").fetchall() == [(77, 12), (78, None)]


def test_an_older_export_gives_back_what_is_missing_and_changes_nothing_else(old, tmp_path):
    store = tmp_path / "old.sqlite"
    with closing(connect_for_writing(store)) as writer:
        writer.execute("DELETE FROM points WHERE value = '1.50'")
        later = Datastream(current_value="77")
        update_datastream(writer, 1, "temperature", later, NOON.replace(year=2014), allow, nobody)
    done = take(store, old, merge=True)
    assert (done.rows["points"], done.known["points"]) == (2, 2)
    with closing(sqlite3.connect(store)) as reader:
        assert reader.execute("SELECT value, max_value, min_value FROM datastreams").fetchall() == [
            ("77", "77.0", "1.5"),
            ('say "a, b"', "1.5", "1.5"),
        ]


def test_a_newer_export_brings_newer_values(old, tmp_path):
    """As of a hub that went on elsewhere."""
    take(tmp_path / "new.sqlite", old)
    with closing(connect_for_writing(tmp_path / "old.sqlite")) as writer:
        later = Datastream(current_value="77")
        update_datastream(writer, 1, "temperature", later, NOON.replace(year=2014), allow, nobody)
    export_folder(tmp_path / "old.sqlite", tmp_path / "newer", ignored, never)
    take(tmp_path / "new.sqlite", tmp_path / "newer", merge=True)
    assert rows_of(tmp_path / "new.sqlite") == rows_of(tmp_path / "old.sqlite")
