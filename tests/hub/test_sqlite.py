"""The SQLite store keeps the contract, and what it promises about its file."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import defer

from tests.contract.store import MORNING, StoreContract, allow, key_of
from tests.support import killed_writer
from txbridge.errors import StoreError
from txbridge.hub.sqlite import SqliteStore
from txbridge.hub.store import Store
from txbridge.model.structures import Datapoint, Datastream, Environment

ROUNDS = 20


async def open_store(folder: Path) -> SqliteStore:
    """The store of a folder."""
    from twisted.internet import reactor

    return await SqliteStore.open(folder / "hub.sqlite", reactor)


def program_running(*arguments: str) -> subprocess.Popen[str]:
    """Another process, which ends when the block does."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


class TestSqliteStore(StoreContract):
    """The contract, for one SQLite file."""

    async def open(self, folder: Path) -> Store:
        return await open_store(folder)


async def test_a_store_that_is_in_use_is_refused_by_name(tmp_path):
    store = await open_store(tmp_path)
    with pytest.raises(StoreError, match=r"hub\.sqlite is in use"):
        await open_store(tmp_path)
    await store.close()
    await (await open_store(tmp_path)).close()


async def test_a_store_whose_opening_was_given_up_is_let_go(tmp_path):
    from twisted.internet import reactor

    opening = SqliteStore.open(tmp_path / "hub.sqlite", reactor)
    opening.cancel()
    with pytest.raises(defer.CancelledError):
        await opening
    await (await open_store(tmp_path)).close()


async def test_a_store_that_another_process_has_is_refused(tmp_path):
    program = (
        "import fcntl, sys; lock = open(sys.argv[1], 'w'); fcntl.flock(lock, fcntl.LOCK_EX);"
        " print('locked', flush=True); sys.stdin.read()"
    )
    with program_running("-c", program, str(tmp_path / "hub.sqlite.lock")) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(StoreError, match="another process"):
            await open_store(tmp_path)


async def test_a_store_that_cannot_be_opened_leaves_nothing_locked(tmp_path):
    path = tmp_path / "hub.sqlite"
    path.write_bytes(b"this is not a database, and it is longer than a header of one" * 20)
    for _ in range(2):
        with pytest.raises(StoreError, match=r"hub\.sqlite: file is not a database"):
            await open_store(tmp_path)
    path.unlink()
    await (await open_store(tmp_path)).close()


async def test_a_folder_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(StoreError, match=r"nowhere/hub\.sqlite"):
        await open_store(tmp_path / "nowhere")


async def test_what_is_stored_is_readable_by_its_user_only(tmp_path):
    store = await open_store(tmp_path)
    await store.create_account("ann", key_of("ann"))
    await store.read_feed(1).addErrback(lambda failure: None)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    await store.close()
    names = ("hub.sqlite", "hub.sqlite-shm", "hub.sqlite-wal", "hub.sqlite.lock")
    assert modes == dict.fromkeys(names, 0o600)


async def test_a_closed_store_is_one_file_and_its_lock(tmp_path):
    store = await open_store(tmp_path)
    await store.create_account("ann", key_of("ann"))
    assert await store.has_accounts() is True
    await store.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hub.sqlite", "hub.sqlite.lock"]


async def test_a_full_disk_fails_its_writes_and_no_later_ones(tmp_path):
    store = await open_store(tmp_path)
    await store.create_account("ann", key_of("ann"))
    feed_id = (await store.create_feed("ann", Environment(title="x"), MORNING)).feed_id

    def limit(pages: int) -> Any:
        """Let the file grow to so many pages, as a disk would."""
        return store.write(
            lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}").fetchone()
        )

    (pages,) = await store.write(lambda connection: connection.execute("PRAGMA page_count").fetchone())
    await limit(pages + 2)
    big = Datastream(id="big", tags=["y" * 50_000])
    small = [Datastream(id="small", current_value="1")]
    failing = store.create_datastreams(feed_id, [big], MORNING, allow)
    # Whether it shares the commit or not: it succeeds whole or fails whole.
    beside = store.create_datastreams(feed_id, small, MORNING, allow)
    with pytest.raises(StoreError, match="full"):
        await failing
    written = await beside.addErrback(lambda failure: failure.trap(StoreError))
    streams = (await store.read_feed(feed_id)).environment.datastreams
    assert list(streams) == ([] if written is StoreError else ["small"])
    await limit(1_000_000)
    await store.create_datastreams(feed_id, [big], MORNING, allow)
    assert "big" in (await store.read_feed(feed_id)).environment.datastreams
    await store.close()


