"""A token is renewed in time, once, and used at once."""

from __future__ import annotations

import json

import pytest
from twisted.internet.defer import Deferred, gatherResults

from tests.support.iobeam_service import FOREVER, IobeamService, error_answer, json_answer, make_token
from txbridge.errors import AuthError, ConnectError, RemoteProtocolError, ServerFailed, TimedOut
from txbridge.iobeam.operations import device_timestamp
from txbridge.iobeam.session import EARLY, Session
from txbridge.net.http import HttpCarrier
from txbridge.net.http1 import Response
from txbridge.net.memory import MemoryNetwork

NOW = 1_450_000_000
NEW = make_token(mark="new")


@pytest.fixture
def network():
    network = MemoryNetwork()
    network.clock.advance(NOW)
    return network


@pytest.fixture
def service(network):
    service = IobeamService(network)
    service.good = {f"Bearer {NEW}"}
    service.grant = json_answer({"token": NEW})

    def answer(request):
        if request.path == "/v1/tokens/project":
            return service.grant
        if request.headers["authorization"] not in service.good:
            return error_answer(401, message="the token is not good")
        return json_answer({"server_timestamp": 5})

    service.answer = answer
    return service


@pytest.fixture
def carrier(network, service):
    carrier = HttpCarrier(service.url, reactor=network.reactor, deadline=20)
    yield carrier
    network.run(carrier.close())


def session(network, carrier, token, service, good=True):
    if good:
        service.good.add(f"Bearer {token}")
    return Session(carrier, network.clock, token, deadline=20)


def test_a_token_is_used_until_a_day_before_its_end(network, service, carrier):
    old = make_token(NOW + EARLY + 60)
    asking = session(network, carrier, old, service)
    assert network.run(asking.run(device_timestamp())) == 5
    network.clock.advance(60)
    assert network.run(asking.run(device_timestamp())) == 5
    assert service.tokens() == [f"Bearer {old}", None, f"Bearer {NEW}"]
    assert json.loads(service.requests[1].body) == {"refresh_token": old}
    assert asking.token == NEW


def test_the_owner_of_a_token_is_told_of_the_new_one(network, service, carrier):
    asking = session(network, carrier, make_token(NOW + 60), service)
    told = []
    asking.on_new_token = told.append
    network.run(asking.run(device_timestamp()))
    network.run(asking.run(device_timestamp()))
    assert told == [NEW]


@pytest.mark.parametrize("expires", [FOREVER, None])
def test_a_token_that_is_not_taken_is_renewed_and_the_request_repeated_once(
    network, service, carrier, expires
):
    old = make_token(expires)
    asking = session(network, carrier, old, service, good=False)
    assert network.run(asking.run(device_timestamp())) == 5
    assert service.tokens() == [f"Bearer {old}", None, f"Bearer {NEW}"]


def test_when_the_new_token_is_not_taken_either_that_is_the_answer(network, service, carrier):
    service.good.clear()
    asking = session(network, carrier, make_token(), service, good=False)
    with pytest.raises(AuthError, match="the token is not good") as caught:
        network.run(asking.run(device_timestamp()))
    assert len(service.requests) == 3
    assert NEW not in repr(caught.value)


def test_a_token_that_is_not_renewed_is_used_as_long_as_it_is_taken(network, service, carrier):
    service.grant = error_answer(403, message="it is not refreshable")
    old = make_token(NOW + 60)
    asking = session(network, carrier, old, service)
    assert network.run(asking.run(device_timestamp())) == 5
    assert network.run(asking.run(device_timestamp())) == 5
    assert service.tokens() == [None, f"Bearer {old}", f"Bearer {old}"]
    service.good.clear()
    with pytest.raises(AuthError, match="the token is not good"):
        network.run(asking.run(device_timestamp()))


def test_a_token_that_has_ended_by_its_own_word_is_used_as_long_as_it_is_taken(network, service, carrier):
    old = make_token(NOW)
    asking = session(network, carrier, old, service)
    assert network.run(asking.run(device_timestamp())) == 5
    assert asking.token == old
    service.good.remove(f"Bearer {old}")
    assert network.run(asking.run(device_timestamp())) == 5
    assert service.tokens() == [f"Bearer {old}", f"Bearer {old}", None, f"Bearer {NEW}"]


def test_what_stands_in_between_does_not_decide_that_a_token_is_never_renewed(network, service, carrier):
    grant, service.grant = service.grant, Response(403, (), b"<html>log in")
    asking = session(network, carrier, make_token(NOW + 60), service)
    assert network.run(asking.run(device_timestamp())) == 5
    service.grant = grant
    assert network.run(asking.run(device_timestamp())) == 5
    assert asking.token == NEW


def test_a_service_that_fails_to_renew_a_token_is_asked_again(network, service, carrier):
    grant, service.grant = service.grant, error_answer(503)
    asking = session(network, carrier, make_token(NOW + 60), service)
    with pytest.raises(ServerFailed):
        network.run(asking.run(device_timestamp()))
    service.grant = grant
    assert network.run(asking.run(device_timestamp())) == 5


def test_requests_at_once_renew_a_token_once(network, service, carrier):
    asking = session(network, carrier, make_token(), service, good=False)
    results = network.run(gatherResults([asking.run(device_timestamp()) for _ in range(4)]))
    assert results == [5] * 4
    assert service.tokens().count(None) == 1


def test_giving_one_request_up_leaves_the_renewal_to_the_others(network, service, carrier):
    asking = session(network, carrier, make_token(NOW + 60), service)
    grant, service.grant = service.grant, Deferred()
    first, second = (asking.run(device_timestamp()) for _ in range(2))
    first.addErrback(lambda failure: None)
    network.pump()
    service.grant = grant
    first.cancel()
    assert network.run(second) == 5


def test_one_deadline_covers_the_renewal_too(network, service, carrier):
    service.grant = Deferred()
    asking = session(network, carrier, make_token(NOW + 60), service)
    before = network.clock.seconds()
    with pytest.raises(TimedOut):
        network.run(asking.run(device_timestamp()))
    assert network.clock.seconds() == before + 20


def test_a_service_that_is_away_is_no_refusal(network, service):
    carrier = HttpCarrier("http://nowhere.test/v1", reactor=network.reactor)
    asking = Session(carrier, network.clock, make_token(NOW + 60), deadline=20)
    with pytest.raises(ConnectError):
        network.run(asking.run(device_timestamp()))
    network.run(carrier.close())


def test_a_new_token_that_is_none_changes_nothing(network, service, carrier):
    service.grant = Response(200, (), b'{"token":"rubbish"}')
    old = make_token(NOW + 60)
    asking = session(network, carrier, old, service)
    with pytest.raises(RemoteProtocolError, match="what it gave is no project token"):
        network.run(asking.run(device_timestamp()))
    assert asking.token == old
