"""The state directory of a relay, which one process uses at a time."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from txbridge.errors import ConfigError

__all__ = ["LEDGER_FILE", "StateDirectory", "control_socket"]

LOCK_FILE = "lock"
LEDGER_FILE = "ledger.sqlite"
CONTROL_SOCKET = "control"


def control_socket(directory: int) -> str:
    """Where ``txbridge relay status`` asks, given an open state directory.

    The name of a socket has room for about a hundred bytes, and a path may be longer; this one never is.
    """
    return f"/proc/self/fd/{directory}/{CONTROL_SOCKET}"


class StateDirectory:
    """A state directory that is ours until `release`.

    The kernel lets go of the lock when the process ends, however it ends.

    Args:
        path: The directory; it is made if need be, for its owner alone.

    Raises:
        ConfigError: It cannot be used, or another process uses it.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(self.path / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError([f"cannot keep state in {path}: {error.strerror}"]) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            with suppress(OSError):  # on a full disk nobody learns who has it, and that is all
                os.ftruncate(self._lock, 0)
                os.write(self._lock, b"%d\n" % os.getpid())
            # The lock is ours, so whoever listened there is gone.
            (self.path / CONTROL_SOCKET).unlink(missing_ok=True)
        except OSError as error:
            owner = os.read(self._lock, 20).decode("ascii", "replace").strip()
            os.close(self._lock)
            if isinstance(error, BlockingIOError):
                whose = f"process {owner}" if owner else "another process"
                raise ConfigError([f"{path} is in use by {whose}; a relay has its own state"]) from error
            raise ConfigError([f"cannot keep state in {path}: {error.strerror}"]) from error

    @property
    def control_socket(self) -> str:
        """Where ``txbridge relay status`` asks."""
        return control_socket(self._directory)

    def of_route(self, name: str) -> Path:
        """The directory of a route."""
        return self.path / name

    def release(self) -> None:
        """Let others use it."""
        os.close(self._directory)
        os.close(self._lock)
