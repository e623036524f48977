"""What every decoder obeys."""

from __future__ import annotations

import itertools
import json
from contextlib import suppress
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from txbridge.codecs.limits import (
    CLIENT_LIMITS,
    DEFAULT_LIMITS,
    DecodeLimits,
    check_json_depth,
    count_openings,
    parse_xml,
)
from txbridge.errors import DecodeError

LAUGHS = b"""<?xml version="1.0"?>
<!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;&lol;">]>
<eeml><environment><title>&lol2;</title></environment></eeml>"""


def test_a_document_of_too_many_bytes_is_refused():
    with pytest.raises(DecodeError, match="1048577 bytes are more than the 1048576") as caught:
        DEFAULT_LIMITS.check("json", b" " * ((1 << 20) + 1), b",")
    assert not caught.value.invalid


def test_a_document_of_too_many_elements_is_refused():
    limits = DecodeLimits(elements=10)
    limits.check("csv", b"1,2\n" * 5, b",\n")
    with pytest.raises(DecodeError, match="12 elements are more than the 10"):
        limits.check("csv", b"1,2\n" * 6, b",\n")


def test_a_client_reads_more_than_a_server():
    assert CLIENT_LIMITS.document_bytes > DEFAULT_LIMITS.document_bytes == 1 << 20


@given(
    st.recursive(
        st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    )
)
def test_json_is_as_deep_as_its_nesting(value):
    def depth(inner: Any) -> int:
        items = inner.values() if isinstance(inner, dict) else inner
        return 0 if isinstance(inner, str) else 1 + max(map(depth, items), default=0)

    data = json.dumps(value).encode()
    check_json_depth(data, depth(value))
    if depth(value):
        with pytest.raises(DecodeError, match="nested deeper"):
            check_json_depth(data, depth(value) - 1)


def test_a_string_of_quotes_that_nobody_ends_is_looked_at_once():
    data = b'"' + b'\\"' * 300_000  # a look from each quote would take a quarter of an hour
    check_json_depth(data, 1)
    with pytest.raises(DecodeError):
        check_json_depth(data + b'"[[', 1)


@given(st.binary(max_size=60), st.sampled_from([1, 500]))
def test_openings_are_counted_in_small_and_in_large_documents(data, times):
    assert count_openings(data * times) == (data.count(b"[") + data.count(b"{")) * times


@pytest.mark.parametrize(
    "document",
    [
        LAUGHS,
        b'<!DOCTYPE eeml SYSTEM "file:///etc/passwd"><eeml/>',
        b'<!DOCTYPE eeml [<!ENTITY x SYSTEM "file:///etc/passwd">]><eeml>&x;</eeml>',
        b'<!DOCTYPE eeml [<!ENTITY % x SYSTEM "http://127.0.0.1:9/x.dtd">%x;]><eeml/>',
        b"\xef\xbb\xbf  <!DOCTYPE eeml><eeml/>",
    ],
)
def test_a_document_type_declaration_is_refused(document):
    with pytest.raises(DecodeError, match="document type declaration"):
        parse_xml(document, DEFAULT_LIMITS)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp037", "utf-7"])
def test_no_encoding_hides_a_document_type_declaration(encoding):
    document = LAUGHS.decode().replace("?>", f' encoding="{encoding}"?>', 1).encode(encoding)
    with pytest.raises(DecodeError):
        parse_xml(document, DEFAULT_LIMITS)


@pytest.mark.parametrize("encoding", ["UTF-8", "iso-8859-1", "Windows-1252"])
def test_the_usual_encodings_are_read(encoding):
    document = f'<?xml version="1.0" encoding="{encoding}"?><a>Böiler</a>'.encode(encoding)
    assert parse_xml(document, DEFAULT_LIMITS).text == "Böiler"


def test_an_unusual_encoding_is_refused_by_name():
    with pytest.raises(DecodeError, match="'utf-7' is not accepted"):
        parse_xml(b'<?xml version="1.0" encoding="utf-7"?><a/>', DEFAULT_LIMITS)


def test_a_byte_order_mark_and_white_space_around_are_taken_off():
    assert parse_xml(b"\xef\xbb\xbf\r\n<a>1</a>\r\n ", DEFAULT_LIMITS).text == "1"


def test_names_are_forgotten_with_their_document():
    def parse(times: int) -> None:
        for _ in range(times):
            number = next(numbers)
            names = "".join(f'<e{number}-{i}-of-a-stranger a{number}-{i}="" />' for i in range(15_000))
            parse_xml(f"<a>{names}</a>".encode(), DEFAULT_LIMITS)

    numbers = itertools.count()
    process = psutil.Process()
    parse(3)
    before = process.memory_info().rss
    parse(12)
    assert process.memory_info().rss - before < 4 << 20


@pytest.mark.parametrize("prefix", ["", "x:"])
def test_a_name_holds_no_copy_of_its_namespace(prefix):
    xmlns = f"xmlns{':' * bool(prefix)}{prefix.strip(':')}"
    document = f'<{prefix}a {xmlns}="{"n" * 1000}"><{prefix}b {prefix}c="1"/></{prefix}a>'
    root = parse_xml(document.encode(), DEFAULT_LIMITS)
    assert [root.tag, root[0].tag, root[0].attrib] == [f"{prefix}a", f"{prefix}b", {f"{prefix}c": "1"}]


def test_comments_and_processing_instructions_are_not_there():
    root = parse_xml(b"<a><!-- 1 --><?php 2 ?><b>3<!-- 4 -->5</b></a>", DEFAULT_LIMITS)
    assert [child.text for child in root] == ["35"]


@pytest.mark.parametrize("levels", [33, 300, 100_000])
def test_xml_that_nests_too_deep_is_refused(levels):
    with pytest.raises(DecodeError):
        parse_xml(b"<a>" * levels + b"</a>" * levels, DEFAULT_LIMITS)
    parse_xml(b"<a>" * 32 + b"</a>" * 32, DEFAULT_LIMITS)


def test_a_complaint_of_the_parser_says_where():
    with pytest.raises(DecodeError) as caught:
        parse_xml(b"<a>\n  <b></c>\n</a>", DEFAULT_LIMITS)
    assert caught.value.reason == "2:8: mismatched tag"
    assert not caught.value.invalid


@pytest.mark.parametrize(
    "document", [b"", b"   ", b"text", b"<a>&nbsp;</a>", b"<a>\x01</a>", b"<a>\xff</a>", b"<a\0/>"]
)
def test_what_is_not_well_formed_is_refused(document):
    with pytest.raises(DecodeError):
        parse_xml(document, DEFAULT_LIMITS)


@given(st.binary(max_size=80) | st.text(alphabet="<>/!?[]&;='\"ab xml", max_size=60).map(str.encode))
def test_no_bytes_raise_anything_else(data):
    with suppress(DecodeError):
        assert parse_xml(data, DEFAULT_LIMITS).tag
