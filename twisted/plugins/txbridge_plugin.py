"""So that ``twist txbridge-hub`` and ``twist txbridge-relay`` find their services; it has no logic."""

from __future__ import annotations

from twisted.application.service import ServiceMaker

hub = ServiceMaker(
    "txbridge hub",
    "txbridge.daemon.plugin",
    "Serve the Cosm v2 API, and keep the history.",
    "txbridge-hub",
)

relay = ServiceMaker(
    "txbridge relay",
    "txbridge.daemon.relay_plugin",
    "Carry data from sources to destinations without losing a point.",
    "txbridge-relay",
)
