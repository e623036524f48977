"""Files that are their user's alone."""

from __future__ import annotations

import pytest

from txbridge.net.private_file import make_private, replace_private, sync_folder


def test_a_file_is_replaced_and_is_its_users_alone(tmp_path):
    path = tmp_path / "deep" / "er" / "id"
    replace_private(path, "first")
    replace_private(path, "é")
    assert path.read_text(encoding="utf-8") == "é"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_file_that_cannot_be_written_leaves_the_old_one_and_nothing_else(tmp_path):
    path = tmp_path / "id"
    replace_private(path, "first")
    with pytest.raises(UnicodeEncodeError):
        replace_private(path, "second\ud800")
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("id", "first")]


def test_a_file_that_is_made_is_empty_and_its_users_alone_and_one_that_is_there_stays(tmp_path):
    path = tmp_path / "store"
    make_private(path)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"", 0o600)
    path.write_bytes(b"what it holds")
    make_private(path)
    assert path.read_bytes() == b"what it holds"


def test_only_a_folder_can_be_synced_as_one(tmp_path):
    sync_folder(tmp_path)
    make_private(tmp_path / "file")
    with pytest.raises(NotADirectoryError):
        sync_folder(tmp_path / "file")
