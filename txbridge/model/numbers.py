"""Numbers inside value texts, exactly.

A value is kept as the text a sensor sent.  Where it must be compared or added up, it is read as a
``Decimal``: a binary float would turn ``0.1`` into something else and lose the end of a long
counter.  Whatever is not plainly a decimal number (``"NaN"``, ``"1_000"``, ``"0x10"``) is text.
"""

from __future__ import annotations

import re
from decimal import Context, Decimal

__all__ = ["is_number_text", "number_text", "parse_number"]

MAX_LENGTH = 255  # of a value; Cosm API v2, "API resource attributes"
MAX_MAGNITUDE = 400  # decimal digits before or after the point; a double reaches 308 and 324

_NUMBER = re.compile(r"[+-]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]{1,4})?")
_EXACT = Context(prec=2 * MAX_MAGNITUDE)
_LEAST_PLAIN, _GREATEST_PLAIN = -6, 20  # between them digits are written out, as JavaScript does


def parse_number(text: str) -> Decimal | None:
    """The number a value's text is, or None when it is something else.

    Args:
        text: Such as ``"21.50"``, ``"-3"`` or ``"1e3"``; blanks around it do not matter.
    """
    if len(text) > MAX_LENGTH or _NUMBER.fullmatch(stripped := text.strip()) is None:
        return None
    number = Decimal(stripped)
    if number and abs(number.adjusted()) > MAX_MAGNITUDE:
        return None
    return number


def number_text(number: Decimal) -> str:
    """How a computed number is written: ``"658.0"`` when whole, else without trailing zeros.

    Args:
        number: Finite, and no larger than what `parse_number` gives or sums of it.

    Source: Cosm API v2, "Datastream": extremes of whole numbers carry ``.0``.
    """
    if not number:
        return "0.0"
    plain = number.normalize(_EXACT)
    magnitude = plain.adjusted()
    if _LEAST_PLAIN <= magnitude <= _GREATEST_PLAIN:
        return _with_point(format(plain, "f"))
    return f"{_with_point(format(plain.scaleb(-magnitude, _EXACT), 'f'))}e{magnitude:+d}"


def is_number_text(text: str) -> bool:
    """Whether it can be what `number_text` wrote, which may be longer than what `parse_number` reads."""
    return len(text) <= MAX_LENGTH + len(".0e-400") and _NUMBER.fullmatch(text) is not None


def _with_point(digits: str) -> str:
    return digits if "." in digits else digits + ".0"
