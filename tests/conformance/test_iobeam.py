"""iobeam's own client, and requests as boards and other clients send them, against a hub in a process."""

from __future__ import annotations

import ast
import json
import re
import socket
import textwrap
import time
from base64 import b64encode
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from attrs import frozen

from tests.conformance.registries import iobeam_peer
from tests.support.program import StartedHub, program, run_program, started_hub

HOWTO = Path(__file__).parent.parent.parent / "docs" / "howto" / "iobeam.rst"
T0 = 1_450_000_000_000  # milliseconds
UNKNOWN = "eyJhbGciOiJIUzI1NiJ9.eyJ1aWQiOjEsInBpZCI6MSwiZXhwIjoyMDAwMDAwMDAwLCJwbXMiOjd9.c2lnbmF0dXJl"
ENDED = "eyJhbGciOiJIUzI1NiJ9.eyJ1aWQiOjEsInBpZCI6MSwiZXhwIjoxNDUwMDAwMDAwLCJwbXMiOjd9.c2lnbmF0dXJl"
WINDOW = "start=2015-12-13T09:00:00Z&duration=1hour"  # around T0
EARLY = "start=1970-01-01T00:00:00Z&duration=1hour"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartedHub]:
    with started_hub(tmp_path_factory.mktemp("hub") / "data") as running:
        yield running


@frozen
class Project:
    """A project of the hub's owner."""

    hub: StartedHub
    number: int

    @property
    def base(self) -> str:
        """As clients are told it."""
        return f"{self.hub.url}/v1/"

    def token(self, **options: Any) -> str:
        """A new token that may read and write."""
        wanted = {"read": "true", "write": "true", "admin": "true", "project_id": self.number, **options}
        token: str = asked(self.hub, "GET", f"/v1/tokens/project?{urlencode(wanted)}", self.hub.key)["token"]
        return token

    def play(self, scene: str, *words: str, token: str | None = None) -> Any:
        """Let the unmodified client play a scene."""
        with_token = self.token() if token is None else token
        return iobeam_peer().play("iobeam_client.py", scene, self.base, str(self.number), with_token, *words)

    def feed(self, device: str) -> Any:
        """What Cosm's API says of a device."""
        path = f"/v1/devices/{device}?project_id={self.number}"
        return cosm(self.hub, f"feeds/{asked(self.hub, 'GET', path, self.token())['feed_id']}.json")

    def points(self, device: str, series: str, window: str = WINDOW) -> list[tuple[str, str]]:
        """What Cosm's API has of a series."""
        path = f"feeds/{self.feed(device)['id']}/datastreams/{series}.json?{window}&limit=1000"
        return [(point["at"], point["value"]) for point in cosm(self.hub, path).get("datapoints", [])]


@pytest.fixture
def project(hub: StartedHub) -> Project:
    made = asked(hub, "POST", "/v1/projects", hub.key, {"project_name": "Waterworks"}, status=201)
    return Project(hub, made["project_id"])


def exchanged(
    hub: StartedHub, method: str, path: str, headers: dict[str, str], body: Any = None
) -> tuple[int, dict[str, str], bytes]:
    connection = HTTPConnection("127.0.0.1", hub.port, timeout=20)
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def asked(hub: StartedHub, method: str, path: str, token: str, body: Any = None, *, status: int = 200) -> Any:
    found, _, answer = exchanged(hub, method, path, {"Authorization": f"Bearer {token}"}, body)
    assert found == status, answer
    return json.loads(answer) if answer else None


def cosm(hub: StartedHub, path: str) -> Any:
    status, _, body = exchanged(hub, "GET", f"/v2/{path}", {"X-ApiKey": hub.key})
    assert status == 200, body
    return json.loads(body)


def statuses(told: Any) -> list[int]:
    return [status for _, _, status in told["requests"]]


# --------------------------------------------------------------------------------------------- the client


def test_devices_are_registered_under_every_kind_of_name(project: Project, tmp_path: Path) -> None:
    told = project.play("register", str(tmp_path))
    requests = told.pop("requests")
    assert [path for _, path, _ in requests] == ["/v1/devices"] * len(requests)
    assert [status for _, _, status in requests] == [201, 201, 201, 201, 422, 422, 201, 422, 422, 201]
    assert re.fullmatch(r"[\w:-]{17,49}", told.pop("generated"))
    assert re.fullmatch(r"[\w:-]{17,49}", told.pop("only a name"))
    for word in ("name taken", "name taken, or set"):
        assert told.pop(word).startswith(
            "UnknownCodeError: Received unexpected code: 422\nDetails: {'code': 151,"
        )
    assert told == {
        "own": "pump-3",
        "on disk": "pump-3",
        "again": "pump-3",
        "replaced": "pump-4",
        "then on disk": "pump-4",
        "duplicate": "DuplicateIdError: Device ID already registered.",
        "or set": "pump-3",
        "or set, new": "pump-5",
        "is a name": "pump-7",
    }


