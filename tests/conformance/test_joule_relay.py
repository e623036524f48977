"""A relay from a real node that is killed and started again: every row arrives, and each once.

It goes into a real hub, and into another folder of the node, so that a destination is killed too.

Of the rows that a node had given and not stored when it was killed, the destination has all or none, as the
source was told.
"""

from __future__ import annotations

from pathlib import Path
from random import random
from typing import Any

import numpy as np
import pytest
import pytest_twisted
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from tests.conformance.conftest import JoulePeer
from tests.support.program import started_hub
from txbridge.client import Client
from txbridge.cosm.adapter import CosmSink
from txbridge.errors import ConfigError
from txbridge.joule import DataStream, Element, Node
from txbridge.joule.adapter import JouleSink, JouleSource, Rows
from txbridge.model.instants import from_microseconds, to_microseconds
from txbridge.net.backoff import Backoff
from txbridge.net.reactor import resolve_reactor
from txbridge.relay.outbox import MemoryOutbox
from txbridge.relay.plan import RoutePolicy
from txbridge.relay.roles import Selection
from txbridge.relay.route import Destination, RelayService

STREAM = "/live/pulse"
COPIES = "/copies"
KILLS = 10
T0 = 1_700_000_000_000_000
PATIENCE = 60  # seconds
ROWS_PER_SECOND = 50
STORED_WITHIN = 2.5  # seconds: the insert period of the node, half of it more, and a subscription's own
LOSSES = frozenset(
    {"not-a-number dropped", "gaps dropped", "breaks dropped", "annotations and events dropped"}
)


async def rows_on(client: Client, feed_id: str, newest: int) -> list[tuple[int, int]]:
    """What the feed has of the stream, up to a timestamp."""
    window = ("2020-01-01T00:00:00Z", from_microseconds(newest))
    walk = client.walk_history("live.pulse.n", *window, feed_id=feed_id)
    found: list[tuple[int, int]] = []
    while points := await walk.next_datapoints():
        found += [(to_microseconds(point.at), int(point.value or "")) for point in points if point.at]
    return found


async def until_rows_are_stored(node: Node, reactor: Any) -> None:
    """Wait until the node has stored more than it has now: its module has to start first."""
    before = (await node.data_stream_info(STREAM)).end
    for _ in range(PATIENCE):
        await deferLater(reactor, 1)
        if (await node.data_stream_info(STREAM)).end != before:
            return
    raise AssertionError("the module makes nothing")


@pytest.mark.parametrize("rows", Rows)
@pytest_twisted.ensureDeferred
async def test_a_node_that_is_killed_ten_times_loses_no_row_and_doubles_none(
    joule_peer: JoulePeer, tmp_path: Path, rows: Rows
) -> None:
    reactor: Any = resolve_reactor(None)
    with started_hub(tmp_path / "hub") as hub:
        client = Client(hub.key, url=f"{hub.url}/v2", reactor=reactor)
        node = joule_peer.node()
        sink = CosmSink(client, title="From Joule")
        relay = RelayService(
            "joule",
            JouleSource(node, [STREAM], since=0, rows=rows, reactor=reactor),
            [
                Destination(name="hub", sink=sink, policy=RoutePolicy(LOSSES)),
                Destination(name="node", sink=JouleSink(node, COPIES), policy=RoutePolicy(LOSSES)),
            ],
            MemoryOutbox(["hub", "node"], reactor),
            clock=reactor,
            random=random,
            backoff=lambda: Backoff(initial=0.1, maximum=1.0),
        )
        relay.startService()
        for _ in range(KILLS):
            await until_rows_are_stored(node, reactor)
            await deferLater(reactor, 3 * random())
            joule_peer.kill()
            await deferToThread(joule_peer.start_again)
        await until_rows_are_stored(node, reactor)
        stored = await node.data_read_array(STREAM, max_rows=None)
        newest = int(stored["timestamp"][-1])
        wanted = list(zip(stored["timestamp"].tolist(), stored["data"][:, 0].tolist(), strict=True))
        for _ in range(PATIENCE):
            arrived = await rows_on(client, str(sink.feed_id), newest)
            copied = await node.data_read_array(f"{COPIES}/live.pulse", end=newest + 1, max_rows=None)
            if set(wanted) <= set(arrived) and len(copied) >= len(stored):
                break
            await deferLater(reactor, 1)
        runs, copied_runs = [
            await node.data_intervals(path, end=newest + 1) for path in (STREAM, f"{COPIES}/live.pulse")
        ]
        await relay.stopService()
        await node.folder_delete(COPIES, True)
        await node.close()
        await client.close()
    assert len(wanted) > KILLS * ROWS_PER_SECOND / 5
    if rows is Rows.STORED:
        assert arrived == wanted
        assert copied.tobytes() == stored.tobytes()
        assert copied_runs == runs
        return
    assert set(wanted) <= set(arrived)
    assert [at for at, _ in arrived] == sorted({at for at, _ in arrived})
    assert set(stored["timestamp"].tolist()) <= set(copied["timestamp"].tolist())
    # Only what the node gave and had not stored when it was killed is at the destination alone.
    assert len(arrived) - len(wanted) < KILLS * ROWS_PER_SECOND * STORED_WITHIN


@pytest_twisted.ensureDeferred
async def test_a_stream_that_is_deleted_while_it_is_read_is_not_taken_for_read(node: Node) -> None:
    """The node ends its answer between two blocks of 50,000 rows, as if they were all."""
    count = 600_000  # more than the sockets between hold
    made = await node.data_stream_create(
        DataStream("deleted", datatype="float64", elements=[Element("x")], decimate=False), "/relay"
    )
    pipe = await node.data_write(made)
    await pipe.write(np.column_stack((T0 + np.arange(count), np.arange(count))))
    await pipe.close()
    flow = await JouleSource(node, ["/relay/deleted"], since=0, until=T0 + count).open(Selection(), None)

    async def read_on() -> None:
        while True:
            await flow.next_batch()

    try:
        await flow.next_batch()
        await node.folder_delete("/relay", True)
        with pytest.raises(ConfigError, match="the node has no stream /relay/deleted"):
            await read_on()
    finally:
        await flow.close()
