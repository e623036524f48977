"""The configuration of a relay: little to write, nothing guessed, every problem at once."""

from __future__ import annotations

import pytest

from txbridge.daemon import relay_config
from txbridge.daemon.relay_config import (
    SECTIONS,
    CosmFrom,
    CosmTo,
    HostFrom,
    IobeamFrom,
    IobeamTo,
    JouleFrom,
    JouleTo,
    LinesFrom,
    read_relay_config,
    relay_state_dir,
)
from txbridge.daemon.tables import Rate, Secret
from txbridge.errors import ConfigError
from txbridge.host.adapter import SHORTEST_INTERVAL
from txbridge.relay.disk_outbox import LEAST_BYTES
from txbridge.relay.roles import Durability, OnFull
from txbridge.relay.steps import Change, Decimate, Rename, Scale, Select

SHORT = """
[routes.boiler]
from.host = {}
to.hub.cosm = { feed = 1, key.file = "hub.key" }
"""

LONG = """
state = "kept"
log = "json"
stop_deadline = "20s"

[admin]
listen = "tcp:9120:interface=127.0.0.1"
away = "1h"

[accounts.cloud]
requests = "60/min"
points = "1000/h"

[routes.sensors]
from.lines = { listen = "tcp:9121:interface=127.0.0.1", numbers = true }
streams = ["boiler.*"]
accept = ["time ns -> us"]
steps = [
    { select = { include = ["*"], exclude = ["x"] } },
    { rename = { names = { a = "b" }, prefix = "p." } },
    { scale = { factor = 2, unit_symbol = "K" } },
    { change = { deadband = 0.5, at_least_every = "1h" } },
    { decimate = { every = "1min", method = "mean", streams = ["p.*"] } },
]
outbox = { durability = "os", max_bytes = "10MB", max_points = 5, max_age = "14d", on_full = "decimate" }

[routes.sensors.to.cloud]
cosm = { url = "https://hub.example/v2/", feed = 7, key = { env = "KEY" } }
account = "cloud"
accept = ["breaks dropped"]
deadline = "5s"
batch_points = 10
batch_bytes = "1kB"
delay = "2s"
order = "live_first"
clock_policy = "reject"

[routes.sensors.to.node]
joule = { url = "http://node:8088", key.credential = "joule", folder = "/far", keep = "1w", decimate = false }

[routes.node]
from.joule = { streams = { "/l/a" = "a" }, since = "beginning", raw = true, notes = false }
to.node.joule = { node = "other" }

[routes.feed]
from.cosm = { feed = 2, key.env = "KEY", since = 2026-11-21T00:00:00Z, numbers = true }
to.node.joule = {}

[routes.pump]
from.iobeam = { project = 7, device = "pump-3", token.file = "pump.token", late = "1d" }
to.copy.iobeam = { url = "https://hub.example", project = 8, device = "copy", token.env = "TOKEN" }
"""


def read(text, file="/etc/txbridge/relay.toml", **environ):
    return read_relay_config(text, file=file, environ={"HOME": "/home/ann", **environ})


def problems(text):
    with pytest.raises(ConfigError) as caught:
        read(text, "relay.toml")
    return list(caught.value.problems)


def test_three_lines_are_a_relay():
    config = read(SHORT)
    route = config.routes["boiler"]
    assert route.source == HostFrom(every=10.0, disk="/")
    (hub,) = route.destinations
    assert hub.end == CosmTo("http://127.0.0.1:8080/v2", 1, Secret("file", "/etc/txbridge/hub.key"))
    assert (hub.name, hub.order, hub.clock_policy, hub.deadline) == ("hub", "oldest_first", "trust", 60.0)
    assert route.outbox.durability is Durability.DISK
    assert (route.outbox.max_bytes, route.outbox.max_age) == (1 << 30, None)
    assert config.state == "/home/ann/.local/state/txbridge/relay"
    assert config.admin.listen is None


def test_everything_can_be_said():
    config = read(LONG)
    assert (config.state, config.log, config.stop_deadline) == ("/etc/txbridge/kept", "json", 20.0)
    assert config.accounts["cloud"].requests == Rate(60, 60)
    sensors = config.routes["sensors"]
    assert sensors.source == LinesFrom("tcp:9121:interface=127.0.0.1", True)
    assert sensors.steps == (
        Select(("*",), ("x",)),
        Rename({"a": "b"}, "p."),
        Scale(2.0, unit_symbol="K"),
        Change(0.5, 3600.0),
        Decimate(60.0, "mean", ("p.*",)),
    )
    assert sensors.outbox.on_full is OnFull.DECIMATE
    cloud, node = sensors.destinations
    assert cloud.end == CosmTo("https://hub.example/v2", 7, Secret("env", "KEY"))
    assert cloud.accept == {"time ns -> us", "breaks dropped"}
    assert node.accept == {"time ns -> us"}
    assert node.end == JouleTo(
        None, "http://node:8088", Secret("credential", "joule"), "/far", 7 * 86400.0, False
    )
    assert config.routes["node"].source == JouleFrom(
        None, None, None, (("/l/a", "a"),), "beginning", "oldest_first", True, False
    )
    feed = config.routes["feed"].source
    assert isinstance(feed, CosmFrom)
    assert feed.since == 1795219200_000000
    pump = config.routes["pump"]
    assert pump.source == IobeamFrom(
        "http://127.0.0.1:8080",
        7,
        "pump-3",
        Secret("file", "/etc/txbridge/pump.token"),
        "now",
        10.0,
        86400.0,
        False,
    )
    assert pump.destinations[0].end == IobeamTo("https://hub.example", 8, "copy", Secret("env", "TOKEN"))
    assert sensors.secrets == (Secret("env", "KEY"), Secret("credential", "joule"))


