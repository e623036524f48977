"""Disks that run full, lose a file, or turn a bit over, under a relay that goes on."""

from __future__ import annotations

from random import Random

import pytest

from tests.support.faults import FaultyRoad
from txbridge.relay.sender import SendLimits
from txbridge.relay.status import LinkState


@pytest.fixture
def road(tmp_path):
    """A relay whose cloud is away."""
    running = FaultyRoad(tmp_path, SendLimits(deadline=30.0, delay=10.0))
    running.start()
    yield running
    running.stop()
    running.close()


def test_a_full_disk_is_waited_for_in_place(road):
    road.advance(60)
    road.files.capacity = road.files.used
    road.advance(1800)
    status = road.service.status()
    assert status.outbox is LinkState.AWAY
    assert "No space left" in status.outbox_error
    road.files.capacity = None
    road.open_door()
    road.drain()
    account = road.account()
    assert (account.lost, account.ledger) == (frozenset(), 0)
    assert account.received == account.sent > 5000


def test_a_disk_that_fails_now_and_then_is_tried_again(road):
    road.open_door()
    for number in range(60):
        road.files.fail(("write", "sync", "read")[number % 3])
        road.advance(5)
    road.files.mend()
    road.drain()
    account = road.account()
    assert account.unaccounted == frozenset()
    assert account.received == account.sent


def damaged(road, damage):
    """Let a relay find its outbox damaged after an hour without a cloud; gives the account."""
    road.advance(3600)
    road.stop()
    damage(road.files)
    road.start()
    road.open_door()
    road.drain()
    return road.account()


@pytest.mark.parametrize("seed", range(3))
def test_bits_that_turn_over_cost_what_they_hit_and_the_ledger_has_it(road, seed):
    random = Random(seed)

    def damage(files):
        for path in files.paths("*.seg"):
            for _ in range(3):
                files.flip(path, random.randrange(8 * len(files.content(path))))

    account = damaged(road, damage)
    assert account.unaccounted == frozenset()
    assert 0 < len(account.lost) < account.sent / 2
    assert account.ledger >= len(account.lost)


def test_a_segment_that_is_gone_is_a_hole_with_a_name(road):
    account = damaged(road, lambda files: files.delete(files.paths("*.seg")[1]))
    assert account.unaccounted == frozenset()
    assert account.ledger == len(account.lost) > 0
    assert account.received == account.sent - len(account.lost)


def test_a_segment_that_is_cut_off_keeps_what_is_before_the_cut(road):
    def damage(files):
        path = files.paths("*.seg")[1]
        files.cut(path, len(files.content(path)) // 2)

    account = damaged(road, damage)
    assert account.unaccounted == frozenset()
    assert account.ledger == len(account.lost) > 0


def test_everything_but_the_segments_can_be_lost_without_losing_a_point(road):
    def damage(files):
        for path in [*files.paths("*.sum"), *files.paths("places-*")]:
            files.delete(path)

    account = damaged(road, damage)
    assert account.lost == frozenset()
    assert account.received == account.sent