async def test_a_damaged_file_is_a_store_error_and_not_a_hang(tmp_path):
    store = await open_store(tmp_path)
    await store.create_account("ann", key_of("ann"))
    await store.close()
    connection = sqlite3.connect(tmp_path / "hub.sqlite")
    connection.execute("DROP TABLE keys")
    connection.close()
    store = await open_store(tmp_path)
    for ask in (store.find_key(b"k"), store.replace_keys("ann", key_of("ann"))):
        with pytest.raises(StoreError, match="no such table"):
            await ask
    assert await store.has_accounts() is True
    await store.close()


async def points_left(store: SqliteStore, number: int) -> bool:
    """Whether the table of points comes to hold so many, of whatever stream."""
    for _ in range(5000):  # each read lets a fraction of a millisecond pass
        rows = await store.read(
            lambda connection: connection.execute("SELECT count(*) FROM points").fetchall()
        )
        if rows == [(number,)]:
            return True
    return False


async def test_the_points_of_what_was_deleted_go_when_nobody_waits(tmp_path):
    store = await open_store(tmp_path)
    await store.create_account("ann", key_of("ann"))
    points = [Datapoint(at=f"2013-06-03T08:00:00.{n:06}Z", value=n) for n in range(5000)]
    streams = [Datastream(id=name, datapoints=points) for name in ("t", "u", "kept")]
    feed_id = (await store.create_feed("ann", Environment(title="x", datastreams=streams), MORNING)).feed_id
    other = await store.create_feed("ann", Environment(title="y", datastreams=streams[:1]), MORNING)
    await store.delete_datastream(feed_id, "t", allow)
    await store.delete_feed(other.feed_id, allow)
    assert await points_left(store, 10_000)
    assert len(await store.read_points(feed_id, "kept", None, 10_000)) == 5000
    await store.close()


async def test_a_sweep_that_was_interrupted_goes_on_at_the_next_start(tmp_path):
    store = await open_store(tmp_path)
    await store.create_account("ann", key_of("ann"))
    streams = [Datastream(id="t", current_value="1")]
    feed_id = (await store.create_feed("ann", Environment(title="x", datastreams=streams), MORNING)).feed_id
    deleting = store.delete_datastream(feed_id, "t", allow)
    closing = store.close()
    await deleting
    await closing
    store = await open_store(tmp_path)
    assert await points_left(store, 0)
    await store.close()


async def test_no_acknowledged_write_is_lost_when_the_process_is_killed(tmp_path):
    """Killed at twenty different moments; the next one takes over the lock and the journal at once."""

    async def prepare() -> None:
        store = await open_store(tmp_path)
        await store.create_account("ann", key_of("ann"))
        streams = [Datastream(id=f"w{writer}") for writer in range(killed_writer.WRITERS)]
        created = await store.create_feed("ann", Environment(title="x", datastreams=streams), MORNING)
        assert created.feed_id == killed_writer.FEED
        await store.close()

    async def recorded() -> set[tuple[int, str]]:
        store = await open_store(tmp_path)
        names = [f"w{writer}" for writer in range(killed_writer.WRITERS)]
        histories = await defer.gatherResults(
            [store.read_points(killed_writer.FEED, name, None, 1_000_000) for name in names]
        )
        feed = (await store.read_feed(killed_writer.FEED)).environment
        for name, points in zip(names, histories, strict=True):
            newest = points[-1] if points else Datapoint()
            assert (feed.datastreams[name].at, feed.datastreams[name].current_value) == (
                newest.at,
                newest.value,
            )
        await store.close()
        return {(writer, str(one.value)) for writer, points in enumerate(histories) for one in points}

    await prepare()
    chance = random.Random(20)
    acknowledged: set[tuple[int, str]] = set()
    with program_running("-m", killed_writer.__name__, str(tmp_path / "hub.sqlite")) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        for number in range(ROUNDS):
            parent.stdin.write(f"{number * 1_000_000}\n")
            parent.stdin.flush()
            child = int(parent.stdout.readline().removeprefix("pid "))
            wanted, seen, killed = chance.randint(1, 200), 0, False
            while (line := parent.stdout.readline().strip()) != "gone":
                _, writer, value = line.split()
                acknowledged.add((int(writer), value))
                seen += 1
                if seen >= wanted and not killed:
                    os.kill(child, signal.SIGKILL)
                    killed = True
            assert killed, "the writer ended by itself"
            lost = acknowledged - await recorded()
            assert not lost
        parent.stdin.close()
    assert len(acknowledged) >= ROUNDS
