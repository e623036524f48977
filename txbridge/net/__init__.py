"""How things travel: operations, carriers, deadlines and trust.  Knows no platform."""

from __future__ import annotations
