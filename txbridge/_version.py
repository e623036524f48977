"""The version, written once: `setup.py` reads this file as text, so it imports nothing."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
