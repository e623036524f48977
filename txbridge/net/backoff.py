"""When to try again: full-jitter back-off, and the peer's own ``Retry-After``.

Full jitter draws each delay from the whole range 0 to d, and d doubles from failure to failure.  A
fleet that lost its cloud at one instant therefore comes back spread out; jitter that is only added
to a fixed delay keeps it in step.  The range starts over only after the link was stable for a
while, so a link that opens and closes at once does not count as repaired.

Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015; RFC 9110, 10.2.3.
"""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime

from attrs import define, field

__all__ = ["MAX_RETRY_AFTER", "Backoff", "http_date", "retry_after"]

MAX_RETRY_AFTER = 3600.0  # quotas are per hour; a typo in a header must not silence a sender for a day
MAX_DOUBLINGS = 64  # beyond it every initial delay above a nanosecond has passed any sane maximum


@define
class Backoff:
    """How long to wait before the next attempt; one of these per destination.

    The clock and the random number are arguments: nothing here is impure.

    Attributes:
        initial: Upper bound of the first delay, in seconds.
        maximum: Upper bound of every delay, in seconds.
        reset_after: Seconds the link must have worked before the bound starts over.
    """

    initial: float = 0.5
    maximum: float = 60.0
    reset_after: float = 30.0
    _failures: int = field(default=0, init=False)
    _works_since: float | None = field(default=None, init=False)

    def works(self, now: float) -> None:
        """Called when the link came up or did its job; the first call after a failure counts.

        Args:
            now: The clock's seconds.
        """
        if self._works_since is None:
            self._works_since = now

    def next_delay(self, random: float, now: float, *, at_least: float | None = None) -> float:
        """Called when an attempt failed or the link was lost: seconds to wait before the next one.

        Args:
            random: A fresh random number, 0 <= random < 1.
            now: The clock's seconds, from the same clock as in `works`.
            at_least: What the peer asked for, see `retry_after`; the delay is never shorter.
        """
        if self._works_since is not None and now - self._works_since >= self.reset_after:
            self._failures = 0
        self._works_since = None
        bound = min(self.maximum, self.initial * 2.0 ** min(self._failures, MAX_DOUBLINGS))
        self._failures += 1
        delay = random * bound
        return delay if at_least is None else max(delay, at_least)


def http_date(value: str | None) -> float | None:
    """Read an HTTP date as seconds since the epoch; None if it is none.

    Of the forms of RFC 9110, 5.6.7, C's ``asctime()`` names no zone; it means UTC as the others do.
    """
    if value is None:
        return None
    try:
        at = parsedate_to_datetime(value)
        return (at.replace(tzinfo=UTC) if at.tzinfo is None else at).timestamp()
    except (ValueError, OverflowError):
        return None


def retry_after(value: str | None, now: float) -> float | None:
    """Read a ``Retry-After`` header.

    Args:
        value: The header: a number of seconds, or an HTTP date; None when it is absent.
        now: Seconds since the epoch, by the peer's own ``Date`` header if it sent one.

    Returns:
        Seconds to wait, 0 to `MAX_RETRY_AFTER`; None when the header is absent or unreadable.
    """
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        # Never int() a number of any length: a peer chose how long it is.
        return MAX_RETRY_AFTER if len(text.lstrip("0")) > 9 else min(float(text), MAX_RETRY_AFTER)
    instant = http_date(text)
    if instant is None:
        return None
    return min(max(0.0, instant - now), MAX_RETRY_AFTER)
