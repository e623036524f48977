"""Trust over real loopback sockets: every doubt refuses, and says which doubt it is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import SSL
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface.verify import verifyObject

from tests.support.certificates import Authority, Identity
from txbridge.errors import ConfigError, ConnectError
from txbridge.net.tls import ClientTls, ascii_host, client_tls, tls_reason

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


class Server(Protocol):
    """Echoes, and keeps who called."""

    transport: Any
    factory: Any

    def dataReceived(self, data: bytes) -> None:
        peer = self.transport.getPeerCertificate()
        name = b"" if peer is None else peer.to_cryptography().subject.rfc4514_string().encode()
        server_name = self.transport.getHandle().get_servername() or b"-"
        self.transport.write(b"%b|%b|%b" % (data, name, server_name))

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.factory.lost.append(reason.value)


class Caller(Protocol):
    """Says hello and waits for what comes back."""

    transport: Any

    def __init__(self) -> None:
        self.answer: Deferred[bytes] = Deferred()
        self.gone: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.transport.write(b"hello")

    def dataReceived(self, data: bytes) -> None:
        self.answer.callback(data)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        if not self.answer.called:
            self.answer.errback(reason)
        self.gone.callback(None)


Serve = Callable[..., int]


@pytest_twisted.async_yield_fixture
async def serve() -> AsyncIterator[Serve]:
    from twisted.internet import reactor

    ports: list[Any] = []

    def listen(identity: Identity, *, client_roots: bytes | None = None) -> int:
        factory: Any = Factory.forProtocol(Server)
        factory.lost = []
        wrapped = TLSMemoryBIOFactory(identity.server(client_roots), False, factory)
        ports.append(reactor.listenTCP(0, wrapped, interface="127.0.0.1"))
        return ports[-1].getHost().port

    yield listen
    for port in ports:
        await port.stopListening()


async def call(tls: ClientTls, port: int, host: str = "hub.test") -> bytes:
    """Connect, say hello, hang up, and return what the server said."""
    from twisted.internet import reactor

    tcp = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
    caller: Any = await tls.wrap(tcp, host, port, clock=reactor).connect(Factory.forProtocol(Caller))
    try:
        return await caller.answer
    finally:
        caller.transport.loseConnection()
        await caller.gone


async def refusal(tls: ClientTls, port: int, host: str = "hub.test") -> str:
    """Why there is no connection."""
    with pytest.raises(ConnectError) as caught:
        await call(tls, port, host)
    assert caught.value.peer == f"{host}:{port}"
    return caught.value.reason


async def test_a_certificate_of_our_root_for_the_host_is_accepted(authority: Authority, serve: Serve) -> None:
    port = serve(authority.issue("other.test", "hub.test"))
    assert await call(client_tls(authority.pem), port) == b"hello||hub.test"


async def test_an_address_is_verified_as_one_and_sends_no_server_name(
    authority: Authority, serve: Serve
) -> None:
    port = serve(authority.issue("127.0.0.1"))
    assert await call(client_tls(authority.pem), port, "127.0.0.1") == b"hello||-"
    assert "another host" in await refusal(client_tls(authority.pem), port, "127.0.0.2")


async def test_a_wrong_name_is_refused(authority: Authority, serve: Serve) -> None:
    port = serve(authority.issue("other.test"))
    assert await refusal(client_tls(authority.pem), port) == "TLS: the certificate is for another host"


async def test_a_name_only_in_the_subject_is_refused(
    authority: Authority, serve: Serve, flushed_errors: Any
) -> None:
    """Twisted's own check lets this one through."""
    port = serve(authority.issue(common_name="hub.test"))
    reason = await refusal(client_tls(authority.pem), port)
    assert "names no host" in reason
    assert flushed_errors() == []


async def test_an_unknown_root_is_refused(authority: Authority, serve: Serve) -> None:
    port = serve(authority.issue("hub.test"))
    assert "not trusted" in await refusal(client_tls(Authority("Another").pem), port)
    assert "not trusted" in await refusal(client_tls(), port)


