"""Whom we trust over TLS: the system's roots by default, your own roots, client certificates.

Twisted's client options are not used, for one reason: with them a certificate from a trusted root
passes although it names no host at all.  (The host name check raises a class of error that their
callback only logs, and the connection goes on.)  A private root that signs such certificates is
common in small installations, and there any of its certificates could then pose as any host.  Here
every doubt refuses: the check has one way to say yes, and each way to say no has its reason in
words, because "certificate verify failed" has cost many an operator an hour.

The checks themselves are OpenSSL's (chain and dates) and service-identity's (names).
"""

from __future__ import annotations

import errno
import ipaddress
import os
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import idna
from attrs import field, frozen
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import verify_certificate_hostname, verify_certificate_ip_address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.interfaces import (
    IHandshakeListener,
    IOpenSSLClientConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from txbridge.errors import ConfigError, ConnectError
from txbridge.net.deferred import deferred
from txbridge.net.gate import Gate, GateFactory

__all__ = ["ClientTls", "Pem", "ascii_host", "client_tls", "tls_reason"]

Pem = bytes | str | os.PathLike[str]
"""PEM text as bytes, or the path of a PEM file as text or a path object."""

# OpenSSL's X509_V_ERR_* numbers that operators meet, in words; pyOpenSSL does not give its texts.
_CHAIN_REASONS = {
    2: "the issuer's certificate is missing",
    9: "the certificate is not valid yet",
    10: "the certificate has expired",
    18: "the certificate is self-signed and not trusted",
    19: "the root of the certificate chain is not trusted",
    20: "the certificate's issuer is not trusted",
    21: "the server sent no chain to a trusted issuer",
    23: "the certificate was revoked",
    24: "an issuer in the chain is no certificate authority",
    26: "the certificate is not meant for servers",
    66: "the certificate's key is too weak",
    67: "an issuer's key is too weak",
    68: "the certificate is signed with a weak digest",
}


def ascii_host(host: str) -> str:
    """A host name as it travels: lower case, international names in their ASCII form.

    Raises:
        ConfigError: It is no host name.
    """
    if _is_address(host):
        return host
    try:
        return idna.encode(host, uts46=True).decode("ascii")
    except idna.IDNAError as error:
        raise ConfigError([f"{host!r} is no host name: {error}"]) from error


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def tls_reason(error: BaseException) -> str | None:
    """What a TLS error says, in words; None when it is no error of TLS."""
    if not isinstance(error, SSL.Error):
        return None
    entries = error.args[0] if error.args else ()
    words = [str(entry[-1]) for entry in entries if isinstance(entry, tuple) and entry]
    return "TLS: " + (", ".join(dict.fromkeys(words)) or type(error).__name__)


@frozen
class ClientTls:
    """Whom a client trusts and how it shows itself; made by `client_tls`.

    It provides ``IPolicyForHTTPS``, so ``twisted.web.client.Agent`` takes it as it is; `wrap` does
    the same for an endpoint of any other protocol.
    """

    _context: SSL.Context = field(repr=False)

    def creatorForNetloc(self, hostname: bytes, port: int) -> IOpenSSLClientConnectionCreator:
        """Called by an Agent for each host.  ``hostname`` is in its ASCII form."""
        return _CheckedConnections(self._context, hostname.decode("ascii").strip("[]"), port)

    def wrap(
        self, endpoint: IStreamClientEndpoint, host: str, port: int, *, clock: IReactorTime
    ) -> IStreamClientEndpoint:
        """Put TLS on what an endpoint connects.

        ``connect()`` of the result fires after the handshake, so a refused certificate is a failed
        connection (`ConnectError`) and nothing was sent.

        Args:
            endpoint: Connects the bytes: TCP, or a tunnel through a proxy.
            host: The name or address the certificate must be valid for, and what SNI says.
            port: For error texts.
            clock: Where TLS schedules its buffered writes.
        """
        name = ascii_host(host)
        return _TlsEndpoint(endpoint, _CheckedConnections(self._context, name, port), clock)


# IPolicyForHTTPS declares no types, which a checker takes for a contradiction on the class itself.
implementer(IPolicyForHTTPS)(ClientTls)


def client_tls(
    trust: Pem | Sequence[Pem] = (),
    *,
    system_roots: bool | None = None,
    certificate: Pem | None = None,
    private_key: Pem | None = None,
    passphrase: bytes | None = None,
) -> ClientTls:
    """Say whom to trust and how to show oneself.

    Args:
        trust: Roots of your own, each PEM text or file with one or more certificates.
        system_roots: Whether the system's roots are trusted as well.  None means: only if ``trust``
            is empty, so your own roots *replace* the system's unless you say True.
        certificate: The client certificate, followed by intermediates if there are any.
        private_key: Its key; None when it is in the same PEM as the certificate.
        passphrase: Of an encrypted key.

    Raises:
        ConfigError: A file cannot be read, or is not what it should be; all problems at once.
    """
    sources = (trust,) if isinstance(trust, (bytes, str, os.PathLike)) else tuple(trust)
    use_system = not sources if system_roots is None else system_roots
    problems: list[str] = []
    if not sources and not use_system:
        problems.append("TLS would trust nobody: give roots, or leave the system's on")
    if private_key is not None and certificate is None:
        problems.append("a private key needs its certificate")
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.set_options(SSL.OP_NO_COMPRESSION)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    if use_system:
        context.set_default_verify_paths()
    store = context.get_cert_store()
    assert store is not None
    for source in sources:
        for root in _certificates("trusted roots", source, problems):
            store.add_cert(crypto.X509.from_cryptography(root))
    if certificate is not None:
        _use_certificate(context, certificate, private_key, passphrase, problems)
    if problems:
        raise ConfigError(problems)
    return ClientTls(context)


def _read(what: str, source: Pem, problems: list[str]) -> bytes | None:
    if isinstance(source, bytes):
        return source
    try:
        return Path(source).read_bytes()
    except (OSError, ValueError) as error:
        path = os.fspath(source)
        # PEM text given as str looks for a file of that name; a private key must not be in the error.
        if isinstance(error, ValueError) or error.errno == errno.ENAMETOOLONG or "\n" in path:
            problems.append(f"{what}: the path cannot be one; give PEM text as bytes")
        else:
            problems.append(f"{what}: {path}: {error.strerror}")
        return None


def _where(what: str, source: Pem) -> str:
    return what if isinstance(source, bytes) else f"{what}: {os.fspath(source)}"


def _certificates(what: str, source: Pem, problems: list[str]) -> list[x509.Certificate]:
    text = _read(what, source, problems)
    if text is None:
        return []
    try:
        return x509.load_pem_x509_certificates(text)
    except ValueError:
        problems.append(f"{_where(what, source)}: no PEM certificate in it")
        return []


def _use_certificate(
    context: SSL.Context,
    certificate: Pem,
    private_key: Pem | None,
    passphrase: bytes | None,
    problems: list[str],
) -> None:
    chain = _certificates("client certificate", certificate, problems)
    key_source = certificate if private_key is None else private_key
    key_text = _read("private key", key_source, problems)
    if not chain or key_text is None:
        return
    try:
        # The classes OpenSSL takes are a subset of what a PEM may hold; it refuses the others itself.
        key: Any = load_pem_private_key(key_text, passphrase)
        context.use_certificate(chain[0])
        for issuer in chain[1:]:
            context.add_extra_chain_cert(issuer)
        context.use_privatekey(key)
        context.check_privatekey()
    except (ValueError, TypeError):
        # What they say may quote the key's surroundings, so it is not repeated here.
        problems.append(f"{_where('private key', key_source)}: no PEM key in it, or a wrong passphrase")
    except SSL.Error:
        problems.append(f"{_where('private key', key_source)}: it is not the certificate's key")


@implementer(IOpenSSLClientConnectionCreator)
@frozen
class _CheckedConnections:
    """Makes the OpenSSL connections to one host; each refuses whatever it cannot verify."""

    _context: SSL.Context
    _host: str
    _port: int

    @property
    def peer(self) -> str:
        return f"[{self._host}]:{self._port}" if ":" in self._host else f"{self._host}:{self._port}"

    def clientConnectionForTLS(self, tlsProtocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """Called by Twisted for each connection."""
        connection = SSL.Connection(self._context, None)
        if not _is_address(self._host):
            connection.set_tlsext_host_name(self._host.encode("ascii"))
        protocol = weakref.ref(tlsProtocol)  # the callback lives as long as the connection it would hold

        def verify(_: SSL.Connection, certificate: Any, code: int, depth: int, ok: int) -> bool:
            reason = self._refusal(certificate, code, depth, ok)
            if reason is None:
                return True
            owner = protocol()
            if owner is not None:
                owner.failVerification(Failure(ConnectError(self.peer, f"TLS: {reason}")))
            return False

        connection.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, verify)
        connection.set_connect_state()
        return connection

    def _refusal(self, certificate: Any, code: int, depth: int, ok: int) -> str | None:
        if not ok:
            return _CHAIN_REASONS.get(code, f"the certificate chain failed check {code} of OpenSSL")
        if depth != 0:
            return None
        check = verify_certificate_ip_address if _is_address(self._host) else verify_certificate_hostname
        try:
            check(certificate.to_cryptography(), self._host)
        except VerificationError:
            return "the certificate is for another host"
        except CertificateError:
            return "the certificate names no host (it has no usable subject alternative name)"
        except ValueError:
            return "the certificate cannot be read"
        return None


@implementer(IHandshakeListener)
class _HandshakeGate(Gate):
    """Opens when the handshake, certificate checks included, is done."""

    def __init__(self, inner: IProtocol, peer: str) -> None:
        super().__init__(inner)
        self._peer = peer

    def handshakeCompleted(self) -> None:
        """Called by the TLS layer."""
        self.open()

    def waiting_data(self, data: bytes) -> None:
        """Never happens: the TLS layer has no data before its handshake."""

    def explain(self, reason: Failure) -> Exception:
        """Say why there was no handshake."""
        if isinstance(reason.value, ConnectError):
            return reason.value
        words = "TLS: the connection was closed during the handshake"
        if reason.value is not None:
            words = tls_reason(reason.value) or words
        error = ConnectError(self._peer, words)
        error.__cause__ = reason.value
        return error


@implementer(IStreamClientEndpoint)
@frozen
class _TlsEndpoint:
    _endpoint: IStreamClientEndpoint
    _connections: _CheckedConnections
    _clock: IReactorTime

    @deferred
    async def connect(self, protocolFactory: IProtocolFactory) -> IProtocol:
        """Connect and shake hands."""
        factory = GateFactory(protocolFactory, lambda inner: _HandshakeGate(inner, self._connections.peer))
        endpoint = wrapClientTLS(self._connections, self._endpoint, self._clock)
        connecting: Deferred[Any] = endpoint.connect(factory)
        gate = await connecting
        opened: Deferred[IProtocol] = gate.opened
        return await opened
