"""Telling systemd how the service is: ``Type=notify`` without a library.

systemd names a datagram socket in ``NOTIFY_SOCKET``; a message is a line such as ``READY=1``, or several.
Without the variable nothing happens.

Source: systemd, ``sd_notify(3)`` and ``sd_watchdog_enabled(3)``.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping

__all__ = ["READY", "STOPPING", "WATCHDOG", "notify", "reloading", "status", "watchdog_seconds"]

READY = "READY=1"
STOPPING = "STOPPING=1"
WATCHDOG = "WATCHDOG=1"


def reloading(monotonic: float) -> str:
    """The message that a reload has begun; `READY` ends it.

    Args:
        monotonic: Seconds of ``CLOCK_MONOTONIC`` now.
    """
    return f"RELOADING=1\nMONOTONIC_USEC={int(monotonic * 1_000_000)}"


def status(text: str) -> str:
    """The message that ``systemctl status`` shows."""
    return "STATUS=" + " ".join(text.split())


def watchdog_seconds(environ: Mapping[str, str], pid: int) -> float | None:
    """How often systemd wants `WATCHDOG` at least; None when it does not look.

    Args:
        environ: Has ``WATCHDOG_USEC``, and perhaps in ``WATCHDOG_PID`` whom it is for.
        pid: Of this process.
    """
    text = environ.get("WATCHDOG_USEC", "")
    if not text.isdigit() or int(text) == 0 or environ.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    return int(text) / 1_000_000


def notify(environ: Mapping[str, str], message: str) -> None:
    """Send one message to the service manager, if there is one; never fails.

    Args:
        environ: Has ``NOTIFY_SOCKET``: a path, or ``@`` and the name of an abstract socket.
        message: Such as `READY`.
    """
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.setblocking(False)
        try:
            channel.sendto(message.encode(), "\0" + address[1:] if address[0] == "@" else address)
        except OSError:
            # A service manager that does not listen is no reason for the service not to work.
            return
