"""Tunnels through an HTTP proxy, and which proxy the environment names."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from zope.interface.verify import verifyObject

from tests.support.certificates import Authority
from tests.support.proxies import ConnectProxy
from txbridge.errors import ConfigError, ConnectError, TimedOut
from txbridge.net.deadline import with_deadline
from txbridge.net.endpoint import client_endpoint
from txbridge.net.memory import MemoryNetwork
from txbridge.net.proxy import MAX_HEAD, Proxy, ProxyEndpoint, proxy_from_environment
from txbridge.net.tls import client_tls

PROXY = Proxy("proxy.test", 3128)


class Echo(Protocol):
    """Answers with what it got."""

    transport: Any

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)


class Saying(Protocol):
    """A proxy with a fixed answer."""

    transport: Any
    answer = b""

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(self.answer)
        self.answer = b""


class Hanging(Protocol):
    """A proxy that hangs up."""

    transport: Any

    def dataReceived(self, data: bytes) -> None:
        self.transport.loseConnection()


class Caller(Protocol):
    """Writes, and keeps what comes back."""

    transport: Any

    def __init__(self) -> None:
        self.data = b""

    def connectionMade(self) -> None:
        self.transport.write(b"hello")

    def dataReceived(self, data: bytes) -> None:
        self.data += data


def tunnel(network: MemoryNetwork, proxy: Proxy = PROXY, host: str = "server.test") -> Deferred[Any]:
    return client_endpoint(network.reactor, host, 7, proxy=proxy).connect(Factory.forProtocol(Caller))


def fixed(network: MemoryNetwork, answer: bytes) -> None:
    """Serve a proxy that says only this."""

    class This(Saying):
        pass

    This.answer = answer
    network.listen("proxy.test", 3128, Factory.forProtocol(This))


def refusal(network: MemoryNetwork) -> str:
    with pytest.raises(ConnectError) as caught:
        network.run(tunnel(network))
    assert caught.value.peer == "server.test:7"
    return caught.value.reason


@pytest.fixture
def network() -> MemoryNetwork:
    return MemoryNetwork()


def test_bytes_go_through_the_tunnel_both_ways(network: MemoryNetwork) -> None:
    proxy = ConnectProxy(network.reactor)
    network.listen("proxy.test", 3128, proxy)
    network.listen("server.test", 7, Factory.forProtocol(Echo))
    caller = network.run(tunnel(network))
    network.pump()
    assert caller.data == b"hello"
    assert proxy.heads == ["CONNECT server.test:7 HTTP/1.1\r\nHost: server.test:7"]


def test_credentials_are_sent_and_never_shown(network: MemoryNetwork) -> None:
    proxy = ConnectProxy(network.reactor, require="ada:l\u00f6ve:lace")
    network.listen("proxy.test", 3128, proxy)
    network.listen("server.test", 7, Factory.forProtocol(Echo))
    with_password = Proxy("proxy.test", 3128, "ada", "l\u00f6ve:lace")
    network.run(tunnel(network, with_password))
    sent = base64.b64encode("ada:l\u00f6ve:lace".encode()).decode()
    assert proxy.heads[0].endswith(f"Proxy-Authorization: Basic {sent}")
    assert repr(with_password) == "Proxy(host='proxy.test', port=3128)"
    endpoint = ProxyEndpoint(with_password, "server.test", 7, network.endpoint("proxy.test", 3128))
    assert "ve:lace" not in repr(endpoint)
    assert verifyObject(IStreamClientEndpoint, endpoint)


def test_a_refusal_of_the_credentials_is_told_without_them(network: MemoryNetwork) -> None:
    network.listen("proxy.test", 3128, ConnectProxy(network.reactor, require="ada:lovelace"))
    with pytest.raises(ConnectError) as caught:
        network.run(tunnel(network, Proxy("proxy.test", 3128, "ada", "wrong-password")))
    assert caught.value.reason == "proxy proxy.test:3128: it answered 407 Proxy Authentication Required"
    assert "wrong-password" not in str(caught.value)
    network.pump()
    assert network.connections == 0


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "it answered 502 Bad Gateway"),
        (b"HTTP/1.0 403\r\nX: y\r\n\r\n", "it answered 403"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "it does not answer like an HTTP proxy"),
        (b"HTTP/1.1 abc\r\n\r\n", "it does not answer like an HTTP proxy"),
        (b"HTTP/1.1 2\r\n\r\n", "it does not answer like an HTTP proxy"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * MAX_HEAD, f"its answer is over {MAX_HEAD} bytes"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * MAX_HEAD + b"\r\n\r\n", f"its answer is over {MAX_HEAD} bytes"),
    ],
)
def test_any_other_answer_refuses_in_words(network: MemoryNetwork, answer: bytes, words: str) -> None:
    fixed(network, answer)
    assert refusal(network) == f"proxy proxy.test:3128: {words}"
    network.pump()
    assert network.connections == 0


def test_what_follows_the_head_belongs_to_the_tunnel(network: MemoryNetwork) -> None:
    fixed(network, b"HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\nbanner")
    caller = network.run(tunnel(network))
    assert caller.data == b"banner"


@pytest.mark.parametrize("step", [1, 2, 3, 7])
def test_the_head_may_come_in_any_pieces(network: MemoryNetwork, step: int) -> None:
    fixed(network, b"HTTP/1.1 200 OK\r\nVia: x\r\n\r\nbanner")
    network.slow(step)
    caller = network.run(tunnel(network))
    network.pump()
    assert caller.data.startswith(b"banner")


def test_a_proxy_that_hangs_up_refuses(network: MemoryNetwork) -> None:
    network.listen("proxy.test", 3128, Factory.forProtocol(Hanging))
    assert "closed the connection before it answered" in refusal(network)


def test_a_silent_proxy_is_given_up_at_the_caller_s_deadline(network: MemoryNetwork) -> None:
    network.listen("proxy.test", 3128, Factory.forProtocol(Protocol))
    waiting = with_deadline(network.clock, tunnel(network), 5, operation="connect", phase="connect")
    with pytest.raises(TimedOut):
        network.run(waiting)
    network.pump()
    assert (network.clock.seconds(), network.connections) == (5, 0)


def test_cancelling_aborts_the_attempt(network: MemoryNetwork) -> None:
    network.listen("proxy.test", 3128, Factory.forProtocol(Protocol))
    connecting = tunnel(network)
    network.pump()
    connecting.cancel()
    with pytest.raises(CancelledError):
        network.run(connecting)
    network.pump()
    assert network.connections == 0


def test_an_address_of_version_6_is_in_brackets(network: MemoryNetwork) -> None:
    proxy = ConnectProxy(network.reactor)
    network.listen("proxy.test", 3128, proxy)
    with pytest.raises(ConnectError, match=r"cannot connect to \[::1\]:7"):
        network.run(tunnel(network, host="::1"))
    assert proxy.heads[0].startswith("CONNECT [::1]:7 HTTP/1.1\r\nHost: [::1]:7")


async def test_tls_goes_through_the_tunnel_over_real_sockets() -> None:
    """The proxy resolves the name, and the certificate is the target's, not the proxy's."""
    from twisted.internet import reactor
    from twisted.protocols.tls import TLSMemoryBIOFactory

    authority = Authority()
    server = TLSMemoryBIOFactory(authority.issue("server.test").server(), False, Factory.forProtocol(Echo))
    server_port = reactor.listenTCP(0, server, interface="127.0.0.1")
    proxy = ConnectProxy(reactor, names={"server.test": "127.0.0.1"})
    proxy_port = reactor.listenTCP(0, proxy, interface="127.0.0.1")

    class Once(Protocol):
        transport: Any

        def __init__(self) -> None:
            self.answer: Deferred[bytes] = Deferred()
            self.gone: Deferred[None] = Deferred()

        def dataReceived(self, data: bytes) -> None:
            self.answer.callback(data)

        def connectionLost(self, reason: Any) -> None:
            self.gone.callback(None)

    endpoint = client_endpoint(
        reactor,
        "server.test",
        server_port.getHost().port,
        tls=client_tls(authority.pem),
        proxy=Proxy("127.0.0.1", proxy_port.getHost().port),
    )
    once: Any = await endpoint.connect(Factory.forProtocol(Once))
    once.transport.write(b"through")
    assert await once.answer == b"through"
    once.transport.loseConnection()
    await once.gone
    await server_port.stopListening()
    await proxy_port.stopListening()


def test_a_proxy_is_read_from_text() -> None:
    assert Proxy.parse("http://10.0.0.1:8080/") == Proxy("10.0.0.1", 8080)
    assert Proxy.parse("proxy.test") == Proxy("proxy.test", 3128)
    assert Proxy.parse("proxy.test:1") == Proxy("proxy.test", 1)
    assert Proxy.parse("http://[::1]:8080") == Proxy("::1", 8080)
    assert Proxy.parse("http://a%40b:p%3Aw@proxy.test") == Proxy("proxy.test", 3128, "a@b", "p:w")


@pytest.mark.parametrize(
    "text",
    [
        "https://me:pass-word@proxy.test",
        "socks5://me:pass-word@proxy.test",
        "http://me:pass-word@",
        "http://me:pass-word@proxy.test:99999",
        "http://me:pass-word@proxy.test/path",
        "http://me:pass-word@[::1",
    ],
)
def test_what_is_no_http_proxy_is_refused_without_its_password(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^proxy: ") as caught:
        Proxy.parse(text)
    assert "pass-word" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "environ", "host"),
    [
        ("https://api.test/v2", {"https_proxy": "http://a:1"}, "a"),
        ("https://api.test/v2", {"HTTPS_PROXY": "http://a:1"}, "a"),
        ("https://api.test/v2", {"https_proxy": "http://a:1", "HTTPS_PROXY": "http://b:1"}, "a"),
        ("https://api.test/v2", {"http_proxy": "http://a:1"}, None),
        ("https://api.test/v2", {"http_proxy": "http://a:1", "ALL_PROXY": "b:1"}, "b"),
        ("https://api.test/v2", {"https_proxy": "", "all_proxy": "  "}, None),
        ("https://api.test/v2", {}, None),
        ("http://api.test/v2", {"HTTP_PROXY": "a:1", "https_proxy": "b:1"}, "a"),
        ("ws://api.test/", {"http_proxy": "a:1"}, "a"),
        ("wss://api.test/", {"https_proxy": "a:1"}, "a"),
        ("tcp://api.test:8081", {"http_proxy": "a:1", "https_proxy": "a:1"}, None),
        ("tcp://api.test:8081", {"all_proxy": "a:1"}, "a"),
    ],
)
def test_the_environment_names_the_proxy(url: str, environ: dict[str, str], host: str | None) -> None:
    proxy = proxy_from_environment(url, environ)
    assert (None if proxy is None else proxy.host) == host


@pytest.mark.parametrize(
    ("url", "no_proxy", "is_exempt"),
    [
        ("http://api.test/", "*", True),
        ("http://api.test/", "api.test", True),
        ("http://API.test/", "Api.Test", True),
        ("http://api.test/", ".test", True),
        ("http://api.test/", "test", True),
        ("http://api.test/", "*.test", True),
        ("http://xapi.test/", "api.test", False),
        ("http://api.test.evil/", "api.test", False),
        ("http://api.test/", "other.test, api.test", True),
        ("http://api.test/", "other.test api.test", True),
        ("http://api.test/", "api.test:80", True),
        ("http://api.test/", "api.test:8080", False),
        ("https://api.test:8443/", "api.test:8443", True),
        ("http://10.1.2.3/", "10.0.0.0/8", True),
        ("http://11.1.2.3/", "10.0.0.0/8", False),
        ("http://10.1.2.3/", "10.1.2.3", True),
        ("http://10.1.2.3:8080/", "10.1.2.3:8080", True),
        ("http://10.1.2.3/", "localhost", False),
        ("http://[::1]/", "[::1]", True),
        ("http://[fd00::1]/", "fd00::/8", True),
        ("http://[::1]:81/", "[::1]:81", True),
        ("http://api.test/", "10.0.0.0/8", False),
        ("http://api.test/", "", False),
        ("http://api.test/", ",,.", False),
    ],
)
def test_no_proxy_exempts_hosts(url: str, no_proxy: str, is_exempt: bool) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        proxy = proxy_from_environment(url, {"all_proxy": "a:1", name: no_proxy})
        assert (proxy is None) is is_exempt


@pytest.mark.parametrize("url", ["http://me:pass-word@api.test:99999/", "http://me:pass-word@[::1/"])
def test_a_url_that_is_none_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        proxy_from_environment(url, {"all_proxy": "a:1"})
    assert "pass-word" not in str(caught.value)
