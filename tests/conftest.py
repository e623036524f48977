"""What holds for every test: nothing left behind, and the same Hypothesis settings."""

from __future__ import annotations

import os

from hypothesis import settings

from tests.support.guard import flushed_errors, guard, pytest_collection_modifyitems

__all__ = ["flushed_errors", "guard", "pytest_collection_modifyitems"]

settings.register_profile("txbridge", deadline=None, derandomize="CI" in os.environ, print_blob=True)
settings.load_profile("txbridge")
