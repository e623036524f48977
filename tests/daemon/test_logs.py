"""The log is short unless more is asked for."""

from __future__ import annotations

import io
import json

import pytest
from twisted.logger import Logger

from txbridge.daemon.logs import log_observer


def written(environ=None, **settings):
    """What of six events is written."""
    stream = io.StringIO()
    observer = log_observer(stream, environ or {}, **settings)
    for namespace in ("txbridge.net", "twisted.internet"):
        log = Logger(namespace=namespace, observer=observer)
        for level in ("debug", "info", "warn"):
            getattr(log, level)("{what}", what=f"{namespace} {level}")
    return stream.getvalue()


def levels(text):
    return [" ".join(line.split()[-2:]) for line in text.splitlines()]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"verbose": False, "edges": False}, ["twisted.internet warn"]),
        ({"verbose": False}, ["txbridge.net info", "txbridge.net warn", "twisted.internet warn"]),
        (
            {"verbose": True},
            [
                "txbridge.net debug",
                "txbridge.net info",
                "txbridge.net warn",
                "twisted.internet info",
                "twisted.internet warn",
            ],
        ),
    ],
)
def test_changes_are_shown_and_everything_when_asked(settings, expected):
    assert levels(written(**settings)) == expected


def test_the_journal_gets_no_time_because_it_has_one():
    text = written({"JOURNAL_STREAM": "8:1"}, verbose=False)
    assert text.splitlines()[0] == "[txbridge.net#info] txbridge.net info"


def test_elsewhere_a_line_begins_with_the_time():
    assert written(verbose=False, edges=False)[:2] == "20"


def test_an_event_without_text_writes_nothing_to_the_journal():
    stream = io.StringIO()
    observer = log_observer(stream, {"JOURNAL_STREAM": "8:1"}, verbose=False)
    Logger(namespace="txbridge", observer=observer).warn("")
    assert stream.getvalue() == ""


def test_as_json_each_event_is_an_object_on_a_line_with_its_fields():
    stream = io.StringIO()
    observer = log_observer(stream, {"JOURNAL_STREAM": "8:1"}, verbose=False, as_json=True)
    log = Logger(namespace="txbridge.relay", observer=observer)
    log.error("{link} is away:\n{error}", link="hub", error="no", count=3, thing=object())
    try:
        raise ValueError("x")
    except ValueError:
        log.failure("it failed")
    away, failed = map(json.loads, stream.getvalue().splitlines())
    assert away.pop("time").endswith("Z")
    assert away == {
        "level": "error",
        "logger": "txbridge.relay",
        "text": "hub is away:\nno",
        "link": "hub",
        "error": "no",
        "count": 3,
    }
    assert failed["level"] == "critical"
    assert "ValueError: x" in failed["traceback"]
