"""What each verb asks, and how it reads the answer."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from txbridge.cosm import operations as verbs
from txbridge.errors import DecodeError, EncodeError, NotFound, RemoteProtocolError
from txbridge.model.accounts import Key, KeyList, Permission, Trigger, TriggerList, User, UserList
from txbridge.model.structures import Datapoint, Datastream, Environment, EnvironmentList, Location
from txbridge.net.operation import Answer, rejection

AT = datetime(2013, 6, 3, 9, 15, 41, 900000, tzinfo=UTC)
TS = "2013-06-03T09:15:41.900000Z"
JSON = "application/json"

READS = [
    (verbs.list_feeds(), "list_feeds", "feeds.json"),
    (verbs.read_feed(7), "read_feed", "feeds/7.json"),
    (verbs.read_datastream(7, "room.1"), "read_datastream", "feeds/7/datastreams/room.1.json"),
    (verbs.read_datapoint("7", "a", AT), "read_datapoint", f"feeds/7/datastreams/a/datapoints/{TS}.json"),
    (verbs.list_triggers(), "list_triggers", "triggers.json"),
    (verbs.read_trigger(31), "read_trigger", "triggers/31.json"),
    (verbs.list_users(), "list_users", "users.json"),
    (verbs.read_user("keeper"), "read_user", "users/keeper.json"),
    (verbs.list_api_keys(), "list_api_keys", "keys.json"),
    (verbs.read_api_key("k7Q"), "read_api_key", "keys/k7Q.json"),
]

WRITES = [
    (verbs.create_feed(data="{}"), "create_feed", "POST", "feeds.json"),
    (verbs.update_feed(7, data="{}"), "update_feed", "PUT", "feeds/7.json"),
    (verbs.create_datastream(7, data="{}"), "create_datastream", "POST", "feeds/7/datastreams.json"),
    (verbs.update_datastream(7, "a", data="{}"), "update_datastream", "PUT", "feeds/7/datastreams/a.json"),
    (
        verbs.create_datapoints(7, "a", data="{}"),
        "create_datapoints",
        "POST",
        "feeds/7/datastreams/a/datapoints.json",
    ),
    (
        verbs.update_datapoint(7, "a", AT, data="{}"),
        "update_datapoint",
        "PUT",
        f"feeds/7/datastreams/a/datapoints/{TS}.json",
    ),
    (verbs.create_trigger(data="{}"), "create_trigger", "POST", "triggers.json"),
    (verbs.update_trigger(31, data="{}"), "update_trigger", "PUT", "triggers/31.json"),
    (verbs.create_user(data="{}"), "create_user", "POST", "users.json"),
    (verbs.update_user("keeper", data="{}"), "update_user", "PUT", "users/keeper.json"),
    (verbs.create_api_key(data="{}"), "create_api_key", "POST", "keys.json"),
    (verbs.update_api_key("k7Q", data="{}"), "update_api_key", "PUT", "keys/k7Q.json"),
]

DELETES = [
    (verbs.delete_feed(7), "delete_feed", "feeds/7"),
    (verbs.delete_datastream(7, "a"), "delete_datastream", "feeds/7/datastreams/a"),
    (verbs.delete_datastream(7, "a.csv"), "delete_datastream", "feeds/7/datastreams/a.csv.json"),
    (verbs.delete_datapoint(7, "a", TS), "delete_datapoint", f"feeds/7/datastreams/a/datapoints/{TS}"),
    (
        verbs.delete_datapoints(7, "a", parameters={"start": AT}),
        "delete_datapoints",
        "feeds/7/datastreams/a/datapoints",
    ),
    (verbs.delete_trigger(31), "delete_trigger", "triggers/31"),
    (verbs.delete_user("keeper"), "delete_user", "users/keeper"),
    (verbs.delete_api_key("k7Q"), "delete_api_key", "keys/k7Q"),
]


@pytest.mark.parametrize(("operation", "name", "path"), READS, ids=lambda value: str(value)[:40])
def test_a_read_gets_the_resource_with_its_format_and_accepts_that_format(operation, name, path):
    assert (operation.name, operation.method, "/".join(operation.path)) == (name, "GET", path)
    assert (dict(operation.headers), operation.query, operation.body) == ({"accept": JSON}, (), None)


@pytest.mark.parametrize(("operation", "name", "method", "path"), WRITES, ids=lambda value: str(value)[:40])
def test_a_write_says_its_format_in_path_and_media_types(operation, name, method, path):
    assert (operation.name, operation.method, "/".join(operation.path)) == (name, method, path)
    assert dict(operation.headers) == {"accept": JSON, "content-type": JSON}
    assert (operation.query, operation.body) == ((), b"{}")


@pytest.mark.parametrize(("operation", "name", "path"), DELETES, ids=lambda value: str(value)[:40])
def test_a_delete_has_no_format_and_no_body(operation, name, path):
    assert (operation.name, operation.method, "/".join(operation.path)) == (name, "DELETE", path)
    assert (dict(operation.headers), operation.body) == ({"accept": JSON}, None)
    assert operation.read(Answer(200)) is True


def test_regenerating_a_key_posts_nothing_and_gives_the_new_key():
    operation = verbs.regenerate_api_key("k7Q")
    assert (operation.method, operation.path, operation.body) == (
        "POST",
        ("keys", "k7Q", "regenerate"),
        None,
    )
    assert operation.read(Answer(200, {"location": "http://hub.test/v2/keys/nEw-1_2"})) == "nEw-1_2"


@pytest.mark.parametrize(
    ("format", "media_type"),
    [("json", JSON), ("xml", "application/xml"), ("csv", "text/csv"), ("png", "image/png")],
)
def test_extension_and_media_type_follow_the_format(format, media_type):
    operation = verbs.read_datastream(7, "a", format=format)
    assert operation.path[-1] == f"a.{format}"
    assert operation.headers["accept"] == media_type


@pytest.mark.parametrize(
    "ask",
    [
        lambda: verbs.create_feed(data="{}", format="csv"),
        lambda: verbs.read_feed(7, format="png"),
        lambda: verbs.list_triggers(format="csv"),
        lambda: verbs.list_users(format="csv"),
        lambda: verbs.list_api_keys(format="csv"),
        lambda: verbs.create_api_key(data="{}", format="png"),
        lambda: verbs.read_feed(7, format="JSON"),
    ],
)
def test_a_format_that_does_not_exist_there_is_refused_by_name(ask):
    with pytest.raises(EncodeError, match="format") as caught:
        ask()
    assert caught.value.path == "format"


@pytest.mark.parametrize(
    ("ask", "argument"),
    [
        (lambda bad: verbs.read_feed(bad), "feed_id"),
        (lambda bad: verbs.update_feed(bad, data="{}"), "feed_id"),
        (lambda bad: verbs.delete_datastream(7, bad), "datastream_id"),
        (lambda bad: verbs.read_datapoint(7, bad, AT), "datastream_id"),
        (lambda bad: verbs.read_trigger(bad), "trigger_id"),
        (lambda bad: verbs.read_user(bad), "user_id"),
        (lambda bad: verbs.delete_api_key(bad), "key_id"),
    ],
)
@pytest.mark.parametrize("bad", [None, "", "  ", "a\0b", ".", "..", "\ud800"])
def test_an_id_that_leads_nowhere_or_elsewhere_is_refused_by_its_argument(ask, argument, bad):
    with pytest.raises(EncodeError) as caught:
        ask(bad)
    assert caught.value.path == argument


def test_ids_are_sent_as_they_are():
    operation = verbs.read_datastream(0, "Zähler 1+2/%@.csv")
    assert operation.path == ("feeds", "0", "datastreams", "Zähler 1+2/%@.csv.json")


@pytest.mark.parametrize(
    "timestamp",
    [TS, AT, AT.astimezone(timezone(timedelta(hours=-3, minutes=-30))), "2013-06-03 11:15:41.9+02:00"],
)
def test_an_instant_is_named_in_utc_with_microseconds_however_it_was_given(timestamp):
    assert verbs.delete_datapoint(7, "a", timestamp).path[-1] == TS


@pytest.mark.parametrize("timestamp", [None, "yesterday", datetime(2013, 6, 3), 1370250941])
def test_what_is_no_instant_is_refused(timestamp):
    with pytest.raises(EncodeError) as caught:
        verbs.read_datapoint(7, "a", timestamp)
    assert caught.value.path == "timestamp"


def test_parameters_are_written_the_way_servers_read_them():
    operation = verbs.read_feed(
        7,
        parameters={
            "datastreams": ["a", "b"],
            "start": AT,
            "limit": 0,
            "find_previous": True,
            "show_user": False,
            "timezone": -3.5,
            "lat": Decimal("51.20"),
            "q": "",
            "end": None,
        },
    )
    assert operation.query == (
        ("datastreams", "a,b"),
        ("start", TS),
        ("limit", "0"),
        ("find_previous", "true"),
        ("show_user", "false"),
        ("timezone", "-3.5"),
        ("lat", "51.20"),
        ("q", ""),
    )


def test_the_old_name_of_datastreams_is_translated():
    assert verbs.read_feed(7, parameters={"datastream": "temperature"}).query == (
        ("datastreams", "temperature"),
    )
    with pytest.raises(EncodeError, match="give one"):
        verbs.read_feed(7, parameters={"datastream": "a", "datastreams": "b"})


@pytest.mark.parametrize("value", [float("nan"), datetime(2013, 6, 3), object(), [None], "\udfff"])
def test_a_parameter_that_cannot_be_written_is_refused_by_name(value):
    with pytest.raises(EncodeError) as caught:
        verbs.list_feeds(parameters={"q": value})
    assert caught.value.path == "parameters['q']"


@pytest.mark.parametrize("parameters", [None, {}, {"start": None}, {"limit": 5}])
def test_a_range_without_bounds_is_never_deleted(parameters):
    with pytest.raises(EncodeError, match="what shall be deleted"):
        verbs.delete_datapoints(7, "a", parameters=parameters)


# -- bodies


def body_of(operation):
    return json.loads(operation.body)


def test_structures_are_encoded_in_the_format():
    environment = Environment(title="Attic", version="1.0.0")
    assert verbs.create_feed(data=environment).body == b'{"title":"Attic","version":"1.0.0"}'
    xml = verbs.create_feed(data=environment, format="xml")
    assert b"<title>Attic</title>" in xml.body
    assert xml.headers["content-type"] == "application/xml"


def test_documents_go_out_byte_for_byte():
    assert verbs.update_feed(7, data=b"\xff\x00").body == b"\xff\x00"
    assert verbs.update_feed(7, data="0,18.6\n°", format="csv").body == "0,18.6\n°".encode()
    assert verbs.update_feed(7, data="").body == b""


def test_zero_and_false_and_empty_text_are_sent():
    environment = Environment(private=False, description="")
    environment.set_current_value("0", 0)
    environment.location = Location(lat=0.0, lon=0.0)
    document = body_of(verbs.update_feed(7, data=environment))
    assert document["private"] == "false"
    assert document["description"] == ""
    assert document["datastreams"] == [{"id": "0", "current_value": "0"}]
    assert document["location"] == {"lat": 0.0, "lon": 0.0}


def test_a_new_datastream_is_wrapped_in_a_feed():
    operation = verbs.create_datastream(7, data=Datastream(id="humidity", current_value=44))
    assert body_of(operation) == {
        "version": "1.0.0",
        "datastreams": [{"id": "humidity", "current_value": "44"}],
    }
    csv = verbs.create_datastream(7, data=Datastream(id="humidity", current_value=44), format="csv")
    assert csv.body == b"humidity,44\n"


def test_a_new_datastream_needs_an_id():
    with pytest.raises(EncodeError, match="id"):
        verbs.create_datastream(7, data=Datastream(current_value=1))


def test_an_updated_datastream_is_sent_bare():
    operation = verbs.update_datastream(7, "a", data=Datastream(current_value="45", tags=["rh"]))
    assert body_of(operation) == {"current_value": "45", "tags": ["rh"]}


@pytest.mark.parametrize(
    "data",
    [
        [Datapoint(at=AT, value=294)],
        (Datapoint(at=AT, value=294),),
        Datapoint(at=AT, value=294),
        Datastream(id="a", current_value=7, datapoints=[Datapoint(at=AT, value=294)]),
    ],
)
def test_datapoints_are_sent_as_datapoints_and_nothing_else(data):
    operation = verbs.create_datapoints(7, "a", data=data)
    assert body_of(operation) == {"datapoints": [{"at": TS, "value": "294"}]}
    assert verbs.create_datapoints(7, "a", data=data, format="csv").body == f"{TS},294\n".encode()


def test_no_datapoints_at_all_is_refused():
    with pytest.raises(EncodeError, match="no datapoints"):
        verbs.create_datapoints(7, "a", data=[])


def test_an_updated_datapoint_is_its_value():
    assert verbs.update_datapoint(7, "a", AT, data=Datapoint(at=AT, value=296)).body == b'{"value":"296"}'
    assert verbs.update_datapoint(7, "a", AT, data=Datapoint(value=296), format="csv").body == b"296\n"


@pytest.mark.parametrize(
    ("ask", "data"),
    [
        (lambda data: verbs.create_trigger(data=data), Trigger(url="http://x.test/", trigger_type="gt")),
        (lambda data: verbs.create_user(data=data), User(login="keeper", password="s")),
        (lambda data: verbs.create_api_key(data=data), Key(label="panel", permissions=[Permission()])),
    ],
)
def test_accounts_are_encoded_too(ask, data):
    assert type(data).decode(ask(data).body) == data


@pytest.mark.parametrize(
    ("ask", "wanted"),
    [
        (lambda: verbs.create_feed(data=Datastream(id="a")), "give a Environment"),
        (lambda: verbs.update_datastream(7, "a", data=Environment()), "give a Datastream"),
        (lambda: verbs.update_feed(7, data=None), "is missing"),
        (lambda: verbs.update_feed(7, data={"title": "x"}), "is a dict"),
        (lambda: verbs.update_feed(7, data="\ud800"), "surrogate"),
    ],
)
def test_data_of_the_wrong_kind_is_refused(ask, wanted):
    with pytest.raises(EncodeError, match=wanted) as caught:
        ask()
    assert caught.value.path == "data"


# -- answers


@pytest.mark.parametrize(
    ("operation", "empty"),
    [
        (verbs.read_feed(7), Environment),
        (verbs.read_datastream(7, "a"), Datastream),
        (verbs.read_datapoint(7, "a", AT), Datapoint),
        (verbs.list_feeds(), EnvironmentList),
        (verbs.read_trigger(1), Trigger),
        (verbs.read_user("u"), User),
        (verbs.read_api_key("k"), Key),
        (verbs.list_api_keys(), KeyList),
    ],
)
def test_reads_give_structures(operation, empty):
    assert type(operation.read(Answer(200, {}, b"{}"))) is empty


def test_bare_arrays_are_lists_of_triggers_and_users():
    assert verbs.list_triggers().read(Answer(200, {}, b'[{"id":31}]')) == TriggerList(
        triggers=[Trigger(id=31)]
    )
    assert verbs.list_users().read(Answer(200, {}, b'[{"user":{"login":"keeper"}}]')) == UserList(
        users=[User(login="keeper")]
    )


def test_xml_is_read_as_the_same_structures():
    xml = b'<eeml xmlns="http://www.eeml.org/xsd/0.5.1"><environment id="7"><title>Attic</title>'
    xml += b"</environment></eeml>"
    environment = verbs.read_feed(7, format="xml").read(Answer(200, {}, xml))
    assert (environment.id, environment.title) == (7, "Attic")


def test_csv_is_text_and_a_picture_is_bytes():
    assert verbs.read_feed(7, format="csv").read(Answer(200, {}, "a,°\n".encode())) == "a,°\n"
    assert verbs.read_datastream(7, "a", format="png").read(Answer(200, {}, b"\x89PNG")) == b"\x89PNG"
    with pytest.raises(DecodeError, match="UTF-8"):
        verbs.read_feed(7, format="csv").read(Answer(200, {}, b"\xff"))


def test_a_body_that_is_not_what_was_asked_for_is_a_decode_error():
    with pytest.raises(DecodeError):
        verbs.read_feed(7).read(Answer(200, {}, b"<html>"))


def test_an_answer_may_be_larger_than_what_a_server_would_take():
    points = ",".join(f'{{"at":"2013-06-03T09:00:00.{index:06}Z","value":"1"}}' for index in range(60_000))
    body = f'{{"id":"a","datapoints":[{points}]}}'.encode()
    assert len(body) > 2 << 20
    assert len(verbs.read_datastream(7, "a").read(Answer(200, {}, body)).datapoints) == 60_000


@pytest.mark.parametrize(
    ("location", "created"),
    [
        ("http://127.0.0.1:8080/v2/feeds/7303", "7303"),
        ("/v2/feeds/7303", "7303"),
        ("http://127.0.0.1/v1/feeds/7303.xml", "7303"),
        ("http://127.0.0.1/v2/feeds/7303.JSON/", "7303"),
        ("http://127.0.0.1/v2/feeds/7303?x=/9", "7303"),
        ("http://127.0.0.1/v2/feeds/7/datastreams/room.1", "room.1"),
        ("http://127.0.0.1/v2/feeds/7/datastreams/notes.csv", "notes.csv"),
        ("http://127.0.0.1/v2/feeds/7/datastreams/caf%C3%A9", "café"),
    ],
)
def test_the_id_of_what_was_created_is_the_end_of_its_location(location, created):
    assert verbs.create_feed(data="{}").read(Answer(201, {"location": location})) == created


@pytest.mark.parametrize("headers", [{}, {"location": ""}, {"location": "http://127.0.0.1/"}])
def test_a_creation_without_a_location_is_a_protocol_error(headers):
    with pytest.raises(RemoteProtocolError, match="Location") as caught:
        verbs.create_feed(data="{}").read(Answer(201, headers))
    assert caught.value.operation == "create_feed"


@pytest.mark.parametrize(
    ("format", "body"),
    [
        ("json", b'{"title":"Not found","errors":"no such point"}'),
        ("json", b"Not found: no such point"),
        ("xml", b"<errors><title>Not found</title><error>no such point</error></errors>"),
        ("csv", b"Not found: no such point\n"),
    ],
)
def test_a_200_that_says_not_found_is_not_found(format, body):
    operation = verbs.read_datapoint(7, "a", AT, format=format)
    with pytest.raises(NotFound) as caught:
        operation.read(Answer(200, {}, body))
    assert (caught.value.status, caught.value.title, caught.value.detail) == (
        404,
        "Not found",
        "no such point",
    )


def test_a_value_that_says_not_found_is_a_value():
    body = f'{{"at":"{TS}","value":"Not found"}}'.encode()
    assert verbs.read_datapoint(7, "a", AT).read(Answer(200, {}, body)).value == "Not found"
    csv = f"{TS},Not found\n".encode()
    assert verbs.read_datapoint(7, "a", AT, format="csv").read(Answer(200, {}, csv)) == csv.decode()


def test_every_verb_explains_a_refusal():
    answer = Answer(422, {}, b'{"title":"Unprocessable Entity","errors":["Title can\'t be blank"]}')
    for operation, *_ in [*READS, *WRITES, *DELETES, (verbs.regenerate_api_key("k"),)]:
        error = rejection(operation, answer)
        assert (error.status, error.title, error.detail) == (
            422,
            "Unprocessable Entity",
            "Title can't be blank",
        )


# -- what is tolerated of servers we do not know


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/html; charset=utf-8", b"Please log in"),
        ("application/xhtml+xml", b"<?xml version='1.0'?><html/>"),
        ("", b"\r\n<!DOCTYPE html><title>Welcome</title>"),
        ("text/plain", b"<HTML><body>Welcome</body></HTML>"),
    ],
)
def test_a_write_that_is_answered_with_a_page_is_not_done(content_type, body):
    """A network that wants somebody to log in answers everything with 200 and a page."""
    for operation, *_ in [*WRITES, *DELETES]:
        with pytest.raises(RemoteProtocolError) as caught:
            operation.read(Answer(200, {"content-type": content_type}, body))
        assert caught.value.operation == operation.name


@pytest.mark.parametrize("body", [b"", b" ", b'{"id":7}', b"<?xml version='1.0'?><eeml/>"])
def test_a_write_is_done_whatever_else_the_answer_holds(body):
    headers = {} if body.strip() else {"content-type": "text/html"}
    assert verbs.update_feed(7, data="{}").read(Answer(200, headers, body)) is True


def test_what_old_servers_send_is_tolerated():
    body = b"""{"id":"7301","title":"Boiler room","private":true,"tags":"boiler, heating","unknown":{"a":[1]},
        "datastreams":[{"id":0,"current_value":20.50,"unit":{},"datapoints":[],"at":"2013-06-03T10:15:41.9+01:00"},
                       {"id":"b"}]}"""
    environment = verbs.read_feed(7301).read(Answer(200, {}, body))
    assert (environment.id, environment.private, environment.tags) == (7301, True, ["boiler", "heating"])
    stream = environment.datastreams["0"]
    assert (stream.current_value, stream.at, stream.datapoints) == ("20.50", AT, [])
    assert environment.datastreams["b"] == Datastream(id="b")
    assert environment.location is None


@pytest.mark.parametrize("total", ["2", '"2"'])
def test_counters_of_a_list_may_be_text_or_absent(total):
    page = verbs.list_feeds().read(Answer(200, {}, f'{{"totalResults":{total},"results":[]}}'.encode()))
    assert (page.total_results, page.start_index, page.feeds) == (2, None, [])


@pytest.mark.parametrize("digits", range(10))
def test_fractions_of_a_second_may_have_any_number_of_digits(digits):
    fraction = "." + "123456789"[:digits] if digits else ""
    body = f'{{"at":"2013-06-03T09:15:41{fraction}Z","value":"1"}}'.encode()
    at = verbs.read_datapoint(7, "a", AT).read(Answer(200, {}, body)).at
    assert at.microsecond == int("123456789"[: min(digits, 6)].ljust(6, "0") if digits else "0")


# -- keys


def test_a_key_travels_in_its_header_and_shows_nowhere():
    operation = verbs.with_api_key(verbs.read_feed(7), " k7Q\n")
    assert dict(operation.headers) == {"accept": JSON, "x-apikey": "k7Q"}
    assert "k7Q" not in repr(operation)


def test_without_a_key_there_is_no_header():
    assert "x-apikey" not in verbs.with_api_key(verbs.read_feed(7), None).headers


@pytest.mark.parametrize("key", ["a\r\nb", "a\0", "schlüssel"])
def test_a_key_that_no_header_can_carry_is_refused_without_showing_it(key):
    with pytest.raises(EncodeError) as caught:
        verbs.with_api_key(verbs.read_feed(7), key)
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    "operation",
    [
        verbs.read_api_key("s3cret"),
        verbs.update_api_key("s3cret", data="{}"),
        verbs.delete_api_key("s3cret"),
        verbs.regenerate_api_key("s3cret"),
    ],
)
def test_a_key_in_the_path_shows_nowhere(operation):
    assert "s3cret" in "/".join(operation.path)
    assert "s3cret" not in repr(operation)
