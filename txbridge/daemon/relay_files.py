"""What a relay reads besides its data: its configuration, and the secrets that are named there.

A secret is in a variable of the environment, in a file, or in a credential of systemd, which is a file
in the directory that ``CREDENTIALS_DIRECTORY`` names.  Nothing here puts one into an error.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from txbridge.daemon.keys import key_text
from txbridge.daemon.relay_config import RelayConfig, read_relay_config
from txbridge.daemon.tables import Secret
from txbridge.errors import ConfigError

__all__ = ["load_relay_config", "present_secrets", "read_secrets", "secret_warnings"]

LONGEST = 1 << 20  # bytes of a configuration; more is some other file


def load_relay_config(path: str, environ: Mapping[str, str]) -> RelayConfig:
    """Read a file.

    Raises:
        ConfigError: It cannot be read, or every problem with what is in it.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(LONGEST + 1)
    except OSError as error:
        raise ConfigError([f"cannot read {path}: {error.strerror}"]) from error
    if len(data) > LONGEST:
        raise ConfigError([f"{path}: it is too long for a configuration"])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError([f"{path}: there is no text in it"]) from None
    return read_relay_config(text, file=path, environ=environ)


def read_secrets(secrets: Iterable[Secret], environ: Mapping[str, str]) -> dict[Secret, str]:
    """Read secrets from where they are.

    Raises:
        ConfigError: Every one that is not there or is no key; none of them is shown.
    """
    problems: list[str] = []
    found: dict[Secret, str] = {}
    for secret in secrets:
        try:
            found[secret] = _read(secret, environ)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return found


def present_secrets(secrets: Iterable[Secret], environ: Mapping[str, str]) -> dict[Secret, str]:
    """Read those secrets that are there."""
    found: dict[Secret, str] = {}
    for secret in secrets:
        with suppress(ConfigError):
            found[secret] = _read(secret, environ)
    return found


def secret_warnings(secrets: Iterable[Secret]) -> list[str]:
    """Which files of secrets others than their owner and its group can read."""
    warnings: list[str] = []
    for secret in secrets:
        if secret.kind != "file":
            continue
        try:
            mode = os.stat(secret.name).st_mode
        except OSError:
            continue  # that it cannot be read is told where it is read
        if mode & stat.S_IROTH:
            warnings.append(
                f"everybody on this machine can read {secret.name}; 'chmod 600' keeps it to its owner"
            )
    return warnings


def _read(secret: Secret, environ: Mapping[str, str]) -> str:
    if secret.kind == "env":
        source, text = secret.name, environ.get(secret.name)
        if text is None:
            raise ConfigError([f"the environment has no {secret.name}"])
    else:
        path = secret.name
        source = f"credential {secret.name}" if secret.kind == "credential" else path
        if secret.kind == "credential":
            directory = environ.get("CREDENTIALS_DIRECTORY")
            if not directory:
                raise ConfigError(
                    [f"{source}: systemd gave no credentials; CREDENTIALS_DIRECTORY is not set"]
                )
            path = str(Path(directory, secret.name))
        text = key_text(source, path) or ""
    key = text.strip()
    if not key:
        raise ConfigError([f"{source}: there is no key in it"])
    if not key.isprintable():
        raise ConfigError([f"{source}: a key is one line of printable text"])
    return key
