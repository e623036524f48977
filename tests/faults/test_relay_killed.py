"""A relay of the program that is killed under load, and its hub with it: what it said it has arrives."""

from __future__ import annotations

import json
import random
import socket
import time
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from tests.support.program import PATIENCE, Program, bare_environ, program, started_hub

ROUNDS = 6
CONFIG = """
state = "state"
[routes.bench]
from.lines.listen = "unix:{folder}/lines"
to.hub.cosm = {{ url = "{url}", feed = {feed}, key.file = "hub.key" }}
"""


def ask(port: int, key: str, method: str, path: str, body: Any = None) -> Any:
    """The document of a hub's answer, or where what was made is."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
        connection.request(
            method, f"/v2{path}", None if body is None else json.dumps(body), {"X-ApiKey": key}
        )
        response = connection.getresponse()
        text = response.read()
        assert response.status < 300, text
        return json.loads(text) if text else response.getheader("Location")


class Device:
    """Sends numbered lines, and again what was not answered."""

    def __init__(self, path: Path, start: int) -> None:
        self._path = path
        self._start = start
        self.accepted = 0

    def line(self, number: int) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._start + number))
        return f"t,{at},{number}\n"

    def send(self, count: int) -> bool:
        """Send the next lines; whether all of them were accepted."""
        lines = "".join(self.line(number) for number in range(self.accepted, self.accepted + count))
        try:
            with closing(socket.socket(socket.AF_UNIX)) as connection:
                connection.settimeout(PATIENCE)
                connection.connect(str(self._path))
                connection.sendall(lines.encode())
                connection.shutdown(socket.SHUT_WR)
                answer = b""
                while chunk := connection.recv(1000):
                    answer += chunk
        except OSError:
            return False
        if not answer.endswith(b"ok %d\n" % count):
            return False
        self.accepted += count
        return True


def test_what_a_relay_said_it_has_arrives_however_often_it_is_killed(tmp_path):
    chance = random.Random(20131125)
    data, relay_toml = tmp_path / "data", tmp_path / "relay.toml"
    with started_hub(data) as hub:
        feed = str(ask(hub.port, hub.key, "POST", "/feeds", {"title": "bench"})).rpartition("/")[2]
        port, key = hub.port, hub.key
        hub.program.stop(9)
    (tmp_path / "hub.key").write_text(key)
    (tmp_path / "hub.key").chmod(0o600)
    relay_toml.write_text(CONFIG.format(folder=tmp_path, url=f"http://127.0.0.1:{port}", feed=feed))
    environ = bare_environ(tmp_path)
    device = Device(tmp_path / "lines", int(time.time()) - 100_000)

    def relay() -> Any:
        return program("relay", "run", "--config", str(relay_toml), environ=environ)

    def hub_again() -> Any:
        listen = f"tcp:{port}:interface=127.0.0.1"
        return program("hub", "--listen", listen, "--data", str(data), environ=environ)

    for _ in range(ROUNDS):
        with relay() as running, hub_again() as server:
            _send_while_alive(device, running, server, chance)
    with relay() as running, hub_again() as server:
        server.expect("^listening on")
        until = time.monotonic() + 2 * PATIENCE
        while not device.send(1):
            assert time.monotonic() < until
            time.sleep(0.05)
        wanted = device.accepted
        while True:
            values = history(port, key, feed)
            if len(values) >= wanted or time.monotonic() > until:
                break
            time.sleep(0.2)
    assert wanted > 500
    missing = set(range(wanted)) - {int(value) for value in values}
    assert missing == set()
    assert len(values) == len(set(values))


def _send_while_alive(device: Device, running: Program, server: Program, chance: random.Random) -> None:
    """Send until the relay, and sometimes the hub, is killed in the middle."""
    until = time.monotonic() + PATIENCE
    while not device.send(chance.randint(1, 30)):
        assert time.monotonic() < until, running.err
        time.sleep(0.05)
    deadline = time.monotonic() + chance.uniform(0.2, 0.8)
    while time.monotonic() < deadline:
        device.send(chance.randint(1, 30))
    for one in chance.sample([running, server], chance.randint(1, 2)):
        one.process.kill()
    device.send(5)


def history(port: int, key: str, feed: str) -> list[str]:
    """Every value that the hub has."""
    values: list[str] = []
    with closing(HTTPConnection("127.0.0.1", port, timeout=PATIENCE)) as connection:
        connection.request("GET", f"/v2/feeds/{feed}/datastreams/t/archive.csv", headers={"X-ApiKey": key})
        response = connection.getresponse()
        text = response.read().decode()
        if response.status == 200:
            values = [line.rpartition(",")[2] for line in text.splitlines() if line]
    return values
