"""Which texts a hub keeps: what every format that it speaks can give back, and how long."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["MAX_TEXT", "are_values", "is_datastream_id", "is_login", "is_text"]

MAX_TEXT = 255
"""The most characters of a value, of an id, and of a datastream's tags joined.  Source: xively-rb."""

_ID = re.compile(r"[\w\-+.]+")
_LOGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")
_NO_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def is_text(text: str) -> bool:
    """Whether every format can give a text back: XML has no control characters and no lone surrogates."""
    return text.isprintable() or _NO_TEXT.search(text) is None  # the first is quicker by far


def are_values(texts: Sequence[str]) -> bool:
    """Whether all of these can be values; iobeam's may be blank."""
    return max(map(len, texts), default=0) <= MAX_TEXT and is_text("".join(texts))


def is_datastream_id(text: str) -> bool:
    """Whether a datastream can have this id."""
    return len(text) <= MAX_TEXT and _ID.fullmatch(text) is not None


def is_login(text: str) -> bool:
    """Whether an account can have this login."""
    return _LOGIN.fullmatch(text) is not None
