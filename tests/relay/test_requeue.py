"""Letters go back to their destination alone, while the relay runs."""

from __future__ import annotations

import errno

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs

from tests.relay.test_dead_letters import Desk, batch
from tests.relay.test_records import exactly
from tests.support.deferreds import fired, result_of
from tests.support.workers import StepWorker
from txbridge.errors import Closed, EncodeError, OutboxError
from txbridge.relay.files import RealFiles
from txbridge.relay.outbox import MemoryOutbox
from txbridge.relay.requeue import Requeue


class Office:
    """A route's folder with letters, an outbox, and what gives them back."""

    def __init__(self, folder, outbox=None, files=None):
        self.folder = folder
        self.clock = Clock()
        self.desk = Desk(folder)
        self.outbox = outbox if outbox is not None else MemoryOutbox(["hub", "cloud"], self.clock)
        self.requeue = Requeue(
            folder, self.outbox, files or RealFiles(), StepWorker(), clock=self.clock, random=lambda: 0.5
        )

    def send_back(self, *streams, destination="hub"):
        for stream in streams:
            self.desk.bury(batch(stream), destination)
        for path in self.desk.letters.paths():
            self.desk.letters.requeue(path)

    @property
    def names(self):
        return [path.name for path in self.desk.letters.requeued()]

    def stop(self):
        fired(self.requeue.stop())
        assert self.clock.getDelayedCalls() == []


class Sticky(RealFiles):
    """Files that cannot be removed for so many times."""

    times = 3

    def remove(self, path):
        if self.times:
            self.times -= 1
            raise PermissionError(errno.EPERM, "not permitted")
        super().remove(path)


class FailingOutbox:
    """Fails, or does not answer."""

    destinations = ("hub",)

    def __init__(self, *answers):
        self.answers = list(answers)
        self.accepted = []

    def append(self, batch, only=None):
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if answer is None:
            self.accepted.append((batch, only))
            answer = Deferred()
            answer.callback(None)
        return answer


def peek(office, destination):
    return office.outbox.peek(destination, max_points=100, max_bytes=10**6)


def test_letters_go_back_to_the_destination_that_refused_them_in_their_order(tmp_path):
    office = Office(tmp_path)
    office.send_back("a", "b")
    office.requeue.start()
    pending = result_of(peek(office, "hub"))
    assert [block.stream for block in pending.batch.blocks] == ["a", "b"]
    assert office.outbox.state().destinations["cloud"].points == 0
    assert office.names == []
    office.stop()


def test_a_letter_that_is_put_there_while_the_relay_runs_goes_back_soon(tmp_path):
    office = Office(tmp_path)
    office.requeue.start()
    office.send_back("a")
    assert office.outbox.state().points == 0
    office.clock.advance(5)
    assert office.outbox.state().points == 3
    office.stop()


def test_the_folder_is_made_before_anybody_puts_a_letter_there(tmp_path):
    office = Office(tmp_path)
    office.requeue.start()
    assert (tmp_path / "requeue").is_dir()
    office.stop()


def test_a_letter_stays_until_the_outbox_has_it(tmp_path):
    waiting = Deferred()
    office = Office(tmp_path, FailingOutbox(waiting))
    office.send_back("a")
    office.requeue.start()
    assert office.names == ["hub-00000001.letter"]
    waiting.callback(None)
    assert office.names == []
    office.stop()


def test_a_failing_outbox_is_tried_again(tmp_path):
    outbox = FailingOutbox(OutboxError("full"), None)
    office = Office(tmp_path, outbox)
    office.send_back("a")
    office.requeue.start()
    assert office.names == ["hub-00000001.letter"]
    office.clock.advance(5)
    assert office.names == []
    ((one, only),) = outbox.accepted
    assert exactly(one) == exactly(batch("a"))
    assert only == ["hub"]
    office.stop()


def test_a_closed_outbox_ends_the_looking(tmp_path):
    office = Office(tmp_path, FailingOutbox(Closed("the outbox")))
    office.send_back("a")
    office.requeue.start()
    assert office.clock.getDelayedCalls() == []
    assert office.names == ["hub-00000001.letter"]
    office.stop()


def test_stopping_in_the_middle_leaves_the_letter(tmp_path):
    office = Office(tmp_path, FailingOutbox(Deferred()))
    office.send_back("a")
    office.requeue.start()
    office.stop()
    assert office.names == ["hub-00000001.letter"]


def test_a_letter_for_nobody_stays_and_is_told_once_and_the_others_go_back(tmp_path):
    office = Office(tmp_path)
    office.send_back("a", destination="gone")
    office.send_back("b")
    with capturedLogs() as logged:
        office.requeue.start()
        office.clock.advance(5)
    assert office.names == ["gone-00000001.letter"]
    assert office.outbox.state().destinations["hub"].points == 3
    warnings = [one for one in logged if one["log_level"] is LogLevel.warn]
    assert [one["why"] for one in warnings] == ["the route has no destination 'gone'"]
    office.stop()


def test_a_damaged_letter_is_set_aside_and_the_others_go_back(tmp_path, flushed_errors):
    office = Office(tmp_path)
    office.send_back("a", "b")
    office.desk.letters.requeued()[0].write_bytes(b"nothing")
    office.requeue.start()
    assert [path.name for path in (tmp_path / "requeue").iterdir()] == ["hub-00000001.letter.damaged"]
    assert office.outbox.state().points == 3
    office.stop()


@pytest.mark.parametrize("name", ["notes.txt", ".hub-00000001.letter.swp"])
def test_other_files_are_left_alone(tmp_path, name):
    office = Office(tmp_path)
    (tmp_path / "requeue").mkdir()
    (tmp_path / "requeue" / name).write_text("mine")
    office.requeue.start()
    assert (tmp_path / "requeue" / name).exists()
    office.stop()


def test_a_letter_that_the_outbox_cannot_write_keeps_no_other_from_going_back(tmp_path):
    office = Office(tmp_path, FailingOutbox(EncodeError("record", "streams", "too many"), None))
    office.send_back("a", "b")
    with capturedLogs() as logs:
        office.requeue.start()
    assert office.names == ["hub-00000001.letter"]
    assert len(office.outbox.accepted) == 1
    assert [one["log_level"] for one in logs if "cannot go back" in one["log_format"]] == [LogLevel.warn]
    office.stop()


def test_a_letter_that_cannot_be_taken_away_goes_back_once(tmp_path):
    office = Office(tmp_path, FailingOutbox(None), Sticky())
    office.send_back("a")
    office.requeue.start()
    office.clock.pump([5] * 4)
    assert office.names == []
    assert len(office.outbox.accepted) == 1
    office.stop()
