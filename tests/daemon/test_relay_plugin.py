"""The relay under Twisted's own runner."""

from __future__ import annotations

import signal
import sys
from contextlib import closing

import pytest
from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins
from twisted.python.usage import UsageError

from tests.daemon.test_relay_run import send, written
from tests.support.program import Program, bare_environ
from txbridge.daemon.relay_plugin import Options, makeService
from txbridge.errors import ConfigError


def twist(folder, *arguments):
    runner = (sys.executable, "-m", "twisted", "--log-file=-", "--log-format=text")
    return Program(*runner, "txbridge-relay", *arguments, environ=bare_environ(folder))


def test_twisted_finds_the_plugin():
    found = {plugin.tapname: plugin for plugin in getPlugins(IServiceMaker)}
    assert found["txbridge-relay"].module == "txbridge.daemon.relay_plugin"


def test_every_problem_of_the_file_is_told(tmp_path):
    (tmp_path / "relay.toml").write_text("colour = 1\n[routes.x]\n")
    with pytest.raises(UsageError) as caught:
        Options().parseOptions(["--config", str(tmp_path / "relay.toml")])
    assert str(caught.value).count("\n") == 2


def test_a_service_needs_options_that_were_read():
    with pytest.raises(ConfigError):
        makeService(Options())


def test_twist_runs_a_relay_reads_its_file_again_and_stops_it(tmp_path):
    path = written(tmp_path, "http://127.0.0.1:9")
    with closing(twist(tmp_path, "--config", path)) as running:
        running.expect("route boiler: lines at")
        send(tmp_path, "temp,,1\n")
        running.process.send_signal(signal.SIGHUP)
        running.expect("the configuration was taken")
        assert running.stop(signal.SIGTERM) == -signal.SIGTERM  # as Twisted ends its programs
        assert "route boiler has stopped" in running.out
        assert "Traceback" not in running.out + running.err


def test_a_relay_that_cannot_start_ends_twist_with_a_failure(tmp_path):
    (tmp_path / "state").write_text("this is a file")
    path = written(tmp_path, "http://127.0.0.1:9")
    with closing(twist(tmp_path, "--config", path)) as running:
        assert running.wait() == 1
        assert "the relay did not start: cannot keep state" in running.out
        assert "Traceback" not in running.out + running.err