@pytest.mark.parametrize("text", [SHORT, LONG])
def test_what_holds_can_be_written_back_and_reads_as_the_same(text):
    config = read(text)
    assert read(config.effective) == config


def test_what_a_full_outbox_does_follows_from_whether_the_source_can_wait():
    assert read(SHORT).routes["boiler"].outbox.on_full is OnFull.DROP_OLDEST
    assert read(LONG).routes["feed"].outbox.on_full is OnFull.BLOCK


def test_the_hub_on_this_machine_needs_no_key_and_no_other_hub_is_given_its_key():
    text = "[routes.a]\nfrom.lines.listen = 'tcp:1'\nto.hub.cosm = { feed = 1 }"
    (hub,) = read(text, STATE_DIRECTORY="/var/lib/relay").routes["a"].destinations
    assert hub.end.key == Secret("file", "/home/ann/.local/share/txbridge/owner.key")
    elsewhere = text.replace("feed = 1", "feed = 1, url = 'http://127.0.0.1:8080'")
    (problem,) = problems(elsewhere)
    assert problem.startswith(
        'relay.toml: routes.a.to.hub.cosm.key: missing; say where it is: { file = "key" }, '
    )


def test_all_problems_are_told_at_once_each_with_its_file_and_key():
    assert problems("""
        colour = "red"
        [admin]
        listn = "tcp:1"
        [accounts.cloud]
        [routes.boiler]
        from = { host = { every = 10 } }
        to.hub.cosm = { url = "hub", feeed = 1, key = "opensesame" }
        to.hub.deadline = "1mn"
        steps = [ { scael = {} }, { select = { include = "a" } }, { rename.names = { a = "c", b = "c" } } ]
        outbox = { on_full = "blok" }
        [routes.attic]
        from.lines.listen = "9000"
        to.hub = { cosm = { feed = 1, key.env = "K" }, account = "clud" }
        to.both = { cosm = { feed = 1, key.env = "K" }, joule = {} }
        to.node.joule = { url = "node", folder = "far" }
        [routes.cellar]
    """) == [
        "relay.toml: colour: unknown; known here: state, log, stop_deadline, admin, accounts, routes",
        "relay.toml: admin.listn: unknown; did you mean listen?",
        "relay.toml: accounts.cloud: it says no rate; say requests, points, or both",
        'relay.toml: routes.boiler.from.host.every: 10 of what? say "10s", "10min", "10h", …',
        "relay.toml: routes.boiler.to.hub.deadline: 'mn' is no unit of time; did you mean min?",
        "relay.toml: routes.boiler.to.hub.cosm.feeed: unknown; did you mean feed?",
        (
            "relay.toml: routes.boiler.to.hub.cosm.key: a secret does not stand in this file; say where it "
            'is: { file = "key" }, { env = "NAME" } or { credential = "name" }'
        ),
        "relay.toml: routes.boiler.outbox.on_full: 'blok' is unknown; did you mean block?",
        "relay.toml: routes.boiler.steps[0].scael: unknown; did you mean scale?",
        (
            'relay.toml: routes.boiler.steps[1].select.include: it is a list of texts such as ["one", "two"]'
            ", and not 'a'"
        ),
        "relay.toml: routes.boiler.steps[2].rename: streams 'a' and 'b' would both be 'c'",
        "relay.toml: routes.attic.from.lines.listen: '9000' is no endpoint; for a port say tcp:9000",
        "relay.toml: routes.attic.to.hub.account: 'clud' is not in accounts; did you mean cloud?",
        "relay.toml: routes.attic.to.both: it is exactly one of these: cosm, joule, iobeam",
        "relay.toml: routes.attic.to.node.joule.key: missing; there is a url",
        "relay.toml: routes.attic.to.node.joule.url: it is no address such as http://127.0.0.1:8088",
        "relay.toml: routes.attic.to.node.joule.folder: a path on a Joule node begins with a slash",
        "relay.toml: routes.cellar.from: missing; it is a table",
        "relay.toml: routes.cellar.to: missing; it is a table",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "relay.toml: routes: missing; it is a table"),
        ("routes = {}", "relay.toml: routes: there is none"),
        ("routes = 1", "relay.toml: routes: it is a table, and not 1"),
        ("[routes]\nx = 1", "relay.toml: routes.x: it is a table"),
        ("[routes.x]\nfrom.host = 1\nto.a.cosm = {}", "it is a table, such as host = {}"),
        (
            "[routes.x]\nfrom.mqtt = {}\nto.a.joule = {}",
            "relay.toml: routes.x.from.mqtt: unknown; known here",
        ),
        ("[routes.x]\nfrom = {}\nto.a.joule = {}", "routes.x.from: it is exactly one of these: host, lines"),
        ("[routes.x]\nfrom.host = {}\nto = {}", "relay.toml: routes.x.to: there is no destination"),
        ("[routes.x]\nfrom.host = {}\nto.a.b = {}", "routes.x.to.a.b: unknown; known here: cosm, joule"),
        ("[routes.lock]\nfrom.host = {}\nto.a.joule = {}", "'lock' is the name of something else"),
        ("[routes.'a/b']\nfrom.host = {}\nto.a.joule = {}", "routes: 'a/b' is no name"),
        ("[routes.x]\nfrom.host = {}\nto.'..'.joule = {}", "routes.x.to: '..' is no name"),
        (
            "[routes.'a b']\nfrom.hots = {}\nto.a.joule = {}",
            "routes.a b.from.hots: unknown; did you mean host?",
        ),
        ("[routes.x]\nfrom.host = {}\nto.a.joule = {}\nsteps = 1", "routes.x.steps: it is a list of tables"),
        (
            "[routes.x]\nfrom.joule.streams = ['a']\nto.a.joule = {}",
            "'a' is no path: it begins with no slash",
        ),
        (
            "[routes.x]\nfrom.host = {}\nto.a.joule = { node = 'n', url = 'http://n', key.env = 'K' }",
            "not both",
        ),
        (
            "[routes.x]\nfrom.host = {}\nto.a.joule = { key.env = 'K' }",
            "to.a.joule.url: missing; there is a key",
        ),
        (
            "[routes.x]\nfrom.host = {}\nto.a.cosm = { url='http://u:p@h', feed=1, key.env='K' }",
            "no credentials",
        ),
        (
            "[routes.x]\nfrom.iobeam = { project=0, device='d', token.env='T' }\nto.a.joule = {}",
            "routes.x.from.iobeam.project: ",
        ),
        (
            "[routes.x]\nfrom.host = {}\nto.a.iobeam = { project=7, device='a b', token.env='T' }",
            "routes.x.to.a.iobeam.device: it must be letters, digits, '_', ':' and '-', not 'a b'",
        ),
        (
            "[routes.x]\nfrom.host = {}\nto.a.iobeam = { url='hub', project=7, device='d', token.env='T' }",
            "routes.x.to.a.iobeam.url: it is no address of a hub",
        ),
        (
            "[routes.x]\nfrom.iobeam = { project=7, device='d', token.env='T', every='0s' }\nto.a.joule = {}",
            "routes.x.from.iobeam.every: it is above 0s",
        ),
        ("a b", "relay.toml: this is not TOML"),
        ("[routes.x]\nfrom.host.every = '50ms'\nto.a.joule = {}", 'from.host.every: it is at least "100ms"'),
        (
            "[routes.x]\nfrom.host = {}\nto.a = { joule = {}, deadline = '0s' }",
            "to.a.deadline: it is above 0s",
        ),
        ("[routes.x]\nfrom.host = {}\nto.a.joule = {}\noutbox.max_age = '0s'", "max_age: it is above 0s"),
        ("[routes.x]\nfrom.host = {}\nto.a.joule = {}\noutbox.max_bytes = '9kB'", 'needs "256KiB" at least'),
    ],
)
def test_what_cannot_be_run_is_refused(text, problem):
    assert problem in "\n".join(problems(text))


