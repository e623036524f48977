"""The service manager is told over its own datagram socket."""

from __future__ import annotations

import socket

import pytest

from txbridge.daemon.notify import READY, STOPPING, notify, reloading, status, watchdog_seconds


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


def test_a_reload_says_when_it_began():
    assert reloading(12.5) == "RELOADING=1\nMONOTONIC_USEC=12500000"


def test_a_status_is_one_line():
    assert status("two\nlines") == "STATUS=two lines"


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({"WATCHDOG_USEC": "60000000"}, 60.0),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "7"}, 0.5),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_looks_only_when_it_says_so_and_at_this_process(environ, seconds):
    assert watchdog_seconds(environ, 7) == seconds
