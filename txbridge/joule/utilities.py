"""Times as people write them, and the other small things of ``joule.utilities``.

Source: Joule 1.0.1, ``utilities``.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from importlib import import_module

from txbridge.errors import ConfigError
from txbridge.joule.structures import ConnectionInfo
from txbridge.model.instants import shorten, to_microseconds

__all__ = ["ConnectionInfo", "human_to_timestamp", "time_now", "timestamp_to_human", "yesno"]

MIN_TIMESTAMP = -(1 << 63)
MAX_TIMESTAMP = (1 << 63) - 1

_AGO = re.compile(r"([0-9]{1,5}(?:\.[0-9]+)?|an?|one) (second|minute|hour|day|week)s? ago")


def time_now() -> int:
    """The time now, in microseconds since 1970."""
    return time.time_ns() // 1000


def timestamp_to_human(timestamp: int) -> str:
    """Show a timestamp in this machine's time zone, as ``Tue, 05 Mar 2019 08:16:27``.

    Args:
        timestamp: Microseconds since 1970.  The least and the largest of 64 bits are
            ``(minimum)`` and ``(maximum)``.

    Raises:
        ValueError: It is not in the years 1 to 9999.
    """
    if timestamp == MIN_TIMESTAMP:
        return "(minimum)"
    if timestamp == MAX_TIMESTAMP:
        return "(maximum)"
    try:
        at = datetime.fromtimestamp(timestamp / 1e6)
    except (OverflowError, OSError, ValueError) as error:
        raise ValueError(f"{timestamp} is not in the years 1 to 9999") from error
    # The blank at the end is where the zone of a time without one is.
    return at.strftime("%a, %d %b %Y %H:%M:%S %z")


def human_to_timestamp(time: str) -> int:
    """Read a time that a person wrote.

    Args:
        time: ``"now"``, ``"1 minute ago"``, ``"2019-03-05 08:16:27"``, ``"5 Mar 2019 8:16pm"`` and many
            other English forms, in this machine's time zone unless they name one; or a whole number,
            which is microseconds since 1970 already.

    Returns:
        Microseconds since 1970.

    Raises:
        ValueError: It is none of these.
        ConfigError: It is no number, no ISO 8601, and no span that ends now, such as ``1 hour ago``, and
            the package dateparser is not installed.
    """
    try:
        return int(time)
    except ValueError:
        pass
    try:
        at = datetime.fromisoformat(time.strip())
    except ValueError:
        at = _ago(time) or _parse(time)
    try:
        return to_microseconds(at.astimezone(UTC))
    except (OverflowError, ValueError):
        raise ValueError(f"{shorten(time)!r} is not in the years 1 to 9999") from None


def _ago(time: str) -> datetime | None:
    words = " ".join(time.lower().split())
    if words == "now":
        return datetime.now(UTC)
    match = _AGO.fullmatch(words)
    if match is None:
        return None
    count = float(match[1]) if match[1][0].isdigit() else 1.0
    # Days are those of the calendar here, whose clocks may have changed meanwhile.
    now = datetime.now() if match[2] in ("day", "week") else datetime.now(UTC)
    return now - timedelta(**{f"{match[2]}s": count})


def _parse(time: str) -> datetime:
    try:
        parse = import_module("dateparser").parse
    except ImportError as error:
        raise ConfigError(
            ["other words than '1 hour ago' need the package dateparser: pip install 'txbridge[joule]'"]
        ) from error
    # Of all languages, what is no time takes a quarter of a minute, in which the reactor stands still.
    at: datetime | None = parse(time, languages=["en"])
    if at is None:
        raise ValueError(f"{shorten(time)!r} is no time")
    return at


def yesno(val: str) -> bool:
    """Read ``yes`` or ``no``, in any case, with blanks around.

    Raises:
        ValueError: It is neither.
    """
    if val is not None:
        word = val.strip().lower()
        if word in ("yes", "no"):
            return word == "yes"
    raise ValueError("must be 'yes' or 'no'")
