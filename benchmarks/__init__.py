"""Paired measurements beside peers: ``python -m benchmarks``; ``docs/performance.rst`` says what they mean."""

from __future__ import annotations
