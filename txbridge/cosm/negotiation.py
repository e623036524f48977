"""What a request asks for: its address, its parameters, and the formats it speaks.

Old clients disagree about all of it.  Many send JSON under a form content type, some choose
every format with ``Accept`` alone, some with the extension alone, jQuery adds parameters
nobody asked for.  So the extension always wins, then ``Accept`` decides the output, and the
body itself has a say in what the input is.

Source: Cosm API v2, "Data formats"; what was observed of each client stands beside the rule.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from urllib.parse import parse_qsl, unquote

from txbridge.cosm.refusal import bad_request, invalid
from txbridge.model.instants import parse_instant, shorten

__all__ = [
    "CONTENT_TYPES",
    "EXTENSIONS",
    "Parameters",
    "accepted_format",
    "body_format",
    "instant_of",
    "jsonp_name",
    "resource_kind",
    "split_path",
    "unknown_extension",
]

CONTENT_TYPES: Mapping[str, str] = {
    "json": "application/json; charset=utf-8",
    "xml": "application/xml; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
    "js": "application/javascript; charset=utf-8",
    "png": "image/png",
}
"""Format -> the content type of its answers; ``js`` is JSON with a callback around it."""

EXTENSIONS = frozenset({"json", "xml", "csv", "png"})

MAX_PARAMETERS = 100
"""The most query parameters; the largest documented request has 12."""

_FORMATS_OF_TYPES = {
    "application/json": "json",
    "text/json": "json",
    "application/javascript": "json",  # a browser that asks for a JSONP script
    "text/javascript": "json",
    "application/xml": "xml",
    "text/xml": "xml",
    "text/csv": "csv",
    "application/csv": "csv",  # node-pachube
    "image/png": "png",
    "*/*": "any",
    "application/*": "any",
    "text/*": "any",
}
_SPACE_FOR_PLUS = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d.*\d) (\d\d(?::?\d\d)?)")
_CALLBACK = re.compile(r"(?:^|&)callback=([^&]*)")
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")


class Parameters:
    """The query parameters of a request.

    A blank value counts as absent: forms send every field they have.  Of several with one
    name the last counts.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values

    @classmethod
    def parse(cls, query: str) -> Parameters:
        """Read a query string; empty pieces are ignored.

        Raises:
            Refusal: 400, there are more parameters than any request has.
        """
        if not query:
            return cls({})
        try:
            pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_PARAMETERS, errors="replace")
        except ValueError:
            raise bad_request(f"There are more than {MAX_PARAMETERS} parameters") from None
        return cls(dict(pairs))

    def __contains__(self, name: str) -> bool:
        return self.text(name) is not None

    def text(self, name: str) -> str | None:
        """A parameter without the blanks around it, or None."""
        return (self._values.get(name) or "").strip() or None

    def flag(self, name: str, *, lenient: bool = False) -> bool:
        """A yes or no: ``true`` and ``1`` in any case are yes, everything else is no.

        Args:
            name: The parameter.
            lenient: Everything but ``false`` and ``0`` is yes.
        """
        text = (self.text(name) or "false").lower()
        return text not in ("false", "0") if lenient else text in ("true", "1")

    def integer(self, name: str) -> int | None:
        """A whole number, or None.

        Raises:
            Refusal: 422, it is something else.
        """
        text = self.text(name)
        if text is None:
            return None
        if _INTEGER.fullmatch(text) is None:
            raise invalid([f"{name.capitalize()} is not a whole number: {shorten(text)!r}"])
        return int(text)

    def number(self, name: str) -> float | None:
        """A decimal number, or None.

        Raises:
            Refusal: 422, it is something else.
        """
        text = self.text(name)
        if text is None:
            return None
        try:
            number = float(text)
        except ValueError:
            number = float("nan")
        if not abs(number) < float("inf"):
            raise invalid([f"{name.capitalize()} is not a number: {shorten(text)!r}"])
        return number

    def instant(self, name: str) -> datetime | None:
        """An instant, or None.

        Raises:
            Refusal: 422, it is not an ISO 8601 date and time.
        """
        text = self.text(name)
        if text is None:
            return None
        try:
            return instant_of(text)
        except ValueError as error:
            raise invalid([f"{name.capitalize()} is malformed: {error}"]) from None

    def choice(self, name: str, choices: tuple[str, ...], default: str) -> str:
        """One of some words.

        Raises:
            Refusal: 422, it is another.
        """
        text = self.text(name)
        if text is None:
            return default
        if text not in choices:
            raise invalid([f"{name.capitalize()} must be one of {', '.join(choices)}"])
        return text


