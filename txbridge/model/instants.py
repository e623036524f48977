"""Instants: aware UTC datetimes, and the numbers other platforms use for them.

The shared structures hold ``datetime`` values that are aware and in UTC, to the microsecond.
ISO 8601 text is accepted where a person or a wire format writes one.  A bare number is
refused, because its unit is a guess, and so is a naive datetime, because its zone is one.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

__all__ = [
    "as_instant",
    "format_instant",
    "from_microseconds",
    "from_nanoseconds",
    "parse_instant",
    "to_microseconds",
    "to_nanoseconds",
]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def parse_instant(text: str) -> datetime:
    """Read an ISO 8601 date and time.

    Args:
        text: ``YYYY-MM-DD``, then optionally ``T`` or a blank and ``hh:mm[:ss[.f…]]``, then
            ``Z``, ``±hh``, ``±hhmm``, ``±hh:mm`` or nothing.  Without a zone it is UTC: the
            devices that leave it out mean that.  Fractions are cut off at microseconds.

    Raises:
        ValueError: The text is something else.

    Source: Cosm API v2, "Historical data"; weewx-xively, python-eeml and the R client send
    each of the forms above.
    """
    stripped = text.strip()
    if len(stripped) < 10 or stripped[4] != "-" or stripped[7] != "-" or stripped[10:11] not in "Tt ":
        raise ValueError(f"{shorten(text)!r} is not an ISO 8601 date and time")
    try:
        at = datetime.fromisoformat(stripped)
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"{shorten(text)!r} is not an ISO 8601 date and time")


def shorten(text: str, length: int = 60) -> str:
    """Cut text that comes from a peer to what an error message can carry."""
    return text if len(text) <= length else text[: length - 1] + "…"


def format_instant(at: datetime, zone: tzinfo | None = None) -> str:
    """Write an instant with exactly six fraction digits.

    Args:
        at: An aware datetime.
        zone: The offset to show it in; None is UTC, written ``Z``.

    Returns:
        ``2013-06-03T09:15:42.250000Z``, or with a zone ``2013-06-03T10:15:42.250000+01:00``.

    Source: xively-python reads timestamps with a fixed pattern that needs the fraction.
    """
    if zone is None:
        return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
    return at.astimezone(zone).isoformat(timespec="microseconds")


def as_instant(value: datetime | str | None) -> datetime | None:
    """Convert what an attribute is given to an aware UTC datetime.

    Raises:
        ValueError: A naive datetime, text that is not ISO 8601, or an instant without a year in UTC.
        TypeError: Anything else, a bare number above all.
    """
    if value is None:
        return None
    if isinstance(value, str):
        return parse_instant(value)
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise ValueError(f"{value!r} has no time zone: use an aware datetime")
        try:
            at = value.astimezone(UTC)
        except OverflowError:
            raise ValueError(f"{value!r} is outside the years 1 to 9999 in UTC") from None
        # Exactly a datetime: pandas' and others' subclasses are not what codecs know.
        return at if type(at) is datetime else datetime.combine(at.date(), at.timetz())
    raise TypeError(f"{value!r} is not an instant: give an aware datetime or ISO 8601 text")


def to_microseconds(at: datetime) -> int:
    """Microseconds since 1970 of an aware datetime, exactly."""
    return (at - EPOCH) // _MICROSECOND


def from_microseconds(count: int) -> datetime:
    """The instant that many microseconds after 1970.

    Raises:
        OverflowError: Outside the years 1 to 9999.
    """
    return EPOCH + timedelta(microseconds=count)


def to_nanoseconds(at: datetime) -> int:
    """Nanoseconds since 1970 of an aware datetime, exactly."""
    return to_microseconds(at) * 1000


def from_nanoseconds(count: int) -> datetime:
    """The instant that many nanoseconds after 1970, cut off at microseconds.

    Raises:
        OverflowError: Outside the years 1 to 9999.
    """
    return from_microseconds(count // 1000)
