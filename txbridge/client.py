"""The clients by the address that txPachube gave them, so that ported code changes one word."""

from __future__ import annotations

from txbridge.cosm import Client, PAWSClient

__all__ = ["Client", "PAWSClient"]
