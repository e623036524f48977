"""The hub under Twisted's own runner."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from contextlib import closing
from ipaddress import ip_network

import pytest
from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins
from twisted.python.usage import UsageError

from tests.support.program import PATIENCE, Program, bare_environ
from txbridge.daemon.config import HubConfig
from txbridge.daemon.plugin import Options, makeService
from txbridge.errors import ConfigError

ANY_PORT = "tcp:0:interface=127.0.0.1"


def twist(tmp_path, *arguments):
    runner = (sys.executable, "-m", "twisted", "--log-file=-", "--log-format=text")
    return Program(*runner, "txbridge-hub", *arguments, environ=bare_environ(tmp_path))


def test_twisted_finds_the_plugin():
    found = {plugin.tapname: plugin for plugin in getPlugins(IServiceMaker)}
    assert found["txbridge-hub"].module == "txbridge.daemon.plugin"


def test_the_options_are_those_of_the_command(tmp_path):
    (tmp_path / "key").write_text("sesame\n")
    options = Options()
    key = ["--api-key-file", str(tmp_path / "key")]
    more = ["--public-url", "https://hub.example", "--requests-per-minute", "60", "--relay-state", "r"]
    where = ["--listen", ANY_PORT, "--listen", "tcp:1", "--paws-tcp", "tcp:2"]
    more += ["--public-graphs", "--max-feeds", "7"]
    options.parseOptions(["--data", "d", *where, *key, *more, "--allow-webhooks", "10.0.0.0/8"])
    assert options.config == HubConfig(
        "d",
        (ANY_PORT, "tcp:1"),
        ("tcp:2",),
        "sesame",
        public_url="https://hub.example",
        requests_per_minute=60.0,
        relay="r",
        public_graphs=True,
        max_feeds=7,
        webhooks=(ip_network("10.0.0.0/8"),),
    )


def test_every_problem_with_the_options_is_told():
    with pytest.raises(UsageError) as caught:
        Options().parseOptions(["--listen", "x", "--paws-tcp", "y"])
    assert "'x' is no endpoint" in str(caught.value)
    assert "'y' is no endpoint" in str(caught.value)


def test_a_service_needs_options_that_were_read():
    with pytest.raises(ConfigError):
        makeService(Options())


def test_help_names_every_option(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "twisted", "txbridge-hub", "--help"],
        env=bare_environ(tmp_path),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0
    for option in ("--data", "--listen", "--paws-tcp", "--api-key-file"):
        assert option in done.stdout


def test_twist_runs_a_hub_and_stops_it(tmp_path):
    with closing(twist(tmp_path, "--data", str(tmp_path / "data"), "--listen", ANY_PORT)) as running:
        port = running.expect(r"listening on http://127\.0\.0\.1:(\d+)")[1]
        with closing(socket.create_connection(("127.0.0.1", int(port)), timeout=PATIENCE)) as connection:
            connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
            assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
        assert running.stop(signal.SIGTERM) == -signal.SIGTERM  # as Twisted ends its programs
        assert "Traceback" not in running.out + running.err


def test_a_hub_that_cannot_start_ends_twist_with_a_failure(tmp_path):
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        endpoint = f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"
        with closing(twist(tmp_path, "--data", str(tmp_path / "data"), "--listen", endpoint)) as running:
            assert running.wait() == 1
            assert f"cannot listen at {endpoint}: Address already in use" in running.out
            assert "Traceback" not in running.out + running.err
