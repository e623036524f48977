"""The real file system and the one in memory do the same, as far as a program can see."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.files import FaultyFiles
from txbridge.relay.files import RealFiles


@pytest.fixture(params=["real", "in memory"])
def disk(request, tmp_path):
    return (RealFiles(), tmp_path / "a" / "b") if request.param == "real" else (FaultyFiles(), Path("/a/b"))


def test_a_file_is_written_and_read_at_any_place(disk):
    files, folder = disk
    files.make_folder(folder)
    files.make_folder(folder)
    file = files.create(folder / "one", 16)
    assert (file.size(), file.read(0, 99)) == (16, bytes(16))
    file.write(2, [b"ab", b"", b"cd"])
    file.sync()
    assert file.read(1, 6) == b"\0abcd\0"
    file.write(15, [b"long"])
    assert file.size() == 19
    file.truncate(3)
    file.close()
    files.sync_folder(folder)
    again = files.open(folder / "one", writing=True)
    assert again.read(0, 99) == b"\0\0a"
    assert again.read(50, 1) == b""
    again.close()


def test_many_pieces_are_written_in_one_go(disk):
    files, folder = disk
    files.make_folder(folder)
    file = files.create(folder / "one", 0)
    pieces = [bytes([number % 251]) * (number % 7) for number in range(5000)]
    file.write(3, pieces)
    assert file.read(3, 1 << 20) == b"".join(pieces)
    file.close()


def test_files_are_renamed_and_removed(disk):
    files, folder = disk
    files.make_folder(folder)
    for name in ("one", "two"):
        files.create(folder / name, 1 if name == "two" else 0).close()
    files.rename(folder / "two", folder / "one")
    assert files.names(folder) == ["one"]
    file = files.open(folder / "one")
    assert file.size() == 1
    file.close()
    files.remove(folder / "one")
    files.remove(folder / "one")
    assert files.names(folder) == []
    with pytest.raises(FileNotFoundError):
        files.open(folder / "one")


def test_making_a_file_again_empties_it(disk):
    files, folder = disk
    files.make_folder(folder)
    file = files.create(folder / "one", 0)
    file.write(0, [b"old"])
    file.close()
    file = files.create(folder / "one", 2)
    assert file.read(0, 9) == b"\0\0"
    file.close()


def test_the_disk_says_what_is_left(disk):
    files, folder = disk
    files.make_folder(folder)
    assert files.free(folder) > 0


def test_one_at_a_time_has_the_lock(disk):
    files, folder = disk
    files.make_folder(folder)
    lock = files.lock(folder / "lock")
    with pytest.raises(BlockingIOError, match=r"process \d+ uses it"):
        files.lock(folder / "lock")
    lock.release()
    files.lock(folder / "lock").release()


def test_a_full_disk_keeps_nobody_from_the_lock(tmp_path):
    path = tmp_path / "lock"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        lock = RealFiles().lock(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    with pytest.raises(BlockingIOError, match=r"process \? uses it"):
        RealFiles().lock(path)
    lock.release()
    RealFiles().lock(path).release()


def test_a_process_that_was_killed_holds_no_lock(tmp_path):
    program = (
        "import sys; from pathlib import Path; from txbridge.relay.files import RealFiles\n"
        "lock = RealFiles().lock(Path(sys.argv[1])); print('locked', flush=True); sys.stdin.read()"
    )
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        with pytest.raises(BlockingIOError, match=f"process {process.pid} uses it"):
            RealFiles().lock(path)
        process.kill()
        process.wait()
    RealFiles().lock(path).release()


def test_what_is_made_is_its_owners_alone(tmp_path):
    files = RealFiles()
    files.make_folder(tmp_path / "new")
    files.create(tmp_path / "new" / "one", 0).close()
    assert [os.stat(tmp_path / name).st_mode & 0o777 for name in ("new", "new/one")] == [0o700, 0o600]


def test_room_that_the_disk_does_not_have_is_given_back(tmp_path, monkeypatch):
    """``posix_fallocate`` takes what there is before it fails: the last free bytes of the disk."""

    def allocate(descriptor, offset, size):
        os.ftruncate(descriptor, size // 2)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", allocate)
    with pytest.raises(OSError, match="space"):
        RealFiles().create(tmp_path / "one", 100)
    assert list(tmp_path.iterdir()) == []
