"""Projects in the SQLite store keep the contract, and share the store's transactions."""

from __future__ import annotations

from typing import cast

import pytest
from twisted.internet.interfaces import IReactorFromThreads

from tests.contract.projects import MORNING, ProjectsContract, token
from txbridge.hub import sqlite_projects
from txbridge.hub.sqlite import SqliteStore
from txbridge.hub.sqlite_projects import SqliteProjects


class TestSqliteProjects(ProjectsContract):
    """The contract, in a file."""

    async def open(self, folder):
        from twisted.internet import reactor

        store = await SqliteStore.open(folder / "hub.sqlite", cast("IReactorFromThreads", reactor))
        return store, SqliteProjects(store)

    async def test_a_device_whose_row_cannot_be_written_leaves_no_feed_behind(
        self, store, projects, monkeypatch
    ):
        project = await projects.create_project("ann", "Greenhouse", MORNING)
        monkeypatch.setattr(sqlite_projects, "_DEVICE", "no_such_column")
        with pytest.raises(Exception, match="the storage failed"):
            await projects.create_device(project.id, "pump-3", "Pump", None, MORNING)
        assert (await store.read_account("ann")).user.feeds_count == 0

    async def test_a_token_that_was_refreshed_very_often_can_be_removed(self, projects):
        """Foreign keys would give up after a thousand."""
        project = await projects.create_project("ann", "Greenhouse", MORNING)
        last = first = await projects.create_token(token(project.id, b"first"))
        for number in range(1100):
            last = await projects.create_token(token(project.id, b"%d" % number, parent=last.id))
        await projects.delete_token(first.id)
        assert await projects.list_tokens(project.id) == []
