"""Timers count by a clock that nobody sets, and what is stamped is the time of day all the same."""

from __future__ import annotations

import http.client
import json
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest

from tests.support.jumping_clock import JumpingClock
from tests.support.program import PATIENCE, Program, bare_environ, program, run_program, started_hub

SOON = timedelta(seconds=PATIENCE)
HOUR = 3600
RELAY = """
state = "{folder}/state"
[routes.machine]
from.host = {{ every = "200ms" }}
accept = ["time ns -> us", "breaks dropped"]
to.hub.cosm = {{ url = "{url}", feed = 1, key.file = "hub.key" }}
to.hub.clock_policy = "correct"
"""


def ask(hub, method, path, document=None, key=None):
    connection = http.client.HTTPConnection("127.0.0.1", hub.port, timeout=PATIENCE)
    try:
        body = None if document is None else json.dumps(document)
        connection.request(method, f"/v2{path}", body, {"X-ApiKey": key or hub.key})
        response = connection.getresponse()
        said = response.read()
        return response, json.loads(said) if said else None
    finally:
        connection.close()


def is_now(text):
    return abs(datetime.fromisoformat(text) - datetime.now(UTC)) < SOON


def test_what_a_hub_stamps_is_the_time_of_day(tmp_path):
    with started_hub(tmp_path / "data") as hub:
        response, _ = ask(
            hub, "POST", "/feeds", {"title": "a", "datastreams": [{"id": "t", "current_value": "1"}]}
        )
        date = response.getheader("Date")
        assert date is not None
        assert abs(parsedate_to_datetime(date) - datetime.now(UTC)) < SOON
        _, feed = ask(hub, "GET", "/feeds/1")
        assert is_now(feed["created"])
        assert is_now(feed["updated"])
        assert is_now(feed["datastreams"][0]["at"])
        assert feed["status"] == "live"


def test_keys_expire_by_the_time_of_day(tmp_path):
    with started_hub(tmp_path / "data") as hub:
        for expires, status in ((timedelta(hours=1), 200), (timedelta(hours=-1), 401)):
            at = (datetime.now(UTC) + expires).isoformat()
            described = {"label": "k", "expires_at": at, "permissions": [{"access_methods": ["get"]}]}
            response, _ = ask(hub, "POST", "/keys", {"key": described})
            key = (response.getheader("Location") or "").rpartition("/")[2]
            assert ask(hub, "GET", "/feeds", key=key)[0].status == status


def route_once(environ, path, is_enough):
    """Wait until a relay's route is as it shall be."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        said = run_program("relay", "status", "--config", path, "--json", environ=environ)
        route = json.loads(said.out)["routes"][0]["status"] if said.status == 0 else None
        if route is not None and is_enough(route):
            return route
    raise AssertionError(f"the relay says {said.out or said.err}")


@pytest.mark.parametrize(
    "command", [("-m", "txbridge", "relay", "run"), ("-m", "twisted", "txbridge-relay")], ids=["own", "twist"]
)
def test_a_relay_goes_on_when_the_clock_is_set_back(tmp_path, command):
    clock = JumpingClock(tmp_path / "clock")
    path = tmp_path / "relay.toml"
    with started_hub(tmp_path / "data") as hub:
        ask(hub, "POST", "/feeds", {"title": "this machine"})
        (tmp_path / "hub.key").write_text(hub.key)
        (tmp_path / "hub.key").chmod(0o600)
        path.write_text(RELAY.format(folder=tmp_path, url=hub.url))
        environ = clock.environ(bare_environ(tmp_path))
        with closing(Program(sys.executable, *command, "--config", str(path), environ=environ)):
            route = route_once(environ, str(path), lambda route: route["destinations"][0]["last_success"])
            for at in (route["last_received"], route["destinations"][0]["last_success"]):
                assert abs(at - time.time()) < PATIENCE
            _, stream = ask(hub, "GET", "/feeds/1/datastreams/uptime")
            assert is_now(stream["at"])
            clock.set_back(HOUR)
            route = route_once(environ, str(path), lambda now: now["received"] >= route["received"])
            route_once(environ, str(path), lambda now: now["received"] > 2 * route["received"])


def test_commands_that_wait_go_on_when_the_clock_is_set_back(tmp_path):
    clock = JumpingClock(tmp_path / "clock")
    with program(
        "demo", "--json", "--duration", "8", environ=clock.environ(bare_environ(tmp_path))
    ) as running:
        running.expect("uptime")
        clock.set_back(HOUR)
        running.expect('"summary"')
