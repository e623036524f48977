"""The service manager is told over its own datagram socket."""

from __future__ import annotations

import socket

import pytest

from txbridge.daemon.notify import READY, STOPPING, notify


@pytest.mark.parametrize("message", [READY, STOPPING])
def test_a_message_reaches_the_manager(tmp_path, message):
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        notify({"NOTIFY_SOCKET": path}, message)
        assert manager.recv(100).decode() == message


def test_an_abstract_socket_is_written_with_an_at_sign(tmp_path):
    name = f"txbridge-test-{tmp_path.name}-{id(tmp_path)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name)
        notify({"NOTIFY_SOCKET": "@" + name}, READY)
        assert manager.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", ["", "relative", "/nobody/listens"])
def test_without_a_manager_nothing_happens(address):
    assert notify({"NOTIFY_SOCKET": address}, READY) is None
