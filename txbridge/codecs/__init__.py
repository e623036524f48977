"""Bytes to model and back: JSON, EEML and CSV.  Pure: no I/O, no clock."""

from __future__ import annotations
