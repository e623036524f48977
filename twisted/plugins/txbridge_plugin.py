"""So that ``twist txbridge`` and ``twistd txbridge`` find the service; it has no logic."""

from __future__ import annotations

from twisted.application.service import ServiceMaker

service = ServiceMaker(
    "txbridge",
    "txbridge.daemon.service",
    "Relay device data between platforms, and serve the Cosm v2 API.",
    "txbridge",
)
