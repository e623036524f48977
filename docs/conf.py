"""How Sphinx builds the documentation; `make docs` runs it with warnings as errors."""

from __future__ import annotations

import os
from contextlib import redirect_stdout, suppress
from io import StringIO
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList

from txbridge import __version__

project = "txbridge"
author = "txbridge contributors"
copyright = "txbridge contributors"
version = release = __version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"txbridge {release}"

autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
# Attributes become fields of their class and not objects, which autodoc's own would meet again.
napoleon_use_ivar = True
# `Source:` names the document that a behaviour comes from.
napoleon_custom_sections = ["Source"]
default_role = "py:obj"


class CommandHelp(Directive):
    """``.. command-help:: history`` shows ``txbridge history --help`` as the program says it."""

    required_arguments = 0
    optional_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Ask the program's own parser."""
        words = self.arguments[0].split() if self.arguments else []
        return [nodes.literal_block(text=help_of(words), language="none")]


class RelayKeys(Directive):
    """``.. relay-keys::`` lists the tables of a relay's file, with the keys that its reader knows."""

    has_content = False

    def run(self) -> list[nodes.Node]:
        """Write what the reader knows as text, and parse that."""
        from txbridge.daemon.relay_config import SECTIONS

        lines: list[str] = []
        for section in SECTIONS:
            title = f"``{section.path}``" if section.path else "The file"
            lines += [title, "-" * len(title), "", section.text, ""]
            for key in section.keys:
                lines += [f"``{key.name}``: {key.kind.words}{default_of(key)}", f"    {key.text}", ""]
        parent = nodes.section()
        self.state.nested_parse(StringList(lines, "relay_config.py"), 0, parent, match_titles=True)
        return parent.children


def default_of(key: Any) -> str:
    """The default of a key, as one writes it."""
    from txbridge.daemon.tables import REQUIRED, TABLE, TABLES

    if key.default is REQUIRED:
        return "; must be there"
    if key.default is None or key.kind in (TABLE, TABLES):
        return ""
    return f"; ``{key.kind.show(key.kind.read(key.default))}`` unless given"


def help_of(words: list[str]) -> str:
    """A command's help, as on a machine where nothing is set up."""
    told = ("STATE_DIRECTORY", "XDG_DATA_HOME", "XDG_STATE_HOME")
    saved = dict(os.environ)
    os.environ.update(HOME="~", COLUMNS="100")
    for name in told:
        os.environ.pop(name, None)
    try:
        from txbridge.daemon.cli import parser

        written = StringIO()
        with redirect_stdout(written), suppress(SystemExit):
            parser().parse_args([*words, "--help"])
        return written.getvalue()
    finally:
        os.environ.clear()
        os.environ.update(saved)


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.add_directive("command-help", CommandHelp)
    app.add_directive("relay-keys", RelayKeys)
