"""The form in which everything that a hub knows goes from one hub to another: what is in which file.

An export is a folder, or the same as a tar archive::

    accounts.jsonl  feeds.jsonl  datastreams.jsonl  …    a JSON object for each row of a table
    history/7.csv  history/7-2.csv  …                    datastream,at,value: the history of feed 7
    manifest.json                                        written last: how much there is, and checksums

A member of an object is a column of `TABLES`; one that is null is left out.  Instants are ISO 8601 with
microseconds, bytes are hexadecimal.  Of the history there is a file for each feed, because that is what
``txbridge send`` reads and what a person opens, and no more than `ROWS` in one, because that is what
spreadsheets open.  Values are the very texts that were stored.

There are no keys and no passwords in it, but digests of them, and the secrets of products: it is for its
owner alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import chain
from typing import Annotated, Any

import msgspec
from attrs import field, frozen

from txbridge.errors import BridgeError
from txbridge.hub.sqlite_schema import VERSIONS
from txbridge.model.accounts import Trigger
from txbridge.model.instants import format_instant, from_microseconds, parse_instant, shorten, to_microseconds
from txbridge.model.numbers import is_number_text
from txbridge.model.structures import Location, Unit
from txbridge.model.texts import MAX_TEXT, are_values, is_datastream_id, is_login, is_text

__all__ = [
    "HISTORY_HEADER",
    "LONGEST_LINE",
    "LONGEST_MANIFEST",
    "MANIFEST",
    "ROWS",
    "TABLES",
    "FileEntry",
    "Manifest",
    "Table",
    "TransferError",
    "from_line",
    "history_lines",
    "history_name",
    "read_history_name",
    "read_manifest",
    "to_line",
]

FORMAT = "txbridge hub export"
VERSION = 1
MANIFEST = "manifest.json"
ROWS = 1_000_000  # of a file; Excel opens 1 048 576, LibreOffice as many
HISTORY_HEADER = "datastream,at,value\n"
LONGEST_LINE = 32 << 20  # of JSON: a feed has nine texts, each of which may have come in a request of its own
LONGEST_MANIFEST = 256 << 20  # a million feeds
LARGEST = 2**63 - 1  # that SQLite keeps


class TransferError(BridgeError):
    """An export that cannot be made or taken.

    Attributes:
        where: The file, and the line if it is one, or ``""``.
        problem: What is wrong.
    """

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(where, problem)
        self.where = where
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}" if self.where else self.problem


@frozen
class Column:
    """A column, and the member of an object that it is.

    Attributes:
        name: Of both.
        write: Makes the member of what the table has.
        read: The reverse; raises `ValueError`.
    """

    name: str
    write: Callable[[Any], Any]
    read: Callable[[Any], Any]


@frozen
class Table:
    """A table that is exported.

    Attributes:
        name: Of the table, and of the file.
        columns: Those that are exported; others are made of these.
        known_by: The columns by which a row is known again where some are already.
        number: The column that numbers the rows, or None.
        is_fixed: Whether the number is known outside, so that no row may get another one.
        refers: Column -> table whose number it has, where numbers may have become others.
    """

    name: str
    columns: Sequence[Column]
    known_by: tuple[str, ...]
    number: str | None = None
    is_fixed: bool = False
    refers: Mapping[str, str] = field(factory=dict)

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"{self.name}.jsonl"


def _exactly(kind: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise ValueError(f"is no {_KINDS[kind]}")
        return value

    return read


def _read_text(value: Any) -> str:
    text: str = _exactly(str)(value)
    if not is_text(text):
        raise ValueError(_NO_TEXT)
    return text


def _that(is_one: Callable[[str], bool], what: str) -> Callable[[Any], str]:
    """Reads texts that are something, or says that one ``is no``."""

    def read(value: Any) -> str:
        text: str = _exactly(str)(value)
        if not is_one(text):
            raise ValueError(f"is no {what}: {shorten(text)!r}")
        return text

    return read


def _among(*words: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in ("", *words):
            raise ValueError(f"is not {' or '.join(words)}")
        return str(value)

    return read


def _degrees(most: int) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        degrees = _read_real(value)
        if not -most <= degrees <= most:
            raise ValueError(f"is not between -{most} and {most}")
        return degrees

    return read


def _are_texts(value: Any) -> bool:
    """Whether all texts in what JSON had can be given back."""
    if isinstance(value, str):
        return is_text(value)
    if isinstance(value, dict):
        return all(map(_are_texts, chain(value, value.values())))
    return not isinstance(value, list) or all(map(_are_texts, value))


_NO_TEXT = "has characters in it that no format can give back"
_KINDS = {str: "text", dict: "JSON object", bool: "true or false"}


def _as_is(value: Any) -> Any:
    return value


def _read_whole(value: Any) -> int:
    if type(value) is not int or not -LARGEST <= value <= LARGEST:
        raise ValueError("is no whole number of 64 bits")
    return value


def _read_real(value: Any) -> float:
    if type(value) not in (int, float):
        raise ValueError("is no number")
    return float(value)


def _read_instant(value: Any) -> int:
    if type(value) is not str:
        raise ValueError("is no instant")
    return to_microseconds(parse_instant(value))


def _read_object(value: Any) -> str:
    members = _exactly(dict)(value)
    if not _are_texts(members):
        raise ValueError(_NO_TEXT)
    return msgspec.json.encode(members).decode()


def _read_tags(value: Any) -> str:
    if not (isinstance(value, list) and all(isinstance(tag, str) for tag in value)):
        raise ValueError("is no list of texts")
    if not _are_texts(value):
        raise ValueError(_NO_TEXT)
    return msgspec.json.encode(value).decode()


def _read_few_tags(value: Any) -> str:
    tags = _read_tags(value)
    if len(",".join(value)) > MAX_TEXT:
        raise ValueError(f"are longer than {MAX_TEXT} characters")
    return tags


def _read_bytes(value: Any) -> bytes:
    if type(value) is not str:
        raise ValueError("is not hexadecimal")
    return bytes.fromhex(value)


_WAYS: Mapping[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "text": (_as_is, _read_text),
    "any": (_as_is, _exactly(str)),
    "login": (_as_is, _that(is_login, "login")),
    "id": (_as_is, _that(is_datastream_id, "id of a datastream")),
    "value": (
        _as_is,
        _that(lambda text: are_values([text]), f"value of at most {MAX_TEXT} characters of text"),
    ),
    "number": (_as_is, _that(is_number_text, "number")),
    "domain": (_as_is, _among(*Location.Valid_Domain_Kinds)),
    "exposure": (_as_is, _among(*Location.Valid_Exposure_Kinds)),
    "disposition": (_as_is, _among(*Location.Valid_Disposition_Kinds)),
    "unit": (_as_is, _among(*Unit.Valid_Unit_Types)),
    "trigger": (_as_is, _among(*Trigger.Comparisons, *Trigger.Watches)),
    "int": (_as_is, _read_whole),
    "lat": (_as_is, _degrees(90)),
    "lon": (_as_is, _degrees(180)),
    "flag": (bool, _exactly(bool)),
    "instant": (lambda value: format_instant(from_microseconds(value)), _read_instant),
    "object": (msgspec.json.decode, _read_object),
    "tags": (msgspec.json.decode, _read_tags),
    "few_tags": (msgspec.json.decode, _read_few_tags),
    "bytes": (lambda value: value.hex(), _read_bytes),
}


def _columns(text: str) -> tuple[Column, ...]:
    """Columns from words ``name`` of texts and ``name:way`` of everything else."""
    parted = (word.partition(":") for word in text.split())
    return tuple(Column(name, *_WAYS[way or "text"]) for name, _, way in parted)


TABLES = (
    Table("accounts", _columns("login:login document:object password"), ("login",)),
    Table(
        "keys",
        _columns("number:int digest:bytes reference login document:object"),
        ("digest",),
        number="number",
    ),
    Table(
        "feeds",
        _columns(
            """
            feed:int owner created:instant updated:instant private:flag title description icon website email
            auto_feed_url tags:tags place domain:domain exposure:exposure disposition:disposition
            lat:lat lon:lon ele located:instant product_id device_serial
            """
        ),
        ("feed", "owner", "created"),
        number="feed",
        is_fixed=True,
    ),
    Table("waypoints", _columns("feed:int at:instant lat:lat lon:lon ele"), ("feed", "at")),
    Table(
        "datastreams",
        _columns(
            """
            stream:int feed:int id:id value:value at:instant max_value:number min_value:number
            tags:few_tags unit_type:unit unit_symbol unit_label
            """
        ),
        ("feed", "id"),
        number="stream",
    ),
    Table(
        "triggers",
        _columns(
            """
            trigger:int owner stream:int url type:trigger threshold fired:instant notified:instant
            seen:instant frozen:flag
            """
        ),
        ("owner", "stream", "url", "type", "threshold"),
        number="trigger",
        refers={"stream": "datastreams"},
    ),
    Table(
        "notices",
        _columns("notice:int trigger:int environment:object at:instant due:instant tries:int outcome:any"),
        ("trigger", "at"),
        number="notice",
        refers={"trigger": "triggers"},
    ),
    Table(
        "projects",
        _columns("project:int owner name created:instant"),
        ("project", "owner", "created"),
        number="project",
        is_fixed=True,
    ),
    Table(
        "devices",
        _columns("project:int id name type feed:int created:instant"),
        ("project", "id", "feed"),
    ),
    Table(
        "tokens",
        _columns(
            """
            token:int digest:bytes project:int device may_read:flag may_write:flag may_admin:flag
            refreshable:flag created:instant expires:instant parent:int
            """
        ),
        ("digest",),
        number="token",
        refers={"parent": "tokens"},
    ),
    Table(
        "products",
        _columns(
            "product:int id owner name secret:bytes created:instant description state feed_defaults:object"
        ),
        ("id", "owner"),
        number="product",
    ),
    Table(
        "product_devices",
        _columns("device:int product:int serial code created:instant activated:instant feed:int key:int"),
        ("code",),
        number="device",
        refers={"product": "products", "key": "keys"},
    ),
)
"""In the order in which they are written and read: what a row refers to comes before it."""


def to_line(table: Table, row: Sequence[Any]) -> bytes:
    """A row as a line."""
    members = {
        column.name: column.write(value)
        for column, value in zip(table.columns, row, strict=True)
        if value is not None
    }
    return msgspec.json.encode(members) + b"\n"


def from_line(table: Table, line: bytes) -> dict[str, Any]:
    """A line as the columns of a row; those that are null are not there.

    Raises:
        ValueError: It is no such line.
    """
    try:
        members: Any = msgspec.json.decode(line)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    if not isinstance(members, dict):
        raise ValueError("is no JSON object")
    row = {}
    for column in table.columns:
        if column.name in members:
            try:
                row[column.name] = column.read(members.pop(column.name))
            except RecursionError:
                raise ValueError(f"{column.name!r} is nested too deeply") from None
            except (ValueError, OverflowError) as error:
                raise ValueError(f"{column.name!r} {error}") from None
    if members:
        raise ValueError(f"nothing has {min(members)!r} here")
    return row


# ------------------------------------------------------------------------------------- history

_DAY = 86_400_000_000
_MINUTE = 60_000_000
_MINUTES = [f"{minute // 60:02}:{minute % 60:02}:" for minute in range(1440)]
_EPOCH = datetime(1970, 1, 1)
_TO_QUOTE = re.compile('[",\r\n]')
_HISTORY_NAME = re.compile(r"history/([1-9][0-9]{0,18})(?:-([1-9][0-9]{0,8}))?\.csv")


def history_lines(datastream: str, points: Sequence[tuple[int, str]]) -> str:
    """Points as lines of a history.

    Args:
        datastream: Their datastream.
        points: Microseconds since 1970, and values.
    """
    if _TO_QUOTE.search("".join([value for _, value in points])):
        points = [(at, _quoted(value)) for at, value in points]
    begin = _quoted(datastream) + ","
    lines: list[str] = []
    today, day = None, ""
    for at, value in points:
        # As `format_instant` writes it, which takes twice as long.
        days, rest = divmod(at, _DAY)
        if days != today:
            today, day = days, begin + (_EPOCH + timedelta(days)).isoformat()[:11]
        minute, rest = divmod(rest, _MINUTE)
        lines.append(f"{day}{_MINUTES[minute]}{rest / 1_000_000:09.6f}Z,{value}\n")
    return "".join(lines)


def _quoted(text: str) -> str:
    if _TO_QUOTE.search(text):
        text = text.replace('"', '""')
        return f'"{text}"'
    return text


def history_name(feed_id: int, part: int) -> str:
    """The name of a part of a feed's history; the first is 1."""
    return f"history/{feed_id}.csv" if part == 1 else f"history/{feed_id}-{part}.csv"


