"""The metrics of a hub that runs, over real connections."""

from __future__ import annotations

import re
from http.client import HTTPConnection
from urllib.parse import urlsplit

from twisted.internet.threads import deferToThread

from tests.support.program import hub_here
from txbridge.model.structures import Environment


def asked(url, path):
    """Status and body of an answer; blocks."""
    connection = HTTPConnection(urlsplit(url).netloc, timeout=30)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body


def values_of(text):
    """Samples by name and labels."""
    found = (re.fullmatch(r"([a-z_]+(?:\{.*\})?) (\S+)", line) for line in text.splitlines())
    return {match[1]: float(match[2]) for match in found if match}


async def test_a_hub_says_what_it_did(tmp_path):
    async with hub_here(tmp_path) as hub:
        feed = Environment(title="Boiler")
        feed.set_current_value("temperature", "21.5")
        feed_id = await hub.client.create_feed(data=feed)
        await hub.client.update_feed(feed_id=int(feed_id), data=feed)
        assert await deferToThread(asked, hub.config.url, "/readyz") == (200, "ready\n")
        status, text = await deferToThread(asked, hub.config.url, "/metrics")
    assert status == 200
    assert "Boiler" not in text
    assert hub.config.api_key not in text
    values = values_of(text)
    for name, value in {
        "txbridge_hub_ready": 1,
        'txbridge_hub_requests_total{method="POST",status="201"}': 1,
        'txbridge_hub_requests_total{method="PUT",status="200"}': 1,
        'txbridge_hub_request_duration_seconds_count{kind="write"}': 2,
        "txbridge_hub_points_total": 2,
        "txbridge_hub_writes_total": 2,
        "txbridge_hub_commit_failures_total": 0,
        "txbridge_hub_store_waiting": 0,
        "txbridge_hub_notices_waiting": 0,
        "txbridge_hub_triggers_fired_total": 0,
        'txbridge_hub_connections{kind="paws"}': 0,
        "txbridge_hub_subscriptions": 0,
    }.items():
        assert values[name] == value, name
    assert values["txbridge_hub_commit_duration_seconds_count"] >= 2
    assert values['txbridge_hub_storage_bytes{file="database"}'] > 0
    assert values['txbridge_hub_connections{kind="http"}'] >= 1
    assert re.search(r'^txbridge_hub_build_info\{version="[^"]+",python="3', text, re.MULTILINE)
    assert values["process_resident_memory_bytes"] > 1 << 20
