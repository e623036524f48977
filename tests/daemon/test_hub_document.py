"""A feed that was saved from the old service becomes one of a hub's."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime

import pytest

from tests.support.program import bare_environ, run_program, started_hub
from tests.support.stores import rows_of
from txbridge.daemon.cli import parser
from txbridge.daemon.hub_document import DocumentSource
from txbridge.errors import ConfigError
from txbridge.hub.sqlite_schema import connect_for_writing
from txbridge.hub.sqlite_writes import create_account
from txbridge.hub.transfer import TransferError
from txbridge.hub.transfer_import import import_into
from txbridge.model.instants import to_microseconds

FEED = """
{"title":"Cosm Office environment","id":504,"version":"1.0.0","private":"false","tags":["b","a"],
"feed":"https://api.cosm.com/v2/feeds/504.json","status":"frozen","updated":"2013-06-03T10:00:00Z",
"created":"2010-01-02T03:04:05Z","location":{"name":"office","lat":51.5,"lon":-0.13,"disposition":"fixed"},
"datastreams":[
 {"id":"humidity","current_value":"44","at":"2013-06-03T09:00:00Z","max_value":"90.0","min_value":"10.0",
  "unit":{"label":"%"},"datapoints":[{"value":"40","at":"2013-06-03T08:00:00Z"}]},
 {"id":"empty"}]}
