"""Walking a long history and a long list, beside a plain model of what a server answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, succeed

from tests.support.deferreds import result_of
from txbridge.cosm.walk import STRETCH, WIDEST, FeedPages, HistoryWalk
from txbridge.errors import Closed, EncodeError, ServerFailed
from txbridge.model.instants import from_microseconds, to_microseconds
from txbridge.model.structures import Datapoint, Datastream, Environment, EnvironmentList

START = datetime(2013, 6, 3, 8, 45, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
SECOND = 1_000_000


class ModelServer:
    """The history arithmetic of the API in a few lines, over a list of instants.

    Attributes:
        questions: The parameters of every question so far.
    """

    def __init__(self, instants, cap=1000):
        self.instants = sorted({to_microseconds(at) for at in instants})
        self.cap = cap
        self.questions = []

    def read(self, parameters):
        self.questions.append(parameters)
        return succeed(Datastream(id="a", datapoints=[self.point(at) for at in self.answer(parameters)]))

    def answer(self, parameters):
        start, end = to_microseconds(parameters["start"]), to_microseconds(parameters["end"])
        interval = parameters["interval"]
        assert end - start <= WIDEST[interval], "a server refuses a window this wide"
        found = [at for at in self.instants if start <= at <= end]
        if interval:
            step = interval * SECOND
            last = {-(-at // step): at for at in found}  # the last point of each interval
            found = [at for grid, at in last.items() if start < grid * step <= end]
        return found[: min(self.cap, parameters["limit"])]

    @staticmethod
    def point(at):
        return Datapoint(at=from_microseconds(at), value=at)


def walk_all(walk, at_most=10_000):
    """Every page of a walk, which must end."""
    pages = []
    for _ in range(at_most):
        page = result_of(walk.next_datapoints())
        if not page:
            assert walk.progress == 1.0
            return pages
        pages.append(page)
    raise AssertionError("the walk does not end")


def instants_of(pages):
    return [point.at for page in pages for point in page]


def test_a_short_span_is_one_question():
    instants = [START, START + HOUR, START + 6 * HOUR]
    server = ModelServer([*instants, START - HOUR, START + 7 * HOUR])
    walk = HistoryWalk(server.read, START, START + 6 * HOUR)
    assert instants_of(walk_all(walk)) == instants
    assert server.questions == [
        {"start": START, "end": START + 6 * HOUR, "interval": 0, "limit": 1000},
    ]


@pytest.mark.parametrize("count", [999, 1000, 1001, 3500])
@pytest.mark.parametrize("cap", [1000, 500, 100])
def test_a_dense_history_goes_on_past_the_most_points_of_one_answer(count, cap):
    instants = [START + timedelta(seconds=second) for second in range(count)]
    server = ModelServer(instants, cap)
    assert instants_of(walk_all(HistoryWalk(server.read, START, START + 2 * HOUR))) == instants


def test_a_span_wider_than_a_window_is_walked_in_windows():
    instants = [START + minute * timedelta(minutes=7) for minute in range(1500)]
    server = ModelServer(instants)
    walk = HistoryWalk(server.read, START, START + 10 * DAY)
    assert instants_of(walk_all(walk)) == instants


def test_ten_empty_years_cost_a_question_per_half_year():
    end = START + 3652 * DAY
    server = ModelServer([START, end])
    assert instants_of(walk_all(HistoryWalk(server.read, START, end))) == [START, end]
    assert len(server.questions) <= 21 + 2


def test_a_point_every_other_month_costs_one_question_each_beside_the_probes():
    instants = [START + 60 * month * DAY for month in range(12)]
    server = ModelServer(instants)
    assert instants_of(walk_all(HistoryWalk(server.read, START, START + 730 * DAY))) == instants
    assert len(server.questions) <= 5 + 12 + 1


def test_a_probe_that_a_server_cuts_short_is_continued():
    instants = [START + 12 * step * HOUR for step in range(300)]
    server = ModelServer(instants, cap=100)
    assert instants_of(walk_all(HistoryWalk(server.read, START, START + 170 * DAY))) == instants


def test_points_on_the_edges_of_stretches_come_once():
    midnight = datetime(2013, 6, 4, tzinfo=UTC)
    tick = timedelta(microseconds=1)
    instants = [midnight + step * 6 * HOUR + shift for step in range(8) for shift in (-tick, 0 * tick, tick)]
    server = ModelServer(instants)
    assert instants_of(walk_all(HistoryWalk(server.read, midnight - DAY, midnight + 3 * DAY))) == instants


@pytest.mark.parametrize("interval", [interval for interval in WIDEST if interval])
def test_a_sampled_history_has_the_point_that_stands_exactly_at_its_start(interval):
    step = timedelta(seconds=interval)
    midnight = datetime(2013, 6, 3, tzinfo=UTC)
    instants = [midnight + index * step for index in range(3001)]
    server = ModelServer([midnight - step, *instants])
    walk = HistoryWalk(server.read, midnight, midnight + 3000 * step, interval)
    assert instants_of(walk_all(walk)) == instants


@pytest.mark.parametrize("interval", [interval for interval in WIDEST if interval])
def test_a_sampled_history_is_walked_past_its_widest_window(interval):
    step = timedelta(seconds=interval)
    midnight = datetime(2013, 6, 3, tzinfo=UTC)
    instants = [midnight + index * step - timedelta(seconds=5) for index in range(1, 3001)]
    server = ModelServer(instants)
    walk = HistoryWalk(server.read, midnight, midnight + 3000 * step, interval)
    assert instants_of(walk_all(walk)) == instants


spans = st.integers(min_value=0, max_value=400 * 24 * 3600 * SECOND)


@given(
    st.lists(st.one_of(spans, spans.map(lambda at: at - at % STRETCH)), max_size=60),
    st.integers(min_value=0, max_value=1500),
    spans,
    spans,
    st.sampled_from([1000, 300, 100]),
)
def test_whatever_is_stored_between_two_instants_comes_in_order_and_once(scattered, dense, one, other, cap):
    first, last = sorted((one, other))
    origin = to_microseconds(START)
    instants = {origin + at for at in scattered} | {origin + one + index * 250_000 for index in range(dense)}
    server = ModelServer(map(from_microseconds, instants), cap)
    walk = HistoryWalk(server.read, from_microseconds(origin + first), from_microseconds(origin + last))
    expected = sorted(at for at in instants if origin + first <= at <= origin + last)
    assert [to_microseconds(at) for at in instants_of(walk_all(walk))] == expected


def test_a_server_that_ignores_what_it_is_asked_cannot_keep_the_walk_going():
    instants = [to_microseconds(START + step * DAY) for step in range(100)]

    class Stubborn(ModelServer):
        def answer(self, parameters):
            return [*instants, *instants][:100]

    server = Stubborn([])
    walk = HistoryWalk(server.read, START, START + 30 * DAY)
    assert [to_microseconds(at) for at in instants_of(walk_all(walk))] == instants[:31]


def test_points_without_an_instant_are_left_out():
    points = [Datapoint(value="1"), Datapoint(at=START, value="2")]
    walk = HistoryWalk(lambda _: succeed(Datastream(datapoints=points)), START, START + HOUR)
    assert walk_all(walk) == [[points[1]]]


def test_a_span_that_ends_before_it_starts_holds_nothing():
    server = ModelServer([START])
    assert walk_all(HistoryWalk(server.read, START, START - HOUR)) == []
    assert server.questions == []


def test_a_walk_may_end_at_the_end_of_the_calendar():
    last = datetime.max.replace(tzinfo=UTC)
    server = ModelServer([last])
    assert instants_of(walk_all(HistoryWalk(server.read, last - 200 * DAY, last))) == [last]


def test_progress_tells_the_part_of_the_span_that_was_walked():
    server = ModelServer([START + 5 * DAY, START + 10 * DAY])
    walk = HistoryWalk(server.read, START, START + 10 * DAY)
    assert walk.progress == 0.0
    result_of(walk.next_datapoints())
    assert 0.5 <= walk.progress < 0.6
    walk_all(walk)


def test_a_walk_goes_on_where_it_failed():
    server = ModelServer([START + index * DAY for index in range(5)])
    broken = [True, False, True, False, True]

    def read(parameters):
        if broken and broken.pop():
            raise ServerFailed("read_datastream", 503)
        return server.read(parameters)

    walk = HistoryWalk(read, START, START + 5 * DAY)
    found, failures = [], 0
    while walk.progress < 1.0:
        try:
            found += result_of(walk.next_datapoints())
        except ServerFailed:
            failures += 1
    assert [to_microseconds(point.at) for point in found] == server.instants
    assert failures == 3


def test_cancelling_loses_nothing():
    server = ModelServer([START, START + HOUR])
    asked: list[Deferred[Datastream]] = []

    def read(parameters):
        asked.append(Deferred())
        return asked[-1]

    walk = HistoryWalk(read, START, START + HOUR)
    first = walk.next_datapoints()
    first.cancel()
    with pytest.raises(CancelledError):
        result_of(first)
    second, third = walk.next_datapoints(), walk.next_datapoints()
    assert len(asked) == 2, "the third call waits for the second"
    server.read({"start": START, "end": START + HOUR, "interval": 0, "limit": 9}).chainDeferred(asked[1])
    assert [point.at for point in result_of(second)] == [START, START + HOUR]
    assert result_of(third) == []


def test_a_closed_walk_gives_nothing_more():
    walk = HistoryWalk(ModelServer([START]).read, START, START + HOUR)
    walk.close()
    with pytest.raises(Closed):
        result_of(walk.next_datapoints())


@pytest.mark.parametrize(
    ("start", "end", "interval", "argument"),
    [
        (datetime(2013, 6, 3), START, 0, "start"),
        (START, "tomorrow", 0, "end"),
        (START, None, 0, "end"),
        (START, START, 17, "interval"),
    ],
)
def test_what_cannot_be_walked_is_refused_by_name(start, end, interval, argument):
    with pytest.raises(EncodeError) as caught:
        HistoryWalk(ModelServer([]).read, start, end, interval)
    assert caught.value.path == argument


# -- lists


class ModelList:
    """A list of feeds served in pages.

    Attributes:
        pages: Which pages were asked for.
    """

    def __init__(self, count, *, counted=True, sized=True, ignores_page=False):
        self.feeds = [Environment(id=number) for number in range(count)]
        self.counted, self.sized, self.ignores_page = counted, sized, ignores_page
        self.pages = []

    def read(self, parameters):
        size, page = parameters["per_page"], 1 if self.ignores_page else parameters["page"]
        self.pages.append(parameters["page"])
        return succeed(
            EnvironmentList(
                total_results=len(self.feeds) if self.counted else None,
                items_per_page=size if self.sized else None,
                feeds=self.feeds[(page - 1) * size : page * size],
            )
        )


def read_all(pages):
    numbers = []
    while (page := result_of(pages.next_page())) is not None:
        assert page.feeds, "a page holds something"
        numbers += [feed.id for feed in page.feeds]
    assert result_of(pages.next_page()) is None
    return numbers


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 35])
@pytest.mark.parametrize("counted", [True, False])
@pytest.mark.parametrize("sized", [True, False])
def test_every_page_of_a_list_is_read(count, counted, sized):
    server = ModelList(count, counted=counted, sized=sized)
    assert read_all(FeedPages(server.read, {"per_page": 10})) == list(range(count))
    assert len(server.pages) <= count // 10 + 2


def test_a_list_whose_length_is_known_costs_no_question_too_many():
    server = ModelList(200)
    assert read_all(FeedPages(server.read)) == list(range(200))
    assert server.pages == [1, 2]


def test_a_server_that_knows_no_pages_is_asked_twice():
    server = ModelList(10, counted=False, ignores_page=True)
    assert read_all(FeedPages(server.read, {"per_page": 10})) == list(range(10))
    assert server.pages == [1, 2]


def test_a_feed_that_moved_to_the_next_page_comes_once():
    server = ModelList(20)
    pages = FeedPages(server.read, {"per_page": 10})
    first = result_of(pages.next_page())
    server.feeds = [Environment(id=99), *server.feeds]
    second = result_of(pages.next_page())
    assert [feed.id for feed in first.feeds] == list(range(10))
    assert [feed.id for feed in second.feeds] == list(range(10, 19))


def test_a_closed_list_gives_nothing_more():
    pages = FeedPages(ModelList(5).read)
    pages.close()
    with pytest.raises(Closed):
        result_of(pages.next_page())
