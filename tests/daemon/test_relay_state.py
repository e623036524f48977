"""One process at a time has a state directory."""

from __future__ import annotations

import os
import socket
import stat

import pytest

from txbridge.daemon.relay_state import StateDirectory
from txbridge.errors import ConfigError


def test_it_is_made_for_its_owner_and_says_who_has_it(tmp_path):
    state = StateDirectory(str(tmp_path / "a" / "state"))
    assert stat.S_IMODE(state.path.stat().st_mode) == 0o700
    assert (state.path / "lock").read_text() == f"{os.getpid()}\n"
    assert state.of_route("boiler") == state.path / "boiler"
    state.release()


def test_a_second_one_is_refused_with_the_number_of_the_first(tmp_path):
    first = StateDirectory(str(tmp_path))
    with pytest.raises(ConfigError, match=f"is in use by process {os.getpid()}"):
        StateDirectory(str(tmp_path))
    first.release()
    StateDirectory(str(tmp_path)).release()


def test_what_a_killed_one_left_to_be_asked_at_is_gone(tmp_path):
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "control"))
    state = StateDirectory(str(tmp_path))
    assert not (tmp_path / "control").exists()
    state.release()


def test_what_cannot_be_a_directory_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot keep state in .*file/state"):
        StateDirectory(str(tmp_path / "file" / "state"))
