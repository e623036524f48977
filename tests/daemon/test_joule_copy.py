"""A copy brings everything, and goes on where it was, between nodes and hubs in one network in memory."""

from __future__ import annotations

import io
import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from twisted.internet.defer import CancelledError
from twisted.internet.task import deferLater

from tests.support.hub_in_memory import HubInMemory
from tests.support.joule_node import T0, NodeInMemory
from tests.support.program import Tty, captured
from txbridge.daemon.cli import parser
from txbridge.daemon.config import CosmEnd, JouleEnd
from txbridge.daemon.joule_copy import CopyRequest, Reach, copy
from txbridge.daemon.terminal import Terminal
from txbridge.errors import ConfigError, ConnectError, NotFound
from txbridge.joule.errors import UnknownNode
from txbridge.model.structures import Environment
from txbridge.net.http1 import Response

SECOND = 1_000_000
TO_COSM = frozenset(
    {"not-a-number dropped", "gaps dropped", "breaks dropped", "annotations and events dropped"}
)
NOTHING = frozenset[str]()
START = datetime.fromtimestamp(T0 / 1e6, UTC)


class Bench:
    """A hub and two nodes, and copies between them."""

    def __init__(self, folder: Path, hub: HubInMemory) -> None:
        self.folder = folder
        self.hub = hub
        self.nodes = {name: NodeInMemory(hub.network, f"{name or 'default'}.test") for name in ("", "b")}
        self.terminal = captured()

    def start(self, source, destination, *, terminal=None, **more):
        request = CopyRequest(
            source,
            destination,
            **{
                "words": ("", ""),
                "since": 0,
                "until": T0 + 1000 * SECOND,
                "accept": TO_COSM,
                "state_dir": str(self.folder),
                **more,
            },
        )
        self.terminal = captured() if terminal is None else terminal
        reach = Reach(self._node, self.hub.client, self.hub.url)
        return copy(self.hub.network.reactor, self.terminal, request, reach)

    def _node(self, name):
        if name not in self.nodes:
            raise UnknownNode([f"Node [{name!r}] is not available"])
        return self.nodes[name].node()

    def run(self, source, destination, **more):
        """The exit status, and the summary if there is one."""
        status = self.hub.run(self.start(source, destination, form="json", **more), 600)
        text = self.terminal.out.getvalue()
        return status, json.loads(text) if text else None

    @property
    def said(self):
        return self.terminal.err.getvalue()

    def states(self):
        return list(self.folder.rglob("*.json"))

    def stop(self, running):
        """Cancel a copy, as Ctrl-C does."""
        running.cancel()
        with pytest.raises(CancelledError):
            self.hub.run(running)

    def history(self, feed_id, name):
        walk = self.hub.client().walk_history(name, START, START.replace(year=2024), feed_id=feed_id)
        return [
            (point.at.timestamp() - T0 / 1e6, point.value) for point in self.hub.run(walk.next_datapoints())
        ]


@pytest.fixture
def bench(tmp_path):
    with HubInMemory(tmp_path) as hub:
        yield Bench(tmp_path / "state", hub)


def joule(path, node=""):
    return JouleEnd(node, path)


def test_a_stream_is_copied_to_another_node_with_its_breaks(bench):
    bench.nodes[""].add("/live/a", "int32_2", [(0, 1, 2), (1, 3, 4)], [(5, 5, 6)])
    status, summary = bench.run(joule("/live/a"), joule("/kept", "b"), accept=NOTHING)
    other = bench.nodes["b"]
    assert (status, other.rows("/kept/a")) == (0, [(0, 1, 2), (1, 3, 4), (5, 5, 6)])
    assert other.streams["/kept/a"].breaks == {T0, T0 + 5 * SECOND}
    assert (summary["read"], summary["delivered"], summary["dropped"]) == (3, 3, 0)
    assert (summary["refused"], summary["missing"], bench.states()) == ([], [], [])


