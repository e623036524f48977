"""A hub that may have few files open turns clients away before nothing can be opened any more."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import ExitStack, suppress

from tests.support.program import ANY_PORT, PATIENCE, Program, bare_environ

FEW_FILES = ("sh", "-c", 'ulimit -n 96; exec "$@"', "sh", sys.executable, "-m", "txbridge")
FIRST_CSV = """
import resource
from txbridge.codecs import cosm_csv
from txbridge.model.structures import Datastream
resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
print(cosm_csv.decode(Datastream, b"\\xef\\xbb\\xbf21.5").current_value)
"""


def test_the_first_csv_document_is_read_without_opening_a_file():
    done = subprocess.run([sys.executable, "-c", FIRST_CSV], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("21.5\n", "")


def test_clients_that_only_sit_there_make_room_for_who_comes_and_asks(tmp_path):
    data = tmp_path / "data"
    command = (*FEW_FILES, "hub", "--listen", ANY_PORT, "--data", str(data))
    with ExitStack() as stack:
        hub = Program(*command, environ=bare_environ(tmp_path))
        stack.callback(hub.close)
        port = int(hub.expect(r"^listening on http://127.0.0.1:([0-9]+)$")[1])
        hub.expect("takes 16 connections and 16 sockets at once: so few files may be open", "err")
        key = (data / "owner.key").read_text().strip()

        def connect() -> socket.socket:
            return stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE))

        idle = [connect() for _ in range(16)]
        for connection in idle[:]:
            idle.append(connect())
            with suppress(ConnectionResetError):
                assert connection.recv(12) == b""
        asking = connect()
        body = b'{"title":"t"}'
        asking.sendall(
            b"POST /v2/feeds HTTP/1.1\r\nHost: x\r\nX-ApiKey: %s\r\nContent-Length: %d\r\n\r\n%s"
            % (key.encode(), len(body), body)
        )
        assert asking.recv(12) == b"HTTP/1.1 201"
