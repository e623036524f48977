"""A relay as its users run it: started, told to read its file again, stopped, killed."""

from __future__ import annotations

import json
import os
import signal
import socket
from contextlib import closing

import pytest
from twisted.internet.defer import Deferred

from tests.support.program import PATIENCE, bare_environ, hub_here, program, run_program, started_hub
from tests.support.relay_daemon import RelayHere, until
from txbridge.daemon.relay_run import relay_run, runnable_config
from txbridge.daemon.running import DONE, MISCONFIGURED
from txbridge.errors import ConfigError

ROUTE = """
state = "state"
{more}
[routes.boiler]
from.lines.listen = "unix:{folder}/lines"
to.hub.cosm = {{ url = "{url}", feed = 1, key.file = "hub.key" }}
"""


def written(folder, url, key="k", more=""):
    """A configuration in a folder."""
    (folder / "hub.key").write_text(key)
    (folder / "hub.key").chmod(0o600)
    (folder / "relay.toml").write_text(ROUTE.format(folder=folder, url=url, more=more))
    return str(folder / "relay.toml")


def send(folder, lines):
    """Send lines to the route, and wait until they are in its outbox."""
    with closing(socket.socket(socket.AF_UNIX)) as connection:
        connection.settimeout(PATIENCE)
        connection.connect(str(folder / "lines"))
        connection.sendall(lines.encode())
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := connection.recv(1000):
            answer += chunk
    assert answer.decode().endswith(f"ok {lines.count(chr(10))}\n")


def test_a_file_that_cannot_be_run_is_refused_with_every_problem(tmp_path):
    (tmp_path / "relay.toml").write_text(
        "[routes.boiler]\nfrom.host = {}\nto.hub.cosm = { feeed = 1, key = 'x' }\n"
    )
    ended = run_program(
        "relay", "run", "--config", str(tmp_path / "relay.toml"), environ=bare_environ(tmp_path)
    )
    assert ended.status == MISCONFIGURED
    assert "routes.boiler.to.hub.cosm.feeed: unknown; did you mean feed?" in ended.err
    assert ended.err.count("\n") == 2


def test_a_loss_that_nothing_accepts_is_refused_before_anything_runs(tmp_path):
    path = tmp_path / "relay.toml"
    path.write_text("[routes.boiler]\nfrom.host = {}\nto.hub.cosm = { feed = 1, key.env = 'K' }\n")
    with pytest.raises(ConfigError) as caught:
        runnable_config(str(path), {"HOME": str(tmp_path)})
    assert [problem.split(": ", 1)[1] for problem in caught.value.problems] == [
        'routes.boiler.to.hub: it would lose "time ns -> us"; accept = ["time ns -> us"] says that it may',
        'routes.boiler.to.hub: it would lose "breaks dropped"; accept = ["breaks dropped"] says that it may',
    ]


def test_what_was_accepted_survives_a_kill_and_a_cloud_that_is_down(tmp_path):
    environ = bare_environ(tmp_path)
    with started_hub(tmp_path / "hub") as hub:
        run_program("feeds", "create", "Boiler", environ=hub.environ)
        path = written(tmp_path, "http://127.0.0.1:9", hub.key)
        with program("relay", "run", "--config", path, environ=environ) as relay:
            relay.expect("route boiler: lines at unix:.* -> hub", "err")
            send(tmp_path, "temp,2026-11-21T00:00:00Z,21.50\n")
            assert relay.stop(signal.SIGKILL) == -signal.SIGKILL
        written(tmp_path, hub.url, hub.key, more='log = "json"')
        with program("relay", "run", "--config", path, environ=environ) as relay:
            relay.expect('"text": "route boiler: hub takes the data"', "err")
            assert run_program("feeds", "show", "1", "--json", environ=hub.environ).out.count("21.50") == 1
            status = run_program("relay", "status", "--json", "--config", path, environ=environ)
            assert json.loads(status.out)["routes"][0]["status"]["destinations"][0]["delivered"] == 1
            assert relay.stop(signal.SIGTERM) == 0
            for line in relay.err.splitlines():
                assert {"time", "level", "logger", "text"} <= set(json.loads(line))
            assert hub.key not in relay.err


async def test_hanging_up_reads_the_file_again_and_tells_the_service_manager(tmp_path, flushed_errors):
    async with hub_here(tmp_path / "hub") as hub:
        here = RelayHere(tmp_path)
        path = written(tmp_path, hub.config.url, hub.config.api_key)
        address = str(tmp_path / "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(address)
            manager.setblocking(False)
            said = []

            def told(*words):
                while True:
                    try:
                        said.extend(manager.recv(1000).decode().splitlines())
                    except BlockingIOError:
                        return all(any(one.startswith(word) for one in said) for word in words)

            environ = {**here.environ, "NOTIFY_SOCKET": address}
            running: Deferred[int] = relay_run(here.reactor, runnable_config(path, environ), environ)
            os.kill(os.getpid(), signal.SIGHUP)  # while it starts, which it goes on with first
            await until(lambda: told("READY=1", "RELOADING=1") and said[-1] == "READY=1")
            said.clear()
            os.kill(os.getpid(), signal.SIGHUP)
            await until(lambda: told("RELOADING=1", "MONOTONIC_USEC=", "READY=1"))
            said.clear()
            (tmp_path / "relay.toml").write_text("nonsense")
            os.kill(os.getpid(), signal.SIGHUP)
            await until(lambda: told("READY=1", "STATUS=the new configuration was not taken"))
            running.cancel()
            assert await running == DONE
            assert told("STOPPING=1")
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_DFL


async def test_being_stopped_while_it_starts_is_no_failure(tmp_path):
    async with hub_here(tmp_path / "hub") as hub:
        here = RelayHere(tmp_path)
        path = written(tmp_path, hub.config.url, hub.config.api_key)
        running = relay_run(here.reactor, runnable_config(path, here.environ), here.environ)
        running.cancel()
        assert await running == DONE
