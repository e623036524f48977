"""The demonstration: everything at once, in one process, over real connections.

A hub with its data in a temporary directory; a relay that reads this machine and writes to the hub
over HTTP; and a subscriber that gets every update over the hub's WebSocket and shows it.  Being
stopped is its usual end.  It has failed when no update came through.
"""

from __future__ import annotations

import os
import shlex
import shutil
import socket as sockets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from attrs import evolve, frozen
from rich.console import Console
from rich.live import Live
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import LoopingCall, deferLater
from twisted.python.failure import Failure

from txbridge.cosm.client import Client
from txbridge.cosm.updates import Missed, Updates
from txbridge.daemon import assembly
from txbridge.daemon.board import Board
from txbridge.daemon.config import ClientConfig, DemoConfig, HubConfig, local_url
from txbridge.daemon.render import json_text, symbol_of
from txbridge.daemon.running import DONE, FAILED
from txbridge.daemon.terminal import Terminal
from txbridge.errors import ConfigError
from txbridge.host import HostSource
from txbridge.model.structures import Environment
from txbridge.net.deferred import deferred
from txbridge.relay.route import RelayService
from txbridge.relay.status import DestinationStatus

__all__ = ["demo"]

DRAWN_EVERY = 0.25  # seconds
CATCH_UP = 2.0  # seconds that the last updates may take to come back
SHOWN_FIRST = "cpu.percent"


@deferred
async def demo(reactor: Any, terminal: Terminal, config: DemoConfig, as_json: bool) -> int:
    """Run the demonstration.

    Args:
        reactor: Where it runs.
        terminal: Where to show it.
        config: How.
        as_json: Whether to write JSON objects, a line each, instead of a picture.
    """
    source = assembly.host_source(reactor, config.interval)
    with _data_directory(config) as hub_config:
        hub = assembly.hub_service(reactor, hub_config)
        try:
            await hub.start()
            client_config = ClientConfig(local_url(hub.addresses), _key_of(hub_config))
            client = assembly.client_of(reactor, client_config)
            try:
                feed = await _feed_of(client)
                scene = _Scene(hub.addresses, feed, hub_config.key_file, client_config)
                return await _play(reactor, terminal, config, source, client, scene, as_json)
            finally:
                await client.close()
        except CancelledError:
            return FAILED  # it was stopped before anything could be shown
        finally:
            await hub.stop()


@frozen
class _Scene:
    """What a person needs to know to look at it."""

    addresses: tuple[str, ...]
    feed: Environment
    key_file: str
    client: ClientConfig

    @property
    def command(self) -> str:
        """What to type in a second terminal."""
        words = [
            f"TXBRIDGE_URL={self.client.url.removesuffix('/v2')}",
            f"TXBRIDGE_API_KEY_FILE={self.key_file}",
            *_program(),
            *("history", str(self.feed.id), SHOWN_FIRST, "--plot"),
        ]
        return shlex.join(words)

    def text(self) -> str:
        """The same for a person."""
        return (
            "This machine's sensors -> relay -> hub -> this terminal, over real connections.\n\n"
            f"  hub   {', '.join(self.addresses)}\n"
            f"  key   {self.key_file}\n"
            f"  feed  {self.feed.id}: {self.feed.title}\n\n"
            f"In a second terminal:\n\n  {self.command}\n\n"
        )

    def members(self) -> dict[str, Any]:
        """The same for a script."""
        return {
            "event": "started",
            "urls": list(self.addresses),
            "key_file": self.key_file,
            "feed": self.feed.id,
            "command": self.command,
        }


async def _play(
    reactor: Any,
    terminal: Terminal,
    config: DemoConfig,
    source: HostSource,
    client: Client,
    scene: _Scene,
    as_json: bool,
) -> int:
    feed_id = scene.feed.id
    assert feed_id is not None
    relay = assembly.relay_to_hub(reactor, source, client, feed_id)
    socket = assembly.socket_of(reactor, scene.client)
    board = Board({name: symbol_of(stream) for name, stream in scene.feed.datastreams.items()})
    updates = socket.updates(feed_id, since=datetime.now(UTC))
    terminal.give(json_text(scene.members()) if as_json else scene.text())
    began = reactor.seconds()
    reading: Deferred[None] | None = None
    try:
        await socket.connect()
        relay.startService()
        with _screen(reactor, terminal, board, as_json) as show:
            reading = _read(updates, board, show, client, feed_id)
            await _until_over(reactor, reading, config.duration)
            await relay.stopService()
            await _caught_up(reactor, board, relay)
    finally:
        if relay.running:
            await relay.stopService()
        if reading is not None:
            reading.cancel()
        updates.close()
        await socket.disconnect()
    return _sum_up(terminal, board, relay, reactor.seconds() - began, as_json)


