"""The JSON codec: its laws, the documents of the service, and what its clients sent.

`test_both_ways_of_reading_give_the_same` is what allows documents to be read in two ways at all.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given, reject
from hypothesis import strategies as st

from tests.support import strategies
from txbridge.codecs import cosm_json
from txbridge.codecs.limits import DEFAULT_LIMITS, DecodeLimits
from txbridge.errors import DecodeError, EncodeError
from txbridge.model.accounts import (
    Key,
    KeyList,
    Permission,
    Resource,
    Trigger,
    TriggerList,
    User,
    UserList,
)
from txbridge.model.encoding import Structure
from txbridge.model.structures import (
    Datapoint,
    Datastream,
    Environment,
    EnvironmentList,
    Location,
    Unit,
    Waypoint,
)

KINDS = sorted(cosm_json._READERS, key=lambda kind: kind.__name__)
NOON = datetime(2013, 6, 3, 12, tzinfo=UTC)


def tolerantly(kind: Any, data: bytes) -> Any:
    """Read without msgspec, which has to make no difference."""
    return cosm_json._READERS[kind](cosm_json._parse(data, DEFAULT_LIMITS), "")


def outcome(read: Any, kind: Any, data: bytes) -> Any:
    try:
        return read(kind, data)
    except DecodeError as error:
        return error.path, error.reason, error.invalid


def refusal(kind: Any, document: bytes | str, **options: Any) -> DecodeError:
    data = document if isinstance(document, bytes) else document.encode()
    with pytest.raises(DecodeError) as caught:
        cosm_json.decode(kind, data, **options)
    assert caught.value.format == "json"
    return caught.value


# ---------------------------------------------------------------------------------------- laws


@given(strategies.documents())
def test_what_is_written_is_read_back_the_same(structure):
    assert cosm_json.decode(type(structure), cosm_json.encode(structure)) == structure


@given(strategies.documents(), st.integers(-23, 23))
def test_the_zone_changes_how_instants_look_and_not_what_they_are(structure, hours):
    zone = timezone(timedelta(hours=hours))
    try:
        shown = cosm_json.encode(structure, zone=zone)
    except EncodeError:
        reject()  # the first and the last day of the calendar
    assert cosm_json.decode(type(structure), shown) == structure


@given(st.sampled_from(KINDS), strategies.json_values())
@example(Datastream, {"at": "2013-06-03T09:15:42.1234567Z"})
@example(Datastream, {"values": {"value": 1}})
@example(Datastream, {"datapoints": [{"at": "2013-06-03T09:15:42.9999999Z", "value": "1"}]})
@example(Environment, {"datastreams": [{"id": "a"}, {"id": "a"}]})
@example(Environment, {"id": 10**20})
@example(Environment, {"location": {"lat": 1, "waypoints": [{"at": "2013-06-03T09:15:42", "lat": 5}]}})
def test_both_ways_of_reading_give_the_same(kind, value):
    data = json.dumps(value).encode()
    assert outcome(cosm_json.decode, kind, data) == outcome(tolerantly, kind, data)


@given(strategies.documents(), st.data())
def test_a_damaged_document_is_read_the_same_both_ways_or_refused_by_both(structure, data):
    whole = cosm_json.encode(structure)
    start = data.draw(st.integers(0, len(whole)))
    stop = data.draw(st.integers(start, min(len(whole), start + 4)))
    put = data.draw(st.binary(max_size=3) | st.sampled_from([b"null", b"{}", b"[]", b"1", b'""']))
    damaged = whole[:start] + put + whole[stop:]
    try:
        fast = cosm_json.decode(type(structure), damaged)
    except DecodeError:
        fast = None
    try:
        slow = tolerantly(type(structure), damaged.removeprefix(b"\xef\xbb\xbf"))
    except DecodeError:
        slow = None
    assert fast == slow


@given(st.sampled_from(KINDS), st.binary(max_size=200))
def test_arbitrary_bytes_are_at_worst_refused(kind, data):
    found = outcome(cosm_json.decode, kind, data)
    assert isinstance(found, kind) or found[1]


@pytest.mark.parametrize("kind", [Environment, EnvironmentList, Datastream])
def test_documents_as_we_write_them_take_the_fast_way(kind):
    stream = Datastream(id="a", current_value="1", at=NOON, datapoints=[Datapoint(at=NOON, value="1")] * 500)
    feed = Environment(id=1, title="Attic", private=True, updated=NOON, datastreams=[stream])
    whole = {Environment: feed, EnvironmentList: EnvironmentList(feeds=[feed]), Datastream: stream}[kind]
    assert cosm_json._FAST[kind](cosm_json.encode(whole), DEFAULT_LIMITS) == whole


# ------------------------------------------------------------------------- documents of the service

FEED = Environment(
    id=7301,
    title="Boiler room",
    private=False,
    website="http://house.example/boiler",
    tags=["boiler", "heating"],
    description="Flow and return of the gas boiler",
    feed="http://127.0.0.1:8080/v2/feeds/7301.json",
    status="live",
    updated="2013-06-03T09:15:41.9Z",
    created="2013-01-09T18:02:11.004512Z",
    email="keeper@house.example",
    creator="http://127.0.0.1:8080/users/keeper",
    datastreams=[
        Datastream(
            id="flow_temp",
            current_value="22.0",
            at="2013-06-03T09:15:41.9Z",
            max_value="78.5",
            min_value="11.0",
            tags=["temperature"],
            unit=Unit(type="derivedSI", symbol="C", label="Celsius"),
        ),
        Datastream(id="pump", current_value="off", at="2013-06-03T08:59:00Z"),
        Datastream(id="never_written"),
    ],
    location=Location(
        name="cellar",
        exposure="indoor",
        domain="physical",
        disposition="fixed",
        ele="23.0",
        lat=52.1,
        lon=-0.2,
    ),
)
FEED_JSON = (
    '{"id":7301,"title":"Boiler room","private":"false","website":"http://house.example/boiler",'
    '"tags":["boiler","heating"],"description":"Flow and return of the gas boiler",'
    '"feed":"http://127.0.0.1:8080/v2/feeds/7301.json","status":"live",'
    '"updated":"2013-06-03T09:15:41.900000Z","created":"2013-01-09T18:02:11.004512Z",'
    '"email":"keeper@house.example","creator":"http://127.0.0.1:8080/users/keeper","version":"1.0.0",'
    '"datastreams":[{"id":"flow_temp","current_value":"22.0","at":"2013-06-03T09:15:41.900000Z",'
    '"max_value":"78.5","min_value":"11.0","tags":["temperature"],'
    '"unit":{"type":"derivedSI","symbol":"C","label":"Celsius"}},'
    '{"id":"pump","current_value":"off","at":"2013-06-03T08:59:00.000000Z"},{"id":"never_written"}],'
    '"location":{"name":"cellar","exposure":"indoor","domain":"physical","disposition":"fixed",'
    '"ele":"23.0","lat":52.1,"lon":-0.2}}'
)
KEY = Key(
    api_key="k7Q",
    label="display panel",
    private_access=True,
    permissions=[
        Permission(
            label="read boiler",
            access_methods=["get"],
            source_ip="127.0.0.1",
            referer="www.house.example",
            minimum_interval=60,
            resources=[Resource(feed_id=7301, datastream_id="flow_temp")],
        )
    ],
)
KEY_MEMBERS = (
    '{"api_key":"k7Q","label":"display panel","private_access":true,"permissions":['
    '{"label":"read boiler","access_methods":["get"],"source_ip":"127.0.0.1",'
    '"referer":"www.house.example","minimum_interval":60,'
    '"resources":[{"feed_id":7301,"datastream_id":"flow_temp"}]}]}'
)
TRIGGER = Trigger(
    id=31,
    url="http://127.0.0.1:9999/hook",
    trigger_type="gt",
    threshold_value="21.5",
    notified_at="2013-06-03T09:15:42.25Z",
    user="keeper",
    environment_id=7301,
    stream_id="flow_temp",
)
TRIGGER_JSON = (
    '{"id":31,"url":"http://127.0.0.1:9999/hook","trigger_type":"gt","threshold_value":"21.5",'
    '"notified_at":"2013-06-03T09:15:42.250000Z","user":"keeper","environment_id":7301,'
    '"stream_id":"flow_temp"}'
)
USER = User(
    login="keeper",
    email="keeper@house.example",
    full_name="K. Eeper",
    organisation="",
    time_zone="London",
    roles=["user"],
    deliver_email=True,
    receive_forum_notifications=False,
    datastreams_count=3,
    datastreams_allowed=100,
    daily_api_access_count=12,
    api_key="k7Q",
)
USER_JSON = (
    '{"user":{"login":"keeper","email":"keeper@house.example","full_name":"K. Eeper","organisation":"",'
    '"time_zone":"London","roles":["user"],"deliver_email":true,"receive_forum_notifications":false,'
    '"datastreams_count":3,"datastreams_allowed":100,"daily_api_access_count":12,"api_key":"k7Q"}}'
)
POINT_JSON = '{"at":"2013-06-03T09:00:00.000000Z","value":"294"}'


@pytest.mark.parametrize(
    ("structure", "text"),
    [
        (FEED, FEED_JSON),
        (
            EnvironmentList(total_results=1, start_index=0, items_per_page=50, feeds=[FEED]),
            f'{{"totalResults":1,"startIndex":0,"itemsPerPage":50,"results":[{FEED_JSON}]}}',
        ),
        (
            EnvironmentList(total_results=0, start_index=0, items_per_page=50),
            '{"totalResults":0,"startIndex":0,"itemsPerPage":50,"results":[]}',
        ),
        (Environment(user=User(login="keeper")), '{"user":{"login":"keeper"},"version":"1.0.0"}'),
        (Datapoint(at="2013-06-03T09:00:00Z", value="294"), POINT_JSON),
        (
            Datastream(
                id="a",
                datapoints_function="average",
                datapoints=[
                    Datapoint(at="2013-06-03T09:00:00Z", value="294"),
                    Datapoint(at="2013-06-03T09:00:00.25Z", value="295"),
                    Datapoint(value="0"),
                ],
            ),
            (
                f'{{"id":"a","datapoints_function":"average","datapoints":[{POINT_JSON},'
                '{"at":"2013-06-03T09:00:00.250000Z","value":"295"},{"value":"0"}]}'
            ),
        ),
        (TRIGGER, TRIGGER_JSON),
        (TriggerList(triggers=[TRIGGER, TRIGGER]), f"[{TRIGGER_JSON},{TRIGGER_JSON}]"),
        (TriggerList(), "[]"),
        (KEY, f'{{"key":{KEY_MEMBERS}}}'),
        (KeyList(keys=[KEY]), f'{{"keys":[{KEY_MEMBERS}]}}'),
        (USER, USER_JSON),
        (UserList(users=[USER, USER]), f"[{USER_JSON},{USER_JSON}]"),
        (
            Location(disposition="mobile", waypoints=[Waypoint(at=NOON, lat=0.0, lon=-0.5, ele="9")]),
            (
                '{"disposition":"mobile","waypoints":[{"at":"2013-06-03T12:00:00.000000Z","lat":0.0,"lon":-0.5,'
                '"ele":"9"}]}'
            ),
        ),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_documents_are_written_as_the_service_wrote_them_and_read_back(structure, text):
    assert cosm_json.encode(structure).decode() == text
    assert cosm_json.decode(type(structure), text.encode()) == structure


def test_only_none_is_left_out():
    assert cosm_json.encode(Datapoint(value=0)) == b'{"value":"0"}'
    feed = Environment(private=False, description="", tags=[], version=None)
    assert cosm_json.encode(feed) == b'{"private":"false","tags":[],"description":""}'


def test_text_is_utf_8_and_a_slash_stands_as_it_is():
    assert cosm_json.encode(Unit(symbol="°C/\u2028\U0001f321")) == '{"symbol":"°C/\u2028\U0001f321"}'.encode()


def test_a_datastream_that_is_the_whole_document_says_its_version_last():
    stream = Datastream(id="a", datapoints=[Datapoint(value="1")])
    text = b'{"id":"a","datapoints":[{"value":"1"}],"version":"1.0.0"}'
    assert cosm_json.encode(stream, versioned=True) == text
    assert cosm_json.decode(Datastream, text) == stream
    assert b"version" not in cosm_json.encode(TRIGGER, versioned=True)


def test_a_trigger_that_never_fired_can_say_so():
    never = Trigger(id=31)
    assert cosm_json.encode(never) == b'{"id":31}'
    assert cosm_json.encode(never, notified_always=True) == b'{"id":31,"notified_at":""}'
    assert cosm_json.encode(TriggerList(triggers=[never]), notified_always=True) == (
        b'[{"id":31,"notified_at":""}]'
    )
    assert cosm_json.decode(Trigger, b'{"id":31,"notified_at":""}') == never


def test_a_zone_shows_in_every_instant():
    zone = timezone(timedelta(hours=-3, minutes=-30))
    stream = Datastream(id="a", at=NOON, datapoints=[Datapoint(at=NOON, value="1")])
    assert cosm_json.encode(Environment(updated=NOON, version=None, datastreams=[stream]), zone=zone) == (
        b'{"updated":"2013-06-03T08:30:00.000000-03:30","datastreams":[{"id":"a",'
        b'"at":"2013-06-03T08:30:00.000000-03:30",'
        b'"datapoints":[{"at":"2013-06-03T08:30:00.000000-03:30","value":"1"}]}]}'
    )


@pytest.mark.parametrize(
    "microseconds", [[0, 0], [1, 0], [0, 250000], [123456, 999999]], ids=lambda given: str(given)
)
def test_every_instant_of_a_history_has_six_fraction_digits(microseconds):
    """xively-python reads them with one fixed pattern."""
    points = [Datapoint(at=NOON.replace(microsecond=one), value="Z\"Z',") for one in microseconds]
    written = json.loads(cosm_json.encode(Datastream(datapoints=points)))["datapoints"]
    assert [point["at"] for point in written] == [f"2013-06-03T12:00:00.{one:06}Z" for one in microseconds]
    assert {point["value"] for point in written} == {"Z\"Z',"}


def test_a_datastream_without_an_id_of_its_own_has_the_name_it_stands_under():
    feed = Environment(version=None)
    feed.datastreams["a"] = Datastream(current_value="1")
    assert cosm_json.encode(feed) == b'{"datastreams":[{"id":"a","current_value":"1"}]}'


@pytest.mark.parametrize(
    ("structure", "path"),
    [
        (Datapoint(value="\ud800"), "value"),
        (Datastream(datapoints=[Datapoint(), Datapoint(value="\udfff")]), "datapoints[1].value"),
        (
            EnvironmentList(feeds=[Environment(datastreams=[Datastream(id="a", tags=["b", "\ud800"])])]),
            "results[0].datastreams[0].tags[1]",
        ),
        (
            Environment(datastreams=[Datastream(id="a", datapoints=[Datapoint(value="\ud800")])]),
            "datastreams[0].datapoints[0].value",
        ),
        (Key(label="\ud800"), "key.label"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_half_a_surrogate_pair_is_refused_by_place(structure, path):
    with pytest.raises(EncodeError) as caught:
        cosm_json.encode(structure)
    assert (caught.value.format, caught.value.path) == ("json", path)
    assert "surrogate" in caught.value.reason


# ------------------------------------------------------------------------------- what clients send


def test_a_byte_order_mark_and_white_space_around_are_no_matter():
    assert cosm_json.decode(Datapoint, b'\xef\xbb\xbf \r\n{"value":"1"}\r\n') == Datapoint(value="1")


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("20", "20"),
        ("20.0", "20.0"),
        ("-0", "-0"),
        ("1E+05", "1E+05"),
        ("0.10000000000000000555", "0.10000000000000000555"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("1e400", "1e400"),
        ("true", "true"),
        ("false", "false"),
        ('"007"', "007"),
        ('"JEBEL ALI"', "JEBEL ALI"),
        ('""', ""),
    ],
)
def test_a_value_keeps_the_text_it_came_as(written, text):
    document = (
        f'{{"datastreams":[{{"id":"a","current_value":{written},"datapoints":[{{"value":{written}}}]}}]}}'
    )
    stream = cosm_json.decode(Environment, document.encode()).datastreams["a"]
    assert stream.current_value == text
    assert stream.datapoints == [Datapoint(value=text)]
    assert type(stream.current_value) is str
    assert cosm_json.decode(Datapoint, f'{{"value":{written}}}'.encode()).value == text


def test_nulls_and_unknown_members_are_not_there():
    document = b'{"id":null,"title":null,"tags":null,"location":null,"datastreams":null,"colour":{"a":[1]}}'
    assert cosm_json.decode(Environment, document) == Environment(version=None)
    document = b'{"id":"a","tags":null,"unit":null,"datapoints":null,"at":null,"colour":[{}]}'
    assert cosm_json.decode(Datastream, document) == Datastream(id="a")


def test_members_of_another_type_are_understood():
    """Rules for a client that reads from servers it does not know."""
    page = cosm_json.decode(
        EnvironmentList,
        b'{"totalResults":"2","startIndex":0,"itemsPerPage":"50","results":[{"id":"7301","title":7,'
        b'"private":true,"tags":"boiler, heating","datastreams":[{"id":3,"current_value":20.0,"unit":{},'
        b'"datapoints":[]}],"location":{"lat":"51.21","lon":"4.41","ele":9}}]}',
    )
    assert page == EnvironmentList(
        total_results=2,
        start_index=0,
        items_per_page=50,
        feeds=[
            Environment(
                id=7301,
                title="7",
                private=True,
                tags=["boiler", "heating"],
                version=None,
                datastreams=[Datastream(id="3", current_value="20.0", unit=Unit())],
                location=Location(lat=51.21, lon=4.41, ele="9"),
            )
        ],
    )


@pytest.mark.parametrize(
    ("written", "private"), [("true", True), ('"FALSE"', False), ("1", True), ('"0"', False), ('""', None)]
)
def test_private_is_a_boolean_a_number_or_a_word(written, private):
    assert cosm_json.decode(Environment, f'{{"private":{written}}}'.encode()).private is private


@pytest.mark.parametrize(
    ("written", "instant"),
    [
        ("2013-06-03T12:00:00Z", NOON),
        ("2013-06-03T12:00:00", NOON),
        ("2013-06-03 12:00:00", NOON),
        ("2013-06-03T14:00:00+0200", NOON),
        ("2013-06-03T08:30:00-03:30", NOON),
        ("2013-06-03T12:00:00.5Z", NOON.replace(microsecond=500000)),
        ("2013-06-03T12:00:00.999999999Z", NOON.replace(microsecond=999999)),
        ("", None),
    ],
)
def test_instants_come_in_every_form_and_are_held_in_utc(written, instant):
    document = json.dumps({"datastreams": [{"id": "a", "at": written, "datapoints": [{"at": written}]}]})
    stream = cosm_json.decode(Environment, document.encode()).datastreams["a"]
    assert (stream.at, stream.datapoints[0].at) == (instant, instant)
    assert {at.tzinfo for at in (stream.at, stream.datapoints[0].at) if at is not None} <= {UTC}


def test_the_version_that_txcosm_sends_means_nothing():
    document = b'{"version":[0,1,0],"title":"Attic"}'
    assert cosm_json.decode(Environment, document) == Environment(title="Attic", version="1.0.0")


@pytest.mark.parametrize("version", ["0.6-alpha", "0.6"])
@pytest.mark.parametrize("many", [True, False])
def test_the_old_json_has_its_values_one_level_deeper(version, many):
    values = {"recorded_at": "2013-06-03T12:00:00Z", "value": 22, "max_value": "78.5", "min_value": "11.0"}
    document = {"version": version, "datastreams": [{"id": "0", "values": [values] if many else values}]}
    assert cosm_json.decode(Environment, json.dumps(document).encode()) == Environment(
        datastreams=[Datastream(id="0", current_value="22", at=NOON, max_value="78.5", min_value="11.0")]
    )


def test_a_datastream_may_be_wrapped_in_a_feed_that_holds_only_it():
    document = '{{"version":"1.0.0","datastreams":[{}]}}'
    wrapped = document.format('{"id":"humidity","current_value":44}').encode()
    assert cosm_json.decode(Datastream, wrapped) == Datastream(id="humidity", current_value="44")
    for others in ("", '{"id":"a"},{"id":"b"}'):
        error = refusal(Datastream, document.format(others))
        assert error.path == "datastreams"
        assert "exactly one" in error.reason


def test_points_are_carried_by_a_datastream_without_an_id():
    document = b'{"datapoints":[{"at":"2013-06-03T12:00:00Z","value":"294"},{"value":295}]}'
    assert cosm_json.decode(Datastream, document) == Datastream(
        datapoints=[Datapoint(at=NOON, value="294"), Datapoint(value="295")]
    )


@pytest.mark.parametrize("document", ['{"label":"a"}', '{"key":{"label":"a","id":5}}'])
def test_a_key_comes_with_and_without_its_wrapper(document):
    assert cosm_json.decode(Key, document.encode()) == Key(label="a")
    for listed in (f'{{"keys":[{document}]}}', f"[{document}]"):
        assert cosm_json.decode(KeyList, listed.encode()) == KeyList(keys=[Key(label="a")])


def test_what_xively_rb_sends_for_a_key_and_a_trigger_is_understood():
    key = b'{"key":{"label":"a","expires_at":null,"permissions":[{"access_methods":["GET"],"resources":[]}]}}'
    assert cosm_json.decode(Key, key) == Key(label="a", permissions=[Permission(access_methods=["get"])])
    trigger = b'{"environment_id":"7301","threshold_value":15.0,"stream_id":0}'
    assert cosm_json.decode(Trigger, trigger) == Trigger(
        environment_id=7301, threshold_value="15.0", stream_id="0"
    )


@pytest.mark.parametrize("document", ['{"login":"a"}', '{"user":{"login":"a"}}'])
def test_a_user_comes_with_and_without_its_wrapper(document):
    assert cosm_json.decode(User, document.encode()) == User(login="a")
    for listed in (f'{{"users":[{document}]}}', f"[{document}]"):
        assert cosm_json.decode(UserList, listed.encode()) == UserList(users=[User(login="a")])


def test_an_empty_location_is_a_location():
    """xively-python sends it with every new feed."""
    assert cosm_json.decode(Environment, b'{"location":{}}').location == Location()


# -------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("kind", "document", "path", "reason", "invalid"),
    [
        (Environment, "[]", "", "must be an object", False),
        (Environment, '"text"', "", "must be an object", False),
        (TriggerList, "5", "", "must be an array", False),
        (Environment, '{"datastreams":{"a":1}}', "datastreams", "datastreams must be an array", False),
        (Environment, '{"datastreams":"a"}', "datastreams", "datastreams must be an array", False),
        (Environment, '{"datastreams":[5]}', "datastreams[0]", "must be an object", True),
        (Environment, '{"datastreams":[{"id":"a"},{"id":"a"}]}', "datastreams[1].id", "second", True),
        (Environment, '{"datastreams":[{"current_value":1}]}', "datastreams[0].id", "needs an id", True),
        (
            Environment,
            '{"datastreams":[{"id":"a"},{"id":"b","at":"yesterday"}]}',
            "datastreams[1].at",
            "ISO 8601",
            True,
        ),
        (
            Environment,
            '{"datastreams":[{"id":"a","datapoints":[{"value":1},{"at":"12:00"}]}]}',
            "datastreams[0].datapoints[1].at",
            "ISO 8601",
            True,
        ),
        (Datastream, '{"at":1370250941}', "at", "ISO 8601", True),
        (Datastream, '{"at":"0001-01-01T00:00:00+01:00"}', "at", "ISO 8601", True),
        (Datastream, '{"current_value":[1]}', "current_value", "text or a number", True),
        (Datastream, '{"datapoints":{"at":"x"}}', "datapoints", "must be an array", True),
        (Datastream, '{"unit":"C"}', "unit", "must be an object", True),
        (Datastream, '{"id":"\\ud800"}', "id", "surrogate", True),
        (Environment, '{"location":{"lat":"north"}}', "location.lat", "north", True),
        (Environment, '{"location":{"lat":1e999}}', "location.lat", "1e999", True),
        (Environment, '{"private":"perhaps"}', "private", "perhaps", True),
        (Environment, '{"id":7.5}', "id", "whole number", True),
        (Environment, '{"updated":"soon"}', "updated", "ISO 8601", True),
        (EnvironmentList, '{"results":[{"id":1},{"id":"x"}]}', "results[1].id", "whole number", True),
        (
            Key,
            '{"key":{"permissions":[{"resources":"[{feed_id:1}]"}]}}',
            "key.permissions[0].resources",
            "must be an array",
            True,
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_place(kind, document, path, reason, invalid):
    error = refusal(kind, document)
    assert (error.path, error.invalid) == (path, invalid)
    assert reason in error.reason


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (b"", "line 1 column 1"),
        (b'{"a":\n1,}', "line 2 column"),
        (b'{"value":NaN}', "NaN"),
        (b'{"value":-Infinity}', "Infinity"),
        (b'{"value":"\xff"}', "not UTF-8: byte 10"),
        (b'{"value":"\xed\xa0\x80"}', "not UTF-8"),
        (b'{"value":"a\nb"}', "control character"),
        (b"{} {}", "line 1 column 4"),
        (b"{'value':1}", "line 1 column 2"),
    ],
)
@pytest.mark.parametrize("kind", [Datapoint, Datastream])
def test_what_is_not_json_is_refused_with_its_line_and_column(kind, document, reason):
    error = refusal(kind, document)
    assert (error.path, error.invalid) == ("", False)
    assert reason in error.reason


@pytest.mark.parametrize("kind", [Environment, Datastream, Key])
@pytest.mark.parametrize("member", ["unknown", "datastreams", "datapoints", "permissions"])
def test_deep_nesting_is_refused_before_anything_recurses(kind, member):
    for opened, closed in (("[", "]"), ('{"a":', "}")):
        for levels in (32, 500, 100_000):
            document = f'{{"{member}":{opened * levels}1{closed * levels}}}'
            assert "deeper than 32 levels" in refusal(kind, document).reason


def test_brackets_inside_text_are_not_nesting():
    document = '{"current_value":"' + "[" * 200 + '","tags":["' + "{" * 200 + '\\"["]}'
    assert cosm_json.decode(Datastream, document.encode()).tags == ["{" * 200 + '"[']


def test_nesting_does_not_hide_behind_brackets_in_text():
    inner = '{"x":' + '["]",' * 40 + '"[["' + "]" * 40 + "}"
    document = '{"datapoints":[{"value":"[","unknown":' + inner + "}]}"
    assert "deeper than 32 levels" in refusal(Datastream, document).reason


def test_a_document_of_too_many_bytes_or_elements_is_refused():
    limits = DecodeLimits(document_bytes=1000, elements=20)
    points = ",".join(['{"value":"1"}'] * 30)
    assert "elements" in refusal(Datastream, f'{{"datapoints":[{points}]}}', limits=limits).reason
    assert "1000" in refusal(Datastream, '{"id":"' + "a" * 1000 + '"}', limits=limits).reason


def test_a_number_of_a_million_digits_is_text_like_any_other():
    digits = "1" * 1_000_000
    assert cosm_json.decode(Datapoint, f'{{"value":{digits}}}'.encode()).value == digits
    error = refusal(Environment, f'{{"id":{digits}}}')
    assert error.path == "id"
    assert len(error.reason) < 200


@pytest.mark.parametrize("member", ["private", "id", "updated"])
def test_a_refusal_does_not_repeat_a_long_text(member):
    error = refusal(Environment, f'{{"{member}":"{"x" * 5000}"}}')
    assert len(error.reason) < 200


def test_a_structure_of_another_kind_is_refused():
    with pytest.raises(EncodeError, match="no JSON form"):
        cosm_json.encode(Structure())
    with pytest.raises(DecodeError, match="no JSON form"):
        cosm_json.decode(Structure, b"{}")


class Celsius(str):
    """Text as a library of units might hold it."""


def test_members_of_libraries_own_types_are_written_as_what_they_are():
    class Stamp(datetime):
        """As pandas has one."""

    at = Stamp(2013, 6, 3, 12, tzinfo=UTC)
    stream = Datastream(id=Celsius("a"), at=at, unit=Unit(symbol=Celsius("C")))
    stream.add_datapoint(at, Celsius("21"))
    assert cosm_json.encode(stream) == (
        b'{"id":"a","at":"2013-06-03T12:00:00.000000Z","unit":{"symbol":"C"},'
        b'"datapoints":[{"at":"2013-06-03T12:00:00.000000Z","value":"21"}]}'
    )


def test_what_json_has_no_form_for_is_refused():
    feed = Environment(title="Attic")
    feed.title = 1j  # type: ignore[assignment]  # the point of this test
    with pytest.raises(EncodeError, match="complex"):
        cosm_json.encode(feed)


def test_version_1_has_each_value_in_values_with_whole_seconds():
    """As xively-rb writes 0.6-alpha: exactly one element, whether there is a value or not."""
    when = datetime(2013, 6, 3, 9, 15, 41, 900000, tzinfo=UTC)
    streams = [
        Datastream(
            id="0", current_value="22.0", at=when, max_value="78.5", min_value="11.0", tags=["temperature"]
        ),
        Datastream(id="1"),
    ]
    feed = Environment(id=7, updated=when, version="0.6-alpha", datastreams=streams)
    assert json.loads(cosm_json.encode(feed, legacy=True)) == {
        "id": 7,
        "updated": "2013-06-03T09:15:41Z",
        "version": "0.6-alpha",
        "datastreams": [
            {
                "id": "0",
                "values": [
                    {
                        "recorded_at": "2013-06-03T09:15:41Z",
                        "value": "22.0",
                        "max_value": "78.5",
                        "min_value": "11.0",
                    }
                ],
                "tags": ["temperature"],
            },
            {"id": "1", "values": [{}]},
        ],
    }
    alone = json.loads(
        cosm_json.encode(streams[0], legacy=True, versioned=True, zone=timezone(timedelta(hours=2)))
    )
    assert alone["version"] == "0.6-alpha"
    assert alone["values"][0]["recorded_at"] == "2013-06-03T11:15:41+02:00"
    again = cosm_json.decode(Environment, cosm_json.encode(feed, legacy=True))
    assert again.datastreams["0"].current_value == "22.0"
    assert again.datastreams["0"].at == when.replace(microsecond=0)
