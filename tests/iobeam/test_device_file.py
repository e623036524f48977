"""The file with a device's id is the one of iobeam's own client."""

from __future__ import annotations

import pytest

from txbridge.errors import ConfigError
from txbridge.iobeam.device_file import read_device_file, write_device_file


def test_the_file_holds_the_id_and_nothing_else(tmp_path):
    write_device_file(tmp_path, "pump-3")
    write_device_file(tmp_path, "p:4")
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("iobeam_device_id", b"p:4")]


@pytest.mark.parametrize("text", ["pump-3", "pump-3\n", " pump-3\r\n"])
def test_white_space_around_an_id_is_no_part_of_it(tmp_path, text):
    (tmp_path / "iobeam_device_id").write_text(text)
    assert read_device_file(tmp_path) == "pump-3"


def test_no_file_and_an_empty_one_are_no_id(tmp_path):
    assert read_device_file(tmp_path / "missing") is None
    (tmp_path / "iobeam_device_id").write_text("\n")
    assert read_device_file(tmp_path) is None


def test_a_file_with_something_else_is_told(tmp_path):
    (tmp_path / "iobeam_device_id").write_text("two ids")
    with pytest.raises(ValueError, match=r"iobeam_device_id: must be letters, .*, not 'two ids'"):
        read_device_file(tmp_path)
    (tmp_path / "iobeam_device_id").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=r"cannot read .*iobeam_device_id: it is no text"):
        read_device_file(tmp_path)


def test_a_file_that_cannot_be_read_or_written_is_told_with_its_path(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot write .*file/iobeam_device_id"):
        write_device_file(tmp_path / "file", "pump-3")
    with pytest.raises(ConfigError, match=r"cannot read .*file/iobeam_device_id: Not a directory"):
        read_device_file(tmp_path / "file")
