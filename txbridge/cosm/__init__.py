"""Cosm v2, the API that was Pachube's before and Xively's after: feeds of datastreams of datapoints.

The hosted service is gone.  Here are clients for whoever speaks it (`Client` over REST, `PAWSClient`
over a socket, with live updates; `operations` for any other carrier), both ends of a relay's route
(``txbridge.cosm.adapter``), and the server's rules, which bring the service back for devices that
speak nothing else.

It has no ``structures``: its nouns are the shared ones of ``txbridge.model``.
"""

from __future__ import annotations

from txbridge.cosm import operations
from txbridge.cosm.client import DEFAULT_URL, Client, Verbs
from txbridge.cosm.paws import DEFAULT_PAWS_URL, PAWSClient, Subscribing
from txbridge.cosm.updates import Missed, Update, Updates
from txbridge.cosm.walk import FeedPages, HistoryWalk

__all__ = [
    "DEFAULT_PAWS_URL",
    "DEFAULT_URL",
    "Client",
    "FeedPages",
    "HistoryWalk",
    "Missed",
    "PAWSClient",
    "Subscribing",
    "Update",
    "Updates",
    "Verbs",
    "operations",
]
