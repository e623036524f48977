"""The tokens that a relay was given in the place of those it was told to use, kept from one run to the next.

A token of an iobeam project ends some day, and is renewed before that.  Whoever runs a relay has the old one
in a file of their own, which is not the relay's to write; and the service renews an old one only for so
long.  So the new one is kept in the directory of the route, under a name that follows from the old one: who
gives the relay another token gets that one used.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from twisted.logger import Logger

from txbridge.iobeam.codec import token_payload
from txbridge.iobeam.errors import BadArgument
from txbridge.net.private_file import replace_private

__all__ = ["keep_token", "kept_token"]

_log = Logger()


def _file(directory: Path, told: str) -> Path:
    return directory / "tokens" / sha256(told.encode()).hexdigest()[:32]


def kept_token(directory: Path, told: str) -> str:
    """The token to use.

    Args:
        directory: Of the route.
        told: The token that its owner gave.

    Returns:
        The one that came in its place, or itself.
    """
    try:
        kept = _file(directory, told).read_text(encoding="ascii")
        token_payload(kept)
    except (OSError, UnicodeDecodeError, BadArgument):
        return told
    return kept


def keep_token(directory: Path, told: str, new: str) -> None:
    """Keep the one that came in the place of what its owner gave; a disk that is full is only told."""
    try:
        replace_private(_file(directory, told), new)
    except OSError as error:
        _log.warn("a new token cannot be kept: {reason}", reason=error.strerror)
