"""What every verb of the server shares: ids, permissions, answers."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.support.hub import header
from txbridge.cosm.call import ALL_FORMATS, Call, resource_number, some_feed
from txbridge.cosm.negotiation import Parameters
from txbridge.cosm.refusal import Refusal
from txbridge.hub.auth import Principal
from txbridge.hub.store import FeedRecord
from txbridge.model.accounts import Permission
from txbridge.model.structures import Datastream, Environment
from txbridge.net.http1 import Request

ANN = Principal("ann", True, (Permission(access_methods=["get", "put"]),))
NOW = datetime(2013, 6, 3, 12, tzinfo=UTC)


def call(*names, output="json", extension=None, headers=None, query="", body=b"", principal=ANN):
    request = Request("GET", "/v2/feeds/1", query, headers or {}, body, "127.0.0.1")
    parameters = Parameters.parse(query)
    base = "http://127.0.0.1:8080"
    return Call(request, names, extension, parameters, ALL_FORMATS, output, principal, NOW, base)


def test_an_address_has_a_feed_a_datastream_and_an_instant():
    one = call("7", "flow", "2013-06-03T09:00:00Z")
    assert (one.feed_id, one.datastream_id, one.at.hour) == (7, "flow", 9)
    for wrong in ("x", "-1", "٣", "1" * 19, ""):
        with pytest.raises(Refusal):
            resource_number(wrong)
    with pytest.raises(Refusal):
        assert call("7", "flow", "yesterday").at


def test_a_document_that_the_client_has_is_not_sent_again():
    first = call().answer(Environment(id=1, title="x"))
    assert first.status == 200
    again = call(headers={"if-none-match": header(first, "etag")}).answer(Environment(id=1, title="x"))
    assert (again.status, again.body) == (304, b"")
    assert (
        call(headers={"if-none-match": header(first, "etag")}).answer(Environment(id=1, title="y")).status
        == 200
    )


def test_where_something_was_made_fits_into_what_devices_have_room_for():
    assert header(call().created("/v2/feeds/7"), "location") == "http://127.0.0.1:8080/v2/feeds/7"
    long = "/v2/feeds/7/datastreams/" + "x" * 30
    assert header(call().created(long), "location") == long


def test_a_guard_asks_about_each_datastream():
    feed = FeedRecord("ann", Environment(id=1, private=False))
    call().guard("put", ["a", "b"])(feed)
    with pytest.raises(Refusal):
        call().guard("delete", ["a"])(feed)
    assert some_feed(ANN, None).owner == "ann"


def test_a_document_is_read_in_the_format_it_is_in():
    from txbridge.codecs.limits import DecodeLimits

    one = call(extension="csv", body=b"2013-06-03T09:00:00Z,21")
    assert one.written_in == "csv"
    assert one.decode(Datastream, DecodeLimits()).current_value == "21"
