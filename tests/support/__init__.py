"""Fakes and observers that several tests share."""

from __future__ import annotations
