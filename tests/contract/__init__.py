"""What several implementations of one thing promise, as tests that each of them runs."""

from __future__ import annotations

import pytest

# They hold assertions and are no test files themselves, so pytest has to be told to explain those.
for _name in ("live", "outbox", "store", "verbs"):
    pytest.register_assert_rewrite(f"tests.contract.{_name}")
