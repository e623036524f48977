"""What the verbs do at a real hub, whatever carries them: subclass `VerbsContract`.

The subclass gives two fixtures: ``hub``, a `tests.support.hub_in_memory.HubInMemory`, and ``client``, some
`txbridge.cosm.client.Verbs` that reaches it with its owner's key.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from txbridge.cosm import operations
from txbridge.errors import AuthError, EncodeError, NotFound, RequestRejected
from txbridge.model.structures import Datapoint, Datastream, Environment, Location, Unit

AT = datetime(2013, 6, 3, 8, 44, 50, tzinfo=UTC)
SECOND = timedelta(seconds=1)
FORMATS = pytest.mark.parametrize("format", ["json", "xml", "csv"])
DOCUMENTS = pytest.mark.parametrize("format", ["json", "xml"])


class VerbsContract:
    """Every verb that the hub serves, in every format it has."""

    @pytest.fixture
    def feed_id(self, hub, client):
        """A feed with the datastream ``a``, which has no value yet."""
        feed = Environment(title="Boiler room", tags=["heating"], datastreams=[Datastream(id="a")])
        return hub.run(client.create_feed(data=feed))

    @DOCUMENTS
    def test_a_feed_that_was_created_is_read_back(self, hub, client, format):
        feed = Environment(title="Attic <&> Ångström", tags=["b", "A"], private=True)
        feed.location = Location(lat=0.0, lon=-0.2, name="roof", exposure="outdoor")
        feed.set_current_value("0", 0)
        feed.datastream("0").unit = Unit(symbol="C", label="Celsius", type="derivedSI")
        feed_id = hub.run(client.create_feed(format=format, data=feed))
        assert feed_id.isdecimal()
        found = hub.run(client.read_feed(feed_id=feed_id, format=format))
        assert found.id == int(feed_id)
        assert (found.title, found.tags, found.private) == ("Attic <&> Ångström", ["A", "b"], True)
        assert (found.location.lat, found.location.lon, found.location.name) == (0.0, -0.2, "roof")
        assert found.datastreams["0"].current_value == "0"
        assert found.datastreams["0"].unit == feed.datastreams["0"].unit

    @FORMATS
    def test_a_feed_is_updated_and_keeps_what_was_not_mentioned(self, hub, client, feed_id, format):
        update = Environment()
        update.set_current_value("a", "21.50", AT)
        update.set_current_value("new", "off", AT)
        assert hub.run(client.update_feed(feed_id=feed_id, format=format, data=update)) is True
        found = hub.run(client.read_feed(feed_id=feed_id))
        assert found.title == "Boiler room"
        assert {name: (one.current_value, one.at) for name, one in found.datastreams.items()} == {
            "a": ("21.50", AT),
            "new": ("off", AT),
        }

    def test_a_feed_that_was_deleted_is_gone(self, hub, client, feed_id):
        assert hub.run(client.delete_feed(feed_id=feed_id)) is True
        with pytest.raises(NotFound) as caught:
            hub.run(client.read_feed(feed_id=feed_id))
        assert (caught.value.operation, caught.value.status, caught.value.title) == (
            "read_feed",
            404,
            "Not found",
        )

    def test_only_the_datastreams_that_are_asked_for_are_read(self, hub, client, feed_id):
        update = Environment(datastreams=[Datastream(id=name) for name in ("b", "c")])
        hub.run(client.update_feed(feed_id=feed_id, data=update))
        one = hub.run(client.read_feed(feed_id=feed_id, parameters={"datastream": "b"}))
        two = hub.run(client.read_feed(feed_id=feed_id, parameters={"datastreams": ["a", "c"]}))
        assert (list(one.datastreams), list(two.datastreams)) == (["b"], ["a", "c"])

    def test_feeds_are_searched(self, hub, client, feed_id):
        other = hub.run(client.create_feed(data=Environment(title="Rain gauge")))
        found = hub.run(client.list_feeds(parameters={"q": "rain", "content": "summary"}))
        assert ([feed.id for feed in found.feeds], found.total_results) == ([int(other)], 1)

    def test_every_page_of_a_list_is_walked(self, hub, client):
        numbers = {
            int(hub.run(client.create_feed(data=Environment(title=f"Feed {index}")))) for index in range(7)
        }
        feeds = hub.run(client.list_all_feeds(parameters={"per_page": 3, "order": "created_at"}))
        assert len(feeds) == 7
        assert {feed.id for feed in feeds} == numbers
        assert len(hub.run(client.list_all_feeds(parameters={"per_page": 3}, at_most=4))) == 4

    @FORMATS
    def test_a_datastream_lives_from_creation_to_deletion(self, hub, client, feed_id, format):
        stream = Datastream(id="room.1", current_value=44, at=AT)
        where = {"feed_id": feed_id, "datastream_id": "room.1"}
        assert hub.run(client.create_datastream(feed_id=feed_id, format=format, data=stream)) == "room.1"
        update = Datastream(current_value="45", at=AT + SECOND)
        assert hub.run(client.update_datastream(**where, format=format, data=update)) is True
        found = hub.run(client.read_datastream(**where))
        assert (found.id, found.current_value, found.at) == ("room.1", "45", AT + SECOND)
        assert hub.run(client.delete_datastream(**where)) is True
        with pytest.raises(NotFound):
            hub.run(client.read_datastream(**where))

    @pytest.mark.parametrize("name", ["room.csv", "room.JSON", "room.xml", "room.png"])
    def test_a_datastream_named_like_a_format_is_not_taken_for_another(self, hub, client, feed_id, name):
        for one in ("room", name):
            hub.run(client.create_datastream(feed_id=feed_id, data=Datastream(id=one, current_value=one)))
        found = hub.run(client.read_datastream(feed_id=feed_id, datastream_id=name))
        assert found.current_value == name
        assert hub.run(client.delete_datastream(feed_id=feed_id, datastream_id=name)) is True
        assert list(hub.run(client.read_feed(feed_id=feed_id)).datastreams) == ["a", "room"]

    @FORMATS
    def test_a_datapoint_lives_from_creation_to_deletion(self, hub, client, feed_id, format):
        where = {"feed_id": feed_id, "datastream_id": "a"}
        points = [Datapoint(at=AT + index * SECOND, value=f"{index}.50") for index in range(3)]
        assert hub.run(client.create_datapoints(**where, format=format, data=points)) is True
        assert hub.run(client.read_datapoint(**where, timestamp=AT)) == points[0]
        change = Datapoint(value=0)
        assert hub.run(client.update_datapoint(**where, format=format, timestamp=AT, data=change)) is True
        assert hub.run(client.read_datapoint(**where, timestamp=AT)).value == "0"
        assert hub.run(client.delete_datapoint(**where, timestamp=AT)) is True
        with pytest.raises(NotFound):
            hub.run(client.read_datapoint(**where, timestamp=AT))
        span = {"start": AT + SECOND, "end": AT + SECOND}
        assert hub.run(client.delete_datapoints(**where, parameters=span)) is True
        left = hub.run(client.read_datastream(**where, parameters={"start": AT, "end": AT + 9 * SECOND}))
        assert left.datapoints == points[2:]

    @DOCUMENTS
    def test_history_is_read_as_structures(self, hub, client, feed_id, format):
        points = [Datapoint(at=AT + index * SECOND, value=index) for index in range(5)]
        where = {"feed_id": feed_id, "datastream_id": "a"}
        hub.run(client.create_datapoints(**where, data=points))
        window = {"start": AT + SECOND, "end": AT + 3 * SECOND, "find_previous": True, "limit": 3}
        found = hub.run(client.read_datastream(**where, format=format, parameters=window))
        assert found.datapoints == points[:3]
        feed = hub.run(client.read_feed(feed_id=feed_id, format=format, parameters=window))
        assert feed.datastreams["a"].datapoints == points[:3]

    def test_csv_is_read_as_text(self, hub, client, feed_id):
        where = {"feed_id": feed_id, "datastream_id": "a"}
        hub.run(client.create_datapoints(**where, data=[Datapoint(at=AT, value="°")]))
        stamp = "2013-06-03T08:44:50.000000Z"
        assert hub.run(client.read_feed(feed_id=feed_id, format="csv")) == f"a,{stamp},°\n"
        assert hub.run(client.read_datastream(**where, format="csv")) == f"{stamp},°\n"
        assert hub.run(client.read_datapoint(**where, timestamp=AT, format="csv")) == f"{stamp},°\n"
        assert hub.run(client.list_feeds(format="csv")) == f"{feed_id},a,{stamp},°\n"

    def test_reads_are_shown_in_the_clients_time_zone_unless_a_call_names_one(self, hub, client, feed_id):
        where = {"feed_id": feed_id, "datastream_id": "a", "format": "csv"}
        hub.run(client.create_datapoints(**{**where, "format": "json"}, data=[Datapoint(at=AT, value=1)]))
        client.timezone = "Berlin"
        assert hub.run(client.read_datastream(**where)) == "2013-06-03T10:44:50.000000+02:00,1\n"
        assert hub.run(client.read_datapoint(**where, timestamp=AT)).startswith("2013-06-03T10:44:50")
        other = hub.run(client.read_datastream(**where, parameters={"timezone": -3.5}))
        assert other == "2013-06-03T05:14:50.000000-03:30,1\n"
        structure = hub.run(client.read_datastream(feed_id=feed_id, datastream_id="a"))
        assert (structure.at, structure.at.tzinfo) == (AT, UTC)

    def test_a_long_history_is_walked(self, hub, client, feed_id):
        instants = [AT + index * SECOND for index in range(1201)]
        instants += [AT + 200 * timedelta(days=1), AT + 500 * timedelta(days=1)]
        points = [Datapoint(at=at, value=index) for index, at in enumerate(instants)]
        where = {"feed_id": feed_id, "datastream_id": "a"}
        for start in range(0, len(points), 500):
            hub.run(client.create_datapoints(**where, data=points[start : start + 500]))
        walk = client.walk_history("a", AT, instants[-1], feed_id=feed_id)
        found = []
        while page := hub.run(walk.next_datapoints()):
            found += page
        assert found == points
        assert walk.progress == 1.0

    def test_points_on_the_edges_of_a_walks_stretches_come_once(self, hub, client, feed_id):
        midnight, tick = datetime(2013, 6, 4, tzinfo=UTC), timedelta(microseconds=1)
        edges = [midnight + step * timedelta(hours=6) for step in range(8)]
        points = [Datapoint(at=at + shift, value="x") for at in edges for shift in (-tick, 0 * tick, tick)]
        hub.run(client.create_datapoints(feed_id=feed_id, datastream_id="a", data=points))
        walk = client.walk_history("a", midnight - timedelta(days=90), edges[-1] + tick, feed_id=feed_id)
        found = []
        while page := hub.run(walk.next_datapoints()):
            found += page
        assert found == points

    def test_a_sampled_history_is_walked(self, hub, client, feed_id):
        hour = timedelta(hours=1)
        midnight = datetime(2013, 6, 4, tzinfo=UTC)
        points = [Datapoint(at=midnight + index * hour / 2, value=index) for index in range(1, 201)]
        hub.run(client.create_datapoints(feed_id=feed_id, datastream_id="a", data=points))
        end = midnight + 100 * hour
        walk = client.walk_history("a", midnight, end, interval=3600, feed_id=feed_id)
        assert hub.run(walk.next_datapoints()) == points[1::2]
        assert hub.run(walk.next_datapoints()) == []

    def test_a_key_the_hub_does_not_know_is_an_auth_error(self, hub, client, feed_id):
        with pytest.raises(AuthError) as caught:
            hub.run(client.read_feed(api_key="nobody's", feed_id=feed_id))
        assert caught.value.status == 401
        assert "nobody's" not in str(caught.value)

    @DOCUMENTS
    def test_what_the_hub_finds_wrong_with_a_document_is_told(self, hub, client, format):
        with pytest.raises(RequestRejected) as caught:
            hub.run(client.create_feed(format=format, data=Environment(description="no title")))
        assert caught.value.status == 422
        assert "title" in caught.value.detail.lower()

    def test_what_cannot_be_sent_fails_the_deferred(self, hub, client):
        client.feed_id = None
        with pytest.raises(EncodeError) as caught:
            hub.run(client.read_datastream(datastream_id="a"))
        assert caught.value.path == "feed_id"

    def test_the_default_feed_is_meant_unless_a_call_names_one(self, hub, client, feed_id):
        other = hub.run(client.create_feed(data=Environment(title="Attic")))
        client.feed_id = feed_id
        assert hub.run(client.read_feed()).title == "Boiler room"
        assert hub.run(client.read_feed(feed_id=other)).title == "Attic"

    def test_any_operation_runs(self, hub, client, feed_id):
        assert hub.run(client.run(operations.read_feed(feed_id))).title == "Boiler room"
