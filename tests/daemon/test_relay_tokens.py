"""A token that a service gave in the place of another outlives the process."""

from __future__ import annotations

from tests.support.iobeam_service import make_token
from txbridge.daemon.relay_tokens import keep_token, kept_token

TOLD, NEW = make_token(mark="told"), make_token(mark="new")


def test_the_token_that_was_given_is_used_until_there_is_another(tmp_path):
    assert kept_token(tmp_path, TOLD) == TOLD
    keep_token(tmp_path, TOLD, NEW)
    assert kept_token(tmp_path, TOLD) == NEW
    keep_token(tmp_path, TOLD, make_token(mark="newer"))
    assert kept_token(tmp_path, TOLD) == make_token(mark="newer")


def test_another_token_of_the_owners_is_used_at_once(tmp_path):
    keep_token(tmp_path, TOLD, NEW)
    other = make_token(mark="other")
    assert kept_token(tmp_path, other) == other


def test_what_is_kept_is_the_owners_alone_and_its_name_says_nothing(tmp_path):
    keep_token(tmp_path, TOLD, NEW)
    (file,) = (tmp_path / "tokens").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert not any(part in file.name for part in TOLD.split("."))


def test_a_file_that_is_damaged_or_cannot_be_written_does_no_harm(tmp_path):
    keep_token(tmp_path, TOLD, NEW)
    (file,) = (tmp_path / "tokens").iterdir()
    for damage in (b"", b"rubbish", b"\xff"):
        file.write_bytes(damage)
        assert kept_token(tmp_path, TOLD) == TOLD
    keep_token(file, TOLD, NEW)  # below a file there can be none
    assert kept_token(file, TOLD) == TOLD
