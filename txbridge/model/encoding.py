"""What every shared structure can do: encode, decode, and show itself.

The structures know that formats exist, not how they are written: ``txbridge.codecs`` puts
its codecs into `CODECS` when it is imported, which ``import txbridge`` does.
"""

from __future__ import annotations

import json
from typing import Any, Callable, ClassVar, Generic, ParamSpec, Protocol, TypeVar

from attrs import fields

from txbridge.errors import EncodeError

__all__ = ["CODECS", "Codec", "Structure"]

S = TypeVar("S", bound="Structure")
P = ParamSpec("P")
R = TypeVar("R")


class Codec(Protocol):
    """One wire format."""

    def encode(self, structure: Structure) -> bytes:
        """Write a structure.

        Raises:
            EncodeError: The format cannot carry it.
        """

    def decode(self, kind: type[S], data: bytes) -> S:
        """Read a structure of this kind.

        Raises:
            DecodeError: The document is not one.
        """


CODECS: dict[str, Codec] = {}


def _codec(format: str) -> Codec:
    codec = CODECS.get(format)
    if codec is None:
        raise EncodeError(format, "", f"not a format of structures; there are {', '.join(sorted(CODECS))}")
    return codec


class _OnClassOrInstance(Generic[P, R]):
    """A method that gets the class when called on the class, the instance when called on one."""

    def __init__(self, function: Callable[..., R]) -> None:
        self._function = function
        self.__doc__ = function.__doc__

    def __get__(self, instance: Any, owner: type) -> Callable[..., R]:
        return self._function.__get__(owner if instance is None else instance)  # type: ignore[no-any-return]  # a bound method of ours


class Structure:
    """The base of the shared structures."""

    __slots__ = ()

    SECRETS: ClassVar[frozenset[str]] = frozenset()

    def encode(self, format: str = "json") -> str:
        """Write this structure as a document.

        Args:
            format: ``"json"``, ``"xml"`` (EEML) or ``"csv"``.

        Raises:
            EncodeError: The format cannot carry it, or there is no such format.
        """
        return _codec(format).encode(self).decode("utf-8")

    @_OnClassOrInstance
    def decode(target: Any, data: bytes | str, format: str = "json") -> Any:  # noqa: N805
        """Read a document.

        ``Environment.decode(body)`` gives a new structure; ``environment.decode(body)``, as
        txPachube had it, replaces every attribute of an existing one and gives it back.

        Args:
            data: The document; text is taken as UTF-8.
            format: ``"json"``, ``"xml"`` (EEML) or ``"csv"``.

        Raises:
            DecodeError: The document is not what the format says; it names where.
            EncodeError: There is no such format.
        """
        raw = data.encode("utf-8") if isinstance(data, str) else bytes(data)
        if isinstance(target, type):
            return _codec(format).decode(target, raw)
        fresh = _codec(format).decode(type(target), raw)
        for attribute in fields(type(target)):
            setattr(target, attribute.name, getattr(fresh, attribute.name))
        return target

    def to_dict(self) -> Any:
        """The JSON document as dicts, lists and text."""
        return json.loads(self.encode("json"))

    @_OnClassOrInstance
    def from_dict(target: Any, document: Any) -> Any:  # noqa: N805
        """Read what `to_dict` gives; on an instance it fills that instance.

        Raises:
            DecodeError: The document is not one of this structure.
        """
        return target.decode(json.dumps(document, allow_nan=False))

    toDict = to_dict
    fromDict = from_dict

    def __repr__(self) -> str:
        parts = []
        for attribute in fields(type(self)):
            value = getattr(self, attribute.name)
            if value is None or value == attribute.default or (value in ([], {}) and attribute.name != "tags"):
                continue
            shown = "'…'" if attribute.name in self.SECRETS else repr(value)
            parts.append(f"{attribute.name}={shown}")
        return f"{type(self).__name__}({', '.join(parts)})"

    def __str__(self) -> str:
        document = json.loads(self.encode("json"))
        for name in self.SECRETS:
            _hide(document, name)
        return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False)


def _hide(document: Any, name: str) -> None:
    if isinstance(document, dict):
        if name in document:
            document[name] = "…"
        for value in document.values():
            _hide(value, name)
    elif isinstance(document, list):
        for value in document:
            _hide(value, name)
