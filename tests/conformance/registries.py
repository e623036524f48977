"""Clients that others wrote, from the public package registries, unmodified.

Each language gets one environment of its own below ``.venv-peers``, made once and kept until what is
wanted changes; nothing of a peer is ever part of this repository.  What cannot be had is skipped, or
fails where ``TXBRIDGE_REQUIRE_PEERS=1`` says that it must be there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest
from attrs import frozen

__all__ = ["Peer", "absent", "curl_peer", "iobeam_peer", "node_peer", "python_peer"]

HERE = Path(__file__).parent / "peers"
CACHE = Path(__file__).parent.parent.parent / ".venv-peers"
REQUIRED = "TXBRIDGE_REQUIRE_PEERS"
INSTALL_SECONDS = 240.0
RUN_SECONDS = 60.0

# Its setup.py asks for the translation to Python 3 that setuptools 58 took away.
OLD_SETUPTOOLS = ("setuptools<58", "wheel")
PYTHON_PEERS = ("python-eeml==4.1.0", "websockets==17.4", "xively-python==0.1.0rc1")
NODE_PEERS = ("cosm@0.1.0",)
# Newer releases of PyJWT refuse tokens whose "kid" is a number, as the service's were.
IOBEAM_PEERS = ("iobeam==0.11.0", "pyjwt<2.12")


@frozen
class Peer:
    """A program that is installed.

    Attributes:
        command: What runs it.
        environ: What it finds in its environment.
    """

    command: Sequence[str]
    environ: Mapping[str, str]

    def run(self, *arguments: str) -> str:
        """Run it to its end.

        Returns:
            What it wrote; a failure of it is a failure of the test.
        """
        done = _run(*self.command, *arguments, seconds=RUN_SECONDS, environ=self.environ)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def play(self, script: str, *arguments: str) -> Any:
        """Run one of the scripts beside this file.

        Returns:
            The JSON on the last line that it wrote.
        """
        return json.loads(self.run(str(HERE / script), *arguments).splitlines()[-1])


def python_peer() -> Peer:
    """Python with `PYTHON_PEERS`."""
    return Peer(_python_with("python", OLD_SETUPTOOLS, ("--no-build-isolation", *PYTHON_PEERS)), {})


def iobeam_peer() -> Peer:
    """Python with iobeam's own client; an environment of its own, because it brings an old ``enum`` along."""
    # What requests finds in the environment about proxies would hold for this machine's own address too.
    return Peer(_python_with("iobeam", IOBEAM_PEERS), {"no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"})


def node_peer() -> Peer:
    """Node with `NODE_PEERS`."""
    node, npm = _program("node"), _program("npm")
    home = CACHE / "node"

    def install() -> None:
        home.mkdir(parents=True)
        _must(
            npm, "install", "--loglevel=error", "--no-audit", "--no-fund", "--prefix", str(home), *NODE_PEERS
        )

    _installed(home, NODE_PEERS, install)
    return Peer((node,), {"NODE_PATH": str(home / "node_modules"), "NODE_NO_WARNINGS": "1"})


def curl_peer() -> Peer:
    """The ``curl`` of this machine."""
    return Peer((_program("curl"), "--silent", "--show-error", "--max-time", "20"), {})


def _python_with(name: str, *steps: Sequence[str]) -> Sequence[str]:
    """The command of a Python that has what these steps of ``pip install`` bring."""
    home = CACHE / name
    python = str(home / "bin" / "python")

    def install() -> None:
        _must(sys.executable, "-m", "venv", str(home))
        for step in steps:
            pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1")
            _must(*pip, *step)

    _installed(home, [word for step in steps for word in step], install)
    return (python, "-W", "ignore")


def _program(name: str) -> str:
    found = shutil.which(name)
    return absent(f"there is no {name} on this machine") if found is None else found


def _installed(home: Path, wanted: Sequence[str], install: Callable[[], None]) -> None:
    stamp = home / "installed.json"
    if stamp.is_file() and json.loads(stamp.read_text()) == list(wanted):
        return
    shutil.rmtree(home, ignore_errors=True)
    CACHE.mkdir(exist_ok=True)
    install()
    stamp.write_text(json.dumps(list(wanted)))


def _must(*command: str) -> None:
    """Run a step of an installation."""
    try:
        done = _run(*command, seconds=INSTALL_SECONDS, environ={})
    except subprocess.TimeoutExpired:
        absent(f"{Path(command[0]).name} was not done after {INSTALL_SECONDS:g} s")
    if done.returncode != 0:
        absent(f"{Path(command[0]).name} failed: {done.stderr.strip()[-500:]}")


def _run(*command: str, seconds: float, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env={**os.environ, **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def absent(reason: str) -> NoReturn:
    """Skip what needs a peer that cannot be had, or fail where it must be there."""
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"a peer is missing: {reason}")
    pytest.skip(reason)
