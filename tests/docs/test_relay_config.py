"""Every configuration of a relay that the documentation shows can be run."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from txbridge.daemon import relay_config
from txbridge.daemon.relay_assembly import routes_problems
from txbridge.daemon.relay_config import SECTIONS, Section, read_relay_config

ROOT = Path(__file__).parent.parent.parent
TOML = re.compile(r"^\.\. code-block:: toml\n\n((?:    .*\n|\n)+)", re.MULTILINE)
CONFIGS = [
    (f"{page.relative_to(ROOT)}-{index}", textwrap.dedent(block))
    for page in [ROOT / "README.rst", *sorted((ROOT / "docs").rglob("*.rst"))]
    for index, block in enumerate(TOML.findall(page.read_text(encoding="utf-8")))
]


def test_the_pages_show_configurations() -> None:
    assert len(CONFIGS) > 6


@pytest.mark.parametrize("text", [text for _, text in CONFIGS], ids=[name for name, _ in CONFIGS])
def test_a_configuration_of_the_documentation_can_be_run(text: str) -> None:
    config = read_relay_config(text, file="relay.toml", environ={"HOME": "/home/ann"})
    assert routes_problems(config.routes) == []


def test_the_unit_for_systemd_runs_a_command_that_is_known() -> None:
    from txbridge.daemon.cli import parser

    unit = (ROOT / "contrib" / "systemd" / "txbridge-relay.service").read_text(encoding="utf-8")
    (command,) = re.findall(r"^ExecStart=\S*/txbridge (.*)$", unit, re.MULTILINE)
    assert callable(parser().parse_args(command.split()).command)
    assert "RestartPreventExitStatus=78" in unit


def test_the_reference_lists_the_keys_that_the_reader_knows() -> None:
    """The list is made of the reader's own tables, so each of them must be among those that are listed."""
    page = (ROOT / "docs" / "reference" / "relay_config.rst").read_text(encoding="utf-8")
    assert ".. relay-keys::" in page
    assert {section.path for section in SECTIONS} == {
        section.path for section in vars(relay_config).values() if isinstance(section, Section)
    }
