"""Joule, which keeps folders of data streams and event streams on a machine of one's own.

`Node` is the client; every verb of Joule's own API is a method of it that returns a Deferred.  The
names of Joule's own packages are here too: ``txbridge.joule.api``, ``txbridge.joule.utilities`` and
``txbridge.joule.errors``.
"""

from __future__ import annotations

from txbridge.joule import api, errors, lumen, operations, utilities
from txbridge.joule.client import DEFAULT_URL, Node
from txbridge.joule.events import EventWalk
from txbridge.joule.nodes import (
    create_tcp_node,
    delete_node,
    get_node,
    get_nodes,
    save_node,
    set_default_node,
)
from txbridge.joule.pipes import LocalPipe, Pipe, ReadPipe, WritePipe
from txbridge.joule.structures import (
    Annotation,
    AnnotationInfo,
    ConnectionInfo,
    DataStream,
    DataStreamInfo,
    Element,
    Event,
    EventStream,
    EventStreamInfo,
    Folder,
    Follower,
    ImportLogger,
    ImportMessage,
    Master,
    Module,
    ModuleStatistics,
    NodeInfo,
    NodeVersion,
    Proxy,
    StorageInfo,
)

__all__ = [
    "DEFAULT_URL",
    "Annotation",
    "AnnotationInfo",
    "ConnectionInfo",
    "DataStream",
    "DataStreamInfo",
    "Element",
    "Event",
    "EventStream",
    "EventStreamInfo",
    "EventWalk",
    "Folder",
    "Follower",
    "ImportLogger",
    "ImportMessage",
    "LocalPipe",
    "Master",
    "Module",
    "ModuleStatistics",
    "Node",
    "NodeInfo",
    "NodeVersion",
    "Pipe",
    "Proxy",
    "ReadPipe",
    "StorageInfo",
    "WritePipe",
    "api",
    "create_tcp_node",
    "delete_node",
    "errors",
    "get_node",
    "get_nodes",
    "lumen",
    "operations",
    "save_node",
    "set_default_node",
    "utilities",
]
