"""What every shared structure can do: encode, decode, and show itself.

The structures know that formats exist, not how they are written: ``txbridge.codecs`` puts
its codecs into `CODECS` when it is imported, which ``import txbridge`` does.
"""

from __future__ import annotations

import json
from typing import Any, ClassVar, Protocol, TypeVar, cast

import msgspec
from attrs import AttrsInstance, Factory, fields

from txbridge.errors import DecodeError, EncodeError

__all__ = ["CODECS", "Codec", "Structure"]

S = TypeVar("S", bound="Structure")
S_co = TypeVar("S_co", bound="Structure", covariant=True)


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


def _defaults(kind: type[Structure]) -> dict[str, Any]:
    """Each member of a structure, attrs class or msgspec Struct, with what it holds when it is absent."""
    if issubclass(kind, msgspec.Struct):
        return {member.name: member.default for member in msgspec.structs.fields(kind)}
    found: dict[str, Any] = {}
    for attribute in fields(cast("type[AttrsInstance]", kind)):
        default = attribute.default
        found[attribute.name] = default.factory() if isinstance(default, Factory) else default  # type: ignore[arg-type]  # attrs types Factory as a function
    return found


class _Decode(Protocol[S_co]):
    def __call__(self, data: bytes | str, format: str = "json") -> S_co: ...


class _FromDict(Protocol[S_co]):
    def __call__(self, document: Any) -> S_co: ...


class _DecodeMethod:
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

    def __get__(self, instance: S | None, owner: type[S]) -> _Decode[S]:
        def decode(data: bytes | str, format: str = "json") -> S:
            try:
                raw = data.encode("utf-8") if isinstance(data, str) else bytes(data)
            except UnicodeEncodeError:
                raise DecodeError(format, "", "half of a surrogate pair") from None
            fresh = _codec(format).decode(owner, raw)
            if instance is None:
                return fresh
            for name in _defaults(owner):
                setattr(instance, name, getattr(fresh, name))
            return instance

        return decode


class _FromDictMethod:
    """Read what `to_dict` gives; on an instance it fills that instance.

    Raises:
        DecodeError: The document is not one of this structure.
    """

    def __get__(self, instance: S | None, owner: type[S]) -> _FromDict[S]:
        def from_dict(document: Any) -> S:
            target = owner if instance is None else instance
            try:
                text = json.dumps(document, allow_nan=False)
            except (TypeError, ValueError, RecursionError) as error:
                raise DecodeError("json", "", str(error)) from None
            return target.decode(text)

        return from_dict


class Structure:
    """The base of the shared structures, which are attrs classes but for the one there are thousands of."""

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

    decode = _DecodeMethod()

    def to_dict(self) -> Any:
        """The JSON document as dicts, lists and text."""
        return json.loads(self.encode("json"))

    from_dict = _FromDictMethod()

    toDict = to_dict
    fromDict = from_dict

    def __repr__(self) -> str:
        parts = []
        for name, default in _defaults(type(self)).items():
            value = getattr(self, name)
            if value == default:
                continue
            shown = "'…'" if name in self.SECRETS else repr(value)
            parts.append(f"{name}={shown}")
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
