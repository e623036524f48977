"""What every storage of projects promises, as tests: subclass `ProjectsContract` and say how to open one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve
from twisted.internet.defer import gatherResults

from tests.contract.beside import BesideAStore
from tests.contract.store import MORNING, allow
from txbridge.hub import sqlite_projects
from txbridge.hub.projects import REFRESH_DAYS, NameTaken, TokenRecord
from txbridge.hub.store import AccountFull, Full, Missing, Taken
from txbridge.model.structures import Environment

__all__ = ["ProjectsContract"]

LATER = MORNING + timedelta(hours=1)


def token(project_id: int, digest: bytes = b"t" * 32, **members: Any) -> TokenRecord:
    """A token's record."""
    return TokenRecord(digest, project_id, **{"created": MORNING, "write": True, **members})


class ProjectsContract(BesideAStore):
    """The contract that `txbridge.hub.projects` states."""

    @pytest.fixture
    def projects(self, stores: tuple[Any, Any]) -> Any:
        """The projects."""
        return stores[1]

    # -------------------------------------------------------------------------------- projects

    async def test_a_project_is_read_as_it_was_made(self, projects):
        made = await projects.create_project("ann", "Greenhouse", MORNING)
        assert (made.owner, made.name, made.created) == ("ann", "Greenhouse", MORNING)
        assert await projects.read_project(made.id) == made

    async def test_the_owner_may_choose_the_number_as_old_devices_know_theirs(self, projects):
        made = await projects.create_project("ann", "Greenhouse", MORNING, 14436643675940)
        assert made.id == 14436643675940
        assert (await projects.create_project("bob", "Barn", MORNING)).id != made.id

    async def test_a_chosen_number_however_high_leaves_low_ones_for_who_chooses_none(self, projects):
        """JavaScript and the API count up to 2**53."""
        for number in (2**53 - 1, 2):
            await projects.create_project("ann", "Greenhouse", MORNING, number)
        assert [(await projects.create_project("bob", "Barn", MORNING)).id for _ in range(2)] == [1, 3]

    async def test_a_number_that_is_taken_is_refused(self, projects):
        await projects.create_project("ann", "Greenhouse", MORNING, 7)
        with pytest.raises(Taken) as refusal:
            await projects.create_project("bob", "Barn", MORNING, 7)
        assert refusal.value.id == "7"

    async def test_nobodys_project_cannot_be_made(self, projects):
        with pytest.raises(Missing) as refusal:
            await projects.create_project("cy", "Greenhouse", MORNING)
        assert refusal.value.what == "account"

    async def test_an_account_has_its_own_projects_and_only_so_many(self, projects, monkeypatch):
        monkeypatch.setattr(sqlite_projects, "MAX_PROJECTS", 2)
        second = await projects.create_project("ann", "b", MORNING, 9)
        first = await projects.create_project("ann", "a", MORNING, 3)
        await projects.create_project("bob", "c", MORNING)
        assert await projects.list_projects("ann") == [first, second]
        with pytest.raises(Full):
            await projects.create_project("ann", "d", MORNING)

    @pytest.mark.parametrize("number", [0, -1, 5, 2**63, 10**30])
    async def test_a_project_that_is_not_there_is_missing(self, projects, number):
        for ask in (projects.read_project, projects.delete_project):
            with pytest.raises(Missing) as refusal:
                await ask(number)
            assert refusal.value.what == "project"

    async def test_deleting_a_project_leaves_the_feeds_of_its_devices(self, store, projects):
        project = await projects.create_project("ann", "Greenhouse", MORNING)
        device = await projects.create_device(project.id, "pump-3", "Pump", None, MORNING)
        await projects.create_token(token(project.id, device_id="pump-3"))
        await projects.delete_project(project.id)
        assert (await store.read_feed(device.feed_id)).environment.title == "Pump"
        assert await projects.find_token(b"t" * 32) is None
        await projects.create_project("bob", "Barn", MORNING, project.id)
        assert await projects.list_devices(project.id) == []

    # --------------------------------------------------------------------------------- devices

    async def test_a_device_is_a_private_feed_of_the_projects_owner(self, store, projects):
        project = await projects.create_project("ann", "Greenhouse", MORNING)
        device = await projects.create_device(project.id, "pump-3", "Pump", "pump", MORNING)
        assert (device.project_id, device.id, device.name, device.type) == (
            project.id,
            "pump-3",
            "Pump",
            "pump",
        )
        assert device.created == MORNING
        assert await projects.read_device(project.id, "pump-3") == device
        record = await store.read_feed(device.feed_id)
        assert record.owner == "ann"
        assert (record.environment.title, record.environment.private) == ("Pump", True)

    async def test_an_id_and_a_name_are_taken_once_in_a_project(self, store, projects):
        project = await projects.create_project("ann", "Greenhouse", MORNING)
        other = await projects.create_project("ann", "Barn", MORNING)
        await projects.create_device(project.id, "pump-3", "Pump", None, MORNING)
        with pytest.raises(Taken) as refusal:
            await projects.create_device(project.id, "pump-3", "Pump", None, MORNING)
        assert refusal.value.id == "pump-3"
        with pytest.raises(NameTaken):
            await projects.create_device(project.id, "pump-4", "Pump", None, MORNING)
        await projects.create_device(other.id, "pump-3", "Pump", None, MORNING)
        assert (await store.read_account("ann")).user.feeds_count == 2

    async def test_of_devices_that_register_at_once_one_gets_the_id(self, store, projects):
        project = await projects.create_project("ann", "Greenhouse", MORNING)
        tries = [
            projects.create_device(project.id, "pump-3", "Pump", None, MORNING).addErrback(
                lambda failure: None
            )
            for _ in range(5)
        ]
        results = await gatherResults(tries)
        assert [one is None for one in results].count(False) == 1
        assert (await store.read_account("ann")).user.feeds_count == 1

    async def test_a_device_needs_a_project(self, projects):
        with pytest.raises(Missing) as refusal:
            await projects.create_device(7, "pump-3", "Pump", None, MORNING)
        assert refusal.value.what == "project"

    async def test_devices_are_listed_as_they_were_registered(self, projects):
        project = await projects.create_project("ann", "Greenhouse", MORNING)
        first = await projects.create_device(project.id, "z", "z", None, MORNING)
        second = await projects.create_device(project.id, "a", "a", None, LATER)
        assert await projects.list_devices(project.id) == [first, second]

    async def test_renaming_a_device_renames_its_feed(self, store, projects):
        project = await projects.create_project("ann", "Greenhouse", MORNING)
        device = await projects.create_device(project.id, "pump-3", "Pump", None, MORNING)
        await projects.create_device(project.id, "pump-4", "Other", None, MORNING)
        store.watched = lambda feed_id: True
        written = await projects.update_device(project.id, "pump-3", "Best pump", None, LATER)
        assert written.feed_id == device.feed_id
        assert written.snapshot.environment.title == "Best pump"
        assert await projects.read_device(project.id, "pump-3") == evolve(device, name="Best pump")
        with pytest.raises(NameTaken):
            await projects.update_device(project.id, "pump-3", "Other", None, LATER)

    async def test_only_what_is_said_of_a_device_changes(self, store, projects):
        project = await projects.create_project("ann", "Greenhouse", MORNING)
        device = await projects.create_device(project.id, "pump-3", "Pump", None, MORNING)
        await store.update_feed(device.feed_id, Environment(title="My own title"), MORNING, allow)
        await projects.update_device(project.id, "pump-3", None, "pump", LATER)
        assert await projects.read_device(project.id, "pump-3") == evolve(device, type="pump")
        assert (await store.read_feed(device.feed_id)).environment.title == "My own title"
        assert await projects.update_device(project.id, "pump-3", "Pump", "pump", LATER) is None

    async def test_deleting_a_device_deletes_its_feed(self, store, projects):
        project = await projects.create_project("ann", "Greenhouse", MORNING)
        device = await projects.create_device(project.id, "pump-3", "Pump", None, MORNING)
        await projects.create_token(token(project.id, device_id="pump-3"))
        written = await projects.delete_device(project.id, "pump-3")
        assert (written.feed_id, written.deleted) == (device.feed_id, True)
        with pytest.raises(Missing):
            await store.read_feed(device.feed_id)
        assert await projects.find_token(b"t" * 32) is None

    async def test_deleting_a_feed_deletes_its_device(self, store, projects):
        project = await projects.create_project("ann", "Greenhouse", MORNING)
        device = await projects.create_device(project.id, "pump-3", "Pump", None, MORNING)
        await store.delete_feed(device.feed_id, allow)
        with pytest.raises(Missing):
            await projects.read_device(project.id, "pump-3")
        assert (
            await projects.create_device(project.id, "pump-3", "Pump", None, MORNING)
        ).feed_id != device.feed_id

    async def test_deleting_an_account_deletes_its_projects_and_says_what_became_of_its_devices(
        self, store, projects
    ):
        project = await projects.create_project("ann", "Greenhouse", MORNING)
        device = await projects.create_device(project.id, "pump-3", "Pump", None, MORNING)
        await projects.create_token(token(project.id))
        removed = await store.delete_account("ann")
        assert [(written.feed_id, written.deleted) for written in removed] == [(device.feed_id, True)]
        assert await projects.find_token(b"t" * 32) is None
        with pytest.raises(Missing):
            await projects.read_project(project.id)

    async def test_a_device_that_is_not_there_is_missing(self, projects):
        project = await projects.create_project("ann", "Greenhouse", MORNING)
        for work in (
            lambda: projects.read_device(project.id, "x"),
            lambda: projects.read_device(2**70, "x"),
            lambda: projects.delete_device(project.id, "x"),
            lambda: projects.update_device(project.id, "x", "y", None, MORNING),
        ):
            with pytest.raises(Missing) as refusal:
                await work()
            assert refusal.value.what == "device"

    # ---------------------------------------------------------------------------------- tokens

    async def test_a_token_is_found_by_its_digest_with_all_it_may_do(self, projects):
        project = await projects.create_project("ann", "Greenhouse", MORNING)
        await projects.create_device(project.id, "pump-3", "Pump", None, MORNING)
        record = token(
            project.id,
            expires=LATER,
            device_id="pump-3",
            read=True,
            admin=True,
            refreshable=True,
        )
        made = await projects.create_token(record)
        assert made == evolve(record, id=made.id)
        assert await projects.find_token(b"t" * 32) == made
        assert await projects.read_token(made.id) == made
        assert await projects.find_token(b"u" * 32) is None

    async def test_a_digest_is_one_tokens_alone(self, projects):
        project = await projects.create_project("ann", "Greenhouse", MORNING)
        await projects.create_token(token(project.id))
        with pytest.raises(Taken):
            await projects.create_token(token(project.id))

    async def test_a_token_needs_its_project_and_its_device(self, projects):
        with pytest.raises(Missing) as refusal:
            await projects.create_token(token(7))
        assert refusal.value.what == "project"
        project = await projects.create_project("ann", "Greenhouse", MORNING)
        with pytest.raises(Missing) as refusal:
            await projects.create_token(token(project.id, device_id="pump-3"))
        assert refusal.value.what == "device"

    async def test_a_project_has_only_so_many_tokens(self, projects, monkeypatch):
        monkeypatch.setattr(sqlite_projects, "MAX_TOKENS", 1)
        project = await projects.create_project("ann", "Greenhouse", MORNING)
        await projects.create_token(token(project.id))
        with pytest.raises(Full):
            await projects.create_token(token(project.id, b"u" * 32))

    async def test_tokens_that_nobody_can_refresh_any_more_are_forgotten(self, projects):
        project = await projects.create_project("ann", "Greenhouse", MORNING)
        old = await projects.create_token(token(project.id, b"a" * 32, expires=MORNING))
        refreshed = await projects.create_token(token(project.id, b"b" * 32, expires=MORNING))
        child = token(project.id, b"c" * 32, parent=refreshed.id)
        kept = [refreshed, await projects.create_token(child)]
        limit = timedelta(days=REFRESH_DAYS)
        kept.append(await projects.create_token(token(project.id, b"d" * 32, created=MORNING + limit)))
        assert await projects.list_tokens(project.id) == [old, *kept]
        late = MORNING + limit + timedelta(microseconds=1)
        kept.append(await projects.create_token(token(project.id, b"e" * 32, created=late)))
        assert await projects.list_tokens(project.id) == kept

    async def test_a_token_that_is_refreshed_at_every_start_never_fills_the_project(
        self, projects, monkeypatch
    ):
        """What came of it lately goes on working, and so does what was refreshed in its turn."""
        monkeypatch.setattr(sqlite_projects, "MAX_REFRESHED", 2)
        project = await projects.create_project("ann", "Greenhouse", MORNING)
        first = await projects.create_token(token(project.id, b"0" * 32))
        made = [
            await projects.create_token(token(project.id, b"%d" % number * 32, parent=first.id))
            for number in (1, 2)
        ]
        heir = await projects.create_token(token(project.id, b"h" * 32, parent=made[0].id))
        later = [
            await projects.create_token(token(project.id, b"%d" % number * 32, parent=first.id))
            for number in (3, 4, 5)
        ]
        assert await projects.list_tokens(project.id) == [first, made[0], heir, *later[1:]]

    async def test_removing_a_token_removes_all_that_came_of_it(self, projects):
        project = await projects.create_project("ann", "Greenhouse", MORNING)
        first = await projects.create_token(token(project.id, b"0" * 32))
        other = await projects.create_token(token(project.id, b"o" * 32))
        last = first
        for number in range(3):
            last = await projects.create_token(token(project.id, b"%d" % (number + 1) * 32, parent=last.id))
        await projects.delete_token(first.id)
        assert await projects.list_tokens(project.id) == [other]

    @pytest.mark.parametrize("number", [0, 5, 2**63])
    async def test_a_token_that_is_not_there_is_missing(self, projects, number):
        for ask in (projects.read_token, projects.delete_token):
            with pytest.raises(Missing) as refusal:
                await ask(number)
            assert refusal.value.what == "token"

    async def test_an_account_without_room_for_a_feed_registers_no_device(self, store, projects):
        project = await projects.create_project("ann", "Greenhouse", MORNING)
        store.max_feeds = 1
        await projects.create_device(project.id, "pump-3", "Pump", None, MORNING)
        with pytest.raises(AccountFull):
            await projects.create_device(project.id, "pump-4", "Other pump", None, MORNING)
        assert len(await projects.list_devices(project.id)) == 1
