from __future__ import annotations

import json

import pytest

from txbridge.cosm.refusal import (
    MAX_SENTENCES,
    error_body,
    forbidden,
    invalid,
    no_route,
    not_found,
    unauthorized,
    undecodable,
    unwritable,
)
from txbridge.errors import DecodeError, EncodeError


def test_the_words_recorded_from_the_service_are_used():
    assert (forbidden().status, forbidden().title) == (403, "Forbidden")
    assert forbidden().errors == "You do not have the necessary permissions to access this resource"
    assert (not_found().status, not_found().title) == (404, "Not found")
    assert not_found().errors == "I'm sorry we are unable to find the resource you are looking for."
    assert (unauthorized().status, unauthorized().title) == (401, "Unauthorized")


def test_a_route_that_does_not_exist_is_named_with_the_internal_prefix():
    refusal = no_route("POST", "/v2/feeds/121601.csv")
    assert refusal.errors == 'No route matches [POST] "/api/v2/feeds/121601.csv"'


def test_a_very_long_path_is_cut_in_the_message():
    assert len(no_route("GET", "/" + "x" * 8000).errors) < 600


def test_several_sentences_are_joined():
    refusal = invalid(["Title can't be blank", "Id is invalid"])
    assert (refusal.status, refusal.errors) == (422, "Title can't be blank, Id is invalid")


def test_a_flood_of_sentences_is_cut_and_counted():
    refusal = invalid([f"Datapoint {number}: Value can't be blank" for number in range(MAX_SENTENCES + 5)])
    assert refusal.errors.endswith(", and 5 more")
    assert refusal.errors.count("blank") == MAX_SENTENCES


@pytest.mark.parametrize(
    ("error", "status", "title", "errors"),
    [
        (DecodeError("json", "", "unexpected end"), 400, "JSON Parser Error", "unexpected end"),
        (DecodeError("xml", "", "3:7: not closed"), 400, "XML Parser Error", "3:7: not closed"),
        (DecodeError("csv", "row 2", "too wide"), 400, "CSV Parser Error", "row 2: too wide"),
        (
            DecodeError("json", "datastreams[3].at", "is no date", invalid=True),
            422,
            "Unprocessable Entity",
            "datastreams[3].at: is no date",
        ),
    ],
)
def test_what_a_codec_finds_is_400_or_422(error, status, title, errors):
    refusal = undecodable(error)
    assert (refusal.status, refusal.title, refusal.errors) == (status, title, errors)


def test_what_cannot_be_written_in_a_format_is_406_and_says_what_to_do():
    refusal = unwritable(EncodeError("xml", "title", "has a control character"))
    assert refusal.status == 406
    assert refusal.errors == "title: has a control character: ask for it in another format"


def test_a_json_error_has_exactly_two_members_and_is_compact():
    content_type, body = error_body("json", "Forbidden", 'No "x"')
    assert content_type == "application/json; charset=utf-8"
    assert body == b'{"title":"Forbidden","errors":"No \\"x\\""}'


def test_an_xml_error_has_its_title_first_and_its_message_second():
    content_type, body = error_body("xml", "Forbidden", "a < b & \x01c")
    assert content_type == "application/xml; charset=utf-8"
    assert body.decode() == (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        "<errors>\n  <title>Forbidden</title>\n  <error>a &lt; b &amp; �c</error>\n</errors>\n"
    )


@pytest.mark.parametrize("format", ["csv", "png", "text"])
def test_any_other_format_is_told_in_one_line_of_text(format):
    content_type, body = error_body(format, "Not found", "two\nlines")
    assert content_type == "text/plain; charset=utf-8"
    assert body == b"Not found: two lines\n"


@pytest.mark.parametrize("format", ["json", "xml", "csv"])
def test_a_lone_surrogate_in_a_message_breaks_no_body(format):
    _, body = error_body(format, "Bad Request", "half \ud800 a character")
    assert "half" in body.decode("utf-8")
    if format == "json":
        assert json.loads(body)["title"] == "Bad Request"
