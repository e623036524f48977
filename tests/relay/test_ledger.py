"""Every loss is written down, and stays so: on a full disk, in a damaged file, above any number of rows."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from attrs import define
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError

from tests.support.deferreds import fired, result_of, waits
from tests.support.workers import StepWorker
from txbridge.errors import Closed, OutboxError
from txbridge.model.samples import Gap
from txbridge.relay.ledger import (
    LedgerFilter,
    LedgerRow,
    LedgerSum,
    MemoryLedger,
    SqliteLedger,
    check_ledger,
    read_ledger,
    read_ledger_sums,
)
from txbridge.relay.roles import Loss, LossKind

NOW = 1_700_000_000_000_000_000
PAGE = 4096


def lost(
    stream: str = "t",
    start: int = 1,
    end: int = 2,
    points: int | None = 2,
    *,
    destination: str = "hub",
    kind: LossKind = LossKind.OVERFLOW,
    reason: str = "full",
) -> Loss:
    return Loss(destination, kind, Gap(stream, start, end, reason, points))


class TickingClock:
    """Some time passes whenever somebody looks."""

    def __init__(self, seconds: int = 1) -> None:
        self.now = NOW
        self._step = seconds * 10**9

    def __call__(self) -> int:
        self.now += self._step
        return self.now


@define
class SmallDisk:
    """A disk with room for so many pages of the database and the ballast together."""

    pages: int
    ballast: Path

    def connect(self, path: Path) -> sqlite3.Connection:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        connection.execute(f"PRAGMA max_page_count = {self.pages - self._held // PAGE}")
        return connection

    def allocate(self, descriptor: int, nbytes: int) -> None:
        if nbytes // PAGE > self.pages - self._used:
            raise OSError(errno.ENOSPC, "No space left on device")
        os.truncate(descriptor, nbytes)

    @property
    def _held(self) -> int:
        return self.ballast.stat().st_size if self.ballast.exists() else 0

    @property
    def _used(self) -> int:
        return self.ballast.with_suffix("").stat().st_size // PAGE


class Desk:
    """A ledger in a folder, opened as often as one likes."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.path = folder / "ledger.sqlite"
        self.ballast = folder / "ledger.sqlite.ballast"
        self.options = options
        self.worker = StepWorker()
        self.ledger = self.open()

    def open(self) -> SqliteLedger:
        self.worker = StepWorker()
        self.ledger = result_of(
            SqliteLedger.open(self.path, None, worker=self.worker, now_ns=TickingClock(), **self.options)
        )
        return self.ledger

    def record(self, *losses: Loss, route: str = "kitchen") -> None:
        fired(self.ledger.route(route).record(losses))

    def rows(self, **wanted: Any) -> list[LedgerRow]:
        return result_of(self.ledger.read(LedgerFilter(**wanted), limit=10**6, newest_first=False))

    def sums(self, **wanted: Any) -> list[LedgerSum]:
        return result_of(self.ledger.sums(LedgerFilter(**wanted)))

    def close(self) -> None:
        fired(self.ledger.close())

    def reopen(self) -> None:
        self.close()
        self.open()


@pytest.fixture(params=["sqlite", "memory"])
def ledger(request, tmp_path):
    if request.param == "memory":
        made = MemoryLedger(now_ns=TickingClock())
    else:
        made = Desk(tmp_path).ledger
    yield made
    fired(made.close())


# ------------------------------------------------------------------------------------- the rows


def test_a_loss_is_a_row_with_everything_that_is_known_of_it(ledger):
    fired(ledger.route("kitchen").record([lost("t", 5, 9, 3, kind=LossKind.AGE, reason="too old")]))
    assert result_of(ledger.read()) == [
        LedgerRow(
            recorded_ns=NOW + 10**9,
            route="kitchen",
            destination="hub",
            kind="age",
            stream="t",
            start_ns=5,
            end_ns=9,
            points=3,
            reason="too old",
        )
    ]


def test_rows_are_given_newest_first_or_in_the_order_in_which_they_came(ledger):
    fired(ledger.route("r").record([lost(f"s{number}") for number in range(5)]))
    assert [row.stream for row in result_of(ledger.read(limit=2))] == ["s4", "s3"]
    oldest = result_of(ledger.read(limit=2, newest_first=False))
    assert [row.stream for row in oldest] == ["s0", "s1"]


