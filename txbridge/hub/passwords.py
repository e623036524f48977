"""Passwords of accounts: kept as hashes that cost memory to guess.

The function is scrypt with 16 MiB and some tens of milliseconds for each try, so it runs in a thread,
one at a time, and only so many wait: whoever floods us with passwords must not take the machine.

Source: RFC 7914; the text form follows the PHC string format.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from txbridge.hub.turns import Turns
from txbridge.net.deferred import deferred

__all__ = ["LONGEST_PASSWORD", "Passwords", "hash_password", "is_password"]

LONGEST_PASSWORD = 1024  # characters
MAX_REMEMBERED = 1000

_LN, _R, _P = 14, 8, 1
_SALT_BYTES, _HASH_BYTES = 16, 32
_PREFIX = f"$scrypt$ln={_LN},r={_R},p={_P}$"


def hash_password(password: str, salt: bytes) -> str:
    """What is stored of a password.

    Args:
        password: The text.
        salt: Fresh random bytes.
    """
    return f"{_PREFIX}{_text(salt)}${_text(_scrypt(password, salt))}"


def is_password(password: str, hashed: str) -> bool:
    """Whether this is the password; in constant time."""
    salt, _, known = hashed.removeprefix(_PREFIX).partition("$")
    try:
        return hashed.startswith(_PREFIX) and hmac.compare_digest(
            _scrypt(password, base64.b64decode(salt)), base64.b64decode(known)
        )
    except binascii.Error:
        return False


def _scrypt(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(
        password.encode("utf-8", "surrogatepass"), salt=salt, n=2**_LN, r=_R, p=_P, dklen=_HASH_BYTES
    )


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


class Passwords:
    """Hashes and checks passwords in a thread, and remembers for a while those that were right.

    Args:
        run: Runs a function in a thread.
    """

    def __init__(self, run: Callable[[Callable[[], Any]], Deferred[Any]]) -> None:
        self._turns = Turns(run, "passwords wait to be checked")
        self._secret = secrets.token_bytes(32)
        self._nobody = hash_password("", os.urandom(_SALT_BYTES))
        self._right: dict[str, bytes] = {}

    def hash(self, password: str) -> Deferred[str]:
        """What to store of a password.

        Raises:
            StoreError: Too many wait.
        """
        salt = os.urandom(_SALT_BYTES)
        return self._turns.take(lambda: hash_password(password, salt))

    @deferred
    async def check(self, password: str, hashed: str | None) -> bool:
        """Whether this is the password.

        Args:
            password: The text.
            hashed: What is stored; None for an account that does not exist or has no password, which
                takes as long.

        Raises:
            StoreError: Too many wait.
        """
        if len(password) > LONGEST_PASSWORD:
            return False
        mark = hmac.digest(self._secret, password.encode("utf-8", "surrogatepass"), "sha256")
        if hashed is not None and hmac.compare_digest(self._right.get(hashed, b""), mark):
            return True
        asked = self._nobody if hashed is None else hashed
        is_right: bool = await self._turns.take(lambda: is_password(password, asked))
        if hashed is None or not is_right:
            return False
        if len(self._right) >= MAX_REMEMBERED:
            self._right.clear()
        self._right[hashed] = mark
        return True
