"""The socket API of the hub: real rules over a real store, and clients that speak bytes.

The tests named after a client repeat what that client sends, and check what it looks at.
"""

from __future__ import annotations

import json
import uuid
from contextlib import contextmanager

import pytest

from tests.support.hub_in_memory import HubInMemory
from tests.support.links import PlainCore, Recorder
from tests.support.paws import Wire
from txbridge.cosm.messages import MAX_DOCUMENT
from txbridge.cosm.paws_server import PawsOptions, PawsServer
from txbridge.cosm.protocol import Answered, PawsConnection, PawsLimits, Pushed, Subscribed
from txbridge.hub.auth import digest_of
from txbridge.hub.store import KeyRecord, Written
from txbridge.model.accounts import Key, Permission
from txbridge.net.http1 import Request
from txbridge.net.http_server import HttpServerFactory
from txbridge.net.lines import connect_stream
from txbridge.net.websocket import connect_websocket

FEED = {
    "title": "Boiler room",
    "version": "1.0.0",
    "datastreams": [{"id": "pump", "current_value": "off"}, {"id": "flow", "current_value": "22.50"}],
}
OTHER = "somebody-elses-key-0123456789"
DEFAULTS = PawsOptions(host="hub.test")
PORT = 9081  # of TCP; 9080 is HTTP with WebSockets


class Hub:
    """A hub in memory whose socket API has options of its own."""

    def __init__(self, hub, options):
        self.hub = hub
        self.live = hub.live
        self.network = hub.network
        self.clock = hub.network.clock
        self.settle = hub.settle
        self.key = hub.api_key
        self.headers = {"X-ApiKey": self.key}
        self.paws = PawsServer(hub.server, hub.live, self.clock, options)
        self.network.listen("hub.test", PORT, self.paws.factory)
        http = HttpServerFactory(hub.server.respond, upgrade=self.paws.upgrade, clock=self.clock)
        self.network.listen("hub.test", 9080, http)
        response = self.http("POST", "/feeds", FEED)
        self.feed_id = int(dict(response.headers)["Location"].rpartition("/")[2])
        self.feed = f"/feeds/{self.feed_id}"
        self.pump = f"{self.feed}/datastreams/pump"

    def connect(self):
        """A TCP client."""
        return Wire.connect(self.network.endpoint("hub.test", PORT), self.settle)

    def browse(self):
        """A WebSocket client."""
        owner = Recorder(PlainCore())
        self.join(owner.core, owner)
        return owner

    def join(self, core, owner):
        """Connect a core over a WebSocket."""
        endpoint = self.network.endpoint("hub.test", 9080)
        self.hub.run(connect_websocket(endpoint, "ws://hub.test:9080/", core, owner, clock=self.clock))

    def http(self, method, path, document=None, key=None):
        """A request that came over HTTP."""
        body = b"" if document is None else json.dumps(document).encode()
        headers = {"host": "hub.test", "x-apikey": key or self.key}
        return self.hub.run(self.hub.server.respond(Request(method, f"/v2{path}", "", headers, body)))

    def put(self, document, path=None):
        """A write over HTTP, pushed to whom it concerns."""
        assert self.http("PUT", path or self.feed, document).status == 200
        self.settle()

    def set_value(self, value, stream="pump"):
        """One value over HTTP."""
        self.put({"datastreams": [{"id": stream, "current_value": value}]})

    def subscribing(self, resource=None, token=None, params=None, key=None):
        """The request of a subscription."""
        headers = {"X-ApiKey": key or self.key}
        message = {"method": "subscribe", "resource": resource or self.feed, "headers": headers}
        if token is not None:
            message["token"] = token
        if params is not None:
            message["params"] = params
        return message

    def subscribe(self, wire, resource=None, token=None, params=None, key=None):
        """Subscribe."""
        assert wire.ask(self.subscribing(resource, token, params, key))["status"] == 200

    def set_key(self, login, *methods):
        """Make the account's key able to do this; nothing at all revokes it."""
        digest = digest_of(OTHER if methods else "another-key-0123456789-0123456789")
        key = Key(label=login, permissions=[Permission(access_methods=list(methods or ("get",)))])
        self.hub.run(self.hub._store.replace_keys(login, KeyRecord(digest, login, key)))

    def add_account(self, login):
        """Another account with a key that may read."""
        key = Key(label=login, permissions=[Permission(access_methods=["get"])])
        self.hub.run(self.hub._store.create_account(login, KeyRecord(digest_of(OTHER), login, key)))


@contextmanager
def opened(folder, options=DEFAULTS):
    """A hub with these options."""
    with HubInMemory(folder) as hub:
        yield Hub(hub, options)


@pytest.fixture
def hub(tmp_path):
    with opened(tmp_path) as hub:
        yield hub


def ends(message, status, reason):
    assert message["status"] == status
    assert message["body"].startswith(f"{reason}: ")
    return True


# -- requests and answers


def test_a_get_is_answered_with_the_parsed_document(hub):
    wire = hub.connect()
    wire.send({"method": "get", "resource": hub.pump, "headers": hub.headers, "token": "t-1"})
    data = wire.take()
    message = json.loads(data)
    at = message["body"].pop("at")
    assert at.endswith("Z")
    assert list(message) == ["body", "headers", "resource", "token", "status"]
    assert message == {
        "body": {"id": "pump", "current_value": "off", "version": "1.0.0"},
        "headers": {"CONTENT_TYPE": "application/json; charset=utf-8"},
        "resource": hub.pump,
        "token": "t-1",
        "status": 200,
    }
    assert b'"status":200}' in data
    assert b'"current_value":"off"' in data


