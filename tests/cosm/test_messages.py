"""The messages of PAWS: at every split of the bytes, and whatever they hold."""

from __future__ import annotations

import itertools
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txbridge.cosm.messages import (
    Broken,
    JsonDocuments,
    Malformed,
    PawsAnswer,
    PawsRequest,
    read_answer,
    read_request,
    write_answer,
    write_error,
)

STREAM = (
    b'{"a":1}{"b":"}{\\"\\\\"}\n\r\n\t  {\n  "c": [ {"d": "x\\u00e9\xc3\xa9"}, [] ],\r\n "e" : {}\n}\n\n'
    b'{"f":"[\\\\"}'
)
DOCUMENTS = [
    b'{"a":1}',
    b'{"b":"}{\\"\\\\"}',
    b'{\n  "c": [ {"d": "x\\u00e9\xc3\xa9"}, [] ],\r\n "e" : {}\n}',
    b'{"f":"[\\\\"}',
]


# -- documents


def test_concatenated_and_pretty_printed_documents_come_apart():
    documents = JsonDocuments()
    assert documents.feed(STREAM) == DOCUMENTS
    assert documents.problem is None
    assert not documents.inside


def test_documents_are_the_same_at_every_cut():
    for cut in range(len(STREAM) + 1):
        documents = JsonDocuments()
        assert documents.feed(STREAM[:cut]) + documents.feed(STREAM[cut:]) == DOCUMENTS


def test_documents_are_the_same_byte_by_byte():
    documents = JsonDocuments()
    found = []
    for index in range(len(STREAM)):
        found += documents.feed(STREAM[index : index + 1])
    assert found == DOCUMENTS


def test_what_is_no_object_is_a_problem_at_its_offset():
    documents = JsonDocuments()
    assert documents.feed(b'{"a":1}  ') == [b'{"a":1}']
    assert documents.feed(b" [1]") == []
    assert documents.problem == "unexpected character at offset 10"
    assert documents.feed(b'{"a":1}') == []


def test_a_document_that_is_too_long_is_a_problem_before_it_ends():
    documents = JsonDocuments(max_size=100)
    assert documents.feed(b'{"a":"' + b"x" * 93) == []
    assert documents.problem is None
    assert documents.feed(b"xx") == []
    assert documents.problem == "a document is longer than 100 bytes"


def test_a_whole_document_that_is_too_long_does_not_come_out():
    documents = JsonDocuments(max_size=10)
    assert documents.feed(b'{"a":1}{"a":"xxxxxxxxxxxx"}{"a":1}') == [b'{"a":1}']
    assert documents.problem == "a document is longer than 10 bytes"


def test_a_document_of_exactly_the_bound_comes_out():
    documents = JsonDocuments(max_size=7)
    assert documents.feed(b'{"a":1}   \n\n\n\n       {"a":1}') == [b'{"a":1}'] * 2


def test_blanks_without_end_cost_nothing():
    documents = JsonDocuments(max_size=100)
    for _ in range(1000):
        assert documents.feed(b" \r\n" * 100) == []
    assert documents.problem is None


def test_a_document_that_nests_too_deep_is_a_problem():
    documents = JsonDocuments(max_depth=4)
    assert documents.feed(b'{"a":[[[1]]]}') == [b'{"a":[[[1]]]}']
    assert documents.feed(b'{"a":[[[[1]]]]}') == []
    assert documents.problem == "nested deeper than 4 at offset 21"


TEXTS = st.text('ab"\\{}[]é\n', max_size=6)
OBJECTS = st.dictionaries(TEXTS, st.recursive(TEXTS, st.lists, max_leaves=4), max_size=3)


@given(
    st.lists(OBJECTS, max_size=4),
    st.booleans(),
    st.sampled_from([b"", b"\n", b"\r\n \t"]),
    st.lists(st.integers(1, 9), min_size=1),
)
def test_any_documents_come_apart_at_any_cuts(values, ascii_only, between, sizes):
    texts = [json.dumps(value, ensure_ascii=ascii_only).encode() for value in values]
    stream = between.join(texts)
    documents = JsonDocuments()
    found = []
    for size in itertools.cycle(sizes):
        if not stream:
            break
        found += documents.feed(stream[:size])
        stream = stream[size:]
    assert found == texts


@given(st.lists(st.binary() | st.text('{}[]":,\\abc01 \n').map(str.encode)))
def test_random_bytes_never_raise(chunks):
    documents = JsonDocuments(max_size=64, max_depth=5)
    for chunk in chunks:
        for document in documents.feed(chunk):
            assert document.startswith(b"{")
            assert len(document) <= 64
            assert isinstance(read_request(document), PawsRequest | Malformed | Broken)


