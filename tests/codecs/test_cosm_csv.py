"""The CSV codec: what CSV carries comes back the same, and what is wrong is named by its row."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given, reject
from hypothesis import strategies as st

from tests.support import strategies
from txbridge.codecs import cosm_csv
from txbridge.codecs.limits import DecodeLimits
from txbridge.errors import DecodeError, EncodeError
from txbridge.model.accounts import Key, Trigger, User
from txbridge.model.structures import Datapoint, Datastream, Environment, EnvironmentList, Unit

KINDS = [Environment, EnvironmentList, Datastream, Datapoint]
NINE = datetime(2013, 6, 3, 9, tzinfo=UTC)

# What CSV carries: texts with something between their edges.
TEXTS = strategies.texts(xml=True).filter(lambda text: not text.startswith("\ufeff"))
VALUES = st.sampled_from(["21.50", "a,b", 'the "pump"', "two\nlines", "two\r\nlines", '"']) | TEXTS
IDS = st.sampled_from(["flow_temp", "a,b", '"']) | TEXTS
HISTORIES = st.dictionaries(strategies.instants(), VALUES, min_size=2, max_size=4).map(
    lambda points: [Datapoint(at=at, value=points[at]) for at in sorted(points)]
)


def datastreams(ids: st.SearchStrategy[str | None]) -> st.SearchStrategy[Datastream]:
    ats = st.none() | strategies.instants()
    return st.builds(Datastream, id=ids, current_value=VALUES, at=ats)


def feeds(streams: st.SearchStrategy[Datastream], **members: Any) -> st.SearchStrategy[Environment]:
    several = st.lists(streams, min_size=1, max_size=4, unique_by=lambda stream: stream.id)
    return st.builds(Environment, datastreams=several, **members)


def refusal(kind: Any, document: str | bytes, **options: Any) -> DecodeError:
    data = document if isinstance(document, bytes) else document.encode()
    with pytest.raises(DecodeError) as caught:
        cosm_csv.decode(kind, data, **options)
    assert caught.value.format == "csv"
    return caught.value


# ----------------------------------------------------------------------------------------------- laws


@given(feeds(datastreams(IDS)))
def test_the_current_values_of_a_feed_come_back_the_same(feed):
    assert cosm_csv.decode(Environment, cosm_csv.encode(feed)) == feed


@given(feeds(st.builds(Datastream, id=IDS, datapoints=HISTORIES)))
def test_the_histories_of_a_feed_come_back_the_same(feed):
    assert cosm_csv.decode(Environment, cosm_csv.encode(feed)).datastreams == feed.datastreams


@given(
    st.lists(
        feeds(datastreams(IDS), id=st.integers(0, 2**63 - 1)),
        min_size=1,
        max_size=3,
        unique_by=lambda f: f.id,
    )
)
def test_a_list_of_feeds_comes_back_the_same(feeds):
    page = EnvironmentList(feeds=feeds)
    assert cosm_csv.decode(EnvironmentList, cosm_csv.encode(page)) == page


@given(datastreams(st.none()) | st.builds(Datastream, datapoints=HISTORIES))
def test_a_datastream_comes_back_the_same(stream):
    assert cosm_csv.decode(Datastream, cosm_csv.encode(stream)) == stream


@given(st.builds(Datapoint, at=st.none() | strategies.instants(), value=VALUES))
def test_a_datapoint_comes_back_the_same(point):
    assert cosm_csv.decode(Datapoint, cosm_csv.encode(point)) == point


@given(st.lists(VALUES, min_size=1, max_size=5))
def test_version_1_comes_back_the_same(values):
    feed = Environment(datastreams=[Datastream(id=str(n), current_value=v) for n, v in enumerate(values)])
    assert cosm_csv.decode(Environment, cosm_csv.encode(feed, legacy=True), legacy=True) == feed
    stream = Datastream(current_value=values[0])
    assert cosm_csv.decode(Datastream, cosm_csv.encode(stream, legacy=True), legacy=True) == stream


@given(st.builds(Datastream, datapoints=HISTORIES), st.integers(-23, 23))
def test_the_zone_changes_how_instants_look_and_not_what_they_are(stream, hours):
    zone = timezone(timedelta(hours=hours))
    try:
        written = cosm_csv.encode(stream, zone=zone)
    except EncodeError:
        reject()  # an instant at the very end of the calendar
    assert cosm_csv.decode(Datastream, written) == stream


@given(
    st.lists(st.lists(st.text(" \ta1,\u00e9", max_size=4), max_size=4), max_size=5), st.sampled_from("\n\r")
)
def test_rows_without_quotes_are_split_as_the_csv_module_splits_them(fields, end):
    text = end.join(",".join(row) for row in fields)
    quoted = text + f'{end}"x"'
    trimmed = [[field.strip() for field in row] for row in cosm_csv._split(text)]
    *expected, last = [[field.strip() for field in row] for row in cosm_csv._split(quoted)]
    assert last == ["x"]
    assert [row for row in trimmed if row != [""]] == [row for row in expected if row not in ([], [""])]


@given(
    st.sampled_from(KINDS),
    st.binary(max_size=40) | st.text('0123456789-:TZ.,"\r\n a\ufeff\0', max_size=60).map(str.encode),
    st.booleans(),
)
@example(Datastream, b'"', False)
@example(Datastream, b"0001-01-01T00:00:00+01:00,1", False)
@example(EnvironmentList, b"9" * 5000 + b",a,,1", False)
@example(Datastream, b'"' + b"1" * 200_000 + b'"', False)
def test_arbitrary_bytes_are_at_worst_refused(kind, data, legacy):
    try:
        found = cosm_csv.decode(kind, data, legacy=legacy)
    except DecodeError:
        return
    assert isinstance(found, kind)


# --------------------------------------------------------------------------------------------- writing

BOILER = Environment(
    id=7301,
    title="Boiler room",
    datastreams=[
        Datastream(id="flow_temp", current_value="22.0", at="2013-06-03T09:15:41.9Z", max_value="78.5"),
        Datastream(id="pump", current_value="off", at="2013-06-03T08:59:00Z"),
        Datastream(id="never_written"),
    ],
)


def test_a_feed_is_its_current_values_and_streams_without_one_are_left_out():
    assert cosm_csv.encode(BOILER) == (
        b"flow_temp,2013-06-03T09:15:41.900000Z,22.0\npump,2013-06-03T08:59:00.000000Z,off\n"
    )


def test_a_value_without_an_instant_is_two_fields():
    feed = Environment(datastreams=[Datastream(id="0", current_value=29)])
    assert cosm_csv.encode(feed) == b"0,29\n"


def test_a_list_has_the_number_of_the_feed_in_front():
    page = EnvironmentList(
        feeds=[BOILER, Environment(id=2, datastreams=[Datastream(id="x", current_value="1")])]
    )
    assert cosm_csv.encode(page) == (
        b"7301,flow_temp,2013-06-03T09:15:41.900000Z,22.0\n"
        b"7301,pump,2013-06-03T08:59:00.000000Z,off\n"
        b"2,x,,1\n"
    )


def test_a_list_carries_the_histories_of_its_feeds():
    points = [Datapoint(at=NINE, value="1"), Datapoint(at="2013-06-03T10:00Z", value="2")]
    page = EnvironmentList(
        feeds=[
            Environment(id=7, datastreams=[Datastream(id="a", datapoints=points)]),
            Environment(id=8, datastreams=[Datastream(id="b", current_value="3")]),
        ]
    )
    written = cosm_csv.encode(page)
    assert written == (b"7,a,2013-06-03T09:00:00.000000Z,1\n7,a,2013-06-03T10:00:00.000000Z,2\n8,b,,3\n")
    assert cosm_csv.decode(EnvironmentList, written) == page


def test_the_histories_of_a_feed_are_one_line_of_time():
    feed = Environment(
        datastreams=[
            Datastream(
                id="flow_temp",
                current_value="22.0",
                datapoints=[
                    Datapoint(at="2013-06-03T08:59:58.12Z", value="21.4"),
                    Datapoint(at="2013-06-03T09:14:57Z", value="22.0"),
                ],
            ),
            Datastream(id="pump", datapoints=[Datapoint(at="2013-06-03T08:59:59Z", value="off")]),
            Datastream(id="other", current_value="1"),
        ]
    )
    assert cosm_csv.encode(feed) == (
        b"flow_temp,2013-06-03T08:59:58.120000Z,21.4\n"
        b"pump,2013-06-03T08:59:59.000000Z,off\n"
        b"flow_temp,2013-06-03T09:14:57.000000Z,22.0\n"
    )


def test_a_datastream_is_two_columns_without_its_id():
    stream = Datastream(id="flow_temp", current_value="22.0", at=NINE)
    assert cosm_csv.encode(stream) == b"2013-06-03T09:00:00.000000Z,22.0\n"
    stream.add_datapoint(NINE, "a,b")
    stream.datapoints.append(Datapoint())
    assert cosm_csv.encode(stream) == b'2013-06-03T09:00:00.000000Z,"a,b"\n,\n'
    assert cosm_csv.encode(Datastream(id="never_written")) == b""


def test_a_datapoint_is_its_instant_and_its_value():
    assert cosm_csv.encode(Datapoint(at=NINE, value="294")) == b"2013-06-03T09:00:00.000000Z,294\n"
    assert cosm_csv.encode(Datapoint(value=294)) == b"294\n"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("JEBEL ALI", b"JEBEL ALI\n"),
        ("a,b", b'"a,b"\n'),
        ('5" pipe', b'"5"" pipe"\n'),
        ("two\nlines", b'"two\nlines"\n'),
        ("21\u00b0", "21\u00b0\n".encode()),
        (0, b"0\n"),
    ],
)
def test_commas_quotes_and_newlines_stand_in_quotes(value, written):
    assert cosm_csv.encode(Datapoint(value=value)) == written


def test_version_1_is_values_alone():
    feed = Environment(datastreams=[Datastream(id="0", current_value=1, at=NINE), Datastream(id="1")])
    assert cosm_csv.encode(feed, legacy=True) == b"1,\n"
    assert cosm_csv.encode(Environment(), legacy=True) == b""
    assert cosm_csv.encode(Datastream(current_value=1, at=NINE), legacy=True) == b"1\n"
    assert cosm_csv.encode(Datastream(), legacy=True) == b""


def test_a_zone_shows_in_every_instant():
    zone = timezone(timedelta(hours=1))
    assert cosm_csv.encode(Datapoint(at=NINE, value=1), zone=zone) == b"2013-06-03T10:00:00.000000+01:00,1\n"


@pytest.mark.parametrize("structure", [Key(), Trigger(), User(), Unit()])
def test_what_csv_has_no_form_for_is_refused_both_ways(structure):
    kind = type(structure)
    with pytest.raises(EncodeError, match=f"{kind.__name__} has no CSV form"):
        cosm_csv.encode(structure)
    assert refusal(kind, "1").reason == f"{kind.__name__} has no CSV form"


def test_a_list_in_version_1_is_refused_both_ways():
    with pytest.raises(EncodeError, match="EnvironmentList has no CSV form"):
        cosm_csv.encode(EnvironmentList(), legacy=True)
    assert "EnvironmentList" in refusal(EnvironmentList, "1,a,,1", legacy=True).reason


def test_half_a_surrogate_pair_is_refused_by_row():
    feed = Environment(datastreams=[Datastream(id=name, current_value=name) for name in ("a", "\ud800")])
    with pytest.raises(EncodeError) as caught:
        cosm_csv.encode(feed)
    assert (caught.value.format, caught.value.path) == ("csv", "row 2")


def test_a_list_needs_the_number_of_each_feed():
    with pytest.raises(EncodeError) as caught:
        cosm_csv.encode(EnvironmentList(feeds=[Environment(id=1), Environment()]))
    assert caught.value.path == "feeds[1].id"


# --------------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize(
    "document",
    [
        "0,18.6\nhum,44\n",
        "0,18.6\nhum,44",
        "0,18.6\r\nhum, 44\r\n",
        "0,18.6\rhum,44",
        " 0 ,\t18.6\n\n  \nhum,44  \n",
        '"0","18.6"\n\nhum, "44"\n',
        "\ufeff0,18.6\nhum,44\n",
        "0,,18.6\nhum,,44\n",
    ],
)
def test_line_ends_blanks_quotes_and_blank_rows_are_no_matter(document):
    feed = cosm_csv.decode(Environment, document.encode())
    assert [(one.id, one.current_value, one.at) for one in feed.datastreams.values()] == [
        ("0", "18.6", None),
        ("hum", "44", None),
    ]


def test_rows_with_and_without_a_timestamp_may_mix():
    feed = cosm_csv.decode(Environment, b"0,2013-06-03T09:00:00Z,18.6\n1,77\n")
    assert feed.datastreams["0"] == Datastream(id="0", current_value="18.6", at=NINE)
    assert feed.datastreams["1"] == Datastream(id="1", current_value="77")


def test_two_fields_are_never_taken_for_version_1():
    assert cosm_csv.decode(Environment, b"0,29").datastreams["0"].current_value == "29"


def test_several_timed_rows_of_one_stream_are_its_history():
    document = b"s,2013-06-03T09:00:00Z,1\nt,5\ns,2013-06-03T10:00:30.5+0100,2\n"
    feed = cosm_csv.decode(Environment, document)
    assert feed.datastreams["s"].datapoints == [
        Datapoint(at=NINE, value="1"),
        Datapoint(at=NINE + timedelta(seconds=30.5), value="2"),
    ]
    assert feed.datastreams["s"].current_value is None
    assert feed.datastreams["t"].current_value == "5"


def test_an_empty_last_field_is_no_value():
    feed = cosm_csv.decode(Environment, b"a,2013-06-03T09:00:00Z,\nb,,\n")
    assert feed.datastreams["a"] == Datastream(id="a", at=NINE)
    assert feed.datastreams["b"] == Datastream(id="b")
    stream = cosm_csv.decode(Datastream, b"2013-06-03T09:00:00Z,\n2013-06-03T09:00:01Z,2\n")
    assert [point.value for point in stream.datapoints] == [None, "2"]


def test_a_datastream_is_a_value_or_a_timed_value_or_history():
    assert cosm_csv.decode(Datastream, b"18.6") == Datastream(current_value="18.6")
    timed = cosm_csv.decode(Datastream, b"2013-06-03T09:00:00Z,18.6\r\n")
    assert timed == Datastream(current_value="18.6", at=NINE)
    history = cosm_csv.decode(Datastream, b"2013-06-03T09:00:00Z,1\n2013-06-03T09:00:00.1234567Z,2")
    assert history.datapoints == [
        Datapoint(at=NINE, value="1"),
        Datapoint(at=NINE + timedelta(microseconds=123456), value="2"),
    ]


def test_a_list_gathers_the_rows_of_each_feed():
    page = cosm_csv.decode(
        EnvironmentList, b"7301,a,2013-06-03T09:00:00Z,1\n2,x,,1\n7301,b,2013-06-03T09:00:00Z,\n"
    )
    assert [(feed.id, list(feed.datastreams)) for feed in page.feeds] == [(7301, ["a", "b"]), (2, ["x"])]


def test_version_1_takes_the_position_for_the_id():
    feed = cosm_csv.decode(Environment, b"18.6, 77,,x\n", legacy=True)
    values = {one.id: one.current_value for one in feed.datastreams.values()}
    assert values == {"0": "18.6", "1": "77", "2": None, "3": "x"}


@pytest.mark.parametrize(
    ("kind", "document", "path", "reason", "invalid"),
    [
        (Environment, "", "", "the document is empty", False),
        (Datastream, " \r\n\n", "", "the document is empty", False),
        (Datapoint, "\ufeff", "", "the document is empty", False),
        (Environment, "0,1\n18.6", "row 2", "expected 2 to 3 fields, found 1", False),
        (Environment, "0,1\n\n1,2,3,4", "row 3", "expected 2 to 3 fields, found 4", False),
        (EnvironmentList, "7301,a,1", "row 1", "expected 4 fields, found 3", False),
        (EnvironmentList, "x,a,,1", "row 1", "'x' is not a whole number", True),
        (Datastream, "a,2013-06-03T09:00:00Z,1", "row 1", "expected 1 to 2 fields, found 3", False),
        (Datapoint, "1\n2", "row 2", "expected one row", False),
        (Environment, "a,1\nb,2\na,3", "row 1", "several values of one datastream need a timestamp", False),
        (Environment, "a,2013-06-03T09:00Z,1\na,3", "row 2", "several values of one datastream", False),
        (Datastream, "1\n2", "row 1", "several values of one datastream need a timestamp each", False),
        (Datastream, "soon,1", "row 1", "'soon' is not an ISO 8601 date and time", True),
        (Environment, "a,2013-06-03,1\nb,soon,1", "row 2", "'soon' is not an ISO 8601", True),
        (Datastream, "2013-06-03T09:00Z,1\n\nsoon,1", "row 3", "'soon' is not an ISO 8601", True),
        (Datastream, '1\n"2" 3', "line 2", "',' expected after '\"'", False),
        (Datastream, '"1', "line 1", "unexpected end of data", False),
        (Datastream, b"1\n\xff", "", "not UTF-8: byte 2", False),
    ],
)
def test_what_is_wrong_is_named_with_its_row(kind, document, path, reason, invalid):
    error = refusal(kind, document)
    assert (error.path, error.invalid) == (path, invalid)
    assert error.reason.startswith(reason)


@pytest.mark.parametrize(
    ("kind", "document", "reason"),
    [
        (Environment, "1,2\n3,4", "expected one row"),
        (Datastream, "1\n2", "expected one row"),
        (Datastream, "2013-06-03T09:00:00Z,1", "expected 1 fields, found 2"),
        (Datapoint, "1", "Datapoint has no CSV form"),
    ],
)
def test_version_1_has_its_own_widths(kind, document, reason):
    assert refusal(kind, document, legacy=True).reason == reason


def test_a_document_of_too_many_bytes_or_rows_is_refused():
    assert "bytes" in refusal(Datastream, "1" * 11, limits=DecodeLimits(document_bytes=10)).reason
    assert "elements" in refusal(Datastream, "1\n" * 50, limits=DecodeLimits(elements=20)).reason