def test_a_put_is_answered_without_a_body(hub):
    wire = hub.connect()
    body = {"version": "1.0.0", "datastreams": [{"id": "pump", "current_value": "on"}]}
    wire.send({"method": "put", "resource": hub.feed, "headers": hub.headers, "body": body, "token": "t-2"})
    expected = f'{{"headers":{{}},"resource":"/feeds/{hub.feed_id}","token":"t-2","status":200}}\n'
    assert wire.take() == expected.encode()


def test_a_post_with_a_body_as_text_is_answered_with_a_location(hub):
    wire = hub.connect()
    message = wire.ask(
        {
            "method": "post",
            "resource": "/feeds",
            "headers": hub.headers,
            "body": '{"title":"Attic","version":"1.0.0"}',
            "token": "t-3",
        }
    )
    assert list(message) == ["headers", "resource", "token", "status"]
    assert message["status"] == 201
    assert message["headers"]["LOCATION"] == f"http://hub.test/v2/feeds/{hub.feed_id + 1}"


@pytest.mark.parametrize(("port", "shown"), [(80, ""), (8080, ":8080")])
def test_addresses_name_the_port_where_http_is_when_no_name_is_set(tmp_path, port, shown):
    with opened(tmp_path, PawsOptions(http_port=port)) as hub:
        message = hub.connect().ask({"method": "get", "resource": hub.feed, "headers": hub.headers})
    address = message["body"]["feed"]
    host = address.removeprefix("http://").partition("/")[0].removesuffix(shown)
    assert address == f"http://{host}{shown}/v2{hub.feed}.json"
    assert host
    assert ":" not in host


def test_a_delete_is_answered_without_a_body(hub):
    wire = hub.connect()
    wire.send({"method": "delete", "resource": hub.feed, "headers": hub.headers, "token": "t-4"})
    expected = f'{{"headers":{{}},"resource":"/feeds/{hub.feed_id}","token":"t-4","status":200}}\n'
    assert wire.take() == expected.encode()


def test_csv_comes_as_text(hub):
    wire = hub.connect()
    message = wire.ask({"method": "get", "resource": f"{hub.pump}.csv", "headers": hub.headers})
    assert message["headers"]["CONTENT_TYPE"] == "text/csv; charset=utf-8"
    assert message["body"].endswith(",off\n")
    assert "token" not in message


def test_csv_goes_as_text(hub):
    wire = hub.connect()
    put = {"method": "put", "resource": f"{hub.pump}.csv", "headers": hub.headers, "body": "warming up"}
    assert (wire.ask(put))["status"] == 200
    message = wire.ask({"method": "get", "resource": hub.pump, "headers": hub.headers})
    assert message["body"]["current_value"] == "warming up"


def test_png_is_not_to_be_had_on_a_socket(hub):
    wire = hub.connect()
    message = wire.ask({"method": "get", "resource": f"{hub.pump}.png", "headers": hub.headers})
    assert ends(message, 406, "Not Acceptable")


@pytest.mark.parametrize("prefix", ["", "/", "/v2/", "v2/"])
def test_a_resource_may_lack_its_slash_or_have_v2(hub, prefix):
    wire = hub.connect()
    resource = f"{prefix}feeds/{hub.feed_id}"
    message = wire.ask({"method": "GET", "resource": resource, "headers": hub.headers})
    assert message["status"] == 200
    assert message["resource"] == resource


def test_params_win_over_the_query(hub):
    wire = hub.connect()
    message = {
        "method": "get",
        "resource": f"{hub.feed}?datastreams=flow&show_user=true",
        "headers": hub.headers,
        "params": {"datastreams": "pump"},
    }
    body = (wire.ask(message))["body"]
    assert [stream["id"] for stream in body["datastreams"]] == ["pump"]
    assert "user" in body


def test_parameters_is_another_name_of_params(hub):
    wire = hub.connect()
    message = {
        "method": "get",
        "resource": hub.feed,
        "headers": hub.headers,
        "parameters": {"datastreams": "flow"},
    }
    assert [stream["id"] for stream in (wire.ask(message))["body"]["datastreams"]] == ["flow"]


def test_every_old_key_header_and_the_key_parameter_will_do(hub):
    wire = hub.connect()
    for message in (
        {"headers": {"X-PachubeApiKey": hub.key}},
        {"headers": {"x-apikey": hub.key}},
        {"params": {"key": hub.key}},
    ):
        assert (wire.ask({"method": "get", "resource": hub.feed, **message}))["status"] == 200


def test_requests_of_one_kind_overlap_and_are_answered_in_order(hub):
    wire = hub.connect()
    count = 200
    wire.send(
        *(
            {
                "method": "put",
                "resource": hub.pump,
                "headers": hub.headers,
                "body": {"current_value": str(number)},
                "token": number,
            }
            for number in range(count)
        ),
        {"method": "get", "resource": hub.pump, "headers": hub.headers, "token": "last"},
    )
    assert [(wire.take_message())["token"] for _ in range(count)] == list(range(count))
    message = wire.take_message()
    assert message["body"]["current_value"] == str(count - 1)


def test_the_first_request_with_a_key_runs_alone(hub):
    """While its key is looked up, the next would overtake it."""
    asked = []
    respond = hub.hub.server.respond
    hub.hub.server.respond = lambda request: asked.append(request.headers["x-apikey"]) or respond(request)
    wire = hub.connect()
    put = {"method": "put", "resource": hub.pump, "body": {"current_value": "on"}}
    keys = [hub.key] * 3 + [OTHER] * 3
    wire.transport.write(b"".join(json.dumps(put | {"headers": {"X-ApiKey": key}}).encode() for key in keys))
    seen = [0]
    while len(wire.messages) < 6:
        hub.network.pump()
        if len(asked) > seen[-1]:
            seen.append(len(asked))
        if hub.hub._store.owed:
            hub.hub._threads.take()
    assert seen[1] == 1
    assert 4 in seen
    assert asked == keys


