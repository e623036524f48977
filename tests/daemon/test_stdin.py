"""Lines of an input, whatever it is and however it is cut."""

from __future__ import annotations

import os

import pytest

from tests.support.program import turn
from txbridge.daemon.stdin import StdinLines, size_of
from txbridge.errors import ConfigError
from txbridge.net.reactor import resolve_reactor


async def everything(lines):
    found = []
    while more := await lines.next_lines():
        found += more
    return found


@pytest.fixture
def pipe():
    reading, writing = os.pipe()
    ends = {"reading": reading, "writing": writing}
    yield ends
    for descriptor in ends.values():
        os.close(descriptor)


def end_of(pipe):
    os.close(pipe.pop("writing"))


async def test_a_file_is_read_line_by_line_with_the_last_one_unended(tmp_path):
    (tmp_path / "in").write_bytes(b"\xef\xbb\xbfone\r\ntwo\n\nfour")
    with open(tmp_path / "in", "rb") as file:  # noqa: ASYNC230  # the descriptor is what is tested
        lines = StdinLines(resolve_reactor(), file.fileno())
        assert await everything(lines) == ["one", "two", "", "four"]
        assert lines.bytes_read == 17


async def test_a_line_comes_as_soon_as_it_is_complete(pipe):
    lines = StdinLines(resolve_reactor(), pipe["reading"])
    waiting = lines.next_lines()
    os.write(pipe["writing"], b"a=1\nb")
    assert await waiting == ["a=1"]
    assert not lines.is_ready
    waiting = lines.next_lines()
    await turn(resolve_reactor())
    assert not waiting.called
    os.write(pipe["writing"], b"=2\n")
    assert await waiting == ["b=2"]
    end_of(pipe)
    assert await everything(lines) == []
    assert await everything(lines) == []


async def test_what_is_there_is_ready_only_when_a_line_is_complete(pipe):
    reactor = resolve_reactor()
    lines = StdinLines(reactor, pipe["reading"])
    os.write(pipe["writing"], b"a=1\n")
    while not lines.is_ready:
        await turn(reactor)
    os.write(pipe["writing"], b"b")
    while len(lines._chunks) < 2:
        await turn(reactor)
    assert await lines.next_lines() == ["a=1"]
    assert not lines.is_ready
    os.write(pipe["writing"], b"=2\n")
    while not lines.is_ready:
        await turn(reactor)
    assert await lines.next_lines() == ["b=2"]
    end_of(pipe)
    while not lines.is_ready:
        await turn(reactor)
    assert await lines.next_lines() == []


async def test_a_long_input_is_read_whole_and_never_far_ahead(tmp_path):
    expected = [f"line {number}" for number in range(50_000)]
    (tmp_path / "in").write_text("\n".join(expected))
    with open(tmp_path / "in", "rb") as file:  # noqa: ASYNC230
        lines = StdinLines(resolve_reactor(), file.fileno())
        await turn(resolve_reactor(), 0.1)
        assert os.lseek(file.fileno(), 0, os.SEEK_CUR) <= 3 * 65536
        assert await everything(lines) == expected


async def test_bytes_that_are_no_text_are_named_by_their_line(pipe):
    lines = StdinLines(resolve_reactor(), pipe["reading"])
    os.write(pipe["writing"], b"fine\n\xff\n")
    with pytest.raises(ConfigError, match="line 2: it is not UTF-8"):
        await everything(lines)
    assert await everything(lines) == []
    end_of(pipe)


async def test_a_line_without_an_end_is_cut_off():
    with open("/dev/zero", "rb") as file:  # noqa: ASYNC230
        lines = StdinLines(resolve_reactor(), file.fileno())
        with pytest.raises(ConfigError, match="line 1: it is too long"):
            await everything(lines)
        # Its thread may be reading still, and must find the descriptor it was given.
        while not lines._chunks:
            await turn(resolve_reactor())


async def test_what_cannot_be_read_is_told(tmp_path):
    descriptor = os.open(tmp_path, os.O_RDONLY)
    lines = StdinLines(resolve_reactor(), descriptor)
    with pytest.raises(ConfigError, match="standard input: Is a directory"):
        await everything(lines)
    os.close(descriptor)


async def test_cancelling_a_wait_loses_no_line(pipe):
    lines = StdinLines(resolve_reactor(), pipe["reading"])
    waiting = lines.next_lines()
    waiting.addErrback(lambda failure: None)
    waiting.cancel()
    os.write(pipe["writing"], b"kept\n")
    assert await lines.next_lines() == ["kept"]
    end_of(pipe)
    assert await everything(lines) == []


def test_only_of_a_file_it_is_known_how_much_there_is_to_read(pipe, tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    with open(tmp_path / "file") as file:
        assert size_of(file.fileno()) == 5
    assert size_of(pipe["reading"]) is None