async def test_an_expired_certificate_is_refused(authority: Authority, serve: Serve) -> None:
    port = serve(authority.issue("hub.test", starts=-2 * DAY, ends=-DAY))
    assert await refusal(client_tls(authority.pem), port) == "TLS: the certificate has expired"


async def test_a_certificate_from_the_future_is_refused(authority: Authority, serve: Serve) -> None:
    port = serve(authority.issue("hub.test", starts=DAY, ends=2 * DAY))
    assert await refusal(client_tls(authority.pem), port) == "TLS: the certificate is not valid yet"


async def test_a_client_certificate_does_not_pass_for_a_server(authority: Authority, serve: Serve) -> None:
    port = serve(authority.issue("hub.test", usage=ExtendedKeyUsageOID.CLIENT_AUTH))
    assert "not meant for servers" in await refusal(client_tls(authority.pem), port)


async def test_roots_may_be_added_to_the_system_s(authority: Authority, serve: Serve, tmp_path: Path) -> None:
    bundle = tmp_path / "roots.pem"
    bundle.write_bytes(Authority("Another").pem + authority.pem)
    port = serve(authority.issue("hub.test"))
    for tls in (client_tls(bundle, system_roots=True), client_tls([str(bundle), authority.pem])):
        assert await call(tls, port) == b"hello||hub.test"


@pytest.mark.parametrize("separate_key", [True, False])
async def test_a_client_certificate_is_shown(authority: Authority, serve: Serve, separate_key: bool) -> None:
    port = serve(authority.issue("hub.test"), client_roots=authority.pem)
    me = authority.issue("me", common_name="device 7", usage=ExtendedKeyUsageOID.CLIENT_AUTH)
    if separate_key:
        key = me.key_pem(b"secret")
        tls = client_tls(authority.pem, certificate=me.pem, private_key=key, passphrase=b"secret")
    else:
        tls = client_tls(authority.pem, certificate=me.pem + authority.pem + me.key_pem())
    assert await call(tls, port) == b"hello|CN=device 7|hub.test"


async def test_a_missing_client_certificate_is_told_in_words(authority: Authority, serve: Serve) -> None:
    """TLS 1.3 lets a client finish its handshake before it learns of this."""
    port = serve(authority.issue("hub.test"), client_roots=authority.pem)
    with pytest.raises((SSL.Error, ConnectError)) as caught:
        await call(client_tls(authority.pem), port)
    words = tls_reason(caught.value) or str(caught.value)
    assert "certificate required" in words


async def test_what_is_no_tls_is_told_in_words() -> None:
    from twisted.internet import reactor

    class Plain(Protocol):
        transport: Any

        def dataReceived(self, data: bytes) -> None:
            self.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            self.transport.loseConnection()

    port = reactor.listenTCP(0, Factory.forProtocol(Plain), interface="127.0.0.1")
    assert "wrong version number" in await refusal(client_tls(), port.getHost().port)
    await port.stopListening()


async def test_a_connection_that_closes_during_the_handshake_is_no_connection() -> None:
    from twisted.internet import reactor

    class Closing(Protocol):
        transport: Any

        def dataReceived(self, data: bytes) -> None:
            self.transport.loseConnection()

    port = reactor.listenTCP(0, Factory.forProtocol(Closing), interface="127.0.0.1")
    assert "closed during the handshake" in await refusal(client_tls(), port.getHost().port)
    await port.stopListening()


