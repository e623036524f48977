"""The names of ``joule.api``."""

from __future__ import annotations

from txbridge import joule
from txbridge.joule import api

DOCUMENTED = [
    *(
        "Node",
        "get_node",
        "Folder",
        "DataStream",
        "DataStreamInfo",
        "Element",
        "EventStream",
        "EventStreamInfo",
    ),
    *("Event", "Module", "ModuleStatistics", "Annotation", "Proxy", "Master", "BaseNode"),
]


def test_each_documented_name_is_there() -> None:
    assert [name for name in DOCUMENTED if not hasattr(api, name)] == []
    assert [name for name in api.__all__ if not hasattr(api, name)] == []


def test_each_name_of_the_package_leads_somewhere() -> None:
    assert [name for name in joule.__all__ if not hasattr(joule, name)] == []
    assert joule.api is api
    assert api.BaseNode is api.Node is joule.Node
