"""A refused part is kept with the words of who refused it, and none goes without a row in the ledger."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from tests.relay.test_records import FULL, exactly
from tests.support.batches import batches, texts
from tests.support.deferreds import fired, result_of, waits
from tests.support.relay import ScriptedLedger
from tests.support.workers import StepWorker
from txbridge.errors import DecodeError, OutboxError
from txbridge.model.samples import Batch, Cursor, SampleBlock
from txbridge.relay.dead_letters import (
    DeadLetterBox,
    LetterFiles,
    LetterStream,
    decode_letter,
    encode_letter,
)
from txbridge.relay.files import RealFiles
from txbridge.relay.roles import LossKind

NOW = 1_700_000_000_000_000_000


def batch(stream: str = "t", rows: int = 3) -> Batch:
    return Batch((SampleBlock.scalar(stream, range(1, rows + 1), [0.5] * rows),))


class FailingFiles(RealFiles):
    """Fails at the next call of a kind."""

    def __init__(self, *failing: str) -> None:
        self.failing = set(failing)

    def _maybe(self, what: str) -> None:
        if what in self.failing:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def create(self, path, size):
        self._maybe("create")
        return super().create(path, size)

    def rename(self, old, new):
        self._maybe("rename")
        super().rename(old, new)

    def sync_folder(self, path):
        self._maybe("sync_folder")
        super().sync_folder(path)


class Desk:
    """A route's folder with its box."""

    def __init__(self, folder: Path, files: RealFiles | None = None, **caps: int) -> None:
        self.folder = folder
        self.files = files if files is not None else RealFiles()
        self.worker = StepWorker()
        self.ledger = ScriptedLedger()
        self.box = DeadLetterBox(
            folder, self.files, self.worker, ledger=self.ledger, now_ns=lambda: NOW, **caps
        )
        self.letters = LetterFiles(folder, self.files)

    def bury(self, one: Batch, destination: str = "hub", reason: str = "422 no") -> None:
        fired(self.box.bury(destination, one, reason))

    @property
    def names(self) -> list[str]:
        return [path.relative_to(self.folder).as_posix() for path in self.letters.paths()]


# ------------------------------------------------------------------------------------ the format


@given(batches(), texts(), texts())
def test_a_letter_comes_back_as_it_was_but_for_its_cursor(one, destination, reason):
    letter = decode_letter(encode_letter(destination, one, reason, NOW))
    assert (letter.head.destination, letter.head.reason, letter.head.buried_ns) == (destination, reason, NOW)
    assert letter.batch.cursor is None
    kept = exactly(letter.batch)
    assert kept == exactly(Batch(one.blocks, one.gaps, one.infos, None, one.notes))


def test_the_head_says_what_is_in_it():
    head = decode_letter(encode_letter("hub", FULL, "422 no", NOW)).head
    assert head.points == 3
    assert head.streams == (LetterStream("door", 1, 2, 3), LetterStream("door", 5, 9, 0))
    many = Batch(tuple(batch(f"s{number}").blocks[0] for number in range(130)))
    head = decode_letter(encode_letter("hub", many, "no", NOW)).head
    assert (len(head.streams), head.more_streams, head.points) == (100, 30, 390)


@given(batches(), st.data())
def test_a_damaged_letter_is_never_taken_for_one(one, data):
    letter = encode_letter("hub", one, "no", NOW)
    at = data.draw(st.integers(0, len(letter) - 1))
    flipped = bytearray(letter)
    flipped[at] ^= 1 << data.draw(st.integers(0, 7))
    cut = data.draw(st.integers(0, len(letter) - 1))
    for damaged in (bytes(flipped), letter[:cut]):
        with pytest.raises(DecodeError):
            decode_letter(damaged)


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"", "not a dead letter"), (b"TXL\x02" + bytes(60), "version 2"), (b"TXL\x01" + b"\xff" * 60, "ends")],
)
def test_what_is_no_letter_is_refused_in_words(data, words):
    with pytest.raises(DecodeError, match=words):
        decode_letter(data)


# ------------------------------------------------------------------------------------- the files