async def test_a_handshake_that_stalls_can_be_cancelled() -> None:
    from twisted.internet import reactor

    greeted: Deferred[None] = Deferred()
    gone: Deferred[None] = Deferred()

    class Silent(Protocol):
        def dataReceived(self, data: bytes) -> None:
            greeted.callback(None)

        def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
            gone.callback(None)

    port = reactor.listenTCP(0, Factory.forProtocol(Silent), interface="127.0.0.1")
    number = port.getHost().port
    connecting = (
        client_tls()
        .wrap(TCP4ClientEndpoint(reactor, "127.0.0.1", number), "hub.test", number, clock=reactor)
        .connect(Factory.forProtocol(Caller))
    )
    await greeted
    connecting.cancel()
    with pytest.raises(CancelledError):
        await connecting
    await gone
    await port.stopListening()


def test_it_is_a_policy_for_an_agent(authority: Authority) -> None:
    tls = client_tls(authority.pem)
    assert verifyObject(IPolicyForHTTPS, tls)
    assert tls.creatorForNetloc(b"hub.test", 443) is not None
    assert repr(tls) == "ClientTls()"


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    with pytest.raises(ConfigError) as caught:
        client_tls([tmp_path / "missing.pem", broken, b"nothing"], private_key=b"key")
    first, second, third, fourth = caught.value.problems
    assert first == "a private key needs its certificate"
    assert second.startswith("trusted roots: ")
    assert second.endswith("missing.pem: No such file or directory")
    assert third.endswith("broken.pem: no PEM certificate in it")
    assert fourth == "trusted roots: no PEM certificate in it"


def test_pem_text_where_a_path_is_expected_is_refused_without_showing_it(authority: Authority) -> None:
    me = authority.issue("me")
    key = me.key_pem().decode()
    for source in (key, f"\n{key}", "x" * 5000, "nul\0"):
        with pytest.raises(ConfigError) as caught:
            client_tls(certificate=me.pem, private_key=source)
        [problem] = caught.value.problems
        assert problem == "private key: the path cannot be one; give PEM text as bytes"


def test_trusting_nobody_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match="trust nobody"):
        client_tls(system_roots=False)


def test_a_key_that_does_not_fit_is_refused_without_showing_it(authority: Authority) -> None:
    me, other = authority.issue("me"), authority.issue("other")
    for key, passphrase, words in (
        (other.key_pem(), None, "not the certificate's key"),
        (b"no key", None, "no PEM key"),
        (me.key_pem(b"secret"), b"wrong", "wrong passphrase"),
        (me.key_pem(b"secret"), None, "wrong passphrase"),
    ):
        with pytest.raises(ConfigError, match=words) as caught:
            client_tls(certificate=me.pem, private_key=key, passphrase=passphrase)
        assert "secret" not in str(caught.value)
        assert "BEGIN" not in str(caught.value)


def test_host_names_travel_in_ascii() -> None:
    assert ascii_host("Hub.Test") == "hub.test"
    assert ascii_host("b\xfccher.example") == "xn--bcher-kva.example"
    assert ascii_host("::1") == "::1"
    for bad in ("", "a b", "-", "x" * 64, "under_score.test", "a..b"):
        with pytest.raises(ConfigError, match="no host name"):
            ascii_host(bad)


def test_only_errors_of_tls_have_a_tls_reason() -> None:
    assert tls_reason(ValueError("x")) is None
    assert (
        tls_reason(SSL.Error([("SSL routines", "", "wrong version number")])) == "TLS: wrong version number"
    )
    assert tls_reason(SSL.Error()) == "TLS: Error"


async def test_the_client_s_clock_drives_the_writes(authority: Authority, serve: Serve) -> None:
    """Buffered writes go by the clock that was passed, never by a global one."""
    from twisted.internet import reactor

    clock = Clock()
    port = serve(authority.issue("hub.test"))
    endpoint = client_tls(authority.pem).wrap(
        TCP4ClientEndpoint(reactor, "127.0.0.1", port), "hub.test", port, clock=clock
    )
    caller: Any = await endpoint.connect(Factory.forProtocol(Caller))
    assert [call.getTime() for call in clock.getDelayedCalls()] == [0]
    clock.advance(0)
    assert await caller.answer == b"hello||hub.test"
    caller.transport.loseConnection()
    await caller.gone
