"""What the documentation shows of Joule is run at a real node, in the order in which it stands there."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

from tests.conformance.conftest import JoulePeer
from txbridge.joule import Node

PAGE = Path(__file__).parent.parent.parent / "docs" / "howto" / "joule.rst"
BLOCK = re.compile(r"^\.\. code-block:: python\n\n((?:    .*\n|\n)+)", re.MULTILINE)
BLOCKS = [textwrap.dedent(block) for block in BLOCK.findall(PAGE.read_text(encoding="utf-8"))]


async def run(block: str, names: dict[str, Any]) -> None:
    code = compile(block, str(PAGE), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = FunctionType(code, names)()
    if inspect.isawaitable(result):
        await result


async def test_the_howto_works(
    node: Node, joule_peer: JoulePeer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JOULE_USER_CONFIG_DIR", str(joule_peer.config))
    kept: list[tuple[Any, Any]] = []
    names: dict[str, Any] = {"keep": lambda at, what: kept.append((at, what)), "key": joule_peer.key}
    known, elsewhere, *rest = BLOCKS
    await run(known, names)
    assert capsys.readouterr().out.startswith(f"{joule_peer.name} 1.0.1 ")
    await run(elsewhere.replace("https://joule.example.com/joule", joule_peer.url), names)
    try:
        for block in rest:
            await run(block, names)
    finally:
        await node.folder_delete("/house", True)
        await names["node"].close()
    (timestamps, rows), (door_start, door) = kept
    assert rows.tolist() == [[230.0, 115.0]]
    assert (door_start - timestamps[0]) // 60_000_000 in (-1, 0)
    assert door == {"door": "front", "who": "cat"}
    assert names["doors"][0].content == door
    assert capsys.readouterr().out == "0 []\n"
