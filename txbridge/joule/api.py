"""The names of ``joule.api``, for whoever reads Joule's own documentation."""

from __future__ import annotations

from txbridge.joule.client import Node
from txbridge.joule.nodes import (
    create_tcp_node,
    delete_node,
    get_node,
    get_nodes,
    save_node,
    set_default_node,
)
from txbridge.joule.pipes import LocalPipe, Pipe
from txbridge.joule.structures import (
    Annotation,
    AnnotationInfo,
    DataStream,
    DataStreamInfo,
    Element,
    Event,
    EventStream,
    EventStreamInfo,
    Folder,
    Master,
    Module,
    ModuleStatistics,
    NodeInfo,
    Proxy,
)

__all__ = [
    "Annotation",
    "AnnotationInfo",
    "BaseNode",
    "DataStream",
    "DataStreamInfo",
    "Element",
    "Event",
    "EventStream",
    "EventStreamInfo",
    "Folder",
    "LocalPipe",
    "Master",
    "Module",
    "ModuleStatistics",
    "Node",
    "NodeInfo",
    "Pipe",
    "Proxy",
    "TcpNode",
    "create_tcp_node",
    "delete_node",
    "get_node",
    "get_nodes",
    "save_node",
    "set_default_node",
]

BaseNode = TcpNode = Node
