"""What is exported, and that there is a whole export or none."""

from __future__ import annotations

import io
import json
import stat
import tarfile
from contextlib import closing
from hashlib import sha256

import pytest

from tests.support.stores import small_store
from txbridge.errors import StoreError
from txbridge.hub import transfer_export
from txbridge.hub.backup import Stopped
from txbridge.hub.sqlite_schema import connect_for_writing
from txbridge.hub.transfer import TransferError
from txbridge.hub.transfer_export import export_folder, export_tar


def ignored(done, total):
    pass


def never():
    return False


@pytest.fixture
def store(tmp_path):
    path = tmp_path / "hub.sqlite"
    small_store(path, feeds=2)
    return path


def test_an_export_is_lines_of_json_and_files_that_a_spreadsheet_opens(store, tmp_path):
    done = export_folder(store, tmp_path / "out", ignored, never)
    (first, _) = (tmp_path / "out" / "feeds.jsonl").read_text().splitlines()
    assert json.loads(first)["title"] == "Feed 0"
    assert (tmp_path / "out" / "history" / "1.csv").read_bytes() == (
        b"datastream,at,value\n"
        b"temperature,2013-06-03T12:00:00.000000Z,1.50\n"
        b'temperature,2013-06-03T13:00:00.000000Z,"say ""a, b"""\n'
    )
    assert done.rows["points"] == 4
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["rows"]["feeds"] == 2
    for entry in manifest["files"]:
        data = (tmp_path / "out" / entry["name"]).read_bytes()
        assert (entry["bytes"], entry["sha256"]) == (len(data), sha256(data).hexdigest())


def test_an_export_is_for_its_owner_alone(store, tmp_path):
    export_folder(store, tmp_path / "out", ignored, never)
    found = {stat.S_IMODE(path.stat().st_mode) for path in [tmp_path / "out", *(tmp_path / "out").rglob("*")]}
    assert found == {0o700, 0o600}


def test_no_file_has_more_rows_than_a_spreadsheet_opens(store, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer_export, "CHUNK", 1)
    monkeypatch.setattr(transfer_export, "ROWS", 1)
    export_folder(store, tmp_path / "out", ignored, never)
    names = sorted(path.name for path in (tmp_path / "out" / "history").iterdir())
    assert names == ["1-2.csv", "1.csv", "2-2.csv", "2.csv"]
    for name in names:
        assert (tmp_path / "out" / "history" / name).read_text().count("\n") == 2


def test_an_archive_has_the_same_files_and_the_manifest_at_its_end(store, tmp_path):
    export_folder(store, tmp_path / "out", ignored, never)
    out = io.BytesIO()
    export_tar(store, out, ignored, never)
    out.seek(0)
    with tarfile.open(fileobj=out) as archive:
        for entry in archive:
            if entry.name != "manifest.json":  # it says when it was written
                assert archive.extractfile(entry).read() == (tmp_path / "out" / entry.name).read_bytes()
        names = archive.getnames()
    assert names[-1] == "manifest.json"
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(names) == len(files)


def test_what_is_written_meanwhile_is_not_in_it(store, tmp_path):
    with closing(connect_for_writing(store)) as writer:

        def write(done, total):
            writer.execute("DELETE FROM points")
            writer.execute("UPDATE datastreams SET value = 'later'")

        done = export_folder(store, tmp_path / "out", write, never)
        assert writer.execute("SELECT COUNT(*) FROM points").fetchone() == (0,)
    assert done.rows["points"] == 4
    assert "later" not in (tmp_path / "out" / "datastreams.jsonl").read_text()


def test_it_is_told_how_much_is_done(store, tmp_path):
    said = []
    export_folder(store, tmp_path / "out", lambda done, total: said.append((done, total)), never)
    assert said == [(2, 4), (4, 4)]


def left(tmp_path):
    return sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("out"))


@pytest.mark.parametrize("looks", [0, 3, 8])
def test_an_export_that_is_stopped_leaves_nothing(store, tmp_path, looks):
    answers = iter([False] * looks)
    with pytest.raises(Stopped):
        export_folder(store, tmp_path / "out", ignored, lambda: next(answers, True))
    assert left(tmp_path) == []


def test_what_one_that_was_killed_left_is_taken_away(store, tmp_path):
    (tmp_path / "out.partial" / "history").mkdir(parents=True)
    (tmp_path / "out.partial" / "history" / "9.csv").write_text("old")
    (tmp_path / "out.partial" / "feeds.jsonl").write_text("old")
    export_folder(store, tmp_path / "out", ignored, never)
    assert left(tmp_path) == ["out"]
    assert not (tmp_path / "out" / "history" / "9.csv").exists()


def test_a_folder_of_somebody_else_is_left_alone(store, tmp_path):
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "thesis.tex").write_text("precious")
    with pytest.raises(TransferError, match=r"thesis\.tex"):
        export_folder(store, tmp_path / "out", ignored, never)
    assert (tmp_path / "out.partial" / "thesis.tex").read_text() == "precious"


def test_two_exports_to_one_folder_do_not_mix(store, tmp_path):
    refused = []

    def second(done, total):
        with pytest.raises(TransferError, match="another export is writing") as error:
            export_folder(store, tmp_path / "out", ignored, never)
        refused.append(error)

    export_folder(store, tmp_path / "out", second, never)
    assert refused
    assert left(tmp_path) == ["out"]


def test_a_folder_that_is_there_is_not_written_over(store, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(TransferError, match="already"):
        export_folder(store, tmp_path / "out", ignored, never)


@pytest.mark.parametrize("name", ["x" * 300, "link"])
def test_a_name_that_cannot_be_used_is_refused(store, tmp_path, name):
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(TransferError, match=r"File name too long|link already"):
        export_folder(store, tmp_path / name, ignored, never)


def test_a_disk_that_is_full_is_told_of(store):
    with open("/dev/full", "wb", buffering=0) as full, pytest.raises(TransferError, match="No space left"):
        export_tar(store, full, ignored, never)


def test_a_place_that_cannot_be_written_to_is_named(store, tmp_path):
    with pytest.raises(TransferError, match=r"cannot write .*nowhere"):
        export_folder(store, tmp_path / "nowhere" / "out", ignored, never)


@pytest.mark.parametrize(("version", "which"), [(1, "older"), (99, "newer")])
def test_a_store_of_another_version_is_refused(store, tmp_path, version, which):
    with closing(connect_for_writing(store)) as writer:
        writer.execute(f"PRAGMA user_version = {version}")
    with pytest.raises(StoreError, match=which):
        export_folder(store, tmp_path / "out", ignored, never)
    assert left(tmp_path) == []
