"""The embedded server: stores history, pushes live updates, fires triggers."""

from __future__ import annotations
