"""How a hub is, as metrics: the numbers of its parts by the names that Prometheus gets."""

from __future__ import annotations

import platform
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from time import time

from txbridge._version import __version__
from txbridge.cosm.paws_server import PawsServer
from txbridge.daemon.process import process_families, read_process
from txbridge.hub.sqlite import SqliteStore
from txbridge.hub.sqlite_triggers import count_waiting
from txbridge.hub.telling import Telling
from txbridge.hub.triggers import TriggerService
from txbridge.net.deferred import deferred
from txbridge.net.exposition import Family
from txbridge.net.http_server import HttpServerFactory

__all__ = ["HubReport"]


class HubReport:
    """Reads the parts of a hub.

    Args:
        path: The store's file.
        store: The store.
        telling: Hears of every write.
        triggers: Delivers notices.
        paws: Serves the socket API.

    Attributes:
        http: Serves HTTP; None before it is made.
    """

    def __init__(
        self, path: Path, store: SqliteStore, telling: Telling, triggers: TriggerService, paws: PawsServer
    ) -> None:
        self.http: HttpServerFactory | None = None
        self._files = (("database", path), ("journal", path.with_name(path.name + "-wal")))
        self._store = store
        self._telling = telling
        self._triggers = triggers
        self._paws = paws
        self._started_at = time()

    @deferred
    async def ask(self) -> int:
        """Ask the storage to write and to read; gives how many notices wait.

        What is written is nothing, so it waits for the writer and for its place in the file, and not for the
        disk.
        """
        await self._store.write(lambda connection: None)
        return await self._store.read(count_waiting)

    def families(self) -> Iterable[Family]:
        """Everything that can be told at once."""
        store, triggers = self._store, self._triggers

        def one(name: str, kind: str, help: str, value: float) -> Family:
            return Family(f"txbridge_hub_{name}", kind, help, [({}, value)])

        connections = 0 if self.http is None else self.http.connections
        yield Family(
            "txbridge_hub_connections",
            "gauge",
            "Open connections: http, and paws over TCP and WebSockets.",
            [({"kind": "http"}, connections), ({"kind": "paws"}, self._paws.connections)],
        )
        yield one("subscriptions", "gauge", "PAWS subscriptions.", self._paws.subscriptions)
        yield one("watched_feeds", "gauge", "Feeds that somebody listens to.", self._paws.watched_feeds)
        yield one("writes_total", "counter", "Writes to feeds that are durable.", self._telling.writes)
        yield one("points_total", "counter", "Points that they recorded.", self._telling.points)
        yield Family(
            "txbridge_hub_commit_duration_seconds",
            "histogram",
            "Commits of the storage, each of all writes that waited: the work, and the disk.",
            store.commits.took.samples(),
        )
        yield one("commit_failures_total", "counter", "Commits that failed.", store.commits.failures)
        yield one("store_jobs_total", "counter", "Writes of any kind that were run.", store.commits.jobs)
        yield one("store_waiting", "gauge", "Writes that wait for a commit to begin.", store.waiting)
        fired = self._telling.firings + triggers.silences
        yield one("triggers_fired_total", "counter", "How often triggers fired.", fired)
        yield one("notices_delivered_total", "counter", "Notices delivered.", triggers.delivered)
        yield one("notices_failed_total", "counter", "Deliveries that failed.", triggers.failures)
        yield one("notices_given_up_total", "counter", "Notices that nobody took.", triggers.given_up)
        yield Family(
            "txbridge_hub_storage_bytes",
            "gauge",
            "Size of the storage's files.",
            [({"file": kind}, _size(path)) for kind, path in self._files],
        )
        yield Family(
            "txbridge_hub_build_info",
            "gauge",
            "The program, and what it runs on.",
            [
                (
                    {
                        "version": __version__,
                        "python": platform.python_version(),
                        "sqlite": sqlite3.sqlite_version,
                    },
                    1.0,
                )
            ],
        )
        yield one("uptime_seconds", "gauge", "How long the hub has run.", time() - self._started_at)
        yield from process_families(read_process(), self._started_at)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
