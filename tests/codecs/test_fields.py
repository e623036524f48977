"""The wire names."""

from __future__ import annotations

from typing import Any

import msgspec
from attrs import fields

from txbridge.codecs.fields import (
    EEML_NAMESPACE,
    OPENSEARCH_NAMESPACE,
    DataFields,
    DataFormats,
    namespace_map,
)
from txbridge.model.structures import Datapoint, Datastream, Environment, Location, Unit, Waypoint

NAMES = {name: value for name, value in vars(DataFields).items() if not name.startswith("_")}

IRREGULAR = {
    "Datastream_Trigger": "datastream-trigger",
    "Datastream_Triggers": "datastream-triggers",
    "Elevation": "ele",
    "Items_Per_Page": "itemsPerPage",
    "Latitude": "lat",
    "Longitude": "lon",
    "Maximum_Value": "max_value",
    "Minimum_Value": "min_value",
    "Start_Index": "startIndex",
    "Total_Results": "totalResults",
}


def test_a_constant_is_its_wire_name_in_title_case_except_for_a_few():
    assert {name: value for name, value in NAMES.items() if name.lower() != value} == IRREGULAR


def test_each_member_of_the_structures_has_a_constant():
    known = set(NAMES.values())
    for kind in (Environment, Datastream, Unit, Location, Waypoint):
        assert {attribute.name for attribute in fields(kind)} <= known
    assert {member.name for member in msgspec.structs.fields(Datapoint)} <= known


def test_the_misspelt_name_of_the_old_library_is_gone():
    assert DataFields.Receive_Forum_Notifications == "receive_forum_notifications"


def test_names_build_a_structure_as_the_old_libraries_did():
    named: dict[str, Any] = {DataFields.Title: "Attic", DataFields.Version: "1.0.0"}
    environment = Environment(**named)
    assert environment == Environment(title="Attic")


def test_the_formats_are_those_of_addresses():
    formats = (DataFormats.JSON, DataFormats.XML, DataFormats.CSV, DataFormats.PNG)
    assert formats == ("json", "xml", "csv", "png")


def test_the_namespaces_are_the_documented_ones():
    assert namespace_map["eeml"] == EEML_NAMESPACE == "http://www.eeml.org/xsd/0.5.1"
    assert namespace_map["opensearch"] == OPENSEARCH_NAMESPACE == "http://a9.com/-/spec/opensearch/1.1/"
