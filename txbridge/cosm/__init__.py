"""The Cosm v2 API, once Pachube, later Xively: client and server."""

from __future__ import annotations