@pytest.mark.parametrize(
    ("wanted", "streams"),
    [
        (LedgerFilter(), "abcd"),
        (LedgerFilter(route="kitchen"), "abc"),
        (LedgerFilter(destination="hub"), "acd"),
        (LedgerFilter(destination="cloud"), "bc"),
        (LedgerFilter(kind="age"), "b"),
        (LedgerFilter(stream="[ad]"), "ad"),
        (LedgerFilter(stream="[!ad]"), "bc"),
        (LedgerFilter(since_ns=NOW + 2 * 10**9), "d"),
        (LedgerFilter(route="kitchen", destination="hub", stream="?"), "ac"),
    ],
    ids=repr,
)
def test_a_filter_leaves_what_was_asked_for(ledger, wanted, streams):
    fired(
        ledger.route("kitchen").record(
            [
                lost("a"),
                lost("b", destination="cloud", kind=LossKind.AGE),
                lost("c", destination=""),  # missing at every destination
            ]
        )
    )
    fired(ledger.route("hall").record([lost("d")]))
    assert [row.stream for row in result_of(ledger.read(wanted, newest_first=False))] == list(streams)
    assert sum(one.losses for one in result_of(ledger.sums(wanted))) == len(streams)


def test_sums_count_what_was_counted_and_how_often_nobody_counted(ledger):
    fired(ledger.route("kitchen").record([lost(points=3), lost(points=4), lost(points=None)]))
    fired(ledger.route("kitchen").record([lost(points=5, kind=LossKind.AGE)]))
    assert result_of(ledger.sums()) == [
        LedgerSum(
            route="kitchen",
            destination="hub",
            kind=kind,
            losses=losses,
            points=points,
            uncounted=uncounted,
            first_ns=at,
            last_ns=at,
        )
        for kind, losses, points, uncounted, at in (
            ("age", 1, 5, 0, NOW + 2 * 10**9),
            ("overflow", 3, 7, 1, NOW + 10**9),
        )
    ]


def test_no_loss_is_too_odd_to_be_written(ledger):
    odd = Gap("\ud800\x00'", -(10**30), 10**30, "\udfff" * 10_000, 10**30)
    fired(ledger.route("r").record([Loss("hub", LossKind.SOURCE, odd)]))
    (row,) = result_of(ledger.read())
    assert (row.stream, row.start_ns, row.end_ns) == ("\\ud800\x00'", -(2**63), 2**63 - 1)
    assert row.points == 1 << 50
    assert len(row.reason) == 500


def test_recording_nothing_is_done_at_once(ledger):
    fired(ledger.route("r").record([]))
    assert result_of(ledger.read()) == []


# -------------------------------------------------------------------------------------- joined


def spans(ledger) -> list[tuple[int, int, int | None, int]]:
    rows = result_of(ledger.read(newest_first=False))
    return [(row.start_ns, row.end_ns, row.points, row.losses) for row in rows]


def test_a_loss_that_goes_on_is_one_row_for_a_minute(ledger):
    for number in range(70):
        fired(ledger.route("r").record([lost("t", number, number, 1)]))
    assert spans(ledger) == [(0, 59, 60, 60), (60, 69, 10, 10)]
    (oldest,) = result_of(ledger.read(limit=1, newest_first=False))
    assert oldest.recorded_ns == NOW + 60 * 10**9


@pytest.mark.parametrize(
    "other",
    [
        lost(start=3, destination="cloud", end=4),
        lost(start=3, kind=LossKind.AGE, end=4),
        lost("u", 3, 4),
        lost(start=3, reason="late", end=4),
        lost(start=3, points=None, end=4),
        lost(start=1, end=4),  # not after the first: what lies between is not said to be lost
    ],
    ids=repr,
)
def test_another_loss_is_a_row_of_its_own(ledger, other):
    fired(ledger.route("r").record([lost(), other]))
    assert len(spans(ledger)) == 2


def test_each_refusal_is_a_row_of_its_own(ledger):
    fired(ledger.route("r").record([lost("t", n, n, 1, kind=LossKind.REFUSED) for n in range(3)]))
    assert len(spans(ledger)) == 3


