"""Routes are made of what was configured, and say before that what they lose."""

from __future__ import annotations

import pytest

from tests.support.iobeam_service import json_answer, make_token
from tests.support.relay import ScriptedLedger
from txbridge.daemon.relay_assembly import client_of_end, make_route, open_ledger, plan_ways, routes_problems
from txbridge.daemon.relay_config import read_relay_config
from txbridge.daemon.relay_files import read_secrets
from txbridge.errors import ConfigError, PlanRefused
from txbridge.net.http_server import HttpServerFactory
from txbridge.net.reactor import resolve_reactor, wall_clock
from txbridge.relay.pace import Pace, PaceLimits
from txbridge.relay.roles import Durability
from txbridge.relay.worker import WorkerThread

KEY = 'key.env = "KEY"'
DEVICE = 'url = "http://127.0.0.1:9", project = 7, device = "pump-3", token.env = "TOKEN"'
NODE = f'url = "http://127.0.0.1:9", {KEY}'
SOURCES = {
    "host": "from.host = { every = '1s' }",
    "lines": "from.lines.listen = 'unix:{folder}/lines'",
    "cosm": f"from.cosm = {{ feed = 1, {KEY}, since = 'beginning', late = '1h' }}",
    "numbers": f"from.cosm = {{ feed = 1, {KEY}, numbers = true }}",
    "joule": f"from.joule = {{ {NODE}, streams = ['/a/b'], since = 2026-01-01T00:00:00Z }}",
    "iobeam": f"from.iobeam = {{ {DEVICE}, every = '1s', since = 'beginning' }}",
    "counts": f"from.iobeam = {{ {DEVICE}, numbers = true }}",
    "silent": f"from.joule = {{ {NODE}, streams = {{ '/a/b' = 'x' }}, notes = false }}",
}
SINKS = {
    "cosm": f"to.far.cosm = {{ feed = 1, {KEY} }}",
    "joule": f"to.far.joule = {{ {NODE}, keep = '1w' }}",
    "iobeam": f"to.far.iobeam = {{ {DEVICE} }}",
}
# What each way loses; the other conversions are no losses.
LOSSES = {
    ("host", "cosm"): {"time ns -> us", "breaks dropped"},
    ("host", "joule"): {"time ns -> us"},
    ("lines", "cosm"): set(),
    ("lines", "joule"): {"text dropped"},
    ("cosm", "cosm"): {"gaps dropped"},
    ("cosm", "joule"): {"text dropped"},
    ("numbers", "joule"): set(),
    ("joule", "cosm"): {
        "breaks dropped",
        "gaps dropped",
        "not-a-number dropped",
        "annotations and events dropped",
    },
    ("joule", "joule"): set(),
    ("host", "iobeam"): {"time ns -> us", "breaks dropped", "descriptions dropped"},
    ("lines", "iobeam"): set(),
    ("cosm", "iobeam"): {"gaps dropped", "descriptions dropped"},
    ("joule", "iobeam"): {
        "breaks dropped",
        "gaps dropped",
        "descriptions dropped",
        "not-a-number dropped",
        "annotations and events dropped",
    },
    ("iobeam", "iobeam"): set(),
    ("iobeam", "cosm"): set(),
    ("iobeam", "joule"): {"text dropped"},
    ("counts", "joule"): set(),
    ("silent", "cosm"): {"breaks dropped", "gaps dropped", "not-a-number dropped"},
}


def route(source, sink, tmp_path, more=""):
    text = f"[routes.r]\n{SOURCES[source]}\n{SINKS[sink]}\n{more}".replace("{folder}", str(tmp_path))
    return read_relay_config(text, file="f", environ={"HOME": "/h"}).routes["r"]


@pytest.mark.parametrize(("source", "sink"), LOSSES)
def test_the_losses_of_each_way_are_known_without_a_network(source, sink, tmp_path):
    (way,) = plan_ways(route(source, sink, tmp_path))
    assert set(way.plan.losses) == set(way.refused) == LOSSES[source, sink]


def test_steps_change_what_is_lost(tmp_path):
    mean = "steps = [ { decimate = { every = '1min', method = 'mean' } } ]"
    (way,) = plan_ways(route("host", "cosm", tmp_path, mean))
    assert set(way.plan.losses) == LOSSES["host", "cosm"]


def test_what_is_accepted_is_no_problem_and_what_is_accepted_for_nothing_is_known(tmp_path):
    one = route("host", "cosm", tmp_path, 'accept = ["time ns -> us", "breaks dropped", "x"]')
    assert routes_problems({"r": one}) == []
    assert plan_ways(one)[0].needless == ("x",)


