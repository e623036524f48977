"""What a server says when it says no."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txbridge.cosm.codec import MAX_BODY, MAX_TEXT, read_refusal
from txbridge.cosm.refusal import error_body
from txbridge.net.operation import Answer


def refusal(body: bytes, content_type: str = "") -> tuple[str, str]:
    return read_refusal(Answer(422, {"content-type": content_type} if content_type else {}, body))


@pytest.mark.parametrize(
    ("errors", "detail"),
    [
        (b'"Title can\'t be blank"', "Title can't be blank"),
        (b'["Title can\'t be blank","Id is taken"]', "Title can't be blank, Id is taken"),
        (
            b'{"title":["can\'t be blank","is too short"],"id":["is taken"]}',
            "title can't be blank, title is too short, id is taken",
        ),
        (b'{"title":"is missing"}', "title is missing"),
        (b"[1,null,{}]", ""),
        (b"17", ""),
        (b"null", ""),
        (b'{"a":' * 900 + b'"deep"' + b"}" * 900, ""),
    ],
)
def test_errors_of_json_may_be_a_text_an_array_or_an_object_of_arrays(errors, detail):
    assert refusal(b'{"title":"Unprocessable Entity","errors":' + errors + b"}") == (
        "Unprocessable Entity",
        detail,
    )


def test_xml_is_read_by_position_whatever_its_elements_are_called():
    assert refusal(b"<?xml version='1.0'?><e><a>Forbidden</a><b>Not yours</b><c>Nor mine</c></e>") == (
        "Forbidden",
        "Not yours, Nor mine",
    )


def test_xml_without_children_is_its_own_title():
    assert refusal(b"<error>Over capacity</error>") == ("Over capacity", "")


def test_xml_with_a_document_type_says_nothing():
    bomb = b'<!DOCTYPE e [<!ENTITY a "ha">]><e><t>&a;</t></e>'
    assert refusal(bomb) == ("", "")


def test_one_line_of_text_is_title_and_message():
    assert refusal(b"Not found: there is no such feed\nTraceback\n") == (
        "Not found",
        "there is no such feed",
    )


def test_one_line_of_text_without_a_title_is_the_message():
    assert refusal(b"go away") == ("", "go away")


@pytest.mark.parametrize("format", ["json", "xml", "csv"])
def test_what_our_own_server_writes_is_read_back(format):
    content_type, body = error_body(format, "Not found", "I'm sorry, <nothing> & nobody")
    assert refusal(body, content_type) == ("Not found", "I'm sorry, <nothing> & nobody")


def test_a_page_of_html_says_nothing():
    assert refusal(b"<html><body><h1>502</h1></body></html>", "text/html") == ("", "")


def test_a_flood_is_not_read_and_a_long_text_is_cut():
    assert refusal(b"x" * (MAX_BODY + 1)) == ("", "")
    assert len(refusal(b"x" * MAX_BODY)[1]) == MAX_TEXT


def test_nothing_that_draws_on_a_terminal_is_kept():
    assert refusal(b'{"title":"a\\u001b[31mb","errors":"c\\n\\td"}') == ("a [31mb", "c d")


@given(st.binary(max_size=200), st.sampled_from([b"", b"{", b"<", b'{"title":', b"<e>"]))
def test_no_body_makes_reading_it_fail(body, start):
    title, detail = refusal(start + body)
    assert len(title) <= MAX_TEXT
    assert len(detail) <= MAX_TEXT
