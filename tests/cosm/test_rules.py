from __future__ import annotations

import pytest

from txbridge.cosm.refusal import Refusal
from txbridge.cosm.rules import (
    new_datastreams,
    writable_datapoint,
    writable_datapoints,
    writable_datastream,
    writable_feed,
)
from txbridge.model.accounts import User
from txbridge.model.structures import Datapoint, Datastream, Environment, Location, Unit, Waypoint

AT = "2013-06-03T09:00:00Z"


def complaints(check, *arguments, **named) -> str:
    with pytest.raises(Refusal) as refused:
        check(*arguments, **named)
    assert refused.value.status == 422
    return refused.value.errors


@pytest.mark.parametrize("title", [None, "", "  "])
def test_a_new_feed_needs_a_title(title):
    assert complaints(writable_feed, Environment(title=title), creating=True) == "Title can't be blank"


@pytest.mark.parametrize("title", [None, "", "  "])
def test_an_update_without_a_title_leaves_it_alone(title):
    assert writable_feed(Environment(title=title), creating=False).title is None


def test_what_a_client_may_only_read_is_dropped():
    document = Environment(
        id=9,
        title="Attic",
        feed="http://x/v2/feeds/9.json",
        status="frozen",
        created=AT,
        updated=AT,
        creator="http://x/users/jo",
        user=User(login="jo"),
        product_id="p",
        device_serial="s",
        location=Location(lat=1, waypoints=[Waypoint(at=AT, lat=0, lon=0)]),
        datastreams=[Datastream(id="a", datapoints_function="average")],
    )
    kept = writable_feed(document, creating=False)
    assert kept == Environment(
        title="Attic", updated=AT, location=Location(lat=1), datastreams=[Datastream(id="a")]
    )


def test_quotes_and_commas_are_stripped_from_tags_and_empty_ones_vanish():
    document = Environment(
        tags=["a,b", "'c'", '"', " d ", "d"], datastreams=[Datastream(id="x", tags=['e"f'])]
    )
    kept = writable_feed(document, creating=False)
    assert kept.tags == ["ab", "c", "d"]
    assert kept.datastreams["x"].tags == ["ef"]


def test_empty_tags_stay_empty_because_they_clear_what_was_there():
    assert writable_feed(Environment(tags=[]), creating=False).tags == []


@pytest.mark.parametrize("id", ["0", "room.1", "a-b_c+d", "größe", "x" * 255])
def test_an_id_may_have_letters_digits_and_four_signs(id):
    assert writable_datastream(Datastream(id=id)).id == id


@pytest.mark.parametrize(
    ("id", "words"),
    [
        ("", "Id can't be blank"),
        (" ", "Id can't be blank"),
        ("a b", "Id is invalid"),
        ("a/b", "Id is invalid"),
        ("a\n", "Id is invalid"),
        ("x" * 256, "Id is too long"),
    ],
)
def test_any_other_id_is_refused(id, words):
    assert words in complaints(writable_datastream, Datastream(id=id))


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        (Datastream(current_value="x" * 256), "Current value is too long (maximum is 255 characters)"),
        (Datastream(current_value="\x01"), "Current value is not valid text"),
        (Datastream(current_value="\ud800"), "Current value is not valid text"),
        (Datastream(max_value="hot"), "Max value is not a number"),
        (Datastream(min_value="nan"), "Min value is not a number"),
        (Datastream(tags=["x" * 128, "y" * 128]), "Tags is too long (maximum is 255 characters)"),
        (Datastream(tags=["a\0"]), "Tags is not valid text"),
        (Datastream(unit=Unit(type="metric")), "Unit type is not one of basicSI"),
        (Datastream(unit=Unit(label="\0")), "Label is not valid text"),
        (Datastream(datapoints=[Datapoint(at=AT)]), "Datapoint 0: Value can't be blank"),
        (Datastream(datapoints=[Datapoint(at=AT, value=" ")]), "Datapoint 0: Value can't be blank"),
        (Datastream(datapoints=[Datapoint(at=AT, value="x" * 256)]), "Datapoint 0: Value is too long"),
        (Datastream(datapoints=[Datapoint(value=1), Datapoint(value=2)]), "at most one may be without"),
        (Datastream(datapoints=[Datapoint(at=AT, value=1)] * 501), "501 are too many, at most 500"),
    ],
)
def test_a_datastream_that_breaks_a_rule_is_told_which(stream, words):
    assert words in complaints(writable_datastream, stream)


