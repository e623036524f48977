"""The commands of an iobeam device: ``iobeam register``, ``send`` and ``query``.

Each asks one project of one service, with the project's token.  They raise errors as they come, and
`txbridge.daemon.running` explains them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import evolve, frozen
from rich.cells import cell_len, set_cell_size

from txbridge.daemon.commands import Form
from txbridge.daemon.config import IobeamConfig
from txbridge.daemon.history import CHART_HEIGHT
from txbridge.daemon.iobeam_readings import Reading, read_line, tables_of
from txbridge.daemon.render import chart, clean, csv_row, instant, json_text, points_text
from txbridge.daemon.running import DONE, UNREACHABLE
from txbridge.daemon.stdin import StdinLines, size_of
from txbridge.daemon.terminal import Terminal
from txbridge.errors import BridgeError, ConfigError, ConnectError, DecodeError
from txbridge.iobeam import Client, operations
from txbridge.iobeam.errors import DuplicateIdError, NoSuchThing
from txbridge.iobeam.structures import MAX_POINTS, ExportedPoint, ExportedSeries, QueryReq, TimeUnit, Value
from txbridge.model.instants import format_instant, from_microseconds, to_microseconds
from txbridge.model.structures import Datapoint
from txbridge.net.deferred import deferred
from txbridge.net.private_file import replace_private

__all__ = [
    "NewDevice",
    "QueryRequest",
    "explained",
    "keep_token",
    "query",
    "register",
    "send_lines",
    "send_readings",
]


@frozen
class NewDevice:
    """A device to register.

    Attributes:
        id: Its id; None lets the service choose.
        name: Its name, which no other device of the project has; None is the service's choice too.
        type: What kind of thing it is.
        or_set: Whether it is well if the id is there already.
    """

    id: str | None = None
    name: str | None = None
    type: str | None = None
    or_set: bool = False


@frozen
class QueryRequest:
    """Which points, and how to show them.

    Attributes:
        query: What to ask for, in microseconds.
        start: The first instant, in microseconds: what travels is coarser; None is the beginning.
        end: The last one; None is the end.
        form: ``"table"``, ``"json"``, ``"csv"`` or ``"plot"``.
    """

    query: QueryReq
    start: int | None = None
    end: int | None = None
    form: Form = "table"


@deferred
async def explained(terminal: Terminal, command: Callable[[], Any]) -> int:
    """Run a command that asks nothing but an iobeam service, and say so when there is none."""
    try:
        status: int = await command()
    except ConnectError as error:
        terminal.say(f"{error}; is a hub running there? TXBRIDGE_IOBEAM_URL says where it is")
        return UNREACHABLE
    return status


def keep_token(terminal: Terminal, config: IobeamConfig, token: str) -> None:
    """Put the successor of a token that was about to end where the commands find it.

    Args:
        terminal: Where to say so.
        config: Says where the token was.
        token: Its successor.
    """
    if config.token_file is None:
        terminal.say("the token has ended, or will within a day; 'txbridge hub token create' makes another")
        return
    try:
        replace_private(Path(config.token_file), f"{token}\n")
    except OSError as error:
        terminal.say(
            f"the token in {config.token_file} is about to end; cannot write the next: {error.strerror}"
        )
    else:
        terminal.say(f"the token in {config.token_file} was about to end; the next one is there now")


# ------------------------------------------------------------------------------------------ register


@deferred
async def register(client: Client, terminal: Terminal, new: NewDevice, form: Form) -> int:
    """Register a device, and show its id.

    Args:
        client: Asks the service.
        terminal: Where to show it.
        new: The device.
        form: ``"table"`` or ``"json"``.
    """
    try:
        made = await client.run(operations.register_device(client.project_id, new.id, new.name, new.type))
    except DuplicateIdError:
        if not new.or_set or new.id is None:
            raise
        made = await client.run(operations.read_device(client.project_id, new.id))
    if form == "json":
        members = {
            "device_id": made.device_id,
            "device_name": made.device_name,
            "device_type": made.device_type,
        }
        terminal.give(json_text({"project": client.project_id, **members}))
    else:
        terminal.give(f"{made.device_id}\n")
    return DONE


# ---------------------------------------------------------------------------------------------- send


@deferred
async def send_readings(
    client: Client, terminal: Terminal, device: str, readings: Sequence[Reading], form: Form
) -> int:
    """Write the values of the command line.

    Args:
        client: Asks the service.
        terminal: Where to say what was done.
        device: The device's id.
        readings: The values.
        form: ``"table"`` or ``"json"``.
    """
    await _write(client, device, readings)
    _tell_sent(terminal, device, _count(readings), form)
    return DONE


@deferred
async def send_lines(
    reactor: Any,
    client: Client,
    terminal: Terminal,
    device: str,
    descriptor: int,
    unit: TimeUnit | None,
    form: Form,
) -> int:
    """Write the rows of standard input as they come, up to a thousand points in one request.

    Args:
        reactor: Where the input arrives.
        client: Asks the service.
        terminal: Where to say what was done.
        device: The device's id.
        descriptor: The input.
        unit: What timestamps count that are bare numbers; None refuses them.
        form: ``"table"`` or ``"json"``.
    """
    lines = StdinLines(reactor, descriptor)
    sent = number = 0
    latest = _now()
    gathered: list[Reading] = []

    async def write() -> None:
        nonlocal sent
        await _write(client, device, gathered)
        sent += _count(gathered)
        gathered.clear()
        report(lines.bytes_read)

    try:
        with terminal.progress("sending", size_of(descriptor)) as report:
            while texts := await lines.next_lines():
                for text in texts:
                    number += 1
                    reading = read_line(text, number, unit)
                    if reading is None:
                        continue
                    if reading.at is None:
                        # Two of one moment are two points all the same.
                        latest = max(_now(), latest + 1)
                        reading = evolve(reading, at=latest)
                    gathered.append(reading)
                # What trickles in is sent at once, what comes in bulk by the thousands.
                if gathered and (not lines.is_ready or _count(gathered) >= MAX_POINTS):
                    await write()
            if gathered:
                await write()
    except BridgeError:
        if sent:
            terminal.say(f"{points_text(sent)} had been sent to device {device} before this went wrong:")
        raise
    if not sent:
        raise ConfigError(["there was nothing to send"])
    _tell_sent(terminal, device, sent, form)
    return DONE


async def _write(client: Client, device: str, readings: Sequence[Reading]) -> None:
    try:
        for table in tables_of(readings, _now()):
            await client.run(operations.import_table(client.project_id, device, table.columns, table.rows))
    except NoSuchThing as error:
        raise _no_device(client, device) from error


def _no_device(client: Client, device: str) -> ConfigError:
    known = f"project {client.project_id} has no device {device!r}"
    return ConfigError([f"{known}; 'txbridge iobeam register {device}' makes it"])


def _tell_sent(terminal: Terminal, device: str, points: int, form: Form) -> None:
    if form == "json":
        terminal.give(json_text({"device": device, "points": points}))
    else:
        terminal.give(f"sent {points_text(points)} to device {device}\n")


def _count(readings: Sequence[Reading]) -> int:
    return sum(len(reading.values) for reading in readings)


def _now() -> int:
    return to_microseconds(datetime.now(UTC))


# --------------------------------------------------------------------------------------------- query


@deferred
async def query(client: Client, terminal: Terminal, request: QueryRequest) -> int:
    """Show points of a project.

    Args:
        client: Asks the service.
        terminal: Where to show them.
        request: Which, and how.
    """
    found = [
        evolve(one, points=points)
        for one in await _read(client, request.query)
        if (points := tuple(point for point in one.points if _is_asked_for(point.at, request)))
    ]
    if request.form == "json":
        terminal.give(json_text({"project": client.project_id, "series": [_members(one) for one in found]}))
    elif request.form == "csv":
        terminal.give("".join(_csv_lines(found)))
    elif not found:
        terminal.say("there is nothing")
    elif request.form == "plot":
        terminal.give("\n".join(_charts(found, terminal)))
    else:
        terminal.give("".join(_lines(found)))
    return DONE


async def _read(client: Client, asked: QueryReq) -> list[ExportedSeries]:
    try:
        return await client.run(operations.export(asked))
    except NoSuchThing as error:
        if asked.device_id is None:
            raise
        raise _no_device(client, asked.device_id) from error


def _is_asked_for(at: int, request: QueryRequest) -> bool:
    after = request.start is None or at >= request.start
    return after and (request.end is None or at <= request.end)


def _members(series: ExportedSeries) -> dict[str, Any]:
    return {
        "device_id": series.device_id,
        "name": series.name,
        "data": [{"at": format_instant(_at(point)), "value": point.value} for point in series.points],
    }


def _csv_lines(found: Sequence[ExportedSeries]) -> Iterator[str]:
    for series in found:
        for point in series.points:
            yield csv_row((series.name, format_instant(_at(point)), _text(point.value)))


def _lines(found: Sequence[ExportedSeries]) -> Iterator[str]:
    names = [[clean(one.device_id), clean(one.name)] for one in found]
    widths = [max(map(cell_len, column)) for column in zip(*names, strict=True)]
    for series, cells in zip(found, names, strict=True):
        named = "  ".join(set_cell_size(cell, width) for cell, width in zip(cells, widths, strict=True))
        for point in series.points:
            yield f"{instant(_at(point))}  {named}  {clean(_text(point.value))}\n"


def _charts(found: Sequence[ExportedSeries], terminal: Terminal) -> Iterator[str]:
    width, height = terminal.size
    lines = max(height - 2, CHART_HEIGHT) if len(found) == 1 else CHART_HEIGHT
    for series in found:
        points = [Datapoint(at=_at(point), value=_text(point.value)) for point in series.points]
        yield chart(points, title=f"{series.device_id}: {series.name}", width=width, height=lines)


def _at(point: ExportedPoint) -> datetime:
    try:
        return from_microseconds(point.at)
    except OverflowError:
        raise DecodeError("json", "time", f"{point.at} µs is in no calendar") from None


def _text(value: Value) -> str:
    """A value as a person writes it, and as `value_of` reads it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