def test_documents_come_apart_wherever_they_are_cut(hub):
    wire = hub.connect()
    text = json.dumps({"method": "get", "resource": hub.pump, "headers": hub.headers}, indent=2).encode()
    for byte in text + b"\r\n\r\n" + text:
        wire.send(bytes([byte]))
    assert (wire.take_message())["status"] == 200
    assert (wire.take_message())["status"] == 200


# -- errors


def test_without_a_key_it_is_unauthorized(hub):
    wire = hub.connect()
    message = wire.ask({"method": "get", "resource": hub.feed, "token": "t-5"})
    assert list(message) == ["body", "resource", "token", "status"]
    assert ends(message, 401, "Unauthorized")


def test_what_is_not_there_is_not_found(hub):
    wire = hub.connect()
    message = wire.ask({"method": "get", "resource": "/feeds/999", "headers": hub.headers})
    assert ends(message, 404, "Not found")


@pytest.mark.parametrize("extension", ["", ".json", ".xml", ".csv"])
def test_an_error_is_one_line_of_text_in_every_format(hub, extension):
    wire = hub.connect()
    resource = f"/feeds/999{extension}"
    message = wire.ask({"method": "get", "resource": resource, "headers": hub.headers})
    assert ends(message, 404, "Not found")
    assert "unable to find" in message["body"]
    assert "<" not in message["body"]


def test_what_breaks_a_rule_is_unprocessable(hub):
    wire = hub.connect()
    message = wire.ask({"method": "post", "resource": "/feeds", "headers": hub.headers, "body": {}})
    assert ends(message, 422, "Unprocessable Entity")


def test_a_body_that_is_not_its_format_is_a_bad_request(hub):
    wire = hub.connect()
    message = wire.ask({"method": "put", "resource": hub.feed, "headers": hub.headers, "body": "{"})
    assert ends(message, 400, "Bad Request")


def test_what_is_not_json_is_told_once_and_the_connection_closed(hub):
    wire = hub.connect()
    wire.send({"method": "get", "resource": hub.pump, "headers": hub.headers, "token": 1}, b" ]")
    assert (wire.take_message())["token"] == 1
    message = wire.take_message()
    assert list(message) == ["body", "status"]
    assert ends(message, 400, "Syntax Error")
    assert wire.is_closed
    wire.send({"method": "get", "resource": hub.pump, "headers": hub.headers})
    assert wire.messages == []


def test_a_document_without_a_resource_is_told_and_the_connection_stays(hub):
    wire = hub.connect()
    message = wire.ask({"method": "get", "token": "t"})
    assert message == {
        "body": "Bad Request: resource must be a path such as /feeds/1",
        "token": "t",
        "status": 400,
    }
    message = wire.ask({"method": "fetch", "resource": "/feeds/1", "token": "t"})
    assert ends(message, 400, "Bad Request")
    assert message["resource"] == "/feeds/1"
    assert not wire.is_closed


def test_a_document_over_the_bound_is_told_and_the_connection_closed(tmp_path):
    options = PawsOptions(limits=PawsLimits(max_document=1000))
    with opened(tmp_path, options) as hub:
        wire = hub.connect()
        wire.send(b'{"method":"' + b"x" * 1000)
        assert ends(wire.take_message(), 400, "Syntax Error")
        assert wire.is_closed


# -- subscriptions


def test_a_subscription_is_acknowledged_without_a_body(hub):
    wire = hub.connect()
    wire.send(hub.subscribing(token="T"))
    expected = f'{{"resource":"/feeds/{hub.feed_id}","token":"T","status":200}}\n'
    assert wire.take() == expected.encode()
    assert wire.messages == []


def test_a_feed_subscriber_is_pushed_the_whole_feed(hub):
    wire = hub.connect()
    hub.subscribe(wire, token="T")
    hub.set_value("on")
    message = wire.take_message()
    assert list(message) == ["body", "resource", "token"]
    assert (message["resource"], message["token"]) == (hub.feed, "T")
    body = message["body"]
    assert body["id"] == hub.feed_id
    assert body["version"] == "1.0.0"
    assert body["feed"] == f"http://hub.test/v2/feeds/{hub.feed_id}.json"
    assert [(one["id"], one["current_value"]) for one in body["datastreams"]] == [
        ("flow", "22.50"),
        ("pump", "on"),
    ]
    assert all("datapoints" not in one for one in body["datastreams"])


def test_a_datastream_subscriber_is_pushed_the_bare_datastream(hub):
    wire = hub.connect()
    hub.subscribe(wire, hub.pump, "T")
    hub.set_value("on")
    message = wire.take_message()
    at = message["body"].pop("at")
    assert at.endswith("Z")
    assert message == {"body": {"id": "pump", "current_value": "on"}, "resource": hub.pump, "token": "T"}


def test_a_datastream_is_pushed_only_when_it_is_written_even_if_it_stays_the_same(hub):
    wire = hub.connect()
    hub.subscribe(wire, hub.pump, "T")
    hub.set_value("23", stream="flow")
    assert wire.messages == []
    hub.set_value("off")
    assert (wire.take_message())["body"]["current_value"] == "off"


def test_an_update_of_several_datastreams_is_one_push_a_subscription(hub):
    wire = hub.connect()
    hub.subscribe(wire, hub.feed, "F")
    hub.subscribe(wire, hub.pump, "P")
    hub.subscribe(wire, f"{hub.feed}/datastreams/flow", "L")
    hub.put({"datastreams": [{"id": "pump", "current_value": "on"}, {"id": "flow", "current_value": "1"}]})
    tokens = [(wire.take_message())["token"] for _ in range(3)]
    assert sorted(tokens) == ["F", "L", "P"]
    assert wire.messages == []


