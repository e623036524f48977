"""What holds for every test: nothing left behind, and the same Hypothesis settings."""

from __future__ import annotations

import os

from hypothesis import settings

from tests.support.guard import flushed_errors, guard, pytest_collection_modifyitems

__all__ = ["flushed_errors", "guard", "pytest_collection_modifyitems"]

# `--hypothesis-profile=thorough`, or HYPOTHESIS_PROFILE=thorough, looks harder than every run can afford to.
settings.register_profile(
    "txbridge", deadline=None, derandomize="CI" in os.environ, max_examples=50, print_blob=True
)
settings.register_profile("thorough", settings.get_profile("txbridge"), derandomize=False, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "txbridge"))
