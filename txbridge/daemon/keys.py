"""Keys are read from files, never from arguments: everybody can see the arguments of a process."""

from __future__ import annotations

import os

from txbridge.daemon.config import KEY_FILE
from txbridge.errors import ConfigError

__all__ = ["key_text", "local_key_text"]

LONGEST = 4096  # characters


def key_text(source: str, path: str | None) -> str | None:
    """The text of a key's file; None for no file.

    Args:
        source: What names the file, for errors.
        path: The file.

    Raises:
        ConfigError: It cannot be read, or is no text.
    """
    if path is None:
        return None
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(LONGEST + 1)
    except OSError as error:
        raise ConfigError([f"{source}: cannot read {path}: {error.strerror}"]) from error
    except UnicodeDecodeError:
        raise ConfigError([f"{source}: there is no text in {path}"]) from None
    if len(text) > LONGEST:
        raise ConfigError([f"{source}: {path} is too long for a key"])
    return text


def local_key_text(data: str | None) -> str | None:
    """The text of the key of a hub that this user runs with this data directory, if there is one."""
    try:
        return None if data is None else key_text(KEY_FILE, os.path.join(data, KEY_FILE))
    except ConfigError:
        return None