@pytest.mark.parametrize("kind", [LossKind.CONVERTED, LossKind.CLOCK])
def test_what_changes_all_the_time_is_one_row_a_minute_in_whatever_order(ledger, kind):
    fired(ledger.route("r").record([lost("t", n, n, 1, kind=kind) for n in (5, 1, 9)]))
    assert spans(ledger) == [(1, 9, 3, 3)]


# ------------------------------------------------------------------------------- bounded, exact


def count(rows: Iterable[tuple[str, str, int | None, int]]) -> Counter[tuple[str, ...]]:
    """The points per kind of loss, and how many losses were counted and were not."""
    total: Counter[tuple[str, ...]] = Counter()
    for destination, kind, points, losses in rows:
        total[destination, kind, "points"] += points or 0
        total[destination, kind, "uncounted" if points is None else "counted"] += losses
    return total


LOSSES = st.builds(
    lambda stream, start, length, points, destination, kind: lost(
        stream, start, start + length, points, destination=destination, kind=kind
    ),
    st.sampled_from("abc"),
    st.integers(0, 100),
    st.integers(0, 10),
    st.none() | st.integers(0, 9),
    st.sampled_from(["hub", "cloud", ""]),
    st.sampled_from([LossKind.OVERFLOW, LossKind.REFUSED]),
)


@given(st.lists(st.lists(LOSSES, min_size=1, max_size=12), max_size=15))
def test_old_rows_are_put_together_and_nothing_is_forgotten(groups):
    ledger = MemoryLedger(max_rows=60)
    everything = [loss for group in groups for loss in group]
    try:
        for group in groups:
            fired(ledger.route("r").record(group))
            rows = result_of(ledger.read(limit=10**6, newest_first=False))
            assert len(rows) <= 60
        rows = result_of(ledger.read(limit=10**6, newest_first=False))
        assert count((row.destination, row.kind, row.points, row.losses) for row in rows) == count(
            (loss.destination, loss.kind.value, loss.gap.points, 1) for loss in everything
        )
        for loss in everything:
            assert any(
                row.stream in (loss.gap.stream, "*")
                and row.destination == loss.destination
                and row.kind == loss.kind.value
                and row.start_ns <= loss.gap.start_ns
                and loss.gap.end_ns <= row.end_ns
                for row in rows
            )
    finally:
        fired(ledger.close())


def test_the_newest_rows_stay_as_fine_as_they_were_written():
    ledger = MemoryLedger(now_ns=TickingClock(60), max_rows=100)
    for number in range(1000):
        fired(ledger.route("r").record([lost("t", number, number, 1)]))
    rows = result_of(ledger.read(limit=40))
    assert [(row.start_ns, row.end_ns, row.losses) for row in rows] == [
        (number, number, 1) for number in range(999, 959, -1)
    ]
    oldest = result_of(ledger.read(limit=1, newest_first=False))[0]
    assert oldest.start_ns == 0
    assert oldest.losses > 1
    fired(ledger.close())


def test_reasons_that_differ_are_put_together_and_equal_ones_are_not_repeated():
    ledger = MemoryLedger(max_rows=100)
    for number in range(400):
        fired(ledger.route("r").record([lost(reason="full" if number % 2 else "late")]))
    oldest = result_of(ledger.read(limit=1, newest_first=False))[0]
    assert oldest.reason == "full; late"
    fired(ledger.close())


def test_when_there_are_more_streams_than_rows_the_old_names_are_let_go():
    ledger = MemoryLedger(max_rows=100)
    for number in range(1000):
        fired(ledger.route("r").record([lost(f"s{number}", number, number, 1)]))
    rows = result_of(ledger.read(limit=10**6, newest_first=False))
    assert len(rows) <= 100
    assert rows[0].stream == "*"
    (total,) = result_of(ledger.sums())
    assert (total.losses, total.points) == (1000, 1000)
    fired(ledger.close())


# ------------------------------------------------------------------------------------- the file


def test_what_was_recorded_is_there_after_a_restart(tmp_path):
    desk = Desk(tmp_path)
    desk.record(lost("a"))
    desk.reopen()
    desk.record(lost("b"))
    assert [row.stream for row in desk.rows()] == ["a", "b"]
    desk.close()


