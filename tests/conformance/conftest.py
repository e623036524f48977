"""A real Joule node for the whole run, started for the first test that asks and stopped after the last."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path

import pytest
import pytest_twisted
from attrs import field, frozen

from tests.conformance.registries import absent
from txbridge.joule import Node

RECIPE = Path(__file__).parent / "peers" / "joule"
START_SECONDS = 600.0  # the first start installs PostgreSQL and the wheels
STOP_SECONDS = 60.0


@frozen
class JoulePeer:
    """A Joule node that is running.

    Attributes:
        url: Where it is.
        key: A key that may do everything.
        name: What it calls itself.
        config: A directory as Joule's own client keeps one.
        importer_key: A key for archives.
        python: The Python that the node runs in.
        environ: What its scripts are told.
    """

    url: str
    key: str = field(repr=False)
    name: str
    config: Path
    importer_key: str = field(repr=False)
    python: str
    environ: Mapping[str, str] = field(repr=False)

    def node(self) -> Node:
        """A client of ours for it; close it."""
        return Node(self.url, self.key)

    def kill(self) -> None:
        """Kill the node with its modules, as a power cut does; the database stays."""
        pid_file = self.config.parent / "jouled.pid"
        os.killpg(int(pid_file.read_text()), signal.SIGKILL)
        pid_file.unlink()  # a process that is dead and not reaped yet would pass for a running node

    def start_again(self) -> None:
        """Start the node that was killed."""
        _run("setup.sh", self.environ, START_SECONDS)

    def database_user(self, dsn: str) -> str:
        """Connect to the node's database by the node's own SQLAlchemy, and ask who we are."""
        code = (
            "import sqlalchemy\n"
            "with sqlalchemy.create_engine(input()).connect() as connection:\n"
            "    print(connection.exec_driver_sql('select current_user').scalar())\n"
        )
        done = subprocess.run(
            [self.python, "-c", code], input=dsn, capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout.strip()


@pytest.fixture(scope="session")
def joule_peer() -> Iterator[JoulePeer]:
    """A real node, with modules that produce."""
    home = Path(tempfile.mkdtemp(prefix="txbridge-joule-"))
    home.chmod(0o755)  # the database runs as a user of its own
    ports = _free_ports(2)
    environ = {"JOULE_PEER_RUN": str(home), "JOULE_INSTANCE": "t", "NODE_NAME": "joule_t"}
    environ |= {"JOULE_PORT": str(ports[0]), "PG_PORT": str(ports[1]), "JOULE_CONFIGURED_EVENTS": "1"}
    try:
        said = _run("setup.sh", environ, START_SECONDS)
        found = dict(line.split("=", 1) for line in said.splitlines())
        yield JoulePeer(
            found["JOULE_URL"],
            found["JOULE_API_KEY"],
            found["JOULE_NODE_NAME"],
            Path(found["JOULE_USER_CONFIG_DIR"]),
            found["JOULE_IMPORTER_KEY"],
            found["JOULE_PYTHON"],
            environ,
        )
    finally:
        subprocess.run(
            [RECIPE / "stop.sh", "--purge"],
            env={**os.environ, **environ},
            timeout=STOP_SECONDS,
            check=False,
            capture_output=True,
        )
        shutil.rmtree(home, ignore_errors=True)


@pytest_twisted.async_yield_fixture
async def node(joule_peer: JoulePeer) -> AsyncIterator[Node]:
    """A client of the real node."""
    client = joule_peer.node()
    yield client
    await client.close()


def _free_ports(count: int) -> list[int]:
    # All open at once, so that they differ; another run on this machine gets others.
    listeners = [socket.socket() for _ in range(count)]
    try:
        for listener in listeners:
            listener.bind(("127.0.0.1", 0))
        return [listener.getsockname()[1] for listener in listeners]
    finally:
        for listener in listeners:
            listener.close()


def _run(script: str, environ: Mapping[str, str], seconds: float) -> str:
    try:
        done = subprocess.run(
            [RECIPE / script],
            env={**os.environ, **environ},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        absent(f"no Joule node after {seconds:g} s")
    if done.returncode != 0:
        absent(f"the Joule node did not start: {done.stderr.strip()[-2000:]}")
    return done.stdout
