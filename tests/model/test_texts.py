"""Which texts a hub keeps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txbridge.model.texts import are_values, is_datastream_id, is_login, is_text


@given(text=st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")))
def test_whatever_xml_can_carry_is_text(text):
    assert is_text(text + "\t\r\n\x7f\x85\u2028\U0010ffff")


@given(
    before=st.text(), wrong=st.sampled_from([*map(chr, range(9)), "\x0b", "\x0c", "\x1f", "\ud800", "\uffff"])
)
def test_what_xml_cannot_carry_is_none(before, wrong):
    assert not is_text(before + wrong)
    assert not are_values(["1", before + wrong])


def test_values_have_no_more_than_255_characters_and_may_be_blank():
    assert are_values(["", " ", "\U0010ffff" * 255])
    assert are_values([])
    assert not are_values(["1", "2" * 256])


@pytest.mark.parametrize(
    ("id", "can_be"), [("ü_-+.1", True), ("x" * 255, True), ("a b/ü", False), ("", False)]
)
def test_an_id_has_letters_digits_and_few_signs(id, can_be):
    assert is_datastream_id(id) is can_be
    assert not is_datastream_id("x" * 256)


@pytest.mark.parametrize(
    ("login", "can_be"), [("owner", True), ("o.-_1", True), ("o\n", False), ("\0", False), ("o" * 41, False)]
)
def test_a_login_is_short_and_plain(login, can_be):
    assert is_login(login) is can_be
