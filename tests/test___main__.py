"""The package can be run."""

from __future__ import annotations

import runpy
import sys

import pytest


def test_the_package_is_the_program(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["txbridge", "--version"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("txbridge", run_name="__main__")
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("txbridge ")