def test_the_longest_value_the_most_points_and_falsy_values_are_accepted():
    stream = Datastream(
        current_value="x" * 255,
        max_value="0",
        min_value="-1.5e3",
        unit=Unit(type="basicSI", symbol="", label="0"),
        datapoints=[Datapoint(at=AT, value="0")] * 499 + [Datapoint(value="0")],
    )
    assert writable_datastream(stream) == stream


def test_an_empty_value_is_no_reading():
    kept = writable_datastream(Datastream(current_value="", at=AT, max_value="", min_value=" "))
    assert kept == Datastream()


def test_a_zero_is_a_reading():
    assert writable_datastream(Datastream(current_value=0)).current_value == "0"


def test_points_of_all_datastreams_count_together():
    points = [Datapoint(at=AT, value=1)] * 251
    document = Environment(
        datastreams=[Datastream(id="a", datapoints=points), Datastream(id="b", datapoints=points)]
    )
    assert "502 are too many" in complaints(writable_feed, document, creating=False)


def test_every_broken_rule_is_told_and_names_its_datastream():
    document = Environment(
        location=Location(lat=91, lon=-181, exposure="upstairs"),
        datastreams=[Datastream(id="a b", current_value="x" * 300), Datastream(id="ok")],
    )
    assert complaints(writable_feed, document, creating=True) == (
        "Title can't be blank, "
        "Latitude must be between -90 and 90, Longitude must be between -180 and 180, "
        "Exposure must be indoor or outdoor, "
        "Datastream a b: id is invalid: use letters, digits, _, -, + and ., "
        "Datastream a b: current value is too long (maximum is 255 characters)"
    )


@pytest.mark.parametrize(
    "document", [Environment(title="\ud800"), Environment(tags=["\x00"]), Environment(email="\x1b")]
)
def test_text_that_not_every_format_has_is_refused(document):
    assert "is not valid text" in complaints(writable_feed, document, creating=False)


def test_new_datastreams_take_the_old_timestamp_of_their_feed():
    document = Environment(
        updated=AT,
        datastreams=[
            Datastream(id="a", current_value=1),
            Datastream(id="b", current_value=2, at="2013-01-01"),
        ],
    )
    a, b = new_datastreams(document)
    assert a.at == document.updated
    assert b.at is not None
    assert b.at.month == 1


def test_creating_no_datastreams_is_refused():
    assert complaints(new_datastreams, Environment(title="x")) == "Datastreams can't be blank"


def test_datapoints_are_all_that_is_kept_when_they_are_created():
    document = Datastream(id="x", tags=["a"], max_value="9", datapoints=[Datapoint(at=AT, value=1)])
    assert writable_datapoints(document) == Datastream(datapoints=[Datapoint(at=AT, value=1)])


def test_a_single_row_is_a_datapoint_too():
    document = Datastream(current_value="5", at=AT)
    assert writable_datapoints(document).datapoints == [Datapoint(at=AT, value="5")]


def test_creating_no_datapoints_is_refused():
    assert complaints(writable_datapoints, Datastream()) == "Datapoints can't be blank"


def test_a_datapoint_needs_a_value_and_zero_is_one():
    assert writable_datapoint(Datapoint(value=0)) == "0"
    assert complaints(writable_datapoint, Datapoint(at=AT)) == "Value can't be blank"
