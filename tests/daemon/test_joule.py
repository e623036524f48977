"""What a Joule node holds is shown, at a node in memory."""

from __future__ import annotations

import io
import json

import pytest

from tests.support.joule_node import T0, NodeInMemory
from tests.support.program import Tty, captured
from txbridge.daemon.joule import (
    MOST_DRAWN,
    ReadRequest,
    coverage,
    explained,
    info,
    intervals,
    length,
    list_folder,
    read,
)
from txbridge.daemon.terminal import Terminal
from txbridge.errors import ConfigError, ConnectError
from txbridge.joule.errors import DecimationError, NotProduced, StreamNotFound
from txbridge.net.memory import MemoryNetwork

EVENTS = {"id": 9, "name": "doors", "description": "", "event_fields": {"door": "string"}, "data_info": None}
SECOND = 1_000_000


@pytest.fixture
def server():
    server = NodeInMemory(MemoryNetwork())
    server.add("/live/random", "float32_2", [(0, 0.1, 1.5), (1, 0.2, 2.5)], [(10, 0.3, float("inf"))])
    server.add("/live/steps", "int32_1", [(n, n) for n in range(20)], is_destination=True, locked=True)
    server.add("/spare", "int16_1")
    server.events["/live/doors"] = {**EVENTS, "keep_us": 86_400 * SECOND}
    return server


def shown(server, command, terminal=None):
    """What a command gives and says."""
    terminal = captured() if terminal is None else terminal
    node = server.node()
    try:
        assert server.network.run(command(node, terminal)) == 0
    finally:
        server.network.run(node.close())
    return terminal.out.getvalue(), terminal.err.getvalue()


def read_of(path, terminal=None, **more):
    return lambda node, terminal: read(node, terminal, ReadRequest(path, **more))


# ------------------------------------------------------------------------------------------- ls


def test_a_folder_is_shown_as_a_tree(server):
    text, _ = shown(server, lambda node, terminal: list_folder(node, terminal, "/", "table"))
    assert text.splitlines() == [
        "/",
        "├── live",
        "│   ├── doors   events",
        "│   ├── random  float32_2",
        "│   └── steps   int32_1 live locked",
        "└── spare       int16_1",
    ]


def test_a_folder_is_a_document_for_scripts(server):
    text, _ = shown(server, lambda node, terminal: list_folder(node, terminal, "/live", "json"))
    document = json.loads(text)
    assert (document["path"], document["folders"]) == ("/live", [])
    assert document["data_streams"][1] == {
        "name": "steps",
        "path": "/live/steps",
        "id": 2,
        "layout": "int32_1",
        "live": True,
        "locked": True,
    }
    assert [one["path"] for one in document["event_streams"]] == ["/live/doors"]


def test_a_stream_is_listed_alone(server):
    text, _ = shown(server, lambda node, terminal: list_folder(node, terminal, "/spare", "table"))
    assert text == "/spare  int16_1\n"


def test_a_name_without_end_makes_no_line_long(server):
    server.add(f"/{'n' * 9000}", "int16_1")
    text, _ = shown(server, lambda node, terminal: list_folder(node, terminal, "/", "table"))
    assert max(map(len, text.splitlines())) < 150
    assert "nnn…  int16_1" in text


def test_a_name_cannot_steer_the_terminal(server):
    server.add("/a\x1b[2J", "int16_1")
    text, _ = shown(server, lambda node, terminal: list_folder(node, terminal, "/", "table"))
    assert "\\x1b[2J" in text
    assert "\x1b" not in text


def test_a_path_that_leads_nowhere_is_told(server):
    with pytest.raises(ConfigError, match="the node has nothing at '/nowhere'"):
        shown(server, lambda node, terminal: list_folder(node, terminal, "/nowhere", "table"))


# ----------------------------------------------------------------------------------------- info


def test_the_node_is_described(server):
    text, _ = shown(server, lambda node, terminal: info(node, terminal, "/", "table"))
    assert text.startswith("node memory\n  version       1.0.1\n")
    assert "free          2.00 GB" in text
    text, _ = shown(server, lambda node, terminal: info(node, terminal, "/", "json"))
    assert json.loads(text)["bytes"] == {"database": 5000, "other": 10**9, "free": 2 * 10**9}


def test_a_data_stream_is_described_with_its_elements(server):
    text, _ = shown(server, lambda node, terminal: info(node, terminal, "/live/random", "table"))
    lines = [line.split(maxsplit=1) for line in text.splitlines()]
    assert ["layout", "float32_2"] in lines
    assert "first row     2023-11-14 22:13:20.000Z" in text
    assert "kept          for ever" in text
    assert text.splitlines()[-1].split() == ["y", "V", "continuous", "0", "1", "-", "-"]
    text, _ = shown(server, lambda node, terminal: info(node, terminal, "/live/random", "json"))
    document = json.loads(text)
    assert (document["rows"], document["last"]) == (3, "2023-11-14T22:13:30.000000Z")
    assert [element["name"] for element in document["elements"]] == ["x", "y"]


