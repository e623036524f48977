"""Runs of datapoints: taken whole or left alone, and never to any other result than the parser's."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from txbridge.codecs import eeml
from txbridge.codecs.eeml_runs import MARK, take_runs
from txbridge.codecs.limits import DecodeLimits
from txbridge.errors import DecodeError
from txbridge.model.structures import Datapoint, Datastream, Environment, EnvironmentList

POINT = '<value at="2013-06-03T09:00:00.000000Z">1</value>'
RUN = POINT * 40


def document(inside: str, before: str = "", root: str = "<eeml>") -> bytes:
    return f'{before}{root}<environment><data id="0">{inside}</data></environment></eeml>'.encode()


def points(inside: str) -> str:
    return f"<datapoints>{inside}</datapoints>"


def outcome(kind: type, data: bytes) -> object:
    try:
        return eeml.decode(kind, data)
    except DecodeError as error:
        return error.path, error.reason, error.invalid


PIECES = st.sampled_from(
    [
        RUN,
        f"\n  {POINT}" * 40,
        POINT * 31,
        points(RUN),
        '<value at="2013-06-03T09:00:00Z"> 2 </value>',
        '<value at="soon">3</value>',
        '<value at=""></value>',
        "<value at='x'>4</value>",
        '<value at="x"/>',
        "<value>5</value>",
        '<value at="x">6>7</value>',
        '<value at="x">6">7</value>',
        '<value at="x</value>',
        '<value at="x"y="z">8</value>',
        '<value at="x">9<a/></value>',
        '<value at="x">&amp;</value>',
        '<value at="x">é</value>',
        '<value at="x">\t</value>',
        '<value at="x">\r\n</value>',
        '<value at="x">\x01</value>',
        '<value at="x">\x02</value>',
        '<value at="&lt;">10</value>',
        '<value xmlns="other" at="x">11</value>',
        f'<datapoints {MARK}="0"/>',
        "<datapoints>",
        "</datapoints>",
        "</value>",
        "text",
        "&undefined;",
    ]
)


@given(
    st.lists(PIECES, max_size=5), st.booleans(), st.sampled_from([Environment, EnvironmentList, Datastream])
)
@example(['<value at="x</value>', '<value at="x">6">7</value>', RUN], True, Environment)
@example([RUN, "</datapoints>", "<datapoints>", RUN], True, Datastream)
def test_the_result_is_that_of_the_parser(pieces, wrapped, kind):
    inside = "".join(pieces)
    data = document(points(inside) if wrapped else inside)
    by_the_parser = data.replace(b"</eeml>", b"</eeml><!-- no runs are taken -->")
    assert take_runs(by_the_parser)[1] == []
    assert outcome(kind, data) == outcome(kind, by_the_parser)


@pytest.mark.parametrize("gap", ["", "\n", "\r\n\t  "])
@pytest.mark.parametrize(
    "root", ["<eeml>", '<eeml xmlns="http://www.eeml.org/xsd/0.5.1">', "<?xml version='1.0'?><eeml>"]
)
def test_a_run_is_taken_in_each_form_that_servers_write(gap, root):
    data = document(points(f"{gap}{POINT}" * 40 + gap), root=root)
    short, runs = take_runs(data)
    assert len(short) < 200
    assert [(len(ats), set(values)) for ats, values in runs] == [(40, {"1"})]
    assert len(eeml.decode(Environment, data).datastreams["0"].datapoints) == 40


def test_what_we_write_is_taken():
    feed = Environment()
    for name in ("a", "b"):
        feed.datastreams[name] = Datastream(id=name)
        for minute in range(40):
            feed.datastreams[name].add_datapoint(f"2013-06-03T09:{minute:02}:00Z", str(minute))
    data = eeml.encode(feed)
    assert len(take_runs(data)[1]) == 2
    assert eeml.decode(Environment, data) == feed


@pytest.mark.parametrize(
    "extra", ["<!-- a -->", "<![CDATA[a]]>", "<?a b?>", f"<a {MARK}='0'/>", f"<{MARK}/>"]
)
def test_a_document_in_which_a_tag_need_not_be_one_is_left_to_the_parser(extra):
    data = document(points(RUN) + extra)
    assert take_runs(data) == (data, [])


def test_a_run_in_a_comment_is_no_data():
    data = document(f"<!--{points(RUN)}-->{points(POINT)}")
    assert len(eeml.decode(Environment, data).datastreams["0"].datapoints) == 1


def test_one_point_is_not_read_out_of_many():
    with pytest.raises(DecodeError, match="found 40"):
        eeml.decode(Datapoint, document(points(RUN)))


def test_an_error_behind_a_run_has_its_place_in_the_whole_document():
    data = document(points(f"\n{POINT}" * 40) + "\n<broken")
    assert take_runs(data)[1]
    with pytest.raises(DecodeError, match=r"^xml: 42:"):
        eeml.decode(Environment, data)


def test_a_run_counts_against_the_limits():
    data = document(points(RUN))
    for limits in (
        DecodeLimits(elements=80),
        DecodeLimits(document_bytes=len(data) - 1),
        DecodeLimits(depth=4),
    ):
        with pytest.raises(DecodeError):
            eeml.decode(Environment, data, limits=limits)
    assert eeml.decode(Environment, data, limits=DecodeLimits(depth=5))
