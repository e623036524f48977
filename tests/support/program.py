"""The program as its users run it: in processes of their own, and a hub of it in this one."""

from __future__ import annotations

import io
import os
import re
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from attrs import define, frozen
from twisted.internet.task import deferLater

from txbridge.cosm.client import Client
from txbridge.daemon.assembly import client_of, hub_service
from txbridge.daemon.config import ClientConfig, hub_config
from txbridge.daemon.terminal import Terminal
from txbridge.net.reactor import resolve_reactor

__all__ = [
    "PATIENCE",
    "Hub",
    "Program",
    "StartedHub",
    "bare_environ",
    "captured",
    "hub_here",
    "run_program",
    "started_hub",
]

ROOT = Path(__file__).parent.parent.parent
PATIENCE = 30.0  # seconds; a busy machine may take long, a test that waits for this has failed
ANY_PORT = "tcp:0:interface=127.0.0.1"


def bare_environ(home: Path, **more: str) -> dict[str, str]:
    """An environment that says nothing about a hub."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
    return {**kept, "HOME": str(home), "PYTHONPATH": str(ROOT), **more}


@frozen
class Ended:
    """What a program left."""

    status: int
    out: str
    err: str


def run_program(*arguments: str, environ: Mapping[str, str], input: str = "") -> Ended:
    """Run ``txbridge`` to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "txbridge", *arguments],
        env=dict(environ),
        input=input,
        capture_output=True,
        text=True,
        timeout=PATIENCE * 2,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


class Program:
    """A program that runs, and whose lines can be waited for."""

    def __init__(self, *command: str, environ: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            command,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._text = {"out": "", "err": ""}
        self._selector = selectors.DefaultSelector()
        for name, pipe in (("out", self.process.stdout), ("err", self.process.stderr)):
            assert pipe is not None
            self._selector.register(pipe, selectors.EVENT_READ, name)

    @property
    def out(self) -> str:
        """What it has written to stdout so far."""
        return self._text["out"]

    @property
    def err(self) -> str:
        """What it has written to stderr so far."""
        return self._text["err"]

    def expect(self, pattern: str, stream: str = "out") -> re.Match[str]:
        """Wait until what was written has this in it."""
        until = time.monotonic() + PATIENCE
        while (match := re.search(pattern, self._text[stream], re.MULTILINE)) is None:
            if not self._read(until):
                raise AssertionError(f"{pattern!r} did not come; out: {self.out!r}, err: {self.err!r}")
        return match

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, and wait for the end."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Wait for the end, reading what is still written."""
        until = time.monotonic() + PATIENCE
        while self._read(until):
            pass
        return self.process.wait(max(0.1, until - time.monotonic()))

    def close(self) -> None:
        """Let go of it, whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE)
        self._selector.close()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()

    def _read(self, until: float) -> bool:
        """Read what comes next; False at the end of both streams, or when it is late."""
        left = until - time.monotonic()
        if left <= 0 or not self._selector.get_map():
            return False
        for key, _ in self._selector.select(left):
            chunk = os.read(key.fd, 65536)
            if not chunk:
                self._selector.unregister(key.fileobj)
            self._text[key.data] += chunk.decode()
        return True


@contextmanager
def program(*arguments: str, environ: Mapping[str, str]) -> Iterator[Program]:
    """Run ``txbridge`` while a block runs."""
    running = Program(sys.executable, "-m", "txbridge", *arguments, environ=environ)
    try:
        yield running
    finally:
        running.close()


@define
class StartedHub:
    """A hub in a process of its own."""

    program: Program
    url: str
    data: Path
    key: str

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rsplit(":", 1)[1])

    @property
    def environ(self) -> dict[str, str]:
        """The environment of commands that ask it."""
        return bare_environ(self.data.parent, TXBRIDGE_URL=self.url, TXBRIDGE_API_KEY=self.key)


@contextmanager
def started_hub(data: Path, *arguments: str, key: str | None = None) -> Iterator[StartedHub]:
    """Run a hub in a process of its own while a block runs."""
    more = ("--listen", ANY_PORT, "--data", str(data), *arguments)
    with program("hub", *more, environ=bare_environ(data.parent)) as running:
        url = running.expect(r"^listening on (http://\S+)$")[1]
        known = (data / "owner.key").read_text().strip() if key is None else key
        yield StartedHub(running, url, data, known)


@frozen
class Hub:
    """A hub in this process."""

    config: ClientConfig
    client: Client
    reactor: Any


@asynccontextmanager
async def hub_here(data: Path) -> AsyncIterator[Hub]:
    """Run a hub in this process, on the test's reactor, over real connections."""
    reactor = resolve_reactor()
    service = hub_service(reactor, hub_config(data=str(data), listen=[ANY_PORT]))
    await service.start()
    key = (data / "owner.key").read_text().strip()
    config = ClientConfig(f"{service.addresses[0]}/v2", key)
    client = client_of(reactor, config)
    try:
        yield Hub(config, client, reactor)
    finally:
        await client.close()
        await service.stop()


class Tty(io.StringIO):
    """A stream that says that a person watches it."""

    def isatty(self) -> bool:
        return True


def captured(*, watched: bool = False) -> Terminal:
    """A terminal whose streams can be read."""
    return Terminal(Tty() if watched else io.StringIO(), io.StringIO())


async def turn(reactor: Any, seconds: float = 0.01) -> None:
    """Let the reactor work."""
    await deferLater(reactor, seconds)