def read_history_name(name: str) -> tuple[int, int] | None:
    """The feed and the part that a file is, or None if it is no history."""
    found = _HISTORY_NAME.fullmatch(name)
    return None if found is None else (int(found[1]), int(found[2] or 1))


# ------------------------------------------------------------------------------------ manifest


class FileEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of an export.

    Attributes:
        name: Its name.
        rows: How many rows or points it has.
        bytes: How long it is.
        sha256: Its checksum, hexadecimal.
    """

    name: str
    rows: int
    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """What an export is.

    Attributes:
        program: Which version wrote it.
        created: The moment that it is of.
        rows: Table -> how many rows; and ``points``.
        numbers: Table -> the greatest number that it has ever given out.
        files: All other files, in their order.
        schema: The number of the schema of the store that was exported.
        format: What it is.
        version: Of the format.
    """

    program: str
    created: str
    rows: dict[str, int]
    numbers: dict[str, Annotated[int, msgspec.Meta(ge=0, le=LARGEST)]]
    files: list[FileEntry]
    schema: int = len(VERSIONS)
    format: str = FORMAT
    version: int = VERSION


def read_manifest(text: bytes) -> Manifest:
    """Read a manifest.

    Raises:
        TransferError: It is none, or of a newer version of the format, or names a file twice.
    """
    if len(text) > LONGEST_MANIFEST:
        raise TransferError(MANIFEST, f"is longer than {LONGEST_MANIFEST} bytes")
    try:
        manifest = msgspec.json.decode(text, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TransferError(MANIFEST, f"is not the manifest of an export: {error}") from None
    if manifest.format != FORMAT:
        raise TransferError(MANIFEST, "is not the manifest of an export")
    if manifest.version > VERSION or manifest.schema > len(VERSIONS):
        raise TransferError(
            MANIFEST, f"the export was made by a newer txbridge ({manifest.program}): update this one"
        )
    seen: set[str] = set()
    for entry in manifest.files:
        if entry.name in seen:
            raise TransferError(MANIFEST, f"names {shorten(entry.name)!r} twice")
        seen.add(entry.name)
    return manifest
