"""A link knows how it goes with one end, and says so only when that changes."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher

from txbridge.errors import AuthError, ConnectError, RateLimited, TimedOut
from txbridge.net.backoff import Backoff
from txbridge.relay.link import Link
from txbridge.relay.status import LinkState

AWAY = ConnectError("host", "refused")
KEY = AuthError("write", 401)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def link(clock):
    return Link("a", clock=clock, random=lambda: 0.5, backoff=Backoff(initial=2, maximum=10, reset_after=5))


@pytest.fixture
def levels():
    """The levels of what the link logged."""
    seen = []

    def observe(event):
        if event.get("log_namespace") == "txbridge.relay.link.Link":
            seen.append(event["log_level"])

    globalLogPublisher.addObserver(observe)
    yield seen
    globalLogPublisher.removeObserver(observe)


def test_it_starts_without_an_opinion(link):
    assert (link.state, link.in_trouble, link.last_error) == (LinkState.STARTING, False, None)


def test_the_log_has_the_edges_and_not_the_tries(link, levels):
    link.works()
    for _ in range(5):
        link.failed(AWAY)
    link.failed(TimedOut("write", "answer", 5))
    link.works()
    link.works()
    assert levels == [LogLevel.warn, LogLevel.info]


def test_the_state_follows_the_advice(link, levels):
    link.failed(AWAY)
    assert (link.state, link.in_trouble) == (LinkState.AWAY, True)
    link.failed(KEY)
    assert (link.state, link.in_trouble) == (LinkState.NEEDS_ATTENTION, True)
    link.works()
    assert (link.state, link.in_trouble) == (LinkState.WORKING, False)
    assert link.last_error == "AuthError: write: 401"
    assert levels == [LogLevel.warn, LogLevel.error, LogLevel.info]


def test_what_passes_by_itself_is_tried_soon_and_what_does_not_later(link):
    assert [link.failed(AWAY) for _ in range(4)] == [1, 2, 4, 5]
    assert [link.failed(KEY) for _ in range(6)] == [15, 30, 60, 120, 240, 300]


def test_delays_start_over_after_it_worked_for_a_while(link, clock):
    assert [link.failed(AWAY) for _ in range(2)] == [1, 2]
    link.works()
    clock.advance(4)
    link.works()
    assert link.failed(AWAY) == 4
    link.works()
    clock.advance(5)
    assert link.failed(AWAY) == 1


def test_the_platform_may_ask_for_more_time(link):
    assert link.failed(RateLimited("write", 429, retry_after=99)) == 99


def test_it_knows_since_when_it_goes_like_that(link, clock):
    clock.advance(3)
    assert link.state_age == 3
    link.failed(AWAY)
    clock.advance(2)
    link.failed(AWAY)
    clock.advance(2)
    assert (link.state, link.state_age) == (LinkState.AWAY, 4)
    link.works()
    assert link.state_age == 0


def test_no_platform_silences_a_link_for_longer_than_an_hour(link):
    assert link.failed(RateLimited("write", 429, retry_after=1e9)) == 3600


def test_a_bug_needs_attention_until_it_works_again(link):
    link.crashed(KeyError("secret"))
    assert (link.state, link.last_error) == (LinkState.NEEDS_ATTENTION, "KeyError")
    link.works()
    assert link.state is LinkState.WORKING
