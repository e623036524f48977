"""The REST client: at a real hub, and at servers that misbehave over the same real HTTP."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime

import pytest
from twisted.internet.defer import CancelledError, Deferred

from tests.contract.verbs import VerbsContract
from tests.support.deferreds import result_of
from tests.support.hub_in_memory import HubInMemory
from txbridge.cosm import operations
from txbridge.cosm.client import DEFAULT_URL, Client, Verbs
from txbridge.errors import (
    AuthError,
    Closed,
    ConfigError,
    Conflict,
    ConnectError,
    ConnectionLost,
    DecodeError,
    EncodeError,
    Forbidden,
    NotFound,
    RateLimited,
    RemoteProtocolError,
    RequestRejected,
    ServerFailed,
    TimedOut,
    TooLarge,
)
from txbridge.model.structures import Environment
from txbridge.net.http1 import Response
from txbridge.net.http_server import HttpServerFactory
from txbridge.net.memory import MemoryNetwork
from txbridge.net.operation import Answer

AT = datetime(2013, 6, 3, 9, 15, 41, 900000, tzinfo=UTC)
KEY = "k7Q-the-secret"


@pytest.fixture
def hub(tmp_path):
    with HubInMemory(tmp_path) as hub:
        yield hub


class TestClient(VerbsContract):
    """The verbs over HTTP."""

    @pytest.fixture
    def client(self, hub):
        return hub.client()


class Server:
    """Answers over real HTTP what a test tells it to.

    Attributes:
        url: Where it is.
        requests: What it was asked.
        answer: What it says: a response, or a Deferred of one.
    """

    def __init__(self, network, host="odd.test"):
        self.url = f"http://{host}/v2"
        self.requests = []
        self.answer = Response(200, (), b'{"title":"Attic"}')
        network.listen(host, 80, HttpServerFactory(self._respond, clock=network.clock))

    def _respond(self, request):
        self.requests.append(request)
        return self.answer


@pytest.fixture
def network():
    return MemoryNetwork()


@pytest.fixture
def server(network):
    return Server(network)


@pytest.fixture
def client(network, server):
    client = Client(KEY, 7, url=server.url, deadline=20, reactor=network.reactor)
    yield client
    network.run(client.close())


def test_what_travels_is_what_the_call_said(network, server, client):
    data = Environment(title="Attic")
    server.answer = Response(201, (("Location", "http://odd.test/v2/feeds/7/datastreams/9"),))
    assert network.run(client.create_datastream(format="xml", data=data)) == "9"
    (request,) = server.requests
    assert (request.method, request.path, request.query) == ("POST", "/v2/feeds/7/datastreams.xml", "")
    assert request.headers["x-apikey"] == KEY
    assert request.headers["content-type"] == request.headers["accept"] == "application/xml"
    assert request.headers["user-agent"].startswith("txbridge/")
    assert request.body == data.encode("xml").encode()


def test_ids_instants_and_parameters_are_percent_encoded(network, server, client):
    network.run(client.read_datastream(datastream_id="a+b/ü %", parameters={"start": AT, "q": "+1 &=ü"}))
    network.run(client.delete_datapoint(datastream_id="a", timestamp=AT))
    read, delete = server.requests
    assert read.path == "/v2/feeds/7/datastreams/a%2Bb%2F%C3%BC%20%25.json"
    assert read.query == "start=2013-06-03T09%3A15%3A41.900000Z&q=%2B1%20%26%3D%C3%BC"
    assert delete.path == "/v2/feeds/7/datastreams/a/datapoints/2013-06-03T09%3A15%3A41.900000Z"


def test_a_call_may_use_another_key_and_feed(network, server, client):
    network.run(client.read_feed(api_key="other", feed_id="8"))
    assert server.requests[0].headers["x-apikey"] == "other"
    assert server.requests[0].path == "/v2/feeds/8.json"


def test_without_any_key_none_is_sent(network, server, client):
    client.api_key = None
    network.run(client.read_feed())
    assert "x-apikey" not in server.requests[0].headers


VERBS = {
    "list_feeds": ("api_key format parameters", "GET /v2/feeds.json"),
    "create_feed": ("api_key format data", "POST /v2/feeds.json"),
    "read_feed": ("api_key feed_id format parameters", "GET /v2/feeds/7.json"),
    "update_feed": ("api_key feed_id format data", "PUT /v2/feeds/7.json"),
    "delete_feed": ("api_key feed_id", "DELETE /v2/feeds/7"),
    "create_datastream": ("api_key feed_id format data", "POST /v2/feeds/7/datastreams.json"),
    "read_datastream": (
        "api_key feed_id datastream_id format parameters",
        "GET /v2/feeds/7/datastreams/a.json",
    ),
    "update_datastream": ("api_key feed_id datastream_id format data", "PUT /v2/feeds/7/datastreams/a.json"),
    "delete_datastream": ("api_key feed_id datastream_id", "DELETE /v2/feeds/7/datastreams/a"),
    "create_datapoints": (
        "api_key feed_id datastream_id format data",
        "POST /v2/feeds/7/datastreams/a/datapoints.json",
    ),
    "read_datapoint": (
        "api_key feed_id datastream_id format timestamp",
        "GET /v2/feeds/7/datastreams/a/datapoints/2013-06-03T09%3A15%3A41.900000Z.json",
    ),
    "update_datapoint": (
        "api_key feed_id datastream_id format timestamp data",
        "PUT /v2/feeds/7/datastreams/a/datapoints/2013-06-03T09%3A15%3A41.900000Z.json",
    ),
    "delete_datapoint": (
        "api_key feed_id datastream_id timestamp",
        "DELETE /v2/feeds/7/datastreams/a/datapoints/2013-06-03T09%3A15%3A41.900000Z",
    ),
    "delete_datapoints": (
        "api_key feed_id datastream_id parameters",
        "DELETE /v2/feeds/7/datastreams/a/datapoints",
    ),
    "list_triggers": ("api_key format parameters", "GET /v2/triggers.json"),
    "create_trigger": ("api_key format data", "POST /v2/triggers.json"),
    "read_trigger": ("api_key trigger_id format", "GET /v2/triggers/31.json"),
    "update_trigger": ("api_key trigger_id format data", "PUT /v2/triggers/31.json"),
    "delete_trigger": ("api_key trigger_id", "DELETE /v2/triggers/31"),
    "list_users": ("api_key format", "GET /v2/users.json"),
    "create_user": ("api_key format data", "POST /v2/users.json"),
    "read_user": ("api_key user_id format", "GET /v2/users/keeper.json"),
    "update_user": ("api_key user_id format data", "PUT /v2/users/keeper.json"),
    "delete_user": ("api_key user_id", "DELETE /v2/users/keeper"),
    "list_api_keys": ("api_key format parameters", "GET /v2/keys.json"),
    "create_api_key": ("api_key format data", "POST /v2/keys.json"),
    "read_api_key": ("api_key key_id format", "GET /v2/keys/k1.json"),
    "update_api_key": ("api_key key_id format data", "PUT /v2/keys/k1.json"),
    "delete_api_key": ("api_key key_id", "DELETE /v2/keys/k1"),
    "regenerate_api_key": ("api_key key_id", "POST /v2/keys/k1/regenerate"),
}
ARGUMENTS = {
    "datastream_id": "a",
    "trigger_id": 31,
    "user_id": "keeper",
    "key_id": "k1",
    "timestamp": AT,
    "data": "{}",
}


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_has_the_arguments_of_txcosm_in_their_order(name):
    arguments, _ = VERBS[name]
    parameters = inspect.signature(getattr(Client, name)).parameters
    assert " ".join(list(parameters)[1:]) == arguments
    for argument in arguments.split():
        assert parameters[argument].default == ("json" if argument == "format" else None)


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_asks_what_it_says(name, network, server, client):
    arguments, asked = VERBS[name]
    given = {argument: value for argument, value in ARGUMENTS.items() if argument in arguments.split()}
    if name == "delete_datapoints":
        given["parameters"] = {"start": AT}
    body = b"[]" if name in ("list_triggers", "list_users") else b"{}"
    server.answer = Response(200, (("Location", "http://odd.test/v2/things/17"),), body)
    result = network.run(getattr(client, name)(**given))
    (request,) = server.requests
    assert f"{request.method} {request.path}" == asked
    assert request.headers["x-apikey"] == KEY
    if name.startswith(("create", "regenerate")) and name != "create_datapoints":
        assert result == "17"
    elif name.startswith(("list", "read")):
        assert type(result) is type(getattr(operations, name)(**_needed(name, given)).read(_empty(body)))
    else:
        assert result is True


def _needed(name, given):
    wanted = inspect.signature(getattr(operations, name)).parameters
    return {argument: value for argument, value in {**given, "feed_id": 7}.items() if argument in wanted}


def _empty(body):
    return Answer(200, {}, body)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RequestRejected),
        (401, AuthError),
        (403, Forbidden),
        (404, NotFound),
        (405, RequestRejected),
        (406, RequestRejected),
        (409, Conflict),
        (413, TooLarge),
        (422, RequestRejected),
        (429, RateLimited),
        (500, ServerFailed),
        (503, ServerFailed),
    ],
)
@pytest.mark.parametrize(
    "body",
    [
        b'{"title":"No","errors":["not","ever"]}',
        b"<errors><title>No</title><error>not</error><error>ever</error></errors>",
        b"No: not, ever\n",
    ],
)
def test_each_refusal_is_its_own_error_and_tells_why(status, kind, body, network, server, client):
    server.answer = Response(status, (), body)
    with pytest.raises(RequestRejected) as caught:
        network.run(client.update_feed(data="{}"))
    error = caught.value
    assert type(error) is kind
    assert (error.operation, error.status, error.title, error.detail) == (
        "update_feed",
        status,
        "No",
        "not, ever",
    )


def test_a_403_that_speaks_of_a_rate_limit_says_when_to_come_back(network, server, client):
    body = b'{"title":"Forbidden","errors":"Rate limit exceeded"}'
    server.answer = Response(403, (("Retry-After", "17"),), body)
    with pytest.raises(RateLimited) as caught:
        network.run(client.read_feed())
    assert caught.value.retry_after == 17


def test_an_answer_that_is_not_what_was_asked_for_is_a_decode_error(network, server, client):
    server.answer = Response(200, (), b"<html>welcome to the hotel</html>")
    with pytest.raises(DecodeError):
        network.run(client.read_feed())


def test_a_creation_without_a_location_is_a_protocol_error(network, server, client):
    server.answer = Response(201)
    with pytest.raises(RemoteProtocolError, match="Location"):
        network.run(client.create_feed(data="{}"))


def test_a_redirect_does_not_take_the_key_along(network, server, client):
    other = Server(network, "other.test")
    server.answer = Response(302, (("Location", f"{other.url}/feeds/7.json"),))
    with pytest.raises(RemoteProtocolError, match=r"other\.test"):
        network.run(client.read_feed())
    assert other.requests == []


def test_an_answer_that_does_not_come_is_a_time_out(network, server, client):
    server.answer = Deferred()
    with pytest.raises(TimedOut) as caught:
        network.run(client.read_feed())
    assert (caught.value.operation, caught.value.phase, caught.value.seconds) == ("read_feed", "answer", 20)
    assert network.clock.seconds() == 20


def test_a_link_that_is_dead_is_a_time_out_even_while_the_body_comes(network, server, client):
    title = "".join(map(str, range(40_000)))  # not much smaller when it is compressed
    server.answer = Response(200, (), f'{{"title":"{title}"}}'.encode())
    network.slow(1000, every=1.0)
    with pytest.raises(TimedOut) as caught:
        network.run(client.read_feed())
    assert caught.value.phase == "body"


def test_a_server_that_cannot_be_reached_is_a_connect_error(network):
    client = Client(KEY, 7, url="http://nobody.test/v2", reactor=network.reactor)
    with pytest.raises(ConnectError) as caught:
        network.run(client.read_feed())
    assert KEY not in str(caught.value)
    network.run(client.close())


def test_a_write_whose_answer_was_lost_is_a_lost_connection(network, server, client):
    server.answer = Deferred()
    writing = client.update_feed(data="{}")
    network.pump()
    network.cut()
    with pytest.raises(ConnectionLost) as caught:
        network.run(writing)
    assert caught.value.operation == "update_feed"
    assert len(server.requests) == 1, "a write is never sent twice"


def test_cancelling_gives_the_exchange_up_and_the_client_works_on(network, server, client):
    server.answer = Deferred()
    reading = client.read_feed()
    network.pump()
    reading.cancel()
    with pytest.raises(CancelledError):
        network.run(reading)
    assert network.connections <= 1
    server.answer = Response(200, (), b'{"title":"Attic"}')
    assert network.run(client.read_feed()).title == "Attic"


def test_many_calls_run_side_by_side(network, server, client):
    reads = [client.read_feed() for _ in range(50)]
    assert [network.run(read).title for read in reads] == ["Attic"] * 50
    assert network.connections_made <= 16


def test_nothing_is_sent_when_the_call_is_wrong(network, server, client):
    client.feed_id = None
    with pytest.raises(EncodeError) as caught:
        network.run(client.read_feed())
    assert (caught.value.path, server.requests) == ("feed_id", [])


def test_assigning_the_url_moves_the_client_to_another_server(network, server, client):
    other = Server(network, "other.test")
    other.answer = Response(200, (), b'{"title":"elsewhere"}')
    network.run(client.read_feed())
    client.api_url = other.url
    assert client.api_url == other.url
    assert network.run(client.read_feed()).title == "elsewhere"
    assert (len(server.requests), len(other.requests)) == (1, 1)


def test_a_url_that_cannot_be_asked_changes_nothing(network, server, client):
    for url in ("ftp://odd.test/", "http://me:secret@odd.test/v2"):
        with pytest.raises(ConfigError) as caught:
            client.api_url = url
        assert "secret" not in str(caught.value)
    assert client.api_url == server.url
    assert network.run(client.read_feed()).title == "Attic"


def test_a_closed_client_fails_what_is_under_way_and_what_comes(network, server, client):
    server.answer = Deferred()
    reading = client.read_feed()
    network.pump()
    network.run(client.close())
    for late in (reading, client.read_feed()):
        with pytest.raises(Closed):
            network.run(late)
    network.pump()
    assert network.connections == 0


def test_a_client_runs_on_any_carrier():
    class Recorder:
        def __init__(self):
            self.operations = []

        def run(self, operation):
            self.operations.append(operation)
            waiting = Deferred()
            waiting.callback("done")
            return waiting

    recorder = Recorder()
    client = Client(KEY, 7, carrier=recorder)
    assert result_of(client.run(operations.read_feed(7))) == "done"
    (operation,) = recorder.operations
    assert (operation.name, operation.headers["x-apikey"]) == ("read_feed", KEY)
    with pytest.raises(ConfigError, match="carrier"):
        client.api_url = "http://other.test/v2"


def test_the_key_shows_nowhere(client):
    assert KEY not in repr(client)
    assert KEY not in str(client)


def test_the_embedded_hub_is_asked_unless_a_url_is_given(network):
    assert Client(reactor=network.reactor).api_url == DEFAULT_URL == "http://127.0.0.1:8080/v2"


def test_the_verbs_know_no_transport():
    assert issubclass(Client, Verbs)
    assert not hasattr(Verbs, "api_url")