def test_each_token_gets_its_own_push_and_the_same_token_only_one(hub):
    wire = hub.connect()
    for token in ("a", "b", "a", None, None):
        hub.subscribe(wire, hub.pump, token)
    hub.set_value("on")
    messages = [wire.take_message() for _ in range(3)]
    assert [message.get("token") for message in messages] == ["a", "b", None]
    assert wire.messages == []


def test_metadata_is_pushed_to_subscribers_of_the_feed(hub):
    wire = hub.connect()
    hub.subscribe(wire, hub.feed, "F")
    hub.subscribe(wire, hub.pump, "P")
    hub.put({"title": "Cellar"})
    message = wire.take_message()
    assert (message["token"], message["body"]["title"]) == ("F", "Cellar")
    assert wire.messages == []


def test_history_older_than_the_current_value_is_not_pushed(hub):
    wire = hub.connect()
    hub.subscribe(wire, hub.feed, "F")
    hub.subscribe(wire, hub.pump, "P")
    hub.put({"datapoints": [{"at": "2013-06-03T09:00:00Z", "value": "1"}]}, hub.pump)
    assert wire.messages == []


def test_a_subscription_with_datapoints_is_pushed_every_point(hub):
    wire = hub.connect()
    hub.subscribe(wire, hub.feed, "F", {"datapoints": True})
    hub.subscribe(wire, hub.pump, "P", {"datapoints": "true"})
    hub.subscribe(wire, hub.pump, "plain")
    points = [{"at": f"2013-06-03T09:0{minute}:00.000000Z", "value": str(minute)} for minute in range(3)]
    hub.put({"datapoints": points}, hub.pump)
    feed, datastream = [wire.take_message() for _ in range(2)]
    flow, pump = feed["body"]["datastreams"]
    assert "datapoints" not in flow
    assert [(point["at"], point["value"]) for point in pump["datapoints"]] == [
        (point["at"], point["value"]) for point in points
    ]
    assert datastream["token"] == "P"
    assert datastream["body"]["datapoints"] == pump["datapoints"]
    assert wire.messages == []
    hub.put({"title": "Cellar"})
    assert all("datapoints" not in one for one in (wire.take_message())["body"]["datastreams"])


def test_the_answer_to_a_write_precedes_the_push_it_causes(hub):
    wire = hub.connect()
    hub.subscribe(wire, token="T")
    for number in range(20):
        wire.send(
            {
                "method": "put",
                "resource": hub.pump,
                "headers": hub.headers,
                "body": {"current_value": str(number)},
                "token": number,
            }
        )
        answer, push = wire.take_message(), wire.take_message()
        assert (answer["token"], answer["status"]) == (number, 200)
        assert (push["token"], "status" in push) == ("T", False)


def test_pushes_are_in_the_order_of_the_updates(hub):
    wire = hub.connect()
    hub.subscribe(wire, hub.pump, "T")
    for number in range(50):
        hub.set_value(str(number))
    values = [(wire.take_message())["body"]["current_value"] for _ in range(50)]
    assert values == [str(number) for number in range(50)]


def test_unsubscribing_ends_the_pushes(hub):
    wire = hub.connect()
    hub.subscribe(wire, token="T")
    assert hub.paws.subscriptions == 1
    message = wire.ask({"method": "unsubscribe", "resource": hub.feed, "headers": hub.headers, "token": "T"})
    assert message == {"resource": hub.feed, "token": "T", "status": 200}
    assert (hub.paws.watched_feeds, hub.paws.subscriptions) == (0, 0)
    hub.set_value("on")
    assert wire.messages == []


def test_unsubscribing_from_what_is_not_subscribed_to_is_fine(hub):
    wire = hub.connect()
    message = wire.ask({"method": "unsubscribe", "resource": "/feeds/999", "token": 5})
    assert message == {"resource": "/feeds/999", "token": 5, "status": 200}


def test_subscribing_and_unsubscribing_at_once_leaves_nothing(hub):
    wire = hub.connect()
    wire.send(hub.subscribing(token="T"), {"method": "unsubscribe", "resource": hub.feed, "token": "T"})
    for _ in range(2):
        assert (wire.take_message())["status"] == 200
    assert hub.paws.watched_feeds == 0


def test_only_feeds_and_datastreams_can_be_subscribed_to(hub):
    wire = hub.connect()
    assert ends(wire.ask(hub.subscribing("/feeds", "T")), 400, "Bad Request")
    assert ends(wire.ask(hub.subscribing("/feeds/999", "T")), 404, "Not found")
    assert ends(wire.ask(hub.subscribing(f"{hub.feed}/datastreams/none", "T")), 404, "Not found")
    message = wire.ask({"method": "subscribe", "resource": hub.feed, "token": "T"})
    assert ends(message, 401, "Unauthorized")
    assert message["token"] == "T"
    assert hub.paws.watched_feeds == 0


def test_a_deleted_feed_is_told_once_to_each_subscription(hub):
    wire = hub.connect()
    hub.subscribe(wire, token="T")
    hub.subscribe(wire, hub.pump)
    assert (hub.http("DELETE", hub.feed)).status == 200
    messages = [wire.take_message() for _ in range(2)]
    assert [list(message) for message in messages] == [
        ["body", "resource", "token", "status"],
        ["body", "resource", "status"],
    ]
    assert all(ends(message, 404, "Not found") for message in messages)
    assert hub.paws.watched_feeds == 0
    assert wire.messages == []


