"""The node people hold: over real HTTP in memory, at a server that answers as nodes were seen to."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from twisted.internet.defer import Deferred

from txbridge.errors import (
    Closed,
    ConfigError,
    ConnectError,
    DecodeError,
    RemoteProtocolError,
    TimedOut,
)
from txbridge.joule import errors
from txbridge.joule.client import EVENTS_PER_WRITE, Node
from txbridge.joule.errors import InvalidArgument
from txbridge.joule.lumen import DisplayedDataStreamElement, DisplayedEventStream, IRange, link
from txbridge.joule.structures import (
    Annotation,
    DataStream,
    DataStreamInfo,
    Element,
    Event,
    EventStream,
    EventStreamInfo,
    Master,
    NodeInfo,
)
from txbridge.net.http1 import Request, Response
from txbridge.net.http_server import HttpServerFactory
from txbridge.net.memory import MemoryNetwork

KEY = "k7Q-the-secret"


def said(status: int, text: str, kind: str = "text/plain; charset=utf-8") -> Response:
    return Response(status, (("Content-Type", kind),), text.encode())


def a_folder(id: int, name: str) -> dict[str, Any]:
    return {"id": id, "name": name, "children": [], "streams": []}


def gave(document: Any) -> Response:
    return said(200, json.dumps(document), "application/json")


class Server:
    """A node as far as a test needs one.

    Attributes:
        requests: What it was asked.
        answers: What it says, by method and path: a response, a document, or a function of the request.
        uuid: Its uuid; None for a release that has none.
        events: The events of its only event stream, whose id is 6.
    """

    def __init__(self, network: MemoryNetwork, host: str = "node.test", uuid: str | None = "u-1") -> None:
        self.url = f"http://{host}:8088/joule"
        self.requests: list[Request] = []
        self.answers: dict[str, Any] = {}
        self.uuid = uuid
        self.events: list[dict[str, Any]] = []
        network.listen(host, 8088, HttpServerFactory(self._respond, clock=network.clock))

    def asked(self) -> list[str]:
        return [f"{one.method} {one.path.removeprefix('/joule')}" for one in self.requests]

    def _respond(self, request: Request) -> Response | Deferred[Response]:
        self.requests.append(request)
        line = f"{request.method} {request.path.removeprefix('/joule')}"
        answer = self.answers.get(line, self._known().get(line))
        if answer is None:
            return said(404, "404: Not Found")
        if callable(answer):
            answer = answer(request)
        return answer if isinstance(answer, (Response, Deferred)) else gave(answer)

    def _known(self) -> dict[str, Any]:
        version = {"version": "1.0.1", "name": "node"}
        return {
            "GET /version.json": version if self.uuid is None else {**version, "uuid": self.uuid},
            "GET /event.json": self._event_stream,
            "POST /event/data.json": self._write_events,
            "GET /event/data.json": self._read_events,
        }

    def _event_stream(self, request: Request) -> dict[str, Any]:
        starts = [event["start_time"] for event in self.events]
        info = {"start": min(starts, default=None), "end": None, "event_count": len(starts)}
        return {
            "id": 6,
            "name": "events",
            "description": "",
            "event_fields": {},
            "data_info": {**info, "total_time": 0, "bytes": 0},
        }

    def _shown(self, event: dict[str, Any]) -> dict[str, Any]:
        return event if self.uuid is not None else {k: v for k, v in event.items() if k != "event_stream_id"}

    def _write_events(self, request: Request) -> dict[str, Any]:
        written = []
        for event in json.loads(request.body)["events"]:
            known = [one for one in self.events if one["id"] == event["id"] is not None]
            if known:
                known[0].update(event)
                written.append(known[0])
            else:
                self.events.append({**event, "id": len(self.events) + 1, "event_stream_id": 6})
                written.append(self.events[-1])
        return {"count": len(written), "events": [self._shown(event) for event in written]}

    def _read_events(self, request: Request) -> dict[str, Any]:
        numbers = ("start", "end", "limit")
        asked = {name: int(one[0]) for name, one in parse_qs(request.query).items() if name in numbers}
        found = sorted(self.events, key=lambda event: int(event["start_time"]))
        if "start" in asked:
            # the end decides in an old release, and one without an end is left out
            edge = "start_time" if self.uuid is not None else "end_time"
            found = [event for event in found if event[edge] is not None and event[edge] >= asked["start"]]
        found = [event for event in found if event["start_time"] < asked.get("end", 10**18)][: asked["limit"]]
        return {"count": len(found), "events": [self._shown(event) for event in found], "type": "events"}


@pytest.fixture
def network() -> MemoryNetwork:
    return MemoryNetwork()


@pytest.fixture
def server(network: MemoryNetwork) -> Server:
    return Server(network)


@pytest.fixture
def node(network: MemoryNetwork, server: Server) -> Iterator[Node]:
    node = Node(server.url, KEY, deadline=20, reactor=network.reactor)
    yield node
    network.run(node.close())


# -------------------------------------------------------------------------------------------- the API

DOCUMENTED = {
    "info": "",
    "folder_root": "",
    "folder_get": "folder",
    "folder_move": "source destination",
    "folder_update": "folder",
    "folder_delete": "folder recursive",
    "data_stream_get": "stream",
    "data_stream_move": "stream folder",
    "data_stream_update": "stream",
    "data_stream_delete": "stream",
    "data_stream_create": "stream folder",
    "data_stream_info": "stream",
    "data_stream_annotation_delete": "stream start end",
    "data_delete": "stream start end",
    "data_intervals": "stream start end",
    "data_consolidate": "stream max_gap start end",
    "data_decimate": "stream",
    "data_drop_decimations": "stream",
    "annotation_create": "annotation stream",
    "annotation_delete": "annotation",
    "annotation_update": "annotation",
    "annotation_get": "stream start end",
    "annotation_info": "stream",
    "event_stream_get": "stream create description chunk_duration chunk_duration_us event_fields",
    "event_stream_move": "stream folder",
    "event_stream_update": "stream",
    "event_stream_delete": "stream",
    "event_stream_create": "stream folder",
    "event_stream_info": "stream",
    "event_stream_write": "stream events",
    "event_stream_read": "stream start end limit json_filter include_on_going_events",
    "event_stream_read_list": "stream start end json_filter include_on_going_events limit",
    "event_stream_count": "stream start end json_filter include_on_going_events",
    "event_stream_remove": "stream start end json_filter",
    "module_list": "statistics",
    "module_get": "module statistics",
    "module_logs": "module",
    "proxy_list": "",
    "proxy_get": "proxy",
    "master_add": "master_type identifier lumen_parameters api_key",
    "master_list": "",
    "master_delete": "master_type name",
    "master_remove": "master",
    "master_removet": "master",
    "follower_list": "",
    "follower_delete": "follower and_all_others",
    "follower_remove": "follower and_all_others",
    "db_connect": "",
    "db_connection_info": "",
    "archive_upload": "path",
    "create_lumen_link": (
        "lumen_url data_stream_elements event_streams "
        "nav_time_bounds main_time_bounds left_y_bounds right_y_bounds"
    ),
    "close": "",
}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_each_documented_verb_has_its_arguments_in_their_order(name: str) -> None:
    parameters = list(inspect.signature(getattr(Node, name)).parameters)
    assert " ".join(parameters[1:]) == DOCUMENTED[name]


def test_what_travels_is_what_the_call_said(network: MemoryNetwork, server: Server, node: Node) -> None:
    server.answers["GET /folder.json"] = a_folder(5, "a b")
    assert network.run(node.folder_get("/a b/ü&x")).id == 5
    (request,) = server.requests
    assert request.query == "path=%2Fa%20b%2F%C3%BC%26x"
    assert request.headers["x-api-key"] == KEY
    assert request.path.startswith("/joule/")


def test_a_key_is_stripped_and_shows_nowhere(network: MemoryNetwork, server: Server) -> None:
    node = Node(server.url + "/", f" {KEY}\n", reactor=network.reactor)
    server.answers["GET /folders.json"] = said(403, "403: Forbidden")
    with pytest.raises(errors.KeyRefused) as caught:
        network.run(node.folder_root())
    assert server.requests[0].headers["x-api-key"] == KEY
    assert KEY not in f"{node!r}{caught.value!r}{caught.value}{caught.value.__dict__}"
    assert repr(node) == f"<joule.api.Node name='node' url='{server.url}'>"
    network.run(node.close())


def test_without_a_key_none_is_sent(network: MemoryNetwork, server: Server) -> None:
    node = Node(server.url, reactor=network.reactor)
    network.run(node.event_stream_get(6))
    assert "x-api-key" not in server.requests[0].headers
    network.run(node.close())


@pytest.mark.parametrize(
    ("url", "key"), [("ftp://x", KEY), ("http://me:sesame@x", KEY), ("http://x", "sesame\n\0x")]
)
def test_what_cannot_be_asked_is_said_at_once_and_without_secrets(url: str, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Node(url, key, reactor=MemoryNetwork().reactor)
    assert "sesame" not in str(caught.value)


def test_an_argument_that_cannot_be_sent_is_the_deferreds_error(server: Server, node: Node) -> None:
    for call in (node.folder_get, node.data_stream_get, node.event_stream_get, node.module_get):
        refused: list[Any] = []
        call(None).addErrback(refused.append)  # type: ignore[operator]
        assert refused[0].check(InvalidArgument)
    assert server.requests == []


@pytest.mark.parametrize(
    ("answer", "kind", "text"),
    [
        (said(404, "404: folder does not exist"), errors.ObjectNotFound, "folder does not exist [404]"),
        (said(404, "folder does not exist"), errors.ObjectNotFound, "folder does not exist [404]"),
        (said(404, "404: stream does not exist"), errors.StreamNotFound, "stream does not exist [404]"),
        (said(400, "400: folder is locked"), errors.Rejected, "folder is locked [400]"),
        (said(502, "<html>", "text/html"), errors.NodeFailed, "folder_get [502]"),
        (
            said(500, "Traceback (most recent call last):\n  x\nKeyError: 1"),
            errors.NodeFailed,
            "KeyError: 1 [500]",
        ),
        (
            said(200, "<html>log in</html>"),
            DecodeError,
            "json: is no answer of a Joule node: Expecting value: line 1 column 1 (char 0)",
        ),
        (
            said(302, ""),
            RemoteProtocolError,
            "folder_get: it answered 302, a redirect; redirects are not followed",
        ),
    ],
)
def test_each_no_has_its_error(
    network: MemoryNetwork, server: Server, node: Node, answer: Response, kind: type[Exception], text: str
) -> None:
    server.answers["GET /folder.json"] = answer
    with pytest.raises(kind) as caught:
        network.run(node.folder_get("/x"))
    assert type(caught.value) is kind
    assert str(caught.value) == text


def test_where_there_is_no_answer_the_plain_errors_say_so(
    network: MemoryNetwork, server: Server, node: Node
) -> None:
    server.answers["GET /folders.json"] = Deferred()
    with pytest.raises(TimedOut):
        network.run(node.folder_root())
    away = Node("http://away.test", KEY, reactor=network.reactor)
    with pytest.raises(ConnectError):
        network.run(away.folder_root())
    network.run(away.close())
    with pytest.raises(Closed):
        network.run(away.folder_root())


def test_requests_share_a_connection(network: MemoryNetwork, server: Server, node: Node) -> None:
    for _ in range(5):
        network.run(node.event_stream_get(6))
    assert network.connections_made == 1


# ------------------------------------------------------------------------------------- what is composed


def test_the_info_of_a_node_is_made_of_two_answers(
    network: MemoryNetwork, server: Server, node: Node
) -> None:
    server.answers["GET /dbinfo"] = {"path": "/db", "other": 1, "reserved": 2, "free": 3, "size": 4}
    assert network.run(node.info()) == NodeInfo("/db", 2, 1, 3, 4, version="1.0.1", name="node", uuid="u-1")


def test_a_stream_without_an_info_holds_nothing(network: MemoryNetwork, server: Server, node: Node) -> None:
    server.answers["GET /stream.json"] = {
        "id": 1,
        "name": "s",
        "datatype": "int16",
        "keep_us": -1,
        "elements": [],
    }
    assert network.run(node.data_stream_info(1)) == DataStreamInfo(None, None, 0)
    server.answers["GET /event.json"] = {"id": 1, "name": "s"}
    assert network.run(node.event_stream_info(1)) == EventStreamInfo(None, None, 0)


def test_a_node_that_fails_at_an_unknown_destination_is_asked_for_it(
    network: MemoryNetwork, server: Server, node: Node
) -> None:
    server.answers["PUT /folder/move.json"] = said(500, "AttributeError: 'NoneType'")
    server.answers["GET /folder.json"] = said(404, "404: folder does not exist")
    with pytest.raises(errors.ObjectNotFound, match="folder does not exist"):
        network.run(node.folder_move("/a", 99))
    server.answers["GET /folder.json"] = a_folder(99, "there")
    with pytest.raises(errors.NodeFailed, match="NoneType"):
        network.run(node.folder_move("/a", 99))
    with pytest.raises(errors.NodeFailed):
        network.run(node.folder_move("/a", "/b"))
    assert server.asked().count("GET /folder.json") == 2


def test_a_missing_event_stream_is_made_on_demand_and_for_no_other_reason(
    network: MemoryNetwork, server: Server, node: Node
) -> None:
    made = {"id": 9, "name": "new"}
    server.answers["GET /event.json"] = said(404, "404: stream does not exist")
    server.answers["POST /event.json"] = made
    assert network.run(node.event_stream_get("/new", create=True, chunk_duration="1h")).id == 9
    sent = json.loads(server.requests[-1].body)
    assert (sent["dest_path"], sent["stream"]["name"], sent["stream"]["chunk_duration_us"]) == (
        "/",
        "new",
        3_600_000_000,
    )
    for stream, create in (("/new", False), (9, True)):
        with pytest.raises(errors.StreamNotFound):
            network.run(node.event_stream_get(stream, create))
    server.answers["GET /event.json"] = said(500, "no")
    with pytest.raises(errors.NodeFailed):
        network.run(node.event_stream_get("/new", create=True))
    assert server.asked().count("POST /event.json") == 1


def test_proxies_are_located_at_the_node(network: MemoryNetwork, server: Server, node: Node) -> None:
    site = {"id": 0, "name": "flask app", "url": "http://localhost:5000"}
    server.answers |= {"GET /proxies.json": [site], "GET /proxy.json": site}
    (listed,) = network.run(node.proxy_list())
    assert listed == network.run(node.proxy_get("flask app"))
    assert listed.proxied_url == f"{server.url}/interface/p0"


# ---------------------------------------------------------------------------------------------- events


def events(count: int, size: int = 0) -> list[Event]:
    return [Event(1000 + n, 5000 + n, {"n": n, "pad": "x" * size}) for n in range(count)]


def written(server: Server) -> list[int]:
    return [len(json.loads(one.body)["events"]) for one in server.requests if one.method == "POST"]


@pytest.mark.parametrize("uuid", ["u-1", None])
def test_events_are_written_in_parts_and_know_their_own_ids(network: MemoryNetwork, uuid: str | None) -> None:
    server = Server(network, uuid=uuid)
    node = Node(server.url, KEY, reactor=network.reactor)
    mine = events(2 * EVENTS_PER_WRITE + 1)
    assert network.run(node.event_stream_write("/events", mine)) == mine
    assert written(server) == [EVENTS_PER_WRITE, EVENTS_PER_WRITE, 1]
    assert [event.id for event in mine] == list(range(1, len(mine) + 1))
    assert {event.event_stream_id for event in mine} == {6}
    for event in mine:
        event.content["n"] += 1
    network.run(node.event_stream_write(EventStream("events", id=6), mine))
    assert len(server.events) == len(mine)
    read = network.run(node.event_stream_read(6))
    assert read == mine
    network.run(node.event_stream_write("/events", read))
    assert len(server.events) == len(mine)
    network.run(node.close())


def test_an_old_node_gives_events_without_an_end_where_no_start_is_asked_for(network: MemoryNetwork) -> None:
    server = Server(network, uuid=None)
    node = Node(server.url, KEY, reactor=network.reactor)
    network.run(node.event_stream_write(6, events(1500)))
    server.events[700]["end_time"] = None
    read = network.run(node.event_stream_read(6))
    assert (len(read), read[700].end_time) == (1500, None)
    assert len(network.run(node.event_stream_read(6, end=2000))) == 1000
    assert len(network.run(node.event_stream_read(6, limit=5))) == 5
    late = network.run(node.event_stream_read(6, start=2400, include_on_going_events=False))
    assert [event.start_time for event in late] == list(range(2399, 2500))  # a microsecond may be shown early
    network.run(node.close())


@pytest.mark.parametrize("uuid", ["u-2", None])
def test_events_of_another_node_are_new(
    network: MemoryNetwork, server: Server, node: Node, uuid: str | None
) -> None:
    network.run(node.event_stream_write(6, events(3)))
    read = network.run(node.event_stream_read(6))
    other = Server(network, "other.test", uuid)
    to = Node(other.url, KEY, reactor=network.reactor)
    network.run(to.event_stream_write(6, read))
    assert all(event["id"] is None for event in json.loads(other.requests[-1].body)["events"])
    network.run(to.close())


def test_events_of_another_stream_are_new(network: MemoryNetwork, server: Server, node: Node) -> None:
    mine = events(1)
    network.run(node.event_stream_write(6, mine))
    network.run(node.event_stream_write(7, mine))
    assert len(server.events) == 2


def test_large_events_go_in_smaller_parts(network: MemoryNetwork, server: Server, node: Node) -> None:
    network.run(node.event_stream_write(6, events(25, 100_000)))
    assert written(server) == [10, 10, 5]
    assert all(len(one.body) < 1 << 20 for one in server.requests)


def test_one_wrong_event_is_found_before_any_is_sent(
    network: MemoryNetwork, server: Server, node: Node
) -> None:
    with pytest.raises(InvalidArgument, match=r"events\[700\].end_time"):
        network.run(node.event_stream_write(6, [*events(700), Event(5, 5)]))
    assert written(server) == []


def test_after_a_failure_in_the_middle_all_can_be_written_again(
    network: MemoryNetwork, server: Server, node: Node
) -> None:
    mine = events(EVENTS_PER_WRITE + 5)
    write = server._write_events
    answers = iter([write, lambda request: said(503, "503: busy")])
    server.answers["POST /event/data.json"] = lambda request: next(answers, write)(request)
    with pytest.raises(errors.NodeFailed):
        network.run(node.event_stream_write(6, mine))
    network.run(node.event_stream_write(6, mine))
    assert len(server.events) == len(mine)


def test_nothing_to_write_is_written_at_once(network: MemoryNetwork, server: Server, node: Node) -> None:
    assert network.run(node.event_stream_write(6, [])) == []
    assert written(server) == []


def test_events_are_read_from_the_first_one_unless_a_start_is_given(
    network: MemoryNetwork, server: Server, node: Node
) -> None:
    mine = events(2500)
    network.run(node.event_stream_write(6, mine))
    server.requests.clear()
    assert network.run(node.event_stream_read("/events", end=3000)) == mine[:2000]
    assert server.asked().count("GET /event.json") == 1
    assert all("start=" in one.query for one in server.requests if one.path.endswith("/event/data.json"))
    assert network.run(node.event_stream_read("/events", start=3000)) == mine[2000:]
    assert network.run(node.event_stream_read("/events", limit=1001)) == mine[:1001]
    assert network.run(node.event_stream_read_list("/events", limit=3)) == mine[:3]
    assert network.run(node.event_stream_read("/events", end=1000)) == []
    assert server.asked().count("GET /version.json") == 0  # it was asked once, and does not change


def test_of_an_empty_stream_no_page_is_read(network: MemoryNetwork, server: Server, node: Node) -> None:
    assert network.run(node.event_stream_read(6)) == []
    assert server.asked() == ["GET /event.json"]


@pytest.mark.parametrize(
    "wrong", [{"limit": 0}, {"start": 5, "end": 5}, {"json_filter": "x"}, {"limit": 1.5}]
)
def test_what_cannot_be_read_is_not_asked(
    network: MemoryNetwork, server: Server, node: Node, wrong: dict[str, Any]
) -> None:
    with pytest.raises(InvalidArgument):
        network.run(node.event_stream_read(6, **wrong))
    assert server.requests == []


# ----------------------------------------------------------------------------------- masters, followers


def followers(*names: str) -> list[dict[str, Any]]:
    return [
        {"id": n, "name": name, "location": f"http://{name}.test", "key": KEY} for n, name in enumerate(names)
    ]


def test_followers_are_nodes_with_the_settings_of_this_one(
    network: MemoryNetwork, server: Server, node: Node
) -> None:
    other = Server(network, "other.test")
    server.answers["GET /followers.json"] = [{**followers("x")[0], "location": other.url}]
    (follower,) = network.run(node.follower_list())
    assert (follower.name, follower.api_key) == ("x", KEY)
    network.run(follower.event_stream_get(6))
    assert other.requests[0].headers["x-api-key"] == KEY
    network.run(follower.close())


@pytest.mark.parametrize(
    ("there", "name", "options", "is_asked"),
    [
        (["a"], "a", {}, True),
        (["a", "b"], "a", {}, False),
        (["a", "b"], "a", {"and_all_others": True}, True),
        (["a"], "b", {}, False),
        (["a"], "b", {"and_all_others": True}, False),
        ([], "a", {}, False),
    ],
)
def test_a_follower_is_forgotten_only_if_no_other_would_be(
    network: MemoryNetwork,
    server: Server,
    node: Node,
    there: list[str],
    name: str,
    options: dict[str, bool],
    is_asked: bool,
) -> None:
    server.answers |= {"GET /followers.json": followers(*there), "DELETE /follower.json": said(200, "OK")}
    if is_asked:
        network.run(node.follower_delete(name, **options))
    else:
        with pytest.raises(InvalidArgument, match="follower"):
            network.run(node.follower_remove(name, **options))
    assert ("DELETE /follower.json" in server.asked()) is is_asked


def test_a_master_is_removed_by_name_when_it_is_the_only_one(
    network: MemoryNetwork, server: Server, node: Node
) -> None:
    masters = [("a", "USER"), ("b", "USER"), ("b", "JOULE_NODE")]
    listed = [{"id": n, "name": name, "type": kind} for n, (name, kind) in enumerate(masters)]
    server.answers |= {"GET /masters.json": listed, "DELETE /master.json": said(200, "ok")}
    network.run(node.master_remove("a"))
    assert server.requests[-1].query == "name=a&master_type=user"
    for name, count in (("b", 2), ("c", 0)):
        with pytest.raises(InvalidArgument, match=f"{count} masters have this name"):
            network.run(node.master_remove(name))
    network.run(node.master_removet(Master("joule", "b")))
    assert server.requests[-1].query == "name=b&master_type=joule"


# ---------------------------------------------------------------------------------- database, archives


@pytest.mark.parametrize(
    ("host", "reached"),
    [
        ("localhost", "node.test"),
        ("127.0.0.1", "node.test"),
        ("::1", "node.test"),
        ("10.0.0.5", "10.0.0.5"),
        ("db", "db"),
    ],
)
def test_a_database_on_the_nodes_own_machine_is_there(
    network: MemoryNetwork, server: Server, node: Node, host: str, reached: str
) -> None:
    server.answers["GET /db/connection.json"] = {
        "username": "joule_module",
        "password": "sesame",
        "port": 5432,
        "database": "joule",
        "host": host,
    }
    assert network.run(node.db_connection_info()).host == reached


def test_without_sqlalchemy_db_connect_names_it(
    network: MemoryNetwork, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    with pytest.raises(ConfigError, match="SQLAlchemy"):
        network.run(node.db_connect())


def test_an_archive_is_sent_as_it_is(
    network: MemoryNetwork, server: Server, node: Node, tmp_path: Path
) -> None:
    server.answers["POST /archive.json"] = {"info": [], "warnings": [], "errors": []}
    (tmp_path / "a.zip").write_bytes(b"PK\0\xff")
    assert network.run(node.archive_upload(tmp_path / "a.zip")).errors == []
    assert server.requests[0].body == b"PK\0\xff"
    for nowhere in ("no.zip", "no\0.zip"):
        with pytest.raises(InvalidArgument, match="cannot be read"):
            network.run(node.archive_upload(str(tmp_path / nowhere)))


def test_a_link_to_lumen_is_made_of_what_the_node_knows(
    network: MemoryNetwork, server: Server, node: Node
) -> None:
    found = {"node_uuid": "u", "data_stream_element_map": {"3": 5}}
    server.answers["GET /folder/map.json"] = found
    element = DisplayedDataStreamElement(Element("a", id=3, index=0))
    events = DisplayedEventStream(EventStream("e", id=6))
    made = network.run(node.create_lumen_link("https://lumen", [element], [events], IRange(1000, 2000)))
    assert made == link("https://lumen", found, [element], [events], IRange(1000, 2000), None, None, None)
    assert parse_qs(server.requests[0].query) == {"data_stream_elements": ["[3]"], "event_streams": ["[6]"]}
    with pytest.raises(InvalidArgument, match="what to display"):
        network.run(node.create_lumen_link("https://lumen"))


# --------------------------------------------------------------------------------------- a carrier given


def test_a_carrier_that_was_given_runs_everything_and_stays_open(
    network: MemoryNetwork, server: Server, node: Node
) -> None:
    through = Node("http://elsewhere", carrier=node._carrier)
    assert network.run(through.event_stream_get(6)).id == 6
    network.run(through.close())
    assert network.run(node.event_stream_get(6)).id == 6


CHANGES: list[Callable[[Node], Deferred[Any]]] = [
    lambda node: node.data_delete(5, 1, 2),
    lambda node: node.data_stream_delete(5),
    lambda node: node.data_drop_decimations(5),
    lambda node: node.data_decimate(5),
    lambda node: node.event_stream_remove(6),
    lambda node: node.annotation_delete(1),
    lambda node: node.data_stream_annotation_delete(5),
    lambda node: node.folder_delete(5),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_fires_with_nothing(
    network: MemoryNetwork, server: Server, node: Node, change: Callable[[Node], Deferred[Any]]
) -> None:
    for line in ("DELETE", "POST"):
        for path in ("data", "stream.json", "data/decimate.json", "event/data.json", "annotation.json"):
            server.answers[f"{line} /{path}"] = said(200, "ok")
    server.answers |= {
        "DELETE /stream/annotations.json": said(200, "ok"),
        "DELETE /folder.json": said(200, "ok"),
    }
    assert network.run(change(node)) is None


def test_writing_what_was_read_keeps_what_the_node_set(
    network: MemoryNetwork, server: Server, node: Node
) -> None:
    stream = DataStream("s", elements=[Element("a", id=3, index=0)], id=5)
    server.answers["PUT /stream.json"] = {"id": 5}
    network.run(node.data_stream_update(stream))
    server.answers["PUT /annotation.json"] = {"id": 1, "title": "t", "start": 5, "stream_id": 5}
    note = Annotation("t", 5, id=1)
    assert network.run(node.annotation_update(note)).stream_id == 5