def test_another_process_reads_while_it_is_open_and_afterwards(tmp_path):
    desk = Desk(tmp_path)
    desk.record(lost("a"), lost("b"))
    for _ in ("open", "closed"):
        assert [row.stream for row in read_ledger(desk.path, LedgerFilter(), limit=1)] == ["b"]
        assert read_ledger_sums(desk.path, LedgerFilter())[0].points == 4
        desk.close()
        desk.close = lambda: None


def test_another_process_can_tell_whether_it_is_sound(tmp_path):
    desk = Desk(tmp_path)
    desk.record(*(lost(f"{number:04000}") for number in range(1000)))
    check_ledger(desk.path)
    desk.close()
    check_ledger(desk.path)
    with desk.path.open("r+b") as file:
        file.seek(PAGE)
        file.write(b"\xff" * 500 * PAGE)
    with pytest.raises(OutboxError, match="cannot read the ledger"):
        check_ledger(desk.path)


def test_a_ledger_that_is_not_there_cannot_be_read(tmp_path):
    with pytest.raises(OutboxError, match="cannot read the ledger"):
        read_ledger(tmp_path / "none.sqlite", LedgerFilter())
    assert list(tmp_path.iterdir()) == []


def test_only_its_owner_may_read_the_file(tmp_path):
    desk = Desk(tmp_path)
    assert desk.path.stat().st_mode & 0o777 == 0o600
    assert desk.ballast.stat().st_mode & 0o777 == 0o600
    desk.close()


def test_what_is_recorded_during_a_commit_shares_the_next_one(tmp_path):
    desk = Desk(tmp_path)
    view = desk.ledger.route("r")
    desk.worker.hold()
    recorded = [view.record([lost(f"s{number}")]) for number in range(5)]
    assert desk.worker.waiting == 1
    desk.worker.step()
    fired(recorded[0])
    assert all(waits(one) for one in recorded[1:])
    assert desk.worker.waiting == 1
    desk.worker.step()
    for one in recorded[1:]:
        fired(one)
    desk.worker.release()
    assert len(desk.rows()) == 5
    desk.close()


def test_closing_writes_what_was_accepted(tmp_path):
    desk = Desk(tmp_path)
    desk.worker.hold()
    recorded = [desk.ledger.route("r").record([lost(stream)]) for stream in "ab"]
    recorded[1].addErrback(lambda failure: failure.trap(CancelledError) and None)
    recorded[1].cancel()
    closing = desk.ledger.close()
    assert waits(closing)
    desk.worker.release()
    fired(closing)
    fired(recorded[0])
    assert [row.stream for row in read_ledger(desk.path, LedgerFilter(), newest_first=False)] == ["a", "b"]
    fired(desk.ledger.close())
    for refused in (desk.ledger.route("r").record([lost()]), desk.ledger.read(), desk.ledger.sums()):
        with pytest.raises(Closed):
            result_of(refused)


# ------------------------------------------------------------------------------------ full disk

BALLAST = 64 * PAGE  # four steps


@pytest.fixture
def full(tmp_path):
    """A ledger on a disk that has just become full."""
    disk = SmallDisk(10_000, tmp_path / "ledger.sqlite.ballast")
    desk = Desk(tmp_path, disk=disk, ballast=BALLAST)
    desk.record(lost("before"))
    disk.pages = disk._used + BALLAST // PAGE
    desk.reopen()
    desk.disk = disk
    yield desk
    desk.close()


def long(number: int) -> Loss:
    """A loss that fills a tenth of a page."""
    return lost(f"{number:0400}", points=1)


def test_losses_are_recorded_on_a_full_disk_with_the_room_of_the_ballast(full):
    for number in range(100):
        full.record(long(number))
    assert full.sums()[0].losses == 101
    assert 0 < full.ballast.stat().st_size < BALLAST


def test_when_the_ballast_is_used_up_recording_fails_and_what_was_recorded_stays(full):
    recorded = 1

    def record_many() -> None:
        nonlocal recorded
        for number in range(5000):
            full.record(long(number))
            recorded += 1

    with pytest.raises(OutboxError, match="full"):
        record_many()
    assert recorded > 300
    assert full.ballast.stat().st_size == 0
    full.disk.pages += 1000
    assert full.sums()[0].losses == recorded
    full.record(long(5000))
    assert full.sums()[0].losses == recorded + 1