def test_a_stream_is_the_same_stream_on_another_node(bench):
    held = bench.nodes[""].add("/a", "int16_2", [(0, -3, 4)], description="a meter", names=["raw volts", "n"])
    held.document["elements"][0] |= {
        "offset": 2.0,
        "scale_factor": 0.1,
        "plottable": False,
        "default_max": 9.0,
    }
    bench.nodes[""].add("/b", "float32_1", [(0, float("inf")), (1, 0.5)])
    assert bench.run(joule("/"), joule("/", "b"), accept=NOTHING)[0] == 0
    for path in ("/a", "/b"):
        here, there = (bench.nodes[name].streams[path].document for name in ("", "b"))
        same = ("name", "description", "datatype")
        assert {name: here[name] for name in same} == {name: there[name] for name in same}
        assert here["elements"] == [
            {**element, "display_type": element["display_type"].upper()} for element in there["elements"]
        ]
        assert bench.nodes["b"].rows(path) == bench.nodes[""].rows(path)


def test_a_stream_that_is_deleted_ends_its_copy(bench):
    bench.nodes[""].add("/a", "int32_1", [(0, 1)])
    bench.nodes[""].refusal = Response(503, (), b"")
    running = bench.start(joule("/a"), joule("/kept", "b"))
    bench.hub.run(deferLater(bench.hub.network.clock, 100), 200)
    assert "the source is away" in bench.said
    del bench.nodes[""].streams["/a"]
    with pytest.raises(ConfigError, match=r"the source needs attention: .* the node has no stream /a"):
        bench.hub.run(running, 600)


def test_a_range_is_half_open(bench):
    bench.nodes[""].add("/a", "int32_1", [(n, n) for n in range(10)])
    bench.run(joule("/a"), joule("/kept", "b"), since=T0 + 3 * SECOND, until=T0 + 5 * SECOND)
    assert bench.nodes["b"].rows("/kept/a") == [(3, 3), (4, 4)]


def test_a_folder_is_copied_with_all_that_is_in_it(bench):
    bench.nodes[""].add("/live/a", "int32_1", [(0, 1)])
    bench.nodes[""].add("/live/deep/b", "int32_1", [(0, 2)])
    assert bench.run(joule("/live"), joule("/", "b"))[0] == 0
    assert {path: bench.nodes["b"].rows(path) for path in bench.nodes["b"].streams} == {
        "/a": [(0, 1)],
        "/deep.b": [(0, 2)],
    }


def test_columns_become_datastreams_of_a_new_feed_under_names_that_it_takes(bench):
    bench.nodes[""].add(
        "/my meter", "float64_2", [(0, 1.5, 2.0), (1, 2.5, float("inf"))], names=["P (W)", "Q"]
    )
    status, summary = bench.run(joule("/my meter"), CosmEnd(None, "Meter"))
    feed = summary["feed"]
    assert (status, bench.hub.run(bench.hub.client().read_feed(feed_id=feed)).title) == (0, "Meter")
    assert bench.history(feed, "my_meter.P__W_") == [(0, "1.5"), (1, "2.5")]
    assert bench.history(feed, "my_meter.Q") == [(0, "2.0")]
    assert (summary["read"], summary["delivered"], summary["dropped"]) == (4, 3, 1)
    assert summary["losses"] == [{"name": "not-a-number dropped", "count": 1}]


def test_the_help_accepts_all_that_a_copy_into_a_feed_loses(capsys):
    with pytest.raises(SystemExit):
        parser().parse_args(["joule", "copy", "--help"])
    assert set(re.findall('--accept "([^"]+)"', capsys.readouterr().out)) == TO_COSM


