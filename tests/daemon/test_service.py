"""The hub as something that starts and stops, over real sockets."""

from __future__ import annotations

import socket

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Factory, Protocol

from txbridge.daemon.service import Door, HubService, Parts, read_endpoint
from txbridge.errors import ConfigError, StoreError
from txbridge.net.reactor import resolve_reactor

ANY_PORT = "tcp:0:interface=127.0.0.1"


class Order:
    """Parts that note the order in which they are used."""

    def __init__(self, *endpoints, draining=None, error=None):
        self.endpoints = endpoints
        self.events = []
        self.draining = draining
        self.error = error

    def service(self, **more):
        return HubService(resolve_reactor(), self.endpoints, self.build, **more)

    async def _build(self):
        self.events.append("build")
        if self.error is not None:
            raise self.error
        factory = Factory.forProtocol(Protocol)
        factory.noisy = False
        doors = [Door(text, factory, "http", "https") for text in self.endpoints]
        return Parts(doors, self.drain, self.close, ("a note",))

    def build(self):
        return Deferred.fromCoroutine(self._build())

    def drain(self, seconds):
        self.events.append("drain")
        return succeed(None) if self.draining is None else self.draining

    def close(self):
        self.events.append("close")
        return succeed(None)


async def test_a_service_tells_the_port_that_the_system_picked():
    order = Order(ANY_PORT)
    service = order.service()
    await service.start()
    assert service.addresses[0].startswith("http://127.0.0.1:")
    assert not service.addresses[0].endswith(":0")
    assert service.notes == ("a note",)
    with socket.create_connection(("127.0.0.1", int(service.addresses[0].rsplit(":", 1)[1]))):
        pass
    await service.stop()


async def test_stopping_drains_before_it_closes_and_happens_once():
    order = Order(ANY_PORT)
    service = order.service()
    await service.start()
    await service.stop()
    await service.stop()
    assert order.events == ["build", "drain", "close"]


async def test_an_endpoint_that_cannot_be_read_is_told_before_anything_is_opened():
    order = Order("tcp:nonsense", "carrier:pigeon")
    with pytest.raises(ConfigError) as caught:
        await order.service().start()
    assert len(caught.value.problems) == 2
    assert "'carrier:pigeon'" in caught.value.problems[1]
    assert order.events == []


async def test_a_port_in_use_is_named_and_everything_is_closed_again():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        endpoint = f"tcp:{taken.getsockname()[1]}:interface=127.0.0.1"
        order = Order(ANY_PORT, endpoint)
        with pytest.raises(ConfigError, match="cannot listen at " + endpoint) as caught:
            await order.service().start()
    assert str(caught.value).endswith("in use; --listen chooses another")
    assert order.events == ["build", "drain", "close"]


async def test_an_address_that_this_machine_has_not_is_told():
    order = Order("tcp:0:interface=192.0.2.1")
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1"):
        await order.service().start()


async def test_a_unix_socket_has_its_path_as_address(tmp_path):
    order = Order(f"unix:{tmp_path / 'hub'}")
    service = order.service()
    await service.start()
    assert service.addresses == (f"http+unix:{tmp_path / 'hub'}",)
    await service.stop()
    assert order.events == ["build", "drain", "close"]


async def test_an_ipv6_address_stands_in_brackets():
    order = Order("tcp6:0:interface=\\:\\:1")
    service = order.service()
    await service.start()
    assert service.addresses[0].startswith("http://[::1]:")
    await service.stop()


async def test_a_start_that_fails_gives_the_program_up_and_logs_why():
    given_up = Deferred()
    order = Order(ANY_PORT, error=StoreError("the disk is gone"))
    service = order.service(give_up=lambda: given_up.callback(None))
    service.startService()
    await given_up
    await service.stopService()
    assert order.events == ["build"]


async def test_a_part_of_an_application_starts_and_stops_by_itself():
    order = Order(ANY_PORT)
    service = order.service()
    service.startService()
    await service.stopService()
    assert order.events == ["build", "drain", "close"]


@pytest.mark.parametrize("text", ["tcp:65536", "tcp:port=99999:interface=127.0.0.1"])
def test_a_port_that_no_machine_has_is_told_before_anybody_listens(text):
    with pytest.raises(ConfigError, match="ports are below 65536"):
        read_endpoint(resolve_reactor(None), text)
