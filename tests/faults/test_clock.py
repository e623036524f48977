"""A hub's timers count by a clock that nobody sets, and it knows the time of day all the same."""

from __future__ import annotations

import http.client
import json
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from tests.support.program import PATIENCE, started_hub

SOON = timedelta(seconds=PATIENCE)


def ask(hub, method, path, document=None, key=None):
    connection = http.client.HTTPConnection("127.0.0.1", hub.port, timeout=PATIENCE)
    try:
        body = None if document is None else json.dumps(document)
        connection.request(method, f"/v2{path}", body, {"X-ApiKey": key or hub.key})
        response = connection.getresponse()
        said = response.read()
        return response, json.loads(said) if said else None
    finally:
        connection.close()


def is_now(text):
    return abs(datetime.fromisoformat(text) - datetime.now(UTC)) < SOON


def test_what_a_hub_stamps_is_the_time_of_day(tmp_path):
    with started_hub(tmp_path / "data") as hub:
        response, _ = ask(
            hub, "POST", "/feeds", {"title": "a", "datastreams": [{"id": "t", "current_value": "1"}]}
        )
        date = response.getheader("Date")
        assert date is not None
        assert abs(parsedate_to_datetime(date) - datetime.now(UTC)) < SOON
        _, feed = ask(hub, "GET", "/feeds/1")
        assert is_now(feed["created"])
        assert is_now(feed["updated"])
        assert is_now(feed["datastreams"][0]["at"])
        assert feed["status"] == "live"


def test_keys_expire_by_the_time_of_day(tmp_path):
    with started_hub(tmp_path / "data") as hub:
        for expires, status in ((timedelta(hours=1), 200), (timedelta(hours=-1), 401)):
            at = (datetime.now(UTC) + expires).isoformat()
            described = {"label": "k", "expires_at": at, "permissions": [{"access_methods": ["get"]}]}
            response, _ = ask(hub, "POST", "/keys", {"key": described})
            key = (response.getheader("Location") or "").rpartition("/")[2]
            assert ask(hub, "GET", "/feeds", key=key)[0].status == status
