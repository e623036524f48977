"""What is exchanged: structures, samples and instants.  Pure: no I/O, no clock."""

from __future__ import annotations
