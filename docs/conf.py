"""How Sphinx builds the documentation; `make docs` runs it with warnings as errors."""

from __future__ import annotations

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
# `Source:` names the document that a behaviour comes from.
napoleon_custom_sections = ["Source"]
default_role = "py:obj"