def test_the_ballast_is_made_again_when_there_is_room(full):
    for number in range(100):
        full.record(long(number))
    assert full.ballast.stat().st_size < BALLAST
    full.disk.pages += 1000
    full.record(long(100))
    assert full.ballast.stat().st_size == BALLAST


def test_a_full_disk_is_no_reason_not_to_open(full):
    full.close()
    full.path.unlink()  # the table must be made, and there is room for nothing
    full.disk.pages = BALLAST // PAGE
    full.open()
    full.record(lost("a"))
    assert [row.stream for row in full.rows()] == ["a"]


# -------------------------------------------------------------------------------------- damage


def damaged(desk: Desk, at: int = 0, data: bytes = b"\x00nothing of a database" * 400) -> None:
    desk.close()
    with desk.path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def test_a_damaged_file_is_kept_under_another_name_and_the_new_one_says_so(tmp_path, flushed_errors):
    desk = Desk(tmp_path)
    desk.record(lost("a"))
    for number in (1, 2):
        damaged(desk)
        spoilt = desk.path.read_bytes()
        desk.open()
        name = f"ledger.sqlite.damaged-{number}"
        assert (tmp_path / name).read_bytes() == spoilt
        (row,) = desk.rows()
        assert (row.route, row.destination, row.kind, row.stream) == ("", "", "corruption", "*")
        assert row.points is None
        assert name in row.reason
        desk.record(lost("b"))
        assert len(desk.rows()) == 2
    desk.close()


def test_damage_that_shows_itself_later_is_set_aside_too(tmp_path):
    desk = Desk(tmp_path)
    desk.record(*(lost(f"{number:04000}") for number in range(1000)))  # more than SQLite keeps in memory
    desk.reopen()
    with desk.path.open("r+b") as file:  # the header stays whole
        file.seek(PAGE)
        file.write(b"\xff" * 500 * PAGE)
    assert [row.stream for row in desk.rows()] == ["*"]
    desk.record(lost("a"))
    assert [row.stream for row in desk.rows()] == ["*", "a"]
    desk.close()


def test_a_file_that_somebody_removes_is_followed_by_one_that_says_so(tmp_path):
    desk = Desk(tmp_path)
    desk.record(lost("a"))
    desk.path.unlink()
    desk.record(lost("b"))
    assert [row.stream for row in read_ledger(desk.path, LedgerFilter(), newest_first=False)] == ["*", "b"]
    (said,) = desk.rows(kind="corruption")
    assert said.reason == "somebody removed the ledger until now"
    desk.record(lost("c"))
    assert len(desk.rows()) == 3
    desk.close()


def test_a_database_of_somebody_else_is_left_alone(tmp_path):
    connection = sqlite3.connect(tmp_path / "ledger.sqlite")
    connection.execute("CREATE TABLE theirs (n)")
    connection.close()
    with pytest.raises(OutboxError, match="somebody else"):
        Desk(tmp_path)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["ledger.sqlite"]


def test_a_ledger_of_a_newer_program_is_left_alone(tmp_path):
    Desk(tmp_path).close()
    connection = sqlite3.connect(tmp_path / "ledger.sqlite")
    connection.execute("PRAGMA user_version = 7")
    connection.close()
    with pytest.raises(OutboxError, match="version 7"):
        Desk(tmp_path)


def test_a_folder_that_is_not_there_is_told_in_words(tmp_path):
    with pytest.raises(OutboxError, match="No such file"):
        Desk(tmp_path / "nowhere")


@pytest_twisted.ensureDeferred
async def test_a_ledger_works_in_a_thread_of_its_own(tmp_path):
    from twisted.internet import reactor

    ledger = await SqliteLedger.open(tmp_path / "ledger.sqlite", reactor)
    await ledger.route("r").record([lost("a")])
    assert [row.stream for row in await ledger.read()] == ["a"]
    await ledger.close()
    assert (tmp_path / "ledger.sqlite.ballast").stat().st_blocks * 512 >= 1 << 20