MEMBERS = st.sampled_from(
    ["method", "resource", "headers", "params", "parameters", "body", "token", "status", "x"]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["get", "PUT", "/feeds/1"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.dictionaries(MEMBERS, VALUES))
def test_any_object_is_a_request_or_malformed_or_broken(message):
    text = json.dumps(message).encode()
    assert isinstance(read_request(text), PawsRequest | Malformed | Broken)
    with suppress(ValueError):
        assert isinstance(read_answer(text), PawsAnswer)


# -- requests


def test_a_request_has_all_its_members():
    request = read_request(
        b'{"method":"PUT","resource":"/feeds/1.json?a=b","headers":{"X-ApiKey":" KEY ","Depth":3},'
        b'"params":{"limit":5,"find_previous":true,"q":"x y","none":null},"parameters":{"limit":7,"r":1.5},'
        b'"body":{"version":"1.0.0", "id": 21.50},"token":"t-1","unknown":[1]}'
    )
    assert request == PawsRequest(
        method="put",
        resource="/feeds/1.json?a=b",
        headers={"x-apikey": "KEY", "depth": "3"},
        parameters=(("limit", "5"), ("r", "1.5"), ("find_previous", "true"), ("q", "x y")),
        options={"limit": 5, "r": 1.5, "find_previous": True, "q": "x y", "none": None},
        body=b'{"version":"1.0.0", "id": 21.50}',
        echo=b'"/feeds/1.json?a=b"',
        token=b'"t-1"',
    )


@pytest.mark.parametrize(
    "token", [b'"a\\/\\u00e9"', b"17", b"1.50", b"-0", b"true", b"false", b"null", b"1e5"]
)
def test_a_token_is_kept_to_the_byte(token):
    request = read_request(b'{"method":"get","resource":"\\/feeds\\/1","token":' + token + b"}")
    assert isinstance(request, PawsRequest)
    assert request.resource == "/feeds/1"
    assert write_answer(200, echo=request.echo, token=request.token) == (
        b'{"resource":"\\/feeds\\/1","token":' + token + b',"status":200}'
    )


def test_a_body_as_text_is_that_text():
    request = read_request(b'{"method":"post","resource":"/feeds","body":"{\\"title\\":\\"\\u00c4\\"}"}')
    assert isinstance(request, PawsRequest)
    assert request.body == '{"title":"Ä"}'.encode()


@pytest.mark.parametrize("method", ["get", "subscribe", "unsubscribe", "unsubsribe", "SUBSCRIBE"])
def test_a_body_that_means_nothing_is_ignored(method):
    text = json.dumps({"method": method, "resource": "/feeds/1", "body": {}, "params": {}}).encode()
    request = read_request(text)
    assert isinstance(request, PawsRequest)
    assert request.method == {"unsubsribe": "unsubscribe"}.get(method, method.lower())
    assert request.body is None


@pytest.mark.parametrize(
    ("text", "malformed"),
    [
        (b"{}", Malformed("resource must be a path such as /feeds/1")),
        (b'{"token":1}', Malformed("resource must be a path such as /feeds/1", b"", b"1")),
        (b'{"token":[1]}', Malformed("token must be a string, a number, true, false or null")),
        (b'{"resource":"/a","token":"t"}', Malformed("method must be a string", b'"/a"', b'"t"')),
        (b'{"resource":"/a","method":"patch"}', Malformed("unknown method 'patch'", b'"/a"')),
        (b'{"resource":"/a","method":"get","headers":[]}', Malformed("headers must be an object", b'"/a"')),
        (b'{"resource":"/a","method":"get","params":1}', Malformed("params must be an object", b'"/a"')),
        (
            b'{"resource":"/a","method":"get","params":{"a":[]}}',
            Malformed("parameter 'a' must be a string, a number or a boolean", b'"/a"'),
        ),
        (
            b'{"resource":"/a","method":"put","body":5}',
            Malformed("body must be an object, an array or a string", b'"/a"'),
        ),
    ],
)
def test_what_is_no_request_says_why_and_keeps_what_can_be_repeated(text, malformed):
    assert read_request(text) == malformed


@pytest.mark.parametrize(
    "text", [b'{"a":tru}', b'{"a":1]', b'{"a" 1}', b'{"a":"\xff"}', b'{"token":nul}', b"{,}"]
)
def test_what_is_not_json_is_broken(text):
    assert isinstance(read_request(text), Broken)


def test_an_error_reads_as_recorded():
    assert write_error(403, "You are not authorized", echo=b'"/feeds/7301"', token=b'"t-5"') == (
        b'{"body":"Forbidden: You are not authorized","resource":"/feeds/7301","token":"t-5","status":403}'
    )
    assert write_error(400, "unexpected character at offset 17", reason="Syntax Error") == (
        b'{"body":"Syntax Error: unexpected character at offset 17","status":400}'
    )


def test_a_body_of_several_lines_becomes_one():
    assert write_answer(200, body=b'{\n  "a": "\\n"\n}') == b'{"body":{"a":"\\n"},"status":200}'


# -- answers


def test_an_answer_has_all_its_members():
    assert read_answer(
        b'{"body":{"id":1, "x":1.50},"headers":{"CONTENT_TYPE":"a/b","AGE":7,"X":[]},"resource":"/feeds/1",'
        b'"token":"t","status":200,"skipped":2}'
    ) == PawsAnswer(200, "/feeds/1", "t", {"content-type": "a/b", "age": "7"}, b'{"id":1, "x":1.50}', 2)


def test_an_answer_may_have_nothing():
    assert read_answer(b"{}") == PawsAnswer(None, None, None, {}, b"", 0)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (b"null", b""),
        (b'""', b""),
        (b'"a,1\\n\\u00e9"', b"a,1\n\xc3\xa9"),
        (b"[1]", b"[1]"),
        (b'"{}"', b"{}"),
    ],
)
def test_a_body_is_what_http_would_have_carried(body, found):
    assert read_answer(b'{"body":' + body + b"}").body == found


def test_a_status_may_be_text_and_must_have_three_digits():
    assert read_answer(b'{"status":"404"}').status == 404
    for status in (b"true", b'"ok"', b"2", b"20000", b"[]"):
        with pytest.raises(ValueError, match="three digits"):
            read_answer(b'{"status":' + status + b"}")


def test_what_is_no_answer_says_why():
    for document in (b"[]", b"", b'{"a":', b'{"body":"\xff"}', b'{"token":tru}'):
        with pytest.raises(ValueError, match=r".+"):
            read_answer(document)
