"""The Python that pages show is Python, and what it imports is there."""

from __future__ import annotations

import ast
import importlib
import re
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
BLOCK = re.compile(r"^\.\. code-block:: python\n\n((?:    .*\n|\n)+)", re.MULTILINE)
SNIPPETS = [
    (f"{page.relative_to(ROOT)}-{index}", textwrap.dedent(block))
    for page in [ROOT / "README.rst", *sorted((ROOT / "docs").rglob("*.rst"))]
    for index, block in enumerate(BLOCK.findall(page.read_text(encoding="utf-8")))
]


@pytest.mark.parametrize("snippet", [text for _, text in SNIPPETS], ids=[name for name, _ in SNIPPETS])
def test_a_snippet_parses_and_its_imports_are_there(snippet: str) -> None:
    # `await` stands outside of functions in snippets that are part of one.
    tree = compile(snippet, "snippet", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            module = importlib.import_module(node.module) if node.module != "twisted.internet" else None
            missing = [
                name.name for name in node.names if module is not None and not hasattr(module, name.name)
            ]
            assert missing == []


def test_the_pages_show_python() -> None:
    assert len(SNIPPETS) > 6
