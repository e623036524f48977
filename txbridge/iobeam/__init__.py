"""iobeam, which keeps the series of a project's devices.

The hosted service is gone.  Here is a client for whoever speaks its API, with the names of iobeam's own
Python client, both ends of a relay's route (``txbridge.iobeam.adapter``), and the server's rules, which
bring the service back for devices that speak nothing else.

``from txbridge import iobeam`` and ``from txbridge.iobeam import iobeam`` both have the names that iobeam's
own package has.
"""

from __future__ import annotations

from txbridge.iobeam import errors, iobeam, operations
from txbridge.iobeam.client import (
    DEFAULT_BACKEND,
    Client,
    ClientBuilder,
    fetch_device_token,
    fetchDeviceToken,
    login,
    make_query,
    makeQuery,
)
from txbridge.iobeam.errors import DuplicateIdError, Error, UnauthorizedError, UnknownCodeError
from txbridge.iobeam.points import DataPoint, DataSeries, make_uniform_data_series, makeUniformDataSeries
from txbridge.iobeam.structures import (
    DataStore,
    DeviceInfo,
    ExportedPoint,
    ExportedSeries,
    QueryReq,
    Row,
    Timestamp,
    TimeUnit,
    TokenGrant,
)

__all__ = [
    "DEFAULT_BACKEND",
    "Client",
    "ClientBuilder",
    "DataPoint",
    "DataSeries",
    "DataStore",
    "DeviceInfo",
    "DuplicateIdError",
    "Error",
    "ExportedPoint",
    "ExportedSeries",
    "QueryReq",
    "Row",
    "TimeUnit",
    "Timestamp",
    "TokenGrant",
    "UnauthorizedError",
    "UnknownCodeError",
    "errors",
    "fetchDeviceToken",
    "fetch_device_token",
    "iobeam",
    "login",
    "makeQuery",
    "makeUniformDataSeries",
    "make_query",
    "make_uniform_data_series",
    "operations",
]
