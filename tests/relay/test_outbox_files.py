"""An outbox is looked at from outside, while it is written and afterwards, and nothing is changed."""

from __future__ import annotations

import errno

import pytest

from tests.contract.outbox import ats_of, batch_of
from tests.relay.test_disk_outbox import FOLDER, Bench
from tests.support.deferreds import fired
from txbridge.errors import DecodeError, OutboxError
from txbridge.relay.outbox_files import Waiting, look_at_outbox


def look(bench):
    return look_at_outbox(FOLDER, bench.files)


def ats(bench, destination=None):
    return [at for _, _, batch in look(bench).records(destination) for at in ats_of(batch)]


def filled(**options):
    """An outbox with some segments, of which one destination has settled a part."""
    bench = Bench(("a", "b"), **options)
    for at in range(100):
        bench.append(at, cursor=at)
        bench.clock.advance(1)
    bench.settle("a", max_points=30)
    bench.clock.advance(10)  # the places are written now and then
    return bench


def close(bench):
    fired(bench.outbox.close())


@pytest.mark.parametrize("closed", [False, True])
def test_what_waits_for_whom_is_seen_while_it_is_open_and_afterwards(closed):
    bench = filled()
    if closed:
        close(bench)
    seen = look(bench)
    assert len(seen.segments) > 2
    assert seen.points == sum(segment.points for segment in seen.segments) == 100
    waiting = seen.waiting
    assert (waiting["a"].points, waiting["b"].points) == (70, 100)
    assert 0 < waiting["a"].nbytes < waiting["b"].nbytes <= seen.nbytes
    assert waiting["a"].first_wall_ns == (1_000_000 + 30) * 10**9
    assert waiting["b"].first_wall_ns == 1_000_000 * 10**9
    assert ats(bench) == ats(bench, "b") == list(range(100))
    assert ats(bench, "a") == list(range(30, 100))
    if not closed:
        close(bench)


def test_the_numbers_are_those_that_the_outbox_has_itself():
    bench = filled()
    state = bench.outbox.state()
    seen = look(bench)
    for name in ("a", "b"):
        assert seen.waiting[name].points == state.destinations[name].points
        assert seen.waiting[name].nbytes == state.destinations[name].nbytes
    close(bench)


def test_when_everything_is_settled_nothing_waits():
    bench = Bench()
    bench.append(1)
    bench.settle()
    close(bench)
    assert look(bench).waiting == {"a": Waiting()}


def test_what_is_for_one_destination_waits_for_no_other():
    bench = Bench(("a", "b"))
    bench.append(1)
    fired(bench.outbox.append(batch_of(2), ["b"]))
    close(bench)
    assert (look(bench).waiting["a"].points, look(bench).waiting["b"].points) == (1, 2)
    assert (ats(bench, "a"), ats(bench, "b")) == ([1], [1, 2])


def test_a_record_that_is_being_written_is_not_damaged():
    bench = Bench()
    for at in range(5):
        bench.append(at)
    path = bench.file("*.seg")
    used = len(bench.files.content(path).rstrip(b"\0"))
    bench.files.cut(path, used - 40)
    assert ats(bench) == [0, 1, 2, 3]
    bench.files.put(path, bench.files.content(path) + b"TXR1 and no more")
    assert ats(bench) == [0, 1, 2, 3]
    close(bench)


def damage(bench):
    return [str(batch) for _, _, batch in look(bench).records() if isinstance(batch, DecodeError)]


def test_a_damaged_body_is_told_with_what_it_had_and_the_rest_is_read():
    bench = filled()
    close(bench)
    path = bench.file("*.seg")
    data = bench.files.content(path)
    bench.files.flip(path, 8 * (data.index(b"TXB\x01") + 10))
    (problem,) = damage(bench)
    assert "it had 1 points" in problem
    assert sum(not isinstance(batch, DecodeError) for _, _, batch in look(bench).records()) == 99


def test_a_damaged_head_is_told_and_the_rest_is_read():
    bench = filled()
    close(bench)
    bench.files.flip(bench.file("*.seg"), 8 * 20)
    (problem,) = damage(bench)
    assert "cannot be read" in problem
    assert sum(not isinstance(batch, DecodeError) for _, _, batch in look(bench).records()) == 99


def test_a_segment_that_was_deleted_is_told_by_its_summary():
    bench = filled()
    close(bench)
    bench.files.delete(bench.file("*.seg"))
    assert len(damage(bench)) == 1
    assert look(bench).points == 100


def test_a_summary_that_is_gone_or_damaged_is_done_without():
    bench = filled()
    close(bench)
    bench.files.delete(bench.file("*.sum"))
    bench.files.flip(bench.file("*.sum"), 100)
    seen = look(bench)
    assert (seen.points, seen.waiting["a"].points) == (100, 70)
    assert ats(bench) == list(range(100))


def test_what_goes_while_one_looks_is_left_out():
    bench = filled()
    seen = look(bench)
    for name in ("a", "b"):
        bench.rest(name)
    close(bench)
    assert len(list(seen.records())) < 100
    assert not damage(bench)


def test_places_that_cannot_be_read_are_those_of_nobody():
    bench = filled()
    close(bench)
    for path in bench.files.paths("places-*"):
        bench.files.flip(path, 100)
    assert look(bench).waiting == {}
    assert ats(bench, "a") == list(range(100))


def test_a_folder_that_cannot_be_read_is_told():
    bench = filled()
    close(bench)
    bench.files.fail("names", errno.EIO)
    with pytest.raises(OutboxError, match="cannot be read"):
        look(bench)


def test_a_segment_that_the_disk_does_not_give_is_told():
    bench = filled()
    close(bench)
    seen = look(bench)
    bench.files.fail("read", errno.EIO)
    with pytest.raises(OutboxError, match="cannot be read"):
        list(seen.records())


def test_looking_changes_nothing():
    bench = filled()
    before = {path: bench.files.content(path) for path in bench.files.paths()}
    look(bench).waiting  # noqa: B018  # it reads
    list(look(bench).records("a"))
    assert {path: bench.files.content(path) for path in bench.files.paths()} == before
    close(bench)
