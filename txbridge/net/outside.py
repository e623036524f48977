# ruff: noqa: N802, N803  (Twisted chose these names)
"""A reactor that connects to the outside only: for addresses that somebody else chose.

A hub calls the URLs its users give it.  Such a URL must not be a way into the network the hub stands
in: not to this machine, not to a private or link-local address, also not by a name that leads there.  So
the guard stands where names have become addresses, and once more where the connection is made: what
is resolved is what is connected to, and nothing is looked up twice.

Source: RFC 6890 (special addresses), RFC 4291 (global unicast), RFC 6052 and RFC 3056 (IPv4 inside IPv6).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IReactorPluggableNameResolver,
    IReactorTCP,
    IReactorTime,
    IResolutionReceiver,
)
from zope.interface import implementer

from txbridge.errors import ConnectError

__all__ = ["Network", "OutsideReactor", "is_outside"]

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_NAT64 = ip_network("64:ff9b::/96")
_UNICAST = ip_network(
    "2000::/3"
)  # of IPv6, all that the internet has: what is beside it may have a use inside


def is_outside(text: str, allowed: Sequence[Network] = ()) -> bool:
    """Whether an address is one of the public internet's, or one that is allowed.

    Args:
        text: The address; what is none is not outside.
        allowed: Networks that are let through all the same.
    """
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped  # as which the system connects to it
    if any(address in network for network in allowed):
        return True
    if isinstance(address, IPv6Address) and address not in _UNICAST and address not in _NAT64:
        return False
    return all(one.is_global and not one.is_multicast for one in _meanings(address))


def _meanings(address: Address) -> Iterator[Address]:
    """An address, and the IPv4 address that a gateway would make of it."""
    yield address
    if isinstance(address, IPv6Address):
        if address.sixtofour is not None:
            yield address.sixtofour
        if address.teredo is not None:
            yield address.teredo[1]
        if address in _NAT64:
            yield IPv4Address(int(address) & 0xFFFFFFFF)


class OutsideReactor:
    """A reactor for one connection to the outside.

    Args:
        reactor: Does the work.
        allowed: Networks that are let through although they are not outside.

    Attributes:
        refused: The addresses that were found and not connected to.
    """

    def __init__(self, reactor: Any, allowed: Sequence[Network] = ()) -> None:
        self.refused: list[str] = []
        self._reactor = reactor
        self._allowed = tuple(allowed)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    @property
    def nameResolver(self) -> IHostnameResolver:
        """Called by endpoints: the reactor's own, without the addresses inside."""
        resolver: IHostnameResolver = _OutsideResolver(self._reactor.nameResolver, self.lets)
        return resolver

    def lets(self, host: str) -> bool:
        """Whether this address is let through; one that is not is remembered."""
        if is_outside(host, self._allowed):
            return True
        self.refused.append(host)
        return False

    def connectTCP(self, host: str, port: int, *arguments: Any, **named: Any) -> Any:
        """Called by endpoints, with an address.

        Raises:
            ConnectError: It is not outside.
        """
        if not self.lets(host):
            raise ConnectError(f"{host}:{port}", "the address is not outside this network")
        return self._reactor.connectTCP(host, port, *arguments, **named)


# Applied to the class, not above it: what `__getattr__` gives, mypy-zope does not see.
implementer(IReactorTCP, IReactorTime, IReactorPluggableNameResolver)(OutsideReactor)


@implementer(IResolutionReceiver)
class _Filter:
    """Passes on what is outside."""

    def __init__(self, receiver: IResolutionReceiver, lets: Any) -> None:
        self._receiver = receiver
        self._lets = lets

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """Called by the resolver at first."""
        self._receiver.resolutionBegan(resolutionInProgress)

    def addressResolved(self, address: IAddress) -> None:
        """Called by the resolver for each address."""
        if self._lets(getattr(address, "host", "")):
            self._receiver.addressResolved(address)

    def resolutionComplete(self) -> None:
        """Called by the resolver at last."""
        self._receiver.resolutionComplete()


@implementer(IHostnameResolver)
class _OutsideResolver:
    def __init__(self, resolver: IHostnameResolver, lets: Any) -> None:
        self._resolver = resolver
        self._lets = lets

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """Called by endpoints."""
        receiver: IResolutionReceiver = _Filter(resolutionReceiver, self._lets)
        return self._resolver.resolveHostName(
            receiver, hostName, portNumber, addressTypes, transportSemantics
        )
