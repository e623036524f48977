from __future__ import annotations

from datetime import UTC, datetime

import pytest

from txbridge.cosm.negotiation import (
    MAX_PARAMETERS,
    Parameters,
    accepted_format,
    body_format,
    instant_of,
    jsonp_name,
    split_path,
    unknown_extension,
)
from txbridge.cosm.refusal import Refusal

ALL = ("json", "xml", "csv")


@pytest.mark.parametrize(
    ("path", "segments", "extension"),
    [
        ("/v2/feeds", ("v2", "feeds"), None),
        ("/v2/feeds/", ("v2", "feeds"), None),
        ("/v2/feeds.json", ("v2", "feeds"), "json"),
        ("/v2/feeds/7.CSV", ("v2", "feeds", "7"), "csv"),
        ("/v2/feeds/7/datastreams/room.1", ("v2", "feeds", "7", "datastreams", "room.1"), None),
        ("/v2/feeds/7/datastreams/room.1.xml", ("v2", "feeds", "7", "datastreams", "room.1"), "xml"),
        ("/v2/feeds/7/datastreams/a%20b%2Fc", ("v2", "feeds", "7", "datastreams", "a b/c"), None),
        ("/v2/feeds/7/datastreams/x.json.json", ("v2", "feeds", "7", "datastreams", "x.json"), "json"),
        ("/v2/x/2013-04-01T10:00:00.250000Z.json", ("v2", "x", "2013-04-01T10:00:00.250000Z"), "json"),
        ("/v2/x/2013-04-01T10:00:00.250000Z", ("v2", "x", "2013-04-01T10:00:00.250000Z"), None),
        ("/v2/x/2013-04-01T10:00:00+01:00", ("v2", "x", "2013-04-01T10:00:00+01:00"), None),
        ("/v2/feeds/7/datastreams/gr%C3%B6%C3%9Fe", ("v2", "feeds", "7", "datastreams", "größe"), None),
    ],
)
def test_a_path_gives_its_segments_and_only_a_real_extension(path, segments, extension):
    assert split_path(path) == (segments, extension)


@pytest.mark.parametrize("path", ["/", "", "/v2//feeds", "/v2/feeds/%ff", "/v2/feeds/.json"])
def test_a_path_with_an_empty_or_unreadable_segment_is_refused(path):
    with pytest.raises(ValueError, match=r"segment|decode"):
        split_path(path)


@pytest.mark.parametrize(
    ("accept", "offered", "chosen"),
    [
        ("", ALL, "json"),
        ("*/*", ALL, "json"),
        ("application/json", ALL, "json"),
        ("text/json", ALL, "json"),
        ("application/xml", ALL, "xml"),
        ("text/xml", ALL, "xml"),
        ("text/csv", ALL, "csv"),
        ("application/csv", ALL, "csv"),
        ("Text/CSV; charset=utf-8", ALL, "csv"),
        ("image/png, */*;q=0.1", ALL, "json"),
        ("text/html, application/xml;q=0.9, */*;q=0.8", ALL, "xml"),
        ("application/json, text/javascript, */*; q=0.01", ALL, "json"),
        ("application/json;q=0, text/csv", ALL, "csv"),
        ("application/json;q=0", ALL, None),
        ("application/json;q=x", ALL, None),
        ("text/html", ALL, None),
        ("image/png", ALL, None),
        ("text/csv", ("json", "xml"), None),
        ("*/*", ("csv",), "csv"),
    ],
)
def test_accept_chooses_among_what_is_offered(accept, offered, chosen):
    assert accepted_format(accept, offered) == chosen


@pytest.mark.parametrize(
    ("extension", "content_type", "accept", "body", "format"),
    [
        ("json", "text/csv", "", b"0,1", "json"),
        (None, "application/x-www-form-urlencoded", "", b'{"a":1}', "json"),
        (None, "application/x-www-form-urlencoded", "", b" \r\n<eeml/>", "xml"),
        (None, "application/json", "", b"<eeml/>", "xml"),
        (None, "text/csv", "", b'{"a":1}', "json"),
        (None, "text/csv", "", b"0,1", "csv"),
        (None, "", "application/csv", b"0,1", "csv"),
        (None, "", "text/html, text/csv;q=0.5", b"0,1", "csv"),
        (None, "", "*/*", b"0,1", "json"),
        (None, "application/xml", "", b"0,1", "xml"),
        (None, "", "", b"", "json"),
        (None, "", "", b"\xef\xbb\xbf[1]", "json"),
    ],
)
def test_the_body_has_a_say_in_what_it_is(extension, content_type, accept, body, format):
    assert body_format(extension, content_type, accept, body) == format


