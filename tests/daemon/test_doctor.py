"""The doctor says how a relay's state is, how long it lasts, and what to do."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import pytest
from attrs import evolve

from tests.daemon.test_outbox import AT, SECOND, State, loss, rows, settle
from tests.support.deferreds import fired
from tests.support.program import captured
from tests.support.relay_daemon import RelayHere, until
from txbridge.daemon.doctor import Caps, Rate, RouteLook, WaitingLook, advise, doctor, rate_of
from txbridge.daemon.outbox import RelayPlace
from txbridge.daemon.relay_config import read_relay_config
from txbridge.model.samples import Batch, Gap, SampleBlock
from txbridge.net.reactor import resolve_reactor
from txbridge.relay.dead_letters import LetterFiles
from txbridge.relay.files import RealFiles
from txbridge.relay.ledger import LedgerSum
from txbridge.relay.outbox_files import look_at_outbox
from txbridge.relay.roles import Loss, LossKind

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
NOW_NS = int(NOW.timestamp()) * SECOND
MEGABYTE = 1 << 20
WELL = RouteLook(
    name="kitchen",
    nbytes=10 * MEGABYTE,
    points=1000,
    caps=Caps(1000 * MEGABYTE),
    disk_free=2000 * MEGABYTE,
    rate=Rate(1024.0, 10.0),
    waiting=(WaitingLook(name="hub", points=10, nbytes=100, oldest_age=60.0),),
)


@pytest.fixture
def state(tmp_path):
    made = State(tmp_path)
    yield made
    made.close()


def said(look, *, runs=True):
    return [(one.needs_help, one.text) for one in advise(look, NOW, runs=runs)]


def lost(kind, age=60, points=5):
    at = NOW_NS - age * SECOND
    return LedgerSum(
        route="kitchen",
        destination="hub",
        kind=kind.value,
        losses=1,
        points=points,
        uncounted=0,
        first_ns=at,
        last_ns=at,
    )


def test_a_route_that_is_well_needs_nothing():
    assert said(WELL) == []


@pytest.mark.parametrize(
    ("caps", "holds", "full_in", "share"),
    [
        (Caps(1000 * MEGABYTE), 1000 * 1024, 990 * 1024, 0.01),
        (Caps(1000 * MEGABYTE, points=10_000), 1000, 900, 0.1),
        (Caps(1000 * MEGABYTE, points=10_000, age=60.0), 60, 900, 0.1),
        (Caps(10 * MEGABYTE), 10 * 1024, 0, 1),
        (None, None, None, None),
    ],
)
def test_how_long_it_lasts_follows_from_the_rate_and_the_first_cap_that_is_met(caps, holds, full_in, share):
    look = evolve(WELL, caps=caps)
    assert (look.holds, look.full_in, look.share) == (holds, full_in, share)
    assert evolve(look, rate=None).holds is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"problem": "permission denied"}, "cannot be read: permission denied"),
        ({"damaged": ["record 7: bad", "record 8: bad"]}, "2 parts cannot be read, the first: record 7: bad"),
        ({"nbytes": 900 * MEGABYTE}, "90% full and will be full in 1 d 4 h"),
        ({"nbytes": 900 * MEGABYTE, "rate": None}, "90% full: mend the destination"),
        ({"caps": Caps(1000 * MEGABYTE, points=1000)}, "100% full and will be full in 0.0 s"),
        (
            {"disk_free": 100 * MEGABYTE},
            "the disk has only 100 MiB left, less than the outbox may still take",
        ),
        ({"letters": {"hub": 2, "cloud": 1}, "letters_bytes": 2048}, "3 dead letters (2 KiB)"),
        ({"losses": [lost(LossKind.OVERFLOW), lost(LossKind.AGE)]}, "within a day (age, overflow)"),
    ],
)
def test_what_needs_somebody_is_said_with_what_to_do(change, words):
    ((needs_help, text),) = said(evolve(WELL, **change))
    assert needs_help
    assert words in text


@pytest.mark.parametrize(
    ("runs", "why"), [(True, "'txbridge relay status' says why"), (False, "the relay does not run")]
)
def test_what_waits_for_long_needs_somebody(runs, why):
    look = evolve(
        WELL, waiting=(WaitingLook(name="hub", points=1, nbytes=1, oldest_age=3 * 86400 + 4 * 3600.0),)
    )
    ((needs_help, text),) = said(look, runs=runs)
    assert needs_help
    assert text == f"hub has not got what has waited for 3 d 4 h; {why}"


@pytest.mark.parametrize(
    "loss",
    [
        lost(LossKind.OVERFLOW, age=2 * 86400),
        lost(LossKind.CONVERTED),
        lost(LossKind.CLOCK),
        lost(LossKind.REFUSED),
    ],
    ids=lambda loss: loss.kind,
)
def test_old_losses_those_that_were_accepted_and_those_with_letters_are_no_alarm(loss):
    assert said(evolve(WELL, losses=[loss])) == []


def test_letters_that_go_back_are_told_and_no_alarm():
    assert said(evolve(WELL, sent_back=1)) == [(False, "1 letter will be sent again")]
    assert said(evolve(WELL, sent_back=2), runs=False) == [
        (False, "2 letters will be sent again when the relay runs")
    ]


def test_the_rate_is_that_of_what_is_kept(state):
    outbox = state.route(segment_bytes=4096)
    for number in range(40):
        fired(outbox.append(rows(count=20, start=number)))
        state.clock.advance(30)
    seen = look_at_outbox(state.folder / "kitchen/outbox", RealFiles())
    span = (seen.segments[-1].ended.wall_ns - seen.segments[0].begun.wall_ns) / 1e9
    assert 1000 < span <= 1200
    rate = rate_of(seen.segments)
    assert rate.points == pytest.approx(800 / span)
    kept = sum(segment.summary.used for segment in seen.segments)
    assert rate.nbytes == pytest.approx(kept / span)
    assert kept < seen.nbytes  # the last segment has room that is not used yet


def test_too_little_tells_no_rate(state):
    outbox = state.route()
    assert rate_of(look_at_outbox(state.folder / "kitchen/outbox", RealFiles()).segments) is None
    fired(outbox.append(rows()))
    state.clock.advance(9)
    fired(outbox.append(rows()))
    assert rate_of(look_at_outbox(state.folder / "kitchen/outbox", RealFiles()).segments) is None


# ---------------------------------------------------------------------------------------- looking


async def examined(state, config=None, *, quick=False, as_json=False):
    terminal = captured()
    status = await doctor(resolve_reactor(), terminal, state.place, config, quick=quick, as_json=as_json)
    return status, terminal.out.getvalue()


def config_of(state):
    text = f"""
