"""The command that shows updates as they come.

The connection is made again for ever, and what was missed meanwhile comes from the history, in order;
so what is shown is complete, or says that it is not.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from twisted.internet.task import LoopingCall

from txbridge.cosm.client import Client
from txbridge.cosm.paws import PAWSClient
from txbridge.cosm.updates import Missed, Update
from txbridge.daemon.commands import Form
from txbridge.daemon.render import csv_point, json_text, point_json, point_line, symbol_of
from txbridge.daemon.terminal import Terminal
from txbridge.errors import ConfigError
from txbridge.model.instants import format_instant, shorten
from txbridge.net.deferred import deferred

__all__ = ["tail"]

LOOK_EVERY = 0.5  # seconds between looks at whether the hub is there


@deferred
async def tail(
    reactor: Any,
    client: Client,
    socket: PAWSClient,
    terminal: Terminal,
    *,
    feed_id: int,
    datastream_id: str | None,
    since: datetime | None,
    form: Form,
) -> int:
    """Show updates as they come, until it is stopped.

    Args:
        reactor: Looks after the connection.
        client: Asks the hub once at the start, so that a wrong feed, key or address is told at once.
        socket: Brings the updates; it connects again by itself.
        terminal: Where to show them.
        feed_id: The feed.
        datastream_id: One datastream of it; None is all of them.
        since: From when on history comes first; None is from now on.
        form: ``"table"``, ``"csv"`` or ``"json"``.
    """
    feed = await client.read_feed(feed_id=feed_id)
    if datastream_id is not None and datastream_id not in feed.datastreams:
        raise ConfigError([f"feed {feed_id} has no datastream {shorten(datastream_id)!r}"])
    symbols = {name: symbol_of(stream) for name, stream in feed.datastreams.items()}
    width = max(map(len, (datastream_id,) if datastream_id else feed.datastreams), default=0)
    # What is written between this reading and the subscription is not lost either.
    begin = since
    if begin is None and feed.updated is not None:
        begin = feed.updated + timedelta(microseconds=1)
    updates = socket.updates(feed_id, datastream_id, since=begin)
    edges = _Edges(socket, terminal)
    watching = LoopingCall(edges.look)
    watching.clock = reactor
    try:
        edges.was_there = await socket.connect()
        if not edges.was_there:
            terminal.say("no live connection to the hub yet; trying again")
        watching.start(LOOK_EVERY, now=False)
        while True:
            update = await updates.next_update()
            if isinstance(update, Missed):
                terminal.say(_missed(update))
                continue
            terminal.give(_shown(update, feed_id, form, symbols, width))
    finally:
        if watching.running:
            watching.stop()
        updates.close()
        await socket.disconnect()


class _Edges:
    """Says once when the hub goes away and once when it is back."""

    def __init__(self, socket: PAWSClient, terminal: Terminal) -> None:
        self.was_there = False
        self._socket = socket
        self._terminal = terminal

    def look(self) -> None:
        """Called now and then."""
        is_there = self._socket.connected
        if is_there != self.was_there:
            self.was_there = is_there
            self._terminal.say("the hub is back" if is_there else "the hub is away; trying again")


def _missed(gap: Missed) -> str:
    since = f"from {format_instant(gap.start)} " if gap.start is not None else ""
    return f"updates {since}to {format_instant(gap.end)} could not be got: {gap.reason}"


def _shown(update: Update, feed_id: int, form: Form, symbols: dict[str, str | None], width: int) -> str:
    name = update.datastream_id
    points = update.datapoints
    if form == "json":
        return "".join(json_text(point_json(feed_id, name, point)) for point in points)
    if form == "csv":
        return "".join(csv_point(name, point) for point in points)
    return "".join(point_line(name, width, point, symbols.get(name)) for point in points)
