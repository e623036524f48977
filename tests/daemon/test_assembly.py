"""The hub put together: what one of its parts has to know about another."""

from __future__ import annotations

import pytest

from txbridge.daemon import assembly


@pytest.mark.parametrize(
    ("endpoints", "port"),
    [
        ((), 80),
        (("tcp:8080:interface=127.0.0.1", "tcp:9090"), 8080),
        (("ssl:8443:privateKey=key.pem", "tcp:port=8080"), 8080),
        (("unix:/run/hub.sock", "tcp6:8080"), 8080),
        (("tcp:0:interface=127.0.0.1", "systemd:domain=INET:index=0"), 80),
    ],
)
def test_tcp_clients_are_told_the_first_fixed_port_of_plain_http(endpoints, port):
    assert assembly._http_port(endpoints) == port