def test_a_deleted_datastream_is_told_to_those_who_subscribed_to_it(hub):
    wire = hub.connect()
    hub.subscribe(wire, hub.feed, "F")
    hub.subscribe(wire, hub.pump, "P")
    assert (hub.http("DELETE", hub.pump)).status == 200
    messages = {message["token"]: message for message in [wire.take_message() for _ in range(2)]}
    assert ends(messages["P"], 404, "Not found")
    assert [stream["id"] for stream in messages["F"]["body"]["datastreams"]] == ["flow"]
    hub.set_value("on")
    assert (wire.take_message())["token"] == "F"
    assert wire.messages == []


def test_who_may_not_see_a_feed_any_more_is_dropped_silently(hub):
    hub.add_account("other")
    wire = hub.connect()
    hub.subscribe(wire, token="T", key=OTHER)
    hub.set_value("on")
    assert wire.take_message()["token"] == "T"
    hub.put({"private": "true"})
    hub.set_value("off")
    assert wire.messages == []
    assert hub.paws.watched_feeds == 0


def test_a_revoked_key_is_dropped_silently(hub):
    hub.add_account("other")
    wire = hub.connect()
    hub.subscribe(wire, token="T", key=OTHER)
    hub.set_key("other")
    hub.clock.advance(61)
    hub.set_value("on")  # this push has the key looked up again
    wire.messages.clear()
    hub.set_value("off")
    assert wire.messages == []
    assert hub.paws.watched_feeds == 0


def test_a_write_that_began_before_anybody_listened_is_pushed_too(hub):
    wire = hub.connect()
    hub.subscribe(wire, token="T")
    hub.live.publish(Written(hub.feed_id, changed=("pump",)))
    hub.settle()
    message = wire.take_message()
    assert message["body"]["id"] == hub.feed_id


def test_subscriptions_end_with_their_connection(hub):
    wire = hub.connect()
    hub.subscribe(wire, token="T")
    wire.leave()
    assert hub.paws.watched_feeds == 0
    assert hub.paws.connections == 0
    hub.set_value("on")


def test_a_write_whose_client_went_away_is_done(hub):
    wire = hub.connect()
    put = {"method": "put", "resource": hub.pump, "headers": hub.headers, "body": {"current_value": "on"}}
    wire.transport.write(json.dumps(put).encode())
    hub.network.pump()
    hub.network.pump()
    wire.leave()
    assert json.loads(hub.http("GET", hub.pump).body)["current_value"] == "on"


def test_subscriptions_of_a_connection_are_bounded(tmp_path):
    with opened(tmp_path, PawsOptions(limits=PawsLimits(max_subscriptions=1))) as hub:
        wire = hub.connect()
        hub.subscribe(wire, token="T")
        assert ends(wire.ask(hub.subscribing(token="U")), 403, "Forbidden")


# -- slow subscribers


def fatten(hub):
    """Make the feed so large that a few of it fill a socket's buffers."""
    hub.put({"datastreams": [{"id": f"x{number}", "current_value": "y" * 250} for number in range(100)]})


def test_a_subscriber_that_reads_nothing_gets_the_newest_and_is_told_what_it_missed(tmp_path):
    with opened(tmp_path, PawsOptions(limits=PawsLimits(queue_messages=5))) as hub:
        fatten(hub)
        slow, fast = hub.connect(), hub.connect()
        hub.subscribe(slow, token="S")
        hub.subscribe(fast, token="F")
        slow.hold()
        for number in range(40):
            hub.set_value(str(number), "flow")
        slow.release()

        def values(wire):
            return [int(message["body"]["datastreams"][0]["current_value"]) for message in messages[wire]]

        messages = {wire: wire.take_all() for wire in (slow, fast)}
        assert values(fast) == list(range(40))
        assert all("skipped" not in message for message in messages[fast])
        assert values(slow)[-1] == 39
        assert len(messages[slow]) < 10
        skipped = [message.get("skipped", 0) for message in messages[slow]]
        assert len(messages[slow]) + sum(skipped) == 40
        assert values(slow) == sorted(values(slow))
        hub.set_value("40", "flow")
        assert "skipped" not in slow.take_all()[-1]


def test_a_subscriber_that_reads_nothing_for_five_minutes_is_cut_off(tmp_path):
    with opened(tmp_path, PawsOptions(limits=PawsLimits(queue_messages=5))) as hub:
        fatten(hub)
        slow = hub.connect()
        hub.subscribe(slow, token="S")
        slow.hold()
        for number in range(20):
            hub.set_value(str(number))
        hub.clock.advance(299)
        hub.settle()
        assert hub.paws.connections == 1
        hub.clock.advance(1)
        hub.settle()
        assert hub.paws.connections == 0
        assert hub.paws.watched_feeds == 0


def test_a_subscriber_that_takes_minutes_to_read_a_message_is_not_cut_off(tmp_path):
    with opened(tmp_path, PawsOptions(limits=PawsLimits(queue_messages=5))) as hub:
        fatten(hub)
        slow = hub.connect()
        hub.subscribe(slow, token="S")
        for _ in range(3):
            slow.hold()
            for number in range(20):
                hub.set_value(str(number), "flow")
            hub.clock.advance(250)
            slow.release()
            assert [message["body"]["datastreams"] for message in slow.take_all()]
        assert hub.paws.connections == 1


def test_a_subscriber_of_more_than_fits_the_bound_is_cut_off(tmp_path):
    with opened(tmp_path, PawsOptions(limits=PawsLimits(queue_bytes=100_000))) as hub:
        fatten(hub)
        slow = hub.connect()
        for token in range(10):
            hub.subscribe(slow, token=token)
        slow.hold()
        hub.set_value("on")
        hub.set_value("off")
        assert hub.paws.connections == 0


