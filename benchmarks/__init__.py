"""Paired measurements beside peers: ``python -m benchmarks``; what they mean is in ``docs/performance.rst``."""

from __future__ import annotations
