"""Every command that the documentation shows is one the program knows."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from txbridge.daemon.cli import parser

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.rst", *sorted((ROOT / "docs").rglob("*.rst"))]
PROMPT = re.compile(r"^ +\$ (txbridge .*)$", re.MULTILINE)
IN_UNIT = re.compile(r"^ +ExecStart=\S*/(txbridge .*)$", re.MULTILINE)
RUN_EXAMPLE = re.compile(r"examples/(\w+\.py)")


def commands(page: Path) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return [*PROMPT.findall(text), *IN_UNIT.findall(text)]


def test_the_pages_show_commands() -> None:
    assert sum(len(commands(page)) for page in PAGES) > 20


@pytest.mark.parametrize(
    "command", sorted({command for page in PAGES for command in commands(page)}), ids=lambda text: text[:60]
)
def test_a_command_of_the_documentation_is_known(command: str) -> None:
    words = shlex.split(command, comments=True)
    end = min((words.index(one) for one in ("|", "<", ">") if one in words), default=len(words))
    arguments = parser().parse_args(words[1:end])
    assert callable(arguments.command)


def test_every_example_that_is_named_exists() -> None:
    named = {name for page in PAGES for name in RUN_EXAMPLE.findall(page.read_text(encoding="utf-8"))}
    assert {"subscribe.py", "relay_host.py"} <= named
    assert [name for name in named if not (ROOT / "examples" / name).is_file()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_names_no_place_of_the_machine_it_was_written_on(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert re.findall(r"(?<![\w.])/(?:work|tmp|root)/\S*", text) == []
