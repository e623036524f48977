"""Any row of troubles, several at once: what was sent is at the hub or in the ledger.

``TXBRIDGE_STORIES`` tells so many stories instead of the few that a run of all tests has time for.
"""

from __future__ import annotations

import errno
import os
from random import Random

import pytest
from twisted.internet.defer import Deferred

from tests.support.faults import FaultyRoad, values_in
from txbridge.net.http1 import Response
from txbridge.relay.roles import OnFull
from txbridge.relay.sender import SendLimits

STORIES = int(os.environ.get("TXBRIDGE_STORIES", "6"))
OPERATIONS = ("write", "sync", "create", "remove", "truncate", "rename", "read", "open")


def answer(status, *headers):
    return Response(status, (("Content-Type", "application/json"), *headers), b'{"title":"no","errors":"no"}')


class Story:
    """A relay, and what happens to it."""

    def __init__(self, folder, seed):
        self.random = Random(seed)
        self.on_full = self.random.choice(list(OnFull))
        options = {"on_full": self.on_full, "max_points": self.random.choice([None, 300, 900])}
        if self.random.random() < 0.3:
            options["max_age"] = 120.0
        limits = SendLimits(deadline=30.0, delay=self.random.choice([0.0, 10.0]), points=200)
        self.road = FaultyRoad(folder, limits, options)
        self.is_open = False
        self.is_running = False

    def mend_disk(self):
        self.road.files.mend()

    def fail_disk(self):
        self.road.files.fail(self.random.choice(OPERATIONS), errno.EIO, self.random.randint(1, 4))

    def fill_disk(self):
        self.road.files.capacity = self.road.files.used + self.random.choice([0, 3000, 70_000])

    def open_or_close_door(self):
        self.road.close_door() if self.is_open else self.road.open_door()
        self.is_open = not self.is_open

    def cut(self):
        self.road.network.cut()

    def stall(self):
        self.road.network.stall()
        self.road.advance(self.random.choice([5, 60]))
        self.road.network.restore()
        self.road.network.cut()

    def change_server(self):
        self.road.faults[:] = [self.random.choice(self.servers)]

    def mend_server(self):
        self.road.faults.clear()

    def stop_or_start(self):
        self.mend_disk()
        self.road.stop() if self.is_running else self.road.start()
        self.is_running = not self.is_running

    @property
    def servers(self):
        def loses_answers(request):
            done = self.road.site.respond(request)
            self.road.network.cut()
            return done

        def refuses_some(request):
            return answer(422) if any(value.endswith("7") for value in values_in(request)) else None

        return [
            lambda request: answer(503),
            lambda request: answer(500) if self.random.random() < 0.5 else None,
            lambda request: answer(429, ("Retry-After", "20")),
            lambda request: answer(401),
            lambda request: answer(413) if len(request.body) > 2000 else None,
            lambda request: Deferred(),
            loses_answers,
            refuses_some,
        ]

    def tell(self):
        troubles = [
            self.mend_disk, self.fail_disk, self.fail_disk, self.fill_disk, self.open_or_close_door,
            self.open_or_close_door, self.cut, self.stall, self.change_server, self.mend_server,
            self.stop_or_start,
        ]  # fmt: skip
        for trouble in self.random.choices(troubles, k=15):
            trouble()
            self.road.advance(self.random.choice([0.5, 5, 30, 120]))

    def end(self):
        """Mend everything, and let everything arrive that can."""
        self.mend_disk()
        self.mend_server()
        self.is_open or self.open_or_close_door()
        self.is_running or self.stop_or_start()
        self.road.drain()
        self.road.stop()


@pytest.mark.parametrize("seed", range(STORIES))
def test_what_was_sent_arrives_or_is_in_the_ledger(tmp_path, seed):
    story = Story(tmp_path, seed)
    try:
        story.tell()
        story.end()
        account = story.road.account()
    finally:
        story.road.close()
    assert account.unaccounted == frozenset()
    assert account.ledger >= len(account.lost)
    assert account.sent > 0
