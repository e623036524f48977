"""Keys come from files, and what is wrong with a file is told by its name."""

from __future__ import annotations

import pytest

from txbridge.daemon.keys import key_text, local_key_text
from txbridge.errors import ConfigError


def test_a_key_file_is_read(tmp_path):
    (tmp_path / "key").write_text("secret\n")
    assert key_text("--api-key-file", str(tmp_path / "key")) == "secret\n"


def test_no_file_is_no_key():
    assert key_text("--api-key-file", None) is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "No such file"), (b"\xff\xfe", "no text"), (b"x" * 5000, "too long")],
)
def test_a_file_that_holds_no_key_is_named(tmp_path, content, reason):
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    with pytest.raises(ConfigError, match=reason) as caught:
        key_text("TXBRIDGE_API_KEY_FILE", str(tmp_path / "key"))
    assert str(caught.value).startswith("TXBRIDGE_API_KEY_FILE: ")
    assert str(tmp_path / "key") in str(caught.value)


def test_the_key_of_the_hub_on_this_machine_is_found_where_the_hub_put_it(tmp_path):
    (tmp_path / "owner.key").write_text("mine\n")
    assert local_key_text(str(tmp_path)) == "mine\n"
    assert local_key_text(str(tmp_path / "elsewhere")) is None
    assert local_key_text(None) is None
