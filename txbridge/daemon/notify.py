"""Telling systemd how the service is: ``Type=notify`` without a library.

systemd names a datagram socket in ``NOTIFY_SOCKET``; a message is a line such as ``READY=1``.
Without the variable nothing happens.

Source: systemd, ``sd_notify(3)``.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping

__all__ = ["READY", "STOPPING", "notify"]

READY = "READY=1"
STOPPING = "STOPPING=1"


def notify(environ: Mapping[str, str], message: str) -> None:
    """Send one message to the service manager, if there is one; never fails.

    Args:
        environ: Has ``NOTIFY_SOCKET``: a path, or ``@`` and the name of an abstract socket.
        message: `READY` or `STOPPING`.
    """
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.setblocking(False)
        try:
            channel.sendto(message.encode(), "\0" + address[1:] if address[0] == "@" else address)
        except OSError:
            # A service manager that does not listen is no reason for the hub not to work.
            return