def test_empty_pieces_of_a_query_are_ignored():
    parameters = Parameters.parse("&&key=k&start=&")
    assert parameters.text("key") == "k"
    assert "start" not in parameters


def test_the_last_of_several_values_counts():
    assert Parameters.parse("limit=1&limit=2").integer("limit") == 2


def test_a_flood_of_parameters_is_refused():
    with pytest.raises(Refusal) as refused:
        Parameters.parse("&".join(f"p{number}=1" for number in range(MAX_PARAMETERS + 1)))
    assert refused.value.status == 400


@pytest.mark.parametrize("text", ["true", "True", "TRUE", "1"])
def test_every_spelling_of_true_is_true(text):
    assert Parameters.parse(f"show_user={text}").flag("show_user")


@pytest.mark.parametrize("text", ["false", "False", "0", "", "yes"])
def test_everything_else_is_false(text):
    assert not Parameters.parse(f"show_user={text}").flag("show_user")


@pytest.mark.parametrize(
    ("text", "flag"), [("false", False), ("0", False), ("", False), ("yes", True), ("1", True)]
)
def test_a_lenient_flag_is_true_for_all_but_false(text, flag):
    assert Parameters.parse(f"find_previous={text}").flag("find_previous", lenient=True) is flag


@pytest.mark.parametrize("text", ["x", "1.5", "1e3", "٣", "1" * 19])
def test_a_whole_number_that_is_none_is_422(text):
    with pytest.raises(Refusal, match="Limit is not a whole number") as refused:
        Parameters({"limit": text}).integer("limit")
    assert refused.value.status == 422


@pytest.mark.parametrize("text", ["x", "nan", "inf", "-inf"])
def test_a_number_that_is_none_is_422(text):
    with pytest.raises(Refusal, match="Lat is not a number"):
        Parameters({"lat": text}).number("lat")


def test_a_choice_outside_its_words_is_422_and_names_them():
    with pytest.raises(Refusal, match="Status must be one of live, frozen, all"):
        Parameters({"status": "dead"}).choice("status", ("live", "frozen", "all"), "all")


AT_NINE = datetime(2013, 4, 1, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    "query",
    [
        "start=2013-04-01T10:00:00+0100",
        "start=2013-04-01T10:00:00+01:00",
        "start=2013-04-01T10:00:00.000+01",
        "start=2013-04-01T10:00:00%2B0100",
        "start=2013-04-01T09:00:00Z",
        "start=2013-04-01T09:00:00",
        "start=2013-04-01%2009:00",
        "start=2013-04-01+09:00:00",
    ],
)
def test_the_plus_of_an_offset_survives_a_query(query):
    assert Parameters.parse(query).instant("start") == AT_NINE


def test_a_timestamp_in_a_path_keeps_its_plus():
    assert instant_of("2013-04-01T10:00:00+01:00") == AT_NINE


def test_a_malformed_timestamp_is_422_and_named():
    with pytest.raises(Refusal, match="Start is malformed") as refused:
        Parameters.parse("start=yesterday").instant("start")
    assert refused.value.status == 422


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("callback=cb", "cb"),
        ("_=1&callback=a.b%28%29%3Bx", "abx"),
        ("callback=alert(1)", "alert1"),
        ("callback=", None),
        ("callback=%3B", None),
        ("mycallback=x", None),
        ("", None),
    ],
)
def test_a_callback_is_stripped_to_letters_digits_and_underscores(query, name):
    assert jsonp_name(query) == name


@pytest.mark.parametrize(
    ("segments", "unknown"),
    [
        (("feeds.rss",), True),
        (("feeds", "7.atom"), True),
        (("feeds", "7", "datastreams.rss"), True),
        (("feeds", "7", "datastreams", "room.1"), False),
        (("feeds", "7"), False),
        (("feeds", "x.rss"), False),
    ],
)
def test_an_unknown_extension_is_told_from_a_dot_in_an_id(segments, unknown):
    assert unknown_extension(segments) is unknown