@pytest.mark.parametrize("durability", list(Durability))
@pytest.mark.parametrize(("source", "sink"), LOSSES)
async def test_each_kind_of_route_can_be_made_runs_and_lets_go_of_everything(
    source, sink, durability, tmp_path
):
    """The plan that was told is the one that the route makes: it refuses nothing else."""
    accept = (
        "accept = [" + ", ".join(f'"{loss}"' for loss in LOSSES[source, sink]) + "]"
        if LOSSES[source, sink]
        else ""
    )
    more = f'{accept}\noutbox = {{ durability = "{durability.value}", max_points = 1000 }}\n'
    made = route(source, sink, tmp_path, more)
    reactor = resolve_reactor()
    worker = WorkerThread(reactor, "letters")
    built = await make_route(
        reactor,
        made,
        directory=tmp_path / "r",
        secrets=read_secrets(made.secrets, {"KEY": "k", "TOKEN": make_token()}),
        ledger=ScriptedLedger(),
        worker=worker,
        pace_of=lambda one: Pace(PaceLimits(), reactor),
        stop_deadline=1.0,
    )
    assert built.service.status().durability is durability
    built.start()
    await built.stop()
    await worker.close()


async def test_a_route_that_cannot_be_made_leaves_nothing_open(tmp_path, monkeypatch):
    monkeypatch.setenv("JOULE_USER_CONFIG_DIR", str(tmp_path))
    made = read_relay_config(
        "[routes.r]\nfrom.lines.listen = 'tcp:0'\nto.far.joule = { node = 'unknown' }",
        file="f",
        environ={"HOME": "/h"},
    ).routes["r"]
    reactor = resolve_reactor()
    worker = WorkerThread(reactor, "letters")
    with pytest.raises(ConfigError):
        await make_route(
            reactor,
            made,
            directory=tmp_path / "r",
            secrets={},
            ledger=ScriptedLedger(),
            worker=worker,
            pace_of=lambda one: Pace(PaceLimits(), reactor),
            stop_deadline=1.0,
        )
    await worker.close()


async def test_a_token_that_is_none_is_told_without_repeating_it(tmp_path):
    made = route("lines", "iobeam", tmp_path)
    reactor = resolve_reactor()
    worker = WorkerThread(reactor, "letters")
    with pytest.raises(ConfigError, match="the env 'TOKEN': is no project token") as caught:
        await make_route(
            reactor,
            made,
            directory=tmp_path / "r",
            secrets=read_secrets(made.secrets, {"TOKEN": "opensesame"}),
            ledger=ScriptedLedger(),
            worker=worker,
            pace_of=lambda one: Pace(PaceLimits(), reactor),
            stop_deadline=1.0,
        )
    assert "opensesame" not in str(caught.value)
    await worker.close()


async def test_a_token_that_is_renewed_is_used_by_the_next_run(tmp_path):
    reactor = resolve_reactor()
    due, new = make_token(wall_clock(reactor)() + 60), make_token(mark="new")
    seen = []

    def answer(request):
        seen.append(request.headers.get("authorization"))
        is_renewal = request.path == "/v1/tokens/project"
        return json_answer({"token": new} if is_renewal else {"server_timestamp": 5})

    port = reactor.listenTCP(0, HttpServerFactory(answer, clock=reactor), interface="127.0.0.1")
    url = f"http://127.0.0.1:{port.getHost().port}"
    text = "[routes.r]\nfrom.lines.listen = 'unix:x'\nto.far.iobeam = "
    text += f"{{ url = '{url}', project = 7, device = 'p', token.env = 'TOKEN' }}"
    (destination,) = read_relay_config(text, file="f", environ={"HOME": "/h"}).routes["r"].destinations
    secrets = read_secrets([destination.end.key], {"TOKEN": due})
    for _ in range(2):
        client = client_of_end(reactor, destination.end, secrets, tmp_path)
        await client.device_timestamp()
        await client.close()
    await port.stopListening()
    assert seen == [None, f"Bearer {new}", f"Bearer {new}"]


async def test_an_outbox_is_let_go_of_when_the_route_cannot_be_made_after_all(tmp_path):
    made = route("host", "cosm", tmp_path)  # which accepts no loss, so it is refused when the outbox is open
    reactor = resolve_reactor()
    worker = WorkerThread(reactor, "letters")
    for _ in range(2):
        with pytest.raises(PlanRefused):
            await make_route(
                reactor,
                made,
                directory=tmp_path / "r",
                secrets=read_secrets(made.secrets, {"KEY": "k", "TOKEN": make_token()}),
                ledger=ScriptedLedger(),
                worker=worker,
                pace_of=lambda one: Pace(PaceLimits(), reactor),
                stop_deadline=1.0,
            )
    await worker.close()


async def test_the_ledger_of_a_relay_is_in_its_state(tmp_path):
    ledger = await open_ledger(resolve_reactor(), tmp_path)
    assert (tmp_path / "ledger.sqlite").exists()
    await ledger.close()
