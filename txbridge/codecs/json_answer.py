"""The JSON of an answer, read member by member with a look at each type.

What breaks the form is a `DecodeError` with a path such as ``children[0].streams[2].name``.  Members that
are null are taken for absent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from attrs import frozen

from txbridge.codecs.limits import CLIENT_LIMITS, check_json_depth
from txbridge.errors import DecodeError
from txbridge.model.instants import parse_instant, shorten

__all__ = ["JsonObject", "json_kind", "json_object", "json_objects", "read_json"]

FORMAT = "json"


@frozen
class JsonObject:
    """One object of an answer; its members are taken with a look at their type.

    Attributes:
        members: What is in it.
        path: Where it stands, for errors.
    """

    members: Mapping[str, Any]
    path: str

    def at(self, name: str) -> str:
        """Where a member stands."""
        return f"{self.path}.{name}" if self.path else name

    def _take(self, name: str, kinds: tuple[type, ...], what: str) -> Any:
        value = self.members.get(name)
        # bool is an int to Python and nothing of the kind here
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise DecodeError(FORMAT, self.at(name), f"must be {what}, not {json_kind(value)}")
        return value

    def text(self, name: str) -> str:
        """A text."""
        taken: str = self._take(name, (str,), "text")
        return taken

    def maybe_text(self, name: str) -> str | None:
        """A text, or None."""
        return None if self.members.get(name) is None else self.text(name)

    def integer(self, name: str) -> int:
        """An integer of at most 64 bits."""
        taken: int = self._take(name, (int,), "an integer")
        if not -(1 << 63) <= taken < 1 << 63:
            raise DecodeError(FORMAT, self.at(name), "has more than 64 bits")
        return taken

    def maybe_integer(self, name: str) -> int | None:
        """An integer, or None."""
        return None if self.members.get(name) is None else self.integer(name)

    def number(self, name: str) -> float:
        """A number."""
        try:
            return float(self._take(name, (int, float), "a number"))
        except OverflowError:
            raise DecodeError(FORMAT, self.at(name), "is too large") from None

    def maybe_number(self, name: str) -> float | None:
        """A number, or None."""
        return None if self.members.get(name) is None else self.number(name)

    def flag(self, name: str, default: bool = False) -> bool:
        """True or false."""
        if self.members.get(name) is None:
            return default
        return bool(self._take(name, (bool,), "true or false"))

    def instant(self, name: str) -> datetime | None:
        """An instant in ISO 8601, or None."""
        text = self.maybe_text(name)
        try:
            return None if text is None else parse_instant(text)
        except ValueError as error:
            raise DecodeError(FORMAT, self.at(name), str(error)) from None

    def member(self, name: str) -> JsonObject:
        """An object."""
        return JsonObject(self._take(name, (dict,), "an object"), self.at(name))

    def maybe_member(self, name: str) -> JsonObject | None:
        """An object, or None."""
        return None if self.members.get(name) is None else self.member(name)

    def texts(self, name: str) -> dict[str, str]:
        """An object of texts; nothing when it is absent."""
        inside = self.maybe_member(name)
        return {} if inside is None else {key: inside.text(key) for key in inside.members}

    def items(self, name: str) -> Iterable[JsonObject]:
        """An array of objects."""
        return json_objects(self._take(name, (list,), "an array"), self.at(name))

    def maybe_items(self, name: str) -> Iterable[JsonObject]:
        """An array of objects; nothing when it is absent."""
        return () if self.members.get(name) is None else self.items(name)


def json_kind(value: Any) -> str:
    """What a value of JSON is, in words."""
    kinds = {
        type(None): "null or absent",
        bool: "true or false",
        str: "text",
        dict: "an object",
        list: "an array",
    }
    return kinds.get(type(value), "a number")


def json_objects(values: Sequence[Any], path: str) -> Iterable[JsonObject]:
    """The objects that an array holds."""
    for number, value in enumerate(values):
        yield json_object(value, f"{path}[{number}]")


def json_object(value: Any, path: str = "") -> JsonObject:
    """What should be an object."""
    if not isinstance(value, dict):
        raise DecodeError(FORMAT, path, f"must be an object, not {json_kind(value)}")
    return JsonObject(value, path)


def read_json(body: bytes, whose: str, depth: int) -> Any:
    """Read the JSON of an answer.

    Args:
        body: The answer.
        whose: Who should have given it, such as ``"a Joule node"``.
        depth: How deep it may nest.

    Raises:
        DecodeError: It is no JSON, is too large, or nests deeper.
    """
    CLIENT_LIMITS.check(FORMAT, body, b",:")
    check_json_depth(body, depth)
    try:
        return json.loads(body.decode("utf-8"))  # of bytes, it would guess at UTF-16 and UTF-32
    except (ValueError, RecursionError) as error:
        reason = f"is no answer of {whose}: {shorten(str(error))}"
        raise DecodeError(FORMAT, "", reason) from None
