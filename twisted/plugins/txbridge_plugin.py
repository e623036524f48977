"""So that ``twist txbridge-hub`` and ``twistd txbridge-hub`` find the service; it has no logic."""

from __future__ import annotations

from twisted.application.service import ServiceMaker

service = ServiceMaker(
    "txbridge hub",
    "txbridge.daemon.plugin",
    "Serve the Cosm v2 API, and keep the history.",
    "txbridge-hub",
)
