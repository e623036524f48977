"""The machine txbridge runs on, read as a source of samples."""

from __future__ import annotations
