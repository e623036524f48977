"""Tables of a configuration, read against the keys that they may have.

A `Key` says what a value may be, what it is when nobody writes it, and what it does; the reader, the
text of ``check --show`` and the reference in the documentation are all made of the same keys.
Everything that is wrong is gathered, each problem with the key that it is about.

Amounts have units: ``"30s"``, ``"1GiB"``, ``"60/min"``.  A bare number is refused where its unit would
be a guess.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from difflib import get_close_matches
from math import isfinite
from typing import Any

from attrs import define, field, frozen

from txbridge.model.instants import format_instant, parse_instant, shorten

__all__ = [
    "BOOLEAN",
    "DURATION",
    "ENDPOINT",
    "INSTANT",
    "NAMES",
    "NUMBER",
    "RATE",
    "REQUIRED",
    "SECRET",
    "SIZE",
    "TABLE",
    "TABLES",
    "TEXT",
    "TEXTS",
    "TEXTS_OR_TABLE",
    "WHOLE",
    "Key",
    "Kind",
    "Rate",
    "Secret",
    "TableReader",
    "endpoint_problem",
    "hint",
    "one_of",
]

_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-zµ]+)", re.ASCII)
_SECONDS = {
    "ms": 0.001,
    "s": 1.0,
    "min": 60.0,
    "h": 3600.0,
    "d": 86400.0,
    "w": 604800.0,
}
_LONG_WORDS = {"m": "min"} | {
    f"{word}{plural}": unit
    for word, unit in {
        "millisecond": "ms",
        "second": "s",
        "minute": "min",
        "hour": "h",
        "day": "d",
        "week": "w",
    }.items()
    for plural in ("", "s")
}
_ITEM = re.compile(r"(.+)\[\d+\]\.([a-z]+)")  # the path of a table in a list of tables
_BYTES = {"b": 1} | {
    f"{prefix}{i}b": (1024 if i else 1000) ** power
    for power, prefix in enumerate("kmgt", 1)
    for i in ("", "i")
}


@frozen
class Secret:
    """Where a secret is, without the secret.

    Attributes:
        kind: ``"env"``, ``"file"`` or ``"credential"``.
        name: Of the variable, the file or the credential.
    """

    kind: str
    name: str


@frozen
class Rate:
    """So many in so many seconds.

    Attributes:
        count: How many.
        seconds: In which time.
    """

    count: float
    seconds: float

    @property
    def per_second(self) -> float:
        """The same for one second."""
        return self.count / self.seconds


@frozen
class Kind:
    """What values a key may have.

    Attributes:
        words: Its name for a person.
        read: Makes the value of what TOML gave; raises a ValueError with what is wrong.
        show: The value as TOML again.
    """

    words: str
    read: Callable[[Any], Any]
    show: Callable[[Any], str]


REQUIRED: Any = object()
"""As a default: there is none."""


@frozen
class Key:
    """A key that a table may have.

    Attributes:
        name: How it is written.
        kind: What its values are.
        default: The value when it is not written: as TOML has it, or None, or `REQUIRED`.
        text: What it does, in a sentence or two of reStructuredText.
    """

    name: str
    kind: Kind
    default: Any
    text: str


# -------------------------------------------------------------------------------------- kinds of values


def hint(word: str, known: Sequence[str]) -> str:
    """What somebody may have meant by a word that is unknown; else all that is known."""
    near = get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else f"known here: {', '.join(known) or 'nothing'}"


def endpoint_problem(text: str) -> str | None:
    """What is wrong with the string of an endpoint, as far as its looks tell."""
    kind, colon, _ = text.partition(":")
    if text.isdigit():
        return f"{text!r} is no endpoint; for a port say tcp:{text}"
    if not colon or not kind.isidentifier():
        return f"{shorten(text)!r} is no endpoint, such as tcp:8080:interface=127.0.0.1"
    return None


def one_of(*words: str) -> Kind:
    """One of these words."""

    def read(value: Any) -> str:
        if value not in words:
            shown = shorten(_text(value))
            raise ValueError(f"{shown!r} is unknown; {hint(shown, words)}")
        return str(value)

    return Kind(" or ".join(f'"{word}"' for word in words), read, _quoted)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"it is a text, in quotes, and not {_named(value)}")
    if not value.strip() or not value.isprintable():
        raise ValueError("it is one line of printable text")
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"it is true or false, and not {_named(value)}")
    return value


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 10**18:
        raise ValueError(f"it is a whole number above 0, and not {_named(value)}")
    return value


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not isfinite(value):
        raise ValueError(f"it is a number, and not {_named(value)}")
    return float(value)


def _duration(value: Any) -> float:
    count, unit = _amount(value, '"30s"', ("s", "min", "h"))
    seconds = _SECONDS.get(_LONG_WORDS.get(unit.lower(), unit.lower()))
    if seconds is None:
        raise ValueError(f"{unit!r} is no unit of time; {hint(unit, tuple(_SECONDS))}")
    return count * seconds


def _size(value: Any) -> int:
    count, unit = _amount(value, '"1GiB"', ("kB", "MB", "MiB"))
    factor = _BYTES.get(unit.lower())
    if factor is None:
        raise ValueError(f"{unit!r} is no unit of size; known here: B, kB, KiB, MB, MiB, GB, GiB, TB, TiB")
    if count * factor < 1:
        raise ValueError("it is at least 1B")
    return int(count * factor)


def _rate(value: Any) -> Rate:
    if isinstance(value, str) and (match := re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*/\s*(\S+)\s*", value)):
        seconds = _SECONDS.get(_LONG_WORDS.get(match[2].lower(), match[2].lower()))
        if seconds is None:
            raise ValueError(f"{match[2]!r} is no unit of time; {hint(match[2], tuple(_SECONDS))}")
        if float(match[1]) > 0:
            return Rate(float(match[1]), seconds)
    raise ValueError(f'it is a rate such as "60/min", and not {_named(value)}')


def _amount(value: Any, example: str, units: tuple[str, ...]) -> tuple[float, str]:
    if isinstance(value, int | float) and not isinstance(value, bool):
        perhaps = ", ".join(f'"{value}{unit}"' for unit in units)
        raise ValueError(f"{value} of what? say {perhaps}, …")
    match = _AMOUNT.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"it is an amount such as {example}, and not {_named(value)}")
    return float(match[1]), match[2]


def _endpoint(value: Any) -> str:
    text = _text(value)
    problem = endpoint_problem(text)
    if problem is not None:
        raise ValueError(problem)
    return text


def _instant(value: Any) -> datetime:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"{value.isoformat()} has no time zone; say {value.isoformat()}Z if it is UTC")
        return value
    if not isinstance(value, str):
        raise ValueError(f"it is an instant such as 2026-11-21T06:00:00Z, and not {_named(value)}")
    return parse_instant(value)


def _texts(value: Any) -> tuple[str, ...]:
    if value == []:
        raise ValueError('it is a list of texts such as ["one", "two"], and there is none in it')
    if not isinstance(value, list):
        raise ValueError(f'it is a list of texts such as ["one", "two"], and not {_named(value)}')
    return tuple(_text(one) for one in value)


def _texts_or_table(value: Any) -> tuple[tuple[str, str | None], ...]:
    if isinstance(value, dict) and value:
        return tuple((name, _text(one)) for name, one in value.items())
    return tuple((name, None) for name in _texts(value))


def _names(value: Any) -> dict[str, str]:
    return {name: _text(one) for name, one in _table(value).items()}


_WAYS = '{ file = "key" }, { env = "NAME" } or { credential = "name" }'


def _secret(value: Any) -> Secret:
    if isinstance(value, str):  # and nothing of it is shown
        raise ValueError(f"a secret does not stand in this file; say where it is: {_WAYS}")
    if not isinstance(value, dict) or len(value) != 1:
        raise ValueError(f"say where it is, in one of these ways: {_WAYS}")
    ((kind, name),) = value.items()
    if kind not in ("env", "file", "credential"):
        raise ValueError(f"{shorten(kind)} is unknown; {hint(kind, ('env', 'file', 'credential'))}")
    name = _text(name)
    if kind == "credential" and "/" in name:
        raise ValueError(f"{shorten(name)!r} is not the name of a credential")
    return Secret(kind, name)


def _table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"it is a table, and not {_named(value)}")
    return value


def _tables(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list):
        raise ValueError(f"it is a list of tables, and not {_named(value)}")
    return [_table(one) for one in value]


def _named(value: Any) -> str:
    if isinstance(value, str):
        return repr(shorten(value))
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    return shorten(str(value).lower() if isinstance(value, bool) else str(value))


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


def _show_duration(seconds: float) -> str:
    for unit, length in sorted(_SECONDS.items(), key=lambda pair: -pair[1]):
        if seconds >= length and (seconds / length).is_integer():
            return f'"{int(seconds / length)}{unit}"'
    return f'"{_digits(seconds)}s"'


def _digits(number: float) -> str:
    """All digits of a number, without an exponent."""
    return format(Decimal(repr(number)), "f")


def _show_size(count: int) -> str:
    for unit in ("TiB", "GiB", "MiB", "KiB", "kB"):
        if count >= _BYTES[unit.lower()] and count % _BYTES[unit.lower()] == 0:
            return f'"{count // _BYTES[unit.lower()]}{unit}"'
    return f'"{count}B"'


def _show_rate(rate: Rate) -> str:
    unit = next((unit for unit, length in _SECONDS.items() if length == rate.seconds), "s")
    return f'"{_digits(rate.count)}/{unit}"'


def _show_texts(texts: Sequence[str]) -> str:
    return "[" + ", ".join(map(_quoted, texts)) + "]"


def _show_pairs(pairs: Sequence[tuple[str, str | None]]) -> str:
    if all(name is None for _, name in pairs):
        return _show_texts([text for text, _ in pairs])
    return "{ " + ", ".join(f"{_quoted(text)} = {_quoted(name or '')}" for text, name in pairs) + " }"


TEXT = Kind("text", _text, _quoted)
TEXTS = Kind("list of texts", _texts, _show_texts)
TEXTS_OR_TABLE = Kind("list of texts, or table of texts", _texts_or_table, _show_pairs)
BOOLEAN = Kind("true or false", _boolean, lambda value: str(value).lower())
WHOLE = Kind("whole number above 0", _whole, str)
NUMBER = Kind("number", _number, repr)
DURATION = Kind("duration", _duration, _show_duration)
SIZE = Kind("size", _size, _show_size)
RATE = Kind("rate", _rate, _show_rate)
ENDPOINT = Kind("endpoint", _endpoint, _quoted)
INSTANT = Kind("instant", _instant, lambda at: _quoted(format_instant(at)))
SECRET = Kind("secret", _secret, lambda secret: f"{{ {secret.kind} = {_quoted(secret.name)} }}")
NAMES = Kind("table of texts", _names, lambda names: _show_pairs(tuple(names.items())) if names else "{}")
TABLE = Kind("table", _table, lambda table: "{}")
TABLES = Kind("list of tables", _tables, lambda tables: "[]")


# ------------------------------------------------------------------------------------------- the reader


@define
class TableReader:
    """Reads tables and gathers what is wrong.

    Attributes:
        file: The name of the configuration, for its problems.
        problems: What was wrong, a line each.
        effective: Path of a table -> its keys as they hold, in TOML.
    """

    file: str
    problems: list[str] = field(factory=list)
    effective: dict[str, dict[str, str]] = field(factory=dict)

    def problem(self, path: str, words: str) -> None:
        """Note what is wrong with something."""
        self.problems.append(f"{self.file}: {path}: {words}" if path else f"{self.file}: {words}")

    def table(
        self, path: str, table: Mapping[str, Any], keys: Sequence[Key], **defaults: Any
    ) -> dict[str, Any] | None:
        """Read a table; None when something is wrong with it, which is noted.

        Args:
            path: Of the table, such as ``routes.boiler``.
            table: What TOML gave.
            keys: What it may have.
            defaults: Key -> default, for keys whose default is not always the same.
        """
        known = {key.name: key for key in keys}
        before = len(self.problems)
        values: dict[str, Any] = {}
        shown = self.effective.setdefault(path, {})
        meant: set[str] = set()
        for name in table:
            if name not in known:
                wanted = hint(name, tuple(known))
                self.problem(_joined(path, name), f"unknown; {wanted}")
                meant.add(wanted)
        for name, key in known.items():
            default = defaults.get(name, key.default)
            written = table.get(name, default)
            if written is REQUIRED:
                if f"did you mean {name}?" not in meant:
                    what = f"say where it is: {_WAYS}" if key.kind is SECRET else f"it is a {key.kind.words}"
                    self.problem(_joined(path, name), f"missing; {what}")
                continue
            try:
                values[name] = None if written is None else key.kind.read(written)
            except ValueError as error:
                self.problem(_joined(path, name), str(error))
                continue
            if key.kind not in (TABLE, TABLES) and values[name] is not None:
                shown[name] = key.kind.show(values[name])
        return values if len(self.problems) == before else None

    def text(self) -> str:
        """Everything that holds, defaults too, as TOML."""
        lines: list[str] = []
        for path, shown in self.effective.items():
            item = _ITEM.fullmatch(path)
            if item is not None:
                lines.append(f"\n[[{item[1]}]]")
                lines += [f"{item[2]}.{name} = {value}" for name, value in shown.items()]
            elif shown:
                lines += [f"\n[{path}]"] if path else []
                lines += [f"{name} = {value}" for name, value in shown.items()]
        return "\n".join(lines).lstrip("\n") + "\n"


def _joined(path: str, name: str) -> str:
    shown = name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _quoted(shorten(name))
    return f"{path}.{shown}" if path else shown
