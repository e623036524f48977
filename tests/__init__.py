"""The tests mirror the package file by file, so that a test is where one looks for it."""

from __future__ import annotations
