"""Through an HTTP proxy: CONNECT for every protocol, not only for HTTPS.

A tunnel carries HTTP, HTTPS, WebSocket and plain TCP alike, so there is one way through a proxy
instead of one for each carrier, and a proxy never sees a request or the key in it unless the target
itself is plain HTTP.

Source: RFC 9110, 9.3.6 "CONNECT"; the environment variables follow curl's reading of them.
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from attrs import field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.python.failure import Failure
from zope.interface import implementer

from txbridge.errors import ConfigError, ConnectError
from txbridge.net.deferred import deferred
from txbridge.net.gate import Gate, GateFactory

__all__ = ["MAX_HEAD", "Proxy", "ProxyEndpoint", "proxy_from_environment"]

MAX_HEAD = 8192  # an answer to CONNECT is a status line and a few headers; Apache's limit for one line
DEFAULT_PORT = 3128  # Squid's, and curl's (1080) is a SOCKS port
_VARIABLES = {"http": "http_proxy", "ws": "http_proxy", "https": "https_proxy", "wss": "https_proxy"}


@frozen
class Proxy:
    """An HTTP proxy.  Its credentials are in no repr and in no error.

    Attributes:
        host: Name or address.
        port: TCP port.
        username: For Basic authentication, or None.
        password: Its other half.
    """

    host: str
    port: int = DEFAULT_PORT
    username: str | None = field(default=None, repr=False)
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, text: str) -> Proxy:
        """Read ``http://user:password@host:port`` or ``host:port``.

        Raises:
            ConfigError: It is neither; the text is not repeated, as it may hold a password.
        """
        try:
            parts = urlsplit(text if "://" in text else f"http://{text}")
            port = parts.port
        except ValueError:
            raise ConfigError(["proxy: the URL cannot be read"]) from None
        if parts.scheme != "http":
            raise ConfigError([f"proxy: only http:// proxies are supported, not {parts.scheme}://"])
        if not parts.hostname:
            raise ConfigError(["proxy: the URL names no host"])
        if parts.path not in ("", "/") or parts.query or parts.fragment:
            raise ConfigError(["proxy: the URL has more than a host and a port"])
        return cls(
            host=parts.hostname,
            port=DEFAULT_PORT if port is None else port,
            username=None if parts.username is None else unquote(parts.username),
            password="" if parts.password is None else unquote(parts.password),
        )


def proxy_from_environment(url: str, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy that the environment names for a URL.

    ``https_proxy`` serves https and wss, ``http_proxy`` http and ws, ``all_proxy`` whatever has none
    of its own; upper-case names work too, and the lower-case one wins.  ``no_proxy`` is a list of
    hosts (with all below them), ``host:port`` pairs, addresses and networks such as ``10.0.0.0/8``;
    ``*`` means every host.

    Args:
        url: Where the connection shall go; ``tcp://host:port`` for plain TCP.
        environ: Usually ``os.environ``.

    Raises:
        ConfigError: The variable holds no proxy, or ``url`` is no URL.
    """
    try:
        parts = urlsplit(url)
        own_port = parts.port
    except ValueError:
        raise ConfigError(["proxy: the URL to reach through it cannot be read"]) from None
    host = parts.hostname or ""
    default_port = {"http": 80, "ws": 80, "https": 443, "wss": 443}.get(parts.scheme)
    port = default_port if own_port is None else own_port
    if _is_exempt(host, port, _variable(environ, "no_proxy")):
        return None
    text = _variable(environ, _VARIABLES.get(parts.scheme, "")) or _variable(environ, "all_proxy")
    return Proxy.parse(text) if text else None


def _variable(environ: Mapping[str, str], name: str) -> str:
    if not name:
        return ""
    return (environ.get(name) or environ.get(name.upper()) or "").strip()


def _is_exempt(host: str, port: int | None, no_proxy: str) -> bool:
    return any(_matches(host, port, entry) for entry in no_proxy.lower().replace(",", " ").split())


