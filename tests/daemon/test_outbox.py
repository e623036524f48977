"""The commands for a relay's state, against a state directory as a relay leaves it."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from twisted.internet.task import Clock

from tests.support.deferreds import fired, result_of
from tests.support.program import captured
from tests.support.workers import StepWorker
from txbridge.daemon.outbox import (
    RelayPlace,
    export,
    list_losses,
    list_outboxes,
    requeue,
    verify,
)
from txbridge.errors import ConfigError
from txbridge.model.samples import Batch, Gap, Note, NoteKind, SampleBlock, StreamInfo, ValueType
from txbridge.net.reactor import resolve_reactor
from txbridge.relay.dead_letters import DeadLetterBox
from txbridge.relay.disk_outbox import DiskOutbox
from txbridge.relay.files import RealFiles
from txbridge.relay.ledger import LedgerFilter, MemoryLedger, SqliteLedger
from txbridge.relay.roles import Loss, LossKind

SECOND = 10**9
AT = 1_370_249_090 * SECOND  # 2013-06-03T08:44:50Z


def rows(stream="t", count=3, start=0):
    at = AT + (start + np.arange(count)) * SECOND
    return Batch((SampleBlock.scalar(stream, at, np.arange(count) + 0.5),))


class State:
    """The state directory of a relay."""

    def __init__(self, folder):
        self.folder = folder
        self.place = RelayPlace(folder)
        self.clock = Clock()
        self.clock.advance(1_370_249_090)
        self.ledger = result_of(
            SqliteLedger.open(folder / "ledger.sqlite", None, worker=StepWorker(), now_ns=lambda: AT)
        )
        self.outboxes = []

    def route(self, name="kitchen", destinations=("hub", "cloud"), **options):
        outbox = result_of(
            DiskOutbox.open(
                self.folder / name / "outbox",
                destinations,
                self.clock,
                writer=StepWorker(),
                reader=StepWorker(),
                **options,
            )
        )
        self.outboxes.append(outbox)
        return outbox

    def bury(self, batch, destination="hub", reason="422 no such unit", route="kitchen"):
        box = DeadLetterBox(
            self.folder / route, RealFiles(), StepWorker(), ledger=MemoryLedger(), now_ns=lambda: AT
        )
        fired(box.bury(destination, batch, reason))

    def lose(self, *losses, route="kitchen"):
        fired(self.ledger.route(route).record(losses))

    def close(self):
        for outbox in self.outboxes:
            fired(outbox.close())
        fired(self.ledger.close())


@pytest.fixture
def state(tmp_path):
    made = State(tmp_path)
    yield made
    made.close()


def settle(outbox, destination):
    fired(outbox.settle(destination, result_of(outbox.peek(destination, max_points=10**6, max_bytes=10**9))))


def ran(command):
    """What a command that waits for nothing ended with."""
    return result_of(command)


# -------------------------------------------------------------------------------------------- ls


def test_what_waits_for_whom_and_what_was_refused_is_listed(state):
    outbox = state.route()
    fired(outbox.append(rows()))
    settle(outbox, "hub")
    state.clock.advance(10)
    state.bury(rows("t\x1b[31m", 2))
    terminal = captured()
    assert ran(list_outboxes(terminal, state.place, None, None, False)) == 0
    waiting, letters = terminal.out.getvalue().split("\n\n")
    assert [line.split()[:3] for line in waiting.splitlines()[1:]] == [
        ["kitchen", "cloud", "3"],
        ["kitchen", "hub", "0"],
    ]
    assert "00000001" in letters
    assert "422 no such unit" in letters
    assert "\x1b" not in letters


def test_the_list_is_json_for_programs_and_keeps_to_one_destination(state):
    fired(state.route().append(rows()))
    state.clock.advance(10)
    state.bury(rows(), "cloud")
    state.bury(rows(), "hub")
    (state.folder / "kitchen/dead/hub/00000002.letter").write_bytes(b"nothing")
    terminal = captured()
    assert ran(list_outboxes(terminal, state.place, "kitchen", "cloud", True)) == 0
    found = json.loads(terminal.out.getvalue())
    (waiting,) = found["waiting"]
    assert (waiting["route"], waiting["destination"], waiting["points"]) == ("kitchen", "cloud", 3)
    assert waiting["oldest_ns"] == AT
    letter, damaged = found["letters"]
    assert (letter["letter"], letter["destination"], letter["points"]) == ("00000001", "cloud", 3)
    assert letter["streams"] == [{"stream": "t", "start_ns": AT, "end_ns": AT + 2 * SECOND, "points": 3}]
    assert damaged["problem"] == "letter: not a dead letter"


def test_a_route_or_a_state_directory_that_is_not_there_is_told(state, tmp_path):
    state.route()
    with pytest.raises(ConfigError, match=r"no route 'hall' in .*; there are: kitchen"):
        ran(list_outboxes(captured(), state.place, "hall", None, False))
    with pytest.raises(ConfigError, match="--state names it"):
        ran(list_outboxes(captured(), RelayPlace(tmp_path / "nowhere"), None, None, False))


def test_a_relay_that_has_left_nothing_has_nothing_to_list(tmp_path):
    terminal = captured()
    assert ran(list_outboxes(terminal, RelayPlace(tmp_path), None, None, False)) == 0
    assert "no such outbox" in terminal.err.getvalue()


# ---------------------------------------------------------------------------------------- export


async def exported(state, route="kitchen", destination=None, *, letters=False, as_csv=False):
    terminal = captured()
    status = await export(
        resolve_reactor(), terminal, state.place, route, destination, letters=letters, as_csv=as_csv
    )
    return status, terminal.out.getvalue(), terminal.err.getvalue()


FULL = Batch(
    (
        SampleBlock(
            "t",
            [AT, AT + 1],
            {"x": [1.5, float("nan")], "n": [2**62, -1], "on": [True, False], "text": ['a,"b', "é\ud800"]},
            (1,),
        ),
    ),
    gaps=(Gap("t", AT, AT + 1, "full", 7),),
    infos=(StreamInfo("t", unit_symbol="°C", value_type=ValueType.FLOAT),),
    notes=(Note("t", AT, None, NoteKind.EVENT, {"door": "open"}),),
)


async def test_json_has_everything_a_line_each(state):
    fired(state.route().append(FULL))
    status, out, err = await exported(state)
    lines = [json.loads(line) for line in out.splitlines()]
    assert lines[0] == {
        "stream": "t",
        "at": "2013-06-03T08:44:50.000000000Z",
        "values": {"x": 1.5, "n": 2**62, "on": True, "text": 'a,"b'},
    }
    assert lines[1]["break"] is True
    assert lines[1]["values"] == {"x": "nan", "n": -1, "on": False, "text": "é\ud800"}
    assert lines[2]["description"]["unit_symbol"] == "°C"
    assert lines[2]["description"]["value_type"] == "float"
    assert lines[3]["gap"] == {"stream": "t", "start_ns": AT, "end_ns": AT + 1, "reason": "full", "points": 7}
    assert lines[4]["note"]["kind"] == "event"
    assert lines[4]["note"]["content"] == {"door": "open"}
    assert (status, err) == (0, "")


async def test_csv_has_the_rows_and_says_what_it_leaves_out(state):
    fired(state.route().append(FULL))
    status, out, err = await exported(state, as_csv=True)
    table = list(csv.reader(io.StringIO(out)))
    assert table[0] == ["stream", "at", "column", "value"]
    assert [row[2:] for row in table[1:]] == [
        ["x", "1.5"],
        ["n", str(2**62)],
        ["on", "true"],
        ["text", 'a,"b'],
        ["x", "nan"],
        ["n", "-1"],
        ["on", "false"],
        ["text", "é\\ud800"],
    ]
    assert "3 descriptions, gaps and notes are left out" in err
    assert status == 0


async def test_what_waits_for_a_destination_is_exported_or_what_it_refused(state):
    outbox = state.route()
    fired(outbox.append(rows("a")))
    settle(outbox, "hub")
    fired(outbox.append(rows("b")))
    state.clock.advance(10)
    state.bury(rows("c"), "hub")
    state.bury(rows("d"), "cloud")

    async def streams(destination, **options):
        _, out, _ = await exported(state, destination=destination, **options)
        return {json.loads(line)["stream"] for line in out.splitlines()}

    assert await streams("hub") == {"b"}
    assert await streams(None) == await streams("cloud") == {"a", "b"}
    assert await streams("hub", letters=True) == {"c"}
    assert await streams(None, letters=True) == {"c", "d"}


async def test_what_is_damaged_is_told_and_the_rest_exported(state):
    state.route()
    state.bury(rows("a"))
    state.bury(rows("b"))
    letter = state.folder / "kitchen/dead/hub/00000001.letter"
    letter.write_bytes(letter.read_bytes()[:-1] + b"\xff")
    status, out, err = await exported(state, letters=True)
    assert status == 1
    assert {json.loads(line)["stream"] for line in out.splitlines()} == {"b"}
    assert "letter 00000001 is damaged and left out" in err


async def test_a_destination_or_an_outbox_that_is_not_there_is_told(state):
    state.route()
    state.clock.advance(10)
    with pytest.raises(ConfigError, match="no destination 'nobody'; there are: cloud, hub"):
        await exported(state, destination="nobody")
    state.bury(rows(), route="hall")
    with pytest.raises(ConfigError, match="route hall keeps no outbox on a disk"):
        await exported(state, "hall")


# --------------------------------------------------------------------------------------- requeue


def letters_of(state, folder):
    return sorted(path.name for path in (state.folder / "kitchen" / folder).rglob("*.letter"))


def sent_back(state, *, destination=None, numbers=None, as_json=False):
    terminal = captured()
    status = ran(requeue(terminal, state.place, "kitchen", destination, numbers, as_json))
    return status, terminal


def test_letters_are_sent_back_by_number(state):
    for stream in "abc":
        state.bury(rows(stream))
    status, terminal = sent_back(state, numbers=[3, 1, 1])
    assert status == 0
    assert "2 letters of route kitchen will be sent again" in terminal.err.getvalue()
    assert letters_of(state, "requeue") == ["hub-00000001.letter", "hub-00000003.letter"]
    assert letters_of(state, "dead") == ["00000002.letter"]


def test_all_letters_of_a_destination_are_sent_back(state):
    for stream, destination in zip("abc", ("hub", "cloud", "hub"), strict=True):
        state.bury(rows(stream), destination)
    _, terminal = sent_back(state, destination="hub", as_json=True)
    assert json.loads(terminal.out.getvalue()) == {"route": "kitchen", "requeued": ["00000001", "00000003"]}
    assert letters_of(state, "dead") == ["00000002.letter"]


def test_no_letter_moves_when_one_of_them_is_not_there(state):
    state.bury(rows())
    with pytest.raises(
        ConfigError, match="there is no sound letter 7, 9; 'txbridge outbox ls kitchen' lists them"
    ):
        sent_back(state, numbers=[1, 9, 7])
    assert letters_of(state, "dead") == ["00000001.letter"]


def test_a_damaged_letter_is_not_sent_back(state):
    state.bury(rows("a"))
    state.bury(rows("b"))
    (state.folder / "kitchen/dead/hub/00000001.letter").write_bytes(b"nothing")
    sent_back(state)
    assert letters_of(state, "requeue") == ["hub-00000002.letter"]
    with pytest.raises(ConfigError, match="no sound letter 1"):
        sent_back(state, numbers=[1])


def test_a_route_without_letters_has_none_to_send_back(state):
    state.route()
    status, terminal = sent_back(state)
    assert status == 0
    assert "no dead letters" in terminal.err.getvalue()


# ---------------------------------------------------------------------------------------- verify


async def verified(state, *, route=None, as_json=False):
    terminal = captured()
    status = await verify(resolve_reactor(), terminal, state.place, route, as_json)
    return status, terminal


async def test_what_is_sound_is_counted(state):
    outbox = state.route()
    for number in range(200):
        fired(outbox.append(rows(start=number)))
    state.bury(rows())
    status, terminal = await verified(state)
    assert status == 0
    assert "200 records and 1 letter with 603 points are sound, 0 are damaged" in terminal.err.getvalue()
    assert terminal.out.getvalue() == ""


async def test_what_is_damaged_is_named(state):
    fired(state.route().append(rows()))
    fired(state.outboxes[0].append(rows("u")))
    (segment,) = (state.folder / "kitchen/outbox").glob("*.seg")
    data = bytearray(segment.read_bytes())
    data[data.index(b"TXB\x01") + 10] ^= 1
    segment.write_bytes(data)
    state.bury(rows())
    (state.folder / "kitchen/dead/hub/00000001.letter").write_bytes(b"nothing")
    (state.folder / "ledger.sqlite-wal").unlink()
    (state.folder / "ledger.sqlite").write_bytes(b"nothing of a database" * 100)
    status, terminal = await verified(state, as_json=True)
    assert status == 1
    found = json.loads(terminal.out.getvalue())
    assert (found["records"], found["letters"], found["points"]) == (1, 0, 3)
    assert [(one["route"], one["what"]) for one in found["damage"]] == [
        ("kitchen", "record 1"),
        ("kitchen", "letter 00000001"),
        ("", "ledger"),
    ]
    status, terminal = await verified(state)
    assert "it had 3 points of t" in terminal.out.getvalue()


# ---------------------------------------------------------------------------------------- ledger


def losses(state, wanted=None, **options):
    terminal = captured()
    options = {"limit": 10, "oldest_first": False, "sums": False, "as_json": False, **options}
    status = ran(list_losses(terminal, state.place, wanted or LedgerFilter(), **options))
    assert status == 0
    return terminal


def loss(stream, points=3, destination="hub"):
    return Loss(destination, LossKind.OVERFLOW, Gap(stream, AT, AT + SECOND, "the outbox was full", points))


def test_losses_are_a_table_for_people(state):
    state.lose(loss("t\x1b"), loss("u", None, ""))
    terminal = losses(state)
    first, second = terminal.out.getvalue().splitlines()[1:]
    assert first.split()[3:7] == ["kitchen", "(all)", "overflow", "u"]
    assert " ? " in first
    assert "2013-06-03T08:44:50.000000000Z" in second
    assert "the outbox was full" in second
    assert "\x1b" not in second


def test_losses_are_json_lines_for_programs(state):
    state.lose(loss("t"), loss("u"))
    terminal = losses(state, as_json=True, oldest_first=True)
    found = [json.loads(line) for line in terminal.out.getvalue().splitlines()]
    assert [(one["stream"], one["points"], one["start_ns"]) for one in found] == [("t", 3, AT), ("u", 3, AT)]
    (only,) = losses(state, LedgerFilter(stream="u"), as_json=True).out.getvalue().splitlines()
    assert json.loads(only)["stream"] == "u"


def test_a_table_that_is_cut_says_so(state):
    state.lose(loss("t"), loss("u"))
    terminal = losses(state, limit=1)
    assert len(terminal.out.getvalue().splitlines()) == 2
    assert "these are 1" in terminal.err.getvalue()


def test_sums_are_shown_for_people_and_programs(state):
    state.lose(loss("t"), loss("u", 4), loss("v", None))
    (line,) = losses(state, sums=True).out.getvalue().splitlines()[1:]
    assert line.split()[:6] == ["kitchen", "hub", "overflow", "7", "3", "1"]
    found = json.loads(losses(state, sums=True, as_json=True).out.getvalue())
    assert (found["points"], found["losses"], found["uncounted"]) == (7, 3, 1)


@pytest.mark.parametrize("sums", [False, True])
def test_nothing_lost_is_said_so(state, sums):
    assert "nothing like that was lost" in losses(state, sums=sums).err.getvalue()


def test_a_directory_without_a_ledger_is_told(tmp_path):
    with pytest.raises(ConfigError, match="there is no ledger in"):
        ran(
            list_losses(
                captured(),
                RelayPlace(tmp_path),
                LedgerFilter(),
                limit=1,
                oldest_first=False,
                sums=False,
                as_json=False,
            )
        )
