"""Forms posted to URLs of strangers, and where they never go."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol

from txbridge.errors import ConfigError, ConnectError, RemoteProtocolError, ServerFailed, TimedOut
from txbridge.net.http1 import Response
from txbridge.net.http_server import HttpServerFactory
from txbridge.net.memory import MemoryNetwork
from txbridge.net.webhook import WebhookCarrier, webhook_problem

INSIDE = [ip_network("10.0.0.0/8")]  # where the names of a network in memory lead


class World:
    """A network with a receiver in it."""

    def __init__(self) -> None:
        self.network = MemoryNetwork()
        self.requests = []

    def serve(self, answer, host="hook.example", port=80):
        def respond(request):
            self.requests.append(request)
            return answer

        self.network.listen(host, port, HttpServerFactory(respond, clock=self.network.clock))

    def post(self, url="http://hook.example/in?token=a%20b&x", body=b"body=1", allowed=INSIDE):
        carrier = WebhookCarrier(self.network.reactor, allowed=allowed)
        return self.network.run(carrier.post_form(url, body))


@pytest.fixture
def world():
    return World()


def test_a_form_arrives(world):
    world.serve(Response(204))
    assert world.post() == 204
    (request,) = world.requests
    assert (request.method, request.path, request.query) == ("POST", "/in", "token=a%20b&x=")
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.body == b"body=1"


@pytest.mark.parametrize(
    ("host", "url"), [("8.8.8.8", "http://8.8.8.8/"), ("2606:4700::1111", "http://[2606:4700::1111]/")]
)
def test_a_public_address_needs_no_permission(world, host, url):
    world.serve(Response(200), host=host)
    assert world.post(url, allowed=()) == 200


@pytest.mark.parametrize(
    "url",
    [
        "http://hook.example/",
        "http://10.9.9.9/",
        "http://127.0.0.1/",
        "http://localhost/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
    ],
)
def test_nothing_inside_is_called_by_name_or_by_address(world, url):
    for host in ("hook.example", "10.9.9.9", "127.0.0.1"):
        world.serve(Response(200), host=host)
    with pytest.raises(ConnectError, match="not outside"):
        world.post(url, allowed=())
    assert world.requests == []


def test_a_redirect_is_not_followed(world):
    world.serve(Response(302, (("Location", "http://other.example/"),)))
    world.serve(Response(200), host="other.example")
    with pytest.raises(RemoteProtocolError, match="redirect"):
        world.post()
    assert len(world.requests) == 1


def test_a_refusal_is_an_error(world):
    world.serve(Response(500))
    with pytest.raises(ServerFailed):
        world.post()


def test_a_receiver_that_does_not_answer_is_left_after_ten_seconds(world):
    world.serve(Deferred())
    started = world.network.clock.seconds()
    with pytest.raises(TimedOut):
        world.post()
    assert world.network.clock.seconds() - started == pytest.approx(10, abs=0.1)


class Endless(Protocol):
    """Sends a body that never ends."""

    def dataReceived(self, data):
        self.transport.write(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (1 << 20))


def test_an_endless_answer_is_not_read(world):
    world.network.listen("hook.example", 80, Factory.forProtocol(Endless))
    assert world.post() == 200


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("http://hook.example", "/"),
        ("http://hook.example/", "/"),
        ("http://hook.example?a=b", "/"),
        ("http://hook.example/in", "/in"),
        ("http://hook.example/in/?a=b", "/in/"),
    ],
)
def test_the_path_is_the_one_that_was_given(world, url, path):
    world.serve(Response(200))
    assert world.post(url) == 200
    assert world.requests[0].path == path


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://hook.example/",
        "http://",
        "http://a:b@hook.example/",
        "http://[::",
        "hook.example",
        "http://h/\n",
    ],
)
def test_what_is_no_url_is_told_at_once(world, url):
    assert webhook_problem(url) is not None
    with pytest.raises(ConfigError):
        world.post(url)


@pytest.mark.parametrize(
    "url", ["http://hook.example", "https://hook.example:8443/a%20b?c=d&e#f", "http://[::1]/"]
)
def test_a_url_that_can_be_called_is_no_problem(url):
    assert webhook_problem(url) is None
