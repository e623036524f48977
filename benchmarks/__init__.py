"""Paired measurements beside peers: ``python -m benchmarks``; see ``docs/performance.rst`` for the method."""

from __future__ import annotations