def test_each_part_is_a_file_in_the_folder_of_who_refused_it(tmp_path):
    desk = Desk(tmp_path)
    desk.bury(batch("a"))
    desk.bury(batch("b"), "cloud", "400 poison")
    desk.bury(batch("c"))
    assert desk.names == [
        "dead/hub/00000001.letter",
        "dead/cloud/00000002.letter",
        "dead/hub/00000003.letter",
    ]
    path = desk.letters.paths()[1]
    assert desk.letters.head(path) == desk.letters.letter(path).head
    assert desk.letters.head(path).reason == "400 poison"
    assert exactly(desk.letters.letter(path).batch) == exactly(batch("b"))
    assert path.stat().st_mode & 0o777 == 0o600
    assert desk.letters.size(path) == path.stat().st_size


def test_what_somebody_keeps_beside_the_letters_is_left_alone(tmp_path):
    desk = Desk(tmp_path, max_letters=1)
    desk.bury(batch("a"))
    copy = desk.letters.paths()[0].with_name("copy of 1.letter")
    copy.write_bytes(b"mine")
    desk.bury(batch("b"))
    assert desk.names == ["dead/hub/00000002.letter"]
    assert copy.exists()


def test_a_name_of_a_destination_stays_within_the_folder(tmp_path):
    desk = Desk(tmp_path / "route")
    for destination in ("..", "../../etc", "a/b", "a.b", "ü 1"):
        desk.bury(batch(), destination)
    assert len(desk.names) == 5
    assert desk.letters.head(desk.letters.paths()[0]).destination == ".."
    assert [path.name for path in tmp_path.iterdir()] == ["route"]


def test_a_letter_that_goes_back_keeps_its_number_and_no_other_gets_it(tmp_path):
    desk = Desk(tmp_path)
    desk.bury(batch("a"))
    there = desk.letters.requeue(desk.letters.paths()[0])
    assert there.relative_to(tmp_path).as_posix() == "requeue/hub-00000001.letter"
    desk = Desk(tmp_path)
    desk.bury(batch("b"))
    assert desk.names == ["dead/hub/00000002.letter"]
    assert desk.letters.requeued() == [there]


def test_a_cursor_in_a_refused_part_is_not_kept(tmp_path):
    desk = Desk(tmp_path)
    desk.bury(Batch(batch().blocks, cursor=Cursor(7)))
    assert desk.letters.letter(desk.letters.paths()[0]).batch.cursor is None


@pytest.mark.parametrize("call", ["create", "rename", "sync_folder"])
def test_a_letter_that_cannot_be_written_is_told_and_leaves_nothing_half_done(tmp_path, call):
    desk = Desk(tmp_path, FailingFiles(call))
    with pytest.raises(OutboxError, match="No space left"):
        result_of(desk.box.bury("hub", batch(), "no"))
    assert not list(tmp_path.rglob("*.tmp"))
    desk.files.failing.clear()
    desk.bury(batch())
    assert len(desk.names) == 1


def test_a_letter_is_readable_only_when_it_is_whole(tmp_path):
    """It is renamed after it was synced, so nobody sees a part of one."""
    order = []

    class Watched(RealFiles):
        def create(self, path, size):
            order.append(f"create {path.suffix}")
            file = super().create(path, size)
            sync = file.sync
            file.sync = lambda: (order.append("sync"), sync())
            return file

        def rename(self, old, new):
            order.append(f"rename {new.suffix}")
            super().rename(old, new)

        def sync_folder(self, path):
            order.append(f"sync {path.name}")
            super().sync_folder(path)

    desk = Desk(tmp_path, Watched())
    desk.bury(batch())
    assert order[-4:] == ["create .tmp", "sync", "rename .letter", "sync hub"]


# -------------------------------------------------------------------------------------- the caps