def test_what_was_accepted_to_be_lost_is_counted(bench):
    bench.nodes[""].add("/a", "float64_1", [(0, 1.5), (1, float("inf"))], [(5, 2.0)], [(9, 3.0)])
    bench.nodes[""].annotations = [
        {"id": 1, "title": "moved", "content": "", "start": T0, "end": None, "stream_id": 1}
    ]
    terminal = captured()
    assert bench.hub.run(bench.start(joule("/a"), CosmEnd(None, "A"), terminal=terminal), 60) == 0
    lines = terminal.out.getvalue().splitlines()
    told = [line.strip() for line in lines[lines.index("dropped    1 point") + 1 :][:3]]
    assert sorted(told) == [
        "1 by 'annotations and events dropped'",
        "1 by 'not-a-number dropped'",
        "2 by 'breaks dropped'",
    ]


def test_two_streams_that_would_become_one_are_refused(bench):
    bench.nodes[""].add("/a", "int32_2", [(0, 1, 2)], names=["x y", "x_y"])
    with pytest.raises(ConfigError, match=r"would both be 'a\.x_y'"):
        bench.run(joule("/a"), CosmEnd(None, "A"))


def test_a_feed_is_copied_to_a_node_and_what_is_no_number_is_missing(bench):
    feed = int(bench.hub.run(bench.hub.client().create_feed(data=Environment(title="Boiler"))))
    document = Environment()
    for second, value in enumerate(["1", "off", "2.5"]):
        document.add_datapoint("t", f"2023-11-14T22:13:2{second}Z", value)
    bench.hub.run(bench.hub.client().update_feed(feed_id=feed, data=document))
    status, summary = bench.run(CosmEnd(feed), joule("/boiler"), accept=NOTHING, since=T0 - SECOND)
    assert bench.nodes[""].rows("/boiler/t") == [(0, 1.0), (2, 2.5)]
    assert summary["missing"] == [{"reason": "t: the value is not a number", "points": 1}]
    assert (status, summary["delivered"]) == (1, 2)


def test_a_feed_is_copied_to_a_feed_as_the_text_it_is_and_nothing_has_to_be_accepted(bench):
    feed = int(bench.hub.run(bench.hub.client().create_feed(data=Environment(title="Boiler"))))
    document = Environment()
    document.add_datapoint("t", "2023-11-14T22:13:20Z", "21.50")
    document.add_datapoint("pump", "2023-11-14T22:13:20Z", "on")
    bench.hub.run(bench.hub.client().update_feed(feed_id=feed, data=document))
    span = {"since": T0 - SECOND, "accept": NOTHING}
    status, summary = bench.run(CosmEnd(feed), CosmEnd(None, "Copy"), **span)
    assert (status, bench.history(summary["feed"], "t")) == (0, [(0, "21.50")])
    assert bench.history(summary["feed"], "pump") == [(0, "on")]


def test_losses_have_to_be_accepted_by_name_before_anything_flows(bench):
    bench.nodes[""].add("/a", "int32_1", [(0, 1)])
    status, summary = bench.run(joule("/a"), CosmEnd(None, "A"), accept={"gaps dropped"})
    assert (status, summary) == (2, None)
    assert "this would be lost: breaks dropped\n" in bench.said
    assert '--accept "breaks dropped" --accept "annotations and events dropped"\n' in bench.said
    assert bench.hub.run(bench.hub.client().list_feeds()).feeds == []
    assert bench.states() == []


def test_a_copy_that_was_stopped_goes_on_with_the_same_range_and_the_same_feed(bench):
    bench.nodes[""].add("/a", "int32_1", [(n, n) for n in range(6000)])
    span = {"until": T0 + 6000 * SECOND, "words": ("1 hour ago", "")}
    running = bench.start(joule("/a"), CosmEnd(None, "A"), **span)
    bench.hub.settle()
    bench.stop(running)
    assert "stopped; the same command goes on from here" in bench.said
    (state,) = bench.states()
    kept = json.loads(state.read_text())
    assert 0 < kept["delivered"] == kept["read"]
    later = {**span, "since": T0 + 3600 * SECOND, "until": T0 + 9999 * SECOND}
    status, summary = bench.run(joule("/a"), CosmEnd(None, "A"), **later)
    assert "going on with the copy of 1970-01-01" in bench.said
    assert (status, summary["feed"], summary["delivered"]) == (0, kept["feed"], 6000)
    assert len(bench.hub.run(bench.hub.client().list_feeds()).feeds) == 1
    assert bench.states() == []


