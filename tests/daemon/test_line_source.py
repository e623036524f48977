"""Lines over a socket: answered when they are in the outbox, and not before."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString
from twisted.internet.protocol import Factory, Protocol

from tests.support.program import turn
from txbridge.daemon.line_source import LineSource
from txbridge.errors import Closed, ConfigError, ConnectError
from txbridge.model.samples import Cursor
from txbridge.net.reactor import resolve_reactor
from txbridge.relay.roles import Selection

NOW = 1_790_000_000_000_000_999


class Client(Protocol):
    """Somebody who sends lines."""

    def __init__(self):
        self.text = ""
        self.closed = Deferred()

    def dataReceived(self, data):
        self.text += data.decode()

    def connectionLost(self, reason):
        self.closed.callback(None)


class Lines:
    """A source that is open, and a client of it."""

    async def start(self, tmp_path, streams=("*",), **settings):
        self.reactor = resolve_reactor()
        self.path = tmp_path / "lines"
        source = LineSource(self.reactor, f"unix:{self.path}", now=lambda: NOW, **settings)
        self.subscription = await source.open(Selection(streams), None)
        self.client = await self.connect()
        return self

    async def connect(self):
        factory = Factory.forProtocol(Client)
        factory.noisy = False
        return await clientFromString(self.reactor, f"unix:{self.path}").connect(factory)

    async def take(self, points):
        """Take batches until there are so many points; gives them and the last cursor."""
        taken, cursor = {}, None
        while sum(map(len, taken.values())) < points:
            batch = await self.subscription.next_batch()
            cursor = batch.cursor
            for block in batch.blocks:
                rows = zip(block.at.tolist(), block.columns["value"].tolist(), strict=True)
                taken.setdefault(block.stream, []).extend(rows)
        return taken, cursor

    async def answered(self, text, client=None):
        while text not in (client or self.client).text:
            await turn(self.reactor)

    async def stop(self):
        await self.subscription.close()
        await self.client.closed


@asynccontextmanager
async def started(tmp_path, **settings):
    lines = await Lines().start(tmp_path, **settings)
    try:
        yield lines
    finally:
        await lines.stop()


async def test_a_line_is_answered_when_it_is_settled_and_not_before(tmp_path):
    async with started(tmp_path) as lines:
        lines.client.transport.write(b"temp,2026-11-21T00:00:00Z,21.50\npump,,on\n")
        taken, cursor = await lines.take(2)
        assert taken == {
            "temp": [(1_795_219_200 * 10**9, "21.50")],
            "pump": [(NOW // 1000 * 1000, "on")],
        }
        await turn(lines.reactor)
        assert lines.client.text == ""
        lines.subscription.settled(cursor)
        await lines.answered("ok 2\n")


async def test_a_line_that_is_none_is_told_and_the_others_count(tmp_path):
    async with started(tmp_path, numbers=True) as lines:
        lines.client.transport.write(
            b"a,,1\nb 2\nc,,x\nd,yesterday,1\n\xff,,1\n\ne,1600-01-01T00:00:00Z,1\nf,,2\n"
        )
        taken, cursor = await lines.take(2)
        assert {name: [value for _, value in rows] for name, rows in taken.items()} == {
            "a": [1.0],
            "f": [2.0],
        }
        lines.subscription.settled(cursor)
        await lines.answered("ok 8\n")
        told = lines.client.text.splitlines()
        assert [line.partition(":")[0] for line in told] == [*(f"error {n}" for n in (2, 3, 4, 5, 7)), "ok 8"]
        assert "'b 2' is not DATASTREAM,TIMESTAMP,VALUE" in told[0]


async def test_a_number_that_would_be_infinite_is_refused(tmp_path):
    async with started(tmp_path, numbers=True) as lines:
        lines.client.transport.write(b"a,,1e309\na,,-1e400\na,,1e308\n")
        taken, cursor = await lines.take(1)
        assert [value for _, value in taken["a"]] == [1e308]
        lines.subscription.settled(cursor)
        await lines.answered("ok 3\n")
        assert lines.client.text.count("its value is too large for a number") == 2


async def test_a_line_may_come_in_pieces(tmp_path):
    async with started(tmp_path) as lines:
        for piece in (b"te", b"mp,,", b"1\r\ntemp"):
            lines.client.transport.write(piece)
            await turn(lines.reactor)
        taken, _ = await lines.take(1)
        assert [value for _, value in taken["temp"]] == ["1"]


async def test_rows_of_one_stream_are_put_in_order(tmp_path):
    async with started(tmp_path) as lines:
        lines.client.transport.write(
            b"t,2026-01-02T00:00:00Z,b\nt,2026-01-01T00:00:00Z,a\nt,2026-01-02T00:00:00Z,c\n"
        )
        taken, _ = await lines.take(3)
        assert [value for _, value in taken["t"]] == ["a", "b", "c"]


async def test_a_client_that_has_said_everything_still_gets_its_answer(tmp_path):
    async with started(tmp_path) as lines:
        lines.client.transport.write(b"a,,1\na,,2")
        lines.client.transport.loseWriteConnection()
        _, cursor = await lines.take(2)
        lines.subscription.settled(cursor)
        await lines.client.closed
        assert lines.client.text.splitlines()[-1] == "ok 2"


async def test_no_line_without_a_time_takes_the_place_of_another(tmp_path):
    instants = []
    async with started(tmp_path) as lines:
        for _ in range(2):
            lines.client.transport.write(b"t,,1\nu,,2\nt,,3\n")
            taken, _ = await lines.take(3)
            instants += [at for rows in taken.values() for at, _ in rows]
        assert sorted(instants) == [NOW // 1000 * 1000 + step * 1000 for step in range(6)]


async def test_streams_that_are_not_wanted_are_taken_and_dropped(tmp_path):
    async with started(tmp_path, streams=("a*",)) as lines:
        lines.client.transport.write(b"b,,1\nab,,2\n")
        taken, cursor = await lines.take(1)
        assert list(taken) == ["ab"]
        lines.subscription.settled(cursor)
        await lines.answered("ok 2\n")


async def test_each_client_is_answered_for_its_own_lines(tmp_path):
    async with started(tmp_path) as lines:
        other = await lines.connect()
        lines.client.transport.write(b"a,,1\n")
        other.transport.write(b"b,,1\nb,,2\n")
        _, cursor = await lines.take(3)
        lines.subscription.settled(cursor)
        await lines.answered("ok 1\n")
        await lines.answered("ok 2\n", other)
        other.transport.loseConnection()
        await other.closed


async def test_a_line_without_an_end_is_refused(tmp_path):
    async with started(tmp_path) as lines:
        lines.client.transport.write(b"x" * 70_000)
        await lines.client.closed
        assert lines.client.text == "error 1: it is longer than 65536 characters\n"


async def test_nobody_is_read_while_the_reader_is_behind(tmp_path):
    async with started(tmp_path) as lines:
        many = b"".join(b"s,,%d\n" % number for number in range(200_000))
        lines.client.transport.write(many)
        while not lines.subscription.paused:
            await turn(lines.reactor)
        late = await lines.connect()
        late.transport.write(b"late,,1\n")
        taken, cursor = await lines.take(200_001)
        assert len(taken["late"]) == 1
        lines.subscription.settled(cursor)
        await lines.answered("ok 200000\n")
        late.transport.loseConnection()
        await late.closed


async def test_closing_ends_the_connections_and_the_reading(tmp_path):
    async with started(tmp_path) as lines:
        await lines.subscription.close()
        await lines.client.closed
        with pytest.raises(Closed):
            await lines.subscription.next_batch()
        assert not lines.path.exists()


async def test_a_place_that_is_taken_is_told_and_may_be_free_later(tmp_path):
    async with started(tmp_path) as lines:
        with pytest.raises(ConnectError, match="lines"):
            await LineSource(lines.reactor, f"unix:{lines.path}").open(Selection(), None)
    with pytest.raises(ConfigError, match="is no endpoint"):
        await LineSource(resolve_reactor(), "carrier:pigeon").open(Selection(), None)


async def test_a_cursor_of_an_earlier_run_changes_nothing(tmp_path):
    source = LineSource(resolve_reactor(), f"unix:{tmp_path}/lines")
    subscription = await source.open(Selection(), Cursor(17))
    await subscription.close()
    assert not source.capabilities.history
