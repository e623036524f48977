"""Joule, which keeps folders of data streams and event streams on a machine of one's own."""

from __future__ import annotations