def instant_of(text: str) -> datetime:
    """An instant from an address, where the ``+`` of an offset may have become a blank.

    Raises:
        ValueError: It is not an ISO 8601 date and time.

    Source: the R client sends ``2013-04-01T10:00:00+0000`` unescaped.
    """
    match = _SPACE_FOR_PLUS.fullmatch(text)
    return parse_instant(f"{match[1]}+{match[2]}" if match is not None else text)


def split_path(path: str) -> tuple[tuple[str, ...], str | None]:
    """The decoded segments of a raw path, and its format extension.

    Only ``.json .xml .csv .png`` at the very end is an extension: ids of datastreams and
    timestamps have dots of their own.

    Args:
        path: Still percent-encoded; a slash at its end means nothing.

    Raises:
        ValueError: A segment is not UTF-8, or empty.
    """
    trimmed = path.strip("/")
    stem, dot, suffix = trimmed.rpartition(".")
    extension = suffix.lower() if dot and suffix.lower() in EXTENSIONS else None
    pieces = (trimmed if extension is None else stem).split("/")
    if not all(pieces):
        raise ValueError(f"{shorten(path)!r} has an empty segment")
    if "%" not in trimmed:
        return tuple(pieces), extension
    return tuple(unquote(piece, errors="strict") for piece in pieces), extension


@lru_cache(maxsize=256)
def accepted_format(accept: str, offered: tuple[str, ...]) -> str | None:
    """The best format an ``Accept`` header allows.

    Args:
        accept: The header's value; blank allows everything.
        offered: The formats of the resource; the first is the default.

    Returns:
        One of ``offered``, or None when none is acceptable.
    """
    if not accept.strip():
        return offered[0]
    best: str | None = None
    best_quality = 0.0
    for part in accept.split(","):
        kind, _, options = part.partition(";")
        named = _FORMATS_OF_TYPES.get(kind.strip().lower())
        quality = _quality(options)
        if named == "any":
            named = offered[0]
        if named in offered and quality > best_quality:
            best, best_quality = named, quality
    return best


def _quality(options: str) -> float:
    for option in options.split(";"):
        name, _, value = option.partition("=")
        if name.strip().lower() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def body_format(extension: str | None, content_type: str, accept: str, body: bytes) -> str:
    """The format of a request's body.

    Args:
        extension: Of the address; wins when there is one.
        content_type: The header's value; many clients say something untrue there.
        accept: The header's value; node-pachube says only there that its body is CSV.
        body: The body, looked at when nothing certain is said.
    """
    if extension is not None:
        return extension
    first = body.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if first in (b"{", b"["):
        return "json"
    if first == b"<":
        return "xml"
    said = resource_kind(content_type)
    if said is not None:
        return said
    if any(resource_kind(part) == "csv" for part in accept.split(",")):
        return "csv"
    return "json"


def resource_kind(media_type: str) -> str | None:
    """``"json"``, ``"xml"`` or ``"csv"`` when a media type says so, else None."""
    named = _FORMATS_OF_TYPES.get(media_type.partition(";")[0].strip().lower())
    return named if named in ("json", "xml", "csv") else None


def jsonp_name(query: str) -> str | None:
    """The function that JSON shall be wrapped in, or None.

    Every character outside letters, digits and ``_`` is dropped.

    Args:
        query: The raw query: errors are wrapped too, those about the parameters included.

    Source: Cosm API v2, "Data formats", JSONP.
    """
    if "callback=" not in query:
        return None
    match = _CALLBACK.search(query)
    return None if match is None else re.sub(r"[^A-Za-z0-9_]", "", unquote(match[1])) or None


def unknown_extension(segments: tuple[str, ...]) -> bool:
    """Whether the last segment is a feed's number or a collection with a suffix that is no format."""
    stem, dot, suffix = segments[-1].partition(".")
    if not dot or not suffix.isalnum():
        return False
    if len(segments) == 2:
        return segments[0] == "feeds" and stem.isdigit()
    return len(segments) % 2 == 1 and stem in ("feeds", "datastreams", "datapoints")
