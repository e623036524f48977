"""Codecs beside the limit: the least that a library must do for the same bytes.

For JSON that is msgspec with classes of its own and nothing checked; for EEML, lxml that builds
elements one by one, and lxml that parses and makes no object of ours.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from lxml import etree

from benchmarks.harness import Contender, Group, Size, Tick, repeated
from txbridge.codecs import cosm_csv, cosm_json, eeml
from txbridge.model.structures import Datapoint, Datastream, Environment

__all__ = ["feed_of", "run", "turns"]

STREAMS = 10
START = datetime(2013, 6, 3, 12, tzinfo=UTC)
EEML = "http://www.eeml.org/xsd/0.5.1"
_NAMESPACES: Any = {None: EEML}  # the stubs know no default namespace


class _Point(msgspec.Struct):
    at: datetime
    value: str


class _Stream(msgspec.Struct):
    id: str
    datapoints: list[_Point]


class _Feed(msgspec.Struct):
    title: str
    version: str
    datastreams: list[_Stream]


def feed_of(points: int) -> Environment:
    """A feed with history: `STREAMS` datastreams of so many datapoints."""
    feed = Environment(title="Boiler room", version="1.0.0")
    for number in range(STREAMS):
        stream = Datastream(id=f"sensor-{number}")
        for index in range(points):
            at = START + timedelta(seconds=index, microseconds=123457)
            stream.datapoints.append(Datapoint(at=at, value=f"{20 + index % 100 / 10 + number:.1f}"))
        feed.datastreams[f"sensor-{number}"] = stream
    return feed


def turns(size: Size) -> int:
    """How many turns `run` takes."""
    return 6 * 2 * (1 + 2 * size.rounds)


def _wire_of(feed: Environment) -> _Feed:
    streams = [
        _Stream(name, [_Point(point.at, point.value or "") for point in stream.datapoints if point.at])
        for name, stream in feed.datastreams.items()
    ]
    return _Feed(feed.title or "", feed.version or "", streams)


def _lxml_build(feed: Environment) -> bytes:
    root = etree.Element(f"{{{EEML}}}eeml", nsmap=_NAMESPACES)
    environment = etree.SubElement(root, f"{{{EEML}}}environment")
    etree.SubElement(environment, f"{{{EEML}}}title").text = feed.title
    for name, stream in feed.datastreams.items():
        data = etree.SubElement(environment, f"{{{EEML}}}data", id=name)
        points = etree.SubElement(data, f"{{{EEML}}}datapoints")
        for point in stream.datapoints:
            at = "" if point.at is None else point.at.isoformat().replace("+00:00", "Z")
            etree.SubElement(points, f"{{{EEML}}}value", at=at).text = point.value
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def run(size: Size, tick: Tick) -> list[Group]:
    """Measure all codecs with one document."""
    feed = feed_of(size.points)
    wire = _wire_of(feed)
    as_json, as_eeml = cosm_json.encode(feed), eeml.encode(feed)
    history = feed.datastreams["sensor-0"]
    as_csv = cosm_csv.encode(history)
    limit = msgspec.json.Decoder(_Feed)
    count, short = STREAMS * size.points, size.points

    def compared(
        title: str, peer: str, theirs: Callable[[], object], ours: Callable[[], object], n: int
    ) -> Group:
        def counted(call: Callable[[], object]) -> Callable[[], int]:
            def once() -> int:
                call()
                return n

            return once

        contenders = [
            Contender(peer, repeated(counted(theirs), size.seconds / 4)),
            Contender("txbridge", repeated(counted(ours), size.seconds / 4)),
        ]
        return Group.measure(title, "datapoints", contenders, size.rounds * 2, tick)

    def split_lines() -> list[list[str]]:
        return [line.split(",", 1) for line in as_csv.decode().splitlines()]

    def join_lines() -> bytes:
        return "".join([f"{point.at},{point.value}\n" for point in history.datapoints]).encode()

    return [
        compared(
            "JSON decode", "msgspec, typed, unchecked",
            lambda: limit.decode(as_json), lambda: cosm_json.decode(Environment, as_json), count,
        ),
        compared(
            "JSON encode", "msgspec, typed, unchecked",
            lambda: msgspec.json.encode(wire), lambda: cosm_json.encode(feed), count,
        ),
        compared(
            "EEML decode", "lxml, parse alone",
            lambda: etree.fromstring(as_eeml), lambda: eeml.decode(Environment, as_eeml), count,
        ),
        compared(
            "EEML encode", "lxml, element by element",
            lambda: _lxml_build(feed), lambda: eeml.encode(feed), count,
        ),
        compared(
            "CSV decode", "split alone",
            split_lines, lambda: cosm_csv.decode(Datastream, as_csv), short,
        ),
        compared(
            "CSV encode", "an f-string a line",
            join_lines, lambda: cosm_csv.encode(history), short,
        ),
    ]  # fmt: skip