def test_folders_event_streams_and_empty_streams_are_described(server):
    text, _ = shown(server, lambda node, terminal: info(node, terminal, "/live", "table"))
    assert "data streams  2" in text
    text, _ = shown(server, lambda node, terminal: info(node, terminal, "/live/doors", "table"))
    assert "kept          1 day\n" in text
    assert text.splitlines()[-1].split() == ["door", "string"]
    text, _ = shown(server, lambda node, terminal: info(node, terminal, "/spare", "table"))
    assert "rows          none" in text


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [(0, "0 s"), (1_500_000, "1.5 s"), (3_600_000_000, "1 hour"), (90_061_000_000, "1 day 1 hour")],
)
def test_a_length_of_time_is_told_to_two_units(microseconds, text):
    assert length(microseconds) == text


# ------------------------------------------------------------------------------------ intervals


def test_intervals_are_a_table_and_a_person_sees_a_bar(server):
    terminal = captured(watched=True)
    text, _ = shown(server, lambda node, t: intervals(node, t, "/live/random", None, None, "table"), terminal)
    lines = text.splitlines()
    assert lines[1].split()[-2:] == ["1", "s"]
    assert lines[4].startswith("▕█")
    assert lines[4].endswith("▏")
    text, _ = shown(server, lambda node, t: intervals(node, t, "/live/random", None, None, "table"))
    assert "▕" not in text


def test_intervals_within_a_range_are_a_document_for_scripts(server):
    text, _ = shown(server, lambda node, t: intervals(node, t, "/live/random", T0 + 5 * SECOND, None, "json"))
    spans = [{"start": "2023-11-14T22:13:30.000000Z", "end": "2023-11-14T22:13:30.000001Z"}]
    assert json.loads(text) == spans


def test_no_intervals_are_said_on_stderr(server):
    assert shown(server, lambda node, t: intervals(node, t, "/spare", None, None, "table")) == (
        "",
        "txbridge: '/spare' has no rows there\n",
    )


def test_a_bar_is_as_high_as_much_of_its_time_has_rows():
    assert coverage([(0, 25), (50, 100)], 0, 100, 4) == "█ ██"
    assert coverage([(0, 5)], 0, 100, 10) == "▄         "
    assert coverage([(40, 41)], 0, 1000, 4) == "▁   "
    assert coverage([(-50, 150)], 0, 100, 3) == "███"


# ----------------------------------------------------------------------------------------- read


def test_rows_are_csv_with_a_blank_line_for_a_break(server):
    text, said = shown(server, read_of("/live/random"))
    assert text.splitlines() == [
        "timestamp,x,y",
        "2023-11-14T22:13:20.000000Z,0.1,1.5",
        "2023-11-14T22:13:21.000000Z,0.2,2.5",
        "",
        "2023-11-14T22:13:30.000000Z,0.3,inf",
    ]
    assert said == ""


def test_rows_are_objects_for_scripts(server):
    text, _ = shown(server, read_of("/live/random", start=T0 + SECOND, form="json"))
    assert [json.loads(line) for line in text.splitlines()] == [
        {"at": "2023-11-14T22:13:21.000000Z", "values": {"x": 0.2, "y": 2.5}},
        {"break": True},
        {"at": "2023-11-14T22:13:30.000000Z", "values": {"x": 0.3, "y": None}},
    ]


def test_rows_are_drawn_for_each_element(server):
    text, _ = shown(server, read_of("/live/random", form="plot"))
    assert "/live/random: x (V)" in text
    assert "/live/random: y (V)" in text


def test_a_chart_of_many_rows_that_are_kept_undecimated_keeps_every_so_many(server):
    server.add("/many", "int32_1", [(n, n) for n in range(5 * MOST_DRAWN)])
    text, _ = shown(server, read_of("/many", form="plot"))
    assert "/many: x" in text
    assert "23:36" in text  # the last of the rows


def test_a_stream_without_rows_is_told(server):
    assert shown(server, read_of("/spare"))[1] == "txbridge: '/spare' has no rows there\n"


def test_a_person_sees_how_far_the_reading_is(server):
    terminal = Terminal(io.StringIO(), Tty())
    shown(server, read_of("/live/steps"), terminal)
    assert "reading" in terminal.err.getvalue()


def test_what_no_module_makes_cannot_be_watched(server):
    with pytest.raises(NotProduced):
        shown(server, read_of("/spare", live=True))


def test_a_stream_that_is_not_there_is_an_error(server):
    with pytest.raises(StreamNotFound):
        shown(server, read_of("/nowhere"))


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/live", "'/live' is a folder, which has no rows; 'txbridge joule ls /live' shows"),
        ("/", "'/' is a folder"),
        ("/live/doors", "'/live/doors' is an event stream, which has no rows"),
    ],
)
def test_what_has_no_rows_is_said_to_be_no_data_stream(server, path, words):
    for command in (
        read_of(path),
        lambda node, terminal: intervals(node, terminal, path, None, None, "table"),
    ):
        with pytest.raises(ConfigError, match=words):
            shown(server, command)


def test_too_few_rows_for_any_decimation_are_said_to_be(server):
    with pytest.raises(DecimationError, match="none decimated by 4; a larger --max-rows"):
        shown(server, read_of("/live/steps", max_rows=5))


def test_a_node_that_is_not_there_is_told_in_its_own_words(server):
    terminal = captured()

    def command():
        raise ConnectError("node.test:1", "refused")

    assert server.network.run(explained(terminal, command)) == 69
    assert "is a node running there? --node or TXBRIDGE_JOULE_URL" in terminal.err.getvalue()
