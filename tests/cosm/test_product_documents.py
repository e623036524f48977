"""What may be written of products and devices, and how they are shown."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from txbridge.codecs.limits import DecodeLimits
from txbridge.cosm.product_documents import (
    MAX_SERIALS,
    activation_document,
    device_document,
    devices_document,
    product_document,
    writable_product,
    writable_serial,
    writable_serials,
)
from txbridge.cosm.refusal import Refusal
from txbridge.errors import DecodeError
from txbridge.hub.products import DeviceRecord, ProductRecord
from txbridge.model.structures import Datastream, Environment, Location

THEN = datetime(2013, 6, 3, 12, tzinfo=UTC)
LIMITS = DecodeLimits()


def test_what_a_feed_is_made_from_has_no_values_and_no_times():
    body = {
        "product": {
            "name": "Thermostat",
            "feed_defaults": {
                "id": 7,
                "updated": "2013-06-03T12:00:00Z",
                "title": "Mine",
                "private": True,
                "product_id": "forged",
                "location": {"lat": "51.5", "lon": -0.25},
                "datastreams": [
                    {
                        "id": "t",
                        "current_value": "1",
                        "at": "2013-06-03T12:00:00Z",
                        "min_value": 0,
                        "datapoints": [{"at": "2013-06-03T12:00:00Z", "value": "1"}],
                    }
                ],
            },
        }
    }
    document = writable_product(b"\xef\xbb\xbf" + json.dumps(body).encode(), LIMITS, creating=True)
    assert (document.name, document.description, document.state) == ("Thermostat", None, None)
    assert document.feed_defaults == Environment(
        title="Mine",
        private=True,
        location=Location(lat=51.5, lon=-0.25),
        version=document.feed_defaults.version,
        datastreams=[Datastream(id="t", min_value="0")],
    )


def test_an_update_may_say_nothing():
    document = writable_product(b'{"product":{"name":"","devices_count":7}}', LIMITS, creating=False)
    assert (document.name, document.feed_defaults) == (None, None)


def test_what_a_feed_is_made_from_fits_into_a_feed():
    streams = [{"id": str(number)} for number in range(10_001)]
    for defaults, words in (
        ({"datastreams": streams}, "Feed defaults: Datastreams: a feed can have at most 10000"),
        ({"title": "a\x00"}, "Feed defaults: Title is not valid text"),
    ):
        with pytest.raises(Refusal) as raised:
            writable_product(
                json.dumps({"name": "x", "feed_defaults": defaults}).encode(), LIMITS, creating=True
            )
        assert raised.value.errors == words
    with pytest.raises(DecodeError):
        writable_product(b'{"name":"x","feed_defaults":{"title":"\\ud800"}}', LIMITS, creating=True)
    long = {"name": "x", "feed_defaults": {"description": "é" * 400_000}}
    document = writable_product(json.dumps(long, ensure_ascii=False).encode(), LIMITS, creating=True)
    assert len(document.feed_defaults.description) == 400_000


@pytest.mark.parametrize("body", [b"7", b'{"product":7}', b'{"devices":[{}]}', b'{"serial":null}'])
def test_another_document_is_none_of_a_product_or_a_device(body):
    with pytest.raises((DecodeError, Refusal)):
        writable_product(body, LIMITS, creating=True)
    with pytest.raises(DecodeError):
        writable_serials(body, LIMITS)


def test_what_is_too_large_is_not_read():
    with pytest.raises(DecodeError, match="bytes are more"):
        writable_serials(b'{"serial":"' + b"x" * 100 + b'"}', DecodeLimits(document_bytes=100))


def test_serials_are_read_with_or_without_a_wrapper():
    assert writable_serials(b'{"devices":[{"serial":"A"},{"serial":7}]}', LIMITS) == ["A", "7"]
    assert writable_serials(b'{"device":{"serial":"A"}}', LIMITS) == ["A"]
    assert writable_serial(b'{"serial":"00:1A"}', LIMITS) == "00:1A"
    many = {"devices": [{"serial": str(number)} for number in range(MAX_SERIALS)]}
    assert len(writable_serials(json.dumps(many).encode(), LIMITS)) == MAX_SERIALS


def test_members_that_are_not_known_are_left_out_but_a_description():
    """A product always has one, as the documentation shows: xively4j fails without it."""
    record = ProductRecord("p", "ann", "x", bytes.fromhex("0b" * 20), THEN)
    assert json.loads(product_document(record))["product"] == {
        "product_id": "p",
        "name": "x",
        "description": "",
        "secret": "0b" * 20,
        "state": "develop",
        "devices_count": 0,
        "activated_devices_count": 0,
        "feed_defaults": {},
        "user": "ann",
    }
    device = DeviceRecord("p", "ann", "A", "c" * 40, THEN)
    shown = {"serial": "A", "activation_code": "c" * 40, "created_at": "2013-06-03T12:00:00.000000Z"}
    assert json.loads(device_document(device)) == {"device": shown}
    assert json.loads(devices_document(9, [device])) == {"totalResults": 9, "devices": [shown]}


def test_an_activation_is_an_object_or_a_row():
    assert activation_document("json", "k", 123, ["t"]) == b'{"apikey":"k","feed_id":123,"datastreams":["t"]}'
    assert activation_document("csv", "k", 123, ["a", "b"]) == b"k,123,2,a,b\n"
    assert activation_document("csv", "k", 123, []) == b"k,123,0\n"
