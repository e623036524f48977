"""Names of series as ids of datastreams, and back.

A series may have any name, a datastream's id has letters, digits, ``_``, ``-`` and ``.`` in it.  So each byte
of a name that is something else becomes ``.xx`` with its two hexadecimal digits, and so does a dot that could
be taken for the start of that: ``cpu.load`` stays as it is, ``flow (l/min)`` is ``flow.20.28l.2fmin.29``, and
``v.2e`` is ``v.2e2e``.
"""

from __future__ import annotations

import re

__all__ = ["LONGEST_ID", "datastream_id", "is_reserved", "series_name"]

LONGEST_ID = 255
"""Characters of a datastream's id.  Source: Cosm API v2, "API resource attributes"."""

_ESCAPED = re.compile(rb"[^A-Za-z0-9_.-]+|\.(?=[0-9a-f]{2})")
_ESCAPE = re.compile(rb"\.([0-9a-f]{2})")


def is_reserved(name: str) -> bool:
    """Whether no series may have this name.  Source: iobeam Python client, ``checkValidSeriesName``."""
    return name.lower() in ("time", "time_offset", "all")


def datastream_id(name: str) -> str:
    """The id of the datastream in which a series is kept.

    Raises:
        UnicodeEncodeError: The name has half of a surrogate pair in it.
    """
    return _ESCAPED.sub(lambda found: b"." + found[0].hex(".").encode(), name.encode()).decode("ascii")


def series_name(id: str) -> str:
    """The name of the series that is kept in a datastream.

    A datastream that was not made for a series has its id for a name.
    """
    try:
        name = _ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()), id.encode()).decode()
    except UnicodeError:
        return id
    return name if datastream_id(name) == id else id
