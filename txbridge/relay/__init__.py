"""From a source to sinks through a durable outbox, without losing a point."""

from __future__ import annotations
