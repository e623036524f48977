"""What those who look after a relay are answered."""

from __future__ import annotations

import json

import pytest

from tests.daemon.test_relay_report import BOILER, report
from txbridge.daemon.relay_admin import AdminSite
from txbridge.net.http1 import Request


def answer(path, relay=None, method="GET"):
    return AdminSite(lambda: report(BOILER) if relay is None else relay).respond(Request(method, path))


def test_the_process_answers_whatever_its_routes_do():
    assert (answer("/healthz").status, answer("/healthz", report(None)).status) == (200, 200)


def test_it_is_ready_or_says_why_not():
    assert (answer("/readyz").status, answer("/readyz").body) == (200, b"ready\n")
    not_ready = answer("/readyz", report(None))
    assert not_ready.status == 503
    assert not_ready.body == b"route attic does not run: OutboxError: no disk\n"


def test_metrics_are_of_the_type_that_prometheus_reads():
    response = answer("/metrics")
    assert dict(response.headers)["Content-Type"].startswith("text/plain; version=0.0.4")
    assert b"txbridge_oldest_unsent_seconds{" in response.body


def test_the_status_is_json():
    assert json.loads(answer("/status").body)["routes"][0]["name"] == "boiler"


def test_the_first_page_names_the_others():
    assert answer("/").body.split() == [b"/healthz", b"/metrics", b"/readyz", b"/status"]


@pytest.mark.parametrize(("method", "path", "status"), [("POST", "/status", 405), ("GET", "/x", 404)])
def test_anything_else_is_refused(method, path, status):
    assert answer(path, method=method).status == status


def test_the_head_of_a_page_can_be_asked_for():
    assert answer("/metrics", method="HEAD").status == 200
