"""What each known client sends, and what it needs to find in what we send.

The clients are old and will not be changed, so each oddity is held by a test of its own.

Source: the clients' own code and fixtures; Cosm API v2.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime

import pytest

from txbridge.codecs import cosm_csv, cosm_json, eeml
from txbridge.model.accounts import Key, Permission, Resource, Trigger
from txbridge.model.structures import (
    Datapoint,
    Datastream,
    Environment,
    EnvironmentList,
    Location,
    Unit,
    Waypoint,
)

AT = datetime(2013, 6, 3, 9, 15, 42, tzinfo=UTC)
PATTERN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def feed() -> Environment:
    """A feed as a server shows it, without what only some readers ask for."""
    return Environment(
        id=7301,
        title="Boiler room",
        private=False,
        website="http://house.example/boiler",
        tags=["boiler"],
        description="Flow and return",
        feed="http://127.0.0.1:8080/v2/feeds/7301.json",
        auto_feed_url="http://house.example/auto",
        status="live",
        updated=AT,
        created=AT,
        email="keeper@house.example",
        creator="http://127.0.0.1:8080/users/keeper",
        location=Location(
            name="cellar",
            exposure="indoor",
            domain="physical",
            disposition="mobile",
            lat=52.1,
            lon=-0.2,
            ele="23.0",
            waypoints=[Waypoint(at=AT, lat=52.0, lon=-0.1)],
        ),
        datastreams=[
            Datastream(
                id="flow_temp",
                current_value="22.0",
                at=AT,
                max_value="78.5",
                min_value="11.0",
                tags=["temperature"],
                unit=Unit(type="derivedSI", symbol="C", label="Celsius"),
                datapoints=[Datapoint(at=AT, value="21.4")],
            )
        ],
        product_id="p",
        device_serial="s",
    )


XIVELY_PYTHON = {
    "feed": "id title private website tags description feed auto_feed_url status updated created email "
    "creator version datastreams location product_id device_serial",
    "datastream": "id tags unit min_value max_value current_value at datapoints version",
    "datapoint": "at value",
    "location": "name domain exposure disposition lat lon ele waypoints",
    "waypoint": "at lat lon",
    "unit": "label type symbol",
    "trigger": "environment_id stream_id url trigger_type threshold_value id user notified_at",
    "key": "label permissions private_access expires_at api_key",
    "permission": "access_methods source_ip referer minimum_interval label resources",
    "resource": "feed_id datastream_id",
}


def only_known(kind: str, members: dict[str, object]) -> bool:
    return set(members) <= set(XIVELY_PYTHON[kind].split())


def test_xively_python_finds_no_member_it_does_not_know_in_a_feed():
    document = json.loads(cosm_json.encode(feed()))
    assert only_known("feed", document)
    stream = document["datastreams"][0]
    assert only_known("datastream", stream)
    assert only_known("datapoint", stream["datapoints"][0])
    assert only_known("unit", stream["unit"])
    assert only_known("location", document["location"])
    assert only_known("waypoint", document["location"]["waypoints"][0])


def test_xively_python_finds_no_member_it_does_not_know_in_triggers_and_keys():
    trigger = Trigger(
        id=31, url="http://x", trigger_type="gt", threshold_value="21.5", environment_id=7, stream_id="a"
    )
    assert only_known("trigger", json.loads(cosm_json.encode(trigger, notified_always=True)))
    permission = Permission(
        label="a", access_methods=["get"], resources=[Resource(feed_id=7, datastream_id="a")]
    )
    key = json.loads(
        cosm_json.encode(Key(api_key="k", label="a", private_access=True, permissions=[permission]))
    )
    assert only_known("key", key["key"])
    assert only_known("permission", key["key"]["permissions"][0])
    assert only_known("resource", key["key"]["permissions"][0]["resources"][0])


def test_xively_python_reads_timestamps_by_a_fixed_pattern():
    text = cosm_json.encode(feed()).decode() + cosm_json.encode(Trigger(notified_at=AT)).decode()
    stamps = re.findall(r'"(?:at|updated|created|notified_at)":"([^"]*)"', text)
    assert len(stamps) == 6
    assert all(PATTERN.fullmatch(stamp) for stamp in stamps)


def test_xively_python_sends_numbers_and_an_empty_location():
    body = (
        b'{"title": "Attic", "location": {}, "private": false,'
        b' "datastreams": [{"id": "a", "current_value": 20.0}]}'
    )
    expected = Environment(
        title="Attic",
        location=Location(),
        datastreams=[Datastream(id="a", current_value="20.0")],
        private=False,
        version=None,
    )
    assert cosm_json.decode(Environment, body) == expected


def test_txcosm_sends_its_own_version_in_place_of_the_format_s():
    body = b'{"datastreams": [{"id": "0", "current_value": "20"}], "version": [0, 1, 0]}'
    assert cosm_json.decode(Environment, body).version == "1.0.0"


def test_cosm_rb_sends_nulls_and_empty_arrays_in_a_key():
    body = (
        b'{"key":{"expires_at":null,"feed_id":null,"id":null,"key":null,"label":"panel","user":null,'
        b'"permissions":[{"referer":null,"source_ip":null,"label":null,"minimum_interval":null,'
        b'"access_methods":["GET","put"],"resources":[]}],"private_access":null}}'
    )
    expected = Key(label="panel", permissions=[Permission(access_methods=["get", "put"])])
    assert cosm_json.decode(Key, body) == expected


def test_cosm_rb_sends_the_feed_of_a_trigger_as_text():
    body = b'{"threshold_value":null,"url":"http://x","environment_id":"7301","stream_id":"0","trigger_type":"live"}'
    trigger = cosm_json.decode(Trigger, body)
    assert (trigger.environment_id, trigger.threshold_value) == (7301, None)


def test_cosm_rb_sends_empty_attributes_and_an_empty_location_in_xml():
    body = (
        b'<?xml version="1.0" encoding="UTF-8"?><eeml xmlns="http://www.eeml.org/xsd/0.5.1" version="0.5.1">'
        b'<environment updated="" created="" id="" creator=""><title>Attic</title><private>false</private>'
        b'<location disposition="" exposure="" domain=""><name/><lat/><lon/><ele/></location>'
        b'<data id="0"><current_value at="">1</current_value></data></environment></eeml>'
    )
    expected = Environment(title="Attic", private=False, datastreams=[Datastream(id="0", current_value="1")])
    assert eeml.decode(Environment, body) == expected


def test_python_eeml_sends_extremes_as_attributes_and_instants_without_a_zone():
    body = (
        b'<eeml xmlns="http://www.eeml.org/xsd/0.5.1" version="0.5.1">'
        b'<environment updated="2013-06-03T09:15:42">'
        b'<data id="0"><current_value at="2013-06-03T09:15:42" minValue="-5" maxValue="40">22</current_value>'
        b"</data></environment></eeml>"
    )
    stream = Datastream(id="0", current_value="22", at=AT, min_value="-5", max_value="40")
    assert eeml.decode(Environment, body) == Environment(updated=AT, datastreams=[stream])


@pytest.mark.parametrize(
    "envelope",
    ["<eeml>", '<eeml xmlns="http://nonsense.example/">', '<e:eeml xmlns:e="http://www.eeml.org/xsd/0.5.1">'],
)
def test_elements_are_known_by_their_local_names(envelope):
    name = re.split(r"[ >]", envelope[1:])[0]
    value = '<data id="0"><current_value>18.6</current_value></data>'
    body = f"{envelope}<environment>{value}</environment></{name}>".encode()
    assert eeml.decode(Environment, body).datastreams["0"].current_value == "18.6"


def test_sketches_for_version_1_send_eeml_005():
    body = (
        b'<?xml version="1.0"?><eeml xmlns="http://www.eeml.org/xsd/005" version="5"><environment>'
        b'<title>Attic</title><data id="0"><tag>t</tag><value minValue="11.0" maxValue="78.5">22.0</value>'
        b'<unit type="derivedSI" symbol="C">Celsius</unit></data></environment></eeml>'
    )
    stream = Datastream(
        id="0",
        current_value="22.0",
        min_value="11.0",
        max_value="78.5",
        tags=["t"],
        unit=Unit(type="derivedSI", symbol="C", label="Celsius"),
    )
    assert eeml.decode(Environment, body) == Environment(title="Attic", datastreams=[stream])


def test_sketches_for_version_1_send_json_of_0_6_alpha():
    body = (
        b'{"title":"Attic","version":"0.6-alpha","datastreams":[{"id":"0","values":[{"recorded_at":'
        b'"2013-06-03T09:15:42Z","value":"22.0","max_value":"78.5","min_value":"11.0"}]},'
        b'{"id":"1","values":{"value":7}}]}'
    )
    feed = cosm_json.decode(Environment, body)
    first = Datastream(id="0", current_value="22.0", at=AT, max_value="78.5", min_value="11.0")
    assert feed == Environment(title="Attic", datastreams=[first, Datastream(id="1", current_value="7")])


def test_libxively_scans_feed_rows_with_six_fraction_digits_and_a_final_newline():
    document = cosm_csv.encode(feed_of_current_values())
    assert document == b"a,2013-06-03T09:15:42.000000Z,1\nb,2013-06-03T09:15:42.000000Z,off\n"


def feed_of_current_values() -> Environment:
    streams = [
        Datastream(id="a", current_value="1", at=AT),
        Datastream(id="b", current_value="off", at=AT),
        Datastream(id="never_written"),
    ]
    return Environment(id=7301, datastreams=streams)


def test_libxively_creates_a_datastream_by_a_row():
    body = b"flow,2013-06-03T09:15:42.000000Z,22.0\n"
    expected = Environment(datastreams=[Datastream(id="flow", current_value="22.0", at=AT)])
    assert cosm_csv.decode(Environment, body) == expected


def test_arduino_ends_its_json_with_line_ends():
    body = (
        b'{\r\n"version":"1.0.0",\r\n"datastreams" : [\r\n{ "id" : "a", "current_value" : "1.50" } ]\r\n}\r\n'
    )
    assert cosm_json.decode(Environment, body).datastreams["a"].current_value == "1.50"


def test_sketches_look_for_a_current_value_in_compact_text():
    assert b'"current_value":"22.0"' in cosm_json.encode(feed())


def test_the_r_package_sends_and_reads_offsets_without_a_colon():
    rows = b"2013-06-03T10:15:42+0100,1\n2013-06-03T09:15:43+0000,2\n"
    points = cosm_csv.decode(Datastream, rows).datapoints
    assert [point.at for point in points] == [AT, AT.replace(second=43)]


def test_a_feed_that_spells_its_spaces_is_read():
    assert cosm_csv.decode(Environment, b"0,18.6\r\nhum, 44\r\n").datastreams["hum"].current_value == "44"


def test_xively_downloader_wants_histories_in_the_order_of_time():
    feed = Environment(datastreams=[Datastream(id="a"), Datastream(id="b")])
    feed.add_datapoint("a", AT, 1)
    feed.add_datapoint("a", AT.replace(second=50), 3)
    feed.add_datapoint("b", AT.replace(second=45), 2)
    rows = cosm_csv.encode(feed).decode().splitlines()
    assert [row.split(",")[0] + row[-1] for row in rows] == ["a1", "b2", "a3"]


def test_clients_index_the_results_of_an_empty_list():
    page = EnvironmentList(total_results=0, start_index=0, items_per_page=50)
    assert cosm_json.encode(page) == b'{"totalResults":0,"startIndex":0,"itemsPerPage":50,"results":[]}'


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"id":"7","totalResults":"2"}', Environment(id=7)),
        (b'{"tags":"a, b","private":true}', Environment(tags=["a", "b"], private=True)),
        (
            b'{"datastreams":[{"id":1,"current_value":2}]}',
            Environment(datastreams=[Datastream(id="1", current_value="2")]),
        ),
        (
            b'{"datastreams":[{"id":"a","unit":{},"datapoints":[]}]}',
            Environment(datastreams=[Datastream(id="a", unit=Unit())]),
        ),
        (b'{"updated":"2013-06-03T11:15:42.000+02:00"}', Environment(updated=AT)),
    ],
)
def test_unknown_servers_are_read_with_tolerance(body, expected):
    expected.version = None
    assert cosm_json.decode(Environment, body) == expected


def test_a_page_whose_counts_are_text_is_read():
    page = cosm_json.decode(EnvironmentList, b'{"totalResults":"2","startIndex":"0","results":[{"id":1}]}')
    assert page == EnvironmentList(total_results=2, start_index=0, feeds=[Environment(id=1, version=None)])


def test_the_service_s_own_empty_elements_are_read():
    body = (
        b'<eeml xmlns="http://www.eeml.org/xsd/0.5.1"><environment id="7"><title>Rain</title><icon/>'
        b"<location><name></name><lat/></location>"
        b'<data id="mm"><current_value at="2013-06-03T09:15:42.000000Z"/></data></environment></eeml>'
    )
    expected = Environment(id=7, title="Rain", icon="", datastreams=[Datastream(id="mm", at=AT)])
    assert eeml.decode(Environment, body) == expected


def test_the_service_s_csv_rows_without_a_value_are_read():
    feed = cosm_csv.decode(Environment, b"a,2013-06-03T09:15:42.000000Z,\nb,,")
    assert feed == Environment(datastreams=[Datastream(id="a", at=AT), Datastream(id="b")])
