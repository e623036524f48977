"""A project on a hub in memory, and clients of it."""

from __future__ import annotations

from typing import Any

from tests.support.hub_in_memory import HubInMemory
from txbridge.iobeam.client import Client
from txbridge.iobeam.operations import with_token
from txbridge.iobeam.projects import create_project
from txbridge.net.http import HttpCarrier

__all__ = ["client_of", "token_of_project"]


def token_of_project(hub: HubInMemory, project_id: int, **options: Any) -> str:
    """Make a project, unless it is there, and a token of it that may do everything, or less."""
    carrier = HttpCarrier(hub.iobeam_url, reactor=hub.network.reactor)
    making = with_token(create_project(f"project {project_id}", project_id), hub.api_key)
    allowed = {"read": True, "write": True, "admin": True, "refreshable": True, **options}
    if not options.pop("is_there", False):
        hub.run(carrier.run(making))
    allowed.pop("is_there", None)
    hub.run(carrier.close())
    fetching = Client.fetchToken(
        hub.api_key, project_id, options=allowed, backend=hub.iobeam_url, reactor=hub.network.reactor
    )
    return hub.run(fetching)


def client_of(hub: HubInMemory, project_id: int, token: str, **settings: Any) -> Client:
    """A client of a project; the test closes it."""
    return Client(project_id, token, backend=hub.iobeam_url, reactor=hub.network.reactor, **settings)