def test_what_is_refused_raises_what_it_raised(project: Project, hub: StartedHub) -> None:
    another = Project(
        hub, asked(hub, "POST", "/v1/projects", hub.key, {"project_name": "Other"}, status=201)["project_id"]
    )
    told = project.play("refused", UNKNOWN, project.token(write="false", admin="false"), another.token())
    assert told["bad token"].startswith("UnknownCodeError: Received unexpected code: 401\nDetails: {'code': ")
    assert told["read only"] == "UnauthorizedError: Invalid credentials."
    assert told["project of another"] == "UnauthorizedError: Invalid credentials."
    assert told["unregistered"].startswith("Exception: send failed. server sent: {'errors': [{'code': 32,")
    assert told["bad name"].startswith("Exception: send failed. server sent: {'errors': [")
    assert set(told["query"]["errors"][0]) >= {"code", "message", "details", "detailed_message"}
    assert told["clock"] == -1
    assert statuses(told) == [401, 403, 403, 404, 400, 401, 401]


def test_a_store_is_sent_with_its_gaps_types_and_units_of_time(project: Project) -> None:
    told = project.play("send")
    assert (told["returned"], told["left"]) == (None, 0)
    assert told["requests"][1:] == [["POST", "/v1/imports?fmt=table", 200]]
    second = "2015-12-13T09:46:4{}.{:06}Z".format
    assert project.points("pump-3", "flow") == [(second(0, 123), "4.5"), (second(3, 0), "0")]
    assert project.points("pump-3", "rpm") == [(second(0, 123), "900"), (second(1, 0), "-0.0")]
    assert project.points("pump-3", "state") == [(second(1, 0), "idle"), (second(2, 0), "")]
    assert project.points("pump-3", "on") == [(second(2, 0), "true"), (second(3, 0), "false")]
    assert project.points("pump-3", "a.20name.3a.20.c2.b5.2f.25") == [(second(3, 0), "1e-07")]
    assert project.points("pump-3", "flow", EARLY) == [
        ("1970-01-01T00:00:00.001000Z", "12345678901234567890")
    ]


def test_more_than_a_thousand_points_are_several_requests(project: Project) -> None:
    told = project.play("split")
    # 333, 333 and 1 row; then the one store anew that has been emptied, and a thousand points at once.
    assert told["requests"][1:] == [["POST", "/v1/imports?fmt=table", 200]] * 4
    for series, count in (("x", 667), ("y", 667), ("z", 667), ("full", 1000)):
        assert len(project.points("gyroscope", series)) == count
    assert project.points("gyroscope", "y")[-1] == ("2015-12-13T09:46:40.000666Z", "-666")


def test_the_older_ways_to_send_still_send(project: Project) -> None:
    told = project.play("older")
    assert told["low level"] == [True, None]
    assert [path for _, path, _ in told["requests"]][1:] == [
        *["/v1/imports?fmt=table"] * 2,
        *["/v1/imports"] * 3,
    ]
    assert statuses(told) == [201, 200, 200, 200, 200, 200]
    assert [value for _, value in project.points("old", "level")] == ["7", "8"]
    assert [value for _, value in project.points("old", "even")] == ["1", "2", "3"]
    assert project.points("old", "one") == [("2015-12-13T09:46:40.000000Z", "2.5")]
    assert [value for _, value in project.points("old", "many")] == [str(number) for number in range(1000)]
    assert "gone" not in [stream["id"] for stream in project.feed("old")["datastreams"]]


