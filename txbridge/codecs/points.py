"""Many points at once: the loops that decide how fast history travels.

Nearly all of the time goes into timestamps and into making objects, so both are done a list at
a time in msgspec, which reads and writes datetimes natively, and for which `Datapoint` is a Struct:
it fills and reads those directly, past their converters.  Two things it does differently from the
model must be seen beforehand:

* it keeps an offset, or the lack of one, where the model holds UTC;
* it rounds the seventh digit of a fraction, where the model cuts it off.

So only texts that end in ``Z`` and have at most six fraction digits go there; `are_plain` and
`members_are_plain` say whether all of a list or all of a document are such.  Everything else
is read one by one, and tests hold both ways to the same results.

On the way out msgspec leaves out a fraction of zero, which old clients cannot read; the lengths
of the texts tell whether that happened.

Designs not chosen: converting each point with Python code (a fifth of the speed), numpy columns
(no faster for text that has to become objects), points as attrs objects like the other structures
(msgspec takes three times as long to write them, and half as long again to read them).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from txbridge.errors import DecodeError
from txbridge.model.instants import format_instant, parse_instant
from txbridge.model.structures import Datapoint, as_text

__all__ = [
    "are_plain",
    "instant_text",
    "instant_texts",
    "members_are_plain",
    "number_texts",
    "points_from_text",
    "whole_seconds_text",
]

_FULL = len("2013-06-03T09:15:42.250000Z")
_WHOLE = len("2013-06-03T09:15:42Z")
_WRITE = msgspec.json.Encoder().encode


def instant_text(at: datetime, zone: tzinfo | None) -> str:
    """One instant with six fraction digits; UTC is ``Z``, whether asked for by name or not.

    The first and last hours of the calendar, which some zones have no date for, are shown in UTC.
    """
    try:
        return format_instant(at, None if zone is UTC else zone)
    except OverflowError:
        return format_instant(at)


def whole_seconds_text(at: datetime, zone: tzinfo | None) -> str:
    """One instant without a fraction, as the formats of version 1 have it."""
    text = instant_text(at, zone)
    return text[: _WHOLE - 1] + text[_FULL - 1 :]


def _are_full(written: bytes, count: int) -> bool:
    """Whether each of so many instants that msgspec wrote as an array has six fraction digits."""
    return len(written) == count * (_FULL + 3) + 1  # quotes and a comma; nothing it writes is longer


def _are_whole(written: bytes, count: int) -> bool:
    """Whether each of so many instants that msgspec wrote as an array has no fraction."""
    return len(written) == count * (_WHOLE + 3) + 1 and b"null" not in written


def instant_texts(ats: Sequence[datetime | None], zone: tzinfo | None) -> list[str | None]:
    """Many instants as `instant_text` writes them; None stays None."""
    if zone is not None and zone is not UTC:
        return [None if at is None else instant_text(at, zone) for at in ats]
    written = _WRITE(ats)
    if _are_whole(written, len(ats)):
        written = written.replace(b"Z", b".000000Z")
    elif b"null" in written or len(ats) == 0:
        return [None if at is None else instant_text(at, None) for at in ats]
    texts: list[str | None] = list(written[2:-2].decode("ascii").split('","'))
    if _are_full(written, len(ats)):
        return texts
    return [text if text is None or len(text) == _FULL else text[:-1] + ".000000Z" for text in texts]


class _Row(msgspec.Struct, gc=False, omit_defaults=True):
    """A point whose timestamp is text: on its way in, or on its way out in another form than msgspec's."""

    at: str | None = None
    value: str | None = None


def points_to_json(points: Sequence[Datapoint], zone: tzinfo | None) -> bytes:
    """Datapoints as a JSON array.

    Raises:
        UnicodeEncodeError: A value holds half of a surrogate pair.
    """
    ats = [point.at for point in points]
    if zone is None or zone is UTC:
        stamps = _WRITE(ats)
        if _are_full(stamps, len(ats)):
            return _WRITE(points)
        if _are_whole(stamps, len(ats)):
            written = _WRITE(points)
            if written.count(b"Z") == len(ats):  # none in a value
                return written.replace(b"Z", b".000000Z")
    return _WRITE(list(map(_Row, instant_texts(ats, zone), [point.value for point in points])))