"""

EEML = """<?xml version="1.0"?>
<eeml xmlns="http://www.eeml.org/xsd/0.5.1" version="0.5.1">
<environment id="505" created="2010-01-02T03:04:05Z"><title>As XML</title>
<data id="t"><current_value at="2013-06-03T09:00:00Z">1.50</current_value></data>
</environment></eeml>
"""


@pytest.fixture
def store(tmp_path):
    path = tmp_path / "hub.sqlite"
    with closing(connect_for_writing(path)) as writer:
        create_account(writer, "owner", None)
    return path


def saved(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    return tmp_path / name


def take(store, source, merge=True):
    return import_into(store, source, merge=merge, told=lambda done, total: None, is_stopped=lambda: False)


def asked(store, question):
    with closing(sqlite3.connect(store)) as reader:
        return reader.execute(question).fetchall()


def test_a_feed_keeps_its_number_its_words_and_its_points(store, tmp_path):
    take(store, DocumentSource(saved(tmp_path, "504.json", FEED), [], "owner", store))
    assert asked(store, "SELECT feed, owner, title, private, tags, place, lat FROM feeds") == [
        (504, "owner", "Cosm Office environment", 0, '["a","b"]', "office", 51.5)
    ]
    assert asked(
        store, "SELECT id, value, max_value, min_value, unit_label FROM datastreams ORDER BY id"
    ) == [
        ("empty", None, None, None, None),
        ("humidity", "44", "90.0", "10.0", "%"),
    ]
    assert asked(store, "SELECT value FROM points ORDER BY at") == [("40",), ("44",)]


def test_histories_join_the_datastreams_they_are_of(store, tmp_path):
    one = saved(tmp_path, "humidity.csv", "2013-06-01T00:00:00Z,5\n2013-06-04T00:00:00.000001Z,45\n")
    other = saved(tmp_path, "all.csv", 'datastream,at,value\nwind,2013-06-01T00:00:00,"strong, from west"\n')
    done = take(store, DocumentSource(saved(tmp_path, "504.json", FEED), [one, other], "owner", store))
    assert done.rows["points"] == 5
    assert asked(store, "SELECT id, value, min_value FROM datastreams WHERE id != 'empty' ORDER BY id") == [
        ("humidity", "45", "5.0"),
        ("wind", "strong, from west", None),
    ]


def test_a_feed_that_is_imported_again_changes_nothing(store, tmp_path):
    source = DocumentSource(saved(tmp_path, "504.json", FEED), [], "owner", store)
    take(store, source)
    before = rows_of(store)
    assert sum(take(store, source).rows.values()) == 0
    assert rows_of(store) == before


def dated(store):
    return asked(store, "SELECT created, updated FROM feeds")[0]


def test_a_feed_without_dates_is_made_when_it_is_imported_and_is_as_new_as_its_newest_point(store, tmp_path):
    feed = saved(tmp_path, "7.json", '{"id":7,"title":"x","datastreams":[{"id":"t"}]}')
    history = saved(tmp_path, "t.csv", "2013-06-04T00:00:00Z,45\n2013-06-01T00:00:00Z,5\n")
    before = to_microseconds(datetime.now(UTC))
    take(store, DocumentSource(feed, [history], "owner", store))
    created, updated = dated(store)
    assert before <= created <= to_microseconds(datetime.now(UTC))
    assert updated == to_microseconds(datetime(2013, 6, 4, tzinfo=UTC))


def test_a_feed_without_dates_or_points_is_updated_when_it_is_made(store, tmp_path):
    take(store, DocumentSource(saved(tmp_path, "7.json", '{"id":7,"title":"x"}'), [], "owner", store))
    created, updated = dated(store)
    assert created == updated > 0


@pytest.mark.parametrize("title", ["x", " "])
def test_a_feed_without_dates_is_known_again_by_its_title(store, tmp_path, title):
    streams = '[{"id":"t","current_value":"3"}]'
    feed = saved(tmp_path, "7.json", f'{{"id":7,"title":"{title}","datastreams":{streams}}}')
    take(store, DocumentSource(feed, [], "owner", store))
    before = rows_of(store)
    assert sum(take(store, DocumentSource(feed, [], "owner", store)).rows.values()) == 0
    assert rows_of(store) == before
    other = saved(tmp_path, "other.json", '{"id":7,"title":"y"}')
    with pytest.raises(TransferError, match=r"7 .*taken here, by another"):
        take(store, DocumentSource(other, [], "owner", store))


def test_a_feed_of_xml_is_one_too(store, tmp_path):
    take(store, DocumentSource(saved(tmp_path, "505.xml", EEML), [], "owner", store))
    assert asked(store, "SELECT feed, title FROM feeds") == [(505, "As XML")]
    assert asked(store, "SELECT value FROM points") == [("1.50",)]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("f.json", '{"title":"x"}', "has no number"),
        ("f.json", '{"title":', "is no feed"),
        ("f.xml", "<eeml>", "is no feed"),
        ("f.json", '{"id":1,"title":"x","datastreams":[{"id":"a b"}]}', "Datastream a b"),
        (
            "f.json",
            f'{{"id":1,"datastreams":[{{"id":"t","current_value":"{"x" * 256}"}}]}}',
            "Datastream t: 'xxx.*' is no value",
        ),
        (
            "f.json",
            '{"id":1,"location":{"waypoints":[{"at":"2013-06-01T00:00:00Z","lat":91,"lon":0}]}}',
            "Latitude must be",
        ),
    ],
)
def test_a_document_that_is_no_feed_is_named(store, tmp_path, name, text, said):
    with pytest.raises(TransferError, match=said) as error:
        DocumentSource(saved(tmp_path, name, text), [], "owner", store)
    assert name in str(error.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("yesterday,3", "line 2: 'yesterday' is not an ISO 8601"),
        ("2013-06-01T00:00:00Z", "line 2: has 1 fields"),
        ("2013-06-01T00:00:00Z,", "line 2: '' is no value"),
        (f"2013-06-01T00:00:00Z,{'x' * 256}", "line 2: .* is no value"),
        ("2013-06-01T00:00:00Z,a\x00b", "line 2: .* no value of 1 to 255 characters of text"),
        ('2013-06-01T00:00:00Z,"x', "line 2: unexpected end of data"),
        ("a b,2013-06-01T00:00:00Z,3", "Datastream a b"),
    ],
)
def test_a_line_of_a_history_that_is_wrong_is_named(store, tmp_path, line, said):
    history = saved(tmp_path, "t.csv", f"2013-06-01T00:00:00Z,3\n{line}\n")
    with pytest.raises(TransferError, match=said):
        DocumentSource(saved(tmp_path, "f.json", '{"id":1,"title":"x"}'), [history], "owner", store)


def test_the_program_adds_a_saved_feed_to_a_hub_that_has_run(tmp_path):
    feed = saved(tmp_path, "504.json", FEED)
    words = ["hub", "import", "--data", str(tmp_path / "data"), "--feed", str(feed)]
    done = run_program(*words, environ=bare_environ(tmp_path))
    assert done.status == 1
    assert "let the hub run once" in done.err
    with started_hub(tmp_path / "data"):
        pass
    done = run_program(*words, "--json", environ=bare_environ(tmp_path))
    assert (done.status, done.err) == (0, "")
    assert json.loads(done.out)["rows"]["feeds"] == 1
    with started_hub(tmp_path / "data") as hub:
        shown = run_program(
            "history",
            "504",
            "humidity",
            "--start",
            "2013-06-03",
            "--duration",
            "1day",
            "--csv",
            environ=hub.environ,
        )
        assert shown.out.splitlines()[-1].endswith(",44")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "say which export"),
        (["out", "--feed", "x.json"], "--feed: an export is imported without it"),
        (["out", "--history", "x.csv"], "--history is of a --feed"),
    ],
)
def test_words_that_contradict_each_other_are_told(tmp_path, words, said):
    arguments = parser().parse_args(["hub", "import", "--data", str(tmp_path), *words])
    with pytest.raises(ConfigError, match=said):
        arguments.command(arguments)