def test_queries_are_answered_in_the_unit_that_was_asked_for(project: Project) -> None:
    told = project.play("query")

    def times(question: str) -> list[int]:
        (series,) = told[question]["result"]
        return [point["time"] for point in series["data"]]

    def values(question: str) -> list[Any]:
        (series,) = told[question]["result"]
        return [point["value"] for point in series["data"]]

    milliseconds = [T0 + second * 1000 + 1 for second in range(10)]
    assert told["one series"]["timefmt"] == "msec"
    assert told["one series"]["result"] == [
        {
            "project_id": project.number,
            "device_id": "meter",
            "name": "power",
            "data": [{"time": at, "value": n * 10} for n, at in enumerate(milliseconds)],
        }
    ]
    assert (told["in s"]["timefmt"], times("in s")) == ("sec", [T0 // 1000 + second for second in range(10)])
    assert told["in us"]["timefmt"] == "usec"
    assert times("in us") == [T0 * 1000 + second * 1_000_000 + 1500 for second in range(10)]
    assert len(values("limit")) == 3
    assert values("range in ms") == [20, 30, 40]
    assert values("range in s") == [20, 30, 40]
    assert values("range in us") == [20, 30, 40]
    assert values("from") == [80, 90]
    assert values("to") == [0, 10]
    assert values("greater than") == [80, 90]
    assert values("less than") == [0, 10]
    assert values("between") == [30, 40]
    assert values("equals") == [40]


def test_queries_of_several_series_name_each(project: Project) -> None:
    told = project.play("query")

    def names(question: str) -> list[tuple[str, str, int]]:
        return sorted((one["device_id"], one["name"], len(one["data"])) for one in told[question]["result"])

    meter = [("meter", "phase", 1), ("meter", "power", 10)]
    assert names("whole device") == meter
    assert names("whole project") == [*meter, ("other", "power", 1)]
    assert names("one series of all") == [("meter", "power", 10), ("other", "power", 1)]
    assert told["no such device"]["errors"][0]["code"] == 32
    assert told["whole device"]["result"][0]["project_id"] == project.number


def test_a_token_that_ends_within_a_day_is_refreshed_and_both_go_on(project: Project) -> None:
    token = project.token(duration="12h", refreshable="true")
    told = project.play("refresh", ENDED, token=token)
    assert (told["new"], told["again"]) == (True, True)
    assert [(path, status) for _, path, status in told["requests"]] == [
        ("/v1/tokens/project", 200),  # when it is built
        ("/v1/tokens/project", 200),  # before it registers: the new one ends as soon as the old one would
        ("/v1/devices", 201),
        ("/v1/tokens/project", 200),
        ("/v1/imports?fmt=table", 200),
        ("/v1/tokens/project", 200),
        ("/v1/tokens/project", 200),
        ("/v1/imports?fmt=table", 200),
        ("/v1/tokens/project", 401),
    ]
    assert told["unknown"].startswith("UnknownCodeError: Received unexpected code: 401")
    assert project.points("sleeper", "flow", EARLY) == [
        ("1970-01-01T00:00:00.001000Z", "1"),
        ("1970-01-01T00:00:00.002000Z", "2"),
    ]


def test_a_token_that_is_burnt_in_is_adopted_and_its_device_goes_on(hub: StartedHub) -> None:
    """As the service wrote them: a number as ``kid``, padding, the standard alphabet, and long at its end."""
    parts = (
        b'{"typ":"JWT","alg":"HS256","kid":10}',
        b'{"uid":3,"exp":1450000000,"pid":87654321,"pms":7}',
        b"~~?" * 11,
    )
    burnt_in = ".".join(b64encode(part).decode() for part in parts)
    made = run_program("hub", "project", "create", "Old", "--number", "87654321", environ=hub.environ)
    assert made.out == "87654321\n"
    adopted = run_program("hub", "token", "adopt", environ=hub.environ, input=burnt_in)
    assert (adopted.status, "opens project 87654321 now" in adopted.err) == (0, True)
    project = Project(hub, 87654321)
    told = project.play("send", token=burnt_in)
    # It refreshes as it always did, and goes on with what it gets.
    assert {(path, status) for _, path, status in told["requests"]} == {
        ("/v1/tokens/project", 200),
        ("/v1/devices", 201),
        ("/v1/imports?fmt=table", 200),
    }
    assert len(project.points("pump-3", "flow")) == 2
    answer = asked(hub, "GET", "/v1/exports/87654321/pump-3/rpm", burnt_in)
    assert [point["value"] for point in answer["result"][0]["data"]] == [900, -0.0]


def test_tokens_are_fetched_for_projects_and_for_devices(project: Project, hub: StartedHub) -> None:
    told = project.play("fetch", token=hub.key)
    assert (told["registered"], told["mine"]) == ("mine", "mine")
    assert told["of another"] == "UnauthorizedError: Invalid credentials."
    assert told["by the helper"] == 2
    assert told["no such project"].startswith("UnknownCodeError: Received unexpected code: 404")
    assert told["not a user's"].startswith("UnknownCodeError: Received unexpected code: 40")
    assert told["refreshed"] is True
    assert abs(told["clock"] / 1000 - time.time()) < 60


def test_the_readmes_example_is_seen_live_and_on_cosm(
    project: Project, hub: StartedHub, tmp_path: Path
) -> None:
    words = (project.base, str(project.number), project.token(), str(tmp_path))
    first = iobeam_peer().play("iobeam_readme.py", *words)
    assert (tmp_path / "iobeam_device_id").read_text() == first["device"]
    feed = project.feed(first["device"])
    with program("tail", str(feed["id"]), "--since", "1hour", environ=hub.environ) as tail:
        tail.expect(r"temperature +21\.5$")
        second = iobeam_peer().play("iobeam_readme.py", *words)
        tail.expect(r"temperature +21\.5$[\s\S]*temperature +21\.5$")
        tail.expect(r"humidity +40$[\s\S]*humidity +40$")
    assert second["device"] == first["device"]
    streams = {one["id"]: one["current_value"] for one in project.feed(first["device"])["datastreams"]}
    assert streams == {"temperature": "21.5", "humidity": "40"}


def test_the_program_of_the_howto_sends_and_queries(
    project: Project, hub: StartedHub, tmp_path: Path
) -> None:
    (block,) = re.findall(
        r"^\.\. code-block:: python3\n\n((?:    .*\n|\n)+)", HOWTO.read_text(encoding="utf-8"), re.MULTILINE
    )
    saved = tmp_path / "waterworks.token"
    saved.write_text(project.token() + "\n")
    own = {
        "PROJECT_ID = 1\n": f"PROJECT_ID = {project.number}\n",
        "http://127.0.0.1:8080/v1/": project.base,
        '"waterworks.token"': repr(str(saved)),
    }
    text = textwrap.dedent(block)
    for shown, meant in own.items():
        assert shown in text
        text = text.replace(shown, meant)
    script = tmp_path / "howto.py"
    script.write_text(text)
    told = ast.literal_eval(iobeam_peer().run(str(script)))
    assert [point["value"] for point in told["result"][0]["data"]] == [4.5]


# ------------------------------------------------------------------------------------- boards, over a socket


def sent_raw(hub: StartedHub, text: str) -> tuple[str, dict[str, str], str]:
    """Send bytes as a board does, and read until the hub hangs up."""
    with socket.create_connection(("127.0.0.1", hub.port), timeout=20) as connection:
        connection.sendall(text.encode())
        received = b""
        while more := connection.recv(65536):
            received += more
    head, _, body = received.decode().partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    assert int(headers["content-length"]) == len(body.encode())
    return first, headers, body


def import_of(project: Project, **more: Any) -> str:
    return json.dumps({"project_id": project.number, "device_id": "board", **more})


@pytest.fixture
def board(project: Project) -> str:
    """A token; the device is registered."""
    token = project.token()
    asked(
        project.hub,
        "POST",
        "/v1/devices",
        token,
        {"project_id": project.number, "device_id": "board"},
        status=201,
    )
    return token


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.0"])
def test_a_board_sends_points_in_milliseconds_and_hangs_up(
    project: Project, hub: StartedHub, board: str, version: str
) -> None:
    body = import_of(project, sources=[{"name": "light", "data": [{"time": T0 + 5, "value": 812}]}])
    host = "" if version == "HTTP/1.0" else "Host: api.iobeam.com\r\n"
    first, headers, answer = sent_raw(
        hub,
        f"POST /v1/imports {version}\r\n{host}Authorization: Bearer {board}\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}",
    )
    assert first.split()[1] == "200"
    assert headers["content-type"].startswith("application/json")
    assert json.loads(answer) == {}
    assert project.points("board", "light") == [("2015-12-13T09:46:40.005000Z", "812")]


def test_a_board_sets_its_clock(hub: StartedHub, board: str) -> None:
    first, headers, answer = sent_raw(
        hub,
        "GET /v1/devices/timestamp?timefmt=TIMEVAL HTTP/1.1\r\nHost: api.iobeam.com\r\n"
        f"Authorization: Bearer {board}\r\nConnection: close\r\n\r\n",
    )
    assert first.split()[1] == "200"
    assert headers["content-type"].startswith("application/json")
    assert re.search(r'"sec"\D+\d{10}\D+"usec"\D+\d{1,6}\b', answer)


def test_a_board_registers_over_http_1_0(project: Project, hub: StartedHub) -> None:
    body = json.dumps({"project_id": project.number, "device_id": "b" * 49})
    first, _, answer = sent_raw(
        hub,
        f"POST /v1/devices HTTP/1.0\r\nAuthorization: Bearer {project.token()}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}",
    )
    assert first.split()[1] == "201"
    assert json.loads(answer)["device_id"] == "b" * 49


# --------------------------------------------------------------------------------- Java, Go and Node, by hand


def test_java_posts_tables_with_a_slash_and_without_a_unit(
    project: Project, hub: StartedHub, board: str
) -> None:
    rows = [[T0 + 1, 1.5, True], [T0, None, False]]
    body = json.loads(
        import_of(project, sources={"fields": ["time", "a", "b"], "data": rows}, timefmt="msec")
    )
    del body["timefmt"]
    assert asked(hub, "POST", "/v1/imports/?fmt=table", board, body) == {}
    assert project.points("board", "b") == [
        ("2015-12-13T09:46:40.000000Z", "false"),
        ("2015-12-13T09:46:40.001000Z", "true"),
    ]


def test_java_and_go_need_members_that_python_does_not_read(project: Project, hub: StartedHub) -> None:
    token = project.token()
    body = {"project_id": project.number, "device_type": "pump", "created": "2016-01-01 00:00:00 +0000"}
    made = asked(hub, "POST", "/v1/devices", token, body, status=201)
    assert made["project_id"] == project.number
    assert made["device_type"] == "pump"
    assert {"device_id", "device_name", "created"} <= set(made)
    refreshed = asked(
        hub, "POST", "/v1/tokens/project", "", {"refresh_token": project.token(refreshable="True")}
    )
    assert refreshed["project_id"] == project.number
    assert re.fullmatch(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(Z| \+0000|\+00:00)", refreshed["expires"])


@pytest.mark.parametrize("way", ["basic", "query"])
@pytest.mark.parametrize("true", ["true", "True"])
def test_a_user_logs_in_and_gets_a_project_token(
    project: Project, hub: StartedHub, way: str, true: str
) -> None:
    query, headers = "", {"Authorization": "Basic " + b64encode(f"owner:{hub.key}".encode()).decode()}
    if way == "query":
        query, headers = "?" + urlencode({"name": "owner", "password": hub.key}), {}
    status, _, body = exchanged(hub, "GET", f"/v1/tokens/user{query}", headers)
    assert status == 200, body
    wanted = {"project_id": project.number, "include_user": "false", "read": true, "write": true}
    answer = asked(hub, "GET", f"/v1/tokens/project/?{urlencode(wanted)}", json.loads(body)["token"])
    assert (answer["read"], answer["write"], answer["admin"]) == (True, True, False)
    assert asked(hub, "GET", f"/v1/exports/{project.number}/all/all", answer["token"])["result"] == []


def test_go_and_node_list_change_and_delete_devices(project: Project, hub: StartedHub, board: str) -> None:
    (listed,) = asked(hub, "GET", f"/v1/devices?project_id={project.number}", board)["devices"]
    assert listed["device_id"] == "board"
    asked(hub, "PATCH", "/v1/devices/board", board, {"device_name": "The board"})
    assert asked(hub, "GET", "/v1/devices/board", board)["device_name"] == "The board"
    assert cosm(hub, "feeds.json?q=The%20board")["results"][0]["title"] == "The board"
    asked(hub, "DELETE", "/v1/devices/board", board, status=204)
    assert asked(hub, "GET", "/v1/devices/board", board, status=404)["errors"][0]["code"] == 32


def test_csv_names_the_series_in_the_third_column(project: Project, hub: StartedHub, board: str) -> None:
    rows = {"fields": ["time", "flow"], "data": [[T0, 4.5]]}
    asked(hub, "POST", "/v1/imports?fmt=table", board, json.loads(import_of(project, sources=rows)))
    path = f"/v1/exports/{project.number}/board/flow?output=csv"
    status, headers, body = exchanged(hub, "GET", path, {"Authorization": f"Bearer {board}"})
    assert (status, headers["content-type"].split(";")[0]) == (200, "text/plain")
    header, row = body.decode().splitlines()
    assert header.startswith("project_id,")
    assert row.split(",")[2] == "flow"


def test_what_is_deleted_on_cosm_is_gone_for_iobeam(project: Project, hub: StartedHub, board: str) -> None:
    path = f"/v2/feeds/{project.feed('board')['id']}"
    assert exchanged(hub, "DELETE", path, {"X-ApiKey": hub.key})[0] == 200
    body = json.loads(import_of(project, sources=[]))
    assert asked(hub, "POST", "/v1/imports", board, body, status=404)["errors"][0]["code"] == 32
