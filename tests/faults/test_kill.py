"""A hub that is killed at any moment keeps every write that it answered with 2xx."""

from __future__ import annotations

import http.client
import random
import signal
import threading
from datetime import UTC, datetime, timedelta

from tests.support.program import PATIENCE, started_hub

ROUNDS = 10
WRITERS = 4
BEGIN = datetime(2020, 1, 1, tzinfo=UTC)


class Writer(threading.Thread):
    """Writes one value after the other to two datastreams of its own, in one request, until it cannot."""

    def __init__(self, hub, number, first):
        super().__init__()
        self.hub = hub
        self.name = f"writer{number}"
        self.next = first
        self.answered = []

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.hub.port, timeout=PATIENCE)
        try:
            while True:
                at = (BEGIN + timedelta(seconds=self.next)).isoformat()
                body = "".join(f"{self.name}.{which},{at},{self.next}\n" for which in "ab")
                self.next += 1
                connection.request("PUT", "/v2/feeds/1.csv", body, {"X-ApiKey": self.hub.key})
                response = connection.getresponse()
                response.read()
                if response.status == 200:
                    self.answered.append(self.next - 1)
        except (OSError, http.client.HTTPException):
            return  # it was killed
        finally:
            connection.close()


def stored(hub, datastream):
    """Every value of a datastream."""
    connection = http.client.HTTPConnection("127.0.0.1", hub.port, timeout=PATIENCE)
    try:
        path = f"/v2/feeds/1/datastreams/{datastream}/archive.csv"
        connection.request("GET", path, headers={"X-ApiKey": hub.key})
        response = connection.getresponse()
        text = response.read().decode()
        assert response.status == 200, text
    finally:
        connection.close()
    return [int(line.rpartition(",")[2]) for line in text.splitlines()]


def make_feed(hub):
    connection = http.client.HTTPConnection("127.0.0.1", hub.port, timeout=PATIENCE)
    try:
        connection.request("POST", "/v2/feeds", '{"title":"Kill"}', {"X-ApiKey": hub.key})
        assert connection.getresponse().status == 201
    finally:
        connection.close()


def test_what_was_answered_is_there_after_every_kill(tmp_path):
    moments = random.Random(20261121)
    answered = {number: [] for number in range(WRITERS)}
    tried = dict.fromkeys(range(WRITERS), 0)

    def check(hub):
        for number, values in answered.items():
            found = stored(hub, f"writer{number}.a")
            assert stored(hub, f"writer{number}.b") == found, "a write was torn"
            assert set(values) <= set(found), "an answered write is gone"
            assert set(found) <= set(range(tried[number])), "something was made up"
            assert found == sorted(set(found))

    for round_number in range(ROUNDS):
        with started_hub(tmp_path / "data") as hub:
            if round_number == 0:
                make_feed(hub)
            else:
                check(hub)
            writers = [Writer(hub, number, tried[number]) for number in answered]
            for writer in writers:
                writer.start()
            for writer in writers:
                writer.join(moments.uniform(0.02, 0.12))
            hub.program.process.send_signal(signal.SIGKILL)
            for number, writer in enumerate(writers):
                writer.join()
                answered[number] += writer.answered
                tried[number] = writer.next
            assert hub.program.wait() == -signal.SIGKILL
    with started_hub(tmp_path / "data") as hub:
        check(hub)
    assert min(map(len, answered.values())) >= ROUNDS
