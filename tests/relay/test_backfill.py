"""Interval algebra against a plain model: sets of numbers; and what comes of it between two platforms."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from tests.support.files import FaultyFiles
from tests.support.hub_in_memory import HubInMemory
from tests.support.workers import StepWorker
from txbridge.cosm.adapter import CosmSink, CosmSource
from txbridge.cosm.paws import PAWSClient
from txbridge.model.structures import Environment
from txbridge.relay.backfill import IntervalSet
from txbridge.relay.disk_outbox import DiskOutbox
from txbridge.relay.plan import RoutePolicy
from txbridge.relay.route import Destination, RelayService

NUMBERS = st.integers(-20, 20)
SETS = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=8).map(lambda pairs: IntervalSet(tuple(pairs)))
BOUNDS = st.none() | NUMBERS


def members(intervals: IntervalSet) -> set[int]:
    """The model; it also holds the set to its one form."""
    edges = [edge for interval in intervals for edge in interval]
    assert edges == sorted(set(edges)), "the intervals are empty, overlap, touch or are out of order"
    return {number for start, end in intervals for number in range(start, end)}


@given(SETS, SETS)
def test_union_and_minus_are_those_of_sets(one, other):
    assert members(one.union(other)) == members(one) | members(other)
    assert members(one.minus(other)) == members(one) - members(other)
    assert one.minus(other).union(one.minus(one.minus(other))) == one


@given(SETS, NUMBERS, NUMBERS)
def test_adding_an_interval_is_a_union(one, start, end):
    assert one.add(start, end) == one.union(IntervalSet.of((start, end)))


@given(SETS, BOUNDS, BOUNDS)
def test_bounds_cut_a_set(one, start, end):
    inside = {
        number
        for number in members(one)
        if (start is None or number >= start) and (end is None or number < end)
    }
    assert members(one.within(start, end)) == inside


@given(SETS, NUMBERS)
def test_a_number_is_in_a_set_or_not(one, number):
    assert (number in one) is (number in members(one))
    assert len(members(one)) == one.total


@given(SETS, st.integers(1, 5))
def test_the_earliest_holes_are_filled_when_there_are_too_many(one, most):
    filled = one.without_holes(most)
    assert len(filled) == min(len(one), most)
    assert members(filled) >= members(one)
    if one.intervals:
        assert (filled.start, filled.end) == (one.start, one.end)
        assert one.intervals[len(one) - len(filled) + 1 :] == filled.intervals[1:]


@given(SETS)
def test_a_set_has_one_form(one):
    assert IntervalSet(tuple(reversed(one.intervals))) == one
    assert IntervalSet(tuple((number, number + 1) for number in members(one))) == one


def test_what_is_no_number_is_in_no_set():
    assert "0" not in IntervalSet.of((0, 1))


def test_an_empty_set_has_no_bounds():
    for bound in ("start", "end"):
        with pytest.raises(ValueError, match="no bounds"):
            getattr(IntervalSet.of((1, 1)), bound)


# --------------------------------------------------------------------------- across platforms

SOURCE_TIME = datetime(2013, 6, 3, 12, tzinfo=UTC)


class TwoFeeds:
    """A relay from one feed to another, over a disk, all of which may end at any moment."""

    def __init__(self, hub, random):
        self.hub = hub
        self.random = random
        self.files = FaultyFiles()
        client = hub.client()
        self.feeds = [hub.run(client.create_feed(data=Environment(title=title))) for title in ("from", "to")]
        self.newest = dict.fromkeys("ab", 0)
        self.lives = []
        self.begin()

    def begin(self):
        """Start a relay as a new process does."""
        reactor = self.hub.network.reactor
        paws = PAWSClient(
            self.hub.api_key, url=f"{self.hub.paws_url}:80", reactor=reactor, random=lambda: 0.5
        )
        outbox = self.hub.run(
            DiskOutbox.open(
                Path("/outbox"),
                ["to"],
                reactor,
                files=self.files,
                writer=StepWorker(),
                reader=StepWorker(),
                segment_bytes=4096,
            )
        )
        source = CosmSource(paws, feed_id=self.feeds[0], late=timedelta(seconds=60))
        sink = CosmSink(self.hub.client(), feed_id=self.feeds[1])
        policy = RoutePolicy(frozenset({"gaps dropped"}))
        relay = RelayService(
            "feeds",
            source,
            [Destination(name="to", sink=sink, policy=policy)],
            outbox,
            clock=reactor,
            random=lambda: 0.5,
        )
        relay.startService()
        self.lives.append((relay, outbox, paws, sink))

    def kill(self):
        """End it at once: what it does from now on reaches no disk and no feed."""
        disk = deepcopy(self.files)
        relay, outbox, paws, sink = self.lives.pop()
        sink.deliver = lambda batch: Deferred()
        self.hub.run(relay.stopService(), 120)
        self.hub.run(outbox.close())
        self.hub.run(paws.disconnect())
        self.files = disk
        self.files.kill()

    def write(self):
        """Record some points, now and then older than others that are there."""
        document = Environment()
        for _ in range(self.random.randint(1, 5)):
            name = self.random.choice("ab")
            second = max(1, self.newest[name] + self.random.randint(-20, 10))
            self.newest[name] = max(second, self.newest[name])
            at = SOURCE_TIME + timedelta(seconds=second, microseconds=self.random.randrange(10**6))
            document.add_datapoint(name, at, str(self.random.randint(0, 9)))
        self.hub.run(self.hub.client().update_feed(feed_id=self.feeds[0], data=document))

    def history(self, feed):
        return {name: [(point.at, point.value) for point in self._points(feed, name)] for name in "ab"}

    def _points(self, feed, name):
        walk = self.hub.client().walk_history(
            name, SOURCE_TIME, SOURCE_TIME + timedelta(hours=6), feed_id=feed
        )
        found = []
        while more := self.hub.run(walk.next_datapoints()):
            found += more
        return found

    def pass_time(self, seconds):
        self.hub.run(deferLater(self.hub.network.reactor, seconds), seconds + 60)


@pytest.mark.parametrize("seed", range(3))
def test_two_feeds_are_the_same_after_any_row_of_outages(tmp_path, seed):
    random = Random(seed)
    with HubInMemory(tmp_path) as hub:
        feeds = TwoFeeds(hub, random)
        feeds.pass_time(5)
        for _ in range(40):
            what = random.choices(["write", "kill", "cut", "wait"], [6, 1, 1, 2])[0]
            if what == "write":
                feeds.write()
            elif what == "kill":
                feeds.kill()
                for _ in range(random.randint(0, 2)):
                    feeds.write()
                feeds.begin()
            elif what == "cut":
                hub.network.cut()
            else:
                feeds.pass_time(random.choice([0.1, 1, 30]))
        feeds.pass_time(200)
        expected = feeds.history(feeds.feeds[0])
        assert sum(map(len, expected.values())) > 30
        assert feeds.history(feeds.feeds[1]) == expected
        feeds.kill()
