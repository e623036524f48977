"""What every shared structure can do."""

from __future__ import annotations

import json

import pytest

from txbridge.errors import DecodeError, EncodeError
from txbridge.model.encoding import CODECS
from txbridge.model.structures import Datapoint, Datastream, Environment, Location, Unit


def test_the_formats_are_json_xml_and_csv():
    assert sorted(CODECS) == ["csv", "json", "xml"]


def test_a_structure_encodes_to_json_unless_told_otherwise():
    point = Datapoint(value=294)
    assert point.encode() == point.encode("json") == '{"value":"294"}'
    assert "<value>294</value>" in point.encode("xml")
    assert point.encode("csv") == "294\n"


@pytest.mark.parametrize("format", ["json", "xml", "csv"])
def test_decoding_on_the_class_gives_a_new_structure(format):
    point = Datapoint(at="2013-06-03T09:00:00Z", value=294)
    assert Datapoint.decode(point.encode(format), format) == point
    assert Datapoint.decode(point.encode(format).encode(), format=format) == point


def test_decoding_on_an_instance_replaces_all_it_held():
    environment = Environment(title="Attic", description="old", datastreams=[Datastream(id="x")])
    found = environment.decode('{"title":"Cellar"}')
    assert found is environment
    assert environment == Environment(title="Cellar", version=None)


def test_a_document_that_cannot_be_read_leaves_an_instance_as_it_was():
    environment = Environment(title="Attic")
    with pytest.raises(DecodeError):
        environment.decode('{"title":"Cellar","private":"perhaps"}')
    assert environment == Environment(title="Attic")


@pytest.mark.parametrize("format", ["yaml", "png", ""])
def test_an_unknown_format_is_refused_with_the_known_ones(format):
    with pytest.raises(EncodeError, match="there are csv, json, xml"):
        Unit().encode(format)
    with pytest.raises(EncodeError, match="there are csv, json, xml"):
        Unit.decode("{}", format)


def test_a_structure_becomes_a_dict_and_back():
    environment = Environment(title="Attic", datastreams=[Datastream(id="pump", current_value="on")])
    document = environment.to_dict()
    assert document == {
        "title": "Attic",
        "version": "1.0.0",
        "datastreams": [{"id": "pump", "current_value": "on"}],
    }
    assert Environment.from_dict(document) == Environment().fromDict(document) == environment
    assert environment.toDict() == document


def test_a_dict_of_numbers_and_none_is_read_as_a_document_would_be():
    assert Datastream.from_dict({"current_value": 20.0, "tags": None}) == Datastream(current_value="20.0")


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"value": float("nan")}, "not JSON compliant"),
        ({"value": 1j}, "complex"),
        ({"value": "\ud800"}, "surrogate"),
        ([], "must be an object"),
    ],
)
def test_a_dict_that_is_no_document_is_refused(document, reason):
    with pytest.raises(DecodeError, match=reason):
        Datapoint.from_dict(document)


def test_text_that_utf_8_cannot_carry_is_refused():
    with pytest.raises(DecodeError, match="surrogate"):
        Datapoint.decode('{"value":"\ud800"}')


def test_repr_shows_what_is_there_and_nothing_else():
    assert repr(Datapoint(value=0)) == "Datapoint(value='0')"
    assert repr(Environment(private=False)) == "Environment(private=False)"
    assert repr(Environment(tags=[])) == "Environment(tags=[])"
    assert repr(Location()) == "Location()"


def test_str_is_the_json_document_for_people():
    assert str(Unit(symbol="°C", label="Celsius")) == '{\n  "label": "Celsius",\n  "symbol": "°C"\n}'
    assert json.loads(str(Environment(title="Attic"))) == {"title": "Attic", "version": "1.0.0"}