def test_a_client_that_reads_no_answers_is_read_no_more(tmp_path):
    with opened(tmp_path, PawsOptions(limits=PawsLimits(max_requests=10))) as hub:
        fatten(hub)
        asked = []
        respond = hub.hub.server.respond
        hub.hub.server.respond = lambda request: asked.append(request) or respond(request)
        wire = hub.connect()
        wire.hold()
        for number in range(100):
            wire.send({"method": "get", "resource": hub.feed, "headers": hub.headers, "token": number})
        assert 10 <= len(asked) < 30
        wire.release()
        assert [message["token"] for message in wire.take_all()] == list(range(100))


def test_connections_are_bounded(tmp_path):
    with opened(tmp_path, PawsOptions(max_connections=1)) as hub:
        first = hub.connect()
        hub.subscribe(first)
        second = hub.connect()
        assert second.is_closed
        assert second.messages == []
        assert hub.paws.connections == 1
        first.leave()
        hub.subscribe(hub.connect())


def test_a_newcomer_takes_the_place_of_the_oldest_who_has_no_key(tmp_path):
    with opened(tmp_path, PawsOptions(max_connections=3)) as hub:
        guest = hub.connect()
        hub.subscribe(guest)
        strangers = [hub.connect(), hub.connect()]
        strangers[0].ask({"method": "get", "resource": hub.feed, "headers": {"X-ApiKey": "a-guess"}})
        newcomer = hub.connect()
        assert [stranger.is_closed for stranger in strangers] == [True, False]
        hub.subscribe(newcomer)
        browser = hub.browse()
        assert browser.error is None
        assert [stranger.is_closed for stranger in strangers] == [True, True]
        hub.set_value("on")
        assert [len(wire.take_all()) for wire in (guest, newcomer)] == [1, 1]
        assert hub.paws.connections == 3


@pytest.mark.parametrize("framed", [False, True])
def test_who_has_no_key_is_let_go_after_some_minutes_and_who_has_one_is_not(hub, framed):
    guest = hub.connect()
    assert guest.ask({"method": "get", "resource": hub.pump, "headers": hub.headers})["status"] == 200
    stranger = hub.browse() if framed else hub.connect()
    for _ in range(30):
        hub.clock.advance(10)
        hub.settle()
    said = stranger.events[0] if framed else stranger.take()
    assert ends(json.loads(said), 408, "Request Timeout")
    assert (stranger.error is not None) if framed else stranger.is_closed
    assert not guest.is_closed
    hub.subscribe(guest)


def test_a_message_that_does_not_end_is_told_and_the_connection_closed(hub):
    wire = hub.connect()
    hub.subscribe(wire)
    wire.send(b'{"method":"get","resource":"/feeds/')
    for _ in range(6):
        hub.clock.advance(10)
        wire.send(b"1")
    assert ends(wire.take_message(), 408, "Request Timeout")
    assert wire.is_closed
    assert hub.paws.held.held == 0


