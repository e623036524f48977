"""The names of iobeam's own module, for ``from txbridge.iobeam import iobeam``.

A program that says ``from iobeam import iobeam`` goes on after that change, with an ``await`` before each
``build()``, ``send()``, ``registerDevice()`` and query.
"""

from __future__ import annotations

from txbridge.iobeam.client import Client, ClientBuilder, fetchDeviceToken, makeQuery
from txbridge.iobeam.errors import DuplicateIdError, Error, UnauthorizedError, UnknownCodeError
from txbridge.iobeam.points import DataPoint, DataSeries, makeUniformDataSeries
from txbridge.iobeam.structures import DataStore, QueryReq, Timestamp, TimeUnit

__all__ = [
    "Client",
    "ClientBuilder",
    "DataPoint",
    "DataSeries",
    "DataStore",
    "DuplicateIdError",
    "Error",
    "QueryReq",
    "TimeUnit",
    "Timestamp",
    "UnauthorizedError",
    "UnknownCodeError",
    "fetchDeviceToken",
    "makeQuery",
    "makeUniformDataSeries",
]
