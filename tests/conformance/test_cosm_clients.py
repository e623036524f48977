"""Clients of the time, and tools that never heard of Cosm, against a hub in a process of its own."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.registries import curl_peer, node_peer, python_peer
from tests.support.program import StartedHub, started_hub

NOT_FOUND = "I'm sorry we are unable to find the resource you are looking for."


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartedHub]:
    with started_hub(tmp_path_factory.mktemp("hub") / "data") as running:
        yield running


def exchange(hub: StartedHub, method: str, path: str, body: str | None = None) -> tuple[Any, bytes]:
    connection = HTTPConnection("127.0.0.1", hub.port, timeout=20)
    try:
        connection.request(method, path, body, {"X-ApiKey": hub.key})
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


def new_feed(hub: StartedHub, **members: Any) -> str:
    answer, _ = exchange(hub, "POST", "/v2/feeds", json.dumps({"title": "Boiler room", **members}))
    assert answer.status == 201
    location: str = answer.headers["Location"]
    return location.rpartition("/")[2]


def read(hub: StartedHub, path: str) -> Any:
    answer, body = exchange(hub, "GET", f"/v2/feeds/{path}")
    assert answer.status == 200
    return json.loads(body)


# --------------------------------------------------------------------------------------------- python-eeml


def test_python_eeml_writes_values_and_history_and_understands_refusals(hub: StartedHub) -> None:
    feed, old_feed = new_feed(hub), new_feed(hub)
    told = python_peer().play("eeml_client.py", f"127.0.0.1:{hub.port}", hub.key, feed, old_feed, "999999")
    assert told == {
        "reading": None,
        "history": None,
        "too long": (
            "Unprocessable Entity: Datastream 2: current value is too long (maximum is 255 characters)"
        ),
        "absent": f"Not found: {NOT_FOUND}",
        "both": None,
        "one": None,
        "absent from version 1": f"Not found: {NOT_FOUND}",
    }
    (left,) = read(hub, old_feed)["datastreams"]  # version 1 replaces what is there
    assert (left["id"], left["current_value"], left["min_value"]) == ("1", "6", "5.0")
    reading, history = read(hub, feed)["datastreams"]
    assert reading == {
        "id": "0",
        "current_value": "21.5",
        "at": "2013-06-03T09:00:00.000000Z",
        "max_value": "30.0",
        "min_value": "1.0",
        "tags": ["heating"],
        "unit": {"type": "derivedSI", "symbol": "°C", "label": "Celsius"},
    }
    assert (history["current_value"], history["at"]) == ("8", "2013-06-03T10:00:00.000000Z")
    window = "start=2013-06-03T09:00:00Z&end=2013-06-03T10:00:00Z"
    points = read(hub, f"{feed}/datastreams/1?{window}")["datapoints"]
    assert [point["value"] for point in points] == ["7", "8"]


# ------------------------------------------------------------------------------------------- xively-python


def test_xively_python_lives_a_feeds_whole_life(hub: StartedHub) -> None:
    told = python_peer().play("xively_client.py", hub.url, hub.key)
    assert told == {
        "location": ["North", 51.6, "mobile"],
        "waypoints": [[51.5, -0.5]],
        "description": "Rented",
        "values": {"history": None, "new": "0", "soil": "22"},
        "unit": "C",
        "history": [
            ["2013-06-03T09:00:00", "7"],
            ["2013-06-03T09:04:00", "4"],
            ["2013-06-03T09:05:00.000250", "5"],
        ],
        "point": "7",
        "listed": ["Allotment"],
        "absent": 404,
    }


# ------------------------------------------------------------------------------------------------ npm cosm


def test_the_cosm_package_for_node_lives_a_feeds_whole_life(hub: StartedHub) -> None:
    told = node_peer().play("cosm_client.js", hub.url, hub.key)
    assert (told["recorded"], told["saved"], told["deleted"]) == (200, 200, 200)
    assert told["read"]["title"] == "Glass house"
    assert told["read"]["tags"] == ["plants"]
    (soil,) = told["read"]["datastreams"]
    assert (soil["id"], soil["current_value"]) == ("soil", "311")
    assert (soil["min_value"], soil["max_value"]) == ("309.0", "311.0")
    assert [feed["id"] for feed in told["listed"]["results"]] == [int(told["id"])]
    assert told["absent"] == {"title": "Not found", "errors": NOT_FOUND}
    assert exchange(hub, "GET", f"/v2/feeds/{told['id']}")[0].status == 404


# ---------------------------------------------------------------------------------------------- websockets


def test_somebody_elses_websockets_carry_the_socket_api(hub: StartedHub) -> None:
    feed = new_feed(hub, datastreams=[{"id": "pump", "current_value": "off"}])
    resource = f"/feeds/{feed}/datastreams/pump"
    told = python_peer().play("socket_client.py", f"ws://127.0.0.1:{hub.port}/", hub.key, feed)
    assert told["extensions"] == []
    assert told["subscribed"] == {"resource": resource, "status": 200}
    assert told["written"] == {"headers": {}, "resource": resource, "token": "t-1", "status": 200}
    pushed = told["pushed"]
    assert set(pushed) == {"body", "resource"}
    assert set(pushed["body"]) == {"id", "current_value", "at"}
    assert (pushed["resource"], pushed["body"]["current_value"]) == (resource, "on")
    assert told["read"]["body"] == {**pushed["body"], "version": "1.0.0"}
    assert (told["read"]["token"], told["read"]["status"]) == ("t-2", 200)
    assert told["broken"]["status"] == 400
    assert told["broken"]["body"].startswith("Syntax Error: ")
    assert told["unsubscribed"] == {"resource": resource, "token": "fresh", "status": 200}
    assert told["close code"] == 1000


# ---------------------------------------------------------------------------------------------------- curl


def curl(hub: StartedHub, path: str, *options: str) -> str:
    return curl_peer().run(
        "--header",
        f"X-ApiKey: {hub.key}",
        "--write-out",
        "%{http_code}",
        *options,
        f"{hub.url}/v2/feeds/{path}",
    )


def test_curl_waits_for_permission_to_send_a_body(hub: StartedHub, tmp_path: Path) -> None:
    feed = new_feed(hub)
    (tmp_path / "rows").write_text("0,18.6\n1,77\n")
    asking = ("--verbose", "--stderr", "-", "--header", "Expect: 100-continue", "--expect100-timeout", "15")
    told = curl(hub, f"{feed}.csv", *asking, "-T", str(tmp_path / "rows"))
    assert [line.split()[2] for line in told.splitlines() if line.startswith("< HTTP/1.1 ")] == ["100", "200"]
    assert [stream["current_value"] for stream in read(hub, feed)["datastreams"]] == ["18.6", "77"]


def test_curl_sends_a_body_in_chunks(hub: StartedHub, tmp_path: Path) -> None:
    feed = new_feed(hub)
    (tmp_path / "body").write_text('{"datastreams":[{"id":"0","current_value":"18.6"}]}')
    chunked = ("--header", "Transfer-Encoding: chunked", "-T", str(tmp_path / "body"))
    assert curl(hub, feed, *chunked) == "200"
    assert read(hub, feed)["datastreams"][0]["current_value"] == "18.6"


def test_curl_sends_and_receives_gzip(hub: StartedHub, tmp_path: Path) -> None:
    feed = new_feed(hub)
    rows = "".join(f"s{number:02},{number}\n" for number in range(50))
    (tmp_path / "packed").write_bytes(gzip.compress(rows.encode()))
    packed = ("--request", "PUT", "--header", "Content-Encoding: gzip")
    assert curl(hub, f"{feed}.csv", *packed, "--data-binary", f"@{tmp_path / 'packed'}") == "200"
    headers = tmp_path / "headers"
    told = curl(hub, f"{feed}.csv", "--compressed", "--dump-header", str(headers))
    assert told.endswith("200")
    assert [row.partition(",")[0] for row in told.splitlines()[:50]] == [f"s{n:02}" for n in range(50)]
    assert "content-encoding: gzip" in headers.read_text().lower()


def test_curl_sends_json_as_a_form_and_its_key_in_the_address(hub: StartedHub) -> None:
    feed = new_feed(hub)
    told = curl_peer().run(
        "--request", "PUT", "--data", '{"title":"By hand"}', f"{hub.url}/v2/feeds/{feed}?key={hub.key}"
    )
    assert told == ""
    assert read(hub, feed)["title"] == "By hand"


def test_curl_deletes_a_window_and_reads_what_is_left(hub: StartedHub) -> None:
    feed = new_feed(hub, datastreams=[{"id": "s"}])
    rows = "".join(f"2013-06-03T09:0{minute}:00Z,{minute}\n" for minute in range(6))
    points = f"{feed}/datastreams/s/datapoints"
    assert curl(hub, f"{points}.csv", "--data-binary", rows) == "200"
    window = "start=2013-06-03T09:01:00Z&duration=2minutes"
    assert curl(hub, f"{points}?{window}", "--request", "DELETE") == "200"
    assert curl(hub, f"{feed}/datastreams/s/archive.csv").splitlines() == [
        "2013-06-03T09:00:00.000000Z,0",
        "2013-06-03T09:04:00.000000Z,4",
        "2013-06-03T09:05:00.000000Z,5",
        "200",
    ]