def test_the_oldest_letter_goes_when_there_are_too_many_and_the_ledger_is_told_first(tmp_path):
    desk = Desk(tmp_path, max_letters=2)
    for stream in "abc":
        desk.bury(batch(stream))
    assert desk.names == ["dead/hub/00000002.letter", "dead/hub/00000003.letter"]
    (loss,) = desk.ledger.losses
    assert (loss.destination, loss.kind) == ("hub", LossKind.REFUSED)
    assert (loss.gap.stream, loss.gap.start_ns, loss.gap.end_ns, loss.gap.points) == ("a", 1, 3, 0)
    assert loss.gap.reason == "the dead letter 00000001.letter of 3 points was let go: there were too many"


def test_letters_go_until_there_is_room_for_the_bytes_of_the_new_one(tmp_path):
    size = len(encode_letter("hub", batch(rows=1000), "422 no", NOW))
    desk = Desk(tmp_path, max_bytes=size * 3)
    for stream in "abc":
        desk.bury(batch(stream, 1000))
    desk.bury(batch("d", 2000))
    assert desk.names == ["dead/hub/00000003.letter", "dead/hub/00000004.letter"]
    desk.bury(batch("e", 100_000))  # more than the cap allows: one is always kept
    assert desk.names == ["dead/hub/00000005.letter"]
    assert len(desk.ledger.losses) == 4


def test_what_somebody_took_away_makes_room(tmp_path):
    desk = Desk(tmp_path, max_letters=2)
    desk.bury(batch("a"))
    desk.bury(batch("b"))
    desk.letters.requeue(desk.letters.paths()[0])
    desk.bury(batch("c"))
    assert len(desk.names) == 2
    assert desk.ledger.losses == []


def test_letters_of_an_earlier_run_count(tmp_path):
    Desk(tmp_path).bury(batch("a"))
    desk = Desk(tmp_path, max_letters=1)
    desk.bury(batch("b"))
    assert desk.names == ["dead/hub/00000002.letter"]


def test_nothing_goes_while_the_ledger_cannot_be_told(tmp_path):
    desk = Desk(tmp_path, max_letters=1)
    desk.bury(batch("a"))
    desk.box._ledger = ScriptedLedger(OutboxError("the disk is full"))
    with pytest.raises(OutboxError, match="the disk is full"):
        result_of(desk.box.bury("hub", batch("b"), "no"))
    assert desk.names == ["dead/hub/00000001.letter"]
    desk.bury(batch("b"))
    assert desk.names == ["dead/hub/00000002.letter"]


def test_a_damaged_letter_goes_too(tmp_path):
    desk = Desk(tmp_path, max_letters=1)
    desk.bury(batch("a"))
    desk.letters.paths()[0].write_bytes(b"nothing")
    desk.bury(batch("b"))
    assert desk.names == ["dead/hub/00000002.letter"]
    (loss,) = desk.ledger.losses
    assert "could not be read" in loss.gap.reason


def test_parts_are_buried_one_after_the_other(tmp_path):
    """Two senders of a route may bury at the same time, and the caps hold all the same."""
    desk = Desk(tmp_path, max_letters=1)
    asked: list[Deferred[None]] = []

    class Slow(ScriptedLedger):
        def record(self, losses):
            asked.append(Deferred())
            return asked[-1]

    desk.bury(batch("a"))
    desk.box._ledger = Slow()
    first, second = desk.box.bury("hub", batch("b"), "no"), desk.box.bury("cloud", batch("c"), "no")
    assert (waits(first), waits(second), len(asked)) == (True, True, 1)
    asked[0].callback(None)
    fired(first)
    assert waits(second)
    asked[1].callback(None)
    fired(second)
    assert desk.names == ["dead/cloud/00000003.letter"]


@pytest.mark.parametrize("caps", [{"max_letters": 0}, {"max_bytes": 0}])
def test_a_box_without_room_is_refused(tmp_path, caps):
    with pytest.raises(ValueError, match="no letter fits"):
        Desk(tmp_path, **caps)


def test_a_folder_that_cannot_be_listed_is_told(tmp_path):
    class Broken(RealFiles):
        def names(self, path):
            raise PermissionError(errno.EACCES, "Permission denied")

    desk = Desk(tmp_path, Broken())
    for look in (desk.letters.paths, desk.letters.requeued):
        with pytest.raises(OutboxError, match="Permission denied"):
            look()
