"""Move device data between platforms that were never meant to talk to each other."""

from __future__ import annotations

from txbridge._version import __version__

__all__ = ["__version__"]