def test_what_is_delivered_once_more_after_a_kill_makes_no_break(bench):
    """The node has the beginning of a run, and whoever wrote it did not live to know."""
    bench.nodes[""].add("/a", "int32_1", [(0, 0), (1, 1)], [(10, 2), (11, 3), (12, 4)], [(20, 5)])
    half = bench.nodes["b"].add("/kept/a", "int32_1", [(0, 0), (1, 1)], [(10, 2), (11, 3)])
    assert bench.run(joule("/a"), joule("/kept", "b"))[0] == 0
    assert [at for at, *_ in bench.nodes["b"].rows("/kept/a")] == [0, 1, 10, 11, 12, 20]
    assert half.breaks == {T0, T0 + 10 * SECOND, T0 + 20 * SECOND}


def test_what_was_refused_before_a_stop_is_told_at_the_end(bench):
    bench.nodes[""].add("/a", "int32_1", [(0, 1)])
    bench.nodes["b"].add("/kept/a", "int16_2")
    refused = bench.run(joule("/a"), joule("/kept", "b"))
    assert refused[0] == 1
    (reason,) = refused[1]["refused"]
    assert (reason["points"], refused[1]["delivered"]) == (1, 0)
    assert "the stream has 2 elements, not 1" in reason["reason"]


def test_a_destination_that_is_away_is_waited_for_and_that_is_said_once(bench):
    bench.nodes[""].add("/a", "int32_1", [(0, 1)])
    bench.nodes["b"].add("/kept/a", "int32_1")
    bench.nodes["b"].refusal = Response(503, (), b"")
    running = bench.start(joule("/a"), joule("/kept", "b"))
    bench.hub.run(deferLater(bench.hub.network.clock, 100), 200)
    bench.nodes["b"].refusal = None
    assert bench.hub.run(running, 600) == 0
    assert bench.said.count("the destination is away") == 1
    assert bench.said.count("the destination is back") == 1
    assert bench.nodes["b"].rows("/kept/a") == [(0, 1)]


def test_a_key_that_is_refused_in_the_middle_ends_the_copy_and_keeps_its_place(bench):
    bench.nodes[""].add("/a", "int32_1", [(0, 1)])
    bench.nodes["b"].add("/kept/a", "int32_1")
    bench.nodes["b"].refusal = Response(403, (), b"403: Forbidden")
    with pytest.raises(ConfigError, match="the destination needs attention"):
        bench.run(joule("/a"), joule("/kept", "b"))
    assert len(bench.states()) == 1


@pytest.mark.parametrize(
    ("source", "destination"), [(CosmEnd(99), JouleEnd("", "/x")), (JouleEnd("", "/a"), CosmEnd(99))]
)
def test_an_end_that_is_not_there_is_told_before_anything_flows(bench, source, destination):
    bench.nodes[""].add("/a", "int32_1", [(0, 1)])
    with pytest.raises(NotFound):
        bench.run(source, destination)
    assert bench.states() == []


def test_a_node_that_nobody_knows_is_a_mistake_in_the_words(bench):
    assert bench.run(joule("/a", "nobody"), joule("/x")) == (2, None)
    assert "Node ['nobody'] is not available" in bench.said


@pytest.mark.parametrize("which", ["the node", "the hub"])
def test_of_an_end_that_cannot_be_reached_it_is_told_which_it_is(bench, which):
    bench.nodes[""].add("/a", "int32_1", [(0, 1)])
    if which == "the node":
        bench.nodes["b"].port.stopListening()
        assert bench.run(joule("/a"), joule("/x", "b")) == (69, None)
        assert "is a node running there?" in bench.said
    else:
        reach = Reach(bench._node, lambda: bench.hub.client(url="http://away.test/v2"), "away")
        request = CopyRequest(joule("/a"), CosmEnd(7), ("", ""), 0, T0, TO_COSM, state_dir=str(bench.folder))
        with pytest.raises(ConnectError):
            bench.hub.run(copy(bench.hub.network.reactor, bench.terminal, request, reach))


