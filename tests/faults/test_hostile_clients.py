"""Thousands of connections that misbehave, and a hub that serves the others meanwhile.

Each hub is a process of its own on loopback.  What is slow here would be cut off after a while, which
other tests check with a clock of their own; here it all stands there at the same time.
"""

from __future__ import annotations

import http.client
import json
import resource
import socket
import ssl
import struct
import sys
import time
from contextlib import contextmanager, suppress

import psutil
import pytest

from tests.support.certificates import Authority
from tests.support.program import ANY_PORT, PATIENCE, Program, bare_environ

CONNECTIONS = 2000
KILOBYTES_EACH = 64  # of the hub's memory, at most, for a connection that has sent 16 kB
WEBSOCKET = (
    b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
CHUNK = b"x" * 16_000
TO_HTTP = {
    "a head that does not end": b"GET / HTTP/1.1\r\nX-Padding: " + CHUNK[:8000],
    "a body that does not end": b"PUT /v2/feeds/1 HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n" + CHUNK,
    "chunks that do not end": b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n" + CHUNK,
    "a handshake that does not end": WEBSOCKET[:-2],
    "a frame that does not end": WEBSOCKET + b"\x81\xff" + struct.pack("!Q", 1_000_000) + bytes(4) + CHUNK,
    "fragments that do not end": WEBSOCKET + b"\x01\x80\x00\x00\x00\x00" * 100,
    "answers that are not read": b"GET /web/vendor/uPlot.iife.min.js HTTP/1.1\r\n\r\n" * 50,
    "nothing": b"",
}
TO_PAWS = {
    "a message that does not end": b'{"method":"put","body":"' + CHUNK,
    "messages that are wrong": b'{"method":"get","resource":"/feeds/1","headers":{"X-ApiKey":"guess"}}' * 20,
    "no JSON": b"GET / HTTP/1.1\r\n\r\n",
    "nothing": b"",
}
TO_TLS = {
    "a hello that does not end": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
    "nothing": b"",
    "no TLS": CHUNK,
}


class Running:
    """A hub in a process of its own, with every kind of listener."""

    def __init__(self, folder, files):
        identity = Authority().issue("localhost")
        (folder / "key.pem").write_bytes(identity.key_pem())
        (folder / "cert.pem").write_bytes(identity.pem)
        secure = f"interface=127.0.0.1:privateKey={folder}/key.pem:certKey={folder}/cert.pem"
        arguments = [
            "hub",
            "--data",
            str(folder / "data"),
            "--listen",
            ANY_PORT,
            "--listen",
            f"ssl:0:{secure}",
        ]
        arguments += ["--paws-tcp", f"tcp:port=0:{ANY_PORT[6:]}", "--paws-tcp", f"ssl:port=0:{secure}"]
        limit = f'ulimit -n {files}; exec "$@"'
        self.program = Program(
            *("sh", "-c", limit, "hub", sys.executable, "-m", "txbridge", *arguments),
            environ=bare_environ(folder),
        )
        found = [self.program.expect(rf"^listening on {kind}://\S+:(\d+)$") for kind in KINDS]
        self.http, self.https, self.paws, self.paws_tls = (int(match[1]) for match in found)
        self.key = (folder / "data" / "owner.key").read_text().strip()
        self.process = psutil.Process(self.program.process.pid)

    def ask(self, method, path, document=None):
        """One request of somebody who behaves: its status, and the document."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http, timeout=PATIENCE)
        try:
            body = None if document is None else json.dumps(document)
            connection.request(method, f"/v2{path}", body, {"X-ApiKey": self.key})
            response = connection.getresponse()
            said = response.read()
            return response.status, json.loads(said) if said else None
        finally:
            connection.close()

    def serves(self):
        """Whether it serves who behaves: over HTTP, TLS and the socket, within a bounded time."""
        value = str(time.monotonic())
        with socket.create_connection(("127.0.0.1", self.paws), PATIENCE) as watching:
            lines = watching.makefile("rb")
            subscription = {"method": "subscribe", "resource": "/feeds/1", "headers": {"X-ApiKey": self.key}}
            watching.sendall(json.dumps(subscription).encode())
            assert json.loads(lines.readline())["status"] == 200
            document = {"datastreams": [{"id": "a", "current_value": value}]}
            assert self.ask("PUT", "/feeds/1", document)[0] == 200
            assert json.loads(lines.readline())["body"]["datastreams"][0]["current_value"] == value
        trust = ssl.create_default_context()
        trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
        secure = http.client.HTTPSConnection("127.0.0.1", self.https, timeout=PATIENCE, context=trust)
        secure.request("GET", "/healthz")
        assert secure.getresponse().read() == b"ok\n"
        secure.close()
        return self.ask("GET", "/feeds/1")[1]["datastreams"][0]["current_value"] == value

    def stop(self):
        """Stop it; what it logged."""
        assert self.program.stop() == 0
        return self.program.err


KINDS = ("http", "https", r"paws tcp", r"paws tls")


@contextmanager
def running(folder, files=20_000):
    hub = Running(folder, files)
    try:
        assert hub.ask("POST", "/feeds", {"title": "a"})[0] == 201
        yield hub
    finally:
        hub.program.close()


def connect(port, data):
    """A connection that has sent this, as far as it is taken."""
    connection = socket.create_connection(("127.0.0.1", port), PATIENCE)
    connection.setblocking(False)
    with suppress(OSError):  # it was cut off already, or is not read: just what is wanted
        connection.send(data)
    return connection


def reset(connection):
    """End a connection in the middle of everything."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def files_left(hub, most):
    """Whether no more than so many files are open in the end."""
    until = time.monotonic() + PATIENCE
    while hub.process.num_fds() > most and time.monotonic() < until:
        assert hub.ask("GET", "/feeds/1")[0] == 200
    return hub.process.num_fds() <= most


@pytest.fixture
def many_files():
    """Let this process have as many connections as it needs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + 500
    assert hard == resource.RLIM_INFINITY or hard >= wanted, "this machine lets nobody open so many files"
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_thousands_of_connections_that_misbehave_take_little_and_keep_nobody_out(tmp_path, many_files):
    with running(tmp_path) as hub:
        assert hub.serves()
        files, memory = hub.process.num_fds(), hub.process.memory_info().rss
        ways = [
            *((hub.http, data) for data in TO_HTTP.values()),
            *((hub.paws, data) for data in TO_PAWS.values()),
            *((port, data) for port in (hub.https, hub.paws_tls) for data in TO_TLS.values()),
        ]
        connections = [connect(*ways[number % len(ways)]) for number in range(CONNECTIONS)]
        assert hub.serves()
        for connection in connections[::2]:
            with suppress(OSError):  # cut off already
                connection.send(b"\r\n")
        assert hub.serves()
        grown = hub.process.memory_info().rss - memory
        assert grown < CONNECTIONS * KILOBYTES_EACH * 1024, f"{grown / CONNECTIONS:.0f} bytes a connection"
        for connection in connections:
            reset(connection)
        assert hub.serves()
        assert files_left(hub, files + 10)
        said = hub.stop()
    assert "Traceback" not in said
    assert hub.key not in said
    assert "guess" not in said


def test_at_the_limit_of_connections_who_has_a_key_still_gets_in(tmp_path):
    with running(tmp_path, files=456) as hub:  # room for a hundred connections, and as many sockets
        connections = []
        for data in (b"", TO_HTTP["a body that does not end"], TO_HTTP["answers that are not read"]):
            connections += [connect(hub.http, data) for _ in range(150)]
            connections += [connect(hub.paws, b"{" if data else b"") for _ in range(150)]
            assert hub.serves()
        connections += [connect(port, b"") for port in (hub.https, hub.paws_tls) for _ in range(150)]
        assert hub.serves()
        for connection in connections:
            connection.close()
        said = hub.stop()
    assert "Traceback" not in said


def test_a_connection_that_is_half_closed_is_let_go(tmp_path):
    with running(tmp_path) as hub:
        files = hub.process.num_fds()
        half = [connect(hub.http, data) for data in TO_HTTP.values()]
        half += [connect(hub.paws, data) for data in TO_PAWS.values()]
        for connection in half:
            with suppress(OSError):  # cut off already
                connection.shutdown(socket.SHUT_WR)
        for connection in half:
            connection.setblocking(True)
            connection.settimeout(PATIENCE)
            with suppress(ConnectionResetError):
                while connection.recv(65536):
                    pass
            connection.close()
        assert files_left(hub, files + 2)
        assert "Traceback" not in hub.stop()
