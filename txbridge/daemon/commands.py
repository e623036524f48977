"""The plain commands: ``hub``, ``feeds`` and ``send``.

Each is a coroutine that fires with an exit status.  What it was asked for goes to stdout, as a table
for people or as JSON and CSV for scripts; everything else goes to stderr.  It raises the errors of
`txbridge.errors` as they come: `txbridge.daemon.running` explains them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from attrs import evolve, frozen
from twisted.internet.defer import CancelledError, Deferred

from txbridge.cosm.client import Client, Verbs
from txbridge.daemon.notify import READY, STOPPING, notify
from txbridge.daemon.readings import BATCH, Reading, document_of, read_line
from txbridge.daemon.render import (
    feed_details,
    feed_rows,
    json_text,
    points_text,
    table,
)
from txbridge.daemon.running import DONE
from txbridge.daemon.service import HubService
from txbridge.daemon.stdin import StdinLines, size_of
from txbridge.daemon.terminal import Terminal
from txbridge.errors import BridgeError, ConfigError
from txbridge.model.structures import Environment
from txbridge.net.deferred import deferred

__all__ = [
    "Form",
    "NewFeed",
    "create_feed",
    "delete_feed",
    "hub",
    "list_feeds",
    "send_lines",
    "send_readings",
    "show_feed",
]

Form = Literal["table", "json", "csv", "plot"]

_MICROSECOND = timedelta(microseconds=1)


@frozen
class NewFeed:
    """A feed to make.

    Attributes:
        title: Its title.
        description: Text, or None.
        tags: Tags.
        private: Whether only the owner may see it.
    """

    title: str
    description: str | None = None
    tags: tuple[str, ...] = ()
    private: bool = False

    def document(self) -> Environment:
        """The document that makes it."""
        return Environment(
            title=self.title,
            description=self.description,
            tags=list(self.tags) if self.tags else None,
            private=self.private if self.private else None,
        )


# ------------------------------------------------------------------------------------------ hub


@deferred
async def hub(service: HubService, terminal: Terminal, environ: Mapping[str, str]) -> int:
    """Run a hub until it is stopped; being stopped is its usual end.

    Args:
        service: The hub.
        terminal: Where to say where it listens.
        environ: Says how to tell the service manager, if there is one.
    """
    try:
        await service.start()
    except CancelledError:
        return DONE
    try:
        for note in service.notes:
            terminal.say(note)
        for address in service.addresses:
            terminal.give(f"listening on {address}\n")
        notify(environ, READY)
        await Deferred()
    except CancelledError:
        notify(environ, STOPPING)
    finally:
        await service.stop()
    return DONE


# ---------------------------------------------------------------------------------------- feeds


@deferred
async def list_feeds(client: Client, terminal: Terminal, parameters: dict[str, Any], form: Form) -> int:
    """Show the feeds that match.

    Args:
        client: Asks the hub.
        terminal: Where to show them.
        parameters: Of the search.
        form: ``"table"`` or ``"json"``.
    """
    pages = client.walk_feeds(parameters=parameters)
    feeds: list[Environment] = []
    with terminal.progress("reading feeds", None) as report:
        while (page := await pages.next_page()) is not None:
            feeds += page.feeds
            report(len(feeds))
    if form == "json":
        documents = [feed.to_dict() for feed in feeds]
        terminal.give(json_text({"totalResults": len(feeds), "results": documents}))
    elif feeds:
        header = ("id", "title", "status", "updated", "datastreams")
        terminal.give(table(header, feed_rows(feeds, _now()), right=(0,)))
    else:
        terminal.say("there are no such feeds" if parameters else "there are no feeds")
    return DONE


@deferred
async def show_feed(client: Client, terminal: Terminal, feed_id: int, form: Form) -> int:
    """Show one feed with its current values."""
    feed = await client.read_feed(feed_id=feed_id)
    if form == "json":
        terminal.give(json_text(feed.to_dict()))
    else:
        terminal.give(feed_details(feed, _now()))
    return DONE


@deferred
async def create_feed(client: Client, terminal: Terminal, new: NewFeed, form: Form) -> int:
    """Make a feed and show its id."""
    feed_id = int(await client.create_feed(data=new.document()))
    terminal.give(json_text({"feed": feed_id}) if form == "json" else f"{feed_id}\n")
    return DONE


@deferred
async def delete_feed(client: Client, terminal: Terminal, feed_id: int, form: Form) -> int:
    """Delete a feed with all its history."""
    await client.delete_feed(feed_id=feed_id)
    if form == "json":
        terminal.give(json_text({"feed": feed_id, "deleted": True}))
    else:
        terminal.say(f"feed {feed_id} is deleted")
    return DONE


# ----------------------------------------------------------------------------------------- send


@deferred
async def send_readings(
    client: Client, terminal: Terminal, feed: int | NewFeed, readings: Sequence[Reading], form: Form
) -> int:
    """Write the values of the command line.

    Args:
        client: Asks the hub.
        terminal: Where to say what was done.
        feed: The feed, or one to make.
        readings: The values.
        form: ``"table"`` or ``"json"``.
    """
    feed_id = await _feed_of(client, feed)
    await client.update_feed(feed_id=feed_id, data=document_of(readings, _now()))
    _tell_sent(terminal, feed_id, len(readings), form)
    return DONE


@deferred
async def send_lines(
    reactor: Any, client: Client, terminal: Terminal, feed: int | NewFeed, descriptor: int, form: Form
) -> int:
    """Write the values of standard input as they come, up to 500 in one request.

    Args:
        reactor: Where the input arrives.
        client: Asks the hub.
        terminal: Where to say what was done.
        feed: The feed, or one to make.
        descriptor: The input.
        form: ``"table"`` or ``"json"``.
    """
    lines = StdinLines(reactor, descriptor)
    feed_id: int | None = None
    sent = number = 0
    latest = _now()
    gathered: list[Reading] = []

    async def write_while_at_least(count: int) -> None:
        nonlocal feed_id, sent
        while len(gathered) >= count:
            if feed_id is None:
                feed_id = await _feed_of(client, feed)
            batch = gathered[:BATCH]
            await client.update_feed(feed_id=feed_id, data=document_of(batch, latest))
            del gathered[:BATCH]
            sent += len(batch)
            report(lines.bytes_read)

    try:
        with terminal.progress("sending", size_of(descriptor)) as report:
            while texts := await lines.next_lines():
                for text in texts:
                    number += 1
                    reading = read_line(text, number)
                    if reading is not None and reading.at is None:
                        latest = max(_now(), latest + _MICROSECOND)
                        reading = evolve(reading, at=latest)
                    if reading is not None:
                        gathered.append(reading)
                # What trickles in is sent at once, what comes in bulk by the hundreds.
                await write_while_at_least(BATCH if lines.is_ready else 1)
            await write_while_at_least(1)
    except BridgeError:
        if sent:
            terminal.say(f"{points_text(sent)} had been sent to feed {feed_id} before this went wrong:")
        raise
    if feed_id is None:
        raise ConfigError(["there was nothing to send"])
    _tell_sent(terminal, feed_id, sent, form)
    return DONE


async def _feed_of(client: Verbs, feed: int | NewFeed) -> int:
    if isinstance(feed, NewFeed):
        return int(await client.create_feed(data=feed.document()))
    return feed


def _tell_sent(terminal: Terminal, feed_id: int, points: int, form: Form) -> None:
    if form == "json":
        terminal.give(json_text({"feed": feed_id, "points": points}))
    else:
        terminal.give(f"sent {points_text(points)} to feed {feed_id}\n")


def _now() -> datetime:
    return datetime.now(UTC)
