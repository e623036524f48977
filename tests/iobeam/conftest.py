"""A hub, and an iobeam service that does as a test says, both in memory."""

from __future__ import annotations

import pytest

from tests.support.hub_in_memory import HubInMemory
from tests.support.iobeam_service import IobeamService
from txbridge.net.memory import MemoryNetwork


@pytest.fixture
def hub(tmp_path):
    with HubInMemory(tmp_path) as hub:
        yield hub


@pytest.fixture
def network():
    return MemoryNetwork()


@pytest.fixture
def service(network):
    return IobeamService(network)