def test_a_folder_without_streams_has_nothing_to_copy(bench):
    with pytest.raises(ConfigError, match="there is no stream in /"):
        bench.run(joule("/"), joule("/x", "b"))


@pytest.mark.parametrize("text", ["nonsense", "[]", '{"version": 1}', '{"version": 7}'])
def test_a_file_that_is_no_state_is_left_alone(bench, text, tmp_path):
    bench.nodes[""].add("/a", "int32_1", [(0, 1)])
    file = tmp_path / "notes"
    file.write_text(text)
    assert bench.run(joule("/a"), joule("/x", "b"), state=str(file)) == (2, None)
    assert "does not hold the state of a copy" in bench.said
    assert file.read_text() == text


def test_of_two_runs_of_one_copy_the_second_ends_at_once_and_says_who_is_first(bench):
    bench.nodes[""].add("/a", "int32_1", [(n, n) for n in range(6000)])
    span = {"until": T0 + 6000 * SECOND}
    first = bench.start(joule("/a"), CosmEnd(None, "A"), **span)
    assert bench.run(joule("/a"), CosmEnd(None, "A"), **span) == (2, None)
    assert f"process {os.getpid()} is running this copy" in bench.said
    assert bench.hub.run(first, 600) == 0
    assert list(bench.folder.rglob("*")) == [bench.folder / "copies"]
    bench.stop(bench.start(joule("/a"), CosmEnd(None, "A"), **span))
    assert bench.run(joule("/a"), CosmEnd(None, "A"), **span)[0] == 0


def test_the_state_of_another_copy_is_not_taken(bench, tmp_path):
    bench.nodes[""].add("/a", "int32_1", [(n, n) for n in range(6000)])
    file = str(tmp_path / "state.json")
    running = bench.start(joule("/a"), CosmEnd(None, "A"), state=file, until=T0 + 6000 * SECOND)
    bench.hub.settle()
    bench.stop(running)
    assert bench.run(joule("/a"), CosmEnd(None, "B"), state=file) == (2, None)
    assert f"{file} is of another copy" in bench.said


def test_a_state_that_cannot_be_kept_is_told(bench, tmp_path):
    bench.nodes[""].add("/a", "int32_1", [(0, 1)])
    assert bench.run(joule("/a"), joule("/x", "b"), state="/proc/nowhere/state.json") == (2, None)
    assert "--state: cannot write" in bench.said
    assert bench.nodes["b"].writes == 0
    (tmp_path / "file").write_text("")
    assert bench.run(joule("/a"), joule("/x", "b"), state=str(tmp_path / "file" / "x")) == (2, None)
    assert "--state: cannot write" in bench.said
    (tmp_path / "folder").mkdir()
    assert bench.run(joule("/a"), joule("/x", "b"), state=str(tmp_path / "folder")) == (2, None)
    assert "--state: cannot read" in bench.said
    assert bench.run(joule("/a"), joule("/x", "b"), state_dir=None) == (2, None)


def test_a_person_sees_how_far_it_is_and_a_summary(bench):
    bench.nodes[""].add("/a", "int32_1", [(0, 1)])
    terminal = Terminal(io.StringIO(), Tty())
    assert bench.hub.run(bench.start(joule("/a"), CosmEnd(None, "A"), terminal=terminal), 60) == 0
    assert "copying" in bench.said
    lines = [line.split(maxsplit=1) for line in terminal.out.getvalue().splitlines()]
    assert ["delivered", "1 point"] in lines
    assert ["feed", "1"] in lines