def are_plain(texts: Sequence[str | None]) -> bool:
    """Whether these are all timestamps that msgspec, if it reads them, reads as the model does."""
    try:
        joined = "".join(texts)  # type: ignore[arg-type]  # None is found faster by failing than by looking
    except TypeError:
        return False
    return joined.count("Z") == len(texts) and max(map(len, texts), default=0) <= _FULL  # type: ignore[arg-type]  # the same


_PLAIN_MEMBER = re.compile(rb'"at": ?"[^"]{10}T[0-9:]{8}(?:\.[0-9]{1,6})?Z"')
_SMALL = 4096  # bytes; below, one regular expression is faster than setting up arrays


def _masked(pattern: bytes) -> tuple[np.uint64, np.uint64]:
    """A mask and what it must leave of eight bytes, where ``0`` in the pattern is any digit."""
    mask = bytes(0xF0 if byte == ord("0") else 0xFF for byte in pattern)
    return np.uint64(int.from_bytes(mask, "little")), np.uint64(int.from_bytes(pattern, "little"))


# Eight bytes that settle a timestamp's form, and how far behind its opening quote they are.
# No quote matches a digit's mask, so the text cannot have ended before them.
_FORMS = [(20, *_masked(b".000000Z")), (14, *_masked(b":00:00Z\x22")), (17, *_masked(b":00.000Z"))]
_KEY = int.from_bytes(b'"at"', "little")


def members_are_plain(data: bytes) -> bool:
    """Whether every member ``"at"`` of a JSON document is a timestamp as in `are_plain`.

    Looks at the bytes, because once the timestamps are datetimes it is too late.  The document
    must hold no ``\\u`` escape, which could hide a member's name.  False is always safe.
    """
    if len(data) < _SMALL:
        return len(_PLAIN_MEMBER.findall(data)) == data.count(b'"at"')
    padded = data + bytes(64)
    found = []
    for shift in range(4):
        words = np.frombuffer(padded, np.dtype("<u4"), (len(data) - shift) // 4, shift)
        found.append(np.flatnonzero(words == _KEY) * 4 + shift)
    keys = np.concatenate(found)
    octets = np.frombuffer(padded, np.uint8)
    eights = np.ndarray((len(padded) - 7,), np.dtype("<u8"), padded, strides=(1,))
    for gap, before in ((5, ord(":")), (6, ord(" "))):  # "at":"…" and "at": "…"
        for offset, mask, pattern in _FORMS:
            opened = (octets[keys + gap] == ord('"')) & (octets[keys + gap - 1] == before)
            keys = keys[~(opened & ((eights[keys + gap + offset] & mask) == pattern))]
            if not keys.size:
                return True
    return False


_LEAST_PLAIN, _GREATEST_PLAIN = 1e-4, 1e16  # between them Python writes floats without exponents


def number_texts(numbers: NDArray[Any]) -> list[str]:
    """Many numbers as `as_text` writes each.

    Raises:
        ValueError: One is NaN or infinite.
    """
    sizes = np.abs(numbers)
    plain = (sizes == 0) | ((sizes >= _LEAST_PLAIN) & (sizes < _GREATEST_PLAIN))
    if len(numbers) and plain.all():
        # Without exponents msgspec and Python write the same digits.
        return _WRITE(numbers.tolist())[1:-1].decode("ascii").split(",")
    return [as_text(number) or "" for number in numbers.tolist()]


def points_from_text(
    format: str, path: str, ats: Sequence[str | None], values: Sequence[str | None]
) -> list[Datapoint]:
    """Datapoints from their texts; None is absent, and so is a blank timestamp.

    Args:
        format: The wire format, for errors.
        path: Where the points are in the document, for errors.
        ats: Timestamps.
        values: As many values.

    Raises:
        DecodeError: A timestamp is not ISO 8601.
    """
    if are_plain(ats):
        try:
            return msgspec.convert(list(map(_Row, ats, values)), list[Datapoint], from_attributes=True)
        except msgspec.ValidationError:
            pass  # one of them is not a timestamp to msgspec; find out which, and whether it is to us
    points = []
    for index, (at, value) in enumerate(zip(ats, values, strict=True)):
        try:
            instant = parse_instant(at) if at and not at.isspace() else None
        except ValueError as error:
            raise DecodeError(format, f"{path}[{index}].at", str(error), invalid=True) from None
        points.append(Datapoint(at=instant, value=value))
    return points
