"""The shared structures: what they accept, what they keep, and the old libraries' methods."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from txbridge.model.structures import (
    Datapoint,
    Datastream,
    Environment,
    EnvironmentList,
    Location,
    Unit,
    Waypoint,
    as_degrees,
    as_tags,
    as_text,
    split_tags,
)

AT = datetime(2013, 6, 3, 9, 15, 42, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("21.50", "21.50"),
        ("", ""),
        (0, "0"),
        (-0.0, "-0.0"),
        (20.0, "20.0"),
        (0.1, "0.1"),
        (10**30, "1" + "0" * 30),
        (10**400, "1" + "0" * 400),
        (Decimal("1.10"), "1.10"),
        (Decimal("1E+1000"), "1E+1000"),
        (np.float64(0.1), "0.1"),
        (np.str_("on"), "on"),
        (True, "true"),
        (False, "false"),
        (None, None),
    ],
)
def test_a_value_is_kept_as_text(value, text):
    assert as_text(value) == text
    assert type(as_text(value)) in (str, type(None))
    assert Datapoint(value=value).value == text


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), -float("inf"), Decimal("NaN"), Decimal("sNaN")]
)
def test_a_value_that_no_format_has_a_number_for_is_refused(value):
    with pytest.raises(ValueError, match="cannot be sent"):
        as_text(value)


@pytest.mark.parametrize("value", [b"1", [1], {"value": 1}, 1j])
def test_what_is_no_value_is_refused(value):
    with pytest.raises(TypeError, match="not a value"):
        as_text(value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_text_of_a_float_is_the_float(value):
    assert float(as_text(value) or "") == value


@pytest.mark.parametrize(
    ("value", "degrees"),
    [("51.21", 51.21), (0, 0.0), (" -0.2 ", -0.2), ("", None), ("  ", None), (None, None)],
)
def test_degrees_are_numbers(value, degrees):
    assert as_degrees(value) == degrees


@pytest.mark.parametrize("value", ["north", "nan", "1_0", "1e999", float("inf"), 10**400, "x" * 5000])
def test_degrees_that_are_no_number_are_refused(value):
    with pytest.raises(ValueError, match="is not a number of degrees") as caught:
        as_degrees(value)
    assert len(str(caught.value)) < 120


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("boiler,heating", ["boiler", "heating"]),
        (" boiler , heating ", ["boiler", "heating"]),
        (",,a,", ["a"]),
        ('"a, b",c', ["a, b", "c"]),
        (r'"say \"hi\"",c', ['say "hi"', "c"]),
        ("device:type=x", ["device:type=x"]),
        ('"open', ["open"]),
        ('"a\\', ["a\\"]),
        ("", []),
    ],
)
def test_tags_are_parted_by_commas_outside_quotes(text, tags):
    assert split_tags(text) == tags
    assert as_tags(text) == tags


@given(st.text())
def test_no_tag_is_blank_or_has_blank_edges(text):
    assert all(tag and tag == tag.strip() for tag in split_tags(text))


def test_no_tags_and_an_empty_list_of_tags_differ():
    assert as_tags(None) is None
    assert as_tags([]) == []
    assert as_tags(("a", "b")) == ["a", "b"]


def test_zero_false_and_empty_text_are_values():
    environment = Environment(id=0, private=False, description="")
    environment.set_current_value("pump", 0)
    environment.set_location(latitude=0.0, elevation=0)
    assert (environment.id, environment.private, environment.description) == (0, False, "")
    assert environment.datastreams["pump"].current_value == "0"
    assert environment.location == Location(lat=0.0, ele="0")


def test_attributes_are_converted_when_they_are_assigned_too():
    stream = Datastream()
    stream.current_value = 21.5  # type: ignore[assignment]
    stream.at = "2013-06-03T09:15:42Z"  # type: ignore[assignment]
    assert (stream.current_value, stream.at) == ("21.5", AT)
    with pytest.raises(ValueError, match="ISO 8601"):
        stream.at = "soon"  # type: ignore[assignment]


def test_a_datapoint_converts_what_it_is_given_and_what_is_assigned():
    point = Datapoint(at="2013-06-03T09:15:42Z", value=0)
    assert (point.at, point.value) == (AT, "0")
    point.value = 21.5  # type: ignore[assignment]
    point.at = None
    assert point == Datapoint(value="21.5")
    with pytest.raises(ValueError, match="cannot be sent"):
        point.value = float("nan")  # type: ignore[assignment]
    with pytest.raises(ValueError, match="time zone"):
        Datapoint(at=AT.replace(tzinfo=None))
    assert point == Datapoint(value="21.5")


def test_a_datapoint_has_its_two_members_by_name_and_no_others():
    with pytest.raises(TypeError):
        Datapoint(AT, "1")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unit"):
        Datapoint(unit="C")  # type: ignore[call-arg]
    with pytest.raises(AttributeError):
        Datapoint().unit = "C"


def test_a_datapoint_is_copied_and_pickled_but_not_hashed():
    point = Datapoint(at=AT, value="1")
    for same in (copy.copy(point), copy.deepcopy(point), pickle.loads(pickle.dumps(point))):  # noqa: S301  # our own bytes
        assert same == point
        assert same is not point
    with pytest.raises(TypeError, match="unhashable"):
        hash(point)


def test_setting_a_value_makes_the_datastream_on_demand():
    environment = Environment(title="Boiler room")
    environment.set_current_value("flow", 20, at="2013-06-03T09:15:42Z")
    environment.add_datapoint("flow", AT, 21)
    environment.add_datapoint("return", AT, 15)
    assert list(environment.datastreams) == ["flow", "return"]
    assert environment.datastreams["flow"] == Datastream(
        id="flow", current_value="20", at=AT, datapoints=[Datapoint(at=AT, value="21")]
    )


def test_a_value_without_an_instant_forgets_the_last_ones():
    stream = Datastream(id="flow", current_value="1", at=AT)
    stream.set_current_value(2)
    assert (stream.current_value, stream.at) == ("2", None)


def test_a_value_that_cannot_be_set_changes_nothing():
    stream = Datastream(current_value="1", at=AT)
    with pytest.raises(ValueError, match="cannot be sent"):
        stream.set_current_value(float("nan"))
    with pytest.raises(ValueError, match="ISO 8601"):
        stream.set_current_value(5, "yesterday")
    assert stream == Datastream(current_value="1", at=AT)


def test_clearing_keeps_what_describes_a_stream():
    environment = Environment(datastreams=[Datastream(id="flow", tags=["a"], unit=Unit(symbol="C"))])
    environment.set_current_value("flow", 1, AT)
    environment.add_datapoint("flow", AT, 1)
    environment.clear()
    assert environment.datastreams["flow"] == Datastream(id="flow", tags=["a"], unit=Unit(symbol="C"))


def test_the_old_names_are_the_same_methods():
    environment, stream = Environment(), Datastream()
    environment.setCurrentValue("flow", 1)
    environment.addDatapoint("flow", AT, 2)
    environment.setLocation(name="cellar", exposure=Location.Indoor)
    stream.setCurrentValue(3)
    stream.addDatapoint(AT, 4)
    assert environment.datastreams["flow"].datapoints == [Datapoint(at=AT, value="2")]
    assert environment.location == Location(name="cellar", exposure="indoor")
    assert (stream.current_value, stream.datapoints[0].value) == ("3", "4")


def test_datastreams_are_given_as_a_list_or_by_id():
    flow = Datastream(id="flow")
    assert Environment(datastreams=[flow]) == Environment(datastreams={"flow": flow})
    assert Environment(datastreams=None).datastreams == {}


def test_a_datastream_without_an_id_cannot_be_in_a_list():
    with pytest.raises(ValueError, match="needs an id"):
        Environment(datastreams=[Datastream()])


def test_two_datastreams_cannot_have_one_id():
    with pytest.raises(ValueError, match="two datastreams have the id 'flow'"):
        Environment(datastreams=[Datastream(id="flow"), Datastream(id="flow")])


def test_two_structures_never_share_what_they_hold():
    first, second = Environment(), Environment()
    first.set_current_value("flow", 1)
    assert second.datastreams == {}
    assert EnvironmentList().feeds is not EnvironmentList().feeds
    assert Location().waypoints is not Location().waypoints


def test_unknown_units_are_kept_as_old_data_has_them():
    assert Unit(type="metric").type == "metric"
    assert Unit.Derived_Si in Unit.Valid_Unit_Types


def test_an_environment_is_of_version_one_unless_it_says_otherwise():
    assert Environment().version == "1.0.0"


def test_a_waypoint_keeps_its_elevation_as_text():
    assert Waypoint(at=AT, lat="51.21", lon=4.41, ele=9) == Waypoint(at=AT, lat=51.21, lon=4.41, ele="9")
