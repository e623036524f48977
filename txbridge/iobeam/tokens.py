"""The texts of project tokens: JSON Web Tokens, as far as clients look at them.

The hub knows its tokens by their digests, so the signature is nothing but random bytes, and what is in
the payload is for the clients: they read when it expires, and which project it opens.  The header has no
``kid``, because newer readers refuse the number that the service had there.

Source: iobeam's Python, Java and Node clients.
"""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import timedelta
from hashlib import sha256
from typing import Any

__all__ = [
    "DEFAULT_DURATION",
    "LONGEST_TOKEN",
    "SIGNATURE_BYTES",
    "is_token_text",
    "mint",
    "parse_duration",
    "project_of",
    "user_number",
]

SIGNATURE_BYTES = 32
"""Of HMAC SHA-256, which the header promises."""

LONGEST_TOKEN = 4096
"""Characters; what fits into a header."""

DEFAULT_DURATION = timedelta(days=90)
"""How long a token lasts when nobody says."""

_LONGEST_DURATION = timedelta(days=36525)
_DURATION = re.compile(r"([0-9]{1,12})([wdhms])")
_SECONDS = {"w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}
_TEXT = re.compile(rf"[A-Za-z0-9_+/=.-]{{32,{LONGEST_TOKEN}}}")
_HEADER = {"alg": "HS256", "typ": "JWT"}


def mint(
    project_id: int, user: int, expires: int, *, read: bool, write: bool, admin: bool, signature: bytes
) -> str:
    """The text of a new token.

    Args:
        project_id: The project it opens.
        user: The number of its owner.
        expires: In seconds since 1970.
        read: Whether it may query.
        write: Whether it may register and send.
        admin: Whether it may delete.
        signature: Fresh random bytes.
    """
    permissions = 1 * read + 2 * write + 4 * admin
    payload = {"uid": user, "pid": project_id, "exp": expires, "pms": permissions}
    return ".".join(map(_text, (_json(_HEADER), _json(payload), signature)))


def project_of(text: str) -> int | None:
    """The project that a token says it opens; None when it does not say so."""
    _, _, rest = text.partition(".")
    payload, _, _ = rest.partition(".")
    plain = payload.translate({ord("+"): "-", ord("/"): "_", ord("="): None})
    try:
        claims = json.loads(urlsafe_b64decode(plain + "=" * (-len(plain) % 4)))
    except (ValueError, RecursionError):
        return None
    project = claims.get("pid") if isinstance(claims, dict) else None
    return project if type(project) is int else None


def is_token_text(text: str) -> bool:
    """Whether a text can be a token, and is long enough not to be guessed."""
    return _TEXT.fullmatch(text) is not None


def parse_duration(text: str) -> timedelta:
    """How long a token is to last: a number and one of ``w``, ``d``, ``h``, ``m`` and ``s``.

    Raises:
        ValueError: It is something else, nothing, or more than a hundred years.
    """
    found = _DURATION.fullmatch(text)
    seconds = 0 if found is None else int(found[1]) * _SECONDS[found[2]]
    if not 0 < seconds <= _LONGEST_DURATION.total_seconds():
        raise ValueError("must be a number and one of w, d, h, m and s, and at most a hundred years")
    return timedelta(seconds=seconds)


def user_number(login: str) -> int:
    """A number for an account, always the same: clients want one, and nothing is looked up by it."""
    return int.from_bytes(sha256(login.encode("utf-8", "surrogatepass")).digest()[:4]) % (2**31 - 1) + 1


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
