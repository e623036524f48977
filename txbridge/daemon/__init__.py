"""The program: configuration, assembly and the command line."""

from __future__ import annotations
