"""How a listener catches up, told apart from any connection."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock

from txbridge.cosm import listening as listening_module
from txbridge.cosm.client import Verbs
from txbridge.cosm.listening import RETRY_AFTER, Flow, Listening, Target
from txbridge.errors import ConnectionLost, Forbidden, ServerFailed
from txbridge.model.structures import Datapoint, Datastream, Environment

AT = datetime(2013, 6, 3, 9, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
TARGET = Target("/feeds/7", "7", None)


class Answers:
    """A carrier whose reads of the feed and of its history are written down.

    Attributes:
        history: Datastream id -> seconds after AT at which there is a point.
        refusal: Fails the next question, once.
        asked: The names of the questions.
        waiting: Keeps questions waiting, until `release`.
    """

    def __init__(self, **history):
        self.history = history
        self.refusal = None
        self.asked = []
        self.waiting = None

    def run(self, operation):
        self.asked.append(operation.name)
        if self.refusal is not None:
            refusal, self.refusal = self.refusal, None
            return fail(refusal)
        if self.waiting is not None:
            return self.waiting.addCallback(lambda _: self._answer(operation))
        return succeed(self._answer(operation))

    def release(self):
        """Answer what waits."""
        waiting, self.waiting = self.waiting, None
        waiting.callback(None)

    def _answer(self, operation):
        if operation.name == "read_feed":
            return Environment(
                id=7,
                datastreams=[
                    Datastream(id=name, current_value=max(seconds), at=AT + max(seconds) * SECOND)
                    for name, seconds in self.history.items()
                ],
            )
        query = dict(operation.query)
        start, end = Datapoint(at=query["start"]).at, Datapoint(at=query["end"]).at
        name = operation.path[-1].removesuffix(".json")
        ats = [AT + second * SECOND for second in self.history[name]]
        points = [Datapoint(at=at, value=int((at - AT).total_seconds())) for at in ats if start <= at <= end]
        return Datastream(id=name, datapoints=points)


class Notes(Flow):
    """Keeps what it is given."""

    def __init__(self):
        self.points = []
        self.titles = []
        self.gaps = []

    def deliver(self, structure, news):
        self.titles.append(structure.title)
        for name, points in news.items():
            self.points += [(name, int(point.value)) for point in points]

    def missed(self, gap):
        self.gaps.append(gap)


def make(answers, **options):
    clock = Clock()
    clock.advance((AT + 100 * SECOND).timestamp())
    notes = Notes()
    return Listening(TARGET, Verbs(answers), notes, clock, **options), notes, clock


def push(listening, name, *seconds, skipped=0):
    document = Environment(id=7)
    for second in seconds:
        document.add_datapoint(name, AT + second * SECOND, second)
    listening.pushed(document.encode().encode(), skipped)


def test_the_first_confirmation_only_finds_out_where_to_begin():
    answers = Answers(a=[1, 2])
    listening, notes, _ = make(answers)
    listening.confirmed()
    assert answers.asked == ["read_feed"]
    assert notes.points == []
    push(listening, "a", 3)
    assert notes.points == [("a", 3)]


def test_a_later_confirmation_fills_what_was_recorded_in_between():
    answers = Answers(a=[1])
    listening, notes, _ = make(answers)
    listening.confirmed()
    listening.lost()
    answers.history = {"a": [1, 2, 3], "b": [1]}
    listening.confirmed()
    assert sorted(notes.points) == [("a", 2), ("a", 3), ("b", 1)]


def test_histories_of_several_streams_are_merged_in_order_of_time():
    answers = Answers(a=[1, 4], b=[2, 3])
    listening, notes, _ = make(answers, since=AT)
    listening.confirmed()
    assert sorted(notes.points[:3]) == [("a", 1), ("b", 2), ("b", 3)]
    assert notes.points[3:] == [("a", 4)]


def test_pushes_wait_for_the_history_and_are_not_repeated():
    answers = Answers(a=[1, 2])
    listening, notes, _ = make(answers, since=AT)
    answers.waiting = Deferred()
    listening.confirmed()
    push(listening, "a", 2, 3)
    assert notes.points == []
    answers.release()
    assert notes.points == [("a", 1), ("a", 2), ("a", 3)]


def test_a_change_of_title_that_waited_for_the_history_is_handed_out():
    answers = Answers(a=[1, 2])
    listening, notes, _ = make(answers, since=AT)
    answers.waiting = Deferred()
    listening.confirmed()
    for title, second in (("Old", 1), ("New", 2)):
        document = Environment(id=7, title=title)
        document.set_current_value("a", second, AT + second * SECOND)
        listening.pushed(document.encode().encode(), 0)
    answers.release()
    assert notes.points == [("a", 1), ("a", 2)]
    assert notes.titles == [None, "New"]


def test_a_point_at_the_end_of_all_time_breaks_nothing():
    answers = Answers(a=[1], b=[1])
    last = datetime.max.replace(tzinfo=UTC)
    listening, notes, _ = make(answers, seen={"a": last, "b": AT})
    listening.confirmed()
    assert notes.points == [("b", 1)]
    push(listening, "b", 2)
    assert notes.points == [("b", 1), ("b", 2)]


def test_a_push_that_skipped_some_makes_it_read_history():
    answers = Answers(a=[1])
    listening, notes, _ = make(answers)
    listening.confirmed()
    answers.history = {"a": [1, 2, 3, 4]}
    push(listening, "a", 4, skipped=2)
    assert notes.points == [("a", 2), ("a", 3), ("a", 4)]


def test_a_push_that_cannot_be_read_makes_it_read_history():
    answers = Answers(a=[1])
    listening, notes, _ = make(answers)
    listening.confirmed()
    answers.history = {"a": [1, 2]}
    listening.pushed(b'{"datastreams": 5}', 0)
    assert notes.points == [("a", 2)]


def test_a_server_without_our_extension_gives_current_values():
    listening, notes, _ = make(Answers(a=[1]))
    listening.confirmed()
    for second in (1, 2):
        document = Environment(id=7)
        document.set_current_value("a", second, AT + second * SECOND)
        listening.pushed(document.encode().encode(), 0)
    assert notes.points == [("a", 2)]


def test_what_fails_for_now_is_tried_again():
    answers = Answers(a=[1])
    answers.refusal = ServerFailed("read_feed", 503)
    listening, notes, clock = make(answers, since=AT)
    listening.confirmed()
    assert notes.points == []
    clock.advance(RETRY_AFTER)
    assert notes.points == [("a", 1)]
    assert notes.gaps == []


def test_what_is_refused_is_a_gap_and_live_updates_go_on():
    answers = Answers(a=[1])
    answers.refusal = Forbidden("read_feed", 403, "Forbidden", "not yours")
    listening, notes, _ = make(answers, since=AT)
    listening.confirmed()
    assert [(gap.start, gap.end) for gap in notes.gaps] == [(AT, AT + 100 * SECOND)]
    assert "not yours" in notes.gaps[0].reason
    push(listening, "a", 200)
    assert notes.points == [("a", 200)]


def test_a_lost_link_leaves_the_rest_to_the_next_one():
    answers = Answers(a=[1])
    answers.refusal = ConnectionLost("read_feed", "gone")
    listening, notes, clock = make(answers, since=AT)
    listening.confirmed()
    listening.lost()
    assert clock.getDelayedCalls() == []
    listening.confirmed()
    assert notes.points == [("a", 1)]


@pytest.mark.parametrize(("bound", "most"), [("MAX_HELD", 2), ("MAX_HELD_BYTES", 200)])
def test_with_too_many_pushes_waiting_history_is_read_once_more(monkeypatch, bound, most):
    monkeypatch.setattr(listening_module, bound, most)
    answers = Answers(a=[1])
    listening, notes, _ = make(answers, since=AT)
    answers.waiting = Deferred()
    listening.confirmed()
    for second in range(2, 6):
        push(listening, "a", second)
    answers.history = {"a": [1, 2, 3, 4, 5]}
    answers.release()
    assert sorted(notes.points) == [("a", second) for second in range(1, 6)]
    assert answers.asked.count("read_feed") == 2


def test_a_paused_listener_reads_what_it_left_out():
    answers = Answers(a=[1])
    listening, notes, _ = make(answers)
    listening.confirmed()
    listening.pause()
    push(listening, "a", 2)
    push(listening, "a", 3)
    assert notes.points == []
    answers.history = {"a": [1, 2, 3]}
    listening.resume()
    assert notes.points == [("a", 2), ("a", 3)]


class Leaving(Notes):
    """Ends its listening as soon as it is given anything."""

    listening = None

    def deliver(self, structure, news):
        super().deliver(structure, news)
        self.listening.lost()


def test_a_reader_may_end_it_while_history_is_handed_out():
    answers = Answers(a=[1])
    clock, notes = Clock(), Leaving()
    listening = notes.listening = Listening(TARGET, Verbs(answers), notes, clock, since=AT)
    answers.waiting = Deferred()
    listening.confirmed()
    push(listening, "a", 2)
    answers.release()
    assert notes.points == [("a", 1)]
    assert clock.getDelayedCalls() == []


def test_a_reader_may_end_it_while_waiting_pushes_are_handed_out():
    answers = Answers(a=[1])
    clock, notes = Clock(), Leaving()
    listening = notes.listening = Listening(TARGET, Verbs(answers), notes, clock)
    answers.waiting = Deferred()
    listening.confirmed()
    push(listening, "a", 2)
    push(listening, "a", 3)
    answers.release()
    assert notes.points == [("a", 2)]


def test_what_is_recorded_late_is_read_as_far_back_as_one_said_and_given_once():
    answers = Answers(a=[10, 20], b=[5])
    listening, notes, _ = make(answers, since=AT, late=15 * SECOND)
    listening.confirmed()
    notes.points.clear()
    listening.lost()
    answers.history = {"a": [1, 10, 15, 19, 20], "b": [3, 5, 30]}
    listening.confirmed()
    assert sorted(notes.points) == [("a", 15), ("a", 19), ("b", 3), ("b", 30)]


def test_a_listener_that_goes_on_reads_back_no_further_than_where_it_began():
    answers = Answers(a=[1, 10, 20], b=[2])
    began = AT + 5 * SECOND
    listening, notes, _ = make(answers, since=began, seen={"a": AT + 20 * SECOND}, late=timedelta(days=1))
    listening.confirmed()
    assert notes.points == [("a", 10), ("a", 20)]


def test_reading_back_ends_at_1970():
    answers = Answers(a=[1])
    listening, notes, _ = make(answers, seen={"a": AT + SECOND}, late=timedelta(days=365 * 100))
    listening.confirmed()
    assert notes.points == [("a", 1)]


STEPS = st.lists(
    st.tuples(st.just("write"), st.sampled_from("abc"), st.integers(-20, 3))
    | st.sampled_from([("lose",), ("find",), ("restart",)]),
    max_size=40,
)


@given(STEPS)
def test_whatever_happens_every_point_comes_and_none_comes_twice_to_one_listener(steps):
    """What the feed has minus what was handed out is what is handed out, however links and listeners end."""
    answers = Answers()
    options = {"since": AT, "late": 25 * SECOND}
    listening, notes, _ = make(answers, **options)
    linked = False
    handed_out = set()

    def look():
        assert len(notes.points) == len(set(notes.points))
        handed_out.update(notes.points)

    for what, *how in [*steps, ("lose",), ("find",)]:
        if what == "write":
            name, step = how
            recorded = answers.history.setdefault(name, [])
            second = max(max(recorded, default=30) + step, 1)
            if second not in recorded:
                recorded.append(second)
                recorded.sort()
                if linked:
                    push(listening, name, second)
        elif what == "find" and not linked:
            listening.confirmed()
            linked = True
        elif linked or what == "restart":
            listening.lost()
            linked = False
            look()
            if what == "restart":
                listening, notes, _ = make(answers, seen=dict(listening.seen), **options)
    look()
    assert handed_out == {(name, second) for name, seconds in answers.history.items() for second in seconds}
