"""What iobeam's clients are answered, by the real rules over the real store."""

from __future__ import annotations

import pytest_twisted

from tests.support.hub import NOON, running_hub
from tests.support.iobeam import Project

US = int(NOON.timestamp()) * 1_000_000


@pytest_twisted.async_yield_fixture
async def project(tmp_path):
    async with running_hub(tmp_path) as hub:
        project = Project(hub)
        await project.make()
        yield project


@pytest_twisted.ensureDeferred
async def test_a_device_registers_sends_and_is_read(project):
    await project.device()
    response = await project.send(["flow", "rpm"], [[US, 4.5, 900], [US + 1, None, 910]])
    assert response.status == 200
    assert await project.points() == {"flow": [(US, 4.5)], "rpm": [(US, 900), (US + 1, 910)]}