state = "{state.folder}"
[routes.kitchen]
from.host.every = "10s"
to.hub.cosm = {{ feed = 1, key.env = "KEY" }}
outbox.max_bytes = "100MB"
"""
    return read_relay_config(text, file="relay.toml", environ={})


def fill(state, seconds=60, settled=()):
    outbox = state.route()
    for number in range(seconds):
        fired(outbox.append(rows(start=number)))
        state.clock.advance(1)
    for destination in settled:
        settle(outbox, destination)
    state.clock.advance(10)


async def test_a_relay_that_is_well_is_said_to_be(state):
    fill(state, settled=("hub", "cloud"))
    status, text = await examined(state, config_of(state))
    assert status == 0
    assert "no relay runs" in text
    assert "at the current rate (" in text
    assert "this holds" in text
    assert "hub: 0 points wait" in text
    assert text.endswith("all is well\n")


async def test_without_a_cap_it_says_how_to_learn_how_long_it_lasts(state):
    fill(state, settled=("hub", "cloud"))
    _, text = await examined(state)
    assert "can be told when the relay runs, or with --config" in text
    state.route("hall")
    config = config_of(state)
    config = evolve(config, routes={"hall": config.routes["kitchen"]})
    _, text = await examined(state, config)
    assert "can be told when some seconds of data have come" in text


async def test_everything_that_is_wrong_is_said_at_once(state):
    fill(state, settled=("hub",))  # in the year 2013, so that the rest has waited for long
    state.bury(rows())
    state.lose(loss("t"))
    (segment,) = (state.folder / "kitchen/outbox").glob("*.seg")
    data = bytearray(segment.read_bytes())
    data[data.index(b"TXB\x01") + 10] ^= 1
    segment.write_bytes(data)
    (state.folder / "ledger.sqlite.damaged-1").write_bytes(b"old")
    status, text = await examined(state)
    assert status == 1
    assert "! cloud has not got what has waited for" in text
    assert "! 1 dead letter (" in text
    assert "! 1 part cannot be read, the first: record 1" in text
    assert "! a damaged ledger was set aside as ledger.sqlite.damaged-1" in text
    assert "hub refused 1 part of it for good" in text
    assert "KIND" in text
    assert text.endswith("4 things to look at, marked with !\n")


async def test_a_quick_look_reads_no_records(state):
    fill(state, settled=("hub", "cloud"))
    (segment,) = (state.folder / "kitchen/outbox").glob("*.seg")
    data = bytearray(segment.read_bytes())
    data[data.index(b"TXB\x01") + 10] ^= 1
    segment.write_bytes(data)
    status, text = await examined(state, quick=True)
    assert (status, "cannot be read" in text) == (0, False)


async def test_programs_get_the_same_as_json(state):
    fill(state)
    state.bury(rows())
    state.lose(loss("t"))
    status, text = await examined(state, config_of(state), as_json=True)
    found = json.loads(text)
    (route,) = found["routes"]
    assert status == 1
    assert found["runs"] is False
    assert (route["name"], route["caps"]["nbytes"]) == ("kitchen", 100_000_000)
    assert route["letters"] == {"hub": 1}
    assert route["holds"] > 0
    assert [one["name"] for one in route["waiting"]] == ["cloud", "hub"]
    assert route["losses"][0]["points"] == 3
    assert all(one["needs_help"] for one in route["findings"])


async def test_a_ledger_that_cannot_be_read_is_told(tmp_path):
    State(tmp_path).close()
    (tmp_path / "ledger.sqlite").write_bytes(b"nothing of a database" * 100)
    terminal = captured()
    assert (
        await doctor(resolve_reactor(), terminal, RelayPlace(tmp_path), None, quick=True, as_json=False) == 1
    )
    assert "! the ledger cannot be read" in terminal.out.getvalue()


async def test_a_ledger_that_lost_rows_is_told(state):
    lost_itself = Loss("", LossKind.CORRUPTION, Gap("*", AT, AT, "the ledger until now is damaged"))
    state.lose(lost_itself, route="")
    status, text = await examined(state)
    assert status == 1
    assert "no route has left anything here" in text
    assert "the ledger itself has lost rows" in text


async def test_a_letter_that_cannot_be_read_counts_for_nobody(state):
    state.bury(Batch((SampleBlock.scalar("t", [AT], np.array([1.0])),)))
    letters = LetterFiles(state.folder / "kitchen", RealFiles())
    letters.paths()[0].write_bytes(b"nothing")
    _, text = await examined(state, quick=True)
    assert "? refused 1 part of it for good" in text


async def test_what_is_wrong_with_a_relay_that_runs_is_said(tmp_path):
    relay = RelayHere(tmp_path)
    route = """
    [routes.kitchen]
    from.host = {}
    to.hub.cosm = { url = "http://127.0.0.1:1", feed = 1, key.env = "NOWHERE" }
    accept = ["time ns -> us", "breaks dropped"]
    """
    terminal = captured()
    async with relay.running(route):
        await until(lambda: relay.daemon.report().reasons)
        place = RelayPlace(tmp_path / "state")
        status = await doctor(relay.reactor, terminal, place, None, quick=True, as_json=False)
    assert status == 1
    assert "NOWHERE" in terminal.out.getvalue()
