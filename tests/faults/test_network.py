"""Networks that go away, lie, or lose half of it: in the end everything is there, once."""

from __future__ import annotations

from datetime import timedelta

import pytest
from twisted.internet.task import LoopingCall
from twisted.protocols.tls import TLSMemoryBIOFactory

from tests.support.certificates import Authority
from tests.support.faults import CLOUD, FaultyRoad
from txbridge.net.tls import client_tls
from txbridge.relay.sender import SendLimits
from txbridge.relay.status import LinkState

DAY = timedelta(days=1)


@pytest.fixture
def road(tmp_path):
    running = FaultyRoad(tmp_path, SendLimits(deadline=30.0, delay=10.0))
    yield running
    running.stop()
    running.close()


def everything_arrived(road):
    account = road.account()
    assert account.lost == frozenset()
    assert account.received == account.sent > 0
    assert account.ledger == 0
    return account


def test_a_cloud_that_is_away_when_the_relay_starts_is_nothing_special(road):
    road.start()
    road.advance(3600)
    assert road.status().state is LinkState.AWAY
    assert road.status().pending_points > 10_000
    road.open_door()
    road.advance(120)
    road.drain()
    assert everything_arrived(road).duplicates == 0


def test_five_minutes_up_and_five_down_and_again(road):
    road.open_door()
    road.start()
    for _ in range(5):
        road.advance(300)
        road.close_door()
        road.advance(300)
        road.open_door()
    road.drain()
    everything_arrived(road)


def test_a_link_that_is_half_open_is_noticed_and_left(road):
    road.open_door()
    road.start()
    road.advance(30)
    road.network.stall()
    road.advance(300)
    assert road.status().state is LinkState.AWAY
    road.network.restore()
    road.network.cut()
    road.drain()
    everything_arrived(road)


def test_a_link_of_600_ms_that_loses_one_portion_in_twenty_carries_everything(road):
    road.open_door()
    road.start()
    sent = lost = 0

    def portion():
        # What TCP makes of a packet that is lost: it comes when its sender has waited long enough.
        nonlocal sent, lost
        sent += 1
        is_lost = road.random.random() < 0.05
        lost += is_lost
        road.network.slow(10 * 1460, 1.5 if is_lost else 0.3)

    weather = LoopingCall(portion)
    weather.clock = road.network.clock
    weather.start(0.3)
    road.advance(600)
    road.drain()
    weather.stop()
    assert lost > sent / 40
    everything_arrived(road)


def test_a_slow_link_that_breaks_now_and_then_carries_everything(road):
    road.open_door()
    road.start()
    road.network.slow(2 * 1460, 0.6)
    for _ in range(40):
        road.advance(3 + 12 * road.random.random())
        if road.random.random() < 0.25:
            road.network.cut()
    road.drain()
    everything_arrived(road)


def test_a_name_that_does_not_resolve_may_do_so_later(road):
    road.url = "http://later.test/v2"
    road.start()
    road.advance(600)
    assert road.status().state is LinkState.AWAY
    assert "later.test" in road.status().last_error
    road.open_door("later.test")
    road.drain()
    everything_arrived(road)


def test_a_certificate_that_has_expired_carries_nothing_until_it_is_renewed(road):
    authority = Authority()
    client = road.hub.client(url=f"https://{CLOUD}/v2", trust=client_tls(authority.pem))

    def behind(identity):
        return lambda factory: TLSMemoryBIOFactory(identity.server(), False, factory, road.network.clock)

    road.open_door(CLOUD, 443, behind(authority.issue(CLOUD, starts=-30 * DAY, ends=-DAY)))
    road.start(client)
    road.advance(600)
    assert road.arrived == []
    assert "expired" in road.status().last_error
    road.close_door()
    road.open_door(CLOUD, 443, behind(authority.issue(CLOUD)))
    road.service.retry_now()
    road.drain()
    everything_arrived(road)


def test_a_relay_that_is_stopped_in_an_outage_goes_on_where_it_was(road):
    road.start()
    road.advance(600)
    road.stop()
    road.advance(600)
    road.start()
    road.open_door()
    road.drain()
    assert everything_arrived(road).duplicates == 0
