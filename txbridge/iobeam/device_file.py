"""The file in which iobeam's own client keeps a device's id, read and written as it does.

It is ``iobeam_device_id`` in a directory that the application chooses, and holds the id and nothing else.
White space around it is taken off, because an editor, or another iobeam client, ends it with a new line;
none is written, because iobeam's Python client would take it for a part of the id.

Source: iobeam Python client 0.11.0.
"""

from __future__ import annotations

from pathlib import Path

from txbridge.errors import ConfigError
from txbridge.iobeam.errors import BadArgument
from txbridge.iobeam.structures import check_device_id
from txbridge.net.private_file import replace_private

__all__ = ["DEVICE_FILE", "read_device_file", "write_device_file"]

DEVICE_FILE = "iobeam_device_id"


def read_device_file(directory: Path) -> str | None:
    """The id that is kept in a directory; None when there is none.

    Raises:
        ConfigError: The file cannot be read.
        BadArgument: It holds something else; the path is the file's.
    """
    path = directory / DEVICE_FILE
    try:
        text = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigError([f"cannot read {path}: {reason}"]) from error
    try:
        return check_device_id(text) if text else None
    except BadArgument as error:
        raise BadArgument(str(path), error.reason) from None


def write_device_file(directory: Path, device_id: str) -> None:
    """Keep an id.

    Raises:
        ConfigError: The file cannot be written.
    """
    path = directory / DEVICE_FILE
    try:
        replace_private(path, device_id)
    except OSError as error:
        raise ConfigError([f"cannot write {path}: {error.strerror}"]) from error