def test_the_limits_that_are_told_are_those_of_the_parts():
    assert (relay_config.LEAST_BYTES, relay_config.LEAST_EVERY) == (LEAST_BYTES, SHORTEST_INTERVAL)


def test_one_endpoint_is_not_listened_at_twice():
    found = problems("""
        admin.listen = "tcp:9120"
        [routes.a]
        from.lines.listen = "tcp:9120"
        to.node.joule = {}
    """)
    assert found == ["relay.toml: routes.a.from.lines.listen: 'tcp:9120' is taken by admin.listen"]


def test_systemd_says_where_the_state_is():
    assert relay_state_dir({"STATE_DIRECTORY": "/var/lib/r:/x", "HOME": "/h"}) == "/var/lib/r"
    assert relay_state_dir({"XDG_STATE_HOME": "/s", "HOME": "/h"}) == "/s/txbridge/relay"
    assert relay_state_dir({}) is None


def test_without_a_home_the_state_must_be_said():
    with pytest.raises(ConfigError, match="state: missing"):
        read_relay_config(SHORT, file="f", environ={})


def test_every_key_says_what_it_does():
    for section in SECTIONS:
        assert section.text.endswith((".", "``."))
        for key in section.keys:
            assert key.text.strip().endswith("."), f"{section.path}.{key.name}"