@deferred
async def _read(updates: Updates, board: Board, show: Any, client: Client, feed_id: int) -> None:
    """Show updates until it is cancelled."""
    while True:
        try:
            update = await updates.next_update()
            if isinstance(update, Missed):
                continue
            if update.datastream_id not in board.symbols:
                feed = await client.read_feed(feed_id=feed_id)
                board.symbols.update({name: symbol_of(one) for name, one in feed.datastreams.items()})
        except CancelledError:
            return
        board.add(update.datastream_id, update.datapoints, datetime.now(UTC))
        show(update.datastream_id, update.datapoints)


async def _until_over(reactor: Any, reading: Deferred[None], duration: float | None) -> None:
    """Wait until the time is over or somebody stops it, or the reading fails."""
    over: Deferred[None] = Deferred()

    def failed(failure: Failure) -> None:
        if not over.called:
            over.errback(failure)

    reading.addErrback(failed)
    timer = None if duration is None else reactor.callLater(duration, over.callback, None)
    try:
        await over
    except CancelledError:
        return
    finally:
        if timer is not None and timer.active():
            timer.cancel()


async def _caught_up(reactor: Any, board: Board, relay: RelayService) -> None:
    """Wait a moment for what was sent last to come back."""
    until = reactor.seconds() + CATCH_UP
    while board.points < _sent(relay).delivered and reactor.seconds() < until:
        await deferLater(reactor, 0.02)


@contextmanager
def _screen(reactor: Any, terminal: Terminal, board: Board, as_json: bool) -> Iterator[Any]:
    """What shows an update: a picture for a person, else lines."""
    if as_json:
        yield lambda name, points: terminal.give(
            "".join(json_text(board.members(name, point)) for point in points)
        )
        return
    if not terminal.is_interactive:
        yield lambda name, points: terminal.give(board.lines(name, points))
        return
    console = Console(file=terminal.out)
    with Live(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False) as live:
        drawing = LoopingCall(
            lambda: live.update(board.picture(terminal.size[1]), refresh=True) if board.points else None
        )
        drawing.clock = reactor
        drawing.start(DRAWN_EVERY)
        try:
            yield lambda name, points: None
        finally:
            drawing.stop()
            live.update(board.picture(terminal.size[1]), refresh=True)


def _sum_up(terminal: Terminal, board: Board, relay: RelayService, seconds: float, as_json: bool) -> int:
    sent = _sent(relay)
    latency = board.latency
    if as_json:
        summary = {
            "event": "summary",
            "seconds": round(seconds, 1),
            "sent": sent.delivered,
            "received": board.points,
            "rejected": sent.rejected,
            "latency_ms": None if latency is None else latency.to_json(),
        }
        terminal.give(json_text(summary))
    elif latency is not None:
        delays = f"median {latency.median * 1000:.0f} ms, at most {latency.maximum * 1000:.0f} ms"
        terminal.give(
            f"\n{sent.delivered} values sent and {board.points} received in {seconds:.0f} s; "
            f"from sensor to subscriber: {delays}\n"
        )
    if board.points:
        return DONE
    status = relay.status()
    reason = status.source_error or sent.last_error or "nothing was read in this time"
    terminal.say(f"no update came through: {reason}")
    return FAILED


def _sent(relay: RelayService) -> DestinationStatus:
    return relay.status().destinations[0]


async def _feed_of(client: Client) -> Environment:
    """This machine's feed: the one of an earlier demonstration with the same data, or a new one."""
    title = f"This machine ({sockets.gethostname()})"
    for feed in await client.list_all_feeds(parameters={"q": title}):
        if feed.title == title:
            return feed
    feed_id = await client.create_feed(data=Environment(title=title, tags=["demo", "host"]))
    return Environment(id=int(feed_id), title=title)


@contextmanager
def _data_directory(config: DemoConfig) -> Iterator[HubConfig]:
    if config.keep:
        yield config.hub
        return
    with TemporaryDirectory(prefix="txbridge-demo-", ignore_cleanup_errors=True) as directory:
        yield evolve(config.hub, data=directory)


def _key_of(config: HubConfig) -> str:
    try:
        return Path(config.key_file).read_text(encoding="utf-8").strip()
    except OSError as error:
        problem = f"cannot read the owner's key in {config.key_file}: {error.strerror}"
        raise ConfigError([problem]) from error


def _program() -> list[str]:
    """How this program was called, so that it can be called again in another terminal."""
    called = sys.argv[0]
    if os.path.basename(called) == "txbridge":
        return ["txbridge" if shutil.which("txbridge") else os.path.abspath(called)]
    return [sys.executable, "-m", "txbridge"]