def _matches(host: str, port: int | None, entry: str) -> bool:
    if entry == "*":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        try:
            return address in ipaddress.ip_network(entry.strip("[]"), strict=False)
        except ValueError:
            pass  # not a network: it may be an address with a port
    name, colon, its_port = entry.rpartition(":")
    if colon and its_port.isdigit():
        if int(its_port) != port:
            return False
        entry = name.strip("[]")
    entry = entry.removeprefix("*").lstrip(".")
    return bool(entry) and (host == entry or host.endswith(f".{entry}"))


class _ConnectGate(Gate):
    """Opens when the proxy has built the tunnel."""

    def __init__(self, inner: IProtocol, proxy: Proxy, target: str, peer: str) -> None:
        super().__init__(inner)
        self._proxy = proxy
        self._target = target
        self._peer = peer
        self._head = b""

    def connectionMade(self) -> None:
        """Called by the transport: ask for the tunnel."""
        lines = [f"CONNECT {self._target} HTTP/1.1", f"Host: {self._target}"]
        if self._proxy.username is not None:
            pair = f"{self._proxy.username}:{self._proxy.password}".encode()
            lines.append("Proxy-Authorization: Basic " + base64.b64encode(pair).decode("ascii"))
        assert self.transport is not None
        self.transport.write("\r\n".join([*lines, "", ""]).encode("ascii"))

    def waiting_data(self, data: bytes) -> None:
        """Read the proxy's answer; what follows its head belongs to the tunnel."""
        self._head += data
        head, blank, rest = self._head.partition(b"\r\n\r\n")
        if len(head) > MAX_HEAD:
            self._refuse(f"its answer is over {MAX_HEAD} bytes")
        elif blank:
            self._head = b""
            self._judge(head.partition(b"\r\n")[0])
            if rest:
                self.dataReceived(rest)

    def _judge(self, status_line: bytes) -> None:
        version, _, status = status_line.partition(b" ")
        code = status[:3]
        if not version.startswith(b"HTTP/1.") or len(code) != 3 or not code.isdigit():
            self._refuse("it does not answer like an HTTP proxy")
        elif code.startswith(b"2"):
            self.open()
        else:
            words = status[:80].decode("ascii", "replace").strip()
            self._refuse(f"it answered {words}")

    def _refuse(self, reason: str) -> None:
        self.refuse(ConnectError(self._peer, f"proxy {self._proxy.host}:{self._proxy.port}: {reason}"))

    def explain(self, reason: Failure) -> Exception:
        """The proxy hung up."""
        where = f"proxy {self._proxy.host}:{self._proxy.port}"
        error = ConnectError(self._peer, f"{where}: it closed the connection before it answered")
        error.__cause__ = reason.value
        return error


@implementer(IStreamClientEndpoint)
@frozen
class ProxyEndpoint:
    """Connects to a host and port through an HTTP proxy.

    The caller sets the deadline: cancelling ``connect()``'s Deferred aborts the attempt.

    Attributes:
        proxy: Whom to ask.
        host: Where the tunnel leads: a name the proxy can resolve, or an address.
        port: The port there.
        endpoint: Connects to the proxy itself.
    """

    proxy: Proxy
    host: str
    port: int
    endpoint: IStreamClientEndpoint = field(repr=False)

    @deferred
    async def connect(self, protocolFactory: IProtocolFactory) -> IProtocol:
        """Connect to the proxy and build the tunnel.

        Raises:
            ConnectError: The proxy refused, broke off, or is none.
        """
        peer = f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
        factory = GateFactory(protocolFactory, lambda inner: _ConnectGate(inner, self.proxy, peer, peer))
        connecting: Deferred[Any] = self.endpoint.connect(factory)
        gate = await connecting
        opened: Deferred[IProtocol] = gate.opened
        return await opened
