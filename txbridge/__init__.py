"""Move device data between platforms that were never meant to talk to each other.

The front door: the shared structures, the names on the wire, and the errors.
"""

from __future__ import annotations

# For its effect: the formats become known to the structures' `encode` and `decode`.
import txbridge.codecs as codecs
from txbridge._version import __version__
from txbridge.codecs.fields import DataFields, DataFormats
from txbridge.errors import (
    Advice,
    AuthError,
    BridgeError,
    Closed,
    ConfigError,
    Conflict,
    ConnectError,
    ConnectionLost,
    DecodeError,
    EncodeError,
    Forbidden,
    NotFound,
    OutboxError,
    PlanRefused,
    RateLimited,
    RemoteProtocolError,
    RequestRejected,
    ServerFailed,
    StoreError,
    TimedOut,
    TooLarge,
)
from txbridge.model.accounts import (
    Key,
    KeyList,
    Permission,
    Resource,
    Trigger,
    TriggerList,
    User,
    UserList,
)
from txbridge.model.samples import Batch, Gap, Note, NoteKind, SampleBlock, StreamInfo
from txbridge.model.structures import (
    Datapoint,
    Datastream,
    Environment,
    EnvironmentList,
    Location,
    Unit,
    Waypoint,
)

__all__ = [
    "Advice",
    "AuthError",
    "Batch",
    "BridgeError",
    "Closed",
    "ConfigError",
    "Conflict",
    "ConnectError",
    "ConnectionLost",
    "DataFields",
    "DataFormats",
    "Datapoint",
    "Datastream",
    "DecodeError",
    "EncodeError",
    "Environment",
    "EnvironmentList",
    "Forbidden",
    "Gap",
    "Key",
    "KeyList",
    "Location",
    "NotFound",
    "Note",
    "NoteKind",
    "OutboxError",
    "Permission",
    "PlanRefused",
    "RateLimited",
    "RemoteProtocolError",
    "RequestRejected",
    "Resource",
    "SampleBlock",
    "ServerFailed",
    "StoreError",
    "StreamInfo",
    "TimedOut",
    "TooLarge",
    "Trigger",
    "TriggerList",
    "Unit",
    "User",
    "UserList",
    "Waypoint",
    "__version__",
    "codecs",
    "version",
]

version = tuple(int(part) for part in __version__.split("."))
"""The version as txPachube and txcosm gave it: a tuple of numbers."""