def test_who_holds_most_of_what_is_not_finished_is_cut_off_when_it_is_too_much_together(tmp_path):
    with opened(tmp_path, PawsOptions(max_held_bytes=400_000)) as hub:
        wires = [hub.connect() for _ in range(4)]
        for wire, size in zip(wires, (100_000, 150_000, 40_000, 90_000), strict=True):
            wire.send(b'{"a":"' + b"x" * size)
        assert not any(wire.is_closed for wire in wires)
        endpoint = hub.network.endpoint("hub.test", 9080)
        masked = b"\x01\xff" + (200_000).to_bytes(8, "big") + bytes(4) + b"y" * 160_000
        handshake = (
            b"GET / HTTP/1.1\r\nHost: hub.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        framed = Wire.connect(endpoint, hub.settle)
        framed.send(handshake)
        framed.send(masked)
        assert [wire.is_closed for wire in wires] == [False, True, False, False]
        assert not framed.is_closed
        wires[0].send(b"x" * 100_000)
        assert [wire.is_closed for wire in wires] == [True, True, False, False]
        hub.subscribe(hub.connect())


def test_of_those_who_do_not_read_the_one_with_most_is_cut_off_when_it_is_too_much_together(tmp_path):
    with opened(tmp_path, PawsOptions(max_held_bytes=500_000)) as hub:
        fatten(hub)
        wires = [hub.connect() for _ in range(3)]
        for wire in wires:
            hub.subscribe(wire)
        greedy = hub.connect()
        for token in range(10):
            hub.subscribe(greedy, token=token)
        for wire in (*wires[1:], greedy):
            wire.hold()
        for number in range(8):
            hub.set_value(str(number))
        assert greedy.is_closed
        assert not any(wire.is_closed for wire in wires)
        assert len(wires[0].take_all()) == 8


def test_who_leaves_one_answer_unread_is_cut_off_in_the_end_and_counted_meanwhile(hub):
    fatten(hub)
    wire = hub.connect()
    assert wire.ask({"method": "get", "resource": hub.pump, "headers": hub.headers})["status"] == 200
    wire.hold()
    for _ in range(5):
        wire.send({"method": "get", "resource": hub.feed, "headers": hub.headers})
    assert hub.paws.held.held > 50_000
    hub.clock.advance(299)
    hub.settle()
    assert hub.paws.connections == 1
    hub.clock.advance(1)
    hub.settle()
    assert hub.paws.connections == 0
    assert hub.paws.held.held == 0


def test_what_all_subscriptions_together_take_is_bounded(tmp_path):
    with opened(tmp_path, PawsOptions(max_subscription_bytes=5000)) as hub:
        first, second = hub.connect(), hub.connect()
        hub.subscribe(first, token="A")
        assert ends(second.ask(hub.subscribing(token="x" * 2000)), 403, "Forbidden")
        hub.subscribe(second, token="B")
        assert ends(second.ask(hub.subscribing(token="C")), 403, "Forbidden")
        first.leave()
        hub.subscribe(second, token="C")
        hub.set_value("on")
        assert [message["token"] for message in second.take_all()] == ["B", "C"]


def test_closing_ends_every_connection_and_accepts_no_more(hub):
    wire = hub.connect()
    hub.subscribe(wire, token="T")
    closed = hub.paws.close()
    assert not closed.called
    hub.settle()
    assert closed.called
    assert wire.is_closed
    assert hub.connect().is_closed
    assert hub.paws.close().called


def test_closing_waits_for_the_answers_that_are_due(hub):
    wire = hub.connect()
    wire.transport.write(
        json.dumps({"method": "get", "resource": hub.feed, "headers": hub.headers, "token": 1}).encode()
    )
    hub.network.pump()
    hub.network.pump()
    hub.paws.close()
    hub.settle()
    assert wire.take_message()["token"] == 1
    assert wire.is_closed


# -- the clients there were


def test_txcosm(hub):
    """Text bodies, a UUID as token, no terminator; indexes every message by its token."""
    wire = hub.connect()
    token = str(uuid.uuid1())
    base = {"headers": {"X-ApiKey": hub.key}, "token": token}
    message = wire.ask({"method": "subscribe", "resource": hub.feed, **base})
    assert (message["token"], message["status"]) == (token, 200)
    created = str(uuid.uuid1())
    message = wire.ask(
        {
            "method": "post",
            "resource": "/feeds",
            "headers": {"X-ApiKey": hub.key},
            "body": json.dumps({"title": "A", "version": [0, 1, 0]}),
            "token": created,
        }
    )
    assert (message["token"], message["status"]) == (created, 201)
    assert int(message["headers"]["LOCATION"].rpartition("/")[2]) > hub.feed_id
    hub.set_value("on")
    push = wire.take_message()
    assert push["token"] == token
    assert isinstance(push["body"], dict)
    message = wire.ask({"method": "unsubscribe", "resource": hub.feed, **base})
    assert (message["token"], message["status"]) == (token, 200)


def test_txcosm_creates_a_datastream_at_its_own_address(hub):
    wire = hub.connect()
    body = json.dumps({"version": "1.0.0", "datastreams": [{"id": "new", "current_value": "1"}]})
    message = wire.ask(
        {"method": "post", "resource": f"{hub.feed}/datastreams/new", "headers": hub.headers, "body": body}
    )
    assert message["status"] == 201
    assert message["headers"]["LOCATION"].endswith("/datastreams/new")


def test_txpachube(hub):
    """The older header."""
    wire = hub.connect()
    message = {
        "method": "subscribe",
        "resource": hub.feed,
        "headers": {"X-PachubeApiKey": hub.key},
        "token": "u",
    }
    assert wire.ask(message) == {"resource": hub.feed, "token": "u", "status": 200}


def test_pstream(hub):
    """Takes each read for one document; a token that starts with its method; a misspelt method."""
    wire = hub.connect()
    token = f"subscribe:{uuid.uuid4()}"
    headers = {"X-PachubeApiKey": hub.key}
    message = wire.ask({"headers": headers, "method": "subscribe", "resource": hub.feed, "token": token})
    assert "body" not in message
    for value in ("1", "2", "3"):
        hub.set_value(value)
    for value in ("1", "2", "3"):
        message = json.loads(wire.take())
        assert message["token"].startswith("subscribe")
        assert message["body"]["datastreams"][1]["current_value"] == value
    message = wire.ask({"headers": headers, "method": "unsubsribe", "resource": hub.feed, "token": token})
    assert message["status"] == 200
    hub.set_value("4")
    assert wire.messages == []


def test_npstream(hub):
    """Every member on every request, empty bodies too; unsubscribes with a fresh token."""
    wire = hub.connect()

    def message(method, resource):
        return {
            "headers": {"X-PachubeApiKey": hub.key},
            "method": method,
            "resource": resource,
            "params": {},
            "body": {},
            "token": f"{method}:{uuid.uuid4()}",
        }

    assert "body" not in wire.ask(message("subscribe", hub.feed))
    answer = wire.ask(message("get", hub.feed))
    assert (answer["status"], answer["body"]["id"]) == (200, hub.feed_id)
    put = message("put", hub.feed) | {"body": {"datastreams": [{"id": "pump", "current_value": "on"}]}}
    answer, push = wire.ask(put), wire.take_message()
    assert (answer["token"], "body" in answer) == (put["token"], False)
    assert (push["token"].startswith("subscribe:"), "status" in push) == (True, False)
    assert (wire.ask(message("unsubscribe", hub.feed)))["status"] == 200
    hub.set_value("off")
    assert wire.messages == []


def test_npstream_sends_documents_one_after_the_other_without_anything_between(hub):
    wire = hub.connect()
    get = {"headers": {"X-PachubeApiKey": hub.key}, "method": "get", "resource": hub.pump, "body": {}}
    wire.send(*[get | {"token": f"get:{number}"} for number in range(3)])
    assert [(wire.take_message())["token"] for _ in range(3)] == ["get:0", "get:1", "get:2"]


def test_xively_cli(hub):
    """One line without a token; prints lines; looks for the text of a 4xx status."""
    wire = hub.connect()
    wire.send(json.dumps(hub.subscribing()).encode() + b"\n")
    assert wire.take() == f'{{"resource":"{hub.feed}","status":200}}\n'.encode()
    hub.set_value("on")
    assert b'"status":40' not in wire.take()
    wire.send(json.dumps(hub.subscribing("/feeds/999")).encode() + b"\n")
    assert b'"status":40' in wire.take()


def test_netcat_gets_its_answers_after_it_has_closed_its_half(hub):
    """``printf … | nc -N``; its subscription ends with it, for it looks like a client that is gone."""
    wire = hub.connect()
    get = {"method": "get", "resource": hub.pump, "headers": hub.headers}
    messages = [get | {"token": "1"}, hub.subscribing(token="2"), get | {"token": "3"}]
    wire._ends().write(b"".join(json.dumps(message).encode() for message in messages))
    wire.finish()
    assert [(message["token"], message["status"]) for message in wire.take_all()] == [
        ("1", 200),
        ("2", 200),
        ("3", 200),
    ]
    assert wire.is_closed
    assert hub.paws.connections == hub.paws.watched_feeds == 0


def test_a_client_that_closes_its_half_and_reads_nothing_is_not_kept(hub):
    wire = hub.connect()
    hub.put({"description": "x" * 200_000})
    wire.hold()
    wire._ends().write(json.dumps({"method": "get", "resource": hub.feed, "headers": hub.headers}).encode())
    wire.finish()
    assert hub.paws.connections == 1
    hub.clock.advance(11)
    hub.settle()
    assert hub.paws.connections == 0


def test_arduino_sketches(hub):
    """Several lines and blank ones; scans for the text of the value."""
    wire = hub.connect()
    wire.send(
        b'\r\n{\r\n  "method" : "subscribe",\r\n  "resource" : "' + hub.pump.encode() + b'",\r\n'
        b'  "headers" :\r\n  {\r\n    "X-PachubeApiKey" : "' + hub.key.encode() + b'"\r\n  }\r\n}\r\n\r\n'
    )
    assert (wire.take_message())["status"] == 200
    hub.set_value("on")
    assert b'"current_value":"on"' in wire.take()


# -- over a WebSocket


def say(hub, browser, text):
    """Send a text; what comes back."""
    browser.core.unsent.append(text.encode())
    browser.link.flush()
    hub.settle()
    return heard(browser)


def heard(browser):
    """What came since."""
    events, browser.events = browser.events, []
    return [event.decode() for event in events]


def test_xively_js(hub):
    """Blanks after commas, no token, over a WebSocket; dispatches by the exact resource."""
    browser = hub.browse()
    text = f'{{"headers":{{"X-ApiKey":"{hub.key}"}}, "method":"subscribe", "resource":"{hub.feed}"}}'
    assert say(hub, browser, text) == [f'{{"resource":"{hub.feed}","status":200}}']
    hub.set_value("on")
    (push,) = heard(browser)
    message = json.loads(push)
    assert list(message) == ["body", "resource"]
    assert message["resource"] == hub.feed
    assert message["body"]["feed"] == f"http://hub.test:9080/v2{hub.feed}.json"


def test_ios_sample(hub):
    """Pretty-printed over a WebSocket, a numeric status is an answer; unsubscribes with a fresh token."""
    browser = hub.browse()

    def pretty(method, token):
        message = {"method": method, "resource": hub.feed, "headers": hub.headers, "token": token}
        return json.dumps(message, indent=2)

    (answer,) = say(hub, browser, pretty("subscribe", "a1"))
    assert json.loads(answer) == {"resource": hub.feed, "token": "a1", "status": 200}
    hub.set_value("on")
    (push,) = heard(browser)
    assert "status" not in json.loads(push)
    (answer,) = say(hub, browser, pretty("unsubscribe", "b2"))
    assert json.loads(answer) == {"resource": hub.feed, "token": "b2", "status": 200}
    hub.set_value("off")
    assert heard(browser) == []


def test_on_a_websocket_what_is_not_json_is_told_and_the_connection_stays(hub):
    browser = hub.browse()
    (answer,) = say(hub, browser, "]")
    assert answer == '{"body":"Syntax Error: unexpected character at offset 0","status":400}'
    (answer,) = say(hub, browser, json.dumps({"method": "get", "resource": hub.pump, "headers": hub.headers}))
    assert json.loads(answer)["status"] == 200


def test_on_a_websocket_a_document_over_the_bound_is_told_and_the_connection_closed(hub):
    browser = hub.browse()
    browser.core.unsent.append(json.dumps({"a": "x" * MAX_DOCUMENT}).encode())
    browser.link.flush()
    hub.settle()
    assert (
        browser.events[0].decode()
        == '{"body":"Syntax Error: a document is longer than 1048576 bytes","status":400}'
    )
    assert "closed with 1009" in str(browser.error)


def test_closing_the_hub_closes_websockets(hub):
    browser = hub.browse()
    closed = hub.paws.close()
    hub.settle()
    assert closed.called
    assert str(browser.error) == "connection: connection lost: closed with 1000: the server closed it"


@pytest.mark.parametrize("framed", [False, True])
def test_our_own_client_understands_our_own_server(hub, framed):
    """The client's core at the server, over both transports."""
    core = PawsConnection(framed=framed)
    owner = Recorder(core)
    if framed:
        hub.join(core, owner)
    else:
        endpoint = hub.network.endpoint("hub.test", PORT)
        hub.hub.run(connect_stream(endpoint, core, owner, clock=hub.clock, peer="hub.test"))
    core.request("a", "get", hub.pump, headers=hub.headers)
    core.subscribe("b", hub.pump, headers=hub.headers, params={"datapoints": True})
    core.request("c", "put", hub.pump, headers=hub.headers, body='{"current_value":"on"}')
    core.request("d", "get", hub.feed, headers={"X-ApiKey": "wrong"})
    owner.link.flush()
    hub.settle()
    read, subscribed, put, pushed, refused = owner.events
    assert isinstance(read, Answered)
    assert json.loads(read.body)["current_value"] == "off"
    assert subscribed == Subscribed("b", hub.pump)
    assert put == Answered("c", 200)
    assert isinstance(pushed, Pushed)
    body = json.loads(pushed.body)
    assert [point["value"] for point in body["datapoints"]] == ["on"]
    assert isinstance(refused, Answered)
    assert (refused.status, refused.body[:14]) == (401, b"Unauthorized: ")
