"""What the documentation shows of Joule is run at a real node, in the order in which it stands there."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from types import FunctionType
from typing import Any, TypeVar

import numpy as np
import pytest
from twisted.internet.task import deferLater

from tests.conformance.conftest import JoulePeer
from tests.support.program import started_hub
from txbridge.joule import Node
from txbridge.joule.errors import EmptyPipeError, ObjectNotFound
from txbridge.joule.utilities import time_now
from txbridge.net.reactor import resolve_reactor
from txbridge.relay.status import LinkState

T = TypeVar("T")

RELAYING = -4  # the blocks about relays are the last ones
PATIENCE = 120  # looks
PAGE = Path(__file__).parent.parent.parent / "docs" / "howto" / "joule.rst"
BLOCK = re.compile(r"^\.\. code-block:: python\n\n((?:    .*\n|\n)+)", re.MULTILINE)
BLOCKS = [textwrap.dedent(block) for block in BLOCK.findall(PAGE.read_text(encoding="utf-8"))]


async def run(block: str, names: dict[str, Any]) -> None:
    code = compile(block, str(PAGE), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = FunctionType(code, names)()
    if inspect.isawaitable(result):
        await result


async def soon(look: Callable[[], Awaitable[T]], wanted: T) -> None:
    """Wait until looking gives what is wanted."""
    for _ in range(PATIENCE):
        found = await look()
        if found == wanted:
            return
        await deferLater(resolve_reactor(None), 0.5)
    assert found == wanted


async def test_the_howto_works(
    node: Node,
    joule_peer: JoulePeer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("JOULE_USER_CONFIG_DIR", str(joule_peer.config))
    kept: list[tuple[Any, Any]] = []
    names: dict[str, Any] = {"keep": lambda at, what: kept.append((at, what)), "key": joule_peer.key}
    known, elsewhere, *rest = BLOCKS
    rest, relaying = rest[:RELAYING], rest[RELAYING:]
    await run(known, names)
    assert capsys.readouterr().out.startswith(f"{joule_peer.name} 1.0.1 ")
    await run(elsewhere.replace("https://joule.example.com/joule", joule_peer.url), names)
    try:
        for block in rest:
            await run(block, names)
        await check_relays(relaying, names, node, tmp_path)
    finally:
        if "relay" in names:
            await names["relay"].stopService()
        for folder in ("/house", "/copies"):
            with suppress(ObjectNotFound):
                await node.folder_delete(folder, True)
        await names["node"].close()
    (timestamps, rows), (door_start, door) = kept
    assert rows.tolist() == [[230.0, 115.0]]
    assert (door_start - timestamps[0]) // 60_000_000 in (-1, 0)
    assert door == {"door": "front", "who": "cat"}
    assert names["doors"][0].content == door
    assert capsys.readouterr().out == "0 []\n"


async def check_relays(blocks: list[str], names: dict[str, Any], node: Node, tmp_path: Path) -> None:
    into_feed, stop, into_node, choices = blocks
    with started_hub(tmp_path / "hub") as hub:
        names |= {"feed_key": hub.key, "other": node}
        await run(into_feed.replace("http://127.0.0.1:8080", hub.url), names)

        async def source_state() -> LinkState:
            state: LinkState = names["relay"].status().source
            return state

        await soon(source_state, LinkState.WORKING)
        pipe = await node.data_write("/house/meter/power")
        await pipe.write(np.array([[time_now(), 231.0, 116.0]]))
        await pipe.close()

        async def current_values() -> dict[str, str | None]:
            feeds = (await names["client"].list_feeds()).feeds
            streams = [feed.datastreams for feed in feeds if feed.title == "House"]
            return {name: one.current_value for found in streams for name, one in found.items()}

        await soon(current_values, {"house.meter.power.L1": "231.0", "house.meter.power.L2": "116.0"})
        await run(stop, names)
        await names["client"].close()
    await run(into_node, names)

    async def copied() -> list[Any]:
        try:
            rows = await node.data_read_array("/copies/power")
        except (ObjectNotFound, EmptyPipeError):
            return []
        values: list[Any] = rows["data"].tolist()
        return values

    await soon(copied, [[230.0, 115.0], [231.0, 116.0]])
    made = await node.data_stream_get("/copies/power")
    assert (made.layout, [element.units for element in made.elements]) == ("float32_2", ["W", "W"])
    await run(stop, names)
    await run(choices, names)
