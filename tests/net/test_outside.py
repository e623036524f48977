"""What counts as outside, and a reactor that connects to nothing else."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from twisted.internet.interfaces import IReactorPluggableNameResolver, IReactorTCP, IReactorTime
from zope.interface.verify import verifyObject

from txbridge.errors import ConnectError
from txbridge.net.memory import MemoryNetwork
from txbridge.net.outside import OutsideReactor, is_outside


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("127.8.9.10", False),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("192.0.2.1", False),
        ("198.18.0.1", False),
        ("224.0.0.1", False),
        ("233.252.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("fe80::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("ff02::1", False),
        ("fec0::1", False),
        ("::127.0.0.1", False),
        ("::ffff:0:127.0.0.1", False),
        ("64:ff9b:1::7f00:1", False),
        ("5f00::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::808:808", True),
        ("2002:7f00:1::", False),
        ("2002:c0a8:101::1", False),
        ("2001:0:4136:e378:8000:63bf:80ff:fffe", False),
        ("localhost", False),
        ("", False),
        ("0177.0.0.1", False),
        ("2130706433", False),
    ],
)
def test_only_addresses_of_the_public_internet_are_outside(address, expected):
    assert is_outside(address) is expected


def test_a_network_can_be_let_through():
    allowed = [ip_network("192.168.1.0/24"), ip_network("fd00::/8")]
    assert is_outside("192.168.1.7", allowed)
    assert is_outside("fd00::7", allowed)
    assert not is_outside("192.168.2.7", allowed)
    assert not is_outside("127.0.0.1", allowed)


def test_it_is_a_reactor_for_clients():
    reactor = OutsideReactor(MemoryNetwork().reactor)
    verifyObject(IReactorTime, reactor, tentative=True)
    verifyObject(IReactorTCP, reactor, tentative=True)
    verifyObject(IReactorPluggableNameResolver, reactor, tentative=True)


def test_it_does_not_connect_inside_even_if_nobody_resolved_the_address():
    reactor = OutsideReactor(MemoryNetwork().reactor)
    with pytest.raises(ConnectError, match=r"127\.0\.0\.1:80"):
        reactor.connectTCP("127.0.0.1", 80, None)
    assert reactor.refused == ["127.0.0.1"]
